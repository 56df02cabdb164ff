//! The state of the control socket: its connections, and the calls that are being answered.

use super::node_tables::{NodeTables, TableGroups};
use super::search::{FoundJob, Searches};
use crate::control::{Rights, Server};
use crate::daemon::metrics::JobCounters;
use crate::daemon::reactor::Token;
use crate::schedule::Timestamp;
use crate::scheduler::{EntryCursor, JobId, RunId};
use crate::sys::local_socket::Peer;
use crate::varlink::{Time, cron};
use std::collections::{BTreeMap, BTreeSet};

/// The control socket and the calls that are being answered on it.
#[derive(Debug)]
pub(in crate::daemon) struct Control {
    /// The server. None: this daemon has no control socket.
    pub(super) server: Option<Server>,
    /// The listening socket as an event source, once it is one.
    pub(super) listener: Option<Token>,
    /// When connections are accepted again after a pause (milliseconds of the monotonic clock).
    pub(super) resume_at: Option<i64>,
    pub(super) rights: Rights,
    /// The calls that are being answered, by connection.
    pub(super) requests: BTreeMap<Token, Request>,
    /// Connections with replies that are sent when they are writable.
    pub(super) writing: BTreeSet<Token>,
    /// The connection whose walk was advanced last.
    last_walk: Option<Token>,
    /// When users who are not root have had their own table read again in the last second (milliseconds of the monotonic clock).
    reloads: BTreeMap<u32, i64>,
    /// When the daemon was started, milliseconds of UTC.
    pub(super) started_at_ms: i64,
    /// The fleet jobs of other nodes that somebody has asked for.
    pub(super) node_tables: NodeTables,
}

impl Control {
    /// The state at the start of the daemon. `server` is none if there is no control socket.
    pub(in crate::daemon) fn new(server: Option<Server>, rights: Rights, started_at_ms: i64) -> Control {
        Control {
            server,
            listener: None,
            resume_at: None,
            rights,
            requests: BTreeMap::new(),
            writing: BTreeSet::new(),
            last_walk: None,
            reloads: BTreeMap::new(),
            started_at_ms,
            node_tables: NodeTables::default(),
        }
    }

    /// Whether this daemon has the control socket of its directory.
    pub(in crate::daemon) fn has_socket(&self) -> bool {
        self.server.is_some()
    }

    /// The next walks, at most `most`, that are not finished: those after the last one first.
    pub(super) fn next_walks(&mut self, most: usize) -> Vec<Token> {
        let Some(server) = &self.server else { return Vec::new() };
        let goes_on = |(token, request): &(&Token, &Request)| {
            matches!(request, Request::Walk(_) | Request::PauseJobs(_)) && server.has_read_all(token.number())
        };
        let ready: Vec<Token> = self.requests.iter().filter(goes_on).map(|(token, _)| *token).collect();
        let first = ready.partition_point(|token| self.last_walk.is_some_and(|last| *token <= last));
        let next: Vec<Token> = ready.iter().cycle().skip(first).take(most.min(ready.len())).copied().collect();
        self.last_walk = next.last().copied();
        next
    }

    /// Counts a reload of a user, who may have one a second.
    ///
    /// # Errors
    ///
    /// The user has reloaded less than a second ago. The value: seconds until the next reload is allowed.
    pub(super) fn take_reload(&mut self, uid: u32, now_ms: i64) -> Result<(), f64> {
        const PAUSE_MS: i64 = 1_000;
        self.reloads.retain(|_, at| now_ms - *at < PAUSE_MS);
        match self.reloads.get(&uid) {
            Some(at) => Err((at + PAUSE_MS - now_ms) as f64 / 1_000.0),
            None => {
                self.reloads.insert(uid, now_ms);
                Ok(())
            }
        }
    }

    /// When the loop has to serve connections again, in milliseconds of the monotonic clock. `i64::MIN`: at once.
    /// While a reload is scheduled, the clients that wait for it wait on.
    pub(in crate::daemon) fn next_deadline_ms(&self, is_reload_scheduled: bool) -> Option<i64> {
        let server = self.server.as_ref()?;
        let has_work = self.requests.iter().any(|(token, request)| {
            let is_work = match request {
                Request::Walk(_) | Request::PauseJobs(_) => true,
                Request::Reload => !is_reload_scheduled,
                _ => false,
            };
            is_work && server.has_read_all(token.number())
        });
        if has_work {
            return Some(i64::MIN);
        }
        let repairs = self.requests.values().filter_map(|request| match request {
            Request::Fleet(call) => match **call {
                FleetCall::Repair { give_up_ms, .. } => Some(give_up_ms),
                FleetCall::Tables { .. } | FleetCall::Outcomes { .. } => None,
            },
            _ => None,
        });
        server.next_deadline_ms().into_iter().chain(self.resume_at).chain(repairs).min()
    }
}

