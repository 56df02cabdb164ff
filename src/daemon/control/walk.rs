//! Looks at all jobs in pieces, so that the loop is not held for long.

use super::connections::{needed_access, time_of};
use super::jobs::{JobView, Viewer};
use super::state::{Counts, Listing, NextStarts, Purpose, Request, Search, Then, Walk};
use crate::control::{Access, May, Sees};
use crate::daemon::reactor::Token;
use crate::daemon::state::{Daemon, now};
use crate::schedule::Timestamp;
use crate::scheduler::{EntryCursor, JobId, Live};
use crate::sys::local_socket::Peer;
use crate::varlink::{CallError, Reply, cron};
use std::collections::{BTreeMap, BTreeSet};

/// Entries that are looked at in one piece.
const ENTRIES_AT_ONCE: usize = 500;
/// Walks that are advanced in one turn of the loop.
const WALKS_A_TURN: usize = 8;
/// Jobs of one page, and about how many bytes of them.
const JOBS_OF_PAGE: usize = 500;
const BYTES_OF_PAGE: usize = 256 << 10;
/// Most starts that one call of `Next` gives.
const MOST_STARTS: u64 = 10_000;
/// Candidates that are named when a text may mean several jobs.
const MOST_CANDIDATES: usize = 20;

impl Daemon {
    /// Does one piece of a few walks whose clients have read what they were sent. They take turns.
    pub(super) fn advance_walks(&mut self) {
        for token in self.control.next_walks(WALKS_A_TURN) {
            let Some(Request::Walk(walk)) = self.control.requests.remove(&token) else { continue };
            self.advance_walk(token, *walk);
            // The next call of the client may wait behind this one.
            if !self.control.requests.contains_key(&token) {
                self.answer_calls(token);
            }
        }
    }

    fn advance_walk(&mut self, token: Token, mut walk: Walk) {
        if walk.is_behind_entries || !self.look_at_piece(&mut walk) {
            walk.is_behind_entries = true;
            return self.finish_walk(token, walk);
        }
        if let Purpose::List(listing) = &mut walk.purpose
            && (listing.page.len() >= JOBS_OF_PAGE || listing.bytes >= BYTES_OF_PAGE)
        {
            if !walk.more {
                return self.refuse(token, CallError::ExpectedMore);
            }
            let jobs = std::mem::take(&mut listing.page);
            listing.bytes = 0;
            self.begin_walk(token, walk);
            return self.reply(token, &Reply::continued(&cron::List { jobs }));
        }
        self.begin_walk(token, walk);
    }

    /// Looks at some entries. False: there are no more.
    fn look_at_piece(&mut self, walk: &mut Walk) -> bool {
        let Walk { peer, cursor, purpose, .. } = walk;
        let (scheduler, runs) = (&self.planner.scheduler, &self.runs);
        let Some(entries) = scheduler.entries_from(cursor, ENTRIES_AT_ONCE) else { return false };
        let mut viewer = Viewer::new(peer, self.control.rights, &mut self.database);
        for live in entries {
            let access = viewer.access_to_entry(&live);
            if access.sees == Sees::Nothing {
                continue;
            }
            match purpose {
                Purpose::Find { texts, .. } => {
                    if let Some(id) = live.id() {
                        texts.iter_mut().for_each(|search| search.note(&id));
                    }
                }
                Purpose::FindOwn { found, .. } => {
                    if access.may >= May::All {
                        found.extend(live.id());
                    }
                }
                Purpose::List(listing) => {
                    if let Some(job) = JobView::of_entry(scheduler, runs, &live) {
                        listing.take(job, access);
                    }
                }
                Purpose::Next(starts) => starts.note(&live),
                Purpose::Status(counts) => {
                    if let Some(job) = JobView::of_entry(scheduler, runs, &live) {
                        counts.note(&job);
                    }
                }
            }
        }
        true
    }

