//! The service manager's socket (sd_notify(3)): readiness, state and the watchdog, when NOTIFY_SOCKET is set.

use super::contract::SingleThreaded;
use super::handover;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variables of a service manager. They are meant for this process only and must not reach a job.
const OURS_ALONE: [&str; 10] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "SYSTEMD_EXEC_PID",
    "MEMORY_PRESSURE_WATCH",
];

/// The connection to the service manager, if there is one.
#[derive(Debug, Default)]
pub struct NotifySocket {
    manager: Option<(UnixDatagram, SocketAddr)>,
    /// The interval of watchdog messages in milliseconds.
    watchdog_ms: Option<u64>,
    /// Whether standard error is connected to the journal.
    reads_stderr: bool,
    /// The variables that were removed from the environment.
    variables: Vec<(&'static str, OsString)>,
}

impl NotifySocket {
    /// Reads the manager's variables and removes them from the environment.
    pub fn take_from_environment(threads: &SingleThreaded) -> NotifySocket {
        let mut taken = OURS_ALONE.map(std::env::var_os);
        let variables = OURS_ALONE.into_iter().zip(&taken);
        let variables = variables.filter_map(|(name, value)| Some((name, value.clone()?))).collect();
        let mut take =
            |name: &str| OURS_ALONE.iter().position(|ours| *ours == name).and_then(|at| taken.get_mut(at)?.take());
        let (address, usec, for_pid) = (take("NOTIFY_SOCKET"), take("WATCHDOG_USEC"), take("WATCHDOG_PID"));
        let reads_stderr = is_journal_stream(take("JOURNAL_STREAM").as_deref(), std::io::stderr());
        for name in OURS_ALONE {
            handover::take_variable(threads, name);
        }
        NotifySocket { reads_stderr, variables, ..NotifySocket::to(address, usec, for_pid, std::process::id()) }
    }

    fn to(address: Option<OsString>, usec: Option<OsString>, for_pid: Option<OsString>, pid: u32) -> NotifySocket {
        let manager = address.and_then(|address| connect(&address).ok());
        let number = |text: Option<OsString>| text.and_then(|text| text.to_str()?.parse::<u64>().ok());
        let for_us = for_pid.is_none() || number(for_pid) == Some(u64::from(pid));
        // Half of the timeout, as sd_watchdog_enabled(3) advises.
        let watchdog_ms =
            number(usec).filter(|usec| *usec > 0 && for_us && manager.is_some()).map(|usec| (usec / 2000).max(1));
        NotifySocket { manager, watchdog_ms, reads_stderr: false, variables: Vec::new() }
    }

    /// Sends a message to the manager: lines of `NAME=VALUE`. Never blocks. It is not an error if there is no manager.
    pub fn send(&self, message: &str) {
        if let Some((socket, address)) = &self.manager {
            let _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }

    /// Whether there is a manager to send messages to.
    pub fn is_wanted(&self) -> bool {
        self.manager.is_some()
    }

    /// Whether the manager has connected standard error to the journal.
    pub fn reads_stderr(&self) -> bool {
        self.reads_stderr
    }

    /// The manager's variables, for a program that is executed in our place.
    pub fn variables(&self) -> &[(&'static str, OsString)] {
        &self.variables
    }

    /// The interval of watchdog messages in milliseconds. None if there is no watchdog.
    pub fn watchdog_ms(&self) -> Option<u64> {
        self.watchdog_ms
    }
}

/// Whether JOURNAL_STREAM (systemd.exec(5): device and inode, decimal) names the file that this descriptor is open on. Programs started by
/// a service inherit the variable, but perhaps not the descriptor.
fn is_journal_stream(stream: Option<&OsStr>, descriptor: impl AsFd) -> bool {
    let named = stream.and_then(|stream| {
        let (device, inode) = stream.to_str()?.split_once(':')?;
        Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?))
    });
    let open = nix::sys::stat::fstat(descriptor).map(|status| (status.st_dev, status.st_ino)).ok();
    named.is_some() && named == open
}

/// Connects to a path, or to `@name` in the abstract namespace.
fn connect(address: &OsString) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_arrives() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let socket = NotifySocket::to(Some(path.into()), Some("30000000".into()), None, 1);
        socket.send("READY=1\nSTATUS=3 tables");
        let mut buffer = [0; 64];
        let length = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1\nSTATUS=3 tables");
        assert_eq!(socket.watchdog_ms(), Some(15_000));
    }

    #[test]
    fn an_abstract_address_works_and_a_missing_manager_is_no_trouble() {
        let name = format!("cronwheel-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        NotifySocket::to(Some(format!("@{name}").into()), None, None, 1).send("STOPPING=1");
        assert_eq!(manager.recv(&mut [0; 64]).unwrap(), 10);
        NotifySocket::to(Some("/nonexistent/socket".into()), None, None, 1).send("READY=1");
        assert!(!NotifySocket::default().is_wanted());
    }

    #[test]
    fn a_journal_stream_is_known_by_device_and_inode() {
        use std::os::unix::fs::MetadataExt;
        let file = tempfile::tempfile().unwrap();
        let of = file.metadata().unwrap();
        let named = format!("{}:{}", of.dev(), of.ino());
        for (stream, is) in [
            (Some(named.as_str()), true),
            (Some("1:2"), false),
            (Some("garbage"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(is_journal_stream(stream.map(OsStr::new), &file), is, "{stream:?}");
        }
    }

    #[test]
    fn a_watchdog_meant_for_another_process_is_not_ours() {
        let address = || Some(OsString::from("@nobody"));
        for (pid, wanted) in [(Some("7".into()), Some(500)), (Some("8".into()), None), (None, Some(500))] {
            assert_eq!(NotifySocket::to(address(), Some("1000000".into()), pid, 7).watchdog_ms(), wanted);
        }
    }
}
