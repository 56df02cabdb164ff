//! PAM. libpam is loaded at run time, so that the program builds and works on systems without it.

use super::library;
use nix::syslog::{LogMask, Severity, setlogmask};
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs;
use std::io;
use std::path::Path;
use std::ptr::{null, null_mut};

const LIBRARY: &CStr = c"libpam.so.0";

/// Directories with one file for each service.
const SERVICE_DIRECTORIES: [&str; 2] = ["etc/pam.d", "usr/lib/pam.d"];
/// The file that contains all services.
const ALL_SERVICES: &str = "etc/pam.conf";

// security/_pam_types.h of Linux-PAM.
const SUCCESS: c_int = 0;
const SILENT: c_int = 0x8000;
const ESTABLISH: c_int = 0x2;
const DELETE: c_int = 0x4;
const ITEM_USER: c_int = 2;
const ITEM_TTY: c_int = 3;
const BUFFER_ERROR: c_int = 5;
const CONVERSATION_ERROR: c_int = 19;
const ERROR_MESSAGE: c_int = 3;
const INFORMATION: c_int = 4;

type Handle = *mut c_void;

#[repr(C)]
struct Message {
    style: c_int,
    text: *const c_char,
}

#[repr(C)]
struct Response {
    text: *mut c_char,
    code: c_int,
}

type Converse = extern "C" fn(c_int, *mut *const Message, *mut *mut Response, *mut c_void) -> c_int;

#[repr(C)]
struct Conversation {
    converse: Converse,
    data: *mut c_void,
}

type WithFlags = unsafe extern "C" fn(Handle, c_int) -> c_int;
type Start = unsafe extern "C" fn(*const c_char, *const c_char, *const Conversation, *mut Handle) -> c_int;
type SetItem = unsafe extern "C" fn(Handle, c_int, *const c_void) -> c_int;
type PutVariable = unsafe extern "C" fn(Handle, *const c_char) -> c_int;
type ListVariables = unsafe extern "C" fn(Handle) -> *mut *mut c_char;
type Words = unsafe extern "C" fn(Handle, c_int) -> *const c_char;

/// The functions of the loaded libpam.
#[derive(Debug)]
pub struct Library {
    start: Start,
    end: WithFlags,
    set_item: SetItem,
    account: WithFlags,
    credentials: WithFlags,
    open_session: WithFlags,
    close_session: WithFlags,
    put_variable: PutVariable,
    variables: ListVariables,
    words: Words,
}

/// Whether the system has PAM rules for this service. They are searched for where Linux-PAM does: in a file of that name, or, if no directory
/// for such files exists, in lines of one file for all services. If this cannot be found out, the answer is yes, and PAM decides.
pub fn has_service(name: &str) -> bool {
    has_service_below(Path::new("/"), name)
}

