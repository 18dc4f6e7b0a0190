//! Colleagues. Table: `read_users`.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Aggregate, Id, Time,
    kernel::record::apply_changes,
    org::user::{Event, Presence, Profile, User},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Column, Listed, ReadModel, Sort, Unreadable, decode, kernel::fold::raise};

/// The users.
#[derive(Clone, Copy, Debug)]
pub struct Users;

/// Where a user stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Invited, not yet there.
    Invited,
    /// Works.
    Active,
    /// Shut out.
    Deactivated,
}

/// A colleague.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Who it is.
    #[serde(flatten)]
    pub profile: Profile,
    /// Where the user stands.
    pub status: Status,
    /// Why the user was shut out.
    pub deactivated_reason: Option<String>,
    /// The roles the user has.
    pub role_ids: BTreeSet<Id>,
    /// Whether there.
    pub presence: Presence,
    /// The channels in which the user may answer.
    pub channel_ids: BTreeSet<Id>,
    /// By which calendar the user works; none for the team's.
    pub calendar_id: Option<Id>,
    /// How much of each kind of work the user has at most at once.
    pub capacity: BTreeMap<String, u32>,
    /// When the user was invited.
    pub invited_at: Time,
    /// When anything last happened to the user.
    pub updated_at: Time,
}

/// A record by id and name.
#[derive(Clone, Debug, JsonSchema)]
pub struct Reference {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
}

/// A colleague with the names of roles and teams as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// The user's id.
    pub id: Id,
    /// How many events the user has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The user.
    #[serde(flatten)]
    pub row: Row,
    /// The roles the user has.
    pub roles: Vec<Reference>,
    /// The teams the user is in.
    pub teams: Vec<Reference>,
}

impl ReadModel for Users {
    const NAME: &'static str = "users";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[User::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<User>(event)?;
        if let Event::Invited(profile) = happened {
            return Ok(Some(Row {
                profile,
                status: Status::Invited,
                deactivated_reason: None,
                role_ids: BTreeSet::new(),
                presence: Presence::default(),
                channel_ids: BTreeSet::new(),
                calendar_id: None,
                capacity: BTreeMap::new(),
                invited_at: at,
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Invited(_) | Event::HandOverBegun { .. } | Event::HandedOver { .. } => {}
            Event::Activated => {
                row.status = Status::Active;
                row.deactivated_reason = None;
            }
            Event::Deactivated { reason } => {
                row.status = Status::Deactivated;
                row.deactivated_reason = reason;
            }
            Event::ProfileChanged { changes } => apply_changes(&mut row.profile, &changes),
            Event::RoleGranted { role } => drop(row.role_ids.insert(role)),
            Event::RoleRevoked { role } => drop(row.role_ids.remove(&role)),
            Event::PresenceChanged { to, .. } => row.presence = to,
            Event::ChannelAccessGranted { channel } => drop(row.channel_ids.insert(channel)),
            Event::ChannelAccessRevoked { channel } => drop(row.channel_ids.remove(&channel)),
            Event::CalendarAssigned { to, .. } => row.calendar_id = to,
            Event::CapacitySet { kind, max: Some(max) } => drop(row.capacity.insert(kind, max)),
            Event::CapacitySet { kind, max: None } => drop(row.capacity.remove(&kind)),
            // How the user signs in is nobody else's business but the log's.
            Event::PasswordSet { .. }
            | Event::PasswordForgotten
            | Event::LinkIssued { .. }
            | Event::EmailChangeRequested { .. }
            | Event::EmailConfirmed { .. }
            | Event::SecondFactorEnabled { .. }
            | Event::SecondFactorDisabled
            | Event::RecoveryCodesReplaced { .. }
            | Event::RecoveryCodeUsed { .. }
            | Event::IdentityLinked { .. }
            | Event::IdentityUnlinked { .. }
            // Asked for by the user's id, whatever it is.
            | Event::PictureChanged { .. }
            | Event::WidgetAddressed { .. }
            | Event::AddressWithdrawn { .. }
            | Event::NotificationPreferencesChanged { .. }
            | Event::ChatWebhookSet { .. }
            | Event::BrowserSubscribed { .. }
            | Event::BrowserUnsubscribed { .. } => {}
        }
        Ok(Some(row))
    }
}

impl Listed for Users {
    const PATH: &'static str = User::PLURAL;
    const READ: &'static str = User::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::email("email"),
        Column::phone("phone").nullable(),
        Column::word("phone_e164").nullable(),
        Column::word("phone_extension").nullable(),
        Column::text("city").nullable(),
        Column::text("job_title").nullable(),
        Column::text("locale").nullable(),
        Column::text("time_zone").nullable(),
        Column::word("status"),
        Column::set("role_ids"),
        Column::word("presence"),
        Column::set("channel_ids"),
        Column::id("calendar_id").nullable(),
        Column::time("invited_at"),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const NAMED_BY: &'static [&'static str] = &["teams"];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("name")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.email, t.name, t.phone, t.phone_e164, t.phone_extension, t.city, t.job_title, t.locale, \
        t.time_zone, t.status, t.deactivated_reason, t.role_ids, \
        array(select json_build_object('id', r.id, 'name', r.name) from read_roles r \
            where r.tenant_id = t.tenant_id and r.id = any (t.role_ids) order by r.name collate \"und-x-icu\", r.id) as roles, \
        array(select json_build_object('id', m.id, 'name', m.name) from read_teams m \
            where m.tenant_id = t.tenant_id and m.member_ids @> array[t.id] and not m.archived \
            order by m.name collate \"und-x-icu\", m.id) as teams, \
        t.presence, t.channel_ids, t.calendar_id, t.capacity, t.invited_at, t.updated_at";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{event, folded, id, refuses_strangers};

    #[test]
    fn a_user_comes_works_and_goes() {
        let invited = event::<User>("invited", json!({ "email": "anna@example.com", "name": "Anna" }));
        refuses_strangers::<Users, User>(&invited);
        let changes = json!({ "changes": { "city": { "from": null, "to": "Roma" } } });
        let events = vec![
            invited,
            Event::Activated,
            event::<User>("profile_changed", changes),
            Event::RoleGranted { role: id(1) },
            Event::RoleGranted { role: id(2) },
            Event::RoleRevoked { role: id(1) },
            event::<User>("presence_changed", json!({ "from": "offline", "to": "online", "source": "manual" })),
            Event::CapacitySet { kind: "ticket".into(), max: Some(5) },
            Event::CapacitySet { kind: "chat".into(), max: Some(5) },
            Event::CapacitySet { kind: "chat".into(), max: None },
        ];
        let row = folded::<Users, User>(events.clone()).unwrap();
        assert_eq!(
            (row.status, row.presence, row.profile.city.as_deref()),
            (Status::Active, Presence::Online, Some("Roma"))
        );
        assert_eq!((row.role_ids, row.capacity), ([id(2)].into(), [("ticket".to_owned(), 5)].into()));
        let gone = events.into_iter().chain([Event::Deactivated { reason: Some("left".into()) }]);
        let row = folded::<Users, User>(gone).unwrap();
        assert_eq!((row.status, row.deactivated_reason.as_deref()), (Status::Deactivated, Some("left")));
    }
}
