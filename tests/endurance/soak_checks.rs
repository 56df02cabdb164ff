//! What the soak holds the daemon to: the slots that were due, the records of them, and processes that do not grow.

use crate::common::{Daemon, Deadline, World};
use crate::soak_machine::{self as machine, Kind, LEDGER, MAILS, TABLES};
use cronwheel::schedule::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs;

const DATABASE: &str = "/var/lib/cronwheel/history/history.db";

/// A correction of less than so many seconds repeats nothing, and one forward to not more than so many minutes after the latest one skips nothing
/// that comes after that.
const SMALL_BACK_S: i64 = 60;
const FEW_MINUTES: i64 = 5;
/// The pause before a retry, and a second for what is rounded.
const RETRY_S: i64 = 3;
/// A first attempt that is retried takes less than so many seconds, on a busy machine, too.
const SHORT_RUN_S: i64 = 40;

/// By how much the least resident set in the last quarter may exceed the one in the second quarter, and its median that one, in KiB. A peak needs
/// more for a moment, which a sample meets or not. In the executor that may stay until the next peak: the heap shrinks only at its end, and one block
/// there that is in use keeps what the waiting starts before it took, 2,048 at most. So it is the least that shows a leak there.
const RSS_GROWTH_KIB: [(&str, u64, u64); 3] =
    [("main", 4096, 4096), ("executor", 4096, 16_384), ("recorder", 16_384, 16_384)];
/// By how much the number of descriptors may do so, in moments with few jobs.
const DESCRIPTOR_GROWTH: usize = 16;
/// A moment with few jobs has at most so many.
const FEW_JOBS: usize = 20;
/// A zombie that is there in so many samples in a row is one that nobody waits for.
const ZOMBIE_SAMPLES: usize = 3;
/// With this variable the machine is kept after a violation, to be looked at, until the test is killed.
const HOLD_VARIABLE: &str = "CRONWHEEL_SOAK_HOLD";
/// Of each kind of violation so many are listed.
const LISTED: usize = 30;
/// Of so many jobs with a wrong number of outcomes all that is known is printed: rows up to so many minutes away, and the last lines of the log.
const EXPLAINED: usize = 12;
const EXPLAINED_MINUTES: i64 = 8;
const EXPLAINED_LINES: usize = 60;

/// The minutes for which jobs are due, by the rules of crontab(5) for clocks that jump.
#[derive(Debug)]
pub struct Minutes {
    /// For wildcard entries, in order: minutes that the clock shows again are there again.
    wildcard: Vec<i64>,
    /// For fixed entries.
    fixed: BTreeSet<i64>,
    last: i64,
    highest: i64,
    /// The last one goes on.
    epochs: Vec<Epoch>,
}

/// The time between two steps of the clock.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    /// Slots after this second are due in it.
    due_after: i64,
    /// The first second that the clock shows.
    from: i64,
    /// The last one.
    until: i64,
    /// The length of the ledger when it began.
    ledger: u64,
}

impl Epoch {
    /// Whether a slot of a wildcard entry at that second comes in it.
    fn has_slot(&self, second: i64) -> bool {
        self.due_after < second && second <= self.until
    }

    /// Whether something may have ended in it at that second.
    fn has(&self, second: i64) -> bool {
        (self.from - 1..=self.until.saturating_add(1)).contains(&second)
    }
}

impl Minutes {
    /// None so far, on a machine whose clock shows that.
    pub fn from(shown: i64) -> Minutes {
        let last = shown.div_euclid(60);
        let epochs = vec![Epoch { due_after: shown, from: shown, until: i64::MAX, ledger: 0 }];
        Minutes { wildcard: Vec::new(), fixed: BTreeSet::new(), last, highest: last, epochs }
    }

    /// How many there were.
    pub fn index(&self) -> usize {
        self.wildcard.len()
    }

    /// All for a kind of jobs, in order. What was there once keeps its place.
    fn of_kind(&self, kind: Kind) -> Vec<i64> {
        if kind == Kind::Fixed { self.fixed.iter().copied().collect() } else { self.wildcard.clone() }
    }

    /// Time has passed: the clock shows that.
    pub fn go_on(&mut self, shown: i64) {
        let now = shown.div_euclid(60);
        self.wildcard.extend(self.last + 1..=now);
        self.fix(now);
        self.last = self.last.max(now);
    }

    /// The clock was set by so many seconds (less than three hours), and shows that.
    pub fn step(&mut self, by: i64, shown: i64) {
        let (before, now) = (shown - by, shown.div_euclid(60));
        let changes_nothing = (by < 0 && by > -SMALL_BACK_S) || (by > 0 && now <= self.last);
        // What counts is how far the clock had come before: while it has been set back, a step forward makes up for nothing up to there.
        let skips_nothing = by > 0 && (1..=FEW_MINUTES).contains(&(now - self.highest));
        let due_after = match (changes_nothing, skips_nothing) {
            (true, _) => before,
            (false, true) => before.max(self.highest * 60),
            (false, false) => now * 60 - 1,
        };
        self.epochs.last_mut().unwrap().until = before;
        let ledger = fs::metadata(LEDGER).map_or(0, |ledger| ledger.len());
        self.epochs.push(Epoch { due_after, from: shown, until: i64::MAX, ledger });
        if changes_nothing {
            return self.go_on(shown);
        }
        let first = if skips_nothing { self.highest + 1 } else { now };
        self.wildcard.extend(first..=now);
        self.fix(now);
        self.last = now;
    }

