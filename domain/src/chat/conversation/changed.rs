//! What becomes of a message after it was said: the other side changes it or takes it back, and both answer it with an emoji.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Conversation, Delivery, Event, MESSAGE_UNKNOWN};
use crate::{Ctx, Decision, Id, Personal, Rejection, Time, all, chat::channel::Capabilities, kernel::sorted, must};

/// A template, which a messenger's owner has approved: with it one may write at any time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TemplateOfMessenger")]
pub struct Template {
    /// What it is called there.
    #[schemars(length(min = 1, max = 512))]
    pub name: String,
    /// In which language, as it is called there: `en_US`, `cs`.
    #[schemars(length(min = 2, max = 20))]
    pub language: String,
    /// What stands for its placeholders, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub parameters: Vec<Personal<String>>,
}

impl Template {
    pub(super) fn check(&self, can: Option<&Capabilities>) -> Result<(), Rejection> {
        let word = |text: &str, most: usize| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            !text.is_empty() && text.len() <= most && text.chars().all(plain)
        };
        // A placeholder takes neither breaks nor tabs (error 132012 there).
        let sound =
            |text: &Personal<String>| (1..=1024).contains(&text.chars().count()) && !text.contains(char::is_control);
        all([
            must(can.is_some_and(|can| can.templates), TEMPLATE_UNFIT, "/template"),
            must(word(&self.name, 512), TEMPLATE_INVALID, "/template/name"),
            must(word(&self.language, 20), TEMPLATE_INVALID, "/template/language"),
            must(
                self.parameters.len() <= 20 && self.parameters.iter().all(sound),
                TEMPLATE_INVALID,
                "/template/parameters",
            ),
        ])
    }
}

/// A template in a channel that has none.
pub(super) const TEMPLATE_UNFIT: Rejection =
    Rejection::invalid("conversation_template_unfit", "There are no templates in channels of this kind.");
pub(super) const TEMPLATE_INVALID: Rejection = Rejection::invalid(
    "conversation_template_invalid",
    "A template has a name and a language of letters, digits and underscores, and at most 20 parameters of 1 to 1,024 characters on one line.",
);
/// An emoji where there are none.
pub(super) const NO_REACTIONS: Rejection =
    Rejection::invalid("conversation_no_reactions", "Messages in this channel are not answered with an emoji.");
/// A change where nobody changes anything.
pub(super) const NO_EDITS: Rejection =
    Rejection::invalid("conversation_no_edits", "In this channel nobody changes or takes back what they wrote.");
pub(super) const REACTION_INVALID: Rejection = Rejection::invalid(
    "conversation_reaction_invalid",
    "A reaction is one emoji of at most 32 bytes; at most 20 of them are on a message.",
);

/// Most reactions of the other side on a message.
const REACTIONS: usize = 20;

/// What has become of messages.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Changed {
    /// What ours are called in their channel.
    #[serde(deserialize_with = "sorted::map")]
    sent_as: BTreeMap<Id, String>,
    /// When they were last changed.
    #[serde(deserialize_with = "sorted::map")]
    edited: BTreeMap<Id, Time>,
    #[serde(deserialize_with = "sorted::set")]
    deleted: BTreeSet<Id>,
    /// With what the other side answered them.
    #[serde(deserialize_with = "sorted::map")]
    theirs: BTreeMap<Id, Vec<String>>,
    /// With what we did, and whether that waits to leave.
    #[serde(deserialize_with = "sorted::map")]
    ours: BTreeMap<Id, (Option<String>, bool)>,
}

fn is_emoji(text: &str) -> bool {
    !text.is_empty() && text.len() <= 32 && !text.contains(|c: char| c.is_control() || c.is_whitespace())
}

impl Conversation {
    /// What a message of ours is called in its channel, once it has left.
    pub fn sent_as(&self, message_id: Id) -> Option<&str> {
        self.changed.sent_as.get(&message_id).map(String::as_str)
    }

    /// The message of ours that is called so in its channel.
    pub fn sent_under(&self, external_id: &str) -> Option<Id> {
        let mut all = self.changed.sent_as.iter();
        all.find(|(_, known)| *known == external_id).map(|(message, _)| *message)
    }

    /// What the channel calls what came in.
    pub fn taken_in_as(&self) -> impl Iterator<Item = &str> {
        self.external.iter().map(String::as_str)
    }

    /// Whether there is such a message, from either side.
    pub fn has_message(&self, message_id: Id) -> bool {
        self.messages.contains_key(&message_id)
    }

    /// The reaction of ours that waits to leave: an emoji, or none in its place.
    pub fn waiting_reaction(&self, message_id: Id) -> Option<Option<&str>> {
        let (reaction, waits) = self.changed.ours.get(&message_id)?;
        waits.then_some(reaction.as_deref())
    }

    /// Refuses what the channel cannot; of conversations of before there were channels nobody knows.
    fn must_have(&self, can: fn(&Capabilities) -> bool, refusal: Rejection, ctx: &Ctx<'_>) -> Result<(), Rejection> {
        let known = self.channel_of(ctx).and_then(|channel| channel.can());
        if known.as_ref().is_none_or(can) { Ok(()) } else { Err(refusal) }
    }

    /// What the other side wrote, and has not taken back.
    fn must_be_theirs(&self, message_id: Id) -> Result<(), Rejection> {
        let theirs = self.messages.contains_key(&message_id) && !self.outgoing.contains_key(&message_id);
        must(theirs, MESSAGE_UNKNOWN, "/message_id")
    }

