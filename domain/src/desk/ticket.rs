//! A customer's request for help, from opening to closing.

mod change;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::{
    Actor, Aggregate, Ctx, Decision, Echo, Faults, Id, Need, Party, PartyKind, Personal, Rejection, Time, all,
    crm::{company::Company, contact::Contact},
    desk::entitlement::Entitlement,
    kernel::{
        access::Relation,
        custom::{self, Changes, Custom, CustomChanges},
        files::{self, Files},
        merging,
        record::{self, TAG_INVALID, check_tag},
        reference::{REFERENCE_UNFIT, Subject},
        said::Said,
        sorted, text,
    },
    org::{
        authority::DENIED,
        settings,
        stage::{self, Means, Stage},
        team::Team,
        tenant::Tenant,
        upload::{self, Upload},
        user::User,
    },
};

/// How urgent a ticket is: 0 low, 1 medium, 2 high, 3 urgent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u8")]
#[schemars(extend("maximum" = 3))]
pub struct Priority(u8);

impl Priority {
    /// The lowest, which a ticket has unless told otherwise.
    pub const LOW: Priority = Priority(0);
    /// The highest.
    pub const URGENT: Priority = Priority(3);

    /// 0 to 3.
    pub fn level(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Priority {
    type Error = &'static str;

    fn try_from(level: u8) -> Result<Self, Self::Error> {
        if level <= 3 { Ok(Priority(level)) } else { Err("a priority is 0 (low), 1, 2 or 3 (urgent)") }
    }
}

/// A file that was uploaded before and is now referred to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// Its upload.
    #[schemars(extend("x-reference" = "upload", "x-described" = true))]
    pub upload_id: Id,
    /// Its name for people.
    pub name: Personal<String>,
    /// What it is, as its own bytes told when it came: what a command says here does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Its size in bytes, as it is kept: what a command says here does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// The uploads that files are.
pub(crate) fn uploads(attachments: &[Attachment]) -> impl Iterator<Item = Id> {
    attachments.iter().map(|attachment| attachment.upload_id)
}

/// What a link says about the other ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// The two have to do with each other.
    Related,
    /// This one says the same as the other.
    Duplicates,
    /// The other says the same as this one.
    DuplicatedBy,
    /// This one must be solved before the other.
    Blocks,
    /// The other must be solved before this one.
    BlockedBy,
    /// This one is a part of the other.
    ChildOf,
    /// The other is a part of this one.
    ParentOf,
    /// The other was merged into this one.
    MergedFrom,
}

impl LinkKind {
    fn seen_from_the_other(self) -> LinkKind {
        use LinkKind::*;
        match self {
            Duplicates => DuplicatedBy,
            DuplicatedBy => Duplicates,
            Blocks => BlockedBy,
            BlockedBy => Blocks,
            ChildOf => ParentOf,
            ParentOf => ChildOf,
            same => same,
        }
    }
}

/// A link to another ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// The other ticket.
    pub ticket: Id,
    /// What this one is to the other.
    pub kind: LinkKind,
}

/// What a ticket that was merged into another shows there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Brought {
    /// Its tags.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// The users who follow it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub followers: BTreeSet<Id>,
    /// Its links.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub links: BTreeSet<Link>,
    /// The contacts who take part in it, its requester among them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub participants: BTreeSet<Id>,
}

/// An assignee that passed on from a merged ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inherited {
    /// The user.
    pub user: Id,
    /// The ticket whose assignee this was.
    pub of: Id,
}

/// Why a ticket was reopened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReopenCause {
    /// Somebody asked for it.
    #[default]
    Request,
    /// The customer wrote again.
    CustomerMessage,
}

/// How an assignee was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AssignMethod {
    /// Somebody chose.
    #[default]
    Manual,
    /// An automation rule chose.
    Rule,
    /// The next in turn.
    RoundRobin,
    /// The one with the least to do.
    LeastBusy,
    /// The user took it.
    Claimed,
}

/// A new ticket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// What it is about, in one line.
    pub title: Personal<String>,
    /// The whole story.
    #[serde(default)]
    pub description: Option<Personal<String>>,
    /// Who asks: a contact, or a colleague for internal matters.
    #[serde(default)]
    #[schemars(extend("x-reference" = "any", "x-refusal" = "requester_unknown"))]
    pub requester: Option<Party>,
    /// The company it concerns; by default the contact's first company.
    #[serde(default)]
    #[schemars(extend("x-reference" = "company"))]
    pub company: Option<Id>,
    /// The team that handles it.
    #[serde(default)]
    #[schemars(extend("x-reference" = "team", "x-refusal" = "team_unfit"))]
    pub team: Option<Id>,
    /// The user who handles it.
    #[serde(default)]
    #[schemars(extend("x-reference" = "colleague", "x-refusal" = "assignee_unknown"))]
    pub assignee: Option<Id>,
    /// Where it came in: `api`, `email`, `chat`, `form`, `phone`, ...
    #[serde(default)]
    pub channel: Option<String>,
    /// Where exactly, such as the page of the form.
    #[serde(default)]
    pub origin: Option<String>,
    /// 0 (low) to 3 (urgent).
    #[serde(default)]
    pub priority: Priority,
    /// A stage of its team; the first one by default.
    #[serde(default)]
    pub stage: Option<String>,
    /// A code from the general list of categories.
    #[serde(default)]
    pub category: Option<String>,
    /// The owned product it is about.
    #[serde(default)]
    #[schemars(extend("x-reference" = "entitlement"))]
    pub entitlement: Option<Id>,
    /// Tags.
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// Custom fields.
    #[serde(default)]
    pub custom: Custom,
}

