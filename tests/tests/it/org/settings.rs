//! Settings and features: known ones only, and what each of them does.

use std::{collections::BTreeSet, time::Duration};

use deskfold_tests::{Client, Server, root};
use domain::{Aggregate, catalogue, org::settings::SETTINGS};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    work::rules::{events, manager, order, role, rule, runs, task, tasks},
    world::{NOBODY, contact, each, everything, product, texts},
};

/// Sets one setting.
async fn set(client: &Client, key: &str, value: Value) {
    client.run("/v1/tenants/current/change_setting", json!({ "key": key, "value": value })).await;
}

async fn switch(client: &Client, command: &str, feature: &str) {
    client.run(&format!("/v1/tenants/current/{command}"), json!({ "feature": feature })).await;
}

/// The value of a setting as `GET /v1/settings` tells it.
async fn setting(client: &Client, key: &str) -> Value {
    let all = client.read("/v1/settings").await;
    all["data"].as_array().unwrap().iter().find(|setting| setting["key"] == *key).unwrap()["value"].clone()
}

#[tokio::test]
async fn only_known_settings_with_fitting_values_are_taken() {
    let server = Server::start().await;
    let client = &server.admin;
    let at = "/v1/tenants/current/change_setting";
    let unknown = client.post(at, json!({ "key": "nonsense.831", "value": 5 })).await;
    let problem = unknown.problem(422, "setting_unknown");
    assert_eq!(problem["errors"][0]["pointer"], "/key");
    let unfit = [
        ("default_country", json!("Italy")),
        ("language", json!(5)),
        ("time_zone", json!("Europe/Atlantis")),
        ("automatic_order_distribution", json!("yes")),
        ("portals", json!(["", "immo"])),
        ("media", json!("email")),
    ];
    for (key, value) in unfit {
        let refused = client.post(at, json!({ "key": key, "value": value })).await;
        assert_eq!(refused.problem(422, "setting_invalid")["errors"][0]["pointer"], "/value", "{key}");
    }
    let defaults = client.read("/v1/settings").await;
    for setting in defaults["data"].as_array().unwrap() {
        assert_eq!(setting["value"], setting["default"], "{setting}");
        assert!(setting["description"].as_str().unwrap().len() > 10 && setting["type"].is_string(), "{setting}");
    }
    set(client, "time_zone", json!("Europe/Rome")).await;
    assert_eq!(setting(client, "time_zone").await, "Europe/Rome");
    set(client, "time_zone", Value::Null).await;
    assert_eq!(setting(client, "time_zone").await, "UTC");
    // The name that it had before means the same.
    set(client, "order_distribution", json!(false)).await;
    assert_eq!(setting(client, "automatic_order_distribution").await, false);
    server.settle().await;
    assert_eq!(client.read("/v1/tenants/current").await["settings"], json!({ "automatic_order_distribution": false }));
}

