//! Repeats calls without which a process cannot continue, while the kernel is short of memory or descriptors.

use std::io;
use std::time::Duration;

/// How often a call is made, and the pause before each repetition: a second in all.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Makes a call without which the process cannot continue. Repeats it for a second while the kernel is short of something, such as memory.
///
/// # Errors
///
/// At once, if the error is an answer (it would block, it was interrupted, the other side is gone) or a mistake of the caller. Else the
/// last error.
pub fn retry_on_shortage<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 1..TRIES {
        match call() {
            Err(error) if is_shortage(&error) => std::thread::sleep(PAUSE),
            result => return result,
        }
    }
    call()
}

fn is_shortage(error: &io::Error) -> bool {
    match error.raw_os_error() {
        Some(number) => matches!(
            number,
            libc::ENOMEM | libc::ENOBUFS | libc::EMFILE | libc::ENFILE | libc::ENOSPC | libc::EIO | libc::EACCES
        ),
        None => error.kind() == io::ErrorKind::OutOfMemory,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_is_waited_for_and_an_answer_is_not() {
        let mut errors = vec![libc::ENOMEM, libc::EIO, libc::EMFILE];
        let call =
            |errors: &mut Vec<i32>| errors.pop().map_or(Ok(7), |number| Err(io::Error::from_raw_os_error(number)));
        assert_eq!(retry_on_shortage(|| call(&mut errors)).unwrap(), 7);
        for answer in [libc::EINTR, libc::EAGAIN, libc::EPIPE, libc::ECANCELED, libc::EBADF] {
            let mut errors = vec![answer];
            assert_eq!(retry_on_shortage(|| call(&mut errors)).unwrap_err().raw_os_error(), Some(answer));
        }
        let mut count = 0;
        let lasting = retry_on_shortage::<()>(|| {
            count += 1;
            Err(io::Error::from_raw_os_error(libc::ENOMEM))
        });
        assert_eq!((lasting.unwrap_err().raw_os_error(), count), (Some(libc::ENOMEM), TRIES));
    }
}
