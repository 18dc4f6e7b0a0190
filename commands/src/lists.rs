//! What lists tell of records, for rules that ask about it: folds that the read side lends, which this room does not know.

use std::{collections::HashMap, sync::Arc};

use domain::{Id, kernel::aggregate::AnyState};
use eventstore::Recorded;
use serde_json::{Value, json};

/// The row of a record in the list of its kind, as a fold over the events of its stream.
pub trait RowFold: Send + Sync {
    /// The row after an event, from the row before it; none where there is none.
    ///
    /// # Errors
    /// Why the event cannot be understood.
    fn apply(&self, id: Id, row: Option<&AnyState>, event: &Recorded) -> Result<Option<AnyState>, String>;

    /// The row as JSON.
    fn show(&self, row: &AnyState) -> Value;
}

/// The folds by kind of record.
#[derive(Clone, Default)]
pub struct Lists(Arc<HashMap<&'static str, Arc<dyn RowFold>>>);

impl Lists {
    /// Of these kinds.
    pub fn new(folds: impl IntoIterator<Item = (&'static str, Arc<dyn RowFold>)>) -> Lists {
        Lists(Arc::new(folds.into_iter().collect()))
    }

    /// The row after further events of a record, whose events so far led to `row`.
    pub(crate) fn fold<'a>(
        &self,
        kind: &str,
        id: Id,
        row: Option<AnyState>,
        events: impl IntoIterator<Item = &'a Recorded>,
    ) -> Result<Option<AnyState>, String> {
        let Some(fold) = self.0.get(kind) else { return Ok(None) };
        events.into_iter().try_fold(row, |row, event| fold.apply(id, row.as_ref(), event))
    }

    /// The row as its list shows it, but for what is joined to it.
    pub(crate) fn show(&self, kind: &str, id: Id, row: &AnyState) -> Option<Arc<Value>> {
        let mut shown = self.0.get(kind)?.show(row);
        shown["id"] = json!(id);
        Some(Arc::new(shown))
    }
}
