//! Labels with how many conversations bear them. Table: `read_labels`.

use domain::{
    Aggregate, Id, Time,
    chat::label::{Event, Label},
    kernel::color::Color,
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Column, Listed, ReadModel, Sort, Unreadable, chat::conversations::Conversations, decode, kernel::fold::raise,
};

/// The labels.
#[derive(Clone, Copy, Debug)]
pub struct Labels;

/// A coloured word by which conversations are told apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its colour.
    pub color: Option<Color>,
    /// Whether it stays in the list although nothing bears it.
    pub pinned: bool,
    /// When it was created.
    pub created_at: Time,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A label with how often it is used now.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The label itself.
    #[serde(flatten)]
    pub row: Row,
    /// How many conversations bear it.
    pub conversation_count: i64,
}

impl ReadModel for Labels {
    const NAME: &'static str = "labels";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Label::KIND];
    type Row = Row;

    /// A name that leads to another label is none.
    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Label>(event)?;
        if let Event::Created(new) = happened {
            let (name, color, pinned) = (new.name, new.color, new.preset);
            return Ok(Some(Row { name, color, pinned, created_at: at, updated_at: at }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Created(_) | Event::Redirected { .. } => {}
            Event::Renamed { to, .. } => row.name = to,
            Event::ColorChanged { to, .. } => row.color = to,
            Event::Pinned => row.pinned = true,
            Event::Unpinned => row.pinned = false,
        }
        Ok(Some(row))
    }
}

impl Listed for Labels {
    const PATH: &'static str = Label::PLURAL;
    const READ: &'static str = Label::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::word("color").nullable(),
        Column::bool("pinned"),
        Column::time("created_at"),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const ONLY: Option<(&'static str, &'static str)> = Some((
        "(t.pinned or exists (select from read_conversations_by_label c \
            where c.tenant_id = t.tenant_id and c.label_id = t.id and c.count > 0))",
        "Labels that no conversation bears are left out, unless they are pinned.",
    ));
    const FOLLOWS: &'static [&'static str] = &[Conversations::NAME];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("name")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, t.color, t.pinned, t.created_at, t.updated_at, \
        coalesce((select c.count from read_conversations_by_label c \
            where c.tenant_id = t.tenant_id and c.label_id = t.id), 0) as conversation_count";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{event, folded, id, refuses_strangers};

    #[test]
    fn a_label_is_renamed_coloured_and_pinned() {
        let created = event::<Label>("created", json!({ "name": "VIP", "color": "#00a09d", "preset": true }));
        refuses_strangers::<Labels, Label>(&created);
        let renamed = Event::Renamed { from: "VIP".into(), to: "Gold".into() };
        let recolored = event::<Label>("color_changed", json!({ "from": "#00a09d", "to": null }));
        let row = folded::<Labels, Label>([created.clone()]).unwrap();
        assert_eq!((row.pinned, row.color.map(|color| color.to_string())), (true, Some("#00a09d".into())));
        let row = folded::<Labels, Label>([created, renamed, recolored, Event::Unpinned]).unwrap();
        assert_eq!((row.name.as_str(), row.color, row.pinned), ("Gold", None, false));
        assert_eq!(folded::<Labels, Label>([Event::Redirected { to: id(4) }]), None);
    }
}
