//! What a rule makes of an event: whether it matches and why, who is chosen, and what is to be done.
//!
//! Pure: the same functions run live, in a dry run over one event and in a backtest over a million of them. Whoever
//! calls brings the [`Scene`] (the event and the records it concerns) and the people; nothing is looked up here.

mod people;
mod scene;
mod template;
mod vocabulary;

use crate::kernel::aggregate::Deprecated;
use std::collections::BTreeSet;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    Aggregate, FieldError, Id, Personal, Time, catalogue,
    desk::ticket::{AssignMethod, Priority},
    kernel::{
        filter::{Check, FieldKind, Fields, Filter, Scalar},
        merging,
        reference::Subject,
    },
    sales::order::Order,
    work::{
        rule::{Action, CommandTemplate, Definition, OnMatch, Strategy, TaskTemplate},
        rule_run::{self, Asked, RuleRun, SkipReason},
    },
};

pub use people::{Candidate, Person};
pub use scene::{Scene, Sight, Trigger, TriggerRef, concerned};
pub use template::{Context, render};
pub use vocabulary::{CustomTypes, Vocabulary};

/// The names in a definition that are called otherwise now.
pub fn deprecated(definition: &Definition) -> Vec<Deprecated> {
    let mut found = Vec::new();
    named(definition, &mut |place, name| {
        if let Some(instead) = vocabulary::deprecated(name) {
            found.push(Deprecated { place, name: name.to_owned(), instead });
        }
    });
    found
}

/// Shows every name of a field in a definition, with its place.
fn named(definition: &Definition, show: &mut impl FnMut(String, &str)) {
    texts(&Value::Object(definition.when.clone()), "/when", &mut |place, text| {
        if place.ends_with("/field") {
            show(place, text);
        }
    });
    for (index, group) in definition.selector.iter().enumerate() {
        let city = group.city.as_ref().and_then(|city| city.field()).map(|field| ("city", field));
        let user = group.user.as_ref().and_then(|user| user.field()).map(|field| ("user", field));
        for (name, field) in city.into_iter().chain(user) {
            show(format!("/selector/{index}/{name}/equals"), field);
        }
    }
    let mut template = |place: String, source: &str| {
        template::names(source).iter().for_each(|name| show(place.clone(), name));
    };
    for (index, action) in definition.actions.iter().enumerate() {
        let place = format!("/actions/{index}");
        match action {
            Action::CreateTask(task) => {
                template(format!("{place}/create_task/title"), &task.title);
                template(format!("{place}/create_task/text"), task.text.as_deref().unwrap_or_default());
            }
            Action::Command(command) => {
                template(format!("{place}/command/id"), command.id.as_deref().unwrap_or_default());
                texts(&Value::Object(command.body.clone()), &format!("{place}/command/body"), &mut template);
            }
        }
    }
}

/// How long a chain of events that rules cause may become: an event this deep triggers no rule any more.
pub const MAX_CAUSATION_DEPTH: u32 = 8;
/// Longest delay in seconds: 400 days.
pub const MAX_DELAY_S: u32 = 400 * 86_400;
/// Most actions of one rule.
pub const MAX_ACTIONS: usize = 10;
/// Most groups of one selector.
pub const MAX_GROUPS: usize = 20;
/// Longest title of a task, in characters.
const MAX_TITLE: usize = 500;

/// A command to issue for a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Dispatch {
    /// The kind of record.
    pub kind: String,
    /// Which record.
    pub id: Id,
    /// The command.
    pub command: String,
    /// Its body.
    pub body: Personal<Value>,
}

impl Dispatch {
    /// The id of the command at this place of a run's actions: the same however often it is tried. Its bits make a UUID.
    pub fn command_id(run: Id, index: usize) -> Id {
        Id::named(&["rule_run_action", &run.to_string(), &index.to_string()])
    }
}

/// A template that names something that is not there, or does not render.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Unknown {
    /// The place in the definition (JSON pointer).
    pub place: String,
    /// What is not there, or what went wrong.
    pub name: String,
}

/// Who was chosen, and what is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-held-reference" = "any"))]
pub struct Preparation {
    /// When it was prepared.
    pub at: Time,
    /// Everybody who fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    /// Who was chosen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen: Vec<Id>,
    /// What decided among equals.
    pub seed: String,
    /// What is to be done, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Dispatch>,
    /// What templates name that is not there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<Unknown>,
}

