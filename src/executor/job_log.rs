//! Log records about runs: those of the profile's reference implementation, and additional ones.

use super::config::ExecutorConfig;
use crate::config::zones::current_zone;
use crate::crontab;
use crate::profile::{Profile, ProfileName};
use crate::report::{Ident, Level, Log, LogRecord, fields_of_start};
use crate::schedule::duration_text;
use crate::scheduler::{EndReason, OUTPUT_ON_STDERR, RunOutcome, RunRequest};
use crate::sys::clock;
use serde_json::{Value, json};
use std::io;
use std::os::fd::AsFd;

/// Bits of Debian's `-L` mask.
const STARTS: u8 = 1;
const ENDS: u8 = 2;
const FAILURES: u8 = 4;
const WITH_PID: u8 = 8;
/// cronie splits logged output into pieces of this many bytes.
const PIECE: usize = 1023;

/// The run that a log record is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct JobRef<'a> {
    pub(super) start: &'a RunRequest,
    /// The name in the first parentheses.
    pub(super) user: &'a str,
    /// The command up to the first `%`.
    pub(super) command: &'a [u8],
    /// Process id of the session leader.
    pub(super) pid: Option<u32>,
}

/// Writes log records about jobs.
#[derive(Debug)]
pub(super) struct JobLogger {
    log: Log,
    profile: &'static Profile,
    mask: u8,
}

impl JobLogger {
    pub(super) fn new(config: &ExecutorConfig) -> JobLogger {
        let profile = config.profile.profile();
        let mut log = Log::open(config.log, profile);
        log.stamp_in(Box::new(current_zone()));
        JobLogger { log, profile, mask: config.log_mask }
    }

    pub(super) fn reopen(&mut self) {
        self.log.reopen();
    }

    /// Milliseconds until queued records are to be written again. None if nothing is queued.
    pub(super) fn retry_ms(&self) -> Option<i64> {
        self.log.retry_ms()
    }

    pub(super) fn flush(&mut self) {
        self.log.flush();
    }

    /// A descriptor that becomes readable when queued records can be written.
    pub(super) fn writable(&mut self) -> io::Result<impl AsFd> {
        self.log.writable()
    }

    pub(super) fn handle_writable(&mut self) {
        self.log.handle_writable();
    }

    /// Logs the start of a run: `(alice) CMD (date)`.
    pub(super) fn started(&mut self, job: JobRef<'_>) {
        if !job.start.flags.quiet && (self.is_cronie() || self.mask & STARTS != 0) {
            let detail = self.command_with_pid(job);
            let late_ms = clock::wall_ms().saturating_sub(job.start.scheduled_at.saturating_mul(1000));
            self.write(job, Level::Info, "CMD", &detail, "", &[("late_ms", json!(late_ms))]);
        }
    }

    /// Logs the end of a run: `(alice) END (date)` or `(alice) CMDEND (date)`.
    pub(super) fn finished(&mut self, job: JobRef<'_>, end: &RunOutcome, duration_ms: u64) {
        if !job.start.flags.quiet && (self.is_cronie() || self.mask & ENDS != 0) {
            let event = if self.is_cronie() { "CMDEND" } else { "END" };
            let detail = self.command_with_pid(job);
            let fields: Vec<_> = [("duration_ms", json!(duration_ms))].into_iter().chain(status(end)).collect();
            self.write(job, Level::Info, event, &detail, "", &fields);
        }
    }

    /// Logs a failed run: `(alice) FAILED (command) exit 3 after 12.4s` or `(alice) FAILED (command) timeout after 30m`, and with `-L 4` also
    /// Debian's own line.
    pub(super) fn failed(&mut self, job: JobRef<'_>, end: &RunOutcome, is_timeout: bool, duration_ms: u64) {
        let pid = job.pid.unwrap_or(0);
        let (debian, how) = match end {
            RunOutcome::Code(code) if job.start.rules.success.contains(*code) && !is_timeout => {
                (format!("grandchild #{pid} failed with {OUTPUT_ON_STDERR}"), OUTPUT_ON_STDERR.to_owned())
            }
            RunOutcome::Code(code) => {
                (format!("grandchild #{pid} failed with exit status {code}"), format!("exit {code}"))
            }
            RunOutcome::Signal { number, core_dumped } => {
                let what = signal_text(*number, *core_dumped);
                (format!("grandchild #{pid} terminated by {what}"), what)
            }
            RunOutcome::NotStarted { why } => return self.not_started(job, why),
            RunOutcome::Skipped(_) | RunOutcome::Lost => return,
        };
        if !self.is_cronie() && self.mask & FAILURES != 0 {
            self.write(JobRef { user: "CRON", ..job }, Level::Info, "error", debian.as_bytes(), "", &[]);
        }
        if self.is_cronie() || self.mask != 0 {
            let rest = match job.start.rules.timeout.filter(|_| is_timeout) {
                Some(timeout) => format!(" timeout after {}", duration_text(timeout)),
                None => format!(" {how} after {:.1}s", duration_ms as f64 / 1000.0),
            };
            let fields: Vec<_> = [("duration_ms", json!(duration_ms))].into_iter().chain(status(end)).collect();
            self.write(job, Level::Warning, "FAILED", job.command, &rest, &fields);
        }
    }

