//! The log: writes one line for each record to the selected target. It never blocks and never returns an error to the
//! caller. Its file `journal` is for systemd-journald, not for the journals of this program.
//!
//! Records that cannot be written at once wait in a bounded queue. Records that do not fit in it are counted, and the number
//! lost is logged as soon as the log accepts records again.

mod destination;
mod fields;
mod journal;
mod line;
mod record;
mod sink;

pub use fields::of_start as fields_of_start;
pub use record::{Ident, Level, LogRecord};

use super::format_count;
use crate::profile::Profile;
use crate::schedule::{Timestamp, Zone};
use crate::sys::clock::{self, LocalTime};
use destination::Destination;
use sink::Sink;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

/// The target of the log, as `--log` selects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The system log: lines in RFC 3164 form to the /dev/log socket, facility cron. If that socket is the journal's and no
    /// syslog daemon gets a copy, records with fields to the journal.
    Syslog,
    /// The journal with fields, even if a syslog daemon gets copies from it.
    Journal,
    /// Lines of text on standard error.
    Stderr,
    /// JSON lines on standard error.
    Json,
}

/// Asked for the zone of the stamps of text lines. It may change while the program runs.
pub type ZoneSource = Box<dyn FnMut() -> Arc<Zone> + Send>;

/// The format of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Syslog,
    Journal,
    Text,
    Json,
}

/// The socket of the system log.
const DEV_LOG: &str = "/dev/log";

/// An open log with its target, format and queue.
#[derive(Debug)]
pub struct Log {
    target: Target,
    form: Form,
    profile: &'static Profile,
    sink: Sink,
    /// The last second that was converted to local time, because each conversion reads the state of the zone's file.
    second: Option<(i64, LocalTime)>,
    stamps: Stamps,
    /// Records that were lost.
    lost: u64,
}

/// The stamps of text lines.
#[derive(Default)]
struct Stamps {
    /// None: the stamps show the time as libc does.
    zone: Option<ZoneSource>,
    /// The last second that was written.
    second: Option<(i64, String)>,
}

impl std::fmt::Debug for Stamps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stamps").field("second", &self.second).finish_non_exhaustive()
    }
}

impl Log {
    /// Opens the log. A missing /dev/log is not an error: connecting is tried again at each record.
    pub fn open(target: Target, profile: &'static Profile) -> Log {
        let form = form(target);
        Log {
            target,
            form,
            profile,
            sink: Sink::new(destination(form)),
            second: None,
            stamps: Stamps::default(),
            lost: 0,
        }
    }

    /// Stamps the lines on standard error in this zone from now on: that of the schedules, which libc does not know on a machine without
    /// zone files.
    pub fn stamp_in(&mut self, zone: ZoneSource) {
        self.stamps.zone = Some(zone);
    }

    /// Whether records are written to standard error.
    pub fn is_on_stderr(&self) -> bool {
        matches!(self.form, Form::Text | Form::Json)
    }

    /// Whether a daemon listens at /dev/log. If none does, a daemon in the foreground logs to standard error.
    pub fn syslog_answers() -> bool {
        Destination::syslog(DEV_LOG).answers()
    }

    /// Whether there is a journal that accepts records with fields.
    pub fn journal_answers() -> bool {
        Destination::journal(journal::SOCKET).answers()
    }

    /// Whether this target stores the fields of records.
    pub fn has_fields(&self) -> bool {
        matches!(self.form, Form::Journal | Form::Json)
    }

    /// Writes a record without blocking. Dropped records are counted and reported later.
    pub fn write(&mut self, record: &LogRecord<'_>) {
        self.flush();
        let line = self.format(record);
        self.sink.send(line);
    }

    /// Connects again (on SIGHUP, for a restarted syslog daemon), to the current reader of the system log.
    pub fn reopen(&mut self) {
        let form = form(self.target);
        // Queued records have the previous target's format.
        if form != self.form && !self.sink.waits() {
            self.form = form;
            self.sink.move_to(destination(form));
        }
        self.sink.reopen();
        self.flush();
    }

    /// Whether records are queued because the log did not accept them. [`Log::flush`] tries again.
    pub fn waits(&self) -> bool {
        self.sink.waits()
    }

    /// Milliseconds until [`Log::flush`] is to be called. None if nothing is queued.
    pub fn retry_ms(&self) -> Option<i64> {
        self.sink.waits().then(|| self.sink.retry_ms())
    }

    /// A descriptor that becomes readable when queued records can be written. Then [`Log::handle_writable`] is to be called.
    pub fn writable(&mut self) -> io::Result<impl AsFd> {
        self.sink.writable()
    }

