//! The `cronctl` program: see [`cronwheel::cronctl`].

#![cfg_attr(not(test), no_main)]

cronwheel::entry!(cronwheel::cronctl::main);
