//! What every descriptive record says: when it came into being, and what its attributes, stage, owner, tags and custom
//! fields are from then on.

use serde::Serialize;
use serde_json::Value;

use super::{Fact, Source};
use crate::kernel::{
    named::Either,
    record::{Event, Happened, Spec},
};

/// The facts of an event; `own` says those of an event that only its kind has.
pub(super) fn recorded<S: Spec>(event: Event<S>, source: &Source, own: fn(S::Event) -> Vec<Fact>) -> Vec<Fact>
where
    S::Fields: Serialize,
{
    let happened = match event {
        Either::Own(event) => return own(event),
        Either::Common(happened) => happened,
    };
    match happened {
        Happened::Created(new) => {
            let stage = new.stage.or_else(|| S::STAGES.first().map(|stage| (*stage).to_owned()));
            let fields = serde_json::to_value(&new.fields).unwrap_or_default();
            let mut facts = vec![Fact::moment("created"), Fact::value("archived", false)];
            // A kind whose records end begins with those that go on.
            facts.extend(source.dimension("status").map(|_| Fact::value("status", "open")));
            facts.extend(stage.map(|stage| Fact::value("stage", stage)));
            facts.extend(new.owner.flatten().map(|owner| Fact::id("owner_id", Some(owner))));
            let attributes = fields.as_object().into_iter().flatten();
            facts.extend(attributes.filter_map(|(name, value)| attribute(source, name, value.clone())));
            facts.extend(new.tags.into_iter().map(|tag| tagged(tag, true)));
            facts.extend(new.custom.into_iter().map(|(key, value)| custom(&key, value)));
            facts
        }
        Happened::DetailsChanged { changes } => {
            changes.into_iter().filter_map(|(name, change)| attribute(source, &name, change.to)).collect()
        }
        Happened::CustomChanged { changes } => {
            changes.into_iter().map(|(key, change)| custom(&key, change.to)).collect()
        }
        Happened::StageChanged { to, .. } => vec![Fact::value("stage", to)],
        Happened::OwnerChanged { to, .. } => vec![Fact::id("owner_id", to)],
        Happened::Tagged { tag } => vec![tagged(tag, true)],
        Happened::Untagged { tag } => vec![tagged(tag, false)],
        Happened::Archived { .. } => vec![Fact::value("archived", true)],
        Happened::Restored => vec![Fact::value("archived", false)],
        Happened::Shared { .. } | Happened::Unshared { .. } => Vec::new(),
    }
}

/// An attribute, where reports know it: `contact` is the dimension `contact_id`.
fn attribute(source: &Source, name: &str, value: Value) -> Option<Fact> {
    let dimensions = source.dimensions.iter().map(|dimension| dimension.name);
    let mut known = dimensions.chain(source.measures.iter().filter_map(|measure| measure.worth));
    let dimension = known.find(|known| *known == name || known.strip_suffix("_id") == Some(name))?;
    Some(Fact::Value { dimension: dimension.into(), value })
}

fn tagged(tag: String, holds: bool) -> Fact {
    Fact::Part { dimension: "tags", part: tag, holds }
}

/// A custom field.
pub(super) fn custom(key: &str, value: Value) -> Fact {
    Fact::Value { dimension: format!("custom.{key}").into(), value }
}
