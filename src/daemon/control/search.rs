//! Finds the jobs that texts name: by id, by name, or by a beginning of one of them.

use crate::control::Access;
use crate::scheduler::{EntryCursor, JobId};
use crate::varlink::{CallError, cron};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Candidates that are named when a text may mean several jobs.
const MOST_CANDIDATES: usize = 20;

/// A job that was found, and what the client may do with it.
#[derive(Clone, Debug)]
pub(super) struct FoundJob {
    pub(super) id: JobId,
    pub(super) access: Access,
    /// The entry of the job. None: a job of the anacrontab.
    pub(super) place: Option<EntryCursor>,
}

/// Texts, each of which is to name one job.
///
/// A client may name hundreds of jobs where there are very many. So the texts that may mean a job are looked up, rather than each compared with each
/// job.
#[derive(Debug)]
pub(super) struct Searches {
    /// The different texts, each with what it may mean.
    searches: BTreeMap<Vec<u8>, Search>,
    /// The texts in the order of the call.
    texts: Vec<String>,
}

/// A text, and the jobs that it may mean.
#[derive(Debug, Default)]
struct Search {
    exact: Option<FoundJob>,
    named: Vec<FoundJob>,
    begins: Vec<FoundJob>,
}

impl Searches {
    /// Searches for these texts.
    pub(super) fn new(texts: Vec<String>) -> Searches {
        let searches = texts.iter().map(|text| (text.clone().into_bytes(), Search::default())).collect();
        Searches { searches, texts }
    }

    /// Notes a job for the texts that may mean it.
    pub(super) fn note(&mut self, found: &FoundJob) {
        let (id, name) = (found.id.as_str(), found.id.name());
        for whole in [id, name] {
            for length in beginnings(&self.searches, whole) {
                let text = whole.as_bytes().get(..length).unwrap_or_default();
                if let Some(search) = self.searches.get_mut(text) {
                    search.note(text, found);
                }
            }
        }
    }

    /// The jobs that the texts mean, in the order of the texts.
    ///
    /// # Errors
    ///
    /// A text means no job, or several.
    pub(super) fn result(self) -> Result<Vec<FoundJob>, CallError> {
        let result = |text: &String| {
            self.searches
                .get(text.as_bytes())
                .map_or_else(|| Err(cron::Error::NoSuchJob { job: text.clone() }.into()), |search| search.result(text))
        };
        self.texts.iter().map(result).collect()
    }
}

/// The lengths of all texts that are a prefix of `whole`, the longest first.
fn beginnings(texts: &BTreeMap<Vec<u8>, Search>, whole: &str) -> Vec<usize> {
    let whole = whole.as_bytes();
    let mut end = Bound::Included(whole);
    std::iter::from_fn(|| {
        loop {
            // Of the texts up to here the last one has the most in common with the whole: no beginning of the whole is longer than that.
            let (text, _) = texts.range::<[u8], _>((Bound::Unbounded, end)).next_back()?;
            let common = text.iter().zip(whole).take_while(|(one, other)| one == other).count();
            let beginning = whole.get(..common)?;
            if common == text.len() {
                end = Bound::Excluded(beginning);
                return Some(common);
            }
            end = Bound::Included(beginning);
        }
    })
    .collect()
}

impl Search {
    /// Notes a job that the text may mean. It may be noted twice in a row.
    fn note(&mut self, text: &[u8], found: &FoundJob) {
        let Search { exact, named, begins } = self;
        if found.id.as_str().as_bytes() == text {
            *exact = Some(found.clone());
        } else if exact.is_none() {
            let to = if found.id.name().as_bytes() == text { named } else { begins };
            let is_last = to.last().is_some_and(|last| last.place == found.place && last.id == found.id);
            if !is_last && to.len() <= MOST_CANDIDATES {
                to.push(found.clone());
            }
        }
    }

