//! The engine and its links as the model has them: connections, renewals, transactions, the watch.

use super::*;

impl Fleet {
    pub(super) fn step(&mut self, what: What) {
        match what {
            What::Wake(node, number) => {
                if self.nodes[node].wakes == number {
                    self.turn(node, vec![Event::Tick]);
                }
            }
            What::Start(node) => self.start(node),
            What::Connect(node, number) => self.connect(node, number),
            What::Listed(node, number, lease, sent_ms, entries, seen) => {
                let of = &mut self.nodes[node];
                if of.connections != number || of.plan.is_none() || of.cut.1 {
                    return;
                }
                let (heard, asked) = (self.at, BTreeMap::new());
                of.connection = Some(Connection { number, lease, seen, heard, asked, is_watch_under_way: false });
                let parts = entries.chunks(7).map(|part| Event::Fleet(FleetEvent::Entries(part.to_vec())));
                let begin = Event::Fleet(FleetEvent::Listing { lease, sent_ms });
                let events: Vec<Event> =
                    [begin].into_iter().chain(parts).chain([Event::Fleet(FleetEvent::Listed)]).collect();
                events.into_iter().for_each(|event| self.turn(node, vec![event]));
                self.push(self.at, What::Renew(node, number));
                self.push(self.at + 6_000, What::Silence(node, number));
                self.show_changes();
            }
            What::Renew(node, number) => {
                let of = &self.nodes[node];
                let Some(connection) = of.connection.as_ref().filter(|other| other.number == number) else { return };
                // Main asks for it: not one that is stopped.
                if of.condition == Condition::Works {
                    let (lease, clock, sent) = (connection.lease, base_ms() + self.at + of.skew, of.elapsed(self.at));
                    if !of.cut.0 {
                        let at = self.at + self.latency();
                        self.push(at, What::RenewArrives(node, lease, clock, sent));
                    }
                }
                self.push(self.at + RENEW_MS, What::Renew(node, number));
            }
            What::RenewArrives(node, lease, clock, sent) => {
                if self.is_engine_down {
                    return;
                }
                let name = self.nodes[node].name.clone();
                if self.is_engine_full {
                    // The clock cannot be written.
                    self.engine.renew(lease, self.at);
                    if self.has_lease(node, lease) {
                        self.disconnect(node);
                    }
                } else if self.engine.renew(lease, self.at) {
                    self.engine.put_clock(&name, clock, lease);
                    self.show_changes();
                    if !self.nodes[node].cut.1 {
                        let at = self.at + self.latency();
                        self.push(at, What::Renewed(node, lease, sent));
                    }
                } else if self.has_lease(node, lease) {
                    self.disconnect(node);
                }
            }
            What::Renewed(node, lease, sent_ms) => {
                if self.has_lease(node, lease) {
                    let at = self.at;
                    if let Some(connection) = &mut self.nodes[node].connection {
                        connection.heard = at;
                    }
                    self.turn(node, vec![Event::Fleet(FleetEvent::Renewed { sent_ms })]);
                }
            }
            What::Arrives(node, number, id, transaction) => {
                if self.is_engine_down {
                    return;
                }
                let answer =
                    match self.is_engine_full && transaction.changes.iter().any(|change| change.value.is_some()) {
                        true => FleetAnswer::Failed { why: "no space".to_owned() },
                        false => self.engine.execute(&transaction),
                    };
                self.show_changes();
                if !self.nodes[node].cut.1 && self.random.u8(..30) > 0 {
                    let at = self.at + self.latency();
                    self.push(at, What::Answer(node, number, id, answer));
                }
            }
            What::Resend(node, number, id) => self.send(node, number, id),
            What::Answer(node, number, id, answer) => {
                let at = self.at;
                let Some(connection) = self.nodes[node].connection.as_mut().filter(|other| other.number == number)
                else {
                    return;
                };
                connection.heard = at;
                if connection.asked.remove(&id).is_some() {
                    self.tell(|| format!("n{node} answer {id} {answer:?}"));
                    self.turn(node, vec![Event::Fleet(FleetEvent::Answered { id, answer })]);
                }
            }
            What::Watch(node, number) => {
                let at = self.at;
                let of = &mut self.nodes[node];
                let Some(connection) = of.connection.as_mut().filter(|other| other.number == number) else { return };
                connection.is_watch_under_way = false;
                if of.cut.1 || self.is_engine_down {
                    return;
                }
                connection.heard = at;
                let entries = self.engine.watch(connection.seen);
                connection.seen = self.engine.log.len();
                if !entries.is_empty() {
                    self.turn(node, vec![Event::Fleet(FleetEvent::Entries(entries))]);
                }
            }
            What::Silence(node, number) => {
                let Some(connection) = self.nodes[node].connection.as_ref().filter(|other| other.number == number)
                else {
                    return;
                };
                if self.at - connection.heard > 6_000 {
                    return self.disconnect(node);
                }
                self.push(self.at + 1_000, What::Silence(node, number));
            }
            What::Begins(node, boot, start, start_by, end_by) => self.execute(node, boot, start, start_by, end_by),
            What::Ends(node, boot, run) => self.end(node, boot, run),
            What::Happens(happening) => self.happen(happening),
        }
    }

