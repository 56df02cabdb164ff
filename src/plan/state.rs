//! The plan itself.

use super::event::{Action, Event, Now};
use crate::schedule::{Timestamp, Zone};
use std::sync::Arc;

/// All live tables, their timers, and the runs that are going on.
#[derive(Debug)]
pub struct Plan {
    zone: Arc<Zone>,
}

/// Counts for the log (USR1), for STATUS and for questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Live tables.
    pub tables: usize,
    /// Live entries.
    pub entries: usize,
    /// Distinct timers.
    pub timers: usize,
    /// Runs going on.
    pub running: usize,
    /// The next due moment.
    pub next_due: Option<Timestamp>,
}

impl Plan {
    /// An empty plan whose system zone is `zone`.
    pub fn new(zone: Arc<Zone>, now: Now) -> Plan {
        let _ = now;
        Plan { zone }
    }
    /// Takes an event and returns what is to be done about it, in order. Whatever is due up to `now` is started
    /// first, so that no event can lose a due moment.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Action> {
        let _ = (event, now, &self.zone);
        todo!()
    }
    /// When the next [`Event::Tick`] is wanted; none while nothing is due ever.
    pub fn wake_at(&self) -> Option<Timestamp> {
        todo!()
    }
    /// Counts.
    pub fn summary(&self) -> Summary {
        todo!()
    }
}
