//! Imports from upload to report, and entitlements on their way out.

use domain::data::import::Import;
use serde_json::{Map, Value, json};

use super::{
    super::data::imports::{Duplicates, DuplicatesPage, Progress, Wait, Wanted},
    super::data::previews::Preview,
    Document,
    commands::id_of,
    lists,
    operation::Operation,
    problems::{self, Code},
    schemas::refer,
};

const TAG: &str = "imports";

/// Adds them.
pub(super) fn describe(document: &mut Document) {
    upload(document);
    preview(document);
    following(document);
    export(document);
}

fn upload(document: &mut Document) {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let kind = document.schemas.of::<domain::data::import::Kind>("Import");
    let form = json!({
        "type": "object",
        "required": ["kind", "file"],
        "additionalProperties": false,
        "properties": {
            "kind": kind,
            "source": text("The system the file comes from; what the mapping says by default."),
            "mapping": text("What the columns mean (TOML); a history and records need one."),
            "dry_run": { "enum": ["true", "false"], "description": "Only show what would be done." },
            "file": {
                "type": "string", "format": "binary", "contentMediaType": "text/csv",
                "description": "The file: CSV with a header, in any usual encoding.",
            },
        },
    });
    let form = document.schemas.add("ImportUpload", form);
    let links = json!({ "type": "object", "required": ["links"], "properties": { "links": refer("Links") } });
    let started = document.schemas.add("ImportStarted", json!({ "allOf": [refer("Accepted"), links] }));
    let description = "Starts an import: the file is taken in, checked as far as it can be at once, and carried out in the \
        background. The same file twice adds nothing.";
    Operation::new("import_start", TAG, description)
        .permission("import.run")
        .write()
        .shared(&["Deskfold-On-Behalf-Of"])
        .body_as(&["multipart/form-data"], form, true, Map::new())
        .answer(
            202,
            "It runs; `links` lead to its progress and its report.",
            started,
            &["Location", "ETag", "Deskfold-Position", "Idempotency-Replayed"],
        )
        .answer(
            200,
            "What a rehearsal of the request itself would write; to rehearse the import, send `dry_run` in the form.",
            refer("Accepted"),
            &["ETag", "Deskfold-Position"],
        )
        .problems("Upload", Code::of(&[problems::UPLOAD]))
        .problems("StartImport", Code::refusals::<Import>())
        .at(document, "post", "/v1/imports");
}

fn preview(document: &mut Document) {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let form = json!({
        "type": "object",
        "required": ["file"],
        "additionalProperties": false,
        "properties": {
            "record": text("The kind of records that the file holds, such as `contact`; by default the likeliest."),
            "source": text("The system the file comes from."),
            "mapping": text("What the columns mean (TOML), or the name of a shipped mapping; by default one is suggested."),
            "file": {
                "type": "string", "format": "binary", "contentMediaType": "text/csv",
                "description": "The file: CSV with a header, in any usual encoding.",
            },
        },
    });
    let form = document.schemas.add("ImportPreviewUpload", form);
    let found = document.schemas.of::<Preview>("Import");
    let about = "Looks at a file of records before it is imported: how it is written, whose export it is, what its columns mean, and \
        what its first rows would lead to. The mapping that it answers with can be sent to `POST /v1/imports` as it is. Writes \
        nothing.";
    Operation::new("import_preview", TAG, about)
        .permission("import.run")
        .shared(&["Deskfold-On-Behalf-Of"])
        .body_as(&["multipart/form-data"], form, true, Map::new())
        .answer(200, "What the file looks like and what it may mean.", found, &[])
        .problems("Upload", Code::of(&[problems::UPLOAD]))
        .at(document, "post", "/v1/imports/preview");
}

fn following(document: &mut Document) {
    let progress = document.schemas.of::<Progress>("Import");
    let wait = document.schemas.properties::<Wait>("");
    let id = id_of::<Import>(document);
    Operation::new("import_progress", TAG, "Tells how far an import is.")
        .permission("import.read")
        .parameter(id.clone())
        .query(wait)
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "What has become of its rows so far.", progress, &["Deskfold-Position"])
        .problems("Progress", Code::of(&[problems::PARAMETERS]))
        .problems("ImportRead", Code::unknown("import"))
        .at(document, "get", "/v1/imports/{id}/progress");
    Operation::new("import_report", TAG, "Answers with the rows that an import refused.")
        .permission("import.read")
        .parameter(id.clone())
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer_as(200, "For each row its number, its line, a code, the reason, and its own cells.", csv(), &[])
        .problems("Progress", Code::of(&[problems::PARAMETERS]))
        .problems("ImportRead", Code::unknown("import"))
        .at(document, "get", "/v1/imports/{id}/report");
    let found = document.schemas.of::<Duplicates>("Import");
    let page = document.schemas.properties::<DuplicatesPage>("");
    let about = "Lists records that rows led to with others that may be the same, since they share an e-mail address, a telephone \
        number or a name. Nothing of it is merged until somebody merges it. Who does not see a record is not told of it.";
    Operation::new("import_duplicates", TAG, about)
        .permission("import.read")
        .parameter(id.clone())
        .query(page)
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "What may be there twice, row by row.", found, &[])
        .problems("Duplicates", Code::of(&[problems::PARAMETERS, problems::PAGE]))
        .problems("ImportRead", Code::unknown("import"))
        .at(document, "get", "/v1/imports/{id}/duplicates");
    let nothing = json!({ "type": "object", "additionalProperties": false });
    let nothing = document.schemas.add("ImportResumeCommand", nothing);
    Operation::new("import_resume", TAG, "Takes an import that failed or was cancelled up again where it stopped.")
        .permission("import.run")
        .parameter(id)
        .write()
        .shared(&["Deskfold-On-Behalf-Of"])
        .body(nothing, false, Map::new())
        .answer(200, "It runs.", refer("Accepted"), &["ETag", "Deskfold-Position", "Idempotency-Replayed"])
        .problems("Resume", Code::of(&[problems::RESUME]))
        .problems("ResumeImport", Code::refusals::<Import>())
        .at(document, "post", "/v1/imports/{id}/resume");
}

fn export(document: &mut Document) {
    let wanted = document.schemas.properties::<Wanted>("");
    let description = "Answers with entitlements as CSV, in the columns that an import of entitlements takes: what goes out comes \
        in again without a change. Needs `entitlement.read` too.";
    Operation::new("entitlements_export", "entitlements", description)
        .permission("export.run")
        .query(wanted)
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer_as(200, "One row for each entitlement, after a header.", csv(), &[])
        .problems("List", lists::codes())
        .at(document, "get", "/v1/entitlements.csv");
}

fn csv() -> Value {
    json!({ "text/csv": { "schema": { "type": "string" } } })
}
