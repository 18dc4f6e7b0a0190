//! What is worked out ahead of reports is what the facts say: worlds made by chance, told out of order, counted both ways.

use deskfold_tests::{Client, Server};
use domain::insight::facts::{self, Source};
use serde_json::json;

use crate::{
    insight::{
        facts::Dice,
        reports::{at, open, run, total},
    },
    org::auth::user_with,
    world::{Customer, product, user},
};

const DAYS: usize = 90;

/// An instant of the year's first days; minutes are few, so that many things happen at one instant.
fn instant(day: usize, minute: usize) -> String {
    let day = jiff::civil::date(2026, 1, 1).checked_add(jiff::Span::new().days(day as i64)).unwrap();
    format!("{day}T{:02}:{:02}:00Z", 22 + minute / 60 % 2, minute % 60)
}

/// Tickets and what is done to them, some of it told after what happened later; what is refused is not done.
async fn play(client: &Client, seed: u64) {
    let mut dice = Dice(seed);
    let customer = Customer::new(client).await;
    let users = [user(client, "Anna").await, user(client, "Boris").await, user(client, "Cleo").await];
    let teams = [client.create("/v1/teams", json!({ "name": "North" })).await];
    let category = client.create("/v1/product_categories", json!({ "name": "Boxes" })).await;
    product(client, "Other").await;
    let categorise = format!("/v1/products/{}/categorise", customer.product);
    let mut tickets: Vec<String> = Vec::new();
    let mut day = 0;
    for turn in 0..260 {
        day = (day + dice.below(2)).min(DAYS - 1);
        // One in four is told late.
        let then = if dice.below(4) == 0 { dice.below(DAYS) } else { day };
        let then = instant(then, dice.below(3) * 30);
        if tickets.len() < 3 || dice.below(7) == 0 {
            let asked =
                json!({ "priority": dice.below(4), "requester": { "kind": "contact", "id": customer.contact } });
            tickets.push(open(client, &then, asked).await);
            continue;
        }
        if turn == 130 {
            at(client, &then).post(&categorise, json!({ "category": category })).await;
        }
        let ticket = tickets[dice.below(tickets.len())].clone();
        let other = tickets[dice.below(tickets.len())].clone();
        let user = users[dice.below(users.len())].clone();
        let (command, body) = match dice.below(16) {
            0..=3 => ("assign", json!({ "assignee": user })),
            4 => ("unassign", json!({})),
            5 => ("change_priority", json!({ "priority": dice.below(4) })),
            6 => ("change_team", json!({ "team": teams[0] })),
            7 => ("change_team", json!({ "team": null })),
            8 => ("select_product", json!({ "entitlement": customer.entitlement })),
            9 => ("clear_product", json!({})),
            10 => ("reply", json!({ "body": "Hello" })),
            11 => ("close", json!({})),
            12 => ("resolve", json!({})),
            13 => ("reopen", json!({})),
            14 if ticket != other => ("merge", json!({ "into": other })),
            _ => ("unmerge", json!({})),
        };
        at(client, &then).post(&format!("/v1/tickets/{ticket}/{command}"), body).await;
    }
    let mut chats: Vec<String> = Vec::new();
    for turn in 0..60 {
        let then = instant(dice.below(DAYS), dice.below(3) * 30);
        if turn < 5 {
            let started = json!({ "medium": "live_chat", "visitor": { "name": "Fan" } });
            chats.push(at(client, &then).create("/v1/conversations", started).await);
            continue;
        }
        let chat = chats[dice.below(chats.len())].clone();
        let user = users[dice.below(users.len())].clone();
        let (command, body) = match dice.below(5) {
            0 => ("assign", json!({ "assignee": user })),
            1 => ("close", json!({})),
            2 => ("reopen", json!({})),
            3 => ("send_message", json!({ "body": "Hello" })),
            _ => ("rate", json!({ "score": 1 + dice.below(5) })),
        };
        at(client, &then).post(&format!("/v1/conversations/{chat}/{command}"), body).await;
    }
}

