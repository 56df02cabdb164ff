//! The fleet as somebody sees it: its nodes, its jobs and their outcomes; and the repair of a watermark.
//!
//! Keys that every node watches are in the scheduler. What else is asked for is read from the engine, which takes a moment: the tables of nodes
//! whose fleet jobs are not those of this one, and the outcomes of a job.

use super::node_tables::TableGroups;
use super::search::FoundJob;
use super::state::{FleetCall, FleetListing, FleetQuestion, Purpose, Request, Walk};
use crate::control::{Access, Visibility};
use crate::crontab::FleetMode;
use crate::daemon::reactor::Token;
use crate::daemon::state::{Daemon, now};
use crate::schedule::Timestamp;
use crate::scheduler::{
    EntryCursor, FleetEntry, FleetKey, FleetNodeView, FleetOutcome, FleetRepair, FleetView, JobId, Live, OUTCOMES_KEPT,
    Scheduler,
};
use crate::sys::clock;
use crate::sys::local_socket::Peer;
use crate::varlink::{Reply, Time, cron};
use std::collections::BTreeSet;

/// Jobs of one page, and about how many bytes of them.
const JOBS_OF_PAGE: usize = 500;
const BYTES_OF_PAGE: usize = 256 << 10;
/// How long a repair of a watermark is waited for. Milliseconds.
const TIMEOUT_MS: i64 = 30_000;
/// A clock that is off by more is worth a warning. Milliseconds.
const CLOCK_NOTED_MS: i64 = 1_000;

impl Daemon {
    /// Answers `Fleet` or `FleetJobs`, after the tables of other nodes that are not known have been read, one after the other.
    pub(super) fn ask_fleet(&mut self, token: Token, peer: Peer, more: bool, question: FleetQuestion) {
        let Some(view) = self.driver.scheduler.fleet_view(now()) else {
            return self.answer_fleet(token, &peer, more, question);
        };
        self.control.node_tables.keep_only(&view.nodes);
        let missing =
            self.control.node_tables.missing(&view).map(|(node, digest)| (node.to_owned(), digest.to_owned()));
        let reading = missing.and_then(|(node, digest)| {
            let id = self.read_fleet_keys(&FleetKey::Jobs(node).to_string(), 1)?;
            Some((id, digest))
        });
        match reading {
            Some((id, digest)) => {
                let call = FleetCall::Tables { peer, more, question, reading: id, digest };
                self.control.requests.insert(token, Request::Fleet(Box::new(call)));
            }
            None => self.answer_fleet(token, &peer, more, question),
        }
    }

    /// The same with what is known.
    fn answer_fleet(&mut self, token: Token, peer: &Peer, more: bool, question: FleetQuestion) {
        let view = self.driver.scheduler.fleet_view(now());
        let own = self.driver.scheduler.fleet_jobs();
        let groups = view.as_ref().map(|view| self.control.node_tables.groups(view, own)).unwrap_or_default();
        match question {
            FleetQuestion::Overview => {
                let fleet = match (view, self.fleet_name()) {
                    (Some(view), _) => self.fleet_for(peer, &view, &groups),
                    // It is set up, and this machine cannot take part.
                    (None, Some(name)) => cron::Fleet {
                        name: Some(name.to_owned()),
                        engine: "away".to_owned(),
                        why: self.fleet_fault().map(str::to_owned),
                        ..cron::Fleet::default()
                    },
                    (None, None) => cron::Fleet { engine: "off".to_owned(), ..cron::Fleet::default() },
                };
                self.reply(token, &Reply::of(&fleet));
            }
            FleetQuestion::Jobs { jobs, filter } => {
                let listing = FleetListing { jobs, filter, groups, ..FleetListing::default() };
                let purpose = Purpose::FleetJobs(Box::new(listing));
                let cursor = EntryCursor::default();
                self.begin_walk(token, Walk { peer: peer.clone(), cursor, is_behind_entries: false, more, purpose });
            }
        }
    }

