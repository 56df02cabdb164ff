//! Daemons and executors as the model has them, and what happens to them.

use super::*;

impl Fleet {
    pub(super) fn start(&mut self, node: usize) {
        if self.nodes[node].plan.is_some() {
            return;
        }
        self.tell(|| format!("n{node} starts"));
        let of = &mut self.nodes[node];
        of.condition = Condition::Works;
        of.daemons += 1;
        let now = of.now(self.at);
        let mut plan = Scheduler::new(Zone::utc(), now);
        plan.set_caller("alice");
        let settings = FleetSettings {
            node: of.name.clone(),
            labels: Vec::new(),
            weight: 1,
            version: "1".to_owned(),
            fresh_instance: format!("{node:x}b{:x}d{:x}", of.boot, of.daemons),
        };
        plan.set_fleet(settings, next_number);
        plan.reserve_runs_from(RunId(of.next_run));
        let loaded = plan.handle(Event::Load { source: source("/spool/alice"), table: table(&self.text) }, now);
        let mut earlier: Vec<EarlierRun> = of
            .running
            .iter()
            .map(|(run, of)| EarlierRun {
                run: *run,
                job: of.request.job.clone(),
                scheduled_at: Timestamp(of.request.scheduled_at),
                cause: cause_of(&of.request),
            })
            .collect();
        let mut undelivered = std::mem::take(&mut of.undelivered);
        // An earlier daemon was told of these, and has not saved what follows.
        let saved = &of.saved;
        let is_unsaved = |end: &&(EarlierRun, RunResult)| saved.lacks_end_of(&end.0);
        undelivered.extend(of.delivered.iter().filter(is_unsaved).cloned());
        of.delivered.extend(undelivered.iter().cloned());
        earlier.extend(undelivered.iter().map(|(run, _)| run.clone()));
        let known: Vec<EarlierRun> =
            of.begun.iter().filter(|(at, _)| self.at - at < 500_000).map(|(_, run)| run.clone()).collect();
        let started = known.iter().map(|run| (run.job.clone(), run.scheduled_at)).collect();
        plan.handle(Event::EarlierRuns(earlier), now);
        plan.handle(Event::EarlierStarts(known), now);
        let running = of.running.iter().map(|(run, of)| (*run, of.request.job.clone())).collect();
        let mut saved = of.saved.clone();
        let is_boot = of.completed.is_none();
        if is_boot {
            saved.set_of_other_boot();
        }
        let saved = Box::new(saved);
        let begin = Event::DaemonStarted { boot: is_boot, completed: of.completed, started, running, saved };
        of.plan = Some(plan);
        let ends: Vec<Event> = undelivered.into_iter().map(|(_, end)| Event::RunEnded(Box::new(end))).collect();
        self.perform(node, loaded, None);
        self.turn(node, ends.into_iter().chain([begin]).collect());
        self.reconnect(node);
    }

    /// Gives a node events, and does what it wants.
    pub(super) fn turn(&mut self, node: usize, events: Vec<Event>) {
        let of = &mut self.nodes[node];
        if of.plan.is_none() {
            return;
        }
        if of.condition != Condition::Works {
            return of.inbox.extend(events);
        }
        let now = of.now(self.at);
        let Some(plan) = &mut of.plan else { return };
        let actions = plan.handle_all(events, now);
        let crash = of.crash.take_if(|crash| actions.len() > crash.actions);
        self.perform(node, actions, crash);
        if let Some(crash) = crash {
            return self.crash(node, crash);
        }
        self.set_alarm(node);
    }

    fn set_alarm(&mut self, node: usize) {
        let of = &mut self.nodes[node];
        let Some(plan) = &of.plan else { return };
        of.wakes += 1;
        let by_clock = plan.wake_at().map(|at| at.0 * 1_000 - base_ms() - of.skew);
        let elapsed = plan.wake_at_elapsed_ms().map(|at| at - BOOTED_MS + of.slept);
        let number = of.wakes;
        if let Some(at) = [by_clock, elapsed].into_iter().flatten().min() {
            let late = if self.random.u8(..10) == 0 { self.random.i64(..300) } else { 0 };
            self.push(at.max(self.at + 1) + late, What::Wake(node, number));
        }
    }

