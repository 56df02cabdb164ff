//! Questions and answers line by line, for programs that ask many.

use super::error::Error;
use super::output::Output;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::io::Read;

/// So much is read at once.
const PIECE: usize = 64 << 10;

/// Gives each line of standard input to `answer`, which writes its own line. Whatever has been answered is written before
/// more is waited for, so that a program may ask one question after the other.
pub(super) fn answer_lines(out: &mut Output, mut answer: impl FnMut(&[u8], &mut Vec<u8>)) -> Result<(), Error> {
    let failed = |source| Error::Read { name: "standard input".to_owned(), source };
    let mut stdin = std::io::stdin().lock();
    let mut piece = vec![0; PIECE];
    // The beginning of a line whose end has not been read yet.
    let mut begun: Vec<u8> = Vec::new();
    loop {
        let length = match stdin.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        let mut rest = piece.get(..length).unwrap_or_default();
        while let Some((line, after)) = split_line(rest) {
            if begun.is_empty() {
                answer(line, out.buffer());
            } else {
                begun.extend_from_slice(line);
                answer(&begun, out.buffer());
                begun.clear();
            }
            out.spill()?;
            rest = after;
        }
        begun.extend_from_slice(rest);
        out.flush()?;
    }
    if !begun.is_empty() {
        answer(&begun, out.buffer());
    }
    out.flush()
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', bytes)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswerable {
    /// It is no JSON.
    #[error("this line is not JSON: {0}")]
    NotJson(serde_json::Error),
    /// It is JSON, but no object.
    #[error("this line is not a JSON object")]
    NotAnObject,
    /// A member is not there.
    #[error("there is no {0:?}")]
    Missing(&'static str),
    /// A member has the wrong type.
    #[error("{name:?} is not {expected}")]
    WrongType {
        /// The member.
        name: &'static str,
        /// `a string`.
        expected: &'static str,
    },
    /// A schedule has a fault.
    #[error("{0}")]
    Schedule(String),
    /// A zone that nobody knows.
    #[error("there is no time zone {0:?}")]
    UnknownZone(String),
    /// No moment.
    #[error(transparent)]
    Time(#[from] crate::schedule::TimeError),
    /// Something else than user or system.
    #[error("\"kind\" is user or system, not {0:?}")]
    Kind(String),
    /// Too many tables in one.
    #[error("there are both \"text\" and \"line\"")]
    TwoTexts,
    /// No room for what the table holds.
    #[error(transparent)]
    OutOfMemory(#[from] crate::crontab::OutOfMemory),
}

/// Reads a line as an object of that shape.
pub(super) fn object<'a, T: serde::Deserialize<'a>>(line: &'a [u8]) -> Result<T, Unanswerable> {
    // A derived reader takes arrays too; nobody was promised that.
    let object = line.trim_ascii_start().starts_with(b"{");
    match serde_json::from_slice(line) {
        Ok(question) if object => Ok(question),
        Err(error) if object => Err(Unanswerable::NotJson(error)),
        _ => match serde_json::from_slice::<serde::de::IgnoredAny>(line) {
            Ok(_) => Err(Unanswerable::NotAnObject),
            Err(error) => Err(Unanswerable::NotJson(error)),
        },
    }
}

/// Reads a member of an object; a `null` is as good as none.
pub(super) fn member<T: DeserializeOwned>(
    raw: Option<&RawValue>,
    name: &'static str,
    expected: &'static str,
) -> Result<Option<T>, Unanswerable> {
    raw.map(|raw| serde_json::from_str(raw.get()).map_err(|_| Unanswerable::WrongType { name, expected })).transpose()
}

/// Begins an answer: `{"id":7`, the id as it was given.
pub(super) fn begin(id: Option<&RawValue>, into: &mut Vec<u8>) {
    into.extend_from_slice(b"{\"id\":");
    into.extend_from_slice(id.map_or("null", RawValue::get).as_bytes());
}

/// Writes `{"id":7,"error":"..."}`.
pub(super) fn refuse(id: Option<&RawValue>, error: &Unanswerable, into: &mut Vec<u8>) {
    begin(id, into);
    into.extend_from_slice(b",\"error\":");
    value(&error.to_string(), into);
    into.extend_from_slice(b"}\n");
}

/// Writes any value as JSON.
pub(super) fn value(value: &(impl serde::Serialize + ?Sized), into: &mut Vec<u8>) {
    // A Vec takes everything, and our values have text for keys.
    let _ = serde_json::to_writer(into, value);
}