    fn fix(&mut self, now: i64) {
        self.fixed.extend(self.highest + 1..=now);
        self.highest = self.highest.max(now);
    }

    /// When a slot of a wildcard entry came that the clock has shown `earlier` times before: the number of the epoch, and the second in it.
    fn arrival(&self, slot: i64, earlier: usize) -> Option<(usize, i64)> {
        let mut epochs = self.epochs.iter().enumerate().filter(|(_, epoch)| epoch.has_slot(slot));
        epochs.nth(earlier).map(|(number, epoch)| (number, slot.max(epoch.from)))
    }

    /// Whether a slot that came then was there before an attempt is made two seconds after one of these times, or the clock was set meanwhile.
    /// The ledger's line of that one is at `offset`.
    fn is_given_up(&self, arrival: (usize, i64), (started, ended): (i64, i64), offset: u64) -> bool {
        let begun_in = self.epochs.iter().rposition(|epoch| epoch.ledger <= offset).unwrap_or(0);
        // Else the clock was set while it went on.
        let is_short = (0..SHORT_RUN_S).contains(&(ended - started));
        let ends = self.epochs.iter().enumerate().skip(begun_in).take(2).filter(|(_, epoch)| epoch.has(ended));
        ends.take(if is_short { 1 } else { 2 })
            .any(|(number, epoch)| arrival <= (number, ended + RETRY_S) || epoch.until <= ended + RETRY_S)
    }
}

/// What the kernel says about a process.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    rss_kib: u64,
    threads: u64,
    descriptors: usize,
}

impl Usage {
    fn read(pid: u32) -> Option<Usage> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
        Some(Usage { rss_kib: number("VmRSS:")?, threads: number("Threads:")?, descriptors })
    }
}

#[derive(Debug)]
struct Sample {
    second: u64,
    usage: [Option<Usage>; 3],
    jobs: usize,
    zombies: Vec<u32>,
    free_mib: u64,
}

/// The three processes of the daemon over time.
#[derive(Debug)]
pub struct Samples {
    pids: [u32; 3],
    taken: Vec<Sample>,
}

impl Samples {
    /// Finds the processes.
    pub fn of(world: &World, daemon: &Daemon) -> Samples {
        let main = daemon.pid();
        let (executor, recorder) = Deadline::seconds(60).wait_for("executor and recorder", || {
            let processes = world.processes();
            let recorder = processes.iter().find(|process| process.line.ends_with("cronctl recorder"))?.pid;
            let is_executor = |process: &&crate::common::machine::Process| {
                process.parent == main && process.name.starts_with("cron") && !process.line.contains("cronctl")
            };
            Some((processes.iter().find(is_executor)?.pid, recorder))
        });
        Samples { pids: [main, executor, recorder], taken: Vec::new() }
    }

    fn count_jobs(&self, world: &World) -> (usize, Vec<u32>) {
        let processes = world.processes();
        let mailer = format!("/bin/sh {}", machine::MAILER);
        let is_job = |process: &&crate::common::machine::Process| {
            process.line.contains("CRON_RUN_ID") || process.line.ends_with(&mailer)
        };
        let zombies = processes.iter().filter(|process| process.state == 'Z').map(|process| process.pid).collect();
        (processes.iter().filter(is_job).count(), zombies)
    }

    /// Whether few jobs run.
    pub fn is_quiet(&self, world: &World) -> bool {
        self.count_jobs(world).0 <= FEW_JOBS
    }

    /// Whether no job runs.
    pub fn has_no_jobs(&self, world: &World) -> bool {
        self.count_jobs(world).0 == 0
    }

    /// Names processes that are not expected at the end.
    pub fn print_processes(&self, world: &World) {
        for process in world.processes().iter().filter(|process| !self.pids.contains(&process.pid)) {
            println!("still there: {process:?}");
        }
    }

