//! The policy of an entry, which the job settings (`CRON_OVERLAP`, `CRON_TIMEOUT`, ...) make.

use super::calendar::{Calendars, merged, ranges_have};
use super::fleet_rule::FleetRule;
use crate::schedule::{Day, Timestamp, Zone};
use std::sync::{Arc, LazyLock};

/// How an entry is run. Entries without job settings share [`Policy::default`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Policy {
    /// `CRON_ENABLED`: whether the entry has slots. A manual run works in any case.
    pub is_enabled: bool,
    /// `CRON_OVERLAP`: what happens at a slot while a run is in progress.
    pub overlap: Overlap,
    /// `CRON_GROUP`: the group whose limit of runs holds for the entry.
    pub group: Option<Group>,
    /// `CRON_TIMEOUT`: seconds that one attempt may take.
    pub timeout: Option<u32>,
    /// `CRON_GRACE`: seconds between TERM and KILL.
    pub grace: u32,
    /// `CRON_RETRY`: further attempts after a failure.
    pub retry: Retry,
    /// `CRON_SUCCESS`: exit statuses that count as success.
    pub success: ExitStatuses,
    /// `CRON_FAIL_ON=stderr`: anything on standard error is a failure.
    pub fails_on_stderr: bool,
    /// `CRON_CATCHUP`: how missed slots are handled.
    pub catch_up: CatchUp,
    /// `CRON_EXCEPT`: days on which the entry has no runs.
    pub except: Arc<Exceptions>,
    /// `CRON_LATE`: seconds after a slot within which a success is expected.
    pub late: Option<u32>,
    /// `CRON_MAIL`: when the output is mailed.
    pub mail: MailRule,
    /// `CRON_ON_FAILURE`, `CRON_ON_SUCCESS`, `CRON_ON_RECOVERY`, `CRON_ON_LATE`.
    pub hooks: Hooks,
    /// `CRON_ALERT`. None: each final failure is notified.
    pub alert: Option<Alert>,
    /// `CRON_PING`; holds for the next entry only.
    pub ping: Option<Ping>,
    /// `CRON_LIMITS`: limits on what a job may use.
    pub limits: ResourceLimits,
    /// `CRON_HISTORY`: how much of the runs the history keeps.
    pub history: HistoryRule,
    /// `CRON_FLEET`, `CRON_FLEET_NODES`, `CRON_FLEET_ORDER`, `CRON_FLEET_AWAY`: on which machines of a fleet it runs.
    pub fleet: FleetRule,
}

/// What happens at a slot while a run of the job is in progress or waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// The new run starts beside it.
    #[default]
    Allow,
    /// The slot is skipped, and the run continues.
    Skip,
    /// The slot waits for the end of the run; a newer slot takes its place.
    Queue,
    /// The run is ended, and the new one starts when it has ended.
    Replace,
}

impl Overlap {
    /// All of them with the words for them.
    pub const ALL: [(&'static str, Overlap); 4] =
        [("allow", Overlap::Allow), ("skip", Overlap::Skip), ("queue", Overlap::Queue), ("replace", Overlap::Replace)];

    /// The word that a crontab has for it.
    pub fn as_str(self) -> &'static str {
        Overlap::ALL.iter().find(|(_, overlap)| *overlap == self).map_or("", |(word, _)| word)
    }
}

/// A group of entries of which only some run at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// Its name: one group for all users in a system table, private to the user in a user's crontab.
    pub name: Arc<str>,
    /// Most runs at once, at least 1.
    pub slots: u32,
}

/// Further attempts after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Retry {
    /// The number of attempts after the first one.
    pub attempts: u32,
    /// Seconds before the first of them. Each pause is twice the one before.
    pub first: u32,
    /// Most seconds of a pause, but never less than `first`.
    pub max: u32,
}

/// A set of exit statuses, 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct ExitStatuses([u64; 4]);

/// How missed slots are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CatchUp {
    /// Which of the missed slots run.
    pub mode: CatchUpMode,
    /// Slots older than this many seconds are not caught up.
    pub max_age: u32,
}

/// Which of the missed slots run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CatchUpMode {
    /// Those that are caught up by the rules for clock changes and restarts.
    #[default]
    None,
    /// Only the latest missed slot.
    Once,
    /// All of them, one after the other.
    All,
}

impl CatchUpMode {
    /// All of them with the words for them.
    pub const ALL: [(&'static str, CatchUpMode); 3] =
        [("none", CatchUpMode::None), ("once", CatchUpMode::Once), ("all", CatchUpMode::All)];

    /// The word that a crontab has for it.
    pub fn as_str(self) -> &'static str {
        CatchUpMode::ALL.iter().find(|(_, mode)| *mode == self).map_or("", |(word, _)| word)
    }
}

/// Days on which an entry has no runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Exceptions {
    /// Ranges of days, both ends included, in order and apart from each other.
    days: Vec<(Day, Day)>,
    /// The names of calendars, each once.
    calendars: Vec<Arc<str>>,
}

impl Exceptions {
    /// The days of these ranges and calendars.
    pub fn new(days: Vec<(Day, Day)>, mut calendars: Vec<Arc<str>>) -> Exceptions {
        calendars.sort();
        calendars.dedup();
        Exceptions { days: merged(days), calendars }
    }

