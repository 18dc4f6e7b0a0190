//! The numbers of reports, and the records behind them.

use domain::{
    Aggregate,
    insight::{definition::Definition, facts, report::Report},
};
use serde_json::{Map, Value, json};

use super::{
    super::insight::{
        changes::{ChangeOptions, ChangeRecordOptions, ChangedRecords, ReportChanges},
        reports::{DataOptions, RecordOptions, ReportData, ReportRecords},
    },
    Document,
    commands::id_of,
    operation::Operation,
    problems::{self, Code},
};

/// Adds them.
pub(super) fn describe(document: &mut Document) {
    let definition = document.schemas.of::<Definition>("Report");
    let answer = document.schemas.of::<ReportData>("Report");
    let content = json!({
        "application/json": { "schema": answer },
        "text/csv": { "schema": { "type": "string" } },
    });
    let entries = document.schemas.of::<ReportRecords>("Report");
    let data_options = document.schemas.properties::<DataOptions>("");
    let record_options = document.schemas.properties::<RecordOptions>("");
    let shared = ["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"];
    let common = || Code::of(&[problems::PARAMETERS, problems::QUERY, problems::REPORT, problems::REPORT_PAGE]);
    let defined = || [Code::of(&[problems::BODY]), Code::refusals::<Report>()].concat();
    let known = measures();

    let about =
        format!("Answers what a saved report says: its numbers by its dimensions, or its list of records.\n\n{known}");
    Operation::new("report_data", Report::PLURAL, about)
        .permission("report.read")
        .parameter(id_of::<Report>(document))
        .query(data_options.clone())
        .shared(&shared)
        .answer_as(200, "What it says.", content.clone(), &["Deskfold-Position"])
        .problems("ReportNumbers", common())
        .problems("ReportDefined", defined())
        .problems("ReportData", Code::unknown(Report::KIND))
        .at(document, "get", "/v1/reports/{id}/data");

    let about = format!("Answers what a report would say that is not saved. Writes nothing.\n\n{known}");
    Operation::new("report_run", Report::PLURAL, about)
        .permission("report.read")
        .query(data_options)
        .shared(&shared)
        .body(definition.clone(), true, example())
        .answer_as(200, "What it says.", content, &["Deskfold-Position"])
        .problems("ReportNumbers", common())
        .problems("ReportDefined", defined())
        .at(document, "post", "/v1/reports/run");

    let about = "Lists the records behind a number of a saved report: as many as it counts.";
    Operation::new("report_records", Report::PLURAL, about)
        .permission("report.read")
        .parameter(id_of::<Report>(document))
        .query(record_options.clone())
        .shared(&shared)
        .answer(200, "A page.", entries.clone(), &["Deskfold-Position"])
        .problems("ReportNumbers", common())
        .problems("ReportDefined", defined())
        .problems("ReportRecords", [Code::of(&[problems::REPORT_CELL]), Code::unknown(Report::KIND)].concat())
        .at(document, "get", "/v1/reports/{id}/records");

    let about = "Lists the records behind a number of a report that is not saved. Writes nothing.";
    Operation::new("report_run_records", Report::PLURAL, about)
        .permission("report.read")
        .query(record_options)
        .shared(&shared)
        .body(definition, true, example())
        .answer(200, "A page.", entries, &["Deskfold-Position"])
        .problems("ReportNumbers", common())
        .problems("ReportDefined", defined())
        .problems("ReportRunRecords", Code::of(&[problems::REPORT_CELL]))
        .at(document, "post", "/v1/reports/records");
    describe_changes(document);
}

/// Adds what numbers became between two knowings.
fn describe_changes(document: &mut Document) {
    let definition = document.schemas.of::<Definition>("Report");
    let changes = document.schemas.of::<ReportChanges>("Report");
    let content = json!({
        "application/json": { "schema": changes },
        "text/csv": { "schema": { "type": "string" } },
    });
    let entries = document.schemas.of::<ChangedRecords>("Report");
    let options = document.schemas.properties::<ChangeOptions>("");
    let record_options = document.schemas.properties::<ChangeRecordOptions>("");
    let shared = ["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"];
    let common = || Code::of(&[problems::PARAMETERS, problems::QUERY, problems::REPORT, problems::REPORT_PAGE]);
    let defined = || [Code::of(&[problems::BODY]), Code::refusals::<Report>()].concat();

    let about = "Answers which numbers of a saved report differ between what was known at two moments.";
    Operation::new("report_changes", Report::PLURAL, about)
        .permission("report.read")
        .parameter(id_of::<Report>(document))
        .query(options.clone())
        .shared(&shared)
        .answer_as(200, "The numbers that differ.", content.clone(), &["Deskfold-Position"])
        .problems("ReportNumbers", common())
        .problems("ReportDefined", defined())
        .problems("ReportData", Code::unknown(Report::KIND))
        .at(document, "get", "/v1/reports/{id}/changes");

    let about = "Answers which numbers of a report that is not saved differ between what was known at two moments. Writes \
                 nothing.";
    Operation::new("report_run_changes", Report::PLURAL, about)
        .permission("report.read")
        .query(options)
        .shared(&shared)
        .body(definition.clone(), true, example())
        .answer_as(200, "The numbers that differ.", content, &["Deskfold-Position"])
        .problems("ReportNumbers", common())
        .problems("ReportDefined", defined())
        .at(document, "post", "/v1/reports/changes");

    let about =
        "Lists the records that made a number of a saved report differ, with the events that became known of them.";
    Operation::new("report_change_records", Report::PLURAL, about)
        .permission("report.read")
        .parameter(id_of::<Report>(document))
        .query(record_options.clone())
        .shared(&shared)
        .answer(200, "A page.", entries.clone(), &["Deskfold-Position"])
        .problems("ReportNumbers", common())
        .problems("ReportDefined", defined())
        .problems("ReportRecords", [Code::of(&[problems::REPORT_CELL]), Code::unknown(Report::KIND)].concat())
        .at(document, "get", "/v1/reports/{id}/changes/records");

    let about = "Lists the records that made a number of a report differ that is not saved. Writes nothing.";
    Operation::new("report_run_change_records", Report::PLURAL, about)
        .permission("report.read")
        .query(record_options)
        .shared(&shared)
        .body(definition, true, example())
        .answer(200, "A page.", entries, &["Deskfold-Position"])
        .problems("ReportNumbers", common())
        .problems("ReportDefined", defined())
        .problems("ReportRunRecords", Code::of(&[problems::REPORT_CELL]))
        .at(document, "post", "/v1/reports/changes/records");
}

/// What there is to measure, and by what.
fn measures() -> String {
    let mut text = String::new();
    for source in facts::counted() {
        let dimensions: Vec<_> = source.dimensions.iter().map(|dimension| format!("`{}`", dimension.name)).collect();
        text.push_str(&format!(
            "Of the kind `{}`, by {} and `custom.<field>`, over time by `hour`, `day`, `week`, `month`, `quarter`, `year`, \
             `weekday` and `hour_of_day`:\n\n",
            source.kind,
            dimensions.join(", ")
        ));
        for measure in source.measures {
            text.push_str(&format!("- `{}`: {}\n", measure.name, measure.about));
        }
    }
    text
}

fn example() -> Map<String, Value> {
    let definition = json!({
        "of": "ticket", "measures": ["opened", "resolution"], "dimensions": ["product_id", "month"],
        "filter": { "field": "priority", "op": "gte", "value": 2 }, "time_zone": "Europe/Rome",
    });
    Map::from_iter([("example1".to_owned(), json!({ "value": definition }))])
}
