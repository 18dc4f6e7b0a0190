//! What comes by a messenger, in words that are no messenger's own, and how it is taken in.

use std::convert::Infallible;

use bytes::Bytes;
use commands::{Accepted, Envelope, Refused};
use domain::{
    Actor, Aggregate, Authority, Id, Personal, Time, Via,
    chat::{
        channel::{self, Kind},
        conversation::{self, Conversation, TAKEN_IN_SCOPE, Visitor, taken_in_key},
    },
    crm::contact::Identity,
    desk::ticket::Attachment,
    org::upload::Upload,
};
use eventstore::Direction;
use futures::stream;
use uuid::Uuid;

use super::{Messengers, Stop, Whose};
use crate::{
    files::{
        Part,
        intake::{Refusal, Told},
        limits::Limits,
    },
    inbound::{self, Inbound},
};

/// Something that happened in a messenger.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Happening {
    /// Somebody wrote.
    Message(Box<Message>),
    /// Somebody changed what they wrote.
    Edit { external_id: String, body: String, at: Option<Time> },
    /// Somebody took back what they wrote.
    Deletion { external_id: String },
    /// Somebody answers a message with these emoji, in place of those before.
    Reactions { external_id: String, reactions: Vec<String> },
    /// One of ours has come so far.
    Receipt { external_id: String, receipt: Receipt, ours: Option<String> },
    /// Somebody has read all that left until then.
    ReadUntil { sender: String, until: Time },
}

/// How far one of ours has come.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Receipt {
    Sent,
    Delivered,
    Read,
    Failed(String),
}

/// What somebody wrote.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) external_id: String,
    pub(super) sender: String,
    pub(super) identity: Identity,
    pub(super) visitor: Option<Visitor>,
    pub(super) body: String,
    pub(super) files: Vec<File>,
    pub(super) written_at: Option<Time>,
}

/// A file that somebody sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct File {
    pub(super) source: Source,
    pub(super) name: String,
    pub(super) media_type: String,
    pub(super) size: Option<u64>,
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    /// By its id at Telegram.
    Telegram(String),
    /// By its id at Meta.
    Meta(String),
    /// At an address.
    Url(String),
}

/// What came of fetching a file.
enum Kept {
    There(Attachment),
    /// It is told in words.
    Not(String),
}

impl Messengers {
    pub(super) fn envelope(&self, whose: &Whose, id: Id) -> Envelope {
        let envelope = Envelope::new(whose.tenant, id, Actor::SYSTEM, Via::Chat, (self.0.clock)());
        Envelope { authority: Authority::full(), from_outside: true, ..envelope }
    }

    /// Takes in what happened. `last` says that nothing is waited for any longer.
    pub(super) async fn take_in(&self, whose: &Whose, happening: Happening, last: bool) -> Result<(), Stop> {
        match happening {
            Happening::Message(message) => self.message(whose, *message, last).await,
            Happening::Edit { external_id, body, at } => {
                let command = |message_id| {
                    let body = Personal(body.clone());
                    conversation::Command::ReceiveEdit { message_id, body, edited_at: at }
                };
                self.about(whose, &external_id, command, at).await
            }
            Happening::Deletion { external_id } => {
                let command = |message_id| conversation::Command::ReceiveDeletion { message_id };
                self.about(whose, &external_id, command, None).await
            }
            Happening::Reactions { external_id, reactions } => {
                let command = |message_id| {
                    let reactions = reactions.clone();
                    conversation::Command::ReceiveReactions { message_id, reactions }
                };
                self.about(whose, &external_id, command, None).await
            }
            Happening::Receipt { external_id, receipt, ours } => {
                let command = |message_id| receipt.command(message_id, &external_id);
                let meant = match self.meant(whose, &external_id).await? {
                    Some(meant) => Some(meant),
                    None => self.named(whose, ours.as_deref()).await?,
                };
                self.tell(whose, meant, command, None).await
            }
            Happening::ReadUntil { sender, until } => self.read_until(whose, &sender, until).await,
        }
    }

