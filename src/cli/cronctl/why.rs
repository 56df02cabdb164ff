//! `cronctl why`: why a job ran or did not run. The daemon knows the rules and the present; what the history knows of the past is added here.

use super::cli::{given, value};
use super::connection::Connection;
use super::error::Error;
use super::exit_status::ExitStatus;
use super::fleet;
use super::job_text;
use super::output::Output;
use super::screen::{Screen, TextStyle};
use super::system_state::SystemState;
use super::unread;
use crate::crontab::printable;
use crate::schedule::{Timestamp, rounded_duration};
use crate::varlink::Time;
use crate::varlink::cron::{FleetHistory, FleetOutcome, JobArguments, WAS_DUE, Why, WhyArguments, WhyStep};
use crate::varlink::history::{
    self, Downtime, Downtimes, DowntimesArguments, Found, RunArguments, RunRecord, RunsArguments,
};
use clap::ArgMatches;

/// Rows up to the minute that are examined: of its slots, and of runs that may still have been in progress.
const MOST_ROWS: u64 = 200;
/// Rows of the history that the answer lists at most.
const MOST_SHOWN: usize = 20;
/// Characters of the output's last line that are shown.
const LONGEST_LINE: usize = 200;
const MINUTE: i64 = 60;

pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let Some(job) = value::<String>(matches, "job") else { return Ok(ExitStatus::Success) };
    let mut daemon = Connection::open(system)?;
    let job = job_text::qualified(job, matches);
    let at = system.moment(matches, "time");
    let arguments = WhyArguments { job: job.clone(), at: at.map(|at| Time::from(at).to_string()) };
    let mut why: Why = match daemon.call("Why", &arguments) {
        Err(Error::NoSuchJob { message }) if unread::print_reasons(&job, system) => {
            return Err(Error::NoSuchJob {
                message: format!("{message}; the lines above are not loaded, and the job may be in one of them"),
            });
        }
        answer => answer?,
    };
    let found = daemon.find(&job);
    let of_job = found.as_ref().ok().and_then(|found| system.zone(&found.zone));
    let screen = Screen::of(out, system);
    // As the daemon says the times.
    let screen = Screen { zone: of_job.unwrap_or_else(|| screen.zone.clone()), ..screen };
    let mut past_words = "there is no history of that time";
    if let Some(mut history) = daemon.history()
        && let Ok(found) = found
    {
        past_words = "the history has no run of it";
        let past = match at {
            Some(at) => Past::at(&mut history, &found.job, minute_of(at), why.slot),
            None => Past::newest(&mut history, &found.job),
        };
        past.add_to(&mut why, &screen);
    }
    if why.verdict == WAS_DUE {
        why.verdict = format!("{WAS_DUE}, and {past_words}");
    }
    if why.steps.iter().any(|step| step.rule == "fleet") {
        add_fleet_outcome(&mut daemon, &job, &mut why, &screen);
    }
    if given(matches, "json") {
        out.json(&why)?;
        return Ok(ExitStatus::Success);
    }
    out.line(format_args!("{}", screen.paint(TextStyle::Heading, &printable(why.verdict.as_bytes()))))?;
    let widest = why.steps.iter().map(|step| step.rule.len()).max().unwrap_or(0);
    let mut before = "";
    for WhyStep { rule, result } in &why.steps {
        let shown = if rule == before { String::new() } else { printable(rule.as_bytes()) };
        out.line(format_args!("  {shown:<widest$}  {}", printable(result.as_bytes())))?;
        before = rule;
    }
    Ok(ExitStatus::Success)
}

