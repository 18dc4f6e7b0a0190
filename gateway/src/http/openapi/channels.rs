//! What channels have besides commands and lists: what their kinds can, their credentials, and what comes in.

use channels::{
    inbound::Inbound,
    messengers::{State, program::Described},
};
use domain::{
    Aggregate, Id,
    chat::{channel::Channel, conversation::Conversation},
};
use serde_json::{Map, Value, json};

use super::{
    super::chat::{
        channels::{ChannelCredentials, ChannelKinds, EXAMPLE},
        messengers::{Taken, Verification, example as brought},
    },
    Document,
    commands::id_of,
    operation::{Operation, in_path},
    problems::{self, Code},
    schemas::refer,
};

/// Where what messengers bring stands in the document.
const HOOKS: &str = "hooks";
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
        .problems("TakenIn", Code::refusals::<Conversation>())
        .at(document, "post", "/v1/channels/{id}/messages");
    messengers(document);
}

/// Where messengers and programs bring what comes.
fn messengers(document: &mut Document) {
    document.tags.beside(HOOKS, Channel::KIND);
    let schema = document.schemas.of::<State>("");
    let description = "Tells how the channel of a messenger fares: whether Deskfold carries it, where its messenger brings what comes, \
        what went wrong last, and how much waits to be taken in.";
    Operation::new("channel_messenger_show", Channel::PLURAL, description)
        .permission("channel.read")
        .shared(&["Deskfold-On-Behalf-Of"])
        .parameter(id_of::<Channel>(document))
        .answer(200, "How it fares.", schema, &[])
        .problems("Messenger", Code::of(&[problems::MESSENGER, problems::PARAMETERS]))
        .at(document, "get", "/v1/channels/{id}/messenger");
    let channel = |document: &mut Document| {
        let id = document.schemas.of::<Id>("");
        in_path("channel", "The channel, of kind `telegram`, `whatsapp`, `instagram`, `messenger` or `api`.", id)
    };
    let (path, asked) = (channel(document), document.schemas.properties::<Verification>(""));
    let description = "Tells Meta again what it says, if it says the right word: so it knows that this is the place.";
    Operation::new("hook_verify", HOOKS, description)
        .open()
        .parameter(path)
        .query(asked)
        .answer_as(200, "What was asked.", json!({ "text/plain": { "schema": { "type": "string" } } }), &[])
        .problems("HookVerification", Code::of(&[problems::HOOK, problems::PARAMETERS]))
        .at(document, "get", "/hooks/{channel}");
    let (path, schema, taken) =
        (channel(document), document.schemas.of::<Described>(""), document.schemas.of::<Taken>(""));
    let description = "Brings what happened in a channel. Telegram and Meta bring what their own documents say, known by \
        `X-Telegram-Bot-Api-Secret-Token` and `X-Hub-Signature-256`: it is written down, answered, and taken in afterwards. A program \
        (kind `api`) brings this, signed by the channel's secret as Standard Webhooks has it (`webhook-id`, `webhook-timestamp` within \
        five minutes, `webhook-signature`).";
    Operation::new("hook_bring", HOOKS, description)
        .open()
        .parameter(path)
        .body(schema, true, example(brought()))
        .answer(200, "It is kept.", taken, &[])
        .problems("Hook", Code::of(&[problems::HOOK, problems::BODY]))
        .problems("HookChannel", Code::refusals::<Channel>())
        .problems("HookTaken", Code::refusals::<Conversation>())
        .at(document, "post", "/hooks/{channel}");
}
