//! Setting up the private machine: three stages of the same test program.
//!
//! *Outside* starts `unshare` with this program again. *First process*, number one of the new namespaces, mounts the
//! overlay, installs, changes root, starts this program a third time and reaps whoever is orphaned. *Inside* is where
//! the test happens.

use super::implementation::{Implementation, own, package};
use super::machine::World;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, chroot, geteuid, sethostname};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Tells this program which stage it is in.
const STAGE: &str = "CRONWHEEL_TEST_STAGE";

/// Where the new file system is put together; hidden by it afterwards. Any directory that every machine has will do.
const SITE: &str = "/mnt";

/// Arguments of `unshare` for a machine of its own, with nothing left of it when its first process is gone.
pub const NAMESPACES: [&str; 9] =
    ["--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child", "--propagation", "private"];

/// The host name of every world.
pub const HOST: &str = "wheelbox";

/// A test on a private machine is killed when it has not ended after this many seconds. No test takes half as long on a busy machine.
const TEST_LIMIT_SECONDS: u64 = 600;
/// The variable that gives the long runs of `tests/README.md` more seconds.
const TEST_LIMIT: &str = "CRONWHEEL_TEST_SECONDS";

/// Runs the test function `name` (as `type_name_of_val` gives it for a function inside of it) inside a world. Without one of the
/// `needs` (see [`missing`]) the test is skipped.
pub fn enter(name: &str, implementation: Implementation, needs: &[&str]) -> Option<World> {
    match stage().as_deref() {
        Some("inside") => Some(World::open(implementation)),
        Some(_) => finish(first_process(implementation)),
        None => {
            let path = name.split_once("::").expect("a path within the test program").1;
            let path = path.strip_suffix("::here").expect("a function inside the test");
            if let Some(reason) = why_not(implementation).or_else(|| missing(needs)) {
                skip(path, &reason);
                return None;
            }
            let given = std::env::var(TEST_LIMIT).ok().map(|seconds| seconds.parse().expect(TEST_LIMIT));
            let seconds = given.unwrap_or(TEST_LIMIT_SECONDS);
            let limit = Duration::from_secs(seconds);
            let inside = go_inside(&["--exact", path, "--nocapture", "--test-threads=1"], limit);
            let output = &inside.output;
            let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            print!("{told}");
            told.lines().filter(|line| line.starts_with("SKIP ")).for_each(write_past_the_harness);
            assert!(!inside.timed_out, "{path}: killed, because it had not ended after {seconds} seconds");
            assert!(output.status.success(), "{path}, inside: {}", output.status);
            assert!(told.contains("test result: ok. 1 passed"), "{path} did not run inside");
            None
        }
    }
}

/// The stage that this process is in; `None` outside.
pub fn stage() -> Option<String> {
    std::env::var(STAGE).ok()
}

/// Why no world can be made here, if so.
pub fn why_not(implementation: Implementation) -> Option<String> {
    if !geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    let remedy = if implementation == Implementation::Cronie {
        "CRONIE must name their directory"
    } else {
        "run tests/install-needs"
    };
    implementation.missing().map(|path| format!("{} is missing: {remedy}", path.display()))
}

/// Says which of these is missing, if any: names of programs, or of Debian packages that `tests/install-needs` unpacks.
pub fn missing(needs: &[&str]) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |need: &str| {
        package(need).exists() || std::env::split_paths(&path).any(|directory| directory.join(need).exists())
    };
    let need = needs.iter().find(|need| !is_there(need))?;
    Some(format!("{need} is missing: run tests/install-needs"))
}

/// Says loudly that a test did not run; where nothing may be skipped, fails.
pub fn skip(name: &str, reason: &str) {
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "{name}: skipped with CI=true: {reason}");
    write_past_the_harness(&format!("SKIP {name}: {reason}"));
}

/// Writes a line to standard error past the test harness, which swallows what passing tests print.
fn write_past_the_harness(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).expect("stderr");
}

/// What came of a program inside.
#[derive(Debug)]
pub struct Inside {
    /// What it said, and how it ended.
    pub output: Output,
    /// Whether it was killed because it took too long.
    pub timed_out: bool,
}

/// Runs this program again with `arguments`, as the first process of new namespaces, and collects what it says. It is killed with
/// everything that it started when it has not ended after `limit`.
pub fn go_inside(arguments: &[&str], limit: Duration) -> Inside {
    let mut command = way_inside(arguments);
    wait_for_inside(command.stdout(Stdio::piped()).stderr(Stdio::piped()), limit)
}

