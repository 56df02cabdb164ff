//! Failed system calls, with the operation that they were part of.

use super::files::reason;
use std::io;
use std::path::{Path, PathBuf};

/// An error of the kernel. It is displayed as strerror(3) has it, without Rust's `(os error 2)`: the type for errors that users read.
#[derive(Debug)]
pub struct OsError(io::Error);

impl std::fmt::Display for OsError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&reason(&self.0))
    }
}

impl std::error::Error for OsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl std::ops::Deref for OsError {
    type Target = io::Error;

    fn deref(&self) -> &io::Error {
        &self.0
    }
}

impl<E: Into<io::Error>> From<E> for OsError {
    fn from(error: E) -> OsError {
        OsError(error.into())
    }
}

/// A failed system call. It is displayed as `OPERATION: ERROR`.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {}", reason(source))]
pub struct Error {
    /// The operation, for example `forking the executor`.
    pub doing: &'static str,
    /// The error of the kernel.
    pub source: OsError,
}

/// Adds the operation to an error, for `map_err`.
pub fn os<E: Into<io::Error>>(doing: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error { doing, source: OsError::from(source) }
}

/// A failed system call on a file. It is displayed as `OPERATION PATH: ERROR`.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}: {source}", path.display())]
pub struct PathError {
    /// The operation, for example `opening`.
    pub doing: &'static str,
    /// The file or directory that was being used.
    pub path: PathBuf,
    /// The error of the kernel.
    pub source: OsError,
}

/// Adds the operation and the path to an error, for `map_err`.
pub fn os_at<'a, E: Into<io::Error> + 'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(E) -> PathError + 'a {
    move |source| PathError { doing, path: path.to_owned(), source: OsError::from(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_operation_and_the_file() {
        let error = || io::Error::from_raw_os_error(libc::ENOENT);
        assert_eq!(os("forking")(error()).to_string(), "forking: No such file or directory");
        let at = os_at("opening", Path::new("/run/x"))(error());
        assert_eq!(at.to_string(), "opening /run/x: No such file or directory");
    }
}
