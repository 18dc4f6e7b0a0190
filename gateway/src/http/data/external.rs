//! Records by what another system calls them: created or brought up to date without knowing their ids.

use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use commands::{Accepted, Refused, Undecoded};
use domain::{
    Aggregate, Id, PartyKind, Rejection,
    crm::{company, contact},
    desk::{
        entitlement::{Command, Entitlement, Status},
        product,
    },
    kernel::{
        external::ExternalId,
        named::{Named, Undecodable},
        record::{Record, Spec},
        text::composed,
    },
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::http::kernel::{
    lists,
    request::{self, Body, Nothing, POSITION, Params},
    routes::Routes,
    write::{Write, answer, is_new},
};
use crate::{
    app::App,
    auth::Caller,
    import::{self, Lookup, LookupError, Standing, Unfit, Wanted},
    problem::Problem,
};

/// How often an upsert starts again when somebody else created the record meanwhile.
const ATTEMPTS: usize = 3;

/// `PUT` and `GET` `/{kind}/by/external/{source}/{id}` of the kinds that other systems know; `DELETE` of entitlements.
pub(in crate::http) fn routes() -> Routes {
    let routes = record::<contact::Spec>(Routes::new());
    let routes = record::<company::Spec>(routes);
    let routes = record::<product::Spec>(routes);
    let path = path_of::<Entitlement>();
    routes.get(&path, entitlement).put(&path, put_entitlement).delete(&path, revoke)
}

fn record<S: Spec>(routes: Routes) -> Routes {
    let path = path_of::<Record<S>>();
    routes.get(&path, get::<S>).put(&path, put::<S>)
}

fn path_of<A: Aggregate>() -> String {
    format!("/{}/by/external/{{source}}/{{id}}", A::PLURAL)
}

/// The place of a record that another system calls so.
type Called = Path<(String, String)>;

fn called((source, external_id): (String, String)) -> Result<ExternalId, Problem> {
    let [source, external_id] = [source, external_id].map(|text| composed(&text).into_owned());
    let id = ExternalId { source, external_id };
    id.check()?;
    Ok(id)
}

/// The record that another system calls so, or the one that goes on for it.
async fn find<A: Aggregate>(app: &App, caller: &Caller, called: &ExternalId) -> Result<Option<Id>, Problem> {
    let Some(first) = import::external(&app.log, caller.tenant, A::KIND, called).await? else { return Ok(None) };
    let mut chain = vec![first];
    while let Some(last) = chain.last() {
        let (state, _) = app.commands.load_current::<A>(caller.tenant, *last).await?;
        match state.merged_into().filter(|next| !chain.contains(next)) {
            Some(next) => chain.push(next),
            None => break,
        }
    }
    Ok(chain.pop())
}

fn unknown<A: Aggregate>(called: &ExternalId) -> Problem {
    let kind = A::KIND;
    let detail = format!("{} knows no {} {}.", called.source, kind.replace('_', " "), called.external_id);
    Problem::missing(format!("{kind}_unknown"), detail)
}

/// Refuses a name that a record has which the caller does not see: as taken, which is all that can be said of it, and not as
/// missing, since none can be created under it.
async fn must_not_be_hidden<A: Aggregate>(app: &App, caller: &Caller, found: Option<Id>) -> Result<(), Problem> {
    match found {
        Some(id) if app.conceals(caller, A::KIND, id).await? => {
            let taken = format!("{}_external_id_taken", A::KIND);
            let refusal = A::refusals().into_iter().find(|refusal| refusal.code == taken);
            Err(refusal.map_or_else(|| Problem::broken(&format!("{taken} is no refusal")), Into::into))
        }
        _ => Ok(()),
    }
}

/// What `PUT` may say of a record besides its attributes, and by which command it changes.
const BESIDES: &[&str] = &["owner", "stage", "tags"];

async fn put<S: Spec>(
    State(app): State<App>,
    Path(path): Called,
    write: Write,
    body: Body,
) -> Result<Response, Problem> {
    let called = called(path)?;
    let caller = &write.caller;
    let Value::Object(said) = &body.value else {
        return Err(Problem::invalid("body_invalid", "The body is a JSON object."));
    };
    let new = import::id_of(caller.tenant, &called.source, S::KIND, &called.external_id);
    let mut envelope = write.envelope(&app, new, &body.bytes)?.told_from_outside();
    for attempt in 1.. {
        let found = find::<Record<S>>(&app, caller, &called).await?;
        must_not_be_hidden::<Record<S>>(&app, caller, found).await?;
        let named = match found {
            Some(_) => edits(said),
            None => vec![
                ("create", Value::Object(said.iter().filter(|(_, value)| !value.is_null()).map(owned).collect())),
                ("add_external_id", json!(called)),
            ],
        };
        let mut commands = Vec::new();
        for (name, data) in named {
            // Its external id is part of what it is created with.
            if name != "add_external_id" {
                caller.must(&format!("{}.{name}", S::KIND))?;
            }
            commands.push(decoded::<Record<S>>(name, &data)?);
        }
        match app.commands.dispatch_all::<Record<S>>(envelope.about(found.unwrap_or(new)), commands).await {
            Err(Refused::Rejected(refused)) if found.is_none() && attempt < ATTEMPTS && lost::<Record<S>>(&refused) => {
            }
            outcome => return Ok(upserted(&outcome?, S::PLURAL)),
        }
    }
    Err(Problem::unavailable("busy", "Too many others are changing this record. Try again."))
}

/// A command by its name, or everything that is wrong with its body.
fn decoded<A: Aggregate>(name: &str, body: &Value) -> Result<A::Command, Problem> {
    let decode = |body| <A::Command as Named>::from_value(name, body);
    let like = commands::example(A::KIND, name).unwrap_or_default();
    decode(body.clone()).map_err(|_| Problem::undecodable(Undecoded::of(body, &like, decode).faults))
}

fn owned((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}

/// What changes about a record that exists.
fn edits(said: &Map<String, Value>) -> Vec<(&'static str, Value)> {
    let plain = said.iter().filter(|(key, _)| !BESIDES.contains(&key.as_str())).map(owned);
    let mut edits = vec![("edit", Value::Object(plain.collect()))];
    if let Some(owner) = said.get("owner") {
        edits.push(("change_owner", json!({ "owner": owner })));
    }
    if let Some(stage) = said.get("stage").filter(|stage| !stage.is_null()) {
        edits.push(("move_stage", json!({ "stage": stage })));
    }
    for tag in said.get("tags").and_then(Value::as_array).into_iter().flatten() {
        edits.push(("tag", json!({ "tag": tag })));
    }
    edits
}

/// Whether somebody else created the record between look-up and creation.
fn lost<A: Aggregate>(refused: &Rejection) -> bool {
    let code = refused.code.strip_prefix(A::KIND).unwrap_or_default();
    code == "_exists" || code == "_external_id_taken"
}

fn upserted(accepted: &Accepted, plural: &str) -> Response {
    answer(accepted, is_new(accepted).then_some(plural))
}

/// A record's state as the log has it, and its version as ETag.
fn shown<A: Aggregate>(app: &App, id: Id, version: i64, mut body: Map<String, Value>) -> Response {
    let position = *app.log.tail().watch().borrow();
    let own = format!("/v1/{}/{id}", A::PLURAL);
    body.insert("id".into(), json!(id));
    body.insert("version".into(), version.into());
    body.insert("position".into(), position.into());
    body.insert("links".into(), lists::links(A::KIND, &own));
    let mut headers = HeaderMap::new();
    headers.insert(POSITION, position.into());
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        headers.insert(header::ETAG, tag);
    }
    (headers, Json(body)).into_response()
}

async fn get<S: Spec>(
    State(app): State<App>,
    caller: Caller,
    Path(path): Called,
    Params(Nothing {}): Params<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must(&format!("{}.read", S::KIND))?;
    request::min_position(&app, &headers, None).await?;
    let called = called(path)?;
    let id = find::<Record<S>>(&app, &caller, &called).await?.ok_or_else(|| unknown::<Record<S>>(&called))?;
    if !app.shows(&caller, S::KIND, id).await? {
        return Err(unknown::<Record<S>>(&called));
    }
    let (record, version) = app.commands.load_current::<Record<S>>(caller.tenant, id).await?;
    let Ok(Value::Object(mut body)) = serde_json::to_value(&record.fields) else {
        return Err(unknown::<Record<S>>(&called));
    };
    body.insert("custom".into(), json!(record.custom));
    body.insert("owner".into(), json!(record.owner));
    body.insert("archived".into(), record.archived.into());
    if !S::STAGES.is_empty() {
        body.insert("stage".into(), record.stage.clone().into());
    }
    Ok(shown::<Record<S>>(&app, id, version, body))
}

async fn entitlement(
    State(app): State<App>,
    caller: Caller,
    Path(path): Called,
    Params(Nothing {}): Params<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must("entitlement.read")?;
    request::min_position(&app, &headers, None).await?;
    let called = called(path)?;
    let id = find::<Entitlement>(&app, &caller, &called).await?.ok_or_else(|| unknown::<Entitlement>(&called))?;
    if !app.shows(&caller, Entitlement::KIND, id).await? {
        return Err(unknown::<Entitlement>(&called));
    }
    let (state, version) = app.commands.load_current::<Entitlement>(caller.tenant, id).await?;
    let Ok(Value::Object(mut body)) = serde_json::to_value(&state.details) else {
        return Err(unknown::<Entitlement>(&called));
    };
    body.insert("product".into(), json!(state.product));
    body.insert("holder".into(), json!(state.holder));
    body.insert("status".into(), import::status_name(state.status).into());
    body.insert("custom".into(), json!(state.custom));
    body.insert("source".into(), called.source.into());
    body.insert("external_id".into(), called.external_id.into());
    Ok(shown::<Entitlement>(&app, id, version, body))
}

/// An entitlement as another system tells of it. Details (`contract_number`, `serial_number`, `price`, `quantity`,
/// `valid_from`, `valid_to`) and `custom` stand beside these; null clears one.
#[derive(Debug, Deserialize)]
pub(in crate::http) struct Told {
    /// The product: its id, or `source:external_id`. Needed for a new one, and never changes.
    #[serde(default)]
    product: Option<String>,
    /// Who owns it. Needed for a new one.
    #[serde(default)]
    holder: Option<Holder>,
    /// Whether it is `active` (the default) or `revoked`.
    #[serde(default)]
    status: Option<String>,
    #[serde(flatten)]
    details: Map<String, Value>,
}

/// Who owns it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Holder {
    kind: PartyKind,
    /// Its id, its e-mail address, or `source:external_id`.
    id: String,
}

