//! What operations share: parameters, headers, the security scheme, and the shapes of answers and problems.

use domain::{Id, kernel::reference::Redirected};
use serde_json::{Value, json};

use super::{super::kernel::write::Options, Document, lists, operation::in_query, schemas::refer};

/// Parameters by the names under which operations refer to them.
pub(super) fn parameters(document: &mut Document) -> Value {
    let id = document.schemas.of::<Id>("");
    let header = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "header", "description": description, "required": false, "schema": schema });
    let text = || json!({ "type": "string" });
    let mut parameters = json!({
        "Idempotency-Key": header(
            "Idempotency-Key",
            "Makes the command safe to retry: the same key with the same request answers as the first time, also after a \
             lost answer; with another request it is refused (422); while the first is being carried out it conflicts (409).",
            json!({ "type": "string", "minLength": 1, "maxLength": 255 }),
        ),
        "If-Match": header(
            "If-Match",
            "The version you have seen, as an ETag such as `\"7\"`. If the record has moved on in a way that disturbs the \
             command, nothing is written (412). `*`: only if there is such a record.",
            text(),
        ),
        "If-None-Match": header("If-None-Match", "The ETag of what you have: answers 304 when it still stands.", text()),
        "If-None-Match-Any": header("If-None-Match", "`*`: only if there is no such record yet (412).", json!({ "type": "string", "pattern": "^\\*$" })),
        "Deskfold-Occurred-At": header(
            "Deskfold-Occurred-At",
            "When it happened in the world, if not now (permission `event.backdate`).",
            json!({ "type": "string", "pattern": INSTANT, "examples": ["2026-11-20T09:00:00Z"] }),
        ),
        "Deskfold-On-Behalf-Of": header(
            "Deskfold-On-Behalf-Of",
            "The user or contact for whom the request is made (permission `user.act_for`); both stay on record.",
            id,
        ),
        "Deskfold-Min-Position": header(
            "Deskfold-Min-Position",
            "The position that the answer must reflect, such as the `Deskfold-Position` of your last command. The query \
             waits for it a while, then answers 503. A position that the log has not come to is refused at once (422).",
            json!({ "type": "integer", "minimum": 0 }),
        ),
        "Last-Event-ID": header(
            "Last-Event-ID",
            "The position of the last event you have seen: the stream goes on after it.",
            json!({ "type": "integer", "minimum": 0 }),
        ),
    });
    for (name, schema) in lists::parameters() {
        parameters[name] = in_query(name, schema, false);
    }
    for (name, schema, required) in document.schemas.properties::<Options>("") {
        parameters[&name] = in_query(&name, schema, required);
    }
    parameters
}

/// RFC 3339. Generators cannot put what has a format into a header; a pattern says as much.
const INSTANT: &str =
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$";

/// Headers of answers by name.
pub(super) fn headers() -> Value {
    let header = |description: &str, schema: Value| json!({ "description": description, "schema": schema });
    let (text, number) = (|| json!({ "type": "string" }), || json!({ "type": "integer" }));
    json!({
        "ETag": header("The record's version, such as `\"7\"`: for `If-Match`.", text()),
        "Location": header("Where the new record is.", text()),
        "Deskfold-Position": header("The position in the log that was reached, or that the answer reflects.", number()),
        "Content-Disposition": header("Under which name the file is saved.", text()),
        "Accept-Ranges": header("`bytes`: a stretch may be asked for.", text()),
        "Content-Range": header("Which stretch of how many bytes.", text()),
        "Tus-Resumable": header("The version of tus that is spoken.", text()),
        "Upload-Expires": header("Until when the rest may come.", text()),
        "Upload-Length": header("How many bytes the file has.", number()),
        "Upload-Offset": header("How many bytes have come.", number()),
        "Idempotency-Replayed": header("`true` when this is the stored answer of an earlier request.", text()),
        "RateLimit": header("What is left of the key's limit: `\"key\";r=<requests>;t=<seconds>`.", text()),
        "RateLimit-Policy": header("The key's limit: `\"key\";q=<requests>;w=<seconds>`.", text()),
        "X-RateLimit-Limit": header("Requests a minute.", number()),
        "X-RateLimit-Remaining": header("Requests left.", number()),
        "X-RateLimit-Reset": header("Seconds until all are there again, or until the next is allowed.", number()),
        "Retry-After": header("Seconds to wait before trying again.", number()),
        "WWW-Authenticate": header("How to authenticate.", text()),
        "X-Request-Id": header("Names the request: yours if you sent one, `trace_id` in problems.", text()),
    })
}

