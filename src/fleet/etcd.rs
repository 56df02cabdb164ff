//! etcd's operations as JSON: what its gateway takes and sends. Numbers of 64 bits are strings there, and keys and values are in base64.

use super::http::{Answered, Members, RequestError, Stream};
use super::message::AgentSettings;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use std::fmt;
use std::sync::Mutex;

/// Everything that all answers have in front.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Header {
    #[serde(deserialize_with = "number")]
    pub(super) cluster_id: u64,
    #[serde(deserialize_with = "number")]
    pub(super) revision: u64,
}

/// A key with its value.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct KeyValue {
    #[serde(deserialize_with = "bytes")]
    pub(super) key: Vec<u8>,
    #[serde(deserialize_with = "bytes")]
    pub(super) value: Vec<u8>,
    #[serde(deserialize_with = "number")]
    pub(super) mod_revision: u64,
}

/// The answer to a range.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Range {
    pub(super) header: Header,
    pub(super) kvs: Vec<KeyValue>,
    pub(super) more: bool,
}

/// The answer to a transaction.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TransactionAnswer {
    pub(super) header: Header,
    pub(super) succeeded: bool,
    pub(super) responses: Vec<OperationAnswer>,
}

/// The answer to an operation of a transaction.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OperationAnswer {
    pub(super) response_range: Option<Range>,
    pub(super) response_txn: Option<TransactionAnswer>,
}

/// A change that a watch shows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WatchEvent {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) kv: KeyValue,
}

/// Changes that a watch shows at once.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WatchAnswer {
    pub(super) header: Header,
    pub(super) canceled: bool,
    pub(super) cancel_reason: String,
    pub(super) events: Vec<WatchEvent>,
}

/// A message of a stream: an answer, or why there are no more.
#[derive(Deserialize)]
pub(super) struct StreamMessage<T> {
    pub(super) result: Option<T>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LeaseAnswer {
    #[serde(rename = "ID", deserialize_with = "number")]
    id: u64,
    #[serde(rename = "TTL", deserialize_with = "number")]
    seconds: u64,
}

#[derive(Deserialize)]
struct Authenticated {
    token: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PutAnswer {
    header: Header,
}

/// What a member says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) header: Header,
    pub(super) version: String,
    /// What is wrong, for example that there is no leader or no space.
    pub(super) errors: Vec<String>,
}

/// The engine, with the login of this agent.
pub(super) struct Etcd {
    pub(super) members: Members,
    login: Option<(String, String)>,
    token: Mutex<Option<String>>,
}

impl Etcd {
    /// An engine that nothing was asked of yet.
    ///
    /// # Errors
    /// Certificates or key cannot be used: why.
    pub(super) fn new(settings: &AgentSettings) -> Result<Etcd, String> {
        Ok(Etcd { members: Members::new(settings)?, login: settings.login.clone(), token: Mutex::new(None) })
    }

    fn token(&self) -> Option<String> {
        self.token.lock().ok()?.clone()
    }

    /// Logs in, if there is a user.
    ///
    /// # Errors
    /// There is no answer, or the user or the password is wrong.
    pub(super) fn log_in(&self) -> Result<(), RequestError> {
        let Some((name, password)) = &self.login else { return Ok(()) };
        let question = json!({ "name": name, "password": password });
        let answered: Answered<Authenticated> = self.members.ask("/v3/auth/authenticate", None, &question)?;
        if let Ok(mut token) = self.token.lock() {
            *token = Some(answered.answer.token);
        }
        Ok(())
    }

    /// Asks, and logs in again if the login has expired.
    fn ask<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        question: &impl Serialize,
    ) -> Result<Answered<T>, RequestError> {
        match self.members.ask(path, self.token().as_deref(), question) {
            Err(why) if why.wants_login() && self.login.is_some() => {
                self.log_in()?;
                self.members.ask(path, self.token().as_deref(), question)
            }
            answered => answered,
        }
    }

    /// Makes a lease. Returns its id.
    ///
    /// # Errors
    /// There is no answer, or a refusal.
    pub(super) fn grant(&self, seconds: u64) -> Result<u64, RequestError> {
        let answered: Answered<LeaseAnswer> = self.ask("/v3/lease/grant", &json!({ "TTL": seconds.to_string() }))?;
        Ok(answered.answer.id)
    }

    /// Renews a lease. False: it is gone.
    ///
    /// # Errors
    /// There is no answer, or a refusal.
    pub(super) fn keep_alive(&self, lease: u64) -> Result<bool, RequestError> {
        let question = json!({ "ID": lease.to_string() });
        let answered: Answered<StreamMessage<LeaseAnswer>> = self.ask("/v3/lease/keepalive", &question)?;
        Ok(answered.answer.result.is_some_and(|lease| lease.seconds > 0))
    }

