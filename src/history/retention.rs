//! Deletes old rows: by age, by number for each job, and by size in all. Each step is short, so that the recorder can do its other work in between.
//!
//! When the database has become too large, the owner whose rows take most loses the oldest of them, so that one user cannot displace the rows of
//! another. The tables of the system count a quarter of what they take. What a user has asked for counts as the user's, and goes when no run is left
//! to be deleted.

use super::message::Retention;
use super::store::{Store, StoreError};
use rusqlite::{OptionalExtension, params};

/// Most rows deleted in a step.
const ROWS: i64 = 200;
/// About how many bytes of rows are deleted in a step because the database is too large.
const BYTES: i64 = 2 << 20;
/// Most free pages given back to the file system in a step.
const PAGES: i64 = 200;
/// Rows of a job are counted when it has got so many new ones.
const NEW_ROWS: u32 = 50;
const DAY_MS: i64 = 86_400_000;

impl Store {
    /// Deletes some rows if there are more than are to be kept. Returns whether there may be still more.
    pub(super) fn trim(&mut self, keep: Retention, now_ms: i64) -> Result<bool, StoreError> {
        // One transaction, so that the disk is written to once.
        self.connection().execute_batch("BEGIN")?;
        let deleted = self.trim_rows(keep, now_ms);
        self.connection().execute_batch(if deleted.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        let deleted = deleted?;
        let free: i64 = self.connection().query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
        if free > 0 {
            // Each row of the answer is a page that was given back.
            let mut statement = self.connection().prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
            let mut pages = statement.query([])?;
            while pages.next()?.is_some() {}
        }
        Ok(deleted > 0 || free > 0)
    }

    fn trim_rows(&mut self, keep: Retention, now_ms: i64) -> Result<usize, StoreError> {
        Ok(self.trim_days(keep, now_ms)? + self.trim_jobs(keep)? + self.trim_size(keep)?)
    }

    fn trim_days(&self, keep: Retention, now_ms: i64) -> Result<usize, StoreError> {
        if keep.days == 0 {
            return Ok(0);
        }
        let before = now_ms.saturating_sub(i64::from(keep.days) * DAY_MS);
        let sql = "DELETE FROM runs WHERE id IN
            (SELECT id FROM runs WHERE scheduled_at < ?1 AND +outcome <> 'running' ORDER BY scheduled_at LIMIT ?2)";
        let deleted = self.connection().prepare_cached(sql)?.execute(params![before, ROWS])?;
        for table in ["DELETE FROM downtimes WHERE ended_at < ?1", "DELETE FROM actions WHERE at < ?1"] {
            self.connection().prepare_cached(table)?.execute(params![before])?;
        }
        let sql = "DELETE FROM daemons WHERE seen_at < ?1 AND id < (SELECT max(id) FROM daemons)";
        self.connection().prepare_cached(sql)?.execute(params![before])?;
        Ok(deleted)
    }

    /// Looks for jobs that have too many rows from before this process began.
    pub(super) fn find_full_jobs(&mut self, keep: Retention) -> Result<(), StoreError> {
        let sql = "SELECT job FROM runs GROUP BY job HAVING count(*) > ?1";
        let mut statement = self.connection().prepare(sql)?;
        let most = if keep.runs == 0 { u32::MAX } else { keep.runs };
        let jobs = statement.query_map([most], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
        drop(statement);
        self.added.extend(jobs.into_iter().map(|job| (job, NEW_ROWS)));
        Ok(())
    }

    fn trim_jobs(&mut self, keep: Retention) -> Result<usize, StoreError> {
        if keep.runs == 0 {
            self.added.clear();
            return Ok(0);
        }
        let Some(job) = self.added.iter().find(|(_, count)| **count >= NEW_ROWS).map(|(job, _)| job.clone()) else {
            // Jobs that run seldom are counted all the same before many of them fill this table.
            if self.added.len() > 10_000 {
                self.added.values_mut().for_each(|count| *count = NEW_ROWS);
            }
            return Ok(0);
        };
        let sql = "DELETE FROM runs WHERE id IN
            (SELECT id FROM runs WHERE job = ?1 AND +outcome <> 'running' AND (scheduled_at, id) <=
                (SELECT scheduled_at, id FROM runs WHERE job = ?1 ORDER BY scheduled_at DESC, id DESC LIMIT 1 OFFSET ?2)
            ORDER BY scheduled_at, id LIMIT ?3)";
        let deleted = self.connection().prepare_cached(sql)?.execute(params![job, keep.runs, ROWS])?;
        if (deleted as i64) < ROWS {
            self.added.remove(&job);
        }
        // Others may have to be examined, too.
        Ok(deleted.max(1))
    }

    fn trim_size(&self, keep: Retention) -> Result<usize, StoreError> {
        let number = |pragma: &str| -> Result<i64, rusqlite::Error> {
            self.connection().query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
        };
        let used = (number("page_count")? - number("freelist_count")?) * number("page_size")?;
        let excess = used.saturating_sub(i64::try_from(keep.bytes).unwrap_or(i64::MAX));
        if keep.bytes == 0 || excess <= 0 {
            return Ok(0);
        }
        let sql = "SELECT owner FROM owners WHERE bytes > 0 ORDER BY iif(owner = -1, bytes / 4, bytes) DESC LIMIT 1";
        let Some(owner) = self.connection().query_row(sql, [], |row| row.get::<_, i64>(0)).optional()? else {
            return Ok(0);
        };
        let condition = if owner == -1 { "owner IS NULL AND ?1 = -1" } else { "owner = ?1" };
        // The oldest rows that take as much as is too much, and not more than fit into a short step.
        let sql = format!(
            "DELETE FROM runs WHERE id IN (SELECT id FROM
                (SELECT id, size, sum(size) OVER (ORDER BY scheduled_at, id) AS upto FROM
                    (SELECT id, size, scheduled_at FROM runs WHERE {condition} AND +outcome <> 'running'
                    ORDER BY scheduled_at, id LIMIT ?2))
                WHERE upto - size < ?3)"
        );
        let deleted = self.connection().prepare_cached(&sql)?.execute(params![owner, ROWS, excess.min(BYTES)])?;
        if deleted > 0 {
            return Ok(deleted);
        }
        let sql = "DELETE FROM actions WHERE id IN (SELECT id FROM actions WHERE uid = ?1 ORDER BY id LIMIT ?2)";
        Ok(self.connection().prepare_cached(sql)?.execute(params![owner, ROWS])?)
    }
}
