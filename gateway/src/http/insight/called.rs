//! What records are called, as the pages of their lists call them: by what they tell of themselves and of others that one sees.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::HeaderMap;
use domain::{
    Id,
    kernel::{filter::FieldKind, listing::NAMELESS},
};
use projections::List;
use serde_json::{Map, Value, json};

use super::reports::{self, column};
use crate::http::{kernel::lists, pages::records};
use crate::{app::App, auth::Caller, problem::Problem};

/// Those whom a record names as its people: they are responsible for several.
const PEOPLE: [&str; 4] = ["assignee_name", "owner_name", "user_name", "author_name"];
/// Letters of a line.
const LINE: usize = 140;

/// What a row of a list is called: its number and its title; or the names of others that it tells; or what else tells it from others.
pub(in crate::http) fn called(list: &List, row: &Map<String, Value>) -> Option<String> {
    let title = list.title().filter(|_| !NAMELESS.contains(&list.read));
    let text = |name: &str| column(row, name).as_str().map(shortened).filter(|text| !text.is_empty());
    let name = match title {
        Some(title) => text(title),
        None => {
            let others = row.iter().filter(|(key, _)| key.ends_with("_name") && !PEOPLE.contains(&key.as_str()));
            let others: Vec<String> = others.filter_map(|(key, _)| text(key)).take(2).collect();
            let told = || records::told(list.read).iter().find_map(|name| text(name));
            if others.is_empty() { told() } else { Some(others.join(" · ")) }
        }
    };
    let number = row.get("number").and_then(Value::as_i64).map(|number| format!("#{number}"));
    let parts: Vec<String> = number.into_iter().chain(name).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn shortened(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    if line.chars().count() > LINE { line.chars().take(LINE - 1).chain(['…']).collect() } else { line.to_owned() }
}

/// What records of a kind are called, of those that the caller sees: as they are, or as they were then.
pub(in crate::http) async fn names(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    kind: &str,
    ids: BTreeSet<Id>,
    as_of: Option<&str>,
) -> Result<BTreeMap<Id, String>, Problem> {
    let mut names = BTreeMap::new();
    let Some(list) = reports::list_of(kind).filter(|_| caller.may(&format!("{kind}.read"))) else { return Ok(names) };
    // What is put away is named too.
    let hidden = list.columns.iter().filter(|column| column.hides && column.kind == FieldKind::Bool);
    let hidden = hidden.map(|column| json!({ "field": column.name, "op": "in", "value": [true, false] }));
    let hidden: Vec<Value> = hidden.collect();
    let ids: Vec<Id> = ids.into_iter().collect();
    for ids in ids.chunks(projections::MAX_LIMIT as usize) {
        let mut all = vec![json!({ "field": "id", "op": "in", "value": ids })];
        all.extend(hidden.iter().cloned());
        let asked = lists::Plain {
            filter: json!({ "all": all }),
            limit: Some(projections::MAX_LIMIT),
            as_of: as_of.map(ToOwned::to_owned),
            ..lists::Plain::default()
        };
        for row in lists::plain(list, app, caller, headers, asked).await?.rows {
            let id = row.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
            names.extend(id.zip(called(list, &row)));
        }
    }
    Ok(names)
}
