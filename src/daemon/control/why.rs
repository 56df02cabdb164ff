//! Why a job ran or did not run at a moment, as far as the daemon knows it. The history knows more about the past.

use super::jobs::outcome_of;
use super::search::FoundJob;
use crate::control::Visibility;
use crate::crontab::Overlap;
use crate::daemon::live_runs::LiveRun;
use crate::daemon::reactor::Token;
use crate::daemon::state::{Daemon, now};
use crate::schedule::{self, Kind, Timestamp, Zone};
use crate::scheduler::{JobId, Live, MarkState, RunRecord};
use crate::sys::local_socket::Peer;
use crate::varlink::{Reply, Time, cron};

/// The answer that is being made.
#[derive(Default)]
struct Answer {
    steps: Vec<cron::WhyStep>,
    verdict: Option<String>,
    slot: Option<Timestamp>,
}

impl Answer {
    fn step(&mut self, rule: &str, result: impl Into<String>) {
        self.steps.push(cron::WhyStep { rule: rule.to_owned(), result: result.into() });
    }

    /// The rule that decided. Later ones change nothing.
    fn decide(&mut self, verdict: impl Into<String>) {
        self.verdict.get_or_insert(verdict.into());
    }
}

impl Daemon {
    pub(super) fn explain_why(&mut self, token: Token, peer: &Peer, job: &FoundJob, at: Option<Timestamp>) {
        let FoundJob { id, access, place } = job;
        let scheduler = &self.driver.scheduler;
        let live = place.and_then(|place| scheduler.entry_at(place)).filter(|live| live.id().as_ref() == Some(id));
        let Some(live) = live else {
            let view = self.anacron_views(peer).into_iter().find(|(view, _)| view.id == *id);
            return match view {
                Some((view, access)) => {
                    let zone = self.driver.scheduler.system_zone();
                    self.reply(token, &Reply::of(&why_of_anacron(&view.job_for(access), &zone)));
                }
                None => self.refuse(token, cron::Error::NoSuchJob { job: id.to_string() }),
            };
        };
        let mut answer = Answer::default();
        // The client may have written a part of the name.
        answer.step("job", id.as_str());
        answer.step("entry", format!("line {} of {}", live.line(), live.source().path));
        let text = live.schedule_text();
        answer.step("schedule", format!("{text}: {}", schedule::explain(live.schedule())));
        if let Some(zone) = live.zone() {
            answer.step("zone", zone.name());
        }
        match at {
            Some(at) => self.explain_moment(&live, id, at, &mut answer),
            None => self.explain_last_and_next(&live, id, access.sees, &mut answer),
        }
        self.explain_fleet(id, &mut answer);
        let policy = live.policy();
        let why = cron::Why {
            verdict: answer.verdict.unwrap_or_default(),
            steps: answer.steps,
            slot: answer.slot.map(Time::from),
            overlap: Some(policy.overlap.as_str().to_owned()),
            catch_up: Some(policy.catch_up.mode.as_str().to_owned()),
        };
        self.reply(token, &Reply::of(&why));
    }

    /// On which machine of a fleet it runs, and what became of the last slot that one of them has claimed.
    fn explain_fleet(&self, id: &JobId, answer: &mut Answer) {
        /// Nodes that the answer names at most.
        const NAMED: usize = 5;
        let Some(view) = self.driver.scheduler.fleet_view(now()) else { return };
        let Some(job) = self.driver.scheduler.fleet_job_view(id) else { return };
        let Some(mode) = job.mode else { return };
        let nodes = self.driver.scheduler.fleet_order(id);
        let order = match nodes.as_slice() {
            [] => "no node that is up may run it".to_owned(),
            [only] => format!("only {only} may run it now"),
            nodes => {
                let others = nodes.len().saturating_sub(NAMED);
                let more = if others > 0 { format!(" and {others} more") } else { String::new() };
                format!(
                    "they try in the order {}{more}",
                    nodes.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ")
                )
            }
        };
        answer.step("fleet", format!("{mode}; this node is {}; {order}", view.node));
        if view.away_since_ms.is_some() {
            answer.step("fleet", "the engine (etcd) cannot be reached now: CRON_FLEET_AWAY decides");
        }
        if view.is_name_taken {
            answer.step("fleet", format!("another machine is the node {}: this one takes no part", view.node));
        }
        if let Some((mark, revision)) = &job.mark {
            let (slot, node, state) = (Timestamp(mark.slot), &mark.node, mark.state.as_str());
            answer.step("claim", format!("the slot {slot} is {state} by {node}, revision {revision}"));
            // What an earlier verdict says of this machine alone is not what the fleet knows.
            if answer.slot == Some(slot) && *node != view.node {
                answer.verdict = Some(match mark.state {
                    MarkState::Claimed | MarkState::Second => format!("{node} runs it: it has claimed the slot"),
                    MarkState::Ended => format!("{node} ran it, or skipped it for all: cronctl history --fleet {id}"),
                    MarkState::Lost => format!("{node} was lost while it ran it"),
                });
            }
        }
        if let Some(pause) = &job.pause {
            answer.step("pause", format!("paused on all nodes until {}", Timestamp(pause.until)));
        }
    }