/// The measures of a kind that are worked out ahead, those of levels by themselves: they go with fewer periods.
fn measures(source: &Source) -> [Vec<&'static str>; 2] {
    let ahead = source.measures.iter().filter(|measure| measure.ahead);
    let (levels, others): (Vec<&facts::Measure>, Vec<&facts::Measure>) =
        ahead.partition(|measure| matches!(measure.how, facts::How::Level { .. }));
    [levels, others].map(|all| all.into_iter().map(|measure| measure.name).collect())
}

/// The dimensions by which a report may be divided that is worked out ahead, and pivots of them.
fn divisions(source: &Source, is_level: bool) -> Vec<Vec<&'static str>> {
    let via =
        source.dimensions.iter().filter(|dimension| dimension.via.is_some_and(|(by, ..)| source.ahead.contains(&by)));
    let fields: Vec<&str> = source.ahead.iter().copied().chain(via.map(|dimension| dimension.name)).collect();
    let mut divisions = vec![vec![], vec!["day"], vec!["week"], vec!["month"]];
    divisions.extend(fields.iter().map(|field| vec![*field]));
    divisions.extend(fields.iter().map(|field| vec!["week", *field]));
    divisions.push(source.ahead[..2].to_vec());
    if !is_level {
        divisions.extend([vec!["weekday", "hour_of_day"], vec!["hour", source.ahead[0]]]);
    }
    divisions
}

/// Asks every report both ways; how many there were, and how many counted anything.
async fn compare(client: &Client, tz: &str) -> (usize, usize) {
    let (mut asked, mut counted) = (0, 0);
    for source in facts::counted().filter(|source| !source.ahead.is_empty()) {
        for (is_level, measures) in [true, false].into_iter().zip(measures(source)) {
            for dimensions in divisions(source, is_level) {
                for filter in [json!({}), json!({ "field": "assignee_id", "op": "is_null", "value": false })] {
                    let mut definition = json!({ "of": source.kind, "measures": measures, "dimensions": dimensions });
                    if filter != json!({}) {
                        definition["filter"] = filter;
                    }
                    for range in ["from=2026-01-20&to=2026-02-20", "from=2026-01-01&to=2026-12-31"] {
                        let over = format!("{range}&tz={tz}");
                        let now = run(client, definition.clone(), &over).await;
                        let known = format!("{over}&as_known_at={}", now["position"]);
                        assert_eq!(now, run(client, definition.clone(), &known).await, "{definition} {over}");
                        asked += 1;
                        counted += usize::from(!now["totals"].as_array().unwrap().is_empty());
                    }
                }
            }
        }
    }
    (asked, counted)
}

#[tokio::test]
async fn what_is_worked_out_ahead_is_what_the_facts_say() {
    for (seed, tz) in [(3, "Europe/Rome"), (77, "Asia/Kathmandu")] {
        let server = Server::start().await;
        let admin = &server.admin;
        play(admin, seed).await;
        server.settle().await;
        let (asked, counted) = compare(admin, tz).await;
        assert!(asked > 80 && counted * 3 > asked * 2, "{counted} of {asked} count something");
        // Whoever sees a part of it has that counted.
        let few = ["ticket.read:own", "conversation.read:own", "report.*"];
        let (_, few) = user_with(&server, "few@example.com", &few).await;
        compare(&few, tz).await;
        // And that is how it was counted: what is known at a position follows from the facts, what is known now from items.
        let opened = json!({ "measures": ["opened", "backlog"] });
        let now = run(admin, opened.clone(), "from=2026-01-01&to=2026-12-31").await;
        assert!(total(&now, "opened").as_i64() > Some(10) && total(&now, "backlog").as_i64() > Some(3), "{now}");
        sqlx::query("delete from read_fact_items").execute(&server.database.pool).await.unwrap();
        let known = format!("from=2026-01-01&to=2026-12-31&as_known_at={}", now["position"]);
        assert_eq!(run(admin, opened.clone(), &known).await, now);
        let none = run(admin, opened, "from=2026-01-01&to=2026-12-31").await;
        assert_eq!(total(&none, "opened").as_i64().unwrap_or(0), 0, "{none}");
    }
}
