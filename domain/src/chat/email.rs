//! A mail: one that came in, kept whole before anything is made of it, or one that leaves without being an answer in a ticket.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ActorKind, Aggregate, Ctx, Decision, Faults, Id, Need, Personal, Rejection, Time, all,
    chat::channel::{Channel, Kind},
    crm::contact::{Contact, IdentityKind},
    desk::ticket::{self, Attachment},
    kernel::{
        access::Relation,
        email as addresses,
        files::Files,
        merging,
        reference::{REFERENCE_UNFIT, Subject},
        valid,
    },
    must,
};

/// Somebody's address, and the name before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MailAddress")]
pub struct Address {
    /// The name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub name: Option<Personal<String>>,
    /// The address.
    #[schemars(length(max = 254))]
    pub address: Personal<String>,
}

impl Address {
    /// The one form of the address.
    pub fn key(&self) -> String {
        addresses::key(&self.address)
    }
}

/// What made a mail that no person wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Automatic {
    /// Somebody's machine answers for him: he is away.
    AutoReply,
    /// A program.
    Generated,
    /// A list, or mail to many.
    Bulk,
    /// A mail server: what was sent has not arrived.
    Bounce,
}

/// What a check of a sender came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "MailVerdict")]
pub enum Verdict {
    /// Nobody has said.
    #[default]
    Unknown,
    /// There is nothing to check by.
    None,
    /// The sender is whom the mail says.
    Pass,
    /// He is not.
    Fail,
    /// He may or may not be.
    Neutral,
}

/// What a trusted mail server says of who sent a mail (RFC 8601).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "MailAuthentication")]
pub struct Authentication {
    /// SPF, RFC 7208: whether the server that brought it may send for the domain.
    pub spf: Verdict,
    /// DKIM, RFC 6376: whether it is signed by the domain.
    pub dkim: Verdict,
    /// DMARC, RFC 7489: whether either holds for the address that people see.
    pub dmarc: Verdict,
}

impl Authentication {
    /// Whether the address that people see is not to be believed.
    pub fn is_forged(&self) -> bool {
        self.dmarc == Verdict::Fail
            || (self.dmarc != Verdict::Pass
                && self.dkim != Verdict::Pass
                && (self.spf == Verdict::Fail || self.dkim == Verdict::Fail))
    }
}

/// A mail that came in, as far as it can be read: the rest is in what came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ReceivedEmail")]
pub struct Received {
    /// The channel that it came by.
    #[schemars(extend("x-held-reference" = "channel"))]
    pub channel: Id,
    /// The upload that holds it as it came.
    #[schemars(extend("x-reference" = "upload"))]
    pub raw: Id,
    /// The address that it was delivered to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Personal<String>>,
    /// Its Message-ID, without angle brackets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub message_id: Option<String>,
    /// The Message-ID that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub in_reply_to: Option<String>,
    /// Who says to have written it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Address>,
    /// To whom it goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub to: Vec<Address>,
    /// Who else gets it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub cc: Vec<Address>,
    /// What it is about.
    #[schemars(length(max = 1000))]
    pub subject: Personal<String>,
    /// When it was written, as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_at: Option<Time>,
    /// What made it, where no person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic: Option<Automatic>,
    /// What is said of who sent it.
    #[serde(default)]
    pub authentication: Authentication,
}

/// By what it was known where a mail belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "MailMatchedBy")]
pub enum MatchedBy {
    /// By nothing: it begins something new.
    Nothing,
    /// By a signed token of ours, in the address or in what it refers to.
    Token,
    /// By the Message-ID of a mail of ours, or of the ticket, and its sender takes part.
    Reference,
    /// By the number in the subject, and its sender takes part.
    Number,
}

/// What became of a mail that came in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TakenEmail")]
pub struct Taken {
    /// The ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-held-reference" = "ticket"))]
    pub ticket: Option<Id>,
    /// The message or note in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Id>,
    /// The contact who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-held-reference" = "contact"))]
    pub contact: Option<Id>,
    /// Another mail of ours that it answers, or that it says has not arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-held-reference" = "email"))]
    pub answers: Option<Id>,
    /// By what it was known where it belongs.
    pub matched_by: MatchedBy,
}

