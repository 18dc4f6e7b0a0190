//! What a rule looks at: the event and the records that it concerns, as JSON.

use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::vocabulary::kind_meant;
use crate::{
    Actor, Id, Time, Via,
    catalogue::{self, listed},
    kernel::{filter::Lookup, reference::Subject},
};

/// An event that rules are asked about.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// Its id, a UUID.
    pub event_id: String,
    /// Its place in the log.
    pub position: u64,
    /// Its type, such as `order.placed`.
    pub event_type: String,
    /// The record that it happened to.
    pub subject: Subject,
    /// When it happened in the world.
    pub occurred_at: Time,
    /// Who did it.
    pub actor: Actor,
    /// Through which channel.
    pub via: Via,
    /// Its data.
    pub data: Value,
}

/// An event, as a run refers to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-held-reference" = "any"))]
pub struct TriggerRef {
    /// Its id, a UUID.
    pub event_id: String,
    /// Its place in the log.
    pub position: u64,
    /// Its type, such as `order.placed`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The record that it happened to.
    pub subject: Subject,
    /// The contact whose personal data it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<Id>,
}

impl Trigger {
    /// The reference that a run keeps.
    pub fn reference(&self, scene: &Scene) -> TriggerRef {
        TriggerRef {
            event_id: self.event_id.clone(),
            position: self.position,
            event_type: self.event_type.clone(),
            subject: self.subject.clone(),
            person: scene.id_of("contact"),
        }
    }
}

/// The records that an event concerns: the one it happened to first, then those that its data or that record refer to
/// and that rules see, at most one of each kind.
pub fn concerned(subject: &Subject, data: &Value, document: Option<&Value>) -> Vec<Subject> {
    let mut all = vec![subject.clone()];
    let members = [Some(data), document].into_iter().flatten().filter_map(Value::as_object).flatten();
    for (field, value) in members {
        let id = |value: &Value| value.as_str().and_then(|text| text.parse::<Id>().ok());
        let (kind, id) = match value.as_object() {
            Some(party) => (party.get("kind").and_then(Value::as_str), party.get("id").and_then(id)),
            None => (Some(kind_meant(field)), id(value)),
        };
        let (Some(kind), Some(id)) = (kind, id) else { continue };
        let seen = catalogue::kind(kind).is_some_and(|kind| kind.document.is_some());
        if seen && all.iter().all(|known| known.kind != kind) {
            all.push(Subject::new(kind, id));
        }
    }
    all
}

/// What is seen of a record.
#[derive(Clone, Debug)]
pub struct Sight {
    /// What its kind tells rules of it.
    pub document: Arc<Value>,
    /// What its list tells, where anybody has asked for that.
    pub row: Option<Arc<Value>>,
}

/// An event and the records that it concerns, under the names that conditions and templates use: `event`, `order`, ...
#[derive(Clone, Debug)]
pub struct Scene {
    event: Value,
    subjects: Vec<Subject>,
    records: BTreeMap<String, Sight>,
    /// The ids of the records, as filters compare them.
    ids: BTreeMap<String, Value>,
    /// Of merged records that conditions name or find, those that go on.
    survivors: BTreeMap<String, String>,
}

impl From<Arc<Value>> for Sight {
    fn from(document: Arc<Value>) -> Sight {
        Sight { document, row: None }
    }
}

impl Scene {
    /// Sets the scene: the event, and what rules see of each record it concerns (see [`concerned`]).
    pub fn new(trigger: &Trigger, records: impl IntoIterator<Item = (Subject, Sight)>) -> Scene {
        let mut event = Map::new();
        event.insert("type".into(), trigger.event_type.clone().into());
        event.insert("occurred_at".into(), json!(trigger.occurred_at));
        event.insert("via".into(), json!(trigger.via));
        event.insert("actor".into(), json!(trigger.actor));
        event.extend(trigger.data.as_object().cloned().unwrap_or_default());
        let event = Value::Object(event);
        let mut scene = Scene {
            event,
            subjects: Vec::new(),
            records: BTreeMap::new(),
            ids: BTreeMap::new(),
            survivors: BTreeMap::new(),
        };
        for (subject, record) in records {
            if !scene.records.contains_key(&subject.kind) {
                scene.records.insert(subject.kind.clone(), record);
                scene.ids.insert(subject.kind.clone(), json!(subject.id));
                scene.subjects.push(subject);
            }
        }
        scene
    }

