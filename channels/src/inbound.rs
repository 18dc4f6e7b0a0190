//! The one door for what comes in: whatever a channel brings, a message is taken in once, by the conversation it belongs to.

use std::{collections::BTreeMap, sync::Arc};

use commands::{Accepted, Commands, Envelope, Refused};
use domain::{
    Aggregate, Facts, Id, Personal, Time, all,
    chat::{
        channel::{self, Answered, Asks, Channel, DisplayRule},
        chatbot::{self, Chatbot},
        conversation::{self, Conversation, TAKEN_IN_SCOPE, Visitor, taken_in_key},
    },
    crm::contact::Identity,
    desk::ticket::Attachment,
    kernel::aggregate::AnyState,
    must,
    org::{
        tenant::Tenant,
        user::{Presence, User},
    },
};
use eventstore::Direction;
use schemars::JsonSchema;
use serde::Deserialize;

/// Most characters of what a channel calls a sender or a message.
const LONGEST_NAME: usize = 300;

/// A message that somebody outside wrote.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "InboundMessage")]
pub struct Inbound {
    /// The id that it has where it comes from: the same one is taken in once, for ever.
    #[schemars(length(min = 1, max = 300))]
    pub external_id: String,
    /// Who wrote it, by a name that is the channel's own: a chat's id there, a visitor's. Whoever has one need have no identity.
    #[serde(default)]
    #[schemars(length(min = 1, max = 300))]
    pub sender: Option<String>,
    /// Who wrote it, by an address.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// What is known of whoever wrote it.
    #[serde(default)]
    pub visitor: Option<Visitor>,
    /// What was answered to the questions that the channel asks before a chat, by their keys; it counts where one begins.
    #[serde(default)]
    pub answers: BTreeMap<String, Personal<String>>,
    /// Its text.
    pub body: Personal<String>,
    /// Files.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// When it was written, where that is known: messages that come late stand where they belong. One from a time to come counts as written
    /// now, and what was said of it is kept beside (`claimed_at`).
    #[serde(default)]
    pub written_at: Option<Time>,
}

/// Takes a message in under an envelope whose record is yet to be found. What was taken in before is answered with the
/// conversation that has it, and changes nothing.
///
/// # Errors
/// As [`Commands::dispatch`].
pub async fn take_in(
    commands: &Commands,
    envelope: &Envelope,
    channel: Id,
    message: Inbound,
) -> Result<Accepted, Refused> {
    let tenant = envelope.tenant;
    let known = commands.find::<Channel>(tenant, channel).await?.ok_or(channel::UNKNOWN)?;
    known.must_converse()?;
    check_names(&message)?;
    let medium = known.kind.map(|kind| kind.medium().to_owned()).unwrap_or_default();
    // What a client asks once more under its own key is answered as the first time.
    if !envelope.remember
        && let Some(before) = taken_before(commands, tenant, channel, &message.external_id).await?
    {
        return told(commands, tenant, before).await;
    }
    let Inbound { external_id, sender, identity, visitor, answers, body, attachments, written_at } = message;
    let (company, _) = commands.load::<Tenant>(tenant, tenant).await?;
    let answers = known.answered(&answers, company.default_country())?;
    let identity = identity.or_else(|| channel::identity(&answers));
    let identity = identity.map(|identity| read(envelope, &company, identity));
    let who = match (&sender, &identity) {
        (Some(sender), _) => format!("sender:{sender}"),
        (None, Some(identity)) => identity.key(),
        (None, None) => return Err(channel::SENDER_MISSING.at("/sender").into()),
    };
    let (id, before) = conversation_of(commands, tenant, (channel, &known), &who, envelope.now).await?;
    if before.as_ref().is_some_and(|before| before.is_blocked()) {
        return Err(channel::BLOCKED.into());
    }
    let message_id = Some(message_id(channel, &external_id));
    let page = visitor.as_ref().and_then(|visitor| visitor.path.as_deref());
    let country = visitor.as_ref().and_then(|visitor| visitor.country.as_deref());
    let rule = page.and_then(|page| known.rule_for(page, country));
    let there = commands.find::<Conversation>(tenant, id).await?.is_some();
    let chatbot = match rule {
        Some((_, rule)) if !there => speaking(commands, tenant, &known, rule).await?,
        _ => None,
    };
    // Whoever is known to have answered is not asked again.
    let earlier = before.as_ref().and_then(|before| before.started()).filter(|_| answers.is_empty());
    let answers = earlier.map_or(answers, |earlier| earlier.answers.clone());
    let identity = identity.or_else(|| earlier.and_then(|earlier| earlier.identity.clone()));
    let visitor = named(visitor, &answers);
    let started = conversation::New {
        medium,
        channel: Some(channel),
        identity,
        visitor,
        matched_rule: rule.map(|(rule, _)| *rule),
        contact: None,
        chatbot,
        chatbot_version: None,
        answers,
    };
    // Nobody writes tomorrow.
    let claimed_at = written_at.filter(|at| *at > envelope.now);
    let external = Some(external_id.clone());
    let receive =
        conversation::Command::ReceiveMessage { message_id, external_id: external, body, attachments, claimed_at };
    let envelope = Envelope {
        id,
        from_outside: true,
        occurred_at: written_at.map(|at| at.min(envelope.now)).or(envelope.occurred_at),
        ..envelope.clone()
    };
    let start = (!there).then_some(conversation::Command::Start(started));
    let taken = commands.dispatch_all::<Conversation>(&envelope, start.into_iter().chain([receive]).collect()).await;
    match taken {
        Err(Refused::Rejected(refusal)) if refusal.code == conversation::TAKEN_IN.code => {
            match taken_before(commands, tenant, channel, &external_id).await? {
                Some(before) => told(commands, tenant, before).await,
                None => Err(refusal.into()),
            }
        }
        taken => taken,
    }
}

