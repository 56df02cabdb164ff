//! Warnings about the most common mistakes: lines that work, and probably not as they were meant. Each mistake is one function and one row of
//! [`OF_JOBS`] or [`OF_SETTINGS`]; its cases are in `lints_tests`.
//!
//! Nothing here asks the machine. Where it depends on the machine whether something is a mistake, the caller of the parser provides a
//! [`Machine`]; without one there is no warning.

use super::command::first_percent;
use super::context::{Context, Machine};
use super::diagnostic::LineProblem;
use super::entry::{self, JobLine};
use super::form::Form;
use super::line::{Cursor, is_blank};
use super::setting::{self, Meaning, OWN_LINE, found};
use crate::schedule::find_odd_character;
use std::ops::Range;

/// A job line, and what its lints depend on.
pub(super) struct Job<'a> {
    pub line: &'a JobLine<'a>,
    pub context: &'a Context<'a>,
    machine: Option<&'a dyn Machine>,
    /// The value of the SHELL above it; none: /bin/sh.
    pub shell: Option<&'a [u8]>,
    /// The command up to its first unescaped percent sign: what the shell gets.
    text: &'a [u8],
}

/// A lint of a job line. The place is in the line.
type JobLint = fn(&Job<'_>) -> Option<LineProblem>;

/// Lints of job lines, one for each mistake.
const OF_JOBS: &[JobLint] = &[
    sixth_field,
    user_in_users_table,
    no_such_user,
    date_of_no_year,
    either_day,
    past_year,
    standard_input,
    trailing_comment,
    redirection_of_bash,
    no_break_space,
];

/// A setting, and what its lints depend on.
pub(super) struct SettingLine<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
    /// Whether single quotes stand around the value, which says that its text is meant.
    pub is_literal: bool,
    pub meaning: Meaning,
    /// The bytes beside letters and digits that an address may have.
    pub address_marks: &'a [u8],
    /// Whether variables in addresses are expanded, as cronie does it.
    pub are_addresses_expanded: bool,
    pub machine: Option<&'a dyn Machine>,
    /// Whether a setting above has that name.
    pub is_set_above: &'a dyn Fn(&[u8]) -> bool,
}

/// A lint of a setting. The place is in its value.
type SettingLint = fn(&SettingLine<'_>) -> Option<LineProblem>;

/// Lints of settings, one for each mistake. Only the first that applies is reported.
const OF_SETTINGS: &[SettingLint] =
    &[comment_in_value, address_of_sender, shell_that_is_not_there, reference, home_directory];

/// Adds the warnings about a job line.
pub(super) fn check_job(job: &Job<'_>, warnings: &mut Vec<LineProblem>) {
    warnings.extend(OF_JOBS.iter().filter_map(|lint| lint(job)));
}

/// The warning about a setting.
pub(super) fn check_setting(setting: &SettingLine<'_>) -> Option<LineProblem> {
    OF_SETTINGS.iter().find_map(|lint| lint(setting))
}

impl<'a> Job<'a> {
    pub fn new(
        line: &'a JobLine<'a>,
        context: &'a Context<'a>,
        machine: Option<&'a dyn Machine>,
        shell: Option<&'a [u8]>,
    ) -> Job<'a> {
        let text = first_percent(line.command).and_then(|at| line.command.get(..at)).unwrap_or(line.command);
        Job { line, context, machine, shell, text }
    }

    /// A problem about bytes of the command.
    fn in_command(&self, place: Range<usize>, message: impl Into<String>) -> LineProblem {
        LineProblem::new(place, message).moved(self.line.command_at)
    }

    /// The word that could be a sixth field: the user of a system table, the first word of the command of a user's.
    fn sixth_word(&self) -> (Range<usize>, &'a [u8]) {
        let word = match self.line.user {
            Some(user) => return (self.line.user_at..self.line.user_at + user.len(), user),
            None => Cursor::new(self.line.command).word(),
        };
        (self.line.command_at..self.line.command_at + word.len(), word)
    }
}

