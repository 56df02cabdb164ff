//! Parses a text into a schedule, or into an error with its position.
//!
//! The language is that of Vixie cron's descendants, with every form that Debian's cron or cronie accepts on purpose, with
//! OpenBSD's `~` (random value, or regular spacing with a random offset), and with Quartz's `L`, `W` and `#` in the day
//! fields.

use super::after::{self, MOST_JOBS};
use super::calendar::{Form, Schedule};
use super::days::Days;
use super::dst_policy::DstPolicy;
use super::duration::{DurationForm, parse_duration};
use super::error::{ScheduleError, ScheduleWarning};
use super::fields::Fields;
use super::hint;
use super::jitter::{JitterKey, RandomValues};
use super::nickname::{self, Meaning};
use super::odd_character::find_odd_character;
use super::printable::escape_of;
use super::quartz::{self, Quartz};
use super::unit::{DAY, HOUR, MINUTE, MONTH, Unit, WEEKDAY};
use std::ops::Range;
use std::sync::Arc;

/// A schedule at the beginning of a text, and its length.
#[derive(Clone, Debug)]
pub struct Prefix {
    /// The schedule that the text means.
    pub schedule: Schedule,
    /// Length of the schedule in bytes, without the blank after it.
    pub len: usize,
    /// What is valid and probably not meant.
    pub warnings: Vec<ScheduleWarning>,
    /// The values that are drawn for each entry.
    pub drawn: Vec<RandomValues>,
    /// A range that runs backwards, as it is written.
    pub reversed: Option<String>,
}

impl Schedule {
    /// Parses the schedule at the beginning of `text` (no leading blanks): five fields separated by blanks, or a nickname.
    pub fn parse_prefix(text: &[u8], jitter_key: &JitterKey<'_>) -> Result<Prefix, ScheduleError> {
        let (mut warnings, mut written) = (Vec::new(), Written::default());
        let mut reader = Reader::new(text, jitter_key, &mut warnings);
        reader.written = Some(&mut written);
        let schedule = reader.schedule().map_err(|fault| *fault)?;
        let len = reader.at;
        Ok(Prefix { schedule, len, warnings, drawn: written.drawn, reversed: written.reversed })
    }

    /// The same for loading many entries: returns the schedule and its length in bytes, and appends warnings to `warnings`,
    /// so that only small values are copied.
    #[inline]
    pub fn read(
        text: &[u8],
        jitter_key: &JitterKey<'_>,
        warnings: &mut Vec<ScheduleWarning>,
    ) -> Read<(Schedule, usize)> {
        let mut reader = Reader::new(text, jitter_key, warnings);
        let schedule = reader.schedule()?;
        Ok((schedule, reader.at))
    }

    /// Parses a text that consists of a schedule only (leading and trailing blanks are allowed).
    pub fn parse(text: &str, jitter_key: &JitterKey<'_>) -> Result<Prefix, ScheduleError> {
        let lead = text.len() - text.trim_ascii_start().len();
        let bytes = text.trim_ascii().as_bytes();
        let shift = |span: &mut Range<usize>| *span = span.start + lead..span.end + lead;
        let mut prefix =
            Schedule::parse_prefix(bytes, jitter_key).and_then(|prefix| match after_blanks(bytes, prefix.len) {
                rest if rest == bytes.len() => Ok(prefix),
                rest => {
                    const END: &str = "the end of the schedule";
                    let odd = odd_character_error(&bytes[rest..], rest, END, "bad command");
                    Err(odd.unwrap_or_else(|| ScheduleError {
                        span: rest..bytes.len(),
                        expected: END.to_owned(),
                        found: shown(&bytes[rest..]),
                        help: Some(hint::for_rest(bytes).to_owned()),
                        reference_message: "bad command",
                    }))
                }
            });
        match &mut prefix {
            Ok(prefix) => prefix.warnings.iter_mut().for_each(|warning| shift(&mut warning.span)),
            Err(fault) => shift(&mut fault.span),
        }
        prefix
    }

