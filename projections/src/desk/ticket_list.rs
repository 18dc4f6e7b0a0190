//! Tickets as a list shows them, and what filters and sorts them. Table: `read_ticket_list`.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Aggregate, Id, PartyKind, Time,
    catalogue::listed,
    desk::ticket::{Brought, Event, Link, Opened, Status, Ticket},
    kernel::custom::{self, Custom},
    org::stage::Means,
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Further, Listed, ReadModel, Refers, Sort, Tally, Unreadable, decode,
    kernel::fold::{micros, raise},
};

/// The list of tickets.
#[derive(Clone, Copy, Debug)]
pub struct TicketList;

/// The further table by which tickets are found in the order of their last change.
const UPDATED: &str = "ticket_updated";

/// A ticket in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// 1, 2, 3, ... within the tenant.
    pub number: u64,
    /// What it is about, in one line.
    pub title: String,
    /// Where it stands in its life.
    pub status: Status,
    /// Where it stands in its team's work.
    pub stage: String,
    /// What that stage means.
    pub stage_means: Means,
    /// How urgent: 0 (low) to 3 (urgent).
    pub priority: u8,
    /// A code from the general list of categories.
    pub category: Option<String>,
    /// What kind of party asks.
    pub requester_kind: Option<PartyKind>,
    /// Who asks.
    pub requester_id: Option<Id>,
    /// The company it concerns.
    pub company_id: Option<Id>,
    /// The team that handles it.
    pub team_id: Option<Id>,
    /// The user who handles it.
    pub assignee_id: Option<Id>,
    /// The product it is about.
    pub product_id: Option<Id>,
    /// The entitlement by which the requester, or its company, owns that product.
    pub entitlement_id: Option<Id>,
    /// Tags.
    pub tags: BTreeSet<String>,
    /// Custom fields.
    pub custom: Custom,
    /// Where it came in.
    pub channel: String,
    /// Where exactly it came in.
    pub origin: Option<String>,
    /// When it was opened.
    pub opened_at: Time,
    /// When anything last happened to it.
    pub updated_at: Time,
    /// When the first reply left.
    pub first_reply_at: Option<Time>,
    /// When somebody last wrote: the requester or we, notes aside.
    pub last_message_at: Option<Time>,
    /// When the requester last wrote.
    pub last_customer_message_at: Option<Time>,
    /// When it was resolved, unless it was reopened since.
    pub resolved_at: Option<Time>,
    /// When it was closed, unless it was reopened since.
    pub closed_at: Option<Time>,
    /// Until when it is put aside.
    pub snoozed_until: Option<Time>,
    /// How often it was reopened.
    pub reopened_count: u32,
    /// Messages received and replies written in it, notes aside. Messages that a split moved away still count here.
    pub message_count: u32,
    /// How satisfied the requester is: 1 (bad) to 5 (good).
    pub rating: Option<u8>,
    /// The ticket it became a part of.
    pub merged_into: Option<Id>,
    /// Where it stood before it was merged.
    #[schemars(skip)]
    pub status_before_merge: Option<Status>,
    /// The ticket it was split off from.
    pub split_from: Option<Id>,
    /// Whose tags, followers and links show here, its own among them, while others are merged into it.
    #[schemars(skip)]
    pub parts: BTreeMap<Id, Brought>,
}

/// A ticket in a list, with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The ticket itself.
    #[serde(flatten)]
    pub row: Row,
    /// Name of the requester.
    pub requester_name: Option<String>,
    /// Name of the company.
    pub company_name: Option<String>,
    /// Name of the team.
    pub team_name: Option<String>,
    /// Name of the assignee.
    pub assignee_name: Option<String>,
    /// Name of the product.
    pub product_name: Option<String>,
    /// Colour of the product's badge.
    pub product_color: Option<String>,
    /// Icon of the product's badge.
    pub product_icon: Option<String>,
}

impl Row {
    fn opened(opened: Opened, event: &Recorded) -> Row {
        let requester = opened.requester;
        Row {
            number: opened.number,
            title: opened.title.0,
            status: Status::Open,
            stage_means: opened.stage_means.unwrap_or_else(|| Means::usual(&opened.stage)),
            stage: opened.stage,
            priority: opened.priority.level(),
            category: opened.category,
            requester_kind: requester.map(|party| party.kind),
            requester_id: requester.map(|party| party.id),
            company_id: opened.company,
            team_id: opened.team,
            assignee_id: None,
            product_id: None,
            entitlement_id: None,
            tags: opened.tags,
            custom: opened.custom,
            channel: opened.channel,
            origin: opened.origin,
            opened_at: event.occurred_at,
            updated_at: event.occurred_at,
            first_reply_at: None,
            last_message_at: None,
            last_customer_message_at: None,
            resolved_at: None,
            closed_at: None,
            snoozed_until: None,
            reopened_count: 0,
            message_count: 0,
            rating: None,
            merged_into: None,
            status_before_merge: None,
            split_from: opened.split_from,
            parts: BTreeMap::new(),
        }
    }

