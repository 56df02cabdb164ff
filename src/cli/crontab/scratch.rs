//! The file that an editor works on: in a directory of the caller's own, opened anew after each edit.
//!
//! Nothing removes it by itself. Whatever goes wrong, the text of an edit stays on the disk.

use super::failure::Failure;
use super::session::Session;
use crate::profile::ProfileName;
use crate::sys::files;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file's name in its directory.
const NAME: &str = "crontab";

/// A directory of mode 0700 with one file in it.
pub struct Scratch {
    directory: PathBuf,
    path: PathBuf,
}

impl Scratch {
    /// Makes it below $TMPDIR or /tmp with the caller's own rights. cronie does not follow TMPDIR where rights are lent.
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
            .map_err(|source| failed("making a temporary directory in", &top, source))?;
        let scratch = Scratch { path: directory.join(NAME), directory };
        match scratch.write(text) {
            Ok(()) => Ok(scratch),
            Err(source) => {
                let failure = failed("writing", &scratch.path, source);
                scratch.remove();
                Err(failure)
            }
        }
    }

    fn write(&self, text: &[u8]) -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        file.write_all(text)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what the editor left. Whatever it has put there instead of the caller's own regular file is refused.
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
            return Err(swapped(session.words.no_longer_a_file));
        }
        // A second name would be another user's file put there under this one.
        if stat.uid != session.identity.caller_uid() || stat.links != 1 {
            return Err(swapped("Temporary crontab no longer owned by you."));
        }
        // Of a table that is too large so much that the check finds it so.
        let most = session.profile.dialect.limits.user_bytes as usize;
        files::read_up_to(&file, stat.size, most + 1).map_err(failed)
    }

    /// Whether nothing is lost when the file goes: it is gone already, or holds just this text. What cannot be read counts as
    /// an edit.
    pub fn is_dispensable(&self, session: &Session<'_>, text: &[u8]) -> bool {
        let gone = self.path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        gone || self.read(session).is_ok_and(|now| now == text)
    }

    /// Removes the directory, with what an editor may have left in it beside the file.
    pub fn remove(self) {
        // What cannot be removed stays; the edit itself is installed or was none.
        let _ = std::fs::remove_file(&self.path);
        let _ = files::remove_flat_dir(&self.directory);
    }
}