    /// Takes a sample.
    pub fn take(&mut self, world: &World, second: u64) {
        let (jobs, zombies) = self.count_jobs(world);
        let usage = self.pids.map(Usage::read);
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let free = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
        let free_kib: u64 = free.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0);
        self.taken.push(Sample { second, usage, jobs, zombies, free_mib: free_kib / 1024 });
    }

    /// The last sample in words.
    pub fn last(&self) -> String {
        let Some(sample) = self.taken.last() else { return "no sample yet".to_owned() };
        let usage = |nth: usize| {
            let Usage { rss_kib, threads, descriptors } = sample.usage[nth].unwrap_or_default();
            format!("{rss_kib} KiB {threads} thr {descriptors} fds")
        };
        format!(
            "{} jobs; main {}; executor {}; recorder {}; {} MiB available",
            sample.jobs,
            usage(0),
            usage(1),
            usage(2),
            sample.free_mib
        )
    }

    /// Compares the second quarter with the last one.
    pub fn check(&self, checks: &mut Checks) {
        let end = self.taken.last().map_or(0, |sample| sample.second);
        let titles = ["RSS KiB 2nd/4", "4th/4", "least 2nd/4", "4th/4", "peak 2nd/4", "4th/4", "fds 2nd/4", "4th/4"];
        println!("{}", row("process", titles.into_iter(), "threads"));
        for (nth, (name, least_growth, growth)) in RSS_GROWTH_KIB.into_iter().enumerate() {
            let quarter = |number: u64| {
                let range = end * (number - 1) / 4..=end * number / 4;
                self.taken.iter().filter(move |sample| range.contains(&sample.second))
            };
            let gone = self.taken.iter().filter(|sample| sample.usage[nth].is_none()).count();
            checks.require(gone == 0, || format!("{name}: gone in {gone} samples"));
            let rss = |number| {
                let mut sizes: Vec<u64> =
                    quarter(number).filter_map(|sample| Some(sample.usage[nth]?.rss_kib)).collect();
                sizes.sort_unstable();
                [sizes.first(), sizes.get(sizes.len() / 2), sizes.last()].map(|size| size.copied().unwrap_or(0))
            };
            let descriptors = |number| {
                let quiet = quarter(number).filter(|sample| sample.jobs <= FEW_JOBS);
                quiet.filter_map(|sample| Some(sample.usage[nth]?.descriptors)).max()
            };
            let threads: BTreeSet<u64> =
                self.taken.iter().filter_map(|sample| Some(sample.usage[nth]?.threads)).collect();
            let ([early_least, early, early_peak], [late_least, late, late_peak]) = (rss(2), rss(4));
            let (few, many) = (descriptors(2), descriptors(4));
            let numbers = [early, late, early_least, late_least, early_peak, late_peak].map(|kib| kib.to_string());
            let quiet = [few, many].map(|count| count.unwrap_or(0).to_string());
            println!("{}", row(name, numbers.iter().chain(&quiet).map(String::as_str), &format!("{threads:?}")));
            checks.require(late <= early + growth, || format!("{name}: grew from {early} to {late} KiB"));
            checks.require(late_least <= early_least + least_growth, || {
                format!("{name}: the least grew from {early_least} to {late_least} KiB")
            });
            if let (Some(few), Some(many)) = (few, many) {
                checks.require(many <= few + DESCRIPTOR_GROWTH, || format!("{name}: from {few} to {many} descriptors"));
            }
            checks.require(threads.len() <= 2, || format!("{name}: {threads:?} threads"));
        }
        let mut zombies: HashMap<u32, usize> = HashMap::new();
        for sample in &self.taken {
            zombies.retain(|pid, _| sample.zombies.contains(pid));
            for pid in &sample.zombies {
                let samples = zombies.entry(*pid).or_default();
                *samples += 1;
                let samples = *samples;
                checks.require(samples != ZOMBIE_SAMPLES, || format!("zombie {pid} at {} s", sample.second));
            }
        }
        let most = self.taken.iter().map(|sample| sample.zombies.len()).max().unwrap_or(0);
        let least_free = self.taken.iter().map(|sample| sample.free_mib).min().unwrap_or(0);
        println!(
            "zombies at the same time: {most} at most; memory available on the machine: {least_free} MiB at least"
        );
    }
}

/// A line of the table of processes.
fn row<'a>(name: &str, numbers: impl Iterator<Item = &'a str>, threads: &str) -> String {
    let numbers: String = numbers.map(|number| format!("{number:>14}")).collect();
    format!("{name:<10}{numbers}  {threads}")
}

/// A row of the history.
#[derive(Clone, Debug)]
struct Row {
    run: Option<u64>,
    job: String,
    minute: i64,
    scheduled_ms: i64,
    trigger: String,
    attempt: u32,
    outcome: String,
    reason: String,
    count: usize,
    /// The last minute of a row of slots without a run.
    until: Option<i64>,
    mail: String,
    started_ms: Option<i64>,
    ended_ms: Option<i64>,
    recorded_ms: i64,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { run, job, trigger, attempt, outcome, reason, count, mail, .. } = self;
        let slot = Timestamp(self.minute * 60);
        write!(
            f,
            "{job} {slot} run {run:?} {trigger} attempt {attempt}: {outcome} ({reason}) x{count}, mail {mail:?}"
        )?;
        if let Some(until) = self.until {
            write!(f, ", until {}", Timestamp(until * 60))?;
        }
        let time = |ms: i64| Timestamp(ms.div_euclid(1000));
        write!(f, ", recorded {}", time(self.recorded_ms))?;
        match (self.started_ms, self.ended_ms) {
            (None, None) => Ok(()),
            (started, ended) => write!(f, ", began {:?}, ended {:?}", started.map(time), ended.map(time)),
        }
    }
}

