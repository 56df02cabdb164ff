//! The claim of a slot of a fleet job, as its node keeps it.

use super::run_id::RunId;

/// Numbers from here on are those of manual runs.
pub(super) const BY_HAND: u64 = 1 << 63;

/// From here on they are those of claims that were perhaps made.
const UNSURE: u64 = 1 << 62;

/// The claim of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct SlotClaim {
    /// The first run for the slot, which is part of the nonce.
    pub(super) run: RunId,
    /// The number of the claim among those of the job; of a manual run [`BY_HAND`] with its id; where the number is
    /// not known, [`UNSURE`] with the id of the run.
    pub(super) number: u64,
    /// The revision of the claim, which grows from claim to claim of a job. 0: there is none, or it is not known.
    pub(super) fence: u64,
}

impl SlotClaim {
    /// What a manual run has instead of one: only its outcome is for the fleet.
    pub(super) fn by_hand(run: RunId) -> SlotClaim {
        SlotClaim { run, number: BY_HAND | run.0, fence: 0 }
    }

    /// What a run has of which it is not known whether its slot was claimed for it, as the daemon that started it could not save that.
    pub(super) fn unsure(run: RunId) -> SlotClaim {
        SlotClaim { run, number: UNSURE | run.0, fence: 0 }
    }

    /// Whether it is not certain that it was made.
    pub(super) fn is_unsure(self) -> bool {
        self.fence == 0 && !self.is_by_hand()
    }

    /// Whether this stands for a manual run.
    pub(super) fn is_by_hand(self) -> bool {
        self.number >= BY_HAND
    }
}
