//! Pauses of all jobs that somebody may steer. They hold for entries that are added later, too.
//!
//! Each job has its pause (`pause.rs`); a pause of all says which jobs get one when they become known.

use super::pause::Pause;
use super::{Jobs, Turn};
use crate::schedule::Timestamp;
use crate::scheduler::job_id::JobId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Jobs that one pause of all can leave out. Those beyond are paused again when their table is loaded anew.
const MOST_LEFT_OUT: usize = 500;
/// Name of the record of a pause of all in the state file. No job has it.
const NAME: &str = "*";

/// Whose jobs a pause covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseScope {
    /// All jobs of all users and of the system.
    Everybody,
    /// The entries of the crontab whose owner has this user id.
    User(u32),
}

/// A pause of all, and the jobs that somebody has paused or resumed by themselves since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::scheduler) struct PauseOfAll {
    pause: Pause,
    left_out: BTreeSet<JobId>,
}

/// All pauses of all.
pub(in crate::scheduler) type PausesOfAll = BTreeMap<PauseScope, PauseOfAll>;

impl PauseOfAll {
    /// Whether a job has its pause because all are paused.
    pub(in crate::scheduler) fn has_given(&self, id: &JobId, pause: &Pause) -> bool {
        self.pause.is_of_same_request(pause) && !self.left_out.contains(id)
    }
}

impl PauseScope {
    /// The key in the state file.
    pub(in crate::scheduler) fn key(self) -> JobId {
        match self {
            PauseScope::Everybody => JobId::named("root", NAME),
            PauseScope::User(uid) => JobId::named(&format!("#{uid}"), NAME),
        }
    }

    /// The scope with a key of the state file.
    pub(in crate::scheduler) fn of_key(key: &JobId) -> Option<PauseScope> {
        match key.user() {
            "root" => Some(PauseScope::Everybody),
            user => user.strip_prefix('#')?.parse().ok().map(PauseScope::User),
        }
    }
}

impl Jobs {
    /// Pauses what is added to these jobs from now on. Those that are known already are paused one by one.
    pub(in crate::scheduler) fn pause_all(&mut self, scope: PauseScope, pause: Pause, turn: &mut Turn<'_>) {
        self.pauses_of_all.insert(scope, PauseOfAll { pause, left_out: BTreeSet::new() });
        turn.changed_scopes.insert(scope);
    }

    /// Takes a pause of all back. Whoever may steer every job ends those of users, too. Returns those that have ended.
    pub(in crate::scheduler) fn resume_all(&mut self, scope: PauseScope, turn: &mut Turn<'_>) -> Vec<PauseOfAll> {
        let is_ended = |of: &PauseScope| scope == PauseScope::Everybody || *of == scope;
        let ended: Vec<PauseScope> = self.pauses_of_all.keys().copied().filter(is_ended).collect();
        turn.changed_scopes.extend(&ended);
        ended.iter().filter_map(|of| self.pauses_of_all.remove(of)).collect()
    }

    /// An entry is gone: a pause that it had because all are paused is given again when it comes back.
    pub(super) fn forget_pauses(&mut self, id: &JobId, turn: &mut Turn<'_>) {
        self.pauses.forget_past(id);
        let Some(owner) = self.jobs.get(id).map(|job| job.spec.table_owner) else { return };
        let mut covering = scopes_of(owner).filter_map(|scope| self.pauses_of_all.get(&scope));
        if self.pauses.get(id).is_some_and(|pause| covering.any(|all| all.has_given(id, pause))) {
            self.pauses.remove(id);
            turn.changed_pauses.insert(id.clone());
        }
    }

    /// Somebody has paused or resumed a job by itself: no pause of all that goes on and that they may end holds for it any more.
    pub(in crate::scheduler) fn leave_out_of_pauses(&mut self, id: &JobId, is_by_root: bool, turn: &mut Turn<'_>) {
        let Some(owner) = self.jobs.get(id).map(|job| job.spec.table_owner) else { return };
        let may_leave_out =
            |all: &&mut PauseOfAll| (is_by_root || !all.pause.is_by_root) && all.left_out.len() < MOST_LEFT_OUT;
        for scope in scopes_of(owner) {
            if let Some(of_all) = self.pauses_of_all.get_mut(&scope).filter(may_leave_out)
                && of_all.left_out.insert(id.clone())
            {
                turn.changed_scopes.insert(scope);
            }
        }
    }

    /// Whether some pause of all covers the tables of this owner now. None: system tables.
    pub(in crate::scheduler) fn is_all_paused(&self, owner: Option<u32>, now: Timestamp) -> bool {
        let is_in_force = |scope| self.pauses_of_all.get(&scope).is_some_and(|all| now < all.pause.until);
        !self.pauses_of_all.is_empty() && scopes_of(owner).any(is_in_force)
    }

    /// The pause of all that goes on with this scope.
    pub(in crate::scheduler) fn pause_of_scope(&self, scope: PauseScope) -> Option<&Pause> {
        self.pauses_of_all.get(&scope).map(|all| &all.pause)
    }

    /// Pauses a job that a pause of all covers, unless it is paused. The pause of root replaces another one, which the user can end.
    pub(in crate::scheduler) fn pause_if_covered(&mut self, id: &JobId, turn: &mut Turn<'_>) {
        if let Some(pause) = self.covering_pause(id, turn.now.utc)
            && self.pauses.get(id).is_none_or(|own| pause.is_by_root && !own.is_by_root)
        {
            self.pause(id, pause, turn);
        }
    }

    /// The pause that a job has because all are paused.
    pub(super) fn covering_pause(&self, id: &JobId, now: Timestamp) -> Option<Pause> {
        if self.pauses_of_all.is_empty() {
            return None;
        }
        let owner = self.jobs.get(id)?.spec.table_owner;
        let covers = |all: &&PauseOfAll| now < all.pause.until && !all.left_out.contains(id);
        let mut covering = scopes_of(owner).filter_map(|scope| self.pauses_of_all.get(&scope)).filter(covers);
        covering.next().map(|all| all.pause.clone())
    }

    /// When the next pause of all ends.
    pub(super) fn next_end_of_scope(&self) -> Option<Timestamp> {
        self.pauses_of_all.values().map(|all| all.pause.until).min()
    }

    /// Forgets the pauses of all that are over.
    pub(super) fn end_scopes(&mut self, turn: &mut Turn<'_>) {
        let is_over = |all: &PauseOfAll| all.pause.until <= turn.now.utc;
        let over: Vec<PauseScope> =
            self.pauses_of_all.iter().filter(|(_, all)| is_over(all)).map(|(scope, _)| *scope).collect();
        for scope in over {
            self.pauses_of_all.remove(&scope);
            turn.changed_scopes.insert(scope);
        }
    }

    /// Takes the pauses of all that an earlier daemon has left.
    pub(in crate::scheduler) fn restore_pauses_of_all(&mut self, saved: PausesOfAll) {
        self.pauses_of_all = saved;
    }

    /// All pauses of all, for the state file.
    pub(in crate::scheduler) fn pauses_of_all(&self) -> &PausesOfAll {
        &self.pauses_of_all
    }
}

/// The scopes that cover tables of this owner; that of root first, since only root can undo its pause.
fn scopes_of(owner: Option<u32>) -> impl Iterator<Item = PauseScope> {
    [Some(PauseScope::Everybody), owner.map(PauseScope::User)].into_iter().flatten()
}