    /// The same, where the event and the records that it concerns name merged ones: those that go on for them.
    #[must_use]
    pub fn following(mut self, merged: &[(Subject, Id)]) -> Scene {
        for (gone, next) in merged {
            let renamed = |document: &mut Value| {
                for (field, value) in document.as_object_mut().into_iter().flatten() {
                    let names = match value {
                        Value::Object(party) if party.get("kind") == Some(&json!(gone.kind)) => party.get_mut("id"),
                        Value::String(_) if kind_meant(field) == gone.kind => Some(value),
                        _ => None,
                    };
                    if let Some(id) = names.filter(|id| **id == json!(gone.id)) {
                        *id = json!(next);
                    }
                }
            };
            renamed(&mut self.event);
            let Some(own) = self.subjects.first().and_then(|subject| self.records.get_mut(&subject.kind)) else {
                continue;
            };
            renamed(Arc::make_mut(&mut own.document));
            // Lists call them `contact_id`, `requester_id`, ...
            let columns = own.row.as_mut().and_then(|row| Arc::make_mut(row).as_object_mut()).into_iter().flatten();
            for (_, id) in columns.filter(|(field, id)| field.ends_with("_id") && **id == json!(gone.id)) {
                *id = json!(next);
            }
        }
        self
    }

    /// The same for conditions that name or find these merged records, each with the one that goes on.
    #[must_use]
    pub fn knowing(mut self, survivors: impl IntoIterator<Item = (Id, Id)>) -> Scene {
        self.survivors.extend(survivors.into_iter().map(|(gone, next)| (gone.to_string(), next.to_string())));
        self
    }

    /// The id of the record of this kind.
    pub fn id_of(&self, kind: &str) -> Option<Id> {
        self.subjects.iter().find(|subject| subject.kind == kind).map(|subject| subject.id)
    }

    /// The records that are not archived: what a task that comes of it is about.
    pub fn subjects(&self) -> Vec<&Subject> {
        let live = |kind: &str| self.records.get(kind).is_some_and(|record| record.document["archived"] != true);
        self.subjects.iter().filter(|subject| live(&subject.kind)).collect()
    }

    /// A value by its dotted path: `order.total.amount`.
    pub fn get(&self, path: &str) -> Option<&Value> {
        let (name, rest) = path.split_once('.').unwrap_or((path, ""));
        if rest == "id" && name != "event" {
            return self.ids.get(name);
        }
        let Some(record) = self.records.get(name).filter(|_| name != "event") else {
            return if name == "event" { inside(&self.event, rest) } else { None };
        };
        match &record.row {
            Some(row) if listed::kind_of(name, rest).is_some() => inside(row, rest),
            _ => inside(&record.document, rest).or_else(|| inside(&record.document, listed::former(name, rest)?)),
        }
    }

    /// Everything, for templates; every record with its id.
    pub(super) fn values(&self) -> Map<String, Value> {
        let mut values = Map::from_iter([("event".to_owned(), self.event.clone())]);
        for subject in &self.subjects {
            let Some(seen) = self.records.get(&subject.kind) else { continue };
            let mut record = Value::clone(&seen.document);
            record["id"] = json!(subject.id);
            if let Some(record) = record.as_object_mut() {
                // What both tell is as it was before lists were asked, so that old templates say the same.
                for (field, value) in seen.row.as_deref().and_then(Value::as_object).into_iter().flatten() {
                    record.entry(field.clone()).or_insert_with(|| value.clone());
                }
                for (before, now) in listed::former_names(&subject.kind).filter(|(_, now)| !now.contains('.')) {
                    if let Some(value) = inside(&seen.document, before).cloned() {
                        record.entry(now).or_insert(value);
                    }
                }
            }
            values.insert(subject.kind.clone(), record);
        }
        values
    }
}

/// A value inside another by its dotted path.
fn inside<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').filter(|part| !part.is_empty()).try_fold(root, |value, part| match value {
        Value::Array(values) => values.get(part.parse::<usize>().ok()?),
        value => value.get(part),
    })
}

impl Lookup for Scene {
    fn value(&self, field: &str) -> Option<&Value> {
        self.get(field)
    }

    fn survivor(&self, id: &str) -> Option<&str> {
        self.survivors.get(id).map(String::as_str)
    }
}
