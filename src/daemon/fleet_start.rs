//! What the agent of a fleet is started from: its program, its user and its settings. And the check of the engine that it does for `crond --check`.

use super::execute_as;
use super::settings::Settings;
use crate::config::{FleetConfig, is_fleet_name};
use crate::crontab::printable;
use crate::fleet::link::Link;
use crate::fleet::message::{ACCOUNT, AgentMessage, AgentSettings, PROTOCOL, VERB};
use crate::schedule::Zones;
use crate::sys::error::{PathError, os_at};
use crate::sys::files::{self, reason};
use crate::sys::process::own_uid;
use crate::sys::{clock, descriptor};
use crate::users::local_account;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Most characters of a line of an agent.
const LONGEST_TEXT: usize = 300;
/// How long `crond --check` waits for the agent, and most problems that it reports.
const CHECK_MS: i64 = 30_000;
const MOST_PROBLEMS: usize = 50;
/// Most bytes of a file with certificates or a key, and of one with a password.
const LARGEST_PEM: usize = 1 << 20;
const LARGEST_PASSWORD: usize = 4 << 10;

/// Why this machine takes no part in its fleet.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unavailable {
    #[error("this program was built without it")]
    NotBuilt,
    #[error("there is no user {ACCOUNT}")]
    NoAccount,
    #[error("cronctl is not installed")]
    NoProgram,
    #[error("the host name is none that a node can have; expected a line like node = \"web1\" in [fleet]")]
    NoName,
    #[error("zone: there is no time zone {0}; expected a name like Europe/Berlin in [fleet]")]
    NoZone(String),
    #[error("{0}")]
    File(#[from] PathError),
}

/// What the agent is started from.
#[derive(Debug)]
pub(super) struct AgentStart {
    pub(super) program: PathBuf,
    pub(super) account: Option<(u32, u32)>,
    pub(super) node: String,
}

impl AgentStart {
    /// Finds the program and the user of the agent, and the name of the node.
    pub(super) fn find(
        settings: &Settings,
        config: &FleetConfig,
        zones: &dyn Zones,
    ) -> Result<AgentStart, Unavailable> {
        if !cfg!(feature = "fleet") {
            return Err(Unavailable::NotBuilt);
        }
        let account = local_account(ACCOUNT)?.filter(|(uid, _)| *uid != 0);
        let account = match settings.is_standalone() {
            // Only root can start it as somebody else.
            true => account.filter(|_| own_uid() == 0),
            false => Some(account.ok_or(Unavailable::NoAccount)?),
        };
        let node = node_name(config).ok_or(Unavailable::NoName)?;
        if !config.has_known_zone(zones) {
            return Err(Unavailable::NoZone(config.zone.clone()));
        }
        Ok(AgentStart { program: files::cronctl().ok_or(Unavailable::NoProgram)?, account, node })
    }

