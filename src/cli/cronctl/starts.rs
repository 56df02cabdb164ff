//! The coming starts of all jobs as the daemon has them, which the tables alone do not tell: of `@N` entries and anacron's jobs, and pauses.

use super::connection::Connection;
use super::error::Error;
use super::source;
use super::stderr::to_stderr;
use super::system_state::SystemState;
use crate::schedule::Timestamp;
use crate::varlink::Time;
use crate::varlink::cron::{Filter, NextArguments, NextStart};
use clap::ArgMatches;
use std::path::Path;

/// Starts that one call gives at most.
const PAGE: u64 = 10_000;

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
    let (mut after, mut left) = (from, count);
    // The starts of the last second of a page come again with the next.
    let mut repeated: u64 = 0;
    while left > 0 {
        let wanted = (left.saturating_add(repeated)).min(PAGE);
        let arguments = NextArguments {
            filter: filter.cloned(),
            from: Some(Time::from(after).to_string()),
            until: until.map(|until| Time::from(until).to_string()),
            count: Some(wanted),
            per_job: None,
        };
        let (mut seen, mut last, mut of_last): (u64, Option<Timestamp>, u64) = (0, None, 0);
        daemon.call_more("Next", &arguments, |reply: serde_json::Value| {
            let start: NextStart = serde::Deserialize::deserialize(&reply)
                .map_err(|why: serde_json::Error| Error::NoAnswer { message: why.to_string() })?;
            let at = start.at.timestamp();
            of_last = if last == Some(at) { of_last + 1 } else { 1 };
            (seen, last) = (seen + 1, Some(at));
            if seen > repeated && left > 0 {
                left -= 1;
                take(&reply, &start)?;
            }
            Ok(true)
        })?;
        let Some(last) = last.filter(|_| seen == wanted) else { return Ok(()) };
        // More starts in one second than one call gives: the others are left out.
        (after, repeated) = if of_last == seen { (last, 0) } else { (Timestamp(last.0 - 1), of_last) };
    }
    Ok(())
}
