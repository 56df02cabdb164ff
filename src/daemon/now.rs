//! Debian's `cron -N`: runs the jobs that are due in this minute, waits for them, and ends.

use super::file_cache::Depth;
use super::load_event::LoadEvent;
use super::settings::Settings;
use super::start::log_target;
use super::state::Fatal;
use super::tables::{CrontabFiles, Origin};
use crate::config::FleetPlace;
use crate::config::calendars::SystemCalendars;
use crate::config::zones::SystemZones;
use crate::crontab::KnownNames;
use crate::executor::{Executor, ExecutorEvent};
use crate::profile::shared;
use crate::schedule::{HostKey, Timestamp};
use crate::scheduler::{Action, Event, FleetSettings, Now, Scheduler};
use crate::sys::contract::SingleThreaded;
use crate::sys::descriptor::StandardStream;
use crate::sys::error::os;
use crate::sys::notify_socket::NotifySocket;
use crate::sys::poll::Poll;
use crate::sys::{clock, descriptor, files, host};
use crate::users::DaemonUsers;
use std::path::Path;

/// Runs the jobs that are due in this minute. Returns when the last one has ended and its mail is sent.
///
/// # Errors
///
/// The executor cannot be started or is lost.
pub fn run(settings: &Settings, manager: &NotifySocket, threads: &SingleThreaded) -> Result<(), Fatal> {
    let mut executor = Executor::spawn(threads, settings.executor_config(log_target(settings, manager)))?;
    let zones = SystemZones::open();
    let calendars = SystemCalendars::read(Path::new(shared::CALENDARS));
    let place = settings.config.fleet.as_ref().map(|fleet| fleet.place(&zones));
    let fleet = place.as_ref().map(FleetPlace::names);
    let known = KnownNames { zones: &zones, calendars: Some(calendars.calendars()), fleet };
    let mut events = Vec::new();
    let mut tables =
        CrontabFiles::new(Origin::System(settings.finder()), settings.config.profile, HostKey::of(&host::identity()));
    tables.rescan(Depth::Names, &mut DaemonUsers::default(), known, &mut events);
    // Nobody claims slots here: those of a fleet are skipped, unless their jobs say otherwise.
    let is_node = settings.config.fleet.is_some();
    let starts = due_this_minute(events, known, is_node, clock::wall().seconds);
    let mut left = 0_usize;
    for action in &starts {
        if let Action::Start(start) = action {
            let mut start = start.clone();
            // Nobody decides about what follows: there are no retries, and each run is by itself.
            (start.rules.retries_left, start.rules.waits_for_decision, start.rules.keeps_output) = (0, false, false);
            match executor.start(&start, false) {
                Ok(()) => left += 1,
                Err(why) => {
                    let line = format!("line {} of {} is not started: {why}\n", start.line, start.source.path);
                    // If standard error fails, there is nothing left to report to.
                    let _ = files::write_all(descriptor::standard(StandardStream::Error), line.as_bytes());
                }
            }
        }
    }
    let poll = Poll::new().map_err(os("making the event queue"))?;
    poll.add(executor.descriptor(), 0).map_err(os("waiting for the executor"))?;
    while left > 0 {
        executor.flush()?;
        poll.want_writable(executor.descriptor(), 0, executor.wants_to_write())
            .map_err(os("waiting for the executor"))?;
        poll.wait_for_any(None).map_err(os("waiting for the executor"))?;
        let ended = executor.receive()?.into_iter().filter(|event| matches!(event, ExecutorEvent::Ended(_)));
        left = left.saturating_sub(ended.count());
    }
    wait_for_mail(&mut executor, &poll)
}

/// The starts of the minute around `seconds` (since 1970), from a scheduler whose clock goes from right before that minute into it.
fn due_this_minute(events: Vec<LoadEvent>, known: KnownNames<'_>, is_node: bool, seconds: i64) -> Vec<Action> {
    let minute = seconds - seconds.rem_euclid(60);
    let before = Now { utc: Timestamp(minute - 1), elapsed_ms: 0 };
    let mut scheduler = Scheduler::new(known.zones.system(), before);
    if is_node {
        // Nothing is claimed here.
        scheduler.set_fleet(FleetSettings::default(), || 0);
    }
    if let Some(calendars) = known.calendars {
        scheduler.handle(Event::Calendars(calendars.clone()), before);
    }
    for event in events {
        if let LoadEvent::Load { source, table } = event {
            scheduler.handle(Event::Load { source, table }, before);
        }
    }
    scheduler.handle(
        Event::DaemonStarted {
            boot: false,
            completed: None,
            started: Vec::new(),
            running: Vec::new(),
            saved: Box::default(),
        },
        before,
    );
    let mut due = scheduler.handle(Event::Tick, Now { utc: Timestamp(minute), elapsed_ms: 1000 });
    due.retain(|action| matches!(action, Action::Start(_)));
    due
}

/// Waits until the executor closes its end, which it does when the mail of the last job is sent.
fn wait_for_mail(executor: &mut Executor, poll: &Poll) -> Result<(), Fatal> {
    executor.close()?;
    while !executor.is_done() {
        poll.wait_for_any(None).map_err(os("waiting for the executor"))?;
    }
    Ok(())
}
