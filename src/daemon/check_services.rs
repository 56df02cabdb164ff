//! What `crond --check` reports of mail, the control socket, the history and the fleet: what keeps them from working, found without starting or changing
//! anything.

use super::control_socket;
use super::fleet_start;
use super::history::{ACCOUNT, DIRECTORY, RecorderStart, Unavailable};
use super::settings::Settings;
use crate::config::zones::SystemZones;
use crate::crontab::{Machine, printable};
use crate::history::message::VERB;
use crate::profile::{ProfileName, shared};
use crate::report::mail::SENDMAIL;
use crate::spool::ThisMachine;
use crate::sys::created::{self, FoundDirectory, UNTRUSTED};
use crate::sys::files::Links;
use crate::sys::{files, process};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Most characters of a line that the recorder's program prints.
const LONGEST_LINE: usize = 300;

/// Problems of mail, the control socket, the history and the fleet, a line each.
pub(super) fn find_problems(settings: &Settings) -> Vec<String> {
    let (_, mut problems) = control_socket::rights(settings);
    problems.extend(missing_mailer(settings));
    // Somebody else than root cannot know what root can write.
    let is_root = process::own_uid() == 0;
    if is_root {
        let consequence = "cronctl cannot reach the daemon, and no history is kept";
        problems.extend(unusable(&settings.sockets(), Links::Refused, consequence));
        let consequence = "the state of jobs is lost when the daemon ends, and no history is kept";
        problems.extend(unusable(&settings.config.state_dir, Links::Followed, consequence));
    }
    match RecorderStart::find(settings) {
        Ok(start) => {
            let directory = settings.config.state_dir.join(DIRECTORY);
            problems.extend(wrong_owner(&directory, &start).or_else(|| {
                let fault = if is_root { fault_of_database(&directory, &start) } else { None };
                fault.map(|fault| format!("{}: {fault}", directory.display()))
            }));
        }
        // Nothing to report: the history was left out on purpose.
        Err(Unavailable::NotBuilt | Unavailable::NotWanted) => {}
        Err(why) => {
            let advice = match why {
                Unavailable::NoAccount => "; cronwheel(7) has the command that makes it",
                Unavailable::NoProgram => "; expected it beside this program, or in /usr/bin or /usr/local/bin",
                Unavailable::NotBuilt | Unavailable::NotWanted | Unavailable::File(_) => "",
            };
            problems.push(format!("no history is kept: {why}{advice}"));
        }
    }
    if let Some(config) = &settings.config.fleet {
        problems.extend(fleet_start::find_problems(settings, config, &SystemZones::open()));
    }
    problems
}

/// Says that there is no program that sends mail.
fn missing_mailer(settings: &Settings) -> Option<String> {
    if settings.output_to_log {
        return None;
    }
    let machine = ThisMachine::for_commands();
    let is_missing = |program: &str| machine.has_program(program.as_bytes()) == Some(false);
    match settings.config.mailer.as_deref() {
        Some("off") => None,
        Some(command) => {
            // The command is a line for a shell. Only a plain word in front is certainly a program.
            let word = command.split_ascii_whitespace().next()?;
            let is_plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte));
            (is_plain && is_missing(word)).then(|| {
                format!("mailer: there is no program {}: job output is not mailed", printable(word.as_bytes()))
            })
        }
        None => is_missing(SENDMAIL).then(|| {
            let instead = match settings.config.profile.profile {
                ProfileName::Debian => "is dropped",
                ProfileName::Cronie => "goes to the log",
            };
            format!(
                "there is no {SENDMAIL}: what jobs print {instead}; install a mail transfer agent, or set mailer in {}",
                shared::CONFIG
            )
        }),
    }
}

/// Why the daemon cannot use a directory: others can write to it, it is not writable, or it cannot be created. None: it can be used.
fn unusable(directory: &Path, links: Links, consequence: &str) -> Option<String> {
    let existing = match created::inspect_directory(directory, links) {
        Ok(FoundDirectory::Untrusted) => {
            return Some(format!("{}: {UNTRUSTED}; {consequence}", directory.display()));
        }
        Ok(FoundDirectory::Trusted) => directory,
        Ok(FoundDirectory::Missing) | Err(_) => directory.ancestors().skip(1).find(|path| path.exists())?,
    };
    if !existing.is_dir() {
        return Some(format!("{}: expected a directory; {consequence}", existing.display()));
    }
    let is_writable = files::is_writable(existing);
    (!is_writable).then(|| format!("{} cannot be written to: {consequence}", existing.display()))
}

/// Says that the recorder could not use the directory of the database.
fn wrong_owner(directory: &Path, start: &RecorderStart) -> Option<String> {
    let (uid, _) = start.account?;
    let found = std::fs::symlink_metadata(directory).ok()?;
    if !found.is_dir() {
        return Some(format!("{}: expected a directory; no history is kept", directory.display()));
    }
    (found.uid() != uid).then(|| {
        let found = found.uid();
        format!(
            "{}: expected a directory of {ACCOUNT}, found one of user id {found}; no history is kept",
            directory.display()
        )
    })
}

/// Asks the recorder's program whether it could use the database. Root opens nothing in that directory: the program runs as the recorder's user.
fn fault_of_database(directory: &Path, start: &RecorderStart) -> Option<String> {
    let mut command = Command::new(&start.program);
    command.arg(VERB).arg(directory).env_clear().current_dir("/").stdin(Stdio::null()).stderr(Stdio::null());
    if let Some((uid, gid)) = start.account {
        // Supplementary groups are cleared with the user.
        command.gid(gid).uid(uid);
    }
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            let why = files::reason(&error);
            return Some(format!(
                "the recorder cannot be started: {}: {why}; no history is kept",
                start.program.display()
            ));
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().next() {
        Some(line) => {
            let line: String = line.chars().take(LONGEST_LINE).collect();
            Some(printable(line.as_bytes()))
        }
        None if output.status.success() => None,
        None => {
            let (program, status) = (start.program.display(), output.status);
            Some(format!("{program} could not check the database: {status}; expected exit status 0"))
        }
    }
}
