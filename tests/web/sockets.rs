//! Where it listens: loopback only, Unix sockets, sockets of a service manager; the token for programs; the browser.

use crate::client::{Site, over_unix};
use crate::common::implementation::package;
use crate::common::{Deadline, Implementation, World};
use crate::{prepare, world};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

/// A server without an address to sign in; killed when dropped.
struct Server(Child);

impl Server {
    fn start(world: &World, user: &str, line: &str) -> Server {
        Server(world.command_as(user, line).spawn().expect("a shell"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is as good.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn wait_for_socket(path: &str) {
    Deadline::seconds(20)
        .wait_for(path, || fs::metadata(path).is_ok_and(|found| found.file_type().is_socket()).then_some(()));
}

#[test]
fn other_machines_cannot_be_let_in() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    for (address, says) in [
        ("0.0.0.0:8080", "other machines can reach 0.0.0.0:8080"),
        ("[::]:8080", "other machines can reach [::]:8080"),
        ("192.0.2.1:8080", "other machines can reach 192.0.2.1:8080"),
        ("example.org:8080", "expected 127.0.0.1:PORT, [::1]:PORT or unix:PATH, found \"example.org:8080\""),
        ("8080", "expected 127.0.0.1:PORT"),
        ("127.0.0.2:8080", "expected 127.0.0.1:8080 or [::1]:8080"),
        ("unix:", "expected a path"),
    ] {
        let shown = world.run(&format!("timeout 10 cronctl web --listen {address}"));
        assert!(
            shown.code() == 2 && shown.stderr.contains(says) && shown.stderr.lines().count() == 1,
            "{address}: {shown:?}"
        );
    }
    for (options, says) in [
        ("--host x", "--host and --any-host are for a Unix socket"),
        ("--any-host", "--host and --any-host are for a Unix socket"),
        ("--listen unix:/run/x", "expected --host NAME"),
        ("--listen unix:/run/x --any-host --open", "--open is for a page on loopback"),
        ("--listen unix:/run/x --any-host --host x", "cannot be used with"),
    ] {
        let shown = world.run(&format!("timeout 10 cronctl web {options}"));
        assert!(shown.code() == 2 && shown.stderr.contains(says), "{options}: {shown:?}");
        assert!(!fs::exists("/run/x").unwrap(), "{options}");
    }
    let site = Site::start(&world, "root", "--listen 127.0.0.1:8017");
    assert!(site.host.ends_with(".localhost:8017"), "{}", site.host);
    let again = world.run("timeout 10 cronctl web --listen 127.0.0.1:8017");
    assert!(again.code() == 1 && again.stderr.contains("listening on 127.0.0.1:8017: "), "{again:?}");
}

#[test]
fn no_other_user_can_have_the_same_port_of_ipv6() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let Ok(taken) = TcpListener::bind("[::1]:0") else { return };
    let port = taken.local_addr().unwrap().port();
    let refused = world.run_as("alice", &format!("timeout 10 cronctl web --listen 127.0.0.1:{port}"));
    let says = format!("listening on [::1]:{port}: ");
    assert!(refused.code() == 1 && refused.stderr.contains(&says), "{refused:?}");
    let site = Site::start(&world, "root", "");
    let address = format!("[::1]:{}", site.socket().port());
    assert!(TcpListener::bind(&address).is_err(), "{address} is free");
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", site.host).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_unix_socket_is_the_users_own_and_needs_no_cookie() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let path = "/home/alice/cron.sock";
    let mut server =
        Server::start(&world, "alice", &format!("exec cronctl web --listen unix:{path} --host cron.example.org"));
    wait_for_socket(path);
    let about = fs::metadata(path).unwrap();
    assert_eq!((about.mode() & 0o777, about.uid()), (0o600, fs::metadata("/home/alice").unwrap().uid()));
    let get = |host: &str| over_unix(path, &format!("GET /jobs HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    let page = get("cron.example.org");
    assert!(
        page.status == 200 && page.body.contains("alice:</span>hello") && !page.body.contains("nightly"),
        "{page:?}"
    );
    assert_eq!(get("evil.example").status, 403);
    let post = |origin: &str| {
        let body = "{\"job\":\"alice:hello\"}";
        let request = format!(
            "POST /api/run HTTP/1.1\r\nHost: cron.example.org\r\nOrigin: {origin}\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        over_unix(path, &request).status
    };
    assert_eq!((post("https://cron.example.org"), post("https://evil.example")), (200, 403));
    // The path goes with the server; one that was killed leaves it, and the next one takes its place.
    world.run(&format!("kill -TERM {}", server.0.id())).ok();
    assert!(server.0.wait().unwrap().success());
    assert!(!fs::exists(path).unwrap());
    let mut server = Server::start(&world, "alice", &format!("exec cronctl web --listen unix:{path} --any-host"));
    wait_for_socket(path);
    server.0.kill().unwrap();
    server.0.wait().unwrap();
    let _server = Server::start(&world, "alice", &format!("exec cronctl web --listen unix:{path} --any-host"));
    Deadline::seconds(20).wait_for("a new server", || std::os::unix::net::UnixStream::connect(path).ok());
    assert_eq!(get("anything.example").status, 200, "the server in front decides");
    let busy = world.run_as("alice", &format!("timeout 10 cronctl web --listen unix:{path} --any-host"));
    assert!(busy.code() == 1 && busy.stderr.contains(path), "{busy:?}");
}

#[test]
fn a_service_manager_passes_a_socket_and_the_page_shows_everything_to_its_group() {
    let Some(world) = world!(Implementation::OursDebian, ["systemd-socket-activate"]) else { return };
    fs::write("/etc/cronwheel.toml", "view-group = \"_cronwheel-web\"\n").unwrap();
    let _daemon = prepare(&world);
    let path = "/run/cronwheel-web.sock";
    let line = format!(
        "exec systemd-socket-activate -l {path} setpriv --reuid=_cronwheel-web --regid=_cronwheel-web --clear-groups cronctl web --read-only --any-host"
    );
    let _server = Server::start(&world, "root", &line);
    wait_for_socket(path);
    let get = |path_of_page: &str| {
        over_unix(path, &format!("GET {path_of_page} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    };
    let page = get("/jobs");
    for text in ["alice:</span>hello", "bob:</span>nightly", "acts as _cronwheel-web"] {
        assert!(page.body.contains(text), "{text}: {page:?}");
    }
    assert!(!get("/job/alice:hello").body.contains("data-post"));
    let wrong = world.run("LISTEN_FDS=2 sh -c 'LISTEN_PID=$$ exec timeout 10 cronctl web' 3</dev/null 4</dev/null");
    // `timeout` has another process id, so that the socket is not for cronctl.
    assert!(wrong.code() == 124, "{wrong:?}");
    let line = "exec systemd-socket-activate -l /run/beside.sock cronctl web --any-host --listen unix:/run/x";
    let beside = world.command_as("root", line).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_socket("/run/beside.sock");
    let _client = UnixStream::connect("/run/beside.sock").unwrap();
    let beside = beside.wait_with_output().unwrap();
    let says = String::from_utf8_lossy(&beside.stderr);
    assert!(beside.status.code() == Some(2) && says.contains("--listen cannot be given beside the socket"), "{says}");
    let wrong = world.run("LISTEN_FDS=1 sh -c 'LISTEN_PID=$$ exec cronctl web' 3</dev/null");
    assert!(wrong.code() == 1 && wrong.stderr.contains("the socket of the service manager"), "{wrong:?}");
}

#[test]
fn programs_send_the_token_of_a_file() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let file = "/home/alice/token";
    let write = |text: &str, mode: u32| {
        fs::write(file, text).unwrap();
        world.run(&format!("chown alice: {file}")).ok();
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    };
    write("0123456789abcdef0123\n", 0o644);
    let shown = world.run_as("alice", &format!("timeout 10 cronctl web --token-file {file}"));
    assert!(shown.code() == 1 && shown.stderr.contains("other users can read"), "{shown:?}");
    write("short\n", 0o600);
    let shown = world.run_as("alice", &format!("timeout 10 cronctl web --token-file {file}"));
    assert!(shown.code() == 1 && shown.stderr.contains("at least 16 characters"), "{shown:?}");
    write("0123456789abcdef0123\n", 0o600);
    let site = Site::start(&world, "alice", &format!("--token-file {file}"));
    let port = site.host.rsplit_once(':').unwrap().1;
    let get = |path: &str, token: &str| {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        site.send(&request).status
    };
    for path in ["/metrics", "/calendar.ics"] {
        assert_ne!(get(path, "0123456789abcdef0123"), 401, "{path}");
        assert_eq!(get(path, "0123456789abcdef0124"), 401, "{path}");
    }
    assert_eq!(get("/jobs", "0123456789abcdef0123"), 401);
    // On a Unix socket, too.
    let path = "/home/alice/token.sock";
    let _server = Server::start(
        &world,
        "alice",
        &format!("exec cronctl web --listen unix:{path} --any-host --token-file {file}"),
    );
    wait_for_socket(path);
    for (token, status) in [("0123456789abcdef0123", 200), ("0123456789abcdef0124", 401)] {
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
        assert_eq!(over_unix(path, &request).status, status, "{token}");
    }
    // A browser has no token there, so that its pages have no links that would be refused.
    let overview = over_unix(path, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(overview.status == 200 && overview.body.contains("href=\"/healthz\""), "{overview:?}");
    assert!(["/metrics", "/calendar.ics"].iter().all(|path| !overview.body.contains(path)), "{overview:?}");
    // Another user could change it.
    world.run(&format!("chown bob: {file}; chmod 644 {file}; chmod o+x /home/alice")).ok();
    let shown = world.run_as("alice", &format!("timeout 10 cronctl web --token-file {file}"));
    assert!(shown.code() == 1 && shown.stderr.contains("it belongs to the user id"), "{shown:?}");
}

#[test]
fn a_browser_is_opened_with_a_file_so_that_no_command_line_has_the_token() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    fs::write("/usr/local/bin/xdg-open", "#!/bin/sh\nstat -c '%a %n' \"$1\" >/tmp/opened.new; cat \"$1\" >>/tmp/opened.new; cut -d' ' -f1,5 /proc/$$/stat >/tmp/group; mv /tmp/opened.new /tmp/opened\n").unwrap();
    fs::set_permissions("/usr/local/bin/xdg-open", fs::Permissions::from_mode(0o755)).unwrap();
    let site = Site::start(&world, "alice", "--open");
    let opened = world.wait_for_file("/tmp/opened", Deadline::seconds(20));
    let (about, page) = opened.split_once('\n').unwrap();
    let path = about.strip_prefix("600 ").expect("mode 0600");
    let group = fs::read_to_string("/tmp/group").unwrap();
    let (process, group) = group.trim().split_once(' ').unwrap();
    assert_eq!(process, group, "Ctrl-C reaches the browser");
    assert!(page.contains(&format!("url={}", site.address)), "{page}");
    let token = site.address.split("token=").nth(1).unwrap();
    assert!(world.processes().iter().all(|process| !process.line.contains(token)));
    assert!(fs::exists(path).unwrap());
    assert_eq!(site.open().status, 303);
    assert!(!fs::exists(path).unwrap(), "the file has been used");
    drop(site);
    fs::remove_file("/tmp/opened").unwrap();
    let site = Site::start(&world, "alice", "--open");
    let opened = world.wait_for_file("/tmp/opened", Deadline::seconds(20));
    let path = opened.lines().next().unwrap().strip_prefix("600 ").unwrap();
    assert!(fs::exists(path).unwrap());
    world.run(&format!("kill -HUP {}", site.pid())).ok();
    Deadline::seconds(20).wait_for("the end of the file", || (!fs::exists(path).unwrap()).then_some(()));
}

/// The configuration of nginx that contrib/README shows.
fn nginx_of_the_readme() -> String {
    let readme = include_str!("../../contrib/README.md");
    let (_, rest) = readme.split_once("```nginx\n").expect("the example");
    rest.split_once("```").expect("its end").0.to_owned()
}

#[test]
fn nginx_as_the_readme_configures_it_asks_for_a_login_and_passes_pages_buttons_and_live_output_on() {
    let Some(world) = world!(Implementation::OursDebian, ["nginx", "python3", "openssl"]) else { return };
    let _daemon = prepare(&world);
    let socket = "/run/cronwheel-web.sock";
    let _web = Server::start(&world, "root", &format!("exec cronctl web --listen unix:{socket} --any-host"));
    wait_for_socket(socket);
    let configuration = format!(
        "user root;\npid /run/nginx.pid;\ndaemon off;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n{}\n}}\n",
        nginx_of_the_readme()
    );
    fs::write("/run/nginx.conf", configuration).unwrap();
    let login =
        "mkdir -p /etc/nginx /var/log/nginx /var/lib/nginx; printf 'admin:{PLAIN}secret\\n' >/etc/nginx/cron.htpasswd";
    let certificate = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=cron.example.org \
                       -keyout /etc/ssl/private/cron.example.org.key -out /etc/ssl/cron.example.org.pem";
    world.run(&format!("{login}; mkdir -p /etc/ssl/private; {certificate}")).ok();
    let nginx = package("nginx").join("usr/sbin/nginx");
    let _nginx = Server::start(&world, "root", &format!("exec {} -c /run/nginx.conf", nginx.display()));
    fs::write("/run/proxy.py", include_str!("proxy.py")).unwrap();
    let used = world.run("python3 /run/proxy.py 2>&1");
    assert_eq!(used.code(), 0, "{}", used.stdout);
}
