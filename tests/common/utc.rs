//! A machine whose zone is UTC and that knows no other.

use cronwheel::schedule::{Zone, Zones};
use std::sync::Arc;

/// Zones of that machine.
#[derive(Debug)]
pub struct Utc(pub Arc<Zone>);

impl Zones for Utc {
    fn named(&self, _: &str) -> Option<Arc<Zone>> {
        None
    }
    fn system(&self) -> Arc<Zone> {
        self.0.clone()
    }
}
