//! The rule of time once more, in the plainest way there is: Vixie cron's virtual clock, advanced minute by minute, for
//! each zone. It shares nothing with the scheduler but the question whether a schedule matches a local minute.

use cronwheel::schedule::{LocalMinute, Schedule, Timestamp, Zone};
use std::sync::Arc;

/// An entry of the reference.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its number, which is also its command.
    pub name: usize,
    pub schedule: Schedule,
    /// Whether its minute or hour field begins with `*`.
    pub wildcard: bool,
    /// Index into the reference's zones; 0 is the system's.
    pub zone: usize,
    pub delay: i64,
    pub line: usize,
}

/// What is to be started: in the order of the fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: i64,
    rank: i64,
    line_from_below: isize,
    name: usize,
}

struct Local {
    zone: Arc<Zone>,
    /// The virtual clock as it goes on by itself.
    shows: i64,
    /// What it showed before it was set back: fixed times up to here are held.
    held: i64,
}

/// The daemon of the reference. All times are what the machine's clock shows.
pub struct Reference {
    zones: Vec<Local>,
    jobs: Vec<Job>,
    /// The latest second that was handled, as UTC.
    high: i64,
    waiting: Vec<(i64, usize, usize)>,
    found: Vec<Due>,
}

const FIRST: i64 = i64::MIN;

fn local(zone: &Zone, at: i64) -> i64 {
    zone.local_minute(Timestamp(at)).0
}

fn lines_from_below(line: usize) -> isize {
    -(line as isize)
}

impl Local {
    /// One tick at `at`: the entries that are due, each with its rank.
    fn tick(&mut self, jobs: &[Job], own: usize, at: i64) -> Vec<(usize, i64)> {
        let now = local(&self.zone, at);
        let due = self.due(self.shows, now, jobs, own);
        if !(-179..=0).contains(&(now - self.shows)) {
            self.shows = now;
        }
        due
    }

    /// One tick after the clock was set.
    fn tick_after_step(&mut self, jobs: &[Job], own: usize, at: i64) -> Vec<(usize, i64)> {
        let (before, now) = (self.shows.max(self.held), local(&self.zone, at));
        self.held = i64::MIN;
        let due = self.due(before, now, jobs, own);
        if (-179..=0).contains(&(now - before)) {
            self.held = before;
        }
        self.shows = now;
        due
    }

    fn due(&self, before: i64, now: i64, jobs: &[Job], own: usize) -> Vec<(usize, i64)> {
        let mut due = Vec::new();
        for (index, job) in jobs.iter().enumerate().filter(|(_, job)| job.zone == own) {
            let free = |minute: &i64| job.wildcard || *minute > self.held;
            let matching = |from: i64, rank_now: i64| {
                let minutes = (from + 1..=now).filter(|minute| job.schedule.matches(LocalMinute(*minute))).filter(free);
                minutes.map(|minute| (index, if minute == now { rank_now } else { minute - now })).collect::<Vec<_>>()
            };
            due.extend(match now - before {
                1..=5 => matching(before, 0),
                6..=180 if job.wildcard => matching(now - 1, FIRST),
                6..=180 => matching(before, 0),
                -179..=0 if job.wildcard => matching(now - 1, 0),
                -179..=0 => Vec::new(),
                _ => matching(now - 1, 0),
            });
        }
        due
    }

    /// The virtual clock of a daemon that has been running for hours when `at` has been handled.
    fn running_for_hours(zone: &Arc<Zone>, at: i64) -> Local {
        let begin = at - 2 * 3_600;
        let mut state = Local { zone: zone.clone(), shows: local(zone, begin), held: i64::MIN };
        for minute in minutes(begin, at) {
            state.tick(&[], 0, minute);
        }
        state
    }
}

/// The full minutes after `after`, up to `to`.
fn minutes(after: i64, to: i64) -> impl Iterator<Item = i64> {
    ((after.div_euclid(60) + 1)..=to.div_euclid(60)).map(|minute| minute * 60)
}

impl Reference {
    /// A daemon that begins at `now`; `completed` as in its record.
    pub fn begin(zones: &[Arc<Zone>], jobs: Vec<Job>, now: i64, completed: Option<i64>) -> (Reference, Vec<usize>) {
        let mut zones: Vec<_> = zones.iter().map(|zone| Local::running_for_hours(zone, now)).collect();
        let mut high = now;
        if let Some(completed) = completed.filter(|completed| *completed > now) {
            if completed - now < 60 {
                high = completed;
                zones = zones.iter().map(|it| Local::running_for_hours(&it.zone, completed)).collect();
            } else {
                for it in &mut zones {
                    *it = Local::running_for_hours(&it.zone, completed);
                    it.tick_after_step(&[], 0, now);
                }
            }
        }
        let mut daemon = Reference { zones, jobs, high, waiting: Vec::new(), found: Vec::new() };
        match completed {
            Some(completed) if completed > now => {
                daemon.make_up(completed, completed);
                if completed - now >= 60 {
                    daemon.waiting.iter_mut().for_each(|waiting| waiting.0 += now - completed);
                }
            }
            Some(completed) => daemon.make_up(completed.max(now - 180), now),
            None => {}
        }
        (daemon, Vec::new()).with_found(now)
    }

