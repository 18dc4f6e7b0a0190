//! Custom-field definitions, a row for each field of each kind of record. Table: `read_fields`.

use domain::{
    Aggregate, Id, Time,
    kernel::{
        choice::{self, Choice},
        custom::{FieldType, Target},
    },
    org::field::{self, Event, Field},
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Column, Keys, Listed, ReadModel, Sort, Unreadable, decode, kernel::fold::raise};

/// The custom fields.
#[derive(Clone, Copy, Debug)]
pub struct Fields;

/// A custom field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// The kind of record it is for.
    pub entity: String,
    /// Its key in `custom`.
    pub key: String,
    /// Its name for people.
    pub label: String,
    /// Its type.
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// The choices of a select, retired ones included.
    pub options: Vec<Choice>,
    /// The kind of record that a reference names.
    pub target: Option<Target>,
    /// Whether a new record must have it.
    pub required: bool,
    /// Whether its values are personal data.
    pub personal: bool,
    /// No longer offered; old values stay.
    pub retired: bool,
    /// When it was first defined.
    pub defined_at: Time,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A custom field.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Follows from kind and key; its commands take it.
    pub id: Id,
    /// How many events its kind's fields had had when it last changed, less one.
    pub version: i64,
    /// The position of its last event.
    pub position: i64,
    /// The field itself.
    #[serde(flatten)]
    pub row: Row,
}

/// The part of every event of custom fields that says which one.
#[derive(Deserialize)]
struct Which {
    key: String,
}

impl ReadModel for Fields {
    const NAME: &'static str = "fields";
    const VERSION: i32 = 2;
    const KINDS: &'static [&'static str] = &[Field::KIND];
    const OWN: bool = false;
    type Row = Row;

    fn keys(event: &Recorded) -> Keys {
        match event.decode::<Which>() {
            Ok(which) => {
                event.key().parse().map_or_else(|_| Keys::own(event), |all| Keys::One(Field::of(all, &which.key)))
            }
            // `apply` finds out what is wrong with it.
            Err(_) => Keys::own(event),
        }
    }

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Field>(event)?;
        if let Event::Defined(new) = happened {
            return Ok(Some(Row {
                label: new.label.unwrap_or_else(|| new.key.clone()),
                entity: new.entity,
                key: new.key,
                field_type: new.field_type,
                options: choice::after(
                    row.as_ref().map(|row| row.options.as_slice()).unwrap_or_default(),
                    &new.options,
                ),
                target: new.target,
                required: new.required,
                personal: new.personal,
                retired: false,
                defined_at: row.map_or(at, |row| row.defined_at),
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Defined(_) => {}
            Event::Changed { changes, .. } => {
                for (what, change) in changes {
                    match what.as_str() {
                        "label" => row.label = change.to.as_str().unwrap_or(&row.key).to_owned(),
                        "options" => row.options = field::options_after(&row.options, &change.to),
                        "required" => row.required = change.to == true,
                        _ => {}
                    }
                }
            }
            Event::Retired { .. } => row.retired = true,
        }
        Ok(Some(row))
    }
}

impl Listed for Fields {
    const PATH: &'static str = Field::PLURAL;
    /// One field by its id. Those of a whole kind are no single record.
    fn stream_of(tenant: Id, id: Id) -> Id {
        Field::id_of(tenant, &id.to_string()).unwrap_or(id)
    }
    const READ: &'static str = Field::KIND;
    const ABOUT: Option<&'static str> = Some("entity");
    type View = View;
    const COLUMNS: &'static [Column] = &[
        Column::word("entity"),
        Column::word("key"),
        Column::text("label"),
        Column::word("type"),
        Column::word("target").nullable(),
        Column::bool("required"),
        Column::bool("personal"),
        Column::bool("retired"),
        Column::time("defined_at"),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("entity"), Sort::ascending("key")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.entity, t.key, t.label, t.type, t.options, t.target, \
        t.required, \
        t.personal, t.retired, t.defined_at, t.updated_at";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{at, event, folded, recorded, refuses_strangers};

    #[test]
    fn a_field_changes_retires_and_comes_back() {
        let defined = json!({ "entity": "ticket", "key": "size", "type": "select", "options": ["s"] });
        let defined = event::<Field>("defined", defined);
        refuses_strangers::<Fields, Field>(&defined);
        let changes = json!({ "key": "size", "changes": {
            "options": { "from": ["s"], "to": ["s", "m"] }, "required": { "from": false, "to": true } } });
        let events = vec![defined.clone(), event::<Field>("changed", changes), Event::Retired { key: "size".into() }];
        let row = folded::<Fields, Field>(events.clone()).unwrap();
        assert_eq!((row.label.as_str(), row.options.len(), row.required, row.retired), ("size", 2, true, true));
        let row = folded::<Fields, Field>(events.into_iter().chain([defined])).unwrap();
        assert_eq!((row.retired, row.defined_at, row.updated_at), (false, at(0), at(3)));
    }

    #[test]
    fn each_key_has_a_row_of_its_own() {
        let keys = |key: &str| Fields::keys(&recorded::<Field>(0, &Event::Retired { key: key.into() }));
        assert_eq!(keys("size"), keys("size"));
        assert_ne!(keys("size"), keys("colour"));
    }
}
