//! The claim of a slot of a fleet job, as its node keeps it.

use super::run_id::RunId;

/// Numbers from here on are those of manual runs.
pub(super) const BY_HAND: u64 = 1 << 63;

/// The claim of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct SlotClaim {
    /// The first run for the slot, which is part of the nonce.
    pub(super) run: RunId,
    /// The number of the claim among those of the job; of a manual run [`BY_HAND`] with its id.
    pub(super) number: u64,
    /// The revision of the claim, which grows from claim to claim of a job. 0: there is none.
    pub(super) fence: u64,
}

impl SlotClaim {
    /// What a manual run has instead of one: only its outcome is for the fleet.
    pub(super) fn by_hand(run: RunId) -> SlotClaim {
        SlotClaim { run, number: BY_HAND | run.0, fence: 0 }
    }

    /// Whether this stands for a manual run.
    pub(super) fn is_by_hand(self) -> bool {
        self.number >= BY_HAND
    }
}
