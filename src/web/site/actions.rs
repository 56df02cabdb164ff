//! What buttons do: run, pause, resume, kill, check a line. Each is a POST with a JSON object.

use super::app::{App, Shared};
use super::backend::{Backend, PageError};
use super::check;
use super::page::{sentence, shown, status_of};
use crate::crontab::parse_duration;
use crate::report::text;
use crate::schedule::Timestamp;
use crate::sys::clock;
use crate::varlink::Time;
use crate::varlink::cron::{
    KillArguments, Killed, PauseArguments, Paused, ResumeArguments, Resumed, RunArguments, RunResult,
};
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::time::Duration;

/// Most bytes of a request's body.
const LONGEST: usize = 64 << 10;
/// How long a client may take to send it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a pause is if nothing else is said, in seconds.
const USUAL_PAUSE: u32 = 3_600;

/// The body of a request about one job.
#[derive(Debug, Deserialize)]
struct OfJob {
    job: String,
    #[serde(default)]
    force: bool,
}

/// The body of a request to pause a job.
#[derive(Debug, Deserialize)]
struct Pause {
    job: String,
    #[serde(default, rename = "for")]
    length: Option<String>,
    #[serde(default)]
    note: Option<String>,
}

/// A run, or the oldest of a job.
#[derive(Debug, Deserialize)]
struct Kill {
    #[serde(default)]
    run: u64,
    #[serde(default)]
    job: Option<String>,
}

/// The body of a request to explain a line of a crontab.
#[derive(Debug, Deserialize)]
struct Line {
    line: String,
    #[serde(default)]
    system: bool,
    #[serde(default)]
    zone: Option<String>,
}

/// Starts the job that the form names, and answers with its run.
pub async fn run(State(app): State<Shared>, body: Body) -> Response {
    act(&app, body, |daemon, OfJob { job, force }| {
        let job = daemon.shown_job(job)?;
        let arguments = RunArguments { job: job.clone(), force: Some(force), output: None };
        let result: RunResult = daemon.call("Run", &arguments)?;
        Ok(match (result.run, result.outcome) {
            (0, Some(outcome)) => {
                format!("{} was not started: {}", shown(&job), shown(&text::outcome(&outcome)))
            }
            (0, None) => format!("{} waits for another run", shown(&job)),
            (run, _) => format!("Started {} as run {run}", shown(&job)),
        })
    })
    .await
}

/// Pauses the job that the form names, for the length that was chosen.
pub async fn pause(State(app): State<Shared>, body: Body) -> Response {
    act(&app, body, |daemon, Pause { job, length, note }| {
        let job = daemon.shown_job(job)?;
        let seconds = length.map_or(Ok(USUAL_PAUSE), |length| parse_duration(&length)).map_err(PageError::Wrong)?;
        let until = Time::from(Timestamp(clock::wall().seconds.saturating_add(i64::from(seconds)))).to_string();
        let arguments = PauseArguments { jobs: vec![job.clone()], all: None, until, note };
        let Paused { paused, warning } = daemon.call("Pause", &arguments)?;
        Ok(if paused.is_empty() {
            format!("{} was not paused", shown(&job))
        } else {
            let warning = warning.map(|warning| format!("; {}", shown(&warning))).unwrap_or_default();
            format!("Paused {}{warning}", shown(&job))
        })
    })
    .await
}

/// Ends the pause of a job.
pub async fn resume(State(app): State<Shared>, body: Body) -> Response {
    act(&app, body, |daemon, OfJob { job, .. }| {
        let job = daemon.shown_job(job)?;
        let Resumed { resumed, .. } = daemon.call("Resume", &ResumeArguments { jobs: vec![job.clone()], all: None })?;
        Ok(if resumed.is_empty() {
            format!("{} is not paused", shown(&job))
        } else {
            format!("Resumed {}", shown(&job))
        })
    })
    .await
}

/// Ends a run, or cancels what waits.
pub async fn kill(State(app): State<Shared>, body: Body) -> Response {
    act(&app, body, |daemon, Kill { run, job }| {
        let job = match job.filter(|_| run == 0) {
            Some(job) => Some(daemon.shown_job(job)?),
            None => {
                daemon.require_shown_run(run)?;
                None
            }
        };
        let Killed { run: ended } = daemon.call("Kill", &KillArguments { run, signal: None, job })?;
        Ok(match ended.or(Some(run).filter(|run| *run > 0)) {
            Some(run) => format!("Run {run} is being ended"),
            None => "Cancelled the next start".to_owned(),
        })
    })
    .await
}

/// Explains a line. That changes nothing.
pub async fn check_line(State(app): State<Shared>, body: Body) -> Response {
    let line: Line = match read(body).await {
        Ok(line) => line,
        Err(refusal) => return refusal,
    };
    if line.line.len() > check::LONGEST || line.line.trim().contains('\n') {
        return respond(StatusCode::BAD_REQUEST, "expected one line of at most 16 KiB");
    }
    let result = app.ask_nobody(move |app| check::result(app, &line.line, line.system, line.zone.as_deref())).await;
    match result {
        Ok(markup) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], markup.into_string()).into_response(),
        Err(fault) => respond(status_of(&fault), &fault.to_string()),
    }
}

/// Reads the body of a request, has the daemon do something, and says what was done.
async fn act<T: DeserializeOwned + Send + 'static>(
    app: &Shared,
    body: Body,
    act: impl FnOnce(&mut Backend, T) -> Result<String, PageError> + Send + 'static,
) -> Response {
    if app.is_read_only {
        return respond(StatusCode::FORBIDDEN, "this page is read-only");
    }
    let arguments = match read(body).await {
        Ok(arguments) => arguments,
        Err(refusal) => return refusal,
    };
    let done = app.ask(move |_: &App, daemon| act(daemon, arguments)).await;
    match done {
        Ok(message) => respond(StatusCode::OK, &message),
        Err(fault) => respond(status_of(&fault), &fault.to_string()),
    }
}

async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Response> {
    let bytes = match tokio::time::timeout(TIMEOUT, to_bytes(body, LONGEST)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => return Err(respond(StatusCode::PAYLOAD_TOO_LARGE, "expected a body of at most 64 KiB")),
        Err(_) => return Err(respond(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    };
    serde_json::from_slice(&bytes)
        .map_err(|why| respond(StatusCode::BAD_REQUEST, &format!("expected a JSON object: {why}")))
}

/// A message for the script.
fn respond(status: StatusCode, message: &str) -> Response {
    let body = json!({ "message": sentence(message) }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
