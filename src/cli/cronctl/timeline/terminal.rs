//! Draws a chart on a terminal: a row of blocks for each entry, higher where it starts more often.

use super::chart::{Chart, Label, length, starts};
use crate::cli::cronctl::output::Output;
use crate::cli::cronctl::screen;
use crate::report::format_count;
use std::fmt::Write;

/// The maximum number of crowded minutes and quiet times that are listed.
const NAMED: usize = 5;
/// The minimum width in columns. Narrower terminals wrap lines.
const NARROWEST: usize = 40;
/// The default width in columns.
const USUAL: usize = 80;
/// Blocks of one to eight eighths.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The capabilities of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terminal {
    /// The width of the terminal in columns.
    width: usize,
    has_colours: bool,
}

/// The division of the width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    user: usize,
    schedule: usize,
    /// The width of the label, without the two blanks after it.
    label: usize,
    /// The number of cells of the chart.
    pub(super) cells: usize,
    /// The width of each cell in columns.
    each: usize,
}

/// A style of ANSI terminals.
#[derive(Clone, Copy)]
enum Ink {
    Strong,
    Faint,
    Bar,
    Crowded,
    Quiet,
}

impl Terminal {
    /// The width is `COLUMNS`, else that of the terminal, else 80. Colours are used on a terminal, unless `NO_COLOR` is set.
    pub(super) fn of(out: &Output) -> Terminal {
        let width = screen::width(out).unwrap_or(USUAL).clamp(NARROWEST, 1_000);
        Terminal { width, has_colours: screen::has_colours(out) }
    }

    /// Divides the width between labels and chart. Labels get the width that they need, up to two fifths.
    pub(super) fn layout(self, labels: &[Label], minutes: usize) -> Layout {
        let widest = |part: fn(&Label) -> &str, most: usize| {
            labels.iter().map(|label| screen::cells(part(label))).max().unwrap_or(0).min(most)
        };
        let user = widest(|label| &label.user, 12);
        let schedule = widest(|label| &label.schedule, 16);
        let wanted = user + 2 + schedule + 2 + widest(|label| &label.command, 200);
        let label = wanted.clamp(ALL.len(), self.width * 2 / 5);
        let chart = self.width - label - 2;
        let cells = chart.min(minutes).max(1);
        Layout { user, schedule, label, cells, each: chart / cells }
    }

