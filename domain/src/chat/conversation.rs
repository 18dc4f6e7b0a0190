//! A chat with somebody outside, from the first word to the rating.

mod bot;
mod changed;
mod guest;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use bot::origin;
use bot::{Run, Told, Wanted};
pub use changed::Template;
use changed::{Changed, NO_EDITS, NO_REACTIONS, REACTION_INVALID, TEMPLATE_INVALID, TEMPLATE_UNFIT};
pub use guest::Transcript;

use crate::{
    ActorKind, Aggregate, Claim, Ctx, Decision, Echo, Id, Need, Personal, Rejection, Time,
    chat::{
        channel::{self, Answered, Capabilities, Channel},
        chatbot::{self, Chatbot},
        label::{self, Label},
        quick_reply::QuickReply,
    },
    crm::contact::{Contact, Identity},
    desk::ticket::{
        AssignMethod, Attachment, BODY_EMPTY, Priority, ReopenCause, SCORE_INVALID, Ticket, check_body, uploads,
    },
    kernel::{
        access::Relation,
        files::Files,
        named::Either,
        record::{Happened, Level},
        reference::REFERENCE_UNFIT,
        said::Said,
        sorted, valid,
    },
    must,
    org::{authority::DENIED, settings, tenant::Tenant, user::User},
};

/// What is known of a visitor who is not a contact yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Visitor {
    /// Name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Personal<String>>,
    /// Country, ISO 3166-1 alpha-2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub country: Option<String>,
    /// The page from which the visitor writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Language, BCP 47.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// A new conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// By what means: `live_chat`, `whatsapp`, `telegram`, ...
    #[schemars(extend("format" = "word"))]
    pub medium: String,
    /// Through which of the channels of that sort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "channel", "x-refusal" = "conversation_channel_unfit"))]
    pub channel: Option<Id>,
    /// The address of the other side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// What is known of the visitor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visitor: Option<Visitor>,
    /// The display rule that matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched_rule: Option<Id>,
    /// The contact, when it is known already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "contact"))]
    pub contact: Option<Id>,
    /// The chatbot that talks first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "chatbot"))]
    pub chatbot: Option<Id>,
    /// The version of its script on which the chat finishes; the latest by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chatbot_version: Option<u32>,
    /// What the visitor answered to the questions that the channel asks before a chat.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub answers: Vec<Answered>,
}

/// The part of a conversation that a ticket tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    /// The first of its messages.
    pub from: Id,
    /// The last.
    pub to: Id,
    /// How many there are.
    pub messages: u32,
}

/// Who put a label on a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LabelSource {
    /// Somebody.
    #[default]
    Manual,
    /// A quick reply that was sent.
    QuickReply,
    /// An automation rule.
    Rule,
}

/// How it is known who the other side is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatchedBy {
    /// Somebody says so.
    #[default]
    Manual,
    /// By phone number.
    Phone,
    /// By e-mail address.
    Email,
    /// By name.
    Name,
    /// By the address in the channel.
    Identity,
}

/// What may be asked of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Starts a conversation.
    Start(New),
    /// Takes in a message from the other side; a closed conversation reopens.
    ReceiveMessage {
        /// Its id; made for you when absent.
        #[serde(default)]
        message_id: Option<Id>,
        /// The id it has in its channel; the same one is taken in once.
        #[serde(default)]
        external_id: Option<String>,
        /// Its text.
        body: Personal<String>,
        /// Files.
        #[serde(default)]
        attachments: Vec<Attachment>,
        /// When its channel says that it was written, where that is a time to come.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claimed_at: Option<Time>,
    },
    /// Writes to the other side. Only whoever is responsible may, and who may `conversation.reply_any`; programs, rules and
    /// bots write as themselves.
    SendMessage {
        /// Its id; made for you when absent. A message that failed is sent once more under the id it has.
        #[serde(default)]
        message_id: Option<Id>,
        /// Its text.
        body: Personal<String>,
        /// Files.
        #[serde(default)]
        attachments: Vec<Attachment>,
        /// The quick reply it was made from; its label is attached once the message is sent.
        #[serde(default)]
        #[schemars(extend("x-reference" = "quick_reply"))]
        quick_reply: Option<Id>,
        /// The template as which it leaves, where the channel has some; `body` is then how that reads. It may be sent at any time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        template: Option<Template>,
    },
    /// Takes in that the other side has changed what they wrote. A change of before the last one changes nothing.
    ReceiveEdit {
        /// Which message.
        message_id: Id,
        /// Its text now.
        body: Personal<String>,
        /// When it was changed; now by default.
        #[serde(default)]
        edited_at: Option<Time>,
    },
    /// Takes in that the other side has taken back what they wrote.
    ReceiveDeletion {
        /// Which message.
        message_id: Id,
    },
    /// Takes in with what the other side answers a message, in place of what they did before.
    ReceiveReactions {
        /// Which message, of either side.
        message_id: Id,
        /// The emoji; none when they took it back.
        #[schemars(length(max = 20))]
        reactions: Vec<String>,
    },
    /// Answers a message with an emoji, in place of the one before. Whoever may answer may.
    React {
        /// Which message, of either side.
        message_id: Id,
        /// The emoji; none to take it back.
        #[serde(default)]
        reaction: Option<String>,
    },
    /// Records that a reaction of ours has left.
    MarkReactionSent {
        /// On which message.
        message_id: Id,
    },
    /// Records that a reaction of ours could not be sent.
    MarkReactionFailed {
        /// On which message.
        message_id: Id,
        /// Why.
        error: String,
    },
    /// Records that a message has left through its channel. Reports may come late, twice and in any order.
    MarkMessageSent {
        /// Which message.
        message_id: Id,
        /// The id it has there.
        #[serde(default)]
        external_id: Option<String>,
    },
    /// Records that it has arrived.
    MarkMessageDelivered {
        /// Which message.
        message_id: Id,
    },
    /// Records that the other side has read it.
    MarkMessageRead {
        /// Which message.
        message_id: Id,
    },
    /// Records that it could not be sent, or was accepted and then not delivered.
    MarkMessageFailed {
        /// Which message.
        message_id: Id,
        /// Why.
        error: String,
    },
    /// Records that it may have left or not: nobody can tell, and only a person sends it once more.
    MarkMessageUncertain {
        /// Which message.
        message_id: Id,
        /// What happened.
        reason: String,
    },
    /// Records how far a user has read.
    MarkRead {
        /// The user; whoever asks by default.
        #[serde(default)]
        #[schemars(extend("x-reference" = "user"))]
        user: Option<Id>,
        /// The last message read; the last there is by default.
        #[serde(default)]
        up_to: Option<Id>,
    },
    /// Takes it: whoever asks becomes responsible, unless somebody else is.
    Claim,
    /// Makes a user responsible.
    Assign {
        /// The user.
        #[schemars(extend("x-reference" = "colleague"))]
        assignee: Id,
        /// How the user was found.
        #[serde(default)]
        method: AssignMethod,
        /// The run of the rule that chose.
        #[serde(default)]
        #[schemars(extend("x-reference" = "rule_run"))]
        rule_run: Option<Id>,
    },
    /// Makes nobody responsible.
    Unassign,
    /// Says which contact it is with. The contact then belongs to whoever is responsible here, or to whoever links.
    LinkContact {
        /// The contact.
        #[schemars(extend("x-reference" = "contact"))]
        contact: Id,
        /// How that is known.
        #[serde(default)]
        matched_by: MatchedBy,
    },
    /// Takes that back.
    UnlinkContact,
    /// Puts a label on it: one that exists, or one by its name, which is created if need be.
    Label {
        /// The label.
        #[serde(default)]
        #[schemars(extend("x-reference" = "label"))]
        label: Option<Id>,
        /// Its name.
        #[serde(default)]
        name: Option<String>,
        /// Who puts it there.
        #[serde(default)]
        source: LabelSource,
    },
    /// Takes a label off.
    Unlabel {
        /// The label.
        #[schemars(extend("x-held-reference" = "label"))]
        label: Id,
    },
    /// Records that a chatbot has said something.
    ShowBotStep {
        /// The step of its script.
        step: String,
    },
    /// Records what the visitor answered.
    AnswerBot {
        /// The step of its script.
        step: String,
        /// The answer.
        answer: Personal<String>,
    },
    /// Has a chatbot talk, from the beginning of its script. People who are responsible go before it.
    StartBot {
        /// The chatbot.
        #[schemars(extend("x-reference" = "chatbot"))]
        chatbot: Id,
        /// The version of its script; the latest by default.
        #[serde(default)]
        version: Option<u32>,
    },
    /// Has the chatbot say what follows from its script: when it begins, and from a message of the visitor.
    LetBotReply {
        /// The message; none when it begins.
        #[serde(default)]
        message_id: Option<Id>,
        /// What it says.
        #[serde(default)]
        body: Option<Personal<String>>,
        /// The contact who is known by an address that the visitor gave.
        #[serde(default)]
        #[schemars(extend("x-reference" = "contact"))]
        contact: Option<Id>,
    },
    /// Makes a ticket of it: what was said so far is the description, and whom the chat is with asks. Each leads to the other.
    ConvertToTicket {
        /// The ticket's id; made for you when absent.
        #[serde(default)]
        new_ticket: Option<Id>,
        /// Its title; what the other side wrote first by default.
        #[serde(default)]
        title: Option<Personal<String>>,
        /// The team that handles it.
        #[serde(default)]
        #[schemars(extend("x-reference" = "team", "x-refusal" = "team_unfit"))]
        team: Option<Id>,
        /// 0 (low) to 3 (urgent).
        #[serde(default)]
        priority: Priority,
    },
    /// Hands it from the chatbot to people.
    HandOver {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Ends it; the other side's next message reopens it.
    Close,
    /// Opens it again.
    Reopen,
    /// Records how satisfied the other side is.
    Rate {
        /// 1 (bad) to 5 (good).
        #[schemars(range(min = 1, max = 5))]
        score: u8,
        /// In their words.
        #[serde(default)]
        text: Option<Personal<String>>,
    },
    /// Asks for what was said to be sent by mail, once.
    RequestTranscript {
        /// Its id; made for you when absent.
        #[serde(default)]
        transcript_id: Option<Id>,
        /// Where it goes.
        #[schemars(extend("format" = "email"))]
        email: Personal<String>,
        /// The language in which it is introduced, BCP 47.
        #[serde(default)]
        language: Option<String>,
    },
    /// Records that a transcript has left.
    MarkTranscriptSent {
        /// Which one.
        transcript_id: Id,
    },
    /// Records that a transcript could not be sent.
    MarkTranscriptFailed {
        /// Which one.
        transcript_id: Id,
        /// Why.
        error: String,
    },
    /// Makes every token worthless by which a visitor of a page was let in so far; who writes again begins another conversation.
    RevokeVisitor,
    /// Keeps the other side out: what they write is refused from now on, by their address elsewhere in the channel too.
    BlockVisitor,
    /// Lets them in again.
    UnblockVisitor,
}

