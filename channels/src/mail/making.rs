//! What is made of a mail that came in: a ticket, a message in one, a note, or the news that what was sent has not arrived.
//!
//! A reactor answers what was received or is to be tried again. Every id that it makes follows from the mail, so that whoever
//! goes on after a crash does the same and nothing twice. One mail of which nothing can be made holds up no other.

mod matching;

use std::sync::Arc;

use bytes::Bytes;
use commands::{Cause, Refused};
use domain::{
    Actor, ActorKind, Aggregate, Id, Party, Personal, Rejection,
    chat::{
        channel::{Channel, WhenClosed},
        email::{self, Authentication, Email, MatchedBy, Received, Status, Taken},
    },
    crm::contact::{self, Identity, IdentityKind},
    desk::ticket::{self, Attachment, LinkKind, Priority, Ticket},
    kernel::custom::FieldType,
    org::{field::Field, tenant::Tenant, upload::Upload},
};
use eventstore::{Failure, Handle, Handler, Recorded, Subscription, SubscriptionOptions};
use jiff_sqlx::ToSqlx;
use serde_json::Value;
use sqlx::PgConnection;

use self::matching::Matched;
use super::{
    Post,
    intake::{part, read_aside},
    read::{Bounce, Mail, Part},
    tokens::Of,
};
use crate::files::intake::{Refusal, Told};

/// Most mails that are answered within one transaction of the reactor.
const BATCH: i64 = 32;
/// Events that something is to be made after, and those by which it is known what left.
const CONCERNS: &[&str] = &["email.received", "email.tried_again", "email.sent", "ticket.reply_sent"];
/// Most characters of a title.
const TITLE: usize = 500;
/// Most bytes of a text of which a message is made; all of it is in what came.
const TEXT: usize = 190_000;

/// A mail that cannot be read.
const UNREADABLE: &str = "email_unreadable";
/// Too many of one address.
const FLOOD: &str = "email_flood";

/// Starts the reactor.
pub fn start(post: Post) -> Handle {
    let log = post.commands.log().clone();
    // Few at once: what has been made is not made again after a crash.
    let options = SubscriptionOptions { relaxed_commit: false, batch: BATCH, ..SubscriptionOptions::default() };
    Subscription::spawn(&log, Making { post }, options, log.metrics().clone())
}

struct Making {
    post: Post,
}

/// Why nothing is made of a mail.
enum Stop {
    /// Nothing ever will be, as it is.
    Never(String, String),
    /// It has to be tried later.
    Later(String),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Stop {
        match refused {
            Refused::Rejected(refusal) => refusal.into(),
            Refused::Broken(why) => Stop::Never("email_not_tried".into(), why),
            refused => Stop::Later(refused.to_string()),
        }
    }
}

impl From<Rejection> for Stop {
    fn from(refusal: Rejection) -> Stop {
        Stop::Never(refusal.code.to_string(), refusal.detail.to_string())
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Stop {
        Stop::Later(error.to_string())
    }
}

/// What becomes of a mail.
enum Outcome {
    Taken(Taken),
    /// It is one of ours.
    Loop,
}

/// A mail that something is made of.
struct Coming<'a> {
    tenant: Id,
    id: Id,
    attempt: u32,
    cause: Cause,
    received: &'a Received,
    channel: Arc<Channel>,
    mail: Mail,
}

impl Coming<'_> {
    fn named(&self, what: &str) -> Id {
        Id::named(&["email", &self.id.to_string(), what])
    }

    /// By what the ticket's message is known where it came from.
    fn external_id(&self) -> String {
        self.received.message_id.clone().unwrap_or_else(|| self.id.to_string())
    }

    /// Who wrote it, by the address that people see.
    fn sender(&self) -> Option<Identity> {
        let from = self.received.from.as_ref()?;
        Some(Identity::new(IdentityKind::Email, from.address.clone()))
    }
}

impl Handler for Making {
    fn name(&self) -> &str {
        "react_mail"
    }

    fn version(&self) -> i32 {
        1
    }

    fn categories(&self) -> &[&str] {
        &[Email::KIND, Ticket::KIND]
    }

    fn concerns(&self, event: &Recorded) -> bool {
        CONCERNS.contains(&&*event.kind)
    }

