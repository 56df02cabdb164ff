//! The tables of the database, and how a database of an earlier version is brought to this one.
//!
//! Names and meanings of the columns of `runs` are those of `RunRecord` in the Varlink interface io.cronwheel.History; times are milliseconds of
//! Unix time. They are documented for people who read the database with sqlite3(1), so that a column is not renamed.

use rusqlite::{Connection, Result};

/// The version that this program writes (PRAGMA user_version).
pub(super) const VERSION: i64 = 3;

/// What each version has added to the one before.
const MIGRATIONS: [&str; VERSION as usize] = [FIRST, SECOND, THIRD];

const FIRST: &str = "
-- One row for each run, and one for slots in a row without a run.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    run INTEGER UNIQUE,
    job TEXT NOT NULL,
    user TEXT NOT NULL,
    uid INTEGER,
    source TEXT NOT NULL,
    line INTEGER NOT NULL,
    command TEXT NOT NULL,
    trigger TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    scheduled_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    duration REAL,
    outcome TEXT NOT NULL,
    reason TEXT,
    exit_code INTEGER,
    signal INTEGER,
    cpu_user REAL,
    cpu_system REAL,
    max_rss INTEGER,
    output_bytes INTEGER NOT NULL DEFAULT 0,
    mail TEXT,
    hooks TEXT,
    count INTEGER NOT NULL DEFAULT 1,
    until INTEGER,
    -- The kernel's id of the boot, and the claim of a job that runs on one host of several.
    boot TEXT,
    fence INTEGER,
    -- The owner of the crontab, who may see the row. NULL: a table of the system.
    owner INTEGER,
    -- When the run was handed to the executor.
    recorded_at INTEGER NOT NULL,
    -- About how many bytes the row takes.
    size INTEGER NOT NULL,
    -- How many bytes between the first and the last ones were not kept.
    output_cut INTEGER,
    output_head BLOB,
    output_tail BLOB
) STRICT;
CREATE INDEX runs_by_time ON runs (scheduled_at);
CREATE INDEX runs_by_job ON runs (job, scheduled_at);
CREATE INDEX runs_by_owner ON runs (owner, scheduled_at);
CREATE INDEX runs_by_outcome ON runs (outcome, scheduled_at);
CREATE UNIQUE INDEX slots ON runs (job, scheduled_at, outcome, reason, trigger = 'manual') WHERE run IS NULL;

-- How many bytes the rows of each owner take; -1 stands for the tables of the system.
CREATE TABLE owners (
    owner INTEGER PRIMARY KEY,
    bytes INTEGER NOT NULL
) STRICT;
CREATE TRIGGER runs_added AFTER INSERT ON runs BEGIN
    INSERT INTO owners VALUES (ifnull(new.owner, -1), new.size)
        ON CONFLICT DO UPDATE SET bytes = bytes + new.size;
END;
CREATE TRIGGER runs_grown AFTER UPDATE OF size ON runs BEGIN
    UPDATE owners SET bytes = bytes + new.size - old.size WHERE owner = ifnull(new.owner, -1);
END;
CREATE TRIGGER runs_deleted AFTER DELETE ON runs BEGIN
    UPDATE owners SET bytes = bytes - old.size WHERE owner = ifnull(old.owner, -1);
END;

-- The daemons that have run.
CREATE TABLE daemons (
    id INTEGER PRIMARY KEY,
    began_at INTEGER NOT NULL,
    -- The last event of it that is known.
    seen_at INTEGER NOT NULL,
    -- When it ended because it was told to.
    ended_at INTEGER,
    boot TEXT NOT NULL,
    version TEXT NOT NULL,
    pid INTEGER NOT NULL
) STRICT;

-- Intervals in which no daemon ran.
CREATE TABLE downtimes (
    id INTEGER PRIMARY KEY,
    began_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    -- `stopped`, `killed`, or `machine down`.
    cause TEXT NOT NULL
) STRICT;

-- What people have asked for.
CREATE TABLE actions (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    by TEXT NOT NULL,
    action TEXT NOT NULL,
    job TEXT,
    run INTEGER,
    text TEXT NOT NULL
) STRICT;

-- Up to where the journal of events was applied.
CREATE TABLE applied (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL,
    upto INTEGER NOT NULL
) STRICT;
";

const SECOND: &str = "
-- About how many bytes the row takes: they count as those of the user who asked.
ALTER TABLE actions ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
UPDATE actions SET size = 100 + octet_length(by) + octet_length(action) + ifnull(octet_length(job), 0) + octet_length(text);
INSERT INTO owners SELECT uid, sum(size) FROM actions WHERE true GROUP BY uid
    ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;
CREATE INDEX actions_by_uid ON actions (uid);
CREATE TRIGGER actions_added AFTER INSERT ON actions BEGIN
    INSERT INTO owners VALUES (new.uid, new.size)
        ON CONFLICT DO UPDATE SET bytes = bytes + new.size;
END;
CREATE TRIGGER actions_deleted AFTER DELETE ON actions BEGIN
    UPDATE owners SET bytes = bytes - old.size WHERE owner = old.uid;
END;
";

const THIRD: &str = "
CREATE INDEX runs_by_user ON runs (user, scheduled_at);
";

/// The version of a database; 0 for a new one.
pub(super) fn version(connection: &Connection) -> Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings a database of an earlier version, or a new one, to this version.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    let from = version(connection)?;
    for (migration, version) in MIGRATIONS.iter().zip(1..).filter(|(_, version)| *version > from) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}
