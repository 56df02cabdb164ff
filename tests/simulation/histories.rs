//! Random histories of a machine: policies, durations, failures, pauses, kills, runs by hand, restarts, crashes, clock steps and edits.
//!
//! Each of the six tests tries a thousand, which takes seconds. `CRONWHEEL_HISTORIES=200000 cargo test --release --test simulation histories`
//! tries a million in all; that is to be done when the rules of the scheduler have changed. A fault names its seeds:
//! `CRONWHEEL_FIRST_HISTORY=70600 CRONWHEEL_HISTORIES=1 cargo test --test simulation edits_break_no_rule` tries that history alone and shows
//! its tables, what happens in it, and what was recorded. Each fault that was found is a case in `crashes.rs`.

use crate::machine::{Found, Happening, History, LAST_SLOT, Line, Machine, Version};
use crate::outcomes::moment;
use crate::policy_model::histories;
use crate::setup::table;
use cronwheel::schedule::{Timestamp, Zone};
use cronwheel::scheduler::{JobId, Trigger};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// An entry with its text.
#[derive(Clone)]
struct Entry {
    line: Line,
    settings: String,
    schedule: String,
    command: &'static str,
}

fn settings(random: &mut Rng, slots: u32, line: &mut Line) -> String {
    line.overlap = ["allow", "skip", "queue", "replace"][random.usize(..4)];
    line.retries = if random.bool() { random.u32(1..4) } else { 0 };
    line.group = random.bool().then_some(if random.u8(..8) == 0 { 3 - slots } else { slots });
    line.is_enabled = random.u8(..10) > 0;
    let mut text = String::new();
    let _ = writeln!(text, "CRON_NAME={}", line.id.name());
    let _ = writeln!(text, "CRON_OVERLAP={}", line.overlap);
    let _ = writeln!(text, "CRON_ENABLED={}", if line.is_enabled { "yes" } else { "no" });
    let _ = writeln!(text, "CRON_RETRY={},{}s,{}s", line.retries, random.u32(..200), random.u32(..400));
    let _ = writeln!(text, "CRON_GROUP={}", line.group.map_or("default".to_owned(), |slots| format!("g,{slots}")));
    let seconds = |random: &mut Rng, most| match random.bool() {
        true => format!("{}s", random.u32(1..most)),
        false => "default".to_owned(),
    };
    let _ = writeln!(text, "CRON_TIMEOUT={}", seconds(random, 900));
    let _ = writeln!(text, "CRON_LATE={}", seconds(random, 3_000));
    let _ = writeln!(text, "CRON_CATCHUP={}", ["none", "once", "all"][random.usize(..3)]);
    let _ = writeln!(text, "CRON_ALERT={}", ["default", "1", "2", "3,40m"][random.usize(..4)]);
    let _ = writeln!(text, "CRON_MAIL={}", ["output", "change"][random.usize(..2)]);
    text
}

fn schedule(random: &mut Rng, line: &mut Line) -> String {
    let every = [1, 2, 5, 7, 10, 20, 30][random.usize(..7)];
    line.every = Some(every);
    line.is_fixed = random.u8(..4) == 0;
    match line.is_fixed {
        false => format!("*/{every} 0-2 1 5 *"),
        true => {
            let minutes: Vec<String> = (0..60).step_by(every as usize).map(|minute| minute.to_string()).collect();
            format!("{} 0-2 1 5 *", minutes.join(","))
        }
    }
}

fn new_settings(random: &mut Rng, slots: u32, line: &mut Line, kinds: Kinds) -> String {
    if kinds.plain && random.bool() { no_policy(line) } else { settings(random, slots, line) }
}

/// The settings of an entry that has no policy.
fn no_policy(line: &mut Line) -> String {
    (line.overlap, line.retries, line.group, line.is_enabled) = ("allow", 0, None, true);
    let names = ["OVERLAP", "ENABLED", "RETRY", "GROUP", "TIMEOUT", "LATE", "CATCHUP", "ALERT", "MAIL"];
    let defaults: String = names.iter().map(|name| format!("CRON_{name}=default\n")).collect();
    format!("CRON_NAME={}\n{defaults}", line.id.name())
}

fn entry(random: &mut Rng, name: &'static str, slots: u32, kinds: Kinds) -> Entry {
    let id = JobId::named("alice", name);
    let mut line = Line { id, every: None, is_fixed: false, overlap: "", retries: 0, group: None, is_enabled: true };
    let settings = new_settings(random, slots, &mut line, kinds);
    let schedule = schedule(random, &mut line);
    Entry { line, settings, schedule, command: name }
}

fn version(entries: &[&Entry], comment: usize) -> Version {
    let mut text = "# a line\n".repeat(comment);
    for entry in entries {
        let _ = writeln!(text, "{}{} {}", entry.settings, entry.schedule, entry.command);
    }
    Version { table: table(&text), text, lines: entries.iter().map(|entry| entry.line.clone()).collect() }
}

