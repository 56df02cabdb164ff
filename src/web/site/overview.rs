//! The first page: what fails, what runs, what comes next, what is late or paused.

use super::app::App;
use super::backend::{Backend, PageError};
use super::jobs::beginning;
use super::page::{Nav, Page, View, job_link, last, runs_table, sentence, shown, state};
use crate::report::format_count;
use crate::varlink::cron::{Filter, Job, NextArguments, NextStart, Status};
use crate::varlink::history::{RunRecord, RunsArguments};
use maud::{Markup, html};

/// Jobs of a kind that are shown.
const MOST: usize = 25;
/// Failing jobs that are put in order.
const MOST_FAILING: usize = 1_000;
/// Coming starts that are shown.
const NEXT: u64 = 10;
/// Past runs that are shown.
const RUNS: u64 = 12;

/// Everything that the page shows.
struct Facts {
    status: Status,
    failing: Vec<Job>,
    running: Vec<Job>,
    paused: Vec<Job>,
    next: Vec<NextStart>,
    runs: Result<Vec<RunRecord>, PageError>,
}

/// Makes the page.
///
/// # Errors
///
/// The daemon does not answer.
pub fn page(app: &App, daemon: &mut Backend) -> Result<Page, PageError> {
    let facts = collect(daemon)?;
    let view = View::of(app);
    let failing = facts.status.failing.max(facts.failing.len());
    let title = if failing > 0 {
        format!("{failing} failing on {}", app.machine)
    } else {
        format!("Overview of {}", app.machine)
    };
    Ok(Page { is_live: true, ..Page::of(Nav::Overview, &title, body(&view, &facts)) })
}

fn collect(daemon: &mut Backend) -> Result<Facts, PageError> {
    let status = daemon.status()?;
    let in_state = |daemon: &Backend, state: &str| {
        daemon.jobs(Filter { state: Some(state.to_owned()), ..Filter::default() }, MOST)
    };
    let running = if status.running > 0 { in_state(daemon, "running")? } else { Vec::new() };
    let paused = if status.paused > 0 { in_state(daemon, "paused")? } else { Vec::new() };
    let failing = if status.failing + status.late > 0 {
        let states = Some(vec!["failing".to_owned(), "late".to_owned()]);
        worst(daemon.jobs(Filter { states, ..Filter::default() }, MOST_FAILING)?)
    } else {
        Vec::new()
    };
    let mut next = Vec::new();
    let filter = Some(daemon.filter(Filter::default()));
    let arguments = NextArguments { filter, count: Some(NEXT), ..NextArguments::default() };
    daemon.call_more("Next", &arguments, |start: NextStart| {
        next.push(start);
        true
    })?;
    let runs = daemon
        .history()
        .and_then(|mut history| history.runs(&RunsArguments { limit: Some(RUNS), ..RunsArguments::default() }));
    Ok(Facts { status, failing, running, paused, next, runs })
}

/// Those that fail for the longest time, these first.
fn worst(mut jobs: Vec<Job>) -> Vec<Job> {
    jobs.sort_by_key(|job| std::cmp::Reverse(job.failures));
    jobs.truncate(MOST);
    jobs
}

fn body(view: &View<'_>, facts: &Facts) -> Markup {
    let Facts { status, .. } = facts;
    html! {
        div.title {
            h1 { "Overview" }
            p.quiet {
                "cronwheel " (shown(&status.version)) ", " (shown(&status.profile)) " profile"
                @if status.standalone { ", standalone" }
                " · up " (view.since(status.started_at))
            }
        }
        div #summary { (summary(view, status)) }
        div #alerts {
            @if let Some(until) = status.paused_all_until {
                p.banner.held { span.sign aria-hidden="true" { "‖ " } "All jobs are paused until " (view.moment(until)) ", entries that are added included." }
            }
            @if status.log_dropped > 0 {
                p.banner.bad { span.sign aria-hidden="true" { "! " } (format_count(status.log_dropped, "line", "lines")) " of the log could not be written." }
            }
        }
        section #failing aria-labelledby="failing-heading" {
            (failing_section(view, facts))
        }
        @if !status.refused.is_empty() {
            section #refused aria-labelledby="refused-heading" {
                h2 #refused-heading { "Tables that are not loaded" }
                dl.list {
                    @for refused in &status.refused {
                        div { dt { code { (shown(&refused.source)) } } dd { span.mark-bad { span.sign aria-hidden="true" { "✕ " } (shown(&refused.reason)) } } }
                    }
                }
            }
        }
        div.columns {
            div {
                section #running aria-labelledby="running-heading" { (running_section(view, facts)) }
                @if !facts.paused.is_empty() {
                    section #paused aria-labelledby="paused-heading" { (paused_section(view, facts)) }
                }
            }
            section #next aria-labelledby="next-heading" { (next_section(view, facts)) }
        }
        section #recent aria-labelledby="recent-heading" { (recent_section(view, facts)) }
    }
}

fn summary(view: &View<'_>, status: &Status) -> Markup {
    let figure = |count: usize, name: &str, class: &'static str, link: &str| {
        let class = if count > 0 { class } else { "" };
        html! { li { a class={ "figure " (class) } href=(link) { b { (count) } " " span { (name) } } } }
    };
    html! {
        ul.figures aria-label="Summary" {
            (figure(status.failing, "failing", "bad", "/jobs?state=failing"))
            (figure(status.late, "late", "bad", "/jobs?state=late"))
            (figure(status.running, "running", "run", "/jobs?state=running"))
            (figure(status.waiting, "waiting", "held", "/jobs?state=waiting"))
            (figure(status.paused, "paused", "held", "/jobs?state=paused"))
            (figure(status.entries, if status.entries == 1 { "job" } else { "jobs" }, "", "/jobs"))
            li.next {
                span.figure {
                    @match status.next {
                        Some(next) => { b { (view.time(next)) } " " span { "next start" } }
                        None => { b { "–" } " " span { "nothing is due" } }
                    }
                }
            }
        }
    }
}

