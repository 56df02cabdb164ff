//! One run: its facts and its output.

use super::app::App;
use super::backend::{Backend, MOST_RUNNING, PageError};
use super::output::{Shown, of_run, output_box};
use super::page::{Nav, Page, View, actions, class_of, job_link, outcome, outcome_of, shown, took};
use crate::report::text;
use crate::schedule::rounded_duration;
use crate::varlink::cron::{Filter, Job, Run};
use crate::varlink::history::{Found, RunArguments, RunRecord};
use maud::{Markup, html};

/// What is known of a run.
struct Facts {
    run: u64,
    job: String,
    record: Option<RunRecord>,
    /// Its job, if it still exists.
    entry: Option<Job>,
    output: Shown,
}

/// Makes the page.
///
/// # Errors
///
/// There is no such run, or the daemon does not answer.
pub fn page(app: &App, daemon: &mut Backend, run: u64) -> Result<Page, PageError> {
    let facts = collect(daemon, run)?;
    let view = View::of(app);
    let class = facts.record.as_ref().map_or("running", |record| record.outcome.as_str());
    let title = format!("{} run {run} of {}", class_of(class).1, shown(&facts.job));
    let body = body(&view, &facts);
    Ok(Page { is_live: true, job: Some(facts.job), ..Page::of(Nav::Jobs, &title, body) })
}

fn collect(daemon: &mut Backend, run: u64) -> Result<Facts, PageError> {
    let found = daemon.history().and_then(|mut history| history.call::<Found>("Run", &RunArguments { run }));
    let record = match found {
        Ok(Found { run }) => {
            daemon.require_shown(&run.user)?;
            Some(run)
        }
        Err(PageError::NotFound(_)) => None,
        Err(fault) => return Err(fault),
    };
    let entry = match &record {
        Some(record) => {
            let filter = Filter { jobs: Some(vec![record.job.clone()]), ..Filter::default() };
            daemon.jobs(filter, 1).ok().and_then(|mut jobs| jobs.pop())
        }
        None => {
            let filter = Filter { state: Some("running".to_owned()), ..Filter::default() };
            let jobs = daemon.jobs(filter, MOST_RUNNING)?;
            jobs.into_iter().find(|job| job.running.iter().any(|going_on| going_on.run == run))
        }
    };
    let job = record.as_ref().map(|record| record.job.clone()).or(entry.as_ref().map(|job| job.job.clone()));
    let job = job.ok_or_else(|| PageError::NotFound(format!("there is no run {run}")))?;
    Ok(Facts { run, job, record, entry, output: of_run(daemon, run) })
}

fn body(view: &View<'_>, facts: &Facts) -> Markup {
    let is_live = matches!(facts.output, Shown::Live(_));
    html! {
        p.crumbs { a href="/jobs" { "Jobs" } " / " (job_link(&facts.job)) }
        div.title #title {
            h1 { "Run " (facts.run) }
            @match &facts.record {
                Some(record) => p { (outcome(&outcome_of(record))) },
                None => p { span.mark-run { span.sign aria-hidden="true" { "●" } " running" } },
            }
        }
        div #actions { @if let (true, Some(job)) = (is_live, &facts.entry) { (actions(view, job, Some(facts.run))) } }
        section aria-labelledby="output-heading" #output {
            div.heading {
                h2 #output-heading { "Output" }
                @if is_live { span.live { "live" } }
            }
            (output_box(facts.run, &facts.output))
        }
        section aria-labelledby="facts-heading" #facts {
            h2 #facts-heading { "Facts" }
            @match &facts.record {
                Some(record) => (record_facts(view, record, going_on(facts))),
                None => (running_facts(view, facts)),
            }
        }
    }
}

/// The run as the daemon knows it, while it is in progress.
fn going_on(facts: &Facts) -> Option<&Run> {
    facts.entry.iter().flat_map(|job| &job.running).find(|run| run.run == facts.run)
}

/// What only the daemon knows, while the run is in progress: the history gets it with the end.
fn live_facts(view: &View<'_>, run: &Run) -> Markup {
    html! {
        @if let Some(at) = run.started_at {
            dt { "Started" } dd { (view.full(at)) " " span.quiet { (view.time(at)) } }
            dt { "Running for" } dd { (view.since(at)) }
        }
        @if let Some(pid) = run.pid { dt { "Process" } dd { (pid) } }
    }
}

fn running_facts(view: &View<'_>, facts: &Facts) -> Markup {
    html! {
        @if let Some(run) = going_on(facts) {
            dl.facts {
                dt { "Due" } dd { (view.moment(run.slot.scheduled_at)) " " span.quiet { (view.time(run.slot.scheduled_at)) } }
                (live_facts(view, run))
                dt { "Trigger" } dd { (shown(&run.slot.trigger)) }
            }
        }
    }
}

fn record_facts(view: &View<'_>, record: &RunRecord, going_on: Option<&Run>) -> Markup {
    let megabytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    html! {
        dl.facts {
            dt { "Job" } dd { (job_link(&record.job)) }
            dt { "Due" } dd { (view.full(record.scheduled_at)) }
            @match (record.started_at, going_on) {
                (_, Some(run)) => (live_facts(view, run)),
                (Some(at), None) => { dt { "Started" } dd { (view.full(at)) " " span.quiet { (view.time(at)) } } }
                (None, None) => {}
            }
            @if let Some(at) = record.ended_at { dt { "Ended" } dd { (view.full(at)) } }
            @if let Some(seconds) = took(record) { dt { "Took" } dd { (rounded_duration(seconds)) } }
            dt { "Outcome" } dd { (outcome(&outcome_of(record))) }
            @if let Some(reason) = &record.reason { dt { "Reason" } dd { (shown(reason)) } }
            dt { "Trigger" } dd { (shown(&record.trigger)) @if record.attempt > 1 { ", attempt " (record.attempt) } }
            @if let (Some(user), Some(system)) = (record.cpu_user, record.cpu_system) {
                dt { "Processor" } dd { (rounded_duration(user)) " user, " (rounded_duration(system)) " system" }
            }
            @if let Some(bytes) = record.max_rss { dt { "Memory" } dd { (megabytes(bytes)) " at most" } }
            // How much it has written is known when it has ended.
            @if record.outcome != "running" { dt { "Output" } dd { (record.output_bytes) " bytes" } }
            @if let Some(mail) = &record.mail { dt { "Mail" } dd { (shown(mail)) } }
            @if let Some(hooks) = &record.hooks { dt { "Hooks" } dd { pre { (text::output(hooks.as_bytes())) } } }
            dt { "User" } dd { (shown(&record.user)) }
            dt { "Table" } dd { code { (shown(&record.source)) } ", line " (record.line) }
            dt { "Command" } dd { pre { (shown(&record.command)) } }
        }
    }
}
