//! The runner as a black box: orders in, processes, notices, log lines and mail out. As root, each test on a machine of its own.

#![allow(unsafe_code)] // Only to set what the runner is started with: its environment, an ignored signal.

pub mod common;

use common::{Deadline, Subject, World};
use cronwheel::launch::{Config, LaunchError, Mailer, Notice, Runner, take_leftovers};
use cronwheel::plan::{End, Owner, RunId, Source, Start};
use cronwheel::report::Target;
use cronwheel::site::Profile;
use cronwheel::table::Flags;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs;
use std::path::Path;

fn config(profile: Profile) -> Config {
    Config {
        profile,
        log: Target::Syslog,
        mailer: Mailer::Sendmail,
        output_to_log: false,
        standalone: false,
        log_mask: 1,
        full_host_name: false,
        inherit_path: false,
        run_dir: "/run".into(),
    }
}

/// A start of a line of a system table.
fn start(run: u64, user: &str, command: &str) -> Start {
    Start {
        run: RunId(run),
        source: Source { path: "/etc/cron.d/x".into(), name: "*system*x".into(), owner: Owner::System },
        line: 1,
        user: user.into(),
        command: command.into(),
        variables: Vec::new(),
        flags: Flags::default(),
        scheduled_at: 1_800_000_000,
        at_reboot: false,
    }
}

/// A runner under test with what it has told so far.
struct Bench {
    runner: Runner,
    ended: Vec<(RunId, End)>,
    started: Vec<(RunId, u32)>,
}

impl Bench {
    fn of(config: Config) -> Bench {
        Bench { runner: Runner::spawn(config).unwrap(), ended: Vec::new(), started: Vec::new() }
    }

    /// Without PAM.
    fn debian() -> Bench {
        describe_services("");
        Bench::of(config(Profile::Debian))
    }

    fn start(&mut self, start: &Start) {
        self.runner.start(start);
        while self.runner.wants_to_write() {
            self.runner.flush().unwrap();
            self.hear(PollFlags::POLLIN | PollFlags::POLLOUT);
        }
    }

    /// Waits for one more thing to happen and takes in what has been told.
    fn hear(&mut self, flags: PollFlags) {
        let mut asked = [PollFd::new(self.runner.descriptor(), flags)];
        assert!(poll(&mut asked, PollTimeout::from(30_000_u16)).unwrap() > 0, "the runner says nothing");
        if asked[0].revents().unwrap().contains(PollFlags::POLLIN) {
            for notice in self.runner.receive().unwrap() {
                match notice {
                    Notice::Started { run, pid } => self.started.push((run, pid)),
                    Notice::Ended { run, end, .. } => self.ended.push((run, end)),
                }
            }
        }
    }

    /// How that run ended.
    fn end_of(&mut self, run: u64) -> End {
        loop {
            if let Some((_, end)) = self.ended.iter().find(|(ended, _)| *ended == RunId(run)) {
                return end.clone();
            }
            self.hear(PollFlags::POLLIN);
        }
    }

