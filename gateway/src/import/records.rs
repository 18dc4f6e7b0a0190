//! Records of one kind, as a file tells them: every row creates one or brings it up to date, and what may be one record is told
//! and not merged.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use commands::{Envelope, Refused};
use domain::{
    Authority, Id, Time, Via,
    crm::contact::{Identity, IdentityKind},
    kernel::external::ExternalId,
    org::{field::Field, tenant::Tenant},
};
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::{
    Before, CONCURRENT, Failed, Handed, Run, Stop, Verdict,
    attributes::By,
    finder::Finder,
    id_of,
    lookup::called,
    rows::{Fault, Header, Row},
    sheet::{Existing, Sheet, Spoken},
    target::Target,
};

/// Kinds whose records are known by what they are called, where the file has no key for them.
const BY_NAME: &[&str] = &["company", "product", "project"];

/// Records that may be the same as one that a row led to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Duplicate {
    pub(crate) row: u64,
    pub(crate) line: u64,
    /// The record of the row.
    pub(crate) record: Id,
    /// The others, and by what they are like it: `email`, `phone` or `name`.
    pub(crate) candidates: BTreeMap<Id, BTreeSet<&'static str>>,
}

/// What a row would lead to.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) record: Id,
    pub(crate) creates: bool,
    pub(crate) commands: Vec<(String, Value)>,
}

/// The record that one thing led to, and how many events that took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Brought {
    pub(crate) record: Id,
    pub(crate) events: usize,
}

/// Brings records in, window by window.
pub(crate) struct Records {
    run: Run,
    sheet: Sheet,
    header: Header,
    target: Target,
    finder: Option<Finder>,
    duplicates: Mutex<Vec<Duplicate>>,
    told: Mutex<BTreeMap<u64, Told>>,
}

/// A row with what it says.
type Entry = (Row, Result<Spoken, Fault>);

/// The record that a row means.
struct Place {
    id: Id,
    external: Option<ExternalId>,
    /// Addresses that other contacts have: the attributes that say them, with the text.
    withheld: BTreeSet<(&'static str, String)>,
    candidates: BTreeMap<Id, BTreeSet<&'static str>>,
}

impl Records {
    pub(crate) fn new(run: Run, sheet: Sheet, header: Header, target: Target) -> Records {
        let (duplicates, told) = (Mutex::default(), Mutex::default());
        Records { run, sheet, header, target, finder: None, duplicates, told }
    }

    /// The duplicates that were found since this was asked last.
    pub(crate) fn duplicates(&self) -> Vec<Duplicate> {
        let mut found = std::mem::take(&mut *self.duplicates.lock());
        found.sort_by_key(|duplicate| duplicate.row);
        found
    }

    /// What the rows of the last window would lead to, or have led to.
    pub(crate) fn told(&self) -> BTreeMap<u64, Told> {
        std::mem::take(&mut *self.told.lock())
    }

    /// Sees to it that there is something that finds records.
    async fn prepare(&mut self) -> Result<(), Stop> {
        let tenant = self.run.tenant;
        if self.finder.is_none() {
            let country = self.target.state::<Tenant>(tenant, tenant).await?.default_country();
            self.finder = Some(Finder::new(self.run.clone(), self.target.clone(), country));
        }
        Ok(())
    }

    /// The fields that the tenant has defined for records of this kind.
    async fn fields(&self) -> Result<std::sync::Arc<Field>, Stop> {
        let tenant = self.run.tenant;
        Ok(self.target.state::<Field>(tenant, Field::id_for(tenant, self.sheet.shape.kind.name)).await?)
    }

    /// What the mapping makes of one thing.
    pub(crate) async fn spoken(&self, row: &Row) -> Result<Result<Spoken, Fault>, Stop> {
        let fields = self.fields().await?;
        Ok(self.sheet.read(&self.header, &fields, row))
    }

