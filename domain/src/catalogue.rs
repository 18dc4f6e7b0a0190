//! Every aggregate, once: routes, JSON dispatch, golden tests and OpenAPI walk this list.

pub mod listed;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    Aggregate, Id, Need, Rejection,
    kernel::{
        access::Relation,
        aggregate::AnyState,
        any::{self, AnyCommand},
        custom::Custom,
        limits::{self, Limit},
        listing::Listing,
        named::{Undecodable, Variant},
        reference::{self, Place},
        snapshot,
        undo::{self, Marked, Obstacle},
    },
    org::role::OF_OTHERS,
};

/// Something that does the same for every aggregate.
pub trait Visitor {
    /// Does it for `A`.
    fn visit<A: Aggregate>(&mut self);
}

/// Shows every aggregate to a visitor.
pub fn visit_all(visitor: &mut impl Visitor) {
    crate::org::kinds(visitor);
    crate::crm::kinds(visitor);
    crate::desk::kinds(visitor);
    crate::chat::kinds(visitor);
    crate::sales::kinds(visitor);
    crate::work::kinds(visitor);
    crate::data::kinds(visitor);
    crate::insight::kinds(visitor);
}

/// What is known of a kind of record by its name alone: for whoever reads the log without knowing its types.
pub struct Kind {
    /// Its name, such as `ticket`.
    pub name: &'static str,
    /// The name of its collection in paths, such as `tickets`.
    pub plural: &'static str,
    /// The command that brings a new one into being.
    pub create: &'static str,
    /// The commands that others may issue.
    pub commands: BTreeSet<String>,
    /// Its events with the JSON schema of their data.
    pub events: BTreeMap<String, Schema>,
    /// The JSON schema of what rules see of it; `None` when they see nothing.
    pub document: Option<Schema>,
    /// Where its commands name other records, by command; those that name none are left out.
    pub references: BTreeMap<String, Vec<Place>>,
    /// What the values of its commands may be at most, by command.
    pub limits: BTreeMap<String, Vec<Limit>>,
    /// The definitions that its schemas refer to.
    pub definitions: Map<String, Value>,
    custom: bool,
    /// Events that are shown to few: [`Aggregate::CONFIDENTIAL`].
    pub confidential: &'static [&'static str],
    /// Members of its events that no answer shows: [`Aggregate::SECRETS`].
    pub secrets: &'static [&'static str],
    /// Why all its records are everybody's to see: [`Aggregate::OPEN`].
    pub open: Option<&'static str>,
    /// Whether its records may be one user's alone: `read` stands among [`Aggregate::OWN`].
    pub private: bool,
    relates: fn(&str, &[u8]) -> Result<Vec<Relation>, Undecodable>,
    /// The list that follows from its description, where it has one.
    pub listing: Option<&'static Listing>,
    id_of: fn(Id, &str) -> Option<Id>,
    need: fn(Id) -> Need,
    command: fn(&str, Value) -> Result<AnyCommand, Undecodable>,
    see: fn(&AnyState) -> Option<Value>,
    part: fn(&AnyState, Id, Id) -> Option<Map<String, Value>>,
    about: fn(Id, Id) -> Option<&'static str>,
    is_live: fn(&AnyState) -> bool,
    copy: Option<fn(&AnyState) -> Option<Value>>,
    merged_into: fn(&AnyState) -> Option<Id>,
    values: fn(&AnyState) -> Option<&Custom>,
    refusals: fn() -> Vec<Rejection>,
    snapshot: fn(&AnyState) -> Option<Vec<u8>>,
    restore: fn(&[u8]) -> Option<AnyState>,
    undo: Undo,
}

