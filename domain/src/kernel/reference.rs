//! One record naming another: found in every command by its JSON schema, taken for the survivor where the other was
//! merged, and refused where it is not there.
//!
//! An id in a command's type says what it names: `#[schemars(extend("x-reference" = "contact"))]`. That is all a kind has
//! to do. What a command merely lets go of (an untagged label, a revoked role) is marked `x-held-reference` instead: the
//! record knows it already, whatever has become of it. `Subject` and `Party` say their kind beside the id.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Aggregate, Class, Ctx, Decision, Facts, Id, Need, Rejection, all,
    catalogue::{self, Kind},
    kernel::{
        aggregate::AnyState,
        any::{AnyCommand, AnyEvent},
        custom,
        schema::resolved,
    },
    must,
    org::{field::Field, role::Role, upload::Upload, user::User},
};

/// Most subjects of one comment, activity or task.
pub const MAX_SUBJECTS: usize = 50;

/// A record that does not exist, or is archived or merged.
pub const REFERENCE_UNFIT: Rejection =
    Rejection::invalid("reference_unfit", "There is no such record, or it is archived or merged.");
/// Subjects that are none, or too many.
pub const SUBJECTS_INVALID: Rejection = Rejection::invalid("subjects_invalid", "It is about 1 to 50 records.");

/// On the schema of an id: what it names.
pub const REFERENCE: &str = "x-reference";
/// On the schema of an id: the code of the refusal when the other record is not there, `reference_unfit` by default.
pub const REFUSAL: &str = "x-refusal";
/// On the schema of an id: what it names, when the record knows it already.
pub const HELD: &str = "x-held-reference";
/// On the schema of an upload's id: the `media_type` and `size` beside it are those that were found when it came, whatever whoever
/// names it says of them.
pub const DESCRIBED: &str = "x-described";
/// On the schema of a merge patch.
pub const PATCH: &str = "x-patch";

/// A colleague who is given something to do, and must be able to do it.
pub const COLLEAGUE: &str = "colleague";
/// A user or a team.
pub(crate) const USER_OR_TEAM: &str = "user_or_team";
/// A record whose kind stands beside its id.
pub const ANY: &str = "any";
/// Another record of the same kind, archived or not.
pub const SAME: &str = "same";
/// What an id may name besides a kind of record.
pub const TARGETS: [&str; 4] = [COLLEAGUE, USER_OR_TEAM, ANY, SAME];

/// A record of any kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-reference" = "any"))]
pub struct Subject {
    /// Its kind, such as `contact`.
    pub kind: String,
    /// Its id.
    pub id: Id,
}

impl Subject {
    /// The record `id` of this kind.
    pub fn new(kind: &str, id: Id) -> Subject {
        Subject { kind: kind.to_owned(), id }
    }
}

/// The first contact among the subjects: whose personal data a text about them holds.
pub fn person(subjects: &[Subject]) -> Option<Id> {
    subjects.iter().find(|subject| subject.kind == "contact").map(|subject| subject.id)
}

/// Refuses no subjects, and too many.
pub fn check_subjects(subjects: &[Subject]) -> Result<(), Rejection> {
    must((1..=MAX_SUBJECTS).contains(&subjects.len()), SUBJECTS_INVALID, "/subjects")
}

/// A place in a command's body where another record is named.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The way there; `*` is every item of a list and every member of a map.
    path: Vec<String>,
    /// A kind of record, or one of [`TARGETS`].
    target: String,
    /// The code of the refusal.
    refusal: Option<String>,
    /// Whether the body is a merge patch: what the record says already is not named anew.
    patch: bool,
    /// Whether what is said beside it of what is named is known better: [`DESCRIBED`].
    described: bool,
}

impl Place {
    /// As a JSON pointer, such as `/subjects/*`.
    pub fn pointer(&self) -> String {
        self.path.iter().map(|step| format!("/{step}")).collect()
    }

