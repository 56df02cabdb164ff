//! A timeline as text: a line for each row, a character for each part of the time.

use super::axis::{DAY, Range};
use super::facts::{NAMED, NOT_KNOWN, span};
use super::model::{Crowded, OutcomeClass, Row, Timeline};
use super::ticks::{Tick, Ticks, ticks};
use super::words;
use crate::crontab::{fit_width, terminal_width};
use crate::schedule::Timestamp;

/// The narrowest that is drawn. Narrower terminals wrap lines.
const NARROWEST: usize = 40;
const WIDEST: usize = 1_000;
/// The label takes two fifths of the width at most, and so many columns.
const WIDEST_LABEL: usize = 64;
/// Blanks between label and chart.
const GAP: usize = 2;
/// The label of the line with the starts of all rows.
const ALL: &str = "starts a minute";

/// The characters that a terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charset {
    /// ASCII only.
    Ascii,
    /// All of Unicode, in UTF-8.
    Unicode,
}

/// What a piece of text is, from which the caller makes its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Ordinary text.
    Plain,
    /// A heading.
    Title,
    /// Dimmed text.
    Faint,
    /// A run that ended well.
    Ok,
    /// A run that has not ended.
    Running,
    /// A slot without a run.
    Skipped,
    /// A run that failed.
    Failed,
    /// Several runs of a job at a time.
    Overlap,
    /// Starts to come.
    Coming,
    /// A crowded minute.
    Crowded,
    /// A quiet time.
    Quiet,
    /// A change of the clocks.
    Clock,
    /// The current time.
    Now,
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The role of the text, which decides its colour.
    pub role: Role,
    /// The text, without control characters.
    pub text: String,
}

/// A line of text, as spans of one role each.
pub type TextLine = Vec<Span>;

/// The size and the characters of the drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// Columns of the terminal.
    pub width: usize,
    /// The characters that may be used.
    pub charset: Charset,
    /// Whether title, legend and the lists below are drawn, or only axis and rows.
    pub is_complete: bool,
}

/// The characters of a drawing.
struct Glyphs {
    /// One to eight eighths.
    levels: [char; 8],
    ok: char,
    going: char,
    running: char,
    failed: char,
    skipped: char,
    now: char,
    now_above: char,
    period: char,
    tick: char,
    gap: char,
    fold: char,
    crowded: char,
    quiet: char,
    unknown: char,
    ellipsis: char,
}

const UNICODE: Glyphs = Glyphs {
    levels: ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
    ok: '■',
    going: '━',
    running: '►',
    failed: '×',
    skipped: '-',
    now: '│',
    now_above: '▼',
    period: '┃',
    tick: '╵',
    gap: '»',
    fold: '«',
    crowded: '!',
    quiet: '·',
    unknown: '?',
    ellipsis: '…',
};

const ASCII: Glyphs = Glyphs {
    levels: ['.', '.', ':', ':', '+', '+', '#', '#'],
    ok: 'o',
    going: '=',
    running: '>',
    failed: 'X',
    skipped: '-',
    now: '|',
    now_above: 'v',
    period: '|',
    tick: '\'',
    gap: '}',
    fold: '{',
    crowded: '!',
    quiet: '_',
    unknown: '?',
    ellipsis: '~',
};

/// One character of the chart.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Glyph {
    role: Role,
    character: char,
}

const BLANK: Glyph = Glyph { role: Role::Plain, character: ' ' };

/// How the width is divided, and what is drawn with.
struct Drawing<'a> {
    timeline: &'a Timeline,
    glyphs: &'static Glyphs,
    charset: Charset,
    width: usize,
    label: Columns,
    cells: usize,
}

/// The widths of the parts of labels.
#[derive(Clone, Copy)]
struct Columns {
    first: usize,
    second: usize,
    third: usize,
}