    pub(super) fn edit(
        &self,
        message_id: Id,
        body: Personal<String>,
        edited_at: Option<Time>,
        ctx: &Ctx<'_>,
    ) -> Decision<Event> {
        self.must_have(|can| can.edits, NO_EDITS, ctx)?;
        self.must_be_theirs(message_id)?;
        let edited_at = edited_at.map_or(ctx.now, |at| at.min(ctx.now));
        let late = self.changed.edited.get(&message_id).is_some_and(|before| *before > edited_at);
        if late || self.changed.deleted.contains(&message_id) || self.said.is(message_id, &body) {
            return Ok(vec![]);
        }
        Ok(vec![Event::MessageEdited { message_id, body, edited_at }])
    }

    pub(super) fn delete(&self, message_id: Id, ctx: &Ctx<'_>) -> Decision<Event> {
        self.must_have(|can| can.edits, NO_EDITS, ctx)?;
        self.must_be_theirs(message_id)?;
        let deleted = self.changed.deleted.contains(&message_id);
        Ok(if deleted { vec![] } else { vec![Event::MessageDeleted { message_id }] })
    }

    pub(super) fn take_reactions(&self, message_id: Id, reactions: Vec<String>, ctx: &Ctx<'_>) -> Decision<Event> {
        self.must_have(|can| can.reactions, NO_REACTIONS, ctx)?;
        must(self.has_message(message_id), MESSAGE_UNKNOWN, "/message_id")?;
        let sound = reactions.len() <= REACTIONS && reactions.iter().all(|reaction| is_emoji(reaction));
        must(sound, REACTION_INVALID, "/reactions")?;
        let known = self.changed.theirs.get(&message_id).map(Vec::as_slice).unwrap_or_default();
        Ok(if known == reactions { vec![] } else { vec![Event::MessageReactionsReceived { message_id, reactions }] })
    }

    pub(super) fn react(&self, message_id: Id, reaction: Option<String>, ctx: &Ctx<'_>) -> Decision<Event> {
        self.must_be_responsible(ctx)?;
        self.must_be_open(ctx)?;
        must(reaction.as_deref().is_none_or(is_emoji), REACTION_INVALID, "/reaction")?;
        let there = self.has_message(message_id) && !self.changed.deleted.contains(&message_id);
        must(there, MESSAGE_UNKNOWN, "/message_id")?;
        self.must_have(|can| can.reactions, NO_REACTIONS, ctx)?;
        if let Some(can) = self.channel_of(ctx).and_then(|channel| channel.can()) {
            self.must_be_in_time(&can, ctx)?;
        }
        let known = self.changed.ours.get(&message_id).and_then(|(reaction, _)| reaction.clone());
        Ok(if known == reaction { vec![] } else { vec![Event::MessageReactionQueued { message_id, reaction }] })
    }

    /// The events when it is known what became of a reaction of ours.
    pub(super) fn reaction_left(&self, message_id: Id, error: Option<String>) -> Decision<Event> {
        let Some((_, waits)) = self.changed.ours.get(&message_id) else {
            return Err(MESSAGE_UNKNOWN.at("/message_id"));
        };
        Ok(match error {
            _ if !waits => vec![],
            Some(error) => vec![Event::MessageReactionFailed { message_id, error }],
            None => vec![Event::MessageReactionSent { message_id }],
        })
    }

    pub(super) fn has_changed(&mut self, event: &Event) {
        let changed = &mut self.changed;
        match event {
            Event::MessageSent { message_id, external_id: Some(external_id) } => {
                changed.sent_as.insert(*message_id, external_id.clone());
            }
            Event::MessageEdited { message_id, body, edited_at } => {
                changed.edited.insert(*message_id, *edited_at);
                self.said.take(*message_id, body);
                super::bot::reword(&mut self.told, *message_id, Some(body));
            }
            Event::MessageDeleted { message_id } => {
                changed.deleted.insert(*message_id);
                super::bot::reword(&mut self.told, *message_id, None);
            }
            Event::MessageReactionsReceived { message_id, reactions } if reactions.is_empty() => {
                changed.theirs.remove(message_id);
            }
            Event::MessageReactionsReceived { message_id, reactions } => {
                changed.theirs.insert(*message_id, reactions.clone());
            }
            Event::MessageReactionQueued { message_id, reaction } => {
                changed.ours.insert(*message_id, (reaction.clone(), true));
            }
            Event::MessageReactionSent { message_id } => {
                if let Some((_, waits)) = changed.ours.get_mut(message_id) {
                    *waits = false;
                }
            }
            // Asked once more it is tried once more.
            Event::MessageReactionFailed { message_id, .. } => drop(changed.ours.insert(*message_id, (None, false))),
            _ => {}
        }
    }

    /// Whether this is the medium of a messenger, in which what is sent has a name that no two messages have.
    pub(super) fn is_by_messenger(&self) -> bool {
        let medium = self.started.as_ref().map(|new| new.medium.as_str());
        medium.is_some_and(|medium| ["telegram", "whatsapp", "instagram", "facebook"].contains(&medium))
    }

    /// Whether a message of ours was told to have left, whatever came of it then.
    pub fn has_left(&self, message_id: Id) -> bool {
        self.outgoing.get(&message_id).is_some_and(|(delivery, _)| *delivery >= Delivery::Sent)
    }
}
