//! A hierarchical timing wheel on UTC seconds.

use crate::schedule::Timestamp;

/// What the wheel carries: an index into the plan's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer(pub u32);

/// Timers by due second. Insert and cancel are O(1); expiry costs what is due.
#[derive(Debug)]
pub struct Wheel {
    now: Timestamp,
}

impl Wheel {
    /// An empty wheel whose hand stands at `now`.
    pub fn new(now: Timestamp) -> Wheel {
        Wheel { now }
    }
    /// Arms a timer (at most one due second for each; arming again moves it).
    pub fn arm(&mut self, timer: Timer, due: Timestamp) {
        let _ = (timer, due);
        todo!()
    }
    /// Disarms it; nothing happens if it was not armed.
    pub fn cancel(&mut self, timer: Timer) {
        let _ = timer;
        todo!()
    }
    /// The earliest due second.
    pub fn next_due(&self) -> Option<Timestamp> {
        todo!()
    }
    /// Moves the hand to `now` and takes out everything due up to it, earliest first.
    pub fn expire(&mut self, now: Timestamp, into: &mut Vec<(Timestamp, Timer)>) {
        let _ = (now, into, self.now);
        todo!()
    }
}