#[tokio::test]
async fn orders_are_distributed_only_while_the_setting_says_so() {
    let server = Server::start().await;
    let client = &server.admin;
    let sales = role(client, "Sales manager").await;
    let anna = manager(client, &sales, "Anna Ivanova", "Moscow").await;
    let call = json!({ "selector": [{ "role": sales }], "actions": [task("Call {{ order.number }}")] });
    let rule = rule(client, "Calls", "order.placed", 10, call.clone()).await;
    let leads = crate::work::rules::rule(client, "Leads", "lead.created", 10, call).await;
    order(client, "1", json!({})).await;
    server.settle().await;
    set(client, "automatic_order_distribution", json!(false)).await;
    order(client, "2", json!({})).await;
    client.create("/v1/leads", json!({ "name": "Oleg" })).await;
    server.settle().await;
    set(client, "automatic_order_distribution", json!(true)).await;
    order(client, "3", json!({})).await;
    server.settle().await;
    let mut tasks = tasks(client).await;
    tasks.sort();
    let to = |title: &str, user: Option<&String>| (title.to_owned(), user.cloned());
    // Off, the task is there and waits for somebody to take it; other rules choose all the same.
    let expected = [to("Call ", Some(&anna)), to("Call 1", Some(&anna)), to("Call 2", None), to("Call 3", Some(&anna))];
    assert_eq!(tasks, expected);
    let chosen: Vec<_> = runs(client, &rule).await.iter().map(|run| run["chosen"].clone()).collect();
    assert_eq!(chosen, [json!([anna]), json!([]), json!([anna])]);
    assert_eq!(runs(client, &leads).await[0]["chosen"], json!([anna]));
    // A rehearsal of the order of that time says what happened then.
    let placed = events(client, "order.placed").await;
    let draft = json!({ "trigger": "order.placed", "definition": {
        "selector": [{ "role": sales }], "actions": [task("Call")] } });
    for (event, expected) in placed.iter().zip([json!([anna]), Value::Null, json!([anna])]) {
        let body = json!({ "position": event["position"], "draft": draft });
        let said = client.post("/v1/rules/dry_run", body).await.expect(StatusCode::OK);
        assert_eq!(said["preparation"].get("chosen").cloned().unwrap_or_default(), expected, "{said}");
    }
}

#[tokio::test]
async fn portals_media_and_channels_are_those_of_the_settings() {
    let server = Server::start().await;
    let client = &server.admin;
    let flat = client.create("/v1/properties", json!({ "name": "Flat", "kind": "apartment", "purpose": "sale" })).await;
    let publish = format!("/v1/properties/{flat}/publish_to_portal");
    client.run(&publish, json!({ "portal": "immo" })).await;
    client.post(&publish, json!({ "portal": "nowhere" })).await.problem(422, "property_portal_invalid");
    let start = async |medium: &str| client.post("/v1/conversations", json!({ "medium": medium })).await;
    start("pigeon").await.problem(422, "conversation_medium_invalid");
    let open = async |channel: &str| client.post("/v1/tickets", json!({ "title": "x", "channel": channel })).await;
    open("pigeon").await.problem(422, "channel_invalid");
    let maria = contact(client, "Maria").await;
    let criteria = json!({ "purpose": "sale" });
    let enquiry = json!({ "name": "Flat", "contact": maria, "criteria": criteria });
    let enquiry = client.create("/v1/enquiries", enquiry).await;
    let offer = client.create("/v1/offers", json!({ "enquiry": enquiry, "properties": [flat] })).await;
    let send = format!("/v1/offers/{offer}/send");
    client.post(&send, json!({ "medium": "pigeon" })).await.problem(422, "offer_medium_invalid");

    set(client, "portals", json!(["nowhere"])).await;
    set(client, "media", json!(["api", "pigeon"])).await;
    client.run(&publish, json!({ "portal": "nowhere" })).await;
    client.run(&publish, json!({ "portal": "immo" })).await;
    client.run(&format!("/v1/properties/{flat}/unpublish_from_portal"), json!({ "portal": "immo" })).await;
    client.post(&publish, json!({ "portal": "immo" })).await.problem(422, "property_portal_invalid");
    start("pigeon").await.expect(StatusCode::CREATED);
    start("live_chat").await.problem(422, "conversation_medium_invalid");
    open("pigeon").await.expect(StatusCode::CREATED);
    client.run(&send, json!({ "medium": "pigeon" })).await;
}

/// The collections of a feature's kinds, as the document of those who have it lists them.
fn paths_of(document: &Value, kinds: &[&str]) -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let permission = operation["x-permission"].as_str().unwrap_or_default();
            let kind = permission.split_once('.').map_or("", |(kind, _)| kind);
            if kinds.contains(&kind) {
                paths.push((method.clone(), path.clone()));
            }
        }
    }
    paths
}

