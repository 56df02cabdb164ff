//! Waiting for many things at once: epoll, and a bell that another thread can ring.

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// A set of descriptors, each under a number of the caller's.
#[derive(Debug)]
pub struct Poll(Epoll);

impl Poll {
    /// An empty set.
    pub fn new() -> io::Result<Poll> {
        Ok(Poll(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// Adds a descriptor: wait until it is readable (or hung up).
    pub fn add(&self, descriptor: impl AsFd, number: u64) -> io::Result<()> {
        Ok(self.0.add(descriptor, EpollEvent::new(EpollFlags::EPOLLIN, number))?)
    }

    /// Adds a descriptor: wait until it is writable (or its reader is gone).
    pub fn add_for_writing(&self, descriptor: impl AsFd, number: u64) -> io::Result<()> {
        Ok(self.0.add(descriptor, EpollEvent::new(EpollFlags::EPOLLOUT, number))?)
    }

    /// Adds a descriptor: wait for an exceptional condition, such as a change of the mount table.
    pub fn add_for_exceptions(&self, descriptor: impl AsFd, number: u64) -> io::Result<()> {
        Ok(self.0.add(descriptor, EpollEvent::new(EpollFlags::EPOLLPRI, number))?)
    }

    /// Waits for that descriptor to be writable too, or no longer.
    pub fn want_writable(&self, descriptor: impl AsFd, number: u64, writable: bool) -> io::Result<()> {
        let mut flags = EpollFlags::EPOLLIN;
        flags.set(EpollFlags::EPOLLOUT, writable);
        Ok(self.0.modify(descriptor, &mut EpollEvent::new(flags, number))?)
    }

    /// Takes a descriptor out.
    pub fn remove(&self, descriptor: impl AsFd) -> io::Result<()> {
        Ok(self.0.delete(descriptor)?)
    }

    /// Waits at most that many milliseconds (none: without end) and gives the numbers of those that are ready, `MOST` of them at most.
    pub fn wait<const MOST: usize>(
        &self,
        at_most_ms: Option<u64>,
    ) -> io::Result<impl Iterator<Item = u64> + use<MOST>> {
        let mut ready = [EpollEvent::empty(); MOST];
        // A longer wait than an i32 of milliseconds (24 days) is one wake-up earlier than asked for, which is allowed.
        let timeout = match at_most_ms {
            Some(ms) => EpollTimeout::try_from(i32::try_from(ms).unwrap_or(i32::MAX)).unwrap_or(EpollTimeout::ZERO),
            None => EpollTimeout::NONE,
        };
        let count = match self.0.wait(&mut ready, timeout) {
            Err(Errno::EINTR) => 0,
            waited => waited?,
        };
        Ok(ready.into_iter().take(count).map(|event| event.data()))
    }

    /// Waits at most that long for anything at all; whether there is something.
    pub fn wait_for_any(&self, at_most_ms: Option<u64>) -> io::Result<bool> {
        Ok(self.wait::<1>(at_most_ms)?.next().is_some())
    }
}

/// A set is readable itself while something in it is ready, so that it can be a part of another.
impl AsFd for Poll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

/// Wakes a waiting thread from another one.
#[derive(Clone, Debug)]
pub struct Notifier(Arc<EventFd>);

impl Notifier {
    /// A silent bell.
    pub fn new() -> io::Result<Notifier> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Notifier(Arc::new(EventFd::from_flags(flags)?)))
    }

    /// Makes it readable. Cannot fail in a way that matters: a full counter is readable already.
    pub fn ring(&self) {
        let _ = self.0.write(1);
    }

    /// Silences it again.
    pub fn answer(&self) {
        let _ = self.0.read();
    }
}

impl AsFd for Notifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_rung_in_another_thread_wakes_the_waiting_one() {
        let (poll, bell) = (Poll::new().unwrap(), Notifier::new().unwrap());
        poll.add(&bell, 7).unwrap();
        assert!(!poll.wait_for_any(Some(0)).unwrap());
        let other = bell.clone();
        let thread = std::thread::spawn(move || other.ring());
        assert!(poll.wait::<4>(None).unwrap().eq([7]));
        thread.join().unwrap();
        bell.answer();
        assert!(!poll.wait_for_any(Some(0)).unwrap());
    }
}
