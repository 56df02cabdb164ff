//! The executor's mail: passes a job's output to a mailer, which runs as the job's owner. The number of mailers is limited, and each has a
//! time limit.

use super::children::{Child, Children};
use super::context::{Context, EventSource, token};
use super::ended_run::EndedRun;
use crate::crontab::MailRule;
use crate::executor::config::Mailer;
use crate::executor::environment::{Variables, c_string};
use crate::executor::exec_spec::{ExecSpec, ExecStage, Failure, Stdio};
use crate::executor::job::{Feed, Job};
use crate::executor::job_log::JobRef;
use crate::executor::owner::{FairQueue, OwnerKey, OwnerMemory};
use crate::profile::ProfileName;
use crate::report::mail::{self, Addresses, Head, MailSettings, SENDMAIL};
use crate::report::{Level, format_count};
use crate::scheduler::{MailResult, RunRequest};
use crate::sys::clock;
use crate::sys::contract::SingleThreaded;
use crate::sys::created;
use crate::sys::files;
use crate::sys::locale;
use crate::sys::process::{self, Ask, Pid, Program, Status};
use crate::users::UserWithGroups;
use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

/// Maximum number of mailers at once, and of one owner's while mails of others wait. An owner without a mailer gets one nevertheless as
/// long as there are fewer than twice as many, so that mailers of another owner that hang do not block its mail.
const MAILERS: usize = 8;
const MAILERS_OF_ONE: usize = 4;
/// Maximum number of queued mails of one owner. Further ones are dropped.
const WAITING_OF_ONE: usize = 1000;
/// The time after which waiting mail is logged, if all mailers are busy.
const LOG_WAITING_AFTER_MS: i64 = 10_000;
/// Pause after a mailer could not be forked.
const BACKOFF_MS: i64 = 1_000;

/// A mail that waits for a mailer.
pub(super) struct QueuedMail {
    start: Box<RunRequest>,
    user: Rc<UserWithGroups>,
    content: MailContent,
    since_ms: i64,
}

/// The contents of a mail.
pub(super) struct MailContent {
    command: Vec<u8>,
    arguments: Vec<Vec<u8>>,
    /// The variables that PAM added to the job's environment.
    pam_variables: Option<Variables>,
    text: Vec<u8>,
    /// Length of the output in the text.
    output: usize,
}

impl MailContent {
    /// Memory that it uses while it waits, in bytes.
    fn size(&self) -> usize {
        let variables = self.pam_variables.iter().flat_map(Variables::iter);
        let variables: usize = variables.map(|(name, value)| name.len() + value.len()).sum();
        self.command.len() + self.text.len() + variables
    }
}

/// A mailer that is running, with the request of the run whose output it gets.
pub(super) struct MailProcess {
    start: Box<RunRequest>,
    owner: OwnerKey,
    user: Rc<UserWithGroups>,
    command: Vec<u8>,
    /// Memory that is charged for it, in bytes.
    size: usize,
    pid: Pid,
    since_ms: i64,
    feed: Option<Feed>,
    output: usize,
    until_ms: i64,
    spec: ExecSpec,
    failure: Option<String>,
    timed_out: bool,
}

impl MailProcess {
    fn job_ref(&self) -> JobRef<'_> {
        JobRef { start: &self.start, user: &self.user.name, command: &self.command, pid: Some(self.pid) }
    }
}

/// The queue of mails and the running mailers.
pub(super) struct Mails {
    queued: FairQueue<QueuedMail>,
    processes: HashMap<u64, MailProcess>,
    /// No mailer is started before this time, because a fork failed (monotonic).
    backoff_until_ms: i64,
    /// Whether it has been logged that mail waits for a long time.
    has_logged_waiting: bool,
    /// Owners whose mails are dropped because too many of them are queued.
    dropping: HashSet<OwnerKey>,
    /// Character set of the mails.
    charset: String,
    null: OwnedFd,
}

