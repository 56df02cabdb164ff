//! The runner's mail: a job's output to the mailer, as the job's owner, a few mailers at a time and none for ever.

use super::{Child, Kind, State, token};
use crate::launch::client::Mailer;
use crate::launch::environment::{Variables, c_string};
use crate::launch::job::{Feed, Job};
use crate::launch::recipe::{Failure, Recipe, Stdio, Step};
use crate::launch::tell::About;
use crate::plan::{End, Start};
use crate::report::Level;
use crate::report::mail::{self, Addresses, Head, SENDMAIL, Wishes};
use crate::site::Profile;
use crate::sys::created;
use crate::sys::files;
use crate::sys::process::{self, Ask, Pid, Program, Status};
use crate::sys::user::User;
use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::rc::Rc;

/// Most mailers at once; the other letters wait.
const MAILERS: usize = 8;
/// How long to wait when there is no process to be had for a mailer.
const HOLD_MS: i64 = 1_000;

/// A mail that waits for its mailer.
pub(super) struct Letter {
    start: Box<Start>,
    user: Rc<User>,
    command: Vec<u8>,
    recipe: Recipe,
    text: Vec<u8>,
    /// Length of the output in it.
    output: usize,
}

/// A mailer at work.
pub(super) struct Mailing {
    start: Box<Start>,
    user: Rc<User>,
    command: Vec<u8>,
    pid: Pid,
    feed: Option<Feed>,
    output: usize,
    until_ms: i64,
    recipe: Recipe,
    failure: Option<String>,
    timed_out: bool,
}

impl Mailing {
    fn about(&self) -> About<'_> {
        About { start: &self.start, user: &self.user.name, command: &self.command, pid: Some(self.pid) }
    }
}

impl State {
    /// Sends what a job wrote where it is wanted: to the log, by mail, or nowhere.
    pub(super) fn deliver(&mut self, job: &Job, command: &[u8], end: &End) {
        if job.output.total() == 0 {
            return;
        }
        let about = State::about(job, command);
        if self.config.output_to_log {
            let text = mail::body(self.site, job.output.text());
            return self.tell.output(about, &text);
        }
        if self.config.mailer == Mailer::Off || (job.start.flags.mail_only_on_failure && *end == End::Code(0)) {
            return;
        }
        let cron = self.environment(&job.start, &job.user);
        let whole = job.pam_variables.clone().unwrap_or_default().overlaid(&cron);
        let Some((addresses, wishes)) = self.addressed(about, &cron, &whole) else { return };
        let recipe = match &self.config.mailer {
            Mailer::Off => return,
            Mailer::Command(line) => self.mailer_recipe(job, &whole, &[b"/bin/sh", b"-c", line.as_bytes()]),
            Mailer::Sendmail if !Path::new(SENDMAIL).exists() => {
                let whose = About { user: "CRON", ..about };
                return self.tell.say(whose, Level::Info, "info", b"No MTA installed, discarding output", "");
            }
            Mailer::Sendmail => {
                let arguments = mail::sendmail_arguments(self.site, &addresses);
                let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
                self.mailer_recipe(job, &whole, &arguments)
            }
        };
        let host = files::host_name().unwrap_or_default();
        let head = Head {
            from: &addresses.from,
            to: addresses.to.as_deref().unwrap_or_default(),
            user: &job.user.name,
            host: &host,
            full_host_name: self.config.full_host_name,
            command,
            says_failed: self.config.log_mask & 4 != 0 && *end != End::Code(0),
            charset: &self.charset,
            wishes: wishes.as_wishes(),
        };
        let shown = if self.site.profile == Profile::Debian { &cron } else { &whole };
        let mut text = mail::head(self.site, &head, shown.iter());
        let mut output = mail::body(self.site, job.output.text());
        let length = output.len();
        text.append(&mut output);
        let (start, user) = (job.start.clone(), job.user.clone());
        self.letters.push_back(Letter { start, user, command: command.to_vec(), recipe, text, output: length });
    }

    /// To whom; none when nobody wants it or nobody may get it.
    fn addressed(&mut self, about: About<'_>, cron: &Variables, whole: &Variables) -> Option<(Addresses, OwnWishes)> {
        let is_cronie = self.site.profile == Profile::Cronie;
        let wishes = OwnWishes {
            to: if is_cronie { whole } else { cron }.get("MAILTO").map(|to| self.expanded(about, "MAILTO", to)),
            from: cron.get("MAILFROM").map(|from| self.expanded(about, "MAILFROM", from)),
            content_type: whole.get("CONTENT_TYPE").map(<[u8]>::to_vec),
            encoding: whole.get("CONTENT_TRANSFER_ENCODING").map(<[u8]>::to_vec),
        };
        let addresses = mail::addresses(self.site, about.user, &wishes.as_wishes());
        for address in &addresses.refused {
            self.tell.say(about, Level::Info, mail::refusal(self.site), address, "");
        }
        addresses.to.is_some().then_some((addresses, wishes))
    }