/// Something in a definition that makes no sense.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// Its place (JSON pointer).
    pub pointer: String,
    /// Stable code.
    pub code: &'static str,
    /// For a person.
    pub detail: String,
}

impl Problem {
    fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem { pointer: pointer.into(), code, detail: detail.into() }
    }

    /// The same as an error of a command's body, in which the definition lies below this place.
    pub fn below(self, place: &str) -> FieldError {
        FieldError { pointer: format!("{place}{}", self.pointer), code: self.code.into(), detail: self.detail }
    }
}

/// What makes no sense in a definition for this trigger; nothing when it is sound.
pub fn check(trigger: &str, definition: &Definition, custom: CustomTypes) -> Vec<Problem> {
    compile(trigger, definition, custom).err().unwrap_or_default()
}

fn compile(trigger: &str, definition: &Definition, custom: CustomTypes) -> Result<Filter, Vec<Problem>> {
    let Some(vocabulary) = Vocabulary::of(trigger, custom) else {
        return Err(vec![unknown_event("/trigger", trigger)]);
    };
    let mut problems = Vec::new();
    let filter = Filter::parse(&Value::Object(definition.when.clone()), &vocabulary);
    let filter = filter.unwrap_or_else(|errors| {
        problems.extend(errors.into_iter().map(|error| {
            let code = FILTER_CODES.iter().copied().find(|code| *code == error.code).unwrap_or(FILTER_CODES[0]);
            Problem::new(format!("/when{}", error.pointer), code, error.detail)
        }));
        Filter::EVERYTHING
    });
    for (index, group) in definition.selector.iter().enumerate() {
        let city = group.city.as_ref().and_then(|city| city.field()).map(|field| ("city", FieldKind::Text, field));
        let user = group.user.as_ref().and_then(|user| user.field()).map(|field| ("user", FieldKind::Id, field));
        for (name, kind, field) in city.into_iter().chain(user).filter(|(_, kind, f)| vocabulary.kind(f) != Some(*kind))
        {
            let detail = format!("{field} of {trigger} or of a record it concerns is not {}.", kind.wanted());
            problems.push(Problem::new(format!("/selector/{index}/{name}/equals"), "rule_field_unfit", detail));
        }
    }
    for (index, action) in definition.actions.iter().enumerate() {
        check_action(&format!("/actions/{index}"), action, &mut problems);
    }
    for (index, event) in definition.cancel_on.iter().enumerate().filter(|(_, event)| !catalogue::has_event(event)) {
        problems.push(unknown_event(&format!("/cancel_on/{index}"), event));
    }
    let (groups, actions) = (definition.selector.len(), definition.actions.len());
    let limits = [
        ("/delay_s", definition.delay_s > MAX_DELAY_S, "A delay is at most 400 days."),
        ("/actions", actions == 0 || actions > MAX_ACTIONS, "A rule has 1 to 10 actions."),
        ("/selector", groups > MAX_GROUPS, "A selector has at most 20 groups."),
    ];
    let over = limits.into_iter().filter(|(_, over, _)| *over);
    problems.extend(over.map(|(place, _, detail)| Problem::new(place, "rule_limit", detail)));
    if problems.is_empty() { Ok(filter) } else { Err(problems) }
}

/// Fields of one type of event, and those of others that are asked about in one breath: these have no value here.
struct Among<'a> {
    own: Vocabulary,
    others: &'a [Vocabulary],
}

impl Fields for Among<'_> {
    fn kind(&self, field: &str) -> Option<FieldKind> {
        self.own.kind(field).or_else(|| self.others.iter().find_map(|other| other.kind(field)))
    }

    fn names(&self) -> Vec<String> {
        self.own.names()
    }

    fn called(&self, field: &str) -> Option<String> {
        let known = |vocabulary: &Vocabulary| vocabulary.called(field);
        known(&self.own).or_else(|| self.others.iter().find_map(known))
    }

    fn country(&self) -> Option<crate::Country> {
        self.own.country()
    }
}

