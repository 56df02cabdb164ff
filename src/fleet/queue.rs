//! Transactions that wait in the agent. Users take turns, so that nobody who has many jobs delays those of the others.

use crate::scheduler::FleetRequest;
use std::collections::{HashMap, VecDeque};

/// Transactions by the user of their jobs.
#[derive(Debug, Default)]
pub(super) struct TransactionQueue {
    of_users: HashMap<String, VecDeque<FleetRequest>>,
    /// The users who have some, the next one first.
    turns: VecDeque<String>,
}

impl TransactionQueue {
    /// Adds a transaction behind the others of its user.
    pub(super) fn push(&mut self, request: FleetRequest) {
        let user = request.user();
        let waiting = self.of_users.entry(user.clone()).or_default();
        if waiting.is_empty() {
            self.turns.push_back(user);
        }
        waiting.push_back(request);
    }

    /// Takes the oldest transaction of the user whose turn it is.
    pub(super) fn pop(&mut self) -> Option<FleetRequest> {
        let user = self.turns.pop_front()?;
        let waiting = self.of_users.get_mut(&user)?;
        let request = waiting.pop_front();
        if waiting.is_empty() {
            self.of_users.remove(&user);
        } else {
            self.turns.push_back(user);
        }
        request
    }

    /// Puts back a transaction that was taken, before the others of its user. Of several the one that was taken last comes first.
    pub(super) fn put_back(&mut self, request: FleetRequest) {
        let user = request.user();
        let waiting = self.of_users.entry(user.clone()).or_default();
        if waiting.is_empty() {
            self.turns.push_front(user);
        }
        waiting.push_front(request);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::{Change, FleetKey, JobId, Transaction};

    fn request(id: u64, user: &str) -> FleetRequest {
        let key = FleetKey::Mark(JobId::named(user, &format!("job{id}"))).to_string();
        let changes = vec![Change { key, value: None, lease: None }];
        FleetRequest { id, expires_ms: 0, transaction: Transaction { compares: Vec::new(), changes } }
    }

    #[test]
    fn users_take_turns_and_each_has_their_own_order() {
        let mut queue = TransactionQueue::default();
        (1..=5).for_each(|id| queue.push(request(id, "mallory")));
        (6..=7).for_each(|id| queue.push(request(id, "alice")));
        queue.push(FleetRequest { id: 8, expires_ms: 0, transaction: Transaction::default() });
        let mut next = || queue.pop().map(|request| request.id);
        assert_eq!([(); 4].map(|()| next()), [Some(1), Some(6), Some(8), Some(2)]);
        queue.put_back(request(2, "mallory"));
        queue.put_back(request(6, "alice"));
        let rest: Vec<u64> = std::iter::from_fn(|| queue.pop().map(|request| request.id)).collect();
        assert_eq!(rest, [6, 2, 7, 3, 4, 5]);
        assert!(queue.of_users.is_empty() && queue.turns.is_empty());
    }
}
