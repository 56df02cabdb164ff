//! Waits for many descriptors at once with epoll, and wakes a waiting thread from another one.

use super::retry::retry_on_shortage;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// A set of descriptors, each registered with a number of the caller's choice.
#[derive(Debug)]
pub struct Poll(Epoll);

impl Poll {
    /// Makes an epoll instance without descriptors.
    pub fn new() -> io::Result<Poll> {
        Ok(Poll(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// Registers a descriptor for reading (and the end of the connection).
    pub fn add(&self, descriptor: impl AsFd, number: u64) -> io::Result<()> {
        Ok(self.0.add(descriptor, EpollEvent::new(EpollFlags::EPOLLIN, number))?)
    }

    /// Registers a descriptor for writing (and the end of its reader).
    pub fn add_for_writing(&self, descriptor: impl AsFd, number: u64) -> io::Result<()> {
        Ok(self.0.add(descriptor, EpollEvent::new(EpollFlags::EPOLLOUT, number))?)
    }

    /// Registers a descriptor for exceptional conditions, such as a change of the mount table.
    pub fn add_for_exceptions(&self, descriptor: impl AsFd, number: u64) -> io::Result<()> {
        Ok(self.0.add(descriptor, EpollEvent::new(EpollFlags::EPOLLPRI, number))?)
    }

    /// Changes whether a descriptor that is registered for reading is also registered for writing.
    pub fn want_writable(&self, descriptor: impl AsFd, number: u64, writable: bool) -> io::Result<()> {
        let mut flags = EpollFlags::EPOLLIN;
        flags.set(EpollFlags::EPOLLOUT, writable);
        Ok(self.0.modify(descriptor, &mut EpollEvent::new(flags, number))?)
    }

    /// Removes a descriptor from the set.
    pub fn remove(&self, descriptor: impl AsFd) -> io::Result<()> {
        Ok(self.0.delete(descriptor)?)
    }

    /// Waits at most this many milliseconds, or without limit if None, and returns the numbers of at most `MOST` ready descriptors.
    pub fn wait<const MOST: usize>(
        &self,
        at_most_ms: Option<u64>,
    ) -> io::Result<impl Iterator<Item = u64> + use<MOST>> {
        let mut ready = [EpollEvent::empty(); MOST];
        // A longer wait than an i32 of milliseconds (24 days) wakes up early, which is allowed.
        let timeout = match at_most_ms {
            Some(ms) => EpollTimeout::try_from(i32::try_from(ms).unwrap_or(i32::MAX)).unwrap_or(EpollTimeout::ZERO),
            None => EpollTimeout::NONE,
        };
        let count = match retry_on_shortage(|| Ok(self.0.wait(&mut ready, timeout)?)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            waited => waited?,
        };
        Ok(ready.into_iter().take(count).map(|event| event.data()))
    }

    /// Waits at most this many milliseconds and returns whether any descriptor is ready.
    pub fn wait_for_any(&self, at_most_ms: Option<u64>) -> io::Result<bool> {
        Ok(self.wait::<1>(at_most_ms)?.next().is_some())
    }
}

/// A set is readable itself while one of its descriptors is ready, so it can be registered in another set.
impl AsFd for Poll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }
}

/// Wakes a waiting thread from another one.
#[derive(Clone, Debug)]
pub struct Notifier(Arc<EventFd>);

impl Notifier {
    /// Creates a notifier that is not readable.
    pub fn new() -> io::Result<Notifier> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        Ok(Notifier(Arc::new(EventFd::from_flags(flags)?)))
    }

    /// Makes the notifier readable. The only error is a full counter, and then it is readable already.
    pub fn notify(&self) {
        let _ = self.0.write(1);
    }

    /// Makes the notifier unreadable again.
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
    fn a_notifier_wakes_a_thread_that_waits() {
        let (poll, notifier) = (Poll::new().unwrap(), Notifier::new().unwrap());
        poll.add(&notifier, 7).unwrap();
        assert!(!poll.wait_for_any(Some(0)).unwrap());
        let other = notifier.clone();
        let thread = std::thread::spawn(move || other.notify());
        assert!(poll.wait::<4>(None).unwrap().eq([7]));
        thread.join().unwrap();
        notifier.answer();
        assert!(!poll.wait_for_any(Some(0)).unwrap());
    }
}
