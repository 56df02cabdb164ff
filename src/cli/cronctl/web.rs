//! `cronctl web`: serves the web page.

use super::cli::{given, value};
use super::connection;
use super::error::Error;
use super::exit_status::ExitStatus;
use super::output::Output;
use super::sandbox::{self, Helper};
use super::stderr::to_stderr;
use super::system_state::SystemState;
use crate::control::Rights;
use crate::crontab::printable;
use crate::sys::contract::ProgramStart;
use crate::sys::{files, process};
use crate::users::gid_of_group;
use crate::web::site::{Address, ListenError, Listening, Options, RedirectFile, Server};
use clap::ArgMatches;
use serde_json::json;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program that opens a file in the user's browser.
const OPENER: &str = "xdg-open";
/// A token file with more than this is not one.
const LARGEST_TOKEN_FILE: usize = 4 << 10;
/// A shorter token could be guessed.
const SHORTEST_TOKEN: usize = 16;

pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let failed = |message: String| Error::Web { message };
    let bearer = value::<PathBuf>(matches, "token-file").map(|path| read_token(path)).transpose()?;
    let socket = listen(matches)?;
    let options = Options {
        sockets: connection::directories(system),
        profile: system.settings.profile,
        is_read_only: given(matches, "read-only"),
        names: matches.get_many::<String>("host").into_iter().flatten().cloned().collect(),
        bearer,
        rights: rights(system),
        only_user: value::<String>(matches, "user").cloned(),
    };
    let path = socket.path();
    let mut removes_in: Vec<PathBuf> = socket.made_path().map(directory_of).into_iter().collect();
    let server = Server::new(options, socket).map_err(|why| failed(why.to_string()))?;
    let one_time = server.one_time_address();
    let of_path = || path.map(|path| format!("unix:{}", printable(path.as_os_str().as_encoded_bytes())));
    match one_time.clone().or_else(of_path) {
        Some(address) if given(matches, "json") => out.json(&json!({ "address": address }))?,
        Some(address) => out.line(format_args!("{address}"))?,
        None => {}
    }
    let mut redirect = None;
    if let Some(address) = one_time.filter(|_| given(matches, "open")) {
        let file = RedirectFile::create(&address)
            .map_err(|why| failed(format!("--open: making a file for the browser: {}", files::reason(&why))))?;
        open(&file);
        removes_in.push(directory_of(file.path()));
        redirect = Some(file);
    }
    out.flush()?;
    if let Some(missing) = sandbox::enter(Helper::Web { removes_in: &removes_in }) {
        to_stderr(&format!("cronctl: web: the sandbox is incomplete: {missing}\n"));
    }
    server.run(redirect).map_err(|why| failed(why.to_string()))?;
    Ok(ExitStatus::Success)
}

/// The directory that a file is in.
fn directory_of(path: &Path) -> PathBuf {
    // A path of one name has an empty parent.
    Path::new(".").join(path.parent().unwrap_or(Path::new("")))
}

/// The socket of the service manager, else the one that was asked for.
fn listen(matches: &ArgMatches) -> Result<Listening, Error> {
    let failed = |why: &dyn std::error::Error| Error::Web { message: why.to_string() };
    // Nothing is open yet but the standard streams, and there is one thread.
    let start = ProgramStart::begin().map_err(|why| failed(&why))?;
    let wrong = |why: ListenError| failed(&why);
    if let Some(passed) = Listening::passed(&start).map_err(wrong)? {
        if given_value(matches, "listen") {
            let message = "--listen cannot be given beside the socket that the service manager passes: leave it out";
            return Err(Error::WebOptions { message });
        }
        check_options(matches, passed.is_unix())?;
        return Ok(passed);
    }
    let address = value::<Address>(matches, "listen").cloned().unwrap_or(Address::USUAL);
    check_options(matches, matches!(address, Address::Unix(_)))?;
    Listening::bind(&address, &start.finish()).map_err(wrong)
}

/// Refuses options that would do nothing, and a Unix socket of which it is not said which names it serves.
fn check_options(matches: &ArgMatches, is_unix: bool) -> Result<(), Error> {
    let has_host = given_value(matches, "host");
    let message = match is_unix {
        true if given(matches, "open") => {
            "--open is for a page on loopback: behind a web server, open the address that this server has"
        }
        true if !has_host && !given(matches, "any-host") => {
            "on a Unix socket, expected --host NAME, the name in the address of the page, or --any-host if the web server in front refuses others"
        }
        false if has_host || given(matches, "any-host") => {
            "--host and --any-host are for a Unix socket: on loopback the name is drawn (leave them out, or --listen unix:PATH)"
        }
        _ => return Ok(()),
    };
    Err(Error::WebOptions { message })
}

fn given_value(matches: &ArgMatches, option: &str) -> bool {
    matches.try_get_raw(option).ok().flatten().is_some()
}

/// The groups of the configuration, as the daemon has them.
fn rights(system: &SystemState) -> Rights {
    let group = |name: &Option<String>| gid_of_group(name.as_deref()?).ok().flatten();
    Rights { control_group: group(&system.settings.control_group), view_group: group(&system.settings.view_group) }
}

/// The token of a file, which only this user may be able to read.
fn read_token(path: &Path) -> Result<String, Error> {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    let failed = |message: String| Error::Web { message: format!("--token-file {}: {message}", path.display()) };
    // A FIFO is not waited for.
    let open = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let file = open.map_err(|why| failed(files::reason(&why)))?;
    let about = file.metadata().map_err(|why| failed(files::reason(&why)))?;
    if !about.is_file() {
        return Err(failed("expected a regular file".to_owned()));
    }
    if about.uid() != 0 && about.uid() != process::own_uid() {
        return Err(failed(format!(
            "it belongs to the user id {}; expected your own file or one of root",
            about.uid()
        )));
    }
    if about.mode() & 0o027 != 0 {
        return Err(failed("other users can read or write it; expected mode 0600 or 0640 (chmod o= FILE)".to_owned()));
    }
    let bytes =
        files::read_to_end(&file, about.len(), LARGEST_TOKEN_FILE).map_err(|why| failed(files::reason(&why)))?;
    let text = String::from_utf8(bytes).map_err(|_| failed("expected a text in UTF-8".to_owned()))?;
    let token = text.lines().next().unwrap_or_default().trim().to_owned();
    if token.len() < SHORTEST_TOKEN {
        return Err(failed(format!(
            "expected a token of at least {SHORTEST_TOKEN} characters in its first line, found {}; for example: openssl rand -hex 32",
            token.len()
        )));
    }
    Ok(token)
}

/// Opens the browser. If that fails, there is still the printed address.
fn open(file: &RedirectFile) {
    let mut command = Command::new(OPENER);
    command.arg(file.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Ctrl-C ends this program and not the browser.
    command.process_group(0);
    // It ends when it has passed the address to the browser, and this process soon after the user is done with the page.
    #[allow(clippy::zombie_processes)]
    if let Err(why) = command.spawn() {
        to_stderr(&format!("cronctl: --open: starting {OPENER}: {}; open the address yourself\n", files::reason(&why)));
    }
}
