//! Requests to the members of etcd through its HTTP/JSON gateway: addresses in turn, TLS, limits of time and size.

use super::message::AgentSettings;
use crate::sys::files::reason;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Error};

/// How long a member may take for an answer. An election takes a second or two.
const LIMIT: Duration = Duration::from_secs(3);
/// How long it may take to connect to a member.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a stream may be silent. The clock of this node is written, and seen, each five seconds.
const SILENCE: Duration = Duration::from_secs(10);
/// Most bytes of an answer, and of a message of a stream.
const LONGEST_ANSWER: u64 = 16 << 20;
/// Most bytes of a text of the engine that is repeated.
const LONGEST_TEXT: usize = 200;

/// Why a request has no answer, or not the one that was wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    /// There is no answer. The request may have been executed, or be executed later.
    #[error("{endpoint}: {why}")]
    NoAnswer {
        /// The address of the member.
        endpoint: String,
        why: String,
    },
    /// The member has answered that it did not execute the request, or that it does not know.
    #[error("{endpoint}: {message}")]
    Refused {
        /// The address of the member.
        endpoint: String,
        /// The code of gRPC.
        code: u32,
        message: String,
    },
    /// The answer is longer than is read.
    #[error("{endpoint}: its answer is longer than {LONGEST_ANSWER} bytes")]
    TooLong {
        /// The address of the member.
        endpoint: String,
    },
}

/// Codes of gRPC (google.rpc.Code) with which a request was certainly not executed, and never will be.
const DEFINITE: [u32; 8] = [
    3,  // invalid argument
    5,  // not found: the lease is gone
    6,  // already exists
    7,  // permission denied
    8,  // resource exhausted: no space
    9,  // failed precondition
    11, // out of range: compacted
    16, // unauthenticated
];
const NOT_FOUND: u32 = 5;
const EXHAUSTED: u32 = 8;
const UNAUTHENTICATED: u32 = 16;

impl RequestError {
    /// Whether the request was certainly not executed, and never will be.
    pub(super) fn is_definite(&self) -> bool {
        matches!(self, RequestError::Refused { code, .. } if DEFINITE.contains(code))
    }

    /// Whether the login of this client has expired.
    pub(super) fn wants_login(&self) -> bool {
        // etcd answers with one of several codes when a token is unknown, or older than a change of users.
        match self {
            RequestError::Refused { code: UNAUTHENTICATED, .. } => true,
            RequestError::Refused { message, .. } => {
                message.contains("invalid auth token") || message.contains("revision of auth store is old")
            }
            _ => false,
        }
    }

    /// Whether the lease of the request does not exist.
    pub(super) fn is_lease_gone(&self) -> bool {
        matches!(self, RequestError::Refused { code: NOT_FOUND, message, .. } if message.contains("lease"))
    }

    /// Whether the engine has too much to do, and the same request may be executed later.
    pub(super) fn is_overload(&self) -> bool {
        matches!(self, RequestError::Refused { code: EXHAUSTED, message, .. } if message.contains("too many requests"))
    }
}

/// A refusal as the gateway sends it.
#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    error: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    code: u32,
}

/// The members of the engine, and the connections to them.
pub(super) struct Members {
    /// For requests with one answer.
    requests: Agent,
    /// For streams of answers.
    streams: Agent,
    endpoints: Vec<String>,
    /// How often another member was taken: its remainder is the index of the one that is asked next.
    turn: AtomicUsize,
}

/// An answer, and when the member was at that by its clock (the header `Date`).
pub(super) struct Answered<T> {
    pub(super) answer: T,
    pub(super) date: Option<String>,
}

