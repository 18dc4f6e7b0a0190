//! The reactor of chatbots: carries a conversation along as its script says.
//!
//! What a bot says is decided in the domain, from the script and what was answered; here is only noticed that a bot begins and
//! that a visitor has written. The id of each command follows from the event, so that a bot says everything once.

use std::sync::Arc;

use domain::{
    Actor, ActorKind, Aggregate, Authority, Id, Personal, Rejection, Via,
    chat::conversation::{self, Conversation},
    org::{settings::FEATURE_DISABLED, tenant::Tenant},
};
use eventstore::{Failure, Handler, Recorded};
use sqlx::PgConnection;

use crate::{Cause, Commands, Envelope, Refused, acting::command_id, scene};

/// The reactor.
pub(crate) struct Bots {
    commands: Commands,
}

/// What a bot answers to.
struct Cue {
    tenant: Id,
    conversation: Id,
    message: Option<(Id, Personal<String>)>,
    cause: Cause,
}

impl Bots {
    /// Of its subscription: read models have the plain names.
    const NAME: &'static str = "react_bots";

    pub(crate) fn new(commands: Commands) -> Bots {
        Bots { commands }
    }

    /// Whether an event is one that a bot answers to: what an import tells is history.
    fn cue(event: &Recorded) -> Option<Cue> {
        use conversation::Event::{BotStarted, MessageReceived, Started};
        let metadata = scene::metadata(event).filter(|metadata| metadata.via != Via::Import)?;
        let message = match Conversation::decode(&event.kind, &event.data).ok()? {
            Started(new) if new.chatbot.is_some() => None,
            BotStarted { .. } => None,
            MessageReceived { message_id, body, .. } => Some((message_id, body)),
            _ => return None,
        };
        let (tenant, conversation) = (event.tenant.parse().ok()?, event.key().parse().ok()?);
        Some(Cue { tenant, conversation, message, cause: scene::cause(event, &metadata, 1) })
    }

    async fn answer(&self, cue: &Cue, event: &Recorded) -> Result<(), Refused> {
        let Cue { tenant, conversation, message, cause } = cue;
        let (known, _) = self.commands.load_current::<Conversation>(*tenant, *conversation).await?;
        let Some((chatbot, version)) = known.chatbot() else { return Ok(()) };
        let words = message.as_ref().map_or("", |(_, body)| body.as_str());
        let country = self.commands.load::<Tenant>(*tenant, *tenant).await?.0.default_country();
        let contact = match known.contact {
            None => self.commands.contact_at(*tenant, &known.addresses(words, country)).await?,
            Some(_) => None,
        };
        let mut envelope = self.envelope(*tenant, *conversation, chatbot, cause, event);
        let (message_id, body) = message.clone().unzip();
        let command = conversation::Command::LetBotReply { message_id, body, contact };
        let refusal = match self.commands.dispatch::<Conversation>(&envelope, command.clone()).await {
            Ok(_) => return Ok(()),
            Err(Refused::Rejected(refusal)) => refusal,
            Err(refused) => return Err(refused),
        };
        // Somebody else got the visitor's address meanwhile, perhaps: asked once more, the contact is known.
        let known = self.commands.contact_at(*tenant, &known.addresses(words, country)).await?;
        if known.is_some() && known != contact {
            let command = conversation::Command::LetBotReply { message_id, body: words_of(message), contact: known };
            match self.commands.dispatch::<Conversation>(&envelope, command).await {
                Ok(_) => return Ok(()),
                Err(Refused::Rejected(_)) => {}
                Err(refused) => return Err(refused),
            }
        }
        if refusal == FEATURE_DISABLED && self.is_off(*tenant).await? {
            return Ok(());
        }
        tracing::warn!(%chatbot, version, %conversation, %refusal, "a chatbot cannot go on: people are asked to");
        envelope.command_id = command_id(&["bot_gives_up", &event.id.to_string()]);
        let reason = Some(format!("The chatbot could not go on: {}", told(&refusal)));
        match self.commands.dispatch::<Conversation>(&envelope, conversation::Command::HandOver { reason }).await {
            Ok(_) | Err(Refused::Rejected(_)) => Ok(()),
            Err(refused) => Err(refused),
        }
    }

    /// Whether chats are switched off altogether: then nobody is to hear of them.
    async fn is_off(&self, tenant: Id) -> Result<bool, Refused> {
        let (settings, _) = self.commands.load::<Tenant>(tenant, tenant).await?;
        Ok(settings.missing_feature(Conversation::KIND).is_some())
    }

    fn envelope(&self, tenant: Id, conversation: Id, chatbot: Id, cause: &Cause, event: &Recorded) -> Envelope {
        let actor = Actor { kind: ActorKind::Bot, id: chatbot, on_behalf_of: None };
        let envelope = Envelope::new(tenant, conversation, actor, Via::Chat, event.recorded_at).caused_by(cause);
        let command_id = command_id(&["bot_reply", &event.id.to_string()]);
        Envelope { command_id, authority: Authority::full(), remember: true, ..envelope }
    }
}

fn words_of(message: &Option<(Id, Personal<String>)>) -> Option<Personal<String>> {
    message.as_ref().map(|(_, body)| body.clone())
}

fn told(refusal: &Rejection) -> String {
    refusal.detail.to_string()
}

impl Handler for Bots {
    fn name(&self) -> &str {
        Bots::NAME
    }

    fn version(&self) -> i32 {
        1
    }

    fn categories(&self) -> &[&str] {
        &[Conversation::KIND]
    }

    fn concerns(&self, event: &Recorded) -> bool {
        matches!(&*event.kind, "conversation.started" | "conversation.bot_started" | "conversation.message_received")
    }

    async fn handle(&mut self, _: &mut PgConnection, batch: &[Arc<Recorded>]) -> Result<(), Failure> {
        for event in batch {
            let Some(cue) = Bots::cue(event) else { continue };
            match self.answer(&cue, event).await {
                Ok(()) => {}
                Err(Refused::Broken(reason)) => return Err(Failure::Poison { position: event.position, reason }),
                // The log is out of reach: the batch is handled again, and what was said stays said.
                Err(refused) => return Err(Failure::Store(sqlx::Error::Protocol(refused.to_string()))),
            }
        }
        Ok(())
    }
}
