//! Who wrote something, as rows of read models say it.

use domain::{Id, Metadata, kernel::envelope::ActorKind};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What sort of author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthorKind {
    /// A contact.
    Contact,
    /// A company, by one of its people.
    Company,
    /// A colleague.
    User,
    /// Somebody not known.
    Visitor,
    /// An automation rule.
    Rule,
    /// A chatbot.
    Chatbot,
    /// Another program.
    Integration,
    /// Deskfold itself.
    System,
}

/// Who wrote what an event tells: whoever was acted for, else whoever acted.
pub(crate) fn author(event: &Recorded) -> (Option<AuthorKind>, Option<Id>) {
    let Ok(Metadata { actor, .. }) = serde_json::from_slice::<Metadata>(&event.metadata) else { return (None, None) };
    if let Some(user) = actor.on_behalf_of {
        return (Some(AuthorKind::User), Some(user));
    }
    let kind = match actor.kind {
        ActorKind::User => AuthorKind::User,
        ActorKind::Customer => AuthorKind::Contact,
        ActorKind::Visitor => AuthorKind::Visitor,
        ActorKind::Rule => AuthorKind::Rule,
        ActorKind::Bot => AuthorKind::Chatbot,
        ActorKind::Integration => AuthorKind::Integration,
        ActorKind::System => AuthorKind::System,
    };
    (Some(kind), Some(actor.id))
}
