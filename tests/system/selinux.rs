//! SELinux and the audit trail. The kernel that the tests run on has no SELinux and audits nothing: a stand-in for libselinux has a policy,
//! labels are real extended attributes, and the audit record is looked at on its way to the kernel.

use crate::common::{Deadline, Implementation, World};
use crate::world;
use std::fs;

/// A kernel that says it has SELinux, and the stand-in where the daemon finds it. Whatever else the modules of PAM want of the library, the
/// real one does, under another name of the same length.
fn pretend_selinux(world: &World) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/selinux.c");
    world.run("mkdir -p /sys/fs/selinux /run/lib && echo 1 >/sys/fs/selinux/enforce").ok();
    world.run("sed s/libselinux.so.1/libselinux.so.0/g /lib/*/libselinux.so.1 >/run/lib/libselinux.so.0").ok();
    world.run("echo 'LIBSELINUX_1.0 { global: *; };' >/run/lib/versions").ok();
    let compile = "cc -Wall -Werror -shared -fPIC -o /run/lib/libselinux.so.1 -Wl,--version-script=/run/lib/versions";
    world.run(&format!("{compile} {source} -Wl,--no-as-needed /run/lib/libselinux.so.0")).ok();
}

fn label(world: &World, path: &str, kind: &str) {
    world.run(&format!("setfattr -n security.selinux -v object_u:object_r:{kind}:s0 {path}")).ok();
}

fn spool(world: &World, user: &str, table: &str, kind: &str) {
    world.crontab(user, table).ok();
    label(world, &format!("{}/{user}", world.implementation.spool()), kind);
}

const LIBRARY: (&str, &str) = ("LD_LIBRARY_PATH", "/run/lib");

#[test]
fn with_a_stand_in_for_libselinux_jobs_run_in_their_contexts_and_only_from_tables_with_the_right_label() {
    let Some(world) = world!(Implementation::OursCronie, ["cc", "setfattr"]) else { return };
    pretend_selinux(&world);
    world.run("useradd -m carol && useradd -m dave").ok();
    spool(&world, "alice", "MLS_LEVEL=s0:c4\n@reboot touch /run/alice\n", "user_cron_spool_t");
    spool(&world, "bob", "@every_second touch /run/bob\n", "user_home_t");
    spool(&world, "carol", "MLS_LEVEL=s1\n@reboot touch /run/carol\n", "user_cron_spool_t");
    spool(&world, "dave", "@reboot touch /run/dave\n", "user_cron_spool_t");
    world.run("chmod 1777 /run").ok();
    world.drop_in("ours", "@reboot root touch /run/root\n");
    label(&world, "/etc/cron.d/ours", "system_cron_spool_t");
    let daemon = world.start_daemon_with(&[], &[LIBRARY]);
    for path in ["/run/alice", "/run/dave", "/run/root"] {
        Deadline::seconds(20).wait_for(path, || fs::exists(path).unwrap().then_some(()));
    }
    let refused = "(bob) Unauthorized SELinux context (/var/spool/cron/bob): context=user_u:cron_r:cronjob_t:s0-s0:c0.c9 \
                   file_context=object_u:object_r:user_home_t:s0";
    world.log.wait_for(refused, Deadline::seconds(20));
    let out_of_range =
        "Unauthorized range in user_u:cron_r:cronjob_t:s1 for user range in user_u:cron_r:cronjob_t:s0-s0:c0.c9";
    let line = world.log.wait_for(out_of_range, Deadline::seconds(20));
    assert!(line.contains("(carol) NOT STARTED (touch /run/carol)"), "{line}");
    let mut contexts: Vec<String> = fs::read_to_string("/run/contexts").unwrap().lines().map(str::to_owned).collect();
    contexts.sort();
    assert_eq!(
        contexts,
        [
            "staff_u:cron_r:cronjob_t:s0:c4",
            "system_u:system_r:system_cronjob_t:s0",
            "user_u:cron_r:cronjob_t:s0-s0:c0.c9"
        ]
    );
    assert!(!fs::exists("/run/bob").unwrap() && !fs::exists("/run/carol").unwrap());
    // A right label is enough to be heard.
    label(&world, &format!("{}/bob", world.implementation.spool()), "user_cron_spool_t");
    Deadline::seconds(20).wait_for("/run/bob", || fs::exists("/run/bob").unwrap().then_some(()));
    daemon.stop();
}

/// A user database of one user.
const REMOTE: &str = r#"
#include <nss.h>
#include <pwd.h>
#include <string.h>
enum nss_status _nss_remote_getpwnam_r(const char *name, struct passwd *p, char *b, size_t l, int *e) {
    if (strcmp(name, "remy")) return NSS_STATUS_NOTFOUND;
    *p = (struct passwd) { "remy", "x", 4242, 100, "", "/tmp", "/bin/sh" };
    return NSS_STATUS_SUCCESS;
}
"#;

