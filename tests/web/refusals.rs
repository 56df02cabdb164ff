//! What is refused: foreign hosts and origins, wrong methods and types, used tokens, large and slow requests, other users.

use crate::client::Site;
use crate::common::{Deadline, Implementation, World};
use crate::{prepare, world};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// A GET with these header lines.
fn get(site: &Site, path: &str, headers: &str) -> u16 {
    site.send(&format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")).status
}

#[test]
fn requests_from_elsewhere_are_refused() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let site = Site::signed_in(&world, "root", "");
    let (host, cookie) = (format!("Host: {}\r\n", site.host), format!("Cookie: {}\r\n", site.cookie));
    let port = site.host.rsplit_once(':').unwrap().1;
    for (what, path, headers, status) in [
        ("a page", "/", format!("{host}{cookie}"), 200),
        ("a cookie among others", "/", format!("{host}Cookie: a=b; {}; c=d\r\n", site.cookie), 200),
        ("no host", "/", cookie.clone(), 403),
        ("two hosts", "/", format!("{host}{host}{cookie}"), 403),
        ("a foreign host", "/", format!("Host: evil.example:{port}\r\n{cookie}"), 403),
        ("a host that begins alike", "/", format!("Host: {}.evil.example\r\n{cookie}", site.host), 403),
        ("another port", "/", format!("Host: localhost:1\r\n{cookie}"), 403),
        ("a foreign host for health", "/healthz", "Host: evil.example\r\n".to_owned(), 403),
        ("health by number", "/healthz", format!("Host: 127.0.0.1:{port}\r\n"), 200),
        ("no cookie", "/", host.clone(), 401),
        ("no cookie for a job", "/job/alice:hello", host.clone(), 401),
        ("no cookie for output", "/run/1/output", host.clone(), 401),
        ("no cookie for events", "/events", host.clone(), 401),
        ("no cookie for metrics", "/metrics", host.clone(), 401),
        ("no cookie for what does not exist", "/nothing", host.clone(), 401),
        ("a wrong cookie", "/", format!("{host}Cookie: cronwheel=0\r\n"), 401),
        ("a cookie as a token", "/metrics", format!("{host}Authorization: Bearer {}\r\n", &site.cookie[10..]), 401),
        ("a directory above", "/../../etc/passwd", format!("{host}{cookie}"), 404),
        ("the same in code", "/%2e%2e/%2e%2e/etc/passwd", format!("{host}{cookie}"), 404),
        ("a job above", "/job/..%2f..%2fetc", format!("{host}{cookie}"), 404),
        ("a job with a NUL", "/job/%00", format!("{host}{cookie}"), 404),
        ("a run that is no number", "/run/x", format!("{host}{cookie}"), 404),
        ("bytes that are not UTF-8", "/job/%ff", format!("{host}{cookie}"), 400),
    ] {
        assert_eq!(get(&site, path, &headers), status, "{what}");
    }
    let absolute = format!("GET http://evil.example/ HTTP/1.1\r\n{host}{cookie}Connection: close\r\n\r\n");
    assert_eq!(site.send(&absolute).status, 403, "a foreign host in the request line");

    let origin = format!("Origin: http://{}\r\n", site.host);
    let json = "Content-Type: application/json\r\n";
    let run = "{\"job\":\"alice:hello\"}";
    for (what, headers, status) in [
        ("no origin", json.to_owned(), 403),
        ("a foreign origin", format!("Origin: http://evil.example\r\n{json}"), 403),
        ("an origin of another port", format!("Origin: http://localhost:{port}\r\n{json}"), 403),
        ("no origin to speak of", format!("Origin: null\r\n{json}"), 403),
        ("TLS that is not there", format!("Origin: https://{}\r\n{json}", site.host), 403),
        ("plain text", format!("{origin}Content-Type: text/plain\r\n"), 415),
        ("a form", format!("{origin}Content-Type: application/x-www-form-urlencoded\r\n"), 415),
        ("no type", origin.clone(), 415),
        ("as the script sends it", format!("{origin}{json}"), 200),
    ] {
        assert_eq!(site.post_with("/api/run", &headers, run).status, status, "{what}");
    }
    assert_eq!(site.post("/api/run", "{\"job\":").status, 400);
    assert_eq!(site.post("/api/nothing", run).status, 404);
    for method in ["PUT", "DELETE", "OPTIONS", "TRACE"] {
        let request = format!("{method} / HTTP/1.1\r\n{host}{cookie}Connection: close\r\n\r\n");
        assert_eq!(site.send(&request).status, 405, "{method}");
    }
    let request = format!("GET /api/run HTTP/1.1\r\n{host}{cookie}Connection: close\r\n\r\n");
    assert_eq!(site.send(&request).status, 405, "a GET changes nothing");
    // Only the last of them ran.
    Deadline::seconds(20).wait_for("one run", || {
        let runs = world.run("cronctl history alice:hello --json").stdout;
        assert!(runs.lines().count() < 2, "{runs}");
        runs.contains("\"ok\"").then_some(())
    });
}

