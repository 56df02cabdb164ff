//! One daemon at a time: the lock, and the PID file that both reference implementations know.
//!
//! Two locks. An OFD lock on a file that only its owner can open decides between daemons of ours: nobody else can take it.
//! A flock(2) on the PID file is what the reference implementations take, so that theirs and ours exclude each other. That file is
//! readable by all, so anybody can hold a flock on it: such a lock counts only when its holder is privileged.
//!
//! Where the run directory is read-only, neither file can be written, and jobs are to run all the same. Then a flock on the directory itself,
//! which needs no write access, decides between daemons of ours, by the same rule about its holder. Anybody can open that directory and hold its
//! lock. So the state directory is locked as well, if only its owner can open it: nobody else can take that lock.

use super::created::CreatedFile;
use super::error::{PathError, os_at};
use super::files;
use super::process::own_uid;
use super::process_lock::{is_held_by_another, whole_file};
use super::state_file;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The lock's name in the run directory.
const LOCK_FILE: &str = "cronwheel.lock";
/// How often a lock is tried again that a daemon has left behind, and the pause before each time: one second in all.
const LEFTOVER_TRIES: u32 = 200;
const LEFTOVER_PAUSE: Duration = Duration::from_millis(5);

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another daemon runs. The words are the reference implementations'.
    #[error("can't lock {}, otherpid {}: Resource temporarily unavailable", path.display(), other_words(*pid))]
    AlreadyRunning {
        /// The path of the PID file.
        path: PathBuf,
        /// Its process, if that is known.
        pid: Option<u32>,
    },
    /// A system call on the file failed.
    #[error(transparent)]
    Os(#[from] PathError),
}

fn other_words(pid: Option<u32>) -> String {
    pid.map_or_else(|| "unknown".to_owned(), |pid| format!("may be {pid}"))
}

/// The held lock and the PID file. Dropping it releases the lock, as does the kernel when the process ends.
#[derive(Debug)]
pub struct DaemonLock {
    pid_path: PathBuf,
    /// The PID file that this process has written, locked. None: the run directory is read-only.
    pid_file: Option<HeldFlock>,
    /// The PID file that was there before. It stays locked if its lock could be taken.
    _before: Option<HeldFlock>,
    lock: OwnLock,
    /// Whether an unprivileged process holds a lock on the old PID file, which is logged.
    pub pidfile_lock_contested: bool,
    /// Whether no lock keeps a second daemon of ours from starting: the run directory is read-only, an unprivileged process holds a lock on it,
    /// and there is no directory that only its owner can open.
    pub is_second_possible: bool,
    /// Whether another implementation wrote the PID file that was there, so that it has run since our last daemon did.
    pub foreign_daemon_ran: bool,
}

/// The lock that decides between daemons of ours.
#[derive(Debug)]
enum OwnLock {
    /// A locked file that only its owner can open.
    File(File),
    /// The read-only run directory, unless an unprivileged process has its lock, and the state directory, if only its owner can open it.
    Directories(#[allow(dead_code, reason = "held, and released when they are dropped")] [Option<HeldFlock>; 2]),
}

/// A held flock(2). Dropping it releases the lock. Where the kernel refuses that, it is released with the process, and nothing panics, as the
/// type of nix does.
#[derive(Debug)]
struct HeldFlock(Option<Flock<File>>);

impl HeldFlock {
    fn file(&self) -> Option<&File> {
        self.0.as_deref()
    }
}

impl Drop for HeldFlock {
    fn drop(&mut self) {
        if let Some(Err((refused, _))) = self.0.take().map(Flock::unlock) {
            std::mem::forget(refused);
        }
    }
}

impl Drop for OwnLock {
    /// The lock lasts as long as any process has the file open, and a child that was forked a moment ago has it open until its exec.
    fn drop(&mut self) {
        if let OwnLock::File(file) = self {
            let _ = fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_UNLCK)));
        }
    }
}

