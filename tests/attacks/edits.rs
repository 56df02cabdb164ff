//! Edits, prompts and mail addresses: nothing that a user saved gets lost, nothing goes to the wrong person.

use super::common::{Deadline, Implementation, World};
use crate::world;
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};

const OLD: &str = "@daily keep\n";
const NEW: &str = "@daily edited\n";
const FAULTY: &str = "no table\n";

/// Makes an editor that anybody may run: a shell script whose argument is the file.
fn editor(text: &str) -> String {
    fs::write("/run/editor", text).unwrap();
    "EDITOR='sh /run/editor'".to_owned()
}

/// An editor that writes this text.
fn writes(text: &str) -> String {
    fs::write("/run/text", text).unwrap();
    editor("cat /run/text >\"$1\"\n")
}

fn listed(world: &World) -> String {
    world.run_as("alice", "crontab -l").stdout
}

/// The file that crontab says it has left the edit in, with its content; none if it says nothing.
fn kept(shown: &str) -> Option<String> {
    let path = shown.lines().find_map(|line| line.split_once(": edits left in "))?.1.trim();
    Some(fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}; {shown}")))
}

/// The directories of edits.
fn copies(world: &World) -> Vec<String> {
    let listed = world.run("ls -d /tmp/crontab.* 2>/dev/null").stdout;
    listed.lines().map(str::to_owned).collect()
}

fn forget_copies(world: &World) {
    world.run("rm -rf /tmp/crontab.*").ok();
}

/// Temporary files in the spool.
fn leftovers(world: &World) -> Vec<String> {
    let names = fs::read_dir(world.implementation.spool()).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).filter(|name| name.contains("tmp.")).collect()
}

fn set_up(world: &World) {
    if world.implementation == Implementation::OursCronie {
        fs::write("/etc/cron.deny", "").unwrap();
    }
    world.crontab("alice", OLD).ok();
}

fn an_interrupt_is_the_editors(world: &World) {
    set_up(world);
    // One shell stands between crontab and the editor, or two.
    fs::write("/run/two-shells", "ed \"$1\"\ntrue\n").unwrap();
    for editor in ["ed", "true && ed", "sh /run/two-shells"] {
        world.crontab("alice", OLD).ok();
        let steps = [("12\r\n", "oops"), ("oops", "\u{3}"), ("?", "s/keep/edited/\nw\n"), ("14\r\n", "q\n")];
        let shown = world.on_terminal("alice", &format!("exec env EDITOR='{editor}' crontab -e"), &steps);
        assert_eq!(listed(world), NEW, "{editor}: {shown:?}");
        assert_eq!(shown.code(), 0, "{editor}: {shown:?}");
    }
    world.crontab("alice", OLD).ok();
    let steps = [
        ("keep", ":!echo BEGUN; exec sleep 1000\r"),
        ("BEGUN\r\n", "\u{3}"),
        ("ENTER", "\r:%s/keep/edited/\r:!echo AGAIN; exec sleep 1000\r"),
        ("AGAIN\r\n", "\u{1c}"),
        ("ENTER", "\r:wq\r"),
    ];
    let shown = world.on_terminal("alice", "exec env EDITOR='vim -u NONE -N' crontab -e", &steps);
    assert_eq!((listed(world).as_str(), shown.code()), (NEW, 0), "{shown:?}");
    assert!(copies(world).is_empty(), "{:?}", copies(world));
}

#[test]
fn an_interrupt_that_the_editor_handles_loses_no_edit() {
    let Some(world) = world!(Implementation::OursDebian, ["python3", "ed", "vim"]) else { return };
    an_interrupt_is_the_editors(&world);
}

#[test]
fn an_interrupt_that_the_editor_handles_loses_no_edit_in_the_cronie_profile() {
    let Some(world) = world!(Implementation::OursCronie, ["python3", "ed", "vim"]) else { return };
    an_interrupt_is_the_editors(&world);
}