    /// Parses a schedule or a whole line of a crontab, which begins with one. Returns the schedule, and where what follows it begins.
    ///
    /// # Errors
    ///
    /// The text does not begin with a schedule, or with more fields than one has.
    pub fn parse_line(text: &str, jitter_key: &JitterKey<'_>) -> Result<(Prefix, usize), ScheduleError> {
        let lead = text.len() - text.trim_ascii_start().len();
        let bytes = text.trim_ascii().as_bytes();
        if !hint::looks_like_six_fields(bytes)
            && let Ok(prefix) = Schedule::parse_prefix(bytes, jitter_key)
        {
            let rest = lead + after_blanks(bytes, prefix.len);
            return Ok((prefix, rest));
        }
        Schedule::parse(text, jitter_key).map(|prefix| (prefix, text.len()))
    }
}

/// Faults are boxed to keep results small.
type Read<T> = Result<T, Box<ScheduleError>>;

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    jitter_key: &'t JitterKey<'t>,
    /// The one of the five fields that is being parsed, if any.
    unit: Option<&'static Unit>,
    /// Days that depend on the month's length and weekdays, if the schedule has any.
    days: Option<Days>,
    /// The number of random values so far in this field, so that each gets another one.
    draws: u32,
    warnings: &'t mut Vec<ScheduleWarning>,
    /// Index of the warning about a range whose end is before its beginning.
    reversed: Option<usize>,
    /// For descriptions of the schedule.
    written: Option<&'t mut Written>,
}

/// What a schedule does not show any more once it is parsed.
#[derive(Debug, Default)]
struct Written {
    drawn: Vec<RandomValues>,
    reversed: Option<String>,
}

impl<'t> Reader<'t> {
    #[inline]
    fn new(text: &'t [u8], jitter_key: &'t JitterKey<'t>, warnings: &'t mut Vec<ScheduleWarning>) -> Reader<'t> {
        Reader { text, at: 0, jitter_key, unit: None, days: None, draws: 0, warnings, reversed: None, written: None }
    }
}