#[tokio::test]
async fn only_known_features_are_switched() {
    let server = Server::start().await;
    let client = &server.admin;
    for command in ["enable_feature", "disable_feature"] {
        let unknown = client.post(&format!("/v1/tenants/current/{command}"), json!({ "feature": "flying" })).await;
        assert_eq!(unknown.problem(422, "feature_unknown")["errors"][0]["pointer"], "/feature");
    }
    let features = client.read("/v1/features").await;
    assert!(each(&features, "enabled").iter().all(|enabled| *enabled == true));
    let names = texts(&features, "feature");
    for name in ["tickets", "products", "chats", "orders", "properties", "deals", "rules", "imports"] {
        assert!(names.contains(&name.to_owned()), "{name}");
    }
    switch(client, "disable_feature", "products").await;
    let features = client.read("/v1/features").await;
    let off = features["data"].as_array().unwrap().iter().find(|feature| feature["enabled"] == false).unwrap();
    assert_eq!(off["feature"], "products");
}

#[tokio::test]
async fn a_feature_that_is_off_is_neither_offered_nor_accepted_and_comes_back_as_it_was() {
    let server = Server::start().await;
    let client = &server.admin;
    let world = everything(&server, client, "Alpha").await;
    let whole = client.read("/v1/openapi.json").await;
    let features = client.read("/v1/features").await["data"].as_array().unwrap().clone();
    for feature in features {
        let name = feature["feature"].as_str().unwrap();
        let kinds: Vec<&str> = feature["kinds"].as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect();
        let paths = paths_of(&whole, &kinds);
        assert!(paths.len() > 3, "{name}: {paths:?}");
        let lists: Vec<&String> = paths
            .iter()
            .filter(|(method, path)| method == "get" && whole["paths"].get(format!("{path}/search")).is_some())
            .map(|(_, path)| path)
            .collect();
        let mut before = Vec::new();
        for list in &lists {
            before.push(client.read(list).await["data"].clone());
        }
        switch(client, "disable_feature", name).await;
        for (method, path) in &paths {
            let address = path.replace("{id}", NOBODY).replace("{command}", "archive");
            let address =
                address.replace("{source}", "shop").replace("{external_id}", "1").replace("{message_id}", NOBODY);
            let method: reqwest::Method = method.to_uppercase().parse().unwrap();
            let body = (method != reqwest::Method::GET).then(|| example(&whole, path, &method));
            let request = client.request(method, &address);
            let request = match body {
                Some(body) => request.json(&body),
                None => request,
            };
            client.send(request).await.problem(403, "feature_disabled");
        }
        let document = client.read("/v1/openapi.json").await;
        assert_eq!(paths_of(&document, &kinds), [], "{name} is still in the document");
        let permissions = client.read("/v1/permissions").await;
        let offered: Vec<String> = serde_json::from_value(permissions["data"].clone()).unwrap();
        let of_it = |permission: &&String| kinds.iter().any(|kind| permission.starts_with(&format!("{kind}.")));
        assert_eq!(offered.iter().find(of_it), None);
        let mine: Vec<String> = serde_json::from_value(client.read("/v1/me").await["permissions"].clone()).unwrap();
        assert_eq!(mine.iter().find(of_it), None);
        switch(client, "enable_feature", name).await;
        for (list, before) in lists.iter().zip(before) {
            assert_eq!(client.read(list).await["data"], before, "{list}");
        }
    }
    assert!(!world.is_empty());
}

/// An example body of an operation.
fn example(document: &Value, path: &str, method: &reqwest::Method) -> Value {
    let operation = &document["paths"][path][method.as_str().to_lowercase()];
    let examples = &operation["requestBody"]["content"]["application/json"]["examples"];
    let first = examples.as_object().and_then(|examples| examples.values().next());
    first.map_or_else(|| json!({}), |example| example["value"].clone())
}

