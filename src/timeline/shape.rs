//! What is drawn of a row: runs and starts that would touch each other become one mark.

use super::axis::Range;
use super::model::{OutcomeClass, Overlap, PastRun, Row, Timeline};
use super::words;
use crate::schedule::{Timestamp, rounded_duration};

/// Runs in progress at the same time are drawn in so many lanes at most.
pub(super) const LANES: usize = 3;
/// Marks of a drawing, beyond which a coarser grain is used.
const MOST_MARKS: usize = 40_000;

/// One or more runs: with the same kind of end, or all short runs of a cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mark {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    pub(super) lane: usize,
    /// How many lanes the runs around it take.
    pub(super) lanes: usize,
    /// Those with the same kind of end, the worst kind first. Never empty.
    pub(super) parts: Vec<Part>,
    /// The cell, if it is of short runs.
    cell: Option<usize>,
}

/// The runs of a mark with the same kind of end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) class: OutcomeClass,
    pub(super) count: u64,
    /// How it ended, if it is one.
    pub(super) text: String,
    pub(super) run: Option<u64>,
    /// The longest duration in seconds.
    pub(super) longest: Option<f64>,
}

/// One or more starts to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Band {
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) count: u64,
}

/// What is drawn of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) marks: Vec<Mark>,
    pub(super) bands: Vec<Band>,
    /// Times in which runs of one job overlap.
    pub(super) overlaps: Vec<Overlap>,
}

/// The shapes of all rows if the range has so many cells, with fewer where there would be too many marks.
pub(super) fn shapes(timeline: &Timeline, cells: usize) -> Vec<Shape> {
    let mut cells = cells.max(1);
    loop {
        let shapes: Vec<Shape> = timeline.rows.iter().map(|row| shape(row, timeline.range, cells)).collect();
        let count: usize = shapes.iter().map(Shape::len).sum();
        if count <= MOST_MARKS || cells == 1 {
            return shapes;
        }
        cells = cells.div_ceil(2);
    }
}

fn shape(row: &Row, range: Range, cells: usize) -> Shape {
    let grain = range.seconds() / i64::try_from(cells).unwrap_or(1).max(1);
    Shape {
        marks: marks(&row.runs, range, cells),
        bands: bands(row, 2 * grain + grain / 4),
        overlaps: join_overlaps(&row.overlaps, grain),
    }
}

impl Shape {
    fn len(&self) -> usize {
        self.marks.len() + self.bands.len() + self.overlaps.len()
    }
}

/// Puts runs into lanes. The short ones of a cell become one mark, whatever their ends; marks that end alike and touch the same cell become one, unless
/// both are longer than one.
fn marks(runs: &[PastRun], range: Range, cells: usize) -> Vec<Mark> {
    let grain = range.seconds() / i64::try_from(cells).unwrap_or(1).max(1);
    let mut ends = [None::<Timestamp>; LANES];
    let mut lanes: [Vec<Mark>; LANES] = Default::default();
    for run in runs {
        let free = ends.iter().position(|end| end.is_none_or(|end| end <= run.from));
        let earliest = || (0..LANES).min_by_key(|lane| ends.get(*lane).copied().flatten()).unwrap_or(0);
        let lane = free.unwrap_or_else(earliest);
        let Some((end, marks)) = ends.get_mut(lane).zip(lanes.get_mut(lane)) else { continue };
        *end = Some(end.map_or(run.until, |end| end.max(run.until)));
        let is_short = run.until.0 - run.from.0 <= grain && run.class != OutcomeClass::Running;
        let cell = is_short.then(|| range.cell_of(run.from, cells));
        match marks.last_mut().filter(|last| cell.is_some() && last.cell == cell) {
            Some(last) => last.join(Mark::of(run, lane, cell)),
            None => marks.push(Mark::of(run, lane, cell)),
        }
    }
    let mut marks: Vec<Mark> = Vec::new();
    for mark in lanes.into_iter().flatten() {
        let is_alike = |known: &&mut Mark| {
            let is_short = |mark: &Mark| mark.until.0 - mark.from.0 <= grain;
            known.lane == mark.lane
                && known.class().is_some_and(|class| mark.class() == Some(class))
                && range.cell_of(mark.from, cells) <= range.cell_of(known.until, cells)
                && (is_short(known) || is_short(&mark))
        };
        match marks.last_mut().filter(is_alike) {
            Some(known) => known.join(mark),
            None => marks.push(mark),
        }
    }
    set_lanes(&mut marks);
    marks
}

