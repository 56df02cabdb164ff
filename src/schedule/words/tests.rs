//! Schedules and the English for them.