/// `0 0 1 1 * 2027 backup`: a year, or one field too many because of seconds in front.
fn sixth_field(job: &Job<'_>) -> Option<LineProblem> {
    // Most commands begin with a path.
    if job.context.form == Form::User && job.line.command.starts_with(b"/") {
        return None;
    }
    let (place, word) = job.sixth_word();
    if !entry::looks_like_field(word) {
        return None;
    }
    let message = match job.context.form {
        Form::User => format!("the command begins with {}, which looks like a sixth field", found(word)),
        Form::System => format!("the user here is {}, which looks like a sixth field", found(word)),
    };
    Some(LineProblem::new(place, message).help(entry::help_about_sixth_field(word, job.line.schedule_text)))
}

/// `0 3 * * * root backup` in a user's own table.
fn user_in_users_table(job: &Job<'_>) -> Option<LineProblem> {
    let command = job.line.command;
    if job.context.form == Form::System || command.starts_with(b"/") {
        return None;
    }
    let mut cursor = Cursor::new(command);
    let word = cursor.word();
    cursor.skip_blanks();
    // `mail -s report ann` calls a program.
    let is_local_user = |machine: &dyn Machine| {
        !cursor.rest().starts_with(b"-")
            && entry::can_be_user(word)
            && machine.has_local_user(word)
            && machine.has_program(word) != Some(true)
    };
    let is_user = entry::is_usual_user(word) || word == job.context.name.as_bytes();
    if cursor.rest().is_empty() || !(is_user || job.machine.is_some_and(is_local_user)) {
        return None;
    }
    let message = format!("the command begins with {}, the name of a user", found(word));
    Some(job.in_command(0..word.len(), message).help("a user's own table has no user in front of the command"))
}

/// A system table's line without a user, or with one that does not exist (yet).
fn no_such_user(job: &Job<'_>) -> Option<LineProblem> {
    let user = job.line.user.filter(|user| !entry::looks_like_field(user))?;
    let place = job.line.user_at..job.line.user_at + user.len();
    if entry::is_usual_command(user) {
        let message = format!("the user here is {}, which is the name of a command", found(user));
        return Some(LineProblem::new(place, message).help(entry::USER_NEEDED));
    }
    let machine = job.machine.filter(|machine| machine.has_user(user) == Some(false))?;
    let help = match machine.has_program(user) {
        Some(true) => entry::USER_NEEDED,
        Some(false) | None => "it will run as soon as the user exists",
    };
    Some(LineProblem::new(place, format!("there is no user {}", found(user))).help(help))
}

/// `0 0 30 2 1`: not never, but each Monday of February.
fn date_of_no_year(job: &Job<'_>) -> Option<LineProblem> {
    if !job.line.schedule.only_weekday_has_a_match() {
        return None;
    }
    let [day, month] = [2, 3].map(|index| field(job.line.schedule_text, index));
    let message = "no year has such a date: only the day of the week counts";
    let problem = LineProblem::new(day.start..month.end, message).moved(job.line.schedule_at);
    Some(problem.help("correct the date, or write * as its day if only the day of the week is meant"))
}

/// `0 4 1 * sun`: not the first Sunday, but each first day of a month and each Sunday.
fn either_day(job: &Job<'_>) -> Option<LineProblem> {
    let schedule = &job.line.schedule;
    if !schedule.either_day_is_enough() || schedule.only_weekday_has_a_match() {
        return None;
    }
    let text = job.line.schedule_text;
    let [days, weekdays] = [2, 4].map(|index| field(text, index));
    let place = days.start..weekdays.end;
    let message = "both day fields are set: it runs on each day that matches one of them";
    let week = match text.get(days) {
        Some(b"1-7") => Some(1),
        Some(b"8-14") => Some(2),
        Some(b"15-21") => Some(3),
        Some(b"22-28") => Some(4),
        _ => None,
    };
    let weekday = text.get(weekdays).filter(|text| text.iter().all(u8::is_ascii_alphanumeric));
    let help = match (week, weekday) {
        (Some(week), Some(weekday)) => {
            let weekday = String::from_utf8_lossy(weekday);
            format!("for that weekday of that week alone write * and {weekday}#{week} in these fields")
        }
        _ => "write * in one of them, and test the other one in the command if both must match".to_owned(),
    };
    Some(LineProblem::new(place, message).moved(job.line.schedule_at).help(help).without_log())
}

