//! The parser: from the bytes of a table to its entries and settings.

use super::after::{Dependencies, MOST_JOBS_OF_TABLE};
use super::context::{Context, Machine};
use super::diagnostic::{Diagnostic, LineProblem, Severity};
use super::entry::{self, JobLine};
use super::environment::{EnvironmentSize, LARGEST_ENVIRONMENT};
use super::form::Form;
use super::intern::Interner;
use super::job_scope::{JobScope, Variant};
use super::line::{LONGEST_LINE, Line, Lines, Unfinished, is_blank};
use super::lints::{self, SettingLine};
use super::memory::{OutOfMemory, append, push};
use super::policy::{Ping, Policy};
use super::policy_warnings;
use super::setting::{self, Assignment, Meaning, Scope, ZoneList, ZoneScope};
use super::store::{Crontab, Entry, Links, Setting};
use crate::schedule::printable;
use std::ops::Range;
use std::sync::Arc;

/// A parsed table and its diagnostics.
#[derive(Debug)]
pub struct Parsed {
    /// Its entries and settings that can be used.
    pub table: Crontab,
    /// Errors and warnings in order of lines, of each kind the first [`MOST_LISTED`], and the error from which on nothing was read. A
    /// missing final newline is an error here (`crontab` refuses); the daemon runs the last line all the same.
    pub diagnostics: Vec<Diagnostic>,
    /// The number of further diagnostics.
    pub unlisted: Unlisted,
    /// How many newlines the table has, as far as it was read.
    pub newlines: usize,
}

/// The number of diagnostics that are not listed, so that those of a faulty table do not take many times its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unlisted {
    /// Errors beyond the first [`MOST_LISTED`].
    pub errors: usize,
    /// Warnings beyond the first [`MOST_LISTED`].
    pub warnings: usize,
}

/// Most errors, and most warnings, of a table that are listed.
pub const MOST_LISTED: usize = 100;

impl Unlisted {
    /// `FILE: 7 more errors and 1 more warning, not listed`, with a newline. None: everything is listed.
    pub fn line(&self, file: &str) -> Option<String> {
        let count = |number: usize, what: &str| match number {
            0 => None,
            1 => Some(format!("1 more {what}")),
            n => Some(format!("{n} more {what}s")),
        };
        let counts: Vec<String> =
            [count(self.errors, "error"), count(self.warnings, "warning")].into_iter().flatten().collect();
        let file = printable(file.as_bytes());
        (!counts.is_empty()).then(|| format!("{file}: {}, not listed\n", counts.join(" and ")))
    }

    /// The number of errors and warnings together.
    pub fn total(&self) -> usize {
        self.errors + self.warnings
    }
}

impl Parsed {
    /// Whether `crontab` would install it: nothing was an error.
    pub fn is_ok(&self) -> bool {
        self.errors().next().is_none()
    }

    /// The listed errors: what keeps `crontab` from installing it.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|said| said.severity == Severity::Error)
    }

    /// The listed warnings: what is probably not meant but works.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|said| said.severity == Severity::Warning)
    }
}

impl Crontab {
    /// Reads a table that is in memory as a whole. What cannot be used is in the diagnostics.
    pub fn parse(source: &[u8], context: &Context<'_>) -> Result<Parsed, OutOfMemory> {
        let mut parser = Parser::new(context);
        parser.feed(source)?;
        parser.finish()
    }
}

/// The longest `NAME=VALUE` that a job can be given: Linux passes no longer string to a program (MAX_ARG_STRLEN, which
/// counts the NUL at its end).
const LONGEST_SETTING: usize = 131_071;

/// Most bytes of a SHELL that are kept for the warnings below it.
const LONGEST_SHELL: usize = 4096;

/// Most entries of a user's table of which one machine of a fleet runs each slot: all users of all machines share the fleet's engine.
const MOST_FLEET_ENTRIES: usize = 1_000;

/// What the reference implementations say of a line that is neither setting nor entry: they read it as one that begins with a minute.
const NO_ENTRY: &str = "bad minute";

/// What cronie says of a last line without a newline. Debian's cron says that it ignores the whole table.
pub const NO_NEWLINE: &str = "missing newline before EOF";

