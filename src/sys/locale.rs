//! The locale that the daemon was started in: only the name of its character set, for the heads of mails.

use super::contract::SingleThreaded;
use std::ffi::CStr;

/// The character set of the locale in our environment, in libc's words (`UTF-8`, `ANSI_X3.4-1968`).
///
/// The locale itself stays "C".
pub fn charset(_threads: &SingleThreaded) -> String {
    // SAFETY: one thread, so nobody reads the locale meanwhile; nl_langinfo's string is copied before the locale is changed back.
    unsafe {
        libc::setlocale(libc::LC_CTYPE, c"".as_ptr());
        let name = libc::nl_langinfo(libc::CODESET);
        let copy = if name.is_null() { String::new() } else { CStr::from_ptr(name).to_string_lossy().into_owned() };
        libc::setlocale(libc::LC_CTYPE, c"C".as_ptr());
        copy
    }
}
