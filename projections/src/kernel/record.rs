//! Attributes as tables have them, in kinds whose read models are written by hand.

use domain::kernel::{custom::Changes, record::apply_changes};
use serde::{Serialize, de::DeserializeOwned};

/// The attributes of a kind as its table has them.
pub(crate) trait Attributes: Serialize + DeserializeOwned {
    /// Those that refer to other records: their columns end in `_id`.
    const REFERENCES: &'static [&'static str] = &[];

    /// Takes in recorded changes.
    fn change(&mut self, changes: Changes) {
        let column = |key: String| if Self::REFERENCES.contains(&&*key) { format!("{key}_id") } else { key };
        apply_changes(self, &changes.into_iter().map(|(key, change)| (column(key), change)).collect());
    }
}