/// The byte order mark in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A table of fewer bytes gets memory for as many entries as it has lines.
const SMALL: usize = 4096;

/// Bytes of the first line that are kept for the diagnostic about a table that is too large.
const HEAD: usize = 512;

/// Reads a table that comes in pieces, as they are read from a file. Of the table it keeps the entries and the settings, and
/// of a line that has not ended yet no more than the longest line may have.
pub struct Parser<'a> {
    context: &'a Context<'a>,
    /// The machine that the table is for. None: there are no warnings that depend on it.
    machine: Option<&'a dyn Machine>,
    /// Whether the table is only checked. Then nothing of it is kept.
    checks_only: bool,
    /// Whether `crontab` has installed the table, with its header.
    is_installed: bool,
    scope: Scope,
    jobs: JobScope,
    dependencies: Dependencies,
    zones: ZoneList,
    environment: EnvironmentSize,
    interner: Interner,
    table: Crontab,
    diagnostics: Vec<Diagnostic>,
    listed_errors: usize,
    listed_warnings: usize,
    unlisted: Unlisted,
    /// The size of the table in bytes according to its file.
    expected: u64,
    /// The number of bytes so far.
    seen: u64,
    /// The beginning of the table's first line.
    head: Vec<u8>,
    /// The end of the last piece, when that was in the middle of a line.
    unfinished: Unfinished,
    lines: u32,
    newlines: usize,
    /// Lines of the header so far.
    header_lines: usize,
    /// Whether no line is read any more.
    is_full: bool,
    is_too_large: bool,
    /// Entries and faulty lines so far: the limit is on them (cronie's user.c, load_user).
    entry_lines: usize,
    /// Entries so far of which one machine of a fleet runs each slot.
    fleet_entries: usize,
    setting_lines: usize,
    /// Whether there is a NUL in this piece.
    has_nul: bool,
    has_warned_of_crlf: bool,
    /// The problem about the unknown zone that holds now, if it is listed, and how many entries do not run because of it.
    zoneless: Option<(Option<usize>, usize)>,
    /// The value of the last SHELL.
    shell: Option<Vec<u8>>,
    /// A TZ that was perhaps meant as CRON_TZ. It is looked up, and warned of, with the first entry that it would have an effect on.
    zone_of_jobs: Option<ZoneOfJobs>,
    /// Whether there is a CRON_TZ.
    has_zone: bool,
    /// Whether diagnostics are listed that belong to lines above.
    is_out_of_order: bool,
}

/// Why no line from here on is read.
enum Stop {
    /// The table has more of something than is allowed.
    Full,
    OutOfMemory,
}

impl From<OutOfMemory> for Stop {
    fn from(OutOfMemory: OutOfMemory) -> Stop {
        Stop::OutOfMemory
    }
}

/// A setting of `TZ`, kept for a warning about the entries below it.
struct ZoneOfJobs {
    /// The number of its line, counted from 1.
    line: u32,
    /// The bytes of the whole line, for a diagnostic.
    text: Vec<u8>,
    /// Where its value stands in the line.
    value: Range<usize>,
}

