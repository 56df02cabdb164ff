//! Turns the program into a daemon (daemon(7)): two forks and a session between them. The caller waits until it is known whether the daemon
//! works.

use super::contract::{ProgramStart, SingleThreaded};
use super::{descriptor, process};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, pipe2, setsid};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

/// What happens to descriptors above 2 that the caller left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inherited {
    /// They are closed in this process at once.
    Closed,
    /// They stay open in this process, since a file to be read may be one of them (`crond <(echo ...)`), but are closed on exec.
    KeptHere,
}

/// The process that [`daemonize`] has returned in.
#[derive(Debug)]
pub enum Role {
    /// The process that was called. It ends with this result.
    Caller(StartupResult),
    /// The daemon. It reports to its caller through the pipe.
    Daemon(ReadinessPipe),
}

/// How the daemon's start went, as its caller sees it.
#[derive(Debug, PartialEq, Eq)]
pub enum StartupResult {
    /// The daemon has started and is ready.
    Ready,
    /// It is not, for this reason. Empty if it died without a report.
    Failed(String),
}

/// The daemon's end of the pipe to its caller. If it is dropped unused, the caller takes the start as failed.
#[derive(Debug)]
pub struct ReadinessPipe(File);

/// The first byte of a report that the daemon is ready.
const READY: u8 = b'1';

impl ReadinessPipe {
    /// Reports that the daemon is ready, after which the caller ends.
    pub fn report_ready(mut self) {
        // The caller may have been killed meanwhile.
        let _ = self.0.write_all(&[READY]);
    }

    /// Reports why the daemon did not start, after which the caller ends.
    pub fn report_failure(mut self, why: &str) {
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
    let _ = descriptor::close_range(descriptor::Unused::at_start(&start), 3, u32::MAX, flags);
    start.finish()
}

/// Sets the name that ps(1) shows for the command. After an exec of a link in /proc it would be the link's name.
pub fn set_own_name(name: &str) {
    process::set_name(&std::ffi::CString::new(name).unwrap_or_default());
}

/// Opens /dev/null for each of the descriptors 0, 1 and 2 that the caller closed, so that no other file gets its number.
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

fn fork_alone(_threads: &SingleThreaded) -> io::Result<ForkResult> {
    // SAFETY: there is one thread, so the child may do whatever its parent could.
    Ok(unsafe { fork() }?)
}

/// Separates the process from its caller, terminal and directory. Standard error stays open if `keep_stderr` is set, since the log goes
/// there.
pub fn daemonize(threads: &SingleThreaded, keep_stderr: bool) -> io::Result<Role> {
    let (parent_end, readiness) = pipe2(OFlag::O_CLOEXEC)?;
    match fork_alone(threads)? {
        ForkResult::Parent { child } => {
            drop(readiness);
            // The intermediate process ends at once.
            waitpid(child, None)?;
            Ok(Role::Caller(receive_result(parent_end)))
        }
        ForkResult::Child => {
            drop(parent_end);
            setsid()?;
            match fork_alone(threads)? {
                // This process must not run destructors or flush buffers of its parent.
                ForkResult::Parent { .. } => process::exit_now(0),
                ForkResult::Child => {
                    let readiness = ReadinessPipe(File::from(readiness));
                    leave_callers_environment(keep_stderr)?;
                    Ok(Role::Daemon(readiness))
                }
            }
        }
    }
}

fn receive_result(pipe: OwnedFd) -> StartupResult {
    let mut words = Vec::new();
    // A pipe that cannot be read counts as a daemon that died.
    let _ = File::from(pipe).read_to_end(&mut words);
    match words.split_first() {
        Some((&READY, _)) => StartupResult::Ready,
        Some((_, why)) => StartupResult::Failed(String::from_utf8_lossy(why).into_owned()),
        None => StartupResult::Failed(String::new()),
    }
}

/// Leaves directory, umask and standard descriptors of the caller.
fn leave_callers_environment(keep_stderr: bool) -> io::Result<()> {
    std::env::set_current_dir("/")?;
    process::set_umask(0);
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    if !keep_stderr {
        nix::unistd::dup2_stderr(&null)?;
    }
    Ok(())
}