#[test]
fn the_address_works_once_and_headers_are_strict() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let site = Site::start(&world, "root", "");
    let host = site.host.split(':').next().unwrap().to_owned();
    assert!(host.ends_with(".localhost") && host.len() > 20, "{host}");
    let port = site.host.rsplit_once(':').unwrap().1;
    let wrong = format!("GET /open?token=0 HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", site.host);
    assert_eq!(site.send(&wrong).status, 401);
    let token = site.address.split_once("/open").unwrap().1;
    for (method, host) in [("HEAD", site.host.clone()), ("GET", format!("localhost:{port}"))] {
        let early = format!("{method} /open{token} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = site.send(&early);
        assert_eq!((answer.status, answer.header("set-cookie")), (401, None), "{method} {host}");
    }
    let first = site.open();
    assert_eq!((first.status, first.header("location")), (303, Some("/")));
    let cookie = first.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && cookie.contains("Path=/"), "{cookie}");
    assert_eq!(site.open().status, 401, "it has been used");
    let page = site.send(&format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\nConnection: close\r\n\r\n",
        site.host,
        cookie.split(';').next().unwrap()
    ));
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    // The page has nothing that the policy forbids, nor anything of another origin.
    for forbidden in [" style=", "<style", " onclick", "javascript:", "src=\"http", "href=\"http", "token="] {
        assert!(!page.body.contains(forbidden), "{forbidden}: {}", page.body);
    }
    for path in ["/style.css", "/app.js", "/icon.svg"] {
        let asset = site.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n"));
        let tag = asset.header("etag").unwrap();
        let again = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nIf-None-Match: {tag}\r\nConnection: close\r\n\r\n"
        );
        assert_eq!((asset.status, site.send(&again).status), (200, 304), "{path}");
    }
    // A link of another site, or the file that --open makes: the browser sends no strict cookie, and the page opens itself again.
    let from_elsewhere = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nConnection: close\r\n\r\n",
        site.host
    );
    let again = site.send(&from_elsewhere);
    assert!(again.status == 200 && again.body.contains("0; url=/") && !again.body.contains("alice"), "{again:?}");
}

#[test]
fn values_that_cannot_be_read_are_answered_with_a_page() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let site = Site::signed_in(&world, "alice", "");
    for path in ["/job/alice:hello?before=x", "/job/%ff", "/run/x/output"] {
        let page = site.get(path);
        assert!(page.status == 400 && page.body.contains("<nav") && page.body.contains("address"), "{path}: {page:?}");
    }
}

#[test]
fn open_pages_leave_places_for_short_requests() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let site = Site::signed_in(&world, "alice", "");
    let request = format!("GET /events HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n", site.host, site.cookie);
    let open = || {
        let mut stream = site.connect();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        (stream, String::from_utf8_lossy(&head[9..]).into_owned())
    };
    let pages: Vec<(TcpStream, String)> = (0..40).map(|_| open()).collect();
    assert!(pages.iter().all(|(_, status)| status == "200"));
    assert_eq!(open().1, "503");
    assert_eq!((site.get("/healthz").status, site.get("/jobs").status), (200, 200));
    drop(pages);
    Deadline::seconds(30).wait_for("a place", || (open().1 == "200").then_some(()));
}

