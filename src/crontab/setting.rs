//! `NAME=VALUE` lines: how they are read, and the names that mean more than a variable of the job.
//!
//! A new setting is a new row of [`ROWS`], and a field of [`Scope`] if it holds for the entries below it. The job settings
//! have their rows in `job_setting`.

use super::context::Dialect;
use super::diagnostic::LineProblem;
pub(super) use super::excerpt::found;
use super::job_setting::{self, JobSetting};
use super::line::{Cursor, is_space};
use super::spelling::{distance, misspells};
use crate::schedule::{Zone, Zones};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// The effect of a setting, apart from being a variable of the job.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    /// None in the language. The executor may use it.
    Variable,
    /// `CRON_TZ`: the zone in which the entries below it are due.
    Zone,
    /// `RANDOM_DELAY`: the maximum delay of the entries below it in minutes.
    Delay,
    /// `MAILTO`: the recipients of the output.
    Recipients,
    /// One of the job settings, `CRON_...`.
    Job(&'static JobSetting),
}

/// A variable of crontabs that has a meaning for cron.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub name: &'static str,
    pub meaning: Meaning,
}

/// Every setting that cron knows in both profiles but for the job settings.
pub(super) const ROWS: &[Row] = &[
    Row { name: "CRON_TZ", meaning: Meaning::Zone },
    Row { name: "RANDOM_DELAY", meaning: Meaning::Delay },
    Row { name: "MAILTO", meaning: Meaning::Recipients },
    Row { name: "MAILFROM", meaning: Meaning::Variable },
    Row { name: "CONTENT_TYPE", meaning: Meaning::Variable },
    Row { name: "CONTENT_TRANSFER_ENCODING", meaning: Meaning::Variable },
    Row { name: "SHELL", meaning: Meaning::Variable },
    Row { name: "PATH", meaning: Meaning::Variable },
    Row { name: "HOME", meaning: Meaning::Variable },
    Row { name: "LOGNAME", meaning: Meaning::Variable },
    Row { name: "USER", meaning: Meaning::Variable },
    Row { name: "MLS_LEVEL", meaning: Meaning::Variable },
    Row { name: "XDG_SESSION_CLASS", meaning: Meaning::Variable },
];

/// The names of all settings that mean something to cron, as the pages must have them.
pub fn settings() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.name).chain(job_setting::ROWS.iter().map(|row| row.name))
}

pub(super) fn row(name: &[u8]) -> Option<Row> {
    if let Some(job) = job_setting::row(name) {
        return Some(Row { name: job.name, meaning: Meaning::Job(job) });
    }
    ROWS.iter().find(|row| row.name.as_bytes() == name).copied()
}

/// A `NAME=VALUE` line in its parts, as byte ranges of the line, quotes taken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    pub name: Range<usize>,
    pub value: Range<usize>,
}

/// Whether a line is a setting and, if it is, its parts or what is wrong with its value.
///
/// A line is a setting as soon as its first word is followed by `=`, blanks allowed between (env.c, load_env, of both
/// reference implementations). `text` begins with the first byte that is not blank.
pub(super) fn read(text: &[u8]) -> Option<Result<Assignment, LineProblem>> {
    let mut cursor = Cursor::new(text);
    let name = read_name(&mut cursor)?;
    cursor.take_while(is_space);
    if !cursor.take(b'=') {
        return None;
    }
    cursor.take_while(is_space);
    Some(read_value(&mut cursor).map(|value| Assignment { name, value }))
}

/// The first word, or what stands in a first pair of quotes.
fn read_name(cursor: &mut Cursor<'_>) -> Option<Range<usize>> {
    let Some(quote) = cursor.peek().filter(|&byte| is_quote(byte)) else {
        let start = cursor.at();
        let word = cursor.take_while(|byte| byte != b'=' && !is_space(byte));
        return Some(start..start + word.len());
    };
    cursor.advance(1);
    let start = cursor.at();
    let word = cursor.take_while(|byte| byte != quote && byte != b'=');
    let end = start + word.len();
    cursor.take(quote).then_some(start..end)
}