/// [`undo::undo`] of one kind.
type Undo = fn(&mut dyn Iterator<Item = Marked<'_>>) -> Result<Result<Vec<AnyCommand>, Obstacle>, Undecodable>;

impl Kind {
    /// The id that a path segment means: [`Aggregate::id_of`].
    pub fn id_of(&self, tenant: Id, segment: &str) -> Option<Id> {
        (self.id_of)(tenant, segment)
    }

    /// The state of a record of this kind, as a need.
    pub fn need(&self, id: Id) -> Need {
        (self.need)(id)
    }

    /// The command that is called `name`, whoever may issue it.
    ///
    /// # Errors
    /// When there is no such command, or its body does not fit.
    pub fn command(&self, name: &str, body: Value) -> Result<AnyCommand, Undecodable> {
        (self.command)(name, body)
    }

    /// What a part of a stream adds to a command's body: [`Aggregate::part`].
    pub fn part(&self, state: &AnyState, whole: Id, part: Id) -> Option<Map<String, Value>> {
        (self.part)(state, whole, part)
    }

    /// The kind of record that a record of this kind is about: [`Aggregate::about`].
    pub fn about(&self, tenant: Id, id: Id) -> Option<&'static str> {
        (self.about)(tenant, id)
    }

    /// What follows from a stored event for who stands in what relation to its record: [`Aggregate::relates`].
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn relates(&self, event_type: &str, data: &[u8]) -> Result<Vec<Relation>, Undecodable> {
        (self.relates)(event_type, data)
    }

    /// What rules see of a record in this state: [`Aggregate::document`].
    pub fn see(&self, state: &AnyState) -> Option<Value> {
        (self.see)(state)
    }

    /// Whether others may refer to a record in this state: [`Aggregate::is_live`].
    pub fn is_live(&self, state: &AnyState) -> bool {
        (self.is_live)(state)
    }

    /// Whether its records can be copied.
    pub fn copies(&self) -> bool {
        self.copy.is_some()
    }

    /// The body that creates another record like one in this state: [`Aggregate::copy`].
    pub fn copy(&self, state: &AnyState) -> Option<Value> {
        self.copy.and_then(|copy| copy(state))
    }

    /// The record that one in this state is merged into: [`Aggregate::merged_into`].
    pub fn merged_into(&self, state: &AnyState) -> Option<Id> {
        (self.merged_into)(state)
    }

    /// Whether its records take custom fields.
    pub fn takes_custom_fields(&self) -> bool {
        self.custom
    }

    /// The values of a record's custom fields: [`Aggregate::custom`].
    pub fn custom<'a>(&self, state: &'a AnyState) -> Option<&'a Custom> {
        (self.values)(state)
    }

    /// Every refusal it knows: [`Aggregate::refusals`].
    pub fn refusals(&self) -> Vec<Rejection> {
        (self.refusals)()
    }

    /// The stream of a record.
    pub fn stream(&self, id: Id) -> String {
        format!("{}-{id}", self.name)
    }

    /// A state as bytes: [`snapshot::take`].
    pub fn snapshot(&self, state: &AnyState) -> Option<Vec<u8>> {
        (self.snapshot)(state)
    }

    /// The commands that take back what the marked events of a record's stream did, or why nothing does: [`undo::undo`].
    ///
    /// # Errors
    /// When an event of the stream cannot be understood.
    pub fn undo(
        &self,
        stream: &mut dyn Iterator<Item = Marked<'_>>,
    ) -> Result<Result<Vec<AnyCommand>, Obstacle>, Undecodable> {
        (self.undo)(stream)
    }

    /// The state that such bytes hold: [`snapshot::restore`].
    pub fn restore(&self, bytes: &[u8]) -> Option<AnyState> {
        (self.restore)(bytes)
    }
}

struct Kinds(BTreeMap<&'static str, Kind>);

impl Visitor for Kinds {
    fn visit<A: Aggregate>(&mut self) {
        let mut generator = SchemaGenerator::default();
        let variants = A::commands(&mut generator);
        let events = A::events(&mut generator).into_iter().map(|event| (event.name, event.schema)).collect();
        let document = A::document_schema(&mut generator);
        let definitions = generator.take_definitions(true);
        let places = |command: &Variant| reference::places(command.schema.as_value(), &definitions);
        let references = variants.iter().map(|command| (command.name.clone(), places(command)));
        let references = references.filter(|(_, places)| !places.is_empty()).collect();
        let bounds = |command: &Variant| limits::limits(command.schema.as_value(), &definitions);
        let limits = variants.iter().map(|command| (command.name.clone(), bounds(command))).collect();
        let commands = variants.into_iter().map(|command| command.name);
        let commands = commands.filter(|name| A::offers(name)).collect();
        let kind = Kind {
            name: A::KIND,
            plural: A::PLURAL,
            create: A::CREATE,
            commands,
            events,
            document,
            references,
            limits,
            definitions,
            custom: A::CUSTOM,
            confidential: A::CONFIDENTIAL,
            secrets: A::SECRETS,
            open: A::OPEN,
            private: A::OWN.contains(&"read"),
            relates: |event_type, data| A::decode(event_type, data).map(|event| A::relates(&event)),
            listing: A::listing(),
            id_of: A::id_of,
            need: Need::of::<A>,
            command: any::decode::<A>,
            see: |state| state.downcast_ref::<A>().and_then(A::document),
            part: |state, whole, part| state.downcast_ref::<A>().and_then(|state| state.part(whole, part)),
            about: A::about,
            copy: A::COPIES.then_some(|state| state.downcast_ref::<A>().and_then(A::copy)),
            is_live: |state| state.downcast_ref::<A>().is_some_and(A::is_live),
            merged_into: |state| state.downcast_ref::<A>().and_then(A::merged_into),
            values: |state| state.downcast_ref::<A>().and_then(A::custom),
            refusals: A::refusals,
            snapshot: |state| snapshot::take(state.downcast_ref::<A>()?, state.access()),
            undo: undo::undo::<A>,
            restore: |bytes| snapshot::restore::<A>(bytes).map(|(state, access)| AnyState::of(state, access)),
        };
        self.0.insert(A::KIND, kind);
    }
}

static KINDS: LazyLock<Kinds> = LazyLock::new(|| {
    let mut kinds = Kinds(BTreeMap::new());
    visit_all(&mut kinds);
    kinds
});

/// A kind by its name.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.0.get(name)
}

