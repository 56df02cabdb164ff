//! A source of zones for unit tests.

use super::zone::{Zone, Zones};
use std::sync::Arc;

/// Knows no zone by name. The system's zone is UTC.
pub struct OnlyUtc;

impl Zones for OnlyUtc {
    fn named(&self, _: &str) -> Option<Arc<Zone>> {
        None
    }

    fn system(&self) -> Arc<Zone> {
        Zone::utc()
    }
}
