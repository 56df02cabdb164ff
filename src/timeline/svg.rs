//! A timeline as SVG: one image with a title and a description, readable on light and dark backgrounds.

use super::axis::DAY;
use super::facts::{CELLS, NAMED, NOT_KNOWN, span};
use super::model::{OutcomeClass, Timeline};
use super::shape::shapes;
use super::svg_parts::{CHARACTER_WIDTH, Layout, MARGIN, ROW, STYLE, SvgOptions, escape, fill, stroke, text};
use super::svg_rows;
use super::terminal::summary;
use super::ticks::{Ticks, is_midnight, ticks, weekends};
use super::words;
use crate::crontab::fit_width;
use crate::schedule::Timestamp;
use std::fmt::Write;

/// Crowded minutes that are tried as labels; some overlap.
const TRIED: usize = 12;

/// Draws a timeline as SVG.
pub fn svg(timeline: &Timeline, options: &SvgOptions) -> String {
    let layout = Layout::of(timeline, options, summary(timeline).len(), notes(timeline).len());
    let id = options
        .id
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || *character == '-')
        .collect::<String>();
    let mut svg = String::new();
    let (width, height) = (layout.width, layout.height);
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"tl\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" aria-labelledby=\"{id}-title\" aria-describedby=\"{id}-desc\" \
         font-family=\"system-ui,'DejaVu Sans',sans-serif\" font-size=\"12\">\n\
         <title id=\"{id}-title\">{}</title>\n<desc id=\"{id}-desc\">{}</desc>\n",
        escape(&title(timeline)),
        escape(&description(timeline))
    );
    if options.is_file {
        let _ = writeln!(svg, "<style>{STYLE}</style>");
    }
    let _ = writeln!(svg, "<rect {} width=\"{width:.0}\" height=\"{height:.0}\"/>", fill("paper"));
    if options.is_file {
        heading(timeline, &mut svg);
    }
    background(timeline, &layout, &mut svg);
    unknown(timeline, &layout, &mut svg);
    axis(timeline, &layout, &mut svg);
    panel(timeline, &layout, &mut svg);
    let shapes = shapes(timeline, CELLS);
    for (number, (row, shape)) in timeline.rows.iter().zip(&shapes).enumerate() {
        svg_rows::draw(timeline, row, shape, &layout, layout.row(number), &mut svg);
    }
    if timeline.rows.is_empty() {
        let (x, y) = (layout.left + 12.0, layout.rows + 21.0);
        text(&mut svg, "faint", "", x, y, "nothing runs in this time");
    }
    now_line(timeline, &layout, &mut svg);
    name_crowded(timeline, &layout, &mut svg);
    clock_changes(timeline, &layout, &mut svg);
    legend(timeline, &layout, &mut svg);
    svg.push_str("</svg>\n");
    svg
}

fn title(timeline: &Timeline) -> String {
    let (from, until) = (timeline.range.from, timeline.range.until);
    let (from, until) = (words::date_and_time(from, &timeline.zone), words::date_and_time(until, &timeline.zone));
    format!("When cron runs: {from} to {until}, {}", timeline.zone.name())
}

/// What the drawing shows, in sentences.
fn description(timeline: &Timeline) -> String {
    let mut sentences = summary(timeline);
    let of = |class| timeline.rows.iter().map(|row| row.runs_of(class)).sum::<u64>();
    for (class, what) in [
        (OutcomeClass::Ok, "ended well"),
        (OutcomeClass::Failed, "failed"),
        (OutcomeClass::Running, "running"),
        (OutcomeClass::Skipped, "skipped or missed"),
    ] {
        match of(class) {
            0 => {}
            number => sentences.push(format!("{} {what}", words::thousands(number))),
        }
    }
    sentences.extend(notes(timeline));
    sentences.join(". ") + "."
}

