//! `cronctl timeline`, on the terminal and as a file.

use crate::*;

const DAY: [&str; 4] = ["--from", "2026-11-22T00:00:00Z", "--until", "2026-11-23T00:00:00Z"];
const TABLE: &str =
    "*/5 * * * * <five> & 'more'\n0 3 * * * night\n0 3 * * * night too\n0 3 * * * third\n0 0 1 1 * yearly\n";

fn draw(arguments: &[&str]) -> Answer {
    let table = Crontab::of(TABLE);
    ask(&[&["timeline", "--file", table.path()], &DAY[..], arguments].concat())
}

#[test]
fn rows_of_blocks_stand_under_the_hours_and_fit_the_terminal() {
    let answer = draw(&[]);
    assert_eq!((answer.status, answer.err.as_str()), (Some(0), ""));
    assert!(answer.lines().iter().all(|line| line.chars().count() <= 80), "{}", answer.out);
    assert!(answer.lines()[0].contains("2026-11-22 00:00") && answer.lines()[0].contains("UTC"));
    let row = |command: &str| answer.lines().into_iter().find(|line| line.contains(command)).unwrap_or("").to_owned();
    let blocks = |line: &str| line.chars().filter(|c| ('▁'..='█').contains(c)).count();
    assert!(blocks(&row("<five>")) > 20 && blocks(&row("night too")) == 1, "{}", answer.out);
    assert!(answer.out.contains("12:00") && !answer.out.contains('\u{1b}'));
    assert!(answer.out.contains("1 more entry does not run in this time"), "{}", answer.out);
}

#[test]
fn crowded_minutes_and_quiet_times_are_named() {
    let answer = draw(&[]);
    assert!(answer.out.contains("crowded: 03:00 4 starts"), "{}", answer.out);
    let night = Crontab::of("0 3 * * * a\n30 20 * * * b\n");
    let answer = ask(&[&["timeline", "--file", night.path()], &DAY[..]].concat());
    assert!(answer.out.contains("03:01-20:30 17 h 29 min"), "{}", answer.out);
}

#[test]
fn the_picture_is_a_well_formed_file_with_its_texts_escaped() {
    let answer = draw(&["--svg", "-", "--tz", "Europe/Berlin"]);
    assert_eq!(answer.status, Some(0));
    assert!(answer.out.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
    for text in
        ["Europe/Berlin", "2026-11-22 01:00", "&lt;five&gt; &amp; &#39;more&#39;", "<title>", "prefers-color-scheme"]
    {
        assert!(answer.out.contains(text), "{text}");
    }
    assert!(!answer.out.contains("<five>") && !answer.out.contains("http://www.w3.org/1999"));
    let mut open: Vec<&str> = Vec::new();
    for tag in answer.out.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
        let name = tag.trim_start_matches('/').split(char::is_whitespace).next().unwrap_or("");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "{tag}");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert_eq!(open, [""; 0]);
}

#[test]
fn the_picture_goes_into_the_file_that_was_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("day.svg");
    let answer = draw(&["--svg", path.to_str().expect("text")]);
    assert_eq!((answer.status, answer.out.as_str()), (Some(0), ""));
    assert!(std::fs::read_to_string(&path).expect("a picture").ends_with("</svg>\n"));
    let answer = draw(&["--svg", "/nowhere/day.svg"]);
    assert_eq!((answer.status, answer.err.lines().count()), (Some(1), 1), "{answer:?}");
}

#[test]
fn a_locale_without_utf_8_gets_ascii() {
    let table = Crontab::of(TABLE);
    for (variable, value, is_ascii) in [("LC_ALL", "C", true), ("LANG", "POSIX", true), ("LANG", "C.UTF-8", false)] {
        let mut command = program(&[&["timeline", "--file", table.path()], &DAY[..]].concat());
        for name in ["LC_ALL", "LC_CTYPE", "LANG"] {
            command.env_remove(name);
        }
        let output = command.env(variable, value).output().expect("cronctl");
        assert!(output.status.success() && output.stdout.is_ascii() == is_ascii, "{variable}={value}: {output:?}");
    }
}

#[test]
fn changes_of_the_clocks_are_marked_and_told() {
    let table = Crontab::of("30 2 * * * night\n");
    for (from, until, told, marked) in [
        ("2026-03-29", "2026-03-30", "» Sun 2026-03-29 02:00-03:00 does not exist: clocks forward", "no 02:00-03:00"),
        ("2026-10-25", "2026-10-26", "« Sun 2026-10-25 02:00-03:00 comes twice: clocks back", "02:00-03:00 twice"),
    ] {
        let arguments = ["timeline", table.path(), "--tz", "Europe/Berlin", "--from", from, "--until", until];
        let answer = ask(&arguments);
        assert!(answer.out.contains(told), "{}", answer.out);
        let picture = ask(&[&arguments[..], &["--svg", "-"]].concat()).out;
        assert!(picture.contains(marked), "{picture}");
        let facts = ask(&[&arguments[..], &["--json"]].concat()).out;
        assert!(facts.contains("\"kind\":\"clock\""), "{facts}");
    }
}

