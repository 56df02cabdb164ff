//! One job: what it is, when it runs, how its runs went, and what can be done with it.

use super::app::App;
use super::backend::{Backend, PageError};
use super::output::{self, Shown, output_box};
use super::page::{
    Nav, Page, View, actions, class_of, job_path, outcome, outcome_of, percent_encoded, runs_table, sentence,
    shell_quoted, shown, state,
};
use super::{chart, check};
use crate::report::format_count;
use crate::schedule::rounded_duration;
use crate::varlink::cron::{Filter, Job, JobArguments, NameValue, Show, Why, WhyArguments};
use crate::varlink::history::{RunRecord, RunsArguments, Summary, SummaryArguments};
use maud::{Markup, html};

/// Past runs on a page.
const RUNS: u64 = 40;

/// What is known of a job.
struct Facts {
    job: Job,
    /// What only those see who see all of it.
    show: Option<Show>,
    why: Option<Why>,
    runs: Result<Vec<RunRecord>, PageError>,
    summary: Option<Summary>,
    output: Option<(u64, Shown)>,
    /// The page of runs begins behind this one.
    before: Option<u64>,
}

/// Makes the page of a job; of its runs those that came before a run.
///
/// # Errors
///
/// There is no such job, or the daemon does not answer.
pub fn page(app: &App, daemon: &mut Backend, name: &str, before: Option<u64>) -> Result<Page, PageError> {
    let facts = collect(daemon, name, before)?;
    let view = View::of(app);
    let (_, sign) = facts.job.last.as_ref().map(|last| class_of(&last.outcome)).unwrap_or_default();
    let title = format!("{sign} {}", shown(&facts.job.job)).trim().to_owned();
    let body = body(&view, &facts);
    Ok(Page { is_live: true, job: Some(facts.job.job), ..Page::of(Nav::Jobs, &title, body) })
}

fn collect(daemon: &mut Backend, name: &str, before: Option<u64>) -> Result<Facts, PageError> {
    let show: Option<Show> = match daemon.call("Show", &JobArguments { job: name.to_owned() }) {
        Ok(show) => Some(show),
        // The user of a system table's entry sees less of it.
        Err(PageError::Denied(_)) => None,
        Err(fault) => return Err(fault),
    };
    let job = match &show {
        Some(show) => show.job.clone(),
        None => {
            let filter = Filter { jobs: Some(vec![name.to_owned()]), ..Filter::default() };
            daemon.jobs(filter, 1)?.pop().ok_or_else(|| PageError::NotFound(format!("there is no job {name:?}")))?
        }
    };
    daemon.require_shown(&job.user)?;
    let why = daemon.call("Why", &WhyArguments { job: job.job.clone(), at: None }).ok();
    let mut history = daemon.history();
    let runs = match &mut history {
        Ok(history) => {
            let arguments =
                RunsArguments { job: Some(job.job.clone()), before, limit: Some(RUNS), ..RunsArguments::default() };
            match history.runs(&arguments) {
                // The history does not know it yet.
                Err(PageError::NotFound(_)) => Ok(Vec::new()),
                runs => runs,
            }
        }
        Err(why) => Err(why.clone()),
    };
    let summary =
        history.ok().and_then(|mut history| history.call("Summary", &SummaryArguments { job: job.job.clone() }).ok());
    let newest = runs.as_ref().ok().and_then(|runs| runs.iter().find_map(|run| run.run)).filter(|_| before.is_none());
    let run = job.running.iter().map(|run| run.run).max().or(job.last.as_ref().and_then(|last| last.run)).or(newest);
    let output = run.filter(|_| show.is_some()).map(|run| (run, output::of_run(daemon, run)));
    Ok(Facts { job, show, why, runs, summary, output, before })
}