    /// What `Fleet` says to somebody. Other nodes and their jobs are for those who see all jobs.
    fn fleet_for(&self, peer: &Peer, view: &FleetView, groups: &TableGroups) -> cron::Fleet {
        let now_ms = clock::monotonic_ms();
        let at = |ms: i64| Time::of_ms(clock::wall_ms().saturating_sub(now_ms.saturating_sub(ms)));
        let sees_all = self.sees_fleet(peer);
        let (nodes, warnings) = if sees_all {
            let node = |node: &FleetNodeView| cron::FleetNode {
                node: node.node.clone(),
                state: state_of(node, view).to_owned(),
                labels: node.labels.clone(),
                weight: node.weight,
                version: node.version.clone(),
                clock_offset: node.offset_ms.map(|ms| ms as f64 / 1e3),
                jobs: node.jobs as usize,
                contact: node.last_contact_ms.map(at),
            };
            (view.nodes.iter().map(node).collect(), warnings(view, groups))
        } else {
            (Vec::new(), Vec::new())
        };
        let (jobs, differing) = if sees_all { groups.counts() } else { (0, 0) };
        cron::Fleet {
            name: self.fleet_name().map(str::to_owned),
            node: Some(view.node.clone()),
            engine: if view.away_since_ms.is_some() { "away" } else { "up" }.to_owned(),
            since: view.away_since_ms.map(at),
            why: view.away_since_ms.and_then(|_| self.fleet_fault()).map(str::to_owned),
            nodes,
            jobs,
            differing,
            warnings,
        }
    }

    /// Whether somebody sees the nodes and all their jobs. A standalone daemon has those of its user.
    pub(super) fn sees_fleet(&self, peer: &Peer) -> bool {
        self.is_own_standalone(peer) || self.control.rights.sees_all(peer)
    }

    /// Answers `FleetHistory`, once the agent has read the keys of the job.
    pub(super) fn read_fleet_history(&mut self, token: Token, job: &JobId) {
        if self.driver.scheduler.fleet_view(now()).is_none() {
            return self.refuse(token, no_fleet());
        }
        // All keys of its outcomes, whose last part is a number.
        let key = FleetKey::Outcome(job.clone(), 0).to_string();
        let prefix = key.rsplit_once('/').map_or(key.as_str(), |(prefix, _)| prefix);
        match self.read_fleet_keys(&format!("{prefix}/"), u32::try_from(2 * OUTCOMES_KEPT).unwrap_or(u32::MAX)) {
            Some(reading) => {
                let call = FleetCall::Outcomes { reading };
                self.control.requests.insert(token, Request::Fleet(Box::new(call)));
            }
            None => self.refuse(token, self.away()),
        }
    }

    /// Answers `FleetReset`, which sets the watermark of a job to now; the reply follows when the engine has stored it.
    pub(super) fn repair_fleet_mark(&mut self, token: Token, job: &FoundJob) {
        if self.driver.scheduler.fleet_view(now()).is_none() {
            return self.refuse(token, no_fleet());
        }
        let repair = self.driver.request(|scheduler| scheduler.repair_fleet_mark(&job.id, now()));
        match repair {
            FleetRepair::Asked(was) => {
                let give_up_ms = clock::monotonic_ms().saturating_add(TIMEOUT_MS);
                let call = FleetCall::Repair { job: job.id.clone(), was, give_up_ms };
                self.control.requests.insert(token, Request::Fleet(Box::new(call)));
            }
            FleetRepair::NotNeeded(slot) => {
                let slot = slot.map(|slot| Timestamp(slot).into());
                self.reply(token, &Reply::of(&cron::FleetReset { slot, repaired: false }));
            }
            FleetRepair::Away => self.refuse(token, self.away()),
            FleetRepair::Skewed => {
                let why = "the clock of this node differs too much from the fleet's: correct it, or ask another node";
                self.refuse(token, cron::Error::FleetAway { why: why.to_owned() });
            }
        }
    }