    pub(super) fn has_lease(&self, node: usize, lease: u64) -> bool {
        self.nodes[node].connection.as_ref().is_some_and(|connection| connection.lease == lease)
    }

    /// Lets the watches show what has changed.
    pub(super) fn show_changes(&mut self) {
        for node in 0..self.nodes.len() {
            let is_behind = |connection: &&mut Connection| {
                !connection.is_watch_under_way && connection.seen < self.engine.log.len()
            };
            let Some(connection) = self.nodes[node].connection.as_mut().filter(is_behind) else { continue };
            connection.is_watch_under_way = true;
            let number = connection.number;
            let at = self.at + self.latency();
            self.push(at, What::Watch(node, number));
        }
    }

    pub(super) fn connect(&mut self, node: usize, number: u64) {
        let of = &self.nodes[node];
        if of.connections != number || of.plan.is_none() || of.connection.is_some() {
            return;
        }
        let works = of.condition == Condition::Works
            && of.cut == (false, false)
            && !self.is_engine_down
            && !self.is_engine_full;
        if !works {
            let at = self.at + self.random.i64(500..3_000);
            return self.push(at, What::Connect(node, number));
        }
        let sent_ms = of.elapsed(self.at);
        let lease = self.engine.grant(self.at);
        let (entries, seen) = (self.engine.list(), self.engine.log.len());
        let at = self.at + self.latency();
        self.push(at, What::Listed(node, number, lease, sent_ms, entries, seen));
        // If that is lost.
        self.push(self.at + 10_000, What::Connect(node, number));
    }

    pub(super) fn disconnect(&mut self, node: usize) {
        self.tell(|| format!("n{node} away"));
        self.nodes[node].connection = None;
        self.reconnect(node);
        self.turn(node, vec![Event::Fleet(FleetEvent::Away)]);
    }

    pub(super) fn reconnect(&mut self, node: usize) {
        self.nodes[node].connections += 1;
        let number = self.nodes[node].connections;
        let at = self.at + self.random.i64(10..2_000);
        self.push(at, What::Connect(node, number));
    }

    /// The agent sends a request, and again until there is an answer.
    pub(super) fn send(&mut self, node: usize, number: u64, id: u64) {
        let of = &mut self.nodes[node];
        let elapsed = of.elapsed(self.at);
        let Some(connection) = of.connection.as_mut().filter(|other| other.number == number) else { return };
        let Some(request) = connection.asked.get(&id) else { return };
        if elapsed >= request.expires_ms {
            connection.asked.remove(&id);
            return self.turn(node, vec![Event::Fleet(FleetEvent::Answered { id, answer: FleetAnswer::Unknown })]);
        }
        let transaction = request.transaction.clone();
        if !of.cut.0 && self.random.u8(..30) > 0 {
            let at = self.at + self.latency();
            self.push(at, What::Arrives(node, number, id, transaction));
        }
        let at = self.at + self.random.i64(1_000..4_000);
        self.push(at, What::Resend(node, number, id));
    }
}