impl Columns {
    /// What the labels need, up to a share of the width, of which the command gets what is left.
    fn of(timeline: &Timeline, width: usize) -> Columns {
        let room = (width * 2 / 5).min(WIDEST_LABEL);
        let widest = |part: fn(&[String; 3]) -> &String| {
            let widths = timeline.rows.iter().map(|row| terminal_width(part(&parts(row, timeline.is_by_user))));
            widths.max().unwrap_or(0)
        };
        let (first, second) = (widest(|parts| &parts[0]), widest(|parts| &parts[1]));
        let first = first.min(room * 3 / 5);
        let second = second.min(16).min(room.saturating_sub(first + 8));
        let used = [first, second].iter().filter(|width| **width > 0).map(|width| width + GAP).sum::<usize>();
        let third = widest(|parts| &parts[2]).min(room.saturating_sub(used));
        let columns = Columns { first, second, third };
        // The label of the first line has to fit.
        let missing = (ALL.len() + 1).saturating_sub(columns.width());
        Columns { third: third + missing, ..columns }
    }

    fn width(self) -> usize {
        let columns = [self.first, self.second, self.third].into_iter().filter(|width| *width > 0);
        columns.map(|width| width + GAP).sum::<usize>().saturating_sub(GAP)
    }
}

/// The parts of the label of a row: of a job its name, if it is known, and its command, else user, schedule and command.
fn parts(row: &Row, is_by_user: bool) -> [String; 3] {
    let label = &row.label;
    match (is_by_user, label.job.is_empty()) {
        (true, _) => [label.user.clone(), String::new(), String::new()],
        (false, true) => [label.user.clone(), label.schedule.clone(), label.command.clone()],
        (false, false) => [label.job.clone(), String::new(), label.command.clone()],
    }
}

/// Draws a timeline as text.
pub fn text(timeline: &Timeline, options: &TextOptions) -> Vec<TextLine> {
    let width = options.width.clamp(NARROWEST, WIDEST);
    let label = Columns::of(timeline, width);
    let glyphs = match options.charset {
        Charset::Ascii => &ASCII,
        Charset::Unicode => &UNICODE,
    };
    let cells = width.saturating_sub(label.width() + GAP).max(1);
    let drawing = Drawing { timeline, glyphs, charset: options.charset, width, label, cells };
    let mut lines = Vec::new();
    if options.is_complete {
        lines.extend(drawing.heading());
    }
    lines.extend(drawing.axis());
    lines.extend(drawing.all_starts());
    lines.extend(timeline.rows.iter().map(|row| drawing.row(row)));
    if options.is_complete {
        lines.extend(drawing.legend());
    }
    lines
}

