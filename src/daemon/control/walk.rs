//! Visits all jobs, a few in each turn of the loop, so that other events are not delayed.

use super::connections::{needed_access, time_of};
use super::jobs::{JobView, Viewer, next_start, state_of};
use super::search::FoundJob;
use super::state::{Counts, FleetQuestion, Listing, NextStarts, NextStep, Purpose, Request, WaitFor, Walk};
use crate::control::{Access, Permission, Visibility};
use crate::daemon::live_runs::LiveRuns;
use crate::daemon::reactor::Token;
use crate::daemon::state::{Daemon, now};
use crate::schedule::Timestamp;
use crate::scheduler::{EntryCursor, JobId, Live, Scheduler};
use crate::sys::local_socket::Peer;
use crate::varlink::{CallError, Reply, Time, cron};
use std::collections::{BTreeMap, BTreeSet};

/// Entries that are visited in one turn of the loop.
const ENTRIES_AT_ONCE: usize = 500;
/// Starts that are computed in one piece.
const STARTS_AT_ONCE: usize = 10_000;
/// Walks that are advanced in one turn of the loop.
const WALKS_A_TURN: usize = 8;
/// Jobs of one page, and about how many bytes of them.
const JOBS_OF_PAGE: usize = 500;
const BYTES_OF_PAGE: usize = 256 << 10;
/// Most starts that one call of `Next` gives, and how many are sent at once.
const MOST_STARTS: u64 = 10_000;
const STARTS_SENT_AT_ONCE: usize = 100;

impl Daemon {
    /// Does one piece of a few walks whose clients have read what they were sent. They take turns.
    pub(super) fn advance_walks(&mut self) {
        for token in self.control.next_walks(WALKS_A_TURN) {
            match self.control.requests.remove(&token) {
                Some(Request::Walk(walk)) => self.advance_walk(token, *walk),
                Some(Request::PauseJobs(pausing)) => self.advance_pausing(token, *pausing),
                Some(other) => drop(self.control.requests.insert(token, other)),
                None => {}
            }
            // The next call of the client may wait behind this one.
            if !self.control.requests.contains_key(&token) {
                self.answer_calls(token);
            }
        }
    }

    fn advance_walk(&mut self, token: Token, mut walk: Walk) {
        if let Purpose::SendNext { .. } = &walk.purpose {
            return self.send_next_starts(token, walk);
        }
        if walk.is_behind_entries || !self.visit_some(&mut walk) {
            walk.is_behind_entries = true;
            return self.finish_walk(token, walk);
        }
        let page = match &mut walk.purpose {
            Purpose::List(listing) if listing.is_full() => Reply::continued(&cron::List { jobs: listing.take_page() }),
            Purpose::Metrics(pages) if pages.is_full() => Reply::continued(&pages.take_page()),
            Purpose::FleetJobs(listing) if listing.is_full() => Reply::continued(&listing.take_page()),
            _ => return self.begin_walk(token, walk),
        };
        if !walk.more {
            return self.refuse(token, CallError::ExpectedMore);
        }
        self.begin_walk(token, walk);
        self.reply(token, &page);
    }

    /// Visits some entries. False: there are no more.
    fn visit_some(&mut self, walk: &mut Walk) -> bool {
        let Walk { peer, cursor, purpose, .. } = walk;
        let (scheduler, runs, metrics) = (&self.driver.scheduler, &self.runs, &mut self.metrics);
        let mut viewer = Viewer::new(peer, self.control.rights, &mut self.database);
        let most = match purpose {
            Purpose::Next(starts) => (STARTS_AT_ONCE / starts.of_one()).clamp(1, ENTRIES_AT_ONCE),
            _ => ENTRIES_AT_ONCE,
        };
        for _ in 0..most {
            let Some((place, live)) = scheduler.next_entry(cursor) else { return false };
            let access = viewer.access_to_entry(&live);
            if access.sees == Visibility::Nothing {
                continue;
            }
            match purpose {
                Purpose::Find { texts, .. } => {
                    if let Some(id) = live.id() {
                        let found = FoundJob { id, access, place: Some(place) };
                        texts.note(&found);
                    }
                }
                Purpose::FindOwn { found, .. } => {
                    if access.may >= Permission::All {
                        found.extend(live.id().map(|id| FoundJob { id, access, place: Some(place) }));
                    }
                }
                Purpose::List(listing) => {
                    listing.note_entry(scheduler, runs, &live, access);
                    if listing.is_full() {
                        break;
                    }
                }
                Purpose::Next(starts) => starts.note(place, &live),
                Purpose::SendNext { .. } => {}
                Purpose::FleetJobs(listing) => {
                    listing.note_entry(scheduler, &live, access);
                    if listing.is_full() {
                        break;
                    }
                }
                Purpose::Status(counts) => counts.note_entry(scheduler, runs, &live),
                Purpose::Metrics(pages) => {
                    pages.note_entry(scheduler, runs, metrics, &live);
                    if pages.is_full() {
                        break;
                    }
                }
            }
        }
        true
    }

