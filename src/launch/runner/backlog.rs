//! Starts that wait for their turn, in order. Each fork copies what the runner has in memory, so only the next few are kept as they
//! are used; the others lie packed as messages behind them, in a tenth of the room.

use crate::launch::job::Job;
use crate::launch::wire::WireError;
use crate::plan::Start;
use std::collections::VecDeque;

/// How many are kept as they are used.
const AT_HAND: usize = 32;

/// A start that has not been made yet.
#[derive(Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Pending {
    pub(super) start: Box<Start>,
    /// Main wants to be told of its process.
    pub(super) tell_pid: bool,
    /// When it was first tried in vain.
    pub(super) tried_since_ms: Option<i64>,
}

impl Pending {
    /// The start of a job that has not come to have a process.
    pub(super) fn again(job: Job) -> Pending {
        Pending { start: job.start, tell_pid: job.tell_pid, tried_since_ms: job.tried_since_ms }
    }
}

/// The starts that wait.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// The next ones.
    at_hand: VecDeque<Pending>,
    /// Those behind them, in postcard's form, one after the other.
    packed: Vec<u8>,
    /// Where the first of them begins.
    next: usize,
    /// How many they are.
    packed_count: usize,
}

impl Backlog {
    pub(super) fn len(&self) -> usize {
        self.at_hand.len() + self.packed_count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts one before all others.
    pub(super) fn push_front(&mut self, pending: Pending) {
        self.at_hand.push_front(pending);
    }

    /// Puts one behind all others.
    pub(super) fn push_back(&mut self, pending: Pending) -> Result<(), WireError> {
        if self.packed_count == 0 && self.at_hand.len() < AT_HAND {
            self.at_hand.push_back(pending);
        } else {
            self.packed.extend_from_slice(&postcard::to_stdvec(&pending)?);
            self.packed_count += 1;
        }
        Ok(())
    }

    /// Takes the first.
    pub(super) fn pop_front(&mut self) -> Result<Option<Pending>, WireError> {
        if let Some(pending) = self.at_hand.pop_front() {
            return Ok(Some(pending));
        }
        if self.packed_count == 0 {
            return Ok(None);
        }
        let packed = self.packed.get(self.next..).unwrap_or_default();
        let (pending, rest) = postcard::take_from_bytes(packed)?;
        self.next = self.packed.len() - rest.len();
        self.packed_count -= 1;
        self.give_back();
        Ok(Some(pending))
    }

    /// Gives the room of what has been taken back, now and then.
    fn give_back(&mut self) {
        if self.next > self.packed.len() / 2 {
            self.packed.drain(..self.next);
            self.packed.shrink_to_fit();
            self.next = 0;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::plan::{Owner, RunId, Source};
    use crate::table::Flags;

    pub(in crate::launch::runner) fn pending(line: u32) -> Pending {
        let source = Source { path: "/etc/cron.d/t".into(), name: "*system*".into(), owner: Owner::System };
        let start = Start {
            run: RunId(u64::from(line)),
            source,
            line,
            user: "ann".into(),
            command: b"echo \xff".to_vec(),
            literal: false,
            variables: vec![(b"A".to_vec(), b"b".to_vec())],
            flags: Flags::default(),
            scheduled_at: 60,
            at_reboot: false,
        };
        Pending {
            start: Box::new(start),
            tell_pid: line.is_multiple_of(5),
            tried_since_ms: line.is_multiple_of(3).then_some(i64::from(line)),
        }
    }

    fn taken(backlog: &mut Backlog) -> Option<Pending> {
        backlog.pop_front().unwrap()
    }

    #[test]
    fn they_come_in_order_as_they_were_however_many_wait() {
        let mut backlog = Backlog::default();
        for round in 0..3 {
            for line in 0..1000 {
                backlog.push_back(pending(line)).unwrap();
            }
            assert_eq!((backlog.len(), backlog.at_hand.len()), (1000, AT_HAND), "round {round}");
            for line in 0..500 {
                assert_eq!(taken(&mut backlog), Some(pending(line)));
            }
            // One that is put back comes next, one that is new comes last.
            backlog.push_front(pending(7));
            backlog.push_back(pending(1000)).unwrap();
            assert_eq!(taken(&mut backlog), Some(pending(7)));
            for line in 500..=1000 {
                assert_eq!(taken(&mut backlog), Some(pending(line)));
            }
            assert!(backlog.is_empty() && taken(&mut backlog).is_none());
            assert_eq!(backlog.packed.capacity(), 0, "its memory is given back");
        }
    }
}
