//! `cronctl call-url`, an internal verb: calls a web service for `CRON_PING`.
//!
//! The daemon runs it as the owner of the job. It reads the URL, a text that identifies the slot, and the body from standard input, each of
//! the first two in a line of its own: URLs are secrets, and command lines are not. It says on standard output in one line why it failed,
//! without the URL.

use crate::sys::descriptor;
use crate::sys::descriptor::StandardStream;
use crate::sys::files::reason;
use crate::sys::host;
use siphasher::sip128::{Hasher128, SipHasher24};
use std::hash::Hasher;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Error};

pub(super) use crate::executor::CALL_URL as VERB;

/// Bytes that are read from standard input at most.
const INPUT: u64 = 64 << 10;
/// Tries, the time limit of each, and the pause between two: less than a minute together.
const TRIES: u32 = 3;
const LIMIT: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_secs(5);
const REDIRECTS: u32 = 5;

/// Why a web service could not be called.
struct Failure {
    why: String,
    /// Whether a later attempt may succeed: no connection, a time limit, or a status of the server that asks for it.
    is_temporary: bool,
}

/// Calls the service, and again if it does not answer.
pub(super) fn run() -> ExitCode {
    let mut input = Vec::new();
    if let Err(why) = io::stdin().take(INPUT).read_to_end(&mut input) {
        return fail(&format!("reading what is to be sent: {}", reason(&why)));
    }
    let Some((url, body)) = request(&input) else { return fail("no URL on standard input") };
    let agent = agent();
    let mut tried = 1;
    loop {
        match call(&agent, &url, body) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(failure) if failure.is_temporary && tried < TRIES => {
                std::thread::sleep(PAUSE);
                tried += 1;
            }
            Err(failure) => return fail(&failure.why),
        }
    }
}

fn fail(why: &str) -> ExitCode {
    // An error here cannot be reported.
    let _ = descriptor::write(descriptor::standard(StandardStream::Output), format!("{why}\n").as_bytes());
    let _ = io::stdout().flush();
    ExitCode::FAILURE
}

/// The URL with the slot's id, and the body.
fn request(input: &[u8]) -> Option<(String, &[u8])> {
    let mut parts = input.splitn(3, |byte| *byte == b'\n');
    let url = std::str::from_utf8(parts.next()?).ok().filter(|url| !url.is_empty())?;
    let slot = parts.next()?;
    Some((with_id(url, &id(&host::identity(), slot)), parts.next().unwrap_or(&[])))
}

/// An id that is the same for all calls for a slot: a UUID of version 8 (RFC 9562) made of a hash.
fn id(host: &[u8], slot: &[u8]) -> String {
    let mut hasher = SipHasher24::new();
    hasher.write(host);
    hasher.write(b"\0");
    hasher.write(slot);
    let bits = hasher.finish128().as_u128();
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 8 << 76 | 2 << 62;
    let digits = format!("{bits:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| digits.get(range).unwrap_or_default());
    parts.join("-")
}

fn with_id(url: &str, id: &str) -> String {
    let url = url.split('#').next().unwrap_or(url);
    let mark = if url.contains('?') { '&' } else { '?' };
    format!("{url}{mark}rid={id}")
}

fn agent() -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(LIMIT))
        .max_redirects(REDIRECTS)
        .user_agent(concat!("cronwheel/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

/// Calls the service once. What it answers is not read.
fn call(agent: &Agent, url: &str, body: &[u8]) -> Result<(), Failure> {
    let answer = if body.is_empty() {
        agent.get(url).call()
    } else {
        agent.post(url).content_type("text/plain; charset=utf-8").send(body)
    };
    answer.map(drop).map_err(failure)
}

fn failure(error: Error) -> Failure {
    let why = match &error {
        Error::StatusCode(status) => format!("the service answered with status {status}"),
        Error::Timeout(_) => format!("the service did not answer within {} s", LIMIT.as_secs()),
        Error::HostNotFound => "the host of the service was not found".to_owned(),
        Error::ConnectionFailed => "no connection to the service".to_owned(),
        Error::Io(why) => format!("calling the service: {}", reason(why)),
        Error::TooManyRedirects => format!("the service redirects more than {REDIRECTS} times"),
        Error::BadUri(_) | Error::Http(_) => "the URL is not valid".to_owned(),
        Error::Tls(why) => format!("calling the service: TLS: {why}"),
        Error::Rustls(why) => format!("calling the service: TLS: {why}"),
        _ => "calling the service failed".to_owned(),
    };
    let is_temporary = match error {
        Error::StatusCode(status) => status >= 500 || status == 408 || status == 429,
        Error::BadUri(_) | Error::Http(_) | Error::TooManyRedirects => false,
        _ => true,
    };
    Failure { why, is_temporary }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_for_a_slot_have_the_same_id_and_others_another() {
        let first = id(b"host", b"alice:backup 2026-11-27T02:30:00Z");
        assert_eq!(first, id(b"host", b"alice:backup 2026-11-27T02:30:00Z"));
        assert_ne!(first, id(b"host", b"alice:backup 2026-11-28T02:30:00Z"));
        assert_ne!(first, id(b"other", b"alice:backup 2026-11-27T02:30:00Z"));
        let lengths: Vec<usize> = first.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(first.as_bytes().get(14), Some(&b'8'));
    }

    #[test]
    fn the_id_goes_into_the_query() {
        assert_eq!(with_id("https://h/a/start", "1"), "https://h/a/start?rid=1");
        assert_eq!(with_id("https://h/a?b=c#d", "1"), "https://h/a?b=c&rid=1");
    }

    #[test]
    fn the_body_is_everything_after_two_lines() {
        let (url, body) = request(b"http://h/x\nslot\nline 1\nline 2\n").expect("a request");
        assert!(url.starts_with("http://h/x?rid="));
        assert_eq!(body, b"line 1\nline 2\n");
        assert!(request(b"").is_none());
    }
}
