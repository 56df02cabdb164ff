//! Timelines: rows of jobs or users over an axis from the past into the future, as data, as text for terminals and as SVG.
//!
//! A [`Builder`] takes rows of the history, coming starts of the daemon, and schedules. What it makes, a [`Timeline`], can be drawn at any size:
//! [`svg()`] and [`text()`] join what is too close together there. [`facts()`] lists what a drawing shows, for a table beside it. Nothing here asks
//! for the time.

#![forbid(unsafe_code)]

mod axis;
mod build;
mod facts;
mod model;
mod shape;
mod svg;
mod svg_parts;
mod svg_rows;
mod terminal;
mod ticks;
mod words;

pub use axis::{ClockChange, Range};
pub use build::Builder;
pub use facts::{Fact, FactKind, facts};
pub use model::{Crowded, Grouping, HiddenRows, OutcomeClass, Overlap, PastRun, Row, RowLabel, Timeline};
pub use svg::svg;
pub use svg_parts::{STYLE, SvgOptions};
pub use terminal::{Charset, Role, Span, TextLine, TextOptions, text};

#[cfg(test)]
mod drawing_tests;
