//! The history of runs: what happened, in an SQLite database.
//!
//! Main writes events to a [`journal`], a file in the run directory, and never waits for anybody who reads it. The recorder, a process of its own
//! without privileges (`cronctl recorder`), applies them to the database and answers questions. The journal is the only way from main to the
//! database: what is written while the recorder is away is applied when it is back, and each event is applied exactly once, since the database has
//! the position in the journal up to which it was applied, and both change in one transaction.
//!
//! | file | runs in | content |
//! |---|---|---|
//! | [`event`] | both | what is recorded |
//! | [`journal`] | both | the file with the events |
//! | [`message`] | both | the messages between main and recorder |
//! | `schema`, `store` | recorder | the database: its tables, and how events change them |
//! | `queries` | recorder | questions about the rows |
//! | `retention` | recorder | deletes old rows |
//! | `recorder` | recorder | the recorder itself |
//! | `check` | recorder | what `crond --check` reports of the database |

#[cfg(feature = "history")]
mod check;
pub mod event;
pub mod journal;
pub mod message;
#[cfg(feature = "history")]
mod queries;
#[cfg(feature = "history")]
mod recorder;
#[cfg(feature = "history")]
mod retention;
#[cfg(feature = "history")]
mod schema;
#[cfg(feature = "history")]
mod store;
#[cfg(test)]
#[cfg(feature = "history")]
mod store_tests;

#[cfg(feature = "history")]
pub use check::find_fault;
#[cfg(feature = "history")]
pub use queries::{QueryError, RowPlace, RunFilter, RunRow, StoredOutput, Viewer};
#[cfg(feature = "history")]
pub use recorder::{MainState, Recorder, RecorderError};
