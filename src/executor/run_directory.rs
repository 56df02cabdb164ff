//! The run directory with the journals and sockets of executors.

use super::journal::{Compacted, Journal, JournalContent, JournalError, LONGEST, read};
use crate::sys::contract::SingleThreaded;
use crate::sys::created::{self, FoundDirectory, UNTRUSTED};
use crate::sys::error::{PathError, os_at};
use crate::sys::files::Links;
use crate::sys::host;
use crate::sys::local_socket::Listener;
use crate::sys::process::{self, Pid};
use crate::sys::process_lock;
use crate::sys::state_file;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Maximum number of journals that are read.
const MOST_JOURNALS: usize = 1000;
const JOURNAL: &str = "journal";
const SOCKET: &str = "sock";
/// Suffix of a new journal that is about to replace the old one.
const NEW: &str = "new";

/// Why the directory or a file of it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirectoryError {
    /// A system call on the directory failed.
    #[error(transparent)]
    Os(#[from] PathError),
    /// Other users could write to the directory.
    #[error("{}: {UNTRUSTED}", path.display())]
    Untrusted {
        /// The path of the directory.
        path: PathBuf,
    },
    /// A journal could not be read or written.
    #[error("the journal {}: {source}", path.display())]
    Journal {
        /// The path of the file.
        path: PathBuf,
        /// The error of the journal.
        source: JournalError,
    },
}

impl RunDirectoryError {
    /// Whether the content of a file is invalid, so that another attempt would fail as well.
    pub(super) fn is_of_content(&self) -> bool {
        matches!(self, RunDirectoryError::Journal { source: JournalError::Foreign | JournalError::Damaged, .. })
    }
}

fn in_journal(path: &Path) -> impl FnOnce(JournalError) -> RunDirectoryError + '_ {
    move |source| RunDirectoryError::Journal { path: path.to_owned(), source }
}

/// The paths of one executor's files. The names contain the process id and start time, so that no two executors of a boot share them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ExecutorFiles {
    directory: PathBuf,
    name: String,
    pub(super) pid: Pid,
}

impl ExecutorFiles {
    /// The files of this process.
    pub(super) fn own(directory: &Path) -> ExecutorFiles {
        let pid = process::own_pid();
        let started = host::process_started(pid).unwrap_or_else(|| "0".to_owned());
        ExecutorFiles { directory: directory.to_owned(), name: format!("executor-{pid}-{started}"), pid }
    }

    /// The files of the executor whose journal has this name.
    fn of_journal(directory: &Path, file: &str) -> Option<ExecutorFiles> {
        let name = file.strip_suffix(JOURNAL)?.strip_suffix('.')?;
        let (pid, started) = name.strip_prefix("executor-")?.split_once('-')?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let pid = pid.parse().ok().filter(|_| is_number(pid) && is_number(started))?;
        Some(ExecutorFiles { directory: directory.to_owned(), name: name.to_owned(), pid })
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.directory.join(format!("{}.{ending}", self.name))
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.path(JOURNAL)
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.path(SOCKET)
    }

    /// Begins the journal of this process and keeps it locked.
    pub(super) fn begin_journal(&self, boot_id: &str) -> Result<Journal, RunDirectoryError> {
        created::make_trusted_directory(&self.directory, 0o755, Links::Refused)
            .map_err(os_at("using", &self.directory))?;
        let path = self.journal();
        let file = create_locked(&path)?;
        Journal::begin(file, boot_id).map_err(in_journal(&path))
    }

    /// Replaces the journal of this process by one without the runs that are not needed any more.
    pub(super) fn compact(&self, journal: &mut Journal, now: i64) -> Result<Compacted, RunDirectoryError> {
        let (path, new) = (self.journal(), self.path(NEW));
        let compacted = journal.compacted(now).map_err(in_journal(&path))?;
        let file = create_locked(&new)?;
        use std::os::unix::fs::FileExt;
        file.write_all_at(&compacted.bytes, 0).map_err(os_at("writing", &new))?;
        // A main that has opened the old file notices that it has been replaced and opens the new one.
        fs::rename(&new, &path).map_err(os_at("renaming", &new))?;
        journal.go_on_in(file, compacted.bytes.len() as u64);
        Ok(compacted)
    }