/// The notes below the drawing: clock changes, crowded minutes, the longest quiet times, what is not known.
fn notes(timeline: &Timeline) -> Vec<String> {
    let mut notes = Vec::new();
    for change in &timeline.changes {
        let (from, until) = change.local_times();
        let day = words::day(Timestamp(change.at.0 - 1), &timeline.zone);
        notes.push(match change.is_gap() {
            true => format!("Clocks forward: on {day} there is no {from} to {until}"),
            false => format!("Clocks back: on {day} {from} to {until} comes twice"),
        });
    }
    let crowded: Vec<String> = timeline
        .crowded(NAMED)
        .iter()
        .map(|crowded| {
            let starts = words::starts(crowded.starts.into());
            match crowded.days {
                1 => format!("{} {starts}", span(timeline, crowded.at, None)),
                days => format!("{} {starts} on {days} days", words::time(crowded.at, &timeline.zone)),
            }
        })
        .collect();
    if !crowded.is_empty() {
        notes.push(format!("Crowded: {}", crowded.join(", ")));
    }
    let quiet: Vec<String> = timeline
        .longest_quiet(NAMED)
        .iter()
        .map(|quiet| format!("{} ({})", span(timeline, quiet.from, Some(quiet.until)), words::length(quiet.seconds())))
        .collect();
    if !quiet.is_empty() {
        notes.push(format!("Quiet: {}", quiet.join(", ")));
    }
    let unknown = timeline.unknown();
    if !unknown.is_empty() {
        let spans: Vec<String> =
            unknown.iter().map(|unknown| span(timeline, unknown.from, Some(unknown.until))).collect();
        notes.push(format!("Not known: {}", spans.join(", ")));
    }
    notes
}

fn heading(timeline: &Timeline, svg: &mut String) {
    let (from, until) = (timeline.range.from, timeline.range.until);
    let (from, until) = (words::date_and_time(from, &timeline.zone), words::date_and_time(until, &timeline.zone));
    text(svg, "ink", "title", MARGIN, 34.0, &format!("{from} to {until}, {}", timeline.zone.name()));
    for (number, line) in summary(timeline).iter().enumerate() {
        text(svg, "faint", "", MARGIN, 56.0 + 18.0 * number as f64, line);
    }
}

/// Stripes of rows, and weekends.
fn background(timeline: &Timeline, layout: &Layout, svg: &mut String) {
    for number in (0..timeline.rows.len()).step_by(2) {
        let (y, width) = (layout.row(number), layout.right - MARGIN + 12.0);
        let x = MARGIN - 6.0;
        let _ =
            writeln!(svg, "<rect {} x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{ROW}\" rx=\"3\"/>", fill("stripe"));
    }
    if (2 * DAY..=100 * DAY).contains(&timeline.range.seconds()) {
        for weekend in weekends(timeline.range, &timeline.zone) {
            let (x, width) = layout.extent(weekend.from, weekend.until, 0.0);
            let (y, height) = (layout.panel, layout.rows_end - layout.panel);
            let _ = writeln!(
                svg,
                "<rect {} fill-opacity=\"0.75\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\"/>",
                fill("weekend")
            );
        }
    }
}

/// A shade over what is not known.
fn unknown(timeline: &Timeline, layout: &Layout, svg: &mut String) {
    for unknown in timeline.unknown() {
        let (x, width) = layout.extent(unknown.from, unknown.until, 1.0);
        let (y, height) = (layout.panel, layout.rows_end - layout.panel);
        let title = escape(&format!("{}: {NOT_KNOWN}", span(timeline, unknown.from, Some(unknown.until))));
        let _ = writeln!(
            svg,
            "<rect {} fill-opacity=\"0.1\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\"><title>{title}</title></rect>",
            fill("faint")
        );
        let text_width = NOT_KNOWN.len() as f64 * CHARACTER_WIDTH;
        if width > text_width + 8.0 {
            text(svg, "faint", "small", x + (width - text_width) / 2.0, layout.panel + 34.0, NOT_KNOWN);
        }
    }
}