/// What may be asked of a ticket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Opens a ticket.
    Open(New),
    /// Changes several plain attributes at once; what is not named stays.
    Edit(Edit),
    /// Changes the title.
    ChangeTitle {
        /// The new title.
        title: Personal<String>,
    },
    /// Changes the description.
    ChangeDescription {
        /// The new description.
        description: Personal<String>,
    },
    /// Changes how urgent it is.
    ChangePriority {
        /// 0 (low) to 3 (urgent).
        priority: Priority,
    },
    /// Moves it to another stage of its team. A stage that means resolved or closed resolves or closes it, one that means
    /// open or waiting opens it again.
    MoveStage {
        /// The stage to move to.
        stage: String,
    },
    /// Sets its category, or clears it.
    SetCategory {
        /// A code from the general list of categories; null for none.
        category: Option<String>,
    },
    /// Says who asks. A product that the new requester does not own leaves the ticket.
    ChangeRequester {
        /// A contact or a colleague; null for nobody.
        #[schemars(extend("x-reference" = "any", "x-refusal" = "requester_unknown"))]
        requester: Option<Party>,
    },
    /// Says which of the requester's products it is about.
    SelectProduct {
        /// The entitlement by which the requester, or the requester's company, owns the product.
        #[schemars(extend("x-reference" = "entitlement"))]
        entitlement: Id,
    },
    /// Says that it is about no product.
    ClearProduct,
    /// Adds a tag.
    Tag {
        /// The tag.
        tag: String,
    },
    /// Removes a tag.
    Untag {
        /// The tag.
        tag: String,
    },
    /// Sets custom fields; null clears one.
    SetCustom {
        /// New values by key.
        custom: CustomChanges,
    },
    /// Makes a user responsible.
    Assign {
        /// The user.
        #[schemars(extend("x-reference" = "colleague", "x-refusal" = "assignee_unknown"))]
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
    /// Hands it to a team, or to none.
    ChangeTeam {
        /// The team; null for none.
        #[schemars(extend("x-reference" = "team", "x-refusal" = "team_unfit"))]
        team: Option<Id>,
    },
    /// Takes in a message from the requester; a resolved or closed ticket reopens, a snoozed one wakes.
    ReceiveMessage {
        /// Its id; made for you when absent.
        #[serde(default)]
        message_id: Option<Id>,
        /// The id it has where it came from; the same one is taken in once.
        #[serde(default)]
        external_id: Option<String>,
        /// Who wrote it; the requester by default.
        #[serde(default)]
        from: Option<Party>,
        /// Its text.
        body: Personal<String>,
        /// Files.
        #[serde(default)]
        attachments: Vec<Attachment>,
        /// The mail that it came as.
        #[serde(default)]
        #[schemars(extend("x-held-reference" = "email"))]
        email: Option<Id>,
    },
    /// Answers the requester, and whoever else takes part.
    Reply {
        /// Its id; made for you when absent.
        #[serde(default)]
        message_id: Option<Id>,
        /// Its text.
        body: Personal<String>,
        /// Files.
        #[serde(default)]
        attachments: Vec<Attachment>,
        /// Not before then; until it leaves it can be taken back.
        #[serde(default)]
        send_at: Option<Time>,
    },
    /// Takes an answer back that has not left yet.
    CancelReply {
        /// Which reply.
        message_id: Id,
    },
    /// Records that a reply has left through its channel.
    MarkReplySent {
        /// Which reply.
        message_id: Id,
        /// The id it has there.
        #[serde(default)]
        external_id: Option<String>,
    },
    /// Records that a reply could not be sent.
    MarkReplyFailed {
        /// Which reply.
        message_id: Id,
        /// Why.
        error: String,
    },
    /// Records that nobody knows whether a reply has left: somebody decides whether it is sent once more.
    MarkReplyUncertain {
        /// Which reply.
        message_id: Id,
        /// What happened.
        reason: String,
    },
    /// Adds a note that only colleagues see.
    AddNote {
        /// Its id; made for you when absent.
        #[serde(default)]
        message_id: Option<Id>,
        /// Its text.
        body: Personal<String>,
        /// Files.
        #[serde(default)]
        attachments: Vec<Attachment>,
    },
    /// Takes the text of a message or note out of sight.
    RedactMessage {
        /// Which message.
        message_id: Id,
        /// Why.
        reason: String,
    },
    /// Follows the ticket.
    Follow {
        /// The user; whoever asks by default.
        #[serde(default)]
        #[schemars(extend("x-reference" = "user", "x-refusal" = "follower_unknown"))]
        user: Option<Id>,
    },
    /// Follows it no longer.
    Unfollow {
        /// The user; whoever asks by default.
        #[serde(default)]
        #[schemars(extend("x-held-reference" = "user"))]
        user: Option<Id>,
    },
    /// Lets a contact take part besides the requester: what is answered goes to both, and both may write.
    AddParticipant {
        /// The contact.
        #[schemars(extend("x-reference" = "contact", "x-refusal" = "participant_unknown"))]
        contact: Id,
    },
    /// Lets a contact take part no longer.
    RemoveParticipant {
        /// The contact.
        #[schemars(extend("x-held-reference" = "contact"))]
        contact: Id,
    },
    /// Puts it aside until a time or the requester's next message.
    Snooze {
        /// When it comes back.
        until: Time,
    },
    /// Brings a snoozed one back.
    Wake,
    /// Says that it is solved; the requester may still answer. It moves to the first stage that means so.
    Resolve {
        /// What came of it.
        #[serde(default)]
        outcome: Option<String>,
    },
    /// Ends it.
    Close,
    /// Opens a resolved or closed one again.
    Reopen,
    /// Makes it a part of another ticket: its messages show there, and it takes no more commands.
    Merge {
        /// The ticket that goes on.
        #[schemars(extend("x-reference" = "ticket", "x-refusal" = "other_ticket_unknown"))]
        into: Id,
    },
    /// Undoes a merge: both are as they were.
    Unmerge,
    /// Moves messages into a new ticket.
    Split {
        /// The messages to move.
        messages: BTreeSet<Id>,
        /// The title of the new ticket; this one's by default.
        #[serde(default)]
        title: Option<Personal<String>>,
        /// Its id; made for you when absent.
        #[serde(default)]
        new_ticket: Option<Id>,
    },
    /// Links it with another ticket; the other shows the link too.
    Link {
        /// The other ticket.
        #[schemars(extend("x-reference" = "ticket", "x-refusal" = "other_ticket_unknown"))]
        ticket: Id,
        /// What this one is to the other.
        #[serde(default = "related")]
        kind: LinkKind,
    },
    /// Removes a link from both.
    Unlink {
        /// The other ticket.
        #[schemars(extend("x-held-reference" = "ticket"))]
        ticket: Id,
        /// Which link.
        #[serde(default = "related")]
        kind: LinkKind,
    },
    /// Records how satisfied the requester is.
    Rate {
        /// 1 (bad) to 5 (good).
        #[schemars(range(min = 1, max = 5))]
        score: u8,
        /// In the requester's words.
        #[serde(default)]
        text: Option<Personal<String>>,
    },
}

fn related() -> LinkKind {
    LinkKind::Related
}

/// The plain attributes that `edit` (HTTP `PATCH`) may change: what is absent stays, null clears.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Edit {
    /// The new title.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Personal<String>")]
    pub title: Option<Option<Personal<String>>>,
    /// The new description; null clears it.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Personal<String>>")]
    pub description: Option<Option<Personal<String>>>,
    /// 0 (low) to 3 (urgent).
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Priority")]
    pub priority: Option<Option<Priority>>,
    /// A stage of its team.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub stage: Option<Option<String>>,
    /// A code from the general list of categories; null clears it.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub category: Option<Option<String>>,
    /// Custom fields; null clears one, or all of them.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<CustomChanges>")]
    pub custom: Option<Option<CustomChanges>>,
}

/// Tells null from absent: only what is there is read.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// What opening a ticket recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Opened {
    /// 1, 2, 3, ... within the tenant, drawn by the log.
    pub number: u64,
    /// What it is about, in one line.
    pub title: Personal<String>,
    /// The whole story.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Personal<String>>,
    /// Who asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<Party>,
    /// The company it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<Id>,
    /// The team that handles it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Id>,
    /// Where it came in.
    #[schemars(extend("format" = "word"))]
    pub channel: String,
    /// Where exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "word"))]
    pub origin: Option<String>,
    /// How urgent.
    pub priority: Priority,
    /// Its first stage.
    #[schemars(extend("format" = "word"))]
    pub stage: String,
    /// What that stage means, where that was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage_means: Option<Means>,
    /// Its category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Tags.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Custom fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom: Custom,
    /// The ticket it was split off from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_from: Option<Id>,
}

/// A move to another stage that came with something else: a ticket that is resolved is in a stage that means so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageMove {
    /// Before.
    pub from: String,
    /// After.
    pub to: String,
    /// What the stage after means.
    pub means: Means,
}

