//! Where an import's commands go: into the log, or into a rehearsal that decides everything and writes nothing.

use std::{collections::HashMap, sync::Arc};

use commands::{Commands, Envelope, Refused};
use domain::{
    Aggregate, Facts, Id, Need,
    catalogue::Kind,
    kernel::{
        aggregate::AnyState,
        any::AnyCommand,
        reference::{Ask, Mentions},
    },
};
use eventstore::{Direction, Log};
use parking_lot::Mutex;

use super::lookup;

/// Events of a stream that are read at once.
const PAGE: i64 = 1000;
/// How often a command that others kept from being carried out is asked for again.
const PATIENCE: usize = 5;

/// Carries commands out, or rehearses them.
#[derive(Clone)]
pub(crate) struct Target {
    commands: Commands,
    rehearsal: Option<Arc<Rehearsal>>,
}

/// What would be, had the commands been carried out.
#[derive(Default)]
struct Rehearsal {
    states: Mutex<HashMap<(&'static str, Id), AnyState>>,
    claims: Mutex<HashMap<(&'static str, String), Option<Id>>>,
}

impl Target {
    /// The log, or with `dry_run` a rehearsal.
    pub(crate) fn new(commands: Commands, dry_run: bool) -> Target {
        Target { commands, rehearsal: dry_run.then(Arc::default) }
    }

    pub(crate) fn log(&self) -> &Log {
        self.commands.log()
    }

    /// Whether nothing is written.
    pub(crate) fn is_rehearsal(&self) -> bool {
        self.rehearsal.is_some()
    }

    /// The state of a record.
    pub(crate) async fn state<A: Aggregate>(&self, tenant: Id, id: Id) -> Result<Arc<A>, Refused> {
        match &self.rehearsal {
            None => Ok(self.commands.load::<A>(tenant, id).await?.0),
            Some(rehearsal) => {
                let state = rehearsal.state(self.log(), tenant, &Need::of::<A>(id)).await?;
                Ok(downcast(state))
            }
        }
    }

    /// The state of a record of whatever kind.
    pub(crate) async fn state_of(&self, kind: &'static Kind, tenant: Id, id: Id) -> Result<AnyState, Refused> {
        match &self.rehearsal {
            None => self.commands.state(&kind.need(id), tenant).await,
            Some(rehearsal) => rehearsal.state(self.log(), tenant, &kind.need(id)).await,
        }
    }

    /// The record that holds a set-wide name.
    pub(crate) async fn claimed(&self, tenant: Id, scope: &'static str, key: &str) -> Result<Option<Id>, Refused> {
        if let Some(rehearsal) = &self.rehearsal
            && let Some(owner) = rehearsal.claims.lock().get(&(scope, key.to_owned()))
        {
            return Ok(*owner);
        }
        lookup::claimed(self.log(), tenant, scope, key).await.map_err(|error| unavailable(&error))
    }

    /// How many events the commands would lead to.
    pub(crate) async fn probe<A: Aggregate>(
        &self,
        envelope: &Envelope,
        commands: Vec<A::Command>,
    ) -> Result<usize, Refused> {
        let (kind, commands) = commands::of_any_kind::<A>(commands)?;
        match &self.rehearsal {
            None => {
                let envelope = Envelope { dry_run: true, ..envelope.clone() };
                Ok(self.commands.dispatch_any(&envelope, kind, commands).await?.events.len())
            }
            Some(rehearsal) => Ok(rehearsal.decide(self.log(), envelope, kind, commands).await?.events),
        }
    }

    /// Carries the commands out, and says how many events they led to.
    pub(crate) async fn carry_out<A: Aggregate>(
        &self,
        envelope: &Envelope,
        commands: Vec<A::Command>,
    ) -> Result<usize, Refused> {
        let (kind, commands) = commands::of_any_kind::<A>(commands)?;
        self.carry_out_any(envelope, kind, commands).await
    }

    /// The same for a record of whatever kind.
    pub(crate) async fn carry_out_any(
        &self,
        envelope: &Envelope,
        kind: &'static Kind,
        commands: Vec<AnyCommand>,
    ) -> Result<usize, Refused> {
        if let Some(rehearsal) = &self.rehearsal {
            let decided = rehearsal.decide(self.log(), envelope, kind, commands).await?;
            let events = decided.events;
            rehearsal.keep(envelope.id, decided);
            return Ok(events);
        }
        for _ in 1..PATIENCE {
            match self.commands.dispatch_any(envelope, kind, commands.clone()).await {
                Err(Refused::Busy) => tokio::task::yield_now().await,
                outcome => return Ok(outcome?.events.len()),
            }
        }
        Ok(self.commands.dispatch_any(envelope, kind, commands).await?.events.len())
    }
}

/// What commands lead to.
struct Decided {
    kind: &'static str,
    state: AnyState,
    events: usize,
    claims: Vec<domain::Claim>,
}

impl Rehearsal {
    async fn state(&self, log: &Log, tenant: Id, need: &Need) -> Result<AnyState, Refused> {
        if let Some(state) = self.states.lock().get(&(need.kind, need.id)) {
            return Ok(state.clone());
        }
        let (tenant, stream) = (tenant.to_string(), format!("{}-{}", need.kind, need.id));
        let mut state: Option<AnyState> = None;
        let mut from = 0;
        loop {
            let page = log
                .read_stream(&tenant, &stream, from, Direction::Forward, PAGE)
                .await
                .map_err(|error| unavailable(&error))?;
            let mut events = page.iter().map(|event| (&*event.kind, &*event.data, &*event.metadata));
            let folded = (need.fold)(state.take(), &mut events);
            let folded = folded.map_err(|error| Refused::Broken(format!("{stream} does not decode: {error}")))?;
            if (page.len() as i64) < PAGE {
                return Ok(folded);
            }
            state = Some(folded);
            from += PAGE;
        }
    }

    async fn decide(
        &self,
        log: &Log,
        envelope: &Envelope,
        kind: &'static Kind,
        commands: Vec<AnyCommand>,
    ) -> Result<Decided, Refused> {
        let mut state = self.state(log, envelope.tenant, &kind.need(envelope.id)).await?;
        let mut facts = Facts::told(true);
        let (mut events, mut claims) = (0, Vec::new());
        let now = envelope.occurred_at.unwrap_or(envelope.now);
        for (turn, command) in commands.into_iter().enumerate() {
            let seed = format!("{}-{turn}", envelope.command_id);
            let mentions = Mentions::of(kind, &state, &command).told_afterwards();
            let decision = loop {
                match mentions.ask(&state, &command, &envelope.ctx(now, &seed, &facts)) {
                    Ask::Facts(needs) => {
                        for need in needs {
                            facts.insert(need.kind, need.id, self.state(log, envelope.tenant, &need).await?);
                        }
                    }
                    Ask::Elsewhere { id, command, .. } => {
                        let envelope = Envelope { id, ..envelope.clone() };
                        return Box::pin(self.decide(log, &envelope, kind, vec![command])).await;
                    }
                    Ask::Decided { decision, .. } => break decision,
                }
            };
            let ctx = envelope.ctx(now, &seed, &facts);
            for event in decision? {
                let told = event.tell(&state, &ctx);
                claims.extend(told.claims);
                events += 1 + told.echoes.len();
                state = event.evolve(state, &envelope.actor, envelope.via);
            }
        }
        for claim in claims.iter().filter(|claim| claim.take) {
            let key = (claim.scope, claim.key.clone());
            let rehearsed = self.claims.lock().get(&key).copied();
            let owner = match rehearsed {
                Some(owner) => owner,
                None => lookup::claimed(log, envelope.tenant, claim.scope, &claim.key)
                    .await
                    .map_err(|error| unavailable(&error))?,
            };
            if owner.is_some_and(|owner| owner != envelope.id) {
                return Err(claim.taken.clone().into());
            }
        }
        Ok(Decided { kind: kind.name, state, events, claims })
    }

    fn keep(&self, id: Id, decided: Decided) {
        if decided.events == 0 {
            return;
        }
        self.states.lock().insert((decided.kind, id), decided.state);
        let mut claims = self.claims.lock();
        for claim in decided.claims {
            claims.insert((claim.scope, claim.key), claim.take.then_some(id));
        }
    }
}

fn unavailable(error: &eventstore::Error) -> Refused {
    Refused::Unavailable(error.to_string())
}

fn downcast<A: Aggregate>(state: AnyState) -> Arc<A> {
    state.downcast::<A>().unwrap_or_default()
}
