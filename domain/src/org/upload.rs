//! A file that somebody sent: taken in whole, referred to by records, and deleted when none refers to it any more.
//!
//! Its bytes are kept beside the log, by their digest; here is what they are and who refers to them.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, Ctx, Decision, Need, Personal, Rejection, Time,
    kernel::{access::Relation, reference::Subject},
    org::tenant::Tenant,
};

/// A small picture of what a file shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Thumbnail {
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// What it is.
    pub media_type: String,
    /// How wide it is, in pixels.
    pub width: u32,
    /// How high it is, in pixels.
    pub height: u32,
}

/// A file that has come whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// Its name for people, without a path.
    pub name: Personal<String>,
    /// The size in bytes of what is kept.
    pub size: u64,
    /// SHA-256 of what is kept, in hexadecimal digits.
    pub digest: String,
    /// What it is, as its own bytes tell.
    pub media_type: String,
    /// How wide a picture is, in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// How high a picture is, in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// A small picture of what it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thumbnail: Option<Thumbnail>,
    /// SHA-256 of what was sent, where something else is kept: a picture is written anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_digest: Option<String>,
}

/// What may be asked of an upload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Records that its bytes are kept.
    Complete(New),
    /// Deletes a file that nothing refers to.
    Delete {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Deletes it once nothing has referred to it for as long as the tenant keeps such files.
    Expire {
        /// Since when nothing refers to it.
        unused_since: Time,
    },
}

/// Why a file was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Somebody asked for it.
    Request,
    /// Nothing referred to it for too long.
    Unused,
}

/// What has happened to an upload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It has come whole.
    Completed(New),
    /// A record refers to it.
    Attached {
        /// The record.
        to: Subject,
    },
    /// What refers to it is shown in another record too.
    Carried {
        /// That record.
        to: Subject,
    },
    /// A record refers to it no longer.
    Detached {
        /// The record.
        from: Subject,
    },
    /// Its bytes are given up.
    Deleted {
        /// Why.
        cause: Cause,
        /// In somebody's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// An upload.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Upload {
    /// What it is, once it is there.
    pub file: Option<Box<New>>,
    /// Whether its bytes are given up.
    pub deleted: bool,
    referrers: BTreeSet<Subject>,
}

const UNKNOWN: Rejection = Rejection::missing("upload_unknown", "There is no such upload.");
const EXISTS: Rejection = Rejection::conflict("upload_exists", "An upload with this id exists already.");
const IN_USE: Rejection = Rejection::conflict(
    "upload_in_use",
    "Records refer to the file: take it out of them first, or redact the message.",
);

impl Upload {
    /// Whether its bytes are kept.
    pub fn is_kept(&self) -> bool {
        self.file.is_some() && !self.deleted
    }

    /// Whether this record refers to it.
    pub fn is_referred_to_by(&self, record: &Subject) -> bool {
        self.referrers.contains(record)
    }

    /// How many records refer to it.
    pub fn references(&self) -> usize {
        self.referrers.len()
    }
}