    /// What may stand there: a kind of record, or one of [`TARGETS`].
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// The places in a command's body, of this JSON schema, where other records are named.
pub fn places(schema: &Value, definitions: &Map<String, Value>) -> Vec<Place> {
    let mut places = Vec::new();
    walk(schema, definitions, &mut Vec::new(), &mut |path, schema| {
        if let Some(target) = schema.get(REFERENCE).and_then(Value::as_str) {
            let list = is_list(schema).then(|| "*".to_owned());
            let path = path.iter().cloned().chain(list).collect();
            let refusal = schema.get(REFUSAL).and_then(Value::as_str).map(ToOwned::to_owned);
            let described = schema.get(DESCRIBED).is_some();
            places.push(Place { path, target: target.to_owned(), refusal, patch: false, described });
        }
        schema.get(REFERENCE).is_some() || schema.get(HELD).is_some()
    });
    let patch = resolved(schema, definitions).get(PATCH).is_some();
    places.into_iter().map(|place| Place { patch, ..place }).collect()
}

/// Whether a schema takes lists, null aside.
fn is_list(schema: &Value) -> bool {
    let is = |kind: &Value| kind == "array";
    is(&schema["type"]) || schema["type"].as_array().is_some_and(|kinds| kinds.iter().any(is))
}

/// Shows every schema below this one with the way to it, until `stop` says that it has seen enough of one.
pub fn walk(
    schema: &Value,
    definitions: &Map<String, Value>,
    path: &mut Vec<String>,
    stop: &mut impl FnMut(&[String], &Value) -> bool,
) {
    // Nothing that a person writes lies deeper; a type that holds itself ends here.
    if path.len() > 12 || stop(path, schema) {
        return;
    }
    let below = resolved(schema, definitions);
    if !std::ptr::eq(below, schema) {
        return walk(below, definitions, path, stop);
    }
    for choice in ["anyOf", "oneOf", "allOf"].iter().filter_map(|key| schema[*key].as_array()).flatten() {
        walk(choice, definitions, path, stop);
    }
    let members = schema["properties"].as_object().into_iter().flatten().map(|(name, member)| (name.as_str(), member));
    let items = ["items", "additionalProperties"].iter().map(|key| ("*", &schema[*key]));
    for (step, member) in members.chain(items).filter(|(_, member)| member.is_object()) {
        path.push(step.to_owned());
        walk(member, definitions, path, stop);
        path.pop();
    }
}

/// A record that a command names.
pub(crate) struct Reference {
    /// The place that a refusal points at.
    pointer: String,
    /// The place of the id itself.
    at: String,
    /// The kinds of record that it may be; none when there is no such kind.
    kinds: Vec<&'static Kind>,
    /// What people call it.
    called: String,
    id: Id,
    fitness: Fitness,
    refusal: Rejection,
}

/// What a record must be to be named.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fitness {
    /// There, and neither archived nor merged.
    Live,
    /// A colleague who can work.
    Works,
    /// There.
    Exists,
}

impl Reference {
    /// The one that stands at a place in a command of `A`.
    fn read(kind: &Kind, place: &Place, pointer: String, value: &Value) -> Option<Reference> {
        let target = place.target.as_str();
        let (names, fitness) = match target {
            ANY => (vec![value["kind"].as_str()?], Fitness::Live),
            USER_OR_TEAM => (vec!["user", "team"], Fitness::Live),
            COLLEAGUE => (vec!["user"], Fitness::Works),
            SAME => (vec![kind.name], Fitness::Exists),
            named => (vec![named], Fitness::Live),
        };
        let (at, id) = match target {
            ANY => (format!("{pointer}/id"), &value["id"]),
            _ => (pointer.clone(), value),
        };
        let id = id.as_str()?.parse().ok()?;
        let called = names.join(" or ").replace('_', " ");
        let kinds = names.into_iter().filter_map(catalogue::kind).collect();
        let named = |code: &String| kind.refusals().into_iter().find(|known| known.code == *code);
        let refusal = place.refusal.as_ref().and_then(named);
        Some(Reference { pointer, at, kinds, called, id, fitness, refusal: refusal.unwrap_or(REFERENCE_UNFIT) })
    }

    /// A record that is named where no schema can say so: in a custom field.
    pub(crate) fn subject(pointer: impl Into<String>, subject: &Subject) -> Reference {
        let pointer = pointer.into();
        Reference {
            at: pointer.clone(),
            pointer,
            kinds: catalogue::kind(&subject.kind).into_iter().collect(),
            called: subject.kind.replace('_', " "),
            id: subject.id,
            fitness: Fitness::Live,
            refusal: REFERENCE_UNFIT,
        }
    }

