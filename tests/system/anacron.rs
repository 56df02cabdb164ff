//! Anacron jobs, where no anacron is installed and where one is.

use crate::common::clock::{now, wait_until};
use crate::common::implementation::own;
use crate::common::{Deadline, Implementation, World};
use crate::world;
use std::fs;

const STAMPS: &str = "/var/spool/anacron";
const RAN: &str = "/run/ran";

/// Jobs whose delays put them in another order than the file's; the first takes a while, so that the next must wait.
const TAB: &str = "\
MAILTO=
# period, delay, name, command
@monthly 0 monthly date +%s >/run/monthly-began; echo monthly $LOGNAME $HOME 100% >>/run/ran; sleep 1; date +%s >/run/monthly-ended
1 0 daily \\
   date +%s >/run/daily-began; echo daily >>/run/ran; false
7 0 weekly echo weekly >>/run/ran
7 900 later echo later >>/run/ran
bad line
";

fn prepare(tab: &str, stamps: &[(&str, &str)]) {
    fs::remove_dir_all(STAMPS).ok();
    fs::remove_file("/usr/sbin/anacron").ok();
    fs::create_dir(STAMPS).expect("a directory of stamps");
    for (id, day) in stamps {
        fs::write(format!("{STAMPS}/{id}"), format!("{day}\n")).expect("a stamp");
    }
    fs::write("/etc/anacrontab", tab).expect("an anacrontab");
    own("/etc/anacrontab", 0, 0, 0o644);
}

/// Today as a stamp has it. Right before midnight it would be another day when it is compared.
fn today(world: &World) -> String {
    let seconds = now().as_secs();
    if seconds % 86_400 > 86_400 - 60 {
        wait_until(seconds + 60);
    }
    world.run("date +%Y%m%d").ok()
}

fn stamp(id: &str) -> String {
    fs::read_to_string(format!("{STAMPS}/{id}")).unwrap_or_default()
}

fn wait_for_stamp(id: &str, day: &str) {
    Deadline::seconds(20).wait_for(&format!("the stamp of {id}"), || (stamp(id) == day).then_some(()));
}

fn seconds(path: &str) -> u64 {
    fs::read_to_string(path).expect(path).trim().parse().expect("seconds")
}

#[test]
fn missed_jobs_run_once_one_after_the_other_and_a_restart_runs_nothing_again() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    missed_jobs(&world);
}

#[test]
fn missed_jobs_run_once_in_the_cronie_profile_too() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    missed_jobs(&world);
}

fn missed_jobs(world: &World) {
    let today = today(world);
    prepare(TAB, &[("monthly", "20240229"), ("daily", "20261121"), ("weekly", "garbage"), ("later", "20200101")]);
    let daemon = world.start_daemon(&[]);
    for id in ["monthly", "daily", "weekly"] {
        wait_for_stamp(id, &today);
    }
    assert_eq!(fs::read_to_string(RAN).expect("jobs"), "monthly root /root 100%\ndaily\nweekly\n");
    assert!(seconds("/run/daily-began") >= seconds("/run/monthly-ended"), "one after the other");
    assert_eq!(world.run(&format!("stat -c %a:%u:%s {STAMPS}/weekly")).ok(), "600:0:9\n");
    assert_eq!(stamp("later"), "20200101\n", "its delay has not passed");
    let log = world.log.lines();
    for told in [
        "(root) CMD (echo weekly >>/run/ran)",
        "(*system*) ERROR (/etc/anacrontab:8:1: error: expected a period in days, found bad)",
        "(CRON) INFO (anacron job later is due, to start at ",
    ] {
        assert!(log.iter().any(|line| line.contains(told)), "{told} in {log:#?}");
    }

    assert!(daemon.stop().success());
    let daemon = world.start_daemon(&[]);
    // A job that runs after the daemon has checked its anacron jobs shows that the check is done.
    fs::write("/etc/anacrontab", format!("{TAB}1 0 canary echo canary >>{RAN}\n")).expect("an anacrontab");
    wait_for_stamp("canary", &today);
    assert_eq!(fs::read_to_string(RAN).expect("jobs"), "monthly root /root 100%\ndaily\nweekly\ncanary\n");
    fs::write(format!("{STAMPS}/daily"), "").expect("a stamp");
    wait_for_stamp("daily", &today);
    assert!(
        fs::read_to_string(RAN).expect("jobs").ends_with("canary\ndaily\n"),
        "a stamp that is emptied counts at once"
    );
    daemon.stop();
}