fn read_rows(world: &World) -> Vec<Row> {
    let sql = "SELECT ifnull(run, ''), job, scheduled_at, trigger, attempt, outcome, ifnull(reason, ''), count, \
               ifnull(mail, ''), ifnull(started_at, ''), ifnull(ended_at, ''), recorded_at, ifnull(until, '') FROM runs ORDER BY id";
    query(world, sql)
        .iter()
        .map(|line| {
            let parts: Vec<&str> = line.split('|').collect();
            let scheduled_ms: i64 = parts[2].parse().unwrap_or_else(|_| panic!("{line}"));
            Row {
                run: parts[0].parse().ok(),
                job: parts[1].to_owned(),
                minute: scheduled_ms.div_euclid(60_000),
                scheduled_ms,
                trigger: parts[3].to_owned(),
                attempt: parts[4].parse().unwrap(),
                outcome: parts[5].to_owned(),
                reason: parts[6].to_owned(),
                count: parts[7].parse().unwrap(),
                mail: parts[8].to_owned(),
                started_ms: parts[9].parse().ok(),
                ended_ms: parts[10].parse().ok(),
                recorded_ms: parts[11].parse().unwrap(),
                until: parts[12].parse().ok().map(|ms: i64| ms.div_euclid(60_000)),
            }
        })
        .collect()
}

fn query(world: &World, sql: &str) -> Vec<String> {
    let shown = world.run(&format!("cd / && runuser -u _cronwheel -- sqlite3 -readonly {DATABASE} \"{sql}\""));
    shown.stdout.lines().map(str::to_owned).collect()
}

/// Violations, by kind.
#[derive(Debug, Default)]
pub struct Checks {
    violations: Vec<String>,
    /// For each table: when its entry, or itself, was removed or came back.
    toggles: BTreeMap<usize, Vec<Toggle>>,
}

/// What comes and goes in a table has done so.
#[derive(Clone, Copy, Debug)]
pub struct Toggle {
    /// After how many minutes for wildcard entries.
    wildcard: usize,
    /// After how many minutes for fixed entries, which are fewer: what the clock shows again is no new one for them.
    fixed: usize,
    /// What the clock showed.
    shown: i64,
    is_there: bool,
}

impl Toggle {
    /// It happens now, when the clock shows that.
    pub fn new(minutes: &Minutes, shown: i64, is_there: bool) -> Toggle {
        Toggle { wildcard: minutes.wildcard.len(), fixed: minutes.fixed.len(), shown, is_there }
    }

    /// After how many minutes for that kind of jobs.
    fn index(&self, kind: Kind) -> usize {
        if kind == Kind::Fixed { self.fixed } else { self.wildcard }
    }
}

