//! What a helper tries in its sandbox that it must not do, and what it must be able to do. The sandbox is that of the library, on a thread of its own: it holds
//! for a thread and those that it starts. Each attempt is made without the sandbox first, where it must have another result.

use cronwheel::cli::cronctl::sandbox::{self, Helper};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where an argument is a pointer that leads nowhere.
const NOWHERE: u64 = 0;
/// A descriptor that is not open.
const CLOSED: u64 = u64::MAX;

/// Makes a system call whose arguments do nothing.
fn call(number: libc::c_long, arguments: [u64; 5]) -> Result<(), Errno> {
    let [a, b, c, d, e] = arguments;
    // SAFETY: the arguments are those of ATTEMPTS: null pointers and numbers with which the kernel refuses the call, or which change nothing.
    #[allow(unsafe_code)]
    Errno::result(unsafe { libc::syscall(number, a, b, c, d, e) }).map(drop)
}

/// Calls that no helper may make, with arguments for which nothing happens.
const ATTEMPTS: &[(&str, libc::c_long, [u64; 5])] = &[
    ("execve", libc::SYS_execve, [NOWHERE, 0, 0, 0, 0]),
    ("execveat", libc::SYS_execveat, [CLOSED, NOWHERE, 0, 0, 0]),
    // A new process needs an exit signal; CLONE_SIGHAND without CLONE_VM is refused.
    ("clone", libc::SYS_clone, [(libc::CLONE_SIGHAND | libc::SIGCHLD) as u64, 0, 0, 0, 0]),
    ("clone3", libc::SYS_clone3, [NOWHERE, 0, 0, 0, 0]),
    ("ptrace", libc::SYS_ptrace, [libc::PTRACE_ATTACH as u64, 0, 0, 0, 0]),
    ("process_vm_writev", libc::SYS_process_vm_writev, [1, NOWHERE, 0, NOWHERE, 1]),
    ("pidfd_getfd", libc::SYS_pidfd_getfd, [CLOSED, 0, 0, 0, 0]),
    ("kill", libc::SYS_kill, [1, 0, 0, 0, 0]),
    ("mount", libc::SYS_mount, [NOWHERE, NOWHERE, NOWHERE, 0, 0]),
    ("umount2", libc::SYS_umount2, [NOWHERE, 0, 0, 0, 0]),
    ("move_mount", libc::SYS_move_mount, [CLOSED, NOWHERE, CLOSED, NOWHERE, 0]),
    ("pivot_root", libc::SYS_pivot_root, [NOWHERE, NOWHERE, 0, 0, 0]),
    ("chroot", libc::SYS_chroot, [NOWHERE, 0, 0, 0, 0]),
    ("unshare", libc::SYS_unshare, [0, 0, 0, 0, 0]),
    ("setns", libc::SYS_setns, [CLOSED, 0, 0, 0, 0]),
    ("setuid", libc::SYS_setuid, [u64::MAX, 0, 0, 0, 0]),
    ("setgid", libc::SYS_setgid, [u64::MAX, 0, 0, 0, 0]),
    ("setresuid", libc::SYS_setresuid, [u64::MAX, u64::MAX, u64::MAX, 0, 0]),
    ("setresgid", libc::SYS_setresgid, [u64::MAX, u64::MAX, u64::MAX, 0, 0]),
    ("setgroups", libc::SYS_setgroups, [u64::MAX, NOWHERE, 0, 0, 0]),
    ("capset", libc::SYS_capset, [NOWHERE, NOWHERE, 0, 0, 0]),
    ("prctl", libc::SYS_prctl, [libc::PR_GET_DUMPABLE as u64, 0, 0, 0, 0]),
    ("personality", libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0]),
    ("bpf", libc::SYS_bpf, [CLOSED, NOWHERE, 0, 0, 0]),
    ("perf_event_open", libc::SYS_perf_event_open, [NOWHERE, 0, 0, CLOSED, 0]),
    ("userfaultfd", libc::SYS_userfaultfd, [u64::MAX, 0, 0, 0, 0]),
    ("io_uring_setup", libc::SYS_io_uring_setup, [0, NOWHERE, 0, 0, 0]),
    ("keyctl", libc::SYS_keyctl, [u64::MAX, 0, 0, 0, 0]),
    ("add_key", libc::SYS_add_key, [NOWHERE, NOWHERE, NOWHERE, 0, 0]),
    ("init_module", libc::SYS_init_module, [NOWHERE, 0, NOWHERE, 0, 0]),
    ("finit_module", libc::SYS_finit_module, [CLOSED, NOWHERE, 0, 0, 0]),
    ("delete_module", libc::SYS_delete_module, [NOWHERE, 0, 0, 0, 0]),
    ("kexec_load", libc::SYS_kexec_load, [0, u64::MAX, NOWHERE, u64::MAX, 0]),
    ("reboot", libc::SYS_reboot, [0, 0, 0, 0, 0]),
    ("swapon", libc::SYS_swapon, [NOWHERE, 0, 0, 0, 0]),
    ("sethostname", libc::SYS_sethostname, [NOWHERE, u64::MAX, 0, 0, 0]),
    ("adjtimex", libc::SYS_adjtimex, [NOWHERE, 0, 0, 0, 0]),
    ("syslog", libc::SYS_syslog, [u64::MAX, NOWHERE, 0, 0, 0]),
    ("quotactl", libc::SYS_quotactl, [u64::MAX, NOWHERE, 0, NOWHERE, 0]),
    ("memfd_create", libc::SYS_memfd_create, [NOWHERE, 0, 0, 0, 0]),
    ("openat2", libc::SYS_openat2, [CLOSED, NOWHERE, NOWHERE, 0, 0]),
    ("open_by_handle_at", libc::SYS_open_by_handle_at, [CLOSED, NOWHERE, 0, 0, 0]),
    ("mknodat", libc::SYS_mknodat, [CLOSED, NOWHERE, 0, 0, 0]),
    ("symlinkat", libc::SYS_symlinkat, [NOWHERE, CLOSED, NOWHERE, 0, 0]),
    ("linkat", libc::SYS_linkat, [CLOSED, NOWHERE, CLOSED, NOWHERE, 0]),
    ("mkdirat", libc::SYS_mkdirat, [CLOSED, NOWHERE, 0, 0, 0]),
    ("fchownat", libc::SYS_fchownat, [CLOSED, NOWHERE, 0, 0, 0]),
    ("fchmodat", libc::SYS_fchmodat, [CLOSED, NOWHERE, 0, 0, 0]),
    ("fsetxattr", libc::SYS_fsetxattr, [CLOSED, NOWHERE, NOWHERE, 0, 0]),
    ("inotify_init1", libc::SYS_inotify_init1, [u64::MAX, 0, 0, 0, 0]),
    ("bind", libc::SYS_bind, [CLOSED, NOWHERE, 0, 0, 0]),
    ("listen", libc::SYS_listen, [CLOSED, 0, 0, 0, 0]),
    ("ioctl TIOCSTI", libc::SYS_ioctl, [CLOSED, libc::TIOCSTI, NOWHERE, 0, 0]),
    // One byte that can be written and executed, or only executed.
    ("mmap, executable", libc::SYS_mmap, [0, 1, (libc::PROT_WRITE | libc::PROT_EXEC) as u64, ANONYMOUS, CLOSED]),
    ("mmap, of a program", libc::SYS_mmap, [0, 1, libc::PROT_EXEC as u64, ANONYMOUS, CLOSED]),
    ("mprotect, executable", libc::SYS_mprotect, [0, 0, libc::PROT_EXEC as u64, 0, 0]),
];
const ANONYMOUS: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;

