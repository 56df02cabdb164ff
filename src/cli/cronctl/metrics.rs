//! `cronctl metrics`: the metrics of jobs and daemon as text, on standard output or in a file.

use super::cli::{given, value};
use super::connection::Connection;
use super::error::Error;
use super::exit_status::ExitStatus;
use super::output::Output;
use super::system_state::SystemState;
use crate::sys::state_file;
use crate::varlink::cron::{Filter, Metrics, MetricsArguments};
use crate::web::metrics::{Collected, Format};
use clap::ArgMatches;
use std::path::{Path, PathBuf};

/// The mode of the file: its collector runs as another user.
const FILE_MODE: u32 = 0o644;

pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let filter = Some(Filter { user: value::<String>(matches, "user").cloned(), ..Filter::default() });
    let arguments = MetricsArguments { filter };
    if given(matches, "json") {
        Connection::open(system)?.print_more("Metrics", &arguments, out)?;
        return Ok(ExitStatus::Success);
    }
    let format = match value::<String>(matches, "format").map(String::as_str) {
        Some("openmetrics") => Format::OpenMetrics,
        Some("prometheus") => Format::Prometheus,
        _ => Format::Common,
    };
    let file = value::<PathBuf>(matches, "output").map(PathBuf::as_path).filter(|file| *file != Path::new("-"));
    let mut has_begun = false;
    let collected = collect(system, &arguments, || {
        // With very many jobs, the other replies take a while. A text without its last line is one that readers refuse.
        if file.is_none() && !std::mem::replace(&mut has_begun, true) {
            out.text(&Collected::head(format, true))?;
            out.flush()?;
        }
        Ok(())
    });
    let text = match &collected {
        Ok(collected) if has_begun => collected.rest(format),
        Ok(collected) => collected.text(format),
        // Whoever collects a file would otherwise keep seeing what was true before.
        Err(Error::NoDaemon { .. } | Error::DaemonGone) if !has_begun => Collected::default().text(format),
        Err(_) => String::new(),
    };
    if !text.is_empty() {
        write(file, &text, out)?;
    }
    collected.map(|_| ExitStatus::Success)
}

/// Collects all replies. `on_reply` is called after each.
fn collect(
    system: &SystemState,
    arguments: &MetricsArguments,
    mut on_reply: impl FnMut() -> Result<(), Error>,
) -> Result<Collected, Error> {
    let mut daemon = Connection::open(system)?;
    let mut collected = Collected::default();
    daemon.call_more("Metrics", arguments, |page: Metrics| {
        collected.add(page);
        on_reply().map(|()| true)
    })?;
    Ok(collected)
}

fn write(file: Option<&Path>, text: &str, out: &mut Output) -> Result<(), Error> {
    match file {
        None => out.text(text),
        Some(file) => state_file::replace_durably(file, text.as_bytes(), FILE_MODE)
            .map_err(|source| Error::WriteFile { path: file.to_owned(), source: source.into() }),
    }
}