/// Adds what the fleet knows of the slot, or of the newest one: the outcome on the node that has claimed it. What this node has run itself is in
/// its own history.
fn add_fleet_outcome(daemon: &mut Connection, job: &str, why: &mut Why, screen: &Screen) {
    // The engine may be away.
    let arguments = JobArguments { job: job.to_owned() };
    let Ok(found) = daemon.call::<FleetHistory>("FleetHistory", &arguments) else { return };
    let is_wanted = |outcome: &&FleetOutcome| why.slot.is_none_or(|slot| outcome.scheduled_at == slot);
    let Some(outcome) = found.outcomes.iter().find(is_wanted) else { return };
    let text = fleet_outcome_text(outcome, screen);
    let has_run_here = why.steps.iter().any(|step| step.rule == "history" && step.result.starts_with("run "));
    if why.slot.is_some() && !has_run_here {
        why.verdict = format!("it is a job of the fleet: {text}");
    }
    why.steps.push(WhyStep { rule: "outcome".to_owned(), result: text });
}

/// `web2, slot 2026-12-01T02:30:00+01:00, run 12: ok after 3s, fence 4711`.
fn fleet_outcome_text(outcome: &FleetOutcome, screen: &Screen) -> String {
    let run = outcome.run.map(|run| format!(", run {run}")).unwrap_or_default();
    let took = outcome.started_at.zip(outcome.ended_at).map(|(began, ended)| (ended.0 - began.0).max(0) as f64 / 1e6);
    let took = took.map(|took| format!(" after {}", rounded_duration(took))).unwrap_or_default();
    let fence = outcome.fence.map(|fence| format!(", fence {fence}")).unwrap_or_default();
    let (node, slot) = (&outcome.node, exact(outcome.scheduled_at, screen));
    format!("{node}, slot {slot}{run}: {}{took}{fence}", fleet::outcome_text(outcome))
}

/// The first second of the minute of a moment.
fn minute_of(at: Timestamp) -> Timestamp {
    Timestamp(at.0.div_euclid(MINUTE) * MINUTE)
}

/// What the history says about the slot and the job.
#[derive(Debug, Default)]
struct Past {
    /// The slot that was asked about, or the minute if the entry is not due in it. None: no time was given.
    moment: Option<Time>,
    /// Rows of slots in the minute, the oldest first; without a time the newest row.
    rows: Vec<RunRecord>,
    /// Runs of other slots that were in progress at the moment, the oldest first.
    going_on: Vec<RunRecord>,
    /// The interval without a daemon in which the moment is.
    downtime: Option<Downtime>,
    /// The last line of the output of the last row's run, if that has failed.
    last_line: Option<String>,
}

impl Past {
    /// What is known of a minute. `slot` is where the entry is due in it.
    fn at(history: &mut Connection, job: &str, minute: Timestamp, slot: Option<Time>) -> Past {
        let end = Timestamp(minute.0 + MINUTE);
        let moment = slot.unwrap_or(minute.into());
        let mut past = Past { moment: Some(moment), ..Past::default() };
        for row in rows_before(history, job, Some(end), MOST_ROWS) {
            let last = row.until.unwrap_or(row.scheduled_at);
            let is_of_minute = last >= minute.into();
            let is_going_on = row.scheduled_at < moment
                && row.started_at.is_some_and(|started| started <= moment)
                && row.ended_at.is_none_or(|ended| ended > moment)
                && (row.ended_at.is_some() || row.outcome == "running");
            if is_going_on {
                past.going_on.insert(0, row.clone());
            }
            if is_of_minute {
                past.rows.insert(0, row);
            }
        }
        let arguments =
            DowntimesArguments { since: Some(moment.to_string()), until: Some(Time(moment.0 + 1).to_string()) };
        let downtimes: Result<Downtimes, Error> = history.call("Downtimes", &arguments);
        past.downtime = downtimes.ok().and_then(|found| found.downtimes.into_iter().next());
        past.with_last_line(history)
    }

    /// What is known of the newest slot.
    fn newest(history: &mut Connection, job: &str) -> Past {
        Past { rows: rows_before(history, job, None, 1), ..Past::default() }.with_last_line(history)
    }

