//! The clock of the tests, and waiting with a deadline.

use std::time::{Duration, Instant, SystemTime};

/// The time between two checks of a condition that the kernel sends no event for.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// Seconds since 1970, with fractions.
#[allow(clippy::disallowed_methods)] // The one place where the tests ask the clock.
pub fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock stands after 1970")
}

/// A moment by which something must have happened.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    end: Instant,
}

impl Deadline {
    /// The time that many seconds from now.
    #[allow(clippy::disallowed_methods)]
    pub fn seconds(seconds: u64) -> Deadline {
        Deadline { end: Instant::now() + Duration::from_secs(seconds) }
    }

    /// Whether the deadline has passed.
    #[allow(clippy::disallowed_methods)]
    pub fn passed(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Waits until `found` returns something; panics when the deadline comes first, saying what was waited for.
    pub fn wait_for<T>(self, what: &str, found: impl FnMut() -> Option<T>) -> T {
        self.try_wait_for(found).unwrap_or_else(|| panic!("waited in vain for {what}"))
    }

    /// Waits until `found` returns something, or the deadline comes.
    pub fn try_wait_for<T>(self, mut found: impl FnMut() -> Option<T>) -> Option<T> {
        loop {
            if let Some(value) = found() {
                return Some(value);
            }
            if self.passed() {
                return None;
            }
            std::thread::sleep(CHECK_INTERVAL);
        }
    }
}

/// Waits until the wall clock shows `moment` (seconds since 1970).
pub fn wait_until(moment: u64) {
    while let Some(rest) = Duration::from_secs(moment).checked_sub(now()).filter(|rest| !rest.is_zero()) {
        std::thread::sleep(rest);
    }
}
