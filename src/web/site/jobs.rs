//! All jobs: search, filter, order, pages.

use super::app::App;
use super::backend::{Backend, Fault};
use super::page::{Nav, Page, View, job_link, last, outcome_of, percent_encoded, schedule, shown, state};
use crate::report::format_count;
use crate::varlink::cron::{Filter, Job, List, ListArguments, Status};
use crate::varlink::history::RunsArguments;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;

/// Jobs of one page.
const OF_PAGE: usize = 50;
/// Jobs that are put in order. Behind these, a search helps more than another page.
const MOST_SORTED: usize = 10_000;
/// Letters of a command that are shown.
const COMMAND: usize = 160;
/// Rows of the history in which the last runs of jobs are looked for that the daemon does not know.
const LOOKED_AT: u64 = 500;
/// Longest search text.
const LONGEST: usize = 200;

/// Names of states that can be chosen, in this order.
const STATES: [(&str, &str); 8] = [
    ("", "all"),
    ("failing", "failing"),
    ("late", "late"),
    ("running", "running"),
    ("waiting", "waiting"),
    ("retrying", "retrying"),
    ("paused", "paused"),
    ("disabled", "disabled"),
];

const ORDERS: [(&str, &str); 5] = [
    ("", "as in the tables"),
    ("name", "name"),
    ("next", "next run"),
    ("last", "last run"),
    ("failures", "failures in a row"),
];

/// What is asked for, in the address of the page.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Search {
    /// A part of name, command, schedule or table.
    #[serde(default)]
    pub q: String,
    /// A state, `failing` or `late`.
    #[serde(default)]
    pub state: String,
    /// As whom they run.
    #[serde(default)]
    pub user: String,
    /// The order.
    #[serde(default)]
    pub sort: String,
    /// The page, from 1.
    #[serde(default)]
    pub page: String,
}

impl Search {
    fn page(&self) -> usize {
        self.page.parse().unwrap_or(1).clamp(1, 1_000_000)
    }

    /// How many pages so many jobs have.
    fn pages(&self, count: usize) -> usize {
        let most = if self.sort.is_empty() { count } else { count.min(MOST_SORTED) };
        most.div_ceil(OF_PAGE).max(1)
    }

    /// Whether the daemon chooses the jobs, or none is left out.
    fn is_of_daemon(&self) -> bool {
        self.q.is_empty() && !matches!(self.state.as_str(), "failing" | "late")
    }

    fn is_unfiltered(&self) -> bool {
        self.is_of_daemon() && self.state.is_empty() && self.user.is_empty()
    }

    fn filter(&self) -> Filter {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let state = given(&self.state).filter(|_| !matches!(self.state.as_str(), "failing" | "late"));
        Filter { user: given(&self.user), state, ..Filter::default() }
    }

    fn takes(&self, job: &Job, wanted: &str) -> bool {
        let has = |text: &str| text.to_lowercase().contains(wanted);
        let is_in_state = match self.state.as_str() {
            "failing" => job.failures > 0,
            "late" => job.late,
            _ => true,
        };
        is_in_state
            && (wanted.is_empty()
                || [&job.job, &job.command, &job.schedule, &job.source].into_iter().any(|text| has(text)))
    }

    /// The address of another page of the same search.
    fn address(&self, page: usize) -> String {
        let mut address = format!("/jobs?page={page}");
        for (name, value) in [("q", &self.q), ("state", &self.state), ("user", &self.user), ("sort", &self.sort)] {
            if !value.is_empty() {
                address += &format!("&{name}={}", percent_encoded(value));
            }
        }
        address
    }
}

/// The jobs of one page of a search.
struct Found {
    jobs: Vec<Job>,
    /// How many there are on all pages together.
    count: usize,
}

/// Makes the page.
///
/// # Errors
///
/// The daemon does not answer.
pub fn page(app: &App, daemon: &mut Backend, search: &Search) -> Result<Page, Fault> {
    if [&search.q, &search.state, &search.user, &search.sort].into_iter().any(|text| text.len() > LONGEST) {
        return Err(Fault::Wrong(format!("expected at most {LONGEST} letters to search for")));
    }
    let mut found = find(daemon, search)?;
    add_last_runs(daemon, &mut found.jobs);
    let view = View::of(app);
    Ok(Page { is_live: true, ..Page::of(Nav::Jobs, "Jobs", body(&view, search, &found)) })
}

fn find(daemon: &mut Backend, search: &Search) -> Result<Found, Fault> {
    let first = (search.page() - 1) * OF_PAGE;
    let wanted = search.q.trim().to_lowercase();
    let arguments = ListArguments { filter: Some(search.filter()) };
    let (mut jobs, mut count) = (Vec::new(), 0);
    if search.sort.is_empty() {
        let all =
            if search.is_unfiltered() { Some(daemon.call::<Status>("Status", &json!({}))?.entries) } else { None };
        daemon.another()?.call_more("List", &arguments, |list: List| {
            for job in list.jobs {
                if search.takes(&job, &wanted) {
                    if count >= first && jobs.len() < OF_PAGE {
                        jobs.push(job);
                    }
                    count += 1;
                }
            }
            // The rest of the list only counts, and how long it is may be known.
            all.is_none() || jobs.len() < OF_PAGE
        })?;
        return Ok(Found { jobs, count: all.unwrap_or(count).max(count) });
    }
    let end = first + OF_PAGE;
    if end > MOST_SORTED {
        return Err(Fault::Wrong(format!(
            "expected one of the first {MOST_SORTED} jobs; search for a part of the name"
        )));
    }
    daemon.another()?.call_more("List", &arguments, |list: List| {
        for job in list.jobs.into_iter().filter(|job| search.takes(job, &wanted)) {
            count += 1;
            jobs.push(job);
        }
        if jobs.len() > end + MOST_SORTED {
            sort(&mut jobs, &search.sort);
            jobs.truncate(end);
        }
        true
    })?;
    sort(&mut jobs, &search.sort);
    Ok(Found { jobs: jobs.into_iter().skip(first).take(OF_PAGE).collect(), count })
}

