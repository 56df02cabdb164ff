//! Several transactions as one request: each is a transaction of its own inside of that, so that some may be done and others refused.

use super::etcd::{OperationAnswer, TransactionAnswer, encode};
use super::message::LONGEST_WATCHED;
use super::queue::TransactionQueue;
use crate::scheduler::{Change, Compare, FleetAnswer, FleetEntry, FleetRequest, Transaction};
use serde_json::{Value, json};
use std::collections::HashSet;

/// Most transactions of one request. etcd takes 128 operations.
const MOST_TRANSACTIONS: usize = 100;
/// Most bytes of the keys and values of a request with several transactions. etcd takes 1.5 MiB.
const MOST_BYTES: usize = 512 << 10;

/// Takes transactions that do not touch each other, as their users have their turns. The others of each user stay in their order.
///
/// etcd refuses a request that changes a key twice, and makes all comparisons before all changes.
pub(super) fn take(queue: &mut TransactionQueue) -> Vec<FleetRequest> {
    let (mut taken, mut left) = (Vec::new(), Vec::new());
    let (mut changed, mut compared): (HashSet<String>, HashSet<String>) = (HashSet::new(), HashSet::new());
    let mut bytes = 0;
    while let Some(request) = queue.pop() {
        let Transaction { compares, changes } = &request.transaction;
        let size = size_of(&request.transaction);
        let is_apart = changes.iter().all(|change| !changed.contains(&change.key) && !compared.contains(&change.key))
            && compares.iter().all(|compare| !changed.contains(&compare.key));
        let fits = taken.is_empty() || (is_apart && bytes + size <= MOST_BYTES);
        // One that stays behind must not be overtaken by a later one of its keys.
        changed.extend(changes.iter().map(|change| change.key.clone()));
        compared.extend(compares.iter().map(|compare| compare.key.clone()));
        if fits {
            bytes += size;
            taken.push(request);
        } else {
            left.push(request);
        }
        if taken.len() == MOST_TRANSACTIONS || left.len() == MOST_TRANSACTIONS {
            break;
        }
    }
    left.into_iter().rev().for_each(|request| queue.put_back(request));
    taken
}

fn size_of(transaction: &Transaction) -> usize {
    let value = |value: &Option<String>| value.as_ref().map_or(0, String::len);
    let compares = transaction.compares.iter().map(|compare| compare.key.len() + value(&compare.value));
    let changes = transaction.changes.iter().map(|change| change.key.len() + value(&change.value));
    compares.chain(changes).sum()
}

/// The request for these transactions. `prefix` comes before each key.
pub(super) fn request(prefix: &str, requests: &[FleetRequest]) -> Value {
    let transactions: Vec<Value> =
        requests.iter().map(|request| json!({ "request_txn": transaction(prefix, &request.transaction) })).collect();
    json!({ "success": transactions })
}

fn transaction(prefix: &str, transaction: &Transaction) -> Value {
    let key = |key: &str| encode(format!("{prefix}{key}").as_bytes());
    let compare = |compare: &Compare| match &compare.value {
        Some(value) => json!({
            "key": key(&compare.key), "target": "VALUE", "result": "EQUAL", "value": encode(value.as_bytes()),
        }),
        None => json!({ "key": key(&compare.key), "target": "CREATE", "result": "EQUAL", "create_revision": "0" }),
    };
    let change = |change: &Change| match &change.value {
        Some(value) => json!({ "request_put": {
            "key": key(&change.key),
            "value": encode(value.as_bytes()),
            "lease": change.lease.unwrap_or(0).to_string(),
        }}),
        None => json!({ "request_delete_range": { "key": key(&change.key) } }),
    };
    let read = |compare: &Compare| json!({ "request_range": { "key": key(&compare.key) } });
    json!({
        "compare": transaction.compares.iter().map(compare).collect::<Vec<_>>(),
        "success": transaction.changes.iter().map(change).collect::<Vec<_>>(),
        "failure": transaction.compares.iter().map(read).collect::<Vec<_>>(),
    })
}

/// The answers to these transactions, in their order. None: this is no answer to them.
pub(super) fn answers(requests: &[FleetRequest], answer: TransactionAnswer) -> Option<Vec<FleetAnswer>> {
    if !answer.succeeded || answer.responses.len() != requests.len() {
        return None;
    }
    let revision = Some(answer.header.revision).filter(|revision| *revision > 0)?;
    let each = |(request, response): (&FleetRequest, OperationAnswer)| {
        let response = response.response_txn?;
        match response.succeeded {
            true => Some(FleetAnswer::Done { revision }),
            false => {
                let compares = &request.transaction.compares;
                if response.responses.len() != compares.len() {
                    return None;
                }
                let found = compares.iter().zip(response.responses).map(|(compare, found)| entry(&compare.key, found));
                Some(FleetAnswer::Refused { found: found.collect::<Option<_>>()? })
            }
        }
    };
    requests.iter().zip(answer.responses).map(each).collect()
}