/// What may have happened to a ticket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was opened.
    Opened(Opened),
    /// It has another title.
    TitleChanged {
        /// Before.
        from: Personal<String>,
        /// After.
        to: Personal<String>,
    },
    /// It has another description.
    DescriptionChanged {
        /// Before.
        from: Option<Personal<String>>,
        /// After.
        to: Personal<String>,
    },
    /// It has no description any more.
    DescriptionCleared {
        /// Before.
        from: Personal<String>,
    },
    /// It is more or less urgent.
    PriorityChanged {
        /// Before.
        from: Priority,
        /// After.
        to: Priority,
    },
    /// It moved to another stage.
    StageChanged {
        /// Before.
        from: String,
        /// After.
        to: String,
        /// What the stage after means, where that was recorded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        means: Option<Means>,
    },
    /// It has another category.
    CategorySet {
        /// Before.
        from: Option<String>,
        /// After.
        to: Option<String>,
    },
    /// Somebody else asks.
    RequesterChanged {
        /// Before.
        from: Option<Party>,
        /// After.
        to: Option<Party>,
        /// The company it concerns now.
        company: Option<Id>,
    },
    /// It is about this product.
    ProductSelected {
        /// The entitlement by which it is owned.
        entitlement: Id,
        /// The product.
        product: Id,
    },
    /// It is about no product.
    ProductCleared,
    /// A tag was added.
    Tagged {
        /// The tag.
        tag: String,
    },
    /// A tag was removed.
    Untagged {
        /// The tag.
        tag: String,
    },
    /// Custom fields changed.
    CustomChanged {
        /// Each with its old and new value.
        changes: Changes,
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
    /// Another team handles it.
    TeamChanged {
        /// Before.
        from: Option<Id>,
        /// After.
        to: Option<Id>,
    },
    /// The requester wrote.
    MessageReceived {
        /// The message.
        message_id: Id,
        /// The id it has where it came from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        external_id: Option<String>,
        /// Who wrote it.
        from: Option<Party>,
        /// Its text.
        body: Personal<String>,
        /// Files.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<Attachment>,
        /// The mail that it came as.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        email: Option<Id>,
        /// The ticket it was meant for, which is merged into this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        via_ticket: Option<Id>,
    },
    /// An answer waits to be sent.
    ReplyQueued {
        /// The message.
        message_id: Id,
        /// Its text.
        body: Personal<String>,
        /// Files.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<Attachment>,
        /// Whether it is sent once more, after it has failed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        again: bool,
        /// Not before then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        send_at: Option<Time>,
        /// The ticket it was meant for, which is merged into this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        via_ticket: Option<Id>,
    },
    /// An answer has left.
    ReplySent {
        /// The message.
        message_id: Id,
        /// The id it has there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        external_id: Option<String>,
    },
    /// An answer could not be sent.
    ReplyFailed {
        /// The message.
        message_id: Id,
        /// Why.
        error: String,
    },
    /// Nobody knows whether an answer has left.
    ReplyUncertain {
        /// The message.
        message_id: Id,
        /// What happened.
        reason: String,
    },
    /// An answer was taken back before it left.
    ReplyCancelled {
        /// The message.
        message_id: Id,
    },
    /// A colleague noted something.
    NoteAdded {
        /// The note.
        message_id: Id,
        /// Its text.
        body: Personal<String>,
        /// Files.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<Attachment>,
        /// The ticket it was meant for, which is merged into this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        via_ticket: Option<Id>,
    },
    /// The text of a message is out of sight.
    MessageRedacted {
        /// The message.
        message_id: Id,
        /// Why.
        reason: String,
    },
    /// A contact takes part besides the requester.
    ParticipantAdded {
        /// The contact.
        contact: Id,
    },
    /// A contact takes part no longer.
    ParticipantRemoved {
        /// The contact.
        contact: Id,
    },
    /// A user follows it.
    FollowerAdded {
        /// The user.
        user: Id,
    },
    /// A user follows it no longer.
    FollowerRemoved {
        /// The user.
        user: Id,
    },
    /// It was put aside.
    Snoozed {
        /// When it comes back.
        until: Time,
        /// The stage that it moved to with this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<StageMove>,
    },
    /// It came back.
    Woken {
        /// The stage that it moved to with this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<StageMove>,
    },
    /// It is solved.
    Resolved {
        /// What came of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<String>,
        /// The stage that it moved to with this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<StageMove>,
    },
    /// It is over.
    Closed {
        /// The stage that it moved to with this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<StageMove>,
    },
    /// It is open again.
    Reopened {
        /// Why.
        cause: ReopenCause,
        /// The stage that it moved to with this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage: Option<StageMove>,
    },
    /// It is now a part of another ticket.
    Merged {
        /// The ticket that goes on.
        into: Id,
    },
    /// It stands on its own again.
    Unmerged {
        /// The ticket that it was a part of.
        from: Id,
    },
    /// Messages moved into a new ticket.
    Split {
        /// The new ticket.
        new_ticket: Id,
        /// Its title.
        title: Personal<String>,
        /// The messages that moved.
        messages: BTreeSet<Id>,
    },
    /// It is linked with another ticket.
    Linked {
        /// The other ticket.
        ticket: Id,
        /// What this one is to the other.
        kind: LinkKind,
    },
    /// A link was removed.
    Unlinked {
        /// The other ticket.
        ticket: Id,
        /// Which link.
        kind: LinkKind,
    },
    /// The requester said how satisfied they are.
    Rated {
        /// 1 (bad) to 5 (good).
        score: u8,
        /// In the requester's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<Personal<String>>,
        /// The ticket it was meant for, which is merged into this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        via_ticket: Option<Id>,
    },
    /// Another ticket was merged into this one, or into one that is.
    Absorbed {
        /// The ticket that was merged.
        ticket: Id,
        /// What it shows here, and what those show that were merged into it before.
        parts: BTreeMap<Id, Brought>,
        /// Its assignee, when this one had none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        assignee: Option<Inherited>,
    },
    /// A merge into this one, or into one that is a part of it, was taken back.
    Released {
        /// The ticket that was merged.
        ticket: Id,
        /// Those whose tags, followers and links show here no longer.
        parts: BTreeSet<Id>,
    },
    /// Something that was meant for it, while it is a part of another, was taken in there.
    Forwarded {
        /// The command.
        command: String,
        /// The ticket that took it in.
        into: Id,
        /// The message that it brought or was about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message_id: Option<Id>,
        /// The id that the message has where it came from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        external_id: Option<String>,
    },
}

/// Where a ticket stands in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// There is no such ticket.
    #[default]
    Missing,
    /// Being worked on.
    Open,
    /// Solved; the requester may still answer.
    Resolved,
    /// Over.
    Closed,
    /// A part of another ticket.
    Merged,
}

/// How far a reply has come; it only moves on. A mail that was accepted may come back, and one that was taken back may have
/// left all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Delivery {
    Queued,
    Sent,
    Failed,
    Uncertain,
    Cancelled,
}

/// A ticket, as far as decisions need it.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    /// Where it stands.
    pub status: Status,
    opened: Option<Box<Opened>>,
    /// The stage to go back to when it is open again: the last one that meant so.
    last_open_stage: Option<String>,
    assignee: Option<Id>,
    product: Option<(Id, Id)>,
    snoozed_until: Option<Time>,
    #[serde(deserialize_with = "sorted::set")]
    messages: BTreeSet<Id>,
    /// Digests of what they say: an id that comes again with other words is no repetition.
    said: Said,
    /// Which colleague wrote those that a colleague wrote.
    #[serde(deserialize_with = "sorted::map")]
    authors: BTreeMap<Id, Id>,
    /// Those of them that a split moved away: they are still redacted here, where they were written.
    moved: BTreeSet<Id>,
    redacted: BTreeSet<Id>,
    /// The files of those that have some and are not redacted.
    files: BTreeMap<Id, BTreeSet<Id>>,
    #[serde(deserialize_with = "sorted::set")]
    external: BTreeSet<String>,
    #[serde(deserialize_with = "sorted::map")]
    replies: BTreeMap<Id, Delivery>,
    followers: BTreeSet<Id>,
    /// The contacts who take part besides the requester.
    participants: BTreeSet<Id>,
    links: BTreeSet<(Id, LinkKind)>,
    before_merge: Status,
    merged_into: Option<Id>,
    /// What shows here of the tickets that were merged into it, or into those.
    brought: BTreeMap<Id, Brought>,
    /// The assignee that one of them brought along.
    inherited: Option<Inherited>,
    /// Messages that came while it was merged, and are where it went.
    forwarded: BTreeSet<Id>,
    rating: Option<(u8, Option<Personal<String>>)>,
}

/// A ticket as rules see it.
#[derive(Serialize, JsonSchema)]
struct Document {
    #[serde(flatten)]
    opened: Opened,
    status: Status,
    assignee: Option<Id>,
    entitlement: Option<Id>,
    product: Option<Id>,
}

impl Event {
    /// The stage that a ticket moved to with this, and what it means, where that was recorded.
    pub fn stage(&self) -> Option<(&str, Option<Means>)> {
        match self {
            Event::StageChanged { to, means, .. } => Some((to, *means)),
            Event::Snoozed { stage, .. }
            | Event::Woken { stage }
            | Event::Resolved { stage, .. }
            | Event::Closed { stage }
            | Event::Reopened { stage, .. } => stage.as_ref().map(|moved| (moved.to.as_str(), Some(moved.means))),
            _ => None,
        }
    }
}

impl Ticket {
    /// Its attributes as they stand, once it is open.
    pub fn opened(&self) -> Option<&Opened> {
        self.opened.as_deref()
    }

    /// Its tags, and those of the tickets merged into it.
    fn tags(&self, opened: &Opened) -> BTreeSet<String> {
        opened.tags.iter().chain(self.brought.values().flat_map(|brought| &brought.tags)).cloned().collect()
    }

