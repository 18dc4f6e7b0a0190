//! Pictures of widgets, for mails and wikis.

use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use domain::insight::dashboard;
use schemars::JsonSchema;
use serde::Deserialize;
use web::{Language, charts::Look, charts::Paint};

use super::{Board, BoardOptions, answer};
use crate::http::{
    kernel::{
        request::{self, Given, POSITION},
        routes::Routes,
    },
    pages::dashboards as drawing,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// `GET /dashboards/{id}/widgets/{widget}.svg` and `GET /widgets/{dashboard}.{widget}.svg`.
pub(super) fn routes() -> Routes {
    Routes::new().get("/dashboards/{id}/widgets/{image}", image).get("/widgets/{image}", picture)
}

/// How a picture of a widget looks.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct ImageOptions {
    /// `light` by default.
    pub(super) theme: Option<Theme>,
    /// How wide, in pixels: 160 to 2000, 640 by default.
    pub(super) width: Option<u32>,
    /// How high, in pixels: 90 to 2000, 320 by default.
    pub(super) height: Option<u32>,
    /// In which language: `en`, `cs`, `uk`, `ru` or `lt`; that of the one who asks by default.
    pub(super) language: Option<String>,
    /// As for the dashboard's data.
    pub(super) range: Option<String>,
    /// As for the dashboard's data.
    pub(super) from: Option<String>,
    /// As for the dashboard's data.
    pub(super) to: Option<String>,
    /// As for the dashboard's data.
    pub(super) tz: Option<String>,
    /// As for the dashboard's data.
    pub(super) as_known_at: Option<String>,
    /// As for the dashboard's data.
    pub(super) known_at: Option<String>,
    /// As for the dashboard's data.
    pub(super) as_of: Option<String>,
    /// Wait until it reflects this position.
    pub(super) min_position: Option<i64>,
}

/// In which colours.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http) enum Theme {
    /// Dark on light.
    #[default]
    Light,
    /// Light on dark.
    Dark,
}

async fn image(
    State(app): State<App>,
    caller: Caller,
    Path((id, image)): Path<(String, String)>,
    options: Given<ImageOptions>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    draw(&app, &caller, &headers, (&id, &image), options).await
}

/// The same under one name: the dashboard's and the widget's with a dot between.
async fn picture(
    State(app): State<App>,
    caller: Caller,
    Path(image): Path<String>,
    options: Given<ImageOptions>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (id, image) = image.split_once('.').ok_or_else(unknown)?;
    draw(&app, &caller, &headers, (id, image), options).await
}

fn unknown() -> Problem {
    Problem::missing("dashboard_widget_unknown", "The dashboard has no such widget.")
}

pub(super) async fn draw(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    (id, image): (&str, &str),
    options: Given<ImageOptions>,
) -> Result<Response, Problem> {
    let Given { asked, mut faults } = options;
    let board = Board::find(app, caller, id).await?;
    let name = image.strip_suffix(".svg").ok_or_else(unknown)?;
    let (page, widget) = dashboard::find(&board.fields.pages, name).ok_or_else(unknown)?;
    let sized = |place: &str, given: Option<u32>, usual: u32, least: u32| match given.unwrap_or(usual) {
        size if (least..=2000).contains(&size) => Ok(f64::from(size)),
        _ => Err(request::parameter_invalid(place, format!("A picture is {least} to 2000 pixels wide and high."))),
    };
    let width = faults.check(sized("/width", asked.width, 640, 160))?.unwrap_or(640.0);
    let height = faults.check(sized("/height", asked.height, 320, 90))?.unwrap_or(320.0);
    if asked.language.as_ref().is_some_and(|tag| Language::ALL.iter().all(|known| known.tag() != tag)) {
        let tags = Language::ALL.map(Language::tag).join(", ");
        faults.check::<()>(Err(request::parameter_invalid("/language", format!("There are {tags}."))))?;
    }
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let language = Language::chosen(&[asked.language.as_deref()], accepted);
    let over = BoardOptions {
        page: Some(page.id.clone()),
        widgets: Some(widget.id.clone()),
        range: asked.range,
        from: asked.from,
        to: asked.to,
        tz: asked.tz,
        as_known_at: asked.as_known_at,
        known_at: asked.known_at,
        as_of: asked.as_of,
        min_position: asked.min_position,
    };
    let data = answer(app, caller, headers, &board, &over, faults).await?;
    let position = data.position;
    let told = data.widgets.into_iter().next().ok_or_else(unknown)?;
    if let Some(problem) = told.problem {
        return Err(Problem::invalid("widget_unavailable", problem.detail));
    }
    let paint = match asked.theme.unwrap_or_default() {
        Theme::Light => Paint::Light,
        Theme::Dark => Paint::Dark,
    };
    let shown = drawing::shown(told, None);
    let unfit = || {
        let detail = "Only charts and numbers are drawn as pictures.";
        Problem::invalid("widget_shape_invalid", detail)
    };
    let drawn = web::pages::picture(&shown, &Look { language, paint, width, height }).ok_or_else(unfit)?;
    let answer = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
        (POSITION, position.into()),
    ];
    Ok((answer, drawn).into_response())
}
