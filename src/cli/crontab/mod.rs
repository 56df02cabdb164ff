//! The `crontab` program: lists, edits, checks, installs and removes a user's crontab.
//!
//! It runs set-gid `crontab` (Debian) or set-uid root (cronie). It drops these privileges first and takes them up again only
//! to access the spool and the lists of permitted users. Files that the caller names are opened with the caller's
//! privileges.
//!
//! | file | content |
//! |---|---|
//! | this file | privileges, command line, and the call of the operation |
//! | `cli`, `words`, `messages`, `failure` | the command line; messages of the reference implementations; printing; errors |
//! | `session` | the caller, the user whose crontab is concerned, and privileges |
//! | `list`, `replace`, `edit`, `remove`, `cluster` | the operations: `-l`, FILE, `-e`, `-r`, cronie's `-n` and `-c` |
//! | `check`, `header`, `backup` | the check of a new crontab; Debian's three comment lines; cronie's backup |
//! | `editor`, `scratch`, `prompt`, `next_runs` | for `-e`: the editor, its file, questions, and the next runs of changed entries |
//! | `pam`, `selinux` | cronie's checks of the caller |

mod backup;
mod check;
pub mod cli;
mod cluster;
mod edit;
mod editor;
mod failure;
mod header;
mod list;
mod messages;
mod next_runs;
mod pam;
mod prompt;
mod remove;
mod replace;
mod scratch;
mod selinux;
mod session;
mod words;

use crate::config::{Config, ConfigFile, Values};
use crate::sys::contract::ProgramStart;
use crate::sys::descriptor::StandardStream;
use crate::sys::identity::{Identity, Inherited};
use crate::sys::{descriptor, files, interrupts};
use cli::{Operation, Parsed, Request};
use failure::Failure;
use replace::AfterCheck;
use session::Session;
use std::ffi::OsString;
use std::process::ExitCode;

/// The keys of the configuration that matter here; wrong values of others are for the daemon to refuse.
const USED: [&str; 3] = ["profile", "spool", "run-dir"];

/// Runs the program. The exit status is 0 for success, 1 for failure.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Reported) => ExitCode::FAILURE,
        Err(failure) => {
            messages::warn(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Vec<OsString>) -> Result<(), Failure> {
    let program = cli::program_name(&arguments);
    let identity = Identity::take().map_err(|source| Failure::Identity { program: program.clone(), source })?;
    let start = ProgramStart::begin().map_err(|source| Failure::ProgramStart { program: program.clone(), source })?;
    let inherited = Inherited::take(start.finish(), &identity);
    // This fails only for unknown signals, and these are known.
    let _ = interrupts::make_write_signals_errors();
    let config = configure(&program, &arguments, &identity)?;
    let profile = config.profile.profile;
    let is_terminal = files::is_terminal(std::io::stdin());
    let request = match cli::parse(arguments, profile, identity.is_secure(), is_terminal)? {
        Parsed::Request(request) => request,
        Parsed::Page(page) => return print(&program, &page),
    };
    let session = Session::open(&program, &config, &identity, &inherited, &request)?;
    session.make_missing_spool()?;
    session.check_allowed()?;
    pam::check_account(&session)?;
    perform(&session, &request)
}

/// The configuration: --profile, else the configuration file. The command line names directories later.
fn configure(program: &str, arguments: &[OsString], identity: &Identity) -> Result<Config, Failure> {
    let option = cli::profile_option(arguments);
    if option.is_some() && identity.is_secure() {
        return Err(Failure::PlaceRefused { program: program.to_owned(), option: "profile" });
    }
    let option = option.map(|name| name.to_string_lossy());
    let read = || {
        let file = ConfigFile::read(None)?;
        let profile = file.profile(option.as_deref())?;
        file.check_only(&USED)?.iter().for_each(|warning| messages::warn(warning));
        Ok(Config::resolve(profile, Values::default(), file.into_values()))
    };
    read().map_err(|source| Failure::Config { program: program.to_owned(), source })
}

fn perform(session: &Session<'_>, request: &Request) -> Result<(), Failure> {
    if matches!(request.operation, Operation::Edit | Operation::Replace(_) | Operation::Test(_)) {
        // Loading a crontab needs random numbers. Getting them here ensures that a finished edit does not fail for lack of
        // them.
        files::check_random_numbers().map_err(|source| Failure::NoRandomNumbers {
            program: session.program.to_owned(),
            source: source.into(),
        })?;
    }
    let after = if request.dry_run { AfterCheck::Nothing } else { AfterCheck::Install { backup: request.backup } };
    match &request.operation {
        Operation::List => {
            let _ = interrupts::end_on_broken_pipe();
            list::list(session)
        }
        Operation::Remove => remove::remove(session, request.ask_first, request.backup),
        Operation::Edit => edit::edit(session, after),
        Operation::Replace(input) => replace::replace(session, input, after),
        Operation::Test(input) => replace::test(session, input),
        Operation::SetHost(host) => cluster::set_host(session, host.as_deref()),
        Operation::ShowHost => cluster::show_host(session),
        Operation::Usage => Err(Failure::UsageAsked { usage: session.words.usage_for(session.program) }),
    }
}

fn print(program: &str, page: &str) -> Result<(), Failure> {
    files::write_all(descriptor::standard(StandardStream::Output), page.as_bytes())
        .map_err(|source| Failure::Output { program: program.to_owned(), source: source.into() })
}
