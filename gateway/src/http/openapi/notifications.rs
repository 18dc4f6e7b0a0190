//! What one is told of what concerns oneself.

use domain::{
    Aggregate,
    org::{notifying::Preferences, user::User},
    work::notification::Notification,
};
use serde_json::{Map, Value, json};

use super::{
    super::{
        kernel::stream::{ChangedAccess, ChangedNotification, Since},
        work::notifications::{
            ChatWebhook, MarkRead, Marked, NoOlder, PushKey, SubscribePush, Tried, TryMedium, Unread, UnsubscribePush,
            Ways, list_of_all,
        },
    },
    Document, lists,
    operation::Operation,
    problems::{self, Code},
};

const TAG: &str = Notification::PLURAL;

fn example(value: Value) -> Map<String, Value> {
    Map::from_iter([("example1".to_owned(), json!({ "value": value }))])
}

/// Adds it.
pub(super) fn describe(document: &mut Document) {
    let description = format!(
        "Lists what I was told of what concerns me: what was assigned to me, where I was named, what was said in what is mine, what is \
         due soon or overdue. Only what is about a record that I see. `filter={{\"field\":\"read\",\"op\":\"eq\",\"value\":false}}` \
         shows what I have not read.\n\n{}",
        lists::fields(list_of_all())
    );
    let page = lists::own_page(document, list_of_all());
    let mut operation = Operation::new("notification_list", TAG, description);
    for parameter in lists::in_address(list_of_all(), "Notifications") {
        operation = operation.parameter(parameter);
    }
    operation
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "A page.", page, &["Deskfold-Position"])
        .problems("List", lists::codes())
        .at(document, "get", "/v1/me/notifications");
    let parameters = document.schemas.properties::<NoOlder>("");
    let unread = document.schemas.of::<Unread>("");
    Operation::new("notification_unread", TAG, "Tells how much of what I was told I have not read.")
        .query(parameters)
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "How much.", unread, &[])
        .problems("List", lists::codes())
        .at(document, "get", "/v1/me/notifications/unread");
    let schema = document.schemas.of::<MarkRead>("");
    let marked = document.schemas.of::<Marked>("");
    let description = "Says that I have read what I was told, on all screens: these notifications, or all that there are. What I have \
        read calls me by no other medium any more.";
    Operation::new("notification_mark_read", TAG, description)
        .body(schema, true, example(json!({ "notifications": ["01K9Z3T8W0QX6V5N4M3K2J1H0G"] })))
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "What was marked.", marked, &[])
        .problems("Body", Code::of(&[problems::PARAMETERS, problems::BODY]))
        .problems("NotificationRead", [Code::unknown("notification"), Code::of(&[problems::NOTIFICATIONS])].concat())
        .at(document, "post", "/v1/me/notifications/mark_read");
    stream(document);
    preferences(document);
    ways(document);
}