    /// Visits the jobs that have no entry, and replies.
    fn finish_walk(&mut self, token: Token, walk: Walk) {
        let anacron = self.anacron_views(&walk.peer);
        let Walk { peer, more, purpose, cursor, is_behind_entries } = walk;
        match purpose {
            Purpose::Find { mut texts, then } => {
                for (view, access) in &anacron {
                    let found = FoundJob { id: view.id.clone(), access: *access, place: None };
                    texts.note(&found);
                }
                let done =
                    texts.result().and_then(|found| self.go_on_with(token, &peer, more, Some(found), false, then));
                if let Err(error) = done {
                    self.refuse(token, error);
                }
            }
            Purpose::FindOwn { mut found, then } => {
                let pausable = anacron.into_iter().filter(|(_, access)| access.may >= Permission::All);
                found.extend(pausable.map(|(view, access)| FoundJob { id: view.id, access, place: None }));
                if let Err(error) = self.go_on_with(token, &peer, more, Some(found), true, then) {
                    self.refuse(token, error);
                }
            }
            Purpose::List(mut listing) => {
                for (view, access) in anacron.into_iter().chain(self.removed_views(&peer, &listing.seen_running)) {
                    listing.note_view(view, access);
                }
                while listing.page.len() > JOBS_OF_PAGE {
                    if !more {
                        return self.refuse(token, CallError::ExpectedMore);
                    }
                    let jobs = listing.page.drain(..JOBS_OF_PAGE).collect();
                    self.reply(token, &Reply::continued(&cron::List { jobs }));
                }
                self.reply(token, &Reply::of(&cron::List { jobs: listing.page }));
            }
            Purpose::Next(mut found) => {
                anacron.iter().for_each(|(view, _)| found.note_anacron(view));
                let mut starts: Vec<(Timestamp, EntryCursor)> = std::mem::take(&mut found.found).into_iter().collect();
                starts.reverse();
                let purpose = Purpose::SendNext { starts, found };
                self.send_next_starts(token, Walk { peer, more, purpose, cursor, is_behind_entries });
            }
            Purpose::SendNext { .. } => {}
            Purpose::FleetJobs(mut listing) => {
                let is_whole = !self.sees_fleet(&peer) || listing.note_others(&self.driver.scheduler);
                let page = listing.take_page();
                if is_whole {
                    return self.reply(token, &Reply::of(&page));
                }
                if !more {
                    return self.refuse(token, CallError::ExpectedMore);
                }
                let purpose = Purpose::FleetJobs(listing);
                self.begin_walk(token, Walk { peer, more, purpose, cursor, is_behind_entries });
                self.reply(token, &Reply::continued(&page));
            }
            Purpose::Metrics(mut pages) => {
                anacron.iter().for_each(|(view, _)| pages.note_view(view, &mut self.metrics));
                self.send_last_metrics(token, &peer, more, *pages);
            }
            Purpose::Status(mut counts) => {
                anacron.iter().for_each(|(view, _)| counts.note(view));
                let status = self.status(&peer, &counts);
                self.reply(token, &Reply::of(&status));
            }
        }
    }

