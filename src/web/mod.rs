//! What `cronctl` serves: texts that are made of the replies of a daemon.
//!
//! | file | contents |
//! |---|---|
//! | `metrics` | metrics as OpenMetrics text |
#![forbid(unsafe_code)]

pub mod metrics;