/// What stands in a pair of quotes with nothing after it, or everything up to the last byte that is not blank.
fn read_value(cursor: &mut Cursor<'_>) -> Result<Range<usize>, LineProblem> {
    let open = cursor.at();
    let Some(quote) = cursor.peek().filter(|&byte| is_quote(byte)) else {
        let value = cursor.rest();
        let kept = value.iter().rposition(|&byte| !is_space(byte)).map_or(0, |last| last + 1);
        return Ok(open..open + kept);
    };
    cursor.advance(1);
    let start = cursor.at();
    let end = start + cursor.take_while(|byte| byte != quote).len();
    let mark = char::from(quote);
    if !cursor.take(quote) {
        return Err(LineProblem::new(open..open + 1, format!("expected a closing {mark} in this line, found none"))
            .help(format!("a quote that begins a value must end it: {mark}VALUE{mark}")));
    }
    cursor.take_while(is_space);
    match cursor.rest() {
        [] => Ok(start..end),
        rest => Err(LineProblem::new(
            cursor.at()..cursor.at() + rest.len(),
            format!("expected nothing after the closing {mark}, found {}", found(rest)),
        )
        .help(match rest {
            [b'#', ..] => OWN_LINE.to_owned(),
            _ => format!("quotes must enclose the whole value: {mark}VALUE{mark}"),
        })),
    }
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'')
}

/// What settings hold for the entries below them.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub zone: ZoneScope,
    /// The upper limit of the random delay, in minutes.
    pub delay: u32,
}

/// The zone in which entries are due.
#[derive(Clone, Debug, Default)]
pub(super) enum ZoneScope {
    /// No `CRON_TZ`: the system's zone.
    #[default]
    System,
    /// The zone of a `CRON_TZ`.
    Named(Arc<Zone>),
    /// None, since the last `CRON_TZ` is unknown. Entries are not due then.
    Unknown,
}

/// The most minutes of RANDOM_DELAY: a day (cronie's entry.c, load_entry).
const LONGEST_DELAY: u32 = 24 * 60;

/// Reads a RANDOM_DELAY: minutes, 0 when empty.
pub(super) fn delay(value: &[u8]) -> Result<u32, LineProblem> {
    let digits = std::str::from_utf8(value.trim_ascii()).ok().map(|text| text.strip_prefix('+').unwrap_or(text));
    let minutes = match digits {
        Some("") => Some(0),
        Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    };
    minutes.filter(|&minutes| minutes <= LONGEST_DELAY).ok_or_else(|| {
        LineProblem::new(
            0..value.len(),
            format!("expected a number of minutes from 0 to {LONGEST_DELAY}, found {}", found(value)),
        )
        .help("the entries below it run without a delay until this is corrected")
    })
}

/// The zones that a table names, each looked up once.
#[derive(Default)]
pub(super) struct ZoneList {
    seen: HashMap<Box<[u8]>, NamedZone>,
    known: usize,
}

/// Most zones of a table. It bounds the memory, and is far above any sensible number.
const MOST_ZONES: usize = 1 << 16;

/// What the value of a `CRON_TZ` names.
#[derive(Clone)]
enum NamedZone {
    Unknown,
    /// The zone of that name.
    Name(Arc<Zone>),
    /// A POSIX `TZ` rule, like `CET-1CEST`.
    Rule(Arc<Zone>),
}

impl ZoneList {
    /// The zone that a CRON_TZ names, and what is odd about it. An unknown one is an error.
    pub fn named(&mut self, value: &[u8], known: &dyn Zones) -> (ZoneScope, Option<LineProblem>) {
        let whole = 0..value.len();
        match value {
            b"local" => return (ZoneScope::System, None),
            b"" => {
                let odd = LineProblem::new(whole, "an empty CRON_TZ means the system's time zone")
                    .help("write CRON_TZ=local for that");
                return (ZoneScope::System, Some(odd));
            }
            _ => {}
        }
        let named = match self.seen.get(value) {
            Some(named) => named.clone(),
            None => {
                let named = self.look_up(value, known);
                self.seen.insert(value.into(), named.clone());
                named
            }
        };
        match named {
            NamedZone::Unknown => {
                (ZoneScope::Unknown, Some(LineProblem::new(whole, format!("unknown time zone {}", found(value)))))
            }
            NamedZone::Name(zone) => (ZoneScope::Named(zone), None),
            NamedZone::Rule(zone) => {
                let message = format!("{} is not the name of a time zone but a rule for one", found(value));
                let problem = LineProblem::new(whole, message)
                    .help("hours in a rule count westward: UTC+3 is three hours behind UTC");
                (ZoneScope::Named(zone), Some(problem))
            }
        }
    }