    /// Writes a key that is under a lease. Returns the revision, and the cluster's id.
    ///
    /// # Errors
    /// There is no answer, or a refusal.
    pub(super) fn put(&self, key: &[u8], value: &[u8], lease: u64) -> Result<Header, RequestError> {
        let question = json!({ "key": encode(key), "value": encode(value), "lease": lease.to_string() });
        let answered: Answered<PutAnswer> = self.ask("/v3/kv/put", &question)?;
        Ok(answered.answer.header)
    }

    /// Reads the keys from `from` on and before `until`, at most `limit` of them, at a revision; 0: now.
    ///
    /// # Errors
    /// There is no answer, or a refusal.
    pub(super) fn range(&self, from: &[u8], until: &[u8], limit: u32, revision: u64) -> Result<Range, RequestError> {
        let question = json!({
            "key": encode(from),
            "range_end": encode(until),
            "limit": limit.to_string(),
            "revision": revision.to_string(),
        });
        let answered: Answered<Range> = self.ask("/v3/kv/range", &question)?;
        Ok(answered.answer)
    }

    /// Executes a transaction as [`super::batch`] makes it.
    ///
    /// # Errors
    /// There is no answer, or a refusal.
    pub(super) fn transact(&self, transaction: &Value) -> Result<TransactionAnswer, RequestError> {
        let answered: Answered<TransactionAnswer> = self.ask("/v3/kv/txn", transaction)?;
        Ok(answered.answer)
    }

    /// Begins to watch the keys that begin with `prefix`, from a revision on.
    ///
    /// # Errors
    /// There is no answer, or a refusal.
    pub(super) fn watch(&self, prefix: &[u8], revision: u64) -> Result<Stream, RequestError> {
        let question = json!({ "create_request": {
            "key": encode(prefix),
            "range_end": encode(&end_of_prefix(prefix)),
            "start_revision": revision.to_string(),
        }});
        match self.members.open_stream("/v3/watch", self.token().as_deref(), &question) {
            Err(why) if why.wants_login() && self.login.is_some() => {
                self.log_in()?;
                self.members.open_stream("/v3/watch", self.token().as_deref(), &question)
            }
            opened => opened,
        }
    }

    /// Asks a member how it is.
    ///
    /// # Errors
    /// There is no answer, or a refusal.
    pub(super) fn status(&self, endpoint: &str) -> Result<Answered<Status>, RequestError> {
        self.members.ask_member(endpoint, "/v3/maintenance/status", self.token().as_deref(), &json!({}))
    }
}

/// The end of the range of keys that begin with `prefix`.
pub(super) fn end_of_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // All keys from there on.
    vec![0]
}

/// Bytes in base64.
pub(super) fn encode(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64_STANDARD.decode(text).map_err(|_| D::Error::custom("expected base64"))
}

/// A number, as one or as a string.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Number;
    impl Visitor<'_> for Number {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number")
        }

        fn visit_u64<E>(self, number: u64) -> Result<u64, E> {
            Ok(number)
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u64, E> {
            text.parse().map_err(|_| E::custom("expected a number"))
        }
    }
    deserializer.deserialize_any(Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_the_next_key_that_does_not_have_it() {
        for (prefix, end) in [(&b"a/"[..], &b"a0"[..]), (b"a\xff", b"b"), (b"\xff\xff", b"\0")] {
            assert_eq!(end_of_prefix(prefix), end);
        }
    }

    #[test]
    fn answers_are_read_as_the_gateway_sends_them() {
        let text = r#"{"header":{"cluster_id":"14841639068965178418","member_id":"1","revision":"12","raft_term":"2"},
            "kvs":[{"key":"bWFyay9h","create_revision":"3","mod_revision":"9","version":"2","value":"eA=="}],"count":"1"}"#;
        let range: Range = serde_json::from_str(text).unwrap();
        assert_eq!((range.header.revision, range.header.cluster_id), (12, 14841639068965178418));
        assert!(!range.more);
        let [found] = &range.kvs[..] else { panic!("{range:?}") };
        assert_eq!((&found.key[..], &found.value[..], found.mod_revision), (&b"mark/a"[..], &b"x"[..], 9));
        let text = r#"{"result":{"header":{"revision":"4"},"events":[{"kv":{"key":"YQ==","mod_revision":"4"}},
            {"type":"DELETE","kv":{"key":"Yg==","mod_revision":"4"}}]}}"#;
        let message: StreamMessage<WatchAnswer> = serde_json::from_str(text).unwrap();
        let kinds: Vec<String> = message.result.unwrap().events.into_iter().map(|event| event.kind).collect();
        assert_eq!(kinds, ["", "DELETE"]);
        assert!(serde_json::from_str::<KeyValue>(r#"{"key":"%"}"#).is_err());
        assert!(serde_json::from_str::<Header>(r#"{"revision":"-1"}"#).is_err());
    }
}