/// Starts a command of [`way_inside`], and waits for its end as [`go_inside`] does. What it says is collected where it has pipes.
pub fn wait_for_inside(command: &mut Command, limit: Duration) -> Inside {
    let child = command.spawn().expect("unshare, of util-linux");
    // Unshare was told to take its child along, and with their first process the namespaces end.
    let unshare = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    let (ended, end) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let timed_out = end.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
        if timed_out {
            kill(unshare, Signal::SIGKILL).ok();
        }
        timed_out
    });
    let output = child.wait_with_output().expect("the end of unshare");
    drop(ended);
    Inside { output, timed_out: watchdog.join().expect("the watchdog") }
}

/// This program again with `arguments`, as the first process of new namespaces: to be started by the caller.
pub fn way_inside(arguments: &[&str]) -> Command {
    let myself = std::env::current_exe().expect("the test program's own path");
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "--pid",
            "--net",
            "--uts",
            "--ipc",
            "--fork",
            "--kill-child",
            "--propagation",
            "private",
            "--",
            // Whoever started the tests in the background had the shell ignore some signals for them.
            "env",
            "--default-signal",
        ])
        .arg(myself)
        .args(arguments)
        .env(STAGE, "first")
        .stdin(Stdio::null());
    command
}

/// Builds the machine, runs this program inside with its own arguments, and reaps until that one is done.
#[allow(clippy::zombie_processes)] // It is waited for, with all the others.
pub fn first_process(implementation: Implementation) -> i32 {
    close_inherited();
    build(implementation);
    let inside = Command::new("/proc/self/exe")
        .args(std::env::args_os().skip(1))
        .env(STAGE, "inside")
        .spawn()
        .expect("this program again, inside");
    let inside = Pid::from_raw(i32::try_from(inside.id()).expect("a process id"));
    loop {
        match waitpid(None, None).expect("a child") {
            WaitStatus::Exited(pid, code) if pid == inside => return code,
            WaitStatus::Signaled(pid, signal, _) if pid == inside => return 128 + signal as i32,
            _ => {}
        }
    }
}

/// Closes what the caller's shell or editor left open: no daemon under test may find it.
fn close_inherited() {
    let numbers: Vec<i32> = fs::read_dir("/proc/self/fd")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in numbers {
        // The directory's own descriptor is among them, and already closed.
        nix::unistd::close(number).ok();
    }
}

/// Ends this process at once: what its caller would do is the business of another stage.
#[allow(clippy::exit)]
pub fn finish(code: i32) -> ! {
    std::process::exit(code)
}

/// The whole file system as an overlay in memory, with directories of its own for everything that runs.
fn build(implementation: Implementation) {
    let site = Path::new(SITE);
    mount_or_die("tmpfs", site, "tmpfs", "mode=755");
    for name in ["upper", "work", "root"] {
        fs::create_dir(site.join(name)).expect("a directory in memory");
    }
    let root = site.join("root");
    mount_or_die("overlay", &root, "overlay", &format!("lowerdir=/,upperdir={SITE}/upper,workdir={SITE}/work"));
    implementation.install_programs(&root);
    make_devices(&root.join("dev"));
    for (place, options) in [("run", "mode=755"), ("tmp", "mode=1777"), ("home", "mode=755")] {
        fs::create_dir_all(root.join(place)).expect("a mount point");
        mount_or_die("tmpfs", &root.join(place), "tmpfs", options);
    }
    for needed in [env!("CARGO_MANIFEST_DIR"), env!("CARGO_TARGET_TMPDIR")] {
        show(Path::new(needed), &root);
    }
    chroot(&root).expect("chroot");
    std::env::set_current_dir("/").expect("/");
    mount_or_die("proc", Path::new("/proc"), "proc", "");
    sethostname(HOST).expect("a host name");
    furnish(implementation);
}