/// What may happen in a history, beside restarts, kills, pauses and runs by hand.
#[derive(Clone, Copy, Default)]
struct Kinds {
    steps: bool,
    crashes: bool,
    edits: bool,
    /// Whether edits also take entries away and bring them back.
    removals: bool,
    /// Entries that have no calendar.
    others: bool,
    /// Entries that have no policy, some of them for a time. There is no history then: it has every entry's slots followed as if it had one.
    plain: bool,
}

/// A second in which something may happen; often one in which slots are due.
fn second(random: &mut Rng) -> i64 {
    let at = random.i64(60..LAST_SLOT);
    if random.u8(..3) == 0 { at / 60 * 60 } else { at }
}

fn history(random: &mut Rng, kinds: Kinds) -> History {
    let slots = random.u32(1..3);
    let count = random.usize(1..=NAMES.len());
    let mut entries: Vec<(Entry, bool)> =
        NAMES[..count].iter().map(|name| (entry(random, name, slots, kinds), true)).collect();
    if kinds.others {
        for (name, schedule) in [("interval", format!("@{}m", random.u32(1..30))), ("after", "@after a".to_owned())] {
            let mut other = entry(random, name, slots, kinds);
            other.line.every = None;
            other.schedule = schedule;
            entries.push((other, true));
        }
    }
    let mut versions = vec![version(&entries.iter().map(|(entry, _)| entry).collect::<Vec<_>>(), 0)];
    let mut happenings = Vec::new();
    if kinds.edits {
        for number in 1..random.usize(1..5) {
            let place = random.usize(..entries.len());
            let (edited, is_there) = &mut entries[place];
            match random.u8(..5) {
                // What others run after stays.
                0 | 1 if kinds.removals && (edited.command != "a" || !kinds.others) => *is_there = !*is_there,
                2 => edited.settings = new_settings(random, slots, &mut edited.line, kinds),
                3 if edited.line.every.is_some() => edited.schedule = schedule(random, &mut edited.line),
                _ => {
                    let other = random.usize(..entries.len());
                    entries.swap(place, other);
                }
            }
            let live: Vec<&Entry> = entries.iter().filter(|(_, is_there)| *is_there).map(|(entry, _)| entry).collect();
            versions.push(version(&live, random.usize(..3)));
            happenings.push((second(random), Happening::Edit(number)));
        }
        // In the order of the versions.
        let mut times: Vec<i64> = happenings.iter().map(|(at, _)| *at).collect();
        times.sort_unstable();
        happenings.iter_mut().zip(times).for_each(|(happening, at)| happening.0 = at);
    }
    let mut history = History {
        versions,
        durations: BTreeMap::new().into_iter().collect(),
        exits: BTreeMap::new().into_iter().collect(),
        happenings,
        records_all: !kinds.plain,
        until: if kinds.others { 2 * LAST_SLOT } else { 40 * 86_400 },
    };
    for (Entry { line: Line { id, .. }, .. }, _) in &entries {
        history.durations.insert(id.clone(), random.i64(0..1_200));
        let exits = (0..random.usize(1..6)).map(|_| i32::from(random.u8(..3) == 0)).collect();
        history.exits.insert(id.clone(), exits);
        let mut happens = |happening| history.happenings.push(happening);
        if random.u8(..4) == 0 {
            happens((second(random), Happening::Pause(id.clone(), random.i64(1..4_000))));
        }
        (0..random.usize(..3)).for_each(|_| happens((second(random), Happening::Run(id.clone()))));
        (0..random.usize(..3)).for_each(|_| happens((second(random), Happening::Kill(id.clone()))));
    }
    for _ in 0..random.usize(..3) {
        let stop = second(random);
        history.happenings.push((stop, Happening::Stop));
        history.happenings.push((stop + random.i64(1..3_000), Happening::Start));
    }
    if kinds.crashes {
        for _ in 0..random.usize(..3) {
            let down = if random.bool() { 0 } else { random.i64(1..3_000) };
            let (is_complete, is_written, sent) = (random.u8(..3) == 0, random.bool(), random.usize(..4));
            history.happenings.push((second(random), Happening::Crash { is_complete, is_written, sent, down }));
        }
    }
    if kinds.steps {
        for _ in 0..random.usize(..3) {
            let most = [60, 300, 3_600, 9_000][random.usize(..4)];
            let seconds = random.i64(2..most) * if random.bool() { 1 } else { -1 };
            history.happenings.push((second(random), Happening::Step(seconds)));
        }
    }
    history
}

