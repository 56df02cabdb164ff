//! `cronctl check`, of files and in batches.

use crate::*;

#[test]
fn each_table_gets_its_line_and_its_diagnostics() {
    for (text, system, status, summary) in [
        ("", false, 0, "0 entries, 0 errors, 0 warnings"),
        ("@daily x\n", false, 0, "1 entry, 0 errors, 0 warnings"),
        ("A=1\n@daily x\n@daily y\n0 0 30 2 * never\n", false, 0, "3 entries, 0 errors, 1 warning"),
        ("0 24 * * * x\n@daily y\n", false, 1, "1 entry, 1 error, 0 warnings"),
        ("0 24 * * * x\n61 * * * * y\n", false, 1, "0 entries, 2 errors, 0 warnings"),
        ("@daily x", false, 1, "1 entry, 1 error, 0 warnings"),
        ("@daily root x\n", true, 0, "1 entry, 0 errors, 0 warnings"),
        ("@daily no-such-user-here x\n", true, 0, "1 entry, 0 errors, 1 warning"),
    ] {
        let table = Crontab::of(text);
        let arguments = if system { vec!["check", "--system", table.path()] } else { vec!["check", table.path()] };
        let answer = ask(&arguments);
        assert_eq!(answer.out, format!("{}: {summary}\n", table.path()), "{text:?} {}", answer.err);
        assert_eq!(answer.status, Some(status), "{text:?}");
        assert_eq!(answer.err.is_empty(), summary.ends_with("0 errors, 0 warnings"), "{text:?}");
    }
}

#[test]
fn a_closed_reader_of_the_diagnostics_changes_nothing() {
    let table = Crontab::of("0 24 * * * x\n");
    let mut child = start(&["check", table.path()]);
    drop(child.stderr.take());
    let output = child.wait_with_output().expect("cronctl ends");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.ends_with(b": 0 entries, 1 error, 0 warnings\n"));
}

#[test]
fn a_diagnostic_shows_the_line_a_caret_and_help() {
    let table = Crontab::of("# a\n#\n#\n#\n#\n#\n0 24 * * * root /usr/local/bin/backup\n");
    let answer = ask(&["check", "--system", table.path()]);
    let picture = "7:3: error: expected an hour from 0 to 23, found 24
  7 | 0 24 * * * root /usr/local/bin/backup
    |   ^^
    = help: midnight is hour 0
";
    assert_eq!(answer.err, format!("{}:{picture}", table.path()));
}

#[test]
fn an_unknown_user_is_marked_in_its_line() {
    let table = Crontab::of("@daily root x\n  5 4 * * *\tno-such-user-here\tx\n");
    let answer = ask(&["check", "--system", table.path()]);
    let first = answer.err.lines().next().unwrap_or("");
    assert!(first.starts_with(&format!("{}:2:13: warning: ", table.path())), "{first}");
}

#[test]
fn several_files_and_standard_input_are_checked_in_their_order() {
    let table = Crontab::of("@daily x\n");
    let answer = ask_with(&["check", table.path(), "/nowhere", "-"], "0 24 * * * x\n");
    let expected = format!("{}: 1 entry, 0 errors, 0 warnings\n-: 0 entries, 1 error, 0 warnings\n", table.path());
    assert_eq!((answer.out, answer.status), (expected, Some(1)));
    assert!(answer.err.contains("-:1:3: error: "), "{}", answer.err);
}

