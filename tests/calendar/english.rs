//! The sentences of `explain`, taken apart again: a sentence that is wrong, or says less than its schedule, gives another schedule.

use crate::spec::{Language, Spec, parse};
use chrono::{Datelike, NaiveDate, TimeDelta};
use cronwheel::schedule::{Timestamp, Zone, explain};
use fastrand::Rng;

const SEED: u64 = 17;
const DAY: usize = 86_400;
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The times that a sentence describes.
struct Said {
    /// The seconds of a day.
    times: Vec<bool>,
    /// Any of these days.
    days: Vec<Term>,
    /// The day must be one of these, too. None: any day.
    only_if: Option<Vec<DayItem>>,
    years: Option<Vec<u32>>,
}

/// Days of some months.
struct Term {
    months: Vec<u32>,
    items: Vec<DayItem>,
}

enum DayItem {
    Any,
    Dates(Vec<u32>),
    Weekdays(Vec<u32>),
    BeforeLast(u32),
    Nearest(u32),
    LastWeekday,
    Nth(u32, u32),
    Last(u32),
}

impl Said {
    fn has_date(&self, date: NaiveDate) -> bool {
        let is_one = |items: &[DayItem]| items.iter().any(|item| item.has(date));
        self.days.iter().any(|term| term.months.contains(&date.month()) && is_one(&term.items))
            && self.only_if.as_ref().is_none_or(|items| is_one(items))
            && self.years.as_ref().is_none_or(|years| years.contains(&(date.year() as u32)))
    }
}

impl DayItem {
    fn has(&self, date: NaiveDate) -> bool {
        let weekday = date.weekday().num_days_from_sunday();
        let length = u32::from(date.num_days_in_month());
        let nearest = |day: u32| {
            let wanted = date.with_day(day)?;
            let working =
                (1..=31).filter_map(|day| date.with_day(day)).filter(|day| day.weekday().number_from_monday() < 6);
            working.min_by_key(|day| (*day - wanted).num_days().abs())
        };
        match self {
            DayItem::Any => true,
            DayItem::Dates(days) => days.contains(&date.day()),
            DayItem::Weekdays(days) => days.contains(&weekday),
            DayItem::BeforeLast(before) => date.day() + before == length,
            DayItem::Nearest(day) => nearest(*day) == Some(date),
            DayItem::LastWeekday => nearest(length) == Some(date),
            DayItem::Nth(nth, day) => weekday == *day && (date.day() - 1) / 7 + 1 == *nth,
            DayItem::Last(day) => weekday == *day && (date + TimeDelta::days(7)).month() != date.month(),
        }
    }
}