    /// Goes on with the call that has asked for these keys. None: they could not be read.
    pub(in crate::daemon) fn take_fleet_keys(&mut self, id: u64, entries: Option<Vec<FleetEntry>>) {
        let waits = |request: &Request| match request {
            Request::Fleet(call) => call.reading() == Some(id),
            _ => false,
        };
        let Some(token) = self.control.requests.iter().find(|(_, request)| waits(request)).map(|(token, _)| *token)
        else {
            return;
        };
        let Some(Request::Fleet(call)) = self.control.requests.remove(&token) else { return };
        match (*call, entries) {
            (FleetCall::Tables { peer, more, question, digest, .. }, Some(entries)) => {
                let value = entries.first().and_then(|entry| entry.value.as_deref());
                self.control.node_tables.add(digest, value);
                self.ask_fleet(token, peer, more, question);
            }
            // What is not known is left out.
            (FleetCall::Tables { peer, more, question, .. }, None) => self.answer_fleet(token, &peer, more, question),
            (FleetCall::Outcomes { .. }, Some(entries)) => {
                self.reply(token, &Reply::of(&history_of(&entries)));
            }
            (FleetCall::Outcomes { .. }, None) => self.refuse(token, self.away()),
            (FleetCall::Repair { .. }, _) => {}
        }
        // The next call of the client may wait behind this one.
        if !self.control.requests.contains_key(&token) {
            self.answer_calls(token);
        }
    }

    /// The engine cannot be reached any more: what was to be read from it does not come.
    pub(in crate::daemon) fn end_fleet_reads(&mut self) {
        let reading = |request: &Request| match request {
            Request::Fleet(call) => call.reading(),
            _ => None,
        };
        let reads: Vec<u64> = self.control.requests.values().filter_map(reading).collect();
        reads.into_iter().for_each(|id| self.take_fleet_keys(id, None));
    }

    /// Answers those who wait for a watermark to be repaired.
    pub(super) fn advance_fleet_repairs(&mut self, now_ms: i64) {
        let mut done = Vec::new();
        for (token, request) in &self.control.requests {
            let Request::Fleet(call) = request else { continue };
            let FleetCall::Repair { job, was, give_up_ms } = call.as_ref() else { continue };
            let mark = self.driver.scheduler.fleet_job_view(job).and_then(|view| view.mark);
            if mark.is_none_or(|(mark, _)| mark.slot < *was) {
                done.push((*token, Some(*was)));
            } else if now_ms >= *give_up_ms {
                done.push((*token, None));
            }
        }
        for (token, was) in done {
            match was {
                Some(was) => {
                    let slot = Some(Timestamp(was).into());
                    self.reply(token, &Reply::of(&cron::FleetReset { slot, repaired: true }));
                }
                None => self.refuse(token, self.away()),
            }
            self.answer_calls(token);
        }
    }

    fn away(&self) -> cron::Error {
        let why = self.fleet_fault().map(|why| format!(": {why}")).unwrap_or_default();
        cron::Error::FleetAway { why: format!("the engine of the fleet (etcd) does not answer{why}") }
    }
}

fn no_fleet() -> cron::Error {
    cron::Error::FleetAway { why: "no fleet is set up: see cronwheel-fleet(7)".to_owned() }
}

fn state_of(node: &FleetNodeView, view: &FleetView) -> &'static str {
    match node {
        FleetNodeView { is_alive: false, .. } => "gone",
        FleetNodeView { is_skewed: true, .. } => "clock",
        node if node.node == view.node && !view.is_name_taken => "here",
        _ => "up",
    }
}

/// What is wrong, in words.
fn warnings(view: &FleetView, groups: &TableGroups) -> Vec<String> {
    let mut warnings = Vec::new();
    if view.is_name_taken {
        let node = &view.node;
        warnings.push(format!("another machine is the node {node}: this one takes no part; set node in [fleet]"));
    }
    for node in view.nodes.iter().filter(|node| node.is_alive) {
        let Some(offset_ms) = node.offset_ms.filter(|ms| ms.abs() > CLOCK_NOTED_MS) else { continue };
        let what = if node.is_skewed { ", and it takes no part until that is corrected" } else { "" };
        let seconds = offset_ms as f64 / 1e3;
        warnings.push(format!("the clock of {} is {seconds:+.1} s off{what}", node.node));
    }
    for job in &view.ahead {
        warnings.push(format!("{job} was claimed for the future by a wrong clock: cronctl fleet reset {job}"));
    }
    match groups.unread() {
        0 => {}
        1 => warnings.push("the fleet jobs of 1 node were not compared".to_owned()),
        count => warnings.push(format!("the fleet jobs of {count} nodes were not compared")),
    }
    warnings
}

