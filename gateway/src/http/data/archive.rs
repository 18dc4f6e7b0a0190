//! The whole tenant as a file that another Deskfold takes in.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use futures::StreamExt;

use crate::http::kernel::{
    csv,
    exports::busy,
    request::{Nothing, POSITION, Params},
    routes::Routes,
};
use crate::{
    app::App,
    archive::{Archive, Fault},
    auth::Caller,
    problem::Problem,
};

/// `GET /archive`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().get("/archive", archive)
}

async fn archive(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Response, Problem> {
    caller.must("archive.export")?;
    let turn = Arc::clone(&app.exports).try_acquire_owned().map_err(|_| busy())?;
    let (tenant, now) = (caller.tenant, app.now());
    let archive = app.log.presence().guard(Archive::begin(&app.log, app.uploads.files(), tenant, now)).await??;
    let position = archive.position();
    tracing::info!(%tenant, position, actor = %caller.actor.id, "an archive of the tenant is taken");
    let day = now.to_string().chars().take("2026-01-01".len()).collect::<String>();
    let parts = archive.file(app.stopping.clone(), Box::new(turn)).map(|part| part.map_err(Problem::from));
    let mut response = csv::download(&format!("deskfold-{tenant}-{day}.tar.gz"), "application/octet-stream", parts);
    response.headers_mut().insert(POSITION, position.into());
    Ok(response)
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        match fault {
            Fault::Log(error) => error.into(),
            Fault::Database(error) => error.into(),
            Fault::Files(fault) => fault.into(),
            Fault::GivenUp => Problem::unavailable("timeout", "The download was given up."),
            fault => Problem::broken(&fault),
        }
    }
}
