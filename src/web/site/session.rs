//! Who may see the pages on loopback: whoever has the cookie, which the one-time address gives, or for some addresses a token of a file.

use crate::sys::files;
use std::io;
use std::sync::{Mutex, PoisonError};

/// The name of the cookie.
const COOKIE: &str = "cronwheel";

/// A random text that nobody can guess, or one of a file.
#[derive(Clone)]
struct Secret(String);

/// The secrets of one server.
#[derive(Debug)]
pub struct Session {
    /// The host name of the one-time address. Cookies do not depend on the port, so that with a fixed name another program on loopback
    /// could see this one.
    pub host: String,
    /// The part of the one-time address that is used up once.
    token: Mutex<Option<Secret>>,
    cookie: Secret,
    /// What programs send for the metrics and the calendar.
    bearer: Option<Bearer>,
}

/// What programs send for the metrics and the calendar.
#[derive(Debug)]
pub struct Bearer(Secret);

impl Session {
    /// Draws new secrets.
    ///
    /// # Errors
    ///
    /// The kernel has no random numbers.
    pub fn new(bearer: Option<String>) -> io::Result<Session> {
        let token = Mutex::new(Some(Secret::draw(32)?));
        let host = format!("{}.localhost", Secret::draw(8)?.0);
        Ok(Session { host, token, cookie: Secret::draw(32)?, bearer: bearer.map(Bearer::new) })
    }

    /// The one-time token, if it is still unused.
    pub fn token(&self) -> Option<String> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|token| token.0.clone())
    }

    /// Uses up the one-time token. The value of a `Set-Cookie` header, if it was the right one.
    pub fn redeem(&self, given: &str) -> Option<String> {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if !token.as_ref()?.is(given) {
            return None;
        }
        *token = None;
        Some(format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict", self.cookie.0))
    }

    /// Whether one of the cookies in these headers is the right one.
    pub fn has_cookie<'a>(&self, headers: impl Iterator<Item = &'a [u8]>) -> bool {
        let texts = headers.filter_map(|header| std::str::from_utf8(header).ok());
        let mut cookies = texts.flat_map(|text| text.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        cookies.any(|(name, value)| name == COOKIE && self.cookie.is(value))
    }

    /// Whether an `Authorization` header has the token of the file.
    pub fn has_bearer(&self, header: &[u8]) -> bool {
        self.bearer.as_ref().is_some_and(|bearer| bearer.is_in(header))
    }
}

impl Bearer {
    /// The token of a file.
    pub fn new(token: String) -> Bearer {
        Bearer(Secret(token))
    }

    /// Whether an `Authorization` header has it.
    pub fn is_in(&self, header: &[u8]) -> bool {
        let given = std::str::from_utf8(header).ok().and_then(|text| text.split_once(' '));
        let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        given.is_some_and(|given| self.0.is(given))
    }
}

impl Secret {
    fn draw(bytes: usize) -> io::Result<Secret> {
        let mut random = vec![0; bytes];
        files::randomize(&mut random)?;
        Ok(Secret(random.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Compares in a time that does not depend on where they differ.
    fn is(&self, given: &str) -> bool {
        let (own, given) = (self.0.as_bytes(), given.as_bytes());
        own.len() == given.len() && own.iter().zip(given).fold(0, |all, (one, other)| all | (one ^ other)) == 0
    }
}

/// Secrets are not written to logs.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_used_up_and_gives_a_cookie() {
        let session = Session::new(Some("from-a-file".to_owned())).unwrap();
        let token = session.token().unwrap();
        assert_eq!((token.len(), session.host.ends_with(".localhost")), (64, true));
        assert_eq!(session.redeem("wrong"), None);
        let cookie = session.redeem(&token).unwrap();
        assert_eq!((session.redeem(&token), session.token()), (None, None));
        let pair = cookie.split(';').next().unwrap();
        let other = format!("a=b; {pair}");
        assert!(session.has_cookie([pair.as_bytes()].into_iter()));
        assert!(session.has_cookie([b"x".as_slice(), other.as_bytes()].into_iter()));
        assert!(!session.has_cookie([b"cronwheel=".as_slice(), b"cronwheel"].into_iter()));
        assert!(session.has_bearer(b"Bearer from-a-file") && session.has_bearer(b"bearer  from-a-file"));
        assert!(!session.has_bearer(b"Bearer ") && !session.has_bearer(b"from-a-file"));
        assert!(!Session::new(None).unwrap().has_bearer(b"Bearer "));
        assert!(!format!("{session:?}").contains(&token));
    }
}
