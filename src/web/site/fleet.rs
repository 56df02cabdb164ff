//! The fleet: its nodes, and the jobs of which each slot runs on one of them.

use super::app::App;
use super::backend::{Backend, PageError};
use super::page::{Nav, Page, View, job_link, sentence, shown};
use crate::report::format_count;
use crate::varlink::cron::{Filter, Fleet, FleetJob, FleetJobs, FleetJobsArguments, FleetNode};
use maud::{Markup, html};
use serde_json::json;

/// Jobs that the page lists at most.
const MOST_JOBS: usize = 200;
/// The most seconds that a clock may be off without a warning.
const CLOCK_NOTED: f64 = 1.0;

/// Makes the page.
///
/// # Errors
///
/// The daemon does not answer.
pub fn page(app: &App, daemon: &mut Backend) -> Result<Page, PageError> {
    let fleet: Fleet = daemon.call("Fleet", &json!({}))?;
    if fleet.name.is_none() {
        let body = html! {
            div.title { h1 { "Fleet" } }
            section.message {
                p { "No fleet is set up. The jobs of this machine run on this machine only." }
                p.quiet { "The manual page cronwheel-fleet(7) says how several machines share their jobs." }
            }
        };
        return Ok(Page::of(Nav::Fleet, "Fleet", body));
    }
    let mut jobs = Vec::new();
    let arguments = FleetJobsArguments { filter: Some(daemon.filter(Filter::default())) };
    // The rest of a long list is not waited for.
    daemon.another()?.call_more("FleetJobs", &arguments, |page: FleetJobs| {
        let room = MOST_JOBS + 1 - jobs.len();
        jobs.extend(page.jobs.into_iter().take(room));
        jobs.len() <= MOST_JOBS
    })?;
    // Those that are not the same everywhere come first, as what fails does on the overview.
    jobs.sort_by_key(|job| !is_noted(job));
    let view = View::of(app);
    Ok(Page { is_live: true, ..Page::of(Nav::Fleet, "Fleet", body(&view, &fleet, &jobs)) })
}

fn is_noted(job: &FleetJob) -> bool {
    job.differs || job.fleet.is_empty() || job.state.as_deref() == Some("lost")
}

fn body(view: &View<'_>, fleet: &Fleet, jobs: &[FleetJob]) -> Markup {
    html! {
        div.title { h1 { "Fleet " (shown(fleet.name.as_deref().unwrap_or_default())) } }
        @if fleet.engine != "up" || !fleet.warnings.is_empty() {
            section.message.bad aria-label="Warnings" {
                @if fleet.engine != "up" {
                    p {
                        span aria-hidden="true" { "✕ " }
                        "The engine (etcd) cannot be reached"
                        @if let Some(since) = fleet.since { ", since " (view.time(since)) }
                        ". Fleet jobs do what CRON_FLEET_AWAY says."
                    }
                    @if let Some(why) = &fleet.why { p.quiet { (shown(&sentence(why))) } }
                }
                @for warning in &fleet.warnings { p { (shown(&sentence(warning))) } }
            }
        }
        section aria-labelledby="nodes" {
            h2 #nodes { "Nodes" }
            @if fleet.nodes.is_empty() {
                p.empty { "No node is shown: only root and the members of view-group see them, and while the engine is away nobody does." }
            } @else { (nodes(view, &fleet.nodes)) }
        }
        section aria-labelledby="jobs" {
            h2 #jobs { "Jobs" }
            @if jobs.is_empty() {
                p.empty { "There are no jobs with CRON_FLEET=one that you may see." }
            } @else {
                (job_table(view, jobs.get(..MOST_JOBS).unwrap_or(jobs)))
                p.quiet {
                    (format_count(fleet.jobs as u64, "fleet job", "fleet jobs")) ", "
                    (fleet.differing) " not the same on all nodes."
                    @if jobs.len() > MOST_JOBS { " The first " (MOST_JOBS) " are shown; all of them: " code { "cronctl list --fleet" } "." }
                }
            }
        }
    }
}

fn nodes(view: &View<'_>, nodes: &[FleetNode]) -> Markup {
    html! {
        table.brief {
            caption.hidden { "Nodes" }
            thead {
                tr {
                    th scope="col" { "Node" } th scope="col" { "State" } th scope="col" { "Clock" } th scope="col" { "Jobs" }
                    th scope="col" { "Contact" } th scope="col" { "Version" } th scope="col" { "Labels" }
                }
            }
            tbody {
                @for node in nodes {
                    tr {
                        th.whole scope="row" { (shown(&node.node)) }
                        td { (node_state(&node.state)) }
                        td {
                            @match node.clock_offset {
                                Some(offset) => { (clock(offset)) @if offset.abs() > CLOCK_NOTED { " ✕" } }
                                None => span.quiet { "–" }
                            }
                        }
                        td { (node.jobs) }
                        td { @match node.contact { Some(at) => (view.time(at)), None => span.quiet { "–" } } }
                        td { (shown(&node.version)) }
                        td { (shown(&node.labels.join(", "))) }
                    }
                }
            }
        }
    }
}

fn node_state(state: &str) -> Markup {
    match state {
        "here" => html! { "this node" },
        "up" => html! { "up" },
        "clock" => html! { span aria-hidden="true" { "✕ " } "wrong clock" },
        other => html! { span aria-hidden="true" { "✕ " } (shown(other)) },
    }
}

/// `+0.1 s`.
fn clock(seconds: f64) -> String {
    // Not -0.0.
    format!("{:+.1} s", (seconds * 10.0).round() / 10.0 + 0.0)
}

fn job_table(view: &View<'_>, jobs: &[FleetJob]) -> Markup {
    html! {
        table.brief {
            caption.hidden { "Fleet jobs" }
            thead {
                tr {
                    th scope="col" { "Job" } th scope="col" { "Last" } th scope="col" { "On" } th scope="col" { "State" }
                    th scope="col" { "Next on" } th scope="col" { "Known on" }
                }
            }
            tbody {
                @for job in jobs {
                    tr {
                        th.whole scope="row" { @if job.fleet.is_empty() { (shown(&job.job)) } @else { (job_link(&job.job)) } }
                        td { @match job.slot { Some(slot) => (view.time(slot)), None => span.quiet { "–" } } }
                        td { (shown(job.node.as_deref().unwrap_or("–"))) }
                        td { (job_state(view, job)) }
                        td { (shown(job.next_node.as_deref().unwrap_or("–"))) }
                        td {
                            (shown(&job.known_on.join(", ")))
                            @if job.known_count > job.known_on.len() { " and " (job.known_count - job.known_on.len()) " more" }
                            @if job.differs { " " strong { "(differ)" } }
                        }
                    }
                }
            }
        }
    }
}

fn job_state(view: &View<'_>, job: &FleetJob) -> Markup {
    match (job.paused_until, job.state.as_deref()) {
        (Some(until), _) => html! { "paused until " (view.moment(until)) },
        (None, Some("claimed")) => html! { "running" },
        (None, Some("second")) => html! { "running again (failover)" },
        (None, Some("lost")) => html! { span aria-hidden="true" { "✕ " } "lost" },
        (None, Some(other)) => html! { (shown(other)) },
        (None, None) => html! { span.quiet { "–" } },
    }
}
