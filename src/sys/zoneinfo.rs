//! Zone files: reads the bytes, and tells which zone the system is in.

use crate::schedule::{Zone, Zones};
use std::sync::Arc;

/// The system's zone files (`$TZDIR`, else /usr/share/zoneinfo), read on demand and kept; `chrono-tz`'s copy where there are none.
#[derive(Debug)]
pub struct SystemZones {}

impl SystemZones {
    /// Reads the system's own zone: `TZ` in the environment, else /etc/localtime, else UTC.
    pub fn open() -> SystemZones {
        todo!()
    }
    /// Looks again at /etc/localtime and at files already read; whether anything changed.
    pub fn refresh(&mut self) -> bool {
        todo!()
    }
}

impl Zones for SystemZones {
    fn named(&self, name: &str) -> Option<Arc<Zone>> {
        let _ = name;
        todo!()
    }
    fn system(&self) -> Arc<Zone> {
        todo!()
    }
}
