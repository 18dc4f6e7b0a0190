//! A shop or telephone system that hands orders, leads or calls in: what it calls itself, and what the fields of its bodies mean.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Claim, Ctx, Rejection, all,
    kernel::{
        listing::Nothing,
        named::Never,
        record::{self, Record},
        valid,
    },
    must,
};

/// A source.
pub type IntakeSource = Record<Spec>;

/// What makes a record a source.
#[derive(Clone, Default)]
pub struct Spec;

/// What a source hands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "IntakeTakes")]
pub enum Takes {
    /// Orders of a shop.
    Orders,
    /// People who may become customers.
    Leads,
    /// Calls of a telephone system.
    Calls,
}

impl Takes {
    /// All of them.
    pub const ALL: [Takes; 3] = [Takes::Orders, Takes::Leads, Takes::Calls];

    /// Its name, also in paths.
    pub const fn name(self) -> &'static str {
        match self {
            Takes::Orders => "orders",
            Takes::Leads => "leads",
            Takes::Calls => "calls",
        }
    }

    /// The kind of record that becomes of what is handed in.
    pub const fn kind(self) -> &'static str {
        match self {
            Takes::Orders => "order",
            Takes::Leads => "lead",
            Takes::Calls => "call",
        }
    }

    /// The permission to hand it in.
    pub const fn permission(self) -> &'static str {
        match self {
            Takes::Orders => "intake.orders",
            Takes::Leads => "intake.leads",
            Takes::Calls => "intake.calls",
        }
    }
}

/// Attributes of a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// Its name for people.
    pub name: String,
    /// What it calls itself in `?source=`: small letters, digits, hyphens and underscores; no other source that hands the same in
    /// has it.
    #[schemars(extend("format" = "word"))]
    pub source: String,
    /// What it hands in.
    pub takes: Takes,
    /// The mapping of its bodies, TOML: see the page about the intake.
    pub mapping: String,
}

/// Under which names sources are known.
pub const SCOPE: &str = "intake_source.source";

/// What no source is called.
pub const NAME_INVALID: Rejection = Rejection::invalid(
    "intake_source_name_invalid",
    "A source is called by 1 to 60 small letters, digits, hyphens and underscores.",
);
/// A mapping that says nothing that could be heeded.
const MAPPING_INVALID: Rejection =
    Rejection::invalid("mapping_invalid", "The mapping makes no sense; `errors` says where.");
const NAME_TAKEN: Rejection =
    Rejection::conflict("intake_source_name_taken", "Another source that hands the same in has this name.");

/// The unique name of the source that hands this in under this name.
pub fn key(takes: Takes, name: &str) -> String {
    format!("{}/{name}", takes.name())
}

/// Refuses what no source is called.
///
/// # Errors
/// When it is not 1 to 60 small letters, digits, hyphens and underscores.
pub fn check_name(name: &str, pointer: &str) -> Result<(), Rejection> {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    must((1..=60).contains(&name.len()) && name.bytes().all(fits), NAME_INVALID, pointer)
}

impl record::Spec for Spec {
    const KIND: &'static str = "intake_source";
    const PLURAL: &'static str = "intake_sources";
    const ABOUT: &'static str = "A system that hands orders, leads or calls in.";
    const UNIQUE: &'static [&'static str] = &["source"];
    const COPIES: bool = false;
    type Fields = Fields;
    type Command = Never;
    type Event = Never;
    type Shown = Nothing;
    type State = ();

    fn check(fields: &Fields) -> Result<(), Rejection> {
        all([
            valid::name(&fields.name, "/name"),
            check_name(&fields.source, "/source"),
            must(!fields.mapping.trim().is_empty(), MAPPING_INVALID, "/mapping"),
        ])
    }

    fn claims(source: &IntakeSource, event: &record::Event<Spec>, _: &Ctx<'_>) -> Vec<Claim> {
        let names =
            |source: &IntakeSource| source.fields.iter().map(|fields| key(fields.takes, &fields.source)).collect();
        let mut after = source.clone();
        crate::Aggregate::evolve(&mut after, event);
        Claim::moved(SCOPE, &names(source), &names(&after), &NAME_TAKEN.at("/source"))
    }

    fn refusals() -> Vec<Rejection> {
        vec![NAME_INVALID, NAME_TAKEN, MAPPING_INVALID, valid::NAME_INVALID]
    }

    fn examples() -> (Fields, Vec<Never>) {
        let mapping = "key = \"{order_id}\"\n\n[fields]\ntotal = { amount = \"{sum}\", currency = \"EUR\" }\n";
        (
            Fields { name: "Web shop".into(), source: "shop".into(), takes: Takes::Orders, mapping: mapping.into() },
            vec![],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_called_by_what_an_address_takes() {
        assert!(check_name("web_shop-2", "/name").is_ok());
        for name in ["", "Shop", "a b", "a/b", "лавка", &"x".repeat(61)] {
            assert!(check_name(name, "/name").is_err(), "{name}");
        }
        assert_ne!(key(Takes::Orders, "shop"), key(Takes::Leads, "shop"));
    }
}
