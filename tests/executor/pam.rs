//! PAM sessions around jobs, with modules that record the calls.

use crate::common::{Deadline, Implementation, World};
use crate::harness::{
    Harness, PERMISSIVE, config, describe_services, environment, install_mailer, mail, not_started, read, start,
};
use crate::world;
use cronwheel::profile::ProfileName;
use cronwheel::scheduler::{FleetRun, Owner, RunOutcome, RunRequest};
use cronwheel::sys::clock;
use std::fs;
use std::path::Path;

/// A service whose session counts its openings and closings in /run/sessions.
fn count_sessions() {
    let script = "#!/bin/sh\necho $PAM_TYPE $PAM_USER $PAM_TTY $(/usr/bin/id -u) >>/run/sessions\n";
    fs::write("/usr/local/bin/count", script).unwrap();
    fs::set_permissions("/usr/local/bin/count", std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fs::write("/etc/security/pam_env.conf", "FROM_PAM DEFAULT=yes\nPATH DEFAULT=/pam\n").unwrap();
    describe_services(
        "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_env.so\n\
         session required pam_limits.so\nsession required pam_exec.so /usr/local/bin/count\n",
    );
}

#[test]
fn a_pam_session_is_around_the_job_and_closed_however_it_ends() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer("");
    count_sessions();
    fs::write("/etc/security/limits.conf", "alice hard nofile 77\n").unwrap();
    let mut harness = Harness::of(config(ProfileName::Debian));
    let sessions = |count: usize| {
        let open = "open_session alice cron 0\nclose_session alice cron 0\n";
        let expected = open.repeat(count);
        let closed = Deadline::seconds(5).try_wait_for(|| (read("/run/sessions") == expected).then_some(()));
        assert!(closed.is_some(), "{}", read("/run/sessions"));
    };
    assert_eq!(
        harness.run("alice", "(echo $FROM_PAM $PATH; ulimit -n; cat) >out; echo mailed%in"),
        RunOutcome::Code(0)
    );
    assert_eq!(read("/home/alice/out"), "yes /usr/bin:/bin\n77\nin\n");
    assert!(mail(&world).ends_with("\n\nmailed\n"));
    sessions(1);
    assert_eq!(harness.run("alice", "kill -9 $$"), RunOutcome::Signal { number: 9, core_dumped: false });
    sessions(2);
    // Everything of hers but the sender itself: the PAM monitor is root's.
    assert_eq!(harness.run("alice", "kill -9 -1; true"), RunOutcome::Code(0));
    sessions(3);
    let mut shell = start(1, "alice", "true");
    shell.variables = environment(&[("SHELL", b"/bin/nosh")]);
    harness.start(&shell);
    assert_eq!(not_started(harness.end_of(1)), "exec /bin/nosh: No such file or directory");
    sessions(4);
    let monitors = || world.run("pgrep -c -x 'crond: pam' || true").ok();
    Deadline::seconds(20).wait_for("the monitors to end", || (monitors() == "0\n").then_some(()));
}

#[test]
fn an_account_that_pam_refuses_is_not_used_and_the_log_says_so_in_the_profiles_words() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    describe_services("account required pam_deny.so\nsession required pam_permit.so\n");
    let mut debian = Harness::of(config(ProfileName::Debian));
    assert_eq!(not_started(debian.run("alice", "touch /tmp/ran")), "pam_acct_mgmt: Authentication failure");
    world.log.wait_for("cron.err CRON", Deadline::seconds(10));
    let mut cronie = Harness::of(config(ProfileName::Cronie));
    assert_eq!(not_started(cronie.run("alice", "touch /tmp/ran")), "pam_acct_mgmt: Authentication failure");
    world.log.wait_for(": (alice) FAILED to authorize user with PAM (Authentication failure)", Deadline::seconds(10));
    assert_eq!(cronie.run("root", "true"), RunOutcome::Code(0));
    assert!(!Path::new("/tmp/ran").exists());
}