/// Devices that every machine has, with their numbers.
const DEVICES: [(&str, u64, u64); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// A /dev of its own, so that a change of a device's owner or mode stays in it.
fn make_devices(dev: &Path) {
    mount_or_die("tmpfs", dev, "tmpfs", "mode=755");
    for (name, major, minor) in DEVICES {
        let node = dev.join(name);
        if let Err(refused) = make_device(&node, major, minor) {
            // A sandbox refuses that. The host's device then, read-only: it can be written to, but neither owner nor mode be changed.
            assert!(matches!(refused, Errno::EPERM | Errno::EACCES), "making {}: {refused}", node.display());
            fs::remove_file(&node).ok();
            fs::write(&node, "").expect("a place for a device");
            bind(&Path::new("/dev").join(name), &node);
            let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            mount(None::<&str>, &node, None::<&str>, flags, None::<&str>).expect("a read-only device");
        }
    }
    symlink("/proc/self/fd", dev.join("fd")).expect("/dev/fd");
    for (number, name) in ["stdin", "stdout", "stderr"].into_iter().enumerate() {
        symlink(format!("/proc/self/fd/{number}"), dev.join(name)).expect("a standard stream");
    }
    for name in ["pts", "shm"] {
        fs::create_dir(dev.join(name)).expect("a directory in /dev");
    }
    fs::set_permissions(dev.join("shm"), fs::Permissions::from_mode(0o1777)).expect("mode of /dev/shm");
    mount_or_die("devpts", &dev.join("pts"), "devpts", "newinstance,ptmxmode=0666,mode=620");
    symlink("pts/ptmx", dev.join("ptmx")).expect("/dev/ptmx");
}

/// Makes a device that can be used: a user namespace may let one be made and not opened.
fn make_device(node: &Path, major: u64, minor: u64) -> nix::Result<()> {
    mknod(node, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(major, minor))?;
    fs::set_permissions(node, fs::Permissions::from_mode(0o666)).expect("mode of a device");
    match nix::fcntl::open(node, nix::fcntl::OFlag::O_RDONLY | nix::fcntl::OFlag::O_NOCTTY, Mode::empty()) {
        // There is no terminal.
        Ok(_) | Err(Errno::ENXIO) => Ok(()),
        Err(why) => Err(why),
    }
}

/// Users, an empty system table, no mail: a machine on which the package has just been installed.
fn furnish(implementation: Implementation) {
    shell("ip link set lo up 2>/dev/null || true");
    shell(
        "rm -rf /etc/cron.d /etc/crontab /etc/cron.allow /etc/cron.deny /var/spool/cron /var/mail/* /etc/cronwheel.toml",
    );
    shell("getent group crontab >/dev/null || groupadd --system crontab");
    shell(
        "mkdir -p /etc/default /etc/security && : > /etc/environment && : > /etc/default/locale && : > /etc/security/limits.conf",
    );
    shell(
        "for user in alice bob; do userdel -f $user 2>/dev/null; useradd --create-home --shell /bin/bash $user; done",
    );
    shell("mkdir -p /var/mail && chgrp mail /var/mail && chmod 2775 /var/mail && ln -sfn ../mail /var/spool/mail");
    implementation.set_up();
    own("/etc/cron.d", 0, 0, 0o755);
}

/// Runs a line as root; it must succeed.
fn shell(line: &str) {
    let output = Command::new("sh").args(["-c", line]).output().expect("sh");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

fn mount_or_die(source: &str, place: &Path, kind: &str, options: &str) {
    mount(Some(source), place, Some(kind), MsFlags::empty(), Some(options))
        .unwrap_or_else(|e| panic!("mounting {kind} on {} ({options}): {e}", place.display()));
}

/// Shows a directory of this checkout in its place where one of the new file systems hides it, for it may lie in /tmp:
/// under a layer in memory, like everything else, so that nothing in here can change it.
fn show(directory: &Path, root: &Path) {
    // Beside the tests' own directory lies what they need.
    let directory = if directory.ends_with("tmp") { directory.parent().unwrap_or(directory) } else { directory };
    let place = root.join(directory.strip_prefix("/").expect("an absolute path"));
    if place.exists() {
        return;
    }
    let layers = tempfile::tempdir_in(SITE).expect("a directory in memory").keep();
    let [upper, work] = ["upper", "work"].map(|name| layers.join(name));
    for layer in [&place, &upper, &work] {
        fs::create_dir_all(layer).expect("a directory in memory");
    }
    let (lower, upper, work) = (directory.display(), upper.display(), work.display());
    mount_or_die("overlay", &place, "overlay", &format!("lowerdir={lower},upperdir={upper},workdir={work}"));
}

fn bind(from: &Path, to: &Path) {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .unwrap_or_else(|e| panic!("binding {} to {}: {e}", from.display(), to.display()));
}
