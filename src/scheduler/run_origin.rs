//! What the scheduler knows of a run that has not ended, and the calendars of days without runs.

use super::run_record::Trigger;
use crate::schedule::Day;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known of a run that has not ended.
#[derive(Clone, Debug)]
pub(super) enum RunOrigin {
    /// An entry without a policy.
    Plain,
    /// A managed job: what asked for the run, and which attempt it is.
    Managed(Trigger, u32),
}

/// Days without runs by the name of their calendar, as ranges with both ends included.
pub type Calendars = BTreeMap<Arc<str>, Vec<(Day, Day)>>;
