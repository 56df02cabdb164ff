//! The configuration of all programs: /etc/cronwheel.toml with the command line's overrides, and the known time zones and calendars.

pub mod calendars;
mod fault;
mod file;
mod fleet;
mod settings;
pub mod sockets;
pub mod zones;

pub use file::{ConfigError, ConfigFile, LogTarget, Values, WatchMode, keys, parse_size, parse_time};
pub use fleet::{FleetConfig, FleetPlace, fleet_keys, is_fleet_name};
pub use settings::{Config, HistoryConfig, Places};