    async fn handle(&mut self, transaction: &mut PgConnection, batch: &[Arc<Recorded>]) -> Result<(), Failure> {
        for event in batch.iter().filter(|event| self.concerns(event)) {
            self.answer(transaction, event).await.map_err(|why| Failure::Store(sqlx::Error::Protocol(why)))?;
        }
        Ok(())
    }
}

impl Making {
    async fn answer(&self, transaction: &mut PgConnection, event: &Recorded) -> Result<(), String> {
        let (Ok(tenant), Ok(id)) = (event.tenant.parse::<Id>(), event.key().parse::<Id>()) else { return Ok(()) };
        match &*event.kind {
            "ticket.reply_sent" => {
                return self.reply_left(transaction, tenant, id, event).await.map_err(|error| error.to_string());
            }
            "email.sent" => return self.email_left(transaction, tenant, id, event).await,
            _ => {}
        }
        let later = |refused: Refused| refused.to_string();
        let (known, _) = self.post.commands.load_current::<Email>(tenant, id).await.map_err(later)?;
        let Some(received) = known.received.as_deref().filter(|_| known.status == Status::Received) else {
            return Ok(());
        };
        let Some(cause) = Cause::of(event) else { return Ok(()) };
        let made = self.make(transaction, tenant, id, known.attempt, cause, received).await;
        let command = match made {
            Ok(Outcome::Taken(taken)) => email::Command::Take { attempt: known.attempt, taken },
            Ok(Outcome::Loop) => {
                email::Command::Dismiss { reason: Some("It is one of our own, and came back.".into()) }
            }
            Err(Stop::Never(code, reason)) => {
                email::Command::Refuse { attempt: known.attempt, code, reason: reason.into() }
            }
            Err(Stop::Later(why)) => return Err(why),
        };
        let step = known.attempt.to_string();
        let envelope = self.post.envelope(tenant, id, Actor::SYSTEM, &["made", &step]).caused_by(&cause);
        match self.post.commands.dispatch::<Email>(&envelope, command).await {
            Ok(_) | Err(Refused::Rejected(_)) => Ok(()),
            Err(refused) => Err(refused.to_string()),
        }
    }

    async fn make(
        &self,
        transaction: &mut PgConnection,
        tenant: Id,
        id: Id,
        attempt: u32,
        cause: Cause,
        received: &Received,
    ) -> Result<Outcome, Stop> {
        let raw = self.raw(tenant, received.raw).await?;
        let (mail, _) = read_aside(raw).await.map_err(|why| Stop::Never(UNREADABLE.into(), why))?;
        let (channel, _) = self.post.commands.load_current::<Channel>(tenant, received.channel).await?;
        let coming = Coming { tenant, id, attempt, cause, received, channel, mail };
        let tokens = self.post.tokens.get().map_err(Stop::Later)?;
        let own = coming.mail.message_id.as_deref().and_then(|own| tokens.find(tenant, own));
        if own.is_some() {
            return Ok(Outcome::Loop);
        }
        if let Some(bounce) = coming.mail.bounce.clone() {
            return Ok(Outcome::Taken(self.came_back(transaction, &coming, &bounce).await?));
        }
        self.count(transaction, &coming).await?;
        let matched = self.matched(transaction, &coming).await?;
        let taken = match (coming.received.automatic, &matched.ticket) {
            (Some(email::Automatic::AutoReply | email::Automatic::Bounce), None) => Taken {
                ticket: None,
                message_id: None,
                contact: matched.contact,
                answers: matched.email,
                matched_by: matched.by,
            },
            (Some(_), Some(ticket)) => self.note(&coming, *ticket, &matched).await?,
            (None, Some(ticket)) => self.append(&coming, *ticket, &matched).await?,
            (_, None) => self.open(&coming, &matched).await?,
        };
        if let (Some(message_id), Some(ticket)) = (&coming.received.message_id, taken.ticket) {
            let row = Known { message_id, ticket: Some(ticket), email: Some(id), message: taken.message_id };
            know(transaction, tenant, coming.received.channel, row).await?;
        }
        Ok(Outcome::Taken(taken))
    }