/// The place of one of the five fields in a schedule's text.
fn field(text: &[u8], index: usize) -> Range<usize> {
    let mut cursor = Cursor::new(text);
    for _ in 0..index {
        cursor.word();
        cursor.skip_blanks();
    }
    let start = cursor.at();
    start..start + cursor.word().len()
}

/// `@quartz 0 0 12 1 1 * 2024` in a later year.
fn past_year(job: &Job<'_>) -> Option<LineProblem> {
    let schedule = &job.line.schedule;
    if !job.line.schedule_text.starts_with(b"@quartz") || schedule.never_matches() {
        return None;
    }
    let now = job.machine?.now();
    if schedule.next_after(now, &job.context.known.zones.system(), None).is_some() {
        return None;
    }
    let text = job.line.schedule_text;
    let year = text.iter().rposition(|&byte| is_blank(byte)).map_or(0, |blank| blank + 1);
    let message = "this schedule never matches again: its last year is in the past";
    let problem = LineProblem::new(year..text.len(), message).moved(job.line.schedule_at);
    Some(problem.help("write * for every year, or remove the entry"))
}

/// `date +%F`: an unescaped percent sign.
fn standard_input(job: &Job<'_>) -> Option<LineProblem> {
    let at = job.text.len();
    if at == job.line.command.len() {
        return None;
    }
    let message = "what follows this % is not part of the command but its standard input";
    Some(job.in_command(at..at + 1, message).help("write \\% for a percent sign").without_log())
}

/// `backup # every night`: the comment is a part of the command.
fn trailing_comment(job: &Job<'_>) -> Option<LineProblem> {
    let text = job.text;
    memchr::memchr(b'#', text)?;
    let mut before = None;
    for (at, byte) in unquoted(text) {
        let begins_word = at == 0 || before.is_some_and(|(place, byte)| place + 1 == at && is_blank(byte));
        if byte == b'#' && begins_word {
            let problem = match at {
                0 => job.in_command(0..text.len(), "the command is a comment for the shell: nothing runs"),
                _ => job.in_command(at..text.len(), "this comment is a part of the command").without_log(),
            };
            return Some(problem.help(OWN_LINE));
        }
        before = Some((at, byte));
    }
    None
}

/// `backup &>log` where the shell is not bash: it starts the command in the background and empties the file.
fn redirection_of_bash(job: &Job<'_>) -> Option<LineProblem> {
    let text = job.text;
    memchr::memchr(b'&', text)?;
    if !text.windows(2).any(|pair| pair == b"&>") || !is_plain_sh(job) {
        return None;
    }
    let mut before = None;
    let at = unquoted(text).find_map(|next| match (before.replace(next)?, next) {
        ((at, b'&'), (place, b'>')) if at + 1 == place => Some(at),
        _ => None,
    })?;
    // `2>&1 &>x` and `a &&>x` are other things: an & in front makes it no redirection of bash.
    if at > 0 && matches!(text.get(at - 1), Some(b'&' | b'>')) {
        return None;
    }
    let message = "for sh, &> is not a redirection: the command runs in the background, and the file stays empty";
    let problem = job.in_command(at..at + 2, message);
    Some(problem.help("write >FILE 2>&1, or set SHELL=/bin/bash above this entry"))
}

/// Whether the shell of a job is one that knows no `&>`.
fn is_plain_sh(job: &Job<'_>) -> bool {
    let shell = job.shell.unwrap_or(b"/bin/sh");
    let name = shell.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let is_bash = || job.machine.is_some_and(|machine| machine.is_bash(shell));
    matches!(name, b"sh" | b"dash" | b"ash") && !is_bash()
}

/// A blank that was copied from a page, and that the shell takes for a letter.
fn no_break_space(job: &Job<'_>) -> Option<LineProblem> {
    let text = job.text;
    find_odd_character(text)?;
    let mut rest = unquoted(text).filter(|(_, byte)| !byte.is_ascii());
    rest.find_map(|(at, _)| {
        const LONGEST: usize = 4;
        let (0, length, name) = find_odd_character(text.get(at..text.len().min(at + LONGEST))?)? else { return None };
        let message = format!("found {name} in the command, which is a letter like others for the shell");
        Some(job.in_command(at..at + length, message).help("replace it by a blank, or quote it if it is meant"))
    })
}

