//! The locale of the environment, of which only the character set is used, for the headers of mails.

use super::contract::SingleThreaded;
use std::ffi::CStr;

/// The name of the character set of the environment's locale, as libc has it (`UTF-8`, `ANSI_X3.4-1968`).
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
