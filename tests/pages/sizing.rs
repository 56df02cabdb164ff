//! The table of sizes in cronwheel-fleet(7), computed: 1,000 nodes with 100,000 jobs of `CRON_FLEET=one` over a day, of which half are due at
//! 02:00:00 and the others at seconds spread over the day, divided into fleets of equal size on one or more clusters of etcd.
//!
//! A cluster is modelled as one server with a queue. A node has one transaction on its way at a time, of at most [`BATCH`] claims and ends of runs, claims
//! first. The node of rank k asks for a slot k times [`RANK_US`] after it is due, unless it has seen a claim by then; a claim without
//! an answer after [`CLAIM_TTL_US`] starts nothing. Each change of a watermark is sent to every node of its fleet, and the server does that work
//! before it takes the next transaction. That is the worst case: with more processors etcd sends these events beside the transactions.
//!
//! The delays below were measured with Debian 12's etcd 3.4.23 through its HTTP gateway, three members and all clients on one virtual machine with
//! two processors and a virtual disk: single claims one after the other took 2.5 ms (median); 100 clients with one claim in each
//! transaction got 1,290 claims/s, 10 clients with 100 in each 4,930; 40 nodes that watch got 27,000 events/s of 222 bytes, and while they
//! did, 20 claims in each transaction went down from 2,950 to 686 claims/s, which is 28 microseconds for an event. Those claims wrote one key; a claim
//! writes its outcome as well, which took 1.55 times as long (four alternating runs of 5,000).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt::Write as _;

pub const BEGIN: &str = ".\\\" BEGIN SIZES (made by tests/pages)\n";
pub const END: &str = ".\\\" END SIZES\n";

/// From a node to etcd and back, without the work of etcd.
const ROUND_TRIP_US: u64 = 1_700;
/// Work of etcd for a transaction, in addition to what is in it.
const TRANSACTION_US: u64 = 600;
/// Work of etcd for a claim, or for the end of a run: the mark and the outcome.
const CHANGE_US: u64 = 310;
/// Work of etcd for an event that one node gets.
const EVENT_US: u64 = 28;

/// Claims and ends in a transaction, at most.
const BATCH: usize = 100;
/// After how long without a claim the next node tries.
const RANK_US: u64 = 3 * SECOND_US;
/// Attempts that come later than this after a slot are left out: they would be behind all earlier ones in the queue of etcd, and expire there.
const LAST_RANK_US: u64 = 60 * SECOND_US;
/// After how long a claim is too old to start anything.
const CLAIM_TTL_US: u64 = 30 * SECOND_US;

const SECOND_US: u64 = 1_000_000;
const DAY: u64 = 86_400;
/// The second of the day at which half of the jobs are due.
const RUSH: u64 = 2 * 3600;
/// The longest run; they last from one second on.
const LONGEST_RUN: u64 = 600;

/// How many machines and jobs there are in all.
const NODES: u64 = 1_000;
const JOBS: u64 = 100_000;

/// Into how many fleets they are divided, on how many clusters of etcd.
const DIVISIONS: [(u64, u64); 7] = [(1, 1), (10, 1), (10, 10), (25, 1), (25, 5), (25, 25), (50, 10)];

/// A table with a row for each division.
pub fn render() -> String {
    let mut text = String::from(
        ".Bl -column \"fleets\" \"etcd\" \"nodes\" \"at 02:00\" \"claims/s\" \"events/s\" \"half by\" \"all by\" \"lost\"\n\
         .It Em fleets Ta Em etcd Ta Em nodes Ta Em at 02:00 Ta Em claims/s Ta Em events/s Ta Em half by Ta Em all by Ta Em lost\n",
    );
    for (fleets, clusters) in DIVISIONS {
        let figures = Cluster::new(fleets / clusters, NODES / fleets, JOBS / fleets).run();
        let mut late = figures.late_us;
        late.sort_unstable();
        let due = JOBS / clusters / 2;
        let at = |share: f64| late.get(((due as f64 * share) as usize).saturating_sub(1)).map(|us| seconds(*us));
        let never = || "-".to_owned();
        let (half, all) = (at(0.5).unwrap_or_else(never), at(1.0).unwrap_or_else(never));
        let lost = (due - late.len() as u64) * clusters;
        let row = [
            fleets.to_string(),
            clusters.to_string(),
            thousands(NODES / fleets),
            thousands(due),
            thousands(figures.most_claims),
            thousands(figures.most_events),
            half,
            all,
            thousands(lost),
        ];
        writeln!(text, ".It {}", row.join(" Ta ")).expect("text");
    }
    text + ".El\n"
}

