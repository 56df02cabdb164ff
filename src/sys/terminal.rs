//! The terminal on standard output.

use std::mem::MaybeUninit;

/// The number of columns. None if standard output is not a terminal or its size is unknown.
pub fn columns() -> Option<u16> {
    let mut size = MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: TIOCGWINSZ writes one winsize, which the pointer leads to and for which all-zero bytes are valid.
    let size = unsafe {
        match libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, size.as_mut_ptr()) {
            0 => size.assume_init(),
            _ => return None,
        }
    };
    (size.ws_col > 0).then_some(size.ws_col)
}
