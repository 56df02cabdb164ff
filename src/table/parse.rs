//! From the bytes of a table to its entries and settings.

use super::command::first_percent;
use super::diagnostic::{Complaint, Diagnostic, Severity};
use super::entry;
use super::line::{Line, Lines, is_blank};
use super::setting::{self, Assignment, Meaning, Scope, ZoneList, ZoneScope};
use super::store::{Entry, Setting, Table};
use crate::schedule::{HostKey, Zones};
use std::ops::Range;

/// Whether entries name a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A user's own table: `m h dom mon dow command`.
    User,
    /// /etc/crontab and /etc/cron.d: `m h dom mon dow user command`.
    System,
}

/// Bounds of a table, as the profile's incumbent has them; beyond them is an error, never a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a command.
    pub command: usize,
    /// Most lines of a user table, if bounded.
    pub user_lines: Option<usize>,
    /// Most entries of a user table, if bounded.
    pub user_entries: Option<usize>,
    /// Most settings of a user table, if bounded.
    pub user_settings: Option<usize>,
    /// Most bytes of any table; more than `u32::MAX` counts as that.
    pub bytes: usize,
}

/// What of the language depends on the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Bounds.
    pub limits: Limits,
    /// Whether a MAILTO that is unsafe as a mailer's argument is refused at install (Debian since -187).
    pub refuse_unsafe_mailto: bool,
}

/// What a table is read with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// User or system form.
    pub form: Form,
    /// The profile's language details.
    pub dialect: &'a Dialect,
    /// The table's name for stable draws: a user's name, or the path of a system table.
    pub name: &'a str,
    /// This host, for stable draws.
    pub host: HostKey,
    /// Known time zones.
    pub zones: &'a dyn Zones,
}

/// A table and everything that was said about it.
#[derive(Debug)]
pub struct Parsed {
    /// What of it runs.
    pub table: Table,
    /// Errors and warnings in order of lines. A missing final newline is an error here (`crontab` refuses); the
    /// daemon runs the last line all the same.
    pub diagnostics: Vec<Diagnostic>,
}

impl Parsed {
    /// Whether `crontab` would install it: nothing was an error.
    pub fn is_ok(&self) -> bool {
        self.errors().next().is_none()
    }

    /// What keeps `crontab` from installing it.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|said| said.severity == Severity::Error)
    }

    /// What is probably not meant but works.
    pub fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|said| said.severity == Severity::Warning)
    }
}

impl Table {
    /// Reads a table. Never fails: what cannot be used is in the diagnostics.
    pub fn parse(source: Box<[u8]>, context: &Context<'_>) -> Parsed {
        let mut reader = Reader::new(context);
        reader.entries = Some(Vec::with_capacity(source.len() / USUAL_LINE));
        if !reader.too_big(&source) {
            reader.read(&source);
        }
        reader.end_zoneless();
        let Reader { entries, settings, zones, diagnostics, .. } = reader;
        let (entries, zones) = (entries.unwrap_or_default(), zones.into_zones());
        Parsed { table: Table { source, entries, settings, zones }, diagnostics }
    }
}

/// The longest setting that a job can be given: Linux passes no longer string to a program (MAX_ARG_STRLEN).
const LONGEST_SETTING: usize = 131_071;

/// What the incumbents say of a line that is neither setting nor entry: they read it as one that begins with a minute.
const NO_ENTRY: &str = "bad minute";

/// What cronie says of a last line without a newline. Debian's cron says that it ignores the whole table.
pub const NO_NEWLINE: &str = "missing newline before EOF";

/// What a byte order mark looks like in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes of a line, for a guess at the number of entries.
const USUAL_LINE: usize = 64;

/// A table being read, in one piece or in several.
pub(super) struct Reader<'a> {
    context: &'a Context<'a>,
    scope: Scope,
    zones: ZoneList,
    /// None where the table is only judged.
    entries: Option<Vec<Entry>>,
    settings: Vec<Setting>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Lines of the pieces before.
    lines: u32,
    /// Whether no line is read any more.
    is_full: bool,
    /// Entries and faulty lines so far: the limit is on them (cronie's user.c, load_user).
    entry_lines: usize,
    /// Whether there is a NUL in this piece.
    has_nul: bool,
    /// Whether there is a percent sign.
    has_percent: bool,
    said_crlf: bool,
    /// The complaint about the unknown zone that holds now, and how many entries do not run because of it.
    zoneless: Option<(usize, usize)>,
}

/// A table has more of something than is allowed: no line from here on is read.
struct Full;