type Kind = (AddressFamily, SockType, Option<SockProtocol>);

/// Sockets that no helper may make, but the agent of a fleet those of the first and the third family: its user has no right to raw ones of the first.
const SOCKETS: &[Kind] = &[
    (AddressFamily::Inet, SockType::Raw, Some(SockProtocol::Icmp)),
    (AddressFamily::Packet, SockType::Raw, None),
    (AddressFamily::Netlink, SockType::Raw, Some(SockProtocol::NetlinkRoute)),
    (AddressFamily::Alg, SockType::SeqPacket, None),
    (AddressFamily::Vsock, SockType::Stream, None),
];

/// Sockets of the Internet, which only the agent of a fleet may make.
const OF_THE_INTERNET: &[Kind] = &[
    (AddressFamily::Inet, SockType::Stream, None),
    (AddressFamily::Inet, SockType::Datagram, None),
    (AddressFamily::Inet6, SockType::Stream, None),
];

fn make_socket((family, kind, protocol): Kind) -> Result<(), Errno> {
    socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol).map(drop)
}

/// Connects a socket to a port of 127.0.0.1.
fn connect(socket: &OwnedFd, port: u16) -> Result<(), Errno> {
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    let length = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address is one of this family, and its length is given.
    #[allow(unsafe_code)]
    Errno::result(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length) }).map(drop)
}

