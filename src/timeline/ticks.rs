//! Ticks of a time axis at round local times, on two levels: days over hours, months over days, years over months.

use super::axis::{DAY, MINUTE, Range, local};
use crate::schedule::{Timestamp, Zone};
use chrono::{Datelike, NaiveDateTime, Timelike, Weekday};

/// A tick with its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tick {
    pub(super) at: Timestamp,
    /// The label; of a period also a shorter one, for where the first does not fit.
    pub(super) label: String,
    pub(super) short: String,
}

/// The ticks of an axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ticks {
    /// The periods of the upper level. The first begins where the axis does.
    pub(super) periods: Vec<Tick>,
    /// Round times of the lower level.
    pub(super) times: Vec<Tick>,
    /// Whether the periods are days, so that the lower level has times of the day.
    pub(super) has_times_of_day: bool,
}

/// The distance between two ticks of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Minutes(i64),
    /// `Mon 23`
    Days,
    /// `Mo 23`
    DaysShort,
    /// `23`
    DaysOfMonth,
    Mondays,
    Months(u32),
}

/// Distances, with the characters that a label and its distance from the next need.
const STEPS: [(Step, usize); 19] = [
    (Step::Minutes(1), 7),
    (Step::Minutes(2), 7),
    (Step::Minutes(5), 7),
    (Step::Minutes(10), 7),
    (Step::Minutes(15), 7),
    (Step::Minutes(30), 7),
    (Step::Minutes(60), 7),
    (Step::Minutes(120), 7),
    (Step::Minutes(180), 7),
    (Step::Minutes(360), 7),
    (Step::Minutes(720), 7),
    (Step::Days, 8),
    (Step::DaysShort, 7),
    (Step::DaysOfMonth, 4),
    (Step::Mondays, 8),
    (Step::Months(1), 5),
    (Step::Months(3), 5),
    (Step::Months(6), 5),
    (Step::Months(12), 5),
];

impl Step {
    fn seconds(self) -> i64 {
        match self {
            Step::Minutes(minutes) => minutes * MINUTE,
            Step::Days | Step::DaysShort | Step::DaysOfMonth => DAY,
            Step::Mondays => 7 * DAY,
            Step::Months(months) => i64::from(months) * 30 * DAY,
        }
    }

    /// Where the ticks may be: at multiples of this of local time.
    fn stride(self) -> i64 {
        self.seconds().min(DAY)
    }

    fn is_here(self, local: NaiveDateTime) -> bool {
        match self {
            Step::Minutes(_) | Step::Days | Step::DaysShort | Step::DaysOfMonth => true,
            Step::Mondays => local.weekday() == Weekday::Mon,
            Step::Months(months) => local.day() == 1 && local.month0().is_multiple_of(months),
        }
    }

    fn label(self, local: NaiveDateTime) -> String {
        match self {
            Step::Minutes(_) => local.format("%H:%M"),
            Step::Days | Step::Mondays => local.format("%a %-d"),
            Step::DaysShort => {
                let name: String = local.format("%a").to_string().chars().take(2).collect();
                return format!("{name} {}", local.day());
            }
            Step::DaysOfMonth => local.format("%-d"),
            Step::Months(_) => local.format("%b"),
        }
        .to_string()
    }
}

/// The ticks of a range if its labels have so many characters in a line.
pub(super) fn ticks(range: Range, zone: &Zone, characters: usize) -> Ticks {
    let fits = |(step, width): &&(Step, usize)| {
        let count = usize::try_from(range.seconds() / step.seconds()).unwrap_or(usize::MAX);
        count.saturating_mul(*width) <= characters
    };
    let step = STEPS.iter().find(fits).map_or(Step::Months(12), |(step, _)| *step);
    let times = round_times(range, zone, step.stride())
        .into_iter()
        .filter_map(|at| {
            let local = local(at, zone);
            let label = step.label(local);
            step.is_here(local).then(|| Tick { at, short: label.clone(), label })
        })
        .collect();
    Ticks { periods: periods(range, zone, step), times, has_times_of_day: matches!(step, Step::Minutes(_)) }
}

/// The beginnings of the periods of the upper level.
fn periods(range: Range, zone: &Zone, step: Step) -> Vec<Tick> {
    let begins = |local: NaiveDateTime| match step {
        Step::Minutes(_) => true,
        Step::Days | Step::DaysShort | Step::DaysOfMonth | Step::Mondays => local.day() == 1,
        Step::Months(_) => local.ordinal() == 1,
    };
    let tick = |at: Timestamp| {
        let local = local(at, zone);
        let (label, short) = match step {
            Step::Minutes(_) => (local.format("%a %-d %B %Y"), local.format("%a %-d")),
            Step::Days | Step::DaysShort | Step::DaysOfMonth | Step::Mondays => {
                (local.format("%B %Y"), local.format("%b"))
            }
            Step::Months(_) => (local.format("%Y"), local.format("%Y")),
        };
        Tick { at, label: label.to_string(), short: short.to_string() }
    };
    let found = days(range, zone).into_iter().filter(|at| *at > range.from && begins(local(*at, zone)));
    std::iter::once(range.from).chain(found).map(tick).collect()
}

/// The beginnings of days, also where midnight is left out or comes twice.
pub(super) fn days(range: Range, zone: &Zone) -> Vec<Timestamp> {
    round_times(range, zone, DAY)
}