fn stream(document: &mut Document) {
    let description = "Follows what I am told, as server-sent events: `notification` says that one is new or has been read, on whatever \
        screen, with the position as `id`; `access` that I see more or less by a role or a team. A client that reconnects with \
        `Last-Event-ID`, as browsers do, or asks with `after`, misses nothing; without either the stream begins now. A quiet stream \
        sends a comment every 15 seconds.";
    let told = json!({ "anyOf": [
        document.schemas.of::<ChangedNotification>(""),
        document.schemas.of::<ChangedAccess>(""),
    ] });
    let schema = json!({ "type": "string", "contentMediaType": "application/json", "contentSchema": told });
    let example = "id: 42\nevent: notification\ndata: {\"notification\":\"01K9Z3T8W0QX6V5N4M3K2J1H0G\",\"became\":\"sent\",\
        \"position\":42}\n\n";
    let content = json!({ "text/event-stream": { "schema": schema, "example": example } });
    let parameters = document.schemas.properties::<Since>("");
    Operation::new("notification_follow", TAG, description)
        .query(parameters)
        .shared(&["Last-Event-ID", "Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer_as(200, "Messages until the client leaves or the server stops.", content, &[])
        .problems("Log", Code::of(&[problems::PARAMETERS, problems::QUERY]))
        .problems("Changes", Code::of(&[problems::STREAM]))
        .at(document, "get", "/v1/me/notifications/stream");
}

fn preferences(document: &mut Document) {
    let wanted = document.schemas.of::<Preferences>("");
    Operation::new("notification_preferences", TAG, "Tells what I want to be told of, by what media, and when.")
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "What I want.", wanted.clone(), &[])
        .problems("MyNotifications", Code::of(&[problems::PARAMETERS]))
        .at(document, "get", "/v1/me/notification_preferences");
    let description = "Says what I want to be told of, by what media, and when mail, push and chat leave me alone, by the clock of my \
        own time zone: what happens then calls me when it is over, and stands in the list at once.";
    let like = json!({
        "media": { "mentioned": ["in_app", "email"], "overdue": ["in_app", "digest"] },
        "quiet_hours": { "from": "22:00", "until": "07:00" },
        "digest_at": "08:00",
    });
    Operation::new("notification_set_preferences", TAG, description)
        .body(wanted.clone(), true, example(like))
        .answer(200, "What I want.", wanted, &[])
        .problems("Own", Code::of(&[problems::PARAMETERS, problems::BODY, problems::SESSION]))
        .problems("Preferences", Code::refusals::<User>())
        .at(document, "put", "/v1/me/notification_preferences");
}

/// An operation of whoever is signed in, with a body.
fn own(id: &str, description: &str, schema: Value, like: Value) -> Operation {
    Operation::new(id, TAG, description)
        .body(schema, true, example(like))
        .problems("Own", Code::of(&[problems::PARAMETERS, problems::BODY, problems::SESSION]))
        .problems("NotificationWay", [Code::of(&[problems::NOTIFICATION_WAYS]), Code::refusals::<User>()].concat())
}

fn ways(document: &mut Document) {
    let told = document.schemas.of::<Ways>("");
    Operation::new("notification_ways", TAG, "Tells by what I am reached besides the list.")
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "By what.", told, &[])
        .problems("MyNotifications", Code::of(&[problems::PARAMETERS]))
        .at(document, "get", "/v1/me/notification_ways");
    let schema = document.schemas.of::<ChatWebhook>("");
    let description = "Has me told in a chat, by an incoming webhook as Slack has them (Mattermost and others take the same). Its address \
        is a secret: it is sealed, stands in no event, and is told to nobody. Private networks are not called.";
    own("notification_set_chat", description, schema, json!({ "url": "https://hooks.slack.com/services/T0/B0/x" }))
        .answer_as(204, "Set.", json!({}), &[])
        .at(document, "put", "/v1/me/chat_webhook");
    let key = document.schemas.of::<PushKey>("");
    Operation::new(
        "push_key",
        TAG,
        "Tells the public key by which browsers know whose messages are pushed to them (VAPID, RFC 8292).",
    )
    .answer(200, "The key.", key, &[])
    .problems("MyNotifications", Code::of(&[problems::PARAMETERS]))
    .at(document, "get", "/v1/me/push_key");
    let keys = json!({
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    });
    let schema = document.schemas.of::<SubscribePush>("");
    let description = "Has messages pushed to this browser (Web Push, encrypted for it alone): what `pushManager.subscribe` answers. The same \
        address once more takes the place of the first; of more than 20 browsers the oldest is forgotten.";
    own("push_subscribe", description, schema, json!({ "endpoint": "https://push.example.com/3f9a", "keys": keys }))
        .answer_as(204, "It takes messages.", json!({}), &[])
        .at(document, "post", "/v1/me/subscribe_push");
    let schema = document.schemas.of::<UnsubscribePush>("");
    let like = json!({ "endpoint": "https://push.example.com/3f9a" });
    own("push_unsubscribe", "Has nothing pushed to this browser any more.", schema, like)
        .answer_as(204, "It takes none any more.", json!({}), &[])
        .at(document, "post", "/v1/me/unsubscribe_push");
    let schema = document.schemas.of::<TryMedium>("");
    let tried = document.schemas.of::<Tried>("");
    let description =
        "Sends me a message by one medium, now and whatever I chose, and tells what became of it within five seconds.";
    own("notification_test", description, schema, json!({ "medium": "chat" }))
        .answer(200, "What became of it.", tried, &[])
        .at(document, "post", "/v1/me/test_notification");
}
