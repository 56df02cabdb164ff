//! `@quartz` and seven fields (second, minute, hour, day of month, month, day of week, year), parsed and searched by the
//! crate `cron`.

use super::dst_policy::DstPolicy;
use chrono::{DateTime, Utc};
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// A seven-field schedule. Two are equal if their texts are equal, whitespace ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Quartz {
    schedule: cron::Schedule,
    style: DstPolicy,
}

/// The first second of 1970: the crate supports no earlier year.
const FIRST_SECOND: i64 = 0;
/// The first second of 2101: the crate supports no later year than 2100.
const END: i64 = 4_133_980_800;

impl Quartz {
    /// Parses seven fields; `fields` must be seven words.
    pub fn parse(fields: &[&str]) -> Result<Quartz, cron::error::Error> {
        let schedule = cron::Schedule::from_str(&fields.join(" "))?;
        let wild = fields.iter().take(3).any(|field| field.starts_with('*'));
        Ok(Quartz { schedule, style: if wild { DstPolicy::Wildcard } else { DstPolicy::Fixed } })
    }

    /// The policy for clock changes. As for any schedule, it depends on whether a field finer than the day begins with `*`.
    pub fn style(&self) -> DstPolicy {
        self.style
    }

    /// The schedule in the crate's own form.
    pub fn schedule(&self) -> &cron::Schedule {
        &self.schedule
    }

    /// The first local second after `after` (exclusive) that matches, without regard to a zone.
    pub fn next(&self, after: i64) -> Option<i64> {
        // Local time is passed as if it were UTC: only the crate's calendar is used, zones are handled by [`super::wall`].
        let after: DateTime<Utc> = DateTime::from_timestamp(after.clamp(FIRST_SECOND - 1, END), 0)?;
        self.schedule.after(&after).next().map(|at| at.timestamp())
    }
}

impl Hash for Quartz {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.schedule.source().hash(state);
    }
}
