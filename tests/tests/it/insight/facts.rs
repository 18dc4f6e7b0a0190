//! Every kind that reports count: a year of all of them, counted by Deskfold and, from the events alone, by a program with pandas;
//! what numbers became between two knowings; the past; and business time.

use std::{collections::BTreeMap, fs, path::Path, process::Stdio};

use deskfold_tests::{Client, Server, root};
use domain::{
    Id,
    insight::facts::{self, How, Source, Unit},
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    insight::reports::{at, does, numbers, open, run, total},
    kernel::clients::python,
    org::auth::user_with,
    world::{contact, euros, field, product, subject, texts, user},
};

/// All of the year, to the day after the tests are run.
const YEAR: &str = "from=2026-01-01&to=2027-01-01&tz=Europe/Rome";

/// A sequence that looks random and is the same every time.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

/// Whom and what the records are about.
struct Cast {
    users: Vec<String>,
    contacts: Vec<String>,
    companies: Vec<String>,
    projects: Vec<String>,
    properties: Vec<String>,
    labels: Vec<String>,
}

impl Cast {
    async fn new(client: &Client) -> Cast {
        let mut cast = Cast {
            users: Vec::new(),
            contacts: Vec::new(),
            companies: Vec::new(),
            projects: Vec::new(),
            properties: Vec::new(),
            labels: Vec::new(),
        };
        for name in ["Anna", "Boris", "Cleo"] {
            cast.users.push(user(client, name).await);
            cast.contacts.push(contact(client, &format!("{name}'s customer")).await);
            let named = json!({ "name": name });
            cast.companies.push(client.create("/v1/companies", named.clone()).await);
            cast.projects.push(client.create("/v1/projects", named.clone()).await);
            cast.labels.push(client.create("/v1/labels", json!({ "name": name, "preset": true })).await);
            cast.properties.push(client.create("/v1/properties", json!({ "name": name, "purpose": "rent" })).await);
        }
        for kind in ["deal", "lead"] {
            field(client, kind, "size", "text", json!({})).await;
        }
        cast
    }

    /// A record of a kind as it begins.
    fn begins(&self, kind: &str, dice: &mut Dice) -> Value {
        let one = |dice: &mut Dice, of: &[String]| of.get(dice.below(of.len() + 1)).cloned();
        let (user, contact, company) = (one(dice, &self.users), one(dice, &self.contacts), one(dice, &self.companies));
        let city = [json!("Rome"), json!("Riga"), json!(null)][dice.below(3)].clone();
        let cents = 100 + dice.below(100_000);
        let amount =
            json!({ "amount": format!("{}.{:02}", cents / 100, cents % 100), "currency": dice.of(&["EUR", "USD"]) });
        let amount = if dice.below(5) == 0 && kind != "order" { json!(null) } else { amount };
        let source = dice.of(&["web", "shop", "fair"]);
        let tags: Vec<&str> = ["new", "vip"].into_iter().filter(|_| dice.below(3) == 0).collect();
        let mut body = match kind {
            "task" => json!({ "title": "Call", "priority": dice.below(4), "assignee": user,
                "project": one(dice, &self.projects) }),
            "order" => {
                json!({ "source": source, "city": city, "total": amount, "customer": contact, "company": company })
            }
            "deal" => json!({ "name": "Flat", "amount": amount, "contact": contact, "company": company, "owner": user,
                "pipeline": dice.of(&["sales", "rent"]), "tags": tags, "custom": { "size": dice.of(&["s", "xl"]) } }),
            "lead" => json!({ "name": "Oleg", "source": source, "city": city, "amount": amount, "owner": user,
                "contact": contact, "tags": tags, "custom": { "size": dice.of(&["s", "xl"]) } }),
            "enquiry" => json!({ "name": "A flat", "contact": self.contacts[dice.below(3)], "source": source,
                "owner": user, "tags": tags }),
            "offer" => {
                json!({ "contact": self.contacts[dice.below(3)], "properties": [self.properties[dice.below(3)]] })
            }
            "call" => json!({ "from": "+39 06 555 0101", "to": dice.of(&["+39 06 555 0102", "+39 06 555 0103"]),
                "contact": contact }),
            "conversation" => json!({ "medium": dice.of(&["live_chat", "telegram"]), "contact": contact }),
            kind => panic!("nobody knows how a {kind} begins"),
        };
        body.as_object_mut().unwrap().retain(|name, value| !value.is_null() || name == "owner");
        body
    }

