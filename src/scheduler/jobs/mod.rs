//! Job policies: which slots, retries and manual runs start, wait or are skipped while other runs of the job or of its group are running.
//!
//! Only jobs that have a policy, a pause or a manual run are known here; all others start at each slot. The rules are those of crontab(5),
//! JOB SETTINGS. Everything is pure: calls of [`Jobs`] say what has happened, and a [`PolicyContext`](super::policy_context::PolicyContext) takes what follows from it.
//!
//! | file | content |
//! |---|---|
//! | `job` | one job: what its entry asks for, and its state |
//! | `registry` | [`Jobs`]: which jobs are known, and questions about them |
//! | `slots` | whether a slot is skipped, waits, or starts |
//! | `catch_up` | which missed slots are caught up |
//! | `ends` | what follows from the end of a run |
//! | `fleet` | runs of fleet jobs: claimed, dropped, taken over |
//! | `retries` | further attempts after a failure |
//! | `conclusion`, `notice` | what follows from the last attempt; what the owner is notified of |
//! | `start_next` | starts what waits for a run of its job or for a place in its group |
//! | `requests` | manual runs and kills |
//! | `pausing`, `pause` | what a pause does to a job; which pauses there are |
//! | `records` | the records of slots that have no run |
//! | `restart` | what a stop of the daemon leaves to the next one, and what that one takes back |
//! | `group` | groups of which only some run at once |
//! | `start_gate` | whether what waits may be started now |
//! | `deadlines` | moments at which something is due for jobs |
//! | `dependents` | which `@after` jobs wait for which jobs |

mod catch_up;
mod conclusion;
mod deadlines;
mod dependents;
mod ends;
mod fleet;
mod group;
mod job;
mod notice;
mod pause;
mod pausing;
mod records;
mod registry;
mod requests;
mod restart;
mod retries;
mod slots;
mod start_gate;
mod start_next;

pub(super) use catch_up::{CAUGHT_UP, OlderSlots};
pub(super) use fleet::{FleetActiveRun, runs_alone, runs_when_away};
pub(super) use group::GroupKey;
pub(super) use job::{Item, JobSpec, JobState};
pub use notice::{Notice, NoticeEvent};
pub use pause::{Pause, PauseScope};
pub(super) use pause::{PauseOfAll, PausesOfAll};
pub(super) use registry::Jobs;
pub use requests::{Killed, RefusedRun};
pub(super) use restart::{AdoptedRun, RunStart};
