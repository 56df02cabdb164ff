//! What `crond --check` reports of the engine: members that do not answer, a login that is refused, clocks that differ.

use super::etcd::{Etcd, encode, end_of_prefix};
use super::http::RequestError;
use super::message::AgentSettings;
use crate::sys::clock;
use chrono::DateTime;
use serde_json::json;

/// How much the clock of a member may differ from that of this machine, in seconds. The header `Date` has whole seconds.
const MOST_SECONDS: i64 = 2;

/// What is wrong with the engine, a line each. Nothing in it is changed.
pub(super) fn find_problems(engine: &Etcd, settings: &AgentSettings, prefix: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let is_open = settings.endpoints.iter().any(|endpoint| endpoint.starts_with("http:"));
    if is_open && settings.login.is_some() {
        problems.push("the password is sent without encryption: expected addresses with https://".to_owned());
    }
    if let Err(why) = log_in(engine) {
        problems.push(format!("the login of {} fails: {why}", settings.login.as_ref().map_or("", |(user, _)| user)));
        return problems;
    }
    let mut answering = 0;
    for endpoint in &settings.endpoints {
        match engine.status(endpoint) {
            Ok(answered) => {
                answering += 1;
                problems.extend(answered.answer.errors.iter().map(|error| format!("{endpoint}: {error}")));
                problems.extend(answered.date.and_then(|date| clock_fault(endpoint, &date, clock::wall().seconds)));
                if !is_known(&answered.answer.version) {
                    let version = &answered.answer.version;
                    problems.push(format!("{endpoint}: expected etcd 3.4 or later, found version {version}"));
                }
            }
            Err(why) => problems.push(why.to_string()),
        }
    }
    if answering > 0
        && let Err(why) = read_any(engine, prefix.as_bytes())
    {
        problems.push(format!("the keys below {prefix} cannot be read: {why}"));
    }
    if answering > 0
        && let Err(why) = write_nothing(engine, prefix)
    {
        problems.push(format!("the keys below {prefix} cannot be written: {why}"));
    }
    problems
}

/// Reads a key from any member.
fn read_any(engine: &Etcd, prefix: &[u8]) -> Result<(), RequestError> {
    ask_any(engine, || engine.range(prefix, &end_of_prefix(prefix), 1, 0).map(drop))
}

/// Asks for a write whose condition never holds. etcd decides about rights, space and the leader as for any other, and changes nothing.
fn write_nothing(engine: &Etcd, prefix: &str) -> Result<(), RequestError> {
    let key = encode(format!("{prefix}check").as_bytes());
    let request = json!({
        "compare": [{ "key": key, "target": "VERSION", "result": "LESS", "version": "0" }],
        "success": [{ "request_put": { "key": key, "value": encode(b"x") } }],
        "failure": [],
    });
    ask_any(engine, || engine.transact(&request).map(drop))
}

/// Asks one member after the other until one answers.
fn ask_any(engine: &Etcd, ask: impl Fn() -> Result<(), RequestError>) -> Result<(), RequestError> {
    let mut last = Ok(());
    for _ in 0..engine.members.count() {
        last = ask();
        if last.as_ref().is_ok() || last.as_ref().is_err_and(RequestError::is_definite) {
            break;
        }
    }
    last
}

/// Logs in at any member.
fn log_in(engine: &Etcd) -> Result<(), RequestError> {
    let mut last = engine.log_in();
    for _ in 1..engine.members.count() {
        match &last {
            Err(why) if !why.is_definite() => last = engine.log_in(),
            _ => break,
        }
    }
    last
}

fn is_known(version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (3, 4)
}

fn clock_fault(endpoint: &str, date: &str, now: i64) -> Option<String> {
    let theirs = DateTime::parse_from_rfc2822(date).ok()?.timestamp();
    let difference = theirs - now;
    (difference.abs() > MOST_SECONDS).then(|| {
        let direction = if difference > 0 { "ahead of" } else { "behind" };
        format!("{endpoint}: its clock is {} s {direction} that of this machine; a node whose clock differs by more than 30 s takes no part in the fleet", difference.abs())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_differs_is_a_fault() {
        let date = "Fri, 27 Nov 2026 10:15:00 GMT";
        let at = 1_795_774_500;
        assert_eq!(clock_fault("http://a", date, at + 2), None);
        assert_eq!(clock_fault("http://a", "x", at), None);
        let fault = clock_fault("http://a", date, at - 20).unwrap();
        assert!(fault.starts_with("http://a: its clock is 20 s ahead of that of this machine"), "{fault}");
        assert!(clock_fault("http://a", date, at + 20).unwrap().contains("20 s behind"));
    }

    #[test]
    fn etcd_is_known_from_version_3_4_on() {
        for (version, expected) in [("3.4.23", true), ("3.10.0", true), ("4.0.0", true), ("3.3.9", false), ("", false)]
        {
            assert_eq!(is_known(version), expected, "{version}");
        }
    }
}