    /// Something that may be asked of it, and may be refused.
    fn goes_on(&self, kind: &str, dice: &mut Dice) -> (&'static str, Value) {
        let (user, contact) = (&self.users[dice.below(3)], &self.contacts[dice.below(3)]);
        let cents = 100 + dice.below(100_000);
        let amount =
            json!({ "amount": format!("{}.{:02}", cents / 100, cents % 100), "currency": dice.of(&["EUR", "USD"]) });
        let stages = |dice: &mut Dice, all: &[&str]| json!({ "stage": dice.of(all) });
        let tag = json!({ "tag": dice.of(&["vip", "old"]) });
        let message = Id::from_bits(u128::from(dice.0)).to_string();
        let owner = json!({ "owner": if dice.below(4) == 0 { json!(null) } else { json!(user) } });
        let general = [
            ("tag", tag.clone()),
            ("untag", tag),
            ("change_owner", owner),
            ("archive", json!({})),
            ("restore", json!({})),
            ("restore", json!({})),
            ("edit", json!({ "custom": { "size": dice.of(&["s", "m", "xl"]) } })),
        ];
        let city = dice.of(&["Rome", "Oslo"]);
        let own: Vec<(&'static str, Value)> = match kind {
            "task" => vec![
                ("assign", json!({ "assignee": user })),
                ("assign", json!({ "assignee": user })),
                ("unassign", json!({})),
                ("start", json!({})),
                ("complete", json!({ "outcome": "Done" })),
                ("complete", json!({})),
                ("reopen", json!({})),
                ("cancel", json!({})),
                ("edit", json!({ "priority": dice.below(4) })),
                ("edit", json!({ "project": self.projects[dice.below(3)] })),
                ("change_due", json!({ "due_at": format!("2026-1{}-05T10:00:00Z", dice.below(2)) })),
            ],
            "order" => vec![
                ("change_status", json!({ "status": dice.of(&["confirmed", "packed", "sent"]) })),
                ("change_status", json!({ "status": dice.of(&["confirmed", "packed", "sent"]) })),
                ("pay", json!({ "amount": amount })),
                ("pay", json!({ "amount": euros("900") })),
                ("amend", json!({ "total": amount })),
                ("amend", json!({ "city": city })),
                ("amend", json!({ "customer": contact })),
                ("cancel", json!({})),
            ],
            "deal" => vec![
                ("move_stage", stages(dice, &["qualified", "proposal", "contract"])),
                ("move_stage", stages(dice, &["qualified", "proposal", "contract"])),
                ("edit", json!({ "amount": amount })),
                ("edit", json!({ "contact": contact })),
                ("win", json!({})),
                ("win", json!({})),
                ("lose", json!({ "reason": "Too dear" })),
                ("reopen", json!({})),
                ("record", json!({ "property": self.properties[dice.below(3)], "price": amount })),
            ],
            "lead" => vec![
                ("move_stage", stages(dice, &["contacted", "qualified"])),
                ("edit", json!({ "city": city })),
                ("edit", json!({ "amount": amount })),
                ("convert", json!({ "contact": contact })),
                ("convert", json!({ "contact": contact })),
                ("lose", json!({})),
                ("reopen", json!({})),
            ],
            "enquiry" => vec![
                ("move_stage", stages(dice, &["searching", "viewing"])),
                ("note_external_offer", json!({ "text": "By the river" })),
                ("close", json!({ "outcome": dice.of(&["bought", "gone"]) })),
                ("reopen", json!({})),
                ("edit", json!({ "source": "fair" })),
            ],
            "offer" => vec![
                ("send", json!({ "medium": dice.of(&["email", "post"]), "repeat_reason": "Cheaper now" })),
                ("send", json!({ "medium": "email", "repeat_reason": "Cheaper now" })),
                ("mark_opened", json!({})),
                ("accept", json!({})),
                ("decline", json!({})),
            ],
            "call" => vec![
                ("answer", json!({ "user": user })),
                ("answer", json!({ "user": user })),
                ("miss", json!({})),
                ("link_contact", json!({ "contact": contact })),
                ("end", json!({ "duration_s": dice.below(3000) })),
            ],
            "conversation" => vec![
                ("hand_over", json!({})),
                ("receive_message", json!({ "body": "Hello" })),
                ("receive_message", json!({ "body": "And?" })),
                ("send_message", json!({ "body": "Yes", "message_id": message })),
                ("send_message", json!({ "body": "No", "message_id": message })),
                ("assign", json!({ "assignee": user })),
                ("unassign", json!({})),
                ("label", json!({ "label": self.labels[dice.below(3)] })),
                ("unlabel", json!({ "label": self.labels[dice.below(3)] })),
                ("close", json!({})),
                ("reopen", json!({})),
                ("rate", json!({ "score": 1 + dice.below(5) })),
                ("link_contact", json!({ "contact": contact })),
            ],
            kind => panic!("nobody knows what becomes of a {kind}"),
        };
        let common = matches!(kind, "deal" | "lead" | "enquiry") && dice.below(3) == 0;
        let all: &[(&'static str, Value)] = if common { &general } else { &own };
        all[dice.below(all.len())].clone()
    }
}

/// A year in which a bit of everything happens, some of it told late. The position at which half of it was known.
async fn a_year(server: &Server) -> i64 {
    let client = &server.admin;
    let cast = Cast::new(client).await;
    let mut dice = Dice(41);
    let handed = json!({ "selector": [{ "user": cast.users[0] }], "actions": [{ "create_task": { "title": "Confirm" } }],
        "when": { "field": "order.city", "op": "eq", "value": "Rome" } });
    let later = json!({ "actions": [{ "create_task": { "title": "Ask" } }], "delay_s": 31_000_000,
        "when": { "field": "order.source", "op": "eq", "value": "web" } });
    for (rank, definition) in [(1, handed), (2, later)] {
        let rule = json!({ "name": format!("Rule {rank}"), "trigger": "order.placed", "rank": rank, "definition": definition });
        let rule = client.create("/v1/rules", rule).await;
        client.post(&format!("/v1/rules/{rule}/enable"), json!({})).await;
    }
    server.settle().await;
    let kinds = ["task", "order", "deal", "lead", "enquiry", "offer", "call", "conversation"];
    let mut enquiries: Vec<String> = Vec::new();
    let mut known = 0;
    for half in 0..2 {
        for kind in kinds {
            for _ in 0..9 {
                let mut minute =
                    i64::try_from(dice.below(400_000)).unwrap() * 60 + i64::try_from(dice.below(60)).unwrap();
                let instant = |second: i64| (jiff::Timestamp::from_second(1_767_225_600 + second).unwrap()).to_string();
                let mut body = cast.begins(kind, &mut dice);
                if kind == "offer" && !enquiries.is_empty() && dice.below(3) > 0 {
                    body["enquiry"] = json!(enquiries[dice.below(enquiries.len())]);
                    body.as_object_mut().unwrap().remove("contact");
                }
                let plural = domain::catalogue::kind(kind).unwrap().plural;
                // What is offered again, or to whoever no longer looks, is refused.
                let begun = at(client, &instant(minute)).post(&format!("/v1/{plural}"), body).await;
                if kind == "offer" && begun.status.is_client_error() {
                    continue;
                }
                let id = begun.expect(StatusCode::CREATED)["id"].as_str().unwrap().to_owned();
                if kind == "enquiry" {
                    enquiries.push(id.clone());
                }
                for _ in 0..2 + dice.below(8) {
                    let (command, body) = cast.goes_on(kind, &mut dice);
                    // Now and then something is told that happened before what was told already.
                    let step = i64::try_from(dice.below(900_000)).unwrap();
                    minute += if dice.below(8) == 0 { -step / 3 } else { step };
                    let path = format!("/v1/{plural}/{id}/{command}");
                    let message = body["message_id"].clone();
                    let reply = at(client, &instant(minute.max(0))).post(&path, body).await;
                    assert!(reply.status.is_success() || reply.status.is_client_error(), "{path}: {}", reply.text);
                    // What was written leaves a little later.
                    if !message.is_null() && reply.status.is_success() && dice.below(4) > 0 {
                        minute += i64::try_from(dice.below(9000)).unwrap();
                        let sent = format!("/v1/{plural}/{id}/mark_message_sent");
                        let message = json!({ "message_id": message });
                        at(client, &instant(minute.max(0))).post(&sent, message).await.expect(StatusCode::OK);
                    }
                }
            }
        }
        if half == 0 {
            let into = json!({ "into": cast.contacts[1] });
            client.run(&format!("/v1/contacts/{}/merge", cast.contacts[0]), into).await;
            server.settle().await;
            let report = run(client, json!({ "measures": ["opened"] }), YEAR).await;
            known = report["position"].as_i64().unwrap();
        }
    }
    server.settle().await;
    let pending = client
        .read("/v1/rule_runs?filter={%22field%22:%22status%22,%22op%22:%22eq%22,%22value%22:%22pending%22}")
        .await;
    client.run(&format!("/v1/rule_runs/{}/cancel", texts(&pending, "id")[0]), json!({})).await;
    server.settle().await;
    known
}

/// The kinds whose every number is checked here; tickets are in `history.rs` and `reports.rs`.
fn checked() -> impl Iterator<Item = &'static Source> {
    facts::counted().filter(|source| source.kind != "ticket")
}

fn measures(source: &Source, cyclic: bool) -> Vec<&'static str> {
    let fit = source.measures.iter().filter(|measure| !cyclic || !matches!(measure.how, How::Level { .. }));
    fit.map(|measure| measure.name).collect()
}

