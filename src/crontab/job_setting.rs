//! The job settings (`CRON_OVERLAP`, `CRON_TIMEOUT`, ...): one row each, from which parser, diagnostics and pages are made.
//!
//! A new job setting is a new row of [`ROWS`] and a field of [`Policy`].

use super::calendar::Calendars;
use super::diagnostic::LineProblem;
use super::duration;
use super::excerpt::{found, found_value};
use super::fleet_rule::{FleetAway, FleetMode, FleetOrder, NodeSelection};
use super::form::Form;
use super::policy::{
    Alert, CatchUp, CatchUpMode, Exceptions, ExitStatuses, Group, HistoryRule, Hooks, IoClass, MailRule, Overlap, Ping,
    Policy, ResourceLimits, Retry,
};
use super::spelling;
use crate::schedule::{Day, Kind, LONGEST_NAME, is_name_byte, join_with_or};
use std::ops::Range;
use std::sync::Arc;

/// A job setting, as the parser and the pages need it.
pub struct JobSetting {
    /// The name of the variable.
    pub name: &'static str,
    /// The values that it takes, as a page shows them: `allow | skip | queue | replace`.
    pub values: &'static str,
    /// The value that holds where it is not set.
    pub default: &'static str,
    /// Its effect, in one sentence.
    pub meaning: &'static str,
    /// The schedules on which it has an effect.
    pub applies: Applies,
    /// Whether it holds for the next entry only.
    pub is_for_next_entry: bool,
    parse: fn(&[u8], &mut PolicyBuilder, Form) -> Result<(), LineProblem>,
    reset: fn(&mut PolicyBuilder),
}

/// On which schedules a job setting has an effect. On calendar schedules each one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applies {
    /// `@N` schedules.
    pub interval: bool,
    /// `@reboot` entries.
    pub reboot: bool,
    /// `@after` entries.
    pub after: bool,
    /// The jobs of an anacrontab.
    pub anacron: bool,
}

const ALL: Applies = Applies { interval: true, reboot: true, after: true, anacron: true };
const CALENDAR: Applies = Applies { interval: false, reboot: false, after: false, anacron: false };

impl Applies {
    /// Whether it has an effect on schedules of that kind.
    pub fn to(self, kind: Kind) -> bool {
        match kind {
            Kind::Calendar => true,
            Kind::Interval { .. } => self.interval,
            Kind::Reboot => self.reboot,
            Kind::After => self.after,
        }
    }
}

/// What the job settings of a table have set so far.
#[derive(Clone, Debug, Default)]
pub(super) struct PolicyBuilder {
    /// For all entries below; without `ping`.
    pub policy: Policy,
    /// `CRON_NAME` of the next entry.
    pub name: Option<Arc<str>>,
    /// `CRON_PING` of the next entry.
    pub ping: Option<Ping>,
    /// Items of all CRON_EXCEPT of the table.
    exceptions: usize,
}

