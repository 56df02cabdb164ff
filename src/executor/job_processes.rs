//! Which processes of the machine belong to a job: its session leader, the descendants of its processes, all processes of sessions that one of
//! them began, and all processes in the job's cgroup, if it has one.
//!
//! A process that was found is remembered, so that its descendants are still found after its parent has ended. What is read of several
//! processes one after the other never existed at one moment, so each process that is found is confirmed before it counts.

use super::lost_processes::LostProcesses;
use crate::sys::process::{self, Pid};
use crate::sys::process_list::{ProcessEntry, ProcessIdentity};
use std::collections::{HashMap, HashSet, VecDeque};

/// A process of a job.
#[derive(Clone, Copy, Debug)]
struct Member {
    started: u64,
    session: Pid,
    /// Whether it had not ended when it was last seen.
    is_alive: bool,
    /// Whether it was sent STOP.
    is_stopped: bool,
}

/// The known processes of one job.
#[derive(Debug, Default)]
pub(super) struct JobProcesses {
    leader: Pid,
    members: HashMap<Pid, Member>,
}

/// A process that seems to belong to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) process: ProcessIdentity,
    found_by: FoundBy,
}

/// What seems to connect a process with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FoundBy {
    /// Its parent is this process of the job.
    Parent(Pid),
    /// The process is in the same session as this process of the job.
    Session { companion: Pid, session: Pid },
    /// The process was in the job's cgroup after the processes of the machine had been read.
    Cgroup,
}

/// All processes of the machine, as they were read.
pub(super) struct ProcessTable {
    entries: HashMap<Pid, ProcessEntry>,
    children: HashMap<Pid, Vec<Pid>>,
    sessions: HashMap<Pid, Vec<Pid>>,
}

impl ProcessTable {
    pub(super) fn of(list: &[ProcessEntry]) -> ProcessTable {
        let mut table = ProcessTable { entries: HashMap::new(), children: HashMap::new(), sessions: HashMap::new() };
        for entry in list {
            let pid = entry.identity.pid;
            table.entries.insert(pid, *entry);
            table.children.entry(entry.parent).or_default().push(pid);
            table.sessions.entry(entry.session).or_default().push(pid);
        }
        table
    }
}

impl JobProcesses {
    /// A job whose session leader this is.
    pub(super) fn of_leader(leader: ProcessIdentity) -> JobProcesses {
        let member = Member { started: leader.started, session: 0, is_alive: true, is_stopped: false };
        JobProcesses { leader: leader.pid, members: HashMap::from([(leader.pid, member)]) }
    }

    /// What is left of a run of another executor. Its leader is forgotten by the next update if it has ended.
    pub(super) fn of_lost(LostProcesses { leader, others }: LostProcesses) -> JobProcesses {
        let mut job = JobProcesses::of_leader(leader);
        for process in others {
            let member = Member { started: process.started, session: leader.pid, is_alive: true, is_stopped: false };
            job.members.insert(process.pid, member);
        }
        job
    }

    /// The processes that had not ended when they were last seen.
    pub(super) fn alive(&self) -> impl Iterator<Item = ProcessIdentity> {
        self.members.iter().filter(|(_, member)| member.is_alive).map(|(pid, member)| member.identity(*pid))
    }

    /// The processes without those that are marked as stopped.
    pub(super) fn not_stopped(&self) -> impl Iterator<Item = ProcessIdentity> {
        let running = self.members.iter().filter(|(_, member)| member.is_alive && !member.is_stopped);
        running.map(|(pid, member)| member.identity(*pid))
    }

    pub(super) fn mark_stopped(&mut self) {
        self.members.values_mut().for_each(|member| member.is_stopped = true);
    }

