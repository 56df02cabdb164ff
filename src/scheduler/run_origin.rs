//! What the scheduler knows of a run that has not ended.

use super::run_record::Trigger;

/// What is known of a run that has not ended.
#[derive(Clone, Debug)]
pub(super) enum RunOrigin {
    /// An entry without a policy.
    Plain,
    /// A managed job: what asked for the run, and which attempt it is.
    Managed(Trigger, u32),
}