    /// The records that it may be.
    fn subjects(&self) -> impl Iterator<Item = Subject> {
        self.kinds.iter().map(|kind| Subject::new(kind.name, self.id))
    }

    /// Whether it is among these.
    fn is_among(&self, hidden: &BTreeSet<Subject>) -> bool {
        !hidden.is_empty() && self.subjects().any(|subject| hidden.contains(&subject))
    }

    /// What must be known to judge it, as far as the facts go.
    fn needs(&self, facts: &Facts) -> Vec<Need> {
        let chain =
            |kind: &&'static Kind| self.chain(kind, facts).into_iter().map(|id| kind.need(id)).collect::<Vec<_>>();
        // What refers to a file is written beside it, and keeps it: it may not be deleted meanwhile.
        let kept = |need: Need| Need { guarded: need.guarded || need.kind == Upload::KIND, ..need };
        let named = self.kinds.iter().flat_map(chain).map(kept);
        if self.fitness != Fitness::Works {
            // One that is archived just now breaks no rule.
            return named.collect();
        }
        let user = facts.any(User::KIND, self.id).and_then(|state| state.downcast_ref::<User>());
        let roles = user.into_iter().flat_map(|user| user.roles.iter().copied().map(Need::of::<Role>));
        // Nobody is given work who is shut out at the same moment.
        named.map(|need| Need { guarded: true, ..need }).chain(roles).collect()
    }

    /// The records that it leads to, from merged to survivor, as far as the facts go.
    fn chain(&self, kind: &Kind, facts: &Facts) -> Vec<Id> {
        let mut chain = vec![self.id];
        while let Some(next) = chain
            .last()
            .and_then(|last| facts.any(kind.name, *last))
            .and_then(|state| kind.merged_into(state))
            .filter(|next| !chain.contains(next))
        {
            chain.push(next);
        }
        chain
    }

    fn survivor(&self, facts: &Facts) -> Id {
        let ends = self.kinds.iter().filter_map(|kind| self.chain(kind, facts).pop());
        ends.into_iter().find(|end| *end != self.id).unwrap_or(self.id)
    }

    fn is_fit(&self, facts: &Facts) -> bool {
        let role = |id: Id| facts.any(Role::KIND, id).and_then(|state| state.downcast_ref::<Role>());
        let has_role = |id: Id| role(id).is_some_and(Role::exists);
        let fit = |kind: &&Kind, state: &AnyState| match self.fitness {
            Fitness::Live => kind.is_live(state),
            Fitness::Works => state.downcast_ref::<User>().is_some_and(|user| user.can_work(has_role)),
            Fitness::Exists => kind.see(state).is_some(),
        };
        self.kinds.iter().any(|kind| facts.any(kind.name, self.id).is_some_and(|state| fit(kind, state)))
    }

    fn fault(&self) -> Rejection {
        let called = &self.called;
        let detail = match self.fitness {
            Fitness::Live => format!("There is no such {called}, or it is archived or merged."),
            Fitness::Works => "There is no such user, or none who can work: active, and with a role.".to_owned(),
            Fitness::Exists => format!("There is no such {called}."),
        };
        self.refusal.clone().because(detail).at(&self.pointer)
    }
}

/// The records that a command's body names, each with the place of its id; where no schema says so, in custom fields,
/// they are not found.
pub fn subjects_in(kind: &Kind, command: &str, body: &Value) -> Vec<(String, Subject)> {
    let mut found = Vec::new();
    for place in kind.references.get(command).into_iter().flatten() {
        find(body, &place.path, String::new(), &mut |pointer, value| {
            let (named, at, id) = match place.target.as_str() {
                ANY => (value["kind"].as_str(), format!("{pointer}/id"), &value["id"]),
                SAME => (Some(kind.name), pointer, value),
                target => (Some(target), pointer, value),
            };
            let id = id.as_str().and_then(|id| id.parse().ok());
            found.extend(named.zip(id).map(|(named, id)| (at, Subject::new(named, id))));
        });
    }
    found
}

/// A reference to a merged record, taken for the one that remains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Redirected {
    /// Its place in the command's body; empty for the record that the command was for.
    pub pointer: String,
    /// The record that was named.
    pub from: Id,
    /// The record that was meant.
    pub to: Id,
}