/// Every job setting, in the order of the pages.
pub(super) const ROWS: &[JobSetting] = &[
    JobSetting {
        name: "CRON_NAME",
        values: "NAME",
        default: "derived from the command",
        meaning: "Name of the job",
        applies: Applies { anacron: false, ..ALL },
        is_for_next_entry: true,
        parse: |value, builder, _| {
            builder.name = Some(name(value, "a name")?);
            Ok(())
        },
        reset: |builder| builder.name = None,
    },
    JobSetting {
        name: "CRON_ENABLED",
        values: "yes | no",
        default: "yes",
        meaning: "With no, the entry runs only by hand",
        applies: ALL,
        is_for_next_entry: false,
        parse: |value, builder, _| {
            builder.policy.is_enabled = keyword(value, &[("yes", true), ("no", false)])?;
            Ok(())
        },
        reset: |builder| builder.policy.is_enabled = true,
    },
    JobSetting {
        name: "CRON_OVERLAP",
        values: "allow | skip | queue | replace",
        default: "allow",
        meaning: "What happens when the entry is due while it is still running",
        applies: ALL,
        is_for_next_entry: false,
        parse: |value, builder, _| {
            builder.policy.overlap = keyword(value, &Overlap::ALL)?;
            Ok(())
        },
        reset: |builder| builder.policy.overlap = Overlap::default(),
    },
    JobSetting {
        name: "CRON_GROUP",
        values: "NAME[,SLOTS]",
        default: "none",
        meaning: "Group of entries of which at most SLOTS (1) run at once",
        applies: ALL,
        is_for_next_entry: false,
        parse: |value, builder, _| {
            builder.policy.group = Some(group(value)?);
            Ok(())
        },
        reset: |builder| builder.policy.group = None,
    },
    JobSetting {
        name: "CRON_TIMEOUT",
        values: "DURATION",
        default: "none",
        meaning: "Ends each attempt that takes longer",
        applies: ALL,
        is_for_next_entry: false,
        parse: |value, builder, _| {
            builder.policy.timeout = Some(positive_duration(value)?);
            Ok(())
        },
        reset: |builder| builder.policy.timeout = None,
    },
    JobSetting {
        name: "CRON_GRACE",
        values: "DURATION",
        default: "10s",
        meaning: "Time between TERM and KILL when a job is ended",
        applies: ALL,
        is_for_next_entry: false,
        parse: |value, builder, _| {
            builder.policy.grace = duration::read(value, 0)?;
            Ok(())
        },
        reset: |builder| builder.policy.grace = Policy::default().grace,
    },
    JobSetting {
        name: "CRON_RETRY",
        values: "N[,FIRST[,MAX]]",
        default: "0,30s,1h",
        meaning: "N more attempts after a failure, with pauses of FIRST, then twice as long each, at most MAX",
        applies: ALL,
        is_for_next_entry: false,
        parse: |value, builder, _| {
            builder.policy.retry = retry(value)?;
            Ok(())
        },
        reset: |builder| builder.policy.retry = Retry::default(),
    },
    JobSetting {
        name: "CRON_SUCCESS",
        values: "STATUS[,STATUS...]",
        default: "0",
        meaning: "Exit statuses that count as success",
        applies: ALL,
        is_for_next_entry: false,
        parse: |value, builder, _| {
            builder.policy.success = exit_statuses(value)?;
            Ok(())
        },
        reset: |builder| builder.policy.success = ExitStatuses::default(),
    },
    JobSetting {
        name: "CRON_FAIL_ON",
        values: "stderr | off",
        default: "off",
        meaning: "Any output on standard error is a failure",
        applies: ALL,
        is_for_next_entry: false,
        parse: |value, builder, _| {
            builder.policy.fails_on_stderr = keyword(value, &[("stderr", true), ("off", false)])?;
            Ok(())
        },
        reset: |builder| builder.policy.fails_on_stderr = false,
    },
    JobSetting {
        name: "CRON_CATCHUP",
        values: "none | once | all, each with [,MAX-AGE]",
        default: "none",
        meaning: "Which missed slots run later: none, the latest, or all that are not older than MAX-AGE (31d)",
        applies: CALENDAR,
        is_for_next_entry: false,
        parse: |value, builder, _| {
            builder.policy.catch_up = catch_up(value)?;
            Ok(())
        },
        reset: |builder| builder.policy.catch_up = CatchUp::default(),
    },
    JobSetting {
        name: "CRON_EXCEPT",
        values: "DATE | DATE..DATE | CALENDAR, separated by commas",
        default: "none",
        meaning: "Days without runs",
        applies: Applies { interval: true, ..CALENDAR },
        is_for_next_entry: false,
        parse: exceptions,
        reset: |builder| builder.policy.except = Policy::default().except,
    },
    JobSetting {
        name: "CRON_LATE",
        values: "DURATION",
        default: "none",
        meaning: "Reports a slot without a success within that time",
        applies: Applies { after: true, ..CALENDAR },
        is_for_next_entry: false,
        parse: |value, builder, _| {
            builder.policy.late = Some(positive_duration(value)?);
            Ok(())
        },
        reset: |builder| builder.policy.late = None,
    },
    JobSetting {
        name: "CRON_MAIL",
        values: "output | failure | never | change",
        default: "output",
        meaning: "When mail is sent",
        applies: ALL,
        is_for_next_entry: false,
        parse: |value, builder, _| {
            builder.policy.mail = keyword(value, MAIL_RULES)?;
            Ok(())
        },
        reset: |builder| builder.policy.mail = MailRule::default(),
    },
    JobSetting {
        name: "CRON_ON_FAILURE",
        values: "COMMAND",
        default: "none",
        meaning: "Command that is run at a failure notice",
        applies: ALL,
        is_for_next_entry: false,
        parse: |value, builder, _| hook(value, builder, |hooks| &mut hooks.failure),
        reset: |builder| builder.policy.hooks.failure = None,
    },
    JobSetting {
        name: "CRON_ON_SUCCESS",
        values: "COMMAND",
        default: "none",
        meaning: "Command that is run at each success",
        applies: ALL,
        is_for_next_entry: false,
        parse: |value, builder, _| hook(value, builder, |hooks| &mut hooks.success),
        reset: |builder| builder.policy.hooks.success = None,
    },
    JobSetting {
        name: "CRON_ON_RECOVERY",
        values: "COMMAND",
        default: "none",
        meaning: "Command that is run at the first success after a failure notice",
        applies: ALL,
        is_for_next_entry: false,
        parse: |value, builder, _| hook(value, builder, |hooks| &mut hooks.recovery),
        reset: |builder| builder.policy.hooks.recovery = None,
    },
    JobSetting {
        name: "CRON_ON_LATE",
        values: "COMMAND",
        default: "none",
        meaning: "Command that is run when CRON_LATE has passed without a success",
        applies: ALL,
        is_for_next_entry: false,
        parse: |value, builder, _| hook(value, builder, |hooks| &mut hooks.late),
        reset: |builder| builder.policy.hooks.late = None,
    },
    JobSetting {
        name: "CRON_ALERT",
        values: "N[,DURATION]",
        default: "every final failure",
        meaning: "One failure notice at the Nth final failure in a row, and another after DURATION",
        applies: ALL,
        is_for_next_entry: false,
        parse: |value, builder, _| {
            builder.policy.alert = Some(alert(value)?);
            Ok(())
        },
        reset: |builder| builder.policy.alert = None,
    },
    JobSetting {
        name: "CRON_PING",
        values: "URL[,output]",
        default: "none",
        meaning: "Web service that is called at start, success and failure",
        applies: ALL,
        is_for_next_entry: true,
        parse: |value, builder, _| {
            builder.ping = Some(ping(value)?);
            Ok(())
        },
        reset: |builder| builder.ping = None,
    },
    JobSetting {
        name: "CRON_LIMITS",
        values: "nice=0..19 io=idle io=best-effort:0..7, separated by blanks",
        default: "none",
        meaning: "CPU and I/O priority of the job; root may write nice=-20..19 in system tables",
        applies: ALL,
        is_for_next_entry: false,
        parse: |value, builder, form| {
            builder.policy.limits = limits(value, form)?;
            Ok(())
        },
        reset: |builder| builder.policy.limits = ResourceLimits::default(),
    },
    JobSetting {
        name: "CRON_HISTORY",
        values: "full | no-output | off",
        default: "full",
        meaning: "What the history keeps of the runs",
        applies: ALL,
        is_for_next_entry: false,
        parse: |value, builder, _| {
            builder.policy.history = keyword(value, HISTORY_RULES)?;
            Ok(())
        },
        reset: |builder| builder.policy.history = HistoryRule::default(),
    },
    JobSetting {
        name: "CRON_FLEET",
        values: "each | one | one,failover",
        default: "each",
        meaning: "On how many machines of a fleet each slot runs",
        applies: CALENDAR,
        is_for_next_entry: false,
        parse: |value, builder, _| {
            builder.policy.fleet.mode = keyword(value, &FleetMode::ALL)?;
            Ok(())
        },
        reset: |builder| builder.policy.fleet.mode = FleetMode::default(),
    },
    JobSetting {
        name: "CRON_FLEET_NODES",
        values: "names and labels: a comma means or, + means and, ! means not",
        default: "all",
        meaning: "Machines of the fleet that may run the entry",
        applies: CALENDAR,
        is_for_next_entry: false,
        parse: |value, builder, _| {
            builder.policy.fleet.nodes = Some(Arc::new(NodeSelection::parse(value)?));
            Ok(())
        },
        reset: |builder| builder.policy.fleet.nodes = None,
    },
    JobSetting {
        name: "CRON_FLEET_ORDER",
        values: "spread | first",
        default: "spread",
        meaning: "Which machine tries first: spread evenly, or in the order of CRON_FLEET_NODES",
        applies: CALENDAR,
        is_for_next_entry: false,
        parse: |value, builder, _| {
            builder.policy.fleet.order = keyword(value, &FleetOrder::ALL)?;
            Ok(())
        },
        reset: |builder| builder.policy.fleet.order = FleetOrder::default(),
    },
    JobSetting {
        name: "CRON_FLEET_AWAY",
        values: "skip | run",
        default: "skip",
        meaning: "What becomes of a slot while etcd cannot be reached; with run it may run on several machines",
        applies: CALENDAR,
        is_for_next_entry: false,
        parse: |value, builder, _| {
            let help = "a job of one machine alone is one with CRON_FLEET=each and CRON_FLEET_NODES=NODE";
            let is_home = value.starts_with(b"home=");
            let away = keyword(value, &FleetAway::ALL);
            builder.policy.fleet.away = away.map_err(|why| if is_home { why.help(help) } else { why })?;
            Ok(())
        },
        reset: |builder| builder.policy.fleet.away = FleetAway::default(),
    },
];