    fn with_last_line(mut self, history: &mut Connection) -> Past {
        let run = self.rows.last().filter(|row| has_failed(row)).and_then(|row| row.run);
        let output = run.and_then(|run| history.call::<history::Output>("Output", &RunArguments { run }).ok());
        let has_words = |line: &&str| !line.trim().is_empty();
        self.last_line = output.filter(|output| !output.base64).and_then(|output| {
            let last = |text: &str| text.lines().rfind(has_words).map(str::to_owned);
            last(&output.tail).or_else(|| last(&output.head))
        });
        self
    }

    /// Adds this to what the daemon has answered. What has happened is more than what the rules say now.
    fn add_to(&self, why: &mut Why, screen: &Screen) {
        let mut step = |rule: &str, result: String| why.steps.push(WhyStep { rule: rule.to_owned(), result });
        if let Some(downtime) = &self.downtime {
            step("downtime", downtime_text(downtime, screen));
        }
        for run in &self.going_on {
            let began = run.started_at.map(|at| exact(at, screen)).unwrap_or_default();
            let until =
                run.ended_at.map_or("is still running".to_owned(), |at| format!("ended at {}", exact(at, screen)));
            step("running", format!("run {} began at {began} and {until}", run.run.unwrap_or_default()));
        }
        for row in self.rows.iter().rev().take(MOST_SHOWN).rev() {
            step("history", row_text(row, screen));
        }
        if let Some(cause) = self.rows.last().and_then(shell_status) {
            step("cause", cause.to_owned());
        }
        if let Some(line) = &self.last_line {
            step("output", line.chars().take(LONGEST_LINE).collect());
        }
        if let Some(verdict) = self.verdict(why, screen) {
            why.verdict = verdict;
        } else if let Some(last) = self.rows.last().filter(|row| self.moment.is_none() && has_failed(row)) {
            // Whoever asks without a time wants to know what is wrong.
            why.verdict = format!("last run: {}; {}", job_text::outcome(&job_text::outcome_of(last)), why.verdict);
        }
    }

    /// What became of the slot. None: the history does not know.
    fn verdict(&self, why: &Why, screen: &Screen) -> Option<String> {
        let moment = self.moment?;
        let is_of_slot = |row: &&RunRecord| {
            row.scheduled_at <= moment && moment <= row.until.unwrap_or(row.scheduled_at) && row.trigger != "manual"
        };
        // A slot that the entry does not have any more.
        let is_other = |row: &&RunRecord| why.slot.is_none() && row.trigger != "manual";
        let mut rows = self.rows.iter().rev();
        let row = rows.clone().find(is_of_slot).or_else(|| rows.find(is_other));
        let down = self.downtime.as_ref().map(|downtime| downtime_text(downtime, screen));
        let Some(row) = row else {
            // Not due, or nothing was written down of it.
            why.slot?;
            // Slots that are skipped one after the other are written down once a minute.
            if let Some(run) = self.going_on.last().filter(|_| why.overlap.as_deref() == Some("skip")) {
                return Some(still_running(run, screen));
            }
            return down.map(|down| match why.catch_up.as_deref() {
                Some("once" | "all") => format!("it did not run: {down}, and catch-up has not run it since"),
                _ => format!("it did not run: {down}, and it is not caught up (CRON_CATCHUP is none)"),
            });
        };
        let end = job_text::outcome(&job_text::outcome_of(row));
        if row.run.is_some() {
            let began = row.started_at.map(|at| exact(at, screen));
            let ran = match (row.outcome.as_str(), began) {
                ("running", Some(began)) => format!("it runs since {began}"),
                (_, Some(began)) => format!("it ran at {began}: {end}"),
                (_, None) => end,
            };
            return Some(match (down, row.trigger.as_str()) {
                (Some(down), "catchup") => format!("{down}; catch-up: {ran}"),
                (Some(down), _) => format!("{down}; {ran}"),
                (None, _) => ran,
            });
        }
        let reason = row.reason.as_deref().unwrap_or_default();
        Some(match (row.outcome.as_str(), reason, self.going_on.last()) {
            ("skipped", "still running", Some(run)) => still_running(run, screen),
            ("skipped", "still running", None) => {
                "it did not run: an earlier run was still running or waiting, and overlap is skip".to_owned()
            }
            ("missed", "down", _) => {
                let down = down.unwrap_or_else(|| "no daemon ran".to_owned());
                format!("it did not run: {down}; catch-up left this slot out and ran the latest one only")
            }
            ("missed", "max-age", _) => {
                let down = down.unwrap_or_else(|| "no daemon ran".to_owned());
                format!("it did not run: {down}, and the slot was too old to be caught up")
            }
            ("missed", "limit", _) => {
                let down = down.unwrap_or_else(|| "no daemon ran".to_owned());
                format!("it did not run: {down}, and more slots were missed than are caught up")
            }
            ("missed", "asleep", _) => "it did not run: the machine was asleep".to_owned(),
            ("missed", "clock", _) => "it did not run: the clock was set forward over it".to_owned(),
            ("skipped", "paused", _) => "it did not run: it was paused".to_owned(),
            ("skipped", "calendar", _) => "it did not run: CRON_EXCEPT has the day".to_owned(),
            ("skipped", "superseded", _) => {
                let down = down.map(|down| format!("{down}, and ")).unwrap_or_default();
                format!("it did not run: {down}a newer slot took its place while it waited")
            }
            _ => format!("it did not run: {end}"),
        })
    }
}