/// Refuses names by which nobody and nothing could be told apart.
fn check_names(message: &Inbound) -> Result<(), Refused> {
    let sound = |name: &str| !name.trim().is_empty() && name.chars().count() <= LONGEST_NAME;
    let sender = message.sender.as_deref().is_none_or(sound);
    Ok(all([
        must(sound(&message.external_id), channel::NAME_UNFIT, "/external_id"),
        must(sender, channel::NAME_UNFIT, "/sender"),
    ])?)
}

/// Whether tokens of a sender that nobody has let in were made worthless in a channel: whoever comes back with one begins nothing.
///
/// # Errors
/// As [`Commands::load`].
pub async fn is_revoked(
    commands: &Commands,
    tenant: Id,
    (channel, known): (Id, &Channel),
    sender: &str,
    now: Time,
) -> Result<bool, Refused> {
    let who = format!("sender:{sender}");
    let (_, last) = conversation_of(commands, tenant, (channel, known), &who, now).await?;
    Ok(last.is_some_and(|last| last.revoked_at().is_some()))
}

/// The last conversation with a sender in a channel, if there is one.
///
/// # Errors
/// As [`Commands::load`].
pub(crate) async fn last_with(
    commands: &Commands,
    tenant: Id,
    (channel, known): (Id, &Channel),
    sender: &str,
    now: Time,
) -> Result<Option<Id>, Refused> {
    let who = format!("sender:{sender}");
    let (id, last) = conversation_of(commands, tenant, (channel, known), &who, now).await?;
    // One that is over for good is followed by one that is not there yet.
    Ok(last.filter(|last| last.status != conversation::Status::Missing).map(|_| id))
}