    /// Whether a reply waits to leave.
    pub fn is_queued(&self, message: Id) -> bool {
        self.replies.get(&message) == Some(&Delivery::Queued)
    }

    /// Whether this is one of its messages, notes among them.
    pub fn has_message(&self, message: Id) -> bool {
        self.messages.contains(&message)
    }

    /// Whether this is one of its replies.
    pub fn has_reply(&self, message: Id) -> bool {
        self.replies.contains_key(&message)
    }

    /// The contacts who take part besides the requester, and those who did in tickets that were merged into it.
    pub fn participants(&self) -> BTreeSet<Id> {
        let brought = self.brought.values().flat_map(|brought| &brought.participants);
        let requester = self.opened.as_ref().and_then(|opened| opened.requester).map(|party| party.id);
        self.participants.iter().chain(brought).copied().filter(|id| Some(*id) != requester).collect()
    }

    /// The colleagues whom it concerns what is said in it: whoever it is assigned to, and all who follow it or what was merged into
    /// it.
    pub fn concerned(&self) -> BTreeSet<Id> {
        let brought = self.brought.values().flat_map(|brought| &brought.followers);
        self.followers.iter().chain(brought).copied().chain(self.assignee).collect()
    }

    /// The entitlement by which its product is owned.
    pub fn entitlement(&self) -> Option<Id> {
        self.product.map(|(entitlement, _)| entitlement)
    }
}

const UNKNOWN: Rejection = Rejection::missing("ticket_unknown", "There is no such ticket.");
const EXISTS: Rejection = Rejection::conflict("ticket_exists", "A ticket with this id exists already.");
const CLOSED: Rejection = Rejection::conflict("ticket_closed", "The ticket is closed; reopen it first.");
const MERGED: Rejection = Rejection::conflict("ticket_merged", "The ticket is a part of another one; use that one.");
const TITLE_INVALID: Rejection = Rejection::invalid("title_invalid", "A title has 1 to 500 characters.");
/// A message that says nothing.
pub(crate) const BODY_EMPTY: Rejection =
    Rejection::invalid("body_empty", "A message without text needs an attachment.");
const STAGE_UNKNOWN: Rejection = Rejection::invalid("stage_unknown", "The ticket's team has no such stage.");
const CHANNEL_INVALID: Rejection =
    Rejection::invalid("channel_invalid", "A channel is one of those in the setting media, such as email.");
const REQUESTER_UNKNOWN: Rejection = Rejection::invalid("requester_unknown", "There is no such contact or user.");
const REQUESTER_INVALID: Rejection =
    Rejection::invalid("requester_invalid", "A contact or a user asks, not a company.");
const ASSIGNEE_UNKNOWN: Rejection = Rejection::invalid("assignee_unknown", "There is no such active user.");
const FOLLOWER_UNKNOWN: Rejection = Rejection::invalid("follower_unknown", "There is no such active user.");
const PARTICIPANT_UNKNOWN: Rejection = Rejection::invalid("participant_unknown", "There is no such contact.");
const PARTICIPANTS_FULL: Rejection =
    Rejection::conflict("ticket_participants_full", "At most 50 contacts take part in a ticket.");
const REPLY_GONE: Rejection =
    Rejection::conflict("ticket_reply_gone", "The reply has left, or it is not known whether it has.");
/// A team that is not there.
pub(crate) const TEAM_UNKNOWN: Rejection =
    Rejection::invalid("team_unfit", "There is no such team, or it is archived.");
const PRODUCT_NOT_OWNED: Rejection = Rejection::conflict(
    "product_not_owned",
    "Neither the requester nor the requester's company owns this product, or no longer.",
);
const MESSAGE_UNKNOWN: Rejection = Rejection::invalid("message_unknown", "The ticket has no such message.");
const MESSAGE_EXISTS: Rejection =
    Rejection::conflict("message_exists", "The ticket has another message with this id already.");
const UNTIL_PAST: Rejection = Rejection::invalid("until_past", "A ticket is snoozed until a time in the future.");
const OTHER_UNKNOWN: Rejection = Rejection::invalid("other_ticket_unknown", "There is no such other ticket.");
const SAME_TICKET: Rejection = Rejection::invalid("same_ticket", "A ticket cannot be joined with itself.");
const LINK_INVALID: Rejection =
    Rejection::invalid("link_invalid", "Links of this kind come from merging and splitting.");
/// A rating out of range.
pub(crate) const SCORE_INVALID: Rejection = Rejection::invalid("score_invalid", "A score is 1 (bad) to 5 (good).");

fn open(new: New, ctx: &Ctx<'_>) -> Decision<Event> {
    let mut faults = Faults::default();
    faults.check(check_title(&new.title));
    let team = new.team.map(|team| faults.check(team_of(team, ctx)));
    let stage = match (&team, new.stage) {
        // Which stages there are the team would say.
        (Some(None), _) => None,
        (team, stage) => faults.check(first_stage(stage, team.iter().flatten().next().map(AsRef::as_ref))),
    };
    faults.check(check_requester(new.requester, ctx));
    faults.check(custom::check_new(Ticket::KIND, &new.custom, ctx));
    faults.check(all(new.tags.iter().map(|tag| check_tag(tag, "/tags"))));
    let channel = new.channel.unwrap_or_else(|| "api".into());
    let media = ctx.fact::<Tenant>(ctx.tenant).media();
    faults.check(settings::check_name(&media, &channel, CHANNEL_INVALID, "/channel"));
    let product = new.entitlement.and_then(|id| faults.check(product_of(id, new.requester, ctx)));
    faults.done()?;
    let assigned =
        new.assignee.map(|to| Event::Assigned { from: None, to, method: AssignMethod::Manual, rule_run: None });

    let opened = Event::Opened(Opened {
        number: 0,
        title: new.title,
        description: new.description,
        requester: new.requester,
        company: new.company.or_else(|| companies_of(new.requester, ctx).first().copied()),
        team: new.team,
        channel,
        origin: new.origin,
        priority: new.priority,
        stage_means: stage.as_ref().map(|stage| stage.means),
        stage: stage.as_ref().map(|stage| stage.name.clone()).unwrap_or_default(),
        category: new.category,
        tags: new.tags,
        custom: new.custom.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        split_from: None,
    });
    let selected =
        new.entitlement.zip(product).map(|(entitlement, product)| Event::ProductSelected { entitlement, product });
    let over = stage.and_then(|stage| match stage.means {
        Means::Resolved => Some(Event::Resolved { outcome: None, stage: None }),
        Means::Closed => Some(Event::Closed { stage: None }),
        Means::Open | Means::Waiting => None,
    });
    Ok([Some(opened), selected, assigned, over].into_iter().flatten().collect())
}

fn check_title(title: &str) -> Result<(), Rejection> {
    let length = title.chars().count();
    if title.trim().is_empty() || length > 500 { Err(TITLE_INVALID.at("/title")) } else { Ok(()) }
}

fn team_of(id: Id, ctx: &Ctx<'_>) -> Result<std::sync::Arc<Team>, Rejection> {
    let team = ctx.fact::<Team>(id);
    if team.is_live() { Ok(team) } else { Err(TEAM_UNKNOWN.at("/team")) }
}

fn stages_of(team: Option<&Team>) -> Vec<Stage> {
    match team {
        Some(team) if !team.stages.is_empty() => team.stages.clone(),
        _ => stage::usual(),
    }
}

/// The stage of this name.
fn stage_of(name: &str, stages: &[Stage]) -> Result<Stage, Rejection> {
    let found = stages.iter().find(|stage| stage.name == name).cloned();
    found.ok_or_else(|| STAGE_UNKNOWN.because(format!("{name} is not one of {}.", stage::names(stages))).at("/stage"))
}

/// The stage that a new ticket starts at: the one asked for, or the first that means open.
fn first_stage(asked: Option<String>, team: Option<&Team>) -> Result<Stage, Rejection> {
    let mut stages = stages_of(team);
    match asked {
        Some(stage) => stage_of(&stage, &stages),
        None => {
            let open = stages.iter().position(|stage| stage.means == Means::Open);
            Ok(stages.swap_remove(open.unwrap_or_default()))
        }
    }
}

