//! The size of a terminal.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Characters in a row, at least 1.
    pub columns: u16,
    /// Rows on the screen, at least 1.
    pub rows: u16,
}

/// The number of columns of the terminal on standard output. None if it is not a terminal or its size is unknown.
pub fn columns() -> Option<u16> {
    window(std::io::stdout()).map(|size| size.ws_col).filter(|columns| *columns > 0)
}

/// The size of a terminal. None if it is not a terminal or its size is unknown.
pub fn size(fd: impl AsFd) -> Option<Size> {
    let size = window(fd)?;
    (size.ws_col > 0 && size.ws_row > 0).then_some(Size { columns: size.ws_col, rows: size.ws_row })
}

fn window(fd: impl AsFd) -> Option<libc::winsize> {
    let mut size = MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: TIOCGWINSZ writes one winsize, which the pointer leads to and for which all-zero bytes are valid.
    unsafe {
        match libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCGWINSZ, size.as_mut_ptr()) {
            0 => Some(size.assume_init()),
            _ => None,
        }
    }
}