    /// Sends some of the starts that were found. An entry whose table was loaded anew meanwhile is left out.
    fn send_next_starts(&mut self, token: Token, mut walk: Walk) {
        let Purpose::SendNext { starts, found } = &mut walk.purpose else { return };
        let mut replies = Vec::new();
        let mut bytes = 0;
        while replies.len() < STARTS_SENT_AT_ONCE && bytes < BYTES_OF_PAGE && found.count > 0 {
            let of_anacron = found.of_anacron.last().map(|start| start.at);
            let next = starts.last().map(|(at, _)| Time::from(*at));
            let start = match (next, of_anacron) {
                (None, None) => break,
                (Some(next), of_anacron) if of_anacron.is_none_or(|other| next <= other) => {
                    let Some((at, place)) = starts.pop() else { break };
                    let id = found.ids.get(&place);
                    let live = self.driver.scheduler.entry_at(place).filter(|live| live.id().as_ref() == id);
                    let (Some(live), Some(id)) = (live, id) else { continue };
                    next_start(&live, id, at)
                }
                _ => match found.of_anacron.pop() {
                    Some(start) => start,
                    None => break,
                },
            };
            found.count -= 1;
            bytes += start.command.len();
            replies.push(start);
        }
        let is_end = !walk.more || found.count == 0 || (starts.is_empty() && found.of_anacron.is_empty());
        let Some(last) = replies.pop() else {
            // Nothing runs, and no result would report an end.
            return self.reply(token, &Reply::of(&serde_json::json!({})));
        };
        if !walk.more {
            let first = replies.into_iter().next().unwrap_or(last);
            return self.reply(token, &Reply::of(&first));
        }
        if !is_end {
            self.begin_walk(token, walk);
        }
        let last = if is_end { Reply::of(&last) } else { Reply::continued(&last) };
        let replies: Vec<Reply> = replies.iter().map(Reply::continued).chain([last]).collect();
        self.reply_all(token, &replies);
    }

    /// Reads the arguments of `Next`.
    pub(super) fn next_starts(&self, arguments: &cron::NextArguments) -> Result<NextStarts, CallError> {
        let filter = arguments.filter.clone().unwrap_or_default();
        refuse_state(&filter)?;
        let from = arguments.from.as_deref().map(time_of).transpose()?.unwrap_or_else(|| now().utc);
        let until = arguments.until.as_deref().map(time_of).transpose()?;
        let count = arguments.count.unwrap_or(10).min(MOST_STARTS) as usize;
        let per_job = arguments.per_job.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
        let (user, source) = (filter.user, filter.source);
        let (found, ids, of_anacron) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
        Ok(NextStarts { jobs: None, user, source, from, until, count, per_job, found, ids, of_anacron })
    }

    /// Does what was asked for with the jobs that were found. `found`: None where no job was named. `is_all`: they are all that the client may
    /// pause or resume.
    pub(super) fn go_on_with(
        &mut self,
        token: Token,
        peer: &Peer,
        more: bool,
        found: Option<Vec<FoundJob>>,
        is_all: bool,
        then: NextStep,
    ) -> Result<(), CallError> {
        let needed = needed_access(&then);
        if let Some(refused) = found.iter().flatten().find(|job| !job.access.includes(needed)) {
            let id = &refused.id;
            let what = if refused.access.sees < needed.sees {
                format!("{id} is an entry of a system table: only root may see its settings")
            } else if refused.access.sees < Visibility::All {
                format!("{id} is an entry of a system table: only root may do this with it")
            } else {
                format!("{id} can be controlled by its owner and by root only")
            };
            return Err(cron::Error::NotAllowed { what }.into());
        }
        let jobs = found.as_ref().map(|found| found.iter().map(|job| job.id.clone()).collect::<BTreeSet<JobId>>());
        let walk = |purpose| Walk {
            peer: peer.clone(),
            cursor: EntryCursor::default(),
            is_behind_entries: false,
            more,
            purpose,
        };
        let only = found.as_ref().and_then(|found| found.first().cloned());
        match (then, only) {
            (NextStep::List(filter), _) => {
                let listing = Listing { jobs, filter: with_known_states(filter)?, ..Listing::default() };
                self.begin_walk(token, walk(Purpose::List(listing)));
            }
            (NextStep::Metrics(filter), _) => {
                refuse_state(&filter)?;
                let pages = self.metrics_pages(peer, jobs, filter);
                self.begin_walk(token, walk(Purpose::Metrics(Box::new(pages))));
            }
            (NextStep::Next(starts), _) => self.begin_walk(token, walk(Purpose::Next(NextStarts { jobs, ..*starts }))),
            (NextStep::Events(filter), _) => {
                refuse_state(&filter)?;
                self.begin_events(token, jobs, filter);
            }
            (NextStep::FleetJobs(filter), _) => {
                refuse_state(&filter)?;
                self.ask_fleet(token, peer.clone(), more, FleetQuestion::Jobs { jobs, filter });
            }
            (NextStep::FleetHistory, Some(job)) => self.read_fleet_history(token, &job.id),
            (NextStep::FleetReset, Some(job)) => self.repair_fleet_mark(token, &job),
            (NextStep::Show, Some(job)) => self.show(token, peer, &job),
            (NextStep::Why { at }, Some(job)) => self.explain_why(token, peer, &job, at),
            (NextStep::Run { is_forced, wants_output }, Some(job)) => {
                let wait = match (more, wants_output) {
                    (false, _) => WaitFor::Start,
                    (true, false) => WaitFor::End,
                    (true, true) => WaitFor::OutputAndEnd,
                };
                self.run_for_client(token, peer, &job, is_forced, wait);
            }
            (NextStep::Cancel, Some(job)) => self.cancel_for_client(token, peer, &job.id),
            (NextStep::PauseJobs(request), _) => {
                let mut jobs = found.unwrap_or_default();
                jobs.reverse();
                self.begin_pausing(token, peer, jobs, request, is_all);
            }
            (
                NextStep::Show
                | NextStep::Why { .. }
                | NextStep::Run { .. }
                | NextStep::Cancel
                | NextStep::FleetHistory
                | NextStep::FleetReset,
                None,
            ) => {
                return Err(CallError::InvalidParameter { parameter: "job".to_owned() });
            }
        }
        Ok(())
    }
}

