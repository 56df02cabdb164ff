//! Signals in a program that one user runs for a moment: which of them end it, and when.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// What a terminal sends to everything in its foreground, the editor included.
const FROM_THE_TERMINAL: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT];

/// What the kernel sends to a program that did something wrong. Blocked, they would end it without their default action.
const FAULTS: [Signal; 7] =
    [Signal::SIGABRT, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGSEGV, Signal::SIGSYS, Signal::SIGTRAP];

/// Signals that do not ask a program to end: job control, and those that are ignored by default or here (PIPE, XFSZ).
const NO_END: [Signal; 9] = [
    Signal::SIGCHLD,
    Signal::SIGCONT,
    Signal::SIGPIPE,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGURG,
    Signal::SIGWINCH,
    Signal::SIGXFSZ,
];

/// Makes a file that grows beyond a limit, and a pipe that nobody reads, an error instead of a signal. To be called first in
/// main.
pub fn make_write_signals_errors() -> io::Result<()> {
    set(Signal::SIGXFSZ, SigHandler::SigIgn)?;
    set(Signal::SIGPIPE, SigHandler::SigIgn)?;
    Ok(())
}

/// Lets writing to a pipe that nobody reads end the program, as programs do whose output is all they are for.
pub fn end_on_broken_pipe() -> io::Result<()> {
    set(Signal::SIGPIPE, SigHandler::SigDfl).map(drop)
}

/// Ignores what a terminal sends, in this process and in the programs that it executes. For the child that becomes an
/// editor's shell: as in the reference implementations, an interrupt then reaches only an editor that asks for it.
pub fn ignore_terminal() -> io::Result<()> {
    FROM_THE_TERMINAL.into_iter().try_for_each(|which| set(which, SigHandler::SigIgn).map(drop))
}

/// All signals that can wait do so until this is dropped, those that stop a program included. For short operations that must
/// not end halfway.
#[derive(Debug)]
pub struct HeldBack {
    before: SigSet,
}

impl HeldBack {
    /// Holds them back from now on.
    pub fn now() -> io::Result<HeldBack> {
        Ok(HeldBack { before: block(&all_but(&FAULTS))? })
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        restore(&self.before);
    }
}

/// Signals that ask the program to end: blocked, and to be asked for, until this is dropped. Those that the caller had us
/// ignore are not among them.
#[derive(Debug)]
pub struct EndRequests {
    before: SigSet,
    pending: SignalFd,
}

impl EndRequests {
    /// Blocks them from now on. Children inherit that.
    pub fn block() -> io::Result<EndRequests> {
        let mut set = all_but(&FAULTS);
        NO_END.into_iter().for_each(|which| set.remove(which));
        Signal::iterator().filter(|which| is_ignored(*which)).for_each(|which| set.remove(which));
        let pending = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(EndRequests { before: block(&set)?, pending })
    }

    /// A request that has arrived, if one has; it is taken out of the queue.
    pub fn arrived(&self) -> Option<EndRequest> {
        let info = self.pending.read_signal().ok().flatten()?;
        i32::try_from(info.ssi_signo).ok().map(EndRequest)
    }

    /// Waits until `input` has something to read or has ended, or a request to end arrives.
    pub fn wait_for(&self, input: BorrowedFd<'_>) -> Option<EndRequest> {
        loop {
            let mut asked =
                [PollFd::new(input, PollFlags::POLLIN), PollFd::new(self.pending.as_fd(), PollFlags::POLLIN)];
            let answer = poll(&mut asked, PollTimeout::NONE);
            if let Some(request) = self.arrived() {
                return Some(request);
            }
            match answer {
                Err(nix::errno::Errno::EINTR) => {}
                // After an error the read that follows says what is wrong.
                Ok(_) | Err(_) => return None,
            }
        }
    }

    /// Forgets what the terminal sent: it was meant for the editor.
    pub fn forget_terminal(&self) {
        for which in FROM_THE_TERMINAL {
            // The kernel drops a pending signal when it becomes ignored. Neither call can fail for these signals.
            let _ = set(which, SigHandler::SigIgn).and_then(|before| set(which, before));
        }
    }
}

impl Drop for EndRequests {
    fn drop(&mut self) {
        restore(&self.before);
    }
}

/// A signal that asks the program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndRequest(i32);

impl EndRequest {
    /// Ends the program by that signal, so that whoever waits for it sees why.
    pub fn obey(self) {
        // SAFETY: sets the default action, installs no code of ours, and sends this process a signal.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::signal(self.0, libc::SIG_DFL);
            libc::raise(self.0);
            libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
        }
    }
}

fn all_but(which: &[Signal]) -> SigSet {
    let mut set = SigSet::all();
    which.iter().for_each(|which| set.remove(*which));
    set
}

/// Blocks these in addition, and returns what was blocked before.
fn block(set: &SigSet) -> io::Result<SigSet> {
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(set), Some(&mut before))?;
    Ok(before)
}

fn restore(before: &SigSet) {
    // The mask that was in force is a valid mask.
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(before), None);
}

fn is_ignored(which: Signal) -> bool {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is changed; the kernel's answer is written to `now`, for which all-zero bytes are valid, too.
    unsafe {
        libc::sigaction(which as i32, std::ptr::null(), now.as_mut_ptr()) == 0
            && now.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Sets what a signal does, and returns what it did before.
fn set(which: Signal, how: SigHandler) -> io::Result<SigHandler> {
    // SAFETY: no handler of ours is installed, only the kernel's own meanings.
    Ok(unsafe { signal(which, how) }?)
}
