//! Moments of the past as queries name them: an instant, a day of the tenant's, or a position of the log.

use domain::{Time, org::tenant::Tenant};
use jiff::{ToSpan, civil::Date, tz::TimeZone};
use projections::AsOf;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{app::App, auth::Caller, problem::Problem};

/// Which state of a record.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct Moment {
    /// An instant or a day, which is taken to its end in the tenant's time zone: what had happened by then. Or a position of
    /// the log.
    pub(in crate::http) as_of: Option<String>,
    /// An instant or a day, taken to its end: what was known here by then.
    pub(in crate::http) known_at: Option<String>,
    /// The same as `Deskfold-Min-Position`.
    pub(in crate::http) min_position: Option<i64>,
}

/// The point in the past that a query asks for, if it does.
pub(in crate::http) async fn past(
    app: &App,
    caller: &Caller,
    as_of: Option<&str>,
    known_at: Option<&str>,
) -> Result<Option<AsOf>, Problem> {
    Ok(match (as_of, known_at) {
        (None, None) => None,
        (None, Some(text)) => Some(AsOf::KnownAt(instant(app, caller, text, "/known_at").await?)),
        (Some(text), None) => match text.parse() {
            Ok(position) => Some(AsOf::Position(position)),
            Err(_) => Some(AsOf::Instant(instant(app, caller, text, "/as_of").await?)),
        },
        (Some(_), Some(_)) => return Err(invalid("/known_at")),
    })
}

fn invalid(place: &str) -> Problem {
    let detail = "as_of is an RFC 3339 instant, a day such as 2026-11-21, or a position of the log; known_at is an instant \
                  or a day; give one of them.";
    Problem::invalid("as_of_invalid", detail).at(place)
}

/// An instant as it stands, or the end of a day where the tenant is.
async fn instant(app: &App, caller: &Caller, text: &str, place: &str) -> Result<Time, Problem> {
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    // A longer text would be a date with a time of day and no zone.
    let day: Date = text.parse().ok().filter(|_| text.len() == 10).ok_or_else(|| invalid(place))?;
    let (tenant, _) = app.commands.load::<Tenant>(caller.tenant, caller.tenant).await?;
    let zone = TimeZone::get(&tenant.time_zone()).unwrap_or(TimeZone::UTC);
    let after = day.tomorrow().and_then(|next| next.to_zoned(zone)).map_err(|_| invalid(place))?;
    after.timestamp().checked_sub(1.microsecond()).map_err(|_| invalid(place))
}
