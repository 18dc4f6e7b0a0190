//! The names of the records that custom fields refer to, joined when records are read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{
    Id,
    kernel::custom::{Definitions, FieldType, Target},
};
use eventstore::Log;
use serde_json::{Map, Value, json, value::RawValue};
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor};

use crate::{
    AsOf, Error, Sight,
    kernel::{registry, then::Then, told::veil_custom},
};

/// JSON as it goes out.
fn raw(json: String) -> Result<Box<RawValue>, sqlx::Error> {
    RawValue::from_string(json).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// Adds `custom_names` to records that have `custom`: by key, the name of the record that the field refers to, if that is
/// seen. Nothing is added where no field of the kind is a reference.
///
/// # Errors
/// When the database fails.
pub async fn name_custom(
    db: &mut PgConnection,
    tenant: Id,
    sight: &Sight,
    definitions: &Definitions,
    records: &mut [Box<RawValue>],
) -> Result<(), Error> {
    add(&mut *db, tenant, definitions, None, records).await?;
    Ok(veil_custom(db, tenant, sight, definitions, records).await?)
}

/// The same; `then` says as of when.
pub(crate) async fn add(
    db: impl PgExecutor<'_>,
    tenant: Id,
    definitions: &Definitions,
    mut then: Option<(&Log, &mut Then, AsOf)>,
    records: &mut [Box<RawValue>],
) -> Result<(), Error> {
    let fields: BTreeMap<&str, Target> = definitions
        .iter()
        .filter(|(_, field)| field.field_type == FieldType::Reference)
        .filter_map(|(key, field)| Some((key.as_str(), field.target?)))
        .collect();
    if fields.is_empty() || records.is_empty() {
        return Ok(());
    }
    let custom: Vec<Map<String, Value>> = records.iter().map(|record| custom_of(record)).collect();
    let mut names: HashMap<(Target, String), String> = HashMap::new();
    let mut wanted: Vec<(Target, BTreeSet<String>)> = Vec::new();
    for target in [Target::Contact, Target::Company, Target::User, Target::Product, Target::Property] {
        let keys: Vec<&str> = fields.iter().filter(|(_, of)| **of == target).map(|(key, _)| *key).collect();
        let ids = custom.iter().flat_map(|custom| keys.iter().filter_map(move |key| custom.get(*key)?.as_str()));
        wanted.push((target, ids.map(ToOwned::to_owned).collect()));
    }
    wanted.retain(|(_, ids)| !ids.is_empty());
    match then.as_mut() {
        Some((log, then, at)) => {
            for (target, id) in wanted.into_iter().flat_map(|(of, ids)| ids.into_iter().map(move |id| (of, id))) {
                let Ok(parsed) = id.parse() else { continue };
                let name = then.name(log, tenant, target.kind(), parsed, *at).await?;
                names.extend(name.map(|name| ((target, id), name)));
            }
        }
        None if wanted.is_empty() => {}
        None => names = present(db, tenant, wanted).await?,
    }
    for (record, custom) in records.iter_mut().zip(custom) {
        let named = fields.iter().filter_map(|(key, target)| {
            let id = custom.get(*key)?.as_str()?.to_owned();
            Some(((*key).to_owned(), json!(names.get(&(*target, id))?)))
        });
        let named: Map<String, Value> = named.collect();
        let text = record.get().trim_end();
        if let Some(fields) = text.strip_suffix('}') {
            *record = raw(format!("{fields},\"custom_names\":{}}}", Value::Object(named)))?;
        }
    }
    Ok(())
}

/// What records are called now.
async fn present(
    db: impl PgExecutor<'_>,
    tenant: Id,
    wanted: Vec<(Target, BTreeSet<String>)>,
) -> Result<HashMap<(Target, String), String>, sqlx::Error> {
    let (targets, ids): (Vec<Target>, Vec<BTreeSet<String>>) = wanted.into_iter().unzip();
    let parts = targets.iter().enumerate().filter_map(|(place, target)| {
        let (view, title) = registry::listing(target.kind())?;
        let ids = place + 2;
        Some(format!("select {place}, id, {title} from {view} where tenant_id = $1 and id = any (${ids}::text[])"))
    });
    let statement = parts.collect::<Vec<_>>().join(" union all ");
    let mut query = sqlx::query_as(AssertSqlSafe(statement)).bind(tenant.to_string());
    for ids in ids {
        query = query.bind(ids.into_iter().collect::<Vec<_>>());
    }
    let found: Vec<(i32, String, String)> = query.fetch_all(db).await?;
    let named = found.into_iter().filter_map(|(place, id, name)| {
        let target = usize::try_from(place).ok().and_then(|place| targets.get(place))?;
        Some(((*target, id), name))
    });
    Ok(named.collect())
}

fn custom_of(record: &RawValue) -> Map<String, Value> {
    #[derive(serde::Deserialize)]
    struct Custom {
        #[serde(default)]
        custom: Map<String, Value>,
    }
    serde_json::from_str::<Custom>(record.get()).map(|record| record.custom).unwrap_or_default()
}
