//! Four years of a real help desk, counted by Deskfold and, from the same file alone, by a program with pandas: every number is
//! the same to the last digit.

use std::{fs, path::Path, process::Stdio};

use deskfold_tests::{Server, root};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    data::imports::{Imported, extract, history, with_the_whole_log},
    insight::analysts::Analyst,
    kernel::clients::python,
};

/// What is asked, each with how long it may take to count four years on a busy machine.
fn questions() -> Vec<(&'static str, Value)> {
    let rome = "Europe/Rome";
    let counts = json!(["opened", "closed", "closings", "resolved", "resolutions", "reopened", "assigned"]);
    let lengths = json!(["first_resolution", "resolution", "time_in_stage", "time_with_assignee"]);
    vec![
        ("counts by month", json!({ "measures": counts, "dimensions": ["month"], "time_zone": rome })),
        ("backlog by month", json!({ "measures": ["backlog"], "dimensions": ["month"], "time_zone": rome })),
        (
            "backlog by month and assignee",
            json!({ "measures": ["backlog"], "dimensions": ["month", "assignee_id"], "time_zone": rome }),
        ),
        ("lengths by year", json!({ "measures": lengths, "dimensions": ["year"], "time_zone": rome })),
        ("lengths by stage", json!({ "measures": lengths, "dimensions": ["stage"], "time_zone": rome })),
        ("lengths by assignee", json!({ "measures": lengths, "dimensions": ["assignee_id"], "time_zone": rome })),
        ("lengths by team", json!({ "measures": lengths, "dimensions": ["team_id"], "time_zone": rome })),
        ("counts by product", json!({ "measures": counts, "dimensions": ["product_id"], "time_zone": rome })),
        (
            "pivot",
            json!({ "measures": ["opened", "closed", "resolution"], "dimensions": ["product_id", "month"], "time_zone": rome }),
        ),
        ("heat map", json!({ "measures": ["opened"], "dimensions": ["weekday", "hour_of_day"], "time_zone": rome })),
        ("counts by company", json!({ "measures": counts, "dimensions": ["company_id"], "time_zone": rome })),
        ("counts by priority", json!({ "measures": counts, "dimensions": ["priority"], "time_zone": rome })),
        ("counts by tag", json!({ "measures": counts, "dimensions": ["tags"], "time_zone": rome })),
        ("counts by field", json!({ "measures": counts, "dimensions": ["custom.service_type"], "time_zone": rome })),
        ("counts by day", json!({ "measures": ["opened", "closed"], "dimensions": ["day"], "time_zone": rome })),
        (
            "urgent ones",
            json!({ "measures": counts, "dimensions": ["year"], "time_zone": rome,
            "filter": { "field": "priority", "op": "gte", "value": 2 } }),
        ),
    ]
}

/// A report with records under their names, as the file has them.
fn named(report: &Value) -> Value {
    let names: Vec<&Value> =
        report["dimensions"].as_array().unwrap().iter().map(|dimension| &dimension["names"]).collect();
    let dimensions: Vec<&str> =
        report["dimensions"].as_array().unwrap().iter().map(|dimension| dimension["name"].as_str().unwrap()).collect();
    let row = |row: &Value| {
        let key: Vec<Value> = dimensions
            .iter()
            .zip(&names)
            .map(|(dimension, names)| match &row["key"][dimension] {
                Value::String(id) if !names[id].is_null() => names[id].clone(),
                value => value.clone(),
            })
            .collect();
        json!({ "key": key, "values": row["values"] })
    };
    report["rows"].as_array().unwrap().iter().map(row).collect()
}

#[tokio::test]
async fn every_number_is_the_one_that_pandas_makes_of_the_same_file() {
    if !python().args(["-c", "import pandas"]).output().is_ok_and(|tried| tried.status.success()) {
        eprintln!("SKIPPED: pandas is not installed; deploy/install-prerequisites.sh puts it into target/python");
        return;
    }
    let Imported { server, file, done } = match with_the_whole_log().await {
        Some(imported) => imported,
        None => {
            eprintln!("the whole log is not here; its extract is counted");
            let (server, file) = (Server::start().await, extract());
            let done = history(&server.admin, &file).await;
            Imported { server, file, done }
        }
    };
    assert_eq!(done["counts"]["rejected"], 0, "{done}");
    server.settle().await;
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("log.csv"), &file).unwrap();
    let mut answers = Vec::new();
    let over = "from=2009-01-01&to=2015-12-31";
    for (name, definition) in questions() {
        let begun = std::time::Instant::now();
        let report = server.admin.post(&format!("/v1/reports/run?{over}"), definition.clone()).await;
        let report = report.expect(StatusCode::OK);
        eprintln!("{name}: {} rows in {:?}", report["rows"].as_array().unwrap().len(), begun.elapsed());
        answers.push(json!({ "name": name, "definition": definition, "rows": named(&report) }));
    }
    fs::write(directory.path().join("answers.json"), Value::from(answers).to_string()).unwrap();
    let mut check = python();
    check.arg(root().join("tests/reports.py")).arg(directory.path()).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || check.output().unwrap()).await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    eprintln!("{told}");
    an_analyst_counts_the_same(&server, directory.path()).await;
}

/// Somebody with a login for SQL reflects the schema with SQLAlchemy, and has the backlog of each month and colleague from pandas.
async fn an_analyst_counts_the_same(server: &Server, directory: &Path) {
    if !python().args(["-c", "import sqlalchemy, psycopg"]).output().is_ok_and(|tried| tried.status.success()) {
        eprintln!("SKIPPED: SQLAlchemy is not installed; deploy/install-prerequisites.sh puts it into target/python");
        return;
    }
    let analyst = Analyst::add(server, "pandas", "admin@localhost", &[]).await;
    let mut work = python();
    work.arg(root().join("tests/analysts.py")).arg(analyst.url(server)).arg(directory).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || work.output().unwrap()).await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    analyst.remove(server).await;
    assert!(output.status.success(), "{told}");
    eprintln!("{told}");
}
