//! The RPM spec. (What is in `contrib/debian` makes the package that `tests/package` installs.)

use crate::{contrib, lacks, read, run};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// Mode, name: what matters of the package's files; all belong to root.
const INSTALLED: [(&str, &str); 22] = [
    ("-rw-r--r--", "/etc/cron.d/0hourly"),
    ("-rw-------", "/etc/cron.deny"),
    ("-rw-r--r--", "/etc/pam.d/crond"),
    ("-rw-r--r--", "/etc/sysconfig/crond"),
    ("-rwxr-xr-x", "/usr/bin/cronctl"),
    ("-rwsr-xr-x", "/usr/bin/crontab"),
    ("-rw-r--r--", "/usr/lib/systemd/system/crond.service"),
    ("-rw-r--r--", "/usr/lib/sysusers.d/cronwheel.conf"),
    ("-rwxr-xr-x", "/usr/sbin/crond"),
    ("-rw-r--r--", "/usr/share/bash-completion/completions/crontab"),
    ("-rw-r--r--", "/usr/share/doc/cronwheel-0.1.0/README.md"),
    ("-rw-r--r--", "/usr/share/fish/vendor_completions.d/crontab.fish"),
    ("-rw-r--r--", "/usr/share/licenses/cronwheel-0.1.0/LICENSE"),
    ("-rw-r--r--", "/usr/share/man/man1/cronctl.1"),
    ("-rw-r--r--", "/usr/share/man/man1/crontab.1"),
    ("-rw-r--r--", "/usr/share/man/man5/crontab.5"),
    ("-rw-r--r--", "/usr/share/man/man7/cron-differences.7"),
    ("-rw-r--r--", "/usr/share/man/man7/cronwheel.7"),
    ("-rw-r--r--", "/usr/share/man/man8/crond.8"),
    ("-rw-r--r--", "/usr/share/zsh/site-functions/_crontab"),
    ("drwx--x--x", "/var/lib/cronwheel"),
    ("drwx------", "/var/spool/cron"),
];

/// Fedora's macros that Debian's rpm does not have, and a place to work in.
fn macros(place: &Path) -> Vec<String> {
    let top = format!("_topdir {}", place.display());
    let unit = "_unitdir /usr/lib/systemd/system";
    let hooks = ["systemd_post :", "systemd_preun :", "systemd_postun_with_restart :"];
    // Where it keeps its scripts; no package of symbols beside it.
    let others = [&*format!("_tmppath {}", place.display()), "debug_package %{nil}"];
    let all = [&*top, unit].into_iter().chain(hooks).chain(others);
    all.flat_map(|definition| ["--define".to_owned(), definition.to_owned()]).collect()
}

#[test]
fn rpm_understands_the_spec_and_makes_a_package_of_the_built_programs() {
    if lacks("rpm_understands_the_spec_and_makes_a_package_of_the_built_programs", &["rpmbuild", "rpmspec"]) {
        return;
    }
    let spec = contrib().join("rpm/cronwheel.spec");
    run(Command::new("rpmspec").arg("--parse").arg(&spec));
    let named = run(Command::new("rpmspec").args(["-q", "--qf", "%{name} %{version}"]).arg(&spec));
    assert_eq!(named, format!("cronwheel {}", env!("CARGO_PKG_VERSION")));

    // The checkout with the programs that these tests have built already, so that cargo has nothing to do.
    let place = tempfile::tempdir().expect("a directory");
    let (tree, bin) = (place.path().join("tree"), place.path().join("bin"));
    let release = tree.join("target/release");
    fs::create_dir_all(&release).expect("a directory");
    fs::create_dir(&bin).expect("a directory");
    let files = ["contrib", "crontabs", "man", "LICENSE", "README.md", "CHANGELOG.md"];
    run(Command::new("cp").arg("-r").args(files).arg(&tree).current_dir(env!("CARGO_MANIFEST_DIR")));
    for built in [env!("CARGO_BIN_EXE_crond"), env!("CARGO_BIN_EXE_crontab"), env!("CARGO_BIN_EXE_cronctl")] {
        fs::copy(built, release.join(Path::new(built).file_name().expect("a name"))).expect("a program");
    }
    fs::write(bin.join("cargo"), "#!/bin/sh\nexit 0\n").expect("a stand-in for cargo");
    fs::set_permissions(bin.join("cargo"), fs::Permissions::from_mode(0o755)).expect("its mode");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    run(Command::new("rpmbuild")
        .args(["-bb", "--build-in-place", "--nodeps"])
        .args(macros(place.path()))
        .arg("contrib/rpm/cronwheel.spec")
        .current_dir(&tree)
        .env("PATH", path));

    let packages = place.path().join("RPMS").join(std::env::consts::ARCH);
    let package = fs::read_dir(packages).expect("packages").next().expect("a package").expect("packages").path();
    let told = |what: &[&str]| run(Command::new("rpm").arg("-qp").args(what).arg(&package));
    let installed = told(&["--qf", "[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\n]"]);
    for (mode, name) in INSTALLED {
        assert!(installed.lines().any(|line| line == format!("{mode} root:root {name}")), "{mode} {name}: {installed}");
    }
    assert!(installed.lines().all(|line| line.contains(" root:root ")), "{installed}");
    // It makes the user that sysusers.d has, where rpm does not do so by itself.
    let user = read("systemd/cronwheel.sysusers.conf");
    let scripts = told(&["--scripts"]);
    for word in ["_cronwheel", "cronwheel history", "/nonexistent", "/usr/sbin/nologin"] {
        assert!(user.contains(word) && scripts.contains(word), "{word}: {scripts}");
    }
    assert!(told(&["--conflicts"]).lines().any(|line| line == "cronie"));
}
