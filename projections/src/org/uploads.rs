//! Files that were sent, and how many records refer to each. Table: `read_uploads`.

use domain::{
    Aggregate, Id, Time,
    catalogue::listed,
    org::upload::{Event, Upload},
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

/// The uploads.
#[derive(Clone, Copy, Debug)]
pub struct Uploads;

/// Where an upload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "UploadStatus")]
pub enum Status {
    /// Its bytes are there.
    Kept,
    /// They are given up.
    Deleted,
}

/// A file that was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "UploadRow")]
pub struct Row {
    /// Its name for people.
    pub name: String,
    /// What it is, as its own bytes tell.
    pub media_type: String,
    /// The size in bytes of what is kept.
    pub size: u64,
    /// SHA-256 of what is kept, in hexadecimal digits.
    pub digest: String,
    /// How wide a picture is, in pixels.
    pub width: Option<u32>,
    /// How high a picture is, in pixels.
    pub height: Option<u32>,
    /// SHA-256 of the small picture of it, where there is one.
    pub thumbnail_digest: Option<String>,
    /// The colleague who sent it; absent for a program or somebody outside.
    pub user_id: Option<Id>,
    /// Where it stands.
    pub status: Status,
    /// How many records refer to it.
    pub reference_count: u64,
    /// Since when none does.
    pub unused_since: Option<Time>,
    /// When it had come whole.
    pub completed_at: Time,
    /// When its bytes were given up.
    pub deleted_at: Option<Time>,
    /// Why, in somebody's words.
    pub deleted_reason: Option<String>,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A file that was sent, with the name of who sent it.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(rename = "UploadView")]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The upload itself.
    #[serde(flatten)]
    pub row: Row,
    /// The name of the colleague who sent it.
    pub user_name: Option<String>,
}

impl ReadModel for Uploads {
    const NAME: &'static str = "uploads";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Upload::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Upload>(event)?;
        if let Event::Completed(new) = happened {
            let user_id = match author(event) {
                (Some(AuthorKind::User), user) => user,
                _ => None,
            };
            return Ok(Some(Row {
                name: new.name.0,
                media_type: new.media_type,
                size: new.size,
                digest: new.digest,
                width: new.width,
                height: new.height,
                thumbnail_digest: new.thumbnail.map(|thumbnail| thumbnail.digest),
                user_id,
                status: Status::Kept,
                reference_count: 0,
                // However long ago it is said to have come: it is here since now.
                unused_since: Some(event.recorded_at),
                completed_at: at,
                deleted_at: None,
                deleted_reason: None,
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Completed(_) | Event::Carried { .. } => {}
            Event::Attached { .. } => {
                row.reference_count += 1;
                row.unused_since = None;
            }
            Event::Detached { .. } => {
                row.reference_count = row.reference_count.saturating_sub(1);
                row.unused_since = (row.reference_count == 0).then_some(event.recorded_at);
            }
            Event::Deleted { reason, .. } => {
                (row.status, row.unused_since) = (Status::Deleted, None);
                (row.deleted_at, row.deleted_reason) = (Some(at), reason);
            }
        }
        Ok(Some(row))
    }
}

impl Listed for Uploads {
    const PATH: &'static str = Upload::PLURAL;
    const READ: &'static str = Upload::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::word("media_type"),
        Column::integer("size"),
        Column::word("digest"),
        Column::integer("width").nullable(),
        Column::integer("height").nullable(),
        Column::id("user_id").nullable(),
        Column::word("status"),
        Column::integer("reference_count"),
        Column::time("unused_since").nullable(),
        Column::time("completed_at"),
        Column::time("deleted_at").nullable(),
        Column::time("updated_at"),
        Column::called(&listed::USER),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("completed_at")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, t.media_type, t.size, t.digest, t.width, t.height, \
        t.thumbnail_digest, t.user_id, sender.name as user_name, t.status, t.reference_count, t.unused_since, t.completed_at, \
        t.deleted_at, t.deleted_reason, t.updated_at";
    const JOINS: &'static str =
        "left join read_users sender on sender.tenant_id = t.tenant_id and sender.id = t.user_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn it_counts_what_refers_to_a_file_and_since_when_nothing_does() {
        let new = json!({ "name": "door.jpg", "size": 3, "digest": "ab", "media_type": "image/jpeg" });
        let completed = event::<Upload>("completed", new);
        refuses_strangers::<Uploads, Upload>(&completed);
        let to = |number| json!({ "to": { "kind": "ticket", "id": id(number) } });
        let attached = |number| event::<Upload>("attached", to(number));
        let detached = |number| event::<Upload>("detached", json!({ "from": { "kind": "ticket", "id": id(number) } }));
        let row = folded::<Uploads, Upload>([completed.clone()]).unwrap();
        assert!(row.reference_count == 0 && row.unused_since.is_some());
        let row = folded::<Uploads, Upload>([completed.clone(), attached(1), attached(2), detached(1)]).unwrap();
        assert_eq!((row.reference_count, row.unused_since), (1, None));
        let deleted = event::<Upload>("deleted", json!({ "cause": "unused" }));
        let row = folded::<Uploads, Upload>([completed, attached(1), detached(1), deleted]).unwrap();
        assert_eq!((row.reference_count, row.unused_since, row.deleted_at), (0, None, Some(at(3))));
        assert_eq!(row.status, Status::Deleted);
    }
}
