//! Who stands in what relation to which record: see `domain/src/kernel/access.rs`, whose fold this is. Tables:
//! `read_record_access`, one row for each record; `read_record_principal`, who may see it; `read_record_about`, what it is
//! about.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use domain::{
    Id, catalogue,
    kernel::{
        access::{Access, tells},
        record::Level,
        reference::Subject,
    },
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Further, Keys, ReadModel, Unreadable};

/// Who stands in what relation to which record.
#[derive(Clone, Copy, Debug)]
pub struct RecordAccess;

/// The further tables.
const PRINCIPALS: &str = "record_principal";
const ABOUT: &str = "record_about";

/// A record and who stands in what relation to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its kind.
    pub kind: String,
    /// The record itself; the row's own id follows from both.
    pub record_id: Id,
    /// The user who began it, as long as nobody else has come to own it.
    pub creator_id: Option<Id>,
    /// The user who owns it.
    pub owner_id: Option<Id>,
    /// The user whom it is assigned to.
    pub assignee_id: Option<Id>,
    /// The user or contact who asks for it.
    pub requester_id: Option<Id>,
    /// The team that handles it.
    pub team_id: Option<Id>,
    /// The users, teams and channels with whom it is shared, and how far; the id 0 stands for everybody.
    pub shared: BTreeMap<Id, Level>,
    /// The records that it is about, by attribute.
    pub about: BTreeMap<String, Vec<Subject>>,
}

impl Row {
    fn new(record: &Subject, access: Access) -> Row {
        let Access { begun: _, creator, owner, assignee, requester, team, shared, about } = access;
        Row {
            kind: record.kind.clone(),
            record_id: record.id,
            creator_id: creator,
            owner_id: owner,
            assignee_id: assignee,
            requester_id: requester,
            team_id: team,
            shared,
            about,
        }
    }

    fn access(self) -> Access {
        Access {
            begun: true,
            creator: self.creator_id,
            owner: self.owner_id,
            assignee: self.assignee_id,
            requester: self.requester_id,
            team: self.team_id,
            shared: self.shared,
            about: self.about,
        }
    }
}

/// Somebody by whom a record is held: owned, worked on, asked for, begun, handled.
pub(crate) fn held_by(principal: Id) -> String {
    format!("holds:{principal}")
}

/// Somebody with whom a record is shared.
pub(crate) fn shared_with(principal: Id) -> String {
    format!("shared:{principal}")
}

/// Who may see a record by a relation of his own, and how far that goes.
fn principals(record: &Subject, access: &Access) -> BTreeMap<String, Level> {
    let holders = access.holders().into_keys().chain(access.team);
    // A contact is its own.
    let oneself = (access.begun && record.kind == "contact").then_some(record.id);
    let held = holders.chain(oneself).map(|holder| (held_by(holder), Level::Write));
    held.chain(access.shared.iter().map(|(grantee, level)| (shared_with(*grantee), *level))).collect()
}

#[derive(Serialize)]
struct PrincipalKey<'a> {
    kind: &'a str,
    record_id: Id,
    principal: &'a str,
}

#[derive(Serialize)]
struct PrincipalRest {
    level: Option<Level>,
    holds: bool,
}

#[derive(Serialize)]
struct AboutKey<'a> {
    about_kind: &'a str,
    about_id: Id,
    kind: &'a str,
    record_id: Id,
}

#[derive(Serialize)]
struct AboutRest {
    holds: bool,
}

fn record_of(event: &Recorded) -> Option<Subject> {
    event.key().parse().ok().map(|id| Subject::new(event.category(), id))
}

