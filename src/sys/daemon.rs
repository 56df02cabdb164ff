//! Becoming a daemon (daemon(7)): two forks and a session between them, with the caller waiting until it is known
//! whether the daemon works.

use super::contract::{ProgramStart, SingleThreaded};
use super::descriptor;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, pipe2, setsid};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

/// What is to happen with the descriptors above 2 that the caller left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inherited {
    /// Closed.
    Closed,
    /// Kept here, as a file to be read may be one of them (`crond <(echo ...)`), but not passed on to any program.
    KeptHere,
}

/// Which of the two processes this is.
#[derive(Debug)]
pub enum Role {
    /// The one that was called: ends with what the daemon told about its start.
    Caller(StartupResult),
    /// The daemon: to tell its caller how it went.
    Daemon(ReadinessPipe),
}

/// How the daemon's start went, as its caller sees it.
#[derive(Debug, PartialEq, Eq)]
pub enum StartupResult {
    /// It is ready.
    Ready,
    /// It is not, for this reason (empty: it died without a word).
    Failed(String),
}

/// The daemon's end of the pipe to its caller. Dropped unused it says that the start failed.
#[derive(Debug)]
pub struct ReadinessPipe(File);

/// What keeping the promise says first.
const READY: u8 = b'1';

impl ReadinessPipe {
    /// Lets the caller go: the daemon is ready.
    pub fn keep(mut self) {
        // A caller that was killed meanwhile need not be told.
        let _ = self.0.write_all(&[READY]);
    }

    /// Lets the caller go with a complaint.
    pub fn break_with(mut self, why: &str) {
        let _ = self.0.write_all(b"0").and_then(|()| self.0.write_all(why.as_bytes()));
    }
}

/// Closes the descriptors above 2 that the caller left open, or has exec close them. This ends the start of the program, since from now on it
/// may own descriptors.
pub fn close_inherited(start: ProgramStart, what: Inherited) -> SingleThreaded {
    let flags = match what {
        Inherited::Closed => 0,
        Inherited::KeptHere => libc::CLOSE_RANGE_CLOEXEC,
    };
    // Without /proc on an old kernel they stay open.
    let _ = descriptor::close_range(3, u32::MAX, flags);
    start.finish()
}

/// Sets the name that ps(1) shows as the command's, which is another one after an exec by a link of /proc.
pub fn set_own_name(name: &str) {
    super::process::set_name(&std::ffi::CString::new(name).unwrap_or_default());
}

/// Opens whichever of the descriptors 0, 1 and 2 the caller closed on /dev/null, so that no file of ours can take its place.
pub fn fill_standard_streams() -> io::Result<()> {
    loop {
        let null = open("/dev/null", OFlag::O_RDWR, Mode::empty())?;
        if null.as_raw_fd() > 2 {
            return Ok(());
        }
        // Stays open for good, as the stream that was missing.
        std::mem::forget(null);
    }
}

/// Forks; both processes return.
fn fork_alone(_threads: &SingleThreaded) -> io::Result<ForkResult> {
    // SAFETY: there is one thread, so the child may do whatever its parent could.
    Ok(unsafe { fork() }?)
}

/// Leaves caller, terminal and directory behind. Standard error is left alone when
/// `keep_stderr` (the log goes there).
pub fn daemonize(threads: &SingleThreaded, keep_stderr: bool) -> io::Result<Role> {
    let (told, promise) = pipe2(OFlag::O_CLOEXEC)?;
    match fork_alone(threads)? {
        ForkResult::Parent { child } => {
            drop(promise);
            // The one in the middle ends at once.
            waitpid(child, None)?;
            Ok(Role::Caller(hear(told)))
        }
        ForkResult::Child => {
            drop(told);
            setsid()?;
            match fork_alone(threads)? {
                // This process ends without running anything that was meant for its parent.
                ForkResult::Parent { .. } => super::process::exit_now(0),
                ForkResult::Child => {
                    let promise = ReadinessPipe(File::from(promise));
                    settle(keep_stderr)?;
                    Ok(Role::Daemon(promise))
                }
            }
        }
    }
}

fn hear(told: OwnedFd) -> StartupResult {
    let mut words = Vec::new();
    // An unreadable pipe says as little as a daemon that died.
    let _ = File::from(told).read_to_end(&mut words);
    match words.split_first() {
        Some((&READY, _)) => StartupResult::Ready,
        Some((_, why)) => StartupResult::Failed(String::from_utf8_lossy(why).into_owned()),
        None => StartupResult::Failed(String::new()),
    }
}

fn settle(keep_stderr: bool) -> io::Result<()> {
    std::env::set_current_dir("/")?;
    super::process::set_umask(0);
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    if !keep_stderr {
        nix::unistd::dup2_stderr(&null)?;
    }
    Ok(())
}
