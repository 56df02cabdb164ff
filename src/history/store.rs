//! The database: opened, checked, and changed by events.

use super::event::{DaemonStarted, HistoryEvent, RecordedEntry, RunDecided, RunEnded, RunRequested, Slots};
use super::journal::{JournaledEvent, Position};
use super::schema;
use crate::sys::error::OsError;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, named_params, params};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

/// The name of the database in its directory.
pub(super) const NAME: &str = "history.db";
/// What belongs to a database besides its file.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];
/// About what a row takes without its texts and its output.
const ROW: i64 = 250;
/// The same for a row of what people have asked for.
const ACTION: i64 = 100;
/// Most of these rows that are kept for each user.
pub(super) const MOST_ACTIONS: i64 = 1_000;
/// Nothing is added to what hooks and pings have reported when it is as long as this.
const MOST_OF_HOOKS: i64 = 32 << 10;
/// The size of the pages of a new database.
const PAGE: u32 = 4096;
/// Kilobytes of pages that are cached.
const CACHE_KB: i64 = 4096;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// A later version of the program has written it.
    #[error("the database is of version {0}, and this program knows up to {known}: install a later version", known = schema::VERSION)]
    Newer(i64),
    /// SQLite fails.
    #[error("the database of the history: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A file cannot be renamed or removed.
    #[error("putting the damaged database aside: {0}")]
    Aside(#[source] OsError),
}

impl StoreError {
    /// Whether the content of the database is damaged.
    pub(super) fn is_damage(&self) -> bool {
        self.code().is_some_and(|code| matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            StoreError::Sqlite(error) => error.sqlite_error_code(),
            StoreError::Newer(_) | StoreError::Aside(_) => None,
        }
    }

    /// Whether it is an event that SQLite does not take, and not the database or its file system that fails.
    pub(super) fn is_of_an_event(&self) -> bool {
        match self {
            StoreError::Sqlite(error) => {
                matches!(
                    error.sqlite_error_code(),
                    None | Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
                )
            }
            StoreError::Newer(_) | StoreError::Aside(_) => false,
        }
    }

    /// The reason in a few words.
    pub(super) fn brief(&self) -> String {
        match self.code() {
            Some(ErrorCode::DiskFull) => "no space left on its file system".to_owned(),
            Some(ErrorCode::ReadOnly) => "it cannot be written to".to_owned(),
            _ => self.to_string(),
        }
    }
}

/// The open SQLite database of the history.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
    /// The boot of the daemon that has started last.
    boot: Option<String>,
    /// How many rows each job has got since its rows were last counted.
    pub(super) added: BTreeMap<String, u32>,
}

/// A store that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) store: Store,
    /// The damaged database that was put aside.
    pub(super) put_aside: Option<PathBuf>,
}

impl Store {
    /// Opens the database in that directory, or a new one. A damaged one is renamed.
    pub(super) fn open(directory: &Path, now_seconds: i64) -> Result<Opened, StoreError> {
        let path = directory.join(NAME);
        match Store::open_file(&path) {
            Err(error) if error.is_damage() => {
                let aside = put_aside(directory, now_seconds).map_err(|error| StoreError::Aside(error.into()))?;
                Ok(Opened { store: Store::open_file(&path)?, put_aside: Some(aside) })
            }
            opened => Ok(Opened { store: opened?, put_aside: None }),
        }
    }

    /// A new database in memory, lost when it is closed.
    pub(super) fn in_memory() -> Result<Store, StoreError> {
        Store::with(Connection::open_in_memory()?)
    }