/// What follows from a command, as far as the facts go.
pub enum Ask {
    /// It depends on records that are not loaded yet.
    Facts(Vec<Need>),
    /// It is for another record, whose id follows from those that it names.
    Elsewhere {
        /// That record.
        id: Id,
        /// The command as it was meant.
        command: AnyCommand,
        /// What was taken for what.
        redirected: Vec<Redirected>,
    },
    /// It is decided.
    Decided {
        /// The events, or a refusal.
        decision: Decision<AnyEvent>,
        /// The states that it depends on.
        relied: Vec<Need>,
        /// What was taken for what.
        redirected: Vec<Redirected>,
    },
}

/// The other records that a command names.
pub struct Mentions {
    kind: &'static Kind,
    command: String,
    body: Value,
    references: Vec<Reference>,
    /// Files that it describes: the place of the description, and the upload.
    files: Vec<(String, Id)>,
    /// Values beyond what their fields take.
    faults: Vec<Rejection>,
    /// Records that are there, and that whoever asks may not see.
    hidden: BTreeSet<Subject>,
    afterwards: bool,
}

impl Mentions {
    /// Those of a command for a record in this state.
    pub fn of(kind: &'static Kind, state: &AnyState, command: &AnyCommand) -> Mentions {
        let (command, data) = command.encode();
        let body = serde_json::from_slice(&data).unwrap_or_default();
        let (references, files, faults, hidden) = (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
        let mut mentions = Mentions { kind, command, body, references, files, faults, hidden, afterwards: false };
        let limits = kind.limits.get(&mentions.command).filter(|_| kind.commands.contains(&mentions.command));
        let limits = limits.into_iter().flatten();
        mentions.faults = limits.flat_map(|limit| limit.faults(&mentions.body)).collect();
        let Some(places) = kind.references.get(&mentions.command) else { return mentions };
        let patches = places.iter().any(|place| place.patch);
        let known = patches.then(|| kind.see(state)).flatten().unwrap_or_default();
        for place in places {
            let mut add = |pointer: String, value: &Value| {
                if place.described
                    && let Some((beside, _)) = pointer.rsplit_once('/')
                    && let Some(id) = value.as_str().and_then(|id| id.parse().ok())
                {
                    mentions.files.push((beside.to_owned(), id));
                }
                let is_new = !place.patch || known.pointer(&pointer) != Some(value);
                mentions.references.extend(Reference::read(kind, place, pointer, value).filter(|_| is_new));
            };
            find(&mentions.body, &place.path, String::new(), &mut add);
        }
        mentions
    }

    /// The kinds of record that are named, each with its place.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let named = |reference: &'_ Reference| reference.kinds.iter().map(|kind| kind.name).collect::<Vec<_>>();
        self.references
            .iter()
            .flat_map(move |reference| named(reference).into_iter().map(move |kind| (kind, reference.at.as_str())))
    }

    /// The records that a command names, whatever they are said to be; in custom fields too, once the facts tell which.
    ///
    /// # Errors
    /// What must be loaded to tell.
    pub fn subjects(&self, state: &AnyState, ctx: &Ctx<'_>) -> Result<BTreeSet<Subject>, Need> {
        let custom = self.custom(state, ctx)?;
        let references = self.references.iter().chain(&custom);
        Ok(references.flat_map(Reference::subjects).collect())
    }

    /// The same for somebody who may not see these: to him they do not exist.
    #[must_use]
    pub fn hiding(self, hidden: BTreeSet<Subject>) -> Mentions {
        Mentions { hidden, ..self }
    }

    /// The same for a command that tells of the past: nobody is given work by it.
    #[must_use]
    pub fn told_afterwards(mut self) -> Mentions {
        self.afterwards = true;
        let works = self.references.iter_mut().filter(|reference| reference.fitness == Fitness::Works);
        works.for_each(|reference| reference.fitness = Fitness::Live);
        self
    }

