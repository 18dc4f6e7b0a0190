//! The intake over HTTP: what shops and telephone systems hand in, and the bodies as they came.

use axum::{
    Json,
    body::Body as Sent,
    extract::{FromRequestParts, Path, Request, State},
    http::{HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use commands::Envelope;
use domain::{
    Aggregate, Authority, Id,
    data::{
        delivery::{self, Command, Delivery, Received, Status},
        intake_source::{self, IntakeSource, Takes},
    },
    kernel::{record, reference::Subject},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::Value;

use crate::http::kernel::{
    commands::id_of,
    request::{self, Nothing, Params},
    routes::Routes,
    write::{Answer, Write, answer_with, is_new},
};
use crate::{
    app::App,
    auth::Caller,
    intake::{self, Mapping},
    problem::Problem,
};

/// What a source is called that does not say.
const UNNAMED: &str = "api";

/// `POST /intake/orders`, `/intake/leads` and `/intake/calls`, and `GET /deliveries/{id}/body`.
pub(in crate::http) fn routes() -> Routes {
    let routes = Takes::ALL.into_iter().fold(Routes::new(), |routes, takes| {
        let path = format!("/intake/{}", takes.name());
        routes.post(&path, move |state, asked, request| hand_in(takes, state, asked, request))
    });
    routes.get("/deliveries/{id}/body", body)
}

/// Parameters of what is handed in.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    source: Option<String>,
    dry_run: bool,
}

/// A write of what is handed in: as every write, with its source.
struct HandedIn {
    write: Write,
    source: Option<String>,
}

impl FromRequestParts<App> for HandedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<HandedIn, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let Params(Options { source, dry_run }) = Params::from_request_parts(parts, app).await?;
        Ok(HandedIn { write: Write::of(parts, caller, dry_run), source })
    }
}

/// What has become of a delivery.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DeliveryBecame")]
pub(in crate::http) struct Became {
    /// How far it has come: `taken`, `refused` (it is kept, and a notice says so) or `received` (it is about to be tried).
    status: Status,
    /// The record that it has become.
    record: Option<Subject>,
    /// The contact whom it is about.
    contact: Option<Id>,
    /// The stable code of what stood in the way.
    code: Option<String>,
    /// The same for a person.
    reason: Option<String>,
    /// The field that it lies in, as a JSON pointer.
    pointer: Option<String>,
}

impl From<&Delivery> for Became {
    fn from(delivery: &Delivery) -> Became {
        let refused = delivery.refused.clone().map(|(code, reason, pointer)| (Some(code), Some(reason.0), pointer));
        let (code, reason, pointer) = refused.unwrap_or_default();
        let Delivery { status, record, contact, .. } = delivery;
        Became { status: *status, record: record.clone(), contact: *contact, code, reason, pointer }
    }
}

/// The answer of every command, and what has become of the delivery.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    answer: Answer<'a>,
    delivery: Became,
}

async fn hand_in(takes: Takes, State(app): State<App>, asked: HandedIn, sent: Request) -> Result<Response, Problem> {
    let HandedIn { write, source } = asked;
    write.caller.must(takes.permission())?;
    let tenant = write.caller.tenant;
    let bytes = request::bytes(sent, &()).await?;
    if bytes.trim_ascii().is_empty() {
        return Err(Problem::bad_request("body_malformed", "There is nothing in the body that could be kept."));
    }
    // What is no JSON is kept as it came, and told as everything that cannot be taken.
    let body = serde_json::from_slice::<Value>(&bytes);
    let (text, base64) = match std::str::from_utf8(&bytes) {
        Ok(text) if !text.contains('\0') => (text.to_owned(), false),
        _ => (BASE64.encode(&bytes), true),
    };
    let source = source.unwrap_or_else(|| UNNAMED.to_owned());
    intake_source::check_name(&source, "/source")?;
    let key = match write.own_key()? {
        Some(key) => Some(key.to_owned()),
        None => {
            let mapping = intake::mapping_of(&app.commands, tenant, takes, &source).await?;
            // What a mapping does not say any more is found out when the delivery is tried.
            mapping.and_then(|text| Mapping::parse(&text, takes).ok()?.delivery(body.as_ref().ok()?))
        }
    };
    let id = key.as_ref().map_or_else(|| app.new_id(), |key| Delivery::id_for(tenant, takes, &source, key));
    let turn = write.envelope(&app, id, &bytes)?;
    // Whoever may hand something in needs to see nothing of what there is.
    let envelope = Envelope { authority: Authority::full(), from_outside: true, ..(*turn).clone() };
    let named = source.clone();
    let receive = Command::Receive(Received { takes, source, key, body: text.into(), base64 });
    let accepted = app.commands.dispatch::<Delivery>(&envelope, receive).await?;
    let delivery = if write.dry_run {
        let (commands, actor) = (&app.commands, write.caller.actor.clone());
        let foreseen = match &body {
            Ok(body) => intake::foresee(commands, (tenant, id), (takes, &named), actor, body).await?,
            Err(error) => Err(intake::no_json(&error.to_string())),
        };
        match foreseen {
            Ok(()) => Became::from(&Delivery { status: Status::Taken, ..Delivery::default() }),
            Err(fault) => {
                let refused = Some((fault.code.into_owned(), fault.reason.into(), fault.pointer));
                Became::from(&Delivery { status: Status::Refused, refused, ..Delivery::default() })
            }
        }
    } else {
        Became::from(&*intake::became(&app.commands, tenant, id).await?)
    };
    let created = (is_new(&accepted) && !write.dry_run).then_some(Delivery::PLURAL);
    Ok(answer_with(&accepted, created, Json(Told { answer: Answer::from(&accepted), delivery })))
}

/// The body that is tried, as it came or as somebody corrected it.
async fn body(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Response, Problem> {
    caller.must("delivery.read")?;
    let id = id_of::<Delivery>(&caller, &id)?;
    app.must_show(&caller, Delivery::KIND, id).await?;
    let known = app.commands.find::<Delivery>(caller.tenant, id).await?;
    let known = known.ok_or_else(|| Problem::from(delivery::UNKNOWN))?;
    let text = known.body();
    let (bytes, kind) = match known.is_base64() {
        true => (BASE64.decode(text).map_err(|error| Problem::broken(&error))?, "application/octet-stream"),
        false if serde_json::from_str::<IgnoredAny>(text).is_ok() => (text.as_bytes().to_vec(), "application/json"),
        false => (text.as_bytes().to_vec(), "text/plain; charset=utf-8"),
    };
    let mut response = Sent::from(bytes).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

/// Refuses a source whose mapping says nothing that can be heeded.
pub(in crate::http) async fn must_fit(app: &App, caller: &Caller, id: Option<Id>, said: &Value) -> Result<(), Problem> {
    if ["mapping", "takes"].iter().all(|part| said.get(part).is_none()) {
        return Ok(());
    }
    let mut whole = match id {
        Some(id) => {
            let (source, _) = app.commands.load::<IntakeSource>(caller.tenant, id).await?;
            serde_json::to_value(&source.fields).map_err(|error| Problem::broken(&error))?
        }
        None => Value::Null,
    };
    record::merge(&mut whole, said.clone());
    // What is no source at all is refused where sources are decided about.
    let takes = serde_json::from_value::<Takes>(whole["takes"].clone());
    let (Ok(takes), Some(text)) = (takes, whole["mapping"].as_str()) else { return Ok(()) };
    if text.trim().is_empty() {
        return Ok(());
    }
    Mapping::parse(text, takes)?;
    Ok(())
}