const MAIL_RULES: &[(&str, MailRule)] = &[
    ("output", MailRule::Output),
    ("failure", MailRule::Failure),
    ("never", MailRule::Never),
    ("change", MailRule::Change),
];

const HISTORY_RULES: &[(&str, HistoryRule)] =
    &[("full", HistoryRule::Full), ("no-output", HistoryRule::NoOutput), ("off", HistoryRule::Off)];

/// The value that resets a setting.
const DEFAULT: &[u8] = b"default";

const MOST_RETRIES: u32 = 1_000;
const MOST_SLOTS: u32 = 10_000;
/// Most items of one CRON_EXCEPT.
const MOST_EXCEPTIONS: usize = 1_000;
/// The maximum number of calendars in one value: each is looked up at each slot.
const MOST_CALENDARS: usize = 20;
/// Most items of all CRON_EXCEPT of a table: an item may be four bytes long and takes many times that in memory.
const MOST_EXCEPTIONS_OF_TABLE: usize = 100_000;
const MOST_FAILURES: u32 = 1_000_000;
const LONGEST_URL: usize = 2_000;

/// All job settings, for the pages and the completions.
pub fn job_settings() -> &'static [JobSetting] {
    ROWS
}

/// Whether a variable of a table is a job setting.
pub fn is_job_setting(name: &[u8]) -> bool {
    row(name).is_some()
}