    /// cronie's `$NAME` in an address; Debian takes it literally.
    fn expanded(&mut self, about: About<'_>, variable: &str, address: &[u8]) -> Vec<u8> {
        if self.site.profile == Profile::Debian {
            return address.to_vec();
        }
        mail::expand(address, |name| self.inherited.get(name).map(<[u8]>::to_vec)).unwrap_or_else(|| {
            let detail = format!(
                "The environment variable '{variable}' could not be expanded. The non-expanded value will be used."
            );
            self.tell.say(About { user: "CRON", ..about }, Level::Info, "WARNING", detail.as_bytes(), "");
            address.to_vec()
        })
    }

    fn mailer_recipe(&self, job: &Job, environment: &Variables, arguments: &[&[u8]]) -> Recipe {
        let mut recipe = self.recipe(&job.start, &job.user, b"");
        let arguments: Vec<CString> = arguments.iter().map(|argument| c_string(&[argument])).collect();
        let path = arguments.first().cloned().unwrap_or_default();
        recipe.program = Program::new(path, arguments, environment.strings());
        recipe.runs_without_home = true;
        recipe
    }

    /// Starts mailers for the letters that wait.
    pub(super) fn send_letters(&mut self, now_ms: i64) {
        while self.mailings.len() < MAILERS && self.mail_held_until_ms <= now_ms {
            let Some(letter) = self.letters.pop_front() else { return };
            let id = self.new_id();
            match self.start_mailer(&letter) {
                Ok((pid, mut feed)) => {
                    let wait =
                        !feed.proceed() && self.poll.add_for_writing(&feed.pipe, token(Kind::MailFeed, id)).is_ok();
                    let Letter { start, user, command, recipe, output, .. } = letter;
                    let mailing = Mailing {
                        start,
                        user,
                        command,
                        pid,
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
                    self.letters.push_front(letter);
                    self.mail_held_until_ms = now_ms + HOLD_MS;
                }
            }
        }
    }

    fn mailer_limit_ms(&self) -> i64 {
        i64::try_from(self.config.mailer_limit.as_millis()).unwrap_or(i64::MAX)
    }

    fn start_mailer(&self, letter: &Letter) -> io::Result<(Pid, Feed)> {
        let owner = letter.recipe.identity.as_ref().map(|identity| identity.uid);
        let (input, ours) = created::pipe(owner)?;
        let nowhere = self.nowhere.as_fd();
        let stdio = Stdio { input: input.as_fd(), output: nowhere, error: nowhere };
        let pid = process::fork(|| {
            let failure = letter.recipe.follow(stdio, &self.reporter);
            self.reporter.tell(&failure);
            127
        })?;
        // Closing our end early would be a mail cut short; a pipe can always be made not to block.
        Ok((pid, Feed::new(ours, letter.text.clone())?))
    }

    /// When something about mail has to be done next.
    pub(super) fn next_mail(&self) -> Option<i64> {
        let limit = self.mailings.values().filter(|mailing| !mailing.timed_out).map(|mailing| mailing.until_ms).min();
        let held = (!self.letters.is_empty() && self.mailings.len() < MAILERS).then_some(self.mail_held_until_ms);
        limit.into_iter().chain(held).min()
    }

    pub(super) fn feed_mailer(&mut self, id: u64) {
        let Some(mailing) = self.mailings.get_mut(&id) else { return };
        if mailing.feed.as_mut().is_some_and(Feed::proceed) {
            mailing.feed = None;
        }
    }

    /// A mailer could not become one.
    pub(super) fn mailer_failed(&mut self, id: u64, failure: &Failure) {
        if failure.step == Step::DirectoryInstead {
            return;
        }
        if let Some(mailing) = self.mailings.get_mut(&id) {
            mailing.failure = Some(failure.why(&mailing.recipe));
        }
    }

    /// A mailer has ended.
    pub(super) fn mailer_ended(&mut self, id: u64, status: Status) {
        let Some(mailing) = self.mailings.remove(&id) else { return };
        let detail = match &mailing.failure {
            Some(why) => format!("the mailer could not be started: {why}"),
            None if mailing.timed_out => {
                format!("the mailer was killed after {} s", self.config.mailer_limit.as_secs())
            }
            None if status.is_success() => return,
            None => mail::failure(self.site, mailing.output, status.raw()),
        };
        let level = if mailing.failure.is_some() || mailing.timed_out { Level::Warning } else { Level::Info };
        self.tell.say(mailing.about(), level, "MAIL", detail.as_bytes(), "");
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
