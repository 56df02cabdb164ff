//! Names of jobs, and the jobs that an `@after` schedule names.

use std::sync::Arc;

/// Most bytes of the name of a job, a group or a calendar.
pub const LONGEST_NAME: usize = 64;
/// Most jobs of one schedule.
pub(super) const MOST_JOBS: usize = 100;

/// Whether a job can have that name: letters, digits and `._-`, 1 to 64 of them, but not `default`.
pub fn is_job_name(name: &[u8]) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name != b"default" && name.iter().copied().all(is_name_byte)
}

/// Whether the name of a job, a group or a calendar may have that byte.
pub fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

/// A job as an `@after` schedule names it: `NAME` or `USER:NAME`. Whether there may be a user depends on the table.
pub(super) fn job(text: &[u8]) -> Option<Arc<str>> {
    let text = std::str::from_utf8(text).ok()?;
    let (user, name) = text.rsplit_once(':').map_or((None, text), |(user, name)| (Some(user), name));
    let can_be_user = |user: &str| !user.is_empty() && !user.contains(|c: char| c == ':' || c.is_control());
    (is_job_name(name.as_bytes()) && user.is_none_or(can_be_user)).then(|| text.into())
}
