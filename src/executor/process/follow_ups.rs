//! Hooks and pings: commands of the owner that are run, and web services that are called, when a run has ended. They run as the owner beside
//! the jobs, with the PAM session and the SELinux context of a job, in bounded numbers and for a bounded time, and none of them delays a job.

use super::context::Context;
use crate::executor::exec_spec::{ExecSpec, ExecStage, Failure};
use crate::executor::job::Feed;
use crate::executor::link::Link;
use crate::executor::owner::{FairQueue, OwnerKey};
use crate::scheduler::{FollowUpTask, JobId, RunRequest};
use crate::sys::descriptor;
use crate::sys::process::{self, Ask, Pid};
use crate::sys::process_list::{self, ProcessIdentity};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Time limit of a hook, and of a ping with all its tries.
pub(super) const LIMIT_MS: i64 = 60_000;
/// Maximum number of hooks of one owner at once, and of all owners together. The same applies to pings. There is a reserve of the same size for
/// owners that have none running.
const OF_ONE: usize = 4;
const TOGETHER: usize = 64;
/// Maximum number of hooks of one owner that wait, and the same for pings. More are dropped.
pub(super) const WAITING_OF_ONE: usize = 16;
/// Bytes that are kept of what a hook or a ping prints.
const OUTPUT: usize = 4 << 10;
/// Pause after no process could be created.
pub(super) const BACKOFF_MS: i64 = 1_000;
/// Maximum number of jobs of one owner of which it is remembered that their web service failed.
const FAILING_OF_ONE: usize = 1_000;

/// The two kinds, which do not take each other's places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FollowUpKind {
    Hook,
    Ping,
}

impl FollowUpKind {
    pub(super) fn of(task: &FollowUpTask) -> FollowUpKind {
        match task {
            FollowUpTask::Hook { .. } => FollowUpKind::Hook,
            FollowUpTask::Ping { .. } => FollowUpKind::Ping,
        }
    }

    fn name(self) -> &'static str {
        match self {
            FollowUpKind::Hook => "hook",
            FollowUpKind::Ping => "ping",
        }
    }
}

/// How many of an owner's hooks or pings were dropped, by the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// As many others as may wait were waiting.
    pub(super) for_the_queue: u64,
    /// The owner's requests took too much memory.
    pub(super) for_memory: u64,
}

impl Dropped {
    /// What the log says about them, a line for each reason.
    pub(super) fn details(self, kind: FollowUpKind) -> impl Iterator<Item = String> {
        let waited = format!("{WAITING_OF_ONE} waited");
        let memory = "the commands and environments of this owner take too much memory".to_owned();
        let name = kind.name();
        [(self.for_the_queue, waited), (self.for_memory, memory)].into_iter().filter(|(count, _)| *count > 0).map(
            move |(count, why)| match count {
                1 => format!("1 {name} was dropped, because {why}"),
                _ => format!("{count} {name}s were dropped, because {why}"),
            },
        )
    }
}

/// A hook or a ping that waits for its start.
pub(super) struct QueuedFollowUp {
    pub(super) start: Box<RunRequest>,
    pub(super) task: FollowUpTask,
    /// What it reads from standard input.
    pub(super) input: Vec<u8>,
}

/// A hook or a ping that has a process.
pub(super) struct RunningFollowUp {
    pub(super) kind: FollowUpKind,
    pub(super) owner: OwnerKey,
    /// The queued request that it was started from.
    pub(super) queued: QueuedFollowUp,
    /// The process id. None until the PAM monitor has started the process.
    pub(super) pid: Option<Pid>,
    /// The process id with its start time, if a PAM monitor has started the process.
    pub(super) process: Option<ProcessIdentity>,
    /// The connection to the PAM monitor, if there is a PAM session.
    pub(super) monitor: Option<Link>,
    /// Whether it is to be ended as soon as it has a process.
    pub(super) ends_at_start: Option<Ask>,
    pub(super) feed: Option<Feed>,
    pub(super) pipe: Option<OwnedFd>,
    pub(super) output: Vec<u8>,
    pub(super) since_ms: i64,
    pub(super) timed_out: bool,
    pub(super) spec: ExecSpec,
    pub(super) failure: Option<String>,
}

/// The hooks and pings that wait and run.
#[derive(Default)]
pub(super) struct FollowUps {
    pub(super) hooks: FairQueue<QueuedFollowUp>,
    pub(super) pings: FairQueue<QueuedFollowUp>,
    pub(super) running: HashMap<u64, RunningFollowUp>,
    /// How many of an owner's were dropped since there was room for the last time.
    pub(super) dropped: HashMap<(FollowUpKind, OwnerKey), Dropped>,
    /// Jobs whose web service has failed since it answered for the last time.
    pub(super) failing: FailingPings,
    /// Whether it has been logged that there is no program that calls web services.
    pub(super) has_logged_lack: bool,
    pub(super) backoff_until_ms: i64,
}