    /// Notes which known processes still exist, and returns what seems to have been added to them: parents before their children.
    /// `in_cgroup` are the processes in the job's cgroup, read after the table.
    pub(super) fn update(&mut self, table: &ProcessTable, in_cgroup: &[Pid]) -> Vec<Candidate> {
        self.members.retain(|pid, member| {
            let entry = table.entries.get(pid).filter(|entry| entry.identity.started == member.started);
            if let Some(entry) = entry {
                (member.session, member.is_alive) = (entry.session, !entry.has_ended);
            }
            entry.is_some()
        });
        let mut queue: VecDeque<(Pid, Pid)> = self.members.iter().map(|(pid, member)| (*pid, member.session)).collect();
        let mut seen: HashSet<Pid> = self.members.keys().copied().collect();
        seen.extend([0, 1, process::own_pid()]);
        let (mut sessions, mut found) = (HashSet::new(), Vec::new());
        for pid in in_cgroup {
            if let Some(entry) = table.entries.get(pid).filter(|entry| !entry.has_ended)
                && seen.insert(*pid)
            {
                found.push(Candidate { process: entry.identity, found_by: FoundBy::Cgroup });
                queue.push_back((*pid, entry.session));
            }
        }
        while let Some((pid, session)) = queue.pop_front() {
            let children = table.children.get(&pid).into_iter().flatten().map(|child| (*child, FoundBy::Parent(pid)));
            let of_session = if self.is_own_session(pid, session) && sessions.insert(session) {
                table.sessions.get(&session)
            } else {
                None
            };
            let companions = of_session.into_iter().flatten();
            let companions = companions.map(|other| (*other, FoundBy::Session { companion: pid, session }));
            for (other, found_by) in children.chain(companions) {
                if let Some(entry) = table.entries.get(&other).filter(|entry| !entry.has_ended)
                    && seen.insert(other)
                {
                    found.push(Candidate { process: entry.identity, found_by });
                    queue.push_back((other, entry.session));
                }
            }
        }
        found
    }

    /// Whether the session of one of the job's processes was begun by the job. The leader begins its session after its fork, and until then
    /// is in that of the process that forked it. It does so before it can have descendants.
    fn is_own_session(&self, pid: Pid, session: Pid) -> bool {
        session != 0 && (pid != self.leader || session == pid)
    }

    /// Adds a candidate if it belongs to the job at this moment. `entry` reads the entry of a process.
    pub(super) fn confirm(&mut self, candidate: Candidate, entry: impl Fn(Pid) -> Option<ProcessEntry>) {
        let Some(found) = entry(candidate.process.pid).filter(|found| found.identity == candidate.process) else {
            return;
        };
        // The other process is read last: if it is still the job's, it was also when the candidate was read.
        let is_own = |pid: Pid| {
            let now = entry(pid)?;
            self.members.get(&pid).filter(|member| member.started == now.identity.started).map(|_| now)
        };
        let is_linked = match candidate.found_by {
            FoundBy::Parent(parent) => found.parent == parent && is_own(parent).is_some(),
            FoundBy::Session { companion, session } => {
                found.session == session && is_own(companion).is_some_and(|now| now.session == session)
            }
            // The table was read before the cgroup, so it is the process that was in there.
            FoundBy::Cgroup => true,
        };
        if is_linked {
            let (started, session) = (found.identity.started, found.session);
            let member = Member { started, session, is_alive: !found.has_ended, is_stopped: false };
            self.members.insert(found.identity.pid, member);
        }
    }
}

