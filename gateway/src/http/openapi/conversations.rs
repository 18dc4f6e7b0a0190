//! What conversations have besides lists: their messages.

use domain::{Aggregate, chat::conversation::Conversation};

use super::{
    super::desk::tickets::ThreadOptions,
    Document,
    commands::id_of,
    operation::Operation,
    problems::{self, Code},
    schemas::refer,
    tickets::page_of,
};

/// Adds them.
pub(super) fn describe(document: &mut Document) {
    let entry = refer("ConversationMessage");
    let page = document.schemas.add("ConversationThreadPage", page_of(&entry));
    let options = document.schemas.properties::<ThreadOptions>("");
    let description = "Reads the messages of a conversation, both ways and oldest first, with how far those of ours have \
        come; now or as it was.";
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
