//! What a zone is made from, whether read from a file, from a rule or from the program's own copy.

use super::civil::CYCLE_DAYS;

/// Seconds after which the calendar, and with it every rule, repeats.
pub(super) const CYCLE_SECONDS: i64 = CYCLE_DAYS * 86_400;

/// The largest offset from UTC in seconds. RFC 8536 allows -25 to +26 hours.
pub(super) const WIDEST_OFFSET: i32 = 26 * 3600;

/// The offsets of a zone: the one before the first change, the changes, and the rule that follows them.
#[derive(Clone, Debug)]
pub(super) struct History {
    /// Seconds east of UTC before the first change.
    pub first: i32,
    /// Times (seconds since 1970, UTC) and the offsets that hold from then on, in order; some change the name of the time only.
    pub changes: Vec<(i64, i32)>,
    /// The rule for all later years, if there is one.
    pub rule: Option<tz::timezone::AlternateTime>,
}
