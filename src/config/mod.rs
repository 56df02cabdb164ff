//! What the machine is configured to be, for all programs: the time zones that are known on it.

pub mod zones;
