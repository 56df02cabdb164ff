//! The Debian package, built by `cargo deb` and swapped with Debian's own cron on a small Debian of its own.
//!
//! `tests/install-needs` makes that Debian with debootstrap. A copy of it is entered by namespaces and chroot; its
//! /dev/log is read from here.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests, though not inside a #[test]")]

#[path = "../common/mod.rs"]
pub mod common;

mod boot;

use common::machine::run;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The package's own test of an installed package.
const SMOKE: &str = include_str!("../../contrib/debian/tests/smoke");

/// Where `tests/install-needs` puts what the tests need.
fn needs() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target directory").join("needs")
}

/// Says why a test cannot run here, if so; with `CI=true` that is a failure.
fn cannot(name: &str) -> bool {
    let lacking =
        ["bookworm", "booted", "cron.deb", "tools/bin/cargo-deb"].into_iter().find(|need| !needs().join(need).exists());
    let reason = match (nix::unistd::geteuid().is_root(), lacking) {
        (false, _) => "needs root".to_owned(),
        (true, Some(need)) => format!("{need} is missing: run tests/install-needs"),
        (true, None) => return false,
    };
    common::stage::skip(name, &reason);
    true
}

/// Builds the package once for all tests.
fn package() -> PathBuf {
    static BUILT: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut built = BUILT.lock().expect("the other test");
    if let Some(path) = &*built {
        return path.clone();
    }
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cronwheel.deb");
    run(Command::new(needs().join("tools/bin/cargo-deb"))
        .args(["--locked", "--output"])
        .arg(&path)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        // What cargo tells a test's process is not meant for another build.
        .env_remove("CARGO_TARGET_TMPDIR"));
    built.insert(path).clone()
}

#[test]
fn lintian_has_nothing_to_say() {
    if cannot("lintian_has_nothing_to_say") {
        return;
    }
    let told = run(Command::new("lintian")
        .args(["--fail-on", "error,warning", "--allow-root", "--tag-display-limit", "0"])
        .arg(package()));
    assert!(!told.contains("E: ") && !told.contains("W: "), "{told}");
}

#[test]
fn the_package_and_debians_cron_swap_places_without_losing_or_repeating_anything() {
    if cannot("the_package_and_debians_cron_swap_places_without_losing_or_repeating_anything") {
        return;
    }
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let root = place.path().join("root");
    run(Command::new("cp").args(["-a", "--reflink=auto"]).arg(needs().join("bookworm")).arg(&root));
    fs::create_dir(root.join("packages")).expect("a directory");
    fs::copy(package(), root.join("packages/cronwheel.deb")).expect("our package");
    fs::copy(needs().join("cron.deb"), root.join("packages/cron.deb")).expect("Debian's package");
    fs::write(root.join("packages/story"), include_str!("story")).expect("the story");
    fs::write(root.join("packages/smoke"), SMOKE).expect("the smoke test");

    let log = Log::read(&root.join("dev/log"));
    let told = run(Command::new("unshare")
        .args(common::stage::NAMESPACES)
        .args(["--", "chroot"])
        .arg(&root)
        .args(["/bin/sh", "-eu", "/packages/story"])
        .env_clear()
        .envs([
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            ("LC_ALL", "C.UTF-8"),
            ("DEBIAN_FRONTEND", "noninteractive"),
        ]));
    assert!(told.contains("the end of the story"), "{told}");

    let lines = log.lines();
    for user in ["alice", "bob", "carol"] {
        let started = lines.iter().filter(|line| line.contains(&format!("({user}) CMD (date +%s >> ran")));
        assert!(started.count() >= 3, "{user} under each of the three daemons: {lines:#?}");
    }
    // Twice Debian's cron, three times ours, one of them by an upgrade.
    assert_eq!(lines.iter().filter(|line| line.contains("INFO (pidfile fd")).count(), 5, "{lines:#?}");
}

/// Every line that comes to a log socket.
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    fn read(place: &Path) -> Log {
        // A stale socket of the file system's maker.
        fs::remove_file(place).ok();
        let socket = UnixDatagram::bind(place).expect("a log socket");
        fs::set_permissions(place, std::os::unix::fs::PermissionsExt::from_mode(0o666)).expect("its mode");
        socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a time limit");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (kept, place) = (lines.clone(), place.to_owned());
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            // Until the file system is taken away.
            while place.exists() {
                if let Ok(n) = socket.recv(&mut buffer) {
                    kept.lock().expect("the reader").push(String::from_utf8_lossy(&buffer[..n]).into_owned());
                }
            }
        });
        Log { lines }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("the log's reader").clone()
    }
}