/// What has happened in a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It started.
    Started(New),
    /// The other side wrote.
    MessageReceived {
        /// The message.
        message_id: Id,
        /// The id it has in its channel.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        external_id: Option<String>,
        /// Its text.
        body: Personal<String>,
        /// Files.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<Attachment>,
        /// Until when one may answer, where the channel lets one do so for a time alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_until: Option<Time>,
        /// When its channel said that it was written, where that was a time to come: it counts as written when it came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        claimed_at: Option<Time>,
    },
    /// A message of ours waits to be sent.
    MessageQueued {
        /// The message.
        message_id: Id,
        /// Its text.
        body: Personal<String>,
        /// Files.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<Attachment>,
        /// The quick reply it was made from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quick_reply: Option<Id>,
        /// The label that is attached once it is sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        label: Option<Id>,
        /// Whether it is sent once more, after it has failed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        again: bool,
        /// The template as which it leaves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        template: Option<Template>,
    },
    /// The other side has changed what they wrote.
    MessageEdited {
        /// The message.
        message_id: Id,
        /// Its text now.
        body: Personal<String>,
        /// When.
        edited_at: Time,
    },
    /// The other side has taken back what they wrote.
    MessageDeleted {
        /// The message.
        message_id: Id,
    },
    /// The other side answers a message with these emoji, and no others any more.
    MessageReactionsReceived {
        /// The message.
        message_id: Id,
        /// The emoji.
        reactions: Vec<String>,
    },
    /// A reaction of ours waits to leave.
    MessageReactionQueued {
        /// The message.
        message_id: Id,
        /// The emoji; none when it is taken back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reaction: Option<String>,
    },
    /// It has left.
    MessageReactionSent {
        /// The message.
        message_id: Id,
    },
    /// It could not be sent.
    MessageReactionFailed {
        /// The message.
        message_id: Id,
        /// Why.
        error: String,
    },
    /// It has left.
    MessageSent {
        /// The message.
        message_id: Id,
        /// The id it has in its channel.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        external_id: Option<String>,
    },
    /// It has arrived.
    MessageDelivered {
        /// The message.
        message_id: Id,
    },
    /// The other side has read it.
    MessageRead {
        /// The message.
        message_id: Id,
    },
    /// It could not be sent.
    MessageFailed {
        /// The message.
        message_id: Id,
        /// Why.
        error: String,
    },
    /// It may have left or not.
    MessageUncertain {
        /// The message.
        message_id: Id,
        /// What happened.
        reason: String,
    },
    /// A user has read so far.
    ReadMarkerMoved {
        /// The user.
        user: Id,
        /// The last message read.
        up_to: Id,
    },
    /// A user has taken it.
    Claimed {
        /// The user.
        user: Id,
    },
    /// Somebody is responsible.
    Assigned {
        /// Who was.
        from: Option<Id>,
        /// Who is.
        to: Id,
        /// How the user was found.
        method: AssignMethod,
        /// The run of the rule that chose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule_run: Option<Id>,
    },
    /// Nobody is responsible.
    Unassigned {
        /// Who was.
        from: Id,
    },
    /// It is known whom it is with.
    ContactLinked {
        /// The contact.
        contact: Id,
        /// How that is known.
        matched_by: MatchedBy,
    },
    /// It was not that contact.
    ContactUnlinked {
        /// The contact.
        contact: Id,
    },
    /// It bears a label.
    Labelled {
        /// The label.
        label: Id,
        /// Its name, when it was typed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Who put it there.
        source: LabelSource,
    },
    /// It bears the label no longer.
    Unlabelled {
        /// The label.
        label: Id,
    },
    /// A chatbot has said something.
    BotStepShown {
        /// The step of its script.
        step: String,
    },
    /// The visitor has answered a chatbot.
    BotAnswerGiven {
        /// The step of its script.
        step: String,
        /// The answer.
        answer: Personal<String>,
    },
    /// A chatbot talks from here on.
    BotStarted {
        /// The chatbot.
        chatbot: Id,
        /// The version of its script.
        version: u32,
    },
    /// What the visitor wrote was no answer that the chatbot could take.
    BotAnswerRefused {
        /// The step of its script.
        step: String,
        /// The message.
        message_id: Id,
        /// What was wrong with it.
        code: String,
    },
    /// The chatbot has said everything.
    BotFinished,
    /// It has become a ticket.
    ConvertedToTicket {
        /// The ticket.
        ticket: Id,
        /// Its title.
        title: Personal<String>,
        /// The team that handles it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        team: Option<Id>,
        /// How urgent.
        priority: Priority,
        /// The part that its description tells.
        source: Source,
        /// The step of the chatbot's script that made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
    },
    /// People have taken over from the chatbot.
    HandedOver {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It is over.
    Closed,
    /// It is open again.
    Reopened {
        /// Why.
        cause: ReopenCause,
    },
    /// The other side said how satisfied they are.
    Rated {
        /// 1 (bad) to 5 (good).
        score: u8,
        /// In their words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<Personal<String>>,
    },
    /// What was said is to be sent by mail.
    TranscriptQueued {
        /// The transcript.
        transcript_id: Id,
        /// Where it goes.
        email: Personal<String>,
        /// The last message that it tells.
        up_to: Id,
        /// The language in which it is introduced.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        language: Option<String>,
    },
    /// It has left.
    TranscriptSent {
        /// The transcript.
        transcript_id: Id,
    },
    /// It could not be sent.
    TranscriptFailed {
        /// The transcript.
        transcript_id: Id,
        /// Why.
        error: String,
    },
    /// Tokens by which a visitor was let in until then are worthless.
    VisitorRevoked {
        /// When.
        at: Time,
    },
    /// The other side is kept out.
    VisitorBlocked,
    /// The other side is let in again.
    VisitorUnblocked,
}

