//! The verbs that show what the daemon and the history know.

use super::options::{json, places, run_dir, switch, time, user};
use crate::cli::cronctl::values;
use crate::profile::ProfileName;
use crate::web::calendar::MOST_DAYS;
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser};
use clap::{Arg, Command, ValueHint, value_parser};

/// The outcomes that rows of the history have.
const OUTCOMES: [&str; 11] =
    ["ok", "failed", "signal", "timeout", "killed", "replaced", "not started", "lost", "skipped", "missed", "running"];

/// The argument JOB, which may be given once.
pub(super) fn job(help: &'static str) -> Arg {
    Arg::new("job").value_name("JOB").value_parser(NonEmptyStringValueParser::new()).help(help)
}

/// The argument JOB, which may be given any number of times.
pub(super) fn jobs(help: &'static str) -> Arg {
    Arg::new("jobs").value_name("JOB").num_args(0..).value_parser(NonEmptyStringValueParser::new()).help(help)
}

/// The user whose job is meant.
pub(super) fn owner() -> Arg {
    user("JOB is a job of this user")
}

pub(super) fn list(profile: ProfileName) -> Command {
    Command::new("list")
        .about("List jobs: schedule, last run, next run, state")
        .long_about(
            "List jobs, one on each line: name, schedule, last run, next run and state. Without a daemon: what the tables \
             say that you may read.",
        )
        .args([
            jobs("Only these jobs: USER:NAME, a name that only one job has, or a unique beginning of one"),
            switch("fleet", "Jobs with CRON_FLEET=one: which node ran each of them last, and which nodes have it"),
            user("Only jobs that run as this user"),
            json("Print the replies of the method List, or with --fleet of FleetJobs, one JSON object on each line"),
        ])
        .args(places(profile))
        .after_help("Examples:\n  cronctl list\n  cronctl list backup alice:report\n  cronctl list --user alice --json")
}

pub(super) fn status() -> Command {
    Command::new("status")
        .about("Show the daemon's state, and the jobs that fail")
        .long_about(
            "Show the daemon's state: its tables and those that it refuses, running, paused and failing jobs, what is due \
             next, and whether a history is kept. The exit status is 1 if a job fails or is late, a table is refused, or the \
             machine takes no part in its fleet.",
        )
        .args([
            user("Name the jobs of this user only"),
            json("Print the reply of the method Status as a JSON object"),
            run_dir(),
        ])
        .after_help("Examples:\n  cronctl status\n  cronctl status >/dev/null || echo 'look at cron'")
}

pub(super) fn show() -> Command {
    Command::new("show")
        .about("Show everything about a job")
        .long_about(
            "Show everything about a job: file and line, schedule in words, settings in force, environment, its last ten \
             runs, its success rate and its next five runs.",
        )
        .args([
            job("The job: USER:NAME, a name that only one job has, or a unique beginning of one").required(true),
            owner(),
            json("Print the reply of the method Show as a JSON object"),
            run_dir(),
        ])
        .after_help("Examples:\n  cronctl show backup\n  cronctl show --user alice backup")
}

pub(super) fn history() -> Command {
    Command::new("history")
        .about("List past runs, newest first")
        .long_about(
            "List past runs, newest first, and slots without a run: skipped, missed, or in a time in which the daemon did \
             not run.",
        )
        .args([
            job("Only runs of this job"),
            switch("fleet", "The last 20 outcomes of a job with CRON_FLEET=one on all nodes; needs JOB")
                .requires("job")
                .conflicts_with_all(["since", "until", "outcome", "limit"]),
            user("Only runs of jobs of this user"),
            time("since", "Only what was due at this time or later"),
            time("until", "Only what was due before this time"),
            Arg::new("outcome")
                .long("outcome")
                .value_name("OUTCOME")
                .value_parser(PossibleValuesParser::new(OUTCOMES))
                .help("Only runs and slots with this outcome"),
            Arg::new("limit")
                .long("limit")
                .value_name("N")
                .value_parser(values::whole_number)
                .help("Show at most N; default: 50"),
            json("Print the replies of the method Runs, one JSON object on each line, or with --fleet that of FleetHistory"),
            run_dir(),
        ])
        .after_help(
            "Examples:\n  \
             cronctl history backup\n  \
             cronctl history --outcome failed --since -2d\n  \
             cronctl history --user alice --limit 1000 --json",
        )
}

pub(super) fn logs() -> Command {
    Command::new("logs")
        .about("Show the output of a job's run")
        .long_about(
            "Show the output of a run: of the running one, else of the last. Control characters are shown as escapes \
             like \\x1b on a terminal. Of long output the beginning and the end are kept. JOB or RUN is required; \
             cronctl history lists the last runs of all jobs.",
        )
        .args([
            job("A job, or the number of a run").value_name("JOB|RUN").required(true),
            switch("follow", "Keep showing what the run writes, until it ends").short('f'),
            owner(),
            json("Print the replies of the method Output, one JSON object on each line"),
            run_dir(),
        ])
        .after_help("Examples:\n  cronctl logs backup\n  cronctl logs -f backup\n  cronctl logs 1234")
}

pub(super) fn why() -> Command {
    Command::new("why")
        .about("Explain why a job ran or did not run")
        .long_about(
            "Explain why a job ran or did not run at a time, rule by rule: schedule, time zone and DST, calendar, \
             pause, overlap, group, downtime. Of the past it says what the history has: the run, the run that was \
             still in progress, or from when to when no daemon ran and what catch-up made of it. Of a run that failed \
             it shows the last line of the output, and for the exit statuses 126 and 127 the likely cause. Of a job that \
             the daemon does not have, it shows the lines with errors and the files that are not read. Without a time: its \
             last run and its next.",
        )
        .args([
            job("The job: USER:NAME, a name that only one job has, or a unique beginning of one").required(true),
            Arg::new("time")
                .value_name("TIME")
                .allow_hyphen_values(true)
                .value_parser(values::moment)
                .help("The time: like 2026-12-01T14:00:00Z, '2026-12-01 14:00', today, or -30m"),
            owner(),
            json("Print the reply of the method Why as a JSON object"),
            run_dir(),
        ])
        .after_help(
            "Examples:\n  cronctl why backup\n  cronctl why backup '2026-12-01 02:30'\n  cronctl why backup -2h",
        )
}