#[test]
fn labels_of_a_year_have_months_and_every_quiet_time_is_marked() {
    let table = Crontab::of("0 3 * * * night\n");
    let year = ask(&["timeline", table.path(), "--from", "2026-05-01", "--until", "2027-05-01"]).out;
    assert!(["2026", "2027", "Jul", "Oct", "Jan", "Apr"].iter().all(|label| year.contains(label)), "{year}");
    let week = ask(&["timeline", table.path(), "--from", "2026-11-23", "--until", "2026-11-30"]).out;
    let marks = week.lines().find(|line| line.contains('·')).unwrap();
    // Seven nights, each a mark of another kind at most.
    assert!(marks.chars().filter(|mark| *mark == '·').count() > 30, "{week}");
    assert!(!week.contains("crowded"), "{week}");
}

#[test]
fn rows_may_be_users_and_are_limited() {
    let table = Crontab::of(TABLE);
    let answer = draw(&["--by", "user"]);
    assert!(answer.out.contains(" of 1 user,") && !answer.out.contains("night too"), "{}", answer.out);
    let answer = ask(&[&["timeline", table.path(), "--rows", "2"], &DAY[..]].concat());
    assert!(answer.out.contains("2 of them have a row; 2 more are counted above"), "{}", answer.out);
    assert!(answer.out.contains("291 starts of 4 entries, at most 4 in a minute"), "{}", answer.out);
}

#[test]
fn json_has_the_facts_of_the_drawing() {
    let answer = draw(&["--json"]);
    let lines: Vec<serde_json::Value> =
        answer.lines().iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((lines[0]["kind"].as_str(), lines[0]["starts"].as_u64()), (Some("range"), Some(291)));
    let crowded = lines.iter().find(|line| line["kind"] == "crowded").expect("a crowded minute");
    assert_eq!((crowded["at"].as_str(), crowded["count"].as_u64()), (Some("2026-11-22T03:00:00.000000Z"), Some(4)));
    let coming = lines.iter().filter(|line| line["kind"] == "coming" && line["line"] == 1);
    assert_eq!(coming.map(|line| line["count"].as_u64().unwrap()).sum::<u64>(), 288);
}

#[test]
fn wide_letters_take_two_columns() {
    let table = Crontab::of("0 3 * * * 日本語日本語日本語日本語\n0 3 * * * plain\n");
    let answer = ask(&[&["timeline", table.path()], &DAY[..]].concat());
    let rows: Vec<&str> = answer.lines().into_iter().filter(|line| line.contains("0 3 * * *")).collect();
    let column = |row: &str| {
        let before = &row[..row.find(['▁', '▂']).expect("a start")];
        before.chars().map(|letter| if ('\u{3000}'..='\u{9fff}').contains(&letter) { 2 } else { 1 }).sum::<usize>()
    };
    assert!(rows.len() == 2 && column(rows[0]) == column(rows[1]), "{}", answer.out);
}

#[test]
fn many_entries_and_a_year_take_neither_long_nor_much_memory() {
    let entries = (0..9_990_u32).map(|n| match n % 4 {
        0 => format!("{} {} * * * j{n}\n", n % 60, n / 60 % 24),
        1 => format!("*/5 * * * * j{n}\n"),
        2 => format!("* * * * * j{n}\n"),
        _ => format!("{},{} {}-23 * * * j{n}\n", n % 60, n * 7 % 60, n % 23),
    });
    let table = Crontab::of(&("RANDOM_DELAY=59\n".to_owned() + &entries.collect::<String>()));
    let arguments = ["timeline", table.path(), "--from", "2026-01-01", "--until", "2027-01-01"];
    // Twenty seconds of a processor, and 500 MB of addresses.
    let limits = "ulimit -t 20; ulimit -v 500000; exec \"$0\" \"$@\"";
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", limits, env!("CARGO_BIN_EXE_cronctl")]).args(arguments).args(["--profile", "debian"]);
    let output = limited.env("TZ", "UTC").output().expect("sh");
    assert!(output.status.success() && output.stdout.starts_with(b"Thu 2026-01-01"), "{output:?}");
    let picture = ask(&[&arguments[..], &["--profile", "debian", "--svg", "-"]].concat());
    assert!(picture.out.len() < 10_000_000, "{}", picture.out.len());
}
