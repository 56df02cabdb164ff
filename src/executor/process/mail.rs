//! The executor's mail: a job's output to the mailer, as the job's owner, a few mailers at a time and none for ever.

use super::{Child, ExecutorState, Kind, token};
use crate::executor::config::Mailer;
use crate::executor::environment::{Variables, c_string};
use crate::executor::exec_spec::{ExecSpec, ExecStage, Failure, Stdio};
use crate::executor::job::{Feed, Job};
use crate::executor::job_log::JobRef;
use crate::executor::owner::OwnerKey;
use crate::profile::ProfileName;
use crate::report::Level;
use crate::report::mail::{self, Addresses, Head, SENDMAIL, Wishes};
use crate::scheduler::{MailResult, RunOutcome, RunRequest};
use crate::sys::clock;
use crate::sys::created;
use crate::sys::files;
use crate::sys::process::{self, Ask, Pid, Program, Status};
use crate::sys::user::User;
use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;

/// Most mailers at once, and most of one owner's as long as others' mails wait; the other mails wait. An owner without any gets one all the
/// same, as long as there are no more than twice as many, so that one whose mailers hang does not keep others' mail from going out.
const MAILERS: usize = 8;
const MAILERS_OF_ONE: usize = 4;
/// Most mails of one owner that wait; more are dropped.
const WAITING_OF_ONE: usize = 1000;
/// Mails that wait this long because all mailers are busy are worth a line in the log.
const WORTH_TELLING_MS: i64 = 10_000;
/// How long to wait when there is no process to be had for a mailer.
const HOLD_MS: i64 = 1_000;

/// A mail that waits for its mailer.
pub(super) struct QueuedMail {
    start: Box<RunRequest>,
    user: Rc<User>,
    draft: Draft,
    since_ms: i64,
}

/// The part of a mail that does not depend on who owns the run.
pub(super) struct Draft {
    command: Vec<u8>,
    /// The mailer's command line.
    arguments: Vec<Vec<u8>>,
    /// What PAM added to the job's environment.
    pam_variables: Option<Variables>,
    text: Vec<u8>,
    /// Length of the output in it.
    output: usize,
}

impl Draft {
    /// Bytes that it keeps while it waits.
    fn size(&self) -> usize {
        let variables = self.pam_variables.iter().flat_map(Variables::iter);
        let variables: usize = variables.map(|(name, value)| name.len() + value.len()).sum();
        self.command.len() + self.text.len() + variables
    }
}

/// A mailer at work.
pub(super) struct MailProcess {
    start: Box<RunRequest>,
    owner: OwnerKey,
    user: Rc<User>,
    command: Vec<u8>,
    /// Bytes that are kept for it.
    size: usize,
    pid: Pid,
    since_ms: i64,
    feed: Option<Feed>,
    output: usize,
    until_ms: i64,
    recipe: ExecSpec,
    failure: Option<String>,
    timed_out: bool,
}

impl MailProcess {
    fn about(&self) -> JobRef<'_> {
        JobRef { start: &self.start, user: &self.user.name, command: &self.command, pid: Some(self.pid) }
    }
}