/// Whether output of this run may be mailed or logged, as far as that is known before its start.
pub(super) fn may_be_wanted(context: &Context, start: &RunRequest) -> bool {
    if context.config.output_to_log {
        return true;
    }
    if context.config.mailer == Mailer::Off || start.rules.mail == MailRule::Never {
        return false;
    }
    // What the table sets holds also where PAM sets it.
    let of_table = start.variables.iter().find(|(name, _)| *name == b"MAILTO").map(|(_, to)| to);
    let inherited = context.inherited.get("MAILTO").filter(|_| context.config.standalone);
    of_table.or(inherited).is_none_or(|to| !to.is_empty())
}

/// Whether output of this job is mailed.
pub(super) fn is_wanted(context: &Context, job: &Job) -> bool {
    let has_mailer = match &context.config.mailer {
        Mailer::Off => false,
        Mailer::Command(_) => true,
        Mailer::Sendmail => Path::new(SENDMAIL).exists(),
    };
    let is_spared = job.start.flags.mail_only_on_failure && job.has_succeeded();
    let is_spared = is_spared || job.start.rules.mail == MailRule::Never;
    if context.config.output_to_log || !has_mailer || is_spared {
        return false;
    }
    let cron = context.environment(&job.start, &job.user);
    let whole = job.pam_variables.clone().unwrap_or_default().overlaid(&cron);
    whole.get("MAILTO").is_none_or(|to| !to.is_empty())
}

impl Mails {
    pub(super) fn new(threads: &SingleThreaded, null: OwnedFd) -> Mails {
        Mails {
            queued: FairQueue::default(),
            processes: HashMap::new(),
            backoff_until_ms: 0,
            has_logged_waiting: false,
            dropping: HashSet::new(),
            charset: locale::charset(threads),
            null,
        }
    }

    /// The number of mails that wait for a mailer.
    pub(super) fn waiting(&self) -> usize {
        self.queued.len()
    }

    /// The number of running mailers.
    pub(super) fn mailers(&self) -> usize {
        self.processes.len()
    }

    /// Logs the output of a run.
    pub(super) fn log_output(&self, context: &mut Context, run: &EndedRun) {
        if run.has_output {
            let command = run.command(context.profile);
            let text = mail::body(context.profile, run.output.text());
            context.log.output(run.job_ref(&command), &text);
        }
    }

    /// The mail with the output of a run. None if there is none to be sent.
    pub(super) fn compose(&self, context: &mut Context, run: &EndedRun) -> Option<MailContent> {
        if context.config.output_to_log || context.config.mailer == Mailer::Off {
            return None;
        }
        let command = run.command(context.profile);
        let job_ref = run.job_ref(&command);
        let cron = context.environment(&run.start, &run.user);
        let whole = run.pam_variables.clone().unwrap_or_default().overlaid(&cron);
        let (addresses, settings) = addressed(context, job_ref, &cron, &whole)?;
        let arguments = match &context.config.mailer {
            Mailer::Off => return None,
            Mailer::Command(line) => vec![b"/bin/sh".to_vec(), b"-c".to_vec(), line.as_bytes().to_vec()],
            Mailer::Sendmail if !Path::new(SENDMAIL).exists() => {
                let whose = JobRef { user: "CRON", ..job_ref };
                context.log.record(whose, Level::Info, "info", b"No MTA installed, discarding output", "");
                return None;
            }
            Mailer::Sendmail => mail::sendmail_arguments(context.profile, &addresses),
        };
        let host = files::host_name().unwrap_or_default();
        let head = Head {
            from: &addresses.from,
            to: addresses.to.as_deref().unwrap_or_default(),
            user: &run.user.name,
            host: &host,
            full_host_name: context.config.full_host_name,
            command: &command,
            says_failed: context.config.log_mask & 4 != 0 && !run.is_success(),
            charset: &self.charset,
            settings: settings.as_settings(),
            job: run.start.job.as_str(),
            status: &run.status(),
            duration_ms: run.result.duration_ms,
        };
        let shown = if context.profile.profile == ProfileName::Debian { &cron } else { &whole };
        let mut text = mail::head(context.profile, &head, shown.iter());
        let mut output = mail::body(context.profile, run.output.text());
        let length = output.len();
        text.append(&mut output);
        let pam_variables = run.pam_variables.clone();
        Some(MailContent { command, arguments, pam_variables, text, output: length })
    }