fn has_service_below(root: &Path, name: &str) -> bool {
    let is_there = |path: &Path| path.try_exists().unwrap_or(true);
    let directories = SERVICE_DIRECTORIES.map(|directory| root.join(directory));
    if directories.iter().any(|directory| is_there(&directory.join(name))) {
        return true;
    }
    if directories.iter().any(|directory| directory.is_dir()) {
        return false;
    }
    let is_for_it =
        |line: &str| line.split_whitespace().next().is_some_and(|service| service.eq_ignore_ascii_case(name));
    match fs::read(root.join(ALL_SERVICES)) {
        Ok(text) => String::from_utf8_lossy(&text).lines().any(is_for_it),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Sets the tag with which modules in this process log from now on, with the process id (syslog(3), which libpam uses).
pub fn log_as(tag: &'static CStr) {
    // SAFETY: libc keeps the pointer, to a string that ends with NUL and lives as long as the process.
    unsafe { libc::openlog(tag.as_ptr(), libc::LOG_PID, libc::LOG_CRON) };
}

impl Library {
    /// Loads libpam. None if the system has no PAM. It stays loaded as long as the process lives.
    pub fn open() -> Option<Library> {
        let library = library::Library::open(LIBRARY)?;
        let find = |name| library.find(name);
        // SAFETY: the functions have these types in Linux-PAM's headers, unchanged since libpam.so.0 exists; none of the pointers is null.
        unsafe {
            Some(Library {
                start: std::mem::transmute::<*mut c_void, Start>(find(c"pam_start")?),
                end: std::mem::transmute::<*mut c_void, WithFlags>(find(c"pam_end")?),
                set_item: std::mem::transmute::<*mut c_void, SetItem>(find(c"pam_set_item")?),
                account: std::mem::transmute::<*mut c_void, WithFlags>(find(c"pam_acct_mgmt")?),
                credentials: std::mem::transmute::<*mut c_void, WithFlags>(find(c"pam_setcred")?),
                open_session: std::mem::transmute::<*mut c_void, WithFlags>(find(c"pam_open_session")?),
                close_session: std::mem::transmute::<*mut c_void, WithFlags>(find(c"pam_close_session")?),
                put_variable: std::mem::transmute::<*mut c_void, PutVariable>(find(c"pam_putenv")?),
                variables: std::mem::transmute::<*mut c_void, ListVariables>(find(c"pam_getenvlist")?),
                words: std::mem::transmute::<*mut c_void, Words>(find(c"pam_strerror")?),
            })
        }
    }

    /// Loads the modules of a service for the rest of this process's life, so that processes forked from it share them.
    /// No function of a module is called, and nothing is logged: a later transaction reports faults in the service's files.
    pub fn preload_modules(&self, service: &CStr) {
        let before = setlogmask(Some(LogMask::up_to(Severity::LOG_EMERG)));
        let begun = Session::begin(self, service);
        setlogmask(Some(before));
        // pam_end would unload the modules, and with audit it records a failed login for a transaction in which nothing was asked.
        std::mem::forget(begun);
    }
}

/// A function of libpam failed or refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{doing}: {text}")]
pub struct PamError {
    /// The name of the function, for example `pam_acct_mgmt`.
    pub doing: &'static str,
    /// The text that pam_strerror(3) has for it.
    pub text: String,
}

/// A PAM transaction. Dropping it closes the session and ends the transaction.
#[derive(Debug)]
pub struct Session<'a> {
    library: &'a Library,
    handle: Handle,
    /// Messages of modules. The pointer comes from [`Box::into_raw`], since the library keeps a copy of it, and is freed on drop.
    received: *mut RefCell<Vec<String>>,
    has_credentials: bool,
    is_open: bool,
    last: c_int,
}

impl<'a> Session<'a> {
    /// Begins a transaction: libpam reads the service's files and loads its modules. Questions of modules get no answer.
    pub fn begin(library: &'a Library, service: &CStr) -> Result<Session<'a>, PamError> {
        // Owned by the session below, which frees it whether the transaction begins or not.
        let received = Box::into_raw(Box::new(RefCell::new(Vec::new())));
        let conversation = Conversation { converse, data: received.cast() };
        let mut handle = null_mut();
        // SAFETY: the string ends with NUL and the user may be null. The library copies the conversation; its data stays valid until
        // the session is dropped, which ends the transaction first.
        let code = unsafe { (library.start)(service.as_ptr(), null(), &conversation, &mut handle) };
        let session = Session { library, handle, received, has_credentials: false, is_open: false, last: code };
        session.check("pam_start", code)?;
        Ok(session)
    }

    /// Sets the user of the session.
    pub fn set_user(&mut self, name: &CStr) -> Result<(), PamError> {
        self.set(ITEM_USER, name)
    }

    /// Sets the terminal's name that modules see.
    pub fn set_terminal(&mut self, name: &CStr) -> Result<(), PamError> {
        self.set(ITEM_TTY, name)
    }

    fn set(&mut self, item: c_int, text: &CStr) -> Result<(), PamError> {
        // SAFETY: a live handle; these items are strings, which the library copies.
        let code = unsafe { (self.library.set_item)(self.handle, item, text.as_ptr().cast()) };
        self.note("pam_set_item", code)
    }

    /// Checks whether the account may be used now.
    pub fn account(&mut self) -> Result<(), PamError> {
        self.call("pam_acct_mgmt", self.library.account, SILENT)
    }

    /// Sets the user's credentials (groups, keys) for this process.
    pub fn establish_credentials(&mut self) -> Result<(), PamError> {
        self.call("pam_setcred", self.library.credentials, ESTABLISH | SILENT)?;
        self.has_credentials = true;
        Ok(())
    }

    /// Opens the session, which is closed on drop.
    pub fn open(&mut self) -> Result<(), PamError> {
        self.call("pam_open_session", self.library.open_session, SILENT)?;
        self.is_open = true;
        Ok(())
    }

    /// Sets a variable (`NAME=value`) in the environment of the transaction.
    pub fn put_variable(&mut self, setting: &CStr) -> Result<(), PamError> {
        // SAFETY: a live handle; the library copies the string.
        let code = unsafe { (self.library.put_variable)(self.handle, setting.as_ptr()) };
        self.note("pam_putenv", code)
    }

    /// The environment of the transaction, as `NAME=value` strings.
    pub fn variables(&self) -> Vec<CString> {
        let mut variables = Vec::new();
        // SAFETY: the library gives a list that ends with a null pointer, of strings that end with NUL; list and strings are ours to free.
        unsafe {
            let list = (self.library.variables)(self.handle);
            if list.is_null() {
                return variables;
            }
            let mut at = list;
            while !(*at).is_null() {
                variables.push(CStr::from_ptr(*at).to_owned());
                libc::free((*at).cast());
                at = at.add(1);
            }
            libc::free(list.cast());
        }
        variables
    }

    /// Takes the messages of modules since the last call.
    pub fn take_messages(&self) -> Vec<String> {
        // SAFETY: the pointer is valid until the session is dropped, and all access is through shared references.
        unsafe { &*self.received }.take()
    }

    fn call(&mut self, doing: &'static str, function: WithFlags, flags: c_int) -> Result<(), PamError> {
        // SAFETY: a function of the library, and a live handle.
        let code = unsafe { function(self.handle, flags) };
        self.note(doing, code)
    }

    fn note(&mut self, doing: &'static str, code: c_int) -> Result<(), PamError> {
        self.last = code;
        self.check(doing, code)
    }

    fn check(&self, doing: &'static str, code: c_int) -> Result<(), PamError> {
        if code == SUCCESS {
            return Ok(());
        }
        // SAFETY: the library gives a string of its own that lives on; a null handle is allowed.
        let text = unsafe {
            let words = (self.library.words)(self.handle, code);
            if words.is_null() { format!("error {code}") } else { CStr::from_ptr(words).to_string_lossy().into_owned() }
        };
        Err(PamError { doing, text })
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: the handle is live and not used after pam_end. If a module fails here, there is nobody to report it to, and the
            // rest is still closed.
            unsafe {
                if self.has_credentials {
                    (self.library.credentials)(self.handle, DELETE | SILENT);
                }
                if self.is_open {
                    self.last = (self.library.close_session)(self.handle, SILENT);
                }
                (self.library.end)(self.handle, self.last);
            }
        }
        // SAFETY: the pointer comes from a box in `begin` and is freed nowhere else. The transaction has ended, so the library does not
        // use it any more.
        drop(unsafe { Box::from_raw(self.received) });
    }
}

/// The conversation function: stores messages of modules and refuses their questions, since no user is there to answer.
extern "C" fn converse(
    count: c_int,
    messages: *mut *const Message,
    responses: *mut *mut Response,
    data: *mut c_void,
) -> c_int {
    let count = usize::try_from(count).unwrap_or(0);
    if messages.is_null() || responses.is_null() || data.is_null() || count == 0 {
        return CONVERSATION_ERROR;
    }
    // SAFETY: Linux-PAM gives an array of `count` pointers to live messages, and `data` as it was given to pam_start: the session's list.
    // The response array is made by calloc, because the library frees it.
    unsafe {
        let received = &*data.cast::<RefCell<Vec<String>>>();
        for at in 0..count {
            let message = &**messages.add(at);
            if message.style != ERROR_MESSAGE && message.style != INFORMATION {
                return CONVERSATION_ERROR;
            }
            if !message.text.is_null() {
                received.borrow_mut().push(CStr::from_ptr(message.text).to_string_lossy().into_owned());
            }
        }
        let answers = libc::calloc(count, size_of::<Response>());
        if answers.is_null() {
            return BUFFER_ERROR;
        }
        *responses = answers.cast();
    }
    SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_file_or_without_directories_for_files_lines_of_one() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let has = |name| has_service_below(root.path(), name);
        assert!(!has("cron"));
        put("etc/pam.conf", "# cron\nother auth required pam_deny.so\nCron\taccount required pam_permit.so\n");
        assert_eq!((has("cron"), has("crond")), (true, false));
        put("usr/lib/pam.d/crond", "");
        assert_eq!((has("cron"), has("crond")), (false, true), "with a directory the one file does not count");
        put("etc/pam.d/cron", "");
        assert!(has("cron"));
        std::os::unix::fs::symlink("loop", root.path().join("etc/pam.d/loop")).unwrap();
        assert!(has("loop"), "what cannot be looked at is left to PAM");
    }

    fn ask(style: c_int) -> (c_int, Vec<String>, bool) {
        let received = RefCell::new(Vec::new());
        let message = Message { style, text: c"Hello".as_ptr() };
        let mut list = [&message as *const Message];
        let mut responses = null_mut();
        let data: *const RefCell<Vec<String>> = &received;
        let code = converse(1, list.as_mut_ptr(), &mut responses, data.cast_mut().cast());
        let answered = !responses.is_null();
        // SAFETY: made by calloc in `converse`, or null.
        unsafe { libc::free(responses.cast()) };
        (code, received.into_inner(), answered)
    }

    #[test]
    fn what_modules_tell_is_kept_and_what_they_ask_is_refused() {
        assert_eq!(ask(INFORMATION), (SUCCESS, vec!["Hello".to_owned()], true));
        assert_eq!(ask(ERROR_MESSAGE), (SUCCESS, vec!["Hello".to_owned()], true));
        let (password, name) = (1, 2);
        assert_eq!(ask(password), (CONVERSATION_ERROR, Vec::new(), false));
        assert_eq!(ask(name), (CONVERSATION_ERROR, Vec::new(), false));
        assert_eq!(converse(1, null_mut(), null_mut(), null_mut()), CONVERSATION_ERROR);
    }
}