    /// Runs one command to its end.
    fn run(&mut self, user: &str, command: &str) -> End {
        let run = self.ended.len() as u64 + 1000;
        self.start(&start(run, user, command));
        self.end_of(run)
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The jobs' PAM services; none when there is no text.
fn describe_services(text: &str) {
    for service in ["/etc/pam.d/cron", "/etc/pam.d/crond"] {
        if text.is_empty() {
            let _ = fs::remove_file(service);
        } else {
            fs::write(service, text).unwrap();
        }
    }
}

const PERMISSIVE: &str =
    "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n";

fn uid_of(user: &str) -> u32 {
    nix::unistd::User::from_name(user).unwrap().unwrap().uid.as_raw()
}

/// A mailer that keeps its command line, who it ran as and the letter in /tmp/mail.
fn install_mailer(ending: &str) {
    let script = format!(
        "#!/bin/sh\n{{ printf '%s|' \"$@\"; echo; id -un; cat; }} >/tmp/mail.part && mv /tmp/mail.part /tmp/mail\n{ending}\n"
    );
    fs::write("/usr/sbin/sendmail", script).unwrap();
    fs::set_permissions("/usr/sbin/sendmail", std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

fn mail(world: &World) -> String {
    let text = world.wait_for_file("/tmp/mail", Deadline::seconds(20));
    fs::remove_file("/tmp/mail").unwrap();
    text
}

fn not_started(end: End) -> String {
    match end {
        End::NotStarted { why } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_job_runs_as_its_owner_in_her_home_with_an_environment_built_from_nothing() {
    let Some(_world) = world!(Subject::OursDebian) else { return };
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut bench = Bench::of(config(Profile::Debian));
        let command = "(id -u; id -g; id -Gn; pwd; umask; tr '\\\\0' '\\\\n' </proc/$$/environ) >out";
        assert_eq!(bench.run("alice", command), End::Code(0));
        let alice = nix::unistd::User::from_name("alice").unwrap().unwrap();
        let expected = format!(
            "{}\n{}\nalice\n/home/alice\n0022\nSHELL=/bin/sh\nHOME=/home/alice\nPATH=/usr/bin:/bin\nLOGNAME=alice\n",
            alice.uid, alice.gid
        );
        assert_eq!(read("/home/alice/out"), expected);
    }
}

#[test]
fn a_job_gets_all_groups_of_its_owner_and_none_of_ours() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    world.run("groupadd extra && usermod -aG extra alice").ok();
    let mut bench = Bench::debian();
    assert_eq!(bench.run("alice", "id -Gn >out"), End::Code(0));
    assert_eq!(read("/home/alice/out"), "alice extra\n");
}

#[test]
fn a_job_leads_its_own_session_with_three_descriptors_and_default_signals() {
    let Some(_world) = world!(Subject::OursDebian) else { return };
    // What the daemon was started with must not reach a job.
    let secret = fs::File::open("/etc/shadow").unwrap();
    nix::unistd::dup(&secret).map(std::mem::forget).unwrap();
    // SAFETY: no handler is installed.
    unsafe { nix::sys::signal::signal(nix::sys::signal::Signal::SIGINT, nix::sys::signal::SigHandler::SigIgn) }
        .unwrap();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut bench = Bench::of(config(Profile::Debian));
        let command = "(ls /proc/$$/fd | tr '\\\\n' ' '; ps -o sid=,pid=,tty=,ni= $$ | awk '{print ($1==$2),$3,$4}'; \
                   grep -E '^Sig(Blk|Ign|Cgt)|^ShdPnd' /proc/$$/status; umask; cat /proc/$$/oom_score_adj; ulimit -n) >out";
        assert_eq!(bench.run("alice", command), End::Code(0));
        let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap().0;
        let out = read("/home/alice/out");
        let zero = "0000000000000000";
        let start = format!("0 1 2 1 ? 0\nShdPnd:\t{zero}\nSigBlk:\t{zero}\nSigIgn:\t{zero}\n");
        assert!(out.starts_with(&start), "{out}");
        assert!(out.ends_with(&format!("0022\n0\n{limit}\n")), "{out}");
    }
}

#[test]
fn text_behind_a_percent_sign_is_standard_input_and_else_it_is_at_its_end() {
    let Some(_world) = world!(Subject::OursDebian) else { return };
    let mut bench = Bench::debian();
    assert_eq!(bench.run("alice", "cat >out%one%two \\% three"), End::Code(0));
    assert_eq!(read("/home/alice/out"), "one\ntwo % three\n");
    assert_eq!(bench.run("alice", "test -p /dev/fd/0 && cat >out"), End::Code(0));
    assert_eq!(read("/home/alice/out"), "");
    // More than a pipe holds, read late.
    let long = format!("sleep 0.2; wc -c >out%{}", "x".repeat(300_000));
    assert_eq!(bench.run("alice", &long), End::Code(0));
    assert_eq!(read("/home/alice/out"), "300001\n");
    // And never read.
    assert_eq!(bench.run("alice", &format!("true%{}", "x".repeat(300_000))), End::Code(0));
}

#[test]
fn a_job_may_open_its_standard_streams_again() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    install_mailer("");
    let mut bench = Bench::debian();
    assert_eq!(bench.run("alice", "echo out >/dev/fd/1; echo err >/dev/fd/2; cat /dev/fd/0%in"), End::Code(0));
    assert!(mail(&world).ends_with("\n\nout\nerr\nin\n"));
}

#[test]
fn the_mail_is_the_incumbents_and_the_mailer_runs_as_the_owner() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    install_mailer("");
    for (profile, expected) in [
        (
            Profile::Debian,
            "-FCronDaemon|-i|-B8BITMIME|-oem|bob|\nalice\nFrom: root (Cron Daemon)\nTo: bob\n\
             Subject: Cron <alice@wheelbox> echo hi; cat\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset=US-ASCII\nContent-Transfer-Encoding: 8bit\n\
             X-Cron-Env: <MAILTO=bob>\nX-Cron-Env: <SHELL=/bin/sh>\nX-Cron-Env: <HOME=/home/alice>\n\
             X-Cron-Env: <PATH=/usr/bin:/bin>\nX-Cron-Env: <LOGNAME=alice>\n\nhi\ninput\n",
        ),
        (
            Profile::Cronie,
            "-FCronDaemon|-i|-odi|-oem|-oi|-t|-f|alice|\nalice\nFrom: \"(Cron Daemon)\" <alice>\nTo: bob\n\
             Subject: Cron <alice@wheelbox> echo hi; cat\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset=ANSI_X3.4-1968\nContent-Transfer-Encoding: 8bit\n\
             Auto-Submitted: auto-generated\nPrecedence: bulk\n\
             X-Cron-Env: <MAILTO=bob>\nX-Cron-Env: <SHELL=/bin/sh>\nX-Cron-Env: <HOME=/home/alice>\n\
             X-Cron-Env: <PATH=/usr/bin:/bin:/usr/sbin:/sbin>\nX-Cron-Env: <LOGNAME=alice>\n\
             X-Cron-Env: <USER=alice>\n\nhi\ninput\n",
        ),
    ] {
        for name in ["LANG", "LC_ALL", "LC_CTYPE", "LANGUAGE"] {
            // SAFETY: no other thread of this test reads the environment.
            unsafe { std::env::remove_var(name) };
        }
        let mut bench = Bench::of(config(profile));
        let mut start = start(1, "alice", "echo hi; cat%input");
        start.variables = vec![(b"MAILTO".to_vec(), b"bob".to_vec())];
        bench.start(&start);
        assert_eq!(bench.end_of(1), End::Code(0));
        assert_eq!(mail(&world), expected, "{profile:?}");
    }
}

#[test]
fn no_output_or_no_recipient_is_no_mail_and_what_fails_is_told() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    install_mailer("exit 75");
    let mut bench = Bench::debian();
    let with = |run, command: &str, mailto: &str, only_on_failure| {
        let mut start = start(run, "alice", command);
        start.variables = vec![(b"MAILTO".to_vec(), mailto.as_bytes().to_vec())];
        start.flags.mail_only_on_failure = only_on_failure;
        start
    };
    bench.start(&with(1, "true", "bob", false));
    bench.start(&with(2, "echo x", "", false));
    bench.start(&with(3, "echo x", "-C/etc/shadow", false));
    bench.start(&with(4, "echo x", "bob", true));
    (1..=4).for_each(|run| assert_eq!(bench.end_of(run), End::Code(0)));
    world.log.wait_for("(alice) UNSAFE MAIL (-C/etc/shadow)", Deadline::seconds(10));
    bench.start(&with(5, "echo why; exit 3", "bob", true));
    assert_eq!(bench.end_of(5), End::Code(3));
    assert!(mail(&world).ends_with("\n\nwhy\n"));
    world
        .log
        .wait_for(": (alice) MAIL (mailed 4 bytes of output but got status 0x4b00 from MTA)", Deadline::seconds(10));
    world.log.wait_for(": (alice) FAILED (echo why; exit 3) exit 3 after 0.", Deadline::seconds(10));
    fs::remove_file("/usr/sbin/sendmail").unwrap();
    bench.start(&with(6, "echo x", "bob", false));
    world.log.wait_for(": (CRON) info (No MTA installed, discarding output)", Deadline::seconds(10));
    assert!(!Path::new("/tmp/mail").exists());
}

