//! The crontabs that a verb works on: a file, a user's crontab, or all that the daemon would load and the caller may read.

use super::cli::{given, value};
use super::error::Error;
use super::exit_status::ExitStatus;
use super::stderr::to_stderr;
use super::system_state::SystemState;
use super::upcoming::Recurring;
use crate::crontab::{
    Calendars, Crontab, Diagnostic, Entry, Form, Machine, Parsed, Parser, Severity, Unlisted, printable,
};
use crate::profile::shared;
use crate::schedule::Zone;
use crate::scheduler::{Owner, Source};
use crate::spool::{Finder, Found, Refusal, RefusalKind, ScanOutcome, TableFile, Visitor, parse, unreadable};
use crate::sys::stamp::Stamp;
use crate::users::WaitingUsers;
use clap::ArgMatches;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The file name that stands for standard input.
const STDIN: &str = "-";
/// The word that stands for all tables where it is given instead of a file.
pub(super) const ALL: &str = "all";

/// A crontab that has been read.
#[derive(Debug)]
pub(super) struct Listed {
    /// Its path, or `-` for standard input.
    pub(super) name: String,
    /// The user of entries without a user field.
    pub(super) owner: String,
    /// Whether it has the form of a user's or of a system crontab.
    pub(super) form: Form,
    /// Its parsed entries and settings.
    pub(super) table: Crontab,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// The number of further diagnostics that are not listed.
    pub(super) unlisted: Unlisted,
}

/// An entry, with the crontab that it is from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job<'a> {
    /// The crontab that it is from.
    pub(super) listed: &'a Listed,
    pub(super) entry: &'a Entry,
    /// The zone of its schedule.
    pub(super) zone: &'a Zone,
    calendars: &'a Calendars,
}

/// Reads the crontabs that the command line selects.
pub(super) fn of(matches: &ArgMatches, system: &SystemState) -> Result<Vec<Listed>, Error> {
    if let Some(path) = path(matches).filter(|path| *path != Path::new(ALL)) {
        return Ok(vec![file(path, given(matches, "system"), system)?]);
    }
    match value::<String>(matches, "user") {
        Some(user) => Ok(vec![table_of(user, system)?]),
        None => all(system),
    }
}

/// The file that the command line names, with or without `--file`.
pub(super) fn path(matches: &ArgMatches) -> Option<&PathBuf> {
    ["file", "path"].into_iter().find_map(|name| matches.try_get_one::<PathBuf>(name).ok().flatten())
}

/// Reads a crontab from a file, or from standard input for `-`. One that is not said to be a system table may be recognised as one.
pub(super) fn file(path: &Path, is_system: bool, system: &SystemState) -> Result<Listed, Error> {
    if is_anacrontab(path, system) {
        return Err(Error::Anacrontab { path: path.to_owned() });
    }
    let is_stdin = path == Path::new(STDIN);
    let name = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
    let failed = |source: io::Error| Error::Read { name: name.clone(), source: source.into() };
    let mut input = Input::open(path).map_err(failed)?;
    let form = match is_system {
        true => Form::System,
        false => input.form(path, system).map_err(failed)?,
    };
    if form == Form::System && !is_system {
        to_stderr(&format!(
            "cronctl: {}: read as a system table, whose entries name a user\n",
            printable(name.as_bytes())
        ));
    }
    let (owner, drawn_for) = known_as(path, form, system);
    let context = system.context(form, &drawn_for);
    let parser = Parser::new(&context).on_machine(system.machine());
    let parser = if is_in_spool(path, form, system) { parser.of_installed() } else { parser };
    let parsed = input.parse(parser).map_err(failed)?;
    Ok(Listed::new(path.display().to_string(), owner, form, parsed))
}

/// Whether a path is that of the table of anacron's jobs, or of a copy of it.
pub(super) fn is_anacrontab(path: &Path, system: &SystemState) -> bool {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute == system.settings.anacrontab || absolute.file_name().is_some_and(|name| name == "anacrontab")
}

/// What a crontab is read from. It may be read twice, as its form may have to be found out.
enum Input {
    File(File),
    /// All bytes of a pipe or of standard input.
    Text(Vec<u8>),
}

