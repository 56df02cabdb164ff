//! The first instructions of a program that runs for a millisecond: C's `main` instead of std's.
//!
//! Before it calls a `main`, std looks for the guard page of the main thread's stack (glibc reads /proc/self/maps for that) and
//! installs a handler that tells of an overflow: a fifth of the instructions of `crontab -l`, and a dozen system calls. The
//! kernel's gap below the stack ends an overflow just as well, without those words. What else std does is done here.

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};
use std::ffi::c_int;
use std::fs::File;
use std::os::fd::IntoRawFd;

/// What a program that panics ends with, as under std's `main`.
const PANICKED: u8 = 101;
/// What a program ends with that has no place to say why.
const SPEECHLESS: u8 = 1;

/// Makes `$program`, a `fn() -> u8` that gives the exit status, the program's entry. For a binary with
/// `#![cfg_attr(not(test), no_main)]`: the harness of its tests brings a main of its own.
#[macro_export]
macro_rules! entry {
    ($program:path) => {
        // SAFETY: C's start code calls the symbol `main` of the program once, with arguments that may be ignored; the program has
        // no other of that name, having no `main` of Rust.
        #[cfg(not(test))]
        #[unsafe(no_mangle)]
        extern "C" fn main() -> std::ffi::c_int {
            $crate::sys::entry::run($program)
        }
    };
}

/// Does what std does around a `main`, but for the look at the stack: sees to descriptors 0 to 2, ignores SIGPIPE, ends with the program's
/// status, and with 101 after a panic. Not to return keeps what is in std's buffers from being lost.
pub fn run(program: fn() -> u8) -> c_int {
    let status = if standard_descriptors_are_open() {
        // SAFETY: no handler is installed, SIGPIPE is ignored. That cannot be refused.
        let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
        std::panic::catch_unwind(program).unwrap_or(PANICKED)
    } else {
        SPEECHLESS
    };
    #[allow(clippy::exit)] // This is the end of main.
    std::process::exit(status.into())
}

/// Opens /dev/null in place of each of descriptors 0 to 2 that the caller left closed: a file that is opened later would else be taken
/// for standard input, output or the place for errors. False if that cannot be done.
fn standard_descriptors_are_open() -> bool {
    let mut asked = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // SAFETY: the kernel writes to these three entries and nowhere else.
    while unsafe { libc::poll(asked.as_mut_ptr(), 3, 0) } < 0 {
        if Errno::last() != Errno::EINTR {
            return false;
        }
    }
    // Each gets the lowest number that is free: in this order, the one that is missing.
    asked.iter().filter(|one| one.revents & libc::POLLNVAL != 0).all(|one| {
        let null = File::options().read(true).write(true).open("/dev/null");
        null.is_ok_and(|null| null.into_raw_fd() == one.fd)
    })
}