#[test]
fn twenty_megabytes_of_output_hold_up_nobody_and_are_mailed_within_bounds() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    install_mailer("");
    let mut bench = Bench::debian();
    assert_eq!(bench.run("alice", "echo first; yes | head -c 20000000; echo last"), End::Code(0));
    let letter = mail(&world);
    assert!(letter.len() < 1_400_000 && letter.ends_with("y\nlast\n"), "{}", letter.len());
    assert!(letter.contains("\n\nfirst\ny\n") && letter.contains("\n[... 18689291 bytes of output cut here ...]\n"));
}

#[test]
fn a_background_process_holds_up_neither_the_mail_nor_itself() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    install_mailer("");
    let mut bench = Bench::debian();
    let late = "(sleep 3; echo late; echo survived >late) & echo hi";
    assert_eq!(bench.run("alice", late), End::Code(0));
    assert!(mail(&world).ends_with("\n\nhi\n"));
    assert_eq!(world.wait_for_file("/home/alice/late", Deadline::seconds(20)), "survived\n");
}

#[test]
fn what_cannot_be_started_says_why_and_runs_nothing() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    install_mailer("");
    let mut bench = Bench::debian();
    assert_eq!(not_started(bench.run("mallory", "touch /tmp/ran")), "unknown user");
    world.log.wait_for(": (mallory) NOT STARTED (touch /tmp/ran): unknown user", Deadline::seconds(10));

    let mut stale = start(1, "alice", "touch /tmp/ran");
    stale.source.owner = Owner::User { name: "alice".into(), uid: uid_of("bob") };
    bench.start(&stale);
    let expected = format!("the table belongs to uid {}, but alice is uid {} now", uid_of("bob"), uid_of("alice"));
    assert_eq!(not_started(bench.end_of(1)), expected);

    let mut shell = start(2, "alice", "touch /tmp/ran");
    shell.variables = vec![(b"SHELL".to_vec(), b"/bin/nosh".to_vec())];
    bench.start(&shell);
    assert_eq!(not_started(bench.end_of(2)), "exec /bin/nosh: No such file or directory");
    assert!(mail(&world).ends_with("\n\n/bin/nosh: execle: No such file or directory\n"));
    assert!(!Path::new("/tmp/ran").exists());

    let mut roots = start(3, "alice", "id -un >out");
    roots.source.owner = Owner::User { name: "alice".into(), uid: 0 };
    bench.start(&roots);
    assert_eq!(bench.end_of(3), End::Code(0));
    assert_eq!(read("/home/alice/out"), "alice\n");
}

