//! The facts that a drawing shows, as rows of a table.

use super::axis::MINUTE;
use super::model::{OutcomeClass, Timeline};
use super::shape::{Shape, shapes};
use super::words;
use crate::schedule::Timestamp;

/// Cells of the range in which runs and starts are joined: about as many as there are distinguishable marks in a drawing.
pub(super) const CELLS: usize = 480;
/// Crowded minutes and quiet times that are listed.
pub(super) const NAMED: usize = 5;

/// What is said of a time that is not known.
pub(super) const NOT_KNOWN: &str = "not known";

/// The kind of a line in the text beside a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactKind {
    /// Runs, or slots without one.
    Past(OutcomeClass),
    /// Starts to come, or, where nothing is known of the past, starts that the schedule has.
    Coming,
    /// A time in which several runs of one job overlap.
    Overlap,
    /// A minute in which many start.
    Crowded,
    /// A time in which nothing starts or runs.
    Quiet,
    /// A time of which it is not known what ran or will run.
    Unknown,
    /// A change of the clocks.
    Clock,
}

/// One line of the text beside a timeline: when, which job, and what happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// What kind of fact it is.
    pub kind: FactKind,
    /// The number of the row that it is about. None: of all.
    pub row: Option<usize>,
    /// When the run, start or change of the clock begins.
    pub from: Timestamp,
    /// When it ends, if that is a different time.
    pub until: Option<Timestamp>,
    /// The runs or starts that it stands for.
    pub count: u64,
    /// The run, if it is about one.
    pub run: Option<u64>,
    /// When it is, in local time: `03:00`, `03:00 to 04:00`.
    pub when: String,
    /// What it is: `failed (exit 3), took 12s`, `288 starts, every 5 min on average`.
    pub what: String,
}

impl FactKind {
    /// The word for it in that text.
    pub fn word(self) -> &'static str {
        match self {
            FactKind::Past(OutcomeClass::Ok) => "ok",
            FactKind::Past(OutcomeClass::Running) => "running",
            FactKind::Past(OutcomeClass::Skipped) => "skipped",
            FactKind::Past(OutcomeClass::Failed) => "failed",
            FactKind::Coming => "coming",
            FactKind::Overlap => "overlap",
            FactKind::Crowded => "crowded",
            FactKind::Quiet => "quiet",
            FactKind::Unknown => "unknown",
            FactKind::Clock => "clock",
        }
    }
}

/// All facts of a timeline: first those of all rows together, then those of each row in order of time.
pub fn facts(timeline: &Timeline) -> Vec<Fact> {
    let mut found = general(timeline);
    for (row, shape) in shapes(timeline, CELLS).iter().enumerate() {
        found.extend(of_row(timeline, row, shape));
    }
    found
}

/// Clock changes, crowded minutes, quiet times, and what is not known.
fn general(timeline: &Timeline) -> Vec<Fact> {
    let fact = |kind, from, until, count, what| Fact {
        kind,
        row: None,
        from,
        until,
        count,
        run: None,
        when: span(timeline, from, until),
        what,
    };
    let mut found = Vec::new();
    for change in &timeline.changes {
        let (from, until) = change.local_times();
        let what = if change.is_gap() {
            format!("clocks are set forward: {from} to {until} does not exist")
        } else {
            format!("clocks are set back: {from} to {until} comes twice")
        };
        found.push(fact(FactKind::Clock, change.at, None, 1, what));
    }
    for crowded in timeline.crowded(NAMED) {
        let days = if crowded.days > 1 { format!(" at most, on {} days", crowded.days) } else { String::new() };
        let what = format!("crowded minute: {}{days}", words::starts(crowded.starts.into()));
        found.push(fact(FactKind::Crowded, crowded.at, None, crowded.starts.into(), what));
    }
    for quiet in timeline.longest_quiet(NAMED) {
        let what = format!("nothing starts for {}", words::length(quiet.seconds()));
        found.push(fact(FactKind::Quiet, quiet.from, Some(quiet.until), 0, what));
    }
    for unknown in timeline.unknown() {
        found.push(fact(FactKind::Unknown, unknown.from, Some(unknown.until), 0, NOT_KNOWN.to_owned()));
    }
    found
}

fn of_row(timeline: &Timeline, row: usize, shape: &Shape) -> Vec<Fact> {
    let parts = shape.marks.iter().flat_map(|mark| mark.parts.iter().map(move |part| (mark, part)));
    let runs = parts.map(|(mark, part)| Fact {
        kind: FactKind::Past(part.class),
        row: Some(row),
        from: mark.from,
        until: mark.end().filter(|until| *until > mark.from),
        count: part.count,
        run: part.run,
        when: exact_span(timeline, mark.from, mark.end()),
        what: part.words(),
    });
    let starts = shape.bands.iter().map(|band| Fact {
        kind: FactKind::Coming,
        row: Some(row),
        from: band.first,
        until: (band.last > band.first).then_some(band.last),
        count: band.count,
        run: None,
        when: span(timeline, band.first, Some(band.last)),
        what: band.words(),
    });
    let overlaps = shape.overlaps.iter().map(|overlap| Fact {
        kind: FactKind::Overlap,
        row: Some(row),
        from: overlap.from,
        until: Some(overlap.until),
        count: overlap.runs.into(),
        run: None,
        when: exact_span(timeline, overlap.from, Some(overlap.until)),
        what: format!("{} runs of the job at the same time", overlap.runs),
    });
    let mut found: Vec<Fact> = runs.chain(starts).chain(overlaps).collect();
    found.sort_by_key(|fact| fact.from);
    found
}

/// A time or a range of times to the minute.
pub(super) fn span(timeline: &Timeline, from: Timestamp, until: Option<Timestamp>) -> String {
    let when = |at| words::when(at, timeline.range, &timeline.zone, &timeline.changes);
    match until.filter(|until| until.0.div_euclid(MINUTE) > from.0.div_euclid(MINUTE)) {
        Some(until) => format!("{} to {}", when(from), when(until)),
        None => when(from),
    }
}

/// A range of time, to the second.
pub(super) fn exact_span(timeline: &Timeline, from: Timestamp, until: Option<Timestamp>) -> String {
    let when = |at| words::when_exactly(at, timeline.range, &timeline.zone, &timeline.changes);
    match until.filter(|until| *until > from) {
        Some(until) => format!("{} to {}", when(from), when(until)),
        None => when(from),
    }
}