#[test]
fn an_editor_can_be_stopped_and_continued() {
    let Some(world) = world!(Implementation::OursDebian, ["python3", "ed", "vim"]) else { return };
    set_up(&world);
    // An editor that has not stopped yet when it is continued stops after that.
    let until_stopped = "until pgrep -u alice -r T -f \"vim -u NONE\" >/dev/null; do sleep 0.01; done";
    let shell = format!("PS1=; set -m; crontab -e; echo STOPPED $?; {until_stopped}; fg; echo DONE $?");
    let line = format!("EDITOR='vim -u NONE -N' bash --norc -ic '{shell}'");
    let steps = [("keep", ":%s/keep/edited/\r\u{1a}"), ("STOPPED", ""), ("edited", ":wq\r"), ("DONE 0", "")];
    let shown = world.on_terminal("alice", &line, &steps);
    assert_eq!(listed(&world), NEW, "{shown:?}");
}

/// `crontab -e` of alice as a process of its own, its messages in a file, its standard input a pipe that stays open.
fn begin_edit(world: &World, editor_line: &str) -> Child {
    let said = fs::File::create("/run/said").unwrap();
    world
        .command_as("alice", &format!("exec env {editor_line} crontab -e"))
        .stdin(Stdio::piped())
        .stdout(said.try_clone().unwrap())
        .stderr(said)
        .spawn()
        .unwrap()
}

fn said() -> String {
    fs::read_to_string("/run/said").unwrap()
}

fn end_of(edit: &mut Child) -> ExitStatus {
    Deadline::seconds(20).wait_for("the end of crontab", || edit.try_wait().unwrap())
}

#[test]
fn a_signal_keeps_an_edit_and_removes_an_untouched_copy() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    set_up(&world);
    for signal in ["TERM", "HUP", "INT", "QUIT", "ALRM", "USR1", "USR2", "VTALRM", "PWR", "RTMIN"] {
        let send = |pid: &str| world.run(&format!("bash -c 'kill -{signal} {pid}'")).ok();
        let number = world.run(&format!("bash -c 'kill -l {signal}'")).ok().trim().parse::<i32>().unwrap();
        forget_copies(&world);
        let mut edit = begin_edit(&world, &writes(FAULTY));
        Deadline::seconds(20).wait_for("the question", || said().contains("retry").then_some(()));
        send(&edit.id().to_string());
        assert_eq!(end_of(&mut edit).signal(), Some(number), "{signal}: {}", said());
        assert_eq!(kept(&said()).as_deref(), Some(FAULTY), "{signal}: {}", said());
        assert_eq!(listed(&world), OLD, "{signal}");
        // While the editor runs, which writes or does not.
        for (writes, edited) in [("echo '@daily edited' >\"$1\"", Some(NEW)), ("true", None)] {
            forget_copies(&world);
            world.run("rm -f /run/go; mkfifo -m 666 /run/go").ok();
            let mut edit = begin_edit(&world, &editor(&format!("{writes}\nread -r go </run/go\n")));
            // Opens once the editor has come that far.
            let mut go = fs::File::options().write(true).open("/run/go").unwrap();
            send(&edit.id().to_string());
            go.write_all(b"go\n").unwrap();
            let end = end_of(&mut edit);
            if matches!(signal, "HUP" | "INT" | "QUIT") {
                // What a terminal sends is the editor's while it runs.
                assert_eq!(end.code(), Some(0), "{signal}: {}", said());
                assert_eq!((listed(&world).as_str(), copies(&world).len()), (edited.unwrap_or(OLD), 0), "{signal}");
                world.crontab("alice", OLD).ok();
            } else {
                assert_eq!(end.signal(), Some(number), "{signal}: {}", said());
                assert_eq!(kept(&said()).as_deref(), edited, "{signal}: {}", said());
                assert_eq!((listed(&world).as_str(), copies(&world).len()), (OLD, usize::from(edited.is_some())));
            }
        }
    }
}

