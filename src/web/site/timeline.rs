//! Past and future on one axis.

use super::app::App;
use super::backend::{Backend, Fault};
use super::page::{Nav, Page, View, job_link, runs_table};
use crate::schedule::Timestamp;
use crate::varlink::Time;
use crate::varlink::cron::{NextArguments, NextStart};
use crate::varlink::history::{RunRecord, RunsArguments};
use maud::{Markup, html};

/// The lengths that can be chosen: their name in the address, for people, and in seconds.
const LENGTHS: [(&str, &str, i64); 6] = [
    ("1h", "1 hour", 3_600),
    ("6h", "6 hours", 21_600),
    ("1d", "1 day", 86_400),
    ("3d", "3 days", 259_200),
    ("7d", "1 week", 604_800),
    ("30d", "1 month", 2_592_000),
];
/// The one that is shown first.
const USUAL: usize = 1;
/// Runs and starts that are drawn.
const MOST: u64 = 2_000;
/// Rows of the tables below the picture.
const LISTED: usize = 25;

/// What is drawn.
pub struct Facts {
    /// The beginning of the axis.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// Runs that have begun, newest first.
    pub runs: Vec<RunRecord>,
    /// Coming starts in order of time.
    pub starts: Vec<NextStart>,
}

/// Makes the page for a length of the axis, half of it past.
///
/// # Errors
///
/// The daemon does not answer.
pub fn page(app: &App, daemon: &mut Backend, length: &str) -> Result<Page, Fault> {
    let chosen = LENGTHS.iter().position(|(name, ..)| *name == length).unwrap_or(USUAL);
    let Some((_, _, seconds)) = LENGTHS.get(chosen) else { return Err(Fault::NotFound("no such length".to_owned())) };
    let view = View::of(app);
    let half = seconds / 2;
    let facts = collect(daemon, Timestamp(view.now.0 - half), Timestamp(view.now.0 + half))?;
    Ok(Page { is_live: true, ..Page::of(Nav::Timeline, "Timeline", body(&view, chosen, &facts)) })
}

fn collect(daemon: &mut Backend, from: Timestamp, until: Timestamp) -> Result<Facts, Fault> {
    let runs = daemon.history().and_then(|mut history| {
        history.runs(&RunsArguments {
            since: Some(Time::from(from).to_string()),
            limit: Some(MOST),
            ..RunsArguments::default()
        })
    });
    let mut starts = Vec::new();
    let arguments =
        NextArguments { until: Some(Time::from(until).to_string()), count: Some(MOST), ..NextArguments::default() };
    daemon.call_more("Next", &arguments, |start: NextStart| {
        starts.push(start);
        true
    })?;
    Ok(Facts { from, until, runs: runs.unwrap_or_default(), starts })
}

/// The picture as SVG. None: there is nothing that draws it yet.
fn picture(_view: &View<'_>, _facts: &Facts) -> Option<Markup> {
    None
}

fn body(view: &View<'_>, chosen: usize, facts: &Facts) -> Markup {
    html! {
        div.title { h1 { "Timeline" } p.quiet { (view.full(Time::from(facts.from))) " – " (view.full(Time::from(facts.until))) } }
        nav.zoom aria-label="Length of the timeline" {
            ul {
                @for (number, (name, text, _)) in LENGTHS.iter().enumerate() {
                    li { a href={ "/timeline?length=" (name) } aria-current=[(number == chosen).then_some("true")] { (text) } }
                }
            }
        }
        @if let Some(picture) = picture(view, facts) { section #picture aria-label="Timeline" { div.scroll tabindex="0" role="group" aria-label="Timeline" { (picture) } } }
            section aria-labelledby="coming-heading" #coming {
                h2 #coming-heading { "Coming" }
                @if facts.starts.is_empty() { p.empty { "Nothing is due." } } @else {
                    table {
                        caption.hidden { "Coming starts" }
                        thead { tr { th scope="col" { "At" } th scope="col" { "Job" } th.number scope="col" { "When" } } }
                        tbody {
                            @for start in facts.starts.iter().take(LISTED) {
                                tr { td { (view.moment(start.at)) } th scope="row" { (job_link(&start.job)) } td.number { (view.time(start.at)) } }
                            }
                        }
                    }
                }
            }
            section aria-labelledby="past-heading" #past {
                h2 #past-heading { "Past" }
                @if facts.runs.is_empty() { p.empty { "Nothing has run." } } @else {
                    (runs_table(view, facts.runs.get(..LISTED).unwrap_or(&facts.runs), true, "Past runs, newest first"))
                }
            }
    }
}
