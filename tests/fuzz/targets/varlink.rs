//! Any bytes as what comes over a connection of the control protocol, in any pieces: messages are those between the NUL bytes, none is longer than
//! allowed, and a call, a reply and the arguments of every method are the same after they were sent again.

use super::input::Input;
use cronwheel::varlink::{Call, CallError, FrameError, FrameReader, Reply, ReplyError, Time, cron, history, service};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt::Debug;

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let (piece, limit) = (usize::from(input.byte()) + 1, 1 << (input.byte() % 16));
    let messages = in_pieces(input.0, piece, limit);
    for message in messages {
        if let Ok(call) = Call::parse(&message) {
            check_call(&call);
        }
        match Reply::parse(&message) {
            Ok(reply) => check_reply(&reply),
            Err(error) => assert!(error.to_string().len() < 1_000),
        }
        if let Some(time) = std::str::from_utf8(&message).ok().and_then(Time::parse) {
            assert_eq!(Time::parse(&time.to_string()), Some(time));
        }
    }
}

/// The messages of a stream that comes in pieces, up to the first one that is too long.
fn in_pieces(bytes: &[u8], piece: usize, limit: usize) -> Vec<Vec<u8>> {
    let mut reader = FrameReader::new(limit);
    let mut found = Vec::new();
    let mut is_too_long = false;
    'pieces: for part in bytes.chunks(piece) {
        reader.push(part).unwrap();
        assert!(reader.len() <= limit + piece + 1);
        loop {
            match reader.next_message() {
                Ok(Some(message)) => found.push(message),
                Ok(None) => break,
                Err(error) => {
                    assert!(matches!(error, FrameError::TooLong { limit: told } if told == limit), "{error}");
                    is_too_long = true;
                    break 'pieces;
                }
            }
        }
    }
    let mut wanted: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    let rest = wanted.pop().unwrap_or_default();
    let whole = wanted.iter().take_while(|message| message.len() <= limit).count();
    assert_eq!(is_too_long, whole < wanted.len() || rest.len() > limit);
    assert_eq!(found, wanted[..whole]);
    found
}

fn check_call(call: &Call) {
    let bytes = call.to_bytes();
    let [message @ .., 0] = &bytes[..] else { panic!("a message without an end") };
    assert!(!message.contains(&0), "a message with an end in it");
    assert_eq!(&Call::parse(message).expect("what was written"), call);
    let (interface, method) = call.target();
    assert!(interface.len() + method.len() <= call.method.len());
    // Every method's arguments, whatever the call names.
    arguments::<cron::ListArguments>(call);
    arguments::<cron::JobArguments>(call);
    arguments::<cron::NextArguments>(call);
    arguments::<cron::WhyArguments>(call);
    arguments::<cron::RunArguments>(call);
    arguments::<cron::PauseArguments>(call);
    arguments::<cron::ResumeArguments>(call);
    arguments::<cron::KillArguments>(call);
    arguments::<cron::ReloadArguments>(call);
    arguments::<cron::OutputArguments>(call);
    arguments::<history::RunsArguments>(call);
    arguments::<history::RunArguments>(call);
    arguments::<history::SummaryArguments>(call);
    arguments::<history::DowntimesArguments>(call);
}

fn arguments<T: DeserializeOwned + Serialize + PartialEq + Debug>(call: &Call) {
    match call.arguments::<T>() {
        Ok(arguments) => {
            let again = Call::new(call.method.clone(), &arguments);
            assert_eq!(again.arguments::<T>().expect("what was written"), arguments);
        }
        Err(error) => {
            let reply = Reply::refusal(&error);
            let bytes = reply.to_bytes();
            let read = Reply::parse(bytes.strip_suffix(&[0]).expect("an end")).expect("what was written");
            assert!(matches!(read.result::<Value>(), Err(ReplyError::Refused(found)) if found == error));
        }
    }
}

fn check_reply(reply: &Reply) {
    let bytes = reply.to_bytes();
    let message = bytes.strip_suffix(&[0]).expect("an end");
    assert!(!message.contains(&0), "a message with an end in it");
    assert_eq!(&Reply::parse(message).expect("what was written"), reply);
    if let Err(ReplyError::Refused(error)) = reply.result::<Value>() {
        let again = Reply::refusal(&error);
        let found = again.result::<Value>();
        assert!(matches!(
            found,
            Err(ReplyError::Refused(
                CallError::Cron(_)
                    | CallError::InterfaceNotFound { .. }
                    | CallError::MethodNotFound { .. }
                    | CallError::MethodNotImplemented { .. }
                    | CallError::ExpectedMore
                    | CallError::InvalidParameter { .. }
            ))
        ));
    }
    result::<cron::List>(reply);
    result::<cron::Show>(reply);
    result::<cron::Why>(reply);
    result::<cron::Status>(reply);
    result::<cron::Event>(reply);
    result::<cron::OutputPart>(reply);
    result::<history::RunRecord>(reply);
    result::<history::Downtimes>(reply);
    result::<service::Info>(reply);
}

fn result<T: DeserializeOwned + Serialize + PartialEq + Debug>(reply: &Reply) {
    if let Ok(found) = reply.result::<T>() {
        assert_eq!(Reply::of(&found).result::<T>().expect("what was written"), found);
    }
}
