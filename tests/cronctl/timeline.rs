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
fn json_has_the_starts_of_the_range_as_next_has_them() {
    let answer = draw(&["--json"]);
    assert_eq!((answer.status, answer.err.as_str()), (Some(0), ""));
    let starts: Vec<serde_json::Value> =
        answer.lines().iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(starts.len(), 288 + 3);
    assert_eq!((&starts[0]["at"], &starts[0]["line"]), (&"2026-11-22T00:00:00Z".into(), &1.into()));
    assert!(starts.iter().all(|start| start["at"].as_str().unwrap() < "2026-11-23"));
}
