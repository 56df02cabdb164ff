//! Configuration of the machine that all programs share: the time zones that are known on it.

pub mod zones;
