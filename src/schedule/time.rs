//! Points in time: UTC seconds, local minutes, and RFC 3339 texts.

/// A point in time: whole seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Timestamp(pub i64);

/// A local minute: minutes since 1970-01-01 00:00 as clocks in a zone show it. This is the unit of cron's "virtual clock"
/// (Debian cron.c, cronie cron.c: `clockTime`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalMinute(pub i64);

/// The text is not an RFC 3339 time.
#[derive(Debug, thiserror::Error)]
#[error("expected a time like 2026-11-22T10:15:00Z, found {found:?}")]
pub struct TimeError {
    /// The text that was given.
    pub found: String,
}

impl Timestamp {
    /// Parses an RFC 3339 time with any offset.
    pub fn parse_rfc3339(text: &str) -> Result<Timestamp, TimeError> {
        chrono::DateTime::parse_from_rfc3339(text)
            .map(|t| Timestamp(t.timestamp()))
            .map_err(|_| TimeError { found: text.to_owned() })
    }
}

/// Formats the time as RFC 3339 in UTC with `Z`, for example `2026-11-22T10:15:00Z`.
impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match chrono::DateTime::from_timestamp(self.0, 0) {
            Some(t) => write!(f, "{}", t.format("%Y-%m-%dT%H:%M:%SZ")),
            None => write!(f, "@{}", self.0),
        }
    }
}