    /// The row after an event that has been read already.
    pub(crate) fn after(row: Option<Row>, happened: Event, event: &Recorded) -> Option<Row> {
        let at = event.occurred_at;
        if let Event::Opened(opened) = happened {
            return Some(Row::opened(opened, event));
        }
        let mut row = row?;
        raise(&mut row.updated_at, at);
        if let Some((to, means)) = happened.stage() {
            row.stage_means = means.unwrap_or_else(|| Means::usual(to));
            to.clone_into(&mut row.stage);
        }
        let id: Id = event.key().parse().unwrap_or(Id::NIL);
        let own = row.parts.remove(&id);
        if let Some(own) = &own {
            row.tags.clone_from(&own.tags);
        }
        match happened {
            Event::TitleChanged { to, .. } => row.title = to.0,
            Event::PriorityChanged { to, .. } => row.priority = to.level(),
            Event::CategorySet { to, .. } => row.category = to,
            Event::RequesterChanged { to, company, .. } => {
                row.requester_kind = to.map(|party| party.kind);
                row.requester_id = to.map(|party| party.id);
                row.company_id = company;
            }
            Event::ProductSelected { entitlement, product } => {
                row.entitlement_id = Some(entitlement);
                row.product_id = Some(product);
            }
            Event::ProductCleared => {
                row.entitlement_id = None;
                row.product_id = None;
            }
            Event::Tagged { tag } => drop(row.tags.insert(tag)),
            Event::Untagged { tag } => {
                row.tags.remove(&tag);
                row.parts.values_mut().for_each(|brought| brought.tags.retain(|known| *known != tag));
            }
            Event::CustomChanged { changes } => custom::apply(&mut row.custom, &changes),
            Event::Assigned { to, .. } => row.assignee_id = Some(to),
            Event::Unassigned { .. } => row.assignee_id = None,
            Event::TeamChanged { to, .. } => row.team_id = to,
            Event::MessageReceived { .. } => {
                row.message_count += 1;
                row.last_message_at = row.last_message_at.max(Some(at));
                row.last_customer_message_at = row.last_customer_message_at.max(Some(at));
            }
            Event::ReplyQueued { again: true, .. } => {}
            Event::ReplyQueued { .. } => {
                row.message_count += 1;
                row.last_message_at = row.last_message_at.max(Some(at));
            }
            Event::ReplySent { .. } => row.first_reply_at = Some(row.first_reply_at.map_or(at, |first| first.min(at))),
            Event::Snoozed { until, .. } => row.snoozed_until = Some(micros(until)),
            Event::Woken { .. } => row.snoozed_until = None,
            Event::Resolved { .. } => {
                row.status = Status::Resolved;
                row.resolved_at = Some(at);
                row.snoozed_until = None;
            }
            Event::Closed { .. } => {
                row.status = Status::Closed;
                row.closed_at = Some(at);
                row.snoozed_until = None;
            }
            Event::Reopened { .. } => {
                row.status = Status::Open;
                row.resolved_at = None;
                row.closed_at = None;
                row.reopened_count += 1;
            }
            Event::Merged { into } => {
                row.status_before_merge = Some(std::mem::replace(&mut row.status, Status::Merged));
                row.merged_into = Some(into);
            }
            Event::Unmerged { .. } => {
                row.status = row.status_before_merge.take().unwrap_or(Status::Open);
                row.merged_into = None;
            }
            Event::Rated { score, .. } => row.rating = Some(score),
            Event::Absorbed { parts, .. } => row.parts.extend(parts),
            Event::Released { parts, .. } => row.parts.retain(|ticket, _| !parts.contains(ticket)),
            Event::FollowerRemoved { user } => {
                row.parts.values_mut().for_each(|brought| brought.followers.retain(|known| *known != user));
            }
            Event::ParticipantRemoved { contact } => {
                row.parts.values_mut().for_each(|brought| brought.participants.retain(|known| *known != contact));
            }
            Event::Unlinked { ticket, kind } => {
                let gone = Link { ticket, kind };
                row.parts.values_mut().for_each(|brought| brought.links.retain(|known| *known != gone));
            }
            Event::Opened(_)
            | Event::StageChanged { .. }
            | Event::DescriptionChanged { .. }
            | Event::DescriptionCleared { .. }
            | Event::ReplyFailed { .. }
            | Event::ReplyUncertain { .. }
            | Event::ReplyCancelled { .. }
            | Event::ParticipantAdded { .. }
            | Event::NoteAdded { .. }
            | Event::MessageRedacted { .. }
            | Event::FollowerAdded { .. }
            | Event::Split { .. }
            | Event::Linked { .. }
            | Event::Forwarded { .. } => {}
        }
        if !row.parts.is_empty() {
            let own = Brought { tags: row.tags.clone(), ..own.unwrap_or_default() };
            row.tags.extend(row.parts.values().flat_map(|brought| &brought.tags).cloned());
            row.parts.insert(id, own);
        }
        Some(row)
    }
}