/// What is asked of a kind: by each dimension, by months, by hours of work, as values are now, and as it was.
fn questions(source: &Source, known: i64) -> Vec<(Value, String)> {
    let zone = "Europe/Rome";
    let of = |dimensions: Value, more: Value| {
        let cyclic = dimensions.as_array().unwrap().iter().any(|name| name == "weekday" || name == "hour_of_day");
        let mut definition = json!({ "of": source.kind, "measures": measures(source, cyclic), "dimensions": dimensions,
            "time_zone": zone });
        definition.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        definition
    };
    let calendar = json!({ "holidays": ["2026-04-06", "2026-08-15"], "hours": [
        { "weekdays": [1, 2, 3, 4, 5], "from": "09:00", "to": "17:30" }, { "weekdays": [6, 7], "from": "00:30", "to": "03:15" } ] });
    let mut asked: Vec<(Value, String)> = Vec::new();
    let mut dimensions: Vec<&str> = source.dimensions.iter().map(|dimension| dimension.name).collect();
    if matches!(source.kind, "deal" | "lead") {
        dimensions.push("custom.size");
    }
    for dimension in &dimensions {
        asked.push((of(json!([dimension]), json!({})), String::new()));
    }
    let first = dimensions[0];
    asked.push((of(json!([]), json!({})), String::new()));
    asked.push((of(json!(["month"]), json!({})), String::new()));
    asked.push((of(json!(["weekday"]), json!({})), String::new()));
    asked.push((of(json!(["week", dimensions[1]]), json!({})), String::new()));
    asked.push((of(json!(["month"]), json!({ "calendar": calendar })), String::new()));
    asked.push((of(json!([first]), json!({ "values": "now" })), String::new()));
    asked.push((of(json!(["month"]), json!({})), format!("&as_known_at={known}")));
    asked.push((of(json!([first]), json!({ "values": "now" })), "&as_of=2026-05-31".to_owned()));
    asked.push((of(json!(["month"]), json!({ "calendar": calendar })), format!("&as_of=2026-05-31&known_at={known}")));
    asked
}

