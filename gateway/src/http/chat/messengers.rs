//! Where messengers and programs bring what comes, `/hooks/{channel}`, and how a messenger's channel fares. Who calls is known by what it
//! was told or signs with; what it brings is written down before it is answered, and taken in afterwards.

use axum::{
    Json,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use channels::{
    calling,
    messengers::{self, OfMeta, State as Fares, Whose, program::ByProgram},
};
use domain::{
    Id,
    chat::channel::{self, Channel, Kind, Purpose},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    app::App,
    auth::Caller,
    http::kernel::{
        commands::id_of,
        request::{self, Nothing, Params},
        routes::Routes,
    },
    problem::Problem,
};

/// Most bytes that are brought at once: Meta's batches have at most 3 MB.
const LARGEST: usize = 4 << 20;
/// How far the clock of a program may be from ours, in seconds.
const TOLERANCE: i64 = 5 * 60;
/// What Telegram says so that it is known.
const TELEGRAM: HeaderName = HeaderName::from_static("x-telegram-bot-api-secret-token");
/// By what Meta signs.
const META: HeaderName = HeaderName::from_static("x-hub-signature-256");

/// `GET /channels/{id}/messenger`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().get("/channels/{id}/messenger", fares)
}

/// `GET` and `POST /hooks/{channel}`, for whoever is known by a signature.
pub(in crate::http) fn hooks() -> Routes {
    Routes::new().get("/hooks/{channel}", verified).route(
        Method::POST,
        "/hooks/{channel}",
        post(brought).layer(DefaultBodyLimit::max(LARGEST)),
    )
}

/// What came of what was brought.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "HookTaken")]
pub(in crate::http) struct Taken {
    /// How much of it had not been brought before.
    taken: u64,
}

/// How Meta asks whether this is the place.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(rename = "HookVerification")]
pub(in crate::http) struct Verification {
    /// `subscribe`.
    #[serde(rename = "hub.mode", default)]
    mode: String,
    /// What is to be said again.
    #[serde(rename = "hub.challenge", default)]
    challenge: String,
    /// The word that both know.
    #[serde(rename = "hub.verify_token", default)]
    verify_token: String,
}

fn refused() -> Problem {
    Problem::unauthorized(
        "hook_signature_invalid",
        "It is not signed as it must be, or does not say the word that both sides know.",
    )
}

fn unreadable(why: impl std::fmt::Display) -> Problem {
    Problem::invalid("hook_unreadable", format!("What was brought cannot be read: {why}."))
}

impl App {
    /// The channel that something is brought to, if anything may be.
    async fn hooked(&self, channel: &str) -> Result<Whose, Problem> {
        let missing = || Problem::from(channel::UNKNOWN);
        let id: Id = channel.parse().map_err(|_| missing())?;
        let tenant = self.tenant_of_channel(id).await?.ok_or_else(missing)?;
        let whose = self.messengers.whose(tenant, id).await?;
        let kind = whose.channel.kind.ok_or_else(missing)?;
        let known = match kind {
            Kind::Telegram => whose.channel.is_carried(),
            // Meta asks for the place before it gives anything out.
            kind if kind.is_metas() => true,
            Kind::Api => whose.channel.credential.is_some(),
            _ => false,
        };
        if known { Ok(whose) } else { Err(missing()) }
    }
}

/// Tells Meta again what it says, so that it knows that this is the place.
async fn verified(
    State(app): State<App>,
    Path(channel): Path<String>,
    Params(asked): Params<Verification>,
) -> Result<Response, Problem> {
    let whose = app.hooked(&channel).await?;
    if !whose.channel.kind.is_some_and(Kind::is_metas) {
        return Err(channel::UNKNOWN.into());
    }
    let knows = app.messengers.may_verify(&whose, &asked.verify_token).map_err(|why| Problem::broken(&why))?;
    if asked.mode != "subscribe" || !knows {
        return Err(refused());
    }
    let plain = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    Ok((StatusCode::OK, plain, asked.challenge).into_response())
}

