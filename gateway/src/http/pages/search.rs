//! The page of a search: what the API finds, told on the server, so that it is there without scripts too.

use axum::{
    extract::{Query, State},
    response::Response,
};
use domain::{Aggregate, kernel::search::Piece, org::user::User};
use serde::Deserialize;
use web::{
    Refusal, View,
    pages::{Found, FoundGroup, FoundHit},
};

use super::{Insider, page};
use crate::{
    app::App,
    http::insight::search::{SearchAnswer, SearchHit, SearchOptions, found},
    problem::Problem,
};

/// Records of each kind on the page.
const LIMIT: usize = 20;

/// What is in the address.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct Asked {
    q: String,
    archived: bool,
}

pub(super) async fn search(
    State(app): State<App>,
    Insider { view, caller }: Insider,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Asked { q, archived } = asked.map(|Query(asked)| asked).unwrap_or_default();
    if q.trim().is_empty() {
        return Ok(page(web::pages::search(&view, "", archived, None)));
    }
    let options = SearchOptions { q: q.clone(), limit: Some(LIMIT), archived, ..SearchOptions::default() };
    match found(&app, &caller, &options).await {
        Ok(answer) => Ok(page(web::pages::search(&view, &q, archived, Some(&shown(answer))))),
        Err(problem) if problem.status().is_client_error() => {
            let (code, detail) = problem.told();
            let view = View { refusal: Some(Refusal { code, detail, fields: Vec::new() }), ..view };
            Ok(page(web::pages::search(&view, &q, archived, None)))
        }
        Err(problem) => Err(problem),
    }
}

fn shown(answer: SearchAnswer) -> Found {
    let groups = answer.data.into_iter().map(|group| FoundGroup {
        count: format!("{}{}", group.count, if group.more { "+" } else { "" }),
        kind: group.kind,
        hits: group.hits.into_iter().map(hit).collect(),
    });
    Found { groups: groups.collect(), similar: answer.similar }
}

fn hit(found: SearchHit) -> FoundHit {
    let parts = |pieces: Vec<Piece>| pieces.into_iter().map(|piece| (piece.text, piece.hit)).collect();
    let SearchHit { hit, links } = found;
    let record = links.get("about").or_else(|| links.get("self")).map_or("", String::as_str);
    FoundHit {
        // Colleagues have a page of their own.
        path: if hit.kind == User::KIND { "/people".to_owned() } else { record.replacen("/v1/", "/records/", 1) },
        title: parts(hit.title),
        number: hit.number,
        happened_at: hit.happened_at.to_string(),
        lines: hit.fragments.into_iter().map(|fragment| parts(fragment.text)).collect(),
    }
}
