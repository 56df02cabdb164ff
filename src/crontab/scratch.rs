//! The file that an editor works on: in a directory of the caller's own, opened anew after each edit.

use super::failure::Failure;
use super::session::Session;
use crate::site::Profile;
use crate::sys::files;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The file's name in its directory.
const NAME: &str = "crontab";

/// A directory of mode 0700 with one file in it; gone with this value unless [`Scratch::keep`] says otherwise.
pub struct Scratch {
    dir: tempfile::TempDir,
    path: PathBuf,
}

impl Scratch {
    /// Makes it below $TMPDIR or /tmp with the caller's own rights. cronie does not follow TMPDIR where rights are lent.
    pub fn new(session: &Session<'_>, text: &[u8]) -> Result<Scratch, Failure> {
        let follows = session.site.profile == Profile::Debian || !session.identity.is_secure();
        let wanted = session.inherited.variable("TMPDIR").filter(|dir| follows && !dir.is_empty());
        let top = wanted.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let failed = |doing, path: &Path, source| Failure::Scratch {
            program: session.program.to_owned(),
            doing,
            path: path.to_path_buf(),
            source,
        };
        let dir = tempfile::Builder::new()
            .prefix("crontab.")
            .rand_bytes(6)
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir_in(&top)
            .map_err(|source| failed("making a temporary directory in", &top, source))?;
        let path = dir.path().join(NAME);
        std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(text))
            .map_err(|source| failed("writing", &path, source))?;
        Ok(Scratch { dir, path })
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
        let most = session.site.dialect.limits.user_bytes as usize;
        files::read_up_to(&file, stat.size, most + 1).map_err(failed)
    }

    /// Leaves the file where it is, for the user to find her edits in.
    pub fn keep(self) -> PathBuf {
        // Only the file's own path is told; the directory stays with it.
        let _ = self.dir.keep();
        self.path
    }
}
