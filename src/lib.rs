//! # cronwheel: the house
//!
//! Three programs out of one library: `crond` (the daemon), `crontab` (the user's command) and `cronctl` (ask and
//! steer the daemon). The rooms, from the ground up; imports go down or stay in the room, and `tests/house.rs` keeps it so.
//!
//! | floor | room | what it is for | may import |
//! |---|---|---|---|
//! | 5 | `bin/*.rs` | three short mains | the programs |
//! | 4 | [`crond`] | wires the world to the plan; the only event loop; start-up, signals, PID file | all below |
//! | 4 | [`crontab`] | list, edit, check, install, remove a table | below, not `plan` |
//! | 4 | [`cronctl`] | next, check, explain, simulate, timeline | below |
//! | 3 | [`spool`] | finds and reads tables safely, installs them durably, allow/deny | `site plan table sys` |
//! | 3 | [`launch`] | starts a job as its owner: runner, keeper, identity, PAM, output | `site plan sys report` |
//! | 3 | [`report`] | tells what happened: syslog, JSON, stderr, mail | `site plan sys` |
//! | 2 | [`plan`] | decides: which tables are live, what is due, what may start, what an ended run means | `table schedule` |
//! | 2 | [`site`] | what differs between Debian's cron and cronie: paths, ids, wording, as constants | `table` |
//! | 1 | [`table`] | the crontab language: bytes in, entries and diagnostics out | `schedule` |
//! | 0 | [`schedule`] | the calendar: does it match, when next, gaps and folds, in words | chrono, chrono-tz, cron |
//! | 0 | [`sys`] | kernel and libc, handed out as safe types; the only `unsafe` | `schedule`, libc, nix |
//!
//! The quiet half (`schedule`, `table`, `plan`, `site`) only computes: no clock, no descriptor, no pid, no environment.
//! The loud half talks to the world and decides nothing.

pub mod cronctl;
pub mod crond;
pub mod crontab;
pub mod launch;
pub mod plan;
pub mod report;
pub mod schedule;
pub mod site;
pub mod spool;
#[allow(unsafe_code)]
pub mod sys;
pub mod table;
