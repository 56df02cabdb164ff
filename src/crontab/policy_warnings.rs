//! Warnings about an entry whose policy does not go with its schedule.

use super::diagnostic::LineProblem;
use super::fleet_rule::{FleetAway, FleetMode, FleetOrder};
use super::job_setting::ROWS;
use super::policy::{CatchUpMode, Overlap, Policy};
use crate::schedule::duration_text;
use crate::schedule::{Kind, Schedule, Timestamp, Zone};
use std::ops::Range;
use std::sync::Arc;

/// An arbitrary moment, so that the interval of a schedule does not depend on the day on which a table is read:
/// 2026-01-01T00:00:00Z.
const FROM: Timestamp = Timestamp(1_767_225_600);

/// The number of runs from which the interval of a schedule is computed.
const RUNS: usize = 50;

const HOUR: u32 = 3_600;

/// What is odd about a policy for an entry with that schedule, which stands at `place` in its line.
pub(super) fn of(policy: &Arc<Policy>, schedule: &Schedule, place: &Range<usize>, warnings: &mut Vec<LineProblem>) {
    if Arc::ptr_eq(policy, &Policy::shared_default()) {
        return;
    }
    let mut warn = |message: String, help: &str| {
        let problem = LineProblem::new(place.clone(), message);
        warnings.push(if help.is_empty() { problem } else { problem.help(help) });
    };
    without_effect(policy, schedule.kind(), &mut warn);
    if schedule.kind() == Kind::Reboot && policy.retry.attempts > 0 {
        let attempts = policy.retry.attempts;
        let times = if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
        warn(
            format!(
                "CRON_RETRY tries this @reboot entry again only {times} after a boot, and then not before the next one"
            ),
            "a program that has to be kept running belongs to the service manager; else write CRON_RETRY=default above this entry",
        );
    }
    of_fleet(policy, &mut warn);
    if asks_for_interval(policy)
        && let Some(interval) = interval(schedule)
    {
        too_long(policy, interval, &mut warn);
    }
}

/// Settings that have no effect on such schedules.
fn without_effect(policy: &Policy, kind: Kind, warn: &mut impl FnMut(String, &str)) {
    let what = match kind {
        Kind::Calendar => return,
        Kind::Interval { .. } => "entries with @N",
        Kind::Reboot => "@reboot entries",
        Kind::After => "@after entries",
    };
    for row in ROWS.iter().filter(|row| !row.applies.to(kind) && row.is_set_in(policy)) {
        warn(format!("{} has no effect on {what}", row.name), &format!("write {}=default above this entry", row.name));
    }
}

/// Settings that do not act on the whole of a fleet.
fn of_fleet(policy: &Policy, warn: &mut impl FnMut(String, &str)) {
    if policy.fleet.order == FleetOrder::First && policy.fleet.nodes.is_none() {
        warn(
            "CRON_FLEET_ORDER=first needs the order of CRON_FLEET_NODES, which is not set".to_owned(),
            "write CRON_FLEET_NODES=NAME,NAME above this entry",
        );
    }
    if policy.fleet.mode == FleetMode::Each {
        return;
    }
    if policy.fleet.mode == FleetMode::OneWithFailover && policy.overlap == Overlap::Allow {
        warn(
            "CRON_FLEET=one,failover allows only one run at a time: a slot that comes meanwhile is skipped".to_owned(),
            "write CRON_OVERLAP=skip above this entry",
        );
    }
    if policy.fleet.mode == FleetMode::OneWithFailover && policy.fleet.away == FleetAway::Run {
        warn(
            "CRON_FLEET_AWAY=run has no effect on CRON_FLEET=one,failover".to_owned(),
            "write CRON_FLEET_AWAY=default above this entry",
        );
    }
    let on_the_machine_alone = match policy.overlap {
        Overlap::Queue | Overlap::Replace => Some(format!("CRON_OVERLAP={}", policy.overlap.as_str())),
        Overlap::Allow | Overlap::Skip => policy.group.is_some().then(|| "CRON_GROUP".to_owned()),
    };
    if let Some(setting) = on_the_machine_alone {
        warn(
            format!("{setting} acts on each machine alone, while CRON_FLEET=one lets the slots run on any of them"),
            "CRON_OVERLAP=allow and skip act on the whole fleet",
        );
    }
}

/// Whether one of the values below has to be compared with the interval.
fn asks_for_interval(policy: &Policy) -> bool {
    policy.timeout.is_some() || policy.retry.attempts > 0 || policy.catch_up.mode == CatchUpMode::All
}

/// Values that are too long for an entry that is due so often. `interval` is in seconds.
fn too_long(policy: &Policy, interval: u32, warn: &mut impl FnMut(String, &str)) {
    let every = duration_text(interval);
    let retry = policy.retry;
    match policy.overlap {
        Overlap::Allow => {
            if retry.attempts > 0 && retry.first >= interval {
                warn(
                    format!(
                        "CRON_RETRY waits {} for its first retry, but this entry is due again after {every}, which ends all retries",
                        duration_text(retry.first)
                    ),
                    "a shorter pause, or CRON_OVERLAP=queue, lets a failed job be tried again",
                );
            }
            if let Some(timeout) = policy.timeout.filter(|timeout| *timeout > interval) {
                warn(
                    format!(
                        "CRON_TIMEOUT is {}, but this entry is due again after {every}: several of its runs may \
                         overlap",
                        duration_text(timeout)
                    ),
                    "use a shorter timeout, or CRON_OVERLAP=skip, queue or replace",
                );
            }
        }
        Overlap::Queue => {
            let pauses: u64 = (1..=retry.attempts).map(|attempt| u64::from(retry.pause(attempt))).sum();
            if pauses > u64::from(interval) {
                let pauses = u32::try_from(pauses).map_or_else(|_| "more than 100 years".to_owned(), duration_text);
                warn(
                    format!(
                        "the pauses of CRON_RETRY are {pauses} together, but this entry is due again after {every}: \
                         with CRON_OVERLAP=queue slots are superseded while they wait for the retries"
                    ),
                    "use fewer retries or shorter pauses",
                );
            }
        }
        Overlap::Skip | Overlap::Replace => {}
    }
    if policy.catch_up.mode == CatchUpMode::All && interval < HOUR {
        warn(
            format!("CRON_CATCHUP=all runs each missed slot of this entry, which is due every {every}"),
            "CRON_CATCHUP=once runs only the latest one",
        );
    }
}

/// The shortest time in seconds between two slots of a calendar schedule. None: it has at most one slot. Nothing can be too long for `@N`,
/// which counts from the end of a run and its retries.
fn interval(schedule: &Schedule) -> Option<u32> {
    if schedule.kind() != Kind::Calendar {
        return None;
    }
    let zone = Zone::utc();
    let mut before = schedule.next_after(FROM, &zone, None)?;
    let mut shortest = None;
    for _ in 1..RUNS {
        let Some(next) = schedule.next_after(before, &zone, None) else { break };
        let distance = next.0 - before.0;
        shortest = Some(shortest.map_or(distance, |shortest: i64| shortest.min(distance)));
        before = next;
    }
    // A schedule that is due once in more than a hundred years has no interval that anything could exceed.
    u32::try_from(shortest?).ok()
}
