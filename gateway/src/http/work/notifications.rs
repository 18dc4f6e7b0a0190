//! What one is told of what concerns oneself: the list, how much of it is unread, that it has been read, and what one wants to be
//! told of.

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::HeaderMap,
    response::Response,
};
use commands::{Envelope, Refused};
use domain::{
    Aggregate, Authority, Id, Via,
    kernel::filter::{Condition, FieldKind, Filter, Scalar, Test},
    org::{
        notifying::Preferences,
        user::{Command, User},
    },
    work::notification::{self, Notification},
};
use futures::{StreamExt, stream};
use projections::{List, ReadModel, work::notifications::Notifications};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::http::{
    kernel::{
        lists::{self, Asked},
        request::{self, Body, Given, Nothing, Params},
        routes::Routes,
    },
    org::me::Oneself,
};
use crate::{app::App, auth::Caller, problem::Problem};

/// Most notifications that are marked in one step, and at once.
const STEP: i64 = 500;
const AT_ONCE: usize = 16;

/// `GET /me/notifications` and what belongs to it.
pub(in crate::http) fn routes() -> Routes {
    Routes::new()
        .get("/me/notifications", list)
        .get("/me/notifications/unread", unread)
        .post("/me/notifications/mark_read", mark_read)
        .get("/me/notification_preferences", preferences)
        .put("/me/notification_preferences", set_preferences)
}

/// The list of all that anybody was told.
pub(in crate::http) const fn list_of_all() -> &'static List {
    List::of::<Notifications>()
}

/// What is one's own of it.
fn mine(caller: &Caller) -> Filter {
    let me = Test::Eq(Scalar::Text(caller.actor.principal().to_string()));
    Filter::Condition(Condition { field: "user_id".into(), kind: FieldKind::Id, test: me })
}

async fn list(
    State(app): State<App>,
    caller: Caller,
    asked: Given<Asked<String>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    lists::own(list_of_all(), &app, &caller, &uri, &headers, asked, mine(&caller)).await
}

/// No older than which position.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http) struct NoOlder {
    /// The answer reflects this position of the log at least.
    min_position: Option<i64>,
}

/// How much one has not read.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UnreadNotifications")]
pub(in crate::http) struct Unread {
    /// How many.
    count: i64,
    /// The position that this reflects.
    position: i64,
}

async fn unread(
    State(app): State<App>,
    caller: Caller,
    Params(NoOlder { min_position }): Params<NoOlder>,
    headers: HeaderMap,
) -> Result<Json<Unread>, Problem> {
    let test = Test::Eq(Scalar::Bool(false));
    let unread = Filter::Condition(Condition { field: "read".into(), kind: FieldKind::Bool, test });
    let only = Filter::All(vec![mine(&caller), unread]);
    let (count, position) =
        lists::own_total(list_of_all(), &app, &caller, &headers, min_position, only).await?;
    Ok(Json(Unread { count, position }))
}

/// What one has read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MarkNotificationsRead")]
pub(in crate::http) struct MarkRead {
    /// Which; all that there are when absent.
    #[serde(default)]
    #[schemars(length(max = 500))]
    notifications: Option<Vec<Id>>,
}

/// What was marked.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "MarkedNotifications")]
pub(in crate::http) struct Marked {
    /// How many were not read before.
    count: u32,
    /// The position at which all of it is known.
    position: i64,
}

async fn mark_read(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Marked>, Problem> {
    let MarkRead { notifications } = body.read(&json!({ "notifications": ["01K9Z3T8W0QX6V5N4M3K2J1H0G"] }))?;
    let mut marked = Marked { count: 0, position: 0 };
    if let Some(asked) = notifications {
        if asked.len() > STEP as usize {
            return Err(Problem::invalid("notifications_many", format!("At most {STEP} at once.")).at("/notifications"));
        }
        // Nothing is marked where one of them is not there.
        for (at, id) in asked.iter().enumerate() {
            let known = app.commands.find::<Notification>(caller.tenant, *id).await?;
            let to = known.and_then(|known| known.sent.as_ref().map(|sent| sent.to));
            if to != Some(caller.actor.principal()) {
                let detail = "There is no such notification.";
                return Err(Problem::missing("notification_unknown", detail).at(&format!("/notifications/{at}")));
            }
        }
        app.mark_read(&caller, asked, &mut marked).await?;
    } else {
        let wanted = request::min_position(&app, &headers, None).await?;
        request::reach(&app, Notifications::NAME, wanted).await?;
        loop {
            let me = caller.actor.principal();
            let ids = projections::work::notifications::unread(&app.pool, caller.tenant, me, STEP).await?;
            let before = marked.position;
            app.mark_read(&caller, ids, &mut marked).await?;
            if marked.position == before {
                break;
            }
            request::reach(&app, Notifications::NAME, Some(marked.position)).await?;
        }
    }
    marked.position = match marked.position {
        0 => app.log.head().await?,
        position => position,
    };
    Ok(Json(marked))
}

impl App {
    async fn mark_read(&self, caller: &Caller, ids: Vec<Id>, marked: &mut Marked) -> Result<(), Problem> {
        let mark = |id: Id| async move {
            let envelope = Envelope::new(caller.tenant, id, caller.actor.clone(), Via::Api, self.now());
            let envelope = Envelope { authority: Authority::full(), ..envelope };
            self.commands.dispatch::<Notification>(&envelope, notification::Command::MarkRead).await
        };
        let mut done = stream::iter(ids).map(mark).buffer_unordered(AT_ONCE);
        while let Some(done) = done.next().await {
            match done {
                Ok(accepted) if accepted.events.is_empty() => {}
                Ok(accepted) => {
                    marked.count += 1;
                    marked.position = marked.position.max(accepted.position);
                }
                Err(Refused::Rejected(_)) => {}
                Err(refused) => return Err(refused.into()),
            }
        }
        Ok(())
    }
}

async fn preferences(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Preferences>, Problem> {
    let (user, _) = app.commands.load_current::<User>(caller.tenant, caller.actor.principal()).await?;
    Ok(Json(user.notifications.clone()))
}

async fn set_preferences(State(app): State<App>, oneself: Oneself, body: Body) -> Result<Json<Preferences>, Problem> {
    let example = json!({
        "media": { "mentioned": ["in_app", "email"], "overdue": ["in_app", "digest"] },
        "quiet_hours": { "from": "22:00", "until": "07:00" },
        "digest_at": "08:00",
    });
    let wanted: Preferences = body.read(&example)?;
    let command = Command::SetNotificationPreferences(wanted.clone());
    app.as_oneself(oneself.tenant, oneself.user, command).await?;
    Ok(Json(wanted))
}
