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