/// Where a conversation stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// There is no such conversation.
    #[default]
    Missing,
    /// Going on.
    Open,
    /// Over.
    Closed,
}

/// How far a message of ours has come; it only moves on, so that in whatever order reports come the end is the same.
/// Providers report failures of what they have accepted; what has arrived has not failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Delivery {
    Queued,
    Uncertain,
    Sent,
    Failed,
    Delivered,
    Read,
}

impl Delivery {
    /// Whether it has left, and not come back as far as is known.
    fn has_left(self) -> bool {
        matches!(self, Delivery::Sent | Delivery::Delivered | Delivery::Read)
    }
}

/// A conversation, as far as decisions need it.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// Where it stands.
    pub status: Status,
    /// Who is responsible.
    pub assignee: Option<Id>,
    /// Whom it is with, as far as known.
    pub contact: Option<Id>,
    /// Until when one may answer; at any time without it.
    #[serde(default)]
    pub reply_until: Option<Time>,
    started: Option<Box<New>>,
    #[serde(deserialize_with = "sorted::map")]
    messages: BTreeMap<Id, usize>,
    /// Digests of what they say: an id that comes again with other words is no repetition.
    said: Said,
    #[serde(deserialize_with = "sorted::set")]
    external: BTreeSet<String>,
    #[serde(deserialize_with = "sorted::map")]
    outgoing: BTreeMap<Id, (Delivery, Option<Id>)>,
    labels: BTreeSet<Id>,
    read: BTreeMap<Id, Id>,
    bot: Option<String>,
    answers: BTreeMap<String, Personal<String>>,
    handed_over: bool,
    rating: Option<(u8, Option<Personal<String>>)>,
    /// The chatbot of ours that talks.
    run: Option<Run>,
    /// The last messages, for the ticket that it may become.
    told: Vec<Told>,
    /// The tickets that it has become, and how many messages there were then.
    tickets: BTreeMap<Id, usize>,
    /// What is to be sent of it by mail, or was.
    #[serde(default, deserialize_with = "sorted::map")]
    transcripts: BTreeMap<Id, Transcript>,
    /// When tokens were last made worthless, and how many messages there were then.
    #[serde(default)]
    revoked: Option<(Time, usize)>,
    #[serde(default)]
    blocked: bool,
    /// What became of messages after they were said.
    #[serde(default)]
    changed: Changed,
}

const UNKNOWN: Rejection = Rejection::missing("conversation_unknown", "There is no such conversation.");
const EXISTS: Rejection = Rejection::conflict("conversation_exists", "A conversation with this id exists already.");
const CLOSED: Rejection = Rejection::conflict("conversation_closed", "The conversation is closed; reopen it first.");
const TAKEN: Rejection = Rejection::conflict("conversation_taken", "Somebody else is responsible already.");
const NOT_RESPONSIBLE: Rejection = Rejection::forbidden(
    "conversation_not_responsible",
    "Only whoever is responsible for a chat replies in it, and who may conversation.reply_any.",
);
const MEDIUM_INVALID: Rejection = Rejection::invalid(
    "conversation_medium_invalid",
    "A medium is one of those in the setting media, such as live_chat.",
);
const NOT_A_USER: Rejection = Rejection::invalid("conversation_not_a_user", "Only a user who is there takes it.");
const LABEL_UNCLEAR: Rejection =
    Rejection::invalid("conversation_label_unclear", "Say which label, or what it is called, one of the two.");
const MESSAGE_UNKNOWN: Rejection =
    Rejection::invalid("conversation_message_unknown", "The conversation has no such message.");
const MESSAGE_EXISTS: Rejection =
    Rejection::conflict("conversation_message_exists", "The conversation has another message with this id already.");
const STEP_INVALID: Rejection =
    Rejection::invalid("conversation_step_invalid", "A step of a script has 1 to 200 characters.");

const BOT_TOO_LATE: Rejection =
    Rejection::conflict("conversation_bot_too_late", "Somebody is responsible: a chatbot has nothing to say here.");
const NOTHING_SAID: Rejection =
    Rejection::conflict("conversation_nothing_said", "Nothing was said yet that a ticket could tell.");
const CHANNEL_UNFIT: Rejection = Rejection::invalid(
    "conversation_channel_unfit",
    "There is no such channel, it is disabled, or conversations by this medium are not held in it.",
);
const CHANNEL_DISABLED: Rejection =
    Rejection::conflict("conversation_channel_disabled", "The channel is disabled: nothing comes in or leaves.");
const NOT_OPERATOR: Rejection = Rejection::invalid(
    "conversation_not_an_operator",
    "Only an operator of the channel takes its conversations or is given them.",
);
/// A message that another conversation has.
pub const TAKEN_IN: Rejection = Rejection::conflict(
    "conversation_message_taken_in",
    "A message with this id in the channel was taken in by another conversation.",
);
const UNCERTAIN: Rejection = Rejection::conflict(
    "conversation_message_uncertain",
    "The message may have left already: only a person sends it once more.",
);
const UNSENDABLE: Rejection =
    Rejection::invalid("conversation_message_unsendable", "The channel does not take such a message.");
const WINDOW_CLOSED: Rejection = Rejection::conflict(
    "window_closed",
    "Too long ago the other side last wrote: this channel lets one answer only for a time. It opens again when they write.",
);

