//! Rules for the text of the source files: the pure modules do no I/O, only `sys` has unsafe code, owners and modes of files are changed
//! in one place, and errors are displayed without Rust's `(os error 2)`. The tests that `SECURITY-CASES.md` names must exist.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

use std::fs;
use std::path::{Path, PathBuf};

/// Modules that do no I/O.
const PURE: [&str; 6] = ["schedule", "crontab", "varlink", "scheduler", "profile.rs", "timeline"];

/// The names of I/O that the pure modules must not contain.
const IO: [&str; 9] =
    ["std::env", "std::fs", "std::process", "std::net", "std::os", "std::thread", "std::time", "nix::", "libc::"];

const MOST_UNSAFE_BLOCKS: usize = 60;

/// Calls that change an owner or a mode; `sys/created.rs` has types for what this process has created.
const OWNER_OR_MODE: [&str; 8] =
    ["chown(", "lchown(", "fchown(", "fchownat(", "chmod(", "fchmod(", "fchmodat(", "set_permissions("];

/// Calls that start a thread, also those of libraries.
const THREAD_STARTS: [&str; 5] =
    ["thread::spawn", "thread::Builder", "thread::scope", "INotifyWatcher::new", "recommended_watcher"];

/// The files that start threads. What the daemon has for that is called after it has given up its `SingleThreaded`; the agent of a fleet is a
/// process of its own, which never forks.
const WITH_THREADS: [&str; 3] = ["daemon/job_state.rs", "daemon/watch.rs", "fleet/agent.rs"];

/// The source files below `src` with their code, without comments and unit tests.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut paths, mut files) = (vec![root.clone()], Vec::new());
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if !path.file_stem().unwrap().to_str().unwrap().ends_with("tests") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
            let code = code.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n");
            files.push((path.strip_prefix(&root).unwrap().to_owned(), code));
        }
    }
    files
}

#[test]
fn the_pure_modules_do_no_io_and_forbid_unsafe_code() {
    for name in PURE {
        let files: Vec<_> = sources().into_iter().filter(|(path, _)| path.starts_with(name)).collect();
        for (path, code) in &files {
            let io: Vec<_> = IO.iter().filter(|io| code.contains(*io)).collect();
            assert!(io.is_empty(), "{} names {io:?}", path.display());
        }
        let top = if name.ends_with(".rs") { PathBuf::from(name) } else { Path::new(name).join("mod.rs") };
        let forbids = |(path, code): &(PathBuf, String)| *path == top && code.contains("#![forbid(unsafe_code)]");
        assert!(files.iter().any(forbids), "{} does not forbid unsafe code", top.display());
    }
}

#[test]
fn only_sys_has_unsafe_code_and_not_much() {
    let (sys, others): (Vec<_>, Vec<_>) = sources().into_iter().partition(|(path, _)| path.starts_with("sys"));
    // The module map allows it for sys.
    let allows = |path: &Path, code: &str| code.contains("allow(unsafe_code)") && path != Path::new("lib.rs");
    let wrong = others.iter().filter(|(path, code)| code.contains("unsafe ") || allows(path, code));
    assert_eq!(wrong.map(|(path, _)| path).collect::<Vec<_>>(), [] as [&PathBuf; 0]);
    let blocks: usize = sys.iter().map(|(_, code)| code.matches("unsafe {").count()).sum();
    assert!((1..=MOST_UNSAFE_BLOCKS).contains(&blocks), "{blocks} unsafe blocks");
}

#[test]
fn owners_and_modes_are_changed_only_in_the_module_for_what_was_just_created() {
    let files = sources().into_iter().filter(|(_, code)| OWNER_OR_MODE.iter().any(|call| code.contains(call)));
    assert_eq!(files.map(|(path, _)| path).collect::<Vec<_>>(), [Path::new("sys/created.rs")]);
}

#[test]
fn types_of_errors_contain_no_error_that_is_displayed_with_its_number() {
    // `sys::error::OsError` is for these fields; the display of the others ends with `(os error 2)`.
    for (path, code) in sources() {
        for after in code.split("thiserror::Error").skip(1) {
            let declaration = after.split("\n}\n").next().unwrap().split(";\n").next().unwrap();
            let wrong = ["io::Error", "Errno"].iter().find(|name| declaration.contains(*name));
            assert_eq!(wrong, None, "{}: {declaration}", path.display());
        }
    }
}

#[test]
fn threads_are_started_in_three_files() {
    let starts = |code: &str| THREAD_STARTS.iter().any(|start| code.contains(start));
    let mut found: Vec<PathBuf> =
        sources().into_iter().filter(|(_, code)| starts(code)).map(|(path, _)| path).collect();
    found.sort();
    assert_eq!(found, WITH_THREADS.map(PathBuf::from));
}

#[test]
fn the_scripts_of_the_packages_leave_the_spool_alone() {
    let read =
        |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib").join(name)).unwrap();
    let spec = read("rpm/cronwheel.spec");
    let (_, scriptlets) = spec.split_once("\n%pre\n").unwrap();
    let scriptlets = scriptlets.split("\n%files\n").next().unwrap();
    let scripts = ["preinst", "postinst", "prerm", "postrm"].map(|name| read(&format!("debian/{name}")));
    for script in scripts.iter().map(String::as_str).chain([scriptlets]) {
        for line in script.lines().filter(|line| !line.trim_start().starts_with('#')) {
            assert!(!line.contains("spool") && !line.contains("crontabs"), "{line}");
            let changes = ["chown", "chgrp", "chmod"].iter().any(|call| line.contains(call));
            // dpkg keeps the execute bit of a configuration file as it was.
            assert!(!changes || line.ends_with(" /etc/init.d/cron"), "{line}");
        }
    }
}

/// Whether a file has a test of that name, or a case if it is a file of cases.
fn has_test(path: &Path, name: &str) -> bool {
    let Ok(text) = fs::read_to_string(path) else { return false };
    if path.extension().is_some_and(|extension| extension == "cases") {
        return text.lines().any(|line| line.strip_prefix("case: ") == Some(name));
    }
    text.split_once(&format!("fn {name}() {{")).is_some_and(|(before, _)| before.trim_end().ends_with("#[test]"))
}

#[test]
fn each_security_case_has_tests_that_exist_or_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("tests/SECURITY-CASES.md")).unwrap();
    let rows =
        page.lines().filter(|line| line.starts_with('|') && !line.starts_with("|---") && !line.starts_with("| # "));
    let mut count = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 4 && cells.iter().all(|cell| !cell.is_empty()), "four cells are expected: {row}");
        // Only the names of tests are between backquotes there.
        let tests: Vec<&str> = cells[3].split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty() || cells[3].starts_with("No test: "), "no test and no reason: {row}");
        for test in tests {
            let found = test.split_once(": ").is_some_and(|(file, name)| has_test(&root.join(file), name));
            assert!(found, "there is no test {test}");
        }
        count += 1;
    }
    assert!(count >= 72, "only {count} cases");
}
