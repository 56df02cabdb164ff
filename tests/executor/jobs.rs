//! What a job is started with, who it is, and what becomes of it.

use crate::common::{Deadline, Implementation};
use crate::harness::{
    Harness, PERMISSIVE, config, describe_services, environment, install_mailer, mail, not_started, read, spawn, start,
    uid_of,
};
use crate::world;
use cronwheel::crontab::{IoClass, ResourceLimits};
use cronwheel::executor::{
    EndMethod, ExecutorConfig, ExecutorLinkError, LostRunState, Mailer, OldExecutor, Predecessors,
    UnresponsiveExecutor, find_predecessors,
};
use cronwheel::profile::ProfileName;
use cronwheel::scheduler::{EndReason, MailResult, OutputCounts, Owner, RunId, RunOutcome, SkipReason};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

#[test]
fn a_job_runs_as_its_owner_in_the_owners_home_with_an_environment_built_from_nothing() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        let command = "(id -u; id -g; id -Gn; pwd; umask; tr '\\\\0' '\\\\n' </proc/$$/environ) >out";
        assert_eq!(harness.run("alice", command), RunOutcome::Code(0));
        let alice = nix::unistd::User::from_name("alice").unwrap().unwrap();
        let run = 1000;
        let expected = format!(
            "{}\n{}\nalice\n/home/alice\n0022\nSHELL=/bin/sh\nHOME=/home/alice\nPATH=/usr/bin:/bin\nLOGNAME=alice\n\
             CRON_JOB=alice:job\nCRON_RUN_ID={run}\nCRON_SCHEDULED_AT=2027-01-15T08:00:00Z\nCRON_TRIGGER=schedule\nCRON_ATTEMPT=1\n",
            alice.uid, alice.gid
        );
        assert_eq!(read("/home/alice/out"), expected);
    }
}

#[test]
fn a_job_gets_all_groups_of_its_owner_and_none_of_ours() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    world.run("groupadd extra && usermod -aG extra alice").ok();
    let mut harness = Harness::debian();
    assert_eq!(harness.run("alice", "id -Gn >out"), RunOutcome::Code(0));
    assert_eq!(read("/home/alice/out"), "alice extra\n");
}

#[test]
fn a_job_leads_its_own_session_with_three_descriptors_and_default_signals() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    // What the daemon was started with must not reach a job.
    let secret = fs::File::open("/etc/shadow").unwrap();
    nix::unistd::dup(&secret).map(std::mem::forget).unwrap();
    // SAFETY: no handler is installed.
    unsafe { nix::sys::signal::signal(nix::sys::signal::Signal::SIGINT, nix::sys::signal::SigHandler::SigIgn) }
        .unwrap();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        let command = "(ls /proc/$$/fd | tr '\\\\n' ' '; ps -o sid=,pid=,tty=,ni= $$ | awk '{print ($1==$2),$3,$4}'; \
                   grep -E '^Sig(Blk|Ign|Cgt)|^ShdPnd' /proc/$$/status; umask; cat /proc/$$/oom_score_adj; ulimit -n) >out";
        assert_eq!(harness.run("alice", command), RunOutcome::Code(0));
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
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    let mut harness = Harness::debian();
    assert_eq!(harness.run("alice", "cat >out%one%two \\% three"), RunOutcome::Code(0));
    assert_eq!(read("/home/alice/out"), "one\ntwo % three\n");
    assert_eq!(harness.run("alice", "test -p /dev/fd/0 && cat >out"), RunOutcome::Code(0));
    assert_eq!(read("/home/alice/out"), "");
    // More than a pipe holds, read late.
    let long = format!("sleep 0.2; wc -c >out%{}", "x".repeat(300_000));
    assert_eq!(harness.run("alice", &long), RunOutcome::Code(0));
    assert_eq!(read("/home/alice/out"), "300001\n");
    // And never read.
    assert_eq!(harness.run("alice", &format!("true%{}", "x".repeat(300_000))), RunOutcome::Code(0));
}

