//! The schedules with names. To add a nickname, add a row here.

use super::calendar::Form;
use super::dst_policy::DstPolicy;
use super::fields::{ALL_DAYS, ALL_HOURS, ALL_MINUTES, ALL_MONTHS, ALL_WEEKDAYS, Fields};

/// The schedule that a nickname stands for.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    /// The schedule that the nickname abbreviates.
    Schedule(Form),
    /// `@quartz`, which seven fields follow.
    Quartz,
    /// The word before the names of jobs.
    After,
}

/// A row: the word after `@`, lower case only as in every C cron, and its meaning.
pub(super) const NICKNAMES: &[(&str, Meaning)] = &[
    ("yearly", fixed(1 << 1, 1 << 1, ALL_WEEKDAYS)),
    ("annually", fixed(1 << 1, 1 << 1, ALL_WEEKDAYS)),
    ("monthly", fixed(1 << 1, ALL_MONTHS, ALL_WEEKDAYS)),
    ("weekly", fixed(ALL_DAYS, ALL_MONTHS, 1)),
    ("daily", fixed(ALL_DAYS, ALL_MONTHS, ALL_WEEKDAYS)),
    ("midnight", fixed(ALL_DAYS, ALL_MONTHS, ALL_WEEKDAYS)),
    ("hourly", wildcard(1)),
    ("reboot", Meaning::Schedule(Form::Reboot)),
    ("every_minute", wildcard(ALL_MINUTES)),
    ("every_second", Meaning::Schedule(Form::EverySecond)),
    ("quartz", Meaning::Quartz),
    ("after", Meaning::After),
];

/// All nicknames that are words, with their `@`.
pub fn nicknames() -> impl Iterator<Item = &'static str> {
    NICKNAMES.iter().map(|(name, _)| *name)
}

/// The meaning of the word after `@`.
pub(super) fn meaning(word: &[u8]) -> Option<&'static Meaning> {
    NICKNAMES.iter().find(|(name, _)| name.as_bytes() == word).map(|(_, meaning)| meaning)
}

/// The nickname that the writer of `word` may have had in mind.
pub(super) fn likely(word: &[u8]) -> Option<&'static str> {
    const OTHERS: &[(&str, &str)] = &[
        ("minutely", "every_minute"),
        ("minute", "every_minute"),
        ("secondly", "every_second"),
        ("second", "every_second"),
        ("hour", "hourly"),
        ("day", "daily"),
        ("week", "weekly"),
        ("month", "monthly"),
        ("year", "yearly"),
        ("annual", "annually"),
        ("boot", "reboot"),
        ("startup", "reboot"),
        ("noon", "daily"),
    ];
    let lower = word.to_ascii_lowercase();
    let known = NICKNAMES.iter().find(|(name, _)| name.as_bytes() == lower).map(|(name, _)| *name);
    let known = known.or_else(|| OTHERS.iter().find(|(name, _)| name.as_bytes() == lower).map(|(_, meant)| *meant));
    known.or_else(|| nearest(std::str::from_utf8(&lower).ok()?))
}

/// The nickname from which a word differs by no more than a letter in five.
fn nearest(word: &str) -> Option<&'static str> {
    const LONGEST: usize = 20;
    if word.len() > LONGEST {
        return None;
    }
    let distance = |name: &str| strsim::damerau_levenshtein(word, name);
    let (name, edits) = NICKNAMES.iter().map(|(name, _)| (*name, distance(name))).min_by_key(|(_, edits)| *edits)?;
    (edits <= name.len().div_ceil(5).min(2)).then_some(name)
}

/// At midnight. Both day fields must match, as in the spelled-out forms, where one of them begins with `*`.
const fn fixed(days: u32, months: u16, weekdays: u8) -> Meaning {
    Meaning::Schedule(Form::Plain(Fields::new(1, 1, days, months, weekdays, true, DstPolicy::Fixed)))
}

/// Every hour of every day.
const fn wildcard(minutes: u64) -> Meaning {
    let fields = Fields::new(minutes, ALL_HOURS, ALL_DAYS, ALL_MONTHS, ALL_WEEKDAYS, true, DstPolicy::Wildcard);
    Meaning::Schedule(Form::Plain(fields))
}
