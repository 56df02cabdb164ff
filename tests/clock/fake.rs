//! The test's side of the preloaded clock.

use nix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::process::{Command, Stdio};

/// The file that is shared with the daemon. The timer's FIFO has the same name with `.timer` behind it.
const PAGE: &str = "/run/clock";
/// The built library.
const LIBRARY: &str = "/run/clock.so";
const SOURCE: &str = include_str!("preload.c");
const SECOND: i64 = 1_000_000_000;

/// What makes a program live by the fake clock.
pub const VARIABLES: [(&str, &str); 2] = [("LD_PRELOAD", LIBRARY), ("CRONWHEEL_TEST_CLOCK", PAGE)];

/// The fields of `struct page` in preload.c.
#[derive(Clone, Copy, Debug)]
enum Field {
    RealtimeAhead,
    MonotonicAhead,
    Armed,
    TimesArmed,
    WasSet,
    SetOnArming,
    Slept,
}

/// A machine's clock that only tests set. Seconds count from 1970.
#[derive(Debug)]
pub struct Clock {
    page: File,
    timer_fifo: File,
    /// Seconds by which it was set since it was made.
    set_by: Cell<i64>,
}

impl Clock {
    /// Builds the library and makes a clock that shows `seconds`.
    pub fn new(seconds: i64) -> Clock {
        build();
        let page = OpenOptions::new().read(true).write(true).create_new(true).mode(0o666).open(PAGE).expect(PAGE);
        page.set_len(4096).expect("the length of a page");
        let timer_fifo = format!("{PAGE}.timer");
        nix::unistd::mkfifo(timer_fifo.as_str(), nix::sys::stat::Mode::from_bits_truncate(0o600)).expect("a FIFO");
        let timer_fifo = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(timer_fifo)
            .expect("the FIFO");
        let clock = Clock { page, timer_fifo, set_by: Cell::new(0) };
        clock.write(Field::RealtimeAhead, seconds * SECOND - machine_ns());
        clock
    }

    /// The same clock for another thread. What that one sets is not counted here.
    pub fn handle(&self) -> Clock {
        let [page, timer_fifo] =
            [&self.page, &self.timer_fifo].map(|file| file.try_clone().expect("a second descriptor"));
        Clock { page, timer_fifo, set_by: Cell::new(0) }
    }

    fn read(&self, field: Field) -> i64 {
        let mut bytes = [0; 8];
        self.page.read_exact_at(&mut bytes, 8 * field as u64).expect("the page");
        i64::from_ne_bytes(bytes)
    }

    fn write(&self, field: Field, value: i64) {
        self.page.write_all_at(&value.to_ne_bytes(), 8 * field as u64).expect("the page");
    }

    fn add(&self, field: Field, ns: i64) {
        self.write(field, self.read(field) + ns);
    }

    fn shown_ns(&self) -> i64 {
        machine_ns() + self.read(Field::RealtimeAhead)
    }

    /// The second that it shows.
    pub fn shows(&self) -> i64 {
        self.shown_ns().div_euclid(SECOND)
    }

    /// Seconds by which it was set since it was made: what it shows less the true time.
    pub fn set_by(&self) -> i64 {
        self.set_by.get()
    }

    /// Lets time pass until it shows `seconds`, without a word to anybody; to be called while nobody looks.
    pub fn pass_to(&self, seconds: i64) {
        let ns = seconds * SECOND - self.shown_ns();
        if ns > 0 {
            self.add(Field::MonotonicAhead, ns);
            self.add(Field::RealtimeAhead, ns);
        }
    }

    /// Sets it. To a process that does not ask for CLOCK_BOOTTIME, a sleep is the same.
    pub fn set(&self, by: i64) {
        self.set_silently(by);
        self.write(Field::WasSet, 1);
        self.expire_timer();
    }

    /// Has the machine sleep: CLOCK_REALTIME and CLOCK_BOOTTIME go on, and CLOCK_MONOTONIC stands still.
    pub fn sleep(&self, seconds: i64) {
        self.add(Field::RealtimeAhead, seconds * SECOND);
        self.add(Field::Slept, seconds * SECOND);
        self.write(Field::WasSet, 1);
        self.expire_timer();
    }

    /// Sets it while no daemon runs that could hear of it.
    pub fn set_silently(&self, by: i64) {
        self.add(Field::RealtimeAhead, by * SECOND);
        self.set_by.set(self.set_by.get() + by);
    }

    /// Sets it in the very moment in which the daemon arms its timer next.
    pub fn set_on_arming(&self, by: i64) {
        self.write(Field::SetOnArming, by);
        self.set_by.set(self.set_by.get() + by);
    }

    /// Makes the timer readable.
    pub fn expire_timer(&self) {
        (&self.timer_fifo).write_all(b"!").expect("the timer's FIFO");
    }

    /// The second that the daemon wants to be woken at.
    pub fn armed(&self) -> Option<i64> {
        Some(self.read(Field::Armed)).filter(|seconds| *seconds != 0)
    }

    /// How often it has asked for that.
    pub fn times_armed(&self) -> i64 {
        self.read(Field::TimesArmed)
    }
}

/// The machine's own clock that nobody sets, which the fake one goes on with.
fn machine_ns() -> i64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a monotonic clock");
    now.tv_sec() * SECOND + now.tv_nsec()
}

fn build() {
    let mut cc = Command::new("cc")
        .args(["-x", "c", "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", LIBRARY, "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("cc, which rustc needs too");
    cc.stdin.take().expect("a pipe").write_all(SOURCE.as_bytes()).expect("cc reads");
    assert!(cc.wait().expect("cc").success(), "preload.c does not compile");
}
