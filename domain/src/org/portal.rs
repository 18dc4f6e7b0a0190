//! The portal of a tenant: the pages on which customers find help, and follow their own tickets.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, Ctx, Id, Need, Rejection, all,
    kernel::{color::Color, reference::REFERENCE_UNFIT, valid},
    must,
    org::team::Team,
};

/// What the portal is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Portal")]
pub struct Portal {
    /// The team whose tickets those are that customers open there; what is answered, and the codes by which they sign in, leave by
    /// its mail.
    #[schemars(extend("x-reference" = "team", "x-refusal" = "portal_team_unfit"))]
    pub team: Id,
    /// What stands at its head; the tenant's name by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub name: Option<String>,
    /// What is said at its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1_000))]
    pub welcome: Option<String>,
    /// The colour of its head and buttons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<Color>,
    /// The language of its pages where whoever looks has chosen none, a tag (BCP 47); that of the browser by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Whether customers see the tickets and orders of the companies that they belong to, and not only their own.
    #[serde(default)]
    pub company_tickets: bool,
    /// Whether whoever is not known may sign in too, and becomes a contact.
    #[serde(default)]
    pub sign_up: bool,
    /// The form that whoever does not sign in writes by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "form"))]
    pub form: Option<Id>,
}

/// The team is not there, or archived.
pub const TEAM_UNFIT: Rejection = Rejection::invalid("portal_team_unfit", "There is no such team, or it is archived.");

/// What a portal is refused for.
pub(crate) const REFUSALS: [Rejection; 3] = [TEAM_UNFIT, REFERENCE_UNFIT, valid::LOCALE_INVALID];

impl Portal {
    pub(crate) fn check(&self, ctx: &Ctx<'_>) -> Result<(), Rejection> {
        let team = ctx.fact::<Team>(self.team);
        all([
            must(team.is_live(), TEAM_UNFIT, "/portal/team"),
            self.name.as_deref().map_or(Ok(()), |name| valid::name(name, "/portal/name")),
            must(self.language.as_deref().is_none_or(valid::is_locale), valid::LOCALE_INVALID, "/portal/language"),
        ])
    }

    pub(crate) fn needs(&self) -> Vec<Need> {
        vec![Need::guarded::<Team>(self.team)]
    }

    pub(crate) fn example() -> Portal {
        Portal {
            team: Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000C),
            name: Some("Example help".into()),
            welcome: Some("How can we help?".into()),
            color: "#00a09d".parse().ok(),
            language: Some("en".into()),
            company_tickets: true,
            sign_up: false,
            form: None,
        }
    }
}
