//! Random days of jobs with random policies: what must hold whatever happens.
//!
//! `CRONWHEEL_HISTORIES=1000000 cargo test --release --test simulation policy_model` tries more of them.

use crate::outcomes::{line, moment};
use crate::setup::{source, table};
use cronwheel::schedule::{Timestamp, Zone};
use cronwheel::scheduler::{JobId, JobScenario, Outcome, RunRecord, Scenario, Simulated, Trigger, simulate};
use fastrand::Rng;
use std::collections::BTreeMap;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// Slots are due until three on the first day only; what waits in a full group may take days.
const LAST_SLOT: i64 = 3 * 3_600;

struct RandomDay {
    crontab: String,
    jobs: Vec<RandomJob>,
    scenario: Scenario,
}

struct RandomJob {
    id: JobId,
    every_minutes: i64,
    overlap: &'static str,
    retries: u32,
    group: Option<u32>,
    is_enabled: bool,
}

pub fn histories() -> u64 {
    std::env::var("CRONWHEEL_HISTORIES").ok().and_then(|number| number.parse().ok()).unwrap_or(1_000)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(moment("00:00").0 + seconds)
}

fn random_job(random: &mut Rng, name: &str, groups: u32, crontab: &mut String) -> RandomJob {
    let every_minutes = [1, 2, 5, 7, 10, 20, 30][random.usize(..7)];
    let overlap = ["allow", "skip", "queue", "replace"][random.usize(..4)];
    let retries = if random.bool() { random.u32(1..4) } else { 0 };
    let group = random.bool().then_some(groups);
    let is_enabled = random.u8(..10) > 0;
    let line = |crontab: &mut String, name: &str, value: &str| {
        crontab.push_str(&format!("CRON_{name}={value}\n"));
    };
    line(crontab, "NAME", name);
    line(crontab, "OVERLAP", overlap);
    line(crontab, "ENABLED", if is_enabled { "yes" } else { "no" });
    line(crontab, "RETRY", &format!("{retries},{}s,{}s", random.u32(..200), random.u32(..400)));
    line(crontab, "GROUP", &group.map_or("default".to_owned(), |slots| format!("g,{slots}")));
    let timeout = if random.bool() { format!("{}s", random.u32(1..900)) } else { "default".to_owned() };
    line(crontab, "TIMEOUT", &timeout);
    line(crontab, "CATCHUP", ["none", "once", "all"][random.usize(..3)]);
    let late = if random.bool() { format!("{}s", random.u32(1..3_000)) } else { "default".to_owned() };
    line(crontab, "LATE", &late);
    line(crontab, "ALERT", ["default", "1", "2", "3,40m"][random.usize(..4)]);
    line(crontab, "MAIL", ["output", "change"][random.usize(..2)]);
    crontab.push_str(&format!("*/{every_minutes} 0-2 1 5 * {name}\n"));
    RandomJob { id: JobId::named("alice", name), every_minutes, overlap, retries, group, is_enabled }
}

fn random_day(seed: u64) -> RandomDay {
    let mut random = Rng::with_seed(seed);
    let mut crontab = String::new();
    let slots = random.u32(1..3);
    let count = random.usize(1..=NAMES.len());
    let jobs: Vec<RandomJob> =
        NAMES[..count].iter().map(|name| random_job(&mut random, name, slots, &mut crontab)).collect();
    let mut scenario = JobScenario::default();
    for job in &jobs {
        scenario.durations.insert(job.id.clone(), random.i64(0..1_200));
        let exits = (0..random.usize(1..6)).map(|_| i32::from(random.u8(..3) == 0)).collect();
        scenario.exits.insert(job.id.clone(), exits);
        if random.u8(..4) == 0 {
            let from = random.i64(0..10_000);
            scenario.pauses.push((job.id.clone(), at(from), at(from + random.i64(1..4_000))));
        }
        let moments =
            |random: &mut Rng| (0..random.usize(..3)).map(|_| at(random.i64(0..LAST_SLOT))).collect::<Vec<_>>();
        scenario.runs.extend(moments(&mut random).into_iter().map(|moment| (job.id.clone(), moment)));
        scenario.kills.extend(moments(&mut random).into_iter().map(|moment| (job.id.clone(), moment)));
    }
    let down = (0..random.usize(..3)).map(|_| {
        // Not from the very begin: a daemon that has never run misses nothing.
        let stop = random.i64(1..LAST_SLOT);
        (at(stop), at(stop + random.i64(1..3_000)))
    });
    let scenario = Scenario {
        zone: Zone::utc(),
        from: at(0),
        until: at(40 * 86_400),
        steps: Vec::new(),
        down: down.collect(),
        caller: "alice".into(),
        jobs: scenario,
        records_all: true,
    };
    RandomDay { crontab, jobs, scenario }
}