fn failing_section(view: &View<'_>, facts: &Facts) -> Markup {
    if facts.failing.is_empty() {
        return html! {
            h2.hidden #failing-heading { "Failing jobs" }
            p.banner.ok { span.sign aria-hidden="true" { "✓ " } "No job fails, and none is late." }
        };
    }
    html! {
        h2 #failing-heading { "Needs attention" }
        table.brief.attention {
            caption.hidden { "Jobs that fail or are late" }
            thead {
                tr {
                    th scope="col" { "Job" }
                    th scope="col" { "Last run" }
                    th scope="col" { "Failures" }
                    th scope="col" { "Next" }
                    th scope="col" { "Command" }
                }
            }
            tbody {
                @for job in &facts.failing {
                    tr {
                        th.whole scope="row" { (job_link(&job.job)) }
                        td.last {
                            (last(view, job))
                            @if job.late { " " span.mark-bad { span.sign aria-hidden="true" { "!" } " late" } }
                            @if let Some(run) = job.last.as_ref().and_then(|last| last.run) {
                                " · "
                                a href={ "/run/" (run) } aria-label={ "Output of the last run of " (shown(&job.job)) } { "output" }
                            }
                        }
                        td.nowrap.none[job.failures < 2] {
                            @match job.failures { 0 => span.quiet { "–" }, 1 => "1", count => { (count) " in a row" } }
                        }
                        td { span.prefix { "next " } @match job.next { Some(next) => (view.time(next)), None => span.quiet { "–" } } }
                        td.command { code { (shown(&beginning(&job.command))) } }
                    }
                }
            }
        }
        @if facts.failing.len() == MOST { p.more { a href="/jobs?state=failing" { "All failing jobs" } } }
    }
}

fn running_section(view: &View<'_>, facts: &Facts) -> Markup {
    html! {
        h2 #running-heading { "Running" }
        @if facts.running.is_empty() { p.empty { "Nothing runs at the moment." } } @else {
            table.brief {
                caption.hidden { "Jobs that run" }
                thead.hidden { tr { th scope="col" { "Job" } th scope="col" { "For" } th scope="col" { "Output" } } }
                tbody {
                    @for job in &facts.running {
                        @for run in &job.running {
                            tr {
                                th scope="row" { (job_link(&job.job)) }
                                td { span.mark-run { span.sign aria-hidden="true" { "●" } " " @match run.started_at { Some(at) => (view.since(at)), None => "running" } } }
                                td.number { a href={ "/run/" (run.run) } aria-label={ "Output of run " (run.run) " of " (shown(&job.job)) } { "output" } }
                            }
                        }
                    }
                }
            }
            @if facts.running.len() == MOST { p.more { a href="/jobs?state=running" { "All that run" } } }
        }
    }
}

fn next_section(view: &View<'_>, facts: &Facts) -> Markup {
    html! {
        h2 #next-heading { "Next" }
        @if facts.next.is_empty() { p.empty { "Nothing is due." } } @else {
            table.brief {
                caption.hidden { "Coming starts" }
                thead.hidden { tr { th scope="col" { "At" } th scope="col" { "Job" } th scope="col" { "In" } } }
                tbody {
                    @for start in &facts.next {
                        tr {
                            td { (view.moment(start.at)) }
                            th.whole.first scope="row" { (job_link(&start.job)) }
                            td.number { (view.time(start.at)) }
                        }
                    }
                }
            }
        }
    }
}

fn paused_section(view: &View<'_>, facts: &Facts) -> Markup {
    html! {
        h2 #paused-heading { "Paused" }
        table.brief {
            caption.hidden { "Paused jobs" }
            thead.hidden { tr { th scope="col" { "Job" } th scope="col" { "Pause" } } }
            tbody {
                @for job in &facts.paused {
                    tr {
                        th.whole scope="row" { (job_link(&job.job)) }
                        td {
                            (state(view, job))
                            @if let Some(by) = &job.paused_by { span.quiet { " by " (shown(by)) } }
                            @if let Some(note) = job.note.as_deref().filter(|note| !note.is_empty()) { span.quiet { ": " (shown(note)) } }
                        }
                    }
                }
            }
        }
        @if facts.paused.len() == MOST { p.more { a href="/jobs?state=paused" { "All paused jobs" } } }
    }
}

fn recent_section(view: &View<'_>, facts: &Facts) -> Markup {
    html! {
        h2 #recent-heading { "Recent runs" }
        @match &facts.runs {
            Ok(runs) if runs.is_empty() => p.empty { "Nothing has run yet." },
            Ok(runs) => (runs_table(view, runs, true, "Recent runs, newest first")),
            Err(why) => p.empty { (sentence(&why.to_string())) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_jobs_that_fail_for_the_longest_time_are_shown() {
        let job = |failures: u32| -> Job {
            let slots = json!({
                "job": "alice:a", "user": "alice", "name": "a", "named": true, "source": "/t", "line": 1, "kind": "user",
                "schedule": "@daily", "zone": "UTC", "command": "true", "state": "idle", "enabled": true,
                "failures": failures, "late": false, "running": [], "waiting": 0,
            });
            serde_json::from_value(slots).unwrap()
        };
        let shown: Vec<_> = worst((1..=40).map(job).collect()).into_iter().map(|job| job.failures).collect();
        assert_eq!(shown, (16..=40).rev().collect::<Vec<_>>());
    }
}