/// The labels of the axis, and its lines over the whole height.
fn axis(timeline: &Timeline, layout: &Layout, svg: &mut String) {
    let characters = (layout.right - layout.left) / (CHARACTER_WIDTH + 0.6);
    let Ticks { periods, times, has_times_of_day } = ticks(timeline.range, &timeline.zone, characters as usize);
    let line = |svg: &mut String, class, x: f64, top: f64| {
        let bottom = layout.rows_end;
        let _ = writeln!(svg, "<line {} x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>", stroke(class));
    };
    for tick in &times {
        let is_day = has_times_of_day && is_midnight(tick.at, &timeline.zone);
        let x = layout.x(tick.at);
        line(svg, if is_day { "day" } else { "grid" }, x, layout.times + 6.0);
        // Days are named where they begin, times of the day where they are.
        let half = if has_times_of_day { tick.label.len() as f64 * CHARACTER_WIDTH / 2.0 } else { -4.0 };
        let end = x - half + tick.label.len() as f64 * CHARACTER_WIDTH;
        // A day that begins is named above.
        if !is_day && x - half >= layout.left - 20.0 && end <= layout.right + if has_times_of_day { 16.0 } else { 0.0 }
        {
            text(svg, "faint", "small", x - half, layout.times, &tick.label);
        }
    }
    for (number, tick) in periods.iter().enumerate() {
        let x = layout.x(tick.at);
        let end = periods.get(number + 1).map_or(layout.right + MARGIN, |next| layout.x(next.at));
        if number > 0 {
            line(svg, "day", x, layout.periods - 11.0);
        }
        let fits = |label: &&String| x + (label.chars().count() as f64) * (CHARACTER_WIDTH + 0.9) + 8.0 <= end;
        if let Some(label) = [&tick.label, &tick.short].into_iter().find(fits) {
            text(svg, "ink", "bold", if number > 0 { x + 5.0 } else { x }, layout.periods, label);
        }
    }
}

/// The starts a minute, as a stepped area, with quiet times below.
fn panel(timeline: &Timeline, layout: &Layout, svg: &mut String) {
    let most = timeline.most();
    let base = layout.base;
    let _ = writeln!(
        svg,
        "<line {} x1=\"{:.1}\" y1=\"{base}\" x2=\"{:.1}\" y2=\"{base}\"/>",
        stroke("day"),
        layout.left,
        layout.right
    );
    if most > 0 {
        let label = words::thousands(most.into());
        text(
            svg,
            "faint",
            "small",
            layout.left - 8.0 - label.len() as f64 * CHARACTER_WIDTH,
            layout.panel + 8.0,
            &label,
        );
        text(svg, "faint", "small", layout.left - 8.0 - CHARACTER_WIDTH, base, "0");
        let (y, left, right) = (layout.panel, layout.left, layout.right);
        let _ = writeln!(svg, "<line {} x1=\"{left:.1}\" y1=\"{y}\" x2=\"{right:.1}\" y2=\"{y}\"/>", stroke("grid"));
    }
    let peaks = timeline.peaks(CELLS);
    let future = timeline.range.cell_of(timeline.future(), CELLS);
    let split = if timeline.has_past() { future.min(peaks.len()) } else { 0 };
    for (cells, class) in [(0..split, "ok"), (split..peaks.len(), "coming")] {
        let path = area(&peaks, cells, most, layout);
        if !path.is_empty() {
            let _ = writeln!(svg, "<path {} fill-opacity=\"0.85\" d=\"{path}\"/>", fill(class));
        }
    }
    for quiet in timeline.quiet() {
        let (x, width) = layout.extent(quiet.from, quiet.until, 1.0);
        let words = format!(
            "{}: nothing starts for {}",
            span(timeline, quiet.from, Some(quiet.until)),
            words::length(quiet.seconds())
        );
        let _ = writeln!(
            svg,
            "<rect {} x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"4\" rx=\"1\"><title>{}</title></rect>",
            fill("quiet"),
            base + 3.0,
            escape(&words)
        );
    }
    svg.push_str("<g class=\"tl-name\">\n");
    text(svg, "ink", "bold", MARGIN, layout.panel + 12.0, "Starts a minute");
    svg.push_str("</g>\n");
}

