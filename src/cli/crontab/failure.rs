//! The errors of crontab(1). Each displays as the lines that the user sees.

use crate::config::ConfigError;
use crate::spool::install::{SpoolError, Step};
use crate::sys::contract::ProgramStartError;
use crate::sys::error::{self, OsError};
use std::io;
use std::path::{Path, PathBuf};

/// Errors in a command line, in the wording of the reference implementations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageFault {
    /// An unknown option, or an option without its argument. getopt(3) has already printed a message.
    #[error("unrecognized option")]
    UnknownOption,
    /// Unknown debug flags for cronie's `-x`.
    #[error("bad debug option")]
    BadDebugFlag,
    /// Two of `-l`, `-r`, `-e` and the like.
    #[error("only one operation permitted")]
    TwoOperations,
    /// An argument that the operation does not take.
    #[error("no arguments permitted after this option")]
    StrayArgument,
    /// `--dry-run` with an operation that checks nothing.
    #[error("--dry-run is for a new table or an edit only")]
    DryRunWithoutTable,
    /// `--interactive` with an operation that asks nothing.
    #[error("--interactive is for --remove only")]
    InteractiveWithoutRemoval,
    /// Debian: options, but no file.
    #[error("file name must be specified for replace")]
    NoFile,
    /// cronie: no file, and standard input is a terminal.
    #[error("file name or - (for stdin) must be specified")]
    NoFileOnTerminal,
}

/// Why crontab(1) failed. Fields are named `program` (the name by which it was called), `source` (the error of the system),
/// `user`, `path` and so on, as they are used in the message.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line is wrong.
    #[error("{before}{program}: usage error: {message}\n{usage}")]
    Usage {
        /// The message that getopt(3) would print, with its newline.
        before: String,
        program: String,
        message: UsageFault,
        usage: String,
    },
    /// Debian's `-h`.
    #[error("{usage}")]
    UsageAsked { usage: String },
    /// An option that is refused in a set-id program.
    #[error("{program}: --{option} is not accepted by a crontab that has privileges which you do not have")]
    PlaceRefused {
        program: String,
        /// The option that is refused.
        option: &'static str,
    },
    /// The configuration cannot be used.
    #[error("{program}: {source}")]
    Config { program: String, source: ConfigError },
    /// The process is not as it must be at the start of the program.
    #[error("{program}: {source}")]
    ProgramStart { program: String, source: ProgramStartError },
    /// The kernel refused a change of identity.
    #[error("{program}: {source}")]
    Identity { program: String, source: error::Error },
    /// The caller has no account.
    #[error("{program}: your UID isn't in the passwd file.\nbailing out.")]
    NoAccount { program: String },
    /// The user database cannot be read.
    #[error("{program}: looking up the user {name}: {source}")]
    LookUp {
        program: String,
        /// The name or uid that was looked up.
        name: String,
        source: OsError,
    },
    /// `-u` by somebody who is not root.
    #[error("must be privileged to use -u")]
    NotPrivileged,
    /// `-n` by somebody who is not root.
    #[error("must be privileged to set host with -n")]
    NotPrivilegedForHost,
    /// `-u` with an operation that does not concern a user.
    #[error("cannot use -u with -n, -c or -T")]
    UserWithHost,
    /// `-u` by a caller whose SELinux context does not permit it.
    #[error("Access denied by SELinux, must be privileged to use -u")]
    DeniedBySelinux,
    /// `-s` where the SELinux context cannot be determined.
    #[error("Cannot obtain SELinux process context")]
    NoSelinux,
    /// `-u` with an unknown user.
    #[error("{program}:  user `{name}' unknown")]
    UnknownUser { program: String, name: String },
    /// The lists of permitted users exclude the caller.
    #[error(
        "{unreadable}You ({user}) are not allowed to use this program ({program})\nSee crontab(1) for more information"
    )]
    NotAllowed {
        /// A line about a list that cannot be read, if that is the reason.
        unreadable: String,
        user: String,
        program: String,
    },
    /// PAM refuses the caller's account.
    #[error("You ({user}) are not allowed to access to ({program}) because of pam configuration.")]
    RefusedByPam { user: String, program: String },
    /// Debian: root acts for a user who is not permitted.
    #[error("The user {user} cannot use this program ({program})")]
    TargetNotAllowed { user: String, program: String },
    /// The user has no crontab.
    #[error("no crontab for {user}")]
    NoTable { user: String },
    /// The file with the new crontab cannot be read.
    #[error("{}: {source}", path.display())]
    Input { path: PathBuf, source: OsError },
    /// The path of the new crontab is not that of a file.
    #[error("{}: Not a regular file.", path.display())]
    InputNotRegular { path: PathBuf },
    /// A crontab that is a directory, in cronie's words.
    #[error("invalid crontab file: '{}' is a directory", path.display())]
    InputDirectory { path: PathBuf },
    /// The new crontab has faults, which have been printed.
    #[error("{closing}")]
    Faulty {
        /// The reference implementation's closing line.
        closing: String,
        /// The first line with an error, counted from 1.
        line: Option<usize>,
    },
    /// An operation on the spool failed.
    #[error("{}", spool_message(program, profile_spool, source))]
    Spool {
        program: String,
        /// The path of the spool. Debian's crontab prints paths relative to its parent.
        profile_spool: Option<PathBuf>,
        source: SpoolError,
    },
    /// The error has been printed already.
    #[error("")]
    Reported,
    /// The kernel provides no random numbers.
    #[error("{program}: asking the kernel for random numbers: {source}")]
    NoRandomNumbers { program: String, source: OsError },
    #[error("{program}: blocking signals: {source}")]
    Signals { program: String, source: OsError },
    /// The crontab has changed since the edit began.
    #[error("{program}: the crontab of {user} has changed since you began to edit; nothing was installed")]
    ChangedMeanwhile { program: String, user: String },
    /// A temporary file could not be created or read.
    #[error("{program}: {doing} {}: {source}", path.display())]
    Scratch {
        program: String,
        /// What was being done, for the message: `reading`.
        doing: &'static str,
        path: PathBuf,
        source: OsError,
    },
    /// The temporary file is not the user's file any more.
    #[error("{message}\nError while editing crontab")]
    ScratchSwapped {
        /// The difference, as a message.
        message: String,
    },
    /// The editor could not be started.
    #[error("{program}: starting the editor: {source}")]
    EditorStart { program: String, source: OsError },
    /// The exit status of the editor is unknown; it may still be running.
    #[error("{program}: waiting for the editor: {source}")]
    EditorWait { program: String, source: OsError },
    /// The editor failed.
    #[error("{program}: \"{editor}\" exited with status {status}")]
    EditorStatus { program: String, editor: String, status: i32 },
    /// A signal ended the editor.
    #[error("{program}: \"{editor}\" killed; signal {signal} ({}core dumped)", if *core_dumped { "" } else { "no " })]
    EditorSignal {
        program: String,
        editor: String,
        signal: i32,
        /// Whether it dumped core.
        core_dumped: bool,
    },
    /// Writing to standard output failed.
    #[error("{program}: writing to standard output: {source}")]
    Output { program: String, source: OsError },
    /// The file that names the cluster's host does not exist.
    #[error("File {} not found", path.display())]
    NoHostFile { path: PathBuf },
    /// The name is not a valid host name.
    #[error("{program}: usage error: hostname too long")]
    BadHost { program: String },
}

