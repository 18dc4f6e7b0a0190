//! Descriptive kinds: one generic aggregate that creates, edits, stages, owns, shares, tags and archives a record.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    marker::PhantomData,
};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{
    Actor, ActorKind, Aggregate, Claim, Ctx, Decision, Faults, FieldError, Id, Need, Rejection, Time, all,
    kernel::{
        access::{EVERYBODY, Relation},
        custom::{self, Changes, Custom, CustomChanges},
        files::{self, Files},
        listing::Listing,
        merging,
        named::{self, Either, Named},
        phone::{self, Dialled},
        reference::PATCH,
        text::{self, trimmed},
    },
    org::{authority::DENIED, user::User},
};

pub use super::listing::Row;

/// What one descriptive kind adds to [`Record`].
pub trait Spec: Clone + Default + Send + Sync + 'static {
    /// The category of its streams: `contact`.
    const KIND: &'static str;
    /// The name of its collection in paths: `contacts`.
    const PLURAL: &'static str;
    /// What such a record is, in a sentence.
    const ABOUT: &'static str;
    /// The read model that lists its records, and its version: raised whenever a column is added or the fold changes.
    const LIST: (&'static str, i32) = (Self::PLURAL, 1);
    /// The column by which the list is ordered, `-` before it where that goes down.
    const ORDER: &'static str = "name";
    /// Whether its list tells more than follows from this description: a read model of its own then makes it.
    const RICH: bool = false;
    /// Its stages, the first being where a new one starts; empty when it has none.
    const STAGES: &'static [&'static str] = &[];
    /// Whether the record describes a person, whose personal data its events then hold.
    const PERSON: bool = false;
    /// Whether a phone number is among the attributes: `phone`, and beside it what it means.
    const PHONE: bool = false;
    /// Whether its attributes are what is worth copying; what its own events made of it stays behind.
    const COPIES: bool = true;
    /// Attributes that no two records have alike: a copy is made without them.
    const UNIQUE: &'static [&'static str] = &[];
    /// Its plain attributes. Mark them `#[serde(deny_unknown_fields)]`, and every optional one `#[serde(default)]`.
    type Fields: Clone + std::fmt::Debug + PartialEq + Serialize + DeserializeOwned + JsonSchema + Send + Sync;
    /// Its own commands; [`named::Never`] when it has none.
    type Command: Named + Clone + Send + Sync;
    /// Its own events; [`named::Never`] when it has none.
    type Event: Named + Clone + std::fmt::Debug + PartialEq + Send + Sync;
    /// What its list shows besides attributes, as its own events have made it; [`Nothing`](super::listing::Nothing) where
    /// there is nothing.
    type Shown: Clone + std::fmt::Debug + Default + PartialEq + Serialize + DeserializeOwned + JsonSchema + Send + Sync;
    /// What its own commands must remember besides the record; `()` when nothing.
    type State: Clone + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync;

    /// Takes one of its own events into its row in the list.
    fn shows(_row: &mut Row<Self>, _event: &Self::Event, _at: Time) {}

    /// Takes any event into its row, for kinds whose records are merged.
    fn take(row: &mut Row<Self>, _id: Id, event: &Event<Self>, at: Time) {
        match event {
            Either::Common(event) => row.happened(event),
            Either::Own(event) => Self::shows(row, event, at),
        }
    }

    /// As [`Aggregate::OWN`].
    const OWN: &'static [&'static str] = &[];
    /// As [`Aggregate::INTERNAL`].
    const INTERNAL: &'static [&'static str] = &[];
    /// As [`Aggregate::ATTRIBUTED`].
    const ATTRIBUTED: bool = false;

    /// Whether its records refer to uploads: [`Spec::uploads`].
    const FILES: bool = false;

    /// The uploads that a record refers to.
    fn uploads(_record: &Record<Self>) -> BTreeSet<Id> {
        BTreeSet::new()
    }

    /// As [`Aggregate::OPEN`].
    const OPEN: Option<&'static str> = None;

    /// As [`Aggregate::relates`], for its own events.
    fn relates(_event: &Self::Event) -> Vec<Relation> {
        Vec::new()
    }

    /// As [`Aggregate::attribute`], for its own events.
    fn attribute(_record: &mut Record<Self>, _event: &Self::Event, _actor: &Actor) {}

    /// The attribute that names the one user whose it is, where a record may be one user's alone: nobody else sees it without the
    /// permission `{kind}.read_any`, nor changes it without `{kind}.edit_any`, both of which [`Spec::OWN`] then has.
    const PRIVATE: Option<&'static str> = None;

    /// Fills in attributes of a new one that follow from others.
    fn complete(_fields: &mut Self::Fields) {}

    /// Refuses attributes that make no sense.
    fn check(_fields: &Self::Fields) -> Result<(), Rejection> {
        Ok(())
    }

    /// As [`Spec::check`], with the records that [`Spec::needs`] names when one is created or edited.
    fn fits(_fields: &Self::Fields, _ctx: &Ctx<'_>) -> Result<(), Rejection> {
        Ok(())
    }

    /// Whose personal data its events hold, when it describes no person itself.
    fn person(_fields: &Self::Fields) -> Option<Id> {
        None
    }

    /// The phone number as it was typed.
    fn phone(_fields: &Self::Fields) -> Option<&str> {
        None
    }

    /// Sets what its number means: the attributes `phone_e164` and `phone_extension`.
    fn dial(_fields: &mut Self::Fields, _dialled: Dialled) {}

    /// The events that an edit means besides `details_changed`: takes the changes out that have a name of their own.
    /// [`Spec::evolve`] must set the attribute then.
    fn named(_before: &Self::Fields, _after: &Self::Fields, _changes: &mut Changes) -> Vec<Self::Event> {
        Vec::new()
    }

    /// Why the record moves to no other stage any more, when it has come to its end but is still worked on.
    fn settled(_record: &Record<Self>) -> Option<Rejection> {
        None
    }

    /// Adds to [`Aggregate::document`] what its own events say.
    fn document(_record: &Record<Self>, _document: &mut Map<String, Value>) {}

    /// JSON schemas of what [`Spec::document`] adds.
    fn document_schemas() -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// Why the record takes none of the common commands any more, when it has come to an end of its own kind (merged into
    /// another, say). Its own commands judge for themselves.
    fn ended(_record: &Record<Self>) -> Option<Rejection> {
        None
    }

    /// What ends when the record is put away, so that nobody outside goes on seeing it.
    fn put_away(_record: &Record<Self>) -> Vec<Self::Event> {
        Vec::new()
    }

    /// Whether one of its own commands is taken by an archived record too: what only ends something.
    fn takes_archived(_command: &Self::Command) -> bool {
        false
    }

    /// As [`Aggregate::merged_into`].
    fn merged_into(_record: &Record<Self>) -> Option<Id> {
        None
    }

    /// As [`Aggregate::passes_on`], for its own commands.
    fn passes_on(_record: &Record<Self>, _command: &Self::Command) -> Option<Self::Command> {
        None
    }

    /// As [`Aggregate::passed_on`], for its own commands.
    fn passed_on(_record: &Record<Self>, _command: &Self::Command, _into: Id, _ctx: &Ctx<'_>) -> Option<Self::Event> {
        None
    }

    /// As [`Aggregate::came_via`], for its own events.
    fn came_via(event: Self::Event, _from: Id) -> Self::Event {
        event
    }

    /// As [`Aggregate::decide`], for its own commands on an existing record that is not archived.
    fn decide(_record: &Record<Self>, _command: Self::Command, _ctx: &Ctx<'_>) -> Decision<Self::Event> {
        Ok(Vec::new())
    }

    /// As [`Aggregate::evolve`], for its own events.
    fn evolve(_record: &mut Record<Self>, _event: &Self::Event) {}

    /// As [`Aggregate::undo`], for its own events.
    fn undo(_record: &Record<Self>, _event: &Self::Event) -> Option<Vec<Command<Self>>> {
        None
    }

    /// As [`Aggregate::needs`], for any command.
    fn needs(_record: &Record<Self>, _command: &Command<Self>, _ctx: &Ctx<'_>) -> Vec<Need> {
        Vec::new()
    }

    /// As [`Aggregate::claims`], for any event.
    fn claims(_record: &Record<Self>, _event: &Event<Self>, _ctx: &Ctx<'_>) -> Vec<Claim> {
        Vec::new()
    }

    /// As [`Aggregate::echoes`], for its own events.
    fn echoes(_record: &Record<Self>, _event: &Self::Event, _ctx: &Ctx<'_>) -> Vec<crate::Echo> {
        Vec::new()
    }

    /// The refusals that it adds.
    fn refusals() -> Vec<Rejection> {
        Vec::new()
    }

    /// Example attributes, and an example of each of its own commands.
    fn examples() -> (Self::Fields, Vec<Self::Command>);
}

