//! The messages of Varlink: calls, replies and errors.

use super::cron;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// A call of a method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Interface and method: `io.cronwheel.Cron.List`.
    pub method: String,
    /// The arguments by name.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub parameters: Value,
    /// Whether several replies are wanted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
    /// Whether no reply is wanted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub oneway: bool,
    /// Whether the connection is to be used for another protocol afterwards. No method here does that.
    #[serde(default, skip_serializing_if = "is_false")]
    pub upgrade: bool,
}

/// A reply to a call: its result, or an error.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// The results by name, or what the error is about, as text: answers of a hundred thousand rows are written and read without a tree of each.
    #[serde(default)]
    parameters: Box<RawValue>,
    /// Whether further replies follow.
    #[serde(default, skip_serializing_if = "is_false")]
    pub continues: bool,
    /// Interface and name of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Why a call was not carried out. The names are those of the interfaces.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CallError {
    /// One of the errors of io.cronwheel.Cron.
    #[error(transparent)]
    Cron(#[from] cron::Error),
    /// There is no such interface.
    #[error("there is no interface {interface:?}")]
    InterfaceNotFound {
        /// The name in the call.
        interface: String,
    },
    /// The interface has no such method.
    #[error("there is no method {method:?}")]
    MethodNotFound {
        /// Interface and method.
        method: String,
    },
    /// The method exists and cannot be used in this way.
    #[error("the method {method:?} cannot be called in this way")]
    MethodNotImplemented {
        /// Interface and method.
        method: String,
    },
    /// There may be several replies, which the caller does not accept.
    #[error("the call can have several replies and must say `more`")]
    ExpectedMore,
    /// An argument is missing or wrong.
    #[error("wrong argument: {parameter}")]
    InvalidParameter {
        /// The name of the argument, and what is wrong with its value.
        parameter: String,
    },
}

/// Why a call has no result: it was refused, or its reply cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    /// The call was not carried out.
    #[error(transparent)]
    Refused(#[from] CallError),
    /// The reply is not in the form of the interface.
    #[error("an unexpected reply: {why}")]
    Unexpected {
        /// What was expected and what was found.
        why: String,
    },
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Call {
    /// A call with these arguments, a struct or a map.
    pub fn new(method: impl Into<String>, parameters: &impl Serialize) -> Call {
        let parameters = serde_json::to_value(parameters).unwrap_or_default();
        Call { method: method.into(), parameters, more: false, oneway: false, upgrade: false }
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// The message is not a call. Nothing can be replied to it.
    pub fn parse(message: &[u8]) -> serde_json::Result<Call> {
        serde_json::from_slice(message)
    }

    /// The arguments as the method has them.
    ///
    /// # Errors
    ///
    /// One is missing or of another type.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        let given = match &self.parameters {
            Value::Null => Value::Object(serde_json::Map::new()),
            given => given.clone(),
        };
        T::deserialize(&given).map_err(|why| {
            let parameter = wrong_parameter::<T>(given, &why.to_string()).unwrap_or_else(|| "parameters".to_owned());
            CallError::InvalidParameter { parameter }
        })
    }

    /// The interface, and the name of the method in it.
    pub fn target(&self) -> (&str, &str) {
        self.method.rsplit_once('.').unwrap_or(("", &self.method))
    }

    /// The message, with its end.
    pub fn to_bytes(&self) -> Vec<u8> {
        message(self)
    }
}

impl PartialEq for Reply {
    fn eq(&self, other: &Reply) -> bool {
        let parts = |reply: &Reply| (reply.parameters.get().to_owned(), reply.continues, reply.error.clone());
        parts(self) == parts(other)
    }
}

impl Reply {
    /// The only reply, or the last.
    pub fn of(result: &impl Serialize) -> Reply {
        Reply { parameters: to_raw_value(result).unwrap_or_default(), continues: false, error: None }
    }

    /// A reply that others follow.
    pub fn continued(result: &impl Serialize) -> Reply {
        Reply { continues: true, ..Reply::of(result) }
    }

