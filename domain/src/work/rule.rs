//! An automation rule: when something happens and conditions hold, somebody gets something to do.
//!
//! What a rule does is published as whole versions that never change, so that any run can be explained years later.

use crate::kernel::aggregate::Deprecated;
use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Aggregate, Authority, Ctx, Decision, Faults, Id, Need, Rejection, catalogue,
    desk::ticket::Priority,
    kernel::{custom::FieldType, reference::REFERENCE_UNFIT, valid},
    org::{authority::DENIED, field::Field, user::Presence},
    work::automation::{self, CustomTypes, Problem, Vocabulary},
};

/// The rank of a rule that names none.
pub const DEFAULT_RANK: i64 = 100;

/// What something must be: a value, or the same as a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Wanted_{T}")]
pub enum Wanted<T> {
    /// This value.
    Is(T),
    /// The same as a field of the trigger or of a record it concerns.
    Same {
        /// The field, such as `order.city`.
        equals: String,
    },
}

impl<T> Wanted<T> {
    /// The field that it must be the same as.
    pub fn field(&self) -> Option<&str> {
        match self {
            Wanted::Is(_) => None,
            Wanted::Same { equals } => Some(equals),
        }
    }
}

/// What an employee must be, all of it at once; a group that asks for nothing means everybody.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// This user, or the one that a field names, such as `contact.owner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "user"))]
    pub user: Option<Wanted<Id>>,
    /// Has this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "role"))]
    pub role: Option<Id>,
    /// Is a member of this team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "team"))]
    pub team: Option<Id>,
    /// Works in this city, or in the one that a field names; upper and lower case are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<Wanted<String>>,
    /// Is there, away, or not there. Unless this asks for them, those who are away are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<Presence>,
}

/// Who of the employees that fit is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Whoever has the least to do; among equals the seed decides.
    #[default]
    LeastBusy,
    /// The next in turn after the one whom this rule chose last.
    RoundRobin,
    /// Whoever fits the first group; among equals the one with the lowest id.
    First,
    /// All of them.
    All,
}

/// A task to create. Texts are templates: `{{ order.number }}`, or `#ORDER_ID#`, `#NAME#`, `#PHONE#`, `#EMAIL#`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskTemplate {
    /// What is to be done, in one line.
    pub title: String,
    /// The whole story.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Within how many seconds it should be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 315360000))]
    pub due_in_s: Option<u32>,
    /// 0 (low) to 3 (urgent).
    #[serde(default)]
    pub priority: Priority,
    /// The project it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "project"))]
    pub project: Option<Id>,
}

/// A command to issue. Every text in it is a template; one that is nothing but `{{ ... }}` keeps the type of its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandTemplate {
    /// The kind of record, such as `ticket`.
    pub kind: String,
    /// Which record; the one that the trigger happened to by default, a new one when the command creates one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The command, such as `assign`.
    pub command: String,
    /// Its body, such as `{"assignee": "{{ assignee.id }}"}`.
    #[serde(default)]
    pub body: Map<String, Value>,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Creates a task for each of the chosen.
    CreateTask(TaskTemplate),
    /// Issues a command: once for each of the chosen when it names `assignee`, else once.
    Command(CommandTemplate),
}

/// Whether rules of a lower rank still have their turn when this one matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnMatch {
    /// They have not.
    #[default]
    Stop,
    /// They have.
    Continue,
}

/// One version of what a rule does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The conditions, a filter over `event.*` and the records that the trigger concerns; `{}` always holds.
    #[serde(default)]
    pub when: Map<String, Value>,
    /// The employees among whom is chosen: whoever fits one of these groups. Nobody is when there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selector: Vec<Group>,
    /// Who of them is chosen.
    #[serde(default)]
    pub strategy: Strategy,
    /// What is done.
    pub actions: Vec<Action>,
    /// How many seconds after the trigger.
    #[serde(default)]
    #[schemars(range(min = 0, max = 34560000))]
    pub delay_s: u32,
    /// Whether the conditions must still hold then.
    #[serde(default)]
    pub recheck: bool,
    /// Types of events that call it off when one happens to the same record before, such as `order.paid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cancel_on: Vec<String>,
    /// Whether rules of a lower rank still have their turn.
    #[serde(default)]
    pub on_match: OnMatch,
}

