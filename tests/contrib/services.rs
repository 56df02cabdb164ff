//! Units, init scripts, the package's scripts, PAM stacks.

use crate::common::{Deadline, Implementation, World};
use crate::world;
use crate::{contrib, lacks, read, run};
use std::fs;
use std::process::Command;

/// Puts a file of `contrib` where it belongs.
fn put(path: &str, place: &str) {
    fs::create_dir_all(std::path::Path::new(place).parent().expect("a folder")).expect("a folder");
    fs::copy(contrib().join(path), place).unwrap_or_else(|e| panic!("{path} to {place}: {e}"));
}

fn put_script(path: &str, place: &str) {
    put(path, place);
    fs::set_permissions(place, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("its mode");
}

/// The process in the PID file, if it is there.
fn daemon(world: &World) -> Option<u32> {
    let pid = fs::read_to_string("/run/crond.pid").ok()?.trim().parse().ok()?;
    // Only the first process can collect the status of a daemon, and it may not have done so yet.
    world.processes().iter().any(|process| process.pid == pid && process.state != 'Z').then_some(pid)
}

#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    if lacks("systemd_has_nothing_to_say_about_the_units", &["systemd-analyze"]) {
        return;
    }
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let names = ["cron.service", "crond.service", "cronwheel-web.socket", "cronwheel-web.service"];
    for name in names {
        put(&format!("systemd/{name}"), &format!("/etc/systemd/system/{name}"));
    }
    for name in names {
        // The pages that a unit names are in the checkout, not installed.
        let shown = world.run(&format!("systemd-analyze verify --man=no /etc/systemd/system/{name}"));
        assert_eq!((shown.code(), shown.stdout.as_str(), shown.stderr.as_str()), (0, "", ""), "{name}");
    }
    fs::write("/etc/systemd/system/bad.service", "[Service]\nExecStart=/nonexistent\nWatchdogsec=x\n").expect("a unit");
    assert_ne!(world.run("systemd-analyze verify --man=no /etc/systemd/system/bad.service").code(), 0);
}

/// How settings of a unit begin that its jobs would inherit, and that would let programs fail in them (systemd.exec(5),
/// systemd.resource-control(5)).
const RESTRICTIONS: [&str; 20] = [
    "Protect",
    "Restrict",
    "Private",
    "ReadOnly",
    "Inaccessible",
    "BindPaths",
    "BindReadOnlyPaths",
    "RootDirectory",
    "NoNewPrivileges",
    "SystemCall",
    "MemoryDenyWriteExecute",
    "LockPersonality",
    "CapabilityBoundingSet",
    "AmbientCapabilities",
    "Memory",
    "CPU",
    "IPAddress",
    "Device",
    "User",
    "Limit",
];

#[test]
fn the_units_keep_running_jobs_and_restrict_none() {
    for unit in ["systemd/cron.service", "systemd/crond.service"] {
        let text = read(unit);
        let settings: Vec<(&str, &str)> =
            text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')).collect();
        for setting in [
            ("KillMode", "process"),
            // One job that is killed for its memory takes neither the daemon nor other jobs with it.
            ("OOMPolicy", "continue"),
            ("TasksMax", "infinity"),
            ("IgnoreSIGPIPE", "false"),
            ("Restart", "on-failure"),
        ] {
            assert!(settings.contains(&setting), "{unit} lacks {setting:?}");
        }
        let restricts = |name: &str| RESTRICTIONS.iter().any(|restriction| name.starts_with(restriction));
        let restrictions: Vec<_> = settings.iter().filter(|(name, _)| restricts(name)).collect();
        assert!(restrictions.is_empty(), "{unit}: {restrictions:?}");
    }
}