/// What is left of a sentence.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn eat(&mut self, word: &str) -> bool {
        let same = self.0.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
        if same {
            self.0 = &self.0[word.len()..];
        }
        same
    }

    #[track_caller]
    fn expect(&mut self, word: &str) {
        assert!(self.eat(word), "expected {word:?} at {:?}", self.0);
    }

    fn number(&mut self) -> Option<u32> {
        let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let number = self.0[..end].parse().ok()?;
        self.0 = &self.0[end..];
        Some(number)
    }

    /// `09:00` or `09:00:30`, as seconds.
    fn clock(&mut self) -> Option<usize> {
        let before = self.0;
        let mut parts = vec![self.number()?];
        while self.0.starts_with(':') {
            self.eat(":");
            parts.push(self.number()?);
        }
        if parts.len() < 2 {
            self.0 = before;
            return None;
        }
        Some(parts.iter().chain([&0]).zip([3600, 60, 1]).map(|(part, unit)| *part as usize * unit).sum())
    }

    /// A list: items with commas and an `and` before the last.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Text<'a>) -> Option<T>) -> Vec<T> {
        let mut items = Vec::new();
        let mut before = self.0;
        while let Some(found) = item(self) {
            items.push(found);
            before = self.0;
            if !self.eat(", ") && !self.eat(" and ") {
                return items;
            }
        }
        // What follows the separator belongs to something else.
        self.0 = before;
        items
    }

    fn name(&mut self, names: &[&str]) -> Option<u32> {
        names.iter().position(|name| self.eat(name)).map(|index| index as u32)
    }

    fn ordinal(&mut self) -> Option<u32> {
        let before = self.0;
        let number = self.number();
        if number.is_some() && ["st ", "nd ", "rd ", "th "].iter().any(|ending| self.eat(ending)) {
            return number;
        }
        self.0 = before;
        None
    }

    /// `hour 5`, `hours 1, 5 and 9 to 12`, `every 2nd hour from hour 0 to hour 22`.
    fn values(&mut self, unit: &str) -> Option<Vec<u32>> {
        if self.eat("every ") {
            let step = self.ordinal().unwrap();
            self.expect(&format!("{unit} from {unit} "));
            let first = self.number().unwrap();
            self.expect(&format!(" to {unit} "));
            let last = self.number().unwrap();
            return Some((first..=last).step_by(step as usize).collect());
        }
        if !self.eat(&format!("{unit}s ")) && !self.eat(&format!("{unit} ")) {
            return None;
        }
        let ranges = self.list(|text| {
            let first = text.number()?;
            let last = if text.eat(" to ") { text.number().unwrap() } else { first };
            Some((first..=last).collect::<Vec<_>>())
        });
        Some(ranges.concat())
    }

    fn hours(&mut self) -> Vec<u32> {
        if self.eat(" of every hour") {
            return (0..24).collect();
        }
        self.expect(" in ");
        self.values("hour").unwrap()
    }

    /// `from 09:00 to 17:45`: each `step` seconds of it, past midnight if need be.
    fn stretch(&mut self, step: usize) -> Option<Vec<usize>> {
        if !self.0.starts_with("from ") {
            return None;
        }
        let before = self.0;
        self.eat("from ");
        let Some(from) = self.clock() else {
            self.0 = before;
            return None;
        };
        self.expect(" to ");
        let to = self.clock().unwrap();
        let to = if to < from { to + DAY } else { to };
        Some((from..=to).step_by(step).map(|at| at % DAY).collect())
    }

    fn times(&mut self) -> Vec<bool> {
        let mut times = vec![false; DAY];
        let (seconds, minutes) = self.seconds_of_minutes();
        for minute in minutes {
            seconds.iter().for_each(|second| times[minute + *second as usize] = true);
        }
        times
    }

    /// Seconds of a minute, and minutes as the second with which they begin; a list of whole times is the latter.
    fn seconds_of_minutes(&mut self) -> (Vec<u32>, Vec<usize>) {
        let before = self.0;
        let every_minute = || (0..DAY).step_by(60).collect();
        let seconds = if self.eat("Every second") {
            Some((0..60).collect())
        } else if self.eat("Every ") {
            let step = self.number();
            step.filter(|_| self.eat(" seconds")).map(|step| {
                let first = if self.eat(", at second ") { self.number().unwrap() } else { 0 };
                (first..60).step_by(step as usize).collect()
            })
        } else if self.eat("At ") {
            self.values("second")
        } else {
            None
        };
        let Some(seconds) = seconds else {
            self.0 = before;
            return (vec![0], self.minutes());
        };
        if self.eat(" of these minutes: ") {
            return (seconds, self.minutes());
        }
        self.eat(" of every minute");
        (seconds, every_minute())
    }

    fn minutes(&mut self) -> Vec<usize> {
        let at = |minutes: &[u32], hours: &[u32]| -> Vec<usize> {
            hours
                .iter()
                .flat_map(|hour| minutes.iter().map(move |minute| (hour * 3600 + minute * 60) as usize))
                .collect()
        };
        let all_hours: Vec<u32> = (0..24).collect();
        if self.eat("At ") {
            let clocks = self.list(Text::clock);
            if !clocks.is_empty() {
                return clocks;
            }
            let minutes = self.values("minute").unwrap();
            return at(&minutes, &self.hours());
        }
        self.expect("Every ");
        let step = self.number();
        if step.is_some() {
            self.expect(" ");
        }
        let step = step.unwrap_or(1);
        if self.eat("hours ") || self.eat("hour") {
            if self.eat(", on the hour") {
                return at(&[0], &all_hours);
            }
            if self.eat(", at minute ") {
                return at(&[self.number().unwrap()], &all_hours);
            }
            self.eat(" ");
            let parts = self.list(|text| {
                if text.eat("at ") {
                    return Some(vec![text.clock().unwrap()]);
                }
                text.stretch(step as usize * 3600)
            });
            assert!(!parts.is_empty(), "expected hours at {:?}", self.0);
            return parts.concat();
        }
        assert!(self.eat("minutes") || self.eat("minute"), "expected a unit at {:?}", self.0);
        if self.eat(" from minute ") {
            let first = self.number().unwrap();
            self.expect(" to minute ");
            let last = self.number().unwrap();
            let minutes: Vec<u32> = (first..=last).step_by(step as usize).collect();
            return at(&minutes, &self.hours());
        }
        let first = if self.eat(", at minute ") { self.number().unwrap() } else { 0 };
        let minutes: Vec<u32> = (first..60).step_by(step as usize).collect();
        if self.0.starts_with(" in ") {
            return at(&minutes, &self.hours());
        }
        if self.0.starts_with(", in hours ") || self.0.starts_with(", in hour ") || self.0.starts_with(", in every ") {
            self.eat(",");
            return at(&minutes, &self.hours());
        }
        if self.0.starts_with(" from ") {
            self.eat(" ");
            return self.list(|text| text.stretch(step as usize * 60)).concat();
        }
        at(&minutes, &all_hours)
    }

    /// `in January and from March to June`; `of` instead for dates. Nothing: every month.
    fn months(&mut self, before_name: &str, before_range: &str) -> Vec<u32> {
        let mut months = Vec::new();
        loop {
            let before = self.0;
            if !months.is_empty() && !self.eat(" and") {
                return months;
            }
            if self.eat(&format!(" {before_range} ")) {
                let first = self.name(&MONTHS).unwrap();
                self.expect(" to ");
                let last = self.name(&MONTHS).unwrap();
                months.extend((first..=if last < first { last + 12 } else { last }).map(|month| month % 12 + 1));
            } else if self.eat(&format!(" {before_name} every month")) {
                return (1..=12).collect();
            } else if self.0.starts_with(&format!(" {before_name} ")) && months.is_empty() {
                self.eat(&format!(" {before_name} "));
                months.extend(self.list(|text| text.name(&MONTHS).map(|month| month + 1)));
            } else {
                self.0 = before;
                return if months.is_empty() { (1..=12).collect() } else { months };
            }
        }
    }

    fn weekday(&mut self) -> Option<u32> {
        self.name(&WEEKDAYS)
    }

    /// Something that `on` is followed by.
    fn date_item(&mut self) -> Option<DayItem> {
        const PLACES: [&str; 5] = ["the first ", "the second ", "the third ", "the fourth ", "the fifth "];
        if self.eat("the last day") {
            return Some(DayItem::BeforeLast(0));
        }
        if self.eat("the day before the last day") {
            return Some(DayItem::BeforeLast(1));
        }
        if self.eat("the last weekday") {
            return Some(DayItem::LastWeekday);
        }
        if self.eat("the weekday nearest to day ") {
            return Some(DayItem::Nearest(self.number().unwrap()));
        }
        if self.eat("the last ") {
            return Some(DayItem::Last(self.weekday().unwrap()));
        }
        if let Some(nth) = self.name(&PLACES) {
            return Some(DayItem::Nth(nth + 1, self.weekday().unwrap()));
        }
        if self.eat("the ") {
            let before = self.ordinal().unwrap();
            self.expect("day before the last day");
            return Some(DayItem::BeforeLast(before));
        }
        // `every Monday` is another term.
        if self.0.strip_prefix("every ").is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit())) {
            return None;
        }
        self.values("day").map(DayItem::Dates)
    }

    fn term(&mut self) -> Term {
        if self.eat("on ") {
            let before = self.0;
            if let Some(day) = self.number()
                && self.eat(" ")
                && let Some(month) = self.name(&MONTHS)
            {
                return Term { months: vec![month + 1], items: vec![DayItem::Dates(vec![day])] };
            }
            self.0 = before;
            let items = self.list(Text::date_item);
            assert!(!items.is_empty(), "expected days at {:?}", self.0);
            assert!(self.0.starts_with(" of "), "expected months at {:?}", self.0);
            return Term { months: self.months("of", "of every month from"), items };
        }
        self.expect("every ");
        let items = if self.eat("weekday") {
            vec![DayItem::Weekdays((1..=5).collect())]
        } else if let Some(days) = self.weekday_range() {
            vec![DayItem::Weekdays(days)]
        } else if self.eat("day") {
            vec![DayItem::Any]
        } else {
            vec![DayItem::Weekdays(self.list(Text::weekday))]
        };
        Term { months: self.months("in", "from"), items }
    }

    /// `day from Monday to Thursday`.
    fn weekday_range(&mut self) -> Option<Vec<u32>> {
        let before = self.0;
        if self.eat("day from ")
            && let Some(first) = self.weekday()
        {
            self.expect(" to ");
            let last = self.weekday().unwrap();
            return Some((first..=if last < first { last + 7 } else { last }).map(|day| day % 7).collect());
        }
        self.0 = before;
        None
    }

    fn days(&mut self) -> (Vec<Term>, Option<Vec<DayItem>>) {
        let mut terms = vec![self.term()];
        while self.0.starts_with(" and ") {
            self.eat(" and ");
            terms.push(self.term());
        }
        let only_if = self.eat(", only if it is ").then(|| {
            let mut items = Vec::new();
            loop {
                items.push(if self.eat("a weekday") {
                    DayItem::Weekdays((1..=5).collect())
                } else if self.eat("a ") {
                    DayItem::Weekdays(vec![self.weekday().unwrap()])
                } else {
                    let item = self.date_item().unwrap();
                    self.expect(" of the month");
                    item
                });
                if !self.eat(", ") && !self.eat(" or ") {
                    return items;
                }
            }
        });
        (terms, only_if)
    }

    fn years(&mut self) -> Option<Vec<u32>> {
        if self.0.is_empty() {
            return None;
        }
        self.expect(",");
        if self.eat(" every ") {
            let step = self.ordinal().unwrap();
            self.expect("year from ");
            let first = self.number().unwrap();
            self.expect(" to ");
            return Some((first..=self.number().unwrap()).step_by(step as usize).collect());
        }
        let mut years = Vec::new();
        if self.eat(" in ") {
            years.extend(self.list(Text::number));
            self.eat(" and");
        }
        while self.eat(" from ") {
            let first = self.number().unwrap();
            self.expect(" to ");
            years.extend(first..=self.number().unwrap());
            self.eat(" and");
        }
        Some(years)
    }
}