/// Whether a variable of a table is kept from the job: CRON_PING, whose URL is a secret, and the commands of hooks.
pub fn is_hidden_from_jobs(name: &[u8]) -> bool {
    name == b"CRON_PING" || name.starts_with(b"CRON_ON_")
}

/// The job setting of that name.
pub(super) fn row(name: &[u8]) -> Option<&'static JobSetting> {
    if !name.starts_with(b"CRON_") {
        return None;
    }
    ROWS.iter().find(|row| row.name.as_bytes() == name)
}

impl JobSetting {
    /// Reads a value. On an error the builder is as it was before.
    pub(super) fn set(&self, value: &[u8], builder: &mut PolicyBuilder, form: Form) -> Result<(), LineProblem> {
        if value == DEFAULT {
            (self.reset)(builder);
            return Ok(());
        }
        let used = builder.exceptions;
        (self.parse)(value, builder, form).map_err(|mut problem| {
            builder.exceptions = used;
            problem.message = format!("{}: {}", self.name, problem.message);
            problem.help.get_or_insert_with(|| {
                format!(
                    "allowed: {}; until it is corrected, the previous value applies, or the default ({})",
                    self.values, self.default
                )
            });
            problem
        })
    }

    /// Whether a policy has another value of this setting than the default.
    pub(super) fn is_set_in(&self, policy: &Policy) -> bool {
        self.reset_in(policy) != *policy
    }

