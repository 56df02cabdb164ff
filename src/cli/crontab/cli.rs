//! The command line: one definition per profile for parsing, `--help`, man page and completions, and the requests that it is
//! parsed into.

use super::failure::{Failure, UsageFault};
use super::words::Words;
use crate::profile::ProfileName;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// The flags that cronie's `-x` accepts.
const DEBUG_FLAGS: [&str; 9] = ["ext", "sch", "proc", "pars", "load", "misc", "test", "bit", "inot"];

/// Options that neither reference implementation has. They change paths, so they are refused in a set-id program.
const PLACES: [&str; 3] = ["profile", "spool", "run-dir"];

/// The operations, only one of which may be given.
const OPERATIONS: [&str; 7] = ["list", "remove", "edit", "test", "set-host", "show-host", "usage"];

/// The definition of the command line for a profile.
pub fn command(profile: ProfileName) -> Command {
    let command = Command::new("crontab")
        .version(env!("CARGO_PKG_VERSION"))
        .about("List, edit, install or remove a user's crontab")
        .override_usage("crontab [OPTIONS] [FILE]\n       crontab [OPTIONS] {-e|-l|-r}")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .arg(file(profile))
        .arg(
            Arg::new("user")
                .short('u')
                .long("user")
                .value_name("USER")
                .allow_hyphen_values(true)
                .value_parser(value_parser!(OsString))
                .value_hint(ValueHint::Username)
                .help("User whose crontab to use; only root may name another user"),
        )
        .arg(flag("list", 'l', "Print the crontab"))
        .arg(flag("remove", 'r', "Remove the crontab"))
        .arg(flag("edit", 'e', "Edit the crontab with $VISUAL or $EDITOR"))
        .arg(flag("interactive", 'i', "With -r: ask before removing"));
    let command = match profile {
        ProfileName::Debian => command.args(debian()),
        ProfileName::Cronie => command.args(cronie()),
    };
    command.args(ours())
}

/// A flag that is counted, to detect an operation that is given twice.
fn flag(name: &'static str, short: char, help: &'static str) -> Arg {
    Arg::new(name).short(short).long(name).action(ArgAction::Count).help(help)
}

fn file(profile: ProfileName) -> Arg {
    let help = match profile {
        ProfileName::Debian => "File to install; - means standard input",
        ProfileName::Cronie => "File to install, or with -n a host name; - means standard input",
    };
    Arg::new("FILE").num_args(0..).value_parser(value_parser!(OsString)).value_hint(ValueHint::FilePath).help(help)
}

fn debian() -> Vec<Arg> {
    vec![
        flag("dry-run", 'n', "Only check FILE, do not install it"),
        flag("usage", 'h', "Print usage and exit with an error"),
        Arg::new("version").long("version").action(ArgAction::Version).help("Print the version"),
    ]
}

fn cronie() -> Vec<Arg> {
    vec![
        flag("test", 'T', "Only check FILE, do not install it"),
        flag("no-backup", 'b', "Do not back up the previous crontab"),
        flag("set-host", 'n', "Set the host of the cluster that runs users' crontabs (root only)"),
        flag("show-host", 'c', "Print the host of the cluster that runs users' crontabs"),
        flag("selinux", 's', "Add the caller's SELinux context to the crontab"),
        Arg::new("debug")
            .short('x')
            .long("debug")
            .value_name("FLAG[,FLAG]...")
            .help("Accepted for compatibility; has no effect"),
        Arg::new("version").short('V').long("version").action(ArgAction::Version).help("Print the version"),
    ]
}

fn ours() -> Vec<Arg> {
    let path = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("DIR").value_parser(value_parser!(PathBuf)).help(help)
    };
    vec![
        Arg::new("profile")
            .long("profile")
            .value_name("NAME")
            .help("Behave like Debian's cron (debian) or like cronie (cronie)"),
        path("spool", "Directory of users' crontabs"),
        path("run-dir", "The daemon's run directory, instead of /run"),
        Arg::new("help").long("help").action(ArgAction::Help).help("Print this help"),
    ]
}

/// What `crontab` is called for; one call does one of these.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    /// Print the crontab (`-l`).
    List,
    /// Remove the crontab (`-r`).
    Remove,
    /// Edit the crontab (`-e`).
    Edit,
    /// Replace the crontab (FILE or `-`).
    Replace(Input),
    /// Check a crontab without installing it (cronie's `-T`).
    Test(Input),
    /// cronie's `-n`. Without a name, this host.
    SetHost(Option<OsString>),
    /// Print the host that runs the users' crontabs (cronie's `-c`).
    ShowHost,
    /// Debian's `-h`, which prints the usage and fails.
    Usage,
}