/// Conditions for events of one type by themselves, without anything that is to be done: what a field of the `others` asks has
/// no value here.
///
/// # Errors
/// What makes no sense in them.
pub fn condition(
    trigger: &str,
    when: &Map<String, Value>,
    custom: CustomTypes,
    others: &[Vocabulary],
) -> Result<Compiled, Vec<FieldError>> {
    let Some(own) = Vocabulary::of(trigger, custom) else {
        let detail = format!("There is no type of event {trigger}.");
        return Err(vec![FieldError { pointer: String::new(), code: FILTER_CODES[1].into(), detail }]);
    };
    let fields = Among { own, others };
    let filter = Filter::parse(&Value::Object(when.clone()), &fields)?;
    let asks = fields.own.asked(|field| filter.mentions(field)).max().unwrap_or_default();
    let definition = Definition {
        when: when.clone(),
        selector: Vec::new(),
        strategy: Strategy::default(),
        actions: Vec::new(),
        delay_s: 0,
        recheck: false,
        cancel_on: Vec::new(),
        on_match: OnMatch::Continue,
    };
    Ok(Compiled { rule: Id::NIL, version: 0, rank: 0, trigger: trigger.to_owned(), definition, filter, asks })
}

/// Whether conditions ask about what an event itself tells besides its type, time and author.
pub fn event_fields(when: &Map<String, Value>) -> bool {
    let mut found = false;
    texts(&Value::Object(when.clone()), "", &mut |place, text| {
        found |= place.ends_with("/field") && text.starts_with("event.");
    });
    found
}

const FILTER_CODES: [&str; 4] =
    ["filter_malformed", "filter_field_unknown", "filter_op_unknown", "filter_value_invalid"];

fn unknown_event(place: &str, event: &str) -> Problem {
    Problem::new(place, "rule_trigger_unknown", format!("There is no type of event {event}."))
}

fn check_action(place: &str, action: &Action, problems: &mut Vec<Problem>) {
    let mut check = |place: String, source: &str| {
        if let Err(detail) = template::check(source) {
            problems.push(Problem::new(place, "rule_template_invalid", detail));
        }
    };
    match action {
        Action::CreateTask(task) => {
            check(format!("{place}/create_task/title"), &task.title);
            check(format!("{place}/create_task/text"), task.text.as_deref().unwrap_or_default());
        }
        Action::Command(CommandTemplate { kind, id, command, body }) => {
            check(format!("{place}/command/id"), id.as_deref().unwrap_or_default());
            texts(&Value::Object(body.clone()), &format!("{place}/command/body"), &mut check);
            if !catalogue::kind(kind).is_some_and(|kind| kind.commands.contains(command)) {
                let detail = format!("There is no command {command} of a {kind} that a rule may issue.");
                problems.push(Problem::new(format!("{place}/command/command"), "rule_command_unknown", detail));
            }
        }
    }
}

/// Shows every text in a JSON value, with its place.
fn texts(value: &Value, place: &str, show: &mut impl FnMut(String, &str)) {
    match value {
        Value::String(text) => show(place.to_owned(), text),
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(index, value)| texts(value, &format!("{place}/{index}"), show));
        }
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| texts(value, &format!("{place}/{key}"), show));
        }
        _ => {}
    }
}

/// A version of a rule, ready to be asked.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The rule.
    pub rule: Id,
    /// The version.
    pub version: u32,
    /// Its place among the rules with its trigger.
    pub rank: i64,
    /// The type of event that triggers it.
    pub trigger: String,
    /// What it does.
    pub definition: Definition,
    filter: Filter,
    asks: Asks,
}

/// How much of the records a rule asks for; each step takes more reading than the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asks {
    /// What rules see of them.
    #[default]
    Documents,
    /// What lists alone tell too.
    Rows,
    /// What the records are called that these refer to, too.
    Names,
}

/// What a rule says about an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It matches.
    Matched {
        /// When it is carried out, if later.
        due_at: Option<Time>,
    },
    /// It does nothing.
    Skipped {
        /// Why.
        reason: SkipReason,
        /// The rule that stopped it.
        stopped_by: Option<Id>,
    },
}

/// The answer of one rule to one event.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    /// The rule.
    pub rule: &'a Compiled,
    /// Which rule was asked about what, and what its conditions said.
    pub asked: Asked,
    /// What it says.
    pub verdict: Verdict,
}

impl Answer<'_> {
    /// The id of the run that records it.
    pub fn run(&self) -> Id {
        self.asked.id()
    }

    /// The command that records it.
    pub fn command(&self) -> rule_run::Command {
        let asked = self.asked.clone();
        match self.verdict {
            Verdict::Matched { due_at } => rule_run::Command::Match { asked, due_at },
            Verdict::Skipped { reason, stopped_by } => rule_run::Command::Skip { asked, reason, stopped_by },
        }
    }
}