/// Debian's crontab prints paths relative to the parent of the spool, its working directory; cronie prints absolute paths.
/// If only root can solve the problem, the message says so.
fn spool_message(program: &str, spool: &Option<PathBuf>, error: &SpoolError) -> String {
    let SpoolError::Os { step, path, source } = error else { return format!("{program}: {error}") };
    let mut text = match (spool, step) {
        (Some(spool), Step::Open | Step::Read) => format!("{}/: fopen: {source}", below(spool, path)),
        (Some(spool), Step::Rename) => format!("{program}: {}: rename: {source}", below(spool, path)),
        (Some(spool), Step::Remove) => {
            format!("{}/: unlink: {source}", spool.parent().unwrap_or(Path::new("/")).display())
        }
        (None, Step::Open | Step::Read | Step::Remove | Step::OpenSpool) => format!("{}: {source}", path.display()),
        (_, step) => format!("{program}: {}: {}: {source}", step.doing(), path.display()),
    };
    if source.kind() == io::ErrorKind::PermissionDenied && matches!(step, Step::Rename | Step::Remove) {
        text.push_str(&format!("\n{program}: this table belongs to another user; only root may replace or remove it"));
    }
    if *step == Step::SyncName {
        text.push_str(&format!("\n{program}: the new table is in place, but may be lost in a power failure"));
    }
    text
}

/// The path of a crontab relative to the parent of the spool: `crontabs/alice`.
fn below(spool: &Path, table: &Path) -> String {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("{}/{}", name(spool), name(table))
}
