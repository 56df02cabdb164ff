//! Whose the socket at the other end of a TCP connection on this machine is (sock_diag(7)).

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

/// `SOCK_DIAG_BY_FAMILY` of linux/sock_diag.h.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST` of linux/netlink.h.
const REQUEST: u16 = 1;
/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Length of `struct inet_diag_req_v2` (linux/inet_diag.h).
const QUERY: usize = 56;
/// Where `struct inet_diag_msg` has the uid and the inode.
const UID: usize = HEADER + 64;
const INODE: usize = HEADER + 68;
/// `INET_DIAG_NOCOOKIE`: the socket is meant by its addresses alone.
const NO_COOKIE: [u8; 8] = [0xff; 8];

/// The user id of the client's socket of a TCP connection between two addresses of this machine. None: there is no such socket any more, or
/// no process has it open; the kernel then shows the uid 0, which means nothing.
///
/// # Errors
///
/// The kernel cannot be asked.
pub fn uid_of_client(client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let netlink = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkSockDiag)?;
    send(netlink.as_raw_fd(), &query(client, server), MsgFlags::empty())?;
    // The kernel has answered before `send` returns.
    let mut reply = [0; 1024];
    let length = recv(netlink.as_raw_fd(), &mut reply, MsgFlags::empty())?;
    Ok(owner_in(reply.get(..length).unwrap_or_default()))
}

/// A question for the socket with these addresses, as its owner has them.
fn query(own: SocketAddr, other: SocketAddr) -> Vec<u8> {
    let family = if own.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut bytes = Vec::with_capacity(HEADER + QUERY);
    bytes.extend(((HEADER + QUERY) as u32).to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    bytes.extend([0; 8]); // sequence number, port of the sender
    bytes.extend([family as u8, libc::IPPROTO_TCP as u8, 0, 0]); // no further attributes
    bytes.extend(u32::MAX.to_ne_bytes()); // in any state
    bytes.extend(own.port().to_be_bytes());
    bytes.extend(other.port().to_be_bytes());
    bytes.extend(octets(own.ip()));
    bytes.extend(octets(other.ip()));
    bytes.extend([0; 4]); // any interface
    bytes.extend(NO_COOKIE);
    bytes
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(address) => address.octets(),
    }
}

/// The uid in a reply.
fn owner_in(reply: &[u8]) -> Option<u32> {
    let number = |at: usize| Some(u32::from_ne_bytes(reply.get(at..at + 4)?.try_into().ok()?));
    let kind = u16::from_ne_bytes(reply.get(4..6)?.try_into().ok()?);
    // A socket that no process has open has no inode. That includes TIME_WAIT.
    (kind == BY_FAMILY && number(INODE)? != 0).then(|| number(UID)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Shutdown, TcpListener, TcpStream};

    #[test]
    fn the_owner_of_a_clients_socket_is_known_while_a_process_has_it() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, peer) = listener.accept().unwrap();
            let own = server.local_addr().unwrap();
            assert_eq!(uid_of_client(peer, own).unwrap(), Some(nix::unistd::geteuid().as_raw()), "{address}");
            client.shutdown(Shutdown::Write).unwrap();
            assert_eq!(uid_of_client(peer, own).unwrap(), Some(nix::unistd::geteuid().as_raw()), "{address}");
            drop(client);
            assert_eq!(uid_of_client(peer, own).unwrap(), None, "{address}");
        }
        let nobody: SocketAddr = "127.0.0.1:1".parse().unwrap();
        assert_eq!(uid_of_client(nobody, nobody).unwrap(), None);
    }
}