#[tokio::test]
async fn what_is_off_cannot_be_referred_to_from_what_is_on() {
    let server = Server::start().await;
    let client = &server.admin;
    let customer = crate::world::Customer::new(client).await;
    let deal = client.create("/v1/deals", json!({ "name": "Flat" })).await;
    let old = customer.ticket(client, "Old").await;
    switch(client, "disable_feature", "products").await;
    switch(client, "disable_feature", "deals").await;
    let requester = crate::world::party("contact", &customer.contact);
    let body = json!({ "title": "New", "requester": requester, "entitlement": customer.entitlement });
    let refused = client.post("/v1/tickets", body.clone()).await.problem(403, "feature_disabled");
    assert_eq!(refused["errors"][0]["pointer"], "/entitlement");
    let comment = json!({ "text": "x", "subjects": [{ "kind": "deal", "id": deal }] });
    client.post("/v1/comments", comment.clone()).await.problem(403, "feature_disabled");
    client.get(&format!("/v1/entitlements/picker?contact={}", customer.contact)).await.problem(403, "feature_disabled");
    client.get("/v1/reports/tickets_by_product").await.problem(403, "feature_disabled");
    // What was there stays, and what has nothing to do with it goes on.
    client.run(&format!("/v1/tickets/{old}/change_title"), json!({ "title": "Older" })).await;
    let lead = client.create("/v1/leads", json!({ "name": "Oleg" })).await;
    let convert = json!({ "contact": customer.contact, "deal": deal });
    client.post(&format!("/v1/leads/{lead}/convert"), convert).await.problem(403, "feature_disabled");
    switch(client, "enable_feature", "products").await;
    switch(client, "enable_feature", "deals").await;
    client.create("/v1/tickets", body).await;
    client.create("/v1/comments", comment).await;
}

#[tokio::test]
async fn custom_fields_of_what_is_off_are_neither_offered_nor_accepted_and_come_back() {
    let server = Server::start().await;
    let client = &server.admin;
    for entity in ["deal", "contact", "entitlement"] {
        crate::world::field(client, entity, "size", "number", json!({})).await;
    }
    server.settle().await;
    let all = client.read("/v1/fields?count=exact&group=entity").await;
    assert_eq!(
        (texts(&all, "entity"), &all["total"]),
        (vec!["contact".into(), "deal".into(), "entitlement".into()], &json!(3))
    );
    let ids: Vec<String> = texts(&all, "id");
    let one = |place: usize, rest: &str| format!("/v1/fields/{}{rest}", ids[place]);
    switch(client, "disable_feature", "deals").await;
    switch(client, "disable_feature", "products").await;
    let left = client.read("/v1/fields?count=exact&group=entity").await;
    assert_eq!((texts(&left, "entity"), &left["total"]), (vec!["contact".to_owned()], &json!(1)));
    assert_eq!(left["groups"].as_array().unwrap().len(), 1, "{left}");
    let asked = json!({ "filter": { "field": "entity", "op": "eq", "value": "deal" } });
    assert_eq!(client.post("/v1/fields/search", asked).await.expect(StatusCode::OK)["data"], json!([]));
    for path in [one(1, ""), one(1, "/history"), one(2, ""), "/v1/fields/deal/history".into()] {
        client.get(&path).await.problem(403, "feature_disabled");
    }
    let new = json!({ "entity": "deal", "key": "more", "type": "text" });
    client.post("/v1/fields", new.clone()).await.problem(403, "feature_disabled");
    client.post("/v1/fields/deal/define", new.clone()).await.problem(403, "feature_disabled");
    client.post("/v1/fields?dry_run=true", new).await.problem(403, "feature_disabled");
    client.post(&one(1, "/change"), json!({ "label": "x" })).await.problem(403, "feature_disabled");
    client.post(&one(2, "/retire"), json!({})).await.problem(403, "feature_disabled");
    client.run(&one(0, "/change"), json!({ "label": "Size" })).await;
    switch(client, "enable_feature", "deals").await;
    switch(client, "enable_feature", "products").await;
    assert_eq!(client.read("/v1/fields?count=exact").await["total"], 3);
    assert_eq!(client.read(&one(1, "")).await["key"], "size");
}

