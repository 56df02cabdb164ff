//! The arguments of the verbs that run, pause, resume and kill jobs, and of those that reload crontabs.

use super::jobs::{job, jobs, owner};
#[cfg(feature = "web")]
use super::options::repeated;
use super::options::{json, run_dir, switch, time, user};
use crate::cli::cronctl::values;
#[cfg(feature = "web")]
use crate::web::site::Address;
use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgGroup, Command};

/// The arguments of a verb for named jobs or, with `--all`, for all of them.
fn jobs_or_all(verb: &'static str) -> [Arg; 2] {
    [
        jobs("The jobs: USER:NAME, a name that only one job has, or a unique beginning of one"),
        switch("all", verb).conflicts_with("jobs"),
    ]
}

fn either() -> ArgGroup {
    ArgGroup::new("which").args(["jobs", "all"]).required(true)
}

pub(super) fn run() -> Command {
    Command::new("run")
        .about("Run a job now")
        .long_about(
            "Run a job now, as its owner, with the environment, limits and mail of a scheduled run. With --wait its output \
             is printed from its first byte on, and the exit status is that of the job: 124 after a timeout, 125 if it was \
             not run, 128+N if signal N ended it. What it writes to standard error goes to standard output, too, in the \
             order of its mail; with CRON_FAIL_ON=stderr, and where crond FILE runs it, it goes to standard error. Of a job \
             that writes faster than its output can be shown parts are left out, and the output says so. An interrupt \
             (Ctrl-C) ends the waiting, not the job.",
        )
        .args([
            job("The job: USER:NAME, a name that only one job has, or a unique beginning of one").required(true),
            switch("wait", "Wait until the run ends, and print its output"),
            switch("force", "Run it even if it is running or its group is busy"),
            owner(),
            json("Print the replies of the method Run, one JSON object on each line"),
            run_dir(),
        ])
        .after_help("Examples:\n  cronctl run backup\n  cronctl run --wait backup && echo done\n  cronctl run --force backup")
}

pub(super) fn pause() -> Command {
    Command::new("pause")
        .about("Pause jobs: start no runs of them for a time")
        .long_about(
            "Pause jobs: start no runs of them for a time, an hour unless --for or --until is given. Manual runs and \
             running jobs are not affected. With --all, entries that are added in that time are paused, too, unless \
             --user is given. The pause of a named job holds for the entry in the table that it was in: an entry of \
             another table that gets the name later is not paused. What root has paused only root can resume. A pause \
             outlives a restart of the daemon; if the state directory cannot be written, it does not, and a warning \
             says so.",
        )
        .args(jobs_or_all("Pause all jobs that you may pause"))
        .group(either())
        .args([
            Arg::new("for")
                .long("for")
                .value_name("DURATION")
                .value_parser(values::duration)
                .help("For this time, like 30m, 2h or 3d; at most 30d"),
            time("until", "Until this time, like 14:00 or '2026-12-01 14:00'").conflicts_with("for"),
            Arg::new("note")
                .long("note")
                .value_name("TEXT")
                .value_parser(NonEmptyStringValueParser::new())
                .help("Reason, shown with the job"),
            user("Only jobs of this user"),
            json("Print the reply of the method Pause as a JSON object"),
            run_dir(),
        ])
        .after_help(
            "Examples:\n  \
             cronctl pause backup --for 2h --note 'disk is being replaced'\n  \
             cronctl pause --all --until '2026-12-01 06:00'",
        )
}

pub(super) fn resume() -> Command {
    Command::new("resume")
        .about("End the pause of jobs")
        .long_about(
            "End the pause of jobs. With --all, also that of entries that are added. For other users, jobs that root \
             has paused stay paused, and the command prints how many.",
        )
        .args(jobs_or_all("Resume all jobs that you may resume"))
        .group(either())
        .args([
            user("Only jobs of this user"),
            json("Print the reply of the method Resume as a JSON object"),
            run_dir(),
        ])
        .after_help("Examples:\n  cronctl resume backup\n  cronctl resume --all")
}

pub(super) fn kill() -> Command {
    Command::new("kill")
        .about("End a run, or cancel a waiting one")
        .long_about(
            "End a run: with TERM, and with KILL if that does not end it. For a job: ends its oldest run; without one, \
             cancels its waiting run, else its pending retry.",
        )
        .args([
            job("The number of a run, or a job").value_name("RUN|JOB").required(true),
            Arg::new("signal")
                .long("signal")
                .short('s')
                .value_name("SIGNAL")
                .value_parser(NonEmptyStringValueParser::new())
                .help("Only send this signal to the run's processes: a name like HUP, or a number"),
            owner(),
            json("Print the reply of the method Kill as a JSON object"),
            run_dir(),
        ])
        .after_help("Examples:\n  cronctl kill 1234\n  cronctl kill backup\n  cronctl kill --signal HUP 1234")
}

pub(super) fn reload() -> Command {
    Command::new("reload")
        .about("Read the crontabs again")
        .long_about(
            "Read the crontabs again: all of them for root, or that of one user, else your own. The daemon notices changes without this; it helps \
             where a file system does not report them.",
        )
        .args([
            user("Read the crontab of this user only"),
            json("Print the reply of the method Reload as a JSON object"),
            run_dir(),
        ])
        .after_help("Example:\n  cronctl reload")
}

#[cfg(feature = "web")]
pub(super) fn web() -> Command {
    Command::new("web")
        .about("Serve a web page that shows and controls jobs")
        .long_about(
            "Serve a web page that shows jobs, runs and their output, and with which jobs can be run, paused and ended. It runs as the user who starts it and \
             can do what this user can do with the other verbs. On loopback it prints an address that signs in a browser once; other users of the \
             machine are refused. On a Unix socket, or a socket of systemd, the web server in front of it decides who sees the page. It serves until it is \
             interrupted (Ctrl-C).",
        )
        .args([
            Arg::new("listen")
                .long("listen")
                .value_name("ADDRESS")
                .value_parser(|text: &str| Address::parse(text))
                .help("127.0.0.1:PORT, [::1]:PORT or unix:PATH; default: a free port on 127.0.0.1"),
            switch("open", "Open the page in a browser (xdg-open)"),
            switch("read-only", "Show everything and change nothing"),
            user("Show only jobs that run as this user"),
            Arg::new("token-file")
                .long("token-file")
                .value_name("FILE")
                .value_parser(clap::value_parser!(std::path::PathBuf))
                .value_hint(clap::ValueHint::FilePath)
                .help("Serve /metrics and /calendar.ics to programs that send the first line of FILE (Authorization: Bearer)"),
            repeated("host", "NAME", "On a Unix socket, serve requests for this host name only")
                .value_parser(NonEmptyStringValueParser::new()),
            switch("any-host", "On a Unix socket, serve requests for any host name: the web server in front refuses others")
                .conflicts_with("host"),
            json("Print the address as a JSON object"),
            run_dir(),
        ])
        .after_help(
            "Examples:\n  \
             cronctl web --open\n  \
             cronctl web --listen 127.0.0.1:8080 --read-only\n  \
             cronctl web --listen unix:/run/user/1000/cron.sock --host cron.example.org",
        )
}
