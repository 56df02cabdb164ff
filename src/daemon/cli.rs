//! The command line. One definition for each profile serves the parser, `--help`, the man page and the completions.

use super::debug;
use crate::profile::ProfileName;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command, builder::PossibleValuesParser, value_parser};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The command line of a profile.
pub fn command(profile: ProfileName) -> Command {
    let command = Command::new("crond")
        .about("Run the jobs of crontabs at their scheduled times")
        .override_usage("crond [OPTIONS]\n       crond [OPTIONS] FILE...")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .arg(Arg::new("FILE").num_args(0..).value_parser(value_parser!(PathBuf)).help(
            "Run only the jobs in these files, as the calling user, in the foreground, without spool, lock or PID file",
        ));
    let command = match profile {
        ProfileName::Debian => command.args(debian_flags()),
        ProfileName::Cronie => command.args(cronie_flags()),
    };
    command.args(own_options(profile))
}

fn flag(name: &'static str, short: char, help: &'static str) -> Arg {
    Arg::new(name).short(short).action(ArgAction::SetTrue).help(help)
}

fn debugging() -> Arg {
    Arg::new("debug")
        .short('x')
        .value_name("FLAG[,FLAG]...")
        .value_delimiter(',')
        .value_parser(PossibleValuesParser::new(debug::names()))
        .help("Stay in the foreground and print debug messages on standard error about: load (loading tables), pars (parsing lines), \
               sch (due jobs), proc (processes of jobs), misc (signals), ext (more details); test: start no jobs")
}

/// The options of cron(8) in Debian's package.
fn debian_flags() -> Vec<Arg> {
    vec![
        flag("foreground", 'f', "Stay in the foreground").long("foreground"),
        flag("lsb-names", 'l', "Also read files in /etc/cron.d with names allowed by the Linux Standard Base (LSB)"),
        Arg::new("log-mask").short('L').value_name("SUM").value_parser(log_mask).help(
            "What to log about jobs, as a sum: 1 starts, 2 ends, 4 failures, 8 process ids; 0 logs nothing [default: 1]",
        ),
        flag("full-host-name", 'n', "Use the fully qualified host name in the subject of mail"),
        flag("now", 'N', "Run the jobs that are due in this minute, and exit"),
        debugging(),
    ]
}

/// The value of Debian's `-L`.
fn log_mask(text: &str) -> Result<u8, &'static str> {
    text.parse().map_err(|_| "expected a sum from 0 to 255 of 1 (starts), 2 (ends), 4 (failures), 8 (process ids)")
}

/// The options of crond(8) in cronie.
fn cronie_flags() -> Vec<Arg> {
    vec![
        flag("foreground", 'n', "Stay in the foreground").short_alias('f').long("foreground"),
        flag("permit-any", 'p', "Accept tables with any owner, mode and number of hard links"),
        flag("output-to-log", 's', "Log the output of jobs instead of mailing it"),
        flag("no-inotify", 'i', "Check for changed tables once a minute instead of using inotify"),
        flag("inherit-path", 'P', "Pass the daemon's PATH to jobs"),
        flag("cluster", 'c', "Cluster mode: run users' crontabs only on the host named in .cron.hostname in the spool"),
        Arg::new("mail-command")
            .short('m')
            .value_name("COMMAND")
            .help("Send mail with this command; `off` disables mail"),
        debugging(),
    ]
}

/// The long options that both profiles have in addition.
fn own_options(profile: ProfileName) -> Vec<Arg> {
    let path = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).value_parser(value_parser!(PathBuf)).help(help)
    };
    let help = Arg::new("help").long("help").action(ArgAction::Help).help("Print this help");
    let version = Arg::new("version").long("version").action(ArgAction::SetTrue).help("Print the version");
    let (help, version) = match profile {
        ProfileName::Debian => (help, version),
        ProfileName::Cronie => (help.short('h'), version.short('V')),
    };
    vec![
        Arg::new("profile")
            .long("profile")
            .value_name("NAME")
            .help("Behave like Debian's cron (`debian`) or like cronie (`cronie`) [default: from /etc/os-release]"),
        path("config", "FILE", "Read the configuration from this file [default: /etc/cronwheel.toml]"),
        path("spool", "DIR", "Directory of users' crontabs"),
        path("system-crontab", "FILE", "System crontab, instead of /etc/crontab"),
        path("cron-d", "DIR", "Directory of system tables, instead of /etc/cron.d"),
        path("run-dir", "DIR", "Directory for PID file, lock, sockets and markers, instead of /run"),
        path("state-dir", "DIR", "Directory of the state of jobs, instead of /var/lib/cronwheel; with FILE no state is kept unless this is given"),
        Arg::new("log").long("log").value_name("WHERE").value_parser(["syslog", "journal", "stderr", "json"]).help(
            "Where to log: syslog, the systemd journal, or standard error as text or JSON [default: syslog]",
        ),
        Arg::new("mailer").long("mailer").value_name("COMMAND").help("Send mail with this command; `off` disables mail"),
        Arg::new("watch").long("watch").value_name("HOW").value_parser(["auto", "inotify", "poll"]).help(
            "How to notice changed tables: by inotify, by checking each minute (poll), or by both where a file system does \
             not report every change (auto) [default: auto]",
        ),
        Arg::new("stop-timeout")
            .long("stop-timeout")
            .value_name("TIME")
            .help("With FILE: how long to wait for running jobs before terminating them: 90s, 5m, 1h [default: 30s]"),
        Arg::new("prefix")
            .long("prefix")
            .action(ArgAction::SetTrue)
            .help("With FILE: put the name of the job in front of each line of its output"),
        Arg::new("check")
            .long("check")
            .action(ArgAction::SetTrue)
            .help("Read all tables as the daemon would, report every error, and exit"),
        version,
        help,
    ]
}