    /// Writes queued records after the descriptor of [`Log::writable`] has become readable.
    pub fn handle_writable(&mut self) {
        if self.sink.waits() {
            self.sink.handle_writable();
            self.log_lost();
        }
    }

    /// Writes queued records as far as this does not block, and logs how many records were lost.
    pub fn flush(&mut self) {
        if !self.sink.waits() {
            return;
        }
        self.sink.flush();
        self.log_lost();
    }

    /// How many records were lost since the start, as far as that was noticed.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn log_lost(&mut self) {
        if let Some(lost) = self.sink.take_lost() {
            self.lost = self.lost.saturating_add(lost);
            let detail = format!("{} lost: the log did not take them", format_count(lost, "log record", "log records"));
            let line = self.format(&LogRecord {
                ident: Ident::Daemon,
                level: Level::Warning,
                pid: None,
                user: "CRON",
                event: "WARNING",
                detail: detail.as_bytes(),
                rest: "",
                run: None,
                fields: &[],
            });
            self.sink.send(line);
        }
    }

    fn format(&mut self, record: &LogRecord<'_>) -> Vec<u8> {
        let tag = match record.ident {
            Ident::Daemon => self.profile.daemon_tag,
            Ident::Child => self.profile.child_tag,
            Ident::Crontab => "crontab",
        };
        let pid = record.pid.unwrap_or_else(std::process::id);
        let now = clock::wall();
        match self.form {
            Form::Syslog => line::syslog(record, tag, pid, &self.local(now.seconds)),
            Form::Journal => journal::entry(record, tag, pid),
            Form::Text => line::text(record, tag, pid, self.stamp(now.seconds)),
            Form::Json => line::json(record, pid, now),
        }
    }

    fn stamp(&mut self, second: i64) -> &str {
        if !matches!(self.stamps.second, Some((known, _)) if known == second) {
            let stamp = match self.stamps.zone.as_mut() {
                Some(zone) => zone().to_rfc3339(Timestamp(second)),
                None => self.local(second).to_string(),
            };
            self.stamps.second = Some((second, stamp));
        }
        self.stamps.second.as_ref().map_or("", |(_, stamp)| stamp.as_str())
    }

    fn local(&mut self, second: i64) -> LocalTime {
        match self.second {
            Some((known, local)) if known == second => local,
            _ => self.second.insert((second, clock::local(second))).1,
        }
    }
}

fn form(target: Target) -> Form {
    match target {
        Target::Syslog if journal::is_behind(Path::new(DEV_LOG), Path::new(journal::DIRECTORY)) => Form::Journal,
        Target::Syslog => Form::Syslog,
        Target::Journal => Form::Journal,
        Target::Stderr => Form::Text,
        Target::Json => Form::Json,
    }
}

fn destination(form: Form) -> Destination {
    match form {
        Form::Syslog => Destination::syslog(DEV_LOG),
        Form::Journal => Destination::journal(journal::SOCKET),
        Form::Text | Form::Json => Destination::Stderr(io::stderr()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::DEBIAN;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn how_many_records_were_lost_is_written_once_the_reader_reads_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let reader = UnixDatagram::bind(&path).unwrap();
        reader.set_nonblocking(true).unwrap();
        let sink = Sink::new(Destination::syslog(&path));
        let mut log = Log {
            target: Target::Syslog,
            form: Form::Syslog,
            profile: &DEBIAN,
            sink,
            second: None,
            stamps: Stamps::default(),
            lost: 0,
        };
        let sent = 10_000;
        for _ in 0..sent {
            log.write(&LogRecord::daemon("INFO", b"one of many"));
        }
        let (mut lines, mut packet) = (Vec::new(), [0; 4096]);
        while log.waits() {
            while let Ok(length) = reader.recv(&mut packet) {
                lines.push(String::from_utf8_lossy(&packet[..length]).into_owned());
            }
            log.flush();
        }
        while let Ok(length) = reader.recv(&mut packet) {
            lines.push(String::from_utf8_lossy(&packet[..length]).into_owned());
        }
        let written = lines.iter().filter(|line| line.ends_with("(CRON) INFO (one of many)")).count();
        assert!(written < sent, "the queue takes everything, the test shows nothing");
        let lost = sent - written;
        let line = format!("(CRON) WARNING ({lost} log records lost: the log did not take them)");
        assert_eq!(lines.iter().filter(|shown| shown.ends_with(&line)).count(), 1, "{:?}", lines.last());
        assert_eq!(lines.len(), written + 1);
        log.write(&LogRecord::daemon("INFO", b"and one more"));
        let length = reader.recv(&mut packet).unwrap();
        assert!(packet[..length].ends_with(b"(CRON) INFO (and one more)"), "the loss is told once");
    }
}
