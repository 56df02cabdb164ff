//! `cronctl next --batch`, and what both batches share.

use crate::*;

fn answers(arguments: &[&str], questions: &str) -> Vec<String> {
    let answer = ask_with(arguments, questions);
    assert_eq!((answer.status, answer.err.as_str()), (Some(0), ""), "{answer:?}");
    answer.out.lines().map(str::to_owned).collect()
}

#[test]
fn each_question_gets_its_line() {
    let from = r#""from":"2026-03-28T12:00:00Z""#;
    for (question, answer) in [
        (
            format!(r#"{{"id":7,"expr":"30 2 * * *","tz":"Europe/Berlin",{from},"count":3}}"#),
            r#"{"id":7,"next":["2026-03-29T01:00:00Z","2026-03-30T00:30:00Z","2026-03-31T00:30:00Z"]}"#,
        ),
        (
            r#"{"id":8,"expr":"30 2,3 * * *","tz":"Europe/Berlin","from":"2026-10-24T12:00:00Z","count":3}"#.to_owned(),
            r#"{"id":8,"next":["2026-10-25T00:30:00Z","2026-10-25T02:30:00Z","2026-10-26T01:30:00Z"]}"#,
        ),
        // Two skipped times that are made up for at the end of one gap are one instant.
        (
            format!(r#"{{"id":9,"expr":"10,50 2 * * *","tz":"Europe/Berlin",{from},"count":2}}"#),
            r#"{"id":9,"next":["2026-03-29T01:00:00Z","2026-03-30T00:10:00Z"]}"#,
        ),
        (format!(r#"{{"id":1,"expr":"@reboot",{from}}}"#), r#"{"id":1,"next":[]}"#),
        (format!(r#"{{"id":1,"expr":"0 0 30 2 *",{from}}}"#), r#"{"id":1,"next":[]}"#),
        (format!(r#"{{"id":1,"expr":"@daily",{from},"count":0}}"#), r#"{"id":1,"next":[]}"#),
        (
            format!(r#"{{"id":1,"expr":"@90s",{from},"count":3}}"#),
            r#"{"id":1,"next":["2026-03-28T12:01:30Z","2026-03-28T12:03:00Z","2026-03-28T12:04:30Z"]}"#,
        ),
        (format!(r#"{{"id":1,"expr":"@2h",{from},"count":1}}"#), r#"{"id":1,"next":["2026-03-28T14:00:00Z"]}"#),
        (
            format!(r#"{{"id":1,"expr":"@quartz 30 0 12 1 1 ? 2026-2027",{from}}}"#),
            r#"{"id":1,"next":["2027-01-01T12:00:30Z"]}"#,
        ),
        (
            format!(r#"{{"id":1,"expr":"0 0 * * *","tz":null,{from},"count":1}}"#),
            r#"{"id":1,"next":["2026-03-29T00:00:00Z"]}"#,
        ),
    ] {
        assert_eq!(answers(&["next", "--batch"], &format!("{question}\n")), [answer], "{question}");
    }
}

#[test]
fn the_id_comes_back_as_it_was_given() {
    for id in [
        "7",
        "-1.50e3",
        "\"a\\u00e9\\n\"",
        "null",
        "true",
        "[1, 2]",
        "{\"b\":1,\"a\":2}",
        "123456789012345678901234567890",
    ] {
        let question = format!("{{\"expr\":\"@reboot\",\"id\":{id}}}\n{{\"id\":{id}}}\n");
        let lines = answers(&["next", "--batch"], &question);
        assert_eq!(lines[0], format!("{{\"id\":{id},\"next\":[]}}"));
        assert!(lines[1].starts_with(&format!("{{\"id\":{id},\"error\":\"")), "{}", lines[1]);
    }
    assert_eq!(answers(&["next", "--batch"], "{\"expr\":\"@reboot\"}\n"), [r#"{"id":null,"next":[]}"#]);
}

#[test]
fn a_question_without_an_answer_gets_an_error_and_the_next_one_its_answer() {
    for question in [
        r#"{"id":7,"expr":"61 * * * *"}"#,
        r#"{"id":7,"expr":""}"#,
        r#"{"id":7,"expr":"* * * * * command"}"#,
        r#"{"id":7,"expr":"@nonsense"}"#,
        r#"{"id":7,"expr":5}"#,
        r#"{"id":7}"#,
        r#"{"id":7,"expr":"@daily","tz":"Mars/Olympus"}"#,
        r#"{"id":7,"expr":"@daily","tz":7}"#,
        r#"{"id":7,"expr":"@daily","from":"yesterday"}"#,
        r#"{"id":7,"expr":"@daily","count":-1}"#,
        r#"{"id":7,"expr":"@daily","count":"5"}"#,
    ] {
        let lines = answers(&["next", "--batch"], &format!("{question}\n{{\"id\":8,\"expr\":\"@reboot\"}}\n"));
        assert_eq!(lines.len(), 2, "{question}");
        let told = json(&lines[0]);
        assert!(told["id"] == 7 && told["error"].is_string() && told.get("next").is_none(), "{question}: {told}");
        assert_eq!(lines[1], r#"{"id":8,"next":[]}"#);
    }
}

#[test]
fn a_line_that_is_no_json_object_has_no_id() {
    for verb in ["next", "check"] {
        for line in ["", " ", "nonsense", "{", "{\"id\":7,", "{\"id\":7} x", "[7,\"@daily\"]", "7", "null", "\u{7f}"] {
            let lines = answers(&[verb, "--batch"], &format!("{line}\n"));
            assert_eq!(lines.len(), 1, "{line}");
            let told = json(&lines[0]);
            assert!(told["id"].is_null() && told["error"].is_string(), "{verb} {line:?}: {told}");
        }
        assert_eq!(answers(&[verb, "--batch"], ""), [""; 0]);
    }
}

#[test]
fn what_a_question_leaves_out_comes_from_the_command_line() {
    let arguments = ["next", "--batch", "--tz", "Asia/Tokyo", "--from", "2026-01-01T00:00:00Z", "--count", "1"];
    let lines = answers(&arguments, "{\"id\":1,\"expr\":\"0 12 * * *\"}");
    assert_eq!(lines, [r#"{"id":1,"next":["2026-01-01T03:00:00Z"]}"#]);
    let ten = answers(&["next", "--batch"], "{\"id\":1,\"expr\":\"* * * * *\"}\n");
    assert_eq!(json(&ten[0])["next"].as_array().map(Vec::len), Some(10));
}

#[test]
fn an_answer_comes_before_the_next_question_is_asked() {
    for (verb, question, answer) in [
        ("next", r#"{"id":1,"expr":"@reboot"}"#, r#"{"id":1,"next":[]}"#),
        ("check", r#"{"id":1,"line":"@daily x"}"#, r#"{"id":1,"ok":true,"entries":1,"warnings":[]}"#),
    ] {
        let mut child = start(&[verb, "--batch"]);
        let (mut stdin, stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let mut stdout = BufReader::new(stdout);
        for _ in 0..3 {
            // In two pieces, as a pipe may have it.
            let (begin, rest) = question.split_at(9);
            stdin.write_all(begin.as_bytes()).and_then(|()| stdin.flush()).expect("a question");
            stdin.write_all(format!("{rest}\n").as_bytes()).and_then(|()| stdin.flush()).expect("a question");
            let mut line = String::new();
            stdout.read_line(&mut line).expect("an answer");
            assert_eq!(line.trim_end(), answer);
        }
        drop(stdin);
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).expect("the end");
        assert_eq!((rest.as_str(), child.wait().expect("an end").code()), ("", Some(0)));
    }
}

#[test]
fn many_questions_are_answered_in_their_order() {
    let questions: String =
        (0..20_000).map(|id| format!("{{\"id\":{id},\"expr\":\"{} * * * *\",\"count\":1}}\n", id % 60)).collect();
    let lines = answers(&["next", "--batch"], &questions);
    assert_eq!(lines.len(), 20_000);
    for (id, line) in lines.iter().enumerate() {
        assert!(line.starts_with(&format!("{{\"id\":{id},\"next\":[\"")), "{line}");
        assert!(line.ends_with(&format!(":{:02}:00Z\"]}}", id % 60)), "{line}");
    }
}
