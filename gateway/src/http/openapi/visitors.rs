//! What pages with a chat ask, in the name of visitors who are nobody yet.

use domain::{
    Aggregate, Id,
    chat::{channel::Channel, conversation::Conversation},
    crm::{contact::Contact, enquiry::Enquiry},
    org::upload::Upload,
};
use serde_json::{Map, Value, json};

use super::{
    super::chat::visitors::{
        Config, Doing, Rating, Receipts, Renewal, Transcript, Where,
        proof::{Challenge, Proof},
        site as published,
        thread::{Attached, Message, Part, Thread},
        writing::{Named, Taken, Written},
    },
    Document,
    operation::{Operation, in_path},
    problems::{self, Code},
};

/// Where they stand in the document.
const TAG: &str = "visitors";

fn example(value: Value) -> Map<String, Value> {
    Map::from_iter([("example1".to_owned(), json!({ "value": value }))])
}

/// What a page asks of a channel.
fn asked(document: &mut Document, id: &str, description: &str) -> Operation {
    let channel = document.schemas.of::<Id>("");
    Operation::new(format!("visitor_{id}"), TAG, description)
        .visited()
        .parameter(in_path("channel", "The channel, of kind `live_chat`.", channel))
        .problems("Visitor", Code::of(&[problems::PARAMETERS, problems::BODY, problems::COMMAND, problems::VISITOR]))
        .problems("VisitorOfChannel", Code::refusals::<Channel>())
}

/// One that changes something in the conversation.
fn done(document: &mut Document, id: &str, description: &str) -> Operation {
    asked(document, id, description).problems("VisitorOfConversation", Code::refusals::<Conversation>())
}

/// Adds them.
pub(super) fn describe(document: &mut Document) {
    document.tags.beside(TAG, Conversation::KIND);
    before(document);
    words(document);
    stream(document);
    rest(document);
    site(document);
}

/// An agency's own site.
fn site(document: &mut Document) {
    let on_site = |document: &mut Document, id: &str, description: &str| {
        let channel = document.schemas.of::<Id>("");
        Operation::new(format!("site_{id}"), TAG, description)
            .visited()
            .parameter(in_path("channel", "The channel, of kind `website`.", channel))
            .problems("Site", Code::of(&[problems::PARAMETERS, problems::BODY, problems::VISITOR, problems::SITE]))
            .problems("SiteChannel", Code::refusals::<Channel>())
    };
    let tagged = &["ETag"];
    let page = document.schemas.of::<published::Page>("");
    let search = document.schemas.properties::<published::Search>("");
    on_site(
        document,
        "properties",
        "Lists the properties that are published on the site (`publish_to_portal` with `website`).",
    )
    .query(search)
    .shared(&["If-None-Match"])
    .answer(200, "Properties.", page, tagged)
    .answer_as(304, "What you have still stands.", json!({}), tagged)
    .problems("SiteRead", Code::of(&[problems::QUERY, problems::PAGE, problems::LIST]))
    .at(document, "get", "/site/{channel}/properties");
    let property = document.schemas.of::<Id>("");
    let shown = document.schemas.of::<published::Shown>("");
    on_site(document, "property", "Tells a property that is published on the site.")
        .parameter(in_path("property", "The property.", property))
        .shared(&["If-None-Match"])
        .answer(200, "The property.", shown, tagged)
        .answer_as(304, "What you have still stands.", json!({}), tagged)
        .problems("SiteRead", Code::of(&[problems::QUERY, problems::PAGE, problems::LIST]))
        .at(document, "get", "/site/{channel}/properties/{property}");
    let (asked, enquired) =
        (document.schemas.of::<published::Asked>(""), document.schemas.of::<published::Enquired>(""));
    let like = json!({ "external_id": "form-17", "name": "Maria Rossi", "email": "maria@example.com", "text": "Is it still free?" });
    on_site(
        document,
        "enquire",
        "Hands in an enquiry of somebody on the site: a contact, found or made, and what is looked for.",
    )
    .body(asked, true, example(like))
    .answer(201, "It is taken in.", enquired.clone(), &[])
    .answer(200, "It was taken in before.", enquired, &[])
    .problems("SiteEnquiry", [Code::refusals::<Enquiry>(), Code::refusals::<Contact>()].concat())
    .at(document, "post", "/site/{channel}/enquiries");
}

/// What a page asks before there is a conversation.
fn before(document: &mut Document) {
    let (config, query) = (document.schemas.of::<Config>(""), document.schemas.properties::<Where>(""));
    let description = "Tells how the chat looks on a page, who would answer, what is asked before the first message, and what messages \
        may be. It takes no token.";
    asked(document, "config", description).open().query(query).answer(200, "How it looks.", config, &[]).at(
        document,
        "get",
        "/chat/{channel}/config",
    );
    let challenge = document.schemas.of::<Challenge>("");
    let description = "Gives what a page must answer before a chat begins, where the channel's protection wants that. It takes no token.";
    asked(document, "challenge", description).open().answer(200, "What to answer.", challenge, &[]).at(
        document,
        "get",
        "/chat/{channel}/challenge",
    );
    let proof = document.schemas.of::<Proof>("");
    let description = "Shows that the browser has reckoned and that the captcha was passed, whichever the channel wants: within the next \
        hour the token begins a chat. A challenge counts for one token.";
    let like = json!({ "challenge": "1764412345.16.9f1c.77aa", "solution": "9c97" });
    asked(document, "proof", description)
        .body(proof, true, example(like))
        .answer_as(204, "The chat may begin.", json!({}), &[])
        .at(document, "post", "/chat/{channel}/proof");
}

