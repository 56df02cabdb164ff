//! Debian's `cron -N`: runs what is due this minute, waits for it, and ends.

use super::settings::Settings;
use super::start::log_target;
use super::state::{Fatal, os};
use super::tables::{Depth, LoadEvent, Origin, Tables};
use crate::config::zones::SystemZones;
use crate::executor::{Executor, ExecutorEvent};
use crate::schedule::{HostKey, Timestamp, Zones};
use crate::scheduler::{Action, Event, Now, Scheduler};
use crate::sys::notify_socket::NotifySocket;
use crate::sys::poll::Poll;
use crate::sys::{clock, host};

/// Runs them; ends with the last.
pub fn run(settings: &Settings, manager: &NotifySocket) -> Result<(), Fatal> {
    let mut executor = Executor::spawn(settings.executor_config(log_target(settings, manager)))?;
    let zones = SystemZones::open();
    let mut news = Vec::new();
    let mut tables =
        Tables::new(Origin::System(settings.finder()), settings.config.profile, HostKey::of(&host::identity()));
    tables.rescan(Depth::Names, &zones, &mut news);
    let starts = due_this_minute(news, &zones, clock::wall().seconds);
    let mut left = starts.len();
    for action in &starts {
        if let Action::Start(start) = action {
            let mut start = start.clone();
            // Nobody decides about what follows: there are no retries, and each run is by itself.
            (start.rules.retries_left, start.rules.waits_for_decision, start.rules.keeps_output) = (0, false, false);
            executor.start(&start, false);
        }
    }
    let poll = Poll::new().map_err(os("making the event queue"))?;
    poll.add(executor.descriptor(), 0).map_err(os("waiting for the executor"))?;
    while left > 0 {
        executor.flush()?;
        poll.want_writable(executor.descriptor(), 0, executor.wants_to_write())
            .map_err(os("waiting for the executor"))?;
        poll.wait_for_any(None).map_err(os("waiting for the executor"))?;
        let ended = executor.receive()?.into_iter().filter(|notice| matches!(notice, ExecutorEvent::Ended(_)));
        left = left.saturating_sub(ended.count());
    }
    wait_for_mail(&mut executor, &poll)
}

/// The starts of the minute that `seconds` (of UTC) lies in, by a plan whose clock goes from right before it to its end.
fn due_this_minute(news: Vec<LoadEvent>, zones: &SystemZones, seconds: i64) -> Vec<Action> {
    let minute = seconds - seconds.rem_euclid(60);
    let before = Now { utc: Timestamp(minute - 1), elapsed_ms: 0 };
    let mut plan = Scheduler::new(zones.system(), before);
    for one in news {
        if let LoadEvent::Load { source, table } = one {
            plan.handle(Event::Load { source, table }, before);
        }
    }
    plan.handle(
        Event::Begin { boot: false, completed: None, started: Vec::new(), running: Vec::new(), saved: Box::default() },
        before,
    );
    let mut due = plan.handle(Event::Tick, Now { utc: Timestamp(minute), elapsed_ms: 1000 });
    due.retain(|action| matches!(action, Action::Start(_)));
    due
}

/// The executor closes its end when its last job's mail is out.
fn wait_for_mail(executor: &mut Executor, poll: &Poll) -> Result<(), Fatal> {
    executor.close()?;
    while !executor.is_done() {
        poll.wait_for_any(None).map_err(os("waiting for the executor"))?;
    }
    Ok(())
}
