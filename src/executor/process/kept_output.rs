//! Output of ended runs that is kept until its mail is decided: of attempts that may be followed by another, of runs whose mail
//! main decides about, and the last bytes for hooks and pings.

use super::ended_run::EndedRun;
use crate::executor::owner::{MemoryBudget, OwnerKey};
use crate::scheduler::{JobId, RunId, RunRequest};
use std::collections::{HashMap, HashSet};

/// Bytes of the end of the output that hooks and pings get.
pub(super) const TAIL: usize = 10_000;
/// Limits on the number of kept runs: of one owner, of all owners together, and the number that an owner may always have. Main decides about
/// an ended run at once, so only as many are kept for longer as jobs have a pending retry.
const PER_OWNER: usize = 2_000;
const TOGETHER: usize = 20_000;
const ALWAYS: usize = 100;

/// The output of ended runs that is still needed, by run and by slot.
pub(super) struct KeptOutput {
    runs: HashMap<RunId, KeptRun>,
    /// The last kept attempt for each slot of a job.
    attempts: HashMap<Slot, RunId>,
    /// The number of kept runs. It is counted in runs and not in bytes.
    count: MemoryBudget,
    /// Owners for which it has been logged that no more of their runs are kept.
    logged_full: HashSet<OwnerKey>,
    /// What main has decided about runs whose output is not complete yet.
    pub(super) decisions: HashMap<RunId, bool>,
    /// When the executor decides alone about what waits for a later main (monotonic clock). None while it has its own main, and after that time.
    pub(super) undecided_until_ms: Option<i64>,
    /// Whether no later main is waited for any more, whatever connects.
    pub(super) holds_nothing: bool,
}

/// A time for which a job was scheduled.
type Slot = (JobId, i64);

/// What is kept of an ended run.
pub(super) struct KeptRun {
    pub(super) owner: OwnerKey,
    /// The slot that another attempt may follow for. None for a manual run, which has no retries.
    slot: Option<Slot>,
    attempt: u32,
    /// The end of the output, for hooks and pings.
    pub(super) tail: Vec<u8>,
    /// The run with its output, if that may be mailed.
    pub(super) ended: Option<EndedRun>,
}

impl KeptRun {
    pub(super) fn of(start: &RunRequest, owner: OwnerKey) -> KeptRun {
        let slot = (!start.trigger.is_manual()).then(|| (start.job.clone(), start.scheduled_at));
        KeptRun { owner, slot, attempt: start.attempt, tail: Vec::new(), ended: None }
    }
}

impl Default for KeptOutput {
    fn default() -> KeptOutput {
        KeptOutput {
            runs: HashMap::new(),
            attempts: HashMap::new(),
            count: MemoryBudget::new(PER_OWNER, TOGETHER, ALWAYS),
            logged_full: HashSet::new(),
            decisions: HashMap::new(),
            undecided_until_ms: None,
            holds_nothing: false,
        }
    }
}

impl KeptOutput {
    /// Whether another run of this owner can be kept.
    pub(super) fn has_capacity(&self, owner: &OwnerKey) -> bool {
        self.count.has_capacity(owner, 1)
    }

    /// Records that a run of this owner could not be kept. True if it has not been
    /// recorded since half of the owner's share was free.
    pub(super) fn note_full(&mut self, owner: &OwnerKey) -> bool {
        self.logged_full.insert(owner.clone())
    }

    /// Keeps a run. Returns what was kept of it before, which is nothing unless it has ended twice.
    pub(super) fn insert(&mut self, run: RunId, kept: KeptRun) -> Option<KeptRun> {
        let before = self.remove(run);
        if let Some(slot) = &kept.slot {
            self.attempts.insert(slot.clone(), run);
        }
        self.count.take(&kept.owner, 1);
        self.runs.insert(run, kept);
        before
    }

    /// Whether the output of an ended run is held.
    pub(super) fn holds_output(&self) -> bool {
        self.runs.values().any(|kept| kept.ended.is_some())
    }

    pub(super) fn get(&self, run: RunId) -> Option<&KeptRun> {
        self.runs.get(&run)
    }

    /// Takes what is kept of a run.
    pub(super) fn remove(&mut self, run: RunId) -> Option<KeptRun> {
        let kept = self.runs.remove(&run)?;
        if let Some(slot) = &kept.slot
            && self.attempts.get(slot) == Some(&run)
        {
            self.attempts.remove(slot);
        }
        self.count.give_back(&kept.owner, 1);
        if self.count.has_capacity(&kept.owner, PER_OWNER / 2) {
            self.logged_full.remove(&kept.owner);
        }
        Some(kept)
    }

