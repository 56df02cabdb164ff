//! Descriptors of processes: waiting for the end of a process that is not our child, and signals to it (pidfd_open(2), Linux 5.3).

use super::process::{Ask, Pid};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Opens a descriptor that becomes readable when the process has ended. It is closed on exec.
pub fn open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: the call takes integers only; a number that is not negative is a descriptor that the kernel has just made and that nobody else
    // knows.
    unsafe {
        let number = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        let number = i32::try_from(number).ok().filter(|number| *number >= 0).ok_or_else(io::Error::last_os_error)?;
        Ok(OwnedFd::from_raw_fd(number))
    }
}

/// Signals the process of this descriptor (pidfd_send_signal(2)).
pub fn signal(process: &OwnedFd, ask: Ask) -> io::Result<()> {
    let number = ask.signal() as libc::c_int;
    // SAFETY: two integers, no signal information, no flags; the descriptor is open as long as it is borrowed.
    let done = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), number, std::ptr::null::<libc::siginfo_t>(), 0)
    };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll::Poll;
    use crate::sys::process;

    #[test]
    fn the_end_of_a_process_makes_its_descriptor_readable() {
        let child = std::process::Command::new("sleep").arg("60").spawn().unwrap().id();
        let (poll, descriptor) = (Poll::new().unwrap(), open(child).unwrap());
        poll.add(&descriptor, 1).unwrap();
        assert!(!poll.wait_for_any(Some(0)).unwrap());
        process::signal(child, process::Ask::Kill).unwrap();
        assert!(poll.wait_for_any(Some(10_000)).unwrap());
        process::wait(child).unwrap();
        assert!(open(child).is_err());
    }
}
