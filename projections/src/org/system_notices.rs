//! What asks for attention since it went wrong. Table: `read_system_notices`.

use domain::{
    Aggregate, Id, Personal, Time,
    org::system_notice::{About, Event, SystemNotice},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Sort, Unreadable, decode,
    kernel::{
        author::{AuthorKind, author},
        fold::raise,
    },
};

/// The notices.
#[derive(Clone, Copy, Debug)]
pub struct SystemNotices;

/// Something that went wrong and asks for attention until it is cleared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SystemNoticeRow")]
pub struct Row {
    /// What went wrong.
    pub about: About,
    /// The kind of the record that it went wrong with.
    pub subject_kind: String,
    /// That record.
    pub subject_id: Id,
    /// The stable code of what stood in the way.
    pub code: String,
    /// The same for a person.
    pub reason: Personal<String>,
    /// The field that it lies in, as a JSON pointer, where it is one.
    pub pointer: Option<String>,
    /// How often it was raised.
    pub raised_count: u32,
    /// When it was raised last.
    pub raised_at: Time,
    /// Whether somebody has cleared it since, or it was seen to.
    pub cleared: bool,
    /// When.
    pub cleared_at: Option<Time>,
    /// The colleague who did; absent where it was seen to.
    pub cleared_by: Option<Id>,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A notice.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(rename = "SystemNoticeView")]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The notice itself.
    #[serde(flatten)]
    pub row: Row,
}

impl ReadModel for SystemNotices {
    const NAME: &'static str = "system_notices";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[SystemNotice::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        match (decode::<SystemNotice>(event)?, row) {
            (Event::Raised(raised), row) => Ok(Some(Row {
                about: raised.about,
                subject_kind: raised.subject.kind,
                subject_id: raised.subject.id,
                code: raised.code,
                reason: raised.reason,
                pointer: raised.pointer,
                raised_count: row.map_or(0, |row| row.raised_count) + 1,
                raised_at: at,
                cleared: false,
                cleared_at: None,
                cleared_by: None,
                updated_at: at,
            })),
            (Event::Cleared, Some(mut row)) => {
                raise(&mut row.updated_at, at);
                let by = match author(event) {
                    (Some(AuthorKind::User), user) => user,
                    _ => None,
                };
                (row.cleared, row.cleared_at, row.cleared_by) = (true, Some(at), by);
                Ok(Some(row))
            }
            (Event::Cleared, None) => Ok(None),
        }
    }
}

impl Listed for SystemNotices {
    const PATH: &'static str = SystemNotice::PLURAL;
    const READ: &'static str = SystemNotice::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::word("about"),
        Column::word("subject_kind"),
        Column::id("subject_id"),
        Column::word("code"),
        Column::text("reason"),
        Column::word("pointer").nullable(),
        Column::integer("raised_count"),
        Column::time("raised_at"),
        Column::bool("cleared").hiding(),
        Column::time("cleared_at").nullable(),
        Column::id("cleared_by").nullable(),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("raised_at")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.about, t.subject_kind, t.subject_id, t.code, t.reason, \
        t.pointer, t.raised_count, t.raised_at, t.cleared, t.cleared_at, t.cleared_by, t.updated_at";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn a_notice_is_raised_cleared_and_raised_again() {
        let said = json!({
            "about": "delivery_refused", "subject": { "kind": "delivery", "id": id(2) }, "code": "required",
            "reason": "name is missing.", "pointer": "/name",
        });
        let raised = event::<SystemNotice>("raised", said);
        refuses_strangers::<SystemNotices, SystemNotice>(&raised);
        let row = folded::<SystemNotices, SystemNotice>([raised.clone()]).unwrap();
        assert_eq!((row.cleared, row.raised_count, row.pointer.as_deref()), (false, 1, Some("/name")));
        let row = folded::<SystemNotices, SystemNotice>([raised.clone(), Event::Cleared]).unwrap();
        assert_eq!((row.cleared, row.cleared_at), (true, Some(at(1))));
        let row = folded::<SystemNotices, SystemNotice>([raised.clone(), Event::Cleared, raised]).unwrap();
        assert_eq!((row.cleared, row.cleared_at, row.raised_count, row.raised_at), (false, None, 2, at(2)));
    }
}