/// A mail that is to leave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewEmail")]
pub struct New {
    /// The channel of mail that it leaves by, from whose address; that of the ticket by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "channel", "x-refusal" = "email_channel_unfit"))]
    pub channel: Option<Id>,
    /// To whom; the contact by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub to: Vec<Address>,
    /// Who else gets it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub cc: Vec<Address>,
    /// Who else gets it without the others knowing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub bcc: Vec<Address>,
    /// What it is about, in one line.
    #[schemars(length(min = 1, max = 500))]
    pub subject: Personal<String>,
    /// Its text.
    pub body: Personal<String>,
    /// Files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// The contact whom it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "contact"))]
    pub contact: Option<Id>,
    /// The ticket that it is about: what is answered to it comes there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "ticket"))]
    pub ticket: Option<Id>,
    /// Not before then; until it leaves it can be taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<Time>,
    /// Whether `{code}` in its text is a code by which whoever gets it signs in to the portal; only Deskfold itself writes such. The
    /// code follows from the mail's id and a key, and stands in the mail alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sign_in_code: bool,
}

/// What may be asked of a mail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Writes a mail.
    Send(New),
    /// Takes a mail in.
    Receive(Received),
    /// Records what became of it.
    Take {
        /// Of which attempt.
        attempt: u32,
        /// What.
        taken: Taken,
    },
    /// Records that nothing could be made of it.
    Refuse {
        /// Of which attempt.
        attempt: u32,
        /// The stable code of what stood in the way.
        code: String,
        /// The same for a person.
        reason: Personal<String>,
    },
    /// Tries once more to make something of it.
    TryAgain,
    /// Gives up what could not be taken; it is kept.
    Dismiss {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Records that it has left.
    MarkSent {
        /// Its Message-ID.
        message_id: String,
    },
    /// Records that it could not be sent, or came back.
    MarkFailed {
        /// Why.
        error: String,
    },
    /// Records that nobody knows whether it has left.
    MarkUncertain {
        /// What happened.
        reason: String,
    },
    /// Takes it back before it leaves.
    Cancel,
    /// Sends it once more after it has failed, was taken back, or nobody knows whether it has left.
    Resend,
}

/// What has happened to a mail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It is to leave.
    Queued(New),
    /// It is to leave once more.
    Requeued,
    /// It came in.
    Received(Received),
    /// It is known where it belongs.
    Taken(Taken),
    /// Nothing could be made of it.
    Refused {
        /// The stable code of what stood in the way.
        #[schemars(extend("format" = "word"))]
        code: String,
        /// The same for a person.
        reason: Personal<String>,
    },
    /// It is tried once more.
    TriedAgain,
    /// It was given up.
    Dismissed {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It has left.
    Sent {
        /// Its Message-ID.
        #[schemars(extend("format" = "word"))]
        message_id: String,
    },
    /// It could not be sent, or came back.
    Failed {
        /// Why.
        error: String,
    },
    /// Nobody knows whether it has left.
    Uncertain {
        /// What happened.
        reason: String,
    },
    /// It was taken back.
    Cancelled,
}

/// How far a mail has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "EmailStatus")]
pub enum Status {
    /// There is no such mail.
    #[default]
    Missing,
    /// It came in, and something is about to be made of it.
    Received,
    /// It is where it belongs.
    Taken,
    /// Nothing could be made of it.
    Refused,
    /// It was given up.
    Dismissed,
    /// It is to leave.
    Queued,
    /// It has left.
    Sent,
    /// It could not be sent, or came back.
    Failed,
    /// Nobody knows whether it has left.
    Uncertain,
    /// It was taken back.
    Cancelled,
}

/// A mail.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Email {
    /// How far it has come.
    pub status: Status,
    /// What came in.
    pub received: Option<Box<Received>>,
    /// What is to leave.
    pub new: Option<Box<New>>,
    /// Which attempt to make something of it, from 1.
    pub attempt: u32,
    /// Where it belongs.
    pub taken: Option<Taken>,
}

/// There is no such mail.
pub const UNKNOWN: Rejection = Rejection::missing("email_unknown", "There is no such email.");
/// A mail without a byte.
pub const EMPTY: Rejection = Rejection::invalid("email_empty", "The mail is empty.");
/// A mail that is too large.
pub const TOO_LARGE: Rejection =
    Rejection::invalid("email_too_large", "The mail is larger than what is taken in: 50 MiB.");
