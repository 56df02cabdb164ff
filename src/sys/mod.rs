//! Kernel and libc, handed out as safe types. The only room with `unsafe`; each block says why it is sound.

pub mod clock;
pub mod files;
pub mod passwd;
pub mod zoneinfo;