/// A call that takes more than one turn of the loop.
#[derive(Debug)]
pub(super) enum Request {
    /// All jobs are being visited, a few in each turn of the loop.
    Walk(Box<Walk>),
    /// A manual run was requested, and the client waits for its number, its output or its end.
    Run(RunByHand),
    /// The client is subscribed to events, until it closes the connection.
    Events(EventFilter),
    /// The client follows the output of a run.
    Output(OutputFollower),
    /// Jobs are being paused or resumed.
    PauseJobs(Box<PausingJobs>),
    /// Changed crontabs are being read, before the reply to `Reload`.
    Reload,
    /// The engine of the fleet was asked.
    Fleet(Box<FleetCall>),
}

/// A call that waits for the engine of the fleet.
#[derive(Debug)]
pub(super) enum FleetCall {
    /// The table of another node is being read.
    Tables {
        peer: Peer,
        /// Whether the client takes several replies.
        more: bool,
        /// What is answered then.
        question: FleetQuestion,
        /// The number of the read.
        reading: u64,
        /// The digest of the table.
        digest: String,
    },
    /// The outcomes of a job are being read, with this number.
    Outcomes { reading: u64 },
    /// The watermark of a job is being set to now.
    Repair {
        job: JobId,
        /// The slot that it had.
        was: i64,
        /// When it is waited for no more, in milliseconds of the monotonic clock.
        give_up_ms: i64,
    },
}

/// What somebody wants to know of the fleet.
#[derive(Clone, Debug)]
pub(super) enum FleetQuestion {
    /// The nodes of the fleet and the jobs that differ between them.
    Overview,
    /// Its jobs, or these.
    Jobs { jobs: Option<BTreeSet<JobId>>, filter: cron::Filter },
}

/// A list of fleet jobs that is being made.
#[derive(Debug, Default)]
pub(super) struct FleetListing {
    /// None: all jobs.
    pub(super) jobs: Option<BTreeSet<JobId>>,
    pub(super) filter: cron::Filter,
    /// The tables of the nodes.
    pub(super) groups: TableGroups,
    /// The fleet jobs of this node that have been examined.
    pub(super) seen: BTreeSet<JobId>,
    /// The page that is being made, and about how many bytes it has.
    pub(super) page: Vec<cron::FleetJob>,
    pub(super) bytes: usize,
}

/// A client that follows the output of a run.
#[derive(Debug)]
pub(super) struct OutputFollower {
    /// The number by which the executor knows this follower.
    pub(super) number: u64,
    /// Bytes that were left out since the last part, because the client does not read.
    pub(super) skipped: u64,
}

/// Jobs that are being paused or resumed, a few in each turn of the loop.
#[derive(Debug)]
pub(super) struct PausingJobs {
    pub(super) peer: Peer,
    /// The jobs that are left, the last one first.
    pub(super) jobs: Vec<FoundJob>,
    pub(super) request: PauseRequest,
    /// Whether they are all that the client may pause: those that only root can pause are left out rather than refused.
    pub(super) is_all: bool,
    /// What the log names when the first job is resumed, and the only job if it is one. None: the log has a line of the request.
    pub(super) unlogged: Option<(String, Option<JobId>)>,
    /// The jobs that were paused or resumed.
    pub(super) done: Vec<String>,
    /// The number of jobs that were left out because only root may pause or resume them.
    pub(super) left_out: u64,
}

/// What is to be done with jobs: `Pause` or `Resume`.
#[derive(Clone, Debug)]
pub(super) enum PauseRequest {
    Pause {
        until: Timestamp,
        note: String,
    },
    Resume {
        /// Whether a pause of all was ended.
        had_pause_of_all: bool,
    },
}

/// A manual run whose client waits for it.
#[derive(Debug)]
pub(super) struct RunByHand {
    pub(super) job: JobId,
    /// When the run was requested, which is its slot.
    pub(super) asked_at: Timestamp,
    /// The number of the run, once it has one.
    pub(super) run: Option<RunId>,
    /// Whether the client waits for the outcome.
    pub(super) waits: bool,
    pub(super) output: AwaitedOutput,
}

/// What the client that runs a job by hand waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitFor {
    /// The number of the run.
    Start,
    /// The outcome of the run.
    End,
    /// The output and the outcome of the run.
    OutputAndEnd,
}

/// How far the client has the output of a manual run.
#[derive(Debug)]
pub(super) enum AwaitedOutput {
    /// The client does not want the output, or has got all of it.
    None,
    /// The client wants the output, and the run has not started yet.
    Wanted,
    /// The output is being sent to the client.
    Followed {
        /// Bytes that were left out since the last part, because the client does not read.
        skipped: u64,
        /// How the run has ended, which is sent after the rest of the output.
        outcome: Option<Box<cron::RunResult>>,
    },
}

