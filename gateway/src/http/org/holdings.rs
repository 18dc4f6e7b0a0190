//! What a colleague is responsible for.

use axum::{
    extract::{OriginalUri, Path, State},
    http::HeaderMap,
    response::Response,
};
use domain::{
    kernel::filter::{Condition, FieldKind, Filter, Scalar, Test},
    org::user::User,
};
use projections::org::holdings::Holdings;

use crate::http::kernel::{
    commands::id_of,
    lists::{self, Asked},
    request::Given,
    routes::Routes,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// `GET /users/{id}/holdings`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().get("/users/{id}/holdings", holdings)
}

async fn holdings(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    asked: Given<Asked<String>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.must("user.read")?;
    let id = id_of::<User>(&caller, &id)?;
    if app.commands.find::<User>(caller.tenant, id).await?.is_none() {
        return Err(Problem::missing("user_unknown", "There is no such user."));
    }
    let of_user = Test::Eq(Scalar::Text(id.to_string()));
    let of_user = Condition { field: "user_id".into(), kind: FieldKind::Id, test: of_user };
    lists::part(projections::List::of::<Holdings>(), &app, &caller, &uri, &headers, asked, Filter::Condition(of_user))
        .await
}
