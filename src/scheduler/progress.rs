//! How far the scheduler has come in time, and what of that is recorded.

use super::event::{Action, Now};
use crate::schedule::Timestamp;

/// How far the scheduler has come in time.
#[derive(Debug)]
pub(super) struct Progress {
    /// The clock at the last event.
    pub(super) last: Now,
    /// Every due moment up to here has been handled. Ahead of the clock for a while after it was set back by seconds.
    pub(super) upto: Timestamp,
    /// The moment of the last [`Action::Completed`].
    recorded: Option<Timestamp>,
    /// Whether that was before `upto`, since starts waited.
    was_behind: bool,
}

impl Progress {
    /// Everything before `now` counts as handled, and nothing is recorded.
    pub(super) fn new(now: Now) -> Progress {
        Progress { last: now, upto: now.utc, recorded: None, was_behind: false }
    }

    /// Everything that was due up to here has been begun by the executor, or has another outcome. `first_unstarted` is the due moment of the
    /// first start that has not begun.
    pub(super) fn completed(&self, first_unstarted: Option<Timestamp>) -> Timestamp {
        match first_unstarted {
            Some(first) => self.upto.min(Timestamp(first.0 - 1)),
            None => self.upto,
        }
    }

    /// Records `completed` if it must be, or if the record is behind only because starts waited that have begun since.
    pub(super) fn record(&mut self, completed: Timestamp, must_record: bool) -> Option<Action> {
        let has_caught_up = self.was_behind && self.recorded.is_some_and(|last| last < completed);
        if !must_record && !has_caught_up {
            return None;
        }
        self.was_behind = completed < self.upto;
        self.recorded = Some(completed);
        Some(Action::Completed(completed))
    }
}
