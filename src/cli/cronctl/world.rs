//! What `cronctl` asks of the machine: the time, its zones, its name, its users.

use super::cli::value;
use super::error::Error;
use crate::config::Config;
use crate::config::zones::SystemZones;
use crate::crontab::{Context, Form};
use crate::schedule::{HostKey, Timestamp, Zone, Zones};
use crate::sys::{clock, host, passwd};
use clap::ArgMatches;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

/// The machine as this call sees it.
pub(super) struct World {
    /// Profile and places.
    pub(super) settings: Config,
    zones: ChosenZones,
    host: OnceCell<HostKey>,
    known_users: RefCell<HashMap<Vec<u8>, bool>>,
}

/// The machine's zone files, with another zone standing for its own.
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

impl World {
    /// Opens it; `--tz` stands for the system's zone.
    pub(super) fn open(settings: Config, matches: &ArgMatches) -> Result<World, Error> {
        let files = SystemZones::open();
        let system = match value::<String>(matches, "tz") {
            Some(name) => files.named(name).ok_or_else(|| Error::UnknownZone { name: name.clone() })?,
            None => files.system(),
        };
        let zones = ChosenZones { files, system };
        Ok(World { settings, zones, host: OnceCell::new(), known_users: RefCell::default() })
    }

    /// What time it is.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp(clock::wall().seconds)
    }

    /// The zone of entries that name none.
    pub(super) fn system_zone(&self) -> &Arc<Zone> {
        &self.zones.system
    }

    /// The zone of that name.
    pub(super) fn zone(&self, name: &str) -> Option<Arc<Zone>> {
        self.zones.named(name)
    }

    /// This host, for stable draws.
    pub(super) fn host(&self) -> HostKey {
        *self.host.get_or_init(|| HostKey::of(&host::identity()))
    }

    /// What a table of that form and name is read with.
    pub(super) fn context<'a>(&'a self, form: Form, name: &'a str) -> Context<'a> {
        Context { form, dialect: &self.settings.site.dialect, name, host: self.host(), zones: &self.zones }
    }

    /// Whether the caller is root.
    pub(super) fn is_root(&self) -> bool {
        passwd::caller() == 0
    }

    /// The caller's login name, or the number of a caller who has none.
    pub(super) fn caller(&self) -> String {
        let uid = passwd::caller();
        passwd::by_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |account| account.name)
    }

    /// Whether the user database has that name; each name is looked up once.
    pub(super) fn is_user(&self, name: &[u8]) -> bool {
        if let Some(known) = self.known_users.borrow().get(name) {
            return *known;
        }
        let text = std::str::from_utf8(name).ok();
        let known = text.is_some_and(|name| matches!(passwd::by_name(name), Ok(Some(_))));
        self.known_users.borrow_mut().insert(name.to_vec(), known);
        known
    }
}