fn check_requester(requester: Option<Party>, ctx: &Ctx<'_>) -> Result<(), Rejection> {
    let known = match requester {
        None => true,
        Some(Party { kind: PartyKind::Contact, id }) => ctx.fact::<Contact>(id).is_live(),
        Some(Party { kind: PartyKind::User, id }) => ctx.fact::<User>(id).is_active(),
        Some(Party { kind: PartyKind::Company, .. }) => return Err(REQUESTER_INVALID.at("/requester/kind")),
    };
    if known { Ok(()) } else { Err(REQUESTER_UNKNOWN.at("/requester/id")) }
}

/// The companies that a contact belongs to; those that go on for merged ones.
fn companies_of(requester: Option<Party>, ctx: &Ctx<'_>) -> Vec<Id> {
    match requester {
        Some(Party { kind: PartyKind::Contact, id }) => {
            let contact = ctx.fact::<Contact>(merging::survivor::<Contact>(id, ctx));
            let mut companies: Vec<_> =
                contact.companies().into_iter().map(|company| merging::survivor::<Company>(company, ctx)).collect();
            let mut seen = BTreeSet::new();
            companies.retain(|company| seen.insert(*company));
            companies
        }
        _ => Vec::new(),
    }
}

/// What must be known of a requester, merged or not, and of the companies it belongs to.
fn requester_needs(requester: Option<Party>, ctx: &Ctx<'_>) -> Vec<Need> {
    match requester {
        Some(Party { kind: PartyKind::Contact, id }) => {
            let mut needs = merging::needs::<Contact>(id, ctx);
            let last = merging::survivor::<Contact>(id, ctx);
            if ctx.facts.has(Contact::KIND, last) {
                let companies = ctx.fact::<Contact>(last).companies();
                needs.extend(companies.into_iter().flat_map(|company| merging::needs::<Company>(company, ctx)));
            }
            needs
        }
        Some(Party { kind: PartyKind::User, id }) => vec![Need::of::<User>(id)],
        Some(Party { kind: PartyKind::Company, .. }) | None => Vec::new(),
    }
}

/// What must be known to say whether a requester owns a product: nobody may lose it meanwhile.
fn ownership_needs(entitlement: Id, requester: Option<Party>, ctx: &Ctx<'_>) -> Vec<Need> {
    let mut needs = vec![Need::guarded::<Entitlement>(entitlement)];
    needs.extend(requester_needs(requester, ctx).into_iter().map(|need| Need { guarded: true, ..need }));
    if ctx.facts.has(Entitlement::KIND, entitlement) {
        match ctx.fact::<Entitlement>(entitlement).holder {
            Some(Party { kind: PartyKind::Contact, id }) => needs.extend(merging::needs::<Contact>(id, ctx)),
            Some(Party { kind: PartyKind::Company, id }) => needs.extend(merging::needs::<Company>(id, ctx)),
            _ => {}
        }
    }
    needs
}

/// The product behind an entitlement that the requester, or one of the requester's companies, holds now: whatever any of
/// them owned before it was merged into another, the other owns.
fn product_of(entitlement: Id, requester: Option<Party>, ctx: &Ctx<'_>) -> Result<Id, Rejection> {
    let owned = ctx.fact::<Entitlement>(entitlement);
    let holder = owned.holder.filter(|_| owned.is_active_at(ctx.now));
    let holds = match (holder, requester) {
        (Some(Party { kind: PartyKind::Contact, id }), Some(Party { kind: PartyKind::Contact, id: requester })) => {
            merging::survivor::<Contact>(id, ctx) == merging::survivor::<Contact>(requester, ctx)
        }
        (Some(Party { kind: PartyKind::Company, id }), _) => {
            companies_of(requester, ctx).contains(&merging::survivor::<Company>(id, ctx))
        }
        (Some(holder), Some(requester)) => holder == requester,
        _ => false,
    };
    owned.product.filter(|_| holds).ok_or_else(|| PRODUCT_NOT_OWNED.at("/entitlement"))
}

/// Refuses a message that says nothing.
pub(crate) fn check_body(body: &str, attachments: &[Attachment]) -> Result<(), Rejection> {
    if body.trim().is_empty() && attachments.is_empty() { Err(BODY_EMPTY.at("/body")) } else { Ok(()) }
}

/// The ticket that takes messages of `opened` over: same requester, same place, its own number.
fn split_off(opened: &Opened, title: Personal<String>, from: Id, stage: Stage) -> Opened {
    let (stage, stage_means) = (stage.name, Some(stage.means));
    Opened { number: 0, title, description: None, stage, stage_means, split_from: Some(from), ..opened.clone() }
}

/// The most contacts who take part besides the requester.
const MOST_PARTICIPANTS: usize = 50;
/// What somebody wrote to the ticket: the fields of the command.
struct Received {
    message_id: Option<Id>,
    external_id: Option<String>,
    from: Option<Party>,
    body: Personal<String>,
    attachments: Vec<Attachment>,
    email: Option<Id>,
}

/// Channels without a transport of their own: a reply is sent as soon as it is in the thread.
const DIRECT: &[&str] = &["api", "import", "phone"];

impl Ticket {
    /// The files of these messages.
    fn files_of<'a>(&self, messages: impl IntoIterator<Item = &'a Id>) -> BTreeSet<Id> {
        messages.into_iter().filter_map(|message| self.files.get(message)).flatten().copied().collect()
    }

    fn keep(&mut self, message: Id, attachments: &[Attachment]) {
        if !attachments.is_empty() {
            self.files.insert(message, uploads(attachments).collect());
        }
    }

    /// Until when it is put aside, if it is.
    pub fn snoozed_until(&self) -> Option<Time> {
        self.snoozed_until
    }
}

