//! The pages of records of every kind: which collections there are for whoever looks, and whether a record is there for him.

use std::sync::LazyLock;

use axum::{
    extract::{Path, State},
    response::Response,
};
use domain::{
    Aggregate, Id,
    catalogue::{self, Kind},
    kernel::{
        filter::FieldKind,
        listing::{self, NAMELESS},
    },
    org::{api_key::ApiKey, role::Role, session::Session, tenant::Tenant, user::User},
};
use projections::{Column, List, Refers};
use web::{Collection, View, pages};

use super::{Insider, forms, nothing, page};
use crate::{
    app::App,
    auth::Caller,
    http::{kernel::routes::Routes, openapi::tags},
    import,
    problem::Problem,
};

/// Kinds of record that have pages of their own.
const ELSEWHERE: [&str; 5] = [User::KIND, Role::KIND, Tenant::KIND, Session::KIND, ApiKey::KIND];
/// What refers to a record of the same kind, where nothing else says so.
const ALIKE: [&str; 4] = ["parent_id", "merged_into", "copied_from", "split_from"];

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/records", async |Insider { view, .. }: Insider| page(pages::records(&view)))
        .get("/records/{collection}", list)
        .get("/records/{collection}/{id}", record)
}

/// The collections that somebody may read.
pub(super) fn collections(caller: &Caller) -> impl Iterator<Item = &'static Collection> {
    COLLECTIONS.iter().filter(|collection| caller.may(&format!("{}.read", collection.kind)))
}

/// The fields that tell a record of this kind from others, the best first.
pub(in crate::http) fn told(kind: &str) -> &'static [&'static str] {
    COLLECTIONS.iter().find(|collection| collection.kind == kind).map_or(&[], |collection| &collection.told)
}

async fn list(
    State(app): State<App>,
    Insider { view, .. }: Insider,
    Path(path): Path<String>,
) -> Result<Response, Problem> {
    let Some(collection) = found(&view, &path) else { return Ok(nothing(&view)) };
    Ok(page(pages::list(&view, collection, app.log.head().await?)))
}