    /// cronie hands the value to glibc as `TZ`. So it may begin with a colon, which is skipped, and it may be a POSIX
    /// rule instead of a name.
    fn look_up(&mut self, value: &[u8], known: &dyn Zones) -> NamedZone {
        let Ok(name) = std::str::from_utf8(value.strip_prefix(b":").unwrap_or(value)) else {
            return NamedZone::Unknown;
        };
        let named = match known.named(name) {
            Some(zone) => NamedZone::Name(zone),
            None => Zone::from_posix(name).map_or(NamedZone::Unknown, |zone| NamedZone::Rule(Arc::new(zone))),
        };
        if self.known == MOST_ZONES {
            return NamedZone::Unknown;
        }
        self.known += usize::from(!matches!(named, NamedZone::Unknown));
        named
    }
}

/// Whether an address of MAILTO or MAILFROM can be handed to a mailer (do_command.c, safe_p, of both reference implementations). Empty
/// means no mail and is safe.
pub fn is_safe_address(value: &[u8], dialect: &Dialect) -> bool {
    unsafe_in_address(value, dialect.address_marks).is_none()
}

/// Where the first character stands that an address may not have there.
fn unsafe_in_address(value: &[u8], marks: &[u8]) -> Option<usize> {
    let is_mark = |byte: &u8| marks.contains(byte);
    value.iter().enumerate().position(|(at, byte)| !byte.is_ascii_alphanumeric() && (at == 0 || !is_mark(byte)))
}

/// What is wrong with a MAILTO, if it is unsafe, and whether Debian's `crontab` refuses the table because of it: it lets most of the
/// marks begin an address, though the mail is dropped then.
pub(super) fn mailto_problem(value: &[u8], marks: &[u8]) -> Option<(bool, LineProblem)> {
    let at = unsafe_in_address(value, marks)?;
    let first = value.get(at).copied().unwrap_or_default();
    let is_refused = matches!(first, b'-' | b'/') || !marks.contains(&first);
    Some((is_refused, address_problem(value, at, marks, "MAILTO", "mail to it is dropped")))
}

/// What is wrong with a MAILFROM, if it is unsafe.
pub(super) fn mailfrom_problem(value: &[u8], marks: &[u8]) -> Option<LineProblem> {
    let at = unsafe_in_address(value, marks)?;
    Some(address_problem(value, at, marks, "MAILFROM", "it is refused, and mail is sent from the usual address"))
}

/// The problem about the character at `at` of an address.
fn address_problem(value: &[u8], at: usize, marks: &[u8], name: &str, so: &str) -> LineProblem {
    let rest = value.get(at..).unwrap_or_default();
    let character = rest.get(..first_character(rest)).unwrap_or_default();
    let message = format!("expected a mail address, found {} in it: {so}", found(character));
    let problem = LineProblem::new(at..at + character.len(), message);
    match rest {
        [b' ' | b'\t', ..] if rest.trim_ascii_start().starts_with(b"#") => problem.help(OWN_LINE),
        [b' ' | b'\t', ..] if name == "MAILTO" => {
            problem.help("separate addresses by commas without blanks: MAILTO=ann@example.org,bob")
        }
        [b' ' | b'\t' | b'<' | b'"', ..] => problem.help(format!("write the address alone: {name}=ann@example.org")),
        [b'-', ..] if at == 0 => problem.help("an address cannot begin with -: a mailer would take it for an option"),
        [b'/', ..] if at == 0 => problem.help("an address cannot begin with /: a mailer would take it for a file"),
        [b'$', ..] => {
            problem.help(format!("nothing is expanded in a setting: write the address, {name}=ann@example.org"))
        }
        _ if at == 0 => problem.help("an address begins with a letter or a digit"),
        _ => {
            let marks = String::from_utf8_lossy(marks);
            problem.help(format!("letters, digits and {marks} are safe"))
        }
    }
}