    /// Looks at what is no entry of a table, and replies.
    fn finish_walk(&mut self, token: Token, walk: Walk) {
        let Walk { peer, more, purpose, .. } = walk;
        let anacron = self.anacron_views(&peer);
        match purpose {
            Purpose::Find { mut texts, then } => {
                for (view, _) in &anacron {
                    texts.iter_mut().for_each(|search| search.note(&view.id));
                }
                let found: Result<Vec<JobId>, CallError> = texts.into_iter().map(Search::result).collect();
                let done = found.and_then(|found| self.go_on_with(token, &peer, more, Some(found), then));
                if let Err(error) = done {
                    self.refuse(token, error);
                }
            }
            Purpose::FindOwn { found, then } => {
                if let Err(error) = self.go_on_with(token, &peer, more, Some(found), then) {
                    self.refuse(token, error);
                }
            }
            Purpose::List(mut listing) => {
                for (view, access) in anacron.into_iter().chain(self.removed_views(&peer, &listing.seen_running)) {
                    listing.take(view, access);
                }
                self.reply(token, &Reply::of(&cron::List { jobs: listing.page }));
            }
            Purpose::Next(starts) => self.send_next_starts(token, more, starts),
            Purpose::Status(mut counts) => {
                anacron.iter().for_each(|(view, _)| counts.note(view));
                let status = self.status(&peer, &counts);
                self.reply(token, &Reply::of(&status));
            }
        }
    }

    fn send_next_starts(&mut self, token: Token, more: bool, starts: NextStarts) {
        let count = starts.found.len();
        if count == 0 {
            // There is no result that says so; a client that calls without `more` needs one.
            let none =
                cron::Error::InvalidTime { value: String::new(), expected: "a time after which something runs".into() };
            return if more { self.reply(token, &Reply::of(&serde_json::json!({}))) } else { self.refuse(token, none) };
        }
        for (number, start) in starts.found.into_values().enumerate() {
            let is_last = number + 1 == count || !more;
            self.reply(token, &if is_last { Reply::of(&start) } else { Reply::continued(&start) });
            if is_last {
                break;
            }
        }
    }

    /// Reads the arguments of `Next`.
    pub(super) fn next_starts(&self, arguments: &cron::NextArguments) -> Result<NextStarts, CallError> {
        let filter = arguments.filter.clone().unwrap_or_default();
        let from = arguments.from.as_deref().map(time_of).transpose()?.unwrap_or_else(|| now().utc);
        let until = arguments.until.as_deref().map(time_of).transpose()?;
        let count = arguments.count.unwrap_or(10).min(MOST_STARTS) as usize;
        let (user, source) = (filter.user, filter.source);
        Ok(NextStarts { jobs: None, user, source, from, until, count, found: BTreeMap::new(), seen: 0 })
    }

    /// Does what was asked for with the jobs that were found. `found`: None where no job was named.
    pub(super) fn go_on_with(
        &mut self,
        token: Token,
        peer: &Peer,
        more: bool,
        found: Option<Vec<JobId>>,
        then: Then,
    ) -> Result<(), CallError> {
        let needed = needed_access(&then);
        for id in found.iter().flatten() {
            let access = self.access_to(peer, id);
            if access.sees < needed.sees || access.may < needed.may {
                let what = match access.sees {
                    Sees::Nothing => return Err(cron::Error::NoSuchJob { job: id.to_string() }.into()),
                    _ if access.sees < needed.sees => {
                        format!("{id} is an entry of a system table: only root may see its settings")
                    }
                    _ => format!("{id} can be steered by its owner and by root only"),
                };
                return Err(cron::Error::NotAllowed { what }.into());
            }
        }
        let jobs = found.clone().map(|found| found.into_iter().collect::<BTreeSet<JobId>>());
        let walk = |purpose| Walk {
            peer: peer.clone(),
            cursor: EntryCursor::default(),
            is_behind_entries: false,
            more,
            purpose,
        };
        let only = found.as_ref().and_then(|found| found.first().cloned());
        match (then, only) {
            (Then::List(filter), _) => {
                let cron::Filter { user, state, source, .. } = filter;
                let listing = Listing { jobs, user, state, source, ..Listing::default() };
                self.begin_walk(token, walk(Purpose::List(listing)));
            }
            (Then::Next(starts), _) => self.begin_walk(token, walk(Purpose::Next(NextStarts { jobs, ..*starts }))),
            (Then::Events(filter), _) => self.begin_events(token, jobs, filter),
            (Then::Show, Some(job)) => self.show(token, peer, &job),
            (Then::Why { at }, Some(job)) => self.explain_why(token, &job, at),
            (Then::Run { is_forced }, Some(job)) => self.run_for_client(token, peer, job, is_forced, more),
            (Then::Cancel, Some(job)) => self.cancel_for_client(token, peer, &job),
            (Then::Pause { until, note }, _) => {
                self.pause_for_client(token, peer, found.unwrap_or_default(), until, &note)
            }
            (Then::Resume, _) => self.resume_for_client(token, peer, found.unwrap_or_default()),
            (Then::Show | Then::Why { .. } | Then::Run { .. } | Then::Cancel, None) => {
                return Err(CallError::InvalidParameter { parameter: "job".to_owned() });
            }
        }
        Ok(())
    }
}