/// The outcomes in these keys, the newest first. Those that cannot be read are left out.
fn history_of(entries: &[FleetEntry]) -> cron::FleetHistory {
    let read = |entry: &FleetEntry| serde_json::from_str::<FleetOutcome>(entry.value.as_deref()?).ok();
    let mut outcomes: Vec<FleetOutcome> = entries.iter().filter_map(read).collect();
    outcomes.sort_by_key(|outcome| std::cmp::Reverse((outcome.slot, outcome.fence)));
    let shown = |outcome: FleetOutcome| cron::FleetOutcome {
        scheduled_at: Timestamp(outcome.slot).into(),
        node: outcome.node,
        run: outcome.run,
        attempt: outcome.attempt,
        started_at: outcome.started_at_ms.map(Time::of_ms),
        ended_at: outcome.ended_at_ms.map(Time::of_ms),
        outcome: outcome.outcome,
        detail: outcome.detail.map(|detail| match outcome.count {
            0 | 1 => detail,
            count => format!("{detail}, {count} slots"),
        }),
        fence: outcome.fence,
    };
    cron::FleetHistory { outcomes: outcomes.into_iter().map(shown).collect() }
}

impl FleetCall {
    fn reading(&self) -> Option<u64> {
        match self {
            FleetCall::Tables { reading, .. } | FleetCall::Outcomes { reading } => Some(*reading),
            FleetCall::Repair { .. } => None,
        }
    }
}

impl FleetListing {
    pub(super) fn is_full(&self) -> bool {
        self.page.len() >= JOBS_OF_PAGE || self.bytes >= BYTES_OF_PAGE
    }

    pub(super) fn take_page(&mut self) -> cron::FleetJobs {
        self.bytes = 0;
        cron::FleetJobs { jobs: std::mem::take(&mut self.page) }
    }

    /// Adds the job of an entry if it is a fleet job and wanted.
    pub(super) fn note_entry(&mut self, scheduler: &Scheduler, live: &Live<'_>, access: Access) {
        if live.policy().fleet.mode == FleetMode::Each {
            return;
        }
        let Some(id) = live.id() else { return };
        let is_wanted = self.jobs.as_ref().is_none_or(|jobs| jobs.contains(&id))
            && self.filter.user.as_ref().is_none_or(|wanted| wanted == live.user_or_caller())
            && self.filter.source.as_ref().is_none_or(|wanted| *wanted == live.source().path);
        if is_wanted {
            self.add(scheduler, &id, access.sees);
        }
        self.seen.insert(id);
    }

    /// Adds jobs that only other nodes have, until a page is full. True: there are no more.
    pub(super) fn note_others(&mut self, scheduler: &Scheduler) -> bool {
        if self.filter.source.is_some() || self.jobs.is_some() {
            return true;
        }
        let user = self.filter.user.clone();
        let is_wanted = |id: &&JobId| user.as_deref().is_none_or(|wanted| wanted == id.user());
        let others: BTreeSet<JobId> =
            self.groups.jobs().filter(|id| !self.seen.contains(*id)).filter(is_wanted).cloned().collect();
        for id in others {
            self.add(scheduler, &id, Visibility::All);
            self.seen.insert(id);
            if self.is_full() {
                return false;
            }
        }
        true
    }

    fn add(&mut self, scheduler: &Scheduler, id: &JobId, sees: Visibility) {
        let Some(view) = scheduler.fleet_job_view(id) else { return };
        let presence = self.groups.presence(id);
        let known_on = presence.first_nodes.into_iter().map(str::to_owned).collect();
        let pause = view.pause;
        let job = cron::FleetJob {
            job: id.to_string(),
            fleet: view.mode.unwrap_or_default().to_owned(),
            known_on,
            known_count: presence.count,
            differs: presence.differs,
            next_node: view.first,
            slot: view.mark.as_ref().map(|(mark, _)| Timestamp(mark.slot).into()),
            node: view.mark.as_ref().map(|(mark, _)| mark.node.clone()),
            state: view.mark.as_ref().map(|(mark, _)| mark.state.as_str().to_owned()),
            paused_until: pause.as_ref().map(|pause| Timestamp(pause.until).into()),
            // Who paused a job of the system, and why, is root's.
            paused_by: pause.as_ref().map(|pause| pause.by.clone()).filter(|_| sees == Visibility::All),
            note: pause.map(|pause| pause.note).filter(|note| sees == Visibility::All && !note.is_empty()),
        };
        self.bytes += 400 + job.job.len() + job.known_on.iter().map(String::len).sum::<usize>();
        self.page.push(job);
    }
}