impl Reader<'_> {
    #[inline]
    fn schedule(&mut self) -> Read<Schedule> {
        match self.text.first() {
            Some(b'@') => self.nickname(),
            _ => self.five_fields(),
        }
    }

    #[inline]
    fn five_fields(&mut self) -> Read<Schedule> {
        // Only the first character of a field decides whether it counts as `*`.
        let (minute_star, minutes) = self.field(&MINUTE)?;
        let (hour_star, hours) = self.field(&HOUR)?;
        let (day_star, days) = self.field(&DAY)?;
        let (_, months) = self.field(&MONTH)?;
        let (weekday_star, weekdays) = self.field(&WEEKDAY)?;
        let style = if minute_star || hour_star { DstPolicy::Wildcard } else { DstPolicy::Fixed };
        let sunday_is_zero = (weekdays | weekdays >> 7) as u8 & 0x7f;
        let both = day_star || weekday_star;
        let fields = Fields::new(minutes, hours as u32, days as u32, months as u16, sunday_is_zero, both, style);
        let Some(days) = self.days else {
            if fields.may_never_match() && fields.next(0, None).is_none() {
                self.warn_of_never();
            }
            return Ok(Schedule(Form::Plain(fields)));
        };
        let schedule = Schedule(Form::Shaped(Arc::new((fields, days))));
        if schedule.never_matches() {
            self.warn_of_never();
        }
        Ok(schedule)
    }

    /// Parses the next field: whether it begins with `*`, and its values. The two most common forms, a single `*` and a
    /// number of one or two digits, are handled here.
    #[inline(always)]
    fn field(&mut self, unit: &'static Unit) -> Read<(bool, u64)> {
        let mut at = self.at;
        // There is no blank before the first field.
        while unit.index > 0 && matches!(self.text.get(at), Some(b' ' | b'\t')) {
            at += 1;
        }
        let (len, is_star, bits) = match self.text.get(at..at + 3) {
            Some([b'*', b' ' | b'\t', _]) => (1, true, span(unit.min, unit.max)),
            Some([digit @ b'0'..=b'9', b' ' | b'\t', _]) => (1, false, unit.bit(digit - b'0')),
            Some([ten @ b'0'..=b'9', one @ b'0'..=b'9', b' ' | b'\t']) => {
                (2, false, unit.bit((ten - b'0') * 10 + one - b'0'))
            }
            _ => (0, false, 0),
        };
        if bits == 0 {
            return self.any_field(unit, at);
        }
        self.at = at + len;
        Ok((is_star, bits))
    }

    /// Parses a field of any form.
    #[inline(never)]
    fn any_field(&mut self, unit: &'static Unit, at: usize) -> Read<(bool, u64)> {
        (self.unit, self.at) = (Some(unit), at);
        match self.text.get(at) {
            Some(byte) => Ok((*byte == b'*', self.list(unit)?)),
            None => Err(self.missing(unit)),
        }
    }

    /// `field = item { "," item }`
    #[inline]
    fn list(&mut self, unit: &'static Unit) -> Read<u64> {
        self.draws = 0;
        let mut bits = 0;
        loop {
            bits |= self.item(unit)?;
            match self.peek() {
                b' ' | b'\t' => return Ok(bits),
                b',' => self.at += 1,
                _ => return Err(self.trailing(unit)),
            }
        }
    }

    /// `item = "*" [step] | value | value "-" value [step] | [value] "~" [value] [step] | shape`
    #[inline]
    fn item(&mut self, unit: &'static Unit) -> Read<u64> {
        let start = self.at;
        match self.peek() {
            b'*' => {
                self.at += 1;
                self.stepped(unit, start, unit.min, unit.max)
            }
            b'~' => self.random(unit, start, None),
            b'L' | b'l' if unit.is_day() => self.end_of_month(),
            _ => {
                let value = self.value(unit)?;
                match self.peek() {
                    b' ' | b'\t' | b',' => Ok(1 << value),
                    b'-' => self.range(unit, start, value),
                    b'~' => self.random(unit, start, Some(value)),
                    b'/' => Err(self.lone_step(unit, start, value)),
                    _ => self.shaped(unit, start, value),
                }
            }
        }
    }

    fn range(&mut self, unit: &'static Unit, start: usize, low: u32) -> Read<u64> {
        self.at += 1;
        let high = match self.value(unit)? {
            // As in cronie: Sunday at the end of a range is 7.
            0 if unit.is_weekday() && low > 0 => 7,
            high => high,
        };
        if !matches!(self.peek(), b' ' | b'\t' | b',' | b'/') {
            return Err(self.trailing(unit));
        }
        self.stepped(unit, start, low, high)
    }

    /// The values from `low` to `high`, with the optional step.
    #[inline]
    fn stepped(&mut self, unit: &'static Unit, start: usize, low: u32, high: u32) -> Read<u64> {
        let step = if self.peek() == b'/' { self.step(unit)? } else { 1 };
        if low > high {
            self.warn_of_reversed(unit, start, low, high);
            return Ok(0);
        }
        if step == 1 {
            return Ok(span(low, high));
        }
        if step > high - low {
            self.warn_of_step(start, low, step);
            return Ok(1 << low);
        }
        Ok(every(step) << low & span(low, high))
    }

    fn step(&mut self, unit: &'static Unit) -> Read<u32> {
        self.at += 1;
        let start = self.at;
        match self.number() {
            Some(step) if step > 0 && !self.peek().is_ascii_alphanumeric() => Ok(step),
            _ => Err(self.bad_step(unit, start)),
        }
    }

    /// Parses one value: a number or a name.
    #[inline]
    fn value(&mut self, unit: &'static Unit) -> Read<u32> {
        let start = self.at;
        let value = match self.peek() {
            b'0'..=b'9' => self.number(),
            _ => self.name(unit),
        };
        match value {
            Some(value) if value >= unit.min && value <= unit.max => Ok(value),
            _ => Err(self.no_value(unit, start)),
        }
    }

    /// Parses digits. None if there are none or the number is too large.
    #[inline]
    fn number(&mut self) -> Option<u32> {
        let start = self.at;
        let mut number = 0u64;
        while let digit @ b'0'..=b'9' = self.peek() {
            number = number.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        u32::try_from(number).ok().filter(|_| self.at > start)
    }

    /// Parses a name of exactly three letters. After a day of the week, an `L` may follow.
    fn name(&mut self, unit: &'static Unit) -> Option<u32> {
        let word = self.word(self.at);
        let name = match word {
            [name @ .., b'L' | b'l'] if unit.is_weekday() && name.len() == 3 => name,
            name => name,
        };
        let value = unit.value_of(name)?;
        self.at += name.len();
        Some(value)
    }

    /// `[low]~[high][/step]`: a random value of the range, or regular spacing with a random offset.
    fn random(&mut self, unit: &'static Unit, start: usize, low: Option<u32>) -> Read<u64> {
        self.at += 1;
        let low = low.unwrap_or(unit.min);
        let high = match self.peek() {
            // Sunday has two numbers, but must not be twice as likely.
            b' ' | b'\t' | b',' | b'/' => {
                if unit.is_weekday() {
                    6.max(low)
                } else {
                    unit.max
                }
            }
            _ => match self.value(unit)? {
                0 if unit.is_weekday() && low > 0 => 7,
                7 if unit.is_weekday() && low == 0 => 6,
                high => high,
            },
        };
        if low > high {
            return Err(self.fault(start..self.at, "a range for a random value, the lower value first", None));
        }
        let width = high - low + 1;
        if self.peek() != b'/' {
            self.note_drawn(unit, start, low, high, None);
            return Ok(1 << (low + self.jitter(unit, width)));
        }
        let step = self.step(unit)?;
        self.note_drawn(unit, start, low, high, Some(step));
        if step >= width {
            self.warn_of_step_of_draw(start, step);
        }
        let first = low + self.jitter(unit, step.min(width));
        Ok(every(step) << first & span(first, high))
    }

    fn note_drawn(&mut self, unit: &'static Unit, start: usize, low: u32, high: u32, step: Option<u32>) {
        let before = start.checked_sub(1).and_then(|at| self.text.get(at));
        let is_alone = before != Some(&b',') && self.peek() != b',';
        let count = if unit.is_weekday() { 7 } else { unit.max - unit.min + 1 };
        if let Some(written) = &mut self.written {
            let (min, names) = (unit.min, unit.names);
            written.drawn.push(RandomValues { unit: unit.name, low, high, step, is_alone, min, count, names });
        }
    }

    fn jitter(&mut self, unit: &Unit, bound: u32) -> u32 {
        self.draws += 1;
        match self.draws {
            1 => self.jitter_key.jitter(unit.name, bound),
            nth => self.jitter_key.jitter(&format!("{} {nth}", unit.name), bound),
        }
    }

    fn days(&mut self) -> &mut Days {
        self.days.get_or_insert_default()
    }

    /// Parses `L`, `L-n` and `LW` in the day-of-month field.
    fn end_of_month(&mut self) -> Read<u64> {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            b'W' | b'w' => {
                self.at += 1;
                self.days().last_weekday = true;
            }
            b'-' => {
                self.at += 1;
                match self.number() {
                    Some(before @ 0..=30) => self.days().from_end |= 1 << before,
                    _ => {
                        return Err(self.fault(
                            start..self.word_end(start + 2),
                            "a day before the last, L-1 to L-30",
                            None,
                        ));
                    }
                }
            }
            _ => self.days().from_end |= 1,
        }
        self.end_of_shape(start)
    }

    /// Parses the suffix of a value: `15W`, `5L`, `5#2`.
    fn shaped(&mut self, unit: &'static Unit, start: usize, value: u32) -> Read<u64> {
        let weekday = value % 7;
        match self.peek() {
            b'W' | b'w' if unit.is_day() => {
                self.days().nearest |= 1 << value;
                self.at += 1;
            }
            b'L' | b'l' if unit.is_weekday() => {
                self.days().last |= 1 << weekday;
                self.at += 1;
            }
            b'#' if unit.is_weekday() => {
                self.at += 1;
                let place = self.at;
                let last = self.text.get(place..place + 2) == Some(b"-1");
                let week = self.number().and_then(|nth| self.days().nth.get_mut((nth as usize).wrapping_sub(1)));
                match week {
                    Some(weekdays) => *weekdays |= 1 << weekday,
                    None => {
                        let help = last.then(|| format!("write {value}L for the last one of the month"));
                        return Err(self.fault(place..self.word_end(place), "a number from 1 to 5 behind #", help));
                    }
                }
            }
            byte if byte.is_ascii_alphanumeric() => return Err(self.no_value(unit, start)),
            _ => return Err(self.trailing(unit)),
        }
        self.end_of_shape(start)
    }

    fn end_of_shape(&mut self, start: usize) -> Read<u64> {
        match self.peek() {
            b' ' | b'\t' | b',' => Ok(0),
            _ => {
                let end = self.field_end(start);
                Err(self.fault(
                    start..end,
                    "L, L-3, 15W or LW as a day of the month, 5L or 5#2 as a day of the week",
                    None,
                ))
            }
        }
    }

    /// Parses `@daily`, `@30s`, or `@quartz` and seven fields.
    fn nickname(&mut self) -> Read<Schedule> {
        self.at = 1;
        let text = self.text;
        let word = &text[1..self.blank_after(1)];
        if word.first().is_some_and(u8::is_ascii_digit) {
            return self.interval();
        }
        self.at += word.len();
        match nickname::meaning(word) {
            Some(Meaning::Schedule(form)) => Ok(Schedule(form.clone())),
            Some(Meaning::Quartz) => self.quartz(),
            Some(Meaning::After) => self.after(),
            None => {
                let rest = &text[after_blanks(text, self.at)..];
                Err(self.fault(0..self.at, "a nickname such as @daily", hint::for_nickname(word, rest)))
            }
        }
    }

    /// Parses `@N` in seconds, as in FreeBSD, or `@N` and a unit.
    fn interval(&mut self) -> Read<Schedule> {
        let end = self.blank_after(self.at);
        let text = self.text.get(self.at..end).unwrap_or_default();
        let seconds = parse_duration(text, DurationForm::OneUnitOrSeconds).ok();
        self.at = end;
        match seconds.and_then(|seconds| u32::try_from(seconds).ok()) {
            Some(seconds) if seconds > 0 => Ok(Schedule(Form::Interval(seconds))),
            _ => Err(self.fault(0..end, "an interval of at least one second: @30s, @5m, @2h or @1d", None)),
        }
    }

    fn after(&mut self) -> Read<Schedule> {
        const NAMES: &str = "the name of a job, or several separated by commas";
        let start = after_blanks(self.text, self.at);
        let end = self.blank_after(start);
        let text = self.text;
        let mut jobs: Vec<Arc<str>> = Vec::new();
        let mut at = start;
        for word in text.get(start..end).unwrap_or_default().split(|&byte| byte == b',') {
            let place = at..at + word.len();
            at = place.end + 1;
            let Some(job) = after::job(word) else {
                let help = match word {
                    [] => "write the names without blanks: @after backup,upload COMMAND",
                    _ => "a job gets a name of letters, digits and ._- by CRON_NAME=NAME above it: @after NAME COMMAND",
                };
                return Err(self.fault(place, NAMES, Some(help.to_owned())));
            };
            if jobs.len() == MOST_JOBS {
                return Err(self.fault(place, &format!("at most {MOST_JOBS} jobs after @after"), None));
            }
            if !jobs.contains(&job) {
                jobs.push(job);
            }
        }
        self.at = end;
        Ok(Schedule(Form::After(Arc::new(jobs))))
    }

    /// Parses seven fields, or six without a year.
    fn quartz(&mut self) -> Read<Schedule> {
        const SEVEN: &str = "seven fields: second, minute, hour, day of the month, month, day of the week, year";
        let bytes = self.text;
        let mut words: Vec<Range<usize>> = Vec::with_capacity(quartz::FIELDS);
        while words.len() < quartz::FIELDS {
            let start = after_blanks(bytes, self.at);
            let end = self.blank_after(start);
            let is_year = std::str::from_utf8(&bytes[start..end]).is_ok_and(quartz::is_year);
            if words.len() + 1 == quartz::FIELDS && !is_year {
                break;
            }
            if start == end {
                return Err(self.fault(start..end, SEVEN, Some("the year may be left out".to_owned())));
            }
            words.push(start..end);
            self.at = end;
        }
        let whole = words.first().map_or(0, |first| first.start)..self.at;
        let text = |span: &Range<usize>| std::str::from_utf8(&bytes[span.clone()]).ok();
        let Some(fields) = words.iter().map(text).collect::<Option<Vec<&str>>>() else {
            return Err(self.fault(whole, SEVEN, None));
        };
        match Quartz::parse(&fields) {
            Ok(quartz) => {
                let schedule = Schedule(Form::Quartz(std::sync::Arc::new(quartz)));
                if schedule.never_matches() {
                    self.warn_of_never();
                }
                Ok(schedule)
            }
            Err(_) => {
                // The crate does not report a position, so each field is tried separately.
                let alone = |index: usize| {
                    let mut probe = ["*"; quartz::FIELDS];
                    probe[index] = fields[index];
                    Quartz::parse(&probe).is_err()
                };
                let (span, name) = (0..fields.len())
                    .find(|index| alone(*index))
                    .map_or((whole, SEVEN), |index| (words[index].clone(), QUARTZ_FIELDS[index]));
                let is_usable = |five: &str| {
                    let parsed = || Schedule::parse(five, self.jitter_key);
                    !five.starts_with('@') && parsed().is_ok_and(|prefix| !prefix.schedule.never_matches())
                };
                let help = quartz::advice(&fields, is_usable);
                Err(self.fault(span, name, help))
            }
        }
    }
}