/// Flags of busybox's crond that mean something else here, or nothing, and what to use instead.
const BUSYBOX_FLAGS: [(&str, &str); 6] = [
    ("-b", "remove it: crond goes to the background by itself"),
    ("-S", "write --log syslog"),
    ("-l", "remove it: crond has no log levels"),
    ("-d", "write --foreground --log stderr"),
    ("-L", "write --foreground --log stderr 2>>FILE"),
    ("-c", "write --spool DIR"),
];

/// A wrong command line in one line, with what to do.
pub fn describe(error: &clap::Error) -> String {
    let text = error.to_string();
    let first: Vec<&str> = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    let first = first.join(" ");
    let message = first.strip_prefix("error: ").unwrap_or(&first).trim_end_matches(" found").to_owned();
    let string = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    // `-L <SUM>` for an argument that is known, but not with this value.
    let argument = string(ContextKind::InvalidArg).and_then(|argument| argument.split(' ').next()).unwrap_or_default();
    if argument == "[FILE]..." {
        return "an argument is empty; expected the name of a crontab".to_owned();
    }
    let busybox = BUSYBOX_FLAGS.iter().find(|(flag, _)| *flag == argument);
    match (busybox, string(ContextKind::SuggestedArg)) {
        (Some((_, instead)), _) => format!("{message}; for what busybox's crond means by it, {instead}"),
        (None, Some(meant)) => format!("{message}; did you mean {meant}?"),
        (None, None) => format!("{message}; --help lists the options"),
    }
}

/// The options that must be known before the definition can be chosen: `--profile`, `--config`, and those that print a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EarlyOptions {
    /// The value of `--profile`, not checked yet.
    pub profile: Option<String>,
    /// The value of `--config`; none: the usual path.
    pub config: Option<PathBuf>,
    /// Whether `--help` or `--version` is among the arguments: they must work with a broken configuration.
    pub page: bool,
    /// Whether `--check` is among the arguments: it reports what is wrong with the configuration and continues.
    pub check: bool,
}

impl EarlyOptions {
    /// Searches the arguments after the program's name.
    pub fn scan(arguments: &[OsString]) -> EarlyOptions {
        let mut found = EarlyOptions::default();
        let mut rest = arguments.iter().take_while(|argument| *argument != "--");
        while let Some(argument) = rest.next() {
            let text = argument.to_string_lossy();
            let (name, attached) = match text.split_once('=') {
                Some((name, value)) => (name, Some(OsStr::new(value).to_owned())),
                None => (&*text, None),
            };
            match name {
                "--profile" => {
                    let value = attached.or_else(|| rest.next().cloned());
                    found.profile = value.map(|value| value.to_string_lossy().into_owned());
                }
                "--config" => found.config = attached.or_else(|| rest.next().cloned()).map(PathBuf::from),
                "--help" | "--version" => found.page = true,
                "--check" => found.check = true,
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        for profile in [ProfileName::Debian, ProfileName::Cronie] {
            command(profile).debug_assert();
        }
    }

    #[test]
    fn each_profile_accepts_the_flags_of_its_reference_implementation_only() {
        let takes = |profile, line: &str| command(profile).try_get_matches_from(line.split(' ')).is_ok();
        for (line, debian, cronie) in [
            ("cron -f", true, true),
            ("cron -n", true, true),
            ("cron -f -l -L 15", true, false),
            ("cron -L15", true, false),
            ("cron -N", true, false),
            ("cron -x sch,test", true, true),
            ("cron -x nonsense", false, false),
            ("cron -p -s -i -P -c", false, true),
            ("cron -m off", false, true),
            ("cron -nspiPc", false, true),
            ("cron -V", false, true),
            ("cron -L", false, false),
            ("cron -L 256", false, false),
            ("cron --foreground --run-dir /x --log json --mailer off --check", true, true),
            ("cron --log nowhere", false, false),
            ("cron --watch poll", true, true),
            ("cron --watch closely", false, false),
            ("cron one.crontab two.crontab --stop-timeout 5s", true, true),
        ] {
            assert_eq!(takes(ProfileName::Debian, line), debian, "debian: {line}");
            assert_eq!(takes(ProfileName::Cronie, line), cronie, "cronie: {line}");
        }
    }

    #[test]
    fn profile_and_configuration_are_found_at_any_place() {
        let scan = |line: &str| EarlyOptions::scan(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        let expected = |profile: Option<&str>, config: Option<&str>, page| EarlyOptions {
            profile: profile.map(str::to_owned),
            config: config.map(PathBuf::from),
            page,
            check: false,
        };
        for (line, found) in [
            ("-f", expected(None, None, false)),
            ("-f --profile debian", expected(Some("debian"), None, false)),
            ("--profile=cronie --config=/x y", expected(Some("cronie"), Some("/x"), false)),
            ("--config /x --help", expected(None, Some("/x"), true)),
            ("-- --profile debian", expected(None, None, false)),
            ("--profile", expected(None, None, false)),
        ] {
            assert_eq!(scan(line), found, "{line}");
        }
        assert!(scan("--check").check && !scan("-- --check").check);
    }
}