#[track_caller]
fn take_apart(sentence: &str) -> Said {
    let mut text = Text(sentence);
    let times = text.times();
    let begins_with_years = |text: &str| text.split(' ').nth(2) == Some("year");
    let begins_with_days =
        |text: &str| ["every ", "on "].iter().any(|word| text.starts_with(word)) && !begins_with_years(text);
    let days =
        [" ", ", "].iter().find_map(|separator| text.0.strip_prefix(separator).filter(|rest| begins_with_days(rest)));
    let (days, only_if) = match days {
        Some(rest) => {
            text.0 = rest;
            text.days()
        }
        None => (vec![Term { months: (1..=12).collect(), items: vec![DayItem::Any] }], None),
    };
    let years = text.years();
    assert_eq!(text.0, "", "left over of {sentence:?}");
    Said { times, days, only_if, years }
}

#[test]
fn a_sentence_says_all_that_its_schedule_does_and_nothing_else() {
    let mut rng = Rng::with_seed(SEED);
    for _ in 0..20_000 {
        let spec = Spec::random(&mut rng, Language::Full);
        let schedule = spec.schedule();
        let sentence = explain(&schedule);
        if let Some(date) = sentence.strip_prefix("Never, because there is no such date: ") {
            assert!(schedule.never_matches(), "{:?}: {date}", spec.text);
            take_apart(date);
            continue;
        }
        let said = take_apart(&sentence);
        for minute in 0..1440 {
            let is_said = said.times[minute as usize * 60];
            assert_eq!(is_said, spec.has_time(minute), "{:?}: {sentence} ({minute}, seed {SEED})", spec.text);
        }
        let first = NaiveDate::from_ymd_opt(2023 + rng.i32(0..4), rng.u32(1..=12), 1).unwrap();
        for date in first.iter_days().take(500) {
            assert_eq!(said.has_date(date), spec.has_date(date), "{:?}: {sentence} ({date}, seed {SEED})", spec.text);
        }
    }
}

