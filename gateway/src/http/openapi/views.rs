//! What views have besides their list: the records that they show, and how many there are.

use domain::insight::view::View;
use projections::Group;
use serde_json::{Value, json};

use super::{
    Document,
    commands::id_of,
    operation::Operation,
    problems::{self, Code},
};

const TAG: &str = "views";

/// Adds it.
pub(super) fn describe(document: &mut Document) {
    let fault = json!({
        "type": "object",
        "description": "What of a view its list does not take any more, or what is retired.",
        "required": ["pointer", "code", "detail"],
        "properties": {
            "pointer": { "type": "string", "description": "Where in the view it stands (JSON pointer)." },
            "code": { "type": "string", "description": "What is the matter." },
            "detail": { "type": "string", "description": "The same in words." },
        },
    });
    let fault = document.schemas.add("ViewFault", fault);
    let faults = json!({
        "type": "array",
        "items": fault,
        "description": "What of the view the list does not take any more and is left out, and custom fields that are retired.",
    });
    let groups = json!({
        "type": "array",
        "items": document.schemas.of::<Group>(""),
        "description": "How many by the value of the field in whose groups the view shows them.",
    });
    let position = json!({ "type": "integer", "description": "The position up to which the list knows the log." });
    let page = json!({
        "type": "object",
        "description": "A page of a list through a view.",
        "required": ["data", "next", "position", "columns", "faults"],
        "properties": {
            "data": { "type": "array", "items": { "type": "object", "description": "A record as its list shows it." } },
            "next": { "type": ["string", "null"], "description": "The address of the next page, null on the last." },
            "position": position.clone(),
            "total": { "type": "integer", "description": "How many match in all; only when `count` was asked." },
            "columns": {
                "type": "array", "items": { "type": "string" },
                "description": "The columns that the view shows; all where it names none.",
            },
            "faults": faults.clone(),
        },
    });
    let page = document.schemas.add("ViewPage", page);
    let counts = json!({
        "type": "object",
        "description": "How many records a view shows.",
        "required": ["total", "position", "faults"],
        "properties": {
            "total": { "type": "integer", "description": "How many in all." },
            "groups": groups,
            "position": position,
            "faults": faults,
        },
    });
    let counts = document.schemas.add("ViewCounts", counts);
    let codes = || {
        Code::of(&[
            problems::PARAMETERS,
            problems::QUERY,
            problems::PAGE,
            problems::LIST,
            problems::VIEW,
            problems::MOMENT,
            problems::PAST,
        ])
    };
    let answer = |operation: Operation, schema: Value, text: &str| {
        operation
            .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
            .answer(200, text, schema, &["Deskfold-Position"])
            .problems("Viewed", codes())
            .problems("ViewRead", Code::unknown("view"))
    };
    let description = "Lists the records that a view shows, as whoever asks sees them: the view of a colleague shows nobody more \
        than his own list does, and `@me` is whoever asks. Needs the permission to read those records too. Sort, columns \
        and groups that the list no longer takes are left out and told in `faults`; a filter that it no longer takes is \
        refused.";
    let mut operation =
        Operation::new("view_records", TAG, description).permission("view.read").parameter(id_of::<View>(document));
    for name in ["limit", "after", "count", "min_position", "as_of", "known_at"] {
        operation = operation.parameter(json!({ "$ref": format!("#/components/parameters/{name}") }));
    }
    answer(operation, page, "A page.").at(document, "get", "/v1/views/{id}/records");
    let description = "Counts the records that a view shows to whoever asks, in all and in each of its groups.";
    let mut operation =
        Operation::new("view_counts", TAG, description).permission("view.read").parameter(id_of::<View>(document));
    for name in ["min_position", "as_of", "known_at"] {
        operation = operation.parameter(json!({ "$ref": format!("#/components/parameters/{name}") }));
    }
    answer(operation, counts, "The counts.").at(document, "get", "/v1/views/{id}/counts");
}