async fn put_entitlement(
    State(app): State<App>,
    Path(path): Called,
    write: Write,
    body: Body,
) -> Result<Response, Problem> {
    let called = called(path)?;
    let caller = &write.caller;
    let new = import::id_of(caller.tenant, &called.source, Entitlement::KIND, &called.external_id);
    let mut envelope = write.envelope(&app, new, &body.bytes)?;
    let told: Told = body.read(&json!({}))?;
    let lookup = Lookup::new(app.log.clone(), caller.tenant);
    let mut faults = Vec::new();
    let product = match &told.product {
        Some(product) => unless_missing(lookup.product(product).await, "/product", &mut faults)?,
        None => None,
    };
    let holder = match &told.holder {
        Some(Holder { kind, id }) => {
            let mut found = lookup.holder(*kind, id).await;
            if let Ok(party) = &found
                && app.conceals(caller, kind.name(), party.id).await?
            {
                found = Err(LookupError::no_holder(*kind, id));
            }
            unless_missing(found, "/holder/id", &mut faults)?
        }
        None => None,
    };
    let standing = match told.status.as_deref() {
        None | Some("active") => Standing::Active,
        Some("revoked") => Standing::Revoked,
        Some(other) => {
            let detail = format!("status is active or revoked, not {other}.");
            faults.push(Problem::invalid("status_invalid", detail).at("/status"));
            Standing::Active
        }
    };
    if let Some(first) = faults.into_iter().reduce(Problem::beside) {
        return Err(first);
    }
    for attempt in 1.. {
        let found = find::<Entitlement>(&app, caller, &called).await?;
        must_not_be_hidden::<Entitlement>(&app, caller, found).await?;
        let id = found.unwrap_or(new);
        let (state, _) = app.commands.load_current::<Entitlement>(caller.tenant, id).await?;
        let wanted = Wanted {
            product,
            holder,
            details: told.details.clone(),
            standing: Some(standing),
            external: Some(called.clone()),
        };
        let commands = import::upsert(&state, wanted).map_err(|unfit| match unfit {
            Unfit::Rejected(rejection) => rejection.into(),
            Unfit::Undecodable(error) => undecodable(&told.details, error),
        })?;
        for command in &commands {
            caller.must(&format!("{}.{}", Entitlement::KIND, command.encode().0))?;
        }
        let creates = state.status == Status::Missing;
        match app.commands.dispatch_all::<Entitlement>(envelope.about(id), commands).await {
            Err(Refused::Rejected(refused)) if creates && attempt < ATTEMPTS && lost::<Entitlement>(&refused) => {}
            outcome => return Ok(upserted(&outcome?, Entitlement::PLURAL)),
        }
    }
    Err(Problem::unavailable("busy", "Too many others are changing this record. Try again."))
}

