//! What names a merged record where no column of a list does: custom fields, rules and what calls their runs off, sales,
//! and what other systems call it.

use std::time::Duration;

use deskfold_tests::{Client, Server};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    work::rules::{events, rule, runs, task},
    world::{condition, contact, euros, field, filtered, party, subject, texts, ticket},
};

async fn merge(client: &Client, collection: &str, from: &str, into: &str) {
    client.run(&format!("/v1/{collection}/{from}/merge"), json!({ "into": into })).await;
}

async fn unmerge(client: &Client, collection: &str, id: &str) {
    client.run(&format!("/v1/{collection}/{id}/unmerge"), json!({})).await;
}

#[tokio::test]
async fn custom_fields_of_type_reference_follow_a_merge_in_filters_lists_groups_and_commands() {
    let server = Server::start().await;
    let client = &server.admin;
    let (twin, maria, last) =
        (contact(client, "Twin").await, contact(client, "Maria").await, contact(client, "Last").await);
    field(client, "ticket", "agent", "reference", json!({ "target": "contact" })).await;
    field(client, "ticket", "note", "text", json!({})).await;
    let open = async |agent: &str| {
        let body = json!({ "title": "x", "custom": { "agent": agent, "note": agent } });
        client.create("/v1/tickets", body).await
    };
    let (first, second) = (open(&twin).await, open(&maria).await);
    let nobody = ticket(client, "y").await;
    server.settle().await;
    let head = client.read("/v1/tickets?limit=1").await["position"].clone();
    let shown = async || client.read(&format!("/v1/tickets/{first}")).await;
    let by = async |op: &str, id: &str| {
        let mut found = texts(&client.read(&filtered("/v1/tickets", &condition("custom.agent", op, id))).await, "id");
        found.sort();
        found
    };
    let both = || vec![first.clone(), second.clone()];
    let before = (shown().await["custom"].clone(), by("eq", &twin).await, by("ne", &twin).await);
    assert_eq!(before.1, [&*first]);

    merge(client, "contacts", &twin, &maria).await;
    merge(client, "contacts", &maria, &last).await;
    server.settle().await;
    for id in [&twin, &maria, &last] {
        assert_eq!((by("eq", id).await, by("ne", id).await), (both(), vec![nobody.clone()]), "asked for {id}");
    }
    let ticket = shown().await;
    assert_eq!(ticket["custom"], json!({ "agent": last, "note": twin }), "text is no reference");
    assert_eq!(ticket["custom_names"]["agent"], "Last");
    let only = filtered("/v1/tickets?group=custom.agent&count=exact", &condition("id", "eq", &*first));
    let list = client.read(&only).await;
    assert_eq!((&list["data"][0]["custom"]["agent"], &list["total"]), (&json!(last), &json!(1)));
    let groups = client.read("/v1/tickets?group=custom.agent&limit=1").await;
    assert_eq!(groups["groups"], json!([{ "value": last, "count": 2 }, { "value": null, "count": 1 }]));
    let then = client.read(&format!("/v1/tickets/{first}?as_of={head}")).await;
    assert_eq!(then["custom"]["agent"], json!(twin), "as it was then");

    // A new one is taken for the one that goes on, and the answer says so; what is so already stays so.
    let body = json!({ "title": "z", "custom": { "agent": twin } });
    let made = client.post("/v1/tickets", body).await.expect(StatusCode::CREATED);
    let redirected = json!([{ "pointer": "/custom/agent", "from": twin, "to": last }]);
    assert_eq!((&made["redirected"], &made["events"][0]["data"]["custom"]["agent"]), (&redirected, &json!(last)));
    let set = format!("/v1/tickets/{nobody}/set_custom");
    let dry = client.post(&format!("{set}?dry_run=true"), json!({ "custom": { "agent": twin } })).await;
    assert_eq!(dry.expect(StatusCode::OK)["redirected"], redirected);
    let patched = client.patch(&format!("/v1/tickets/{nobody}"), json!({ "custom": { "agent": twin } })).await;
    assert_eq!(patched.expect(StatusCode::OK)["redirected"], redirected);
    let again = format!("/v1/tickets/{first}/set_custom");
    assert!(client.run(&again, json!({ "custom": { "agent": twin } })).await.is_empty(), "it says so already");
    let lead = json!({ "name": "Oleg" });
    field(client, "lead", "friend", "reference", json!({ "target": "contact" })).await;
    let lead = client.create("/v1/leads", lead).await;
    let patched = client.patch(&format!("/v1/leads/{lead}"), json!({ "custom": { "friend": maria } })).await;
    assert_eq!(patched.expect(StatusCode::OK)["redirected"][0]["to"], json!(last));

    unmerge(client, "contacts", &maria).await;
    unmerge(client, "contacts", &twin).await;
    client.run(&set, json!({ "custom": { "agent": null } })).await;
    client
        .run(
            &format!("/v1/tickets/{}/set_custom", made["id"].as_str().unwrap()),
            json!({ "custom": { "agent": null } }),
        )
        .await;
    server.settle().await;
    assert_eq!((shown().await["custom"].clone(), by("eq", &twin).await), (before.0, before.1));
    assert_eq!(by("eq", &maria).await, [&*second]);
}