    fn perform(&mut self, node: usize, actions: Vec<Action>, crash: Option<Crash>) {
        // What is saved in a turn is written together, at its end.
        let is_written = crash.is_none_or(|crash| crash.is_written);
        let most = crash.filter(|_| !is_written).map_or(usize::MAX, |crash| crash.actions);
        for (number, action) in actions.into_iter().enumerate() {
            let is_lost = number >= most;
            match action {
                Action::ReserveRuns(upto) => self.nodes[node].next_run = upto.0,
                Action::SaveState(change) if is_written => self.nodes[node].saved.apply(*change),
                Action::Completed(upto) if is_written => {
                    self.nodes[node].completed = Some(upto);
                    self.nodes[node].saved.set_handled(upto);
                }
                _ if is_lost => {}
                Action::Start(start) => self.hand_over(node, start),
                Action::Fleet(request) => self.ask(node, *request),
                Action::ExtendRuns { runs, end_by_ms } => {
                    let (until, boot) = (end_by_ms - BOOTED_MS + self.nodes[node].slept, self.nodes[node].boot);
                    for run in runs {
                        let of = self.nodes[node].running.get_mut(&run);
                        if let Some(of) = of.filter(|of| of.deadline.is_some()) {
                            of.deadline = Some(until);
                        }
                        self.push(until, What::Ends(node, boot, run));
                    }
                }
                Action::End { run, .. } => {
                    let (at, boot) = (self.at, self.nodes[node].boot);
                    if let Some(of) = self.nodes[node].running.get_mut(&run) {
                        of.ends = at;
                        self.push(at, What::Ends(node, boot, run));
                    }
                }
                Action::Record(record) => {
                    self.tell(|| {
                        format!("n{node} records {} {} {:?}", record.job, record.scheduled_at, record.outcome)
                    });
                    self.records.push((node, *record));
                }
                _ => {}
            }
        }
        let at = self.at;
        let of = &mut self.nodes[node];
        of.versions.push_back((at, of.saved.clone(), of.completed));
        // The oldest one is on the disk.
        while of.versions.get(1).is_some_and(|(since, ..)| *since < at - 4_000) {
            of.versions.pop_front();
        }
    }

    fn ask(&mut self, node: usize, request: FleetRequest) {
        self.tell(|| format!("n{node} asks {} {:?}", request.id, request.transaction));
        // The agent may have given up its connection, and main does not know that yet.
        let Some(connection) = &mut self.nodes[node].connection else { return };
        let (number, id) = (connection.number, request.id);
        connection.asked.insert(id, request);
        self.send(node, number, id);
    }

    /// A start is on its way to the executor.
    fn hand_over(&mut self, node: usize, start: Box<RunRequest>) {
        let is_by_hand = start.trigger == Trigger::Manual;
        if start.fleet.is_none() && !is_by_hand {
            return self.faults.push(format!("{} has no claim", start.job));
        }
        let never = FleetRun { fence: None, start_by_ms: i64::MAX / 2, end_by_ms: None };
        let claim = start.fleet.unwrap_or(never);
        let of = &self.nodes[node];
        let (boot, convert) = (of.boot, |at: i64| at - BOOTED_MS + of.slept);
        let (start_by, end_by) = (convert(claim.start_by_ms), claim.end_by_ms.map(convert));
        let late = if self.random.u8(..40) == 0 { self.random.i64(..40_000) } else { self.random.i64(..20) };
        self.push(self.at + late, What::Begins(node, boot, start, start_by, end_by));
    }

