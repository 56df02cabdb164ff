//! Jobs with a PAM session: which ones need it, passing them to a PAM monitor, and handling the monitor's events. Hooks and pings have a
//! session where a job of their request has one.

use super::context::{Context, EventSource, job_ref, token};
use super::start::{PreparedStart, Starter};
use super::starts::QueuedStart;
use super::state::ExecutorState;
use crate::crontab::ResourceLimits;
use crate::executor::environment::Variables;
use crate::executor::exec_spec::{Failure, Identity, Stdio};
use crate::executor::job_log::JobRef;
use crate::executor::link::Link;
use crate::executor::pam_monitor::{MonitorEvent, MonitorRequest};
use crate::executor::selinux::Label;
use crate::profile::ProfileName;
use crate::report::Level;
use crate::scheduler::{FleetRun, Owner, RunRequest, Usage};
use crate::sys::clock;
use crate::sys::process::Status;
use crate::users::{User, UserWithGroups};
use std::io;
use std::rc::Rc;

impl ExecutorState {
    /// Whether the template has unread requests for PAM monitors.
    pub(super) fn monitors_are_behind(&self) -> bool {
        self.pam.is_behind()
    }

    /// Whether the job's start goes through PAM.
    pub(super) fn needs_monitor(&self, start: &RunRequest, user: &User) -> bool {
        let spared =
            self.context.profile.pam_skips_root_system_jobs && start.source.owner == Owner::System && user.uid == 0;
        self.pam.has_service() && !self.context.config.standalone && !spared
    }

    /// Passes the job to a PAM monitor. An error means that nothing has been started and the start can be retried.
    pub(super) fn hand_to_monitor(
        &mut self,
        start: &RunRequest,
        user: Rc<UserWithGroups>,
        label: Option<Label>,
    ) -> io::Result<PreparedStart> {
        let command = start.split(self.context.profile.backslash);
        let context = label.map(|label| label.context().clone());
        let variables = self.context.job_environment(start, &user);
        let request = MonitorRequest {
            run: Some(start.run),
            context,
            limits: start.rules.limits,
            start_by_ms: start.fleet.map(FleetRun::latest_start_ms),
            runs_without_home: self.context.profile.runs_without_home,
            ..self.monitor_request(&user, &variables, &command.shell)
        };
        let (id, pipes) = self.open_pipes(start, &user)?;
        let monitor = self.request_monitor(id, &request, pipes.stdio())?;
        Ok(PreparedStart { id, user, pipes, command, leaf: None, starter: Starter::Monitor(monitor) })
    }

    /// Passes a request to a new PAM monitor. Its events have the number `id`.
    pub(super) fn request_monitor(&mut self, id: u64, request: &MonitorRequest, stdio: Stdio<'_>) -> io::Result<Link> {
        let Context { threads, profile, policy, .. } = &self.context;
        let made = self.pam.template(threads, profile, *policy, self.cgroups.own())?.make_monitor(stdio);
        let mut monitor = made.inspect_err(|_| self.pam.drop_template())?;
        self.context.poll.add(&monitor, token(EventSource::PamMonitor, id))?;
        monitor.push(request).map_err(io::Error::other)?;
        monitor.flush()?;
        // A monitor that has its whole request starts the job. An error after that would have it started once more.
        if monitor.wants_to_write() {
            self.context.poll.want_writable(&monitor, token(EventSource::PamMonitor, id), true)?;
        }
        Ok(monitor)
    }

    /// A request for a command of a user, without a cgroup, an SELinux context and the limits of an entry.
    pub(super) fn monitor_request(
        &self,
        user: &UserWithGroups,
        variables: &Variables,
        command: &[u8],
    ) -> MonitorRequest {
        MonitorRequest {
            run: None,
            user: user.name.clone(),
            identity: Identity::from(user),
            context: None,
            session_class: variables
                .get("XDG_SESSION_CLASS")
                .filter(|_| self.context.profile.profile == ProfileName::Cronie)
                .map(<[u8]>::to_vec),
            variables: variables.packed(),
            command: command.into(),
            call_url_program: None,
            runs_without_home: true,
            original_limits: self.context.original_limits,
            limits: ResourceLimits::default(),
            start_by_ms: None,
        }
    }

    fn monitor_of(&mut self, id: u64) -> Option<&mut Link> {
        match self.jobs.running.get_mut(&id) {
            Some(job) => job.monitor.as_mut(),
            None => self.follow_ups.running.get_mut(&id)?.monitor.as_mut(),
        }
    }

