//! Limits how many processes are being started at once, so that a burst of thousands of starts leaves the machine usable and drops none.

use crate::executor::owner::OwnerKey;
use std::num::NonZeroUsize;

/// How long a start counts after its process has been forked, unless the job ends earlier. On a machine that keeps up, a shell needs less
/// to execute its command, so jobs that run long delay no other job.
const START_MS: i64 = 20;
/// How long a start counts at most: on a machine that does not keep up, or with a PAM monitor that has not started its job. Jobs that keep
/// every processor busy, or a PAM module that hangs, must not block the others for ever.
const LONGEST_START_MS: i64 = 1000;

/// A start that counts against the limit.
#[derive(Debug)]
struct StartingJob {
    id: u64,
    owner: OwnerKey,
    /// The time of the start, or of its fork once there is a process (monotonic).
    since_ms: i64,
    has_process: bool,
}

/// The starts that count against the limit, and the limit.
#[derive(Debug)]
pub(super) struct StartLimiter {
    most: NonZeroUsize,
    starts: Vec<StartingJob>,
    /// The load of the machine is not read again before this time (monotonic).
    asked_until_ms: i64,
}

impl StartLimiter {
    /// Creates a limiter for `most` starts at once.
    pub(super) fn new(most: NonZeroUsize) -> StartLimiter {
        StartLimiter { most, starts: Vec::new(), asked_until_ms: 0 }
    }

    /// Records that a job was forked or passed to a PAM monitor.
    pub(super) fn begin(&mut self, id: u64, owner: OwnerKey, now_ms: i64) {
        self.starts.push(StartingJob { id, owner, since_ms: now_ms, has_process: false });
    }

    /// Records that the process of a start exists.
    pub(super) fn has_process(&mut self, id: u64, now_ms: i64) {
        if let Some(start) = self.starts.iter_mut().find(|start| start.id == id) {
            (start.since_ms, start.has_process) = (now_ms, true);
        }
    }

    /// Records that a job has ended or was not started.
    pub(super) fn end(&mut self, id: u64) {
        self.starts.retain(|start| start.id != id);
    }

    /// How many of the waiting starts may be made now. `runnable` returns the number of runnable processes of the machine.
    pub(super) fn capacity(&mut self, now_ms: i64, waiting: usize, runnable: impl FnOnce() -> Option<usize>) -> usize {
        self.starts.retain(|start| start.since_ms + LONGEST_START_MS > now_ms);
        let has_come_far = |start: &StartingJob| start.has_process && start.since_ms + START_MS <= now_ms;
        if self.asked_until_ms <= now_ms && self.starts.iter().any(has_come_far) {
            if runnable().is_none_or(|count| count <= self.most.get()) {
                self.starts.retain(|start| !has_come_far(start));
            } else {
                self.asked_until_ms = now_ms + START_MS;
            }
        }
        self.most.get().saturating_sub(self.starts.len()).min(waiting)
    }

    /// Whether a start of this owner may be made although the limit is reached. There is a reserve of the same size for owners that have no
    /// start in progress, so that one owner whose starts take long does not block another.
    pub(super) fn has_reserve_for(&self, owner: &OwnerKey) -> bool {
        self.starts.len() < 2 * self.most.get() && !self.starts.iter().any(|start| start.owner == *owner)
    }

    /// When another start may be made (monotonic), unless jobs end earlier.
    pub(super) fn next_capacity_ms(&self, now_ms: i64) -> i64 {
        let Some(beyond) = self.starts.len().checked_sub(self.most.get()) else { return now_ms };
        let far = |start: &StartingJob| {
            if start.has_process { (start.since_ms + START_MS).max(self.asked_until_ms) } else { i64::MAX }
        };
        let mut ways: Vec<i64> =
            self.starts.iter().map(|start| far(start).min(start.since_ms + LONGEST_START_MS)).collect();
        ways.sort_unstable();
        ways.get(beyond).copied().unwrap_or(now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(now_ms: i64) -> StartLimiter {
        let mut limiter = StartLimiter::new(NonZeroUsize::new(4).unwrap());
        for id in 0..4 {
            limiter.begin(id, "alice".into(), now_ms - 5);
            limiter.has_process(id, now_ms);
        }
        limiter
    }

    fn nobody() -> Option<usize> {
        panic!("the machine need not be asked")
    }

    #[test]
    fn a_job_that_ends_makes_room_at_once() {
        let mut limiter = full(1000);
        assert_eq!(limiter.capacity(1001, 9, nobody), 0);
        limiter.end(2);
        assert_eq!((limiter.capacity(1001, 9, nobody), limiter.next_capacity_ms(1001)), (1, 1001));
    }

    #[test]
    fn an_owner_with_nothing_on_its_way_need_not_wait_for_others() {
        let mut limiter = full(1000);
        assert_eq!(limiter.capacity(1001, 9, nobody), 0);
        assert!(!limiter.has_reserve_for(&"alice".into()) && limiter.has_reserve_for(&"bob".into()));
        limiter.begin(9, "bob".into(), 1001);
        assert!(!limiter.has_reserve_for(&"bob".into()));
        // The reserve is bounded, too.
        for id in 10..13 {
            limiter.begin(id, format!("user{id}").into(), 1001);
        }
        assert!(!limiter.has_reserve_for(&"carol".into()));
    }

    #[test]
    fn jobs_that_stay_make_room_when_they_have_come_far_enough() {
        let mut limiter = full(1000);
        assert_eq!(limiter.next_capacity_ms(1001), 1000 + START_MS);
        assert_eq!(limiter.capacity(1000 + START_MS, 9, || Some(4)), 4);
        // The same applies if the load of the machine is unknown.
        assert_eq!(full(1000).capacity(1000 + START_MS, 9, || None), 4);
    }

    #[test]
    fn a_monitor_that_does_not_come_to_start_its_job_is_waited_for_but_not_for_ever() {
        let mut limiter = StartLimiter::new(NonZeroUsize::new(2).unwrap());
        limiter.begin(1, "alice".into(), 1000);
        limiter.begin(2, "alice".into(), 1000);
        assert_eq!(
            (limiter.capacity(1000 + START_MS, 9, nobody), limiter.next_capacity_ms(1000 + START_MS)),
            (0, 1000 + LONGEST_START_MS)
        );
        limiter.has_process(1, 1100);
        assert_eq!(limiter.next_capacity_ms(1100), 1100 + START_MS);
        assert_eq!(limiter.capacity(1100 + START_MS, 9, || Some(1)), 1);
        assert_eq!(limiter.capacity(1000 + LONGEST_START_MS, 9, nobody), 2);
    }

    #[test]
    fn a_machine_that_does_not_keep_up_is_given_time_but_not_for_ever() {
        let mut limiter = full(1000);
        let asked = 1000 + START_MS;
        assert_eq!(limiter.capacity(asked, 9, || Some(5)), 0);
        assert_eq!(limiter.next_capacity_ms(asked), asked + START_MS);
        assert_eq!(limiter.capacity(asked + 1, 9, nobody), 0);
        let mut now = asked;
        while limiter.capacity(now, 9, || Some(5)) == 0 {
            let next = limiter.next_capacity_ms(now);
            assert!(next > now, "waiting for {next} at {now}");
            now = next;
        }
        assert_eq!(now, 1000 + LONGEST_START_MS);
    }
}