    /// Brings one thing in, as this step of what was handed in.
    pub(crate) async fn bring(&mut self, step: u64, spoken: Spoken) -> Result<Result<Brought, Fault>, Stop> {
        self.prepare().await?;
        let Some(finder) = &self.finder else { return Err(Stop::Never("nothing finds records".into())) };
        let row = Row { number: step, line: step, cells: Vec::new(), fault: None };
        let spoken = self.completed(spoken);
        match self.row(finder, &row, spoken).await {
            Ok((record, events)) => Ok(Ok(Brought { record, events })),
            Err(Failed::Fault(fault)) => Ok(Err(fault)),
            Err(Failed::Refused(Refused::Rejected(rejection))) => Ok(Err(rejection.into())),
            Err(Failed::Refused(refused)) => Err(refused.into()),
        }
    }

    /// The record that one thing means, if there is one: it is not brought in.
    pub(crate) async fn known(&mut self, spoken: &Spoken) -> Result<Option<Id>, Stop> {
        self.prepare().await?;
        let Some(finder) = &self.finder else { return Err(Stop::Never("nothing finds records".into())) };
        let row = Row { number: 0, line: 0, cells: Vec::new(), fault: None };
        let place = match self.place(finder, &row, spoken).await {
            Ok(place) => place.id,
            Err(Failed::Fault(_)) => return Ok(None),
            Err(Failed::Refused(refused)) => return Err(refused.into()),
        };
        Ok(if finder.exists(self.sheet.shape.kind, place).await? { Some(place) } else { None })
    }

    /// Deals with rows: those that may mean one record in order, others at once.
    pub(crate) async fn window(&mut self, rows: Vec<Row>, before: &Before) -> Result<Vec<(Row, Verdict)>, Stop> {
        self.prepare().await?;
        let Some(finder) = &self.finder else { return Err(Stop::Never("nothing finds records".into())) };
        self.told.lock().clear();
        let fields = self.fields().await?;
        let mut entries: Vec<(Entry, Vec<String>)> = Vec::new();
        for row in rows {
            let spoken = self.sheet.read(&self.header, &fields, &row).map(|spoken| self.completed(spoken));
            let marks = spoken.as_ref().map(|spoken| self.marks(finder, spoken)).unwrap_or_default();
            entries.push(((row, spoken), marks));
        }
        let spoken = || entries.iter().filter_map(|((_, spoken), _)| spoken.as_ref().ok());
        let addresses = spoken().flat_map(|spoken| self.keys(finder, spoken)).collect();
        let external = spoken().filter_map(|spoken| self.external(spoken)).map(|external| external.key()).collect();
        finder.look_ahead(self.sheet.shape.kind, addresses, external).await?;
        let this = &*self;
        let verdicts: Vec<Vec<(Row, Verdict)>> = stream::iter(grouped(entries))
            .map(|group| async move {
                let mut verdicts = Vec::with_capacity(group.len());
                for (row, spoken) in group {
                    let verdict = match (before.get(&row.number), spoken) {
                        (Some(events), Ok(spoken)) => {
                            // It was carried out before it was interrupted; what it is like was not recorded.
                            match this.place(finder, &row, &spoken).await {
                                Ok(place) => this.remember(&row, place.id, place.candidates),
                                Err(Failed::Fault(_)) => {}
                                Err(Failed::Refused(refused)) => return Err(refused.into()),
                            }
                            Verdict::events(*events)
                        }
                        (Some(events), _) => Verdict::events(*events),
                        (None, Err(fault)) => Verdict::Rejected(fault),
                        (None, Ok(spoken)) => {
                            Verdict::of(this.row(finder, &row, spoken).await.map(|(_, events)| events))?
                        }
                    };
                    verdicts.push((row, verdict));
                }
                Ok::<_, Stop>(verdicts)
            })
            .buffer_unordered(CONCURRENT)
            .try_collect()
            .await?;
        Ok(verdicts.into_iter().flatten().collect())
    }

    /// What follows from the rest: an order's number is what the other system calls it.
    fn completed(&self, mut spoken: Spoken) -> Spoken {
        if self.sheet.shape.kind.name == "order" {
            let source = || Value::String(self.run.source.clone());
            spoken.body.entry("source").or_insert_with(source);
            let number = spoken.body.get("external_number").and_then(Value::as_str).map(str::to_owned);
            match (&spoken.key, number) {
                (None, number) => spoken.key = number,
                (Some(key), None) => drop(spoken.body.insert("external_number".into(), key.clone().into())),
                (Some(_), Some(number)) => spoken.key = Some(number),
            }
        }
        spoken
    }