#[test]
fn an_included_description_that_is_changed_in_place_counts_for_the_next_job() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    describe_services("@include shared\n");
    fs::write("/etc/pam.d/shared", PERMISSIVE).unwrap();
    let mut harness = Harness::of(config(ProfileName::Debian));
    assert_eq!(harness.run("alice", "true"), RunOutcome::Code(0));
    fs::write("/etc/pam.d/shared", PERMISSIVE.replace("account required pam_permit", "account required pam_deny"))
        .unwrap();
    assert_eq!(not_started(harness.run("alice", "true")), "pam_acct_mgmt: Authentication failure");
    fs::write("/etc/pam.d/shared", PERMISSIVE).unwrap();
    assert_eq!(harness.run("alice", "true"), RunOutcome::Code(0));
}

#[test]
fn a_missing_module_is_logged_for_each_job() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    describe_services(&format!("{PERMISSIVE}session optional pam_nothing.so\n-session optional pam_silent.so\n"));
    let mut harness = Harness::of(config(ProfileName::Debian));
    for jobs in 1..=3 {
        assert_eq!(harness.run("alice", "true"), RunOutcome::Code(0));
        let told = || world.log.lines().iter().filter(|line| line.contains("faulty module: pam_nothing.so")).count();
        Deadline::seconds(10).wait_for("PAM's complaint", || (told() == jobs).then_some(()));
    }
    assert!(!world.log.lines().iter().any(|line| line.contains("pam_silent.so")));
}

#[test]
fn a_session_outlives_main_and_executor() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    count_sessions();
    let mut harness = Harness::of(config(ProfileName::Debian));
    harness.start(&start(1, "alice", "echo >ready; while ! test -e go; do sleep 0.1; done"));
    world.wait_for_file("/home/alice/ready", Deadline::seconds(20));
    let pid = harness.executor.pid();
    drop(harness);
    world.run(&format!("kill -KILL {pid}")).ok();
    fs::write("/home/alice/go", "").unwrap();
    let closed = || read("/run/sessions").ends_with("close_session alice cron 0\n").then_some(());
    Deadline::seconds(20).wait_for("the session to be closed", closed);
}

/// Makes an executable script.
fn install(path: &str, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn of_a_thousand_sessions_each_is_opened_once_and_closed_once() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.run("useradd --create-home carol && useradd --create-home mallory").ok();
    install("/usr/local/bin/count", "echo $PAM_TYPE $PAM_USER >>/run/sessions");
    describe_services(&format!("{PERMISSIVE}session required pam_exec.so /usr/local/bin/count\n"));
    let mut harness = Harness::of(config(ProfileName::Debian));
    for run in 0..1000 {
        let (user, command) = match run % 10 {
            0 => ("alice", "kill -9 $$"),
            1 => ("bob", "exit 3"),
            // Everything of hers, other jobs included.
            2 => ("mallory", "kill -9 -1"),
            3 => ("mallory", "(kill -9 -1); kill -9 $$"),
            4 => ("carol", "exec /bin/nothing"),
            _ => (["alice", "bob", "carol"][run as usize % 3], "true"),
        };
        let mut one = start(run, user, command);
        if run % 10 == 5 {
            one.variables = environment(&[("SHELL", b"/bin/nosh")]);
        }
        harness.start(&one);
    }
    for run in 0..1000 {
        let end = harness.end_of(run);
        let killed = RunOutcome::Signal { number: 9, core_dumped: false };
        match run % 10 {
            0 => assert_eq!(end, killed),
            1 => assert_eq!(end, RunOutcome::Code(3)),
            2 | 3 => assert!(end == killed || end == RunOutcome::Code(0), "{end:?}"),
            4 => assert_eq!(end, RunOutcome::Code(127)),
            5 => assert_eq!(not_started(end), "exec /bin/nosh: No such file or directory"),
            _ => assert_eq!(end, RunOutcome::Code(0)),
        }
    }
    let count = |what: &str| read("/run/sessions").lines().filter(|line| line.starts_with(what)).count();
    Deadline::seconds(60).wait_for("the last session to be closed", || (count("close_session") >= 1000).then_some(()));
    let no_monitor = || world.processes().iter().all(|process| process.name != "crond: pam").then_some(());
    Deadline::seconds(60).wait_for("the monitors to end", no_monitor);
    for user in ["alice", "bob", "carol", "mallory"] {
        assert_eq!(count(&format!("open_session {user}")), count(&format!("close_session {user}")), "{user}");
    }
    assert_eq!((count("open_session"), count("close_session")), (1000, 1000));
}