#[test]
fn a_job_may_open_its_standard_streams_again() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer("");
    let mut harness = Harness::debian();
    assert_eq!(harness.run("alice", "echo out >/dev/fd/1; echo err >/dev/fd/2; cat /dev/fd/0%in"), RunOutcome::Code(0));
    assert!(mail(&world).ends_with("\n\nout\nerr\nin\n"));
}

#[test]
fn what_cannot_be_started_says_why_and_runs_nothing() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer("");
    let mut harness = Harness::debian();
    assert_eq!(not_started(harness.run("mallory", "touch /tmp/ran")), "unknown user");
    world.log.wait_for(": (mallory) NOT STARTED (touch /tmp/ran): unknown user", Deadline::seconds(10));

    let mut stale = start(1, "alice", "touch /tmp/ran");
    stale.source.owner = Owner::User { name: "alice".into(), uid: uid_of("bob") };
    harness.start(&stale);
    let expected = format!("the table belongs to uid {}, but alice is uid {} now", uid_of("bob"), uid_of("alice"));
    assert_eq!(not_started(harness.end_of(1)), expected);

    let mut shell = start(2, "alice", "touch /tmp/ran");
    shell.variables = environment(&[("SHELL", b"/bin/nosh")]);
    harness.start(&shell);
    assert_eq!(not_started(harness.end_of(2)), "exec /bin/nosh: No such file or directory");
    assert!(mail(&world).ends_with("\n\n/bin/nosh: execle: No such file or directory\n"));
    assert!(!Path::new("/tmp/ran").exists());

    let mut roots = start(3, "alice", "id -un >out");
    roots.source.owner = Owner::User { name: "alice".into(), uid: 0 };
    harness.start(&roots);
    assert_eq!(harness.end_of(3), RunOutcome::Code(0));
    assert_eq!(read("/home/alice/out"), "alice\n");
}

#[test]
fn a_user_who_changes_in_mid_minute_is_the_new_one_at_the_next_start() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let mut harness = Harness::debian();
    assert_eq!(harness.run("alice", "true"), RunOutcome::Code(0));
    world.run("usermod -u 4321 alice").ok();
    assert_eq!(harness.run("alice", "id -u >/tmp/uid"), RunOutcome::Code(0));
    assert_eq!(read("/tmp/uid"), "4321\n");
    world.run("userdel alice").ok();
    assert_eq!(not_started(harness.run("alice", "true")), "unknown user");
}

#[test]
fn a_home_that_cannot_be_entered_is_the_root_directory_under_debian_and_no_run_under_cronie() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::remove_dir_all("/home/alice").unwrap();
    let mut harness = Harness::debian();
    assert_eq!(harness.run("alice", "pwd >/tmp/cwd"), RunOutcome::Code(0));
    assert_eq!(read("/tmp/cwd"), "/\n");
    let line = ": (alice) CHDIR FAILED (/home/alice): No such file or directory, running in /";
    world.log.wait_for(line, Deadline::seconds(10));
    describe_services("");
    let mut harness = Harness::of(config(ProfileName::Cronie));
    assert_eq!(not_started(harness.run("alice", "touch /tmp/ran")), "chdir /home/alice: No such file or directory");
    assert!(!Path::new("/tmp/ran").exists());
}

#[test]
fn a_jobs_process_id_is_reported_only_on_request() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        for run in 1..=4 {
            harness.executor.start(&start(run, "alice", &format!("exit {run}")), run % 2 == 0).unwrap();
        }
        harness.executor.flush().unwrap();
        for run in 1..=4 {
            assert_eq!(harness.end_of(run), RunOutcome::Code(run as i32));
        }
        // Keepers do not wait for each other.
        harness.started.sort();
        assert!(harness.started.iter().map(|(run, _)| run.0).eq([2, 4]), "{:?}", harness.started);
    }
}

/// What executors of earlier mains have left, as the next main finds it.
fn predecessors() -> Predecessors {
    find_predecessors(Path::new("/run/cronwheel"), read("/proc/sys/kernel/random/boot_id").trim())
}