/// A new rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// Its name.
    pub name: String,
    /// The type of event that triggers it, such as `order.placed`.
    pub trigger: String,
    /// Its place among the rules with this trigger: the lowest is asked first.
    #[serde(default = "default_rank")]
    #[schemars(range(min = -1000000000, max = 1000000000))]
    pub rank: i64,
    /// What it does; it may be published later.
    #[serde(default)]
    pub definition: Option<Definition>,
    /// Whether it works at once, given a definition.
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn default_rank() -> i64 {
    DEFAULT_RANK
}

fn yes() -> bool {
    true
}

/// What may be asked of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Creates a rule.
    Create(New),
    /// Publishes another version of what it does.
    Publish(Definition),
    /// Renames it.
    Rename {
        /// Its new name.
        name: String,
    },
    /// Gives it another place among the rules with its trigger.
    ChangeRank {
        /// Its new place.
        #[schemars(range(min = -1000000000, max = 1000000000))]
        rank: i64,
    },
    /// Lets it work.
    Enable,
    /// Stops it; what it has scheduled is still carried out.
    Disable {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Takes it away for good; what it did stays explained.
    Delete,
}

/// What has happened to a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was created.
    Created {
        /// Its name.
        name: String,
        /// The type of event that triggers it.
        trigger: String,
        /// Its place among the rules with this trigger.
        rank: i64,
    },
    /// A version was published.
    VersionPublished {
        /// 1, 2, 3, ...
        version: u32,
        /// What it does.
        definition: Definition,
        /// What whoever published it was permitted, as patterns: its commands are issued with these rights. Versions of
        /// old say nothing, and have the permissions that their actions take.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        authority: Option<BTreeSet<String>>,
    },
    /// It has another name.
    Renamed {
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// It has another place.
    RankChanged {
        /// Before.
        from: i64,
        /// After.
        to: i64,
    },
    /// It works.
    Enabled,
    /// It stopped.
    Disabled {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It is gone.
    Deleted,
}

/// A rule.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name; empty before it exists.
    pub name: String,
    /// The type of event that triggers it.
    pub trigger: String,
    /// Its place among the rules with this trigger.
    pub rank: i64,
    /// The number of its latest version; 0 before there is one.
    pub version: u32,
    /// Its latest version.
    pub definition: Option<Definition>,
    /// Whether it works.
    pub enabled: bool,
    /// Whether it is gone.
    pub deleted: bool,
}

const UNKNOWN: Rejection = Rejection::missing("rule_unknown", "There is no such rule.");
const EXISTS: Rejection = Rejection::conflict("rule_exists", "A rule with this id exists already.");
const DELETED: Rejection = Rejection::conflict("rule_deleted", "The rule is deleted.");
const UNPUBLISHED: Rejection = Rejection::conflict("rule_unpublished", "The rule has no version that could work.");
const TRIGGER_UNKNOWN: Rejection = Rejection::invalid("rule_trigger_unknown", "There is no such type of event.");
const INVALID: Rejection = Rejection::invalid("rule_invalid", "The rule makes no sense.");

impl Rule {
    /// Whether it is asked when its trigger happens.
    pub fn is_working(&self) -> bool {
        self.enabled && !self.deleted && self.definition.is_some()
    }

    /// The version that works now, ready to be asked; `None` when it does not work or no longer fits the catalogue.
    pub fn compile(&self, id: Id, custom: CustomTypes) -> Option<automation::Compiled> {
        let definition = self.definition.as_ref().filter(|_| self.is_working())?;
        automation::Compiled::new(id, self.version, self.rank, &self.trigger, definition.clone(), custom).ok()
    }
}

