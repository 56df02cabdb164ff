//! A request for the unit tests of this module.

use crate::crontab::Flags;
use crate::scheduler::{Environment, JobId, Owner, RunId, RunRequest, RunRules, Source, Trigger};

/// A request for a run of `alice:job`, an entry of /etc/cron.d/x.
pub(super) fn request(run: u64) -> RunRequest {
    RunRequest {
        run: RunId(run),
        job: JobId::named("alice", "job"),
        source: Source { path: "/etc/cron.d/x".into(), name: "*system*x".into(), owner: Owner::System },
        line: 1,
        user: "alice".into(),
        command: "true".into(),
        literal: false,
        variables: Environment::default(),
        flags: Flags::default(),
        scheduled_at: 1_800_000_000,
        at_reboot: false,
        trigger: Trigger::Schedule,
        attempt: 1,
        rules: RunRules::default(),
        fleet: None,
    }
}
