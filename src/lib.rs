//! cronwheel: a cron daemon, the command to edit crontabs, and the command to inspect the daemon, in one library.
//!
//! Modules are arranged in layers. A module imports from lower layers only, and modules of one layer do not import each other;
//! `tests/layering.rs` checks that.
//!
//! | layer | module | responsibility |
//! |---|---|---|
//! | 7 | `bin` | three short `main`s |
//! | 6 | [`daemon`] | the `crond` program: event loop, event sources, start-up, shutdown, crontab database |
//! | 6 | [`cli`] | the commands `crontab` and `cronctl` |
//! | 5 | [`web`] | the web page of `cronctl`: HTTP server, pages (feature `web`); metrics and calendar, as the page and `cronctl` give them |
//! | 4 | [`control`] | server and client of the control socket, and who may see and do what |
//! | 4 | [`executor`] | starts jobs: queue, limiter, process creation, PAM session, output capture, mail |
//! | 4 | [`fleet`] | jobs of several machines: the agent that talks to the engine (etcd), and its messages |
//! | 4 | [`history`] | run records: journal, recorder, store (SQLite), queries, retention |
//! | 4 | [`spool`] | crontab files on disk: find, check, read, install; allow and deny lists |
//! | 3 | [`report`] | log events and their sinks: syslog, journal, JSON, standard error; text of mails |
//! | 3 | [`config`] | what the machine is configured to be: /etc/cronwheel.toml with command-line overrides, the known time zones |
//! | 3 | [`timeline`] | pictures of when jobs ran and will run: data, text for terminals, SVG |
//! | 3 | [`users`] | who exists: users by name, from /etc/passwd and the name service |
//! | 2 | [`scheduler`] | pure state machine: which crontabs are live, what is due, what may start, what an ended run means |
//! | 2 | [`profile`] | what differs between Debian's cron and cronie, as constants |
//! | 1 | [`varlink`] | the control protocol: framing, messages and interfaces |
//! | 1 | [`crontab`] | the crontab language: bytes in, entries, settings and diagnostics out; anacrontab |
//! | 0 | [`schedule`] | expressions, calendar, time zones, daylight saving time |
//! | 0 | [`sys`] | system calls and libc as safe types; the only `unsafe` |
//!
//! `schedule`, `crontab`, `varlink`, `profile`, `scheduler` and `timeline` are pure: no clock, no descriptor, no process, no environment. They are
//! told the time and return values, and decide when jobs run. The other modules do I/O, and decide only how that is done: which files may be used, how many
//! processes are started at once, which output is kept.
//!
//! A crontab line on its way to a mail, in the order in which the files call each other:
//!
//! | step | file | what is done | what is passed on |
//! |---|---|---|---|
//! | 1 | `daemon/tables` (`scan_path`) | `spool/scan` finds the changed file and checks it | `spool::Found` |
//! | 2 | `daemon/file_cache` (`update`) | `spool/read` reads the file, `crontab/parse` parses it | `crontab::Crontab` |
//! | 3 | `daemon/event_loop` (`LoadEventForwarder`) | the table goes to the scheduler | `scheduler::Event::Load` |
//! | 4 | `scheduler/loading` (`load`; at start-up `begin`) | its timers are armed | a timer in `scheduler/wheel` |
//! | 5 | `scheduler/clock` (`follow_clock`), `scheduler/handover` (`start`, `hand_over`) | on `Event::Tick` the timer has expired; `scheduler/decide` asks the policy, if there is one | `scheduler::Action::Start` |
//! | 6 | `daemon/event_loop` (`start`) | the request goes to the executor process | `ExecutorRequest::Start` |
//! | 7 | `executor/process/start` (`take_start`, `start_pending`) | the start is queued; the user is looked up, the process created, by a PAM monitor where the service opens a session | a child |
//! | 8 | `executor/exec_spec` (`run_child`) | the child becomes the user and executes the command | output, exit status |
//! | 9 | `executor/process/finish` (`job_ended`, `finish`) | the child has ended, the rest of its output is read | `scheduler::RunResult` to main; an `EndedRun` |
//! | 10 | `executor/process/ended_output` (`finish_run`) | `executor/process/mail`: `compose` makes the text with `report/mail`, `send_queued` starts the mailer | the mail |
//!
//! With a policy the scheduler decides in step 10 whether there is a mail: main answers the `RunResult` with `ExecutorRequest::Conclude`.
//!
//! Messages between processes:
//!
//! | from, to | type | format |
//! |---|---|---|
//! | main, executor | `executor::wire`: `ExecutorRequest`, `ExecutorEvent` | frames of postcard over a socket |
//! | executor, its PAM template | `executor::template`: `MonitorStart` | four descriptors with one byte (SCM_RIGHTS) |
//! | executor, PAM monitor | `executor::pam_monitor`: `MonitorRequest`, `MonitorEvent` | frames of postcard over a socket |
//! | child, executor or PAM monitor | `executor::exec_spec`: `Failure` | process id, stage and errno over a pipe |
//! | executor, `cronctl call-url` | `cli::cronctl::call_url` | URL and slot in a line each, then the body; one line back if it failed |
//! | lookup child, executor | `users::cache`: `LookUpAnswer` | postcard over a pipe |
//! | lookup child, main | `users::look_up_child`: `NamedUser` | lines of JSON over a pipe |
//! | main, recorder | `history::message`: `RecorderSettings`, then the journal with `history::event`: `HistoryEvent` | a byte with the descriptors (SCM_RIGHTS), a line of JSON, a byte whenever the journal has grown; checked records in a file |
//! | main, `crond --execute-as` | `daemon::execute_as` | arguments; back the `NotStarted` message of the program that it should have executed |
//! | recorder, main | `history::message`: `RecorderMessage` | lines of JSON over a socket |
//! | main, fleet agent | `fleet::message`: `AgentSettings`, then `AgentRequest`, `AgentMessage` | lines of JSON over a socket |
//! | crontab, main | `sys::wake_socket` | datagram: the name of the user |
//! | clients, main and recorder | `varlink`: `Call`, `Reply` | JSON over a socket, each message with a NUL at its end |
//! | main, the program executed anew | `daemon::execution`: `HandoverState` | JSON in an environment variable |
//! | executor, a later main | `executor::journal`: `JournalRecord` | checked records of postcard in a file |
//! | main, the next daemon | `daemon::job_state_file`: `Item` | checked lines in a file |
//! | main, the next daemon | `daemon::record`: `StartRecord` | 56 bytes at fixed places in a file |
//! | main, anacron and the next daemon | `daemon::stamps` | a file for each job: eight digits and a newline |
//! | main, main of another node | `scheduler::fleet`: `FleetKey`, `Mark` and others | text or JSON in keys of the engine |
//! | fleet agent, etcd | `fleet::etcd` | JSON over HTTP |
//! | main, the service manager | `sys::notify_socket` | datagrams of sd_notify(3) |
//! | daemon in the background, its caller | `sys::daemon`: `ReadinessPipe` | bytes over a pipe |

pub mod cli;
pub mod config;
pub mod control;
pub mod crontab;
pub mod daemon;
pub mod executor;
pub mod fleet;
pub mod history;
pub mod profile;
pub mod report;
pub mod schedule;
pub mod scheduler;
pub mod spool;
#[allow(unsafe_code)]
pub mod sys;
pub mod timeline;
pub mod users;
pub mod varlink;
pub mod web;
