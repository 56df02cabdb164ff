//! The users of the system: by name, from /etc/passwd and from libc's user database (NSS).
//!
//! [`User::by_name`] and [`User::by_uid`] ask libc and wait, which commands can afford. The processes of the daemon must not wait for a
//! directory server: [`DaemonUsers`] and [`UserCache`] let a child ask, and give up after ten seconds.

mod cache;
mod daemon_users;
mod group_file;
pub mod look_up_child;
mod lookup;
mod passwd_file;
mod user;

pub use cache::{CacheAnswer, UserCache, UserError};
pub use daemon_users::{DaemonUsers, Progress};
pub use group_file::gid_of_group;
pub use lookup::{Lookup, Users, WaitingUsers};
pub use passwd_file::{local_account, local_names};
pub use user::{User, UserWithGroups, caller_name};
