//! The clocks of the system. No other file reads the time.
//!
//! Everything goes through libc's functions and not through raw system calls, so that a clock that a test preloads is seen.

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use std::mem::MaybeUninit;

/// A time of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds of the second that has begun, 0 to 999,999,999.
    pub nanos: u32,
}

impl WallTime {
    /// Nanoseconds since 1970; what is beyond the year 2262 counts as that.
    pub fn as_ns(self) -> i64 {
        self.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(self.nanos))
    }
}

/// A wall time as the machine's own zone shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// Year of the common era.
    pub year: i32,
    /// The month, from 1 to 12.
    pub month: u8,
    /// The day of the month, from 1 to 31.
    pub day: u8,
    /// The hour, from 0 to 23.
    pub hour: u8,
    /// The minute, from 0 to 59.
    pub minute: u8,
    /// The second, from 0 to 60 (a leap second).
    pub second: u8,
    /// The offset in seconds east of UTC.
    pub offset: i32,
}

/// Reads the wall clock (CLOCK_REALTIME).
pub fn wall() -> WallTime {
    let now = read(ClockId::CLOCK_REALTIME);
    WallTime { seconds: now.tv_sec(), nanos: u32::try_from(now.tv_nsec()).unwrap_or(0) }
}

/// Milliseconds of Unix time by the wall clock.
pub fn wall_ms() -> i64 {
    let now = wall();
    now.seconds.saturating_mul(1000).saturating_add(i64::from(now.nanos / 1_000_000))
}

/// Milliseconds of a clock that nobody sets and that does not advance while the machine sleeps (CLOCK_MONOTONIC).
pub fn monotonic_ms() -> i64 {
    let now = read(ClockId::CLOCK_MONOTONIC);
    now.tv_sec().saturating_mul(1000).saturating_add(now.tv_nsec() / 1_000_000)
}

/// Milliseconds for which the machine has slept since it was booted (CLOCK_BOOTTIME without CLOCK_MONOTONIC).
pub fn slept_ms() -> i64 {
    let since_boot = read(ClockId::CLOCK_BOOTTIME);
    let since_boot_ms = since_boot.tv_sec().saturating_mul(1000).saturating_add(since_boot.tv_nsec() / 1_000_000);
    since_boot_ms.saturating_sub(monotonic_ms())
}

/// Milliseconds of a clock that nobody sets and that also advances while the machine sleeps (CLOCK_BOOTTIME).
pub fn boot_ms() -> i64 {
    let now = read(ClockId::CLOCK_BOOTTIME);
    now.tv_sec().saturating_mul(1000).saturating_add(now.tv_nsec() / 1_000_000)
}

/// Microseconds of CLOCK_MONOTONIC, as sd_notify's `MONOTONIC_USEC` wants them.
pub fn monotonic_us() -> i64 {
    let now = read(ClockId::CLOCK_MONOTONIC);
    now.tv_sec().saturating_mul(1_000_000).saturating_add(now.tv_nsec() / 1000)
}

/// Converts a time to the machine's own zone: `TZ`, else /etc/localtime. The zone is read again each time, so that a change counts at once.
pub fn local(seconds: i64) -> LocalTime {
    unsafe extern "C" {
        fn tzset();
    }
    let mut broken_down = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are to live values of the right types, and all-zero bytes are a valid `tm`. tzset(3) takes libc's own lock.
    let tm = unsafe {
        tzset();
        libc::localtime_r(&seconds, broken_down.as_mut_ptr());
        broken_down.assume_init()
    };
    let small = |value: libc::c_int| u8::try_from(value).unwrap_or(0);
    LocalTime {
        year: tm.tm_year.saturating_add(1900),
        month: small(tm.tm_mon + 1),
        day: small(tm.tm_mday),
        hour: small(tm.tm_hour),
        minute: small(tm.tm_min),
        second: small(tm.tm_sec),
        offset: i32::try_from(tm.tm_gmtoff).unwrap_or(0),
    }
}

/// Reads a clock. Both clocks exist on every Linux; if one did not, its time would be zero.
fn read(clock: ClockId) -> TimeSpec {
    clock_gettime(clock).unwrap_or(TimeSpec::new(0, 0))
}

impl std::fmt::Display for LocalTime {
    /// RFC 3339 with the zone's offset, for example `2026-11-22T10:15:00+01:00`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let LocalTime { year, month, day, hour, minute, second, offset } = *self;
        let sign = if offset < 0 { '-' } else { '+' };
        let (hours, minutes) = (offset.unsigned_abs() / 3600, offset.unsigned_abs() / 60 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{sign}{hours:02}:{minutes:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_past_the_day_this_was_written() {
        let now = wall();
        assert!(now.seconds > 1_700_000_000 && now.nanos < 1_000_000_000, "{now:?}");
    }

    #[test]
    fn the_monotonic_clock_does_not_go_back() {
        let (first, second) = (monotonic_us(), monotonic_ms());
        assert!(second >= first / 1000 && first > 0);
    }

    #[test]
    fn local_time_and_its_offset_give_the_moment_back() {
        let local = local(1_800_000_000);
        let parsed = crate::schedule::Timestamp::parse_rfc3339(&local.to_string()).unwrap();
        assert_eq!(parsed.0, 1_800_000_000);
    }
}