/// The valid values of each of Quartz's fields.
const QUARTZ_FIELDS: [&str; 7] = [
    "a second from 0 to 59",
    "a minute from 0 to 59",
    "an hour from 0 to 23",
    "a day of the month from 1 to 31",
    "a month from 1 to 12 or jan to dec",
    "a day of the week from 1 (Sunday) to 7 or sun to sat",
    "a year from 1970 to 2100",
];

/// Reads the text byte by byte.
impl Reader<'_> {
    /// The current byte. The end of the text is reported as a blank.
    #[inline]
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(b' ')
    }

    fn blank_after(&self, at: usize) -> usize {
        let blank = self.text.iter().skip(at).position(|byte| matches!(byte, b' ' | b'\t'));
        blank.map_or(self.text.len(), |blank| at + blank)
    }

    /// The end of the letters and digits at `at`.
    fn word_end(&self, at: usize) -> usize {
        let others = self.text.iter().skip(at).position(|byte| !byte.is_ascii_alphanumeric() && byte.is_ascii());
        others.map_or(self.text.len(), |others| at + others).max(at.min(self.text.len()))
    }

    fn word(&self, at: usize) -> &[u8] {
        self.text.get(at..self.word_end(at)).unwrap_or_default()
    }

    /// The end of the list item at `at`.
    fn field_end(&self, at: usize) -> usize {
        let end = self.text.iter().skip(at).position(|byte| matches!(byte, b' ' | b'\t' | b','));
        end.map_or(self.text.len(), |end| at + end)
    }
}

