//! Answers `Metrics`: the counters of jobs, in pages.

use super::jobs::JobView;
use super::state::{MetricsPages, OtherJobs};
use crate::daemon::live_runs::LiveRuns;
use crate::daemon::metrics::{JobCounters, Metrics};
use crate::daemon::reactor::Token;
use crate::daemon::state::Daemon;
use crate::scheduler::{JobId, Live, Scheduler};
use crate::sys::local_socket::Peer;
use crate::varlink::{CallError, Reply, Time, cron};
use std::collections::BTreeSet;

/// Jobs of one page, and about how many bytes of them.
const JOBS_OF_PAGE: usize = 50;
const BYTES_OF_PAGE: usize = 128 << 10;
/// About how many bytes the counts of a job have in a reply.
const BYTES_OF_COUNTS: usize = 600;

impl Daemon {
    /// Begins to collect the metrics of these jobs, or of all.
    pub(super) fn metrics_pages(
        &mut self,
        peer: &Peer,
        jobs: Option<BTreeSet<JobId>>,
        filter: cron::Filter,
    ) -> MetricsPages {
        let cron::Filter { user, source, .. } = filter;
        let is_whole = jobs.is_none() && user.is_none() && source.is_none() && self.control.rights.sees_all(peer);
        MetricsPages {
            jobs,
            user,
            source,
            left: self.settings.config.metrics_jobs,
            page: Vec::new(),
            bytes: 0,
            other: OtherJobs::default(),
            sources: BTreeSet::new(),
            entries: 0,
            survey: is_whole.then(|| self.metrics.begin_survey()),
        }
    }

    /// Sends the last pages, the last one with the sums.
    pub(super) fn send_last_metrics(&mut self, token: Token, peer: &Peer, more: bool, mut pages: MetricsPages) {
        if let Some(survey) = pages.survey {
            self.metrics.end_survey(survey);
            pages.other.counters.merge(self.metrics.remainder());
        }
        let rest = pages.page.split_off(pages.page.len().min(JOBS_OF_PAGE));
        if !rest.is_empty() {
            if !more {
                return self.refuse(token, CallError::ExpectedMore);
            }
            let page = pages.take_page();
            self.reply(token, &Reply::continued(&page));
            pages.page = rest;
        }
        let sees_all = self.control.rights.sees_all(peer);
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let (refused, history_dropped, log_dropped) = match sees_all {
            true => (number(self.database.refused().len()), self.history.dropped(), self.log.lost()),
            false => (0, 0, 0),
        };
        let daemon = cron::DaemonMetrics {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            loaded_at: self.metrics.loaded_at(),
            loaded: number(pages.sources.len()),
            refused,
            entries: pages.entries,
            history_dropped,
            log_dropped,
            fleet: if self.sees_fleet(peer) { self.fleet_metrics() } else { None },
        };
        let other = pages.other.shown();
        self.reply(token, &Reply::of(&cron::Metrics { other, daemon: Some(daemon), ..pages.take_page() }));
    }
}

impl MetricsPages {
    pub(super) fn is_full(&self) -> bool {
        self.page.len() >= JOBS_OF_PAGE || self.bytes >= BYTES_OF_PAGE
    }

    pub(super) fn take_page(&mut self) -> cron::Metrics {
        self.bytes = 0;
        cron::Metrics { jobs: std::mem::take(&mut self.page), ..Metrics::empty_page() }
    }

    fn wants(&self, user: &str, source: &str, id: &JobId) -> bool {
        self.user.as_deref().is_none_or(|wanted| wanted == user)
            && self.source.as_deref().is_none_or(|wanted| wanted == source)
            && self.jobs.as_ref().is_none_or(|jobs| jobs.contains(id))
    }

