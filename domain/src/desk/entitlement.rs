//! A product that somebody owns: a contact, a company, or a colleague to whom it was handed out.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Aggregate, Claim, Ctx, Decision, Faults, Id, Money, Need, Party, Rejection, Time, all,
    desk::product::Product,
    kernel::{
        access::Relation,
        custom::{self, Changes, Custom},
        external::{EXTERNAL_ID_INVALID, ExternalId},
        money,
        record::{self, FIELD_INVALID},
        valid,
    },
    must,
};

/// What may be asked of an entitlement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Gives a product to somebody.
    Grant(Grant),
    /// Changes details by JSON merge patch (RFC 7396); `custom` holds custom fields. Only real changes are recorded.
    ChangeDetails(#[schemars(with = "record::Patch<record::WithCustom<Details>>")] Map<String, Value>),
    /// Hands it over to somebody else.
    Transfer {
        /// The new holder.
        #[schemars(extend("x-reference" = "any", "x-refusal" = "entitlement_holder_unfit"))]
        to: Party,
    },
    /// Takes it away: tickets that have it keep it, new ones cannot take it.
    Revoke {
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Gives a revoked or expired one back.
    Reinstate,
    /// Records that its time is over.
    Expire,
}

/// A product given to somebody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Which product.
    #[schemars(extend("x-reference" = "product", "x-refusal" = "entitlement_product_unfit"))]
    pub product: Id,
    /// Who owns it.
    #[schemars(extend("x-reference" = "any", "x-refusal" = "entitlement_holder_unfit"))]
    pub holder: Party,
    /// Contract number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract_number: Option<String>,
    /// Serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// What it was sold for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// How many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000000))]
    pub quantity: Option<u32>,
    /// From when on it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Time>,
    /// Until when it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Time>,
    /// Custom fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom: Custom,
    /// The system it was taken over from, such as `shop`; goes with `external_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Its id there; no other entitlement may have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

/// What may change about an entitlement without changing whose it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Details {
    /// Contract number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract_number: Option<String>,
    /// Serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
    /// What it was sold for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Money>,
    /// How many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000000))]
    pub quantity: Option<u32>,
    /// From when on it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Time>,
    /// Until when it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<Time>,
}

impl Details {
    fn check(&self) -> Result<(), Rejection> {
        let ends_first = self.valid_from.zip(self.valid_to).is_some_and(|(from, to)| to <= from);
        all([
            valid::price(self.price.as_ref()),
            must(self.quantity != Some(0), QUANTITY_INVALID, "/quantity"),
            must(!ends_first, PERIOD_INVALID, "/valid_to"),
        ])
    }
}

impl Grant {
    /// Its details.
    pub fn details(&self) -> Details {
        Details {
            contract_number: self.contract_number.clone(),
            serial_number: self.serial_number.clone(),
            price: self.price,
            quantity: self.quantity,
            valid_from: self.valid_from,
            valid_to: self.valid_to,
        }
    }

    /// What its source calls it.
    pub fn external(&self) -> Option<ExternalId> {
        let (source, external_id) = (self.source.clone()?, self.external_id.clone()?);
        Some(ExternalId { source, external_id })
    }
}

/// What has happened to an entitlement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Somebody got a product.
    Granted(Grant),
    /// Details changed.
    DetailsChanged {
        /// Each with its old and new value.
        changes: Changes,
    },
    /// Custom fields changed.
    CustomChanged {
        /// Each with its old and new value.
        changes: Changes,
    },
    /// It has another holder.
    Transferred {
        /// Before.
        from: Party,
        /// After.
        to: Party,
    },
    /// It was taken away.
    Revoked {
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// It was given back.
    Reinstated,
    /// Its time is over.
    Expired,
}

/// Where an entitlement stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Does not exist.
    #[default]
    Missing,
    /// Owned.
    Active,
    /// Taken away.
    Revoked,
    /// Over.
    Expired,
}

/// A product that somebody owns.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Entitlement {
    /// Which product.
    pub product: Option<Id>,
    /// Who owns it.
    pub holder: Option<Party>,
    /// Where it stands.
    pub status: Status,
    /// Its details.
    pub details: Details,
    /// Its custom fields.
    pub custom: Custom,
    granted: Option<Grant>,
}

const UNKNOWN: Rejection = Rejection::missing("entitlement_unknown", "There is no such entitlement.");
const EXISTS: Rejection = Rejection::conflict("entitlement_exists", "An entitlement with this id exists already.");
const EXTERNAL_ID_TAKEN: Rejection =
    Rejection::conflict("entitlement_external_id_taken", "Another entitlement has this external id.");
