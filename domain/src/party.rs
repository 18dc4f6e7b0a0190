//! A contact, a company or a user, where any of them may stand.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Id;

/// What kind of party.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartyKind {
    /// A person outside.
    Contact,
    /// A company outside.
    Company,
    /// A colleague.
    User,
}

/// A contact, a company or a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Which of them.
    pub kind: PartyKind,
    /// Its id.
    pub id: Id,
}

impl Party {
    /// A contact.
    pub const fn contact(id: Id) -> Party {
        Party { kind: PartyKind::Contact, id }
    }

    /// A company.
    pub const fn company(id: Id) -> Party {
        Party { kind: PartyKind::Company, id }
    }

    /// A user.
    pub const fn user(id: Id) -> Party {
        Party { kind: PartyKind::User, id }
    }
}
