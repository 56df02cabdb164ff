//! Ownership and modes of what the daemon did not create stay as they were, and nothing that lies in its run directory holds it up.

use crate::common::{Deadline, Implementation, World};
use crate::{CANARY, wait_for_canary, world};
use nix::sys::stat::Mode;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A mailer that keeps what it is given, writes to its outputs, and tries to take them from everybody else.
const MAILER: &str = "#!/bin/sh\n\
    cat >$HOME/mail.part\n\
    echo printed; echo printed >&2\n\
    chmod 000 /dev/stdout /dev/stderr /dev/null 2>>$HOME/refused\n\
    mv $HOME/mail.part $HOME/mail\n";
/// Writes output as soon as it is told to, to a standard output that it opens by name.
const JOB: &str = "@every_second test -e go && rm go && cat /dev/stdin >/dev/stdout%output\n";

fn install_mailer() {
    fs::write("/usr/sbin/sendmail", MAILER).unwrap();
    fs::set_permissions("/usr/sbin/sendmail", fs::Permissions::from_mode(0o755)).unwrap();
}

/// Has alice's job write output, and gives the mail that comes of it.
fn mail_of_alice(world: &World) -> String {
    world.run_as("alice", "rm -f mail; touch go").ok();
    world.wait_for_file("/home/alice/mail", Deadline::seconds(20))
}

/// Owner, group, mode, type, device and inode of everything that must not change.
fn properties(world: &World) -> Vec<String> {
    let places = format!("/dev /etc /run {}", world.implementation.spool());
    let listed = world.run(&format!("find {places} -printf '%p %u:%g %m %y %D:%i\\n' | LC_ALL=C sort")).ok();
    // Terminals come and go, and alice's home is not in these places.
    listed.lines().filter(|line| !line.starts_with("/dev/pts/")).map(str::to_owned).collect()
}

fn assert_mail_changes_nothing(world: &World) {
    install_mailer();
    world.drop_in("canary", CANARY);
    world.crontab("alice", JOB).ok();
    let service = if world.implementation.is_debian() { "/etc/pam.d/cron" } else { "/etc/pam.d/crond" };
    for with_pam in [true, false] {
        if !with_pam {
            fs::remove_file(service).unwrap();
        }
        let daemon = world.start_daemon(&[]);
        wait_for_canary();
        let before = properties(world);
        assert!(before.iter().any(|line| line.starts_with("/dev/null root:root 666 c ")), "{before:#?}");
        let mail = mail_of_alice(world);
        assert!(mail.ends_with("\n\noutput\n"), "with PAM: {with_pam}: {mail}");
        assert_eq!(properties(world), before, "with PAM: {with_pam}");
        daemon.stop();
        assert!(fs::read_to_string("/home/alice/refused").unwrap().contains("Operation not permitted"));
    }
}

#[test]
fn after_a_mail_devices_and_system_files_have_their_owners_and_modes() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    assert_mail_changes_nothing(&world);
}

#[test]
fn after_a_mail_in_the_cronie_profile_devices_and_system_files_have_their_owners_and_modes() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    assert_mail_changes_nothing(&world);
}

#[test]
fn mail_arrives_where_the_null_device_cannot_be_changed() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer();
    world.crontab("alice", JOB).ok();
    world.run("mount --bind /dev/null /dev/null && mount -o remount,bind,ro /dev/null").ok();
    assert_ne!(world.run("chown alice /dev/null").code(), 0, "the device can be changed, the test shows nothing");
    let _daemon = world.start_daemon(&[]);
    let mail = mail_of_alice(&world);
    assert!(mail.ends_with("\n\noutput\n"), "{mail}");
}

#[test]
fn jobs_run_and_mail_arrives_where_root_may_not_change_owners() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer();
    world.crontab("alice", "@every_second test -e go && rm go && cat%output\n").ok();
    let _daemon = start_without_waiting("exec setpriv --bounding-set=-chown cron -f");
    let mail = mail_of_alice(&world);
    assert!(mail.ends_with("\n\noutput\n"), "{mail}");
}