/// Every command of a descriptive kind.
pub type Command<S> = Either<Common<<S as Spec>::Fields>, <S as Spec>::Command>;

/// Every event of a descriptive kind.
pub type Event<S> = Either<Happened<<S as Spec>::Fields>, <S as Spec>::Event>;

/// How much a colleague with whom a record is shared may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// See it.
    Read,
    /// Change it too.
    Write,
}

/// A new record: its attributes, flat, and beside them what every record may start with.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct New<F> {
    /// Its attributes.
    #[serde(flatten)]
    pub fields: F,
    /// Custom fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom: Custom,
    /// The user who owns it: by default the colleague who creates it, or the one whose alone it is; nobody when null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "colleague"))]
    pub owner: Option<Option<Id>>,
    /// Its stage; the first one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub stage: Option<String>,
    /// Tags.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// The record it is a copy of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "same"))]
    pub copied_from: Option<Id>,
}

// By hand, since serde cannot both flatten and refuse unknown fields.
impl<'de, F: DeserializeOwned> Deserialize<'de> for New<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Rest {
            custom: Custom,
            #[serde(deserialize_with = "said")]
            owner: Option<Option<Id>>,
            stage: Option<String>,
            tags: BTreeSet<String>,
            copied_from: Option<Id>,
        }
        let mut fields = Map::deserialize(deserializer)?;
        let mut rest = Map::new();
        for key in ["custom", "owner", "stage", "tags", "copied_from"] {
            rest.extend(fields.remove(key).map(|value| (key.to_owned(), value)));
        }
        let rest: Rest = named::part(Value::Object(rest))?;
        Ok(New {
            fields: named::part(Value::Object(fields))?,
            custom: rest.custom,
            owner: rest.owner,
            stage: rest.stage,
            tags: rest.tags,
            copied_from: rest.copied_from,
        })
    }
}

/// What is said, be it null: what is left out is `None`.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The JSON schema of a merge patch of `F`: each attribute may be left out, and null clears.
pub struct Patch<F>(PhantomData<F>);

/// Attributes with custom fields beside them.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
pub struct WithCustom<F> {
    #[schemars(flatten)]
    fields: F,
    /// Custom fields; null clears one.
    custom: CustomChanges,
}