    /// Logs the end of a run that main has asked for: `(alice) ENDED (command) killed by alice, signal 15 after 10.0s`. It is no failure.
    pub(super) fn ended_on_request(&mut self, job: JobRef<'_>, why: &EndReason, end: &RunOutcome, duration_ms: u64) {
        let how = match end {
            RunOutcome::Code(code) => format!("exit {code}"),
            RunOutcome::Signal { number, core_dumped } => signal_text(*number, *core_dumped),
            RunOutcome::NotStarted { why } => return self.not_started(job, why),
            RunOutcome::Skipped(_) | RunOutcome::Lost => return,
        };
        if self.is_cronie() || self.mask != 0 {
            let why = match why {
                EndReason::Replaced => "replaced by a newer run".to_owned(),
                EndReason::Killed(by) => format!("killed by {}", crontab::printable(by.as_bytes())),
            };
            let rest = format!(" {why}, {how} after {:.1}s", duration_ms as f64 / 1000.0);
            let fields: Vec<_> = [("duration_ms", json!(duration_ms))].into_iter().chain(status(end)).collect();
            self.write(job, Level::Info, "ENDED", job.command, &rest, &fields);
        }
    }

    /// Logs a run that could not be started: `(alice) NOT STARTED (command): setuid 1000: Resource temporarily unavailable`.
    pub(super) fn not_started(&mut self, job: JobRef<'_>, why: &str) {
        self.write(job, Level::Warning, "NOT STARTED", job.command, &format!(": {why}"), &[]);
    }

    /// Logs a skipped run: `(alice) SKIPPED (command) the daemon was stopped ...`. Main uses the same words for starts that it skips
    /// itself.
    pub(super) fn skipped(&mut self, job: JobRef<'_>, why: &str) {
        self.write(job, Level::Info, "SKIPPED", job.command, &format!(" {why}"), &[]);
    }

    /// Logs that the user of a job does not exist, as cronie does (job.c, job_runqueue).
    pub(super) fn unknown_user(&mut self, user: &str) {
        if self.is_cronie() {
            self.record_as_daemon(user, "ERROR", "getpwnam() failed - user unknown");
        }
    }

    /// Logs a record about a job with the daemon's tag, as cronie does before the job's process exists.
    pub(super) fn record_as_daemon(&mut self, user: &str, event: &str, detail: &str) {
        self.log.write(&LogRecord { user, ..LogRecord::daemon(event, detail.as_bytes()) });
    }

    /// Logs another record about a run in the form of the reference implementations.
    pub(super) fn record(&mut self, job: JobRef<'_>, level: Level, event: &str, detail: &[u8], rest: &str) {
        self.write(job, level, event, detail, rest, &[]);
    }

    /// Logs output as cronie does (CMDOUT): one record for each line, long lines in pieces.
    pub(super) fn output(&mut self, job: JobRef<'_>, text: &[u8]) {
        let lines = text.strip_suffix(b"\n").unwrap_or(text).split(|&byte| byte == b'\n');
        for line in lines {
            let mut pieces = line.chunks(PIECE);
            self.write(job, Level::Info, "CMDOUT", pieces.next().unwrap_or(b""), "", &[]);
            pieces.for_each(|piece| self.write(job, Level::Info, "CMDOUT", piece, "", &[]));
        }
    }

    /// Logs a record about the executor itself.
    pub(super) fn own(&mut self, level: Level, event: &str, detail: &str) {
        self.log.write(&LogRecord { level, ..LogRecord::daemon(event, detail.as_bytes()) });
    }

    fn is_cronie(&self) -> bool {
        self.profile.profile == ProfileName::Cronie
    }

    /// The command, with Debian's `-L 8` after the process id: `[123] date`.
    fn command_with_pid(&self, job: JobRef<'_>) -> Vec<u8> {
        match job.pid {
            Some(pid) if !self.is_cronie() && self.mask & WITH_PID != 0 => {
                [format!("[{pid}] ").as_bytes(), job.command].concat()
            }
            _ => job.command.to_vec(),
        }
    }

    fn write(
        &mut self,
        job: JobRef<'_>,
        level: Level,
        event: &str,
        detail: &[u8],
        rest: &str,
        more: &[(&'static str, Value)],
    ) {
        let mut fields = Vec::new();
        if self.log.has_fields() {
            fields = fields_of_start(job.start, job.command);
            fields.extend_from_slice(more);
        }
        self.log.write(&LogRecord {
            ident: Ident::Child,
            level,
            pid: job.pid,
            user: job.user,
            event,
            detail,
            rest,
            run: Some(job.start.run),
            fields: &fields,
        });
    }
}

fn signal_text(number: i32, core_dumped: bool) -> String {
    let core = if core_dumped { ", dumped core" } else { "" };
    format!("signal {number}{core}")
}

/// The field for the exit status or signal. None if the job has no status.
fn status(end: &RunOutcome) -> Option<(&'static str, Value)> {
    match end {
        RunOutcome::Code(code) => Some(("exit_code", json!(code))),
        RunOutcome::Signal { number, .. } => Some(("signal", json!(number))),
        RunOutcome::NotStarted { .. } | RunOutcome::Skipped(_) | RunOutcome::Lost => None,
    }
}
