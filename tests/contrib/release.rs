//! Releases: the version is the same everywhere, and the changelog has its form. (`release/reproducible` builds twice, which takes too
//! long for a test; RELEASE.md says when it is run.)

use crate::{contrib, read, run};
use std::fs;
use std::path::Path;
use std::process::Command;

fn top(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn the_version_is_that_of_cargo_toml_everywhere() {
    let version = env!("CARGO_PKG_VERSION");
    let spec = read("rpm/cronwheel.spec");
    let field = |name: &str| spec.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    assert_eq!(field("Version:"), Some(version));
    let (_, changes) = spec.split_once("%changelog\n").expect("a changelog");
    assert!(changes.lines().next().is_some_and(|line| line.ends_with(&format!(" - {version}-1"))), "{changes}");
    let debian = read("debian/changelog");
    assert!(debian.starts_with(&format!("cronwheel ({version}-1) ")), "{debian}");
    assert!(top("CHANGELOG.md").contains(&format!("\n## {version} (")), "CHANGELOG.md has no {version}");
    for (program, path) in [("crond", env!("CARGO_BIN_EXE_crond")), ("cronctl", env!("CARGO_BIN_EXE_cronctl"))] {
        let said = run(Command::new(path).arg("--version"));
        assert!(said.split_whitespace().any(|word| word == version), "{program}: {said}");
    }
    // make-sources reads it out of Cargo.toml.
    let read_by_sed = run(Command::new("sh")
        .args(["-c", r#"sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1"#])
        .current_dir(env!("CARGO_MANIFEST_DIR")));
    assert_eq!(read_by_sed.trim(), version);
    assert!(read("rpm/make-sources").contains(r#"sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1"#));
}

#[test]
fn the_changelog_has_added_changed_and_fixed_once_for_each_version() {
    let text = top("CHANGELOG.md");
    let versions: Vec<&str> = text.split("\n## ").skip(1).collect();
    assert!(versions[0].starts_with("Unreleased\n") || versions[0].starts_with(env!("CARGO_PKG_VERSION")));
    for version in versions {
        let headings: Vec<&str> = version.lines().filter_map(|line| line.strip_prefix("### ")).collect();
        let known = ["Added", "Changed", "Fixed"];
        let wanted: Vec<&str> = known.into_iter().filter(|heading| headings.contains(heading)).collect();
        assert_eq!(headings, wanted, "{}", version.lines().next().unwrap_or_default());
    }
}

#[test]
fn the_checklist_names_what_there_is() {
    let checklist = read("RELEASE.md");
    for script in ["contrib/release/reproducible", "contrib/rpm/make-sources", "contrib/debian/tests/smoke"] {
        assert!(checklist.contains(script), "{script}");
        assert!(contrib().join("..").join(script).exists(), "{script}");
    }
}