const NO_TOKENS: Rejection =
    Rejection::invalid("conversation_no_tokens", "Only visitors of pages (live_chat) are let in by a token.");
const TRANSCRIPT_UNKNOWN: Rejection =
    Rejection::invalid("conversation_transcript_unknown", "Nobody has asked for such a transcript.");
const TRANSCRIPTS_FULL: Rejection =
    Rejection::conflict("conversation_transcripts_full", "What was said is sent by mail at most 10 times.");

/// The set-wide names of what came in through channels.
pub const TAKEN_IN_SCOPE: &str = "channel.message";

/// The name of what came in through a channel under an id of its provider's: no two conversations have it.
pub fn taken_in_key(channel: Id, external_id: &str) -> String {
    format!("{channel}/{external_id}")
}

/// The permission to reply where another colleague is responsible, or nobody.
pub const REPLY_ANY: &str = "conversation.reply_any";

/// Why a contact got another owner.
pub const LINKED: &str = "chat_link";

impl Conversation {
    /// How satisfied the other side is, if they have said so: 1 to 5.
    pub fn score(&self) -> Option<u8> {
        self.rating.as_ref().map(|(score, _)| *score)
    }

    /// The channel that it is held in, if any.
    pub fn channel(&self) -> Option<Id> {
        self.started.as_ref()?.channel
    }

    /// The address of the other side.
    pub fn identity(&self) -> Option<&Identity> {
        self.started.as_ref()?.identity.as_ref()
    }

    /// What it began with.
    pub fn started(&self) -> Option<&New> {
        self.started.as_deref()
    }

    /// Whether a message of ours waits to be sent.
    pub fn is_queued(&self, message_id: Id) -> bool {
        self.outgoing.get(&message_id).is_some_and(|(delivery, _)| *delivery == Delivery::Queued)
    }

    /// That channel, where Deskfold keeps it: conversations of before there were channels name what it knows nothing of.
    fn channel_of(&self, ctx: &Ctx<'_>) -> Option<Arc<Channel>> {
        self.channel().map(|channel| ctx.fact::<Channel>(channel)).filter(|channel| channel.exists())
    }

    fn must_be_open(&self, ctx: &Ctx<'_>) -> Result<(), Rejection> {
        let closed = self.channel_of(ctx).is_some_and(|channel| !channel.enabled);
        if closed { Err(CHANNEL_DISABLED) } else { Ok(()) }
    }

    /// Who has no access to the channel is not given what is said in it.
    fn may_have(&self, user: Id, ctx: &Ctx<'_>) -> bool {
        self.channel_of(ctx).is_none_or(|channel| channel.operators.contains(&user))
    }

    /// The label that a command means; what it leads to when it was renamed.
    fn label_meant(&self, label: Option<Id>, name: Option<&str>, ctx: &Ctx<'_>) -> Result<Id, Rejection> {
        let named = match (label, name) {
            (Some(label), None) => return Ok(label),
            (None, Some(name)) => {
                label::check_name(name)?;
                Label::id_for(ctx.tenant, name)
            }
            _ => return Err(LABEL_UNCLEAR),
        };
        Ok(ctx.fact::<Label>(named).redirect.unwrap_or(named))
    }

    fn link_contact(&self, contact: Id, matched_by: MatchedBy, ctx: &Ctx<'_>) -> Decision<Event> {
        if self.contact == Some(contact) {
            return Ok(vec![]);
        }
        let unlinked = self.contact.map(|contact| Event::ContactUnlinked { contact });
        // Nobody is responsible yet: whoever links is.
        let linker = (ctx.actor.kind == ActorKind::User && self.assignee.is_none()).then(|| ctx.actor.principal());
        let linker = linker.filter(|user| ctx.fact::<User>(*user).is_active() && self.may_have(*user, ctx));
        let taken = linker.map(|to| Event::Assigned { from: None, to, method: AssignMethod::Claimed, rule_run: None });
        let quiet = taken.as_ref().and_then(|_| self.bot_gives_way());
        let linked = Event::ContactLinked { contact, matched_by };
        Ok([unlinked, taken, quiet, Some(linked)].into_iter().flatten().collect())
    }

    /// A colleague replies only where he is responsible. Programs, rules and bots are nobody's colleagues.
    fn must_be_responsible(&self, ctx: &Ctx<'_>) -> Result<(), Rejection> {
        let responsible = self.assignee == Some(ctx.actor.principal());
        if ctx.actor.kind != ActorKind::User || responsible || ctx.authority.allows(REPLY_ANY) {
            return Ok(());
        }
        Err(NOT_RESPONSIBLE.because(match self.assignee {
            Some(assignee) => {
                let user = ctx.fact::<User>(assignee);
                let name = user.profile.name.as_str();
                format!(
                    "{name} ({assignee}) is responsible for this chat: only who is replies, and who may {REPLY_ANY}."
                )
            }
            None => {
                format!("Nobody has taken this chat: claim it first. Without that only who may {REPLY_ANY} replies.")
            }
        }))
    }

    fn send(
        &self,
        message_id: Option<Id>,
        body: Personal<String>,
        attachments: Vec<Attachment>,
        quick_reply: Option<Id>,
        template: Option<Template>,
        ctx: &Ctx<'_>,
    ) -> Decision<Event> {
        check_body(&body, &attachments)?;
        self.must_be_open(ctx)?;
        let can = self.channel_of(ctx).and_then(|channel| channel.can());
        if let Some(template) = &template {
            template.check(can.as_ref())?;
            must(attachments.is_empty(), UNSENDABLE.because("A template carries no files."), "/attachments")?;
        }
        if let Some(can) = can {
            can_carry(&can, &body, &attachments)?;
            if template.is_none() {
                self.must_be_in_time(&can, ctx)?;
            }
        }
        let message_id = message_id.unwrap_or_else(|| ctx.fresh("message"));
        let before = self.outgoing.get(&message_id).map(|(delivery, _)| *delivery);
        if before == Some(Delivery::Uncertain) && ctx.actor.kind != ActorKind::User {
            return Err(UNCERTAIN.at("/message_id"));
        }
        if before == Some(Delivery::Uncertain) {
            // It may have arrived: what was said stays what was said.
            self.said.must_repeat(message_id, &body, MESSAGE_EXISTS)?;
        }
        if before.is_some_and(|delivery| !matches!(delivery, Delivery::Failed | Delivery::Uncertain)) {
            self.said.must_repeat(message_id, &body, MESSAGE_EXISTS)?;
            return Ok(vec![]);
        }
        if before.is_none() && self.messages.contains_key(&message_id) {
            return Err(MESSAGE_EXISTS.at("/message_id"));
        }
        let label =
            quick_reply.and_then(|reply| ctx.fact::<QuickReply>(reply).fields.as_ref().and_then(|fields| fields.label));
        let again = before.is_some();
        Ok(vec![Event::MessageQueued { message_id, body, attachments, quick_reply, label, again, template }])
    }

    /// Until when one may answer what comes in now.
    fn window(&self, ctx: &Ctx<'_>) -> Option<Time> {
        let hours = self.channel_of(ctx)?.can()?.reply_window_hours?;
        ctx.now.checked_add(SignedDuration::from_hours(hours.into())).ok()
    }

