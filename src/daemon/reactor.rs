//! The event sources of a daemon: descriptors in an epoll set, each with the handler that is called when it is ready.

use crate::sys::poll::Poll;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;

/// Most event sources handled in one turn of the loop.
const READY_A_TURN: usize = 32;

/// The identity of an event source, which its handler is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Token(u64);

impl Token {
    /// The token as a number, for a module that numbers what it handles.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The token with that number.
    pub fn of_number(number: u64) -> Token {
        Token(number)
    }
}

/// What a source is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// The descriptor is readable, or closed at the other end.
    Readable,
    /// The descriptor has an exceptional condition, as the mount table has after a change.
    Exception,
}

/// Descriptors and their handlers, of the type `H`.
#[derive(Debug)]
pub struct Reactor<H> {
    poll: Poll,
    handlers: BTreeMap<Token, H>,
    next: u64,
}

impl<H: Copy> Reactor<H> {
    /// A reactor without event sources.
    ///
    /// # Errors
    ///
    /// The process has no descriptor left.
    pub fn new() -> io::Result<Reactor<H>> {
        Ok(Reactor { poll: Poll::new()?, handlers: BTreeMap::new(), next: 0 })
    }

    /// A token that no event source has.
    pub fn new_token(&mut self) -> Token {
        self.next += 1;
        Token(self.next)
    }

    /// Adds an event source: `handler` is called whenever it is ready. Returns its new token.
    ///
    /// # Errors
    ///
    /// The kernel cannot wait for that descriptor.
    pub fn add(&mut self, descriptor: impl AsFd, interest: Interest, handler: H) -> io::Result<Token> {
        let token = self.new_token();
        self.add_as(token, descriptor, interest, handler)?;
        Ok(token)
    }

    /// Adds an event source that comes and goes under a token that it has already.
    ///
    /// # Errors
    ///
    /// The kernel cannot wait for that descriptor.
    pub fn add_as(&mut self, token: Token, descriptor: impl AsFd, interest: Interest, handler: H) -> io::Result<()> {
        match interest {
            Interest::Readable => self.poll.add(descriptor, token.0)?,
            Interest::Exception => self.poll.add_for_exceptions(descriptor, token.0)?,
        }
        self.handlers.insert(token, handler);
        Ok(())
    }

    /// Waits for a readable source to be writable, too, or no longer.
    ///
    /// # Errors
    ///
    /// The descriptor is not that of an event source.
    pub fn set_writable(&self, descriptor: impl AsFd, token: Token, is_wanted: bool) -> io::Result<()> {
        self.poll.want_writable(descriptor, token.0, is_wanted)
    }

    /// Removes an event source. A source whose descriptor is closed is removed from the epoll set by that; see [`Reactor::forget`].
    pub fn remove(&mut self, descriptor: impl AsFd, token: Token) {
        // The descriptor was added, so that it can be removed.
        let _ = self.poll.remove(descriptor);
        self.forget(token);
    }

    /// Drops the handler of a source whose descriptor is closed.
    pub fn forget(&mut self, token: Token) {
        self.handlers.remove(&token);
    }

    /// Waits at most that many milliseconds (none: without a limit) for event sources to be ready.
    ///
    /// # Errors
    ///
    /// The kernel refuses to wait.
    pub fn wait(&self, timeout_ms: Option<u64>) -> io::Result<impl Iterator<Item = Token> + use<H>> {
        Ok(self.poll.wait::<READY_A_TURN>(timeout_ms)?.map(Token))
    }

    /// Waits like [`Reactor::wait`] and handles nothing.
    ///
    /// # Errors
    ///
    /// The kernel refuses to wait.
    pub fn wait_for_any(&self, timeout_ms: Option<u64>) -> io::Result<bool> {
        self.poll.wait_for_any(timeout_ms)
    }

    /// The handler of a source, unless it was removed since it was ready.
    pub fn handler(&self, token: Token) -> Option<H> {
        self.handlers.get(&token).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll::Notifier;

    type Handler = fn(&mut Vec<(&'static str, Token)>, Token);

    fn turn(reactor: &Reactor<Handler>, calls: &mut Vec<(&'static str, Token)>) {
        for token in reactor.wait(Some(0)).unwrap() {
            if let Some(handler) = reactor.handler(token) {
                handler(calls, token);
            }
        }
    }

    #[test]
    fn each_ready_source_has_its_handler_called_with_its_token() {
        let mut reactor: Reactor<Handler> = Reactor::new().unwrap();
        let (first, second) = (Notifier::new().unwrap(), Notifier::new().unwrap());
        let one = reactor.add(&first, Interest::Readable, |calls, token| calls.push(("first", token))).unwrap();
        let two = reactor.add(&second, Interest::Readable, |calls, token| calls.push(("second", token))).unwrap();
        let mut calls = Vec::new();
        turn(&reactor, &mut calls);
        assert_eq!(calls, []);
        second.notify();
        turn(&reactor, &mut calls);
        assert_eq!(calls, [("second", two)]);
        first.notify();
        reactor.remove(&second, two);
        calls.clear();
        turn(&reactor, &mut calls);
        assert_eq!(calls, [("first", one)]);
    }

    #[test]
    fn a_source_can_be_added_again_under_its_token() {
        let mut reactor: Reactor<Handler> = Reactor::new().unwrap();
        let token = reactor.new_token();
        for _ in 0..3 {
            let notifier = Notifier::new().unwrap();
            notifier.notify();
            reactor.add_as(token, &notifier, Interest::Readable, |calls, token| calls.push(("again", token))).unwrap();
            let mut calls = Vec::new();
            turn(&reactor, &mut calls);
            assert_eq!(calls, [("again", token)]);
        }
        assert_eq!(reactor.handlers.len(), 1);
    }

    #[test]
    fn a_source_that_was_removed_in_the_same_turn_is_not_handled() {
        let mut reactor: Reactor<Handler> = Reactor::new().unwrap();
        let notifier = Notifier::new().unwrap();
        notifier.notify();
        let token = reactor.add(&notifier, Interest::Readable, |calls, token| calls.push(("late", token))).unwrap();
        let ready: Vec<Token> = reactor.wait(Some(0)).unwrap().collect();
        assert_eq!(ready, [token]);
        reactor.remove(&notifier, token);
        assert!(reactor.handler(token).is_none());
    }
}