#[test]
fn a_signal_at_any_point_of_an_install_leaves_no_temporary_file() {
    let Some(world) = world!(Implementation::OursDebian, ["strace"]) else { return };
    set_up(&world);
    fs::write("/tmp/new", NEW).unwrap();
    world.run("strace -o /tmp/trace -u alice crontab /tmp/new").ok();
    let trace = fs::read_to_string("/tmp/trace").unwrap();
    let (mut old, mut new) = (0, 0);
    for call in ["openat", "write", "fchmod", "fsync", "renameat", "close", "rt_sigprocmask", "setresgid", "utimensat"]
    {
        let calls = trace.lines().filter(|line| line.split('(').next() == Some(call)).count();
        assert!(calls > 0, "{call} is never called: the test shows nothing");
        for (signal, when) in ["TERM", "HUP", "INT", "QUIT", "ALRM", "USR1", "PIPE"]
            .into_iter()
            .flat_map(|s| (1..=calls).map(move |w| (s, w)))
        {
            world.crontab("alice", OLD).ok();
            let inject = format!("-e trace={call} -e inject={call}:signal={signal}:when={when}");
            world.run(&format!("strace -o /dev/null -u alice {inject} crontab /tmp/new"));
            match listed(&world).as_str() {
                OLD => old += 1,
                NEW => new += 1,
                other => panic!("{signal} at {call} {when}: {other:?}"),
            }
            assert_eq!(leftovers(&world), Vec::<String>::new(), "{signal} at {call} {when}");
        }
    }
    assert!(old > 0 && new > 0, "{old} old, {new} new: both sides of the rename are reached");
}

fn the_daemon_removes_leftovers(world: &World, names: [&str; 2]) {
    let (old, fresh) = (names[0], names[1]);
    let spool = world.implementation.spool();
    let make = format!("cd {spool} && for f in {old} {fresh}; do echo x >\"$f\"; done && chown alice {old} {fresh}");
    world.run(&make.replace('#', "\\#")).ok();
    world.run(&format!("cd {spool} && touch -h -d '2 hours ago' '{old}'; ln -s /etc/passwd '{old}x'")).ok();
    world.crontab("bob", OLD).ok();
    let daemon = world.start_daemon(&[]);
    let line = format!(": (CRON) INFO (removed a temporary file of an interrupted crontab from {spool})");
    world.log.wait_for(&line, Deadline::seconds(20));
    assert_eq!(leftovers(world).into_iter().filter(|name| name == old).count(), 0);
    assert_eq!(leftovers(world).into_iter().filter(|name| name == fresh).count(), 1, "a fresh one is in use");
    assert_eq!(world.run("crontab -u bob -l").ok(), OLD);
    assert!(daemon.stop().success());
}

#[test]
fn the_daemon_removes_what_a_killed_crontab_left_in_the_spool() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    the_daemon_removes_leftovers(&world, ["tmp.aB3xYz", "tmp.fresh1"]);
}

#[test]
fn the_daemon_removes_what_a_killed_crontab_left_in_the_spool_of_cronie() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    fs::write("/etc/cron.deny", "").unwrap();
    the_daemon_removes_leftovers(&world, ["#tmp.host.aB3xYzaB3x", "#tmp.host.fresh12345"]);
}

