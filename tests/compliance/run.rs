//! Runs one group of cases on one implementation, inside a private machine.

use crate::case::{Case, Group, Task};
use crate::common::World;
use crate::common::clock::{Deadline, now, wait_until};
use crate::common::implementation::{Implementation, needs, own};
use crate::minute::Minute;
use crate::words::plain;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// Directories for the output of jobs and for the mails that the recording sendmail receives.
const OUT: &str = "/out";
const MAIL: &str = "/captured";

/// Files in /etc that cases may change, and the archive from which they are restored.
const CHANGEABLE: &str = "etc/default etc/environment etc/security etc/pam.d etc/passwd etc/shadow etc/group";
const KEPT: &str = "/run/kept.tar";

const SETTINGS: &str = "/etc/cronwheel.toml";

const PRELUDE: &str = include_str!("prelude.sh");

/// A sendmail that records its arguments, its input and its user.
const RECORDING_SENDMAIL: &str = r#"#!/bin/sh
kept=$(mktemp -d /captured/.XXXXXX) || exit 75
{
    for argument in "$@"; do printf 'argument: %s\n' "$argument"; done
    printf 'as: %s\n' "$(id -un)"
    sed 's/^/| /'
} >"$kept/mail"
mv "$kept" "/captured/${kept#/captured/.}"
"#;

/// The result of each case, by the case's name.
pub type Observed = BTreeMap<String, String>;

/// Runs all cases of the group.
pub fn run_group(world: &World, group: &Group, cases: &[&Case]) -> Observed {
    for place in [OUT, MAIL] {
        fs::create_dir(place).expect("a directory");
        own(place, 0, 0, 0o1777);
    }
    if group.mailer {
        fs::write("/usr/sbin/sendmail", RECORDING_SENDMAIL).expect("a sendmail");
        own("/usr/sbin/sendmail", 0, 0, 0o755);
    } else {
        fs::remove_file("/usr/sbin/sendmail").ok();
    }
    if matches!(world.implementation, Implementation::OursDebian | Implementation::OursCronie) {
        // The reference implementations keep no history, and the log of a machine without a user for it would say so.
        let settings = fs::read_to_string(SETTINGS).unwrap_or_default();
        fs::write(SETTINGS, settings + "history = false\n").expect("the settings");
    }
    fs::write("/run/prelude.sh", PRELUDE).expect("the prelude");
    world.run(&format!("tar -cf {KEPT} -C / {CHANGEABLE}")).ok();
    if group.scripts {
        cases.iter().map(|case| (case.name.clone(), run_script_case(world, case))).collect()
    } else {
        run_tables(world, group, cases)
    }
}

/// Runs a script in the state that the machine had before the first case.
fn run_script_case(world: &World, case: &Case) -> String {
    let Task::Script(script) = &case.task else { panic!("{} is no script", case.name) };
    let start = world.log.lines().len() + 1;
    // The file contains marks that `World::log` leaves out.
    let start = fs::read_to_string(crate::common::log::FILE).expect("the log").lines().count().max(start - 1) + 1;
    let output = run_script(world, case, script, start);
    reset(world);
    plain(case, &output)
}

fn run_script(world: &World, case: &Case, script: &str, log_start: usize) -> String {
    let implementation = world.implementation;
    let user_table = format!("{}/{}", implementation.spool(), case.id);
    let path = match &case.task {
        Task::SystemTable { path, .. } => path.replace("{ID}", &case.id),
        _ => user_table,
    };
    let whole = format!(
        "ID={id} TABLE={path} SPOOL={spool} DAEMON={daemon} FOREGROUND={foreground} MARKER={marker} LOG_START={log_start}\n\
         PROFILE={profile} UNIT={unit} NEEDS={needs}\n. /run/prelude.sh\ncd /tmp\n{script}",
        id = case.id,
        spool = implementation.spool(),
        daemon = implementation.daemon(),
        foreground = implementation.foreground(),
        marker = implementation.reboot_marker(),
        unit = implementation.unit(),
        needs = needs().display(),
        profile = if implementation.is_debian() { "debian" } else { "cronie" },
    );
    fs::write("/run/script", whole).expect("a script");
    let shown =
        world.run("{ timeout 60 sh /run/script 2>&1; test $? != 124 || echo the script hung; } | head -c 100000");
    shown.stdout
}