    /// The policy with the default of this setting.
    pub(super) fn reset_in(&self, policy: &Policy) -> Policy {
        let mut builder = PolicyBuilder { policy: policy.clone(), ..PolicyBuilder::default() };
        (self.reset)(&mut builder);
        builder.policy
    }
}

/// One of a list of words.
fn keyword<T: Copy>(value: &[u8], words: &[(&str, T)]) -> Result<T, LineProblem> {
    if let Some((_, meaning)) = words.iter().find(|(word, _)| word.as_bytes() == value) {
        return Ok(*meaning);
    }
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let problem = LineProblem::new(
        0..value.len(),
        format!("expected {}, found {}", join_with_or(names.iter().map(|name| (*name).to_owned())), found_value(value)),
    );
    Err(match names.iter().find(|name| is_like(value, name.as_bytes())) {
        Some(meant) => problem.help(format!("did you mean {meant}?")),
        None => problem,
    })
}

/// Whether a word was perhaps meant: the same but for case and two letters.
fn is_like(word: &[u8], meant: &[u8]) -> bool {
    let lower = word.to_ascii_lowercase();
    let most = if meant.len() < 5 { 1 } else { 2 };
    lower.len() <= meant.len() + most && spelling::distance(&lower, meant) <= most
}

/// A part of a value, and where it begins there.
type Part<'a> = (usize, &'a [u8]);

/// The parts of a value between its commas.
fn parts(value: &[u8]) -> impl Iterator<Item = Part<'_>> {
    let mut at = 0;
    value.split(|&byte| byte == b',').map(move |part| {
        let start = at;
        at += part.len() + 1;
        (start, part)
    })
}

/// The first parts of a value that may have at most `N`.
fn at_most_parts<'a, const N: usize>(value: &'a [u8], form: &str) -> Result<[Option<Part<'a>>; N], LineProblem> {
    let mut found = [None; N];
    for (index, part) in parts(value).enumerate() {
        match found.get_mut(index) {
            Some(place) => *place = Some(part),
            None => {
                let rest = part.0 - 1..value.len();
                let message = format!("expected {form}, found more: {}", found_value(&value[rest.clone()]));
                return Err(LineProblem::new(rest, message));
            }
        }
    }
    Ok(found)
}

/// A number in digits from `least` to `most`; `what` says what it counts.
fn number((at, text): Part<'_>, least: u32, most: u32, what: &str) -> Result<u32, LineProblem> {
    let number = (!text.is_empty())
        .then(|| {
            text.iter().try_fold(0u32, |sum, &digit| {
                let digit = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
                sum.checked_mul(10)?.checked_add(digit)
            })
        })
        .flatten();
    number.filter(|number| (least..=most).contains(number)).ok_or_else(|| {
        let message = format!("expected {what} from {least} to {most}, found {}", found_value(text));
        LineProblem::new(at..at + text.len(), message)
    })
}

fn positive_duration(value: &[u8]) -> Result<u32, LineProblem> {
    duration::read(value, 1)
}

fn duration_part((at, text): Part<'_>, least: u32) -> Result<u32, LineProblem> {
    duration::read(text, least).map_err(|problem| problem.moved(at))
}

/// Whether `CRON_EXCEPT` can name a calendar so.
pub fn is_calendar_name(text: &[u8]) -> bool {
    name(text, "").is_ok()
}

/// A name of a job, a group or a calendar.
fn name(value: &[u8], what: &str) -> Result<Arc<str>, LineProblem> {
    let whole = 0..value.len();
    if let Some(at) = value.iter().position(|&byte| !is_name_byte(byte)) {
        // All bytes of a character that is not ASCII.
        let end = at + 1 + value[at + 1..].iter().take_while(|byte| **byte & 0xc0 == 0x80).count();
        let what_is = if matches!(value[at], b' ' | b'\t') { "a blank".to_owned() } else { found(&value[at..end]) };
        let message = format!("expected {what} of letters, digits and the characters . _ -, found {what_is}");
        return Err(LineProblem::new(at..end, message));
    }
    match std::str::from_utf8(value) {
        Ok("default") => {
            let message = format!("expected {what}, found default, which is reserved and cannot be a name");
            Err(LineProblem::new(whole, message))
        }
        Ok(text) if (1..=LONGEST_NAME).contains(&text.len()) => Ok(text.into()),
        Ok(_) | Err(_) => {
            let found = match value.len() {
                0 => "nothing".to_owned(),
                length => format!("{length} characters"),
            };
            Err(LineProblem::new(whole, format!("expected {what} of 1 to {LONGEST_NAME} characters, found {found}")))
        }
    }
}