impl ExecutorState {
    /// Sends what a job wrote where it is wanted: to the log, by the mail that is returned, or nowhere.
    pub(super) fn deliver(&mut self, job: &Job, command: &[u8], end: &RunOutcome) -> Option<Draft> {
        if job.output.total() == 0 {
            return None;
        }
        let about = ExecutorState::about(job, command);
        if self.config.output_to_log {
            let text = mail::body(self.site, job.output.text());
            self.tell.output(about, &text);
            return None;
        }
        if self.config.mailer == Mailer::Off || (job.start.flags.mail_only_on_failure && *end == RunOutcome::Code(0)) {
            return None;
        }
        let cron = self.environment(&job.start, &job.user);
        let whole = job.pam_variables.clone().unwrap_or_default().overlaid(&cron);
        let (addresses, wishes) = self.addressed(about, &cron, &whole)?;
        let arguments = match &self.config.mailer {
            Mailer::Off => return None,
            Mailer::Command(line) => vec![b"/bin/sh".to_vec(), b"-c".to_vec(), line.as_bytes().to_vec()],
            Mailer::Sendmail if !Path::new(SENDMAIL).exists() => {
                let whose = JobRef { user: "CRON", ..about };
                self.tell.say(whose, Level::Info, "info", b"No MTA installed, discarding output", "");
                return None;
            }
            Mailer::Sendmail => mail::sendmail_arguments(self.site, &addresses),
        };
        let host = files::host_name().unwrap_or_default();
        let head = Head {
            from: &addresses.from,
            to: addresses.to.as_deref().unwrap_or_default(),
            user: &job.user.name,
            host: &host,
            full_host_name: self.config.full_host_name,
            command,
            says_failed: self.config.log_mask & 4 != 0 && *end != RunOutcome::Code(0),
            charset: &self.charset,
            wishes: wishes.as_wishes(),
        };
        let shown = if self.site.profile == ProfileName::Debian { &cron } else { &whole };
        let mut text = mail::head(self.site, &head, shown.iter());
        let mut output = mail::body(self.site, job.output.text());
        let length = output.len();
        text.append(&mut output);
        let (command, pam_variables) = (command.to_vec(), job.pam_variables.clone());
        Some(Draft { command, arguments, pam_variables, text, output: length })
    }

    /// Has a mail wait for its mailer; drops it where its owner has too many waiting.
    pub(super) fn queue_mail(&mut self, start: Box<RunRequest>, owner: OwnerKey, user: Rc<User>, draft: Draft) {
        let size = draft.size();
        if self.queued_mails.len_of(&owner) >= WAITING_OF_ONE || !self.budget.has_room(&owner, size) {
            if self.dropping_mail.insert(owner) {
                let about = JobRef { start: &start, user: &user.name, command: &draft.command, pid: None };
                let detail = b"too many mails wait for the mailer: this one is dropped, and those that follow until there is room";
                self.tell.say(about, Level::Warning, "MAIL", detail, "");
            }
            self.tell_mail(start.run, MailResult::Dropped);
            return self.release(&start);
        }
        self.dropping_mail.remove(&owner);
        self.budget.take(&owner, size);
        self.queued_mails.push_back(owner, QueuedMail { start, user, draft, since_ms: clock::monotonic_ms() });
    }

    /// To whom; none when nobody wants it or nobody may get it.
    fn addressed(&mut self, about: JobRef<'_>, cron: &Variables, whole: &Variables) -> Option<(Addresses, OwnWishes)> {
        let is_cronie = self.site.profile == ProfileName::Cronie;
        let wishes = OwnWishes {
            to: if is_cronie { whole } else { cron }.get("MAILTO").map(|to| self.expanded(about, whole, "MAILTO", to)),
            from: cron.get("MAILFROM").map(|from| self.expanded(about, whole, "MAILFROM", from)),
            content_type: whole.get("CONTENT_TYPE").map(<[u8]>::to_vec),
            encoding: whole.get("CONTENT_TRANSFER_ENCODING").map(<[u8]>::to_vec),
        };
        let addresses = mail::addresses(self.site, about.user, &wishes.as_wishes());
        for address in &addresses.refused {
            self.tell.say(about, Level::Info, mail::refusal(self.site), address, "");
        }
        addresses.to.is_some().then_some((addresses, wishes))
    }

    /// cronie's `$NAME` in an address: the job's variable of that name, else the daemon's. Debian takes it literally.
    fn expanded(&mut self, about: JobRef<'_>, job: &Variables, variable: &str, address: &[u8]) -> Vec<u8> {
        if self.site.profile == ProfileName::Debian {
            return address.to_vec();
        }
        let value = |name: &str| job.get(name).or_else(|| self.inherited.get(name)).map(<[u8]>::to_vec);
        mail::expand(address, value).unwrap_or_else(|| {
            let detail = format!(
                "The environment variable '{variable}' could not be expanded. The non-expanded value will be used."
            );
            self.tell.say(JobRef { user: "CRON", ..about }, Level::Info, "WARNING", detail.as_bytes(), "");
            address.to_vec()
        })
    }