impl Drawing<'_> {
    fn span(&self, role: Role, text: &str) -> Span {
        let text = match self.charset {
            Charset::Unicode => text.to_owned(),
            Charset::Ascii => {
                text.chars().map(|character| if character.is_ascii() { character } else { '?' }).collect()
            }
        };
        Span { role, text }
    }

    fn line(&self, role: Role, text: &str) -> TextLine {
        vec![self.span(role, text)]
    }

    fn cell_of(&self, at: Timestamp) -> usize {
        self.timeline.range.cell_of(at, self.cells)
    }

    fn heading(&self) -> Vec<TextLine> {
        let timeline = self.timeline;
        let (from, until) = (timeline.range.from, timeline.range.until);
        let (from, until) = (words::date_and_time(from, &timeline.zone), words::date_and_time(until, &timeline.zone));
        let title = format!("{from} to {until}, {}", timeline.zone.name());
        let mut lines = vec![self.line(Role::Title, &title)];
        lines.extend(summary(timeline).iter().map(|text| self.line(Role::Plain, text)));
        lines.push(Vec::new());
        lines
    }

    /// The time axis: the periods, the times below them, and a line of ticks.
    fn axis(&self) -> Vec<TextLine> {
        let Ticks { periods, times, has_times_of_day } = ticks(self.timeline.range, &self.timeline.zone, self.cells);
        let mut marks = vec![BLANK; self.cells];
        let mut mark = |at: Timestamp, role, character| {
            if let Some(mark) = marks.get_mut(self.cell_of(at)) {
                *mark = Glyph { role, character };
            }
        };
        times.iter().for_each(|tick| mark(tick.at, Role::Faint, self.glyphs.tick));
        if has_times_of_day {
            periods.iter().skip(1).for_each(|tick| mark(tick.at, Role::Faint, self.glyphs.period));
        }
        for change in &self.timeline.changes {
            mark(change.at, Role::Clock, if change.is_gap() { self.glyphs.gap } else { self.glyphs.fold });
        }
        if self.timeline.range.has(self.timeline.now) {
            mark(self.timeline.now, Role::Now, self.glyphs.now_above);
        }
        let blank = " ".repeat(self.label.width() + GAP);
        let labels = |ticks: &[Tick]| blank.clone() + &self.labels(ticks);
        vec![
            self.line(Role::Title, labels(&periods).trim_end()),
            self.line(Role::Plain, labels(&times).trim_end()),
            self.charted(self.span(Role::Plain, &blank), &marks),
        ]
    }

    /// The labels of ticks, each above its column, where there is room.
    fn labels(&self, ticks: &[Tick]) -> String {
        let mut text = vec![' '; self.cells];
        let mut free = 0;
        for (number, tick) in ticks.iter().enumerate() {
            let column = self.cell_of(tick.at);
            let end = ticks.get(number + 1).map_or(self.cells, |next| self.cell_of(next.at));
            let fits = |label: &&String| {
                column >= free && column + label.chars().count() < end.max(column + 1) + usize::from(end == self.cells)
            };
            let Some(label) = [&tick.label, &tick.short].into_iter().find(fits) else { continue };
            for (place, character) in text.iter_mut().skip(column).zip(label.chars()) {
                *place = character;
            }
            free = column + label.chars().count() + 1;
        }
        String::from_iter(text)
    }

    /// The line of all starts: for each cell the minute with the most. Below it crowded minutes and quiet times.
    fn all_starts(&self) -> Vec<TextLine> {
        let (timeline, most) = (self.timeline, self.timeline.most());
        let future = self.cell_of(timeline.future());
        let bars = timeline.peaks(self.cells);
        let bars: Vec<Glyph> = bars
            .iter()
            .enumerate()
            .map(|(cell, peak)| {
                let role = if timeline.has_past() && cell < future { Role::Plain } else { Role::Coming };
                self.level(role, f64::from(*peak) / f64::from(most.max(1)))
            })
            .collect();
        let mut marks = vec![BLANK; self.cells];
        for quiet in timeline.quiet() {
            let (first, end) = (self.first_whole_cell(quiet), self.cell_of(quiet.until));
            let end = if quiet.until == timeline.range.until { self.cells } else { end };
            let inside = marks.iter_mut().take(end).skip(first);
            inside.for_each(|mark| *mark = Glyph { role: Role::Quiet, character: self.glyphs.quiet });
        }
        for unknown in timeline.unknown() {
            let (first, last) = (self.first_whole_cell(unknown), self.cell_of(Timestamp(unknown.until.0 - 1)));
            let inside = marks.iter_mut().take(last + 1).skip(first);
            inside.for_each(|mark| *mark = Glyph { role: Role::Faint, character: self.glyphs.unknown });
        }
        for crowded in timeline.crowded(NAMED) {
            if let Some(mark) = marks.get_mut(self.cell_of(crowded.at)) {
                *mark = Glyph { role: Role::Crowded, character: self.glyphs.crowded };
            }
        }
        let mut label = if most > 0 { format!("{ALL} (most {most})") } else { ALL.to_owned() };
        if label.len() > self.label.width() {
            label = ALL.to_owned();
        }
        let label = fit(&label, self.label.width(), self.glyphs);
        let blank = " ".repeat(self.label.width() + GAP);
        vec![
            self.charted(self.span(Role::Title, &(label + &" ".repeat(GAP))), &bars),
            self.charted(self.span(Role::Plain, &blank), &marks),
        ]
    }

    /// The first cell that begins within a range.
    fn first_whole_cell(&self, range: Range) -> usize {
        let cell = self.cell_of(range.from);
        if self.timeline.range.cell_start(cell, self.cells) >= range.from { cell } else { cell + 1 }
    }

    fn row(&self, row: &Row) -> TextLine {
        let [first, second, third] = parts(row, self.timeline.is_by_user);
        let mut label = String::new();
        for (text, width) in [(first, self.label.first), (second, self.label.second), (third, self.label.third)] {
            if width > 0 {
                label += &fit(&text, width, self.glyphs);
                label += &" ".repeat(GAP);
            }
        }
        self.charted(self.span(Role::Plain, &label), &self.cells_of(row))
    }

    /// The characters of a row. What says more replaces what says less.
    fn cells_of(&self, row: &Row) -> Vec<Glyph> {
        let mut cells = vec![BLANK; self.cells];
        let mut counts = vec![0_u64; self.cells];
        for coming in &row.coming {
            if let Some(count) = counts.get_mut(self.cell_of(coming.first)) {
                *count += coming.count;
            }
        }
        let minutes = (self.timeline.range.minutes() as f64 / self.cells as f64).max(1.0);
        for (cell, count) in cells.iter_mut().zip(&counts).filter(|(_, count)| **count > 0) {
            *cell = self.level(Role::Coming, *count as f64 / minutes);
        }
        let mut put = |from: Timestamp, until: Timestamp, role, character| {
            let (first, last) = (self.cell_of(from), self.cell_of(until));
            let places = cells.iter_mut().take(last + 1).skip(first);
            places
                .filter(|place| rank(role, character, self.glyphs) >= rank(place.role, place.character, self.glyphs))
                .for_each(|place| *place = Glyph { role, character });
        };
        for run in
            row.runs.iter().filter(|run| self.timeline.range.from <= run.until && run.from < self.timeline.range.until)
        {
            let role = role_of(run.class);
            if run.class != OutcomeClass::Skipped {
                put(run.from, run.until, role, self.glyphs.going);
            }
            let starts_here = run.from >= self.timeline.range.from;
            match run.class {
                OutcomeClass::Ok if starts_here => put(run.from, run.from, role, self.glyphs.ok),
                OutcomeClass::Ok => {}
                OutcomeClass::Running => put(run.until, run.until, role, self.glyphs.running),
                OutcomeClass::Skipped => put(run.from, run.from, role, self.glyphs.skipped),
                OutcomeClass::Failed => put(run.until, run.until, role, self.glyphs.failed),
            }
        }
        for overlap in &row.overlaps {
            let digit = char::from_digit(overlap.runs.min(9), 10).unwrap_or('9');
            put(overlap.from, overlap.until, Role::Overlap, digit);
        }
        if self.timeline.range.has(self.timeline.now)
            && let Some(cell) = cells.get_mut(self.cell_of(self.timeline.now)).filter(|cell| **cell == BLANK)
        {
            *cell = Glyph { role: Role::Now, character: self.glyphs.now };
        }
        cells
    }

    /// A bar of that share of a full one. None at all is blank.
    fn level(&self, role: Role, share: f64) -> Glyph {
        let eighths = (share * 8.0).ceil().clamp(0.0, 8.0) as usize;
        match eighths.checked_sub(1).and_then(|level| self.glyphs.levels.get(level)) {
            Some(character) => Glyph { role, character: *character },
            None => BLANK,
        }
    }

    /// A line with a label and a chart, without blanks at its end.
    fn charted(&self, label: Span, glyphs: &[Glyph]) -> TextLine {
        let used = glyphs.iter().rposition(|glyph| glyph.character != ' ').map_or(0, |last| last + 1);
        let mut line = vec![label];
        for glyph in glyphs.iter().take(used) {
            match line.last_mut().filter(|last| last.role == glyph.role) {
                Some(last) => last.text.push(glyph.character),
                None => line.push(Span { role: glyph.role, text: glyph.character.to_string() }),
            }
        }
        if let ([only], 0) = (line.as_mut_slice(), used) {
            only.text.truncate(only.text.trim_end().len());
        }
        line
    }

    /// What the characters mean, and the clock changes, crowded minutes and quiet times.
    fn legend(&self) -> Vec<TextLine> {
        let mut lines = Vec::new();
        let keys = self.keys();
        if !keys.is_empty() {
            lines.push(Vec::new());
            lines.extend(self.wrapped(keys));
        }
        let mut notes = Vec::new();
        for change in &self.timeline.changes {
            let (from, until) = change.local_times();
            let glyph = if change.is_gap() { self.glyphs.gap } else { self.glyphs.fold };
            let what = if change.is_gap() { "does not exist: clocks forward" } else { "comes twice: clocks back" };
            let day = words::day(Timestamp(change.at.0 - 1), &self.timeline.zone);
            notes.push((Role::Clock, glyph.to_string(), vec![format!("{day} {from}-{until} {what}")]));
        }
        let crowded: Vec<String> =
            self.timeline.crowded(NAMED).iter().map(|crowded| self.crowded_words(crowded)).collect();
        let longest = |quiet: &Range| format!("{} {}", self.quiet_span(*quiet), words::length(quiet.seconds()));
        let quiet: Vec<String> = self.timeline.longest_quiet(NAMED).iter().map(longest).collect();
        notes.push((Role::Crowded, format!("{} crowded:", self.glyphs.crowded), crowded));
        notes.push((Role::Quiet, format!("{} quiet:", self.glyphs.quiet), quiet));
        let unknown = self.timeline.unknown().into_iter().map(|unknown| self.quiet_span(unknown)).collect();
        notes.push((Role::Faint, format!("{} {NOT_KNOWN}:", self.glyphs.unknown), unknown));
        notes.retain(|(_, _, items)| !items.is_empty());
        if !notes.is_empty() {
            lines.push(Vec::new());
        }
        lines.extend(notes.iter().flat_map(|(role, head, items)| self.folded(*role, head, items)));
        lines
    }

    fn crowded_words(&self, crowded: &Crowded) -> String {
        let starts = words::starts(crowded.starts.into());
        match crowded.days {
            1 => format!("{} {starts}", span(self.timeline, crowded.at, None)),
            days => format!("{} {starts} on {days} days", words::time(crowded.at, &self.timeline.zone)),
        }
    }

    /// A quiet time as text: `03:01-20:30`.
    fn quiet_span(&self, quiet: Range) -> String {
        let timeline = self.timeline;
        let when = |at| words::when(at, timeline.range, &timeline.zone, &timeline.changes);
        let separator = if timeline.range.seconds() <= DAY { "-" } else { " to " };
        format!("{}{separator}{}", when(quiet.from), when(quiet.until))
    }

    /// The characters that are used, with their meaning.
    fn keys(&self) -> Vec<(Role, String, &'static str)> {
        let timeline = self.timeline;
        let has = |class| timeline.rows.iter().any(|row| row.runs.iter().any(|run| run.class == class));
        let glyphs = self.glyphs;
        let mut keys = Vec::new();
        if has(OutcomeClass::Ok) {
            keys.push((Role::Ok, format!("{}{}{}", glyphs.ok, glyphs.going, glyphs.going), "ok"));
        }
        if has(OutcomeClass::Failed) {
            keys.push((Role::Failed, format!("{}{}{}", glyphs.going, glyphs.going, glyphs.failed), "failed"));
        }
        if has(OutcomeClass::Running) {
            keys.push((Role::Running, format!("{}{}{}", glyphs.going, glyphs.going, glyphs.running), "running"));
        }
        if has(OutcomeClass::Skipped) {
            keys.push((Role::Skipped, glyphs.skipped.to_string(), "skipped or missed"));
        }
        if timeline.rows.iter().any(|row| !row.overlaps.is_empty()) {
            keys.push((Role::Overlap, "2".to_owned(), "runs at a time"));
        }
        if keys.is_empty() {
            return keys;
        }
        if timeline.rows.iter().any(|row| !row.coming.is_empty()) {
            let levels = [0, 3, 7].iter().filter_map(|level| glyphs.levels.get(*level));
            keys.push((Role::Coming, levels.collect(), "coming, by density"));
        }
        keys
    }

    /// Keys side by side, as many lines as they need.
    fn wrapped(&self, keys: Vec<(Role, String, &'static str)>) -> Vec<TextLine> {
        let mut lines: Vec<TextLine> = vec![Vec::new()];
        let mut used = 0;
        for (role, glyph, meaning) in keys {
            let width = glyph.chars().count() + 1 + meaning.len() + 3;
            if used > 0 && used + width > self.width {
                lines.push(Vec::new());
                used = 0;
            }
            if let Some(line) = lines.last_mut() {
                line.push(self.glyph_span(role, glyph));
                line.push(self.span(Role::Faint, &format!(" {meaning}   ")));
            }
            used += width;
        }
        for last in lines.iter_mut().filter_map(|line| line.last_mut()) {
            last.text.truncate(last.text.trim_end().len());
        }
        lines
    }

    fn glyph_span(&self, role: Role, text: String) -> Span {
        Span { role, text }
    }

    /// A head and items behind it, which are continued on further lines.
    fn folded(&self, role: Role, head: &str, items: &[String]) -> Vec<TextLine> {
        let mut lines = vec![vec![self.glyph_span(role, head.to_owned())]];
        let mut used = terminal_width(head);
        for (number, item) in items.iter().enumerate() {
            let comma = if number + 1 < items.len() { "," } else { "" };
            let item = format!(" {item}{comma}");
            if number > 0 && used + terminal_width(&item) > self.width {
                lines.push(vec![self.span(Role::Plain, " ")]);
                used = 1;
            }
            used += terminal_width(&item);
            if let Some(line) = lines.last_mut() {
                line.push(self.span(Role::Plain, &item));
            }
        }
        lines
    }
}

