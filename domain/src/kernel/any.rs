//! Commands and events of whatever kind of record: whoever carries them out is compiled once, and not for every kind.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    Actor, Aggregate, Claim, Ctx, Decision, Echo, Id, Need, Via,
    kernel::{
        aggregate::{AnyState, Deprecated, Stored},
        files,
        named::{Named, Undecodable},
    },
};

/// A command of whatever kind of record.
pub type AnyCommand = Arc<dyn Commanded>;

/// An event of whatever kind of record.
pub type AnyEvent = Box<dyn Happened>;

/// A command of kind `A`.
pub fn command<A: Aggregate>(command: A::Command) -> AnyCommand {
    Arc::new(Command::<A>(command))
}

/// The command that is called `name` of kind `A`.
///
/// # Errors
/// When there is no such command, or its body does not fit.
pub fn decode<A: Aggregate>(name: &str, body: Value) -> Result<AnyCommand, Undecodable> {
    A::Command::from_value(name, body).map(command::<A>)
}

fn event<A: Aggregate>(event: A::Event) -> AnyEvent {
    Box::new(Event::<A>(event))
}

/// What [`Aggregate`] says of a command. A state of another kind counts as the initial one.
pub trait Commanded: Send + Sync {
    /// Its name and its body, as JSON.
    fn encode(&self) -> (String, Vec<u8>);

    /// [`Aggregate::id_for_new`].
    fn id_for_new(&self, tenant: Id) -> Option<Id>;

    /// [`Aggregate::known_as`].
    fn known_as(&self, id: Id) -> Id;

    /// [`Aggregate::deprecated`].
    fn deprecated(&self) -> Vec<Deprecated>;

    /// [`Aggregate::requires`].
    fn requires(&self) -> Vec<(String, String)>;

    /// [`Aggregate::merges`], with events as they are stored.
    ///
    /// # Errors
    /// When one of them is none of its kind.
    fn merges(&self, since: &mut dyn Iterator<Item = Stored<'_>>) -> Result<bool, Undecodable>;

    /// [`Aggregate::needs`].
    fn needs(&self, state: &AnyState, ctx: &Ctx<'_>) -> Vec<Need>;

    /// [`Aggregate::decide`].
    ///
    /// # Errors
    /// When it refuses.
    fn decide(&self, state: &AnyState, ctx: &Ctx<'_>) -> Decision<AnyEvent>;

    /// [`Aggregate::passes_on`].
    fn passes_on(&self, state: &AnyState) -> Option<AnyCommand>;

    /// [`Aggregate::passed_on`].
    fn passed_on(&self, state: &AnyState, into: Id, ctx: &Ctx<'_>) -> Option<AnyEvent>;
}

/// What [`Aggregate`] says of an event. A state of another kind counts as the initial one.
pub trait Happened: Send + Sync {
    /// [`Aggregate::came_via`].
    fn came_via(self: Box<Self>, from: Id) -> AnyEvent;

    /// What is stored of it, `state` being the one before it, of the record that `ctx` names.
    fn tell(&self, state: &AnyState, ctx: &Ctx<'_>) -> Told;

    /// The state after it, with who did it, and who stands in what relation to the record then.
    fn evolve(&self, state: AnyState, actor: &Actor, via: Via) -> AnyState;
}

/// What an event is as it is stored, and what it brings with it.
pub struct Told {
    /// The event itself, with its number and whose data it holds.
    pub event: Echo,
    /// The set-wide names that it takes or gives back.
    pub claims: Vec<Claim>,
    /// What it means in other streams.
    pub echoes: Vec<Echo>,
}

struct Command<A: Aggregate>(A::Command);

struct Event<A: Aggregate>(A::Event);

/// Asks a state of `A`.
fn ask<A: Aggregate, R>(state: &AnyState, question: impl FnOnce(&A) -> R) -> R {
    match state.downcast_ref::<A>() {
        Some(state) => question(state),
        None => question(&A::default()),
    }
}

impl<A: Aggregate> Commanded for Command<A> {
    fn encode(&self) -> (String, Vec<u8>) {
        self.0.encode()
    }

    fn id_for_new(&self, tenant: Id) -> Option<Id> {
        A::id_for_new(tenant, &self.0)
    }

    fn known_as(&self, id: Id) -> Id {
        A::known_as(id, &self.0)
    }

    fn deprecated(&self) -> Vec<Deprecated> {
        A::deprecated(&self.0)
    }

    fn requires(&self) -> Vec<(String, String)> {
        A::requires(&self.0)
    }

    fn merges(&self, since: &mut dyn Iterator<Item = Stored<'_>>) -> Result<bool, Undecodable> {
        let since: Vec<_> = since.map(|(kind, data, _)| A::decode(kind, data)).collect::<Result<_, _>>()?;
        Ok(A::merges(&self.0, &since))
    }

    fn needs(&self, state: &AnyState, ctx: &Ctx<'_>) -> Vec<Need> {
        ask(state, |state: &A| state.needs(&self.0, ctx))
    }

    fn decide(&self, state: &AnyState, ctx: &Ctx<'_>) -> Decision<AnyEvent> {
        let events = ask(state, |state: &A| state.decide(self.0.clone(), ctx))?;
        Ok(events.into_iter().map(event::<A>).collect())
    }

    fn passes_on(&self, state: &AnyState) -> Option<AnyCommand> {
        ask(state, |state: &A| state.passes_on(&self.0)).map(command::<A>)
    }

    fn passed_on(&self, state: &AnyState, into: Id, ctx: &Ctx<'_>) -> Option<AnyEvent> {
        ask(state, |state: &A| state.passed_on(&self.0, into, ctx)).map(event::<A>)
    }
}

impl<A: Aggregate> Happened for Event<A> {
    fn came_via(self: Box<Self>, from: Id) -> AnyEvent {
        event::<A>(A::came_via(self.0, from))
    }

    fn tell(&self, state: &AnyState, ctx: &Ctx<'_>) -> Told {
        ask(state, |state: &A| Told {
            event: Echo { subject: state.subject(&self.0, ctx), ..Echo::to::<A>(ctx.id, &self.0) },
            claims: state.claims(&self.0, ctx),
            echoes: {
                let mut echoes = state.echoes(&self.0, ctx);
                echoes.extend(files::echoes(A::KIND, state.files(&self.0), ctx));
                echoes
            },
        })
    }

    fn evolve(&self, state: AnyState, actor: &Actor, via: Via) -> AnyState {
        let (mut state, mut access) = state.taken::<A>();
        access.happened(A::relates(&self.0), actor, via);
        state.evolve(&self.0);
        state.attribute(&self.0, actor);
        AnyState::of(state, access)
    }
}