const PRODUCT_UNFIT: Rejection =
    Rejection::invalid("entitlement_product_unfit", "There is no such product, or it is archived or retired.");
const HOLDER_UNFIT: Rejection = Rejection::invalid(
    "entitlement_holder_unfit",
    "There is no such holder, or it is archived, merged or deactivated.",
);
const QUANTITY_INVALID: Rejection = Rejection::invalid("entitlement_quantity_invalid", "At least one is owned.");
const PERIOD_INVALID: Rejection = Rejection::invalid("entitlement_period_invalid", "It ends after it begins.");
const NOT_ACTIVE: Rejection = Rejection::conflict("entitlement_not_active", "The entitlement is revoked or expired.");
const NOT_OVER: Rejection = Rejection::conflict("entitlement_not_over", "The entitlement's time is not over yet.");

impl Entitlement {
    /// Whether its holder owns it at that time.
    pub fn is_active_at(&self, now: Time) -> bool {
        self.status == Status::Active
            && self.details.valid_from.is_none_or(|from| from <= now)
            && self.details.valid_to.is_none_or(|to| now < to)
    }
}

fn check_product(product: Id, ctx: &Ctx<'_>) -> Result<(), Rejection> {
    if ctx.fact::<Product>(product).is_on_offer() { Ok(()) } else { Err(PRODUCT_UNFIT.at("/product")) }
}

fn check_holder(holder: Party, ctx: &Ctx<'_>, pointer: &str) -> Result<(), Rejection> {
    if holder.is_live(ctx) { Ok(()) } else { Err(HOLDER_UNFIT.at(pointer)) }
}

fn grant(entitlement: &Entitlement, grant: Grant, ctx: &Ctx<'_>) -> Decision<Event> {
    if let Some(granted) = &entitlement.granted {
        return if *granted == grant { Ok(vec![]) } else { Err(EXISTS) };
    }
    let external = match (&grant.source, grant.external()) {
        (_, Some(external)) => external.check(),
        (source, None) => must(source.is_some() || grant.external_id.is_none(), EXTERNAL_ID_INVALID, "/source"),
    };
    all([
        grant.details().check(),
        external,
        check_product(grant.product, ctx),
        check_holder(grant.holder, ctx, "/holder"),
        custom::check_new(Entitlement::KIND, &grant.custom, ctx),
    ])?;
    let custom = grant.custom.into_iter().filter(|(_, value)| !value.is_null()).collect();
    Ok(vec![Event::Granted(Grant { custom, ..grant })])
}

fn change_details(entitlement: &Entitlement, mut patch: Map<String, Value>, ctx: &Ctx<'_>) -> Decision<Event> {
    let mut events = Vec::new();
    let custom = patch.remove("custom");
    let mut faults = Faults::default();
    let (details, changes) = record::patched(&entitlement.details, patch, &mut faults);
    faults.check(details.check());
    let custom = custom.map(|custom| record::patched_custom(Entitlement::KIND, &entitlement.custom, custom, ctx));
    let custom = custom.and_then(|custom| faults.check(custom)).unwrap_or_default();
    faults.done()?;
    if !changes.is_empty() {
        events.push(Event::DetailsChanged { changes });
    }
    if !custom.is_empty() {
        events.push(Event::CustomChanged { changes: custom });
    }
    Ok(events)
}

