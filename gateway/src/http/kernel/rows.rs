//! What lists tell of records, lent to rules: the folds of the read models whose lists kinds of record have.

use std::sync::Arc;

use commands::{Lists, RowFold};
use domain::{Id, catalogue, kernel::aggregate::AnyState};
use eventstore::Recorded;
use projections::{ListVisitor, Listed};

/// The folds of every list of a kind: rules see some of them, and what others are called.
pub(crate) fn row_folds() -> Lists {
    struct Folds(Vec<(&'static str, RowFold)>);
    impl ListVisitor for Folds {
        fn visit<M: Listed>(&mut self) {
            let seen = |kind: &&catalogue::Kind| kind.plural == M::PATH;
            if let (true, Some(kind)) = (M::LISTED, catalogue::kind(M::READ).filter(|kind| seen(kind))) {
                self.0.push((kind.name, RowFold { apply: apply::<M>, show: show::<M> }));
            }
        }
    }
    let mut folds = Folds(Vec::new());
    projections::visit_lists(&mut folds);
    Lists::new(folds.0)
}

fn apply<M: Listed>(id: Id, row: Option<AnyState>, event: &Recorded) -> Result<Option<AnyState>, String> {
    let row = row.as_ref().and_then(|row| row.downcast_ref::<M::Row>()).cloned();
    let row = M::apply(id, row, event).map_err(|error| error.to_string())?;
    Ok(row.map(|row| Arc::new(row) as AnyState))
}

fn show<M: Listed>(row: &AnyState) -> serde_json::Value {
    let row = row.downcast_ref::<M::Row>().map(serde_json::to_value);
    row.and_then(Result::ok).unwrap_or_default()
}
