//! What another system calls a record: the shop's customer number, the accounting system's article.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Rejection;

/// A source or an external id that is blank or too long, or a source with a slash.
pub const EXTERNAL_ID_INVALID: Rejection = Rejection::invalid(
    "external_id_invalid",
    "A source has 1 to 64 characters and no slash, an external id 1 to 200 characters.",
);

/// What a source calls a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalId {
    /// The other system, such as `shop`.
    pub source: String,
    /// The record's id there.
    pub external_id: String,
}

impl ExternalId {
    /// Refuses what cannot be an external id.
    pub fn check(&self) -> Result<(), Rejection> {
        let sound = |text: &str, most: usize| !text.trim().is_empty() && text.chars().count() <= most;
        if !sound(&self.source, 64) || self.source.contains('/') {
            return Err(EXTERNAL_ID_INVALID.at("/source"));
        }
        if sound(&self.external_id, 200) { Ok(()) } else { Err(EXTERNAL_ID_INVALID.at("/external_id")) }
    }

    /// The name it claims: `source/external_id`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.source, self.external_id)
    }
}

/// The names that a set of external ids claims.
pub fn keys<'a>(ids: impl IntoIterator<Item = &'a ExternalId>) -> BTreeSet<String> {
    ids.into_iter().map(ExternalId::key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_one_is_refused() {
        let id =
            |source: &str, external_id: &str| ExternalId { source: source.into(), external_id: external_id.into() };
        assert_eq!(id("shop", "a/1").check(), Ok(()));
        assert_eq!(id("shop", "a/1").key(), "shop/a/1");
        for wrong in [id("", "1"), id("a/b", "1"), id("shop", " "), id("shop", &"1".repeat(201))] {
            assert_eq!(wrong.check(), Err(EXTERNAL_ID_INVALID));
        }
    }
}