impl Members {
    /// Members that no connection is made to yet.
    ///
    /// # Errors
    /// Certificates or key cannot be used: why.
    pub(super) fn new(settings: &AgentSettings) -> Result<Members, String> {
        let tls = tls(settings)?;
        let build = |read: Option<Duration>, global: Option<Duration>| -> Agent {
            Agent::config_builder()
                .tls_config(tls.clone())
                .timeout_global(global)
                .timeout_per_read(read)
                .timeout_connect(Some(CONNECT))
                .timeout_recv_response(Some(LIMIT))
                .max_redirects(0)
                .http_status_as_error(false)
                .proxy(None)
                .user_agent(concat!("cronwheel/", env!("CARGO_PKG_VERSION")))
                .build()
                .into()
        };
        let (requests, streams) = (build(None, Some(LIMIT)), build(Some(SILENCE), None));
        // Nodes begin with different members.
        let turn = settings.node.bytes().map(usize::from).sum();
        Ok(Members { requests, streams, endpoints: settings.endpoints.clone(), turn: AtomicUsize::new(turn) })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.endpoints.len()
    }

    /// The member that is asked next.
    pub(super) fn current(&self) -> &str {
        let index = self.turn.load(Ordering::Relaxed) % self.endpoints.len().max(1);
        self.endpoints.get(index).map_or("", String::as_str)
    }

