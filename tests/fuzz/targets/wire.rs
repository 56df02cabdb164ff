//! Any bytes as messages between main and executor: what can be decoded is the same after it was sent over a socket, what cannot be decoded is
//! skipped without the messages behind it, and lengths that no message has are refused.

use super::input::Input;
use cronwheel::executor::{ExecutorEvent, ExecutorRequest, Link, WireError};
use cronwheel::scheduler::RunRequest;
use cronwheel::sys::descriptor::{stream_pair, write};
use std::fmt::Debug;
use std::os::fd::AsFd as _;

type Request = ExecutorRequest<RunRequest>;

/// More than a socket takes at once is another test's matter.
const MOST: usize = 32 << 10;

pub fn run(input: &[u8]) {
    let input = &input[..input.len().min(MOST)];
    let mut rest = Input(input);
    let bits = rest.byte();
    if bits & 1 == 0 {
        round_trip::<Request>(rest.0);
        frames::<Request>(rest.0, bits & 2 != 0);
    } else {
        round_trip::<ExecutorEvent>(rest.0);
        frames::<ExecutorEvent>(rest.0, bits & 2 != 0);
    }
}

trait Message: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug {}
impl Message for Request {}
impl Message for ExecutorEvent {}

fn round_trip<T: Message>(bytes: &[u8]) {
    let Ok(message) = postcard::from_bytes::<T>(bytes) else { return };
    let written = postcard::to_stdvec(&message).expect("memory");
    // Numbers may be written with more bytes than they need, never with fewer.
    assert!(written.len() <= bytes.len());
    assert_eq!(postcard::from_bytes::<T>(&written).expect("what was written"), message);
}

/// The bytes as what comes over the socket, in frames whose lengths are right, or as they are.
fn frames<T: Message>(bytes: &[u8], is_framed: bool) {
    let (here, there) = stream_pair().expect("sockets");
    let mut wanted = Vec::new();
    let mut sent = Vec::new();
    if is_framed {
        let mut rest = Input(bytes);
        while !rest.0.is_empty() {
            let length = usize::from(rest.byte()).min(rest.0.len());
            let (message, behind) = rest.0.split_at(length);
            rest.0 = behind;
            sent.extend_from_slice(&(length as u32).to_le_bytes());
            sent.extend_from_slice(message);
            wanted.extend(postcard::from_bytes::<T>(message).ok());
        }
    } else {
        sent.extend_from_slice(bytes);
    }
    let mut link = Link::new(there);
    let mut found = Vec::new();
    for piece in sent.chunks(1_000) {
        assert_eq!(write(here.as_fd(), piece).expect("space in the buffer of the socket"), piece.len());
        assert!(link.fill().expect("a socket"));
        loop {
            match link.take_known::<T>() {
                Ok(Some(message)) => found.push(message),
                Ok(None) => break,
                Err(WireError::Length(length)) => {
                    assert!(length > 1 << 20 && !is_framed);
                    return;
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    if is_framed {
        assert_eq!(found, wanted);
    }
    // What was understood is understood by the other side, too.
    let mut back = Link::new(here);
    for message in &found {
        link.push(message).expect("a message of a usual length");
        link.flush().expect("a socket");
        assert!(back.fill().expect("a socket"));
        assert_eq!(back.take::<T>().expect("a message").as_ref(), Some(message));
    }
}
