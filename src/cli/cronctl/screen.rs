//! How values are shown to people: columns, colours, relative times.

use super::error::Error;
use super::output::Output;
use super::system_state::SystemState;
use crate::crontab::{fit_width, printable, terminal_width};
use crate::report::text;
use crate::schedule::{Timestamp, Zone, distance};
use crate::sys::terminal;
use crate::timeline::{Charset, Role};
use crate::varlink::Time;
use std::sync::Arc;

/// Width of the gap between two columns, in characters.
const GAP: usize = 2;
/// The narrowest that a column is made.
const NARROWEST: usize = 6;
/// What is left of a column that is cut before others.
const BEGINNING: usize = 12;

/// Where and when something is shown.
#[derive(Clone, Debug)]
pub(super) struct Screen {
    /// Columns of the terminal. None: lines are not cut.
    pub(super) width: Option<usize>,
    pub(super) has_colours: bool,
    pub(super) now: Timestamp,
    pub(super) zone: Arc<Zone>,
}

/// A colour, by what it means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TextStyle {
    #[default]
    Plain,
    Heading,
    Bad,
    Good,
    Held,
    /// Dimmed: text of minor importance.
    Dim,
    /// A start in the future.
    Coming,
    /// A run that has not ended.
    Live,
    /// To be noticed, but not bad.
    Notable,
}

/// A text in a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    style: TextStyle,
}

/// A column: its heading, and the most that it takes where lines are cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) heading: &'static str,
    pub(super) most: usize,
}

/// A table whose columns get their widths from the first rows that are printed.
#[derive(Debug)]
pub(super) struct Table<'a> {
    screen: &'a Screen,
    columns: &'a [Column],
    widths: Option<Vec<usize>>,
    indent: &'static str,
    rows: Vec<Vec<Cell>>,
    /// The column that is shortened first where the rows are too wide.
    cut_first: Option<usize>,
}

impl Screen {
    /// The width is `COLUMNS`, else that of the terminal. Colours are used on a terminal, unless `NO_COLOR` is set.
    pub(super) fn of(out: &Output, system: &SystemState) -> Screen {
        let zone = Arc::clone(system.system_zone());
        Screen { width: width(out), has_colours: has_colours(out), now: system.now(), zone }
    }

    /// Surrounds a text with the escape sequences of its colour, if colours are used.
    pub(super) fn paint(&self, style: TextStyle, text: &str) -> String {
        let code = match style {
            TextStyle::Plain => return text.to_owned(),
            TextStyle::Heading => "1",
            TextStyle::Bad => "31",
            TextStyle::Good => "32",
            TextStyle::Held => "33",
            TextStyle::Dim => "2",
            TextStyle::Coming => "36",
            TextStyle::Live => "1;32",
            TextStyle::Notable => "1;35",
        };
        if self.has_colours && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// `now`, `12 s ago`, `3 min ago`, or `in 12 min`.
    pub(super) fn relative(&self, at: Time) -> String {
        text::relative(at.timestamp().0.saturating_sub(self.now.0))
    }

    /// How far off a time is, in one short word or two: `in 12m`, `5s ago`.
    pub(super) fn far_off(&self, at: Timestamp) -> String {
        let seconds = at.0.saturating_sub(self.now.0);
        let distance = distance(seconds.unsigned_abs(), ["d", "h", "m", "s"]);
        if seconds < 0 { format!("{distance} ago") } else { format!("in {distance}") }
    }

    /// Date and time in the system's zone; of today the time alone.
    pub(super) fn clock(&self, at: Time) -> String {
        let text = self.full(at);
        match text.split_once(' ') {
            Some((day, time)) if self.zone.to_rfc3339(self.now).starts_with(day) => time.to_owned(),
            _ => text,
        }
    }

    /// Date and time in the system's zone.
    pub(super) fn full(&self, at: Time) -> String {
        let text = self.zone.to_rfc3339(at.timestamp());
        text.get(..19).map_or(text.clone(), |text| text.replace('T', " "))
    }

    /// Seconds from a moment until now.
    pub(super) fn seconds_since(&self, at: Time) -> f64 {
        self.now.0.saturating_sub(at.timestamp().0).max(0) as f64
    }
}

/// Columns that a line may have. None: lines are not cut.
pub(super) fn width(out: &Output) -> Option<usize> {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).filter(|n| *n > 0);
    columns.or_else(|| out.is_terminal().then(terminal::columns).flatten().map(usize::from))
}

