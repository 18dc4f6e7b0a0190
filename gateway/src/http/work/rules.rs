//! What rules have besides lists: their runs, and rehearsals of rules that are not published yet.

use axum::{
    Json,
    extract::{OriginalUri, Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use commands::{Draft, Envelope, Over, Unrehearsed};
use domain::{
    Time, Via, catalogue,
    kernel::{
        access::Reach,
        filter::{Condition, FieldKind, Filter, Scalar, Test},
    },
    work::rule::Rule,
};
use jiff::SignedDuration;
use projections::work::rule_runs::RuleRuns;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::http::kernel::{
    commands::id_of,
    events::page_size,
    lists::{self, Asked},
    request::{Body, Given, Nothing, POSITION, Params},
    routes::Routes,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// `GET /rules/{id}/runs`, `POST /rules/dry_run` and `POST /rules/backtest`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().get("/rules/{id}/runs", runs).post("/rules/dry_run", dry_run).post("/rules/backtest", backtest)
}

async fn runs(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    asked: Given<Asked<String>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must("rule_run.read")?;
    let id = id_of::<Rule>(&caller, &id)?;
    if app.commands.find::<Rule>(caller.tenant, id).await?.is_none() {
        return Err(Problem::missing("rule_unknown", "There is no such rule."));
    }
    let of_rule = Test::Eq(Scalar::Text(id.to_string()));
    let of_rule = Condition { field: "rule_id".into(), kind: FieldKind::Id, test: of_rule };
    lists::part(projections::List::of::<RuleRuns>(), &app, &caller, &uri, &headers, asked, Filter::Condition(of_rule))
        .await
}

/// A draft and one past event.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DryRunRequest")]
pub(in crate::http) struct OneEvent {
    /// The rule as it would be.
    draft: Draft,
    /// The position of the event.
    position: i64,
}

/// A draft and a part of the log.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BacktestRequest")]
pub(in crate::http) struct ManyEvents {
    /// The rule as it would be.
    draft: Draft,
    /// Only events recorded at or after.
    #[serde(default)]
    from: Option<Time>,
    /// Only events recorded before.
    #[serde(default)]
    to: Option<Time>,
    /// Only events after this position.
    #[serde(default)]
    after: Option<i64>,
    /// Only events up to this position.
    #[serde(default)]
    until: Option<i64>,
    /// How many runs are told one by one: 1 to 1000, 100 by default. Totals are of all.
    #[serde(default)]
    limit: Option<i64>,
    /// Where the runs that are told begin: `next` of the page before.
    #[serde(default)]
    cursor: Option<i64>,
}

/// Who rehearses: whoever may create rules or publish versions of them, and sees all that rules see.
fn rehearsing(app: &App, caller: &Caller) -> Result<Envelope, Problem> {
    // Rules see what only colleagues may see.
    if caller.is_outside() {
        return Err(Problem::forbidden("rule.create"));
    }
    if !caller.may("rule.publish") {
        caller.must("rule.create")?;
    }
    // Nor do they know walls. What a rehearsal tells, its totals and who would be chosen included, comes of every record that
    // a rule sees: nothing of it is left for whoever sees only some of them.
    for kind in catalogue::kinds().filter(|kind| kind.document.is_some() && kind.open.is_none()) {
        let read = format!("{}.read", kind.name);
        match caller.authority.reach(&read) {
            Some(Reach::All) => {}
            Some(_) if kind.private && !caller.may(&format!("{read}_any")) => {
                return Err(Problem::forbidden(&format!("{read}_any")));
            }
            Some(_) => return Err(Problem::forbidden(&format!("{read} without a scope"))),
            None => return Err(Problem::forbidden(&read)),
        }
    }
    let envelope = Envelope::new(caller.tenant, app.new_id(), caller.actor.clone(), Via::Api, app.now());
    Ok(Envelope { authority: caller.authority.clone(), ..envelope })
}

async fn dry_run(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
    body: Body,
) -> Result<Response, Problem> {
    let envelope = rehearsing(&app, &caller)?;
    let like = json!({ "draft": { "trigger": "", "definition": commands::example("rule", "publish") }, "position": 1 });
    let OneEvent { draft, position } = body.read(&like)?;
    let trigger = draft.trigger.clone();
    let done = app.commands.dry_run(&envelope, draft, position).await;
    let done = done.map_err(|error| below_draft(error, &trigger))?;
    Ok(Json(done).into_response())
}

async fn backtest(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
    body: Body,
) -> Result<Response, Problem> {
    let envelope = rehearsing(&app, &caller)?;
    let like = json!({ "draft": { "trigger": "", "definition": commands::example("rule", "publish") } });
    let ManyEvents { draft, from, to, after, until, limit, cursor } = body.read(&like)?;
    let trigger = draft.trigger.clone();
    let limit = page_size(limit)?;
    let before = |instant: Time| instant.saturating_sub(SignedDuration::from_micros(1)).unwrap_or(Time::MIN);
    let (mut low, mut high) = (after.unwrap_or(0).max(0), app.log.head().await?.min(until.unwrap_or(i64::MAX)));
    if let Some(from) = from {
        low = low.max(app.log.position_at(before(from)).await?);
    }
    if let Some(to) = to {
        high = high.min(app.log.position_at(before(to)).await?);
    }
    let over = Over {
        after: low,
        until: high,
        end: to.map_or(envelope.now, |to| to.min(envelope.now)),
        beyond: cursor.unwrap_or(0),
        limit: usize::try_from(limit).unwrap_or_default(),
    };
    // It goes through memory and takes a core: one after the other.
    let _turn = app.rehearsals.acquire().await.map_err(|error| Problem::broken(&error))?;
    let done = app.commands.backtest(&envelope, draft, over).await;
    let done = done.map_err(|error| below_draft(error, &trigger))?;
    Ok(([(POSITION, high)], Json(done)).into_response())
}

fn below_draft(error: Unrehearsed, trigger: &str) -> Problem {
    match error {
        Unrehearsed::NoEvent => Problem::missing("event_unknown", "There is no event at this position."),
        Unrehearsed::OtherEvent(found) => {
            let detail = format!("The event is {found}, and the draft is triggered by {trigger}.");
            Problem::invalid("rule_event_unfit", detail).at("/position")
        }
        Unrehearsed::Refused(refused) => Problem::from(refused).below("/draft"),
    }
}
