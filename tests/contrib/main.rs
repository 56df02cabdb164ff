//! Every file of `contrib`, held against the program that it is written for, or the nearest that Debian has.
//!
//! `contrib/README.md` says to its readers what is checked and what is not; both lists are compared with the folder.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test program, helpers included.

#[path = "../common/mod.rs"]
pub mod common;

mod containers;
mod editors;
mod fleet;
mod logging;
mod packages;
mod prometheus;
mod readme;
mod release;
mod services;
mod shells;

use common::machine::run;
use std::fs;
use std::path::{Path, PathBuf};

/// Which test has a file in its hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// One of this program's modules.
    Here(&'static str),
    /// The check is in another test program.
    There(&'static str),
}

use Check::{Here, There};

/// Every file below `contrib`.
const FILES: [(&str, Check); 53] = [
    ("README.md", Here("main")),
    ("RELEASE.md", Here("release")),
    ("completions/_cron", Here("shells")),
    ("completions/_crond", Here("shells")),
    ("completions/_cronctl", Here("shells")),
    ("completions/_crontab", Here("shells")),
    ("completions/cron.bash", Here("shells")),
    ("completions/cron.fish", Here("shells")),
    ("completions/crond.bash", Here("shells")),
    ("completions/crond.fish", Here("shells")),
    ("completions/cronctl.bash", Here("shells")),
    ("completions/cronctl.fish", Here("shells")),
    ("completions/crontab.bash", Here("shells")),
    ("completions/crontab.fish", Here("shells")),
    ("config/cronwheel.toml", There("pages")),
    ("debian/changelog", There("package")),
    ("debian/copyright", There("package")),
    ("debian/lintian-overrides", There("package")),
    ("debian/postinst", Here("services")),
    ("debian/postrm", Here("services")),
    ("debian/preinst", Here("services")),
    ("debian/prerm", Here("services")),
    ("debian/tests/control", Here("packages")),
    ("debian/tests/smoke", There("package")),
    ("default/cron", Here("services")),
    ("default/crond", Here("services")),
    ("docker/Dockerfile", Here("containers")),
    ("docker/compose.yaml", Here("containers")),
    ("fleet/quickstart", Here("fleet")),
    ("kubernetes/cronwheel.yaml", Here("containers")),
    ("kubernetes/fleet.yaml", Here("fleet")),
    ("logrotate/cron", Here("logging")),
    ("openrc/crond", Here("services")),
    ("pam/cron.debian", There("package")),
    ("pam/crond.cronie", Here("services")),
    ("prometheus/alerts.yml", Here("prometheus")),
    ("prometheus/alerts_test.yml", Here("prometheus")),
    ("prometheus/scrape.yml", Here("prometheus")),
    ("prometheus/textfile.cron", Here("prometheus")),
    ("release/reproducible", Here("release")),
    ("rpm/cronwheel.spec", Here("packages")),
    ("rpm/make-sources", Here("packages")),
    ("rsyslog/30-cron.conf", Here("logging")),
    ("screenshots/overview.webp", There("web")),
    ("screenshots/timeline.webp", There("web")),
    ("systemd/cron.service", Here("services")),
    ("systemd/crond.service", Here("services")),
    ("systemd/cronwheel-web.service", Here("services")),
    ("systemd/cronwheel-web.socket", Here("services")),
    ("systemd/cronwheel.sysusers.conf", Here("services")),
    ("sysv/cron", Here("services")),
    ("vim/ftdetect/cronwheel.vim", Here("editors")),
    ("vim/syntax/crontab.vim", Here("editors")),
];

fn contrib() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib")
}

fn read(path: &str) -> String {
    fs::read_to_string(contrib().join(path)).unwrap_or_else(|e| panic!("contrib/{path}: {e}"))
}

/// Says why a test cannot run here, if a program or an unpacked package is missing; with `CI=true` that is a failure.
fn lacks(test: &str, needs: &[&str]) -> bool {
    let Some(reason) = common::stage::missing(needs) else { return false };
    common::stage::skip(test, &reason);
    true
}

/// The files below `directory`, as paths relative to `contrib`.
fn files_below(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("contrib") {
        let path = entry.expect("contrib").path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path.strip_prefix(contrib()).expect("below contrib").display().to_string());
        }
    }
    found.sort();
    found
}

#[test]
fn every_file_has_its_check() {
    let mut listed: Vec<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
    listed.sort();
    assert_eq!(files_below(&contrib()), listed);
    let programs = |kind| {
        FILES.iter().filter_map(move |(path, check)| match (check, kind) {
            (Here(module), "here") | (There(module), "there") => Some((*path, *module)),
            _ => None,
        })
    };
    let source = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a test");
    for (path, module) in programs("here") {
        let name = path.rsplit('/').next().expect("a name");
        let text = source(&format!("tests/contrib/{module}.rs"));
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        assert!(text.contains(name) || text.contains(&format!("\"{directory}\"")), "{module}.rs does not name {path}");
    }
    for (path, program) in programs("there") {
        // The package is built from these by Cargo.toml's metadata.
        let text = source(&format!("tests/{program}/main.rs")) + &source("Cargo.toml");
        let directory = path.rsplit_once('/').map_or(path, |(directory, _)| directory);
        assert!(text.contains(&format!("contrib/{directory}")), "nothing of tests/{program} uses {path}");
    }
}

#[test]
fn the_readme_says_of_every_file_how_it_is_checked() {
    let readme = read("README.md");
    for (path, _) in FILES.iter().filter(|(path, _)| *path != "README.md") {
        let directory = path.split('/').next().expect("a folder");
        let names_it =
            |line: &str| line.starts_with(&format!("| `{path}`")) || line.starts_with(&format!("| `{directory}/`"));
        assert!(readme.lines().any(names_it), "contrib/README.md says nothing about {path}");
    }
}
