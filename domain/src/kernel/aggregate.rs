//! What an aggregate is: pure `decide` and `evolve`, and what it may ask of the rest.

use std::{
    any::Any,
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    fmt::Debug,
    sync::Arc,
};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    Actor, ActorKind, Id, Metadata, Rejection, Time,
    kernel::listing::Listing,
    kernel::{
        access::{Access, Relation},
        custom::Custom,
        files::{self, Files},
        named::{Named, Undecodable, Variant},
    },
    org::authority::{Authority, DENIED},
};

/// What a command leads to: the events to append to its own stream (none when it is already so), or a refusal.
pub type Decision<E> = Result<Vec<E>, Rejection>;

/// A consistency boundary: one stream of events, folded to the state that decides over commands.
///
/// Everything here is pure. `decide` never looks anything up: what it must know of other aggregates arrives as
/// facts that it named in [`Aggregate::needs`]. All of a state is written into its snapshots: [`super::snapshot`].
pub trait Aggregate: Default + Clone + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The category of its streams and the prefix of its event types: `ticket`.
    const KIND: &'static str;
    /// The name of its collection in paths: `tickets`.
    const PLURAL: &'static str;
    /// The command that brings a new one into being: `open`.
    const CREATE: &'static str;
    /// Whether its records take custom fields.
    const CUSTOM: bool = false;
    /// Whether its records can be copied: [`Aggregate::copy`].
    const COPIES: bool = false;
    /// Commands that only Deskfold itself issues: no route is mounted for them.
    const INTERNAL: &'static [&'static str] = &[];
    /// Commands that record what nothing heeds yet: documents say so, so that nobody relies on it.
    const AHEAD: &'static [&'static str] = &[];
    /// Commands that by themselves are for what is one's own. The permission of the same name with `_any` at its end says
    /// that one may do it to a colleague's too: [`Ctx::must_own`]. `read` among them says that a record may be one user's alone,
    /// and that it takes `{kind}.read_any` to see those of others.
    const OWN: &'static [&'static str] = &[];
    /// Whether its decisions depend on who did what before, which [`Aggregate::attribute`] then is told.
    const ATTRIBUTED: bool = false;
    /// Events that are shown to nobody but the user whose stream it is, who helps users to sign in, and auditors.
    const CONFIDENTIAL: &'static [&'static str] = &[];
    /// Members of its events that no answer shows, not even to auditors.
    const SECRETS: &'static [&'static str] = &[];
    /// Why whoever may see any of its records sees them all, however far the permission reaches: what all others stand on.
    const OPEN: Option<&'static str> = None;
    /// What may be asked of it.
    type Command: Named + Clone + Send + Sync;
    /// What may have happened to it.
    type Event: Named + Clone + Debug + PartialEq + Send + Sync;

    /// Whether others than Deskfold itself may issue a command: whether there is a route, a permission and a rule's action.
    fn offers(command: &str) -> bool {
        !Self::INTERNAL.contains(&command)
    }

    /// The commands that take back what an event did, `self` being the state before it; `None` where what happened lasts,
    /// such as what was said to somebody. See [`super::undo`].
    fn undo(&self, _event: &Self::Event) -> Option<Vec<Self::Command>> {
        None
    }

    /// The same without what it only remembers of how it came to be so: two states that differ in nothing else are the same to
    /// whoever takes something back.
    #[must_use]
    fn forgetful(self) -> Self {
        self
    }

    /// Says what follows from a command in this state.
    fn decide(&self, command: Self::Command, ctx: &Ctx<'_>) -> Decision<Self::Event>;

    /// Takes in what has happened.
    fn evolve(&mut self, event: &Self::Event);

    /// Takes in who did it, after [`Aggregate::evolve`], where [`Aggregate::ATTRIBUTED`] says so.
    fn attribute(&mut self, _event: &Self::Event, _actor: &Actor) {}

    /// What follows from an event for who stands in what relation to the record: the one place that says so.
    fn relates(_event: &Self::Event) -> Vec<Relation> {
        Vec::new()
    }

    /// Whether others may refer to it: it exists and is neither put away nor merged. Kinds that nobody refers to leave it
    /// false.
    fn is_live(&self) -> bool {
        false
    }

    /// The record that goes on in its stead, once it is merged: whoever refers to this one means that one.
    fn merged_into(&self) -> Option<Id> {
        None
    }

    /// The values of its custom fields.
    fn custom(&self) -> Option<&Custom> {
        None
    }

    /// The body that creates another one like it: its attributes, tags and custom fields, and nothing that is its own alone
    /// (numbers, names that no two have, whom it is shared with, what has happened to it).
    fn copy(&self) -> Option<Value> {
        None
    }

    /// The command that the record that goes on takes in its place, while it is merged: what people outside say, and what
    /// comes in from elsewhere. What is to be done to it alone it refuses.
    fn passes_on(&self, _command: &Self::Command) -> Option<Self::Command> {
        None
    }

    /// What it notes of a command that the record `into` has taken in its place.
    fn passed_on(&self, _command: &Self::Command, _into: Id, _ctx: &Ctx<'_>) -> Option<Self::Event> {
        None
    }

    /// An event of a command that was meant for `from`, as the record that goes on tells it.
    fn came_via(event: Self::Event, _from: Id) -> Self::Event {
        event
    }

    /// The record as rules and templates see it: a flat JSON object without its id; `None` when there is no such record,
    /// or when its kind is nothing that rules ask about.
    fn document(&self) -> Option<Value> {
        None
    }

    /// JSON schema of [`Aggregate::document`]; `None` when it has none.
    fn document_schema(_generator: &mut SchemaGenerator) -> Option<Schema> {
        None
    }

    /// The other aggregates whose state the decision depends on. Asked again with what has been loaded, until it names
    /// nothing new.
    fn needs(&self, _command: &Self::Command, _ctx: &Ctx<'_>) -> Vec<Need> {
        Vec::new()
    }

    /// The set-wide names that an event takes or gives back; `self` is the state before it.
    fn claims(&self, _event: &Self::Event, _ctx: &Ctx<'_>) -> Vec<Claim> {
        Vec::new()
    }

    /// What an event means in other streams: appended with it, all or nothing. `self` is the state before it.
    fn echoes(&self, _event: &Self::Event, _ctx: &Ctx<'_>) -> Vec<Echo> {
        Vec::new()
    }

    /// What an event says of uploads: that the record refers to them from now on, or no longer. `self` is the state before it.
    fn files(&self, _event: &Self::Event) -> Files {
        Files::default()
    }

    /// The counter that numbers this event. Its first field must then be `number: u64` with the value 0, which
    /// the log replaces by the number it draws.
    fn counter(_event: &Self::Event) -> Option<&'static str> {
        None
    }

    /// Whose personal data an event holds.
    fn subject(&self, _event: &Self::Event, _ctx: &Ctx<'_>) -> Option<Id> {
        None
    }

    /// What whoever issues a command must be permitted besides the command itself, each with the place in its body that
    /// asks for it.
    fn requires(_command: &Self::Command) -> Vec<(String, String)> {
        Vec::new()
    }

    /// Names in a command that are called otherwise now: they still mean the same.
    fn deprecated(_command: &Self::Command) -> Vec<Deprecated> {
        Vec::new()
    }

    /// Whether a command meant for an older version still means the same after `since` has happened: true lets a stale
    /// `If-Match` pass.
    fn merges(_command: &Self::Command, _since: &[Self::Event]) -> bool {
        false
    }

    /// Rewrites an event name that is no longer current, with its old data, into a newer name and shape.
    fn upcast(_name: &str, _data: &Value) -> Option<(&'static str, Value)> {
        None
    }

    /// The id that a path segment means. Kinds with one record per name (custom fields of tickets) accept the name.
    fn id_of(_tenant: Id, segment: &str) -> Option<Id> {
        segment.parse().ok()
    }

    /// The kind of record that the record `id` is about, when it is there for that kind alone: as usable as that.
    fn about(_tenant: Id, _id: Id) -> Option<&'static str> {
        None
    }

    /// What is to be added to a command's body, when a path names by `part` something in the stream of `whole` rather than
    /// the whole of it; `None` when there is no such part.
    fn part(&self, _whole: Id, _part: Id) -> Option<Map<String, Value>> {
        None
    }

    /// The id under which clients know what a command is for; its stream's, unless the stream holds several.
    fn known_as(id: Id, _command: &Self::Command) -> Id {
        id
    }

    /// Every refusal it knows, for documents; the test harness checks that none is forgotten.
    fn refusals() -> Vec<Rejection>;

    /// The id of a new record, where it follows from the command; otherwise it is made up.
    fn id_for_new(_tenant: Id, _command: &Self::Command) -> Option<Id> {
        None
    }

    /// An example of every command, for documents and for the property test.
    fn examples() -> Vec<Self::Command>;

    /// The stream of the record `id`.
    fn stream(id: Id) -> String {
        format!("{}-{id}", Self::KIND)
    }

    /// The stored type and data of an event.
    fn encode(event: &Self::Event) -> (String, Vec<u8>) {
        let (name, data) = event.encode();
        (format!("{}.{name}", Self::KIND), data)
    }

    /// Proves in tests what all kinds of its sort do.
    #[cfg(test)]
    fn prove() {}

    /// The list that follows from its description, where it has one.
    fn listing() -> Option<&'static Listing> {
        None
    }

    /// Reads a stored event (`ticket.opened` and its data), upcasting old shapes.
    fn decode(kind: &str, data: &[u8]) -> Result<Self::Event, Undecodable> {
        let name = kind.strip_prefix(Self::KIND).and_then(|rest| rest.strip_prefix('.')).unwrap_or(kind);
        let error = match Self::Event::decode(name, data) {
            Err(error) if error.code == "unknown_name" => error,
            decoded => return decoded,
        };
        let Ok(value) = serde_json::from_slice(data) else { return Err(error) };
        let mut current = (Cow::Borrowed(name), value);
        while let Some((name, value)) = Self::upcast(&current.0, &current.1) {
            match Self::Event::decode(name, value.to_string().as_bytes()) {
                Err(error) if error.code == "unknown_name" => current = (Cow::Borrowed(name), value),
                decoded => return decoded,
            }
        }
        Err(error)
    }

    /// Its commands, for documents.
    fn commands(generator: &mut SchemaGenerator) -> Vec<Variant> {
        Self::Command::variants(generator)
    }

    /// Its events, for documents.
    fn events(generator: &mut SchemaGenerator) -> Vec<Variant> {
        Self::Event::variants(generator)
    }
}

