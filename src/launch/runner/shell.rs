//! What /bin/sh is here: a simple command is run without it only where it is known what it would have done.

use crate::launch::SimpleCommands;
use crate::launch::simple::Shell;
use crate::sys::selinux;
use memchr::memmem;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const PATH: &str = "/bin/sh";
/// Every bash says its version so, for what(1). Earlier ones count themselves otherwise.
const BASH_5: &[u8] = b"@(#)Bash version 5.";

/// The shell of the system, as far as simple commands are to be run without it.
#[derive(Default)]
pub(super) struct SystemShell {
    is_asked_for: bool,
    /// Device, inode, and when it was changed.
    seen: Option<(u64, u64, i64, i64)>,
    known: Option<Shell>,
}

impl SystemShell {
    /// With SELinux none is ever known: a job's context is asked for at its exec, which a program that changes contexts by itself
    /// (sudo) must not be.
    pub(super) fn new(simple_commands: SimpleCommands) -> SystemShell {
        let is_asked_for = simple_commands == SimpleCommands::Direct && !selinux::is_in_kernel();
        SystemShell { is_asked_for, ..SystemShell::default() }
    }

    /// Looks again whether it is another one, with one call while it is not.
    pub(super) fn freshen(&mut self) {
        if !self.is_asked_for {
            return;
        }
        let seen = fs::metadata(PATH).ok().map(|seen| (seen.dev(), seen.ino(), seen.ctime(), seen.ctime_nsec()));
        if seen != self.seen {
            self.seen = seen;
            self.known = shell_at(Path::new(PATH));
        }
    }

    /// Which one it is. None: simple commands are run by it as any other.
    pub(super) fn known(&self) -> Option<Shell> {
        self.known
    }
}

/// The shell that this path ends in, by its name and, where its ways have changed, its version.
fn shell_at(path: &Path) -> Option<Shell> {
    let file = fs::canonicalize(path).ok()?;
    match file.file_name()?.to_str()? {
        "dash" => Some(Shell::Dash),
        "bash" => memmem::find(&fs::read(&file).ok()?, BASH_5).map(|_| Shell::Bash),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_shell_is_known_by_the_name_and_version_of_the_file_that_sh_ends_in() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes, expected) in [
            ("dash", &b""[..], Some(Shell::Dash)),
            ("bash", b"\x7fELF\0@(#)Bash version 5.2.15(1) release GNU\0", Some(Shell::Bash)),
            ("bash", b"\x7fELF\0@(#)Bash version 4.4.20(1) release GNU\0", None),
            ("busybox", b"", None),
            ("sh", b"", None),
        ] {
            let (file, link, sh) = (dir.path().join(name), dir.path().join("link"), dir.path().join("bin-sh"));
            fs::write(&file, bytes).unwrap();
            symlink(name, &link).unwrap();
            symlink("link", &sh).unwrap();
            assert_eq!(shell_at(&sh), expected, "{name}");
            for path in [file, link, sh] {
                fs::remove_file(path).unwrap();
            }
        }
        assert_eq!(shell_at(&dir.path().join("none")), None);
    }
}
