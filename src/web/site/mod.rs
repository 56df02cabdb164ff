//! The web page of `cronctl web`: what the control socket and the history say, as HTML, with the rights of the user who runs it.
//!
//! | file | contents |
//! |---|---|
//! | `listen` | the socket: loopback, a Unix socket, or one of the service manager |
//! | `session` | one-time address, cookie, token for programs |
//! | `redirect_file` | how a browser is opened |
//! | `server` | connections and their bounds |
//! | `stall_limit` | a connection whose client does not read |
//! | `guard` | host names, cookies, origins; headers of responses |
//! | `app` | what all handlers share |
//! | `backend` | calls of the daemon and its recorder |
//! | `routes` | addresses and what answers them |
//! | `address` | what handlers read of an address |
//! | `page` | the frame of pages and their common parts |
//! | `overview` `jobs` `job` `run` `timeline` `check` `fleet` | the pages, one file each |
//! | `chart` `output` | parts of these |
//! | `actions` | what buttons do |
//! | `live` | server-sent events |
//! | `exports` | the addresses of metrics and calendar |
//! | `assets` | style sheet and script |
//!
//! A request is checked by `guard`, asks the daemon on one of a few threads (`App::ask`), and is answered with a page that is made there. While nobody
//! has a page open, nothing is asked and nothing runs.

mod actions;
mod address;
mod app;
mod assets;
mod backend;
mod chart;
mod check;
mod exports;
mod fleet;
mod guard;
mod job;
mod jobs;
mod listen;
mod live;
mod output;
mod overview;
mod page;
mod redirect_file;
mod routes;
mod run;
mod server;
mod session;
mod stall_limit;
mod timeline;

pub use listen::{Address, AddressError, ListenError, Listening};
pub use redirect_file::RedirectFile;
pub use server::{Options, Server, ServerError};
