//! One user's jobs do not delay, drop or survive those of another.
