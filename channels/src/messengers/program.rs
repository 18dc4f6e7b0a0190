//! What a program of the tenant's own brings, signed by the scheme of Standard Webhooks: the other direction of what it is told.

use commands::{Accepted, Envelope, Refused};
use domain::{
    Id, Personal, Time,
    chat::{
        channel::MESSAGE_UNKNOWN,
        conversation::{Command, Conversation},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Messengers, Stop, Whose};
use crate::inbound::{self, Inbound};

/// What a program brings.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum ByProgram {
    /// Somebody wrote.
    #[serde(rename = "message.received")]
    Received(Box<Inbound>),
    /// Somebody changed what they wrote.
    #[serde(rename = "message.edited")]
    Edited(Edit),
    /// Somebody took back what they wrote.
    #[serde(rename = "message.deleted")]
    Deleted(Deletion),
    /// Somebody answers a message with emoji, in place of those before.
    #[serde(rename = "message.reacted")]
    Reacted(Reactions),
    /// One of ours has arrived.
    #[serde(rename = "message.delivered")]
    Delivered(Which),
    /// One of ours was read.
    #[serde(rename = "message.read")]
    Read(Which),
    /// One of ours was not delivered after all.
    #[serde(rename = "message.failed")]
    Failed(Failure),
}

/// The same as the document describes it: generators name what has a name of its own.
#[derive(JsonSchema)]
#[schemars(rename = "BroughtByProgram")]
#[allow(dead_code, reason = "it is described, and read as the other")]
pub struct Described {
    /// What happened.
    #[serde(rename = "type")]
    what: What,
    /// What there is to say of it, by its type: the message, its change, that it was taken back, the emoji on it, which one has come how
    /// far, why it was not delivered.
    data: Data,
}

/// What happened.
#[derive(JsonSchema)]
#[schemars(rename = "BroughtType")]
#[allow(dead_code, reason = "it is described")]
enum What {
    #[serde(rename = "message.received")]
    Received,
    #[serde(rename = "message.edited")]
    Edited,
    #[serde(rename = "message.deleted")]
    Deleted,
    #[serde(rename = "message.reacted")]
    Reacted,
    #[serde(rename = "message.delivered")]
    Delivered,
    #[serde(rename = "message.read")]
    Read,
    #[serde(rename = "message.failed")]
    Failed,
}

/// What there is to say of it.
#[derive(JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "BroughtData")]
#[allow(dead_code, reason = "it is described")]
enum Data {
    Received(Box<Inbound>),
    Edited(Edit),
    Reacted(Reactions),
    Failed(Failure),
    Deleted(Deletion),
    Which(Which),
}

/// How somebody changed what they wrote.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "BroughtEdit")]
pub struct Edit {
    /// What the message is called in the channel.
    external_id: String,
    /// Its text now.
    body: Personal<String>,
    /// When it was changed.
    #[serde(default)]
    edited_at: Option<Time>,
}

/// What somebody took back.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "BroughtDeletion")]
pub struct Deletion {
    /// What the message is called in the channel.
    external_id: String,
}

/// With what somebody answers a message.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "BroughtReactions")]
pub struct Reactions {
    /// Which message.
    #[serde(flatten)]
    message: Which,
    /// The emoji; none when they took it back.
    reactions: Vec<String>,
}

/// What was not delivered.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "BroughtFailure")]
pub struct Failure {
    /// Which message.
    #[serde(flatten)]
    message: Which,
    /// Why.
    error: String,
}

/// Which message: by what it is called in the channel where the other side wrote it, by conversation and message where we did.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[schemars(rename = "BroughtReceipt")]
pub struct Which {
    /// What it is called in the channel.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The conversation.
    #[serde(default)]
    pub conversation: Option<Id>,
    /// The message.
    #[serde(default)]
    pub message: Option<Id>,
}

impl Messengers {
    /// Takes in what a program brings.
    ///
    /// # Errors
    /// As [`commands::Commands::dispatch`].
    pub async fn by_program(&self, whose: &Whose, brought: ByProgram) -> Result<Accepted, Refused> {
        let of = |external_id: String| Which { external_id: Some(external_id), ..Which::default() };
        match brought {
            ByProgram::Received(message) => {
                let envelope = self.envelope(whose, whose.id);
                inbound::take_in(&self.0.commands, &envelope, whose.id, *message).await
            }
            ByProgram::Edited(Edit { external_id, body, edited_at }) => {
                self.tells(whose, of(external_id), |message_id| Command::ReceiveEdit { message_id, body, edited_at })
                    .await
            }
            ByProgram::Deleted(Deletion { external_id }) => {
                self.tells(whose, of(external_id), |message_id| Command::ReceiveDeletion { message_id }).await
            }
            ByProgram::Reacted(Reactions { message, reactions }) => {
                self.tells(whose, message, |message_id| Command::ReceiveReactions { message_id, reactions }).await
            }
            ByProgram::Delivered(message) => {
                self.tells(whose, message, |message_id| Command::MarkMessageDelivered { message_id }).await
            }
            ByProgram::Read(message) => {
                self.tells(whose, message, |message_id| Command::MarkMessageRead { message_id }).await
            }
            ByProgram::Failed(Failure { message, error }) => {
                self.tells(whose, message, |message_id| Command::MarkMessageFailed { message_id, error }).await
            }
        }
    }

    async fn tells(
        &self,
        whose: &Whose,
        which: Which,
        command: impl FnOnce(Id) -> Command,
    ) -> Result<Accepted, Refused> {
        let known = match (which.external_id, which.conversation, which.message) {
            (Some(external_id), ..) => match self.meant(whose, &external_id).await {
                Ok(meant) => meant,
                Err(Stop::Later(why) | Stop::Never(why)) => return Err(Refused::Broken(why)),
                Err(Stop::Unknown) => None,
            },
            (None, Some(conversation), Some(message)) => {
                let known = self.0.commands.find::<Conversation>(whose.tenant, conversation).await?;
                let ours = known.is_some_and(|known| known.channel() == Some(whose.id) && known.has_message(message));
                ours.then_some((conversation, message))
            }
            _ => None,
        };
        let (conversation, message) = known.ok_or_else(|| MESSAGE_UNKNOWN.at("/data"))?;
        let envelope: Envelope = self.envelope(whose, conversation);
        self.0.commands.dispatch::<Conversation>(&envelope, command(message)).await
    }
}
