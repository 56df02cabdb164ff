//! A limit on the missed slots that are examined after a gap in time.

use std::collections::HashMap;

/// Missed slots that are examined one by one after a gap in time, for one user and for all users.
const SLOTS_OF_USER: usize = 100_000;
const SLOTS_OF_ALL: usize = 1_000_000;

/// Further slots that are merely counted, where an entry has more. Counting takes some 30 ns a slot.
const COUNTED_OF_USER: usize = 1_000_000;

/// The numbers of missed slots that may still be examined.
#[derive(Debug)]
pub(super) struct SlotBudget {
    of_all: usize,
    of_user: usize,
    spent: HashMap<String, usize>,
    counted: HashMap<String, usize>,
}

impl Default for SlotBudget {
    fn default() -> SlotBudget {
        SlotBudget { of_all: SLOTS_OF_ALL, of_user: SLOTS_OF_USER, spent: HashMap::new(), counted: HashMap::new() }
    }
}

impl SlotBudget {
    /// Without limits, for a simulation, which delays only the user who runs it.
    pub(super) fn unlimited() -> SlotBudget {
        SlotBudget { of_all: usize::MAX / 2, of_user: usize::MAX / 2, spent: HashMap::new(), counted: HashMap::new() }
    }

    pub(super) fn left(&self, user: &str) -> usize {
        let spent = self.spent.get(user).copied().unwrap_or(0);
        self.of_user.saturating_sub(spent).min(self.of_all)
    }

    /// How many slots of a user may still be counted.
    pub(super) fn left_to_count(&self, user: &str) -> usize {
        COUNTED_OF_USER.saturating_sub(self.counted.get(user).copied().unwrap_or(0))
    }

    pub(super) fn count(&mut self, user: &str, slots: usize) {
        *self.counted.entry(user.to_owned()).or_default() += slots;
    }

    pub(super) fn spend(&mut self, user: &str, slots: usize) {
        self.of_all = self.of_all.saturating_sub(slots);
        *self.spent.entry(user.to_owned()).or_default() += slots;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_user_and_what_all_have_missed_is_bounded() {
        let mut budget = SlotBudget::default();
        let mut spend_all = |user: &str| {
            let left = budget.left(user);
            budget.spend(user, left);
            left
        };
        assert_eq!(["alice", "alice"].map(&mut spend_all), [SLOTS_OF_USER, 0]);
        let others: usize = (0..20).map(|number| spend_all(&format!("user{number}"))).sum();
        assert_eq!((others, spend_all("new")), (SLOTS_OF_ALL - SLOTS_OF_USER, 0));
    }
}
