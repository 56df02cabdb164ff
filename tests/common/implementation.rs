//! The implementations under test, and how their packages install the programs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

/// An implementation of cron whose programs are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Implementation {
    /// Debian 12's own `cron` package.
    Debian,
    /// cronie itself, as its makefile installs it, where `CRONIE` names the directory of its programs.
    Cronie,
    /// cronwheel, installed in place of Debian's cron.
    OursDebian,
    /// cronwheel, installed in place of cronie, as on Fedora.
    OursCronie,
}

impl Implementation {
    /// All implementations, the reference implementations first.
    pub const ALL: [Implementation; 4] =
        [Implementation::Debian, Implementation::Cronie, Implementation::OursDebian, Implementation::OursCronie];

    /// Its name, as written in cases.
    pub fn name(self) -> &'static str {
        match self {
            Implementation::Debian => "debian",
            Implementation::Cronie => "cronie",
            Implementation::OursDebian => "ours-debian",
            Implementation::OursCronie => "ours-cronie",
        }
    }

    /// Looks up an implementation by its name.
    pub fn named(name: &str) -> Option<Implementation> {
        Implementation::ALL.into_iter().find(|implementation| implementation.name() == name)
    }

    /// Whether it is to behave as Debian's cron.
    pub fn is_debian(self) -> bool {
        matches!(self, Implementation::Debian | Implementation::OursDebian)
    }

    /// The path of the daemon.
    pub fn daemon(self) -> &'static str {
        if self.is_debian() { "/usr/sbin/cron" } else { "/usr/sbin/crond" }
    }

    /// The directory of the users' crontabs.
    pub fn spool(self) -> &'static str {
        if self.is_debian() { "/var/spool/cron/crontabs" } else { "/var/spool/cron" }
    }

    /// The path of the `@reboot` marker.
    pub fn reboot_marker(self) -> &'static str {
        if self.is_debian() { "/run/crond.reboot" } else { "/run/cron.reboot" }
    }

    /// The flag that keeps its daemon in the foreground.
    pub fn foreground(self) -> &'static str {
        if self.is_debian() { "-f" } else { "-n" }
    }

    /// The unit file that its package installs.
    pub fn unit(self) -> &'static str {
        if self.is_debian() { "/usr/lib/systemd/system/cron.service" } else { "/usr/lib/systemd/system/crond.service" }
    }

    /// What is missing on this machine for it, if anything.
    pub fn missing(self) -> Option<PathBuf> {
        match self {
            Implementation::Debian => Some(package("cron")).filter(|package| !package.exists()),
            Implementation::Cronie => Some(built_cronie().join("crond")).filter(|daemon| !daemon.exists()),
            Implementation::OursDebian | Implementation::OursCronie => None,
        }
    }

    /// Copies its programs into the file system at `root`, which has no users yet.
    pub(super) fn install_programs(self, root: &Path) {
        let place = |from: &Path, to: &str| {
            let to = root.join(to.trim_start_matches('/'));
            fs::create_dir_all(to.parent().expect("a directory")).expect("a directory");
            fs::copy(from, &to).unwrap_or_else(|e| panic!("copying {} to {}: {e}", from.display(), to.display()));
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).expect("an executable program");
        };
        match self {
            Implementation::Debian => {
                place(&package("cron").join("usr/sbin/cron"), "/usr/sbin/cron");
                place(&package("cron").join("usr/bin/crontab"), "/usr/bin/crontab");
                place(&package("cron").join("lib/systemd/system/cron.service"), self.unit());
                place(&package("cron").join("etc/init.d/cron"), "/etc/init.d/cron");
            }
            Implementation::Cronie => {
                place(&built_cronie().join("crond"), "/usr/sbin/crond");
                place(&built_cronie().join("crontab"), "/usr/bin/crontab");
                place(&built_cronie().join("crond.service"), self.unit());
            }
            Implementation::OursDebian | Implementation::OursCronie => {
                place(Path::new(env!("CARGO_BIN_EXE_crond")), "/usr/sbin/crond");
                place(Path::new(env!("CARGO_BIN_EXE_crontab")), "/usr/bin/crontab");
                place(Path::new(env!("CARGO_BIN_EXE_cronctl")), "/usr/bin/cronctl");
                let contrib = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib");
                place(
                    &contrib.join("systemd").join(if self.is_debian() { "cron.service" } else { "crond.service" }),
                    self.unit(),
                );
                place(&contrib.join("sysv/cron"), "/etc/init.d/cron");
            }
        }
    }

    /// Gives the installed files their owners and modes, and makes the spool; inside the world, users being there.
    pub(super) fn set_up(self) {
        if self == Implementation::OursDebian {
            symlink("crond", "/usr/sbin/cron").expect("crond under Debian's name");
        }
        let pam = format!("/etc/pam.d/{}", if self.is_debian() { "cron" } else { "crond" });
        fs::write(pam, PAM).expect("a PAM service for jobs");
        fs::create_dir_all("/etc/cron.d").expect("/etc/cron.d");
        fs::create_dir_all(self.spool()).expect("a spool");
        if self.is_debian() {
            let group = nix::unistd::Group::from_name("crontab").expect("groups").expect("group crontab").gid.as_raw();
            own("/usr/bin/crontab", 0, group, 0o2755);
            own(self.spool(), 0, group, 0o1730);
        } else {
            own("/usr/bin/crontab", 0, 0, 0o4755);
            own(self.spool(), 0, 0, 0o700);
        }
        if self == Implementation::OursCronie {
            fs::write("/etc/cronwheel.toml", "profile = \"cronie\"\n").expect("/etc/cronwheel.toml");
        }
        self.set_up_lists();
    }

    /// What its package says about who may use `crontab`: Fedora's comes with an empty list of those who may not.
    pub fn set_up_lists(self) {
        if !self.is_debian() {
            fs::write("/etc/cron.deny", "").expect("/etc/cron.deny");
        }
    }
}

/// The PAM service of jobs: what both packages' services come to without a login manager, without the kernel's audit
/// id, which can be set but once in a container's life.
const PAM: &str = "auth     required pam_permit.so
account  required pam_unix.so
session  required pam_env.so
session  required pam_env.so envfile=/etc/default/locale
session  required pam_limits.so
";

/// Where whoever runs the tests has built cronie, which Debian 12 does not package: the directory of its programs.
fn built_cronie() -> PathBuf {
    std::env::var_os("CRONIE").map_or_else(|| PathBuf::from("cronie's programs"), PathBuf::from)
}

/// Where `tests/install-needs` has unpacked a Debian package.
pub fn package(name: &str) -> PathBuf {
    needs().join(name)
}

/// Where it has unpacked all of them.
pub fn needs() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target directory").join("needs")
}

/// Sets owner and mode, in the order that keeps set-id bits.
pub fn own(path: &str, uid: u32, gid: u32, mode: u32) {
    chown(path, Some(uid), Some(gid)).unwrap_or_else(|e| panic!("owner of {path}: {e}"));
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap_or_else(|e| panic!("mode of {path}: {e}"));
}