/// Ends all processes of a case and removes its files.
fn reset(world: &World) {
    let own = std::process::id();
    for process in world.processes().into_iter().filter(|process| process.parent == 1 || process.parent != own) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(process.pid).expect("a process id"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).ok();
    }
    Deadline::seconds(10).wait_for("the case's processes to end", || world.processes().is_empty().then_some(()));
    let spool = world.implementation.spool();
    // This checkout may lie in /tmp itself.
    let below = Path::new(env!("CARGO_MANIFEST_DIR")).strip_prefix("/tmp").ok();
    let checkout = below.and_then(|path| path.iter().next()).unwrap_or_default().to_string_lossy().into_owned();
    world
        .run(&format!(
            "rm -rf {spool}/* {spool}/.[!.]* /etc/cron.d/* /etc/cron.d/.[!.]* /etc/crontab /etc/cron.allow /etc/cron.deny /run/crond* \
             /run/cron.* /run/cronwheel* /var/lib/cronwheel /home/alice/* /home/alice/.cache \
             /home/bob/.cache /root/.cache /captured/* /out/* /run/script /etc/sysconfig; \
             tar -xf {KEPT} -C /; \
             find /tmp -mindepth 1 -maxdepth 1 ! -name '{checkout}' -exec rm -rf {{}} +"
        ))
        .ok();
    world.run("chmod 755 /home/alice").ok();
    world.implementation.set_up_lists();
}

/// How many seconds before a minute everything must be ready: a daemon may look for changes shortly before the minute.
const READY_BEFORE: u64 = 3;

/// How often a group is tried. A busy machine may be too slow to be ready before the minute begins.
const MOST_TRIES: u64 = 6;

/// Installs the tables of all cases, starts one daemon and waits for one or two real minutes. Tries again with more time if
/// the machine was too slow.
fn run_tables(world: &World, group: &Group, cases: &[&Case]) -> Observed {
    let mut time_needed = 5 + cases.len() as u64 / 8;
    for _ in 0..MOST_TRIES {
        add_users(cases);
        match one_try(world, group, cases, time_needed) {
            Ok(observed) => return observed,
            Err(TooSlow) => time_needed += 30,
        }
        remove_users(cases);
        reset(world);
    }
    panic!("the machine was too slow, {MOST_TRIES} times");
}

/// The minute began before everything was ready.
struct TooSlow;

/// Whether everything is ready for the minute that begins at `start`.
fn in_time_for(start: u64) -> Result<(), TooSlow> {
    if now().as_secs() + READY_BEFORE < start { Ok(()) } else { Err(TooSlow) }
}

/// Tries once, with `time_needed` seconds for the preparation.
fn one_try(world: &World, group: &Group, cases: &[&Case], time_needed: u64) -> Result<Observed, TooSlow> {
    let minute = Minute::beginning_after(now().as_secs() + time_needed + READY_BEFORE);
    let log_start = world.log.lines().len();
    let verdicts: BTreeMap<&str, String> =
        cases.iter().map(|case| (case.id.as_str(), install(world, case, minute))).collect();
    world.drop_in("zz-canary", &format!("* * * * * root date +\\%M >>{OUT}/canary\n"));
    // The minute must be the first one after the daemon's start. Tables must be older than a second, because a daemon may
    // distrust younger time stamps.
    wait_until((minute.start - 58).max(now().as_secs() + 2));
    let mut flags: Vec<&str> = group.flags.split_whitespace().collect();
    flags.retain(|flag| !flag.is_empty());
    let mut daemon = world.start_daemon(&flags);
    Deadline::seconds(30).wait_for("the daemon to have read its tables", || {
        let ready = |line: &String| {
            line.contains("@reboot jobs") || line.contains("running with") || line.contains("No inotify")
        };
        world.log.lines().iter().skip(log_start).any(ready).then_some(())
    });
    wait_until_asleep(world);
    in_time_for(minute.start)?;

    run_through(world, minute.start);
    let (two, one): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| !case.between.is_empty());
    for case in &two {
        let between = minute.fill(&case.between, &case.id);
        let output = run_script(world, case, &format!("{{ {}; }} >/dev/null", between.trim_end()), 1);
        assert_eq!(output, "", "between the minutes of {:?}", case.name);
    }
    let second = minute.start + 60;
    if !two.is_empty() {
        in_time_for(second)?;
    }
    let seen = |case: &Case| (case.name.clone(), observe(world, case, log_start, minute, &verdicts[case.id.as_str()]));
    let mut observed: Observed = one.into_iter().map(seen).collect();
    // The results of cases with one minute are complete only if the second minute has not begun.
    if now().as_secs() >= second {
        return Err(TooSlow);
    }
    if !two.is_empty() {
        run_through(world, second);
        observed.extend(two.into_iter().map(seen));
    }
    assert!(daemon.is_alive(), "the daemon ended: {}", daemon.last_words());
    Ok(observed)
}