impl Input {
    fn open(path: &Path) -> io::Result<Input> {
        /// A longer table is too large; the parser says so.
        const MOST: u64 = (64 << 20) + 1;
        let mut text = Vec::new();
        if path == Path::new(STDIN) {
            io::stdin().lock().take(MOST).read_to_end(&mut text)?;
            return Ok(Input::Text(text));
        }
        let file = File::open(path)?;
        if file.metadata()?.is_file() {
            return Ok(Input::File(file));
        }
        file.take(MOST).read_to_end(&mut text)?;
        Ok(Input::Text(text))
    }

    fn parse(&mut self, parser: Parser<'_>) -> io::Result<Parsed> {
        match self {
            Input::Text(text) => parse(&mut text.as_slice(), text.len() as u64, parser, &mut |_| {}),
            Input::File(file) => {
                file.rewind()?;
                let size = file.metadata()?.len();
                parse(file, size, parser, &mut |_| {})
            }
        }
    }

    /// The form of a table that nobody has named: by its place, else by its entries, if the field behind the schedule of all of them is a user
    /// and not the name of a program.
    fn form(&mut self, path: &Path, system: &SystemState) -> io::Result<Form> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let places = &system.settings.places;
        let directory = absolute.parent();
        let is_in_cron_d = directory == Some(&places.cron_d)
            || directory.and_then(Path::file_name).is_some_and(|name| name == "cron.d");
        if absolute == places.system_crontab || absolute == Path::new(shared::SYSTEM_CRONTAB) || is_in_cron_d {
            return Ok(Form::System);
        }
        if directory == Some(&places.spool) || !self.may_be_system(system)? {
            return Ok(Form::User);
        }
        let context = system.context(Form::System, "");
        let Parsed { table, diagnostics, unlisted, .. } = self.parse(Parser::new(&context))?;
        let is_faulty = unlisted.errors > 0 || diagnostics.iter().any(|found| found.severity == Severity::Error);
        let names_user =
            |entry: &Entry| entry.user.as_deref().is_some_and(|user| is_only_user(system, user.as_bytes()));
        let is_system = !is_faulty && !table.entries.is_empty() && table.entries.iter().all(names_user);
        Ok(if is_system { Form::System } else { Form::User })
    }

    /// Whether the first entry has a user name in the field after the schedule, as entries of system tables have. If not, the file is a user's
    /// crontab, and the rest need not be read for this.
    fn may_be_system(&mut self, system: &SystemState) -> io::Result<bool> {
        const BEGINNING: usize = 64 << 10;
        let mut beginning = Vec::new();
        match self {
            Input::Text(text) => beginning.extend(text.iter().take(BEGINNING)),
            Input::File(file) => {
                file.rewind()?;
                file.by_ref().take(BEGINNING as u64).read_to_end(&mut beginning)?;
            }
        }
        let first = beginning.split(|byte| *byte == b'\n').find_map(word_of_user);
        Ok(first.is_some_and(|word| is_only_user(system, word)))
    }
}

/// Whether a word is the name of a user and not also that of a program, such as `mail`, with which a user's own entry may begin.
fn is_only_user(system: &SystemState, name: &[u8]) -> bool {
    let machine = system.machine();
    machine.has_user(name) == Some(true) && machine.has_program(name) != Some(true)
}

/// The word of a line behind its schedule, if it is an entry.
fn word_of_user(line: &[u8]) -> Option<&[u8]> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let first = words.next()?;
    let more = match first {
        b"@quartz" => 7,
        b"@after" => 1,
        _ if first.starts_with(b"@") => 0,
        _ if first.iter().any(|byte| byte.is_ascii_digit() || b"*~".contains(byte)) && !first.contains(&b'=') => 4,
        _ => return None,
    };
    // An entry without a user is one all the same.
    Some(words.nth(more).unwrap_or_default())
}

/// Whether a path is that of a user's crontab in the spool.
fn is_in_spool(path: &Path, form: Form, system: &SystemState) -> bool {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    form == Form::User && absolute.parent() == Some(&system.settings.places.spool)
}