/// The bytes of a shell command that are neither quoted nor escaped, each with its place.
fn unquoted(text: &[u8]) -> impl Iterator<Item = (usize, u8)> + '_ {
    let mut quote = None;
    let mut is_escaped = false;
    text.iter().copied().enumerate().filter(move |(_, byte)| {
        if std::mem::take(&mut is_escaped) {
            return false;
        }
        match (quote, byte) {
            (None, b'\\') | (Some(b'"'), b'\\') => is_escaped = true,
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            (None, _) => return true,
            (Some(_), _) => {}
        }
        false
    })
}

/// `MAILTO=root # the admin`: a setting goes to the end of its line.
fn comment_in_value(setting: &SettingLine<'_>) -> Option<LineProblem> {
    let value = setting.value;
    // A command has the shell's comments.
    if setting.is_literal || matches!(setting.meaning, Meaning::Job(_)) {
        return None;
    }
    let at = value.windows(2).position(|pair| matches!(pair, [b' ' | b'\t', b'#']))? + 1;
    let comment = value.get(at..).unwrap_or_default();
    Some(LineProblem::new(at..value.len(), format!("{} is a part of the value", found(comment))).help(OWN_LINE))
}

/// A MAILFROM that no mail is sent from.
fn address_of_sender(setting: &SettingLine<'_>) -> Option<LineProblem> {
    let is_expanded = setting.are_addresses_expanded && setting.value.contains(&b'$');
    if setting.name != b"MAILFROM" || is_expanded {
        return None;
    }
    setting::mailfrom_problem(setting.value, setting.address_marks)
}

/// A SHELL without a path, or that is not installed.
fn shell_that_is_not_there(setting: &SettingLine<'_>) -> Option<LineProblem> {
    let value = setting.value;
    if setting.name != b"SHELL" || value.is_empty() || matches!(value, [b'$' | b'~' | b'`', ..]) {
        return None;
    }
    let place = 0..value.len();
    if !value.starts_with(b"/") {
        let message =
            format!("expected the path of a shell, found {}: the jobs below it cannot be started", found(value));
        return Some(LineProblem::new(place, message).help("write the whole path, for example /bin/bash"));
    }
    let machine = setting.machine?;
    (machine.has_program(value) == Some(false)).then(|| {
        let message = format!("there is no program {}: the jobs below it cannot be started", found(value));
        LineProblem::new(place, message).help("install it, or write SHELL=/bin/sh")
    })
}

/// Variables that every job or every shell has.
const USUAL_VARIABLES: &[&[u8]] =
    &[b"PATH", b"HOME", b"USER", b"LOGNAME", b"SHELL", b"PWD", b"HOSTNAME", b"LANG", b"MAILTO", b"TMPDIR"];

/// `PATH=$PATH:/opt/bin`, `LOG=$HOME/log`, `TODAY=$(date)`: nothing is expanded in a setting.
fn reference(setting: &SettingLine<'_>) -> Option<LineProblem> {
    if setting.is_literal || is_expanded_later(setting) {
        return None;
    }
    let value = setting.value;
    let place = memchr::memchr2_iter(b'$', b'`', value).find_map(|at| {
        let length = reference_length(value.get(at..)?, setting)?;
        Some(at..at + length)
    })?;
    let text = found(value.get(place.clone()).unwrap_or_default());
    let problem = LineProblem::new(place.clone(), format!("nothing is expanded in a setting: {text} stays as it is"));
    if setting.name == b"PATH" {
        let rest = String::from_utf8_lossy(value).replace("${PATH}", "$PATH").replace("$PATH", USUAL_PATH);
        return Some(match rest.contains('$') || rest.contains('`') {
            true => problem.help("write all directories out, separated by colons"),
            false => problem.help(format!("write all directories out: PATH={}", found(rest.as_bytes()))),
        });
    }
    Some(
        problem.help(
            "write the value itself, or let the command set it; single quotes around the value say that it is meant",
        ),
    )
}

const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Whether somebody else expands the value of a setting: a shell that reads it, or cronie for its addresses.
fn is_expanded_later(setting: &SettingLine<'_>) -> bool {
    const BY_SHELLS: &[&[u8]] = &[b"BASH_ENV", b"ENV", b"PS0", b"PS1", b"PS2", b"PS3", b"PS4", b"MAILFROM"];
    matches!(setting.meaning, Meaning::Job(_) | Meaning::Recipients)
        || BY_SHELLS.contains(&setting.name)
        || setting.name.ends_with(b"_COMMAND")
}

