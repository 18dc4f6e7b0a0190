//! Bulks from what is asked to what takes them back.

use domain::data::bulk::Bulk;
use serde_json::{Map, Value, json};

use super::{
    super::data::bulk::{Asked, Items, Progress, RUN, Undo, Wait, Which},
    Document,
    commands::id_of,
    lists,
    operation::Operation,
    problems::{self, Code},
    schemas::refer,
};

const TAG: &str = "bulk";

/// Adds them.
pub(super) fn describe(document: &mut Document) {
    let links = json!({ "type": "object", "required": ["links"], "properties": { "links": refer("Links") } });
    let started = document.schemas.add("BulkStarted", json!({ "allOf": [refer("Accepted"), links] }));
    let asked = document.schemas.of::<Asked>("");
    let description = "Gives many records a command, in the background: those that are named, or all that a filter finds now. Each \
        is decided about by itself, with the rights of whoever asks, as if it had been asked of it alone. With `dry_run` in the body \
        the items say which events would be written, and which records would refuse.";
    let filter = json!({ "field": "status", "op": "eq", "value": "resolved" });
    let resolved = json!({ "kind": "ticket", "command": "close", "filter": filter, "dry_run": true });
    let began = |operation: Operation| {
        operation
            .permission(RUN)
            .write()
            .shared(&["Deskfold-On-Behalf-Of"])
            .answer(
                202,
                "It runs; `links` lead to its progress and its items.",
                started.clone(),
                &["Location", "ETag", "Deskfold-Position", "Idempotency-Replayed"],
            )
            .answer(
                200,
                "What a rehearsal of the request itself would write; to try the bulk, send `dry_run` in the body.",
                refer("Accepted"),
                &["ETag", "Deskfold-Position"],
            )
            .problems("StartBulk", Code::refusals::<Bulk>())
    };
    began(Operation::new("bulk_begin", TAG, description).body(asked, true, example(resolved)))
        .shared(&["Deskfold-Min-Position"])
        .problems("BulkAsked", Code::of(&[problems::BULK]))
        .problems("BulkList", lists::codes())
        .at(document, "post", "/v1/bulk");
    let undo = document.schemas.of::<Undo>("");
    for (name, kind, path) in
        [("bulk_undo", "bulk", "/v1/bulk/{id}/undo"), ("import_undo", "import", "/v1/imports/{id}/undo")]
    {
        let description = format!(
            "Takes back what this {kind} wrote, by further events, record by record, as a bulk of its own that can be tried, halted \
            and taken back itself. What somebody changed since stays, and what cannot be taken back: items say so, and why. Needs \
            `{kind}.read` too, and the permission for each command that it takes."
        );
        let id = match kind {
            "bulk" => id_of::<Bulk>(document),
            _ => id_of::<domain::data::import::Import>(document),
        };
        began(Operation::new(name, TAG, &description).parameter(id).body(
            undo.clone(),
            false,
            example(json!({ "dry_run": true })),
        ))
        .problems("UndoOf", Code::unknown(kind))
        .at(document, "post", path);
    }
    following(document);
}

fn example(value: Value) -> Map<String, Value> {
    Map::from_iter([("example1".to_owned(), json!({ "value": value }))])
}

fn following(document: &mut Document) {
    let id = id_of::<Bulk>(document);
    let (progress, wait) = (document.schemas.of::<Progress>(""), document.schemas.properties::<Wait>(""));
    Operation::new("bulk_progress", TAG, "Tells how far a bulk is, and why records were refused.")
        .permission("bulk.read")
        .parameter(id.clone())
        .query(wait)
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "What has become of its records so far.", progress, &["Deskfold-Position"])
        .problems("Progress", Code::of(&[problems::PARAMETERS]))
        .problems("BulkRead", Code::unknown("bulk"))
        .at(document, "get", "/v1/bulk/{id}/progress");
    let (items, which) = (document.schemas.of::<Items>(""), document.schemas.properties::<Which>(""));
    Operation::new("bulk_items", TAG, "Tells what became of each record of a bulk.")
        .permission("bulk.read")
        .parameter(id.clone())
        .query(which)
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "The records in order.", items, &["Deskfold-Position"])
        .problems("BulkItems", Code::of(&[problems::PARAMETERS, problems::PAGE]))
        .problems("BulkRead", Code::unknown("bulk"))
        .at(document, "get", "/v1/bulk/{id}/items");
    let nothing = json!({ "type": "object", "additionalProperties": false });
    let nothing = document.schemas.add("BulkResumeCommand", nothing);
    Operation::new("bulk_resume", TAG, "Lets a bulk that was paused or has failed go on where it stopped.")
        .permission(RUN)
        .parameter(id)
        .write()
        .shared(&["Deskfold-On-Behalf-Of"])
        .body(nothing, false, example(json!({})))
        .answer(200, "It runs.", refer("Accepted"), &["ETag", "Deskfold-Position", "Idempotency-Replayed"])
        .problems("StartBulk", Code::refusals::<Bulk>())
        .at(document, "post", "/v1/bulk/{id}/resume");
}
