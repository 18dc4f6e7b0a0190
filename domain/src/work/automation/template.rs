//! Texts with holes: `{{ order.number }}`, and the classic `#ORDER_ID# #NAME# #PHONE# #EMAIL#`.
//!
//! A classic variable becomes an expression before anything is rendered, so that what a customer typed is never read as
//! a template. What is not there stays as it stands (a classic variable) or empty (an expression), and is reported.

use std::{collections::BTreeSet, sync::LazyLock};

use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Map, Value};

use super::{Unknown, note};

/// How much work one template may take.
const FUEL: u64 = 50_000;
/// Longest text that a template becomes, in characters.
const MAX_TEXT: usize = 20_000;

/// The classic variables, and the fields that give their value: the first one that has any.
const CLASSIC: [(&str, &[&str]); 4] = [
    ("#ORDER_ID#", &["order.number", "order.external_number"]),
    ("#NAME#", &["order.name", "contact.name", "lead.name", "conversation.visitor.name", "company.name"]),
    ("#PHONE#", &["order.phone", "contact.phone", "lead.phone", "call.from", "company.phone"]),
    ("#EMAIL#", &["order.email", "contact.email", "lead.email", "company.email"]),
];

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Chainable);
    engine.set_fuel(Some(FUEL));
    engine
});

/// What templates may name.
pub struct Context {
    values: Value,
    shown: minijinja::Value,
}

impl Context {
    /// Of these values by name.
    pub fn new(values: Map<String, Value>) -> Context {
        let shown = minijinja::Value::from(minijinja::value::Serde(&values));
        Context { values: Value::Object(values), shown }
    }

    fn get(&self, path: &str) -> Option<&Value> {
        let found = path.split('.').try_fold(&self.values, |value, part| value.get(part));
        found.filter(|value| !value.is_null())
    }

    /// Whether a path that a template names leads somewhere; what follows a text or a list is a method.
    fn knows(&self, path: &str) -> bool {
        let parts = path.split('.').try_fold(&self.values, |value, part| match value.get(part) {
            Some(Value::Null) | None if value.is_object() => Err(false),
            Some(inner) => Ok(inner),
            None => Err(true),
        });
        parts.map_or_else(|known| known, |_| true)
    }
}

/// The names that a template uses; none where it is no template.
pub(super) fn names(source: &str) -> BTreeSet<String> {
    let template = ENGINE.template_from_str(source);
    template.map(|template| template.undeclared_variables(true).into_iter().collect()).unwrap_or_default()
}

/// Refuses what is no template, saying why.
pub(super) fn check(source: &str) -> Result<(), String> {
    let every = Map::new();
    let (source, _) = with_expressions(source, &Context::new(every), true);
    ENGINE.template_from_str(&source).map(|_| ()).map_err(|error| error.to_string())
}

/// The source with its classic variables as expressions, and those without a value, which stay.
fn with_expressions(source: &str, context: &Context, all: bool) -> (String, Vec<String>) {
    let mut source = source.to_owned();
    let mut unknown = Vec::new();
    for (variable, fields) in CLASSIC {
        if !source.contains(variable) {
            continue;
        }
        match fields.iter().find(|field| all || context.get(field).is_some()) {
            Some(field) => source = source.replace(variable, &format!("{{{{ {field} }}}}")),
            None => unknown.push(variable.to_owned()),
        }
    }
    unknown.extend(strangers(&source));
    (source, unknown)
}

/// What looks like a classic variable and is none: capitals between two hashes.
fn strangers(source: &str) -> BTreeSet<String> {
    let known = |name: &str| CLASSIC.iter().any(|(variable, _)| variable.trim_matches('#') == name);
    let variable = |name: &&str| {
        name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    };
    let inner = source.split('#').skip(1);
    let count = source.matches('#').count().saturating_sub(1);
    inner.take(count).filter(variable).filter(|name| !known(name)).map(|name| format!("#{name}#")).collect()
}

/// Renders a template: its text, and what it names that is not there.
pub fn render(source: &str, context: &Context) -> (String, Vec<String>) {
    let (expressions, mut unknown) = with_expressions(source, context, false);
    let template = match ENGINE.template_from_str(&expressions) {
        Ok(template) => template,
        Err(error) => return (source.to_owned(), vec![error.to_string()]),
    };
    unknown.extend(missing(template.undeclared_variables(true), context));
    match template.render(context.shown.clone()) {
        Ok(text) => (text.chars().take(MAX_TEXT).collect(), unknown),
        Err(error) => {
            unknown.push(error.to_string());
            (source.to_owned(), unknown)
        }
    }
}

fn missing(names: impl IntoIterator<Item = String>, context: &Context) -> BTreeSet<String> {
    let global = |name: &str| ENGINE.globals().any(|(global, _)| global == name);
    names.into_iter().filter(|name| !context.knows(name) && !global(name)).collect()
}

/// Renders every text in a JSON value; one that is nothing but an expression keeps the type of its value.
pub(super) fn render_all(value: &mut Value, place: &str, context: &Context, unknown: &mut Vec<Unknown>) {
    match value {
        Value::String(source) => {
            let alone = source.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
            let alone = alone.filter(|inner| !inner.contains("{{") && !inner.contains("}}"));
            let result = alone.and_then(|expression| evaluate(expression.trim(), context));
            let (rendered, names) = result.unwrap_or_else(|| {
                let (text, names) = render(source, context);
                (text.into(), names)
            });
            note(unknown, place, names);
            *value = rendered;
        }
        Value::Array(values) => {
            for (index, value) in values.iter_mut().enumerate() {
                render_all(value, &format!("{place}/{index}"), context, unknown);
            }
        }
        Value::Object(members) => {
            for (key, value) in members {
                render_all(value, &format!("{place}/{key}"), context, unknown);
            }
        }
        _ => {}
    }
}

fn evaluate(expression: &str, context: &Context) -> Option<(Value, Vec<String>)> {
    let compiled = ENGINE.compile_expression(expression).ok()?;
    let unknown = missing(compiled.undeclared_variables(true), context).into_iter().collect();
    let value = compiled.eval(context.shown.clone()).ok()?;
    Some((serde_json::to_value(value).ok()?, unknown))
}
