//! Signals that are read from a descriptor. They are blocked from the first statement of main on, so that none is lost and none interrupts
//! a system call.

use super::retry::retry_on_shortage;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// The meaning of a signal for the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalEvent {
    /// SIGHUP or SIGURG: read every crontab again.
    Reload,
    /// SIGTERM or SIGINT: stop.
    Stop,
    /// SIGUSR1: write the daemon's state to the log.
    LogState,
    /// SIGCHLD: a child has ended.
    Child,
}

const LISTENED: [(Signal, SignalEvent); 6] = [
    (Signal::SIGHUP, SignalEvent::Reload),
    (Signal::SIGURG, SignalEvent::Reload),
    (Signal::SIGTERM, SignalEvent::Stop),
    (Signal::SIGINT, SignalEvent::Stop),
    (Signal::SIGUSR1, SignalEvent::LogState),
    (Signal::SIGCHLD, SignalEvent::Child),
];

fn listened() -> SigSet {
    LISTENED.iter().map(|(signal, _)| *signal).collect()
}

/// The number of a signal by its name, with or without `SIG`, or by its number.
pub fn number_of(text: &str) -> Option<i32> {
    let name = text.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    let by_number = || text.parse().ok().and_then(|number: i32| Signal::try_from(number).ok());
    name.parse().ok().or_else(by_number).map(|signal: Signal| signal as i32)
}

/// The name of a signal, like `SIGHUP`. Real-time signals have none.
pub fn name_of(number: i32) -> Option<&'static str> {
    Signal::try_from(number).ok().map(Signal::as_str)
}

/// Blocks the signals that the daemon handles and resets their dispositions, which the caller may have changed (an ignored SIGCHLD would
/// hide the end of children). Must be called first in main, before there are threads.
pub fn block() -> io::Result<()> {
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&listened()), None)?;
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for (signal, _) in LISTENED {
        // SAFETY: no handler is installed, the default disposition is set.
        unsafe { sigaction(signal, &default) }?;
    }
    Ok(())
}

/// A descriptor from which the blocked signals are read.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Opens the descriptor. [`block`] must have been called before.
    pub fn new() -> io::Result<Signals> {
        Ok(Signals(SignalFd::with_flags(&listened(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// Reads the next pending signal, if there is one.
    pub fn read(&self) -> io::Result<Option<SignalEvent>> {
        loop {
            let info = match retry_on_shortage(|| Ok(self.0.read_signal()?)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            let Some(info) = info else { return Ok(None) };
            let event = LISTENED.iter().find(|(signal, _)| *signal as u32 == info.ssi_signo).map(|(_, event)| *event);
            if event.is_some() {
                return Ok(event);
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_is_read_once_with_its_meaning() {
        let mask = SigSet::from(Signal::SIGUSR1);
        mask.thread_block().unwrap();
        let signals = Signals::new().unwrap();
        assert_eq!(signals.read().unwrap(), None);
        // raise(3) sends it to this very thread.
        nix::sys::signal::raise(Signal::SIGUSR1).unwrap();
        assert_eq!(signals.read().unwrap(), Some(SignalEvent::LogState));
        assert_eq!(signals.read().unwrap(), None);
    }
}