#[test]
fn what_jobs_and_their_output_contain_stays_text() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let site = Site::signed_in(&world, "root", "");
    world.run("cronctl run --wait alice:hostile").ok();
    let page = site.wait_for("/job/alice:hostile", "\\x1b[31m").body;
    assert!(page.contains("\\x1b[31m&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[0m"), "{page}");
    for path in ["/", "/jobs", "/job/alice:hostile", "/jobs?q=%3Cscript%3E%22", "/timeline", "/job/%3Cscript%3E"] {
        let page = site.get(path).body;
        assert!(!page.contains("<script>") && !page.contains('\x1b'), "{path}: {page}");
    }
}

#[test]
fn large_and_slow_requests_are_cut_off() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let _daemon = prepare(&world);
    let site = Site::signed_in(&world, "root", "");
    let large = format!("GET / HTTP/1.1\r\nHost: {}\r\nX: {}\r\n\r\n", site.host, "x".repeat(64 << 10));
    let refused = site.send(&large).status;
    assert!(refused == 431 || refused == 0, "{refused}");
    let many = format!("GET / HTTP/1.1\r\nHost: {}\r\n{}\r\n", site.host, "X: x\r\n".repeat(200));
    assert_eq!(site.send(&many).status, 431);
    let body = format!("{{\"job\":\"{}\"}}", "x".repeat(128 << 10));
    assert_eq!(site.post("/api/run", &body).status, 413);
    // Connections that send nothing, or half of a head, end; meanwhile there is room for others.
    let mut slow: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(site.socket()).unwrap()).collect();
    for stream in slow.iter_mut().step_by(2) {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: ").unwrap();
    }
    assert_eq!(site.get("/").status, 200);
    for stream in &mut slow {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the end of a slow connection");
    }
    // There are no more connections than the bound; those beyond are closed at once.
    let mut held: Vec<TcpStream> = (0..80).map(|_| TcpStream::connect(site.socket()).unwrap()).collect();
    let closed = held.iter_mut().rev().take(10).all(|stream| {
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        matches!(stream.read(&mut [0; 16]), Ok(0) | Err(_))
    });
    assert!(closed);
    drop(held);
    Deadline::seconds(20).wait_for("room again", || (site.get("/").status == 200).then_some(()));
}

/// What a user gets with curl, or python where there is none.
fn as_user(world: &World, user: &str, site: &Site, headers: &str) -> String {
    let port = site.host.rsplit_once(':').unwrap().1;
    let code = format!(
        "import socket; s = socket.create_connection((\"127.0.0.1\", {port})); \
         s.sendall(b\"GET / HTTP/1.1\\r\\nHost: {}\\r\\n{headers}Connection: close\\r\\n\\r\\n\"); d = b\"\"\n\
         while True:\n  p = s.recv(65536)\n  if not p: break\n  d += p\n\
         print(d.decode())",
        site.host
    );
    world.run_as(user, &format!("python3 -c '{code}'")).stdout
}

#[test]
fn another_user_of_the_machine_is_refused_even_with_the_cookie() {
    let Some(world) = world!(Implementation::OursDebian, ["python3"]) else { return };
    let _daemon = prepare(&world);
    let site = Site::signed_in(&world, "alice", "");
    let cookie = format!("Cookie: {}\\r\\n", site.cookie);
    let own = as_user(&world, "alice", &site, &cookie);
    assert!(own.starts_with("HTTP/1.1 200") && own.contains("Overview"), "{own}");
    for user in ["bob", "root"] {
        let other = as_user(&world, user, &site, &cookie);
        assert!(other.starts_with("HTTP/1.1 403") && other.contains("another user"), "{user}: {other}");
        assert!(!other.contains("hello"), "{user}: {other}");
    }
    // Root's connections, which send nothing, take no place of alice.
    let held: Vec<TcpStream> = (0..80).map(|_| TcpStream::connect(site.socket()).unwrap()).collect();
    assert_eq!(site.get("/").status, 200);
    drop(held);
}
