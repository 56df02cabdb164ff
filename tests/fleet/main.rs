//! Fleets of machines: the agent against etcd, and daemons on machines of their own against a cluster of three.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests, though not inside a #[test].

#[path = "../common/mod.rs"]
pub mod common;

mod cluster;
mod engine;
mod etcd;
mod recovery;
mod site;
mod views;
