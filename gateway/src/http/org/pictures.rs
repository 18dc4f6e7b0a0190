//! Pictures of people: each sends his own, colleagues see them.

use axum::{
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::put,
};
use domain::{
    Id,
    org::user::{Command, Status, User},
};
use sha2::{Digest, Sha256};

use super::me::Oneself;
use crate::{
    app::App,
    auth::{Caller, hex},
    http::kernel::{
        request::{self, Nothing, Params},
        routes::Routes,
    },
    pictures::initials,
    problem::Problem,
};

/// The largest file that is taken, in bytes.
pub(in crate::http) const LARGEST: usize = 10 << 20;
/// What stands in it must be drawn and nothing else, even where it is opened by itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

/// `PUT` and `DELETE /me/picture`, `GET /users/{id}/picture`.
pub(in crate::http) fn routes() -> Routes {
    let changed = put(changed).layer(DefaultBodyLimit::max(LARGEST));
    Routes::new()
        .route(Method::PUT, "/me/picture", changed)
        .delete("/me/picture", removed)
        .get("/users/{id}/picture", shown)
}

async fn changed(State(app): State<App>, oneself: Oneself, request: Request) -> Result<StatusCode, Problem> {
    let Oneself { tenant, user, .. } = oneself;
    let file = request::bytes(request, &app).await?;
    let picture = app.keep_picture(tenant, user, file).await?;
    set(&app, tenant, user, Some(picture)).await
}

async fn removed(State(app): State<App>, oneself: Oneself) -> Result<StatusCode, Problem> {
    set(&app, oneself.tenant, oneself.user, None).await
}

async fn set(app: &App, tenant: Id, user: Id, picture: Option<Id>) -> Result<StatusCode, Problem> {
    let done = app.as_oneself(tenant, user, Command::ChangePicture { picture }).await;
    app.forget_other_pictures(tenant, user).await?;
    done?;
    Ok(StatusCode::NO_CONTENT)
}

/// The picture, or the initials of whoever has none. Any colleague may see it, as he may the name.
async fn shown(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Response, Problem> {
    let unknown = || Problem::missing("user_unknown", "There is no such user.");
    let id: Id = id.parse().map_err(|_| unknown())?;
    let (user, _) = app.commands.load_current::<User>(caller.tenant, id).await?;
    if user.status == Status::Missing {
        return Err(unknown());
    }
    let kept = match user.picture {
        Some(picture) => app.picture(caller.tenant, picture).await?.map(|found| (picture, found)),
        None => None,
    };
    let (tag, media_type, bytes) = match kept {
        Some((picture, found)) => (format!("\"{picture}\""), found.media_type, Bytes::from(found.bytes)),
        None => {
            let drawn = initials(id, &user.profile.name);
            (format!("\"{}\"", hex(&Sha256::digest(&drawn)[..8])), "image/svg+xml".to_owned(), drawn.into())
        }
    };
    let text = |text: &str| HeaderValue::from_str(text).map_err(|error| Problem::broken(&error));
    let answer = [
        (header::ETAG, text(&tag)?),
        // It is asked for again each time, and sent only when it is another.
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::CONTENT_TYPE, text(&media_type)?),
    ];
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag)) {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    Ok((answer, bytes).into_response())
}