    pub(super) fn execute(
        &mut self,
        node: usize,
        boot: u64,
        start: Box<RunRequest>,
        start_by: i64,
        end_by: Option<i64>,
    ) {
        let of = &mut self.nodes[node];
        if of.boot != boot {
            return;
        }
        if of.condition == Condition::Asleep {
            let at = self.at + 100;
            return self.push(at, What::Begins(node, boot, start, start_by, end_by));
        }
        let run = start.run;
        let scheduled_at = Timestamp(start.scheduled_at);
        let known = EarlierRun { run, job: start.job.clone(), scheduled_at, cause: cause_of(&start) };
        of.begun.push((self.at, known));
        self.turn(node, vec![Event::Accepted(vec![run])]);
        if self.at > start_by || end_by.is_some_and(|end_by| self.at >= end_by) {
            let why = "claim expired".to_owned();
            self.tell(|| format!("n{node} does not start {} {}", start.job, start.scheduled_at));
            return self.deliver(node, &start, RunOutcome::NotStarted { why }, None, false);
        }
        let slot = (start.job.clone(), start.scheduled_at);
        self.tell(|| format!("n{node} STARTS {} {} #{} run {}", start.job, start.scheduled_at, start.attempt, run.0));
        let started = Start { node, boot, run, attempt: start.attempt, from: self.at, to: None };
        if start.trigger == Trigger::Manual {
            self.check_start_by_hand(&start, node);
        } else {
            self.check_start(&start, &started);
            self.starts.entry(slot).or_default().push(started);
        }
        let job = &self.jobs[&start.job];
        let status = i32::from(self.random.u8(..6) < job.fails);
        let ends = self.at + self.random.i64(1..=job.duration);
        let of = Run { request: *start, started: self.at, ends, status, deadline: end_by };
        let first = end_by.map_or(ends, |end_by| end_by.min(ends));
        self.nodes[node].running.insert(run, of);
        self.push(first, What::Ends(node, boot, run));
        self.push(ends, What::Ends(node, boot, run));
    }

    /// A run may have ended.
    pub(super) fn end(&mut self, node: usize, boot: u64, run: RunId) {
        let of = &mut self.nodes[node];
        if of.boot != boot {
            return;
        }
        let Some(running) = of.running.get(&run) else { return };
        let is_over = running.deadline.is_some_and(|deadline| deadline <= self.at);
        if !is_over && running.ends > self.at {
            return;
        }
        if of.condition == Condition::Asleep {
            let at = self.at + 100;
            return self.push(at, What::Ends(node, boot, run));
        }
        let Some(ended) = of.running.remove(&run) else { return };
        // While the machine slept it did nothing, and its deadline comes first after that.
        let to = ended.deadline.map_or(self.at, |deadline| deadline.min(self.at));
        if let Some(starts) = self.starts.get_mut(&(ended.request.job.clone(), ended.request.scheduled_at))
            && let Some(start) = starts.iter_mut().find(|start| start.run == run)
        {
            start.to = Some(to);
        }
        self.by_hand += usize::from(ended.request.trigger == Trigger::Manual);
        let outcome = match is_over {
            true => RunOutcome::Signal { number: 15, core_dumped: false },
            false => RunOutcome::Code(ended.status),
        };
        self.tell(|| format!("n{node} ended run {} {outcome:?}", run.0));
        self.deliver(node, &ended.request, outcome, Some(ended.started), is_over);
    }

    fn deliver(&mut self, node: usize, request: &RunRequest, outcome: RunOutcome, started: Option<i64>, is_over: bool) {
        let mut result = RunResult::of_outcome(request.run, outcome, base_ms() + self.at);
        result.started_at_ms = started.map(|at| base_ms() + at);
        result.is_timeout = is_over;
        let of = &mut self.nodes[node];
        let scheduled_at = Timestamp(request.scheduled_at);
        let run = EarlierRun { run: request.run, job: request.job.clone(), scheduled_at, cause: cause_of(request) };
        if of.plan.is_some() {
            of.delivered.push((run, result.clone()));
            return self.turn(node, vec![Event::RunEnded(Box::new(result))]);
        }
        of.undelivered.push((run, result));
    }

