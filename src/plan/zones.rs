//! The zones in use, each with its own virtual clock.

use super::rule::SetClock;
use crate::schedule::Zone;
use std::collections::HashMap;
use std::sync::Arc;

/// A zone's place in [`Zones`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ZoneId(pub(super) u32);

/// The zone of entries without `CRON_TZ`.
pub(super) const SYSTEM: ZoneId = ZoneId(0);

/// A zone that timers use.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) zone: Arc<Zone>,
    /// The virtual clock, where a step has set it.
    pub(super) set: Option<SetClock>,
    users: u32,
}

/// Zones by id; freed with their last timer, the system's never.
#[derive(Debug)]
pub(super) struct Zones {
    slots: Vec<Option<Local>>,
    named: HashMap<String, Vec<ZoneId>>,
}

impl Zones {
    pub(super) fn new(system: Arc<Zone>) -> Zones {
        Zones { slots: vec![Some(Local { zone: system, set: None, users: 1 })], named: HashMap::new() }
    }

    /// A zone in use.
    pub(super) fn get(&self, id: ZoneId) -> Option<&Local> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: ZoneId) -> Option<&mut Local> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (ZoneId, &mut Local)> {
        (0..).map(ZoneId).zip(&mut self.slots).filter_map(|(id, slot)| Some((id, slot.as_mut()?)))
    }

    /// The id of a zone; it goes when it has been [released](Zones::release) as often as it was kept.
    pub(super) fn find_or_add(&mut self, zone: &Arc<Zone>) -> ZoneId {
        let same = |id: &&ZoneId| self.get(**id).is_some_and(|l| Arc::ptr_eq(&l.zone, zone) || l.zone == *zone);
        if let Some(&id) = self.named.get(zone.name()).and_then(|ids| ids.iter().find(same)) {
            return id;
        }
        let local = Some(Local { zone: zone.clone(), set: None, users: 0 });
        let id = match self.slots.iter().position(Option::is_none) {
            Some(free) => {
                self.slots[free] = local;
                ZoneId(free as u32)
            }
            None => {
                self.slots.push(local);
                ZoneId(self.slots.len() as u32 - 1)
            }
        };
        self.named.entry(zone.name().to_owned()).or_default().push(id);
        id
    }

    /// One more timer uses it.
    pub(super) fn keep(&mut self, id: ZoneId) {
        if let Some(local) = self.get_mut(id) {
            local.users += 1;
        }
    }

    /// One timer less uses it.
    pub(super) fn release(&mut self, id: ZoneId) {
        let Some(local) = self.get_mut(id) else { return };
        local.users -= 1;
        if local.users == 0 {
            let name = local.zone.name().to_owned();
            self.slots[id.0 as usize] = None;
            if let Some(ids) = self.named.get_mut(&name) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.named.remove(&name);
                }
            }
        }
    }
}
