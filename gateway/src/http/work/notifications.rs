//! What one is told of what concerns oneself: the list, how much of it is unread, that it has been read, and what one wants to be
//! told of.

use std::time::Duration;

use axum::{
    Json,
    extract::{OriginalUri, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use channels::{
    outbox::push::{Browser, Keys},
    webhooks::check_url,
};
use commands::{Envelope, Refused};
use domain::{
    Authority, Id, Via,
    kernel::{
        filter::{Condition, FieldKind, Filter, Scalar, Test},
        reference::Subject,
    },
    org::{
        notifying::{Kind, Medium, Preferences},
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
use crate::{
    app::App,
    auth::{Caller, SYSTEM},
    notifying,
    problem::Problem,
    sealed,
};

/// How often, and how many times, it is looked what has become of a message that one tries.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: u32 = 50;

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
        .get("/me/notification_ways", ways)
        .put("/me/chat_webhook", set_chat_webhook)
        .get("/me/push_key", push_key)
        .post("/me/subscribe_push", subscribe_push)
        .post("/me/unsubscribe_push", unsubscribe_push)
        .post("/me/test_notification", try_medium)
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
    let (count, position) = lists::own_total(list_of_all(), &app, &caller, &headers, min_position, only).await?;
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
                return Err(Problem::missing("notification_unknown", detail).at(format!("/notifications/{at}")));
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

/// By what one is reached besides the list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "NotificationWays")]
pub(in crate::http) struct Ways {
    /// The address that mail goes to.
    email: String,
    /// Whether a chat's webhook is set. Its address is told to nobody.
    chat_webhook: bool,
    /// The browsers that messages are pushed to.
    browsers: Vec<Id>,
}

async fn ways(
    State(app): State<App>,
    caller: Caller,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<Ways>, Problem> {
    let (user, _) = app.commands.load_current::<User>(caller.tenant, caller.actor.principal()).await?;
    let email = user.profile.email.0.clone();
    Ok(Json(Ways { email, chat_webhook: user.chat_webhook.is_some(), browsers: user.browsers.clone() }))
}

/// An incoming webhook of a chat.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SetChatWebhook")]
pub(in crate::http) struct ChatWebhook {
    /// Its address, as the chat tells it; null for none.
    #[schemars(length(max = 2000))]
    url: Option<String>,
}

async fn set_chat_webhook(State(app): State<App>, oneself: Oneself, body: Body) -> Result<StatusCode, Problem> {
    let ChatWebhook { url } = body.read(&json!({ "url": "https://hooks.slack.com/services/T0/B0/x" }))?;
    let whose = (oneself.tenant, oneself.user);
    let credential = match url {
        None => None,
        Some(url) => {
            app.must_be_callable(&url, "/url")?;
            let credential = app.named(&["chat", &url])?;
            app.keep_secret(sealed::USERS, whose, credential, &url).await?;
            Some(credential)
        }
    };
    app.as_oneself(oneself.tenant, oneself.user, Command::SetChatWebhook { credential }).await?;
    app.forget_ways(oneself.tenant, oneself.user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a browser asks for, so that it takes this server's messages.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::http) struct PushKey {
    /// The public key of this server (VAPID), in base64url: `applicationServerKey`.
    key: String,
}

async fn push_key(
    State(app): State<App>,
    _: Caller,
    Params(Nothing {}): Params<Nothing>,
) -> Result<Json<PushKey>, Problem> {
    let sender = notifying::sender(&app.config, &app.sign_in.seal);
    let sender = sender.get().map_err(|why| Problem::broken(&why))?.as_ref();
    let sender = sender.ok_or_else(|| Problem::broken(&"the secret key makes no key to push with"))?;
    Ok(Json(PushKey { key: sender.public() }))
}

/// A browser that takes messages, as it tells it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SubscribePush {
    /// The address at its push service.
    #[schemars(length(max = 2000))]
    endpoint: String,
    /// Its keys.
    keys: PushKeys,
}

/// The keys of a browser.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PushKeys {
    /// Its public key, in base64url.
    p256dh: String,
    /// The secret that it shares, in base64url.
    auth: String,
}

async fn subscribe_push(State(app): State<App>, oneself: Oneself, body: Body) -> Result<StatusCode, Problem> {
    let SubscribePush { endpoint, keys: PushKeys { p256dh, auth } } = body.read(&json!({
        "endpoint": "https://push.example.com/3f9a",
        "keys": { "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", "auth": "BTBZMqHH6r4Tts7J_aSIgg" },
    }))?;
    app.must_be_callable(&endpoint, "/endpoint")?;
    let browser = Browser { endpoint, keys: Keys { p256dh, auth } };
    if !browser.is_fit() {
        let detail = "The keys are those that the browser tells, in base64url.";
        return Err(Problem::invalid("push_keys_invalid", detail).at("/keys"));
    }
    let id = app.named(&["browser", &browser.endpoint])?;
    let kept = serde_json::to_string(&browser).map_err(|error| Problem::broken(&error))?;
    app.keep_secret(sealed::USERS, (oneself.tenant, oneself.user), id, &kept).await?;
    app.as_oneself(oneself.tenant, oneself.user, Command::SubscribeBrowser { browser: id }).await?;
    app.forget_ways(oneself.tenant, oneself.user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A browser that takes no messages any more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct UnsubscribePush {
    /// The address at its push service.
    #[schemars(length(max = 2000))]
    endpoint: String,
}

async fn unsubscribe_push(State(app): State<App>, oneself: Oneself, body: Body) -> Result<StatusCode, Problem> {
    let UnsubscribePush { endpoint } = body.read(&json!({ "endpoint": "https://push.example.com/3f9a" }))?;
    let browser = app.named(&["browser", &endpoint])?;
    app.as_oneself(oneself.tenant, oneself.user, Command::UnsubscribeBrowser { browser }).await?;
    app.forget_ways(oneself.tenant, oneself.user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// By what one tries whether one is reached.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TestNotification")]
pub(in crate::http) struct TryMedium {
    /// By what: `email`, `push` or `chat`.
    medium: Medium,
}

/// What became of a message that one tried.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TestedNotification")]
pub(in crate::http) struct Tried {
    /// Whether it has left, to wherever it was to go.
    delivered: bool,
    /// Why it has not, or is not yet.
    reason: Option<String>,
}

async fn try_medium(State(app): State<App>, oneself: Oneself, body: Body) -> Result<Json<Tried>, Problem> {
    let TryMedium { medium } = body.read(&json!({ "medium": "email" }))?;
    if !matches!(medium, Medium::Email | Medium::Push | Medium::Chat) {
        let detail = "Tried are email, push and chat: the others call nobody.";
        return Err(Problem::invalid("notification_medium_unfit", detail).at("/medium"));
    }
    let (tenant, user) = (oneself.tenant, oneself.user);
    let (known, _) = app.commands.load_current::<User>(tenant, user).await?;
    let is_set = match medium {
        Medium::Push => !known.browsers.is_empty(),
        Medium::Chat => known.chat_webhook.is_some(),
        _ => true,
    };
    if !is_set {
        let detail = format!("Nothing is set up by which you are reached by {}.", medium.name());
        return Err(Problem::invalid("notification_medium_unfit", detail).at("/medium"));
    }
    let id = Id::derived(u64::try_from(app.now().as_millisecond()).unwrap_or_default(), &["test", &user.to_string()]);
    let envelope = Envelope::new(tenant, id, SYSTEM, Via::Ui, app.now());
    let new = notification::New {
        to: user,
        kind: Kind::Test,
        record: Subject::new("user", user),
        by: None,
        quietly: false,
        only: Some(medium),
    };
    app.commands.dispatch::<Notification>(&envelope, notification::Command::Send(new)).await?;
    for _ in 0..LOOKS {
        let (sent, _) = app.commands.load_current::<Notification>(tenant, id).await?;
        let ended: Vec<_> = sent.ended().iter().filter(|ended| ended.medium == medium).collect();
        if let Some(good) = ended.iter().find(|ended| ended.reason.is_none()) {
            return Ok(Json(Tried { delivered: true, reason: good.reason.clone() }));
        }
        let wanted = if medium == Medium::Push { known.browsers.len() } else { 1 };
        if let Some(last) = ended.last().filter(|_| ended.len() >= wanted) {
            return Ok(Json(Tried { delivered: false, reason: last.reason.clone() }));
        }
        tokio::time::sleep(LOOK).await;
    }
    let reason = Some("It has not left yet, and is tried again.".to_owned());
    Ok(Json(Tried { delivered: false, reason }))
}

impl App {
    /// The id of something that is known by a secret: the log does not tell which.
    fn named(&self, parts: &[&str]) -> Result<Id, Problem> {
        // What is derived from a key of this server's is guessed by nobody who reads the log.
        let key = self.sign_in.seal.derived("notification ways")?;
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Id::named(&[&[key.as_str()], parts].concat()))
    }

    fn must_be_callable(&self, url: &str, place: &str) -> Result<(), Problem> {
        let private = self.config.private_addresses;
        check_url(url, private).map_err(|reason| Problem::invalid("url_invalid", reason).at(place))
    }

    /// Deletes what is kept of how somebody is reached but for what counts.
    async fn forget_ways(&self, tenant: Id, user: Id) -> Result<(), Problem> {
        let (known, _) = self.commands.load_current::<User>(tenant, user).await?;
        let in_force = known.chat_webhook.into_iter().chain(known.browsers.iter().copied());
        self.forget_other_secrets(sealed::USERS, (tenant, user), in_force).await
    }
}
