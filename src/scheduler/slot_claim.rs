//! The claim of a slot of a fleet job, as its node keeps it.

use super::run_id::RunId;

/// The claim of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct SlotClaim {
    /// The first run for the slot, which is part of the nonce.
    pub(super) run: RunId,
    /// The number of the claim among those of the job.
    pub(super) number: u64,
    /// The revision of the claim, which grows from claim to claim of a job.
    pub(super) fence: u64,
}
