//! What happens and what runs write, as server-sent events, while a page is open.

use super::address::Named;
use super::app::Shared;
use super::backend::{Backend, PageError, fault};
use super::output::SplitCharacters;
use super::page::status_of;
use crate::control::{Client, ClientError};
use crate::varlink::cron::{Event, Filter, ListArguments, OutputArguments, OutputPart};
use crate::varlink::{Call, FrameReader, Reply, ReplyError, cron};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde_json::json;
use std::convert::Infallible;
use std::io;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::timeout;

/// How often a client gets a comment if there is no event, so that one that has gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Events that a slow page may be behind.
const BEHIND: usize = 64;
/// Bytes of output that one stream sends.
const MOST_OUTPUT: usize = 8 << 20;

/// Replies to a call that come over a long time.
struct Replies {
    socket: UnixStream,
    reader: FrameReader,
}

impl Replies {
    fn new(client: Client) -> io::Result<Replies> {
        let (socket, reader) = client.into_parts();
        socket.set_nonblocking(true)?;
        Ok(Replies { socket: UnixStream::from_std(socket)?, reader })
    }

    /// The next reply. Giving up this future loses nothing.
    async fn next(&mut self) -> Result<Reply, ClientError> {
        let mut piece = [0; 16 << 10];
        loop {
            let message = self.reader.next_message().map_err(|why| ReplyError::Unexpected { why: why.to_string() })?;
            if let Some(message) = message {
                return Ok(Reply::parse(&message)?);
            }
            self.socket.readable().await?;
            match self.socket.try_read(&mut piece) {
                Ok(0) => return Err(ClientError::Closed),
                Ok(count) => self
                    .reader
                    .push(piece.get(..count).unwrap_or_default())
                    .map_err(|why| ReplyError::Unexpected { why: why.to_string() })?,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Begins a call with several replies, on a connection of its own, unless `check` refuses it.
async fn begin(
    app: &Shared,
    call: Call,
    check: impl FnOnce(&mut Backend) -> Result<(), PageError> + Send + 'static,
) -> Result<Replies, PageError> {
    let client = app
        .ask(move |_, daemon| {
            check(daemon)?;
            let mut client = daemon.another()?.into_client();
            client.set_timeout(None).and_then(|()| client.send(&call)).map_err(|why| fault(why.into()))?;
            Ok(client)
        })
        .await?;
    Replies::new(client).map_err(|why| fault(why.into()))
}

/// The bytes of one server-sent event (`text/event-stream`).
fn event(name: &str, data: &serde_json::Value) -> Bytes {
    // JSON has no line ends outside of texts, and none as such inside.
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

fn stream(body: Body) -> Response {
    // A server in front must not collect it (nginx).
    let about =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::HeaderName::from_static("x-accel-buffering"), "no")];
    (about, body).into_response()
}

fn refuse(fault: &PageError) -> Response {
    (status_of(fault), format!("{fault}\n")).into_response()
}

/// What happens, for the pages that show it. All share one connection to the daemon, which lasts as long as one of them is open.
pub async fn events(State(app): State<Shared>) -> Response {
    let place = match app.listener_place() {
        Ok(place) => place,
        Err(fault) => return refuse(&fault),
    };
    match subscribe(&app).await {
        Ok(receiver) => {
            let hello = Some(Bytes::from_static(b"retry: 3000\n\n"));
            stream(Body::from_stream(unfold((receiver, hello, place), |(mut receiver, hello, place)| async {
                if let Some(hello) = hello {
                    return Some((Ok::<_, Infallible>(hello), (receiver, None, place)));
                }
                let bytes = match timeout(KEEP_ALIVE, receiver.recv()).await {
                    Ok(Ok(bytes)) => bytes,
                    Ok(Err(broadcast::error::RecvError::Lagged(_))) => event("change", &json!({})),
                    Ok(Err(broadcast::error::RecvError::Closed)) => return None,
                    Err(_) => Bytes::from_static(b": nothing\n\n"),
                };
                Some((Ok(bytes), (receiver, None, place)))
            })))
        }
        Err(fault) => refuse(&fault),
    }
}

async fn subscribe(app: &Shared) -> Result<broadcast::Receiver<Bytes>, PageError> {
    let mut events = app.events.lock().await;
    if let Some(sender) = events.as_ref() {
        return Ok(sender.subscribe());
    }
    let filter = app.user.only.clone().map(|user| Filter { user: Some(user), ..Filter::default() });
    let call = Call { more: true, ..Call::new(format!("{}.Events", cron::INTERFACE), &ListArguments { filter }) };
    let mut replies = begin(app, call, |_| Ok(())).await?;
    let (sender, receiver) = broadcast::channel(BEHIND);
    *events = Some(sender.clone());
    let app = std::sync::Arc::clone(app);
    tokio::spawn(async move {
        loop {
            match timeout(KEEP_ALIVE, replies.next()).await {
                Ok(Ok(reply)) if reply.error.is_some() => break,
                Ok(Ok(reply)) => {
                    let Ok(Event { event: name, job, run, .. }) = reply.result::<Event>() else { continue };
                    // Fails without a page, which is examined below.
                    let _ = sender.send(event("change", &json!({ "event": name, "job": job, "run": run })));
                }
                // The daemon has gone. The pages ask again and say so.
                Ok(Err(_)) => break,
                Err(_) => {}
            }
            if sender.receiver_count() == 0 {
                // With the lock, so that no page is added meanwhile.
                let mut events = app.events.lock().await;
                if sender.receiver_count() == 0 {
                    *events = None;
                    return;
                }
            }
        }
        *app.events.lock().await = None;
    });
    Ok(receiver)
}

/// The state of a stream of output.
struct Following {
    replies: Replies,
    /// Whether the stream has ended.
    is_over: bool,
    sent: usize,
    split_characters: SplitCharacters,
    _place: OwnedSemaphorePermit,
}

/// What a run writes, from its beginning until its end.
pub async fn output(State(app): State<Shared>, Named(run): Named<u64>) -> Response {
    let place = match app.stream_place() {
        Ok(place) => place,
        Err(fault) => return refuse(&fault),
    };
    let arguments = OutputArguments { run, follow: Some(true) };
    let call = Call { more: true, ..Call::new(format!("{}.Output", cron::INTERFACE), &arguments) };
    match begin(&app, call, move |daemon| daemon.require_shown_run(run)).await {
        Ok(replies) => {
            let following = Following {
                replies,
                is_over: false,
                sent: 0,
                split_characters: SplitCharacters::default(),
                _place: place,
            };
            stream(Body::from_stream(unfold(following, follow)))
        }
        Err(fault) => refuse(&fault),
    }
}

async fn follow(mut following: Following) -> Option<(Result<Bytes, Infallible>, Following)> {
    if following.is_over {
        return None;
    }
    let bytes = match timeout(KEEP_ALIVE, following.replies.next()).await {
        Err(_) => Bytes::from_static(b": nothing\n\n"),
        Ok(Ok(reply)) if following.sent < MOST_OUTPUT => {
            following.is_over = !reply.continues;
            let mut bytes = Vec::new();
            if let Ok(part) = reply.result::<OutputPart>() {
                let (is_error, text) = following.split_characters.text(&part);
                following.sent += text.len();
                bytes.extend(event("output", &json!({ "error": is_error, "text": text })));
            }
            if following.is_over {
                for (is_error, text) in following.split_characters.rest() {
                    bytes.extend(event("output", &json!({ "error": is_error, "text": text })));
                }
                bytes.extend(event("end", &json!({})));
            }
            bytes.into()
        }
        Ok(Ok(_)) => {
            following.is_over = true;
            event("cut", &json!({}))
        }
        Ok(Err(_)) => {
            following.is_over = true;
            event("end", &json!({}))
        }
    };
    Some((Ok(bytes), following))
}
