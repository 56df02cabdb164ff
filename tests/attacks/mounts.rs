//! File systems that are mounted over watched directories, or that report no changes.
