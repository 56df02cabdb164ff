//! The frame of all pages, and the parts that several of them have: times, names of jobs, outcomes, tables of runs.

use super::app::App;
use super::backend::PageError;
use crate::control::Permission;
use crate::crontab::printable;
use crate::report::text;
pub use crate::report::text::outcome_of;
use crate::schedule::{Timestamp, rounded_duration};
use crate::sys::clock;
use crate::varlink::Time;
use crate::varlink::cron::{Job, Outcome};
use crate::varlink::history::RunRecord;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

/// The pages of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nav {
    /// Failing, running and coming jobs.
    Overview,
    /// The list of all jobs.
    Jobs,
    /// Past and future on one axis.
    Timeline,
    /// Other machines.
    Fleet,
    /// A line of a crontab, explained.
    Check,
    /// A page outside of the navigation.
    None,
}

const NAV: [(Nav, &str, &str); 5] = [
    (Nav::Overview, "/", "Overview"),
    (Nav::Jobs, "/jobs", "Jobs"),
    (Nav::Timeline, "/timeline", "Timeline"),
    (Nav::Check, "/check", "Check"),
    (Nav::Fleet, "/fleet", "Fleet"),
];

/// The content of a page, without head and navigation.
#[derive(Clone, Debug)]
pub struct Page {
    /// Which entry of the navigation it belongs to.
    pub nav: Nav,
    /// The title of the window.
    pub title: String,
    /// What is between header and footer.
    pub body: Markup,
    /// Whether the script asks for the page again when something happens.
    pub is_live: bool,
    /// Whether it asks again until there is another page.
    pub is_temporary: bool,
    /// Only events of this job matter to it.
    pub job: Option<String>,
}

impl Page {
    /// A page that stays as it is.
    pub fn of(nav: Nav, title: &str, body: Markup) -> Page {
        Page { nav, title: title.to_owned(), body, is_live: false, is_temporary: false, job: None }
    }
}

/// The mark of the project: a dial with one hand.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" {
            circle cx="12" cy="12" r="9.25" fill="none" stroke="currentColor" stroke-width="2.5" {}
            path d="M12 6.5V12l3.6 2.6" fill="none" stroke="currentColor" stroke-width="2.5" stroke-linecap="round" stroke-linejoin="round" {}
        }
    }
}

fn frame(app: &App, nav: Nav, title: &str, head: Markup, main: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · cronwheel" }
                link rel="stylesheet" href="/style.css";
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                (head)
            }
            body {
                a.skip href="#main" { "Skip to content" }
                header.top {
                    div.bar {
                        a.brand href="/" { (mark()) span { "cronwheel" } }
                        nav aria-label="Pages" {
                            ul {
                                @for (own, path, name) in NAV {
                                    li { a href=(path) aria-current=[(own == nav).then_some("page")] { (name) } }
                                }
                            }
                        }
                        span.machine title="This machine" { (app.machine) }
                    }
                }
                (main)
                footer {
                    p {
                        "cronwheel " (env!("CARGO_PKG_VERSION")) " · times in " (app.zone.name())
                        @if app.is_read_only { " · read-only" }
                        " · acts as " (printable(app.user.name.as_bytes()))
                        @if let Some(user) = &app.user.only { " · only jobs of " (printable(user.as_bytes())) }
                    }
                    p {
                        // Where programs need a token, a browser has none.
                        @if !app.transport.needs_token() { a href="/metrics" { "Metrics" } " · " a href="/calendar.ics" { "Calendar" } " · " }
                        a href="/healthz" { "Health" }
                    }
                }
                div #notice role="status" aria-live="polite" {}
                div #toast role="status" aria-live="polite" {}
            }
        }
    }
}