fn body(view: &View<'_>, facts: &Facts) -> Markup {
    let Facts { job, show, .. } = facts;
    html! {
        p.crumbs { a href="/jobs" { "Jobs" } " / " a href={ "/jobs?user=" (percent_encoded(&job.user)) } { (shown(&job.user)) } }
        div.title #title {
            h1 { (shown(&job.name)) }
            p { (state(view, job)) }
            @if job.failures > 0 {
                p.mark-bad { span.sign aria-hidden="true" { "✕" } " " @if job.failures == 1 { "the last run failed" } @else { (job.failures) " failures in a row" } }
            }
        }
        @if let Some(by) = &job.paused_by {
            p.banner.held #pause {
                span.sign aria-hidden="true" { "‖ " } "Paused by " (shown(by))
                @if let Some(until) = job.paused_until { " until " (view.moment(until)) }
                @if let Some(note) = job.note.as_deref().filter(|note| !note.is_empty()) { ": " (shown(note)) }
            }
        }
        div #actions { (actions(view, job, None)) }
        div.columns {
            section aria-labelledby="when-heading" #when { (when_section(view, facts)) }
            section aria-labelledby="output-heading" #output { (output_section(view, facts)) }
        }
        section #runs aria-labelledby="runs-heading" { (runs_section(view, facts)) }
        section aria-labelledby="entry-heading" { (entry_section(view, facts)) }
        div.columns {
            @if let Some(show) = show { (settings_sections(show)) }
            @if let Some(why) = &facts.why {
                section aria-labelledby="why-heading" #why {
                    h2 #why-heading { "Why" }
                    p { (sentence(&shown(&why.verdict))) }
                    dl.facts { @for step in &why.steps { dt { (shown(&step.rule)) } dd { (shown(&step.result)) } } }
                }
            }
        }
    }
}

fn when_section(view: &View<'_>, Facts { job, show, runs, .. }: &Facts) -> Markup {
    let next = show.as_ref().map_or_else(|| job.next.into_iter().collect(), |show| show.next.clone());
    let newest = runs.iter().flatten().find(|run| run.run.is_some() && run.outcome != "running").map(outcome_of);
    html! {
        h2 #when-heading { "When" }
        @if let Some(show) = show.as_ref().filter(|show| show.explanation != job.schedule) { p.words { (sentence(&shown(&show.explanation))) } }
        dl.facts {
            @if !job.schedule.is_empty() { dt { "Schedule" } dd { code { (shown(&job.schedule)) } } }
            @if !job.zone.is_empty() { dt { "Time zone" } dd { (shown(&job.zone)) } }
            dt { "Last" }
            dd {
                @match job.last.as_ref().or(newest.as_ref()) {
                    Some(last) => { (outcome(last)) " " (view.time(last.ended_at.unwrap_or(last.scheduled_at))) }
                    None if job.running.is_empty() => "has not run yet",
                    None => "the first run has not ended yet",
                }
            }
            dt { "Next" }
            dd {
                @if next.is_empty() { "nothing is due" }
                ul { @for at in next { li { (view.moment(at)) " " span.quiet { (view.time(at)) } } } }
            }
        }
    }
}

fn output_section(_view: &View<'_>, Facts { show, output, .. }: &Facts) -> Markup {
    html! {
        @match output {
            Some((run, shown)) => {
                div.heading {
                    h2 #output-heading { @if matches!(shown, Shown::Live(_)) { "Output" } @else { "Last output" } }
                    @if matches!(shown, Shown::Live(_)) { span.live { "live" } }
                    a href={ "/run/" (run) } title={ "run " (run) } { "the run" }
                }
                (output_box(*run, shown))
            }
            None => {
                h2 #output-heading { "Output" }
                p.empty { @if show.is_some() { "It has not run yet." } @else { "Output is shown to the owner of the crontab and to root only." } }
            }
        }
    }
}

