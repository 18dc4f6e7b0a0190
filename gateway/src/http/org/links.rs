//! Links that whoever may hands to a person: an invitation, help for a forgotten password, to confirm an address.

use axum::{
    Json,
    extract::{Path, State},
    response::Response,
};
use domain::org::user::{Command, LinkPurpose, User};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::http::kernel::{
    commands::id_of,
    request::Body,
    routes::Routes,
    write::{Answer, Write, answer_with},
};
use crate::{
    app::App,
    problem::Problem,
    sign_in::{Browser, Handed},
};

/// `POST /users/{id}/issue_link`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().post("/users/{id}/issue_link", issue)
}

/// A new link.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct New {
    /// To set a password, or to confirm the address that the user wants.
    purpose: LinkPurpose,
}

/// A link that was issued: the answer of every command, and the link.
#[derive(Serialize)]
struct Issued<'a> {
    #[serde(flatten)]
    answer: Answer<'a>,
    /// The link itself; it is shown this once. Only its digest is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

async fn issue(
    State(app): State<App>,
    Path(segment): Path<String>,
    browser: Browser,
    write: Write,
    body: Body,
) -> Result<Response, Problem> {
    let id = id_of::<User>(&write.caller, &segment)?;
    write.caller.must("user.issue_link")?;
    let envelope = write.envelope(&app, id, &body.bytes)?;
    let New { purpose } = body.read(&json!({ "purpose": "password" }))?;
    let handed = Handed { tenant: envelope.tenant, user: id, link: app.new_id(), purpose };
    let expires_at = app.link_expiry(handed.tenant, id, purpose).await?;
    let command = Command::IssueLink { purpose, link: handed.link, expires_at };
    let accepted = app.commands.dispatch::<User>(&envelope, command).await?;
    // Its secret is made last: what was refused or done before needs none.
    let link = match accepted.repeated || write.dry_run {
        true => None,
        false => Some(app.make_link(&handed, expires_at, &browser).await?),
    };
    Ok(answer_with(&accepted, None, Json(Issued { answer: Answer::from(&accepted), link })))
}