    /// Some channels let one write only for a time after the other side did.
    fn must_be_in_time(&self, can: &Capabilities, ctx: &Ctx<'_>) -> Result<(), Rejection> {
        let Some(hours) = can.reply_window_hours else { return Ok(()) };
        match self.reply_until {
            Some(until) if until < ctx.now => Err(WINDOW_CLOSED.because(format!(
                "One may answer in this channel for {hours} hours after the other side last wrote: until {until}. It opens again when they write."
            ))),
            // When they wrote was not recorded before there were windows.
            None if self.messages.len() == self.outgoing.len() => {
                Err(WINDOW_CLOSED.because("In this channel the other side writes first."))
            }
            _ => Ok(()),
        }
    }

    /// The events when a message of ours has come further.
    fn moved_on(&self, message_id: Id, to: Delivery, event: Event) -> Decision<Event> {
        let Some((now, label)) = self.outgoing.get(&message_id) else {
            return Err(MESSAGE_UNKNOWN.at("/message_id"));
        };
        if *now >= to {
            return Ok(vec![]);
        }
        // Whatever arrives has been sent.
        let leaves = to.has_left() && !now.has_left();
        let label = label.filter(|label| leaves && !self.labels.contains(label));
        let label = label.map(|label| Event::Labelled { label, name: None, source: LabelSource::QuickReply });
        Ok([event].into_iter().chain(label).collect())
    }

    fn mark_read(&self, user: Id, up_to: Option<Id>) -> Decision<Event> {
        let place = |message: &Id| self.messages.get(message).copied();
        let last = || self.messages.iter().max_by_key(|(_, place)| **place).map(|(message, _)| *message);
        let up_to = match up_to {
            Some(message) if place(&message).is_none() => return Err(MESSAGE_UNKNOWN.at("/up_to")),
            Some(message) => Some(message),
            None => last(),
        };
        let Some(up_to) = up_to else { return Ok(vec![]) };
        // What was read stays read.
        let before = self.read.get(&user).and_then(place);
        Ok(if before >= place(&up_to) { vec![] } else { vec![Event::ReadMarkerMoved { user, up_to }] })
    }
}

/// Refuses what a channel does not take.
fn can_carry(can: &Capabilities, body: &str, attachments: &[Attachment]) -> Result<(), Rejection> {
    let length = body.chars().count();
    if length > can.max_text {
        let detail =
            format!("A message in this channel has at most {} characters; this one has {length}.", can.max_text);
        return Err(UNSENDABLE.because(detail).at("/body"));
    }
    if !can.files && !attachments.is_empty() {
        return Err(UNSENDABLE.because("This channel takes no files.").at("/attachments"));
    }
    if attachments.len() > can.max_files {
        let detail = format!("A message in this channel carries at most {} files.", can.max_files);
        return Err(UNSENDABLE.because(detail).at("/attachments"));
    }
    if !attachments.is_empty() && length > can.max_caption {
        let detail = match can.max_caption {
            0 => "A message in this channel is either words or a file: send them one after the other.".to_owned(),
            most => {
                format!("Beside a file a message in this channel has at most {most} characters; this one has {length}.")
            }
        };
        return Err(UNSENDABLE.because(detail).at("/body"));
    }
    for file in attachments {
        if file.size.is_some_and(|size| size > can.max_file_bytes) {
            let detail = format!(
                "{} is larger than the {} bytes that this channel takes.",
                file.name.as_str(),
                can.max_file_bytes
            );
            return Err(UNSENDABLE.because(detail).at("/attachments"));
        }
        let fits = |kind: &String| can.file_types.is_empty() || can.file_types.contains(&kind.as_str());
        if !file.media_type.as_ref().is_none_or(fits) {
            let detail = format!("This channel takes no files of this type ({}).", can.file_types.join(", "));
            return Err(UNSENDABLE.because(detail).at("/attachments"));
        }
    }
    Ok(())
}

/// A conversation as rules see it.
#[derive(Serialize, JsonSchema)]
struct Document {
    #[serde(flatten)]
    started: New,
    status: Status,
    assignee: Option<Id>,
    labels: BTreeSet<Id>,
    messages: usize,
}

