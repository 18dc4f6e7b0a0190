//! Files on their way in and out.

use domain::org::upload::Upload;
use serde_json::{Map, Value, json};

use super::{
    super::org::uploads::{CREATE, Link, Linked, Shown},
    Document,
    commands::id_of,
    operation::{Operation, in_path, in_query},
    problems::{self, Code},
    schemas::refer,
};

const TAG: &str = "uploads";
const BINARY: &str = "application/octet-stream";

/// Adds them.
pub(super) fn describe(document: &mut Document) {
    whole(document);
    resumable(document);
    shown(document);
}

fn file() -> Value {
    json!({ "type": "string", "format": "binary" })
}

fn header(name: &str, description: &str, required: bool, schema: Value) -> Value {
    json!({ "name": name, "in": "header", "description": description, "required": required, "schema": schema })
}

fn whole(document: &mut Document) {
    let description = "Takes in a file, whose bytes are the body; `/v1/uploads/resumable` takes in large ones in several requests. \
        Messages, quick replies and properties then refer to it by its id.\n\nWhat it is is told from its bytes: neither name nor \
        `Content-Type` is believed. A picture in JPEG, PNG or WebP is written anew, upright and without what cameras write beside it, \
        and gets a small one. How large files may be, and what, is in the settings `upload_max_mebibytes` and `upload_types`. A file \
        that no record refers to is deleted after as many days as `upload_retention_days` says.";
    let name =
        json!({ "type": "string", "description": "Its name, without a path; `Content-Disposition` says it too." });
    let disposition = header(
        "Content-Disposition",
        "`attachment; filename=\"…\"` (RFC 6266), `filename*` for other letters.",
        false,
        json!({ "type": "string" }),
    );
    let example = json!({ "text": { "summary": "A text", "value": "Opening hours: Monday to Friday, 9 to 17." } });
    let examples: Map<String, Value> = example.as_object().cloned().unwrap_or_default();
    Operation::new("upload_create", TAG, description)
        .permission(CREATE)
        .write()
        .shared(&["Deskfold-On-Behalf-Of"])
        .parameter(in_query("name", name, false))
        .parameter(disposition)
        .body_as(&[BINARY], file(), true, examples)
        .answer(
            201,
            "It is kept.",
            refer("Accepted"),
            &["Location", "ETag", "Deskfold-Position", "Idempotency-Replayed"],
        )
        .answer(
            200,
            "What would be written.",
            refer("Accepted"),
            &["ETag", "Deskfold-Position", "Idempotency-Replayed"],
        )
        .problems("SendFile", Code::of(&[problems::FILE]))
        .problems("SendUpload", Code::refusals::<Upload>())
        .at(document, "post", "/v1/uploads");
}

fn resumable(document: &mut Document) {
    let number = || json!({ "type": "integer", "minimum": 0 });
    let version = || {
        header("Tus-Resumable", "The version of the protocol.", true, json!({ "type": "string", "enum": ["1.0.0"] }))
    };
    let tus = &["Tus-Resumable", "Upload-Offset", "Upload-Length", "Upload-Expires"];
    let id = in_path("id", "The upload that it will be.", document.schemas.of::<domain::Id>(""));
    let codes = || Code::of(&[problems::PARAMETERS, problems::TUS]);
    let description = "Begins a file that comes in several requests, by the protocol tus 1.0 with its extensions creation, expiration \
        and termination (https://tus.io). Clients for it are there in many languages. The rest is sent to the address in `Location`, \
        whose last part is the id of the upload that it will be.";
    Operation::new("upload_begin", TAG, description)
        .shared(&["Deskfold-On-Behalf-Of"])
        .parameter(version())
        .parameter(header("Upload-Length", "How many bytes it has.", true, number()))
        .parameter(header(
            "Upload-Metadata",
            "`filename` and `filetype`, each with its value in Base64.",
            false,
            json!({ "type": "string" }),
        ))
        .answer_as(
            201,
            "It may come.",
            json!({}),
            &["Location", "Tus-Resumable", "Upload-Offset", "Upload-Length", "Upload-Expires"],
        )
        .problems("Resumable", codes())
        .problems("ResumableFile", Code::of(&[problems::FILE]))
        .at(document, "post", "/v1/uploads/resumable");
    let about = |name: &str, description: &str| {
        Operation::new(name, TAG, description)
            .shared(&["Deskfold-On-Behalf-Of"])
            .parameter(id.clone())
            .parameter(version())
            .problems("Resumable", codes())
            .problems("ResumableFile", Code::of(&[problems::FILE]))
            .problems("ResumableSent", Code::refusals::<Upload>())
    };
    about("upload_offset", "Tells how much has come of a file that comes in several requests. Once that is all of it, the upload is there.")
        .answer_as(200, "`Upload-Offset` bytes have come.", json!({}), tus)
        .at(document, "head", "/v1/uploads/resumable/{id}");
    about("upload_go_on", "Takes in what follows of a file that comes in several requests, as `application/offset+octet-stream` or this. What has come stays when the connection breaks. With \
        the last byte the upload is there, and `Deskfold-Position` says since when.")
        .parameter(header("Upload-Offset", "How many bytes have come: these go on from there.", true, number()))
        // As tus calls it too; generators of clients know this one.
        .body_as(&[BINARY], file(), true, Map::new())
        .answer_as(204, "`Upload-Offset` bytes have come.", json!({}), &["Tus-Resumable", "Upload-Offset", "Upload-Length", "Upload-Expires"])
        .at(document, "patch", "/v1/uploads/resumable/{id}");
    about("upload_give_up", "Forgets what has come of a file that comes in several requests.")
        .answer_as(204, "Done.", json!({}), &["Tus-Resumable"])
        .at(document, "delete", "/v1/uploads/resumable/{id}");
}