/// Asks the rules with this trigger, the lowest rank first (the older rule first among equals), until one that matches
/// stops the rest. Every rule gets an answer.
pub fn ask<'a>(rules: impl IntoIterator<Item = &'a Compiled>, trigger: &Trigger, scene: &Scene) -> Vec<Answer<'a>> {
    let mut rules: Vec<_> = rules.into_iter().filter(|rule| rule.trigger == trigger.event_type).collect();
    rules.sort_by_key(|rule| (rule.rank, rule.rule));
    let reference = trigger.reference(scene);
    let mut stopped_by = None;
    let answer = |rule: &'a Compiled| {
        let asked = |trace| Asked { rule: rule.rule, version: rule.version, trigger: reference.clone(), trace };
        if stopped_by.is_some() {
            let verdict = Verdict::Skipped { reason: SkipReason::Stopped, stopped_by };
            return Answer { rule, asked: asked(Vec::new()), verdict };
        }
        let (matched, trace) = rule.filter.explain(scene);
        let verdict = if matched {
            let delay = SignedDuration::from_secs(rule.definition.delay_s.into());
            let due_at = trigger.occurred_at.checked_add(delay).ok().filter(|_| rule.definition.delay_s > 0);
            stopped_by = (rule.definition.on_match == OnMatch::Stop).then_some(rule.rule);
            Verdict::Matched { due_at }
        } else {
            Verdict::Skipped { reason: SkipReason::NotMatched, stopped_by: None }
        };
        Answer { rule, asked: asked(trace), verdict }
    };
    rules.into_iter().map(answer).collect()
}

impl Compiled {
    /// Checks a version and makes it ready.
    ///
    /// # Errors
    /// Everything that makes no sense in it.
    pub fn new(
        rule: Id,
        version: u32,
        rank: i64,
        trigger: &str,
        definition: Definition,
        custom: CustomTypes,
    ) -> Result<Compiled, Vec<Problem>> {
        let filter = compile(trigger, &definition, custom)?;
        let mut asks = Asks::default();
        if let Some(vocabulary) = Vocabulary::of(trigger, CustomTypes::new()) {
            asks = vocabulary.asked(|field| filter.mentions(field)).max().unwrap_or_default();
            named(&definition, &mut |_, name| asks = asks.max(vocabulary.asks(name)));
        }
        Ok(Compiled { rule, version, rank, trigger: trigger.to_owned(), definition, filter, asks })
    }

    /// How much of the records it asks for.
    pub fn asks(&self) -> Asks {
        self.asks
    }

    /// Whether its conditions ask about anything but the event itself.
    pub fn asks_records(&self) -> bool {
        let mut any = false;
        self.filter.conditions(&mut |condition| any |= !condition.field.starts_with("event."));
        any
    }

    /// Whether its conditions ask for records that may be merged.
    pub fn asks_ids(&self) -> bool {
        let mut any = false;
        self.filter.conditions(&mut |condition| {
            any |= condition.is_of_ids() && !merging::kinds_meant(&condition.field).is_empty();
        });
        any
    }

    /// The records that its conditions name, and those that this scene has where they look: merged ones among them are to
    /// be known to the scene before it is asked.
    pub fn named_in(&self, scene: &Scene) -> BTreeSet<Subject> {
        let mut found = BTreeSet::new();
        self.filter.conditions(&mut |condition| {
            if !condition.is_of_ids() {
                return;
            }
            let written = condition.test.named().iter().filter_map(|scalar| match scalar {
                Scalar::Text(id) => Some(id.as_str()),
                _ => None,
            });
            let value = scene.get(&condition.field);
            let seen = value.and_then(Value::as_array).into_iter().flatten().chain(value).filter_map(Value::as_str);
            for id in written.chain(seen).filter_map(|id| id.parse().ok()) {
                found.extend(merging::kinds_meant(&condition.field).iter().map(|kind| Subject::new(kind, id)));
            }
        });
        found
    }

    /// Whether its conditions hold, without saying why: for backtests over many events.
    pub fn matches(&self, scene: &Scene) -> bool {
        self.filter.matches(scene)
    }

    /// Whether its conditions hold now, and why: to be asked again when a run is due.
    pub fn explain(&self, scene: &Scene) -> (bool, Vec<Check>) {
        self.filter.explain(scene)
    }

    /// Whether it is about what happens to orders: whom such a rule chooses gets the order.
    pub fn is_about_orders(&self) -> bool {
        self.trigger.split_once('.').is_some_and(|(kind, _)| kind == Order::KIND)
    }

