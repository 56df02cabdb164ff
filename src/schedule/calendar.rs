//! A compiled schedule and the search for the next time at which it is due.

use super::civil::DAY_MINUTES;
use super::days::Days;
use super::dst_policy::DstPolicy;
use super::fields::{ALL_DAYS, ALL_WEEKDAYS, DayRule, Fields};
use super::quartz::Quartz;
use super::time::{LocalMinute, Timestamp};
use super::wall;
use super::zone::Zone;
use std::sync::Arc;

/// When an entry is due: five fields, a nickname, `@quartz` and seven fields, `@N`, `@reboot`, or `@after`. Equal schedules are equal
/// values, so the scheduler can share one timer among them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Schedule(pub(super) Form);

/// How a schedule is stored. The common form is small and stored in place; rare forms are shared on the heap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Form {
    /// Five fields of plain sets.
    Plain(Fields),
    /// Five fields with days that depend on the month's shape.
    Shaped(Arc<(Fields, Days)>),
    Quartz(Arc<Quartz>),
    EverySecond,
    /// `@N`: seconds after the end of the previous run.
    Interval(u32),
    Reboot,
    /// `@after` and these jobs. A thin pointer, so that schedules stay small.
    After(Arc<Vec<Arc<str>>>),
}

/// What makes a schedule due: the calendar, the end of the previous run, or a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Due at minutes (or seconds) of a calendar.
    Calendar,
    /// `@N`: a number of seconds after the end of the previous run; the first run counts from the loading of the crontab.
    Interval {
        /// Pause between two runs in seconds, at least 1.
        seconds: u32,
    },
    /// `@reboot`: once per boot.
    Reboot,
    /// `@after`: when other jobs have ended successfully. Never due by the calendar.
    After,
}

impl Schedule {
    /// Whether the calendar, the end of the previous run or a boot makes it due.
    pub fn kind(&self) -> Kind {
        match self.0 {
            Form::Plain(_) | Form::Shaped(_) | Form::Quartz(_) | Form::EverySecond => Kind::Calendar,
            Form::Interval(seconds) => Kind::Interval { seconds },
            Form::Reboot => Kind::Reboot,
            Form::After(_) => Kind::After,
        }
    }

    /// The jobs that `@after` names, as they are written; of other schedules none.
    pub fn after(&self) -> &[Arc<str>] {
        match &self.0 {
            Form::After(jobs) => jobs,
            Form::Plain(_)
            | Form::Shaped(_)
            | Form::Quartz(_)
            | Form::EverySecond
            | Form::Interval(_)
            | Form::Reboot => &[],
        }
    }

    /// The policy for clock jumps and changes of the zone's offset.
    pub fn style(&self) -> DstPolicy {
        match &self.0 {
            Form::Plain(fields) => fields.style,
            Form::Shaped(shaped) => shaped.0.style,
            Form::Quartz(quartz) => quartz.style(),
            Form::EverySecond | Form::Interval(_) | Form::Reboot | Form::After(_) => DstPolicy::Wildcard,
        }
    }

    /// Whether it can be due within a minute rather than at its start: `@every_second` and `@quartz`.
    pub fn has_seconds(&self) -> bool {
        matches!(self.0, Form::Quartz(_) | Form::EverySecond)
    }

    /// Whether the schedule is due in every second (`@every_second`).
    pub fn is_every_second(&self) -> bool {
        matches!(self.0, Form::EverySecond)
    }

    /// Whether it can never be due (`0 0 30 2 *`). False for `@reboot`, `@N` and `@after`.
    #[inline]
    pub fn never_matches(&self) -> bool {
        match &self.0 {
            // Every possible date occurs on every possible day of the week within a 400-year cycle.
            Form::Plain(fields) => fields.may_never_match() && fields.next(0, None).is_none(),
            Form::Shaped(shaped) => shaped.0.next(0, Some(&shaped.1)).is_none(),
            Form::Quartz(quartz) => quartz.next(i64::MIN).is_none(),
            Form::EverySecond | Form::Interval(_) | Form::Reboot | Form::After(_) => false,
        }
    }

    /// Whether both day fields are restricted, so that a match of either one is enough (`0 4 1 * sun`).
    pub fn either_day_is_enough(&self) -> bool {
        self.either_day().is_some()
    }

    /// Whether both day fields are restricted, and no year has such a date, so that only the day of the week has a match
    /// (`0 0 30 2 1`).
    pub fn only_weekday_has_a_match(&self) -> bool {
        self.either_day().is_some_and(|(fields, days)| fields.has_no_date(days)) && !self.never_matches()
    }

