//! Draws a chart as a self-contained SVG file that is readable on light and dark backgrounds.

use super::chart::{Chart, Label, Range, Row, length, starts};
use crate::report::format_count;
use std::fmt::Write;

/// The width of the image. Its height depends on the number of rows.
const WIDTH: f64 = 1_280.0;
const MARGIN: f64 = 24.0;
/// The left edge of the chart.
const LEFT: f64 = 384.0;
const RIGHT: f64 = WIDTH - MARGIN;
/// The top of the panel with the starts of all entries, and its height.
const PANEL: f64 = 112.0;
const PANEL_HEIGHT: f64 = 96.0;
/// The top of the first row.
const ROWS: f64 = PANEL + PANEL_HEIGHT + 40.0;
const ROW_HEIGHT: f64 = 26.0;
/// The minimum width of a mark, so that it is visible.
const THINNEST: f64 = 2.0;
/// The maximum number of cells: the minutes of a day. More could not be distinguished.
const MOST_CELLS: usize = 1_440;
/// The approximate width of the label of a tick.
const LABEL: f64 = 44.0;
/// The approximate width of a character of small text.
const LETTER: f64 = 6.3;
/// The maximum number of quiet times that are marked.
const MARKED: usize = 4;
/// The number of crowded minutes that are tried as labels; most overlap.
const MOST_NAMED: usize = 40;

const STYLE: &str = "\
.paper{fill:#fff}.ink{fill:#1c2733}.faint{fill:#66727f}.stripe{fill:#f3f6f9}.grid{stroke:#dde3ea}\
.day{stroke:#9aa7b5}.bar{fill:#2f6f9f}.run{fill:#2f6f9f}.crowd{fill:#c8452d}.quiet{fill:#4f9d69;fill-opacity:.13}\
.calm{fill:#2f7a4a}\
text{font:13px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}\
.title{font-size:20px;font-weight:600}.small{font-size:11px}\
.code{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:12px}\
@media (prefers-color-scheme:dark){.paper{fill:#12181f}.ink{fill:#e6edf3}.faint{fill:#93a1b0}.stripe{fill:#18212b}\
.grid{stroke:#27323e}.day{stroke:#566575}.bar{fill:#6cb4e6}.run{fill:#6cb4e6}.crowd{fill:#ff7b61}\
.quiet{fill:#63c384;fill-opacity:.14}.calm{fill:#7ed6a0}}";

/// The number of cells for a range: one per minute, up to the maximum.
pub(super) fn cells(range: Range) -> usize {
    range.minutes().clamp(1, MOST_CELLS)
}

/// Draws a chart as SVG text.
pub(super) fn draw(chart: &Chart) -> String {
    let rows_end = ROWS + ROW_HEIGHT * chart.rows.len().max(1) as f64;
    let height = rows_end + 44.0;
    let mut svg = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-labelledby=\"title\">\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>"
    );
    heading(chart, &mut svg);
    stripes(chart, &mut svg);
    quiet_times(chart, rows_end, &mut svg);
    axis(chart, rows_end, &mut svg);
    all_starts(chart, &mut svg);
    for (nth, row) in chart.rows.iter().enumerate() {
        draw_row(chart, row, ROWS + ROW_HEIGHT * nth as f64, &mut svg);
    }
    if chart.rows.is_empty() {
        let (x, y) = (LEFT + 12.0, ROWS + 17.0);
        let _ = writeln!(svg, "<text class=\"faint\" x=\"{x}\" y=\"{y}\">nothing runs in this time</text>");
    }
    svg.push_str("</svg>\n");
    svg
}

fn heading(chart: &Chart, svg: &mut String) {
    let zone = escape(chart.zone.name());
    let (from, until) = (chart.date_and_time(0), chart.date_and_time(chart.minutes.len()));
    let mut summary = format!(
        "{} of {}, at most {} in a minute",
        starts(chart.total()),
        format_count(chart.rows.len(), "entry", "entries"),
        chart.most()
    );
    if chart.idle > 0 {
        let _ = write!(summary, "; {} more not in this time", chart.idle);
    }
    let _ = writeln!(
        svg,
        "<title id=\"title\">When cron runs: {from} to {until}, {zone}</title>\n\
         <text class=\"ink title\" x=\"{MARGIN}\" y=\"40\">{from} to {until}, {zone}</text>\n\
         <text class=\"faint\" x=\"{MARGIN}\" y=\"64\">{summary}</text>"
    );
}

fn stripes(chart: &Chart, svg: &mut String) {
    for nth in (0..chart.rows.len()).step_by(2) {
        let y = ROWS + ROW_HEIGHT * nth as f64;
        let width = RIGHT - MARGIN + 16.0;
        let _ = writeln!(
            svg,
            "<rect class=\"stripe\" x=\"{}\" y=\"{y}\" width=\"{width}\" height=\"{ROW_HEIGHT}\" rx=\"3\"/>",
            MARGIN - 8.0
        );
    }
}

