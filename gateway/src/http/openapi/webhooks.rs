//! What webhooks have besides commands and lists: their secrets, what was sent to them, and sending again.

use domain::{
    Aggregate,
    work::webhook::{OVERLAP_S, Webhook},
};
use serde_json::{Map, Value, json};

use super::{
    super::work::webhooks::{self, Asked, Change, Deliveries, EXAMPLE, From, Progress, Rotation, Which},
    Document,
    commands::id_of,
    operation::{Operation, in_path},
    problems::{self, Code},
    schemas::refer,
};

/// Headers of what was written.
const WRITTEN: &[&str] = &["ETag", "Deskfold-Position", "Idempotency-Replayed"];

fn example(body: Value) -> Map<String, Value> {
    Map::from_iter([("example1".to_owned(), json!({ "value": body }))])
}

/// Adds them.
pub(super) fn describe(document: &mut Document) {
    let secret = json!({ "type": "object", "properties": { "secret": {
        "type": "string",
        "description": "The secret; it is shown this once. It is kept sealed, so that a retry with the same `Idempotency-Key` cannot \
            show it again, and a rehearsal has none.",
    } } });
    let told = document.schemas.add("WebhookSecretTold", json!({ "allOf": [refer("Accepted"), secret] }));
    let asked = document.schemas.of::<Asked>("");
    let description = "Sets up a webhook: from now on the address is told of these events, each as `GET /v1/events` shows it, by a \
        POST that is signed by the scheme of Standard Webhooks. What whoever sets it up may not see is not told. The secret is made and shown \
        this once, unless one is given.";
    Operation::new("webhook_subscribe", Webhook::PLURAL, description)
        .permission("webhook.subscribe")
        .write()
        .shared(&["Deskfold-On-Behalf-Of"])
        .body(asked, true, example(webhooks::example()))
        .answer(201, "It is set up, and where it is.", told.clone(), &[&["Location"], WRITTEN].concat())
        .answer(200, "What a rehearsal would write.", told.clone(), WRITTEN)
        .problems("Webhook", Code::refusals::<Webhook>())
        .at(document, "post", "/v1/webhooks");
    let schema = document.schemas.of::<Change>("");
    let description = "Tells a webhook something else, or somebody else. From then on it sees with the eyes of whoever changes it; what \
        waits for another attempt is tried at once.";
    command(document, "change", description, schema, json!({ "types": ["ticket.*"], "filter": {} }), None);
    let schema = document.schemas.of::<Rotation>("");
    let description =
        "Gives a webhook another secret. As long as the former one still counts everything is signed with both.";
    let rotation = json!({ "secret": EXAMPLE, "overlap_s": OVERLAP_S });
    command(document, "rotate_secret", description, schema, rotation, Some(told));
    let nothing = json!({ "type": "object", "additionalProperties": false });
    let nothing = document.schemas.add("WebhookNothing", nothing);
    let description = "Lets a webhook work. It goes on where it stopped, and sees with the eyes of whoever enables it.";
    command(document, "enable", description, nothing.clone(), json!({}), None);
    let description = "Tries a webhook: it is sent an event `webhook.tested`, whatever types it asks for, once. What came of it its \
        deliveries tell.";
    command(document, "test", description, nothing.clone(), json!({}), None);
    let from = document.schemas.properties::<From>("");
    let from = from.into_iter().filter(|(name, ..)| name == "from").collect();
    let id = id_of::<Webhook>(document);
    let description = "Sends everything again from a position of the log, under the ids that it was sent with before: a receiver \
        that knows those leaves out what it has.";
    Operation::new("webhook_replay", Webhook::PLURAL, description)
        .permission("webhook.replay")
        .write()
        .parameter(id)
        .query(from)
        .shared(&["Deskfold-On-Behalf-Of"])
        .body(nothing.clone(), false, example(json!({})))
        .answer(200, "What was written.", refer("Accepted"), WRITTEN)
        .problems("Webhook", Code::refusals::<Webhook>())
        .problems("WebhookReplay", Code::of(&[problems::WEBHOOK_REPLAY]))
        .at(document, "post", "/v1/webhooks/{id}/replay");
    deliveries(document, nothing);
}