/// What `decide` is told besides state and command.
pub struct Ctx<'a> {
    /// The tenant whose log this is.
    pub tenant: Id,
    /// The record the command is for.
    pub id: Id,
    /// When it happened: the time of the command, or the time in the world that an import or a back-dated entry names.
    pub now: Time,
    /// Who asks.
    pub actor: &'a Actor,
    /// What whoever asks may do.
    pub authority: &'a Authority,
    /// What new ids are derived from: the command's id, so that a retry makes the same ones.
    pub seed: &'a str,
    /// What was loaded for [`Aggregate::needs`].
    pub facts: &'a Facts,
}

impl Ctx<'_> {
    /// A new id for something this command adds; the same `name` gives the same id however often it is retried.
    pub fn fresh(&self, name: &str) -> Id {
        Id::derived(u64::try_from(self.now.as_millisecond()).unwrap_or_default(), &[self.seed, name])
    }

    /// The state of another aggregate, in its initial state when it does not exist.
    pub fn fact<A: Aggregate>(&self, id: Id) -> Arc<A> {
        self.facts.get::<A>(id)
    }

    /// Refuses whoever lacks a permission.
    pub fn must(&self, permission: &str) -> Result<(), Rejection> {
        if self.authority.allows(permission) {
            return Ok(());
        }
        Err(DENIED.because(format!("This needs the permission {permission}.")))
    }

    /// Refuses whoever has less than this: nobody gives what he does not have, nor touches who has more.
    pub fn must_have(&self, other: &Authority) -> Result<(), Rejection> {
        self.authority.lacks(other).map_or(Ok(()), |permission| {
            let detail =
                format!("Nobody gives, nor changes what has, rights that he does not have: this needs {permission}.");
            Err(DENIED.because(detail))
        })
    }

    /// Refuses whoever would reach more in a colleague's name than in his own.
    pub fn must_reach_as(&self, other: &Authority) -> Result<(), Rejection> {
        self.authority.lacks_in_name_of(other).map_or(Ok(()), |permission| {
            let detail =
                format!("In a colleague's name this would reach what is the colleague's: it needs {permission}.");
            Err(DENIED.because(detail))
        })
    }

    /// Refuses whoever does this to a colleague's, and not to his own, without the permission for any (`comment.edit_any`
    /// for `comment.edit`). What nobody known owns is not one's own.
    pub fn must_own(&self, owner: Option<Id>, permission: &str) -> Result<(), Rejection> {
        if self.actor.kind == ActorKind::System || owner == Some(self.actor.principal()) {
            return Ok(());
        }
        self.must(&format!("{permission}_any"))
    }

    /// Whether what the command says comes from outside (another system, an import, a customer): odd addresses are then
    /// kept and marked, for whoever typed them cannot be asked.
    pub fn is_from_outside(&self) -> bool {
        use crate::ActorKind::{Customer, Integration, Visitor};
        self.facts.from_outside || matches!(self.actor.kind, Customer | Integration | Visitor)
    }
}

