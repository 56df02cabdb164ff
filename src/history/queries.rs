//! Questions about the rows. What a viewer may not see does not exist.

use super::recorder::Recorder;
use super::store::Store;
use crate::sys::clock;
use crate::varlink::Time;
use crate::varlink::history::{Downtime, RunRecord, Summary};
use rusqlite::types::Value;
use rusqlite::{ErrorCode, OptionalExtension, Row, params_from_iter};

/// How long a question of a user may take, in milliseconds, and one of those who see everything. Nothing else is done meanwhile.
const OWNERS_MS: i64 = 500;
const MOST_MS: i64 = 2_000;
/// Intervals without a daemon that one answer has at most.
const MOST_DOWNTIMES: i64 = 100;
/// SQLite checks the time limit after so many steps.
const STEPS: i32 = 1_000;

/// Whose rows a query may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// Root and the members of the groups that see everything.
    Everything,
    /// The owner of a user's crontab sees its rows.
    Owner(u32),
}

/// Which rows are wanted. Times are milliseconds of Unix time; nothing given means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Rows of this job only.
    pub job: Option<String>,
    /// Rows of jobs that run as this user only.
    pub user: Option<String>,
    /// Rows with this outcome only.
    pub outcome: Option<String>,
    /// Rows of slots at or after this time only.
    pub since_ms: Option<i64>,
    /// Rows of slots before this time only.
    pub until_ms: Option<i64>,
    /// Rows of runs with a smaller number only.
    pub before: Option<u64>,
}

/// The place of a row in the order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowPlace {
    scheduled_at: i64,
    id: i64,
}

/// A row, and its place in the order of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// Its place in the order, from which the next page continues.
    pub place: RowPlace,
    /// The run, or the slots that had none.
    pub record: RunRecord,
}

const COLUMNS: &str = "run, job, user, uid, source, line, command, trigger, attempt, scheduled_at, started_at, ended_at, duration, outcome, \
                       reason, exit_code, signal, cpu_user, cpu_system, max_rss, output_bytes, mail, hooks, count, until, id";

/// The kept output of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredOutput {
    /// The first bytes that the run wrote.
    pub head: Vec<u8>,
    /// The last bytes that it wrote.
    pub tail: Vec<u8>,
    /// How many bytes between them were not kept.
    pub cut: u64,
}

fn run_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    let optional_time = |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Time::of_ms));
    let count = |number: i64| number.max(0).unsigned_abs();
    let record = RunRecord {
        run: row.get::<_, Option<i64>>(0)?.map(count),
        job: row.get(1)?,
        user: row.get(2)?,
        // The id that stands for none (chown(2)).
        uid: row.get::<_, Option<u32>>(3)?.unwrap_or(u32::MAX),
        source: row.get(4)?,
        line: row.get(5)?,
        command: row.get(6)?,
        trigger: row.get(7)?,
        attempt: row.get(8)?,
        scheduled_at: Time::of_ms(row.get(9)?),
        started_at: optional_time(10)?,
        ended_at: optional_time(11)?,
        duration: row.get(12)?,
        outcome: row.get(13)?,
        reason: row.get::<_, Option<String>>(14)?.filter(|reason| !reason.is_empty()),
        exit_code: row.get(15)?,
        signal: row.get(16)?,
        cpu_user: row.get(17)?,
        cpu_system: row.get(18)?,
        max_rss: row.get::<_, Option<i64>>(19)?.map(count),
        output_bytes: count(row.get(20)?),
        mail: row.get(21)?,
        hooks: row.get(22)?,
        count: count(row.get(23)?),
        until: optional_time(24)?,
    };
    Ok(RunRow { place: RowPlace { scheduled_at: row.get(9)?, id: row.get(25)? }, record })
}

/// A condition of a viewer: SQL, and its value.
fn visible(viewer: Viewer) -> (&'static str, Option<Value>) {
    match viewer {
        Viewer::Everything => ("1", None),
        Viewer::Owner(uid) => ("owner = ?", Some(i64::from(uid).into())),
    }
}

impl Store {
    /// Asks something. What is not answered by that time of the monotonic clock is interrupted.
    pub(super) fn ask<T>(
        &self,
        until_ms: i64,
        question: impl FnOnce(&Store) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.connection().progress_handler(STEPS, Some(move || clock::monotonic_ms() > until_ms))?;
        let answer = question(self);
        // Changes of the database are never interrupted.
        self.connection().progress_handler(0, None::<fn() -> bool>)?;
        answer
    }

