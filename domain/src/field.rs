//! The custom fields that an administrator has defined for one kind of record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, Ctx, Decision, Id, Rejection, all,
    custom::{Change, Changes, Definition, Definitions, FieldType},
    must,
};

/// What an administrator may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Defines a custom field.
    Define(New),
    /// Changes its label, options, or whether it is required; its key and type stay.
    Change {
        /// Which field.
        key: String,
        /// Its new label.
        #[serde(default)]
        label: Option<String>,
        /// Its new options.
        #[serde(default)]
        options: Option<Vec<String>>,
        /// Whether it is required from now on.
        #[serde(default)]
        required: Option<bool>,
    },
    /// Offers it no longer; values that records have stay.
    Retire {
        /// Which field.
        key: String,
    },
}

/// A new custom field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// The kind of record it is for, such as `ticket`.
    pub entity: String,
    /// Its key in `custom`: small letters, digits and underscores.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,63}$"))]
    pub key: String,
    /// Its name for people; the key by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub field_type: FieldType,
    /// The choices of a select.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Whether a new record must have it.
    #[serde(default)]
    pub required: bool,
    /// Whether its values are personal data.
    #[serde(default)]
    pub personal: bool,
}

/// What has happened to the custom fields of a kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A field was defined.
    Defined(New),
    /// It changed.
    Changed {
        /// Which field.
        key: String,
        /// Each change with its old and new value.
        changes: Changes,
    },
    /// It is no longer offered.
    Retired {
        /// Which field.
        key: String,
    },
}

/// The custom fields of one kind of record.
#[derive(Clone, Default)]
pub struct Field {
    /// By key.
    pub definitions: Definitions,
}

const UNKNOWN: Rejection = Rejection::missing("field_unknown", "There is no such custom field.");
const EXISTS: Rejection = Rejection::conflict("field_exists", "A custom field with this key exists already.");
const KEY_INVALID: Rejection =
    Rejection::invalid("field_key_invalid", "A key has 1 to 64 small letters, digits and underscores, a letter first.");
const OPTIONS_NEEDED: Rejection = Rejection::invalid("field_options_needed", "A select has at least one option.");
const OPTIONS_UNFIT: Rejection = Rejection::invalid("field_options_unfit", "Only a select has options.");
const ENTITY_UNKNOWN: Rejection =
    Rejection::invalid("field_entity_unknown", "The path and the body must name one and the same kind of record.");
const RETIRED: Rejection = Rejection::conflict("field_retired", "The custom field is retired.");

impl Field {
    /// The id of the custom fields of `entity`, a kind of record.
    pub fn id_for(tenant: Id, entity: &str) -> Id {
        Id::named(&["field", &tenant.to_string(), entity])
    }

    fn known(&self, key: &str) -> Result<&Definition, Rejection> {
        self.definitions.get(key).ok_or_else(|| UNKNOWN.because(format!("There is no custom field {key}.")))
    }
}

fn check_options(field_type: FieldType, options: &[String]) -> Result<(), Rejection> {
    let select = matches!(field_type, FieldType::Select | FieldType::MultiSelect);
    match (select, options.is_empty()) {
        (true, true) => Err(OPTIONS_NEEDED.at("/options")),
        (false, false) => Err(OPTIONS_UNFIT.at("/options")),
        _ => Ok(()),
    }
}

fn define(fields: &Field, new: New, ctx: &Ctx<'_>) -> Decision<Event> {
    if ctx.id != Field::id_for(ctx.tenant, &new.entity) || !crate::catalogue::takes_custom_fields(&new.entity) {
        return Err(ENTITY_UNKNOWN.because(format!("{} takes no custom fields here.", new.entity)).at("/entity"));
    }
    let mut letters = new.key.chars();
    let starts = letters.next().is_some_and(|c| c.is_ascii_lowercase());
    let plain = letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    all([
        must(starts && new.key.len() <= 64 && plain, KEY_INVALID, "/key"),
        check_options(new.field_type, &new.options),
    ])?;
    match fields.definitions.get(&new.key) {
        None => Ok(vec![Event::Defined(new)]),
        Some(old) if !old.retired && old.field_type == new.field_type && old.options == new.options => Ok(vec![]),
        // A retired key comes back only as what it was: old values must still fit.
        Some(old) if old.retired && old.field_type == new.field_type => Ok(vec![Event::Defined(new)]),
        Some(_) => Err(EXISTS.at("/key")),
    }
}

