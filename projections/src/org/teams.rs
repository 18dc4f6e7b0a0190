//! Help desk teams. Table: `read_teams`.

use std::collections::BTreeSet;

use domain::{
    Aggregate, Id, Time,
    org::{
        stage::Stage,
        team::{self, ChannelKind, Event, Team},
    },
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Column, Listed, ReadModel, Sort, Unreadable, decode, kernel::fold::raise, org::users::Reference};

/// The teams.
#[derive(Clone, Copy, Debug)]
pub struct Teams;

/// A help desk team.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The part before the `@` of its e-mail address.
    pub alias: Option<String>,
    /// Its members.
    pub member_ids: BTreeSet<Id>,
    /// Its open channels.
    pub channels: BTreeSet<ChannelKind>,
    /// The stages of its tickets, first to last, and what each means; none for the usual ones.
    pub stages: Vec<Stage>,
    /// By which calendar it works.
    pub calendar_id: Option<Id>,
    /// Whether customers see its help centre.
    pub help_centre: bool,
    /// Whether it is put away.
    pub archived: bool,
    /// When it was created.
    pub created_at: Time,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A team with the names of its members as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The team itself.
    #[serde(flatten)]
    pub row: Row,
    /// Its members.
    pub members: Vec<Reference>,
}

impl ReadModel for Teams {
    const NAME: &'static str = "teams";
    const VERSION: i32 = 2;
    const KINDS: &'static [&'static str] = &[Team::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Team>(event)?;
        if let Event::Created(new) = happened {
            return Ok(Some(Row {
                name: new.name,
                alias: new.alias,
                member_ids: BTreeSet::new(),
                channels: BTreeSet::new(),
                stages: Vec::new(),
                calendar_id: None,
                help_centre: false,
                archived: false,
                created_at: at,
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Created(_) => {}
            Event::Renamed { to, .. } => row.name = to,
            Event::AliasChanged { to, .. } => row.alias = to,
            Event::MemberAdded { user } => drop(row.member_ids.insert(user)),
            Event::MemberRemoved { user } => drop(row.member_ids.remove(&user)),
            Event::ChannelEnabled { kind } => drop(row.channels.insert(kind)),
            Event::ChannelDisabled { kind } => drop(row.channels.remove(&kind)),
            Event::StagesChanged { to, means, .. } => row.stages = team::stages(&to, &means),
            Event::CalendarAssigned { to, .. } => row.calendar_id = to,
            Event::HelpCentrePublished => row.help_centre = true,
            Event::HelpCentreUnpublished => row.help_centre = false,
            Event::Archived { .. } => row.archived = true,
            Event::Restored => row.archived = false,
        }
        Ok(Some(row))
    }
}

impl Listed for Teams {
    const PATH: &'static str = Team::PLURAL;
    const READ: &'static str = Team::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::text("alias").nullable(),
        Column::set("member_ids"),
        Column::set("channels"),
        Column::id("calendar_id").nullable(),
        Column::bool("help_centre"),
        Column::bool("archived").hiding(),
        Column::time("created_at"),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("name")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, t.alias, t.member_ids, \
        array(select json_build_object('id', u.id, 'name', u.name) from read_users u \
            where u.tenant_id = t.tenant_id and u.id = any (t.member_ids) order by u.name collate \"und-x-icu\", u.id) as members, \
        t.channels, t.stages, t.calendar_id, t.help_centre, t.archived, t.created_at, t.updated_at";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{event, folded, id, refuses_strangers};

    #[test]
    fn a_team_has_members_channels_and_stages() {
        let created = event::<Team>("created", json!({ "name": "Help", "alias": "help" }));
        refuses_strangers::<Teams, Team>(&created);
        let events = [
            created,
            Event::MemberAdded { user: id(1) },
            Event::MemberAdded { user: id(2) },
            Event::MemberRemoved { user: id(1) },
            Event::ChannelEnabled { kind: ChannelKind::Form },
            Event::StagesChanged { from: vec![], to: vec!["new".into(), "done".into()], means: vec![] },
            Event::AliasChanged { from: Some("help".into()), to: None },
            Event::HelpCentrePublished,
            Event::Archived { reason: None },
        ];
        let row = folded::<Teams, Team>(events).unwrap();
        assert_eq!((row.member_ids, row.channels), ([id(2)].into(), [ChannelKind::Form].into()));
        assert_eq!((row.stages.len(), row.alias, row.help_centre, row.archived), (2, None, true, true));
    }
}
