//! What each colleague is responsible for: tickets, conversations and tasks assigned to, records owned. Table:
//! `read_holdings`.

use std::sync::LazyLock;

use domain::{
    Aggregate, Id, Time, catalogue,
    chat::conversation::{self, Conversation},
    crm::contact::Contact,
    desk::ticket::{self, Ticket},
    work::task::{self, Task},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Column, Keys, Listed, ReadModel, Sort, Stands, Unreadable, decode};

/// What colleagues are responsible for.
#[derive(Clone, Copy, Debug)]
pub struct Holdings;

/// How somebody is responsible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Responsibility {
    /// It is assigned to the user.
    Assignee,
    /// The user owns it.
    Owner,
}

/// A record and who is responsible for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Kind of record, such as `ticket`.
    pub kind: String,
    /// The record.
    pub record_id: Id,
    /// Who is responsible.
    pub user_id: Option<Id>,
    /// How.
    pub responsibility: Responsibility,
    /// Since when.
    pub since: Time,
    /// Whether there is anything to do about it: it is neither closed, done, put away nor a part of another.
    pub open: bool,
    /// Whether it is closed, done or put away.
    pub closed: bool,
    /// Whether it is merged into another.
    pub merged: bool,
}

/// A record that a colleague is responsible for, with its name as it is now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// The id of this entry.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The entry itself, without what it follows from.
    #[serde(flatten)]
    pub row: Row,
    /// What the record is called.
    pub name: Option<String>,
    /// Name of whoever is responsible.
    pub user_name: Option<String>,
}

/// What an event says about who is responsible and whether there is anything to do.
enum Said {
    Begun(Option<Id>),
    Responsible(Option<Id>),
    Closed(bool),
    Merged(bool),
    Nothing,
}

fn of_ticket(event: &Recorded) -> Result<Said, Unreadable> {
    use ticket::Event::*;
    Ok(match decode::<Ticket>(event)? {
        Opened(_) => Said::Begun(None),
        Assigned { to, .. } => Said::Responsible(Some(to)),
        Unassigned { .. } => Said::Responsible(None),
        Resolved { .. } | Closed { .. } => Said::Closed(true),
        Reopened { .. } => Said::Closed(false),
        Merged { .. } => Said::Merged(true),
        Unmerged { .. } => Said::Merged(false),
        _ => Said::Nothing,
    })
}

fn of_conversation(event: &Recorded) -> Result<Said, Unreadable> {
    use conversation::Event::*;
    Ok(match decode::<Conversation>(event)? {
        Started(_) => Said::Begun(None),
        Assigned { to, .. } => Said::Responsible(Some(to)),
        Unassigned { .. } => Said::Responsible(None),
        Closed => Said::Closed(true),
        Reopened { .. } => Said::Closed(false),
        _ => Said::Nothing,
    })
}

fn of_task(event: &Recorded) -> Result<Said, Unreadable> {
    use task::Event::*;
    Ok(match decode::<Task>(event)? {
        Created(_) => Said::Begun(None),
        Assigned { to, .. } => Said::Responsible(Some(to)),
        Unassigned { .. } => Said::Responsible(None),
        Completed { .. } | Cancelled { .. } => Said::Closed(true),
        Reopened => Said::Closed(false),
        _ => Said::Nothing,
    })
}

/// Of a kind that owners have: all of them say alike who owns a record, and whether it is put away or merged.
fn of_owned(event: &Recorded) -> Result<Said, Unreadable> {
    #[derive(Deserialize)]
    struct Owned {
        owner: Option<Id>,
        to: Option<Id>,
    }
    let data = || event.decode::<Owned>().map_err(|error| Unreadable(error.to_string()));
    Ok(match event.kind.split_once('.').unwrap_or_default().1 {
        "created" => Said::Begun(data()?.owner),
        "owner_changed" => Said::Responsible(data()?.to),
        "archived" => Said::Closed(true),
        "restored" => Said::Closed(false),
        "merged" => Said::Merged(true),
        "unmerged" => Said::Merged(false),
        _ => Said::Nothing,
    })
}

fn said(event: &Recorded) -> Result<Said, Unreadable> {
    match event.category() {
        Ticket::KIND => of_ticket(event),
        Conversation::KIND => of_conversation(event),
        Task::KIND => of_task(event),
        _ => of_owned(event),
    }
}

impl ReadModel for Holdings {
    const NAME: &'static str = "holdings";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Ticket::KIND, Conversation::KIND, Task::KIND, Contact::KIND];
    const OWN: bool = false;
    type Row = Row;