/// Construction of errors and warnings.
impl Reader<'_> {
    #[cold]
    fn fault(&self, mut span: Range<usize>, expected: &str, help: Option<String>) -> Box<ScheduleError> {
        if span.is_empty() {
            // What stands there is no letter and no digit, and it is what was found.
            span.end = self.field_end(span.start);
        }
        let reference_message = self.unit.map_or("bad time specifier", |unit| unit.reference_message);
        let found = match self.text.get(span.clone()) {
            Some(found) if !found.is_empty() => {
                if let Some(fault) = odd_character_error(found, span.start, expected, reference_message) {
                    return Box::new(fault);
                }
                shown(found)
            }
            _ if self.text.get(span.start).is_some_and(|byte| *byte == b',') => ",".to_owned(),
            _ if self.text.get(span.start).is_some() => "a blank".to_owned(),
            _ => "the end of the line".to_owned(),
        };
        Box::new(ScheduleError { span, expected: expected.to_owned(), found, help, reference_message })
    }

    #[cold]
    fn missing(&self, unit: &Unit) -> Box<ScheduleError> {
        self.fault(self.at..self.at, unit.expectation, Some(hint::FIVE_FIELDS.to_owned()))
    }

    #[cold]
    fn no_value(&self, unit: &Unit, start: usize) -> Box<ScheduleError> {
        let end = match (self.word_end(start), self.field_end(start)) {
            (word, _) if word > start => word,
            (_, item) if item > start => item,
            // A comma without a value before it, or an empty field.
            _ => self.blank_after(start).min(start + 1),
        };
        let word = self.text.get(start..end).unwrap_or_default();
        let too_few = unit.index > 0 && !word.is_empty() && !word.iter().any(u8::is_ascii_digit);
        let help = hint::for_value(unit, word, self.text);
        let help = help.or_else(|| (start == self.text.len() || too_few).then(|| hint::FIVE_FIELDS.to_owned()));
        self.fault(start..end, unit.expectation, help)
    }

    #[cold]
    fn trailing(&self, unit: &Unit) -> Box<ScheduleError> {
        let expected = format!("a blank or a comma after the {}", unit.name);
        self.fault(self.at..self.field_end(self.at), &expected, None)
    }

    #[cold]
    fn lone_step(&self, unit: &Unit, start: usize, value: u32) -> Box<ScheduleError> {
        let step = self.word(self.at + 1);
        let help = (!step.is_empty()).then(|| hint::for_lone_step(unit, value, step));
        self.fault(start..self.field_end(start), "a range or * before a step", help)
    }

    #[cold]
    fn bad_step(&self, unit: &Unit, start: usize) -> Box<ScheduleError> {
        let end = self.word_end(start);
        let help = match self.text.get(start..end) {
            Some(zeros) if !zeros.is_empty() && zeros.iter().all(|byte| *byte == b'0') => {
                Some(format!("for every {} leave the step out", unit.name))
            }
            _ => None,
        };
        self.fault(start..end, "a step of at least 1", help)
    }

    #[cold]
    fn warn_of_reversed(&mut self, unit: &Unit, start: usize, low: u32, high: u32) {
        let range = shown(&self.text[start..self.at]);
        if let Some(written) = &mut self.written {
            written.reversed.get_or_insert_with(|| range.clone());
        }
        self.reversed = Some(self.warnings.len());
        self.warnings.push(ScheduleWarning {
            span: start..self.at,
            message: format!("the range {range} runs backwards and matches nothing"),
            help: Some(hint::for_reversed(unit, low, high)),
        });
    }

    #[cold]
    fn warn_of_step(&mut self, start: usize, low: u32, step: u32) {
        self.warnings.push(ScheduleWarning {
            span: start..self.at,
            message: format!("the step {step} is beyond the range: only {low} matches"),
            help: Some(format!("write {low}")),
        });
    }

    #[cold]
    fn warn_of_step_of_draw(&mut self, start: usize, step: u32) {
        self.warnings.push(ScheduleWarning {
            span: start..self.at,
            message: format!("the step {step} is beyond the range: only one random value is used"),
            help: None,
        });
    }

    /// Warns that the schedule never matches. If a range whose end is before its beginning is the reason, the existing
    /// warning is extended.
    #[cold]
    fn warn_of_never(&mut self) {
        const NEVER: &str = "this schedule never matches";
        match self.reversed.and_then(|index| self.warnings.get_mut(index)) {
            Some(reason) => reason.message = format!("{NEVER}: {}", reason.message),
            None => self.warnings.push(ScheduleWarning {
                span: 0..self.at,
                message: NEVER.to_owned(),
                help: Some("there is no such date".to_owned()),
            }),
        }
    }
}