/// Whether colours may be used.
pub(super) fn has_colours(out: &Output) -> bool {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    out.is_terminal() && !no_colour && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The characters that the locale of the environment has. Without a locale they are those of Unicode, as terminals have them nowadays.
pub(super) fn charset() -> Charset {
    let values = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(std::env::var_os);
    charset_of(values.map(|value| value.to_string_lossy().into_owned()))
}

/// The same by the values of the variables, in the order in which they count.
fn charset_of(mut values: impl Iterator<Item = String>) -> Charset {
    match values.find(|value| !value.is_empty()).map(|value| value.to_ascii_lowercase()) {
        Some(locale) if !locale.contains("utf-8") && !locale.contains("utf8") => Charset::Ascii,
        _ => Charset::Unicode,
    }
}

/// The colour of a piece of a timeline.
pub(super) fn ink_of(role: Role) -> TextStyle {
    match role {
        Role::Plain => TextStyle::Plain,
        Role::Title => TextStyle::Heading,
        Role::Faint | Role::Quiet => TextStyle::Dim,
        Role::Ok => TextStyle::Good,
        Role::Running => TextStyle::Live,
        Role::Skipped | Role::Clock => TextStyle::Held,
        Role::Failed => TextStyle::Bad,
        Role::Coming => TextStyle::Coming,
        Role::Overlap | Role::Crowded | Role::Now => TextStyle::Notable,
    }
}

impl Cell {
    /// A text from a crontab or a job, made harmless for terminals.
    pub(super) fn of(text: &str) -> Cell {
        Cell::painted(TextStyle::Plain, text)
    }

    /// A cell in a colour.
    pub(super) fn painted(style: TextStyle, text: &str) -> Cell {
        Cell { text: printable(text.as_bytes()), style }
    }
}

impl Cell {
    /// Its text, harmless for terminals, and its colour.
    pub(super) fn into_parts(self) -> (String, TextStyle) {
        (self.text, self.style)
    }
}

impl<'a> Table<'a> {
    pub(super) fn new(screen: &'a Screen, columns: &'a [Column], indent: &'static str) -> Table<'a> {
        Table { screen, columns, widths: None, indent, rows: Vec::new(), cut_first: None }
    }

    /// Cuts this column before others where a line is too long.
    pub(super) fn cutting_first(self, column: usize) -> Table<'a> {
        Table { cut_first: Some(column), ..self }
    }

    pub(super) fn add(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// Prints the rows that were added.
    pub(super) fn print(&mut self, out: &mut Output) -> Result<(), Error> {
        let rows = std::mem::take(&mut self.rows);
        let is_first = self.widths.is_none();
        let widths = self.widths.get_or_insert_with(|| {
            let available = self.screen.width.map(|width| width.saturating_sub(self.indent.len()));
            widths(self.columns, &rows, available, self.cut_first)
        });
        if is_first {
            let headings: Vec<Cell> =
                self.columns.iter().map(|column| Cell::painted(TextStyle::Heading, column.heading)).collect();
            out.text(&line(self.screen, self.indent, &headings, widths))?;
        }
        for row in &rows {
            out.text(&line(self.screen, self.indent, row, widths))?;
        }
        out.flush()
    }
}

fn line(screen: &Screen, indent: &str, row: &[Cell], widths: &[usize]) -> String {
    let mut text = indent.to_owned();
    let is_cut = screen.width.is_some();
    for (number, (cell, width)) in row.iter().zip(widths).enumerate().filter(|(_, (_, width))| **width > 0) {
        let shown = if is_cut { fit(&cell.text, *width) } else { cell.text.clone() };
        let is_last = row.iter().zip(widths).skip(number + 1).all(|(_, width)| *width == 0);
        let blanks = if is_last { 0 } else { width.saturating_sub(cells(&shown)) + GAP };
        text += &screen.paint(cell.style, &shown);
        text.extend(std::iter::repeat_n(' ', blanks));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// The widths of columns: what their texts need, and less if that is more than the available width. A last column for which nothing is left is left out.
/// `cut_first` loses most of its width before the others lose any.
pub(super) fn widths(
    columns: &[Column],
    rows: &[Vec<Cell>],
    available: Option<usize>,
    cut_first: Option<usize>,
) -> Vec<usize> {
    let mut widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(number, column)| {
            let widest = rows.iter().filter_map(|row| row.get(number)).map(|cell| cells(&cell.text)).max().unwrap_or(0);
            let wanted = widest.max(column.heading.len());
            if available.is_some() { wanted.min(column.most) } else { wanted }
        })
        .collect();
    let Some(available) = available else { return widths };
    let total = |widths: &[usize]| widths.iter().filter(|width| **width > 0).map(|width| width + GAP).sum::<usize>();
    while total(&widths) > available + GAP {
        if let Some(width) = cut_first.and_then(|number| widths.get_mut(number)).filter(|width| **width > BEGINNING) {
            *width -= 1;
            continue;
        }
        // The widest column has the most to lose; the last of them first.
        let widest = (0..widths.len()).max_by_key(|number| widths.get(*number).copied());
        match widest.and_then(|number| widths.get_mut(number)) {
            Some(width) if *width > NARROWEST => *width -= 1,
            _ => break,
        }
    }
    widths
}

/// How many cells of a terminal a text takes.
pub(super) fn cells(text: &str) -> usize {
    terminal_width(text)
}

/// A text cut to at most so many cells.
pub(super) fn fit(text: &str, width: usize) -> String {
    fit_width(text, width, '…')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(width: Option<usize>, has_colours: bool) -> Screen {
        Screen { width, has_colours, now: Timestamp(1_795_774_500), zone: Zone::utc() }
    }

    #[test]
    fn times_are_shown_from_now() {
        let screen = screen(None, false);
        for (seconds, text) in [
            (0, "now"),
            (-1, "1 s ago"),
            (-59, "59 s ago"),
            (-60, "1 min ago"),
            (-3_599, "59 min ago"),
            (-3_600, "1 h ago"),
            (-172_799, "47 h ago"),
            (-172_800, "2 d ago"),
            (12 * 60, "in 12 min"),
            (30, "in 30 s"),
            (86_400 * 400, "in 400 d"),
        ] {
            assert_eq!(screen.relative(Time::from(Timestamp(screen.now.0 + seconds))), text, "{seconds}");
        }
        for (seconds, text) in
            [(0, "in 0s"), (12 * 60 + 59, "in 12m"), (7_200, "in 2h"), (86_400 * 3, "in 3d"), (-5, "5s ago")]
        {
            assert_eq!(screen.far_off(Timestamp(screen.now.0 + seconds)), text, "{seconds}");
        }
        assert_eq!(screen.clock(Time::from(screen.now)), "10:15:00");
        assert_eq!(screen.clock(Time::from(Timestamp(screen.now.0 + 86_400))), "2026-11-28 10:15:00");
    }

    #[test]
    fn a_locale_without_utf_8_gets_ascii() {
        for (values, charset) in [
            (&["", "", "C"][..], Charset::Ascii),
            (&["POSIX", "", "en_US.UTF-8"], Charset::Ascii),
            (&["", "de_DE.utf8", "C"], Charset::Unicode),
            (&["C.UTF-8"], Charset::Unicode),
            (&["de_DE@euro"], Charset::Ascii),
            (&[], Charset::Unicode),
        ] {
            assert_eq!(charset_of(values.iter().map(|value| (*value).to_owned())), charset, "{values:?}");
        }
    }

    #[test]
    fn columns_are_aligned_cut_and_painted() {
        let columns = [Column { heading: "JOB", most: 40 }, Column { heading: "STATE", most: 40 }];
        let rows = vec![
            vec![Cell::of("alice:a-very-long-name-of-a-job"), Cell::painted(TextStyle::Bad, "failed")],
            vec![Cell::of("b\u{1b}[2J"), Cell::of("日本")],
        ];
        let drawn = |screen: &Screen| {
            let widths = widths(&columns, &rows, screen.width, None);
            rows.iter().map(|row| line(screen, "", row, &widths)).collect::<String>()
        };
        assert_eq!(
            drawn(&screen(None, false)),
            "alice:a-very-long-name-of-a-job  failed\nb\\x1b[2J                         日本\n"
        );
        assert_eq!(drawn(&screen(Some(20), false)), "alice:a-ver…  failed\nb\\x1b[2J      日本\n");
        assert_eq!(drawn(&screen(Some(20), true)), "alice:a-ver…  \x1b[31mfailed\x1b[0m\nb\\x1b[2J      日本\n");
        // What is cut first loses the most, and no more than what the others need.
        let rows = [vec![Cell::of("alice:a-long-name-of-a-job"), Cell::of("a command of twenty-eight cells")]];
        for (width, expected) in [(60, [26, 31]), (50, [26, 22]), (44, [26, 16]), (38, [24, 12])] {
            assert_eq!(widths(&columns, &rows, Some(width), Some(1)), expected, "{width}");
        }
    }
}
