//! What a table is read with: its form, the profile's limits, the host, and the names of time zones and calendars.

use super::calendar::Calendars;
use super::form::Form;
use crate::schedule::{HostKey, Timestamp, Zone, Zones};
use std::sync::Arc;

/// Limits of a table, those of the profile's reference implementation. Exceeding one is an error; nothing is truncated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest command, in bytes.
    pub command: usize,
    /// Most lines of a user table, if bounded.
    pub user_lines: Option<usize>,
    /// Most entries of a user table, if bounded.
    pub user_entries: Option<usize>,
    /// Most settings of a user table, if bounded.
    pub user_settings: Option<usize>,
    /// Most bytes of a table in user form.
    pub user_bytes: u32,
    /// Most bytes of a system table.
    pub system_bytes: u32,
    /// Comment lines that `crontab` puts in front of what it installs: they count as no lines of the table.
    pub header_lines: usize,
}

/// Room for those comment lines, which name the file that the table came from. In a table that `crontab` has installed so
/// many bytes more are allowed.
const LONGEST_HEADER: u32 = 16 << 10;

impl Limits {
    /// The largest crontab of this form, in bytes.
    pub fn bytes(&self, form: Form) -> u32 {
        match form {
            Form::User => self.user_bytes,
            Form::System => self.system_bytes,
        }
    }

    /// Most bytes of a user's table in the spool, where `crontab` has perhaps put its header in front.
    pub fn installed_bytes(&self) -> u32 {
        self.user_bytes + if self.header_lines > 0 { LONGEST_HEADER } else { 0 }
    }
}

/// The parts of the language that depend on the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Bounds on lines, entries, settings and bytes.
    pub limits: Limits,
    /// Whether a MAILTO that is unsafe as a mailer's argument is refused at install (Debian since -187).
    pub refuse_unsafe_mailto: bool,
    /// The bytes beside letters and digits that an address of MAILTO and MAILFROM may have, though not in front.
    pub address_marks: &'static [u8],
}

/// What a table is read with.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Whether entries name their user (system form) or not (user form).
    pub form: Form,
    /// What differs between the languages of Debian's cron and cronie.
    pub dialect: &'a Dialect,
    /// The table's name for stable draws: a user's name, or the path of a system table.
    pub name: &'a str,
    /// The key of this host, for stable draws.
    pub host: HostKey,
    /// The names that the table may refer to.
    pub known: KnownNames<'a>,
}

/// The names that a table may refer to.
#[derive(Clone, Copy)]
pub struct KnownNames<'a> {
    /// The time zones that `CRON_TZ` may name.
    pub zones: &'a dyn Zones,
    /// Calendars. None: names of calendars are not checked.
    pub calendars: Option<&'a Calendars>,
    /// The fleet that `CRON_FLEET=one` refers to. None: the machine is in no fleet.
    pub fleet: Option<FleetNames<'a>>,
}

/// What the entries of a fleet take from it instead of from the machine.
#[derive(Clone, Copy)]
pub struct FleetNames<'a> {
    /// The key of the fleet, for stable draws: [`HostKey::of`] its name.
    pub key: HostKey,
    /// The zone of entries without `CRON_TZ`.
    pub zone: &'a Arc<Zone>,
}

/// What a machine has that tables refer to, for the warnings that depend on it. The parser asks nothing else, so its caller decides what an
/// answer may cost.
pub trait Machine {
    /// Whether there is a user of that name. None: unknown, as users are not looked up.
    fn has_user(&self, name: &[u8]) -> Option<bool>;
    /// Whether the machine itself has a user of that name, whatever the name service says.
    fn has_local_user(&self, name: &[u8]) -> bool;
    /// Whether there is a program of that path or, without a slash, of that name in one of the usual directories. None: it is not
    /// known here.
    fn has_program(&self, path: &[u8]) -> Option<bool>;
    /// Whether the program of that path is bash under its own or another name.
    fn is_bash(&self, path: &[u8]) -> bool;
    /// The current time, for warnings about dates in the past.
    fn now(&self) -> Timestamp;
}

impl<'a> KnownNames<'a> {
    /// The time zones, without a check of calendars.
    pub fn of_zones(zones: &'a dyn Zones) -> KnownNames<'a> {
        KnownNames { zones, calendars: None, fleet: None }
    }
}
