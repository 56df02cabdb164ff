//! How far the scheduler has come in time, and what of that is recorded.

use super::action::Action;
use super::now::Now;
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
    /// Whether a slot has been decided in this turn, started or not.
    pub(super) has_decided: bool,
    /// For how many milliseconds the machine has slept since the clock was last followed.
    pub(super) slept_ms: i64,
}

/// What has happened in a turn that may have to be recorded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TurnChanges {
    /// The daemon begins or stops, or something was started.
    pub(super) must_record: bool,
    /// Entries are new, which had no slots before.
    pub(super) has_new_tables: bool,
}

impl Progress {
    /// Everything before `now` counts as handled, and nothing is recorded.
    pub(super) fn new(now: Now) -> Progress {
        Progress { last: now, upto: now.utc, recorded: None, was_behind: false, has_decided: false, slept_ms: 0 }
    }

    /// Everything that was due up to here has been begun by the executor, or has another outcome. `first_unstarted` is the due moment of the
    /// first start that has not begun.
    pub(super) fn completed(&self, first_unstarted: Option<Timestamp>) -> Timestamp {
        match first_unstarted {
            Some(first) => self.upto.min(Timestamp(first.0 - 1)),
            None => self.upto,
        }
    }

    /// Records `completed` if it must be, or if the next daemon would decide otherwise without it after a crash. That is so
    ///
    /// * if slots have been decided,
    /// * if waiting starts have begun,
    /// * if the clock was set back, so that slots come again,
    /// * if entries are new, which had no slots before.
    pub(super) fn record(&mut self, completed: Timestamp, changes: TurnChanges) -> Option<Action> {
        let TurnChanges { must_record, has_new_tables } = changes;
        let has_decided = std::mem::take(&mut self.has_decided);
        let has_advanced = self.recorded.is_some_and(|last| last < completed);
        let was_set_back = self.recorded.is_some_and(|last| last > self.upto);
        let is_outdated = has_decided || was_set_back || (has_advanced && (self.was_behind || has_new_tables));
        if !must_record && !is_outdated {
            return None;
        }
        self.was_behind = completed < self.upto;
        self.recorded = Some(completed);
        Some(Action::Completed(completed))
    }
}
