//! Warnings of a fleet that is larger than it is made for: too many slots of fleet jobs in a minute, too many keys.

use crate::schedule::Timestamp;

/// Most slots in one minute that a fleet is made for.
pub const MOST_SLOTS_A_MINUTE: u32 = 2_000;
/// A warning is not repeated within this time. Seconds.
const PAUSE: i64 = 86_400;

/// What is larger than a fleet is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FleetExcess {
    /// More than [`MOST_SLOTS_A_MINUTE`] slots are due in one minute.
    Slots,
    /// More keys than a node keeps: some jobs are not run by this node.
    Keys,
}

/// A warning that is given at most once a day.
#[derive(Debug, Default)]
pub(in crate::scheduler) struct DailyWarning {
    warned_at: Option<i64>,
    is_due: bool,
}

impl DailyWarning {
    /// Notes what is warned of, at a moment in seconds of UTC. A warning is due once a day at most.
    pub(in crate::scheduler) fn note(&mut self, at: i64) {
        if self.warned_at.is_none_or(|warned_at| at >= warned_at.saturating_add(PAUSE)) {
            (self.warned_at, self.is_due) = (Some(at), true);
        }
    }

    /// Whether a warning is due. Only once.
    pub(in crate::scheduler) fn take(&mut self) -> bool {
        std::mem::take(&mut self.is_due)
    }
}

/// The slots of the current minute.
#[derive(Debug, Default)]
pub(in crate::scheduler) struct FleetLoad {
    minute: i64,
    slots: u32,
    warning: DailyWarning,
}

impl FleetLoad {
    /// A slot has come.
    pub(in crate::scheduler) fn note(&mut self, slot: Timestamp) {
        let minute = slot.0.div_euclid(60);
        if minute != self.minute {
            (self.minute, self.slots) = (minute, 0);
        }
        self.slots = self.slots.saturating_add(1);
        if self.slots > MOST_SLOTS_A_MINUTE {
            self.warning.note(slot.0);
        }
    }

    /// Whether a warning is due. Only once.
    pub(in crate::scheduler) fn take_warning(&mut self) -> bool {
        self.warning.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_slots_than_a_fleet_is_made_for_are_warned_of_once_a_day() {
        let mut load = FleetLoad::default();
        let mut day = |at: i64, slots: u32| {
            (0..slots).for_each(|_| load.note(Timestamp(at)));
            load.take_warning()
        };
        assert!(!day(0, MOST_SLOTS_A_MINUTE) && !day(60, MOST_SLOTS_A_MINUTE));
        assert!(day(120, MOST_SLOTS_A_MINUTE + 1) && !day(180, MOST_SLOTS_A_MINUTE + 1));
        assert!(day(120 + PAUSE, MOST_SLOTS_A_MINUTE + 1));
    }
}
