//! The times of the crontab database's own tasks: rescans, retries and delayed reads. All moments are milliseconds of the monotonic clock.

use crate::sys::clock;

/// The next moment of each kind of work; none: there is nothing of that kind to do.
#[derive(Debug)]
pub struct Deadlines {
    /// Changes have been gathered for long enough and are sorted.
    pub gather: Option<i64>,
    /// Files that are still being written are read all the same.
    pub incomplete: Option<i64>,
    /// Crontabs that were rejected for a reason that may pass are tried again.
    pub retry_rejected: Option<i64>,
    /// Everything is scanned as changes are not reported.
    pub poll: Option<i64>,
    /// Everything is scanned in case a change was not reported.
    pub rescan: i64,
    /// A reload that was asked for is carried out.
    pub reload: Option<i64>,
}

impl Deadlines {
    /// Only the first rescan is due, at that moment.
    pub fn new(rescan: i64) -> Deadlines {
        Deadlines { gather: None, incomplete: None, retry_rejected: None, poll: None, rescan, reload: None }
    }

    /// The earliest of the deadlines, in milliseconds of the monotonic clock.
    pub fn next(&self) -> i64 {
        let deadlines = [self.gather, self.incomplete, self.retry_rejected, self.poll, self.reload];
        deadlines.into_iter().flatten().fold(self.rescan, i64::min)
    }
}

/// Whether a deadline has been reached; it is cleared then.
pub fn take_expired(deadline: &mut Option<i64>, now: i64) -> bool {
    deadline.take_if(|at| *at <= now).is_some()
}

/// Milliseconds to shortly before the next minute, so that what polling and retrying find counts for it, as with the reference implementations.
pub fn ms_to_end_of_minute() -> i64 {
    const BEFORE_MS: i64 = 500;
    let now = clock::wall();
    let in_minute = now.seconds.rem_euclid(60) * 1000 + i64::from(now.nanos / 1_000_000);
    (60_000 - BEFORE_MS - in_minute).rem_euclid(60_000).max(1)
}
