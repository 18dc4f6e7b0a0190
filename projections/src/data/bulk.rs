//! Commands for many records, and what became of them. Table: `read_bulk`.

use domain::{
    Aggregate, Id, Time,
    catalogue::listed,
    data::bulk::{Bulk, Counts, Event},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Column, Listed, ReadModel, Sort, Unreadable, decode, kernel::fold::raise};

/// The bulks.
#[derive(Clone, Copy, Debug)]
pub struct Bulks;

/// Where a bulk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "BulkStatus")]
pub enum Status {
    /// At work.
    Running,
    /// Halted.
    Paused,
    /// Through with every item.
    Completed,
    /// Stuck.
    Failed,
    /// Ended by somebody.
    Cancelled,
}

/// One command for many records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The kind of its records; absent where it takes something back.
    pub kind: Option<String>,
    /// The command that each record is given.
    pub command: Option<String>,
    /// The body of that command.
    pub body: Map<String, Value>,
    /// The filter that chose the records; absent where they were named.
    pub filter: Option<Value>,
    /// The kind of what it takes back: `bulk` or `import`.
    pub undoes_kind: Option<String>,
    /// The bulk or import that it takes back.
    pub undoes_id: Option<Id>,
    /// How many records it is about; absent where that is found out as it runs.
    pub items: Option<u64>,
    /// Whether it only shows what it would do.
    pub dry_run: bool,
    /// The colleague in whose name it runs.
    pub user_id: Id,
    /// Where it stands.
    pub status: Status,
    /// What became of the items, once every one has been dealt with.
    pub counts: Option<Counts>,
    /// Why it failed or was ended.
    pub reason: Option<String>,
    /// The bulk that took it back last.
    pub undone_by: Option<Id>,
    /// When that was.
    pub undone_at: Option<Time>,
    /// When it was asked for.
    pub requested_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A bulk.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(rename = "BulkView")]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The bulk itself.
    #[serde(flatten)]
    pub row: Row,
    /// The name of the colleague in whose name it runs.
    pub user_name: Option<String>,
}

impl ReadModel for Bulks {
    const NAME: &'static str = "bulk";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Bulk::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Bulk>(event)?;
        if let Event::Requested(request) = happened {
            let (undoes_kind, undoes_id) = request.undoes.map(|undone| (undone.kind, undone.id)).unzip();
            return Ok(Some(Row {
                kind: request.kind,
                command: request.command,
                body: request.body,
                filter: request.filter,
                undoes_kind,
                undoes_id,
                items: request.items,
                dry_run: request.dry_run,
                user_id: request.requester,
                status: Status::Running,
                counts: None,
                reason: None,
                undone_by: None,
                undone_at: None,
                requested_at: at,
                ended_at: None,
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Requested(_) => {}
            Event::Paused => row.status = Status::Paused,
            Event::Resumed => (row.status, row.reason, row.ended_at) = (Status::Running, None, None),
            Event::Completed { counts } => {
                (row.status, row.counts, row.ended_at) = (Status::Completed, Some(counts), Some(at));
            }
            Event::Failed { reason } => {
                (row.status, row.reason, row.ended_at) = (Status::Failed, Some(reason), Some(at));
            }
            Event::Cancelled { reason } => {
                (row.status, row.reason, row.ended_at) = (Status::Cancelled, reason, Some(at));
            }
            Event::Undone { by, .. } => (row.undone_by, row.undone_at) = (Some(by), Some(at)),
        }
        Ok(Some(row))
    }
}

impl Listed for Bulks {
    const PATH: &'static str = Bulk::PLURAL;
    const READ: &'static str = Bulk::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::word("kind").nullable(),
        Column::word("command").nullable(),
        Column::word("undoes_kind").nullable(),
        Column::id("undoes_id").nullable(),
        Column::integer("items").nullable(),
        Column::bool("dry_run"),
        Column::id("user_id"),
        Column::word("status"),
        Column::id("undone_by").nullable(),
        Column::time("undone_at").nullable(),
        Column::time("requested_at"),
        Column::time("ended_at").nullable(),
        Column::time("updated_at"),
        Column::called(&listed::USER),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("requested_at")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.kind, t.command, t.body, t.filter, t.undoes_kind, \
        t.undoes_id, t.items, t.dry_run, t.user_id, requester.name as user_name, t.status, t.counts, t.reason, \
        t.undone_by, t.undone_at, t.requested_at, t.ended_at, t.updated_at";
    const JOINS: &'static str =
        "left join read_users requester on requester.tenant_id = t.tenant_id and requester.id = t.user_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn it_halts_goes_on_completes_and_is_taken_back() {
        let asked = json!({ "kind": "ticket", "command": "close", "items": 2, "requester": id(3) });
        let requested = event::<Bulk>("requested", asked);
        refuses_strangers::<Bulks, Bulk>(&requested);
        let row = folded::<Bulks, Bulk>([requested.clone(), Event::Paused]).unwrap();
        assert_eq!((row.status, row.ended_at), (Status::Paused, None));
        let failed = Event::Failed { reason: "The requester left.".into() };
        let row = folded::<Bulks, Bulk>([requested.clone(), failed.clone()]).unwrap();
        assert_eq!((row.status, row.reason.as_deref()), (Status::Failed, Some("The requester left.")));
        let counts = Counts { items: 2, applied: 2, unchanged: 0, refused: 0, events: 2 };
        let undone = Event::Undone { by: id(9), counts };
        let told = [requested, failed, Event::Resumed, Event::Completed { counts }, undone];
        let row = folded::<Bulks, Bulk>(told).unwrap();
        assert_eq!((row.status, row.reason, row.counts), (Status::Completed, None, Some(counts)));
        assert_eq!((row.ended_at, row.undone_by, row.undone_at), (Some(at(3)), Some(id(9)), Some(at(4))));
    }
}
