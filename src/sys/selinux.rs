//! SELinux: the contexts that the policy defines for users, access checks, and the labels of open files.
//!
//! libselinux is loaded at run time, as libpam is, so that the program builds and works on systems without it, and only if the kernel has
//! SELinux.

use super::error::Error;
use super::files;
use super::library::Library;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::ptr::{null, null_mut};

const LIBRARY: &CStr = c"libselinux.so.1";
/// The kernel's switch between enforcing and permissive mode. It exists if the kernel has SELinux.
const SWITCH: &str = "/sys/fs/selinux/enforce";
/// The extended attribute that contains a file's label.
const LABEL: &CStr = c"security.selinux";
const LONGEST_LABEL: usize = 4096;

type IsEnabled = unsafe extern "C" fn() -> c_int;
type UserByName = unsafe extern "C" fn(*const c_char, *mut *mut c_char, *mut *mut c_char) -> c_int;
type ContextOfUser = unsafe extern "C" fn(*const c_char, *const c_char, *const c_char, *mut *mut c_char) -> c_int;
type ContextOfRole =
    unsafe extern "C" fn(*const c_char, *const c_char, *const c_char, *const c_char, *mut *mut c_char) -> c_int;
type ToRaw = unsafe extern "C" fn(*const c_char, *mut *mut c_char) -> c_int;
type GetContext = unsafe extern "C" fn(*mut *mut c_char) -> c_int;
type SetContext = unsafe extern "C" fn(*const c_char) -> c_int;
type CheckAccess =
    unsafe extern "C" fn(*const c_char, *const c_char, *const c_char, *const c_char, *mut c_void) -> c_int;

/// The functions of libselinux, which know the policy of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    is_enabled: IsEnabled,
    user_by_name: UserByName,
    context_of_user: ContextOfUser,
    context_of_role: ContextOfRole,
    to_raw: ToRaw,
    own_context: GetContext,
    previous_context: GetContext,
    set_context_of_exec: SetContext,
    check_access: CheckAccess,
}

fn failed(doing: &'static str) -> Error {
    Error { doing, source: io::Error::last_os_error().into() }
}

/// Whether SELinux is in enforcing mode: what the policy forbids is refused and not only logged.
pub fn is_enforcing() -> bool {
    // If the switch cannot be read, enforcing mode is assumed.
    fs::read(SWITCH).map_or(true, |switch| !switch.starts_with(b"0"))
}

/// Whether the kernel has SELinux, whatever this build or process may do with it.
fn is_in_kernel() -> bool {
    Path::new(SWITCH).exists()
}

impl Policy {
    /// The policy of this machine. None if the kernel has no SELinux, if this is a container that may not query it, or if this build has no
    /// support for it. The library stays loaded as long as the process lives.
    pub fn of_machine() -> Option<Policy> {
        if !cfg!(feature = "selinux") || !is_in_kernel() {
            return None;
        }
        let policy = Policy::open()?;
        // SAFETY: a function without arguments.
        (unsafe { (policy.is_enabled)() } > 0).then_some(policy)
    }

    fn open() -> Option<Policy> {
        let library = Library::open(LIBRARY)?;
        let find = |name| library.find(name);
        // SAFETY: the functions have these types in the headers of libselinux.so.1; none of the pointers is null.
        unsafe {
            Some(Policy {
                is_enabled: std::mem::transmute::<*mut c_void, IsEnabled>(find(c"is_selinux_enabled")?),
                user_by_name: std::mem::transmute::<*mut c_void, UserByName>(find(c"getseuserbyname")?),
                context_of_user: std::mem::transmute::<*mut c_void, ContextOfUser>(find(
                    c"get_default_context_with_level",
                )?),
                context_of_role: std::mem::transmute::<*mut c_void, ContextOfRole>(find(
                    c"get_default_context_with_rolelevel",
                )?),
                to_raw: std::mem::transmute::<*mut c_void, ToRaw>(find(c"selinux_trans_to_raw_context")?),
                own_context: std::mem::transmute::<*mut c_void, GetContext>(find(c"getcon_raw")?),
                previous_context: std::mem::transmute::<*mut c_void, GetContext>(find(c"getprevcon_raw")?),
                set_context_of_exec: std::mem::transmute::<*mut c_void, SetContext>(find(c"setexeccon_raw")?),
                check_access: std::mem::transmute::<*mut c_void, CheckAccess>(find(c"selinux_check_access")?),
            })
        }
    }

    /// The context for jobs of a user.
    pub fn context_of_user(&self, name: &CStr) -> Result<CString, Error> {
        let (mut user, mut level) = (null_mut(), null_mut());
        // SAFETY: a string that ends with NUL, and two places for strings that the library allocates.
        let code = unsafe { (self.user_by_name)(name.as_ptr(), &mut user, &mut level) };
        if code < 0 {
            return Err(failed("getseuserbyname"));
        }
        let (user, level) = (Allocated(user), Allocated(level));
        let mut context = null_mut();
        // SAFETY: strings from the library, a null for "as from our own context", and a place for the answer.
        let code = unsafe { (self.context_of_user)(user.0, level.0, null(), &mut context) };
        self.raw(code, context)
    }

