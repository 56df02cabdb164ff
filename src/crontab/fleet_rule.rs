//! What the settings `CRON_FLEET`, `CRON_FLEET_NODES`, `CRON_FLEET_ORDER` and `CRON_FLEET_AWAY` say of an entry.

use super::diagnostic::LineProblem;
use super::excerpt::{found, found_value};
use crate::schedule::{LONGEST_NAME, is_name_byte};
use std::sync::Arc;

/// Most labels and names of one `CRON_FLEET_NODES`.
const MOST_TERMS: usize = 100;

/// On which machines of a fleet an entry runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FleetRule {
    /// `CRON_FLEET`: on each of them, or each slot on one.
    pub mode: FleetMode,
    /// `CRON_FLEET_NODES`: which machines may run it. None: all.
    pub nodes: Option<Arc<NodeSelection>>,
    /// `CRON_FLEET_ORDER`: which of them is the first to try.
    pub order: FleetOrder,
    /// `CRON_FLEET_AWAY`: what becomes of a slot while the fleet's engine cannot be reached.
    pub away: FleetAway,
}

/// How many machines of a fleet run a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FleetMode {
    /// Each of them.
    #[default]
    Each,
    /// One of them; a run that is lost with its machine is not repeated.
    One,
    /// One of them, and a run that is lost with its machine is started once more on another.
    OneWithFailover,
}

impl FleetMode {
    /// All of them with the words for them.
    pub const ALL: [(&'static str, FleetMode); 3] =
        [("each", FleetMode::Each), ("one", FleetMode::One), ("one,failover", FleetMode::OneWithFailover)];
}

/// Which of several machines is the first to try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FleetOrder {
    /// By a hash of job and machine, so that the jobs are spread.
    #[default]
    Spread,
    /// In the order of `CRON_FLEET_NODES`.
    First,
}

impl FleetOrder {
    /// All of them with the words for them.
    pub const ALL: [(&'static str, FleetOrder); 2] = [("spread", FleetOrder::Spread), ("first", FleetOrder::First)];
}

/// What becomes of a slot while the fleet's engine cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FleetAway {
    /// The slot is skipped.
    #[default]
    Skip,
    /// The slot is run, perhaps on several machines.
    Run,
}

impl FleetAway {
    /// All of them with the words for them.
    pub const ALL: [(&'static str, FleetAway); 2] = [("skip", FleetAway::Skip), ("run", FleetAway::Run)];
}

/// Machines by their names and labels: alternatives, in each of which all terms must hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeSelection(Vec<Vec<Term>>);

/// A name or a label that a machine must have, or must not have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Term {
    word: Arc<str>,
    is_excluded: bool,
}

impl NodeSelection {
    /// Reads `LABEL+!LABEL,NAME`.
    pub(super) fn parse(value: &[u8]) -> Result<NodeSelection, LineProblem> {
        let (mut alternatives, mut at, mut terms) = (Vec::new(), 0, 0);
        for alternative in value.split(|&byte| byte == b',') {
            let mut all = Vec::new();
            for text in alternative.split(|&byte| byte == b'+') {
                let place = at..at + text.len();
                at = place.end + 1;
                terms += 1;
                if terms > MOST_TERMS {
                    let message = format!("expected at most {MOST_TERMS} names and labels, found more");
                    return Err(LineProblem::new(place, message));
                }
                let (word, is_excluded) = text.strip_prefix(b"!").map_or((text, false), |word| (word, true));
                if let Some(other) = word.iter().position(|&byte| !is_name_byte(byte)) {
                    let other = place.end - word.len() + other;
                    let what = found(value.get(other..=other).unwrap_or_default());
                    let message =
                        format!("expected names and labels of letters, digits and the characters . _ -, found {what}");
                    return Err(LineProblem::new(other..other + 1, message)
                        .help("a comma between them means or, + means and, ! before one means not"));
                }
                let Some(word) = std::str::from_utf8(word).ok().filter(|word| (1..=LONGEST_NAME).contains(&word.len()))
                else {
                    let message = format!(
                        "expected a name or label of 1 to {LONGEST_NAME} characters, found {}",
                        found_value(word)
                    );
                    return Err(LineProblem::new(place, message));
                };
                all.push(Term { word: word.into(), is_excluded });
            }
            alternatives.push(all);
        }
        Ok(NodeSelection(alternatives))
    }

    /// The place of the first alternative that holds for a machine of that name with these labels. None: the machine is not selected.
    pub fn place(&self, name: &str, labels: &[String]) -> Option<usize> {
        let has = |word: &str| word == name || labels.iter().any(|label| label == word);
        self.0.iter().position(|terms| terms.iter().all(|term| has(&term.word) != term.is_excluded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_selected_by_names_and_labels() {
        let labels = ["eu".to_owned(), "db".to_owned()];
        for (text, expected) in [
            ("web1", Some(0)),
            ("web2", None),
            ("web2,eu", Some(1)),
            ("eu+db", Some(0)),
            ("eu+us", None),
            ("eu+!us", Some(0)),
            ("!eu,!web1,db", Some(2)),
        ] {
            let selection = NodeSelection::parse(text.as_bytes()).unwrap();
            assert_eq!(selection.place("web1", &labels), expected, "{text}");
        }
    }

    #[test]
    fn a_faulty_selection_is_refused_at_its_place() {
        for (text, place) in [("", 0..0), ("a,", 2..2), ("a+b c", 3..4), ("!", 0..1), ("a,b/c", 3..4)] {
            let problem = NodeSelection::parse(text.as_bytes()).unwrap_err();
            assert_eq!(problem.span, place, "{text}");
        }
        assert!(NodeSelection::parse(&b"a,".repeat(MOST_TERMS)).is_err());
    }
}
