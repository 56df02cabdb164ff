//! What `cronctl` makes of the replies of a daemon for other programs: a web page, metrics, a calendar.
//!
//! | file | content |
//! |---|---|
//! | `site` | the web page of `cronctl web` (feature `web`) |
//! | `metrics` | metrics as OpenMetrics text, for the page and `cronctl metrics` |
//! | `calendar` | coming runs as iCalendar text, for the page and `cronctl calendar` |
#![forbid(unsafe_code)]

pub mod calendar;
pub mod metrics;
#[cfg(feature = "web")]
pub mod site;
