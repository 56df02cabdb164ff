//! The two forms of a crontab.

/// Whether entries name a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A user's own table: `m h dom mon dow command`.
    User,
    /// /etc/crontab and /etc/cron.d: `m h dom mon dow user command`.
    System,
}