impl<'a> Parser<'a> {
    /// A parser that has read nothing yet.
    pub fn new(context: &'a Context<'a>) -> Parser<'a> {
        Parser {
            context,
            machine: None,
            checks_only: false,
            is_installed: false,
            scope: Scope::default(),
            jobs: JobScope::default(),
            dependencies: Dependencies::default(),
            zones: ZoneList::default(),
            environment: EnvironmentSize::default(),
            interner: Interner::default(),
            table: Crontab::default(),
            diagnostics: Vec::new(),
            listed_errors: 0,
            listed_warnings: 0,
            unlisted: Unlisted::default(),
            expected: 0,
            seen: 0,
            head: Vec::new(),
            unfinished: Unfinished::default(),
            lines: 0,
            newlines: 0,
            header_lines: 0,
            is_full: false,
            is_too_large: false,
            entry_lines: 0,
            fleet_entries: 0,
            setting_lines: 0,
            has_nul: false,
            has_warned_of_crlf: false,
            zoneless: None,
            shell: None,
            zone_of_jobs: None,
            has_zone: false,
            is_out_of_order: false,
        }
    }

    /// Warns of what this machine does not have.
    pub fn on_machine(mut self, machine: &'a dyn Machine) -> Parser<'a> {
        self.machine = Some(machine);
        self
    }

    /// Only checks the table: the result has no entries and no settings.
    pub fn check_only(mut self) -> Parser<'a> {
        self.checks_only = true;
        self
    }

    /// Parses a user's table in the spool, to which `crontab` may have added its header.
    pub fn of_installed(mut self) -> Parser<'a> {
        self.is_installed = true;
        self
    }

    /// Sets the size of the table in bytes according to its file. A table that is too large is then not read to its end.
    pub fn expect_size(&mut self, bytes: u64) {
        self.expected = bytes;
    }

    /// Reads a piece of the table. It may begin and end anywhere.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), OutOfMemory> {
        if self.seen == 0 {
            let first = piece.get(..HEAD).unwrap_or(piece);
            append(&mut self.head, first.split(|&byte| byte == b'\n').next().unwrap_or_default())?;
        }
        self.seen += piece.len() as u64;
        if self.seen.max(self.expected) > self.most_bytes() {
            self.drop_all();
            return Ok(());
        }
        let mut piece = piece;
        if !self.unfinished.is_empty() {
            let end = memchr::memchr(b'\n', piece);
            let (rest, next) = piece.split_at(end.unwrap_or(piece.len()));
            self.unfinished.push(rest)?;
            if end.is_none() {
                return Ok(());
            }
            self.read_unfinished(true)?;
            piece = next.get(1..).unwrap_or_default();
        }
        let (lines, rest) = piece.split_at(memchr::memrchr(b'\n', piece).map_or(0, |newline| newline + 1));
        self.read_lines(lines)?;
        self.unfinished.push(rest)
    }

    /// Whether nothing of the table can run any more, whatever follows.
    pub fn is_too_large(&self) -> bool {
        self.is_too_large
    }

    /// Reads the rest after the last newline, and returns the result.
    pub fn finish(mut self) -> Result<Parsed, OutOfMemory> {
        if !self.unfinished.is_empty() {
            self.read_unfinished(false)?;
        }
        self.end_zoneless();
        self.check_dependencies();
        if self.is_out_of_order {
            self.diagnostics.sort_by_key(|diagnostic| diagnostic.line);
        }
        let Parser { mut table, diagnostics, unlisted, newlines, .. } = self;
        table.entries.shrink_to_fit();
        table.settings.shrink_to_fit();
        table.timings.shrink_to_fit();
        table.commands.shrink_to_fit();
        Ok(Parsed { table, diagnostics, unlisted, newlines })
    }

    fn most_bytes(&self) -> u64 {
        let limits = &self.context.dialect.limits;
        u64::from(if self.is_installed { limits.installed_bytes() } else { limits.bytes(self.context.form) })
    }

    /// Forgets all that was read and says that the table is too large.
    fn drop_all(&mut self) {
        if self.is_too_large {
            return;
        }
        let head = std::mem::take(&mut self.head);
        *self = Parser {
            expected: self.expected,
            seen: self.seen,
            is_installed: self.is_installed,
            ..Parser::new(self.context)
        };
        self.is_too_large = true;
        let most = self.context.dialect.limits.bytes(self.context.form);
        let message = format!("expected a table of at most {most} bytes, found more: nothing of it runs");
        let line = Line { number: 1, text: &head, length: head.len(), ended: true };
        self.error(&line, LineProblem::new(0..1, message));
    }

    fn read_lines(&mut self, piece: &[u8]) -> Result<(), OutOfMemory> {
        if self.is_full || piece.is_empty() {
            return Ok(());
        }
        self.find_nul(piece);
        self.make_room(piece)?;
        for line in Lines::after(self.lines, piece) {
            if self.is_full {
                break;
            }
            self.read_line(&line)?;
        }
        Ok(())
    }

    /// Reserves memory for the entries of a small table at once, so that it does not grow in steps.
    fn make_room(&mut self, piece: &[u8]) -> Result<(), OutOfMemory> {
        if self.checks_only || self.newlines > 0 || piece.len() > SMALL {
            return Ok(());
        }
        let lines = memchr::memchr_iter(b'\n', piece).count();
        self.table.entries.try_reserve_exact(lines)?;
        self.table.timings.try_reserve_exact(lines)?;
        Ok(self.table.commands.try_reserve_exact(piece.len())?)
    }

    /// Reads the line that earlier pieces have begun.
    fn read_unfinished(&mut self, ended: bool) -> Result<(), OutOfMemory> {
        let unfinished = std::mem::take(&mut self.unfinished);
        if !self.is_full {
            self.find_nul(unfinished.text());
            self.read_line(&unfinished.line(self.lines.saturating_add(1), ended))?;
        }
        self.unfinished = unfinished.emptied();
        Ok(())
    }

    fn find_nul(&mut self, piece: &[u8]) {
        self.has_nul = memchr::memchr(0, piece).is_some();
    }

    fn read_line(&mut self, line: &Line<'_>) -> Result<(), OutOfMemory> {
        self.lines = line.number;
        self.newlines += usize::from(line.ended);
        match self.line(line) {
            Ok(()) => Ok(()),
            Err(Stop::Full) => {
                self.is_full = true;
                Ok(())
            }
            Err(Stop::OutOfMemory) => Err(OutOfMemory),
        }
    }

    fn line(&mut self, line: &Line<'_>) -> Result<(), Stop> {
        let number = line.number as usize - 1;
        let limits = &self.context.dialect.limits;
        if self.is_installed && self.header_lines == number && number < limits.header_lines {
            self.header_lines += usize::from(line.text.starts_with(b"#"));
        }
        self.within(line, limits.user_lines, number - self.header_lines.min(number), "lines")?;
        if line.length > LONGEST_LINE {
            return self.too_long(&line.cut());
        }
        match self.unusable(line) {
            Some(problem) => {
                self.jobs.end_unusable(line.text);
                self.fault(line, problem)?;
            }
            None => self.usable_line(line)?,
        }
        self.check_line_end(line);
        Ok(())
    }

    /// Handles a line of which only the beginning was kept: a comment, or an error.
    fn too_long(&mut self, line: &Line<'_>) -> Result<(), Stop> {
        if is_comment_or_blank(line.text) && line.text.iter().any(|&byte| !is_blank(byte)) {
            return Ok(());
        }
        self.jobs.end_unusable(line.text);
        let message = format!("expected a line of at most {LONGEST_LINE} bytes, found {}", line.length);
        self.fault(line, LineProblem::new(0..1, message))
    }

    fn usable_line(&mut self, line: &Line<'_>) -> Result<(), Stop> {
        let first = line.text.iter().position(|&byte| !is_blank(byte)).unwrap_or(line.text.len());
        match &line.text[first..] {
            [] | [b'#', ..] => Ok(()),
            rest => match setting::read(rest) {
                Some(assignment) => self.setting(line, first, assignment),
                None => self.entry(line, first),
            },
        }
    }

    /// The problem about a line that is unusable whatever its kind.
    fn unusable(&self, line: &Line<'_>) -> Option<LineProblem> {
        if line.number == 1 && line.text.starts_with(BYTE_ORDER_MARK) {
            return Some(
                LineProblem::new(0..BYTE_ORDER_MARK.len(), "the file starts with a byte order mark")
                    .help("save the file as UTF-8 without a byte order mark (BOM)")
                    .reference_message(NO_ENTRY),
            );
        }
        if line.text.ends_with(b"\r") && line.text.iter().all(|&byte| is_blank(byte) || byte == b'\r') {
            let end = line.text.len();
            return Some(
                LineProblem::new(end - 1..end, "expected a minute from 0 to 59, found a carriage return")
                    .help("convert the file, for example with: sed -i 's/\\r$//' FILE")
                    .reference_message(NO_ENTRY),
            );
        }
        if !self.has_nul {
            return None;
        }
        let at = memchr::memchr(0, line.text)?;
        Some(
            LineProblem::new(at..at + 1, "expected text, found a NUL byte")
                .help("save the file as plain text in UTF-8"),
        )
    }

    /// Warns about the way a line ends.
    fn check_line_end(&mut self, line: &Line<'_>) {
        if line.text.ends_with(b"\r") && !self.has_warned_of_crlf {
            self.has_warned_of_crlf = true;
            let at = line.text.len() - 1;
            let problem = LineProblem::new(
                at..at + 1,
                "the lines of this file end in CRLF, and the carriage return is part of a command",
            )
            .help("convert the file, for example with: sed -i 's/\\r$//' FILE");
            self.warn(line, problem);
        }
        // Every reference implementation lets a comment or blanks go without.
        if !line.ended && !is_comment_or_blank(line.text) {
            let end = line.text.len();
            let problem = LineProblem::new(end..end, "missing newline before the end of the file")
                .help("crontab refuses such a table; the daemon reads its last line all the same")
                .reference_message(NO_NEWLINE);
            self.error(line, problem);
        }
    }

    fn entry(&mut self, line: &Line<'_>, first: usize) -> Result<(), Stop> {
        let mut warnings = Vec::new();
        let next = self.jobs.take_next();
        let fleet = self.context.known.fleet.filter(|_| self.jobs.is_of_fleet());
        let context = Context { host: fleet.map_or(self.context.host, |fleet| fleet.key), ..*self.context };
        let job = match entry::read(line.text, first, &context, self.scope.delay, &mut warnings) {
            Ok(job) => job,
            Err(problem) => {
                // The error is reported once, not again by each entry that waits for this one.
                if let (Some(name), Form::User) = (next.name, self.context.form) {
                    self.dependencies.note_faulty(name)?;
                }
                return self.fault(line, *problem);
            }
        };
        if self.environment.is_too_large() {
            let message =
                format!("expected an environment of at most {LARGEST_ENVIRONMENT} bytes for this entry, found more");
            let help = "the settings above it count, each as NAME=VALUE and a byte for its end";
            return self.fault(line, LineProblem::new(first..first + 1, message).help(help));
        }
        if self.dependencies.is_full(job.after.len()) {
            let message =
                format!("expected at most {MOST_JOBS_OF_TABLE} names after @after in all of a table, found more");
            return self.fault(line, LineProblem::new(schedule_place(&job), message));
        }
        if self.jobs.is_of_fleet()
            && let Some(what) = entry::without_fleet_slots(&job.schedule)
        {
            let problem = LineProblem::new(
                schedule_place(&job),
                format!("expected a schedule with times for CRON_FLEET=one, found {what}"),
            );
            return self
                .fault(line, problem.help("write CRON_FLEET=each above this entry, so that each machine runs it"));
        }
        if self.jobs.is_of_fleet() && self.context.form == Form::User {
            self.fleet_entries += 1;
            if self.fleet_entries > MOST_FLEET_ENTRIES {
                let message = format!(
                    "expected at most {MOST_FLEET_ENTRIES} entries with CRON_FLEET=one in a user's table, found more"
                );
                return self.fault(line, LineProblem::new(schedule_place(&job), message));
            }
        }
        self.count_entry(line)?;
        let shell = self.shell.as_deref();
        lints::check_job(&lints::Job::new(&job, self.context, self.machine, shell), &mut warnings);
        self.list_zone_of_jobs(&job);
        let policy = self.policy(line.number, &job, next.ping, &mut warnings);
        let full_name = match &next.name {
            Some(name) => self.give_name(line, &job, name, &mut warnings)?,
            None => None,
        };
        let name = next.name.filter(|_| full_name.is_some());
        let after: Box<[Arc<str>]> = job.after.iter().map(|job| Arc::clone(&job.job)).collect();
        if !job.after.is_empty() {
            self.dependencies.wait(line, full_name, job.after)?;
        }
        warnings.into_iter().for_each(|warning| self.warn(line, warning));
        let zone = match &self.scope.zone {
            ZoneScope::System => fleet.map(|fleet| fleet.zone),
            ZoneScope::Named(zone) => Some(zone),
            ZoneScope::Unknown => {
                self.zoneless.iter_mut().for_each(|(_, entries)| *entries += 1);
                return Ok(());
            }
        };
        if self.checks_only {
            return Ok(());
        }
        let entry = Entry {
            line: line.number,
            settings: u32::try_from(self.table.settings.len()).unwrap_or(u32::MAX),
            timing: self.interner.timing(job.schedule, job.schedule_text, zone, job.delay, &mut self.table.timings)?,
            flags: job.flags,
            command: self.keep_command(job.command)?,
            user: job.user.map(|user| self.interner.user(&String::from_utf8_lossy(user))).transpose()?,
            policy,
            links: (name.is_some() || !after.is_empty()).then(|| Box::new(Links { name, after })),
        };
        Ok(push(&mut self.table.entries, entry)?)
    }

    /// Adds a command to those of the table, unless the entry before has the same.
    fn keep_command(&mut self, command: &[u8]) -> Result<Range<u32>, OutOfMemory> {
        if let Some(before) = self.table.entries.last()
            && self.table.command(before) == command
        {
            return Ok(before.command.clone());
        }
        let commands = &mut self.table.commands;
        let end = |commands: &Vec<u8>| u32::try_from(commands.len()).map_err(|_| OutOfMemory);
        let start = end(commands)?;
        append(commands, command)?;
        Ok(start..end(commands)?)
    }

    /// Returns the policy of an entry and adds warnings about it. None: the default.
    fn policy(
        &mut self,
        line: u32,
        job: &JobLine<'_>,
        ping: Option<Ping>,
        warnings: &mut Vec<LineProblem>,
    ) -> Option<Arc<Policy>> {
        if self.jobs.is_unset() && ping.is_none() && !job.flags.single {
            return None;
        }
        let place = schedule_place(job);
        let user = job.user.unwrap_or_default();
        let is_unprivileged = self.context.form == Form::User || user != b"root";
        if is_unprivileged && self.jobs.has_negative_nice() {
            let message = format!("the nice value of CRON_LIMITS has no effect on entries of {}", setting::found(user));
            let problem = LineProblem::new(place.clone(), message);
            warnings.push(problem.help("only entries of root may have a nice value below 0"));
        }
        let variant = Variant {
            is_single: job.flags.single,
            mails_failures_only: job.flags.mail_only_on_failure,
            is_unprivileged,
            kind: None,
        };
        policy_warnings::of(&self.jobs.policy(variant, None), &job.schedule, &place, warnings);
        warnings.extend(self.jobs.check_group(line, &place));
        let policy = self.jobs.policy(variant.with_schedule(job.schedule.kind()), ping);
        (!Arc::ptr_eq(&policy, &Policy::shared_default())).then_some(policy)
    }

    /// Gives an entry its name, unless one above it has that already. The full name, with the user in a system table.
    fn give_name(
        &mut self,
        line: &Line<'_>,
        job: &JobLine<'_>,
        name: &Arc<str>,
        warnings: &mut Vec<LineProblem>,
    ) -> Result<Option<Arc<str>>, OutOfMemory> {
        let full_name = match self.context.form {
            Form::User => Arc::clone(name),
            Form::System => entry::full_name(job.user.unwrap_or_default(), name),
        };
        let Err(other) = self.dependencies.give_name(&full_name, line.number)? else {
            return Ok(Some(full_name));
        };
        let message = format!("the name {full_name} is already used in line {other}");
        let problem = LineProblem::new(schedule_place(job), message);
        warnings.push(problem.help("this entry gets a name that is derived from its command"));
        Ok(None)
    }

    /// Says which jobs that entries wait for are unknown or wait for each other.
    fn check_dependencies(&mut self) {
        let dependencies = std::mem::take(&mut self.dependencies);
        dependencies.check(self.context.form, self.is_installed, MOST_LISTED, |severity, diagnostic| {
            self.is_out_of_order = true;
            self.list(severity, diagnostic);
        });
    }

    /// Lists the warning about a TZ above, if it would have an effect on this entry.
    fn list_zone_of_jobs(&mut self, job: &JobLine<'_>) {
        if self.zone_of_jobs.is_some()
            && lints::depends_on_zone(job.schedule_text)
            && let Some(ZoneOfJobs { line, text, value }) = self.zone_of_jobs.take()
            && let Some(problem) = lints::zone_of_jobs(text.get(value.clone()).unwrap_or_default(), self.context)
        {
            self.is_out_of_order = true;
            self.list(Severity::Warning, || {
                let LineProblem { span, message, help, .. } = problem.moved(value.start);
                Diagnostic::new(Severity::Warning, line, &text, span, &message, help)
            });
        }
    }

    fn setting(
        &mut self,
        line: &Line<'_>,
        first: usize,
        assignment: Result<Assignment, LineProblem>,
    ) -> Result<(), Stop> {
        self.within(line, self.context.dialect.limits.user_settings, self.setting_lines, "settings")?;
        let Assignment { name, value } = match assignment {
            Ok(assignment) => assignment,
            Err(problem) => return self.fault(line, problem.moved(first).reference_message(NO_ENTRY)),
        };
        let (name, value) = (first + name.start..first + name.end, first + value.start..first + value.end);
        let length = name.len() + 1 + value.len();
        if length > LONGEST_SETTING {
            let message = format!("expected NAME=VALUE of at most {LONGEST_SETTING} bytes, found {length}");
            return self.fault(line, LineProblem::new(name, message).help("the entries below it run without it"));
        }
        if let Some(problem) = setting::name_problem(&line.text[name.clone()], name.clone()) {
            self.warn(line, problem);
        }
        let meaning = setting::row(&line.text[name.clone()]).map_or(Meaning::Variable, |row| row.meaning);
        if self.apply(line, meaning, value.clone()) {
            self.check_setting(line, &name, &value, meaning);
        }
        self.setting_lines += 1;
        self.environment.set(&line.text[name.clone()], value.len())?;
        // Once no entry can run any more for all the settings above it, those below are of no use either.
        if self.checks_only || self.environment.is_beyond_repair() {
            return Ok(());
        }
        let setting = Setting {
            name: self.interner.text(&line.text[name])?,
            value: self.interner.text(&line.text[value])?,
            line: line.number,
        };
        Ok(push(&mut self.table.settings, setting)?)
    }

    /// Warns about a setting that is probably not meant as it is.
    fn check_setting(&mut self, line: &Line<'_>, name: &Range<usize>, value: &Range<usize>, meaning: Meaning) {
        let place = value.start;
        let is_literal = place.checked_sub(1).and_then(|quote| line.text.get(quote)) == Some(&b'\'');
        let (name, value) = (&line.text[name.clone()], &line.text[value.clone()]);
        let dialect = self.context.dialect;
        let setting = SettingLine {
            name,
            value,
            is_literal,
            meaning,
            address_marks: dialect.address_marks,
            are_addresses_expanded: !dialect.refuse_unsafe_mailto,
            machine: self.machine,
            is_set_above: &|name| self.environment.has(name),
        };
        if let Some(problem) = lints::check_setting(&setting) {
            self.warn(line, problem.moved(place));
        }
        match name {
            b"SHELL" => self.shell = Some(value.get(..LONGEST_SHELL).unwrap_or(value).to_vec()),
            b"TZ" if !self.has_zone => {
                let value = place..place + value.len();
                self.zone_of_jobs = Some(ZoneOfJobs { line: line.number, text: line.cut().text.to_vec(), value });
            }
            _ => {}
        }
    }

    /// Applies a setting to the entries below it. Returns whether nothing is wrong with it.
    fn apply(&mut self, line: &Line<'_>, meaning: Meaning, at: Range<usize>) -> bool {
        let value = &line.text[at.clone()];
        match meaning {
            Meaning::Variable => return true,
            Meaning::Job(setting) => {
                if let Some(problem) = self.jobs.set(setting, value, self.context.form, self.context.known.calendars) {
                    self.warn(line, problem.moved(at.start));
                    return false;
                }
            }
            Meaning::Delay => {
                let delay = setting::delay(value);
                self.scope.delay = *delay.as_ref().unwrap_or(&0);
                if let Err(problem) = delay {
                    self.error(line, problem.moved(at.start));
                    return false;
                }
            }
            Meaning::Recipients => {
                let dialect = self.context.dialect;
                let problem = setting::mailto_problem(value, dialect.address_marks);
                let Some((is_refused, problem)) = problem else { return true };
                // cronie puts variables of the daemon's environment in, so `$NAME` is not for us to judge.
                if dialect.refuse_unsafe_mailto || !value.contains(&b'$') {
                    let is_error = dialect.refuse_unsafe_mailto && is_refused;
                    let severity = if is_error { Severity::Error } else { Severity::Warning };
                    self.list(severity, || problem.moved(at.start).at(severity, line));
                    return false;
                }
            }
            Meaning::Zone => {
                self.end_zoneless();
                (self.has_zone, self.zone_of_jobs) = (true, None);
                let (zone, problem) = self.zones.named(value, self.context.known.zones);
                let is_unknown = matches!(zone, ZoneScope::Unknown);
                self.scope.zone = zone;
                let Some(problem) = problem.map(|problem| problem.moved(at.start)) else { return true };
                if is_unknown {
                    let place = self.error(line, problem);
                    self.zoneless = Some((place, 0));
                } else {
                    self.warn(line, problem);
                }
                return false;
            }
        }
        true
    }

    /// Ends the scope of an unknown zone: completes its problem with the number of entries that do not run.
    fn end_zoneless(&mut self) {
        let Some((Some(said), entries)) = self.zoneless.take() else { return };
        let Some(diagnostic) = self.diagnostics.get_mut(said) else { return };
        diagnostic.help = Some(match entries {
            0 => "use a name like Europe/Berlin, or local for the system's time zone".to_owned(),
            1 => "the entry below it does not run; use a name like Europe/Berlin, or local".to_owned(),
            n => format!("the {n} entries below it do not run; use a name like Europe/Berlin, or local"),
        });
    }

    /// Lists the error of a line that cannot be used. The line counts as an entry, so that the limit bounds the errors, too.
    fn fault(&mut self, line: &Line<'_>, problem: LineProblem) -> Result<(), Stop> {
        self.count_entry(line)?;
        self.error(line, problem);
        Ok(())
    }

    fn count_entry(&mut self, line: &Line<'_>) -> Result<(), Stop> {
        self.within(line, self.context.dialect.limits.user_entries, self.entry_lines, "entries")?;
        self.entry_lines += 1;
        Ok(())
    }

    /// Says so when a user's table has more of something than is allowed; `already` is how many there are without this line.
    #[inline]
    fn within(&mut self, line: &Line<'_>, most: Option<usize>, already: usize, what: &str) -> Result<(), Stop> {
        match most {
            Some(most) if already >= most && self.context.form == Form::User => Err(self.full(line, most, what)),
            _ => Ok(()),
        }
    }

    #[cold]
    fn full(&mut self, line: &Line<'_>, most: usize, what: &str) -> Stop {
        let problem = LineProblem::new(0..1, format!("expected at most {most} {what}, found more"))
            .help("nothing from here on runs");
        // Listed in any case, if there is memory: no other fault costs as much.
        match push(&mut self.diagnostics, problem.at(Severity::Error, line)) {
            Ok(()) => Stop::Full,
            Err(OutOfMemory) => Stop::OutOfMemory,
        }
    }

    /// Lists an error, or counts it. Returns its index in the list.
    fn error(&mut self, line: &Line<'_>, problem: LineProblem) -> Option<usize> {
        self.list(Severity::Error, || problem.at(Severity::Error, line)).then(|| self.diagnostics.len() - 1)
    }

    fn warn(&mut self, line: &Line<'_>, problem: LineProblem) {
        self.list(Severity::Warning, || problem.at(Severity::Warning, line));
    }

    /// Lists a diagnostic, or counts it. Returns whether it is listed.
    fn list(&mut self, severity: Severity, diagnostic: impl FnOnce() -> Diagnostic) -> bool {
        let (listed, unlisted) = match severity {
            Severity::Error => (&mut self.listed_errors, &mut self.unlisted.errors),
            Severity::Warning => (&mut self.listed_warnings, &mut self.unlisted.warnings),
        };
        if *listed == MOST_LISTED || self.diagnostics.try_reserve(1).is_err() {
            *unlisted += 1;
            return false;
        }
        *listed += 1;
        self.diagnostics.push(diagnostic());
        true
    }
}

/// The place of an entry's schedule in its line.
fn schedule_place(job: &JobLine<'_>) -> Range<usize> {
    job.schedule_at..job.schedule_at + job.schedule_text.len()
}

/// Whether a line has nothing in it that could run.
fn is_comment_or_blank(text: &[u8]) -> bool {
    matches!(text.iter().find(|&&byte| !is_blank(byte)), None | Some(b'#'))
}