/// The name of a status in tables and filters.
fn status_name(status: Status) -> &'static str {
    match status {
        Status::Missing => "missing",
        Status::Open => "open",
        Status::Resolved => "resolved",
        Status::Closed => "closed",
        Status::Merged => "merged",
    }
}

impl ReadModel for TicketList {
    const NAME: &'static str = "ticket_list";
    const VERSION: i32 = 3;
    const KINDS: &'static [&'static str] = &[Ticket::KIND];
    const TALLY: Option<&'static str> = Some("tickets_by_product");
    const FURTHER: &'static [&'static str] = &[UPDATED];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        Ok(Row::after(row, decode::<Ticket>(event)?, event))
    }

    fn fold(id: Id, row: Option<Row>, event: &Recorded, further: &mut Further) -> Result<Option<Row>, Unreadable> {
        #[derive(Serialize)]
        struct Key {
            id: Id,
        }
        #[derive(Serialize)]
        struct Updated {
            updated_at: Time,
        }
        let row = Self::apply(id, row, event)?;
        if let Some(row) = &row {
            further.put(UPDATED, &Key { id }, &Updated { updated_at: row.updated_at })?;
        }
        Ok(row)
    }

    /// Tickets by product, day of opening and status; the product of a ticket without one is the empty text.
    fn tally(row: &Row) -> Vec<Tally> {
        let day = row.opened_at.to_zoned(jiff::tz::TimeZone::UTC).date();
        let key = vec![
            ("product_id", row.product_id.map(|id| id.to_string()).unwrap_or_default()),
            ("day", day.to_string()),
            ("status", status_name(row.status).to_owned()),
        ];
        vec![Tally { key, count: 1 }]
    }
}

impl Listed for TicketList {
    const PATH: &'static str = "tickets";
    const SINGLE: bool = false;
    const READ: &'static str = Ticket::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::integer("number"),
        Column::text("title"),
        Column::word("status"),
        Column::word("stage"),
        Column::word("stage_means"),
        Column::integer("priority"),
        Column::text("category").nullable(),
        Column::word("requester_kind").nullable(),
        Column::reference("requester_id", Refers::By("requester_kind")).nullable(),
        Column::reference("company_id", Refers::To("company")).nullable(),
        Column::id("team_id").nullable(),
        Column::id("assignee_id").nullable(),
        Column::id("product_id").nullable(),
        Column::id("entitlement_id").nullable(),
        Column::tags("tags"),
        Column::word("channel"),
        Column::word("origin").nullable(),
        Column::time("opened_at"),
        Column::time("updated_at").beside(UPDATED),
        Column::time("first_reply_at").nullable(),
        Column::time("last_message_at").nullable(),
        Column::time("last_customer_message_at").nullable(),
        Column::time("resolved_at").nullable(),
        Column::time("closed_at").nullable(),
        Column::time("snoozed_until").nullable(),
        Column::integer("reopened_count"),
        Column::integer("message_count"),
        Column::integer("rating").nullable(),
        Column::id("merged_into").nullable().hiding(),
        Column::reference("split_from", Refers::To("ticket")).nullable(),
        Column::called(&listed::REQUESTER),
        Column::called(&listed::COMPANY),
        Column::called(&listed::TEAM),
        Column::called(&listed::ASSIGNEE),
        Column::called(&listed::PRODUCT),
        Column::id("id"),
    ];
    const CUSTOM: Option<&'static str> = Some(Ticket::KIND);
    const SHOWS_MERGED: &'static [(&'static str, Option<&'static str>)] =
        &[("id", None), ("number", None), ("status", Some("merged"))];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::descending("priority"), Sort::ascending("opened_at")];
    const SELECT: &'static str = SELECT;
    const JOINS: &'static str = JOINS;
}

/// The columns of [`View`].
pub(crate) const SELECT: &str = "t.id, t.version, t.position, t.number, t.title, t.status, t.stage, t.stage_means, t.priority, \
    t.category, t.requester_kind, r.requester_id, coalesce(contact.name, requesting.name) as requester_name, \
    r.company_id, company.name as company_name, t.team_id, team.name as team_name, t.assignee_id, \
    assignee.name as assignee_name, t.product_id, product.name as product_name, product.color as product_color, \
    product.icon as product_icon, t.entitlement_id, t.tags, r.custom, t.channel, t.origin, t.opened_at, t.updated_at, \
    t.first_reply_at, t.last_message_at, t.last_customer_message_at, t.resolved_at, t.closed_at, t.snoozed_until, \
    t.reopened_count, t.message_count, t.rating, t.merged_into, r.split_from";