/// Why a slot was skipped while an earlier run was in progress.
fn still_running(run: &RunRecord, screen: &Screen) -> String {
    let began = run.started_at.map(|at| exact(at, screen)).unwrap_or_default();
    format!("it did not run: a run that began at {began} was still running, and overlap is skip")
}

/// Rows of a job with slots before a moment, the newest first.
fn rows_before(history: &mut Connection, job: &str, before: Option<Timestamp>, limit: u64) -> Vec<RunRecord> {
    let arguments = RunsArguments {
        job: Some(job.to_owned()),
        until: before.map(|moment| Time::from(moment).to_string()),
        limit: Some(limit),
        ..RunsArguments::default()
    };
    let mut rows = Vec::new();
    // A job that is not in the history has no rows.
    let _ = history.call_more("Runs", &arguments, |Found { run }| {
        rows.push(run);
        Ok(true)
    });
    rows
}

/// `no daemon ran from 2026-12-01T02:00:00+01:00 to 2026-12-01T03:00:00+01:00 (stopped)`.
fn downtime_text(downtime: &Downtime, screen: &Screen) -> String {
    let Downtime { began_at, ended_at, cause } = downtime;
    format!("no daemon ran from {} to {} ({cause})", exact(*began_at, screen), exact(*ended_at, screen))
}

/// A moment with the offset of the zone in which it is shown.
fn exact(at: Time, screen: &Screen) -> String {
    screen.zone.to_rfc3339(at.timestamp())
}

/// Whether a run failed. One that was killed or replaced did not.
fn has_failed(row: &RunRecord) -> bool {
    row.run.is_some() && matches!(row.outcome.as_str(), "failed" | "signal" | "timeout" | "not started" | "lost")
}

/// What an exit status of the shell says of a command that it could not run.
fn shell_status(row: &RunRecord) -> Option<&'static str> {
    match row.exit_code? {
        127 => Some(
            "exit status 127: the shell did not find a command; cron's PATH is short, so write the full path of the program or \
             set PATH in the crontab",
        ),
        126 => Some(
            "exit status 126: the shell found the command and may not execute it; make it executable (chmod +x), and check the \
             interpreter in its first line",
        ),
        _ => None,
    }
}

