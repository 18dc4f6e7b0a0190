//! Webhooks: what is told to whom, and whether they work. Table: `read_webhooks`.

use domain::{
    Aggregate, Id, Time,
    work::webhook::{Cause, Event, Settings, Webhook},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Column, Listed, ReadModel, Sort, Unreadable, decode,
    kernel::fold::{micros, raise},
};

/// The webhooks.
#[derive(Clone, Copy, Debug)]
pub struct Webhooks;

/// Whether a webhook works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "WebhookStatus")]
pub enum Status {
    /// It is told of events.
    Enabled,
    /// It is not.
    Disabled,
    /// It never will be again.
    Archived,
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "WebhookRow")]
pub struct Row {
    /// Where it is called.
    pub url: String,
    /// The types of events that it is told of.
    pub types: Vec<String>,
    /// Which of them: a filter.
    pub filter: Map<String, Value>,
    /// What it is for.
    pub description: Option<String>,
    /// Whether it works.
    pub status: Status,
    /// The user with whose eyes it sees.
    pub user_id: Id,
    /// The key by which it was set up, which bounds what it sees.
    pub key_id: Option<Id>,
    /// When it was disabled; absent when it is not.
    pub disabled_at: Option<Time>,
    /// Who or what disabled it.
    pub disabled_by: Option<Cause>,
    /// Why it was disabled.
    pub disabled_reason: Option<String>,
    /// When its secret was last changed.
    pub secret_rotated_at: Option<Time>,
    /// Until when the former secret counts too; absent when none does.
    pub former_secret_until: Option<Time>,
    /// When it was set up.
    pub subscribed_at: Time,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A webhook with the name of the user as it is now.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(rename = "WebhookView")]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The webhook itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the user.
    pub user_name: Option<String>,
}

impl Row {
    fn told(&mut self, settings: Settings) {
        let Settings { url, types, filter, description } = settings;
        (self.url, self.types, self.filter, self.description) = (url, types, filter, description);
    }
}

impl ReadModel for Webhooks {
    const NAME: &'static str = "webhooks";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Webhook::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Webhook>(event)?;
        if let Event::Subscribed(new) = happened {
            let mut row = Row {
                url: String::new(),
                types: Vec::new(),
                filter: Map::new(),
                description: None,
                status: if new.enabled { Status::Enabled } else { Status::Disabled },
                user_id: new.eyes.user,
                key_id: new.eyes.key,
                disabled_at: None,
                disabled_by: None,
                disabled_reason: None,
                secret_rotated_at: None,
                former_secret_until: None,
                subscribed_at: at,
                updated_at: at,
            };
            row.told(new.settings);
            return Ok(Some(row));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Changed { to, eyes, .. } => {
                row.told(to);
                (row.user_id, row.key_id) = (eyes.user, eyes.key);
            }
            Event::SecretRotated { former_until, .. } => {
                row.secret_rotated_at = Some(at);
                row.former_secret_until = former_until.map(micros);
            }
            Event::FormerSecretRetired => row.former_secret_until = None,
            Event::Enabled { eyes } => {
                row.status = Status::Enabled;
                (row.user_id, row.key_id) = (eyes.user, eyes.key);
                (row.disabled_at, row.disabled_by, row.disabled_reason) = (None, None, None);
            }
            Event::Disabled { cause, reason } => {
                row.status = Status::Disabled;
                (row.disabled_at, row.disabled_by, row.disabled_reason) = (Some(at), Some(cause), reason);
            }
            Event::Archived => row.status = Status::Archived,
            Event::Subscribed(_)
            | Event::Tested { .. }
            | Event::Replayed { .. }
            | Event::Redelivered { .. }
            | Event::GivenUp { .. } => {}
        }
        Ok(Some(row))
    }
}

impl Listed for Webhooks {
    const PATH: &'static str = Webhook::PLURAL;
    const READ: &'static str = Webhook::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("url"),
        Column::set("types"),
        Column::text("description").nullable(),
        Column::word("status"),
        Column::id("user_id"),
        Column::id("key_id").nullable(),
        Column::time("disabled_at").nullable(),
        Column::word("disabled_by").nullable(),
        Column::text("disabled_reason").nullable(),
        Column::time("secret_rotated_at").nullable(),
        Column::time("former_secret_until").nullable(),
        Column::time("subscribed_at"),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("subscribed_at")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.url, t.types, t.filter, t.description, t.status, t.user_id, \
        holder.name as user_name, t.key_id, t.disabled_at, t.disabled_by, t.disabled_reason, t.secret_rotated_at, \
        t.former_secret_until, t.subscribed_at, t.updated_at";
    const JOINS: &'static str =
        "left join read_users holder on holder.tenant_id = t.tenant_id and holder.id = t.user_id";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn a_webhook_is_set_up_changed_disabled_and_enabled() {
        let settings = |url: &str| json!({ "url": url, "types": ["ticket.*"] });
        let eyes = json!({ "user": id(1), "key": id(2) });
        let subscribed =
            json!({ "settings": settings("https://a.example"), "enabled": true, "credential": id(3), "eyes": eyes });
        let changed = json!({
            "from": settings("https://a.example"), "to": settings("https://b.example"), "eyes": { "user": id(4) },
        });
        let disabled = json!({ "cause": "gone", "reason": "it answered 410 Gone" });
        let subscribed = event::<Webhook>("subscribed", subscribed);
        let events = [subscribed.clone(), event::<Webhook>("changed", changed), event::<Webhook>("disabled", disabled)];
        let row = folded::<Webhooks, Webhook>(events.clone()).unwrap();
        assert_eq!((row.url.as_str(), row.user_id, row.key_id), ("https://b.example", id(4), None));
        assert_eq!((row.status, row.disabled_by), (Status::Disabled, Some(Cause::Gone)));
        assert_eq!(row.subscribed_at, at(0));
        let again = event::<Webhook>("enabled", json!({ "eyes": { "user": id(1) } }));
        let row = folded::<Webhooks, Webhook>(events.into_iter().chain([again])).unwrap();
        assert_eq!((row.status, row.disabled_reason, row.user_id), (Status::Enabled, None, id(1)));
        refuses_strangers::<Webhooks, Webhook>(&subscribed);
    }
}