#[test]
fn a_job_that_outlives_its_daemon_is_not_started_again() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let today = today(&world);
    prepare(&format!("1 0 slow echo slow >>{RAN}; cat /run/gate\n1 0 next echo next >>{RAN}\n"), &[]);
    world.run("mkfifo /run/gate").ok();
    let mut daemon = world.start_daemon(&[]);
    world.wait_for_file(RAN, Deadline::seconds(20));
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    daemon.end(Deadline::seconds(20));
    let daemon = world.start_daemon(&[]);
    world.drop_in("canary", "@every_second root echo ran >>/run/canary\n");
    world.wait_for_file("/run/canary", Deadline::seconds(20));
    assert_eq!(fs::read_to_string(RAN).expect("jobs"), "slow\n", "it runs, and the next one waits");
    assert_eq!(stamp("slow"), "");
    world.run("echo open >/run/gate").ok();
    Deadline::seconds(20).wait_for("the job's end", || {
        world.processes().iter().all(|process| process.line != "cat /run/gate").then_some(())
    });
    // Any change of the anacrontab is an occasion to check.
    fs::File::create("/etc/anacrontab.new").expect("a file");
    world.run("cp /etc/anacrontab /etc/anacrontab.new && mv /etc/anacrontab.new /etc/anacrontab").ok();
    wait_for_stamp("slow", &today);
    wait_for_stamp("next", &today);
    assert_eq!(fs::read_to_string(RAN).expect("jobs"), "slow\nnext\n");
    daemon.stop();
}

#[test]
fn a_job_that_ends_while_no_daemon_runs_has_its_stamp_and_is_not_started_again() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let today = today(&world);
    prepare(&format!("1 0 slow echo slow >>{RAN}; cat /run/gate\n"), &[]);
    world.run("mkfifo /run/gate").ok();
    let mut daemon = world.start_daemon(&[]);
    world.wait_for_file(RAN, Deadline::seconds(20));
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    daemon.end(Deadline::seconds(20));
    world.run("echo open >/run/gate").ok();
    Deadline::seconds(20).wait_for("the job's end", || {
        world.processes().iter().all(|process| process.line != "cat /run/gate").then_some(())
    });
    assert_eq!(stamp("slow"), "");
    let daemon = world.start_daemon(&[]);
    wait_for_stamp("slow", &today);
    // A job that is found due afterwards shows that everything else has been checked.
    fs::write("/etc/anacrontab", format!("1 0 slow true\n1 0 canary echo canary >>{RAN}\n")).expect("an anacrontab");
    wait_for_stamp("canary", &today);
    assert_eq!(fs::read_to_string(RAN).expect("jobs"), "slow\ncanary\n");
    daemon.stop();
}

#[test]
fn on_battery_jobs_wait_unless_the_settings_say_otherwise() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let today = today(&world);
    let tab = format!("1 0 daily echo daily >>{RAN}\n");
    prepare(&tab, &[]);
    let supply = "/sys/class/power_supply/AC";
    fs::create_dir_all(supply).expect("a power supply");
    fs::write(format!("{supply}/type"), "Mains\n").expect("its type");
    fs::write(format!("{supply}/online"), "0\n").expect("its state");
    fs::write("/etc/default/anacron", "ANACRON_RUN_ON_BATTERY_POWER=no\n").expect("a setting");
    world.drop_in("canary", "@every_second root echo ran >>/run/canary\n");
    let daemon = world.start_daemon(&[]);
    world.log.wait_for("(CRON) INFO (on battery power: anacron jobs that are due wait)", Deadline::seconds(20));
    world.wait_for_file("/run/canary", Deadline::seconds(20));
    assert!(!fs::exists(RAN).expect("/run"), "on battery");
    fs::write("/etc/default/anacron", "ANACRON_RUN_ON_BATTERY_POWER=yes\n").expect("a setting");
    // Any change of the anacrontab is an occasion to check.
    fs::write("/etc/anacrontab", format!("{tab}# changed\n")).expect("an anacrontab");
    wait_for_stamp("daily", &today);
    daemon.stop();
}

