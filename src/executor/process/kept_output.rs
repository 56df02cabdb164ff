//! Output of ended runs that is kept until it is known what becomes of it: of attempts that may be followed by another, of runs whose mail
//! main decides about, and the last bytes for hooks and pings.

use super::ended_run::EndedRun;
use crate::executor::owner::OwnerKey;
use crate::scheduler::{JobId, RunId};
use std::collections::HashMap;

/// Bytes of the end of the output that hooks and pings get.
pub(super) const TAIL: usize = 10_000;
/// Maximum number of runs of all owners whose output is kept. Main decides about an ended run at once, so only as many are kept for longer
/// as jobs have a pending retry.
pub(super) const MOST: usize = 20_000;

/// The kept output.
#[derive(Default)]
pub(super) struct KeptOutput {
    pub(super) mails: HashMap<RunId, EndedRun>,
    pub(super) tails: HashMap<RunId, (OwnerKey, Vec<u8>)>,
    /// What main has decided about runs whose output is not complete yet.
    pub(super) decisions: HashMap<RunId, bool>,
}

impl KeptOutput {
    /// The output of the attempt before this one.
    pub(super) fn take_earlier(&mut self, job: &JobId, scheduled_at: i64, attempt: u32) -> Option<EndedRun> {
        let is_earlier = |held: &EndedRun| {
            held.start.job == *job && held.start.scheduled_at == scheduled_at && held.start.attempt < attempt
        };
        let run = self.mails.values().find(|held| is_earlier(held)).map(EndedRun::run)?;
        self.mails.remove(&run)
    }
}
