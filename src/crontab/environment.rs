//! The size of the environment that the settings of a table make for the entries below them.

use super::memory::OutOfMemory;
use std::collections::HashMap;

/// Most bytes of it, each setting counted as the kernel counts it when a program is started: `NAME=VALUE` and a NUL.
pub const LARGEST_ENVIRONMENT: usize = 1 << 20;

/// The size of the environment at a place of the table: of each name the last value above it counts.
#[derive(Debug, Default)]
pub(super) struct EnvironmentSize {
    /// The size of each name's setting in bytes.
    settings: HashMap<Box<[u8]>, usize>,
    total: usize,
    /// The total if every value were empty: the smallest that the settings below can make it.
    least: usize,
}

impl EnvironmentSize {
    /// Counts a setting with a value of this many bytes.
    pub fn set(&mut self, name: &[u8], value_length: usize) -> Result<(), OutOfMemory> {
        if self.is_beyond_repair() {
            return Ok(());
        }
        let empty = name.len() + "=".len() + 1;
        let size = empty + value_length;
        if let Some(known) = self.settings.get_mut(name) {
            self.total = self.total - *known + size;
            *known = size;
            return Ok(());
        }
        self.settings.try_reserve(1)?;
        let mut kept = Vec::new();
        kept.try_reserve_exact(name.len())?;
        kept.extend_from_slice(name);
        self.settings.insert(kept.into_boxed_slice(), size);
        self.total += size;
        self.least += empty;
        if self.is_beyond_repair() {
            self.settings = HashMap::new();
        }
        Ok(())
    }

    /// Whether a setting above has that name.
    pub fn has(&self, name: &[u8]) -> bool {
        self.settings.contains_key(name)
    }

    /// Whether it is larger than an entry may have it.
    pub fn is_too_large(&self) -> bool {
        self.total > LARGEST_ENVIRONMENT
    }

    /// Whether it stays too large whatever is set below.
    pub fn is_beyond_repair(&self) -> bool {
        self.least > LARGEST_ENVIRONMENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_each_name_counts_as_the_kernel_counts_it() {
        let mut size = EnvironmentSize::default();
        for (name, length) in [("A", 5), ("A", 7), ("BB", 0)] {
            size.set(name.as_bytes(), length).unwrap();
        }
        assert_eq!(size.total, "A=1234567\0".len() + "BB=\0".len());
        size.set(b"C", LARGEST_ENVIRONMENT - size.total - 3).unwrap();
        assert!(!size.is_too_large());
        size.set(b"BB", 1).unwrap();
        assert!(size.is_too_large() && !size.is_beyond_repair());
        size.set(b"C", 0).unwrap();
        assert!(!size.is_too_large());
    }

    #[test]
    fn names_alone_can_make_it_too_large_for_good() {
        let mut size = EnvironmentSize::default();
        for number in 0..LARGEST_ENVIRONMENT {
            size.set(number.to_string().as_bytes(), 0).unwrap();
        }
        assert!(size.is_too_large() && size.is_beyond_repair());
        assert!(size.settings.is_empty(), "what is of no use is not kept");
    }
}
