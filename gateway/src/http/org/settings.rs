//! What the caller's tenant has set and switched off, and what it could.

use axum::{Json, extract::State};
use domain::org::{
    settings::{FEATURES, SETTINGS, SettingType},
    tenant::Tenant,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::http::kernel::{
    request::{Nothing, Params},
    routes::Routes,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// `GET /settings` and `GET /features`.
pub(in crate::http) fn routes() -> Routes {
    Routes::new().get("/settings", settings).get("/features", features)
}

/// A setting.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Setting {
    /// Its name: `key` of `change_setting`.
    key: &'static str,
    /// What it takes.
    #[serde(rename = "type")]
    setting_type: SettingType,
    /// What it does.
    description: &'static str,
    /// Its value: as it is set, or the default.
    value: Value,
    /// Its value as long as nobody has set it; null for none.
    default: Value,
    /// Names that it had before; they still mean it.
    former: &'static [&'static str],
}

/// Every setting.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Settings {
    /// One by one.
    data: Vec<Setting>,
}

async fn settings(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Settings>, Problem> {
    let tenant = own(&app, &caller).await?;
    let data = SETTINGS.iter().map(|setting| Setting {
        key: setting.key,
        setting_type: setting.setting_type,
        description: setting.description,
        value: tenant.setting(setting.key),
        default: setting.default(),
        former: setting.former,
    });
    Ok(Json(Settings { data: data.collect() }))
}

/// A part of Deskfold that a tenant can do without.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Feature {
    /// Its name: `feature` of `enable_feature` and `disable_feature`.
    feature: &'static str,
    /// What it is.
    description: &'static str,
    /// The kinds of record that it consists of.
    kinds: &'static [&'static str],
    /// Whether it is on.
    enabled: bool,
}

/// Every feature.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct Features {
    /// One by one.
    data: Vec<Feature>,
}

async fn features(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Features>, Problem> {
    let tenant = own(&app, &caller).await?;
    let data = FEATURES.iter().map(|feature| Feature {
        feature: feature.name,
        description: feature.description,
        kinds: feature.kinds,
        enabled: tenant.has_feature(feature.name),
    });
    Ok(Json(Features { data: data.collect() }))
}

async fn own(app: &App, caller: &Caller) -> Result<std::sync::Arc<Tenant>, Problem> {
    caller.must("tenant.read")?;
    Ok(app.commands.load_current::<Tenant>(caller.tenant, caller.tenant).await?.0)
}