#[test]
fn a_job_outlives_main_and_its_end_waits_for_the_next_one() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer("");
    let mut harness = Harness::debian();
    let start = start(7, "alice", "while ! test -e go; do sleep 0.1; done; echo done; exit 4");
    harness.start(&start);
    while harness.started.is_empty() {
        harness.hear(PollFlags::POLLIN);
    }
    let pid = harness.executor.pid();
    drop(harness);
    fs::write("/home/alice/go", "").unwrap();
    assert!(mail(&world).ends_with("\n\ndone\n"));
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid as i32), None).unwrap();
    for _ in 0..2 {
        let mut left = predecessors();
        assert!(left.errors.is_empty() && left.executors.is_empty() && left.running.is_empty(), "{left:?}");
        let started: Vec<(&str, i64)> =
            left.started.iter().map(|start| (start.job.as_str(), start.scheduled_at)).collect();
        assert_eq!(started, [("alice:job", 1_800_000_000)]);
        let [dead] = left.dead.as_mut_slice() else { panic!("{left:?}") };
        // Told once.
        if let [(run, run_state)] = dead.open_runs().run_states().as_slice() {
            assert_eq!((run.run, run.job.as_str()), (start.run, "alice:job"));
            let LostRunState::Ended { result, is_reported: true } = run_state else { panic!("{run_state:?}") };
            assert_eq!((result.run, &result.outcome), (start.run, &RunOutcome::Code(4)));
            assert!(result.started_at_ms.is_some() && result.usage.is_some(), "{result:?}");
            dead.mark_handled(&[run.run]).unwrap();
        } else {
            dead.open_runs().run_states().is_empty().then(|| left.dead.remove(0).remove().unwrap()).unwrap();
        }
    }
    let left = predecessors();
    assert!(left.started.is_empty() && left.dead.is_empty(), "{left:?}");
}

#[test]
fn a_later_main_learns_of_running_jobs_and_their_ends_and_may_end_them() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        harness.start_together(&[
            start(1, "alice", "exec sleep 1000"),
            start(2, "bob", "until test -e go; do sleep 0.1; done; exit 3"),
        ]);
        while harness.started.len() < 2 {
            harness.hear(PollFlags::POLLIN);
        }
        let pid = harness.executor.pid();
        // While its own main is there, nobody else is told anything.
        let left = predecessors();
        // It takes the connection and closes it at once.
        let unheard: Vec<u32> = left.silent.iter().map(UnresponsiveExecutor::pid).chain(left.slow).collect();
        assert_eq!(unheard, [pid]);
        drop(harness);
        let mut left = predecessors();
        assert!(left.silent.is_empty() && left.dead.is_empty(), "{left:?}");
        let mut running: Vec<u64> = left.running.iter().map(|run| run.run.0).collect();
        running.sort();
        assert_eq!((running, left.started.len()), (vec![1, 2], 2));
        let [executor] = left.executors.as_mut_slice() else { panic!("{left:?}") };
        fs::write("/home/bob/go", "").unwrap();
        let mut ended = Vec::new();
        let mut hear = |executor: &mut OldExecutor, count| {
            while ended.len() < count {
                poll(&mut [PollFd::new(executor.descriptor(), PollFlags::POLLIN)], PollTimeout::from(30_000_u16))
                    .unwrap();
                ended.extend(executor.receive().unwrap().into_iter().map(|result| (result.run, result.outcome)));
            }
            ended.clone()
        };
        assert_eq!(hear(executor, 1), [(RunId(2), RunOutcome::Code(3))]);
        executor.end_all(EndMethod::WithGrace);
        assert_eq!(hear(executor, 2)[1], (RunId(1), RunOutcome::Signal { number: 15, core_dumped: false }));
        nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid as i32), None).unwrap();
        let left = predecessors();
        assert!(left.dead.iter().all(|dead| dead.open_runs().run_states().is_empty()), "{left:?}");
        world.run("rm -r /run/cronwheel; rm -f /home/bob/go").ok();
    }
}

/// Copies messages until the sender closes its connection. The first is a `Hello`, whose version is changed; a message follows it that only that
/// version has.
fn copy_as_another_version(mut from: UnixStream, mut to: UnixStream) -> std::io::Result<()> {
    let mut hello = [0; 6];
    from.read_exact(&mut hello)?;
    let [2, 0, 0, 0, 0, version] = hello else { panic!("{hello:?}") };
    to.write_all(&[2, 0, 0, 0, 0, version + 1, 3, 0, 0, 0, 100, 1, 2])?;
    std::io::copy(&mut from, &mut to)?;
    to.shutdown(Shutdown::Write)
}