impl Checks {
    /// Notes a violation unless the condition holds.
    pub fn require(&mut self, holds: bool, violation: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(violation());
        }
    }

    /// What can come and go in a table has done so.
    pub fn toggled(&mut self, table: usize, toggle: Toggle) {
        self.toggles.entry(table).or_default().push(toggle);
    }

    /// Waits until no row is open any more.
    pub fn wait_for_the_history(&mut self, world: &World) {
        let is_complete = || query(world, "SELECT count(*) FROM runs WHERE outcome = 'running'") == ["0"];
        let complete = Deadline::seconds(120).try_wait_for(|| is_complete().then_some(()));
        self.require(complete.is_some(), || "rows of runs that have ended are still open".to_owned());
    }

    /// Compares ledger, history, mails and log with each other and with what was due.
    pub fn compare(&mut self, world: &World, minutes: &Minutes, log: &[String]) {
        Deadline::seconds(120).wait_for("the recorder's end", || {
            let is_there = world.processes().iter().any(|process| process.line.ends_with("cronctl recorder"));
            (!is_there).then_some(())
        });
        let rows = read_rows(world);
        let kinds: HashMap<String, Kind> = (0..TABLES).flat_map(machine::jobs).map(|job| (job.id, job.kind)).collect();
        let offsets = self.compare_ledger(&rows);
        self.compare_outcomes(&rows, &kinds, minutes, &offsets);
        self.compare_slots(&rows, minutes, log);
        self.compare_mails(&rows, &kinds);
        self.compare_log(&rows, log);
        print_figures(&rows, minutes);
    }

    /// Each run has written one line, and the line says what the row says. Returns where the lines are.
    fn compare_ledger(&mut self, rows: &[Row]) -> HashMap<u64, u64> {
        let text = fs::read_to_string(LEDGER).unwrap();
        let mut ledger: HashMap<u64, &str> = HashMap::new();
        let mut offsets: HashMap<u64, u64> = HashMap::new();
        let mut offset = 0;
        for line in text.lines() {
            let begin = offset;
            offset += line.len() as u64 + 1;
            let Some((run, rest)) = line.split_once(' ').and_then(|(run, rest)| Some((run.parse().ok()?, rest))) else {
                self.violations.push(format!("ledger: {line:?}"));
                continue;
            };
            offsets.insert(run, begin);
            let before = ledger.insert(run, rest);
            self.require(before.is_none(), || format!("ledger: run {run} twice: {line}, {before:?}"));
        }
        println!("ledger: {} runs", ledger.len());
        for row in rows {
            let Some(run) = row.run else { continue };
            let slot = Timestamp(row.scheduled_ms.div_euclid(1000));
            let expected = format!("{} {slot} {} {}", row.job, row.trigger, row.attempt);
            match ledger.remove(&run) {
                None => self.violations.push(format!("a row and no line in the ledger: {row}")),
                Some(line) => self.require(line == expected, || format!("ledger: {line}, row: {row}")),
            }
        }
        for (run, line) in ledger {
            self.violations.push(format!("ledger without a row: {run} {line}"));
        }
        offsets
    }

    /// Each run ended as its job ends.
    fn compare_outcomes(
        &mut self,
        rows: &[Row],
        kinds: &HashMap<String, Kind>,
        minutes: &Minutes,
        offsets: &HashMap<u64, u64>,
    ) {
        for row in rows {
            let Some(kind) = kinds.get(&row.job) else {
                self.violations.push(format!("a row of an unknown job: {row}"));
                continue;
            };
            let outcome = (row.outcome.as_str(), row.reason.as_str());
            let is_right = match kind {
                Kind::Plain | Kind::Mailing | Kind::Fixed => row.outcome == "ok",
                Kind::Retried if row.attempt == 1 => row.outcome == "failed",
                Kind::Retried => row.outcome == "ok" && row.trigger == "retry" && row.attempt == 2,
                Kind::TimedOut => row.outcome == "timeout",
                Kind::Overlapping => row.outcome == "ok" || outcome == ("skipped", "still running"),
                Kind::Toggled => row.outcome == "ok" || outcome == ("skipped", "entry removed"),
            };
            let is_right = is_right || (is_of_removable(&row.job) && outcome == ("skipped", "entry removed"));
            self.require(is_right, || format!("{kind:?}: {row}"));
            self.require(row.trigger == "schedule" || row.trigger == "retry", || format!("trigger: {row}"));
        }
        // A second attempt is left out only when the next slot has come meanwhile, however late that is started: on a busy machine it waits for its
        // turn. The first attempt may be as late: then the next slot has come before a step back that the attempt ended after, at an earlier time.
        let mut attempts: HashMap<&str, Vec<&Row>> = HashMap::new();
        for row in rows.iter().filter(|row| kinds.get(&row.job) == Some(&Kind::Retried) && row.run.is_some()) {
            attempts.entry(&row.job).or_default().push(row);
        }
        let mut given_up = 0;
        for rows in attempts.values_mut() {
            rows.sort_by_key(|row| row.run);
            // How often a minute has come before.
            let mut shown: HashMap<i64, usize> = HashMap::new();
            for row in rows.iter().take(1).filter(|row| row.attempt == 1) {
                shown.insert(row.minute, 1);
            }
            for pair in rows.windows(2) {
                if pair[1].attempt != 1 {
                    continue;
                }
                let earlier = shown.entry(pair[1].minute).or_default();
                let arrival = minutes.arrival(pair[1].minute * 60, *earlier);
                *earlier += 1;
                if pair[0].attempt != 1 {
                    continue;
                }
                given_up += 1;
                let ended_ms = pair[0].ended_ms.unwrap_or(pair[0].recorded_ms);
                let times = (pair[0].started_ms.unwrap_or(ended_ms).div_euclid(1000), ended_ms.div_euclid(1000));
                let offset = pair[0].run.and_then(|run| offsets.get(&run)).copied().unwrap_or(0);
                let is_given_up = arrival.is_some_and(|arrival| minutes.is_given_up(arrival, times, offset));
                self.require(is_given_up, || {
                    format!(
                        "not retried: {}, ended {}, next {}, came {arrival:?}",
                        pair[0],
                        Timestamp(times.1),
                        pair[1]
                    )
                });
            }
        }
        println!("retries given up because the next slot had begun: {given_up}");
    }

    /// Each slot that was due has exactly one first attempt or reason, and there is no other one.
    fn compare_slots(&mut self, rows: &[Row], minutes: &Minutes, log: &[String]) {
        let mut rows_of: HashMap<&str, Vec<&Row>> = HashMap::new();
        for row in rows.iter().filter(|row| row.attempt <= 1) {
            rows_of.entry(&row.job).or_default().push(row);
        }
        let (mut slots, mut explained) = (0, 0);
        for job in (0..TABLES).flat_map(machine::jobs) {
            let rows = rows_of.get(job.id.as_str()).map_or(&[][..], Vec::as_slice);
            if job.kind == Kind::Overlapping {
                let due = minutes.wildcard.iter().filter(|minute| job.is_due(**minute)).count();
                let total: usize = rows.iter().map(|row| row.count).sum();
                slots += due;
                self.require(total == due, || format!("{}: {total} outcomes of {due} slots", job.id));
                continue;
            }
            let toggles = self.toggles.get(&job.table).map_or(&[][..], Vec::as_slice);
            let may_be_absent = job.kind == Kind::Toggled || machine::is_removable(job.table);
            let toggles = if may_be_absent { toggles.to_vec() } else { Vec::new() };
            let all = minutes.of_kind(job.kind);
            let mut due: BTreeMap<i64, (usize, usize)> = BTreeMap::new();
            for (index, minute) in all.iter().copied().enumerate().filter(|(_, minute)| job.is_due(*minute)) {
                let (least, most) = due.entry(minute).or_default();
                let (must, may) = presence(&toggles, job.kind, index);
                *least += usize::from(must);
                *most += usize::from(may);
            }
            let mut found: BTreeMap<i64, usize> = BTreeMap::new();
            for row in rows {
                let of_row = slots_of_row(&all, |minute| job.is_due(minute), row);
                self.require(of_row.is_some(), || format!("{}: not so many slots in a row: {row}", job.id));
                for minute in of_row.unwrap_or_default() {
                    *found.entry(minute).or_default() += 1;
                }
            }
            for minute in due.keys().chain(found.keys()).collect::<BTreeSet<_>>() {
                let (least, most) = due.get(minute).copied().unwrap_or((0, 0));
                let count = found.get(minute).copied().unwrap_or(0);
                slots += count;
                if (least..=most).contains(&count) {
                    continue;
                }
                let slot = Timestamp(minute * 60);
                self.violations.push(format!("{} at {slot}: {count} outcomes, {least} to {most} due", job.id));
                explained += 1;
                if explained <= EXPLAINED {
                    println!("EVIDENCE for {} at {slot}: {count} outcomes, {least} to {most} due", job.id);
                    print_evidence(*minute, rows, &toggles, log);
                }
            }
        }
        println!("slots with one outcome each: {slots}");
    }

    /// Each mail that the mailer took or refused is one that the row says so about.
    fn compare_mails(&mut self, rows: &[Row], kinds: &HashMap<String, Kind>) {
        let [mut taken, mut refused] = MAILS.map(|file| {
            let mut runs: HashMap<String, usize> = HashMap::new();
            for line in fs::read_to_string(file).unwrap().lines() {
                *runs.entry(line.to_owned()).or_default() += 1;
            }
            runs
        });
        println!("mails: {} taken, {} refused", taken.len(), refused.len());
        for row in rows.iter().filter(|row| kinds.get(&row.job) == Some(&Kind::Mailing)) {
            let run = row.run.unwrap_or(0).to_string();
            let found = (taken.remove(&run).unwrap_or(0), refused.remove(&run).unwrap_or(0));
            let is_right = match row.mail.as_str() {
                "" | "dropped" => false,
                "sent" => found == (1, 0),
                _ => found == (0, 1),
            };
            self.require(is_right, || format!("mail: taken {}, refused {}: {row}", found.0, found.1));
        }
        for (run, count) in taken.into_iter().chain(refused) {
            self.violations.push(format!("{count} mails of run {run:?}, which has none in the history"));
        }
    }

    /// The log has a line for each start, less those that it says were lost.
    fn compare_log(&mut self, rows: &[Row], log: &[String]) {
        let mut started: BTreeMap<&str, usize> = BTreeMap::new();
        for row in rows.iter().filter(|row| row.run.is_some()) {
            *started.entry(row.job.split(':').next().unwrap_or_default()).or_default() += 1;
        }
        let mut others: BTreeMap<String, usize> = BTreeMap::new();
        let (mut lost, mut starts, mut missing) = (0, 0, 0);
        let mut logged: BTreeMap<&str, usize> = BTreeMap::new();
        for line in log {
            if let Some((before, _)) = line.split_once(") CMD (") {
                let user = before.rsplit_once('(').map_or("", |(_, user)| user);
                *logged.entry(user).or_default() += 1;
                starts += 1;
                continue;
            }
            if line.contains("lost: the log did not take them") {
                let number = line.split('(').find_map(|part| part.split(' ').next()?.parse::<usize>().ok());
                lost += number.unwrap_or(0);
            }
            *others.entry(kind_of_line(line)).or_default() += 1;
        }
        for (user, started) in &started {
            let logged = logged.get(user).copied().unwrap_or(0);
            missing += started.saturating_sub(logged);
            self.require(logged <= *started, || format!("log: {user}: {logged} CMD lines of {started} starts"));
        }
        println!("log: {starts} CMD lines, {missing} missing of them, {lost} lines lost as the log says");
        self.require(missing <= lost, || format!("log: {missing} CMD lines are missing, and {lost} lines were lost"));
        let mut others: Vec<(String, usize)> = others.into_iter().collect();
        others.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        for (line, count) in others.iter().take(25) {
            println!("{count:>8} {line}");
        }
    }

    /// Fails if anything was violated.
    pub fn finish(self) {
        let mut kinds: BTreeMap<String, Vec<&String>> = BTreeMap::new();
        for violation in &self.violations {
            let kind = violation.split([':', ' ']).next().unwrap_or_default();
            let kind: String = kind.chars().filter(|c| !c.is_ascii_digit()).collect();
            kinds.entry(kind).or_default().push(violation);
        }
        for (kind, violations) in &kinds {
            println!("VIOLATIONS of kind {kind}: {}", violations.len());
            violations.iter().take(LISTED).for_each(|violation| println!("    {violation}"));
        }
        println!("violations: {}", self.violations.len());
        if !self.violations.is_empty() && std::env::var_os(HOLD_VARIABLE).is_some() {
            println!("the machine stays: nsenter -a -r -t $(pgrep -f 'soak::tables.*test-threads' | tail -1)");
            loop {
                std::thread::park();
            }
        }
        assert!(self.violations.is_empty(), "{} violations", self.violations.len());
    }
}