    /// The channel whose operators alone may be given what it assigns: that of the conversation, where it assigns one.
    pub fn channel(&self, scene: &Scene) -> Option<Id> {
        let assigns = |action: &Action| match action {
            Action::Command(template) => template.kind == "conversation" && template.command == "assign",
            Action::CreateTask(_) => false,
        };
        let told = || scene.get("conversation.channel_id")?.as_str()?.parse().ok();
        self.definition.actions.iter().any(assigns).then(told).flatten()
    }

    /// Whether an event of this type, which concerns the record of a pending run, calls that run off. `pending` is the type
    /// of the event that triggered it.
    pub fn is_cancelled_by(&self, pending: &str, event_type: &str) -> bool {
        pending != event_type && self.definition.cancel_on.iter().any(|known| known == event_type)
    }

    /// Chooses and prepares what is to be done, at this time. `last` is the user whom this rule chose last.
    pub fn prepare(
        &self,
        trigger: &Trigger,
        scene: &Scene,
        people: &[Person],
        last: Option<Id>,
        at: Time,
    ) -> Preparation {
        let run = RuleRun::id_for(self.rule, self.version, &trigger.event_id);
        let seed = run.to_string();
        let candidates = people::candidates(&self.definition.selector, scene, people);
        let chosen = people::choose(self.definition.strategy, &candidates, last, &seed);
        let mut prepared = Preparation { at, candidates, chosen, seed, actions: Vec::new(), unknown: Vec::new() };
        // Nobody fits: the task is created all the same, so that it is not lost.
        let somebody: Vec<Option<&Person>> =
            prepared.chosen.iter().map(|user| people.iter().find(|person| person.id == *user)).collect();
        let somebody = if somebody.is_empty() { vec![None] } else { somebody };
        let drafting = Drafting { rule: self, trigger, scene, run, at };
        for (index, action) in self.definition.actions.iter().enumerate() {
            let place = format!("/actions/{index}");
            match action {
                Action::CreateTask(task) => {
                    for (turn, assignee) in somebody.iter().enumerate() {
                        drafting.task(task, *assignee, &format!("{place}/{turn}"), &place, &mut prepared);
                    }
                }
                Action::Command(command) => {
                    let each = if command.names_assignee() { &somebody[..] } else { &[None] };
                    for (turn, assignee) in each.iter().enumerate() {
                        drafting.command(command, *assignee, &format!("{place}/{turn}"), &place, &mut prepared);
                    }
                }
            }
        }
        prepared
    }
}

impl CommandTemplate {
    fn names_assignee(&self) -> bool {
        let mut named = self.id.as_deref().is_some_and(|id| id.contains("assignee"));
        let mut look = |_: String, text: &str| named |= text.contains("assignee") && text.contains("{{");
        texts(&Value::Object(self.body.clone()), "", &mut look);
        named
    }
}

/// What drafting the actions of a run needs.
struct Drafting<'a> {
    rule: &'a Compiled,
    trigger: &'a Trigger,
    scene: &'a Scene,
    run: Id,
    at: Time,
}

