//! One program for all targets: libFuzzer with the target that `FUZZ_TARGET` names. `tests/fuzz/run` builds and starts it.
#![no_main]

#[path = "../calendar/reference.rs"]
mod reference;
#[expect(dead_code, reason = "random schedules are for the suite `calendar`")]
#[path = "../calendar/spec.rs"]
mod spec;
mod targets;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TARGET: LazyLock<targets::Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    targets::named(&name).unwrap_or_else(|| panic!("FUZZ_TARGET is {name:?}, which is no target"))
});

fuzz_target!(|input: &[u8]| {
    TARGET(input);
});