/// Adds a user for each case directly to the files, because useradd would take minutes for hundreds of users.
fn add_users(cases: &[&Case]) {
    let mut passwd = fs::OpenOptions::new().append(true).open("/etc/passwd").expect("/etc/passwd");
    let mut shadow = fs::OpenOptions::new().append(true).open("/etc/shadow").expect("/etc/shadow");
    let mut groups = fs::OpenOptions::new().append(true).open("/etc/group").expect("/etc/group");
    for (uid, case) in (20_000..).zip(cases) {
        let id = &case.id;
        writeln!(passwd, "{id}:x:{uid}:{uid}::/home/{id}:/bin/sh").expect("/etc/passwd");
        writeln!(shadow, "{id}:*:19000:0:99999:7:::").expect("/etc/shadow");
        writeln!(groups, "{id}:x:{uid}:\n{id}more:x:{}:{id}", uid + 20_000).expect("/etc/group");
        fs::create_dir(format!("/home/{id}")).expect("a home");
        own(&format!("/home/{id}"), uid, uid, 0o755);
    }
}

/// Removes the users of the cases.
fn remove_users(cases: &[&Case]) {
    for file in ["/etc/passwd", "/etc/shadow", "/etc/group"] {
        let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{file}: {e}"));
        let stays = |line: &&str| !cases.iter().any(|case| line.contains(&case.id));
        let kept: Vec<&str> = text.lines().filter(stays).collect();
        fs::write(file, kept.join("\n") + "\n").unwrap_or_else(|e| panic!("{file}: {e}"));
    }
    for case in cases {
        fs::remove_dir_all(format!("/home/{}", case.id)).ok();
    }
}

/// Installs the case's table, and returns the verdict of `crontab` on a user's table.
fn install(world: &World, case: &Case, minute: Minute) -> String {
    let verdict = match &case.task {
        Task::Script(_) => String::new(),
        Task::SystemTable { path, text } => {
            let path = path.replace("{ID}", &case.id);
            fs::write(&path, minute.fill(text, &case.id)).unwrap_or_else(|e| panic!("{path}: {e}"));
            own(&path, 0, 0, 0o644);
            String::new()
        }
        Task::UserTable(text) => install_users(world, case, &minute.fill(text, &case.id)),
    };
    if !case.setup.is_empty() {
        let output =
            run_script(world, case, &format!("{{ {}; }} >/dev/null", minute.fill(&case.setup, &case.id).trim_end()), 1);
        assert_eq!(output, "", "the setup of {:?}", case.name);
    }
    verdict
}

fn install_users(world: &World, case: &Case, text: &str) -> String {
    let shown = world.run_with_input("root", &format!("crontab -u {} -", case.id), text.as_bytes());
    if shown.status.success() {
        return "accepted\n".to_owned();
    }
    // The daemon must also handle tables that crontab refuses, since another program may have written them.
    let path = format!("{}/{}", world.implementation.spool(), case.id);
    fs::write(&path, text).unwrap_or_else(|e| panic!("{path}: {e}"));
    let user = nix::unistd::User::from_name(&case.id).expect("users").expect("the case's user");
    own(&path, user.uid.as_raw(), user.gid.as_raw(), 0o600);
    "refused\n".to_owned()
}