/// Bearer keys, and the sessions of people.
pub(super) fn security() -> Value {
    json!({ "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "deskfold",
        "description": "Whoever has signed in. Behind TLS the cookie is called `__Host-deskfold`. What changes something must come \
            from a page of this server (`Sec-Fetch-Site`, `Origin`).",
    }, "key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "dfk_ and 64 hexadecimal digits",
        "description": "An API key. It acts as its user, within its role if it is bound to one.",
    }, "visitor": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "dfv_ and 32 random bytes in base64 for URLs, without padding",
        "description": "What a visitor's page has made. It opens one conversation from the first message on, and nothing else.",
    } })
}

/// Shapes of answers that many operations give.
pub(super) fn schemas(document: &mut Document) {
    let id = document.schemas.of::<Id>("");
    let redirected = document.schemas.of::<Redirected>("");
    document.schemas.add("EventData", json!({ "type": "object", "description": "What exactly happened." }));
    let texts = |description: &str| json!({ "type": "object", "additionalProperties": { "type": "string" }, "description": description });
    document.schemas.add("Links", texts("Addresses by what is found there."));
    document.schemas.add("CustomNames", texts(
        "By key, the names of the records that custom fields refer to, as they are now; only where the kind has such fields.",
    ));
    let written = json!({
        "type": "object",
        "description": "An event that a command wrote.",
        "required": ["type", "data"],
        "properties": {
            "type": { "type": "string", "description": "Such as `ticket.opened`." },
            "data": refer("EventData"),
            "stream": { "type": "string", "description": "The record, when it is another than the command was for." },
        },
    });
    document.schemas.add("WrittenEvent", written);
    let deprecated = document.schemas.of::<domain::kernel::aggregate::Deprecated>("");
    let accepted = json!({
        "type": "object",
        "description": "A command that was carried out.",
        "required": ["id", "version", "position", "events"],
        "properties": {
            "id": id,
            "version": { "type": "integer", "description": "The record's version now." },
            "position": { "type": "integer", "description": "The log's position now: for `Deskfold-Min-Position`." },
            "events": { "type": "array", "items": refer("WrittenEvent"), "description": "What was written; empty if it was so already." },
            "deprecated": {
                "type": "array", "items": deprecated,
                "description": "Names in the body that are called otherwise now; they still mean the same.",
            },
            "redirected": { "type": "array", "items": redirected, "description": "The merged records that the command names, and those that were taken for them. Absent when there were none." },
        },
    });
    document.schemas.add("Accepted", accepted);
    let fault = json!({
        "type": "object",
        "description": "What is wrong with one field.",
        "required": ["pointer", "code", "detail"],
        "properties": {
            "pointer": { "type": "string", "description": "JSON pointer (RFC 6901) into the request's body; of a query parameter `/` and its name." },
            "code": { "type": "string", "description": "A stable code." },
            "detail": { "type": "string", "description": "One sentence for a person." },
        },
    });
    document.schemas.add("FieldError", fault);
    let problem = json!({
        "type": "object",
        "description": "Why a request was not answered as asked (RFC 9457).",
        "examples": [{
            "type": format!("{}ticket_unknown", crate::problem::PROBLEMS),
            "title": "Not Found",
            "status": 404,
            "code": "ticket_unknown",
            "detail": "There is no such ticket.",
            "trace_id": "01K9Z3T8W0QX6V5N4M3K2J1H0G",
        }],
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": { "type": "string", "format": "uri", "description": "Where the code is explained." },
            "title": { "type": "string", "description": "The status in words." },
            "status": { "type": "integer", "description": "The HTTP status." },
            "code": { "type": "string", "description": "A stable code: what programs tell problems apart by." },
            "detail": { "type": "string", "description": "One sentence for a person." },
            "errors": { "type": "array", "items": refer("FieldError"), "description": "The fields at fault." },
            "record": {
                "type": "object",
                "description": "The record that stands in the way: the contact that has the address already.",
                "required": ["kind", "id"],
                "properties": { "kind": { "type": "string" }, "id": { "type": "string" } },
            },
            "trace_id": { "type": "string", "description": "The request's id, which the server's log knows." },
        },
    });
    document.schemas.add("Problem", problem);
}