/// The source of a new crontab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input (`-`).
    Stdin,
    /// A file, to be opened as the caller.
    File(PathBuf),
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// What is done with the crontab of the user.
    pub operation: Operation,
    /// The argument of `-u`.
    pub user: Option<OsString>,
    /// Whether to ask before removing the crontab (`-i`).
    pub ask_first: bool,
    /// Whether to check only, without installing (Debian's `-n`).
    pub dry_run: bool,
    /// Whether to make a backup (cronie without `-b`).
    pub backup: bool,
    /// Whether to add the caller's SELinux context (cronie's `-s`).
    pub selinux: bool,
    /// The argument of `--spool`.
    pub spool: Option<PathBuf>,
    /// The argument of `--run-dir`.
    pub run_dir: Option<PathBuf>,
}

/// The result of parsing a command line.
#[derive(Debug)]
pub enum Parsed {
    /// Perform this request.
    Request(Request),
    /// Print this page and succeed.
    Page(String),
}

/// The value of `--profile`, which must be known before the rest can be parsed.
pub fn profile_option(arguments: &[OsString]) -> Option<&OsStr> {
    let mut rest = arguments.iter().skip(1);
    while let Some(argument) = rest.next() {
        match argument.to_str() {
            Some("--") => return None,
            Some("--profile") => return rest.next().map(OsString::as_os_str),
            Some(text) => {
                if let Some(value) = text.strip_prefix("--profile=") {
                    return Some(OsStr::new(value));
                }
            }
            None => {}
        }
    }
    None
}

/// Parses a command line. `secure`: the program runs set-id. `is_terminal`: standard input is a terminal.
pub fn parse(
    arguments: Vec<OsString>,
    profile: ProfileName,
    secure: bool,
    is_terminal: bool,
) -> Result<Parsed, Failure> {
    match everyday(&arguments, profile) {
        Some(request) => Ok(Parsed::Request(request)),
        None => parse_by_definition(arguments, profile, secure, is_terminal),
    }
}

fn parse_by_definition(
    arguments: Vec<OsString>,
    profile: ProfileName,
    secure: bool,
    is_terminal: bool,
) -> Result<Parsed, Failure> {
    let words = Words::of(profile);
    let program = program_name(&arguments);
    let given_long = LongForms::of(&arguments);
    let mut matches = match command(profile).try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(page) if matches!(page.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            return Ok(Parsed::Page(page.to_string()));
        }
        Err(error) => {
            return Err(words.usage_error(&program, Some(getopt_line(&program, &error)), UsageFault::UnknownOption));
        }
    };
    if let Some(option) = PLACES.into_iter().find(|option| secure && matches.contains_id(option)) {
        return Err(Failure::PlaceRefused { program, option });
    }
    let usage = |message| words.usage_error(&program, None, message);
    if profile == ProfileName::Cronie
        && let Some(flags) = matches.get_one::<String>("debug")
        && !flags.split(',').all(|flag| DEBUG_FLAGS.contains(&flag))
    {
        return Err(usage(UsageFault::BadDebugFlag));
    }
    if operations(&matches).iter().map(|(_, times)| usize::from(*times)).sum::<usize>() > 1 {
        return Err(usage(UsageFault::TwoOperations));
    }
    let files: Vec<OsString> = matches.remove_many("FILE").map(Iterator::collect).unwrap_or_default();
    let given = |name: &str| counted(&matches, name) > 0;
    let operation = match profile {
        ProfileName::Debian => debian_operation(&matches, files, matches.contains_id("user")),
        ProfileName::Cronie => cronie_operation(&matches, files, is_terminal),
    }
    .map_err(usage)?;
    if let Some(fault) = given_long.conflict_with(&operation) {
        return Err(usage(fault));
    }
    Ok(Parsed::Request(Request {
        operation,
        user: matches.get_one::<OsString>("user").cloned(),
        ask_first: given("interactive"),
        dry_run: given("dry-run"),
        backup: profile == ProfileName::Cronie && !given("no-backup"),
        selinux: given("selinux"),
        spool: matches.get_one::<PathBuf>("spool").cloned(),
        run_dir: matches.get_one::<PathBuf>("run-dir").cloned(),
    }))
}