/// Runs jobs of an expired account, of one whose password has to be changed, and of one whose password is locked; gives what the log says of
/// the first two.
fn refused_accounts(world: &World) -> Vec<String> {
    world.run("useradd --create-home carol && echo carol:secret | chpasswd").ok();
    world.run("usermod -e 1 alice && usermod -L bob && chage -d 0 carol").ok();
    let line = |user: &str| format!("@reboot {user} touch /tmp/ran-{user}\n");
    world.drop_in("accounts", &["alice", "carol", "bob", "root"].map(line).concat());
    let daemon = world.start_daemon(&[]);
    for user in ["bob", "root"] {
        Deadline::seconds(30).wait_for(user, || Path::new(&format!("/tmp/ran-{user}")).exists().then_some(()));
    }
    let about = |line: &String| line.starts_with("cron.") && (line.contains("expired") || line.contains("token"));
    let told = Deadline::seconds(30).wait_for("both refusals", || {
        let told: Vec<String> = world.log.lines().into_iter().filter(about).collect();
        (told.len() >= 2).then_some(told)
    });
    drop(daemon);
    assert!(!Path::new("/tmp/ran-alice").exists() && !Path::new("/tmp/ran-carol").exists());
    // The pid is not the same each time, nor is the order.
    let mut told: Vec<String> = told.iter().map(|line| mask_pid(line)).collect();
    told.sort();
    told
}

fn mask_pid(line: &str) -> String {
    let Some((before, rest)) = line.split_once('[') else { return line.to_owned() };
    rest.split_once(']').map_or_else(|| line.to_owned(), |(_, after)| format!("{before}[N]{after}"))
}

const REFUSED_BY_DEBIAN: [&str; 2] = [
    "cron.err CRON[N]: Authentication token is no longer valid; new one required",
    "cron.err CRON[N]: User account has expired",
];

#[test]
fn debians_cron_refuses_an_expired_account_and_a_stale_password_and_runs_for_a_locked_one() {
    let Some(world) = world!(Implementation::Debian) else { return };
    assert_eq!(refused_accounts(&world), REFUSED_BY_DEBIAN);
}

#[test]
fn an_expired_account_and_a_stale_password_are_refused_as_debians_cron_does() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let told = refused_accounts(&world);
    let (own, theirs): (Vec<String>, Vec<String>) = told.into_iter().partition(|line| line.contains("NOT STARTED"));
    assert_eq!(theirs, REFUSED_BY_DEBIAN);
    assert_eq!(own.len(), 2, "{own:#?}");
}

#[test]
fn an_expired_account_and_a_stale_password_are_refused_in_cronies_words() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    let told = refused_accounts(&world);
    for (user, why) in
        [("alice", "User account has expired"), ("carol", "Authentication token is no longer valid; new one required")]
    {
        for what in ["PAM ERROR", "FAILED to authorize user with PAM"] {
            let line = format!("cron.info crond[N]: ({user}) {what} ({why})");
            assert!(told.contains(&line), "{line}: {told:#?}");
        }
    }
}

#[test]
fn groups_variables_and_limits_that_pam_gives_are_the_jobs() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    fs::write("/etc/security/group.conf", "*;*;alice;Al0000-2400;games\n").unwrap();
    fs::write("/etc/environment", "FROM_FILE=yes\n").unwrap();
    fs::write("/etc/security/limits.conf", "alice hard nproc 321\nalice hard nofile 99\n").unwrap();
    describe_services(
        "auth optional pam_group.so\naccount required pam_permit.so\nsession required pam_env.so\n\
         session required pam_limits.so\n",
    );
    for profile in [ProfileName::Debian, ProfileName::Cronie] {
        let mut harness = Harness::of(config(profile));
        assert_eq!(harness.run("alice", "(id -Gn; echo $FROM_FILE; ulimit -Hp; ulimit -Hn) >out"), RunOutcome::Code(0));
        assert_eq!(read("/home/alice/out"), "alice games\nyes\n321\n99\n");
        assert_eq!(harness.run("bob", "id -Gn >out"), RunOutcome::Code(0));
        assert_eq!(read("/home/bob/out"), "bob\n");
    }
}