#[test]
fn the_settings_of_units_and_init_scripts_are_read_by_both() {
    for (settings, unit, script) in
        [("default/cron", "systemd/cron.service", Some("sysv/cron")), ("default/crond", "systemd/crond.service", None)]
    {
        // A line that a shell and systemd read alike: a name, and a value without anything to expand.
        let (text, unit) = (read(settings), read(unit));
        run(Command::new("sh").args(["-euc", ". \"$0\""]).arg(contrib().join(settings)));
        let names = text.lines().filter_map(|line| line.trim_start_matches('#').split_once('=')).map(|(name, _)| name);
        let names: Vec<&str> =
            names.filter(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')).collect();
        assert!(!names.is_empty(), "{settings}");
        for name in names {
            let users = [Some(unit.clone()), script.map(read)].into_iter().flatten();
            assert!(users.into_iter().any(|text| text.contains(&format!("${name}"))), "{name} of {settings}");
        }
    }
}

#[test]
fn shellcheck_has_nothing_to_say_about_any_script() {
    if lacks("shellcheck_has_nothing_to_say_about_any_script", &["shellcheck"]) {
        return;
    }
    let package = ["debian/preinst", "debian/postinst", "debian/prerm", "debian/postrm", "debian/tests/smoke"];
    let scripts = [&package[..], &["sysv/cron", "release/reproducible", "rpm/make-sources"]].concat();
    run(Command::new("shellcheck").args(scripts).current_dir(contrib()));
    // Its variables are read, and RC_SVCNAME is set, by openrc-run, which shellcheck does not know.
    run(Command::new("shellcheck")
        .args(["-s", "sh", "-e", "SC2034,SC2154,SC1008", "openrc/crond"])
        .current_dir(contrib()));
}

#[test]
fn the_init_script_starts_reports_reloads_restarts_and_stops() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    put_script("sysv/cron", "/etc/init.d/cron");
    put("default/cron", "/etc/default/cron");
    fs::write("/etc/environment", "LANG=C.UTF-8\n").expect("/etc/environment");
    let script = |verb: &str| world.run(&format!("/etc/init.d/cron {verb} >/run/told 2>&1")).code();

    assert_eq!(script("status"), 3, "LSB: not running");
    assert_eq!(script("start"), 0);
    let first = daemon(&world).expect("the script returns when the daemon is ready");
    let environment = fs::read(format!("/proc/{first}/environ")).expect("its environment");
    assert!(environment.split(|byte| *byte == 0).any(|variable| variable == b"LANG=C.UTF-8"), "READ_ENV");
    assert_eq!((script("start"), daemon(&world)), (0, Some(first)), "a second start changes nothing");
    assert_eq!(script("status"), 0);

    let before = world.log.lines().len();
    assert_eq!(script("reload"), 0);
    world.drop_in("after", "rubbish\n");
    world.log.wait_for("/etc/cron.d/after:1:1: error", Deadline::seconds(30));
    assert!(world.log.lines().len() > before && daemon(&world) == Some(first), "it is still the same");

    assert_eq!(script("restart"), 0);
    let second = daemon(&world).expect("the daemon after a restart");
    assert_ne!(first, second);
    assert_eq!((script("stop"), script("status")), (0, 3));
    assert_eq!((daemon(&world), script("stop")), (None, 0));
    assert_eq!(script("fly"), 2);
}

#[test]
fn under_openrc_the_daemon_starts_reports_reloads_restarts_and_stops() {
    if lacks("under_openrc_the_daemon_starts_reports_reloads_restarts_and_stops", &["openrc", "libeinfo1", "librc1"]) {
        return;
    }
    let Some(world) = world!(Implementation::OursCronie) else { return };
    for name in ["openrc", "libeinfo1", "librc1"] {
        let files = crate::common::implementation::package(name).display().to_string();
        world.run(&format!("tar -C {files} -c . | tar -C / -x --keep-directory-symlink && ldconfig")).ok();
    }
    // A machine whose services are up.
    world
        .run("mkdir -p /run/openrc && rm -f /etc/init.d/* && rc-update -u && echo default >/run/openrc/softlevel")
        .ok();
    for needed in ["localmount", "clock", "logger", "net"] {
        fs::write(format!("/etc/init.d/{needed}"), "#!/sbin/openrc-run\nstart() { return 0; }\n").expect("a service");
        world.run(&format!("chmod 755 /etc/init.d/{needed}")).ok();
    }
    put_script("openrc/crond", "/etc/init.d/crond");
    fs::create_dir_all("/etc/conf.d").expect("a folder");
    fs::write("/etc/conf.d/crond", "CRONDARGS=\"-s\"\n").expect("its settings");
    let service =
        |verb: &str| world.run(&format!("rc-service crond {verb} >/run/told 2>&1; code=$?; cat /run/told; exit $code"));

    assert_ne!(service("status").code(), 0);
    service("start").ok();
    let first = daemon(&world).expect("the daemon");
    let line = world.processes().into_iter().find(|process| process.pid == first).expect("the daemon").line;
    assert_eq!(line, "/usr/sbin/crond -s");
    service("status").ok();
    service("reload").ok();
    // A restart while a job runs: the process that it belongs to stays, and is not the daemon.
    world.drop_in("long", "@every_second root [ -e /run/long ] || { echo $$ >/run/long; exec sleep 600; }\n");
    let job = world.wait_for_file("/run/long", Deadline::seconds(20)).trim().to_owned();
    service("restart").ok();
    assert_ne!(daemon(&world).expect("the daemon after a restart"), first);
    assert!(std::path::Path::new("/proc").join(&job).exists(), "the job goes on");
    service("stop").ok();
    // OpenRC waits until it has no program any more; the process is gone a moment later.
    Deadline::seconds(10).wait_for("the end of the daemon", || daemon(&world).is_none().then_some(()));
}