/// Everything that is wrong with the details of a new entitlement.
fn undecodable(details: &Map<String, Value>, first: Undecodable) -> Problem {
    let like = commands::example(Entitlement::KIND, Entitlement::CREATE).unwrap_or_default();
    let mut body = details.clone();
    for name in ["product", "holder"] {
        body.insert(name.to_owned(), like[name].clone());
    }
    let decode = |body| Command::from_value(Entitlement::CREATE, body);
    let faults = Undecoded::of(&Value::Object(body), &like, decode).faults;
    Problem::undecodable(if faults.is_empty() { vec![first] } else { faults })
}

/// What was found, or one more fault when there is no such thing.
fn unless_missing<T>(
    found: Result<T, LookupError>,
    pointer: &str,
    faults: &mut Vec<Problem>,
) -> Result<Option<T>, Problem> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(LookupError::None(fault)) => {
            faults.push(Problem::invalid(fault.code, fault.reason).at(pointer));
            Ok(None)
        }
        Err(LookupError::Log(error)) => Err(error.into()),
    }
}

/// Why an entitlement is taken away.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Why {
    #[serde(default)]
    reason: Option<String>,
}

async fn revoke(State(app): State<App>, Path(path): Called, write: Write, body: Body) -> Result<Response, Problem> {
    write.caller.must("entitlement.revoke")?;
    let called = called(path)?;
    let id = find::<Entitlement>(&app, &write.caller, &called).await?.ok_or_else(|| unknown::<Entitlement>(&called))?;
    if app.conceals(&write.caller, Entitlement::KIND, id).await? {
        return Err(unknown::<Entitlement>(&called));
    }
    let envelope = write.envelope(&app, id, &body.bytes)?;
    let Why { reason } = body.read(&json!({}))?;
    let accepted = app.commands.dispatch::<Entitlement>(&envelope, Command::Revoke { reason }).await?;
    Ok(answer(&accepted, None))
}