/// Where the names come from.
pub(crate) const JOINS: &str = "\
    left join read_contacts contact \
        on t.requester_kind = 'contact' and contact.tenant_id = t.tenant_id and contact.id = r.requester_id \
    left join read_users requesting \
        on t.requester_kind = 'user' and requesting.tenant_id = t.tenant_id and requesting.id = r.requester_id \
    left join read_companies company on company.tenant_id = t.tenant_id and company.id = r.company_id \
    left join read_teams team on team.tenant_id = t.tenant_id and team.id = t.team_id \
    left join read_users assignee on assignee.tenant_id = t.tenant_id and assignee.id = t.assignee_id \
    left join read_product_catalogue product on product.tenant_id = t.tenant_id and product.id = t.product_id";

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, id, refuses_strangers};

    pub(crate) fn opened() -> Event {
        event::<Ticket>(
            "opened",
            json!({
                "number": 7, "title": "Printer on fire", "description": "All of it", "channel": "phone", "priority": 2,
                "stage": "new", "requester": { "kind": "contact", "id": id(1) }, "company": id(2), "tags": ["hot"]
            }),
        )
    }

    fn row(events: impl IntoIterator<Item = Event>) -> Row {
        folded::<TicketList, Ticket>([opened()].into_iter().chain(events)).unwrap()
    }

    #[test]
    fn it_opens_with_what_was_told() {
        let row = row([]);
        assert_eq!((row.number, row.title.as_str(), row.status, row.priority), (7, "Printer on fire", Status::Open, 2));
        assert_eq!((row.requester_kind, row.requester_id), (Some(PartyKind::Contact), Some(id(1))));
        assert_eq!((row.opened_at, row.updated_at), (at(0), at(0)));
        refuses_strangers::<TicketList, Ticket>(&opened());
        assert_eq!(folded::<TicketList, Ticket>([Event::Closed { stage: None }]), None);
    }

    #[test]
    fn it_is_resolved_closed_and_reopened() {
        let snoozed = || Event::Snoozed { until: at(1_000), stage: None };
        let solved = row([snoozed(), Event::Resolved { outcome: None, stage: None }]);
        assert_eq!((solved.status, solved.resolved_at, solved.snoozed_until), (Status::Resolved, Some(at(2)), None));
        let reopened = Event::Reopened { cause: Default::default(), stage: None };
        let again =
            row([Event::Resolved { outcome: None, stage: None }, Event::Closed { stage: None }, reopened, snoozed()]);
        assert_eq!((again.status, again.resolved_at, again.closed_at), (Status::Open, None, None));
        assert_eq!((again.reopened_count, again.snoozed_until, again.updated_at), (1, Some(at(1_000)), at(4)));
    }

    #[test]
    fn a_merge_taken_back_leaves_it_as_it_was() {
        let merged = [Event::Resolved { outcome: None, stage: None }, Event::Merged { into: id(9) }];
        let parted = row(merged.clone());
        assert_eq!((parted.status, parted.merged_into), (Status::Merged, Some(id(9))));
        let back = row(merged.into_iter().chain([Event::Unmerged { from: id(9) }]));
        assert_eq!((back.status, back.merged_into, back.status_before_merge), (Status::Resolved, None, None));
    }

    #[test]
    fn messages_and_first_replies_are_told_apart_from_notes() {
        let message = event::<Ticket>("message_received", json!({ "message_id": id(1), "from": null, "body": "?" }));
        let note = event::<Ticket>("note_added", json!({ "message_id": id(2), "body": "!" }));
        let reply = event::<Ticket>("reply_queued", json!({ "message_id": id(3), "body": "." }));
        let sent = Event::ReplySent { message_id: id(3), external_id: None };
        let row = row([message, note, reply, sent.clone(), sent]);
        assert_eq!((row.message_count, row.first_reply_at), (2, Some(at(4))));
        assert_eq!((row.last_customer_message_at, row.last_message_at), (Some(at(1)), Some(at(3))));
    }

    #[test]
    fn it_counts_under_its_product_day_and_status() {
        let tally =
            |row: &Row| TicketList::tally(row)[0].key.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>();
        assert_eq!(tally(&row([])), ["", "2026-01-01", "open"]);
        let selected = Event::ProductSelected { entitlement: id(5), product: id(6) };
        assert_eq!(
            tally(&row([selected.clone(), Event::Closed { stage: None }])),
            [&id(6).to_string(), "2026-01-01", "closed"]
        );
        let cleared = row([selected, Event::ProductCleared]);
        assert_eq!((cleared.product_id, cleared.entitlement_id), (None, None));
    }
}
