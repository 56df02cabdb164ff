//! A datagram socket through which `crontab` notifies the daemon of a changed crontab.
//!
//! Every user may write to it, so a message is only a hint. The kernel adds the sender's user id (unix(7), SO_PASSCRED), and the receiver
//! decides what the hint of that user is worth. A lost message is not an error.

use super::contract::SingleThreaded;
use super::process::TemporaryUmask;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt, sockopt};
use std::fs;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Maximum length of a user name, which is also that of a file name.
const LONGEST: usize = 255;

/// The daemon's end of the socket. Its path is removed on drop.
#[derive(Debug)]
pub struct WakeSocket {
    socket: UnixDatagram,
    path: PathBuf,
    /// Device and inode of the socket's path.
    identity: (u64, u64),
}

/// A message that was received.
#[derive(Debug, PartialEq, Eq)]
pub struct WakeUp {
    /// The sender: the real user id, unless a privileged process has set another. None if the message was malformed.
    pub sender: Option<u32>,
    /// The user whose crontab has changed, according to the sender.
    pub user: String,
}

impl WakeSocket {
    /// Creates the socket, writable by everybody, in place of one that an earlier daemon left.
    pub fn bind(threads: &SingleThreaded, path: &Path) -> io::Result<WakeSocket> {
        if fs::symlink_metadata(path).is_ok_and(|left| left.file_type().is_socket()) {
            fs::remove_file(path)?;
        }
        let socket = {
            let _umask = TemporaryUmask::set(threads, 0o111);
            UnixDatagram::bind(path)?
        };
        socket.set_nonblocking(true)?;
        setsockopt(&socket, sockopt::PassCred, &true)?;
        let made = fs::symlink_metadata(path)?;
        Ok(WakeSocket { socket, path: path.to_owned(), identity: (made.dev(), made.ino()) })
    }

    /// Receives the next message. None if there are no more.
    pub fn receive(&self) -> io::Result<Option<WakeUp>> {
        let mut text = [0; LONGEST];
        let mut parts = [IoSliceMut::new(&mut text)];
        // The buffer only fits the credentials, so the kernel closes descriptors that come with a message.
        let mut control = nix::cmsg_space!(UnixCredentials);
        let received = loop {
            match recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC) {
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                received => break received?,
            }
        };
        let sender = received.cmsgs().ok().and_then(|mut all| {
            all.find_map(|control| match control {
                ControlMessageOwned::ScmCredentials(credentials) => Some(credentials.uid()),
                _ => None,
            })
        });
        let length = received.bytes;
        let user = String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned();
        Ok(Some(WakeUp { sender, user }))
    }
}

impl AsFd for WakeSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for WakeSocket {
    fn drop(&mut self) {
        let there = fs::symlink_metadata(&self.path).map(|there| (there.dev(), there.ino()));
        if there.is_ok_and(|there| there == self.identity) {
            // Nothing can be done about a run directory that became read-only.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Notifies the daemon whose socket has this path. Never blocks. Without a daemon, or if its queue is full, no message is sent.
pub fn wake(path: &Path, user: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to(user.as_bytes(), path).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{ControlMessage, UnixAddr, sendmsg};
    use std::io::{IoSlice, Read as _};
    use std::os::unix::fs::PermissionsExt;

    fn sender() -> Option<u32> {
        Some(nix::unistd::getuid().as_raw())
    }

    #[test]
    fn a_message_arrives_with_the_senders_user_id() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wake");
        let socket = WakeSocket::bind(&SingleThreaded::for_tests(), &path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        assert_eq!(socket.receive().unwrap(), None);
        wake(&path, "alice").unwrap();
        assert_eq!(socket.receive().unwrap(), Some(WakeUp { sender: sender(), user: "alice".to_owned() }));
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_sender_never_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wake");
        assert!(wake(&path, "alice").is_err(), "no daemon");
        fs::write(&path, "").unwrap();
        assert!(wake(&path, "alice").is_err(), "no socket");
        assert!(
            WakeSocket::bind(&SingleThreaded::for_tests(), &path).is_err(),
            "and nothing of somebody else's is removed"
        );
        fs::remove_file(&path).unwrap();
        let _socket = WakeSocket::bind(&SingleThreaded::for_tests(), &path).unwrap();
        // Until the queue is full.
        while wake(&path, "alice").is_ok() {}
    }

    #[test]
    fn the_socket_of_an_earlier_daemon_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wake");
        let first = WakeSocket::bind(&SingleThreaded::for_tests(), &path).unwrap();
        let second = WakeSocket::bind(&SingleThreaded::for_tests(), &path).unwrap();
        drop(first);
        wake(&path, "alice").unwrap();
        assert!(second.receive().unwrap().is_some());
    }

    #[test]
    fn descriptors_that_come_with_a_message_are_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wake");
        let socket = WakeSocket::bind(&SingleThreaded::for_tests(), &path).unwrap();
        let other = UnixDatagram::unbound().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let (address, descriptors) = (UnixAddr::new(&path).unwrap(), [writer.as_raw_fd()]);
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let text = [IoSlice::new(b"alice")];
        sendmsg(other.as_raw_fd(), &text, &rights, MsgFlags::empty(), Some(&address)).unwrap();
        drop(writer);
        assert_eq!(socket.receive().unwrap().map(|message| message.sender), Some(None));
        // Nobody has the writing end any more.
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }
}
