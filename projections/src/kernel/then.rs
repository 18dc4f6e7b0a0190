//! Other records as they were at a point in the past, so that a record of then is shown with the names of then.

use std::collections::{BTreeMap, BTreeSet};

use domain::Id;
use eventstore::{Log, Recorded};
use serde_json::{Map, Value};

use crate::{
    AsOf, Error, Keys, List, Unreadable,
    kernel::{
        model::{Model, models},
        registry,
    },
};

/// The rows of other records at a point in the past.
#[derive(Debug, Default)]
pub(crate) struct Then {
    /// By read model and id, of all that was ever looked for; none where there is no such record.
    rows: BTreeMap<(&'static str, Id), Option<Value>>,
}

/// A read model and a record that it may have a row of.
type Wanted = (&'static Model, Id);

impl Then {
    /// The rows that a list joins to one of its own, as they were then, by read model, and under `read_name` what records of
    /// any kind were called, where it asks for that. `also` has further ids to look for: of those that went on for merged ones.
    pub(crate) async fn of(
        &mut self,
        list: &'static List,
        log: &Log,
        tenant: Id,
        row: &Value,
        also: &Value,
        at: AsOf,
    ) -> Result<Value, Error> {
        let mut named = BTreeSet::new();
        ids(row, &mut named);
        ids(also, &mut named);
        ids(&self.through(list, log, tenant, row, at).await?, &mut named);
        let mut wanted: Vec<Wanted> = Vec::new();
        for model in joined(list) {
            wanted.extend(named.iter().map(|id| (model, *id)));
            if list.named_by.contains(&model.name) {
                wanted.extend(all(log, tenant, model).await?.into_iter().map(|id| (model, id)));
            }
        }
        let listings: Vec<&'static Model> = if names_any(list) { registry::listings().collect() } else { Vec::new() };
        let anybody: Vec<Wanted> = listings.iter().flat_map(|model| named.iter().map(|id| (*model, *id))).collect();
        self.look(log, tenant, wanted.iter().chain(&anybody), at).await?;
        let mut rows: BTreeMap<&str, Vec<Value>> = joined(list).map(|model| (model.name, Vec::new())).collect();
        for (model, id) in wanted {
            let row = self.rows.get(&(model.name, id)).cloned().flatten();
            rows.entry(model.name).or_default().extend(row);
        }
        let mut names = Map::new();
        for (model, id) in anybody {
            let Some(kind) = model.kinds().first() else { continue };
            let name = self.name(log, tenant, kind, id, at).await?;
            names.extend(name.map(|name| (format!("{kind}-{id}"), name.into())));
        }
        let mut found: Map<String, Value> =
            rows.into_iter().map(|(model, rows)| (model.to_owned(), rows.into())).collect();
        found.insert("read_name".into(), names.into());
        Ok(Value::Object(found))
    }

    /// The rows, as they were then, of records that a list joins to one of its own to find further ones by.
    pub(crate) async fn through(
        &mut self,
        list: &'static List,
        log: &Log,
        tenant: Id,
        row: &Value,
        at: AsOf,
    ) -> Result<Value, Error> {
        let mut named = BTreeSet::new();
        ids(row, &mut named);
        let models = joined(list).filter(|model| list.through.contains(&model.name));
        let wanted: Vec<Wanted> = models.flat_map(|model| named.iter().map(move |id| (model, *id))).collect();
        self.look(log, tenant, &wanted, at).await?;
        let rows = wanted.iter().filter_map(|(model, id)| self.rows.get(&(model.name, *id)).cloned().flatten());
        Ok(rows.collect())
    }

    /// What a record was called then, as `read_name` calls it now.
    pub(crate) async fn name(
        &mut self,
        log: &Log,
        tenant: Id,
        kind: &str,
        id: Id,
        at: AsOf,
    ) -> Result<Option<String>, Error> {
        let Some(model) = registry::listings().find(|model| model.kinds() == [kind]) else { return Ok(None) };
        self.look(log, tenant, [&(model, id)], at).await?;
        let Some(row) = self.rows.get(&(model.name, id)).cloned().flatten() else { return Ok(None) };
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

    /// Looks for what has not been looked for yet: once for which of them there are, then for the events of those.
    async fn look<'a>(
        &mut self,
        log: &Log,
        tenant: Id,
        wanted: impl IntoIterator<Item = &'a Wanted>,
        at: AsOf,
    ) -> Result<(), Error> {
        let is_new = |(model, id): &&Wanted| !self.rows.contains_key(&(model.name, *id));
        let new: Vec<Wanted> = wanted.into_iter().filter(is_new).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        let stream = |(model, id): &Wanted| format!("{}-{id}", model.kinds().first().unwrap_or(&""));
        let streams: Vec<String> = new.iter().map(stream).collect();
        let tenant = tenant.to_string();
        let known: BTreeSet<String> = log.known_streams(&tenant, &streams).await?.into_iter().collect();
        let (known, missing): (Vec<_>, Vec<_>) =
            new.into_iter().zip(streams).partition(|(_, stream)| known.contains(stream));
        self.rows.extend(missing.into_iter().map(|((model, id), _)| ((model.name, id), None)));
        for known in known.chunks(STREAMS) {
            let streams: Vec<_> = known.iter().map(|(_, stream)| (tenant.clone(), stream.clone())).collect();
            let events = log.read_streams(&streams, i64::MAX).await?;
            let of: BTreeMap<&str, &[Recorded]> = events
                .chunk_by(|one, other| one.stream == other.stream)
                .filter_map(|events| Some((&*events.first()?.stream, events)))
                .collect();
            for ((model, id), stream) in known {
                let row = row(&tenant, model, *id, of.get(&**stream).copied().unwrap_or_default(), at)?;
                self.rows.insert((model.name, *id), row);
            }
        }
        Ok(())
    }
}

/// Streams whose events are read at once.
const STREAMS: usize = 200;

/// The row of a record then, of all events of its stream.
fn row(tenant: &str, model: &Model, id: Id, events: &[Recorded], at: AsOf) -> Result<Option<Value>, Error> {
    let mut then: Vec<Recorded> = events.iter().filter(|event| at.includes(event)).cloned().collect();
    if then.is_empty() {
        // What refers to it was told to have happened before it was entered: it has the name that it got first.
        then.extend(events.first().cloned());
    }
    then.retain(|event| matches!((model.keys)(event), Keys::One(key) if key == id));
    let folded = model.fold_row(id, &then)?;
    let stored = folded.map(|(row, version, position)| model.stored(tenant, id, (&row, version, position))).transpose();
    Ok(stored.map_err(|error| Unreadable(error.to_string()))?)
}

/// Everything in a JSON value that may be the id of a record.
pub(crate) fn ids(value: &Value, found: &mut BTreeSet<Id>) {
    match value {
        Value::String(text) if text.len() == ID_LENGTH => found.extend(text.parse::<Id>()),
        Value::Array(values) => values.iter().for_each(|value| ids(value, found)),
        Value::Object(values) => values.values().for_each(|value| ids(value, found)),
        _ => {}
    }
}

/// Letters of an id.
const ID_LENGTH: usize = 26;

/// Every record of a read model.
async fn all(log: &Log, tenant: Id, model: &Model) -> Result<Vec<Id>, Error> {
    let statement = format!("select id from read_{} where tenant_id = $1", model.name);
    let ids: Vec<String> =
        sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).bind(tenant.to_string()).fetch_all(log.pool()).await?;
    Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
}

/// The read models of one kind of records that a list joins.
fn joined(list: &'static List) -> impl Iterator<Item = &'static Model> {
    let joins = |model: &&Model| [list.select, list.joins].iter().any(|sql| sql.contains(&from(model.name)));
    models().filter(|model| model.kinds().len() == 1).filter(joins)
}

/// A read model as the statements of lists name it.
fn from(model: &str) -> String {
    format!("read_{model} ")
}

/// Functions of the database that name records of any kind, and what takes their place.
const FUNCTIONS: [(&str, &str); 2] =
    [("read_name(t.tenant_id,", "read_name_then("), ("read_names(t.tenant_id,", "read_names_then(")];

/// Whether a list names records of any kind.
pub(crate) fn names_any(list: &'static List) -> bool {
    FUNCTIONS.iter().any(|(function, _)| list.select.contains(function))
}

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
    use crate::chat::conversations::Conversations;

    #[test]
    fn what_a_list_joins_is_found_and_replaced() {
        let mut found: Vec<_> = joined(List::of::<Conversations>()).map(|model| model.name).collect();
        found.sort_unstable();
        assert_eq!(found, ["channels", "contacts", "labels", "users"]);
        let statement = instead("left join read_users u on true".into(), &json!({ "users": [] }), "$3");
        let then = "(select * from json_populate_recordset(null::read_users, $3::text::json->'users'))";
        assert_eq!(statement, format!("left join {then} u on true"));
    }

    #[test]
    fn ids_are_found_wherever_they_are() {
        let id = crate::kernel::fold::tests::id(7);
        let mut found = BTreeSet::new();
        ids(&json!({ "a": [{ "b": id }, "x", 1], "c": null }), &mut found);
        assert_eq!(found, BTreeSet::from([id]));
    }
}