#[test]
fn a_sentence_of_quartz_says_all_that_its_schedule_does() {
    let mut rng = Rng::with_seed(SEED);
    let utc = Zone::utc();
    for _ in 0..2000 {
        let seconds = ["0", "*", "*/10", "5/20", "30", "0,15,40", "1-20", "/15"][rng.usize(..8)];
        let years = ["*", "", "2027", "2026-2028", "2026,2029,2030", "2031", "2020/2", "2026-2046/3"][rng.usize(..8)];
        let spec = Spec::random(&mut rng, Language::Shared);
        let fields = spec.for_crate_cron();
        let text = format!("@quartz {seconds} {} {years}", fields.strip_prefix("0 ").unwrap());
        let schedule = parse(&text);
        let sentence = explain(&schedule);
        if schedule.never_matches() {
            continue;
        }
        let said = take_apart(&sentence);
        let mut at = Timestamp(1_767_225_600 + rng.i64(..86_400 * 400));
        for _ in 0..20 {
            let Some(next) = schedule.next_after(at, &utc, None) else { break };
            let date = |at: i64| chrono::DateTime::from_timestamp(at, 0).unwrap().date_naive();
            let has = |at: i64| said.has_date(date(at)) && said.times[at.rem_euclid(DAY as i64) as usize];
            let reach = next.0.min(at.0 + 90_000);
            let unsaid = (at.0 + 1..reach).find(|between| has(*between));
            assert_eq!(unsaid, None, "{text}: {sentence} (seed {SEED})");
            assert!(has(next.0), "{text}: {sentence}, but it runs at {} (seed {SEED})", next);
            at = if rng.bool() { next } else { Timestamp(next.0 + rng.i64(1..5000)) };
        }
    }
}

#[test]
fn a_sentence_that_says_something_else_is_noticed() {
    let spec = Spec::read("0,15,30,45 9 * * 1-5");
    let said = take_apart("Every 15 minutes from 09:00 to 09:30, every weekday");
    assert!((0..1440).any(|minute| said.times[minute as usize * 60] != spec.has_time(minute)));
}