/// The jobs whose events a client wants.
#[derive(Debug)]
pub(super) struct EventFilter {
    /// None: those of all jobs that the client may see.
    pub(super) jobs: Option<BTreeSet<JobId>>,
    pub(super) user: Option<String>,
    pub(super) source: Option<String>,
}

/// One visit of all jobs, a few in each turn of the loop.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) peer: Peer,
    pub(super) cursor: EntryCursor,
    /// Whether all entries have been visited, and only jobs without an entry are left.
    pub(super) is_behind_entries: bool,
    /// Whether the client takes several replies.
    pub(super) more: bool,
    pub(super) purpose: Purpose,
}

/// What a walk over the jobs is for, with what it has collected so far.
#[derive(Debug)]
pub(super) enum Purpose {
    /// To find the jobs that texts name, and then to do something with them.
    Find { texts: Searches, then: NextStep },
    /// To find the jobs that the client may pause or resume, and then to do that.
    FindOwn { found: Vec<FoundJob>, then: NextStep },
    /// To list the jobs.
    List(Listing),
    /// To find the next starts.
    Next(NextStarts),
    /// To send the starts that were found, the last one first.
    SendNext { starts: Vec<(Timestamp, EntryCursor)>, found: NextStarts },
    /// To count the jobs, for `Status`.
    Status(Box<Counts>),
    /// To collect the metrics of the jobs.
    Metrics(Box<MetricsPages>),
    /// To list those of the fleet.
    FleetJobs(Box<FleetListing>),
}

/// What is done with the jobs that were found.
#[derive(Clone, Debug)]
pub(super) enum NextStep {
    Show,
    Why {
        at: Option<Timestamp>,
    },
    Run {
        is_forced: bool,
        wants_output: bool,
    },
    PauseJobs(PauseRequest),
    /// Cancel the waiting starts of a job (`Kill`).
    Cancel,
    List(cron::Filter),
    Next(Box<NextStarts>),
    Events(cron::Filter),
    Metrics(cron::Filter),
    FleetJobs(cron::Filter),
    FleetHistory,
    FleetReset,
}

/// A list that is being made.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The jobs that are listed. None: all that the client may see.
    pub(super) jobs: Option<BTreeSet<JobId>>,
    pub(super) filter: cron::Filter,
    /// The page that is being made, and about how many bytes it has.
    pub(super) page: Vec<cron::Job>,
    pub(super) bytes: usize,
    /// Jobs with runs that have been visited. Other jobs with runs have no entry any more.
    pub(super) seen_running: BTreeSet<JobId>,
}

/// Metrics that are being collected.
#[derive(Debug)]
pub(super) struct MetricsPages {
    /// The jobs that are listed. None: all that the client may see.
    pub(super) jobs: Option<BTreeSet<JobId>>,
    pub(super) user: Option<String>,
    pub(super) source: Option<String>,
    /// The number of jobs that may still be listed. Jobs beyond it are summed.
    pub(super) left: usize,
    /// The page that is being made, and about how many bytes it has.
    pub(super) page: Vec<cron::JobMetrics>,
    pub(super) bytes: usize,
    pub(super) other: OtherJobs,
    /// The crontabs that were visited, and the number of their entries.
    pub(super) sources: BTreeSet<String>,
    pub(super) entries: u64,
    /// The number of the survey, if all entries are wanted by a peer who sees all.
    pub(super) survey: Option<u64>,
}

/// The sums over jobs that are not listed.
#[derive(Debug, Default)]
pub(super) struct OtherJobs {
    pub(super) jobs: u64,
    pub(super) enabled: u64,
    pub(super) paused: u64,
    pub(super) late: u64,
    pub(super) running: u64,
    pub(super) next: Option<Time>,
    pub(super) counters: JobCounters,
}

/// The next starts that are being searched for.
#[derive(Clone, Debug)]
pub(super) struct NextStarts {
    /// The jobs whose starts are wanted. None: all that the client may see.
    pub(super) jobs: Option<BTreeSet<JobId>>,
    pub(super) user: Option<String>,
    pub(super) source: Option<String>,
    pub(super) from: Timestamp,
    pub(super) until: Option<Timestamp>,
    pub(super) count: usize,
    /// Most starts of one job.
    pub(super) per_job: usize,
    /// The earliest starts so far, each with its entry, and the jobs of these entries.
    pub(super) found: BTreeSet<(Timestamp, EntryCursor)>,
    pub(super) ids: BTreeMap<EntryCursor, JobId>,
    /// Starts of anacron jobs.
    pub(super) of_anacron: Vec<cron::NextStart>,
}

/// The numbers in the reply to `Status`.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) sources: BTreeSet<String>,
    pub(super) entries: usize,
    pub(super) running: usize,
    pub(super) waiting: usize,
    pub(super) paused: usize,
    pub(super) failing: usize,
    pub(super) late: usize,
    pub(super) next: Option<Timestamp>,
}