    /// At most `most` rows, those with the newest slots first. `after` is the last row of the page before.
    ///
    /// Every query is answered by one index, in order: that of the job, else of the owner, else of the outcome, else of the user, else of the time.
    /// SQLite, which has no statistics here, does not use an index for a column behind a `+`.
    pub(super) fn runs(
        &self,
        viewer: Viewer,
        filter: &RunFilter,
        after: Option<RowPlace>,
        most: usize,
    ) -> rusqlite::Result<Vec<RunRow>> {
        let mut conditions = Vec::new();
        let mut values: Vec<Value> = Vec::new();
        let mut is_indexed = false;
        let mut add = |column: &str, value: Option<Value>| {
            let Some(value) = value else { return };
            let plus = if is_indexed { "+" } else { "" };
            conditions.push(format!("{plus}{column} = ?"));
            values.push(value);
            is_indexed = true;
        };
        add("job", filter.job.clone().map(Value::from));
        add("owner", visible(viewer).1);
        add("outcome", filter.outcome.clone().map(Value::from));
        add("user", filter.user.clone().map(Value::from));
        let mut add = |condition: &str, bounds: Vec<Value>| {
            if !bounds.is_empty() {
                conditions.push(condition.to_owned());
                values.extend(bounds);
            }
        };
        add("scheduled_at >= ?", filter.since_ms.map(Value::from).into_iter().collect());
        // A page after another one begins where that one ends, which is before these bounds. SQLite would search from the first of several upper
        // bounds, and read each page before this one again.
        let is_first = after.is_none();
        add("scheduled_at < ?", filter.until_ms.filter(|_| is_first).map(Value::from).into_iter().collect());
        let (condition, value) = visible(viewer);
        let before = format!("(scheduled_at, id) < (SELECT scheduled_at, id FROM runs WHERE +{condition} AND run = ?)");
        let run = filter.before.filter(|_| is_first);
        let run = run.map(|run| value.into_iter().chain([Value::from(run as i64)]).collect());
        add(&before, run.unwrap_or_default());
        let place = after.map(|place| vec![place.scheduled_at.into(), place.id.into()]);
        add("(scheduled_at, id) < (?, ?)", place.unwrap_or_default());
        conditions.push("1".to_owned());
        let sql = format!(
            "SELECT {COLUMNS} FROM runs WHERE {} ORDER BY scheduled_at DESC, id DESC LIMIT {most}",
            conditions.join(" AND ")
        );
        let mut statement = self.connection().prepare_cached(&sql)?;
        statement.query_map(params_from_iter(values), run_row)?.collect()
    }

    /// Whether the viewer may see a row of that job.
    pub(super) fn has_job(&self, viewer: Viewer, job: &str) -> rusqlite::Result<bool> {
        let (condition, value) = visible(viewer);
        let sql = format!("SELECT 1 FROM runs WHERE +{condition} AND job = ? LIMIT 1");
        let values = value.into_iter().chain([job.to_owned().into()]);
        Ok(self
            .connection()
            .prepare_cached(&sql)?
            .query_row(params_from_iter(values), |_| Ok(()))
            .optional()?
            .is_some())
    }

    pub(super) fn run(&self, viewer: Viewer, run: u64) -> rusqlite::Result<Option<RunRow>> {
        let (condition, value) = visible(viewer);
        let sql = format!("SELECT {COLUMNS} FROM runs WHERE +{condition} AND run = ?");
        let values = value.into_iter().chain([(run as i64).into()]);
        self.connection().prepare_cached(&sql)?.query_row(params_from_iter(values), run_row).optional()
    }

    pub(super) fn output(&self, viewer: Viewer, run: u64) -> rusqlite::Result<Option<StoredOutput>> {
        let (condition, value) = visible(viewer);
        let sql = format!("SELECT output_head, output_tail, output_cut FROM runs WHERE +{condition} AND run = ?");
        let values = value.into_iter().chain([(run as i64).into()]);
        let output = self.connection().prepare_cached(&sql)?.query_row(params_from_iter(values), |row| {
            Ok(StoredOutput {
                head: row.get::<_, Option<Vec<u8>>>(0)?.unwrap_or_default(),
                tail: row.get::<_, Option<Vec<u8>>>(1)?.unwrap_or_default(),
                cut: row.get::<_, Option<i64>>(2)?.unwrap_or(0).max(0).unsigned_abs(),
            })
        });
        output.optional()
    }

    /// Intervals in which no daemon ran and that have some time between two moments, the newest first.
    pub(super) fn downtimes(&self, since_ms: Option<i64>, until_ms: Option<i64>) -> rusqlite::Result<Vec<Downtime>> {
        let sql = "SELECT began_at, ended_at, cause FROM downtimes WHERE ended_at > ?1 AND began_at < ?2 ORDER BY id DESC LIMIT ?3";
        let bounds = [since_ms.unwrap_or(i64::MIN), until_ms.unwrap_or(i64::MAX), MOST_DOWNTIMES];
        let mut statement = self.connection().prepare_cached(sql)?;
        let rows = statement.query_map(bounds, |row| {
            let time = |column| row.get(column).map(Time::of_ms);
            Ok(Downtime { began_at: time(0)?, ended_at: time(1)?, cause: row.get(2)? })
        })?;
        rows.collect()
    }

