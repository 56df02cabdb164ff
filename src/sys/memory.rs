//! Memory that was needed for a while.

use std::ffi::{c_int, c_void};
use std::io;
use std::ptr::{with_exposed_provenance, without_provenance_mut};

const PAGE: usize = 4 << 10;

/// Gives back all that a start has needed and waiting does not. For the first thread of a process that will wait for long.
pub fn settle() {
    give_back();
    give_back_program();
    give_back_stack();
}

/// Gives the memory that is free, but not yet the kernel's again, back to it: whole pages between what is still in use,
/// too. Worth its time after much has been read, in pieces of which most are gone.
pub fn give_back() {
    // SAFETY: it takes a number and moves nothing that is in use.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Whether so many bytes can be allocated now: asks the kernel for them and gives them back untouched. The allocator is not asked,
/// since it would treat all later allocations of that size differently.
///
/// # Errors
/// [`io::ErrorKind::OutOfMemory`] when a limit of the process or the kernel's own accounting stands against it.
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

/// Gives the pages of the stack that lie below where it stands now back to the kernel: calls that went deeper have left
/// them, and whoever goes there again gets new ones. For the first thread of a process.
pub fn give_back_stack() {
    /// The frames of this call and of what it calls.
    const IN_USE: usize = 4 << 10;
    const DEEPEST: usize = 256 << 10;
    let here = 0_u8;
    let top = ((&raw const here).addr() - IN_USE) & !(PAGE - 1);
    let bottom = without_provenance_mut(top - DEEPEST);
    // SAFETY: nothing below the stack pointer is in use but the frames of this call, which IN_USE leaves alone, and the kernel keeps
    // other mappings a megabyte away from the stack. Where the stack does not reach, or pages are larger, nothing is done.
    unsafe { libc::madvise(bottom, DEEPEST, libc::MADV_DONTNEED) };
}

/// Lets go of the program and its libraries as far as they are in memory: what is used again comes back from the page cache, a few pages at
/// a time, and what only a start needs stays away.
fn give_back_program() {
    // SAFETY: `give_back_object` is what dl_iterate_phdr(3) wants; it uses no data.
    unsafe { libc::dl_iterate_phdr(Some(give_back_object), std::ptr::null_mut()) };
}

unsafe extern "C" fn give_back_object(object: *mut libc::dl_phdr_info, _: usize, _: *mut c_void) -> c_int {
    // SAFETY: the linker gives a live description of an object, with a live list of its segments.
    let (base, segments) = unsafe {
        let object = &*object;
        (object.dlpi_addr as usize, std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()))
    };
    let dynamic = segments.iter().find(|segment| segment.p_type == libc::PT_DYNAMIC);
    let dynamic = dynamic.map(|segment| with_exposed_provenance(base.wrapping_add(segment.p_vaddr as usize)));
    // SAFETY: the object's own list, where its segment says that it is.
    if dynamic.is_none_or(|list| unsafe { is_relocated_everywhere(list) }) {
        return 0;
    }
    for segment in segments.iter().filter(|one| one.p_type == libc::PT_LOAD && one.p_flags & libc::PF_W == 0) {
        let (from, length) = (base.wrapping_add(segment.p_vaddr as usize), segment.p_filesz as usize);
        let start = from & !(PAGE - 1);
        // SAFETY: a private mapping of a file, to which nobody may write and the linker has not written: what is dropped is read
        // again when it is touched, by whichever thread. Where pages are larger, the kernel refuses.
        unsafe { libc::madvise(without_provenance_mut(start), from - start + length, libc::MADV_DONTNEED) };
    }
    0
}

/// Whether the linker has written to segments that are not to be written to (elf(5), `DT_TEXTREL`).
///
/// # Safety
/// A list of pairs that ends with a zero.
unsafe fn is_relocated_everywhere(mut list: *const [usize; 2]) -> bool {
    const END: usize = 0;
    const TEXTREL: usize = 22;
    const FLAGS: usize = 30;
    const FLAG_TEXTREL: usize = 4;
    loop {
        // SAFETY: not beyond the end.
        let [tag, value] = unsafe { *list };
        match tag {
            END => return false,
            TEXTREL => return true,
            FLAGS if value & FLAG_TEXTREL != 0 => return true,
            // SAFETY: that was not the last.
            _ => list = unsafe { list.add(1) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process;
    use std::os::unix::fs::FileExt;

    /// Leaves something on the stack far below its caller's frame.
    #[inline(never)]
    fn goes_deep(with: u8) -> usize {
        let much = [with; 100 << 10];
        std::hint::black_box(&much).iter().map(|byte| usize::from(*byte)).sum()
    }

    /// Kilobytes of files that are in our memory.
    fn of_files() -> u64 {
        let counts = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let count = |name| {
            let rest = counts.split_once(name).unwrap().1;
            rest.split_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        count("\nRss:") - count("\nAnonymous:")
    }

    #[test]
    fn a_process_goes_on_with_less_of_its_program_in_memory() {
        // Alone: the other tests' threads need theirs.
        let child = process::fork(|| {
            // Reading them there brings them into memory, like running them.
            let (much, here) = (&mut vec![0; 512 << 10], settle as fn() as usize as u64);
            let near = here - 256 * 1024;
            std::fs::File::open("/proc/self/mem").unwrap().read_exact_at(much, near).unwrap();
            let before = of_files();
            settle();
            i32::from(of_files() >= before)
        });
        assert_eq!(process::wait(child.unwrap()).unwrap(), process::Status::Code(0));
    }

    #[test]
    fn memory_that_nobody_has_is_an_error_and_no_abort() {
        assert!(reserve(0).is_ok() && reserve(64 << 20).is_ok());
        assert_eq!(reserve(1 << 60).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
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