/// Help where a comment stands behind something.
pub(super) const OWN_LINE: &str = "a comment needs a line of its own";

/// The length in bytes of the first character of a text; a byte that is not UTF-8 is one.
fn first_character(text: &[u8]) -> usize {
    let chunk = text.utf8_chunks().next();
    chunk.and_then(|chunk| chunk.valid().chars().next()).map_or(1, char::len_utf8)
}

/// What is odd about a setting's name.
pub(super) fn name_problem(name: &[u8], span: Range<usize>) -> Option<LineProblem> {
    if name.is_empty() {
        return Some(LineProblem::new(span, "this sets a variable without a name"));
    }
    if row(name).is_some() {
        return None;
    }
    if name.first().is_some_and(|&first| first.is_ascii_digit() || b"*@,-~".contains(&first)) {
        let problem = format!("this sets a variable named {}; it is not a job", found(name));
        return Some(LineProblem::new(span, problem).help("a line is a setting when its first word is followed by ="));
    }
    let meant = settings()
        .find(|known| misspells(name, known.as_bytes()))
        .or_else(|| settings().find(|known| misspells_long(name, known.as_bytes())))?;
    Some(
        LineProblem::new(span, format!("cron knows no setting {}, so it is only a variable of the jobs", found(name)))
            .help(format!("did you mean {meant}?")),
    )
}