#[test]
fn an_edit_is_installed_or_kept_wherever_messages_go() {
    let Some(world) = world!(Implementation::OursDebian, ["python3"]) else { return };
    for nowhere in ["2>/dev/full", "2>&-", ">&- 2>&-", ">/dev/full 2>/dev/full", "<&- >&- 2>&-", "2>&1 | true"] {
        set_up(&world);
        forget_copies(&world);
        let install = world.run_as("alice", &format!("{} crontab -e {nowhere}", writes(NEW)));
        assert_eq!((install.code(), listed(&world).as_str()), (0, NEW), "{nowhere}: {install:?}");
        assert!(copies(&world).is_empty(), "{nowhere}");
        // A fault, and nobody who answers.
        let faulty = world.run_as("alice", &format!("{} crontab -e {nowhere} </dev/null", writes(FAULTY)));
        assert!(faulty.code() == 1 || nowhere.contains('|'), "{nowhere}: {faulty:?}");
        let [copy] = copies(&world).try_into().unwrap_or_else(|copies| panic!("{nowhere}: {copies:?}"));
        assert_eq!(fs::read_to_string(format!("{copy}/crontab")).unwrap(), FAULTY, "{nowhere}");
        world.log.wait_for(&format!(": (alice) EDITS LEFT ({copy}/crontab)"), Deadline::seconds(20));
        assert_eq!(listed(&world), NEW, "{nowhere}");
    }
    // The path of an edit is shown on the terminal when standard error takes nothing.
    forget_copies(&world);
    let line = format!("{} crontab -e 2>/dev/full </dev/null", writes(FAULTY));
    let shown = world.on_terminal("alice", &line, &[]);
    assert_eq!(kept(&shown.stdout).as_deref(), Some(FAULTY), "{shown:?}");
}

#[test]
fn an_editor_that_fails_after_it_wrote_loses_nothing() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    set_up(&world);
    for (end, told) in
        [("exit 3", "exited with status 3"), ("kill -9 $$", "killed; signal 9"), ("kill $$", "killed; signal 15")]
    {
        forget_copies(&world);
        let editor_line = editor(&format!("echo '@daily edited' >\"$1\"\n{end}\n"));
        // Without the shell in between, whose own end would be told.
        let shown = world.run_as("alice", &format!("{} crontab -e", editor_line.replace("'sh", "'exec sh")));
        assert_eq!(shown.code(), 1, "{shown:?}");
        assert!(shown.stderr.contains(told), "{shown:?}");
        assert_eq!(kept(&shown.stderr).as_deref(), Some(NEW), "{shown:?}");
        assert_eq!(listed(&world), OLD);
    }
    forget_copies(&world);
    let untouched = world.run_as("alice", "EDITOR=false crontab -e");
    assert_eq!((untouched.code(), untouched.stderr.as_str()), (1, "crontab: \"false\" exited with status 1\n"));
    assert!(copies(&world).is_empty());
    let checked = world.run_as("alice", &format!("{} crontab -n -e", writes(NEW)));
    assert_eq!((checked.code(), kept(&checked.stderr).as_deref()), (0, Some(NEW)), "{checked:?}");
    assert_eq!(listed(&world), OLD, "a dry run installs nothing");
}

