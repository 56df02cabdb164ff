//! The messages between main and recorder, over a socket pair.
//!
//! Main begins with one byte and one or two descriptors: the journal, open for reading, and the socket on which the recorder answers questions, if there
//! is one. Then
//! follows one line of JSON, [`RecorderSettings`]. From then on each byte says that there is something new in the journal. The recorder sends lines
//! of JSON, [`RecorderMessage`]. When main closes its end, the recorder applies what is in the journal and ends.

use super::journal::Position;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The internal verb of cronctl that is the recorder.
pub const VERB: &str = "recorder";
/// The message to the recorder that the journal has grown.
pub const JOURNAL_HAS_GROWN: &[u8] = b".";
/// The longest line either side sends.
pub const LONGEST_LINE: usize = 16 << 10;

/// The version of these messages and of the journal, raised with each change of them. After an upgrade of the package the recorder that is started
/// may be newer than main.
pub const PROTOCOL: u32 = 1;

/// The settings of the recorder, which main sends at its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecorderSettings {
    /// [`PROTOCOL`] of main. A recorder of another version only sends [`RecorderMessage::Off`], which is the same in all versions.
    pub protocol: u32,
    /// The directory of the database. None: the database is kept in memory.
    pub directory: Option<PathBuf>,
    /// How much the database keeps.
    pub retention: Retention,
    /// The group whose members may do what root may.
    #[serde(default)]
    pub control_group: Option<u32>,
    /// The group whose members see everything.
    #[serde(default)]
    pub view_group: Option<u32>,
}

/// The version of the settings in a line. It can be read of those that another version sends. None: it is no line of settings.
pub fn protocol_of(settings: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Protocol {
        // A version before the first number.
        #[serde(default)]
        protocol: u32,
    }
    Some(serde_json::from_slice::<Protocol>(settings).ok()?.protocol)
}

/// How much the database keeps. Zero: without a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Days for which rows are kept.
    pub days: u32,
    /// Rows that are kept for each job.
    pub runs: u32,
    /// Bytes of the database.
    pub bytes: u64,
}

/// A message from the recorder to main.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecorderMessage {
    /// The journal was applied up to here.
    Applied(Position),
    /// The journal is damaged here, and nothing behind it can be read.
    Damaged(Position),
    /// For the log, at level info.
    Info(String),
    /// For the log, as a warning.
    Warning(String),
    /// Why the recorder could not be started, from the process that should have become it.
    NotStarted(String),
    /// No history can be kept until something is changed: no use to start the recorder again.
    Off(String),
}