/// Takes the place of the executor's socket: to the next main the executor has another version, and to the executor that main has one.
fn pretend_another_version() {
    let mut files = fs::read_dir("/run/cronwheel").unwrap().map(|entry| entry.unwrap().path());
    let socket = files.find(|path| path.extension().is_some_and(|extension| extension == "sock")).unwrap();
    fs::rename(&socket, "/run/executor").unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let (main, executor) = (listener.accept().unwrap().0, UnixStream::connect("/run/executor").unwrap());
        let (from, to) = (executor.try_clone().unwrap(), main.try_clone().unwrap());
        std::thread::spawn(|| copy_as_another_version(from, to));
        copy_as_another_version(main, executor)
    });
}

#[test]
fn a_main_of_another_version_lists_ends_and_collects() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    let mut harness = Harness::debian();
    harness.start_together(&[
        start(1, "alice", "exec sleep 1000"),
        start(2, "bob", "until test -e go; do sleep 0.1; done; exit 3"),
    ]);
    while harness.started.len() < 2 {
        harness.hear(PollFlags::POLLIN);
    }
    let pid = harness.executor.pid();
    pretend_another_version();
    drop(harness);
    let mut left = predecessors();
    let running: BTreeSet<u64> = left.running.iter().map(|run| run.run.0).collect();
    assert_eq!(running, BTreeSet::from([1, 2]));
    let [executor] = left.executors.as_mut_slice() else { panic!("{left:?}") };
    let hear = |executor: &mut OldExecutor| {
        poll(&mut [PollFd::new(executor.descriptor(), PollFlags::POLLIN)], PollTimeout::from(30_000_u16)).unwrap();
        let ended = executor.receive().unwrap();
        ended.into_iter().map(|result| (result.run, result.outcome)).collect::<Vec<_>>()
    };
    fs::write("/home/bob/go", "").unwrap();
    assert_eq!(hear(executor), [(RunId(2), RunOutcome::Code(3))]);
    assert!(!executor.end(RunId(1), EndReason::Replaced), "only an executor of the same version knows that request");
    executor.end_all(EndMethod::WithGrace);
    assert_eq!(hear(executor), [(RunId(1), RunOutcome::Signal { number: 15, core_dumped: false })]);
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid as i32), None).unwrap();
}

#[test]
fn results_that_main_had_no_room_for_when_it_was_killed_are_told_to_the_next_one() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let mut harness = Harness::debian();
    harness.start(&start(1, "alice", "until test -e go; do sleep 0.1; done"));
    while harness.started.is_empty() {
        harness.hear(PollFlags::POLLIN);
    }
    // More bytes of results than the socket takes. Main reads none of them.
    let last = 1000;
    let shell = "/shell".repeat(150);
    for run in 2..=last {
        let mut start = start(run, "bob", &format!("true {run}"));
        start.variables = environment(&[("SHELL", shell.as_bytes()), ("MAILTO", b"")]);
        harness.executor.start(&start, false).unwrap();
    }
    while harness.executor.wants_to_write() {
        harness.executor.flush().unwrap();
        poll(&mut [PollFd::new(harness.executor.descriptor(), PollFlags::POLLOUT)], PollTimeout::from(30_000_u16))
            .unwrap();
    }
    world.log.wait_for(&format!("NOT STARTED (true {last})"), Deadline::seconds(60));
    let pid = harness.executor.pid();
    drop(harness);
    let mut left = predecessors();
    let [executor] = left.executors.as_mut_slice() else { panic!("{left:?}") };
    let ended = executor.take_earlier_results();
    assert!(ended.iter().any(|result| result.run == RunId(last)), "{} results", ended.len());
    fs::write("/home/alice/go", "").unwrap();
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid as i32), None).unwrap();
}