impl DaemonLock {
    /// Takes the lock in `run_dir` and writes the PID file there. If the directory is read-only, the lock is on it and on `state_dir`.
    pub fn take(run_dir: &Path, pid_name: &str, state_dir: Option<&Path>) -> Result<DaemonLock, LockError> {
        let pid_path = run_dir.join(pid_name);
        match DaemonLock::take_file(run_dir, &pid_path) {
            Err(LockError::Os(why)) if why.source.raw_os_error() == Some(libc::EROFS) => {
                DaemonLock::take_directories(run_dir, &pid_path, state_dir)
            }
            taken => taken,
        }
    }

    fn take_file(run_dir: &Path, pid_path: &Path) -> Result<DaemonLock, LockError> {
        let (lock, ours) = lock_ours(&run_dir.join(LOCK_FILE), pid_path)?;
        let (before, pidfile_lock_contested) = take_foreign_lock(pid_path)?.into_held();
        // Ours is taken away at a clean end, and stays after a crash; Debian's cron leaves its own behind.
        let left_by = before.as_ref().and_then(HeldFlock::file).and_then(read_pid);
        let foreign_daemon_ran = left_by.is_some_and(|pid| !ours.contains(&pid));
        let pid_file = Some(write_pid_file(run_dir, pid_path)?);
        let pid_path = pid_path.to_owned();
        Ok(DaemonLock {
            pid_path,
            pid_file,
            pidfile_lock_contested,
            is_second_possible: false,
            foreign_daemon_ran,
            _before: before,
            lock,
        })
    }

    fn take_directories(run_dir: &Path, pid_path: &Path, state_dir: Option<&Path>) -> Result<DaemonLock, LockError> {
        // A daemon that was started while the directory could be written to has the lock on the file.
        if let Ok(file) = state_file::open(&run_dir.join(LOCK_FILE))
            && is_held_by_another(&file).map_err(os_at("asking for the lock of", run_dir))?
        {
            return Err(LockError::AlreadyRunning { path: pid_path.to_owned(), pid: read_pid(&file) });
        }
        let theirs = match state_file::open(pid_path) {
            Ok(file) => take_flock(file, pid_path)?,
            Err(_) => FlockState::NoFile,
        };
        let (before, pidfile_lock_contested) = theirs.into_held();
        let directory = File::open(run_dir).map_err(os_at("opening", run_dir))?;
        let (directory, is_contested) = take_flock(directory, run_dir)?.into_held();
        let private = state_dir.map(|state_dir| lock_private(state_dir, pid_path)).transpose()?.flatten();
        Ok(DaemonLock {
            pid_path: pid_path.to_owned(),
            pid_file: None,
            pidfile_lock_contested: pidfile_lock_contested || is_contested,
            is_second_possible: is_contested && private.is_none(),
            foreign_daemon_ran: false,
            _before: before,
            lock: OwnLock::Directories([directory, private]),
        })
    }

    /// Whether the run directory is read-only, so that there is no PID file.
    pub fn is_read_only(&self) -> bool {
        self.pid_file.is_none()
    }

    /// The descriptors that a program which is executed in our place needs to keep the lock, see [`DaemonLock::resume`]. There are none where
    /// the run directory is read-only: the program takes the lock anew.
    pub fn held(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let files = match (&self.lock, self.pid_file.as_ref().and_then(HeldFlock::file)) {
            (OwnLock::File(lock), Some(pid_file)) => Some([lock.as_fd(), pid_file.as_fd()]),
            (OwnLock::File(_) | OwnLock::Directories(_), _) => None,
        };
        let before = self._before.iter().filter_map(HeldFlock::file).map(File::as_fd);
        let before = before.filter(move |_| files.is_some());
        files.into_iter().flatten().chain(before)
    }

