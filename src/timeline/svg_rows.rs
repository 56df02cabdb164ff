//! A row of a timeline as SVG: its label, past runs as bars, coming starts as ticks.

use super::facts::{exact_span, span};
use super::model::{OutcomeClass, Overlap, Row, Timeline};
use super::shape::{Band, Mark, Shape};
use super::svg_parts::{LABEL_LEFT, Layout, escape, fill, label_room, stroke, text};
use super::words;
use crate::crontab::fit_width;
use std::fmt::Write;

/// Within a row: the top of the bars, and their height.
const BARS: f64 = 8.0;
const BARS_HEIGHT: f64 = 17.0;
/// How much higher a bar of a failed run is, at each end.
const FAILED: f64 = 4.0;
/// How high the share of failed runs of a cell is drawn at least, and of slots without a run.
const LEAST_FAILED: f64 = 2.0;
const LEAST_SKIPPED: f64 = 1.5;
/// The narrowest bar, and the narrowest tick.
const NARROWEST: f64 = 3.0;
const TICK: f64 = 2.0;

pub(super) fn draw(timeline: &Timeline, row: &Row, shape: &Shape, layout: &Layout, top: f64, svg: &mut String) {
    for band in &shape.bands {
        draw_band(timeline, band, layout, top, svg);
    }
    for mark in &shape.marks {
        draw_mark(timeline, mark, layout, top, svg);
    }
    for overlap in &shape.overlaps {
        draw_overlap(timeline, overlap, layout, top, svg);
    }
    // Above the bars, where a page that is scrolled puts it.
    label(timeline, row, layout, top, svg);
}

/// The name of the row above its command; the whole of both on hover.
fn label(timeline: &Timeline, row: &Row, layout: &Layout, top: f64, svg: &mut String) {
    let label = &row.label;
    let (name, below) = match (timeline.is_by_user, label.job.is_empty()) {
        (true, _) => (label.user.clone(), counts(row)),
        (false, true) => (format!("{}  {}", label.user, label.schedule), label.command.clone()),
        (false, false) => (label.job.clone(), label.command.clone()),
    };
    let place = if label.source.is_empty() { String::new() } else { format!("\n{}:{}", label.source, label.line) };
    let schedule = if label.schedule.is_empty() { String::new() } else { format!("\n{}", label.schedule) };
    let whole = match timeline.is_by_user {
        true => format!("{name}\n{below}"),
        false => format!("{name}{schedule}\n{below}{place}"),
    };
    let (wide, code) = label_room(layout);
    let _ = writeln!(svg, "<g class=\"tl-name\"><title>{}</title>", escape_lines(&whole));
    text(svg, "ink", "bold", LABEL_LEFT, top + 14.0, &fit_width(name.trim(), wide, '…'));
    text(svg, "faint", "code", LABEL_LEFT, top + 27.5, &fit_width(&below, code, '…'));
    svg.push_str("</g>\n");
}

fn escape_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

/// How many runs and coming starts a row has, in words.
fn counts(row: &Row) -> String {
    let mut parts = Vec::new();
    let runs: u64 = row.runs.iter().map(|run| run.count).sum();
    if runs > 0 {
        parts.push(words::count(runs, "run", "runs"));
    }
    match row.runs_of(OutcomeClass::Failed) {
        0 => {}
        failed => parts.push(format!("{} failed", words::thousands(failed))),
    }
    match row.coming_starts() {
        0 => {}
        coming => parts.push(format!("{} to come", words::thousands(coming))),
    }
    parts.join(", ")
}

