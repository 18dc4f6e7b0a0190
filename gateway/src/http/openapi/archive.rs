//! The whole tenant as a file.

use domain::{Aggregate, org::tenant::Tenant};
use serde_json::json;

use super::{
    Document,
    operation::Operation,
    problems::{self, Code},
};

/// Adds the archive.
pub(super) fn describe(document: &mut Document) {
    let description = "Downloads the whole tenant as an archive that another Deskfold takes in with `deskfold archive import`: every \
        event with its position and times, names that are taken, counters, what is known of commands by their \
        `Idempotency-Key`, pictures, and a manifest with the SHA-256 of each part, in one file (`.tar.gz`). Nothing that people sign in with is in it. It \
        is of one moment, and whole if the connection ends in order: the manifest comes last.\n\nIt holds everything that anybody in the tenant \
        may see, so that no scope narrows the permission.";
    Operation::new("archive_download", Tenant::PLURAL, description)
        .permission("archive.export")
        .answer_as(
            200,
            "The file. It shows the tenant as it was at `Deskfold-Position`.",
            json!({ "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } }),
            &["Deskfold-Position", "Content-Disposition"],
        )
        .problems("Log", Code::of(&[problems::PARAMETERS, problems::QUERY]))
        .problems("Archive", Code::of(&[problems::ARCHIVE]))
        .at(document, "get", "/v1/archive");
}