/// The outline of bars of cells that are next to each other.
fn area(peaks: &[u32], cells: std::ops::Range<usize>, most: u32, layout: &Layout) -> String {
    let step = (layout.right - layout.left) / peaks.len().max(1) as f64;
    let mut path = String::new();
    let mut height = 0.0;
    let end = cells.end;
    for cell in cells {
        let peak = peaks.get(cell).copied().unwrap_or(0);
        let wanted = (layout.base - layout.panel) * f64::from(peak) / f64::from(most.max(1));
        // Low bars stay visible.
        let wanted = if peak > 0 { wanted.max(2.0) } else { 0.0 };
        if wanted == height {
            continue;
        }
        let x = layout.left + step * cell as f64;
        if height == 0.0 {
            let _ = write!(path, "M{x:.1} {:.1}V{:.1}", layout.base, layout.base - wanted);
        } else {
            let _ = write!(path, "H{x:.1}V{:.1}", layout.base - wanted);
        }
        if wanted == 0.0 {
            path.push('Z');
        }
        height = wanted;
    }
    if height > 0.0 {
        let _ = write!(path, "H{:.1}V{:.1}Z", layout.left + step * end as f64, layout.base);
    }
    path
}

/// Labels the most crowded minutes.
fn name_crowded(timeline: &Timeline, layout: &Layout, svg: &mut String) {
    let mut taken: Vec<(f64, f64)> =
        timeline.changes.iter().map(|change| (layout.x(change.at) - 4.0, layout.x(change.at) + 150.0)).collect();
    let mut named = 0;
    for crowded in timeline.crowded(TRIED) {
        let days = if crowded.days > 1 { format!(", {} days", crowded.days) } else { String::new() };
        let label =
            format!("{} {}{days}", words::time(crowded.at, &timeline.zone), words::starts(crowded.starts.into()));
        let width = label.len() as f64 * CHARACTER_WIDTH;
        let x = layout.x(Timestamp(crowded.at.0 + 30));
        let left = (x - width / 2.0).clamp(layout.left, layout.right - width);
        // Minutes with more starts come first and take precedence.
        if named == NAMED || taken.iter().any(|(begin, end)| left < *end && left + width > *begin) {
            continue;
        }
        named += 1;
        taken.push((left - CHARACTER_WIDTH, left + width + CHARACTER_WIDTH));
        let height = (layout.base - layout.panel) * f64::from(crowded.starts) / f64::from(timeline.most().max(1));
        let y = layout.base - height - 3.0;
        let _ = writeln!(svg, "<path {} d=\"M{x:.1} {y:.1}l-3.5 -5h7z\"/>", fill("clock"));
        text(svg, "clock", "small", left, y - 8.0, &label);
    }
}

/// The line between past and future.
fn now_line(timeline: &Timeline, layout: &Layout, svg: &mut String) {
    let now = timeline.now;
    if !timeline.range.has(now) {
        return;
    }
    let (x, top) = (layout.x(now), layout.times + 9.0);
    let bottom = layout.rows_end;
    let _ = writeln!(
        svg,
        "<line {} stroke-width=\"1.5\" x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>",
        stroke("now-line")
    );
    let label = format!("now {}", words::time(now, &timeline.zone));
    let left = (x - label.len() as f64 * CHARACTER_WIDTH / 2.0)
        .min(layout.right - label.len() as f64 * CHARACTER_WIDTH)
        .max(layout.left);
    text(svg, "now", "small", left, bottom + 13.0, &label);
}

