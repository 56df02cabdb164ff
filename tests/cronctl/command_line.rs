//! The command line itself: help, what is refused, and how.

use crate::*;

#[test]
fn a_wrong_command_line_is_one_line_and_status_two() {
    for arguments in [
        &[][..],
        &["lst"],
        &["pause"],
        &["pause", "a", "--all"],
        &["pause", "a", "--for", "2"],
        &["pause", "a", "--for", "1h", "--until", "14:00"],
        &["show"],
        &["kill"],
        &["why", "a", "noon"],
        &["history", "--outcome", "bad"],
        &["run", "a", "b"],
        &["--no-such-option"],
        &["next", "--no-such-option"],
        &["next", "--count", "many"],
        &["next", "--count", "-1"],
        &["next", "--from", "some day"],
        &["next", "--until", "2026-01-32"],
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
        &["simulate", "--tz", "UTC", "--from", "2026-01-01T00:00:00Z", "--until", "2026-01-02T00:00:00Z"],
        &["timeline", "some", "other"],
        &["next", "file", "--expr", "@daily"],
        &["next", "file", "--file", "file"],
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
    for verb in [
        "list", "status", "show", "history", "logs", "why", "events", "run", "pause", "resume", "kill", "reload",
        "ping", "next", "check", "explain", "simulate", "timeline", "top",
    ] {
        assert!(answer.out.contains(&format!("\n  {verb} ")), "{verb}");
        let page = ask(&[verb, "--help"]);
        assert!(
            page.status == Some(0) && page.out.contains("\nExample") && page.out.contains(":\n  cronctl ")
                || page.out.contains("crontab -l |"),
            "{verb}"
        );
    }
    assert_eq!(answer.status, Some(0));
    assert_eq!(ask(&["--version"]).out, format!("cronctl {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_is_a_verb_as_well() {
    assert_eq!(ask(&["help"]).out, ask(&["--help"]).out);
    assert_eq!(ask(&["help", "next"]).out, ask(&["next", "--help"]).out);
    assert_eq!((ask(&["help", "next"]).status, ask(&["help", "nxt"]).status), (Some(0), Some(2)));
}

#[test]
fn messages_have_no_words_of_the_library() {
    for arguments in
        [&["next", "--count", "many"][..], &["next", "-x"], &["history", "--limit", "99999999999999999999999"]]
    {
        let answer = ask(arguments);
        let words = ["invalid digit", "too large to fit", "to pass '", "os error", "usize"];
        assert!(answer.status == Some(2) && !words.iter().any(|word| answer.err.contains(word)), "{answer:?}");
    }
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

#[test]
fn a_verb_that_does_not_exist_suggests_the_nearest() {
    for (word, verb) in [("lst", "list"), ("log", "logs"), ("stauts", "status"), ("evnets", "events")] {
        let answer = ask(&[word]);
        assert!(answer.err.contains(&format!("'{verb}'")), "{answer:?}");
    }
}

#[test]
fn without_a_daemon_the_exit_status_is_three_and_it_is_said_what_to_do() {
    let nowhere = tempfile::tempdir().unwrap();
    let place = nowhere.path().to_str().unwrap();
    for verb in [
        &["status"][..],
        &["show", "a"],
        &["history"],
        &["logs", "a"],
        &["why", "a"],
        &["events"],
        &["events", "-f"],
        &["run", "a"],
        &["run", "--wait", "a"],
        &["pause", "--all"],
        &["resume", "a"],
        &["kill", "1"],
        &["reload"],
        &["ping"],
    ] {
        let answer = ask(&[verb, &["--run-dir", place]].concat());
        assert_eq!((answer.status, answer.out.as_str()), (Some(3), ""), "{verb:?} {answer:?}");
        assert!(
            answer.err.starts_with("cronctl: no daemon answers at ") && answer.err.contains("systemctl status cron")
        );
    }
}

#[test]
fn without_a_daemon_list_says_what_the_tables_say() {
    let machine = tempfile::tempdir().unwrap();
    let path = |name: &str| machine.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(path("cron.d")).unwrap();
    std::fs::create_dir(path("spool")).unwrap();
    std::fs::write(path("crontab"), "CRON_NAME=backup\n0 0 1 1 * root echo \x1b[31m\n").unwrap();
    let (crontab, cron_d, spool, run) = (path("crontab"), path("cron.d"), path("spool"), path("run"));
    let places = ["--system-crontab", &crontab, "--cron-d", &cron_d, "--spool", &spool, "--run-dir", &run];
    let answer = ask(&[&["list"], &places[..]].concat());
    assert!(answer.status == Some(3) && answer.err.contains("no daemon answers"), "{answer:?}");
    // Only root owns a table that is loaded.
    if nix::unistd::geteuid().is_root() {
        assert!(answer.lines()[1].starts_with("root:backup  0 0 1 1 *  -     in "), "{answer:?}");
        assert!(answer.lines()[1].ends_with("echo \\x1b[31m"), "{answer:?}");
        let answer = ask(&[&["list", "--json", "backup"], &places[..]].concat());
        let list: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
        assert_eq!((&list["jobs"][0]["job"], &list["jobs"][0]["line"]), (&"root:backup".into(), &2.into()));
        assert_eq!(ask(&[&["list", "other"], &places[..]].concat()).status, Some(4));
    }
}
