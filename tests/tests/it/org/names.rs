//! Whoever does not see a record is not told what it is called, wherever a row refers to it, and finds nothing by that name.

use std::collections::{BTreeMap, BTreeSet};

use deskfold_tests::{Client, Server};
use domain::{catalogue, kernel::listing::NAMELESS};
use gateway::openapi;
use projections::List;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    org::auth::user_with,
    world::{condition, encoded, everything, field, filtered, pages, subject},
};

/// What there is of a kind whose records are not everybody's to see: by id, what they are called.
type Names = BTreeMap<&'static str, BTreeMap<String, String>>;

/// Some of everything, with names that nothing else has, and references wherever there may be some.
async fn world(server: &Server) -> (BTreeMap<&'static str, Vec<String>>, Names) {
    let admin = &server.admin;
    field(admin, "ticket", "partner", "reference", json!({ "target": "company" })).await;
    let all = everything(server, admin, "Word").await;
    for collection in ["contacts", "companies"] {
        for (number, id) in all[collection].iter().enumerate() {
            let name = json!({ "name": format!("Hidden {collection} {number}") });
            admin.run(&format!("/v1/{collection}/{id}/edit"), name).await;
        }
    }
    let (company, contact) = (&all["companies"][1], &all["contacts"][0]);
    let body = json!({ "title": "Four", "custom": { "partner": company }, "company": company });
    admin.create("/v1/tickets", body).await;
    let about = json!([subject("conversation", &all["conversations"][1]), subject("contact", contact)]);
    admin.create("/v1/comments", json!({ "subjects": about, "text": "Talked" })).await;
    admin.create("/v1/tasks", json!({ "title": "Answer", "subjects": about })).await;
    server.settle().await;
    let mut names = Names::new();
    for list in projections::lists() {
        let walled = catalogue::kind(list.read).is_some_and(|kind| kind.open.is_none());
        if !walled || !list.lists(list.read) {
            continue;
        }
        let name = |row: &Value| match NAMELESS.contains(&list.read) {
            false => row[list.title()?].as_str().map(ToOwned::to_owned),
            true => row["number"].as_i64().map(|number| format!("#{number}")),
        };
        let rows = pages(admin, &format!("/v1/{}", list.path)).await;
        let named = rows.iter().filter_map(|row| Some((row["id"].as_str()?.to_owned(), name(row)?)));
        names.entry(list.read).or_default().extend(named);
    }
    // Rules say of themselves which tasks they make.
    names.values_mut().for_each(|names| names.retain(|_, name| name != "Call Word"));
    (all, names)
}

/// The names of the records that somebody does not see, by kind.
async fn hidden(client: &Client, names: &Names) -> BTreeMap<&'static str, BTreeSet<String>> {
    let (mut hidden, mut seen) = (BTreeMap::<_, BTreeSet<String>>::new(), BTreeSet::new());
    for (kind, names) in names {
        let plural = catalogue::kind(kind).unwrap().plural;
        for (id, name) in names {
            let found = client.get(&format!("/v1/{plural}/{id}")).await.status;
            match found == StatusCode::OK {
                true => _ = seen.insert(name.clone()),
                false => _ = hidden.entry(*kind).or_default().insert(name.clone()),
            }
        }
    }
    hidden.values_mut().for_each(|names| names.retain(|name| !seen.contains(name)));
    hidden
}

/// Everything that is read of the records of a kind, now and as of a position.
fn reads(kind: &catalogue::Kind, all: &BTreeMap<&'static str, Vec<String>>, position: i64) -> Vec<String> {
    let document = openapi::document();
    let mut paths = Vec::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        let Some(operation) = item.get("get").filter(|get| get["tags"][0] == kind.plural) else { continue };
        let mut parameters = operation["parameters"].as_array().into_iter().flatten();
        // A stream has no end.
        if template.ends_with("/stream")
            || template.matches('{').count() > 1
            || (template.contains('{') && !template.contains("{id}"))
        {
            continue;
        }
        if operation["x-permission"] == "event.read" || template.contains("picker") {
            continue;
        }
        if !template.contains('{') {
            paths.push(template.clone());
            continue;
        }
        let dated = parameters.any(|parameter| {
            parameter["$ref"].as_str().is_some_and(|name| name.ends_with("as_of")) || parameter["name"] == "as_of"
        });
        for id in all.get(kind.plural).into_iter().flatten() {
            let path = template.replace("{id}", id);
            paths.extend(dated.then(|| format!("{path}?as_of={position}")));
            paths.push(path);
        }
    }
    paths
}

