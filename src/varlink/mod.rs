//! The control protocol: Varlink (<https://varlink.org/>), which is JSON objects that each end with a NUL byte. Pure: bytes in, messages out.
//!
//! | file | contents |
//! |---|---|
//! | `frame` | takes a stream of bytes apart into messages |
//! | `message` | calls, replies and errors |
//! | `service` | what every service answers: who it is and which interfaces it has |
//! | `time` | the form of times |
//! | `cron` | the interface `io.cronwheel.Cron` |
//! | `history` | the interface `io.cronwheel.History` |
#![forbid(unsafe_code)]

pub mod cron;
#[cfg(test)]
mod description_tests;
mod frame;
pub mod history;
mod message;
pub mod service;
mod time;

pub use frame::{FrameError, FrameReader};
pub use message::{Call, CallError, Reply, ReplyError};
pub use time::Time;
