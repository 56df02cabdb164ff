//! Memory that was needed for a while.

/// Gives the memory that is free, but not yet the kernel's again, back to it: whole pages between what is still in use,
/// too. Worth its time after much has been read, in pieces of which most are gone.
pub fn give_back() {
    // SAFETY: it takes a number and moves nothing that is in use.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Gives the pages of the stack that lie below where it stands now back to the kernel: calls that went deeper have left
/// them, and whoever goes there again gets new ones. For the first thread of a process, and the only one.
pub fn give_back_stack() {
    /// The frames of this call and of what it calls.
    const IN_USE: usize = 16 << 10;
    const DEEPEST: usize = 256 << 10;
    const PAGE: usize = 4 << 10;
    let here = 0_u8;
    let top = ((&raw const here).addr() - IN_USE) & !(PAGE - 1);
    let bottom = std::ptr::without_provenance_mut(top - DEEPEST);
    // SAFETY: nothing below the stack pointer is in use but the frames of this call, which IN_USE leaves alone, and the kernel keeps
    // other mappings a megabyte away from the stack. Where the stack does not reach, or pages are larger, nothing is done.
    unsafe { libc::madvise(bottom, DEEPEST, libc::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Leaves something on the stack far below its caller's frame.
    #[inline(never)]
    fn goes_deep(with: u8) -> usize {
        let much = [with; 100 << 10];
        std::hint::black_box(&much).iter().map(|byte| usize::from(*byte)).sum()
    }

    #[test]
    fn what_stands_on_the_stack_stays_and_it_can_go_deep_again() {
        let ours = std::hint::black_box([7_u8; 4096]);
        let before = goes_deep(1);
        give_back_stack();
        assert_eq!((before, goes_deep(2)), (100 << 10, 200 << 10));
        assert!(ours.iter().all(|byte| *byte == 7));
    }
}