    /// The context for jobs of the system's crontabs, from the user and role of this process.
    pub fn context_of_system(&self) -> Result<CString, Error> {
        let own = self.own_context()?;
        let mut parts = own.as_bytes().split(|byte| *byte == b':');
        let mut part = || CString::new(parts.next().unwrap_or_default()).unwrap_or_default();
        let (user, role) = (part(), part());
        let mut context = null_mut();
        // SAFETY: strings that end with NUL, nulls for "no level" and "as from our own context", and a place for the answer.
        let code = unsafe { (self.context_of_role)(user.as_ptr(), role.as_ptr(), null(), null(), &mut context) };
        self.raw(code, context)
    }

    /// The context of this process.
    pub fn own_context(&self) -> Result<CString, Error> {
        Self::ask(self.own_context, "getcon")
    }

    /// The context of the program that executed this one.
    pub fn callers_context(&self) -> Result<CString, Error> {
        Self::ask(self.previous_context, "getprevcon")
    }

    /// Whether the policy allows `source` this access to `target`. What it forbids is logged, and allowed nevertheless in permissive mode.
    pub fn allows(&self, source: &CStr, target: &CStr, class: &CStr, permission: &CStr) -> bool {
        // SAFETY: strings that end with NUL, and no data for the record.
        let code = unsafe {
            (self.check_access)(source.as_ptr(), target.as_ptr(), class.as_ptr(), permission.as_ptr(), null_mut())
        };
        code == 0
    }

    /// Sets the context of the next program that this process executes.
    pub fn set_context_of_exec(&self, context: &CStr) -> io::Result<()> {
        // SAFETY: a string that ends with NUL.
        let code = unsafe { (self.set_context_of_exec)(context.as_ptr()) };
        if code < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn ask(function: GetContext, doing: &'static str) -> Result<CString, Error> {
        let mut context = null_mut();
        // SAFETY: a place for a string that the library allocates.
        let code = unsafe { function(&mut context) };
        let context = Allocated(context);
        if code < 0 { Err(failed(doing)) } else { context.copy().ok_or_else(|| failed(doing)) }
    }

    /// Translates a context of the library to the kernel's form.
    fn raw(&self, code: c_int, context: *mut c_char) -> Result<CString, Error> {
        let error = failed("finding the default context");
        let context = Allocated(context);
        let translated = if code < 0 { None } else { context.copy() }.ok_or(error)?;
        let mut raw = null_mut();
        // SAFETY: a string that ends with NUL, and a place for the answer.
        let code = unsafe { (self.to_raw)(translated.as_ptr(), &mut raw) };
        let raw = Allocated(raw);
        Ok(raw.copy().filter(|_| code == 0).unwrap_or(translated))
    }
}

/// A string that the library has allocated, or null.
struct Allocated(*mut c_char);

impl Allocated {
    fn copy(&self) -> Option<CString> {
        // SAFETY: the library gives null or a live string that ends with NUL.
        (!self.0.is_null()).then(|| unsafe { CStr::from_ptr(self.0) }.to_owned())
    }
}

impl Drop for Allocated {
    fn drop(&mut self) {
        // SAFETY: from malloc, as freecon(3) and getseuserbyname(3) say, or null; not used after this.
        unsafe { libc::free(self.0.cast()) };
    }
}

/// Reads the label of an open file.
pub fn label(file: impl AsFd) -> Result<CString, Error> {
    let mut label = vec![0; LONGEST_LABEL];
    let length = files::extended_attribute(file, LABEL, &mut label)
        .map_err(|source| Error { doing: "reading the label", source: source.into() })?;
    label.truncate(length);
    while label.last() == Some(&0) {
        label.pop();
    }
    CString::new(label).map_err(|error| Error { doing: "reading the label", source: error.into() })
}

/// Replaces the level of a context (`user:role:type:level`).
pub fn with_level(context: &CStr, level: &[u8]) -> Option<CString> {
    let mut parts: Vec<&[u8]> = context.to_bytes().splitn(4, |byte| *byte == b':').take(3).collect();
    parts.push(level);
    if parts.len() == 4 && !level.is_empty() { CString::new(parts.join(&b':')).ok() } else { None }
}

/// The level of a context. None if the policy has no levels.
pub fn level(context: &CStr) -> Option<&[u8]> {
    context.to_bytes().splitn(4, |byte| *byte == b':').nth(3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_takes_another_level_and_keeps_the_rest() {
        for (context, level, wanted) in [
            (c"user_u:user_r:user_t:s0", &b"s1:c3.c5"[..], Some(c"user_u:user_r:user_t:s1:c3.c5")),
            (c"user_u:user_r:user_t:s0-s2:c0.c9", b"s0", Some(c"user_u:user_r:user_t:s0")),
            (c"user_u:user_r:user_t", b"s0", Some(c"user_u:user_r:user_t:s0")),
            (c"user_u:user_r", b"s0", None),
            (c"user_u:user_r:user_t:s0", b"", None),
            (c"user_u:user_r:user_t:s0", b"s\0", None),
        ] {
            assert_eq!(with_level(context, level).as_deref(), wanted, "{context:?} {level:?}");
        }
        assert_eq!(super::level(c"user_u:user_r:user_t:s0-s2:c0.c9"), Some(&b"s0-s2:c0.c9"[..]));
        assert_eq!(super::level(c"user_u:user_r:user_t"), None);
    }

    #[test]
    fn a_file_without_a_label_has_none() {
        let file = tempfile::tempfile().unwrap();
        let told = label(&file).unwrap_err().to_string();
        assert!(told.starts_with("reading the label: "), "{told}");
    }
}
