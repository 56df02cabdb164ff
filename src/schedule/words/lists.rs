//! Numbers and names as they are listed in a sentence: runs as ranges, conjunctions.

/// Fewest neighbouring values that are written as a range.
const SHORTEST_RANGE: usize = 3;
/// Fewest evenly spaced values that are written by their distance.
const SHORTEST_STEPS: usize = 5;

/// Neighbouring values: the first and the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub first: u32,
    pub last: u32,
}

impl Run {
    /// Whether it is written as a range. `cycle` is the number of values of the unit; a run may go past its end.
    pub fn is_range(self, cycle: u32) -> bool {
        self.count(cycle) >= SHORTEST_RANGE
    }

    /// How many values it has.
    pub fn count(self, cycle: u32) -> usize {
        let after = (self.last + cycle - self.first) % cycle;
        after as usize + 1
    }

    /// All values of the run, first and last included.
    pub fn values(self) -> std::ops::RangeInclusive<u32> {
        self.first..=self.last
    }
}

/// The runs of a list of values in ascending order.
pub(super) fn runs(values: &[u32]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some(run) if run.last + 1 == *value => run.last = *value,
            _ => runs.push(Run { first: *value, last: *value }),
        }
    }
    runs
}

/// The same for values from `min` to `max` that begin anew after `max`: a run at the end and one at the beginning are one.
pub(super) fn cyclic_runs(values: &[u32], min: u32, max: u32) -> Vec<Run> {
    let mut runs = runs(values);
    if runs.len() > 1
        && let (Some(first), Some(last)) = (runs.first().copied(), runs.last_mut())
        && (first.first, last.last) == (min, max)
    {
        last.last = first.last;
        runs.remove(0);
    }
    runs
}

/// `minute 5`, `minutes 0 to 5, 10 and 30`, `every 7th minute from minute 0 to minute 56`.
pub(super) fn numbers(unit: &str, values: &[u32]) -> String {
    let (first, last) = ends(values);
    if values.len() == 1 {
        return format!("{unit} {first}");
    }
    match even_steps(values) {
        Some(step) => format!("every {} {unit} from {unit} {first} to {unit} {last}", ordinal(step)),
        None => format!("{unit}s {}", ranges(values)),
    }
}

/// `1, 5 and 9 to 12`.
pub(super) fn ranges(values: &[u32]) -> String {
    let items = runs(values).into_iter().flat_map(|run| match run.is_range(u32::MAX / 2) {
        true => vec![format!("{} to {}", run.first, run.last)],
        false => run.values().map(|value| value.to_string()).collect(),
    });
    and(items)
}

/// The first and the last value.
pub(super) fn ends(values: &[u32]) -> (u32, u32) {
    (values.first().copied().unwrap_or(0), values.last().copied().unwrap_or(0))
}

/// The distance between neighbouring values, if it is always the same.
pub(super) fn even_distance(values: &[u32]) -> Option<u32> {
    let mut distances = values.windows(2).map(|pair| pair[1] - pair[0]);
    let first = distances.next()?;
    distances.all(|distance| distance == first).then_some(first)
}

/// The same, if there are so many values, further apart than neighbours, that they are written by their distance.
pub(super) fn even_steps(values: &[u32]) -> Option<u32> {
    even_distance(values).filter(|step| *step > 1 && values.len() >= SHORTEST_STEPS)
}

/// The distance between neighbouring values, if it is always the same, also from the last one to the first one of the next unit.
pub(super) fn even_step(values: &[u32], unit: u32) -> Option<u32> {
    let (first, last) = ends(values);
    even_distance(values).filter(|step| first + unit - last == *step)
}

/// `Every minute`, `Every 15 minutes`.
pub(super) fn every(step: u32, unit: &str) -> String {
    if step == 1 { format!("Every {unit}") } else { format!("Every {step} {unit}s") }
}

/// `2nd`.
pub(super) fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (1, rest) if rest != 11 => "st",
        (2, rest) if rest != 12 => "nd",
        (3, rest) if rest != 13 => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// `a, b and c`.
pub(super) fn and(items: impl IntoIterator<Item = String>) -> String {
    joined(items, "and")
}

/// `a, b or c`.
pub fn join_with_or(items: impl IntoIterator<Item = String>) -> String {
    joined(items, "or")
}

fn joined(items: impl IntoIterator<Item = String>, conjunction: &str) -> String {
    let items: Vec<String> = items.into_iter().collect();
    match items.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} {conjunction} {last}", most.join(", ")),
    }
}

/// The sentence as a part of another one.
pub(super) fn lower_first(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
