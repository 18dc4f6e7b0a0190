//! Automation rules as a table by trigger and rank. Table: `read_rules`.

use domain::{
    Aggregate, Id, Time,
    work::rule::{Definition, Event, Rule},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Column, Listed, ReadModel, Sort, Unreadable, decode, kernel::fold::raise};

/// The rules.
#[derive(Clone, Copy, Debug)]
pub struct Rules;

/// An automation rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The type of event that triggers it, such as `order.placed`.
    pub trigger: String,
    /// Its place among the rules with this trigger: the lowest is asked first.
    pub rank: i64,
    /// Whether it works.
    pub enabled: bool,
    /// Why it was stopped.
    pub disabled_reason: Option<String>,
    /// The number of its latest version; 0 before there is one.
    pub rule_version: u32,
    /// What its latest version does.
    pub definition: Option<Definition>,
    /// Whether it is gone.
    pub deleted: bool,
    /// When it was created.
    pub created_at: Time,
    /// When its latest version was published.
    pub published_at: Option<Time>,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A rule.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The rule itself.
    #[serde(flatten)]
    pub row: Row,
}

impl ReadModel for Rules {
    const NAME: &'static str = "rules";
    const VERSION: i32 = 1;
    const KINDS: &'static [&'static str] = &[Rule::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Rule>(event)?;
        if let Event::Created { name, trigger, rank } = happened {
            return Ok(Some(Row {
                name,
                trigger,
                rank,
                enabled: false,
                disabled_reason: None,
                rule_version: 0,
                definition: None,
                deleted: false,
                created_at: at,
                published_at: None,
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Created { .. } => {}
            Event::VersionPublished { version, definition, .. } => {
                row.rule_version = version;
                row.definition = Some(definition);
                row.published_at = Some(at);
            }
            Event::Renamed { to, .. } => row.name = to,
            Event::RankChanged { to, .. } => row.rank = to,
            Event::Enabled => {
                row.enabled = true;
                row.disabled_reason = None;
            }
            Event::Disabled { reason } => {
                row.enabled = false;
                row.disabled_reason = reason;
            }
            Event::Deleted => {
                row.enabled = false;
                row.deleted = true;
            }
        }
        Ok(Some(row))
    }
}

impl Listed for Rules {
    const PATH: &'static str = Rule::PLURAL;
    const READ: &'static str = Rule::KIND;
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::word("trigger"),
        Column::integer("rank"),
        Column::bool("enabled"),
        Column::integer("rule_version"),
        Column::bool("deleted").hiding(),
        Column::time("created_at"),
        Column::time("published_at").nullable(),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("trigger"), Sort::ascending("rank")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, t.trigger, t.rank, t.enabled, t.disabled_reason, \
        t.rule_version, t.definition, t.deleted, t.created_at, t.published_at, t.updated_at";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, refuses_strangers};

    #[test]
    fn a_rule_is_published_moved_stopped_and_deleted() {
        let created = event::<Rule>("created", json!({ "name": "Confirm", "trigger": "order.placed", "rank": 10 }));
        refuses_strangers::<Rules, Rule>(&created);
        let definition = json!({ "actions": [{ "create_task": { "title": "Call" } }] });
        let published =
            |version: u32| event::<Rule>("version_published", json!({ "version": version, "definition": definition }));
        let row = folded::<Rules, Rule>([created.clone(), published(1), Event::Enabled, published(2)]).unwrap();
        assert_eq!((row.enabled, row.rule_version, row.published_at), (true, 2, Some(at(3))));
        assert_eq!(row.definition.unwrap().actions.len(), 1);
        let moved = Event::RankChanged { from: 10, to: 20 };
        let stopped = Event::Disabled { reason: Some("Holidays".into()) };
        let row = folded::<Rules, Rule>([created.clone(), Event::Enabled, moved, stopped]).unwrap();
        assert_eq!((row.rank, row.enabled, row.disabled_reason.as_deref()), (20, false, Some("Holidays")));
        let row = folded::<Rules, Rule>([created, Event::Enabled, Event::Deleted]).unwrap();
        assert_eq!((row.enabled, row.deleted), (false, true));
    }
}
