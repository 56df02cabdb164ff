//! The messages between main and the agent of a fleet, over a socket pair: lines of JSON.
//!
//! Main begins with [`AgentSettings`]. Then it sends [`AgentRequest`]s, and the agent sends [`AgentMessage`]s. Either end that closes the
//! connection ends it: the agent ends when main has closed it, and main starts another agent when the agent has.

use crate::scheduler::{FleetEntry, FleetEvent, FleetRequest};
use serde::{Deserialize, Serialize};

/// The internal verb of cronctl that is the agent.
pub const VERB: &str = "fleet-agent";
/// As whom the system's daemon has the agent run.
pub const ACCOUNT: &str = "_cronwheel-fleet";
/// The longest line either side sends.
pub const LONGEST_LINE: usize = 4 << 20;
/// Most bytes of a key, and of a value.
pub const LONGEST_KEY: usize = 4 << 10;
/// Most bytes of a value. etcd takes no request of more than 1.5 MiB, unless it is configured to.
pub const LONGEST_VALUE: usize = 1_400_000;
/// Most bytes of the value of a key that every node keeps. No node writes a longer one.
pub const LONGEST_WATCHED: usize = 8 << 10;

/// The version of these messages, raised with each change of them. After an upgrade of the package the agent that is started may be newer than
/// main.
pub const PROTOCOL: u32 = 2;

/// What the agent has to know. It has secrets, so that it is not printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSettings {
    /// [`PROTOCOL`] of main. An agent of another version only sends [`AgentMessage::NotStarted`], which is the same in all versions.
    pub protocol: u32,
    /// The version of main's program, for the message of an agent of another version.
    pub version: String,
    /// The name of the fleet.
    pub name: String,
    /// The name of this node.
    pub node: String,
    /// Addresses of the engine's members.
    pub endpoints: Vec<String>,
    /// Certificates of authorities (PEM). None: those that the system trusts.
    pub ca: Option<String>,
    /// The certificate of this node and its private key (PEM).
    pub identity: Option<(String, String)>,
    /// A user of the engine and the password.
    pub login: Option<(String, String)>,
    /// Whether the agent only says, as warnings, what is wrong with the engine (`crond --check`).
    pub only_checks: bool,
}

/// What can be read of the settings that main sends, whatever its version is.
#[derive(Debug, Deserialize)]
pub struct MainVersion {
    /// The version of the messages. 0: it is older than the first number.
    #[serde(default)]
    pub protocol: u32,
    /// The version of the program. Empty: it does not say.
    #[serde(default)]
    pub version: String,
}

impl MainVersion {
    /// Reads the version in a line of settings. None: it is no line of settings.
    pub fn of_settings(settings: &[u8]) -> Option<MainVersion> {
        serde_json::from_slice(settings).ok()
    }
}

/// What main asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentRequest {
    /// A transaction.
    Transact(FleetRequest),
    /// Renew the lease, and publish the clock of the node.
    Renew,
    /// Read the keys that begin with this text. The answer is [`AgentMessage::Found`].
    Read {
        /// Which request it is.
        id: u64,
        /// The beginning of the keys.
        prefix: String,
        /// How many keys at most.
        limit: u32,
    },
}

/// What the agent says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentMessage {
    /// For the scheduler. The agent does not say [`FleetEvent::Away`]: its end does.
    Event(FleetEvent),
    /// The answer to [`AgentRequest::Read`].
    Found {
        /// Which request it is.
        id: u64,
        /// The keys. None: they could not be read.
        entries: Option<Vec<FleetEntry>>,
    },
    /// Which member of the engine answers, and how long it took, in microseconds.
    Member {
        /// The address of the member of etcd, as in `endpoints`.
        endpoint: String,
        /// The time of the last request.
        microseconds: u64,
    },
    /// For the log, at level info.
    Info(String),
    /// For the log, as a warning.
    Warning(String),
    /// The connection is lost, and the agent ends.
    Lost(String),
    /// Why the agent could not be started, from the process that should have become it.
    NotStarted(String),
}
