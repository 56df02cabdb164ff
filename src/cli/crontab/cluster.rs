//! cronie's `-n` and `-c`: the host of a cluster whose daemon runs the users' crontabs.

use super::failure::Failure;
use super::session::Session;
use crate::spool::CLUSTER_HOST_FILE;
use crate::sys::descriptor::StandardStream;
use crate::sys::interrupts::BlockedSignals;
use crate::sys::{descriptor, files};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

/// The longest host name of POSIX systems.
const LONGEST: usize = 255;

/// `-n [HOST]`: sets the host. The default is this host.
pub fn set_host(session: &Session<'_>, host: Option<&OsStr>) -> Result<(), Failure> {
    let bad = || Failure::BadHost { program: session.program.to_owned() };
    let host = match host {
        Some(host) => host.as_bytes().to_vec(),
        None => files::host_name().map_err(|_| bad())?,
    };
    if host.len() > LONGEST || host.contains(&b'\n') {
        return Err(bad());
    }
    let line = [host.as_slice(), b"\n"].concat();
    let name = file_name();
    // As for a crontab: a signal in between would leave a temporary file behind.
    let _blocked = BlockedSignals::now();
    session.with_spool(|spool| spool.write_control_file(&name, &line))?;
    session.log("SET HOST", &String::from_utf8_lossy(&host));
    Ok(())
}

/// `-c`: prints the host on which the crontabs of the cluster run.
pub fn show_host(session: &Session<'_>) -> Result<(), Failure> {
    let name = file_name();
    let text = session
        .with_spool(|spool| spool.read_control_file(&name))?
        .ok_or_else(|| Failure::NoHostFile { path: session.spool_path().join(CLUSTER_HOST_FILE) })?;
    let host = text.split(|b| *b == b'\n').next().unwrap_or_default();
    files::write_all(descriptor::standard(StandardStream::Output), &[host, b"\n"].concat())
        .map_err(|source| Failure::Output { program: session.program.to_owned(), source: source.into() })?;
    session.log("GET HOST", &String::from_utf8_lossy(host));
    Ok(())
}

fn file_name() -> CString {
    // The constant contains no NUL. In the impossible other case, the empty name names no file.
    CString::new(CLUSTER_HOST_FILE).unwrap_or_default()
}
