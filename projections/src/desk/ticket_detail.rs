//! One ticket with all there is to it but its thread. Table: `read_ticket_detail`.

use std::collections::BTreeSet;

use domain::{
    Aggregate, Id,
    catalogue::listed,
    desk::ticket::{self, Event, LinkKind, Ticket},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Refers, Sort, Told, Unreadable, decode,
    desk::ticket_list::{self, TicketList},
    org::users::Reference,
};

/// Single tickets.
#[derive(Clone, Copy, Debug)]
pub struct TicketDetail;

/// A link to another ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// The other ticket.
    pub ticket_id: Id,
    /// What this one is to the other.
    pub kind: LinkKind,
}

impl From<&ticket::Link> for Link {
    fn from(link: &ticket::Link) -> Link {
        Link { ticket_id: link.ticket, kind: link.kind }
    }
}

/// A ticket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// What the list shows.
    #[serde(flatten)]
    pub ticket: ticket_list::Row,
    /// The whole story.
    pub description: Option<String>,
    /// The users who follow it.
    pub follower_ids: BTreeSet<Id>,
    /// The contacts who take part besides the requester.
    pub participant_ids: BTreeSet<Id>,
    /// Links to other tickets; those merged into it are among them.
    pub ticket_links: BTreeSet<Link>,
    /// The tickets that were split off from it.
    pub split_into: BTreeSet<Id>,
    /// What came of it, when it was resolved.
    pub outcome: Option<String>,
    /// The rating in the requester's words.
    pub rating_text: Option<String>,
}

/// A ticket with the names of what it refers to as they are now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// The ticket itself, and names.
    #[serde(flatten)]
    pub list: ticket_list::View,
    /// The whole story.
    pub description: Option<String>,
    /// The users who follow it.
    pub followers: Vec<Reference>,
    /// The contacts who take part besides the requester.
    pub participants: Vec<Reference>,
    /// Links to other tickets; those merged into it are among them.
    pub linked_tickets: Vec<LinkedTicket>,
    /// The tickets that were split off from it.
    pub split_into: BTreeSet<Id>,
    /// What came of it, when it was resolved.
    pub outcome: Option<String>,
    /// The rating in the requester's words.
    pub rating_text: Option<String>,
}

/// A ticket that another one is linked with.
#[derive(Clone, Debug, JsonSchema)]
pub struct LinkedTicket {
    /// Its id.
    pub id: Id,
    /// What the one is to the other.
    pub kind: LinkKind,
    /// Its number.
    pub number: Option<u64>,
    /// What it is about.
    pub title: Option<String>,
    /// Where it stands.
    pub status: Option<ticket::Status>,
}

impl ReadModel for TicketDetail {
    const NAME: &'static str = "ticket_detail";
    const VERSION: i32 = 3;
    const KINDS: &'static [&'static str] = &[Ticket::KIND];
    type Row = Row;

    fn apply(id: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let mut happened = decode::<Ticket>(event)?;
        let row = match (row, &mut happened) {
            (None, Event::Opened(opened)) => {
                let description = opened.description.take().map(|text| text.0);
                let ticket = ticket_list::Row::after(None, happened, event);
                return Ok(ticket.map(|ticket| Row {
                    ticket,
                    description,
                    follower_ids: BTreeSet::new(),
                    participant_ids: BTreeSet::new(),
                    ticket_links: BTreeSet::new(),
                    split_into: BTreeSet::new(),
                    outcome: None,
                    rating_text: None,
                }));
            }
            (row, _) => row,
        };
        let Some(mut row) = row else { return Ok(None) };
        // Only what is its own changes; what merged tickets brought along shows besides.
        if let Some(own) = row.ticket.parts.get(&id) {
            row.follower_ids.clone_from(&own.followers);
            row.participant_ids.clone_from(&own.participants);
            row.ticket_links = own.links.iter().map(Link::from).collect();
        }
        match &mut happened {
            Event::DescriptionChanged { to, .. } => row.description = Some(std::mem::take(&mut to.0)),
            Event::DescriptionCleared { .. } => row.description = None,
            Event::FollowerAdded { user } => drop(row.follower_ids.insert(*user)),
            Event::FollowerRemoved { user } => drop(row.follower_ids.remove(user)),
            Event::ParticipantAdded { contact } => drop(row.participant_ids.insert(*contact)),
            Event::ParticipantRemoved { contact } => drop(row.participant_ids.remove(contact)),
            Event::Linked { ticket, kind } => {
                row.ticket_links.insert(Link { ticket_id: *ticket, kind: *kind });
            }
            Event::Unlinked { ticket, kind } => {
                row.ticket_links.remove(&Link { ticket_id: *ticket, kind: *kind });
            }
            Event::Split { new_ticket, .. } => drop(row.split_into.insert(*new_ticket)),
            Event::Resolved { outcome, .. } => row.outcome = outcome.take(),
            Event::Reopened { .. } => row.outcome = None,
            Event::Rated { text, .. } => row.rating_text = text.take().map(|text| text.0),
            _ => {}
        }
        let Some(ticket) = ticket_list::Row::after(Some(row.ticket), happened, event) else { return Ok(None) };
        let mut row = Row { ticket, ..row };
        if let Some(mut own) = row.ticket.parts.remove(&id) {
            own.followers.clone_from(&row.follower_ids);
            own.participants.clone_from(&row.participant_ids);
            own.links =
                row.ticket_links.iter().map(|link| ticket::Link { ticket: link.ticket_id, kind: link.kind }).collect();
            for brought in row.ticket.parts.values() {
                row.follower_ids.extend(&brought.followers);
                row.participant_ids.extend(&brought.participants);
                row.ticket_links.extend(brought.links.iter().map(Link::from));
            }
            row.ticket.parts.insert(id, own);
        }
        Ok(Some(row))
    }
}

