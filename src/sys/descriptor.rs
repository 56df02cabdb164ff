//! Descriptors: pipes and socket pairs, non-blocking reads and writes, and closing of descriptors that are not needed.

use super::contract::{FreshChild, ProgramStart};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A pipe, closed on exec: the end to read, the end to write.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?)
}

/// Two connected sockets that carry a stream of bytes, closed on exec, not blocking.
pub fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socketpair(AddressFamily::Unix, SockType::Stream, None, flags)?)
}

/// Two connected sockets that can transfer descriptors, closed on exec. They are streams, since hundreds of requests may wait in one, while
/// the kernel queues no more than ten packets (net.unix.max_dgram_qlen).
pub fn request_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    Ok(socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Sends descriptors together with one byte to the process at the other end of a [`request_pair`], without blocking.
pub fn send_descriptors(socket: BorrowedFd<'_>, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
    let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    let rights = [ControlMessage::ScmRights(&numbers)];
    sendmsg::<()>(socket.as_raw_fd(), &[io::IoSlice::new(&[0])], &rights, flags, None)?;
    Ok(())
}

/// Waits for the descriptors of one request from the other end, closed on exec; none when that end is closed.
pub fn receive_descriptors(socket: BorrowedFd<'_>) -> io::Result<Option<Vec<OwnedFd>>> {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    let mut byte = [0];
    let mut room = [io::IoSliceMut::new(&mut byte)];
    let mut control = nix::cmsg_space!([RawFd; 8]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = loop {
        match recvmsg::<()>(socket.as_raw_fd(), &mut room, Some(&mut control), flags) {
            Err(nix::errno::Errno::EINTR) => {}
            received => break received?,
        }
    };
    if message.bytes == 0 {
        return Ok(None);
    }
    let mut descriptors = Vec::new();
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = part {
            // SAFETY: descriptors that the kernel has just made for us and that nobody else knows.
            descriptors.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    Ok(Some(descriptors))
}

/// What a descriptor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// There is something to read, or the other end is closed.
    Readable,
    /// The descriptor takes bytes without blocking.
    Writable,
}

/// Waits until the descriptor is ready.
pub fn wait_for(descriptor: BorrowedFd<'_>, readiness: Readiness) -> io::Result<()> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let flags = match readiness {
        Readiness::Readable => PollFlags::POLLIN,
        Readiness::Writable => PollFlags::POLLOUT,
    };
    match poll(&mut [PollFd::new(descriptor, flags)], PollTimeout::NONE) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Waits at most that many milliseconds until the descriptor is readable.
pub fn wait_until(descriptor: BorrowedFd<'_>, at_most_ms: i64) -> io::Result<()> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let timeout = PollTimeout::try_from(at_most_ms.max(0)).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(descriptor, PollFlags::POLLIN)], timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Makes reads and writes return [`io::ErrorKind::WouldBlock`] instead of blocking, or the reverse.
pub fn set_nonblocking(descriptor: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let mut flags = OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_NONBLOCK, nonblocking);
    fcntl(descriptor, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

/// Reads available bytes. 0 means the end.
pub fn read(descriptor: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    Ok(nix::unistd::read(descriptor, into)?)
}

/// Writes as many bytes as fit, with one system call.
pub fn write(descriptor: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(nix::unistd::write(descriptor, bytes)?)
}

/// Writes as much of these pieces as fits to a socket. A peer that is gone is an error and no signal.
pub fn send(socket: BorrowedFd<'_>, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
    use nix::sys::socket::{MsgFlags, sendmsg};
    Ok(sendmsg::<()>(socket.as_raw_fd(), pieces, &[], MsgFlags::MSG_NOSIGNAL, None)?)
}

/// Opens /dev/null to write to it.
pub fn dev_null() -> io::Result<OwnedFd> {
    Ok(std::fs::OpenOptions::new().write(true).open("/dev/null")?.into())
}

/// Closes the sending direction of a connected socket. The peer reads the end.
pub fn shut_down_writing(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(nix::sys::socket::shutdown(socket.as_raw_fd(), nix::sys::socket::Shutdown::Write)?)
}

/// Closes both directions of a connected socket, also for threads that wait for it. The peer reads what was sent, and then the end.
pub fn shut_down(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(nix::sys::socket::shutdown(socket.as_raw_fd(), nix::sys::socket::Shutdown::Both)?)
}

/// Duplicates `descriptor` as `number`, which stays open on exec. Whatever had this number before is closed.
pub fn duplicate_to(_child: &FreshChild, descriptor: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: takes integers only. In a fresh child no descriptor of its parent has an owner that is used again.
    let done = unsafe {
        if descriptor.as_raw_fd() == number {
            libc::fcntl(number, libc::F_SETFD, 0)
        } else {
            libc::dup2(descriptor.as_raw_fd(), number)
        }
    };
    if done == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Closes every descriptor from `first` on, except those in `but`.
///
/// It allocates nothing, since a fresh child pays for every page that it writes to.
pub fn close_from(child: &FreshChild, first: RawFd, but: &[BorrowedFd<'_>]) -> io::Result<()> {
    let kept_from =
        |from| but.iter().map(|kept| kept.as_raw_fd().unsigned_abs()).filter(|&number| number >= from).min();
    let mut from = first.unsigned_abs();
    while let Some(kept) = kept_from(from) {
        if from < kept {
            close_range(Unused::in_child(child), from, kept - 1, 0)?;
        }
        from = kept + 1;
    }
    close_range(Unused::in_child(child), from, u32::MAX, 0)
}

/// Proves that nothing in this process uses descriptors above 2 again, except those that the child itself keeps.
#[derive(Clone, Copy)]
pub(super) struct Unused(());

impl Unused {
    /// In a child that has just been forked.
    fn in_child(_child: &FreshChild) -> Unused {
        Unused(())
    }

    /// At the start of main.
    pub(super) fn at_start(_start: &ProgramStart) -> Unused {
        Unused(())
    }
}

/// Closes the descriptors from `first` to `last`, or with `CLOSE_RANGE_CLOEXEC` has exec close them.
pub(super) fn close_range(_unused: Unused, first: u32, last: u32, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: takes integers only; by the token the process uses none of these descriptors again.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } == 0 {
        return Ok(());
    }
    // Kernels before 5.9 (5.11 for the flag) lack the call. /proc lists the open descriptors, which is faster than trying all numbers below
    // a limit of 2^30.
    let listed: Vec<u32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for number in listed.into_iter().filter(|number| (first..=last).contains(number)) {
        // SAFETY: as above; one that is closed already is refused.
        unsafe {
            match flags {
                libc::CLOSE_RANGE_CLOEXEC => libc::fcntl(number as RawFd, libc::F_SETFD, libc::FD_CLOEXEC),
                _ => libc::close(number as RawFd),
            }
        };
    }
    Ok(())
}

/// A standard stream of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StandardStream {
    /// Standard input.
    Input,
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// A standard stream of this process.
pub fn standard(stream: StandardStream) -> BorrowedFd<'static> {
    let number = match stream {
        StandardStream::Input => 0,
        StandardStream::Output => 1,
        StandardStream::Error => 2,
    };
    // SAFETY: 0, 1 and 2 are open from the start to the end of every program of this package.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// Whether a write of up to a page would not block now.
pub fn takes_output(descriptor: BorrowedFd<'_>) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut asked = [PollFd::new(descriptor, PollFlags::POLLOUT)];
    poll(&mut asked, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