#[test]
fn a_user_who_changes_in_mid_minute_is_the_new_one_at_the_next_start() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    let mut bench = Bench::debian();
    assert_eq!(bench.run("alice", "true"), End::Code(0));
    world.run("usermod -u 4321 alice").ok();
    assert_eq!(bench.run("alice", "id -u >/tmp/uid"), End::Code(0));
    assert_eq!(read("/tmp/uid"), "4321\n");
    world.run("userdel alice").ok();
    assert_eq!(not_started(bench.run("alice", "true")), "unknown user");
}

#[test]
fn a_home_that_cannot_be_entered_is_the_root_directory_under_debian_and_no_run_under_cronie() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    fs::remove_dir_all("/home/alice").unwrap();
    let mut bench = Bench::debian();
    assert_eq!(bench.run("alice", "pwd >/tmp/cwd"), End::Code(0));
    assert_eq!(read("/tmp/cwd"), "/\n");
    let line = ": (alice) CHDIR FAILED (/home/alice): No such file or directory, running in /";
    world.log.wait_for(line, Deadline::seconds(10));
    describe_services("");
    let mut bench = Bench::of(config(Profile::Cronie));
    assert_eq!(not_started(bench.run("alice", "touch /tmp/ran")), "chdir /home/alice: No such file or directory");
    assert!(!Path::new("/tmp/ran").exists());
}

#[test]
fn a_job_outlives_main_and_its_outcome_waits_for_the_next_one() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    install_mailer("");
    let mut bench = Bench::debian();
    let start = start(7, "alice", "while ! test -e go; do sleep 0.1; done; echo done; exit 4");
    bench.start(&start);
    while bench.started.is_empty() {
        bench.hear(PollFlags::POLLIN);
    }
    let pid = bench.runner.pid();
    drop(bench);
    fs::write("/home/alice/go", "").unwrap();
    assert!(mail(&world).ends_with("\n\ndone\n"));
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid as i32), None).unwrap();
    let left = take_leftovers(Path::new("/run")).unwrap();
    assert_eq!(left.handed_over, Some(1_800_000_000));
    let [run] = left.runs.as_slice() else { panic!("{left:?}") };
    assert_eq!((&run.start, &run.end), (&start, &End::Code(4)));
    assert_eq!(take_leftovers(Path::new("/run")).unwrap(), Default::default());
}

