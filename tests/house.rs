//! The laws of the house (`src/lib.rs`), read off the source files. Each law has a test that it holds, and one that a
//! sample which breaks it is caught.

#![allow(clippy::expect_used, reason = "a test that cannot read its files has failed")]

#[path = "house/source.rs"]
mod source;

use source::{Source, bare, read, top};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Rooms and the rooms they may import, as the table in `src/lib.rs` says.
type Rooms = BTreeMap<String, BTreeSet<String>>;

/// Rooms that only compute.
const QUIET: [&str; 4] = ["schedule", "table", "plan", "site"];

// ---------------------------------------------------------------------------------------------------------------------
// Imports go down.

/// Reads the table of rooms. What a room may import, it may import with the rooms that show in its types.
fn rooms(page: &str) -> Rooms {
    let rows: Vec<(usize, String, String)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("//! |"))
        .filter_map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let floor = cells[0].parse().ok()?;
            let name = cells[1].trim_matches(['[', ']', '`']).split('/').next()?;
            Some((floor, name.to_owned(), cells[3].to_owned()))
        })
        .collect();
    let below = |floor: usize| rows.iter().filter(move |row| row.0 < floor).map(|row| row.1.clone());
    let listed: Rooms = rows
        .iter()
        .map(|(floor, name, imports)| {
            let words: BTreeSet<String> = imports.split(['`', ' ', ',']).map(str::to_owned).collect();
            let known: BTreeSet<String> =
                rows.iter().map(|row| row.1.clone()).filter(|room| words.contains(room)).collect();
            let may = match imports.as_str() {
                "the programs" => rows.iter().filter(|row| row.0 + 1 == *floor).map(|row| row.1.clone()).collect(),
                but if but.contains("below") => below(*floor).filter(|room| !known.contains(room)).collect(),
                _ => known,
            };
            (name.clone(), may)
        })
        .collect();
    listed.iter().map(|(name, may)| (name.clone(), with_what_they_show(may, &listed, &rows, name))).collect()
}

/// A room that is named one by one brings the rooms below that it is made of; "below, not X" is meant as it says.
fn with_what_they_show(
    may: &BTreeSet<String>,
    listed: &Rooms,
    rows: &[(usize, String, String)],
    name: &str,
) -> BTreeSet<String> {
    let mut reached = may.clone();
    let row = rows.iter().find(|row| row.1 == name).map_or("", |row| row.2.as_str());
    if row.contains("below") || row == "the programs" {
        return reached;
    }
    loop {
        let more: BTreeSet<String> = reached.iter().flat_map(|room| listed[room].iter().cloned()).collect();
        if more.is_subset(&reached) {
            return reached;
        }
        reached.extend(more);
    }
}

/// The rooms that a file names, with the line.
fn imports(file: &Source, rooms: &Rooms) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let code = &file.code;
    for prefix in ["crate::", "cronwheel::"] {
        for (at, _) in code.match_indices(prefix) {
            let line = code[..at].matches('\n').count() + 1;
            found.extend(heads(&code[at + prefix.len()..]).into_iter().map(|name| (line, name)));
        }
    }
    // `super::` may climb out of the room, too.
    for (at, _) in code.match_indices("super::") {
        let supers = code[at..].split("super::").take_while(|between| between.is_empty()).count();
        if !code[..at].ends_with("super::") && supers >= file.depth() {
            let line = code[..at].matches('\n').count() + 1;
            found.extend(heads(&code[at + "super::".len() * supers..]).into_iter().map(|name| (line, name)));
        }
    }
    found.retain(|(_, name)| rooms.contains_key(name));
    found
}

/// The first names of a path or of a group of paths: `a` of `a::b`, `a` and `c` of `{a::b, c}`.
fn heads(path: &str) -> Vec<String> {
    let word =
        |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![word(path)] };
    let mut names = vec![word(group)];
    let mut depth = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(word(&group[at + 1..])),
            _ => {}
        }
    }
    names
}

fn wrong_imports(files: &[Source], rooms: &Rooms) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in files {
        let Some(room) = file.room() else { continue };
        let Some(may) = rooms.get(room) else {
            wrong.push(format!("{}: the room {room} is not in the table of src/lib.rs", file.path));
            continue;
        };
        for (line, name) in imports(file, rooms) {
            if name != room && !may.contains(&name) {
                wrong.push(format!("{}:{line}: {room} may not import {name}", file.path));
            }
        }
    }
    wrong
}

fn the_rooms() -> Rooms {
    rooms(&fs::read_to_string(top().join("src/lib.rs")).expect("src/lib.rs can be read"))
}

#[test]
fn imports_go_down_or_stay_in_the_room() {
    let rooms = the_rooms();
    assert!(rooms.len() >= 12, "the table of rooms was not understood: {rooms:?}");
    assert_nothing(wrong_imports(&read("src"), &rooms));
}