#[test]
fn an_executor_that_is_gone_is_an_error() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let mut harness = Harness::debian();
    world.run(&format!("kill -KILL {}", harness.executor.pid())).ok();
    let mut asked = [PollFd::new(harness.executor.descriptor(), PollFlags::POLLIN)];
    poll(&mut asked, PollTimeout::from(30_000_u16)).unwrap();
    assert!(matches!(harness.executor.receive(), Err(ExecutorLinkError::Gone)));
}

#[test]
fn a_thousand_jobs_at_once_are_all_run_and_leave_no_zombie() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let mut harness = Harness::debian();
    for run in 0..1000 {
        harness.start(&start(run, if run % 2 == 0 { "alice" } else { "bob" }, "exit 0"));
    }
    for run in 0..1000 {
        assert_eq!(harness.end_of(run), RunOutcome::Code(0));
    }
    let children = world.run(&format!("ps -o pid= --ppid {} || true", harness.executor.pid())).ok();
    assert_eq!(children, "");
}

#[test]
fn nothing_runs_under_a_wrong_id_when_the_kernel_refuses_one() {
    let Some(world) = world!(Implementation::OursDebian, ["strace"]) else { return };
    install_mailer("");
    for (call, why) in [("setresuid", "setuid"), ("setresgid", "setgid"), ("setgroups", "setgroups")] {
        let mut harness = Harness::debian();
        let tracer = harness.traced(&["-e", &format!("trace={call}"), "-e", &format!("inject={call}:error=EAGAIN")]);
        let got = not_started(harness.run("alice", "id >/tmp/ran; echo output"));
        assert!(got.starts_with(why) && got.ends_with("Resource temporarily unavailable"), "{got}");
        // And together with another of hers.
        harness.start_together(&[start(1, "alice", "id >/tmp/ran"), start(2, "alice", "id >/tmp/ran")]);
        assert_eq!([1, 2].map(|run| not_started(harness.end_of(run))), [got.clone(), got]);
        drop(tracer);
        assert!(!Path::new("/tmp/ran").exists() && !Path::new("/tmp/mail").exists());
    }
    world.log.wait_for(": (alice) NOT STARTED (id >/tmp/ran; echo output): setuid", Deadline::seconds(10));
}

#[test]
fn on_request_the_executor_ends_every_jobs_process_group() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let mut harness = Harness::debian();
    // One process: a shell could see the end of its child before its own signal.
    harness.start(&start(1, "alice", "exec sleep 1000"));
    harness.start(&start(2, "bob", "trap '' TERM; echo >ready; sleep 1000 & wait"));
    world.wait_for_file("/home/bob/ready", Deadline::seconds(20));
    harness.executor.end_all(EndMethod::WithGrace);
    harness.executor.flush().unwrap();
    assert_eq!(harness.end_of(1), RunOutcome::Signal { number: 15, core_dumped: false });
    harness.executor.end_all(EndMethod::AtOnce);
    harness.executor.flush().unwrap();
    assert_eq!(harness.end_of(2), RunOutcome::Signal { number: 9, core_dumped: false });
    assert_eq!(harness.run("alice", "true"), RunOutcome::Skipped(SkipReason::Stopped));
}

#[test]
fn standalone_a_job_is_the_callers_and_its_output_is_ours_line_by_line() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    // SAFETY: no other thread of this test reads the environment.
    unsafe { std::env::set_var("HERE", "too") };
    std::env::set_current_dir("/run").unwrap();
    let (out, err) = (fs::File::create("/run/out").unwrap(), fs::File::create("/run/err").unwrap());
    let kept = [nix::unistd::dup(std::io::stdout()).unwrap(), nix::unistd::dup(std::io::stderr()).unwrap()];
    nix::unistd::dup2_stdout(&out).unwrap();
    nix::unistd::dup2_stderr(&err).unwrap();
    let spawned = spawn(ExecutorConfig { standalone: true, mailer: Mailer::Off, ..config(ProfileName::Debian) });
    nix::unistd::dup2_stdout(&kept[0]).unwrap();
    nix::unistd::dup2_stderr(&kept[1]).unwrap();
    let mut harness = Harness::with(spawned.unwrap());
    let mut order = start(1, "", "echo $HERE $X $SHELL; echo oops >&2; printf unended; (sleep 0.1; exit 9) & exit 3");
    order.source.owner = Owner::Caller;
    order.variables = environment(&[("X", b"y")]);
    harness.start(&order);
    assert_eq!(harness.end_of(1), RunOutcome::Code(3));
    harness.executor.close().unwrap();
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(harness.executor.pid() as i32), None).unwrap();
    assert_eq!((read("/run/out"), read("/run/err")), ("too y /bin/sh\nunended\n".into(), "oops\n".into()));
}

