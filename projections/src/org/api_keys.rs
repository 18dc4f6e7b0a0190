//! API keys, without anything of their secrets but the first characters. Table: `read_api_keys`.

use domain::{
    Aggregate, Id, Time,
    org::api_key::{ApiKey, Event},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Sort, Unreadable, decode,
    kernel::fold::{micros, raise},
};

/// The API keys.
#[derive(Clone, Copy, Debug)]
pub struct ApiKeys;

/// Where an API key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Opens doors, until it expires.
    Active,
    /// Worthless.
    Revoked,
}

/// An API key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// What it is for.
    pub name: String,
    /// In whose name it speaks.
    pub user_id: Id,
    /// What it may do at most; all that its user may when absent.
    pub role_id: Option<Id>,
    /// The first characters of its secret.
    pub prefix: String,
    /// Where it stands.
    pub status: Status,
    /// When it becomes worthless by itself.
    pub expires_at: Option<Time>,
    /// When it was issued.
    pub issued_at: Time,
    /// When it was revoked.
    pub revoked_at: Option<Time>,
    /// Why it was revoked.
    pub revoked_reason: Option<String>,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// An API key with the names of user and role as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The key itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the user.
    pub user_name: Option<String>,
    /// Name of the role.
    pub role_name: Option<String>,
    /// When it was last used, within some seconds; telemetry, no part of the log.
    pub last_used_at: Option<Time>,
}

impl ReadModel for ApiKeys {
    const NAME: &'static str = "api_keys";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[ApiKey::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<ApiKey>(event)?;
        if let Event::Issued(new) = happened {
            return Ok(Some(Row {
                name: new.name,
                user_id: new.user,
                role_id: new.role,
                prefix: new.prefix,
                status: Status::Active,
                expires_at: new.expires_at.map(micros),
                issued_at: at,
                revoked_at: None,
                revoked_reason: None,
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Issued(_) => {}
            Event::Renamed { to, .. } => row.name = to,
            Event::Revoked { reason } => {
                row.status = Status::Revoked;
                row.revoked_at = Some(at);
                row.revoked_reason = reason;
            }
        }
        Ok(Some(row))
    }
}

impl Listed for ApiKeys {
    const PATH: &'static str = ApiKey::PLURAL;
    const READ: &'static str = ApiKey::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::id("user_id"),
        Column::id("role_id").nullable(),
        Column::word("prefix"),
        Column::word("status"),
        Column::time("expires_at").nullable(),
        Column::time("issued_at"),
        Column::time("revoked_at").nullable(),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("issued_at")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, t.user_id, holder.name as user_name, t.role_id, \
        role.name as role_name, t.prefix, t.status, t.expires_at, t.issued_at, t.revoked_at, t.revoked_reason, \
        t.updated_at, used.last_used_at";
    const JOINS: &'static str = "\
        left join auth_key_use used on used.tenant_id = t.tenant_id and used.key_id = t.id \
        left join read_users holder on holder.tenant_id = t.tenant_id and holder.id = t.user_id \
        left join read_roles role on role.tenant_id = t.tenant_id and role.id = t.role_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn a_key_is_issued_and_revoked_and_its_digest_stays_in_the_log() {
        let digest = "ab".repeat(32);
        let issued = json!({ "name": "Shop", "user": id(1), "digest": digest, "prefix": "dk_abcd" });
        let issued = event::<ApiKey>("issued", issued);
        refuses_strangers::<ApiKeys, ApiKey>(&issued);
        let renamed = Event::Renamed { from: "Shop".into(), to: "Store".into() };
        let revoked = Event::Revoked { reason: Some("lost".into()) };
        let row = folded::<ApiKeys, ApiKey>([issued, renamed, revoked]).unwrap();
        assert_eq!((row.name.as_str(), row.status, row.revoked_at), ("Store", Status::Revoked, Some(at(2))));
        assert!(!serde_json::to_string(&row).unwrap().contains(&digest));
    }
}
