//! Decides which tables are live, what is due, what may start, and what follows from the end of a run.
//!
//! It is a pure state machine: [`Scheduler::handle`] takes an [`Event`] and the time, and returns the [`Action`]s to carry out.
//!
//! A *slot* is a moment at which an entry is due. An *entry* is a line of a table; the *job* that it describes has a [`JobId`], which stays
//! the same over reloads.
//!
//! | file | content |
//! |---|---|
//! | `state` | the [`Scheduler`]: its state, and which method handles which event |
//! | `event` | events, actions, and the descriptions of a start and an end |
//! | `loading` | the beginning, and tables that are loaded, replaced and unloaded |
//! | `absence` | how many slots passed while no daemon was there |
//! | `late_tables` | catch-up for tables that are first loaded after the beginning |
//! | `leaving` | the last notices of entries that are removed while another attempt is pending |
//! | `slot_budget` | a limit on the missed slots that are looked at |
//! | `clock` | what has become due since the last event, on time, late or by a step of the clock |
//! | `rule` | Vixie cron's rule for steps of the clock |
//! | `zones` | the time zones in use, each with its virtual clock |
//! | `due` | entries that are due, or will be at a known moment |
//! | `progress` | how far the scheduler has come in time, and what of that is recorded |
//! | `timing` | the timers of all tables with the wheel and the zones |
//! | `wheel` | the timer wheel |
//! | `timers` | the timers in it, which entries of equal timing share |
//! | `tables`, `live_table` | all live tables; one table with its timers and the state of its entries |
//! | `live`, `job_status` | questions about live entries, and about the state of jobs |
//! | `coming` | the coming starts of an entry, without those that a pause, a calendar or `CRON_ENABLED=no` prevents |
//! | `find_jobs` | what would be started for given jobs |
//! | `waiting` | starts that wait for a random delay, or for an interval after a run (`@N`) |
//! | `start_queue` | starts that are due and not handed over to the executor, in turn by owner |
//! | `queue_exits` | runs that have left it without a start |
//! | `jobs` | job policies: overlap, groups, retries, catch-up, pauses, notices |
//! | `policies` | connects `jobs` to entries, events and actions |
//! | `follow_up` | hooks and pings that follow from a notice or an end |
//! | `request_result` | what became of a request of somebody |
//! | `anacron`, `anacron_events` | the jobs of /etc/anacrontab, and the events that concern them |
//! | `job_id`, `run_id` | the identities of jobs and runs |
//! | `names`, `naming` | which entry has which name |
//! | `complaints` | what is wrong with entries as far as other tables have to do with it |
//! | `runs` | the runs that have not ended, and the ids of those to come |
//! | `run_record` | outcomes as they are recorded |
//! | `earlier` | what earlier daemons have left |
//! | `saved` | the state that a daemon leaves to the next one |
//! | `environment` | the variables of an entry |
//! | `simulate` | the scheduler under a simulated clock, for `cronctl simulate` and tests |
#![forbid(unsafe_code)]

mod absence;
mod anacron;
mod anacron_events;
mod clock;
mod coming;
mod complaints;
mod due;
mod earlier;
mod environment;
mod event;
mod find_jobs;
mod follow_up;
mod job_id;
mod job_status;
mod jobs;
mod late_tables;
mod leaving;
mod live;
mod live_table;
mod loading;
mod names;
mod naming;
mod policies;
mod progress;
mod queue_exits;
mod request_result;
mod rule;
mod run_id;
mod run_record;
mod runs;
mod saved;
mod simulate;
mod slot_budget;
mod start_queue;
mod state;
mod tables;
mod timers;
mod timing;
mod waiting;
mod wheel;
mod zones;

pub use crate::crontab::SharedBytes;
pub use anacron::AnacronStatus;
pub use coming::ComingStarts;
pub use environment::Environment;
pub use event::{
    Absence, Action, EarlierRun, EntryComplaint, Event, HISTORY_OUTPUT, MailResult, Now, OutputCounts, Owner,
    Preparation, RunId, RunOutcome, RunRequest, RunResult, RunRules, Source, StampCause, Usage,
};
pub use follow_up::{FollowUp, FollowUpTask};
pub use job_id::JobId;
pub use job_status::JobStatus;
pub use jobs::{EndReason, Killed, Notice, NoticeEvent, Pause, PauseScope, RefusedRun};
pub use live::{EntryCursor, Live};
pub use request_result::RequestResult;
pub use run_record::{MissReason, Outcome, RunRecord, SkipReason, Trigger};
pub use saved::{SavedState, StateChange};
pub use simulate::{JobScenario, Scenario, Simulated, Simulation, Started, simulate};
pub use state::{Scheduler, Summary};
/// The timer wheel, for benchmarks.
#[doc(hidden)]
pub use wheel::{Timer, Wheel};