/// What the rules of a test say about the last ticket that was resolved: the names of those that matched.
async fn matched(client: &Client, rules: &[(&'static str, String)]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for (name, id) in rules {
        if runs(client, id).await.last().is_some_and(|run| run["status"] != "skipped") {
            names.push(*name);
        }
    }
    names
}

#[tokio::test]
async fn ids_in_the_conditions_of_rules_follow_a_merge_live_in_dry_runs_and_in_backtests() {
    let server = Server::start().await;
    let client = &server.admin;
    let (twin, maria, other) =
        (contact(client, "Twin").await, contact(client, "Maria").await, contact(client, "Other").await);
    field(client, "ticket", "agent", "reference", json!({ "target": "contact" })).await;
    let all = [
        ("twin", condition("ticket.requester_id", "eq", &*twin)),
        ("former name", condition("ticket.requester.id", "eq", &*twin)),
        ("maria", condition("ticket.requester_id", "eq", &*maria)),
        ("listed", condition("ticket.requester_id", "in", json!([other, twin]))),
        ("other", condition("ticket.requester_id", "in", json!([other]))),
        ("not twin", condition("ticket.requester_id", "ne", &*twin)),
        ("unlisted", condition("ticket.requester_id", "not_in", json!([twin]))),
        ("contact", condition("contact.id", "eq", &*twin)),
        ("custom", condition("ticket.custom.agent", "eq", &*twin)),
        ("nobody", json!({ "not": condition("ticket.requester_id", "eq", &*twin) })),
    ];
    let definition = |when: &Value| json!({ "when": when, "on_match": "continue", "actions": [task("Call")] });
    let mut rules = Vec::new();
    for (name, when) in &all {
        rules.push((*name, rule(client, name, "ticket.resolved", 1, definition(when)).await));
    }
    let open = async |requester: &str| {
        let body = json!({ "title": "x", "requester": party("contact", requester), "custom": { "agent": requester } });
        client.create("/v1/tickets", body).await
    };
    let mut resolved = 0;
    let mut resolve = async |ticket: &str| {
        client.run(&format!("/v1/tickets/{ticket}/resolve"), json!({})).await;
        server.settle().await;
        resolved += 1;
        matched(client, &rules).await
    };
    let tickets = [open(&twin).await, open(&maria).await, open(&maria).await, open(&other).await];
    let not_twin = ["not twin", "unlisted", "nobody"];
    let is_twin = ["twin", "former name", "maria", "listed", "contact", "custom"];
    assert_eq!(resolve(&tickets[2]).await, [&["maria"], &not_twin[..]].concat());
    merge(client, "contacts", &twin, &maria).await;
    assert_eq!(resolve(&tickets[0]).await, is_twin);
    assert_eq!(resolve(&tickets[1]).await, is_twin);
    assert_eq!(resolve(&tickets[3]).await, [&["listed", "other"], &not_twin[..]].concat());
    unmerge(client, "contacts", &twin).await;
    client.run(&format!("/v1/tickets/{}/reopen", tickets[1]), json!({})).await;
    assert_eq!(resolve(&tickets[1]).await, [&["maria"], &not_twin[..]].concat());

    // Rehearsed, each event is seen with the merges of its time, as it was live.
    let positions = events(client, "ticket.resolved").await;
    assert_eq!(positions.len(), resolved);
    for ((name, when), (_, live)) in all.iter().zip(&rules) {
        let draft = json!({ "trigger": "ticket.resolved", "definition": definition(when) });
        let live = runs(client, live).await;
        for (event, run) in positions.iter().zip(&live) {
            let asked = json!({ "draft": draft, "position": event["position"] });
            let dry = client.post("/v1/rules/dry_run", asked).await.expect(StatusCode::OK);
            assert_eq!(dry["trace"], run["trace"], "{name}");
            assert_eq!(dry["verdict"] == "matched", run["status"] != "skipped", "{name}");
        }
        let backtest = client.post("/v1/rules/backtest", json!({ "draft": draft })).await.expect(StatusCode::OK);
        let matched = live.iter().filter(|run| run["status"] != "skipped").count();
        assert_eq!((&backtest["totals"]["asked"], &backtest["totals"]["matched"]), (&json!(resolved), &json!(matched)));
    }
    // The trace shows both sides as they were taken.
    let trace = &runs(client, &rules[0].1).await[1]["trace"][0];
    assert_eq!((&trace["value"], &trace["actual"], &trace["holds"]), (&json!(maria), &json!(maria), &json!(true)));
}

#[tokio::test]
async fn what_a_rule_does_to_a_merged_record_is_done_to_the_one_that_goes_on() {
    let server = Server::start().await;
    let client = &server.admin;
    let (twin, maria) = (contact(client, "Twin").await, contact(client, "Maria").await);
    let (part, main) = (ticket(client, "Part").await, ticket(client, "Main").await);
    let command = |kind: &str, id: Value, command: &str, body: Value| {
        let mut action = json!({ "kind": kind, "command": command, "body": body });
        if !id.is_null() {
            action["id"] = id;
        }
        json!({ "command": action })
    };
    let definition = json!({ "actions": [
        command("contact", json!(twin), "tag", json!({ "tag": "asked" })),
        command("ticket", json!(part), "tag", json!({ "tag": "asked" })),
        command("deal", json!(null), "create", json!({ "name": "Follow-up", "contact": twin })),
        command("comment", json!(null), "add", json!({ "subjects": [subject("contact", &twin)], "text": "Seen" })),
        { "create_task": { "title": "Call" } },
    ] });
    let id = rule(client, "Follow up", "lead.created", 1, definition.clone()).await;
    merge(client, "contacts", &twin, &maria).await;
    merge(client, "tickets", &part, &main).await;
    let lead = client.create("/v1/leads", json!({ "name": "Oleg", "contact": maria })).await;
    server.settle().await;
    let run = runs(client, &id).await.remove(0);
    assert_eq!(run["status"], "executed", "{run}");
    let contact = client.read(&format!("/v1/contacts/{maria}")).await;
    let ticket = client.read(&format!("/v1/tickets/{main}")).await;
    assert_eq!((&contact["tags"], &ticket["tags"]), (&json!(["asked"]), &json!(["asked"])));

    // The dry run says the same, and what followed is found.
    let created = events(client, "lead.created").await[0]["position"].clone();
    let draft = json!({ "trigger": "lead.created", "definition": definition });
    let asked = json!({ "draft": draft, "position": created });
    let dry = client.post("/v1/rules/dry_run", asked).await.expect(StatusCode::OK);
    let told = |preparation: &Value| {
        let actions = preparation["actions"].as_array().unwrap();
        [
            actions[0]["id"].clone(),
            actions[1]["id"].clone(),
            actions[2]["body"]["contact"].clone(),
            actions[3]["body"]["subjects"][0]["id"].clone(),
        ]
    };
    assert_eq!(told(&dry["preparation"]), [json!(maria), json!(main), json!(maria), json!(maria)]);
    let backtest = client.post("/v1/rules/backtest", json!({ "draft": draft })).await.expect(StatusCode::OK);
    assert_eq!(told(&backtest["runs"][0]["preparation"]), told(&dry["preparation"]));
    let prepared = events(client, "rule_run.prepared").await;
    assert_eq!(told(&prepared[0]["data"]), told(&dry["preparation"]));
    let effects = client.read(&format!("/v1/events/{created}/effects")).await.to_string();
    assert!(
        effects.contains(&format!("contact-{maria}")) && !effects.contains(&format!("contact-{twin}")),
        "{effects}"
    );
    let tagged = events(client, "contact.tagged").await[0]["position"].clone();
    let why = client.read(&format!("/v1/events/{tagged}/why")).await;
    assert!(why["chain"].to_string().contains(&format!("lead-{lead}")), "{why}");
}

#[tokio::test]
async fn a_waiting_run_is_called_off_by_what_happens_to_the_record_that_goes_on() {
    let server = Server::start().await;
    let client = &server.admin;
    let definition = json!({ "delay_s": 3600, "cancel_on": ["ticket.resolved"], "actions": [task("Ask")] });
    let id = rule(client, "Later", "ticket.opened", 1, definition.clone()).await;
    let mut tickets = Vec::new();
    for title in ["part", "middle", "main", "freed", "kept"] {
        tickets.push(ticket(client, title).await);
    }
    let [part, middle, main, freed, kept] = &tickets[..] else { unreachable!() };
    server.settle().await;
    for (from, into) in [(part, middle), (middle, main), (freed, kept)] {
        merge(client, "tickets", from, into).await;
    }
    // A chain whose middle is taken out takes along what it brought.
    unmerge(client, "tickets", freed).await;
    for ticket in [main, kept] {
        client.run(&format!("/v1/tickets/{ticket}/resolve"), json!({})).await;
    }
    server.settle().await;
    let statuses = async || runs(client, &id).await.iter().map(|run| run["status"].clone()).collect::<Vec<_>>();
    assert_eq!(statuses().await, ["cancelled", "cancelled", "cancelled", "pending", "cancelled"]);

    // The other way round: the event names the merged one, and the run waits for the one that goes on.
    let (twin, maria) = (contact(client, "Twin").await, contact(client, "Maria").await);
    let draft = json!({ "delay_s": 3600, "cancel_on": ["deal.won"], "actions": [task("Ask")] });
    let calls = rule(client, "Calls", "contact.tagged", 1, draft.clone()).await;
    let deal = client.create("/v1/deals", json!({ "name": "Sale", "contact": twin })).await;
    client.run(&format!("/v1/contacts/{maria}/tag"), json!({ "tag": "vip" })).await;
    merge(client, "contacts", &twin, &maria).await;
    client.run(&format!("/v1/deals/{deal}/win"), json!({})).await;
    server.settle().await;
    assert_eq!(runs(client, &calls).await[0]["status"], "cancelled");

    server.app.advance(Duration::from_secs(3610));
    server.settle().await;
    assert_eq!(statuses().await, ["cancelled", "cancelled", "cancelled", "executed", "cancelled"]);
    for (trigger, definition, called_off, executed) in
        [("ticket.opened", &definition, 4, 1), ("contact.tagged", &draft, 1, 0)]
    {
        let body = json!({ "draft": { "trigger": trigger, "definition": definition } });
        let totals = client.post("/v1/rules/backtest", body).await.expect(StatusCode::OK)["totals"].clone();
        assert_eq!((&totals["cancelled_by_event"], &totals["executed"]), (&json!(called_off), &json!(executed)));
    }
}

#[tokio::test]
async fn a_sale_is_found_by_its_contacts_through_a_merge_and_stays_one_sale() {
    let server = Server::start().await;
    let client = &server.admin;
    let (twin, maria, ada) =
        (contact(client, "Twin").await, contact(client, "Maria").await, contact(client, "Ada").await);
    let flat = client.create("/v1/properties", json!({ "name": "Flat" })).await;
    let deal = client.create("/v1/deals", json!({ "name": "Sale" })).await;
    let sale = |contacts: &[&str]| json!({ "property": flat, "contacts": contacts, "price": euros("310000") });
    let record = format!("/v1/deals/{deal}/record");
    client.run(&record, sale(&[&twin, &ada])).await;
    server.settle().await;
    let of = async |contact: &str| {
        texts(&client.read(&filtered("/v1/deals", &condition("sale.contacts", "contains", contact))).await, "id")
    };
    let shown = async || client.read(&format!("/v1/deals/{deal}")).await["sale"].clone();
    let before = shown().await;
    assert_eq!((of(&twin).await, of(&maria).await), (vec![deal.clone()], vec![]));

    merge(client, "contacts", &twin, &maria).await;
    server.settle().await;
    for contact in [&twin, &maria, &ada] {
        assert_eq!(of(contact).await, [&*deal], "{contact}");
    }
    let contacts: Vec<Value> = shown().await["contacts"].as_array().unwrap().clone();
    assert!(contacts.len() == 2 && contacts.contains(&json!(maria)) && contacts.contains(&json!(ada)), "{contacts:?}");
    let groups = client.read("/v1/deals?group=sale.contacts&limit=1").await["groups"].clone();
    assert!(groups.as_array().unwrap().contains(&json!({ "value": maria, "count": 1 })), "{groups}");
    // Told again, by either name, it is the same sale; and it is not sold twice.
    for again in [&twin, &maria] {
        assert!(client.run(&record, sale(&[again, &ada])).await.is_empty());
    }
    let other = client.create("/v1/deals", json!({ "name": "Other" })).await;
    let taken = client.post(&format!("/v1/deals/{other}/record"), sale(&[&maria])).await;
    taken.problem(409, "deal_property_sold");

    unmerge(client, "contacts", &twin).await;
    server.settle().await;
    assert_eq!((shown().await, of(&maria).await), (before, vec![]));
}

#[tokio::test]
async fn what_other_systems_call_a_merged_record_leads_to_the_one_that_goes_on() {
    let server = Server::start().await;
    let client = &server.admin;
    for (collection, name) in [("contacts", "Twin"), ("companies", "Twin Srl")] {
        let path = format!("/v1/{collection}/by/external/shop/7");
        let twin = client.put(&path, json!({ "name": name })).await.json()["id"].as_str().unwrap().to_owned();
        let main = client.create(&format!("/v1/{collection}"), json!({ "name": "Main" })).await;
        let last = client.create(&format!("/v1/{collection}"), json!({ "name": "Last" })).await;
        merge(client, collection, &twin, &main).await;
        merge(client, collection, &main, &last).await;
        assert_eq!(client.read(&path).await["id"], json!(last));
        let put = client.put(&path, json!({ "name": "Told anew", "tags": ["vip"] })).await.expect(StatusCode::OK);
        assert_eq!(put["id"], json!(last));
        server.settle().await;
        let shown = client.read(&format!("/v1/{collection}/{last}")).await;
        assert_eq!((&shown["name"], &shown["tags"]), (&json!("Told anew"), &json!(["vip"])));
        unmerge(client, collection, &main).await;
        unmerge(client, collection, &twin).await;
        assert_eq!(client.read(&path).await["id"], json!(twin));
    }
}