    fn mailer_recipe(&self, queued_mail: &QueuedMail) -> ExecSpec {
        let mut recipe = self.recipe(&queued_mail.start, &queued_mail.user, b"");
        let cron = self.environment(&queued_mail.start, &queued_mail.user);
        let environment = queued_mail.draft.pam_variables.clone().unwrap_or_default().overlaid(&cron);
        let arguments: Vec<CString> =
            queued_mail.draft.arguments.iter().map(|argument| c_string(&[argument])).collect();
        let path = arguments.first().cloned().unwrap_or_default();
        recipe.program = Program::new(path, arguments, environment.strings());
        recipe.runs_without_home = true;
        recipe
    }

    /// Starts mailers for the queued mails that wait.
    pub(super) fn send_queued_mails(&mut self, now_ms: i64) {
        while self.mail_held_until_ms <= now_ms {
            let Some((owner, queued_mail)) = self.next_queued_mail() else { break };
            let id = self.new_id();
            let recipe = self.mailer_recipe(&queued_mail);
            match self.start_mailer(&queued_mail, &recipe) {
                Ok((pid, mut feed)) => {
                    let wait =
                        !feed.proceed() && self.poll.add_for_writing(&feed.pipe, token(Kind::MailFeed, id)).is_ok();
                    let size = queued_mail.draft.size();
                    let QueuedMail { start, user, draft: Draft { command, output, .. }, .. } = queued_mail;
                    let mailing = MailProcess {
                        start,
                        owner,
                        user,
                        command,
                        size,
                        pid,
                        since_ms: now_ms,
                        feed: wait.then_some(feed),
                        output,
                        until_ms: now_ms.saturating_add(self.mailer_limit_ms()),
                        recipe,
                        failure: None,
                        timed_out: false,
                    };
                    self.children.insert(pid, Child::Mailer(id));
                    self.mailings.insert(id, mailing);
                }
                Err(_) => {
                    self.queued_mails.push_front(owner, queued_mail);
                    self.mail_held_until_ms = now_ms + HOLD_MS;
                }
            }
        }
        self.tell_of_waiting_mail(now_ms);
    }

    /// The next mail for which there may be a mailer now.
    fn next_queued_mail(&mut self) -> Option<(OwnerKey, QueuedMail)> {
        let mailings = &self.mailings;
        let at_work = |owner: &OwnerKey| mailings.values().filter(|mailing| mailing.owner == *owner).count();
        let others_wait = |owner: &OwnerKey| self.queued_mails.len_of(owner) < self.queued_mails.len();
        let may_have_one = |owner: &OwnerKey| match at_work(owner) {
            0 => mailings.len() < 2 * MAILERS,
            count => mailings.len() < MAILERS && (count < MAILERS_OF_ONE || !others_wait(owner)),
        };
        let owner = self.queued_mails.owners().find(|owner| may_have_one(owner)).cloned()?;
        self.queued_mails.pop_if(|other| *other == owner)
    }

    /// Says once that mail has been waiting for long, until none waits.
    fn tell_of_waiting_mail(&mut self, now_ms: i64) {
        let Some(since) = self.queued_mails.firsts().map(|queued_mail| queued_mail.since_ms).min() else {
            self.mail_waits_told = false;
            return;
        };
        if self.mail_waits_told || since + WORTH_TELLING_MS > now_ms {
            return;
        }
        self.mail_waits_told = true;
        let oldest = self.mailings.values().map(|mailing| now_ms - mailing.since_ms).max().unwrap_or(0) / 1000;
        let (mailers, waiting) = (self.mailings.len(), self.queued_mails.len());
        let detail =
            format!("mail waits: {mailers} mailers at work, the oldest for {oldest} s, and {waiting} mails waiting");
        self.tell.own(Level::Warning, "WARNING", &detail);
    }

    fn mailer_limit_ms(&self) -> i64 {
        i64::try_from(self.config.mailer_limit.as_millis()).unwrap_or(i64::MAX)
    }

