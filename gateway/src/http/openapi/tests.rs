//! The document says what is mounted, the tables say what is answered, and the written list of problems is current.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use axum::http::StatusCode;

use super::*;

/// Whether a mounted path, with parameters in braces, answers at a described one.
fn answers(mounted: &str, described: &str) -> bool {
    let (mounted, described): (Vec<_>, Vec<_>) = (mounted.split('/').collect(), described.split('/').collect());
    mounted.len() == described.len()
        && mounted.iter().zip(&described).all(|(mounted, described)| mounted == described || mounted.starts_with('{'))
}

#[test]
fn whatever_is_mounted_is_described_and_nothing_else() {
    let document = document();
    let mut described = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described.push((method.to_uppercase(), path, operation.get("security").is_none()));
        }
    }
    let mounted = crate::http::routes();
    assert!(mounted.len() > 60, "routes are listed: {}", mounted.len());
    for route in &mounted {
        let found = described.iter().any(|(method, path, keyed)| {
            *method == *route.method.as_str() && answers(&route.path, path) && *keyed == route.keyed
        });
        assert!(found, "{} {} is mounted and not in the document", route.method, route.path);
    }
    for (method, path, keyed) in described {
        let found = mounted
            .iter()
            .any(|route| route.method.as_str() == method && answers(&route.path, path) && route.keyed == keyed);
        assert!(found, "{method} {path} is in the document and not mounted");
    }
}

#[test]
fn every_operation_has_an_id_of_its_own_and_says_what_it_does() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id), "{id} twice");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path} has no summary");
            let placeholders = path.matches('{').count();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(in_path, placeholders, "{method} {path}: parameters in the path");
        }
    }
}

#[test]
fn every_permission_named_is_one_that_a_role_can_grant() {
    let document = document();
    let known = catalogue::permissions();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            if let Some(permission) = operation["x-permission"].as_str() {
                assert!(known.contains(permission), "{permission}");
            }
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn sources(directory: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.clone(), fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The problems that code constructs by literal codes: where, status, code.
fn constructed(text: &str) -> Vec<(u16, String)> {
    let statuses: BTreeMap<String, u16> = (400..600)
        .filter_map(|status| Some((StatusCode::from_u16(status).ok()?.canonical_reason()?, status)))
        .map(|(reason, status)| (reason.to_uppercase().replace([' ', '-'], "_"), status))
        .collect();
    let mut found = Vec::new();
    for call in text.split("Problem::").skip(1) {
        let Some((name, arguments)) = call.split_once('(') else { continue };
        let arguments = arguments.trim_start();
        let (status, code) = match name {
            "bad_request" => (400, arguments),
            "unauthorized" => (401, arguments),
            "missing" => (404, arguments),
            "invalid" => (422, arguments),
            "unavailable" => (503, arguments),
            "new" => {
                let Some((status, rest)) = arguments.split_once(',') else { continue };
                let Some(status) = status.strip_prefix("StatusCode::") else { continue };
                (statuses[status], rest.trim_start())
            }
            _ => continue,
        };
        let Some(code) = code.strip_prefix('"').and_then(|code| code.split('"').next()) else { continue };
        found.push((status, code.to_owned()));
    }
    found
}

#[test]
fn every_code_that_is_answered_is_in_the_tables_and_the_other_way_round() {
    let tables = problems::catalogue();
    let mut gateway = Vec::new();
    sources(&root().join("gateway/src"), &mut gateway);
    gateway.retain(|(path, _)| !path.to_string_lossy().contains("openapi/") || path.ends_with("pages.rs"));
    let mut count = 0;
    for (path, text) in &gateway {
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for (status, code) in constructed(code) {
            count += 1;
            let known = tables.contains_key(&(code.clone(), status));
            assert!(known, "{}: {code} with status {status} is in no table", path.display());
        }
    }
    assert!(count > 20, "the code is searched: {count}");
    let mut all = gateway;
    for room in ["domain", "projections", "commands"] {
        sources(&root().join(room).join("src"), &mut all);
    }
    for ((code, _), (_, kinds)) in tables.iter().filter(|(_, (_, kinds))| kinds.is_empty()) {
        let literal = format!("\"{code}\"");
        assert!(all.iter().any(|(_, text)| text.contains(&literal)), "nothing answers {code} {kinds:?}");
    }
}

fn written() -> String {
    let mut text = String::from(
        "# Problems\n\n\
         Whatever is not answered as asked is answered with a problem (RFC 9457, `application/problem+json`): `type`, \
         `title`, `status`, `code`,\n`detail`, `errors` and `trace_id`. The `code` never changes its meaning: programs tell \
         problems apart by it. `detail` is for people\nand may change. `errors` points at the fields at fault, each with \
         `pointer` (JSON pointer into the body), `code` and `detail`.\n\n\
         This page is made from the code; `DESKFOLD_DOCS=write cargo test -p gateway problems` writes it anew.\n",
    );
    let all = problems::catalogue();
    let row = |code: &Code| format!("| `{}` | {} | {} |", code.code, code.status, code.meaning);
    text.push_str("\n## Of the API\n\n| code | status | what it means |\n|---|---|---|\n");
    for (code, _) in all.values().filter(|(_, kinds)| kinds.is_empty()) {
        text.push_str(&format!("{}\n", row(code)));
    }
    text.push_str("\n## Refusals of commands\n\n| code | status | what it means | refused by |\n|---|---|---|---|\n");
    for (code, kinds) in all.values().filter(|(_, kinds)| !kinds.is_empty()) {
        let kinds: Vec<_> = kinds.iter().copied().collect();
        text.push_str(&format!("{} {} |\n", row(code), kinds.join(", ")));
    }
    text.push_str("\n## Single faults\n\nIn `errors` these occur too, beside the codes above.\n\n");
    text.push_str("| code | what it means |\n|---|---|\n");
    for (code, meaning) in problems::FAULTS {
        text.push_str(&format!("| `{code}` | {meaning} |\n"));
    }
    text
}

#[test]
fn the_page_of_problems_is_current() {
    let path = root().join("docs/problems.md");
    if env::var("DESKFOLD_DOCS").as_deref() == Ok("write") {
        fs::write(&path, written()).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == written(), "docs/problems.md is stale: DESKFOLD_DOCS=write cargo test -p gateway problems");
}
