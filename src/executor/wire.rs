//! The messages between a main and an executor, and their version.
//!
//! Each message is a frame of a [`super::link::Link`] in the format of postcard. An executor and the main that forked it are the same
//! program. A later main, which takes the executor over, may be of another version. Both begin with `Hello` and their version, and after
//! that they only use the messages above the line "same version only". Those never change. New variants are added at the end of each enum,
//! and a message that cannot be decoded is skipped.

use super::lost_processes::LostProcesses;
use crate::scheduler::{EndReason, FollowUp, JobId, MailResult, RunCause, RunId, RunResult};

/// The version that a `Hello` has. It changes when variants are added.
pub(super) const PROTOCOL: u32 = 6;

/// How jobs are ended. The order is part of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum EndMethod {
    /// SIGTERM, and SIGKILL after the grace period of the job.
    WithGrace,
    /// SIGKILL at once.
    AtOnce,
}

/// A request from a main to an executor. `S` is the start: main borrows it, the executor owns it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ExecutorRequest<S> {
    /// The first message of a later main.
    Hello {
        /// The protocol version of the sender.
        protocol: u32,
    },
    /// End every job with all its processes. Nothing more is started.
    EndAll(EndMethod),
    /// Connect to the log again.
    ReopenLog,
    /// Log the state of the executor (SIGUSR1).
    LogState,
    // Same version only.
    /// Start a job as soon as the limits allow it.
    Start {
        /// The description of the job to start.
        start: S,
        /// Send `Started` as soon as it has a process.
        wants_pid: bool,
    },
    /// Make no more starts; running jobs keep running.
    StopStarting,
    /// End a run with all its processes: SIGTERM, and SIGKILL after its grace period.
    End {
        /// The run whose processes are ended.
        run: RunId,
        /// Why, for the log.
        why: EndReason,
    },
    /// Run a hook, or call a web service.
    FollowUp(FollowUp<S>),
    /// No attempt follows this run, and everything that needs its output has been requested.
    Conclude {
        /// The run of the last attempt.
        run: RunId,
        /// Whether its output is mailed, if it is kept for that.
        is_mailed: bool,
    },
    /// End the processes of a run that another executor has left: SIGTERM, and SIGKILL after a grace period.
    EndLost {
        /// The run, which its own executor cannot end any more.
        run: RunId,
        /// The processes of the run as the journal of that executor has them.
        processes: LostProcesses,
        /// Seconds of the grace period.
        grace_s: u32,
    },
    /// Send the output of a run as [`ExecutorEvent::OutputPart`] until it ends.
    FollowOutput {
        /// The run. It may be waiting for its start.
        run: RunId,
        /// A number that the parts get. A follower with this number before is forgotten.
        follower: u64,
    },
    /// Send no more parts to a follower but the last.
    StopFollowing {
        /// The number that it was given with `FollowOutput`.
        follower: u64,
    },
    /// Send a signal to all processes of a run's job, and decide nothing else.
    Signal {
        /// The run whose processes get it.
        run: RunId,
        /// The number of the signal.
        signal: i32,
    },
    /// Send `Accepted` with the processes that have not been reported.
    ReportProcesses,
    /// Runs of fleet jobs that fail over may continue until then.
    ExtendRuns {
        /// The runs of fleet jobs that may continue.
        runs: Vec<RunId>,
        /// When they are ended unless they are extended again, in milliseconds of CLOCK_BOOTTIME.
        end_by_ms: i64,
    },
}

/// An event from an executor to a main.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum ExecutorEvent {
    /// The first message to a later main.
    Hello {
        /// The protocol version of the sender.
        protocol: u32,
    },
    /// To a later main: this run is still running.
    Running {
        /// The run and its job.
        run: RunOfJob,
        /// Process id of the job's session leader. 0 if there is no process yet.
        pid: u32,
    },
    /// To a later main: all runs that are still running have been listed.
    Listed,
    /// A run ended, perhaps while no main was connected. Its mail may still be unsent.
    Ended(Box<RunResult>),
    /// The output of an ended run was mailed, or could not be mailed. Not sent for runs without mail.
    Mailed {
        /// The run whose output it was.
        run: RunId,
        /// The result of the mail.
        mail: MailResult,
    },
    // Same version only.
    /// A job has been started whose request had `wants_pid`.
    Started {
        /// The run that has a process now.
        run: RunId,
        /// Process id of the job's session leader.
        pid: u32,
    },
    /// These runs are being started, or it was found that they cannot be started, and these processes have been started.
    Accepted {
        /// The ids of the runs.
        runs: Vec<RunId>,
        /// The processes of these runs and of earlier ones. Where a PAM monitor starts the job, its process is known only later; it is then
        /// sent together with the next other event, which saves main a wake-up, or at once if main asks for it. The process of a run that has
        /// ended before is not sent.
        processes: Vec<RunProcess>,
    },
    /// What the history keeps of the output of a run that has ended. It comes after the run's result, and once more with all of it if
    /// processes in the background have written later. Not sent for runs without output, nor while no main is connected; what main has left
    /// unread of it is bounded, and more is left out.
    KeptOutput {
        /// The run that has written it.
        run: RunId,
        /// The beginning of the output.
        head: Vec<u8>,
        /// The end of the output, as far as it is not in `head`.
        tail: Vec<u8>,
        /// The number of bytes between the two that are left out.
        cut: u64,
    },
    /// A part of the output of a run that main follows: first what is kept of it, at most its beginning and its end and as one stream, then
    /// everything as it is read. If main does not read it, parts are left out.
    OutputPart {
        /// The number of the follower.
        follower: u64,
        /// The stream that wrote it.
        stream: OutputStream,
        /// Bytes of the output that are left out before this part.
        skipped: u64,
        /// The bytes of the output.
        data: Vec<u8>,
        /// Whether this is the last part: the output has ended, main wants no more, or there is no such run, or too many followers.
        is_end: bool,
    },
    /// A hook or a call of a web service has ended, or was given up, perhaps while no main was connected.
    FollowedUp {
        /// The run after which it was started.
        run: RunId,
        /// The event of a hook, or `ping` and the reported event.
        what: String,
        /// Its outcome in words: `exit 0`.
        how: String,
        /// The beginning of what it has written.
        output: Vec<u8>,
    },
}

