//! Fleets: the engine that several machines share (etcd), and the agent, a process of its own that talks to it.
//!
//! The scheduler decides everything and knows no engine; the interface is [`crate::scheduler::FleetRequest`] and
//! [`crate::scheduler::FleetEvent`]. Main passes both on. The agent (`cronctl fleet-agent`) runs without privileges: TLS and HTTP are there
//! and not in a process of root. It decides nothing, and what it says is checked by main.
//!
//! One agent is one connection: one lease, one listing and the changes since. When the connection is lost, the agent ends, and main starts
//! another one. So nothing of an earlier connection can be taken for a part of this one.
//!
//! | file | runs in | content |
//! |---|---|---|
//! | [`message`] | both | the messages between main and agent |
//! | [`link`] | main | the socket to the agent, without waiting |
//! | [`check`] | main | what an agent may say, and when |
//! | `http` | agent | requests to the members of the engine: addresses, TLS, limits |
//! | `etcd` | agent | etcd's operations as JSON |
//! | `queue` | agent | transactions that wait, in turn by user |
//! | `batch` | agent | several transactions as one request |
//! | `connection` | agent | what the threads of an agent share |
//! | `agent` | agent | the agent itself |
//! | `fault` | agent | what `crond --check` reports of the engine |

pub mod check;
pub mod link;
pub mod message;

#[cfg(feature = "fleet")]
mod agent;
#[cfg(feature = "fleet")]
mod batch;
#[cfg(feature = "fleet")]
mod connection;
#[cfg(feature = "fleet")]
mod etcd;
#[cfg(feature = "fleet")]
mod fault;
#[cfg(feature = "fleet")]
mod http;
#[cfg(feature = "fleet")]
mod queue;

#[cfg(feature = "fleet")]
pub use agent::{AgentError, Prepared, prepare};