fn is_of_removable(job: &str) -> bool {
    let number = job.strip_prefix("soak").and_then(|rest| rest.get(..3)?.parse().ok());
    number.is_some_and(machine::is_removable)
}

/// Whether what comes and goes must have been there in the minute of that index for a kind of jobs, and whether it may have been.
fn presence(toggles: &[Toggle], kind: Kind, index: usize) -> (bool, bool) {
    let (mut must, mut may) = (true, true);
    for toggle in toggles {
        let at = toggle.index(kind);
        if index > at + 1 {
            (must, may) = (toggle.is_there, toggle.is_there);
        } else if index + 1 >= at {
            // About the moment of the change both are right.
            must = false;
            may = true;
        }
    }
    (must, may)
}

/// The slots that a row is about: it has the first one, the last one and how many they are. None if they are not in a row in the minutes `all`.
fn slots_of_row(all: &[i64], is_due: impl Fn(i64) -> bool, row: &Row) -> Option<Vec<i64>> {
    let Some(until) = row.until else { return (row.count == 1).then(|| vec![row.minute]) };
    let due: Vec<i64> = all.iter().copied().filter(|minute| is_due(*minute)).collect();
    let mut parts = due.windows(row.count.max(1));
    parts.find(|part| part.first() == Some(&row.minute) && part.last() == Some(&until)).map(<[i64]>::to_vec)
}

