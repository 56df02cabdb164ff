//! The signals that a terminal's user sends: ignored while her editor has the terminal, held back while a file is being
//! replaced.

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use std::io;

const FROM_THE_TERMINAL: [Signal; 3] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT];

/// Gives the signals that end a program quietly their default meaning again (Rust ignores SIGPIPE), and makes a file that
/// grows beyond a limit an error instead of a signal. To be called first in main.
pub fn as_usual() -> io::Result<()> {
    for (which, how) in FROM_THE_TERMINAL
        .map(|which| (which, SigHandler::SigDfl))
        .into_iter()
        .chain([(Signal::SIGPIPE, SigHandler::SigDfl), (Signal::SIGXFSZ, SigHandler::SigIgn)])
    {
        set(which, how)?;
    }
    Ok(())
}

/// The terminal's signals do nothing until this is dropped.
#[derive(Debug)]
pub struct Ignored(());

impl Ignored {
    /// Ignores them from now on.
    pub fn now() -> io::Result<Ignored> {
        let ignored = Ignored(());
        for which in FROM_THE_TERMINAL {
            set(which, SigHandler::SigIgn)?;
        }
        Ok(ignored)
    }
}

impl Drop for Ignored {
    fn drop(&mut self) {
        for which in FROM_THE_TERMINAL {
            // It took SIG_IGN, so it takes SIG_DFL.
            let _ = set(which, SigHandler::SigDfl);
        }
    }
}

/// Signals that would end us wait until this is dropped.
#[derive(Debug)]
pub struct HeldBack {
    before: SigSet,
}

impl HeldBack {
    /// Holds them back from now on.
    pub fn now() -> io::Result<HeldBack> {
        let mut before = SigSet::empty();
        let held: SigSet = FROM_THE_TERMINAL.into_iter().chain([Signal::SIGTERM, Signal::SIGTSTP]).collect();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&held), Some(&mut before))?;
        Ok(HeldBack { before })
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        // The mask that was in force is a valid mask.
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}

fn set(which: Signal, how: SigHandler) -> io::Result<()> {
    // SAFETY: no handler of ours is installed, only the kernel's own meanings.
    unsafe { signal(which, how) }?;
    Ok(())
}
