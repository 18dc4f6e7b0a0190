//! Messages of conversations: how one is sent, and how its conversation hears what became of it.

use std::sync::Arc;

use commands::{Accepted, Cause, Commands, Envelope, Refused};
use domain::{
    Actor, Aggregate, Id, Time, Via,
    chat::{
        channel::{Channel, Kind},
        conversation::{self, Conversation},
    },
};
use eventstore::{Query, Recorded};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Outcome, Secrets, api::Api};
use crate::{
    calling::Call,
    inbound,
    messengers::{Messengers, Whose, leaving::Said},
};

/// A message that is to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) tenant: Id,
    pub(super) conversation: Id,
    pub(super) message: Id,
    pub(super) channel: Id,
    /// Of the event by which it was queued.
    pub(super) position: i64,
}

impl Message {
    fn whose(&self, channel: &Arc<Channel>) -> Whose {
        Whose { tenant: self.tenant, id: self.channel, channel: Arc::clone(channel) }
    }
}

/// How messages leave.
pub(super) struct Messages {
    pub(super) commands: Commands,
    pub(super) secrets: Secrets,
    pub(super) api: Api,
    pub(super) messengers: Messengers,
}

impl Messages {
    /// Whether it still waits to be sent, as the log has it: nothing else ever leaves.
    pub(super) async fn waits(&self, message: &Message) -> Result<bool, Refused> {
        let (known, _) = self.commands.load_current::<Conversation>(message.tenant, message.conversation).await?;
        Ok(known.is_queued(message.message))
    }

    /// Sends it. What cannot be read of it now is read later.
    pub(super) async fn send(&self, message: &Message, channel: &Arc<Channel>, now: Time) -> Outcome {
        if !channel.enabled {
            return Outcome::Failed { reason: "the channel is disabled".into() };
        }
        let sent = match channel.kind {
            // What is committed is on the visitor's screen: that it has arrived the widget says.
            Some(Kind::LiveChat) => return Outcome::Sent { external_id: None },
            Some(Kind::Api) => self.by_program(message, channel, now).await,
            Some(kind) if kind.is_messenger() => self.by_messenger(message, channel).await,
            _ => return Outcome::Failed { reason: "nothing sends what is said in this channel".into() },
        };
        sent.unwrap_or_else(|refused| Outcome::Later { reason: refused.to_string(), after: None })
    }

    async fn by_messenger(&self, message: &Message, channel: &Arc<Channel>) -> Result<Outcome, Refused> {
        let Some(event) = self.event(message).await? else { return Ok(failed("what was said is gone")) };
        let Ok(conversation::Event::MessageQueued { body, attachments, template, .. }) =
            Conversation::decode(&event.kind, &event.data)
        else {
            return Ok(failed("what was said cannot be read"));
        };
        let (known, _) = self.commands.load::<Conversation>(message.tenant, message.conversation).await?;
        let said = Said {
            identity: known.identity(),
            body: &body,
            attachments: &attachments,
            template: template.as_ref(),
            ours: format!("{}/{}", message.conversation, message.message),
        };
        Ok(self.messengers.send(&message.whose(channel), &said).await)
    }

    async fn by_program(&self, message: &Message, channel: &Channel, now: Time) -> Result<Outcome, Refused> {
        let Some(event) = self.event(message).await? else { return Ok(failed("what was said is gone")) };
        let Ok(conversation::Event::MessageQueued { body, attachments, again, .. }) =
            Conversation::decode(&event.kind, &event.data)
        else {
            return Ok(failed("what was said cannot be read"));
        };
        let told = json!({ "body": body, "attachments": attachments, "again": again });
        self.call(message, channel, "conversation.message_queued", &event, told, now).await
    }