/// A page in its frame.
pub fn render(app: &App, page: &Page) -> Markup {
    let live = match (page.is_live, page.is_temporary) {
        (_, true) => Some("retry"),
        (true, false) => Some(""),
        (false, false) => None,
    };
    let main = html! {
        main #main tabindex="-1" data-live=[live] data-job=[page.job.as_deref()] { (page.body) }
    };
    frame(app, page.nav, &page.title, html! { script src="/app.js" defer {} }, main)
}

/// A page that says what is wrong, without anything private.
pub fn plain_error(app: &App, title: &str, text: &str) -> Markup {
    let main = html! { main #main tabindex="-1" { section.message { h1 { (title) } p { (text) } } } };
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · cronwheel" }
                link rel="stylesheet" href="/style.css";
                link rel="icon" href="/icon.svg" type="image/svg+xml";
            }
            body {
                header.top { div.bar { span.brand { (mark()) span { "cronwheel" } } span.machine { (app.machine) } } }
                (main)
            }
        }
    }
}

/// A page that opens the overview from this site, so that the browser sends the cookie.
pub fn continue_here(app: &App) -> Markup {
    let main = html! {
        main #main tabindex="-1" { section.message { h1 { "Signed in" } p { a href="/" { "Continue to the overview" } } } }
    };
    frame(app, Nav::None, "Signed in", html! { meta http-equiv="refresh" content="0; url=/"; }, main)
}

/// The response for a page, or for what is wrong.
pub fn respond(app: &App, page: Result<Page, PageError>) -> Response {
    let (status, page) = match page {
        Ok(page) => (StatusCode::OK, page),
        Err(fault) => (status_of(&fault), error(app, &fault)),
    };
    (status, Html(render(app, &page).into_string())).into_response()
}

/// The status of a fault.
pub fn status_of(fault: &PageError) -> StatusCode {
    match fault {
        PageError::Down(_) | PageError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        PageError::NotFound(_) => StatusCode::NOT_FOUND,
        PageError::Denied(_) => StatusCode::FORBIDDEN,
        PageError::Wrong(_) => StatusCode::BAD_REQUEST,
        PageError::Unexpected(_) => StatusCode::BAD_GATEWAY,
    }
}

fn error(app: &App, fault: &PageError) -> Page {
    let (title, advice) = match fault {
        PageError::Down(_) => {
            let body = html! {
                section.message.bad {
                    h1 { span aria-hidden="true" { "✕ " } "The daemon does not answer" }
                    p { "No job is started while it is stopped. Start it with:" }
                    pre.command tabindex="0" aria-label="Command" { (app.start_command()) }
                    p.quiet { (fault) }
                    p { a href="" { "Try again" } }
                }
            };
            return Page { is_temporary: true, ..Page::of(Nav::None, "The daemon does not answer", body) };
        }
        PageError::NotFound(_) => ("Not found", "It may have been removed, or belong to another user."),
        PageError::Denied(_) => ("Not allowed", "This page can do what the user may do who has started it."),
        PageError::Wrong(_) => ("The request cannot be used", ""),
        PageError::Busy(_) => ("Busy", "Try again in a moment."),
        PageError::Unexpected(_) => ("That did not work", ""),
    };
    let body = html! {
        section.message {
            h1 { (title) }
            p { (sentence(&fault.to_string())) }
            @if !advice.is_empty() { p.quiet { (advice) } }
            p { a href="/" { "Overview" } " · " a href="/jobs" { "All jobs" } }
        }
    };
    let is_temporary = matches!(fault, PageError::Busy(_));
    Page { is_temporary, ..Page::of(Nav::None, title, body) }
}

/// A message as a sentence.
pub fn sentence(message: &str) -> String {
    let mut characters = message.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if message.ends_with(['.', '?', '!', ')']) { "" } else { "." };
    format!("{first}{}{end}", characters.as_str())
}

/// Where and when something is shown.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The state of the server.
    pub app: &'a App,
    /// The current time.
    pub now: Timestamp,
}