/// Starts and events are not those of a state.
fn refuse_state(filter: &cron::Filter) -> Result<(), CallError> {
    match (&filter.state, &filter.states) {
        (Some(_), _) => Err(CallError::InvalidParameter { parameter: "state: only List has it".to_owned() }),
        (None, Some(_)) => Err(CallError::InvalidParameter { parameter: "states: only List has it".to_owned() }),
        (None, None) => Ok(()),
    }
}

/// A filter in which each state is there once, however often a client has sent it: they are compared with those of all jobs.
fn with_known_states(mut filter: cron::Filter) -> Result<cron::Filter, CallError> {
    if let Some(states) = &mut filter.states {
        if let Some(unknown) = states.iter().find(|state| !cron::STATES.contains(&state.as_str())) {
            let parameter = format!("states: expected any of {}, found {unknown:?}", cron::STATES.join(", "));
            return Err(CallError::InvalidParameter { parameter });
        }
        states.sort();
        states.dedup();
    }
    Ok(filter)
}

impl Listing {
    fn is_full(&self) -> bool {
        self.page.len() >= JOBS_OF_PAGE || self.bytes >= BYTES_OF_PAGE
    }

    fn take_page(&mut self) -> Vec<cron::Job> {
        self.bytes = 0;
        std::mem::take(&mut self.page)
    }

    /// Adds the job of an entry if it is wanted. Only then it is described, which takes much longer than to see whether it is.
    fn note_entry(&mut self, scheduler: &Scheduler, runs: &LiveRuns, live: &Live<'_>, access: Access) {
        let Some(id) = live.id() else { return };
        let is_running = runs.of_job(&id).next().is_some();
        if is_running {
            self.seen_running.insert(id.clone());
        }
        let is_wanted = self.selects(&id, live.user_or_caller(), &live.source().path) && {
            let status = scheduler.job_status(&id);
            let waiting = status.waiting + live.queued();
            let state = state_of(is_running, waiting, &status, live.policy().is_enabled);
            self.selects_state(state, runs.is_failing(&id) || status.failures > 0, status.is_late)
        };
        if is_wanted && let Some(view) = JobView::of_entry(scheduler, runs, live) {
            self.push(view, access);
        }
    }

    /// Adds a job that is no entry of a table if it is wanted.
    fn note_view(&mut self, view: JobView, access: Access) {
        let job = &view.job;
        if self.selects(&view.id, &job.user, &job.source) && self.selects_state(&job.state, view.is_failing, job.late) {
            self.push(view, access);
        }
    }