    /// Queues a mail. False if it is dropped because too many of its owner's mails wait.
    pub(super) fn queue(
        &mut self,
        context: &mut Context,
        memory: &mut OwnerMemory,
        run: &EndedRun,
        content: MailContent,
    ) -> bool {
        let (owner, user, start) = (run.owner.clone(), run.user.clone(), run.start.clone());
        let size = content.size();
        if self.queued.len_of(&owner) >= WAITING_OF_ONE || !memory.output.has_capacity(&owner, size) {
            if self.dropping.insert(owner) {
                let job_ref = JobRef { start: &start, user: &user.name, command: &content.command, pid: None };
                let detail = b"too many mails wait for the mailer: this one is dropped, and those that follow until the queue is shorter";
                context.log.record(job_ref, Level::Warning, "MAIL", detail, "");
            }
            return false;
        }
        self.dropping.remove(&owner);
        memory.output.take(&owner, size);
        self.queued.push_back(owner, QueuedMail { start, user, content, since_ms: clock::monotonic_ms() });
        true
    }

    /// Starts mailers for queued mails, within the limits.
    pub(super) fn send_queued(&mut self, context: &mut Context, children: &mut Children, now_ms: i64) {
        while self.backoff_until_ms <= now_ms {
            let Some((owner, queued_mail)) = self.next_queued_mail() else { break };
            let id = context.new_id();
            let spec = mailer_spec(context, &queued_mail);
            match self.start_mailer(context, &queued_mail, &spec) {
                Ok((pid, mut feed)) => {
                    let wait = !feed.proceed()
                        && context.poll.add_for_writing(&feed.pipe, token(EventSource::MailFeed, id)).is_ok();
                    let size = queued_mail.content.size();
                    let QueuedMail { start, user, content: MailContent { command, output, .. }, .. } = queued_mail;
                    let process = MailProcess {
                        start,
                        owner,
                        user,
                        command,
                        size,
                        pid,
                        since_ms: now_ms,
                        feed: wait.then_some(feed),
                        output,
                        until_ms: now_ms.saturating_add(mailer_limit_ms(context)),
                        spec,
                        failure: None,
                        timed_out: false,
                    };
                    children.insert(pid, Child::Mailer(id));
                    self.processes.insert(id, process);
                }
                Err(_) => {
                    self.queued.push_front(owner, queued_mail);
                    self.backoff_until_ms = now_ms + BACKOFF_MS;
                }
            }
        }
        self.log_waiting(context, now_ms);
    }

    /// The next mail for which a mailer may be started now.
    fn next_queued_mail(&mut self) -> Option<(OwnerKey, QueuedMail)> {
        let processes = &self.processes;
        let at_work = |owner: &OwnerKey| processes.values().filter(|process| process.owner == *owner).count();
        let others_wait = |owner: &OwnerKey| self.queued.len_of(owner) < self.queued.len();
        let may_have_one = |owner: &OwnerKey| match at_work(owner) {
            0 => processes.len() < 2 * MAILERS,
            count => processes.len() < MAILERS && (count < MAILERS_OF_ONE || !others_wait(owner)),
        };
        let owner = self.queued.owners().find(|owner| may_have_one(owner)).cloned()?;
        self.queued.pop_if(|other| *other == owner)
    }

