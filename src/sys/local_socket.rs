//! Stream sockets with a path, for processes of one user. None of the functions blocks.

use super::contract::SingleThreaded;
use super::process::TemporaryUmask;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// A listening socket with a path in the file system.
#[derive(Debug)]
pub struct Listener(UnixListener);

impl Listener {
    /// Creates the socket with mode 0600. The path must not exist.
    pub fn bind(threads: &SingleThreaded, path: &Path) -> io::Result<Listener> {
        let umask = TemporaryUmask::set(threads, 0o177);
        let listener = UnixListener::bind(path)?;
        drop(umask);
        listener.set_nonblocking(true)?;
        Ok(Listener(listener))
    }

    /// Accepts the next pending connection, which is made non-blocking, and returns the user id of the peer.
    pub fn accept(&self) -> io::Result<(OwnedFd, u32)> {
        let (stream, _) = self.0.accept()?;
        stream.set_nonblocking(true)?;
        let peer = getsockopt(&stream, PeerCredentials)?;
        Ok((stream.into(), peer.uid()))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Connects and returns the user id of the listening process. A listener with too many pending connections is an error.
pub fn connect(path: &Path) -> io::Result<(OwnedFd, u32)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    use std::os::fd::AsRawFd;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    let stream = UnixStream::from(socket);
    let peer = getsockopt(&stream, PeerCredentials)?;
    Ok((stream.into(), peer.uid()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_connection_knows_who_is_at_its_other_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = Listener::bind(&SingleThreaded::for_tests(), &path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let own = nix::unistd::geteuid().as_raw();
        let (_here, listens) = connect(&path).unwrap();
        let (_there, connects) = listener.accept().unwrap();
        assert_eq!((listens, connects), (own, own));
        drop(listener);
        assert_eq!(connect(&path).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
