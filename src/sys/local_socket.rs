//! Stream sockets with a name in the file system, for processes of one owner. None of the functions waits.

use super::contract::SingleThreaded;
use super::process::TemporaryUmask;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// A socket that others can connect to.
#[derive(Debug)]
pub struct Listener(UnixListener);

impl Listener {
    /// Makes it, mode 0600; the name must be free.
    pub fn bind(threads: &SingleThreaded, path: &Path) -> io::Result<Listener> {
        let umask = TemporaryUmask::set(threads, 0o177);
        let listener = UnixListener::bind(path)?;
        drop(umask);
        listener.set_nonblocking(true)?;
        Ok(Listener(listener))
    }

    /// The next connection that waits, not blocking, with the user id of the process that made it.
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

/// Connects, and gives the user id of the process that listens. A listener that has too many connections waiting is an error.
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