/// Whether any of a channel's operators is there to answer.
///
/// # Errors
/// As [`Commands::load`].
pub async fn is_attended(commands: &Commands, tenant: Id, channel: &Channel) -> Result<bool, Refused> {
    for operator in &channel.operators {
        let (user, _) = commands.load::<User>(tenant, *operator).await?;
        if user.is_active() && user.presence == Presence::Online {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The chatbot that a display rule brings forward, if it has anything to say.
///
/// # Errors
/// As [`Commands::load`].
pub async fn speaking(
    commands: &Commands,
    tenant: Id,
    channel: &Channel,
    rule: &DisplayRule,
) -> Result<Option<Id>, Refused> {
    let Some(chatbot) = rule.chatbot else { return Ok(None) };
    if rule.only_if_no_operator && is_attended(commands, tenant, channel).await? {
        return Ok(None);
    }
    let (script, _) = commands.load::<Chatbot>(tenant, chatbot).await?;
    Ok(Some(chatbot).filter(|_| chatbot::version_of(&script, None).is_ok()))
}

/// The id that a message gets, which follows from what its channel calls it.
pub fn message_id(channel: Id, external_id: &str) -> Id {
    Id::named(&["message", &channel.to_string(), external_id])
}

/// The conversation that took a message in.
async fn taken_before(commands: &Commands, tenant: Id, channel: Id, external_id: &str) -> Result<Option<Id>, Refused> {
    let key = taken_in_key(channel, external_id);
    let owner = commands.log().claim_owner(&tenant.to_string(), TAKEN_IN_SCOPE, &key).await?;
    Ok(owner.and_then(|owner| owner.key().parse().ok()))
}

/// That nothing has happened to a conversation.
async fn told(commands: &Commands, tenant: Id, id: Id) -> Result<Accepted, Refused> {
    let (_, version) = commands.load_current::<Conversation>(tenant, id).await?;
    let position = commands.log().head().await?;
    Ok(Accepted { id, version, position, events: vec![], redirected: vec![], repeated: false })
}

/// An address with what its number means to the tenant.
fn read(envelope: &Envelope, company: &Tenant, identity: Identity) -> Identity {
    let mut facts = Facts::told(true);
    facts.insert(Tenant::KIND, envelope.tenant, AnyState::new(company.clone()));
    identity.read(&envelope.ctx(envelope.now, "", &facts))
}

/// A visitor who is called as he says, where the page has not said so.
fn named(visitor: Option<Visitor>, answers: &[Answered]) -> Option<Visitor> {
    let Some(name) = channel::answer(answers, Asks::Name) else { return visitor };
    let nobody = || Visitor { name: None, country: None, path: None, language: None };
    let visitor = visitor.unwrap_or_else(nobody);
    Some(Visitor { name: Some(name.clone()), ..visitor })
}

/// The conversation with somebody in a channel. The first one's id follows from channel and address, so that two messages at
/// once begin one; after one that is over for good comes the next. And the last one that there is.
async fn conversation_of(
    commands: &Commands,
    tenant: Id,
    (channel, known): (Id, &Channel),
    who: &str,
    now: Time,
) -> Result<(Id, Option<Arc<Conversation>>), Refused> {
    let id = |turn: u64| Id::named(&["conversation", &channel.to_string(), who, &turn.to_string()]);
    let is_there = async |turn: u64| commands.find::<Conversation>(tenant, id(turn)).await;
    if is_there(0).await?.is_none() {
        return Ok((id(0), None));
    }
    // They are without gaps: the last one lies between one that is there and one that is not.
    let (mut there, mut missing) = (0, 1);
    while is_there(missing).await?.is_some() {
        (there, missing) = (missing, missing * 2);
    }
    while missing - there > 1 {
        let middle = there + (missing - there) / 2;
        if is_there(middle).await?.is_some() { there = middle } else { missing = middle }
    }
    let (last, _) = commands.load_current::<Conversation>(tenant, id(there)).await?;
    let over = last.status == conversation::Status::Closed
        && match closed_at(commands, tenant, id(there)).await? {
            Some(closed) => !known.settings.reopens(closed, now),
            None => false,
        };
    Ok((id(if over { there + 1 } else { there }), Some(last)))
}

/// When a conversation was last closed.
async fn closed_at(commands: &Commands, tenant: Id, id: Id) -> Result<Option<Time>, Refused> {
    let (tenant, stream) = (tenant.to_string(), Conversation::stream(id));
    let mut from = i64::MAX;
    loop {
        let page = commands.log().read_stream(&tenant, &stream, from, Direction::Backward, 100).await?;
        if let Some(closed) = page.iter().find(|event| &*event.kind == "conversation.closed") {
            return Ok(Some(closed.occurred_at));
        }
        match page.last() {
            Some(last) if last.version > 0 => from = last.version - 1,
            _ => return Ok(None),
        }
    }
}
