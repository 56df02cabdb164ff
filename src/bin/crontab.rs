//! The `crontab` program: see [`cronwheel::crontab`].

#![cfg_attr(not(test), no_main)]

cronwheel::entry!(cronwheel::crontab::main);