    /// Creates the socket to which a later main connects.
    pub(super) fn listen(&self, threads: &SingleThreaded) -> Result<Listener, RunDirectoryError> {
        let path = self.socket();
        let _ = fs::remove_file(&path);
        Ok(Listener::bind(threads, &path).map_err(os_at("making the socket", &path))?)
    }

    /// Removes all files except the journal.
    fn remove_socket(&self) {
        let _ = fs::remove_file(self.socket());
        let _ = fs::remove_file(self.path(NEW));
    }

    /// Reads the journal of an executor. None: the journal is gone. An error: it is not known whether the executor is alive.
    pub(super) fn inspect(&self, boot_id: &str, now: i64) -> Result<Option<JournalState>, RunDirectoryError> {
        let path = self.journal();
        loop {
            let Some(file) = open(&path)? else { return Ok(None) };
            let is_alive = process_lock::is_held_by_another(&file).map_err(os_at("asking for the lock of", &path))?;
            if is_alive || state_file::is_still_at(&file, &path) {
                let is_too_long = file.metadata().map_err(os_at("looking at", &path))?.len() > 2 * LONGEST;
                let content = if is_too_long { Err(JournalError::Foreign) } else { read(&file, boot_id, now) };
                return Ok(Some(JournalState { is_alive, content: content.map_err(in_journal(&path)), file }));
            }
        }
    }

    /// Removes the journal, or whatever has its name.
    pub(super) fn discard(&self) -> Result<(), RunDirectoryError> {
        self.remove_socket();
        let path = self.journal();
        let is_directory = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        let removed = if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(os_at("removing", &path)(error).into()),
            _ => Ok(()),
        }
    }
}

/// The content of a journal and whether its executor is alive.
#[derive(Debug)]
pub(super) struct JournalState {
    pub(super) is_alive: bool,
    pub(super) content: Result<JournalContent, RunDirectoryError>,
    pub(super) file: File,
}

/// Whether the directory exists. It is an error if other users can write to it.
fn trust(directory: &Path) -> Result<bool, RunDirectoryError> {
    match created::inspect_directory(directory, Links::Refused).map_err(os_at("looking at", directory))? {
        FoundDirectory::Missing => Ok(false),
        FoundDirectory::Trusted => Ok(true),
        FoundDirectory::Untrusted => Err(RunDirectoryError::Untrusted { path: directory.to_owned() }),
    }
}

fn create_locked(path: &Path) -> Result<File, RunDirectoryError> {
    // The file was left by a process with the same id in another boot, or by one that was killed while it created it.
    let _ = fs::remove_file(path);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(os_at("making", path))?;
    process_lock::take(&file).map_err(os_at("locking", path))?;
    Ok(file)
}

/// Opens a journal without blocking, whatever type of file has its name.
fn open(path: &Path) -> Result<Option<File>, RunDirectoryError> {
    let file = match state_file::open_for_writing(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A directory, a symbolic link or a socket was not created by an executor.
        Err(error) if state_file::is_no_regular_file(&error) => {
            return Err(in_journal(path)(JournalError::Foreign));
        }
        opened => opened.map_err(os_at("opening", path))?,
    };
    if file.metadata().map_err(os_at("looking at", path))?.uid() == process::own_uid() {
        return Ok(Some(file));
    }
    Err(in_journal(path)(JournalError::Foreign))
}