    fn selects(&self, id: &JobId, user: &str, source: &str) -> bool {
        self.jobs.as_ref().is_none_or(|jobs| jobs.contains(id))
            && self.filter.user.as_ref().is_none_or(|wanted| wanted == user)
            && self.filter.source.as_ref().is_none_or(|wanted| wanted == source)
    }

    fn selects_state(&self, state: &str, is_failing: bool, is_late: bool) -> bool {
        let is_in = |wanted: &String| match wanted.as_str() {
            "failing" => is_failing,
            "late" => is_late,
            wanted => wanted == state,
        };
        self.filter.state.as_ref().is_none_or(|wanted| wanted == state)
            && self.filter.states.as_ref().is_none_or(|states| states.iter().any(is_in))
    }

    fn push(&mut self, view: JobView, access: Access) {
        let job = view.job_for(access);
        self.bytes += 400 + job.command.len() + job.schedule.len();
        self.page.push(job);
    }
}

impl Counts {
    /// Counts an entry of a table without the texts that a list needs, since `Status` is to answer soon with very many entries.
    fn note_entry(&mut self, scheduler: &Scheduler, runs: &LiveRuns, live: &Live<'_>) {
        let Some(id) = live.id() else { return };
        let status = scheduler.job_status(&id);
        self.note_source(&live.source().path);
        self.entries += 1;
        self.running += runs.of_job(&id).count();
        self.waiting += status.waiting + live.queued();
        self.paused += usize::from(status.pause.is_some());
        self.failing += usize::from(runs.is_failing(&id) || status.failures > 0);
        self.late += usize::from(status.is_late);
        let next = live.coming_start(&id);
        self.next = [self.next, next].into_iter().flatten().min();
    }

    fn note_source(&mut self, source: &str) {
        if !self.sources.contains(source) {
            self.sources.insert(source.to_owned());
        }
    }

    fn note(&mut self, view: &JobView) {
        let job = &view.job;
        self.note_source(&job.source);
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
    fn wants(&self, user: &str, source: &str) -> bool {
        self.user.as_deref().is_none_or(|wanted| wanted == user)
            && self.source.as_deref().is_none_or(|wanted| wanted == source)
    }

    /// Notes the starts of an entry that may be among the earliest.
    fn note(&mut self, place: EntryCursor, live: &Live<'_>) {
        if !self.wants(live.user_or_caller(), &live.source().path) || self.count == 0 {
            return;
        }
        // Most entries have none, and names are found slowly.
        if live.starts_after(self.from).next().is_none_or(|at| self.is_beyond(at)) {
            return;
        }
        let Some(id) = live.id().filter(|id| self.jobs.as_ref().is_none_or(|jobs| jobs.contains(id))) else { return };
        for at in live.coming_starts(&id, self.from).take(self.per_job) {
            if self.is_beyond(at) {
                break;
            }
            self.ids.entry(place).or_insert_with(|| id.clone());
            self.found.insert((at, place));
            if self.found.len() > self.count {
                self.found.pop_last();
            }
        }
    }

    /// Most starts that one entry adds.
    fn of_one(&self) -> usize {
        self.count.min(self.per_job).max(1)
    }

    /// Whether a start is later than those that are wanted.
    fn is_beyond(&self, at: Timestamp) -> bool {
        let is_late = self.found.len() >= self.count && self.found.last().is_some_and(|(last, _)| at >= *last);
        is_late || self.until.is_some_and(|until| at > until)
    }

    /// Notes the start of an anacron job, if it was found due.
    fn note_anacron(&mut self, view: &JobView) {
        let job = &view.job;
        let Some(at) =
            job.next.filter(|at| at.timestamp() > self.from && self.until.is_none_or(|until| at.timestamp() <= until))
        else {
            return;
        };
        if !self.wants(&job.user, &job.source) || self.jobs.as_ref().is_some_and(|jobs| !jobs.contains(&view.id)) {
            return;
        }
        let start = cron::NextStart {
            at,
            job: job.job.clone(),
            user: job.user.clone(),
            command: job.command.clone(),
            schedule: job.schedule.clone(),
            zone: job.zone.clone(),
            source: job.source.clone(),
            line: job.line,
        };
        self.of_anacron.push(start);
        // The last one is sent first.
        self.of_anacron.sort_by_key(|start| std::cmp::Reverse(start.at));
    }
}