impl Search {
    /// Notes a job if the text may mean it.
    fn note(&mut self, id: &JobId) {
        let keep = |to: &mut Vec<JobId>| {
            if to.len() <= MOST_CANDIDATES {
                to.push(id.clone());
            }
        };
        if id.as_str() == self.text {
            self.exact = Some(id.clone());
        } else if id.name() == self.text {
            keep(&mut self.named);
        } else if id.as_str().starts_with(&self.text) || id.name().starts_with(&self.text) {
            keep(&mut self.begins);
        }
    }

    fn result(self) -> Result<JobId, CallError> {
        let Search { text: job, exact, named, begins } = self;
        let found = if named.is_empty() { begins } else { named };
        match (exact, found.as_slice()) {
            (Some(exact), _) => Ok(exact),
            (None, [only]) => Ok(only.clone()),
            (None, []) => Err(cron::Error::NoSuchJob { job }.into()),
            (None, many) => {
                let candidates = many.iter().take(MOST_CANDIDATES).map(JobId::to_string).collect();
                Err(cron::Error::Ambiguous { job, candidates }.into())
            }
        }
    }
}

impl Listing {
    fn take(&mut self, view: JobView, access: Access) {
        if !view.job.running.is_empty() {
            self.seen_running.insert(view.id.clone());
        }
        let is_wanted = self.jobs.as_ref().is_none_or(|jobs| jobs.contains(&view.id))
            && self.user.as_ref().is_none_or(|user| *user == view.job.user)
            && self.state.as_ref().is_none_or(|state| *state == view.job.state)
            && self.source.as_ref().is_none_or(|source| *source == view.job.source);
        if is_wanted {
            let job = view.job_for(access);
            self.bytes += 400 + job.command.len() + job.schedule.len();
            self.page.push(job);
        }
    }
}

impl Counts {
    fn note(&mut self, view: &JobView) {
        let job = &view.job;
        self.sources.insert(job.source.clone());
        self.entries += 1;
        self.running += job.running.len();
        self.waiting += job.waiting as usize;
        self.paused += usize::from(job.paused_until.is_some());
        self.failing += usize::from(view.is_failing);
        self.late += usize::from(job.late);
        let next = job.next.map(|next| next.timestamp());
        self.next = [self.next, next].into_iter().flatten().min();
    }
}

impl NextStarts {
    fn note(&mut self, live: &Live<'_>) {
        self.seen += 1;
        let is_wanted = self.user.as_deref().is_none_or(|user| user == live.user_or_caller())
            && self.source.as_deref().is_none_or(|source| source == live.source().path);
        if !is_wanted || self.count == 0 || !live.policy().is_enabled {
            return;
        }
        let last = |found: &BTreeMap<(Timestamp, u64), cron::NextStart>| found.last_key_value().map(|(key, _)| key.0);
        for at in live.starts_after(self.from) {
            let is_full = self.found.len() >= self.count;
            if self.until.is_some_and(|until| at > until)
                || (is_full && last(&self.found).is_some_and(|last| at >= last))
            {
                return;
            }
            let Some(id) = live.id() else { return };
            if self.jobs.as_ref().is_some_and(|jobs| !jobs.contains(&id)) {
                return;
            }
            self.found.insert((at, self.seen), super::jobs::next_start(live, &id, at));
            if self.found.len() > self.count {
                self.found.pop_last();
            }
        }
    }
}
