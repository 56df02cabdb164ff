//! The marker that `@reboot` jobs have run in this boot. It has the name that the profile's reference implementation uses, so that a change from one
//! daemon to the other does not run them again.

use crate::sys::host::Boot;
use crate::sys::state_file;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Whether the system is just starting.
#[derive(Debug)]
pub enum Reboot {
    /// No daemon has run `@reboot` jobs in this boot, and the marker is set now.
    First,
    /// `@reboot` jobs have run in this boot.
    Done,
    /// The marker can be neither read nor set. `@reboot` jobs are run then, as cronie does.
    Unknown(io::Error),
}

/// Reads the marker and sets it. At most one daemon of a boot gets [`Reboot::First`].
pub fn set_for_boot(path: &Path, boot: &Boot) -> Reboot {
    match create(path, boot) {
        Ok(()) => Reboot::First,
        Err(there) if there.kind() == io::ErrorKind::AlreadyExists => match is_of_earlier_boot(path, boot) {
            Ok(false) => Reboot::Done,
            Ok(true) => replace(path, boot).map_or_else(Reboot::Unknown, |()| Reboot::First),
            Err(why) => Reboot::Unknown(why),
        },
        Err(why) => Reboot::Unknown(why),
    }
}

fn create(path: &Path, boot: &Boot) -> io::Result<()> {
    // O_EXCL does not follow links either.
    let mut marker = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    marker.write_all(content(boot).as_bytes())
}

/// Replaces a marker of an earlier boot. This daemon holds the lock, so that no other one does so at the same time.
fn replace(path: &Path, boot: &Boot) -> io::Result<()> {
    state_file::replace(path, content(boot).as_bytes(), 0o644)
}

fn content(boot: &Boot) -> String {
    format!("{} {}\n", boot.id, boot.first_process_started)
}

/// Whether the marker was written by cronwheel in another boot, in a run directory that outlived it. A marker with any other content is a reference
/// implementation's (theirs are empty) and counts for this boot, as does anything else of that name.
fn is_of_earlier_boot(path: &Path, boot: &Boot) -> io::Result<bool> {
    const LONGEST: u64 = 128;
    let mut text = String::new();
    let marker = match state_file::open(path) {
        // Anything that exists counts without being opened. A dangling link does not exist.
        Err(error) if state_file::is_no_regular_file(&error) => return std::fs::metadata(path).map(|_| false),
        opened => opened?,
    };
    match marker.take(LONGEST).read_to_string(&mut text) {
        Ok(_) => {}
        Err(not_text) if not_text.kind() == io::ErrorKind::InvalidData => return Ok(false),
        Err(why) => return Err(why),
    }
    Ok(is_ours(&text) && text != content(boot))
}

/// Whether a text has the form of cronwheel's markers, `UUID TICKS` and a newline.
fn is_ours(text: &str) -> bool {
    let Some((id, ticks)) = text.strip_suffix('\n').and_then(|line| line.split_once(' ')) else { return false };
    let is_uuid = id.len() == 36 && id.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    is_uuid && ticks.chars().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn boot(id: u8, started: &str) -> Boot {
        Boot { id: format!("4e3f27bb-1b62-4f7a-8d52-0123456789{id:02x}"), first_process_started: started.to_owned() }
    }

    fn word(reboot: &Reboot) -> &'static str {
        match reboot {
            Reboot::First => "first",
            Reboot::Done => "done",
            Reboot::Unknown(_) => "unknown",
        }
    }

    #[test]
    fn each_boot_and_each_start_of_a_container_has_one_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("crond.reboot");
        for (boot, expected) in [
            (boot(1, "100"), "first"),
            (boot(1, "100"), "done"),
            (boot(1, "100"), "done"),
            (boot(1, "5000"), "first"),
            (boot(1, "5000"), "done"),
            (boot(2, "100"), "first"),
        ] {
            assert_eq!(word(&set_for_boot(&path, &boot)), expected, "{boot:?}");
        }
    }

    #[test]
    fn a_marker_of_a_reference_implementation_counts_for_this_boot_whatever_its_content() {
        let dir = tempfile::tempdir().unwrap();
        for content in [&b""[..], b"1234\n", b"\xff\xfe", b"4e3f27bb 1\n"] {
            let path = dir.path().join("crond.reboot");
            fs::write(&path, content).unwrap();
            assert_eq!(word(&set_for_boot(&path, &boot(1, "1"))), "done", "{content:?}");
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn another_kind_of_file_counts_for_this_boot_and_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at("link")).unwrap();
        for name in ["fifo", "link"] {
            assert_eq!(word(&set_for_boot(&at(name), &boot(1, "1"))), "done", "{name}");
        }
        std::os::unix::fs::symlink("missing", at("dangling")).unwrap();
        assert_eq!(word(&set_for_boot(&at("dangling"), &boot(1, "1"))), "unknown");
        assert!(!at("missing").exists());
    }

    #[test]
    fn without_a_directory_for_the_marker_the_answer_is_unknown() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(word(&set_for_boot(&dir.path().join("missing/crond.reboot"), &boot(1, "1"))), "unknown");
    }
}
