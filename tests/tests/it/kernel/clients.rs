//! Clients that others' generators make of the document: complete, without a warning, with types a person would choose, and
//! at work against the server.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use deskfold_tests::{Server, root};
use gateway::openapi;
use serde_json::Value;
use tempfile::TempDir;

use crate::world::{everything, user};

/// Where the document is, beside which clients are made.
fn described() -> TempDir {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("openapi.json"), openapi::document().to_string()).unwrap();
    directory
}

/// What a program says, unless it fails.
async fn said(mut command: Command) -> String {
    command.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(output.status.success(), "{text}");
    text
}

/// A program in Python with the libraries that `deploy/install-prerequisites.sh` installs.
pub(crate) fn python() -> Command {
    let libraries = root().join("target/python");
    let own = libraries.join("bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([own].into_iter().chain(env::split_paths(&path))).unwrap();
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", libraries).env("PATH", path);
    command
}

/// The files of a folder and all below it, without the extension.
fn names(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        match path.is_dir() {
            true => names.extend(self::names(&path)),
            false if name != "__init__" => names.push(name),
            false => {}
        }
    }
    names
}

fn operations() -> BTreeSet<String> {
    let document = openapi::document();
    let items = document["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    operations.map(|operation| operation["operationId"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_document_says_once_what_is_the_same() {
    let (bytes, operations) = (openapi::document().to_string().len(), operations().len());
    assert!(bytes / operations < 3_300, "{bytes} bytes for {operations} operations");
}

#[tokio::test]
async fn a_generated_python_client_has_every_operation_and_does_the_work() {
    if !python().args(["-c", "import openapi_python_client"]).output().is_ok_and(|tried| tried.status.success()) {
        eprintln!(
            "SKIPPED: openapi-python-client is not installed; deploy/install-prerequisites.sh puts it into target/python"
        );
        return;
    }
    let directory = described();
    let mut generate = python();
    generate.args(["-m", "openapi_python_client", "generate", "--path", "openapi.json", "--output-path", "client"]);
    generate.arg("--fail-on-warning").current_dir(directory.path());
    let told = said(generate).await;
    assert_eq!(told.trim(), "Generating client", "it warns");
    let package = directory.path().join("client/deskfold_client");
    let made: BTreeSet<_> = names(&package.join("api")).into_iter().collect();
    let missing: Vec<_> = operations().into_iter().filter(|id| !made.contains(id)).collect();
    assert!(missing.is_empty(), "there is no {missing:?}");
    let models = names(&package.join("models"));
    assert!(models.len() > 300 && models.len() < made.len(), "{} models for {} operations", models.len(), made.len());
    // Where a shape has no name in the document, the generator counts.
    let counted = regex::Regex::new(r"_(type|response|item)_?\d|\d{3}|_\d$").unwrap();
    let counted: Vec<_> = models.iter().filter(|name| counted.is_match(name)).collect();
    assert!(counted.is_empty(), "no person would choose {counted:?}");

    let server = Server::start().await;
    let all = everything(&server, &server.admin, "Word").await;
    let agent = user(&server.admin, "Ada").await;
    server.settle().await;
    let mut work = python();
    work.arg(root().join("tests/client.py")).arg(directory.path().join("client"));
    work.args([&server.admin.base, &server.admin.key, &agent]);
    let work: Value = serde_json::from_str(&said(work).await).unwrap();
    assert_eq!(work["found"], Value::from(vec![work["id"].clone()]));
    assert_eq!(work["gone"], Value::from(Vec::<Value>::new()));
    assert_eq!(work["history"], serde_json::json!(["ticket.opened", "ticket.assigned", "ticket.closed"]));
    assert_eq!(work["refused"], "filter_field_unknown");
    let listed: BTreeMap<String, usize> = serde_json::from_value(work["listed"].clone()).unwrap();
    // What somebody was told he reads himself.
    for (collection, ids) in all.iter().filter(|(collection, _)| **collection != "notifications") {
        assert!(listed[*collection] >= ids.len().min(1), "{collection} is not read: {listed:?}");
    }
}

/// Where `deploy/install-prerequisites.sh` puts openapi-typescript, with the compiler that it brings.
fn node_modules() -> PathBuf {
    root().join("target/node/node_modules")
}

#[tokio::test]
async fn generated_types_for_typescript_have_every_operation_and_hold_a_client_to_the_document() {
    let generator = node_modules().join("openapi-typescript/bin/cli.js");
    if !generator.is_file() {
        eprintln!(
            "SKIPPED: openapi-typescript is not installed; with npm there, deploy/install-prerequisites.sh puts it into target/node"
        );
        return;
    }
    let directory = described();
    let node = |arguments: &[&str]| {
        let mut command = Command::new("node");
        command.args(arguments).current_dir(directory.path()).env("NO_COLOR", "1");
        command
    };
    let options = ["openapi.json", "--output", "deskfold.d.ts", "--default-non-nullable=false"];
    let told = said(node(&[&[generator.to_str().unwrap()], &options[..]].concat())).await;
    let warns = ["warn", "error", "⚠", "✘"].iter().any(|sign| told.to_lowercase().contains(sign));
    assert!(!warns, "{told}");
    let types = fs::read_to_string(directory.path().join("deskfold.d.ts")).unwrap();
    let (_, made) = types.split_once("export interface operations {").unwrap();
    let missing: Vec<_> = operations().into_iter().filter(|id| !made.contains(&format!("\n    {id}: {{"))).collect();
    assert!(missing.is_empty(), "there is no {missing:?}");
    let (lines, operations) = (types.lines().count(), operations().len());
    assert!(lines / operations < 130, "{lines} lines for {operations} operations");

    fs::copy(root().join("tests/client.ts"), directory.path().join("client.ts")).unwrap();
    let compiler = node_modules().join("typescript/bin/tsc");
    said(node(&[compiler.to_str().unwrap(), "--noEmit", "--strict", "client.ts"])).await;
}