impl Definition {
    /// The permissions that its actions take, each with its place: whoever publishes it must have them all.
    pub fn permissions(&self) -> Vec<(String, String)> {
        let name = |action: &Action| match action {
            Action::CreateTask(_) => "task.create".to_owned(),
            Action::Command(CommandTemplate { kind, command, .. }) => format!("{kind}.{command}"),
        };
        let actions = self.actions.iter().enumerate();
        actions.map(|(index, action)| (format!("/actions/{index}"), name(action))).collect()
    }

    /// What its commands may do: what whoever published it might, as the event says.
    pub fn authority(&self, recorded: Option<&BTreeSet<String>>) -> Authority {
        let needed = || self.permissions().into_iter().map(|(_, permission)| permission).collect();
        Authority::of(&recorded.cloned().unwrap_or_else(needed))
    }
}

/// The types of the custom fields of a kind of record; those that are retired too if asked.
pub fn custom_types_of<'a>(
    kind: &'a str,
    field: &'a Field,
    retired: bool,
) -> impl Iterator<Item = ((String, String), FieldType)> + 'a {
    let live = field.definitions.iter().filter(move |(_, definition)| retired || !definition.retired);
    live.map(move |(key, definition)| ((kind.to_owned(), key.clone()), definition.field_type))
}

/// The custom fields of the records that a trigger concerns, as far as the facts go.
fn custom_types(trigger: &str, ctx: &Ctx<'_>) -> CustomTypes {
    let mut types = CustomTypes::new();
    for kind in kinds_with_custom_fields(trigger) {
        types.extend(custom_types_of(kind, &ctx.fact::<Field>(Field::id_for(ctx.tenant, kind)), false));
    }
    types
}

/// The kinds of record that a trigger may concern and that take custom fields.
pub fn kinds_with_custom_fields(trigger: &str) -> Vec<&'static str> {
    let kinds = Vocabulary::of(trigger, CustomTypes::new()).map(|vocabulary| vocabulary.kinds().clone());
    kinds.unwrap_or_default().into_iter().filter(|kind| catalogue::takes_custom_fields(kind)).collect()
}

/// Refuses a definition that makes no sense, naming every place at fault below `/definition` or the body itself.
fn check(trigger: &str, definition: &Definition, below: &str, ctx: &Ctx<'_>) -> Result<(), Rejection> {
    let mut faults = Faults::default();
    let problems = automation::check(trigger, definition, custom_types(trigger, ctx));
    if let Some(Problem { detail, .. }) = problems.first() {
        let refusal = INVALID.because(detail.clone());
        let errors = problems.into_iter().map(|problem| problem.below(below)).collect();
        faults.add(Rejection { errors, ..refusal });
    }
    faults.done()
}

fn published(version: u32, definition: Definition, ctx: &Ctx<'_>) -> Event {
    Event::VersionPublished { version, definition, authority: Some(ctx.authority.patterns()) }
}

/// Refuses whoever lacks a permission that the actions take.
fn check_permitted(definition: &Definition, ctx: &Ctx<'_>) -> Result<(), Rejection> {
    definition.permissions().iter().try_for_each(|(_, permission)| ctx.must(permission))
}

fn create(new: New, ctx: &Ctx<'_>) -> Decision<Event> {
    let New { name, trigger, rank, definition, enabled } = new;
    let mut faults = Faults::default();
    faults.check(valid::name(&name, "/name"));
    if !catalogue::has_event(&trigger) {
        faults.add(TRIGGER_UNKNOWN.because(format!("There is no type of event {trigger}.")).at("/trigger"));
    } else if let Some(definition) = &definition {
        faults.check(check(&trigger, definition, "/definition", ctx));
    }
    faults.done()?;
    let mut events = vec![Event::Created { name, trigger: trigger.clone(), rank }];
    if let Some(definition) = definition {
        events.push(published(1, definition, ctx));
        events.extend(enabled.then_some(Event::Enabled));
    }
    Ok(events)
}

