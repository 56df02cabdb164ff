//! Past and future on one axis.

use super::app::App;
use super::backend::{Backend, PageError};
use super::page::{Nav, Page, View, class_of, job_link, outcome_of, shown};
use crate::report::{format_count, text};
use crate::schedule::{Timestamp, rounded_duration};
use crate::timeline::{Builder, Fact, FactKind, Grouping, OutcomeClass, Range, Row, SvgOptions, Timeline, facts, svg};
use crate::varlink::Time;
use crate::varlink::history::{Found, RunsArguments};
use maud::{Markup, PreEscaped, html};
use serde::Deserialize;
use std::sync::Arc;

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
/// Rows that are drawn, and how many facts of each are listed.
const MOST_ROWS: usize = 60;
const MOST_FACTS: usize = 60;
/// Runs and starts that are asked for, as `cronctl timeline` does.
const MOST_RUNS: u64 = 100_000;
const MOST_STARTS: u64 = 100_000;
/// Ended runs are queried from so many seconds before the axis on.
const LONGEST_BEFORE: i64 = 86_400;
const RUNNING: &str = "running";
/// The width of the picture in pixels, which is that of its box in a wide window.
const WIDTH: u32 = 1_198;

/// The query part of the address: which jobs, and which time.
#[derive(Debug, Default, Deserialize)]
pub struct Choice {
    /// The name of a length.
    #[serde(default)]
    length: String,
    /// `user`: a row for each user instead of each job.
    #[serde(default)]
    by: String,
}

/// Makes the page for a length of the axis, half of it past.
///
/// # Errors
///
/// The daemon does not answer.
pub fn page(app: &App, daemon: &mut Backend, chosen: &Choice) -> Result<Page, PageError> {
    let length = LENGTHS.iter().position(|(name, ..)| *name == chosen.length).unwrap_or(USUAL);
    let Some((_, _, seconds)) = LENGTHS.get(length) else {
        return Err(PageError::NotFound("no such length".to_owned()));
    };
    let is_by_user = chosen.by == "user";
    let view = View::of(app);
    let half = seconds / 2;
    let range = Range::of(Timestamp(view.now.0 - half), Timestamp(view.now.0 + half));
    let grouping = if is_by_user { Grouping::User } else { Grouping::Job };
    let mut builder = Builder::new(range, view.now, Arc::clone(&app.zone), grouping, MOST_ROWS);
    let cut = collect(daemon, range, view.now, &mut builder)?;
    let body = body(&view, length, is_by_user, &builder.finish(), &cut);
    Ok(Page { is_live: true, ..Page::of(Nav::Timeline, "Timeline", body) })
}

/// What the timeline leaves out because there is too much of it.
#[derive(Debug, Default)]
struct Cut {
    /// There are more past runs.
    has_more_runs: bool,
    /// The last start that is known, if there are more.
    starts_until: Option<Timestamp>,
}

/// Collects past runs and coming starts. Returns whether there are more than are shown.
fn collect(daemon: &mut Backend, range: Range, now: Timestamp, builder: &mut Builder) -> Result<Cut, PageError> {
    let time = |at: Timestamp| Some(Time::from(at).to_string());
    let mut has_more_runs = false;
    if let Ok(mut history) = daemon.history() {
        // A run that lasts into the range may have been started before it, and one in progress long before.
        let since = time(Timestamp(range.from.0 - LONGEST_BEFORE));
        let ended =
            RunsArguments { since, until: time(range.until), limit: Some(MOST_RUNS), ..RunsArguments::default() };
        let running =
            RunsArguments { outcome: Some(RUNNING.to_owned()), limit: Some(MOST_RUNS), ..RunsArguments::default() };
        builder.set_past_known();
        let older = RunsArguments {
            until: time(Timestamp(range.from.0 - LONGEST_BEFORE - 1)),
            limit: Some(1),
            ..RunsArguments::default()
        };
        for (arguments, is_running) in [(ended, false), (running, true)] {
            // A row may have a command of 256 KiB: none is kept.
            let mut count = 0;
            let arguments = history.rows(&arguments);
            history.call_more("Runs", &arguments, |Found { run }| {
                count += 1;
                if (run.outcome == RUNNING) == is_running {
                    builder.add_record(&run, shown(&text::outcome(&outcome_of(&run))));
                }
                true
            })?;
            has_more_runs |= count >= MOST_RUNS;
        }
        // Without an older row nothing says that the history had begun.
        let has_older = !history.runs(&older)?.is_empty();
        builder.set_begin_of_past(has_older && !has_more_runs);
    } else {
        builder.set_known_from(now);
    }
    let starts_until =
        daemon.starts(now, Timestamp(range.until.0 - 1), MOST_STARTS, |start| builder.add_start(start))?;
    if let Some(last) = starts_until {
        builder.set_known_until(last);
    }
    Ok(Cut { has_more_runs, starts_until })
}