/// Prints what is known of a job about a minute: its rows near it, when it came and went, and what the log says of its user.
fn print_evidence(minute: i64, rows: &[&Row], toggles: &[Toggle], log: &[String]) {
    let is_near = |other: i64| (minute - other).abs() <= EXPLAINED_MINUTES;
    for row in rows.iter().filter(|row| is_near(row.minute) || row.until.is_some_and(is_near)) {
        println!("    row: {row}");
    }
    for toggle in toggles.iter().filter(|toggle| is_near(toggle.shown.div_euclid(60))) {
        let what = if toggle.is_there { "back" } else { "removed" };
        println!(
            "    {what} at {}, after {} minutes, {} fixed",
            Timestamp(toggle.shown),
            toggle.wildcard,
            toggle.fixed
        );
    }
    let Some(user) = rows.first().and_then(|row| row.job.split(':').next()) else { return };
    let lines: Vec<&String> = log.iter().filter(|line| line.contains(user) && !line.contains(") CMD (")).collect();
    lines.iter().rev().take(EXPLAINED_LINES).rev().for_each(|line| println!("    log: {line}"));
}

/// A line without what differs from line to line.
fn kind_of_line(line: &str) -> String {
    let text = line.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    match text.split_once(") FAILED (") {
        Some((_, rest)) => format!("FAILED {}", rest.rsplit(')').next().unwrap_or_default()),
        None => text.chars().take(110).collect(),
    }
}

fn print_figures(rows: &[Row], minutes: &Minutes) {
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let mut per_minute: HashMap<i64, usize> = HashMap::new();
    let mut delays: Vec<i64> = Vec::new();
    for row in rows {
        let name = if row.run.is_some() { row.outcome.clone() } else { format!("{}: {}", row.outcome, row.reason) };
        *outcomes.entry(name).or_default() += row.count;
        if row.run.is_some() {
            *per_minute.entry(row.minute).or_default() += 1;
        }
        delays.extend(row.started_ms.map(|started| started - row.scheduled_ms));
    }
    delays.sort_unstable();
    let at = |part: usize| {
        delays.get((delays.len() * part / 1000).min(delays.len().saturating_sub(1))).copied().unwrap_or(0)
    };
    println!("rows: {}; outcomes: {outcomes:?}", rows.len());
    let peak = per_minute.values().max().copied().unwrap_or(0);
    println!("minutes: {}; runs of one minute: {peak} at most", minutes.index());
    println!(
        "start after the slot: median {} ms, 99 % {} ms, longest {} ms (steps included)",
        at(500),
        at(990),
        at(1000)
    );
}

