//! The allocator of the unit tests, which fails when a test asks for it: in the thread of the test only.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static ALLOCATOR: Failing = Failing;

struct Failing;

/// Which allocations of a thread fail.
#[derive(Clone, Copy)]
struct Plan {
    /// Only those of at least so many bytes count.
    least: usize,
    /// Allocations that succeed first.
    before: usize,
    /// Allocations that fail after those.
    failures: usize,
}

const NONE: Plan = Plan { least: usize::MAX, before: 0, failures: 0 };

thread_local! {
    // Without a destructor, so that it can be used as long as the thread allocates.
    static PLAN: Cell<Plan> = const { Cell::new(NONE) };
}

fn fails(bytes: usize) -> bool {
    let plan = PLAN.get();
    if bytes < plan.least || plan.failures == 0 {
        return false;
    }
    if plan.before > 0 {
        PLAN.set(Plan { before: plan.before - 1, ..plan });
        return false;
    }
    PLAN.set(Plan { failures: plan.failures - 1, ..plan });
    true
}

// SAFETY: every call is passed on to the system's allocator as it is, or fails, which any allocation may.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of this function.
        if fails(layout.size()) { std::ptr::null_mut() } else { unsafe { System.alloc(layout) } }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of this function.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The system's allocator makes a block smaller where it is, which does not fail.
        let is_larger = size > layout.size();
        // SAFETY: the caller keeps the contract of this function.
        if is_larger && fails(size) { std::ptr::null_mut() } else { unsafe { System.realloc(place, layout, size) } }
    }
}

/// Restores the allocator, also when the test panics.
struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        PLAN.set(NONE);
    }
}

fn with<T>(plan: Plan, act: impl FnOnce() -> T) -> T {
    PLAN.set(plan);
    let _restore = Restore;
    act()
}

/// How many allocations of at least `least` bytes something makes.
pub(crate) fn count<T>(least: usize, act: impl FnOnce() -> T) -> usize {
    let count = || {
        act();
        usize::MAX - PLAN.get().before
    };
    with(Plan { least, before: usize::MAX, failures: 1 }, count)
}

/// Does something while the allocation of this number, counted from 1, among those of at least `least` bytes fails.
pub(crate) fn failing<T>(number: usize, least: usize, act: impl FnOnce() -> T) -> T {
    with(Plan { least, before: number - 1, failures: 1 }, act)
}

/// Does something while no allocation of at least `least` bytes succeeds.
pub(crate) fn without_large<T>(least: usize, act: impl FnOnce() -> T) -> T {
    with(Plan { least, before: 0, failures: usize::MAX }, act)
}