fn body(view: &View<'_>, length: usize, is_by_user: bool, timeline: &Timeline, cut: &Cut) -> Markup {
    let Range { from, until } = timeline.range;
    let by = if is_by_user { "user" } else { "job" };
    let length_name = LENGTHS.get(length).map_or("", |(name, ..)| name);
    let options = SvgOptions { width: WIDTH, id: "timeline".to_owned(), is_file: false };
    html! {
        div.title { h1 { "Timeline" } p.quiet { (view.moment(Time::from(from))) " – " (view.moment(Time::from(until))) } }
        div.zooms {
            nav.zoom aria-label="Length of the timeline" {
                ul {
                    @for (number, (name, text, _)) in LENGTHS.iter().enumerate() {
                        li { a href={ "/timeline?length=" (name) "&by=" (by) } aria-current=[(number == length).then_some("true")] { (text) } }
                    }
                }
            }
            nav.zoom aria-label="Rows of the timeline" {
                ul {
                    @for (name, text) in [("job", "Jobs"), ("user", "Users")] {
                        li { a href={ "/timeline?length=" (length_name) "&by=" (name) } aria-current=[(name == by).then_some("true")] { (text) } }
                    }
                }
            }
        }
        @if cut.has_more_runs { p.banner.held { span.sign aria-hidden="true" { "! " } "More runs are in this time than the " (MOST_RUNS) " that are shown: choose a shorter one." } }
        @if let Some(last) = cut.starts_until {
            p.banner.held {
                span.sign aria-hidden="true" { "! " }
                "More starts are in this time than the " (MOST_STARTS) " that are shown, those until " (view.moment(Time::from(last))) ". What comes after that is not known here: choose a shorter time."
            }
        }
        section #picture aria-label="Timeline" {
            div.scroll tabindex="0" role="group" aria-label="Timeline" { (PreEscaped(svg(timeline, &options))) }
        }
        section aria-labelledby="facts-heading" #facts {
            h2 #facts-heading { "The same as a table" }
            (summary_table(view, timeline))
            (general_facts(timeline))
            (facts_of_rows(timeline))
        }
    }
}

/// What a row is called.
fn label(timeline: &Timeline, row: &Row) -> Markup {
    html! {
        @if timeline.is_by_user || row.label.job.is_empty() { (shown(&row.label.user)) } @else { (job_link(&row.label.job)) }
    }
}

/// What the picture shows, a line for each of its rows.
fn summary_table(view: &View<'_>, timeline: &Timeline) -> Markup {
    let named = if timeline.is_by_user { "User" } else { "Job" };
    let none = || html! { span.quiet { "–" } };
    html! {
        @if timeline.rows.is_empty() { p.empty { "Nothing has run in this time, and nothing is due." } } @else {
            div.scroll tabindex="0" role="group" aria-label="Rows of the timeline" {
                table.brief {
                    caption.hidden { "Rows of the timeline" }
                    thead {
                        tr {
                            th scope="col" { (named) } th.number scope="col" { "Runs" } th.number scope="col" { "Ok" } th.number scope="col" { "Failed" }
                            th.number scope="col" { "Longest" } th scope="col" { "Last" } th.number scope="col" { "Coming" } th scope="col" { "Next" }
                        }
                    }
                    tbody {
                        @for row in &timeline.rows {
                            @let failed = row.runs_of(OutcomeClass::Failed);
                            tr {
                                th.whole scope="row" { (label(timeline, row)) }
                                td.number { span.prefix { "runs " } (row.past_runs()) }
                                td.number { span.prefix { "ok " } (row.runs_of(OutcomeClass::Ok)) }
                                td.number {
                                    span.prefix { "failed " }
                                    @if failed > 0 { span.mark-bad { span.sign aria-hidden="true" { "✕ " } (failed) } } @else { "0" }
                                }
                                td.number {
                                    span.prefix { "longest " }
                                    @match row.longest() { Some(longest) => (rounded_duration(longest)), None => (none()) }
                                }
                                td.nowrap {
                                    span.prefix { "last " }
                                    @match row.last_start() { Some(at) => (view.time(Time::from(at))), None => (none()) }
                                }
                                td.number { span.prefix { "coming " } (row.coming_starts()) }
                                td.nowrap {
                                    span.prefix { "next " }
                                    @match row.next_start() { Some(at) => (view.time(Time::from(at))), None => (none()) }
                                }
                            }
                        }
                    }
                }
            }
            @if timeline.others.rows > 0 {
                p.quiet { (format_count(timeline.others.rows, "row is", "rows are")) " not shown, with " (format_count(timeline.others.runs, "run", "runs")) " (" (timeline.others.failed) " failed) and " (format_count(timeline.others.starts, "coming start", "coming starts")) "." }
            }
        }
    }
}

