//! Simple commands run with and without their shell, side by side: what a job, its owner and the log see of it.

use crate::common::{Deadline, Subject, World};
use crate::harness::{Bench, PERMISSIVE, config, describe_services, install_mailer, mail, start};
use crate::world;
use cronwheel::launch::{Config, SimpleCommands};
use cronwheel::plan::{End, Environment, RunId};
use cronwheel::site::Profile;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command};

const BOTH_WAYS: [SimpleCommands; 2] = [SimpleCommands::Shell, SimpleCommands::Direct];
const SHELLS: [&str; 2] = ["dash", "bash"];
/// Variables of PAM, which come before those of the table.
const WITH_VARIABLES: &str = "account required pam_permit.so\nsession required pam_env.so\n";

/// Makes /bin/sh that shell.
fn settle_shell(name: &str) {
    fs::remove_file("/usr/bin/sh").unwrap();
    symlink(name, "/usr/bin/sh").unwrap();
}

fn bench(simple_commands: SimpleCommands) -> Bench {
    Bench::of(Config { simple_commands, log_mask: 7, ..config(Profile::Debian) })
}

type Settings<'a> = &'a [(&'a str, &'a [u8])];

/// Runs a command with settings of the table, to its end.
fn run(bench: &mut Bench, user: &str, command: &str, settings: Settings<'_>) -> End {
    let run = bench.ended.len() as u64 + 1;
    let mut one = start(run, user, command);
    one.variables = Environment::of(settings.iter().map(|(name, value)| (name.as_bytes(), *value)));
    bench.start(&one);
    bench.end_of(run)
}

/// A file that a job has made, which goes.
fn taken(path: &str) -> Vec<u8> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    fs::remove_file(path).unwrap();
    bytes
}

/// The variables of an environment, readable.
fn variables(environment: &[u8]) -> Vec<String> {
    let lines = environment.split(|byte| *byte == 0).filter(|line| !line.is_empty());
    lines.map(|line| line.escape_ascii().to_string()).collect()
}

/// Whether the job itself led its session, and which process its parent was; as `cp` of its own `stat` found it.
fn leadership(stat: &[u8]) -> (bool, u32) {
    let text = String::from_utf8_lossy(stat).into_owned();
    let (pid, _) = text.split_once(' ').unwrap();
    let fields: Vec<&str> = text.rsplit_once(") ").unwrap().1.split(' ').collect();
    (fields[3] == pid, fields[1].parse().unwrap())
}

#[test]
fn a_command_that_is_run_without_its_shell_has_the_environment_that_the_shell_would_have_given_it() {
    let Some(_world) = world!(Subject::OursDebian) else { return };
    fs::write("/etc/security/pam_env.conf", "FROM_PAM DEFAULT=yes\n").unwrap();
    symlink("/home/alice", "/home/link").unwrap();
    let deep = format!("/tmp/{}", "deep/".repeat(600));
    fs::create_dir_all(&deep).unwrap();
    let odd: [(&str, &[u8]); 6] = [
        ("Z", b"a 'b' \"c\" $HOME `x` \\ \xff\xc3\xbc\x01"),
        ("EMPTY", b""),
        ("FUNCTION", b"() { :; }"),
        ("LANG", b"de_DE.UTF-8"),
        ("TZ", b"Europe/Berlin"),
        ("_underscore9", b"x"),
    ];
    for (shell, services) in SHELLS.into_iter().flat_map(|shell| [(shell, ""), (shell, WITH_VARIABLES)]) {
        settle_shell(shell);
        describe_services(services);
        for home in ["/home/alice", "/home/link", "/", "/nowhere", &deep] {
            let settings: Vec<(&str, &[u8])> = [("HOME", home.as_bytes())].into_iter().chain(odd).collect();
            let [mut by_shell, mut direct] = BOTH_WAYS.map(|way| {
                let command = " /bin/cp\t/proc/self/environ  /tmp/environ ";
                assert_eq!(run(&mut bench(way), "alice", command, &settings), End::Code(0), "{shell} {way:?} {home}");
                variables(&taken("/tmp/environ"))
            });
            // Each has its own order, by which one can tell that it is not the same way twice.
            assert!(direct.last().unwrap().starts_with("PWD=/"), "{direct:?}");
            assert_ne!(by_shell, direct);
            by_shell.sort_unstable();
            direct.sort_unstable();
            assert_eq!(by_shell, direct, "{shell} {home}");
            let has = |line: &str| direct.iter().any(|one| one == line);
            assert_eq!((has("FROM_PAM=yes"), has("_=/bin/cp")), (!services.is_empty(), shell == "bash"));
        }
    }
}

