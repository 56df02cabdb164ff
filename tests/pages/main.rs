//! The man pages' options and the shells' completions are made from the programs' own command lines.
//!
//! `UPDATE_PAGES=1 cargo test --test pages` writes them anew; without it a page that is behind fails.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests, though not inside a #[test]")]

mod completions;
mod configuration;
mod examples;
mod options;
mod settings;
mod sizing;

use cronwheel::profile::ProfileName;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program, its page, and its command line in each profile.
struct Program {
    name: &'static str,
    page: &'static str,
    command: fn(ProfileName) -> clap::Command,
}

const PROGRAMS: [Program; 3] = [
    Program { name: "crond", page: "man/crond.8", command: cronwheel::daemon::cli::command },
    Program { name: "crontab", page: "man/crontab.1", command: cronwheel::cli::crontab::cli::command },
    Program { name: "cronctl", page: "man/cronctl.1", command: cronwheel::cli::cronctl::command },
];

const PAGES: [&str; 10] = [
    "man/cron.8",
    "man/crond.8",
    "man/crontab.1",
    "man/cronctl.1",
    "man/crontab.5",
    "man/cronwheel.toml.5",
    "man/cron-differences.7",
    "man/cronwheel.7",
    "man/cronwheel-fleet.7",
    "man/cronwheel-migrate.7",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Compares a committed file with what it should be, or writes it.
fn keep(path: &str, wanted: &str) {
    if std::env::var_os("UPDATE_PAGES").is_some() {
        let place = root().join(path);
        fs::create_dir_all(place.parent().expect("a directory")).expect("a directory");
        fs::write(place, wanted).expect("the page");
        return;
    }
    assert!(read(path) == wanted, "{path} is behind: run UPDATE_PAGES=1 cargo test --test pages");
}

#[test]
fn the_options_in_the_pages_are_those_of_the_programs() {
    for program in &PROGRAMS {
        let page = read(program.page);
        let (before, rest) = page.split_once(options::BEGIN).expect("the first mark");
        let (_, after) = rest.split_once(options::END).expect("the second mark");
        let made = options::render((program.command)(ProfileName::Debian), (program.command)(ProfileName::Cronie));
        keep(program.page, &format!("{before}{}{made}{}{after}", options::BEGIN, options::END));
    }
}

#[test]
fn every_flag_and_every_verb_is_in_its_page() {
    for program in &PROGRAMS {
        let page = read(program.page);
        for profile in [ProfileName::Debian, ProfileName::Cronie] {
            let mut command = (program.command)(profile);
            command.build();
            for word in options::words(&command) {
                assert!(page.contains(&word), "{}: {word} is not in {}", program.name, program.page);
            }
        }
    }
}

#[test]
fn no_example_and_no_verb_stands_twice_in_the_overview_of_cronctl() {
    let page = read("man/cronctl.1");
    let begin = page.find(".Ss Examples\n").expect("the examples");
    let end = page.find("Options of all verbs:").expect("the options");
    let (examples, text) = page[begin..end].split_once(".Ed\n").expect("the end of the examples");
    let examples = examples.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
    let listed = text.split(".Pp\n").find(|paragraph| paragraph.contains("ask the daemon")).expect("the list of verbs");
    let verbs = listed.lines().filter_map(|line| line.strip_prefix(".Ic ")).flat_map(|line| line.split(" , "));
    let mut seen = std::collections::HashSet::new();
    for name in examples.chain(verbs.map(|verb| verb.trim_end_matches(" ,"))) {
        assert!(seen.insert(name), "{name} stands twice");
    }
    assert!(seen.contains("cronctl top") && seen.contains("ping"), "{seen:?}");
}

#[test]
fn every_column_of_the_history_is_in_the_page_of_the_daemon() {
    let page = read("man/crond.8");
    // A name of a table or a column, at the beginning of its line.
    let schema = read("src/history/schema.rs");
    let (_, rest) = schema.split_once("const FIRST").expect("the schema");
    let schema = rest.split("\";").next().expect("its end");
    let page: String =
        page.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').fold(" ".into(), |all, word| all + word + " ");
    let mut names = 0;
    for line in schema.lines() {
        let line = line.trim_start();
        let table = line.strip_prefix("CREATE TABLE ");
        let column = || [" INTEGER", " TEXT", " REAL", " BLOB"].iter().any(|kind| line.contains(kind)).then_some(line);
        let Some(name) = table.or_else(column).and_then(|line| line.split(' ').next()) else { continue };
        assert!(page.contains(&format!(" {name} ")), "{name} of the history is not in man/crond.8");
        names += 1;
    }
    assert!(names > 40, "{names} names");
}

#[test]
fn the_page_of_the_whole_has_two_screens() {
    let Ok(shown) = Command::new("mandoc").args(["-O", "width=80"]).arg(root().join("man/cronwheel.7")).output() else {
        return; // The test below says that it is missing.
    };
    let lines = String::from_utf8_lossy(&shown.stdout).lines().count();
    assert!((40..=100).contains(&lines), "{lines} lines");
}

#[test]
fn every_setting_and_every_nickname_is_in_the_language_page() {
    let page = read("man/crontab.5");
    let settings = cronwheel::crontab::settings();
    let nicknames = cronwheel::schedule::nicknames();
    for word in settings.chain(nicknames) {
        assert!(page.contains(word), "{word} is not in man/crontab.5");
    }
}

#[test]
fn the_job_settings_in_the_language_page_are_those_of_the_parser() {
    let page = read("man/crontab.5");
    let (before, rest) = page.split_once(settings::BEGIN).expect("the first mark");
    let (_, after) = rest.split_once(settings::END).expect("the second mark");
    keep("man/crontab.5", &format!("{before}{}{}{}{after}", settings::BEGIN, settings::render(), settings::END));
}

#[test]
fn the_sizes_of_fleets_are_those_of_the_model() {
    let page = read("man/cronwheel-fleet.7");
    let (before, rest) = page.split_once(sizing::BEGIN).expect("the first mark");
    let (_, after) = rest.split_once(sizing::END).expect("the second mark");
    keep("man/cronwheel-fleet.7", &format!("{before}{}{}{}{after}", sizing::BEGIN, sizing::render(), sizing::END));
}

#[test]
fn every_job_setting_is_highlighted_by_vim() {
    let syntax = read("contrib/vim/syntax/crontab.vim");
    for setting in cronwheel::crontab::job_settings() {
        let name = setting.name.strip_prefix("CRON_").expect("CRON_");
        let is_there = ["(", "|"].iter().any(|before| syntax.contains(&format!("\\{before}{name}\\")));
        assert!(is_there, "{name} is not in contrib/vim/syntax/crontab.vim");
    }
}

#[test]
fn the_completions_are_those_of_the_programs() {
    for program in &PROGRAMS {
        for (path, text) in completions::of(program.name, (program.command)(ProfileName::Debian)) {
            keep(&path, &text);
        }
    }
    // The daemon's name on Debian.
    for (path, text) in completions::of("cron", cronwheel::daemon::cli::command(ProfileName::Debian).name("cron")) {
        keep(&path, &text);
    }
}

#[test]
fn the_daemons_page_is_found_by_both_of_its_names_and_each_page_by_its_own() {
    if std::env::var("CI").as_deref() != Ok("true") && Command::new("mman").arg("-w").output().is_err() {
        return; // The test below says that mandoc is missing.
    }
    let shelf = shelf();
    let title = |section: &str, name: &str| {
        let shown =
            Command::new("mman").args(["-c", "-M"]).arg(shelf.path()).args([section, name]).output().expect("mman");
        assert!(shown.status.success(), "man {section} {name}: {}", String::from_utf8_lossy(&shown.stderr));
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        text.lines().find(|line| !line.trim().is_empty()).map(str::to_owned).unwrap_or_default()
    };
    for (section, name, wanted) in [
        ("8", "cron", "CROND(8)"),
        ("8", "crond", "CROND(8)"),
        ("1", "crontab", "CRONTAB(1)"),
        ("5", "crontab", "CRONTAB(5)"),
        ("7", "cronwheel", "CRONWHEEL(7)"),
        ("5", "cronwheel.toml", "CRONWHEEL.TOML(5)"),
        ("7", "cronwheel-fleet", "CRONWHEEL-FLEET(7)"),
        ("7", "cronwheel-migrate", "CRONWHEEL-MIGRATE(7)"),
    ] {
        let title = title(section, name);
        assert!(title.starts_with(wanted), "man {section} {name} shows {title}");
    }
}

/// The pages where man(1) looks for them. They refer to each other.
fn shelf() -> tempfile::TempDir {
    let shelf = tempfile::tempdir().expect("a directory");
    for page in PAGES {
        let (name, section) = page.rsplit_once('.').expect("a section");
        let place = shelf.path().join(format!("man{section}"));
        fs::create_dir_all(&place).expect("a directory");
        let name = Path::new(name).file_name().expect("a name").to_string_lossy().into_owned();
        fs::copy(root().join(page), place.join(format!("{name}.{section}"))).expect("a copy");
    }
    shelf
}

#[test]
fn mandoc_has_nothing_to_say_about_any_page() {
    let shelf = shelf();
    let checked: Vec<PathBuf> = PAGES.iter().map(|page| root().join(page)).collect();
    let output = match Command::new("mandoc")
        .args(["-Tlint", "-W", "style"])
        .args(&checked)
        .env("MANPATH", shelf.path())
        .output()
    {
        Ok(output) => output,
        Err(e) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "mandoc: {e}");
            // Past the test harness, which swallows what passing tests print.
            let line = format!("SKIP mandoc_has_nothing_to_say_about_any_page: mandoc: {e}\n");
            std::io::stderr().write_all(line.as_bytes()).expect("stderr");
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