impl Aggregate for Field {
    const KIND: &'static str = "field";
    const PLURAL: &'static str = "fields";
    const CREATE: &'static str = "define";
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        match command {
            Command::Define(new) => define(self, new, ctx),
            Command::Change { key, label, options, required } => {
                let old = self.known(&key)?;
                if old.retired {
                    return Err(RETIRED);
                }
                let mut changes = Changes::new();
                if let Some(options) = options.filter(|options| *options != old.options) {
                    check_options(old.field_type, &options)?;
                    changes.insert("options".into(), Change { from: old.options.clone().into(), to: options.into() });
                }
                if let Some(required) = required.filter(|required| *required != old.required) {
                    changes.insert("required".into(), Change { from: old.required.into(), to: required.into() });
                }
                if let Some(label) = label.filter(|label| *label != old.label) {
                    changes.insert("label".into(), Change { from: old.label.clone().into(), to: label.into() });
                }
                Ok(if changes.is_empty() { vec![] } else { vec![Event::Changed { key, changes }] })
            }
            Command::Retire { key } => {
                Ok(if self.known(&key)?.retired { vec![] } else { vec![Event::Retired { key }] })
            }
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Defined(new) => {
                let New { key, field_type, options, required, personal, label, .. } = new.clone();
                let label = label.unwrap_or_else(|| key.clone());
                let definition = Definition { field_type, label, options, required, personal, retired: false };
                self.definitions.insert(key, definition);
            }
            Event::Changed { key, changes } => {
                let Some(field) = self.definitions.get_mut(key) else { return };
                for (what, change) in changes {
                    match what.as_str() {
                        "options" => field.options = serde_json::from_value(change.to.clone()).unwrap_or_default(),
                        "required" => field.required = change.to == true,
                        "label" => field.label = change.to.as_str().unwrap_or(key).to_owned(),
                        _ => {}
                    }
                }
            }
            Event::Retired { key } => {
                if let Some(field) = self.definitions.get_mut(key) {
                    field.retired = true;
                }
            }
        }
    }

    /// A kind of record by its name: `/v1/fields/ticket/define`.
    fn id_of(tenant: Id, segment: &str) -> Option<Id> {
        segment
            .parse()
            .ok()
            .or_else(|| crate::catalogue::takes_custom_fields(segment).then(|| Field::id_for(tenant, segment)))
    }

    fn id_for_new(tenant: Id, command: &Command) -> Option<Id> {
        match command {
            Command::Define(new) => Some(Field::id_for(tenant, &new.entity)),
            _ => None,
        }
    }

    fn refusals() -> Vec<Rejection> {
        vec![UNKNOWN, EXISTS, KEY_INVALID, OPTIONS_NEEDED, OPTIONS_UNFIT, ENTITY_UNKNOWN, RETIRED]
    }

    fn examples() -> Vec<Command> {
        let key = || "serial_number".to_owned();
        vec![
            Command::Define(New {
                entity: "entitlement".into(),
                key: key(),
                label: Some("Serial number".into()),
                field_type: FieldType::Text,
                options: vec![],
                required: false,
                personal: false,
            }),
            Command::Change { key: key(), label: Some("Serial no.".into()), options: None, required: Some(true) },
            Command::Retire { key: key() },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::given::{TENANT, given};

    fn size() -> New {
        New {
            entity: "ticket".into(),
            key: "size".into(),
            label: None,
            field_type: FieldType::Select,
            options: vec!["s".into(), "m".into()],
            required: false,
            personal: false,
        }
    }

    fn for_tickets(events: impl IntoIterator<Item = Event>) -> crate::given::Given<Field> {
        given::<Field>(events).at(Field::id_for(TENANT, "ticket"))
    }

    #[test]
    fn a_field_is_defined_once() {
        for_tickets([]).when(Command::Define(size())).then([Event::Defined(size())]);
        for_tickets([Event::Defined(size())]).when(Command::Define(size())).nothing();
        let other = New { field_type: FieldType::MultiSelect, ..size() };
        for_tickets([Event::Defined(size())]).when(Command::Define(other)).rejected(EXISTS);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let refused = |new, rejection| for_tickets([]).when(Command::Define(new)).rejected(rejection);
        refused(New { options: vec![], ..size() }, OPTIONS_NEEDED);
        refused(New { field_type: FieldType::Text, ..size() }, OPTIONS_UNFIT);
        refused(New { key: "Größe".into(), ..size() }, KEY_INVALID);
        refused(New { entity: "contact".into(), ..size() }, ENTITY_UNKNOWN);
        for_tickets([]).when(Command::Retire { key: "size".into() }).rejected(UNKNOWN);
    }

    #[test]
    fn it_changes_retires_and_comes_back_as_what_it_was() {
        let change = |required| Command::Change { key: "size".into(), label: None, options: None, required };
        let changes = Changes::from([("required".into(), Change { from: false.into(), to: true.into() })]);
        let changed = Event::Changed { key: "size".into(), changes };
        for_tickets([Event::Defined(size())]).when(change(Some(true))).then([changed.clone()]);
        for_tickets([Event::Defined(size()), changed]).when(change(Some(true))).nothing();
        let retired = || [Event::Defined(size()), Event::Retired { key: "size".into() }];
        for_tickets(retired()).when(Command::Retire { key: "size".into() }).nothing();
        for_tickets(retired()).when(change(Some(true))).rejected(RETIRED);
        for_tickets(retired()).when(Command::Define(size())).then([Event::Defined(size())]);
    }
}