impl Listed for TicketDetail {
    const PATH: &'static str = Ticket::PLURAL;
    const LISTED: bool = false;
    const READ: &'static str = Ticket::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::id("id"),
        Column::reference("requester_id", Refers::By("requester_kind")).nullable(),
        Column::reference("company_id", Refers::To("company")).nullable(),
        Column::reference("split_from", Refers::To("ticket")).nullable(),
    ];
    const CUSTOM: Option<&'static str> = Some(Ticket::KIND);
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("id")];
    const TELLS: &'static [Told] = &[
        Told::name(&listed::REQUESTER),
        Told::name(&listed::COMPANY),
        Told::listed("linked_tickets", Ticket::KIND),
        Told::listed("participants", "contact"),
    ];
    const SELECT: &'static str = constcat::SELECT;
    const JOINS: &'static str = <TicketList as Listed>::JOINS;
}

mod constcat {
    //! The list's columns and the rest, in one text.
    use crate::desk::ticket_list;

    const REST: &str = ", t.description, \
        array(select json_build_object('id', u.id, 'name', u.name) from read_users u \
            where u.tenant_id = t.tenant_id and u.id = any (t.follower_ids) order by u.name collate \"und-x-icu\", u.id) as followers, \
        array(select json_build_object('id', c.id, 'name', c.name) from read_contacts c \
            where c.tenant_id = t.tenant_id and c.id = any (t.participant_ids) order by c.name collate \"und-x-icu\", c.id) as participants, \
        array(select json_build_object('id', link.id, 'kind', link.kind, 'number', l.number, \
                'title', l.title, 'status', l.status) \
            from (select distinct known->>'kind' as kind, case known->>'kind' when 'merged_from' then known->>'ticket_id' \
                    else read_survivor(t.tenant_id, 'ticket', known->>'ticket_id', r.past) end collate \"C\" as id \
                from jsonb_array_elements(t.ticket_links) known) link \
            left join read_ticket_list l on l.tenant_id = t.tenant_id and l.id = link.id \
            where link.id <> t.id order by link.id, link.kind) as linked_tickets, \
        t.split_into, t.outcome, t.rating_text";

    const LENGTH: usize = ticket_list::SELECT.len() + REST.len();

    const BYTES: [u8; LENGTH] = {
        let (first, rest) = (ticket_list::SELECT.as_bytes(), REST.as_bytes());
        let mut bytes = [0; LENGTH];
        let mut at = 0;
        while at < LENGTH {
            bytes[at] = if at < first.len() { first[at] } else { rest[at - first.len()] };
            at += 1;
        }
        bytes
    };

    pub(super) const SELECT: &str = match str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    };
}

#[cfg(test)]
mod tests {
    use domain::desk::ticket::Brought;