    fn result(&self, text: &str) -> Result<FoundJob, CallError> {
        let Search { exact, named, begins } = self;
        let job = text.to_owned();
        let found = if named.is_empty() { begins } else { named };
        match (exact, found.as_slice()) {
            (Some(exact), _) => Ok(exact.clone()),
            (None, [only]) => Ok(only.clone()),
            (None, []) => Err(cron::Error::NoSuchJob { job }.into()),
            (None, many) => {
                let candidates = many.iter().take(MOST_CANDIDATES).map(|found| found.id.to_string()).collect();
                Err(cron::Error::Ambiguous { job, candidates }.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(id: &str) -> FoundJob {
        FoundJob { id: JobId::of_text(id.to_owned()), access: Access::NOTHING, place: None }
    }

    fn search(jobs: &[&str], texts: &[&str]) -> Result<Vec<String>, CallError> {
        let mut searches = Searches::new(texts.iter().map(|text| (*text).to_owned()).collect());
        jobs.iter().for_each(|job| searches.note(&found(job)));
        Ok(searches.result()?.into_iter().map(|found| found.id.to_string()).collect())
    }

    #[test]
    fn a_text_is_an_id_a_name_or_a_beginning_in_this_order() {
        let jobs = ["alice:backup", "bob:backup2", "bob:alice", "carol:alice:backup", "dave:é-x"];
        for (text, job) in [
            ("alice:backup", "alice:backup"),
            ("backup", "alice:backup"),
            ("backup2", "bob:backup2"),
            ("bob:b", "bob:backup2"),
            ("carol", "carol:alice:backup"),
            ("alice", "bob:alice"),
            ("dave:é", "dave:é-x"),
            ("é", "dave:é-x"),
        ] {
            assert_eq!(search(&jobs, &[text]).unwrap(), [job], "{text}");
        }
        let ambiguous = |text: &str| match search(&jobs, &[text]) {
            Err(CallError::Cron(cron::Error::Ambiguous { candidates, .. })) => candidates.len(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!((ambiguous(""), ambiguous("bob:"), ambiguous("back")), (5, 2, 2));
        let unknown = search(&jobs, &["backup", "alice:backup3"]);
        assert!(matches!(unknown, Err(CallError::Cron(cron::Error::NoSuchJob { job })) if job == "alice:backup3"));
    }

    #[test]
    fn texts_are_answered_in_their_order_and_as_often_as_they_come() {
        let texts = ["b:one", "one-a", "b:one", "a:one-a"];
        assert_eq!(search(&["a:one-a", "b:one"], &texts).unwrap(), ["b:one", "a:one-a", "b:one", "a:one-a"]);
        // Both the id and the name begin with it: one candidate.
        assert_eq!(search(&["a:abc"], &["a"]).unwrap(), ["a:abc"]);
        assert_eq!(search(&["a:a"], &["a"]).unwrap(), ["a:a"]);
        // No more candidates than that are kept, of however many.
        let jobs: Vec<String> = (0..100).map(|number| format!("a:{number}")).collect();
        let jobs: Vec<&str> = jobs.iter().map(String::as_str).collect();
        let Err(CallError::Cron(cron::Error::Ambiguous { candidates, .. })) = search(&jobs, &["a"]) else {
            panic!("not ambiguous");
        };
        assert_eq!(candidates.len(), MOST_CANDIDATES);
    }

    #[test]
    fn all_beginnings_are_found_and_nothing_else() {
        // All texts of up to four letters, which are two different ones.
        let mut words = vec![String::new()];
        for length in 0..4 {
            let longer = words
                .iter()
                .filter(|word| word.len() == length)
                .flat_map(|word| [format!("{word}a"), format!("{word}b")]);
            words.extend(longer.collect::<Vec<_>>());
        }
        for left_out in 0..7 {
            let is_there = |place: &usize| place % 7 != left_out;
            let texts = (0..words.len()).filter(is_there);
            let texts: BTreeMap<Vec<u8>, Search> =
                texts.map(|place| (words[place].clone().into_bytes(), Search::default())).collect();
            for whole in &words {
                let expected =
                    (0..=whole.len()).rev().filter(|length| texts.contains_key(&whole.as_bytes()[..*length]));
                assert_eq!(beginnings(&texts, whole), expected.collect::<Vec<_>>(), "{whole}");
            }
        }
    }
}