    fn make_up(&mut self, completed: i64, now: i64) {
        for index in 0..self.jobs.len() {
            let job = self.jobs[index].clone();
            let mut zone = Local::running_for_hours(&self.zones[job.zone].zone, completed - job.delay);
            for minute in minutes(completed - job.delay, now) {
                for (_, rank) in zone.tick(std::slice::from_ref(&job), job.zone, minute) {
                    self.due(index, minute, rank, now);
                }
            }
        }
    }

    fn due(&mut self, index: usize, base: i64, rank: i64, now: i64) {
        let job = &self.jobs[index];
        let (at, line_from_below, name) = (base + job.delay, lines_from_below(job.line), job.name);
        match at > now {
            true => self.waiting.push((at, name, job.line)),
            false => self.found.push(Due { at, rank, line_from_below, name }),
        }
    }

    fn start_waiting(&mut self, now: i64) {
        // An entry that waits twice for the same second is one start.
        self.waiting.sort();
        self.waiting.dedup();
        let (come, waiting) = self.waiting.iter().partition(|(at, ..)| *at <= now);
        self.waiting = waiting;
        let come: Vec<(i64, usize, usize)> = come;
        self.found.extend(come.into_iter().map(|(at, name, line)| Due {
            at,
            rank: 0,
            line_from_below: lines_from_below(line),
            name,
        }));
    }

    /// The names to start, in order.
    fn take_found(&mut self, now: i64) -> Vec<usize> {
        self.start_waiting(now);
        self.found.sort();
        self.found.drain(..).map(|due| due.name).collect()
    }

    /// The next second at which anything may be due.
    pub fn next_tick(&self) -> i64 {
        let minute = (self.high.div_euclid(60) + 1) * 60;
        self.waiting.iter().map(|(at, ..)| *at).chain([minute]).min().unwrap()
    }

    /// The clock went on to `to` without a step, and no tick came before.
    pub fn tick(&mut self, to: i64) -> Vec<usize> {
        let mut dues = Vec::new();
        for minute in minutes(self.high, to) {
            for (own, zone) in self.zones.iter_mut().enumerate() {
                dues.extend(zone.tick(&self.jobs, own, minute).into_iter().map(|(index, rank)| (minute, index, rank)));
            }
        }
        if let Some((first, ..)) = dues.first() {
            let late = to.div_euclid(60) - first.div_euclid(60) + 1;
            let now = to.div_euclid(60) * 60;
            for (minute, index, rank) in dues {
                let kept = match late {
                    ..=5 => true,
                    6..=180 => !self.jobs[index].wildcard || minute == now,
                    _ => minute == now,
                };
                if kept {
                    self.due(index, minute, rank, to);
                }
            }
        }
        self.high = self.high.max(to);
        self.take_found(to)
    }

    /// The clock showed `shown` as its last second before it was set to `to` (a sleep being the same).
    pub fn step(&mut self, shown: i64, to: i64) -> Vec<usize> {
        let back = to - shown - 1;
        if back < 0 {
            for waiting in &mut self.waiting {
                waiting.0 += back;
            }
        }
        let behind = self.high.max(shown + 1) - to;
        if (1..60).contains(&behind) {
            self.high = self.high.max(shown);
            return self.take_found(to);
        }
        let from = self.high.max(shown);
        for own in 0..self.zones.len() {
            let zone = &mut self.zones[own];
            let same_minute = to >= from && to - from < 60 && local(&zone.zone, from) == local(&zone.zone, to);
            if same_minute {
                continue;
            }
            for (index, rank) in zone.tick_after_step(&self.jobs, own, to) {
                self.due(index, to, rank, to);
            }
        }
        self.high = to;
        self.take_found(to)
    }

    /// The table holds other jobs now.
    pub fn reload(&mut self, jobs: Vec<Job>) {
        self.waiting.retain_mut(|(_, name, line)| match jobs.iter().find(|job| job.name == *name) {
            Some(job) => {
                *line = job.line;
                true
            }
            None => false,
        });
        self.jobs = jobs;
    }

    /// The system's zone is another one.
    pub fn change_zone(&mut self, zone: Arc<Zone>, now: i64) -> Vec<usize> {
        let handled = local(&self.zones[0].zone, self.high);
        self.zones[0].zone = zone;
        if local(&self.zones[0].zone, self.high) != handled {
            for (index, rank) in self.zones[0].tick_after_step(&self.jobs, 0, self.high) {
                let job = &self.jobs[index];
                if !(job.wildcard && job.schedule.matches(LocalMinute(handled))) {
                    self.due(index, self.high, rank, now);
                }
            }
        }
        self.take_found(now)
    }
}

trait WithFound {
    fn with_found(self, now: i64) -> (Reference, Vec<usize>);
}

impl WithFound for (Reference, Vec<usize>) {
    fn with_found(mut self, now: i64) -> (Reference, Vec<usize>) {
        self.1 = self.0.take_found(now);
        self
    }
}
