//! What the configuration says of a node's place in a fleet.

/// The place of this machine in its fleet, from `[fleet]` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetSettings {
    /// The name of the node: no blank and no `/`.
    pub node: String,
    /// The labels of this node, which `CRON_FLEET_NODES` names.
    pub labels: Vec<String>,
    /// Its share of the jobs, at least 1.
    pub weight: u32,
    /// The version of this program.
    pub version: String,
    /// Lower-case hexadecimal digits that no other boot of any machine has: 128 random bits. Used unless an earlier daemon of this boot has left its
    /// own.
    pub fresh_instance: String,
}
