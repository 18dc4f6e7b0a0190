//! Exports of every list: the same filter and order, the columns by name, and what the file is made of.

use projections::{List, kernel::columns};
use serde_json::{Map, Value, json};

use super::{
    super::kernel::{csv::Separator, exports::Format, parquet::MEDIA_TYPE},
    Document, lists,
    operation::{Operation, in_query},
    problems::{self, Code},
    schemas::{pascal, refer},
};

/// Adds the exports of all lists.
pub(super) fn describe(document: &mut Document) {
    for list in projections::lists().filter(|list| list.listed) {
        export(document, list);
    }
}

/// What every export takes besides its filter and its order.
fn options(document: &mut Document) -> Vec<(&'static str, Value)> {
    let columns = json!({
        "type": "string",
        "description": "The names of the columns, separated by commas: `number,title,total.amount,custom.size`. Without it, a CSV \
            file and a Parquet file have all that hold one value or several, and JSON lines have the records as the list shows them.",
    });
    let bom = json!({
        "type": "boolean", "default": false,
        "description": "Whether a CSV file begins with a byte order mark, by which some spreadsheets know UTF-8.",
    });
    let position = json!({ "type": "integer", "description": "The same as `Deskfold-Min-Position`." });
    let or = |schema: Value, default: &str, description: &str| json!({ "$ref": schema["$ref"], "default": default, "description": description });
    let format = document.schemas.of::<Format>("");
    let separator = document.schemas.of::<Separator>("");
    vec![
        ("columns", columns),
        ("format", or(format, "csv", "What the file is made of.")),
        ("bom", bom),
        ("separator", or(separator, "comma", "What stands between the cells of a CSV file.")),
        ("min_position", position),
        ("as_of", json!({ "type": "string", "description": lists::AS_OF })),
        ("known_at", json!({ "type": "string", "description": lists::KNOWN_AT })),
    ]
}

/// What every export has: the body.
pub(super) fn shared(document: &mut Document) {
    let mut properties =
        Map::from_iter([("filter".to_owned(), refer("Filter")), ("sort".to_owned(), lists::order(None))]);
    properties.extend(options(document).into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    let export = json!({
        "type": "object",
        "description": "What is exported: a list's filter and order, the columns, and what the file is made of.",
        "additionalProperties": false,
        "properties": properties,
    });
    document.schemas.add("Export", export);
}

fn export(document: &mut Document, list: &'static List) {
    let owner = pascal(list.path);
    let plain = list.path.replace('_', " ");
    let codes =
        [problems::PARAMETERS, problems::QUERY, problems::LIST, problems::EXPORT, problems::MOMENT, problems::PAST];
    let codes = Code::of(&codes);
    let answer = |operation: Operation| {
        let text = || json!({ "schema": { "type": "string" } });
        let binary = || json!({ "schema": { "type": "string", "format": "binary" } });
        operation
            .permission("export.run")
            .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
            .answer_as(
                200,
                "The file. It shows the list as it was at `Deskfold-Position`.",
                json!({ "text/csv": text(), "application/jsonl": text(), (MEDIA_TYPE): binary() }),
                &["Deskfold-Position", "Content-Disposition"],
            )
            .problems("Export", codes.clone())
    };
    let description = format!(
        "Exports {plain}: all that match, in the order asked for, from one snapshot of the database, as CSV (RFC 4180, a cell \
         that a spreadsheet would take for a formula begins with an apostrophe), JSON lines or Parquet. Needs `{}.read` too; whoever \
         sees a part of the list exports that part.",
        list.read
    );
    let mut operation = Operation::new(format!("{}_download", list.path), list.path, description);
    for parameter in lists::which(list, &owner) {
        operation = operation.parameter(parameter);
    }
    for (name, schema) in options(document) {
        operation = operation.parameter(in_query(name, schema, false));
    }
    answer(operation).at(document, "get", &format!("/v1/{}/export", list.path));

    let filter = refer(&format!("{owner}Filter"));
    let body = json!({
        "description": "What is exported.",
        "allOf": [refer("Export")],
        "properties": { "filter": filter, "sort": { "type": "string", "default": lists::usual(list) } },
    });
    let body = document.schemas.add(&format!("{owner}Export"), body);
    let all = columns::columns(list, &domain::kernel::custom::Definitions::new());
    let few: Vec<_> = all.into_iter().take(3).collect();
    let example = json!({ "filter": lists::example(list), "columns": few.join(","), "format": "jsonl" });
    let description = format!("Exports {plain} with what is asked for in the body. For long filters.");
    let operation = Operation::new(format!("{}_download_search", list.path), list.path, description);
    answer(operation)
        .body(body, false, Map::from_iter([("example1".to_owned(), json!({ "value": example }))]))
        .problems("ExportSearch", Code::of(&[problems::BODY]))
        .at(document, "post", &format!("/v1/{}/export", list.path));
}
