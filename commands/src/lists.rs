//! What lists tell of records, for rules that ask about it: folds that the read side lends, which this room does not know.

use std::{any::Any, collections::HashMap, sync::Arc};

use domain::Id;
use eventstore::Recorded;
use serde_json::{Value, json};

/// A row of some list.
pub type ListRow = Arc<dyn Any + Send + Sync>;

/// The row of a record in the list of its kind, as a fold over the events of its stream.
pub trait RowFold: Send + Sync {
    /// The row after an event, from the row before it; none where there is none.
    ///
    /// # Errors
    /// Why the event cannot be understood.
    fn apply(&self, id: Id, row: Option<&ListRow>, event: &Recorded) -> Result<Option<ListRow>, String>;

    /// The row as JSON.
    fn show(&self, row: &ListRow) -> Value;
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
        row: Option<ListRow>,
        events: impl IntoIterator<Item = &'a Recorded>,
    ) -> Result<Option<ListRow>, String> {
        let Some(fold) = self.0.get(kind) else { return Ok(None) };
        events.into_iter().try_fold(row, |row, event| fold.apply(id, row.as_ref(), event))
    }

    /// The row as its list shows it, but for what is joined to it.
    pub(crate) fn show(&self, kind: &str, id: Id, row: &ListRow) -> Option<Arc<Value>> {
        let mut shown = self.0.get(kind)?.show(row);
        shown["id"] = json!(id);
        Some(Arc::new(shown))
    }
}
