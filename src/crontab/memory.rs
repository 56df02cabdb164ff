//! Allocations that fail with an error: a table that does not fit into memory must not end the daemon.

/// There is not enough memory for what has to be kept of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("out of memory")]
pub struct OutOfMemory;

impl From<std::collections::TryReserveError> for OutOfMemory {
    fn from(_: std::collections::TryReserveError) -> OutOfMemory {
        OutOfMemory
    }
}

/// Like `extend_from_slice`, except that a failed allocation is an error.
pub(super) fn append(to: &mut Vec<u8>, bytes: &[u8]) -> Result<(), OutOfMemory> {
    reserve(to, bytes.len())?;
    to.extend_from_slice(bytes);
    Ok(())
}

/// Like `push`, except that a failed allocation is an error.
pub(super) fn push<T>(to: &mut Vec<T>, item: T) -> Result<(), OutOfMemory> {
    reserve(to, 1)?;
    to.push(item);
    Ok(())
}

/// Allocations of fewer bytes are made without checking the headroom.
const LARGE: usize = 1 << 20;
/// Bytes that stay free: the small allocations of a parser, each bounded, cannot fail singly.
const HEADROOM: usize = 8 << 20;

/// Reserves memory for more items. What is large grows by an eighth, not to the double, and leaves the headroom free.
fn reserve<T>(to: &mut Vec<T>, more: usize) -> Result<(), OutOfMemory> {
    if to.capacity() - to.len() >= more {
        return Ok(());
    }
    if to.capacity() * size_of::<T>() < LARGE {
        return Ok(to.try_reserve(more)?);
    }
    to.try_reserve_exact(more.max(to.len() / 8))?;
    require(HEADROOM)
}

/// Fails if this many bytes cannot be allocated: because of a limit of the process (RLIMIT_AS) or the kernel's accounting
/// (vm.overcommit_memory=2). They are given back at once and never written to.
fn require(bytes: usize) -> Result<(), OutOfMemory> {
    let mut free: Vec<u8> = Vec::new();
    free.try_reserve_exact(bytes)?;
    // The compiler may leave out an allocation that nothing uses.
    std::hint::black_box(&free);
    Ok(())
}

/// Accounts for small allocations that cannot fail by themselves, and fails in their place.
#[derive(Debug)]
pub(super) struct SmallAllocations {
    /// Bytes that may be allocated before the headroom is checked again.
    unchecked: usize,
}

impl Default for SmallAllocations {
    fn default() -> SmallAllocations {
        SmallAllocations { unchecked: LARGE }
    }
}

impl SmallAllocations {
    /// Has the headroom checked before the next allocation, after a large one.
    pub fn recheck(&mut self) {
        self.unchecked = 0;
    }

    /// To be called before this many bytes are allocated.
    ///
    /// # Errors [`OutOfMemory`] if they and the headroom are not available.
    pub fn announce(&mut self, bytes: usize) -> Result<(), OutOfMemory> {
        match self.unchecked.checked_sub(bytes) {
            Some(rest) => self.unchecked = rest,
            None => {
                require(HEADROOM.saturating_add(bytes))?;
                self.unchecked = LARGE;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_allocations_are_checked_together_and_large_ones_at_once() {
        let mut small = SmallAllocations::default();
        assert_eq!(small.announce(LARGE), Ok(()));
        assert_eq!(small.unchecked, 0);
        assert_eq!(small.announce(1), Ok(()));
        assert_eq!(small.unchecked, LARGE);
        assert_eq!(small.announce(usize::MAX), Err(OutOfMemory));
    }
}
