//! A customer's own tickets and orders in the portal, and those of the companies he belongs to where the portal shows them.

use std::sync::Arc;

use axum::{
    extract::{Form as Encoded, Path, Query, Request},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use commands::Refused;
use domain::{
    Aggregate, Id, Party, PartyKind, Personal, Time,
    chat::channel::{Channel, Kind as ChannelKind},
    desk::ticket::{self, Attachment, Status, Ticket},
    kernel::access::{Teams, Viewer},
};
use projections::{AuthorKind, ReadModel};
use projections::{
    ListRequest, Sight, TimeOrder,
    desk::{
        ticket_list::TicketList,
        ticket_thread::{Delivery, Kind, Row as Entry, TicketThread},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;
use web::pages;

use super::{Customer, Here, Inside, named};
use crate::{
    http::{
        kernel::request,
        pages::{page, page_as, redirect, sent::Sent},
    },
    problem::Problem,
    uploads::{Of, Signed},
};

/// So many bytes has all that is sent with an answer, files included.
pub(super) const LARGEST: usize = 64 << 20;
/// So many files go with an answer.
const FILES: usize = 10;
/// Tickets or orders on a page.
const PAGE: u32 = 25;
/// So many of the last messages are shown.
const MESSAGES: i64 = 500;
/// For how many seconds the address of a file is good at least.
const ADDRESSES_LAST: i64 = 3600;

/// Which page, and what it must show already.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    after: Option<String>,
    at: Option<i64>,
}

/// A ticket as the list tells it.
#[derive(Deserialize)]
struct Row {
    id: Id,
    number: u64,
    title: String,
    status: Status,
    opened_at: Time,
    updated_at: Time,
    last_message_at: Option<Time>,
    product_name: Option<String>,
    requester_id: Option<Id>,
    requester_name: Option<String>,
    rating: Option<u8>,
}

impl Row {
    fn shown(&self, here: &Here, customer: &Customer) -> pages::PortalTicket {
        let own = self.requester_id == Some(customer.contact);
        pages::PortalTicket {
            path: format!("{}/tickets/{}", here.home(), self.id),
            number: self.number,
            title: self.title.clone(),
            state: match self.status {
                Status::Resolved => "resolved",
                Status::Closed => "closed",
                _ => "open",
            },
            changed_at: self.last_message_at.unwrap_or(self.updated_at).to_string(),
            product: self.product_name.clone(),
            requester: self.requester_name.clone().filter(|_| !own),
        }
    }
}

/// What makes something that is sent twice one, until the page is asked for again.
fn once(here: &Here) -> String {
    here.app.new_id().to_string()
}

/// The tickets of a customer: those that he asks in, and those of his companies.
fn own(customer: &Customer, field: &str) -> Value {
    let is = |field: &str, id: &Id| json!({ "field": field, "op": "eq", "value": id.to_string() });
    let companies = customer.companies.iter().map(|company| is("company_id", company));
    let all: Vec<Value> = [is(field, &customer.contact)].into_iter().chain(companies).collect();
    json!({ "any": all })
}

pub(super) async fn list(
    Inside { here, customer }: Inside,
    Query(Wanted { after, at }): Query<Wanted>,
) -> Result<Response, Problem> {
    if !here.frame.tickets {
        return Ok(here.missing());
    }
    request::reach(&here.app, TicketList::NAME, at).await?;
    let request = ListRequest { limit: PAGE, after, ..ListRequest::default() };
    let (rows, listed) =
        here.listed::<Row>(Ticket::KIND, &own(&customer, "requester_id"), "-updated_at", request).await?;
    let tickets: Vec<pages::PortalTicket> = rows.iter().map(|row| row.shown(&here, &customer)).collect();
    let next = listed.next.map(|next| format!("{}/tickets?after={next}", here.home()));
    Ok(page(pages::portal_tickets(&here.view, &here.frame, &tickets, next.as_deref())))
}

/// A ticket that is the customer's to see, as the log has it now: whoever asks or takes part in it, or belongs to its company where
/// the portal shows that.
async fn found(
    Inside { here, customer }: &Inside,
    path: &Path<(String, String)>,
) -> Result<Option<(Id, Arc<Ticket>)>, Problem> {
    let Some(mut id) = named(path).filter(|_| here.frame.tickets) else { return Ok(None) };
    let commands = &here.app.commands;
    // Chains are short, and never go round in circles.
    for _ in 0..64 {
        let (ticket, _) = commands.load_current::<Ticket>(here.tenant, id).await?;
        let Some(opened) = ticket.opened() else { break };
        let mut takes_part: Vec<Id> = ticket.participants().into_iter().collect();
        takes_part.extend(opened.requester.filter(|party| party.kind == PartyKind::Contact).map(|party| party.id));
        let mut his = opened.company.is_some_and(|company| customer.companies.contains(&company));
        for contact in takes_part {
            his = his || commands.living(here.tenant, contact).await? == Some(customer.contact);
        }
        if !his {
            break;
        }
        match ticket.merged_into() {
            Some(into) => id = into,
            None => return Ok(Some((id, ticket))),
        }
    }
    Ok(None)
}

/// What is shown of a ticket besides what was found of it.
#[derive(Default)]
struct Again {
    fault: Option<String>,
    typed: String,
    once: Option<String>,
}

pub(super) async fn show(
    inside: Inside,
    path: Path<(String, String)>,
    Query(Wanted { at, .. }): Query<Wanted>,
) -> Result<Response, Problem> {
    let Some((id, _)) = found(&inside, &path).await? else { return Ok(inside.here.missing()) };
    request::reach(&inside.here.app, TicketList::NAME, at).await?;
    request::reach(&inside.here.app, TicketThread::NAME, at).await?;
    shown(&inside, id, Again::default(), StatusCode::OK).await
}

async fn shown(
    Inside { here, customer }: &Inside,
    id: Id,
    again: Again,
    status: StatusCode,
) -> Result<Response, Problem> {
    let only = json!({ "field": "id", "op": "eq", "value": id.to_string() });
    let request = ListRequest { limit: 1, ..ListRequest::default() };
    let (rows, _) = here.listed::<Row>(Ticket::KIND, &only, "-updated_at", request).await?;
    let Some(row) = rows.first() else { return Ok(here.missing()) };
    let mut thread = pages::PortalThread {
        ticket: row.shown(here, customer),
        messages: messages(here, customer, id).await?,
        rating: row.rating,
        once: again.once.unwrap_or_else(|| once(here)),
        fault: again.fault,
        typed: again.typed,
    };
    let (ticket, _) = here.app.commands.load_current::<Ticket>(here.tenant, id).await?;
    let story = ticket.opened().and_then(|opened| opened.description.clone()).filter(|story| !story.trim().is_empty());
    // What was said first is shown once.
    if let Some(story) = story.filter(|story| thread.messages.iter().all(|said| said.body.as_ref() != Some(&story.0))) {
        let opened = ticket.opened();
        let own = opened.and_then(|opened| opened.requester).is_some_and(|party| party.id == customer.contact);
        let first = pages::PortalMessage {
            author: row.requester_name.clone(),
            own,
            outside: true,
            body: Some(story.0),
            at: row.opened_at.to_string(),
            files: Vec::new(),
        };
        thread.messages.insert(0, first);
    }
    Ok(page_as(status, pages::portal_ticket(&here.view, &here.frame, &thread)))
}

/// An entry of a thread, with the name of who wrote it.
#[derive(Deserialize)]
struct Said {
    #[serde(flatten)]
    entry: Entry,
    author_name: Option<String>,
}

/// What was said, without what only colleagues see: notes, answers that were taken back or may yet be, and those that nobody sent.
async fn messages(here: &Here, customer: &Customer, id: Id) -> Result<Vec<pages::PortalMessage>, Problem> {
    let from = (TimeOrder::Newest, None);
    let mut data = projections::thread(&here.app.reads().pool, here.tenant, id, from, MESSAGES).await?;
    data.reverse();
    let channel = Channel::of_team(here.portal.team, ChannelKind::Email);
    let (channel, _) = here.app.commands.load::<Channel>(here.tenant, channel).await?;
    let undo = channel.mail.undo_s.map(i64::from).unwrap_or_default();
    let now = here.app.now();
    let mut messages = Vec::with_capacity(data.len());
    for entry in data {
        let Said { entry, author_name } = serde_json::from_str(entry.get()).map_err(|error| Problem::broken(&error))?;
        let leaves = entry.send_at.unwrap_or(entry.written_at).as_second() + undo;
        let left = match entry.delivery {
            None | Some(Delivery::Sent | Delivery::Uncertain | Delivery::Failed) => true,
            Some(Delivery::Queued) => leaves <= now.as_second(),
            Some(Delivery::Cancelled) => false,
        };
        if entry.kind == Kind::Note || !left {
            continue;
        }
        let author = match entry.author_kind {
            Some(AuthorKind::Contact) => entry.author_id,
            _ => None,
        };
        let author = match author {
            Some(contact) => here.app.commands.living(here.tenant, contact).await?,
            None => None,
        };
        let own = author == Some(customer.contact);
        messages.push(pages::PortalMessage {
            author: author_name,
            own,
            outside: entry.kind == Kind::Message,
            body: entry.body.filter(|_| !entry.redacted),
            at: entry.written_at.to_string(),
            files: if entry.redacted { Vec::new() } else { files(here, &entry.attachments)? },
        });
    }
    Ok(messages)
}

/// Where files are, for whoever has the address, for a while.
fn files(here: &Here, attachments: &[Attachment]) -> Result<Vec<(String, String)>, Problem> {
    let turn = here.app.now().as_second().div_euclid(ADDRESSES_LAST);
    let expires_at = Time::from_second((turn + 2) * ADDRESSES_LAST).map_err(|error| Problem::broken(&error))?;
    let address = |attachment: &Attachment| {
        let (tenant, upload) = (here.tenant, attachment.upload_id);
        let signed = here.app.sign(&Signed { tenant, upload, of: Of::Content, download: true, expires_at })?;
        Ok((format!("/files/{signed}"), attachment.name.0.clone()))
    };
    attachments.iter().map(address).collect()
}

/// What was sent with a page: its text, and files that are kept.
struct Given {
    sent: Sent,
    once: Option<Id>,
    attachments: Vec<Attachment>,
    fault: Option<String>,
}

impl Given {
    fn typed(&self, name: &str) -> String {
        self.sent.typed.get(name).map(|text| text.trim().replace("\r\n", "\n")).unwrap_or_default()
    }

    async fn read(here: &Here, customer: &Customer, request: Request) -> Result<Given, Problem> {
        here.browser.must_be_ours()?;
        here.app.flood.take(here.browser.address, customer.contact, 1)?;
        let takes = |key: &str| if key == "files" { FILES } else { 0 };
        let sent = Sent::read(request, &here.app, here.tenant, &takes).await?;
        let once = sent.typed.get(pages::ONCE).and_then(|id| id.parse().ok());
        Ok(Given { sent, once, attachments: Vec::new(), fault: None })
    }

    /// Keeps the files. What is sent twice is kept twice, and what refers to none of them goes in time.
    async fn keep(&mut self, here: &Here, customer: &Customer) -> Result<(), Problem> {
        let limits = here.app.uploads.intake.limits(here.tenant, None).await?;
        for file in &self.sent.files {
            let envelope = here.app.as_customer(here.tenant, customer.signed, file.upload);
            match file.keep(&here.app, &envelope, &limits).await? {
                Ok(attachment) => self.attachments.push(attachment),
                Err((code, _)) => self.fault = Some(code),
            }
        }
        Ok(())
    }
}

/// The code of what was wrong, where the customer can do something about it.
fn fault_of(refused: Refused) -> Result<String, Problem> {
    match refused {
        Refused::Rejected(refusal) => Ok(refusal.code.to_string()),
        refused => Err(refused.into()),
    }
}

pub(super) async fn reply(inside: Inside, path: Path<(String, String)>, request: Request) -> Result<Response, Problem> {
    let Some((id, ticket)) = found(&inside, &path).await? else { return Ok(inside.here.missing()) };
    let mut given = Given::read(&inside.here, &inside.customer, request).await?;
    let answer = answer(&inside, (id, &ticket), &mut given).await;
    given.sent.forget(&inside.here.app).await;
    answer
}

async fn answer(inside: &Inside, (id, ticket): (Id, &Ticket), given: &mut Given) -> Result<Response, Problem> {
    let Inside { here, customer } = inside;
    let text = given.typed("text");
    let once = given.once.unwrap_or_else(|| here.app.new_id());
    let message = Id::named(&["portal message", &customer.signed.to_string(), &once.to_string(), &text]);
    // The same page was sent twice.
    if ticket.has_message(message) {
        return redirect(&format!("{}/tickets/{id}", here.home()));
    }
    given.keep(here, customer).await?;
    let fault = match given.fault.clone() {
        Some(fault) => fault,
        None => {
            let command = ticket::Command::ReceiveMessage {
                message_id: Some(message),
                external_id: None,
                from: Some(Party::contact(customer.contact)),
                body: Personal(text.clone()),
                attachments: given.attachments.clone(),
                email: None,
            };
            let envelope = here.app.as_customer(here.tenant, customer.signed, id);
            match here.app.commands.dispatch::<Ticket>(&envelope, command).await {
                Ok(done) => return redirect(&format!("{}/tickets/{id}?at={}", here.home(), done.position)),
                Err(refused) => fault_of(refused)?,
            }
        }
    };
    let again = Again { fault: Some(fault), typed: text, once: Some(once.to_string()) };
    shown(inside, id, again, StatusCode::UNPROCESSABLE_ENTITY).await
}

/// Does something to a ticket that is his, and shows it.
async fn does(inside: Inside, path: Path<(String, String)>, command: ticket::Command) -> Result<Response, Problem> {
    inside.here.browser.must_be_ours()?;
    let Some((id, _)) = found(&inside, &path).await? else { return Ok(inside.here.missing()) };
    let Inside { here, customer } = &inside;
    let envelope = here.app.as_customer(here.tenant, customer.signed, id);
    match here.app.commands.dispatch::<Ticket>(&envelope, command).await {
        Ok(done) => redirect(&format!("{}/tickets/{id}?at={}", here.home(), done.position)),
        Err(refused) => {
            let again = Again { fault: Some(fault_of(refused)?), ..Again::default() };
            shown(&inside, id, again, StatusCode::UNPROCESSABLE_ENTITY).await
        }
    }
}

pub(super) async fn close(inside: Inside, path: Path<(String, String)>) -> Result<Response, Problem> {
    does(inside, path, ticket::Command::Close).await
}

pub(super) async fn reopen(inside: Inside, path: Path<(String, String)>) -> Result<Response, Problem> {
    does(inside, path, ticket::Command::Reopen).await
}

/// How satisfied somebody is.
#[derive(Deserialize)]
pub(super) struct Rating {
    score: u8,
    #[serde(default)]
    words: String,
}

pub(super) async fn rate(
    inside: Inside,
    path: Path<(String, String)>,
    Encoded(Rating { score, words }): Encoded<Rating>,
) -> Result<Response, Problem> {
    let text = Some(words.trim().chars().take(2_000).collect::<String>()).filter(|text| !text.is_empty());
    does(inside, path, ticket::Command::Rate { score, text: text.map(Personal) }).await
}

/// A product that is owned, as the picker tells it.
#[derive(Deserialize)]
struct Owned {
    id: Id,
    product_name: Option<String>,
    product_color: Option<String>,
    product_icon: Option<String>,
    contract_number: Option<String>,
    serial_number: Option<String>,
}

async fn owned(here: &Here, customer: &Customer) -> Result<Vec<Owned>, Problem> {
    let authority = domain::Authority::full();
    let teams = Teams::default();
    let sight = Sight::of(&Viewer { user: Id::NIL, authority: &authority, teams: &teams });
    let holder = Party { kind: PartyKind::Contact, id: customer.contact };
    let (pool, now) = (&here.app.reads().pool, here.app.now());
    let rows = projections::entitlement_picker(pool, here.tenant, holder, now, None, &sight, 200).await?;
    rows.iter().map(|row| serde_json::from_str(row.get()).map_err(|error| Problem::broken(&error))).collect()
}

async fn asked(here: &Here, customer: &Customer, again: pages::PortalNew) -> Result<pages::PortalNew, Problem> {
    let product = |owned: Owned| pages::PortalProduct {
        id: owned.id.to_string(),
        name: owned.product_name.unwrap_or_default(),
        lead: owned.serial_number.or(owned.contract_number),
        icon: owned.product_icon,
        color: owned.product_color,
    };
    let products = owned(here, customer).await?.into_iter().map(product).collect();
    Ok(pages::PortalNew { products, ..again })
}

pub(super) async fn new(Inside { here, customer }: Inside) -> Result<Response, Problem> {
    if !here.frame.tickets {
        return Ok(here.missing());
    }
    let new = pages::PortalNew { once: once(&here), ..pages::PortalNew::default() };
    let new = asked(&here, &customer, new).await?;
    Ok(page(pages::portal_new(&here.view, &here.frame, &new)))
}

pub(super) async fn open(Inside { here, customer }: Inside, request: Request) -> Result<Response, Problem> {
    if !here.frame.tickets {
        return Ok(here.missing());
    }
    let mut given = Given::read(&here, &customer, request).await?;
    let opened = opened(&here, &customer, &mut given).await;
    given.sent.forget(&here.app).await;
    opened
}

async fn opened(here: &Here, customer: &Customer, given: &mut Given) -> Result<Response, Problem> {
    let (title, text, product) = (given.typed("title"), given.typed("text"), given.typed("product"));
    let once = given.once.unwrap_or_else(|| here.app.new_id());
    let id = Id::named(&["portal ticket", &customer.signed.to_string(), &once.to_string(), &title, &text]);
    if here.app.commands.load_current::<Ticket>(here.tenant, id).await?.0.opened().is_some() {
        return redirect(&format!("{}/tickets/{id}", here.home()));
    }
    given.keep(here, customer).await?;
    let fault = match given.fault.clone() {
        Some(fault) => fault,
        None if text.is_empty() => "body_empty".to_owned(),
        None => {
            let new = ticket::New {
                title: title.clone().into(),
                description: Some(text.clone().into()),
                requester: Some(Party::contact(customer.contact)),
                team: Some(here.portal.team),
                channel: Some("portal".to_owned()),
                origin: Some(here.home().to_owned()),
                entitlement: product.parse().ok(),
                ..ticket::New::default()
            };
            let message = ticket::Command::ReceiveMessage {
                message_id: Some(Id::named(&["portal message", &id.to_string()])),
                external_id: None,
                from: Some(Party::contact(customer.contact)),
                body: Personal(text.clone()),
                attachments: given.attachments.clone(),
                email: None,
            };
            let envelope = here.app.as_customer(here.tenant, customer.signed, id);
            let envelope = commands::Envelope { command_id: Uuid::from_u128(id.bits()), remember: true, ..envelope };
            match here.app.commands.dispatch_all::<Ticket>(&envelope, vec![ticket::Command::Open(new), message]).await {
                Ok(done) => return redirect(&format!("{}/tickets/{id}?at={}", here.home(), done.position)),
                Err(refused) => fault_of(refused)?,
            }
        }
    };
    let typed = (title, text, product);
    let again = pages::PortalNew { once: once.to_string(), fault: Some(fault), typed, products: Vec::new() };
    let again = asked(here, customer, again).await?;
    Ok(page_as(StatusCode::UNPROCESSABLE_ENTITY, pages::portal_new(&here.view, &here.frame, &again)).into_response())
}

/// An order as the list tells it.
#[derive(Deserialize)]
struct OrderRow {
    number: u64,
    external_number: Option<String>,
    status: String,
    total: Option<domain::Money>,
    paid_in_full: bool,
    placed_at: Time,
}

pub(super) async fn orders(
    Inside { here, customer }: Inside,
    Query(Wanted { after, .. }): Query<Wanted>,
) -> Result<Response, Problem> {
    if !here.frame.orders {
        return Ok(here.missing());
    }
    let request = ListRequest { limit: PAGE, after, ..ListRequest::default() };
    let (rows, listed) =
        here.listed::<OrderRow>("order", &own(&customer, "customer_id"), "-placed_at", request).await?;
    let shown = rows.into_iter().map(|row| pages::PortalOrder {
        number: row.external_number.unwrap_or_else(|| row.number.to_string()),
        status: row.status,
        total: row.total.map(|total| format!("{} {}", total.amount, total.currency)),
        paid: row.paid_in_full,
        placed_at: row.placed_at.to_string(),
    });
    let next = listed.next.map(|next| format!("{}/orders?after={next}", here.home()));
    Ok(page(pages::portal_orders(&here.view, &here.frame, &shown.collect::<Vec<_>>(), next.as_deref())))
}
