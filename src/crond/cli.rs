//! The command line: one definition that knows the profiles, for parsing, `--help`, man page and completions alike.

use super::debug;
use crate::site::Profile;
use clap::{Arg, ArgAction, Command, builder::PossibleValuesParser, value_parser};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The definition for a profile.
pub fn command(profile: Profile) -> Command {
    let command =
        Command::new("crond")
            .about("Runs the commands of crontabs at their times")
            .override_usage("crond [OPTIONS]\n       crond [OPTIONS] FILE...")
            .disable_help_flag(true)
            .disable_version_flag(true)
            .args_override_self(true)
            .arg(Arg::new("FILE").num_args(0..).value_parser(value_parser!(PathBuf)).help(
                "Run only these tables, as the calling user, in the foreground, without spool, lock and PID file",
            ));
    let command = match profile {
        Profile::Debian => command.args(debian_flags()),
        Profile::Cronie => command.args(cronie_flags()),
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
        .help("Stay in the foreground, and tell on standard error what happens: tables (load), their lines (pars), what is due (sch), jobs \
               (proc), signals (misc), more of it (ext); test: start no job")
}

/// cron(8) of Debian's package.
fn debian_flags() -> Vec<Arg> {
    vec![
        flag("foreground", 'f', "Stay in the foreground").long("foreground"),
        flag("lsb-names", 'l', "Take the names of the Linux Standard Base in /etc/cron.d"),
        Arg::new("log-mask").short('L').value_name("SUM").value_parser(value_parser!(u8)).help(
            "Log starts (1), ends (2), failures (4), with process ids (8): their sum; 0 logs no jobs [default: 1]",
        ),
        flag("full-host-name", 'n', "Use the full host name in the subject of mail"),
        flag("now", 'N', "Run the jobs that are due this minute, and exit"),
        debugging(),
    ]
}

/// crond(8) of cronie.
fn cronie_flags() -> Vec<Arg> {
    vec![
        flag("foreground", 'n', "Stay in the foreground").short_alias('f').long("foreground"),
        flag("permit-any", 'p', "Use tables of any owner, mode and number of links"),
        flag("output-to-log", 's', "Log the output of jobs instead of mailing it"),
        flag("no-inotify", 'i', "Look for changed tables once a minute instead of being told"),
        flag("inherit-path", 'P', "Give jobs the daemon's PATH"),
        flag("cluster", 'c', "Run users' tables only on the host that the spool's .cron.hostname names"),
        Arg::new("mail-command").short('m').value_name("COMMAND").help("Mail with this command; `off`: do not mail"),
        debugging(),
    ]
}

/// What both profiles have in addition, long only.
fn own_options(profile: Profile) -> Vec<Arg> {
    let path = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).value_parser(value_parser!(PathBuf)).help(help)
    };
    let help = Arg::new("help").long("help").action(ArgAction::Help).help("Print this help");
    let version = Arg::new("version").long("version").action(ArgAction::SetTrue).help("Print the version");
    let (help, version) = match profile {
        Profile::Debian => (help, version),
        Profile::Cronie => (help.short('h'), version.short('V')),
    };
    vec![
        Arg::new("profile")
            .long("profile")
            .value_name("NAME")
            .help("Behave as `debian` or as `cronie` [default: by os-release]"),
        path("config", "FILE", "Read settings from there [default: /etc/cronwheel.toml]"),
        path("spool", "DIR", "Users' tables"),
        path("system-crontab", "FILE", "The system's table"),
        path("cron-d", "DIR", "Drop-in system tables"),
        path("run-dir", "DIR", "PID file, lock, sockets and markers"),
        path("state-dir", "DIR", "Where a history of runs will be kept; nothing is written there yet"),
        Arg::new("log").long("log").value_name("WHERE").value_parser(["syslog", "journal", "stderr", "json"]).help(
            "Where to log: to the system's log, the journal, or standard error as text or JSON [default: syslog]",
        ),
        Arg::new("mailer").long("mailer").value_name("COMMAND").help("Mail with this command; `off`: do not mail"),
        Arg::new("watch").long("watch").value_name("HOW").value_parser(["auto", "inotify", "poll"]).help(
            "Notice changed tables by inotify, by a look each minute, or by both where a file system does not report \
             every change [default: auto]",
        ),
        Arg::new("stop-timeout")
            .long("stop-timeout")
            .value_name("TIME")
            .help("How long running jobs may take when crond FILE is told to stop: 90s, 5m, 1h [default: 30s]"),
        Arg::new("check")
            .long("check")
            .action(ArgAction::SetTrue)
            .help("Load all tables as the daemon would, report every fault, and exit"),
        version,
        help,
    ]
}

/// What must be known before the definition can be chosen: `--profile`, `--config`, and whether only a page is wanted.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Beforehand {
    /// The value of `--profile`.
    pub profile: Option<String>,
    /// The value of `--config`.
    pub config: Option<PathBuf>,
    /// `--help` or `--version`, which must work on a broken system.
    pub page: bool,
}

impl Beforehand {
    /// Looks through the arguments after the program's name.
    pub fn scan(arguments: &[OsString]) -> Beforehand {
        let mut found = Beforehand::default();
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
    fn the_definitions_hold_together() {
        for profile in [Profile::Debian, Profile::Cronie] {
            command(profile).debug_assert();
        }
    }

    #[test]
    fn each_profile_takes_the_flags_of_its_incumbent_and_no_others() {
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
            assert_eq!(takes(Profile::Debian, line), debian, "debian: {line}");
            assert_eq!(takes(Profile::Cronie, line), cronie, "cronie: {line}");
        }
    }

    #[test]
    fn profile_and_configuration_are_found_wherever_they_stand() {
        let scan = |line: &str| Beforehand::scan(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        let expected = |profile: Option<&str>, config: Option<&str>, page| Beforehand {
            profile: profile.map(str::to_owned),
            config: config.map(PathBuf::from),
            page,
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
    }
}