/// Notes for each mark how many lanes it and those that overlap it, directly or over others, take.
fn set_lanes(marks: &mut [Mark]) {
    marks.sort_by_key(|mark| (mark.from, mark.lane));
    let mut begin = 0;
    while begin < marks.len() {
        let (mut end, mut until, mut lanes) = (begin, None, 0);
        while let Some(mark) = marks.get(end).filter(|mark| until.is_none_or(|until| mark.from < until)) {
            until = Some(until.map_or(mark.until, |until: Timestamp| until.max(mark.until)));
            lanes = lanes.max(mark.lane + 1);
            end += 1;
        }
        marks.iter_mut().take(end).skip(begin).for_each(|mark| mark.lanes = lanes);
        begin = end;
    }
}

impl Mark {
    fn of(run: &PastRun, lane: usize, cell: Option<usize>) -> Mark {
        let part =
            Part { class: run.class, count: run.count, text: run.text.clone(), run: run.run, longest: run.duration };
        Mark { from: run.from, until: run.until, lane, lanes: 1, parts: vec![part], cell }
    }

    /// The kind of end that all of its runs have.
    pub(super) fn class(&self) -> Option<OutcomeClass> {
        match self.parts.as_slice() {
            [only] => Some(only.class),
            _ => None,
        }
    }

    /// How many runs or slots it stands for.
    pub(super) fn count(&self) -> u64 {
        self.parts.iter().map(|part| part.count).sum()
    }

    /// Its end. None: the run is in progress.
    pub(super) fn end(&self) -> Option<Timestamp> {
        (self.class() != Some(OutcomeClass::Running)).then_some(self.until)
    }

    fn join(&mut self, other: Mark) {
        self.until = self.until.max(other.until);
        for part in other.parts {
            match self.parts.iter_mut().find(|known| known.class == part.class) {
                Some(known) => known.join(part),
                None => self.parts.push(part),
            }
        }
        self.parts.sort_by_key(|part| std::cmp::Reverse(part.class));
    }

    /// What it is, in words: `failed (exit 3), took 12s`, `2 runs: failed, the longest took 3s; 10 runs: ok, the longest took 3m20s`.
    pub(super) fn words(&self) -> String {
        self.parts.iter().map(Part::words).collect::<Vec<_>>().join("; ")
    }
}

impl Part {
    fn join(&mut self, other: Part) {
        self.count += other.count;
        self.run = None;
        if self.text != other.text {
            self.text = self.class.word().to_owned();
        }
        self.longest = match (self.longest, other.longest) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
    }

    /// What it is, in words: `failed (exit 3), took 12s`, `12 runs: ok, the longest took 3m20s`.
    pub(super) fn words(&self) -> String {
        let what = match (self.class, self.run, self.count) {
            (OutcomeClass::Skipped, None, 2..) => {
                format!("{}: {}", words::count(self.count, "slot", "slots"), self.text)
            }
            (_, _, 2..) => format!("{}: {}", words::count(self.count, "run", "runs"), self.text),
            _ => self.text.clone(),
        };
        match (self.longest, self.count) {
            (Some(took), 1) => format!("{what}, took {}", rounded_duration(took)),
            (Some(took), _) => format!("{what}, the longest took {}", rounded_duration(took)),
            (None, _) => what,
        }
    }
}

/// Joins starts that are no more than so many seconds apart.
fn bands(row: &Row, most_apart: i64) -> Vec<Band> {
    let mut bands: Vec<Band> = Vec::new();
    for coming in &row.coming {
        match bands.last_mut().filter(|last| coming.first.0 - last.last.0 <= most_apart) {
            Some(last) => (last.last, last.count) = (last.last.max(coming.last), last.count + coming.count),
            None => bands.push(Band { first: coming.first, last: coming.last, count: coming.count }),
        }
    }
    bands
}

/// Joins those that are no more than so many seconds apart.
fn join_overlaps(overlaps: &[Overlap], most_apart: i64) -> Vec<Overlap> {
    let mut joined: Vec<Overlap> = Vec::new();
    for overlap in overlaps {
        match joined.last_mut().filter(|last| overlap.from.0 - last.until.0 <= most_apart) {
            Some(last) => (last.until, last.runs) = (last.until.max(overlap.until), last.runs.max(overlap.runs)),
            None => joined.push(*overlap),
        }
    }
    joined
}

