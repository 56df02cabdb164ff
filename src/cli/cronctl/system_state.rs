//! Access to the machine: time, zones, host name and users.

use super::cli::value;
use super::error::Error;
use super::values::TimeArgument;
use crate::config::calendars::SystemCalendars;
use crate::config::zones::SystemZones;
use crate::config::{Config, FleetPlace};
use crate::crontab::{Calendars, Context, Form, KnownNames};
use crate::profile::shared;
use crate::schedule::{HostKey, Timestamp, Zone, Zones};
use crate::spool::ThisMachine;
use crate::sys::{clock, host, process};
use crate::users::caller_name;
use clap::ArgMatches;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The machine's data for one call.
pub(super) struct SystemState {
    /// The profile and the paths.
    pub(super) settings: Config,
    /// Whether the command line names the run directory.
    pub(super) run_dir_given: bool,
    zones: ChosenZones,
    fleet: Option<FleetPlace>,
    calendars: OnceCell<SystemCalendars>,
    host: OnceCell<HostKey>,
    machine: ThisMachine,
}

/// The machine's zone files, with `--tz` in place of the system's zone.
#[derive(Debug)]
struct ChosenZones {
    files: SystemZones,
    system: Arc<Zone>,
}

impl Zones for ChosenZones {
    fn named(&self, name: &str) -> Option<Arc<Zone>> {
        self.files.named(name)
    }

    fn system(&self) -> Arc<Zone> {
        Arc::clone(&self.system)
    }
}

impl SystemState {
    /// Collects the data. `--tz` replaces the system's zone.
    pub(super) fn open(settings: Config, matches: &ArgMatches) -> Result<SystemState, Error> {
        let files = SystemZones::open();
        let system = match value::<String>(matches, "tz") {
            Some(name) => files.named(name).ok_or_else(|| Error::UnknownZone { name: name.clone() })?,
            None => files.system(),
        };
        let zones = ChosenZones { files, system };
        let fleet = settings.fleet.as_ref().map(|fleet| fleet.place(&zones));
        Ok(SystemState {
            settings,
            run_dir_given: value::<PathBuf>(matches, "run-dir").is_some(),
            zones,
            fleet,
            calendars: OnceCell::new(),
            host: OnceCell::new(),
            machine: ThisMachine::for_commands(),
        })
    }

    /// The time of the wall clock, in seconds.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp(clock::wall().seconds)
    }

    /// The point in time that an option gives.
    pub(super) fn moment(&self, matches: &ArgMatches, option: &str) -> Option<Timestamp> {
        let given = value::<TimeArgument>(matches, option)?;
        Some(self.resolve(*given))
    }

    /// A point in time on the command line.
    pub(super) fn resolve(&self, given: TimeArgument) -> Timestamp {
        given.resolve(self.now(), self.system_zone())
    }

    /// The zone of entries without a zone of their own.
    pub(super) fn system_zone(&self) -> &Arc<Zone> {
        &self.zones.system
    }

    /// Looks up a zone by its name.
    pub(super) fn zone(&self, name: &str) -> Option<Arc<Zone>> {
        self.zones.named(name)
    }

    /// The calendars that `CRON_EXCEPT` may name.
    pub(super) fn calendars(&self) -> &Calendars {
        self.calendars.get_or_init(|| SystemCalendars::read(Path::new(shared::CALENDARS))).calendars()
    }

    /// The key of this host, for stable random values.
    pub(super) fn host(&self) -> HostKey {
        *self.host.get_or_init(|| HostKey::of(&host::identity()))
    }

    /// The parser's context for a crontab of that form and name.
    pub(super) fn context<'a>(&'a self, form: Form, name: &'a str) -> Context<'a> {
        let fleet = self.fleet.as_ref().map(FleetPlace::names);
        let known = KnownNames { zones: &self.zones, calendars: Some(self.calendars()), fleet };
        Context { form, dialect: &self.settings.profile.dialect, name, host: self.host(), known }
    }

    /// The users and programs of this machine.
    pub(super) fn machine(&self) -> &ThisMachine {
        &self.machine
    }

    pub(super) fn uid(&self) -> u32 {
        process::own_uid()
    }

    /// Whether the caller is root.
    pub(super) fn is_root(&self) -> bool {
        process::own_uid() == 0
    }

    /// The caller's login name, or the uid of a caller without an account.
    pub(super) fn caller(&self) -> String {
        caller_name()
    }
}