    fn open_file(path: &Path) -> Result<Store, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        let version = schema::version(&connection)?;
        if version > schema::VERSION {
            return Err(StoreError::Newer(version));
        }
        if version > 0 {
            let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if found != "ok" {
                return Err(damage(&found).into());
            }
        }
        Store::with(connection)
    }

    fn with(mut connection: Connection) -> Result<Store, StoreError> {
        connection.set_prepared_statement_cache_capacity(64);
        connection.pragma_update(None, "page_size", PAGE)?;
        // Has an effect before the first table is made.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        // A database in memory answers `memory`.
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "cache_size", -CACHE_KB)?;
        connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
        // The recorder is the only one that writes; readers do not block it in WAL mode, but they may while a database is opened.
        connection.busy_timeout(std::time::Duration::from_secs(1))?;
        schema::migrate(&mut connection)?;
        let boot = connection
            .query_row("SELECT boot FROM daemons ORDER BY id DESC LIMIT 1", [], |row| row.get(0))
            .optional()?;
        Ok(Store { connection, boot, added: BTreeMap::new() })
    }

    /// Brings to the disk what was applied.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        // Both files are synchronised by it; the pages that a reader still needs stay where they are.
        Ok(self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?)
    }

    /// The connection to SQLite, for queries.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Up to where the journal was applied.
    pub(super) fn position(&self) -> Result<Option<Position>, StoreError> {
        let row = self.connection.query_row("SELECT generation, upto FROM applied", [], |row| {
            let (generation, offset): (i64, i64) = (row.get(0)?, row.get(1)?);
            Ok(Position { generation: generation as u64, offset: offset as u64 })
        });
        Ok(row.optional()?)
    }

    /// Applies events and notes how far that is in the journal: both or nothing.
    pub(super) fn apply(&mut self, events: &[JournaledEvent], upto: Position) -> Result<(), StoreError> {
        match self.apply_all(events, upto, false) {
            Err(error) if error.is_of_an_event() => self.apply_all(events, upto, true),
            applied => applied,
        }
    }

    fn apply_all(&mut self, events: &[JournaledEvent], upto: Position, skips: bool) -> Result<(), StoreError> {
        let mut boot = self.boot.clone();
        let transaction = self.connection.transaction()?;
        let mut change = Change { transaction: &transaction, boot: &mut boot, added: BTreeMap::new(), seen_ms: None };
        for event in events {
            let Some(known) = &event.event else { continue };
            if !skips {
                change.apply(known, &event.bytes)?;
                continue;
            }
            // One event that cannot be applied must not keep those behind it from being applied.
            transaction.execute_batch("SAVEPOINT event")?;
            if let Err(error) = change.apply(known, &event.bytes) {
                let error = StoreError::from(error);
                if !error.is_of_an_event() {
                    return Err(error);
                }
                transaction.execute_batch("ROLLBACK TO event")?;
            }
            transaction.execute_batch("RELEASE event")?;
        }
        change.note_sign_of_life()?;
        let added = change.added;
        transaction.execute(
            "INSERT INTO applied VALUES (1, ?1, ?2) ON CONFLICT DO UPDATE SET generation = ?1, upto = ?2",
            params![upto.generation as i64, upto.offset as i64],
        )?;
        transaction.commit()?;
        self.boot = boot;
        for (job, count) in added {
            *self.added.entry(job).or_default() += count;
        }
        Ok(())
    }
}

/// The error of a damaged database, as SQLite itself would report it.
fn damage(found: &str) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, Some(found.to_owned()))
}

/// Renames a damaged database, and removes those that were put aside before.
fn put_aside(directory: &Path, now_seconds: i64) -> io::Result<PathBuf> {
    for entry in std::fs::read_dir(directory)?.flatten() {
        if entry.file_name().to_string_lossy().contains(".corrupt-") {
            std::fs::remove_file(entry.path())?;
        }
    }
    let aside = |suffix: &str| directory.join(format!("{NAME}.corrupt-{now_seconds}{suffix}"));
    for suffix in SUFFIXES {
        match std::fs::rename(directory.join(format!("{NAME}{suffix}")), aside(suffix)) {
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
    }
    Ok(aside(""))
}

/// The changes of one transaction.
struct Change<'a> {
    transaction: &'a Transaction<'a>,
    boot: &'a mut Option<String>,
    added: BTreeMap<String, u32>,
    /// The time of the last event of the daemon.
    seen_ms: Option<i64>,
}