    /// The last run and the next.
    fn explain_last_and_next(&self, live: &Live<'_>, id: &JobId, sees: Visibility, answer: &mut Answer) {
        match self.runs.last(id) {
            Some(last) => answer.step("last", in_words(live, last)),
            None => answer.step("last", "no run has ended since the daemon was started"),
        }
        for (run, going_on) in self.runs.of_job(id) {
            answer
                .step("running", format!("run {run}, started for {}", in_zone(live, Timestamp(going_on.scheduled_at))));
            answer.decide("it runs now");
        }
        let status = self.driver.scheduler.job_status(id);
        if !live.policy().is_enabled {
            answer.step("enabled", "no: CRON_ENABLED=no");
            answer.decide("it is disabled and runs by hand only");
        }
        if let Some(pause) = &status.pause {
            // Who paused a job of the system, and why, is root's.
            let by = match (sees, pause.note.is_empty()) {
                (Visibility::All, true) => format!(" by {}", pause.by),
                (Visibility::All, false) => format!(" by {}: {}", pause.by, pause.note),
                (Visibility::Entry | Visibility::Nothing, _) => String::new(),
            };
            let until = in_zone(live, pause.until);
            answer.step("pause", format!("paused until {until}{by}"));
            answer.decide(format!("it is paused until {until}"));
        }
        if let Some(retry) = status.retry_at {
            answer.step("retry", format!("another attempt at {}", in_zone(live, retry)));
        }
        if status.waiting > 0 {
            answer.decide("it waits for the end of another run");
            answer.step(
                "waiting",
                match status.waiting {
                    1 => "1 slot or manual run waits for the end of another run, of the job or in its group".to_owned(),
                    count => {
                        format!(
                            "{count} slots or manual runs wait for the end of another run, of the job or in its group"
                        )
                    }
                },
            );
        }
        match live.coming_start(id) {
            Some(next) => {
                answer.step("next", in_zone(live, next));
                answer.decide(format!("it runs next at {}", in_zone(live, next)));
            }
            None if live.next_start().is_some() => answer.decide("CRON_EXCEPT leaves out all of the coming days"),
            None => answer.decide(match live.schedule().kind() {
                Kind::Reboot => "it runs when the machine starts".to_owned(),
                Kind::After => "it runs when the jobs that it names have ended well".to_owned(),
                Kind::Interval { .. } => "it runs after the end of the current run".to_owned(),
                Kind::Calendar => "it never runs by its schedule".to_owned(),
            }),
        }
    }

    /// Explains why a job ran or did not run in the minute of `at`.
    fn explain_moment(&self, live: &Live<'_>, id: &JobId, at: Timestamp, answer: &mut Answer) {
        let policy = live.policy();
        if !policy.is_enabled {
            answer.step("enabled", "no: CRON_ENABLED=no");
            answer.decide("it does not run: it is disabled");
        }
        let minute = Timestamp(at.0.div_euclid(60) * 60);
        // Of several in the minute the last one up to the moment.
        let slots = live.starts_after(Timestamp(minute.0 - 1)).take_while(|slot| slot.0 < minute.0 + 60);
        let slots: Vec<Timestamp> = slots.collect();
        let slot = slots.iter().rev().find(|slot| **slot <= at).or(slots.first()).copied();
        match (slot, live.schedule().kind()) {
            (Some(slot), _) => {
                answer.slot = Some(slot);
                answer.step("slot", format!("due at {}", in_zone(live, slot)));
            }
            (None, Kind::Calendar) => {
                let delay = i64::from(live.delay());
                let why = live.zone().map(|zone| mismatch(live, zone, Timestamp(minute.0 - delay))).unwrap_or_default();
                answer.step("slot", format!("not due: {why}"));
                answer.decide(format!("it does not run then: {why}"));
            }
            (None, Kind::Reboot) => answer.decide("it runs when the machine starts, and at no time of day"),
            (None, Kind::After) => {
                answer.decide("it runs when the jobs that it names have ended well, and at no time of day")
            }
            (None, Kind::Interval { seconds }) => {
                answer.decide(format!("it runs {seconds} s after the end of the run before, and at no time of day"));
            }
        }
        let moment = slot.unwrap_or(at);
        if let Some(zone) = live.zone().filter(|_| self.driver.scheduler.is_excepted_at(id, moment)) {
            let day = zone.to_rfc3339(Timestamp(moment.0 - i64::from(live.delay())));
            answer.step("calendar", format!("CRON_EXCEPT has the day {}", day.get(..10).unwrap_or(&day)));
            answer.decide("it does not run then: CRON_EXCEPT has the day");
        }
        let pause = self.driver.scheduler.job_status(id).pause;
        match pause.filter(|pause| pause.from <= moment && moment < pause.until) {
            Some(pause) => {
                let until = in_zone(live, pause.until);
                answer.step("pause", format!("paused until {until}"));
                answer.decide(format!("it does not run then: it is paused until {until}"));
            }
            None if self.driver.scheduler.was_paused(id, moment) => {
                answer.step("pause", "the job was paused then");
                answer.decide("it did not run: it was paused");
            }
            None => {}
        }
        let began = Timestamp(self.control.started_at_ms.div_euclid(1_000));
        let is_past = moment <= now().utc;
        let is_earlier = |run: &LiveRun| {
            let began = run.started_at_ms.map_or(run.scheduled_at, |ms| ms.div_euclid(1_000));
            run.scheduled_at != moment.0 && began <= moment.0
        };
        let earlier = self.runs.of_job(id).find(|(_, run)| is_earlier(run));
        if let Some((run, earlier)) = earlier.filter(|_| is_past) {
            let began = earlier.started_at_ms.map_or(Timestamp(earlier.scheduled_at), |ms| Time::of_ms(ms).timestamp());
            let began = in_zone(live, began);
            let word = policy.overlap.as_str();
            answer.step("overlap", format!("run {run}, which began at {began}, is still running; overlap is {word}"));
            if slot.is_some() && policy.overlap == Overlap::Skip {
                answer.decide(format!(
                    "it did not run: a run that began at {began} was still running, and overlap is skip"
                ));
            }
        }
        if is_past && moment < began {
            let began = in_zone(live, began);
            answer.step("daemon", format!("this daemon was started later, at {began}; the history may know more"));
        }
        match self.runs.last(id).filter(|last| last.scheduled_at == moment) {
            Some(last) => {
                answer.step("outcome", in_words(live, last));
                answer.decide(in_words(live, last));
            }
            None if is_past => {
                let going_on = self.runs.of_job(id).find(|(_, run)| run.scheduled_at == moment.0);
                if let Some((run, _)) = going_on {
                    answer.decide(format!("it runs: run {run} has not ended"));
                }
                // The history may have the outcome: the client asks there.
                answer.decide(cron::WAS_DUE);
            }
            None => answer.decide(format!("it runs at {}", in_zone(live, moment))),
        }
    }
}