    /// The mail as it came.
    async fn raw(&self, tenant: Id, upload: Id) -> Result<Bytes, Stop> {
        match self.post.files.content(tenant, upload).await {
            Ok(Some((_, raw))) => Ok(raw),
            // It holds up no other.
            Ok(None) => Err(Stop::Never(UNREADABLE.into(), "what came is not kept any more".into())),
            Err(refusal) => Err(Stop::Later(refusal.to_string())),
        }
    }

    /// Counts what an address sends, and refuses what is too much; what somebody tries again is never that.
    async fn count(&self, transaction: &mut PgConnection, coming: &Coming<'_>) -> Result<(), Stop> {
        let Some(sender) = coming.sender() else { return Ok(()) };
        let flood = coming.channel.mail.flood();
        let now = (self.post.clock)();
        let since = now.checked_sub(jiff::SignedDuration::from_mins(i64::from(flood.minutes))).unwrap_or(now);
        let (tenant, channel) = (coming.tenant.to_string(), coming.received.channel.to_string());
        sqlx::query(
            "insert into react_mail_sender (tenant_id, channel_id, sender, email_id, came_at)
             values ($1, $2, $3, $4, $5) on conflict do nothing",
        )
        .bind(&tenant)
        .bind(&channel)
        .bind(sender.key())
        .bind(coming.id.to_string())
        .bind(now.to_sqlx())
        .execute(&mut *transaction)
        .await?;
        let came: i64 = sqlx::query_scalar(
            "select count(*) from react_mail_sender
             where tenant_id = $1 and channel_id = $2 and sender = $3 and came_at > $4",
        )
        .bind(&tenant)
        .bind(&channel)
        .bind(sender.key())
        .bind(since.to_sqlx())
        .fetch_one(&mut *transaction)
        .await?;
        // A week is the longest that anybody asks about.
        sqlx::query("delete from react_mail_sender where came_at < $1")
            .bind(now.checked_sub(jiff::SignedDuration::from_hours(24 * 8)).unwrap_or(now).to_sqlx())
            .execute(&mut *transaction)
            .await?;
        if came > i64::from(flood.messages) && coming.attempt == 1 {
            let told = format!("{came} mails of one address in {} minutes: a machine writes them.", flood.minutes);
            return Err(Stop::Never(FLOOD.into(), told));
        }
        Ok(())
    }

    /// What was sent has not arrived: the message, or the mail, that came back has failed.
    async fn came_back(
        &self,
        transaction: &mut PgConnection,
        coming: &Coming<'_>,
        bounce: &Bounce,
    ) -> Result<Taken, Stop> {
        let tenant = coming.tenant;
        let nothing =
            Taken { ticket: None, message_id: None, contact: None, answers: None, matched_by: MatchedBy::Nothing };
        let Some(id) = &bounce.message_id else { return Ok(nothing) };
        let found = match self.post.tokens.get().map_err(Stop::Later)?.find(tenant, id) {
            Some((of, message)) => Some((of, message)),
            None => self.known(transaction, tenant, id).await?.and_then(|row| row.of()),
        };
        let status = bounce.status.as_deref().map(|status| format!("{status} ")).unwrap_or_default();
        let error: String = format!("{status}{}", bounce.reason).chars().take(1000).collect();
        match found {
            Some((Of::Ticket(ticket), Some(message))) => {
                let known = self.post.commands.find::<Ticket>(tenant, ticket).await?;
                if bounce.permanent && known.is_some_and(|known| known.has_reply(message)) {
                    let command = ticket::Command::MarkReplyFailed { message_id: message, error };
                    let envelope =
                        self.post.envelope(tenant, ticket, Actor::SYSTEM, &["bounce", &coming.id.to_string()]);
                    self.post.commands.dispatch::<Ticket>(&envelope.caused_by(&coming.cause), command).await?;
                }
                Ok(Taken { ticket: Some(ticket), message_id: Some(message), matched_by: MatchedBy::Token, ..nothing })
            }
            Some((Of::Email(sent), _)) => {
                if bounce.permanent && self.post.commands.find::<Email>(tenant, sent).await?.is_some() {
                    let envelope = self.post.envelope(tenant, sent, Actor::SYSTEM, &["bounce", &coming.id.to_string()]);
                    let command = email::Command::MarkFailed { error };
                    self.post.commands.dispatch::<Email>(&envelope.caused_by(&coming.cause), command).await?;
                }
                Ok(Taken { answers: Some(sent), matched_by: MatchedBy::Token, ..nothing })
            }
            _ => Ok(nothing),
        }
    }

