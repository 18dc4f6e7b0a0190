//! How what is said in a messenger's channel leaves.

use domain::{
    Id,
    chat::{channel::Kind, conversation::Template},
    crm::contact::{Identity, IdentityKind},
    desk::ticket::Attachment,
};

use super::{Messengers, Whose, telegram, wire::Leaving};
use crate::outbox::Outcome;

/// What is to leave.
pub(crate) struct Said<'a> {
    /// To whom.
    pub(crate) identity: Option<&'a Identity>,
    pub(crate) body: &'a str,
    pub(crate) attachments: &'a [Attachment],
    pub(crate) template: Option<&'a Template>,
    /// What it is called by us, for messengers that tell us so again.
    pub(crate) ours: String,
}

fn failed(reason: impl Into<String>) -> Outcome {
    Outcome::Failed { reason: reason.into() }
}

/// What the other side is called at the messenger.
pub(super) fn recipient(kind: Kind, identity: Option<&Identity>) -> Result<String, Outcome> {
    let missing = || failed("it is not known what the other side is called at this messenger");
    let identity = identity.ok_or_else(missing)?;
    let fits = matches!(
        (kind, identity.kind),
        (Kind::Telegram, IdentityKind::Telegram)
            | (Kind::Whatsapp, IdentityKind::Whatsapp | IdentityKind::Phone)
            | (Kind::Instagram, IdentityKind::Instagram)
            | (Kind::Messenger, IdentityKind::Messenger)
    );
    let number = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let called = match kind {
        Kind::Telegram => telegram::chat_of(&identity.value),
        Kind::Whatsapp => {
            let dialled = identity.e164.as_ref().unwrap_or(&identity.value);
            Some(number(dialled)).filter(|number| !number.is_empty())
        }
        _ => Some(identity.value.trim().to_owned()).filter(|id| id.bytes().all(|b| b.is_ascii_digit())),
    };
    called.filter(|called| fits && !called.is_empty()).ok_or_else(missing)
}

impl Messengers {
    /// Sends a message by whatever messenger it is.
    pub(crate) async fn send(&self, whose: &Whose, said: &Said<'_>) -> Outcome {
        let Some(kind) = whose.channel.kind else { return failed("the channel is gone") };
        let to = match recipient(kind, said.identity) {
            Ok(to) => to,
            Err(outcome) => return outcome,
        };
        let files = match self.files(whose.tenant, said.attachments).await {
            Ok(files) => files,
            Err(outcome) => return outcome,
        };
        match kind {
            Kind::Telegram => self.by_telegram(whose, &to, said.body, files).await,
            kind if kind.is_metas() => self.by_meta(whose, kind, &to, said, files).await,
            _ => failed("nothing sends what is said in this channel"),
        }
    }

    /// Answers a message with an emoji, or takes that back. To say so twice changes nothing.
    pub(crate) async fn react(
        &self,
        whose: &Whose,
        identity: Option<&Identity>,
        external_id: &str,
        reaction: Option<&str>,
    ) -> Outcome {
        let Some(kind) = whose.channel.kind else { return failed("the channel is gone") };
        let to = match recipient(kind, identity) {
            Ok(to) => to,
            Err(outcome) => return outcome,
        };
        match kind {
            Kind::Telegram => self.reacts_by_telegram(whose, external_id, reaction).await,
            kind if kind.is_metas() => self.reacts_by_meta(whose, kind, &to, external_id, reaction).await,
            _ => failed("nothing sends what is said in this channel"),
        }
    }

    async fn files(&self, tenant: Id, attachments: &[Attachment]) -> Result<Vec<Leaving>, Outcome> {
        let mut files = Vec::with_capacity(attachments.len());
        for attachment in attachments {
            let upload = attachment.upload_id;
            match self.0.files.content(tenant, upload).await {
                Ok(Some((file, content))) => files.push(Leaving {
                    name: file.name.0,
                    media_type: file.media_type,
                    width: file.width,
                    height: file.height,
                    content,
                }),
                Ok(None) => return Err(failed(format!("the file {} is not kept any more", attachment.name.as_str()))),
                Err(refusal) => return Err(Outcome::Later { reason: refusal.to_string(), after: None }),
            }
        }
        Ok(files)
    }
}