impl<'a> View<'a> {
    /// The view at this moment.
    pub fn of(app: &'a App) -> View<'a> {
        View { app, now: Timestamp(clock::wall().seconds) }
    }

    /// Seconds from now until a moment; negative for the past.
    pub fn seconds_to(&self, at: Time) -> i64 {
        at.timestamp().0.saturating_sub(self.now.0)
    }

    /// Date and time in the system's zone, to the second.
    pub fn full(&self, at: Time) -> String {
        let text = self.app.zone.to_rfc3339(at.timestamp());
        let day = day_of_week(&text).map(|day| format!("{day} ")).unwrap_or_default();
        let offset = text.get(19..).filter(|offset| !matches!(*offset, "Z" | "+00:00")).unwrap_or("UTC");
        format!("{day}{} {offset}", text.get(..19).unwrap_or(&text).replace('T', " "))
    }

    /// The time of day; with the date if it is another day.
    pub fn clock(&self, at: Time) -> String {
        let text = self.app.zone.to_rfc3339(at.timestamp());
        let (date, time) = (text.get(..10).unwrap_or(&text), text.get(11..16).unwrap_or_default());
        if self.app.zone.to_rfc3339(self.now).starts_with(date) { time.to_owned() } else { format!("{date} {time}") }
    }

    /// How far off a moment is; the exact moment is shown by the pointer and read by programs.
    pub fn time(&self, at: Time) -> Markup {
        html! {
            time datetime=(at.to_string()) title=(self.full(at)) data-relative="" { (text::relative(self.seconds_to(at))) }
        }
    }

    /// A moment in short, with the exact one behind it.
    pub fn moment(&self, at: Time) -> Markup {
        html! { time datetime=(at.to_string()) title=(self.full(at)) { (self.clock(at)) } }
    }

    /// How long something has lasted so far. The script keeps it up to date.
    pub fn since(&self, at: Time) -> Markup {
        let seconds = self.now.0.saturating_sub(at.timestamp().0).max(0);
        html! {
            time datetime=(at.to_string()) title={ "since " (self.full(at)) } data-since="" { (whole_duration(seconds)) }
        }
    }
}

/// How long something has lasted so far, in seconds, in the form that the script updates.
fn whole_duration(seconds: i64) -> String {
    if seconds < 10 { format!("{seconds}s") } else { rounded_duration(seconds as f64) }
}

/// The English short name of the weekday of an RFC 3339 text.
fn day_of_week(text: &str) -> Option<&'static str> {
    use chrono::Datelike;
    let day = chrono::NaiveDate::parse_from_str(text.get(..10)?, "%Y-%m-%d").ok()?;
    ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].get(day.weekday().num_days_from_monday() as usize).copied()
}

/// A text of a job, without anything that could be taken for something else.
pub fn shown(text: &str) -> String {
    printable(text.as_bytes())
}

/// The path of a job's page.
pub fn job_path(job: &str) -> String {
    format!("/job/{}", percent_encoded(job))
}

/// A text as one segment of a path.
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    // A browser would take these for the directory and the one above.
    if encoded.bytes().all(|byte| byte == b'.') { encoded.replace('.', "%2E") } else { encoded }
}

/// Bytes of a name that may not fit into a column.
const LONG_NAME: usize = 32;

/// The name of a job, with a link to its page.
pub fn job_link(job: &str) -> Markup {
    let (user, name) = job.split_once(':').unwrap_or(("", job));
    html! {
        a.job href=(job_path(job)) title=[(job.len() > LONG_NAME).then(|| shown(job))] {
            @if !user.is_empty() { span.user { (shown(user)) ":" } }
            (shown(name))
        }
    }
}

/// What an outcome means: its class, and its sign beside the word.
pub fn class_of(outcome: &str) -> (&'static str, &'static str) {
    match outcome {
        "ok" => ("ok", "✓"),
        "running" => ("run", "●"),
        "skipped" | "missed" | "replaced" | "cancelled" => ("held", "–"),
        _ => ("bad", "✕"),
    }
}