    fn start_mailer(&self, queued_mail: &QueuedMail, recipe: &ExecSpec) -> io::Result<(Pid, Feed)> {
        let owner = recipe.identity.as_ref().map(|identity| identity.uid);
        let (input, ours) = created::pipe(owner)?;
        let nowhere = self.nowhere.as_fd();
        let stdio = Stdio { input: input.as_fd(), output: nowhere, error: nowhere };
        let pid = process::fork(|| {
            let failure = recipe.follow(stdio, &self.reporter);
            self.reporter.tell(&failure);
            127
        })?;
        // Closing our end early would be a mail cut short; a pipe can always be made not to block.
        Ok((pid, Feed::new(ours, queued_mail.draft.text.clone())?))
    }

    /// When something about mail has to be done next.
    pub(super) fn next_mail(&self) -> Option<i64> {
        let limit = self.mailings.values().filter(|mailing| !mailing.timed_out).map(|mailing| mailing.until_ms).min();
        let is_held = self.mail_held_until_ms > clock::monotonic_ms() && !self.queued_mails.is_empty();
        let tell = self.queued_mails.firsts().map(|queued_mail| queued_mail.since_ms + WORTH_TELLING_MS).min();
        let tell = tell.filter(|_| !self.mail_waits_told);
        limit.into_iter().chain(is_held.then_some(self.mail_held_until_ms)).chain(tell).min()
    }

    pub(super) fn feed_mailer(&mut self, id: u64) {
        let Some(mailing) = self.mailings.get_mut(&id) else { return };
        if mailing.feed.as_mut().is_some_and(Feed::proceed) {
            mailing.feed = None;
        }
    }

    /// A mailer could not become one.
    pub(super) fn mailer_failed(&mut self, id: u64, failure: &Failure) {
        if failure.step == ExecStage::DirectoryInstead {
            return;
        }
        if let Some(mailing) = self.mailings.get_mut(&id) {
            mailing.failure = Some(failure.why(&mailing.recipe));
        }
    }

    /// A mailer has ended.
    pub(super) fn mailer_ended(&mut self, id: u64, status: Status) {
        let Some(mailing) = self.mailings.remove(&id) else { return };
        self.budget.give_back(&mailing.owner, mailing.size);
        let mail = self.log_mailer_end(&mailing, status);
        self.tell_mail(mailing.start.run, mail);
        self.release(&mailing.start);
    }

    /// Logs the end of a mailer that failed.
    fn log_mailer_end(&mut self, mailing: &MailProcess, status: Status) -> MailResult {
        let detail = match &mailing.failure {
            Some(why) => format!("the mailer could not be started: {why}"),
            None if mailing.timed_out => {
                format!("the mailer was killed after {} s", self.config.mailer_limit.as_secs())
            }
            None if status.is_success() => return MailResult::Sent,
            None => mail::failure(self.site, mailing.output, status.raw()),
        };
        let level = if mailing.failure.is_some() || mailing.timed_out { Level::Warning } else { Level::Info };
        self.tell.say(mailing.about(), level, "MAIL", detail.as_bytes(), "");
        MailResult::Failed { why: detail }
    }

    /// Ends mailers whose time is over.
    pub(super) fn end_late_mailers(&mut self, now_ms: i64) {
        for mailing in self.mailings.values_mut().filter(|mailing| mailing.until_ms <= now_ms && !mailing.timed_out) {
            mailing.timed_out = true;
            mailing.feed = None;
            // Not reaped yet, so the id is still the mailer's.
            let _ = process::signal_group(mailing.pid, Ask::Kill).or_else(|_| process::signal(mailing.pid, Ask::Kill));
        }
    }
}

/// [`Wishes`] that own their texts.
struct OwnWishes {
    to: Option<Vec<u8>>,
    from: Option<Vec<u8>>,
    content_type: Option<Vec<u8>>,
    encoding: Option<Vec<u8>>,
}

impl OwnWishes {
    fn as_wishes(&self) -> Wishes<'_> {
        Wishes {
            to: self.to.as_deref(),
            from: self.from.as_deref(),
            content_type: self.content_type.as_deref(),
            encoding: self.encoding.as_deref(),
        }
    }
}