/// What is said, and what goes with it.
fn words(document: &mut Document) {
    let (page, query) = (document.schemas.of::<Thread>(""), document.schemas.properties::<Part>(""));
    let description = "Reads what was said, as a visitor sees it, oldest first, and where the conversation stands.";
    asked(document, "messages", description).query(query).answer(200, "A page.", page, &[]).at(
        document,
        "get",
        "/chat/{channel}/messages",
    );
    let (written, taken) = (document.schemas.of::<Written>(""), document.schemas.of::<Taken>(""));
    let description = "Writes a message. The first one begins a conversation, with the answers to the channel's questions; the same \
        `external_id` is taken in once, so ask again until an answer comes.";
    let like = json!({
        "external_id": "8d6e0b2c", "body": "Good day", "visitor": { "path": "/cart", "language": "en" },
        "answers": { "email": "maria@example.com" },
    });
    done(document, "write", description)
        .body(written, true, example(like))
        .answer(201, "It was taken in.", taken.clone(), &[])
        .answer(200, "It had been taken in before.", taken, &[])
        .at(document, "post", "/chat/{channel}/messages");
    let (file, query) = (document.schemas.of::<Attached>(""), document.schemas.properties::<Named>(""));
    let description =
        "Takes in a file for a message that follows, which names it by the same `external_id`. The body is its bytes.";
    let bytes = json!({ "type": "string", "format": "binary" });
    done(document, "upload", description)
        .query(query)
        .body_as(&["application/octet-stream"], bytes, true, Map::new())
        .answer(201, "It was taken in.", file.clone(), &[])
        .answer(200, "It had been taken in before.", file, &[])
        .problems("VisitorFile", Code::of(&[problems::FILE]))
        .problems("VisitorUpload", Code::refusals::<Upload>())
        .at(document, "post", "/chat/{channel}/uploads");
}

/// What goes on.
fn stream(document: &mut Document) {
    let query = document.schemas.properties::<Part>("");
    let message = document.schemas.of::<Message>("");
    let schema = json!({ "type": "string", "contentMediaType": "application/json", "contentSchema": message });
    let sample = "event: presence\ndata: {\"operators_present\":true}\n\n";
    let content = json!({ "text/event-stream": { "schema": schema, "example": sample } });
    let description = "Follows the conversation, as server-sent events: `message`, `state` of a message, `choices` (the answers that a \
        chatbot offers), `closed`, `reopened`, `handed_over`, `blocked`, `unblocked`, and `revoked`, which ends it; each with its \
        position as `id`. `signal` and `presence` have none. Resumed by `Last-Event-ID` or `after` it misses and doubles nothing.";
    asked(document, "follow", description)
        .query(query)
        .shared(&["Last-Event-ID"])
        .answer_as(200, "Messages until the page leaves, the token is worthless or the server stops.", content, &[])
        .problems("VisitorStream", Code::of(&[problems::QUERY, problems::STREAM]))
        .at(document, "get", "/chat/{channel}/stream");
    let schema = document.schemas.of::<Doing>("");
    asked(document, "signal", "Shows the desk that the visitor types, or has left; stored nowhere.")
        .body(schema, true, example(json!({ "signal": "typing" })))
        .answer_as(204, "Shown.", json!({}), &[])
        .at(document, "post", "/chat/{channel}/signals");
    let schema = document.schemas.of::<Receipts>("");
    let like = json!({ "delivered": [], "read": ["01K9Z3T8W0QX6V5N4M3K2J1H0G"] });
    done(
        document,
        "receipts",
        "Tells which messages of the desk have arrived, and which were seen: at most 100 at once.",
    )
    .body(schema, true, example(like))
    .answer_as(204, "Noted.", json!({}), &[])
    .at(document, "post", "/chat/{channel}/receipts");
}

/// The end of it, and the token.
fn rest(document: &mut Document) {
    done(document, "close", "Ends the conversation; whoever writes again goes on with it.")
        .answer_as(204, "It is over.", json!({}), &[])
        .at(document, "post", "/chat/{channel}/close");
    let schema = document.schemas.of::<Rating>("");
    done(document, "rate", "Says how satisfied the visitor is.")
        .body(schema, true, example(json!({ "score": 5, "text": "Quick!" })))
        .answer_as(204, "Noted.", json!({}), &[])
        .at(document, "post", "/chat/{channel}/rate");
    let schema = document.schemas.of::<Transcript>("");
    let description = "Asks for what was said to be sent by mail. It is queued; of the same words once to each address, and 10 times in all.";
    done(document, "transcript", description)
        .body(schema, true, example(json!({ "email": "maria@example.com", "language": "it" })))
        .answer_as(202, "It is queued.", json!({}), &[])
        .at(document, "post", "/chat/{channel}/transcript");
    let schema = document.schemas.of::<Renewal>("");
    asked(document, "renew", "Gives the visitor another token; the one until now is worth nothing then.")
        .body(schema, true, example(json!({ "token": format!("dfv_{}", "A".repeat(43)) })))
        .answer_as(204, "Done.", json!({}), &[])
        .at(document, "post", "/chat/{channel}/renew");
    asked(document, "forget", "Gives the token up: it is worth nothing any more.")
        .answer_as(204, "Done.", json!({}), &[])
        .at(document, "post", "/chat/{channel}/forget");
}