#[test]
fn it_leads_the_session_itself_and_is_a_child_of_cron() {
    let Some(_world) = world!(Subject::OursDebian) else { return };
    // Not for bash, which becomes its last command anyhow.
    settle_shell("dash");
    for services in ["", PERMISSIVE] {
        describe_services(services);
        for way in BOTH_WAYS {
            let mut bench = bench(way);
            assert_eq!(run(&mut bench, "alice", "/bin/cp /proc/self/stat /tmp/stat", &[]), End::Code(0));
            let (leads, parent) = leadership(&taken("/tmp/stat"));
            let (_, leader) = bench.started.iter().find(|(run, _)| *run == RunId(1)).unwrap();
            match way {
                SimpleCommands::Shell => assert!(!leads && parent == *leader, "{parent}, the leader is {leader}"),
                SimpleCommands::Direct => assert!(leads && parent != *leader, "{parent}, the leader is {leader}"),
            }
        }
    }
}

#[test]
fn only_simple_commands_are_and_only_where_sh_is_a_shell_that_is_known() {
    let Some(_world) = world!(Subject::OursDebian) else { return };
    describe_services("");
    fs::copy("/usr/bin/dash", "/usr/bin/unknown").unwrap();
    let mut bench = bench(SimpleCommands::Direct);
    let simple = "/bin/cp /proc/self/stat /tmp/stat";
    for (shell, command, setting, expected) in [
        ("dash", simple, ("X", "1"), true),
        ("dash", "/bin/cp /proc/self/stat '/tmp/stat'", ("X", "1"), false),
        ("dash", "cp /proc/self/stat /tmp/stat", ("X", "1"), false),
        ("dash", simple, ("SHELL", "/bin/dash"), false),
        ("dash", simple, ("OLDPWD", "/"), false),
        // While the runner lives.
        ("unknown", simple, ("X", "1"), false),
        ("dash", simple, ("X", "1"), true),
    ] {
        settle_shell(shell);
        assert_eq!(run(&mut bench, "alice", command, &[(setting.0, setting.1.as_bytes())]), End::Code(0));
        let (leads, _) = leadership(&taken("/tmp/stat"));
        assert_eq!(leads, expected, "{shell} {command} {setting:?}");
    }
}