    /// What a command leads to, those that it names being there. Asked again with what has been loaded, until it is decided.
    pub fn ask(&self, state: &AnyState, asked: &AnyCommand, ctx: &Ctx<'_>) -> Ask {
        let custom = match self.custom(state, ctx) {
            Ok(custom) => custom,
            Err(need) => return Ask::Facts(vec![need]),
        };
        let references: Vec<&Reference> = self.references.iter().chain(&custom).collect();
        let named = references.iter().flat_map(|reference| reference.needs(ctx.facts));
        let described = self.files.iter().map(|(_, id)| Need::of::<Upload>(*id));
        let missing: Vec<_> = named.chain(described).filter(|need| !ctx.facts.has(need.kind, need.id)).collect();
        if !missing.is_empty() {
            return Ask::Facts(missing);
        }
        let body = self.as_found(ctx.facts);
        let told = body.as_ref().and_then(|body| self.kind.command(&self.command, body.clone()).ok());
        let asked = told.as_ref().unwrap_or(asked);
        let as_asked = match decide(state, asked, ctx) {
            Ok(decided) => decided,
            Err(needs) => return Ask::Facts(needs),
        };
        let meant = match self.redirected(body.as_ref(), &references, ctx.facts) {
            // What is so already stays so, whatever has become of the others since.
            Some(meant) if !as_asked.0.as_ref().is_ok_and(Vec::is_empty) => meant,
            _ => {
                let (decision, relied) = as_asked;
                let decision = self.judge(&references, decision, ctx.facts);
                return Ask::Decided { decision, relied, redirected: Vec::new() };
            }
        };
        let (command, redirected) = meant;
        let id_follows = asked.id_for_new(ctx.tenant) == Some(ctx.id);
        if let Some(id) = command.id_for_new(ctx.tenant).filter(|id| id_follows && *id != ctx.id) {
            return Ask::Elsewhere { id, command, redirected };
        }
        match decide(state, &command, ctx) {
            Ok((decision, relied)) => {
                let mut meant = Mentions::of(self.kind, state, &command).hiding(self.hidden.clone());
                if self.afterwards {
                    meant = meant.told_afterwards();
                }
                let custom = match meant.custom(state, ctx) {
                    Ok(custom) => custom,
                    Err(need) => return Ask::Facts(vec![need]),
                };
                let references: Vec<&Reference> = meant.references.iter().chain(&custom).collect();
                let decision = meant.judge(&references, decision, ctx.facts);
                Ask::Decided { decision, relied, redirected }
            }
            Err(needs) => Ask::Facts(needs),
        }
    }

    /// The records that its custom fields name, or what must be loaded to tell.
    fn custom(&self, state: &AnyState, ctx: &Ctx<'_>) -> Result<Vec<Reference>, Need> {
        let values = self.body.get("custom").and_then(Value::as_object).filter(|_| self.kind.takes_custom_fields());
        let Some(values) = values.filter(|values| !values.is_empty()) else { return Ok(Vec::new()) };
        let need = custom::needs(self.kind.name, ctx);
        if !ctx.facts.has(need.kind, need.id) {
            return Err(need);
        }
        let definitions = &ctx.fact::<Field>(need.id).definitions;
        Ok(custom::references(definitions, self.kind.custom(state), values))
    }

    /// The body with each file as it was found when it came, where it says otherwise. Of what is no file there is, the decision says.
    fn as_found(&self, facts: &Facts) -> Option<Value> {
        let mut body = self.body.clone();
        for (beside, id) in &self.files {
            let upload = facts.state::<Upload>(Upload::KIND, *id).filter(|upload| upload.is_kept());
            let file = upload.as_ref().and_then(|upload| upload.file.as_ref());
            if let (Some(file), Some(Value::Object(said))) = (file, body.pointer_mut(beside)) {
                said.insert("media_type".into(), file.media_type.clone().into());
                said.insert("size".into(), file.size.into());
            }
        }
        (body != self.body).then_some(body)
    }

    /// The command as it was meant, when it names records that are merged into others.
    fn redirected(
        &self,
        body: Option<&Value>,
        references: &[&Reference],
        facts: &Facts,
    ) -> Option<(AnyCommand, Vec<Redirected>)> {
        let redirect = |reference: &&Reference| {
            if reference.is_among(&self.hidden) {
                return None;
            }
            let (pointer, from, to) = (reference.at.clone(), reference.id, reference.survivor(facts));
            (from != to).then_some(Redirected { pointer, from, to })
        };
        let redirected: Vec<_> = references.iter().filter_map(redirect).collect();
        let mut body = body.unwrap_or(&self.body).clone();
        for Redirected { pointer, to, .. } in &redirected {
            if let Some(id) = body.pointer_mut(pointer) {
                *id = to.to_string().into();
            }
        }
        let meant = (!redirected.is_empty()).then(|| self.kind.command(&self.command, body).ok())?;
        Some((meant?, redirected))
    }