impl Member {
    fn identity(self, pid: Pid) -> ProcessIdentity {
        ProcessIdentity { pid, started: self.started }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(pid: Pid, parent: Pid, session: Pid, started: u64) -> ProcessEntry {
        ProcessEntry { identity: ProcessIdentity { pid, started }, parent, session, has_ended: false }
    }

    fn walk(job: &mut JobProcesses, list: &[ProcessEntry]) {
        walk_with_cgroup(job, list, &[]);
    }

    fn walk_with_cgroup(job: &mut JobProcesses, list: &[ProcessEntry], in_cgroup: &[Pid]) {
        let table = ProcessTable::of(list);
        for candidate in job.update(&table, in_cgroup) {
            job.confirm(candidate, |pid| list.iter().find(|entry| entry.identity.pid == pid).copied());
        }
    }

    fn alive(job: &JobProcesses) -> Vec<Pid> {
        let mut pids: Vec<Pid> = job.alive().map(|process| process.pid).collect();
        pids.sort_unstable();
        pids
    }

    fn job() -> JobProcesses {
        JobProcesses::of_leader(ProcessIdentity { pid: 100, started: 1 })
    }

    #[test]
    fn descendants_in_other_sessions_and_orphans_in_the_jobs_sessions_belong_to_the_job() {
        let mut job = job();
        let list = [
            entry(100, 50, 100, 1),
            entry(101, 100, 100, 2),
            entry(102, 101, 102, 3),
            // Orphans: in the leader's session, in the session of a descendant, and outside of both.
            entry(103, 1, 100, 4),
            entry(104, 1, 102, 5),
            entry(105, 1, 105, 6),
            entry(50, 1, 50, 1),
            entry(51, 50, 50, 1),
        ];
        walk(&mut job, &list);
        assert_eq!(alive(&job), [100, 101, 102, 103, 104]);
    }

    #[test]
    fn neither_the_first_process_nor_the_executor_belongs_to_a_job() {
        let (mut job, own) = (job(), process::own_pid());
        let list = [entry(100, 50, 100, 1), entry(1, 0, 100, 1), entry(own, 100, 100, 2)];
        walk_with_cgroup(&mut job, &list, &[1, own]);
        assert_eq!(alive(&job), [100]);
    }

    #[test]
    fn whoever_is_in_the_jobs_cgroup_belongs_to_the_job_with_all_its_descendants() {
        let mut job = job();
        // 105 has left session and parent; 107 has done so, too, and has moved to another cgroup.
        let list = [entry(100, 50, 100, 1), entry(105, 1, 105, 6), entry(106, 105, 106, 7), entry(107, 1, 107, 8)];
        walk_with_cgroup(&mut job, &list, &[100, 105, 999]);
        assert_eq!(alive(&job), [100, 105, 106]);
    }

    #[test]
    fn the_process_in_the_cgroup_is_not_taken_for_one_that_had_its_id_before() {
        let mut job = job();
        let table = ProcessTable::of(&[entry(100, 50, 100, 1), entry(105, 1, 105, 6)]);
        let candidates = job.update(&table, &[105]);
        for candidate in candidates {
            job.confirm(candidate, |pid| Some(entry(pid, 1, 105, 9)));
        }
        assert_eq!(alive(&job), [100]);
    }

    #[test]
    fn a_process_that_was_found_once_and_its_children_are_found_after_its_parents_have_ended() {
        let mut job = job();
        walk(&mut job, &[entry(100, 50, 100, 1), entry(101, 100, 100, 2), entry(102, 101, 102, 3)]);
        walk(&mut job, &[entry(102, 1, 102, 3), entry(103, 102, 103, 4), entry(104, 1, 102, 5)]);
        assert_eq!(alive(&job), [102, 103, 104]);
    }

    #[test]
    fn before_the_leader_has_begun_its_session_nobody_of_the_starters_session_belongs_to_the_job() {
        let mut job = job();
        walk(&mut job, &[entry(100, 50, 50, 1), entry(50, 40, 50, 1), entry(51, 50, 50, 1)]);
        assert_eq!(alive(&job), [100]);
    }

    #[test]
    fn a_process_with_the_reused_id_of_a_jobs_process_does_not_belong_to_the_job() {
        let mut job = job();
        walk(&mut job, &[entry(100, 50, 100, 1), entry(101, 100, 100, 2)]);
        // Both have ended, and another session and its child have their ids.
        walk(&mut job, &[entry(100, 7, 100, 9), entry(101, 100, 100, 10), entry(102, 101, 100, 11)]);
        assert_eq!(alive(&job), [0; 0]);
    }

    #[test]
    fn a_child_whose_parent_ended_while_the_list_was_read_is_not_taken_for_that_of_the_next_process_with_its_id() {
        let mut job = job();
        walk(&mut job, &[entry(100, 50, 100, 1), entry(101, 100, 100, 2)]);
        // The list has the old 101 and the child of the new 101.
        let table = ProcessTable::of(&[entry(100, 50, 100, 1), entry(101, 100, 100, 2), entry(200, 101, 150, 12)]);
        let candidates = job.update(&table, &[]);
        assert_eq!(candidates.len(), 1);
        let now = [entry(100, 50, 100, 1), entry(101, 7, 150, 11), entry(200, 101, 150, 12)];
        for candidate in candidates {
            job.confirm(candidate, |pid| now.iter().find(|entry| entry.identity.pid == pid).copied());
        }
        assert_eq!(alive(&job), [100, 101]);
    }

    #[test]
    fn a_process_that_has_ended_and_was_not_waited_for_is_not_alive_but_its_session_is_the_jobs() {
        let mut job = job();
        let ended = |entry| ProcessEntry { has_ended: true, ..entry };
        walk(&mut job, &[ended(entry(100, 50, 100, 1)), ended(entry(101, 100, 100, 2)), entry(102, 1, 100, 3)]);
        assert_eq!(alive(&job), [102]);
    }
}
