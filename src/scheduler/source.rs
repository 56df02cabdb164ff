//! The file that a table comes from, and the table's owner.
//!
//! Both are parts of a [`super::RunRequest`] and travel with it: see `run_request`.

use crate::crontab::Form;

/// The owner of a table, which determines the users that its entries run as.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Owner {
    /// A table of the spool, which belongs to one user.
    User {
        /// Login name, which is the file's name.
        name: String,
        /// The file's owner; a job runs only while the user still has this uid, or when it is 0.
        uid: u32,
    },
    /// /etc/crontab or a file of /etc/cron.d: the entry names its user.
    System,
    /// `crond FILE`: everything runs as the caller.
    Caller,
}

/// Where a live table came from. The path is its identity.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Source {
    /// The path of the file.
    pub path: String,
    /// What the log calls it: the user's name, `*system*` or `*system*backup`.
    pub name: String,
    /// The user whose crontab it is, or the system.
    pub owner: Owner,
}

impl Owner {
    /// User form or system form.
    pub fn form(&self) -> Form {
        match self {
            Owner::System => Form::System,
            Owner::User { .. } | Owner::Caller => Form::User,
        }
    }
}
