//! The journal of runs. An executor records in it which runs it has started and how they ended, for a later main.
//!
//! A file begins with [`HEADER`] bytes: a magic number with the version of the format, then the boot id as text. Each record consists of
//! its length (two bytes), a checksum (four bytes; both little endian) and a payload in the format of postcard. The last record may be
//! incomplete. The journal contains identities and results only, no commands and no environments. Nothing is synced to disk, because it
//! only has to survive the processes, not a crash of the machine.

use crate::scheduler::{JobId, MailResult, RunCause, RunId, RunOutcome, RunRequest, RunResult};
use crate::sys::clock;
use crate::sys::error::{self, os};
use crate::sys::process::Pid;
use crate::sys::record_file::{OffsetReader, checksum, read_whole};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;

/// The magic number of the format. Its last byte is the version.
const MAGIC: [u8; 8] = *b"cwruns\0\x01";
/// Bytes that are reserved for the boot id.
const BOOT: usize = 40;
const HEADER: usize = MAGIC.len() + BOOT;
/// Length of a record's prefix: the length and the checksum.
const PREFIX: usize = 6;
/// Maximum length of a recorded reason, in bytes.
const LONGEST_REASON: usize = 1024;
/// Bytes of the output of a hook or a ping that are recorded, and how many of their ends a main reads.
const FOLLOW_UP_OUTPUT: usize = 256;
const MOST_FOLLOW_UPS: usize = 5_000;

/// How long runs are kept after their start, and after their end, in seconds. A restart catches up three minutes, and the clock may be set
/// back a little meanwhile. A main that has received a result may be killed before it has saved what follows from it.
pub const KEPT_STARTS: i64 = 600;
/// The value of `KEPT_STARTS` where the journal would become too long otherwise.
const KEPT_STARTS_WHEN_LONG: i64 = 200;
/// A journal is compacted when it is longer than this and twice as long as after the last time.
const WORTH_COMPACTING: u64 = 1 << 20;
/// A journal is compacted when it is longer than this, to at most half of it. If it cannot be compacted, it grows up to twice this length.
pub(super) const LONGEST: u64 = 32 << 20;

/// Why a journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file could not be read or written.
    #[error(transparent)]
    Os(#[from] error::Error),
    /// The file is not a journal, or one of another version.
    #[error("not a journal of this version")]
    Foreign,
    /// A record is damaged, and those after it are lost.
    #[error("damaged; the records after the damage are lost")]
    Damaged,
}

/// A step in the life of a run.
///
/// Format of the journal (postcard), which a main of another version may read: fields and variants are neither removed nor reordered; see
/// [`super::wire`]. One field may be added behind the last one of a record: see [`later_field`].
#[derive(Debug, serde::Serialize, serde::Deserialize)]
enum JournalRecord {
    /// The run is about to be started.
    Intent {
        run: RunId,
        job: JobId,
        scheduled_at: i64,
        begun_at: i64,
        at_reboot: bool,
        #[serde(with = "later_field")]
        cause: Option<RunCause>,
    },
    /// The run was not started.
    Withdrawn { run: RunId },
    /// The run has this process.
    Process { run: RunId, process: ProcessId },
    /// The run has ended with this result.
    Ended(RunResult),
    /// The result has been written to the socket of a main, or a main has read it in this journal. If a main
    /// is killed before it has saved the consequences of the result, the next main finds the result here.
    Delivered { run: RunId },
    /// The end is in the log, and the output has been handled: it is in the log, or the mailer has ended.
    Reported { run: RunId, mail: MailResult },
    /// A hook or a ping has ended. A main to which that was sent may have been killed before it had recorded it.
    FollowedUp(JournaledFollowUp),
}

/// The last field of a record, which journals of older versions do not have. Older versions do not read what is behind their own last field. As a record
/// without it has no byte for it, nothing can be added behind it: what is to be recorded later is a new record.
mod later_field {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(field: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        match field {
            Some(field) => field.serialize(to),
            // Takes no bytes.
            None => to.serialize_unit(),
        }
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
        Ok(T::deserialize(from).ok())
    }
}

