//! The command line itself: help, what is refused, and how.

use crate::*;

#[test]
fn a_wrong_command_line_is_one_line_and_status_two() {
    for arguments in [
        &[][..],
        &["list"],
        &["--no-such-option"],
        &["next", "--no-such-option"],
        &["next", "--count", "many"],
        &["next", "--count", "-1"],
        &["next", "--from", "tomorrow"],
        &["next", "--until", "2026-01-01"],
        &["next", "--expr", "@daily", "--file", "x"],
        &["next", "--expr", "@daily", "--user", "root"],
        &["next", "--expr", "@daily", "--system"],
        &["next", "--system"],
        &["timeline", "--system"],
        &["timeline", "--user", "root", "--system"],
        &["next", "--expr", "@daily", "--tz", "Europe/Nowhere"],
        &["next", "--expr", "@daily", "--tz", "../../etc/passwd"],
        &["next", "--batch", "--expr", "@daily"],
        &["next", "--profile", "vixie"],
        &["next", "--expr", "@daily", "--from", "2026-01-02T00:00:00Z", "--until", "2026-01-01T00:00:00Z"],
        &["check"],
        &["check", "--batch", "file"],
        &["explain"],
        &["simulate", "--file", "x", "--tz", "UTC", "--from", "2026-01-01T00:00:00Z"],
        &["simulate", "--tz", "UTC", "--from", "2026-01-01T00:00:00Z", "--until", "2026-01-02T00:00:00Z"],
        &["timeline", "some"],
    ] {
        let answer = ask(arguments);
        assert_eq!((answer.status, answer.out.as_str()), (Some(2), ""), "{arguments:?} {answer:?}");
        assert!(answer.err.starts_with("cronctl: ") && answer.err.lines().count() == 1, "{arguments:?} {answer:?}");
    }
}

#[test]
fn a_file_that_is_not_there_is_a_fault() {
    for verb in [&["next", "--file", "/nowhere"][..], &["check", "/nowhere"], &["timeline", "--file", "/nowhere"]] {
        let answer = ask(verb);
        assert_eq!((answer.status, answer.out.as_str()), (Some(1), ""), "{verb:?}");
        assert!(answer.err.starts_with("cronctl: reading /nowhere: ") && answer.err.lines().count() == 1);
    }
}

#[test]
fn help_names_every_verb_and_ends_with_examples() {
    let answer = ask(&["--help"]);
    for verb in ["next", "check", "explain", "simulate", "timeline"] {
        assert!(answer.out.contains(&format!("\n  {verb} ")), "{verb}");
        let page = ask(&[verb, "--help"]);
        assert!(
            page.status == Some(0) && page.out.contains("\nExamples:\n  cronctl ") || page.out.contains("crontab -l |"),
            "{verb}"
        );
    }
    assert!(!answer.out.contains("resume") && answer.status == Some(0));
    assert_eq!(ask(&["--version"]).out, format!("cronctl {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_shows_the_paths_of_the_profile() {
    for (profile, spool) in [("debian", "/var/spool/cron/crontabs"), ("cronie", "/var/spool/cron")] {
        let page = ask(&["next", "--profile", profile, "--help"]);
        assert!(page.out.contains(&format!("default: {spool}\n")), "{page:?}");
    }
}

#[test]
fn standard_descriptors_that_the_caller_closed_are_open() {
    // Whatever the program opens first would else stand in their place.
    let script = r#"exec "$0" check /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 "$@" <&- >&- 2>&-"#;
    let status = |more: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_cronctl")]).args(more).status().expect("sh").code()
    };
    assert_eq!(status(&[]), Some(0), "each of them is an empty table");
    // And it has looked.
    assert_eq!(status(&[Crontab::of("0 24 * * * x\n").path()]), Some(1));
}
