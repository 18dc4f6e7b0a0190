//! What chatbots have besides lists: rehearsals.

use domain::chat::{chatbot::Chatbot, script};
use serde_json::{Map, json};

use super::{
    super::chat::chatbots::{Rehearsal, Rehearsed},
    Document,
    operation::Operation,
    problems::{self, Code},
};

/// Adds them.
pub(super) fn describe(document: &mut Document) {
    let body = document.schemas.of::<Rehearsal>("Chatbot");
    let answer = document.schemas.of::<Rehearsed>("Chatbot");
    let example = json!({ "value": { "script": script::example(), "answers": { "topic": "A price" } } });
    let description = "Rehearses a script: what a chatbot says to somebody who gives these answers, what it then waits \
        for, and which answers it cannot take. A script that is not published yet is looked at as publishing does. \
        Writes nothing.";
    Operation::new("chatbot_rehearse", "chatbots", description)
        .permission("chatbot.read")
        .shared(&["Deskfold-On-Behalf-Of"])
        .body(body, true, Map::from_iter([("example1".to_owned(), example)]))
        .answer(200, "What it would say.", answer, &[])
        .problems("ChatbotRehearsal", Code::of(&[problems::PARAMETERS, problems::BODY, problems::CHATBOT_REHEARSAL]))
        .problems("ChatbotRehearse", Code::refusals::<Chatbot>())
        .at(document, "post", "/v1/chatbots/rehearse");
}