impl Aggregate for Ticket {
    const KIND: &'static str = "ticket";
    const PLURAL: &'static str = "tickets";
    const CREATE: &'static str = "open";
    const OWN: &'static [&'static str] = &["redact_message"];
    const ATTRIBUTED: bool = true;
    const CUSTOM: bool = true;
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        use Command::*;
        let opened = match (&self.opened, command) {
            (None, Open(new)) => return open(new, ctx),
            (Some(opened), Open(new)) if opened.title == new.title && opened.requester == new.requester => {
                return Ok(vec![]); // Asked twice: it is open.
            }
            (Some(_), Open(_)) => return Err(EXISTS),
            (None, _) => return Err(UNKNOWN),
            (Some(opened), command) => {
                self.check_status(&command, ctx)?;
                (opened, command)
            }
        };
        let (opened, command) = opened;
        match command {
            Open(_) => Err(EXISTS),
            Edit(edit) => self.edit(opened, edit, ctx),
            ChangeTitle { title } => {
                self.edit(opened, self::Edit { title: Some(Some(title)), ..Default::default() }, ctx)
            }
            ChangeDescription { description } => {
                self.edit(opened, self::Edit { description: Some(Some(description)), ..Default::default() }, ctx)
            }
            ChangePriority { priority } => {
                self.edit(opened, self::Edit { priority: Some(Some(priority)), ..Default::default() }, ctx)
            }
            MoveStage { stage } => {
                self.edit(opened, self::Edit { stage: Some(Some(stage)), ..Default::default() }, ctx)
            }
            SetCustom { custom } => {
                self.edit(opened, self::Edit { custom: Some(Some(custom)), ..Default::default() }, ctx)
            }
            SetCategory { category } if category == opened.category => Ok(vec![]),
            SetCategory { category } => Ok(vec![Event::CategorySet { from: opened.category.clone(), to: category }]),
            ChangeRequester { requester } => self.change_requester(opened, requester, ctx),
            SelectProduct { entitlement } if self.product.is_some_and(|(current, _)| current == entitlement) => {
                Ok(vec![])
            }
            SelectProduct { entitlement } => {
                let product = product_of(entitlement, opened.requester, ctx)?;
                Ok(vec![Event::ProductSelected { entitlement, product }])
            }
            ClearProduct => Ok(self.product.map(|_| Event::ProductCleared).into_iter().collect()),
            Tag { tag } if text::find(&opened.tags, &tag).is_some() => Ok(vec![]),
            Tag { tag } => {
                check_tag(&tag, "/tag")?;
                Ok(vec![Event::Tagged { tag }])
            }
            Untag { tag } => {
                let known = text::find(&self.tags(opened), &tag).cloned();
                Ok(known.map(|tag| Event::Untagged { tag }).into_iter().collect())
            }
            // Who chooses the one that a merge brought along keeps it when the merge is taken back.
            Assign { assignee, .. } if self.assignee == Some(assignee) && self.inherited.is_none() => Ok(vec![]),
            Assign { assignee, method, rule_run } => {
                Ok(vec![Event::Assigned { from: self.assignee, to: assignee, method, rule_run }])
            }
            Unassign => Ok(self.assignee.map(|from| Event::Unassigned { from }).into_iter().collect()),
            ChangeTeam { team } => self.change_team(opened, team, ctx),
            ReceiveMessage { message_id, external_id, from, body, attachments, email } => {
                let said = Received { message_id, external_id, from, body, attachments, email };
                self.receive(opened, said, ctx)
            }
            Reply { message_id, body, attachments, send_at } => {
                self.reply(opened, message_id, (body, attachments, send_at), ctx)
            }
            CancelReply { message_id } => match self.replies.get(&message_id) {
                None => Err(MESSAGE_UNKNOWN.at("/message_id")),
                Some(Delivery::Queued | Delivery::Failed) => Ok(vec![Event::ReplyCancelled { message_id }]),
                Some(Delivery::Cancelled) => Ok(vec![]),
                Some(Delivery::Sent | Delivery::Uncertain) => Err(REPLY_GONE.at("/message_id")),
            },
            MarkReplySent { message_id, external_id } => {
                Ok(match self.replies.get(&message_id).ok_or(MESSAGE_UNKNOWN.at("/message_id"))? {
                    Delivery::Queued | Delivery::Uncertain | Delivery::Cancelled => {
                        vec![Event::ReplySent { message_id, external_id }]
                    }
                    Delivery::Sent | Delivery::Failed => vec![],
                })
            }
            MarkReplyFailed { message_id, error } => {
                Ok(match self.replies.get(&message_id).ok_or(MESSAGE_UNKNOWN.at("/message_id"))? {
                    Delivery::Queued | Delivery::Sent | Delivery::Uncertain => {
                        vec![Event::ReplyFailed { message_id, error }]
                    }
                    Delivery::Failed | Delivery::Cancelled => vec![],
                })
            }
            MarkReplyUncertain { message_id, reason } => {
                Ok(match self.replies.get(&message_id).ok_or(MESSAGE_UNKNOWN.at("/message_id"))? {
                    Delivery::Queued => vec![Event::ReplyUncertain { message_id, reason }],
                    _ => vec![],
                })
            }
            AddNote { message_id, body, attachments } => {
                check_body(&body, &attachments)?;
                let message_id = message_id.unwrap_or_else(|| ctx.fresh("message"));
                self.said.must_repeat(message_id, &body, MESSAGE_EXISTS)?;
                let known = self.messages.contains(&message_id);
                Ok(if known {
                    vec![]
                } else {
                    vec![Event::NoteAdded { message_id, body, attachments, via_ticket: None }]
                })
            }
            RedactMessage { message_id, reason } if self.messages.contains(&message_id) => {
                // What a customer wrote is nobody's own; what a colleague wrote is the colleague's.
                if let Some(author) = self.authors.get(&message_id) {
                    ctx.must_own(Some(*author), "ticket.redact_message")?;
                }
                let done = self.redacted.contains(&message_id);
                Ok(if done { vec![] } else { vec![Event::MessageRedacted { message_id, reason }] })
            }
            RedactMessage { .. } => Err(MESSAGE_UNKNOWN.at("/message_id")),
            Follow { user } => {
                let user = user.unwrap_or_else(|| ctx.actor.principal());
                if self.followers.contains(&user) {
                    return Ok(vec![]);
                }
                if !ctx.fact::<User>(user).is_active() {
                    return Err(FOLLOWER_UNKNOWN.at("/user"));
                }
                Ok(vec![Event::FollowerAdded { user }])
            }
            Unfollow { user } => {
                let user = user.unwrap_or_else(|| ctx.actor.principal());
                let brought = self.brought.values().any(|brought| brought.followers.contains(&user));
                let follows = brought || self.followers.contains(&user);
                Ok(if follows { vec![Event::FollowerRemoved { user }] } else { vec![] })
            }
            AddParticipant { contact } => {
                let contact = merging::survivor::<Contact>(contact, ctx);
                let is_requester = opened.requester.is_some_and(|party| party.id == contact);
                let known = self.participants();
                if is_requester || known.contains(&contact) {
                    return Ok(vec![]);
                }
                if !ctx.fact::<Contact>(contact).is_live() {
                    return Err(PARTICIPANT_UNKNOWN.at("/contact"));
                }
                if known.len() >= MOST_PARTICIPANTS {
                    return Err(PARTICIPANTS_FULL.at("/contact"));
                }
                Ok(vec![Event::ParticipantAdded { contact }])
            }
            RemoveParticipant { contact } => {
                let known = self.participants().contains(&contact);
                Ok(if known { vec![Event::ParticipantRemoved { contact }] } else { vec![] })
            }
            Snooze { until } if self.snoozed_until == Some(until) => Ok(vec![]),
            Snooze { until } if until <= ctx.now => Err(UNTIL_PAST.at("/until")),
            Snooze { until } => {
                let stage = self.stage_for(opened, Means::Waiting, ctx);
                Ok(vec![Event::Snoozed { until, stage }])
            }
            Wake if self.snoozed_until.is_none() => Ok(vec![]),
            Wake => {
                let waits = self.means(opened, ctx) == Means::Waiting;
                let stage = if waits { self.stage_for(opened, Means::Open, ctx) } else { None };
                Ok(vec![Event::Woken { stage }])
            }
            Resolve { .. } if self.status == Status::Resolved => Ok(vec![]),
            Resolve { outcome } => {
                let stage = self.stage_for(opened, Means::Resolved, ctx);
                Ok(vec![Event::Resolved { outcome, stage }])
            }
            Close if self.status == Status::Closed => Ok(vec![]),
            Close => Ok(vec![Event::Closed { stage: self.stage_for(opened, Means::Closed, ctx) }]),
            Reopen if self.status == Status::Open => Ok(vec![]),
            Reopen => {
                let stage = self.stage_for(opened, Means::Open, ctx);
                Ok(vec![Event::Reopened { cause: ReopenCause::Request, stage }])
            }
            Merge { into } => self.merge(into, ctx),
            Unmerge => Ok(self.merged_into.map(|from| Event::Unmerged { from }).into_iter().collect()),
            Split { messages, title, new_ticket } => self.split(opened, messages, title, new_ticket, ctx),
            Link { ticket, kind } => self.link(ticket, kind, ctx),
            Unlink { ticket, kind } => self.unlink(ticket, kind, ctx),
            Rate { score, .. } if !(1..=5).contains(&score) => Err(SCORE_INVALID.at("/score")),
            Rate { score, text } if self.rating == Some((score, text.clone())) => Ok(vec![]),
            Rate { score, text } => Ok(vec![Event::Rated { score, text, via_ticket: None }]),
        }
    }

    fn is_live(&self) -> bool {
        self.opened.is_some() && self.status != Status::Merged
    }

    fn custom(&self) -> Option<&Custom> {
        self.opened.as_ref().map(|opened| &opened.custom)
    }

    fn merged_into(&self) -> Option<Id> {
        self.merged_into
    }

    fn passes_on(&self, command: &Command) -> Option<Command> {
        use Command::*;
        let passes = match command {
            ReceiveMessage { message_id, external_id, .. } => !self.has_taken(*message_id, external_id.as_deref()),
            Reply { message_id, .. } | AddNote { message_id, .. } => !self.has_taken(*message_id, None),
            MarkReplySent { message_id, .. }
            | MarkReplyFailed { message_id, .. }
            | MarkReplyUncertain { message_id, .. }
            | CancelReply { message_id }
            | RedactMessage { message_id, .. } => self.forwarded.contains(message_id),
            Rate { .. } => true,
            _ => false,
        };
        let mut command = passes.then(|| command.clone())?;
        // Who wrote is who asked here, whoever asks there.
        if let ReceiveMessage { from, .. } = &mut command {
            *from = from.or(self.opened.as_ref().and_then(|opened| opened.requester));
        }
        Some(command)
    }

    fn passed_on(&self, command: &Command, into: Id, ctx: &Ctx<'_>) -> Option<Event> {
        use Command::*;
        let id = |message_id: &Option<Id>| Some(message_id.unwrap_or_else(|| ctx.fresh("message")));
        let (command, message_id, external_id) = match command {
            ReceiveMessage { message_id, external_id, .. } => ("receive_message", id(message_id), external_id.clone()),
            Reply { message_id, .. } => ("reply", id(message_id), None),
            AddNote { message_id, .. } => ("add_note", id(message_id), None),
            MarkReplySent { message_id, .. } => ("mark_reply_sent", Some(*message_id), None),
            MarkReplyFailed { message_id, .. } => ("mark_reply_failed", Some(*message_id), None),
            MarkReplyUncertain { message_id, .. } => ("mark_reply_uncertain", Some(*message_id), None),
            CancelReply { message_id } => ("cancel_reply", Some(*message_id), None),
            RedactMessage { message_id, .. } => ("redact_message", Some(*message_id), None),
            Rate { .. } => ("rate", None, None),
            _ => return None,
        };
        Some(Event::Forwarded { command: command.to_owned(), into, message_id, external_id })
    }

    fn came_via(mut event: Event, from: Id) -> Event {
        match &mut event {
            Event::MessageReceived { via_ticket, .. }
            | Event::ReplyQueued { via_ticket, .. }
            | Event::NoteAdded { via_ticket, .. }
            | Event::Rated { via_ticket, .. } => *via_ticket = Some(from),
            _ => {}
        }
        event
    }

    fn document(&self) -> Option<Value> {
        let mut opened = (**self.opened.as_ref()?).clone();
        opened.tags = self.tags(&opened);
        let (entitlement, product) = self.product.unzip();
        let (status, assignee) = (self.status, self.assignee);
        serde_json::to_value(Document { opened, status, assignee, entitlement, product }).ok()
    }

    fn document_schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(Document::json_schema(generator))
    }

    fn attribute(&mut self, event: &Event, actor: &Actor) {
        if let Event::ReplyQueued { message_id, .. } | Event::NoteAdded { message_id, .. } = event {
            self.authors.insert(*message_id, actor.principal());
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        match event {
            Event::Opened(opened) => {
                vec![Relation::Team(opened.team), Relation::Requester(opened.requester.map(|party| party.id))]
            }
            Event::Assigned { to, .. } => vec![Relation::Assignee(Some(*to))],
            Event::Unassigned { .. } => vec![Relation::Assignee(None)],
            Event::TeamChanged { to, .. } => vec![Relation::Team(*to)],
            Event::RequesterChanged { to, .. } => vec![Relation::Requester(to.map(|party| party.id))],
            Event::Absorbed { assignee: Some(inherited), .. } => vec![Relation::Assignee(Some(inherited.user))],
            // Whoever sees the one that goes on sees what it was made of.
            Event::Merged { into } => vec![Relation::About("merged_into", vec![Subject::new("ticket", *into)])],
            Event::Unmerged { .. } => vec![Relation::About("merged_into", Vec::new())],
            _ => Vec::new(),
        }
    }

    fn forgetful(self) -> Self {
        Ticket { last_open_stage: None, before_merge: Status::Missing, ..self }
    }

    fn undo(&self, event: &Event) -> Option<Vec<Command>> {
        self.taken_back(event)
    }

    fn evolve(&mut self, event: &Event) {
        use Event::*;
        if let Opened(opened) = event {
            self.status = Status::Open;
            self.opened = Some(Box::new(opened.clone()));
        }
        let Some(opened) = &mut self.opened else { return };
        if let Some((to, means)) = event.stage() {
            let (from, from_means) = (std::mem::replace(&mut opened.stage, to.to_owned()), opened.stage_means);
            if from_means.unwrap_or_else(|| Means::usual(&from)) == Means::Open {
                self.last_open_stage = Some(from);
            }
            opened.stage_means = means;
        }
        match event {
            Opened(_) => {}
            TitleChanged { to, .. } => opened.title.clone_from(to),
            DescriptionChanged { to, .. } => opened.description = Some(to.clone()),
            DescriptionCleared { .. } => opened.description = None,
            PriorityChanged { to, .. } => opened.priority = *to,
            StageChanged { .. } => {}
            CategorySet { to, .. } => opened.category.clone_from(to),
            RequesterChanged { to, company, .. } => {
                opened.requester = *to;
                opened.company = *company;
            }
            ProductSelected { entitlement, product } => self.product = Some((*entitlement, *product)),
            ProductCleared => self.product = None,
            Tagged { tag } => drop(opened.tags.insert(tag.clone())),
            Untagged { tag } => {
                opened.tags.remove(tag);
                for brought in self.brought.values_mut() {
                    brought.tags.remove(tag);
                }
            }
            CustomChanged { changes } => custom::apply(&mut opened.custom, changes),
            Assigned { to, .. } => {
                self.assignee = Some(*to);
                self.inherited = None;
            }
            Unassigned { .. } => {
                self.assignee = None;
                self.inherited = None;
            }
            TeamChanged { to, .. } => opened.team = *to,
            MessageReceived { message_id, external_id, body, attachments, .. } => {
                self.messages.insert(*message_id);
                self.keep(*message_id, attachments);
                self.said.take(*message_id, body);
                self.external.extend(external_id.clone());
            }
            ReplyQueued { message_id, body, attachments, .. } => {
                self.messages.insert(*message_id);
                self.keep(*message_id, attachments);
                self.said.take(*message_id, body);
                self.replies.insert(*message_id, Delivery::Queued);
            }
            ReplySent { message_id, .. } => drop(self.replies.insert(*message_id, Delivery::Sent)),
            ReplyFailed { message_id, .. } => drop(self.replies.insert(*message_id, Delivery::Failed)),
            ReplyUncertain { message_id, .. } => drop(self.replies.insert(*message_id, Delivery::Uncertain)),
            ReplyCancelled { message_id } => drop(self.replies.insert(*message_id, Delivery::Cancelled)),
            ParticipantAdded { contact } => drop(self.participants.insert(*contact)),
            ParticipantRemoved { contact } => {
                self.participants.remove(contact);
                for brought in self.brought.values_mut() {
                    brought.participants.remove(contact);
                }
            }
            NoteAdded { message_id, body, attachments, .. } => {
                self.messages.insert(*message_id);
                self.keep(*message_id, attachments);
                self.said.take(*message_id, body);
            }
            MessageRedacted { message_id, .. } => {
                self.redacted.insert(*message_id);
                self.files.remove(message_id);
            }
            FollowerAdded { user } => drop(self.followers.insert(*user)),
            FollowerRemoved { user } => {
                self.followers.remove(user);
                for brought in self.brought.values_mut() {
                    brought.followers.remove(user);
                }
            }
            Snoozed { until, .. } => self.snoozed_until = Some(*until),
            Woken { .. } => self.snoozed_until = None,
            Resolved { .. } => {
                self.status = Status::Resolved;
                self.snoozed_until = None;
            }
            Closed { .. } => {
                self.status = Status::Closed;
                self.snoozed_until = None;
            }
            Reopened { .. } => self.status = Status::Open,
            Merged { into } => {
                self.before_merge = std::mem::replace(&mut self.status, Status::Merged);
                self.merged_into = Some(*into);
            }
            Unmerged { .. } => {
                self.status = self.before_merge;
                self.merged_into = None;
            }
            Split { messages, .. } => self.moved.extend(messages),
            Linked { ticket, kind } => drop(self.links.insert((*ticket, *kind))),
            Unlinked { ticket, kind } => {
                self.links.remove(&(*ticket, *kind));
                let link = Link { ticket: *ticket, kind: *kind };
                for brought in self.brought.values_mut() {
                    brought.links.remove(&link);
                }
            }
            Rated { score, text, .. } => self.rating = Some((*score, text.clone())),
            Absorbed { parts, assignee, .. } => {
                self.brought.extend(parts.clone());
                self.inherited = assignee.or(self.inherited);
            }
            Released { parts, .. } => self.brought.retain(|ticket, _| !parts.contains(ticket)),
            Forwarded { message_id, external_id, .. } => {
                self.forwarded.extend(*message_id);
                self.external.extend(external_id.clone());
            }
        }
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        use Command::*;
        let requester = self.opened.as_ref().and_then(|opened| opened.requester);
        let team = self.opened.as_ref().and_then(|opened| opened.team);
        let fields = || custom::needs(Self::KIND, ctx);
        let unguarded = |needs: Vec<Need>| needs.into_iter().map(|need| Need { guarded: false, ..need });
        // Which ticket goes on for this one.
        let merged = self.merged_into.into_iter().flat_map(|into| merging::needs::<Ticket>(into, ctx));
        let mut needs: Vec<Need> = merged.collect();
        match command {
            Open(new) => {
                needs.push(fields());
                needs.push(Need::of::<Tenant>(ctx.tenant));
                needs.extend(new.team.map(Need::of::<Team>));
                match new.entitlement {
                    Some(entitlement) => needs.extend(ownership_needs(entitlement, new.requester, ctx)),
                    None => needs.extend(unguarded(requester_needs(new.requester, ctx))),
                }
            }
            SetCustom { .. } => needs.push(fields()),
            Edit(edit) => {
                needs.extend(edit.custom.is_some().then(fields));
                if edit.stage.is_some() {
                    needs.extend(team.map(Need::of::<Team>));
                }
            }
            MoveStage { .. } | ReceiveMessage { .. } | Snooze { .. } | Wake | Resolve { .. } | Close | Reopen => {
                needs.extend(team.map(Need::of::<Team>));
            }
            SelectProduct { entitlement } => needs.extend(ownership_needs(*entitlement, requester, ctx)),
            ChangeRequester { requester } => match self.product {
                Some((entitlement, _)) => needs.extend(unguarded(ownership_needs(entitlement, *requester, ctx))),
                None => needs.extend(unguarded(requester_needs(*requester, ctx))),
            },
            AddParticipant { contact } => needs.extend(merging::needs::<Contact>(*contact, ctx)),
            Follow { user } => needs.push(Need::of::<User>(user.unwrap_or_else(|| ctx.actor.principal()))),
            ChangeTeam { team } => needs.extend(team.map(Need::of::<Team>)),
            Merge { into } => {
                needs.extend(merging::needs::<Ticket>(*into, ctx));
                needs.extend(self.assignee.map(Need::of::<User>));
            }
            RedactMessage { message_id, .. } => needs.extend(files::needs(self.files_of([message_id]))),
            Split { new_ticket, messages, .. } => {
                needs.extend(files::needs(self.files_of(messages)));
                needs.extend(team.map(Need::of::<Team>));
                needs.push(Need::guarded::<Ticket>(new_ticket.unwrap_or_else(|| ctx.fresh("split"))));
            }
            Link { ticket, .. } => needs.extend(merging::needs::<Ticket>(*ticket, ctx)),
            Unlink { ticket, kind } => {
                let tickets = self.linked(*kind).into_iter().chain(self.brought.keys().copied()).chain([*ticket]);
                needs.extend(tickets.flat_map(|ticket| merging::needs::<Ticket>(ticket, ctx)));
            }
            _ => {}
        }
        needs
    }

    fn echoes(&self, event: &Event, ctx: &Ctx<'_>) -> Vec<Echo> {
        let here = ctx.id;
        let echo = |ticket: Id, event: Event| Echo::to::<Ticket>(ticket, &event);
        match event {
            Event::Merged { into } => self.merge_echoes(*into, ctx),
            Event::Unmerged { from } => self.unmerge_echoes(*from, ctx),
            Event::Linked { ticket, kind } => {
                vec![echo(*ticket, Event::Linked { ticket: here, kind: kind.seen_from_the_other() })]
            }
            Event::Unlinked { ticket, kind } => self.unlink_echoes(*ticket, *kind, ctx),
            Event::Split { new_ticket, title, messages } => {
                let to = Subject::new(Self::KIND, *new_ticket);
                let kept = self.files_of(messages).into_iter().filter(|id| ctx.fact::<Upload>(*id).is_kept());
                let carried = kept.map(|id| Echo::to::<Upload>(id, &upload::Event::Carried { to: to.clone() }));
                let new = self.opened.as_ref().map(|opened| {
                    let stage = self.open_stage(opened, ctx);
                    Event::Opened(split_off(opened, title.clone(), here, stage))
                });
                new.map(|new| echo(*new_ticket, new)).into_iter().chain(carried).collect()
            }
            _ => Vec::new(),
        }
    }

    fn files(&self, event: &Event) -> Files {
        match event {
            Event::MessageReceived { attachments, .. }
            | Event::ReplyQueued { attachments, .. }
            | Event::NoteAdded { attachments, .. } => Files::taken(uploads(attachments)),
            Event::MessageRedacted { message_id, .. } => {
                let others = self.files.iter().filter(|(message, _)| *message != message_id);
                let still: BTreeSet<Id> = others.flat_map(|(_, files)| files).copied().collect();
                Files::let_go(self.files_of([message_id]).difference(&still).copied())
            }
            _ => Files::default(),
        }
    }

    fn counter(event: &Event) -> Option<&'static str> {
        matches!(event, Event::Opened(_)).then_some("ticket")
    }

    fn subject(&self, event: &Event, _: &Ctx<'_>) -> Option<Id> {
        let requester = match event {
            Event::Opened(opened) => opened.requester,
            _ => self.opened.as_ref().and_then(|opened| opened.requester),
        };
        requester.map(|party| party.id)
    }

    /// Edits of different attributes do not disturb each other, nor does talk.
    fn merges(command: &Command, since: &[Event]) -> bool {
        let Command::Edit(edit) = command else { return false };
        since.iter().all(|event| match event {
            Event::TitleChanged { .. } => edit.title.is_none(),
            Event::DescriptionChanged { .. } | Event::DescriptionCleared { .. } => edit.description.is_none(),
            Event::PriorityChanged { .. } => edit.priority.is_none(),
            Event::StageChanged { .. } | Event::TeamChanged { .. } => edit.stage.is_none(),
            Event::CategorySet { .. } => edit.category.is_none(),
            Event::CustomChanged { changes } => match &edit.custom {
                None => true,
                Some(None) => false,
                Some(Some(custom)) => changes.keys().all(|key| !custom.contains_key(key)),
            },
            Event::Closed { .. } | Event::Merged { .. } => false,
            _ => true,
        })
    }

    fn refusals() -> Vec<Rejection> {
        vec![
            UNKNOWN,
            EXISTS,
            DENIED,
            CLOSED,
            MERGED,
            TITLE_INVALID,
            BODY_EMPTY,
            STAGE_UNKNOWN,
            CHANNEL_INVALID,
            REQUESTER_UNKNOWN,
            REQUESTER_INVALID,
            ASSIGNEE_UNKNOWN,
            FOLLOWER_UNKNOWN,
            PARTICIPANT_UNKNOWN,
            PARTICIPANTS_FULL,
            REPLY_GONE,
            TEAM_UNKNOWN,
            PRODUCT_NOT_OWNED,
            MESSAGE_UNKNOWN,
            MESSAGE_EXISTS,
            UNTIL_PAST,
            OTHER_UNKNOWN,
            SAME_TICKET,
            LINK_INVALID,
            SCORE_INVALID,
            TAG_INVALID,
            record::FIELD_INVALID,
            REFERENCE_UNFIT,
            custom::UNKNOWN_FIELD,
            custom::RETIRED_FIELD,
            custom::INVALID_VALUE,
            custom::OPTION_RETIRED,
            custom::REQUIRED_FIELD,
            REFERENCE_UNFIT,
        ]
    }

    fn examples() -> Vec<Command> {
        change::examples()
    }
}
