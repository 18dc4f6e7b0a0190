//! What channels have besides commands and lists: what their kinds can, their credentials, and what comes in.

use channels::inbound::Inbound;
use domain::{
    Aggregate,
    chat::{channel::Channel, conversation::Conversation},
};
use serde_json::{Map, Value, json};

use super::{
    super::chat::channels::{ChannelCredentials, ChannelKinds, EXAMPLE},
    Document,
    commands::id_of,
    operation::Operation,
    problems::{self, Code},
    schemas::refer,
};

/// Headers of what was written.
const WRITTEN: &[&str] = &["ETag", "Deskfold-Position", "Idempotency-Replayed"];

fn example(body: Value) -> Map<String, Value> {
    let mut examples = Map::new();
    examples.insert("example1".into(), json!({ "value": body }));
    examples
}

/// Adds them.
pub(super) fn describe(document: &mut Document) {
    let kinds = document.schemas.of::<ChannelKinds>("");
    let description = "Tells what channels can, by kind: files and how large, reactions, read receipts, until when one may \
        answer, and whether a message that is sent twice arrives once.";
    Operation::new("channel_kinds_show", Channel::PLURAL, description)
        .permission("channel.read")
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "Each kind.", kinds, &[])
        .problems("Plain", Code::of(&[problems::PARAMETERS]))
        .at(document, "get", "/v1/channel_kinds");
    let schema = document.schemas.of::<ChannelCredentials>("");
    let description = "Gives a channel other credentials. They are kept sealed, in force at once, and shown to nobody; the event \
        says only that they changed.";
    Operation::new("channel_rotate_credentials", Channel::PLURAL, description)
        .permission("channel.rotate_credentials")
        .write()
        .shared(&["Deskfold-On-Behalf-Of"])
        .parameter(id_of::<Channel>(document))
        .body(schema, true, example(json!({ "secret": EXAMPLE })))
        .answer(200, "What was written.", refer("Accepted"), WRITTEN)
        .problems("Channel", Code::refusals::<Channel>())
        .at(document, "put", "/v1/channels/{id}/credentials");
    let schema = document.schemas.of::<Inbound>("");
    let like = json!({
        "external_id": "wamid.HBgLMzkwNjU1NTAxMDE", "sender": "39065550101", "visitor": { "name": "Maria" },
        "body": "Good day", "written_at": "2026-11-29T09:00:00Z",
    });
    let description = "Brings a message in that somebody wrote in a channel. The same `external_id` is taken in once, for ever. \
        Who is not known yet begins a conversation, who is goes on with it; one that is closed reopens, or is followed by a \
        new one where the channel's time for that is over. Messages that come late stand where they belong by `written_at`.";
    Operation::new("channel_receive", Channel::PLURAL, description)
        .permission("channel.receive")
        .write()
        .shared(&["Deskfold-On-Behalf-Of"])
        .parameter(id_of::<Channel>(document))
        .body(schema, true, example(like))
        .answer(
            201,
            "A conversation has begun, and where it is.",
            refer("Accepted"),
            &[&["Location"], WRITTEN].concat(),
        )
        .answer(200, "It went on. `events` is empty when the message was taken in before.", refer("Accepted"), WRITTEN)
        .problems("Channel", Code::refusals::<Channel>())
        .problems("Conversation", Code::refusals::<Conversation>())
        .at(document, "post", "/v1/channels/{id}/messages");
}
