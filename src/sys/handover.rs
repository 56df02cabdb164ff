//! Passes descriptors to the program that is executed in the place of this one.

use super::contract::{ProgramStart, SingleThreaded};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Keeps a descriptor open on exec, and returns the number under which the next program finds it.
pub fn keep_on_exec(descriptor: BorrowedFd<'_>) -> io::Result<RawFd> {
    fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(descriptor.as_raw_fd())
}

/// Makes exec close the descriptor again.
pub fn close_on_exec(descriptor: BorrowedFd<'_>) -> io::Result<()> {
    fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok(())
}

/// Takes over descriptors that the previous program kept open, and makes exec close them. None if one is not open, listed twice, a
/// standard stream or taken already; then no descriptor is taken.
pub fn take(start: &ProgramStart, numbers: &[RawFd]) -> Option<Vec<OwnedFd>> {
    let is_twice = |index: usize, number: &RawFd| numbers.iter().skip(index + 1).any(|other| other == number);
    if numbers.iter().enumerate().any(|(index, number)| *number <= 2 || is_twice(index, number)) {
        return None;
    }
    if start.has_owner(numbers) {
        return None;
    }
    // SAFETY: fcntl takes integers only, and refuses a number that is not open. Only after all have passed they are owned: each is open,
    // different from the others, and has no owner yet: FD_CLOEXEC is not set, and this program sets it on everything that it opens, so that the
    // descriptor has come over exec; and the program has not taken it before.
    unsafe {
        if numbers.iter().any(|number| libc::fcntl(*number, libc::F_GETFD) != 0)
            || numbers.iter().any(|number| libc::fcntl(*number, libc::F_SETFD, libc::FD_CLOEXEC) == -1)
        {
            return None;
        }
        start.note_owner(numbers);
        Some(numbers.iter().map(|number| OwnedFd::from_raw_fd(*number)).collect())
    }
}

/// Removes a variable from the environment and returns its value.
pub fn take_variable(_threads: &SingleThreaded, name: impl AsRef<OsStr>) -> Option<OsString> {
    let name = name.as_ref();
    let value = std::env::var_os(name)?;
    // SAFETY: there is no other thread that could read the environment meanwhile.
    unsafe { std::env::remove_var(name) };
    Some(value)
}

/// A file in memory without a name, closed on exec.
pub fn memory_file() -> io::Result<File> {
    Ok(memfd_create(c"cronwheel", MFdFlags::MFD_CLOEXEC)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd, IntoRawFd};
    use std::os::unix::fs::FileExt;

    #[test]
    fn what_is_not_open_or_named_twice_is_not_taken() {
        let file = memory_file().unwrap();
        file.write_all_at(b"kept", 0).unwrap();
        let owned = memory_file().unwrap();
        let number = keep_on_exec(file.as_fd()).unwrap();
        let start = ProgramStart::for_tests();
        assert!(
            take(&start, &[number, number]).is_none()
                && take(&start, &[1]).is_none()
                && take(&start, &[number, i32::MAX]).is_none()
                && take(&start, &[owned.as_raw_fd()]).is_none(),
            "what this program has opened stays with its owner"
        );
        let taken = take(&start, &[file.into_raw_fd()]).unwrap();
        let mut bytes = [0; 4];
        File::from(taken.into_iter().next().unwrap()).read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"kept");
    }
}
