//! A read model whose types are known to its own code alone, so that what carries read models is compiled once.

use std::sync::{LazyLock, Mutex, PoisonError};

use domain::Id;
use eventstore::Recorded;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::{Further, Keys, List, Listed, ReadModel, Tally, Unreadable, every, kernel::registry};

/// A row of some read model.
pub use domain::kernel::listing::AnyRow;

/// [`ReadModel::fold`] on such rows.
pub(crate) type Fold = dyn Fn(Id, Option<AnyRow>, &Recorded, &mut Further) -> Result<Option<AnyRow>, Unreadable> + Sync;

/// What a [`ReadModel`] says, and the few things that must know the type of its rows.
pub struct Model {
    /// [`ReadModel::NAME`].
    pub(crate) name: &'static str,
    /// [`ReadModel::VERSION`].
    pub(crate) version: i32,
    /// [`ReadModel::kinds`].
    pub(crate) kinds: &'static (dyn Fn() -> &'static [&'static str] + Sync),
    /// [`ReadModel::OWN`].
    pub(crate) own: bool,
    /// [`ReadModel::TALLY`].
    pub(crate) tally: Option<&'static str>,
    /// [`ReadModel::FURTHER`].
    pub(crate) further: &'static [&'static str],
    /// [`ReadModel::keys`].
    pub(crate) keys: fn(&Recorded) -> Keys,
    /// [`ReadModel::fold`].
    pub(crate) fold: &'static Fold,
    /// The same row once more.
    pub(crate) copy: fn(&AnyRow) -> Option<AnyRow>,
    /// The schema of [`ReadModel::Row`].
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
    /// A row from its JSON.
    pub(crate) read: fn(&str) -> serde_json::Result<AnyRow>,
    /// Appends the JSON of a row.
    pub(crate) write: fn(&AnyRow, &mut Vec<u8>) -> serde_json::Result<()>,
    /// [`ReadModel::tally`].
    pub(crate) counts: fn(&AnyRow) -> Vec<Tally>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("name", &self.name).field("version", &self.version).finish_non_exhaustive()
    }
}

impl Model {
    /// That of a type.
    pub(crate) const fn of<M: ReadModel>() -> &'static Model {
        const {
            &Model {
                name: M::NAME,
                version: M::VERSION,
                kinds: &M::kinds,
                own: M::OWN,
                tally: M::TALLY,
                further: M::FURTHER,
                keys: M::keys,
                fold: &fold::<M>,
                copy: copy::<M>,
                schema: M::Row::json_schema,
                read: read::<M>,
                write: write::<M>,
                counts: counts::<M>,
            }
        }
    }

    /// The one of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Model> {
        models().find(|model| model.name == name)
    }

    /// Its name: analysts query the view `read_<name>`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The kinds of records whose events it folds.
    pub(crate) fn kinds(&self) -> &'static [&'static str] {
        (self.kinds)()
    }

    /// The table that a migration creates for this version of it.
    pub fn table(&self) -> String {
        registry::migrated(self.name, self.version)
    }

    /// The schema of its rows.
    pub fn schema(&self) -> Value {
        (self.schema)(&mut SchemaGenerator::default()).to_value()
    }

    /// The row after an event, as [`ReadModel::apply`] makes it.
    ///
    /// # Errors
    /// When the event cannot be understood.
    pub fn apply(&self, id: Id, row: Option<&AnyRow>, event: &Recorded) -> Result<Option<AnyRow>, Unreadable> {
        (self.fold)(id, row.and_then(self.copy), event, &mut Further::default())
    }

    /// A row as JSON.
    ///
    /// # Errors
    /// When it is no JSON.
    pub fn json(&self, row: &AnyRow) -> serde_json::Result<Value> {
        let mut json = Vec::new();
        (self.write)(row, &mut json)?;
        serde_json::from_slice(&json)
    }

    /// The names of all that is stored of it: its rows, its counters, its further tables.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.name].into_iter().chain(self.tally).chain(self.further.iter().copied())
    }

    /// Folds some events of one row in memory: the row, its version and the position of its last event.
    ///
    /// # Errors
    /// When one of them cannot be understood.
    pub(crate) fn fold_row(&self, id: Id, events: &[Recorded]) -> Result<Option<(AnyRow, i64, i64)>, Unreadable> {
        let mut row = None;
        let (mut version, mut position) = (-1, 0);
        let mut further = Further::default();
        for event in events {
            row = (self.fold)(id, row, event, &mut further)?;
            (version, position) = (event.version, event.position);
        }
        Ok(row.map(|row| (row, version, position)))
    }

    /// A row as its table has it.
    ///
    /// # Errors
    /// When it is no JSON.
    pub(crate) fn stored(
        &self,
        tenant: &str,
        id: Id,
        (row, version, position): (&AnyRow, i64, i64),
    ) -> serde_json::Result<Value> {
        let mut json = Vec::new();
        self.write_stored(tenant, id, (row, version, position), &mut json)?;
        serde_json::from_slice(&json)
    }

    /// Appends the JSON of a row as its table has it.
    ///
    /// # Errors
    /// When it is no JSON.
    pub(crate) fn write_stored(
        &self,
        tenant: &str,
        id: Id,
        (row, version, position): (&AnyRow, i64, i64),
        json: &mut Vec<u8>,
    ) -> serde_json::Result<()> {
        let own = format!("{{\"tenant_id\":\"{tenant}\",\"id\":\"{id}\",\"version\":{version},\"position\":{position}");
        json.extend_from_slice(own.as_bytes());
        let begin = json.len();
        (self.write)(row, json)?;
        // An object after an object is one object.
        match json.get(begin + 1) {
            Some(b'}') => json.truncate(begin),
            _ => {
                if let Some(brace) = json.get_mut(begin) {
                    *brace = b',';
                }
                return Ok(());
            }
        }
        json.push(b'}');
        Ok(())
    }
}