/// Whether `written` is one of the long names of job settings with up to two letters put in, left out or replaced, or another form of the
/// same word: `CRON_RETRIES`, `CRON_ON_FAIL`.
fn misspells_long(written: &[u8], known: &[u8]) -> bool {
    const LONG: usize = "CRON_EXCEPT".len();
    const STEM: usize = "CRON_".len() + 4;
    const LONGEST_ENDING: usize = 3;
    if !known.starts_with(b"CRON_") || !written.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"CRON")) {
        return false;
    }
    // The length bounds the time that the comparison takes.
    if written.len() > known.len() + LONGEST_ENDING {
        return false;
    }
    let written = written.to_ascii_uppercase();
    let stem = written.iter().zip(known).take_while(|(written, known)| written == known).count();
    let has_other_ending = stem >= STEM && written.len().max(known.len()) - stem <= LONGEST_ENDING;
    has_other_ending
        || (known.len() >= LONG && written.len().abs_diff(known.len()) <= 2 && distance(&written, known) <= 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{CRONIE, DEBIAN};

    /// A line that is a setting: line, name, value. {env.c load_env; compat rules 29, 32, 35, 36, 37}
    const SETTINGS: &[(&str, &str, &str)] = &[
        ("A=b", "A", "b"),
        ("A = b", "A", "b"),
        ("A\t=\tb", "A", "b"),
        ("A=", "A", ""),
        ("A=   ", "A", ""),
        ("A=\"\"", "A", ""),
        ("A=''", "A", ""),
        ("A=\" b \"", "A", " b "),
        ("A=' b \" '", "A", " b \" "),
        ("A=\"b\"  ", "A", "b"),
        ("A=\"b\"\r", "A", "b"),
        ("A=b\r", "A", "b"),
        ("A=a b  c  ", "A", "a b  c"),
        ("A=a\"b", "A", "a\"b"),
        ("A=a # b", "A", "a # b"),
        ("A=#b", "A", "#b"),
        ("A=$HOME/~/%", "A", "$HOME/~/%"),
        ("A=b=c", "A", "b=c"),
        ("A==b", "A", "=b"),
        ("'F O'=y", "F O", "y"),
        ("\"A\"='b'", "A", "b"),
        ("'A' = b", "A", "b"),
        ("''=b", "", "b"),
        ("=b", "", "b"),
        ("*=1 * * * * x", "*", "1 * * * * x"),
        ("5 = 4", "5", "4"),
        ("@daily=x", "@daily", "x"),
        ("-n=x", "-n", "x"),
        ("A'B=x", "A'B", "x"),
    ];

    /// Lines that are no settings at all.
    const OTHERS: &[&str] = &[
        "* * * * * A=b cmd",
        "export A=b",
        "@daily A=b",
        "A",
        "A b=c",
        "\"A=b",
        "'A=b'=c",
        "'A' b=c",
        "0 0 * * * x=1",
        "",
    ];

    /// Settings with a fault: line, column (from 0), message.
    const FAULTY: &[(&str, usize, &str)] = &[
        ("X=\"a\" # c", 6, "expected nothing after the closing \", found # c"),
        ("X='a'b", 5, "expected nothing after the closing ', found b"),
        ("X=\"a", 2, "expected a closing \" in this line, found none"),
        ("X='", 2, "expected a closing ' in this line, found none"),
        ("X=\"a' ", 2, "expected a closing \" in this line, found none"),
    ];

    #[test]
    fn a_first_word_followed_by_an_equals_sign_makes_a_setting() {
        for &(line, name, value) in SETTINGS {
            let Some(Ok(read)) = read(line.as_bytes()) else { panic!("{line:?} is a setting") };
            assert_eq!((&line[read.name], &line[read.value]), (name, value), "{line:?}");
        }
    }

    #[test]
    fn anything_else_is_no_setting() {
        for line in OTHERS {
            assert!(read(line.as_bytes()).is_none(), "{line:?}");
        }
    }

    #[test]
    fn a_value_with_broken_quotes_is_an_error_at_its_place() {
        for &(line, column, message) in FAULTY {
            let Some(Err(fault)) = read(line.as_bytes()) else { panic!("{line:?} is a faulty setting") };
            assert_eq!((fault.span.start, fault.message.as_str()), (column, message), "{line:?}");
            assert!(fault.help.is_some());
        }
    }

    #[test]
    fn mail_goes_only_to_addresses_that_a_mailer_cannot_misread() {
        for safe in ["", "root", "ann@example.org", "a,b", "a!b%c", "x+y.z:q", "u_v-w.x"] {
            assert!(is_safe_address(safe.as_bytes(), &DEBIAN.dialect), "{safe}");
            assert!(is_safe_address(safe.as_bytes(), &CRONIE.dialect), "{safe}");
        }
        for bad in
            ["-C/etc/shadow", "/etc/passwd", "+x", "a b", "a, b", "a;b", "a\nb", "\"a\"", "a|b", "$USER", "caf\u{e9}"]
        {
            assert!(!is_safe_address(bad.as_bytes(), &DEBIAN.dialect), "{bad}");
            assert!(!is_safe_address(bad.as_bytes(), &CRONIE.dialect), "{bad}");
        }
        assert!(is_safe_address(b"a=b/c", &DEBIAN.dialect) && !is_safe_address(b"a=b/c", &CRONIE.dialect));
    }

    #[test]
    fn the_help_about_an_address_is_about_its_fault() {
        for (value, message, help) in [
            ("-evil", "found - in it", "begin with -"),
            ("/etc/passwd", "found / in it", "begin with /"),
            ("a b", "found a blank in it", "by commas without blanks"),
            ("root # admin", "found a blank in it", "a line of its own"),
            ("Ann <ann@x>", "found a blank in it", "by commas without blanks"),
            ("<ann@x>", "found < in it", "write the address alone"),
            ("$USER", "found $ in it", "nothing is expanded"),
            ("a\u{a0}b", "found a no-break space (U+00A0) in it", "letters, digits and"),
            ("caf\u{e9}", "found \u{e9} in it", "letters, digits and"),
            ("_x", "found _ in it", "begins with a letter or a digit"),
        ] {
            let marks = DEBIAN.dialect.address_marks;
            let (_, problem) = mailto_problem(value.as_bytes(), marks).expect(value);
            assert!(problem.message.contains(message), "{value}: {}", problem.message);
            assert!(problem.help.clone().is_some_and(|text| text.contains(help)), "{value}: {:?}", problem.help);
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_told_from_another_name() {
        for slip in [
            "MAILT0",
            "MAILTOO",
            "MALTO",
            "mailto",
            "Shell",
            "SHEL",
            "SHELLL",
            "PTAH",
            "PAHT",
            "PAT",
            "path",
            "HOEM",
            "CRON_TX",
            "CRONTZ",
            "RANDOM_DELY",
            "MAILFORM",
            "CONTENT_TYP",
            "CRON_TIMOUT",
            "cron_timeout",
            "CRON_TIME_OUT",
            "CRONTIMEOUT",
            "CRON_TIMEOUTS",
            "CRON_OVERLAPS",
            "CRON_OVRLP",
            "CRON_CATCH_UP",
            "CRON_EXECPT",
            "CRON_EXCEPTS",
            "CRON_RETRYS",
            "CRON_ONFAILURE",
            "CRON_ON_FAILRE",
            "CRON_ON_SUCESS",
            "CRON_HISTROY",
            "CRON_LIMIT",
            "CRON_NAEM",
            "Cron_Group",
            "CRON_RETRIES",
            "CRON_ON_FAIL",
            "CRON_ON_FAILED",
        ] {
            assert!(name_problem(slip.as_bytes(), 0..1).is_some(), "{slip}");
        }
        for other in [
            "MAILTO",
            "PATH",
            "CPATH",
            "MATH",
            "LANG",
            "LC_ALL",
            "FOO",
            "BASH_ENV",
            "TZ",
            "HOMES",
            "EDITOR",
            "DISPLAY",
            "PYTHONPATH",
            "MANPATH",
            "XPATH",
            "TERM",
            "USERS",
            "CRON_JOB",
            "CRON_RUN_ID",
            "CRON_SCHEDULED_AT",
            "CRON_TRIGGER",
            "CRON_ATTEMPT",
            "CRON_EVENT",
            "CRON_OUTCOME",
            "CRON_EXIT_CODE",
            "CRON_SIGNAL",
            "CRON_STARTED_AT",
            "CRON_ENDED_AT",
            "CRON_DURATION_S",
            "CRON_FAILURES",
            "CRON_COMMAND",
            "CRON_FLEET",
            "CRON_USER",
            "CRON_HOME",
            "CRONTAB",
        ] {
            assert!(name_problem(other.as_bytes(), 0..1).is_none(), "{other}");
        }
        for odd in ["", "*", "0", "@daily", "-n"] {
            assert!(name_problem(odd.as_bytes(), 0..1).is_some(), "{odd}");
        }
    }

    #[test]
    fn every_known_name_is_found_when_a_letter_is_left_out_or_two_are_swapped() {
        for known in settings() {
            assert!(name_problem(known.as_bytes(), 0..1).is_none(), "{known}");
            for at in 1..known.len() {
                let left_out = [&known.as_bytes()[..at], &known.as_bytes()[at + 1..]].concat();
                let mut swapped = known.as_bytes().to_vec();
                swapped.swap(at - 1, at);
                for slip in [left_out, swapped].into_iter().filter(|slip| slip != known.as_bytes()) {
                    let help = name_problem(&slip, 0..1).and_then(|problem| problem.help).unwrap_or_default();
                    assert!(help.starts_with("did you mean "), "{known}: {}: {help}", String::from_utf8_lossy(&slip));
                }
            }
        }
    }

    #[test]
    fn a_delay_is_a_number_of_minutes_up_to_a_day() {
        for (value, minutes) in [("0", 0), ("45", 45), (" 45 ", 45), ("+7", 7), ("1440", 1440), ("", 0), ("007", 7)] {
            assert_eq!(delay(value.as_bytes()).ok(), Some(minutes), "{value}");
        }
        for bad in ["1441", "-1", "5m", "abc", "1.5", "99999999999999999999", "\u{663}"] {
            assert!(delay(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