#[test]
fn standalone_a_job_begins_alike_whether_it_is_spawned_or_forked() {
    use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    let (_, hard) = getrlimit(RLIMIT_NOFILE).unwrap();
    setrlimit(RLIMIT_NOFILE, 300, hard).unwrap();
    std::env::set_current_dir("/run").unwrap();
    let mut harness =
        Harness::of(ExecutorConfig { standalone: true, mailer: Mailer::Off, ..config(ProfileName::Debian) });
    // Only an entry with limits is forked.
    let forked = ResourceLimits { nice: None, io: Some(IoClass::BestEffort(4)) };
    let order = |run, limits, variables: &[(&str, &[u8])]| {
        // Nothing but the shell itself, which blocks signals while it starts a program, reads its own signals.
        let command = "exec >/tmp/began; ulimit -Sn; ulimit -Hn; ls /proc/$$/fd; nice; pwd; umask; \
                       while read name value; do test $name = SigBlk: && echo $value; done </proc/$$/status; \
                       test $(ps -o sid= -p $$) = $$ && echo leads";
        let mut order = start(run, "", command);
        (order.source.owner, order.variables, order.rules.limits) = (Owner::Caller, environment(variables), limits);
        order
    };
    let mut run = |run, limits, variables: &[(&str, &[u8])]| {
        fs::write("/tmp/began", "").unwrap();
        harness.start(&order(run, limits, variables));
        (harness.end_of(run), read("/tmp/began"))
    };
    for (number, home) in (0..).zip(["/home/alice", "/nowhere"]) {
        let variables: &[(&str, &[u8])] = &[("HOME", home.as_bytes())];
        let spawned = run(10 + number, ResourceLimits::default(), variables);
        let directory = if home == "/nowhere" { "/run" } else { home };
        assert!(spawned.1.starts_with(&format!("300\n{hard}\n0\n1\n2\n")), "{spawned:?}");
        assert!(
            spawned.1.contains(&format!("\n{directory}\n")) && spawned.1.ends_with("\n0000000000000000\nleads\n"),
            "{spawned:?}"
        );
        assert_eq!(spawned, run(20 + number, forked, variables));
    }
    let variables: &[(&str, &[u8])] = &[("SHELL", b"/no/shell")];
    let why = "exec /no/shell: No such file or directory";
    for (number, limits) in [(30, ResourceLimits::default()), (31, forked)] {
        assert_eq!(not_started(run(number, limits, variables).0), why);
    }
    let own = read(&format!("/proc/{}/limits", harness.executor.pid()));
    assert!(!own.lines().any(|line| line.starts_with("Max open files            300 ")), "{own}");
    assert_eq!(fs::read_link(format!("/proc/{}/cwd", harness.executor.pid())).unwrap(), Path::new("/run"));
}

#[test]
fn a_job_has_ordinary_priority_and_chances_to_live_whatever_the_daemon_was_started_with() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let me = std::process::id();
    world.run(&format!("echo 300 >/proc/{me}/oom_score_adj && renice -n 7 -p {me} && ionice -c 2 -n 7 -p {me}")).ok();
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        assert_eq!(read(&format!("/proc/{}/oom_score_adj", harness.executor.pid())), "300\n");
        assert_eq!(
            harness.run("alice", "(cat /proc/self/oom_score_adj; nice; ionice | cut -d: -f1) >out"),
            RunOutcome::Code(0)
        );
        assert_eq!(read("/home/alice/out"), "0\n0\nnone\n");
    }
}