#[test]
fn with_an_installed_anacron_nothing_runs() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare("1 0 daily echo daily >>/run/ran\n", &[]);
    fs::write("/usr/sbin/anacron", "#!/bin/sh\n").expect("an anacron");
    own("/usr/sbin/anacron", 0, 0, 0o755);
    world.drop_in("canary", "@every_second root echo ran >>/run/canary\n");
    let daemon = world.start_daemon(&[]);
    world.wait_for_file("/run/canary", Deadline::seconds(20));
    assert!(!fs::exists(RAN).expect("/run"));
    let today = today(&world);
    fs::remove_file("/usr/sbin/anacron").expect("removing it");
    daemon.signal(nix::sys::signal::Signal::SIGHUP);
    wait_for_stamp("daily", &today);
    daemon.stop();
}

#[test]
fn a_line_of_the_system_table_counts_as_the_run_of_its_job() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let today = today(&world);
    world.run("mkdir -p /etc/cron.daily /etc/cron.weekly && rm -f /etc/cron.daily/* /etc/cron.weekly/*").ok();
    world
        .run("printf '#!/bin/sh\\necho daily >>/run/ran\\n' >/etc/cron.daily/one && chmod 755 /etc/cron.daily/one")
        .ok();
    world
        .run("printf '#!/bin/sh\\necho weekly >>/run/ran\\n' >/etc/cron.weekly/one && chmod 755 /etc/cron.weekly/one")
        .ok();
    prepare(
        "1 0 cron.daily run-parts --report /etc/cron.daily\n7 0 cron.weekly run-parts --report /etc/cron.weekly\n",
        &[("cron.daily", "20200101"), ("cron.weekly", "20200101")],
    );
    // As Debian's, but due with the daemon's begin: before anything else has been looked at.
    let line = "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }";
    fs::write("/etc/crontab", format!("@reboot root {line}\n")).expect("/etc/crontab");
    let daemon = world.start_daemon(&[]);
    wait_for_stamp("cron.daily", &today);
    wait_for_stamp("cron.weekly", &today);
    Deadline::seconds(20).wait_for("the scripts", || {
        let ran = fs::read_to_string(RAN).unwrap_or_default();
        (ran.lines().count() >= 2).then_some(())
    });
    daemon.stop();
    let mut ran: Vec<String> = fs::read_to_string(RAN).expect("jobs").lines().map(str::to_owned).collect();
    ran.sort();
    assert_eq!(ran, ["daily", "weekly"], "each once");
}

#[test]
fn the_table_is_roots_alone_and_is_checked_with_the_others() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare("1 0 daily echo daily >>/run/ran\n1 x bad true\n", &[]);
    let shown = world.run("cron --check");
    assert_eq!(shown.code(), 1, "{shown:?}");
    assert!(shown.stderr.contains("/etc/anacrontab:2:3: error: expected a delay of 0 to"), "{shown:?}");
    assert!(shown.stdout.contains("1 entry, 0 refused, 1 error"), "{shown:?}");
    own("/etc/anacrontab", 0, 0, 0o666);
    let shown = world.run("cron --check");
    assert!(shown.code() == 1 && shown.stderr.contains("/etc/anacrontab: refused: "), "{shown:?}");
    let daemon = world.start_daemon(&[]);
    world.log.wait_for("INSECURE MODE", Deadline::seconds(20));
    daemon.stop();
    assert!(!fs::exists(RAN).expect("/run"), "anybody could have written it");
}
