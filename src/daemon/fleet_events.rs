//! What the event loop does with the fleet: it passes requests of the scheduler to the agent, and what the agent says to the scheduler.

use super::fleet::FleetOutput;
use super::settings::Settings;
use super::state::{Daemon, Fatal, Handler, now};
use crate::report::Level;
use crate::scheduler::{
    Event, FleetEvent, FleetExcess, FleetRequest, FleetSettings, MOST_FLEET_JOBS, MOST_FLEET_NODES, MOST_SLOTS_A_MINUTE,
};
use crate::sys::{clock, files};
use crate::varlink::cron;

impl Daemon {
    fn handle_fleet_agent(&mut self) -> Result<(), Fatal> {
        let outputs = self.fleet.handle_agent(clock::monotonic_ms(), &mut self.reactor);
        self.take_fleet_outputs(outputs);
        Ok(())
    }

    /// When [`Daemon::run_fleet`] has something to do, milliseconds of the monotonic clock.
    pub(super) fn fleet_deadline_ms(&self) -> Option<i64> {
        self.fleet.deadline_ms().filter(|_| !self.leaves_fleet())
    }

    /// A daemon that ends starts no other agent. The one that runs ends with it.
    fn leaves_fleet(&self) -> bool {
        self.stopping.is_some() && !self.fleet.has_agent()
    }

    /// Starts the agent if it is time for that, and has the lease renewed.
    pub(super) fn run_fleet(&mut self, now_ms: i64) {
        if self.leaves_fleet() {
            return;
        }
        let handler: Handler = |daemon, _| daemon.handle_fleet_agent();
        let outputs = self.fleet.run_timers(now_ms, &mut self.reactor, handler);
        self.take_fleet_outputs(outputs);
        self.flush_fleet();
        match self.driver.scheduler.take_fleet_excess() {
            Some(FleetExcess::Slots) => self.warn(&format!(
                "more than {MOST_SLOTS_A_MINUTE} slots of fleet jobs are due in one minute, so that starts are late: set RANDOM_DELAY, or divide the fleet (cronwheel-fleet(7), Large sites)"
            )),
            Some(FleetExcess::Keys) => self.warn(&format!(
                "the fleet has more than {MOST_FLEET_JOBS} jobs or {MOST_FLEET_NODES} nodes, or their keys are too large: this node does not run the jobs beyond; divide the fleet (cronwheel-fleet(7), Large sites)"
            )),
            None => {}
        }
    }

    /// Asks the engine for something.
    pub(super) fn request_of_fleet(&mut self, request: &FleetRequest) {
        if let Some(event) = self.fleet.request(request) {
            self.driver.handle(Event::Fleet(event));
        }
    }

    /// Sends what waits for the agent.
    pub(super) fn flush_fleet(&mut self) {
        let outputs = self.fleet.flush(clock::monotonic_ms(), &mut self.reactor);
        self.take_fleet_outputs(outputs);
    }

    /// Has keys of the fleet read that begin with `prefix`. The answer comes to [`Daemon::take_fleet_keys`] with this number. None: the engine is away,
    /// or has too much to do.
    pub(super) fn read_fleet_keys(&mut self, prefix: &str, limit: u32) -> Option<u64> {
        self.fleet.read(prefix, limit)
    }

    /// What is counted of the fleet. None: there is none.
    pub(super) fn fleet_metrics(&self) -> Option<cron::FleetMetrics> {
        let status = self.fleet.status()?;
        let view = self.driver.scheduler.fleet_view(now());
        let own = view.as_ref().and_then(|view| view.nodes.iter().find(|node| node.node == view.node));
        Some(cron::FleetMetrics {
            engine_up: status.is_connected,
            engine_losses: status.counts.losses,
            engine_seconds: status.member.map(|(_, microseconds)| *microseconds as f64 / 1e6),
            waiting: u64::try_from(status.waiting).unwrap_or(u64::MAX),
            won: status.counts.won,
            refused: status.counts.refused,
            failed: status.counts.failed,
            clock_offset: own.and_then(|own| own.offset_ms).map(|ms| ms as f64 / 1e3),
        })
    }

    /// The name of the fleet.
    pub(super) fn fleet_name(&self) -> Option<&str> {
        self.settings.config.fleet.as_ref().map(|fleet| fleet.name.as_str())
    }

    /// Why the engine is away.
    pub(super) fn fleet_fault(&self) -> Option<&str> {
        self.fleet.fault()
    }

    fn take_fleet_outputs(&mut self, outputs: Vec<FleetOutput>) {
        for (level, text) in self.fleet.take_lines() {
            match level {
                Level::Info => self.log_event("INFO", &text),
                _ => self.warn(&text),
            }
        }
        for item in outputs {
            match item {
                FleetOutput::Event(event) => {
                    let is_end = event == FleetEvent::Away;
                    self.driver.handle(Event::Fleet(event));
                    if is_end {
                        self.end_fleet_reads();
                    }
                }
                FleetOutput::Found(id, entries) => self.take_fleet_keys(id, entries),
            }
        }
    }
}

/// A random number. Should the kernel have none, the time makes copies of this machine differ.
pub(super) fn random_number() -> u64 {
    let mut random = [0; 8];
    match files::randomize(&mut random) {
        Ok(()) => u64::from_ne_bytes(random),
        Err(_) => clock::wall_ms().unsigned_abs(),
    }
}

/// The place of this machine in its fleet, for the scheduler.
///
/// # Errors
/// The kernel has no random numbers.
pub(super) fn settings_of_node(settings: &Settings, node: &str) -> std::io::Result<FleetSettings> {
    let mut random = [0; 16];
    files::randomize(&mut random)?;
    let config = settings.config.fleet.as_ref();
    Ok(FleetSettings {
        node: node.to_owned(),
        labels: config.map(|config| config.labels.clone()).unwrap_or_default(),
        weight: config.map_or(1, |config| config.weight),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        fresh_instance: random.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}
