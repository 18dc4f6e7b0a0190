//! What a screen with the inbox says of itself: who sits at it types, looks at a conversation, or is there.

use axum::{extract::State, http::StatusCode};
use domain::{Aggregate, Id, chat::conversation::Conversation};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::{
    app::App,
    auth::Caller,
    http::kernel::{
        request::{Body, Nothing, Params},
        routes::Routes,
    },
    live::{Shown, Signal},
    problem::Problem,
};

/// `POST /inbox/signals` and `POST /inbox/touch`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().post("/inbox/signals", signal).post("/inbox/touch", touch)
}

/// What somebody does in a conversation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ShowSignal")]
pub(in crate::http) struct Show {
    /// The conversation.
    conversation: Id,
    /// What is being done in it.
    signal: Shown,
}

async fn signal(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
    body: Body,
) -> Result<StatusCode, Problem> {
    caller.must("conversation.read")?;
    let example = json!({ "conversation": "01K9Z3T8W0QX6V5N4M3K2J1H0G", "signal": "typing" });
    let Show { conversation, signal } = body.read(&example)?;
    let missing = || Problem::missing("conversation_unknown", "There is no such conversation.").at("/conversation");
    app.commands.find::<Conversation>(caller.tenant, conversation).await?.ok_or_else(missing)?;
    if !app.shows(&caller, Conversation::KIND, conversation).await? {
        return Err(missing());
    }
    app.touch(caller.tenant, caller.actor.id).await?;
    let (kind, by) = (caller.actor.kind, caller.actor.principal());
    app.signals.show(caller.tenant, Signal { conversation, signal, kind, by });
    Ok(StatusCode::NO_CONTENT)
}

async fn touch(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
) -> Result<StatusCode, Problem> {
    caller.must("conversation.read")?;
    app.touch(caller.tenant, caller.actor.id).await?;
    Ok(StatusCode::NO_CONTENT)
}