    /// Takes over the lock that the previous program in the same process has held.
    pub fn resume(run_dir: &Path, pid_name: &str, held: Vec<OwnedFd>) -> Result<DaemonLock, LockError> {
        let pid_path = run_dir.join(pid_name);
        let mut files = held.into_iter().map(File::from);
        let mut next = || files.next().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput));
        let (lock, pid_file) =
            next().and_then(|lock| Ok((lock, next()?))).map_err(os_at("taking over the lock on", &pid_path))?;
        // Locks of these kinds belong to the open file description, so locking again changes nothing.
        fcntl(&lock, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK)))
            .map_err(|why| os_at("taking over the lock on", &pid_path)(why))?;
        let again = |file| match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => Ok(HeldFlock(Some(held))),
            Err((_, why)) => Err(os_at("taking over the lock on", &pid_path)(why)),
        };
        let pid_file = again(pid_file)?;
        let before = next().ok().map(again).transpose()?;
        let (pidfile_lock_contested, foreign_daemon_ran) = (false, false);
        Ok(DaemonLock {
            pid_file: Some(pid_file),
            pidfile_lock_contested,
            is_second_possible: false,
            foreign_daemon_ran,
            _before: before,
            lock: OwnLock::File(lock),
            pid_path,
        })
    }

    /// The descriptor number of the PID file, which Debian's cron logs in its second line.
    pub fn descriptor(&self) -> Option<i32> {
        use std::os::fd::AsRawFd;
        self.pid_file.as_ref().and_then(HeldFlock::file).map(|file| file.as_raw_fd())
    }

    /// Removes the PID file, if it is still the one that we wrote.
    pub fn remove_pid_file(&self) {
        let ours = self.pid_file.as_ref().and_then(HeldFlock::file).and_then(|file| file.metadata().ok());
        let ours = ours.map(|ours| (ours.dev(), ours.ino()));
        let there = fs::symlink_metadata(&self.pid_path).map(|there| (there.dev(), there.ino()));
        if let (Some(ours), Ok(there)) = (ours, there)
            && ours == there
        {
            // Nothing can be done about a run directory that became read-only.
            let _ = fs::remove_file(&self.pid_path);
        }
    }
}

/// Takes the OFD lock and writes our pid to the file, for a daemon that is started later. Also returns the pids that our last daemon wrote.
///
/// There are two: its own, and the one in the PID file at that time, if that was one of ours. The second one is left in the PID file by a daemon
/// that is killed before it has written its own there.
///
/// A daemon that is killed while it forks its executor leaves the lock to that child until the child has closed its descriptors. So the
/// lock is tried again while the process that the file names does not have it.
fn lock_ours(path: &Path, pid_path: &Path) -> Result<(OwnLock, Vec<u32>), LockError> {
    let mut tries = 0;
    loop {
        let file = state_file::open_or_create(path).map_err(os_at("opening", path))?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EACCES) => {
                let inode = file.metadata().map_err(os_at("reading the state of", path))?;
                let is_left_behind = read_pid(&file).is_none_or(|pid| !has_open(pid, &inode));
                if is_left_behind && tries < LEFTOVER_TRIES {
                    tries += 1;
                    std::thread::sleep(LEFTOVER_PAUSE);
                    continue;
                }
                let pid = read_pid(&file).or_else(|| read_pid(&state_file::open(pid_path).ok()?));
                return Err(LockError::AlreadyRunning { path: pid_path.to_owned(), pid });
            }
            Err(why) => return Err(os_at("locking", path)(why).into()),
        }
        // The file may have been removed between opening and locking; then the lock protects nothing.
        if state_file::is_still_at(&file, path) {
            let ours = read_pids(&file, 2);
            let own = std::process::id();
            let in_pid_file = state_file::open(pid_path).ok().and_then(|file| read_pid(&file));
            let text = format!("{own}\n{}\n", in_pid_file.filter(|pid| ours.contains(pid)).unwrap_or(own));
            // Cut afterwards, so that a daemon that is killed here leaves no empty file.
            let written = file.write_all_at(text.as_bytes(), 0).and_then(|()| file.set_len(text.len() as u64));
            written.map_err(os_at("writing", path))?;
            return Ok((OwnLock::File(file), ours));
        }
    }
}

