//! The verbs that need no daemon: when entries run, and what a crontab or a schedule means.

use super::options::{file, json, path, places, repeated, system, time, user, zone};
use crate::cli::cronctl::values;
use crate::profile::ProfileName;
use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, ArgGroup, Command, ValueHint, value_parser};

pub(super) fn next(profile: ProfileName) -> Command {
    Command::new("next")
        .about("Show when entries run next")
        .long_about(
            "Show when entries run next. Without FILE, --expr or --user: the entries of all tables that the daemon would \
             load and that you may read. Prints one line for each run, sorted by time, in the time zone of the system or of --tz: TIME  \
             USER  COMMAND; with --expr the time only. On a terminal it also says how far off each run is. Random delays are included.",
        )
        .args([
            Arg::new("expr")
                .long("expr")
                .value_name("EXPR")
                .allow_hyphen_values(true)
                .help("Use this schedule: five fields, a nickname such as @daily, or @quartz and seven fields"),
            path(),
            file("The same as FILE"),
            system().requires("table").conflicts_with_all(["expr", "user"]),
            user("Use the entries of this user's crontab"),
        ])
        .group(ArgGroup::new("table").args(["path", "file"]))
        .group(ArgGroup::new("source").args(["expr", "path", "file", "user"]))
        .args([
            zone(),
            time("from", "Runs after this time (exclusive); default: now"),
            time("until", "Runs until this time (inclusive)"),
            Arg::new("count")
                .long("count")
                .value_name("N")
                .value_parser(values::whole_number)
                .help("Show at most N runs of all entries together; default: 10"),
            json("Print one JSON object for each run, with at (UTC), schedule, zone, user, command, source and line"),
            Arg::new("batch")
                .long("batch")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["source", "system", "until", "json"])
                .help("Read queries from standard input, one JSON object on each line")
                .long_help(
                    "Read queries from standard input, one JSON object on each line: {\"id\":7,\"expr\":\"30 2 * * *\",\
                     \"tz\":\"Europe/Berlin\",\"from\":\"2026-03-28T12:00:00Z\",\"count\":5}. Each is answered by one line, in order: \
                     {\"id\":7,\"next\":[\"2026-03-29T01:00:00Z\",...]} or {\"id\":7,\"error\":\"...\"}. What a query leaves \
                     out is taken from --tz, --from and --count.",
                ),
        ])
        .args(places(profile))
        .after_help(
            "Examples:\n  \
             cronctl next --count 3\n  \
             cronctl next --expr @daily --tz Europe/Berlin --from 2026-03-28T12:00:00Z\n  \
             cronctl next /etc/cron.d/backup --json\n  \
             cronctl next --user alice --until 2026-12-24T18:00:00Z --count 1000",
        )
}

pub(super) fn check() -> Command {
    Command::new("check")
        .about("Report errors and warnings in crontabs")
        .long_about(
            "Report errors and warnings in crontabs, on standard error. Standard output has one line for each file: \
             FILE: 3 entries, 0 errors, 1 warning. The exit status is 0 if there are only warnings. System tables are recognised \
             as those of next are, and a file with the name anacrontab is read as one.",
        )
        .args([
            system(),
            Arg::new("batch")
                .long("batch")
                .action(ArgAction::SetTrue)
                .conflicts_with_all(["files", "system"])
                .help("Read tables from standard input, one JSON object on each line")
                .long_help(
                    "Read tables from standard input, one JSON object on each line: {\"id\":7,\"kind\":\"user\",\"text\":\"whole \
                     table\\n\"}, or \"line\", to which a newline is added; kind is user or system. Each is answered by one line, in \
                     order: {\"id\":7,\"ok\":true,\"entries\":3,\"warnings\":[...]} or \
                     {\"id\":7,\"ok\":false,\"entries\":2,\"errors\":[{\"line\":4,\"column\":3,\"message\":\"...\"}]}. \
                     At most 100 of each are listed; \"not_listed\":N counts the others.",
                ),
            Arg::new("files")
                .value_name("FILE")
                .num_args(1..)
                .required_unless_present_any(["batch", "user"])
                .value_parser(value_parser!(std::path::PathBuf))
                .value_hint(ValueHint::FilePath)
                .help("Files to check; - means standard input"),
            user("Check the crontab of this user").conflicts_with_all(["files", "system", "batch"]),
            json("Print one JSON object for each file, with file, ok, entries, errors and warnings, and nothing on standard error")
                .conflicts_with("batch"),
        ])
        .after_help(
            "Examples:\n  \
             cronctl check mytab\n  \
             cronctl check /etc/crontab /etc/cron.d/* /etc/anacrontab\n  \
             crontab -l | cronctl check -",
        )
}

pub(super) fn explain() -> Command {
    Command::new("explain")
        .about("Explain a schedule in English and show its next runs")
        .long_about(
            "Explain in English what a schedule means, show its next five runs, and warn about what may surprise: DST \
             changes that affect it, dates that do not exist, two day fields of which only one must match.",
        )
        .args([
            Arg::new("expr")
                .value_name("EXPR")
                .num_args(1..)
                .required_unless_present("user")
                .allow_negative_numbers(true)
                .value_parser(NonEmptyStringValueParser::new())
                .help("A schedule or a whole line of a crontab, quoted or as separate arguments; several schedules if each is quoted"),
            zone(),
            time("from", "Show runs after this time; default: now"),
            user("Explain the entries of this user's crontab").conflicts_with("expr"),
            json("Print one JSON object for each schedule, with expr, explanation, zone, next (UTC) and warnings, or with error"),
        ])
        .after_help(
            "Examples:\n  \
             cronctl explain '30 2 * * mon-fri'\n  \
             cronctl explain 0 4 1 '*' sun --tz America/New_York\n  \
             cronctl explain @weekly\n  \
             cronctl explain '*/15 9-17 * * mon-fri /usr/local/bin/poll'",
        )
}

