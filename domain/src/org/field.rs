//! The custom fields that an administrator has defined for one kind of record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    Aggregate, Ctx, Decision, Id, Rejection, all,
    kernel::{
        choice::{self, Named, OPTIONS_INVALID},
        custom::{Change, Changes, Definition, Definitions, FieldType, Target},
    },
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
        /// Its new options, first to last; what is not said of one stays as it was, and one that is not named is retired:
        /// records that have it keep it, and nobody is offered it.
        #[serde(default)]
        options: Option<Vec<Named>>,
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
    /// The choices of a select, first to last: plain words, or with label and colour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Named>,
    /// The kind of record that a reference names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
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
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
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
const TARGET_NEEDED: Rejection =
    Rejection::invalid("field_target_needed", "A reference, and nothing else, says which kind of record it names.");
const ENTITY_UNKNOWN: Rejection =
    Rejection::invalid("field_entity_unknown", "The path and the body must name one and the same kind of record.");
const RETIRED: Rejection = Rejection::conflict("field_retired", "The custom field is retired.");

impl Field {
    /// The id of the custom fields of `entity`, a kind of record.
    pub fn id_for(tenant: Id, entity: &str) -> Id {
        Id::named(&["field", &tenant.to_string(), entity])
    }

    /// The id of one custom field, whose definitions are those of `fields`: its first half is theirs.
    pub fn of(fields: Id, key: &str) -> Id {
        let one = Id::named(&["custom_field", &fields.to_string(), key]);
        Id::from_bits(fields.bits() & !ONE | one.bits() & ONE)
    }

    /// The kind of record whose custom fields have this id, or whose custom field has it, and the id of all of them.
    fn all_of(tenant: Id, one: Id) -> Option<(&'static str, Id)> {
        let mut all = crate::catalogue::kinds().filter(|kind| crate::catalogue::takes_custom_fields(kind.name));
        all.find_map(|kind| {
            let fields = Field::id_for(tenant, kind.name);
            (fields.bits() & !ONE == one.bits() & !ONE).then_some((kind.name, fields))
        })
    }

    fn known(&self, key: &str) -> Result<&Definition, Rejection> {
        self.definitions.get(key).ok_or_else(|| UNKNOWN.because(format!("There is no custom field {key}.")))
    }
}

/// The part of an id that tells the custom fields of one kind of record apart.
const ONE: u128 = (1 << 64) - 1;

fn check_options(field_type: FieldType, options: &[Named]) -> Result<(), Rejection> {
    let select = matches!(field_type, FieldType::Select | FieldType::MultiSelect);
    choice::check(options)?;
    match (select, options.iter().all(|option| option.retired)) {
        (true, true) => Err(OPTIONS_NEEDED.at("/options")),
        (false, false) => Err(OPTIONS_UNFIT.at("/options")),
        _ => Ok(()),
    }
}

/// The options after a recorded change of them, which names all of them.
pub fn options_after(before: &[choice::Choice], to: &Value) -> Vec<choice::Choice> {
    let named: Vec<Named> = serde_json::from_value(to.clone()).unwrap_or_default();
    choice::after(before, &named)
}

fn define(fields: &Field, new: New, ctx: &Ctx<'_>) -> Decision<Event> {
    if ctx.id != Field::id_for(ctx.tenant, &new.entity) || !crate::catalogue::takes_custom_fields(&new.entity) {
        return Err(ENTITY_UNKNOWN.because(format!("{} takes no custom fields here.", new.entity)).at("/entity"));
    }
    let mut letters = new.key.chars();
    let starts = letters.next().is_some_and(|c| c.is_ascii_lowercase());
    let plain = letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let targeted = new.target.is_some() == (new.field_type == FieldType::Reference);
    all([
        must(starts && new.key.len() <= 64 && plain, KEY_INVALID, "/key"),
        check_options(new.field_type, &new.options),
        must(targeted, TARGET_NEEDED, "/target"),
    ])?;
    let same = |old: &Definition| (old.field_type, old.target) == (new.field_type, new.target);
    match fields.definitions.get(&new.key) {
        None => Ok(vec![Event::Defined(new)]),
        Some(old) if !old.retired && same(old) && old.options == choice::after(&old.options, &new.options) => {
            Ok(vec![])
        }
        // A retired key comes back only as what it was: old values must still fit.
        Some(old) if old.retired && same(old) => Ok(vec![Event::Defined(new)]),
        Some(_) => Err(EXISTS.at("/key")),
    }
}