const EXISTS: Rejection = Rejection::conflict("email_exists", "A mail with this id exists already.");
const UNDER_WAY: Rejection = Rejection::conflict("email_under_way", "Something is about to be made of the mail.");
const TAKEN: Rejection = Rejection::conflict("email_taken", "The mail is where it belongs.");
const GONE: Rejection = Rejection::conflict("email_gone", "The mail has left, or it is not known whether it has.");
const NOT_OURS: Rejection = Rejection::conflict("email_direction", "That is asked of a mail of the other direction.");
const CODE_UNFIT: Rejection = Rejection::invalid("email_code_unfit", "Only Deskfold itself mails codes to sign in by.");
const CHANNEL_UNFIT: Rejection =
    Rejection::invalid("email_channel_unfit", "There is no such channel of mail, or it is disabled.");
const NOBODY: Rejection = Rejection::invalid(
    "email_recipient_missing",
    "Say to whom: an address, or a contact who has one. Of to, cc and bcc together there are at most 50.",
);
const SUBJECT_INVALID: Rejection =
    Rejection::invalid("email_subject_invalid", "A subject is one line of 1 to 500 characters.");
const NAME_INVALID: Rejection =
    Rejection::invalid("email_name_invalid", "The name before an address is one line of at most 200 characters.");

/// Most addresses that a mail goes to.
const MOST: usize = 50;
/// Most bytes of a text that leaves.
const LONGEST: usize = 200_000;

fn is_line(text: &str, most: usize) -> bool {
    text.chars().count() <= most && !text.contains(char::is_control)
}

impl New {
    fn check(&self, ctx: &Ctx<'_>) -> Result<(), Rejection> {
        let mut faults = Faults::default();
        let fits = match self.channel {
            Some(channel) => {
                let channel = ctx.fact::<Channel>(channel);
                channel.kind == Some(Kind::Email) && channel.enabled
            }
            None => self.ticket.is_some(),
        };
        faults.check(must(fits, CHANNEL_UNFIT, "/channel"));
        let by_ourselves = ctx.actor.kind == ActorKind::System;
        faults.check(must(by_ourselves || !self.sign_in_code, CODE_UNFIT, "/sign_in_code"));
        for (name, list) in [("to", &self.to), ("cc", &self.cc), ("bcc", &self.bcc)] {
            for (place, address) in list.iter().enumerate() {
                let at = format!("/{name}/{place}");
                let called = address.name.as_deref().is_none_or(|name| is_line(name, 200));
                faults.check(all([
                    must(addresses::is_email(&address.address), valid::EMAIL_INVALID, format!("{at}/address")),
                    must(called, NAME_INVALID, format!("{at}/name")),
                ]));
            }
        }
        let many = self.to.len() + self.cc.len() + self.bcc.len();
        let by_contact = || self.contact.is_some_and(|id| address_of(&ctx.fact::<Contact>(id)).is_some());
        let somebody = !self.to.is_empty() || by_contact();
        faults.check(must(somebody && many <= MOST, NOBODY, "/to"));
        let subject = !self.subject.trim().is_empty() && is_line(&self.subject, 500);
        faults.check(must(subject, SUBJECT_INVALID, "/subject"));
        faults.check(ticket::check_body(&self.body, &self.attachments));
        faults.check(must(
            self.body.len() <= LONGEST,
            ticket::BODY_EMPTY.because("A text has at most 200,000 bytes."),
            "/body",
        ));
        faults.done()
    }
}

/// Where mail to a contact goes.
pub fn address_of(contact: &Contact) -> Option<Address> {
    let of_kind = contact.addresses().into_iter().find(|identity| identity.kind == IdentityKind::Email);
    let name = contact.fields.as_ref().map(|fields| fields.name.clone());
    of_kind.map(|identity| Address { name, address: identity.value })
}

impl Email {
    /// Whether it waits to leave.
    pub fn is_queued(&self) -> bool {
        self.status == Status::Queued
    }

    fn receive(&self, new: Received) -> Decision<Event> {
        match &self.received {
            None => Ok(vec![Event::Received(new)]),
            // It came twice.
            Some(_) => Ok(vec![]),
        }
    }