/// The version of Landlock that this kernel has. 0: none.
fn landlock() -> i64 {
    const VERSION: u64 = 1;
    // SAFETY: without a pointer and with this flag, the call returns a number (landlock_create_ruleset(2)).
    #[allow(unsafe_code)]
    Errno::result(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, NOWHERE, 0, VERSION) }).unwrap_or(0)
}

/// Whether the kernel has this version of Landlock, to be asked outside of the sandbox. If not, that is said past the harness: no loss of the helpers, but of what this run shows.
fn has_landlock(version: i64, what: &str) -> bool {
    let has = landlock() >= version;
    if !has {
        let text = format!("SKIP sandbox: {what}: this kernel has version {} of Landlock, not {version}\n", landlock());
        std::io::stderr().write_all(text.as_bytes()).unwrap();
    }
    has
}

/// Runs something on a thread in the sandbox of a helper.
fn inside<T: Send>(helper: Helper<'_>, body: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            assert_eq!(sandbox::enter(helper), None);
            body()
        });
        thread.join().unwrap()
    })
}

fn helpers() -> [Helper<'static>; 3] {
    [Helper::Recorder { directory: None }, Helper::Web { removes_in: &[] }, Helper::Fleet { ports: &[] }]
}

#[test]
fn a_helper_makes_no_system_call_that_it_does_not_need() {
    let outside: Vec<_> = ATTEMPTS.iter().map(|(_, number, arguments)| call(*number, *arguments)).collect();
    // A kernel without modules or the like has no such call to be denied.
    let missing = outside.iter().filter(|result| **result == Err(Errno::ENOSYS)).count();
    assert!(missing < 6, "{outside:?}");
    let sockets: Vec<_> = SOCKETS.iter().map(|kind| make_socket(*kind)).collect();
    assert!(
        sockets.iter().filter(|made| made.is_ok()).count() >= 2 && !sockets.contains(&Err(Errno::ENOSYS)),
        "{sockets:?}"
    );
    assert_eq!(make_socket(OF_THE_INTERNET[0]), Ok(()));
    for helper in helpers() {
        inside(helper, || {
            let uses_network = matches!(helper, Helper::Fleet { .. });
            // The resolver of libc binds the socket by which it asks the kernel for the machine's addresses (getaddrinfo).
            for (name, number, arguments) in ATTEMPTS.iter().filter(|attempt| !(uses_network && attempt.0 == "bind")) {
                assert_eq!(call(*number, *arguments), Err(Errno::ENOSYS), "{name}, {helper:?}");
            }
            let is_of_network = |kind: &&Kind| matches!(kind.0, AddressFamily::Inet | AddressFamily::Netlink);
            for kind in SOCKETS.iter().filter(|kind| !(uses_network && is_of_network(kind))) {
                assert_eq!(make_socket(*kind), Err(Errno::ENOSYS), "{kind:?}, {helper:?}");
            }
            for kind in OF_THE_INTERNET {
                let expected = if uses_network { Ok(()) } else { Err(Errno::ENOSYS) };
                assert_eq!(make_socket(*kind), expected, "{kind:?}, {helper:?}");
            }
        });
    }
}