impl Aggregate for Field {
    const KIND: &'static str = "field";
    const PLURAL: &'static str = "fields";
    const CREATE: &'static str = "define";
    const OPEN: Option<&'static str> = Some("records have such fields");
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
                if let Some(options) = options {
                    check_options(old.field_type, &options)?;
                    let options = choice::after(&old.options, &options);
                    if options != old.options {
                        let recorded = |options| json!(choice::recorded(options));
                        let change = Change { from: recorded(&old.options), to: recorded(&options) };
                        changes.insert("options".into(), change);
                    }
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

    fn undo(&self, event: &Event) -> Option<Vec<Command>> {
        Some(vec![match event {
            Event::Defined(new) => Command::Retire { key: new.key.clone() },
            Event::Changed { .. } | Event::Retired { .. } => return None,
        }])
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Defined(new) => {
                let New { key, field_type, options, required, personal, label, target, .. } = new.clone();
                let label = label.unwrap_or_else(|| key.clone());
                let before = self.definitions.get(&key).map(|old| old.options.as_slice()).unwrap_or_default();
                let options = choice::after(before, &options);
                let definition = Definition { field_type, label, options, target, required, personal, retired: false };
                self.definitions.insert(key, definition);
            }
            Event::Changed { key, changes } => {
                let Some(field) = self.definitions.get_mut(key) else { return };
                for (what, change) in changes {
                    match what.as_str() {
                        "options" => field.options = options_after(&field.options, &change.to),
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

    /// A kind of record by its name, `/v1/fields/ticket/define`, or one field by its id.
    fn id_of(tenant: Id, segment: &str) -> Option<Id> {
        match segment.parse() {
            Ok(id) => Some(Field::all_of(tenant, id).map_or(id, |(_, all)| all)),
            Err(_) => crate::catalogue::takes_custom_fields(segment).then(|| Field::id_for(tenant, segment)),
        }
    }

    fn about(tenant: Id, id: Id) -> Option<&'static str> {
        Field::all_of(tenant, id).map(|(entity, _)| entity)
    }

    fn part(&self, whole: Id, part: Id) -> Option<Map<String, Value>> {
        let key = self.definitions.keys().find(|key| Field::of(whole, key) == part)?;
        Some(Map::from_iter([("key".to_owned(), key.clone().into())]))
    }

    fn known_as(id: Id, command: &Command) -> Id {
        match command {
            Command::Define(New { key, .. }) | Command::Change { key, .. } | Command::Retire { key } => {
                Field::of(id, key)
            }
        }
    }

    fn id_for_new(tenant: Id, command: &Command) -> Option<Id> {
        match command {
            Command::Define(new) => Some(Field::id_for(tenant, &new.entity)),
            _ => None,
        }
    }

    fn refusals() -> Vec<Rejection> {
        let mut refusals = vec![UNKNOWN, EXISTS, KEY_INVALID, OPTIONS_NEEDED, OPTIONS_UNFIT, ENTITY_UNKNOWN, RETIRED];
        refusals.extend([OPTIONS_INVALID, TARGET_NEEDED]);
        refusals
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
                target: None,
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
    use crate::kernel::given::{TENANT, given};

    fn size() -> New {
        New {
            entity: "ticket".into(),
            key: "size".into(),
            label: None,
            field_type: FieldType::Select,
            options: vec!["s".into(), "m".into()],
            target: None,
            required: false,
            personal: false,
        }
    }

    fn for_tickets(events: impl IntoIterator<Item = Event>) -> crate::kernel::given::Given<Field> {
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
        refused(New { target: Some(Target::User), ..size() }, TARGET_NEEDED);
        refused(New { field_type: FieldType::Reference, options: vec![], ..size() }, TARGET_NEEDED);
        refused(New { options: vec!["s".into(), "s".into()], ..size() }, OPTIONS_INVALID);
        refused(New { key: "Größe".into(), ..size() }, KEY_INVALID);
        refused(New { entity: "contact".into(), ..size() }, ENTITY_UNKNOWN);
        for_tickets([]).when(Command::Retire { key: "size".into() }).rejected(UNKNOWN);
    }

    #[test]
    fn renaming_and_retiring_options_changes_how_they_are_shown_and_nothing_else() {
        let options = |json: Value| Command::Change {
            key: "size".into(),
            label: None,
            options: Some(serde_json::from_value(json).unwrap()),
            required: None,
        };
        let changed = |from: Value, to: Value| Event::Changed {
            key: "size".into(),
            changes: Changes::from([("options".into(), Change { from, to })]),
        };
        let renamed = || changed(json!(["s", "m"]), json!([{ "value": "s", "label": "Small" }, "m"]));
        let defined = || for_tickets([Event::Defined(size())]);
        defined().when(options(json!([{ "value": "s", "label": "Small" }, "m"]))).then([renamed()]);
        let both = || for_tickets([Event::Defined(size()), renamed()]);
        both().when(options(json!(["s", "m"]))).nothing();
        let retired = changed(
            json!([{ "value": "s", "label": "Small" }, "m"]),
            json!(["m", { "value": "s", "label": "Small", "retired": true }]),
        );
        both().when(options(json!(["m"]))).then([retired.clone()]);
        let state = for_tickets([Event::Defined(size()), renamed(), retired]).state;
        let shown: Vec<_> = state.definitions["size"].options.iter().map(|o| (o.value.as_str(), o.retired)).collect();
        assert_eq!(shown, [("m", false), ("s", true)]);
        both().when(options(json!([{ "value": "s", "retired": true }]))).rejected(OPTIONS_NEEDED);
    }

    #[test]
    fn each_field_has_an_id_by_which_it_is_found() {
        let fields = Field::id_for(TENANT, "ticket");
        let one = Field::of(fields, "size");
        assert_ne!(one, Field::of(fields, "color"));
        assert_eq!(Field::id_of(TENANT, &one.to_string()), Some(fields));
        assert_eq!(Field::id_of(TENANT, "ticket"), Some(fields));
        let state = for_tickets([Event::Defined(size())]).state;
        assert_eq!(state.part(fields, one).map(|part| part["key"].clone()), Some("size".into()));
        assert_eq!(state.part(fields, Field::of(fields, "color")), None);
        assert_eq!(Field::known_as(fields, &Command::Retire { key: "size".into() }), one);
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
