//! Imports and what became of their rows. Table: `read_imports`.

use domain::{
    Aggregate, Id, Time,
    data::import::{Counts, Event, Import, Kind},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Column, Listed, ReadModel, Sort, Unreadable, decode, kernel::fold::raise};

/// The imports.
#[derive(Clone, Copy, Debug)]
pub struct Imports;

/// Where an import stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// At work.
    Running,
    /// Through with every row.
    Completed,
    /// Stuck.
    Failed,
    /// Stopped by somebody.
    Cancelled,
}

/// One run of bringing records in from a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The system that the file comes from.
    pub source: String,
    /// What the file holds.
    pub kind: Kind,
    /// The file's name.
    pub file_name: String,
    /// SHA-256 of the file, in hex.
    pub digest: String,
    /// Whether it only shows what it would do.
    pub dry_run: bool,
    /// Where it stands.
    pub status: Status,
    /// How many rows the file was said to have.
    pub expected_rows: Option<u64>,
    /// What became of the rows, once every one has been dealt with.
    pub counts: Option<Counts>,
    /// Why it failed or was stopped.
    pub reason: Option<String>,
    /// When it was first started.
    pub started_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// An import.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The import itself.
    #[serde(flatten)]
    pub row: Row,
}

impl ReadModel for Imports {
    const NAME: &'static str = "imports";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Import::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Import>(event)?;
        if let Event::Started(start) = happened {
            return Ok(Some(Row {
                source: start.source,
                kind: start.kind,
                file_name: start.file_name,
                digest: start.digest,
                dry_run: start.dry_run,
                status: Status::Running,
                expected_rows: start.rows,
                counts: None,
                reason: None,
                started_at: row.map_or(at, |row| row.started_at),
                ended_at: None,
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        if !matches!(happened, Event::Undone { .. }) {
            row.ended_at = Some(at);
        }
        match happened {
            // The bulk that took it back says so.
            Event::Started(_) | Event::Undone { .. } => {}
            Event::Completed { counts } => {
                row.status = Status::Completed;
                row.counts = Some(counts);
            }
            Event::Failed { reason } => {
                row.status = Status::Failed;
                row.reason = Some(reason);
            }
            Event::Cancelled { reason } => {
                row.status = Status::Cancelled;
                row.reason = reason;
            }
        }
        Ok(Some(row))
    }
}

impl Listed for Imports {
    const PATH: &'static str = Import::PLURAL;
    const READ: &'static str = Import::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::word("source"),
        Column::word("kind"),
        Column::text("file_name"),
        Column::word("digest"),
        Column::bool("dry_run"),
        Column::word("status"),
        Column::time("started_at"),
        Column::time("ended_at").nullable(),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("started_at")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.source, t.kind, t.file_name, t.digest, t.dry_run, \
        t.status, t.expected_rows, t.counts, t.reason, t.started_at, t.ended_at, t.updated_at";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, refuses_strangers};

    #[test]
    fn an_import_fails_goes_on_and_completes() {
        let file = json!({ "source": "old", "kind": "history", "file_name": "a.csv", "digest": "d", "rows": 2 });
        let started = event::<Import>("started", file);
        refuses_strangers::<Imports, Import>(&started);
        let failed = Event::Failed { reason: "disk full".into() };
        let row = folded::<Imports, Import>([started.clone(), failed.clone()]).unwrap();
        assert_eq!((row.status, row.reason.as_deref(), row.ended_at), (Status::Failed, Some("disk full"), Some(at(1))));
        let counts = Counts { rows: 2, applied: 2, unchanged: 0, rejected: 0, events: 5 };
        let row = folded::<Imports, Import>([started.clone(), failed, started, Event::Completed { counts }]).unwrap();
        assert_eq!((row.status, row.reason, row.counts), (Status::Completed, None, Some(counts)));
        assert_eq!((row.started_at, row.ended_at), (at(0), Some(at(3))));
    }
}