#[test]
fn a_home_that_root_may_not_enter_is_the_directory_of_its_owners_jobs() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    // As on a file server that takes root for nobody.
    let without = "setpriv --bounding-set=-dac_override,-dac_read_search";
    world.run("chmod 700 /home/alice").ok();
    assert_ne!(world.run(&format!("{without} sh -c 'cd /home/alice'")).code(), 0, "the test shows nothing");
    world.drop_in("home", "@reboot alice pwd >/tmp/where.part; mv /tmp/where.part /tmp/where\n");
    let _daemon = start_without_waiting(&format!("exec {without} cron -f"));
    assert_eq!(world.wait_for_file("/tmp/where", Deadline::seconds(20)), "/home/alice\n");
}

/// A daemon that is not waited for; killed when dropped.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Starts a command with at most 2 GB of memory.
fn start_without_waiting(line: &str) -> Started {
    let line = format!("ulimit -v 2000000; {line}");
    let mut command = Command::new("sh");
    command.args(["-c", &line]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Started(command.spawn().unwrap())
}

fn make_fifo(path: &str) {
    nix::unistd::mkfifo(Path::new(path), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
}

/// Puts what would hold up a reader in the place of everything that a daemon finds at its start.
fn litter(world: &World) {
    make_fifo("/run/crond.pid");
    make_fifo("/run/cronwheel.completed");
    make_fifo(world.implementation.reboot_marker());
    fs::create_dir("/run/crond.outcomes").unwrap();
    make_fifo("/run/crond.outcomes/2-1.json");
    make_fifo("/run/crond.outcomes/3.started");
    symlink("/dev/zero", "/run/crond.outcomes/4.started").unwrap();
    fs::create_dir("/run/crond.outcomes/5-1.json").unwrap();
    world.run("truncate -s 1T /run/crond.outcomes/6-1.json").ok();
    fs::create_dir_all("/var/spool/anacron").unwrap();
    make_fifo("/var/spool/anacron/fifo");
    symlink("/dev/zero", "/var/spool/anacron/endless").unwrap();
    fs::write("/etc/anacrontab", "START_HOURS_RANGE=0-24\nRANDOM_DELAY=0\n1 0 fifo true\n1 0 endless true\n").unwrap();
}

fn assert_starts_among_litter(world: &World, command: &str) {
    litter(world);
    world.drop_in("canary", CANARY);
    let mut daemon = start_without_waiting(command);
    wait_for_canary();
    let pid = fs::read_to_string("/run/crond.pid").unwrap();
    assert_eq!(pid.trim(), daemon.0.id().to_string());
    // The second one looks for the pid of the first where a FIFO is again.
    fs::remove_file("/run/crond.pid").unwrap();
    make_fifo("/run/crond.pid");
    let mut second = start_without_waiting(command);
    let ended = Deadline::seconds(20).wait_for("the second daemon's end", || second.0.try_wait().unwrap());
    assert!(!ended.success());
    assert!(daemon.0.try_wait().unwrap().is_none());
    wait_for_canary();
}

#[test]
fn fifos_endless_and_huge_files_in_the_run_directory_hold_up_no_start() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    assert_starts_among_litter(&world, "exec cron -f");
}

#[test]
fn in_the_cronie_profile_fifos_endless_and_huge_files_hold_up_no_start() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    make_fifo("/var/spool/cron/.cron.hostname");
    assert_starts_among_litter(&world, "exec crond -n -c");
}

#[test]
fn a_link_in_place_of_the_directory_of_outcomes_destroys_no_file() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.drop_in("canary", CANARY);
    // Leftovers are taken only where an earlier daemon of this boot has run.
    let daemon = world.start_daemon(&[]);
    wait_for_canary();
    daemon.stop();
    fs::create_dir("/srv/precious").unwrap();
    fs::write("/srv/precious/1.started", "1").unwrap();
    world.run("rm -rf /run/crond.outcomes && ln -s /srv/precious /run/crond.outcomes").ok();
    let _daemon = world.start_daemon(&[]);
    wait_for_canary();
    assert!(Path::new("/srv/precious/1.started").exists());
}
