//! Random schedules, and a second opinion about what they match: sets and dates of `chrono`, one day at a time.

use chrono::{Datelike, NaiveDate, TimeDelta};
use cronwheel::schedule::{HostKey, JitterKey, Schedule};
use fastrand::Rng;

/// A schedule as text, and what it means.
#[derive(Debug, Default)]
pub struct Spec {
    pub text: String,
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
    /// `L-n`.
    before_last: Vec<u32>,
    /// `nW`.
    nearest: Vec<u32>,
    last_weekday: bool,
    /// `nL`.
    last: Vec<u32>,
    /// `n#k`.
    nth: Vec<(u32, u32)>,
}

/// The plain part of one field.
#[derive(Debug, Default)]
struct Field {
    text: String,
    bits: u64,
}

impl Field {
    fn star(&self) -> bool {
        self.text.starts_with('*')
    }
    fn has(&self, value: u32) -> bool {
        self.bits >> value & 1 == 1
    }
    fn push(&mut self, item: &str, bits: u64) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(item);
        self.bits |= bits;
    }
}

/// How much of the language to use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Everything with a calendar.
    Full,
    /// What the crate `cron` understands in the same way, the day of the week counted from 1.
    Shared,
}

impl Spec {
    pub fn random(rng: &mut Rng, language: Language) -> Spec {
        let mut spec = Spec {
            minutes: field(rng, 0, 59, 30),
            hours: field(rng, 0, 23, 40),
            days: field(rng, 1, 31, 60),
            months: field(rng, 1, 12, 70),
            weekdays: field(rng, 0, 6, 60),
            ..Spec::default()
        };
        match language {
            Language::Shared if rng.bool() => spec.days = every(1, 31),
            Language::Shared => spec.weekdays = every(0, 6),
            Language::Full if rng.u32(..4) == 0 => spec.add_shapes(rng),
            Language::Full => {}
        }
        spec.text = [&spec.minutes, &spec.hours, &spec.days, &spec.months, &spec.weekdays]
            .map(|field| field.text.as_str())
            .join(" ");
        spec
    }

    fn add_shapes(&mut self, rng: &mut Rng) {
        if rng.bool() {
            self.days = Field::default();
            for _ in 0..rng.u32(1..3) {
                match rng.u32(..5) {
                    0 => {
                        self.last_weekday = true;
                        self.days.push("LW", 0);
                    }
                    1 => {
                        self.before_last.push(0);
                        self.days.push("L", 0);
                    }
                    2 => {
                        let before = rng.u32(0..=30);
                        self.before_last.push(before);
                        self.days.push(&format!("L-{before}"), 0);
                    }
                    3 => {
                        let day = rng.u32(1..=31);
                        self.nearest.push(day);
                        self.days.push(&format!("{day}W"), 0);
                    }
                    _ => {
                        let day = rng.u32(1..=31);
                        self.days.push(&day.to_string(), 1 << day);
                    }
                }
            }
        }
        if rng.bool() {
            self.weekdays = Field::default();
            for _ in 0..rng.u32(1..3) {
                let (day, nth) = (rng.u32(0..=7), rng.u32(1..=5));
                match rng.u32(..3) {
                    0 => {
                        self.last.push(day % 7);
                        self.weekdays.push(&format!("{day}L"), 0);
                    }
                    1 => {
                        self.nth.push((day % 7, nth));
                        self.weekdays.push(&format!("{day}#{nth}"), 0);
                    }
                    _ => self.weekdays.push(&day.to_string(), 1 << (day % 7)),
                }
            }
        }
    }

    /// Reads five fields, as simply as can be: numbers, ranges, steps, and the shapes in small or capital letters. Days of the week may
    /// be called `mon` and `fri`.
    pub fn read(text: &str) -> Spec {
        let mut spec = Spec { text: text.to_owned(), ..Spec::default() };
        let lower = text.to_lowercase().replace("mon", "1").replace("fri", "5");
        let mut fields = lower.split(' ');
        let mut next = || fields.next().unwrap().split(',').map(str::to_owned).collect::<Vec<_>>();
        let number = |text: &str| text.parse::<u32>().unwrap();
        let plain = |items: Vec<String>, min: u32, max: u32| {
            let mut field = Field::default();
            for item in items {
                let (range, step) =
                    item.split_once('/').map_or((item.as_str(), 1), |(range, step)| (range, number(step)));
                let (low, high) = match range.split_once('-') {
                    _ if range == "*" => (min, max),
                    Some((low, high)) => (number(low), number(high)),
                    None => (number(range), number(range)),
                };
                let bits = (low..=high).step_by(step as usize).fold(0, |bits, value| bits | 1u64 << value);
                field.push(&item, bits);
            }
            field
        };
        spec.minutes = plain(next(), 0, 59);
        spec.hours = plain(next(), 0, 23);
        let (shapes, days) = next().into_iter().partition::<Vec<_>, _>(|item| item.contains(['l', 'w']));
        spec.days = plain(days, 1, 31);
        for shape in shapes {
            match shape.as_str() {
                "lw" => spec.last_weekday = true,
                "l" => spec.before_last.push(0),
                other => spec.nearest.push(number(other.strip_suffix('w').unwrap())),
            }
        }
        spec.months = plain(next(), 1, 12);
        let (shapes, weekdays) = next().into_iter().partition::<Vec<_>, _>(|item| item.contains(['l', '#']));
        spec.weekdays = plain(weekdays, 0, 6);
        for shape in shapes {
            match shape.split_once('#') {
                Some((day, nth)) => spec.nth.push((number(day), number(nth))),
                None => spec.last.push(number(shape.strip_suffix('l').unwrap())),
            }
        }
        spec
    }

