//! What happened in the world and was put on record. Table: `read_activities`.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Aggregate, Id, Personal, Time,
    crm::activity::{Activity, Event},
    kernel::reference::Subject,
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Refers, Sort, Told, Unreadable, decode,
    kernel::{
        author::{AuthorKind, author},
        fold::{micros, raise},
        record::{self, Attributes as _},
    },
};

/// The activities.
#[derive(Clone, Copy, Debug)]
pub struct Activities;

/// What can be corrected of an activity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attributes {
    /// What sort: `visit`, `letter`, `meeting`, ...
    pub kind: String,
    /// What happened.
    pub text: Personal<String>,
    /// When it happened.
    pub occurred_at: Time,
}

impl record::Attributes for Attributes {}

/// Something that happened in the world and is put on record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// What can be corrected.
    #[serde(flatten)]
    pub attributes: Attributes,
    /// Whom and what it concerned.
    pub subjects: Vec<Subject>,
    /// The ids of whom and what it concerned.
    pub subject_ids: BTreeSet<Id>,
    /// What sort of author.
    pub author_kind: Option<AuthorKind>,
    /// Who put it on record.
    pub author_id: Option<Id>,
    /// Whether it is off the record: it never happened.
    pub withdrawn: bool,
    /// Why it is off the record.
    pub withdraw_reason: Option<String>,
    /// When it was put on record.
    pub logged_at: Time,
    /// When anything last happened to the record.
    pub updated_at: Time,
}

/// An activity with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The activity itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the author.
    pub author_name: Option<String>,
    /// The names of what it concerned, by id.
    pub subject_names: BTreeMap<Id, Option<String>>,
}

impl ReadModel for Activities {
    const NAME: &'static str = "activities";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Activity::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Activity>(event)?;
        if let Event::Logged(new) = happened {
            let (author_kind, author_id) = author(event);
            let occurred_at = micros(new.occurred_at.unwrap_or(at));
            return Ok(Some(Row {
                attributes: Attributes { kind: new.kind, text: new.text, occurred_at },
                subject_ids: new.subjects.iter().map(|subject| subject.id).collect(),
                subjects: new.subjects,
                author_kind,
                author_id,
                withdrawn: false,
                withdraw_reason: None,
                logged_at: at,
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Logged(_) => {}
            Event::Corrected { changes } => {
                row.attributes.change(changes);
                row.attributes.occurred_at = micros(row.attributes.occurred_at);
            }
            Event::Withdrawn { reason } => {
                row.withdrawn = true;
                row.withdraw_reason = reason;
            }
        }
        Ok(Some(row))
    }
}

impl Listed for Activities {
    const PATH: &'static str = Activity::PLURAL;
    const READ: &'static str = Activity::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::word("kind"),
        Column::set("subject_ids").of(Refers::Listed("subjects")),
        Column::text("text"),
        Column::word("author_kind").nullable(),
        Column::reference("author_id", Refers::By("author_kind")).nullable(),
        Column::bool("withdrawn").hiding(),
        Column::time("occurred_at"),
        Column::time("logged_at"),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("occurred_at")];
    const TELLS: &'static [Told] =
        &[Told::by_id("subject_names", "subjects", "kind", "id"), Told::by("author_name", "author_id", "author_kind")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.kind, r.subjects, r.subject_ids, \
        read_names(t.tenant_id, r.subjects) as subject_names, t.text, t.occurred_at, t.author_kind, r.author_id, \
        read_name(t.tenant_id, t.author_kind, r.author_id) as author_name, t.withdrawn, t.withdraw_reason, t.logged_at, \
        t.updated_at";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn an_activity_happened_before_it_was_logged_and_is_corrected() {
        let visit = json!({ "kind": "visit", "subjects": [{ "kind": "contact", "id": id(1) }], "text": "Saw the flat",
            "occurred_at": at(-86_400) });
        let logged = event::<Activity>("logged", visit);
        refuses_strangers::<Activities, Activity>(&logged);
        let row = folded::<Activities, Activity>([logged.clone()]).unwrap();
        assert_eq!((row.attributes.occurred_at, row.logged_at), (at(-86_400), at(0)));
        let changes = json!({ "changes": { "occurred_at": { "from": at(-86_400), "to": at(-5) },
            "kind": { "from": "visit", "to": "meeting" } } });
        let withdrawn = Event::Withdrawn { reason: Some("Another contact".into()) };
        let row = folded::<Activities, Activity>([logged, event::<Activity>("corrected", changes), withdrawn]).unwrap();
        assert_eq!((row.attributes.kind.as_str(), row.attributes.occurred_at), ("meeting", at(-5)));
        assert_eq!((row.withdrawn, row.subject_ids), (true, [id(1)].into()));
    }
}