/// Jobs whose web service has failed since it answered for the last time, of each owner with the oldest first. One whose job is gone stays until
/// newer ones take its place.
#[derive(Default)]
pub(super) struct FailingPings(HashMap<OwnerKey, VecDeque<JobId>>);

impl FailingPings {
    pub(super) fn contains(&self, owner: &OwnerKey, job: &JobId) -> bool {
        self.0.get(owner).is_some_and(|jobs| jobs.contains(job))
    }

    /// Adds a job that is not there yet. An owner that has too many loses the oldest.
    pub(super) fn add(&mut self, owner: OwnerKey, job: JobId) {
        let jobs = self.0.entry(owner).or_default();
        if jobs.len() >= FAILING_OF_ONE {
            jobs.pop_front();
        }
        jobs.push_back(job);
    }

    pub(super) fn remove(&mut self, owner: &OwnerKey, job: &JobId) {
        let Some(jobs) = self.0.get_mut(owner) else { return };
        jobs.retain(|other| other != job);
        if jobs.is_empty() {
            self.0.remove(owner);
        }
    }
}

impl FollowUps {
    /// The number of those that wait or run.
    pub(super) fn len(&self) -> usize {
        self.hooks.len() + self.pings.len() + self.running.len()
    }

    pub(super) fn queue(&mut self, kind: FollowUpKind) -> &mut FairQueue<QueuedFollowUp> {
        match kind {
            FollowUpKind::Hook => &mut self.hooks,
            FollowUpKind::Ping => &mut self.pings,
        }
    }

    /// The next one of a kind that may be started.
    pub(super) fn next(&mut self, kind: FollowUpKind) -> Option<(OwnerKey, QueuedFollowUp)> {
        let mut busy: HashMap<OwnerKey, usize> = HashMap::new();
        for running in self.running.values().filter(|running| running.kind == kind) {
            *busy.entry(running.owner.clone()).or_default() += 1;
        }
        let together = busy.values().sum();
        self.queue(kind).pop_if(|owner| may_start(busy.get(owner).copied().unwrap_or(0), together))
    }

    /// When the next timed work is due (monotonic).
    pub(super) fn next_ms(&self) -> Option<i64> {
        let ends = self.running.values().filter(|running| !running.timed_out).map(|one| one.since_ms + LIMIT_MS).min();
        let is_held = self.backoff_until_ms > 0 && self.hooks.len() + self.pings.len() > 0;
        ends.into_iter().chain(is_held.then_some(self.backoff_until_ms)).min()
    }

    /// Kills those that have exceeded their time limit.
    pub(super) fn end_overdue(&mut self, now_ms: i64) {
        for running in self.running.values_mut().filter(|one| !one.timed_out && one.since_ms + LIMIT_MS <= now_ms) {
            running.timed_out = true;
            end(running, Ask::Kill);
        }
    }

    /// Signals all hooks and pings that are running.
    pub(super) fn end_running(&mut self, ask: Ask) {
        self.running.values_mut().for_each(|running| end(running, ask));
    }

    /// Records the process that a PAM monitor has started.
    pub(super) fn started(&mut self, id: u64, pid: Pid, process: Option<ProcessIdentity>) {
        let Some(running) = self.running.get_mut(&id) else { return };
        (running.pid, running.process) = (Some(pid), process);
        if let Some(ask) = running.ends_at_start.take() {
            end(running, ask);
        }
    }

    /// Goes on writing the standard input.
    pub(super) fn feed(&mut self, id: u64) {
        let Some(running) = self.running.get_mut(&id) else { return };
        if running.feed.as_mut().is_some_and(Feed::proceed) {
            running.feed = None;
        }
    }