/// The user of the crontab in a file, and the name that its random values depend on. For `crond FILE` these are the caller
/// and the path, for a crontab in the spool its user and the user's name. Standard input is treated like the caller's own
/// crontab.
fn known_as(path: &Path, form: Form, system: &SystemState) -> (String, String) {
    let caller = system.caller();
    if path == Path::new(STDIN) {
        return (caller.clone(), caller);
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let user = absolute.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    match user {
        Some(user) if is_in_spool(path, form, system) => (user.clone(), user),
        _ => (caller, absolute.display().to_string()),
    }
}

/// Reads a user's crontab from the spool. Root may read all, others only their own.
pub(super) fn table_of(user: &str, system: &SystemState) -> Result<Listed, Error> {
    if !system.is_root() && user != system.caller() {
        return Err(Error::NotYours { user: user.to_owned() });
    }
    let path = system.settings.places.spool.join(user);
    let checked = finder(system).scan_path(&path, &mut WaitingUsers::default());
    let refused =
        |refusal: &Refusal| Error::Refused { message: refusal.text().unwrap_or_else(|| path.display().to_string()) };
    match checked {
        ScanOutcome::NoTable => Err(Error::NoUser { user: user.to_owned() }),
        ScanOutcome::Table(Found { content: Ok(file), source, .. }) => {
            read(source, &file, system, &mut |_| {}).map_err(|refusal| refused(&refusal))
        }
        ScanOutcome::Table(Found { content: Err(refusal), .. }) if system.is_root() || !is_closed(&refusal) => {
            Err(refused(&refusal))
        }
        ScanOutcome::Unopened(error) if system.is_root() => Err(Error::Refused { message: error.to_string() }),
        ScanOutcome::Gone(_) if system.is_root() => Err(Error::NoTable { user: user.to_owned() }),
        ScanOutcome::Gone(_) | ScanOutcome::Table(_) | ScanOutcome::Unopened(_) => {
            own_by_crontab(system)?.ok_or_else(|| Error::NoTable { user: user.to_owned() })
        }
    }
}

/// Reads all crontabs that the daemon would load and the caller may read.
pub(super) fn all(system: &SystemState) -> Result<Vec<Listed>, Error> {
    let mut all = AllTables { system, listed: Vec::new() };
    let errors = finder(system).scan(&mut WaitingUsers::default(), &mut all);
    let mut listed = all.listed;
    for error in errors {
        let closed = error.source.kind() == io::ErrorKind::PermissionDenied && !system.is_root();
        if closed && error.path == system.settings.places.spool {
            // The system crontabs can still be listed without it.
            match own_by_crontab(system) {
                Ok(own) => listed.extend(own),
                Err(error) => to_stderr(&format!("cronctl: {error}\n")),
            }
        } else if !closed {
            to_stderr(&format!("cronctl: {error}\n"));
        }
    }
    // Directory entries have no order, so sort for a stable output.
    listed.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(listed)
}

/// Reads every crontab that a scan finds.
struct AllTables<'a> {
    system: &'a SystemState,
    listed: Vec<Listed>,
}

impl Visitor for AllTables<'_> {
    fn has(&mut self, _: &str, _: &Stamp) -> bool {
        false
    }

    fn found(&mut self, Found { source, content, .. }: Found) {
        match content.and_then(|file| read(source, &file, self.system, &mut |_| {})) {
            Ok(listed) => self.listed.push(listed),
            // Crontabs that the caller may not read are skipped silently.
            Err(refusal) if is_closed(&refusal) && !self.system.is_root() => {}
            Err(refusal) => {
                if let Some(text) = refusal.text() {
                    to_stderr(&format!("cronctl: not loaded: {}\n", printable(text.as_bytes())));
                }
            }
        }
    }
}

pub(super) fn finder(system: &SystemState) -> Finder {
    Finder::new(system.settings.places.clone(), system.settings.profile)
}

/// Whether the caller may not read a crontab.
pub(super) fn is_closed(refusal: &Refusal) -> bool {
    matches!(refusal.kind, RefusalKind::CannotOpen | RefusalKind::CannotStat | RefusalKind::CannotRead)
}