#[test]
fn a_slot_that_came_before_a_step_back_makes_an_end_after_it_final() {
    let epoch = |due_after, from, until, ledger| Epoch { due_after, from, until, ledger };
    // At 150 it was set back by 45 seconds, and at 300 by 120.
    let epochs = vec![epoch(-1, 0, 150, 0), epoch(150, 105, 300, 10), epoch(179, 180, i64::MAX, 20)];
    let minutes = Minutes { wildcard: Vec::new(), fixed: BTreeSet::new(), last: 0, highest: 0, epochs };
    assert_eq!(
        [60, 120, 180, 240].map(|slot| minutes.arrival(slot, 0).unwrap()),
        [(0, 60), (0, 120), (1, 180), (1, 240)]
    );
    assert_eq!([180, 240].map(|slot| minutes.arrival(slot, 1).unwrap()), [(2, 180), (2, 240)]);
    assert_eq!(minutes.arrival(120, 1), None);
    // The slot, how often it came before, begin and end of the attempt, and where the ledger has it.
    let is_given_up =
        |slot, earlier, times, offset| minutes.is_given_up(minutes.arrival(slot, earlier).unwrap(), times, offset);
    assert!(is_given_up(120, 0, (118, 118), 5) && !is_given_up(120, 0, (110, 110), 5), "a retry in time");
    assert!(is_given_up(180, 0, (148, 148), 5), "the clock was set in the pause");
    assert!(is_given_up(120, 0, (110, 110), 15), "it began after the step, and the slot came before it");
    assert!(is_given_up(120, 0, (149, 106), 5), "it ended after the step");
    assert!(is_given_up(240, 0, (200, 200), 25) && !is_given_up(240, 1, (200, 200), 25), "a minute that comes again");
}

#[test]
fn a_row_of_slots_is_one_outcome_for_each_of_them() {
    let row = |minute: i64, until: Option<i64>, count: usize| Row {
        run: None,
        job: "soak100:u-v".to_owned(),
        minute,
        scheduled_ms: minute * 60_000,
        trigger: "schedule".to_owned(),
        attempt: 0,
        outcome: "skipped".to_owned(),
        reason: "entry removed".to_owned(),
        count,
        until,
        mail: String::new(),
        started_ms: None,
        ended_ms: None,
        recorded_ms: 0,
    };
    // Minute 12 is shown again after 14.
    let all = [10, 11, 12, 13, 14, 12, 13, 14, 15];
    let slots = |row: &Row| slots_of_row(&all, |_| true, row);
    assert_eq!(slots(&row(11, None, 1)), Some(vec![11]));
    assert_eq!(slots(&row(11, Some(13), 3)), Some(vec![11, 12, 13]));
    assert_eq!(slots(&row(14, Some(13), 3)), Some(vec![14, 12, 13]));
    assert_eq!(slots(&row(11, Some(13), 2)), None);
    assert_eq!(slots(&row(11, None, 2)), None);
    assert_eq!(slots_of_row(&all, |minute| minute % 2 == 0, &row(10, Some(14), 3)), Some(vec![10, 12, 14]));
}

#[test]
fn what_comes_and_goes_does_so_among_the_minutes_of_its_kind() {
    // After 30 minutes, 10 of which the clock had shown before.
    let toggles = [Toggle { wildcard: 30, fixed: 20, shown: 1200, is_there: false }];
    assert_eq!(
        [28, 29, 30, 31, 32].map(|index| presence(&toggles, Kind::Plain, index)),
        [(true, true), (false, true), (false, true), (false, true), (false, false)]
    );
    assert_eq!(
        [18, 19, 21, 22].map(|index| presence(&toggles, Kind::Fixed, index)),
        [(true, true), (false, true), (false, true), (false, false)]
    );
}

#[test]
fn a_small_step_forward_makes_up_for_what_comes_after_the_latest_minute() {
    let mut minutes = Minutes::from(10 * 60);
    minutes.go_on(13 * 60);
    minutes.step(240, 17 * 60 + 5);
    assert_eq!(minutes.wildcard, [11, 12, 13, 14, 15, 16, 17]);
    minutes.step(-600, 7 * 60 + 5);
    minutes.step(240, 11 * 60 + 5);
    minutes.go_on(12 * 60);
    assert_eq!(minutes.wildcard[7..], [7, 11, 12]);
    minutes.step(-45, 11 * 60 + 15);
    minutes.step(20, 11 * 60 + 35);
    minutes.step(500, 19 * 60 + 55);
    assert_eq!(minutes.wildcard[10..], [18, 19]);
    minutes.step(1200, 39 * 60 + 55);
    assert_eq!(minutes.wildcard[12..], [39]);
    assert_eq!(minutes.fixed, (11..=39).collect());
}