/// The answer about a job of the anacrontab, whose days are those of the system's zone.
fn why_of_anacron(job: &cron::Job, zone: &Zone) -> cron::Why {
    let in_zone = |at: Time| zone.to_rfc3339(at.timestamp());
    let mut answer = Answer::default();
    answer.step("job", job.job.clone());
    answer.step("entry", format!("line {} of {}", job.line, job.source));
    answer.step("schedule", format!("{}, since the day on its stamp", job.schedule));
    let is_idle = job.running.is_empty();
    if !job.enabled {
        answer.step("enabled", "no: CRON_ENABLED=no");
    }
    if !job.enabled && is_idle {
        answer.decide("it is disabled and runs by hand only");
    }
    if let Some(until) = job.paused_until.filter(|_| is_idle) {
        let by = job.paused_by.as_ref().map(|by| format!(", by {by}")).unwrap_or_default();
        answer.step("pause", format!("it is paused until {}{by}", in_zone(until)));
        answer.decide(format!("it is paused until {}", in_zone(until)));
    }
    match job.next {
        Some(next) => answer.decide(format!("it was found due and starts at {}", in_zone(next))),
        None if !is_idle => answer.decide("it runs now"),
        None => answer.decide("it is not due: it is checked each hour whether the day on its stamp is long enough ago"),
    }
    let verdict = answer.verdict.unwrap_or_default();
    cron::Why { verdict, steps: answer.steps, slot: None, overlap: None, catch_up: None }
}

/// A moment as the clocks in the zone of an entry show it.
fn in_zone(live: &Live<'_>, moment: Timestamp) -> String {
    live.zone().map_or_else(|| moment.to_string(), |zone| zone.to_rfc3339(moment))
}

/// Why an entry is not due in a minute.
fn mismatch(live: &Live<'_>, zone: &Zone, minute: Timestamp) -> String {
    let local = zone.local_minute(minute);
    let shown = zone.to_rfc3339(minute);
    let wrong: Vec<&str> = live.schedule().fields_that_differ(local);
    match wrong.as_slice() {
        [] => format!("the clock shows {shown}, and a change of the clock or of the zone's offset moved the run"),
        [only] => format!("the clock shows {shown}, and the {only} does not match"),
        [others @ .., last] => {
            format!("the clock shows {shown}, and the {} and the {last} do not match", others.join(", the "))
        }
    }
}

/// A sentence about the outcome of a run or slot.
fn in_words(live: &Live<'_>, record: &RunRecord) -> String {
    let outcome = outcome_of(record);
    let run = outcome.run.map(|run| format!("run {run} ")).unwrap_or_default();
    let detail = match (outcome.exit_code, outcome.signal, &outcome.reason) {
        (Some(code), ..) => format!(" with exit status {code}"),
        (None, Some(signal), _) => format!(" {signal}"),
        (None, None, Some(reason)) => format!(": {reason}"),
        (None, None, None) => String::new(),
    };
    format!("{run}for {}: {}{detail}", in_zone(live, record.scheduled_at), outcome.outcome)
}
