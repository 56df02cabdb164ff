//! An absolute timer on the wall clock that also reports when the clock was set.

use super::retry::retry_on_shortage;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A timer on CLOCK_REALTIME that also reports when that clock is set.
#[derive(Debug)]
pub struct Timer(TimerFd);

/// The reason why a timer became readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerEvent {
    /// The moment has come for which it was armed.
    Due,
    /// The clock was set, or the machine woke from sleep.
    ClockSet,
    /// There was no event to read.
    Nothing,
}

/// The expiry of a timer when nothing is due: the year 2200. A disarmed timer would not report that the clock was set.
const FAR: i64 = 7_258_118_400;

impl Timer {
    /// Creates a timer that is armed far in the future.
    pub fn new() -> io::Result<Timer> {
        let timer = TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let timer = Timer(timer);
        timer.arm(None)?;
        Ok(timer)
    }

    /// Arms the timer for a second of UTC, or far in the future. Returns [`TimerEvent::ClockSet`] if the clock was set since it was last
    /// armed; it is armed nevertheless.
    pub fn arm(&self, due: Option<i64>) -> io::Result<TimerEvent> {
        let due = due.unwrap_or(FAR).clamp(1, FAR);
        let at = Expiration::OneShot(TimeSpec::new(due, 0));
        let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        match retry_on_shortage(|| Ok(self.0.set(at, flags)?)) {
            Ok(()) => Ok(TimerEvent::Nothing),
            // An interrupted call is repeated when the loop arms the timer next, as after a change of the clock.
            Err(why) if [Some(libc::ECANCELED), Some(libc::EINTR)].contains(&why.raw_os_error()) => {
                Ok(TimerEvent::ClockSet)
            }
            Err(why) => Err(why),
        }
    }

    /// Reads the pending event without blocking.
    pub fn read(&self) -> io::Result<TimerEvent> {
        let mut count = [0; 8];
        match retry_on_shortage(|| Ok(nix::unistd::read(&self.0, &mut count)?)) {
            // A step back while the timer expires can make read(2) return nothing at all.
            Ok(0) => Ok(TimerEvent::ClockSet),
            Ok(_) => Ok(TimerEvent::Due),
            Err(why) => match why.raw_os_error() {
                Some(libc::ECANCELED) => Ok(TimerEvent::ClockSet),
                Some(libc::EAGAIN | libc::EINTR) => Ok(TimerEvent::Nothing),
                _ => Err(why),
            },
        }
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    #[test]
    fn it_rings_at_its_second_and_not_before() {
        let timer = Timer::new().unwrap();
        assert_eq!(timer.read().unwrap(), TimerEvent::Nothing);
        let due = clock::wall().seconds + 1;
        assert_eq!(timer.arm(Some(due)).unwrap(), TimerEvent::Nothing);
        let mut fds = [PollFd::new(timer.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(5000u16)).unwrap();
        assert!(clock::wall().seconds >= due);
        assert_eq!(timer.read().unwrap(), TimerEvent::Due);
        assert_eq!(timer.read().unwrap(), TimerEvent::Nothing);
    }

    #[test]
    fn a_moment_that_is_past_rings_at_once() {
        let timer = Timer::new().unwrap();
        timer.arm(Some(-5)).unwrap();
        assert_eq!(timer.read().unwrap(), TimerEvent::Due);
    }
}
