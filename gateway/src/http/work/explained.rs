//! Why an event happened and what followed from it: causation walked both ways, from a task to the rule, the event that
//! triggered it and the person behind that, and back.

use axum::{
    Json,
    extract::{OriginalUri, Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use domain::{
    Actor, ActorKind, Aggregate, Id, Metadata, Time, Via,
    org::user::User,
    work::{
        rule::Rule,
        rule_run::{self, RuleRun},
    },
};
use eventstore::Recorded;
use projections::{
    ReadModel,
    work::causation::{Causation, effects},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::http::kernel::{
    events::{page_size, shown, with_parameter},
    request::{self, Given, Nothing, POSITION, Params},
    routes::Routes,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// Longest chain that is walked: rules end theirs long before.
const MOST_STEPS: i32 = 64;

/// `GET /events/{position}/why` and `GET /events/{position}/effects`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().get("/events/{position}/why", why).get("/events/{position}/effects", effects_of)
}

/// The version of a rule that an event speaks of.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct RuleVersion {
    /// The rule.
    id: Id,
    /// Its name as it is now.
    name: String,
    /// The type of event that triggers it.
    trigger: String,
    /// The version.
    version: u32,
    /// What that version does.
    definition: domain::work::rule::Definition,
}

/// Where a chain of causes begins.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct Origin {
    /// Who.
    actor: Actor,
    /// The actor's name, when it is a colleague.
    name: Option<String>,
    /// Through which channel.
    via: Via,
    /// By which command, a UUID.
    command_id: String,
    /// When it happened in the world.
    occurred_at: Time,
}

/// An event in a chain of causes.
#[derive(Serialize)]
struct Step {
    event: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<RuleVersion>,
}

#[derive(Serialize)]
struct Why {
    chain: Vec<Step>,
    origin: Origin,
    position: i64,
}

async fn find(app: &App, tenant: Id, position: i64) -> Result<Option<Recorded>, Problem> {
    Ok(app.log.read_positions(&tenant.to_string(), &[position]).await?.pop())
}

/// The position in a path.
fn position_of(segment: &str) -> Result<i64, Problem> {
    segment.parse().map_err(|_| event_unknown())
}

fn event_unknown() -> Problem {
    Problem::missing("event_unknown", "There is no event at this position.")
}

fn metadata(event: &Recorded) -> Result<Metadata, Problem> {
    serde_json::from_slice(&event.metadata)
        .map_err(|error| Problem::broken(&format!("event {}: {error}", event.position)))
}

async fn why(
    State(app): State<App>,
    caller: Caller,
    Path(position): Path<String>,
    Params(Nothing {}): Params<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must("event.read")?;
    request::min_position(&app, &headers, None).await?;
    let first = find(&app, caller.tenant, position_of(&position)?).await?.ok_or_else(event_unknown)?;
    if app.hides_event(&caller, &first).await? {
        return Err(event_unknown());
    }
    let mut last = metadata(&first)?;
    let mut events = vec![first];
    while let Some(cause) = last.causation_position
        && events.len() < MOST_STEPS as usize
        && let Some(event) = find(&app, caller.tenant, cause).await?
    {
        last = metadata(&event)?;
        events.push(event);
    }
    let occurred_at = events.last().map_or(Time::UNIX_EPOCH, |event| event.occurred_at);
    let name = match last.actor.kind {
        ActorKind::User => {
            let (user, _) = app.commands.load::<User>(caller.tenant, last.actor.id).await?;
            Some(user.profile.name.0.clone())
        }
        _ => None,
    };
    let Metadata { actor, via, command_id, .. } = last;
    let origin = Origin { actor, name, via, command_id, occurred_at };
    let mut chain = Vec::new();
    for event in &app.visible(&caller, events).await? {
        chain.push(Step { event: shown(event)?, rule: rule_of(&app, caller.tenant, event).await? });
    }
    let head = app.log.head().await?;
    Ok(([(POSITION, head)], Json(Why { chain, origin, position: head })).into_response())
}

/// The version that was asked, of an event that says so.
async fn rule_of(app: &App, tenant: Id, event: &Recorded) -> Result<Option<RuleVersion>, Problem> {
    if event.category() != RuleRun::KIND {
        return Ok(None);
    }
    let asked = match RuleRun::decode(&event.kind, &event.data) {
        Ok(rule_run::Event::Matched(asked) | rule_run::Event::Skipped { asked, .. }) => asked,
        _ => return Ok(None),
    };
    let (rule, _) = app.commands.load::<Rule>(tenant, asked.rule).await?;
    let published = app.commands.rule_version(tenant, asked.rule, asked.version).await?;
    Ok(published.map(|(trigger, definition, _)| RuleVersion {
        id: asked.rule,
        name: rule.name.clone(),
        trigger,
        version: asked.version,
        definition,
    }))
}

/// Which effects.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct EffectOptions {
    /// How many steps are walked: 1 for direct effects only, 64 by default and at most.
    steps: Option<i32>,
    /// Only effects after this position.
    after: Option<i64>,
    /// Effects on a page, 1 to 1000; 100 unless told otherwise.
    limit: Option<i64>,
    /// Wait until effects up to this position are known.
    min_position: Option<i64>,
}

#[derive(Serialize)]
struct Effect {
    steps: i32,
    cause: i64,
    event: Box<RawValue>,
}

#[derive(Serialize)]
struct Effects {
    data: Vec<Effect>,
    next: Option<String>,
    position: i64,
}

async fn effects_of(
    State(app): State<App>,
    caller: Caller,
    Path(position): Path<String>,
    query: Given<EffectOptions>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must("event.read")?;
    let of = position_of(&position)?;
    let Given { asked: options, mut faults } = query;
    let limit = faults.check(page_size(options.limit))?.unwrap_or_default();
    let steps = options.steps.unwrap_or(MOST_STEPS);
    if !(1..=MOST_STEPS).contains(&steps) {
        let detail = format!("steps is 1 to {MOST_STEPS}, not {steps}.");
        faults.check::<()>(Err(request::parameter_invalid("/steps", detail)))?;
    }
    let wanted = faults.check(request::min_position(&app, &headers, options.min_position).await)?.flatten();
    faults.done()?;
    let cause = find(&app, caller.tenant, of).await?.ok_or_else(event_unknown)?;
    if app.hides_event(&caller, &cause).await? {
        return Err(event_unknown());
    }
    request::reach(&app, Causation::NAME, wanted).await?;
    let known = app.reads().models.position(Causation::NAME).await?;
    let after = options.after.unwrap_or(of);
    let mut found = effects(&app.reads().pool, caller.tenant, of, steps, after, limit + 1).await?;
    let more = found.len() as i64 > limit;
    found.truncate(usize::try_from(limit).unwrap_or_default());
    let positions: Vec<i64> = found.iter().map(|effect| effect.position).collect();
    let events = app.log.read_positions(&caller.tenant.to_string(), &positions).await?;
    let next = positions.last().filter(|_| more).map(|last| with_parameter(&uri, "after", &last.to_string()));
    let mut data = Vec::new();
    // Both are in the order of positions, and every position found has its event.
    for (effect, event) in found.iter().zip(&events) {
        if app.hides_event(&caller, event).await? {
            continue;
        }
        data.push(Effect { steps: effect.steps, cause: effect.cause, event: shown(event)? });
    }
    Ok(([(POSITION, known)], Json(Effects { data, next, position: known })).into_response())
}
