//! What conversations have besides lists: their messages, and the inbox as it lives.

use domain::{Aggregate, chat::conversation::Conversation};

use serde_json::json;

use super::{
    super::{
        chat::inbox::Show,
        desk::tickets::ThreadOptions,
        kernel::stream::{ChangedAccess, Gone, Since},
    },
    Document,
    commands::id_of,
    operation::Operation,
    problems::{self, Code},
    schemas::refer,
    tickets::page_of,
};
use crate::live::Signal;

/// Adds them.
pub(super) fn describe(document: &mut Document) {
    let entry = refer("ConversationMessage");
    let mut page = page_of(&entry);
    page["properties"]["reply_until"] = json!({
        "type": "string", "format": "date-time",
        "description": "Until when one may answer, in channels where one may only for a time after the other side last wrote.",
    });
    let page = document.schemas.add("ConversationThreadPage", page);
    let options = document.schemas.properties::<ThreadOptions>("");
    let description = "Reads the messages of a conversation, both ways and oldest first unless `newest` says otherwise, with how far \
        those of ours have come; now or as it was.";
    Operation::new("conversation_messages", Conversation::PLURAL, description)
        .permission("conversation.read")
        .parameter(id_of::<Conversation>(document))
        .query(options)
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "A page.", page, &["Deskfold-Position"])
        .problems("Read", Code::of(&[problems::PARAMETERS, problems::QUERY, problems::MOMENT]))
        .problems("Thread", Code::of(&[problems::PAGE, problems::THREAD]))
        .problems("ConversationRead", Code::unknown("conversation"))
        .at(document, "get", "/v1/conversations/{id}/messages");
}

/// The stream of the inbox, and what screens say of themselves.
pub(super) fn inbox(document: &mut Document) {
    let description = "Follows the inbox, as server-sent events: what happens in the conversations that I see, each message \
        with the event's position as `id`, its type as `event` (`conversation.message_received`, ...) and the event itself as `data`; \
        `user.presence_changed` of colleagues likewise. `gone` says that I see a conversation no longer, `access` that I see more or less by a \
        role or a team. `signal` says that somebody is typing in a conversation, looking at it, or not any more; it has no `id`, is stored nowhere and lasts 30 seconds unless \
        it is repeated. A client that reconnects with `Last-Event-ID`, as browsers do, or asks with `after`, misses no event and gets \
        none twice; without either the stream begins now. As long as I listen I am online, unless I have said otherwise; away when I touch nothing for \
        as long as the setting `away_after_minutes` says, and offline 40 seconds after the last stream has ended. A quiet stream sends a comment every 15 seconds.";
    let told = json!({ "anyOf": [
        refer("AnyEvent"),
        document.schemas.of::<Signal>(""),
        document.schemas.of::<Gone>(""),
        document.schemas.of::<ChangedAccess>(""),
    ] });
    let schema = json!({ "type": "string", "contentMediaType": "application/json", "contentSchema": told });
    let example = "event: signal\ndata: {\"conversation\":\"01K9Z3T8W0QX6V5N4M3K2J1H0G\",\"signal\":\"typing\",\
        \"kind\":\"user\",\"by\":\"01K9Z3T8W0QX6V5N4M3K2J1H0H\"}\n\n";
    let content = json!({ "text/event-stream": { "schema": schema, "example": example } });
    let parameters = document.schemas.properties::<Since>("");
    Operation::new("inbox_follow", Conversation::PLURAL, description)
        .permission("conversation.read")
        .query(parameters)
        .shared(&["Last-Event-ID", "Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer_as(200, "Messages until the client leaves or the server stops.", content, &[])
        .problems("Log", Code::of(&[problems::PARAMETERS, problems::QUERY]))
        .problems("Changes", Code::of(&[problems::STREAM]))
        .at(document, "get", "/v1/inbox/stream");
    let description = "Shows the screens of others that I am typing in a conversation, looking at it, or not any more. Said again while it lasts; \
        it is stored nowhere.";
    let schema = document.schemas.of::<Show>("");
    let example = json!({ "conversation": "01K9Z3T8W0QX6V5N4M3K2J1H0G", "signal": "typing" });
    let examples = json!({ "typing": { "value": example } });
    Operation::new("inbox_signal", Conversation::PLURAL, description)
        .permission("conversation.read")
        .body(schema, true, examples.as_object().cloned().unwrap_or_default())
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer_as(204, "Shown.", json!({}), &[])
        .problems("Body", Code::of(&[problems::PARAMETERS, problems::BODY]))
        .problems("ConversationRead", Code::unknown("conversation"))
        .at(document, "post", "/v1/inbox/signals");
    let description = "Says that I am there: whoever has the inbox open and touches nothing is away after a while.";
    Operation::new("inbox_touch", Conversation::PLURAL, description)
        .permission("conversation.read")
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer_as(204, "Noted.", json!({}), &[])
        .problems("Touch", Code::of(&[problems::PARAMETERS]))
        .at(document, "post", "/v1/inbox/touch");
}