    fn kinds() -> &'static [&'static str] {
        static KINDS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
            let described = catalogue::kinds().filter(|kind| kind.listing.is_some()).map(|kind| kind.name);
            Holdings::KINDS.iter().copied().chain(described).collect()
        });
        &KINDS
    }

    fn keys(event: &Recorded) -> Keys {
        // Most of what happens says nothing of it.
        const TELLING: [&str; 15] = [
            "opened",
            "started",
            "created",
            "assigned",
            "unassigned",
            "owner_changed",
            "resolved",
            "closed",
            "completed",
            "cancelled",
            "archived",
            "reopened",
            "restored",
            "merged",
            "unmerged",
        ];
        let name = event.kind.split_once('.').map_or("", |(_, name)| name);
        let id = event.key().parse().ok().filter(|_| TELLING.contains(&name));
        id.map_or(Keys::None, |id: Id| Keys::One(Id::named(&["holding", event.category(), &id.to_string()])))
    }

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let said = said(event)?;
        if let Said::Begun(user_id) = said {
            let record_id = event.key().parse();
            let record_id = record_id.map_err(|_| Unreadable(format!("{} names no record", event.stream)))?;
            let assigned = [Ticket::KIND, Conversation::KIND, Task::KIND].contains(&event.category());
            let responsibility = if assigned { Responsibility::Assignee } else { Responsibility::Owner };
            let kind = event.category().to_owned();
            let (open, closed, merged) = (true, false, false);
            return Ok(Some(Row { kind, record_id, user_id, responsibility, since: at, open, closed, merged }));
        }
        let Some(mut row) = row else { return Ok(None) };
        match said {
            Said::Responsible(user_id) if user_id != row.user_id => {
                row.user_id = user_id;
                row.since = at;
            }
            Said::Closed(closed) => row.closed = closed,
            Said::Merged(merged) => row.merged = merged,
            Said::Responsible(_) | Said::Begun(_) | Said::Nothing => {}
        }
        row.open = !row.closed && !row.merged;
        Ok(Some(row))
    }
}

impl Listed for Holdings {
    const PATH: &'static str = "holdings";
    const SINGLE: bool = false;
    const READ: &'static str = "user";
    const STANDS: Stands = Stands::For("kind", "record_id");
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::word("kind"),
        Column::id("record_id"),
        Column::id("user_id").nullable(),
        Column::word("responsibility"),
        Column::time("since"),
        Column::bool("open"),
        Column::id("id"),
    ];
    const ONLY: Option<(&'static str, &'static str)> =
        Some(("t.user_id is not null", "that somebody is responsible for"));
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("kind")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.kind, t.record_id, t.user_id, t.responsibility, t.since, \
        t.open, t.closed, t.merged, read_name(t.tenant_id, t.kind, t.record_id) as name, u.name as user_name";
    const JOINS: &'static str = "left join read_users u on u.tenant_id = t.tenant_id and u.id = t.user_id";
}

#[cfg(test)]
mod tests {
    use domain::catalogue;
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id};

    #[test]
    fn every_kind_that_somebody_is_responsible_for_is_among_them() {
        let responsible =
            |kind: &&catalogue::Kind| ["assign", "change_owner"].iter().any(|command| kind.commands.contains(*command));
        let kinds: std::collections::BTreeSet<&str> =
            catalogue::kinds().filter(responsible).map(|kind| kind.name).collect();
        assert_eq!(kinds, Holdings::kinds().iter().copied().collect());
    }

    #[test]
    fn a_task_is_held_by_whoever_it_is_assigned_to_until_it_is_done() {
        use task::Event::*;
        let assigned = |to: u128| Assigned { from: None, to: id(to), method: Default::default(), rule_run: None };
        let created = || event::<Task>("created", json!({ "title": "Call" }));
        let row = folded::<Holdings, Task>([created()]).unwrap();
        assert_eq!((row.user_id, row.open), (None, true));
        let row = folded::<Holdings, Task>([created(), assigned(2)]).unwrap();
        assert_eq!((row.user_id, row.responsibility, row.since), (Some(id(2)), Responsibility::Assignee, at(1)));
        let row = folded::<Holdings, Task>([created(), assigned(2), Completed { outcome: None }]).unwrap();
        assert_eq!((row.user_id, row.open), (Some(id(2)), false));
        let row =
            folded::<Holdings, Task>([created(), assigned(2), Completed { outcome: None }, Reopened, assigned(3)])
                .unwrap();
        assert_eq!((row.user_id, row.open, row.since), (Some(id(3)), true, at(4)));
    }

    #[test]
    fn a_record_is_held_by_its_owner_and_a_merged_one_is_nothing_to_do() {
        let created = || event::<Contact>("created", json!({ "name": "Ada", "owner": id(2) }));
        let row = folded::<Holdings, Contact>([created()]).unwrap();
        assert_eq!((row.user_id, row.responsibility, row.open), (Some(id(2)), Responsibility::Owner, true));
        let merged = event::<Contact>("merged", json!({ "into": id(9), "redirects": [] }));
        let row = folded::<Holdings, Contact>([created(), merged.clone()]).unwrap();
        assert_eq!((row.user_id, row.open), (Some(id(2)), false));
        let unmerged = event::<Contact>("unmerged", json!({ "from": id(9) }));
        let archived = event::<Contact>("archived", json!({}));
        let row = folded::<Holdings, Contact>([created(), archived, merged, unmerged]).unwrap();
        assert!(!row.open, "put away it still is");
    }
}
