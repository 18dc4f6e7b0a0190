//! A contact, a company or a user, where any of them may stand.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, Ctx, Id, Need,
    crm::{company::Company, contact::Contact},
    kernel::reference::Subject,
    org::user::User,
};

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

impl PartyKind {
    /// The kind of record that it is.
    pub fn name(self) -> &'static str {
        match self {
            PartyKind::Contact => Contact::KIND,
            PartyKind::Company => Company::KIND,
            PartyKind::User => User::KIND,
        }
    }
}

/// A contact, a company or a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-reference" = "any"))]
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

    /// It as a record of any kind.
    pub fn subject(self) -> Subject {
        Subject::new(self.kind.name(), self.id)
    }

    /// Its state, which a decision about it depends on; it must not change until the events are appended.
    pub fn need(self) -> Need {
        match self.kind {
            PartyKind::Contact => Need::guarded::<Contact>(self.id),
            PartyKind::Company => Need::guarded::<Company>(self.id),
            PartyKind::User => Need::guarded::<User>(self.id),
        }
    }

    /// Whether it exists and takes part: not archived, merged or deactivated. Name its [`Party::need`] first.
    pub fn is_live(self, ctx: &Ctx<'_>) -> bool {
        match self.kind {
            PartyKind::Contact => ctx.fact::<Contact>(self.id).is_live(),
            PartyKind::Company => ctx.fact::<Company>(self.id).is_live(),
            PartyKind::User => ctx.fact::<User>(self.id).is_active(),
        }
    }
}