    /// What is known of the runs of a job that the viewer may see.
    pub(super) fn summary(&self, viewer: Viewer, job: &str) -> rusqlite::Result<Option<Summary>> {
        if !self.has_job(viewer, job)? {
            return Ok(None);
        }
        let (condition, value) = visible(viewer);
        let sql = format!(
            "SELECT count(*) FILTER (WHERE outcome <> 'running'),
                count(*) FILTER (WHERE outcome = 'ok'),
                count(*) FILTER (WHERE outcome IN ('failed', 'signal', 'timeout', 'not started')),
                avg(duration) FILTER (WHERE outcome = 'ok'),
                max(duration) FILTER (WHERE outcome = 'ok'),
                min(scheduled_at)
            FROM runs WHERE +{condition} AND job = ? AND run IS NOT NULL"
        );
        let values = value.into_iter().chain([job.to_owned().into()]);
        let count = |number: i64| number.max(0).unsigned_abs();
        self.connection()
            .prepare_cached(&sql)?
            .query_row(params_from_iter(values), |row| {
                Ok(Summary {
                    runs: count(row.get(0)?),
                    ok: count(row.get(1)?),
                    failures: count(row.get(2)?),
                    mean: row.get(3)?,
                    longest: row.get(4)?,
                    since: row.get::<_, Option<i64>>(5)?.map(Time::of_ms),
                })
            })
            .optional()
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// There is no such job, or the viewer may not see it.
    #[error("no such job")]
    NoSuchJob,
    /// There is no such run, or the viewer may not see it.
    #[error("no such run")]
    NoSuchRun,
    /// The query exceeded its time limit.
    #[error("the query exceeded its time limit; ask for a shorter time")]
    TooLong,
    /// The database cannot be read now.
    #[error("the history cannot be read: {0}")]
    Unreadable(String),
}

/// The questions of the Varlink interface.
impl Recorder {
    /// A page of at most `most` rows, newest slots first; `after` is the place of the last row of the page before.
    ///
    /// # Errors
    ///
    /// No such job, if the filter names one; or the database cannot be read.
    pub fn runs(
        &mut self,
        viewer: Viewer,
        filter: &RunFilter,
        after: Option<RowPlace>,
        most: usize,
    ) -> Result<Vec<RunRow>, QueryError> {
        self.ask(viewer, |store| {
            if let Some(job) = filter.job.as_deref().filter(|_| after.is_none())
                && !store.has_job(viewer, job)?
            {
                return Ok(None);
            }
            store.runs(viewer, filter, after, most).map(Some)
        })?
        .ok_or(QueryError::NoSuchJob)
    }

    /// One run.
    ///
    /// # Errors
    ///
    /// No such run; or the database cannot be read.
    pub fn run(&mut self, viewer: Viewer, run: u64) -> Result<RunRow, QueryError> {
        self.ask(viewer, |store| store.run(viewer, run))?.ok_or(QueryError::NoSuchRun)
    }

    /// The kept output of a run.
    ///
    /// # Errors
    ///
    /// No such run; or the database cannot be read.
    pub fn output(&mut self, viewer: Viewer, run: u64) -> Result<StoredOutput, QueryError> {
        self.ask(viewer, |store| store.output(viewer, run))?.ok_or(QueryError::NoSuchRun)
    }

    /// Intervals in which no daemon ran and that have some time between two moments (milliseconds of Unix time), the newest first. Nothing in
    /// them is anybody's own.
    ///
    /// # Errors
    ///
    /// The database cannot be read.
    pub fn downtimes(
        &mut self,
        viewer: Viewer,
        since_ms: Option<i64>,
        until_ms: Option<i64>,
    ) -> Result<Vec<Downtime>, QueryError> {
        self.ask(viewer, |store| store.downtimes(since_ms, until_ms))
    }

    /// What is known of the runs of a job.
    ///
    /// # Errors
    ///
    /// No such job; or the database cannot be read.
    pub fn summary(&mut self, viewer: Viewer, job: &str) -> Result<Summary, QueryError> {
        self.ask(viewer, |store| store.summary(viewer, job))?.ok_or(QueryError::NoSuchJob)
    }

    fn ask<T>(
        &mut self,
        viewer: Viewer,
        question: impl FnOnce(&Store) -> rusqlite::Result<T>,
    ) -> Result<T, QueryError> {
        // Many questions must not keep events from being applied.
        self.catch_up();
        let store = self.store().ok_or_else(|| QueryError::Unreadable("the database is not open".to_owned()))?;
        let most_ms = match viewer {
            Viewer::Owner(_) => OWNERS_MS,
            Viewer::Everything => MOST_MS,
        };
        store.ask(clock::monotonic_ms() + most_ms, question).map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => QueryError::TooLong,
            _ => QueryError::Unreadable(error.to_string()),
        })
    }
}
