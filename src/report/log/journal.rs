//! The journal's own protocol: a record with fields in one datagram (systemd, "Native Journal Protocol").

use super::fields;
use super::line::{FACILITY, message, severity};
use super::record::LogRecord;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The directory of the journal's sockets.
pub(super) const DIRECTORY: &str = "/run/systemd/journal";
/// The socket for records with fields.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// Whether messages to `dev_log` reach only the journal whose sockets are in `directory`: `dev_log` is a link to the
/// journal's socket, and no syslog daemon gets copies. The journal forwards a line of /dev/log to such a daemon unchanged,
/// but only the text of a record with fields, with the sender's process id.
pub(super) fn is_behind(dev_log: &Path, directory: &Path) -> bool {
    let file = |path: &Path| path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let theirs = file(&directory.join("dev-log"));
    theirs.is_some() && theirs == file(dev_log) && can_take(directory) && !directory.join("syslog").exists()
}

/// Whether there is a journal that accepts records with fields.
pub(super) fn can_take(directory: &Path) -> bool {
    directory.join("socket").exists()
}

/// A record in the journal's format. `SYSLOG_*` are the fields of a syslog line, `CRON_*` those of a JSON line.
pub(super) fn entry(record: &LogRecord<'_>, tag: &str, pid: u32) -> Vec<u8> {
    let mut entry = Vec::with_capacity(512);
    put("MESSAGE", &message(record), &mut entry);
    put("PRIORITY", (severity(record.level) as u8).to_string().as_bytes(), &mut entry);
    // The facility's number, without the three bits of the severity.
    put("SYSLOG_FACILITY", (FACILITY as u8 >> 3).to_string().as_bytes(), &mut entry);
    put("SYSLOG_IDENTIFIER", tag.as_bytes(), &mut entry);
    put("SYSLOG_PID", pid.to_string().as_bytes(), &mut entry);
    for (name, value) in fields::of(record, pid) {
        put(&format!("CRON_{}", name.to_ascii_uppercase()), value.text().as_bytes(), &mut entry);
    }
    entry
}

/// Appends `NAME=VALUE` and a newline. A value that contains newlines is preceded by its length instead, eight bytes little
/// endian.
fn put(name: &str, value: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        to.push(b'\n');
        to.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        to.push(b'=');
    }
    to.extend_from_slice(value);
    to.push(b'\n');
}

/// Writes an entry that is too large for a datagram to a sealed memory file, which the journal maps.
pub(super) fn sealed(entry: &[u8]) -> io::Result<OwnedFd> {
    let memory = memfd_create(c"cronwheel-log", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut file = File::from(memory);
    file.write_all(entry)?;
    let all = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(all))?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::super::{Ident, Level};
    use super::*;
    use crate::scheduler::RunId;
    use serde_json::json;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn an_entry_has_the_line_of_syslog_and_the_fields_of_json() {
        let given = [("exit_code", json!(3)), ("command", json!("exit 3"))];
        let record = LogRecord {
            ident: Ident::Child,
            level: Level::Warning,
            pid: None,
            user: "alice",
            event: "FAILED",
            detail: b"exit\t3",
            rest: " exit 3 after 0.1s",
            run: Some(RunId(7)),
            fields: &given,
        };
        let wanted = "MESSAGE=(alice) FAILED (exit^I3) exit 3 after 0.1s\nPRIORITY=4\nSYSLOG_FACILITY=9\n\
            SYSLOG_IDENTIFIER=CRON\nSYSLOG_PID=5\nCRON_EVENT=FAILED\nCRON_USER=alice\nCRON_RUN_ID=7\nCRON_PID=5\n\
            CRON_DETAIL=exit\t3\nCRON_RESULT=exit 3 after 0.1s\nCRON_EXIT_CODE=3\nCRON_COMMAND=exit 3\n";
        assert_eq!(String::from_utf8_lossy(&entry(&record, "CRON", 5)), wanted);
    }

    #[test]
    fn a_value_with_a_newline_comes_with_its_length() {
        let mut bytes = Vec::new();
        put("CRON_DETAIL", b"a\nbc", &mut bytes);
        assert_eq!(bytes, b"CRON_DETAIL\n\x04\0\0\0\0\0\0\0a\nbc\n");
    }

    #[test]
    fn the_journal_is_the_log_where_dev_log_is_its_own_and_no_syslog_daemon_is_fed() {
        let place = tempfile::tempdir().unwrap();
        let (dev_log, directory) = (place.path().join("log"), place.path().join("journal"));
        let is_behind = || is_behind(&dev_log, &directory);
        assert!(!is_behind(), "nothing is there");
        std::fs::create_dir(&directory).unwrap();
        let _line_reader = UnixDatagram::bind(directory.join("dev-log")).unwrap();
        assert!(!is_behind(), "no /dev/log");
        symlink("journal/dev-log", &dev_log).unwrap();
        assert!(!is_behind(), "a journal that takes no fields");
        let _entry_reader = UnixDatagram::bind(directory.join("socket")).unwrap();
        assert!(is_behind());
        let _daemon = UnixDatagram::bind(directory.join("syslog")).unwrap();
        assert!(!is_behind(), "a syslog daemon gets a copy");
        std::fs::remove_file(directory.join("syslog")).unwrap();
        std::fs::remove_file(&dev_log).unwrap();
        let _other = UnixDatagram::bind(&dev_log).unwrap();
        assert!(!is_behind(), "somebody else's /dev/log");
    }
}
