//! The durations of a job's runs as bars. A table with the same facts is always beside it.

use super::page::{View, class_of, outcome_of, took};
use crate::report::{format_count, text};
use crate::schedule::rounded_duration;
use crate::varlink::history::RunRecord;
use maud::{Markup, html};

/// Width and height of the drawing, in its own units.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 100.0;
/// A run of no time is still a bar.
const LOWEST: f64 = 2.0;
/// The widest that a bar is.
const WIDEST: f64 = 16.0;

/// How high a bar is. Runs that all take less than a second do not differ in a way that anybody has to see.
fn bar_height(seconds: f64, longest: f64) -> f64 {
    (seconds / longest.max(1.0) * (HEIGHT - 2.0)).max(LOWEST)
}

/// The chart of runs that are given newest first; the oldest is on the left.
pub fn durations(view: &View<'_>, runs: &[RunRecord]) -> Markup {
    let mut bars: Vec<(&RunRecord, f64)> = runs
        .iter()
        .filter_map(|run| {
            let going_on = || Some(view.now.0.saturating_sub(run.started_at?.timestamp().0).max(0) as f64);
            Some((run, took(run).or_else(going_on)?))
        })
        .collect();
    bars.reverse();
    let (Some((oldest, _)), Some(longest)) = (bars.first(), bars.iter().map(|(_, took)| *took).reduce(f64::max)) else {
        return html! {};
    };
    let step = WIDTH / (bars.len() as f64).max(1.0);
    let step = step.min(WIDEST * 1.5);
    let width = (step * 0.72).max(1.0);
    let shift = WIDTH - step * bars.len() as f64;
    let summary = format!(
        "Durations of {}; the longest took {}",
        format_count(bars.len() as u64, "run", "runs"),
        rounded_duration(longest)
    );
    html! {
        figure.chart {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(summary) {
                line.axis x1="0" y1=(HEIGHT) x2=(WIDTH) y2=(HEIGHT) {}
                line.axis x1="0" y1="0.5" x2=(WIDTH) y2="0.5" {}
                @for (number, (run, seconds)) in bars.iter().enumerate() {
                    @let height = bar_height(*seconds, longest);
                    @let class = class_of(&run.outcome).0;
                    rect class={ "bar-" (class) } x=(format!("{:.1}", shift + step * number as f64)) y=(format!("{:.1}", HEIGHT - height))
                        width=(format!("{width:.1}")) height=(format!("{height:.1}")) {
                        title {
                            (view.full(run.started_at.unwrap_or(run.scheduled_at))) ": " (text::outcome(&outcome_of(run))) ", " (rounded_duration(*seconds))
                        }
                    }
                }
            }
            figcaption {
                span { (view.moment(oldest.started_at.unwrap_or(oldest.scheduled_at))) " until now, longest " (rounded_duration(longest)) }
                span.legend { span.mark-ok { "✓ ok" } span.mark-bad { "✕ failed" } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_milliseconds_are_low_bars() {
        assert_eq!([bar_height(0.004, 0.004), bar_height(0.0, 0.0)], [LOWEST; 2]);
        assert_eq!([bar_height(20.0, 20.0), bar_height(10.0, 20.0)], [HEIGHT - 2.0, (HEIGHT - 2.0) / 2.0]);
    }
}
