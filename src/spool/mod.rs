//! Finds and reads tables safely, installs them durably, and knows who may.

mod find;

pub use find::{Found, Places, Refusal, Stamp};