impl<F: JsonSchema> JsonSchema for Patch<F> {
    fn schema_name() -> Cow<'static, str> {
        format!("PatchOf{}", F::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = F::json_schema(generator);
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        let nullable = |schema: &mut Value| match &schema["type"] {
            Value::String(name) if schema.get("enum").is_none() => schema["type"] = json!([name, "null"]),
            Value::Array(_) => {}
            _ => match schema.as_object_mut().and_then(|members| members.remove("$ref")) {
                // What is said of a reference stays beside the choice.
                Some(reference) => schema["anyOf"] = json!([{ "$ref": reference }, { "type": "null" }]),
                None => *schema = json!({ "anyOf": [schema, { "type": "null" }] }),
            },
        };
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (name, schema) in properties.into_iter().flatten() {
            let default = schema.as_object_mut().and_then(|members| members.remove("default"));
            // Without null an attribute falls back to its default, which clears it only if that is empty.
            let has_value = default.is_some_and(|default| !is_blank(&default));
            if !has_value && !required.iter().any(|required| required == name) {
                nullable(schema);
            }
        }
        ["required", "description", "unevaluatedProperties"].into_iter().for_each(|key| drop(schema.remove(key)));
        schema.insert("additionalProperties".into(), false.into());
        schema.insert(PATCH.into(), true.into());
        schema
    }
}