    /// What is kept of the attempt before this one.
    pub(super) fn earlier(&self, start: &RunRequest) -> Option<&KeptRun> {
        self.runs.get(&self.earlier_run(start)?)
    }

    /// Takes what is kept of the attempt before this one.
    pub(super) fn remove_earlier(&mut self, start: &RunRequest) -> Option<KeptRun> {
        self.remove(self.earlier_run(start)?)
    }

    fn earlier_run(&self, start: &RunRequest) -> Option<RunId> {
        if !start.is_further_attempt() {
            return None;
        }
        let run = self.attempts.get(&(start.job.clone(), start.scheduled_at))?;
        self.runs.get(run).filter(|kept| kept.attempt < start.attempt).map(|_| *run)
    }

    /// Takes all kept runs. What main has decided about runs whose output is not complete stays.
    pub(super) fn take_runs(&mut self) -> Vec<KeptRun> {
        let decisions = std::mem::take(&mut self.decisions);
        let KeptOutput { undecided_until_ms, holds_nothing, .. } = *self;
        let empty = KeptOutput { decisions, undecided_until_ms, holds_nothing, ..KeptOutput::default() };
        std::mem::replace(self, empty).runs.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::output;
    use crate::executor::owner::OwnerMemory;
    use crate::executor::process::ended_run::tests::attempt;

    fn owner(name: &str) -> OwnerKey {
        name.into()
    }

    /// Keeps runs of that owner from this number on until there is no capacity. Returns how many.
    fn fill(kept: &mut KeptOutput, name: &str, first: u64) -> u64 {
        let start = attempt(1, "x", "", &mut OwnerMemory::new(output::budget())).start;
        let mut number = 0;
        while kept.has_capacity(&owner(name)) {
            let (job, run) = (JobId::named(name, &format!("job{number}")), RunId(first + number));
            let start = RunRequest { job, run, ..(*start).clone() };
            assert!(kept.insert(run, KeptRun::of(&start, owner(name))).is_none());
            number += 1;
        }
        number
    }

    #[test]
    fn an_owner_has_its_share_of_kept_runs_whatever_the_others_have() {
        let mut kept = KeptOutput::default();
        for number in 0..10 {
            assert_eq!(fill(&mut kept, &format!("user{number}"), number * 10_000), PER_OWNER as u64);
        }
        assert_eq!(fill(&mut kept, "bob", 1_000_000), ALWAYS as u64);
        assert_eq!(fill(&mut kept, "carol", 2_000_000), ALWAYS as u64);
        assert!(kept.note_full(&owner("bob")) && !kept.note_full(&owner("bob")) && kept.note_full(&owner("carol")));
        assert!(kept.remove(RunId(1_000_000)).is_some() && kept.has_capacity(&owner("bob")));
        assert_eq!(kept.take_runs().len(), 10 * PER_OWNER + 2 * ALWAYS - 1);
        assert_eq!((kept.count.total(), kept.attempts.len()), (0, 0));
    }

    #[test]
    fn only_the_next_attempt_for_the_same_slot_of_the_job_finds_an_attempt() {
        let (mut kept, mut memory) = (KeptOutput::default(), OwnerMemory::new(output::budget()));
        let first = attempt(1, "x", "one\n", &mut memory);
        let second = attempt(2, "x", "two\n", &mut memory).start;
        let held = KeptRun::of(&first.start, first.owner.clone());
        kept.insert(first.run(), held);
        let other =
            |job: &str, scheduled_at| RunRequest { job: JobId::named("alice", job), scheduled_at, ..(*second).clone() };
        assert!(kept.remove_earlier(&other("other", second.scheduled_at)).is_none());
        assert!(kept.remove_earlier(&other("job", second.scheduled_at + 60)).is_none());
        assert!(kept.remove_earlier(&first.start).is_none());
        assert!(kept.remove_earlier(&second).is_some_and(|found| found.attempt == 1));
        assert!(kept.remove_earlier(&second).is_none() && kept.remove(first.run()).is_none());
        kept.insert(second.run, KeptRun::of(&second, first.owner.clone()));
        assert!(kept.remove_earlier(&second).is_none(), "an attempt does not follow itself");
        assert!(kept.remove(second.run).is_some());
        assert_eq!((kept.count.total(), kept.attempts.len()), (0, 0));
    }
}
