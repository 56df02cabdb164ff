//! Shared libraries that are loaded at run time, so that the program builds and works on systems without them.

use std::ffi::{CStr, c_void};

/// A loaded library. It stays loaded as long as the process lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Library(*mut c_void);

impl Library {
    /// Loads a library by name. None if the system does not have it.
    pub(super) fn open(name: &CStr) -> Option<Library> {
        // SAFETY: a string that ends with NUL; the initialisers are those of the system's own library.
        let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        (!library.is_null()).then_some(Library(library))
    }

    /// The address of a symbol, never null. None if the library does not have it.
    pub(super) fn find(self, name: &CStr) -> Option<*mut c_void> {
        // SAFETY: a library that is open, and a string that ends with NUL.
        let found = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        (!found.is_null()).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_none() {
        let libc = Library::open(c"libc.so.6").unwrap();
        assert!(libc.find(c"getpid").is_some());
        assert!(libc.find(c"no_such_function_here").is_none());
        assert!(Library::open(c"no-such-library.so.0").is_none());
    }
}
