//! A job line: schedule, user in a system table, flags, command.

use super::after::Dependency;
use super::context::Context;
use super::diagnostic::LineProblem;
use super::form::Form;
use super::line::{Cursor, is_blank, without_cr};
use super::setting::{self, found};
use super::store::Flags;
use crate::schedule::{JitterKey, Kind, Schedule, ScheduleError, ScheduleWarning};
use std::ops::Range;
use std::sync::Arc;

/// Most warnings about one schedule, since a list may have a million doubtful items.
const MOST_CAUTIONS: usize = 3;

/// A job line in its parts.
#[derive(Debug)]
pub(super) struct JobLine<'a> {
    pub schedule: Schedule,
    /// The schedule's text, and where in the line it begins.
    pub schedule_text: &'a [u8],
    pub schedule_at: usize,
    pub flags: Flags,
    /// The jobs that it waits for (`@after`).
    pub after: Vec<Dependency>,
    /// Seconds, drawn for this entry.
    pub delay: u32,
    /// The user that the line of a system table names.
    pub user: Option<&'a [u8]>,
    /// Where in the line the user begins.
    pub user_at: usize,
    /// The raw command, and where in the line it begins.
    pub command: &'a [u8],
    pub command_at: usize,
}

/// Problems are boxed, so that the result for a good line is small.
type Read<T> = Result<T, Box<LineProblem>>;

/// Reads the job line whose first byte that is not blank is at `first`. `most_delay` is the RANDOM_DELAY in minutes; what is
/// odd about the line goes to `warnings`.
#[inline]
pub(super) fn read<'a>(
    line: &'a [u8],
    first: usize,
    context: &Context<'_>,
    most_delay: u32,
    warnings: &mut Vec<LineProblem>,
) -> Read<JobLine<'a>> {
    // The carriage return of a CRLF line end belongs to the command, but no word ends in one.
    let words = without_cr(line);
    let mut cursor = Cursor::new(words);
    cursor.advance(first);
    let quiet_entry = cursor.take(b'-');
    let at = cursor.at();
    let jitter_key = JitterKey { host: context.host, table: context.name, entry: cursor.rest() };

    let (schedule, len) = read_schedule(&cursor, &jitter_key, words, first, warnings)?;
    cursor.advance(len);
    let schedule_text = &words[at..cursor.at()];
    cursor.skip_blanks();

    let user_at = cursor.at();
    let user = match context.form {
        Form::User => None,
        Form::System => Some(&words[read_user(&mut cursor, words, at..at + len)?]),
    };
    let after = match schedule.after() {
        [] => Vec::new(),
        _ => dependencies(words, at, len, context.form, user.unwrap_or_default(), schedule.after())?,
    };
    if context.form == Form::User {
        no_star(&cursor, words, schedule_text)?;
    }
    let mut flags = match cursor.peek() {
        Some(b'-') => read_flags(&mut cursor, words).map_err(|problem| match user {
            // The flag is one of the command that stands where the user should.
            Some(user) if is_usual_command(user) => Box::new(problem.help(USER_NEEDED)),
            Some(_) | None => problem,
        })?,
        _ => Flags::default(),
    };
    flags.quiet |= quiet_entry;
    let command = read_command(&mut cursor, line, context)?;
    if command.start - at > LONGEST_START {
        return Err(too_long().into());
    }
    Ok(JobLine {
        schedule,
        schedule_text,
        schedule_at: at,
        flags,
        delay: if most_delay == 0 { 0 } else { jitter_key.jitter("delay", most_delay * 60 + 1) },
        user,
        user_at,
        command_at: command.start,
        command: &line[command],
        after,
    })
}

/// What kind of schedule it is, if its slots do not have the same times on all machines, or come too often to be claimed.
pub(super) fn without_fleet_slots(schedule: &Schedule) -> Option<&'static str> {
    match schedule.kind() {
        Kind::Calendar => schedule.is_every_second().then_some("@every_second"),
        Kind::Interval { .. } => Some("an interval"),
        Kind::Reboot => Some("@reboot"),
        Kind::After => Some("@after"),
    }
}

/// The most bytes from the first of the schedule to the first of the command. It bounds the work that one line can cause, and is far above
/// any sensible line.
const LONGEST_START: usize = u16::MAX as usize;

#[cold]
fn too_long() -> LineProblem {
    LineProblem::new(0..1, format!("expected a command within the first {LONGEST_START} bytes, found none"))
}

