//! Zone files of the system (Debian's package `tzdata`) against a second reader, and against the program's own copy.

use cronwheel::schedule::{Timestamp, Zone};
use fastrand::Rng;
use std::path::{Path, PathBuf};
use tz::TimeZone;

const ZONEINFO: &str = "/usr/share/zoneinfo";

/// Every zone file, by name.
fn files() -> Vec<(String, Vec<u8>)> {
    let mut directories = vec![PathBuf::from(ZONEINFO)];
    let mut files = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(&directory).expect("zoneinfo is installed") {
            let path = entry.unwrap().path();
            match std::fs::read(&path) {
                Ok(bytes) if bytes.starts_with(b"TZif") => {
                    let name = path.strip_prefix(ZONEINFO).unwrap_or(&path).to_string_lossy().into_owned();
                    files.push((name, bytes));
                }
                Ok(_) => {}
                Err(_) if path.is_symlink() => {}
                Err(_) if path.is_dir() => directories.push(path),
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }
    assert!(files.len() > 400, "only {} zone files", files.len());
    files
}

#[test]
fn every_zone_file_gives_the_offsets_that_its_reader_finds() {
    let mut rng = Rng::with_seed(1970);
    for (name, bytes) in files().into_iter().filter(|(name, _)| !name.starts_with("right/")) {
        let ours = Zone::from_tzif(&name, &bytes).unwrap();
        let theirs = TimeZone::from_tz_data(&bytes).unwrap();
        let changes = theirs.as_ref().transitions().iter().map(|change| change.unix_leap_time());
        let around = changes.flat_map(|at| [at - 1, at, at + 1]);
        let random: Vec<i64> = (0..300).map(|_| rng.i64(-6_000_000_000..30_000_000_000)).collect();
        for at in around.chain(random) {
            // After the last change of a file without a rule the second reader does not answer; ours stays.
            if let Ok(kind) = theirs.find_local_time_type(at) {
                assert_eq!(ours.offset_at(Timestamp(at)), kind.ut_offset(), "{name} at {}", Timestamp(at));
            }
        }
    }
}

#[test]
fn transitions_are_the_moments_at_which_the_offset_changes() {
    for (name, bytes) in files() {
        let zone = Zone::from_tzif(&name, &bytes).unwrap();
        let mut at = Timestamp(-4_000_000_000);
        while let Some(change) = zone.next_transition(at).filter(|change| change.at.0 < 20_000_000_000) {
            assert_eq!(zone.offset_at(Timestamp(change.at.0 - 1)), change.before, "{name} at {}", change.at);
            assert_eq!(zone.offset_at(change.at), change.after, "{name} at {}", change.at);
            assert_ne!(change.before, change.after, "{name} at {}", change.at);
            at = change.at;
        }
    }
}

#[test]
fn the_copy_in_the_program_agrees_with_the_files() {
    // Zones whose rules have been the same in every edition of the database for ten years.
    const NAMES: [&str; 8] = [
        "Europe/Berlin",
        "Europe/London",
        "America/New_York",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Australia/Sydney",
        "Pacific/Apia",
        "Asia/Kathmandu",
    ];
    // Beyond 2100, where the copy's own lists end, too.
    const YEAR_2600: i64 = 19_880_899_200;
    for name in NAMES {
        let bytes = std::fs::read(Path::new(ZONEINFO).join(name)).unwrap();
        let (file, copy) = (Zone::from_tzif(name, &bytes).unwrap(), Zone::embedded(name).unwrap());
        let mut at = Timestamp(0);
        while at.0 < YEAR_2600 {
            let change = file.next_transition(at);
            assert_eq!(change, copy.next_transition(at), "{name} after {at}");
            let Some(change) = change else { break };
            at = change.at;
        }
    }
}