    /// Reads output, of which the beginning is kept.
    pub(super) fn read(&mut self, context: &Context, id: u64) {
        let Some(running) = self.running.get_mut(&id) else { return };
        let Some(pipe) = &running.pipe else { return };
        let mut buffer = [0; OUTPUT];
        match descriptor::read(pipe.as_fd(), &mut buffer) {
            Ok(count) if count > 0 => {
                let room = OUTPUT.saturating_sub(running.output.len());
                running.output.extend_from_slice(buffer.get(..count.min(room)).unwrap_or(&[]));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Ok(_) | Err(_) => {
                let _ = context.poll.remove(pipe);
                running.pipe = None;
            }
        }
    }

    /// Records that the program could not be executed.
    pub(super) fn failed(&mut self, id: u64, failure: &Failure) {
        if failure.step == ExecStage::DirectoryInstead || failure.step.is_limit() {
            return;
        }
        if let Some(running) = self.running.get_mut(&id) {
            running.failure = Some(failure.why(&running.spec));
        }
    }
}

/// Whether an owner with this number of running ones of a kind may have another, while all owners together have `together` of that kind.
fn may_start(of_owner: usize, together: usize) -> bool {
    match of_owner {
        0 => together < 2 * TOGETHER,
        _ => of_owner < OF_ONE && together < TOGETHER,
    }
}

/// Signals a process group, or has that done as soon as it exists.
fn end(running: &mut RunningFollowUp, ask: Ask) {
    let Some(pid) = running.pid else {
        // A request to terminate must not weaken one to kill.
        if !matches!(running.ends_at_start, Some(Ask::Kill)) {
            running.ends_at_start = Some(ask);
        }
        return;
    };
    // A child of this process has not been reaped, so the process id is still its own. A PAM monitor may have reaped its own.
    if running.monitor.is_none() || running.process.is_some_and(|own| process_list::identity(pid) == Some(own)) {
        let _ = process::signal_group(pid, ask).or_else(|_| process::signal(pid, ask));
    }
}

impl QueuedFollowUp {
    pub(super) fn command(&self) -> Vec<u8> {
        match &self.task {
            FollowUpTask::Hook { command, .. } => command.to_vec(),
            FollowUpTask::Ping { .. } => self.start.command.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::owner::owner_of;
    use crate::executor::test_request::request;
    use crate::scheduler::{Owner, Source};

    fn hook_of(owner: Owner, command: &str) -> QueuedFollowUp {
        let source = Source { path: "/x".into(), name: "x".into(), owner };
        let start = Box::new(RunRequest { source, ..request(1) });
        let command = command.as_bytes().to_vec().into();
        let task = FollowUpTask::Hook { event: "failure".to_owned(), command, variables: Vec::new() };
        QueuedFollowUp { start, task, input: Vec::new() }
    }

    #[test]
    fn a_crontab_and_system_entries_of_the_same_user_take_turns() {
        let mut follow_ups = FollowUps::default();
        let user = || Owner::User { name: "alice".into(), uid: 1000 };
        for queued in [hook_of(user(), "1"), hook_of(user(), "2"), hook_of(Owner::System, "3")] {
            follow_ups.queue(FollowUpKind::Hook).push_back(owner_of(&queued.start), queued);
        }
        let next = std::iter::from_fn(|| follow_ups.next(FollowUpKind::Hook));
        let commands: Vec<Vec<u8>> = next.map(|(_, queued)| queued.command()).collect();
        assert_eq!(commands, [b"1", b"3", b"2"]);
    }

    #[test]
    fn the_log_gives_the_reason_of_each_drop() {
        let dropped = Dropped { for_the_queue: 2, for_memory: 1 };
        assert_eq!(
            dropped.details(FollowUpKind::Hook).collect::<Vec<_>>(),
            [
                "2 hooks were dropped, because 16 waited",
                "1 hook was dropped, because the commands and environments of this owner take too much memory"
            ]
        );
        assert_eq!(Dropped::default().details(FollowUpKind::Ping).count(), 0);
    }

    #[test]
    fn an_owner_with_many_failing_pings_loses_its_own_oldest_one() {
        let mut failing = FailingPings::default();
        let (alice, bob): (OwnerKey, OwnerKey) = ("alice".into(), "bob".into());
        let job = |number: usize| JobId::named("alice", &number.to_string());
        failing.add(bob.clone(), job(0));
        (0..=FAILING_OF_ONE).for_each(|number| failing.add(alice.clone(), job(number)));
        assert!(!failing.contains(&alice, &job(0)) && failing.contains(&alice, &job(1)));
        assert!(failing.contains(&alice, &job(FAILING_OF_ONE)) && failing.contains(&bob, &job(0)));
        failing.remove(&alice, &job(1));
        assert!(!failing.contains(&alice, &job(1)));
        failing.remove(&bob, &job(0));
        assert_eq!(failing.0.len(), 1);
    }

    #[test]
    fn owners_with_none_running_have_a_reserve_and_others_do_not() {
        for (of_owner, together, expected) in [
            (0, 0, true),
            (OF_ONE - 1, OF_ONE - 1, true),
            (OF_ONE, OF_ONE, false),
            (1, TOGETHER - 1, true),
            (1, TOGETHER, false),
            (0, TOGETHER, true),
            (0, 2 * TOGETHER - 1, true),
            (0, 2 * TOGETHER, false),
        ] {
            assert_eq!(may_start(of_owner, together), expected, "{of_owner} of {together}");
        }
    }
}