#[test]
fn a_module_that_does_not_return_holds_up_only_the_job_whose_session_it_is() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install(
        "/usr/local/bin/tarry",
        "[ $PAM_USER = bob ] || exit 0\n>/run/tarries\nwhile ! [ -e /run/go ]; do sleep 0.1; done",
    );
    describe_services(&format!("{PERMISSIVE}session required pam_exec.so /usr/local/bin/tarry\n"));
    let mut harness = Harness::of(config(ProfileName::Debian));
    harness.start(&start(1, "bob", "echo >out"));
    Deadline::seconds(20).wait_for("bob's module", || Path::new("/run/tarries").exists().then_some(()));
    for run in 2..22 {
        harness.start(&start(run, "alice", "true"));
    }
    (2..22).for_each(|run| assert_eq!(harness.end_of(run), RunOutcome::Code(0)));
    assert!(harness.ended.len() == 20 && !Path::new("/home/bob/out").exists());
    fs::write("/run/go", "").unwrap();
    assert_eq!(harness.end_of(1), RunOutcome::Code(0));
    assert!(!world.wait_for_file("/home/bob/out", Deadline::seconds(1)).is_empty());
}

#[test]
fn a_claim_that_expires_while_a_session_is_opened_starts_nothing() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    install("/usr/local/bin/tarry", ">/run/tarries\nwhile ! [ -e /run/go ]; do sleep 0.1; done");
    describe_services(&format!("{PERMISSIVE}session required pam_exec.so /usr/local/bin/tarry\n"));
    let mut harness = Harness::of(config(ProfileName::Debian));
    let claimed = |run: u64, left_ms: i64| {
        let fleet = FleetRun { fence: Some(run), start_by_ms: clock::boot_ms() + left_ms, end_by_ms: None };
        RunRequest { fleet: Some(fleet), ..start(run, "bob", "echo $CRON_FENCE >>out") }
    };
    let late = claimed(1, 1_500);
    harness.start(&late);
    Deadline::seconds(20).wait_for("the module", || Path::new("/run/tarries").exists().then_some(()));
    let start_by_ms = late.fleet.map(|fleet| fleet.start_by_ms);
    Deadline::seconds(20).wait_for("the end of the claim", || (Some(clock::boot_ms()) > start_by_ms).then_some(()));
    fs::write("/run/go", "").unwrap();
    assert_eq!(not_started(harness.end_of(1)), "claim expired");
    harness.start(&claimed(2, 20_000));
    assert_eq!(harness.end_of(2), RunOutcome::Code(0));
    assert_eq!(read("/home/bob/out"), "2\n");
}

/// The name of the process that a job's shell was forked by.
const PARENT: &str = "cat /proc/$PPID/comm >/tmp/parent";

#[test]
fn a_changed_service_counts_for_the_next_job_and_without_one_there_is_no_session() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    describe_services(PERMISSIVE);
    let mut harness = Harness::of(config(ProfileName::Debian));
    assert_eq!(harness.run("alice", PARENT), RunOutcome::Code(0));
    assert_eq!(read("/tmp/parent"), "crond: pam\n");
    describe_services("account required pam_deny.so\n");
    assert_eq!(not_started(harness.run("alice", "true")), "pam_acct_mgmt: Authentication failure");
    // An included file, changed in place.
    fs::write("/etc/pam.d/shared", "account required pam_permit.so\nsession required pam_permit.so\n").unwrap();
    describe_services("auth required pam_permit.so\naccount include shared\nsession include shared\n");
    assert_eq!(harness.run("alice", "true"), RunOutcome::Code(0));
    fs::write("/etc/pam.d/shared", "account required pam_permit.so\nsession required pam_deny.so\n").unwrap();
    assert!(not_started(harness.run("alice", "true")).starts_with("pam_open_session: "));
    describe_services("");
    fs::remove_file("/tmp/parent").unwrap();
    assert_eq!(harness.run("alice", PARENT), RunOutcome::Code(0));
    assert_eq!(read("/tmp/parent"), "cron: executor\n");
}