    fn incoming(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        use Command::{Dismiss, Refuse, Take, TryAgain};
        match (command, self.status) {
            (Take { attempt, taken }, Status::Received) if attempt == self.attempt => Ok(vec![Event::Taken(taken)]),
            (Refuse { attempt, code, reason }, Status::Received) if attempt == self.attempt => {
                must(!code.trim().is_empty(), valid::NAME_INVALID, "/code")?;
                Ok(vec![Event::Refused { code, reason }])
            }
            // What became of an attempt is known already.
            (Take { .. } | Refuse { .. }, _) => Ok(vec![]),
            (TryAgain, Status::Refused | Status::Dismissed) => Ok(vec![Event::TriedAgain]),
            (TryAgain, _) | (Dismiss { .. }, Status::Dismissed) => Ok(vec![]),
            (Dismiss { reason }, Status::Refused) => Ok(vec![Event::Dismissed { reason }]),
            // What is a mail of our own nobody needs to look at.
            (Dismiss { reason }, Status::Received) if ctx.actor.kind == ActorKind::System => {
                Ok(vec![Event::Dismissed { reason }])
            }
            (Dismiss { .. }, Status::Received) => Err(UNDER_WAY),
            (Dismiss { .. }, _) => Err(TAKEN),
            _ => Err(NOT_OURS),
        }
    }

    fn outgoing(&self, command: Command) -> Decision<Event> {
        use Command::{Cancel, MarkFailed, MarkSent, MarkUncertain, Resend};
        Ok(match (command, self.status) {
            (MarkSent { message_id }, Status::Queued | Status::Uncertain | Status::Cancelled) => {
                vec![Event::Sent { message_id }]
            }
            (MarkFailed { error }, Status::Queued | Status::Uncertain | Status::Sent) => vec![Event::Failed { error }],
            (MarkUncertain { reason }, Status::Queued) => vec![Event::Uncertain { reason }],
            (MarkSent { .. } | MarkFailed { .. } | MarkUncertain { .. }, _) => vec![],
            (Cancel, Status::Queued | Status::Failed) => vec![Event::Cancelled],
            (Cancel, Status::Cancelled) | (Resend, Status::Queued) => vec![],
            (Cancel, _) | (Resend, Status::Sent) => return Err(GONE),
            (Resend, _) => vec![Event::Requeued],
            _ => return Err(NOT_OURS),
        })
    }
}

