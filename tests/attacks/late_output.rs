//! Output that processes in the background write after the job's command has ended.

use crate::common::{Deadline, Implementation, World};
use crate::world;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

/// Each mail is one file.
const MAILER: &str =
    "#!/bin/sh\nmkdir -p /run/mails && cat >/run/mails/$$.part && mv /run/mails/$$.part /run/mails/$$\n";
const NOTE: &str = "MAIL (processes in the background still write after the command's end: that is not mailed)";

fn install_mailer() {
    fs::write("/usr/sbin/sendmail", MAILER).unwrap();
    fs::set_permissions("/usr/sbin/sendmail", fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir("/run/mails").unwrap();
    fs::set_permissions("/run/mails", fs::Permissions::from_mode(0o777)).unwrap();
}

fn mails() -> Vec<String> {
    let whole = |entry: fs::DirEntry| {
        let path = entry.path();
        path.extension().is_none().then(|| fs::read_to_string(path).unwrap())
    };
    fs::read_dir("/run/mails").unwrap().flatten().filter_map(whole).collect()
}

/// Five jobs that leave something in the background; each marks that it has survived its late writing.
fn prepare_jobs(world: &World) {
    install_mailer();
    fs::create_dir("/run/marks").unwrap();
    fs::set_permissions("/run/marks", fs::Permissions::from_mode(0o777)).unwrap();
    let late = |name: &str, before: &str| {
        format!(
            "@reboot alice (until test -e /run/go; do sleep 0.1; done; echo late-{name}; echo again; : >/run/marks/{name}) & {before}\n"
        )
    };
    let jobs = [
        late("both", "echo early"),
        late("only", "true"),
        format!("MAILTO=\n{}", late("unwanted", "echo early")),
        "MAILTO=alice\n".to_owned(),
        late("fails", "echo early; exit 3"),
    ];
    world.drop_in("late", &jobs.concat());
}

fn wait_for_marks(count: usize) {
    let marks = || fs::read_dir("/run/marks").unwrap().count();
    Deadline::seconds(30).wait_for("the processes in the background", || (marks() == count).then_some(()));
}

#[test]
fn under_debian_the_mail_goes_out_without_late_output_the_log_says_so_and_nobody_is_killed() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare_jobs(&world);
    let daemon = world.start_daemon(&[]);
    Deadline::seconds(30).wait_for("two mails", || (mails().len() == 2).then_some(()));
    // The daemon is gone when they write.
    assert!(daemon.stop().success());
    fs::write("/run/go", "").unwrap();
    wait_for_marks(4);
    let no_cron = || world.processes().iter().all(|process| !process.name.starts_with("cron")).then_some(());
    Deadline::seconds(30).wait_for("the executor's end", no_cron);
    assert!(mails().iter().all(|mail| mail.ends_with("\n\nearly\n")), "{:#?}", mails());
    let lines = world.log.lines();
    let noted = lines.iter().filter(|line| line.contains(NOTE)).count();
    assert_eq!(noted, 3, "one line for each job whose output is mailed: {lines:#?}");
}

#[test]
fn in_the_cronie_profile_the_mail_waits_for_late_output_and_nothing_else_does() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    prepare_jobs(&world);
    let daemon = world.start_daemon(&[]);
    Deadline::seconds(30).wait_for("the ends", || {
        let lines = world.log.lines();
        (lines.iter().filter(|line| line.contains(") CMDEND (")).count() == 4).then_some(())
    });
    assert!(mails().is_empty());
    assert!(daemon.stop().success());
    fs::write("/run/go", "").unwrap();
    wait_for_marks(4);
    Deadline::seconds(30).wait_for("three mails", || (mails().len() == 3).then_some(()));
    let mut bodies: Vec<String> =
        mails().iter().map(|mail| mail.split_once("\n\n").unwrap().1.replace('\n', " ")).collect();
    bodies.sort();
    assert_eq!(bodies, ["early late-both again ", "early late-fails again ", "late-only again "]);
    assert!(!world.log.lines().iter().any(|line| line.contains(NOTE)));
}

#[test]
fn late_output_goes_to_the_log_where_output_does() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    prepare_jobs(&world);
    world.drop_in("flood", "@reboot alice (until test -e /run/go; do sleep 0.1; done; head -c 5000000 /dev/zero | tr '\\0' x | fold -w 1000; printf unended) & true\n");
    let daemon = world.start_daemon(&["-s"]);
    world.log.wait_for("CMDOUT (early)", Deadline::seconds(30));
    fs::write("/run/go", "").unwrap();
    for part in ["CMDOUT (late-both)", "CMDOUT (late-only)", "CMDOUT (late-unwanted)", "CMDOUT (again)"] {
        world.log.wait_for(part, Deadline::seconds(30));
    }
    wait_for_marks(4);
    world.log.wait_for(
        "CMDOUT ([... further output of processes in the background is not logged ...])",
        Deadline::seconds(60),
    );
    assert!(mails().is_empty());
    assert!(daemon.stop().success());
}

#[test]
fn standalone_late_output_is_printed_also_when_the_daemon_has_ended() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let table = "@reboot (until test -e /run/go; do sleep 0.1; done; echo late; echo oops >&2; until test -e /run/go2; do sleep 0.1; done; echo last; : >/run/mark) & echo early\n";
    fs::write("/tmp/table", table).unwrap();
    let mut daemon = Command::new("/usr/sbin/cron")
        .arg("/tmp/table")
        .stdin(Stdio::null())
        .stdout(fs::File::create("/run/out").unwrap())
        .stderr(fs::File::create("/run/err").unwrap())
        .spawn()
        .unwrap();
    let out = || fs::read_to_string("/run/out").unwrap();
    Deadline::seconds(20).wait_for("the early line", || (out() == "early\n").then_some(()));
    // Longer than the output of a job is waited for after its end.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    fs::write("/run/go", "").unwrap();
    Deadline::seconds(20).wait_for("the late line", || (out() == "early\nlate\n").then_some(()));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon.id() as i32), nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(Deadline::seconds(4).wait_for("its end", || daemon.try_wait().unwrap()).code(), Some(0));
    fs::write("/run/go2", "").unwrap();
    Deadline::seconds(20).wait_for("the last line", || (out() == "early\nlate\nlast\n").then_some(()));
    assert!(fs::read_to_string("/run/err").unwrap().contains("oops\n"));
    let no_cron = || world.processes().iter().all(|process| !process.name.starts_with("cron")).then_some(());
    Deadline::seconds(20).wait_for("the executor's end", no_cron);
}
