//! Something that one of several processes may do.

use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A permit that a process shares with the children it forks: whoever takes it first has it, and nobody else ever gets it. Closed on exec.
#[derive(Debug)]
pub struct Permit(EventFd);

impl Permit {
    /// One that nobody has taken.
    pub fn new() -> io::Result<Permit> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Permit(EventFd::from_value_and_flags(1, flags)?))
    }

    /// Takes it; false when it is taken.
    pub fn take(&self) -> bool {
        // Reading makes it 0, which cannot be read.
        self.0.read().is_ok()
    }
}

impl AsFd for Permit {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::{self, Status};

    #[test]
    fn only_one_process_gets_it_and_only_once() {
        let permit = Permit::new().unwrap();
        let child = process::fork(|| i32::from(permit.take()) + i32::from(permit.take())).unwrap();
        assert_eq!(process::wait(child).unwrap(), Status::Code(1));
        assert!(!permit.take());
        assert!(Permit::new().unwrap().take());
    }
}