    async fn message(&self, whose: &Whose, message: Message, last: bool) -> Result<(), Stop> {
        let Message { external_id, sender, identity, mut visitor, mut body, files, written_at } = message;
        if visitor.is_none() && whose.channel.kind.is_some_and(Kind::is_metas) {
            visitor = self.visitor(whose, &sender).await?;
        }
        let mut attachments = Vec::new();
        for (place, file) in files.into_iter().enumerate() {
            let name = file.name.clone();
            let words = match self.kept(whose, &external_id, place, file).await {
                Ok(Kept::There(attachment)) => {
                    attachments.push(attachment);
                    continue;
                }
                Ok(Kept::Not(why)) => why,
                Err(Stop::Later(why)) if !last => return Err(Stop::Later(why)),
                Err(why) => why.to_string(),
            };
            // What somebody sent and cannot be shown is told.
            let told = format!("[file {name} could not be taken in: {words}]");
            body = if body.is_empty() { told } else { format!("{body}\n{told}") };
        }
        let inbound = Inbound {
            external_id,
            sender: Some(sender),
            identity: Some(identity),
            visitor,
            answers: std::collections::BTreeMap::new(),
            body: Personal(body),
            attachments,
            written_at,
        };
        let envelope = self.envelope(whose, whose.id);
        match inbound::take_in(&self.0.commands, &envelope, whose.id, inbound).await {
            Ok(Accepted { .. }) => Ok(()),
            // Whoever was kept out is not heard.
            Err(Refused::Rejected(refusal)) if refusal.code == channel::BLOCKED.code => Ok(()),
            Err(refused) => Err(refused.into()),
        }
    }

    /// What somebody is called who writes for the first time, where Meta tells that.
    async fn visitor(&self, whose: &Whose, sender: &str) -> Result<Option<Visitor>, Stop> {
        let now = (self.0.clock)();
        let last = inbound::last_with(&self.0.commands, whose.tenant, (whose.id, &whose.channel), sender, now).await?;
        if last.is_some() {
            return Ok(None);
        }
        let name = self.metas_name(whose, sender).await;
        Ok(name.map(|name| Visitor { name: Some(Personal(name)), country: None, path: None, language: None }))
    }

    /// A file as an upload; asked again, it is the same one.
    async fn kept(&self, whose: &Whose, external_id: &str, place: usize, file: File) -> Result<Kept, Stop> {
        let tenant = whose.tenant;
        let upload = Id::named(&["messenger", &whose.id.to_string(), external_id, &place.to_string()]);
        let attached = |file: &domain::org::upload::New| {
            let (media_type, size) = (Some(file.media_type.clone()), Some(file.size));
            Kept::There(Attachment { upload_id: upload, name: file.name.clone(), media_type, size })
        };
        let (known, _) = self.0.commands.load_current::<Upload>(tenant, upload).await?;
        if let Some(file) = known.file.as_deref().filter(|_| known.is_kept()) {
            return Ok(attached(file));
        }
        let limits = self.0.files.limits(tenant, None::<&Limits>).await?;
        let too_large = || Ok(Kept::Not(format!("it is larger than {} bytes", limits.largest)));
        if file.size.is_some_and(|size| size > limits.largest) {
            return too_large();
        }
        let Some(content) = self.fetch(whose, &file, limits.largest).await? else { return too_large() };
        let part = Part { tenant, upload, name: Uuid::now_v7().simple().to_string() };
        let later = |why: &dyn std::fmt::Display| Stop::Later(why.to_string());
        let body = stream::iter([Ok::<Bytes, Infallible>(content)]);
        self.0.files.files().receive(&part, body, limits.largest).await.map_err(|fault| later(&fault))?;
        let envelope = self.envelope(whose, upload);
        let step = ["messenger", "keep", &upload.to_string()];
        let envelope = Envelope { command_id: Uuid::from_u128(Id::named(&step).bits()), remember: true, ..envelope };
        let told = Told { name: file.name, media_type: file.media_type };
        let kept = self.0.files.take_in(&envelope, &told, &limits, std::slice::from_ref(&part)).await;
        // What stays of it is swept.
        let _ = self.0.files.files().delete_parts(&[part]).await;
        match kept {
            Ok(_) => {
                let (known, _) = self.0.commands.load_current::<Upload>(tenant, upload).await?;
                known.file.as_deref().map(attached).ok_or_else(|| Stop::Never("it is gone".into()))
            }
            Err(Refusal::Refused(refused)) => Err(refused.into()),
            Err(refusal @ (Refusal::Empty | Refusal::TooLarge(_) | Refusal::Type(_) | Refusal::Picture(_))) => {
                Ok(Kept::Not(refusal.to_string()))
            }
            Err(refusal) => Err(later(&refusal)),
        }
    }