/// What became of a hook or a ping.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct JournaledFollowUp {
    /// The run whose outcome it was about.
    pub run: RunId,
    /// When it ended, in seconds of UTC.
    pub ended_at: i64,
    /// The name of the task, see [`crate::scheduler::FollowUpTask::name`].
    pub what: String,
    /// Its outcome in words: `exit 0`, `signal 9`.
    pub how: String,
    /// The beginning of what it has written.
    pub output: Vec<u8>,
}

/// Identifies a process for the whole boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ProcessId {
    /// The process id, which the kernel may use again.
    pub pid: Pid,
    /// Start time in clock ticks since boot.
    pub started: u64,
}

/// A run as recorded in a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournaledRun {
    /// The job of the run.
    pub job: JobId,
    /// The scheduled time, in seconds of UTC.
    pub scheduled_at: i64,
    /// The time of the start, in seconds of UTC.
    pub begun_at: i64,
    /// Whether this is an `@reboot` run.
    pub at_reboot: bool,
    /// What has led to the run. None: an executor of an older version has written the journal.
    pub cause: Option<RunCause>,
    /// The process, once there is one.
    pub process: Option<ProcessId>,
    /// The result, once the run has ended.
    pub result: Option<RunResult>,
    /// Whether the result has been written to a main's socket or read by a main from the journal.
    pub is_delivered: bool,
    /// The result of the mail. Present once the end is logged and the output has been handled.
    pub mail: Option<MailResult>,
}

impl JournaledRun {
    /// Whether the result still has to be delivered or reported.
    pub(super) fn is_open(&self) -> bool {
        !self.is_delivered || self.mail.is_none()
    }

    /// When the run was begun or, if it has ended, when that was, in seconds of UTC.
    pub(super) fn last_step_at(&self) -> i64 {
        let ended_at = self.result.as_ref().map(|result| result.ended_at_ms.div_euclid(1000));
        ended_at.map_or(self.begun_at, |ended_at| ended_at.max(self.begun_at))
    }

    /// Whether a main that starts at `now` needs to know the run. An `@reboot` start may be due again for longer than others, and there are
    /// no more of them than entries in the crontabs.
    fn is_live(&self, now: i64, kept_starts: i64) -> bool {
        let kept_starts = if self.at_reboot { kept_starts.max(KEPT_STARTS) } else { kept_starts };
        self.is_open() || self.last_step_at() > now.saturating_sub(kept_starts)
    }
}

/// The content of a journal.
#[derive(Debug, Default)]
pub struct JournalContent {
    /// The runs that are still needed.
    pub runs: BTreeMap<RunId, JournaledRun>,
    /// Hooks and pings that have ended in the last minutes, the newest ones if there are very many.
    pub follow_ups: VecDeque<JournaledFollowUp>,
    /// Whether it was written in another boot, so that all its processes are gone.
    pub is_of_another_boot: bool,
    /// Whether an invalid record was found. Everything after it is lost.
    pub is_damaged: bool,
    /// Offset of the end of the last complete record.
    pub(super) valid_length: u64,
}

/// Encodes the header of a journal.
fn header(boot_id: &str) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    for (to, from) in header.iter_mut().zip(MAGIC.into_iter().chain(boot_id.bytes())) {
        *to = from;
    }
    header
}

/// The lower half of the checksum.
fn short_checksum(payload: &[u8]) -> [u8; 4] {
    (checksum([payload]) as u32).to_le_bytes()
}

/// Appends a record. A record that is too long, which does not happen, is left out.
fn append(buffer: &mut Vec<u8>, record: &JournalRecord) {
    let Ok(payload) = postcard::to_stdvec(record) else { return };
    let Ok(length) = u16::try_from(payload.len()) else { return };
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&short_checksum(&payload));
    buffer.extend_from_slice(&payload);
}

/// Reads a journal at `now`, seconds of UTC. Memory use depends on the runs that are still needed, not on the length of the file.
///
/// # Errors
///
/// The file cannot be read, or is no journal of this version.
pub fn read(file: &File, boot_id: &str, now: i64) -> Result<JournalContent, JournalError> {
    read_keeping(file, boot_id, now, KEPT_STARTS)
}

