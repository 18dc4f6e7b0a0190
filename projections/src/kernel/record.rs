//! What the rows of all descriptive kinds have in common, and the fold of what happens to every record.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Id, Time,
    kernel::{
        custom::{self, Changes, Custom},
        record::{Happened, Level, Spec, apply_changes},
    },
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::kernel::fold::raise;

/// What every record of a descriptive kind has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Common {
    /// The user who owns it.
    pub owner_id: Option<Id>,
    /// Tags.
    pub tags: BTreeSet<String>,
    /// With whom it is shared, and how far.
    pub shared: BTreeMap<Id, Level>,
    /// Custom fields.
    pub custom: Custom,
    /// Whether it is put away.
    pub archived: bool,
    /// The record it is a copy of.
    pub copied_from: Option<Id>,
    /// When it was created.
    pub created_at: Time,
    /// When anything last happened to it.
    pub updated_at: Time,
}

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

impl Attributes for domain::crm::contact::Fields {}
impl Attributes for domain::crm::company::Fields {}
impl Attributes for domain::desk::product::Fields {}
impl Attributes for domain::work::project::Fields {}

/// The stage that a record is in after this; `None` when it says nothing about it.
pub(crate) fn stage<S: Spec>(happened: &Happened<S::Fields>) -> Option<String> {
    match happened {
        Happened::Created(new) => new.stage.clone().or_else(|| S::STAGES.first().map(|first| (*first).to_owned())),
        Happened::StageChanged { to, .. } => Some(to.clone()),
        _ => None,
    }
}

/// A new record: its attributes and the rest. `None` when it is not the event that creates one.
pub(crate) fn created<A: From<F>, F>(happened: Happened<F>, event: &Recorded) -> Option<(A, Common)> {
    let Happened::Created(new) = happened else { return None };
    let common = Common {
        owner_id: new.owner,
        tags: new.tags,
        shared: BTreeMap::new(),
        custom: new.custom,
        archived: false,
        copied_from: new.copied_from,
        created_at: event.occurred_at,
        updated_at: event.occurred_at,
    };
    Some((new.fields.into(), common))
}

impl Common {
    /// Something happened to the record.
    pub(crate) fn touch(&mut self, event: &Recorded) {
        raise(&mut self.updated_at, event.occurred_at);
    }

    /// Takes in what happens to every record.
    pub(crate) fn happened<A: Attributes, F>(&mut self, attributes: &mut A, happened: Happened<F>) {
        match happened {
            Happened::Created(_) | Happened::StageChanged { .. } => {}
            Happened::DetailsChanged { changes } => attributes.change(changes),
            Happened::CustomChanged { changes } => custom::apply(&mut self.custom, &changes),
            Happened::OwnerChanged { to, .. } => self.owner_id = to,
            Happened::Shared { grantee, level } => drop(self.shared.insert(grantee, level)),
            Happened::Unshared { grantee } => drop(self.shared.remove(&grantee)),
            Happened::Tagged { tag } => drop(self.tags.insert(tag)),
            Happened::Untagged { tag } => drop(self.tags.remove(&tag)),
            Happened::Archived { .. } => self.archived = true,
            Happened::Restored => self.archived = false,
        }
    }
}