fn sort(jobs: &mut [Job], order: &str) {
    let ended = |job: &Job| job.last.as_ref().map(|last| last.ended_at.unwrap_or(last.scheduled_at));
    match order {
        "next" => jobs.sort_by_key(|job| (job.next.is_none(), job.next)),
        "last" => jobs.sort_by_key(|job| std::cmp::Reverse(ended(job))),
        "failures" => jobs.sort_by_key(|job| std::cmp::Reverse((job.failures, job.late))),
        _ => jobs.sort_by(|one, other| one.job.cmp(&other.job)),
    }
}

/// Fills in the last runs that the daemon does not know, because it was started later.
fn add_last_runs(daemon: &mut Backend, jobs: &mut [Job]) {
    if jobs.iter().all(|job| job.last.is_some()) {
        return;
    }
    let Ok(mut history) = daemon.history() else { return };
    let newest = RunsArguments { limit: Some(LOOKED_AT), ..RunsArguments::default() };
    let mut last = HashMap::new();
    for run in history.runs(&newest).unwrap_or_default() {
        if run.run.is_some() && run.outcome != "running" {
            last.entry(run.job.clone()).or_insert_with(|| outcome_of(&run));
        }
    }
    for job in jobs.iter_mut().filter(|job| job.last.is_none()) {
        job.last = last.remove(&job.job);
    }
}

fn body(view: &View<'_>, search: &Search, found: &Found) -> Markup {
    let (page, pages) = (search.page(), search.pages(found.count));
    let first = (page - 1) * OF_PAGE;
    html! {
        div.title { h1 { "Jobs" } }
        section aria-label="Jobs" {
            form.filter method="get" action="/jobs" role="search" {
                label.wide { "Search" input type="search" name="q" value=(search.q) maxlength=(LONGEST) placeholder="name, command, schedule or file"; }
                label { "State" select name="state" { @for (value, name) in STATES { option value=(value) selected[value == search.state] { (name) } } } }
                label { "Order" select name="sort" { @for (value, name) in ORDERS { option value=(value) selected[value == search.sort] { (name) } } } }
                @if !search.user.is_empty() { label { "User" input name="user" value=(search.user) maxlength=(LONGEST); } }
                button type="submit" { "Show" }
            }
            div #found {
                @if found.jobs.is_empty() {
                    p.empty {
                        @if found.count > 0 {
                            "There is no page " (page) ". " a href=(search.address(pages)) { "Show the last one" }
                        } @else if search.is_unfiltered() { "There are no jobs that you may see." } @else { "No job matches. " a href="/jobs" { "Show all" } }
                    }
                } @else {
                    (table(view, &found.jobs))
                    nav.pages aria-label="Pages of jobs" {
                        p #count {
                            (first + 1) "–" (first + found.jobs.len()) " of " (format_count(found.count as u64, "job", "jobs"))
                        }
                        @if pages > 1 {
                            ul {
                                @if page > 1 { li { a href=(search.address(page - 1)) rel="prev" { "← Previous" } } }
                                li { "page " (page) " of " (pages) }
                                @if page < pages { li { a href=(search.address(page + 1)) rel="next" { "Next →" } } }
                            }
                            @if page == pages && page * OF_PAGE < found.count {
                                p.quiet { "No more are put in order: search for a part of the name." }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn table(view: &View<'_>, jobs: &[Job]) -> Markup {
    html! {
        table.brief {
            caption.hidden { "Jobs" }
            thead {
                tr {
                    th scope="col" { "Job" } th scope="col" { "Schedule" } th scope="col" { "Last" } th scope="col" { "Next" }
                    th scope="col" { "State" } th scope="col" { "Command" }
                }
            }
            tbody {
                @for job in jobs {
                    tr {
                        th.whole scope="row" { (job_link(&job.job)) }
                        td { (schedule(&job.schedule)) }
                        td {
                            (last(view, job))
                            @if job.failures > 1 { span.quiet { " ×" (job.failures) } }
                        }
                        td { span.prefix { "next " } @match job.next { Some(next) => (view.time(next)), None => span.quiet { "–" } } }
                        td { (state(view, job)) }
                        td.command { code { (shown(&beginning(&job.command))) } }
                    }
                }
            }
        }
    }
}

/// The beginning of a command, which may be very long.
pub fn beginning(command: &str) -> String {
    match command.char_indices().nth(COMMAND) {
        Some((at, _)) => format!("{}…", command.get(..at).unwrap_or_default()),
        None => command.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_pages_end_where_jobs_are_not_put_in_order_any_more() {
        let sorted = Search { sort: "name".to_owned(), ..Search::default() };
        for (count, pages) in [(0, 1), (50, 1), (51, 2), (10_000, 200), (10_001, 200), (100_000, 200)] {
            assert_eq!(sorted.pages(count), pages, "{count}");
        }
        assert_eq!(Search::default().pages(100_000), 2_000);
    }
}