/// Draws the longest times without a start, in the background.
fn quiet_times(chart: &Chart, bottom: f64, svg: &mut String) {
    for quiet in chart.quiet(MARKED) {
        let (left, right) = (x(chart, quiet.start), x(chart, quiet.end));
        let (from, until, long) = (chart.when(quiet.start), chart.when(quiet.end), length(quiet.len()));
        let height = bottom - PANEL;
        let width = right - left;
        let _ = write!(
            svg,
            "<g><title>quiet: {from} to {until}, {long}</title>\
             <rect class=\"quiet\" x=\"{left:.1}\" y=\"{PANEL}\" width=\"{width:.1}\" height=\"{height}\"/>"
        );
        let label = format!("quiet {long}");
        // A label that does not fit is shown in the tooltip only.
        if width > label.len() as f64 * LETTER {
            let (middle, y) = (left + width / 2.0, PANEL + PANEL_HEIGHT / 2.0);
            let _ = write!(
                svg,
                "<text class=\"calm small\" x=\"{middle:.1}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>"
            );
        }
        svg.push_str("</g>\n");
    }
}

/// Draws lines at round times through panel and rows, with labels between both and below the rows.
fn axis(chart: &Chart, bottom: f64, svg: &mut String) {
    let mut label_end = f64::NEG_INFINITY;
    for tick in chart.ticks(16) {
        let x = x(chart, tick.minute);
        let (class, weight) = if tick.is_midnight { ("day", "1.5") } else { ("grid", "1") };
        for (top, end) in [(PANEL, PANEL + PANEL_HEIGHT), (ROWS, bottom)] {
            let _ = writeln!(
                svg,
                "<line class=\"{class}\" stroke-width=\"{weight}\" x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{end}\"/>"
            );
        }
        // The labels of an hour that occurs twice would overlap.
        if x - LABEL / 2.0 < label_end {
            continue;
        }
        label_end = x + LABEL / 2.0;
        for y in [PANEL + PANEL_HEIGHT + 22.0, bottom + 20.0] {
            let label = &tick.label;
            let _ = writeln!(svg, "<text class=\"faint\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{label}</text>");
        }
    }
    let zone = escape(chart.zone.name());
    let y = bottom + 20.0;
    let _ = writeln!(svg, "<text class=\"faint small\" x=\"{MARGIN}\" y=\"{y}\">time in {zone}</text>");
}

/// Draws the panel: for each cell its minute with the most starts, crowded ones in another colour and with their number.
fn all_starts(chart: &Chart, svg: &mut String) {
    let base = PANEL + PANEL_HEIGHT;
    let most = chart.most().max(1);
    let middle = PANEL + PANEL_HEIGHT / 2.0;
    let right = LEFT - 10.0;
    let _ = writeln!(
        svg,
        "<text class=\"ink\" x=\"{MARGIN}\" y=\"{middle}\">All entries</text>\n\
         <text class=\"faint small\" x=\"{MARGIN}\" y=\"{}\">starts in a minute</text>\n\
         <text class=\"faint small\" x=\"{right}\" y=\"{}\" text-anchor=\"end\">{most}</text>\n\
         <text class=\"faint small\" x=\"{right}\" y=\"{base}\" text-anchor=\"end\">0</text>\n\
         <line class=\"day\" x1=\"{LEFT}\" y1=\"{base}\" x2=\"{RIGHT}\" y2=\"{base}\"/>",
        middle + 16.0,
        PANEL + 10.0
    );
    let crowd = chart.crowd();
    for run in equal_runs(&chart.peaks) {
        let height = PANEL_HEIGHT * f64::from(run.value) / f64::from(most);
        let class = if run.value >= crowd { "crowd" } else { "bar" };
        let (left, width) = span(chart, &run.cells);
        let when = time_range(chart, &run.cells);
        let most = starts(run.value);
        let in_a_minute = if run.cells.len() > 1 || chart.minutes_per_cell() > 1.0 { " in a minute" } else { "" };
        let _ = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\">\
             <title>{when}: {most}{in_a_minute}</title></rect>",
            base - height
        );
    }
    name_crowded(chart, base, svg);
}

