//! The configuration of all programs: /etc/cronwheel.toml with the command line's overrides, and the known time zones and calendars.

pub mod calendars;
mod file;
mod settings;
pub mod sockets;
pub mod zones;

pub use file::{ConfigError, ConfigFile, LogTarget, Values, WatchMode, keys, parse_size, parse_time};
pub use settings::{Config, HistoryConfig, Places};