    /// Logs that mail has been waiting for a long time, once until the queue is empty.
    fn log_waiting(&mut self, context: &mut Context, now_ms: i64) {
        let Some(since) = self.queued.firsts().map(|queued_mail| queued_mail.since_ms).min() else {
            self.has_logged_waiting = false;
            return;
        };
        if self.has_logged_waiting || since + LOG_WAITING_AFTER_MS > now_ms {
            return;
        }
        self.has_logged_waiting = true;
        let oldest = self.processes.values().map(|process| now_ms - process.since_ms).max().unwrap_or(0) / 1000;
        let mailers = format_count(self.processes.len(), "mailer", "mailers");
        let waiting = format_count(self.queued.len(), "mail", "mails");
        let detail = format!("mail is delayed: {mailers} running, the oldest for {oldest} s, and {waiting} waiting");
        context.log.own(Level::Warning, "WARNING", &detail);
    }

    fn start_mailer(&self, context: &Context, queued_mail: &QueuedMail, spec: &ExecSpec) -> io::Result<(Pid, Feed)> {
        let owner = spec.identity.as_ref().map(|identity| identity.uid);
        let (input, ours) = created::pipe(owner)?;
        let null = self.null.as_fd();
        let stdio = Stdio { input: input.as_fd(), output: null, error: null };
        let pid = process::fork(&context.threads, |child| {
            let failure = spec.exec(&child, stdio, &context.reporter);
            context.reporter.send(&failure);
            127
        })?;
        // An error here would close the pipe and cut the mail short, but setting a pipe non-blocking cannot fail.
        Ok((pid, Feed::new(ours, queued_mail.content.text.clone())?))
    }

    /// When the next timed work on mail is due (monotonic). None if there is none.
    pub(super) fn next_ms(&self) -> Option<i64> {
        let limit = self.processes.values().filter(|process| !process.timed_out).map(|process| process.until_ms).min();
        let is_held = self.backoff_until_ms > clock::monotonic_ms() && !self.queued.is_empty();
        let log_waiting = self.queued.firsts().map(|queued_mail| queued_mail.since_ms + LOG_WAITING_AFTER_MS).min();
        let log_waiting = log_waiting.filter(|_| !self.has_logged_waiting);
        limit.into_iter().chain(is_held.then_some(self.backoff_until_ms)).chain(log_waiting).min()
    }

    pub(super) fn feed(&mut self, id: u64) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        if process.feed.as_mut().is_some_and(Feed::proceed) {
            process.feed = None;
        }
    }

    /// Records that a mailer could not be executed.
    pub(super) fn failed(&mut self, id: u64, failure: &Failure) {
        if failure.step == ExecStage::DirectoryInstead {
            return;
        }
        if let Some(process) = self.processes.get_mut(&id) {
            process.failure = Some(failure.why(&process.spec));
        }
    }

    /// Handles the end of a mailer. Returns the request of the run and the result of the mail.
    pub(super) fn ended(
        &mut self,
        context: &mut Context,
        memory: &mut OwnerMemory,
        id: u64,
        status: Status,
    ) -> Option<(Box<RunRequest>, MailResult)> {
        let process = self.processes.remove(&id)?;
        memory.output.give_back(&process.owner, process.size);
        let mail = log_mailer_end(context, &process, status);
        Some((process.start, mail))
    }

    /// Kills mailers that have exceeded their time limit.
    pub(super) fn end_overdue(&mut self, now_ms: i64) {
        for process in self.processes.values_mut().filter(|process| process.until_ms <= now_ms && !process.timed_out) {
            process.timed_out = true;
            process.feed = None;
            // The mailer has not been reaped, so the process id is still its own.
            let _ = process::signal_group(process.pid, Ask::Kill).or_else(|_| process::signal(process.pid, Ask::Kill));
        }
    }
}

