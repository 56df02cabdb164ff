//! Decides: which tables are live, what is due, what may start, what an ended run means.
//!
//! A pure state machine: [`Scheduler::handle`] takes an event and the time and returns what is to be done.
#![forbid(unsafe_code)]

mod anacron;
mod anacron_events;
mod clock;
mod environment;
mod event;
mod find_jobs;
mod follow_up;
mod job_id;
mod jobs;
mod live;
mod live_table;
mod loading;
mod policies;
mod rule;
mod run_id;
mod run_origin;
mod run_record;
mod saved;
mod simulate;
mod start_queue;
mod state;
mod tables;
mod timers;
mod waiting;
mod wheel;
mod zones;

pub use crate::crontab::SharedBytes;
pub use environment::Environment;
pub use event::{
    Action, EarlierRun, Event, MailResult, Now, OutputCounts, Owner, Preparation, RunId, RunOutcome, RunRequest,
    RunResult, RunRules, Source, StampCause, Usage,
};
pub use follow_up::{FollowUp, FollowUpTask};
pub use job_id::JobId;
pub use jobs::{EndReason, Killed, Notice, NoticeEvent, Pause, RefusedRun};
pub use live::Live;
pub use run_record::{MissReason, Outcome, RunRecord, SkipReason, Trigger};
pub use saved::{SavedState, StateChange};
pub use simulate::{JobScenario, Scenario, Simulated, Simulation, Started, simulate};
pub use state::{Scheduler, Summary};
/// The wheel by itself, for measurements.
#[doc(hidden)]
pub use wheel::{Timer, Wheel};
