//! The control socket: its connections with their limits, who may see and do what, and the client's side.
//!
//! | file | contents |
//! |---|---|
//! | `server` | the connections of a listening socket |
//! | `request_rate` | how many requests a user may send |
//! | `rights` | who may see and do what |
//! | `client` | a connection to a service |
//! | `next_pages` | more coming starts than one call gives |

mod client;
mod next_pages;
mod request_rate;
mod rights;
mod server;

pub use client::{Client, ClientError};
pub use next_pages::NextPages;
pub use rights::{Access, JobOwner, Permission, Rights, Visibility};
pub use server::{ConnectionId, Server, Unusable};