/// Reads a crontab as the daemon does. Each piece of it is passed to `see`.
pub(super) fn read(
    source: Source,
    file: &TableFile,
    system: &SystemState,
    see: &mut dyn FnMut(&[u8]),
) -> Result<Listed, Refusal> {
    let context = system.context(source.owner.form(), "");
    let parsed = file
        .parse(&source, context.dialect, context.host, context.known, Some(system.machine()), see)
        .map_err(|error| unreadable(&source, &error, system.settings.profile.profile))?;
    let form = source.owner.form();
    let owner = match source.owner {
        Owner::User { name, .. } => name,
        Owner::System | Owner::Caller => String::new(),
    };
    Ok(Listed::new(source.path, owner, form, parsed))
}

/// Reads the caller's own crontab with `crontab -l`, if only that program may read the spool.
pub(super) fn own_by_crontab(system: &SystemState) -> Result<Option<Listed>, Error> {
    let answer = Command::new("crontab")
        .arg("-l")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::NoCrontab(error.into()))?;
    let user = system.caller();
    if answer.status.success() {
        let path = system.settings.places.spool.join(&user).display().to_string();
        let context = system.context(Form::User, &user);
        let parsed = parse(&mut answer.stdout.as_slice(), 0, Parser::new(&context), &mut |_| {})
            .map_err(|source| Error::Read { name: path.clone(), source: source.into() })?;
        return Ok(Some(Listed::new(path, user.clone(), Form::User, parsed)));
    }
    let message = String::from_utf8_lossy(&answer.stderr);
    let message = message.lines().next().unwrap_or("it failed").trim();
    if message.starts_with("no crontab for") {
        Ok(None)
    } else {
        Err(Error::Crontab { message: printable(message.as_bytes()) })
    }
}

/// Reports the errors in crontabs on standard error. Warnings are reported by `check` only.
pub(super) fn report_errors(tables: &[Listed]) -> ExitStatus {
    let mut exit_status = ExitStatus::Success;
    for listed in tables {
        for diagnostic in listed.diagnostics.iter().filter(|d| d.severity == Severity::Error) {
            to_stderr(&diagnostic.picture(&listed.name));
            exit_status = ExitStatus::Faulty;
        }
        let unlisted = Unlisted { warnings: 0, ..listed.unlisted };
        if let Some(line) = unlisted.line(&listed.name) {
            to_stderr(&line);
        }
    }
    exit_status
}

impl Listed {
    fn new(name: String, owner: String, form: Form, parsed: Parsed) -> Listed {
        let Parsed { table, diagnostics, unlisted, .. } = parsed;
        Listed { name, owner, form, table, diagnostics, unlisted }
    }

    /// Its entries with their zones.
    pub(super) fn jobs<'a>(&'a self, system: &'a SystemState) -> impl Iterator<Item = Job<'a>> {
        self.table.entries.iter().map(move |entry| {
            let zone = self.table.timing(entry).zone.as_ref().unwrap_or(system.system_zone());
            Job { listed: self, entry, zone, calendars: system.calendars() }
        })
    }
}

impl<'a> Job<'a> {
    /// The schedule, zone and delay, for [`super::upcoming`].
    pub(super) fn recurring(&self) -> Recurring<'a> {
        let timing = self.listed.table.timing(self.entry);
        let (policy, calendars) = (self.entry.policy(), Some(self.calendars));
        Recurring { schedule: &timing.schedule, zone: self.zone, delay: timing.delay, policy, calendars }
    }

    /// The user that it runs as.
    pub(super) fn user(&self) -> &'a str {
        self.entry.user.as_deref().unwrap_or(&self.listed.owner)
    }

    /// Its command, as it is written in the crontab.
    pub(super) fn command(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.command_bytes())
    }

    pub(super) fn command_bytes(&self) -> &'a [u8] {
        self.listed.table.command(self.entry)
    }

    /// Its schedule, as it is written in the crontab.
    pub(super) fn schedule_text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(&self.listed.table.timing(self.entry).text)
    }
}