fn runs_section(view: &View<'_>, facts: &Facts) -> Markup {
    html! {
        div.heading {
            h2 #runs-heading { "Runs" }
            @if let Some(summary) = &facts.summary { p.quiet { (summary_text(summary)) } }
        }
        @match &facts.runs {
            Ok(runs) if runs.is_empty() => p.empty { "The history has none." },
            Ok(runs) => {
                (chart::durations(view, runs))
                (runs_table(view, runs, false, "Runs, newest first"))
                @let older = runs.iter().rev().find_map(|run| run.run).filter(|_| runs.len() as u64 == RUNS);
                @if facts.before.is_some() || older.is_some() {
                    nav.pages aria-label="Pages of runs" {
                        @if facts.before.is_some() { a href=(job_path(&facts.job.job)) { "← Newest" } }
                        @if let Some(last) = older { a href={ "?before=" (last) } rel="next" { "Older →" } }
                    }
                }
            }
            Err(why) => p.empty { (sentence(&why.to_string())) },
        }
    }
}

fn summary_text(summary: &Summary) -> String {
    if summary.runs == 0 {
        return String::new();
    }
    let rate = summary.ok as f64 * 100.0 / summary.runs as f64;
    let took = match (summary.mean, summary.longest) {
        (Some(mean), Some(longest)) => {
            format!(", {} on average, {} at most", rounded_duration(mean), rounded_duration(longest))
        }
        _ => String::new(),
    };
    format!("{}, {rate:.1}% ok{took}", format_count(summary.runs, "run", "runs"))
}

fn entry_section(view: &View<'_>, Facts { job, show, .. }: &Facts) -> Markup {
    let warnings = show.as_ref().map(|show| show.warnings.as_slice()).unwrap_or_default();
    html! {
        h2 #entry-heading { "Entry" }
        dl.facts {
            dt { "Table" } dd { code { (shown(&job.source)) } ", line " (job.line) }
            dt { "Command" } dd { pre { (shown(&job.command)) } }
            dt { "Runs as" } dd { (shown(&job.user)) }
            dt { "Name" } dd { code { (shown(&job.job)) } @if !job.named { span.quiet { " drawn from the command; CRON_NAME gives it another" } } }
            @if job.kind != "user" { dt { "Kind" } dd { (shown(&job.kind)) } }
        }
        @for warning in warnings { div.diagnostic.warning { p { span.mark-held { span.sign aria-hidden="true" { "! " } "warning: " } (shown(warning)) } } }
        p.quiet { "The table is edited where it is: " code { (edit_command(view, job)) } }
        @if job.kind == "user" || job.kind == "system" || job.kind == "standalone" {
            (check::form(&line_of(job), job.kind == "system", true, other_zone(view, job)))
        }
    }
}

/// The command with which the table of a job is edited.
fn edit_command(view: &View<'_>, job: &Job) -> String {
    match job.kind.as_str() {
        "user" if job.user == view.app.user.name => "crontab -e".to_owned(),
        "user" => format!("crontab -u {} -e", shell_quoted(&job.user)),
        _ => format!("editor +{} {}", job.line, shell_quoted(&job.source)),
    }
}

/// The time zone of a job, unless it is that of the system.
fn other_zone<'a>(view: &View<'_>, job: &'a Job) -> Option<&'a str> {
    Some(job.zone.as_str()).filter(|zone| !zone.is_empty() && *zone != view.app.zone.name())
}

/// The line of a job, as far as it is known.
fn line_of(job: &Job) -> String {
    match job.kind.as_str() {
        "system" => format!("{} {} {}", job.schedule, job.user, job.command),
        _ => format!("{} {}", job.schedule, job.command),
    }
}

fn settings_sections(show: &Show) -> Markup {
    // The name is said above.
    let settings: Vec<&NameValue> = show.settings.iter().filter(|setting| setting.name != "CRON_NAME").collect();
    let environment: Vec<&NameValue> = show.environment.iter().collect();
    let list = |values: &[&NameValue]| {
        html! { dl.facts { @for NameValue { name, value } in values { dt { code { (shown(name)) } } dd { @if value.is_empty() { span.quiet { "(empty)" } } @else { code { (shown(value)) } } } } } }
    };
    html! {
        @if !settings.is_empty() {
            section aria-labelledby="settings-heading" { h2 #settings-heading { "Settings" } (list(&settings)) }
        }
        @if !environment.is_empty() {
            section aria-labelledby="environment-heading" { h2 #environment-heading { "Environment" } (list(&environment)) }
        }
    }
}