/// Every kind, by name.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    KINDS.0.values()
}

/// The permissions to read kinds whose records may be one user's alone, each with that to read those of others.
pub fn private_reads() -> &'static [(String, String)] {
    static READS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
        let reads = |kind: &Kind| (format!("{}.read", kind.name), format!("{}.read{OF_OTHERS}", kind.name));
        kinds().filter(|kind| kind.private).map(reads).collect()
    });
    &READS
}

/// Whether there is such a kind of record.
pub fn has(name: &str) -> bool {
    kind(name).is_some()
}

/// Whether there is such a type of event: `ticket.opened`.
pub fn has_event(event_type: &str) -> bool {
    let known = |(name, event): (&str, &str)| kind(name).is_some_and(|kind| kind.events.contains_key(event));
    event_type.split_once('.').is_some_and(known)
}

/// What of an event's data may be answered: all of it, or without what is secret of its type.
pub fn told<'a>(event_type: &str, data: &'a RawValue) -> Cow<'a, RawValue> {
    let of = event_type.split_once('.').and_then(|(name, _)| kind(name)).map_or(&[][..], |kind| kind.secrets);
    if of.is_empty() {
        return Cow::Borrowed(data);
    }
    let mut told: Map<String, Value> = serde_json::from_str(data.get()).unwrap_or_default();
    told.retain(|member, _| !of.contains(&member.as_str()));
    serde_json::value::to_raw_value(&told).map_or(Cow::Borrowed(data), Cow::Owned)
}

/// Whether a type of event is shown to few: [`Aggregate::CONFIDENTIAL`].
pub fn is_confidential(event_type: &str) -> bool {
    let among = |(name, event): (&str, &str)| kind(name).is_some_and(|kind| kind.confidential.contains(&event));
    event_type.split_once('.').is_some_and(among)
}

/// Every type of event: `ticket.opened` and so on.
pub fn event_types() -> impl Iterator<Item = String> {
    kinds().flat_map(|kind| kind.events.keys().map(|event| format!("{}.{event}", kind.name)))
}

/// Whether records of this kind take custom fields.
pub fn takes_custom_fields(name: &str) -> bool {
    kind(name).is_some_and(Kind::takes_custom_fields)
}

/// Permissions that belong to no single kind of record.
const SYSTEM_PERMISSIONS: &[&str] = &[
    "event.read",
    "event.backdate",
    "api_key.issue",
    "user.act_for",
    "user.issue_link",
    "tenant.set_identity_provider",
    "import.run",
    "bulk.run",
    "export.run",
    "archive.export",
    "tenant.operate",
    "search.read",
    "channel.receive",
    "channel.rotate_credentials",
    "upload.create",
    "intake.orders",
    "intake.leads",
    "intake.calls",
    "webhook.subscribe",
    "webhook.change",
    "webhook.rotate_secret",
    "webhook.enable",
    "webhook.test",
    "webhook.replay",
    "webhook.redeliver",
    crate::chat::conversation::REPLY_ANY,
];

/// Those of them that no scope can narrow: they are about no records.
pub const UNSCOPED: &[&str] = &[
    "event.read",
    "event.backdate",
    "user.act_for",
    "import.run",
    "bulk.run",
    "export.run",
    "archive.export",
    "tenant.operate",
    "channel.receive",
    "channel.rotate_credentials",
    "intake.orders",
    "intake.leads",
    "intake.calls",
    crate::chat::conversation::REPLY_ANY,
];

/// Everything that can be permitted: `{kind}.{command}` for every command that others than Deskfold itself issue,
/// `{kind}.{command}_any` for those of [`Aggregate::OWN`], `{kind}.read` for every kind, and what belongs to no single kind.
pub fn permissions() -> &'static BTreeSet<String> {
    struct Permissions(BTreeSet<String>);
    impl Visitor for Permissions {
        fn visit<A: Aggregate>(&mut self) {
            let commands = A::commands(&mut SchemaGenerator::default()).into_iter().map(|command| command.name);
            let commands = commands.filter(|name| A::offers(name));
            self.0.extend(commands.map(|name| format!("{}.{name}", A::KIND)));
            self.0.insert(format!("{}.read", A::KIND));
            self.0.extend(A::OWN.iter().map(|name| format!("{}.{name}{OF_OTHERS}", A::KIND)));
        }
    }
    static ALL: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let mut all = Permissions(SYSTEM_PERMISSIONS.iter().map(|name| (*name).to_owned()).collect());
        visit_all(&mut all);
        all.0
    });
    &ALL
}

#[cfg(test)]
pub(crate) mod tests;
