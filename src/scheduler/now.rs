//! The moment of an event by two clocks. The scheduler reads no clock itself.

use crate::schedule::Timestamp;

/// The moment at which an event is handled, as the loop read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The wall clock, whole seconds of UTC.
    pub utc: Timestamp,
    /// Milliseconds of a clock that is never set and stands still while the machine sleeps (CLOCK_MONOTONIC). The
    /// difference to `utc` shows a step or a sleep.
    pub elapsed_ms: i64,
}