/// The length of the reference at the beginning of a text, if it is one: `$(`, a backquote with another one behind it, or `$NAME` and
/// `${NAME}` of a variable that there is, or in front of a slash or a colon. Any other dollar sign may well be a part of a password.
fn reference_length(text: &[u8], setting: &SettingLine<'_>) -> Option<usize> {
    const LONGEST_REFERENCE: usize = 256;
    let (name, length) = match text {
        [b'$', b'(', ..] => return Some("$(".len()),
        [b'`', rest @ ..] => return rest.iter().position(|&byte| byte == b'`').map(|end| end + 2),
        [b'$', b'{', rest @ ..] => {
            let end = rest.iter().take(LONGEST_REFERENCE).position(|&byte| byte == b'}')?;
            let name = rest.get(..end)?;
            (name.split(|byte| b":-+?=%#/".contains(byte)).next()?, end + "${}".len())
        }
        [b'$', rest @ ..] => {
            let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            let end = rest.iter().take_while(|byte| is_letter(byte)).count();
            (rest.get(..end)?, end + "$".len())
        }
        _ => return None,
    };
    let exists = USUAL_VARIABLES.contains(&name) || name == setting.name || (setting.is_set_above)(name);
    // A variable of the daemon, or one that was forgotten: `$LOGDIR/backup.log`.
    let is_constant = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    let is_in_path = name.len() >= SHORTEST_NAME
        && name.iter().all(is_constant)
        && text.get(length).is_some_and(|next| matches!(next, b'/' | b':'));
    ((exists || is_in_path) && !name.is_empty()).then_some(length)
}

/// Least letters of a name that is taken for a variable although nothing sets it.
const SHORTEST_NAME: usize = 3;

/// `BACKUP=~/backup`: only a shell knows `~`.
fn home_directory(setting: &SettingLine<'_>) -> Option<LineProblem> {
    if setting.is_literal || matches!(setting.meaning, Meaning::Job(_) | Meaning::Recipients) {
        return None;
    }
    let value = setting.value;
    let is_home = |text: &[u8]| text == b"~" || text.starts_with(b"~/");
    let at = match setting.name.ends_with(b"PATH") {
        true => {
            let mut start = 0;
            value.split(|&byte| byte == b':').find_map(|part| {
                let at = start;
                start += part.len() + 1;
                is_home(part).then_some(at)
            })?
        }
        false => is_home(value).then_some(0)?,
    };
    let problem = LineProblem::new(at..at + 1, "nothing is expanded in a setting: ~ stays as it is");
    Some(
        problem.help(
            "write the whole path, for example /home/ann/bin; single quotes around the value say that it is meant",
        ),
    )
}

/// `TZ=Europe/Berlin` above entries without a CRON_TZ: they are due in the system's zone all the same. The place is in the value.
pub(super) fn zone_of_jobs(value: &[u8], context: &Context<'_>) -> Option<LineProblem> {
    let zones = context.known.zones;
    let text = std::str::from_utf8(value.strip_prefix(b":").unwrap_or(value)).ok().filter(|text| !text.is_empty())?;
    let zone = zones.named(text)?;
    let system = zones.system();
    if *zone == *system || zone.name() == system.name() {
        return None;
    }
    let message =
        format!("TZ is only a variable of the jobs: those below it are due in the system's zone, {}", system.name());
    let help = format!("CRON_TZ={} lets them be due in that zone", found(value));
    Some(LineProblem::new(0..value.len(), message).help(help))
}

/// Whether an entry is due at another moment in another zone: its hour is not `*`.
pub(super) fn depends_on_zone(schedule: &[u8]) -> bool {
    match schedule {
        [b'@', b'0'..=b'9', ..] => false,
        [b'@', ..] => {
            let hours = [b"@yearly".as_slice(), b"@annually", b"@monthly", b"@weekly", b"@daily", b"@midnight"];
            hours.contains(&schedule) || schedule.starts_with(b"@quartz")
        }
        _ => schedule.get(field(schedule, 1)).is_some_and(|hour| !hour.starts_with(b"*")),
    }
}
