//! What programs fetch: metrics and the calendar of coming runs.

use super::app::Shared;
use super::backend::{Backend, PageError};
use super::page;
use crate::schedule::{Timestamp, Zone};
use crate::sys::clock;
use crate::varlink::cron::{Filter, Metrics, MetricsArguments, NextArguments, NextStart};
use crate::varlink::history::{Summary, SummaryArguments};
use crate::web::calendar::{Calendar, Daemon, MOST_JOBS, NamedJob, days};
use crate::web::metrics::{Collected, Format};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Bytes that are given to a connection at once.
const PIECE: usize = 16 << 10;
/// The days of the calendar.
const DAYS: u32 = 30;
/// Jobs whose mean duration is looked up in the history. It answers a hundred questions a second, also those of other pages.
const LOOKED_UP: usize = 40;
/// The pause before each question for starts, for the same reason.
const PACE: Duration = Duration::from_millis(12);

/// The metrics as OpenMetrics text, or as Prometheus' own to who does not ask for that.
pub async fn metrics(State(app): State<Shared>, headers: HeaderMap) -> Response {
    let place = match app.export_place().await {
        Ok(place) => place,
        Err(fault) => return refuse(&fault),
    };
    let format = Format::accepted(headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()));
    let collected = match app.ask(|_, daemon| collect(daemon)).await {
        // Whoever collects them is to see that the daemon is down.
        Err(PageError::Down(_)) => Ok(Collected::default()),
        collected => collected,
    };
    match collected {
        Ok(collected) => send(format.content_type(), collected.text(format), place),
        Err(fault) => refuse(&fault),
    }
}

/// An answer in pieces, with the place until the last piece has been taken.
fn send(content_type: &'static str, text: String, place: OwnedSemaphorePermit) -> Response {
    let pieces = unfold((Bytes::from(text), place), |(mut rest, place)| async {
        let piece = rest.split_to(rest.len().min(PIECE));
        (!piece.is_empty()).then_some((Ok::<_, Infallible>(piece), (rest, place)))
    });
    ([(header::CONTENT_TYPE, content_type)], Body::from_stream(pieces)).into_response()
}

fn refuse(fault: &PageError) -> Response {
    (page::status_of(fault), format!("{fault}\n")).into_response()
}

fn collect(daemon: &mut Backend) -> Result<Collected, PageError> {
    let mut collected = Collected::default();
    let arguments = MetricsArguments { filter: Some(daemon.filter(Filter::default())) };
    daemon.call_more("Metrics", &arguments, |page: Metrics| {
        collected.add(page);
        true
    })?;
    Ok(collected)
}

/// The coming runs as iCalendar.
pub async fn calendar(State(app): State<Shared>) -> Response {
    let place = match app.export_place().await {
        Ok(place) => place,
        Err(fault) => return refuse(&fault),
    };
    let calendar = app.ask(|app, daemon| coming_runs(daemon, &app.machine, &app.zone)).await;
    match calendar {
        Ok(text) => send("text/calendar; charset=utf-8", text, place),
        Err(fault) => refuse(&fault),
    }
}

impl Daemon for Backend {
    type Error = PageError;

    fn starts(&mut self, arguments: &NextArguments) -> Result<Vec<NextStart>, PageError> {
        std::thread::sleep(PACE);
        let mut starts = Vec::new();
        self.call_more("Next", arguments, |start: NextStart| {
            starts.push(start);
            true
        })?;
        Ok(starts)
    }

    fn jobs(&mut self, filter: &Filter) -> Result<Vec<NamedJob>, PageError> {
        let jobs = Backend::jobs(self, filter.clone(), MOST_JOBS)?;
        Ok(jobs.into_iter().map(NamedJob::from).collect())
    }
}

fn coming_runs(daemon: &mut Backend, host: &str, zone: &Zone) -> Result<String, PageError> {
    let now = clock::wall().seconds;
    let mut calendar = Calendar::new(host, Timestamp(now));
    for range in days(Timestamp(now), DAYS, zone) {
        let filter = daemon.filter(Filter::default());
        let (_, takes_more) = calendar.ask_day(range, &filter, false, daemon)?;
        if !takes_more {
            break;
        }
    }
    let mut durations = HashMap::new();
    if let Ok(mut history) = daemon.history() {
        for job in calendar.jobs(LOOKED_UP) {
            let arguments = SummaryArguments { job: job.clone() };
            // A job that has not run has none.
            if let Ok(Summary { mean: Some(mean), .. }) = history.call("Summary", &arguments) {
                durations.insert(job, mean);
            }
        }
    }
    Ok(calendar.text(&durations))
}
