//! `cronctl explain`.

use crate::*;

fn explain(arguments: &[&str]) -> Answer {
    ask(&[&["explain", "--from", "2026-11-22T12:00:00Z"], arguments].concat())
}

#[test]
fn a_schedule_comes_in_english_with_its_next_five_runs() {
    let answer = explain(&["--tz", "Europe/Berlin", "30 2 * * 1-5"]);
    assert_eq!(answer.status, Some(0));
    assert_eq!(answer.lines()[0], "At 02:30 on every weekday");
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
        assert_eq!(answer.out.contains("either is enough"), pointed_out, "{expression}: {}", answer.out);
    }
}

#[test]
fn a_schedule_that_never_matches_says_so() {
    let answer = explain(&["0 0 30 2 *"]);
    assert!(answer.status == Some(0) && answer.out.contains("never"), "{answer:?}");
}

#[test]
fn a_fault_is_a_diagnostic() {
    let answer = explain(&["0 24 * * *"]);
    assert_eq!((answer.status, answer.out.as_str()), (Some(1), ""));
    assert!(answer.err.starts_with("expr:1:3: error: expected an hour from 0 to 23, found 24\n"), "{}", answer.err);
}