async fn record(
    State(app): State<App>,
    Insider { view, caller }: Insider,
    Path((path, id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let kind = found(&view, &path).and_then(|found| Some((found, catalogue::kind(found.kind)?)));
    let Some((collection, kind)) = kind else { return Ok(nothing(&view)) };
    // Some kinds have several records in one stream.
    let stream = id.parse().ok().and_then(|_: Id| kind.id_of(caller.tenant, &id));
    let Some(stream) = stream else { return Ok(nothing(&view)) };
    match app.must_show(&caller, kind.name, stream).await {
        Ok(()) => {}
        Err(problem) if problem.status().is_client_error() => return Ok(nothing(&view)),
        Err(problem) => return Err(problem),
    }
    // The log knows of it before any list does.
    if app.log.stream_version(&caller.tenant.to_string(), &kind.stream(stream)).await? < 0 {
        return Ok(nothing(&view));
    }
    Ok(page(pages::record(&view, collection, &id, app.log.head().await?)))
}

/// The collection of this name, if whoever looks may read it.
fn found(view: &View, path: &str) -> Option<&'static Collection> {
    let person = view.person.as_ref()?;
    person.collections.iter().copied().find(|collection| collection.path == path)
}

/// Every collection whose records are listed and shown one by one, by context.
static COLLECTIONS: LazyLock<Vec<Collection>> = LazyLock::new(|| {
    struct Found(Vec<(usize, Collection)>);
    impl catalogue::Visitor for Found {
        fn visit<A: Aggregate>(&mut self) {
            let (place, context) = tags::context_of::<A>();
            let collection = catalogue::kind(A::KIND).and_then(collection);
            let forms = || forms::forms::<A>();
            self.0.extend(collection.map(|collection| (place, Collection { context, forms: forms(), ..collection })));
        }
    }
    let mut found = Found(Vec::new());
    catalogue::visit_all(&mut found);
    found.0.sort_by_key(|(place, _)| *place);
    found.0.into_iter().map(|(_, collection)| collection).collect()
});

fn collection(kind: &'static Kind) -> Option<Collection> {
    let list = projections::lists().find(|list| list.lists(kind.name) && !ELSEWHERE.contains(&kind.name))?;
    projections::lists().find(|other| other.single && other.path == list.path)?;
    let known = |name: &&str| list.columns.iter().any(|column| column.name == *name);
    let of = |kind: FieldKind, nullable: bool| {
        let fit = list.columns.iter().filter(move |column| column.kind == kind && column.nullable == nullable);
        fit.map(|column| column.name)
    };
    let states: Vec<_> = ["stage", "status"].into_iter().filter(known).collect();
    let title = list.title().filter(|_| !NAMELESS.contains(&kind.name));
    let texts = [false, true].into_iter().flat_map(|nullable| of(FieldKind::Text, nullable));
    let numbers = [FieldKind::Phone, FieldKind::Email].into_iter().flat_map(|kind| of(kind, false));
    let words = of(FieldKind::Word, false).filter(|name| !states.contains(name));
    let updated = Some("updated_at").filter(known).or_else(|| of(FieldKind::Time, false).next())?;
    let references = list.columns.iter().filter_map(|column| Some((column.name, refers(kind, list, column)?)));
    Some(Collection {
        path: list.path,
        kind: kind.name,
        context: "",
        title,
        searched: title.map_or_else(|| texts.clone().collect(), |title| vec![title]),
        told: texts.chain(numbers).chain(words).filter(|name| !is_name(list, name)).collect(),
        states,
        holders: ["owner_id", "assignee_id"].into_iter().filter(known).collect(),
        changed: updated,
        references: references.collect(),
        commands: kind.commands.iter().map(String::as_str).filter(|command| *command != kind.create).collect(),
        shares: kind.commands.contains("share"),
        forms: Vec::new(),
        imports: import::kinds().contains(&kind.name),
    })
}

/// Whether a column tells what another record is called.
fn is_name(list: &List, name: &str) -> bool {
    list.columns.iter().any(|column| column.name == name && column.names.is_some())
}

/// The kind of record that a column refers to, or `@` and the column that says it.
fn refers(kind: &Kind, list: &List, column: &Column) -> Option<String> {
    if !matches!(column.kind, FieldKind::Id | FieldKind::Set) || column.name == "id" {
        return None;
    }
    let mut names = list.columns.iter().filter_map(|other| other.names);
    if let Some(name) = names.find(|name| name.column == column.name) {
        return name.by.map(|by| format!("@{by}")).or_else(|| name.kinds.first().map(|kind| (*kind).to_owned()));
    }
    match column.refers {
        Some(Refers::To(kind)) => return Some(kind.to_owned()),
        Some(Refers::By(by)) => return Some(format!("@{by}")),
        _ => {}
    }
    let mut described = kind.listing.into_iter().flat_map(|listing| &listing.columns);
    let target = |own: &listing::Column| (own.name == column.name).then(|| own.target.clone()).flatten();
    let base = column.name.trim_end_matches("_ids").trim_end_matches("_id");
    let same = ALIKE.contains(&column.name).then(|| kind.name.to_owned());
    described.find_map(target).or(same).or_else(|| catalogue::has(base).then(|| base.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::{BTreeMap, BTreeSet};

    use domain::{
        crm,
        kernel::record::Spec,
        org::{role::OF_OTHERS, stage},
    };
    use serde_json::Value;
    use web::Language;

    use super::*;
    use crate::http::openapi;

    /// What a page of a record tells elsewhere.
    const ELSEWHERE: [&str; 6] = ["id", "version", "position", "links", "shared", "custom_names"];

    /// A part of the document, or what it refers to.
    fn resolved<'a>(document: &'a Value, part: &'a Value) -> &'a Value {
        match part["$ref"].as_str() {
            Some(reference) => resolved(document, document.pointer(reference.trim_start_matches('#')).unwrap()),
            None => part,
        }
    }

    /// A schema, and all that it is made of.
    fn parts<'a>(document: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
        let schema = resolved(document, schema);
        let further = ["allOf", "anyOf", "oneOf"].iter().flat_map(|key| schema[*key].as_array().into_iter().flatten());
        [schema].into_iter().chain(further.flat_map(|part| parts(document, part))).collect()
    }

    /// What a record of a collection says, as the document has it.
    fn members(document: &Value, path: &str) -> BTreeMap<String, Value> {
        let operation = &document["paths"][format!("/v1/{path}/{{id}}")]["get"];
        let answer = resolved(document, &operation["responses"]["200"]);
        let schema = &answer["content"]["application/json"]["schema"];
        let all = parts(document, schema).into_iter().filter_map(|part| part["properties"].as_object());
        all.flatten().map(|(name, schema)| (name.clone(), schema.clone())).collect()
    }

    /// The words that a schema knows.
    fn known(document: &Value, schema: &Value) -> Vec<String> {
        let parts = parts(document, schema).into_iter();
        let words = parts.flat_map(|part| part["enum"].as_array().into_iter().flatten().chain(part.get("const")));
        words.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn whatever_the_page_of_a_record_calls_by_name_has_a_word_in_every_language() {
        let document = openapi::document();
        let mut words: BTreeSet<(&str, String)> = BTreeSet::new();
        for collection in COLLECTIONS.iter() {
            let kind = catalogue::kind(collection.kind).unwrap();
            words.extend(collection.commands.iter().map(|command| ("command", (*command).to_owned())));
            words.extend(kind.events.keys().map(|event| ("event", event.rsplit('.').next().unwrap().to_owned())));
            let members = members(&document, collection.path);
            assert!(members.len() > 5, "{} says {members:?}", collection.path);
            for (name, schema) in &members {
                let of = ["_name", "_kind"].iter().find_map(|end| name.strip_suffix(end));
                let is_said =
                    of.is_some_and(|of| members.contains_key(&format!("{of}_id"))) || name.ends_with("_names");
                if !is_said && !ELSEWHERE.contains(&name.as_str()) {
                    words.insert(("field", name.clone()));
                }
                if ["status", "stage", "stage_means"].contains(&name.as_str()) {
                    words.extend(known(&document, schema).into_iter().map(|word| ("state", word)));
                }
            }
        }
        // Roles say what one may do in the same words.
        let actions = catalogue::permissions().iter().filter_map(|permission| permission.split('.').nth(1));
        words.extend(actions.map(|action| ("command", action.trim_end_matches(OF_OTHERS).to_owned())));
        let stages = [crm::lead::Spec::STAGES, crm::enquiry::Spec::STAGES, crm::deal::Spec::STAGES].concat();
        words.extend(stages.into_iter().map(|stage| ("state", stage.to_owned())));
        words.extend(stage::usual().into_iter().map(|stage| ("state", stage.name.to_string())));
        assert!(words.len() > 450, "{}", words.len());
        for language in Language::ALL {
            let missing: Vec<_> = words
                .iter()
                .filter(|(family, name)| {
                    let base = name.trim_end_matches("_ids").trim_end_matches("_id");
                    let tried = if *family == "field" { vec![name.as_str(), base] } else { vec![name.as_str()] };
                    !tried.into_iter().any(|name| language.word(family, name).is_some_and(|word| !word.is_empty()))
                })
                .collect();
            assert!(missing.is_empty(), "{language:?} has no words for {missing:?}");
        }
    }
}