#[test]
fn whatever_call_fails_after_the_editor_wrote_the_edit_is_installed_or_kept() {
    let Some(world) = world!(Implementation::OursDebian, ["strace"]) else { return };
    // What an editor leaves beside the file is removed with it.
    let editor_line = editor("echo '@daily edited' >\"$1\"; cp \"$1\" \"$1~\"\n");
    for (calls, error) in [
        ("umask", "EPERM"),
        ("getdents64", "EIO"),
        ("close", "EIO"),
        ("write", "ENOSPC"),
        ("openat", "EMFILE"),
        ("fsync", "EIO"),
        ("rename,renameat,renameat2", "EACCES"),
        ("wait4", "ECHILD"),
        ("rt_sigprocmask", "EINVAL"),
    ] {
        for when in 1..=40 {
            set_up(&world);
            forget_copies(&world);
            let line = format!(
                "strace -o /tmp/trace -e trace={calls} -e inject={calls}:error={error}:when={when} -u alice -E {editor_line} crontab -e"
            );
            let shown = world.run(&line);
            if !fs::read_to_string("/tmp/trace").unwrap().contains("(INJECTED)") {
                assert!(when > 1, "{calls} is never called: the test shows nothing");
                break;
            }
            let what = format!("{calls} {error} at {when}: {shown:?}");
            // 127: the dynamic loader.
            assert!(matches!(shown.code(), 0 | 1 | 127), "{what}");
            let is_installed = listed(&world) == NEW;
            assert!(shown.code() != 0 || is_installed, "{what}");
            let written = copies(&world)
                .iter()
                .any(|copy| fs::read_to_string(format!("{copy}/crontab")).is_ok_and(|text| text == NEW));
            assert!(!written || is_installed || kept(&shown.stderr).is_some(), "{what}: kept and not told");
            let begun = shown.stderr.contains("installing new crontab");
            assert!(!begun || is_installed || written, "{what}: the edit is lost");
        }
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error_at_most() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    set_up(&world);
    fs::write("/run/table", "@daily true\n*/60 * * * * true\n").unwrap();
    fs::write("/run/faulty", FAULTY).unwrap();
    let edit = "EDITOR=true crontab -e";
    for line in [
        "crontab -l",
        edit,
        "crontab -r",
        "crontab -",
        "crontab /run/table",
        "crontab /run/faulty",
        "crontab -n /run/table",
        "crontab --help",
        "crontab --version",
        "crontab -h",
        "crontab --nonsense",
        "crontab nowhere",
        "cronctl --help",
        "cronctl --version",
        "cronctl",
        "cronctl --nonsense",
        "cronctl help next",
        "cronctl next",
        "cronctl next /run/table",
        "cronctl next --expr \"* * * * *\"",
        "cronctl next --json /run/table",
        "cronctl check /run/table",
        "cronctl check /run/faulty",
        "cronctl check --batch",
        "cronctl next --batch",
        "cronctl explain \"5 4 * * *\"",
        "cronctl explain nonsense",
        "cronctl simulate /run/table --from 2026-01-01 --until 2026-01-03",
        "cronctl timeline /run/table",
        "cron --help",
        "cron --version",
        "cron --check",
        "cron --check /run/table",
        "cron --check /run/faulty",
        "cron --nonsense",
        "cron nowhere",
        "crond --profile nonsense",
    ] {
        for nowhere in
            [">/dev/full 2>/dev/full", ">/dev/full", "2>/dev/full", ">&- 2>&-", ">&-", "2>&-", "<&- >&- 2>&-", "<&-"]
        {
            let shown = world.run_with_input("alice", &format!("{line} {nowhere}"), b"@daily true\n");
            assert!(matches!(shown.code(), 0..=2), "{line} {nowhere}: {shown:?}");
        }
    }
}

#[test]
fn safety_options_are_refused_where_they_would_have_no_effect() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    set_up(&world);
    for line in [
        "--remove --dry-run",
        "-r --dry-run",
        "--dry-run -r",
        "--remove --list",
        "--remove --edit",
        "--interactive /run/table",
    ] {
        fs::write("/run/table", NEW).unwrap();
        let shown = world.run_as("alice", &format!("EDITOR=true crontab {line}"));
        assert_eq!(shown.code(), 1, "{line}: {shown:?}");
        assert!(shown.stderr.starts_with("crontab: usage error: "), "{line}: {shown:?}");
        assert_eq!(listed(&world), OLD, "{line}");
    }
}

#[test]
fn giving_up_a_faulty_edit_is_a_failure_that_keeps_the_text() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    set_up(&world);
    for answer in ["n\n", "", "perhaps\nN\n"] {
        forget_copies(&world);
        let shown = world.run_with_input("alice", &format!("{} crontab -e", writes(FAULTY)), answer.as_bytes());
        assert_eq!((shown.code(), kept(&shown.stderr).as_deref()), (1, Some(FAULTY)), "{answer:?}: {shown:?}");
        assert_eq!(listed(&world), OLD);
    }
    // An answer takes one line: what follows is there for the editor to read.
    let reads = editor("read -r line; echo \"$line\" >\"$1\"\n");
    let shown = world.run_with_input("alice", &format!("{reads} crontab -e"), b"faulty\ny\n@daily edited\n");
    assert_eq!((shown.code(), listed(&world).as_str()), (0, NEW), "{shown:?}");
}