/// A flock(2) on a file that anybody can open.
enum FlockState {
    /// The lock was free and is held now.
    Held(HeldFlock),
    /// An unprivileged process has the lock.
    Unprivileged,
    /// There is no file, or none that a cron has written or locked.
    NoFile,
}

impl FlockState {
    /// The lock, and whether an unprivileged process has it.
    fn into_held(self) -> (Option<HeldFlock>, bool) {
        match self {
            FlockState::Held(file) => (Some(file), false),
            FlockState::Unprivileged => (None, true),
            FlockState::NoFile => (None, false),
        }
    }
}

/// Takes the reference implementations' lock on whatever PID file is there. A symbolic link in its place is an error: where it leads, a daemon that
/// follows it may have its lock.
fn take_foreign_lock(path: &Path) -> Result<FlockState, LockError> {
    match state_file::open_or_create(path) {
        Err(why) if why.raw_os_error() != Some(libc::ELOOP) && state_file::is_no_regular_file(&why) => {
            Ok(FlockState::NoFile)
        }
        opened => take_flock(opened.map_err(os_at("opening", path))?, path),
    }
}

/// Takes the lock of an open file, unless a privileged process has it.
fn take_flock(file: File, path: &Path) -> Result<FlockState, LockError> {
    match try_flock(file, path)? {
        Ok(held) => Ok(FlockState::Held(held)),
        Err(file) => match privileged_holder(&file) {
            Some(pid) => Err(LockError::AlreadyRunning { path: path.to_owned(), pid: Some(pid) }),
            None => Ok(FlockState::Unprivileged),
        },
    }
}

/// Takes the lock of an open file, or returns the file if another process has it.
fn try_flock(file: File, path: &Path) -> Result<Result<HeldFlock, File>, PathError> {
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(held) => Ok(Ok(HeldFlock(Some(held)))),
        Err((file, Errno::EWOULDBLOCK)) => Ok(Err(file)),
        Err((_, why)) => Err(os_at("locking", path)(why)),
    }
}

/// Locks a directory that only its owner, root or our own user, can open, so that whoever has the lock is a daemon. None: there is no such
/// directory.
///
/// A child that a killed daemon has just forked has the lock until its exec. So it is tried again while no living process is known to have it.
fn lock_private(path: &Path, pid_path: &Path) -> Result<Option<HeldFlock>, LockError> {
    let Ok(directory) = files::open_dir(path) else { return Ok(None) };
    let mut directory = File::from(directory);
    let found = directory.metadata().map_err(os_at("reading the state of", path))?;
    if ![0, own_uid()].contains(&found.uid()) || found.mode() & 0o066 != 0 {
        return Ok(None);
    }
    for _ in 0..LEFTOVER_TRIES {
        match try_flock(directory, path)? {
            Ok(held) => return Ok(Some(held)),
            Err(refused) => directory = refused,
        }
        if let Some(pid) = privileged_holder(&directory) {
            return Err(LockError::AlreadyRunning { path: pid_path.to_owned(), pid: Some(pid) });
        }
        std::thread::sleep(LEFTOVER_PAUSE);
    }
    Err(LockError::AlreadyRunning { path: pid_path.to_owned(), pid: None })
}

/// Writes the PID file under a temporary name, locks it, and renames it. No reader sees an incomplete file, and at no time is there an
/// unlocked one.
fn write_pid_file(run_dir: &Path, path: &Path) -> Result<HeldFlock, LockError> {
    let mut new = tempfile::Builder::new()
        .prefix(".crond.pid.")
        .make_in(run_dir, CreatedFile::create)
        .map_err(os_at("making the PID file in", run_dir))?;
    writeln!(new, "{}", std::process::id()).map_err(os_at("writing", path))?;
    new.as_file().set_mode(0o644).map_err(os_at("writing", path))?;
    let (file, place) = new.into_parts();
    let locked = Flock::lock(file.into(), FlockArg::LockExclusiveNonblock);
    let file = HeldFlock(Some(locked.map_err(|(_, why)| os_at("locking", path)(why))?));
    place.persist(path).map_err(|why| os_at("placing", path)(why.error))?;
    Ok(file)
}