fn outcomes(day: &RandomDay) -> Vec<RunRecord> {
    let record = |simulated| match simulated {
        Simulated::Ended(record) => Some(*record),
        Simulated::Started(_) | Simulated::Notice(_) => None,
    };
    let crontab = table(&day.crontab);
    simulate(day.scenario.clone(), || vec![(source("/spool/alice"), crontab.clone())]).filter_map(record).collect()
}

/// The outcomes and notices of a day, with other times at which the daemon is down.
fn decisions(day: &RandomDay, down: Vec<(Timestamp, Timestamp)>) -> Vec<String> {
    let decision = |simulated| match simulated {
        Simulated::Ended(record) => Some(line(&record)),
        Simulated::Notice(notice) => Some(format!("{notice:?}")),
        Simulated::Started(_) => None,
    };
    let crontab = table(&day.crontab);
    let scenario = Scenario { down, ..day.scenario.clone() };
    simulate(scenario, || vec![(source("/spool/alice"), crontab.clone())]).filter_map(decision).collect()
}

/// The maximum of runs in progress at once.
fn most_at_once(runs: &[(i64, i64)]) -> usize {
    let mut changes: Vec<(i64, i32)> = runs.iter().flat_map(|&(start, end)| [(start, 1), (end, -1)]).collect();
    // A run that ends in the second in which another begins is over.
    changes.sort();
    let (mut now, mut most) = (0, 0);
    for (_, change) in changes {
        now += change;
        most = most.max(now);
    }
    most.unsigned_abs() as usize
}

fn spans<'a>(records: impl Iterator<Item = &'a RunRecord>) -> Vec<(i64, i64)> {
    records
        .filter_map(|record| Some((record.started_at_ms?, record.ended_at_ms?)))
        .filter(|(start, end)| start < end)
        .collect()
}

#[test]
fn every_slot_has_one_outcome_and_no_rule_is_broken() {
    for seed in 0..histories() {
        let day = random_day(seed);
        let records = outcomes(&day);
        let told = || {
            let lines: Vec<String> = records.iter().map(line).collect();
            format!("seed {seed}\n{}\n{:?}\n{}", day.crontab, day.scenario, lines.join("\n"))
        };
        let mut in_groups: Vec<RunRecord> = Vec::new();
        for job in &day.jobs {
            let of_job: Vec<&RunRecord> = records.iter().filter(|record| record.job == job.id).collect();
            let is_manual = |record: &&&RunRecord| record.trigger == Trigger::Manual;
            // Slots: first attempts, and those without a run.
            let slots: u64 = of_job
                .iter()
                .filter(|record| !is_manual(record) && record.attempt <= 1)
                .map(|record| record.count)
                .sum();
            let expected = if job.is_enabled { (LAST_SLOT / 60 - 1) / job.every_minutes } else { 0 };
            // Steps of minutes that do not divide the hour begin anew with each hour.
            let in_an_hour = (60 + job.every_minutes - 1) / job.every_minutes;
            let expected = if job.is_enabled { (in_an_hour * 3 - 1).max(expected) } else { 0 };
            assert_eq!(slots, expected as u64, "slots of {}: {}", job.id, told());
            // Attempts.
            let mut attempts: BTreeMap<Timestamp, Vec<&RunRecord>> = BTreeMap::new();
            for record in of_job.iter().filter(|record| !is_manual(record) && record.attempt > 0) {
                attempts.entry(record.scheduled_at).or_default().push(record);
            }
            for of_slot in attempts.values() {
                assert!(of_slot.len() <= 1 + job.retries as usize, "{}", told());
                for (number, pair) in (1..).zip(of_slot.windows(2)) {
                    assert!(pair[0].outcome.is_failure() && pair[0].attempt == number, "{}", told());
                    assert_eq!(pair[1].trigger, Trigger::Retry, "{}", told());
                }
            }
            let runs = spans(of_job.iter().copied());
            if job.overlap != "allow" {
                assert!(most_at_once(&runs) <= 1, "{} overlaps itself: {}", job.id, told());
            }
            if job.group.is_some() {
                in_groups.extend(of_job.iter().map(|record| (*record).clone()));
            }
            // What follows from ends and retries in the second in which a pause begins comes before it.
            for (_, from, until) in day.scenario.jobs.pauses.iter().filter(|(id, ..)| *id == job.id) {
                let starts_in_it = of_job.iter().filter(|record| !is_manual(record)).any(|record| {
                    record.started_at_ms.is_some_and(|start| ((from.0 + 1) * 1_000..until.0 * 1_000).contains(&start))
                });
                assert!(!starts_in_it, "{} starts in a pause: {}", job.id, told());
            }
            for record in &of_job {
                let is_without_run = matches!(record.outcome, Outcome::Skipped(_) | Outcome::Missed(_));
                assert!(!is_without_run || record.attempt == 0, "{}", told());
            }
        }
        let slots = day.jobs.iter().filter_map(|job| job.group).min().unwrap_or(0);
        assert!(most_at_once(&spans(in_groups.iter())) <= slots as usize, "the group is too full: {}", told());
    }
}