#[test]
fn an_upgraded_module_counts_for_the_next_job_and_an_upgraded_libpam_too() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let modules = world.run("dirname $(find /usr/lib /lib -name pam_permit.so | head -n 1)").ok();
    let modules = modules.trim();
    // A new file is moved into the place of the old one, as dpkg does.
    let install =
        |module: &str| world.run(&format!("cd {modules} && cp {module} own.new && mv own.new pam_own.so")).ok();
    install("pam_permit.so");
    describe_services("account required pam_own.so\nsession required pam_permit.so\n");
    let mut harness = Harness::of(config(ProfileName::Debian));
    assert_eq!(harness.run("alice", "true"), RunOutcome::Code(0));
    let templates = || -> Vec<u32> {
        let all = world.processes().into_iter();
        all.filter(|process| process.name == "crond: template").map(|process| process.pid).collect()
    };
    let before = templates();
    describe_services("account required pam_own.so\nsession optional pam_warn.so\nsession required pam_permit.so\n");
    assert_eq!(harness.run("alice", "true"), RunOutcome::Code(0));
    assert_eq!((before.len(), &templates()), (1, &before), "no library has changed: it is the same process");
    install("pam_deny.so");
    assert_eq!(not_started(harness.run("alice", "true")), "pam_acct_mgmt: Authentication failure");
    install("pam_permit.so");
    assert_eq!(harness.run("alice", "true"), RunOutcome::Code(0));
    let before = templates();
    world.run(&format!("cd {modules}/.. && cp libpam.so.0 libpam.new && mv libpam.new libpam.so.0")).ok();
    assert_eq!(harness.run("alice", "true"), RunOutcome::Code(0));
    Deadline::seconds(20).wait_for("the template with the earlier libpam to end", || {
        let now = templates();
        (now.len() == 1 && now != before).then_some(())
    });
}

#[test]
fn a_fault_in_a_service_is_logged_once_for_a_job() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    describe_services("account required pam_missing.so\nsession required pam_permit.so\n");
    let mut harness = Harness::of(config(ProfileName::Debian));
    assert_eq!(not_started(harness.run("alice", "true")), "pam_acct_mgmt: Module is unknown");
    // The template came upon it as well, and earlier.
    let fault = "adding faulty module: pam_missing.so";
    world.log.wait_for(fault, Deadline::seconds(10));
    let lines = world.log.lines();
    assert_eq!(lines.iter().filter(|line| line.contains(fault)).count(), 1, "{lines:?}");
}

#[test]
fn a_service_of_the_vendor_counts_until_etc_has_one() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    describe_services("");
    fs::create_dir_all("/usr/lib/pam.d").unwrap();
    fs::write("/usr/lib/pam.d/cron", "account required pam_deny.so\n").unwrap();
    let mut harness = Harness::of(config(ProfileName::Debian));
    assert_eq!(not_started(harness.run("alice", "true")), "pam_acct_mgmt: Authentication failure");
    describe_services(PERMISSIVE);
    assert_eq!(harness.run("alice", "true"), RunOutcome::Code(0));
    describe_services("");
    fs::remove_file("/usr/lib/pam.d/cron").unwrap();
    assert_eq!(harness.run("alice", "true"), RunOutcome::Code(0));
}

#[test]
fn without_libpam_jobs_run_with_their_owners_groups_and_defaults() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.run("groupadd extra && usermod -aG extra alice").ok();
    let removed = world.run("find /usr/lib /lib -xdev -name 'libpam.so.0*' -print -delete").ok();
    assert!(!removed.is_empty());
    describe_services("account required pam_deny.so\n");
    let mut harness = Harness::of(config(ProfileName::Debian));
    assert_eq!(harness.run("alice", "(id -Gn; umask; pwd; cat) >out%in"), RunOutcome::Code(0));
    assert_eq!(read("/home/alice/out"), "alice extra\n0022\n/home/alice\nin\n");
}

#[test]
fn cronie_spares_roots_jobs_of_system_tables_only() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    describe_services("account required pam_deny.so\n");
    let mut harness = Harness::of(config(ProfileName::Cronie));
    assert_eq!(harness.run("root", PARENT), RunOutcome::Code(0));
    assert_eq!(read("/tmp/parent"), "crond: executor\n");
    let mut own = start(1, "root", "true");
    own.source.owner = Owner::User { name: "root".into(), uid: 0 };
    harness.start(&own);
    assert_eq!(not_started(harness.end_of(1)), "pam_acct_mgmt: Authentication failure");
    let mut debian = Harness::of(config(ProfileName::Debian));
    assert_eq!(not_started(debian.run("root", "true")), "pam_acct_mgmt: Authentication failure");
}