#[test]
fn a_helper_starts_no_program_and_the_recorder_no_thread() {
    let run = || Command::new("/bin/true").status().map(|status| status.success()).ok();
    let has_threads = || std::thread::Builder::new().spawn(|| ()).map(|thread| thread.join().unwrap()).is_ok();
    assert_eq!((run(), has_threads()), (Some(true), true));
    let [recorder, web, fleet] = helpers();
    assert_eq!(inside(recorder, || (run(), has_threads())), (None, false));
    assert_eq!(inside(web, || (run(), has_threads())), (None, true));
    assert_eq!(inside(fleet, || (run(), has_threads())), (None, true));
    // What the filter says holds in threads that are started later.
    let of_a_thread = || std::thread::spawn(|| call(libc::SYS_unshare, [0; 5])).join().unwrap();
    assert_eq!(inside(web, of_a_thread), Err(Errno::ENOSYS));
}

/// Whether a file can be opened for writing. It is not written to.
fn can_write(path: &Path) -> bool {
    fs::OpenOptions::new().append(true).open(path).is_ok()
}

/// What can be done with a file of that name in a directory: make, write, read, rename, remove.
fn use_files(directory: &Path) -> [bool; 5] {
    let (path, other) = (directory.join("new"), directory.join("other"));
    let made = fs::File::create_new(&path);
    let written = made.as_ref().is_ok_and(|mut file| file.write_all(b"x").is_ok() && file.set_len(0).is_ok());
    [made.is_ok(), written, fs::read(&path).is_ok(), fs::rename(&path, &other).is_ok(), fs::remove_file(&other).is_ok()]
}

