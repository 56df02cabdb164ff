//! Memory of this process: trimming the heap, and checking whether an allocation is possible.

use std::io;

/// Returns free heap memory to the kernel, including whole pages between blocks that are in use. Useful before a long wait, after
/// much has been read of which most is freed.
pub fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes an integer, locks the heap itself and does not touch memory in use.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Whether so many bytes can be allocated now: asks the kernel for them and gives them back untouched. The allocator is not asked,
/// since it would treat all later allocations of that size differently.
///
/// # Errors
/// [`io::ErrorKind::OutOfMemory`] if a limit of the process or the kernel's accounting does not allow it.
pub fn reserve(bytes: usize) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping wherever the kernel wants it, of which nobody else knows.
    let place = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, kind, -1, 0) };
    if place == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: that mapping as a whole, which nobody has used.
    match unsafe { libc::munmap(place, bytes) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::allocator_tests;

    #[test]
    fn the_allocator_of_the_tests_fails_where_it_is_told_to_and_nowhere_else() {
        let reserve = |bytes: usize| Vec::<u8>::new().try_reserve_exact(bytes).is_ok();
        let results = allocator_tests::failing(2, 1000, || [reserve(1000), reserve(10), reserve(1000), reserve(1000)]);
        assert_eq!(results, [true, true, false, true]);
        assert_eq!(allocator_tests::without_large(1000, || [reserve(999), reserve(1000)]), [true, false]);
        assert!(reserve(1000));
    }

    #[test]
    fn memory_that_nobody_has_is_an_error_and_no_abort() {
        assert!(reserve(0).is_ok() && reserve(64 << 20).is_ok());
        assert_eq!(reserve(1 << 60).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
    }
}
