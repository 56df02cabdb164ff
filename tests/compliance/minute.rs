//! The minute in which a group of tables runs, and the placeholders in tables that stand for its fields.

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};

/// A minute of the world's clock, whose zone is UTC.
#[derive(Clone, Copy, Debug)]
pub struct Minute {
    /// Its first second, in seconds since 1970.
    pub start: u64,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Minute {
    /// The first minute that begins after that second and is not the last of its hour: the next one is of the same hour
    /// and day.
    pub fn beginning_after(second: u64) -> Minute {
        let start = (second / 60 + 1) * 60;
        Minute { start: if start / 60 % 60 == 59 { start + 60 } else { start } }
    }

    /// Replaces the placeholders in braces: `{M} {H} {D} {MON} {DOW}` are the fields of this minute, the same with a `2`
    /// appended those of another; `{run}` is a command that writes `ran` to the case's file, `{run WORD}` writes that word.
    pub fn fill(self, text: &str, id: &str) -> String {
        let at = DateTime::<Utc>::from_timestamp(i64::try_from(self.start).expect("a time"), 0).expect("a time");
        let (minute, hour, day, month) = (at.minute(), at.hour(), at.day(), at.month());
        let weekday = at.weekday().num_days_from_sunday();
        let name = |names: &'static [&'static str], index: u32| names[index as usize % names.len()];
        let mut rest = text;
        let mut filled = String::new();
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let Some((word, behind)) = after.split_once('}') else { break };
            rest = behind;
            match word {
                "M" => filled.push_str(&minute.to_string()),
                "M2" => filled.push_str(&((minute + 30) % 60).to_string()),
                "M+1" => filled.push_str(&((minute + 1) % 60).to_string()),
                "M-1" => filled.push_str(&((minute + 59) % 60).to_string()),
                "H" => filled.push_str(&hour.to_string()),
                "H2" => filled.push_str(&((hour + 12) % 24).to_string()),
                "D" => filled.push_str(&day.to_string()),
                "D2" => filled.push_str(&(day % 28 + 1).to_string()),
                "MON" => filled.push_str(&month.to_string()),
                "MON2" => filled.push_str(&(month % 12 + 1).to_string()),
                "MONTH" => filled.push_str(name(&MONTHS, month - 1)),
                "MONTH2" => filled.push_str(name(&MONTHS, month)),
                "DOW" => filled.push_str(&weekday.to_string()),
                "DOW2" => filled.push_str(&((weekday + 3) % 7).to_string()),
                "DAY" => filled.push_str(name(&DAYS, weekday)),
                "DAY2" => filled.push_str(name(&DAYS, weekday + 3)),
                "ID" => filled.push_str(id),
                "out" => filled.push_str(&format!("/out/{id}")),
                "CR" => filled.push('\r'),
                "TAB" => filled.push('\t'),
                "SP" => filled.push(' '),
                "NUL" => filled.push('\0'),
                "BOM" => filled.push('\u{feff}'),
                "ESC" => filled.push('\u{1b}'),
                "run" => filled.push_str(&format!("echo ran >>/out/{id}")),
                word if word.starts_with("run ") => filled.push_str(&format!("echo {} >>/out/{id}", &word[4..])),
                // `{x*998}`: the text 998 times.
                word if word.contains('*') => {
                    let (text, times) = word.split_once('*').expect("a star");
                    filled.push_str(&text.repeat(times.parse().expect("a number")));
                }
                other => filled.push_str(&format!("{{{other}}}")),
            }
        }
        filled.push_str(rest);
        // The last line of a table ends with a newline, unless the case is about a missing one.
        filled.strip_suffix("{NONL}\n").map(str::to_owned).unwrap_or(filled)
    }
}
