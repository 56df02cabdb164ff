//! A connection that ends when its client does not read what it is sent.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a write may wait for the client.
const TIMEOUT: Duration = Duration::from_secs(20);
/// How long it may take until all that is to be sent has been sent: a client that reads a byte now and then holds an answer no longer than that. Of a
/// stream of events this is the time for what has happened so far.
const LONGEST: Duration = Duration::from_secs(120);

/// A connection with that limit.
#[derive(Debug)]
pub struct StallLimit<S> {
    stream: S,
    /// Runs while a write waits.
    waits: Option<Pin<Box<Sleep>>>,
    /// Runs from the first write that waits until nothing is left to send.
    sends: Option<Pin<Box<Sleep>>>,
}

impl<S> StallLimit<S> {
    /// Wraps a connection, which then fails when its client stops reading.
    pub fn new(stream: S) -> StallLimit<S> {
        StallLimit { stream, waits: None, sends: None }
    }

    /// Passes on the result of a write, and fails when it has waited too long.
    fn limit<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Some(sends) = &mut self.sends
            && sends.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if written.is_ready() {
            self.waits = None;
            return written;
        }
        self.sends.get_or_insert_with(|| Box::pin(sleep(LONGEST)));
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(TIMEOUT)));
        ready!(waits.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallLimit<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallLimit<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let limited = self.get_mut();
        let written = Pin::new(&mut limited.stream).poll_write(context, bytes);
        limited.limit(context, written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let limited = self.get_mut();
        let flushed = Pin::new(&mut limited.stream).poll_flush(context);
        // The server flushes when it has written all that it has.
        if matches!(flushed, Poll::Ready(Ok(()))) {
            limited.sends = None;
        }
        limited.limit(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let limited = self.get_mut();
        let shut = Pin::new(&mut limited.stream).poll_shutdown(context);
        limited.limit(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    /// Takes a byte a moment, and nothing in between.
    struct Slow(bool);

    impl AsyncWrite for Slow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            self.0 = !self.0;
            if self.0 { Poll::Pending } else { Poll::Ready(Ok(1)) }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_client_that_reads_a_byte_now_and_then_has_a_limit() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut limited = StallLimit::new(Slow(false));
            let mut write =
                async || poll_fn(|context| Poll::Ready(Pin::new(&mut limited).poll_write(context, b"xx"))).await;
            assert!(write().await.is_pending());
            assert!(matches!(write().await, Poll::Ready(Ok(1))));
            let at = limited.sends.as_ref().expect("a limit").deadline();
            assert!(limited.waits.is_none());
            // What has been sent counts when all of it has been.
            poll_fn(|context| Pin::new(&mut limited).poll_flush(context)).await.unwrap();
            assert!(limited.sends.is_none());
            let mut write =
                async || poll_fn(|context| Poll::Ready(Pin::new(&mut limited).poll_write(context, b"xx"))).await;
            assert!(write().await.is_pending());
            assert!(at.elapsed() < LONGEST);
            limited.sends.as_mut().expect("a limit").as_mut().reset(tokio::time::Instant::now());
            let mut write =
                async || poll_fn(|context| Poll::Ready(Pin::new(&mut limited).poll_write(context, b"xx"))).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            assert!(matches!(write().await, Poll::Ready(Err(why)) if why.kind() == io::ErrorKind::TimedOut));
        });
    }
}
