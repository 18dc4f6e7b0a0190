//! What rules have besides lists: their runs, and rehearsals of rules that are not published yet.

use axum::{
    extract::{OriginalUri, Path, State},
    http::HeaderMap,
    response::Response,
};
use domain::{
    filter::{Condition, FieldKind, Filter, Scalar, Test},
    rule::Rule,
};
use projections::rule_runs::RuleRuns;

use super::{
    commands::id_of,
    lists::{self, Asked},
    request::Params,
    routes::Routes,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// `GET /rules/{id}/runs`.
pub(super) fn routes() -> Routes {
    Routes::new().get("/rules/{id}/runs", runs)
}

async fn runs(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(asked): Params<Asked<String>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must("rule_run.read")?;
    let id = id_of::<Rule>(&caller, &id)?;
    let (rule, _) = app.commands.load::<Rule>(caller.tenant, id).await?;
    if rule.name.is_empty() {
        return Err(Problem::missing("rule_unknown", "There is no such rule."));
    }
    let of_rule = Test::Eq(Scalar::Text(id.to_string()));
    let of_rule = Condition { field: "rule_id".into(), kind: FieldKind::Id, test: of_rule };
    lists::part::<RuleRuns>(&app, &caller, &uri, &headers, asked, Filter::Condition(of_rule)).await
}
