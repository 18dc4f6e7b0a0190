//! The pages of what goes through many records: commands for many of them, and files that are brought in.

use axum::{
    extract::{Path, State},
    response::Response,
};
use domain::{
    Aggregate,
    data::{bulk::Bulk, import::Import},
};
use serde::Deserialize;

use super::{Insider, nothing, page};
use crate::{
    app::App,
    http::kernel::{commands::id_of, request::Given, routes::Routes},
    problem::Problem,
};

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/bulk/{id}", async |app: State<App>, insider: Insider, id: Path<String>| {
            job::<Bulk>(app, insider, id, web::pages::bulk).await
        })
        .get("/imports", imports)
        .get("/imports/{id}", async |app: State<App>, insider: Insider, id: Path<String>| {
            job::<Import>(app, insider, id, web::pages::import).await
        })
}

/// What the file is said to have.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    record: Option<String>,
}

async fn imports(Insider { view, caller }: Insider, wanted: Given<Wanted>) -> Response {
    if !caller.may("import.run") {
        return nothing(&view);
    }
    page(web::pages::imports(&view, wanted.asked.record.as_deref().unwrap_or_default()))
}

/// The page of one, for whoever sees it.
async fn job<A: Aggregate>(
    State(app): State<App>,
    Insider { view, caller }: Insider,
    Path(id): Path<String>,
    shown: fn(&web::View, &str, i64) -> String,
) -> Result<Response, Problem> {
    let Ok(known) = id_of::<A>(&caller, &id) else { return Ok(nothing(&view)) };
    if !caller.may(&format!("{}.read", A::KIND)) {
        return Ok(nothing(&view));
    }
    match app.must_show(&caller, A::KIND, known).await {
        Ok(()) => {}
        Err(problem) if problem.status().is_client_error() => return Ok(nothing(&view)),
        Err(problem) => return Err(problem),
    }
    if app.log.stream_version(&caller.tenant.to_string(), &format!("{}-{known}", A::KIND)).await? < 0 {
        return Ok(nothing(&view));
    }
    Ok(page(shown(&view, &id, app.log.head().await?)))
}
