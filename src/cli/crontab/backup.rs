//! cronie's backup of the previous crontab: `~/.cache/crontab/crontab.bak`, readable by the caller only.

use super::failure::Failure;
use super::messages;
use super::session::Session;
use crate::sys::files;
use crate::sys::interrupts::BlockedSignals;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Shows that there was a crontab, of which a backup was tried.
pub struct HadCrontab;

/// Makes a backup of the current crontab, if there is one. A failure is reported but does not stop the operation, as in the
/// reference implementation.
pub fn keep(session: &Session<'_>) -> Result<Option<HadCrontab>, Failure> {
    let user = &session.user;
    let Some(standing) = session.read_table()? else { return Ok(None) };
    let Some(directory) = directory(session) else {
        messages::warn("Could not find environment variable XDG_CACHE_HOME or HOME to save the backup");
        return Ok(Some(HadCrontab));
    };
    let path = directory.join(file_name(session));
    match write(&directory, &path, &standing.bytes) {
        Ok(()) => messages::inform(&format!("Backup of {}'s previous crontab saved to {}", user.name, path.display())),
        Err(error) => {
            let reason = files::reason(&error);
            messages::warn(&format!("Failed to write to the backup file: {}: {reason}", path.display()));
        }
    }
    Ok(Some(HadCrontab))
}

fn directory(session: &Session<'_>) -> Option<PathBuf> {
    let variable = |name| session.inherited.variable(name).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
    Some(cache.join("crontab"))
}

fn file_name(session: &Session<'_>) -> String {
    if session.identity.caller_uid() == session.user.uid {
        "crontab.bak".to_owned()
    } else {
        format!("crontab.{}.bak", session.user.name)
    }
}

/// Writes with the caller's privileges. The backup is complete and private at every moment.
fn write(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    // A signal in between would leave the temporary file behind.
    let _blocked = BlockedSignals::now();
    let (file, temporary) = files::create_temporary_file(&directory.join(".crontab."))?;
    let written = files::write_all(&file, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The backup is not in place, and an incomplete one is useless.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_copy_is_for_its_owner_only_whatever_stood_there_before() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("cache/crontab");
        let path = directory.join("crontab.bak");
        write(&directory, &path, b"first\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        write(&directory, &path, b"second\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
    }
}