    /// The reply to a call that is not carried out.
    pub fn refusal(error: &CallError) -> Reply {
        let (name, parameters) = error.parts();
        Reply { error: Some(name), ..Reply::of(&parameters) }
    }

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// It is not a reply.
    pub fn parse(message: &[u8]) -> Result<Reply, ReplyError> {
        serde_json::from_slice(message).map_err(|why| ReplyError::Unexpected { why: why.to_string() })
    }

    /// Whether it is the end of an answer without results.
    pub fn is_empty(&self) -> bool {
        let fields = self.parameters.get().strip_prefix('{');
        self.error.is_none() && fields.is_none_or(|fields| fields.trim_ascii_start() == "}")
    }

    /// What the method results in.
    ///
    /// # Errors
    ///
    /// The call was refused, or the reply has another form.
    pub fn result<T: DeserializeOwned>(&self) -> Result<T, ReplyError> {
        if let Some(error) = &self.error {
            let parameters: Value = serde_json::from_str(self.parameters.get()).unwrap_or_default();
            return Err(match CallError::of_parts(error, &parameters) {
                Some(error) => error.into(),
                None => ReplyError::Unexpected { why: format!("the error {error}") },
            });
        }
        serde_json::from_str(self.parameters.get()).map_err(|why| ReplyError::Unexpected { why: why.to_string() })
    }

    /// The message, with its end.
    pub fn to_bytes(&self) -> Vec<u8> {
        message(self)
    }
}

fn message(content: &impl Serialize) -> Vec<u8> {
    // Only maps with other keys than text can fail, of which there are none.
    let mut bytes = serde_json::to_vec(content).unwrap_or_default();
    bytes.push(0);
    bytes
}

const CRON: &str = "io.cronwheel.Cron.";
const SERVICE: &str = "org.varlink.service.";

impl CallError {
    /// Its name with the interface, and what it is about.
    fn parts(&self) -> (String, Value) {
        let of_service =
            |name: &str, key: &str, value: &str| (format!("{SERVICE}{name}"), serde_json::json!({ key: value }));
        match self {
            CallError::Cron(error) => {
                // `{"NoSuchJob":{"job":"x"}}`: one key, which is the name.
                let parts = serde_json::to_value(error).ok().and_then(|value| match value {
                    Value::Object(map) => map.into_iter().next(),
                    _ => None,
                });
                let (name, parameters) = parts.unwrap_or_default();
                (format!("{CRON}{name}"), parameters)
            }
            CallError::InterfaceNotFound { interface } => of_service("InterfaceNotFound", "interface", interface),
            CallError::MethodNotFound { method } => of_service("MethodNotFound", "method", method),
            CallError::MethodNotImplemented { method } => of_service("MethodNotImplemented", "method", method),
            CallError::ExpectedMore => (format!("{SERVICE}ExpectedMore"), serde_json::json!({})),
            CallError::InvalidParameter { parameter } => of_service("InvalidParameter", "parameter", parameter),
        }
    }

    fn of_parts(error: &str, parameters: &Value) -> Option<CallError> {
        if let Some(name) = error.strip_prefix(CRON) {
            let value = serde_json::json!({ name: parameters });
            return serde_json::from_value(value).ok().map(CallError::Cron);
        }
        let text = |key: &str| parameters.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match error.strip_prefix(SERVICE)? {
            "InterfaceNotFound" => Some(CallError::InterfaceNotFound { interface: text("interface") }),
            "MethodNotFound" => Some(CallError::MethodNotFound { method: text("method") }),
            "MethodNotImplemented" => Some(CallError::MethodNotImplemented { method: text("method") }),
            "ExpectedMore" => Some(CallError::ExpectedMore),
            "InvalidParameter" => Some(CallError::InvalidParameter { parameter: text("parameter") }),
            _ => None,
        }
    }
}

