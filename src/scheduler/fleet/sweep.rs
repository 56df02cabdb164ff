//! Since when jobs that have keys in the engine are in no table of this node.

use crate::scheduler::job_id::JobId;
use std::collections::BTreeMap;

/// What is kept of a job is removed when its last slot was so long ago, in seconds,
const OLD_S: i64 = 30 * 86_400;
/// and it is known for so long that no node has the job, in milliseconds.
const ABSENT_MS: i64 = 86_400_000;
/// How often that is checked. Milliseconds.
const EVERY_MS: i64 = 3_600_000;

/// The jobs in question.
#[derive(Debug, Default)]
pub(in crate::scheduler) struct Sweep {
    absent: BTreeMap<JobId, i64>,
    next_ms: i64,
}

impl Sweep {
    /// Whether it is time.
    pub(in crate::scheduler) fn is_due(&mut self, now_ms: i64) -> bool {
        let is_due = now_ms >= self.next_ms;
        if is_due {
            self.next_ms = now_ms.saturating_add(EVERY_MS);
        }
        is_due
    }

    /// Takes the jobs that no node has now, each with its last slot. Returns those of which nothing is kept any longer.
    pub(in crate::scheduler) fn note(&mut self, absent: Vec<(JobId, i64)>, utc: i64, now_ms: i64) -> Vec<JobId> {
        let known = std::mem::take(&mut self.absent);
        let mut old = Vec::new();
        for (id, slot) in absent {
            let since_ms = known.get(&id).copied().unwrap_or(now_ms);
            if slot.saturating_add(OLD_S) < utc && since_ms.saturating_add(ABSENT_MS) <= now_ms {
                old.push(id.clone());
            }
            self.absent.insert(id, since_ms);
        }
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_swept_a_month_after_its_last_slot_and_a_day_after_it_was_last_in_a_table() {
        let job = |name: &str| JobId::named("alice", name);
        let mut sweep = Sweep::default();
        assert!(sweep.is_due(5) && !sweep.is_due(6) && sweep.is_due(5 + EVERY_MS));
        let now = 100 * 86_400;
        let (old, recent) = (now - OLD_S - 1, now - OLD_S);
        let absent = |names: &[(&str, i64)]| names.iter().map(|(name, slot)| (job(name), *slot)).collect::<Vec<_>>();
        assert_eq!(sweep.note(absent(&[("a", old), ("b", recent), ("c", old)]), now, 0), []);
        // The second is too recent; the third was in a table meanwhile.
        assert_eq!(sweep.note(absent(&[("a", old), ("b", recent)]), now, ABSENT_MS - 1), []);
        assert_eq!(sweep.note(absent(&[("a", old), ("b", recent), ("c", old)]), now, ABSENT_MS), [job("a")]);
    }
}