    /// The decision, unless something would happen that names a record which is not there. Whatever else is wrong with the
    /// body is told with it.
    fn judge(&self, references: &[&Reference], decision: Decision<AnyEvent>, facts: &Facts) -> Decision<AnyEvent> {
        let unfit = || {
            let unfit =
                references.iter().filter(|reference| reference.is_among(&self.hidden) || !reference.is_fit(facts));
            self.faults.iter().cloned().chain(unfit.map(|reference| reference.fault()))
        };
        match decision {
            Ok(events) if events.is_empty() => Ok(events),
            Ok(events) => all(unfit().map(Err)).map(|()| events),
            Err(refusal) if refusal.class == Class::Invalid && !refusal.errors.is_empty() => {
                let told: Vec<_> = refusal.errors.iter().map(|error| error.pointer.clone()).collect();
                let is_told = |fault: &Rejection| {
                    let place = fault.errors.first().map(|error| error.pointer.as_str()).unwrap_or_default();
                    told.iter().any(|pointer| pointer.starts_with(place))
                };
                all([refusal].into_iter().chain(unfit().filter(|fault| !is_told(fault))).map(Err)).map(|()| Vec::new())
            }
            refused => refused,
        }
    }
}

/// A decision and the states that it depends on, or those that are not loaded yet.
type Decided = Result<(Decision<AnyEvent>, Vec<Need>), Vec<Need>>;

fn decide(state: &AnyState, command: &AnyCommand, ctx: &Ctx<'_>) -> Decided {
    let relied = command.needs(state, ctx);
    let missing: Vec<_> = relied.iter().filter(|need| !ctx.facts.has(need.kind, need.id)).cloned().collect();
    if missing.is_empty() { Ok((command.decide(state, ctx), relied)) } else { Err(missing) }
}

