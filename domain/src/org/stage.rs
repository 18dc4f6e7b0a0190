//! The stages that tickets pass through, and what being in one of them means.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Rejection;

/// What it means for a ticket to be in a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Means {
    /// It is being worked on, or waits to be.
    #[default]
    Open,
    /// It waits for somebody else, or for a time.
    Waiting,
    /// It is solved; the requester may still answer.
    Resolved,
    /// It is over.
    Closed,
}

impl Means {
    /// What a stage with such a name usually means.
    pub fn usual(name: &str) -> Means {
        match name.trim().to_lowercase().replace([' ', '-'], "_").as_str() {
            "waiting" | "pending" | "on_hold" | "hold" | "snoozed" | "waiting_for_customer" | "ожидание" => {
                Means::Waiting
            }
            "solved" | "resolved" | "done" | "fixed" | "решено" | "готово" => Means::Resolved,
            "closed" | "cancelled" | "canceled" | "archived" | "закрыто" => Means::Closed,
            _ => Means::Open,
        }
    }
}

/// A stage of a team's tickets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// What it means.
    pub means: Means,
}

/// A stage as somebody names it: a plain word, or with what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// What it means; what its name usually means by default.
    pub means: Option<Means>,
}

impl From<&str> for Named {
    fn from(name: &str) -> Named {
        Named { name: name.into(), means: None }
    }
}

/// A stage with what it means, in JSON.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NamedStage")]
struct Object {
    /// Its name.
    name: String,
    /// What it means; what its name usually means by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    means: Option<Means>,
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.means {
            None => self.name.serialize(serializer),
            means => Object { name: self.name.clone(), means }.serialize(serializer),
        }
    }
}

// By hand, since an untagged enum does not say what is wrong with an object.
impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Named, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(name) => Ok(Named { name, means: None }),
            other => crate::kernel::named::part::<Object, _>(other).map(|Object { name, means }| Named { name, means }),
        }
    }
}

impl JsonSchema for Named {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NamedStage".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let object = generator.subschema_for::<Object>();
        schemars::json_schema!({
            "description": "A stage: a plain word, or with what it means.",
            "anyOf": [{ "type": "string" }, object],
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// No stages that a team can have.
pub const STAGES_INVALID: Rejection = Rejection::invalid(
    "team_stages_invalid",
    "At most 50 stages, each with another name of 1 to 64 characters; a ticket starts in one that means open.",
);

/// Most stages of a team.
const MOST: usize = 50;

/// The stages that these words mean: what is not said is what the name usually means. Where nobody says which stage
/// resolves, the last one does.
pub fn understood(named: &[Named]) -> Vec<Stage> {
    let mut stages: Vec<Stage> = named
        .iter()
        .map(|stage| Stage { name: stage.name.clone(), means: stage.means.unwrap_or(Means::usual(&stage.name)) })
        .collect();
    let over = |stage: &Stage| matches!(stage.means, Means::Resolved | Means::Closed);
    if !stages.iter().any(over)
        && stages.len() > 1
        && let (Some(last), Some(Named { means: None, .. })) = (stages.last_mut(), named.last())
    {
        last.means = Means::Resolved;
    }
    // Plain words that all sound like an end still begin somewhere.
    if !stages.iter().any(|stage| stage.means == Means::Open)
        && let (Some(first), Some(Named { means: None, .. })) = (stages.first_mut(), named.first())
    {
        first.means = Means::Open;
    }
    stages
}

/// Refuses stages that a team cannot have.
pub fn check(stages: &[Stage]) -> Result<(), Rejection> {
    let names: BTreeSet<&str> = stages.iter().map(|stage| stage.name.trim()).collect();
    let sound = stages.iter().all(|stage| !stage.name.trim().is_empty() && stage.name.chars().count() <= 64);
    let begins = stages.is_empty() || stages.iter().any(|stage| stage.means == Means::Open);
    let fit = sound && begins && names.len() == stages.len() && stages.len() <= MOST;
    if fit { Ok(()) } else { Err(STAGES_INVALID.at("/stages")) }
}

/// The stages of tickets whose team has none of its own.
pub fn usual() -> Vec<Stage> {
    let stage = |(name, means): (&str, Means)| Stage { name: name.into(), means };
    let usual =
        [("new", Means::Open), ("in_progress", Means::Open), ("waiting", Means::Waiting), ("solved", Means::Resolved)];
    usual.map(stage).into()
}

/// The names of stages, for error messages.
pub fn names(stages: &[Stage]) -> String {
    stages.iter().map(|stage| stage.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(names: &[&str]) -> Vec<Means> {
        let named: Vec<_> = names.iter().map(|name| Named::from(*name)).collect();
        understood(&named).into_iter().map(|stage| stage.means).collect()
    }

    #[test]
    fn plain_words_mean_what_they_usually_mean_and_the_last_one_resolves() {
        use Means::*;
        assert_eq!(means(&["received", "on the bench", "back home"]), [Open, Open, Resolved]);
        assert_eq!(means(&["new", "On hold", "done", "closed"]), [Open, Waiting, Resolved, Closed]);
        assert_eq!(means(&["inbox"]), [Open]);
        assert_eq!(means(&["done", "closed"]), [Open, Closed]);
        let last = Named { name: "shelf".into(), means: Some(Waiting) };
        let said: Vec<_> = understood(&["inbox".into(), last]).into_iter().map(|stage| stage.means).collect();
        assert_eq!(said, [Open, Waiting], "what is said stays said");
    }
}