#[test]
fn a_daemon_that_is_restarted_at_once_decides_as_one_that_is_not() {
    for seed in 0..histories() {
        let day = random_day(seed);
        let mut random = Rng::with_seed(seed ^ 0x5eed);
        let restarts = (0..5).map(|_| at(random.i64(1..LAST_SLOT))).map(|moment| (moment, moment)).collect();
        // The state is what the changes that a daemon saves as it goes add up to: a daemon that is killed leaves no other.
        assert_eq!(
            decisions(&day, Vec::new()),
            decisions(&day, restarts),
            "seed {seed}\n{}\n{:?}",
            day.crontab,
            day.scenario.jobs
        );
    }
}

/// Adds an entry that counts from its last end, and one that runs after the first job.
fn add_other_schedules(day: &mut RandomDay, random: &mut Rng) {
    let groups = day.jobs.iter().find_map(|job| job.group).unwrap_or(1);
    for (name, schedule) in [("interval", format!("@{}m", random.u32(1..30))), ("after", "@after a".to_owned())] {
        let mut lines = String::new();
        random_job(random, name, groups, &mut lines);
        day.crontab.extend(lines.lines().filter(|line| line.starts_with("CRON_")).flat_map(|line| [line, "\n"]));
        day.crontab.push_str(&format!("{schedule} {name}\n"));
        let id = JobId::named("alice", name);
        let jobs = &mut day.scenario.jobs;
        jobs.durations.insert(id.clone(), random.i64(0..900));
        jobs.exits.insert(id.clone(), (0..4).map(|_| i32::from(random.bool())).collect());
        let from = random.i64(0..LAST_SLOT);
        jobs.pauses.push((id.clone(), at(from), at(from + random.i64(1..4_000))));
        jobs.runs.extend((0..random.usize(..3)).map(|_| (id.clone(), at(random.i64(0..LAST_SLOT)))));
        jobs.kills.extend((0..random.usize(..3)).map(|_| (id.clone(), at(random.i64(0..LAST_SLOT)))));
    }
    day.scenario.until = at(2 * LAST_SLOT);
}

#[test]
fn a_restart_changes_nothing_for_intervals_and_for_what_runs_after_others() {
    for seed in 0..histories() {
        let mut day = random_day(seed);
        let mut random = Rng::with_seed(seed ^ 0xaf7e);
        add_other_schedules(&mut day, &mut random);
        let restarts = (0..5).map(|_| at(random.i64(1..LAST_SLOT))).map(|moment| (moment, moment)).collect();
        let (without, with) = (decisions(&day, Vec::new()), decisions(&day, restarts));
        assert_eq!(without, with, "seed {seed}\n{}\n{:?}", day.crontab, day.scenario.jobs);
    }
}