/// Commands that every descriptive kind has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields, bound(deserialize = "F: DeserializeOwned"))]
pub enum Common<F> {
    /// Creates the record.
    Create(New<F>),
    /// Changes attributes by JSON merge patch (RFC 7396): what is named changes, null clears. `custom` holds custom
    /// fields. Only real changes are recorded.
    Edit(#[schemars(with = "Patch<WithCustom<F>>")] Map<String, Value>),
    /// Moves it to another stage.
    MoveStage {
        /// The stage to move to.
        stage: String,
    },
    /// Gives it to a user, or to nobody.
    ChangeOwner {
        /// The new owner; null for nobody.
        #[schemars(extend("x-reference" = "colleague"))]
        owner: Option<Id>,
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Shares it with a user or team.
    Share {
        /// With whom.
        #[schemars(extend("x-reference" = "user_or_team"))]
        grantee: Id,
        /// How far.
        level: Level,
    },
    /// Stops sharing it.
    Unshare {
        /// With whom no longer.
        #[schemars(extend("x-held-reference" = "user_or_team"))]
        grantee: Id,
    },
    /// Adds a tag.
    Tag {
        /// The tag.
        tag: String,
    },
    /// Removes a tag.
    Untag {
        /// The tag.
        tag: String,
    },
    /// Puts it away: it leaves the lists and takes no more commands until it is restored.
    Archive {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Brings an archived one back.
    Restore,
}

/// Events that every descriptive kind has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", bound(deserialize = "F: DeserializeOwned"))]
pub enum Happened<F> {
    /// It came into being.
    Created(New<F>),
    /// Attributes changed.
    DetailsChanged {
        /// Each with its old and new value.
        changes: Changes,
    },
    /// Custom fields changed.
    CustomChanged {
        /// Each with its old and new value.
        changes: Changes,
    },
    /// It moved to another stage.
    StageChanged {
        /// Before.
        #[schemars(extend("format" = "word"))]
        from: String,
        /// After.
        #[schemars(extend("format" = "word"))]
        to: String,
    },
    /// It has another owner.
    OwnerChanged {
        /// Before.
        from: Option<Id>,
        /// After.
        to: Option<Id>,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It is shared with somebody.
    Shared {
        /// With whom.
        grantee: Id,
        /// How far.
        level: Level,
    },
    /// It is no longer shared with somebody.
    Unshared {
        /// With whom.
        grantee: Id,
    },
    /// A tag was added.
    Tagged {
        /// The tag.
        tag: String,
    },
    /// A tag was removed.
    Untagged {
        /// The tag.
        tag: String,
    },
    /// It was put away.
    Archived {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It was brought back.
    Restored,
}

/// A record of a descriptive kind.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Record<S: Spec> {
    /// Its attributes, once it exists.
    pub fields: Option<S::Fields>,
    /// Its custom fields.
    pub custom: Custom,
    /// Its stage; empty when the kind has none.
    pub stage: String,
    /// Its owner.
    pub owner: Option<Id>,
    /// Whether it is put away.
    pub archived: bool,
    /// What its own commands remember.
    pub state: S::State,
    tags: BTreeSet<String>,
    /// The tags that records merged into it brought along, by record.
    brought_tags: BTreeMap<Id, BTreeSet<String>>,
    shared: BTreeMap<Id, Level>,
}

// Derived, it would ask `S` itself to be comparable.
impl<S: Spec> PartialEq for Record<S> {
    fn eq(&self, other: &Self) -> bool {
        let Record { fields, custom, stage, owner, archived, state, tags, brought_tags, shared } = self;
        (fields, custom, stage, owner, archived)
            == (&other.fields, &other.custom, &other.stage, &other.owner, &other.archived)
            && (state, tags, brought_tags, shared) == (&other.state, &other.tags, &other.brought_tags, &other.shared)
    }
}

impl<S: Spec> Default for Record<S> {
    fn default() -> Self {
        Record {
            fields: None,
            custom: Custom::new(),
            stage: S::STAGES.first().copied().unwrap_or_default().to_owned(),
            owner: None,
            archived: false,
            state: S::State::default(),
            tags: BTreeSet::new(),
            brought_tags: BTreeMap::new(),
            shared: BTreeMap::new(),
        }
    }
}

/// The attributes that Deskfold works out from a phone number.
pub const WORKED_OUT: &[&str] = &["phone_e164", "phone_extension"];

const UNKNOWN: Rejection = Rejection::missing("unknown", "There is no such record.");
const EXISTS: Rejection = Rejection::conflict("exists", "A record with this id exists already.");
const ARCHIVED: Rejection = Rejection::conflict("archived", "The record is archived; restore it first.");
/// A stage that the kind does not have.
pub const STAGE_UNKNOWN: Rejection = Rejection::invalid("stage_unknown", "There is no such stage.");
/// A patch that does not fit the attributes.
pub const FIELD_INVALID: Rejection = Rejection::invalid("field_invalid", "A field does not fit.");
/// A tag that is empty or too long.
pub const TAG_INVALID: Rejection = Rejection::invalid("tag_invalid", "A tag has 1 to 64 characters.");

impl<S: Spec> Record<S> {
    /// The refusal when there is no such record.
    pub fn unknown() -> Rejection {
        UNKNOWN.of(S::KIND).because(format!("There is no such {}.", S::KIND.replace('_', " ")))
    }

    /// The refusal when the id is taken.
    pub fn exists() -> Rejection {
        EXISTS.of(S::KIND)
    }

    /// The refusal when it is put away.
    pub fn put_away() -> Rejection {
        ARCHIVED.of(S::KIND)
    }

    /// Its tags, and those of the records merged into it.
    pub fn tags(&self) -> BTreeSet<String> {
        self.tags.iter().chain(self.brought_tags.values().flatten()).cloned().collect()
    }

    /// Its own tags and those that others brought along, by the record whose they are: what it brings to another.
    pub(crate) fn brings_tags(&self, here: Id) -> BTreeMap<Id, BTreeSet<String>> {
        let own = std::iter::once((here, self.tags.clone()));
        self.brought_tags.clone().into_iter().chain(own).collect()
    }

    /// Shows the tags of records merged into it.
    pub(crate) fn take_tags(&mut self, brought: impl IntoIterator<Item = (Id, BTreeSet<String>)>) {
        self.brought_tags.extend(brought);
    }

    /// Shows them no longer.
    pub(crate) fn give_tags_back(&mut self, parts: &BTreeSet<Id>) {
        self.brought_tags.retain(|record, _| !parts.contains(record));
    }

    /// Why it takes no commands any more, naming the record that goes on for it.
    pub(crate) fn ended(&self, ctx: &Ctx<'_>) -> Option<Rejection> {
        let ended = S::ended(self)?;
        let Some(into) = S::merged_into(self) else { return Some(ended) };
        let into = merging::survivor::<Self>(into, ctx);
        Some(ended.because(format!("The {} is merged into {into}; use that one.", S::KIND.replace('_', " "))))
    }

    fn create(&self, mut new: New<S::Fields>, ctx: &Ctx<'_>) -> Decision<Happened<S::Fields>> {
        let dialled = Dialled::of(S::phone(&new.fields), "/phone", ctx);
        S::dial(&mut new.fields, dialled.clone().unwrap_or_default());
        S::complete(&mut new.fields);
        // Said to be nobody's it is nobody's.
        let owner = new.owner.unwrap_or_else(|| private_to::<S>(&new.fields).or_else(|| default_owner(ctx)));
        new.owner = owner.map(Some);
        if let Some(fields) = &self.fields {
            return if *fields == new.fields { Ok(vec![]) } else { Err(Self::exists()) };
        }
        all([
            S::check(&new.fields),
            S::fits(&new.fields, ctx),
            dialled.map(drop),
            custom::check_new(S::KIND, &new.custom, ctx),
            new.stage.as_deref().map_or(Ok(()), stage_of::<S>),
            all(new.tags.iter().map(|tag| check_tag(tag, "/tags"))),
        ])?;
        let custom = new.custom.into_iter().filter(|(_, value)| !value.is_null()).collect();
        Ok(vec![Happened::Created(New { custom, ..new })])
    }

    fn edit(&self, fields: &S::Fields, mut patch: Map<String, Value>, ctx: &Ctx<'_>) -> Decision<Event<S>> {
        let custom = patch.remove("custom");
        // Deskfold's own words about the number: only the number changes them.
        if S::PHONE {
            WORKED_OUT.iter().for_each(|key| drop(patch.remove(*key)));
        }
        let mut faults = Faults::default();
        let (mut edited, mut changes) = patched(fields, patch, &mut faults);
        faults.check(judged(S::check(&edited), S::check(fields), &changes));
        faults.check(judged(S::fits(&edited, ctx), S::fits(fields, ctx), &changes));
        if S::phone(&edited) != S::phone(fields) {
            let dialled = faults.check(Dialled::of(S::phone(&edited), "/phone", ctx)).unwrap_or_default();
            S::dial(&mut edited, dialled);
            changes = difference(fields, &edited);
        }
        let custom = custom.and_then(|patch| faults.check(patched_custom(S::KIND, &self.custom, patch, ctx)));
        faults.done()?;
        let mut events: Vec<_> = S::named(fields, &edited, &mut changes).into_iter().map(Either::Own).collect();
        if !changes.is_empty() {
            events.push(Either::Common(Happened::DetailsChanged { changes }));
        }
        if let Some(changes) = custom.filter(|changes| !changes.is_empty()) {
            events.push(Either::Common(Happened::CustomChanged { changes }));
        }
        Ok(events)
    }

    /// Refuses to change what is another user's alone, or to make it so.
    fn check_private(&self, command: &Common<S::Fields>, ctx: &Ctx<'_>) -> Result<(), Rejection> {
        let after = match (command, &self.fields) {
            (Common::Create(new), None) => private_to::<S>(&new.fields),
            (Common::Edit(patch), Some(fields)) => {
                let mut patch = patch.clone();
                patch.remove("custom");
                private_to::<S>(&patched(fields, patch, &mut Faults::default()).0)
            }
            _ => None,
        };
        let before = self.fields.as_ref().and_then(private_to::<S>);
        let mut owners = before.into_iter().chain(after);
        owners.try_for_each(|owner| ctx.must_own(Some(owner), &format!("{}.edit", S::KIND)))
    }

    fn decide_common(&self, command: Common<S::Fields>, ctx: &Ctx<'_>) -> Decision<Event<S>> {
        use Common::*;
        let fields = match (&self.fields, &command) {
            (_, Create(_)) => None,
            (None, _) => return Err(Self::unknown()),
            // Who it is shared with goes on seeing it, put away or merged: that can always be ended.
            (Some(_), Archive { .. } | Restore | Unshare { .. }) => None,
            (Some(_), _) if self.archived => return Err(Self::put_away()),
            (Some(fields), _) => Some(fields),
        };
        if let (Some(ended), false) = (self.ended(ctx), matches!(command, Create(_) | Unshare { .. })) {
            return Err(ended);
        }
        self.check_private(&command, ctx)?;
        let events = match (command, fields) {
            (Create(new), _) => self.create(new, ctx)?,
            (Edit(patch), Some(fields)) => return self.edit(fields, patch, ctx),
            (MoveStage { stage }, _) => {
                stage_of::<S>(&stage)?;
                match S::settled(self) {
                    _ if stage == self.stage => vec![],
                    Some(settled) => return Err(settled),
                    None => vec![Happened::StageChanged { from: self.stage.clone(), to: stage }],
                }
            }
            (ChangeOwner { owner, .. }, _) if owner == self.owner => vec![],
            (ChangeOwner { owner, reason }, _) => {
                vec![Happened::OwnerChanged { from: self.owner, to: owner, reason }]
            }
            (Share { grantee, level }, _) if self.shared.get(&grantee) == Some(&level) => vec![],
            (Share { grantee, level }, _) => vec![Happened::Shared { grantee, level }],
            (Unshare { grantee }, _) if self.shared.contains_key(&grantee) => vec![Happened::Unshared { grantee }],
            (Tag { tag }, _) if text::find(&self.tags, &tag).is_none() => {
                check_tag(&tag, "/tag")?;
                vec![Happened::Tagged { tag }]
            }
            (Untag { tag }, _) => {
                let known = text::find(&self.tags(), &tag).cloned();
                known.map(|tag| Happened::Untagged { tag }).into_iter().collect()
            }
            (Archive { reason }, _) if !self.archived => {
                let ended = S::put_away(self).into_iter().map(Either::Own);
                return Ok(ended.chain([Either::Common(Happened::Archived { reason })]).collect());
            }
            (Restore, _) if self.archived => vec![Happened::Restored],
            _ => vec![],
        };
        Ok(events.into_iter().map(Either::Common).collect())
    }

    fn evolve_common(&mut self, event: &Happened<S::Fields>) {
        match event {
            Happened::Created(new) => {
                self.fields = Some(new.fields.clone());
                self.custom = new.custom.clone();
                self.owner = new.owner.flatten();
                self.tags = new.tags.clone();
                if let Some(stage) = &new.stage {
                    self.stage.clone_from(stage);
                }
            }
            Happened::DetailsChanged { changes } => {
                if let Some(fields) = &mut self.fields {
                    apply_changes(fields, changes);
                }
            }
            Happened::CustomChanged { changes } => custom::apply(&mut self.custom, changes),
            Happened::StageChanged { to, .. } => self.stage.clone_from(to),
            Happened::OwnerChanged { to, .. } => self.owner = *to,
            Happened::Shared { grantee, level } => drop(self.shared.insert(*grantee, *level)),
            Happened::Unshared { grantee } => drop(self.shared.remove(grantee)),
            Happened::Tagged { tag } => drop(self.tags.insert(tag.clone())),
            Happened::Untagged { tag } => {
                self.tags.remove(tag);
                for tags in self.brought_tags.values_mut() {
                    tags.remove(tag);
                }
            }
            Happened::Archived { .. } => self.archived = true,
            Happened::Restored => self.archived = false,
        }
    }
}

/// The one user whose a record with these attributes is, if it is one user's alone.
fn private_to<S: Spec>(fields: &S::Fields) -> Option<Id> {
    let attributes = serde_json::to_value(fields).ok()?;
    attributes.get(S::PRIVATE?)?.as_str()?.parse().ok()
}

/// What follows from being one user's alone, or everybody's.
fn held_alone(user: Option<Id>) -> Vec<Relation> {
    let everybody = match user {
        Some(_) => Relation::Unshared(EVERYBODY),
        None => Relation::Shared(EVERYBODY, Level::Read),
    };
    vec![Relation::Assignee(user), everybody]
}

/// Who owns a record whose owner nobody has said: the colleague who creates it. What other systems tell is nobody's yet.
fn default_owner(ctx: &Ctx<'_>) -> Option<Id> {
    let colleague = ctx.actor.kind == ActorKind::User && !ctx.is_from_outside();
    let principal = ctx.actor.principal();
    let acts_for_contact = || ctx.actor.on_behalf_of.is_some() && !ctx.fact::<User>(principal).is_active();
    (colleague && !acts_for_contact()).then_some(principal)
}

/// JSON merge patch (RFC 7396).
pub fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (key, value) in patch {
            if value.is_null() {
                target.remove(&key);
            } else {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
    }
}

/// `fields` after a merge patch, and the changes that it really makes. Null clears what may be without a value and is
/// refused for what must have one. Whatever does not fit is left out and told.
pub fn patched<F: Clone + Serialize + DeserializeOwned>(
    fields: &F,
    patch: Map<String, Value>,
    faults: &mut Faults,
) -> (F, Changes) {
    let decode = named::read::<F>;
    let before = object(fields);
    let like = Value::Object(before.clone());
    let mut after = before.clone();
    for (key, value) in patch {
        // Each change by itself: what does not fit in one must not hide the next.
        let mut alone = before.clone();
        merge(alone.entry(&key).or_insert(Value::Null), value.clone());
        let (unfit, _) = named::faults(&Value::Object(alone), &like, decode);
        let clears = value.is_null() && unfit.first().is_some_and(|fault| fault.code != "unknown_field");
        if unfit.is_empty() {
            merge(after.entry(key).or_insert(Value::Null), value);
        } else if clears && is_blank_without::<F>(&before, &key) {
            after.remove(&key);
        } else if clears {
            faults.add(must_have_a_value(&key));
        } else {
            unfit.into_iter().for_each(|fault| faults.add(FIELD_INVALID.because(fault.detail).at(fault.pointer)));
        }
    }
    after.retain(|_, value| !value.is_null());
    match decode(Value::Object(after)) {
        Ok(edited) => {
            let changes = difference(fields, &edited);
            (edited, changes)
        }
        Err(fault) => {
            faults.add(FIELD_INVALID.because(fault.detail).at(fault.pointer));
            (fields.clone(), Changes::new())
        }
    }
}

/// Whether an attribute that does not take null is empty, as a list is, once it has been taken out.
fn is_blank_without<F: Serialize + DeserializeOwned>(attributes: &Map<String, Value>, key: &str) -> bool {
    let mut rest = attributes.clone();
    rest.remove(key);
    let without: Option<F> = named::read(Value::Object(rest)).ok();
    without.is_some_and(|without| object(&without).get(key).is_none_or(is_blank))
}

/// Whether a value says nothing: null, or an empty text, list or object.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_blank),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What is wrong with attributes after a change. What was recorded before it was checked, and does not change, stands.
fn judged(after: Result<(), Rejection>, before: Result<(), Rejection>, changes: &Changes) -> Result<(), Rejection> {
    let Err(mut fault) = after else { return Ok(()) };
    let Err(old) = before else { return Err(fault) };
    let stands = |error: &FieldError| {
        let attribute = error.pointer.split('/').nth(1).unwrap_or_default();
        let same = |known: &FieldError| (&known.pointer, &known.code) == (&error.pointer, &error.code);
        !changes.contains_key(attribute) && old.errors.iter().any(same)
    };
    let placed = !fault.errors.is_empty();
    fault.errors.retain(|error| !stands(error));
    match fault.errors.first() {
        Some(first) => {
            (fault.code, fault.detail) = (first.code.clone(), first.detail.clone().into());
            Err(fault)
        }
        None if placed => Ok(()),
        None => Err(fault),
    }
}

/// The refusal of a null for an attribute that is never without a value.
pub fn must_have_a_value(name: &str) -> Rejection {
    FIELD_INVALID.because(format!("{name} must have a value.")).at(format!("/{name}"))
}

/// Every attribute that differs, with its old and new value.
pub fn difference(before: &impl Serialize, after: &impl Serialize) -> Changes {
    let (before, after) = (object(before), object(after));
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |map: &Map<String, Value>, key: &String| map.get(key).cloned().unwrap_or(Value::Null);
    keys.into_iter()
        .filter(|key| of(&before, key) != of(&after, key))
        .map(|key| (key.clone(), custom::Change { from: of(&before, key), to: of(&after, key) }))
        .collect()
}

/// The changes that a patch of the custom fields of a kind really makes; refuses values that do not fit their definitions.
pub fn patched_custom(kind: &str, current: &Custom, patch: Value, ctx: &Ctx<'_>) -> Result<Changes, Rejection> {
    let wanted: CustomChanges = match patch {
        Value::Null => custom::all_cleared(current),
        patch => serde_json::from_value(patch)
            .map_err(|_| FIELD_INVALID.because("custom is an object of field values.").at("/custom"))?,
    };
    custom::check_changes(kind, current, &wanted, ctx)?;
    Ok(custom::difference(current, &wanted))
}

/// Applies recorded changes to attributes.
pub fn apply_changes<F: Serialize + DeserializeOwned>(fields: &mut F, changes: &Changes) {
    let mut after = object(fields);
    for (key, change) in changes {
        after.insert(key.clone(), change.to.clone());
    }
    after.retain(|_, value| !value.is_null());
    if let Ok(changed) = named::read(Value::Object(after)) {
        *fields = changed;
    }
}

/// Attributes as a JSON object without nulls.
fn object(fields: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(fields) {
        Ok(Value::Object(mut map)) => {
            map.retain(|_, value| !value.is_null());
            map
        }
        _ => Map::new(),
    }
}

fn stage_of<S: Spec>(stage: &str) -> Result<(), Rejection> {
    if S::STAGES.contains(&stage) {
        return Ok(());
    }
    Err(STAGE_UNKNOWN.because(format!("{stage} is not one of {}.", S::STAGES.join(", "))).at("/stage"))
}

/// Refuses a tag that is empty or longer than 64 characters. `pointer` is its place in the body.
pub fn check_tag(tag: &str, pointer: &str) -> Result<(), Rejection> {
    if trimmed(tag).is_empty() || tag.chars().count() > 64 { Err(TAG_INVALID.at(pointer)) } else { Ok(()) }
}

impl<S: Spec> Aggregate for Record<S> {
    const KIND: &'static str = S::KIND;
    const PLURAL: &'static str = S::PLURAL;
    const CREATE: &'static str = "create";
    const CUSTOM: bool = true;
    const COPIES: bool = S::COPIES;
    const OWN: &'static [&'static str] = S::OWN;
    const INTERNAL: &'static [&'static str] = S::INTERNAL;
    const ATTRIBUTED: bool = S::ATTRIBUTED;
    const OPEN: Option<&'static str> = S::OPEN;
    type Command = Command<S>;
    type Event = Event<S>;

    fn listing() -> Option<&'static Listing> {
        (!S::RICH).then(Listing::of::<S>)
    }

    #[cfg(test)]
    fn prove() {
        tests::does_what_every_record_does::<S>();
    }

    fn decide(&self, command: Command<S>, ctx: &Ctx<'_>) -> Decision<Event<S>> {
        match command {
            Either::Common(command) => self.decide_common(command, ctx),
            Either::Own(_) if self.fields.is_none() => Err(Self::unknown()),
            Either::Own(command) if self.archived && !S::takes_archived(&command) => Err(Self::put_away()),
            Either::Own(command) => {
                S::decide(self, command, ctx).map(|events| events.into_iter().map(Either::Own).collect())
            }
        }
    }

    fn undo(&self, event: &Event<S>) -> Option<Vec<Command<S>>> {
        let command = match event {
            Either::Own(event) => return S::undo(self, event),
            Either::Common(Happened::Created(_) | Happened::Restored) => Common::Archive { reason: None },
            Either::Common(Happened::DetailsChanged { changes }) => {
                Common::Edit(custom::before(changes).into_iter().collect())
            }
            Either::Common(Happened::CustomChanged { changes }) => {
                let custom = custom::before(changes).into_iter().collect::<Map<_, _>>();
                Common::Edit(Map::from_iter([("custom".to_owned(), custom.into())]))
            }
            Either::Common(Happened::StageChanged { from, .. }) => Common::MoveStage { stage: from.clone() },
            Either::Common(Happened::OwnerChanged { from, .. }) => Common::ChangeOwner { owner: *from, reason: None },
            Either::Common(Happened::Shared { grantee, .. } | Happened::Unshared { grantee }) => {
                match self.shared.get(grantee) {
                    Some(level) => Common::Share { grantee: *grantee, level: *level },
                    None => Common::Unshare { grantee: *grantee },
                }
            }
            Either::Common(Happened::Tagged { tag }) => Common::Untag { tag: tag.clone() },
            Either::Common(Happened::Untagged { tag }) => Common::Tag { tag: tag.clone() },
            Either::Common(Happened::Archived { .. }) => Common::Restore,
        };
        Some(vec![Either::Common(command)])
    }

    fn evolve(&mut self, event: &Event<S>) {
        match event {
            Either::Common(event) => self.evolve_common(event),
            Either::Own(event) => S::evolve(self, event),
        }
    }

    fn relates(event: &Event<S>) -> Vec<Relation> {
        match event {
            // Whoever creates it without an owner holds it until there is one.
            Either::Common(Happened::Created(new)) => {
                let owner = new.owner.flatten().map(|owner| Relation::Owner(Some(owner)));
                let alone = S::PRIVATE.map(|_| held_alone(private_to::<S>(&new.fields)));
                owner.into_iter().chain(alone.into_iter().flatten()).collect()
            }
            Either::Common(Happened::DetailsChanged { changes }) => {
                let change = S::PRIVATE.and_then(|attribute| changes.get(attribute));
                change
                    .map(|change| held_alone(change.to.as_str().and_then(|user| user.parse().ok())))
                    .unwrap_or_default()
            }
            Either::Common(Happened::OwnerChanged { to, .. }) => vec![Relation::Owner(*to)],
            Either::Common(Happened::Shared { grantee, level }) => vec![Relation::Shared(*grantee, *level)],
            Either::Common(Happened::Unshared { grantee }) => vec![Relation::Unshared(*grantee)],
            Either::Common(_) => Vec::new(),
            Either::Own(event) => S::relates(event),
        }
    }

    fn attribute(&mut self, event: &Event<S>, actor: &Actor) {
        if let Either::Own(event) = event {
            S::attribute(self, event, actor);
        }
    }

    /// Nobody shares what he may not do himself.
    fn requires(command: &Command<S>) -> Vec<(String, String)> {
        let Either::Common(Common::Share { level, .. }) = command else { return Vec::new() };
        let permission = match level {
            Level::Read => "read",
            Level::Write => "edit",
        };
        vec![("/level".to_owned(), format!("{}.{permission}", S::KIND))]
    }

    fn needs(&self, command: &Command<S>, ctx: &Ctx<'_>) -> Vec<Need> {
        let mut needs = S::needs(self, command, ctx);
        needs.extend(S::merged_into(self).into_iter().flat_map(|into| merging::needs::<Self>(into, ctx)));
        if S::FILES && matches!(command, Either::Own(_) | Either::Common(Common::Edit(_))) {
            needs.extend(files::needs(S::uploads(self)));
        }
        let Either::Common(command) = command else { return needs };
        let phone = match command {
            Common::Create(new) => S::phone(&new.fields).is_some(),
            Common::Edit(patch) => S::PHONE && patch.contains_key("phone"),
            _ => return needs,
        };
        if let (Common::Create(_), Some(principal)) = (command, ctx.actor.on_behalf_of) {
            needs.push(Need::of::<User>(principal));
        }
        needs.push(custom::needs(S::KIND, ctx));
        needs.extend(phone.then(|| phone::need(ctx)));
        needs
    }

    fn claims(&self, event: &Event<S>, ctx: &Ctx<'_>) -> Vec<Claim> {
        S::claims(self, event, ctx)
    }

    fn echoes(&self, event: &Event<S>, ctx: &Ctx<'_>) -> Vec<crate::Echo> {
        match event {
            Either::Common(_) => Vec::new(),
            Either::Own(event) => S::echoes(self, event, ctx),
        }
    }

    fn files(&self, event: &Event<S>) -> Files {
        if !S::FILES {
            return Files::default();
        }
        let mut after = self.clone();
        after.evolve(event);
        Files::changed(&S::uploads(self), &S::uploads(&after))
    }

    fn subject(&self, event: &Event<S>, ctx: &Ctx<'_>) -> Option<Id> {
        let fields = match event {
            Either::Common(Happened::Created(new)) => Some(&new.fields),
            _ => self.fields.as_ref(),
        };
        if S::PERSON { Some(ctx.id) } else { fields.and_then(S::person) }
    }

    fn is_live(&self) -> bool {
        self.fields.is_some() && !self.archived && S::ended(self).is_none()
    }

    fn merged_into(&self) -> Option<Id> {
        S::merged_into(self)
    }

    fn custom(&self) -> Option<&Custom> {
        Some(&self.custom)
    }

    fn copy(&self) -> Option<Value> {
        let mut copy = object(self.fields.as_ref()?);
        let worked_out = |name: &str| S::PHONE && WORKED_OUT.contains(&name);
        copy.retain(|name, _| !S::UNIQUE.contains(&name.as_str()) && !worked_out(name));
        copy.insert("custom".into(), self.custom.clone().into_iter().collect());
        copy.insert("tags".into(), self.tags().into_iter().collect());
        Some(Value::Object(copy))
    }

    fn passes_on(&self, command: &Command<S>) -> Option<Command<S>> {
        let Either::Own(command) = command else { return None };
        S::passes_on(self, command).map(Either::Own)
    }

    fn passed_on(&self, command: &Command<S>, into: Id, ctx: &Ctx<'_>) -> Option<Event<S>> {
        let Either::Own(command) = command else { return None };
        S::passed_on(self, command, into, ctx).map(Either::Own)
    }

    fn came_via(event: Event<S>, from: Id) -> Event<S> {
        match event {
            Either::Own(event) => Either::Own(S::came_via(event, from)),
            common => common,
        }
    }

    fn document(&self) -> Option<Value> {
        let mut document = object(self.fields.as_ref()?);
        document.insert("custom".into(), self.custom.clone().into_iter().collect());
        document.insert("tags".into(), self.tags().into_iter().collect());
        document.insert("archived".into(), (self.archived || S::ended(self).is_some()).into());
        document.extend(self.owner.map(|owner| ("owner".to_owned(), owner.to_string().into())));
        if !S::STAGES.is_empty() {
            document.insert("stage".into(), self.stage.clone().into());
        }
        S::document(self, &mut document);
        Some(Value::Object(document))
    }

    fn document_schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        let mut schema = New::<S::Fields>::json_schema(generator);
        let properties = schema.ensure_object().entry("properties").or_insert_with(|| Map::new().into());
        if let Some(properties) = properties.as_object_mut() {
            properties.insert("archived".into(), json!({ "type": "boolean" }));
            properties.extend(S::document_schemas().into_iter().map(|(name, schema)| (name.to_owned(), schema)));
        }
        Some(schema)
    }

