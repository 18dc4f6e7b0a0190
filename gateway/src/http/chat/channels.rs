//! What channels have besides commands and lists: what their kinds can, their credentials, and the door by which messages come in.

use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use channels::{
    calling::is_secret,
    inbound::{self, Inbound},
    messengers::is_token,
};
use commands::Envelope;
use domain::{
    Aggregate, Authority, Via,
    chat::{
        channel::{Capabilities, Channel, Command, Kind, Purpose, SECRET_INVALID, UNKNOWN},
        conversation::Conversation,
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::http::kernel::{
    commands::id_of,
    request::{Body, Nothing, Params},
    routes::Routes,
    write::{Write, answer, is_new},
};
use crate::{app::App, auth::Caller, problem::Problem, sealed};

/// `GET /channel_kinds`, `PUT /channels/{id}/credentials` and `POST /channels/{id}/messages`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new()
        .get("/channel_kinds", kinds)
        .put("/channels/{id}/credentials", rotated)
        .post("/channels/{id}/messages", taken_in)
}

/// What channels can, by kind.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct ChannelKinds {
    /// Each kind.
    data: Vec<Capabilities>,
}

async fn kinds(
    State(_): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<ChannelKinds>, Problem> {
    caller.must("channel.read")?;
    Ok(Json(ChannelKinds { data: Kind::ALL.into_iter().map(Kind::can).collect() }))
}

/// The credentials of a channel.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ChannelCredentials {
    /// The secret; it is kept sealed and shown to nobody. That of a program (kind `api`) is `whsec_` and 24 to 64 bytes in base64, that of
    /// Telegram the token of the bot, that of Meta's messengers an access token.
    #[schemars(length(min = 1, max = 4000))]
    secret: String,
    /// Whose it is: the channel's own, that of the service behind its captcha, or that of Meta's app (`app`).
    #[serde(default)]
    of: Purpose,
}

/// An example of such a secret.
pub(in crate::http) const EXAMPLE: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn rotated(
    State(app): State<App>,
    write: Write,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    write.caller.must("channel.rotate_credentials")?;
    let (tenant, id) = (write.caller.tenant, id_of::<Channel>(&write.caller, &id)?);
    let envelope = write.envelope(&app, id, &body.bytes)?;
    let ChannelCredentials { secret, of } = body.read(&json!({ "secret": EXAMPLE }))?;
    let channel = app.commands.find::<Channel>(tenant, id).await?.ok_or(UNKNOWN)?;
    let fits = match channel.kind {
        Some(Kind::Api) if of.is_usual() => is_secret(&secret),
        Some(Kind::Telegram) if of.is_usual() => is_token(secret.trim()),
        _ => !secret.trim().is_empty() && secret.chars().count() <= 4000,
    };
    if !fits {
        return Err(SECRET_INVALID.at("/secret").into());
    }
    let credential = app.new_id();
    if !write.dry_run {
        app.keep_secret(sealed::CHANNELS, (tenant, id), credential, &secret).await?;
    }
    let done = app.commands.dispatch::<Channel>(&envelope, Command::RotateCredentials { credential, of }).await;
    if !write.dry_run {
        let (state, _) = app.commands.load_current::<Channel>(tenant, id).await?;
        app.forget_other_secrets(sealed::CHANNELS, (tenant, id), state.credentials()).await?;
    }
    Ok(answer(&done?, None))
}

/// What a program or a provider brings. Whoever may bring anything into channels needs to see nothing of what is said there.
async fn taken_in(
    State(app): State<App>,
    write: Write,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    write.caller.must("channel.receive")?;
    let channel = id_of::<Channel>(&write.caller, &id)?;
    let turn = write.envelope(&app, channel, &body.bytes)?;
    let message: Inbound = body.read(&json!({ "external_id": "x", "sender": "x", "body": "x" }))?;
    let envelope = Envelope { authority: Authority::full(), via: Via::Chat, ..(*turn).clone() };
    let accepted = inbound::take_in(&app.commands, &envelope, channel, message).await?;
    let created = (is_new(&accepted) && !write.dry_run).then_some(Conversation::PLURAL);
    Ok(answer(&accepted, created))
}
