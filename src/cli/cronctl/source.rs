//! The tables that a question is about: a file, a user's table, or all that the daemon would load and the caller may read.

use super::Verdict;
use super::cli::{given, value};
use super::error::Error;
use super::output::to_stderr;
use super::upcoming::Recurring;
use super::world::World;
use crate::crontab::{Crontab, Diagnostic, Entry, Form, Parsed, Parser, Severity, Unlisted, printable};
use crate::schedule::Zone;
use crate::scheduler::{Owner, Source};
use crate::spool::{Finder, Found, Look, Refusal, RefusalKind, TableFile, Visitor, parse, unreadable};
use crate::sys::stamp::Stamp;
use crate::users::LocalUsers;
use clap::ArgMatches;
use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The name that means standard input.
const STDIN: &str = "-";

/// A table that has been read.
#[derive(Debug)]
pub(super) struct Listed {
    /// Its path, or `-`.
    pub(super) name: String,
    /// Whom its entries run as where they do not say it themselves.
    pub(super) owner: String,
    /// User or system form.
    pub(super) form: Form,
    /// What runs of it.
    pub(super) table: Crontab,
    /// What is to be said about it.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// How much more there is to be said.
    pub(super) unlisted: Unlisted,
}

/// One entry of a table, and all that is needed to tell of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job<'a> {
    /// Its table.
    pub(super) listed: &'a Listed,
    /// The entry.
    pub(super) entry: &'a Entry,
    /// The zone that it is in.
    pub(super) zone: &'a Zone,
}

/// The tables that the command line asks for.
pub(super) fn of(matches: &ArgMatches, world: &World) -> Result<Vec<Listed>, Error> {
    if let Some(path) = value::<PathBuf>(matches, "file") {
        return Ok(vec![file(path, form(matches), world)?]);
    }
    match value::<String>(matches, "user") {
        Some(user) => Ok(vec![table_of(user, world)?]),
        None => all(world),
    }
}

/// The form that `--system` says.
pub(super) fn form(matches: &ArgMatches) -> Form {
    if given(matches, "system") { Form::System } else { Form::User }
}

/// Reads the table in a file; `-` is standard input.
pub(super) fn file(path: &Path, form: Form, world: &World) -> Result<Listed, Error> {
    let name = path.display().to_string();
    let (owner, drawn_for) = known_as(path, form, world);
    let context = world.context(form, &drawn_for);
    let parsed = if path == Path::new(STDIN) {
        let parser = Parser::new(&context);
        parse(&mut io::stdin().lock(), 0, parser, &mut |_| {})
            .map_err(|source| Error::Read { name: "standard input".to_owned(), source })?
    } else {
        let parser = Parser::new(&context);
        let parser = if is_in_spool(path, form, world) { parser.of_installed() } else { parser };
        std::fs::File::open(path)
            .and_then(|mut file| {
                let size = file.metadata()?.len();
                parse(&mut file, size, parser, &mut |_| {})
            })
            .map_err(|source| Error::Read { name: name.clone(), source })?
    };
    Ok(Listed::new(name, owner, form, parsed))
}

/// Whether a path is that of a user's table as the daemon reads it.
fn is_in_spool(path: &Path, form: Form, world: &World) -> bool {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    form == Form::User && absolute.parent() == Some(&world.settings.places.spool)
}

/// Whose the table in a file is, and under which name the daemon would make its draws: `crond FILE` takes it as the
/// caller's and by its path, the daemon takes one of the spool by its user; standard input is as good as `crontab -l`.
fn known_as(path: &Path, form: Form, world: &World) -> (String, String) {
    let caller = world.caller();
    if path == Path::new(STDIN) {
        return (caller.clone(), caller);
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let user = absolute.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    match user {
        Some(user) if is_in_spool(path, form, world) => (user.clone(), user),
        _ => (caller, absolute.display().to_string()),
    }
}

/// The spool table of a user: root reads anybody's, others their own.
fn table_of(user: &str, world: &World) -> Result<Listed, Error> {
    if !world.is_root() && user != world.caller() {
        return Err(Error::NotYours { user: user.to_owned() });
    }
    let path = world.settings.places.spool.join(user);
    let looked = finder(world).look(&path, &mut LocalUsers::default());
    let told =
        |refusal: &Refusal| Error::Refused { said: refusal.text().unwrap_or_else(|| path.display().to_string()) };
    match looked {
        Look::NoTable => Err(Error::NoUser { user: user.to_owned() }),
        Look::Table(Found { content: Ok(file), source, .. }) => {
            found(source, &file, world).map_err(|refusal| told(&refusal))
        }
        Look::Table(Found { content: Err(refusal), .. }) if world.is_root() || !is_closed(&refusal) => {
            Err(told(&refusal))
        }
        Look::Gone(_) if world.is_root() => Err(Error::NoTable { user: user.to_owned() }),
        Look::Gone(_) | Look::Table(_) => {
            own_by_crontab(world)?.ok_or_else(|| Error::NoTable { user: user.to_owned() })
        }
    }
}

/// All tables that the daemon would load, as far as the caller may read them.
fn all(world: &World) -> Result<Vec<Listed>, Error> {
    let mut all = All { world, listed: Vec::new() };
    let errors = finder(world).scan(&mut LocalUsers::default(), &mut all);
    let mut listed = all.listed;
    for error in errors {
        let closed = error.source.kind() == io::ErrorKind::PermissionDenied && !world.is_root();
        if closed && error.path == world.settings.places.spool {
            // Without it there are still the system's tables to tell of.
            match own_by_crontab(world) {
                Ok(own) => listed.extend(own),
                Err(error) => to_stderr(&format!("cronctl: {error}\n")),
            }
        } else if !closed {
            to_stderr(&format!("cronctl: {error}\n"));
        }
    }
    // Directories come in no order; answers do.
    listed.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(listed)
}

/// Reads every table that a scan finds.
struct All<'a> {
    world: &'a World,
    listed: Vec<Listed>,
}