fn read_keeping(file: &File, boot_id: &str, now: i64, kept_starts: i64) -> Result<JournalContent, JournalError> {
    let mut reader = BufReader::with_capacity(64 << 10, OffsetReader::new(file, 0).take(2 * LONGEST));
    let mut found = [0; HEADER];
    if !read_whole(&mut reader, &mut found).map_err(os("reading"))? {
        // The executor was killed before it had written anything.
        let is_empty = found.iter().all(|byte| *byte == 0);
        return if is_empty { Ok(JournalContent::default()) } else { Err(JournalError::Foreign) };
    }
    if !found.starts_with(&MAGIC) {
        return Err(JournalError::Foreign);
    }
    let mut content = JournalContent {
        is_of_another_boot: found != header(boot_id),
        valid_length: HEADER as u64,
        ..Default::default()
    };
    let mut payload = Vec::new();
    while !content.is_of_another_boot {
        let mut prefix = [0; PREFIX];
        if !read_whole(&mut reader, &mut prefix).map_err(os("reading"))? {
            break;
        }
        let [low, high, checked @ ..] = prefix;
        payload.resize(usize::from(u16::from_le_bytes([low, high])), 0);
        if !read_whole(&mut reader, &mut payload).map_err(os("reading"))? {
            break;
        }
        let record = postcard::from_bytes(&payload).ok().filter(|_| short_checksum(&payload) == checked);
        let Some(record) = record else {
            content.is_damaged = true;
            break;
        };
        content.valid_length += (PREFIX + payload.len()) as u64;
        take_up(&mut content, record, now, kept_starts);
    }
    Ok(content)
}

/// The first bytes of a text, without a character that would be cut.
fn beginning(text: &[u8], most: usize) -> &[u8] {
    let cut = text.get(..most).unwrap_or(text);
    match std::str::from_utf8(cut) {
        Err(error) if error.error_len().is_none() => cut.get(..error.valid_up_to()).unwrap_or(cut),
        _ => cut,
    }
}

fn take_up(content: &mut JournalContent, record: JournalRecord, now: i64, kept_starts: i64) {
    let runs = &mut content.runs;
    match record {
        JournalRecord::Intent { run, job, scheduled_at, begun_at, at_reboot, cause } => {
            let known = JournaledRun {
                job,
                scheduled_at,
                begun_at,
                at_reboot,
                cause,
                process: None,
                result: None,
                is_delivered: false,
                mail: None,
            };
            runs.insert(run, known);
        }
        JournalRecord::Withdrawn { run } => drop(runs.remove(&run)),
        JournalRecord::Process { run, process } => {
            if let Some(known) = runs.get_mut(&run) {
                known.process = Some(process);
            }
        }
        JournalRecord::Ended(result) => {
            if let Some(known) = runs.get_mut(&result.run) {
                known.result = Some(result);
            }
        }
        JournalRecord::Delivered { run } => close(runs, run, now, kept_starts, |known| known.is_delivered = true),
        JournalRecord::Reported { run, mail } => close(runs, run, now, kept_starts, |known| known.mail = Some(mail)),
        JournalRecord::FollowedUp(follow_up) if follow_up.ended_at > now.saturating_sub(kept_starts) => {
            if content.follow_ups.len() == MOST_FOLLOW_UPS {
                content.follow_ups.pop_front();
            }
            content.follow_ups.push_back(follow_up);
        }
        JournalRecord::FollowedUp(_) => {}
    }
}

/// Records a step after the end of a run, and forgets the run after the last step.
fn close(
    runs: &mut BTreeMap<RunId, JournaledRun>,
    run: RunId,
    now: i64,
    kept_starts: i64,
    note: impl FnOnce(&mut JournaledRun),
) {
    let Some(known) = runs.get_mut(&run) else { return };
    note(known);
    if !known.is_live(now, kept_starts) {
        runs.remove(&run);
    }
}

/// The journal that an executor writes. Records are collected and written with one system call.
#[derive(Debug, Default)]
pub(super) struct Journal {
    file: Option<File>,
    boot_id: String,
    waiting: Vec<u8>,
    size: u64,
    /// Length above which the journal is compacted, in bytes.
    compact_above: u64,
}

impl Journal {
    /// Begins a journal in an empty file.
    pub(super) fn begin(file: File, boot_id: &str) -> Result<Journal, JournalError> {
        file.write_all_at(&header(boot_id), 0).map_err(os("writing"))?;
        let (size, compact_above) = (HEADER as u64, WORTH_COMPACTING);
        Ok(Journal { file: Some(file), boot_id: boot_id.to_owned(), waiting: Vec::new(), size, compact_above })
    }