fn draw_mark(timeline: &Timeline, mark: &Mark, layout: &Layout, top: f64, svg: &mut String) {
    let lanes = mark.lanes.max(1) as f64;
    let height = (BARS_HEIGHT - (lanes - 1.0)) / lanes;
    let y = top + BARS + (height + 1.0) * mark.lane as f64;
    let when = exact_span(timeline, mark.from, mark.end());
    let title = escape(&format!("{when}: {}", mark.words()));
    let (x, width) = layout.extent(mark.from, mark.until, NARROWEST);
    let Some(class) = mark.class() else { return draw_shares(mark, &title, (x, y), (width, height), svg) };
    let _ = match class {
        OutcomeClass::Ok => writeln!(
            svg,
            "<rect {} x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"1.5\"><title>{title}</title></rect>",
            fill("ok")
        ),
        OutcomeClass::Failed => {
            // Several are not higher, or a week of a job that fails often would be nothing but them.
            let more = if mark.lanes > 1 || mark.count() > 1 { 0.0 } else { FAILED };
            writeln!(
                svg,
                "<rect {} x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{:.1}\" rx=\"1\"><title>{title}</title></rect>",
                fill("failed"),
                y - more,
                height + 2.0 * more
            )
        }
        OutcomeClass::Running => writeln!(
            svg,
            "<path {} d=\"{}\"><title>{title}</title></path>",
            fill("running"),
            arrow(x, x + width, y, height)
        ),
        OutcomeClass::Skipped if width > 10.0 => writeln!(
            svg,
            "<rect {} stroke-width=\"1.5\" fill=\"none\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"9\" rx=\"4.5\"><title>{title}</title></rect>",
            stroke("skipped"),
            top + BARS + BARS_HEIGHT / 2.0 - 4.5
        ),
        OutcomeClass::Skipped => writeln!(
            svg,
            "<path {} stroke-width=\"1.5\" fill=\"none\" d=\"{}\"><title>{title}</title></path>",
            stroke("skipped"),
            diamond(x + width / 2.0, top + BARS + BARS_HEIGHT / 2.0)
        ),
    };
}

/// The runs of a cell that end differently: a bar that is divided by their shares, failed ones below.
fn draw_shares(mark: &Mark, title: &str, (x, y): (f64, f64), (width, height): (f64, f64), svg: &mut String) {
    let of = |class| mark.parts.iter().filter(|part| part.class == class).map(|part| part.count).sum::<u64>();
    let share = |class, least: f64| match of(class) {
        0 => 0.0,
        count => (height * count as f64 / mark.count().max(1) as f64).max(least),
    };
    let failed = share(OutcomeClass::Failed, LEAST_FAILED).min(height);
    let skipped = share(OutcomeClass::Skipped, LEAST_SKIPPED).min(height - failed);
    let ok = if of(OutcomeClass::Ok) > 0 { height - failed - skipped } else { 0.0 };
    let _ = write!(svg, "<g><title>{title}</title>");
    let mut bar = |class: &str, top: f64, high: f64| {
        if high > 0.0 {
            let _ = write!(
                svg,
                "<rect {} x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{high:.1}\"/>",
                fill(class)
            );
        }
    };
    bar("ok", y, ok);
    bar("failed", y + height - failed, failed);
    if skipped > 0.0 {
        let middle = y + height - failed - skipped / 2.0;
        let right = x + width;
        let _ = write!(
            svg,
            "<path {} stroke-width=\"{skipped:.1}\" d=\"M{x:.1} {middle:.1}H{right:.1}\"/>",
            stroke("skipped")
        );
    }
    svg.push_str("</g>\n");
}

fn draw_band(timeline: &Timeline, band: &Band, layout: &Layout, top: f64, svg: &mut String) {
    let (x, width) = layout.extent(band.first, band.last, TICK);
    let (y, height) = (top + BARS + 2.0, BARS_HEIGHT - 4.0);
    let opacity = if width > 2.0 * TICK { " fill-opacity=\"0.45\"" } else { "" };
    let title = escape(&format!("{}: {}", span(timeline, band.first, Some(band.last)), band.words()));
    let _ = writeln!(
        svg,
        "<rect {}{opacity} x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"1\"><title>{title}</title></rect>",
        fill("coming")
    );
}

fn draw_overlap(timeline: &Timeline, overlap: &Overlap, layout: &Layout, top: f64, svg: &mut String) {
    let (x, width) = layout.extent(overlap.from, overlap.until, NARROWEST);
    let when = exact_span(timeline, overlap.from, Some(overlap.until));
    let _ = writeln!(
        svg,
        "<rect {} x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"2.5\"><title>{}</title></rect>",
        fill("overlap"),
        top + BARS + BARS_HEIGHT + 1.5,
        escape(&format!("{when}: {} runs of the job at the same time", overlap.runs))
    );
}

/// A bar with an open end: it continues beyond its right edge as an arrow.
pub(super) fn arrow(left: f64, right: f64, top: f64, height: f64) -> String {
    let middle = top + height / 2.0;
    let bottom = top + height;
    format!("M{left:.1} {top:.1}H{right:.1}L{:.1} {middle:.1}L{right:.1} {bottom:.1}H{left:.1}Z", right + 6.0)
}

pub(super) fn diamond(x: f64, y: f64) -> String {
    format!("M{x:.1} {:.1}l4.5 4.5l-4.5 4.5l-4.5 -4.5z", y - 4.5)
}