#[test]
fn the_user_of_the_history_is_made_and_keeps_it() {
    let needs = ["systemd-sysusers", "sqlite3", "runuser"];
    if lacks("the_user_of_the_history_is_made_and_keeps_it", &needs) {
        return;
    }
    let Some(world) = world!(Implementation::OursDebian) else { return };
    put("systemd/cronwheel.sysusers.conf", "/usr/lib/sysusers.d/cronwheel.conf");
    world.run("systemd-sysusers /usr/lib/sysusers.d/cronwheel.conf").ok();
    let account = fs::read_to_string("/etc/passwd").expect("passwd");
    let account = account.lines().find(|line| line.starts_with("_cronwheel:")).expect("the user");
    assert!(account.ends_with(":cronwheel history:/nonexistent:/usr/sbin/nologin"), "{account}");
    world.run("ln -sf /bin/true /usr/sbin/sendmail").ok();
    let of_web = fs::read_to_string("/etc/passwd").expect("passwd");
    let of_web = of_web.lines().find(|line| line.starts_with("_cronwheel-web:")).expect("the user of the web page");
    assert!(of_web.ends_with(":cronwheel web page:/nonexistent:/usr/sbin/nologin"), "{of_web}");
    assert_eq!(world.run("getent group _cronwheel >/dev/null && cron --check 2>&1 >/dev/null").ok(), "");

    world.drop_in("early", "@reboot root exit 3\n");
    let _daemon = world.start_daemon(&[]);
    // The command of cronwheel(7).
    let query = "SELECT user, command, outcome, exit_code FROM runs WHERE outcome <> 'running'";
    let database = "/var/lib/cronwheel/history/history.db";
    let line = format!("cd / && runuser -u _cronwheel -- sqlite3 -readonly {database} \"{query}\" 2>&1");
    Deadline::seconds(30).wait_for("a row", || {
        let shown = world.run(&line).stdout;
        (shown == "root|exit 3|failed|3\n").then_some(())
    });
}

#[test]
fn the_pam_stack_for_cronie_lets_a_job_run() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    put("pam/crond.cronie", "/etc/pam.d/crond");
    // What authselect writes on Fedora comes to this for a job.
    let system = "auth required pam_permit.so\naccount required pam_unix.so\nsession required pam_unix.so\n";
    fs::write("/etc/pam.d/system-auth", system).expect("a stack");
    // A user that pam_access refuses.
    fs::write("/etc/security/access.conf", "-:bob:ALL\n").expect("access.conf");
    world.drop_in("early", "@reboot alice id -un >/tmp/alice\n@reboot bob id -un >/tmp/bob\n");
    let _daemon = world.start_daemon(&[]);
    assert_eq!(world.wait_for_file("/tmp/alice", Deadline::seconds(30)), "alice\n");
    world.log.wait_for("(bob) ", Deadline::seconds(30));
    assert!(!std::path::Path::new("/tmp/bob").exists());
}