impl Aggregate for Conversation {
    const KIND: &'static str = "conversation";
    const PLURAL: &'static str = "conversations";
    const CREATE: &'static str = "start";
    const OWN: &'static [&'static str] = &["mark_read"];
    const INTERNAL: &'static [&'static str] = &["let_bot_reply", "mark_message_uncertain"];
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        use Command::*;
        let started = match (&self.started, &command) {
            (_, Start(_)) | (None, _) => None,
            (
                Some(_),
                SendMessage { .. }
                | React { .. }
                | Claim
                | Assign { .. }
                | ShowBotStep { .. }
                | HandOver { .. }
                | StartBot { .. },
            ) if self.status == Status::Closed => {
                return Err(CLOSED);
            }
            (started, _) => started.as_ref(),
        };
        Ok(match (command, started) {
            (Start(new), _) => return self.start(new, ctx),
            (_, None) => return Err(UNKNOWN),
            (ReceiveMessage { message_id, external_id, body, attachments, claimed_at }, _) => {
                check_body(&body, &attachments)?;
                self.must_be_open(ctx)?;
                self.must_let_in(&body, &attachments, ctx)?;
                let message_id = message_id.unwrap_or_else(|| ctx.fresh("message"));
                let external = external_id.as_ref().is_some_and(|id| self.external.contains(id));
                if !external {
                    self.said.must_repeat(message_id, &body, MESSAGE_EXISTS)?;
                }
                if self.messages.contains_key(&message_id) || external {
                    return Ok(vec![]); // Delivered twice.
                }
                let closed = self.status == Status::Closed;
                let reopened = closed.then_some(Event::Reopened { cause: ReopenCause::CustomerMessage });
                let reply_until = self.window(ctx);
                let received =
                    Event::MessageReceived { message_id, external_id, body, attachments, reply_until, claimed_at };
                [received].into_iter().chain(reopened).collect()
            }
            (SendMessage { message_id, body, attachments, quick_reply, template }, _) => {
                self.must_be_responsible(ctx)?;
                return self.send(message_id, body, attachments, quick_reply, template, ctx);
            }
            (ReceiveEdit { message_id, body, edited_at }, _) => return self.edit(message_id, body, edited_at, ctx),
            (ReceiveDeletion { message_id }, _) => return self.delete(message_id, ctx),
            (ReceiveReactions { message_id, reactions }, _) => {
                return self.take_reactions(message_id, reactions, ctx);
            }
            (React { message_id, reaction }, _) => return self.react(message_id, reaction, ctx),
            (MarkReactionSent { message_id }, _) => return self.reaction_left(message_id, None),
            (MarkReactionFailed { message_id, error }, _) => return self.reaction_left(message_id, Some(error)),
            (MarkMessageSent { message_id, external_id }, _) => {
                let sent = Event::MessageSent { message_id, external_id };
                return self.moved_on(message_id, Delivery::Sent, sent);
            }
            (MarkMessageDelivered { message_id }, _) => {
                return self.moved_on(message_id, Delivery::Delivered, Event::MessageDelivered { message_id });
            }
            (MarkMessageRead { message_id }, _) => {
                return self.moved_on(message_id, Delivery::Read, Event::MessageRead { message_id });
            }
            (MarkMessageFailed { message_id, error }, _) => {
                return self.moved_on(message_id, Delivery::Failed, Event::MessageFailed { message_id, error });
            }
            (MarkMessageUncertain { message_id, reason }, _) => {
                return self.moved_on(message_id, Delivery::Uncertain, Event::MessageUncertain { message_id, reason });
            }
            (MarkRead { user, up_to }, _) => {
                let user = user.unwrap_or_else(|| ctx.actor.principal());
                ctx.must_own(Some(user), "conversation.mark_read")?;
                return self.mark_read(user, up_to);
            }
            (Claim, _) => {
                let user = ctx.actor.principal();
                match self.assignee {
                    Some(assignee) if assignee == user => return Ok(vec![]),
                    Some(_) => return Err(TAKEN),
                    None if !ctx.fact::<User>(user).is_active() => return Err(NOT_A_USER),
                    None if !self.may_have(user, ctx) => return Err(NOT_OPERATOR),
                    None => {}
                }
                let assigned = Event::Assigned { from: None, to: user, method: AssignMethod::Claimed, rule_run: None };
                [Event::Claimed { user }, assigned].into_iter().chain(self.bot_gives_way()).collect()
            }
            (Assign { assignee, .. }, _) if self.assignee == Some(assignee) => vec![],
            (Assign { assignee, .. }, _) if !self.may_have(assignee, ctx) => return Err(NOT_OPERATOR.at("/assignee")),
            (Assign { assignee, method, rule_run }, _) => {
                let assigned = Event::Assigned { from: self.assignee, to: assignee, method, rule_run };
                [assigned].into_iter().chain(self.bot_gives_way()).collect()
            }
            (Unassign, _) => self.assignee.map(|from| Event::Unassigned { from }).into_iter().collect(),
            (LinkContact { contact, matched_by }, _) => return self.link_contact(contact, matched_by, ctx),
            (UnlinkContact, _) => self.contact.map(|contact| Event::ContactUnlinked { contact }).into_iter().collect(),
            (Label { label, name, source }, _) => {
                let label = self.label_meant(label, name.as_deref(), ctx)?;
                let known = self.labels.contains(&label);
                if known { vec![] } else { vec![Event::Labelled { label, name, source }] }
            }
            (Unlabel { label }, _) if self.labels.contains(&label) => vec![Event::Unlabelled { label }],
            (ShowBotStep { step } | AnswerBot { step, .. }, _) if step.is_empty() || step.chars().count() > 200 => {
                return Err(STEP_INVALID.at("/step"));
            }
            (ShowBotStep { step }, _) if self.bot.as_ref() != Some(&step) => vec![Event::BotStepShown { step }],
            (AnswerBot { step, answer }, _) if self.answers.get(&step) != Some(&answer) => {
                vec![Event::BotAnswerGiven { step, answer }]
            }
            (StartBot { chatbot, version }, _) => return self.start_bot(chatbot, version, ctx),
            (LetBotReply { message_id, body, contact }, _) => {
                let body = body.unwrap_or_else(|| "".into());
                return self.let_bot_reply(message_id.map(|message| (message, &body)), contact, ctx);
            }
            (ConvertToTicket { new_ticket: ticket, title, team, priority }, _) => {
                return self.convert(Wanted { ticket, title, team, priority, step: None }, ctx);
            }
            (HandOver { reason }, _) if !self.handed_over => vec![Event::HandedOver { reason }],
            (Close, _) if self.status == Status::Open => vec![Event::Closed],
            (Reopen, _) if self.status == Status::Closed => vec![Event::Reopened { cause: ReopenCause::Request }],
            (Rate { score, .. }, _) if !(1..=5).contains(&score) => return Err(SCORE_INVALID.at("/score")),
            (Rate { score, text }, _) if self.rating != Some((score, text.clone())) => {
                vec![Event::Rated { score, text }]
            }
            (RequestTranscript { transcript_id, email, language }, _) => {
                return self.request_transcript(transcript_id, email, language, ctx);
            }
            (MarkTranscriptSent { transcript_id }, _) => return self.transcript_left(transcript_id, None),
            (MarkTranscriptFailed { transcript_id, error }, _) => {
                return self.transcript_left(transcript_id, Some(error));
            }
            (RevokeVisitor, _) => return self.revoke(ctx),
            (BlockVisitor, _) => return self.block(ctx),
            (UnblockVisitor, _) if self.blocked => vec![Event::VisitorUnblocked],
            _ => vec![],
        })
    }

    fn relates(event: &Event) -> Vec<Relation> {
        match event {
            // Operators of the channel are to it what members are to a team with which it is shared.
            Event::Started(New { contact, channel, .. }) => {
                let channel = channel.map(|channel| Relation::Shared(channel, Level::Write));
                [Relation::Requester(*contact)].into_iter().chain(channel).collect()
            }
            Event::ContactLinked { contact, .. } => vec![Relation::Requester(Some(*contact))],
            Event::ContactUnlinked { .. } => vec![Relation::Requester(None)],
            Event::Assigned { to, .. } => vec![Relation::Assignee(Some(*to))],
            Event::Unassigned { .. } => vec![Relation::Assignee(None)],
            _ => Vec::new(),
        }
    }

    fn undo(&self, event: &Event) -> Option<Vec<Command>> {
        Some(match event {
            Event::Started(_) | Event::Reopened { .. } => vec![Command::Close],
            Event::Closed => vec![Command::Reopen],
            Event::Claimed { .. } | Event::Assigned { .. } | Event::Unassigned { .. } => match self.assignee {
                Some(assignee) => {
                    vec![Command::Assign { assignee, method: AssignMethod::Manual, rule_run: None }]
                }
                None => vec![Command::Unassign],
            },
            Event::ContactLinked { .. } | Event::ContactUnlinked { .. } => match self.contact {
                Some(contact) => vec![Command::LinkContact { contact, matched_by: MatchedBy::default() }],
                None => vec![Command::UnlinkContact],
            },
            Event::VisitorBlocked => vec![Command::UnblockVisitor],
            Event::VisitorUnblocked => vec![Command::BlockVisitor],
            Event::Labelled { label, .. } => vec![Command::Unlabel { label: *label }],
            Event::Unlabelled { label } => {
                vec![Command::Label { label: Some(*label), name: None, source: LabelSource::default() }]
            }
            _ => return None,
        })
    }

    fn evolve(&mut self, event: &Event) {
        let place = self.messages.len();
        match event {
            Event::Started(new) => {
                self.status = Status::Open;
                self.contact = new.contact;
                self.started = Some(Box::new(new.clone()));
                self.run = new.chatbot.zip(new.chatbot_version).map(|(chatbot, version)| Run::begins(chatbot, version));
            }
            Event::MessageReceived { message_id, external_id, body, reply_until, .. } => {
                // What comes late does not shorten it.
                self.reply_until = self.reply_until.max(*reply_until);
                bot::remember(&mut self.told, *message_id, true, body);
                self.messages.insert(*message_id, place);
                self.said.take(*message_id, body);
                self.external.extend(external_id.clone());
            }
            Event::MessageQueued { message_id, label, body, .. } => {
                if !self.messages.contains_key(message_id) {
                    bot::remember(&mut self.told, *message_id, false, body);
                }
                self.said.take(*message_id, body);
                self.messages.entry(*message_id).or_insert(place);
                self.outgoing.insert(*message_id, (Delivery::Queued, *label));
            }
            Event::MessageSent { message_id, .. } => {
                self.deliver(*message_id, Delivery::Sent);
                self.has_changed(event);
            }
            Event::MessageEdited { .. }
            | Event::MessageDeleted { .. }
            | Event::MessageReactionsReceived { .. }
            | Event::MessageReactionQueued { .. }
            | Event::MessageReactionSent { .. }
            | Event::MessageReactionFailed { .. } => self.has_changed(event),
            Event::MessageDelivered { message_id } => self.deliver(*message_id, Delivery::Delivered),
            Event::MessageRead { message_id } => self.deliver(*message_id, Delivery::Read),
            Event::MessageFailed { message_id, .. } => self.deliver(*message_id, Delivery::Failed),
            Event::MessageUncertain { message_id, .. } => self.deliver(*message_id, Delivery::Uncertain),
            Event::ReadMarkerMoved { user, up_to } => drop(self.read.insert(*user, *up_to)),
            Event::Claimed { .. } => {}
            Event::Assigned { to, .. } => self.assignee = Some(*to),
            Event::Unassigned { .. } => self.assignee = None,
            Event::ContactLinked { contact, .. } => self.contact = Some(*contact),
            Event::ContactUnlinked { .. } => self.contact = None,
            Event::Labelled { label, .. } => drop(self.labels.insert(*label)),
            Event::Unlabelled { label } => drop(self.labels.remove(label)),
            Event::BotStarted { chatbot, version } => {
                self.run = Some(Run::begins(*chatbot, *version));
                self.bot = None;
                self.answers.clear();
                self.handed_over = false;
            }
            Event::BotAnswerRefused { .. } => self.bot_asked(place),
            Event::BotFinished => self.bot_is_over(),
            Event::ConvertedToTicket { ticket, .. } => drop(self.tickets.insert(*ticket, place)),
            Event::BotStepShown { step } => {
                self.bot = Some(step.clone());
                self.bot_asked(place);
            }
            Event::BotAnswerGiven { step, answer } => drop(self.answers.insert(step.clone(), answer.clone())),
            Event::HandedOver { .. } => self.handed_over = true,
            Event::Closed => self.status = Status::Closed,
            Event::Reopened { .. } => self.status = Status::Open,
            Event::Rated { score, text } => self.rating = Some((*score, text.clone())),
            Event::TranscriptQueued { transcript_id, email, up_to, .. } => {
                self.transcripts.insert(*transcript_id, Transcript::queued(email.clone(), *up_to));
            }
            Event::TranscriptSent { transcript_id } => self.transcript_is(*transcript_id, Delivery::Sent),
            Event::TranscriptFailed { transcript_id, .. } => self.transcript_is(*transcript_id, Delivery::Failed),
            Event::VisitorRevoked { at } => self.revoked = Some((*at, place)),
            Event::VisitorBlocked => self.blocked = true,
            Event::VisitorUnblocked => self.blocked = false,
        }
    }

    fn is_live(&self) -> bool {
        self.started.is_some()
    }

    fn document(&self) -> Option<Value> {
        let started = New { contact: self.contact, ..(**self.started.as_ref()?).clone() };
        let Conversation { status, assignee, labels, messages, .. } = self.clone();
        serde_json::to_value(Document { started, status, assignee, labels, messages: messages.len() }).ok()
    }

    fn document_schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(Document::json_schema(generator))
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        let me = || Need::of::<User>(ctx.actor.principal());
        // Who is let go at the same moment is given nothing more.
        let channel = || self.channel().map(Need::guarded::<Channel>);
        match command {
            Command::Start(new) => {
                let channel = new.channel.map(Need::guarded::<Channel>);
                let bot = new.chatbot.map(Need::of::<Chatbot>);
                [Need::of::<Tenant>(ctx.tenant)].into_iter().chain(channel).chain(bot).collect()
            }
            Command::StartBot { chatbot, .. } => vec![Need::of::<Chatbot>(*chatbot)],
            Command::LetBotReply { contact, .. } => self.bot_needs(*contact, ctx),
            Command::ConvertToTicket { new_ticket: ticket, team, .. } => {
                bot::ticket_needs(bot::ticket_id(*ticket, None, ctx), self.contact, *team, ctx)
            }
            Command::ReceiveMessage { .. }
            | Command::ReceiveEdit { .. }
            | Command::ReceiveDeletion { .. }
            | Command::ReceiveReactions { .. } => self.channel().map(Need::of::<Channel>).into_iter().collect(),
            Command::Assign { .. } | Command::BlockVisitor | Command::UnblockVisitor => channel().into_iter().collect(),
            Command::SendMessage { quick_reply, .. } => {
                let responsible = self.assignee.map(Need::of::<User>);
                let channel = self.channel().map(Need::of::<Channel>);
                quick_reply.map(Need::of::<QuickReply>).into_iter().chain(responsible).chain(channel).collect()
            }
            Command::React { .. } => {
                let responsible = self.assignee.map(Need::of::<User>);
                responsible.into_iter().chain(self.channel().map(Need::of::<Channel>)).collect()
            }
            Command::Claim => [me()].into_iter().chain(channel()).collect(),
            // The contact gets another owner together with the link, so it must not change meanwhile.
            Command::LinkContact { contact, .. } => {
                [Need::guarded::<Contact>(*contact), me()].into_iter().chain(channel()).collect()
            }
            Command::Label { label, name, .. } => {
                let named = name.as_ref().map(|name| Label::id_for(ctx.tenant, name));
                label.iter().copied().chain(named).map(Need::guarded::<Label>).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What came in through a channel came in once, whichever conversation took it; and what left by a messenger is found there again.
    fn claims(&self, event: &Event, _: &Ctx<'_>) -> Vec<Claim> {
        let external = match event {
            Event::MessageReceived { external_id: Some(external), .. } => external,
            Event::MessageSent { external_id: Some(external), .. } if self.is_by_messenger() => external,
            _ => return vec![],
        };
        let taken = TAKEN_IN.at("/external_id");
        let claim = |channel| Claim::take(TAKEN_IN_SCOPE, taken_in_key(channel, external), taken);
        self.channel().map(claim).into_iter().collect()
    }

    fn echoes(&self, event: &Event, ctx: &Ctx<'_>) -> Vec<Echo> {
        match event {
            Event::ContactLinked { contact, .. } => {
                let from = ctx.fact::<Contact>(*contact).owner;
                let to = self.assignee.filter(|to| from != Some(*to));
                let owned = to.map(|to| Happened::OwnerChanged { from, to: Some(to), reason: Some(LINKED.into()) });
                let owned = owned.map(|owned| Echo::to::<Contact>(*contact, &Either::Common(owned)));
                self.contact_of(*contact, ctx).into_iter().chain(owned).collect()
            }
            Event::ConvertedToTicket { .. } => self.ticket_of(event, ctx).unwrap_or_default(),
            Event::VisitorBlocked | Event::VisitorUnblocked => self.at_the_door(event, ctx).into_iter().collect(),
            Event::Labelled { label, name: Some(name), .. } if *label == Label::id_for(ctx.tenant, name) => {
                let created = label::New { name: name.trim().to_owned(), color: None, preset: false };
                let known = ctx.fact::<Label>(*label).is_live();
                let created = (!known).then(|| Echo::to::<Label>(*label, &label::Event::Created(created)));
                created.into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn files(&self, event: &Event) -> Files {
        match event {
            Event::MessageReceived { attachments, .. } | Event::MessageQueued { attachments, .. } => {
                Files::taken(uploads(attachments))
            }
            _ => Files::default(),
        }
    }

    fn subject(&self, event: &Event, _: &Ctx<'_>) -> Option<Id> {
        match event {
            Event::Started(new) => new.contact,
            Event::ContactLinked { contact, .. } => Some(*contact),
            _ => self.contact,
        }
    }

    fn refusals() -> Vec<Rejection> {
        let states = [UNKNOWN, EXISTS, CLOSED, TAKEN, NOT_RESPONSIBLE, MESSAGE_EXISTS, BOT_TOO_LATE, NOTHING_SAID];
        let fields = [MEDIUM_INVALID, NOT_A_USER, LABEL_UNCLEAR, MESSAGE_UNKNOWN, STEP_INVALID];
        let shared = [REFERENCE_UNFIT, BODY_EMPTY, SCORE_INVALID, label::NAME_INVALID, DENIED];
        let channel = [CHANNEL_UNFIT, CHANNEL_DISABLED, NOT_OPERATOR, TAKEN_IN, UNCERTAIN, UNSENDABLE, WINDOW_CLOSED];
        let guests = [NO_TOKENS, TRANSCRIPT_UNKNOWN, TRANSCRIPTS_FULL, valid::EMAIL_INVALID, valid::LOCALE_INVALID];
        let door = [channel::BLOCKED, channel::ANSWER_MISSING];
        let changed = [NO_EDITS, NO_REACTIONS, REACTION_INVALID, TEMPLATE_INVALID, TEMPLATE_UNFIT];
        let fields = fields.into_iter().chain(channel).chain(guests).chain(door).chain(changed);
        let others = [chatbot::UNPUBLISHED, Chatbot::unknown()].into_iter().chain(Ticket::refusals());
        states.into_iter().chain(fields).chain(shared).chain(others).collect()
    }

    fn requires(command: &Command) -> Vec<(String, String)> {
        match command {
            Command::ConvertToTicket { .. } => vec![(String::new(), "ticket.open".to_owned())],
            _ => Vec::new(),
        }
    }

    fn examples() -> Vec<Command> {
        use Command::*;
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 + last);
        let visitor = Visitor {
            name: Some("Maria".into()),
            country: Some("IT".into()),
            path: Some("/prices".into()),
            language: Some("it".into()),
        };
        let (inbound, outbound) = (id(0x20), id(0x21));
        let step = || "What can we do for you?".to_owned();
        vec![
            Start(New {
                medium: "live_chat".into(),
                channel: Some(id(1)),
                identity: None,
                visitor: Some(visitor),
                matched_rule: Some(id(2)),
                contact: None,
                chatbot: None,
                chatbot_version: None,
                answers: vec![],
            }),
            ReceiveMessage {
                message_id: Some(inbound),
                external_id: None,
                body: "Good day".into(),
                attachments: vec![],
                claimed_at: None,
            },
            SendMessage {
                message_id: Some(outbound),
                body: "Good day! How can we help?".into(),
                attachments: vec![],
                quick_reply: Some(id(3)),
                template: None,
            },
            MarkMessageSent { message_id: outbound, external_id: Some("wamid.1".into()) },
            ReceiveEdit { message_id: inbound, body: "Good day!".into(), edited_at: None },
            ReceiveReactions { message_id: outbound, reactions: vec!["👍".into()] },
            React { message_id: inbound, reaction: Some("🙏".into()) },
            MarkReactionSent { message_id: inbound },
            MarkReactionFailed { message_id: inbound, error: "The message is too old".into() },
            MarkMessageDelivered { message_id: outbound },
            MarkMessageRead { message_id: outbound },
            MarkMessageUncertain { message_id: outbound, reason: "Interrupted while it was being sent".into() },
            MarkMessageFailed { message_id: outbound, error: "number unknown".into() },
            MarkRead { user: Some(id(0xA)), up_to: Some(inbound) },
            ReceiveDeletion { message_id: inbound },
            Claim,
            Assign { assignee: id(0xB), method: AssignMethod::Manual, rule_run: None },
            Unassign,
            LinkContact { contact: id(0xC), matched_by: MatchedBy::Phone },
            UnlinkContact,
            Label { label: None, name: Some("VIP".into()), source: LabelSource::Manual },
            Unlabel { label: id(4) },
            ShowBotStep { step: step() },
            AnswerBot { step: step(), answer: "A price".into() },
            HandOver { reason: Some("Asked for a person".into()) },
            StartBot { chatbot: id(5), version: None },
            LetBotReply { message_id: Some(inbound), body: Some("Good day".into()), contact: None },
            ConvertToTicket {
                new_ticket: Some(id(6)),
                title: Some("Wants a price".into()),
                team: None,
                priority: Priority::LOW,
            },
            RequestTranscript {
                transcript_id: Some(id(7)),
                email: "maria@example.com".into(),
                language: Some("it".into()),
            },
            MarkTranscriptSent { transcript_id: id(7) },
            RequestTranscript { transcript_id: Some(id(8)), email: "maria@example.org".into(), language: None },
            MarkTranscriptFailed { transcript_id: id(8), error: "no such mailbox".into() },
            RevokeVisitor,
            BlockVisitor,
            UnblockVisitor,
            Close,
            Reopen,
            Rate { score: 5, text: Some("Quick!".into()) },
        ]
    }
}

impl Conversation {
    fn start(&self, mut new: New, ctx: &Ctx<'_>) -> Decision<Event> {
        new.identity = new.identity.map(|identity| identity.read(ctx));
        if let (Some(started), None) = (&self.started, new.chatbot_version) {
            new.chatbot_version = started.chatbot_version.filter(|_| started.chatbot == new.chatbot);
        }
        if let Some(started) = &self.started {
            let same = match (&started.identity, &new.identity) {
                (Some(started), Some(new)) => started.kind == new.kind && started.is_same(new),
                (started, new) => started == new,
            };
            return if started.medium == new.medium && same { Ok(vec![]) } else { Err(EXISTS) };
        }
        settings::check_name(&ctx.fact::<Tenant>(ctx.tenant).media(), &new.medium, MEDIUM_INVALID, "/medium")?;
        let channel = new.channel.map(|channel| ctx.fact::<Channel>(channel));
        let kind = channel.and_then(|channel| channel.kind);
        if kind.is_some_and(|kind| !kind.fits(&new.medium)) {
            return Err(CHANNEL_UNFIT.at("/channel"));
        }
        self.must_have_been_asked(&new, ctx)?;
        new.chatbot_version = match new.chatbot {
            Some(chatbot) => Some(bot::bot_version(chatbot, new.chatbot_version, ctx)?),
            None => None,
        };
        Ok(vec![Event::Started(new)])
    }

    /// Whoever takes it has the word.
    fn bot_gives_way(&self) -> Option<Event> {
        self.chatbot().map(|_| Event::HandedOver { reason: Some("claimed".to_owned()) })
    }

    fn bot_asked(&mut self, place: usize) {
        if let Some(run) = &mut self.run {
            run.asked_at = place;
        }
    }

    fn bot_is_over(&mut self) {
        if let Some(run) = &mut self.run {
            run.over = true;
        }
    }

    fn deliver(&mut self, message_id: Id, to: Delivery) {
        if let Some((delivery, _)) = self.outgoing.get_mut(&message_id) {
            *delivery = to;
        }
    }
}

#[cfg(test)]
mod tests;