/// Another aggregate that a decision depends on.
#[derive(Clone)]
pub struct Need {
    /// Its kind.
    pub kind: &'static str,
    /// Its id.
    pub id: Id,
    /// Whether the append must fail when that stream moved meanwhile.
    pub guarded: bool,
    /// Folds its stored events.
    pub fold: Fold,
}

/// A name that a definition uses and that is called otherwise now; it still means the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deprecated {
    /// The place in the definition (JSON pointer).
    pub place: String,
    /// The name.
    pub name: String,
    /// What to use instead.
    pub instead: String,
}

/// A state whose type is known to its aggregate alone, and who stands in what relation to the record.
#[derive(Clone)]
pub struct AnyState {
    state: Arc<dyn Any + Send + Sync>,
    access: Arc<Access>,
}

impl AnyState {
    /// A state of nobody's.
    pub fn new<T: Any + Send + Sync>(state: T) -> AnyState {
        AnyState::of(state, Access::default())
    }

    /// A state with its relations.
    pub fn of<T: Any + Send + Sync>(state: T, access: Access) -> AnyState {
        AnyState { state: Arc::new(state), access: Arc::new(access) }
    }

    /// Who stands in what relation to the record.
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// The state, if it is of this type.
    pub fn downcast_ref<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.state.downcast_ref()
    }

    /// The state, which is the initial one if it is of another type, and the relations; copied only if others hold them too.
    pub(crate) fn taken<T: Any + Clone + Default + Send + Sync>(self) -> (T, Access) {
        let AnyState { state, access } = self;
        (state.downcast::<T>().map(Arc::unwrap_or_clone).unwrap_or_default(), Arc::unwrap_or_clone(access))
    }

    /// The same by itself.
    pub fn downcast<T: Any + Send + Sync>(self) -> Option<Arc<T>> {
        self.state.downcast().ok()
    }
}

