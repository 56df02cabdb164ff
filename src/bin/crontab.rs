//! The `crontab` program: see [`cronwheel::crontab`].

#![no_main]

cronwheel::entry!(cronwheel::crontab::main);