    /// Whether there is neither a day nor a calendar.
    pub fn is_empty(&self) -> bool {
        self.days.is_empty() && self.calendars.is_empty()
    }

    /// Whether a day is one of them. A calendar that is not known has no days.
    pub fn has_day(&self, day: Day, known: &Calendars) -> bool {
        ranges_have(&self.days, day) || self.calendars.iter().any(|name| known.has_day(name, day))
    }

    /// Where the day of a slot is one of them, the moment at which that day ends.
    pub fn end_of_day(&self, slot: Timestamp, zone: &Zone, known: &Calendars) -> Option<Timestamp> {
        if self.is_empty() {
            return None;
        }
        let day = Day::at(slot, zone);
        self.has_day(day, known).then(|| day.end(zone))
    }
}

/// When the output of a job is mailed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum MailRule {
    /// Whenever the job has written something.
    #[default]
    Output,
    /// At final failures, also without output.
    Failure,
    /// Never, whatever the job writes and however it ends.
    Never,
    /// When the class of the outcome or the output differs from the previous slot's.
    Change,
}

/// Commands that are run at an event, as they stand in the crontab.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hooks {
    /// Run when the owner is notified of a failure.
    pub failure: Option<Arc<[u8]>>,
    /// Run after each success.
    pub success: Option<Arc<[u8]>>,
    /// At the first success after a failure notice.
    pub recovery: Option<Arc<[u8]>>,
    /// When there was no success in time.
    pub late: Option<Arc<[u8]>>,
}

/// Which failures the owner is notified of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Alert {
    /// At this final failure in a row, at least 1.
    pub failures: u32,
    /// And again at the first failure at least this many seconds after the last notice. None: not before a success.
    pub repeat: Option<u32>,
}

/// A web service that is called at starts and ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ping {
    /// The URL, http or https.
    pub url: Arc<str>,
    /// Whether the end of the output is sent, too.
    pub with_output: bool,
}

/// Limits on what a job may use. None: as cron itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct ResourceLimits {
    /// The nice value, -20 to 19.
    pub nice: Option<i8>,
    /// The I/O scheduling class of all its processes.
    pub io: Option<IoClass>,
}

/// An I/O scheduling class (ioprio_set(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum IoClass {
    /// Only when no other process needs the disk.
    Idle,
    /// With a level from 0 (highest) to 7.
    BestEffort(u8),
}

/// How much of the runs the history keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HistoryRule {
    /// The record of each run and its output.
    #[default]
    Full,
    /// The record of each run without its output.
    NoOutput,
    /// Nothing: its runs are not in the history.
    Off,
}

/// Seconds of the default CRON_GRACE.
const DEFAULT_GRACE: u32 = 10;
const DAY: u32 = 86_400;

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            is_enabled: true,
            overlap: Overlap::default(),
            group: None,
            timeout: None,
            grace: DEFAULT_GRACE,
            retry: Retry::default(),
            success: ExitStatuses::default(),
            fails_on_stderr: false,
            catch_up: CatchUp::default(),
            except: Arc::default(),
            late: None,
            mail: MailRule::default(),
            hooks: Hooks::default(),
            alert: None,
            ping: None,
            limits: ResourceLimits::default(),
            history: HistoryRule::default(),
            fleet: FleetRule::default(),
        }
    }
}

impl Policy {
    /// The default policy, which all entries without job settings share.
    pub fn shared_default() -> Arc<Policy> {
        static DEFAULT: LazyLock<Arc<Policy>> = LazyLock::new(|| Arc::new(Policy::default()));
        Arc::clone(&DEFAULT)
    }
}

impl Hooks {
    /// Whether there is no hook for any event.
    pub fn is_empty(&self) -> bool {
        *self == Hooks::default()
    }
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { attempts: 0, first: 30, max: 3_600 }
    }
}

impl Default for CatchUp {
    fn default() -> CatchUp {
        CatchUp { mode: CatchUpMode::None, max_age: 31 * DAY }
    }
}

impl Default for ExitStatuses {
    fn default() -> ExitStatuses {
        ExitStatuses::of([0])
    }
}

impl ExitStatuses {
    /// The set of these statuses.
    pub fn of(statuses: impl IntoIterator<Item = u8>) -> ExitStatuses {
        let mut bits = [0; 4];
        for status in statuses {
            if let Some(word) = bits.get_mut(usize::from(status / 64)) {
                *word |= 1 << (status % 64);
            }
        }
        ExitStatuses(bits)
    }

    /// Whether an exit status is in the set.
    pub fn contains(&self, status: i32) -> bool {
        u8::try_from(status)
            .is_ok_and(|status| self.0.get(usize::from(status / 64)).is_some_and(|word| word >> (status % 64) & 1 == 1))
    }
}

impl Retry {
    /// Seconds between the end of attempt number `attempt` (from 1) and the next one.
    pub fn pause(&self, attempt: u32) -> u32 {
        let doubled = u64::from(self.first) << attempt.saturating_sub(1).min(32);
        doubled.min(u64::from(self.max.max(self.first))).try_into().unwrap_or(u32::MAX)
    }
}
