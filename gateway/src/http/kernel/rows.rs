//! What lists tell of records, lent to rules: the folds of the read models whose lists kinds of record have.

use std::sync::Arc;

use commands::{ListRow, Lists, RowFold};
use domain::{Id, catalogue};
use eventstore::Recorded;
use projections::{AnyRow, Model};

/// The folds of every list of a kind: rules see some of them, and what others are called.
pub(crate) fn row_folds() -> Lists {
    let of_kinds = projections::lists()
        .filter(|list| list.listed && catalogue::kind(list.read).is_some_and(|kind| kind.plural == list.path));
    Lists::new(of_kinds.map(|list| (list.read, Arc::new(Rows(list.model)) as Arc<dyn RowFold>)))
}

/// The rows of a read model.
struct Rows(&'static Model);

impl RowFold for Rows {
    fn apply(&self, id: Id, row: Option<&ListRow>, event: &Recorded) -> Result<Option<ListRow>, String> {
        let row = row.and_then(|row| row.downcast_ref::<AnyRow>());
        let row = self.0.apply(id, row, event).map_err(|error| error.to_string())?;
        Ok(row.map(|row| Arc::new(row) as ListRow))
    }

    fn show(&self, row: &ListRow) -> serde_json::Value {
        let row = row.downcast_ref::<AnyRow>().map(|row| self.0.json(row));
        row.and_then(Result::ok).unwrap_or_default()
    }
}
