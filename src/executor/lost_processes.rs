//! The processes of a run whose executor is dead or cannot be reached, as main finds them: its session leader, after the end of that one the
//! others in its cgroup, and without a cgroup those in its session.

use super::job_cgroup;
use super::journal::ProcessId;
use crate::scheduler::RunId;
use crate::sys::process::Pid;
use crate::sys::process_list::{self, ProcessEntry, ProcessIdentity, ProcessWalk};
use std::cell::OnceCell;
use std::collections::HashMap;

/// Maximum number of names of /proc that are read at once.
const NAMES_AT_ONCE: usize = 4096;

/// The processes of a run.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LostProcesses {
    /// The session leader, which may have ended.
    pub(super) leader: ProcessIdentity,
    /// Other processes of its session, if it has ended.
    pub(super) others: Vec<ProcessIdentity>,
}

/// The processes of the machine by session, read when they are needed for the first time.
#[derive(Debug, Default)]
pub struct Sessions(OnceCell<HashMap<Pid, Vec<ProcessEntry>>>);

impl Sessions {
    fn of(&self, session: Pid) -> &[ProcessEntry] {
        let sessions = self.0.get_or_init(|| {
            let mut entries = Vec::new();
            // Of a list that cannot be read to its end, the beginning is used.
            if let Ok(mut walk) = ProcessWalk::begin() {
                while walk.read_some(NAMES_AT_ONCE, &mut entries).unwrap_or(false) {}
            }
            let mut sessions: HashMap<Pid, Vec<ProcessEntry>> = HashMap::new();
            for entry in entries.into_iter().filter(|entry| !entry.has_ended) {
                sessions.entry(entry.session).or_default().push(entry);
            }
            sessions
        });
        sessions.get(&session).map_or(&[], Vec::as_slice)
    }
}

/// A process of a run, if one is left. Its session leader was `leader`.
pub(super) fn process_of(leader: ProcessId, run: RunId, sessions: &Sessions) -> Option<Pid> {
    if is_there(leader) {
        return Some(leader.pid);
    }
    job_cgroup::process_of_lost_run(run).or_else(|| others_in_session(leader, run, sessions).first().map(|one| one.pid))
}

/// The processes of a run that are to be ended.
pub(super) fn processes_of(leader: ProcessId, run: RunId) -> LostProcesses {
    let others = if is_there(leader) { Vec::new() } else { others_in_session(leader, run, &Sessions::default()) };
    LostProcesses { leader: identity_of(leader), others }
}

fn identity_of(process: ProcessId) -> ProcessIdentity {
    ProcessIdentity { pid: process.pid, started: process.started }
}

/// Whether it has not ended. One whose parent has not waited for it has.
fn is_there(process: ProcessId) -> bool {
    let entry = process_list::entry(process.pid).ok().flatten();
    entry.is_some_and(|entry| entry.identity == identity_of(process) && !entry.has_ended)
}

/// The processes that are left in the session of a leader that has ended. The kernel gives the number of a session to another one when the
/// last process has left it, so a process counts only if one of the session was started with the number of the run in its environment.
fn others_in_session(leader: ProcessId, run: RunId, sessions: &Sessions) -> Vec<ProcessIdentity> {
    let is_member = |entry: &&ProcessEntry| {
        let now = process_list::entry(entry.identity.pid).ok().flatten();
        now.is_some_and(|now| now.identity == entry.identity && now.session == entry.session && !now.has_ended)
    };
    let members: Vec<ProcessIdentity> =
        sessions.of(leader.pid).iter().filter(is_member).map(|entry| entry.identity).collect();
    let variable = format!("CRON_RUN_ID={}", run.0);
    let is_of_run = members.iter().any(|member| process_list::was_started_with(member.pid, &variable));
    if is_of_run { members } else { Vec::new() }
}
