//! Who exists: users by name, from /etc/passwd and the name service.

mod local;
mod lookup;

pub use local::{LocalUsers, Lookup, Users};
pub use lookup::{DaemonUsers, Progress};