/// Labels the bars of the most crowded minutes.
fn name_crowded(chart: &Chart, base: f64, svg: &mut String) {
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for crowded in chart.crowded(MOST_NAMED) {
        let label = format!("{} {}", chart.when(crowded.minute), starts(crowded.starts));
        let width = label.len() as f64 * LETTER;
        let left = (x(chart, crowded.minute) - width / 2.0).clamp(LEFT, RIGHT - width);
        // Labels must not overlap. Minutes with more starts come first and take precedence.
        if taken.iter().any(|(begin, end)| left < *end && left + width > *begin) {
            continue;
        }
        taken.push((left, left + width + LETTER));
        let y = base - PANEL_HEIGHT * f64::from(crowded.starts) / f64::from(chart.most().max(1)) - 6.0;
        let _ = writeln!(svg, "<text class=\"crowd small\" x=\"{left:.1}\" y=\"{y:.1}\">{label}</text>");
    }
}

fn draw_row(chart: &Chart, row: &Row, top: f64, svg: &mut String) {
    let Label { user, schedule, command } = &row.label;
    let y = top + ROW_HEIGHT / 2.0 + 4.5;
    let whole = escape(&format!("{user}  {schedule}  {command}"));
    let _ = writeln!(
        svg,
        "<g><title>{whole}</title>\
         <text class=\"faint code\" x=\"{MARGIN}\" y=\"{y}\">{}</text>\
         <text class=\"ink code\" x=\"{}\" y=\"{y}\">{}</text></g>",
        escape(&clip(schedule, 15)),
        MARGIN + 120.0,
        escape(&clip(&if user.is_empty() { command.clone() } else { format!("{user}: {command}") }, 31)),
    );
    let (mark_top, mark_height) = (top + 6.0, ROW_HEIGHT - 12.0);
    for run in equal_runs(&row.cells) {
        let (left, width) = span(chart, &run.cells);
        // The colour is full for a start in every minute, and lighter for fewer.
        let dense = (f64::from(run.value) / chart.minutes_per_cell()).min(1.0);
        let opacity = if run.cells.len() > 1 { 0.4 + 0.5 * dense } else { 1.0 };
        let number = u64::from(run.value) * run.cells.len() as u64;
        let _ = writeln!(
            svg,
            "<rect class=\"run\" fill-opacity=\"{opacity:.2}\" x=\"{left:.1}\" y=\"{mark_top}\" width=\"{width:.1}\" \
             height=\"{mark_height}\" rx=\"1\"><title>{}: {}\n{}</title></rect>",
            time_range(chart, &run.cells),
            starts(number),
            escape(command)
        );
    }
}

/// A group of neighbouring cells with the same number of starts.
struct EqualRun {
    value: u32,
    cells: std::ops::Range<usize>,
}

/// Joins neighbouring cells that are equal and not empty, so that a job that runs each minute is one mark instead of
/// thousands.
fn equal_runs(cells: &[u32]) -> Vec<EqualRun> {
    let mut runs: Vec<EqualRun> = Vec::new();
    for (cell, value) in cells.iter().enumerate().filter(|(_, value)| **value > 0) {
        match runs.last_mut() {
            Some(last) if last.value == *value && last.cells.end == cell => last.cells.end = cell + 1,
            _ => runs.push(EqualRun { value: *value, cells: cell..cell + 1 }),
        }
    }
    runs
}

/// The left edge and the width of cells, at least the minimum width.
fn span(chart: &Chart, cells: &std::ops::Range<usize>) -> (f64, f64) {
    let scale = (RIGHT - LEFT) / chart.peaks.len().max(1) as f64;
    let left = LEFT + cells.start as f64 * scale;
    let width = (cells.len() as f64 * scale).max(THINNEST);
    (left.min(RIGHT - width), width)
}

/// The horizontal position at which a minute begins.
fn x(chart: &Chart, minute: usize) -> f64 {
    LEFT + (RIGHT - LEFT) * minute as f64 / chart.minutes.len().max(1) as f64
}

/// The local time of cells: `03:00`, `03:00 to 04:00`.
fn time_range(chart: &Chart, cells: &std::ops::Range<usize>) -> String {
    let minute = |cell: usize| (cell * chart.minutes.len()).div_ceil(chart.peaks.len().max(1));
    let (first, end) = (minute(cells.start), minute(cells.end));
    if end <= first + 1 { chart.when(first) } else { format!("{} to {}", chart.when(first), chart.when(end)) }
}

fn clip(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// Escapes text for XML, and removes characters that XML 1.0 does not allow.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_break_out_of_the_picture() {
        assert_eq!(escape("a <b> & \"c\" 'd'\u{7}"), "a &lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;");
    }

    #[test]
    fn equal_neighbours_become_one_mark() {
        let runs: Vec<_> = equal_runs(&[0, 1, 1, 2, 0, 2]).iter().map(|r| (r.value, r.cells.clone())).collect();
        assert_eq!(runs, [(1, 1..3), (2, 3..4), (2, 5..6)]);
    }
}
