//! Where the page is served: on loopback, on a Unix socket, or on the socket that the service manager has made.

use crate::sys::contract::{ProgramStart, SingleThreaded};
use crate::sys::error::OsError;
use crate::sys::handover;
use crate::sys::local_socket::{self, Listener as UnixSocket};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The number of the first descriptor that a service manager passes (sd_listen_fds(3)).
const FIRST_PASSED: i32 = 3;
/// How often another port is drawn if the one of IPv4 is taken for IPv6.
const DRAWS: usize = 64;
/// The addresses that names below `.localhost` have. Browsers ask one of them first, and which one differs.
const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// An address that the page can be served on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A port on loopback; 0: the kernel chooses one.
    Loopback(SocketAddr),
    /// A Unix socket with this path.
    Unix(PathBuf),
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// The text has none of the forms of an address.
    #[error("expected 127.0.0.1:PORT, [::1]:PORT or unix:PATH, found {found:?}")]
    Unknown {
        /// The given text.
        found: String,
    },
    /// The address is not one of loopback, so that other machines could connect.
    #[error(
        "other machines can reach {address}: the page has neither TLS nor logins of its own. Listen on 127.0.0.1:PORT, or on unix:PATH \
         behind a web server that has both (contrib/README.md)"
    )]
    NotLoopback {
        /// The given address.
        address: SocketAddr,
    },
    /// The address is one of loopback that browsers do not use for a name below `.localhost`.
    #[error("browsers do not connect to {} for a name below .localhost: expected 127.0.0.1:{} or [::1]:{}", .address.ip(), .address.port(), .address.port())]
    NotLocalhost {
        /// The given address.
        address: SocketAddr,
    },
    /// A socket without a path.
    #[error("expected a path behind unix:")]
    NoPath,
}

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is in use, or the socket cannot be made.
    #[error("listening on {address}: {why}")]
    Bind {
        /// The address, or the path of the socket.
        address: String,
        /// The error of the system call.
        why: OsError,
    },
    /// The same port of the other loopback address is in use.
    #[error(
        "listening on {address}: {why}; the page needs its port on 127.0.0.1 and on ::1, since browsers may connect to either: choose another port"
    )]
    Other {
        /// The other address with the same port.
        address: SocketAddr,
        /// The error of the system call.
        why: OsError,
    },
    /// The service manager passed no socket that can be used.
    #[error(
        "the socket of the service manager: expected one listening stream socket, a Unix socket or one on 127.0.0.1 or ::1"
    )]
    Passed,
}

/// A listening socket: TCP or Unix.
#[derive(Debug)]
pub enum Listening {
    /// On loopback: the same port of IPv4 and IPv6, so that no other user can have one of them.
    Tcp(Vec<TcpListener>),
    /// A Unix socket. The path is removed at the end, if it was made here.
    Unix(UnixListener, Option<SocketPath>),
}

/// The path of a socket, which is removed on drop if it is still that of the socket.
#[derive(Debug)]
pub struct SocketPath {
    path: PathBuf,
    identity: (u64, u64),
}

impl Address {
    /// The address if nothing else is asked for: loopback, a port that the kernel chooses.
    pub const USUAL: Address = Address::Loopback(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0));

    /// Reads an address on the command line.
    ///
    /// # Errors
    ///
    /// It is not an address, or one that other machines can reach.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(AddressError::NoPath) } else { Ok(Address::Unix(path.into())) };
        }
        let numbers = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        let address: SocketAddr =
            numbers.as_deref().unwrap_or(text).parse().map_err(|_| AddressError::Unknown { found: text.to_owned() })?;
        match address.ip() {
            ip if LOCALHOST.contains(&ip) => Ok(Address::Loopback(address)),
            ip if ip.is_loopback() => Err(AddressError::NotLocalhost { address }),
            _ => Err(AddressError::NotLoopback { address }),
        }
    }
}

impl Listening {
    /// Whether it is a Unix socket.
    pub fn is_unix(&self) -> bool {
        matches!(self, Listening::Unix(..))
    }

