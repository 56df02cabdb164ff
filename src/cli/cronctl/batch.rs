//! Batch mode: reads questions and writes answers line by line, for programs that ask many.

use super::error::Error;
use super::output::Output;
use crate::crontab::OutOfMemory;
use crate::schedule::TimeError;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::io::Read;

/// How many bytes of standard input are read at a time.
const PIECE: usize = 64 << 10;

/// Passes each line of standard input to `answer`, which writes one line. Answers are written before more input is waited
/// for, so that a program may ask one query at a time.
pub(super) fn answer_lines(out: &mut Output, mut answer: impl FnMut(&[u8], &mut Vec<u8>)) -> Result<(), Error> {
    let failed = |source| Error::Read { name: "standard input".to_owned(), source };
    let mut stdin = std::io::stdin().lock();
    let mut piece = vec![0; PIECE];
    // An incomplete line.
    let mut begun: Vec<u8> = Vec::new();
    loop {
        let length = match stdin.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error.into())),
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

/// Why a query cannot be answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    #[error("this line is not JSON: {0}")]
    NotJson(serde_json::Error),
    /// The line is JSON, but not an object.
    #[error("this line is not a JSON object")]
    NotAnObject,
    /// A member that the request needs is missing.
    #[error("there is no {0:?}")]
    Missing(&'static str),
    /// A member has the wrong type.
    #[error("{name:?} is not {expected}")]
    WrongType {
        name: &'static str,
        /// The expected type: `a string`.
        expected: &'static str,
    },
    /// A schedule has an error.
    #[error("{0}")]
    Schedule(String),
    /// There is no time zone of this name.
    #[error("there is no time zone {0:?}")]
    UnknownZone(String),
    /// The text is not an RFC 3339 time.
    #[error(transparent)]
    Time(#[from] TimeError),
    /// The form is neither user nor system.
    #[error("\"kind\" is user or system, not {0:?}")]
    Kind(String),
    /// Both `text` and `line` are given.
    #[error("there are both \"text\" and \"line\"")]
    TwoTexts,
    /// There is not enough memory for the crontab.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
}

/// Parses a line as an object of type `T`.
pub(super) fn object<'a, T: serde::Deserialize<'a>>(line: &'a [u8]) -> Result<T, BatchError> {
    // A derived deserializer accepts arrays too, which is not part of the interface.
    let object = line.trim_ascii_start().starts_with(b"{");
    match serde_json::from_slice(line) {
        Ok(query) if object => Ok(query),
        Err(error) if object => Err(BatchError::NotJson(error)),
        _ => match serde_json::from_slice::<serde::de::IgnoredAny>(line) {
            Ok(_) => Err(BatchError::NotAnObject),
            Err(error) => Err(BatchError::NotJson(error)),
        },
    }
}

/// Reads a member of an object. `null` counts as missing.
pub(super) fn member<T: DeserializeOwned>(
    raw: Option<&RawValue>,
    name: &'static str,
    expected: &'static str,
) -> Result<Option<T>, BatchError> {
    raw.map(|raw| serde_json::from_str(raw.get()).map_err(|_| BatchError::WrongType { name, expected })).transpose()
}

/// Writes the beginning of an answer: `{"id":7`, with the id as it was given.
pub(super) fn begin(id: Option<&RawValue>, into: &mut Vec<u8>) {
    into.extend_from_slice(b"{\"id\":");
    into.extend_from_slice(id.map_or("null", RawValue::get).as_bytes());
}

/// Writes the answer to an invalid query: `{"id":7,"error":"..."}`.
pub(super) fn refuse(id: Option<&RawValue>, error: &BatchError, into: &mut Vec<u8>) {
    begin(id, into);
    into.extend_from_slice(b",\"error\":");
    value(&error.to_string(), into);
    into.extend_from_slice(b"}\n");
}

/// Writes any value as JSON.
pub(super) fn value(value: &(impl serde::Serialize + ?Sized), into: &mut Vec<u8>) {
    // Writing to a Vec cannot fail, and all keys are text.
    let _ = serde_json::to_writer(into, value);
}
