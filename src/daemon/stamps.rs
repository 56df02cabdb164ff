//! The stamps of anacron's jobs in anacron's format: for each job a file of mode 0600 with the day of its last run.

use crate::schedule::Day;
use crate::sys::error::OsError;
use crate::sys::state_file;
use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The bytes of a stamp: eight digits and a newline.
const LENGTH: u64 = 9;

/// The directory with the stamps of anacron's jobs.
#[derive(Clone, Debug)]
pub struct Stamps(PathBuf);

/// Work on the stamp of a job, for a thread that may wait for a disk.
#[derive(Clone, Debug)]
pub(super) struct StampTask {
    pub(super) stamps: Stamps,
    /// The job's identifier in the anacrontab.
    pub(super) id: Vec<u8>,
    pub(super) step: StampStep,
}

/// What is done with a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StampStep {
    /// Read it before the job is started, and make sure that it can be written afterwards.
    Prepare,
    /// Write that the job has run on that day.
    Write(Day),
}

/// The result of a [`StampTask`].
#[derive(Debug)]
pub(super) enum StampResult {
    /// The day in the stamp before the job is started, if it has one.
    Prepared(Result<Option<Day>, StampError>),
    /// The stamp is on the disk, or could not be written.
    Written(Result<(), StampError>),
}

impl StampTask {
    pub(super) fn carry_out(&self) -> StampResult {
        match self.step {
            StampStep::Prepare => {
                let stamp = self.stamps.read(&self.id);
                StampResult::Prepared(self.stamps.prepare(&self.id).map(|()| stamp))
            }
            StampStep::Write(day) => StampResult::Written(self.stamps.write(&self.id, day)),
        }
    }
}

/// A stamp could not be written.
#[derive(Debug, thiserror::Error)]
#[error("writing the stamp {}: {source}", path.display())]
pub struct StampError {
    path: PathBuf,
    source: OsError,
}

impl Stamps {
    /// The stamps in that directory, which need not exist yet.
    pub fn new(directory: &Path) -> Stamps {
        Stamps(directory.to_owned())
    }

    /// The day in a job's stamp. None: there is no stamp, or it holds no day.
    pub fn read(&self, id: &[u8]) -> Option<Day> {
        let mut text = Vec::new();
        state_file::open(&self.path(id)).ok()?.take(LENGTH).read_to_end(&mut text).ok()?;
        Day::parse(&text)
    }

    /// Checks before a job is started that its stamp can be written after it.
    ///
    /// # Errors
    ///
    /// The stamp or its directory cannot be created.
    pub fn prepare(&self, id: &[u8]) -> Result<(), StampError> {
        let opened = self.create_directory().and_then(|()| state_file::open_or_create(&self.path(id)));
        opened.map(drop).map_err(|source| self.failed(id, source))
    }

    /// Writes into its stamp that a job has run on that day, and returns when that is on the disk.
    ///
    /// # Errors
    ///
    /// The stamp cannot be written.
    pub fn write(&self, id: &[u8], day: Day) -> Result<(), StampError> {
        // A new file, so that it is root's with mode 0600 as anacron makes it: anybody who can open a stamp could hold anacron's lock on it.
        let stamp = format!("{day}\n");
        let written =
            self.create_directory().and_then(|()| state_file::replace_durably(&self.path(id), stamp.as_bytes(), 0o600));
        written.map_err(|source| self.failed(id, source))
    }

    fn create_directory(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o755).create(&self.0)
    }

    fn path(&self, id: &[u8]) -> PathBuf {
        self.0.join(OsStr::from_bytes(id))
    }

    fn failed(&self, id: &[u8], source: io::Error) -> StampError {
        StampError { path: self.path(id), source: source.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_stamp_is_one_line_with_a_day_and_readable_by_its_owner_only() {
        let top = tempfile::tempdir().unwrap();
        let directory = top.path().join("spool/anacron");
        let stamps = Stamps::new(&directory);
        assert_eq!(stamps.read(b"job"), None);
        stamps.prepare(b"job").unwrap();
        assert_eq!(stamps.read(b"job"), None, "an empty stamp is none");
        std::fs::remove_file(directory.join("job")).unwrap();
        std::fs::write(directory.join("job"), "20250102\nand more").unwrap();
        let day = Day::parse(b"20261122").unwrap();
        stamps.write(b"job", day).unwrap();
        assert_eq!(std::fs::read_to_string(directory.join("job")).unwrap(), "20261122\n");
        assert_eq!(stamps.read(b"job"), Some(day));
        let mode = std::fs::metadata(directory.join("job")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn a_stamp_that_cannot_be_written_is_named() {
        let top = tempfile::tempdir().unwrap();
        let stamps = Stamps::new(top.path());
        std::os::unix::fs::symlink("/etc/passwd", top.path().join("link")).unwrap();
        std::fs::create_dir(top.path().join("directory")).unwrap();
        nix::unistd::mkfifo(&top.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for id in ["link", "directory", "fifo"] {
            let error = stamps.prepare(id.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("writing the stamp /") && error.contains(id), "{error}");
            assert_eq!(stamps.read(id.as_bytes()), None);
        }
    }
}
