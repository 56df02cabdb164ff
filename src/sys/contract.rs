//! Tokens that prove what a function of this module relies on but cannot check itself.
//!
//! They have no size. A function with such a contract takes the token as an argument, so that code without `unsafe` can only call it where
//! the contract holds. A program makes its first token once, at the start of main ([`ProgramStart::begin`]); a forked child gets its own
//! ([`FreshChild`]).
//!
//! Limit: the compiler does not see that no thread is started while a [`SingleThreaded`] exists. `tests/source_rules.rs` has the few files
//! that start threads; they are used after [`SingleThreaded::end`].

use super::files;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::os::fd::RawFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Proves that this process has one thread, the one that holds the token. It cannot be sent to another thread.
///
/// Whoever starts a thread gives up the token first ([`SingleThreaded::end`]).
#[derive(Debug)]
pub struct SingleThreaded(PhantomData<*const ()>);

impl SingleThreaded {
    /// Makes a token without a check.
    ///
    /// # Safety
    /// As long as the token exists, the process must have no other thread. A thread is allowed if it is not affected by a fork, nor by
    /// changes of the environment, the umask and the locale: that is what the functions that take this token do.
    pub unsafe fn assume() -> SingleThreaded {
        SingleThreaded(PhantomData)
    }

    /// Gives up the token, before a thread is started.
    pub fn end(self) {}

    /// A token for unit tests, whose process has other threads. They must not fork with it: see [`alone`].
    #[cfg(test)]
    pub(crate) fn for_tests() -> SingleThreaded {
        SingleThreaded(PhantomData)
    }
}

/// Runs the body of a unit test that forks. The harness has a thread for each test that runs, so the test is started again in a process of its
/// own, where the only other thread waits for the test and holds no lock. The body must be a closure of the test function.
#[cfg(test)]
pub(crate) fn alone<F: FnOnce(&SingleThreaded)>(body: F) {
    const IS_ALONE: &str = "CRONWHEEL_TEST_IS_ALONE";
    if std::env::var_os(IS_ALONE).is_some() {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(matches!(threads_of(&status), Some(1..=2)), "{status}");
        return body(&SingleThreaded(PhantomData));
    }
    let path = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    let name = path.split_once("::").unwrap().1;
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    let output = again.args(["--exact", name, "--test-threads=1", "--nocapture"]).env(IS_ALONE, "").output().unwrap();
    let output = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.contains("test result: ok. 1 passed"), "{output}");
}

/// Why a program cannot start with [`ProgramStart`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProgramStartError {
    /// A library has started threads before main.
    #[error(
        "expected one thread at the start of the program, found {0}: check for preloaded libraries that start threads"
    )]
    Threads(usize),
    /// This is not the start of the program.
    #[error("the program has started already")]
    Again,
}

/// Proves that the program has just started: there is one thread, and no descriptor above 2 has an owner in this program.
#[derive(Debug)]
pub struct ProgramStart {
    threads: SingleThreaded,
    /// The numbers of descriptors that have got an owner.
    owned: RefCell<Vec<RawFd>>,
}

impl ProgramStart {
    /// Makes the token. Must be called at the start of main, before anything is opened.
    ///
    /// # Errors
    /// The process has more than one thread, or this was called before. Without /proc the number of threads is unknown and taken as one,
    /// which it is unless a preloaded library starts some.
    pub fn begin() -> Result<ProgramStart, ProgramStartError> {
        static HAS_BEGUN: AtomicBool = AtomicBool::new(false);
        if HAS_BEGUN.swap(true, Ordering::Relaxed) {
            return Err(ProgramStartError::Again);
        }
        let status = files::read_proc(Path::new("/proc/self/status")).unwrap_or_default();
        match threads_of(&String::from_utf8_lossy(&status)) {
            Some(count) if count != 1 => Err(ProgramStartError::Threads(count)),
            _ => Ok(ProgramStart { threads: SingleThreaded(PhantomData), owned: RefCell::default() }),
        }
    }

    /// A token for unit tests, for calls that only touch descriptors of the test.
    #[cfg(test)]
    pub(super) fn for_tests() -> ProgramStart {
        ProgramStart { threads: SingleThreaded::for_tests(), owned: RefCell::default() }
    }

    /// The proof that there is one thread.
    pub fn threads(&self) -> &SingleThreaded {
        &self.threads
    }

    /// Whether one of these descriptors has an owner already.
    pub(super) fn has_owner(&self, numbers: &[RawFd]) -> bool {
        numbers.iter().any(|number| self.owned.borrow().contains(number))
    }

    /// Notes that these descriptors have an owner now.
    pub(super) fn note_owner(&self, numbers: &[RawFd]) {
        self.owned.borrow_mut().extend(numbers);
    }

    /// Ends the start: from now on the program may own descriptors.
    pub fn finish(self) -> SingleThreaded {
        self.threads
    }
}

/// The number of threads in the text of /proc/PID/status (proc_pid_status(5)).
fn threads_of(status: &str) -> Option<usize> {
    status.lines().find_map(|line| line.strip_prefix("Threads:"))?.trim().parse().ok()
}

/// Proves that this process is a child that [`super::process::fork`] has made: it runs the function that was passed to the fork and never
/// returns to the caller of the fork. Descriptors that this function does not use have no owner any more.
#[derive(Debug)]
pub struct FreshChild(SingleThreaded);

impl FreshChild {
    /// The token of the child that has just been forked from a process with one thread.
    pub(super) fn forked() -> FreshChild {
        FreshChild(SingleThreaded(PhantomData))
    }

    /// The proof that there is one thread.
    pub fn threads(&self) -> &SingleThreaded {
        &self.0
    }

    /// Gives up the other rights of a fresh child, once it owns descriptors itself.
    pub fn finish(self) -> SingleThreaded {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_threads_is_read_from_the_status_of_a_process() {
        assert_eq!(threads_of("Name:\tcrond\nThreads:\t12\nSigQ:\t0/1\n"), Some(12));
        assert_eq!(threads_of(""), None);
    }

    #[test]
    fn a_program_with_threads_does_not_start_and_no_program_starts_twice() {
        let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
        match ProgramStart::begin() {
            Ok(_) => assert_eq!(threads, 1),
            Err(error) => assert!(matches!(error, ProgramStartError::Threads(2..)), "{error}"),
        }
        assert_eq!(ProgramStart::begin().unwrap_err(), ProgramStartError::Again);
    }
}
