//! Other records as they were at a point in the past, so that a record of then is shown with the names of then.

use std::collections::{BTreeMap, BTreeSet};

use domain::Id;
use eventstore::{Direction, Log};
use serde_json::{Map, Value};

use crate::{
    AsOf, Error, Keys, Listed, Unreadable, as_of,
    model::{Model, models},
    registry,
};

/// The rows of other records at a point in the past.
#[derive(Debug, Default)]
pub(crate) struct Then {
    /// By read model and id.
    rows: BTreeMap<(&'static str, Id), Option<Value>>,
}

impl Then {
    /// The rows that a list joins to one of its own, as they were then, by read model. `also` has further ids to look for:
    /// of those that went on for merged ones.
    pub(crate) async fn of<M: Listed>(
        &mut self,
        log: &Log,
        tenant: Id,
        row: &Value,
        also: &Value,
        at: AsOf,
    ) -> Result<Value, Error> {
        let mut named = BTreeSet::new();
        ids(row, &mut named);
        ids(also, &mut named);
        let mut rows = Map::new();
        for (model, kind) in joined([M::SELECT, M::JOINS]) {
            let mut wanted = named.clone();
            if M::NAMED_BY.contains(&model.name) {
                wanted.extend(all(log, tenant, model.name).await?);
            }
            let mut of_model = Vec::new();
            for id in existing(log, tenant, kind, wanted).await? {
                of_model.extend(self.row(log, tenant, model, kind, id, at).await?);
            }
            rows.insert(model.name.to_owned(), of_model.into());
        }
        if FUNCTIONS.iter().any(|(function, _)| M::SELECT.contains(function)) {
            let mut names = Map::new();
            for kind in registry::listed_kinds() {
                for id in existing(log, tenant, kind, named.clone()).await? {
                    let name = self.name(log, tenant, kind, id, at).await?;
                    names.extend(name.map(|name| (format!("{kind}-{id}"), name.into())));
                }
            }
            rows.insert("read_name".into(), names.into());
        }
        Ok(Value::Object(rows))
    }

    /// What a record was called then, as `read_name` calls it now.
    pub(crate) async fn name(
        &mut self,
        log: &Log,
        tenant: Id,
        kind: &'static str,
        id: Id,
        at: AsOf,
    ) -> Result<Option<String>, Error> {
        let Some(model) = registry::listing_model(kind).and_then(Model::named) else { return Ok(None) };
        let Some(row) = self.row(log, tenant, model, kind, id, at).await? else { return Ok(None) };
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        Ok(match kind {
            "order" => Some(format!("#{}", row["number"])),
            "conversation" => match row["contact_id"].as_str().and_then(|contact| contact.parse().ok()) {
                Some(contact) => Box::pin(self.name(log, tenant, "contact", contact, at)).await?,
                None => text(&row["visitor"]["name"]),
            },
            _ => text(&row["name"]).or_else(|| text(&row["title"])),
        })
    }

    async fn row(
        &mut self,
        log: &Log,
        tenant: Id,
        model: &'static Model,
        kind: &str,
        id: Id,
        at: AsOf,
    ) -> Result<Option<Value>, Error> {
        if let Some(known) = self.rows.get(&(model.name, id)) {
            return Ok(known.clone());
        }
        let mut events = as_of::events(log, tenant, kind, id, at).await?;
        if events.is_empty() {
            // What refers to it was told to have happened before it was entered: it has the name that it got first.
            let stream = format!("{kind}-{id}");
            events = log.read_stream(&tenant.to_string(), &stream, 0, Direction::Forward, 1).await?;
        }
        events.retain(|event| matches!((model.keys)(event), Keys::One(key) if key == id));
        let row = match model.fold_row(id, &events)? {
            Some((row, version, position)) => {
                let stored = model.stored(&tenant.to_string(), id, (&row, version, position));
                Some(stored.map_err(|error| Unreadable(error.to_string()))?)
            }
            None => None,
        };
        self.rows.insert((model.name, id), row.clone());
        Ok(row)
    }
}

/// Everything in a JSON value that may be the id of a record.
fn ids(value: &Value, found: &mut BTreeSet<Id>) {
    match value {
        Value::String(text) if text.len() == ID_LENGTH => found.extend(text.parse::<Id>()),
        Value::Array(values) => values.iter().for_each(|value| ids(value, found)),
        Value::Object(values) => values.values().for_each(|value| ids(value, found)),
        _ => {}
    }
}

/// Letters of an id.
const ID_LENGTH: usize = 26;

/// Those of them that are records of this kind.
async fn existing(log: &Log, tenant: Id, kind: &str, ids: BTreeSet<Id>) -> Result<Vec<Id>, Error> {
    let streams: Vec<String> = ids.iter().map(|id| format!("{kind}-{id}")).collect();
    let known = log.known_streams(&tenant.to_string(), &streams).await?;
    Ok(known.iter().filter_map(|stream| stream.split_once('-')?.1.parse().ok()).collect())
}

/// Every record of a read model.
async fn all(log: &Log, tenant: Id, model: &str) -> Result<Vec<Id>, Error> {
    let statement = format!("select id from read_{model} where tenant_id = $1");
    let ids: Vec<String> =
        sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).bind(tenant.to_string()).fetch_all(log.pool()).await?;
    Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
}

/// The read models that a list joins, and the kinds of records they are of.
fn joined(text: [&str; 2]) -> Vec<(&'static Model, &'static str)> {
    let joined = |model: &&'static Model| text.iter().any(|text| text.contains(&from(model.name)));
    let one = |model: &'static Model| match model.kinds {
        [kind] => Some((model, *kind)),
        _ => None,
    };
    models().into_iter().filter(joined).filter_map(one).collect()
}

/// A read model as the statements of lists name it.
fn from(model: &str) -> String {
    format!("read_{model} ")
}

/// Functions of the database that name records of any kind, and what takes their place.
const FUNCTIONS: [(&str, &str); 2] =
    [("read_name(t.tenant_id,", "read_name_then("), ("read_names(t.tenant_id,", "read_names_then(")];

/// The same statement with the rows of then instead of those of now. `rows` is the placeholder of what [`Then::of`] found.
pub(crate) fn instead(mut statement: String, rows: &Value, placeholder: &str) -> String {
    for model in rows.as_object().into_iter().flat_map(Map::keys) {
        let then = format!(
            "(select * from json_populate_recordset(null::read_{model}, {placeholder}::text::json->'{model}')) "
        );
        statement = statement.replace(&from(model), &then);
    }
    for (function, then) in FUNCTIONS {
        statement = statement.replace(function, &format!("{then}{placeholder}::text::json,"));
    }
    statement
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::conversations::Conversations;

    #[test]
    fn what_a_list_joins_is_found_and_replaced() {
        let found = joined([Conversations::SELECT, Conversations::JOINS]);
        let mut found: Vec<_> = found.into_iter().map(|(model, kind)| (model.name, kind)).collect();
        found.sort_unstable();
        assert_eq!(found, [("contacts", "contact"), ("labels", "label"), ("users", "user")]);
        let statement = instead("left join read_users u on true".into(), &json!({ "users": [] }), "$3");
        let then = "(select * from json_populate_recordset(null::read_users, $3::text::json->'users'))";
        assert_eq!(statement, format!("left join {then} u on true"));
    }

    #[test]
    fn ids_are_found_wherever_they_are() {
        let id = crate::fold::tests::id(7);
        let mut found = BTreeSet::new();
        ids(&json!({ "a": [{ "b": id }, "x", 1], "c": null }), &mut found);
        assert_eq!(found, BTreeSet::from([id]));
    }
}