fn read_pid(file: &File) -> Option<u32> {
    read_pids(file, 1).first().copied()
}

/// The process ids in the first lines of a file, as far as there are some.
fn read_pids(file: &File, lines: usize) -> Vec<u32> {
    let mut start = [0; 32];
    let length = file.read_at(&mut start, 0).unwrap_or(0);
    let text = start.get(..length).and_then(|start| std::str::from_utf8(start).ok()).unwrap_or_default();
    let pids = text.lines().take(lines).map_while(|line| line.trim().parse().ok());
    pids.filter(|pid| *pid > 0).collect()
}

/// The process of root's, or of our own user's, that holds a flock on that file. The kernel names the process that took
/// the lock, which for a daemon that forked is gone; so the pid that the file holds is asked too. It counts who has the
/// file open.
fn privileged_holder(file: &File) -> Option<u32> {
    let inode = file.metadata().ok()?;
    /// Bytes of the list that are read: any user may add to it.
    const MOST_LOCKS: u64 = 4 << 20;
    let mut locks = String::new();
    // Without /proc only the pid in the file is known.
    let _ = File::open("/proc/locks").and_then(|list| list.take(MOST_LOCKS).read_to_string(&mut locks));
    let candidates = read_pid(file).into_iter().chain(flock_holders(&locks, inode.ino()));
    candidates.into_iter().find(|pid| *pid != std::process::id() && is_privileged(*pid) && has_open(*pid, &inode))
}

/// The processes that /proc/locks (proc(5)) names as holders of a flock on that inode.
fn flock_holders(locks: &str, inode: u64) -> Vec<u32> {
    let holder = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (kind, pid, file) = (words.next()?, words.nth(2)?, words.next()?);
        let number: u64 = file.rsplit(':').next()?.parse().ok()?;
        (kind == "FLOCK" && number == inode).then(|| pid.parse().ok())?
    };
    locks.lines().filter_map(holder).collect()
}

/// Whether all user ids of a process are root's or our own user's. A set-user-ID program that somebody else has started has root's effective
/// id, may have inherited the lock, and still has the real id of whoever took it.
fn is_privileged(pid: u32) -> bool {
    let status = files::read_proc(Path::new(&format!("/proc/{pid}/status"))).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let own = nix::unistd::geteuid().as_raw();
    let is_trusted = |id: &str| id.parse().is_ok_and(|uid: u32| uid == 0 || uid == own);
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    ids.is_some_and(|ids| ids.split_ascii_whitespace().all(is_trusted))
}