    /// The fields, if a match of either day field is enough.
    fn either_day(&self) -> Option<(&Fields, Option<&Days>)> {
        let (fields, days) = match &self.0 {
            Form::Plain(fields) => (fields, None),
            Form::Shaped(shaped) => (&shaped.0, Some(&shaped.1)),
            Form::Quartz(_) | Form::EverySecond | Form::Interval(_) | Form::Reboot | Form::After(_) => return None,
        };
        let is_restricted = fields.days != ALL_DAYS && fields.weekdays != ALL_WEEKDAYS;
        (fields.rule == DayRule::Either && is_restricted).then_some((fields, days))
    }

    /// The first time after `after` (exclusive) at which it is due in `zone`, with regard to the zone's gaps and folds. None
    /// for `@reboot` and `@after`, and if nothing is due within one 400-year cycle. For `@N` it is `after` plus N seconds.
    ///
    /// `done` is the last local minute that was already handled before the clock was set back. A [`DstPolicy::Fixed`]
    /// schedule is not due again at local minutes up to it.
    pub fn next_after(&self, after: Timestamp, zone: &Zone, done: Option<LocalMinute>) -> Option<Timestamp> {
        if !after.is_sane() {
            return None;
        }
        match &self.0 {
            Form::Plain(fields) => wall::next_due(fields, fields.style, after, zone, done),
            Form::Shaped(shaped) => wall::next_due(&**shaped, shaped.0.style, after, zone, done),
            Form::Quartz(quartz) => wall::next_due_second(quartz, after, zone, done),
            Form::EverySecond => Some(Timestamp(after.0 + 1)),
            Form::Interval(seconds) => Some(Timestamp(after.0 + i64::from(*seconds))),
            Form::Reboot | Form::After(_) => None,
        }
    }

    /// Whether the fields match that local minute (for schedules with seconds: any second of it).
    pub fn matches(&self, at: LocalMinute) -> bool {
        at.is_sane()
            && match &self.0 {
                Form::Plain(fields) => fields.matches(at.0, None),
                Form::Shaped(shaped) => shaped.0.matches(at.0, Some(&shaped.1)),
                Form::Quartz(quartz) => quartz.next(at.0 * 60 - 1).is_some_and(|second| second < at.0 * 60 + 60),
                Form::EverySecond => true,
                Form::Interval(_) | Form::Reboot | Form::After(_) => false,
            }
    }

    /// Which of minute, hour, day and month do not match that local minute. Empty for schedules that are not made of these.
    pub fn fields_that_differ(&self, at: LocalMinute) -> Vec<&'static str> {
        let (fields, extra) = match &self.0 {
            Form::Plain(fields) => (fields, None),
            Form::Shaped(shaped) => (&shaped.0, Some(&shaped.1)),
            Form::Quartz(_) | Form::EverySecond | Form::Interval(_) | Form::Reboot | Form::After(_) => {
                return Vec::new();
            }
        };
        if !at.is_sane() {
            return Vec::new();
        }
        fields.that_differ(at.0, extra)
    }

    /// The first local minute after `after` (exclusive) that the fields match, without regard to a zone.
    pub fn next_match(&self, after: LocalMinute) -> Option<LocalMinute> {
        if !after.is_sane() {
            return None;
        }
        let next = match &self.0 {
            Form::Plain(fields) => fields.next(after.0, None),
            Form::Shaped(shaped) => shaped.0.next(after.0, Some(&shaped.1)),
            Form::Quartz(quartz) => quartz.next(after.0 * 60 + 59).map(|second| second.div_euclid(60)),
            Form::EverySecond => Some(after.0 + 1),
            Form::Interval(_) | Form::Reboot | Form::After(_) => None,
        };
        next.map(LocalMinute)
    }
}

/// Lets [`wall`] search schedules whose smallest unit is the minute.
impl wall::Calendar for Fields {
    fn next(&self, after: i64) -> Option<i64> {
        Fields::next(self, after, None)
    }
    fn matches(&self, at: i64) -> bool {
        Fields::matches(self, at, None)
    }
}

impl wall::Calendar for (Fields, Days) {
    fn next(&self, after: i64) -> Option<i64> {
        self.0.next(after, Some(&self.1))
    }
    fn matches(&self, at: i64) -> bool {
        self.0.matches(at, Some(&self.1))
    }
}

impl Timestamp {
    /// Whether the calendar's arithmetic holds that far out, about 250,000 years either way.
    pub(super) fn is_sane(self) -> bool {
        self.0.unsigned_abs() < 8_000_000_000_000
    }
}

impl LocalMinute {
    fn is_sane(self) -> bool {
        self.0.unsigned_abs() / DAY_MINUTES.unsigned_abs() < 92_000_000
    }
}