/// The name of the parameter that is missing or has a wrong type: the one without which the error changes. None if there is no such parameter.
fn wrong_parameter<T: DeserializeOwned>(mut given: Value, fault: &str) -> Option<String> {
    // A client may send very many.
    const MOST_TRIED: usize = 32;
    let missing = |fault: &str| Some(fault.strip_prefix("missing field `")?.split_once('`')?.0.to_owned());
    if let Some(name) = missing(fault) {
        return Some(name);
    }
    let names: Vec<String> = given.as_object()?.keys().take(MOST_TRIED).cloned().collect();
    let parameters = given.as_object_mut()?;
    for name in names {
        let value = parameters.remove(&name)?;
        let without = T::deserialize(&*parameters);
        if without.err().is_none_or(|other| other.to_string() != fault) {
            return Some(name);
        }
        parameters.insert(name, value);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_is_read_with_what_it_leaves_out() {
        let call = Call::parse(br#"{"method":"io.cronwheel.Cron.List"}"#).unwrap();
        assert_eq!(call.target(), ("io.cronwheel.Cron", "List"));
        assert!(!call.more && !call.oneway && call.parameters.is_null());
        assert!(call.arguments::<cron::ListArguments>().is_ok());
        assert!(Call::parse(b"{}").is_err());
        assert!(Call::parse(b"[1]").is_err());
        assert!(Call::parse("[".repeat(10_000).as_bytes()).is_err());
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (given, name) in [
            (r#"{"job":7}"#, "job"),
            (r#"{"jab":"x"}"#, "job"),
            ("null", "job"),
            (r#"{"run":"x","follow":true}"#, "run"),
            (r#"{"follow":7,"other":1,"run":1}"#, "follow"),
            (r#"{"follow":true}"#, "run"),
            (r#"[7,{}]"#, "parameters"),
            ("7", "parameters"),
        ] {
            let text = format!(r#"{{"method":"io.cronwheel.Cron.Show","parameters":{given}}}"#);
            let call = Call::parse(text.as_bytes()).unwrap();
            let is_output = given.contains("follow") || given.contains("run");
            let refused = match is_output {
                true => call.arguments::<cron::OutputArguments>().unwrap_err(),
                false => call.arguments::<cron::JobArguments>().unwrap_err(),
            };
            let CallError::InvalidParameter { parameter } = refused else { panic!("{refused:?}") };
            assert_eq!(parameter, name, "{given}");
        }
    }

    #[test]
    fn of_very_many_arguments_a_few_are_looked_at_for_the_wrong_one() {
        let wrong_behind = |others: usize| {
            let others: String = (10..10 + others).map(|number| format!(r#""a{number}":1,"#)).collect();
            let text = format!(r#"{{"method":"io.cronwheel.Cron.Show","parameters":{{{others}"job":7}}}}"#);
            match Call::parse(text.as_bytes()).unwrap().arguments::<cron::JobArguments>() {
                Err(CallError::InvalidParameter { parameter }) => parameter,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!([31, 32, 10_000].map(wrong_behind), ["job", "parameters", "parameters"]);
    }

    #[test]
    fn an_answer_without_results_is_no_refusal() {
        assert!(Reply::of(&json!({})).is_empty() && Reply::of(&Value::Null).is_empty());
        for (text, is_empty) in [("{}", true), (r#"{"parameters": { }}"#, true), (r#"{"parameters":{"a":1}}"#, false)] {
            assert_eq!(Reply::parse(text.as_bytes()).unwrap().is_empty(), is_empty, "{text}");
        }
        assert!(!Reply::of(&json!({"job": "x"})).is_empty());
        assert!(!Reply::refusal(&CallError::ExpectedMore).is_empty());
    }

    #[test]
    fn an_error_comes_back_as_it_was_sent() {
        let text = String::from;
        for error in [
            cron::Error::NoSuchJob { job: text("alice:x") }.into(),
            cron::Error::Ambiguous { job: text("x"), candidates: vec![text("a:x"), text("b:x")] }.into(),
            cron::Error::Busy { retry_after: 1.5 }.into(),
            CallError::MethodNotFound { method: text("a.b.C") },
            CallError::InvalidParameter { parameter: text("job") },
        ] {
            let reply = Reply::refusal(&error);
            let read = Reply::parse(reply.to_bytes().strip_suffix(&[0]).unwrap()).unwrap();
            let Err(ReplyError::Refused(found)) = read.result::<Value>() else { panic!("{read:?}") };
            assert_eq!(found, error);
        }
        let reply = Reply::refusal(&cron::Error::NoSuchRun { run: 7 }.into());
        assert_eq!(reply.error.as_deref(), Some("io.cronwheel.Cron.NoSuchRun"));
        assert_eq!(reply.parameters.get(), r#"{"run":7}"#);
    }
}