/// How a run or a slot ended, by colour, sign and word.
pub fn outcome(outcome: &Outcome) -> Markup {
    let (class, sign) = class_of(&outcome.outcome);
    html! { span class={ "mark-" (class) } { span.sign aria-hidden="true" { (sign) } " " (shown(&text::outcome(outcome))) } }
}

/// How long a run took, in seconds.
pub fn took(record: &RunRecord) -> Option<f64> {
    let by_clock = || Some((record.ended_at?.0.saturating_sub(record.started_at?.0)).max(0) as f64 / 1e6);
    record.duration.or_else(by_clock)
}

/// The state of a job, by colour, sign and word.
pub fn state(view: &View<'_>, job: &Job) -> Markup {
    let (class, sign) = match job.state.as_str() {
        "running" => ("run", "●"),
        "paused" | "waiting" | "retrying" => ("held", "‖"),
        "disabled" | "removed" => ("off", "○"),
        _ => ("idle", ""),
    };
    let started = job.running.iter().filter_map(|run| run.started_at).min();
    html! {
        span class={ "mark-" (class) } {
            @if !sign.is_empty() { span.sign aria-hidden="true" { (sign) } " " }
            (shown(&job.state))
            @if let Some(at) = started { " " (view.since(at)) }
            @if job.running.len() > 1 { " ×" (job.running.len()) }
            @if let (true, Some(until)) = (job.state == "paused", job.paused_until) { " until " (view.moment(until)) }
            @if let (true, Some(at)) = (job.state == "retrying", job.retry_at) { " " (view.time(at)) }
            @if job.waiting > 1 { " ×" (job.waiting) }
        }
        @if job.late { " " span.mark-bad { span.sign aria-hidden="true" { "!" } " late" } }
    }
}

/// The last outcome of a job, and when.
pub fn last(view: &View<'_>, job: &Job) -> Markup {
    html! {
        @match &job.last {
            Some(last) => {
                @let at = last.ended_at.or(last.started_at).unwrap_or(last.scheduled_at);
                (outcome(last)) " " (view.time(at))
            }
            None => span.quiet.none { "–" },
        }
    }
}

/// The schedule as it is written, with the words for those who cannot read it.
pub fn schedule(text: &str) -> Markup {
    html! { code.schedule { (shown(text)) } }
}

