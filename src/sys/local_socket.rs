//! Stream sockets with a path. None of the functions blocks.

use super::contract::SingleThreaded;
use super::process::TemporaryUmask;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A listening socket with a path in the file system.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    /// The path that is removed on drop, with its device and inode.
    made: Option<(PathBuf, (u64, u64))>,
}

/// Who is at the other end of a connection, as the kernel noted it when the connection was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Process id in this PID namespace; 0 if it has none here.
    pub pid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
}

impl Peer {
    /// Whether it is a member of a group.
    pub fn is_in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }
}

impl Listener {
    /// Creates the socket with mode 0600. The path must not exist.
    pub fn bind(threads: &SingleThreaded, path: &Path) -> io::Result<Listener> {
        let umask = TemporaryUmask::set(threads, 0o177);
        let listener = UnixListener::bind(path)?;
        drop(umask);
        listener.set_nonblocking(true)?;
        Ok(Listener { socket: listener, made: None })
    }

    /// Creates a socket to which everybody may connect, mode 0666, in place of one that nobody listens at any more. Its path is
    /// removed on drop.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AddrInUse`]: another process listens there, or the path is no socket.
    pub fn bind_for_all(threads: &SingleThreaded, path: &Path) -> io::Result<Listener> {
        if fs::symlink_metadata(path).is_ok_and(|left| left.file_type().is_socket()) {
            match connect(path) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
                _ => return Err(io::ErrorKind::AddrInUse.into()),
            }
        }
        let umask = TemporaryUmask::set(threads, 0o111);
        let listener = UnixListener::bind(path)?;
        drop(umask);
        listener.set_nonblocking(true)?;
        let made = fs::symlink_metadata(path)?;
        Ok(Listener { socket: listener, made: Some((path.to_owned(), (made.dev(), made.ino()))) })
    }

    /// A listening socket that another process has made.
    pub fn from_inherited(socket: OwnedFd) -> io::Result<Listener> {
        let listener = UnixListener::from(socket);
        listener.set_nonblocking(true)?;
        Ok(Listener { socket: listener, made: None })
    }

    /// Accepts the next pending connection, which is made non-blocking.
    pub fn accept_peer(&self) -> io::Result<(OwnedFd, Peer)> {
        let (stream, _) = self.socket.accept()?;
        stream.set_nonblocking(true)?;
        let credentials = getsockopt(&stream, PeerCredentials)?;
        let pid = u32::try_from(credentials.pid()).unwrap_or(0);
        let groups = peer_groups(stream.as_fd())?;
        let peer = Peer { uid: credentials.uid(), gid: credentials.gid(), pid, groups };
        Ok((stream.into(), peer))
    }

    /// Accepts the next pending connection, which is made non-blocking, and returns the user id of the peer.
    pub fn accept(&self) -> io::Result<(OwnedFd, u32)> {
        let (stream, _) = self.socket.accept()?;
        stream.set_nonblocking(true)?;
        let peer = getsockopt(&stream, PeerCredentials)?;
        Ok((stream.into(), peer.uid()))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let Some((path, identity)) = &self.made else { return };
        let there = fs::symlink_metadata(path).map(|there| (there.dev(), there.ino()));
        if there.is_ok_and(|there| there == *identity) {
            // Nothing can be done about a run directory that became read-only.
            let _ = fs::remove_file(path);
        }
    }
}

/// The supplementary groups of the process at the other end (SO_PEERGROUPS, unix(7)).
fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    /// Most groups of a process (NGROUPS_MAX).
    const MOST: usize = 65_536;
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let mut size = std::mem::size_of_val(groups.as_slice()) as libc::socklen_t;
        // SAFETY: the kernel writes at most `size` bytes to `groups`, which has as many, and how many these are to `size`.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut size,
            )
        };
        let count = size as usize / size_of::<libc::gid_t>();
        if result == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() || count > MOST {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

/// Connects and returns the user id of the listening process. A listener with too many pending connections is an error.
pub fn connect(path: &Path) -> io::Result<(OwnedFd, u32)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
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
    fn a_socket_for_all_takes_the_place_of_one_that_nobody_listens_at() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let threads = SingleThreaded::for_tests();
        let listener = Listener::bind_for_all(&threads, &path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        assert_eq!(Listener::bind_for_all(&threads, &path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists());
        // A daemon that was killed leaves the path.
        drop(UnixListener::bind(&path).unwrap());
        let listener = Listener::bind_for_all(&threads, &path).unwrap();
        let _here = UnixStream::connect(&path).unwrap();
        let (_there, peer) = listener.accept_peer().unwrap();
        assert_eq!((peer.uid, peer.pid), (nix::unistd::geteuid().as_raw(), std::process::id()));
        let own: Vec<u32> = nix::unistd::getgroups().unwrap().into_iter().map(nix::unistd::Gid::as_raw).collect();
        assert!(own.iter().all(|group| peer.is_in_group(*group)) && peer.groups.len() <= own.len());
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(Listener::bind_for_all(&threads, &dir.path().join("file")).is_err());
    }

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
