//! The RPM spec. (What is in `contrib/debian` makes the package that `tests/package` installs.)

use crate::{contrib, lacks, read, run};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// Mode, name: what matters of the package's files; all belong to root.
const INSTALLED: [(&str, &str); 34] = [
    ("-rw-r--r--", "/etc/anacrontab"),
    ("drwxr-xr-x", "/etc/cron.d"),
    ("-rw-r--r--", "/etc/cron.d/0hourly"),
    ("-rw-------", "/etc/cron.deny"),
    ("-rw-r--r--", "/etc/pam.d/crond"),
    ("-rw-r--r--", "/etc/sysconfig/crond"),
    ("-rwxr-xr-x", "/usr/bin/cronctl"),
    ("-rwsr-xr-x", "/usr/bin/crontab"),
    ("-rw-r--r--", "/usr/lib/systemd/system/crond.service"),
    ("-rw-r--r--", "/usr/lib/systemd/system/cronwheel-web.service"),
    ("-rw-r--r--", "/usr/lib/systemd/system/cronwheel-web.socket"),
    ("-rw-r--r--", "/usr/lib/sysusers.d/cronwheel.conf"),
    ("-rwxr-xr-x", "/usr/sbin/crond"),
    ("-rw-r--r--", "/usr/share/bash-completion/completions/crontab"),
    ("-rw-r--r--", "/usr/share/doc/cronwheel-0.1.0/README.md"),
    ("-rw-r--r--", "/usr/share/doc/cronwheel-0.1.0/cronwheel.toml"),
    ("-rw-r--r--", "/usr/share/doc/cronwheel-0.1.0/examples/mail.crontab"),
    ("-rw-r--r--", "/usr/share/fish/vendor_completions.d/crontab.fish"),
    ("-rw-r--r--", "/usr/share/licenses/cronwheel-0.1.0/LICENSE"),
    ("-rw-r--r--", "/usr/share/man/man1/cronctl.1"),
    ("-rw-r--r--", "/usr/share/man/man1/crontab.1"),
    ("-rw-r--r--", "/usr/share/man/man5/crontab.5"),
    ("-rw-r--r--", "/usr/share/man/man5/cronwheel.toml.5"),
    ("-rw-r--r--", "/usr/share/man/man7/cron-differences.7"),
    ("-rw-r--r--", "/usr/share/man/man7/cronwheel.7"),
    ("-rw-r--r--", "/usr/share/man/man7/cronwheel-fleet.7"),
    ("-rw-r--r--", "/usr/share/man/man7/cronwheel-migrate.7"),
    ("-rw-r--r--", "/usr/share/man/man8/cron.8"),
    ("-rw-r--r--", "/usr/share/man/man8/crond.8"),
    ("-rw-r--r--", "/usr/share/vim/vimfiles/syntax/crontab.vim"),
    ("-rw-r--r--", "/usr/share/zsh/site-functions/_crontab"),
    ("drwx--x--x", "/var/lib/cronwheel"),
    ("drwxr-xr-x", "/var/spool/anacron"),
    ("drwx------", "/var/spool/cron"),
];

/// Fedora's macros that Debian's rpm does not have, and a place to work in.
fn macros(place: &Path) -> Vec<String> {
    let top = format!("_topdir {}", place.display());
    let unit = "_unitdir /usr/lib/systemd/system";
    let hooks = ["systemd_post :", "systemd_preun :", "systemd_postun_with_restart :"];
    // Where it keeps its scripts.
    let scripts = format!("_tmppath {}", place.display());
    let all = [&*top, unit, &*scripts].into_iter().chain(hooks);
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
    for word in [
        "_cronwheel",
        "cronwheel history",
        "_cronwheel-fleet",
        "cronwheel fleet",
        "_cronwheel-web",
        "cronwheel web page",
        "/nonexistent",
        "/usr/sbin/nologin",
    ] {
        assert!(user.contains(word) && scripts.contains(word), "{word}: {scripts}");
    }
    for other in ["cronie", "cronie-anacron", "cronie-noanacron"] {
        assert!(told(&["--conflicts"]).lines().any(|line| line == other), "{other}");
    }
    assert!(told(&["--provides"]).lines().any(|line| line == "dailyjobs"), "packages with daily jobs need it");
}

#[test]
fn the_sources_of_the_rpm_have_every_crate_so_that_nothing_is_fetched() {
    let name = "the_sources_of_the_rpm_have_every_crate_so_that_nothing_is_fetched";
    if lacks(name, &["rpmbuild", "git"]) {
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    let sources = place.path().join("SOURCES");
    // From what cargo has on this machine: a test fetches nothing.
    let made = Command::new(contrib().join("rpm/make-sources"))
        .arg(&sources)
        .env("CARGO_NET_OFFLINE", "true")
        .output()
        .expect("make-sources");
    let said = String::from_utf8_lossy(&made.stderr);
    if said.contains("offline") {
        return crate::common::stage::skip(name, "crates are missing: run tests/install-needs");
    }
    assert!(made.status.success(), "{said}");
    run(Command::new("rpmbuild")
        .args(["-bp", "--nodeps"])
        .args(macros(place.path()))
        .arg(contrib().join("rpm/cronwheel.spec")));
    let tree = place.path().join(format!("BUILD/cronwheel-{}", env!("CARGO_PKG_VERSION")));
    // As the spec builds, where nothing has ever been fetched.
    let read = Command::new("cargo")
        .args(["metadata", "--frozen", "--format-version", "1"])
        .current_dir(&tree)
        .env("CARGO_HOME", place.path().join("empty"))
        .output()
        .expect("cargo");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&read.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 50, "{} packages", packages.len());
    for package in packages.iter().filter(|package| package["name"] != "cronwheel") {
        let manifest = Path::new(package["manifest_path"].as_str().expect("a path"));
        assert!(manifest.starts_with(tree.join("vendor")), "{}", manifest.display());
    }
}

#[test]
fn the_smoke_test_is_declared_as_autopkgtest_reads_it() {
    let fields: Vec<(String, String)> = read("debian/tests/control")
        .lines()
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("not a field: {line}")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let field = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    for test in field("Tests").expect("tests").split(' ') {
        let file = contrib().join("debian/tests").join(test);
        let mode = fs::metadata(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display())).permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{} is to be executable", file.display());
    }
    assert_eq!(field("Depends"), Some("cronwheel"));
    assert!(field("Restrictions").is_some_and(|all| all.split(", ").any(|one| one == "needs-root")));
}