/// The most common calls: `-l`, `-r`, `-e` or a file, and nothing else. Building the definition takes longer than reading a
/// crontab, so these are parsed without it. A test compares both.
fn everyday(arguments: &[OsString], profile: ProfileName) -> Option<Request> {
    let [_, only] = arguments else { return None };
    let operation = match only.as_encoded_bytes() {
        b"-l" => Operation::List,
        b"-r" => Operation::Remove,
        b"-e" => Operation::Edit,
        b"-" => Operation::Replace(Input::Stdin),
        [b'-', ..] => return None,
        _ => Operation::Replace(Input::File(only.into())),
    };
    let backup = profile == ProfileName::Cronie;
    let (spool, run_dir) = (None, None);
    Some(Request { operation, user: None, ask_first: false, dry_run: false, backup, selinux: false, spool, run_dir })
}

/// Refuses the long forms of safety options where they would have no effect. Debian's crontab accepts `-n` and `-i` with
/// every operation and ignores them where they have no meaning, so that `-r -n` removes the crontab; scripts may rely on
/// that. The long forms exist only here, so they can be refused.
struct LongForms {
    dry_run: bool,
    interactive: bool,
}

impl LongForms {
    fn of(arguments: &[OsString]) -> LongForms {
        let has = |name: &str| arguments.iter().take_while(|word| *word != "--").any(|word| word == name);
        LongForms { dry_run: has("--dry-run"), interactive: has("--interactive") }
    }

    fn conflict_with(&self, operation: &Operation) -> Option<UsageFault> {
        let (checks, removes) = match operation {
            Operation::Replace(_) | Operation::Edit => (true, false),
            Operation::Remove => (false, true),
            Operation::Usage => (true, true),
            Operation::List | Operation::Test(_) | Operation::SetHost(_) | Operation::ShowHost => (false, false),
        };
        match self {
            LongForms { dry_run: true, .. } if !checks => Some(UsageFault::DryRunWithoutTable),
            LongForms { interactive: true, .. } if !removes => Some(UsageFault::InteractiveWithoutRemoval),
            LongForms { .. } => None,
        }
    }
}