    /// Whether there is a file to write to.
    pub(super) fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Records that the run is about to be started.
    pub(super) fn intend(&mut self, start: &RunRequest, now: i64) {
        let RunRequest { run, scheduled_at, at_reboot, trigger, attempt, .. } = *start;
        let (job, cause) = (start.job.clone(), Some(RunCause { trigger, attempt }));
        self.push(&JournalRecord::Intent { run, job, scheduled_at, begun_at: now, at_reboot, cause });
    }

    /// Records that the run was not started.
    pub(super) fn withdraw(&mut self, run: RunId) {
        self.push(&JournalRecord::Withdrawn { run });
    }

    /// Records the process of the run.
    pub(super) fn has_process(&mut self, run: RunId, process: ProcessId) {
        self.push(&JournalRecord::Process { run, process });
    }

    /// Records the result of the run.
    pub(super) fn ended(&mut self, result: &RunResult) {
        self.push(&JournalRecord::Ended(shortened(result)));
    }

    /// Records that the result has been written to the socket of a main.
    pub(super) fn delivered(&mut self, run: RunId) {
        self.push(&JournalRecord::Delivered { run });
    }

    /// Records that the end is logged and the output has been handled.
    pub(super) fn reported(&mut self, run: RunId, mail: MailResult) {
        self.push(&JournalRecord::Reported { run, mail });
    }

    /// Records the end of a hook or a ping of a run.
    pub(super) fn followed_up(&mut self, run: RunId, what: &str, how: &str, output: &[u8]) {
        let record = JournaledFollowUp {
            run,
            ended_at: clock::wall().seconds,
            what: what.to_owned(),
            how: String::from_utf8_lossy(beginning(how.as_bytes(), LONGEST_REASON)).into_owned(),
            output: beginning(output, FOLLOW_UP_OUTPUT).to_vec(),
        };
        self.push(&JournalRecord::FollowedUp(record));
    }

    fn push(&mut self, record: &JournalRecord) {
        if self.is_kept() {
            append(&mut self.waiting, record);
        }
    }