impl Band {
    /// What it is, in words: `1 start`, `288 starts, every 5 min`.
    pub(super) fn words(&self) -> String {
        let starts = words::starts(self.count);
        let every = (self.last.0 - self.first.0) / i64::try_from(self.count.saturating_sub(1)).unwrap_or(1).max(1);
        match self.count {
            3.. if every >= 60 => format!("{starts}, every {} on average", words::length(every)),
            3.. if every > 0 => format!("{starts}, every {every} s on average"),
            _ => starts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OutcomeClass::{Failed, Ok};

    const RANGE: Range = Range { from: Timestamp(0), until: Timestamp(6_000) };

    fn run(from: i64, until: i64, class: OutcomeClass) -> PastRun {
        let (from, until) = (Timestamp(from), Timestamp(until));
        let duration = Some((until.0 - from.0) as f64);
        PastRun { from, until, class, text: class.word().into(), run: Some(7), duration, count: 1, job: 0 }
    }

    fn told(runs: &[PastRun]) -> Vec<(i64, i64, u64, usize, usize)> {
        let told = |mark: &Mark| (mark.from.0, mark.until.0, mark.count(), mark.lane, mark.lanes);
        // Cells of a minute.
        marks(runs, RANGE, 100).iter().map(told).collect()
    }

    #[test]
    fn short_runs_that_touch_become_one_mark_and_long_ones_do_not() {
        let short = [run(0, 5, Ok), run(60, 65, Ok), run(70, 71, Ok), run(600, 601, Ok)];
        assert_eq!(told(&short), [(0, 5, 1, 0, 1), (60, 71, 2, 0, 1), (600, 601, 1, 0, 1)]);
        let long = [run(0, 600, Ok), run(600, 1_200, Ok), run(1_200, 1_201, Ok)];
        assert_eq!(told(&long), [(0, 600, 1, 0, 1), (600, 1_201, 2, 0, 1)]);
    }

    #[test]
    fn a_failure_among_successes_stays_visible_and_takes_its_share_of_the_cell_only() {
        let runs: Vec<PastRun> =
            (0..600).map(|n| run(n * 10, n * 10 + 1, if n == 300 { Failed } else { Ok })).collect();
        let marks = marks(&runs, RANGE, 100);
        let mixed: Vec<_> = marks.iter().filter(|mark| mark.class().is_none()).collect();
        assert!(mixed.len() == 1 && marks.len() == 100, "{marks:?}");
        let parts: Vec<_> = mixed[0].parts.iter().map(|part| (part.class, part.count)).collect();
        assert_eq!((mixed[0].from, parts), (Timestamp(3_000), vec![(Failed, 1), (Ok, 5)]));
        assert_eq!(marks.iter().map(Mark::count).sum::<u64>(), 600);
        let single = [run(0, 1, Ok), run(60, 61, Failed)];
        assert_eq!(self::marks(&single, RANGE, 100)[1].class(), Some(Failed));
    }

    #[test]
    fn runs_at_the_same_time_have_lanes() {
        let runs =
            [run(0, 1_000, Ok), run(100, 900, Ok), run(200, 300, Failed), run(250, 800, Ok), run(2_000, 2_100, Ok)];
        let lanes: Vec<_> = told(&runs).iter().map(|mark| (mark.0, mark.3, mark.4)).collect();
        assert_eq!(lanes, [(0, 0, 3), (100, 1, 3), (200, 2, 3), (250, 2, 3), (2_000, 0, 1)]);
    }

    #[test]
    fn words_say_how_many_and_how_long() {
        let marks = marks(&[run(0, 5, Ok), run(10, 12, Ok), run(600, 603, Failed)], RANGE, 100);
        let told: Vec<String> = marks.iter().map(Mark::words).collect();
        assert_eq!(told, ["2 runs: ok, the longest took 5.0s", "failed, took 3.0s"]);
        let band = |count| Band { first: Timestamp(0), last: Timestamp(3_600), count }.words();
        assert_eq!((band(1), band(13)), ("1 start".into(), "13 starts, every 5 min on average".into()));
    }
}
