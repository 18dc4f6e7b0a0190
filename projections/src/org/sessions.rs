//! Sessions: who was signed in from when to when, from where and how. Table: `read_sessions`.

use domain::{
    Aggregate, Id, Time,
    org::session::{Event, Method, Reason, Session},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Sort, Unreadable, decode,
    kernel::fold::{micros, raise},
};

/// The sessions.
#[derive(Clone, Copy, Debug)]
pub struct Sessions;

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Lasts, until it expires.
    Active,
    /// Over.
    Ended,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Who signed in.
    pub user_id: Id,
    /// How the person proved who he is.
    pub method: Method,
    /// Whether by a second factor too.
    pub second_factor: bool,
    /// From which address.
    pub address: Option<String>,
    /// What the browser or app calls itself.
    pub user_agent: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// When it began.
    pub started_at: Time,
    /// When it ends at the latest.
    pub expires_at: Time,
    /// When it ended.
    pub ended_at: Option<Time>,
    /// Why it ended.
    pub ended_reason: Option<Reason>,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A session with the name of its user as it is now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The session itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the user.
    pub user_name: Option<String>,
    /// When it was last used, within a minute, while it lasts; telemetry, no part of the log.
    pub last_seen_at: Option<Time>,
}

impl ReadModel for Sessions {
    const NAME: &'static str = "sessions";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Session::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        match decode::<Session>(event)? {
            Event::Started(new) => Ok(Some(Row {
                user_id: new.user,
                method: new.method,
                second_factor: new.second_factor,
                address: new.address.map(|address| address.0),
                user_agent: new.user_agent.map(|agent| agent.0),
                status: Status::Active,
                started_at: at,
                expires_at: micros(new.expires_at),
                ended_at: None,
                ended_reason: None,
                updated_at: at,
            })),
            Event::Ended { reason } => Ok(row.map(|mut row| {
                raise(&mut row.updated_at, at);
                Row { status: Status::Ended, ended_at: Some(at), ended_reason: Some(reason), ..row }
            })),
        }
    }
}

impl Listed for Sessions {
    const PATH: &'static str = Session::PLURAL;
    const READ: &'static str = Session::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::id("user_id"),
        Column::word("method"),
        Column::bool("second_factor"),
        Column::word("address").nullable(),
        Column::text("user_agent").nullable(),
        Column::word("status"),
        Column::time("started_at"),
        Column::time("expires_at"),
        Column::time("ended_at").nullable(),
        Column::word("ended_reason").nullable(),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("started_at")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.user_id, holder.name as user_name, t.method, \
        t.second_factor, t.address, t.user_agent, t.status, t.started_at, t.expires_at, t.ended_at, t.ended_reason, \
        t.updated_at, seen.last_seen_at";
    const JOINS: &'static str = "\
        left join auth_session seen on seen.tenant_id = t.tenant_id and seen.session_id = t.id \
        left join read_users holder on holder.tenant_id = t.tenant_id and holder.id = t.user_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn a_session_begins_and_ends() {
        let started =
            json!({ "user": id(1), "method": "password", "expires_at": "2030-01-01T00:00:00Z", "address": "::1" });
        let started = event::<Session>("started", started);
        refuses_strangers::<Sessions, Session>(&started);
        let ended = Event::Ended { reason: Reason::SignedOut };
        let row = folded::<Sessions, Session>([started, ended]).unwrap();
        assert_eq!((row.status, row.ended_at, row.ended_reason), (Status::Ended, Some(at(1)), Some(Reason::SignedOut)));
        assert_eq!((row.user_id, row.address.as_deref()), (id(1), Some("::1")));
    }
}
