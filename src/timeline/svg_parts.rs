//! The parts that all of an SVG drawing needs: style sheet, layout, texts.

use super::axis::Range;
use super::model::Timeline;
use crate::schedule::Timestamp;
use std::fmt::Write;

/// The style sheet of drawings. A page that has them includes it; its colours are `--tl-ink` and so on, with defaults here.
pub const STYLE: &str = "\
.tl{--tl_paper:var(--tl-paper,#ffffff);--tl_ink:var(--tl-ink,#1c2430);--tl_faint:var(--tl-faint,#5b6775);\
--tl_grid:var(--tl-grid,#e4e9ee);--tl_day:var(--tl-day,#b4bfca);--tl_stripe:var(--tl-stripe,#f5f7f9);\
--tl_weekend:var(--tl-weekend,#eef1f5);--tl_ok:var(--tl-ok,#3b78b5);--tl_failed:var(--tl-failed,#c9302c);\
--tl_running:var(--tl-running,#1c8a5f);--tl_skipped:var(--tl-skipped,#9a6700);--tl_coming:var(--tl-coming,#7d8fa3);\
--tl_overlap:var(--tl-overlap,#8046b8);--tl_now:var(--tl-now,#d6336c);--tl_clock:var(--tl-clock,#a04b00);\
--tl_quiet:var(--tl-quiet,#6fb58d)}\
@media (prefers-color-scheme:dark){.tl{--tl_paper:var(--tl-paper,#11171d);--tl_ink:var(--tl-ink,#e6edf3);\
--tl_faint:var(--tl-faint,#9aa7b5);--tl_grid:var(--tl-grid,#232d37);--tl_day:var(--tl-day,#4b5968);\
--tl_stripe:var(--tl-stripe,#161e26);--tl_weekend:var(--tl-weekend,#1a232c);--tl_ok:var(--tl-ok,#5b9fdd);\
--tl_failed:var(--tl-failed,#ff6b5e);--tl_running:var(--tl-running,#3fc58d);--tl_skipped:var(--tl-skipped,#d9a638);\
--tl_coming:var(--tl-coming,#8496a8);--tl_overlap:var(--tl-overlap,#b78be6);--tl_now:var(--tl-now,#ff7aa8);\
--tl_clock:var(--tl-clock,#f0a35e);--tl_quiet:var(--tl-quiet,#3d7d5b)}}\
.tl{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;max-width:100%;height:auto}\
.tl-title{font-size:19px;font-weight:600}.tl-small{font-size:11px}.tl-bold{font-weight:600}\
.tl-code{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:11px}\
.tl-paper{fill:var(--tl_paper)}.tl-ink{fill:var(--tl_ink)}.tl-faint{fill:var(--tl_faint)}\
.tl-stripe{fill:var(--tl_stripe)}.tl-weekend{fill:var(--tl_weekend)}.tl-grid{stroke:var(--tl_grid)}\
.tl-day{stroke:var(--tl_day)}.tl-ok{fill:var(--tl_ok)}.tl-failed{fill:var(--tl_failed)}\
.tl-running{fill:var(--tl_running)}.tl-coming{fill:var(--tl_coming)}.tl-overlap{fill:var(--tl_overlap)}\
.tl-skipped{stroke:var(--tl_skipped)}.tl-now{fill:var(--tl_now)}.tl-now-line{stroke:var(--tl_now)}\
.tl-clock{fill:var(--tl_clock)}text.tl-clock{paint-order:stroke;stroke:var(--tl_paper);stroke-width:3px;stroke-linejoin:round}\
.tl-clock-line{stroke:var(--tl_clock)}.tl-quiet{fill:var(--tl_quiet)}";

/// The classes with a fill, and the light default for viewers without custom properties.
const FILLS: [(&str, &str); 13] = [
    ("paper", "#ffffff"),
    ("ink", "#1c2430"),
    ("faint", "#5b6775"),
    ("stripe", "#f5f7f9"),
    ("weekend", "#eef1f5"),
    ("ok", "#3b78b5"),
    ("failed", "#c9302c"),
    ("running", "#1c8a5f"),
    ("coming", "#7d8fa3"),
    ("overlap", "#8046b8"),
    ("now", "#d6336c"),
    ("clock", "#a04b00"),
    ("quiet", "#6fb58d"),
];
/// The classes with a stroke.
const STROKES: [(&str, &str); 5] = [
    ("grid", "#e4e9ee"),
    ("day", "#b4bfca"),
    ("skipped", "#9a6700"),
    ("now-line", "#d6336c"),
    ("clock-line", "#a04b00"),
];

pub(super) const MARGIN: f64 = 20.0;
const NARROWEST: u32 = 480;
const WIDEST: u32 = 4_000;
/// The height of the panel with the starts a minute.
pub(super) const PANEL: f64 = 72.0;
pub(super) const ROW: f64 = 34.0;
/// The approximate width of a character of small text, and of text of fixed width.
pub(super) const CHARACTER_WIDTH: f64 = 6.2;
const CODE_CHARACTER_WIDTH: f64 = 6.8;
/// The size of a drawing, and whether it is a file of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SvgOptions {
    /// The width in pixels. The height depends on the rows.
    pub width: u32,
    /// A beginning of ids that no other drawing of the document has: a letter, then letters, digits and hyphens.
    pub id: String,
    /// Whether it is a file of its own, with the style sheet and a heading.
    pub is_file: bool,
}

