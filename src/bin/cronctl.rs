//! The `cronctl` program: see [`cronwheel::cronctl`].

#![no_main]

cronwheel::entry!(cronwheel::cronctl::main);
