//! The language as tables: what is taken, what it means, what is said about the rest.