/// A command of a webhook that has a route of its own.
fn command(document: &mut Document, name: &str, description: &str, body: Value, like: Value, told: Option<Value>) {
    let id = id_of::<Webhook>(document);
    Operation::new(format!("webhook_{name}"), Webhook::PLURAL, description)
        .permission(format!("webhook.{name}"))
        .write()
        .shared(&["Deskfold-On-Behalf-Of"])
        .parameter(id)
        .body(body, like.as_object().is_some_and(|like| !like.is_empty()), example(like))
        .answer(200, "What was written.", told.unwrap_or_else(|| refer("Accepted")), WRITTEN)
        .problems("Webhook", Code::refusals::<Webhook>())
        .at(document, "post", &format!("/v1/webhooks/{{id}}/{name}"));
}

fn deliveries(document: &mut Document, nothing: Value) {
    let id = id_of::<Webhook>(document);
    let schema = document.schemas.of::<Progress>("");
    Operation::new("webhook_progress", Webhook::PLURAL, "Tells how far a webhook is, and how it fares.")
        .permission("webhook.read")
        .parameter(id.clone())
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "How far it is.", schema, &["Deskfold-Position"])
        .problems("Plain", Code::of(&[problems::PARAMETERS]))
        .problems("WebhookRead", Code::unknown("webhook"))
        .at(document, "get", "/v1/webhooks/{id}/progress");
    let (schema, which) = (document.schemas.of::<Deliveries>(""), document.schemas.properties::<Which>(""));
    let description = "Tells what was sent to a webhook of late and what was answered, attempt by attempt, the newest first, as far as \
        you see the events.";
    Operation::new("webhook_deliveries", Webhook::PLURAL, description)
        .permission("webhook.read")
        .parameter(id.clone())
        .query(which)
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "The attempts.", schema, &["Deskfold-Position"])
        .problems("WebhookDeliveries", Code::of(&[problems::PARAMETERS, problems::PAGE]))
        .problems("WebhookRead", Code::unknown("webhook"))
        .at(document, "get", "/v1/webhooks/{id}/deliveries");
    let delivery = json!({ "type": "string", "examples": ["01K9Z3T8W0QX6V5N4M3K2J1H0G"] });
    let description = "Sends the event of a delivery once more, by itself and at once, whatever waits, under the id that it was sent \
        with before.";
    Operation::new("webhook_redeliver", Webhook::PLURAL, description)
        .permission("webhook.redeliver")
        .write()
        .shared(&["Deskfold-On-Behalf-Of"])
        .parameter(id)
        .parameter(in_path("delivery", "Id of the delivery.", delivery))
        .body(nothing, false, example(json!({})))
        .answer(200, "What was written.", refer("Accepted"), WRITTEN)
        .problems("Webhook", Code::refusals::<Webhook>())
        .problems("WebhookDelivery", Code::of(&[problems::WEBHOOK_DELIVERY]))
        .at(document, "post", "/v1/webhooks/{id}/deliveries/{delivery}/redeliver");
}

/// What webhooks are told, for the section of the document that says so.
pub(super) fn told() -> Value {
    let header = |name: &str, description: &str| json!({ "name": name, "in": "header", "required": true, "description": description, "schema": { "type": "string" } });
    json!({ "event": { "post": {
        "operationId": "webhook_event",
        "summary": "An event, told to a webhook",
        "description": "What is sent to the address of a webhook. Whoever answers 2xx has taken it; 410 disables the webhook; whatever \
            else is tried again for three days.",
        "parameters": [
            header("webhook-id", "The same for every attempt: whoever hears it twice knows."),
            header("webhook-timestamp", "When this attempt was made, in seconds since 1970."),
            header("webhook-signature", "One signature for each secret that counts, with a blank between them."),
        ],
        "requestBody": { "required": true, "content": { "application/json": { "schema": refer("Event") } } },
        "responses": { "2XX": { "description": "It is taken." }, "410": { "description": "Nothing is wanted any more." } },
    } } })
}