#[test]
fn with_a_stand_in_for_libselinux_a_context_whose_look_up_hangs_holds_up_nobody_else() {
    let Some(world) = world!(Implementation::OursCronie, ["cc", "setfattr"]) else { return };
    pretend_selinux(&world);
    fs::write("/tmp/remote.c", REMOTE).unwrap();
    world.run("cc -shared -fPIC -o /usr/lib/$(cc -print-multiarch)/libnss_remote.so.2 /tmp/remote.c").ok();
    world.run("sed -i 's/^passwd:.*/passwd: files remote/' /etc/nsswitch.conf").ok();
    fs::write("/var/spool/cron/remy", "@every_second date +\\%s >>/tmp/remy\n").unwrap();
    world.run("chown remy /var/spool/cron/remy && chmod 600 /var/spool/cron/remy && chmod 1777 /tmp").ok();
    label(&world, "/var/spool/cron/remy", "user_cron_spool_t");
    world.drop_in("each-second", "@every_second root date +\\%s >>/run/seconds\n");
    label(&world, "/etc/cron.d/each-second", "system_cron_spool_t");
    // The user is in no file that PAM's usual modules read.
    fs::write("/etc/pam.d/crond", "account required pam_permit.so\nsession required pam_permit.so\n").unwrap();
    fs::write("/run/hang", "").unwrap();
    let daemon = world.start_daemon_with(&[], &[LIBRARY]);
    let seconds = Deadline::seconds(30).wait_for("four seconds", || {
        let text = fs::read_to_string("/run/seconds").ok()?;
        let seconds: Vec<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
        (seconds.len() >= 5).then_some(seconds)
    });
    assert!(seconds[seconds.len() - 1] - seconds[0] <= seconds.len() as u64, "a gap in {seconds:?}");
    assert!(!fs::exists("/tmp/remy").unwrap(), "a job whose context is not known");
    fs::remove_file("/run/hang").unwrap();
    Deadline::seconds(20).wait_for("the job", || fs::exists("/tmp/remy").unwrap().then_some(()));
    let contexts = fs::read_to_string("/run/contexts").unwrap();
    assert!(contexts.contains("user_u:cron_r:cronjob_t:s0-s0:c0.c9"), "{contexts}");
    daemon.stop();
}

#[test]
fn with_a_stand_in_for_libselinux_a_permissive_policy_stops_nothing() {
    let Some(world) = world!(Implementation::OursCronie, ["cc", "setfattr"]) else { return };
    pretend_selinux(&world);
    fs::write("/sys/fs/selinux/enforce", "0").unwrap();
    // No label at all.
    world.crontab("alice", "@reboot touch ran\n").ok();
    let daemon = world.start_daemon_with(&[], &[LIBRARY]);
    world.wait_for_file("/run/contexts", Deadline::seconds(20));
    Deadline::seconds(20).wait_for("the job", || fs::exists("/home/alice/ran").unwrap().then_some(()));
    daemon.stop();
}

#[test]
fn with_a_stand_in_for_libselinux_crontab_puts_the_callers_context_into_tables() {
    let Some(world) = world!(Implementation::OursCronie, ["cc", "setfattr"]) else { return };
    pretend_selinux(&world);
    let as_root = |line: &str| world.run(&format!("export LD_LIBRARY_PATH=/run/lib; {line}"));
    as_root("echo '@daily true' | crontab -s -").ok();
    assert_eq!(world.run("crontab -l").ok(), "SELINUX_ROLE_TYPE=staff_u:staff_r:staff_t:s0-s0:c3\n@daily true\n");
    as_root("EDITOR=true crontab -s -e").ok();
    as_root("EDITOR='sed -i s/daily/hourly/' crontab -s -e").ok();
    let edited = "SELINUX_ROLE_TYPE=staff_u:staff_r:staff_t:s0-s0:c3\n@hourly true\nMLS_LEVEL=s0-s0:c3\n";
    assert_eq!(world.run("crontab -l").ok(), edited);
    assert_eq!(as_root("crontab -u alice -l").stderr, "no crontab for alice\n");
}

#[test]
fn without_selinux_there_is_no_context_to_put_into_a_table() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    let said = world.run("echo '@daily true' | crontab -s -");
    assert_eq!((said.stderr.as_str(), said.code()), ("Cannot obtain SELinux process context\n", 1));
}

#[test]
fn a_refused_crontab_is_on_its_way_to_the_audit_trail() {
    let Some(world) = world!(Implementation::OursCronie, ["strace"]) else { return };
    fs::write("/etc/cron.deny", "bob\n").unwrap();
    // Traced by root, the program is set-id as ever.
    let traced = world.run("strace -f -u bob -s 200 -e trace=sendto crontab -l");
    assert!(traced.stderr.contains("You (bob) are not allowed to use this program"), "{traced:?}");
    // AUDIT_USER_START; strace shows the text in hexadecimal.
    let record = traced.stderr.lines().find(|line| line.contains("nlmsg_type=0x451")).unwrap_or_default();
    let text = record.split('"').nth(1).unwrap_or_default().split("\\x").skip(1);
    let text: Vec<u8> = text.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text, "cron deny exe=\"/usr/bin/crontab\" hostname=? addr=? terminal=? res=failed\0", "{traced:?}");
    assert!(record.ends_with(&format!(" = {}", 16 + text.len())), "{record}");
}
