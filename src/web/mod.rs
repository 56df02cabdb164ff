//! What `cronctl` serves: texts that are made of the replies of a daemon.
//!
//! | file | contents |
//! |---|---|
//! | `calendar` | coming runs as iCalendar text |
//! | `metrics` | metrics as OpenMetrics text |
#![forbid(unsafe_code)]

pub mod calendar;
pub mod metrics;