/// Cautions about a schedule that begins at `at` as warnings about its line.
#[cold]
fn warn_of(warnings: Vec<ScheduleWarning>, at: usize, warnings: &mut Vec<LineProblem>) {
    for warning in warnings.into_iter().take(MOST_CAUTIONS) {
        let span = at + warning.span.start..at + warning.span.end;
        let problem = LineProblem::new(span, warning.message);
        warnings.push(LineProblem { help: warning.help, ..problem });
    }
}

#[inline]
fn read_schedule(
    cursor: &Cursor<'_>,
    jitter_key: &JitterKey<'_>,
    line: &[u8],
    first: usize,
    warnings: &mut Vec<LineProblem>,
) -> Read<(Schedule, usize)> {
    let text = cursor.rest();
    let head = &text[..text.len().min(LONGEST_START)];
    let mut warnings = Vec::new();
    let read = Schedule::read(head, jitter_key, &mut warnings);
    let end = match &read {
        Ok((_, len)) => *len,
        Err(fault) => fault.span.end,
    };
    if end >= head.len() && head.len() < text.len() {
        return Err(too_long().into());
    }
    if !warnings.is_empty() {
        warn_of(warnings, cursor.at(), warnings);
    }
    read.map_err(|fault| schedule_complaint(line, first, cursor.at(), *fault).into())
}

/// What is wrong with the schedule, and what was perhaps meant.
#[cold]
fn schedule_complaint(line: &[u8], first: usize, at: usize, fault: ScheduleError) -> LineProblem {
    let ScheduleError { span, expected, found, help, bad } = fault;
    let span = at + span.start..at + span.end;
    let problem = LineProblem::new(span, format!("expected {expected}, found {found}")).reference_message(bad);
    LineProblem { help: help.or_else(|| no_entry_at_all(&line[first..])), ..problem }
}

/// Help for a line that was meant as a setting.
fn no_entry_at_all(line: &[u8]) -> Option<String> {
    let word = Cursor::new(line).word();
    if matches!(word, b"export" | b"set" | b"setenv" | b"declare") {
        return Some("a setting is written NAME=VALUE, without a word in front".to_owned());
    }
    setting::row(word).map(|row| format!("a setting needs an equals sign: {}=VALUE", row.name))
}

/// The jobs of an `@after` schedule, which begins at `at`. In a system table a name without a user is one of the entry's user.
#[cold]
fn dependencies(
    line: &[u8],
    at: usize,
    len: usize,
    form: Form,
    user: &[u8],
    named: &[Arc<str>],
) -> Read<Vec<Dependency>> {
    let text = line.get(at..at + len).unwrap_or_default();
    let names = text.iter().rposition(|&byte| is_blank(byte)).map_or(0, |blank| blank + 1);
    let mut start = at + names;
    let mut jobs: Vec<Dependency> = Vec::new();
    for word in text.get(names..).unwrap_or_default().split(|&byte| byte == b',') {
        let place = start..start + word.len();
        start = place.end + 1;
        let Some(job) = named.iter().find(|job| job.as_bytes() == word) else { continue };
        let colon = word.iter().rposition(|&byte| byte == b':');
        let job = match (form, colon) {
            (Form::User, None) => Arc::clone(job),
            (Form::User, Some(_)) => {
                let message = format!("expected the name of a job without a user, found {}", found(word));
                let help = "in a user's own table all jobs are that user's";
                return Err(LineProblem::new(place, message).help(help).reference_message(BAD_TIME).into());
            }
            (Form::System, None) => full_name(user, job),
            (Form::System, Some(colon)) if can_be_user(&word[..colon]) => Arc::clone(job),
            (Form::System, Some(_)) => {
                let message = format!("expected USER:NAME, found {}", found(word));
                return Err(LineProblem::new(place, message).reference_message(BAD_TIME).into());
            }
        };
        if !jobs.iter().any(|known| known.job == job) {
            jobs.push(Dependency { job, place });
        }
    }
    Ok(jobs)
}

/// A job's name in a system table, which has jobs of several users: `USER:NAME`.
pub(super) fn full_name(user: &[u8], name: &str) -> Arc<str> {
    format!("{}:{name}", String::from_utf8_lossy(user)).into()
}