async fn brought(
    State(app): State<App>,
    Path(channel): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Taken>, Problem> {
    let whose = app.hooked(&channel).await?;
    let said = |name: &HeaderName| headers.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
    let taken = match whose.channel.kind {
        Some(Kind::Telegram) => {
            let signed = app.messengers.is_telegram(&whose, said(&TELEGRAM));
            if !signed.map_err(|why| Problem::broken(&why))? {
                return Err(refused());
            }
            whose.channel.must_converse()?;
            let brought = messengers::of_telegram(&body).map_err(unreadable)?;
            messengers::bring(&app.pool, &whose, &brought, app.now()).await?
        }
        Some(kind) if kind.is_metas() => {
            let signed = app.messengers.is_meta(&whose, said(&META), &body).await;
            if !signed.map_err(|why| Problem::broken(&why))? {
                return Err(refused());
            }
            whose.channel.must_converse()?;
            app.take_batch(&whose, messengers::of_meta(&body).map_err(unreadable)?).await?
        }
        Some(Kind::Api) => {
            app.must_be_signed(&whose, &headers, &body).await?;
            let value = serde_json::from_slice(&body).map_err(unreadable)?;
            let brought: ByProgram = request::Body { value, bytes: body }.read(&example())?;
            let accepted = app.messengers.by_program(&whose, brought).await?;
            u64::from(!accepted.events.is_empty())
        }
        _ => return Err(channel::UNKNOWN.into()),
    };
    app.messengers.nudge();
    Ok(Json(Taken { taken }))
}

impl App {
    /// Writes a batch of Meta's down. An app of Meta's brings what is for all of its accounts to one place: each thing goes to the
    /// channel of its account.
    async fn take_batch(&self, whose: &Whose, batch: Vec<OfMeta>) -> Result<u64, Problem> {
        let mut taken = 0;
        for OfMeta { kind, account, brought } in batch {
            let own = whose.channel.kind == Some(kind) && whose.channel.settings.account.as_ref() == Some(&account);
            let to = match own {
                true => Some(whose.clone()),
                false => self.channel_of_account(whose.tenant, kind, &account).await?,
            };
            match to {
                Some(to) => {
                    taken += messengers::bring(&self.pool, &to, std::slice::from_ref(&brought), self.now()).await?;
                }
                None => {
                    tracing::info!(channel = %whose.id, account, "Meta brought something for an account of no channel");
                }
            }
        }
        Ok(taken)
    }

    async fn channel_of_account(&self, tenant: Id, kind: Kind, account: &str) -> Result<Option<Whose>, Problem> {
        let found: Vec<String> = sqlx::query_scalar(
            "select id from read_channels where tenant_id = $1 and kind = $2 and account = $3 and enabled order by id",
        )
        .bind(tenant.to_string())
        .bind(kind.name())
        .bind(account)
        .fetch_all(&self.pool)
        .await?;
        for id in found.into_iter().filter_map(|id| id.parse::<Id>().ok()) {
            let whose = self.messengers.whose(tenant, id).await?;
            if whose.channel.enabled && whose.channel.settings.account.as_deref() == Some(account) {
                return Ok(Some(whose));
            }
        }
        Ok(None)
    }

    /// What a program brings is signed as what it is told is: by the channel's secret.
    async fn must_be_signed(&self, whose: &Whose, headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
        let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (Some(id), Some(at), Some(signatures)) =
            (said("webhook-id"), said("webhook-timestamp"), said("webhook-signature"))
        else {
            return Err(refused());
        };
        let at: i64 = at.parse().map_err(|_| refused())?;
        if (self.now().as_second().saturating_sub(at)).abs() > TOLERANCE {
            return Err(refused());
        }
        let secret = self.messengers.secret(whose, Purpose::Channel).await.map_err(|why| Problem::broken(&why))?;
        let secret = secret.ok_or_else(refused)?;
        if calling::is_signed(&secret, id, at, body, signatures) { Ok(()) } else { Err(refused()) }
    }
}

/// How the channel of a messenger fares, and what its messenger must be told.
async fn fares(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
    Path(id): Path<String>,
) -> Result<Json<Fares>, Problem> {
    caller.must("channel.read")?;
    let (tenant, id) = (caller.tenant, id_of::<Channel>(&caller, &id)?);
    let whose = app.messengers.whose(tenant, id).await?;
    let kind = whose.channel.kind.ok_or(channel::UNKNOWN)?;
    if !kind.is_messenger() {
        return Err(Problem::missing("messenger_unknown", "The channel is no messenger's."));
    }
    // Whoever may give the channel its credentials is told the word that Meta must be told.
    let may = caller.must("channel.rotate_credentials").is_ok();
    let verify_token = (kind.is_metas() && may).then(|| app.messengers.verify_token(&whose)).transpose();
    let verify_token = verify_token.map_err(|why| Problem::broken(&why))?;
    let webhook_url = app.messengers.address(id);
    let state = Fares::of(&app.pool, tenant, id).await?;
    Ok(Json(Fares { carried: whose.channel.is_carried(), webhook_url, verify_token, ..state }))
}

/// An example of what a program brings.
pub(in crate::http) fn example() -> serde_json::Value {
    json!({
        "type": "message.received", "timestamp": "2026-11-29T09:00:00Z",
        "data": { "external_id": "shop-17", "sender": "maria", "visitor": { "name": "Maria" }, "body": "Good day" },
    })
}
