//! Every way in which crontab(1) does not do what it was asked; each displays as the lines that the user sees.

use crate::config::ConfigError;
use crate::spool::install::{SpoolError, Step};
use crate::sys::files::reason;
use crate::sys::identity::IdentityError;
use std::io;
use std::path::{Path, PathBuf};

/// What is wrong with a command line, in the reference implementations' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageFault {
    /// getopt(3) has told which, or which option lacks its argument.
    #[error("unrecognized option")]
    UnknownOption,
    /// cronie's `-x`.
    #[error("bad debug option")]
    BadDebugFlag,
    /// Two of `-l`, `-r`, `-e` and the like.
    #[error("only one operation permitted")]
    TwoOperations,
    /// An argument that the operation does not take.
    #[error("no arguments permitted after this option")]
    StrayArgument,
    /// `--dry-run` where there is nothing to check.
    #[error("--dry-run is for a new table or an edit only")]
    DryRunWithoutTable,
    /// `--interactive` where nothing is asked.
    #[error("--interactive is for --remove only")]
    InteractiveWithoutRemoval,
    /// Debian: options and no file.
    #[error("file name must be specified for replace")]
    NoFile,
    /// cronie: no file, and standard input is a terminal.
    #[error("file name or - (for stdin) must be specified")]
    NoFileOnTerminal,
}