/// The executors that have a journal in the directory.
pub(super) fn executors(directory: &Path) -> Result<Vec<ExecutorFiles>, RunDirectoryError> {
    if !trust(directory)? {
        return Ok(Vec::new());
    }
    let listed = fs::read_dir(directory).map_err(os_at("listing", directory))?;
    let mut found: Vec<ExecutorFiles> = listed
        .filter_map(|entry| ExecutorFiles::of_journal(directory, entry.ok()?.file_name().to_str()?))
        .take(MOST_JOURNALS)
        .collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::contract::alone;
    use std::os::unix::fs::PermissionsExt;

    const BOOT_ID: &str = "4e3f27bb-1b62-4f7a-8d52-0123456789ab";

    #[test]
    fn only_names_of_journals_are_taken_for_some() {
        let of = |name: &str| ExecutorFiles::of_journal(Path::new("/run/cronwheel"), name).map(|files| files.pid);
        assert_eq!(of("executor-12-3456.journal"), Some(12));
        for name in [
            "executor-12-3456.sock",
            "executor-12.journal",
            "executor--1-3.journal",
            "executor-1-x.journal",
            ".journal",
        ] {
            assert_eq!(of(name), None, "{name}");
        }
    }

    #[test]
    fn whatever_has_a_journals_name_is_neither_waited_for_nor_believed() {
        let top = tempfile::tempdir().unwrap();
        let at = |number: u32| top.path().join(format!("executor-{number}-1.journal"));
        nix::unistd::mkfifo(&at(1), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/dev/zero", at(2)).unwrap();
        fs::create_dir(at(3)).unwrap();
        fs::write(at(4), "text").unwrap();
        File::create(at(5)).unwrap().set_len(1 << 40).unwrap();
        let mut count = 5;
        if process::own_uid() == 0 {
            // A journal of somebody else.
            Journal::begin(File::create(at(6)).unwrap(), BOOT_ID).unwrap();
            std::os::unix::fs::chown(at(6), Some(4242), None).unwrap();
            count += 1;
        }
        let found = executors(top.path()).unwrap();
        assert_eq!(found.len(), count);
        for files in found {
            let found = files.inspect(BOOT_ID, 0);
            let error = found.and_then(|found| found.unwrap().content).unwrap_err();
            assert!(error.is_of_content(), "{error}");
            files.discard().unwrap();
        }
        assert_eq!(fs::read_dir(top.path()).unwrap().count(), 0);
    }

    #[test]
    fn no_more_journals_are_looked_at_than_there_can_be_executors() {
        let top = tempfile::tempdir().unwrap();
        for number in 0..=MOST_JOURNALS {
            File::create(top.path().join(format!("executor-{number}-1.journal"))).unwrap();
        }
        assert_eq!(executors(top.path()).unwrap().len(), MOST_JOURNALS);
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_not_used() {
        let top = tempfile::tempdir().unwrap();
        let directory = top.path().join("cronwheel");
        assert!(executors(&directory).unwrap().is_empty());
        let files = ExecutorFiles::own(&directory);
        assert!(files.begin_journal(BOOT_ID).unwrap().is_kept());
        assert_eq!(executors(&directory).unwrap(), std::slice::from_ref(&files));
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(executors(&directory), Err(RunDirectoryError::Untrusted { .. })));
        assert!(files.begin_journal(BOOT_ID).is_err());
    }

    #[test]
    fn a_journal_that_is_rewritten_is_still_known_as_a_living_executors() {
        alone(|threads| {
            let top = tempfile::tempdir().unwrap();
            let directory = top.path().join("cronwheel");
            let (ready, notifier) = crate::sys::descriptor::pipe().unwrap();
            let executor = process::fork(threads, |_| {
                let files = ExecutorFiles::own(&directory);
                let Ok(mut journal) = files.begin_journal(BOOT_ID) else { return 1 };
                let _ = crate::sys::descriptor::write(std::os::fd::AsFd::as_fd(&notifier), b"x");
                loop {
                    if files.compact(&mut journal, 0).is_err() {
                        return 1;
                    }
                }
            })
            .unwrap();
            crate::sys::descriptor::read(std::os::fd::AsFd::as_fd(&ready), &mut [0]).unwrap();
            let files = executors(&directory).unwrap().remove(0);
            assert_eq!(files.pid, executor);
            let alive = (0..2000).filter(|_| files.inspect(BOOT_ID, 0).unwrap().unwrap().is_alive).count();
            process::signal(executor, process::Ask::Kill).unwrap();
            assert_eq!(process::wait(executor).unwrap(), process::Status::Signal { number: 9, core_dumped: false });
            assert_eq!(alive, 2000);
            assert!(!files.inspect(BOOT_ID, 0).unwrap().unwrap().is_alive);
        });
    }
}
