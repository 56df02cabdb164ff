//! What is to come as the crontabs say.

use crate::cli::cronctl::source::{Job, Listed};
use crate::cli::cronctl::system_state::SystemState;
use crate::cli::cronctl::upcoming::Recurring;
use crate::crontab::printable;
use crate::schedule::{Schedule, Timestamp, Zone};
use crate::timeline::{Builder, RowLabel};
use std::collections::HashMap;

/// Starts that are examined for all entries together. Beyond that, starts of frequent entries are estimated.
const MOST_LOOKED_AT: usize = 4_000_000;

/// Adds the starts of all entries after a moment. The first `most_rows` that run have rows; of the others, those with the same schedule are
/// counted together.
pub(super) fn add(tables: &[Listed], after: Timestamp, most_rows: usize, system: &SystemState, builder: &mut Builder) {
    let mut jobs = tables.iter().flat_map(|listed| listed.jobs(system)).peekable();
    let count = tables.iter().map(|listed| listed.table.entries.len()).sum::<usize>().max(1);
    let mut rows = 0;
    // No entry may take what the others need.
    let with_rows = (MOST_LOOKED_AT / 2) / count.min(most_rows.max(1));
    while rows < most_rows
        && let Some(job) = jobs.next()
    {
        let recurring = job.recurring();
        if recurring.start_after(after).is_some_and(|at| builder.has(at)) {
            rows += 1;
        }
        builder.add_schedule(Some(&label(&job)), 1, after, with_rows, |after| recurring.start_after(after));
    }
    let mut alike: HashMap<(&Schedule, &Zone, u32), (Recurring<'_>, u32)> = HashMap::new();
    for job in jobs {
        let recurring = job.recurring();
        let key = (recurring.schedule, recurring.zone, recurring.delay);
        alike.entry(key).or_insert((recurring, 0)).1 += 1;
    }
    let without_rows = (MOST_LOOKED_AT / 2) / alike.len().max(1);
    for (recurring, like) in alike.into_values() {
        builder.add_schedule(None, like, after, without_rows, |after| recurring.start_after(after));
    }
}

fn label(job: &Job<'_>) -> RowLabel {
    RowLabel {
        user: printable(job.user().as_bytes()),
        job: String::new(),
        schedule: printable(job.schedule_text().as_bytes()),
        command: printable(job.command_bytes()),
        source: job.listed.name.clone(),
        line: job.entry.line,
    }
}
