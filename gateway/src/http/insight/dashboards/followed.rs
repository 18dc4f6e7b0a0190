//! What the widgets of a dashboard follow in the log, so that a stream says which may show something else.

use domain::{
    Aggregate, Id,
    insight::{definition::Definition, report::Report, widget::Kind},
    kernel::reference::Subject,
};

use super::{super::reports, Board};
use crate::{app::App, auth::Caller, problem::Problem};

/// What a widget follows in the log.
pub(in crate::http) struct Followed {
    pub(in crate::http) id: String,
    kinds: Vec<String>,
    records: Vec<Subject>,
}

impl Followed {
    /// What each widget of a dashboard follows.
    pub(in crate::http) async fn of(app: &App, caller: &Caller, board: &Board) -> Result<Vec<Followed>, Problem> {
        let mut all = Vec::new();
        for (_, widget) in board.widgets() {
            let shows = &widget.shows;
            let (mut kinds, mut records) = (Vec::new(), Vec::new());
            let mut counts = |definition: &Definition| {
                kinds.push(definition.of.clone());
                if let Some(source) = domain::insight::facts::source(&definition.of) {
                    // Whatever is called otherwise now is drawn under its new name.
                    let named = definition.dimensions.iter().filter_map(|name| source.dimension(name));
                    kinds.extend(named.flat_map(|dimension| dimension.refers).map(|kind| (*kind).to_owned()));
                }
            };
            shows.definition.iter().for_each(&mut counts);
            if let Some(id) = shows.report {
                records.push(Subject::new(Report::KIND, id));
                if let Ok((_, definition)) = reports::saved(app, caller, &id.to_string()).await {
                    counts(&definition);
                }
            }
            kinds.extend(shows.collection.iter().map(|collection| collection.of.clone()));
            if shows.kind == Kind::PendingWork {
                kinds.extend(["ticket", "task"].map(ToOwned::to_owned));
            }
            records.extend(shows.record.clone());
            all.push(Followed { id: widget.id.clone(), kinds, records });
        }
        Ok(all)
    }

    /// Whether it may show something else after an event: of this kind, of this record, with this content.
    pub(in crate::http) fn minds(&self, kind: &str, id: Id, data: &[u8]) -> bool {
        // Whatever names a record may stand in its feed.
        let names = |record: &Subject| {
            let text = record.id.to_string();
            data.windows(text.len()).any(|part| part == text.as_bytes())
        };
        self.kinds.iter().any(|known| known == kind)
            || self.records.iter().any(|record| (record.kind == kind && record.id == id) || names(record))
    }
}