    /// The path of a Unix socket, if it has one.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Listening::Tcp(_) => None,
            Listening::Unix(socket, _) => socket.local_addr().ok()?.as_pathname().map(Path::to_path_buf),
        }
    }

    /// The path that is removed at the end.
    pub fn made_path(&self) -> Option<&Path> {
        match self {
            Listening::Tcp(_) | Listening::Unix(_, None) => None,
            Listening::Unix(_, Some(made)) => Some(&made.path),
        }
    }

    /// The socket that the service manager has passed to this process, if it has.
    ///
    /// # Errors
    ///
    /// It has passed something else.
    pub fn passed(start: &ProgramStart) -> Result<Option<Listening>, ListenError> {
        let threads = start.threads();
        let [count, pid] = ["LISTEN_FDS", "LISTEN_PID"].map(|name| {
            let value = handover::take_variable(threads, name)?;
            value.to_str()?.parse::<u32>().ok()
        });
        if count.is_none() || pid != Some(std::process::id()) {
            return Ok(None);
        }
        let descriptors = if count == Some(1) { handover::take(start, &[FIRST_PASSED]) } else { None };
        let socket = descriptors.and_then(|sockets| sockets.into_iter().next()).ok_or(ListenError::Passed)?;
        Listening::of(socket).map(Some)
    }

    fn of(socket: OwnedFd) -> Result<Listening, ListenError> {
        use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt};
        let is_listening = getsockopt(&socket, sockopt::AcceptConn) == Ok(true);
        let address = getsockname::<SockaddrStorage>(std::os::fd::AsRawFd::as_raw_fd(&socket.as_fd()));
        match address.ok().and_then(|address| address.family()) {
            Some(AddressFamily::Unix) if is_listening => Ok(Listening::Unix(socket.into(), None)),
            Some(AddressFamily::Inet | AddressFamily::Inet6) if is_listening => {
                let listener = TcpListener::from(socket);
                match listener.local_addr() {
                    Ok(address) if LOCALHOST.contains(&address.ip()) => {
                        let other = beside(address)?;
                        Ok(Listening::Tcp(std::iter::once(listener).chain(other).collect()))
                    }
                    _ => Err(ListenError::Passed),
                }
            }
            _ => Err(ListenError::Passed),
        }
    }

    /// Listens on an address. A Unix socket is for this user alone, mode 0600.
    ///
    /// # Errors
    ///
    /// The address is in use, or the socket cannot be made.
    pub fn bind(address: &Address, threads: &SingleThreaded) -> Result<Listening, ListenError> {
        let failed = |address: String| |why: io::Error| ListenError::Bind { address, why: why.into() };
        match address {
            Address::Loopback(address) => bind_loopback(*address).map(Listening::Tcp),
            Address::Unix(path) => bind_unix(path, threads).map_err(failed(path.display().to_string())),
        }
    }
}

/// Listens on a port of both loopback addresses.
fn bind_loopback(address: SocketAddr) -> Result<Vec<TcpListener>, ListenError> {
    let mut draws = 0;
    loop {
        let failed = |why: io::Error| ListenError::Bind { address: address.to_string(), why: why.into() };
        let listener = TcpListener::bind(address).map_err(failed)?;
        draws += 1;
        match beside(listener.local_addr().map_err(failed)?) {
            Ok(other) => return Ok(std::iter::once(listener).chain(other).collect()),
            Err(_) if address.port() == 0 && draws < DRAWS => {}
            Err(why) => return Err(why),
        }
    }
}

/// Listens on the other loopback address with the same port. None: this machine does not have it.
fn beside(address: SocketAddr) -> Result<Option<TcpListener>, ListenError> {
    let Some(ip) = LOCALHOST.into_iter().find(|ip| *ip != address.ip()) else { return Ok(None) };
    let address = SocketAddr::new(ip, address.port());
    match TcpListener::bind(address) {
        Ok(listener) => Ok(Some(listener)),
        Err(why) if is_missing(&why) => Ok(None),
        Err(why) => Err(ListenError::Other { address, why: why.into() }),
    }
}

/// Whether the machine has no such address: nobody else can listen there.
fn is_missing(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::AddrNotAvailable || why.raw_os_error() == Some(nix::errno::Errno::EAFNOSUPPORT as i32)
}

fn bind_unix(path: &Path, threads: &SingleThreaded) -> io::Result<Listening> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|left| left.file_type().is_socket());
    // One that was killed leaves the path.
    if is_socket && local_socket::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        fs::remove_file(path)?;
    }
    let listener = UnixSocket::bind(threads, path)?;
    let listener = UnixListener::from(listener.as_fd().try_clone_to_owned()?);
    let made = fs::symlink_metadata(path)?;
    let path = SocketPath { path: path.to_owned(), identity: (made.dev(), made.ino()) };
    Ok(Listening::Unix(listener, Some(path)))
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        let there = fs::symlink_metadata(&self.path).map(|there| (there.dev(), there.ino()));
        if there.is_ok_and(|there| there == self.identity) {
            // Nothing can be done about a directory that became read-only.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_unix_sockets_are_addresses() {
        for address in ["127.0.0.1:8080", "[::1]:0", "localhost:80"] {
            assert!(matches!(Address::parse(address), Ok(Address::Loopback(_))), "{address}");
        }
        assert_eq!(Address::parse("unix:/run/x").unwrap(), Address::Unix("/run/x".into()));
        for address in ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "[::ffff:127.0.0.1]:80"] {
            let error = Address::parse(address).unwrap_err();
            assert!(matches!(error, AddressError::NotLoopback { .. }), "{address}: {error}");
        }
        let error = Address::parse("127.0.0.2:1").unwrap_err();
        assert_eq!(
            error.to_string(),
            "browsers do not connect to 127.0.0.2 for a name below .localhost: expected 127.0.0.1:1 or [::1]:1"
        );
        for address in ["", "80", "127.0.0.1", "example.org:80", "unix:", "/run/x", "127.0.0.1:99999"] {
            assert!(Address::parse(address).is_err(), "{address}");
        }
    }

    #[test]
    fn a_port_is_taken_on_both_loopback_addresses() {
        let Ok(taken) = TcpListener::bind("[::1]:0") else { return };
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), taken.local_addr().unwrap().port());
        let error = bind_loopback(address).unwrap_err();
        assert!(matches!(&error, ListenError::Other { address, .. } if address.is_ipv6()), "{error}");
        drop(taken);
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let sockets = bind_loopback(address.parse().unwrap()).unwrap();
            let addresses: Vec<SocketAddr> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
            assert!(addresses.len() == 2 && addresses[0].port() == addresses[1].port(), "{addresses:?}");
            assert!(LOCALHOST.iter().all(|ip| addresses.iter().any(|address| address.ip() == *ip)), "{addresses:?}");
        }
    }
}