/// A line at each change of the clocks, and a tint over the hours that come twice.
fn clock_changes(timeline: &Timeline, layout: &Layout, svg: &mut String) {
    for change in &timeline.changes {
        let (x, top, bottom) = (layout.x(change.at), layout.times + 6.0, layout.rows_end);
        let (from, until) = change.local_times();
        let what = if change.is_gap() { format!("no {from}-{until}") } else { format!("{from}-{until} twice") };
        if let Some((first, end)) = change.repeated() {
            let (left, width) = layout.extent(first, end, 2.0);
            let (y, height) = (layout.panel, bottom - layout.panel);
            let _ = writeln!(
                svg,
                "<rect {} fill-opacity=\"0.12\" x=\"{left:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\"/>",
                fill("clock")
            );
        }
        let _ = writeln!(
            svg,
            "<line {} stroke-width=\"1.5\" stroke-dasharray=\"3 3\" x1=\"{x:.1}\" y1=\"{top}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>",
            stroke("clock-line")
        );
        let width = what.len() as f64 * CHARACTER_WIDTH + 6.0;
        let left = if x + width > layout.right { x - width } else { x + 5.0 };
        text(svg, "clock", "small", left, layout.times + 18.0, &what);
    }
}

/// What the marks mean, then the notes.
fn legend(timeline: &Timeline, layout: &Layout, svg: &mut String) {
    let has = |class| timeline.rows.iter().any(|row| row.runs.iter().any(|run| run.class == class));
    let mut x = MARGIN;
    let y = layout.rows_end + 32.0;
    let mut key = |svg: &mut String, shape: String, words: &str| {
        let _ = writeln!(svg, "{shape}");
        text(svg, "faint", "small", x + 20.0, y, words);
        x += 20.0 + (words.len() as f64 + 3.0) * CHARACTER_WIDTH;
        x
    };
    let mut at = MARGIN;
    if has(OutcomeClass::Ok) {
        at = key(
            svg,
            format!("<rect {} x=\"{at:.1}\" y=\"{:.1}\" width=\"14\" height=\"9\" rx=\"2\"/>", fill("ok"), y - 9.0),
            "ran, ok",
        );
    }
    if has(OutcomeClass::Failed) {
        at = key(
            svg,
            format!(
                "<rect {} x=\"{at:.1}\" y=\"{:.1}\" width=\"14\" height=\"15\" rx=\"1\"/>",
                fill("failed"),
                y - 12.0
            ),
            "failed (one alone: higher)",
        );
    }
    if has(OutcomeClass::Running) {
        let d = svg_rows::arrow(at, at + 9.0, y - 9.0, 9.0);
        at = key(svg, format!("<path {} d=\"{d}\"/>", fill("running")), "running");
    }
    if has(OutcomeClass::Skipped) {
        let d = svg_rows::diamond(at + 7.0, y - 4.5);
        at = key(
            svg,
            format!("<path {} stroke-width=\"1.5\" fill=\"none\" d=\"{d}\"/>", stroke("skipped")),
            "skipped or missed",
        );
    }
    if timeline.rows.iter().any(|row| !row.overlaps.is_empty()) {
        at = key(
            svg,
            format!("<rect {} x=\"{at:.1}\" y=\"{:.1}\" width=\"14\" height=\"2.5\"/>", fill("overlap"), y - 5.0),
            "runs of a job overlap",
        );
    }
    if timeline.rows.iter().any(|row| !row.coming.is_empty()) {
        let shape = format!(
            "<g {}><rect x=\"{at:.1}\" y=\"{:.1}\" width=\"2\" height=\"11\"/><rect fill-opacity=\"0.45\" x=\"{:.1}\" y=\"{:.1}\" width=\"10\" height=\"11\"/></g>",
            fill("coming"),
            y - 10.0,
            at + 4.0,
            y - 10.0
        );
        at = key(svg, shape, if timeline.has_past() { "to come, and many to come" } else { "start, and many starts" });
    }
    if !timeline.quiet().is_empty() {
        key(
            svg,
            format!("<rect {} x=\"{at:.1}\" y=\"{:.1}\" width=\"14\" height=\"4\" rx=\"1\"/>", fill("quiet"), y - 6.0),
            "nothing starts",
        );
    }
    let room = ((layout.width - 2.0 * MARGIN) / CHARACTER_WIDTH) as usize;
    for (number, note) in notes(timeline).iter().enumerate() {
        text(svg, "faint", "small", MARGIN, y + 20.0 + 17.0 * number as f64, &fit_width(note, room, '…'));
    }
}
