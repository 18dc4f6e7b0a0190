//! Comments on records. Table: `read_comments`.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Aggregate, Id, Personal, Time,
    crm::comment::{Comment, Event},
    kernel::{
        filter::{Condition, FieldKind, Filter, Scalar, Test},
        reference::Subject,
    },
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Refers, Sort, Told, Unreadable, decode,
    kernel::{
        author::{AuthorKind, author},
        fold::raise,
    },
};

/// The comments.
#[derive(Clone, Copy, Debug)]
pub struct Comments;

/// What a colleague remarked about one record or several.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// What it is about.
    pub subjects: Vec<Subject>,
    /// The ids of what it is about.
    pub subject_ids: BTreeSet<Id>,
    /// What it says; absent once it is deleted.
    pub text: Option<Personal<String>>,
    /// Whether only colleagues may see it.
    pub internal: bool,
    /// What sort of author.
    pub author_kind: Option<AuthorKind>,
    /// Who wrote it.
    pub author_id: Option<Id>,
    /// Whether it is out of sight.
    pub deleted: bool,
    /// Why it is out of sight.
    pub delete_reason: Option<String>,
    /// When it was written.
    pub written_at: Time,
    /// When it was last rewritten.
    pub edited_at: Option<Time>,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A comment with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The comment itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the author.
    pub author_name: Option<String>,
    /// The names of what it is about, by id.
    pub subject_names: BTreeMap<Id, Option<String>>,
}

impl ReadModel for Comments {
    const NAME: &'static str = "comments";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Comment::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Comment>(event)?;
        if let Event::Added(new) = happened {
            let (author_kind, author_id) = author(event);
            return Ok(Some(Row {
                subject_ids: new.subjects.iter().map(|subject| subject.id).collect(),
                subjects: new.subjects,
                text: Some(new.text),
                internal: new.internal,
                author_kind,
                author_id,
                deleted: false,
                delete_reason: None,
                written_at: at,
                edited_at: None,
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Added(_) => {}
            Event::Edited { to, .. } => {
                row.text = Some(to);
                row.edited_at = Some(at);
            }
            Event::Deleted { reason } => {
                row.text = None;
                row.deleted = true;
                row.delete_reason = reason;
            }
        }
        Ok(Some(row))
    }
}

impl Listed for Comments {
    const PATH: &'static str = Comment::PLURAL;
    const READ: &'static str = Comment::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::set("subject_ids").of(Refers::Listed("subjects")),
        Column::text("text").nullable(),
        Column::bool("internal"),
        Column::word("author_kind").nullable(),
        Column::reference("author_id", Refers::By("author_kind")).nullable(),
        Column::bool("deleted").hiding(),
        Column::time("written_at"),
        Column::time("edited_at").nullable(),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("written_at")];

    fn outside() -> Option<Filter> {
        let test = Test::Eq(Scalar::Bool(false));
        Some(Filter::Condition(Condition { field: "internal".into(), kind: FieldKind::Bool, test }))
    }

    const TELLS: &'static [Told] =
        &[Told::by_id("subject_names", "subjects", "kind", "id"), Told::by("author_name", "author_id", "author_kind")];
    const SELECT: &'static str = "t.id, t.version, t.position, r.subjects, r.subject_ids, \
        read_names(t.tenant_id, r.subjects) as subject_names, t.text, t.internal, t.author_kind, r.author_id, \
        read_name(t.tenant_id, t.author_kind, r.author_id) as author_name, t.deleted, t.delete_reason, t.written_at, \
        t.edited_at, t.updated_at";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn a_comment_is_rewritten_and_deleted() {
        let subjects = json!([{ "kind": "enquiry", "id": id(1) }, { "kind": "contact", "id": id(2) }]);
        let added = event::<Comment>("added", json!({ "subjects": subjects, "text": "On Monday", "internal": true }));
        refuses_strangers::<Comments, Comment>(&added);
        let edited = Event::Edited { from: "On Monday".into(), to: "On Tuesday".into() };
        let row = folded::<Comments, Comment>([added.clone(), edited.clone()]).unwrap();
        assert_eq!((row.text, row.edited_at, row.internal), (Some("On Tuesday".into()), Some(at(1)), true));
        assert_eq!((row.subject_ids, row.author_id), ([id(1), id(2)].into(), Some(id(10))));
        let deleted = Event::Deleted { reason: Some("Wrong enquiry".into()) };
        let row = folded::<Comments, Comment>([added, edited, deleted]).unwrap();
        assert_eq!((row.text, row.deleted, row.updated_at), (None, true, at(2)));
    }
}