#[test]
fn an_address_with_a_variable_uses_the_variables_of_the_job() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    fs::write("/etc/cron.deny", "").unwrap();
    let sendmail = "#!/bin/sh\nkept=$(mktemp -d /captured/.XXXXXX); echo \"$*\" >\"$kept/arguments\"; cat >\"$kept/mail\"\n\
                    mv \"$kept\" \"/captured/${kept#/captured/.}\"\n";
    fs::write("/usr/sbin/sendmail", sendmail).unwrap();
    world.run("chmod 755 /usr/sbin/sendmail; mkdir -m 1777 /captured").ok();
    let table = "MAILTO=$LOGNAME@example.org,${USER}@example.org,$SITE@example.org,$OWN@example.org\nMAILFROM=from.$USER@example.org\n\
                 OWN=own\n@reboot echo said\n";
    world.crontab("bob", table).ok();
    let variables = [
        ("LOGNAME", "daemonlog"),
        ("USER", "daemonuser"),
        ("HOME", "/daemonhome"),
        ("SITE", "site"),
        ("OWN", "daemons"),
    ];
    let daemon = world.start_daemon_with(&[], &variables);
    let mail = Deadline::seconds(20).wait_for("the mail", || {
        let mail = world.run("cat /captured/*/arguments /captured/*/mail 2>/dev/null").stdout;
        mail.contains("said").then_some(mail)
    });
    assert!(mail.contains("\nTo: bob@example.org,bob@example.org,site@example.org,own@example.org\n"), "{mail}");
    assert!(mail.contains("\nFrom: \"(Cron Daemon)\" <from.bob@example.org>\n"), "{mail}");
    assert!(mail.contains("-f from.bob@example.org\n"), "{mail}");
    assert!(daemon.stop().success());
}

fn a_last_comment_needs_no_newline(world: &World) {
    if world.implementation == Implementation::OursCronie {
        fs::write("/etc/cron.deny", "").unwrap();
    }
    for end in ["# the end", "  # the end", " \t", "#"] {
        let table = format!("{OLD}{end}");
        let shown = world.crontab("alice", &table);
        assert_eq!((shown.code(), shown.stderr.as_str()), (0, ""), "{end:?}: {shown:?}");
        assert_eq!(listed(world), table, "{end:?}");
        fs::write("/etc/cron.d/ends", format!("@daily root true\n{end}")).unwrap();
        let check = world.run(&format!("{} --check", world.implementation.daemon()));
        assert_eq!(check.code(), 0, "{end:?}: {check:?}");
        let check = world.run_with_input("root", "cronctl check -", table.as_bytes());
        assert_eq!((check.code(), check.stderr.as_str()), (0, ""), "{end:?}: {check:?}");
    }
    let refused = world.crontab("alice", "@daily true\nA=b");
    assert_eq!(refused.code(), 1);
    let daemon = world.start_daemon(&[]);
    world.drop_in("begun", "@every_second root : >/run/begun\n");
    Deadline::seconds(20).wait_for("a job", || fs::exists("/run/begun").unwrap().then_some(()));
    let log = world.log.lines();
    assert!(!log.iter().any(|line| line.contains("newline")), "{log:#?}");
    assert!(daemon.stop().success());
}

#[test]
fn a_last_line_that_is_only_a_comment_or_blanks_needs_no_newline() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    a_last_comment_needs_no_newline(&world);
}

#[test]
fn a_last_line_that_is_only_a_comment_or_blanks_needs_no_newline_in_the_cronie_profile() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    a_last_comment_needs_no_newline(&world);
}

#[test]
fn the_daemon_ignores_the_log_level_option_of_busybox() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let daemon = world.start_daemon(&["-l", "8"]);
    assert!(daemon.stop().success());
    // Elsewhere a word is a file, and one that is not there is an error.
    let missing = world.run("cron -f 8");
    assert_eq!((missing.code(), missing.stderr.contains("8: No such file")), (1, true), "{missing:?}");
}