impl Aggregate for Email {
    const KIND: &'static str = "email";
    const PLURAL: &'static str = "emails";
    const CREATE: &'static str = "send";
    const INTERNAL: &'static [&'static str] =
        &["receive", "take", "refuse", "mark_sent", "mark_failed", "mark_uncertain"];
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        match command {
            Command::Receive(_) if self.new.is_some() => Err(EXISTS),
            Command::Receive(new) => self.receive(new),
            Command::Send(_) if self.received.is_some() => Err(EXISTS),
            Command::Send(new) => match self.new.as_deref() {
                None => {
                    new.check(ctx)?;
                    let send_at = new.send_at.filter(|at| *at > ctx.now);
                    Ok(vec![Event::Queued(New { send_at, ..new })])
                }
                Some(known) if known.subject == new.subject && known.body == new.body => Ok(vec![]),
                Some(_) => Err(EXISTS),
            },
            command if self.new.is_some() => self.outgoing(command),
            command if self.received.is_some() => self.incoming(command, ctx),
            _ => Err(UNKNOWN),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Queued(new) => (self.status, self.new) = (Status::Queued, Some(Box::new(new.clone()))),
            Event::Requeued => self.status = Status::Queued,
            Event::Received(received) => {
                self.received = Some(Box::new(received.clone()));
                (self.status, self.attempt) = (Status::Received, 1);
            }
            Event::Taken(taken) => (self.status, self.taken) = (Status::Taken, Some(taken.clone())),
            Event::Refused { .. } => self.status = Status::Refused,
            Event::TriedAgain => {
                self.status = Status::Received;
                self.attempt += 1;
            }
            Event::Dismissed { .. } => self.status = Status::Dismissed,
            Event::Sent { .. } => self.status = Status::Sent,
            Event::Failed { .. } => self.status = Status::Failed,
            Event::Uncertain { .. } => self.status = Status::Uncertain,
            Event::Cancelled => self.status = Status::Cancelled,
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        let about = |attribute, kind: &'static str, id: Option<Id>| {
            id.map(|id| Relation::About(attribute, vec![Subject::new(kind, id)]))
        };
        let (ticket, contact) = match event {
            Event::Queued(new) => (new.ticket, new.contact),
            Event::Taken(taken) => (taken.ticket, None),
            _ => return Vec::new(),
        };
        about("ticket", "ticket", ticket).into_iter().chain(about("contact", Contact::KIND, contact)).collect()
    }

    fn is_live(&self) -> bool {
        self.status != Status::Missing
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        match command {
            Command::Send(new) => {
                let contact = new.contact.into_iter().flat_map(|contact| merging::needs::<Contact>(contact, ctx));
                new.channel.map(Need::of::<Channel>).into_iter().chain(contact).collect()
            }
            _ => Vec::new(),
        }
    }

    fn files(&self, event: &Event) -> Files {
        let uploads = |attachments: &[Attachment]| -> BTreeSet<Id> { ticket::uploads(attachments).collect() };
        match event {
            Event::Queued(new) => Files::taken(uploads(&new.attachments)),
            Event::Received(received) => Files::taken([received.raw]),
            _ => Files::default(),
        }
    }

    fn subject(&self, event: &Event, _: &Ctx<'_>) -> Option<Id> {
        match event {
            Event::Queued(new) => new.contact,
            Event::Taken(taken) => taken.contact,
            _ => {
                let taken = self.taken.as_ref().and_then(|taken| taken.contact);
                taken.or_else(|| self.new.as_ref().and_then(|new| new.contact))
            }
        }
    }

    fn refusals() -> Vec<Rejection> {
        let own = [
            UNKNOWN,
            EXISTS,
            UNDER_WAY,
            TAKEN,
            GONE,
            NOT_OURS,
            CODE_UNFIT,
            CHANNEL_UNFIT,
            NOBODY,
            SUBJECT_INVALID,
            EMPTY,
            TOO_LARGE,
        ];
        let shared = [NAME_INVALID, ticket::BODY_EMPTY, valid::EMAIL_INVALID, valid::NAME_INVALID, REFERENCE_UNFIT];
        own.into_iter().chain(shared).collect()
    }

    fn examples() -> Vec<Command> {
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
        let address = |name: &str, address: &str| Address { name: Some(name.into()), address: address.into() };
        let received = Received {
            channel: id(0xC),
            raw: id(0xF),
            recipient: Some("help@desk.example.com".into()),
            message_id: Some("1@mail.example.com".into()),
            in_reply_to: Some("2@desk.example.com".into()),
            from: Some(address("Maria Rossi", "maria@example.com")),
            to: vec![address("Help", "help@desk.example.com")],
            cc: vec![address("Paolo Bianchi", "paolo@example.com")],
            subject: "The display stays dark".into(),
            written_at: Time::from_second(1_767_225_600).ok(),
            automatic: None,
            authentication: Authentication { spf: Verdict::Pass, dkim: Verdict::Pass, dmarc: Verdict::Pass },
        };
        let taken = Taken {
            ticket: Some(id(1)),
            message_id: Some(id(2)),
            contact: Some(id(3)),
            answers: None,
            matched_by: MatchedBy::Token,
        };
        let new = New {
            channel: Some(id(0xC)),
            to: vec![address("Maria Rossi", "maria@example.com")],
            cc: vec![],
            bcc: vec![],
            subject: "Your offer".into(),
            body: "As we said on the phone.".into(),
            attachments: vec![],
            contact: Some(id(3)),
            ticket: None,
            send_at: None,
            sign_in_code: false,
        };
        let about = New { channel: None, ticket: Some(id(1)), ..new.clone() };
        vec![
            Command::Send(new),
            Command::Receive(received),
            Command::Take { attempt: 1, taken },
            Command::Refuse { attempt: 1, code: "email_unreadable".into(), reason: "It has no end.".into() },
            Command::TryAgain,
            Command::Dismiss { reason: Some("Spam".into()) },
            Command::MarkSent { message_id: "1@desk.example.com".into() },
            Command::MarkFailed { error: "550 5.1.1 no such mailbox".into() },
            Command::MarkUncertain { reason: "The server went away.".into() },
            Command::Cancel,
            Command::Resend,
            Command::Send(about),
        ]
    }
}
