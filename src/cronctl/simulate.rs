//! `cronctl simulate`: what the daemon would start, through clock changes and restarts.

use super::Verdict;
use super::cli::{given, value};
use super::error::Error;
use super::output::Output;
use super::source::{self, Listed};
use super::values::{Down, Step};
use super::world::World;
use crate::plan::{Action, End, Event, Now, Owner, Plan, Source, Start};
use crate::schedule::{Timestamp, Zone};
use crate::table::{Form, printable};
use clap::ArgMatches;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

/// Simulates.
pub(super) fn run(matches: &ArgMatches, world: &World, out: &mut Output) -> Result<Verdict, Error> {
    let (Some(from), Some(until)) = (value::<Timestamp>(matches, "from"), value::<Timestamp>(matches, "until")) else {
        return Ok(Verdict::Clean); // clap insists on both
    };
    if until < from {
        return Err(Error::Backwards);
    }
    let Some(path) = value::<PathBuf>(matches, "file") else {
        return Ok(Verdict::Clean); // and on this
    };
    let json = given(matches, "json");
    let zone = Arc::clone(world.system_zone());
    let listed = source::file(path, source::form(matches), world)?;
    let machine = Machine {
        zone: Arc::clone(&zone),
        load: &|| load(&listed, world),
        from: *from,
        now: *from,
        ahead: 0,
        booted: false,
        plan: None,
        completed: None,
    };
    machine.run(&incidents(matches, *from), *until, &mut |moment, start| tell(moment, start, &zone, json, out))?;
    Ok(source::complain(std::slice::from_ref(&listed)))
}

/// The table as the daemon gets it. Each start of the daemon reads it anew.
fn load(listed: &Listed, world: &World) -> Event {
    let owner = if listed.form == Form::System { Owner::System } else { Owner::Caller };
    let source = Source { path: listed.name.clone(), name: listed.owner.clone(), owner };
    Event::Load { source, table: listed.read_again(world) }
}

/// A moment, as it is and as the machine's clock has it.
#[derive(Clone, Copy)]
struct Moment {
    truth: Timestamp,
    shown: Timestamp,
}

/// One start as JSON.
#[derive(serde::Serialize)]
struct Told<'a> {
    at: String,
    shown: String,
    line: u32,
    command: Cow<'a, str>,
}

fn tell(moment: Moment, start: &Start, zone: &Zone, json: bool, out: &mut Output) -> Result<(), Error> {
    let (at, shown) = (moment.truth.to_string(), zone.to_rfc3339(moment.shown));
    if json {
        out.json(&Told { at, shown, line: start.line, command: String::from_utf8_lossy(&start.command) })
    } else {
        out.line(format_args!("{at}  {shown}  {}  {}", start.line, printable(&start.command)))
    }
}

/// Something that happens to the machine, at a true moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Incident {
    /// Its clock is moved by so many seconds.
    Step(i64),
    /// The daemon is stopped.
    Stop,
    /// The daemon is started again.
    Restart,
}

/// All incidents from a first moment on, in order of time; at the same moment the daemon is stopped, then the clock set,
/// then the daemon started.
fn incidents(matches: &ArgMatches, from: Timestamp) -> Vec<(Timestamp, Incident)> {
    let steps = matches.get_many::<Step>("step").into_iter().flatten();
    let mut incidents: Vec<_> = steps.map(|step| (step.at, Incident::Step(step.by))).collect();
    let downs = matches.get_many::<Down>("down").into_iter().flatten().filter(|down| down.until >= from);
    for down in joined(downs.copied().collect()) {
        // One that has begun already begins with the machine.
        incidents.extend([(down.from.max(from), Incident::Stop), (down.until, Incident::Restart)]);
    }
    incidents.retain(|(at, _)| *at >= from);
    incidents.sort_by_key(|(at, incident)| {
        let order = match incident {
            Incident::Stop => 0,
            Incident::Step(_) => 1,
            Incident::Restart => 2,
        };
        (*at, order)
    });
    incidents
}

/// Down times that touch are one.
fn joined(mut downs: Vec<Down>) -> Vec<Down> {
    downs.sort_by_key(|down| down.from);
    let mut joined: Vec<Down> = Vec::new();
    for down in downs {
        match joined.last_mut() {
            Some(last) if down.from <= last.until => last.until = last.until.max(down.until),
            _ => joined.push(down),
        }
    }
    joined
}

