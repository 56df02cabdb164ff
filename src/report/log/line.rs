//! Formats a record: RFC 3164 for /dev/log, a line of text, or a JSON object.

use super::fields;
use super::record::{Level, LogRecord};
use crate::schedule::Timestamp;
use crate::sys::clock::{LocalTime, WallTime};
use serde::Serializer;
use serde::ser::SerializeMap;
use std::io::Write;
use syslog::{Facility, Formatter3164, LogFormat, Severity};

/// The crate's RFC 3164 formatter with its own `format`, since the crate's writes UTC, pads the day of the month with a zero and takes
/// text only. Readers of /dev/log expect what syslog(3) writes: local time, a day padded with a blank (RFC 3164, 4.1.2), and any bytes.
struct LocalFormatter<'a> {
    header: Formatter3164,
    at: &'a LocalTime,
}

/// The facility of all records.
pub(super) const FACILITY: Facility = Facility::LOG_CRON;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl LogFormat<&[u8]> for LocalFormatter<'_> {
    fn format<W: Write>(&self, to: &mut W, severity: Severity, message: &[u8]) -> syslog::Result<()> {
        let LocalTime { month, day, hour, minute, second, .. } = *self.at;
        let month = MONTHS.get(usize::from(month).wrapping_sub(1)).unwrap_or(&"Jan");
        let priority = self.header.facility as u8 | severity as u8;
        let (tag, pid) = (&self.header.process, self.header.pid);
        write!(to, "<{priority}>{month} {day:2} {hour:02}:{minute:02}:{second:02} {tag}[{pid}]: ")
            .and_then(|()| to.write_all(message))
            .map_err(syslog::Error::Write)
    }
}

/// Formats a syslog line: `<78>Nov 22 10:15:00 CRON[123]: (alice) CMD (date)`.
pub(super) fn syslog(record: &LogRecord<'_>, tag: &str, pid: u32, at: &LocalTime) -> Vec<u8> {
    let formatter = LocalFormatter {
        header: Formatter3164 { facility: FACILITY, hostname: None, process: tag.to_owned(), pid },
        at,
    };
    let mut line = Vec::with_capacity(64 + record.detail.len());
    let message = message(record);
    // Writing into memory cannot fail.
    let _ = formatter.format(&mut line, severity(record.level), &message[..]);
    line
}

/// The syslog severity of a level.
pub(super) fn severity(level: Level) -> Severity {
    match level {
        Level::Info => Severity::LOG_INFO,
        Level::Warning => Severity::LOG_WARNING,
        Level::Error => Severity::LOG_ERR,
    }
}

/// `2026-11-22T10:15:00+01:00 CRON[123]: (alice) CMD (date)` and a newline.
pub(super) fn text(record: &LogRecord<'_>, tag: &str, pid: u32, at: &str) -> Vec<u8> {
    let mut line = format!("{at} {tag}[{pid}]: ").into_bytes();
    line.append(&mut message(record));
    line.push(b'\n');
    line
}

/// One JSON object and a newline. Empty parts are left out.
pub(super) fn json(record: &LogRecord<'_>, pid: u32, now: WallTime) -> Vec<u8> {
    let mut line = Vec::with_capacity(256);
    // Writing into memory cannot fail, and all keys are text.
    let _ = json_object(record, pid, now, &mut line);
    line.push(b'\n');
    line
}

fn json_object(record: &LogRecord<'_>, pid: u32, now: WallTime, to: &mut Vec<u8>) -> serde_json::Result<()> {
    let level = match record.level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    let mut serializer = serde_json::Serializer::new(to);
    let mut object = serializer.serialize_map(None)?;
    object.serialize_entry("time", &rfc3339_millis(now))?;
    object.serialize_entry("level", level)?;
    for (name, value) in fields::of(record, pid) {
        object.serialize_entry(name, &value)?;
    }
    SerializeMap::end(object)
}

fn rfc3339_millis(now: WallTime) -> String {
    let whole = Timestamp(now.seconds).to_string();
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), now.nanos / 1_000_000)
}

