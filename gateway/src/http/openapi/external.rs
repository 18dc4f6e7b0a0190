//! Upserts of records by what another system calls them.

use domain::{Aggregate, desk::entitlement::Entitlement};
use serde_json::{Value, json};

use super::{
    Document,
    operation::{Operation, in_path},
    problems::{self, Code},
    schemas::{pascal, refer},
};

/// Adds those of a kind whose attributes stand in its `create` command.
pub(super) fn record<A: Aggregate>(document: &mut Document) {
    let kind = pascal(A::KIND);
    let mut body = document.schemas.resolve(&refer(&format!("{kind}CreateCommand"))).clone();
    body = document.schemas.resolve(&body).clone();
    body["required"] = json!([]);
    body["description"] = json!("What another system tells of it: what is absent stays, what is null is cleared.");
    let name = format!("{kind}Upsert");
    let body = document.schemas.add(&name, body);
    document.schemas.takes_custom_of(&name, A::KIND);
    get::<A>(document);
    put::<A>(document, body, Code::refusals::<A>());
}

/// Adds those of entitlements, whose product and holder may be named as the other system names them.
pub(super) fn entitlements(document: &mut Document) {
    let mut body = document.schemas.resolve(&refer("EntitlementGrantCommand")).clone();
    body = document.schemas.resolve(&body).clone();
    body["required"] = json!([]);
    body["description"] =
        json!("An entitlement as another system tells of it: what is absent stays, what is null is cleared.");
    if let Some(properties) = body["properties"].as_object_mut() {
        properties.remove("source");
        properties.remove("external_id");
        let text = |description: &str| json!({ "type": "string", "description": description });
        properties.insert("product".to_owned(), text("Its id, or `source:external_id`; never changes."));
        let holder = json!({
            "type": "object",
            "description": "Who owns it.",
            "required": ["kind", "id"],
            "additionalProperties": false,
            "properties": {
                "kind": refer("PartyKind"),
                "id": text("The id, the e-mail address, or `source:external_id`."),
            },
        });
        properties.insert("holder".to_owned(), holder);
        properties.insert("status".to_owned(), json!({ "enum": ["active", "revoked"], "default": "active" }));
    }
    let body = document.schemas.add("EntitlementUpsert", body);
    document.schemas.takes_custom_of("EntitlementUpsert", Entitlement::KIND);
    get::<Entitlement>(document);
    let codes = [Code::of(&[problems::UPSERT_ENTITLEMENT]), Code::refusals::<Entitlement>()].concat();
    put::<Entitlement>(document, body, codes);
    let why = refer("EntitlementRevokeCommand");
    operation::<Entitlement>("revoke", "Revokes an entitlement that another system no longer tells of.")
        .permission("entitlement.revoke")
        .write()
        .shared(&["Deskfold-On-Behalf-Of"])
        .body(why, false, serde_json::Map::new())
        .answer(200, "Done. `events` is empty when it was so already.", refer("Accepted"), WRITTEN)
        .problems("Upsert", Code::of(&[problems::EXTERNAL]))
        .problems("EntitlementRevoke", Code::refusals::<Entitlement>())
        .at(document, "delete", &path::<Entitlement>());
}

const WRITTEN: &[&str] = &["ETag", "Deskfold-Position", "Idempotency-Replayed"];

fn path<A: Aggregate>() -> String {
    format!("/v1/{}/by/external/{{source}}/{{id}}", A::PLURAL)
}

fn operation<A: Aggregate>(name: &str, description: &str) -> Operation {
    let text = || json!({ "type": "string" });
    Operation::new(format!("{}_{name}_by_external_id", A::KIND), A::PLURAL, description)
        .parameter(in_path("source", "The other system, such as `erp`.", text()))
        .parameter(in_path("id", "What the record is called there.", text()))
}

fn get<A: Aggregate>(document: &mut Document) {
    let kind = A::KIND.replace('_', " ");
    let schema = json!({
        "type": "object",
        "description": "A record's attributes, flat.",
        "required": ["id", "version", "position", "custom", "links"],
        "properties": {
            "id": refer("Id"),
            "version": { "type": "integer" },
            "position": { "type": "integer" },
            "custom": { "type": "object", "description": "Custom fields, by key." },
            "links": refer("Links"),
        },
    });
    let schema = document.schemas.add("ExternallyKnown", schema);
    operation::<A>("read", &format!("Reads a {kind} by what another system calls it, as the log has it."))
        .permission(format!("{}.read", A::KIND))
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "The record.", schema, &["ETag", "Deskfold-Position"])
        .problems("Log", Code::of(&[problems::PARAMETERS, problems::QUERY]))
        .problems("External", Code::of(&[problems::EXTERNAL]))
        .problems(format!("{}Read", pascal(A::KIND)), Code::unknown(A::KIND))
        .at(document, "get", &path::<A>());
}

fn put<A: Aggregate>(document: &mut Document, body: Value, codes: Vec<Code>) {
    let kind = A::KIND.replace('_', " ");
    let description = format!(
        "Creates a {kind} under what another system calls it, or brings it up to date. What is so already is no change."
    );
    let created = ["Location", "ETag", "Deskfold-Position", "Idempotency-Replayed"];
    operation::<A>("put", &description)
        .permission(format!("{}.{}", A::KIND, A::CREATE))
        .write()
        .shared(&["Deskfold-On-Behalf-Of"])
        .body(body, true, serde_json::Map::new())
        .answer(201, "Created, and where it is.", refer("Accepted"), &created)
        .answer(200, "Brought up to date. `events` is empty when it was so already.", refer("Accepted"), WRITTEN)
        .problems("Upsert", Code::of(&[problems::EXTERNAL]))
        .problems(format!("{}Upsert", pascal(A::KIND)), codes)
        .at(document, "put", &path::<A>());
}