/// Shows every value that lies at the end of a path.
pub(crate) fn find(value: &Value, path: &[String], pointer: String, show: &mut impl FnMut(String, &Value)) {
    let Some((step, rest)) = path.split_first() else { return show(pointer, value) };
    match value {
        Value::Array(items) if step == "*" => {
            items.iter().enumerate().for_each(|(place, item)| find(item, rest, format!("{pointer}/{place}"), show));
        }
        Value::Object(members) if step == "*" => {
            members.iter().for_each(|(name, item)| find(item, rest, format!("{pointer}/{name}"), show));
        }
        Value::Object(members) => {
            if let Some(member) = members.get(step) {
                find(member, rest, format!("{pointer}/{step}"), show);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use schemars::SchemaGenerator;
    use serde_json::json;

    use super::*;
    use crate::{
        Actor, Authority, Ctx,
        catalogue::{Visitor, visit_all},
        crm::{
            comment::{self, Comment},
            contact::{self, Contact},
            deal::Deal,
            relation::{self, Relation},
        },
        kernel::{
            any,
            given::{ANNA, SUBJECT, TENANT, at, created, given},
            named::Either,
        },
    };

    /// Ids by which a record knows its own parts, and those of what Deskfold keeps no record of: calendars, chatbots, uploads,
    /// readers.
    const NO_RECORD: &[&str] = &[
        "message_id",
        "transcript_id",
        "note_id",
        "media_id",
        "payment_id",
        "up_to",
        "messages",
        "new_ticket",
        "order",
        "upload_id",
        "calendar",
        "chatbot",
        "display_rule",
        "before",
        "matched_rule",
        "credential",
        "address",
        "codes",
        "link",
        "picture",
        "session",
        "voter",
        "browser",
        "device",
    ];

    fn is_id(schema: &Value) -> bool {
        let id = |schema: &Value| schema["$ref"].as_str().is_some_and(|path| path.ends_with("/Id"));
        id(schema) || schema["anyOf"].as_array().is_some_and(|choices| choices.iter().any(id))
    }

    /// Whoever adds an id to a command says here or there what it names.
    #[test]
    fn every_id_in_a_command_says_what_it_names() {
        struct Ids;
        impl Visitor for Ids {
            fn visit<A: Aggregate>(&mut self) {
                let generator = &mut SchemaGenerator::default();
                let commands = A::commands(generator);
                let definitions = generator.take_definitions(true);
                for command in commands {
                    let mut forgotten = BTreeSet::new();
                    walk(command.schema.as_value(), &definitions, &mut Vec::new(), &mut |path, schema| {
                        let name = path.iter().rev().find(|step| *step != "*").map(String::as_str).unwrap_or_default();
                        let told = schema.get(REFERENCE).or(schema.get(HELD)).is_some() || NO_RECORD.contains(&name);
                        if is_id(schema) && !told {
                            forgotten.insert(path.join("/"));
                        }
                        told
                    });
                    assert!(forgotten.is_empty(), "{}.{}: what do {forgotten:?} name?", A::KIND, command.name);
                }
                let known = catalogue::kind(A::KIND).unwrap();
                let codes: BTreeSet<_> = A::refusals().into_iter().map(|refusal| refusal.code).collect();
                for (command, place) in
                    known.references.iter().flat_map(|(name, all)| all.iter().map(move |p| (name, p)))
                {
                    let target = place.target();
                    assert!(catalogue::has(target) || TARGETS.contains(&target), "{}.{command}: {target}", A::KIND);
                    let code = place.refusal.as_deref().unwrap_or("reference_unfit");
                    assert!(codes.contains(code), "{}'s refusals() lack {code}", A::KIND);
                }
            }
        }
        visit_all(&mut Ids);
    }

    #[test]
    fn places_are_found_in_lists_maps_patches_and_choices() {
        let of = |kind: &str, command: &str| {
            let places = catalogue::kind(kind).unwrap().references.get(command).cloned().unwrap_or_default();
            places.iter().map(|place| (place.pointer(), place.target().to_owned())).collect::<BTreeSet<_>>()
        };
        let places = |all: &[(&str, &str)]| all.iter().map(|(at, to)| ((*at).to_owned(), (*to).to_owned())).collect();
        assert_eq!(of("deal", "record"), places(&[("/property", "property"), ("/contacts/*", "contact")]));
        assert_eq!(of("comment", "add"), places(&[("/subjects/*", "any")]));
        assert_eq!(of("task", "edit"), places(&[("/project", "project")]));
        assert_eq!(of("contact", "share"), places(&[("/grantee", "user_or_team")]));
        assert_eq!(of("contact", "unshare"), places(&[]));
        let project = ("/actions/*/create_task/project", "project");
        let group = [("/selector/*/user", "user"), ("/selector/*/role", "role"), ("/selector/*/team", "team")];
        assert_eq!(of("rule", "publish"), places(&[project, group[0], group[1], group[2]]));
    }

    fn ask<A: Aggregate>(state: &A, id: Id, name: &str, body: Value, facts: &mut Facts) -> Ask {
        let (actor, authority) = (Actor::user(ANNA), Authority::full());
        let command = any::decode::<A>(name, body).unwrap();
        let state = AnyState::new(state.clone());
        loop {
            let ctx =
                Ctx { tenant: TENANT, id, now: at(0), actor: &actor, authority: &authority, seed: "command", facts };
            match Mentions::of(catalogue::kind(A::KIND).unwrap(), &state, &command).ask(&state, &command, &ctx) {
                Ask::Facts(needs) => {
                    for need in needs {
                        let state = (need.fold)(None, &mut std::iter::empty()).unwrap();
                        facts.insert(need.kind, need.id, state);
                    }
                }
                asked => return asked,
            }
        }
    }

    fn added(event: &AnyEvent) -> comment::New {
        let (actor, authority, facts) = (Actor::user(ANNA), Authority::full(), Facts::default());
        let ctx = Ctx {
            tenant: TENANT,
            id: SUBJECT,
            now: at(0),
            actor: &actor,
            authority: &authority,
            seed: "",
            facts: &facts,
        };
        let told = event.tell(&AnyState::new(()), &ctx).event;
        let comment::Event::Added(new) = Comment::decode(&told.event_type, &told.data).unwrap() else {
            panic!("{}", told.event_type)
        };
        new
    }

    fn refused(asked: Ask) -> (String, Vec<String>) {
        let Ask::Decided { decision: Err(refusal), .. } = asked else { panic!("it is not refused") };
        (refusal.code.to_string(), refusal.errors.into_iter().map(|error| error.pointer).collect())
    }

    const MARIA: Id = Id::from_bits(0xC1);
    const MARY: Id = Id::from_bits(0xC2);

    /// Maria is merged into Mary.
    fn merged() -> Facts {
        let mut facts = Facts::default();
        let merged = contact::Event::Merged { into: MARY, redirects: vec![] };
        let maria = given::<Contact>(created::<contact::Spec>().into_iter().chain([Either::Own(merged)])).state;
        facts.insert("contact", MARIA, AnyState::new(maria));
        facts.insert("contact", MARY, AnyState::new(given::<Contact>(created::<contact::Spec>()).state));
        facts
    }

    #[test]
    fn all_that_are_not_there_are_told_at_once_and_with_what_else_is_wrong() {
        let deal = Deal::default();
        let body = json!({ "name": "Flat", "contact": ANNA, "property": ANNA, "owner": SUBJECT });
        let found = refused(ask(&deal, SUBJECT, "create", body, &mut Facts::default()));
        assert_eq!(found.0, "reference_unfit");
        let pointers = |all: &[&str]| all.iter().map(|at| (*at).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(found.1.into_iter().collect::<BTreeSet<_>>(), pointers(&["/contact", "/property", "/owner"]));
        let found =
            refused(ask(&deal, SUBJECT, "create", json!({ "name": " ", "contact": ANNA }), &mut Facts::default()));
        assert_eq!(found.0, "name_invalid");
        assert_eq!(found.1, ["/name", "/contact"]);
        let unicorn = json!({ "subjects": [{ "kind": "unicorn", "id": ANNA }], "text": "Seen" });
        let comment = Comment::default();
        assert_eq!(refused(ask(&comment, SUBJECT, "add", unicorn, &mut Facts::default())).1, ["/subjects/0"]);
    }

    #[test]
    fn an_edit_judges_only_what_it_names_anew() {
        let deal = given::<Deal>(created::<crate::crm::deal::Spec>()).state;
        let contact = deal.fields.as_ref().unwrap().contact;
        let again =
            ask(&deal, SUBJECT, "edit", json!({ "contact": contact, "pipeline": "rent" }), &mut Facts::default());
        assert!(matches!(again, Ask::Decided { decision: Ok(events), .. } if events.len() == 1));
        let other = ask(&deal, SUBJECT, "edit", json!({ "contact": ANNA }), &mut Facts::default());
        assert_eq!(refused(other).1, ["/contact"]);
    }

    #[test]
    fn a_merged_record_is_taken_for_the_one_that_remains() {
        let subjects = json!([{ "kind": "contact", "id": MARIA }]);
        let comment = Comment::default();
        let body = json!({ "subjects": subjects, "text": "Seen" });
        let asked = ask(&comment, SUBJECT, "add", body.clone(), &mut merged());
        let Ask::Decided { decision: Ok(events), redirected, .. } = asked else { panic!("it is refused") };
        let [event] = &events[..] else { panic!("{} events", events.len()) };
        let new = added(event);
        assert_eq!(new.subjects, [Subject::new("contact", MARY)]);
        assert_eq!(redirected, [Redirected { pointer: "/subjects/0/id".into(), from: MARIA, to: MARY }]);
        // Said before the merge, and said again.
        let before = comment::New { subjects: vec![Subject::new("contact", MARIA)], ..new };
        let comment = given::<Comment>([comment::Event::Added(before)]).state;
        let again = ask(&comment, SUBJECT, "add", body, &mut merged());
        assert!(
            matches!(again, Ask::Decided { decision: Ok(events), redirected, .. } if events.is_empty() && redirected.is_empty())
        );
    }

    #[test]
    fn a_record_whose_id_follows_from_others_is_found_where_they_have_gone() {
        let ends = |contact| relation::Ends {
            from: Subject::new("contact", contact),
            to: Subject::new("company", ANNA),
            role: "owner".into(),
        };
        let id = ends(MARIA).id(TENANT);
        let asked = ask(&Relation::default(), id, "add", json!(ends(MARIA)), &mut merged());
        assert!(matches!(asked, Ask::Elsewhere { id, .. } if id == ends(MARY).id(TENANT)));
    }
}