    /// Handles the events of a PAM monitor and sends it the rest of its request.
    pub(super) fn handle_monitor(&mut self, id: u64) {
        let is_follow_up = self.follow_ups.running.contains_key(&id);
        let monitor = match self.jobs.running.get_mut(&id) {
            Some(job) => job.monitor.as_mut(),
            None => self.follow_ups.running.get_mut(&id).and_then(|running| running.monitor.as_mut()),
        };
        let Some(monitor) = monitor else { return };
        let mut open = monitor.fill().unwrap_or(false);
        if monitor.wants_to_write() {
            open &= monitor.flush().is_ok();
            let _ = self.context.poll.want_writable(
                &*monitor,
                token(EventSource::PamMonitor, id),
                monitor.wants_to_write(),
            );
        }
        while let Some(monitor) = self.monitor_of(id) {
            match monitor.take() {
                Ok(Some(event)) if is_follow_up => self.handle_follow_up_event(id, event),
                Ok(Some(event)) => self.handle_monitor_event(id, event),
                Ok(None) if open => return,
                Ok(None) | Err(_) if is_follow_up => return self.follow_up_ended(id, None),
                Ok(None) | Err(_) => return self.monitor_ended(id, None),
            }
        }
    }

    fn handle_monitor_event(&mut self, id: u64, event: MonitorEvent) {
        match event {
            MonitorEvent::NoMonitor { number } => self.try_monitor_again(id, &io::Error::from_raw_os_error(number)),
            MonitorEvent::Started { pid, process, has_leaf } => {
                if let Some(job) = self.jobs.running.get_mut(&id).filter(|_| has_leaf) {
                    job.leaf = self.cgroups.leaf_of(job.start.run);
                }
                self.started(id, pid, process);
            }
            MonitorEvent::Message(text) => self.log_pam_message(id, "pam_message", &text),
            MonitorEvent::Refused { session, text, doing } => self.log_pam_refusal(id, session, &text, &doing),
            MonitorEvent::Failed { step, number } => {
                if let Some(failure) = Failure::of_numbers(step, number) {
                    self.job_failed(id, &failure);
                }
            }
            MonitorEvent::Ended { status, usage, variables } => {
                if let Some(job) = self.jobs.running.get_mut(&id) {
                    job.pam_variables = Some(Variables::unpacked(&variables));
                }
                self.monitor_ended(id, Some((status, usage)));
            }
        }
    }

    /// Retries a start whose PAM monitor could not be forked. Nothing has been started.
    fn try_monitor_again(&mut self, id: u64, error: &io::Error) {
        let Some(job) = self.jobs.running.remove(&id) else { return };
        self.starts.limiter.end(id);
        self.memory.requests.give_back(&job.owner, job.input_size);
        if job.ends_at_start {
            self.starts.cancelled.insert(job.start.run, job.end_reason.clone());
        }
        self.try_again(QueuedStart::again(job), error, clock::monotonic_ms());
    }

    /// Handles the last event of a PAM monitor. It closes the session itself.
    fn monitor_ended(&mut self, id: u64, ended: Option<(Status, Usage)>) {
        if let Some(job) = self.jobs.running.get_mut(&id) {
            job.monitor = None;
        }
        self.leader_ended(id, ended, clock::monotonic_ms());
    }

    /// Logs PAM's refusal in the words of the profile's reference implementation. The record about the start follows.
    fn log_pam_refusal(&mut self, id: u64, session: bool, text: &str, doing: &str) {
        let Some(job) = self.jobs.running.get_mut(&id) else { return };
        job.failure = Some(format!("{doing}: {text}"));
        let Some(job) = self.jobs.running.get(&id) else { return };
        let command = job.command(self.context.profile);
        let job_ref = job_ref(job, &command);
        match self.context.profile.profile {
            ProfileName::Debian => self.context.log.record(JobRef { user: "", ..job_ref }, Level::Error, text, b"", ""),
            ProfileName::Cronie => {
                let event =
                    if session { "FAILED to open PAM security session" } else { "FAILED to authorize user with PAM" };
                self.context.log.record_as_daemon(job_ref.user, "PAM ERROR", text);
                self.context.log.record_as_daemon(job_ref.user, event, text);
            }
        }
    }

    fn log_pam_message(&mut self, id: u64, event: &str, text: &str) {
        let Some(job) = self.jobs.running.get(&id) else { return };
        let command = job.command(self.context.profile);
        let job_ref = JobRef { user: "CRON", ..job_ref(job, &command) };
        self.context.log.record(job_ref, Level::Info, event, text.as_bytes(), "");
    }
}