impl Change<'_> {
    fn apply(&mut self, event: &HistoryEvent, bytes: &[u8]) -> rusqlite::Result<()> {
        match event {
            HistoryEvent::DaemonStarted(begun) => self.daemon_started(begun),
            HistoryEvent::DaemonEnded { at_ms } => {
                self.seen(*at_ms);
                let sql = "UPDATE daemons SET ended_at = ?1 WHERE id = (SELECT max(id) FROM daemons)";
                self.execute(sql, params![at_ms])
            }
            HistoryEvent::RunRequested(begun) => self.run_requested(begun),
            HistoryEvent::RunStarted { run, started_at_ms } => {
                let sql = "UPDATE runs SET started_at = ?2 WHERE run = ?1 AND started_at IS NULL";
                self.execute(sql, params![*run as i64, started_at_ms])
            }
            HistoryEvent::RunEnded(ended) => self.run_ended(ended),
            HistoryEvent::RunDecided(decided) => self.run_decided(decided),
            HistoryEvent::Output { run, head, cut } => self.output(*run, *head as usize, *cut, bytes),
            HistoryEvent::Mailed { run, mail } => {
                self.execute("UPDATE runs SET mail = ?2 WHERE run = ?1", params![*run as i64, mail])
            }
            HistoryEvent::FollowedUp { run, text } => self.followed_up(*run, text),
            HistoryEvent::Slots(slots) => self.slots(slots),
            HistoryEvent::Control { at_ms, uid, by, action, job, run, text } => {
                let texts = by.len() + action.len() + job.as_ref().map_or(0, String::len) + text.len();
                self.execute(
                    "INSERT INTO actions (at, uid, by, action, job, run, text, size) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                    params![at_ms, uid, by, action, job, run.map(|run| run as i64), text, ACTION + texts as i64],
                )?;
                let sql = "DELETE FROM actions WHERE uid = ?1
                    AND id <= (SELECT id FROM actions WHERE uid = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)";
                self.execute(sql, params![uid, MOST_ACTIONS])
            }
        }
    }

    fn execute(&self, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<()> {
        self.transaction.prepare_cached(sql)?.execute(values).map(drop)
    }

    fn seen(&mut self, at_ms: i64) {
        self.seen_ms = self.seen_ms.max(Some(at_ms));
    }

    fn note_sign_of_life(&self) -> rusqlite::Result<()> {
        let Some(at_ms) = self.seen_ms else { return Ok(()) };
        let sql = "UPDATE daemons SET seen_at = max(seen_at, ?1) WHERE id = (SELECT max(id) FROM daemons) AND ended_at IS NULL";
        self.execute(sql, params![at_ms])
    }

    fn daemon_started(&mut self, begun: &DaemonStarted) -> rusqlite::Result<()> {
        // What this batch has from the daemon before.
        self.note_sign_of_life()?;
        self.seen_ms = None;
        self.record_downtime(begun)?;
        self.execute(
            "INSERT INTO daemons (began_at, seen_at, boot, version, pid) VALUES (?1, ?1, ?2, ?3, ?4)",
            params![begun.at_ms, begun.boot, begun.version, begun.pid],
        )?;
        self.end_lost_runs(begun)?;
        *self.boot = Some(begun.boot.clone());
        Ok(())
    }

    fn record_downtime(&self, begun: &DaemonStarted) -> rusqlite::Result<()> {
        let sql = "SELECT seen_at, ended_at, boot FROM daemons ORDER BY id DESC LIMIT 1";
        let last: Option<(i64, Option<i64>, String)> =
            self.transaction.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
        let Some((seen_ms, ended_ms, boot)) = last.filter(|_| !begun.is_resumed) else { return Ok(()) };
        let cause = match ended_ms {
            Some(_) => "stopped",
            None if boot == begun.boot => "killed",
            None => "machine down",
        };
        let handled_ms = begun.handled_until.map_or(i64::MIN, |seconds| seconds.saturating_mul(1000));
        let from_ms = ended_ms.unwrap_or(seen_ms.max(handled_ms)).min(begun.at_ms);
        self.execute(
            "INSERT INTO downtimes (began_at, ended_at, cause) VALUES (?1, ?2, ?3)",
            params![from_ms, begun.at_ms, cause],
        )
    }

    /// Ends the rows of runs that no executor has any more. A run that was requested of an executor that never began it was none.
    fn end_lost_runs(&self, begun: &DaemonStarted) -> rusqlite::Result<()> {
        let mut statement = self
            .transaction
            .prepare_cached("SELECT run, boot, recorded_at FROM runs WHERE outcome = 'running' AND run IS NOT NULL")?;
        let open: Vec<(i64, Option<String>, i64)> =
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<Result<_, _>>()?;
        let live: BTreeSet<u64> = begun.live.iter().copied().collect();
        let known: BTreeSet<u64> = begun.begun.iter().copied().collect();
        for (run, boot, recorded_ms) in open {
            if live.contains(&(run as u64)) {
                continue;
            }
            let is_of_this_boot = boot.as_deref() == Some(begun.boot.as_str());
            if is_of_this_boot && recorded_ms >= begun.begun_since_ms && !known.contains(&(run as u64)) {
                self.execute("DELETE FROM runs WHERE run = ?1", params![run])?;
            } else {
                let sql = "UPDATE runs SET outcome = 'lost', ended_at = ?2 WHERE run = ?1";
                self.execute(sql, params![run, begun.at_ms])?;
            }
        }
        Ok(())
    }

    fn run_requested(&mut self, begun: &RunRequested) -> rusqlite::Result<()> {
        self.seen(begun.at_ms);
        self.count_row(&begun.entry.job);
        let RecordedEntry { job, user, uid, owner, source, line, command } = &begun.entry;
        let sql = "INSERT INTO runs (run, job, user, uid, owner, source, line, command, trigger, attempt, scheduled_at, outcome, boot,
                recorded_at, size)
            VALUES (:run, :job, :user, :uid, :owner, :source, :line, :command, :trigger, :attempt, :scheduled_at, 'running', :boot,
                :recorded_at, :size)
            ON CONFLICT (run) DO NOTHING";
        let values = named_params! {
            ":run": begun.run as i64, ":job": job, ":user": user, ":uid": uid, ":owner": owner, ":source": source,
            ":line": line, ":command": command, ":trigger": begun.trigger, ":attempt": begun.attempt,
            ":scheduled_at": begun.scheduled_at_ms, ":boot": *self.boot, ":recorded_at": begun.at_ms,
            ":size": size_of(&begun.entry),
        };
        self.transaction.prepare_cached(sql)?.execute(values).map(drop)
    }

    fn run_ended(&mut self, ended: &RunEnded) -> rusqlite::Result<()> {
        self.seen(ended.ended_at_ms);
        let seconds = |micros: Option<u64>| micros.map(|micros| micros as f64 / 1e6);
        // The rules of the entry may have decided already, and a run that has ended is not lost. Where a daemon was killed before it had
        // decided, the next one knows the result and the rules.
        let is_open = "(outcome IN ('running', 'lost') OR (:is_by_rules AND outcome IN ('ok', 'failed')))";
        let sql = format!(
            "UPDATE runs SET
                started_at = ifnull(:started_at, started_at), ended_at = :ended_at, duration = :duration, cpu_user = :cpu_user,
                cpu_system = :cpu_system, max_rss = :max_rss, output_bytes = :output_bytes,
                outcome = iif({is_open}, :outcome, outcome), reason = iif({is_open}, :reason, reason),
                exit_code = iif({is_open}, :exit_code, exit_code), signal = iif({is_open}, :signal, signal)
            WHERE run = :run AND (:outcome <> 'lost' OR outcome = 'running')"
        );
        let values = named_params! {
            ":run": ended.run as i64, ":is_by_rules": ended.is_by_rules, ":started_at": ended.started_at_ms, ":ended_at": ended.ended_at_ms,
            ":duration": ended.duration_ms.map(|ms| ms as f64 / 1e3), ":cpu_user": seconds(ended.user_us),
            ":cpu_system": seconds(ended.system_us), ":max_rss": ended.max_rss_kib.map(|kib| (kib * 1024) as i64),
            ":output_bytes": ended.output_bytes as i64, ":outcome": ended.end.outcome, ":reason": ended.end.reason,
            ":exit_code": ended.end.exit_code, ":signal": ended.end.signal,
        };
        self.transaction.prepare_cached(&sql)?.execute(values).map(drop)
    }

    fn run_decided(&mut self, decided: &RunDecided) -> rusqlite::Result<()> {
        self.seen(decided.ended_at_ms);
        // The scheduler of a new daemon takes a run for lost whose end an earlier daemon has received just before it was killed.
        let sql =
            "UPDATE runs SET outcome = ?2, reason = ?3, exit_code = ?4, signal = ?5, ended_at = ifnull(ended_at, ?6)
            WHERE run = ?1 AND (?2 <> 'lost' OR outcome = 'running')";
        let end = &decided.end;
        let values =
            params![decided.run as i64, end.outcome, end.reason, end.exit_code, end.signal, decided.ended_at_ms];
        self.execute(sql, values)
    }

    fn output(&self, run: u64, head: usize, cut: u64, bytes: &[u8]) -> rusqlite::Result<()> {
        let (head, tail) = bytes.split_at_checked(head).unwrap_or((bytes, &[]));
        // It comes once more if processes in the background have written later.
        let sql = "UPDATE runs SET output_head = ?2, output_tail = ?3, output_cut = ?4,
                size = size + ?5 - ifnull(length(output_head) + length(output_tail), 0)
            WHERE run = ?1";
        self.execute(sql, params![run as i64, head, tail, cut as i64, bytes.len() as i64])
    }

    /// Adds a line to what is known of hooks and pings. An executor may report one twice, to two daemons.
    fn followed_up(&self, run: u64, text: &str) -> rusqlite::Result<()> {
        let sql = "UPDATE runs SET hooks = iif(hooks IS NULL, ?2, hooks || char(10) || ?2), size = size + ?3
            WHERE run = ?1 AND (hooks IS NULL OR (length(hooks) < ?4 AND instr(hooks, ?2) = 0))";
        self.execute(sql, params![run as i64, text, text.len() as i64, MOST_OF_HOOKS])
    }

    /// Slots without a run: the first event of a row has the first slot, a later one says how many followed.
    fn slots(&mut self, slots: &Slots) -> rusqlite::Result<()> {
        let entry = self.with_known_entry(&slots.entry)?;
        self.count_row(&entry.job);
        let RecordedEntry { job, user, uid, owner, source, line, command } = &entry;
        let sql = "INSERT INTO runs (job, user, uid, owner, source, line, command, trigger, attempt, scheduled_at, outcome, reason, count,
                until, boot, recorded_at, size)
            VALUES (:job, :user, :uid, :owner, :source, :line, :command, :trigger, 0, :first, :outcome, :reason, :count, :until, :boot,
                :first, :size)
            ON CONFLICT (job, scheduled_at, outcome, reason, trigger = 'manual') WHERE run IS NULL
            DO UPDATE SET until = iif(excluded.count > count, excluded.until, until), count = max(count, excluded.count)";
        let until = if slots.count > 1 { Value::Integer(slots.last_ms) } else { Value::Null };
        // NULL values are distinct in an index.
        let reason = slots.end.reason.as_deref().unwrap_or_default();
        let values = named_params! {
            ":job": job, ":user": user, ":uid": uid, ":owner": owner, ":source": source, ":line": line,
            ":command": command, ":trigger": slots.trigger, ":first": slots.first_ms, ":outcome": slots.end.outcome,
            ":reason": reason, ":count": slots.count as i64, ":until": until, ":boot": *self.boot,
            ":size": size_of(&entry),
        };
        self.transaction.prepare_cached(sql)?.execute(values).map(drop)
    }

    /// An entry that is gone from its crontab is known from its last row.
    fn with_known_entry(&self, entry: &RecordedEntry) -> rusqlite::Result<RecordedEntry> {
        if !entry.source.is_empty() {
            return Ok(entry.clone());
        }
        let sql = "SELECT user, uid, owner, source, line, command FROM runs WHERE job = ?1 ORDER BY id DESC LIMIT 1";
        let known = self.transaction.prepare_cached(sql)?.query_row([&entry.job], |row| {
            Ok(RecordedEntry {
                job: entry.job.clone(),
                user: row.get(0)?,
                uid: row.get(1)?,
                owner: row.get(2)?,
                source: row.get(3)?,
                line: row.get(4)?,
                command: row.get(5)?,
            })
        });
        Ok(known.optional()?.unwrap_or_else(|| entry.clone()))
    }

    fn count_row(&mut self, job: &str) {
        *self.added.entry(job.to_owned()).or_default() += 1;
    }
}

fn size_of(entry: &RecordedEntry) -> i64 {
    // Texts of an entry are short; the job stands in an index, too.
    ROW + (2 * entry.job.len() + entry.user.len() + entry.source.len() + entry.command.len()) as i64
}