#[test]
fn nothing_runs_when_the_kernel_says_that_ids_are_changed_and_they_are_not() {
    let Some(world) = world!(Implementation::OursDebian, ["strace"]) else { return };
    install_mailer("");
    let (uid, gid) = (uid_of("alice"), nix::unistd::User::from_name("alice").unwrap().unwrap().gid);
    for services in ["", PERMISSIVE] {
        describe_services(services);
        for call in ["setresuid", "setresgid"] {
            let mut harness = Harness::of(config(ProfileName::Debian));
            let tracer = harness.traced(&["-e", &format!("trace={call}"), "-e", &format!("inject={call}:retval=0")]);
            let why = not_started(harness.run("alice", "id >/tmp/ran; echo output"));
            assert_eq!(why, format!("checking that the ids are {uid}:{gid}: Operation not permitted"), "{call}");
            drop(tracer);
            assert!(!Path::new("/tmp/ran").exists() && !Path::new("/tmp/mail").exists(), "{call}");
        }
    }
    let line = ": (alice) NOT STARTED (id >/tmp/ran; echo output): checking that the ids are";
    world.log.wait_for(line, Deadline::seconds(10));
}

#[test]
fn no_mailer_runs_under_a_wrong_id_when_the_kernel_refuses_one() {
    let Some(world) = world!(Implementation::OursDebian, ["strace"]) else { return };
    install_mailer("");
    for (call, step) in [("setresuid", "setuid"), ("setresgid", "setgid"), ("setgroups", "setgroups")] {
        let mut harness = Harness::debian();
        harness.start(&start(1, "alice", "until test -e go; do sleep 0.1; done; echo output"));
        while harness.started.is_empty() {
            harness.hear(PollFlags::POLLIN);
        }
        // The job runs already: only what the executor starts from here on is refused its ids.
        let tracer = harness.traced(&["-e", &format!("trace={call}"), "-e", &format!("inject={call}:error=EAGAIN")]);
        fs::write("/home/alice/go", "").unwrap();
        assert_eq!(harness.end_of(1), RunOutcome::Code(0));
        while harness.mailed.is_empty() {
            harness.hear(PollFlags::POLLIN);
        }
        drop(tracer);
        let MailResult::Failed { why } = &harness.mailed[0].1 else { panic!("{call}: {:?}", harness.mailed) };
        assert!(why.contains(step) && why.ends_with("Resource temporarily unavailable"), "{call}: {why}");
        assert!(!Path::new("/tmp/mail").exists() && !Path::new("/tmp/mail.part").exists(), "{call}");
        fs::remove_file("/home/alice/go").unwrap();
    }
    world.log.wait_for(": (alice) MAIL (the mailer could not be started: set", Deadline::seconds(10));
}

#[test]
fn each_of_many_jobs_that_start_together_has_three_descriptors_of_its_own() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    // With a command behind it the list is written by another process, whose output is redirected instead of the job's.
    let list =
        "(for fd in /proc/$$/fd/*; do echo ${fd##*/} $(readlink $fd); done) >/tmp/descriptors.$CRON_RUN_ID; exit 0";
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        let orders: Vec<_> = (0..60)
            .map(|run| {
                let input = if run % 2 == 0 { "" } else { "%input" };
                start(run, ["alice", "bob", "root"][run as usize % 3], &format!("{list}{input}"))
            })
            .collect();
        harness.start_together(&orders);
        let mut outputs = BTreeSet::new();
        for run in 0..60 {
            assert_eq!(harness.end_of(run), RunOutcome::Code(0));
            let listed = read(&format!("/tmp/descriptors.{run}"));
            let descriptors: Vec<(&str, &str)> = listed.lines().filter_map(|line| line.split_once(' ')).collect();
            let numbers: Vec<&str> = descriptors.iter().map(|(number, _)| *number).collect();
            assert_eq!(numbers, ["0", "1", "2"], "{listed}");
            assert!(descriptors.iter().all(|(_, what)| what.starts_with("pipe:")), "{listed}");
            assert!(outputs.insert(descriptors[1].1.to_owned()), "two jobs write to one pipe: {listed}");
        }
        world.run("rm /tmp/descriptors.*").ok();
    }
}

