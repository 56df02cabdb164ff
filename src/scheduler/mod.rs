//! Decides which tables are live, what is due, what may start, and what follows from the end of a run.
//!
//! It is a pure state machine: [`Scheduler::handle`] takes an [`Event`] and the time, and returns the [`Action`]s to carry out.
//!
//! A *slot* is a moment at which an entry is due. An *entry* is a line of a table; the *job* that it describes has a [`JobId`], which stays
//! the same over reloads.
//!
//! | file | content |
//! |---|---|
//! | `event`, `action`, `now` | what goes in and what comes out: events, actions, the moment at which an event is handled |
//! | `run_request`, `source`, `environment` | what describes a start, as the executor gets it |
//! | `run_result` | what describes an end, as the executor sends it: a frozen wire format |
//! | `run_record` | outcomes as they are recorded |
//! | `earlier_run` | a run of an earlier daemon |
//! | `follow_up` | hooks and pings that follow from a notice or an end |
//! | `job_id`, `run_id` | the identities of jobs and runs |
//! | `slot_claim` | the claim of a slot of a fleet job |
//!
//! The scheduler and its parts:
//!
//! | file | content |
//! |---|---|
//! | `state` | the [`Scheduler`]: its state, and the order in which it handles events |
//! | `entries` | the live entries of all tables: what each asks for, and when it is due |
//! | `tables`, `live_table` | all live tables; one table with its timers and the state of its entries |
//! | `timing`, `timers`, `wheel` | the timers of all tables, which entries of equal timing share, in a timer wheel |
//! | `zones` | the time zones in use, each with its virtual clock |
//! | `names` | which entry has which name |
//! | `due` | entries that are due, or will be at a known moment |
//! | `starts` | starts on their way to the executor |
//! | `start_queue`, `queue_exits` | those that wait, in turn by owner; those that have left the queue without a start |
//! | `runs` | the runs that have not ended, and the ids of those to come |
//! | `jobs` | job policies: overlap, groups, retries, catch-up, pauses, notices |
//! | `anacron` | the jobs of /etc/anacrontab |
//! | `fleet` | jobs of which each slot runs on one of several machines |
//! | `progress` | how far the scheduler has come in time, and what of that is recorded |
//! | `earlier`, `saved` | what earlier daemons have left; the state that a daemon leaves to the next one |
//! | `stable_digest` | digests that are kept in files or compared between machines |
//! | `slot_budget` | a limit on the missed slots that are examined |
//! | `rule` | Vixie cron's rule for steps of the clock |
//!
//! What it does with them; each file is a part of `impl Scheduler`:
//!
//! | file | content |
//! |---|---|
//! | `clock` | collects what has become due since the last event, on time, late or by a step of the clock |
//! | `waiting` | starts that wait for a random delay, or for an interval after a run (`@N`) |
//! | `handover` | queues starts and hands them over to the executor; stops |
//! | `decide`, `policy_context` | calls the jobs, and what a call of them does beyond their state |
//! | `user_requests` | manual runs, kills and pauses |
//! | `loading` | the beginning, and tables that are loaded, replaced and unloaded |
//! | `managed`, `naming`, `entry_warnings` | which entries have a policy, their names, and what is wrong with them |
//! | `leaving` | the last notices of entries that are removed while another attempt is pending |
//! | `restore` | gives jobs back what an earlier daemon has left of them |
//! | `missed_slots`, `late_tables` | catch-up; catch-up for tables that are first loaded after the beginning |
//! | `absence` | how many slots passed while no daemon was there |
//! | `anacron_events` | the events that concern anacron's jobs |
//! | `fleet_events` | the events that concern the fleet, and what this node publishes |
//! | `fleet_slots` | slots of fleet jobs that wait for the turn of this node; their catch-up and their skips |
//! | `fleet_claims` | claims of runs, and the ends of claimed slots |
//! | `fleet_view` | the fleet as this node sees it, for those who ask; the repair of a watermark |
//! | `fleet_pauses` | pauses of fleet jobs |
//! | `fleet_watch` | runs that were lost with their node, or were never started |
//! | `coming` | the coming starts of an entry, without those that a pause, a calendar or `CRON_ENABLED=no` prevents |
//! | `live`, `job_status`, `find_jobs` | questions about live entries and the state of jobs |
//! | `simulate` | the scheduler under a simulated clock, for `cronctl simulate` and tests |
#![forbid(unsafe_code)]

mod absence;
mod action;
mod anacron;
mod anacron_events;
mod clock;
mod coming;
mod decide;
mod due;
mod earlier;
mod earlier_run;
mod entries;
mod entry_warnings;
mod environment;
mod event;
mod find_jobs;
mod fleet;
mod fleet_claims;
mod fleet_events;
mod fleet_pauses;
mod fleet_slots;
mod fleet_view;
mod fleet_watch;
mod follow_up;
mod handover;
mod job_id;
mod job_status;
mod jobs;
mod late_tables;
mod leaving;
mod live;
mod live_table;
mod loading;
mod managed;
mod missed_slots;
mod names;
mod naming;
mod now;
mod policy_context;
mod progress;
mod queue_exits;
mod restore;
mod rule;
mod run_id;
mod run_record;
mod run_request;
mod run_result;
mod runs;
mod saved;
mod simulate;
mod slot_budget;
mod slot_claim;
mod source;
mod stable_digest;
mod start_queue;
mod starts;
mod state;
mod tables;
mod timers;
mod timing;
mod user_requests;
mod waiting;
mod wheel;
mod zones;

pub use crate::crontab::SharedBytes;
pub use action::{Absence, Action, EntryWarning, StampCause};
pub use anacron::AnacronStatus;
pub use coming::{ComingStarts, first_start};
pub use earlier_run::EarlierRun;
pub use environment::Environment;
pub use event::{AtStop, Event, ManualStart, Preparation};
pub use fleet::{
    CLAIM_MS, Change, Compare, FleetAnswer, FleetEntry, FleetEvent, FleetExcess, FleetKey, FleetNodeView, FleetOutcome,
    FleetPause, FleetRequest, FleetSettings, LEASE_MS, MOST_FLEET_JOBS, MOST_FLEET_NODES, MOST_NODE_JOBS,
    MOST_SLOTS_A_MINUTE, Mark, MarkState, NodeJobs, NodeRecord, OUTCOMES_KEPT, RENEW_MS, RunKey, Transaction,
};
pub use fleet_view::{FleetJobView, FleetRepair, FleetView};
pub use follow_up::{FollowUp, FollowUpTask};
pub use job_id::JobId;
pub use job_status::JobStatus;
pub use jobs::{Killed, Notice, NoticeEvent, Pause, PauseScope, RefusedRun};
pub use live::{EntryCursor, Live};
pub use now::Now;
pub use run_id::RunId;
pub use run_record::{EndReason, MissReason, OUTPUT_ON_STDERR, Outcome, RunCause, RunRecord, SkipReason, Trigger};
pub use run_request::{FleetRun, HISTORY_OUTPUT, RunRequest, RunRules};
pub use run_result::{MailResult, OutputCounts, RunOutcome, RunResult, Usage};
pub use saved::{SavedState, StateChange};
pub use simulate::{JobScenario, Scenario, Simulated, Simulation, Started, simulate};
pub use source::{Owner, Source};
pub use state::{Scheduler, Summary};
pub use user_requests::Answer;
/// The timer wheel, for benchmarks.
#[doc(hidden)]
pub use wheel::{Timer, Wheel};