/// The moments at which local time is a multiple of this many seconds. At the end of a gap that leaves out midnight, the day begins.
fn round_times(range: Range, zone: &Zone, stride: i64) -> Vec<Timestamp> {
    let changes = range.changes(zone);
    let mut found: Vec<Timestamp> = Vec::new();
    let begins = std::iter::once(range.from).chain(changes.iter().map(|change| change.at));
    let ends = changes.iter().map(|change| change.at).chain([range.until]);
    for (begin, end) in begins.zip(ends) {
        let offset = i64::from(zone.offset_at(begin));
        let local = begin.0 + offset;
        if stride == DAY && begin > range.from && local.rem_euclid(DAY) != 0 {
            let before = local_day(Timestamp(begin.0 - 1), zone);
            if local.div_euclid(DAY) > before {
                found.push(begin);
            }
        }
        let mut at = local.div_euclid(stride) * stride;
        if at < local {
            at += stride;
        }
        while at - offset < end.0 {
            let moment = Timestamp(at - offset);
            // The same day does not begin twice.
            let is_again =
                stride == DAY && found.last().is_some_and(|last| local_day(*last, zone) == at.div_euclid(DAY));
            if !is_again {
                found.push(moment);
            }
            at += stride;
        }
    }
    found
}

fn local_day(at: Timestamp, zone: &Zone) -> i64 {
    (at.0 + i64::from(zone.offset_at(at))).div_euclid(DAY)
}

/// Saturdays and Sundays, as ranges.
pub(super) fn weekends(range: Range, zone: &Zone) -> Vec<Range> {
    let mut begins = vec![range.from];
    begins.extend(days(range, zone).into_iter().filter(|at| *at > range.from));
    let mut found: Vec<Range> = Vec::new();
    for (number, from) in begins.iter().enumerate() {
        let until = begins.get(number + 1).copied().unwrap_or(range.until);
        if !matches!(local(*from, zone).weekday(), Weekday::Sat | Weekday::Sun) {
            continue;
        }
        match found.last_mut().filter(|last| last.until == *from) {
            Some(last) => last.until = until,
            None => found.push(Range { from: *from, until }),
        }
    }
    found
}

/// Whether local midnight is at that moment.
pub(super) fn is_midnight(at: Timestamp, zone: &Zone) -> bool {
    let local = local(at, zone);
    local.num_seconds_from_midnight() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: &str, until: &str) -> Range {
        let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
        Range { from: at(from), until: at(until) }
    }

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn an_hour_has_minutes_a_day_hours_a_month_days_and_a_year_months() {
        let utc = Zone::utc();
        let of = |from, until, characters| ticks(range(from, until), &utc, characters);
        let hour = of("2026-11-27T10:00:00Z", "2026-11-27T11:00:00Z", 46);
        assert_eq!(labels(&hour.times), ["10:00", "10:10", "10:20", "10:30", "10:40", "10:50"]);
        assert_eq!(labels(&hour.periods), ["Fri 27 November 2026"]);
        let days = of("2026-11-27T10:00:00Z", "2026-11-29T10:00:00Z", 60);
        assert_eq!(labels(&days.times), ["12:00", "18:00", "00:00", "06:00", "12:00", "18:00", "00:00", "06:00"]);
        assert_eq!(labels(&days.periods), ["Fri 27 November 2026", "Sat 28 November 2026", "Sun 29 November 2026"]);
        let week = of("2026-11-27T00:00:00Z", "2026-12-04T00:00:00Z", 60);
        assert_eq!(labels(&week.times), ["Fri 27", "Sat 28", "Sun 29", "Mon 30", "Tue 1", "Wed 2", "Thu 3"]);
        assert_eq!(labels(&week.periods), ["November 2026", "December 2026"]);
        let year = of("2026-11-27T00:00:00Z", "2027-11-27T00:00:00Z", 60);
        let months = ["Dec", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov"];
        assert_eq!((labels(&year.times), labels(&year.periods)), (months.to_vec(), vec!["2026", "2027"]));
    }

    #[test]
    fn the_times_of_a_missing_hour_have_no_tick_and_those_of_a_repeated_one_have_two() {
        let berlin = Zone::embedded("Europe/Berlin").unwrap();
        let of = |from, until| ticks(range(from, until), &berlin, 46);
        let gap = of("2026-03-28T23:00:00Z", "2026-03-29T04:00:00Z");
        assert_eq!(labels(&gap.times), ["00:00", "01:00", "03:00", "04:00", "05:00"]);
        let fold = of("2026-10-24T22:00:00Z", "2026-10-25T03:00:00Z");
        assert_eq!(labels(&fold.times), ["00:00", "01:00", "02:00", "02:00", "03:00"]);
    }

    #[test]
    fn days_begin_once_where_midnight_is_left_out_or_comes_twice() {
        let zone = Zone::embedded("America/Havana").unwrap();
        // Clocks go from 00:00 to 01:00 on 8 March 2026, and from 01:00 back to 00:00 on 1 November.
        for (from, until) in
            [("2026-03-07T05:00:00Z", "2026-03-09T12:00:00Z"), ("2026-10-31T04:00:00Z", "2026-11-02T12:00:00Z")]
        {
            let days: Vec<u32> =
                days(range(from, until), &zone).iter().map(|at| local(*at, &zone).date().day()).collect();
            assert!(matches!(days.as_slice(), [7, 8, 9] | [31, 1, 2]), "{days:?}");
        }
    }

    #[test]
    fn a_weekend_is_one_range() {
        let found = weekends(range("2026-11-26T00:00:00Z", "2026-12-02T00:00:00Z"), &Zone::utc());
        assert_eq!(found, [range("2026-11-28T00:00:00Z", "2026-11-30T00:00:00Z")]);
    }
}