fn group(value: &[u8]) -> Result<Group, LineProblem> {
    let [group, slots] = at_most_parts(value, "NAME or NAME,SLOTS")?;
    let (_, text) = group.unwrap_or_default();
    let name = name(text, "the name of a group")?;
    let slots = slots.map_or(Ok(1), |slots| number(slots, 1, MOST_SLOTS, "a number of slots"))?;
    Ok(Group { name, slots })
}

fn retry(value: &[u8]) -> Result<Retry, LineProblem> {
    let default = Retry::default();
    let [attempts, first, max] = at_most_parts(value, "N, N,FIRST or N,FIRST,MAX")?;
    let attempts = number(attempts.unwrap_or_default(), 0, MOST_RETRIES, "a number of retries")?;
    let first = first.map_or(Ok(default.first), |first| duration_part(first, 0))?;
    let max = max.map_or(Ok(default.max), |max| duration_part(max, 0))?;
    Ok(Retry { attempts, first, max: max.max(first) })
}

fn exit_statuses(value: &[u8]) -> Result<ExitStatuses, LineProblem> {
    let mut statuses = Vec::new();
    for part in parts(value) {
        statuses.push(number(part, 0, u32::from(u8::MAX), "an exit status")? as u8);
    }
    Ok(ExitStatuses::of(statuses))
}

fn catch_up(value: &[u8]) -> Result<CatchUp, LineProblem> {
    let [mode, max_age] = at_most_parts(value, "none, once or all, and a duration")?;
    let (_, mode) = mode.unwrap_or_default();
    let mode = keyword(mode, &CatchUpMode::ALL)?;
    let max_age = max_age.map_or(Ok(CatchUp::default().max_age), |max_age| duration_part(max_age, 1))?;
    Ok(CatchUp { mode, max_age })
}

fn exceptions(value: &[u8], builder: &mut PolicyBuilder, _: Form) -> Result<(), LineProblem> {
    let (mut days, mut calendars) = (Vec::new(), Vec::new());
    for (index, (at, item)) in parts(value).enumerate() {
        let rest = at..value.len();
        builder.exceptions += 1;
        if index == MOST_EXCEPTIONS {
            return Err(too_many(rest, MOST_EXCEPTIONS, "dates and calendars"));
        }
        if builder.exceptions > MOST_EXCEPTIONS_OF_TABLE {
            return Err(too_many(rest, MOST_EXCEPTIONS_OF_TABLE, "dates and calendars in all of a table"));
        }
        match exception(item).map_err(|problem| problem.moved(at))? {
            Exception::Days(first, last) => days.push((first, last)),
            Exception::Calendar(name) if calendars.contains(&name) => {}
            Exception::Calendar(_) if calendars.len() == MOST_CALENDARS => {
                return Err(too_many(rest, MOST_CALENDARS, "calendars"));
            }
            Exception::Calendar(name) => calendars.push(name),
        }
    }
    builder.policy.except = Arc::new(Exceptions::new(days, calendars));
    Ok(())
}

fn too_many(place: Range<usize>, most: usize, what: &str) -> LineProblem {
    LineProblem::new(place, format!("expected at most {most} {what}, found more"))
        .help("put the dates into a calendar file")
}

/// One day, range of days or calendar of `CRON_EXCEPT`.
enum Exception {
    Days(Day, Day),
    Calendar(Arc<str>),
}

