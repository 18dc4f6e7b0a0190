//! The help centre: articles that are published, and whether they helped.

use axum::{
    extract::{Form as Encoded, Path, Query},
    http::StatusCode,
    response::Response,
};
use commands::Refused;
use domain::{
    Aggregate, Id, Time,
    desk::{
        article::{self, Article},
        article_category::ArticleCategory,
    },
    kernel::named::Either,
};
use projections::ListRequest;
use serde::Deserialize;
use serde_json::{Value, json};
use web::{Language, pages};

use super::{Here, named};
use crate::{
    http::pages::{page, page_as, redirect},
    problem::Problem,
};

/// Most articles that are shown at once.
const MOST: u32 = 200;

/// What is looked for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Sought {
    q: String,
}

/// An article as its list tells it.
#[derive(Deserialize)]
struct Row {
    id: Id,
    published_name: Option<String>,
    published_body: Option<String>,
    published_category_id: Option<Id>,
    published_language: Option<String>,
    published_at: Option<Time>,
}

/// A category as its list tells it.
#[derive(Deserialize)]
struct Category {
    id: Id,
    name: String,
    description: Option<String>,
}

/// What is in the language of whoever looks, or in none; all of it where there is nothing such.
fn readable(language: Language, rows: Vec<Row>) -> Vec<Row> {
    let fits = |row: &Row| row.published_language.as_deref().is_none_or(|tag| Language::of_tag(tag) == Some(language));
    if rows.iter().any(fits) { rows.into_iter().filter(fits).collect() } else { rows }
}

pub(super) async fn home(here: Here, Query(Sought { q }): Query<Sought>) -> Result<Response, Problem> {
    let sought: String = q.trim().chars().take(200).collect();
    let mut help = pages::PortalHelp { welcome: here.portal.welcome.clone(), sought, ..Default::default() };
    if here.frame.help {
        help.shelves = shelves(&here, &help.sought).await?;
    }
    help.form = here.form().await?;
    Ok(page(pages::portal_help(&here.view, &here.frame, &help)))
}

async fn shelves(here: &Here, sought: &str) -> Result<Vec<pages::PortalShelf>, Problem> {
    // Each word is somewhere in it.
    let words = sought.split_whitespace().take(10).map(|word| {
        let of = |field: &str| json!({ "field": field, "op": "contains", "value": word });
        json!({ "any": [of("published_name"), of("published_body")] })
    });
    let published = json!({ "field": "status", "op": "eq", "value": "published" });
    let all: Vec<Value> = [published].into_iter().chain(words).collect();
    let filter = json!({ "all": all });
    let request = || ListRequest { limit: MOST, ..ListRequest::default() };
    let (rows, _) = here.listed::<Row>(Article::KIND, &filter, "name", request()).await?;
    let rows = readable(here.view.language, rows);
    let all = json!({ "field": "archived", "op": "eq", "value": false });
    let (categories, _) = here.listed::<Category>(ArticleCategory::KIND, &all, "place,name", request()).await?;
    let link = |row: &Row| pages::PortalLink {
        path: format!("{}/articles/{}", here.home(), row.id),
        title: row.published_name.clone().unwrap_or_default(),
        lead: row.published_body.as_deref().map(pages::lead_of).filter(|lead| !lead.is_empty()),
    };
    let within = |category: &Category| pages::PortalShelf {
        name: Some(category.name.clone()),
        description: category.description.clone(),
        articles: rows.iter().filter(|row| row.published_category_id == Some(category.id)).map(link).collect(),
    };
    let mut shelves: Vec<pages::PortalShelf> = categories.iter().map(within).collect();
    let known = |row: &&Row| categories.iter().any(|category| row.published_category_id == Some(category.id));
    let rest: Vec<pages::PortalLink> = rows.iter().filter(|row| !known(row)).map(link).collect();
    let name = shelves.iter().any(|shelf| !shelf.articles.is_empty()).then(|| pages::portal_rest(&here.view));
    shelves.push(pages::PortalShelf { name, description: None, articles: rest });
    Ok(shelves)
}

/// Whether the page comes after a vote.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Voted {
    voted: bool,
}

pub(super) async fn article(
    here: Here,
    path: Path<(String, String)>,
    Query(Voted { voted }): Query<Voted>,
) -> Result<Response, Problem> {
    let Some((id, published)) = published(&here, named(&path)).await? else { return Ok(here.missing()) };
    let only = json!({ "field": "id", "op": "eq", "value": id.to_string() });
    let request = ListRequest { limit: 1, ..ListRequest::default() };
    let (rows, _) = here.listed::<Row>(Article::KIND, &only, "name", request).await?;
    let at = rows.first().and_then(|row| row.published_at);
    let category = match published.category {
        Some(category) => {
            let (known, _) = here.app.commands.load::<ArticleCategory>(here.tenant, category).await?;
            known.fields.as_ref().map(|fields| fields.name.clone())
        }
        None => None,
    };
    let shown = pages::PortalArticle {
        path: format!("{}/articles/{id}", here.home()),
        title: published.name,
        body: published.body,
        language: published.language,
        published_at: at.map(|at| at.to_string()),
        category,
        voted,
        form: here.form().await?,
    };
    Ok(page(pages::portal_article(&here.view, &here.frame, &shown)))
}

/// What is read of an article, as the log has it now.
async fn published(here: &Here, id: Option<Id>) -> Result<Option<(Id, article::Fields)>, Problem> {
    let Some(id) = id.filter(|_| here.frame.help) else { return Ok(None) };
    let (known, _) = here.app.commands.load_current::<Article>(here.tenant, id).await?;
    let fields = known.state.published.as_deref().filter(|_| known.is_live());
    Ok(fields.map(|fields| (id, fields.clone())))
}

/// Whether it helped.
#[derive(Deserialize)]
pub(super) struct Vote {
    helpful: bool,
}

pub(super) async fn vote(
    here: Here,
    path: Path<(String, String)>,
    Encoded(Vote { helpful }): Encoded<Vote>,
) -> Result<Response, Problem> {
    here.browser.must_not_be_foreign()?;
    let Some((id, _)) = published(&here, named(&path)).await? else { return Ok(here.missing()) };
    // Whoever is signed in is known; of all others one address is one reader.
    let reader = match &here.customer {
        Some(customer) => customer.contact.to_string(),
        None => here.browser.address.map(|address| address.to_string()).unwrap_or_default(),
    };
    let voter = Id::named(&["reader", &here.tenant.to_string(), &reader]);
    here.app.flood.take(here.browser.address, voter, 1)?;
    let by = here.customer.as_ref().map_or(Id::NIL, |customer| customer.signed);
    let envelope = here.app.as_reader(here.tenant, by, id);
    let command = Either::Own(article::Command::Vote { voter, helpful });
    match here.app.commands.dispatch::<Article>(&envelope, command).await {
        Ok(_) => redirect(&format!("{}/articles/{id}?voted=true", here.home())),
        // It was taken away a moment ago, or enough have said so.
        Err(Refused::Rejected(_)) => {
            Ok(page_as(StatusCode::NOT_FOUND, pages::portal_missing(&here.view, Some(&here.frame))))
        }
        Err(refused) => Err(refused.into()),
    }
}