/// Reads the user of a system table's entry, up to the first byte after it that is not blank.
fn read_user(cursor: &mut Cursor<'_>, line: &[u8], schedule: Range<usize>) -> Read<Range<usize>> {
    let start = cursor.at();
    let user = cursor.word();
    let span = start..start + user.len();
    if user.is_empty() {
        let problem = LineProblem::new(end_of(line), "expected a user and a command, found the end of the line");
        return Err(problem.help(USER_NEEDED).reference_message(BAD_USER).into());
    }
    if !can_be_user(user) {
        let help = match looks_like_field(user) {
            true => help_about_sixth_field(user, line.get(schedule).unwrap_or_default()),
            false => USER_NEEDED.to_owned(),
        };
        return Err(LineProblem::new(span, format!("expected a user name, found {}", found(user)))
            .help(help)
            .reference_message(BAD_USER)
            .into());
    }
    cursor.skip_blanks();
    if cursor.rest().is_empty() {
        let message = format!("expected a command after the user {}, found the end of the line", found(user));
        return Err(LineProblem::new(end_of(line), message).help(USER_NEEDED).reference_message(BAD_USER).into());
    }
    Ok(span)
}

/// Help where the user of a system table's entry was forgotten.
pub(super) const USER_NEEDED: &str = "in a system table the user stands in front of the command, for example root";

/// Help where a word looks like one more field behind the five of a schedule: a year, or the result of seconds in front.
pub(super) fn help_about_sixth_field(word: &[u8], schedule: &[u8]) -> String {
    let is_year = word.len() == 4 && (word.starts_with(b"19") || word.starts_with(b"20"));
    if !is_year || !word.iter().all(u8::is_ascii_digit) {
        return "a schedule has five fields and the minute is the first: leave out the seconds".to_owned();
    }
    let schedule = String::from_utf8_lossy(schedule);
    let is_short = schedule.len() <= LONGEST_EXAMPLE;
    let same = match schedule.split_ascii_whitespace().collect::<Vec<_>>()[..] {
        // In the other form Sunday is 1, so that only `*` means the same.
        [minute, hour, day, month, "*"] if is_short => format!("{minute} {hour} {day} {month} *"),
        _ => "MINUTE HOUR DAY MONTH WEEKDAY".to_owned(),
    };
    format!(
        "a schedule of five fields has no year; @quartz has one: @quartz 0 {same} {}",
        String::from_utf8_lossy(word)
    )
}

/// Most bytes of a schedule that is repeated in a suggestion.
const LONGEST_EXAMPLE: usize = 60;

/// The message of the reference implementations (entry.c, ecodes).
pub const BAD_USER: &str = "bad username";
const BAD_TIME: &str = "bad time specifier";
const BAD_COMMAND: &str = "bad command";
const BAD_OPTION: &str = "bad option";

/// Commands that stand where the user of a system table's entry was forgotten.
const COMMANDS: &[&[u8]] = &[
    b"bash",
    b"cd",
    b"cp",
    b"curl",
    b"date",
    b"echo",
    b"exec",
    b"export",
    b"find",
    b"nice",
    b"perl",
    b"php",
    b"python",
    b"python3",
    b"rm",
    b"rsync",
    b"run-parts",
    b"sh",
    b"sudo",
    b"test",
    b"touch",
    b"wget",
];

/// Users that stand in front of the command where a line was copied from a system table.
const USERS: &[&[u8]] =
    &[b"root", b"daemon", b"nobody", b"www-data", b"apache", b"nginx", b"postgres", b"munin", b"smmsp"];

/// Whether it is the name of a user that most machines have.
pub(super) fn is_usual_user(name: &[u8]) -> bool {
    USERS.contains(&name)
}

/// Whether it is the name of a command that most machines have.
pub(super) fn is_usual_command(name: &[u8]) -> bool {
    COMMANDS.contains(&name)
}

/// Whether a user could have that name: no byte that a user database, a shell or a path would read as something else.
pub(super) fn can_be_user(name: &[u8]) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80 || b"._-@+\\".contains(&byte);
    let (body, last) = name.split_at(name.len().saturating_sub(1));
    name.len() <= usize::from(u8::MAX)
        && body.iter().all(|&byte| plain(byte))
        && last.iter().all(|&byte| plain(byte) || byte == b'$')
        && !name.starts_with(b"-")
        && name.iter().any(|&byte| byte != b'.')
}