    /// A machine's word is noted in the ticket, and moves nothing.
    async fn note(&self, coming: &Coming<'_>, ticket: Id, matched: &Matched) -> Result<Taken, Stop> {
        let message = coming.named("message");
        let (body, attachments) = self.with_files(coming, &coming.mail.answer).await?;
        let command = ticket::Command::AddNote { message_id: Some(message), body, attachments };
        let envelope = self.post.envelope(coming.tenant, ticket, Actor::SYSTEM, &["note", &coming.id.to_string()]);
        self.post.commands.dispatch::<Ticket>(&envelope.caused_by(&coming.cause), command).await?;
        Ok(matched.taken(ticket, message))
    }

    /// An answer comes into its ticket.
    async fn append(&self, coming: &Coming<'_>, ticket: Id, matched: &Matched) -> Result<Taken, Stop> {
        let (known, _) = self.post.commands.load_current::<Ticket>(coming.tenant, ticket).await?;
        let over = known.status == ticket::Status::Closed;
        if over && coming.channel.mail.when_closed == WhenClosed::FollowUp {
            return self.open(coming, &Matched { related: Some(ticket), ..matched.clone() }).await;
        }
        // Whoever claims to be somebody he is not is heard, and is nobody.
        if coming.received.authentication.is_forged() {
            return self.doubted(coming, ticket, matched).await;
        }
        let contact = match matched.contact {
            Some(contact) => Some(contact),
            None => self.contact(coming).await?,
        };
        let message = coming.named("message");
        self.receive(coming, ticket, message, contact, &coming.mail.answer).await?;
        if let Some(contact) = contact {
            self.participates(coming, ticket, contact).await?;
        }
        self.copies(coming, ticket).await?;
        Ok(Taken { contact, ..matched.taken(ticket, message) })
    }

    /// What a forged sender says to a ticket stands there as a note that says so.
    async fn doubted(&self, coming: &Coming<'_>, ticket: Id, matched: &Matched) -> Result<Taken, Stop> {
        let message = coming.named("message");
        let from = coming.received.from.as_ref().map(|from| from.address.0.clone()).unwrap_or_default();
        let told = format!("{} ({from}):\n\n{}", forged(&coming.received.authentication), coming.mail.answer);
        let (body, attachments) = self.with_files(coming, &told).await?;
        let command = ticket::Command::AddNote { message_id: Some(message), body, attachments };
        let envelope = self.post.envelope(coming.tenant, ticket, Actor::SYSTEM, &["doubted", &coming.id.to_string()]);
        self.post.commands.dispatch::<Ticket>(&envelope.caused_by(&coming.cause), command).await?;
        Ok(Taken { contact: None, ..matched.taken(ticket, message) })
    }

    /// Takes the words of a mail in as a message.
    async fn receive(
        &self,
        coming: &Coming<'_>,
        ticket: Id,
        message: Id,
        contact: Option<Id>,
        text: &str,
    ) -> Result<(), Stop> {
        let (body, attachments) = self.with_files(coming, text).await?;
        let command = ticket::Command::ReceiveMessage {
            message_id: Some(message),
            external_id: Some(coming.external_id()),
            from: contact.map(Party::contact),
            body,
            attachments,
            email: Some(coming.id),
        };
        let envelope = self.post.envelope(coming.tenant, ticket, by(contact), &["message", &coming.id.to_string()]);
        self.post.commands.dispatch::<Ticket>(&envelope.caused_by(&coming.cause), command).await?;
        Ok(())
    }

