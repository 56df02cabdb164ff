//! The state of a daemon. Its behaviour is in `event_loop`, and in a file of its own for each larger matter.

use super::anacron::AnacronFiles;
use super::control::Control;
use super::database::CrontabDatabase;
use super::execution::Execution;
use super::fleet::Fleet;
use super::history::History;
use super::job_state::JobStateStore;
use super::live_runs::LiveRuns;
use super::metrics::Metrics;
use super::old_executors::OldExecutors;
use super::reactor::{Reactor, Token};
use super::record::StartRecord;
use super::settings::Settings;
use super::wake_ups::WakeUps;
use crate::executor::{Executor, ExecutorLinkError};
use crate::report::Log;
use crate::schedule::Timestamp;
use crate::scheduler::{Action, Answer, Event, Now, RunId, RunRecord, RunResult, RunRules, Scheduler};
use crate::sys::clock;
use crate::sys::error;
use crate::sys::lock::DaemonLock;
use crate::sys::notify_socket::NotifySocket;
use crate::sys::process;
use crate::sys::signal::Signals;
use crate::sys::timer::Timer;
use std::collections::VecDeque;

/// Why a running daemon has to end.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// The executor is lost, without which nothing can be started.
    #[error(transparent)]
    Executor(#[from] ExecutorLinkError),
    /// A system call failed that never fails on a healthy system.
    #[error(transparent)]
    Os(#[from] error::Error),
}

/// Handles an event source that is ready.
pub(super) type Handler = fn(&mut Daemon, Token) -> Result<(), Fatal>;

/// State of the event loop.
#[derive(Debug)]
pub struct Daemon {
    pub(super) settings: Settings,
    pub(super) log: Log,
    pub(super) driver: SchedulerDriver,
    pub(super) executors: Executors,
    pub(super) database: CrontabDatabase,
    pub(super) files: DaemonFiles,
    pub(super) control: Control,
    pub(super) runs: LiveRuns,
    pub(super) history: History,
    pub(super) fleet: Fleet,
    pub(super) metrics: Metrics,
    pub(super) reactor: Reactor<Handler>,
    pub(super) sources: Sources,
    pub(super) timers: InternalTimers,
    pub(super) execution: Execution,
    pub(super) stopping: Option<Stopping>,
    /// Reports about anacron jobs whose stamps are being written.
    pub(super) held_reports: Vec<HeldReport>,
    /// Whether memory is to be given back to the system before the loop next waits.
    pub(super) has_spare_memory: bool,
    /// Whether it was logged that a standalone daemon keeps no state.
    pub(super) is_lack_of_state_logged: bool,
}

/// Less than this is no sleep of the machine.
const SHORTEST_SLEEP_MS: i64 = 1_000;

/// The scheduler, what it wants done, and the timer that wakes it.
#[derive(Debug)]
pub(super) struct SchedulerDriver {
    pub(super) scheduler: Scheduler,
    /// The scheduler's answers that have not been carried out yet.
    pub(super) actions: VecDeque<Action>,
    /// Everything due up to here is started when no action is left and the executor has taken all requests.
    pub(super) pending_completed: Option<Timestamp>,
    pub(super) timer: Timer,
    /// The moment for which the timer is armed.
    pub(super) armed_for: Option<Timestamp>,
    /// For how many milliseconds the machine had slept since its boot at the last event.
    slept_ms: i64,
}

impl SchedulerDriver {
    /// A driver whose timer is not armed.
    pub(super) fn new(scheduler: Scheduler, timer: Timer) -> SchedulerDriver {
        let slept_ms = clock::slept_ms();
        SchedulerDriver {
            scheduler,
            actions: VecDeque::new(),
            pending_completed: None,
            timer,
            armed_for: None,
            slept_ms,
        }
    }

    /// Passes an event of this moment to the scheduler and queues its answers.
    pub(super) fn handle(&mut self, event: Event) {
        self.handle_at(event, now());
    }

    /// Passes an event to the scheduler and queues its answers. `now` is read by the caller where it is needed for more than that.
    pub(super) fn handle_at(&mut self, event: Event, now: Now) {
        self.note_sleep();
        let actions = self.scheduler.handle(event, now);
        self.queue(actions);
    }

    /// Passes a request to the scheduler, queues the actions of its answer, and returns the result.
    pub(super) fn request<T>(&mut self, request: impl FnOnce(&mut Scheduler) -> Answer<T>) -> T {
        self.note_sleep();
        let Answer { result, actions } = request(&mut self.scheduler);
        self.queue(actions);
        result
    }

    /// Queues actions. Their deadlines become those of a clock that also counts sleeps of the machine, as they were known to the scheduler.
    pub(super) fn queue(&mut self, actions: Vec<Action>) {
        let slept_ms = self.slept_ms;
        self.actions.extend(actions.into_iter().map(|mut action| {
            match &mut action {
                Action::Start(start) => {
                    if let Some(fleet) = &mut start.fleet {
                        fleet.start_by_ms = fleet.start_by_ms.saturating_add(slept_ms);
                        fleet.end_by_ms = fleet.end_by_ms.map(|end_by_ms| end_by_ms.saturating_add(slept_ms));
                    }
                }
                Action::ExtendRuns { end_by_ms, .. } => *end_by_ms = end_by_ms.saturating_add(slept_ms),
                _ => {}
            }
            action
        }));
    }

    fn note_sleep(&mut self) {
        let slept_ms = clock::slept_ms();
        // The two clocks are read one after the other.
        if slept_ms - self.slept_ms >= SHORTEST_SLEEP_MS {
            self.scheduler.note_sleep(slept_ms - self.slept_ms);
            self.slept_ms = slept_ms;
        }
    }

    /// Whether there is something to do without another event.
    pub(super) fn has_work(&self) -> bool {
        !self.actions.is_empty() || self.scheduler.has_more()
    }
}

/// The executor of this daemon and those of earlier ones.
#[derive(Debug)]
pub(super) struct Executors {
    pub(super) current: Executor,
    /// Whether the executor is waited for to take more requests.
    pub(super) is_writing: bool,
    pub(super) old: OldExecutors,
}

/// Files and sockets of a daemon outside its crontabs.
#[derive(Debug)]
pub(super) struct DaemonFiles {
    /// The lock of the run directory; a standalone daemon has none.
    pub(super) lock: Option<DaemonLock>,
    /// The record of what was started; a standalone daemon has none.
    pub(super) record: Option<StartRecord>,
    /// The durable state of jobs; none where nothing is kept.
    pub(super) job_state: Option<JobStateStore>,
    /// Why the state of jobs is not kept, if it is not.
    pub(super) why_no_state: String,
    /// The files of anacron's jobs, if this daemon runs them.
    pub(super) anacron: Option<AnacronFiles>,
    /// The socket for messages of `crontab` about changed tables.
    pub(super) wake_ups: WakeUps,
    /// The socket of the service manager (sd_notify(3)), if it has one.
    pub(super) manager: NotifySocket,
}

/// The signals, and the tokens of event sources that come and go or change what they are waited for.
#[derive(Debug)]
pub(super) struct Sources {
    pub(super) signals: Signals,
    pub(super) executor: Token,
    pub(super) wake_ups: Token,
    pub(super) watcher: Token,
    pub(super) user_lookup: Token,
}

impl Sources {
    /// Sources none of which has been added yet.
    pub(super) fn new(signals: Signals, reactor: &mut Reactor<Handler>) -> Sources {
        Sources {
            signals,
            executor: reactor.new_token(),
            wake_ups: reactor.new_token(),
            watcher: reactor.new_token(),
            user_lookup: reactor.new_token(),
        }
    }
}

/// When the loop has something to do besides jobs and crontabs (milliseconds of the monotonic clock).
#[derive(Debug, Default)]
pub(super) struct InternalTimers {
    /// A log that took no more lines is tried again.
    pub(super) log_retry_at: Option<i64>,
    /// The service manager expects a sign of life.
    pub(super) watchdog_at: Option<i64>,
    /// The state is logged, which a signal has asked for.
    pub(super) log_state_at: Option<i64>,
    /// When it was logged last; 0: never.
    pub(super) state_logged_at: i64,
}

/// A report about a run whose stamp is being written.
#[derive(Debug)]
pub(super) enum HeldReport {
    /// The executor has reported the end of the run.
    Ended {
        result: Box<RunResult>,
        /// The rules of the run's job, unless its entry is gone.
        rules: Option<RunRules>,
        /// Whether the outcome is decided by the scheduler, see [`Scheduler::is_managed_run`].
        is_managed: bool,
    },
    /// The scheduler has decided about the outcome.
    Decided(Box<RunRecord>),
}

impl HeldReport {
    /// The run that it is about.
    pub(super) fn run(&self) -> Option<RunId> {
        match self {
            HeldReport::Ended { result, .. } => Some(result.run),
            HeldReport::Decided(record) => record.run,
        }
    }
}

/// How far a daemon that was asked to stop has come. Moments are milliseconds of the monotonic clock.
#[derive(Debug)]
pub enum Stopping {
    /// The daemon ends without waiting for running jobs.
    AtOnce,
    /// Running jobs may end by themselves until then.
    Waiting(i64),
    /// Running jobs were sent TERM, and may end until then.
    Terminating(i64),
    /// Running jobs were sent KILL.
    Killed,
}

impl Stopping {
    /// When the next step is due.
    pub fn next(&self) -> Option<i64> {
        match self {
            Stopping::Waiting(at) | Stopping::Terminating(at) => Some(*at),
            Stopping::AtOnce | Stopping::Killed => None,
        }
    }
}

/// The time at which an event is handled.
pub(super) fn now() -> Now {
    Now { utc: Timestamp(clock::wall().seconds), elapsed_ms: clock::monotonic_ms() }
}

/// Reaps every child that has ended. Returns their process ids.
pub(super) fn reap() -> Vec<u32> {
    std::iter::from_fn(process::reap).map(|(pid, _)| pid).collect()
}