#[test]
fn a_batch_says_whether_crontab_would_install_it_and_what_would_run() {
    for (question, expected) in [
        (
            r#"{"id":7,"kind":"user","text":"A=1\n@daily x\n@daily y\n"}"#,
            r#"{"id":7,"ok":true,"entries":2,"warnings":[]}"#,
        ),
        (r#"{"id":"x","kind":"user","line":"@daily x"}"#, r#"{"id":"x","ok":true,"entries":1,"warnings":[]}"#),
        (r#"{"id":7,"kind":"system","line":"@daily root x"}"#, r#"{"id":7,"ok":true,"entries":1,"warnings":[]}"#),
        (
            r#"{"id":7,"kind":"user","text":"@daily x\n\t5 24 * * * y\n"}"#,
            r#"{"id":7,"ok":false,"entries":1,"errors":[{"line":2,"column":4,"message":"expected an hour from 0 to 23, found 24"}]}"#,
        ),
    ] {
        let answer = ask_with(&["check", "--batch"], &format!("{question}\n"));
        assert_eq!((answer.out.trim_end(), answer.status), (expected, Some(0)), "{question}");
    }
}

#[test]
fn a_batch_counts_what_runs_all_the_same() {
    for (question, ok, entries, told) in [
        (r#"{"id":1,"kind":"user","text":"@daily x"}"#, false, 1, "errors"),
        (r#"{"id":1,"kind":"system","line":"@daily no-such-user-here x"}"#, true, 1, "warnings"),
        (r#"{"id":1,"kind":"user","line":"0 0 30 2 * x"}"#, true, 1, "warnings"),
        (r#"{"id":1,"kind":"user","line":"* * * * *"}"#, false, 0, "errors"),
    ] {
        let answer = ask_with(&["check", "--batch"], &format!("{question}\n"));
        let answer = json(&answer.out);
        assert_eq!((&answer["ok"], &answer["entries"]), (&ok.into(), &entries.into()), "{question}: {answer}");
        let places = answer[told].as_array().unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(places.len(), 1, "{answer}");
        assert!(places[0]["line"] == 1 && places[0]["column"].is_u64() && places[0]["message"].is_string());
    }
}

#[test]
fn a_wrong_question_keeps_its_id() {
    for question in [
        r#"{"id":7}"#,
        r#"{"id":7,"text":5}"#,
        r#"{"id":7,"kind":"root","line":"@daily x"}"#,
        r#"{"id":7,"kind":1,"line":"@daily x"}"#,
        r#"{"id":7,"text":"","line":""}"#,
    ] {
        let answer = ask_with(&["check", "--batch"], &format!("{question}\n"));
        let answer = json(&answer.out);
        assert!(answer["id"] == 7 && answer["error"].is_string(), "{question}: {answer}");
    }
}

#[test]
fn one_faulty_file_decides_the_status_wherever_it_stands() {
    let (faulty, clean) = (Crontab::of("0 24 * * * x\n"), Crontab::of("@daily x\n"));
    for (files, status) in
        [([&faulty, &clean], 1), ([&clean, &faulty], 1), ([&faulty, &faulty], 1), ([&clean, &clean], 0)]
    {
        assert_eq!(ask(&["check", files[0].path(), files[1].path()]).status, Some(status));
    }
    assert_eq!(ask(&["check", "/nowhere", clean.path()]).status, Some(1));
}

#[test]
fn json_has_a_line_for_each_table_and_nothing_on_standard_error() {
    let (good, bad) = (Crontab::of("@daily x\n0 0 30 2 * never\n"), Crontab::of("0 24 * * * x\n@daily y\n"));
    let answer = ask(&["check", "--json", good.path(), bad.path()]);
    assert_eq!((answer.status, answer.err.as_str()), (Some(1), ""));
    let lines: Vec<serde_json::Value> =
        answer.lines().iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [first, second] = lines.as_slice() else { panic!("{answer:?}") };
    assert_eq!((&first["file"], &first["ok"], &first["entries"]), (&good.path().into(), &true.into(), &2.into()));
    assert_eq!((&first["errors"], &first["warnings"][0]["line"]), (&serde_json::json!([]), &2.into()));
    assert_eq!(
        (&second["ok"], &second["entries"], &second["errors"][0]["column"]),
        (&false.into(), &1.into(), &3.into())
    );
    assert_eq!(second["errors"][0]["message"], "expected an hour from 0 to 23, found 24");
}