/// `(USER) EVENT (DETAIL)`; without a user the event is the whole text.
pub(super) fn message(record: &LogRecord<'_>) -> Vec<u8> {
    let mut text = Vec::with_capacity(record.user.len() + record.event.len() + record.detail.len() + 8);
    if record.user.is_empty() {
        escape(record.event.as_bytes(), &mut text);
        return text;
    }
    text.push(b'(');
    escape(record.user.as_bytes(), &mut text);
    text.extend_from_slice(b") ");
    escape(record.event.as_bytes(), &mut text);
    text.extend_from_slice(b" (");
    escape(record.detail, &mut text);
    text.push(b')');
    escape(record.rest.as_bytes(), &mut text);
    text
}

/// Control bytes as `^X`, DEL as `^?`, bytes above it as `\ooo`, as both reference implementations print a command (a
/// record is one line, and no byte of it can steer a terminal).
fn escape(bytes: &[u8], to: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            0..=0x1f => to.extend_from_slice(&[b'^', byte + b'@']),
            0x20..=0x7e => to.push(byte),
            0x7f => to.extend_from_slice(b"^?"),
            0x80..=0xff => {
                to.extend_from_slice(&[b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Ident;
    use super::*;
    use crate::scheduler::RunId;

    const AT: LocalTime = LocalTime { year: 2026, month: 11, day: 2, hour: 9, minute: 5, second: 0, offset: 3600 };

    const STAMP: &str = "2026-11-02T09:05:00+01:00";

    fn job_line(detail: &[u8]) -> LogRecord<'_> {
        LogRecord {
            ident: Ident::Child,
            level: Level::Info,
            pid: Some(77),
            user: "alice",
            event: "CMD",
            detail,
            rest: "",
            run: Some(RunId(5)),
            fields: &[],
        }
    }

    #[test]
    fn a_syslog_line_is_what_syslog_3_would_send() {
        let line = syslog(&job_line(b"date"), "CRON", 77, &AT);
        assert_eq!(String::from_utf8_lossy(&line), "<78>Nov  2 09:05:00 CRON[77]: (alice) CMD (date)");
    }

    #[test]
    fn loudness_is_the_severity() {
        for (level, priority) in [(Level::Info, "<78>"), (Level::Warning, "<76>"), (Level::Error, "<75>")] {
            let line = syslog(&LogRecord { level, ..job_line(b"x") }, "CRON", 1, &AT);
            assert!(line.starts_with(priority.as_bytes()), "{level:?}");
        }
    }

    #[test]
    fn bytes_that_could_steer_a_terminal_are_escaped() {
        for (bytes, shown) in [
            (&b"a\tb\nc\rd"[..], "a^Ib^Jc^Md"),
            (b"\x1b[2J\0", "^[[2J^@"),
            (b"\x7f", "^?"),
            ("é".as_bytes(), "\\303\\251"),
            (b"\xff\x80", "\\377\\200"),
            (b"100% of (it)", "100% of (it)"),
        ] {
            let line = text(&job_line(bytes), "CRON", 1, STAMP);
            assert_eq!(
                String::from_utf8_lossy(&line),
                format!("2026-11-02T09:05:00+01:00 CRON[1]: (alice) CMD ({shown})\n")
            );
        }
    }

    #[test]
    fn what_came_of_it_follows_the_parentheses() {
        let line =
            text(&LogRecord { event: "FAILED", rest: " exit 3 after 12.4s", ..job_line(b"x") }, "CRON", 1, STAMP);
        assert_eq!(line, b"2026-11-02T09:05:00+01:00 CRON[1]: (alice) FAILED (x) exit 3 after 12.4s\n");
    }

    #[test]
    fn without_a_user_the_event_is_the_whole_text() {
        let line = text(&LogRecord { user: "", event: "one line\nonly", ..job_line(b"") }, "cron", 1, STAMP);
        assert_eq!(line, b"2026-11-02T09:05:00+01:00 cron[1]: one line^Jonly\n");
    }

    #[test]
    fn a_json_line_is_one_object_with_its_fields() {
        let fields = [("exit_code", serde_json::json!(3)), ("command", serde_json::json!("a\nb"))];
        let line = json(
            &LogRecord { fields: &fields, ..job_line(b"a\nb") },
            77,
            WallTime { seconds: 1_800_000_000, nanos: 7_900_000 },
        );
        assert_eq!(
            String::from_utf8_lossy(&line),
            concat!(
                r#"{"time":"2027-01-15T08:00:00.007Z","level":"info","event":"CMD","user":"alice","run_id":5,"pid":77,"#,
                r#""detail":"a\nb","exit_code":3,"command":"a\nb"}"#,
                "\n"
            )
        );
    }
}
