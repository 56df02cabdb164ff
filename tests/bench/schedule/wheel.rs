//! The wheel at a thousand to ten million timers, due within a year.

use cronwheel::schedule::Timestamp;
use cronwheel::scheduler::{Timer, Wheel};
use divan::{Bencher, counter::ItemsCount};

const SIZES: [u32; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const START: i64 = 1_777_593_600;
/// Timers that are handled in one measurement.
const SOME: u32 = 1_000;

fn due(number: u32) -> Timestamp {
    // A multiplicative hash spreads them over the minutes of a year.
    Timestamp(START + 60 * (1 + i64::from(number.wrapping_mul(2_654_435_761) % 525_600)))
}

fn full(timers: u32) -> Wheel {
    let mut wheel = Wheel::new(Timestamp(START));
    (0..timers).for_each(|number| wheel.arm(Timer(number), due(number)));
    wheel
}

#[divan::bench(args = SIZES, sample_count = 20)]
fn insert_and_cancel(bencher: Bencher<'_, '_>, timers: u32) {
    let mut wheel = full(timers);
    bencher.counter(ItemsCount::new(SOME)).bench_local(|| {
        (0..SOME).for_each(|number| wheel.arm(Timer(timers + number), due(number)));
        (0..SOME).for_each(|number| wheel.cancel(Timer(timers + number)));
    });
}

/// Minute by minute: what expires is armed for a year later.
#[divan::bench(args = SIZES, sample_count = 20)]
fn expire(bencher: Bencher<'_, '_>, timers: u32) {
    let mut wheel = full(timers);
    let (mut now, mut expired) = (START, Vec::new());
    bencher.counter(ItemsCount::new(SOME)).bench_local(|| {
        let mut handled = 0;
        while handled < SOME {
            now = wheel.next_due().map_or(now, |due| due.0);
            wheel.expire(Timestamp(now), &mut expired);
            handled += expired.len() as u32;
            for (at, timer) in expired.drain(..) {
                wheel.arm(timer, Timestamp(at.0 + 31_536_000));
            }
        }
    });
}