impl Aggregate for Upload {
    const KIND: &'static str = "upload";
    const PLURAL: &'static str = "uploads";
    const CREATE: &'static str = "complete";
    const INTERNAL: &'static [&'static str] = &["complete", "expire"];
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        match (command, &self.file) {
            (Command::Complete(new), None) => Ok(vec![Event::Completed(new)]),
            (Command::Complete(new), Some(file)) if **file == new => Ok(vec![]),
            (Command::Complete(_), Some(_)) => Err(EXISTS),
            (_, None) => Err(UNKNOWN),
            _ if self.deleted => Ok(vec![]),
            (Command::Delete { .. }, _) if !self.referrers.is_empty() => Err(IN_USE),
            (Command::Delete { reason }, _) => Ok(vec![Event::Deleted { cause: Cause::Request, reason }]),
            (Command::Expire { unused_since }, _) => {
                let kept = SignedDuration::from_hours(24 * ctx.fact::<Tenant>(ctx.tenant).upload_retention_days());
                let over = unused_since.checked_add(kept).is_ok_and(|until| until <= ctx.now);
                let unused = over && self.referrers.is_empty();
                Ok(if unused { vec![Event::Deleted { cause: Cause::Unused, reason: None }] } else { vec![] })
            }
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Completed(new) => self.file = Some(Box::new(new.clone())),
            Event::Attached { to } => drop(self.referrers.insert(to.clone())),
            Event::Carried { .. } => {}
            Event::Detached { from } => drop(self.referrers.remove(from)),
            Event::Deleted { .. } => self.deleted = true,
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        match event {
            Event::Attached { to } | Event::Carried { to } => vec![Relation::AlsoAbout(to.clone())],
            Event::Detached { from } => vec![Relation::NoLongerAbout(from.clone())],
            Event::Completed(_) | Event::Deleted { .. } => Vec::new(),
        }
    }

    fn is_live(&self) -> bool {
        self.is_kept()
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        match command {
            Command::Expire { .. } => vec![Need::of::<Tenant>(ctx.tenant)],
            Command::Complete(_) | Command::Delete { .. } => Vec::new(),
        }
    }

    fn refusals() -> Vec<Rejection> {
        vec![UNKNOWN, EXISTS, IN_USE]
    }

    fn examples() -> Vec<Command> {
        let thumbnail = Thumbnail {
            digest: "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9".into(),
            size: 9_120,
            media_type: "image/jpeg".into(),
            width: 320,
            height: 240,
        };
        let new = New {
            name: "door.jpg".into(),
            size: 184_320,
            digest: "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b".into(),
            media_type: "image/jpeg".into(),
            width: Some(1600),
            height: Some(1200),
            thumbnail: Some(thumbnail),
            sent_digest: Some("d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35".into()),
        };
        let unused_since = Time::from_second(1_767_225_600).unwrap_or_default();
        vec![
            Command::Complete(new),
            Command::Delete { reason: Some("Sent by mistake".into()) },
            Command::Expire { unused_since },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Id,
        kernel::given::{ANNA, BORIS, TENANT, at, given},
        org::tenant,
    };

    fn new() -> New {
        match Upload::examples().remove(0) {
            Command::Complete(new) => new,
            _ => unreachable!(),
        }
    }

    fn completed() -> Event {
        Event::Completed(new())
    }

    fn ticket(id: Id) -> Subject {
        Subject::new("ticket", id)
    }

    fn attached(id: Id) -> Event {
        Event::Attached { to: ticket(id) }
    }

    #[test]
    fn it_comes_once() {
        given::<Upload>([]).when(Command::Complete(new())).then([completed()]);
        given::<Upload>([completed()]).when(Command::Complete(new())).nothing();
        let other = New { size: 1, ..new() };
        given::<Upload>([completed()]).when(Command::Complete(other)).rejected(EXISTS);
        given::<Upload>([]).when(Command::Delete { reason: None }).rejected(UNKNOWN);
    }

    #[test]
    fn it_is_not_deleted_while_a_record_refers_to_it() {
        let delete = || Command::Delete { reason: None };
        let deleted = || Event::Deleted { cause: Cause::Request, reason: None };
        given::<Upload>([completed(), attached(ANNA)]).when(delete()).rejected(IN_USE);
        let detached = Event::Detached { from: ticket(ANNA) };
        let two = [completed(), attached(ANNA), attached(BORIS), detached.clone()];
        given::<Upload>(two).when(delete()).rejected(IN_USE);
        given::<Upload>([completed(), attached(ANNA), detached]).when(delete()).then([deleted()]);
        given::<Upload>([completed(), deleted()]).when(delete()).nothing();
    }

    #[test]
    fn it_expires_when_nothing_has_referred_to_it_for_the_days_that_the_tenant_sets() {
        let days = |days: i64| tenant::Event::SettingChanged {
            key: "upload_retention_days".into(),
            from: serde_json::Value::Null,
            to: days.into(),
        };
        let expire = |unused_since: Time| Command::Expire { unused_since };
        let gone = Event::Deleted { cause: Cause::Unused, reason: None };
        let long_ago = at(0) - SignedDuration::from_hours(24 * 8);
        let upload = |events: Vec<Event>| given::<Upload>(events).with::<Tenant>(TENANT, [days(7)]);
        upload(vec![completed()]).when(expire(long_ago)).then([gone]);
        upload(vec![completed()]).when(expire(at(0))).nothing();
        upload(vec![completed(), attached(ANNA)]).when(expire(long_ago)).nothing();
    }

    #[test]
    fn whoever_sees_what_refers_to_it_sees_it() {
        assert_eq!(Upload::relates(&attached(ANNA)), [Relation::AlsoAbout(ticket(ANNA))]);
        let carried = Event::Carried { to: ticket(BORIS) };
        assert_eq!(Upload::relates(&carried), [Relation::AlsoAbout(ticket(BORIS))]);
        let detached = Event::Detached { from: ticket(ANNA) };
        assert_eq!(Upload::relates(&detached), [Relation::NoLongerAbout(ticket(ANNA))]);
    }
}