/// Clock changes, crowded minutes, quiet times and what is not known.
fn general_facts(timeline: &Timeline) -> Markup {
    let all: Vec<Fact> = facts(timeline).into_iter().filter(|fact| fact.row.is_none()).collect();
    html! { @if !all.is_empty() { h3 { "All rows together" } (list(&all, "Facts of all rows")) } }
}

/// The runs and starts of each row, of many those around now.
fn facts_of_rows(timeline: &Timeline) -> Markup {
    let mut of_rows: Vec<Vec<Fact>> = timeline.rows.iter().map(|_| Vec::new()).collect();
    for fact in facts(timeline) {
        if let Some(row) = fact.row.and_then(|row| of_rows.get_mut(row)) {
            row.push(fact);
        }
    }
    html! {
        @if !timeline.rows.is_empty() { h3 { "Runs and starts" } }
        @for (row, all) in timeline.rows.iter().zip(&of_rows) {
            @let name = if timeline.is_by_user || row.label.job.is_empty() { &row.label.user } else { &row.label.job };
            @let around = facts_around(all, timeline.now);
            details data-of=(shown(name)) {
                summary { (shown(name)) }
                (list(around, &format!("Runs and starts of {}", shown(name))))
                @if around.len() < all.len() {
                    p.quiet { (format_count((all.len() - around.len()) as u64, "more fact is", "more facts are")) " not listed: choose a shorter time." }
                }
            }
        }
    }
}

/// At most [`MOST_FACTS`] of the facts of a row, which are in order of time: those around now.
fn facts_around(all: &[Fact], now: Timestamp) -> &[Fact] {
    let past = all.partition_point(|fact| fact.from <= now);
    let begin = past.saturating_sub(MOST_FACTS / 2).min(all.len().saturating_sub(MOST_FACTS));
    all.get(begin..all.len().min(begin + MOST_FACTS)).unwrap_or_default()
}

fn list(all: &[Fact], name: &str) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label=(name) {
            table.brief {
                caption.hidden { (name) }
                thead { tr { th scope="col" { "When" } th scope="col" { "What" } } }
                tbody { @for fact in all { tr { td.nowrap { (fact.when) } td { (what(fact)) } } } }
            }
        }
    }
}

/// What a fact is, by colour, sign and words.
fn what(fact: &Fact) -> Markup {
    let (class, sign) = match fact.kind {
        FactKind::Past(_) => class_of(fact.kind.word()),
        FactKind::Overlap | FactKind::Clock => ("held", "!"),
        FactKind::Coming | FactKind::Crowded | FactKind::Quiet | FactKind::Unknown => ("off", ""),
    };
    html! {
        span class={ "mark-" (class) } {
            @if !sign.is_empty() { span.sign aria-hidden="true" { (sign) } " " }
            (fact.what)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_lists_what_is_nearest_to_now() {
        let fact = |from: i64| Fact {
            kind: FactKind::Coming,
            row: Some(0),
            from: Timestamp(from),
            until: None,
            count: 1,
            run: None,
            when: String::new(),
            what: String::new(),
        };
        let all: Vec<Fact> = (0..1_000).map(fact).collect();
        let told = |now| facts_around(&all, Timestamp(now)).iter().map(|fact| fact.from.0).collect::<Vec<_>>();
        assert_eq!(told(500), (471..531).collect::<Vec<_>>());
        assert_eq!(told(-5), (0..60).collect::<Vec<_>>());
        assert_eq!(told(5_000), (940..1_000).collect::<Vec<_>>());
        assert_eq!(facts_around(&all[..7], Timestamp(500)).len(), 7);
    }
}
