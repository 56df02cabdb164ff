//! The control socket: answers the calls of io.cronwheel.Cron.
//!
//! | file | contents |
//! |---|---|
//! | `state` | what is being answered |
//! | `connections` | connections, and which method answers which call |
//! | `search` | the jobs that texts name |
//! | `walk` | visits all jobs, a few in each turn of the loop, so that other events are not delayed |
//! | `jobs` | jobs in the form of the control interface |
//! | `metrics` | what is counted of jobs |
//! | `why` | why a job ran or did not run |
//! | `requests` | run, pause, resume, kill, reload |
//! | `events` | what happens, as it happens |
//! | `output` | the output of runs |
//! | `fleet` | nodes and jobs of the fleet |
//! | `node_tables` | which nodes of the fleet have which jobs |

mod connections;
mod events;
mod fleet;
mod jobs;
mod metrics;
mod node_tables;
mod output;
mod requests;
mod search;
mod state;
mod walk;
mod why;

pub(super) use events::EventJob;
pub(super) use state::Control;