fn has_open(pid: u32, file: &fs::Metadata) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    open.flatten()
        .filter_map(|entry| fs::metadata(entry.path()).ok())
        .any(|there| (there.dev(), there.ino()) == (file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn pid_in(dir: &Path) -> Option<u32> {
        read_pid(&File::open(dir.join("crond.pid")).ok()?)
    }

    #[test]
    fn the_second_one_is_told_the_pid_of_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = DaemonLock::take(dir.path(), "crond.pid", None).unwrap();
        assert_eq!(pid_in(dir.path()), Some(std::process::id()));
        let second = DaemonLock::take(dir.path(), "crond.pid", None).unwrap_err();
        assert_eq!(
            second.to_string(),
            format!(
                "can't lock {}, otherpid may be {}: Resource temporarily unavailable",
                dir.path().join("crond.pid").display(),
                std::process::id()
            )
        );
        fs::remove_file(dir.path().join("crond.pid")).unwrap();
        assert!(DaemonLock::take(dir.path(), "crond.pid", None).is_err(), "the PID file is not what decides");
        drop(first);
        DaemonLock::take(dir.path(), "crond.pid", None).unwrap();
    }

    #[test]
    fn a_lock_that_is_handed_on_is_held_throughout() {
        let dir = tempfile::tempdir().unwrap();
        let first = DaemonLock::take(dir.path(), "crond.pid", None).unwrap();
        // As over an exec: nothing is unlocked, the descriptors stay open.
        let kept: Vec<OwnedFd> = first.held().map(|held| held.try_clone_to_owned().unwrap()).collect();
        std::mem::forget(first);
        let resumed = DaemonLock::resume(dir.path(), "crond.pid", kept).unwrap();
        assert!(DaemonLock::take(dir.path(), "crond.pid", None).is_err());
        resumed.remove_pid_file();
        assert!(!dir.path().join("crond.pid").exists());
        drop(resumed);
        DaemonLock::take(dir.path(), "crond.pid", None).unwrap();
        assert!(DaemonLock::resume(dir.path(), "crond.pid", Vec::new()).is_err());
    }

    #[test]
    fn a_child_that_still_has_the_files_holds_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let first = DaemonLock::take(dir.path(), "crond.pid", None).unwrap();
        // As a child has them between fork and exec.
        let _childs: Vec<OwnedFd> = first.held().map(|held| held.try_clone_to_owned().unwrap()).collect();
        drop(first);
        DaemonLock::take(dir.path(), "crond.pid", None).unwrap();
    }

    #[test]
    fn of_two_daemons_with_a_read_only_directory_one_gets_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let pid_path = dir.path().join("crond.pid");
        let first = DaemonLock::take_directories(dir.path(), &pid_path, None).unwrap();
        assert!(first.is_read_only() && first.descriptor().is_none() && first.held().next().is_none());
        first.remove_pid_file();
        // This process has the lock itself, and does not count as another holder.
        let contested = DaemonLock::take_directories(dir.path(), &pid_path, None).unwrap();
        assert!(contested.pidfile_lock_contested && contested.is_second_possible);
        drop((first, contested));
        let free = DaemonLock::take_directories(dir.path(), &pid_path, None).unwrap();
        assert!(!free.pidfile_lock_contested && !free.is_second_possible);
        assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing is written");
    }

    #[test]
    fn a_lock_of_somebody_on_a_read_only_directory_lets_no_second_daemon_in() {
        let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let pid_path = dir.path().join("crond.pid");
        let take = || DaemonLock::take_directories(dir.path(), &pid_path, Some(state.path()));
        let chmod = |mode| fs::set_permissions(state.path(), fs::Permissions::from_mode(mode)).unwrap();
        // This process counts as an unprivileged user.
        let _somebodys = Flock::lock(File::open(dir.path()).unwrap(), FlockArg::LockExclusiveNonblock).unwrap();
        chmod(0o711);
        let first = take().unwrap();
        assert!(first.pidfile_lock_contested && !first.is_second_possible);
        let second = take().unwrap_err();
        assert!(matches!(second, LockError::AlreadyRunning { .. }), "{second}");
        drop(first);
        // Anybody could hold the lock of these.
        for mode in [0o755, 0o750, 0o702] {
            chmod(mode);
            assert!(take().unwrap().is_second_possible, "{mode:o}");
        }
        chmod(0o700);
        assert!(!take().unwrap().is_second_possible);
    }

    #[test]
    fn a_lock_left_to_a_child_of_a_killed_daemon_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOCK_FILE);
        let left = state_file::open_or_create(&path).unwrap();
        fcntl(&left, FcntlArg::F_OFD_SETLK(&whole_file(libc::F_WRLCK))).unwrap();
        // No process has this id: the kernel's limit is 2^22.
        fs::write(&path, "4194305\n").unwrap();
        let child = std::thread::spawn(move || {
            std::thread::sleep(LEFTOVER_PAUSE * 4);
            drop(left);
        });
        DaemonLock::take(dir.path(), "crond.pid", None).unwrap();
        child.join().unwrap();
    }

    #[test]
    fn a_stale_pid_file_is_no_hindrance_whoever_has_that_pid_now() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("crond.pid"), "1\n").unwrap();
        let lock = DaemonLock::take(dir.path(), "crond.pid", None).unwrap();
        assert!(!lock.pidfile_lock_contested);
        assert_eq!(pid_in(dir.path()), Some(std::process::id()));
        let mode = fs::metadata(dir.path().join("crond.pid")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o644);
    }

    #[test]
    fn a_pid_file_that_another_cron_left_is_told_from_our_own() {
        let dir = tempfile::tempdir().unwrap();
        let take = || DaemonLock::take(dir.path(), "crond.pid", None).unwrap();
        assert!(!take().foreign_daemon_ran, "nothing was there");
        assert!(!take().foreign_daemon_ran, "ours, left by a crash");
        fs::write(dir.path().join("crond.pid"), "1\n").unwrap();
        assert!(take().foreign_daemon_ran, "Debian's cron, which leaves its own behind");
        assert!(!take().foreign_daemon_ran);
    }

    #[test]
    fn daemons_that_are_killed_before_they_write_a_pid_file_leave_the_one_of_ours_before() {
        let dir = tempfile::tempdir().unwrap();
        let (lock_path, pid_path) = (dir.path().join(LOCK_FILE), dir.path().join("crond.pid"));
        // Also as a daemon of an earlier version has left it.
        for left in ["4194305\n", "4194305\n4194306\n", "4194306\n4194305\n"] {
            fs::write(&lock_path, left).unwrap();
            fs::write(&pid_path, "4194305\n").unwrap();
            for _ in 0..3 {
                drop(lock_ours(&lock_path, &pid_path).unwrap());
            }
            let text = fs::read_to_string(&lock_path).unwrap();
            assert_eq!(text, format!("{}\n4194305\n", std::process::id()));
            assert!(!DaemonLock::take(dir.path(), "crond.pid", None).unwrap().foreign_daemon_ran, "{left:?}");
        }
        fs::write(&pid_path, "4194307\n").unwrap();
        drop(lock_ours(&lock_path, &pid_path).unwrap());
        assert!(DaemonLock::take(dir.path(), "crond.pid", None).unwrap().foreign_daemon_ran);
    }

    #[test]
    fn only_our_own_pid_file_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let lock = DaemonLock::take(dir.path(), "crond.pid", None).unwrap();
        fs::write(dir.path().join("other"), "1\n").unwrap();
        fs::rename(dir.path().join("other"), dir.path().join("crond.pid")).unwrap();
        lock.remove_pid_file();
        assert_eq!(pid_in(dir.path()), Some(1));
        drop(lock);
        let lock = DaemonLock::take(dir.path(), "crond.pid", None).unwrap();
        lock.remove_pid_file();
        assert!(!dir.path().join("crond.pid").exists());
    }

    #[test]
    fn a_link_in_place_of_the_pid_file_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", dir.path().join("crond.pid")).unwrap();
        assert!(matches!(
            DaemonLock::take(dir.path(), "crond.pid", None),
            Err(LockError::Os(PathError { doing: "opening", .. }))
        ));
    }

    #[test]
    fn a_fifo_in_place_of_the_pid_file_is_replaced_and_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = || nix::unistd::mkfifo(&dir.path().join("crond.pid"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fifo();
        let first = DaemonLock::take(dir.path(), "crond.pid", None).unwrap();
        assert!(!first.pidfile_lock_contested && !first.foreign_daemon_ran);
        assert_eq!(pid_in(dir.path()), Some(std::process::id()));
        // The second one looks for the first one's pid there, too.
        fs::remove_file(dir.path().join("crond.pid")).unwrap();
        fs::write(dir.path().join(LOCK_FILE), "").unwrap();
        fifo();
        let second = DaemonLock::take(dir.path(), "crond.pid", None).unwrap_err();
        assert!(matches!(second, LockError::AlreadyRunning { pid: None, .. }), "{second}");
    }

    #[test]
    fn proc_locks_names_the_holders_of_one_file() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 00:1a:500 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 22 00:1a:500 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 33 00:1a:500 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 44 00:1a:501 0 EOF\n\
                     4: FLOCK  ADVISORY  READ -1 00:1a:500 0 EOF\n\
                     garbage\n";
        assert_eq!(flock_holders(locks, 500), [22]);
    }
}