impl ReadModel for RecordAccess {
    const NAME: &'static str = "record_access";
    const VERSION: i32 = 3;
    const KINDS: &'static [&'static str] = &[];
    const FURTHER: &'static [&'static str] = &[PRINCIPALS, ABOUT];
    const OWN: bool = false;
    type Row = Row;

    fn kinds() -> &'static [&'static str] {
        static KINDS: LazyLock<Vec<&'static str>> =
            LazyLock::new(|| catalogue::kinds().filter(|kind| kind.open.is_none()).map(|kind| kind.name).collect());
        &KINDS
    }

    fn keys(event: &Recorded) -> Keys {
        // Most of what happens says nothing of it.
        let name = event.kind.split_once('.').map_or("", |(_, name)| name);
        match record_of(event).filter(|record| event.version == 0 || tells(&record.kind, name)) {
            // Ids are unique within a kind.
            Some(record) => Keys::One(Id::named(&["access", &record.kind, &record.id.to_string()])),
            None => Keys::None,
        }
    }

    fn apply(id: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        Self::fold(id, row, event, &mut Further::default())
    }

    fn fold(_: Id, row: Option<Row>, event: &Recorded, further: &mut Further) -> Result<Option<Row>, Unreadable> {
        let record = record_of(event).ok_or_else(|| Unreadable(format!("{} names no record", event.stream)))?;
        let Some(kind) = catalogue::kind(&record.kind) else { return Ok(row) };
        let mut access = row.map(Row::access).unwrap_or_default();
        let (before, about_before) = (principals(&record, &access), about(&access));
        access.told(kind.relates(&event.kind, &event.data)?, &event.metadata);
        let (after, about_after) = (principals(&record, &access), about(&access));
        let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for principal in all.into_iter().filter(|principal| before.get(*principal) != after.get(*principal)) {
            let key = PrincipalKey { kind: &record.kind, record_id: record.id, principal };
            let level = after.get(principal).copied();
            further.put(PRINCIPALS, &key, &PrincipalRest { level, holds: level.is_some() })?;
        }
        for subject in about_before.symmetric_difference(&about_after) {
            let key =
                AboutKey { about_kind: &subject.kind, about_id: subject.id, kind: &record.kind, record_id: record.id };
            further.put(ABOUT, &key, &AboutRest { holds: about_after.contains(subject) })?;
        }
        Ok(Some(Row::new(&record, access)))
    }
}

fn about(access: &Access) -> BTreeSet<Subject> {
    access.subjects().into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use domain::{crm::deal::Deal, desk::ticket::Ticket};
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{event, folded, id};

    #[test]
    fn a_row_follows_owner_shares_and_what_a_record_became_a_part_of() {
        let created = json!({ "name": "Flat", "contact": id(3), "owner": id(2) });
        let created = || event::<Deal>("created", created.clone());
        let row = folded::<RecordAccess, Deal>([created()]).unwrap();
        assert_eq!((row.kind.as_str(), row.owner_id), ("deal", Some(id(2))));
        let shared = event::<Deal>("shared", json!({ "grantee": id(4), "level": "read" }));
        let moved = event::<Deal>("owner_changed", json!({ "from": id(2), "to": null }));
        let row = folded::<RecordAccess, Deal>([created(), shared, moved]).unwrap();
        assert_eq!((row.owner_id, row.shared.get(&id(4))), (None, Some(&Level::Read)));
        let merged = event::<Ticket>("merged", json!({ "into": id(9) }));
        let row = folded::<RecordAccess, Ticket>([merged]).unwrap();
        assert_eq!(row.about["merged_into"], [Subject::new("ticket", id(9))]);
    }

    #[test]
    fn a_contact_is_its_own_and_a_share_is_no_hold() {
        let contact = Subject::new("contact", id(1));
        let shared = BTreeMap::from([(id(4), Level::Read)]);
        let access = Access { begun: true, owner: Some(id(2)), team: Some(id(3)), shared, ..Access::default() };
        let found = principals(&contact, &access);
        let of = |name: String| found.get(&name).copied();
        assert_eq!(of(held_by(id(2))), Some(Level::Write));
        assert_eq!(of(held_by(id(3))), Some(Level::Write));
        assert_eq!(of(held_by(id(1))), Some(Level::Write));
        assert_eq!((of(shared_with(id(4))), found.len()), (Some(Level::Read), 4));
    }
}