impl Visitor for All<'_> {
    fn has(&mut self, _: &str, _: &Stamp) -> bool {
        false
    }

    fn found(&mut self, Found { source, content, .. }: Found) {
        match content.and_then(|file| found(source, &file, self.world)) {
            Ok(listed) => self.listed.push(listed),
            // What others may not read is nothing to tell them about.
            Err(refusal) if is_closed(&refusal) && !self.world.is_root() => {}
            Err(refusal) => {
                if let Some(text) = refusal.text() {
                    to_stderr(&format!("cronctl: not loaded: {}\n", printable(text.as_bytes())));
                }
            }
        }
    }
}

fn finder(world: &World) -> Finder {
    Finder::new(world.settings.places.clone(), world.settings.site)
}

fn is_closed(refusal: &Refusal) -> bool {
    matches!(refusal.kind, RefusalKind::CannotOpen | RefusalKind::CannotStat | RefusalKind::CannotRead)
}

/// Reads a table as the daemon does.
fn found(source: Source, file: &TableFile, world: &World) -> Result<Listed, Refusal> {
    let context = world.context(source.owner.form(), "");
    let parsed = file
        .parse(&source, context.dialect, context.host, context.zones, &mut |_| {})
        .map_err(|error| unreadable(&source, &error, world.settings.site.profile))?;
    let form = source.owner.form();
    let owner = match source.owner {
        Owner::User { name, .. } => name,
        Owner::System | Owner::Caller => String::new(),
    };
    Ok(Listed::new(source.path, owner, form, parsed))
}

/// The caller's own table out of a spool that only `crontab` may read.
fn own_by_crontab(world: &World) -> Result<Option<Listed>, Error> {
    let answer =
        Command::new("crontab").arg("-l").env("LC_ALL", "C").stdin(Stdio::null()).output().map_err(Error::NoCrontab)?;
    let user = world.caller();
    if answer.status.success() {
        let path = world.settings.places.spool.join(&user).display().to_string();
        let context = world.context(Form::User, &user);
        let parsed = parse(&mut answer.stdout.as_slice(), 0, Parser::new(&context), &mut |_| {})
            .map_err(|source| Error::Read { name: path.clone(), source })?;
        return Ok(Some(Listed::new(path, user.clone(), Form::User, parsed)));
    }
    let said = String::from_utf8_lossy(&answer.stderr);
    let said = said.lines().next().unwrap_or("it failed").trim();
    if said.starts_with("no crontab for") { Ok(None) } else { Err(Error::Crontab { said: printable(said.as_bytes()) }) }
}

/// Tells the faults of the tables on standard error. Warnings are left to `check`.
pub(super) fn complain(tables: &[Listed]) -> Verdict {
    let mut verdict = Verdict::Clean;
    for listed in tables {
        for diagnostic in listed.diagnostics.iter().filter(|d| d.severity == Severity::Error) {
            to_stderr(&diagnostic.picture(&listed.name));
            verdict = Verdict::Faulty;
        }
        let unlisted = Unlisted { warnings: 0, ..listed.unlisted };
        if let Some(line) = unlisted.line(&listed.name) {
            to_stderr(&line);
        }
    }
    verdict
}

impl Listed {
    fn new(name: String, owner: String, form: Form, parsed: Parsed) -> Listed {
        let Parsed { table, diagnostics, unlisted, .. } = parsed;
        Listed { name, owner, form, table, diagnostics, unlisted }
    }

    /// Its entries.
    pub(super) fn jobs<'a>(&'a self, world: &'a World) -> impl Iterator<Item = Job<'a>> {
        self.table.entries.iter().map(move |entry| {
            let own = entry.zone.and_then(|zone| self.table.zones.get(usize::from(zone)));
            Job { listed: self, entry, zone: own.unwrap_or(world.system_zone()) }
        })
    }
}

impl<'a> Job<'a> {
    /// Its times.
    pub(super) fn recurring(&self) -> Recurring<'a> {
        Recurring { schedule: &self.entry.schedule, zone: self.zone, delay: self.entry.delay }
    }

    /// Whom it runs as.
    pub(super) fn user(&self) -> Cow<'a, str> {
        match self.listed.table.user(self.entry) {
            b"" => Cow::Borrowed(&self.listed.owner),
            named => String::from_utf8_lossy(named),
        }
    }

    /// Its command as it stands in the table.
    pub(super) fn command(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.command_bytes())
    }

    /// The same, byte for byte.
    pub(super) fn command_bytes(&self) -> &'a [u8] {
        self.listed.table.command(self.entry)
    }

    /// Its schedule as it stands in the table.
    pub(super) fn schedule_text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.listed.table.schedule_text(self.entry))
    }
}