#[tokio::test]
async fn what_goes_on_to_another_record_needs_the_feature_and_the_right_all_the_same() {
    let server = Server::start().await;
    let client = &server.admin;
    let of = |kind: &str, id: &str, command: &str| format!("/v1/{kind}/{id}/{command}");
    let (part, main) = (crate::world::ticket(client, "Part").await, crate::world::ticket(client, "Main").await);
    client.run(&of("tickets", &part, "merge"), json!({ "into": main })).await;
    let (twin, maria) = (contact(client, "Twin").await, contact(client, "Maria").await);
    client.run(&of("contacts", &twin, "merge"), json!({ "into": maria })).await;
    let forwarded = [
        (of("tickets", &part, "receive_message"), json!({ "body": "It smokes" })),
        (of("tickets", &part, "add_note"), json!({ "body": "Third one" })),
        (of("contacts", &twin, "add_note"), json!({ "text": "Likes tea" })),
    ];
    let head = async || client.read("/v1/events?limit=1").await["position"].clone();
    // Whoever may read all and write other things goes no further by a detour.
    let (_, reader) =
        crate::org::auth::user_with(&server, "less@example.com", &["*.read", "ticket.merge", "contact.tag"]).await;
    let before = head().await;
    for (path, body) in &forwarded {
        reader.post(path, body.clone()).await.problem(403, "permission_denied");
    }
    assert_eq!(head().await, before);
    // Nor does anybody where the feature is off; and what a detour would name is looked at as on the straight way.
    switch(client, "disable_feature", "tickets").await;
    let before = head().await;
    for (path, body) in &forwarded[..2] {
        client.post(path, body.clone()).await.problem(403, "feature_disabled");
        client.post(&format!("{path}?dry_run=true"), body.clone()).await.problem(403, "feature_disabled");
    }
    assert_eq!(head().await, before);
    client.run(&forwarded[2].0, forwarded[2].1.clone()).await;
    switch(client, "enable_feature", "tickets").await;
    for (path, body) in &forwarded[..2] {
        client.run(path, body.clone()).await;
    }
    // An event that a command leaves with another record: what was sent is told to the enquiry and the contact.
    let flat = client.create("/v1/properties", json!({ "name": "Flat", "kind": "apartment", "purpose": "sale" })).await;
    let enquiry = client.create("/v1/enquiries", json!({ "name": "Flat", "contact": maria })).await;
    let offer = client.create("/v1/offers", json!({ "enquiry": enquiry, "properties": [flat] })).await;
    let send = of("offers", &offer, "send");
    reader.post(&send, json!({ "medium": "email" })).await.problem(403, "permission_denied");
    switch(client, "disable_feature", "properties").await;
    client.post(&send, json!({ "medium": "email" })).await.problem(403, "feature_disabled");
    switch(client, "enable_feature", "properties").await;
    client.run(&send, json!({ "medium": "email" })).await;
}