impl<'a> Reader<'a> {
    pub(super) fn new(context: &'a Context<'a>) -> Reader<'a> {
        Reader {
            context,
            scope: Scope::default(),
            zones: ZoneList::default(),
            entries: None,
            settings: Vec::new(),
            diagnostics: Vec::new(),
            lines: 0,
            is_full: false,
            entry_lines: 0,
            has_nul: false,
            has_percent: false,
            said_crlf: false,
            zoneless: None,
        }
    }

    /// Reads the lines of a piece. Places in it are kept as if it were the whole table.
    pub(super) fn read(&mut self, piece: &[u8]) {
        if self.is_full {
            return;
        }
        self.has_nul = memchr::memchr(0, piece).is_some();
        self.has_percent = memchr::memchr(b'%', piece).is_some();
        for line in Lines::after(self.lines, piece) {
            self.lines = line.number;
            if self.line(&line).is_err() {
                self.is_full = true;
                break;
            }
        }
    }

    fn too_big(&mut self, source: &[u8]) -> bool {
        let most = self.context.dialect.limits.bytes.min(u32::MAX as usize);
        let big = source.len() > most;
        if let Some(first) = Lines::of(source).next().filter(|_| big) {
            let message = format!("expected a table of at most {most} bytes, found {}", source.len());
            self.error(&first, Complaint::new(0..1, message).help("nothing of it runs"));
        }
        big
    }

    fn line(&mut self, line: &Line<'_>) -> Result<(), Full> {
        self.within(line, self.context.dialect.limits.user_lines, line.number as usize - 1, "lines")?;
        match self.unusable(line) {
            Some(complaint) => self.fault(line, complaint)?,
            None => self.usable_line(line)?,
        }
        self.look_at_end(line);
        Ok(())
    }

    fn usable_line(&mut self, line: &Line<'_>) -> Result<(), Full> {
        let first = line.text.iter().position(|&byte| !is_blank(byte)).unwrap_or(line.text.len());
        match &line.text[first..] {
            [] | [b'#', ..] => Ok(()),
            rest => match setting::read(rest) {
                Some(assignment) => self.setting(line, first, assignment),
                None => self.entry(line, first),
            },
        }
    }

    /// What makes a whole line unusable, whatever it is.
    fn unusable(&self, line: &Line<'_>) -> Option<Complaint> {
        if line.number == 1 && line.text.starts_with(BYTE_ORDER_MARK) {
            return Some(
                Complaint::new(
                    0..BYTE_ORDER_MARK.len(),
                    "expected the first line, found a byte order mark in front of it",
                )
                .help("save the file as UTF-8 without a byte order mark (BOM)")
                .bad(NO_ENTRY),
            );
        }
        if line.text.ends_with(b"\r") && line.text.iter().all(|&byte| is_blank(byte) || byte == b'\r') {
            let end = line.text.len();
            return Some(
                Complaint::new(end - 1..end, "expected a minute from 0 to 59, found a carriage return")
                    .help("convert the file, for example with: sed -i 's/\\r$//' FILE")
                    .bad(NO_ENTRY),
            );
        }
        if !self.has_nul {
            return None;
        }
        let at = memchr::memchr(0, line.text)?;
        Some(Complaint::new(at..at + 1, "expected text, found a NUL byte").help("save the file as plain text in UTF-8"))
    }

    /// What is said about the way a line ends.
    fn look_at_end(&mut self, line: &Line<'_>) {
        if line.text.ends_with(b"\r") && !self.said_crlf {
            self.said_crlf = true;
            let at = line.text.len() - 1;
            let complaint = Complaint::new(
                at..at + 1,
                "the lines of this file end in CRLF, and the carriage return is part of a command",
            )
            .help("convert the file, for example with: sed -i 's/\\r$//' FILE");
            self.warn(line, complaint);
        }
        if !line.ended {
            let end = line.text.len();
            let complaint = Complaint::new(end..end, "missing newline before the end of the file")
                .help("crontab refuses such a table; the daemon reads its last line all the same")
                .bad(NO_NEWLINE);
            self.error(line, complaint);
        }
    }

    fn entry(&mut self, line: &Line<'_>, first: usize) -> Result<(), Full> {
        let mut warnings = Vec::new();
        let job = match entry::read(line.text, first, self.context, self.scope.delay, &mut warnings) {
            Ok(job) => job,
            Err(complaint) => return self.fault(line, *complaint),
        };
        self.count_entry(line)?;
        let command = job.text.at as usize + usize::from(job.text.command_at);
        if self.has_percent
            && let Some(percent) = first_percent(&line.text[command..])
        {
            warnings.push(entry::percent_warning(command + percent));
        }
        warnings.into_iter().for_each(|warning| self.warn(line, warning));
        let zone = match self.scope.zone {
            ZoneScope::System => None,
            ZoneScope::Named(index) => Some(index),
            ZoneScope::Unknown => {
                self.zoneless.iter_mut().for_each(|(_, entries)| *entries += 1);
                return Ok(());
            }
        };
        let Some(entries) = &mut self.entries else { return Ok(()) };
        let mut text = job.text;
        text.at += offset(line.start);
        entries.push(Entry {
            schedule: job.schedule,
            line: line.number,
            settings: offset(self.settings.len()),
            delay: job.delay,
            zone,
            flags: job.flags,
            user_len: job.user_len,
            text,
        });
        Ok(())
    }

    fn setting(
        &mut self,
        line: &Line<'_>,
        first: usize,
        assignment: Result<Assignment, Complaint>,
    ) -> Result<(), Full> {
        self.within(line, self.context.dialect.limits.user_settings, self.settings.len(), "settings")?;
        let Assignment { name, value } = match assignment {
            Ok(assignment) => assignment,
            Err(complaint) => return self.fault(line, moved(complaint, first).bad(NO_ENTRY)),
        };
        let (name, value) = (first + name.start..first + name.end, first + value.start..first + value.end);
        if name.len() + value.len() > LONGEST_SETTING {
            let message =
                format!("expected a setting of at most {LONGEST_SETTING} bytes, found {}", name.len() + value.len());
            return self.fault(line, Complaint::new(name, message));
        }
        if let Some(complaint) = setting::name_complaint(&line.text[name.clone()], name.clone()) {
            self.warn(line, complaint);
        }
        let meaning = setting::row(&line.text[name.clone()]).map_or(Meaning::Variable, |row| row.meaning);
        self.obey(line, meaning, value.clone());
        let place = |range: Range<usize>| (offset(line.start + range.start), offset(range.len()));
        self.settings.push(Setting { name: place(name), value: place(value), line: line.number });
        Ok(())
    }

    /// Does what a setting means for the entries below it.
    fn obey(&mut self, line: &Line<'_>, meaning: Meaning, at: Range<usize>) {
        let value = &line.text[at.clone()];
        match meaning {
            Meaning::Variable => {}
            Meaning::Delay => {
                let delay = setting::delay(value);
                self.scope.delay = *delay.as_ref().unwrap_or(&0);
                if let Err(complaint) = delay {
                    self.error(line, moved(complaint, at.start));
                }
            }
            Meaning::Recipients => {
                let Some(complaint) = setting::mailto_complaint(value) else { return };
                match self.context.dialect.refuse_unsafe_mailto {
                    true => self.error(line, moved(complaint, at.start)),
                    // cronie puts variables of the daemon's environment in, so `$NAME` is not for us to judge.
                    false if value.contains(&b'$') => {}
                    false => self.warn(line, moved(complaint, at.start)),
                }
            }
            Meaning::Zone => {
                self.end_zoneless();
                let (zone, complaint) = self.zones.named(value, self.context.zones);
                self.scope.zone = zone;
                let Some(complaint) = complaint.map(|complaint| moved(complaint, at.start)) else { return };
                if zone == ZoneScope::Unknown {
                    self.zoneless = Some((self.diagnostics.len(), 0));
                    self.error(line, complaint);
                } else {
                    self.warn(line, complaint);
                }
            }
        }
    }

    /// An unknown zone ends here: its complaint says how many entries do not run.
    pub(super) fn end_zoneless(&mut self) {
        let Some((said, entries)) = self.zoneless.take() else { return };
        let Some(diagnostic) = self.diagnostics.get_mut(said) else { return };
        diagnostic.help = Some(match entries {
            0 => "use a name like Europe/Berlin, or local for the system's time zone".to_owned(),
            1 => "the entry below it does not run; use a name like Europe/Berlin, or local".to_owned(),
            n => format!("the {n} entries below it do not run; use a name like Europe/Berlin, or local"),
        });
    }

    /// A line that cannot be used. It counts as an entry: the limit bounds what is said, too.
    fn fault(&mut self, line: &Line<'_>, complaint: Complaint) -> Result<(), Full> {
        self.count_entry(line)?;
        self.error(line, complaint);
        Ok(())
    }

    fn count_entry(&mut self, line: &Line<'_>) -> Result<(), Full> {
        self.within(line, self.context.dialect.limits.user_entries, self.entry_lines, "entries")?;
        self.entry_lines += 1;
        Ok(())
    }

    /// Says so when a user's table has more of something than is allowed; `already` is how many there are without this line.
    #[inline]
    fn within(&mut self, line: &Line<'_>, most: Option<usize>, already: usize, what: &str) -> Result<(), Full> {
        match most {
            Some(most) if already >= most && self.context.form == Form::User => Err(self.full(line, most, what)),
            _ => Ok(()),
        }
    }

    #[cold]
    fn full(&mut self, line: &Line<'_>, most: usize, what: &str) -> Full {
        let complaint = Complaint::new(0..1, format!("expected at most {most} {what}, found more"))
            .help("nothing from here on runs");
        self.error(line, complaint);
        Full
    }

    fn error(&mut self, line: &Line<'_>, complaint: Complaint) {
        self.diagnostics.push(complaint.at(Severity::Error, line));
    }

    fn warn(&mut self, line: &Line<'_>, complaint: Complaint) {
        self.diagnostics.push(complaint.at(Severity::Warning, line));
    }
}

/// The complaint about a piece of a line as one about the line.
fn moved(mut complaint: Complaint, by: usize) -> Complaint {
    complaint.span.start += by;
    complaint.span.end += by;
    complaint
}

/// An offset in a table. Tables are not bigger than `u32::MAX` bytes: see `too_big`.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
