//! The schedules that the crontab(5) of Debian's cron and that of cronie both describe: five fields of numbers, names, ranges, steps and lists, and the
//! nicknames. Read slowly, one value after the other, as a second opinion about what a line means.

/// A schedule as the classic parser reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Classic {
    /// A schedule of five fields.
    Fields(Box<Fields>),
    Reboot,
}

/// The values of five fields, in the order in which they are written; Sunday is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    pub fields: [Field; 5],
}

/// The values of one field, and whether it begins with a star.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub values: Vec<u32>,
    pub has_star: bool,
}

/// The lowest and the highest value of each field. Sunday may be 7, too.
const BOUNDS: [(u32, u32); 5] = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Reads a schedule and nothing else, words separated by blanks and tabs. None: the pages do not describe it.
pub fn read(text: &str) -> Option<Classic> {
    let words: Vec<&str> = text.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    match &words[..] {
        ["@reboot"] => Some(Classic::Reboot),
        [nickname] => read(NICKNAMES.iter().find(|(name, _)| name == nickname)?.1),
        [minute, hour, day, month, weekday] => {
            let fields = [minute, hour, day, month, weekday];
            let mut read = fields.iter().enumerate().map(|(index, text)| field(text, index));
            let mut next = || read.next().flatten();
            Some(Classic::Fields(Box::new(Fields { fields: [next()?, next()?, next()?, next()?, next()?] })))
        }
        _ => None,
    }
}

/// Reads one of the five fields, counted from 0.
pub fn field(text: &str, index: usize) -> Option<Field> {
    let (low, high) = BOUNDS[index];
    let mut values = Vec::new();
    for item in text.split(',') {
        let (range, step) = match item.split_once('/') {
            // A step stands behind a star or a range.
            Some((range, step)) if range == "*" || range.contains('-') => (range, number(step, 1)?),
            Some(_) => return None,
            None => (item, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((first, last)) => (value(first, index)?, value(last, index)?),
            None => (value(range, index)?, value(range, index)?),
        };
        // Neither page describes a range that runs backwards. Both programs accept it, and it has no values; what cronwheel makes of one that ends
        // with Sunday is in cron-differences(7).
        if index == 4 && first > last && last == 0 {
            return None;
        }
        let mut at = first;
        while at <= last {
            values.push(if index == 4 { at % 7 } else { at });
            at = at.checked_add(step)?;
        }
    }
    values.sort_unstable();
    values.dedup();
    Some(Field { values, has_star: text.starts_with('*') })
}

/// A number of digits, at least `least`. The pages say nothing of numbers with very many digits.
fn number(text: &str, least: u32) -> Option<u32> {
    let is_number = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number >= least)
}

fn value(text: &str, index: usize) -> Option<u32> {
    let named = |names: &[&str]| names.iter().position(|name| name.eq_ignore_ascii_case(text));
    let name = match index {
        3 => named(&MONTHS).map(|at| at as u32 + 1),
        4 => named(&DAYS).map(|at| at as u32),
        _ => None,
    };
    let (low, high) = BOUNDS[index];
    name.or_else(|| number(text, 0)).filter(|value| (low..=high).contains(value))
}

impl Fields {
    /// Whether a day of the month in a month that falls on a day of the week is one of its days: either day field if neither begins with a star,
    /// both if one does.
    pub fn has_date(&self, day: u32, month: u32, weekday: u32) -> bool {
        let [_, _, days, months, weekdays] = &self.fields;
        let (by_day, by_weekday) = (days.values.contains(&day), weekdays.values.contains(&weekday));
        let is_one = if days.has_star || weekdays.has_star { by_day && by_weekday } else { by_day || by_weekday };
        months.values.contains(&month) && is_one
    }

    /// Whether a minute of a day is one of its times.
    pub fn has_time(&self, hour: u32, minute: u32) -> bool {
        let [minutes, hours, ..] = &self.fields;
        hours.values.contains(&hour) && minutes.values.contains(&minute)
    }

    /// The same schedule in numbers, each field a list.
    pub fn in_numbers(&self) -> String {
        let fields = self.fields.iter().map(|field| {
            let numbers = field.values.iter().map(u32::to_string);
            // A star always has the lowest value; with this step it has no other.
            let star = field.has_star.then(|| "*/100".to_owned());
            star.into_iter().chain(numbers).collect::<Vec<_>>().join(",")
        });
        fields.collect::<Vec<_>>().join(" ")
    }
}
