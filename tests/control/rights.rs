//! Who may do what, through cronctl.

use crate::common::Implementation;
use crate::{cronctl, prepare, wait_for_state, world};

#[test]
fn each_verb_is_for_those_whom_the_job_concerns() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    // Arguments, and the exit statuses for root, the owner, and somebody else.
    for (arguments, statuses) in [
        ("list alice:hello", [0, 0, 4]),
        ("show alice:hello", [0, 0, 4]),
        ("history alice:hello", [0, 0, 4]),
        ("why alice:hello", [0, 0, 4]),
        ("pause alice:hello", [0, 4, 4]),
        ("resume alice:hello", [0, 0, 4]),
        ("run --wait alice:hello", [0, 0, 4]),
        ("logs alice:hello", [0, 0, 4]),
        ("kill alice:hello", [4, 4, 4]),
        ("pause alice:hello --for 2h --note why", [0, 4, 4]),
        ("resume --all", [0, 0, 0]),
        ("events alice:hello", [0, 0, 4]),
        ("list --user alice", [0, 0, 0]),
        ("status", [0, 0, 0]),
        ("reload", [0, 0, 0]),
        ("ping", [0, 0, 0]),
    ] {
        for (user, status) in ["root", "alice", "bob"].into_iter().zip(statuses) {
            let shown = cronctl(&world, user, arguments);
            assert_eq!(shown.code(), status, "{user}: cronctl {arguments}: {shown:?}");
            assert!(user != "bob" || !shown.stdout.contains("hello"), "{arguments}: {shown:?}");
            assert_eq!(status == 0, shown.stderr.is_empty() || arguments.starts_with("run"), "{shown:?}");
        }
    }
    let told = cronctl(&world, "bob", "show alice:hello").stderr;
    assert!(told.starts_with("cronctl: there is no job alice:hello") && told.contains("root only"), "{told}");
    // What the owner has paused, the owner resumes.
    cronctl(&world, "alice", "pause hello").ok();
    assert_eq!(cronctl(&world, "alice", "resume hello").ok(), "resumed alice:hello\n");
}

#[test]
fn the_user_of_a_system_entry_sees_it_and_ends_its_runs() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    assert!(cronctl(&world, "bob", "list").ok().contains("bob:nightly"));
    assert!(cronctl(&world, "bob", "why nightly").ok().contains("/etc/cron.d/site"));
    for arguments in ["show nightly", "run nightly", "pause nightly", "resume nightly"] {
        let shown = cronctl(&world, "bob", arguments);
        assert!(
            shown.code() == 4 && shown.stderr.contains("not allowed") && shown.stderr.contains("root"),
            "{shown:?}"
        );
    }
    cronctl(&world, "root", "run nightly").ok();
    wait_for_state(&world, "nightly", "running");
    assert_eq!(cronctl(&world, "bob", "logs nightly").code(), 4);
    assert_eq!(cronctl(&world, "alice", "kill bob:nightly").code(), 4);
    cronctl(&world, "bob", "kill nightly").ok();
    wait_for_state(&world, "nightly", "idle");
}