/// `1.4 s`.
fn seconds(us: u64) -> String {
    format!("{:.1} s", us as f64 / SECOND_US as f64)
}

/// `12,345`.
fn thousands(number: u64) -> String {
    match number / 1_000 {
        0 => number.to_string(),
        more => format!("{},{:03}", thousands(more), number % 1_000),
    }
}

/// What was seen at a cluster.
struct Figures {
    /// How late the slots of the rush started.
    late_us: Vec<u64>,
    /// The most claims, and the most events, in one second.
    most_claims: u64,
    most_events: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The node of that rank asks for the slot of a job.
    Ask { job: usize, rank: u64 },
    /// The run of a job has ended.
    Ended { job: usize },
    /// A node's transaction is at etcd.
    Arrived { node: usize },
    /// etcd has done it.
    Committed { node: usize },
    /// The node knows.
    Answered { node: usize },
}

#[derive(Clone, Copy)]
enum Change {
    Claim { job: usize, asked_us: u64 },
    End,
}

struct Job {
    fleet: u64,
    due_us: u64,
    /// Where the order of the nodes begins for this job.
    first: u64,
    claimed_us: Option<u64>,
    winner: usize,
}

#[derive(Default)]
struct Node {
    claims: VecDeque<(usize, u64)>,
    ends: u64,
    /// The transaction on its way.
    sent: Vec<Change>,
}

/// A cluster of etcd with the fleets that use it.
struct Cluster {
    nodes_a_fleet: u64,
    jobs: Vec<Job>,
    nodes: Vec<Node>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    number: u64,
    waiting: VecDeque<usize>,
    is_busy: bool,
    claims_by_second: Vec<u64>,
    events_by_second: Vec<u64>,
    late_us: Vec<u64>,
    random: fastrand::Rng,
}

impl Cluster {
    fn new(fleets: u64, nodes_a_fleet: u64, jobs_a_fleet: u64) -> Cluster {
        let mut random = fastrand::Rng::with_seed(1);
        let mut jobs = Vec::new();
        for (fleet, number) in (0..fleets).flat_map(|fleet| (0..jobs_a_fleet).map(move |number| (fleet, number))) {
            let due = if number % 2 == 0 { RUSH } else { random.u64(0..DAY) };
            jobs.push(Job {
                fleet,
                due_us: due * SECOND_US,
                first: random.u64(0..nodes_a_fleet),
                claimed_us: None,
                winner: 0,
            });
        }
        let seconds = usize::try_from(2 * DAY).expect("a small number");
        let mut cluster = Cluster {
            nodes_a_fleet,
            nodes: (0..fleets * nodes_a_fleet).map(|_| Node::default()).collect(),
            events: BinaryHeap::new(),
            number: 0,
            waiting: VecDeque::new(),
            is_busy: false,
            claims_by_second: vec![0; seconds],
            events_by_second: vec![0; seconds],
            late_us: Vec::new(),
            random,
            jobs,
        };
        for job in 0..cluster.jobs.len() {
            cluster.add(cluster.jobs[job].due_us, Event::Ask { job, rank: 0 });
        }
        cluster
    }

    fn add(&mut self, at_us: u64, event: Event) {
        self.number += 1;
        self.events.push(Reverse((at_us, self.number, event)));
    }

    /// Plays the day.
    fn run(mut self) -> Figures {
        while let Some(Reverse((now_us, _, event))) = self.events.pop() {
            match event {
                Event::Ask { job, rank } => self.ask(job, rank, now_us),
                Event::Ended { job } => {
                    let node = self.jobs[job].winner;
                    self.nodes[node].ends += 1;
                    self.send(node, now_us);
                }
                Event::Arrived { node } => {
                    self.waiting.push_back(node);
                    self.serve(now_us);
                }
                Event::Committed { node } => {
                    self.commit(node, now_us);
                    self.is_busy = false;
                    self.add(now_us + ROUND_TRIP_US / 2, Event::Answered { node });
                    self.serve(now_us);
                }
                Event::Answered { node } => {
                    self.nodes[node].sent.clear();
                    self.send(node, now_us);
                }
            }
        }
        let most = |counts: &[u64]| counts.iter().copied().max().unwrap_or_default();
        Figures {
            late_us: self.late_us,
            most_claims: most(&self.claims_by_second),
            most_events: most(&self.events_by_second),
        }
    }

