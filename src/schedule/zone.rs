//! A time zone as a list of transitions on the UTC time line.

use super::time::{LocalMinute, Timestamp};
use std::sync::Arc;

/// A time zone's rules, unchanging once made; equal when all offsets and the name are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Zone {
    name: String,
}

/// One change of a zone's offset from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The first second at which `after` holds.
    pub at: Timestamp,
    /// Seconds east of UTC just before.
    pub before: i32,
    /// Seconds east of UTC from `at` on.
    pub after: i32,
}

/// Why zone data could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ZoneError {
    /// The bytes are no TZif file (RFC 8536).
    #[error("the zone data of {name} are not usable: {reason}")]
    BadData {
        /// The zone's name.
        name: String,
        /// What the reader said.
        reason: String,
    },
}

/// Where named zones come from. The loud half reads zone files; the quiet half only asks by name.
pub trait Zones {
    /// The zone of that IANA name, or none if it is not known.
    fn named(&self, name: &str) -> Option<Arc<Zone>>;
    /// The system's own zone.
    fn system(&self) -> Arc<Zone>;
}

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Arc<Zone> {
        todo!()
    }
    /// Reads a TZif file (RFC 8536), any version, with its footer rule for the far future.
    pub fn from_tzif(name: &str, bytes: &[u8]) -> Result<Zone, ZoneError> {
        let _ = (name, bytes);
        todo!()
    }
    /// A POSIX `TZ` rule such as `CET-1CEST,M3.5.0,M10.5.0/3`.
    pub fn from_posix(rule: &str) -> Result<Zone, ZoneError> {
        let _ = rule;
        todo!()
    }
    /// The copy that `chrono-tz` carries in the program, for systems without zone files.
    pub fn embedded(name: &str) -> Option<Zone> {
        let _ = name;
        todo!()
    }
    /// Its IANA name, or the rule it was made from.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Seconds east of UTC at that moment.
    pub fn offset_at(&self, t: Timestamp) -> i32 {
        let _ = t;
        todo!()
    }
    /// What this zone's clocks show at that moment, to the minute (rounded down).
    pub fn local_minute(&self, t: Timestamp) -> LocalMinute {
        LocalMinute((t.0 + i64::from(self.offset_at(t))).div_euclid(60))
    }
    /// The first transition after that moment.
    pub fn next_transition(&self, after: Timestamp) -> Option<Transition> {
        let _ = after;
        todo!()
    }
    /// RFC 3339 with this zone's offset, for example `2026-11-22T10:15:00+01:00`.
    pub fn to_rfc3339(&self, t: Timestamp) -> String {
        let _ = t;
        todo!()
    }
}