#[test]
fn an_import_that_goes_up_is_caught_in_every_form() {
    let rooms = the_rooms();
    for (path, code) in [
        ("src/table/parse.rs", "use crate::plan::Plan;"),
        ("src/table/parse.rs", "fn f() { crate::sys::clock::now(); }"),
        ("src/schedule/zone.rs", "use crate::table;"),
        ("src/plan/wheel.rs", "use crate::{schedule::Zone, site};"),
        ("src/plan/wheel.rs", "use crate::{schedule::{Zone, Zones}, sys::clock};"),
        ("src/site.rs", "use crate::spool::Places;"),
        ("src/table/deep/x.rs", "use super::super::super::plan::Plan;"),
        ("src/table/mod.rs", "use super::launch;"),
        ("src/crontab/edit.rs", "use crate::plan::Plan;"),
        ("src/sys/poll.rs", "use crate::report::Log;"),
        ("src/report/log.rs", "use crate::launch::Runner;"),
        ("src/bin/crond.rs", "use cronwheel::plan::Plan;"),
        ("src/attic/mod.rs", "fn f() {}"),
    ] {
        assert_eq!(wrong_imports(&[Source::new(path, code)], &rooms).len(), 1, "{path}: {code}");
    }
    for (path, code) in [
        ("src/table/parse.rs", "use crate::schedule::Zone; use super::line::Line; // crate::plan"),
        ("src/crond/mod.rs", "use crate::{launch, plan, report, spool};"),
        ("src/report/log.rs", "use crate::schedule::Timestamp;"),
        ("src/table/mod.rs", "const TEXT: &str = \"crate::plan\"; #[cfg(test)] mod tests { use crate::plan::Plan; }"),
        ("src/bin/crond.rs", "fn main() { cronwheel::crond::main() }"),
    ] {
        assert_nothing(wrong_imports(&[Source::new(path, code)], &rooms));
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// One door to the kernel, one to the clock, one to the end of the process.

fn unsafe_outside_sys(files: &[Source]) -> Vec<String> {
    let outside = files.iter().filter(|file| file.room() != Some("sys"));
    outside
        .flat_map(|file| {
            let uses = file.words().filter(|(_, word)| *word == "unsafe");
            uses.map(|(line, _)| format!("{}:{line}: unsafe", file.path)).collect::<Vec<_>>()
        })
        .collect()
}

fn clocks_elsewhere(files: &[Source]) -> Vec<String> {
    const READS: &[&str] = &[
        "SystemTime::now",
        "Instant::now",
        "clock_gettime",
        "gettimeofday",
        "libc::time(",
        "Utc::now",
        "Local::now",
        "UNIX_EPOCH.elapsed",
        "ClockId::now",
    ];
    let elsewhere = files.iter().filter(|file| file.path != "src/sys/clock.rs");
    elsewhere.flat_map(|file| file.lines_with(READS).collect::<Vec<_>>()).collect()
}

fn exits_elsewhere(files: &[Source]) -> Vec<String> {
    const EXITS: &[&str] = &["process::exit", "_exit(", "libc::exit", "process::abort", "libc::abort"];
    let elsewhere = files.iter().filter(|file| !matches!(file.room(), Some("bin" | "sys")));
    elsewhere.flat_map(|file| file.lines_with(EXITS).collect::<Vec<_>>()).collect()
}

#[test]
fn unsafe_code_is_in_sys_alone() {
    assert_nothing(unsafe_outside_sys(&read("src")));
    let sample = |path: &str| [Source::new(path, "#![forbid(unsafe_code)]\nfn f() { unsafe { g() } }")];
    assert_eq!(unsafe_outside_sys(&sample("src/plan/x.rs")), ["src/plan/x.rs:2: unsafe"]);
    assert_nothing(unsafe_outside_sys(&sample("src/sys/x.rs")));
}

#[test]
fn the_clock_is_asked_in_one_file() {
    assert_nothing(clocks_elsewhere(&read("src")));
    let sample = |path: &str| [Source::new(path, "let now = std::time::Instant::now();")];
    assert_eq!(clocks_elsewhere(&sample("src/launch/x.rs")).len(), 1);
    assert_eq!(clocks_elsewhere(&sample("src/sys/timer.rs")).len(), 1);
    assert_nothing(clocks_elsewhere(&sample("src/sys/clock.rs")));
}

#[test]
fn only_mains_and_sys_end_the_process() {
    assert_nothing(exits_elsewhere(&read("src")));
    let sample = |path: &str| [Source::new(path, "std::process::exit(1)")];
    assert_eq!(exits_elsewhere(&sample("src/crond/x.rs")).len(), 1);
    assert_nothing(exits_elsewhere(&sample("src/bin/crond.rs")));
}

// ---------------------------------------------------------------------------------------------------------------------
// Owners and modes are changed only on what this process has created.

/// Calls that change an owner or a mode. `permissions` and `mode` of builders say what something is created with, and are no changes.
const OWNER_OR_MODE: [&str; 8] =
    ["chown", "lchown", "fchown", "fchownat", "chmod", "fchmod", "fchmodat", "set_permissions"];

/// Every such call but those in `sys/created.rs`, whose types can be made only by creating something. There are no exceptions.
fn changes_of_owner_or_mode(files: &[Source]) -> Vec<String> {
    let is_checked = |path: &str| path != "src/sys/created.rs" && !path.ends_with("_tests.rs");
    let elsewhere = files.iter().filter(|file| is_checked(&file.path));
    elsewhere
        .flat_map(|file| {
            let calls = file.words().filter(|(_, word)| OWNER_OR_MODE.contains(word));
            calls.map(|(line, word)| format!("{}:{line}: {word}", file.path)).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn owners_and_modes_are_changed_only_where_the_type_says_that_we_created_it() {
    let files = read("src");
    assert_nothing(changes_of_owner_or_mode(&files));
    let module: Vec<_> = files.into_iter().filter(|file| file.path == "src/sys/created.rs").collect();
    assert_eq!(module.len(), 1, "the module that may change them is not where it was");
    for code in [
        "nix::unistd::fchown(fd, Some(uid), None)",
        "use std::os::unix::fs::{chown, symlink};",
        "unsafe { libc::fchmodat(fd, name, mode, 0) }",
        "std::fs::set_permissions(path, mode)",
        "file.set_permissions(mode)",
    ] {
        assert_eq!(changes_of_owner_or_mode(&[Source::new("src/sys/files.rs", code)]).len(), 1, "{code}");
        assert_nothing(changes_of_owner_or_mode(&[Source::new("src/sys/created.rs", code)]));
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The quiet half only computes.

fn noise(files: &[Source]) -> Vec<String> {
    const WORLD: &[&str] = &[
        "std::env",
        "std::fs",
        "std::process",
        "std::net",
        "std::os",
        "std::thread",
        "nix::",
        "libc::",
        "println!",
        "eprintln!",
        "env!(\"\")",
        "File::open",
    ];
    let quiet = files.iter().filter(|file| file.room().is_some_and(|room| QUIET.contains(&room)));
    // What src/build.rs makes is included under a name that only the compiler knows.
    let built = |found: &String| found.starts_with("src/schedule/embedded.rs:") && found.ends_with("env!(\"\")");
    let named = quiet.flat_map(|file| file.lines_with(WORLD).collect::<Vec<_>>()).filter(|found| !built(found));
    named.chain(grouped_noise(files)).collect()
}

/// `use std::{env, fs}` names the world without `std::env` standing there.
fn grouped_noise(files: &[Source]) -> Vec<String> {
    let quiet = files.iter().filter(|file| file.room().is_some_and(|room| QUIET.contains(&room)));
    quiet
        .flat_map(|file| {
            let groups = file.code.match_indices("std::{").flat_map(|(at, _)| heads(&file.code[at + "std::".len()..]));
            groups
                .filter(|name| matches!(name.as_str(), "env" | "fs" | "process" | "net" | "os" | "thread"))
                .map(|name| format!("{}: std::{name}", file.path))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn without_the_ban(files: &[Source]) -> Vec<String> {
    QUIET
        .iter()
        .filter(|room| {
            let doors = [format!("src/{room}/mod.rs"), format!("src/{room}.rs")];
            !files.iter().any(|file| doors.contains(&file.path) && file.code.contains("#![forbid(unsafe_code)]"))
        })
        .map(|room| format!("{room} does not forbid unsafe code"))
        .collect()
}

#[test]
fn the_quiet_half_never_names_the_world() {
    assert_nothing(noise(&read("src")));
    for code in
        ["use std::fs;", "std::env::var(\"TZ\")", "use std::{fmt, net::IpAddr};", "libc::getpid()", "println!()"]
    {
        for room in QUIET {
            assert_eq!(noise(&[Source::new(&format!("src/{room}/x.rs"), code)]).len(), 1, "{room}: {code}");
        }
        assert_nothing(noise(&[Source::new("src/spool/x.rs", code)]));
    }
}

#[test]
fn the_quiet_half_forbids_unsafe_code() {
    let files = read("src");
    assert_nothing(without_the_ban(&files));
    let lax: Vec<Source> = files.into_iter().filter(|file| file.path != "src/plan/mod.rs").collect();
    assert_eq!(without_the_ban(&lax), ["plan does not forbid unsafe code"]);
}

// ---------------------------------------------------------------------------------------------------------------------
// Errors are types, files are short, the top folder is the one of the plan.

fn texts_as_errors(files: &[Source]) -> Vec<String> {
    const MADE: &[&str] = &["Err(format!", "Err(\"\"", "Err(String::from"];
    let mut wrong = Vec::new();
    for file in files {
        wrong.extend(file.lines_with(MADE));
        for (at, start) in file.code.match_indices("Result<") {
            let Some(error) = second_argument(&file.code[at + start.len()..]) else { continue };
            if matches!(error.as_str(), "String" | "&str" | "&'static str" | "Cow<'static, str>") {
                let line = file.code[..at].matches('\n').count() + 1;
                wrong.push(format!("{}:{line}: Result<_, {error}>", file.path));
            }
        }
    }
    wrong
}

/// `E` of `T, E>...`, brackets of all kinds respected.
fn second_argument(arguments: &str) -> Option<String> {
    let mut depth = 0;
    let mut commas = Vec::new();
    let mut last = ' ';
    for (at, c) in arguments.char_indices() {
        match c {
            '>' if last == '-' => {}
            '>' if depth == 0 => {
                let start: usize = *commas.first()?;
                return Some(arguments[start + 1..at].trim().trim_end_matches(',').to_owned());
            }
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth -= 1,
            ',' if depth == 0 => commas.push(at),
            _ => {}
        }
        last = c;
    }
    None
}

/// Most lines of a file.
const LONGEST_FILE: usize = 700;

fn long_files(files: &[Source]) -> Vec<String> {
    let lines = |file: &Source| file.text.lines().count();
    let long = files.iter().filter(|file| lines(file) > LONGEST_FILE);
    long.map(|file| format!("{}: {} lines", file.path, lines(file))).collect()
}

/// What may stand in the top folder, and what tools put there.
const TOP: [&str; 16] = [
    "Cargo.toml",
    "src",
    "crontabs",
    "man",
    "tests",
    "contrib",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
    "clippy.toml",
    ".ci",
    "Cargo.lock",
    "rustfmt.toml",
    ".gitignore",
    ".git",
    "target",
];

fn strangers<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    names.into_iter().filter(|name| !TOP.contains(name)).map(str::to_owned).collect()
}

#[test]
fn no_error_is_a_mere_text() {
    assert_nothing(texts_as_errors(&read("src")));
    for bad in [
        "fn f() -> Result<u8, String> {}",
        "fn f() -> Result<Vec<(u8, u8)>, &'static str> {}",
        "type T = Result<fn(u8) -> u8, String>;",
        "fn f() -> Result<\n    u8,\n    String,\n> {}",
        "return Err(format!(\"x\"))",
        "Err(\"text\".to_owned())",
    ] {
        assert_eq!(texts_as_errors(&[Source::new("src/table/x.rs", bad)]).len(), 1, "{bad}");
    }
    for good in ["fn f() -> io::Result<String> {}", "fn f() -> Result<String, Fault> {}", "Ok::<Vec<String>, E>(x)"] {
        assert_nothing(texts_as_errors(&[Source::new("src/table/x.rs", good)]));
    }
}

#[test]
fn no_file_is_longer_than_a_reader_can_bear() {
    assert_nothing(long_files(&[read("src"), read("tests")].into_iter().flatten().collect::<Vec<_>>()));
    let sample = |lines: usize| [Source::new("src/x.rs", &"//\n".repeat(lines))];
    assert_eq!(long_files(&sample(LONGEST_FILE + 1)).len(), 1);
    assert_nothing(long_files(&sample(LONGEST_FILE)));
}

#[test]
fn the_top_folder_holds_what_the_plan_names() {
    let names: Vec<String> = fs::read_dir(top())
        .expect("the top folder can be read")
        .map(|entry| entry.expect("the top folder can be read").file_name().to_string_lossy().into_owned())
        .collect();
    assert_nothing(strangers(names.iter().map(String::as_str)));
    assert_eq!(strangers(["src", "utils", "docs"]), ["utils", "docs"]);
}

// ---------------------------------------------------------------------------------------------------------------------

#[test]
fn comments_texts_and_tests_are_no_code() {
    let code = bare("a // unsafe\n/* b /* c */ unsafe */ d \"un\\\"safe\" r#\"unsafe \"# 'x' '\\'' e");
    assert!(!code.contains("unsafe"), "{code}");
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "d", "\"\"", "\"\"", "e"]);
    assert!(bare("fn f<'a>(x: &'a str) { unsafe {} }").contains("unsafe"), "a lifetime begins no text");
    let file = Source::new("src/x.rs", "one();\n#[cfg(test)]\nmod tests { two(); }");
    assert!(file.code.contains("one") && !file.code.contains("two"));
}

#[track_caller]
fn assert_nothing(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{:#?}", wrong);
}
