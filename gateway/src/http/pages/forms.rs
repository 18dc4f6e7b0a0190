//! What the commands of a kind take, as a form has it: it follows from their schemas.

use domain::{
    Aggregate,
    kernel::{
        filter::FieldKind,
        reference::{ANY, COLLEAGUE, HELD, REFERENCE, SAME},
        schema::{leaf, resolved},
    },
};
use schemars::SchemaGenerator;
use serde_json::{Map, Value};
use web::{Form, FormField, Input};

/// The commands for records that are there, each with its fields.
pub(super) fn forms<A: Aggregate>() -> Vec<Form> {
    let mut generator = SchemaGenerator::default();
    let commands = A::commands(&mut generator);
    let definitions = generator.take_definitions(true);
    let offered = commands.into_iter().filter(|command| A::offers(&command.name) && command.name != A::CREATE);
    let form = |schema: &Value| {
        let needed: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let fields = schema["properties"].as_object().into_iter().flatten().map(|(name, schema)| FormField {
            name: name.clone(),
            input: input(A::KIND, schema, &definitions),
            required: needed.contains(&name.as_str()),
        });
        fields.collect()
    };
    let mut forms: Vec<Form> = offered
        .map(|command| {
            let schema = command.schema.as_value();
            Form { fields: form(resolved(schema, &definitions)), command: command.name }
        })
        .collect();
    forms.sort_by(|one, other| one.command.cmp(&other.command));
    forms
}

/// A schema without the null that it may be.
fn present<'a>(schema: &'a Value, definitions: &'a Map<String, Value>) -> &'a Value {
    let choices = schema["anyOf"].as_array().into_iter().flatten().filter(|choice| choice["type"] != "null");
    match choices.collect::<Vec<_>>().as_slice() {
        [only] => resolved(only, definitions),
        _ => resolved(schema, definitions),
    }
}

fn input(own: &'static str, schema: &Value, definitions: &Map<String, Value>) -> Input {
    let inner = present(schema, definitions);
    let target = [schema, inner].into_iter().find_map(|part| {
        [REFERENCE, HELD].into_iter().find_map(|mark| part[mark].as_str()).filter(|_| part["type"] != "object")
    });
    match target {
        Some(COLLEAGUE) => return Input::Record("user".to_owned()),
        Some(SAME) => return Input::Record(own.to_owned()),
        Some(kind) if kind != ANY && domain::catalogue::has(kind) => return Input::Record(kind.to_owned()),
        _ => {}
    }
    let words = |part: &Value| -> Vec<String> {
        let listed = part["enum"].as_array().into_iter().flatten();
        let described = part["oneOf"].as_array().into_iter().flatten().map(|choice| &choice["const"]);
        listed.chain(described).filter_map(Value::as_str).map(ToOwned::to_owned).collect()
    };
    match leaf(inner, definitions) {
        Some(FieldKind::Time) => Input::Moment,
        Some(FieldKind::Date) => Input::Day,
        Some(FieldKind::Integer) => Input::Number,
        Some(FieldKind::Bool) => Input::Switch,
        Some(FieldKind::Word) if !words(inner).is_empty() => Input::Choice(words(inner)),
        Some(FieldKind::Tags) => Input::Lines,
        Some(FieldKind::Set) => Input::Json,
        Some(_) => Input::Text,
        None => Input::Json,
    }
}

#[cfg(test)]
mod tests {
    use domain::{crm::deal, desk::ticket::Ticket, kernel::record::Record};

    use super::*;

    #[test]
    fn a_form_has_a_fitting_field_for_what_a_command_takes() {
        let forms = forms::<Ticket>();
        let of = |command: &str, field: &str| {
            let form = forms.iter().find(|form| form.command == command).unwrap_or_else(|| panic!("{command}"));
            let found = form.fields.iter().find(|known| known.name == field);
            found.map(|known| (known.input.clone(), known.required))
        };
        assert_eq!(of("assign", "assignee"), Some((Input::Record("user".into()), true)));
        assert_eq!(of("move_to_team", "team").map(|(input, _)| input), Some(Input::Record("team".into())));
        assert_eq!(of("close", "anything"), None);
        assert!(forms.iter().all(|form| form.command != Ticket::CREATE));
        let moved = super::forms::<Record<deal::Spec>>();
        assert!(moved.iter().any(|form| form.command == "tag" && form.fields[0].input == Input::Text), "{moved:?}");
    }
}