    async fn fetch(&self, whose: &Whose, file: &File, most: u64) -> Result<Option<Bytes>, Stop> {
        match &file.source {
            Source::Telegram(id) => self.telegrams_file(whose, id, most).await,
            Source::Meta(id) => self.metas_file(whose, id, most).await,
            Source::Url(url) => self.0.wire.fetched(self.0.wire.get(url)?, most).await,
        }
    }

    /// Which message of which conversation is called so in the channel.
    pub(super) async fn meant(&self, whose: &Whose, external_id: &str) -> Result<Option<(Id, Id)>, Stop> {
        let (tenant, key) = (whose.tenant, taken_in_key(whose.id, external_id));
        let owner = self.0.commands.log().claim_owner(&tenant.to_string(), TAKEN_IN_SCOPE, &key).await;
        let owner = owner.map_err(Refused::from)?;
        let Some(id) = owner.and_then(|owner| owner.key().parse::<Id>().ok()) else { return Ok(None) };
        let (known, _) = self.0.commands.load_current::<Conversation>(tenant, id).await?;
        let theirs = inbound::message_id(whose.id, external_id);
        let message = known.has_message(theirs).then_some(theirs).or_else(|| known.sent_under(external_id));
        Ok(message.map(|message| (id, message)))
    }

    /// The message of ours that the messenger was told this name of, `conversation/message`: of one of which it was not known that it
    /// had left this is the first that is heard.
    async fn named(&self, whose: &Whose, ours: Option<&str>) -> Result<Option<(Id, Id)>, Stop> {
        let Some((conversation, message)) = ours.and_then(|ours| ours.split_once('/')) else { return Ok(None) };
        let (Ok(conversation), Ok(message)) = (conversation.parse::<Id>(), message.parse::<Id>()) else {
            return Ok(None);
        };
        let known = self.0.commands.find::<Conversation>(whose.tenant, conversation).await?;
        let fits = known.is_some_and(|known| known.channel() == Some(whose.id) && known.has_message(message));
        Ok(fits.then_some((conversation, message)))
    }

    /// Tells the conversation of something about a message.
    async fn about(
        &self,
        whose: &Whose,
        external_id: &str,
        command: impl Fn(Id) -> conversation::Command,
        at: Option<Time>,
    ) -> Result<(), Stop> {
        let meant = self.meant(whose, external_id).await?;
        self.tell(whose, meant, command, at).await
    }

    async fn tell(
        &self,
        whose: &Whose,
        meant: Option<(Id, Id)>,
        command: impl Fn(Id) -> conversation::Command,
        at: Option<Time>,
    ) -> Result<(), Stop> {
        let Some((conversation, message)) = meant else { return Err(Stop::Unknown) };
        let envelope = self.envelope(whose, conversation);
        let occurred_at = at.map(|at| at.min(envelope.now));
        let envelope = Envelope { occurred_at, ..envelope };
        self.0.commands.dispatch::<Conversation>(&envelope, command(message)).await?;
        Ok(())
    }

    /// All of ours that had left by then was read.
    async fn read_until(&self, whose: &Whose, sender: &str, until: Time) -> Result<(), Stop> {
        let last = inbound::last_with(&self.0.commands, whose.tenant, (whose.id, &whose.channel), sender, until);
        let Some(conversation) = last.await? else { return Ok(()) };
        let (tenant, stream) = (whose.tenant.to_string(), Conversation::stream(conversation));
        let log = self.0.commands.log();
        let page = log.read_stream(&tenant, &stream, i64::MAX, Direction::Backward, 200).await;
        let left = page.map_err(Refused::from)?.into_iter().filter(|event| event.occurred_at <= until);
        for event in left {
            let Ok(conversation::Event::MessageSent { message_id, .. }) =
                Conversation::decode(&event.kind, &event.data)
            else {
                continue;
            };
            let envelope = self.envelope(whose, conversation);
            let command = conversation::Command::MarkMessageRead { message_id };
            self.0.commands.dispatch::<Conversation>(&envelope, command).await?;
        }
        Ok(())
    }
}

impl Receipt {
    fn command(&self, message_id: Id, external_id: &str) -> conversation::Command {
        use conversation::Command::{MarkMessageDelivered, MarkMessageFailed, MarkMessageRead, MarkMessageSent};
        match self {
            Receipt::Sent => MarkMessageSent { message_id, external_id: Some(external_id.to_owned()) },
            Receipt::Delivered => MarkMessageDelivered { message_id },
            Receipt::Read => MarkMessageRead { message_id },
            Receipt::Failed(error) => MarkMessageFailed { message_id, error: error.clone() },
        }
    }
}
