//! How many requests a user may send.

use std::collections::HashMap;

/// Requests a second, and most at once.
const A_SECOND: i64 = 100;
/// A thousandth of a request is what a millisecond allows for each of these.
const PARTS: i64 = 1_000;

/// What each user has left of the allowed requests, of those users who have sent some in the last second.
#[derive(Debug, Default)]
pub(super) struct RequestRate {
    users: HashMap<u32, RemainingRequests>,
}

#[derive(Clone, Copy, Debug)]
struct RemainingRequests {
    /// Requests that are left, in thousandths.
    parts: i64,
    /// When `parts` was computed (milliseconds of the monotonic clock).
    at_ms: i64,
}

impl RemainingRequests {
    fn at(self, now_ms: i64) -> i64 {
        let more = now_ms.saturating_sub(self.at_ms).max(0).saturating_mul(A_SECOND);
        self.parts.saturating_add(more).min(A_SECOND * PARTS)
    }
}

impl RequestRate {
    /// Counts a request of a user.
    ///
    /// # Errors
    ///
    /// It is one too many. Seconds after which the next is allowed.
    pub(super) fn take(&mut self, uid: u32, now_ms: i64) -> Result<(), f64> {
        // Users with all they may have need not be remembered.
        self.users.retain(|_, left| left.at(now_ms) < A_SECOND * PARTS);
        let parts = self.users.get(&uid).map_or(A_SECOND * PARTS, |left| left.at(now_ms));
        if parts < PARTS {
            return Err((PARTS - parts) as f64 / (A_SECOND * PARTS) as f64);
        }
        self.users.insert(uid, RemainingRequests { parts: parts - PARTS, at_ms: now_ms });
        Ok(())
    }
}

impl RequestRate {
    /// Counts further requests of a user, also beyond what is allowed: later ones wait the longer.
    pub(super) fn charge(&mut self, uid: u32, requests: usize, now_ms: i64) {
        let parts = self.users.get(&uid).map_or(A_SECOND * PARTS, |left| left.at(now_ms));
        let requests = i64::try_from(requests).unwrap_or(i64::MAX);
        let parts = parts.saturating_sub(requests.saturating_mul(PARTS)).max(-A_SECOND * PARTS);
        self.users.insert(uid, RemainingRequests { parts, at_ms: now_ms });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_may_send_a_hundred_requests_a_second_and_the_others_too() {
        let mut rate = RequestRate::default();
        let count =
            |rate: &mut RequestRate, uid, now_ms| (0..1_000).take_while(|_| rate.take(uid, now_ms).is_ok()).count();
        assert_eq!(count(&mut rate, 1, 5_000), 100);
        assert_eq!(count(&mut rate, 2, 5_000), 100);
        assert_eq!(rate.take(1, 5_000), Err(0.01));
        assert_eq!(count(&mut rate, 1, 5_100), 10);
        assert_eq!(count(&mut rate, 1, 9_999_000), 100);
        assert_eq!(rate.users.len(), 1);
    }
}