impl Aggregate for Entitlement {
    const KIND: &'static str = "entitlement";
    const PLURAL: &'static str = "entitlements";
    const CREATE: &'static str = "grant";
    const CUSTOM: bool = true;
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        use Command::*;
        if let Grant(new) = command {
            return grant(self, new, ctx);
        }
        let (Some(product), Some(holder)) = (self.product, self.holder) else { return Err(UNKNOWN) };
        match (command, self.status) {
            (Grant(_), _) => Ok(vec![]),
            (ChangeDetails(patch), _) => change_details(self, patch, ctx),
            (Transfer { to }, _) if to == holder => Ok(vec![]),
            (Transfer { to }, Status::Active) => {
                check_holder(to, ctx, "/to")?;
                Ok(vec![Event::Transferred { from: holder, to }])
            }
            (Transfer { .. }, _) => Err(NOT_ACTIVE),
            (Revoke { reason }, Status::Active) => Ok(vec![Event::Revoked { reason }]),
            (Revoke { .. }, _) => Ok(vec![]),
            (Reinstate, Status::Active) => Ok(vec![]),
            (Reinstate, _) => {
                check_product(product, ctx)?;
                check_holder(holder, ctx, "/holder")?;
                Ok(vec![Event::Reinstated])
            }
            (Expire, Status::Active) if self.details.valid_to.is_some_and(|to| to <= ctx.now) => {
                Ok(vec![Event::Expired])
            }
            (Expire, Status::Active) => Err(NOT_OVER),
            (Expire, _) => Ok(vec![]),
        }
    }

    fn relates(event: &Event) -> Vec<Relation> {
        let held_by = |holder: &Party| vec![Relation::About("holder", vec![holder.subject()])];
        match event {
            Event::Granted(grant) => held_by(&grant.holder),
            Event::Transferred { to, .. } => held_by(to),
            _ => Vec::new(),
        }
    }

    fn undo(&self, event: &Event) -> Option<Vec<Command>> {
        Some(vec![match event {
            Event::Granted(_) | Event::Reinstated => Command::Revoke { reason: None },
            Event::DetailsChanged { changes } => Command::ChangeDetails(custom::before(changes).into_iter().collect()),
            Event::CustomChanged { changes } => {
                let custom = custom::before(changes).into_iter().collect::<Map<_, _>>();
                Command::ChangeDetails(Map::from_iter([("custom".to_owned(), custom.into())]))
            }
            Event::Transferred { from, .. } => Command::Transfer { to: *from },
            Event::Revoked { .. } => Command::Reinstate,
            Event::Expired => return None,
        }])
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Granted(grant) => {
                self.product = Some(grant.product);
                self.holder = Some(grant.holder);
                self.status = Status::Active;
                self.details = grant.details();
                self.custom = grant.custom.clone();
                self.granted = Some(grant.clone());
            }
            Event::DetailsChanged { changes } => record::apply_changes(&mut self.details, changes),
            Event::CustomChanged { changes } => custom::apply(&mut self.custom, changes),
            Event::Transferred { to, .. } => self.holder = Some(*to),
            Event::Revoked { .. } => self.status = Status::Revoked,
            Event::Reinstated => self.status = Status::Active,
            Event::Expired => self.status = Status::Expired,
        }
    }

    fn custom(&self) -> Option<&Custom> {
        Some(&self.custom)
    }

    /// Guarded, so that nothing is given at the moment when product or holder go.
    fn is_live(&self) -> bool {
        self.status != Status::Missing
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        match command {
            Command::Grant(grant) => {
                vec![custom::needs(Self::KIND, ctx), Need::guarded::<Product>(grant.product), grant.holder.need()]
            }
            Command::ChangeDetails(_) => vec![custom::needs(Self::KIND, ctx)],
            Command::Transfer { to } => vec![to.need()],
            Command::Reinstate => {
                let product = self.product.map(Need::guarded::<Product>);
                product.into_iter().chain(self.holder.map(Party::need)).collect()
            }
            Command::Revoke { .. } | Command::Expire => vec![],
        }
    }

    fn claims(&self, event: &Event, _: &Ctx<'_>) -> Vec<Claim> {
        let Event::Granted(grant) = event else { return vec![] };
        let external = grant.external();
        external
            .iter()
            .map(|id| Claim::take("entitlement.external", id.key(), EXTERNAL_ID_TAKEN.at("/external_id")))
            .collect()
    }

    fn refusals() -> Vec<Rejection> {
        let mut refusals = vec![UNKNOWN, EXISTS, EXTERNAL_ID_TAKEN, EXTERNAL_ID_INVALID, PRODUCT_UNFIT, HOLDER_UNFIT];
        refusals.extend(money::REFUSALS);
        refusals.extend([QUANTITY_INVALID, PERIOD_INVALID, NOT_ACTIVE, NOT_OVER, FIELD_INVALID, valid::PRICE_INVALID]);
        refusals.extend(custom::refusals());
        refusals
    }

    fn examples() -> Vec<Command> {
        let id = |last: u128| Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_0000 | last);
        let grant = Grant {
            product: id(0xE),
            holder: Party::contact(id(0x1)),
            contract_number: Some("2026/118".into()),
            serial_number: Some("SN-0042".into()),
            price: serde_json::from_str(r#"{"amount":"12.50","currency":"EUR"}"#).ok(),
            quantity: Some(1),
            valid_from: "2026-01-01T00:00:00Z".parse().ok(),
            valid_to: "2027-01-01T00:00:00Z".parse().ok(),
            custom: Custom::new(),
            source: Some("shop".into()),
            external_id: Some("order-7/1".into()),
        };
        vec![
            Command::Grant(grant),
            Command::ChangeDetails(Map::from_iter([("serial_number".to_owned(), "SN-0043".into())])),
            Command::Transfer { to: Party::company(id(0xF)) },
            Command::Revoke { reason: Some("Returned".into()) },
            Command::Reinstate,
            Command::Expire,
        ]
    }
}

#[cfg(test)]
mod tests;
