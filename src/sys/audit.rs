//! Records for the kernel's audit trail, as libaudit writes them: one netlink message each.

use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sendto, socket};
use std::io;
use std::os::fd::AsRawFd;

/// The type of a record. The numbers are those of linux/audit.h and libaudit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// A user started something, or was refused.
    Start = 1105,
    /// A user asked for another SELinux role or range.
    RoleChange = 2300,
}

/// struct nlmsghdr: length, type, flags, sequence number, port.
const HEADER: u32 = 16;
const REQUEST: u16 = 1;

/// Writes a record about a refused action. This needs CAP_AUDIT_WRITE.
pub fn refused(kind: Kind, what: &str) -> io::Result<()> {
    if !cfg!(feature = "audit") {
        return Ok(());
    }
    let exe = std::env::current_exe().unwrap_or_default();
    let text = format!("{what} exe=\"{}\" hostname=? addr=? terminal=? res=failed\0", exe.display());
    let length = u32::try_from(text.len()).map_err(io::Error::other)?.saturating_add(HEADER);
    let mut message = Vec::with_capacity(text.len() + 16);
    message.extend(length.to_ne_bytes());
    message.extend((kind as u16).to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(text.as_bytes());
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let to_audit = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkAudit)?;
    sendto(to_audit.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::MSG_DONTWAIT)?;
    Ok(())
}