fn exception(item: &[u8]) -> Result<Exception, LineProblem> {
    let dots = memchr::memmem::find(item, b"..");
    if let Some((first, last)) = dots.map(|dots| (0..dots, dots + 2..item.len()))
        && (looks_like_date(&item[first.clone()]) || looks_like_date(&item[last.clone()]))
    {
        let (from, to) = (date(item, first)?, date(item, last)?);
        if from > to {
            let message = format!("expected the earlier date first, found {}", found(item));
            return Err(LineProblem::new(0..item.len(), message));
        }
        return Ok(Exception::Days(from, to));
    }
    if looks_like_date(item) {
        let day = date(item, 0..item.len())?;
        return Ok(Exception::Days(day, day));
    }
    const WHAT: &str = "a date such as 2026-12-24, a range of dates or the name of a calendar";
    if item.is_empty() || matches!(item.first(), Some(b' ' | b'\t')) {
        let found = if item.is_empty() { "nothing" } else { "a blank" };
        let problem = LineProblem::new(0..item.len().min(1), format!("expected {WHAT}, found {found}"));
        return Err(problem.help("separate dates and calendars by a comma without blanks"));
    }
    if item.starts_with(b".") {
        let message = format!("expected {WHAT}, found {}", found(item));
        return Err(LineProblem::new(0..item.len(), message).help("the name of a calendar does not begin with a dot"));
    }
    Ok(Exception::Calendar(name(item, "the name of a calendar")?))
}

/// The first calendar of a value that does not exist.
pub(super) fn unknown_calendar(value: &[u8], calendars: &Calendars) -> Option<LineProblem> {
    let (name, at, item) = parts(value).find_map(|(at, item)| match exception(item) {
        Ok(Exception::Calendar(name)) if !calendars.contains(&name) => Some((name, at, item)),
        Ok(_) | Err(_) => None,
    })?;
    let message = format!("CRON_EXCEPT: there is no calendar {name}; the entries run on its days");
    Some(
        LineProblem::new(at..at + item.len(), message)
            .help(format!("its dates belong into /etc/cronwheel/calendars/{name}")),
    )
}

/// `2026-12-24`; also `2026-1-5` and `2026/01/05`, which nobody would call a calendar.
fn looks_like_date(text: &[u8]) -> bool {
    let mut parts = text.split(|&byte| byte == b'-' || byte == b'/');
    let mut digits = |lengths: Range<usize>| {
        parts.next().is_some_and(|part| lengths.contains(&part.len()) && part.iter().all(u8::is_ascii_digit))
    };
    digits(4..5) && digits(1..3) && digits(1..3) && parts.next().is_none()
}

fn date(item: &[u8], place: Range<usize>) -> Result<Day, LineProblem> {
    let text = &item[place.clone()];
    Day::parse_iso(text).ok_or_else(|| {
        let problem =
            LineProblem::new(place, format!("expected a date such as 2026-12-24, found {}", found_value(text)));
        match looks_like_date(text) && text.len() == 10 && !text.contains(&b'/') {
            true => problem.help("there is no such date"),
            false => problem.help("dates are written YYYY-MM-DD, with two digits for month and day"),
        }
    })
}

fn hook(
    value: &[u8],
    builder: &mut PolicyBuilder,
    hook: fn(&mut Hooks) -> &mut Option<Arc<[u8]>>,
) -> Result<(), LineProblem> {
    if value.trim_ascii().is_empty() {
        return Err(LineProblem::new(0..value.len(), "expected a command, found nothing"));
    }
    *hook(&mut builder.policy.hooks) = Some(value.into());
    Ok(())
}

fn alert(value: &[u8]) -> Result<Alert, LineProblem> {
    let [failures, repeat] = at_most_parts(value, "N or N,DURATION")?;
    let failures = number(failures.unwrap_or_default(), 1, MOST_FAILURES, "a number of failures")?;
    let repeat = repeat.map(|repeat| duration_part(repeat, 1)).transpose()?;
    Ok(Alert { failures, repeat })
}