/// Waits for a minute to begin, and for everything that was started in it to end.
fn run_through(world: &World, start: u64) {
    wait_until(start);
    let shown = format!("{:02}", start / 60 % 60);
    Deadline::seconds(30).wait_for("the canary job to run", || {
        let output = fs::read_to_string(format!("{OUT}/canary")).unwrap_or_default();
        output.lines().any(|line| line == shown).then_some(())
    });
    wait_until_asleep(world);
}

/// Waits until twenty checks in a row find only sleeping processes of the daemon. One check is not enough, because one
/// process of a job may have ended before the next one has started.
fn wait_until_asleep(world: &World) {
    let daemon = world.implementation.daemon();
    let mut checks = 0;
    let mut last = Vec::new();
    let found = Deadline::seconds(45).try_wait_for(|| {
        last = world.processes();
        last.retain(|process| process.state != 'S' || !process.line.to_lowercase().starts_with(daemon));
        checks = if last.is_empty() { checks + 1 } else { 0 };
        (checks >= 20).then_some(())
    });
    assert!(found.is_some(), "these processes do not end: {last:#?}");
}

/// Collects the result of a case: the parts that its key `watch` names.
fn observe(world: &World, case: &Case, log_start: usize, minute: Minute, verdict: &str) -> String {
    let watch = |what: &str| case.watch.iter().any(|watched| watched == what);
    let default = case.watch.is_empty();
    let mut seen = String::new();
    if watch("verdict") || (default && matches!(case.task, Task::UserTable(_))) {
        seen.push_str(verdict);
    }
    if watch("out") || default {
        let text = fs::read(format!("{OUT}/{}", case.id)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        for line in &lines {
            seen.push_str(line);
            seen.push('\n');
        }
        if lines.is_empty() {
            seen.push_str("nothing ran\n");
        }
    }
    if watch("log") {
        // Lines of `crontab` are left out here; cases about crontab record them in their scripts.
        let is_about = |line: &String| line.contains(&case.id) && !line.contains(" crontab[");
        let mut lines: Vec<String> =
            world.log.lines().into_iter().skip(log_start).filter(is_about).map(|line| plain(case, &line)).collect();
        if watch("unordered") {
            lines.sort_unstable();
        }
        if watch("distinct") {
            lines.dedup();
        }
        seen.push_str(&lines.concat());
    }
    if watch("children") {
        let lines: BTreeSet<String> =
            world.log.lines().into_iter().skip(log_start).filter(|line| names_no_user(line)).collect();
        // Lines that differ only in a process id become equal.
        let mut lines: Vec<String> = lines.into_iter().map(|line| plain(case, &line)).collect();
        lines.sort_unstable();
        lines.dedup();
        seen.push_str(&lines.concat());
    }
    if watch("mail") {
        seen.push_str(&mails(&case.id));
    }
    if !case.after.is_empty() {
        seen.push_str(&run_script(world, case, &minute.fill(&case.after, &case.id), 1));
    }
    plain(case, &seen)
}

/// Whether the line comes from a job's process and names no user.
fn names_no_user(line: &str) -> bool {
    (line.contains(" CRON[") || line.contains(" CROND[")) && line.contains(": (CRON) ")
}

/// The mails that contain the case's id, sorted. The headers that cronwheel adds to every mail are left out: they have a case of their own.
fn mails(id: &str) -> String {
    let mut found: Vec<String> = fs::read_dir(MAIL)
        .expect("the captured mails")
        .map(|entry| entry.expect("an entry").path().join("mail"))
        .filter_map(|path| fs::read(path).ok())
        .map(|bytes| without_added_headers(&String::from_utf8_lossy(&bytes)))
        .filter(|text| text.contains(id))
        .collect();
    found.sort_unstable();
    if found.is_empty() { "no mail\n".to_owned() } else { found.concat() }
}

/// Every line of a recorded mail begins with a bar.
fn without_added_headers(mail: &str) -> String {
    let added = ["| X-Cron-Job: ", "| X-Cron-Status: ", "| X-Cron-Duration: "];
    let (head, body) = mail.split_once("\n| \n").unwrap_or((mail, ""));
    let kept: Vec<&str> = head.lines().filter(|line| !added.iter().any(|name| line.starts_with(name))).collect();
    format!("{}\n| \n{body}", kept.join("\n"))
}