fn shown(document: &mut Document) {
    let id = id_of::<Upload>(document);
    // Whatever the file is: generators of clients take the first for what it is, bytes.
    let bytes = || json!({ BINARY: { "schema": file() }, "*/*": { "schema": file() } });
    let headers = &["ETag", "Content-Disposition", "Accept-Ranges"];
    let range = || header("Range", "One stretch of bytes (RFC 9110).", false, json!({ "type": "string" }));
    let sent = |operation: Operation| {
        operation
            .parameter(range())
            .answer_as(200, "The bytes.", bytes(), headers)
            .answer_as(
                206,
                "The stretch that was asked for.",
                bytes(),
                &["ETag", "Content-Disposition", "Accept-Ranges", "Content-Range"],
            )
            .answer_as(304, "It is what is known.", json!({}), &["ETag"])
    };
    let query = document.schemas.properties::<Shown>("");
    let seen = || [Code::of(&[problems::PARAMETERS, problems::FILE_READ]), Code::refusals::<Upload>()].concat();
    let description = "The bytes of a file, for whoever sent it or sees a record that refers to it. Pictures, sound, film and plain text may \
        be shown; whatever else is saved (`Content-Disposition`), for it might carry something out.";
    sent(Operation::new("upload_content", TAG, description))
        .permission("upload.read")
        .parameter(id.clone())
        .query(query)
        .shared(&["Deskfold-On-Behalf-Of"])
        .problems("FileRead", seen())
        .at(document, "get", "/v1/uploads/{id}/content");
    sent(Operation::new(
        "upload_thumbnail",
        TAG,
        "A small picture of a file that shows one: at most 320 pixels each way.",
    ))
    .permission("upload.read")
    .parameter(id.clone())
    .shared(&["Deskfold-On-Behalf-Of"])
    .problems("FileRead", seen())
    .at(document, "get", "/v1/uploads/{id}/thumbnail");
    let query = document.schemas.properties::<Linked>("");
    let link = document.schemas.of::<Link>("");
    let description = "An address of a file that needs no key, for pages, widgets and mails: whoever has it may read the file until it expires.";
    Operation::new("upload_link", TAG, description)
        .permission("upload.read")
        .parameter(id)
        .query(query)
        .shared(&["Deskfold-On-Behalf-Of"])
        .answer(200, "The address.", link, &[])
        .problems("FileRead", seen())
        .at(document, "get", "/v1/uploads/{id}/link");
    let signed = in_path("signed", "What `GET /v1/uploads/{id}/link` says.", json!({ "type": "string" }));
    sent(Operation::new("file_by_link", TAG, "The file that a signed address is of."))
        .open()
        .parameter(signed)
        .problems("FileBySignature", Code::of(&[problems::PARAMETERS, problems::FILE_SIGNED]))
        .at(document, "get", "/files/{signed}");
}
