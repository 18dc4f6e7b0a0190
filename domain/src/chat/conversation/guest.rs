//! Visitors of pages in a conversation: how they are let in and kept out, and what they take home by mail.

use serde::{Deserialize, Serialize};

use super::{
    Conversation, Delivery, Event, NO_TOKENS, NOTHING_SAID, New, TRANSCRIPT_UNKNOWN, TRANSCRIPTS_FULL, can_carry,
};
use crate::{
    ActorKind, Ctx, Decision, Echo, Id, Personal, Rejection, Time,
    chat::channel::{self, Channel},
    desk::ticket::Attachment,
    kernel::valid,
    must,
};

/// Most transcripts of a conversation: whoever holds a token sends nobody mails without end.
const MOST: usize = 10;

/// What is to be sent of a conversation by mail, or was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    /// Where it goes.
    pub email: Personal<String>,
    /// The last message that it tells.
    pub up_to: Id,
    state: Delivery,
}

impl Transcript {
    pub(super) fn queued(email: Personal<String>, up_to: Id) -> Transcript {
        Transcript { email, up_to, state: Delivery::Queued }
    }
}

impl Conversation {
    /// A transcript that waits to be sent: whoever sends mail asks before each attempt.
    pub fn transcript_queued(&self, transcript: Id) -> Option<&Transcript> {
        self.transcripts.get(&transcript).filter(|transcript| transcript.state == Delivery::Queued)
    }

    /// Until when tokens that were good are worthless.
    pub fn revoked_at(&self) -> Option<Time> {
        self.revoked.map(|(at, _)| at)
    }

    /// Whether the other side is kept out.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Who is kept out writes nothing, here or under an address that is kept out of the channel; and a page says no more than its
    /// channel takes. Of what a provider brings it is its own to say how long it is.
    pub(super) fn must_let_in(&self, body: &str, attachments: &[Attachment], ctx: &Ctx<'_>) -> Result<(), Rejection> {
        let channel = self.channel_of(ctx);
        let known = self.identity().is_some_and(|identity| channel.as_ref().is_some_and(|it| it.blocks(identity)));
        if self.blocked || known {
            return Err(channel::BLOCKED);
        }
        let can = channel.and_then(|channel| channel.can());
        match can.filter(|_| ctx.actor.kind == ActorKind::Visitor) {
            Some(can) => can_carry(&can, body, attachments),
            None => Ok(()),
        }
    }

    /// A chat begins for a visitor when what must be answered is.
    pub(super) fn must_have_been_asked(&self, new: &New, ctx: &Ctx<'_>) -> Result<(), Rejection> {
        let Some(channel) = new.channel.map(|channel| ctx.fact::<Channel>(channel)) else { return Ok(()) };
        if new.identity.as_ref().is_some_and(|identity| channel.blocks(identity)) {
            return Err(channel::BLOCKED);
        }
        if ctx.actor.kind == ActorKind::Visitor { channel.must_be_answered(&new.answers) } else { Ok(()) }
    }

    pub(super) fn request_transcript(
        &self,
        transcript_id: Option<Id>,
        email: Personal<String>,
        language: Option<String>,
        ctx: &Ctx<'_>,
    ) -> Decision<Event> {
        if self.blocked && ctx.actor.kind == ActorKind::Visitor {
            return Err(channel::BLOCKED);
        }
        let email = Personal(email.trim().to_owned());
        valid::email(Some(&email))?;
        must(language.as_deref().is_none_or(valid::is_locale), valid::LOCALE_INVALID, "/language")?;
        let last = self.messages.iter().max_by_key(|(_, place)| **place).map(|(message, _)| *message);
        let up_to = last.ok_or(NOTHING_SAID)?;
        let transcript_id = transcript_id.unwrap_or_else(|| ctx.fresh("transcript"));
        let same = |known: &Transcript| known.email == email && known.up_to == up_to && known.state != Delivery::Failed;
        if self.transcripts.contains_key(&transcript_id) || self.transcripts.values().any(same) {
            return Ok(vec![]);
        }
        if self.transcripts.len() >= MOST {
            return Err(TRANSCRIPTS_FULL);
        }
        Ok(vec![Event::TranscriptQueued { transcript_id, email, up_to, language }])
    }

    /// What became of a transcript; what has left has not failed.
    pub(super) fn transcript_left(&self, transcript_id: Id, error: Option<String>) -> Decision<Event> {
        let known = self.transcripts.get(&transcript_id).ok_or(TRANSCRIPT_UNKNOWN.at("/transcript_id"))?;
        Ok(match (known.state, error) {
            (Delivery::Sent, _) | (Delivery::Failed, Some(_)) => vec![],
            (_, None) => vec![Event::TranscriptSent { transcript_id }],
            (_, Some(error)) => vec![Event::TranscriptFailed { transcript_id, error }],
        })
    }

    pub(super) fn transcript_is(&mut self, transcript: Id, state: Delivery) {
        if let Some(known) = self.transcripts.get_mut(&transcript) {
            known.state = state;
        }
    }

    /// Nobody is let in any more who was until now. Where nothing was said since, it is so already.
    pub(super) fn revoke(&self, ctx: &Ctx<'_>) -> Decision<Event> {
        if self.started().is_none_or(|started| started.medium != "live_chat") {
            return Err(NO_TOKENS);
        }
        let done = self.revoked.is_some_and(|(_, messages)| messages == self.messages.len());
        Ok(if done { vec![] } else { vec![Event::VisitorRevoked { at: ctx.now }] })
    }

    pub(super) fn block(&self, ctx: &Ctx<'_>) -> Decision<Event> {
        if self.blocked {
            return Ok(vec![]);
        }
        if let (Some(channel), Some(identity)) = (self.channel_of(ctx), self.identity()) {
            channel.must_have_room(identity)?;
        }
        Ok(vec![Event::VisitorBlocked])
    }

    /// What the channel hears of whoever is kept out, or let in again: their address, where it is known.
    pub(super) fn at_the_door(&self, event: &Event, ctx: &Ctx<'_>) -> Option<Echo> {
        let identity = self.identity()?.clone();
        let channel = self.channel_of(ctx)?;
        let blocks = channel.blocks(&identity);
        let told = match event {
            Event::VisitorBlocked if !blocks => channel::Event::IdentityBlocked { identity },
            Event::VisitorUnblocked if blocks => channel::Event::IdentityUnblocked { identity },
            _ => return None,
        };
        Some(Echo::to::<Channel>(self.channel()?, &told))
    }
}
