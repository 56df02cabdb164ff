//! How many slots of fleet jobs are due in a minute, for the warning that they are too many.

use crate::schedule::Timestamp;

/// Most slots in one minute that a fleet is made for.
pub const MOST_SLOTS_A_MINUTE: u32 = 2_000;
/// A warning is not repeated within this time. Seconds.
const PAUSE: i64 = 86_400;

/// The slots of the current minute.
#[derive(Debug, Default)]
pub(in crate::scheduler) struct FleetLoad {
    minute: i64,
    slots: u32,
    warned_at: Option<i64>,
    is_warning_due: bool,
}

impl FleetLoad {
    /// A slot has come.
    pub(in crate::scheduler) fn note(&mut self, slot: Timestamp) {
        let minute = slot.0.div_euclid(60);
        if minute != self.minute {
            (self.minute, self.slots) = (minute, 0);
        }
        self.slots = self.slots.saturating_add(1);
        if self.slots > MOST_SLOTS_A_MINUTE && self.warned_at.is_none_or(|at| slot.0 >= at.saturating_add(PAUSE)) {
            (self.warned_at, self.is_warning_due) = (Some(slot.0), true);
        }
    }

    /// Whether a warning is due. Only once.
    pub(in crate::scheduler) fn take_warning(&mut self) -> bool {
        std::mem::take(&mut self.is_warning_due)
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
