//! Replaces what changes from run to run in the observed text.

use crate::case::Case;

/// The text with the case's own names, process numbers, dates and temporary names replaced.
pub fn plain(case: &Case, text: &str) -> String {
    let text = text.replace(&format!("/out/{}", case.id), "OUT").replace(&case.id, "USER");
    let mut plain = String::new();
    for line in text.lines() {
        plain.push_str(&untimed(&undated(&unnumbered(&untempered(line)))));
        plain.push('\n');
    }
    plain
}

/// `[123]` as `[N]`, `#123` as `#N`, `PID 123` and `fd = 3` likewise.
fn unnumbered(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some(at) = ["[", "#", "PID ", "process ", "fd = ", "otherpid may be ", "factor "]
        .iter()
        .filter_map(|mark| rest.find(mark).map(|at| at + mark.len()))
        .min()
    {
        let (before, after) = rest.split_at(at);
        plain.push_str(before);
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits > 0 {
            plain.push('N');
        }
        rest = &after[digits..];
    }
    plain + rest
}

/// `/tmp/crontab.a1B2c3` as `/tmp/crontab.XXXXXX`, `tmp.a1B2c3` likewise.
fn untempered(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line;
    while let Some(at) =
        ["/crontab.", "/tmp."].iter().filter_map(|mark| rest.find(mark).map(|at| at + mark.len())).min()
    {
        let (before, after) = rest.split_at(at);
        plain.push_str(before);
        let size = after.len() - after.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).len();
        if size >= 6 {
            plain.push_str("XXXXXX");
            rest = &after[size..];
        } else {
            rest = after;
        }
    }
    plain + rest
}

/// `Sun Nov 22 12:43:00 2026`, with or without a zone, as `DATE`.
fn undated(line: &str) -> String {
    const DAYS: [&str; 7] = ["Sun ", "Mon ", "Tue ", "Wed ", "Thu ", "Fri ", "Sat "];
    let Some(at) = DAYS.iter().filter_map(|day| line.find(day)).min() else { return line.to_owned() };
    let date = &line[at..];
    let is_date =
        date.len() >= 24 && date.is_char_boundary(24) && date[..24].bytes().filter(|b| *b == b':').count() == 2;
    if is_date { format!("{}DATE{}", &line[..at], undated(&date[24..])) } else { line.to_owned() }
}

/// `after 0.1s` as `after TIME`.
fn untimed(line: &str) -> String {
    let Some((before, after)) = line.rsplit_once(" after ") else { return line.to_owned() };
    let is_time = after.strip_suffix('s').is_some_and(|number| number.parse::<f64>().is_ok());
    if is_time { format!("{before} after TIME") } else { line.to_owned() }
}