    /// The process, which is not started yet, with this socket.
    pub(super) fn command(&self, socket: OwnedFd) -> Command {
        let mut command = match self.account {
            Some(ids) => execute_as::command(ids, &self.program),
            None => Command::new(&self.program),
        };
        command.arg(VERB).env_clear().current_dir("/");
        command.stdin(Stdio::from(socket)).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// What is wrong with the engine of the fleet, a line each, as the agent finds it. Nothing is changed. Waits for the agent for a limited time.
pub(super) fn find_problems(settings: &Settings, config: &FleetConfig, zones: &dyn Zones) -> Vec<String> {
    let no_part =
        |why: &dyn std::fmt::Display| vec![format!("this machine takes no part in the fleet {}: {why}", config.name)];
    let start = match AgentStart::find(settings, config, zones) {
        Ok(start) => start,
        Err(why @ Unavailable::NoAccount) => {
            return no_part(&format!("{why}; cronwheel-fleet(7) has the command that makes it"));
        }
        Err(why) => return no_part(&why),
    };
    // Only root can start the agent as its user, and read the files with secrets.
    if start.account.is_some() && own_uid() != 0 {
        return Vec::new();
    }
    let message = match agent_settings(config, &start.node, true) {
        Ok(message) => message,
        Err(why) => return no_part(&why),
    };
    let mut problems = readable_secrets(config);
    match ask_agent(&start, &message) {
        Ok(found) => {
            problems.extend(found.into_iter().map(|problem| format!("fleet {}: {problem}", config.name)));
        }
        Err(why) => problems.extend(no_part(&format!("the agent cannot be asked: {}", reason(&why)))),
    }
    problems
}

/// The files with the private key and the password that others than root can read.
fn readable_secrets(config: &FleetConfig) -> Vec<String> {
    const OF_GROUP: u32 = 0o040;
    const OF_OTHERS: u32 = 0o004;
    let key = config.identity.as_ref().map(|(_, key)| key);
    let password = config.login.as_ref().map(|(_, file)| file);
    let fault = |path: &PathBuf| {
        // One that cannot be read is reported elsewhere.
        let found = fs::metadata(path).ok()?;
        let is_of_group = found.mode() & OF_GROUP != 0 && found.gid() != 0;
        let is_readable = is_of_group || found.mode() & OF_OTHERS != 0 || found.uid() != own_uid();
        let (shown, mode) = (path.display(), found.mode() & 0o7777);
        is_readable.then(|| {
            let chown = if own_uid() == 0 { format!("chown root {shown} && ") } else { String::new() };
            format!("{shown}: others can read this secret (mode {mode:04o}): {chown}chmod 600 {shown}")
        })
    };
    key.into_iter().chain(password).filter_map(fault).collect()
}

/// Starts an agent that only checks, and reads what it finds.
fn ask_agent(start: &AgentStart, settings: &AgentSettings) -> io::Result<Vec<String>> {
    let (ours, theirs) = descriptor::stream_pair()?;
    let mut child = start.command(theirs).spawn()?;
    let mut link = Link::new(ours);
    let mut problems = Vec::new();
    link.push(settings).map_err(|_| io::ErrorKind::InvalidInput)?;
    let until_ms = clock::monotonic_ms() + CHECK_MS;
    loop {
        let left_ms = until_ms - clock::monotonic_ms();
        if left_ms <= 0 {
            problems.push("the check took too long and was ended".to_owned());
            break;
        }
        if link.flush().is_err() {
            break;
        }
        // What did not fit is sent soon.
        descriptor::wait_until(link.as_fd(), if link.wants_to_write() { left_ms.min(10) } else { left_ms })?;
        let Ok(messages) = link.receive() else { break };
        for message in messages {
            match message {
                AgentMessage::Warning(text) | AgentMessage::Lost(text) | AgentMessage::NotStarted(text) => {
                    problems.push(one_line(&text));
                }
                _ => {}
            }
        }
        if problems.len() > MOST_PROBLEMS {
            break;
        }
    }
    // It ends when its socket is closed; one that hangs is ended.
    drop(link);
    let _ = child.kill();
    child.wait()?;
    Ok(problems)
}

/// The name of this node: the configured one, else the host name.
pub(super) fn node_name(config: &FleetConfig) -> Option<String> {
    if let Some(node) = &config.node {
        return Some(node.clone());
    }
    let name = String::from_utf8(files::host_name().ok()?).ok()?;
    is_fleet_name(&name).then_some(name)
}

/// What the agent has to know, with the certificates, the key and the password as they are now.
///
/// # Errors
/// A file that cannot be read: which, and why.
pub(super) fn agent_settings(config: &FleetConfig, node: &str, only_checks: bool) -> Result<AgentSettings, PathError> {
    let read = |path: &Path, most: usize| files::read_text(path, most).map_err(os_at("reading", path));
    let pem = |path: &PathBuf| read(path, LARGEST_PEM);
    let login = |(user, path): &(String, PathBuf)| {
        let text = read(path, LARGEST_PASSWORD)?;
        Ok::<_, PathError>((user.clone(), text.lines().next().unwrap_or_default().to_owned()))
    };
    Ok(AgentSettings {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        name: config.name.clone(),
        node: node.to_owned(),
        endpoints: config.endpoints.clone(),
        ca: config.ca.as_ref().map(pem).transpose()?,
        identity: config
            .identity
            .as_ref()
            .map(|(cert, key)| Ok::<_, PathError>((pem(cert)?, pem(key)?)))
            .transpose()?,
        login: config.login.as_ref().map(login).transpose()?,
        only_checks,
    })
}

/// A text of another process as one line of the log.
pub(super) fn one_line(text: &str) -> String {
    let end = text.char_indices().nth(LONGEST_TEXT).map_or(text.len(), |(at, _)| at);
    printable(text.get(..end).unwrap_or_default().as_bytes()).to_string()
}
