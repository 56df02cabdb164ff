//! Whether the recorder could use a database, for `crond --check`.

use super::schema;
use super::store::{NAME, StoreError};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// Why the recorder could not use the database in that directory. None: it could, or there is none yet.
pub fn find_fault(directory: &Path) -> Option<String> {
    let path = directory.join(NAME);
    if !path.exists() {
        return None;
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let version = Connection::open_with_flags(&path, flags).and_then(|connection| schema::version(&connection));
    let error = match version {
        Ok(version) if version > schema::VERSION => StoreError::Newer(version),
        Ok(_) => return None,
        Err(error) => StoreError::from(error),
    };
    Some(error.brief())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_a_later_version_and_one_that_is_none_are_faults() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        assert_eq!(find_fault(directory.path()), None);
        Connection::open(&path).unwrap().pragma_update(None, "user_version", schema::VERSION).unwrap();
        assert_eq!(find_fault(directory.path()), None);
        Connection::open(&path).unwrap().pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
        let fault = find_fault(directory.path()).unwrap();
        assert!(fault.contains("install a later version"), "{fault}");
        std::fs::write(&path, "This was a database once. ".repeat(100)).unwrap();
        assert!(find_fault(directory.path()).is_some());
    }
}