/// The addresses and headers of the mail. None if there is no recipient.
fn addressed(
    context: &mut Context,
    job_ref: JobRef<'_>,
    cron: &Variables,
    whole: &Variables,
) -> Option<(Addresses, OwnedMailSettings)> {
    let is_cronie = context.profile.profile == ProfileName::Cronie;
    let settings = OwnedMailSettings {
        to: if is_cronie { whole } else { cron }
            .get("MAILTO")
            .map(|to| expanded(context, job_ref, whole, "MAILTO", to)),
        from: cron.get("MAILFROM").map(|from| expanded(context, job_ref, whole, "MAILFROM", from)),
        content_type: whole.get("CONTENT_TYPE").map(<[u8]>::to_vec),
        encoding: whole.get("CONTENT_TRANSFER_ENCODING").map(<[u8]>::to_vec),
    };
    let addresses = mail::addresses(context.profile, job_ref.user, &settings.as_settings());
    for address in &addresses.refused {
        context.log.record(job_ref, Level::Info, mail::refusal(context.profile), address, "");
    }
    addresses.to.is_some().then_some((addresses, settings))
}

/// Expands cronie's `$NAME` in an address: the job's variable of that name, or the daemon's. Debian does not expand it.
fn expanded(context: &mut Context, job_ref: JobRef<'_>, job: &Variables, variable: &str, address: &[u8]) -> Vec<u8> {
    if context.profile.profile == ProfileName::Debian {
        return address.to_vec();
    }
    let value = |name: &str| job.get(name).or_else(|| context.inherited.get(name)).map(<[u8]>::to_vec);
    mail::expand(address, value).unwrap_or_else(|| {
        let detail = format!(
            "The environment variable '{variable}' could not be expanded. The non-expanded value will be used."
        );
        context.log.record(JobRef { user: "CRON", ..job_ref }, Level::Info, "WARNING", detail.as_bytes(), "");
        address.to_vec()
    })
}

fn mailer_spec(context: &Context, queued_mail: &QueuedMail) -> ExecSpec {
    let mut spec = context.exec_spec(&queued_mail.start, &queued_mail.user, b"");
    let cron = context.environment(&queued_mail.start, &queued_mail.user);
    let environment = queued_mail.content.pam_variables.clone().unwrap_or_default().overlaid(&cron);
    let arguments: Vec<CString> = queued_mail.content.arguments.iter().map(|argument| c_string(&[argument])).collect();
    let path = arguments.first().cloned().unwrap_or_default();
    spec.program = Program::new(path, arguments, environment.strings());
    spec.runs_without_home = true;
    spec
}

fn mailer_limit_ms(context: &Context) -> i64 {
    i64::try_from(context.config.mailer_limit.as_millis()).unwrap_or(i64::MAX)
}

/// Logs the end of a failed mailer and returns the result of the mail.
fn log_mailer_end(context: &mut Context, process: &MailProcess, status: Status) -> MailResult {
    let detail = match &process.failure {
        Some(why) => format!("the mailer could not be started: {why}"),
        None if process.timed_out => {
            format!("the mailer was killed after {} s", context.config.mailer_limit.as_secs())
        }
        None if status.is_success() => return MailResult::Sent,
        None => mail::failure(context.profile, process.output, status.raw()),
    };
    let level = if process.failure.is_some() || process.timed_out { Level::Warning } else { Level::Info };
    context.log.record(process.job_ref(), level, "MAIL", detail.as_bytes(), "");
    MailResult::Failed { why: detail }
}

/// [`MailSettings`] with owned texts, which outlive the run.
struct OwnedMailSettings {
    to: Option<Vec<u8>>,
    from: Option<Vec<u8>>,
    content_type: Option<Vec<u8>>,
    encoding: Option<Vec<u8>>,
}

impl OwnedMailSettings {
    fn as_settings(&self) -> MailSettings<'_> {
        MailSettings {
            to: self.to.as_deref(),
            from: self.from.as_deref(),
            content_type: self.content_type.as_deref(),
            encoding: self.encoding.as_deref(),
        }
    }
}
