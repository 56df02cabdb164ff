//! `cronctl explain`: sentences about schedules.

use crate::*;

fn explain(arguments: &[&str]) -> Answer {
    ask(&[&["explain", "--from", "2026-11-22T12:00:00Z"], arguments].concat())
}

#[test]
fn a_schedule_comes_in_english_with_its_next_five_runs() {
    let answer = explain(&["--tz", "Europe/Berlin", "30 2 * * 1-5"]);
    assert_eq!(answer.status, Some(0));
    assert_eq!(answer.lines()[0], "At 02:30 every weekday");
    let runs: Vec<&str> = answer.lines().iter().filter_map(|line| line.strip_prefix("  2026-")).collect();
    assert_eq!(
        runs,
        [
            "11-23T02:30:00+01:00",
            "11-24T02:30:00+01:00",
            "11-25T02:30:00+01:00",
            "11-26T02:30:00+01:00",
            "11-27T02:30:00+01:00"
        ]
    );
}

#[test]
fn words_and_one_quoted_word_are_the_same() {
    let quoted = explain(&["30 2 * * 1-5"]);
    assert_eq!(quoted.out, explain(&["30", "2", "*", "*", "1-5"]).out);
    let several = explain(&["@daily", "@weekly"]);
    assert_eq!(several.lines().iter().filter(|line| line.starts_with("Next runs")).count(), 2);
}

#[test]
fn a_coming_gap_is_announced() {
    let answer = explain(&["--tz", "Europe/Berlin", "30 2 * * *"]);
    assert!(
        answer.out.contains("On 2027-03-28 this time does not exist in Europe/Berlin: runs at 03:00"),
        "{}",
        answer.out
    );
}

/// The warning of every program.
const BOTH_DAYS: &str = "both day fields are set: it runs on each day that matches one of them";

#[test]
fn two_day_fields_of_which_either_counts_are_pointed_out() {
    for (expression, pointed_out) in [
        ("0 4 1 * sun", true),
        ("0 4 L * fri", true),
        ("0 4 1 * *", false),
        ("0 4 */2 * sun", false),
        ("0 4 1-31 * sun", false),
        ("@monthly", false),
    ] {
        let answer = explain(&[expression]);
        assert_eq!(answer.out.contains(BOTH_DAYS), pointed_out, "{expression}: {}", answer.out);
    }
    let line = explain(&["0 4 1 * mon x"]);
    let count = [&line.out, &line.err].map(|text| text.matches("both day fields").count());
    assert_eq!(count, [0, 1], "{line:?}");
}

#[test]
fn a_quartz_schedule_whose_years_are_over_says_so() {
    let answer = explain(&["@quartz 0 0 0 1 1 * 2024"]);
    assert!(
        answer.out.contains("Warning: this schedule never matches again: its last year is in the past\n"),
        "{answer:?}"
    );
}

#[test]
fn a_schedule_that_never_matches_says_so() {
    let answer = explain(&["0 0 30 2 *"]);
    assert!(answer.status == Some(0) && answer.out.contains("never"), "{answer:?}");
}

#[test]
fn a_whole_line_of_a_crontab_is_explained_with_its_command() {
    let answer = explain(&["30 2 * * 1-5 /usr/local/bin/backup all"]);
    assert_eq!(answer.status, Some(0), "{answer:?}");
    assert_eq!(answer.lines()[..3], ["At 02:30 every weekday", "", "Command: /usr/local/bin/backup all"]);
    assert!(answer.out.contains("\n  2026-11-23T02:30:00+00:00\n"), "{answer:?}");
    assert_eq!(explain(&["30", "2", "*", "*", "1-5", "/usr/local/bin/backup all"]).out, answer.out);
    let answer = explain(&["@daily root -q run-parts /etc/x"]);
    assert!(answer.out.contains("\nCommand: run-parts /etc/x\nUser: root,"), "{answer:?}");
    assert!(answer.out.contains("\nFlag -q: "), "{answer:?}");
    // A field too many is no command.
    for text in ["0 30 2 * * *", "0 30 2 * * mon", "0 30 2 1 1 ? 2027"] {
        let answer = explain(&[text]);
        assert_eq!((answer.status, answer.out.as_str()), (Some(1), ""), "{text}");
        assert!(answer.err.contains("@quartz"), "{answer:?}");
    }
    let answer = explain(&["0 24 * * * backup"]);
    assert!(answer.err.starts_with("expr:1:3: error: expected an hour"), "{answer:?}");
}