    /// Notes the entry of a table.
    pub(super) fn note_entry(
        &mut self,
        scheduler: &Scheduler,
        runs: &LiveRuns,
        metrics: &mut Metrics,
        live: &Live<'_>,
    ) {
        let Some(id) = live.id() else { return };
        if let Some(survey) = self.survey {
            metrics.note_seen(&id, survey, self.left == 0);
        }
        let source = &live.source().path;
        self.note_source(source);
        if !self.wants(live.user_or_caller(), source, &id) {
            return;
        }
        let (status, policy) = (scheduler.job_status(&id), live.policy());
        let counters = metrics.of_job(&id);
        let next = live.coming_start(&id).map(Time::from);
        let running = u64::try_from(runs.of_job(&id).count()).unwrap_or(u64::MAX);
        if self.left == 0 {
            let gauges = (policy.is_enabled, status.pause.is_some(), status.is_late);
            return self.other.add(gauges, running, next, counters);
        }
        self.add(cron::JobMetrics {
            user: live.user_or_caller().to_owned(),
            name: id.name().to_owned(),
            source: source.clone(),
            schedule: live.schedule_text(),
            zone: live.zone().map(|zone| zone.name().to_owned()).unwrap_or_default(),
            overlap: policy.overlap.as_str().to_owned(),
            enabled: policy.is_enabled,
            paused: status.pause.is_some(),
            late: status.is_late,
            running,
            next,
            counts: counters.map(JobCounters::shown),
        });
    }

    /// Notes a job that is no entry of a crontab.
    pub(super) fn note_view(&mut self, view: &JobView, metrics: &mut Metrics) {
        let job = &view.job;
        if let Some(survey) = self.survey {
            metrics.note_seen(&view.id, survey, self.left == 0);
        }
        self.note_source(&job.source);
        if !self.wants(&job.user, &job.source, &view.id) {
            return;
        }
        let counters = metrics.of_job(&view.id);
        let running = u64::try_from(job.running.len()).unwrap_or(u64::MAX);
        if self.left == 0 {
            let gauges = (job.enabled, job.paused_until.is_some(), job.late);
            return self.other.add(gauges, running, job.next, counters);
        }
        self.add(cron::JobMetrics {
            user: job.user.clone(),
            name: job.name.clone(),
            source: job.source.clone(),
            schedule: job.schedule.clone(),
            zone: job.zone.clone(),
            overlap: view.overlap.as_str().to_owned(),
            enabled: job.enabled,
            paused: job.paused_until.is_some(),
            late: job.late,
            running,
            next: job.next,
            counts: counters.map(JobCounters::shown),
        });
    }

    fn note_source(&mut self, source: &str) {
        self.entries += 1;
        if !self.sources.contains(source) {
            self.sources.insert(source.to_owned());
        }
    }

    fn add(&mut self, job: cron::JobMetrics) {
        self.left -= 1;
        let texts = [&job.user, &job.name, &job.source, &job.schedule, &job.zone].map(|text| text.len());
        self.bytes += 300 + texts.iter().sum::<usize>() + if job.counts.is_some() { BYTES_OF_COUNTS } else { 0 };
        self.page.push(job);
    }
}

impl OtherJobs {
    fn add(
        &mut self,
        (is_enabled, is_paused, is_late): (bool, bool, bool),
        running: u64,
        next: Option<Time>,
        counters: Option<&JobCounters>,
    ) {
        self.jobs += 1;
        self.enabled += u64::from(is_enabled);
        self.paused += u64::from(is_paused);
        self.late += u64::from(is_late);
        self.running += running;
        self.next = [self.next, next].into_iter().flatten().min();
        if let Some(counters) = counters {
            self.counters.merge(counters);
        }
    }

    fn shown(&self) -> Option<cron::OtherMetrics> {
        (self.jobs > 0).then(|| cron::OtherMetrics {
            jobs: self.jobs,
            enabled: self.enabled,
            paused: self.paused,
            late: self.late,
            running: self.running,
            next: self.next,
            counts: self.counters.shown_of_several(),
        })
    }
}