#[test]
fn a_runner_that_is_gone_is_told() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    let mut bench = Bench::debian();
    world.run(&format!("kill -KILL {}", bench.runner.pid())).ok();
    let mut asked = [PollFd::new(bench.runner.descriptor(), PollFlags::POLLIN)];
    poll(&mut asked, PollTimeout::from(30_000_u16)).unwrap();
    assert!(matches!(bench.runner.receive(), Err(LaunchError::Gone)));
}

#[test]
fn a_thousand_jobs_at_once_are_all_run_and_leave_no_zombie() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    let mut bench = Bench::debian();
    for run in 0..1000 {
        bench.start(&start(run, if run % 2 == 0 { "alice" } else { "bob" }, "exit 0"));
    }
    for run in 0..1000 {
        assert_eq!(bench.end_of(run), End::Code(0));
    }
    let children = world.run(&format!("ps -o pid= --ppid {} || true", bench.runner.pid())).ok();
    assert_eq!(children, "");
}

#[test]
fn nothing_runs_under_a_wrong_id_when_the_kernel_refuses_one() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    install_mailer("");
    for (call, why) in [("setresuid", "setuid"), ("setresgid", "setgid"), ("setgroups", "setgroups")] {
        let mut bench = Bench::debian();
        let pid = bench.runner.pid();
        let mut strace = std::process::Command::new("strace")
            .args(["-f", "-qq", "-o", "/tmp/trace", "-e"])
            .arg(format!("trace={call}"))
            .arg("-e")
            .arg(format!("inject={call}:error=EAGAIN"))
            .args(["-p", &pid.to_string()])
            .spawn()
            .unwrap();
        let traced = || read(&format!("/proc/{pid}/status")).contains(&format!("TracerPid:\t{}\n", strace.id()));
        Deadline::seconds(20).wait_for("strace to attach", || traced().then_some(()));
        let got = not_started(bench.run("alice", "id >/tmp/ran; echo output"));
        assert!(got.starts_with(why) && got.ends_with("Resource temporarily unavailable"), "{got}");
        strace.kill().unwrap();
        strace.wait().unwrap();
        assert!(!Path::new("/tmp/ran").exists() && !Path::new("/tmp/mail").exists());
    }
    world.log.wait_for(": (alice) NOT STARTED (id >/tmp/ran; echo output): setuid", Deadline::seconds(10));
}

#[test]
fn asked_to_the_runner_ends_every_jobs_process_group() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    let mut bench = Bench::debian();
    bench.start(&start(1, "alice", "sleep 1000"));
    bench.start(&start(2, "bob", "trap '' TERM; echo >ready; sleep 1000 & wait"));
    world.wait_for_file("/home/bob/ready", Deadline::seconds(20));
    bench.runner.end_all(false);
    bench.runner.flush().unwrap();
    assert_eq!(bench.end_of(1), End::Signal { number: 15, core_dumped: false });
    bench.runner.end_all(true);
    bench.runner.flush().unwrap();
    assert_eq!(bench.end_of(2), End::Signal { number: 9, core_dumped: false });
    assert_eq!(not_started(bench.run("alice", "true")), "stopping");
}

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
    let Some(world) = world!(Subject::OursDebian) else { return };
    install_mailer("");
    count_sessions();
    fs::write("/etc/security/limits.conf", "alice hard nofile 77\n").unwrap();
    let mut bench = Bench::of(config(Profile::Debian));
    let sessions = |count: usize| {
        let open = format!("open_session alice cron 0\nclose_session alice cron 0\n");
        let expected = open.repeat(count);
        let closed = Deadline::seconds(5).try_wait_for(|| (read("/run/sessions") == expected).then_some(()));
        assert!(closed.is_some(), "{}", read("/run/sessions"));
    };
    assert_eq!(bench.run("alice", "(echo $FROM_PAM $PATH; ulimit -n; cat) >out; echo mailed%in"), End::Code(0));
    assert_eq!(read("/home/alice/out"), "yes /usr/bin:/bin\n77\nin\n");
    assert!(mail(&world).ends_with("\n\nmailed\n"));
    sessions(1);
    assert_eq!(bench.run("alice", "kill -9 $$"), End::Signal { number: 9, core_dumped: false });
    sessions(2);
    // Everything of hers but the sender itself: the keeper is root's.
    assert_eq!(bench.run("alice", "kill -9 -1; true"), End::Code(0));
    sessions(3);
    let mut shell = start(1, "alice", "true");
    shell.variables = vec![(b"SHELL".to_vec(), b"/bin/nosh".to_vec())];
    bench.start(&shell);
    assert_eq!(not_started(bench.end_of(1)), "exec /bin/nosh: No such file or directory");
    sessions(4);
    let keepers = || world.run("pgrep -c -x 'crond: keeper' || true").ok();
    Deadline::seconds(20).wait_for("the keepers to end", || (keepers() == "0\n").then_some(()));
}