/// Why it did not.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A wrong command line.
    #[error("{before}{program}: usage error: {message}\n{usage}")]
    Usage {
        /// What getopt(3) says, with its newline.
        before: String,
        /// The program's name.
        program: String,
        /// What is wrong.
        message: UsageFault,
        /// How it is called.
        usage: String,
    },
    /// Debian's `-h`.
    #[error("{usage}")]
    UsageAsked {
        /// How it is called.
        usage: String,
    },
    /// An option that only makes sense with the caller's own rights.
    #[error("{program}: --{option} is not taken where crontab runs with rights that you do not have")]
    PlaceRefused {
        /// The program's name.
        program: String,
        /// The option.
        option: &'static str,
    },
    /// The configuration cannot be used.
    #[error("{program}: {source}")]
    Config {
        /// The program's name.
        program: String,
        /// Why.
        source: ConfigError,
    },
    /// The kernel refused a change of identity.
    #[error("{program}: {source}")]
    Identity {
        /// The program's name.
        program: String,
        /// Which.
        source: IdentityError,
    },
    /// The caller has no account.
    #[error("{program}: your UID isn't in the passwd file.\nbailing out.")]
    NoAccount {
        /// The program's name.
        program: String,
    },
    /// The user database cannot be asked.
    #[error("{program}: looking up the user {name}: {}", reason(source))]
    LookUp {
        /// The program's name.
        program: String,
        /// Name or uid.
        name: String,
        /// What it said.
        source: io::Error,
    },
    /// `-u` by somebody who is not root.
    #[error("must be privileged to use -u")]
    NotPrivileged,
    /// `-n` by somebody who is not root.
    #[error("must be privileged to set host with -n")]
    NotPrivilegedForHost,
    /// `-u` with an operation that is about no user.
    #[error("cannot use -u with -n, -c or -T")]
    UserWithHost,
    /// `-u` by somebody whose context may not.
    #[error("Access denied by SELinux, must be privileged to use -u")]
    DeniedBySelinux,
    /// `-s`.
    #[error("Cannot obtain SELinux process context")]
    NoSelinux,
    /// `-u` with a name that nobody has.
    #[error("{program}:  user `{name}' unknown")]
    UnknownUser {
        /// The program's name.
        program: String,
        /// The name.
        name: String,
    },
    /// The caller is not on the list, or on the wrong one.
    #[error(
        "{unreadable}You ({user}) are not allowed to use this program ({program})\nSee crontab(1) for more information"
    )]
    NotAllowed {
        /// Which of the lists cannot be read, if that is why: a line.
        unreadable: String,
        /// Who.
        user: String,
        /// The program's name.
        program: String,
    },
    /// PAM says no.
    #[error("You ({user}) are not allowed to access to ({program}) because of pam configuration.")]
    RefusedByPam {
        /// Who.
        user: String,
        /// The program's name.
        program: String,
    },
    /// Debian: root acts for somebody who is not allowed.
    #[error("The user {user} cannot use this program ({program})")]
    TargetNotAllowed {
        /// Who.
        user: String,
        /// The program's name.
        program: String,
    },
    /// There is no table.
    #[error("no crontab for {user}")]
    NoTable {
        /// Whose.
        user: String,
    },
    /// The new table's file cannot be read. The path as given, so that it says what `cat` would.
    #[error("{}: {}", path.display(), reason(source))]
    Input {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The new table's file is none.
    #[error("{}: Not a regular file.", path.display())]
    InputNotRegular {
        /// The file.
        path: PathBuf,
    },
    /// The same in cronie's words.
    #[error("invalid crontab file: '{}' is a directory", path.display())]
    InputDirectory {
        /// The file.
        path: PathBuf,
    },
    /// The new table has faults, which have been told.
    #[error("{closing}")]
    Faulty {
        /// The reference implementation's closing line.
        closing: String,
    },
    /// The spool did not do it.
    #[error("{}", spool_message(program, profile_spool, source))]
    Spool {
        /// The program's name.
        program: String,
        /// The spool's path, in whose terms Debian's crontab words it.
        profile_spool: Option<PathBuf>,
        /// What happened.
        source: SpoolError,
    },
    /// What went wrong has been told.
    #[error("")]
    Told,
    /// The kernel gives no random numbers.
    #[error("{program}: asking the kernel for random numbers: {}", reason(source))]
    NoRandomNumbers {
        /// The program's name.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Signals cannot be blocked.
    #[error("{program}: blocking signals: {}", reason(source))]
    Signals {
        /// The program's name.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The table has changed since the edit began.
    #[error("{program}: the crontab of {user} has changed since you began to edit; nothing was installed")]
    ChangedMeanwhile {
        /// The program's name.
        program: String,
        /// Whose.
        user: String,
    },
    /// A temporary file could not be made or read.
    #[error("{program}: {doing} {}: {}", path.display(), reason(source))]
    Scratch {
        /// The program's name.
        program: String,
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The temporary file is not the user's file any more.
    #[error("{message}\nError while editing crontab")]
    ScratchSwapped {
        /// In which way.
        message: String,
    },
    /// The editor could not be started.
    #[error("{program}: starting the editor: {}", reason(source))]
    EditorStart {
        /// The program's name.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is not known how the editor ended, or whether it has.
    #[error("{program}: waiting for the editor: {}", reason(source))]
    EditorWait {
        /// The program's name.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The editor failed.
    #[error("{program}: \"{editor}\" exited with status {status}")]
    EditorStatus {
        /// The program's name.
        program: String,
        /// The command.
        editor: String,
        /// Its exit status.
        status: i32,
    },
    /// A signal ended the editor.
    #[error("{program}: \"{editor}\" killed; signal {signal} ({}core dumped)", if *core_dumped { "" } else { "no " })]
    EditorSignal {
        /// The program's name.
        program: String,
        /// The command.
        editor: String,
        /// The signal.
        signal: i32,
        /// Whether there is a core.
        core_dumped: bool,
    },
    /// Standard output did not take it.
    #[error("{program}: writing to standard output: {}", reason(source))]
    Output {
        /// The program's name.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// No file names the cluster's host.
    #[error("File {} not found", path.display())]
    NoHostFile {
        /// The file.
        path: PathBuf,
    },
    /// A name that no host can have.
    #[error("{program}: usage error: hostname too long")]
    BadHost {
        /// The program's name.
        program: String,
    },
}

/// Debian's crontab words what its spool says in terms of its own directories, below which it works; cronie names the
/// path. Where only root could help, we say so.
fn spool_message(program: &str, spool: &Option<PathBuf>, error: &SpoolError) -> String {
    let SpoolError::Os { step, path, source } = error else { return format!("{program}: {error}") };
    let said = reason(source);
    let mut text = match (spool, step) {
        (Some(spool), Step::Open | Step::Read) => format!("{}/: fopen: {said}", below(spool, path)),
        (Some(spool), Step::Rename) => format!("{program}: {}: rename: {said}", below(spool, path)),
        (Some(spool), Step::Remove) => {
            format!("{}/: unlink: {said}", spool.parent().unwrap_or(Path::new("/")).display())
        }
        (None, Step::Open | Step::Read | Step::Remove | Step::OpenSpool) => format!("{}: {said}", path.display()),
        (_, step) => format!("{program}: {}: {}: {said}", step.doing(), path.display()),
    };
    if source.kind() == io::ErrorKind::PermissionDenied && matches!(step, Step::Rename | Step::Remove) {
        text.push_str(&format!("\n{program}: this table belongs to another user; only root may replace or remove it"));
    }
    if *step == Step::SyncName {
        text.push_str(&format!("\n{program}: the new table is in place, but may not outlast a loss of power"));
    }
    text
}

/// `crontabs/alice`: the table as seen from the directory above the spool.
fn below(spool: &Path, table: &Path) -> String {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("{}/{}", name(spool), name(table))
}
