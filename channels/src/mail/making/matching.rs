//! Which ticket a mail belongs to, in this order: a signed token of ours, a Message-ID that is known, the number in the subject.
//! The last two count only where the sender takes part: what anybody can guess or forward opens no ticket to a stranger.

use std::{collections::BTreeSet, sync::LazyLock};

use commands::Refused;
use domain::{
    Id,
    chat::email::{Email, MatchedBy, Taken},
    crm::contact::Contact,
    desk::ticket::{Status, Ticket},
    kernel::email::key,
};
use regex::Regex;
use sqlx::PgConnection;

use super::{Coming, Making, Stop};
use crate::mail::tokens::Of;

/// Most Message-IDs of a mail that are looked up.
const MOST: usize = 50;

/// A number in a subject, as we write it: `[#123]` or `#123`.
static NUMBER: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?:^|[\s\[(:])#(\d{1,12})(?:[\s\]):,.]|$)").ok());

/// Where a mail belongs.
#[derive(Clone, Debug)]
pub(super) struct Matched {
    /// The ticket.
    pub(super) ticket: Option<Id>,
    /// The mail of ours that it answers.
    pub(super) email: Option<Id>,
    /// The contact who has the sender's address.
    pub(super) contact: Option<Id>,
    /// A ticket that it has to do with, and does not belong to.
    pub(super) related: Option<Id>,
    pub(super) by: MatchedBy,
}

impl Matched {
    pub(super) fn taken(&self, ticket: Id, message: Id) -> Taken {
        Taken {
            ticket: Some(ticket),
            message_id: Some(message),
            contact: self.contact,
            answers: self.email,
            matched_by: self.by,
        }
    }
}

/// What a Message-ID is of.
pub(super) struct Row {
    ticket: Option<Id>,
    email: Option<Id>,
    message: Option<Id>,
}

impl Row {
    pub(super) fn of(&self) -> Option<(Of, Option<Id>)> {
        match (self.ticket, self.email) {
            (Some(ticket), _) if self.message.is_some() => Some((Of::Ticket(ticket), self.message)),
            (_, Some(email)) => Some((Of::Email(email), None)),
            (Some(ticket), None) => Some((Of::Ticket(ticket), None)),
            (None, None) => None,
        }
    }
}

impl Making {
    /// What is known of a Message-ID.
    pub(super) async fn known(
        &self,
        transaction: &mut PgConnection,
        tenant: Id,
        message_id: &str,
    ) -> Result<Option<Row>, Stop> {
        let row: Option<(Option<String>, Option<String>, Option<String>)> = sqlx::query_as(
            "select ticket_id, email_id, thread_message_id from react_mail
             where tenant_id = $1 and message_id = $2 order by channel_id limit 1",
        )
        .bind(tenant.to_string())
        .bind(message_id.to_lowercase())
        .fetch_optional(transaction)
        .await?;
        let id = |text: Option<String>| text.and_then(|text| text.parse().ok());
        Ok(row.map(|(ticket, email, message)| Row { ticket: id(ticket), email: id(email), message: id(message) }))
    }

    pub(super) async fn matched(&self, transaction: &mut PgConnection, coming: &Coming<'_>) -> Result<Matched, Stop> {
        let tenant = coming.tenant;
        let sender = coming.sender();
        let forged = coming.received.authentication.is_forged();
        let contact = match sender.as_ref().filter(|_| !forged) {
            Some(sender) => self.post.commands.contact_at(tenant, std::slice::from_ref(sender)).await?,
            None => None,
        };
        let mut matched = Matched { ticket: None, email: None, contact, related: None, by: MatchedBy::Nothing };
        let mail = &coming.mail;
        let tokens = self.post.tokens.get().map_err(Stop::Later)?;
        let addressed =
            coming.received.recipient.iter().map(|to| to.0.clone()).chain(mail.delivered_to.iter().cloned());
        let addressed = addressed.chain(mail.to.iter().chain(&mail.cc).map(|to| to.address.clone()));
        let answered: Vec<String> =
            mail.in_reply_to.iter().rev().chain(mail.references.iter().rev()).take(MOST).cloned().collect();
        for text in addressed.chain(answered.iter().cloned()) {
            match tokens.find(tenant, &text) {
                Some((Of::Ticket(ticket), _)) if self.is_there(tenant, ticket).await? => {
                    (matched.ticket, matched.by) = (Some(ticket), MatchedBy::Token);
                    return Ok(matched);
                }
                Some((Of::Email(email), _)) => {
                    if let Some(known) = self.post.commands.find::<Email>(tenant, email).await? {
                        matched.email = Some(email);
                        matched.by = MatchedBy::Token;
                        matched.ticket = known.new.as_ref().and_then(|new| new.ticket);
                        return Ok(matched);
                    }
                }
                _ => {}
            }
        }
        let from = sender.map(|sender| key(&sender.value)).unwrap_or_default();
        for message_id in &answered {
            let Some(row) = self.known(transaction, tenant, message_id).await? else { continue };
            matched.email = matched.email.or(row.email);
            let Some(ticket) = row.ticket else { continue };
            if !forged && self.takes_part(tenant, ticket, contact, &from).await? {
                (matched.ticket, matched.by) = (Some(ticket), MatchedBy::Reference);
                return Ok(matched);
            }
            // He has it from somebody who does: whoever answers looks at both.
            matched.related = matched.related.or(Some(ticket));
        }
        if let Some(ticket) = self.numbered(transaction, tenant, &mail.subject).await?
            && !forged
            && self.takes_part(tenant, ticket, contact, &from).await?
        {
            (matched.ticket, matched.by) = (Some(ticket), MatchedBy::Number);
        }
        Ok(matched)
    }

    async fn is_there(&self, tenant: Id, ticket: Id) -> Result<bool, Refused> {
        Ok(self.post.commands.find::<Ticket>(tenant, ticket).await?.is_some())
    }

    /// The ticket whose number stands in a subject.
    async fn numbered(&self, transaction: &mut PgConnection, tenant: Id, subject: &str) -> Result<Option<Id>, Stop> {
        let number = NUMBER.as_ref().and_then(|number| number.captures(subject));
        let number = number.and_then(|found| found.get(1)?.as_str().parse::<i64>().ok());
        let Some(number) = number else { return Ok(None) };
        let found: Option<String> =
            sqlx::query_scalar("select id from read_ticket_list where tenant_id = $1 and number = $2")
                .bind(tenant.to_string())
                .bind(number)
                .fetch_optional(transaction)
                .await?;
        Ok(found.and_then(|id| id.parse().ok()))
    }

    /// Whether whoever writes takes part in a ticket, or in the one that goes on for it.
    async fn takes_part(&self, tenant: Id, mut ticket: Id, contact: Option<Id>, from: &str) -> Result<bool, Refused> {
        // Chains are short, and never go round in circles.
        for _ in 0..64 {
            let (known, _) = self.post.commands.load_current::<Ticket>(tenant, ticket).await?;
            if known.status == Status::Missing {
                return Ok(false);
            }
            let requester = known.opened().and_then(|opened| opened.requester).map(|party| party.id);
            let parties: BTreeSet<Id> = known.participants().into_iter().chain(requester).collect();
            if let Some(contact) = contact
                && self.is_one_of(tenant, contact, &parties).await?
            {
                return Ok(true);
            }
            if contact.is_none() && !from.is_empty() && self.has_address(tenant, &parties, from).await? {
                return Ok(true);
            }
            match domain::Aggregate::merged_into(&*known) {
                Some(into) => ticket = into,
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Whether a contact is one of these, or goes on for one.
    async fn is_one_of(&self, tenant: Id, contact: Id, parties: &BTreeSet<Id>) -> Result<bool, Refused> {
        if parties.contains(&contact) {
            return Ok(true);
        }
        for party in parties {
            let (known, _) = self.post.commands.load_current::<Contact>(tenant, *party).await?;
            if domain::Aggregate::merged_into(&*known) == Some(contact) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn has_address(&self, tenant: Id, parties: &BTreeSet<Id>, from: &str) -> Result<bool, Refused> {
        for party in parties {
            let (known, _) = self.post.commands.load_current::<Contact>(tenant, *party).await?;
            if known.addresses().iter().any(|identity| key(&identity.value) == from) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
