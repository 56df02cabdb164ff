//! All jobs: search, filter, order, pages.

use super::app::App;
use super::backend::{Backend, PageError};
use super::page::{Nav, Page, View, job_link, last, outcome_of, percent_encoded, schedule, shown, state};
use crate::report::format_count;
use crate::varlink::cron::{Filter, Job, List, ListArguments};
use crate::varlink::history::RunsArguments;
use maud::{Markup, html};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};

/// Jobs on one page of the list.
const OF_PAGE: usize = 50;
/// Jobs that are kept while they are put in order. For pages behind these, the daemon is asked twice.
const MOST_KEPT: usize = 10_000;
/// Jobs that are put in order at all.
const MOST_SORTED: usize = 200_000;
/// Characters of a command that are shown.
const COMMAND: usize = 160;
/// The last run of a job that the daemon does not know is searched for in so many rows of the history.
const LOOKED_AT: u64 = 500;
/// Maximum length of a search text, in characters.
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
    /// The user that the jobs run as.
    #[serde(default)]
    pub user: String,
    /// The order, a key of `ORDERS`; empty: as in the crontabs.
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
    fn pages(count: usize) -> usize {
        count.div_ceil(OF_PAGE).max(1)
    }

    fn is_unfiltered(&self) -> bool {
        self.q.is_empty() && self.state.is_empty() && self.user.is_empty()
    }

    /// What the daemon selects. It has no search for texts.
    fn filter(&self) -> Filter {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Filter { user: given(&self.user), states: given(&self.state).map(|state| vec![state]), ..Filter::default() }
    }

    fn takes(job: &Job, wanted: &str) -> bool {
        let has = |text: &str| text.to_lowercase().contains(wanted);
        wanted.is_empty() || [&job.job, &job.command, &job.schedule, &job.source].into_iter().any(|text| has(text))
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
pub fn page(app: &App, daemon: &mut Backend, search: &Search) -> Result<Page, PageError> {
    if [&search.q, &search.state, &search.user, &search.sort].into_iter().any(|text| text.len() > LONGEST) {
        return Err(PageError::Wrong(format!("expected at most {LONGEST} characters to search for")));
    }
    let mut found = find(daemon, search)?;
    add_last_runs(daemon, &mut found.jobs);
    let view = View::of(app);
    Ok(Page { is_live: true, ..Page::of(Nav::Jobs, "Jobs", body(&view, search, &found)) })
}

fn find(daemon: &mut Backend, search: &Search) -> Result<Found, PageError> {
    let first = (search.page() - 1) * OF_PAGE;
    if search.sort.is_empty() {
        return find_in_order_of_tables(daemon, search, first);
    }
    let end = first + OF_PAGE;
    if end <= MOST_KEPT {
        let (mut jobs, mut count) = (Vec::new(), 0);
        for_each(daemon, search, |job| {
            jobs.push(job);
            count += 1;
            if jobs.len() >= end + MOST_KEPT {
                sort(&mut jobs, &search.sort);
                jobs.truncate(end);
            }
            true
        })?;
        sort(&mut jobs, &search.sort);
        return Ok(Found { jobs: jobs.into_iter().skip(first).take(OF_PAGE).collect(), count });
    }
    // Far behind, only the keys of all jobs are kept, and those of the page are asked for again.
    let mut keys = Vec::new();
    for_each(daemon, search, |job| {
        keys.push(key(&job, &search.sort));
        keys.len() < MOST_SORTED
    })?;
    let count = keys.len();
    keys.sort();
    let wanted: HashSet<String> = keys.into_iter().skip(first).take(OF_PAGE).map(|key| key.job).collect();
    let mut jobs = Vec::new();
    if !wanted.is_empty() {
        for_each(daemon, search, |job| {
            jobs.extend(Some(job).filter(|job| wanted.contains(&job.job)));
            jobs.len() < wanted.len()
        })?;
    }
    sort(&mut jobs, &search.sort);
    Ok(Found { jobs, count })
}

fn find_in_order_of_tables(daemon: &mut Backend, search: &Search, first: usize) -> Result<Found, PageError> {
    let all = if search.is_unfiltered() { Some(daemon.status()?.entries) } else { None };
    let (mut jobs, mut count) = (Vec::new(), 0);
    for_each(daemon, search, |job| {
        if count >= first && jobs.len() < OF_PAGE {
            jobs.push(job);
        }
        count += 1;
        // The rest of the list only counts, and how long it is may be known.
        all.is_none() || jobs.len() < OF_PAGE
    })?;
    Ok(Found { jobs, count: all.unwrap_or(count).max(count) })
}

/// Passes the jobs of a search to `take`, which says whether more are wanted.
fn for_each(daemon: &Backend, search: &Search, mut take: impl FnMut(Job) -> bool) -> Result<(), PageError> {
    let wanted = search.q.trim().to_lowercase();
    let arguments = ListArguments { filter: Some(daemon.filter(search.filter())) };
    // After an answer that is not read to its end, a connection is of no more use.
    daemon.another()?.call_more("List", &arguments, |list: List| {
        list.jobs.into_iter().filter(|job| Search::takes(job, &wanted)).all(&mut take)
    })
}

/// What jobs are ordered by: two numbers, then the id.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SortKey {
    first: i64,
    second: i64,
    job: String,
}

fn key(job: &Job, order: &str) -> SortKey {
    let ended = || job.last.as_ref().map_or(i64::MIN, |last| last.ended_at.unwrap_or(last.scheduled_at).0);
    let (first, second) = match order {
        "next" => (i64::from(job.next.is_none()), job.next.map_or(0, |next| next.0)),
        "last" => (ended().saturating_neg(), 0),
        "failures" => (-i64::from(job.failures), -i64::from(job.late)),
        _ => (0, 0),
    };
    SortKey { first, second, job: job.job.clone() }
}

fn sort(jobs: &mut [Job], order: &str) {
    jobs.sort_by_cached_key(|job| key(job, order));
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
    let (page, pages) = (search.page(), Search::pages(found.count));
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
                            @if !search.sort.is_empty() && found.count >= MOST_SORTED && page == pages {
                                p.quiet { "No more than " (MOST_SORTED) " jobs are put in order: search for a part of the name." }
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
                        td.last {
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
    use crate::varlink::Time;
    use serde_json::json;

    fn job(name: &str, next: Option<i64>, failures: u32) -> Job {
        let job = json!({
            "job": name, "user": "alice", "name": name, "named": true, "source": "/t", "line": 1, "kind": "user",
            "schedule": "@daily", "zone": "UTC", "command": "true", "state": "idle", "enabled": true,
            "failures": failures, "late": false, "running": [], "waiting": 0,
        });
        Job { next: next.map(Time), ..serde_json::from_value(job).unwrap() }
    }

    #[test]
    fn jobs_are_ordered_by_what_is_asked_for_and_then_by_id() {
        let jobs = || [job("c", Some(5), 0), job("b", None, 3), job("a", Some(9), 0), job("d", Some(5), 1)];
        for (order, expected) in [("name", "abcd"), ("next", "cdab"), ("failures", "bdac"), ("last", "abcd")] {
            let mut jobs = jobs();
            sort(&mut jobs, order);
            assert_eq!(jobs.iter().map(|job| job.job.as_str()).collect::<String>(), expected, "{order}");
        }
    }
}
