//! What mails have besides commands and lists: the door by which raw ones come in, and what they say.

use channels::mail::imap;
use domain::{
    Aggregate,
    chat::{channel::Channel, email::Email},
};
use serde_json::{Map, Value, json};

use super::{
    super::chat::emails::{Asked, Content},
    Document,
    commands::id_of,
    operation::{Operation, in_query},
    problems::{self, Code},
    schemas::refer,
};

/// What a raw mail is to programs: `message/rfc822` is one of few types that generators know.
const MAIL: &str = "application/octet-stream";

/// Adds them.
pub(super) fn describe(document: &mut Document) {
    let raw =
        "From: Maria <maria@example.com>\r\nTo: help@example.com\r\nSubject: Dark\r\n\r\nThe display stays dark.\r\n";
    let example = json!({ "mail": { "summary": "A mail", "value": raw } });
    let examples: Map<String, Value> = example.as_object().cloned().unwrap_or_default();
    let description = "Brings a mail in by a channel of mail, as it came (RFC 5322): the body of the request is the mail. It is kept \
        whole, then a ticket or a message in one is made of it; what cannot be read, or is too much of one sender, is kept, raises \
        a notice and can be tried again. The same mail is taken in once, by whatever ways it comes.";
    let recipient =
        json!({ "type": "string", "description": "The address that it was delivered to, where it is known." });
    Operation::new("channel_receive_email", Channel::PLURAL, description)
        .permission("channel.receive")
        .write()
        .shared(&["Deskfold-On-Behalf-Of"])
        .parameter(id_of::<Channel>(document))
        .parameter(in_query("recipient", recipient, false))
        .body_as(&[MAIL], json!({ "type": "string", "format": "binary" }), true, examples)
        .answer(201, "It is kept.", refer("Accepted"), &["Location", "ETag", "Deskfold-Position"])
        .answer(200, "It was kept before.", refer("Accepted"), &["ETag", "Deskfold-Position"])
        .problems("Channel", Code::refusals::<Channel>())
        .problems("RawEmail", [Code::of(&[problems::EMAIL]), Code::refusals::<Email>()].concat())
        .at(document, "post", "/v1/channels/{id}/email");
    let schema = document.schemas.of::<imap::State>("");
    let description = "Tells how the mailbox of a channel fares: whether it is open, what went wrong last, and how many mails were \
        taken in from it.";
    Operation::new("channel_mailbox_show", Channel::PLURAL, description)
        .permission("channel.read")
        .shared(&["Deskfold-On-Behalf-Of"])
        .parameter(id_of::<Channel>(document))
        .answer(200, "How it fares.", schema, &[])
        .problems("Mailbox", Code::of(&[problems::MAILBOX, problems::PARAMETERS]))
        .at(document, "get", "/v1/channels/{id}/mailbox");
    let schema = document.schemas.of::<Content>("");
    let asked = document.schemas.properties::<Asked>("Email");
    let description = "Tells what a mail says: its text, what is new in it, and its HTML made safe to show, without pictures that \
        stand elsewhere unless they are asked for.";
    Operation::new("email_content", Email::PLURAL, description)
        .permission("email.read")
        .shared(&["Deskfold-On-Behalf-Of"])
        .parameter(id_of::<Email>(document))
        .query(asked)
        .answer(200, "What it says.", schema, &[])
        .problems(
            "EmailContent",
            [Code::of(&[problems::EMAIL_CONTENT, problems::PARAMETERS]), Code::refusals::<Email>()].concat(),
        )
        .at(document, "get", "/v1/emails/{id}/content");
}
