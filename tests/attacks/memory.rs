//! Tables that ask for memory: the daemon's use of it stays bounded.