#[tokio::test]
async fn rules_imports_and_timers_do_nothing_for_what_is_off() {
    let server = Server::start().await;
    let client = &server.admin;
    let by_rule = rule(client, "Tasks", "order.placed", 10, json!({ "actions": [task("Call")] })).await;
    switch(client, "disable_feature", "tasks").await;
    order(client, "1", json!({})).await;
    server.settle().await;
    assert_eq!(events(client, "task.created").await.len(), 0);
    let run = &runs(client, &by_rule).await[0];
    assert!(run["error"].as_str().unwrap().contains("feature_disabled"), "{run}");
    switch(client, "enable_feature", "tasks").await;

    // Rules that are off are not asked, and a run that waits goes on when they are on again.
    let later = json!({ "delay_s": 3600, "actions": [task("Later")] });
    let later = rule(client, "Later", "lead.created", 10, later).await;
    client.create("/v1/leads", json!({ "name": "Oleg" })).await;
    server.settle().await;
    switch(client, "disable_feature", "rules").await;
    order(client, "2", json!({})).await;
    server.app.advance(Duration::from_secs(4000));
    server.settle().await;
    assert_eq!(events(client, "rule_run.executed").await.len(), 0);
    switch(client, "enable_feature", "rules").await;
    server.app.advance(Duration::from_secs(120));
    server.settle().await;
    assert_eq!(runs(client, &by_rule).await.len(), 1, "nobody asked it about the second order");
    let waited = runs(client, &later).await;
    assert_eq!(waited.len(), 1);

    let bought = product(client, "Hosting").await;
    let maria = contact(client, "Maria").await;
    switch(client, "disable_feature", "products").await;
    let file = format!("product,holder_kind,holder\n{bought},contact,{maria}\n");
    granted_by_import(client, "shop", &file).await;
    assert_eq!(events(client, "entitlement.granted").await.len(), 0);
    switch(client, "enable_feature", "products").await;
    granted_by_import(client, "till", &file).await;
    assert_eq!(events(client, "entitlement.granted").await.len(), 1);
}

/// Brings in who owns which product, and waits for the end.
async fn granted_by_import(client: &Client, source: &str, file: &str) {
    let part = |head: &str, value: &str| format!("--X\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n");
    let mut body = part("name=\"kind\"", "entitlements");
    body += &part("name=\"source\"", source);
    body += &part("name=\"file\"; filename=\"shop.csv\"", file);
    body += "--X--\r\n";
    let request = client.request(reqwest::Method::POST, "/v1/imports");
    let request = request.header("content-type", "multipart/form-data; boundary=X").body(body);
    let started = client.send(request).await.expect(StatusCode::ACCEPTED);
    let progress = started["links"]["progress"].as_str().unwrap();
    client.read(&format!("{progress}?wait=60")).await;
}

