//! What the README shows is what the programs print, and what it says to type by hand installs a cron that runs jobs.
//!
//! A session that differs is printed as it is now, to be put into the README.

use crate::common::{Deadline, Implementation, World};
use crate::world;
use std::fs;
use std::path::Path;

/// The block of commands behind a comment of the README.
fn block(comment: &str) -> String {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README");
    let (_, rest) = readme.split_once(&format!("<!-- {comment} -->\n```console\n")).expect("the comment, and a block");
    rest.split_once("```").expect("its end").0.to_owned()
}

/// The commands of a block, each with what the README says that it prints.
fn commands<'a>(block: &'a str, prompt: &str) -> Vec<(&'a str, String)> {
    let mut commands: Vec<(&str, String)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix(prompt), commands.last_mut()) {
            (Some(command), _) => commands.push((command, String::new())),
            (None, Some((_, shown))) => *shown += &format!("{line}\n"),
            (None, None) => panic!("expected a command, found {line}"),
        }
    }
    // A blank line separates the commands.
    for (_, shown) in &mut commands {
        while shown.ends_with("\n\n") || shown == "\n" {
            shown.pop();
        }
    }
    commands
}

/// A text without what differs from day to day: numbers, and how long ago or ahead something is.
fn timeless(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if plain.ends_with('N') => {}
            '0'..='9' => plain.push('N'),
            c => plain.push(c),
        }
    }
    for unit in ["s", "min", "h", "d"] {
        plain = plain.replace(&format!("N {unit} ago"), "now").replace(&format!("in N {unit}"), "soon");
    }
    plain
}

#[test]
fn the_session_in_the_readme_is_what_the_programs_print() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let shown = block("Run and compared by tests/contrib/readme.rs.");
    let commands = commands(&shown, "$ ");
    assert!(commands.len() > 5, "{commands:?}");
    let (first, table) = &commands[0];
    assert_eq!(*first, "cat jobs");
    fs::write("/home/alice/jobs", table).expect("a table");
    let id = world.run("id -u alice; id -g alice").ok();
    let ids: Vec<u32> = id.lines().map(|id| id.parse().expect("a number")).collect();
    std::os::unix::fs::chown("/home/alice/jobs", Some(ids[0]), Some(ids[1])).expect("its owner");
    world.run("useradd --system --user-group --home-dir /nonexistent --shell /usr/sbin/nologin _cronwheel").ok();
    let _daemon = world.start_daemon(&[]);
    let (mut actual, mut differs) = (String::new(), false);
    for (command, shown) in &commands {
        let printed = run(&world, command);
        differs |= timeless(&printed) != timeless(shown);
        actual += &format!("$ {command}\n{printed}\n");
    }
    assert!(!differs, "the session in the README is now:\n{actual}");
}

/// What a command of alice's prints, once what it is about is there: an installed job, and the history of a run.
fn run(world: &World, command: &str) -> String {
    let first = match command.split(' ').nth(1) {
        Some("run") => Some("cronctl list"),
        Some("why") => Some("cronctl history"),
        _ => None,
    };
    if let Some(first) = first {
        let is_there = || world.run_as("alice", first).stdout.contains("alice:backup").then_some(());
        Deadline::seconds(20).wait_for(first, is_there);
    }
    world.run_as("alice", &format!("{{ {command}; }} 2>&1")).stdout
}

#[test]
fn what_the_readme_says_to_type_by_hand_installs_a_cron_that_runs_jobs() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    // A machine without any cron, and a checkout with the programs built.
    world.run("rm -rf /usr/sbin/crond /usr/bin/crontab /usr/bin/cronctl /etc/pam.d/crond /var/spool/cron /etc/cron.d /etc/cron.deny").ok();
    fs::write("/etc/cronwheel.toml", "profile = \"cronie\"\n").expect("the profile of another Linux");
    // Which Debian does not have.
    let stack = ["account", "session", "auth"].map(|kind| format!("{kind} required pam_permit.so\n")).concat();
    fs::write("/etc/pam.d/system-auth", stack).expect("a PAM stack");
    let top = env!("CARGO_MANIFEST_DIR");
    world.run(&format!("mkdir -p /run/src/target/release && cd {top} && cp -r man contrib /run/src")).ok();
    for built in [env!("CARGO_BIN_EXE_crond"), env!("CARGO_BIN_EXE_crontab"), env!("CARGO_BIN_EXE_cronctl")] {
        let name = Path::new(built).file_name().expect("a name");
        fs::copy(built, Path::new("/run/src/target/release").join(name)).expect("a program");
    }
    let typed = block("Run by tests/contrib/readme.rs.");
    let mut unit = None;
    for (command, _) in commands(&typed, "# ") {
        if command.starts_with("cargo build ") {
            continue;
        }
        // There is no systemd to ask: what it would run is read out of the unit.
        if let Some(name) = command.strip_prefix("systemctl enable --now ") {
            unit = Some(fs::read_to_string(format!("/etc/systemd/system/{name}")).expect("the unit"));
            continue;
        }
        let ended = world.run(&format!("cd /run/src && {command}"));
        assert_eq!(ended.code(), 0, "{command}: {ended:?}");
    }
    let unit = unit.expect("a unit");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
    let words: Vec<&str> = start.split(' ').filter(|word| !word.starts_with('$')).collect();
    assert_eq!(words, [world.implementation.daemon(), world.implementation.foreground()]);
    let _daemon = world.start_daemon(&[]);
    let installed = world.crontab("alice", "@every_second echo ran >>ran\n");
    assert_eq!(installed.code(), 0, "{installed:?}");
    world.wait_for_file("/home/alice/ran", Deadline::seconds(20));
    // Its history is kept.
    let is_kept = || world.run_as("alice", "cronctl history").stdout.contains("alice:").then_some(());
    Deadline::seconds(20).wait_for("the history", is_kept);
    for page in ["man5/cronwheel.toml.5", "man8/cron.8", "man8/crond.8"] {
        assert!(Path::new("/usr/local/share/man").join(page).exists(), "{page}");
    }
}