#[test]
fn an_account_that_pam_refuses_is_not_used_and_the_log_says_so_in_the_profiles_words() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    describe_services("account required pam_deny.so\nsession required pam_permit.so\n");
    let mut debian = Bench::of(config(Profile::Debian));
    assert_eq!(not_started(debian.run("alice", "touch /tmp/ran")), "pam_acct_mgmt: Authentication failure");
    world.log.wait_for("cron.err CRON", Deadline::seconds(10));
    let mut cronie = Bench::of(config(Profile::Cronie));
    assert_eq!(not_started(cronie.run("alice", "touch /tmp/ran")), "pam_acct_mgmt: Authentication failure");
    world.log.wait_for(": (alice) FAILED to authorize user with PAM (Authentication failure)", Deadline::seconds(10));
    assert_eq!(cronie.run("root", "true"), End::Code(0));
    assert!(!Path::new("/tmp/ran").exists());
}

#[test]
fn a_session_outlives_main_and_runner() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    count_sessions();
    let mut bench = Bench::of(config(Profile::Debian));
    bench.start(&start(1, "alice", "echo >ready; while ! test -e go; do sleep 0.1; done"));
    world.wait_for_file("/home/alice/ready", Deadline::seconds(20));
    let pid = bench.runner.pid();
    drop(bench);
    world.run(&format!("kill -KILL {pid}")).ok();
    fs::write("/home/alice/go", "").unwrap();
    let closed = || read("/run/sessions").ends_with("close_session alice cron 0\n").then_some(());
    Deadline::seconds(20).wait_for("the session to be closed", closed);
}

#[test]
fn standalone_a_job_is_the_callers_and_its_output_is_ours_line_by_line() {
    let Some(_world) = world!(Subject::OursDebian) else { return };
    // SAFETY: no other thread of this test reads the environment.
    unsafe { std::env::set_var("HERE", "too") };
    std::env::set_current_dir("/run").unwrap();
    let (out, err) = (fs::File::create("/run/out").unwrap(), fs::File::create("/run/err").unwrap());
    let kept = [nix::unistd::dup(std::io::stdout()).unwrap(), nix::unistd::dup(std::io::stderr()).unwrap()];
    nix::unistd::dup2_stdout(&out).unwrap();
    nix::unistd::dup2_stderr(&err).unwrap();
    let spawned = Runner::spawn(Config { standalone: true, mailer: Mailer::Off, ..config(Profile::Debian) });
    nix::unistd::dup2_stdout(&kept[0]).unwrap();
    nix::unistd::dup2_stderr(&kept[1]).unwrap();
    let mut bench = Bench { runner: spawned.unwrap(), ended: Vec::new(), started: Vec::new() };
    let mut order = start(1, "", "echo $HERE $X $SHELL; echo oops >&2; printf unended; (sleep 0.1; exit 9) & exit 3");
    order.source.owner = Owner::Caller;
    order.variables = vec![(b"X".to_vec(), b"y".to_vec())];
    bench.start(&order);
    assert_eq!(bench.end_of(1), End::Code(3));
    bench.runner.close().unwrap();
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(bench.runner.pid() as i32), None).unwrap();
    assert_eq!((read("/run/out"), read("/run/err")), ("too y /bin/sh\nunended\n".into(), "oops\n".into()));
}
