//! What each colleague was told of what happened to records that concern him. Table: `read_notifications`.

use domain::{
    Aggregate, Id, Time,
    org::notifying::{Kind, Medium},
    work::notification::{Event, Notification},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::{
    Column, Listed, ReadModel, Refers, Sort, Stands, Told, Unreadable, decode,
    kernel::{author::AuthorKind, fold::raise},
};

/// The notifications.
#[derive(Clone, Copy, Debug)]
pub struct Notifications;

/// What somebody was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "NotificationRow")]
pub struct Row {
    /// Who was told.
    pub user_id: Id,
    /// Of what.
    pub kind: Kind,
    /// The kind of the record that it is about.
    pub record_kind: String,
    /// That record.
    pub record_id: Id,
    /// What sort of person did it; absent where nobody in particular did.
    pub by_kind: Option<AuthorKind>,
    /// Which one.
    pub by_id: Option<Id>,
    /// Whether it stands in the list: some want to be told by other media alone.
    pub in_app: bool,
    /// When it was told.
    pub sent_at: Time,
    /// Whether it has been read.
    pub read: bool,
    /// When.
    pub read_at: Option<Time>,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// What somebody was told, with what those are called that it names.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(rename = "NotificationView")]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The notification itself.
    #[serde(flatten)]
    pub row: Row,
    /// What the record is called.
    pub record_name: Option<String>,
    /// What whoever did it is called.
    pub by_name: Option<String>,
}

impl ReadModel for Notifications {
    const NAME: &'static str = "notifications";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Notification::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        match (decode::<Notification>(event)?, row) {
            (Event::Sent(sent), _) => {
                let by_kind = sent.by.map(|by| match by.kind {
                    domain::PartyKind::Contact => AuthorKind::Contact,
                    domain::PartyKind::Company => AuthorKind::Company,
                    domain::PartyKind::User => AuthorKind::User,
                });
                Ok(Some(Row {
                    user_id: sent.to,
                    kind: sent.kind,
                    record_kind: sent.record.kind,
                    record_id: sent.record.id,
                    by_kind,
                    by_id: sent.by.map(|by| by.id),
                    in_app: sent.medium.contains(&Medium::InApp),
                    sent_at: at,
                    read: false,
                    read_at: None,
                    updated_at: at,
                }))
            }
            (_, None) => Ok(None),
            (event, Some(mut row)) => {
                raise(&mut row.updated_at, at);
                if matches!(event, Event::Read) {
                    (row.read, row.read_at) = (true, Some(at));
                }
                Ok(Some(row))
            }
        }
    }
}

impl Listed for Notifications {
    const PATH: &'static str = Notification::PLURAL;
    // Each reads his own, where he reads what is his.
    const LISTED: bool = false;
    const SINGLE: bool = false;
    const READ: &'static str = Notification::KIND;
    const STANDS: Stands = Stands::For("record_kind", "record_id");
    const ABOUT: Option<&'static str> = Some("record_kind");
    const ONLY: Option<(&'static str, &'static str)> =
        Some(("t.in_app", "that whoever was told wants to see in the list"));
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::id("user_id"),
        Column::word("kind"),
        Column::word("record_kind"),
        Column::id("record_id"),
        Column::word("by_kind").nullable(),
        Column::reference("by_id", Refers::By("by_kind")).nullable(),
        Column::time("sent_at"),
        Column::bool("read"),
        Column::time("read_at").nullable(),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("sent_at")];
    const TELLS: &'static [Told] = &[Told::by("by_name", "by_id", "by_kind")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.user_id, t.kind, t.record_kind, t.record_id, t.by_kind, \
        r.by_id, t.in_app, t.sent_at, t.read, t.read_at, t.updated_at, \
        read_name(t.tenant_id, t.record_kind, t.record_id) as record_name, \
        read_name(t.tenant_id, t.by_kind, r.by_id) as by_name";
}

/// What somebody has not read, of what stands in the list; those told last first.
///
/// # Errors
/// When the database fails.
pub async fn unread(db: &PgPool, tenant: Id, user: Id, most: i64) -> Result<Vec<Id>, sqlx::Error> {
    let ids: Vec<String> = sqlx::query_scalar(
        "select id from read_notifications where tenant_id = $1 and user_id = $2 and in_app and not read
         order by sent_at desc, id limit $3",
    )
    .bind(tenant.to_string())
    .bind(user.to_string())
    .bind(most)
    .fetch_all(db)
    .await?;
    Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    #[test]
    fn somebody_is_told_and_reads_it() {
        let sent = |medium| {
            let (record, by) = (json!({ "kind": "ticket", "id": id(2) }), json!({ "kind": "user", "id": id(3) }));
            let sent = json!({ "to": id(1), "kind": "mentioned", "medium": medium, "record": record, "by": by });
            event::<Notification>("sent", sent)
        };
        refuses_strangers::<Notifications, Notification>(&sent(["in_app"]));
        let row = folded::<Notifications, Notification>([sent(["in_app"])]).unwrap();
        assert_eq!((row.user_id, row.by_id, row.in_app, row.read), (id(1), Some(id(3)), true, false));
        assert!(!folded::<Notifications, Notification>([sent(["chat"])]).unwrap().in_app);
        let delivered = Event::Delivered { medium: Medium::Email, device: None };
        let row = folded::<Notifications, Notification>([sent(["in_app"]), delivered, Event::Read]).unwrap();
        assert_eq!((row.read, row.read_at, row.updated_at), (true, Some(at(2)), at(2)));
    }
}