    pub fn schedule(&self) -> Schedule {
        parse(&self.text)
    }

    /// The same for the crate `cron`: seconds in front, days of the week from 1.
    pub fn for_crate_cron(&self) -> String {
        let weekdays: Vec<String> =
            (0..7).filter(|day| self.weekdays.has(*day)).map(|day| (day + 1).to_string()).collect();
        let weekdays = if self.weekdays.text == "*" { "*".to_owned() } else { weekdays.join(",") };
        format!("0 {} {} {} {} {weekdays}", self.minutes.text, self.hours.text, self.days.text, self.months.text)
    }

    /// Whether the clock-jump rule for wildcard entries holds.
    pub fn is_wildcard(&self) -> bool {
        self.minutes.star() || self.hours.star()
    }

    /// Whether a minute of the day matches.
    pub fn has_time(&self, of_day: u32) -> bool {
        self.hours.has(of_day / 60) && self.minutes.has(of_day % 60)
    }

    /// Whether a date matches.
    pub fn has_date(&self, date: NaiveDate) -> bool {
        if !self.months.has(date.month()) {
            return false;
        }
        let (by_date, by_weekday) = (self.has_day(date), self.has_weekday(date));
        if self.days.star() || self.weekdays.star() { by_date && by_weekday } else { by_date || by_weekday }
    }

    fn has_day(&self, date: NaiveDate) -> bool {
        self.days.has(date.day())
            || self.before_last.iter().any(|before| {
                let last = date + TimeDelta::days(i64::from(*before));
                last.month() == date.month() && (last + TimeDelta::days(1)).month() != date.month()
            })
            || self.nearest.iter().any(|day| nearest_weekday(date, *day) == Some(date))
            || self.last_weekday && nearest_weekday(date, u32::from(date.num_days_in_month())) == Some(date)
    }

    fn has_weekday(&self, date: NaiveDate) -> bool {
        let weekday = date.weekday().num_days_from_sunday();
        self.weekdays.has(weekday)
            || self.last.contains(&weekday) && (date + TimeDelta::days(7)).month() != date.month()
            || self.nth.contains(&(weekday, (date.day() - 1) / 7 + 1))
    }
}

/// The Monday to Friday of the month of `date` that is nearest to its day `day`, found by looking at all of them. (A
/// Saturday is nearer to the Friday, a Sunday to the Monday; at the ends of a month there is only one side to go to.)
fn nearest_weekday(date: NaiveDate, day: u32) -> Option<NaiveDate> {
    let wanted = date.with_day(day)?;
    (1..=31)
        .filter_map(|day| date.with_day(day))
        .filter(|date| date.weekday().number_from_monday() <= 5)
        .min_by_key(|date| (*date - wanted).num_days().abs())
}

fn every(min: u32, max: u32) -> Field {
    Field { text: "*".to_owned(), bits: (min..=max).fold(0, |bits, value| bits | 1 << value) }
}

/// A random field; `stars` of 100 are `*`.
fn field(rng: &mut Rng, min: u32, max: u32, stars: u32) -> Field {
    if rng.u32(..100) < stars {
        return every(min, max);
    }
    let mut field = Field::default();
    for _ in 0..rng.u32(1..4) {
        let low = rng.u32(min..=max);
        let high = rng.u32(low..=max);
        let step = rng.u32(1..=max.min(12));
        let stepped =
            |low: u32, high: u32| (low..=high).step_by(step as usize).fold(0, |bits, value| bits | 1u64 << value);
        match rng.u32(..8) {
            0 => field.push(&format!("*/{step}"), stepped(min, max)),
            1 => field.push(&format!("{low}-{high}/{step}"), stepped(low, high)),
            2 => field.push(&format!("{low}-{high}"), (low..=high).fold(0, |bits, value| bits | 1 << value)),
            _ => field.push(&low.to_string(), 1 << low),
        }
    }
    field
}

/// Reads a schedule that is known to be right.
pub fn parse(text: &str) -> Schedule {
    Schedule::parse(text, &JitterKey { host: HostKey(7), table: "alice", entry: text.as_bytes() }).unwrap().schedule
}