/// All events, page by page, as the API shows them.
async fn log(client: &Client) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(json!(0), |event| event["position"].clone());
        let page = client.read(&format!("/v1/events?limit=1000&after={after}")).await;
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        if page["next"].is_null() {
            return all;
        }
    }
}

#[tokio::test]
async fn every_number_of_every_kind_is_the_one_that_pandas_makes_of_the_events() {
    if !python().args(["-c", "import pandas"]).output().is_ok_and(|tried| tried.status.success()) {
        eprintln!("SKIPPED: pandas is not installed; deploy/install-prerequisites.sh puts it into target/python");
        return;
    }
    let server = Server::start().await;
    let client = &server.admin;
    let known = a_year(&server).await;
    let mut answers = Vec::new();
    for source in checked() {
        for (definition, past) in questions(source, known) {
            let report = run(client, definition.clone(), &format!("{YEAR}{past}")).await;
            answers.push(json!({
                "definition": definition, "rows": report["rows"], "totals": report["totals"], "known": report["position"],
                "as_of": report["as_of"], "from": report["range"]["from"], "to": report["range"]["to"],
            }));
        }
    }
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("events.json"), Value::from(log(client).await).to_string()).unwrap();
    fs::write(directory.path().join("answers.json"), Value::from(answers).to_string()).unwrap();
    let told = by_hand(directory.path()).await;
    eprintln!("{told}");
}

async fn by_hand(directory: &Path) -> String {
    let mut check = python();
    check.arg(root().join("tests/facts.py")).arg(directory).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || check.output().unwrap()).await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    told
}

/// Every measure of every kind by every dimension: as many records as the number says, and of money as much.
#[tokio::test]
async fn behind_every_number_of_every_kind_are_the_records_that_it_counts() {
    let server = Server::start().await;
    let client = &server.admin;
    let known = a_year(&server).await;
    let (mut looked_at, mut counted) = (0, 0);
    for source in checked() {
        let mut seen = 0;
        for (definition, past) in questions(source, known) {
            let report = run(client, definition.clone(), &format!("{YEAR}{past}")).await;
            let over = format!("{YEAR}&as_known_at={}", report["position"]);
            let as_of = report["as_of"].as_str().map(|then| format!("&as_of={then}")).unwrap_or_default();
            let all = report["rows"].as_array().unwrap().iter().chain(report["totals"].as_array().unwrap());
            let all: Vec<&Value> = all.collect();
            for measure in definition["measures"].as_array().unwrap().iter().filter_map(Value::as_str) {
                let unit = source.measure(measure).unwrap().unit;
                let told: Vec<&Value> = all.iter().copied().filter(|row| !row["values"][measure].is_null()).collect();
                // Each number would be thousands of requests: two of each measure and dimension.
                for row in
                    [told.len() / 3, told.len().saturating_sub(1)].into_iter().filter_map(|place| told.get(place))
                {
                    let cell = row["key"].to_string().replace('"', "%22").replace('+', "%2B");
                    let path = format!("/v1/reports/records?measure={measure}&cell={cell}&{over}{as_of}&limit=1000");
                    let page = client.post(&path, definition.clone()).await.expect(StatusCode::OK);
                    let found = page["data"].as_array().unwrap();
                    let value = &row["values"][measure];
                    if unit == Unit::Money {
                        let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
                        for item in found {
                            let amount: f64 = item["money"]["amount"].as_str().unwrap().parse().unwrap();
                            *sums.entry(item["money"]["currency"].as_str().unwrap()).or_default() += amount;
                        }
                        let told = value.as_object().unwrap();
                        assert_eq!(sums.len(), told.len(), "{}: {measure}: {row}", source.kind);
                        for (currency, sum) in sums {
                            let told: f64 = told[currency].as_str().unwrap().parse().unwrap();
                            assert!((told - sum).abs() < 1e-6, "{}: {measure}: {sum} of {row}", source.kind);
                        }
                    } else {
                        let number = value.as_i64().or_else(|| value["count"].as_i64()).unwrap();
                        let sum = found.iter().filter_map(|item| item["value"].as_f64()).sum::<f64>();
                        assert_eq!(found.len() as i64, number, "{}: {measure}: {row}", source.kind);
                        let told = value["sum"].as_f64().unwrap_or_default();
                        assert!((sum - told).abs() < 1e-3, "{}: {measure}: {sum} of {row}", source.kind);
                    }
                    looked_at += 1;
                    counted += found.len();
                    seen += found.len();
                }
            }
        }
        assert!(seen > 20, "nothing of {} was counted", source.kind);
    }
    assert!(looked_at > 1000 && counted > 2000, "{looked_at} numbers, {counted} records");
}