/// The columns by which a list is filtered that tell what others are called.
fn called(list: &'static List) -> impl Iterator<Item = &'static domain::kernel::listing::Name> {
    list.columns.iter().filter_map(|column| column.names)
}

#[tokio::test]
async fn nothing_tells_the_names_of_records_that_one_does_not_see_nor_finds_by_them() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (all, names) = world(&server).await;
    let position = admin.read("/v1/events?limit=1").await["position"].as_i64().unwrap();
    let (mut told, mut dated, mut found) = (0, 0, 0);
    // A run of a rule tells what the rule found: whoever reads all runs is told that.
    let kinds = catalogue::kinds().filter(|kind| kind.name != "rule_run");
    for (kind, scope) in kinds.zip(["own", "team"].into_iter().cycle()) {
        let lists: Vec<_> = projections::lists().filter(|list| list.listed && list.read == kind.name).collect();
        let mut paths = Vec::new();
        for path in reads(kind, &all, position) {
            let whole = admin.get(&path).await.text;
            paths.push((path, whole));
        }
        // Sees all of this kind, and of the others only what is his or his team's.
        let email = format!("{}.{scope}@example.com", kind.name.replace('_', "."));
        let (_, client) =
            user_with(&server, &email, &[&format!("{}.read", kind.name), &format!("*:{scope}"), "export.run"]).await;
        server.settle().await;
        let hidden = hidden(&client, &names).await;
        let words: BTreeSet<&String> = hidden.values().flatten().collect();
        let tells = |text: &str| {
            words.iter().copied().filter(|name| text.contains(&format!("\"{name}\""))).cloned().collect::<Vec<_>>()
        };
        for (path, whole) in &paths {
            let seen = client.get(path).await;
            assert_eq!(tells(&seen.text), Vec::<String>::new(), "{scope}: {path}: {}", seen.text);
            if seen.status.is_success() && !tells(whole).is_empty() {
                told += 1;
                dated += i32::from(path.contains("as_of"));
            }
        }
        for list in &lists {
            let path = format!("/v1/{}", list.path);
            let searched = client.post(&format!("{path}/search"), json!({})).await.expect(StatusCode::OK);
            assert_eq!(tells(&searched.to_string()), Vec::<String>::new(), "{scope}: {path}/search");
            let exported = client.get(&format!("{path}/export?format=jsonl")).await;
            assert_eq!(exported.status, StatusCode::OK, "{scope}: {path}/export: {}", exported.text);
            assert_eq!(tells(&exported.text), Vec::<String>::new(), "{scope}: {path}/export");
            for column in called(list) {
                let unseen = column.kinds.iter().filter_map(|kind| hidden.get(kind)).flatten();
                for name in unseen {
                    let by_name =
                        filtered(&format!("{path}?count=exact"), &condition(column.field, "eq", name.as_str()));
                    found += admin.read(&by_name).await["total"].as_i64().unwrap();
                    let by_part = filtered(&path, &condition(column.field, "contains", name.as_str()));
                    for path in [by_name, by_part] {
                        assert_eq!(client.read(&path).await["data"], json!([]), "{scope}: {path}");
                    }
                }
            }
        }
    }
    assert!(
        told > 100 && dated > 30 && found > 20,
        "{told} answers tell others more, {dated} of the past; {found} rows are found by others"
    );
}

#[tokio::test]
async fn whoever_sees_the_record_too_is_told_its_name_and_finds_by_it() {
    let server = Server::start().await;
    let admin = &server.admin;
    let (user, eva) = user_with(&server, "eva@example.com", &["ticket.read", "company.*:own"]).await;
    let [hers, other] = ["Bianchi", "Rossi"].map(|name| json!({ "name": name }));
    let hers = admin.create("/v1/companies", hers).await;
    let other = admin.create("/v1/companies", other).await;
    for company in [&hers, &other] {
        admin.create("/v1/tickets", json!({ "title": "Broken", "company": company })).await;
    }
    let listed = async |filter: Option<Value>| {
        let filter = filter.map(|filter| format!("&filter={}", encoded(&filter.to_string()))).unwrap_or_default();
        let rows = pages(&eva, &format!("/v1/tickets?sort=number{filter}")).await;
        rows.iter().map(|row| row["company_name"].clone()).collect::<Vec<_>>()
    };
    server.settle().await;
    assert_eq!(listed(None).await, [json!(null), json!(null)]);
    admin.run(&format!("/v1/companies/{hers}/share"), json!({ "grantee": user, "level": "read" })).await;
    server.settle().await;
    assert_eq!(listed(None).await, [json!("Bianchi"), json!(null)]);
    assert_eq!(listed(Some(condition("company_name", "eq", "Bianchi"))).await, [json!("Bianchi")]);
    assert_eq!(listed(Some(condition("company_name", "eq", "Rossi"))).await, Vec::<Value>::new());
    // What is not told is as if it were not there.
    assert_eq!(listed(Some(condition("company_name", "ne", "Rossi"))).await.len(), 2);
    assert_eq!(listed(Some(condition("company_name", "is_null", true))).await, [json!(null)]);
    let of_other = eva.read(&filtered("/v1/tickets", &condition("company_id", "eq", other.as_str()))).await;
    assert_eq!(
        (&of_other["data"][0]["company_id"], &of_other["data"][0]["company_name"]),
        (&json!(other), &json!(null))
    );
    let whole = admin.read("/v1/tickets?sort=number").await;
    assert_eq!(whole["data"][1]["company_name"], "Rossi");
}
