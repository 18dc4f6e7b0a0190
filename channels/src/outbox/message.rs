//! Messages of conversations: how one is sent, and how its conversation hears what became of it.

use commands::{Accepted, Cause, Commands, Envelope, Refused};
use domain::{
    Actor, Aggregate, Id, Time, Via,
    chat::{
        channel::{Channel, Kind},
        conversation::{self, Conversation, New},
    },
};
use eventstore::{Query, Recorded};
use serde_json::json;
use uuid::Uuid;

use super::{Outcome, Secrets, api::Api};
use crate::calling::Call;

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

/// How messages leave.
pub(super) struct Messages {
    pub(super) commands: Commands,
    pub(super) secrets: Secrets,
    pub(super) api: Api,
}

impl Messages {
    /// Whether it still waits to be sent, as the log has it: nothing else ever leaves.
    pub(super) async fn waits(&self, message: &Message) -> Result<bool, Refused> {
        let (known, _) = self.commands.load_current::<Conversation>(message.tenant, message.conversation).await?;
        Ok(known.is_queued(message.message))
    }

    /// Sends it. What cannot be read of it now is read later.
    pub(super) async fn send(&self, message: &Message, channel: &Channel, now: Time) -> Outcome {
        if !channel.enabled {
            return Outcome::Failed { reason: "the channel is disabled".into() };
        }
        match channel.kind {
            // What is committed is on the visitor's screen: that it has arrived the widget says.
            Some(Kind::LiveChat) => Outcome::Sent { external_id: None },
            Some(Kind::Api) => match self.by_program(message, channel, now).await {
                Ok(outcome) => outcome,
                Err(refused) => Outcome::Later { reason: refused.to_string(), after: None },
            },
            _ => Outcome::Failed { reason: "nothing sends what is said in this channel".into() },
        }
    }

    async fn by_program(&self, message: &Message, channel: &Channel, now: Time) -> Result<Outcome, Refused> {
        let failed = |reason: &str| Ok(Outcome::Failed { reason: reason.to_owned() });
        let Some(url) = channel.settings.url.as_deref() else { return failed("the channel has no URL") };
        let secret = match channel.credential {
            Some(credential) => (self.secrets)(message.tenant, message.channel, credential).await,
            None => Ok(None),
        };
        let secret = match secret {
            Ok(Some(secret)) => secret,
            Ok(None) => return failed("the channel has no secret to sign with"),
            Err(reason) => return Ok(Outcome::Later { reason, after: None }),
        };
        let Some(event) = self.event(message).await? else { return failed("what was said is gone") };
        let Ok(conversation::Event::MessageQueued { body, attachments, again, .. }) =
            Conversation::decode(&event.kind, &event.data)
        else {
            return failed("what was said cannot be read");
        };
        let (known, _) = self.commands.load::<Conversation>(message.tenant, message.conversation).await?;
        let started = known.started();
        let New { medium, identity, .. } = started.cloned().unwrap_or_else(|| New {
            medium: String::new(),
            channel: None,
            identity: None,
            visitor: None,
            matched_rule: None,
            contact: None,
            chatbot: None,
            chatbot_version: None,
            answers: vec![],
        });
        let told = json!({
            "type": "conversation.message_queued",
            "timestamp": event.recorded_at,
            "data": {
                "channel": message.channel,
                "conversation": message.conversation,
                "message": message.message,
                "medium": medium,
                "identity": identity,
                "contact": known.contact,
                "body": body,
                "attachments": attachments,
                "again": again,
            },
        });
        let id = format!("msg_{}_{}", message.message, message.position);
        let call = Call { url, secrets: &[secret], id: &id, at: now, body: told.to_string().into_bytes().into() };
        Ok(self.api.call(call).await)
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