impl Aggregate for Rule {
    const KIND: &'static str = "rule";
    const PLURAL: &'static str = "rules";
    const CREATE: &'static str = "create";
    const OPEN: Option<&'static str> = Some("rules act for everybody");
    const COPIES: bool = true;
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        use Command::*;
        Ok(match command {
            Create(new) if self.name.is_empty() => return create(new, ctx),
            Create(new) if new.name == self.name && new.trigger == self.trigger => vec![],
            Create(_) => return Err(EXISTS),
            _ if self.name.is_empty() => return Err(UNKNOWN),
            Delete => {
                if self.deleted {
                    vec![]
                } else {
                    vec![Event::Deleted]
                }
            }
            _ if self.deleted => return Err(DELETED),
            Publish(definition) if self.definition.as_ref() == Some(&definition) => vec![],
            Publish(definition) => {
                check(&self.trigger, &definition, "", ctx)?;
                vec![published(self.version + 1, definition, ctx)]
            }
            Rename { name } => {
                valid::name(&name, "/name")?;
                let from = self.name.clone();
                if name == from { vec![] } else { vec![Event::Renamed { from, to: name }] }
            }
            ChangeRank { rank } if rank != self.rank => vec![Event::RankChanged { from: self.rank, to: rank }],
            Enable if !self.enabled => {
                // Whoever lets it work has it do what he may do himself.
                check_permitted(self.definition.as_ref().ok_or(UNPUBLISHED)?, ctx)?;
                vec![Event::Enabled]
            }
            Disable { reason } if self.enabled => vec![Event::Disabled { reason }],
            ChangeRank { .. } | Enable | Disable { .. } => vec![],
        })
    }

    fn undo(&self, event: &Event) -> Option<Vec<Command>> {
        Some(vec![match event {
            Event::Created { .. } => Command::Delete,
            Event::VersionPublished { .. } => Command::Publish(self.definition.clone()?),
            Event::Renamed { from, .. } => Command::Rename { name: from.clone() },
            Event::RankChanged { from, .. } => Command::ChangeRank { rank: *from },
            Event::Enabled => Command::Disable { reason: None },
            Event::Disabled { .. } => Command::Enable,
            Event::Deleted => return None,
        }])
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Created { name, trigger, rank } => {
                self.name.clone_from(name);
                self.trigger.clone_from(trigger);
                self.rank = *rank;
            }
            Event::VersionPublished { version, definition, .. } => {
                self.version = *version;
                self.definition = Some(definition.clone());
            }
            Event::Renamed { to, .. } => self.name.clone_from(to),
            Event::RankChanged { to, .. } => self.rank = *to,
            Event::Enabled => self.enabled = true,
            Event::Disabled { .. } => self.enabled = false,
            Event::Deleted => self.deleted = true,
        }
    }

    fn is_live(&self) -> bool {
        !self.name.is_empty() && !self.deleted
    }

    /// A copy does not work before somebody has looked at it.
    fn copy(&self) -> Option<Value> {
        let copy = New {
            name: self.name.clone(),
            trigger: self.trigger.clone(),
            rank: self.rank,
            definition: self.definition.clone(),
            enabled: false,
        };
        serde_json::to_value(copy).ok().filter(|_| self.is_live())
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        let trigger = match command {
            Command::Create(New { trigger, definition: Some(_), .. }) => trigger,
            Command::Publish(_) => &self.trigger,
            _ => return Vec::new(),
        };
        let kinds = kinds_with_custom_fields(trigger).into_iter();
        let fields = kinds.map(|kind| Need::of::<Field>(Field::id_for(ctx.tenant, kind)));
        fields.collect()
    }

    fn requires(command: &Command) -> Vec<(String, String)> {
        match command {
            Command::Create(New { definition: Some(definition), .. }) => {
                let permissions = definition.permissions().into_iter();
                permissions.map(|(place, permission)| (format!("/definition{place}"), permission)).collect()
            }
            Command::Publish(definition) => definition.permissions(),
            _ => Vec::new(),
        }
    }

    fn deprecated(command: &Command) -> Vec<Deprecated> {
        match command {
            Command::Create(New { definition: Some(definition), .. }) => automation::deprecated(definition)
                .into_iter()
                .map(|found| Deprecated { place: format!("/definition{}", found.place), ..found })
                .collect(),
            Command::Publish(definition) => automation::deprecated(definition),
            _ => Vec::new(),
        }
    }

    fn refusals() -> Vec<Rejection> {
        let own = [UNKNOWN, EXISTS, DELETED, UNPUBLISHED, TRIGGER_UNKNOWN, INVALID];
        own.into_iter().chain([REFERENCE_UNFIT, valid::NAME_INVALID, DENIED]).collect()
    }

    fn examples() -> Vec<Command> {
        use Command::*;
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
        let between =
            serde_json::json!({ "field": "order.total.amount", "op": "between", "value": ["50000", "1000000"] });
        let when = |filter: Value| filter.as_object().cloned().unwrap_or_default();
        let call = TaskTemplate {
            title: "Confirm order #ORDER_ID#".into(),
            text: Some("Call #NAME#, #PHONE#: {{ order.items | length }} items.".into()),
            due_in_s: Some(3600),
            priority: Priority::URGENT,
            project: Some(id(0xE)),
        };
        let tag = CommandTemplate {
            kind: "contact".into(),
            id: Some("{{ contact.id }}".into()),
            command: "tag".into(),
            body: Map::from_iter([("tag".to_owned(), "large order".into())]),
        };
        let in_city = Group {
            role: Some(id(0xB)),
            city: Some(Wanted::Same { equals: "order.city".into() }),
            presence: Some(Presence::Online),
            ..Group::default()
        };
        let one = Group { user: Some(Wanted::Is(id(0xA))), team: Some(id(0xC)), ..Group::default() };
        let definition = Definition {
            when: when(between),
            selector: vec![in_city, one],
            strategy: Strategy::LeastBusy,
            actions: vec![Action::CreateTask(call.clone()), Action::Command(tag)],
            delay_s: 0,
            recheck: false,
            cancel_on: vec!["order.cancelled".into()],
            on_match: OnMatch::Stop,
        };
        let later = Definition {
            delay_s: 432_000,
            recheck: true,
            actions: vec![Action::CreateTask(call)],
            ..definition.clone()
        };
        let name = || "Confirm large orders".to_owned();
        let trigger = || "order.placed".to_owned();
        vec![
            Create(New { name: name(), trigger: trigger(), rank: 10, definition: Some(definition), enabled: true }),
            Publish(later),
            Rename { name: "Confirm large orders by phone".into() },
            ChangeRank { rank: 20 },
            Disable { reason: Some("Holidays".into()) },
            Enable,
            Delete,
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::given::{Given, given};

    fn new() -> New {
        let Command::Create(new) = Rule::examples().remove(0) else { unreachable!() };
        new
    }

    fn definition() -> Definition {
        new().definition.unwrap()
    }

    fn created() -> Event {
        Event::Created { name: "Confirm large orders".into(), trigger: "order.placed".into(), rank: 10 }
    }

    fn published(version: u32) -> Event {
        Event::VersionPublished { version, definition: definition(), authority: Some(["*".to_owned()].into()) }
    }

    fn bare(actions: &Value) -> Definition {
        serde_json::from_value(json!({ "actions": actions })).unwrap()
    }

    fn task() -> Value {
        json!([{ "create_task": { "title": "Call" } }])
    }

    fn world(events: impl IntoIterator<Item = Event>) -> Given<Rule> {
        let Definition { selector, actions, .. } = definition();
        let Action::CreateTask(TaskTemplate { project, .. }) = actions[0].clone() else { unreachable!() };
        given(events)
            .alive("role", selector[0].role.unwrap())
            .alive("user", Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000A))
            .alive("team", selector[1].team.unwrap())
            .alive("project", project.unwrap())
    }

    #[test]
    fn it_is_created_published_and_works_at_once() {
        world([]).when(Command::Create(new())).then([created(), published(1), Event::Enabled]);
        world([created()]).when(Command::Create(new())).nothing();
        world([]).when(Command::Create(New { definition: None, ..new() })).then([created()]);
        world([]).when(Command::Create(New { enabled: false, ..new() })).then([created(), published(1)]);
        world([created()]).when(Command::Create(New { name: "Other".into(), ..new() })).rejected(EXISTS);
        let eaten = New { trigger: "order.eaten".into(), ..new() };
        world([]).when(Command::Create(eaten)).rejected(TRIGGER_UNKNOWN);
        given::<Rule>([]).when(Command::Enable).rejected(UNKNOWN);
    }

    #[test]
    fn versions_follow_each_other_and_never_change() {
        let publish = |definition| Command::Publish(definition);
        world([created(), published(1)]).when(publish(definition())).nothing();
        let other = Definition { on_match: OnMatch::Continue, ..definition() };
        let authority = Some(["*".to_owned()].into());
        let second = Event::VersionPublished { version: 2, definition: other.clone(), authority };
        world([created(), published(1)]).when(publish(other)).then([second]);
        given::<Rule>([created()]).when(publish(bare(&task()))).events();
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_every_place() {
        let wrong = json!({
            "when": { "all": [
                { "field": "order.totle", "op": "eq", "value": 1 },
                { "field": "order.city", "op": "eq", "value": 1 },
            ] },
            "selector": [{ "city": { "equals": "order.number" } }, { "user": { "equals": "order.city" } }],
            "actions": [
                { "create_task": { "title": "{{ order.number" } },
                { "command": { "kind": "ticket", "command": "explode" } },
                { "command": { "kind": "task", "command": "mark_overdue" } },
            ],
            "cancel_on": ["order.paid", "order.eaten"],
        });
        let definition: Definition = serde_json::from_value(wrong).unwrap();
        let known = Field::default();
        let mut facts = crate::Facts::default();
        let actor = crate::Actor::SYSTEM;
        let tenant = crate::kernel::given::TENANT;
        for kind in kinds_with_custom_fields("order.placed") {
            facts.insert("field", Field::id_for(tenant, kind), crate::kernel::aggregate::AnyState::new(known.clone()));
        }
        let ctx = Ctx {
            tenant,
            id: tenant,
            now: crate::kernel::given::at(0),
            actor: &actor,
            authority: &Authority::full(),
            seed: "x",
            facts: &facts,
        };
        let refusal = check("order.placed", &definition, "/definition", &ctx).unwrap_err();
        assert_eq!(refusal, INVALID);
        let places: Vec<_> = refusal.errors.iter().map(|error| (error.pointer.as_str(), &*error.code)).collect();
        let expected = [
            ("/definition/when/all/0/field", "filter_field_unknown"),
            ("/definition/when/all/1/value", "filter_value_invalid"),
            ("/definition/selector/0/city/equals", "rule_field_unfit"),
            ("/definition/selector/1/user/equals", "rule_field_unfit"),
            ("/definition/actions/0/create_task/title", "rule_template_invalid"),
            ("/definition/actions/1/command/command", "rule_command_unknown"),
            ("/definition/actions/2/command/command", "rule_command_unknown"),
            ("/definition/cancel_on/1", "rule_trigger_unknown"),
        ];
        assert_eq!(places, expected);
        given::<Rule>([created()]).when(Command::Publish(bare(&json!([])))).rejected(INVALID);
    }

    #[test]
    fn custom_fields_of_the_tenant_may_be_asked_about() {
        let when = json!({ "field": "contact.custom.size", "op": "gte", "value": 3 });
        let asks = Definition { when: when.as_object().unwrap().clone(), ..bare(&task()) };
        given::<Rule>([created()]).when(Command::Publish(asks.clone())).rejected(INVALID);
        let size = json!({ "entity": "contact", "key": "size", "type": "number" });
        let defined = crate::org::field::Event::Defined(serde_json::from_value(size).unwrap());
        let id = Field::id_for(crate::kernel::given::TENANT, "contact");
        given::<Rule>([created()]).with::<Field>(id, [defined]).when(Command::Publish(asks)).events();
    }

    #[test]
    fn it_is_renamed_ranked_stopped_and_deleted() {
        let working = || [created(), published(1), Event::Enabled];
        let after = |event| working().into_iter().chain([event]);
        let renamed = || Event::Renamed { from: "Confirm large orders".into(), to: "Confirm".into() };
        given::<Rule>(working()).when(Command::Rename { name: "Confirm".into() }).then([renamed()]);
        given::<Rule>(after(renamed())).when(Command::Rename { name: "Confirm".into() }).nothing();
        let moved = || Event::RankChanged { from: 10, to: 20 };
        given::<Rule>(working()).when(Command::ChangeRank { rank: 20 }).then([moved()]);
        given::<Rule>(after(moved())).when(Command::ChangeRank { rank: 20 }).nothing();
        let disabled = || Event::Disabled { reason: Some("Holidays".into()) };
        let disable = || Command::Disable { reason: Some("Holidays".into()) };
        given::<Rule>(working()).when(disable()).then([disabled()]);
        given::<Rule>(after(disabled())).when(disable()).nothing();
        given::<Rule>(after(disabled())).when(Command::Enable).then([Event::Enabled]);
        given::<Rule>(working()).when(Command::Enable).nothing();
        given::<Rule>([created()]).when(Command::Enable).rejected(UNPUBLISHED);
        given::<Rule>(working()).when(Command::Delete).then([Event::Deleted]);
        given::<Rule>(after(Event::Deleted)).when(Command::Delete).nothing();
        given::<Rule>(after(Event::Deleted)).when(Command::Enable).rejected(DELETED);
        let id = Id::from_bits(7);
        assert!(given::<Rule>(working()).state.compile(id, CustomTypes::new()).is_some());
        for stopped in [disabled(), Event::Deleted] {
            assert!(given::<Rule>(after(stopped)).state.compile(id, CustomTypes::new()).is_none());
        }
    }

    #[test]
    fn it_works_with_the_rights_of_whoever_published_it() {
        let may = ["rule.*", "task.create", "contact.tag"];
        let events = world([created()]).may(&may).when(Command::Publish(definition())).events();
        let Event::VersionPublished { definition, authority, .. } = &events[0] else { panic!("{events:?}") };
        let authority = definition.authority(authority.as_ref());
        assert!(authority.allows("task.create") && !authority.allows("user.grant_role"));
        let of_old = definition.authority(None);
        assert!(of_old.allows("contact.tag") && !of_old.allows("rule.publish"));
        let disabled = || [created(), published(1)];
        given::<Rule>(disabled()).may(&may).when(Command::Enable).then([Event::Enabled]);
        given::<Rule>(disabled()).may(&["rule.*", "task.create"]).when(Command::Enable).rejected(DENIED);
    }

    #[test]
    fn it_says_which_permissions_its_actions_take() {
        let place = |index| format!("/actions/{index}");
        let permissions = [(place(0), "task.create".to_owned()), (place(1), "contact.tag".to_owned())];
        assert_eq!(definition().permissions(), permissions);
        let places = |command| Rule::requires(&command).into_iter().map(|(place, _)| place).collect::<Vec<_>>();
        assert_eq!(places(Command::Create(new())), ["/definition/actions/0", "/definition/actions/1"]);
        assert_eq!(places(Command::Publish(definition())), ["/actions/0", "/actions/1"]);
        assert!(places(Command::Enable).is_empty());
    }
}