#[test]
fn what_each_entry_draws_for_itself_is_shown_as_an_example() {
    let answer = explain(&["~ * * * *"]);
    assert_eq!(answer.lines()[0], "Once an hour, at a minute fixed for each entry");
    assert!(
        answer.out.contains("\nNext runs in UTC of an example (each entry gets values of its own):\n"),
        "{answer:?}"
    );
}

#[test]
fn a_range_that_runs_backwards_is_the_reason_of_never() {
    let answer = explain(&["0 5-1 * * *"]);
    assert_eq!(answer.lines()[0], "Never, because the range 5-1 runs backwards");
}

#[test]
fn quartz_is_told_what_it_lacks_and_what_it_does_in_the_repeated_hour() {
    for (text, help) in [
        ("@quartz 0 0 12 L * ?", "five fields have: 0 12 L * *"),
        ("@quartz 0 15 10 ? * 6L", "five fields have: 15 10 * * 5L"),
        ("@quartz 0 15 10 ? * 6#3 *", "five fields have: 15 10 * * 5#3"),
        ("@quartz 0 0 12 LW * ?", "five fields have: 0 12 LW * *"),
        ("@quartz 0 0 12 ? * L", "five fields have: 0 12 * * 6"),
        ("@quartz 0 0 12 ? * 8L", "five fields have, without seconds and years"),
        ("@quartz 0 0 24 L * ?", "five fields have, without seconds and years"),
        ("@quartz 0 0 12 L-31 2 ?", "five fields have, without seconds and years"),
        ("@quartz 30 0 12 15W * ? 2027", "five fields have, without seconds and years"),
    ] {
        let answer = explain(&[text]);
        assert!(answer.status == Some(1) && answer.err.contains(help), "{text}: {answer:?}");
    }
    for (text, words) in [
        ("@quartz 0 0 12 * * ?", "At 12:00 every day"),
        ("@quartz 0 /5 14 * * ?", "Every 5 minutes from 14:00 to 14:55"),
        ("@quartz 0 0 22-2 * * ?", "Every hour from 22:00 to 02:00"),
        ("@quartz 0 0 12 ? * FRI-MON", "At 12:00 every day from Friday to Monday"),
        ("@quartz 0 0 12 1 1 ? 2020/2", "At 12:00 on 1 January, every 2nd year from 2020 to 2100"),
    ] {
        assert_eq!(explain(&[text]).lines()[0], words, "{text}");
    }
    let answer = explain(&["--tz", "Europe/Berlin", "@quartz 0 * 2 * * ?"]);
    assert!(
        answer.out.contains("On 2027-10-31 these times come twice in Europe/Berlin: runs both times"),
        "{answer:?}"
    );
}

#[test]
fn a_fault_is_a_diagnostic() {
    let answer = explain(&["0 24 * * *"]);
    assert_eq!((answer.status, answer.out.as_str()), (Some(1), ""));
    assert!(answer.err.starts_with("expr:1:3: error: expected an hour from 0 to 23, found 24\n"), "{}", answer.err);
}

#[test]
fn json_says_the_same() {
    let answer = explain(&["--tz", "Europe/Berlin", "--json", "30 2 * * 1-5", "0 0 13 * 5", "@daily"]);
    let lines: Vec<serde_json::Value> =
        answer.lines().iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((answer.status, lines.len(), answer.err.as_str()), (Some(0), 3, ""));
    assert_eq!(lines[0]["expr"], "30 2 * * 1-5");
    assert_eq!(
        (&lines[0]["explanation"], &lines[0]["zone"]),
        (&"At 02:30 every weekday".into(), &"Europe/Berlin".into())
    );
    assert_eq!(lines[0]["next"][0], "2026-11-23T01:30:00Z");
    assert_eq!(lines[0]["next"].as_array().map(Vec::len), Some(5));
    assert!(lines[1]["warnings"][0].as_str().unwrap().contains(BOTH_DAYS));
    let line = explain(&["--json", "0 4 * * * /usr/local/bin/backup"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&line.out).unwrap()["command"], "/usr/local/bin/backup");
    let fault = explain(&["--json", "0 24 * * *"]);
    let found: serde_json::Value = serde_json::from_str(&fault.out).unwrap();
    assert_eq!((fault.status, &found["error"]), (Some(1), &"expected an hour from 0 to 23, found 24".into()));
}