pub(super) fn simulate() -> Command {
    Command::new("simulate")
        .about("Show what the daemon would start during clock changes and restarts")
        .long_about(
            "Show what the daemon would start, with a simulated clock that begins at --from: through DST changes, through \
             steps of the clock (--step) and through times in which the daemon is stopped (--down). Nothing is executed. \
             Entries with @reboot run at --from. Prints one line for each start: TRUE-UTC  SHOWN-LOCAL  LINE  COMMAND; \
             SHOWN-LOCAL is the time that the machine's clock shows.",
        )
        .args([
            path(),
            file("The same as FILE"),
            system().conflicts_with("user"),
            user("Use the entries of this user's crontab"),
            zone(),
            time("from", "Start the simulated machine at this time; default: now"),
            time("until", "Stop after this time (inclusive); default: one day after --from"),
            repeated("step", "TIME=DELTA", "At this true time set the clock forward or back: +2h, -90s, 1d")
                .value_parser(values::step),
            repeated("down", "TIME..TIME", "The daemon is stopped between these true times").value_parser(values::down),
            repeated("duration", "JOB=DUR", "How long the runs of a job last, like backup=90m (default: no time)")
                .value_parser(values::job_duration),
            repeated("exit", "JOB=CODE[,CODE...]", "Exit statuses of a job's runs in order, the last repeated (default: 0)")
                .value_parser(values::job_exits),
            repeated("pause", "JOB=TIME..TIME", "A job is paused between these true times")
                .value_parser(values::job_range),
            repeated("run", "JOB@TIME", "Somebody runs a job at this true time").value_parser(values::job_time),
            repeated("kill", "JOB@TIME", "Somebody ends a job's oldest run, else what waits, else its retry")
                .value_parser(values::job_time),
            Arg::new("outcomes")
                .long("outcomes")
                .action(ArgAction::SetTrue)
                .help("Print one JSON object for each outcome of a slot or a run instead of the starts"),
            json("Print one JSON object for each start, with at (UTC), shown, line and command"),
        ])
        .group(ArgGroup::new("table").args(["path", "file", "user"]).required(true))
        .after_help(
            "Examples:\n  \
             cronctl simulate mytab\n  \
             cronctl simulate mytab --tz Europe/Berlin \\\n    \
             --from 2026-03-28T22:00:00Z --until 2026-03-29T04:00:00Z\n  \
             cronctl simulate mytab --tz UTC --from 2026-05-01T09:00:00Z --until 2026-05-01T14:00:00Z \\\n    \
             --step 2026-05-01T10:00:00Z=+2h --down 2026-05-01T12:00:00Z..2026-05-01T12:30:00Z",
        )
}

pub(super) fn timeline(profile: ProfileName) -> Command {
    Command::new("timeline")
        .about("Draw when jobs ran and when they will run")
        .long_about(
            "Draw when jobs ran and when they will run: a row for each job or user, with past runs by duration and \
             outcome, runs in progress, and coming starts; above them the starts in each minute. Crowded minutes, \
             quiet times, changes of the clocks (DST) and times of which nothing is known are named. With a daemon, \
             the past is that of its history and the future what it will do; without one, with FILE or with --tz, all \
             of it is computed from the crontabs.",
        )
        .args([
            path().help("Use the entries of this file; - means standard input, all means all tables, which is the default"),
            file("The same as FILE"),
            system().requires("table").conflicts_with("user"),
            user("Only jobs of this user; without a daemon, the entries of this user's crontab"),
        ])
        .group(ArgGroup::new("table").args(["path", "file"]))
        .group(ArgGroup::new("source").args(["path", "file", "user"]))
        .args([
            zone(),
            time("from", "Begin at this time; default: the start of the current hour, and six hours earlier if there is a history"),
            time("until", "End before this time, at most 400 days after --from; default: one day after --from"),
            Arg::new("by")
                .long("by")
                .value_name("WHAT")
                .value_parser(["job", "user"])
                .help("Draw a row for each job or for each user; default: job"),
            Arg::new("rows")
                .long("rows")
                .value_name("N")
                .value_parser(values::whole_number)
                .help("Draw at most N rows; default: 200. Jobs without a row are counted above the rows"),
            Arg::new("svg")
                .long("svg")
                .value_name("FILE")
                .value_parser(value_parser!(std::path::PathBuf))
                .value_hint(ValueHint::FilePath)
                .conflicts_with("json")
                .help("Write the diagram to this file as SVG; - means standard output"),
            json("Print what the diagram shows, one JSON object on each line: first the range, then each fact"),
        ])
        .args(places(profile))
        .after_help(
            "Examples:\n  \
             cronctl timeline\n  \
             cronctl timeline --from -1h --until +1h\n  \
             cronctl timeline --by user --from -7d --until now\n  \
             cronctl timeline mytab --from 2026-11-22 --until 2026-11-23\n  \
             cronctl timeline --svg week.svg --from today --until +7d",
        )
}