/// How many starts and entries there are, in sentences.
pub(super) fn summary(timeline: &Timeline) -> Vec<String> {
    let rows = timeline.rows.len() as u64 + timeline.others.rows;
    let entries = match timeline.is_by_user {
        true => words::count(rows, "user", "users"),
        false => words::count(rows, "entry", "entries"),
    };
    let about = if timeline.is_estimated { "about " } else { "" };
    let most = words::thousands(timeline.most().into());
    let mut lines =
        vec![format!("{about}{} of {entries}, at most {most} in a minute", words::starts(timeline.total()))];
    if timeline.others.rows > 0 {
        let shown = words::thousands(timeline.rows.len() as u64);
        let more = words::thousands(timeline.others.rows);
        lines.push(format!("{shown} of them have a row; {more} more are counted above the rows (--rows N shows more)"));
    }
    if timeline.idle > 0 {
        let (entries, runs) = if timeline.idle == 1 { ("entry", "does") } else { ("entries", "do") };
        lines.push(format!("{} more {entries} {runs} not run in this time", words::thousands(timeline.idle)));
    }
    lines
}

fn role_of(class: OutcomeClass) -> Role {
    match class {
        OutcomeClass::Ok => Role::Ok,
        OutcomeClass::Running => Role::Running,
        OutcomeClass::Skipped => Role::Skipped,
        OutcomeClass::Failed => Role::Failed,
    }
}

/// What a character says: a higher one replaces a lower one.
fn rank(role: Role, character: char, glyphs: &Glyphs) -> u8 {
    match role {
        Role::Failed if character == glyphs.failed => 8,
        Role::Overlap => 7,
        Role::Running if character == glyphs.running => 6,
        Role::Skipped => 5,
        Role::Ok if character == glyphs.ok => 4,
        Role::Ok | Role::Running | Role::Failed => 3,
        Role::Coming => 2,
        _ => 1,
    }
}

/// Cuts or pads a text to exactly that many columns.
fn fit(text: &str, width: usize, glyphs: &Glyphs) -> String {
    if width == 0 {
        return String::new();
    }
    let mut kept = fit_width(text, width, glyphs.ellipsis);
    kept.extend(std::iter::repeat_n(' ', width.saturating_sub(terminal_width(&kept))));
    kept
}
