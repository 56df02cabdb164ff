//! Failed system calls, with the operation that they were part of.

use super::files::reason;
use std::io;
use std::path::{Path, PathBuf};

/// A failed system call. It is displayed as `OPERATION: ERROR`, without Rust's `(os error 2)`.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {}", reason(source))]
pub struct Error {
    /// The operation, for example `forking the executor`.
    pub doing: &'static str,
    /// The error of the kernel.
    pub source: io::Error,
}

/// Adds the operation to an error, for `map_err`.
pub fn os<E: Into<io::Error>>(doing: &'static str) -> impl FnOnce(E) -> Error {
    move |source| Error { doing, source: source.into() }
}

/// A failed system call on a file. It is displayed as `OPERATION PATH: ERROR`, without Rust's `(os error 2)`.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}: {}", path.display(), reason(source))]
pub struct PathError {
    /// The operation, for example `opening`.
    pub doing: &'static str,
    /// The file or directory that was being used.
    pub path: PathBuf,
    /// The error of the kernel.
    pub source: io::Error,
}

/// Adds the operation and the path to an error, for `map_err`.
pub fn os_at<'a, E: Into<io::Error> + 'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(E) -> PathError + 'a {
    move |source| PathError { doing, path: path.to_owned(), source: source.into() }
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