    fn external(&self, spoken: &Spoken) -> Option<ExternalId> {
        let source = match self.sheet.shape.kind.name {
            "order" => text(&spoken.body, "source").unwrap_or(&self.run.source),
            _ => &self.run.source,
        };
        let external_id = spoken.key.clone()?;
        Some(ExternalId { source: source.to_owned(), external_id })
    }

    /// The name by which the record is known, where it is.
    fn name<'a>(&self, spoken: &'a Spoken) -> Option<&'a str> {
        if BY_NAME.contains(&self.sheet.shape.kind.name) { text(&spoken.body, "name") } else { None }
    }

    /// The addresses at which a contact is reached, with the attributes that say them.
    fn addresses(&self, finder: &Finder, spoken: &Spoken) -> Vec<(&'static str, String, Identity)> {
        if self.sheet.shape.kind.name != "contact" {
            return Vec::new();
        }
        let all: [(&'static str, IdentityKind); 4] = [
            ("email", IdentityKind::Email),
            ("phone", IdentityKind::Phone),
            ("further_emails", IdentityKind::Email),
            ("further_phones", IdentityKind::Phone),
        ];
        let mut addresses = Vec::new();
        for (attribute, kind) in all {
            let texts = match spoken.body.get(attribute) {
                Some(Value::String(text)) => vec![text.as_str()],
                Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
                _ => Vec::new(),
            };
            addresses.extend(texts.into_iter().map(|text| (attribute, text.to_owned(), finder.identity(kind, text))));
        }
        addresses
    }

    /// The names that its addresses claim.
    fn keys(&self, finder: &Finder, spoken: &Spoken) -> Vec<String> {
        self.addresses(finder, spoken).into_iter().flat_map(|(_, _, identity)| identity.keys()).collect()
    }

    /// What rows have in common that may mean one record.
    fn marks(&self, finder: &Finder, spoken: &Spoken) -> Vec<String> {
        let key = self.external(spoken).map(|external| format!("key {}", external.key()));
        let name = self.name(spoken).map(|name| format!("name {}", called(name)));
        key.into_iter().chain(name).chain(self.keys(finder, spoken)).collect()
    }

    /// The record that a row means, and those that may be the same.
    async fn place(&self, finder: &Finder, row: &Row, spoken: &Spoken) -> Result<Place, Failed> {
        let (tenant, kind) = (self.run.tenant, self.sheet.shape.kind);
        let addresses = self.addresses(finder, spoken);
        let mut owners = Vec::new();
        let mut alike: BTreeMap<Id, BTreeSet<&'static str>> = BTreeMap::new();
        for (attribute, text, identity) in &addresses {
            if let Some(owner) = finder.reached(identity).await? {
                let id = finder.survivor(kind, owner).await?;
                let by = if identity.kind == IdentityKind::Email { "email" } else { "phone" };
                alike.entry(id).or_default().insert(by);
                owners.push((*attribute, text.clone(), owner, id));
            }
        }
        let name = self.name(spoken);
        for id in match name {
            Some(name) => finder.named(kind, name).await?,
            None => BTreeSet::new(),
        } {
            alike.entry(id).or_default().insert("name");
        }

        let external = self.external(spoken);
        let known = match &external {
            Some(external) => match finder.external(kind, external).await? {
                Some(id) => Some(finder.survivor(kind, id).await?),
                None => None,
            },
            None => None,
        };
        let id = match (known, &external) {
            (Some(id), _) => id,
            (None, Some(external)) => match self.same(finder, spoken, &alike, Some(&external.source)).await?.as_slice()
            {
                [one] => *one,
                [first, ..] if self.run.handed.is_some() => owners.first().map_or(*first, |(_, _, _, id)| *id),
                _ => id_of(tenant, &external.source, kind.name, &external.external_id),
            },
            (None, None) => match self.same(finder, spoken, &alike, None).await?.as_slice() {
                [one] => *one,
                [_, ..] if name.is_some() => {
                    let what = kind.plural.replace('_', " ");
                    let reason = format!("Several {what} are called {}: use a key.", name.unwrap_or_default());
                    return Err(Fault { code: format!("{}_ambiguous", kind.name).into(), reason, pointer: None }.into());
                }
                // Of several contacts the one with the first e-mail address.
                [first, ..] => owners.first().map_or(*first, |(_, _, _, id)| *id),
                [] => {
                    let address = addresses.first().map(|(_, _, identity)| identity.key());
                    let name = || text(&spoken.body, "name").map(|name| format!("name {}", called(name)));
                    let own = match kind.name {
                        "contact" => address.or_else(name),
                        _ => self.name(spoken).map(|name| format!("name {}", called(name))),
                    };
                    let own = own.unwrap_or_else(|| match &self.run.handed {
                        Some(_) => format!("delivery {}", self.run.import),
                        None => format!("row {}", json!(row.cells)),
                    });
                    id_of(tenant, &self.run.source, kind.name, &own)
                }
            },
        };
        let id = finder.survivor(kind, id).await?;
        let elsewhere = owners.into_iter().filter(|(_, _, owner, _)| *owner != id);
        let withheld = elsewhere.map(|(attribute, text, _, _)| (attribute, text)).collect();
        alike.remove(&id);
        Ok(Place { id, external, withheld, candidates: alike })
    }

    /// Which of those that are alike are the record that the row means, unless the source calls them something else.
    async fn same(
        &self,
        finder: &Finder,
        spoken: &Spoken,
        alike: &BTreeMap<Id, BTreeSet<&'static str>>,
        source: Option<&str>,
    ) -> Result<Vec<Id>, Failed> {
        let kind = self.sheet.shape.kind;
        let mut same = Vec::new();
        for (id, by) in alike {
            let ids = finder.external_ids(kind, *id).await?;
            if source.is_some_and(|source| ids.iter().any(|known| known.source == source)) {
                continue;
            }
            // Several people may share a telephone; who calls or orders with it is one of them, whatever is said of the name.
            if by.iter().all(|by| *by == "phone") && self.run.handed.is_none() {
                let state = self.target.state_of(kind, self.run.tenant, *id).await?;
                let there = kind.see(&state).unwrap_or_default();
                let named = |name: Option<&str>| name.map(called).unwrap_or_default();
                let (theirs, ours) = (there["email"].as_str(), text(&spoken.body, "email"));
                if named(there["name"].as_str()) != named(text(&spoken.body, "name")) || theirs.and(ours).is_some() {
                    continue;
                }
            }
            same.push(*id);
        }
        Ok(same)
    }

    fn remember(&self, row: &Row, record: Id, candidates: BTreeMap<Id, BTreeSet<&'static str>>) {
        if !candidates.is_empty() {
            self.duplicates.lock().push(Duplicate { row: row.number, line: row.line, record, candidates });
        }
    }

    async fn row(&self, finder: &Finder, row: &Row, spoken: Spoken) -> Result<(Id, usize), Failed> {
        let (tenant, kind) = (self.run.tenant, self.sheet.shape.kind);
        let Place { id, external, withheld, candidates } = self.place(finder, row, &spoken).await?;
        let name = self.name(&spoken).map(str::to_owned);
        let (addresses, key) = (self.keys(finder, &spoken), external.as_ref().map(ExternalId::key));
        let Spoken { created, body, mentions, .. } = spoken;
        let mut body = without(body, &withheld);
        let state = self.target.state_of(kind, tenant, id).await?;
        let there = kind.see(&state);
        let creates = there.is_none();
        let created = created.filter(|_| creates);
        let mut said = Value::Object(body);
        for mention in &mentions {
            let found = finder.mentioned(mention, created).await.map_err(|failed| match failed {
                Failed::Fault(fault) => Failed::Fault(fault.of(mention.whole.trim_start_matches('/'))),
                refused => refused,
            })?;
            let (place, value) = match found {
                Some(id) => (&mention.pointer, json!(id)),
                None => (&mention.whole, Value::Null),
            };
            if let Some(there) = said.pointer_mut(place) {
                *there = value;
            }
        }
        body = match said {
            Value::Object(body) => body,
            _ => Map::new(),
        };
        body.retain(|_, value| {
            if let Value::Array(values) = value {
                values.retain(|value| !value.is_null());
            }
            !value.is_null()
        });
        let known = finder.external_ids(kind, id).await?;
        let new = external.filter(|external| self.sheet.shape.keeps_external_ids() && !known.contains(external));
        let named = self.commands(there.as_ref(), body, new)?;
        let mut commands = Vec::with_capacity(named.len());
        for (name, body) in &named {
            let command = kind.command(name, body.clone()).map_err(|error| {
                let code = if error.code == "required" { "value_missing" } else { "value_invalid" };
                let reason = format!("{}: {}", error.pointer.trim_start_matches('/'), error.detail);
                let pointer = Some(error.pointer).filter(|pointer| !pointer.is_empty());
                Fault { pointer, ..Fault::new(code, reason) }
            })?;
            commands.push(command);
        }
        let events = if commands.is_empty() {
            0
        } else {
            let mut envelope = Envelope::new(tenant, id, self.run.actor.clone(), Via::Import, Time::now());
            // It tells what happened elsewhere: `import.run` is the right to do so.
            envelope.authority = Authority::full();
            envelope.command_id = self.run.command_id(row.number);
            envelope.correlation_id = Some(self.run.correlation());
            envelope.occurred_at = created;
            if let Some(handed) = &self.run.handed {
                envelope = envelope.caused_by(&handed.cause);
                let mark = Handed::mark(self.run.import, handed.attempt, row.number);
                envelope.mark = Some((Handed::MARK.to_owned(), mark));
            }
            match self.target.carry_out_any(&envelope, kind, commands).await {
                // It was done before whoever did it could say so.
                Err(Refused::Marked) if self.run.handed.is_some() => 0,
                outcome => outcome?,
            }
        };
        finder.are_taken(kind, addresses, key);
        if let (Some(name), true) = (name, creates) {
            finder.is_named(kind, &name, id).await;
        }
        self.remember(row, id, candidates);
        self.told.lock().insert(row.number, Told { record: id, creates, commands: named });
        Ok((id, events))
    }

    /// The commands that bring a record to what is said of it; those that change nothing are left out where that is seen.
    fn commands(
        &self,
        there: Option<&Value>,
        body: Map<String, Value>,
        external: Option<ExternalId>,
    ) -> Result<Vec<(String, Value)>, Fault> {
        let shape = self.sheet.shape;
        if there.is_some() && self.sheet.existing == Existing::Keep {
            return Ok(Vec::new());
        }
        let fills = there.is_some() && self.sheet.existing == Existing::Fill;
        let mut first = Map::new();
        let (mut before, mut further, mut last) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value) in body {
            let now = there.map(|there| {
                if name == "company" && there["companies"].is_array() { &there["companies"] } else { &there[&name] }
            });
            let blank = now.is_none_or(is_blank);
            if fills && !blank && name != "custom" {
                continue;
            }
            if name == "custom" {
                let lacks = |key: &str| !fills || now.is_none_or(|now| is_blank(&now[key]));
                let differs = |key: &str, value: &Value| now.is_none_or(|now| now[key] != *value);
                let Value::Object(custom) = value else { continue };
                let custom: Map<_, _> =
                    custom.into_iter().filter(|(key, value)| lacks(key) && differs(key, value)).collect();
                if !custom.is_empty() {
                    first.insert(name, custom.into());
                }
                continue;
            }
            let Some(attribute) = shape.attribute(&name) else { continue };
            match (&attribute.by, now) {
                (_, Some(now)) if *now == value => {}
                (By::Attribute { .. } | By::Command { created: true, .. } | By::Tags, None)
                | (By::Attribute { edited: true }, Some(_)) => drop(first.insert(name, value)),
                // Said when it came into being, and never again.
                (By::Attribute { edited: false }, Some(_)) => {}
                // Who answered a call is said before it is over.
                (By::Command { name: "end", .. }, _) => last.push(("end".to_owned(), json!({ name: value }))),
                (By::Command { name: command, .. }, _) => further.push(((*command).to_owned(), json!({ name: value }))),
                (By::Tags, Some(now)) => {
                    let has = |tag: &Value| now.as_array().is_some_and(|tags| tags.contains(tag));
                    let tags = value.as_array().into_iter().flatten().filter(|tag| !has(tag));
                    further.extend(tags.map(|tag| ("tag".to_owned(), json!({ "tag": tag }))));
                }
                (By::Address(kind), _) => {
                    let values = value.as_array().into_iter().flatten();
                    further
                        .extend(values.map(|value| ("add_identity".into(), json!({ "kind": kind, "value": value }))));
                }
                (By::Standing(words), now) => {
                    let word = value.as_str().unwrap_or_default();
                    let Some((_, command)) = words.iter().find(|(known, _)| *known == word) else {
                        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                        return Err(Fault::new(
                            "status_invalid",
                            format!("status is {}, not {word}.", known.join(", ")),
                        ));
                    };
                    match (*command, now) {
                        // What is new is open, and what ended takes nothing until it is open again.
                        ("reopen", Some(_)) => before.push(((*command).to_owned(), json!({}))),
                        // That is said otherwise: who answered, how long it lasted.
                        ("reopen", None) | ("", _) => {}
                        _ => last.push(((*command).to_owned(), json!({}))),
                    }
                }
            }
        }
        let mut commands = before;
        match there {
            None => commands.push((shape.kind.create.to_owned(), Value::Object(first))),
            Some(_) => {
                let edit = shape.edit.filter(|_| !first.is_empty());
                commands.extend(edit.map(|edit| (edit.to_owned(), Value::Object(first))));
            }
        }
        commands.extend(external.map(|external| ("add_external_id".to_owned(), json!(external))));
        commands.extend(further);
        commands.extend(last);
        Ok(commands)
    }
}