pub(super) fn events() -> Command {
    Command::new("events")
        .about("Show what happens: starts, ends, pauses, reloads")
        .long_about(
            "Show what happens, one line for each event: start, end, skip, missed, pause, resume, kill, reload, late. \
             Without -f: the last starts and ends in the history.",
        )
        .args([
            jobs("Only events of these jobs"),
            switch("follow", "Show events from now on, as they happen").short('f'),
            user("Only events of jobs of this user"),
            json("Print the replies of the method Events, one JSON object on each line"),
            run_dir(),
        ])
        .after_help("Examples:\n  cronctl events\n  cronctl events -f\n  cronctl events -f --user alice --json")
}

pub(super) fn metrics() -> Command {
    Command::new("metrics")
        .about("Print metrics of jobs and daemon for Prometheus")
        .long_about(
            "Print metrics of jobs and daemon as OpenMetrics text. Without a daemon that is cronwheel_up 0, and the exit \
             status is 3.",
        )
        .args([
            Arg::new("output")
                .long("output")
                .value_name("FILE")
                .value_parser(value_parser!(std::path::PathBuf))
                .value_hint(ValueHint::FilePath)
                .conflicts_with("json")
                .help("Replace this file, also without a daemon; its readers see the old text or the new one"),
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .value_parser(["common", "openmetrics", "prometheus"])
                .help(
                    "openmetrics or prometheus: with the types of counters, which the two formats write differently; \
                     common: without them, valid in both; default: common",
                ),
            user("Only jobs that run as this user"),
            json("Print the replies of the method Metrics, one JSON object on each line"),
            run_dir(),
        ])
        .after_help(
            "Examples:\n  \
             cronctl metrics | grep '^cronwheel_job_late'\n  \
             cronctl metrics --format prometheus --output /var/lib/prometheus/node-exporter/cronwheel.prom",
        )
}

pub(super) fn calendar(profile: ProfileName) -> Command {
    Command::new("calendar")
        .about("Print the coming runs for calendar programs")
        .long_about(
            "Print the coming runs as an iCalendar file (RFC 5545). A job that runs more than 24 times on a day has \
             one event of the whole day. A calendar has at most 10000 events: it ends with the last day that fits, and \
             a message says so. Without a daemon: what the tables say that you may read.",
        )
        .args([
            jobs("Only these jobs: USER:NAME, a name that only one job has, or a unique beginning of one"),
            Arg::new("days")
                .long("days")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..=i64::from(MOST_DAYS)))
                .help("The days from now on, at most 366; default: 30"),
            user("Only jobs that run as this user"),
            json("Print the replies of the method Next, one JSON object on each line"),
        ])
        .args(places(profile))
        .after_help("Examples:\n  cronctl calendar >jobs.ics\n  cronctl calendar --days 7 --user alice backup")
}

pub(super) fn fleet() -> Command {
    Command::new("fleet")
        .about("Show the nodes of the fleet, their clocks, and tables that differ")
        .long_about(
            "Show the fleet that this machine is a node of: whether its engine (etcd) answers, the nodes with their clocks, \
             versions and labels, and the jobs that not all nodes have, or not all of them alike. The exit status is 1 if \
             something is not well. With reset JOB: set the watermark of a job to now, where a wrong clock has claimed a slot in \
             the future; no slot of the past runs again by this.",
        )
        .args([
            Arg::new("action")
                .value_name("reset")
                .value_parser(["reset"])
                .requires("job")
                .help("Repair the watermark of JOB"),
            job("The job: USER:NAME, a name that only one job has, or a unique beginning of one").requires("action"),
            user("Only jobs that run as this user"),
            json("Print the reply of the method Fleet, or with reset of FleetReset, as a JSON object"),
            run_dir(),
        ])
        .after_help("Examples:\n  cronctl fleet\n  cronctl list --fleet\n  cronctl history --fleet report\n  cronctl fleet reset report")
}

#[cfg(feature = "top")]
pub(super) fn top() -> Command {
    Command::new("top")
        .about("Show live what fails, runs and comes next")
        .long_about(
            "Show live on a terminal what fails, what runs and what comes next, with a timeline of the hour. Keys: \
             Enter or l shows the output of the selected job, r runs it, p pauses it for an hour, u resumes it, k ends \
             its run (and asks first), / filters, ? shows all keys, q quits. With more than 1,000 jobs, those are \
             listed that fail, run, wait or are among the next hundred to run; / then searches all. If the daemon \
             ends, top says so, and connects again.",
        )
        .args([
            user("Only jobs that run as this user"),
            json("Print the replies of the method List once, one JSON object on each line; needs no terminal"),
            run_dir(),
        ])
        .after_help("Examples:\n  cronctl top\n  cronctl top --user alice")
}

pub(super) fn ping() -> Command {
    Command::new("ping")
        .about("Check whether the daemon answers")
        .long_about("Check whether the daemon answers. Prints nothing; the exit status is 0 if it does, and 3 if not.")
        .args([
            user("Accepted and ignored: there is one daemon"),
            json("Accepted and ignored: ping prints nothing"),
            run_dir(),
        ])
        .after_help("Example:\n  cronctl ping || systemctl restart cron")
}
