//! The coming starts of all jobs as the daemon has them, which cannot be computed from the tables alone: those of `@N` entries and of anacron's jobs, and pauses.

use super::connection::Connection;
use super::error::Error;
use super::source;
use super::stderr::to_stderr;
use super::system_state::SystemState;
use crate::control::NextPages;
use crate::schedule::Timestamp;
use crate::varlink::cron::{Filter, NextStart};
use clap::ArgMatches;
use std::path::Path;

/// Options that ask for other tables, or other times, than those of the daemon.
const OTHERS: [&str; 7] = ["expr", "file", "path", "tz", "spool", "system-crontab", "cron-d"];

/// The daemon, if the question is about all jobs of the system and it answers. If it does not, that is said.
pub(super) fn daemon(matches: &ArgMatches, system: &SystemState) -> Option<Connection> {
    if matches.try_get_raw("user").ok().flatten().is_some() { None } else { daemon_for_user(matches, system) }
}

/// The same, where the question may be about the jobs of one user.
pub(super) fn daemon_for_user(matches: &ArgMatches, system: &SystemState) -> Option<Connection> {
    let is_all = source::path(matches).is_some_and(|path| path == Path::new(source::ALL));
    let is_other = |option: &&str| matches.try_get_raw(option).ok().flatten().is_some();
    if OTHERS.iter().any(|option| is_other(option) && !(is_all && *option == "path")) {
        return None;
    }
    match Connection::open(system) {
        Ok(daemon) => Some(daemon),
        Err(error) => {
            to_stderr(&format!("cronctl: {error}\ncronctl: computed from the crontabs, without the daemon's state\n"));
            None
        }
    }
}

/// Passes the starts after `from` and up to `until` to `take`, in order of time, each also as the daemon has sent it.
pub(super) fn fetch(
    daemon: &mut Connection,
    filter: Option<&Filter>,
    from: Timestamp,
    until: Option<Timestamp>,
    count: u64,
    mut take: impl FnMut(&serde_json::Value, &NextStart) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut pages = NextPages::new(filter.cloned(), from, until, count);
    while let Some(arguments) = pages.next_page() {
        daemon.call_more("Next", &arguments, |reply: serde_json::Value| {
            let start: NextStart = serde::Deserialize::deserialize(&reply)
                .map_err(|why: serde_json::Error| Error::NoAnswer { message: why.to_string() })?;
            if pages.takes(&start) {
                take(&reply, &start)?;
            }
            Ok(true)
        })?;
    }
    Ok(())
}