/// Positions of the parts of a drawing, in pixels.
pub(super) struct Layout {
    pub(super) width: f64,
    /// The edges of the chart.
    pub(super) left: f64,
    pub(super) right: f64,
    /// The baselines of the labels of the axis.
    pub(super) periods: f64,
    pub(super) times: f64,
    /// The panel with the starts a minute.
    pub(super) panel: f64,
    pub(super) base: f64,
    /// Where the first row begins and the last one ends, in pixels from the top.
    pub(super) rows: f64,
    pub(super) rows_end: f64,
    pub(super) height: f64,
    pub(super) range: Range,
}

impl Layout {
    /// The layout with so many lines in the heading, and notes below.
    pub(super) fn of(timeline: &Timeline, options: &SvgOptions, lines: usize, notes: usize) -> Layout {
        let width = f64::from(options.width.clamp(NARROWEST, WIDEST));
        let left = MARGIN + (width * 0.24).clamp(130.0, 300.0);
        let top = if options.is_file { 52.0 + 18.0 * lines as f64 } else { 4.0 };
        let (periods, times, panel) = (top + 16.0, top + 34.0, top + 62.0);
        let base = panel + PANEL;
        let rows = base + 16.0;
        let rows_end = rows + ROW * timeline.rows.len().max(1) as f64;
        let notes = notes as f64 * 17.0;
        let height = rows_end + 40.0 + notes;
        Layout {
            width,
            left,
            right: width - MARGIN,
            periods,
            times,
            panel,
            base,
            rows,
            rows_end,
            height,
            range: timeline.range,
        }
    }

    /// The horizontal position of a moment.
    pub(super) fn x(&self, at: Timestamp) -> f64 {
        self.left + (self.right - self.left) * self.range.share(at)
    }

    /// The left edge and the width of a range of time that is at least so wide.
    pub(super) fn extent(&self, from: Timestamp, until: Timestamp, least: f64) -> (f64, f64) {
        let left = self.x(from);
        let width = (self.x(until) - left).max(least);
        (left.min(self.right - width).max(self.left), width)
    }

    /// The top of a row.
    pub(super) fn row(&self, number: usize) -> f64 {
        self.rows + ROW * number as f64
    }
}

/// A class with a fill, for the attributes of an element.
pub(super) fn fill(class: &str) -> String {
    let colour = FILLS.iter().find(|(name, _)| *name == class).map_or("#000000", |(_, colour)| colour);
    format!("class=\"tl-{class}\" fill=\"{colour}\"")
}

/// The attributes of a shape whose stroke has the colour of this class.
pub(super) fn stroke(class: &str) -> String {
    let colour = STROKES.iter().find(|(name, _)| *name == class).map_or("#000000", |(_, colour)| colour);
    format!("class=\"tl-{class}\" stroke=\"{colour}\"")
}

/// Writes a text. `more` are further classes, with their attributes for viewers without style sheets.
pub(super) fn text(svg: &mut String, class: &str, more: &str, x: f64, y: f64, words: &str) {
    let colour = FILLS.iter().find(|(name, _)| *name == class).map_or("#000000", |(_, colour)| colour);
    let attributes = match more {
        "title" => " font-size=\"19\" font-weight=\"600\"",
        "small" => " font-size=\"11\"",
        "bold" => " font-weight=\"600\"",
        "code" => " font-size=\"11\" font-family=\"ui-monospace,'DejaVu Sans Mono',monospace\"",
        _ => "",
    };
    let more = if more.is_empty() { String::new() } else { format!(" tl-{more}") };
    let words = escape(words);
    let _ = writeln!(
        svg,
        "<text class=\"tl-{class}{more}\" fill=\"{colour}\"{attributes} x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>"
    );
}

/// So many characters of fixed width fit into the labels of rows.
pub(super) fn label_room(layout: &Layout) -> (usize, usize) {
    let room = layout.left - MARGIN - 14.0;
    ((room / (CHARACTER_WIDTH + 0.8)) as usize, (room / CODE_CHARACTER_WIDTH) as usize)
}

pub(super) const LABEL_LEFT: f64 = MARGIN;

/// Escapes text for XML, and removes characters that XML 1.0 does not allow.
pub(super) fn escape(text: &str) -> String {
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
    fn viewers_without_custom_properties_get_the_light_colours_of_the_style_sheet() {
        for (class, colour) in FILLS.iter().chain(&STROKES) {
            let name = class.strip_suffix("-line").unwrap_or(class);
            let light = STYLE.split("@media").next().unwrap();
            assert!(light.contains(&format!("--tl_{name}:var(--tl-{name},{colour})")), "{class}");
            assert!(STYLE.contains(&format!(".tl-{class}{{")), "{class}");
            assert_eq!(STYLE.matches(&format!("--tl_{name}:var(--tl-{name},")).count(), 2, "{class} in the dark");
        }
    }
}
