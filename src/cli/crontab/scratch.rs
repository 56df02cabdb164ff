//! The temporary file for an editor, in a private directory of the caller. It is opened again after each edit.
//!
//! It is not removed on drop: after any error, the edited text stays on disk.

use super::failure::Failure;
use super::session::Session;
use crate::profile::ProfileName;
use crate::sys::files;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The name of the file in its directory.
const NAME: &str = "crontab";

/// A directory of mode 0700 with one file in it.
pub struct Scratch {
    directory: PathBuf,
    path: PathBuf,
}

impl Scratch {
    /// Creates it in $TMPDIR or /tmp with the caller's privileges. cronie ignores TMPDIR in a set-id program.
    pub fn new(session: &Session<'_>, text: &[u8]) -> Result<Scratch, Failure> {
        let follows = session.profile.profile == ProfileName::Debian || !session.identity.is_secure();
        let wanted = session.inherited.variable("TMPDIR").filter(|dir| follows && !dir.is_empty());
        let top = wanted.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let failed = |doing, path: &Path, source| Failure::Scratch {
            program: session.program.to_owned(),
            doing,
            path: path.to_path_buf(),
            source,
        };
        let directory = files::create_temporary_dir(&top.join("crontab."))
            .map_err(|source| failed("making a temporary directory in", &top, source.into()))?;
        let scratch = Scratch { path: directory.join(NAME), directory };
        match scratch.write(text) {
            Ok(()) => Ok(scratch),
            Err(source) => {
                let failure = failed("writing", &scratch.path, source.into());
                scratch.remove();
                Err(failure)
            }
        }
    }

    fn write(&self, text: &[u8]) -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        file.write_all(text)
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the text after an edit. Anything other than a regular file of the caller is refused.
    pub fn read(&self, session: &Session<'_>) -> Result<Vec<u8>, Failure> {
        let swapped = |message: &str| Failure::ScratchSwapped { message: message.to_owned() };
        let file = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(&self.path)
            .map_err(|source| match source.raw_os_error() {
                Some(libc::ELOOP) => swapped("Temporary crontab no longer owned by you."),
                _ => swapped(&format!("Can't open tempfile after edit: {}", files::reason(&source))),
            })?;
        let failed =
            |source: std::io::Error| swapped(&format!("Can't read tempfile after edit: {}", files::reason(&source)));
        let stat = files::stat(&file).map_err(failed)?;
        if !stat.is_regular() {
            return Err(swapped(session.words.not_regular_file));
        }
        // A second hard link could be a file of another user.
        if stat.uid != session.identity.caller_uid() || stat.links != 1 {
            return Err(swapped("Temporary crontab no longer owned by you."));
        }
        // One that is too large is read just far enough for the check to refuse it.
        let most = session.profile.dialect.limits.user_bytes as usize;
        files::read_up_to(&file, stat.size, most + 1).map_err(failed)
    }

    /// Whether the file can be removed without loss: it is gone already, or contains exactly this text. An unreadable file
    /// counts as an edit.
    pub fn is_dispensable(&self, session: &Session<'_>, text: &[u8]) -> bool {
        let gone = self.path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        gone || self.read(session).is_ok_and(|now| now == text)
    }

    /// Removes the directory with everything that an editor has left in it.
    pub fn remove(self) {
        // Errors are ignored: no edit is lost.
        let _ = std::fs::remove_file(&self.path);
        let _ = files::remove_flat_dir(&self.directory);
    }
}