/// A table of runs, newest first. Without `with_job` they are all of one job.
pub fn runs_table(view: &View<'_>, runs: &[RunRecord], with_job: bool, caption: &str) -> Markup {
    html! {
        table.brief {
            caption.hidden { (caption) }
            thead {
                tr {
                    @if with_job { th scope="col" { "Job" } }
                    th scope="col" { "Outcome" }
                    th scope="col" { "When" }
                    th scope="col" { "Due" }
                    th.number scope="col" { "Took" }
                    th.number scope="col" { "Output" }
                }
            }
            tbody {
                @for run in runs {
                    @let at = run.started_at.unwrap_or(run.scheduled_at);
                    tr {
                        @if with_job { th.whole scope="row" { (job_link(&run.job)) } }
                        td {
                            (outcome(&outcome_of(run)))
                            @if run.attempt > 1 { span.quiet { " attempt " (run.attempt) } }
                            @if run.trigger != "schedule" { span.quiet { " " (shown(&run.trigger)) } }
                        }
                        td { (view.time(at)) }
                        td.wide { (view.moment(run.scheduled_at)) }
                        td.number {
                            @match (run.outcome.as_str(), took(run)) {
                                ("running", _) => (view.since(at)),
                                (_, Some(seconds)) => (rounded_duration(seconds)),
                                _ => span.quiet { "–" },
                            }
                        }
                        td.number {
                            @match run.run {
                                Some(number) => a href={ "/run/" (number) } title={ "run " (number) } { "output" },
                                None => span.quiet { "no run" },
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Buttons for what may be done with a job, or with one run of it. They need the script, which shows them; without it there are the commands.
pub fn actions(view: &View<'_>, job: &Job, run: Option<u64>) -> Markup {
    let may = view.app.may(job);
    let name = shell_quoted(&job.job);
    if may == Permission::Nothing {
        return html! {};
    }
    let is_whole = run.is_none();
    let is_busy = !job.running.is_empty() || job.waiting > 0 || job.retry_at.is_some();
    // The run that the page shows, and not another one that has begun meanwhile.
    let run = run.or_else(|| job.running.iter().map(|run| run.run).min());
    let end_words = match (run, job.running.len()) {
        (None, _) => "Cancel what waits",
        (Some(_), 2..) if is_whole => "End the oldest run",
        (Some(_), _) => "End the run",
    };
    let to_end = run.map_or_else(|| body(&[("job", &job.job)]), |run| serde_json::json!({ "run": run }).to_string());
    let end_command = format!("cronctl kill {}", run.map_or_else(|| name.clone(), |run| run.to_string()));
    html! {
        div.actions {
            div.buttons hidden data-needs-script="" {
                @if may >= Permission::All {
                    button.primary type="button" data-post="/api/run" data-body=(body(&[("job", &job.job)])) { "Run now" }
                    @if job.paused_until.is_some() {
                        button type="button" data-post="/api/resume" data-body=(body(&[("job", &job.job)])) { "Resume" }
                    } @else {
                        span.together {
                            label.hidden for="pause-for" { "Length of the pause" }
                            select #pause-for name="for" {
                                option value="30m" { "30 min" }
                                option value="1h" selected { "1 hour" }
                                option value="8h" { "8 hours" }
                                option value="1d" { "1 day" }
                                option value="7d" { "7 days" }
                                option value="30d" { "30 days" }
                            }
                            button type="button" data-post="/api/pause" data-body=(body(&[("job", &job.job)])) data-with="pause-for" { "Pause" }
                        }
                    }
                }
                @if is_busy {
                    button.danger type="button" data-post="/api/kill" data-body=(to_end) data-confirm="Really end it?" { (end_words) }
                }
            }
            noscript {
                p.quiet { "The buttons need JavaScript. The same by hand:" }
                pre.command tabindex="0" aria-label="Commands" {
                    @if may >= Permission::All {
                        "cronctl run " (name) "\n"
                        @if job.paused_until.is_some() { "cronctl resume " (name) "\n" } @else { "cronctl pause " (name) " --for 1h\n" }
                    }
                    @if is_busy { (end_command) "\n" }
                }
            }
        }
    }
}

/// A JSON object of texts.
pub fn body(members: &[(&str, &str)]) -> String {
    let members = members.iter().map(|(name, value)| ((*name).to_owned(), serde_json::Value::from(*value)));
    serde_json::Value::Object(members.collect()).to_string()
}

/// A text as one word of a shell.
pub fn shell_quoted(text: &str) -> String {
    let text = shown(text);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/@+,".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_jobs_are_one_segment_of_a_path() {
        assert_eq!(job_path("alice:backup"), "/job/alice:backup");
        assert_eq!(job_path("a/../b c?#%"), "/job/a%2F..%2Fb%20c%3F%23%25");
        assert_eq!(job_path(".."), "/job/%2E%2E");
    }

    #[test]
    fn names_of_jobs_are_one_word_of_a_shell() {
        assert_eq!(shell_quoted("alice:back-up"), "alice:back-up");
        assert_eq!(shell_quoted("it's; rm"), r"'it'\''s; rm'");
    }

    #[test]
    fn what_goes_on_is_told_in_whole_seconds() {
        assert_eq!([0, 9, 59, 65, 7_300].map(whole_duration), ["0s", "9s", "59s", "1m05s", "2h01m"]);
    }

    #[test]
    fn messages_become_sentences() {
        assert_eq!(sentence("there is no job \"x\""), "There is no job \"x\".");
        assert_eq!(sentence(""), ".");
    }
}
