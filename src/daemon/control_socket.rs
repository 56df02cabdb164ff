//! Opens the control socket, and the directory of the sockets.

use super::settings::Settings;
use crate::config::sockets::CONTROL;
use crate::control::{Rights, Server};
use crate::sys::contract::SingleThreaded;
use crate::sys::created;
use crate::sys::error::{PathError, os_at};
use crate::sys::files::{Links, reason};
use crate::sys::local_socket::Listener;
use crate::sys::process;
use crate::users::gid_of_group;
use std::fs;
use std::path::Path;

/// The rights of the configured groups, and what is wrong with the configuration.
pub(super) fn rights(settings: &Settings) -> (Rights, Vec<String>) {
    let mut trouble = Vec::new();
    let mut group = |key: &str, name: &Option<String>| {
        let name = name.as_deref()?;
        match gid_of_group(name) {
            Ok(Some(gid)) => return Some(gid),
            Ok(None) => trouble.push(format!("{key}: there is no group {name} in /etc/group")),
            Err(why) => trouble.push(format!("{key}: reading /etc/group: {}", reason(&why))),
        }
        None
    };
    let rights = Rights {
        control_group: group("control-group", &settings.config.control_group),
        view_group: group("view-group", &settings.config.view_group),
    };
    (rights, trouble)
}

/// Opens the control socket.
///
/// # Errors
///
/// The directory or the socket cannot be made, or a standalone daemon already has it.
pub(super) fn open(settings: &Settings, threads: &SingleThreaded) -> Result<Server, PathError> {
    let directory = settings.sockets();
    make_socket_directory(&directory)?;
    let path = directory.join(CONTROL);
    // With the lock of the run directory, only a daemon that has ended can have listened there.
    if !settings.is_standalone() || settings.run_dir_given {
        let _ = fs::remove_file(&path);
    }
    Ok(Server::new(Listener::bind_for_all(threads, &path).map_err(os_at("making the socket", &path))?))
}

/// Makes the directory of the sockets, if it is not there. Below /tmp, another user may have made it.
pub(super) fn make_socket_directory(directory: &Path) -> Result<(), PathError> {
    let mode = if process::own_uid() == 0 { 0o755 } else { 0o700 };
    created::make_trusted_directory(directory, mode, Links::Refused).map_err(os_at("using", directory))
}