/// A machine with a clock of our own and one table.
struct Machine<'a> {
    zone: Arc<Zone>,
    /// Reads the table, as a daemon does that starts.
    load: &'a dyn Fn() -> Event,
    /// The first moment.
    from: Timestamp,
    /// The true moment that it is.
    now: Timestamp,
    /// How many seconds the clock is ahead of the truth.
    ahead: i64,
    /// Whether a daemon has run since the first moment.
    booted: bool,
    /// The daemon's plan, while it runs.
    plan: Option<Plan>,
    /// What the daemon has recorded: everything due up to here was handed out.
    completed: Option<Timestamp>,
}

/// Who is told of each start.
type Teller<'a> = dyn FnMut(Moment, &Start) -> Result<(), Error> + 'a;

impl Machine<'_> {
    /// Boots it and runs it up to a last moment.
    fn run(
        mut self,
        incidents: &[(Timestamp, Incident)],
        until: Timestamp,
        tell: &mut Teller<'_>,
    ) -> Result<(), Error> {
        let mut incidents = incidents.iter().copied().peekable();
        if incidents.peek() != Some(&(self.now, Incident::Stop)) {
            self.start(tell)?;
        }
        loop {
            let incident = incidents.peek().map(|(at, _)| *at);
            let next = [self.wake_at(), incident].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= until) else { return Ok(()) };
            self.now = next;
            match incidents.next_if(|(at, _)| *at == next) {
                Some((_, incident)) => self.suffer(incident, tell)?,
                None => self.handle(Event::Tick, tell)?,
            }
        }
    }

    fn suffer(&mut self, incident: Incident, tell: &mut Teller<'_>) -> Result<(), Error> {
        match incident {
            Incident::Step(by) => {
                self.ahead += by;
                self.handle(Event::Tick, tell)
            }
            Incident::Stop => {
                self.plan = None;
                Ok(())
            }
            Incident::Restart => self.start(tell),
        }
    }

    /// Starts the daemon, the first time since the machine was booted or again.
    fn start(&mut self, tell: &mut Teller<'_>) -> Result<(), Error> {
        let boot = !std::mem::replace(&mut self.booted, true);
        self.plan = Some(Plan::new(Arc::clone(&self.zone), self.clock()));
        self.handle((self.load)(), tell)?;
        self.handle(Event::Begin { boot, completed: self.completed }, tell)
    }

    /// Puts an event to the plan and does what it says. A job takes no time.
    fn handle(&mut self, event: Event, tell: &mut Teller<'_>) -> Result<(), Error> {
        let now = self.clock();
        let moment = Moment { truth: self.now, shown: now.utc };
        let Some(plan) = &mut self.plan else { return Ok(()) };
        let mut actions = VecDeque::from(plan.handle(event, now));
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Start(start) => {
                    tell(moment, &start)?;
                    actions.extend(plan.handle(Event::Ended { run: start.run, end: End::Code(0) }, now));
                }
                Action::Completed(up_to) => self.completed = Some(up_to),
                Action::Skipped { .. } | Action::Jumped { .. } => {}
            }
        }
        Ok(())
    }

    /// When the plan wants to be asked again, in true time.
    fn wake_at(&self) -> Option<Timestamp> {
        let shown = self.plan.as_ref()?.wake_at()?;
        // What is due has been handed out, so the wish lies ahead of the clock; time goes on in any case.
        Some(Timestamp((shown.0 - self.ahead).max(self.now.0 + 1)))
    }

    /// What the machine's clocks show.
    fn clock(&self) -> Now {
        let elapsed = (self.now.0 - self.from.0).saturating_mul(1_000);
        Now { utc: Timestamp(self.now.0.saturating_add(self.ahead)), elapsed_ms: elapsed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn down_times_that_touch_are_one() {
        let down = |from, until| Down { from: Timestamp(from), until: Timestamp(until) };
        assert_eq!(joined(vec![down(50, 60), down(10, 20), down(20, 30), down(12, 15)]), [down(10, 30), down(50, 60)]);
    }
}