pub fn first_history() -> u64 {
    std::env::var("CRONWHEEL_FIRST_HISTORY").ok().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn told(seed: u64, history: &History, found: &Found) -> String {
    let mut text = format!("seed {seed}\n{}\n", found.faults.join("\n"));
    for (number, version) in history.versions.iter().enumerate() {
        let _ = writeln!(text, "version {number}:\n{}", version.text);
    }
    let mut happenings = history.happenings.clone();
    happenings.sort();
    for (at, happening) in happenings {
        let _ = writeln!(text, "{at} {:02}:{:02}:{:02} {happening:?}", at / 3600, at / 60 % 60, at % 60);
    }
    let _ = writeln!(text, "{:?}\n{:?}\n{}", history.durations, history.exits, found.text(0));
    text
}

fn check(seed: u64, history: &History, found: &Found) -> Result<(), String> {
    if !found.faults.is_empty() {
        return Err(told(seed, history, found));
    }
    let mut runs: Vec<_> = found.records().filter_map(|record| record.run).collect();
    let count = runs.len();
    runs.sort();
    runs.dedup();
    if runs.len() != count {
        return Err(format!("a run has two records\n{}", told(seed, history, found)));
    }
    if !history.records_all {
        return Ok(());
    }
    let mut outcomes: BTreeMap<&JobId, u64> = BTreeMap::new();
    for record in found.records().filter(|record| record.trigger != Trigger::Manual && record.attempt <= 1) {
        *outcomes.entry(&record.job).or_default() += record.count;
    }
    let is_fixed = |id: &JobId| {
        history.versions.iter().flat_map(|version| &version.lines).any(|line| line.id == *id && line.is_fixed)
    };
    for (id, (must, may)) in &found.slots {
        // What waits for the last runs of other entries has no outcome when the history ends.
        let is_exact = history.until > 86_400 && if is_fixed(id) { found.is_exact_for_fixed } else { found.is_exact };
        let count = outcomes.get(id).copied().unwrap_or(0);
        if is_exact && !(*must..=must + may).contains(&count) {
            return Err(format!(
                "{id} has {count} outcomes of {must} slots (and {may})\n{}",
                told(seed, history, found)
            ));
        }
    }
    Ok(())
}

/// Tries histories and shows the shortest that breaks a rule.
fn try_all(kinds: impl Fn(&mut Rng) -> Kinds) {
    let zone: Arc<Zone> = Zone::utc();
    let midnight: Timestamp = moment("00:00");
    let mut worst: Option<String> = None;
    let mut broken = Vec::new();
    for seed in first_history()..first_history() + histories() {
        let mut random = Rng::with_seed(seed);
        let kinds = kinds(&mut random);
        let history = history(&mut random, kinds);
        let found = Machine::new(&history, &zone, midnight).run();
        if let Err(why) = check(seed, &history, &found) {
            broken.push(seed);
            if worst.as_ref().is_none_or(|worst| why.len() < worst.len()) {
                worst = Some(why);
            }
        }
    }
    if let Some(worst) = worst {
        panic!("{} histories break a rule: {:?}\n{worst}", broken.len(), &broken[..broken.len().min(10)]);
    }
}

#[test]
fn edits_break_no_rule() {
    try_all(|_| Kinds { edits: true, removals: true, ..Kinds::default() });
}

#[test]
fn clock_steps_break_no_rule() {
    try_all(|_| Kinds { steps: true, ..Kinds::default() });
}

#[test]
fn crashes_break_no_rule() {
    try_all(|_| Kinds { crashes: true, ..Kinds::default() });
}

#[test]
fn everything_together_breaks_no_rule() {
    try_all(|random| Kinds {
        steps: random.bool(),
        crashes: random.bool(),
        edits: random.bool(),
        removals: true,
        others: random.bool(),
        plain: false,
    });
}

#[test]
fn entries_that_get_and_lose_policies_break_no_rule() {
    try_all(|random| Kinds {
        steps: random.bool(),
        crashes: random.bool(),
        edits: true,
        removals: true,
        others: random.bool(),
        plain: true,
    });
}

#[test]
fn a_daemon_that_crashed_decides_as_one_that_did_not() {
    let zone = Zone::utc();
    for seed in first_history()..first_history() + histories() {
        let mut random = Rng::with_seed(seed ^ 0xc4a5);
        // After a restart the runs of an entry that is gone do not count for its group any more: no entry is taken away.
        let kinds = Kinds { others: random.bool(), edits: random.bool(), ..Kinds::default() };
        let mut history = history(&mut random, kinds);
        let without = Machine::new(&history, &zone, moment("00:00")).run();
        let crash = Happening::Crash { is_complete: true, is_written: true, sent: 0, down: 0 };
        history.happenings.extend((0..5).map(|_| (second(&mut random), crash.clone())));
        let with = Machine::new(&history, &zone, moment("00:00")).run();
        let pairs = without.decisions.iter().zip(&with.decisions);
        let first = pairs.take_while(|(one, other)| one.text() == other.text()).count();
        let is_same = first == without.decisions.len() && first == with.decisions.len();
        assert!(
            is_same,
            "without a crash:\n{}\nwith crashes:\n{}\n{}",
            without.text(first),
            with.text(first),
            told(seed, &history, &with)
        );
    }
}