    /// Writes the collected records. Records that cannot be written are dropped.
    pub(super) fn flush(&mut self) -> Result<(), JournalError> {
        let Some(file) = &self.file else { return Ok(()) };
        if self.waiting.is_empty() {
            return Ok(());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let fits = self.size + waiting.len() as u64 <= 2 * LONGEST;
        let written =
            if fits { file.write_all_at(&waiting, self.size) } else { Err(io::ErrorKind::FileTooLarge.into()) };
        if let Err(error) = written {
            // An incomplete record would hide all later ones.
            let _ = file.set_len(self.size);
            return Err(os("writing")(error).into());
        }
        self.size += waiting.len() as u64;
        Ok(())
    }

    /// Whether the journal should be compacted.
    pub(super) fn is_worth_compacting(&self) -> bool {
        self.is_kept() && self.size > self.compact_above
    }

    /// Postpones compacting after a failure until the journal has grown.
    pub(super) fn postpone_compacting(&mut self) {
        self.compact_above = self.size + LONGEST / 8;
    }

    fn was_compacted(&mut self, size: u64) {
        (self.size, self.compact_above) = (size, WORTH_COMPACTING.max(2 * size).min(LONGEST));
    }

    /// The content of a compacted journal at `now`, and whether starts had to be left out of it.
    pub(super) fn compacted(&self, now: i64) -> Result<Compacted, JournalError> {
        let Some(file) = &self.file else { return Ok(Compacted::default()) };
        let mut bytes = self.bytes_of(file, now, KEPT_STARTS)?;
        if bytes.len() as u64 > LONGEST / 2 {
            bytes = self.bytes_of(file, now, KEPT_STARTS_WHEN_LONG)?;
        }
        let lost_starts = bytes.len() as u64 > LONGEST / 2;
        if lost_starts {
            bytes = self.bytes_of(file, now, i64::MIN)?;
        }
        if bytes.len() as u64 > LONGEST / 2 {
            bytes = header(&self.boot_id).to_vec();
        }
        Ok(Compacted { bytes, lost_starts })
    }

    fn bytes_of(&self, file: &File, now: i64, kept_starts: i64) -> Result<Vec<u8>, JournalError> {
        let content = read_keeping(file, &self.boot_id, now, kept_starts)?;
        let mut bytes = header(&self.boot_id).to_vec();
        for follow_up in content.follow_ups {
            append(&mut bytes, &JournalRecord::FollowedUp(follow_up));
        }
        for (run, known) in content.runs.into_iter().filter(|(_, known)| known.is_live(now, kept_starts)) {
            let JournaledRun { job, scheduled_at, begun_at, at_reboot, cause, process, result, is_delivered, mail } =
                known;
            append(&mut bytes, &JournalRecord::Intent { run, job, scheduled_at, begun_at, at_reboot, cause });
            if let Some(process) = process.filter(|_| result.is_none()) {
                append(&mut bytes, &JournalRecord::Process { run, process });
            }
            if let Some(result) = result {
                append(&mut bytes, &JournalRecord::Ended(result));
            }
            if is_delivered {
                append(&mut bytes, &JournalRecord::Delivered { run });
            }
            if let Some(mail) = mail {
                append(&mut bytes, &JournalRecord::Reported { run, mail });
            }
        }
        Ok(bytes)
    }

    /// Continues in another file, which already has this size.
    pub(super) fn go_on_in(&mut self, file: File, size: u64) {
        self.file = Some(file);
        self.was_compacted(size);
    }

    /// Replaces the content of the file.
    pub(super) fn rewrite(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        let Some(file) = &self.file else { return Ok(()) };
        file.write_all_at(bytes, 0).and_then(|()| file.set_len(bytes.len() as u64)).map_err(os("rewriting"))?;
        self.was_compacted(bytes.len() as u64);
        Ok(())
    }
}

/// A journal's content without runs that are not needed any more.
#[derive(Debug, Default)]
pub(super) struct Compacted {
    pub(super) bytes: Vec<u8>,
    /// Whether starts of the last minutes were left out because of the size limit.
    pub(super) lost_starts: bool,
}

/// The bytes of a journal without the runs that are not needed any more, at `now`, seconds of UTC; for tests/fuzz.
///
/// # Errors
///
/// The file cannot be read, or is no journal of this version.
pub fn compact(file: File, boot_id: &str, now: i64) -> Result<Vec<u8>, JournalError> {
    let journal = Journal { file: Some(file), boot_id: boot_id.to_owned(), ..Journal::default() };
    Ok(journal.compacted(now)?.bytes)
}

/// Appends records to the journal of a dead executor, behind its last complete record: a main knows the results of these runs. A run
/// without a result is recorded as lost, and one whose mail is not known as one without a mail.
pub(super) fn append_handled<'a>(
    file: &File,
    valid_length: &mut u64,
    runs: impl Iterator<Item = (RunId, &'a JournaledRun)>,
) -> Result<(), JournalError> {
    let mut bytes = Vec::new();
    for (run, known) in runs {
        if known.result.is_none() {
            let lost = RunResult::of_outcome(run, RunOutcome::Lost, clock::wall_ms());
            append(&mut bytes, &JournalRecord::Ended(lost));
        }
        append(&mut bytes, &JournalRecord::Delivered { run });
        // What became of the mail stays known: this main may be killed before it has recorded that in the history.
        if known.mail.is_none() {
            append(&mut bytes, &JournalRecord::Reported { run, mail: MailResult::NotWanted });
        }
    }
    // An incomplete record would hide these.
    file.set_len(*valid_length).and_then(|()| file.write_all_at(&bytes, *valid_length)).map_err(os("writing"))?;
    *valid_length += bytes.len() as u64;
    Ok(())
}

/// Returns the result with its reason cut to the maximum length.
fn shortened(result: &RunResult) -> RunResult {
    let mut result = result.clone();
    if let RunOutcome::NotStarted { why } = &mut result.outcome {
        let length = (0..=LONGEST_REASON).rev().find(|at| why.is_char_boundary(*at)).unwrap_or(0);
        why.truncate(length);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::test_request::request;
    use crate::scheduler::Trigger;

    const NOW: i64 = 1_800_000_000;
    const BOOT_ID: &str = "4e3f27bb-1b62-4f7a-8d52-0123456789ab";

    fn start(run: u64) -> RunRequest {
        RunRequest { scheduled_at: NOW - 5, ..request(run) }
    }

    fn ended(run: u64, outcome: RunOutcome) -> RunResult {
        RunResult { duration_ms: 1234, ..RunResult::of_outcome(RunId(run), outcome, NOW * 1000) }
    }

    fn journal() -> (File, Journal) {
        let file = tempfile::tempfile().unwrap();
        (file.try_clone().unwrap(), Journal::begin(file, BOOT_ID).unwrap())
    }

    fn runs(file: &File) -> BTreeMap<RunId, JournaledRun> {
        let content = read(file, BOOT_ID, NOW).unwrap();
        assert!(!content.is_damaged && !content.is_of_another_boot);
        content.runs
    }

    #[test]
    fn what_became_of_each_run_is_read_back() {
        let (file, mut journal) = journal();
        let process = ProcessId { pid: 7, started: 4711 };
        (1..=5).for_each(|run| journal.intend(&start(run), NOW));
        journal.withdraw(RunId(1));
        journal.has_process(RunId(3), process);
        journal.has_process(RunId(4), process);
        journal.ended(&ended(4, RunOutcome::Code(3)));
        journal.reported(RunId(4), MailResult::Sent);
        journal.ended(&ended(5, RunOutcome::NotStarted { why: "é".repeat(2500) }));
        journal.delivered(RunId(5));
        assert_eq!(runs(&file).len(), 0, "nothing is written before it is flushed");
        journal.flush().unwrap();
        let runs = runs(&file);
        assert_eq!(runs.keys().map(|run| run.0).collect::<Vec<_>>(), [2, 3, 4, 5]);
        assert_eq!(runs[&RunId(2)].process, None);
        assert_eq!((runs[&RunId(3)].process, &runs[&RunId(3)].result), (Some(process), &None));
        assert_eq!(runs[&RunId(4)].result, Some(ended(4, RunOutcome::Code(3))));
        assert!(runs[&RunId(5)].is_delivered && !runs[&RunId(4)].is_delivered);
        assert_eq!((&runs[&RunId(4)].mail, &runs[&RunId(5)].mail), (&Some(MailResult::Sent), &None));
        let Some(RunResult { outcome: RunOutcome::NotStarted { why }, .. }) = &runs[&RunId(5)].result else {
            panic!("{runs:?}")
        };
        assert_eq!(why.len(), LONGEST_REASON);
    }

    #[test]
    fn journals_with_and_without_the_causes_of_runs_are_read_by_all_versions() {
        let triggers = [
            Trigger::Schedule,
            Trigger::CatchUp,
            Trigger::Retry,
            Trigger::Manual,
            Trigger::After,
            Trigger::Reboot,
            Trigger::Anacron,
            Trigger::Failover,
        ];
        let (file, mut journal) = journal();
        for (number, trigger) in (0..).zip(triggers) {
            journal.intend(&RunRequest { trigger, attempt: number + 1, ..start(u64::from(number)) }, NOW);
        }
        let intent = |cause| {
            let (run, job) = (RunId(300), JobId::named("alice", "job"));
            JournalRecord::Intent { run, job, scheduled_at: 60, begun_at: 61, at_reboot: false, cause }
        };
        // As an older version writes it.
        journal.push(&intent(None));
        journal.flush().unwrap();
        let found = || runs(&file).into_values().map(|known| known.cause).collect::<Vec<_>>();
        let cause = |(attempt, trigger)| Some(RunCause { trigger, attempt });
        let expected: Vec<Option<RunCause>> = (1..).zip(triggers).map(cause).chain([None]).collect();
        assert_eq!(found(), expected);
        journal.rewrite(&journal.compacted(NOW).unwrap().bytes).unwrap();
        assert_eq!(found(), expected);
        for (attempt, trigger) in (1..).zip(triggers) {
            let old = b"\x00\xac\x02\x09alice:job\x78\x7a\x00";
            let new = [old, &[attempt as u8 - 1, attempt as u8][..]].concat();
            assert_eq!(postcard::to_stdvec(&intent(cause((attempt, trigger)))).unwrap(), new);
            assert_eq!(postcard::to_stdvec(&intent(None)).unwrap(), old);
            // A trigger of a newer version is unknown.
            let newer = [old, &[200, 1][..]].concat();
            let record: JournalRecord = postcard::from_bytes(&newer).unwrap();
            assert!(matches!(record, JournalRecord::Intent { at_reboot: false, cause: None, .. }));
        }
    }

    #[test]
    fn a_journal_is_of_use_up_to_where_it_was_cut_or_damaged() {
        let (file, mut journal) = journal();
        (1..=3).for_each(|run| journal.intend(&start(run), NOW));
        journal.flush().unwrap();
        let whole = file.metadata().unwrap().len();
        let one = (whole - HEADER as u64) / 3;
        for cut in 0..one {
            file.set_len(whole - cut).unwrap();
            assert_eq!(runs(&file).len(), if cut == 0 { 3 } else { 2 });
        }
        // Every bit of the second record in turn; the last is whole again, but nothing after a bad one is believed.
        file.set_len(HEADER as u64 + one).unwrap();
        journal.size = HEADER as u64 + one;
        (2..=3).for_each(|run| journal.intend(&start(run), NOW));
        journal.flush().unwrap();
        for at in HEADER as u64 + one + 2..HEADER as u64 + 2 * one {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
            let content = read(&file, BOOT_ID, NOW).unwrap();
            assert!(content.is_damaged && content.runs.len() == 1, "{at}");
            file.write_all_at(&byte, at).unwrap();
        }
        assert_eq!(runs(&file).len(), 3);
    }

    #[test]
    fn what_is_no_journal_of_this_boot_and_version_tells_nothing() {
        let (file, mut journal) = journal();
        journal.intend(&start(1), NOW);
        journal.flush().unwrap();
        let content = read(&file, "another", NOW).unwrap();
        assert!(content.is_of_another_boot && content.runs.is_empty());
        file.write_all_at(&[2], 7).unwrap();
        assert!(matches!(read(&file, BOOT_ID, NOW), Err(JournalError::Foreign)));
        file.set_len(20).unwrap();
        assert!(matches!(read(&file, BOOT_ID, NOW), Err(JournalError::Foreign)));
        file.set_len(0).unwrap();
        assert!(read(&file, BOOT_ID, NOW).unwrap().runs.is_empty());
    }

    #[test]
    fn a_journal_forgets_runs_that_are_long_over_and_stays_short() {
        let (file, mut journal) = journal();
        journal.intend(&start(0), NOW - KEPT_STARTS - 1);
        for run in 1..200_000 {
            let now = NOW - KEPT_STARTS + run as i64 / 1000;
            journal.intend(&start(run), now);
            journal.ended(&RunResult { ended_at_ms: now * 1000, ..ended(run, RunOutcome::Code(0)) });
            journal.delivered(RunId(run));
            journal.reported(RunId(run), MailResult::NotWanted);
            journal.flush().unwrap();
            if journal.is_worth_compacting() {
                let compacted = journal.compacted(now + KEPT_STARTS - 10).unwrap();
                assert!(!compacted.lost_starts);
                journal.rewrite(&compacted.bytes).unwrap();
            }
            assert!(journal.size <= 4 << 20, "{}", journal.size);
        }
        assert_eq!(file.metadata().unwrap().len(), journal.size);
        let runs = runs(&file);
        assert!(runs.contains_key(&RunId(0)), "a run in progress is not forgotten");
        assert!((190_001..200_000).all(|run| runs.contains_key(&RunId(run))));
    }

    #[test]
    fn the_end_of_a_long_run_is_kept_for_the_main_after_the_one_that_received_it() {
        let (file, mut journal) = journal();
        for (run, ended_at) in [(1, NOW - 1), (2, NOW - KEPT_STARTS - 1)] {
            journal.intend(&start(run), NOW - 10 * KEPT_STARTS);
            journal.ended(&RunResult { ended_at_ms: ended_at * 1000, ..ended(run, RunOutcome::Code(0)) });
            journal.delivered(RunId(run));
            journal.reported(RunId(run), MailResult::NotWanted);
        }
        // Of these the end or the mail is not known to anybody else yet.
        for run in [3, 4] {
            journal.intend(&start(run), NOW - 10 * KEPT_STARTS);
            journal.ended(&RunResult { ended_at_ms: 0, ..ended(run, RunOutcome::Code(0)) });
        }
        journal.delivered(RunId(3));
        journal.reported(RunId(4), MailResult::NotWanted);
        journal.flush().unwrap();
        let is_kept = |found: BTreeMap<RunId, JournaledRun>| found.keys().map(|run| run.0).eq([1, 3, 4]);
        assert!(is_kept(runs(&file)));
        journal.rewrite(&journal.compacted(NOW).unwrap().bytes).unwrap();
        assert!(is_kept(runs(&file)));
    }

    #[test]
    fn a_main_that_handles_what_a_dead_executor_has_left_keeps_it_for_the_next_main() {
        let (file, mut journal) = journal();
        (1..=3).for_each(|run| journal.intend(&start(run), NOW));
        (2..=3).for_each(|run| journal.ended(&ended(run, RunOutcome::Code(3))));
        journal.reported(RunId(3), MailResult::Sent);
        journal.flush().unwrap();
        let mut valid_length = journal.size;
        let open = runs(&file);
        append_handled(&file, &mut valid_length, open.iter().map(|(run, known)| (*run, known))).unwrap();
        let found: Vec<(RunOutcome, Option<MailResult>)> =
            runs(&file).into_values().map(|run| (run.result.unwrap().outcome, run.mail)).collect();
        let expected = [
            (RunOutcome::Lost, MailResult::NotWanted),
            (RunOutcome::Code(3), MailResult::NotWanted),
            (RunOutcome::Code(3), MailResult::Sent),
        ];
        assert_eq!(found, expected.map(|(outcome, mail)| (outcome, Some(mail))));
    }

    #[test]
    fn a_journal_without_room_gives_up_starts_and_says_so() {
        let (file, mut journal) = journal();
        journal.intend(&start(0), NOW);
        for run in 1..600_000 {
            journal.intend(&start(run), NOW);
            journal.ended(&ended(run, RunOutcome::Code(0)));
            journal.delivered(RunId(run));
            journal.reported(RunId(run), MailResult::NotWanted);
        }
        journal.flush().unwrap();
        let compacted = journal.compacted(NOW).unwrap();
        assert!(compacted.lost_starts);
        journal.rewrite(&compacted.bytes).unwrap();
        assert_eq!(runs(&file).keys().collect::<Vec<_>>(), [&RunId(0)]);
    }

    #[test]
    fn starts_at_boot_are_kept_in_a_journal_without_room_for_other_starts() {
        let (file, mut journal) = journal();
        for run in 1..300_000 {
            journal.intend(&RunRequest { at_reboot: run <= 100, ..start(run) }, NOW - 500);
            journal.ended(&ended(run, RunOutcome::Code(0)));
            journal.delivered(RunId(run));
            journal.reported(RunId(run), MailResult::NotWanted);
            if run % 1000 == 0 {
                journal.flush().unwrap();
            }
        }
        journal.flush().unwrap();
        let compacted = journal.compacted(NOW).unwrap();
        journal.rewrite(&compacted.bytes).unwrap();
        assert!(runs(&file).keys().map(|run| run.0).eq(1..=100));
    }

    #[test]
    fn a_journal_is_bounded_and_so_are_the_follow_ups_that_are_read_from_it() {
        let (file, mut journal) = journal();
        for number in 0..=MOST_FOLLOW_UPS as u64 {
            let (what, how) = ("failure".to_owned(), "exit 0".to_owned());
            let follow_up = JournaledFollowUp { run: RunId(number), ended_at: NOW, what, how, output: Vec::new() };
            journal.push(&JournalRecord::FollowedUp(follow_up));
        }
        journal.flush().unwrap();
        let content = read(&file, BOOT_ID, NOW).unwrap();
        let first = content.follow_ups.front().map(|follow_up| follow_up.run);
        assert_eq!((content.follow_ups.len(), first), (MOST_FOLLOW_UPS, Some(RunId(1))));
        journal.size = 2 * LONGEST - 1;
        journal.intend(&start(1), NOW);
        assert!(journal.flush().is_err());
    }

    #[test]
    fn a_full_disk_leaves_whole_records() {
        let (file, mut journal) = journal();
        journal.intend(&start(1), NOW);
        journal.flush().unwrap();
        // Read-only, as another way in which writing fails.
        let reopened = std::fs::OpenOptions::new().read(true).open("/dev/null").unwrap();
        let kept = journal.file.replace(reopened);
        journal.intend(&start(2), NOW);
        assert!(journal.flush().is_err());
        journal.file = kept;
        journal.intend(&start(3), NOW);
        journal.flush().unwrap();
        assert_eq!(runs(&file).keys().map(|run| run.0).collect::<Vec<_>>(), [1, 3]);
    }
}
