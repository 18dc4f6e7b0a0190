//! Addresses at which anybody sees a picture of a widget, as whoever has handed it out sees it at that moment: for mails and wikis.

use axum::{
    Json,
    extract::{OriginalUri, Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use domain::{
    Actor, Id, Time,
    insight::dashboard,
    org::user::{ADDRESS_EXPIRY_INVALID, Command, User},
};
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use web::escaped;

use super::{
    Board,
    pictures::{ImageOptions, Theme, draw},
};
use crate::http::{
    kernel::{
        request::{Faults, Filled, Given},
        routes::Routes,
    },
    org::me::Oneself,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// For what addresses are signed.
const PURPOSE: &str = "pictures";
/// How many days an address is good, unless it is said, and at most.
const DAYS: u32 = 30;
const MOST_DAYS: u32 = 366;

/// `POST /me/address_widget`, `GET /me/widget_addresses` and `POST /me/withdraw_address`; and the pictures, which anybody may ask for.
pub(super) fn routes() -> Routes {
    let open = Routes::new().get("/pictures/{image}", picture).open();
    Routes::new()
        .post("/me/address_widget", hand_out)
        .get("/me/widget_addresses", mine)
        .post("/me/withdraw_address", withdraw)
        .merge(open)
}

/// Of what an address is handed out.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AddressWidget")]
pub(in crate::http) struct Wanted {
    /// The dashboard and the widget, with a dot between: `desk.opened`.
    widget: String,
    /// How many days the address is good: 1 to 366, 30 by default.
    #[serde(default)]
    days: Option<u32>,
    /// `light` by default.
    #[serde(default)]
    theme: Option<Theme>,
    /// How wide, in pixels: 160 to 2000, 640 by default.
    #[serde(default)]
    width: Option<u32>,
    /// How high, in pixels: 90 to 2000, 320 by default.
    #[serde(default)]
    height: Option<u32>,
    /// In which language: `en`, `cs`, `uk`, `ru` or `lt`; that of whoever looks by default.
    #[serde(default)]
    language: Option<String>,
    /// Another range instead of the dashboard's, such as `last_7_days`.
    #[serde(default)]
    range: Option<String>,
    /// A time zone from the IANA database.
    #[serde(default)]
    tz: Option<String>,
}

/// An address at which anybody sees a picture.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "WidgetAddress")]
pub(in crate::http) struct Address {
    /// Its id, by which it is taken back.
    id: Id,
    /// The dashboard and the widget, with a dot between.
    widget: String,
    /// Until when it is good.
    expires_at: Time,
    /// The address itself, below that of this server. It is told when it is handed out, and not again.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

/// The addresses that one has handed out and that are still good.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WidgetAddresses")]
pub(in crate::http) struct Addresses {
    /// Those first that end first.
    data: Vec<Address>,
}

/// Which address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WithdrawAddress")]
pub(in crate::http) struct Which {
    /// Its id.
    address: Id,
}

/// What stands in an address, all of which is signed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Signed {
    /// The tenant.
    tenant: Option<Id>,
    /// Who has handed it out.
    by: Option<Id>,
    /// Its id.
    address: Option<Id>,
    /// Until when it is good, in seconds since 1970.
    expires: Option<i64>,
    /// How bright the picture is.
    theme: Option<Theme>,
    /// How wide it is.
    width: Option<u32>,
    /// How high it is.
    height: Option<u32>,
    /// In which language.
    language: Option<String>,
    /// Over which range.
    range: Option<String>,
    /// In which time zone.
    tz: Option<String>,
    /// By what Deskfold knows that it has made the address.
    signature: Option<String>,
}

fn unknown() -> Problem {
    Problem::missing("picture_unknown", "There is no such picture, or its address is good no longer.")
}

async fn hand_out(
    State(app): State<App>,
    caller: Caller,
    oneself: Oneself,
    headers: HeaderMap,
    filled: Filled,
) -> Result<Response, Problem> {
    let wanted: Wanted = filled.body.read(&json!({ "widget": "desk.opened" }))?;
    let Oneself { tenant, user, .. } = oneself;
    let days = wanted.days.unwrap_or(DAYS);
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(Problem::from(ADDRESS_EXPIRY_INVALID).at("/days"));
    }
    let missing = || Problem::missing("dashboard_widget_unknown", "The dashboard has no such widget.").at("/widget");
    let (board, name) = wanted.widget.split_once('.').ok_or_else(missing)?;
    let found = Board::find(&app, &caller, board).await?;
    dashboard::find(&found.fields.pages, name).ok_or_else(missing)?;
    // What cannot be drawn is refused now, and not each time that somebody looks.
    let image = format!("{name}.svg");
    draw(&app, &caller, &headers, (board, &image), Given { asked: wanted.look(), faults: Faults::default() }).await?;
    let address = app.new_id();
    let until = app.now() + SignedDuration::from_hours(24 * i64::from(days));
    let expires_at = Time::from_second(until.as_second()).unwrap_or(until);
    let command = Command::AddressWidget { address, widget: wanted.widget.clone(), expires_at };
    app.as_oneself(tenant, user, command).await?;
    let mut said = vec![
        ("tenant", tenant.to_string()),
        ("by", user.to_string()),
        ("address", address.to_string()),
        ("expires", expires_at.as_second().to_string()),
    ];
    let theme = wanted.theme.map(|theme| if matches!(theme, Theme::Dark) { "dark" } else { "light" }.to_owned());
    let (width, height) = (wanted.width.map(|size| size.to_string()), wanted.height.map(|size| size.to_string()));
    let look = [("theme", theme), ("width", width), ("height", height), ("language", wanted.language)];
    let over = [("range", wanted.range), ("tz", wanted.tz)];
    said.extend(look.into_iter().chain(over).filter_map(|(name, value)| Some((name, value?))));
    let said: Vec<String> = said.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    let signed = format!("{}.svg?{}", wanted.widget, said.join("&"));
    let signature = app.sign_in.sign(PURPOSE, &signed)?;
    let path = Some(format!("/v1/pictures/{signed}&signature={signature}"));
    let made = Address { id: address, widget: wanted.widget, expires_at, path };
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

impl Wanted {
    fn look(&self) -> ImageOptions {
        ImageOptions {
            theme: self.theme,
            width: self.width,
            height: self.height,
            language: self.language.clone(),
            range: self.range.clone(),
            tz: self.tz.clone(),
            ..ImageOptions::default()
        }
    }
}

async fn mine(State(app): State<App>, oneself: Oneself) -> Result<Json<Addresses>, Problem> {
    let (user, _) = app.commands.load_current::<User>(oneself.tenant, oneself.user).await?;
    let good = user.addresses.iter().filter(|(_, (_, until))| *until > app.now());
    let address = |(id, (widget, until)): (&Id, &(String, Time))| Address {
        id: *id,
        widget: widget.clone(),
        expires_at: *until,
        path: None,
    };
    let mut data: Vec<Address> = good.map(address).collect();
    data.sort_by_key(|address| address.expires_at);
    Ok(Json(Addresses { data }))
}

async fn withdraw(State(app): State<App>, oneself: Oneself, filled: Filled) -> Result<StatusCode, Problem> {
    let Which { address } = filled.body.read(&json!({ "address": "01K9Z3T8W0QX6V5N4M3K2J1H0G" }))?;
    let (user, _) = app.commands.load_current::<User>(oneself.tenant, oneself.user).await?;
    if !user.addresses.contains_key(&address) {
        return Err(Problem::missing("picture_unknown", "There is no such address, or it was taken back."));
    }
    app.as_oneself(oneself.tenant, oneself.user, Command::WithdrawAddress { address }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The picture, as whoever has handed out its address sees it now. Whatever is wrong is the same for whoever asks: there is none.
async fn picture(
    State(app): State<App>,
    Path(image): Path<String>,
    OriginalUri(uri): OriginalUri,
    asked: Given<Signed>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Given { asked, faults } = asked;
    faults.done()?;
    let (signed, signature) = uri.query().and_then(|query| query.split_once("&signature=")).ok_or_else(unknown)?;
    if !app.sign_in.is_signed(PURPOSE, &format!("{image}?{signed}"), signature)? {
        return Err(unknown());
    }
    let (Some(tenant), Some(by), Some(address)) = (asked.tenant, asked.by, asked.address) else {
        return Err(unknown());
    };
    if asked.expires.is_none_or(|until| until <= app.now().as_second()) {
        return Err(unknown());
    }
    let (user, _) = app.commands.load_current::<User>(tenant, by).await?;
    let known = user.addresses.get(&address).filter(|(widget, _)| image.strip_suffix(".svg") == Some(widget));
    known.ok_or_else(unknown)?;
    let actor = Actor::user(by);
    let caller: Caller = app.standing(tenant, &actor, None).await?.ok_or_else(unknown)?;
    let (board, image) = image.split_once('.').ok_or_else(unknown)?;
    let look = ImageOptions {
        theme: asked.theme,
        width: asked.width,
        height: asked.height,
        language: asked.language,
        range: asked.range,
        tz: asked.tz,
        ..ImageOptions::default()
    };
    match draw(&app, &caller, &headers, (board, image), Given { asked: look, faults: Faults::default() }).await {
        // Who may see what is nobody's business who is not signed in.
        Err(problem) if problem.status().is_client_error() => Err(unknown()),
        drawn => drawn,
    }
}