    /// Calls the program of a channel about a message.
    async fn call(
        &self,
        message: &Message,
        channel: &Channel,
        what: &str,
        event: &Recorded,
        more: Value,
        now: Time,
    ) -> Result<Outcome, Refused> {
        let Some(url) = channel.settings.url.as_deref() else { return Ok(failed("the channel has no URL")) };
        let secret = match channel.credential {
            Some(credential) => (self.secrets)(message.tenant, message.channel, credential).await,
            None => Ok(None),
        };
        let secret = match secret {
            Ok(Some(secret)) => secret,
            Ok(None) => return Ok(failed("the channel has no secret to sign with")),
            Err(reason) => return Ok(Outcome::Later { reason, after: None }),
        };
        let (known, _) = self.commands.load::<Conversation>(message.tenant, message.conversation).await?;
        let (medium, identity) =
            known.started().map(|new| (new.medium.clone(), new.identity.clone())).unwrap_or_default();
        let mut data = json!({
            "channel": message.channel,
            "conversation": message.conversation,
            "message": message.message,
            "medium": medium,
            "identity": identity,
            "contact": known.contact,
        });
        if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
            data.extend(more);
        }
        let told = json!({ "type": what, "timestamp": event.recorded_at, "data": data });
        let id = format!("msg_{}_{}", message.message, message.position);
        let call = Call { url, secrets: &[secret], id: &id, at: now, body: told.to_string().into_bytes().into() };
        Ok(self.api.call(call).await)
    }

    /// Whether a reaction of ours still waits to leave.
    pub(super) async fn reaction_waits(&self, message: &Message) -> Result<bool, Refused> {
        let (known, _) = self.commands.load_current::<Conversation>(message.tenant, message.conversation).await?;
        Ok(known.waiting_reaction(message.message).is_some())
    }

    /// Sends the reaction that waits: what was chosen last.
    pub(super) async fn react(&self, message: &Message, channel: &Arc<Channel>, now: Time) -> Outcome {
        if !channel.enabled {
            return failed("the channel is disabled");
        }
        let reacted = match channel.kind {
            Some(Kind::Api) => self.reacts_by_program(message, channel, now).await,
            Some(kind) if kind.is_messenger() => self.reacts_by_messenger(message, channel).await,
            _ => return failed("nothing sends what is said in this channel"),
        };
        reacted.unwrap_or_else(|refused| Outcome::Later { reason: refused.to_string(), after: None })
    }

    async fn reacts_by_program(&self, message: &Message, channel: &Channel, now: Time) -> Result<Outcome, Refused> {
        let (known, _) = self.commands.load_current::<Conversation>(message.tenant, message.conversation).await?;
        let Some(event) = self.event(message).await? else { return Ok(failed("what was said is gone")) };
        let told = json!({
            "reaction": known.waiting_reaction(message.message).flatten(),
            "external_id": called(&known, message),
        });
        self.call(message, channel, "conversation.message_reaction_queued", &event, told, now).await
    }

    async fn reacts_by_messenger(&self, message: &Message, channel: &Arc<Channel>) -> Result<Outcome, Refused> {
        let (known, _) = self.commands.load_current::<Conversation>(message.tenant, message.conversation).await?;
        let Some(external_id) = called(&known, message) else {
            return Ok(failed("it is not known what the messenger calls the message"));
        };
        let reaction = known.waiting_reaction(message.message).flatten();
        Ok(self.messengers.react(&message.whose(channel), known.identity(), &external_id, reaction).await)
    }

    /// Tells the conversation what became of a reaction.
    ///
    /// # Errors
    /// When the log cannot be reached.
    pub(super) async fn tell_of_reaction(&self, message: &Message, outcome: Outcome, now: Time) -> Result<(), Refused> {
        use conversation::Command::{MarkReactionFailed, MarkReactionSent};
        let message_id = message.message;
        let (command, step) = match outcome {
            Outcome::Sent { .. } => (MarkReactionSent { message_id }, "reacted"),
            Outcome::Failed { reason } | Outcome::Unknown { reason } => {
                (MarkReactionFailed { message_id, error: reason }, "unreacted")
            }
            Outcome::Later { .. } => return Ok(()),
        };
        self.told(message, command, step, now).await
    }

    /// The event by which it was queued.
    async fn event(&self, message: &Message) -> Result<Option<Recorded>, Refused> {
        self.event_at(message.tenant, message.position).await
    }

    /// The event at a position.
    pub(super) async fn event_at(&self, tenant: Id, position: i64) -> Result<Option<Recorded>, Refused> {
        let query = Query {
            tenant: Some(tenant.to_string()),
            after: Some(position - 1),
            until: Some(position),
            limit: 1,
            ..Query::default()
        };
        Ok(self.commands.log().read_all(&query).await?.into_iter().next())
    }

    /// When what is at a position was recorded.
    pub(super) async fn queued_at(&self, position: i64) -> Result<Option<Time>, Refused> {
        let (after, until) = (Some(position - 1), Some(position));
        let query = Query { after, until, limit: 1, ..Query::default() };
        Ok(self.commands.log().read_all(&query).await?.first().map(|event| event.recorded_at))
    }

    /// Tells the conversation what became of it; an outcome that ends nothing says nothing.
    ///
    /// # Errors
    /// When the log cannot be reached.
    pub(super) async fn tell(&self, message: &Message, outcome: Outcome, now: Time) -> Result<(), Refused> {
        use conversation::Command::{MarkMessageFailed, MarkMessageSent, MarkMessageUncertain};
        let message_id = message.message;
        let (command, step) = match outcome {
            Outcome::Sent { external_id } => (MarkMessageSent { message_id, external_id }, "sent"),
            Outcome::Failed { reason } => (MarkMessageFailed { message_id, error: reason }, "failed"),
            Outcome::Unknown { reason } => (MarkMessageUncertain { message_id, reason }, "uncertain"),
            Outcome::Later { .. } => return Ok(()),
        };
        self.told(message, command, step, now).await
    }

    async fn told(
        &self,
        message: &Message,
        command: conversation::Command,
        step: &str,
        now: Time,
    ) -> Result<(), Refused> {
        let message_id = message.message;
        let envelope = Envelope::new(message.tenant, message.conversation, Actor::SYSTEM, Via::Chat, now);
        let parts =
            ["outbox", step, &message.conversation.to_string(), &message_id.to_string(), &message.position.to_string()];
        let envelope = Envelope { command_id: Uuid::from_u128(Id::named(&parts).bits()), ..envelope };
        let envelope = match self.event(message).await?.and_then(|event| Cause::of(&event)) {
            Some(cause) => envelope.caused_by(&cause),
            None => envelope,
        };
        match self.commands.dispatch::<Conversation>(&envelope, command).await {
            Ok(Accepted { .. }) => Ok(()),
            // It has come further meanwhile, or is gone.
            Err(Refused::Rejected(refusal)) => {
                tracing::info!(%refusal, message = %message_id, "nobody is told what became of a message");
                Ok(())
            }
            Err(refused) => Err(refused),
        }
    }
}

fn failed(reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.to_owned() }
}

/// What the channel calls a message, of whichever side it is.
fn called(known: &Conversation, message: &Message) -> Option<String> {
    let ours = known.sent_as(message.message).map(ToOwned::to_owned);
    ours.or_else(|| {
        let mut theirs = known.taken_in_as();
        theirs.find(|id| inbound::message_id(message.channel, id) == message.message).map(ToOwned::to_owned)
    })
}
