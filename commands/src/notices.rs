//! The reactor of system notices: what went wrong without anybody at the screen asks for attention, until it is seen to.

use std::sync::Arc;

use domain::{
    Actor, Aggregate, Id, Via,
    chat::{
        conversation::{self, Conversation},
        email::{self, Email},
    },
    data::delivery::{self, Delivery},
    desk::ticket::{self, Ticket},
    kernel::reference::Subject,
    org::system_notice::{About, Command, Raised, SystemNotice},
    work::webhook::{self, Cause, Webhook},
};
use eventstore::{Failure, Handler, Recorded};
use sqlx::PgConnection;

use crate::{Clock, Commands, Envelope, Refused, acting::command_id, scene};

/// Under what it is marked which events have been answered.
const MARK: &str = "system_notice";

/// Events that raise a notice, and those by which one is seen to.
const CONCERNS: &[&str] = &[
    "conversation.message_failed",
    "conversation.message_uncertain",
    "delivery.dismissed",
    "delivery.refused",
    "delivery.taken",
    "email.dismissed",
    "email.failed",
    "email.refused",
    "email.taken",
    "email.uncertain",
    "ticket.reply_failed",
    "ticket.reply_uncertain",
    "webhook.archived",
    "webhook.disabled",
    "webhook.enabled",
    "webhook.given_up",
];

/// The reactor.
pub(crate) struct Notices {
    commands: Commands,
    clock: Clock,
}

/// What an event means for the notice about something.
fn meant(event: &Recorded, id: Id) -> Option<(About, Subject, Command)> {
    match event.category() {
        Delivery::KIND => {
            let subject = Subject::new(Delivery::KIND, id);
            let command = match Delivery::decode(&event.kind, &event.data).ok()? {
                delivery::Event::Refused { code, reason, pointer } => {
                    let (about, subject) = (About::DeliveryRefused, subject.clone());
                    Command::Raise(Raised { about, subject, code, reason, pointer })
                }
                delivery::Event::Taken { .. } | delivery::Event::Dismissed { .. } => Command::Clear,
                _ => return None,
            };
            Some((About::DeliveryRefused, subject, command))
        }
        Conversation::KIND => {
            let subject = Subject::new(Conversation::KIND, id);
            let (about, code, reason) = match Conversation::decode(&event.kind, &event.data).ok()? {
                conversation::Event::MessageFailed { error, .. } => (About::MessageFailed, "message_failed", error),
                conversation::Event::MessageUncertain { reason, .. } => {
                    (About::MessageUncertain, "message_uncertain", reason)
                }
                _ => return None,
            };
            let (code, reason) = (code.to_owned(), reason.into());
            let raised = Raised { about, subject: subject.clone(), code, reason, pointer: None };
            Some((about, subject, Command::Raise(raised)))
        }
        Email::KIND => {
            let subject = Subject::new(Email::KIND, id);
            let raise = |about, code: &str, reason| {
                let (code, subject) = (code.to_owned(), subject.clone());
                (about, Command::Raise(Raised { about, subject, code, reason, pointer: None }))
            };
            let (about, command) = match Email::decode(&event.kind, &event.data).ok()? {
                email::Event::Refused { code, reason } => raise(About::EmailRefused, &code, reason),
                email::Event::Taken(_) | email::Event::Dismissed { .. } => (About::EmailRefused, Command::Clear),
                email::Event::Failed { error } => raise(About::MessageFailed, "message_failed", error.into()),
                email::Event::Uncertain { reason } => {
                    raise(About::MessageUncertain, "message_uncertain", reason.into())
                }
                _ => return None,
            };
            Some((about, subject, command))
        }
        Ticket::KIND => {
            let subject = Subject::new(Ticket::KIND, id);
            let (about, code, reason) = match Ticket::decode(&event.kind, &event.data).ok()? {
                ticket::Event::ReplyFailed { error, .. } => (About::MessageFailed, "message_failed", error),
                ticket::Event::ReplyUncertain { reason, .. } => (About::MessageUncertain, "message_uncertain", reason),
                _ => return None,
            };
            let (code, reason) = (code.to_owned(), reason.into());
            let raised = Raised { about, subject: subject.clone(), code, reason, pointer: None };
            Some((about, subject, Command::Raise(raised)))
        }
        Webhook::KIND => {
            let subject = Subject::new(Webhook::KIND, id);
            let raise = |about, code: &str, reason: String| {
                let (code, subject, reason) = (code.to_owned(), subject.clone(), reason.into());
                Command::Raise(Raised { about, subject, code, reason, pointer: None })
            };
            let (about, command) = match Webhook::decode(&event.kind, &event.data).ok()? {
                // Whoever did it himself need not be told.
                webhook::Event::Disabled { cause: Cause::Person, .. } => return None,
                webhook::Event::Disabled { cause, reason } => {
                    let about = About::WebhookDisabled;
                    (about, raise(about, cause.name(), reason.unwrap_or_else(|| cause.name().to_owned())))
                }
                webhook::Event::GivenUp { event_type, reason, .. } => {
                    let about = About::WebhookEventGivenUp;
                    (about, raise(about, "webhook_event_given_up", format!("{event_type}: {reason}")))
                }
                webhook::Event::Enabled { .. } | webhook::Event::Archived => (About::WebhookDisabled, Command::Clear),
                _ => return None,
            };
            Some((about, subject, command))
        }
        _ => None,
    }
}

impl Notices {
    pub(crate) fn new(commands: Commands, clock: Clock) -> Notices {
        Notices { commands, clock }
    }

    async fn answer(&self, event: &Recorded) -> Result<(), Failure> {
        let (Ok(tenant), Ok(id)) = (event.tenant.parse::<Id>(), event.key().parse::<Id>()) else { return Ok(()) };
        let Some((about, subject, command)) = meant(event, id) else { return Ok(()) };
        let notice = SystemNotice::id_for(tenant, about, &subject);
        let envelope = Envelope::new(tenant, notice, Actor::SYSTEM, Via::Rule, (self.clock)());
        let envelope = match scene::metadata(event) {
            Some(metadata) => envelope.caused_by(&scene::cause(event, &metadata, 0)),
            None => envelope,
        };
        let command_id = command_id(&[MARK, &event.id.to_string()]);
        let envelope = Envelope { command_id, mark: Some((MARK.to_owned(), event.id.to_string())), ..envelope };
        match self.commands.dispatch::<SystemNotice>(&envelope, command).await {
            // A refusal is an answer: nothing was raised that could be cleared.
            Ok(_) | Err(Refused::Marked | Refused::Rejected(_)) => Ok(()),
            Err(Refused::Broken(reason)) => Err(Failure::Poison { position: event.position, reason }),
            Err(refused) => Err(Failure::Store(sqlx::Error::Protocol(refused.to_string()))),
        }
    }
}

impl Handler for Notices {
    fn name(&self) -> &str {
        "react_notices"
    }

    fn version(&self) -> i32 {
        1
    }

    fn categories(&self) -> &[&str] {
        &[Conversation::KIND, Delivery::KIND, Email::KIND, Ticket::KIND, Webhook::KIND]
    }

    fn concerns(&self, event: &Recorded) -> bool {
        CONCERNS.contains(&&*event.kind)
    }

    async fn handle(&mut self, _: &mut PgConnection, batch: &[Arc<Recorded>]) -> Result<(), Failure> {
        for event in batch.iter().filter(|event| self.concerns(event)) {
            self.answer(event).await?;
        }
        Ok(())
    }
}