fn text<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// What is said without the addresses that others have.
fn without(mut body: Map<String, Value>, withheld: &BTreeSet<(&'static str, String)>) -> Map<String, Value> {
    for (attribute, text) in withheld {
        match body.get_mut(*attribute) {
            Some(Value::Array(values)) => values.retain(|value| value.as_str() != Some(text)),
            Some(_) => drop(body.remove(*attribute)),
            None => {}
        }
    }
    body
}

/// Rows that have a mark in common together, in their order.
fn grouped(entries: Vec<(Entry, Vec<String>)>) -> Vec<Vec<Entry>> {
    let mut group_of: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<Vec<Entry>> = Vec::new();
    // Where a group went that was joined with another.
    let mut joined: Vec<usize> = Vec::new();
    fn root(joined: &[usize], mut at: usize) -> usize {
        while let Some(next) = joined.get(at).filter(|next| **next != at) {
            at = *next;
        }
        at
    }
    for (entry, marks) in entries {
        let known: BTreeSet<usize> =
            marks.iter().filter_map(|mark| group_of.get(mark)).map(|at| root(&joined, *at)).collect();
        let at = known.first().copied().unwrap_or_else(|| {
            groups.push(Vec::new());
            joined.push(joined.len());
            joined.len() - 1
        });
        for other in known.into_iter().filter(|other| *other != at) {
            let moved = groups.get_mut(other).map(std::mem::take).unwrap_or_default();
            if let (Some(place), Some(group)) = (joined.get_mut(other), groups.get_mut(at)) {
                *place = at;
                group.extend(moved);
            }
        }
        group_of.extend(marks.into_iter().map(|mark| (mark, at)));
        if let Some(group) = groups.get_mut(at) {
            group.push(entry);
        }
    }
    let mut groups: Vec<Vec<Entry>> = groups.into_iter().filter(|group| !group.is_empty()).collect();
    groups.iter_mut().for_each(|group| group.sort_by_key(|(row, _)| row.number));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_may_mean_one_record_are_dealt_with_in_their_order() {
        let entry = |number: u64, marks: &[&str]| {
            let row = Row { number, line: number + 1, cells: vec![], fault: None };
            ((row, Ok(Spoken::default())), marks.iter().map(|mark| (*mark).to_owned()).collect())
        };
        let entries = vec![
            entry(1, &["a"]),
            entry(2, &["b"]),
            entry(3, &["c"]),
            entry(4, &["b", "a"]),
            entry(5, &["b"]),
            entry(6, &[]),
        ];
        let groups: Vec<Vec<u64>> =
            grouped(entries).iter().map(|group| group.iter().map(|(row, _)| row.number).collect()).collect();
        assert_eq!(groups, [vec![1, 2, 4, 5], vec![3], vec![6]]);
    }
}