/// A read model, and its list if it has one.
pub(crate) type Registered = (&'static Model, Option<&'static List>);

/// One without a list.
pub(crate) const fn kept<M: ReadModel>() -> Registered {
    (Model::of::<M>(), None)
}

/// One with a list.
pub(crate) const fn listed<M: Listed>() -> Registered {
    (Model::of::<M>(), Some(List::of::<M>()))
}

/// Every read model, in the order of the catalogue.
pub(crate) fn registered() -> &'static [Registered] {
    static EVERY: LazyLock<Vec<Registered>> = LazyLock::new(every);
    &EVERY
}

/// Read models of the program that this is a part of.
static MORE: Mutex<Vec<&'static Model>> = Mutex::new(Vec::new());

/// Adds a read model of the program's own to those of this process, before any of them is started. Its tables must be there.
pub fn register<M: ReadModel>() {
    MORE.lock().unwrap_or_else(PoisonError::into_inner).push(Model::of::<M>());
}

/// Every read model, in the order of the catalogue, and then those that were added.
pub fn models() -> impl Iterator<Item = &'static Model> {
    let more = MORE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    registered().iter().map(|(model, _)| *model).chain(more)
}

/// A row of `M`. Only rows that `M` made come here.
fn typed<M: ReadModel>(row: AnyRow) -> Option<M::Row> {
    row.downcast::<M::Row>().ok().map(|row| *row)
}

fn fold<M: ReadModel>(
    id: Id,
    row: Option<AnyRow>,
    event: &Recorded,
    further: &mut Further,
) -> Result<Option<AnyRow>, Unreadable> {
    let row = M::fold(id, row.and_then(typed::<M>), event, further)?;
    Ok(row.map(|row| Box::new(row) as AnyRow))
}

fn copy<M: ReadModel>(row: &AnyRow) -> Option<AnyRow> {
    row.downcast_ref::<M::Row>().cloned().map(|row| Box::new(row) as AnyRow)
}

fn read<M: ReadModel>(json: &str) -> serde_json::Result<AnyRow> {
    Ok(Box::new(serde_json::from_str::<M::Row>(json)?))
}

fn write<M: ReadModel>(row: &AnyRow, json: &mut Vec<u8>) -> serde_json::Result<()> {
    serde_json::to_writer(json, &row.downcast_ref::<M::Row>())
}

fn counts<M: ReadModel>(row: &AnyRow) -> Vec<Tally> {
    row.downcast_ref::<M::Row>().map(M::tally).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::{fold::tests::id, redirects};

    #[test]
    fn a_row_stands_in_its_table_beside_what_the_engine_keeps() {
        let row: AnyRow = Box::new(redirects::Row { kind: "ticket".into(), record_id: id(1), into_id: None });
        let stored = Model::of::<redirects::Redirects>().stored("t", id(7), (&row, 3, 9)).unwrap();
        let expected = json!({
            "tenant_id": "t", "id": id(7), "version": 3, "position": 9, "kind": "ticket", "record_id": id(1), "into_id": null,
        });
        assert_eq!(stored, expected);
        assert!(models().count() > 30);
        assert_eq!(Model::named("feed").unwrap().name, "feed");
    }
}