/// The values from `low` to `high`, which is below 63.
#[inline]
fn span(low: u32, high: u32) -> u64 {
    (2 << high) - (1 << low)
}

/// The multiples of `step`, which is at least 1, from 0 on.
#[inline]
fn every(step: u32) -> u64 {
    const EVERY: [u64; 64] = {
        let mut every = [1; 64];
        let mut step = 1;
        while step < 64 {
            let mut value = step;
            while value < 64 {
                every[step] |= 1 << value;
                value += step;
            }
            step += 1;
        }
        every
    };
    EVERY.get(step as usize).copied().unwrap_or(1)
}

fn after_blanks(text: &[u8], at: usize) -> usize {
    let others = text.iter().skip(at).position(|byte| !matches!(byte, b' ' | b'\t'));
    others.map_or(text.len(), |others| at + others)
}

/// The error for a text at `at` with a character in it that cannot be seen or looks like a blank.
#[cold]
fn odd_character_error(
    found: &[u8],
    at: usize,
    expected: &str,
    reference_message: &'static str,
) -> Option<ScheduleError> {
    let (start, length, name) = find_odd_character(found)?;
    let span = at + start..at + start + length;
    let help = Some("replace it by a blank, or remove it".to_owned());
    Some(ScheduleError { span, expected: expected.to_owned(), found: name.to_owned(), help, reference_message })
}

/// Bytes in readable form for a message, shortened.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 40;
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::new();
    for c in text.chars().take(MOST) {
        match escape_of(c) {
            Some(escape) => shown.push_str(&escape),
            None => shown.push(c),
        }
    }
    if text.chars().nth(MOST).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests;