/// Programs that are there, and such as cannot be executed.
fn install_programs() {
    for (name, mode, text) in [
        ("script", 0o755, "#!/bin/sh\necho \"script $*\" in $PWD; echo problem >&2; exit 3\n"),
        ("plain", 0o755, "echo \"plain $0 $*\"; exit 4\n"),
        ("silent", 0o755, ""),
        ("data", 0o644, "#!/bin/sh\n"),
        ("secret", 0o700, "#!/bin/sh\n"),
        ("astray", 0o755, "#!/nowhere/sh\n"),
    ] {
        let path = format!("/usr/local/bin/{name}");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// How a command of alice ended, its mail, and its lines in the log without their process ids and seconds.
fn shown(world: &World, way: SimpleCommands, command: &str) -> (End, String, Vec<String>) {
    let before = world.log.lines().len();
    let end = run(&mut bench(way), "alice", command, &[]);
    let mail = if command.ends_with("silent") { String::new() } else { mail(world) };
    let lines = Deadline::seconds(10).wait_for("the job's last line", || {
        let lines = world.log.lines().split_off(before);
        lines.iter().any(|line| line.contains("(alice) END (")).then_some(lines)
    });
    let of_job = lines.iter().filter_map(|line| line.split_once("]: (alice)"));
    let texts = of_job.map(|(_, text)| text.split_once(" after ").map_or(text, |(text, _)| text).to_owned());
    (end, mail, texts.collect())
}

#[test]
fn what_cannot_be_executed_is_left_to_the_shell_with_its_words_and_its_exit_status() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    install_mailer("");
    install_programs();
    for (shell, services) in SHELLS.into_iter().flat_map(|shell| [(shell, ""), (shell, PERMISSIVE)]) {
        settle_shell(shell);
        describe_services(services);
        for (words, code, text) in [
            ("script one two=2 %3", 3, "script one two=2 %3 in /home/alice\nproblem\n"),
            ("plain one two=2 %3", 4, "plain /usr/local/bin/plain one two=2 %3\n"),
            ("silent", 0, ""),
            ("data", 126, "/usr/local/bin/data: Permission denied\n"),
            ("secret", 126, "/usr/local/bin/secret: Permission denied\n"),
            ("astray", 127, ""),
            ("../bin", 126, ""),
            ("missing one", 127, "/usr/local/bin/missing: "),
            ("missing/program", 127, "/usr/local/bin/missing/program: "),
        ] {
            let command = format!("/usr/local/bin/{}", words.replace('%', "\\%"));
            let [by_shell, direct] = BOTH_WAYS.map(|way| shown(&world, way, &command));
            assert_eq!(by_shell, direct, "{shell}");
            let (end, mail, lines) = direct;
            assert!(end == End::Code(code) && mail.contains(text), "{shell} {words}: {end:?} {mail}");
            let failed = lines.iter().filter(|line| line.starts_with(" FAILED (")).count();
            assert_eq!(failed, usize::from(code != 0), "{lines:?}");
        }
    }
}

/// A directory that is gone but can be entered, for as long as this lives.
struct Gone(Child);

impl Gone {
    fn open() -> Gone {
        fs::create_dir("/tmp/gone").unwrap();
        let child = Command::new("sleep").arg("1000").current_dir("/tmp/gone").spawn().unwrap();
        fs::remove_dir("/tmp/gone").unwrap();
        Gone(child)
    }

    fn path(&self) -> String {
        format!("/proc/{}/cwd", self.0.id())
    }
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn where_the_directory_has_no_name_the_shell_finds_out_what_to_make_of_it() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    settle_shell("dash");
    let gone = Gone::open();
    // Longer than any path that the kernel gives.
    world
        .run(&format!("mkdir -p /tmp/{0} && ln -s /tmp/{0} /tmp/link && mkdir -p /tmp/link/{0}", "deep/".repeat(600)))
        .ok();
    let too_deep = format!("/tmp/link/{}", "deep/".repeat(600));
    for services in ["", PERMISSIVE] {
        describe_services(services);
        for home in [&gone.path(), &too_deep] {
            let home: [(&str, &[u8]); 1] = [("HOME", home.as_bytes())];
            let [by_shell, direct] = BOTH_WAYS.map(|way| {
                let mut bench = bench(way);
                assert_eq!(run(&mut bench, "root", "/bin/cp /proc/self/stat /tmp/stat", &home), End::Code(0));
                assert_eq!(run(&mut bench, "root", "/bin/cp /proc/self/environ /tmp/environ", &home), End::Code(0));
                (leadership(&taken("/tmp/stat")).0, variables(&taken("/tmp/environ")))
            });
            assert_eq!(by_shell, direct);
            assert!(!direct.0);
        }
    }
}
