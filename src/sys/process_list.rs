//! The machine's processes as /proc shows them, and signals to exactly one of them (proc(5), pidfd_send_signal(2)).

use super::process::{Ask, Pid};
use super::{files, pidfd, process};
use std::fs::{self, ReadDir};
use std::io;

/// A process, named for good: the kernel gives a process id out again, but not with the same start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct ProcessIdentity {
    /// The process id, which the kernel may use again.
    pub pid: Pid,
    /// Start time in clock ticks since boot.
    pub started: u64,
}

/// What /proc/PID/stat says about one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessEntry {
    /// Its process id and start time.
    pub identity: ProcessIdentity,
    /// Process id of its parent.
    pub parent: Pid,
    /// Its session: the process id of the process that began it.
    pub session: Pid,
    /// Whether it has ended and only its parent has not taken notice of that yet.
    pub has_ended: bool,
}

/// Reads the entry of one process. None if there is none with this id.
///
/// # Errors
///
/// The entry cannot be read now, for want of descriptors or memory for instance: nothing is known of the process.
pub fn entry(pid: Pid) -> io::Result<Option<ProcessEntry>> {
    match files::read_proc(format!("/proc/{pid}/stat").as_ref()) {
        Ok(stat) => Ok(parse(pid, &stat)),
        // The process may end while its entry is read.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The identity of the process that has this id now. None if there is none, or it cannot be read.
pub fn identity(pid: Pid) -> Option<ProcessIdentity> {
    entry(pid).ok().flatten().map(|entry| entry.identity)
}

/// Whether a process was started with this variable, `NAME=VALUE`, in its environment. False if that cannot be read.
pub fn was_started_with(pid: Pid, variable: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|one| one == variable.as_bytes())
}

/// Whether the process has a shared library mapped whose file has been deleted, or replaced by another, since it was loaded. False if
/// this cannot be found out.
pub fn has_deleted_libraries(pid: Pid) -> bool {
    fs::read(format!("/proc/{pid}/maps")).is_ok_and(|maps| maps.split(|byte| *byte == b'\n').any(is_deleted_library))
}

/// Whether a line of /proc/PID/maps is about the code of a library without a file.
fn is_deleted_library(line: &[u8]) -> bool {
    let code_of_library = || memchr::memmem::find(line, b" r-xp ").and_then(|_| memchr::memmem::find(line, b".so"));
    line.ends_with(b" (deleted)") && code_of_library().is_some()
}

fn parse(pid: Pid, stat: &[u8]) -> Option<ProcessEntry> {
    // The second field, in parentheses, is the name of the program, which may hold any bytes.
    let end = memchr::memrchr(b')', stat)?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let _group = fields.next()?;
    // 0 outside of this pid namespace.
    let session = fields.next()?.parse().ok()?;
    // The start time is field 22, and the session is field 6.
    let started = fields.nth(15)?.parse().ok()?;
    let has_ended = matches!(state, "Z" | "X" | "x");
    Some(ProcessEntry { identity: ProcessIdentity { pid, started }, parent, session, has_ended })
}

/// Reads the list of all processes in pieces. A process that exists during the whole of it is in the list.
#[derive(Debug)]
pub struct ProcessWalk {
    directory: ReadDir,
}

impl ProcessWalk {
    /// Opens /proc to read its processes in portions.
    pub fn begin() -> io::Result<ProcessWalk> {
        Ok(ProcessWalk { directory: fs::read_dir("/proc")? })
    }

    /// Reads at most `most` further names of /proc and appends the processes among them. False at the end of the list.
    ///
    /// # Errors
    ///
    /// A name or an entry cannot be read: the list would lack processes that exist.
    pub fn read_some(&mut self, most: usize, into: &mut Vec<ProcessEntry>) -> io::Result<bool> {
        for _ in 0..most {
            let Some(name) = self.directory.next() else { return Ok(false) };
            if let Some(pid) = name?.file_name().to_str().and_then(|name| name.parse().ok()) {
                into.extend(entry(pid)?);
            }
        }
        Ok(true)
    }
}

/// Signals this process if it still exists. False if it does not. A process that has got its id meanwhile is never signalled.
pub fn signal_exactly(identity: ProcessIdentity, ask: Ask) -> io::Result<bool> {
    match pidfd::open(identity.pid) {
        Ok(descriptor) => {
            // The descriptor stays with the process that had the id when it was opened. If the identity is still right now, it was then.
            if self::identity(identity.pid) != Some(identity) {
                return Ok(false);
            }
            unless_gone(pidfd::signal(&descriptor, ask))
        }
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
        // A kernel or a filter of system calls without descriptors for processes.
        Err(_) if self::identity(identity.pid) == Some(identity) => unless_gone(process::signal(identity.pid, ask)),
        Err(_) => Ok(false),
    }
}

fn unless_gone(sent: io::Result<()>) -> io::Result<bool> {
    match sent {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::{Status, wait};

    /// A child that waits to be killed. The tests wait for it by its id.
    #[allow(clippy::zombie_processes)]
    fn sleeper() -> Pid {
        let child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        Pid::try_from(child.id()).unwrap()
    }

    #[test]
    fn the_entry_of_a_process_is_read_whatever_its_name_is() {
        let rest = "S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 170000 3000 0";
        for name in [&b"sh"[..], b"a) b (c", b"\xff\xfe)", b""] {
            let stat = [b"5 (", name, b") ", rest.as_bytes()].concat();
            let identity = ProcessIdentity { pid: 5, started: 4711 };
            let expected = ProcessEntry { identity, parent: 7, session: 9, has_ended: false };
            assert_eq!(parse(5, &stat), Some(expected), "{name:?}");
        }
        for broken in [&b""[..], b"5 (sh", b"5 (sh) S 7", b"5 (sh) S 7 8 x 0 -1"] {
            assert_eq!(parse(5, broken), None);
        }
        assert!(parse(5, format!("5 (sh) Z{}", &rest[1..]).as_bytes()).unwrap().has_ended);
    }

    #[test]
    fn a_library_without_its_file_is_told_from_other_deleted_files() {
        let line = |rest: &str| is_deleted_library(format!("7f00-7f01 {rest}").as_bytes());
        assert!(line("r-xp 00001000 fe:00 77     /usr/lib/libpam.so.0.85.1 (deleted)"));
        assert!(!line("r-xp 00001000 fe:00 77     /usr/lib/libpam.so.0.85.1"));
        assert!(!line("r--p 00000000 fe:00 77     /usr/lib/locale/a.so.x (deleted)"), "no code");
        assert!(!line("r-xp 00001000 fe:00 78     /usr/sbin/cron (deleted)"), "the program itself");
        assert!(!has_deleted_libraries(process::own_pid()));
    }

    #[test]
    fn a_walk_in_small_pieces_finds_this_process_and_its_children() {
        let child = sleeper();
        let (mut walk, mut entries) = (ProcessWalk::begin().unwrap(), Vec::new());
        while walk.read_some(3, &mut entries).unwrap() {}
        let found = entries.iter().find(|entry| entry.identity.pid == child).unwrap();
        assert_eq!((found.parent, found.has_ended), (process::own_pid(), false));
        assert!(entries.iter().any(|entry| entry.identity.pid == process::own_pid()));
        assert!(signal_exactly(found.identity, Ask::Kill).unwrap());
        wait(child).unwrap();
    }

    #[test]
    fn a_process_that_has_got_the_id_of_another_one_is_not_signalled() {
        let child = sleeper();
        let now = identity(child).unwrap();
        // The process that had this id before was started earlier.
        let earlier = ProcessIdentity { started: now.started - 1, ..now };
        assert!(!signal_exactly(earlier, Ask::Kill).unwrap());
        // If that signal had been sent, it would have come before this one.
        assert!(signal_exactly(now, Ask::Terminate).unwrap());
        assert_eq!(wait(child).unwrap(), Status::Signal { number: libc::SIGTERM, core_dumped: false });
        assert!(!signal_exactly(now, Ask::Kill).unwrap());
    }
}
