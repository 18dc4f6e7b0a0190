//! Who and why: what every event carries besides its own data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Id, kernel::reference::Redirected};

/// What sort of actor issued a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A colleague.
    User,
    /// A contact who is known.
    Customer,
    /// Somebody not known yet.
    Visitor,
    /// An automation rule.
    Rule,
    /// A chatbot.
    Bot,
    /// Another program, by its API key.
    Integration,
    /// Deskfold itself.
    System,
}

/// Who issued a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Actor {
    /// Its sort.
    pub kind: ActorKind,
    /// The user, contact, rule, chatbot or key.
    pub id: Id,
    /// For whom it was done, when one acts for another: both stay on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<Id>,
}

impl Actor {
    /// Deskfold itself.
    pub const SYSTEM: Actor = Actor { kind: ActorKind::System, id: Id::NIL, on_behalf_of: None };

    /// A colleague acting in person.
    pub const fn user(id: Id) -> Actor {
        Actor { kind: ActorKind::User, id, on_behalf_of: None }
    }

    /// The person in whose name it happens: the one acted for, else the actor.
    pub fn principal(&self) -> Id {
        self.on_behalf_of.unwrap_or(self.id)
    }
}

/// Through which channel a command came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The HTTP API.
    Api,
    /// Deskfold's own pages.
    Ui,
    /// An e-mail.
    Email,
    /// A chat channel.
    Chat,
    /// A web form.
    Form,
    /// An import.
    Import,
    /// An automation rule.
    Rule,
    /// A timer that fell due.
    Timer,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none(depth: &u32) -> bool {
    *depth == 0
}

/// The part of an event's envelope that is stored as its metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Metadata {
    /// Who.
    pub actor: Actor,
    /// Through which channel.
    pub via: Via,
    /// The command that wrote this event, a UUID.
    pub command_id: String,
    /// The event or command that caused the command, a UUID; absent when a person started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// The position of that event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_position: Option<i64>,
    /// How many rules lie between it and what a person or another program did; absent for none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub depth: u32,
    /// What all events of one story share, a UUID.
    pub correlation_id: String,
    /// Whose personal data the event holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Id>,
    /// On the first event of a command that named merged records: which ones were taken for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirected: Vec<Redirected>,
}