impl Drafting<'_> {
    fn context(&self, assignee: Option<&Person>) -> Context {
        let Drafting { rule, trigger, scene, run, .. } = self;
        let mut values = scene.values();
        values.insert("rule".into(), json!({ "id": rule.rule, "version": rule.version }));
        values.insert("run".into(), json!(run));
        values.insert("trigger".into(), json!(trigger.subject));
        values.extend(assignee.map(|user| ("assignee".to_owned(), json!({ "id": user.id, "name": user.name }))));
        Context::new(values)
    }

    /// An id that the same run makes again, at the time of the run.
    fn fresh(&self, name: &str) -> Id {
        let milliseconds = u64::try_from(self.at.as_millisecond()).unwrap_or_default();
        Id::derived(milliseconds, &["rule_run_record", &self.run.to_string(), name])
    }

    fn task(
        &self,
        task: &TaskTemplate,
        assignee: Option<&Person>,
        name: &str,
        place: &str,
        prepared: &mut Preparation,
    ) {
        let context = self.context(assignee);
        let mut text = |source: &str, field: &str| {
            let (text, unknown) = render(source, &context);
            note(&mut prepared.unknown, &format!("{place}/create_task/{field}"), unknown);
            text
        };
        let title = text(&task.title, "title");
        // A task is known by its title: rather the bare template than none.
        let title = if title.trim().is_empty() { task.title.clone() } else { title };
        let mut body = Map::new();
        body.insert("title".into(), title.chars().take(MAX_TITLE).collect::<String>().into());
        body.extend(task.text.as_ref().map(|source| ("text".to_owned(), text(source, "text").into())));
        body.insert("priority".into(), task.priority.level().into());
        body.extend(task.project.map(|project| ("project".to_owned(), json!(project))));
        body.insert("subjects".into(), json!(self.scene.subjects()));
        let due_in = task.due_in_s.map(|seconds| SignedDuration::from_secs(seconds.into()));
        let due_at = due_in.and_then(|due_in| self.at.checked_add(due_in).ok());
        body.extend(due_at.map(|due_at| ("due_at".to_owned(), json!(due_at))));
        body.insert("rule_run".into(), json!(self.run));
        if let Some(user) = assignee {
            let method = match self.rule.definition.strategy {
                Strategy::LeastBusy => AssignMethod::LeastBusy,
                Strategy::RoundRobin => AssignMethod::RoundRobin,
                Strategy::First | Strategy::All => AssignMethod::Rule,
            };
            body.insert("assignee".into(), json!(user.id));
            body.insert("method".into(), json!(method));
        }
        let body = Personal(Value::Object(body));
        prepared.actions.push(Dispatch { kind: "task".into(), id: self.fresh(name), command: "create".into(), body });
    }

    fn command(
        &self,
        template: &CommandTemplate,
        assignee: Option<&Person>,
        name: &str,
        place: &str,
        prepared: &mut Preparation,
    ) {
        let mut nobody = |what: &str, why: &str| {
            note(&mut prepared.unknown, &format!("{place}/command/{what}"), vec![why.to_owned()]);
        };
        if assignee.is_none() && template.names_assignee() {
            return nobody("body", "assignee");
        }
        let context = self.context(assignee);
        let (id, unknown) = match &template.id {
            Some(source) => {
                let (text, unknown) = render(source, &context);
                (text.trim().parse().ok(), unknown)
            }
            None if catalogue::kind(&template.kind).is_some_and(|kind| kind.create == template.command) => {
                (Some(self.fresh(name)), Vec::new())
            }
            // By default the trigger's own record, or the one of this kind that it concerns.
            None => (self.scene.id_of(&template.kind), Vec::new()),
        };
        let Some(id) = id else {
            return nobody("id", unknown.first().map_or("id", String::as_str));
        };
        let mut body = Value::Object(template.body.clone());
        template::render_all(&mut body, &format!("{place}/command/body"), &context, &mut prepared.unknown);
        let (kind, command) = (template.kind.clone(), template.command.clone());
        prepared.actions.push(Dispatch { kind, id, command, body: Personal(body) });
    }
}

fn note(unknown: &mut Vec<Unknown>, place: &str, names: Vec<String>) {
    for name in names {
        let new = Unknown { place: place.to_owned(), name };
        if !unknown.contains(&new) {
            unknown.push(new);
        }
    }
}

/// An example of a rule that was asked.
pub(crate) fn example_asked() -> Asked {
    let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
    let check = Check {
        place: String::new(),
        field: "order.total.amount".into(),
        op: crate::kernel::filter::Op::Between,
        value: json!(["50000", "1000000"]),
        actual: Personal("100500".into()),
        holds: true,
    };
    let trigger = TriggerRef {
        event_id: "019a9c4d-0000-7000-8000-000000000007".into(),
        position: 7,
        event_type: "order.placed".into(),
        subject: Subject::new("order", id(1)),
        person: Some(id(0xC)),
    };
    Asked { rule: id(2), version: 1, trigger, trace: vec![check] }
}

/// An example of what is to be done.
pub(crate) fn example_preparation() -> Preparation {
    let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
    let body = json!({ "title": "Confirm order 7", "priority": Priority::URGENT, "assignee": id(0xA) });
    Preparation {
        at: Time::from_second(1_767_225_600).unwrap_or_default(),
        candidates: vec![Candidate { user: id(0xA), group: 0, load: 2 }],
        chosen: vec![id(0xA)],
        seed: example_asked().id().to_string(),
        actions: vec![Dispatch { kind: "task".into(), id: id(3), command: "create".into(), body: Personal(body) }],
        unknown: vec![Unknown { place: "/actions/0/create_task/text".into(), name: "#PHONE#".into() }],
    }
}

#[cfg(test)]
mod tests;