    fn crash(&mut self, node: usize, crash: Crash) {
        self.tell(|| format!("n{node} CRASHES {crash:?}"));
        self.has_crashed = true;
        let at = self.at;
        let of = &mut self.nodes[node];
        of.plan = None;
        of.connection = None;
        of.connections += 1;
        if crash.is_renamed {
            of.name.push('r');
        }
        if crash.lost_ms > 0 {
            let is_kept = |version: &&(i64, SavedState, Option<Timestamp>)| version.0 <= at - crash.lost_ms;
            let kept = of.versions.iter().rfind(is_kept).or(of.versions.front()).cloned();
            if let Some((_, saved, completed)) = kept {
                (of.saved, of.completed) = (saved, completed);
            }
            of.versions.clear();
        }
        of.has_lost_state |= crash.is_reboot && (crash.lost_ms > 0 || !crash.is_written);
        // Ends that have not been handled come again.
        for event in std::mem::take(&mut of.inbox) {
            if let Event::RunEnded(result) = event
                && let Some((_, run)) = of.begun.iter().find(|(_, run)| run.run == result.run)
            {
                of.delivered.retain(|(run, _)| run.run != result.run);
                of.undelivered.push((run.clone(), *result));
            }
        }
        if crash.is_reboot {
            of.boot += 1;
            of.completed = None;
            of.undelivered.clear();
            of.delivered.clear();
            of.begun.clear();
            for (run, of) in std::mem::take(&mut of.running) {
                let starts = self.starts.get_mut(&(of.request.job.clone(), of.request.scheduled_at));
                if let Some(start) = starts.and_then(|starts| starts.iter_mut().find(|start| start.run == run)) {
                    start.to = Some(at);
                }
            }
        }
        self.push(at + crash.down, What::Start(node));
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        self.tell(|| format!("{happening:?}"));
        match happening {
            Happening::Crash(node, crash) => {
                if self.nodes[node].plan.is_some() && self.nodes[node].condition == Condition::Works {
                    self.nodes[node].crash = Some(crash);
                }
            }
            Happening::Cut(node, there, back) => self.nodes[node].cut = (there, back),
            Happening::Heal(node) => self.nodes[node].cut = (false, false),
            Happening::Condition(node, condition) => {
                let of = &mut self.nodes[node];
                if of.plan.is_none() || of.condition == condition {
                    return;
                }
                if condition == Condition::Works {
                    let was_asleep = of.condition == Condition::Asleep;
                    of.condition = condition;
                    let inbox = std::mem::take(&mut of.inbox);
                    if was_asleep {
                        let slept = self.at - of.stopped_at;
                        of.slept += slept;
                        if let Some(plan) = &mut of.plan {
                            plan.note_sleep(slept);
                        }
                    }
                    self.turn(node, vec![Event::Tick]);
                    inbox.into_iter().for_each(|event| self.turn(node, vec![event]));
                    return;
                }
                of.condition = condition;
                of.stopped_at = self.at;
            }
            Happening::RunByHand(node, job, start) => self.turn(node, vec![Event::RunByHand { job, start }]),
            Happening::Snapshot => self.snapshot = Some(self.engine.clone()),
            Happening::Restore => {
                let Some(snapshot) = self.snapshot.take() else { return };
                self.engine.restore(snapshot, self.at);
                (self.is_engine_down, self.is_restored) = (false, true);
                for node in 0..self.nodes.len() {
                    if self.nodes[node].connection.is_some() {
                        self.disconnect(node);
                    }
                }
            }
            Happening::Step(node, step) => {
                self.nodes[node].skew += step;
                self.turn(node, vec![Event::Tick]);
            }
            Happening::EngineFull(is_full) => self.is_engine_full = is_full,
            Happening::Pause(node, job, until) => {
                let of = &self.nodes[node];
                let (from, skew) = (of.now(self.at).utc, of.skew);
                let until = Timestamp((base_ms() + until + skew).div_euclid(1_000));
                let (by, note) = (format!("u{}", self.numbers), String::new());
                let pause = Pause { from, until, by, note, is_by_root: false, source: None };
                if until > from {
                    self.turn(node, vec![Event::Pause { job, pause }]);
                }
            }
            Happening::Resume(node, job) => self.turn(node, vec![Event::Resume { job }]),
            Happening::ComparePauses => self.compare_pauses(),
            Happening::Ahead(job, ahead) => {
                let known = self.engine.get(&FleetKey::Mark(job.clone())).and_then(Mark::of_text);
                let Some(known) = known.filter(|mark| !mark.is_open() && !self.is_engine_down) else { return };
                let (before, slot) = (known.slot, (base_ms() + self.at + ahead).div_euclid(1_000));
                let mark = Mark { slot, state: MarkState::Ended, number: known.number + 1, ..known };
                self.engine.put(&FleetKey::Mark(job.clone()), &mark.to_string());
                self.ahead.insert(job, (before, slot));
                self.show_changes();
            }
            Happening::Reset(node, job) => {
                let of = &mut self.nodes[node];
                let now = of.now(self.at);
                if let Some(plan) = of.plan.as_mut().filter(|_| of.condition == Condition::Works) {
                    let actions = plan.repair_fleet_mark(&job, now).actions;
                    self.perform(node, actions, None);
                    self.set_alarm(node);
                }
            }
            Happening::EngineDown(is_down) => {
                self.is_engine_down = is_down;
                if !is_down {
                    self.engine.extend_leases(self.at);
                    self.show_changes();
                }
            }
        }
    }
}