#[test]
fn a_huge_limit_on_descriptors_costs_no_calls_at_a_start() {
    use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};
    let Some(_world) = world!(Implementation::OursDebian, ["strace"]) else { return };
    let largest: u64 = read("/proc/sys/fs/nr_open").trim().parse().unwrap();
    // Root of a container may not be allowed to raise it.
    let most =
        setrlimit(RLIMIT_NOFILE, largest, largest).map_or_else(|_| getrlimit(RLIMIT_NOFILE).unwrap().1, |()| largest);
    assert!(most > 10_000, "a limit of {most} shows nothing");
    setrlimit(RLIMIT_NOFILE, most, most).unwrap();
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        let tracer = harness.traced(&["-e", "trace=close,close_range,fcntl"]);
        assert_eq!(harness.run("alice", "ulimit -n >out"), RunOutcome::Code(0));
        drop(tracer);
        let calls = read("/tmp/trace").lines().count();
        assert!((1..1000).contains(&calls), "{calls} calls");
        assert_eq!(read("/home/alice/out"), format!("{most}\n"));
    }
}

#[test]
fn a_job_gets_the_descriptor_limits_that_the_daemon_was_started_with() {
    use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    // The executor raises its own.
    let (_, hard) = getrlimit(RLIMIT_NOFILE).unwrap();
    setrlimit(RLIMIT_NOFILE, 300, hard).unwrap();
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        assert_eq!(harness.run("alice", "(ulimit -Sn; ulimit -Hn) >out"), RunOutcome::Code(0));
        let own = read(&format!("/proc/{}/limits", harness.executor.pid()));
        assert!(!own.lines().any(|line| line.starts_with("Max open files            300 ")), "{own}");
        assert_eq!(read("/home/alice/out"), format!("300\n{hard}\n"));
    }
}

#[test]
fn the_result_of_a_run_has_its_times_its_usage_and_what_it_wrote() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    for services in ["", PERMISSIVE] {
        describe_services(services);
        install_mailer("");
        let mut harness = Harness::of(config(ProfileName::Debian));
        let before = cronwheel::sys::clock::wall_ms();
        harness.start(&start(
            1,
            "alice",
            "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; yes | head -c 3000000; exit 3",
        ));
        let result = harness.result_of(1);
        assert_eq!(result.outcome, RunOutcome::Code(3));
        assert_eq!(result.pid, harness.started.first().map(|(_, pid)| *pid));
        let started = result.started_at_ms.unwrap();
        assert!(
            (before..=result.ended_at_ms).contains(&started) && result.ended_at_ms <= cronwheel::sys::clock::wall_ms(),
            "{result:?}"
        );
        assert!(result.duration_ms.abs_diff((result.ended_at_ms - started) as u64) < 1000, "{result:?}");
        let usage = result.usage.unwrap();
        assert!(usage.user_us > 10_000 && usage.user_us + usage.system_us < 60_000_000, "{usage:?}");
        assert!((500..1_000_000).contains(&usage.max_rss_kib), "{usage:?}");
        // A mebibyte of the beginning and a quarter of the end are kept.
        assert_eq!((result.output.bytes, result.output.dropped_bytes), (3_000_000, 3_000_000 - (1280 << 10)));
        while harness.mailed.is_empty() {
            harness.hear(PollFlags::POLLIN);
        }
        assert_eq!(harness.mailed, [(RunId(1), MailResult::Sent)]);
        install_mailer("exit 7");
        assert_eq!(harness.run("alice", "echo x"), RunOutcome::Code(0));
        while harness.mailed.len() < 2 {
            harness.hear(PollFlags::POLLIN);
        }
        assert!(matches!(harness.mailed[1].1, MailResult::Failed { .. }), "{:?}", harness.mailed);
        let silent = harness.run_for_result("alice", "true");
        assert_eq!(
            (silent.outcome, silent.output, harness.mailed.len()),
            (RunOutcome::Code(0), OutputCounts::default(), 2)
        );
        let unknown = harness.run_for_result("nobody-there", "true");
        assert_eq!((unknown.started_at_ms, unknown.pid, unknown.usage), (None, None, None));
    }
}