/// The process of a running job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunProcess {
    /// The run that has this process.
    pub run: RunId,
    /// Process id of the job's session leader.
    pub pid: u32,
    /// When it was started, in milliseconds of Unix time.
    pub started_at_ms: i64,
}

/// One of the two streams that a job writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum OutputStream {
    /// Standard output, and standard error unless that has its own pipe.
    Output,
    /// Standard error, if it has its own pipe: in standalone mode, and where output on it is a failure.
    Error,
}

/// A run and its job.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RunOfJob {
    /// The id of the run.
    pub run: RunId,
    /// The job that it is a run of.
    pub job: JobId,
    /// The scheduled time, in seconds of UTC.
    pub scheduled_at: i64,
    /// What has led to the run, if the journal of its executor could be read and has that: it is no part of the message.
    #[serde(skip)]
    pub cause: Option<RunCause>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::{OutputCounts, RunOutcome, SkipReason, Usage};

    #[test]
    fn the_messages_to_and_from_other_versions_never_change() {
        let ended = |outcome| ExecutorEvent::Ended(RunResult::of_outcome(RunId(1), outcome, 5).into());
        let full = RunResult {
            started_at_ms: Some(1),
            duration_ms: 4,
            pid: Some(7),
            usage: Some(Usage { user_us: 1, system_us: 2, max_rss_kib: 3 }),
            output: OutputCounts { bytes: 9, dropped_bytes: 8, stderr_bytes: 7 },
            ..RunResult::of_outcome(RunId(1), RunOutcome::Code(3), 5)
        };
        let run = RunOfJob { run: RunId(300), job: JobId::named("alice", "job"), scheduled_at: 60, cause: None };
        let events: [(ExecutorEvent, &[u8]); 14] = [
            (ExecutorEvent::Hello { protocol: 1 }, &[0, 1]),
            (ExecutorEvent::Running { run, pid: 7 }, b"\x01\xac\x02\x09alice:job\x78\x07"),
            (ExecutorEvent::Listed, &[2]),
            (ExecutorEvent::Ended(full.into()), &[3, 1, 0, 6, 1, 2, 10, 4, 1, 7, 1, 1, 2, 3, 9, 8, 7, 0, 0, 0]),
            (
                ended(RunOutcome::Signal { number: 9, core_dumped: true }),
                &[3, 1, 1, 18, 1, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            ),
            (ended(RunOutcome::NotStarted { why: "x".into() }), b"\x03\x01\x02\x01x\x00\x0a\0\0\0\0\0\0\0\0\0"),
            (ended(RunOutcome::Skipped(SkipReason::StillRunning)), &[3, 1, 3, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            (ended(RunOutcome::Skipped(SkipReason::Superseded)), &[3, 1, 3, 1, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            (ended(RunOutcome::Skipped(SkipReason::EntryRemoved)), &[3, 1, 3, 2, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            (ended(RunOutcome::Skipped(SkipReason::Stopped)), &[3, 1, 3, 3, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            (ended(RunOutcome::Lost), &[3, 1, 4, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            (ExecutorEvent::Mailed { run: RunId(1), mail: MailResult::Sent }, &[4, 1, 1]),
            (
                ExecutorEvent::Mailed { run: RunId(1), mail: MailResult::Failed { why: "x".into() } },
                b"\x04\x01\x02\x01x",
            ),
            (ExecutorEvent::Mailed { run: RunId(1), mail: MailResult::Dropped }, &[4, 1, 3]),
        ];
        for (event, bytes) in events {
            assert_eq!(postcard::to_stdvec(&event).unwrap(), bytes, "{event:?}");
            assert_eq!(postcard::from_bytes::<ExecutorEvent>(bytes).unwrap(), event);
        }
        let requests: [(ExecutorRequest<()>, &[u8]); 4] = [
            (ExecutorRequest::Hello { protocol: 1 }, &[0, 1]),
            (ExecutorRequest::EndAll(EndMethod::AtOnce), &[1, 1]),
            (ExecutorRequest::ReopenLog, &[2]),
            (ExecutorRequest::LogState, &[3]),
        ];
        for (request, bytes) in requests {
            assert_eq!(postcard::to_stdvec(&request).unwrap(), bytes, "{request:?}");
        }
    }
}