    /// Edits of different fields do not disturb each other.
    fn merges(command: &Command<S>, since: &[Event<S>]) -> bool {
        let Either::Common(Common::Edit(patch)) = command else { return false };
        let custom = patch.get("custom").and_then(Value::as_object);
        since.iter().all(|event| match event {
            Either::Common(Happened::DetailsChanged { changes }) => changes.keys().all(|key| !patch.contains_key(key)),
            Either::Common(Happened::CustomChanged { changes }) => {
                custom.is_none_or(|custom| changes.keys().all(|key| !custom.contains_key(key)))
            }
            _ => false,
        })
    }

    fn refusals() -> Vec<Rejection> {
        let mut refusals = vec![Self::unknown(), Self::exists(), Self::put_away(), FIELD_INVALID, TAG_INVALID];
        refusals.push(STAGE_UNKNOWN);
        refusals.extend(custom::refusals());
        refusals.extend((!S::OWN.is_empty()).then_some(DENIED));
        refusals.extend(S::refusals());
        refusals
    }

    fn examples() -> Vec<Command<S>> {
        let (fields, own) = S::examples();
        let mut patch = object(&fields);
        patch.retain(|key, _| key == "name");
        if let Some(Value::String(name)) = patch.get_mut("name") {
            name.push_str(" the Second");
        }
        let new =
            New { fields, custom: Custom::new(), owner: None, stage: None, tags: BTreeSet::new(), copied_from: None };
        let user = Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000A);
        let tag = || "vip".to_owned();
        let mut common = vec![
            Common::Create(new),
            Common::Edit(patch),
            Common::ChangeOwner { owner: Some(user), reason: None },
            Common::Share { grantee: user, level: Level::Read },
            Common::Unshare { grantee: user },
            Common::Tag { tag: tag() },
            Common::Untag { tag: tag() },
            Common::Archive { reason: Some("Entered twice".into()) },
            Common::Restore,
        ];
        if let Some(stage) = S::STAGES.last() {
            common.push(Common::MoveStage { stage: (*stage).to_owned() });
        }
        common.into_iter().map(Either::Common).chain(own.into_iter().map(Either::Own)).collect()
    }

    /// Without `move_stage` where the kind has no stages.
    fn commands(generator: &mut SchemaGenerator) -> Vec<named::Variant> {
        let mut commands = Self::Command::variants(generator);
        commands.retain(|command| command.name != "move_stage" || !S::STAGES.is_empty());
        commands
    }

    /// Without `stage_changed` where the kind has no stages.
    fn events(generator: &mut SchemaGenerator) -> Vec<named::Variant> {
        let mut events = Self::Event::variants(generator);
        events.retain(|event| event.name != "stage_changed" || !S::STAGES.is_empty());
        events
    }
}

#[cfg(test)]
mod tests;
