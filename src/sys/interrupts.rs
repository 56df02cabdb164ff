//! Signal handling of a command: which signals end it, and when.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Signals that a terminal sends to all processes in the foreground, including the editor.
const FROM_THE_TERMINAL: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT];

/// Signals that the kernel sends after a fault. If they were blocked, they would end the program without their default action.
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

/// Turns the signals for a file beyond its size limit and for a pipe without readers into errors. Must be called first in main.
pub fn make_write_signals_errors() -> io::Result<()> {
    set(Signal::SIGXFSZ, SigHandler::SigIgn)?;
    set(Signal::SIGPIPE, SigHandler::SigIgn)?;
    Ok(())
}

/// Makes writing to a pipe without readers end the program, as is usual for programs that only produce output.
pub fn end_on_broken_pipe() -> io::Result<()> {
    set(Signal::SIGPIPE, SigHandler::SigDfl).map(drop)
}

/// Ignores the terminal's signals in this process and in the programs that it executes. For the child that executes the editor's shell: as
/// in the reference implementations, an interrupt then reaches only an editor that handles it.
pub fn ignore_terminal() -> io::Result<()> {
    FROM_THE_TERMINAL.into_iter().try_for_each(|which| set(which, SigHandler::SigIgn).map(drop))
}

/// Blocks all signals that can be blocked until this is dropped, including those that stop a program. For short operations that must not be
/// interrupted halfway.
#[derive(Debug)]
pub struct BlockedSignals {
    before: SigSet,
}

impl BlockedSignals {
    /// Blocks the signals until the value is dropped.
    pub fn now() -> io::Result<BlockedSignals> {
        Ok(BlockedSignals { before: block(&all_but(&FAULTS))? })
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        restore(&self.before);
    }
}

/// Blocks the signals that ask the program to end and makes them readable, until this is dropped. Signals that the caller ignores are not
/// among them.
#[derive(Debug)]
pub struct EndRequests {
    before: SigSet,
    pending: SignalFd,
}

impl EndRequests {
    /// Blocks the signals. Children inherit that.
    pub fn block() -> io::Result<EndRequests> {
        let mut set = all_but(&FAULTS);
        NO_END.into_iter().for_each(|which| set.remove(which));
        Signal::iterator().filter(|which| is_ignored(*which)).for_each(|which| set.remove(which));
        let pending = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(EndRequests { before: block(&set)?, pending })
    }

    /// Takes the next pending request to end, if there is one.
    pub fn arrived(&self) -> Option<EndRequest> {
        let info = self.pending.read_signal().ok().flatten()?;
        i32::try_from(info.ssi_signo).ok().map(EndRequest)
    }

    /// Waits until `input` is readable or has ended, or a request to end arrives.
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
                // After an error the following read reports what is wrong.
                Ok(_) | Err(_) => return None,
            }
        }
    }

    /// Discards pending signals of the terminal, which were meant for the editor.
    pub fn forget_terminal(&self) {
        for which in FROM_THE_TERMINAL {
            // The kernel drops a pending signal when it becomes ignored. Neither call can fail for these signals.
            let _ = set(which, SigHandler::SigIgn).and_then(|before| set(which, before));
        }
    }
}

/// Readable while a request to end is pending.
impl AsFd for EndRequests {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pending.as_fd()
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
    /// Ends the program by this signal, so that its parent sees the reason.
    pub fn end_program(self) {
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

/// Blocks the signals that a program with the whole screen has to handle, and makes them readable, until this is dropped.
#[derive(Debug)]
pub struct ScreenSignals {
    before: SigSet,
    pending: SignalFd,
}

/// A signal to a program with the whole screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScreenSignal {
    /// The program is to end.
    End(EndRequest),
    /// The program is to stop: see [`stop_program`].
    Stop,
    /// It continues after it was stopped, maybe on a screen that another program has used.
    Continue,
    /// The size of the terminal has changed.
    Resize,
}

impl ScreenSignals {
    /// Blocks the signals. Those that the caller ignores are not among them.
    pub fn block() -> io::Result<ScreenSignals> {
        const OF_THE_SCREEN: [Signal; 3] = [Signal::SIGTSTP, Signal::SIGCONT, Signal::SIGWINCH];
        let mut set = all_but(&FAULTS);
        NO_END.into_iter().filter(|which| !OF_THE_SCREEN.contains(which)).for_each(|which| set.remove(which));
        Signal::iterator().filter(|which| is_ignored(*which)).for_each(|which| set.remove(which));
        let pending = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(ScreenSignals { before: block(&set)?, pending })
    }

    /// Takes the next pending signal, if there is one.
    pub fn arrived(&self) -> Option<ScreenSignal> {
        let info = self.pending.read_signal().ok().flatten()?;
        let number = i32::try_from(info.ssi_signo).ok()?;
        Some(match Signal::try_from(number) {
            Ok(Signal::SIGTSTP) => ScreenSignal::Stop,
            Ok(Signal::SIGCONT) => ScreenSignal::Continue,
            Ok(Signal::SIGWINCH) => ScreenSignal::Resize,
            Ok(_) | Err(_) => ScreenSignal::End(EndRequest(number)),
        })
    }
}

/// Readable while a signal is pending.
impl AsFd for ScreenSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pending.as_fd()
    }
}

impl Drop for ScreenSignals {
    fn drop(&mut self) {
        restore(&self.before);
    }
}

/// Stops the program until it is continued, as a shell expects it of a program in the foreground.
pub fn stop_program() -> io::Result<()> {
    // SIGTSTP would do nothing while it is blocked.
    Ok(nix::sys::signal::raise(Signal::SIGSTOP)?)
}

fn all_but(which: &[Signal]) -> SigSet {
    let mut set = SigSet::all();
    which.iter().for_each(|which| set.remove(*which));
    set
}

/// Blocks these signals in addition and returns the previous mask.
fn block(set: &SigSet) -> io::Result<SigSet> {
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(set), Some(&mut before))?;
    Ok(before)
}

fn restore(before: &SigSet) {
    // The mask that was in force is a valid mask.
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(before), None);
}

/// Whether the end of the terminal does not end this program, as below nohup(1).
pub fn is_hangup_ignored() -> bool {
    is_ignored(Signal::SIGHUP)
}

fn is_ignored(which: Signal) -> bool {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is changed; the kernel's answer is written to `now`, for which all-zero bytes are valid, too.
    unsafe {
        libc::sigaction(which as i32, std::ptr::null(), now.as_mut_ptr()) == 0
            && now.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Sets the disposition of a signal and returns the previous one.
fn set(which: Signal, how: SigHandler) -> io::Result<SigHandler> {
    // SAFETY: no handler of ours is installed, only the kernel's own meanings.
    Ok(unsafe { signal(which, how) }?)
}
