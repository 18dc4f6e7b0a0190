//! What rows of the outbox are, and who knows how each of them leaves: messages of conversations, answers in tickets, mails, and
//! what colleagues are told.

use std::sync::Arc;

use commands::{Cause, Refused};
use domain::{Id, Time, chat::channel::Channel, org::notifying::Medium};

use super::{
    Outcome,
    message::{Message, Messages},
    notification::{self, Notifying},
};
use crate::mail::{
    outgoing::{self, Outgoing},
    tokens::Of,
};

/// A message of a conversation.
pub(super) const MESSAGE: &str = "message";
/// An emoji on a message of a conversation.
pub(super) const REACTION: &str = "reaction";
/// An answer in a ticket.
pub(super) const REPLY: &str = "reply";
/// A mail of its own.
pub(super) const EMAIL: &str = "email";

/// What was said in a conversation, for whoever it was said with.
pub(super) const TRANSCRIPT: &str = "transcript";

/// What a colleague is told by a mail of its own.
pub(super) const NOTIFICATION_EMAIL: &str = "notification_email";
/// What he is told by one mail a day.
pub(super) const NOTIFICATION_DIGEST: &str = "notification_digest";
/// What he is told in a chat.
pub(super) const NOTIFICATION_CHAT: &str = "notification_chat";
/// What is pushed to a browser of his.
pub(super) const NOTIFICATION_PUSH: &str = "notification_push";

/// What a row is.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Message(Message),
    Reaction(Message),
    Mail(outgoing::Item),
    Notification(notification::Item),
}

impl Item {
    /// What is to leave of a record; `None` when nobody knows how.
    pub(super) fn of(sort: &str, tenant: Id, lane: &str, message: Id, channel: Id, position: i64) -> Option<Item> {
        // What leaves at a time of its own has a lane of its own.
        let record: Id = lane.split('/').next()?.parse().ok()?;
        let mail = |of| Some(Item::Mail(outgoing::Item { tenant, of, message, channel, position }));
        let notified = |medium, notification, browser| {
            let lane = lane.to_owned();
            let item = notification::Item { tenant, medium, notification, browser, position, lane, pace: channel };
            Some(Item::Notification(item))
        };
        match sort {
            MESSAGE => Some(Item::Message(Message { tenant, conversation: record, message, channel, position })),
            REACTION => Some(Item::Reaction(Message { tenant, conversation: record, message, channel, position })),
            REPLY => mail(Of::Ticket(record)),
            EMAIL => mail(Of::Email(record)),
            TRANSCRIPT => mail(Of::Transcript(record)),
            // Of one mail a day the lane is the person's.
            NOTIFICATION_DIGEST => notified(Medium::Digest, message, None),
            NOTIFICATION_EMAIL => notified(Medium::Email, record, None),
            NOTIFICATION_CHAT => notified(Medium::Chat, record, None),
            NOTIFICATION_PUSH => notified(Medium::Push, record, Some(message)),
            _ => None,
        }
    }

    pub(super) fn channel(&self) -> Id {
        match self {
            Item::Message(message) | Item::Reaction(message) => message.channel,
            Item::Mail(mail) => mail.channel,
            Item::Notification(item) => item.pace,
        }
    }

    pub(super) fn tenant(&self) -> Id {
        match self {
            Item::Message(message) | Item::Reaction(message) => message.tenant,
            Item::Mail(mail) => mail.tenant,
            Item::Notification(item) => item.tenant,
        }
    }

    /// Whether it may be sent twice whatever the channel: then nothing is another than after the first time.
    pub(super) fn is_the_same_twice(&self) -> bool {
        matches!(self, Item::Reaction(_))
    }

    fn position(&self) -> i64 {
        match self {
            Item::Message(message) | Item::Reaction(message) => message.position,
            Item::Mail(mail) => mail.position,
            Item::Notification(item) => item.position,
        }
    }
}

/// Whoever knows how things leave.
pub(super) struct Carriers {
    pub(super) messages: Messages,
    pub(super) mail: Outgoing,
    pub(super) notifying: Notifying,
}

impl Carriers {
    /// Whether it still waits to be sent, as the log has it: nothing else ever leaves.
    pub(super) async fn waits(&self, item: &Item) -> Result<bool, Refused> {
        match item {
            Item::Message(message) => self.messages.waits(message).await,
            Item::Reaction(message) => self.messages.reaction_waits(message).await,
            Item::Mail(mail) => self.mail.waits(mail).await,
            Item::Notification(item) => self.notifying.waits(item).await,
        }
    }

    /// The channel that it leaves by.
    async fn channel(&self, item: &Item) -> Result<Arc<Channel>, Refused> {
        Ok(self.messages.commands.load::<Channel>(item.tenant(), item.channel()).await?.0)
    }

    /// How many may leave the same way in a minute.
    pub(super) async fn most_per_minute(&self, item: &Item) -> Option<u64> {
        match item {
            Item::Notification(_) => None,
            _ => self.channel(item).await.ok()?.settings.max_per_minute.map(u64::from),
        }
    }

    /// Whether what is sent twice arrives once.
    pub(super) async fn dedupes(&self, item: &Item) -> Result<bool, Refused> {
        match item {
            // A browser shows what it is told again in place of what it was told before.
            Item::Notification(item) => Ok(item.medium == Medium::Push),
            item if item.is_the_same_twice() => Ok(true),
            item => Ok(self.channel(item).await?.can().is_some_and(|can| can.dedupes)),
        }
    }

    /// Sends it. What cannot be read of it now is read later.
    pub(super) async fn send(&self, item: &Item, now: Time) -> Outcome {
        let later = |refused: Refused| Outcome::Later { reason: refused.to_string(), after: None };
        match item {
            Item::Message(message) => match self.channel(item).await {
                Ok(channel) => self.messages.send(message, &channel, now).await,
                Err(refused) => later(refused),
            },
            Item::Reaction(message) => match self.channel(item).await {
                Ok(channel) => self.messages.react(message, &channel, now).await,
                Err(refused) => later(refused),
            },
            Item::Mail(mail) => match self.messages.event_at(item.tenant(), item.position()).await {
                Ok(event) => self.mail.send(mail, event, now).await,
                Err(refused) => later(refused),
            },
            Item::Notification(item) => self.notifying.send(item, now).await,
        }
    }

    /// Tells the record what became of it; an outcome that ends nothing says nothing.
    ///
    /// # Errors
    /// When the log cannot be reached.
    pub(super) async fn tell(&self, item: &Item, outcome: Outcome, now: Time) -> Result<(), Refused> {
        match item {
            Item::Message(message) => self.messages.tell(message, outcome, now).await,
            Item::Reaction(message) => self.messages.tell_of_reaction(message, outcome, now).await,
            Item::Mail(mail) => {
                let event = self.messages.event_at(item.tenant(), item.position()).await?;
                self.mail.tell(mail, outcome, event.as_ref().and_then(Cause::of)).await
            }
            Item::Notification(item) => {
                let event = self.messages.event_at(item.tenant, item.position).await?;
                self.notifying.tell(item, outcome, event.as_ref(), now).await
            }
        }
    }
}
