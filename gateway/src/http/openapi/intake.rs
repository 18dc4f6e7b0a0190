//! What the intake has besides the commands and lists of deliveries and their sources.

use domain::{
    Aggregate,
    data::{delivery::Delivery, intake_source::Takes},
};
use serde_json::{Map, Value, json};

use super::{
    super::data::intake::Became,
    Document,
    commands::id_of,
    operation::{Operation, in_query},
    problems::{self, Code},
    schemas::refer,
};

/// Headers of what was written.
const WRITTEN: &[&str] = &["ETag", "Deskfold-Position", "Idempotency-Replayed"];

/// A body in the names of the API.
fn example(takes: Takes) -> Value {
    match takes {
        Takes::Orders => json!({
            "key": "1001", "name": "Maria Rossi", "phone": "+39 06 555 0101", "email": "maria@example.com",
            "items": [{ "name": "Lamp", "quantity": "2", "price": { "amount": "12.50", "currency": "EUR" } }],
        }),
        Takes::Leads => json!({
            "key": "form-17", "name": "Maria Rossi", "phone": "+39 06 555 0101", "description": "A flat by the sea",
        }),
        Takes::Calls => {
            json!({ "key": "call-9", "from": "06 555 0101", "to": "+39 06 555 0100", "status": "missed" })
        }
    }
}

/// Adds it.
pub(super) fn describe(document: &mut Document) {
    let became = document.schemas.of::<Became>("");
    let with = json!({ "type": "object", "required": ["delivery"], "properties": { "delivery": became } });
    let answer = json!({ "description": "What was written, and what became of the delivery.", "allOf": [refer("Accepted"), with] });
    let answer = document.schemas.add("HandedIn", answer);
    let source = json!({
        "type": "string", "default": "api", "pattern": "^[a-z0-9_-]{1,60}$",
        "description": "What the system calls itself. Where an intake source of this name is set, its mapping says what the body means.",
    });
    for takes in Takes::ALL {
        let (what, kind) = (takes.name(), takes.kind());
        let description = format!(
            "Hands in {what} of another system, one at a time. Any JSON is taken in and kept whole before anything is tried; the answer \
             tells what became of it. What no {kind} can be made of is kept all the same, and raises a system notice.\n\n\
             The fields have the names that commands have, and `key` is by what your system knows the {kind}; a mapping of the source \
             says what others mean. `Idempotency-Key`, or the field that the mapping names, is the delivery's own name: it is taken in \
             once, for ever. What is handed in about a {kind} that is there already brings it up to date. A contact is found by e-mail \
             address or telephone number, in any spelling."
        );
        let mut examples = Map::new();
        examples.insert("example1".into(), json!({ "value": example(takes) }));
        Operation::new(format!("intake_{what}"), Delivery::PLURAL, description)
            .permission(takes.permission())
            .write()
            .shared(&["Deskfold-On-Behalf-Of"])
            .parameter(in_query("source", source.clone(), false))
            .body(json!({ "description": "Any JSON." }), true, examples)
            .answer(201, "It is kept, and where it is.", answer.clone(), &[&["Location"], WRITTEN].concat())
            .answer(
                200,
                "It was taken in before: `events` is empty. Or what would be written, and whether it would be taken.",
                answer.clone(),
                WRITTEN,
            )
            .problems("Delivery", Code::refusals::<Delivery>())
            .at(document, "post", &format!("/v1/intake/{what}"));
    }
    let any = json!({ "schema": { "description": "Any JSON." } });
    let text = json!({ "schema": { "type": "string", "description": "What came and is no JSON." } });
    let bytes = json!({ "schema": { "description": "What came and is no text." } });
    let bodies = json!({ "application/json": any, "text/plain": text, "application/octet-stream": bytes });
    let description = "Tells the body of a delivery as it came, or as somebody corrected it.";
    Operation::new("delivery_body", Delivery::PLURAL, description)
        .permission("delivery.read")
        .shared(&["Deskfold-On-Behalf-Of"])
        .parameter(id_of::<Delivery>(document))
        .answer_as(200, "The body.", bodies, &[])
        .problems("DeliveryBody", [Code::unknown("delivery"), Code::of(&[problems::PARAMETERS])].concat())
        .at(document, "get", "/v1/deliveries/{id}/body");
}
