//! What programs fetch: metrics and the calendar of coming runs.

use super::app::Shared;
use super::backend::{Backend, Fault};
use super::page;
use crate::schedule::{Timestamp, Zone};
use crate::sys::clock;
use crate::varlink::cron::{Filter, Metrics, MetricsArguments, NextArguments, NextStart};
use crate::varlink::history::{Summary, SummaryArguments};
use crate::web::calendar::{Calendar, Daemon, MOST_JOBS, days};
use crate::web::metrics::{Collected, Format};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use std::collections::HashMap;
use std::time::Duration;

/// The days of the calendar.
const DAYS: u32 = 30;
/// Jobs whose mean duration is looked up in the history. It answers a hundred questions a second, also those of other pages.
const LOOKED_UP: usize = 40;
/// The pause before each question for starts, for the same reason.
const PACE: Duration = Duration::from_millis(12);

/// The metrics as OpenMetrics text, or as Prometheus' own to who does not ask for that.
pub async fn metrics(State(app): State<Shared>, headers: HeaderMap) -> Response {
    let format = Format::accepted(headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()));
    let collected = match app.ask(|_, daemon| collect(daemon)).await {
        // Whoever collects them is to see that the daemon is down.
        Err(Fault::Down(_)) => Ok(Collected::default()),
        collected => collected,
    };
    match collected {
        Ok(collected) => ([(header::CONTENT_TYPE, format.content_type())], collected.text(format)).into_response(),
        Err(fault) => (page::status_of(&fault), format!("{fault}\n")).into_response(),
    }
}

fn collect(daemon: &mut Backend) -> Result<Collected, Fault> {
    let mut collected = Collected::default();
    daemon.call_more("Metrics", &MetricsArguments::default(), |page: Metrics| {
        collected.add(page);
        true
    })?;
    Ok(collected)
}

/// The coming runs as iCalendar.
pub async fn calendar(State(app): State<Shared>) -> Response {
    let calendar = app.ask(|app, daemon| coming_runs(daemon, &app.machine, &app.zone)).await;
    match calendar {
        Ok(text) => ([(header::CONTENT_TYPE, "text/calendar; charset=utf-8")], text).into_response(),
        Err(fault) => (page::status_of(&fault), format!("{fault}\n")).into_response(),
    }
}

impl Daemon for Backend {
    type Error = Fault;

    fn starts(&mut self, arguments: &NextArguments) -> Result<Vec<NextStart>, Fault> {
        std::thread::sleep(PACE);
        let mut starts = Vec::new();
        self.call_more("Next", arguments, |start: NextStart| {
            starts.push(start);
            true
        })?;
        Ok(starts)
    }

    fn jobs(&mut self, filter: &Filter) -> Result<Vec<String>, Fault> {
        let jobs = Backend::jobs(self, filter.clone(), MOST_JOBS)?;
        Ok(jobs.into_iter().map(|job| job.job).collect())
    }
}

fn coming_runs(daemon: &mut Backend, host: &str, zone: &Zone) -> Result<String, Fault> {
    let now = clock::wall().seconds;
    let mut calendar = Calendar::new(host, Timestamp(now));
    for range in days(Timestamp(now), DAYS, zone) {
        let (_, takes_more) = calendar.ask_day(range, &Filter::default(), false, daemon)?;
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
