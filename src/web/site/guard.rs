//! Decides about each request before a handler sees it, and sets the headers of each response.

use super::app::{App, Shared, Transport};
use super::page;
use super::session::Session;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Paths that are served without a token, since they show nothing private.
const OPEN: [&str; 6] = ["/healthz", "/style.css", "/app.js", "/icon.svg", "/favicon.ico", "/open"];
/// Paths for programs, which send a token in place of the cookie.
const FOR_PROGRAMS: [&str; 2] = ["/metrics", "/calendar.ics"];

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The `Host` header is missing, double or foreign.
    Host,
    /// There is no cookie, or a wrong one.
    NoCookie,
    /// The same for a page that was opened from elsewhere, where browsers send no strict cookie.
    FromElsewhere,
    /// Only GET, HEAD and POST are used.
    Method,
    /// A POST from a page of another origin, or from none.
    Origin,
    /// A POST that is not JSON, as forms of other sites can send it.
    ContentType,
    /// The token of `--token-file` is missing or wrong, on a Unix socket.
    NoToken,
    /// The process at the other end belongs to another user.
    OtherUser,
}

/// Lets a request through or refuses it.
pub async fn guard(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let mut response = match check(&app.transport, &request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.response(&app),
    };
    set_headers(response.headers_mut());
    response
}

/// The only response to processes of other users.
pub async fn refuse_other_user(State(app): State<Shared>) -> Response {
    let mut response = Refusal::OtherUser.response(&app);
    set_headers(response.headers_mut());
    response
}

fn set_headers(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

fn check(transport: &Transport, request: &Request) -> Result<(), Refusal> {
    let (headers, path) = (request.headers(), request.uri().path());
    let host = only(headers, &header::HOST).and_then(|host| host.to_str().ok()).ok_or(Refusal::Host)?;
    // With a full address in the request line, that one counts.
    let is_other = request.uri().authority().is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(host));
    if is_other || !serves(transport, host) {
        return Err(Refusal::Host);
    }
    let is_post = *request.method() == Method::POST;
    if !is_post && *request.method() != Method::GET && *request.method() != Method::HEAD {
        return Err(Refusal::Method);
    }
    if !is_post && OPEN.contains(&path) {
        return Ok(());
    }
    let is_for_programs = !is_post && FOR_PROGRAMS.contains(&path);
    let authorization = only(headers, &header::AUTHORIZATION).map(HeaderValue::as_bytes);
    match transport {
        Transport::Loopback { session, .. } => {
            let cookies = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
            let is_program = is_for_programs && authorization.is_some_and(|token| session.has_bearer(token));
            if !is_program && !session.has_cookie(cookies) {
                let is_new = is_from_elsewhere(headers) && path == "/";
                return Err(if is_new { Refusal::FromElsewhere } else { Refusal::NoCookie });
            }
        }
        Transport::Unix { bearer, .. } => {
            let has_token = bearer.as_ref().is_none_or(|bearer| authorization.is_some_and(|token| bearer.is_in(token)));
            if is_for_programs && !has_token {
                return Err(Refusal::NoToken);
            }
        }
    }
    if is_post {
        let origin = only(headers, &header::ORIGIN).and_then(|origin| origin.to_str().ok());
        if !origin.is_some_and(|origin| is_own_origin(transport, origin, host)) {
            return Err(Refusal::Origin);
        }
        let kind = only(headers, &header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Refusal::ContentType);
        }
    }
    Ok(())
}

/// The value of a header that is there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether a `Host` header names this server.
fn serves(transport: &Transport, host: &str) -> bool {
    match transport {
        Transport::Loopback { port, session } => {
            [session.host.as_str(), "localhost", "127.0.0.1", "[::1]"].into_iter().any(|name| is_at(host, name, *port))
        }
        Transport::Unix { names, .. } => {
            let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
            let name = name.map_or(host, |(name, _)| name);
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
            !name.is_empty()
                && name.bytes().all(is_name)
                && (names.is_empty() || names.iter().any(|own| own.eq_ignore_ascii_case(name)))
        }
    }
}

/// Whether a `Host` header is this name with this port.
fn is_at(host: &str, name: &str, port: u16) -> bool {
    let (given, rest) = host.split_at_checked(name.len()).unwrap_or_default();
    given.eq_ignore_ascii_case(name)
        && (rest.strip_prefix(':') == Some(port.to_string().as_str()) || (port == 80 && rest.is_empty()))
}