/// Whether a word would do as one more field of a schedule: `*`, `*/5`, `1-5`, `?`, `mon-fri`.
pub(super) fn looks_like_field(word: &[u8]) -> bool {
    const DAYS: [&[u8]; 7] = [b"sun", b"mon", b"tue", b"wed", b"thu", b"fri", b"sat"];
    let numbers = word.first().is_some_and(|&byte| byte == b'*' || byte.is_ascii_digit())
        && word.iter().all(|&byte| byte.is_ascii_digit() || b"*,-/".contains(&byte));
    let days = || {
        word.split(|&byte| byte == b',' || byte == b'-')
            .all(|part| DAYS.iter().any(|day| part.eq_ignore_ascii_case(day)))
    };
    numbers || word == b"?" || days()
}

/// A user's command may not begin with `*` (entry.c: a common typo).
fn no_star(cursor: &Cursor<'_>, line: &[u8], schedule: &[u8]) -> Read<()> {
    let start = cursor.at();
    if cursor.peek() == Some(b'/') {
        return Ok(()); // most commands; the rest is not worth their time
    }
    let word = { *cursor }.word();
    let span = start..start + word.len();
    if word.is_empty() {
        let problem = LineProblem::new(end_of(line), "expected a command, found the end of the line");
        return Err(problem.reference_message(BAD_COMMAND).into());
    }
    if word.starts_with(b"*") {
        let problem = LineProblem::new(span, format!("expected a command, found {}", found(word)));
        return Err(problem.help(help_about_sixth_field(word, schedule)).reference_message(BAD_COMMAND).into());
    }
    Ok(())
}

/// Reads flags in front of the command: `-n `, `-q `, `-s `, in any order, each once.
fn read_flags(cursor: &mut Cursor<'_>, line: &[u8]) -> Read<Flags> {
    let mut flags = Flags::default();
    while cursor.peek() == Some(b'-') {
        let start = cursor.at();
        let word = cursor.word();
        let flag = match word {
            b"-n" => &mut flags.mail_only_on_failure,
            b"-q" => &mut flags.quiet,
            b"-s" => &mut flags.single,
            _ => {
                let message = format!("expected a command or one of the flags -n, -q, -s, found {}", found(word));
                return Err(LineProblem::new(start..start + word.len(), message)
                    .help("each flag is a word of its own: -n -q COMMAND")
                    .reference_message(BAD_OPTION)
                    .into());
            }
        };
        if *flag {
            let message = format!("expected a command, found the flag {} again", found(word));
            return Err(LineProblem::new(start..start + word.len(), message).reference_message(BAD_OPTION).into());
        }
        *flag = true;
        cursor.skip_blanks();
        if cursor.rest().is_empty() {
            let message = "expected a command after the flags, found the end of the line";
            return Err(LineProblem::new(end_of(line), message).reference_message(BAD_COMMAND).into());
        }
    }
    Ok(flags)
}

/// The rest of the line, carriage return and trailing blanks included, is the command.
fn read_command(cursor: &mut Cursor<'_>, line: &[u8], context: &Context<'_>) -> Read<Range<usize>> {
    let command = cursor.at()..line.len();
    let most = context.dialect.limits.command;
    if command.len() > most {
        let message = format!("expected a command of at most {most} characters, found {}", command.len());
        let problem = LineProblem::new(command, message).help("put it in a script, and run that");
        return Err(problem.reference_message("command too long").into());
    }
    Ok(command)
}

fn end_of(line: &[u8]) -> Range<usize> {
    line.len()..line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_is_told_from_a_forgotten_one() {
        for name in ["root", "www-data", "_apt", "ann.lee", "DOM\\ann", "ann@dom", "host$", "1000", "j\u{f6}rg", "a+b"]
        {
            assert!(can_be_user(name.as_bytes()), "{name}");
        }
        for other in ["/usr/bin/backup", "*", "[", "-x", "A=b", "a;b", "(cd", "\"x\"", "a:b", "$HOME", ".", "..", "~/x"]
        {
            assert!(!can_be_user(other.as_bytes()), "{other}");
        }
        assert!(can_be_user(&[b'a'; 255]) && !can_be_user(&[b'a'; 256]));
    }

    #[test]
    fn a_sixth_field_is_told_from_a_command() {
        for field in ["*", "*/5", "0", "1-5", "1,2", "?", "mon", "MON-FRI", "sat,sun"] {
            assert!(looks_like_field(field.as_bytes()), "{field}");
        }
        for command in ["", "/bin/true", "echo", "7z", "monitor", "1password", "-n", "sunset"] {
            assert!(!looks_like_field(command.as_bytes()), "{command}");
        }
    }
}