fn entry(key: &str, found: OperationAnswer) -> Option<FleetEntry> {
    let found = found.response_range?.kvs.into_iter().next();
    Some(FleetEntry {
        key: key.to_owned(),
        revision: found.as_ref().map_or(0, |found| found.mod_revision),
        value: found.map(|found| watched_text(found.value)),
    })
}

/// The text of a value of which every node keeps a copy. One that is too long is cut, so that it means nothing and equals nothing that a node
/// has written.
pub(super) fn watched_text(mut value: Vec<u8>) -> String {
    value.truncate(LONGEST_WATCHED + 1);
    text(value)
}

/// The text of a value.
pub(super) fn text(value: Vec<u8>) -> String {
    String::from_utf8(value).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request_of(id: u64, compares: &[(&str, Option<&str>)], changes: &[(&str, Option<&str>)]) -> FleetRequest {
        let compares = compares
            .iter()
            .map(|(key, value)| Compare { key: (*key).to_owned(), value: value.map(str::to_owned) })
            .collect();
        let changes = changes
            .iter()
            .map(|(key, value)| Change { key: (*key).to_owned(), value: value.map(str::to_owned), lease: Some(7) })
            .collect();
        FleetRequest { id, expires_ms: 0, transaction: Transaction { compares, changes } }
    }

    fn ids(requests: &[FleetRequest]) -> Vec<u64> {
        requests.iter().map(|request| request.id).collect()
    }

    #[test]
    fn transactions_that_touch_the_same_keys_are_not_in_one_request() {
        let claim = |id, job: &str| request_of(id, &[(job, None)], &[(job, Some("x"))]);
        let mut queue = TransactionQueue::default();
        [claim(1, "a"), claim(2, "b"), claim(3, "a"), claim(4, "c"), request_of(5, &[("b", None)], &[])]
            .into_iter()
            .for_each(|request| queue.push(request));
        // 6 compares what 3 changes, which stays behind.
        queue.push(request_of(6, &[("a", Some("x"))], &[("d", None)]));
        assert_eq!(ids(&take(&mut queue)), [1, 2, 4]);
        assert_eq!(ids(&take(&mut queue)), [3, 5]);
        assert_eq!(ids(&take(&mut queue)), [6]);
        assert_eq!(take(&mut queue), []);
    }

    #[test]
    fn requests_are_limited_in_number_and_size() {
        let mut queue = TransactionQueue::default();
        (0..250).for_each(|id| queue.push(request_of(id, &[(&format!("k{id}"), None)], &[])));
        let counts: Vec<usize> = (0..4).map(|_| take(&mut queue).len()).collect();
        assert_eq!(counts, [100, 100, 50, 0]);
        let long = "x".repeat(MOST_BYTES);
        queue.push(request_of(9, &[("small", None)], &[]));
        (0..3).for_each(|id| queue.push(request_of(id, &[], &[(&format!("k{id}"), Some(&long))])));
        let taken: Vec<Vec<u64>> = (0..4).map(|_| ids(&take(&mut queue))).collect();
        assert_eq!(taken, [vec![9], vec![0], vec![1], vec![2]]);
    }

    #[test]
    fn a_request_and_its_answer_have_the_form_of_etcd() {
        let requests = [
            request_of(1, &[("a", None), ("b", Some("1"))], &[("a", Some("2")), ("b", None)]),
            request_of(2, &[("c", Some("1"))], &[("c", Some("2"))]),
        ];
        let sent = request("/p/", &requests);
        let first = &sent["success"][0]["request_txn"];
        assert_eq!(
            first["compare"][0],
            json!({"key": "L3AvYQ==", "target": "CREATE", "result": "EQUAL", "create_revision": "0"})
        );
        assert_eq!(
            first["compare"][1],
            json!({"key": "L3AvYg==", "target": "VALUE", "result": "EQUAL", "value": "MQ=="})
        );
        assert_eq!(first["success"][0]["request_put"], json!({"key": "L3AvYQ==", "value": "Mg==", "lease": "7"}));
        assert_eq!(first["success"][1]["request_delete_range"], json!({"key": "L3AvYg=="}));
        assert_eq!(first["failure"][1]["request_range"], json!({"key": "L3AvYg=="}));
        let answer = |text: &str| serde_json::from_str::<TransactionAnswer>(text).unwrap();
        let text = r#"{"header":{"revision":"8"},"succeeded":true,"responses":[
            {"response_txn":{"header":{},"succeeded":true,"responses":[{"response_put":{}},{"response_delete_range":{}}]}},
            {"response_txn":{"responses":[{"response_range":{"kvs":[{"key":"L3AvYw==","mod_revision":"5","value":"Mw=="}],"count":"1"}}]}}]}"#;
        let found = vec![FleetEntry { key: "c".into(), value: Some("3".into()), revision: 5 }];
        let expected = vec![FleetAnswer::Done { revision: 8 }, FleetAnswer::Refused { found }];
        assert_eq!(answers(&requests, answer(text)), Some(expected));
        for wrong in [r#"{"header":{"revision":"8"},"succeeded":true,"responses":[]}"#, "{}"] {
            assert_eq!(answers(&requests, answer(wrong)), None);
        }
    }
}