/// What a tenant, a team and a colleague can be set to, and the test that shows who reads it.
const READERS: &[(&str, &str)] = &[
    ("tenant.set_alias_domain", "mail::the_domains_and_the_server_of_a_tenant_are_those_of_its_mail"),
    ("tenant.add_alias_domain", "mail::the_domains_and_the_server_of_a_tenant_are_those_of_its_mail"),
    ("tenant.remove_alias_domain", "mail::the_domains_and_the_server_of_a_tenant_are_those_of_its_mail"),
    ("tenant.set_mail_server", "mail::the_domains_and_the_server_of_a_tenant_are_those_of_its_mail"),
    ("tenant.set_portal", "portal::whoever_has_a_question_finds_an_article_and_says_whether_it_helped"),
    ("setting.default_country", "people::one_number_in_two_spellings_is_one_contact_and_found_by_any"),
    ("setting.language", "people::lists_by_name_follow_the_alphabet_and_so_do_their_pages"),
    ("setting.time_zone", "comforts::a_day_as_as_of_is_its_end_in_the_tenants_time_zone"),
    ("setting.automatic_order_distribution", "settings::orders_are_distributed_only_while_the_setting_says_so"),
    ("setting.portals", "settings::portals_media_and_channels_are_those_of_the_settings"),
    ("setting.media", "settings::portals_media_and_channels_are_those_of_the_settings"),
    ("setting.away_after_minutes", "live::presence_follows_open_screens_and_pauses_but_not_against_ones_own_word"),
    ("setting.upload_max_mebibytes", "uploads::tenants_say_how_large_files_may_be_and_what"),
    ("setting.upload_types", "uploads::tenants_say_how_large_files_may_be_and_what"),
    ("setting.upload_retention_days", "uploads::what_nothing_refers_to_is_deleted_when_its_days_are_over"),
    ("team.enable_channel", "channels::a_team_has_its_mail_at_once_and_its_chat_once_that_is_switched_on"),
    ("team.disable_channel", "channels::a_team_has_its_mail_at_once_and_its_chat_once_that_is_switched_on"),
    ("user.grant_channel_access", "channels::operators_see_what_is_said_take_it_and_lose_sight_of_it"),
    ("user.revoke_channel_access", "channels::operators_see_what_is_said_take_it_and_lose_sight_of_it"),
    ("tenant.rename", "settings::names_aliases_members_and_archived_teams_are_heeded"),
    ("tenant.change_setting", "settings::only_known_settings_with_fitting_values_are_taken"),
    (
        "tenant.enable_feature",
        "settings::a_feature_that_is_off_is_neither_offered_nor_accepted_and_comes_back_as_it_was",
    ),
    (
        "tenant.disable_feature",
        "settings::a_feature_that_is_off_is_neither_offered_nor_accepted_and_comes_back_as_it_was",
    ),
    ("team.rename", "settings::names_aliases_members_and_archived_teams_are_heeded"),
    ("team.change_alias", "settings::names_aliases_members_and_archived_teams_are_heeded"),
    ("team.add_member", "settings::names_aliases_members_and_archived_teams_are_heeded"),
    ("team.remove_member", "settings::names_aliases_members_and_archived_teams_are_heeded"),
    ("team.change_stages", "stages::stages_say_what_they_mean"),
    ("team.publish_help_centre", "forms::a_form_is_built_published_and_taken_away"),
    ("team.unpublish_help_centre", "forms::a_form_is_built_published_and_taken_away"),
    ("team.archive", "settings::names_aliases_members_and_archived_teams_are_heeded"),
    ("team.restore", "settings::names_aliases_members_and_archived_teams_are_heeded"),
    ("user.activate", "references::whoever_is_to_do_something_can_work"),
    ("user.change_profile", "people::rules_and_selectors_compare_text_as_lists_do"),
    ("user.deactivate", "auth::a_revoked_expired_or_orphaned_key_is_worthless"),
    ("user.grant_role", "references::whoever_is_to_do_something_can_work"),
    ("user.revoke_role", "rights::the_last_administrator_is_not_locked_out"),
    ("user.hand_over", "rights::work_is_handed_over_without_leaving_and_what_somebody_else_took_stays_his"),
    (
        "user.disable_second_factor",
        "second_factor::a_link_for_the_password_is_no_way_around_the_code_and_an_administrator_switches_it_off",
    ),
    ("user.unlink_identity", "provider::a_provider_signs_a_colleague_in_and_knows_him_by_its_own_name_from_then_on"),
    ("user.set_presence", "rules::work_is_given_to_whoever_has_least_in_turn_first_or_to_all"),
];

/// The text of a test of this crate.
fn source(test: &str) -> String {
    let (file, name) = test.split_once("::").unwrap();
    let rooms = std::fs::read_dir(root().join("tests/tests/it")).unwrap();
    let files = rooms.filter_map(|room| std::fs::read_to_string(room.unwrap().path().join(format!("{file}.rs"))).ok());
    let head = format!("#[tokio::test]\nasync fn {name}()");
    let mut bodies = files.filter_map(|text| text.split_once(&head).map(|(_, rest)| rest.to_owned()));
    let body = bodies.next().unwrap_or_else(|| panic!("there is no test {test}"));
    body.split_once("\n}\n").unwrap().0.to_owned()
}