/// Whether a request may use up the one-time token: the cookie is for the random name alone, since others on this machine share `localhost`, and
/// programs that look at a link first send HEAD.
pub fn may_sign_in(port: u16, session: &Session, method: &Method, headers: &HeaderMap) -> bool {
    let host = only(headers, &header::HOST).and_then(|host| host.to_str().ok());
    *method == Method::GET && host.is_some_and(|host| is_at(host, &session.host, port))
}

/// Whether a page with that origin comes from this server. A server in front may have TLS.
fn is_own_origin(transport: &Transport, origin: &str, host: &str) -> bool {
    let behind = |scheme: &str| origin.strip_prefix(scheme).is_some_and(|rest| rest.eq_ignore_ascii_case(host));
    behind("http://") || (matches!(transport, Transport::Unix { .. }) && behind("https://"))
}

/// Whether a browser says that somebody has followed a link of another site, or a file.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let has = |name: &str, wanted: &[&str]| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| wanted.contains(&value))
    };
    has("sec-fetch-site", &["cross-site", "same-site"]) && has("sec-fetch-mode", &["navigate"])
}

impl Refusal {
    fn response(self, app: &App) -> Response {
        let (status, title, text) = match self {
            Refusal::Host => {
                (StatusCode::FORBIDDEN, "Unknown host", "This server does not serve the host name of the request.")
            }
            Refusal::NoCookie => (
                StatusCode::UNAUTHORIZED,
                "Not signed in",
                "Open the address that cronctl web has printed. It works once; to get a new one, start cronctl web again.",
            ),
            // The page that opens itself again is one of this site, so that the browser sends the cookie.
            Refusal::FromElsewhere => {
                return (StatusCode::OK, axum::response::Html(page::continue_here(app).into_string())).into_response();
            }
            Refusal::Method => (StatusCode::METHOD_NOT_ALLOWED, "Unknown method", "Expected GET, HEAD or POST."),
            Refusal::Origin => (
                StatusCode::FORBIDDEN,
                "Foreign origin",
                "Requests that change something are accepted from pages of this server only (header Origin).",
            ),
            Refusal::ContentType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Not JSON", "Expected the content type application/json.")
            }
            Refusal::NoToken => (
                StatusCode::UNAUTHORIZED,
                "No token",
                "Expected the first line of the file of --token-file (Authorization: Bearer).",
            ),
            Refusal::OtherUser => (
                StatusCode::FORBIDDEN,
                "Another user's page",
                "This page belongs to another user of this machine. Run cronctl web yourself.",
            ),
        };
        (status, axum::response::Html(page::plain_error(app, title, text).into_string())).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::site::session::Bearer;
    use axum::body::Body;

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    #[test]
    fn what_comes_through_on_loopback() {
        let session = Session::new(Some("scrape".to_owned())).unwrap();
        let cookie = session.redeem(&session.token().unwrap()).unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let own = format!("{}:8080", session.host);
        let origin = format!("http://{own}");
        let transport = Transport::Loopback { port: 8080, session };
        let (host, cookie, origin) = (("host", own.as_str()), ("cookie", cookie.as_str()), ("origin", origin.as_str()));
        let json = ("content-type", "application/json");
        for (method, path, headers, expected) in [
            ("GET", "/", vec![host, cookie], Ok(())),
            ("GET", "/", vec![("host", "localhost:8080"), cookie], Ok(())),
            ("GET", "/", vec![cookie], Err(Refusal::Host)),
            ("GET", "/", vec![host, host, cookie], Err(Refusal::Host)),
            ("GET", "/", vec![("host", "evil.example:8080"), cookie], Err(Refusal::Host)),
            ("GET", "/", vec![("host", "localhost:80"), cookie], Err(Refusal::Host)),
            ("GET", "/", vec![("host", "localhost:8080.evil"), cookie], Err(Refusal::Host)),
            ("GET", "http://evil.example/", vec![host, cookie], Err(Refusal::Host)),
            ("GET", "/healthz", vec![("host", "evil.example"), cookie], Err(Refusal::Host)),
            ("GET", "/healthz", vec![("host", "127.0.0.1:8080")], Ok(())),
            ("GET", "/", vec![host], Err(Refusal::NoCookie)),
            ("GET", "/", vec![host, ("cookie", "cronwheel=0")], Err(Refusal::NoCookie)),
            (
                "GET",
                "/",
                vec![host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
                Err(Refusal::FromElsewhere),
            ),
            ("GET", "/metrics", vec![host, ("authorization", "Bearer scrape")], Ok(())),
            ("GET", "/metrics", vec![host, ("authorization", "Bearer other")], Err(Refusal::NoCookie)),
            ("GET", "/jobs", vec![host, ("authorization", "Bearer scrape")], Err(Refusal::NoCookie)),
            ("POST", "/api/run", vec![host, ("authorization", "Bearer scrape"), origin, json], Err(Refusal::NoCookie)),
            ("POST", "/api/run", vec![host, cookie, origin, json], Ok(())),
            ("POST", "/healthz", vec![host, origin, json], Err(Refusal::NoCookie)),
            ("POST", "/api/run", vec![host, cookie, json], Err(Refusal::Origin)),
            ("POST", "/api/run", vec![host, cookie, ("origin", "null"), json], Err(Refusal::Origin)),
            ("POST", "/api/run", vec![host, cookie, ("origin", "http://localhost:8080"), json], Err(Refusal::Origin)),
            ("POST", "/api/run", vec![host, cookie, origin], Err(Refusal::ContentType)),
            ("POST", "/api/run", vec![host, cookie, origin, ("content-type", "text/plain")], Err(Refusal::ContentType)),
            ("PUT", "/api/run", vec![host, cookie, origin, json], Err(Refusal::Method)),
        ] {
            assert_eq!(check(&transport, &request(method, path, &headers)), expected, "{method} {path} {headers:?}");
        }
    }

    #[test]
    fn a_unix_socket_needs_no_cookie_and_may_have_names() {
        let open = Transport::Unix { names: Vec::new(), bearer: None };
        let named = Transport::Unix { names: vec!["cron.example.org".to_owned()], bearer: None };
        let get = |host| request("GET", "/", &[("host", host)]);
        assert_eq!(check(&open, &get("anything")), Ok(()));
        assert_eq!(check(&open, &get("a/b")), Err(Refusal::Host));
        assert_eq!(check(&named, &get("cron.example.org:443")), Ok(()));
        assert_eq!(check(&named, &get("evil.example")), Err(Refusal::Host));
        let post = |origin| {
            request(
                "POST",
                "/api/run",
                &[("host", "x"), ("origin", origin), ("content-type", "application/json; charset=utf-8")],
            )
        };
        assert_eq!(check(&open, &post("https://x")), Ok(()));
        assert_eq!(check(&open, &post("https://evil.example")), Err(Refusal::Origin));
        let guarded = Transport::Unix { names: Vec::new(), bearer: Some(Bearer::new("scrape".to_owned())) };
        let metrics = |token: &str| request("GET", "/metrics", &[("host", "x"), ("authorization", token)]);
        assert_eq!(check(&guarded, &metrics("Bearer scrape")), Ok(()));
        assert_eq!(check(&guarded, &metrics("Bearer other")), Err(Refusal::NoToken));
        assert_eq!(check(&guarded, &request("HEAD", "/calendar.ics", &[("host", "x")])), Err(Refusal::NoToken));
        assert_eq!(check(&guarded, &get("x")), Ok(()));
    }

    #[test]
    fn the_token_is_for_a_get_with_the_random_name() {
        let session = Session::new(None).unwrap();
        let own = format!("{}:8080", session.host);
        for (method, host, expected) in [
            (Method::GET, own.as_str(), true),
            (Method::HEAD, own.as_str(), false),
            (Method::GET, "localhost:8080", false),
            (Method::GET, "127.0.0.1:8080", false),
            (Method::GET, session.host.as_str(), false),
        ] {
            let request = request("GET", "/open", &[("host", host)]);
            assert_eq!(may_sign_in(8080, &session, &method, request.headers()), expected, "{method} {host}");
        }
        let request = request("GET", "/open", &[("host", session.host.as_str())]);
        assert!(may_sign_in(80, &session, &Method::GET, request.headers()));
    }
}
