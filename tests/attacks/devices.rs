//! Ownership and modes of what the daemon did not create stay as they were.