/// A stored event: its type, its data, its metadata.
pub type Stored<'a> = (&'a str, &'a [u8], &'a [u8]);

/// Folds stored events onto a state of some aggregate, `None` being its initial one.
pub type Fold = fn(Option<AnyState>, &mut dyn Iterator<Item = Stored<'_>>) -> Result<AnyState, Undecodable>;

/// The [`Fold`] of aggregate `A`.
pub fn fold<A: Aggregate>(
    state: Option<AnyState>,
    events: &mut dyn Iterator<Item = Stored<'_>>,
) -> Result<AnyState, Undecodable> {
    let (mut state, mut access) = state.map(AnyState::taken::<A>).unwrap_or_default();
    for (kind, data, metadata) in events {
        let event = A::decode(kind, data)?;
        state.evolve(&event);
        access.told(A::relates(&event), metadata);
        if A::ATTRIBUTED
            && let Ok(metadata) = serde_json::from_slice::<Metadata>(metadata)
        {
            state.attribute(&event, &metadata.actor);
        }
    }
    Ok(AnyState::of(state, access))
}

impl Need {
    /// The state of `id`, as it is known now; a change of it meanwhile breaks no rule.
    pub fn of<A: Aggregate>(id: Id) -> Need {
        Need { kind: A::KIND, id, guarded: false, fold: fold::<A> }
    }

    /// The state of `id`, which must not change until the events are appended.
    pub fn guarded<A: Aggregate>(id: Id) -> Need {
        Need { guarded: true, ..Need::of::<A>(id) }
    }
}

/// The states of other aggregates that a decision depends on.
#[derive(Default)]
pub struct Facts {
    states: HashMap<(&'static str, Id), AnyState>,
    /// Whether what the command says comes from another system or an import.
    from_outside: bool,
}

impl Facts {
    /// None yet, for a command that says what another system told, or not.
    pub fn told(from_outside: bool) -> Facts {
        Facts { from_outside, ..Facts::default() }
    }

    /// The same with a record that comes into being with what is being decided.
    #[must_use]
    pub fn with<A: Aggregate>(&self, id: Id, state: A) -> Facts {
        let mut facts = Facts { states: self.states.clone(), from_outside: self.from_outside };
        facts.insert(A::KIND, id, AnyState::new(state));
        facts
    }

    /// Adds a loaded state.
    pub fn insert(&mut self, kind: &'static str, id: Id, state: AnyState) {
        self.states.insert((kind, id), state);
    }

    /// Whether that state has been loaded.
    pub fn has(&self, kind: &'static str, id: Id) -> bool {
        self.states.contains_key(&(kind, id))
    }

    /// A state by its kind's name, when it has been loaded.
    pub fn state<T: Any + Send + Sync>(&self, kind: &'static str, id: Id) -> Option<Arc<T>> {
        self.any(kind, id).cloned().and_then(AnyState::downcast)
    }

    /// The same of whatever type.
    pub fn any(&self, kind: &'static str, id: Id) -> Option<&AnyState> {
        self.states.get(&(kind, id))
    }

    fn get<A: Aggregate>(&self, id: Id) -> Arc<A> {
        debug_assert!(self.has(A::KIND, id), "{} {id} is not among the facts: name it in `needs`", A::KIND);
        self.state(A::KIND, id).unwrap_or_default()
    }
}

/// A set-wide name (an e-mail address, an external id) that only one record of a tenant may hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// What sort of name: `user.email`.
    pub scope: &'static str,
    /// The name.
    pub key: String,
    /// Taken or given back.
    pub take: bool,
    /// Unique over all tenants.
    pub global: bool,
    /// The refusal when another record holds it.
    pub taken: Rejection,
}

impl Claim {
    /// Takes a name; `taken` is the refusal when another record holds it.
    pub fn take(scope: &'static str, key: impl Into<String>, taken: Rejection) -> Claim {
        Claim { scope, key: key.into(), take: true, global: false, taken }
    }

    /// Gives a name back.
    pub fn release(scope: &'static str, key: impl Into<String>) -> Claim {
        Claim { take: false, ..Claim::take(scope, key, Rejection::conflict("taken", "")) }
    }

    /// Takes the names that are new in `after` and gives back those that are gone from `before`.
    pub fn moved(
        scope: &'static str,
        before: &BTreeSet<String>,
        after: &BTreeSet<String>,
        taken: &Rejection,
    ) -> Vec<Claim> {
        let released = before.difference(after).map(|key| Claim::release(scope, key));
        released.chain(after.difference(before).map(|key| Claim::take(scope, key, taken.clone()))).collect()
    }

    /// The same over all tenants.
    #[must_use]
    pub fn globally(self) -> Claim {
        Claim { global: true, ..self }
    }
}

/// An event for another stream, appended together with the one that caused it.
pub struct Echo {
    /// The kind of the other record.
    pub kind: &'static str,
    /// Its id.
    pub id: Id,
    /// Stored type.
    pub event_type: String,
    /// Stored data.
    pub data: Vec<u8>,
    /// The counter that numbers it, as [`Aggregate::counter`].
    pub counter: Option<&'static str>,
    /// Whose personal data it holds.
    pub subject: Option<Id>,
    /// The set-wide names that the other record takes or gives back with it.
    pub claims: Vec<Claim>,
    /// Folds it onto the other record's state.
    pub fold: Fold,
}

impl Echo {
    /// `event` in the stream of the record `id` of kind `A`.
    pub fn to<A: Aggregate>(id: Id, event: &A::Event) -> Echo {
        let (event_type, data) = A::encode(event);
        let (counter, claims) = (A::counter(event), Vec::new());
        Echo { kind: A::KIND, id, event_type, data, counter, subject: None, claims, fold: fold::<A> }
    }

    /// What a command that brings the record `id` of kind `A` into being means as part of another decision: the state after
    /// it, and all that is appended for it. Its [`Aggregate::needs`] must be among the facts.
    ///
    /// # Errors
    /// When the other record refuses.
    pub fn of_new<A: Aggregate>(id: Id, command: A::Command, ctx: &Ctx<'_>) -> Result<(A, Vec<Echo>), Rejection> {
        Echo::of_next(A::default(), id, command, ctx)
    }

    /// The same of a further command to a record that has come so far within the same decision.
    ///
    /// # Errors
    /// When the other record refuses.
    pub fn of_next<A: Aggregate>(
        mut state: A,
        id: Id,
        command: A::Command,
        ctx: &Ctx<'_>,
    ) -> Result<(A, Vec<Echo>), Rejection> {
        let ctx = Ctx { id, ..*ctx };
        let mut echoes = Vec::new();
        for event in state.decide(command, &ctx)? {
            let (subject, claims) = (state.subject(&event, &ctx), state.claims(&event, &ctx));
            echoes.push(Echo { subject, claims, ..Echo::to::<A>(id, &event) });
            echoes.extend(state.echoes(&event, &ctx));
            echoes.extend(files::echoes(A::KIND, state.files(&event), &ctx));
            state.evolve(&event);
        }
        Ok((state, echoes))
    }
}