/// The name by which this program was called, without its directory.
pub fn program_name(arguments: &[OsString]) -> String {
    let name = arguments.first().map(PathBuf::from).and_then(|path| path.file_name().map(OsStr::to_owned));
    name.map_or_else(|| "crontab".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn counted(matches: &ArgMatches, name: &str) -> u8 {
    matches.try_get_one::<u8>(name).ok().flatten().copied().unwrap_or(0)
}

/// The operations that were given, and how often.
fn operations(matches: &ArgMatches) -> Vec<(&'static str, u8)> {
    OPERATIONS.into_iter().map(|name| (name, counted(matches, name))).filter(|(_, times)| *times > 0).collect()
}

fn asked(matches: &ArgMatches) -> Option<&'static str> {
    operations(matches).first().map(|(name, _)| *name)
}

fn input(file: OsString) -> Input {
    if file == "-" { Input::Stdin } else { Input::File(file.into()) }
}

/// Debian's crontab reads standard input by default only if it is called without any argument. Of several files it uses the
/// first.
fn debian_operation(matches: &ArgMatches, files: Vec<OsString>, user: bool) -> Result<Operation, UsageFault> {
    let operation = match asked(matches) {
        Some("list") => Operation::List,
        Some("remove") => Operation::Remove,
        Some("usage") => Operation::Usage,
        Some(_) => Operation::Edit,
        None => {
            let bare = !user && counted(matches, "dry-run") == 0 && counted(matches, "interactive") == 0;
            return match files.into_iter().next() {
                Some(file) => Ok(Operation::Replace(input(file))),
                None if bare => Ok(Operation::Replace(Input::Stdin)),
                None => Err(UsageFault::NoFile),
            };
        }
    };
    if files.is_empty() { Ok(operation) } else { Err(UsageFault::StrayArgument) }
}

fn cronie_operation(matches: &ArgMatches, files: Vec<OsString>, is_terminal: bool) -> Result<Operation, UsageFault> {
    let mut files = files.into_iter();
    let mut one_file = || match files.next() {
        Some(file) => Ok(input(file)),
        None if is_terminal => Err(UsageFault::NoFileOnTerminal),
        None => Ok(Input::Stdin),
    };
    let operation = match asked(matches) {
        Some("list") => Operation::List,
        Some("remove") => Operation::Remove,
        Some("edit") => Operation::Edit,
        Some("test") => Operation::Test(one_file()?),
        Some("set-host") => Operation::SetHost(files.next()),
        Some(_) => Operation::ShowHost,
        None => Operation::Replace(one_file()?),
    };
    if files.next().is_none() { Ok(operation) } else { Err(UsageFault::StrayArgument) }
}

/// The message that getopt(3) would have written.
fn getopt_line(program: &str, error: &clap::Error) -> String {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.clone(),
        _ => String::new(),
    };
    let name = argument.split([' ', '=']).next().unwrap_or_default();
    let short = match name {
        "--user" => Some('u'),
        "--debug" => Some('x'),
        long if long.starts_with("--") => None,
        short => short.chars().nth(1),
    };
    match (error.kind(), short) {
        (ErrorKind::UnknownArgument, Some(letter)) => format!("{program}: invalid option -- '{letter}'"),
        (ErrorKind::UnknownArgument, None) => format!("{program}: unrecognized option '{name}'"),
        (ErrorKind::TooManyValues, _) => format!("{program}: option '{name}' doesn't allow an argument"),
        (_, Some(letter)) => format!("{program}: option requires an argument -- '{letter}'"),
        (_, None) => format!("{program}: option '{name}' requires an argument"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(profile: ProfileName, line: &str) -> Result<Request, String> {
        let arguments = std::iter::once("crontab").chain(line.split_whitespace()).map(OsString::from).collect();
        match parse(arguments, profile, false, false) {
            Ok(Parsed::Request(request)) => Ok(request),
            Ok(Parsed::Page(page)) => Err(page),
            Err(failure) => Err(failure.to_string()),
        }
    }

    fn file(name: &str) -> Input {
        Input::File(name.into())
    }

    #[test]
    fn the_definitions_are_sound() {
        command(ProfileName::Debian).debug_assert();
        command(ProfileName::Cronie).debug_assert();
    }

    #[test]
    fn each_profile_understands_the_reference_flags() {
        use Operation::*;
        for (profile, line, operation) in [
            (ProfileName::Debian, "", Replace(Input::Stdin)),
            (ProfileName::Debian, "-", Replace(Input::Stdin)),
            (ProfileName::Debian, "tab", Replace(file("tab"))),
            (ProfileName::Debian, "tab second", Replace(file("tab"))),
            (ProfileName::Debian, "-- -l", Replace(file("-l"))),
            (ProfileName::Debian, "-n tab", Replace(file("tab"))),
            (ProfileName::Debian, "-l", List),
            (ProfileName::Debian, "-n -l", List),
            (ProfileName::Debian, "-n -r", Remove),
            (ProfileName::Debian, "-i -n tab", Replace(file("tab"))),
            (ProfileName::Debian, "--dry-run tab", Replace(file("tab"))),
            (ProfileName::Debian, "--dry-run --edit", Edit),
            (ProfileName::Debian, "--interactive --remove", Remove),
            (ProfileName::Debian, "-- --dry-run", Replace(file("--dry-run"))),
            (ProfileName::Debian, "--list", List),
            (ProfileName::Debian, "-ri", Remove),
            (ProfileName::Debian, "-u -x -e", Edit),
            (ProfileName::Debian, "-h", Usage),
            (ProfileName::Cronie, "", Replace(Input::Stdin)),
            (ProfileName::Cronie, "-u alice", Replace(Input::Stdin)),
            (ProfileName::Cronie, "-T tab", Test(file("tab"))),
            (ProfileName::Cronie, "-T -", Test(Input::Stdin)),
            (ProfileName::Cronie, "-n", SetHost(None)),
            (ProfileName::Cronie, "-n node1", SetHost(Some("node1".into()))),
            (ProfileName::Cronie, "-c", ShowHost),
            (ProfileName::Cronie, "-b -x sch,misc -e", Edit),
        ] {
            assert_eq!(parsed(profile, line).map(|request| request.operation), Ok(operation), "{profile:?} {line}");
        }
    }

    #[test]
    fn the_calls_of_every_day_mean_what_the_definition_says() {
        for profile in [ProfileName::Debian, ProfileName::Cronie] {
            for (word, shortened) in [
                ("-l", true),
                ("-r", true),
                ("-e", true),
                ("-", true),
                ("tab", true),
                ("tab=-l", true),
                ("", true),
                ("-n", false),
                ("-i", false),
                ("--list", false),
                ("-lr", false),
                ("--", false),
            ] {
                let arguments = vec![OsString::from("crontab"), word.into()];
                let short = everyday(&arguments, profile);
                assert_eq!(short.is_some(), shortened, "{profile:?} {word:?}");
                let Some(short) = short else { continue };
                match parse_by_definition(arguments, profile, true, false) {
                    Ok(Parsed::Request(long)) => assert_eq!(short, long, "{profile:?} {word:?}"),
                    other => panic!("{profile:?} {word:?}: {other:?}"),
                }
            }
        }
    }

    const DRY_RUN: &str = "crontab: usage error: --dry-run is for a new table or an edit only";
    const INTERACTIVE: &str = "crontab: usage error: --interactive is for --remove only";

    #[test]
    fn wrong_command_lines_are_told_in_the_reference_words() {
        for (profile, line, first) in [
            (ProfileName::Debian, "-l -r", "crontab: usage error: only one operation permitted"),
            (ProfileName::Debian, "-l -l", "crontab: usage error: only one operation permitted"),
            (ProfileName::Debian, "-l -h", "crontab: usage error: only one operation permitted"),
            (ProfileName::Debian, "-h x", "crontab: usage error: no arguments permitted after this option"),
            (ProfileName::Debian, "--remove --list", "crontab: usage error: only one operation permitted"),
            (ProfileName::Debian, "--remove --dry-run", DRY_RUN),
            (ProfileName::Debian, "-r --dry-run", DRY_RUN),
            (ProfileName::Debian, "--dry-run -l", DRY_RUN),
            (ProfileName::Debian, "--interactive tab", INTERACTIVE),
            (ProfileName::Debian, "--edit --interactive", INTERACTIVE),
            (ProfileName::Cronie, "--interactive -l", INTERACTIVE),
            (ProfileName::Cronie, "--interactive -", INTERACTIVE),
            (ProfileName::Cronie, "--remove --test tab", "crontab: usage error: only one operation permitted"),
            (ProfileName::Debian, "-z", "crontab: invalid option -- 'z'"),
            (ProfileName::Debian, "-lz", "crontab: invalid option -- 'z'"),
            (ProfileName::Debian, "-T f", "crontab: invalid option -- 'T'"),
            (ProfileName::Debian, "--nonsense", "crontab: unrecognized option '--nonsense'"),
            (ProfileName::Debian, "-u", "crontab: option requires an argument -- 'u'"),
            (ProfileName::Debian, "--spool", "crontab: option '--spool' requires an argument"),
            (ProfileName::Debian, "-l x", "crontab: usage error: no arguments permitted after this option"),
            (ProfileName::Debian, "-n", "crontab: usage error: file name must be specified for replace"),
            (ProfileName::Debian, "-u alice", "crontab: usage error: file name must be specified for replace"),
            (ProfileName::Cronie, "-h", "crontab: invalid option -- 'h'"),
            (ProfileName::Cronie, "tab second", "crontab: usage error: no arguments permitted after this option"),
            (ProfileName::Cronie, "-x nonsense -l", "crontab: usage error: bad debug option"),
            (ProfileName::Cronie, "-n -c", "crontab: usage error: only one operation permitted"),
        ] {
            let told = parsed(profile, line).unwrap_err();
            assert_eq!(told.lines().next(), Some(first), "{profile:?} {line}: {told}");
        }
    }

    #[test]
    fn cronie_wants_a_file_on_a_terminal() {
        let told = parse(vec!["crontab".into()], ProfileName::Cronie, false, true).unwrap_err().to_string();
        assert!(
            told.starts_with("crontab: usage error: file name or - (for stdin) must be specified\nUsage:\n"),
            "{told}"
        );
        assert!(parse(vec!["crontab".into()], ProfileName::Debian, false, true).is_ok());
    }

    #[test]
    fn options_that_lead_elsewhere_are_refused_where_rights_are_lent() {
        for option in ["--profile", "--spool", "--run-dir"] {
            let line = ["crontab", "-l", option, "/tmp"].map(OsString::from).to_vec();
            let refused = parse(line.clone(), ProfileName::Debian, true, false);
            assert!(matches!(refused, Err(Failure::PlaceRefused { .. })), "{option}");
            assert!(parse(line, ProfileName::Debian, false, false).is_ok(), "{option}");
        }
    }

    #[test]
    fn the_profile_is_found_before_the_rest_is_understood() {
        for (line, profile) in [
            ("-l --profile debian", Some("debian")),
            ("--profile=cronie -T f", Some("cronie")),
            ("-l -- --profile debian", None),
            ("-l", None),
            ("--profile", None),
        ] {
            let arguments: Vec<OsString> =
                std::iter::once("crontab").chain(line.split(' ')).map(OsString::from).collect();
            assert_eq!(profile_option(&arguments), profile.map(OsStr::new), "{line}");
        }
    }
}