    /// Whoever writes in a ticket takes part in it.
    async fn participates(&self, coming: &Coming<'_>, ticket: Id, contact: Id) -> Result<(), Stop> {
        let (email, who) = (coming.id.to_string(), contact.to_string());
        let envelope = self.post.envelope(coming.tenant, ticket, Actor::SYSTEM, &["participant", &email, &who]);
        let command = ticket::Command::AddParticipant { contact };
        match self.post.commands.dispatch::<Ticket>(&envelope.caused_by(&coming.cause), command).await {
            // Where there are too many, or he is put away, his word stands there all the same.
            Ok(_) | Err(Refused::Rejected(_)) => Ok(()),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Those whom a mail also goes to take part, where the channel says so: none of our own addresses.
    async fn copies(&self, coming: &Coming<'_>, ticket: Id) -> Result<(), Stop> {
        let doubted = coming.received.authentication.is_forged() || coming.received.automatic.is_some();
        if !coming.channel.mail.cc_participates || doubted {
            return Ok(());
        }
        let others = coming.received.to.iter().chain(&coming.received.cc);
        for (place, other) in others.take(20).enumerate() {
            if self.post.channel_at(&other.address).await?.is_some() || !domain::kernel::email::is_email(&other.address)
            {
                continue;
            }
            let name = other.name.clone();
            let contact = self.contact_of(coming, &format!("copy{place}"), name, &other.address).await?;
            if let Some(contact) = contact {
                self.participates(coming, ticket, contact).await?;
            }
        }
        Ok(())
    }

    /// A new ticket, with its contact.
    async fn open(&self, coming: &Coming<'_>, matched: &Matched) -> Result<Taken, Stop> {
        let tenant = coming.tenant;
        let doubted = coming.received.authentication.is_forged();
        let contact = match (doubted, matched.contact) {
            (true, _) => None,
            (false, Some(contact)) => Some(contact),
            (false, None) => self.contact(coming).await?,
        };
        let (ticket, message) = (coming.named("ticket"), coming.named("message"));
        let plain = self.new_ticket(coming, contact, doubted).await?;
        let said = self.said_in_headers(coming, plain.clone()).await?;
        let envelope = self.post.envelope(tenant, ticket, by(contact), &["open"]).caused_by(&coming.cause);
        match self.post.commands.dispatch::<Ticket>(&envelope, ticket::Command::Open(said.clone())).await {
            // What headers say that makes no sense says nothing.
            Err(Refused::Rejected(_)) if said != plain => {
                self.post.commands.dispatch::<Ticket>(&envelope, ticket::Command::Open(plain)).await?;
            }
            opened => drop(opened?),
        }
        let text = match doubted {
            true => {
                let from = coming.received.from.as_ref().map(|from| from.address.0.clone()).unwrap_or_default();
                format!("{} ({from}):\n\n{}", forged(&coming.received.authentication), coming.mail.text)
            }
            false => coming.mail.text.clone(),
        };
        self.receive(coming, ticket, message, contact, &text).await?;
        self.copies(coming, ticket).await?;
        if let Some(related) = matched.related {
            let link = ticket::Command::Link { ticket: related, kind: LinkKind::Related };
            let envelope = self.post.envelope(tenant, ticket, Actor::SYSTEM, &["related"]).caused_by(&coming.cause);
            match self.post.commands.dispatch::<Ticket>(&envelope, link).await {
                Ok(_) | Err(Refused::Rejected(_)) => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        Ok(Taken {
            ticket: Some(ticket),
            message_id: Some(message),
            contact,
            answers: matched.email,
            matched_by: MatchedBy::Nothing,
        })
    }

    async fn new_ticket(&self, coming: &Coming<'_>, contact: Option<Id>, doubted: bool) -> Result<ticket::New, Stop> {
        let (company, _) = self.post.commands.load::<Tenant>(coming.tenant, coming.tenant).await?;
        let subject = coming.mail.subject.trim();
        let title: String = match subject.is_empty() {
            true => coming.mail.answer.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(80).collect(),
            false => subject.chars().take(TITLE).collect(),
        };
        let title = if title.trim().is_empty() { "—".to_owned() } else { title };
        let text = coming.mail.text.trim();
        let mut new = ticket::New {
            title: Personal(title),
            description: (!text.is_empty()).then(|| Personal(self.text(coming, text))),
            requester: contact.map(Party::contact),
            team: coming.channel.team,
            channel: company.media().contains(&"email".to_owned()).then(|| "email".to_owned()),
            origin: Some(format!("emails/{}", coming.id)),
            ..ticket::New::default()
        };
        if doubted {
            new.tags.insert("unverified_sender".into());
        }
        Ok(new)
    }

    /// A new ticket with what headers say of it.
    async fn said_in_headers(&self, coming: &Coming<'_>, mut new: ticket::New) -> Result<ticket::New, Stop> {
        if coming.channel.mail.headers.is_empty() {
            return Ok(new);
        }
        let fields = Field::id_for(coming.tenant, Ticket::KIND);
        let (fields, _) = self.post.commands.load::<Field>(coming.tenant, fields).await?;
        for (header, attribute) in &coming.channel.mail.headers {
            let Some(value) = coming.mail.header(header).map(str::trim).filter(|value| !value.is_empty()) else {
                continue;
            };
            match attribute.as_str() {
                "priority" => {
                    let level = value.chars().next().and_then(|first| first.to_digit(10));
                    let level = level.and_then(|level| u8::try_from(level).ok());
                    new.priority = level.and_then(|level| Priority::try_from(level).ok()).unwrap_or(new.priority);
                }
                "category" => new.category = Some(value.to_owned()),
                "tags" => {
                    new.tags.extend(value.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()));
                }
                custom => {
                    let Some(key) = custom.strip_prefix("custom.") else { continue };
                    let Some(definition) = fields.definitions.get(key) else { continue };
                    new.custom.extend(custom_value(definition.field_type, value).map(|value| (key.to_owned(), value)));
                }
            }
        }
        Ok(new)
    }

    /// The contact who wrote it: the one who has the address, or one who comes into being.
    async fn contact(&self, coming: &Coming<'_>) -> Result<Option<Id>, Stop> {
        let Some(from) = &coming.received.from else { return Ok(None) };
        self.contact_of(coming, "contact", from.name.clone(), &from.address).await
    }

    async fn contact_of(
        &self,
        coming: &Coming<'_>,
        which: &str,
        name: Option<Personal<String>>,
        address: &str,
    ) -> Result<Option<Id>, Stop> {
        let identity = Identity::new(IdentityKind::Email, address);
        let tenant = coming.tenant;
        let id = coming.named(which);
        let name = name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| address.into());
        let new = contact::described(name, Some(address.into()), None, Some("email".into()));
        let envelope = self.post.envelope(tenant, id, Actor::SYSTEM, &["contact"]).caused_by(&coming.cause);
        // Who has it is put away: then nobody asks.
        Ok(self.post.commands.contact_or_new(&[identity], &envelope, new).await?.ok())
    }

    /// The files of a mail, and its text with what is said of those that are not taken by themselves: they are in what came.
    async fn with_files(&self, coming: &Coming<'_>, text: &str) -> Result<(Personal<String>, Vec<Attachment>), Stop> {
        let (mut kept, mut left) = (Vec::new(), Vec::new());
        for (place, part) in coming.mail.parts.iter().enumerate() {
            match self.file(coming, place, part).await {
                Ok(upload) => kept.push(upload),
                Err(Refusal::Empty) => {}
                Err(why @ (Refusal::TooLarge(_) | Refusal::Type(_) | Refusal::Picture(_))) => {
                    left.push(format!("[{}: {why}]", part.name));
                }
                Err(Refusal::Refused(Refused::Rejected(refusal))) => {
                    left.push(format!("[{}: {}]", part.name, refusal.detail));
                }
                Err(refusal) => return Err(Stop::Later(refusal.to_string())),
            }
        }
        let text = self.text(coming, text);
        let text = if left.is_empty() { text } else { format!("{text}\n\n{}", left.join("\n")) };
        Ok((Personal(text), kept))
    }

    async fn file(&self, coming: &Coming<'_>, place: usize, brought: &Part) -> Result<Attachment, Refusal> {
        let limits = self.post.files.limits(coming.tenant, None).await?;
        let media_type = brought.media_type.clone().unwrap_or_default();
        let told = Told { name: brought.name.clone(), media_type };
        let content = Bytes::from(brought.content.clone());
        let which = part(place);
        let upload = self.post.keep(coming.tenant, coming.id, &which, &told, content, &limits).await?;
        let (known, _) = self.post.commands.load_current::<Upload>(coming.tenant, upload).await?;
        let (media_type, size) = known.file.as_ref().map(|file| (file.media_type.clone(), file.size)).unzip();
        Ok(Attachment { upload_id: upload, name: Personal(brought.name.chars().take(255).collect()), media_type, size })
    }

    /// What stands in a message: never nothing, and no more than fits.
    fn text(&self, coming: &Coming<'_>, text: &str) -> String {
        let text = text.trim();
        if text.is_empty() {
            let subject = coming.mail.subject.trim();
            return if subject.is_empty() { "—".to_owned() } else { subject.to_owned() };
        }
        match text.len() <= TEXT {
            true => text.to_owned(),
            false => format!("{}…", &text[..text.floor_char_boundary(TEXT)]),
        }
    }

    /// A reply of a ticket has left under a Message-ID.
    async fn reply_left(
        &self,
        transaction: &mut PgConnection,
        tenant: Id,
        ticket: Id,
        event: &Recorded,
    ) -> Result<(), sqlx::Error> {
        let Ok(ticket::Event::ReplySent { message_id, external_id: Some(external_id) }) =
            Ticket::decode(&event.kind, &event.data)
        else {
            return Ok(());
        };
        let row = Known { message_id: &external_id, ticket: Some(ticket), email: None, message: Some(message_id) };
        know(transaction, tenant, Id::NIL, row).await
    }

    /// A mail has left under a Message-ID.
    async fn email_left(
        &self,
        transaction: &mut PgConnection,
        tenant: Id,
        id: Id,
        event: &Recorded,
    ) -> Result<(), String> {
        let Ok(email::Event::Sent { message_id }) = Email::decode(&event.kind, &event.data) else { return Ok(()) };
        let (known, _) =
            self.post.commands.load_current::<Email>(tenant, id).await.map_err(|refused| refused.to_string())?;
        let ticket = known.new.as_ref().and_then(|new| new.ticket);
        let row = Known { message_id: &message_id, ticket, email: Some(id), message: None };
        know(transaction, tenant, Id::NIL, row).await.map_err(|error| error.to_string())
    }
}

/// Who writes in a ticket.
fn by(contact: Option<Id>) -> Actor {
    match contact {
        Some(id) => Actor { kind: ActorKind::Customer, id, on_behalf_of: None },
        None => Actor { kind: ActorKind::Visitor, id: Id::NIL, on_behalf_of: None },
    }
}

fn forged(said: &Authentication) -> String {
    let Authentication { spf, dkim, dmarc } = said;
    let word =
        |verdict: &email::Verdict| serde_json::to_value(verdict).ok().and_then(|word| word.as_str().map(str::to_owned));
    let word = |verdict| word(verdict).unwrap_or_default();
    format!("This mail may not be from whom it says: SPF {}, DKIM {}, DMARC {}", word(spf), word(dkim), word(dmarc))
}

/// What is known of a Message-ID.
struct Known<'a> {
    message_id: &'a str,
    ticket: Option<Id>,
    email: Option<Id>,
    message: Option<Id>,
}

async fn know(transaction: &mut PgConnection, tenant: Id, channel: Id, row: Known<'_>) -> Result<(), sqlx::Error> {
    let text = |id: Option<Id>| id.map(|id| id.to_string());
    sqlx::query(
        "insert into react_mail (tenant_id, channel_id, message_id, ticket_id, email_id, thread_message_id)
         values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
    )
    .bind(tenant.to_string())
    .bind(channel.to_string())
    .bind(row.message_id.to_lowercase())
    .bind(text(row.ticket))
    .bind(text(row.email))
    .bind(text(row.message))
    .execute(transaction)
    .await?;
    Ok(())
}

/// A text as the value of a custom field, if it can be one.
fn custom_value(field_type: FieldType, text: &str) -> Option<Value> {
    match field_type {
        FieldType::Number => text.parse::<i64>().ok().map(Into::into),
        FieldType::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Some(true.into()),
            "false" | "no" | "0" => Some(false.into()),
            _ => None,
        },
        FieldType::MultiSelect => Some(text.split(',').map(str::trim).collect::<Vec<_>>().into()),
        _ => Some(text.into()),
    }
}
