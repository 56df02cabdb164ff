//! A file lock that shows whether a process is alive. The lock belongs to the process, so it ends with it and is not inherited by forked
//! children (fcntl(2), F_SETLK).

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use std::fs::File;
use std::io;

/// A lock of this kind (`F_WRLCK`, `F_UNLCK`) on a whole file.
pub(super) fn whole_file(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Takes the lock for this process. False if another process has it. Closing any descriptor of the file releases it.
pub fn take(file: &File) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_SETLK(&whole_file(libc::F_WRLCK))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(why) => Err(why.into()),
    }
}

/// Whether another process has the lock.
pub fn is_held_by_another(file: &File) -> io::Result<bool> {
    let mut asked = whole_file(libc::F_WRLCK);
    fcntl(file, FcntlArg::F_GETLK(&mut asked))?;
    Ok(i32::from(asked.l_type) != libc::F_UNLCK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::contract::alone;
    use crate::sys::descriptor;
    use crate::sys::process;
    use std::os::fd::AsFd;

    #[test]
    fn the_lock_ends_with_its_process_and_is_not_its_childrens() {
        alone(|threads| {
            let file = tempfile::tempfile().unwrap();
            let (hold_read, hold_write) = descriptor::pipe().unwrap();
            let (told_read, told_write) = descriptor::pipe().unwrap();
            // The holder has a child that lives on and still has the file open.
            let holder = process::fork(threads, |_| {
                let taken = take(&file).unwrap_or(false);
                let child = process::fork(threads, |_| {
                    let _ = descriptor::read(hold_read.as_fd(), &mut [0]);
                    0
                });
                let _ = descriptor::write(told_write.as_fd(), &[u8::from(taken && child.is_ok())]);
                let _ = descriptor::read(hold_read.as_fd(), &mut [0]);
                0
            })
            .unwrap();
            let mut told = [0];
            descriptor::read(told_read.as_fd(), &mut told).unwrap();
            assert_eq!(told, [1]);
            assert!(is_held_by_another(&file).unwrap() && !take(&file).unwrap());
            process::signal(holder, process::Ask::Kill).unwrap();
            process::wait(holder).unwrap();
            assert!(!is_held_by_another(&file).unwrap() && take(&file).unwrap());
            descriptor::write(hold_write.as_fd(), &[0]).unwrap();
        });
    }
}