/// Whoever adds a setting, or a command that records one, says here who reads it; what nobody reads is said to be so.
#[tokio::test]
async fn every_setting_that_is_offered_has_a_reader_or_is_said_to_have_none() {
    #[derive(Default)]
    struct Commands(BTreeSet<String>, BTreeSet<String>);
    impl catalogue::Visitor for Commands {
        fn visit<A: Aggregate>(&mut self) {
            let named = |command: &str| format!("{}.{command}", A::KIND);
            self.1.extend(A::AHEAD.iter().map(|command| named(command)));
            if ["tenant", "team", "user"].contains(&A::KIND) {
                let commands = A::commands(&mut schemars::SchemaGenerator::default());
                let offered = commands.iter().filter(|command| A::offers(&command.name) && command.name != A::CREATE);
                self.0.extend(offered.map(|command| named(&command.name)));
            }
        }
    }
    let mut known = Commands::default();
    catalogue::visit_all(&mut known);
    let Commands(mut offered, ahead) = known;
    offered.extend(SETTINGS.iter().map(|setting| format!("setting.{}", setting.key)));
    let told: BTreeSet<String> = READERS.iter().map(|(what, _)| (*what).to_owned()).chain(ahead.clone()).collect();
    assert_eq!(offered, told, "what is offered, and what somebody reads or nobody yet");
    for (what, test) in READERS {
        assert!(!ahead.contains(*what), "{what} is read");
        let (_, word) = what.split_once('.').unwrap();
        assert!(source(test).contains(word), "{test} does not speak of {word}");
    }

    let server = Server::start().await;
    let document = server.admin.read("/v1/openapi.json").await;
    for what in ahead {
        let (kind, command) = what.split_once('.').unwrap();
        let plural = catalogue::kind(kind).unwrap().plural;
        let described = &document["paths"][format!("/v1/{plural}/{{id}}/{command}")]["post"]["description"];
        assert!(described.as_str().unwrap().contains("nothing acts on it yet"), "{what}: {described}");
    }
}

#[tokio::test]
async fn names_aliases_members_and_archived_teams_are_heeded() {
    let server = Server::start().await;
    let client = &server.admin;
    client.run("/v1/tenants/current/rename", json!({ "name": "Rossi Srl" })).await;
    let team = client.create("/v1/teams", json!({ "name": "Care", "alias": "care" })).await;
    let other = client.create("/v1/teams", json!({ "name": "Sales" })).await;
    let of = |command: &str| format!("/v1/teams/{team}/{command}");
    client.run(&of("rename"), json!({ "name": "Help" })).await;
    client.post(&format!("/v1/teams/{other}/rename"), json!({ "name": "help" })).await.problem(409, "team_name_taken");
    let alias = |name: &str| json!({ "alias": name });
    let at_other = format!("/v1/teams/{other}/change_alias");
    client.post(&at_other, alias("care")).await.problem(409, "team_alias_taken");
    client.run(&of("change_alias"), alias("help")).await;
    client.run(&at_other, alias("care")).await;
    client.create("/v1/tickets", json!({ "title": "x", "team": team })).await;
    server.settle().await;
    assert_eq!(client.read("/v1/tenants/current").await["name"], "Rossi Srl");
    assert_eq!(texts(&client.read("/v1/tickets").await, "team_name"), ["Help"]);

    // Members are whom a rule finds in the team.
    let sales = role(client, "Sales manager").await;
    let anna = manager(client, &sales, "Anna Ivanova", "Moscow").await;
    let call = json!({ "selector": [{ "team": team }], "actions": [task("Call")] });
    let by_rule = rule(client, "Calls", "order.placed", 10, call).await;
    client.run(&of("add_member"), json!({ "user": anna })).await;
    order(client, "1", json!({})).await;
    server.settle().await;
    client.run(&of("remove_member"), json!({ "user": anna })).await;
    order(client, "2", json!({})).await;
    server.settle().await;
    let chosen: Vec<_> = runs(client, &by_rule).await.iter().map(|run| run["chosen"].clone()).collect();
    assert_eq!(chosen, [json!([anna]), json!([])]);

    client.run(&of("archive"), json!({})).await;
    let asked = json!({ "title": "y", "team": team });
    client.post("/v1/tickets", asked.clone()).await.problem(422, "team_unfit");
    client.run(&of("restore"), json!({})).await;
    client.create("/v1/tickets", asked).await;
}
