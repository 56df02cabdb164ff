//! Warns of the zone's coming gaps and folds that affect a schedule.

use super::calendar::{Form, Kind, Schedule};
use super::civil::{DAY_MINUTES, Date};
use super::clock_step::ClockStep;
use super::dst_policy::DstPolicy;
use super::time::{LocalMinute, Timestamp};
use super::zone::{Transition, Zone};

/// How far ahead to look, in seconds.
const YEAR: i64 = 366 * 86_400;

/// Sentences about the gaps and folds within a year after `from` that affect this schedule: `On 2027-03-28 this time does
/// not exist in Europe/Berlin: runs at 03:00`.
pub fn dst_warnings(schedule: &Schedule, zone: &Zone, from: Timestamp) -> Vec<String> {
    let on_the_wall = schedule.kind() == Kind::Calendar && !matches!(schedule.0, Form::EverySecond);
    let mut sentences = Vec::new();
    let mut at = from;
    while let Some(change) = zone.next_transition(at).filter(|change| on_the_wall && change.at.0 <= from.0 + YEAR) {
        sentences.extend(Edge::of(&change).and_then(|edge| edge.sentence(schedule, zone.name())));
        at = change.at;
    }
    sentences
}

/// A change of the local clock, in minutes since 1970 local time.
struct Edge {
    /// The last minute shown before the change.
    before: i64,
    /// The first minute shown after it.
    after: i64,
}

impl Edge {
    /// None if the local clock simply continues.
    fn of(change: &Transition) -> Option<Edge> {
        let before = (change.at.0 - 1 + i64::from(change.before)).div_euclid(60);
        let after = (change.at.0 + i64::from(change.after)).div_euclid(60);
        (after != before + 1).then_some(Edge { before, after })
    }

    fn sentence(&self, schedule: &Schedule, zone: &str) -> Option<String> {
        // A gap leaves out the minutes between; a fold shows those from `after` to `before` again.
        let is_gap = self.after > self.before;
        let (first, end) = if is_gap { (self.before + 1, self.after) } else { (self.after, self.before + 1) };
        let odd =
            |from: i64| schedule.next_match(LocalMinute(from)).map(|minute| minute.0).filter(|minute| *minute < end);
        let first_odd = odd(first - 1)?;
        if runs_by_the_hour(schedule, first_odd, end - first) {
            return None;
        }
        let what = if odd(first_odd).is_some() {
            ("these times do", "these times come")
        } else {
            ("this time does", "this time comes")
        };
        let day = date(first_odd);
        Some(match is_gap {
            true => format!("On {day} {} not exist in {zone}: {}", what.0, self.in_gap(schedule)),
            false => format!("On {day} {} twice in {zone}: {}", what.1, self.in_fold(schedule)),
        })
    }

    fn in_gap(&self, schedule: &Schedule) -> String {
        let runs_after_gap = match (&schedule.0, ClockStep::of(self.after - self.before), schedule.style()) {
            (Form::Quartz(_), _, _) | (_, ClockStep::Small, _) | (_, ClockStep::Forward, DstPolicy::Fixed) => true,
            (_, ClockStep::Forward, DstPolicy::Wildcard) | (_, ClockStep::Back | ClockStep::Jump, _) => false,
        };
        if !runs_after_gap {
            return "does not run then".to_owned();
        }
        let on = if self.after.div_euclid(DAY_MINUTES) == self.before.div_euclid(DAY_MINUTES) {
            String::new()
        } else {
            format!(" on {}", date(self.after))
        };
        let of_day = self.after.rem_euclid(DAY_MINUTES);
        format!("runs at {:02}:{:02}{on}", of_day / 60, of_day % 60)
    }

    fn in_fold(&self, schedule: &Schedule) -> &'static str {
        match (&schedule.0, ClockStep::of(self.after - self.before), schedule.style()) {
            (Form::Quartz(quartz), _, _) if quartz.repeats_in_folds() => "runs both times",
            (Form::Quartz(_), _, _) => "runs the first time only",
            (_, ClockStep::Back, DstPolicy::Fixed) => "runs the first time only",
            (_, ClockStep::Back, DstPolicy::Wildcard)
            | (_, ClockStep::Small | ClockStep::Forward | ClockStep::Jump, _) => "runs both times",
        }
    }
}

/// Whether a wildcard entry runs at the same minutes of every hour. Skipping or repeating whole hours then changes nothing.
fn runs_by_the_hour(schedule: &Schedule, minute: i64, width: i64) -> bool {
    let (DstPolicy::Wildcard, Form::Plain(fields)) = (schedule.style(), &schedule.0) else { return false };
    let every_half_hour = fields.minutes & ((1 << 30) - 1) == fields.minutes >> 30;
    let whole = width % 60 == 0 || width % 30 == 0 && every_half_hour;
    let near = |hours: i64| (1..=hours).all(|hour| schedule.matches(LocalMinute(minute + 60 * hour)));
    whole && fields.hours.count_ones() == 24 && near(width / 60 + 1)
}

fn date(minute: i64) -> String {
    let Date { year, month, day } = Date::of(minute.div_euclid(DAY_MINUTES) as i32);
    format!("{year:04}-{month:02}-{day:02}")
}