    /// Has another member asked from now on, if `endpoint` is still the one that is asked.
    pub(super) fn leave(&self, endpoint: &str) {
        let turn = self.turn.load(Ordering::Relaxed);
        if self.current() == endpoint {
            // If another thread was faster, that has left it.
            let _ = self.turn.compare_exchange(turn, turn.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Sends a request to the member whose turn it is, and reads the answer. After a failure that may be the member's the next one has its turn.
    ///
    /// # Errors
    /// There is no answer, or a refusal.
    pub(super) fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        token: Option<&str>,
        question: &impl Serialize,
    ) -> Result<Answered<T>, RequestError> {
        let endpoint = self.current().to_owned();
        let answered = self.ask_member(&endpoint, path, token, question);
        if answered.as_ref().is_err_and(|why| !why.is_definite()) {
            self.leave(&endpoint);
        }
        answered
    }

    /// Sends a request to this member.
    ///
    /// # Errors
    /// There is no answer, or a refusal.
    pub(super) fn ask_member<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        path: &str,
        token: Option<&str>,
        question: &impl Serialize,
    ) -> Result<Answered<T>, RequestError> {
        let no_answer = |why: String| RequestError::NoAnswer { endpoint: endpoint.to_owned(), why };
        let (mut body, date, status) = post(&self.requests, endpoint, path, token, question).map_err(no_answer)?;
        let bytes = match body.with_config().limit(LONGEST_ANSWER).read_to_vec() {
            Err(Error::BodyExceedsLimit(_)) => return Err(RequestError::TooLong { endpoint: endpoint.to_owned() }),
            read => read.map_err(|why| no_answer(describe(&why)))?,
        };
        if status != 200 {
            return Err(refusal(endpoint, status, &bytes));
        }
        let answer = serde_json::from_slice(&bytes).map_err(|_| no_answer("its answer is not that of etcd".into()))?;
        Ok(Answered { answer, date })
    }

    /// Begins a stream at the member whose turn it is.
    ///
    /// # Errors
    /// There is no answer, or a refusal.
    pub(super) fn open_stream(
        &self,
        path: &str,
        token: Option<&str>,
        question: &impl Serialize,
    ) -> Result<Stream, RequestError> {
        let endpoint = self.current().to_owned();
        let no_answer = |why: String| RequestError::NoAnswer { endpoint: endpoint.clone(), why };
        let (mut body, _, status) = post(&self.streams, &endpoint, path, token, question).map_err(no_answer)?;
        if status != 200 {
            let bytes = body.with_config().limit(LONGEST_ANSWER).read_to_vec().unwrap_or_default();
            return Err(refusal(&endpoint, status, &bytes));
        }
        // Each message is limited, not their sum.
        Ok(Stream { reader: BufReader::new(body.into_reader()), endpoint })
    }
}

/// Answers that come one by one.
pub(super) struct Stream {
    reader: BufReader<ureq::BodyReader<'static>>,
    /// The address of the member.
    pub(super) endpoint: String,
}

impl Stream {
    /// Waits for the next message. None: the member has ended the stream.
    ///
    /// # Errors
    /// The connection is lost or silent, or the message is too long or none of etcd.
    pub(super) fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, RequestError> {
        let no_answer = |why: String| RequestError::NoAnswer { endpoint: self.endpoint.clone(), why };
        let mut line = Vec::new();
        let read = (&mut self.reader).take(LONGEST_ANSWER).read_until(b'\n', &mut line);
        match read {
            Ok(0) => return Ok(None),
            Ok(_) if line.last() == Some(&b'\n') => {}
            Ok(_) => return Err(no_answer("a message of a stream has no end".into())),
            Err(why) => return Err(no_answer(describe_io(&why))),
        }
        let message = serde_json::from_slice(&line).map_err(|_| no_answer("its message is not that of etcd".into()))?;
        Ok(Some(message))
    }
}

type Response = (Body, Option<String>, u16);

fn post(
    agent: &Agent,
    endpoint: &str,
    path: &str,
    token: Option<&str>,
    question: &impl Serialize,
) -> Result<Response, String> {
    let text = serde_json::to_vec(question).map_err(|why| why.to_string())?;
    let mut request = agent.post(format!("{endpoint}{path}")).content_type("application/json");
    if let Some(token) = token {
        request = request.header("Authorization", token);
    }
    // rustls does not tell a key that does not belong to a certificate otherwise than by a panic.
    let sent = catch_unwind(AssertUnwindSafe(|| request.send(&text[..])));
    let response = sent.map_err(|_| "cert and key of [fleet] do not belong together".to_owned())?;
    let response = response.map_err(|why| describe(&why))?;
    let date = response.headers().get("date").and_then(|date| date.to_str().ok()).map(str::to_owned);
    let status = response.status().as_u16();
    Ok((response.into_body(), date, status))
}

fn refusal(endpoint: &str, status: u16, bytes: &[u8]) -> RequestError {
    let endpoint = endpoint.to_owned();
    match serde_json::from_slice::<Refusal>(bytes) {
        Ok(Refusal { error, message, code }) if code != 0 => {
            let text = if message.is_empty() { error } else { message };
            RequestError::Refused { endpoint, code, message: text.chars().take(LONGEST_TEXT).collect() }
        }
        _ => RequestError::NoAnswer { endpoint, why: format!("it answered with status {status}") },
    }
}

fn tls(settings: &AgentSettings) -> Result<TlsConfig, String> {
    let roots = match &settings.ca {
        Some(text) => {
            let certificates = certificates(text, "ca")?;
            RootCerts::new_with_certs(&certificates)
        }
        None => RootCerts::PlatformVerifier,
    };
    let identity = match &settings.identity {
        Some((chain, key)) => {
            let key =
                PrivateKey::from_pem(key.as_bytes()).map_err(|_| "key: expected a private key (PEM)".to_owned())?;
            Some(ClientCert::new_with_certs(&certificates(chain, "cert")?, key))
        }
        None => None,
    };
    Ok(TlsConfig::builder().root_certs(roots).client_cert(identity).build())
}

fn certificates(text: &str, key: &str) -> Result<Vec<Certificate<'static>>, String> {
    let items = parse_pem(text.as_bytes()).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let found: Vec<Certificate<'static>> = items.collect();
    match found.is_empty() {
        true => Err(format!("{key}: expected a certificate (PEM)")),
        false => Ok(found),
    }
}

/// Why a request failed, in words.
fn describe(error: &Error) -> String {
    match error {
        Error::Timeout(_) => "it does not answer in time".to_owned(),
        Error::HostNotFound => "there is no such host".to_owned(),
        Error::ConnectionFailed => "no connection".to_owned(),
        Error::Io(why) => describe_io(why),
        Error::Tls(why) => format!("TLS: {why}"),
        Error::Rustls(why) => format!("TLS: {why}"),
        Error::Pem(_) => "TLS: a certificate or key is not PEM".to_owned(),
        _ => "it does not speak HTTP as etcd does".to_owned(),
    }
}

fn describe_io(why: &io::Error) -> String {
    match why.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => "it does not answer in time".to_owned(),
        io::ErrorKind::UnexpectedEof => "it has closed the connection".to_owned(),
        _ => match why.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(error @ (Error::Timeout(_) | Error::Rustls(_) | Error::Tls(_))) => describe(error),
            _ => reason(why),
        },
    }
}
