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

use super::{Insider, nothing, page};
use crate::{
    app::App,
    auth::Caller,
    http::{kernel::routes::Routes, openapi::tags},
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
            self.0.extend(collection.map(|collection| (place, Collection { context, ..collection })));
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