#[tokio::test]
async fn what_numbers_became_is_told_with_the_records_and_the_events_that_made_it() {
    let server = Server::start().await;
    let admin = &server.admin;
    let first = open(admin, "2026-01-10T10:00:00Z", json!({})).await;
    let second = open(admin, "2026-01-20T10:00:00Z", json!({ "priority": 3 })).await;
    does(admin, "2026-02-05T10:00:00Z", &first, "close", json!({})).await;
    does(admin, "2026-02-06T10:00:00Z", &second, "close", json!({})).await;
    server.settle().await;
    let definition = json!({ "measures": ["opened", "closed", "resolution"], "dimensions": ["month"] });
    let report = admin.create("/v1/reports", json!({ "name": "Work", "definition": definition })).await;
    let over = "from=2026-01-01&to=2026-03-31&tz=UTC";
    let path = format!("/v1/reports/{report}");
    let known = admin.read(&format!("{path}/data?{over}")).await["position"].as_i64().unwrap();
    let same = admin.read(&format!("{path}/changes?{over}&known_from={known}")).await;
    assert_eq!((&same["rows"], &same["totals"]), (&json!([]), &json!([])));

    // An import comes late, one ticket turns out to have been reopened, another to have been closed a day earlier.
    let late = open(admin, "2026-01-15T10:00:00Z", json!({ "title": "Told late" })).await;
    does(admin, "2026-03-01T10:00:00Z", &first, "reopen", json!({})).await;
    does(admin, "2026-02-05T10:00:00Z", &second, "close", json!({})).await;
    does(admin, "2026-02-04T10:00:00Z", &second, "reopen", json!({})).await;
    does(admin, "2026-02-05T10:00:00Z", &second, "close", json!({})).await;
    server.settle().await;
    let told = admin.read(&format!("{path}/changes?{over}&known_from={known}")).await;
    let rows = told["rows"].as_array().unwrap();
    let row = |month: &str| rows.iter().find(|row| row["key"]["month"] == month).unwrap_or_else(|| panic!("{told}"));
    assert_eq!(row("2026-01")["values"], json!({ "opened": { "before": 2, "after": 3 } }));
    let february = &row("2026-02")["values"];
    assert_eq!(february["closed"], json!({ "before": 2, "after": 1 }));
    assert_eq!(
        (&february["resolution"]["before"]["count"], &february["resolution"]["after"]["count"]),
        (&json!(2), &json!(1))
    );
    assert!(february.get("opened").is_none() && !rows.iter().any(|row| row["key"]["month"] == "2026-03"), "{told}");
    let whole = told["totals"].as_array().unwrap().iter().find(|row| row["key"] == json!({})).unwrap();
    assert_eq!(whole["values"]["opened"], json!({ "before": 2, "after": 3 }));

    // The records behind: what came, what went, and what became known of each.
    let link = told["links"]["records"].as_str().unwrap();
    let came = admin.read(&format!("{link}&measure=opened&cell={{%22month%22:%222026-01%22}}")).await;
    let [one] = came["data"].as_array().unwrap().as_slice() else { panic!("{came}") };
    assert_eq!((&one["change"], &one["id"], &one["name"]), (&json!("came"), &json!(late), &json!("Told late")));
    let [event] = one["events"].as_array().unwrap().as_slice() else { panic!("{one}") };
    assert_eq!((&event["type"], &event["position"]), (&json!("ticket.opened"), &one["position"]));
    assert!(event["position"].as_i64().unwrap() > known && event["occurred_at"] == "2026-01-15T10:00:00Z");
    let went = admin.read(&format!("{link}&measure=closed")).await;
    let gone: Vec<_> = went["data"].as_array().unwrap().iter().filter(|one| one["id"] == json!(first)).collect();
    assert_eq!(gone.len(), 1, "{went}");
    let last = gone[0]["events"].as_array().unwrap().last().unwrap();
    assert_eq!((&gone[0]["change"], &last["type"]), (&json!("went"), &json!("ticket.reopened")));
    // One page after the other is all of them.
    let mut paged = Vec::new();
    let mut after = String::new();
    loop {
        let page = admin.read(&format!("{link}&measure=resolution&limit=1{after}")).await;
        paged.extend(page["data"].as_array().unwrap().iter().map(|one| (one["id"].clone(), one["change"].clone())));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let all = admin.read(&format!("{link}&measure=resolution")).await;
    let all: Vec<_> =
        all["data"].as_array().unwrap().iter().map(|one| (one["id"].clone(), one["change"].clone())).collect();
    assert_eq!(paged, all);
    assert!(all.contains(&(json!(first), json!("went"))), "{all:?}");

    // The same of one that is not saved, as CSV, and nonsense.
    let body = json!({ "measures": ["opened", "resolution"], "dimensions": ["priority"] });
    let csv = admin.post(&format!("/v1/reports/changes?{over}&known_from={known}&format=csv"), body.clone()).await;
    let csv = csv.expect_text();
    assert!(csv.starts_with("priority,measure,before,after\r\n"), "{csv}");
    assert!(
        csv.lines().any(|line| line == "0,opened,1,2")
            && csv.lines().any(|line| line.starts_with("0,resolution.count,1,")),
        "{csv}"
    );
    let path = format!("/v1/reports/changes/records?{over}&known_from={known}&known_to={known}");
    assert_eq!(admin.post(&path, body.clone()).await.expect(StatusCode::OK)["data"], json!([]));
    for (query, code, pointer) in [
        ("known_from=soon".into(), "as_of_invalid", "/known_from"),
        (format!("known_from={}&known_to={known}", known + 1), "report_range_invalid", "/known_from"),
        ("known_from=9000000000".into(), "position_ahead", "/known_from"),
    ] {
        let refused = admin.post(&format!("/v1/reports/changes?{query}"), body.clone()).await.problem(422, code);
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{query}");
    }
    // Before anything was known there was nothing.
    let all = admin.post(&format!("/v1/reports/changes?{over}"), body.clone()).await.expect(StatusCode::OK);
    assert_eq!((&all["known_from"], &all["rows"].as_array().unwrap().len()), (&json!(0), &2), "{all}");
    let list = json!({ "columns": ["number"] });
    admin.post(&format!("/v1/reports/changes?known_from={known}"), list).await.problem(422, "report_shape_invalid");
    // Whoever sees none of them is told of none.
    let (_, own) = user_with(&server, "eva@example.com", &["*:own"]).await;
    let hers =
        own.post(&format!("/v1/reports/changes?{over}&known_from={known}"), body.clone()).await.expect(StatusCode::OK);
    assert_eq!((&hers["rows"], &hers["totals"]), (&json!([]), &json!([])));
    let hers =
        own.post(&format!("/v1/reports/changes/records?{over}&known_from={known}"), body).await.expect(StatusCode::OK);
    assert_eq!(hers["data"], json!([]));
}

#[tokio::test]
async fn what_counts_with_another_value_is_told_with_the_one_before() {
    let server = Server::start().await;
    let admin = &server.admin;
    let deal = json!({ "name": "Flat", "amount": euros("100.00") });
    let deal = at(admin, "2026-01-10T10:00:00Z").create("/v1/deals", deal).await;
    at(admin, "2026-02-10T10:00:00Z").run(&format!("/v1/deals/{deal}/win"), json!({})).await;
    server.settle().await;
    let definition = json!({ "of": "deal", "measures": ["won_value", "time_to_win"] });
    let known = run(admin, definition.clone(), YEAR).await["position"].as_i64().unwrap();
    at(admin, "2026-02-20T10:00:00Z").run(&format!("/v1/deals/{deal}/reopen"), json!({})).await;
    // Back then it was worth more already, as is told only now.
    at(admin, "2026-01-20T10:00:00Z")
        .run(&format!("/v1/deals/{deal}/edit"), json!({ "amount": euros("250.50") }))
        .await;
    at(admin, "2026-02-10T10:00:00Z").run(&format!("/v1/deals/{deal}/tag"), json!({ "tag": "late" })).await;
    server.settle().await;
    let early = run(admin, definition.clone(), &format!("{YEAR}&as_of=2026-02-15")).await;
    assert_eq!(total(&early, "won_value"), json!({ "EUR": "250.50" }));
    assert_eq!(total(&run(admin, definition.clone(), YEAR).await, "won_value"), json!(null), "it was reopened");
    let open = json!({ "of": "deal", "measures": ["open_value"], "dimensions": ["month"] });
    let worth = run(admin, open.clone(), "from=2026-01-01&to=2026-03-31&tz=UTC").await;
    let expected = ["2026-01", "2026-02", "2026-03"].map(|month| (json!(month), json!({ "EUR": "250.50" })));
    assert_eq!(numbers(&worth, "month", "open_value"), expected, "won on a day between two ends of months");
    let path = format!("/v1/reports/changes/records?from=2026-01-01&to=2026-01-31&tz=UTC&known_from={known}");
    let changed = admin.post(&path, open).await.expect(StatusCode::OK);
    let [one] = changed["data"].as_array().unwrap().as_slice() else { panic!("{changed}") };
    assert_eq!((&one["change"], &one["id"]), (&json!("changed"), &json!(deal)));
    assert_eq!((&one["money_before"], &one["money"]), (&euros("100.00"), &euros("250.50")));
    let types: Vec<_> = one["events"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["deal.reopened", "deal.amount_changed", "deal.tagged"]);
}

#[tokio::test]
async fn reports_lists_of_reports_and_dashboards_are_as_they_were() {
    let server = Server::start().await;
    let admin = &server.admin;
    let anna = user(admin, "Anna").await;
    let ticket = open(admin, "2026-01-10T10:00:00Z", json!({})).await;
    does(admin, "2026-01-12T10:00:00Z", &ticket, "close", json!({})).await;
    does(admin, "2026-02-01T10:00:00Z", &ticket, "reopen", json!({})).await;
    does(admin, "2026-02-02T10:00:00Z", &ticket, "assign", json!({ "assignee": anna })).await;
    server.settle().await;
    let both = json!({ "measures": ["closed", "backlog"] });
    let over = "from=2026-01-01&to=2026-03-31";
    let now = run(admin, both.clone(), over).await;
    assert_eq!((total(&now, "closed"), total(&now, "backlog")), (json!(0), json!(1)));
    let then = run(admin, both.clone(), &format!("{over}&as_of=2026-01-20")).await;
    assert_eq!((total(&then, "closed"), total(&then, "backlog")), (json!(1), json!(0)));
    assert!(then["as_of"].as_str().unwrap().starts_with("2026-01-20T2"), "{then}");
    let known = then["position"].clone();
    does(admin, "2026-01-15T10:00:00Z", &ticket, "edit", json!({ "title": "Other" })).await;
    let early = open(admin, "2026-01-05T10:00:00Z", json!({})).await;
    server.settle().await;
    let later = run(admin, both.clone(), &format!("{over}&as_of=2026-01-20")).await;
    assert_eq!((total(&later, "closed"), total(&later, "backlog")), (json!(1), json!(1)));
    let as_then = run(admin, both.clone(), &format!("{over}&as_of=2026-01-20&known_at={known}")).await;
    assert_eq!(as_then, then, "what was known then of what had happened by then");
    for name in ["as_known_at", "known_at", "as_of"] {
        assert_eq!(
            run(admin, both.clone(), &format!("{over}&{name}={known}")).await["totals"],
            now["totals"],
            "{name}"
        );
    }
    // Values as they are now are those of then.
    let by = json!({ "measures": ["opened"], "dimensions": ["assignee_id"], "values": "now" });
    let owners =
        async |past: &str| numbers(&run(admin, by.clone(), &format!("{over}{past}")).await, "assignee_id", "opened");
    assert!(owners("").await.contains(&(json!(anna), json!(1))));
    assert_eq!(owners("&as_of=2026-01-31").await, [(json!(null), json!(2))]);

    // A report that lists records.
    let listed = json!({ "columns": ["id", "status"], "sort": "opened_at" });
    let rows = async |past: String| {
        let told = admin.post(&format!("/v1/reports/run?{past}"), listed.clone()).await.expect(StatusCode::OK);
        told["rows"].as_array().unwrap().iter().map(|row| row["values"].clone()).collect::<Vec<_>>()
    };
    let row = |id: &str, status: &str| json!({ "id": id, "status": status });
    assert_eq!(rows(String::new()).await, [row(&early, "open"), row(&ticket, "open")]);
    assert_eq!(rows("as_of=2026-01-20".into()).await, [row(&early, "open"), row(&ticket, "closed")]);
    assert_eq!(rows(format!("as_of={known}")).await, [row(&ticket, "open")]);
    assert_eq!(rows(format!("as_known_at={known}")).await, [row(&ticket, "open")]);
    let csv = admin.post("/v1/reports/run?as_of=2026-01-20&format=csv", listed.clone()).await.expect_text();
    assert_eq!(csv, format!("id,status\r\n{early},open\r\n{ticket},closed\r\n"));

    // A dashboard with a number, a list and records that are counted.
    let place = |x: u8| json!({ "x": x, "y": 0, "w": 4, "h": 4 });
    let widgets = json!([
        { "id": "closed", "place": place(0), "shows": { "kind": "number", "definition": both, "range": "all" } },
        { "id": "list", "place": place(4), "shows": { "kind": "list", "collection": {
            "of": "ticket", "columns": ["id", "status"], "sort": "opened_at" } } },
        { "id": "counted", "place": place(8), "shows": { "kind": "bar", "collection": { "of": "ticket", "group": "status" } } },
    ]);
    let page = json!([{ "id": "overview", "name": "Overview", "widgets": widgets }]);
    let board = admin.create("/v1/dashboards", json!({ "name": "Past", "pages": page })).await;
    server.settle().await;
    let shown = async |query: &str| admin.read(&format!("/v1/dashboards/{board}/data?{query}")).await;
    let widget = |data: &Value, id: &str| {
        data["widgets"].as_array().unwrap().iter().find(|widget| widget["id"] == id).unwrap().clone()
    };
    let now = shown("").await;
    assert_eq!(total(&widget(&now, "closed")["report"], "closed"), json!(0));
    let then = shown("as_of=2026-01-20").await;
    assert_eq!(total(&widget(&then, "closed")["report"], "closed"), 1);
    let values: Vec<_> =
        widget(&then, "list")["list"]["rows"].as_array().unwrap().iter().map(|row| row["values"].clone()).collect();
    assert_eq!(values, [row(&early, "open"), row(&ticket, "closed")]);
    let counted = widget(&then, "counted")["report"].clone();
    let groups: Vec<_> = counted["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["key"]["status"].clone(), row["values"]["records"].clone()))
        .collect();
    assert!(groups.contains(&(json!("closed"), json!(1))) && groups.len() == 2, "{counted}");
    let known = shown(&format!("known_at={known}")).await;
    assert_eq!(widget(&known, "list")["list"]["rows"].as_array().unwrap().len(), 1);
    for (query, pointer) in
        [("as_of=soon", "/as_of"), ("known_at=1&as_known_at=1", "/as_known_at"), ("as_of=1&known_at=1", "/as_of")]
    {
        let refused = admin.get(&format!("/v1/dashboards/{board}/data?{query}")).await.problem(422, "as_of_invalid");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{query}");
        let refused = admin.post(&format!("/v1/reports/run?{query}"), both.clone()).await.problem(422, "as_of_invalid");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{query}");
    }
}

#[tokio::test]
async fn lengths_are_business_time_by_the_calendar_of_the_report_also_when_clocks_change() {
    let server = Server::start().await;
    let admin = &server.admin;
    // Friday 16:00 in Rome, answered on Monday at 10:00, which is a holiday for some.
    let ticket = open(admin, "2026-03-27T15:00:00Z", json!({})).await;
    does(admin, "2026-03-30T08:00:00Z", &ticket, "reply", json!({ "body": "Hello" })).await;
    does(admin, "2026-03-30T09:30:00Z", &ticket, "close", json!({})).await;
    server.settle().await;
    let week = json!([{ "weekdays": [1, 2, 3, 4, 5], "from": "09:00", "to": "17:00" }]);
    let asked = |calendar: Value| json!({ "measures": ["first_reply", "resolution", "opened"], "time_zone": "Europe/Rome", "calendar": calendar });
    let sums = async |calendar: Value, over: &str| {
        let report = run(admin, asked(calendar), over).await;
        let seconds = |measure: &str| total(&report, measure)["sum"].as_f64().unwrap();
        (seconds("first_reply"), seconds("resolution"))
    };
    let hour = 3600.0;
    assert_eq!(sums(json!({ "hours": week }), YEAR).await, (2.0 * hour, 3.5 * hour));
    assert_eq!(sums(json!({ "hours": week, "holidays": ["2026-03-30"] }), YEAR).await, (hour, hour));
    assert_eq!(sums(json!({ "hours": week, "time_zone": "UTC" }), YEAR).await, (2.0 * hour, 2.5 * hour));
    // Whoever looks from elsewhere sees the same hours of work.
    assert_eq!(
        sums(json!({ "hours": week }), "from=2026-01-01&to=2027-01-01&tz=Asia/Tokyo").await,
        (2.0 * hour, 3.5 * hour)
    );
    // The night on which an hour is left out has one hour less of it.
    let nights = json!([{ "weekdays": [7], "from": "00:00", "to": "06:00" }]);
    assert_eq!(sums(json!({ "hours": nights }), YEAR).await, (5.0 * hour, 5.0 * hour));
    let told = run(admin, asked(json!({ "hours": week })), YEAR).await;
    assert_eq!(
        (&told["measures"][0]["business_time"], &told["measures"][2]["business_time"]),
        (&json!(true), &json!(null))
    );
    // It is kept with the report, and the records behind say the same.
    let report =
        admin.create("/v1/reports", json!({ "name": "Hours", "definition": asked(json!({ "hours": week })) })).await;
    server.settle().await;
    let records = admin.read(&format!("/v1/reports/{report}/records?{YEAR}&measure=resolution")).await;
    assert_eq!(records["data"][0]["value"], json!(12_600));
    let wrong = json!({ "hours": [{ "weekdays": [1], "from": "17:00", "to": "09:00" }] });
    let refused = admin.post("/v1/reports/run", asked(wrong.clone())).await.problem(422, "report_calendar_invalid");
    assert_eq!(refused["errors"][0]["pointer"], "/calendar/hours/0/to");
    let kept = json!({ "name": "Wrong", "definition": asked(wrong) });
    let refused = admin.post("/v1/reports", kept).await.problem(422, "report_calendar_invalid");
    assert_eq!(refused["errors"][0]["pointer"], "/definition/calendar/hours/0/to");
}

#[tokio::test]
async fn a_task_of_a_rule_is_counted_under_the_rule() {
    let server = Server::start().await;
    let client = &server.admin;
    let anna = user(client, "Anna").await;
    let definition = json!({ "selector": [{ "user": anna }], "actions": [{ "create_task": { "title": "Confirm" } }] });
    let rule = json!({ "name": "Confirm orders", "trigger": "order.placed", "rank": 1, "definition": definition });
    let rule = client.create("/v1/rules", rule).await;
    client.run(&format!("/v1/rules/{rule}/enable"), json!({})).await;
    for city in ["Rome", "Riga"] {
        client.create("/v1/orders", json!({ "source": "shop", "city": city, "total": euros("5") })).await;
    }
    let thing = product(client, "Phone").await;
    client.create("/v1/tasks", json!({ "title": "Look", "subjects": [subject("product", &thing)] })).await;
    server.settle().await;
    let by = json!({ "of": "task", "measures": ["created", "backlog"], "dimensions": ["rule_id"] });
    let report = run(client, by, YEAR).await;
    assert_eq!(numbers(&report, "rule_id", "created"), [(json!(rule), json!(2)), (json!(null), json!(1))]);
    assert_eq!(report["dimensions"][0]["names"][&rule], "Confirm orders");
    let outcomes = json!({ "of": "rule_run", "measures": ["runs", "executed", "match_rate"], "dimensions": ["rule_id", "status"] });
    let report = run(client, outcomes.clone(), YEAR).await;
    assert_eq!((total(&report, "runs"), total(&report, "executed")), (json!(2), json!(2)));
    assert_eq!(total(&report, "match_rate")["mean"], 1);
    // As they are now, each run stands under its outcome.
    let mut now = outcomes;
    now["values"] = json!("now");
    let report = run(client, now, YEAR).await;
    let row = &report["rows"][0];
    assert_eq!((&row["key"]["status"], &row["values"]["runs"]), (&json!("executed"), &json!(2)));
}