    use super::*;
    use crate::{
        desk::ticket_list::tests::opened,
        kernel::fold::tests::{folded, id, refuses_strangers},
    };

    #[test]
    fn what_merged_tickets_brought_along_shows_until_it_is_given_back() {
        let other = ticket::Link { ticket: id(5), kind: LinkKind::Blocks };
        let brought = Brought {
            tags: ["vip".to_owned()].into(),
            followers: [id(3)].into(),
            links: [other].into(),
            ..Brought::default()
        };
        let parts = || [(id(9), brought.clone()), (id(10), brought.clone())].into();
        let absorbed = || Event::Absorbed { ticket: id(9), parts: parts(), assignee: None };
        let released = |which: u128| Event::Released { ticket: id(which), parts: [id(which)].into() };
        let row = |events: Vec<Event>| {
            folded::<TicketDetail, Ticket>([opened(), Event::FollowerAdded { user: id(4) }].into_iter().chain(events))
        };
        let whole = row(vec![absorbed()]).unwrap();
        assert_eq!(whole.ticket.tags, ["hot".to_owned(), "vip".into()].into());
        assert_eq!(whole.follower_ids, [id(3), id(4)].into());
        assert_eq!(whole.ticket_links, [Link { ticket_id: id(5), kind: LinkKind::Blocks }].into());
        // Two brought the same: it goes with the second.
        let half = row(vec![absorbed(), released(9)]).unwrap();
        assert_eq!((half.ticket.tags, half.follower_ids), (whole.ticket.tags, whole.follower_ids));
        let alone = |row: Option<Row>| {
            let mut row = row.unwrap();
            row.ticket.updated_at = crate::kernel::fold::tests::at(0);
            row
        };
        assert_eq!(alone(row(vec![absorbed(), released(9), released(10)])), alone(row(vec![])));
        // By hand it stays, and is removed from all.
        let tagged = row(vec![absorbed(), Event::Tagged { tag: "vip".into() }, released(9), released(10)]).unwrap();
        assert_eq!(tagged.ticket.tags, ["hot".to_owned(), "vip".into()].into());
        let gone = [Event::Untagged { tag: "vip".into() }, Event::FollowerRemoved { user: id(3) }];
        let gone = row([vec![absorbed()], gone.into()].concat()).unwrap();
        assert_eq!((gone.ticket.tags, gone.follower_ids), (["hot".to_owned()].into(), [id(4)].into()));
    }

    #[test]
    fn it_has_what_the_list_has_and_more() {
        let link = |kind| Event::Linked { ticket: id(9), kind };
        let events = vec![
            opened(),
            link(LinkKind::Blocks),
            link(LinkKind::Related),
            Event::Unlinked { ticket: id(9), kind: LinkKind::Blocks },
            Event::FollowerAdded { user: id(3) },
            Event::DescriptionChanged { from: None, to: "All of it".into() },
            Event::DescriptionCleared { from: "All of it".into() },
            Event::DescriptionChanged { from: None, to: "Half of it".into() },
            Event::Split { new_ticket: id(8), title: "Mouse".into(), messages: BTreeSet::new() },
            Event::Resolved { outcome: Some("Water".into()), stage: None },
            Event::Rated { score: 4, text: Some("Wet".into()), via_ticket: None },
        ];
        let row = folded::<TicketDetail, Ticket>(events.clone()).unwrap();
        assert_eq!(row.description.as_deref(), Some("Half of it"));
        assert_eq!(row.ticket_links, [Link { ticket_id: id(9), kind: LinkKind::Related }].into());
        assert_eq!((row.follower_ids, row.split_into), ([id(3)].into(), [id(8)].into()));
        assert_eq!((row.outcome.as_deref(), row.rating_text.as_deref()), (Some("Water"), Some("Wet")));
        assert_eq!(Some(row.ticket), folded::<TicketList, Ticket>(events));
        let reopened = [opened(), Event::Resolved { outcome: Some("Water".into()), stage: None }];
        let reopened = reopened.into_iter().chain([Event::Reopened { cause: Default::default(), stage: None }]);
        assert_eq!(folded::<TicketDetail, Ticket>(reopened).unwrap().outcome, None);
        refuses_strangers::<TicketDetail, Ticket>(&opened());
    }
}
