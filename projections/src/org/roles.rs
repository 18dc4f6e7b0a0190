//! Roles. A deleted one leaves the table. Table: `read_roles`.

use std::collections::BTreeSet;

use domain::{
    Aggregate, Id, Time,
    org::role::{Event, Role},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Column, Listed, ReadModel, Sort, Unreadable, decode, kernel::fold::raise};

/// The roles.
#[derive(Clone, Copy, Debug)]
pub struct Roles;

/// A named set of permissions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What it permits, as patterns such as `ticket.*`.
    pub permissions: BTreeSet<String>,
    /// When it was created.
    pub created_at: Time,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A role.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The role itself.
    #[serde(flatten)]
    pub row: Row,
}

impl ReadModel for Roles {
    const NAME: &'static str = "roles";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Role::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Role>(event)?;
        if let Event::Created(new) = happened {
            let permissions = new.permissions;
            return Ok(Some(Row { name: new.name, permissions, created_at: at, updated_at: at }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Created(_) => {}
            Event::PermissionsChanged { added, removed } => {
                row.permissions.extend(added);
                row.permissions.retain(|permission| !removed.contains(permission));
            }
            Event::Renamed { to, .. } => row.name = to,
            Event::Deleted => return Ok(None),
        }
        Ok(Some(row))
    }
}

impl Listed for Roles {
    const PATH: &'static str = Role::PLURAL;
    const READ: &'static str = Role::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::set("permissions"),
        Column::time("created_at"),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("name")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, t.permissions, t.created_at, t.updated_at";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{event, folded, refuses_strangers};

    #[test]
    fn a_role_gains_and_loses_permissions() {
        let created = event::<Role>("created", json!({ "name": "Agent", "permissions": ["ticket.*"] }));
        refuses_strangers::<Roles, Role>(&created);
        let set = |permission: &str| [permission.to_owned()].into();
        let changed = Event::PermissionsChanged { added: set("*.read"), removed: set("ticket.*") };
        let row = folded::<Roles, Role>([created.clone(), changed]).unwrap();
        assert_eq!(row.permissions, set("*.read"));
        assert_eq!(folded::<Roles, Role>([created, Event::Deleted]), None);
    }
}