#[test]
fn the_recorder_uses_files_of_its_directory_alone() {
    let [own, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let secret = other.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    assert_eq!(use_files(other.path()), [true; 5]);
    if !has_landlock(3, "files of the recorder") {
        return;
    }
    inside(Helper::Recorder { directory: Some(own.path()) }, || {
        assert_eq!(use_files(own.path()), [true; 5]);
        assert_eq!(use_files(other.path()), [false; 5]);
        assert_eq!(fs::read(&secret).unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
        for path in [&*secret, Path::new("/etc/shadow"), Path::new("/etc/passwd"), Path::new("/proc/self/mem")] {
            assert!(!can_write(path) && fs::File::open(path).is_err(), "{}", path.display());
        }
        assert!(fs::read_dir("/etc").is_err() && fs::read_dir(own.path()).is_ok());
        assert!(fs::rename(&secret, own.path().join("stolen")).is_err());
        assert!(fs::rename(own.path().join("."), other.path().join("moved")).is_err());
        // The filter denies these wherever it is.
        assert!(fs::hard_link(&secret, own.path().join("link")).is_err());
        assert!(std::os::unix::fs::symlink("/etc/shadow", own.path().join("link")).is_err());
        assert!(fs::create_dir(own.path().join("directory")).is_err());
    });
    // A database in memory has no file at all.
    inside(helpers()[0], || assert_eq!(use_files(own.path()), [false; 5]));
    assert_eq!(use_files(own.path()), [true; 5]);
}

#[test]
fn the_web_server_reads_what_the_system_has_and_changes_nothing() {
    let [private, removable] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (secret, socket) = (private.path().join("secret"), removable.path().join("socket"));
    for path in [&secret, &socket] {
        fs::write(path, "").unwrap();
        assert!(can_write(path));
    }
    let removes_in: [PathBuf; 1] = [removable.path().to_owned()];
    let has_landlock = has_landlock(1, "files of the web server");
    inside(Helper::Web { removes_in: &removes_in }, || {
        // The filter alone denies writing, whatever the path.
        for path in [&*secret, &*socket, Path::new("/etc/shadow"), Path::new("/dev/null")] {
            assert!(!can_write(path), "{}", path.display());
        }
        assert_eq!(use_files(removable.path()), [false; 5]);
        // A user that /etc/passwd does not have is asked for in libraries that libc loads now.
        assert!(nix::unistd::User::from_name("nobody").unwrap().is_some());
        assert!(nix::unistd::User::from_name("no-such-user").unwrap().is_none());
        assert!(fs::read("/etc/localtime").is_ok() && fs::read_dir("/usr/share/zoneinfo").is_ok());
        if has_landlock {
            assert!(
                fs::read(&secret).is_err() && fs::read_dir("/root").is_err() && fs::read("/proc/1/environ").is_err()
            );
            assert!(fs::remove_file(&secret).is_err());
        }
        assert!(fs::remove_file(&socket).is_ok());
    });
    assert!(fs::read(&secret).is_ok() && !socket.exists());
}

#[test]
fn the_web_server_connects_to_unix_sockets_and_answers_but_makes_no_tcp_connection() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let unix = UnixListener::bind(&path).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp.local_addr().unwrap().port();
    // Made before, as its listening sockets are: the filter cannot tell what they are used for.
    let unused = || socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let (first, second) = (unused(), unused());
    let has_landlock = has_landlock(4, "TCP connections");
    assert_eq!(connect(&first, port), Ok(()));
    let (mut client, _) = tcp.accept().unwrap();
    inside(Helper::Web { removes_in: &[] }, || {
        assert!(UnixStream::connect(&path).is_ok() && unix.accept().is_ok());
        assert!(UnixStream::pair().is_ok());
        let netlink = (AddressFamily::Netlink, SockType::Raw, Some(SockProtocol::NetlinkSockDiag));
        assert_eq!(make_socket(netlink), Ok(()));
        client.write_all(b"answer").unwrap();
        if has_landlock {
            assert_eq!(connect(&second, port), Err(Errno::EACCES));
        }
    });
    let mut answer = [0; 6];
    let mut first = TcpStream::from(first);
    first.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer");
    // The recorder, which only answers, cannot even try.
    assert_eq!(inside(helpers()[0], || connect(&second, port)), Err(Errno::ENOSYS));
}

#[test]
fn the_agent_of_a_fleet_connects_to_its_engine_and_writes_no_file() {
    let engine = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let new = || socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    assert_eq!(connect(&new(), port(&other)), Ok(()));
    assert_eq!(use_files(directory.path()), [true; 5]);
    let has_landlock = has_landlock(4, "TCP connections of the agent");
    inside(Helper::Fleet { ports: &[port(&engine)] }, || {
        assert_eq!(connect(&new(), port(&engine)), Ok(()));
        if has_landlock {
            assert_eq!(connect(&new(), port(&other)), Err(Errno::EACCES));
        }
        assert_eq!(use_files(directory.path()), [false; 5]);
        assert!(!can_write(Path::new("/etc/passwd")));
    });
}

/// The part of SECURITY.md that is made of the lists: a row for each group of calls, a column for each helper.
fn page() -> String {
    let reasons = helpers().map(|helper| sandbox::groups(helper).iter().map(|group| group.reason).collect::<Vec<_>>());
    let mut page = "| system calls for | recorder | web server | fleet agent |\n|---|---|---|---|\n".to_owned();
    let mut seen: Vec<&str> = Vec::new();
    for reason in reasons.iter().flatten() {
        if !seen.contains(reason) {
            seen.push(reason);
            let cells = reasons.each_ref().map(|of_helper| if of_helper.contains(reason) { "yes" } else { "" });
            page.push_str(&format!("| {reason} | {} |\n", cells.join(" | ")));
        }
    }
    page
}

#[test]
fn the_page_about_security_has_what_the_sandbox_allows() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md")).unwrap();
    let (begin, end) = ("<!-- sandbox: compared by tests/attacks/sandbox.rs -->\n", "<!-- /sandbox -->");
    let written = text.split_once(begin).and_then(|(_, rest)| rest.split_once(end)).unwrap().0;
    assert_eq!(written, page(), "expected in SECURITY.md:\n{}", page());
}
