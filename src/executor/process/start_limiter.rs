//! Starts on their way to their command, and the bound on them: a burst of thousands leaves the machine usable, and drops none.

use crate::executor::owner::OwnerKey;
use std::num::NonZeroUsize;

/// A start is on its way until its job has ended, or its process is there for this long, which takes a shell to its command on a machine
/// that keeps up: jobs that stay hold up nobody.
const START_MS: i64 = 20;
/// On one that does not keep up, or with a PAM monitor that has not come to start its job, it is longer on its way, but no longer than this: jobs
/// that keep every processor busy, and a PAM module that hangs, must not hold up the others for good.
const LONGEST_START_MS: i64 = 1000;

/// A start that is on its way to its command.
#[derive(Debug)]
struct StartingJob {
    /// The job's number.
    id: u64,
    owner: OwnerKey,
    /// Since when it is on its way, or its process is there.
    since_ms: i64,
    has_process: bool,
}

/// The starts that are on their way to their command, and the bound on their number.
#[derive(Debug)]
pub(super) struct StartLimiter {
    most: NonZeroUsize,
    starts: Vec<StartingJob>,
    /// The machine is not asked again before.
    asked_until_ms: i64,
}

impl StartLimiter {
    /// Nothing is on its way; at most `most` will be.
    pub(super) fn new(most: NonZeroUsize) -> StartLimiter {
        StartLimiter { most, starts: Vec::new(), asked_until_ms: 0 }
    }

    /// A job was forked, or handed to a PAM monitor.
    pub(super) fn begin(&mut self, id: u64, owner: OwnerKey, now_ms: i64) {
        self.starts.push(StartingJob { id, owner, since_ms: now_ms, has_process: false });
    }

    /// The process of a start has been made.
    pub(super) fn has_process(&mut self, id: u64, now_ms: i64) {
        if let Some(start) = self.starts.iter_mut().find(|start| start.id == id) {
            (start.since_ms, start.has_process) = (now_ms, true);
        }
    }

    /// It has ended, or was not started after all.
    pub(super) fn end(&mut self, id: u64) {
        self.starts.retain(|start| start.id != id);
    }

    /// How many of these that wait may start now. `runnable` tells how many of the machine's processes want a processor.
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

    /// Whether a start of this owner may be made although there is no room: one owner whose starts take long must not hold up another, so
    /// there is as much room again for owners that have nothing on its way.
    pub(super) fn has_reserve_for(&self, owner: &OwnerKey) -> bool {
        self.starts.len() < 2 * self.most.get() && !self.starts.iter().any(|start| start.owner == *owner)
    }

    /// When there will be room for another start, unless jobs' ends make it sooner.
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
        // Where nobody can tell how busy the machine is, too.
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
