//! The control socket: its connections with their limits, who may see and do what, and the client's side.
//!
//! | file | contents |
//! |---|---|
//! | `server` | the connections of a listening socket |
//! | `request_rate` | how many requests a user may send |
//! | `rights` | who may see and do what |
//! | `client` | a connection to a service |

mod client;
mod request_rate;
mod rights;
mod server;

pub use client::{Client, ClientError};
pub use rights::{Access, JobOwner, Permission, Rights, Visibility};
pub use server::{ConnectionId, Server, Unusable};
