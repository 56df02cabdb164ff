//! The inputs of the fuzz targets, those that were found included, replayed without a fuzzer; see README.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a target that finds a fault panics")]

#[path = "../calendar/reference.rs"]
mod reference;
#[expect(dead_code, reason = "random schedules are for the suite `calendar`")]
#[path = "../calendar/spec.rs"]
mod spec;
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A corpus stays small enough for a repository.
const LARGEST_CORPUS: u64 = 80 << 10;

fn corpus_of(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target)
}

/// The files of a corpus, in the order of their names.
fn inputs_of(target: &str) -> BTreeSet<PathBuf> {
    let corpus = corpus_of(target);
    let files = fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    files.map(|file| file.unwrap().path()).collect()
}

/// Runs a target with each input of its corpus, and with beginnings of it.
fn replay(target: &str) {
    let Some(run) = targets::named(target) else {
        assert!(target == "http" && !cfg!(feature = "web"), "there is no target {target}");
        return;
    };
    let inputs = inputs_of(target);
    assert!(!inputs.is_empty(), "{target} has no corpus");
    let mut bytes = 0;
    for path in inputs {
        let input = fs::read(&path).unwrap();
        bytes += input.len() as u64;
        // The harness shows this where the target panics.
        println!("{}", path.display());
        run(&input);
        println!("{}, the first half", path.display());
        run(&input[..input.len() / 2]);
    }
    assert!(bytes <= LARGEST_CORPUS, "the corpus of {target} has {bytes} bytes; tests/fuzz/run --minimise {target}");
}

/// A test for each target, so that they run side by side and a failure names the target.
macro_rules! replayed {
    ($($target:ident),* $(,)?) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target));
        })*

        #[test]
        fn every_target_is_replayed_and_described() {
            let replayed = [$(stringify!($target)),*];
            let missing = targets::TARGETS.iter().find(|(name, _)| !replayed.contains(name));
            assert!(missing.is_none(), "{missing:?} is not replayed");
            let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/README.md")).unwrap();
            for name in replayed {
                assert!(page.contains(&format!("\n| `{name}` | ")), "README.md does not say what {name} checks");
            }
        }
    };
}

replayed! {
    access,
    anacrontab,
    calendar,
    command,
    config,
    daemon_state,
    executor_journal,
    history_journal,
    http,
    mail,
    schedule,
    settings,
    table,
    varlink,
    wire,
    zone,
}