/// `run 12, due 2026-12-01T02:30:00+01:00: failed (exit 3) after 12s, attempt 2`.
fn row_text(row: &RunRecord, screen: &Screen) -> String {
    let outcome = job_text::outcome_of(row);
    let run = row.run.map(|run| format!("run {run}, ")).unwrap_or_default();
    let took = row.duration.or_else(|| job_text::seconds(&outcome));
    let took = took.map(|took| format!(" after {}", rounded_duration(took))).unwrap_or_default();
    let attempt = if row.attempt > 1 { format!(", attempt {}", row.attempt) } else { String::new() };
    let until = row.until.map(|until| format!(" to {}", exact(until, screen))).unwrap_or_default();
    let due = exact(row.scheduled_at, screen);
    format!("{run}due {due}{until}: {}{took}{attempt}", job_text::outcome(&outcome))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Zone;

    const SLOT: i64 = 1_796_128_200;

    fn row(run: Option<u64>, outcome: &str, reason: Option<&str>) -> RunRecord {
        RunRecord {
            run,
            job: "alice:backup".into(),
            user: "alice".into(),
            uid: 1000,
            source: "/var/spool/cron/crontabs/alice".into(),
            line: 1,
            command: "backup".into(),
            trigger: "schedule".into(),
            attempt: u32::from(run.is_some()),
            scheduled_at: Timestamp(SLOT).into(),
            started_at: run.map(|_| Timestamp(SLOT + 1).into()),
            ended_at: run.map(|_| Timestamp(SLOT + 3).into()),
            duration: run.map(|_| 2.0),
            outcome: outcome.into(),
            reason: reason.map(str::to_owned),
            exit_code: None,
            signal: None,
            cpu_user: None,
            cpu_system: None,
            max_rss: None,
            output_bytes: 0,
            mail: None,
            hooks: None,
            count: 1,
            until: None,
        }
    }

    #[test]
    fn the_past_decides_in_words() {
        let screen = Screen { width: None, has_colours: false, now: Timestamp(SLOT + 900), zone: Zone::utc() };
        let down = || Downtime {
            began_at: Timestamp(SLOT - 60).into(),
            ended_at: Timestamp(SLOT + 60).into(),
            cause: "killed".into(),
        };
        let is_down = "no daemon ran from 2026-12-01T12:29:00+00:00 to 2026-12-01T12:31:00+00:00 (killed)";
        let going_on = RunRecord { started_at: Some(Timestamp(SLOT - 75).into()), ..row(Some(7), "ok", None) };
        let caught_up = RunRecord { trigger: "catchup".into(), ..row(Some(8), "ok", None) };
        for (rows, others, downtime, catch_up, expected) in [
            (
                vec![row(Some(8), "ok", None)],
                vec![],
                None,
                "none",
                "it ran at 2026-12-01T12:30:01+00:00: ok".to_owned(),
            ),
            (
                vec![row(None, "skipped", Some("still running"))],
                vec![going_on],
                None,
                "none",
                "it did not run: a run that began at 2026-12-01T12:28:45+00:00 was still running, and overlap is skip"
                    .into(),
            ),
            (
                vec![],
                vec![],
                Some(down()),
                "none",
                format!("it did not run: {is_down}, and it is not caught up (CRON_CATCHUP is none)"),
            ),
            (
                vec![caught_up],
                vec![],
                Some(down()),
                "once",
                format!("{is_down}; catch-up: it ran at 2026-12-01T12:30:01+00:00: ok"),
            ),
            (
                vec![row(None, "missed", Some("down"))],
                vec![],
                Some(down()),
                "once",
                format!("it did not run: {is_down}; catch-up left this slot out and ran the latest one only"),
            ),
        ] {
            let past = Past { moment: Some(Timestamp(SLOT).into()), rows, going_on: others, downtime, last_line: None };
            let slot = Some(Timestamp(SLOT).into());
            let why = Why { slot, catch_up: Some(catch_up.to_owned()), ..Why::default() };
            assert_eq!(past.verdict(&why, &screen).as_deref(), Some(expected.as_str()));
        }
    }
}