    fn paint(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Strong => "1",
            Ink::Faint => "2",
            Ink::Bar => "36",
            Ink::Crowded => "1;31",
            Ink::Quiet => "32",
        };
        if self.has_colours && !text.trim().is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The label of the row with all starts.
const ALL: &str = "all entries";

/// Draws a chart as text.
pub(super) fn draw(chart: &Chart, layout: &Layout, terminal: Terminal) -> String {
    let mut text = String::new();
    heading(chart, terminal, &mut text);
    axis(chart, layout, terminal, &mut text);
    sum(chart, layout, terminal, &mut text);
    for row in &chart.rows {
        let label = terminal.paint(Ink::Strong, &fit(&row.label.command, layout.command()));
        let (user, schedule) = (fit(&row.label.user, layout.user), fit(&row.label.schedule, layout.schedule));
        let bars: String = row.cells.iter().map(|starts| each(density(*starts, chart), layout)).collect();
        line(&mut text, &format!("{user}  {schedule}  {label}"), &terminal.paint(Ink::Bar, bars.trim_end()));
    }
    legend(chart, terminal, &mut text);
    text
}

fn line(text: &mut String, label: &str, bars: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{}", format!("{label}  {bars}").trim_end());
}

fn heading(chart: &Chart, terminal: Terminal, text: &mut String) {
    let (from, until) = (chart.date_and_time(0), chart.date_and_time(chart.minutes.len()));
    let title = format!("{from} to {until}, {}", chart.zone.name());
    let _ = writeln!(text, "{}", terminal.paint(Ink::Strong, &title));
    let entries = format_count(chart.rows.len(), "entry", "entries");
    let _ = writeln!(text, "{} of {entries}, at most {} in a minute", starts(chart.total()), chart.most());
    if chart.idle > 0 {
        let (entries, runs) = if chart.idle == 1 { ("entry", "does") } else { ("entries", "do") };
        let _ = writeln!(text, "{} more {entries} {runs} not run in this time", chart.idle);
    }
    text.push('\n');
}

/// Draws the time axis: labels above the columns, and a tick on each.
fn axis(chart: &Chart, layout: &Layout, terminal: Terminal, text: &mut String) {
    let columns = layout.cells * layout.each;
    let mut times = vec![' '; columns];
    let mut marks = vec![' '; columns];
    let mut free = 0;
    for tick in chart.ticks(columns / 8) {
        let column = chart.cell_of(tick.minute) * layout.each;
        if let Some(mark) = marks.get_mut(column) {
            *mark = if tick.is_midnight { '┃' } else { '╵' };
        }
        let end = column + tick.label.chars().count();
        if column >= free && end <= columns {
            for (place, c) in times.iter_mut().skip(column).zip(tick.label.chars()) {
                *place = c;
            }
            free = end + 1;
        }
    }
    let blank = " ".repeat(layout.label);
    line(text, &blank, &String::from_iter(times));
    line(text, &blank, &terminal.paint(Ink::Faint, String::from_iter(marks).trim_end()));
}

/// Draws the row of all entries: for each cell its minute with the most starts. Crowded cells are marked `!`, quiet times
/// `·`.
fn sum(chart: &Chart, layout: &Layout, terminal: Terminal, text: &mut String) {
    let bars: String = chart.peaks.iter().map(|peak| each(share(*peak, chart.most()), layout)).collect();
    let label = terminal.paint(Ink::Strong, &fit(ALL, layout.label));
    line(text, &label, &terminal.paint(Ink::Bar, bars.trim_end()));

    let mut marks = vec![' '; layout.cells];
    for quiet in chart.quiet(NAMED) {
        for cell in chart.cell_of(quiet.start)..=chart.cell_of(quiet.end - 1) {
            if let Some(mark) = marks.get_mut(cell).filter(|_| chart.peaks.get(cell) == Some(&0)) {
                *mark = '·';
            }
        }
    }
    for crowded in chart.crowded(NAMED) {
        if let Some(mark) = marks.get_mut(chart.cell_of(crowded.minute)) {
            *mark = '!';
        }
    }
    let painted: String = marks
        .iter()
        .map(|mark| {
            let ink = if *mark == '!' { Ink::Crowded } else { Ink::Quiet };
            terminal.paint(ink, &each(*mark, layout))
        })
        .collect();
    line(text, &" ".repeat(layout.label), painted.trim_end());
}

/// Lists the crowded minutes and the quiet times.
fn legend(chart: &Chart, terminal: Terminal, text: &mut String) {
    let crowded: Vec<String> =
        chart.crowded(NAMED).iter().map(|c| format!("{} {}", chart.when(c.minute), starts(c.starts))).collect();
    let quiet: Vec<String> = chart
        .quiet(NAMED)
        .iter()
        .map(|q| format!("{}-{} {}", chart.when(q.start), chart.when(q.end), length(q.len())))
        .collect();
    if !crowded.is_empty() || !quiet.is_empty() {
        text.push('\n');
    }
    if !crowded.is_empty() {
        let _ = writeln!(text, "{} {}", terminal.paint(Ink::Crowded, "! crowded:"), crowded.join(", "));
    }
    if !quiet.is_empty() {
        let _ = writeln!(text, "{} {}", terminal.paint(Ink::Quiet, "· quiet:  "), quiet.join(", "));
    }
}

impl Layout {
    /// The width that the label has left for the command.
    fn command(&self) -> usize {
        self.label.saturating_sub(self.user + self.schedule + 4)
    }
}

fn each(block: char, layout: &Layout) -> String {
    std::iter::repeat_n(block, layout.each).collect()
}

/// The block for a cell of a row. A full block means a start in every minute.
fn density(starts: u32, chart: &Chart) -> char {
    let eighths = (f64::from(starts) * 8.0 / chart.minutes_per_cell()).ceil();
    block(eighths.min(8.0) as u32)
}

/// The block for a cell of the sum. A full block means the maximum of the chart.
fn share(starts: u32, most: u32) -> char {
    block((u64::from(starts) * 8).div_ceil(u64::from(most.max(1))).min(8) as u32)
}

fn block(eighths: u32) -> char {
    eighths.checked_sub(1).and_then(|at| BLOCKS.get(at as usize)).copied().unwrap_or(' ')
}

/// Cuts or pads a text to exactly that many columns.
fn fit(text: &str, width: usize) -> String {
    if width == 0 {
        return String::new();
    }
    let mut kept = screen::fit(text, width);
    kept.extend(std::iter::repeat_n(' ', width.saturating_sub(screen::cells(&kept))));
    kept
}