/// URLs of such services are secrets: no message shows more than the part that is wrong.
fn ping(value: &[u8]) -> Result<Ping, LineProblem> {
    let (url, with_output) = match value.strip_suffix(b",output") {
        Some(url) => (url, true),
        None => (value, false),
    };
    let whole = 0..url.len();
    let Some(text) = std::str::from_utf8(url).ok().filter(|_| url.iter().all(u8::is_ascii_graphic)) else {
        let at = url.iter().position(|byte| !byte.is_ascii_graphic()).unwrap_or(0);
        let what = match url.get(at) {
            Some(b' ' | b'\t') => "a blank",
            _ => "another byte",
        };
        let message = format!("expected a URL of printable ASCII characters without blanks, found {what}");
        return Err(LineProblem::new(at..at + 1, message));
    };
    if text.len() > LONGEST_URL {
        let message = format!("expected a URL of at most {LONGEST_URL} characters, found {}", text.len());
        return Err(LineProblem::new(whole, message));
    }
    let Some(scheme) = ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme)) else {
        let scheme = text.find("://").map_or(whole, |at| 0..at + "://".len());
        let message = "expected a URL that begins with https:// or http://";
        let problem = match &text[scheme.clone()] {
            "" => format!("{message}, found nothing"),
            other if other.contains("://") => format!("{message}, found {}", found(other.as_bytes())),
            _ => format!("{message}, found none"),
        };
        return Err(LineProblem::new(scheme, problem));
    };
    let rest = &text[scheme.len()..];
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let at = scheme.len();
    if !has_host(authority) {
        let message = format!("expected the name of a host and perhaps a port after {scheme}");
        return Err(LineProblem::new(at..at + authority.len(), message));
    }
    Ok(Ping { url: text.into(), with_output })
}

/// Whether the part of a URL between `//` and the path names a host: `[USER@]HOST[:PORT]`.
fn has_host(authority: &str) -> bool {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let is_port = |port: &str| {
        !port.is_empty()
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if let Some(address) = host.strip_prefix('[') {
        return address.split_once(']').is_some_and(|(address, port)| {
            address.parse::<core::net::Ipv6Addr>().is_ok()
                && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        });
    }
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let is_name = name.bytes().all(is_name_byte) && name.bytes().any(|byte| byte.is_ascii_alphanumeric());
    is_name && port.is_none_or(is_port)
}

fn limits(value: &[u8], form: Form) -> Result<ResourceLimits, LineProblem> {
    const EXPECTED: &str = "nice=0..19, io=idle or io=best-effort:0..7";
    let mut limits = ResourceLimits::default();
    let mut at = 0;
    for item in value.split(|&byte| matches!(byte, b' ' | b'\t')) {
        let place = at..at + item.len();
        at = place.end + 1;
        if item.is_empty() {
            continue;
        }
        let is_again = if let Some(text) = item.strip_prefix(b"nice=") {
            limits.nice.replace(nice(text, place.end - text.len(), form)?).is_some()
        } else if let Some(text) = item.strip_prefix(b"io=") {
            limits.io.replace(io_class(text, place.end - text.len())?).is_some()
        } else {
            return Err(LineProblem::new(place, format!("expected {EXPECTED}, found {}", found(item))));
        };
        if is_again {
            let message = format!("expected each limit once, found {} after another", found(item));
            return Err(LineProblem::new(place, message));
        }
    }
    if limits == ResourceLimits::default() {
        return Err(LineProblem::new(0..value.len(), format!("expected {EXPECTED}, found nothing")));
    }
    Ok(limits)
}

fn nice(text: &[u8], at: usize, form: Form) -> Result<i8, LineProblem> {
    let least = match form {
        Form::User => 0,
        Form::System => -20,
    };
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let number: Option<i8> = Some(text)
        .filter(|_| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
        .and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    number.filter(|nice| (least..=19).contains(nice)).ok_or_else(|| {
        let problem = LineProblem::new(
            at..at + text.len(),
            format!("expected a nice value from {least} to 19, found {}", found_value(text)),
        );
        match number {
            Some(-20..0) => problem.help("only entries of root in system tables may have a nice value below 0"),
            _ => problem,
        }
    })
}

fn io_class(text: &[u8], at: usize) -> Result<IoClass, LineProblem> {
    match text {
        b"idle" => Ok(IoClass::Idle),
        [b'b', b'e', b's', b't', b'-', b'e', b'f', b'f', b'o', b'r', b't', b':', level @ b'0'..=b'7'] => {
            Ok(IoClass::BestEffort(level - b'0'))
        }
        _ => {
            let message = format!("expected idle or best-effort:0 to best-effort:7, found {}", found_value(text));
            Err(LineProblem::new(at..at + text.len(), message))
        }
    }
}