    fn ask(&mut self, number: usize, rank: u64, now_us: u64) {
        let job = &self.jobs[number];
        if rank == self.nodes_a_fleet
            || rank * RANK_US > LAST_RANK_US
            || job.claimed_us.is_some_and(|at| at + ROUND_TRIP_US / 2 <= now_us)
        {
            return;
        }
        let node = job.fleet * self.nodes_a_fleet + (job.first + rank) % self.nodes_a_fleet;
        let node = usize::try_from(node).expect("a small number");
        self.nodes[node].claims.push_back((number, now_us));
        self.add(now_us + RANK_US, Event::Ask { job: number, rank: rank + 1 });
        self.send(node, now_us);
    }

    /// Sends what waits at a node, unless a transaction is on its way.
    fn send(&mut self, number: usize, now_us: u64) {
        let node = &mut self.nodes[number];
        if !node.sent.is_empty() {
            return;
        }
        while node.sent.len() < BATCH
            && let Some((job, asked_us)) = node.claims.pop_front()
        {
            let is_seen = self.jobs[job].claimed_us.is_some_and(|at| at + ROUND_TRIP_US / 2 <= now_us);
            if !is_seen && now_us < asked_us + CLAIM_TTL_US {
                node.sent.push(Change::Claim { job, asked_us });
            }
        }
        while node.sent.len() < BATCH && node.ends > 0 {
            node.ends -= 1;
            node.sent.push(Change::End);
        }
        if !node.sent.is_empty() {
            self.add(now_us + ROUND_TRIP_US / 2, Event::Arrived { node: number });
        }
    }

    /// Begins with the next transaction, if etcd does nothing else.
    fn serve(&mut self, now_us: u64) {
        if self.is_busy {
            return;
        }
        let Some(node) = self.waiting.pop_front() else { return };
        let changes = &self.nodes[node].sent;
        let seen = changes.iter().filter(|change| match change {
            Change::Claim { job, .. } => self.jobs[*job].claimed_us.is_none(),
            Change::End => true,
        });
        let events = seen.count() as u64 * self.nodes_a_fleet;
        let work_us = TRANSACTION_US + changes.len() as u64 * CHANGE_US + events * EVENT_US;
        self.is_busy = true;
        self.add(now_us + work_us, Event::Committed { node });
    }

    fn commit(&mut self, node: usize, now_us: u64) {
        let second = usize::try_from(now_us / SECOND_US).expect("a second");
        for change in self.nodes[node].sent.clone() {
            if let Change::Claim { job: number, asked_us } = change {
                let job = &mut self.jobs[number];
                if job.claimed_us.is_some() {
                    continue;
                }
                (job.claimed_us, job.winner) = (Some(now_us), node);
                self.claims_by_second[second] += 1;
                let start_us = now_us + ROUND_TRIP_US / 2;
                if start_us < asked_us + CLAIM_TTL_US {
                    if job.due_us == RUSH * SECOND_US {
                        self.late_us.push(start_us - job.due_us);
                    }
                    let lasts = self.random.u64(1..=LONGEST_RUN);
                    self.add(start_us + lasts * SECOND_US, Event::Ended { job: number });
                }
            }
            self.events_by_second[second] += self.nodes_a_fleet;
        }
    }
}

#[test]
fn a_slot_at_an_idle_cluster_starts_after_one_round_trip_and_the_work_of_etcd() {
    let cluster = Cluster::new(1, 3, 2);
    let figures = cluster.run();
    assert_eq!(figures.late_us, [ROUND_TRIP_US + TRANSACTION_US + CHANGE_US + 3 * EVENT_US]);
    assert_eq!(figures.most_claims, 1);
}

#[test]
fn the_bound_that_the_page_names_is_within_the_figures() {
    // 2,000 slots of one fleet of 40 nodes in the same second: none is lost, and all start within five seconds.
    let figures = Cluster::new(1, 40, 4_000).run();
    assert!(figures.late_us.len() == 2_000 && figures.late_us.iter().all(|us| *us < 5 * SECOND_US));
}

#[test]
fn a_cluster_that_is_too_small_loses_slots() {
    let figures = Cluster::new(1, 100, 40_000).run();
    assert!((1..15_000).contains(&figures.late_us.len()), "{} of 20,000", figures.late_us.len());
    assert!(figures.late_us.iter().all(|us| *us < CLAIM_TTL_US + LAST_RANK_US));
}
