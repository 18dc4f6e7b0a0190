//! What lists and feeds show of records is what the pure function says of each of them, in worlds made by chance.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use domain::{
    Authority, Id, catalogue,
    kernel::{
        access::{Access, Teams, Verdict, Viewer},
        custom::Definitions,
        filter::Filter,
        reference::Subject,
    },
};
use projections::{ListRequest, Sight, Stands, columns_of, list, lists};
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use serde_json::{Value, json};

use crate::world::{World, id, random};

/// Kinds with relations of their own, kinds that are about others, and one that is everybody's.
const KINDS: &[&str] = &[
    "deal",
    "ticket",
    "task",
    "contact",
    "enquiry",
    "comment",
    "activity",
    "call",
    "offer",
    "relation",
    "product",
    "quick_reply",
];

/// Users, teams and contacts, and the records so far.
struct Office {
    world: World,
    users: Vec<Id>,
    teams: Vec<Id>,
    records: BTreeMap<Subject, Access>,
}

fn person(number: u64) -> Id {
    id(5000 + number)
}

impl Office {
    async fn tell(&mut self, by: Id, record: &Subject, event: &str, data: Value) {
        let kind = catalogue::kind(&record.kind).unwrap();
        let event_type = format!("{}.{event}", record.kind);
        let data = data.to_string();
        let relations = kind.relates(&event_type, data.as_bytes()).unwrap();
        let access = self.records.entry(record.clone()).or_default();
        access.happened(relations, &domain::Actor::user(by), domain::Via::Api);
        self.world.tell_by(by, &format!("{}-{}", record.kind, record.id), &event_type, &data).await;
    }

    fn any(&self, random: &mut StdRng, kinds: &[&str]) -> Subject {
        let known: Vec<_> = self.records.keys().filter(|record| kinds.contains(&record.kind.as_str())).collect();
        known.choose(random).map_or_else(|| Subject::new(kinds[0], id(1)), |record| (*record).clone())
    }

    async fn begin(&mut self, random: &mut StdRng, number: u64) {
        let kind = *KINDS.choose(random).unwrap();
        let record = Subject::new(kind, id(10_000 + number));
        let by = *self.users.choose(random).unwrap();
        let (user, team) = (*self.users.choose(random).unwrap(), *self.teams.choose(random).unwrap());
        let contact = self.any(random, &["contact"]).id;
        let maybe = |random: &mut StdRng, id: Id| if random.random_bool(0.5) { json!(id) } else { Value::Null };
        let subjects: Vec<Subject> = (0..random.random_range(1..3)).map(|_| self.any(random, KINDS)).collect();
        let (event, data) = match kind {
            "deal" | "enquiry" => ("created", json!({ "name": "x", "contact": contact, "owner": maybe(random, user) })),
            "contact" | "product" => ("created", json!({ "name": "x", "owner": maybe(random, user) })),
            "quick_reply" => (
                "created",
                json!({ "name": "x", "text": "x", "user": maybe(random, user), "owner": maybe(random, user) }),
            ),
            "ticket" => {
                let requester = json!({ "kind": "user", "id": user });
                let requester = if random.random_bool(0.5) { requester } else { Value::Null };
                let opened = json!({
                    "number": number, "title": "x", "channel": "api", "priority": 1, "stage": "new",
                    "team": maybe(random, team), "requester": requester,
                });
                ("opened", opened)
            }
            "task" => ("created", json!({ "title": "x" })),
            "comment" => ("added", json!({ "subjects": subjects, "text": "x" })),
            "activity" => ("logged", json!({ "kind": "call", "subjects": subjects, "text": "x" })),
            "call" => ("received", json!({ "from": "1", "to": "2", "contact": contact })),
            "offer" => {
                let enquiry = self.any(random, &["enquiry"]).id;
                ("drafted", json!({ "enquiry": enquiry, "contact": contact, "properties": [id(3)] }))
            }
            _ => {
                let ends = json!({ "from": subjects[0], "to": self.any(random, KINDS), "role": "knows" });
                ("added", ends)
            }
        };
        let data = data.as_object().unwrap().clone().into_iter().filter(|(_, value)| !value.is_null());
        self.tell(by, &record, event, Value::Object(data.collect())).await;
    }

    async fn go_on(&mut self, random: &mut StdRng) {
        let by = *self.users.choose(random).unwrap();
        let (user, team) = (*self.users.choose(random).unwrap(), *self.teams.choose(random).unwrap());
        let described = self.any(random, &["deal", "contact", "enquiry", "product", "quick_reply"]);
        let worked = self.any(random, &["ticket", "task"]);
        let (ticket, contact) = (self.any(random, &["ticket"]), self.any(random, &["contact"]));
        let grantee = if random.random_bool(0.5) { user } else { team };
        let alone = self.any(random, &["quick_reply"]);
        let to = if random.random_bool(0.5) { json!(user) } else { Value::Null };
        let (record, event, data) = match random.random_range(0..9) {
            8 => (alone, "details_changed", json!({ "changes": { "user": { "from": null, "to": to } } })),
            0 => (described, "owner_changed", json!({ "from": null, "to": user })),
            1 => (described, "owner_changed", json!({ "from": user, "to": null })),
            2 | 3 => (described, "shared", json!({ "grantee": grantee, "level": "read" })),
            4 => (described, "unshared", json!({ "grantee": grantee })),
            5 => (worked, "assigned", json!({ "from": null, "to": user, "method": "manual" })),
            6 => (ticket, "team_changed", json!({ "from": null, "to": team })),
            _ => {
                let into = self.any(random, &["contact"]);
                (contact, "merged", json!({ "into": into.id, "redirects": [] }))
            }
        };
        if self.records.contains_key(&record) {
            self.tell(by, &record, event, data).await;
        }
    }
}

/// Lets everybody hold more records than are looked for one by one, none of which any list has: what is seen of a list is asked
/// row by row from then on.
async fn be_many(office: &Office) {
    let users: Vec<String> = office.users.iter().map(|user| format!("holds:{user}")).collect();
    let rows = "insert into read_record_principal (tenant_id, kind, record_id, principal, level, holds)
                select $1, kind, 'X' || number, principal, 'write', true
                from unnest($2::text[]) kind, unnest($3::text[]) principal, generate_series(1, 2500) number";
    sqlx::query(rows)
        .bind(office.world.tenant.to_string())
        .bind(KINDS)
        .bind(users)
        .execute(&office.world.database.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn lists_and_feeds_show_exactly_what_the_pure_function_says() {
    let definitions = Definitions::new();
    for seed in 0..4 {
        let random = &mut random(900 + seed);
        let world = World::new().await;
        let (users, teams) = ((0..4).map(person).collect(), (10..12).map(person).collect());
        let mut office = Office { world, users, teams, records: BTreeMap::new() };
        let mut members: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
        for team in office.teams.clone() {
            let inside = office.users.iter().copied().filter(|_| random.random_bool(0.5)).collect();
            members.insert(team, inside);
        }
        let teams = Teams::with(members);
        for number in 0..120 {
            office.begin(random, number).await;
            if number % 2 == 0 {
                office.go_on(random).await;
            }
        }
        let models = office.world.models().await;
        models.settle(office.world.log.head().await.unwrap()).await.unwrap();
        let (pool, tenant) = (&office.world.database.pool, office.world.tenant);
        let (mut shown, mut hidden) = (0, 0);
        for turn in 0..12 {
            if seed == 0 && turn == 6 {
                be_many(&office).await;
            }
            let mut patterns = BTreeSet::from(["report.read:own".to_owned()]);
            for kind in KINDS {
                let scope = *["", ":own", ":own", ":team", ":team", "none"].choose(random).unwrap();
                if scope != "none" {
                    patterns.insert(format!("{kind}.read{scope}"));
                }
            }
            // Whoever reads all of them, and whoever reads what is nobody's alone.
            if random.random_bool(0.3) {
                patterns.insert("quick_reply.read_any".to_owned());
            }
            let authority = Authority::of(&patterns);
            let user = *office.users.choose(random).unwrap();
            let viewer = Viewer { user, authority: &authority, teams: &teams };
            let known = |subject: &Subject| Some(Arc::new(office.records.get(subject).cloned().unwrap_or_default()));
            let sees = |record: &&Subject| matches!(viewer.sees(record, &known), Verdict::Yes(_));
            let expected: BTreeSet<Subject> = office.records.keys().filter(sees).cloned().collect();
            shown += expected.len();
            hidden += office.records.len() - expected.len();
            let sight = Sight::of(&viewer);
            let all = office.records.keys().cloned().collect();
            assert_eq!(sight.among(pool, tenant, all).await.unwrap(), expected, "{seed}: {patterns:?} of {user}");
            for list_of in lists().filter(|list| list.listed && list.stands == Stands::Itself) {
                if !KINDS.contains(&list_of.read) {
                    continue;
                }
                let of_kind = |records: &mut dyn Iterator<Item = &Subject>| -> BTreeSet<String> {
                    records.filter(|record| record.kind == list_of.read).map(|record| record.id.to_string()).collect()
                };
                let ids: Vec<String> = of_kind(&mut office.records.keys()).into_iter().collect();
                let filter = json!({ "field": "id", "op": "in", "value": ids });
                let columns = columns_of(list_of, &definitions, None);
                let filter = Filter::parse(&filter, &columns).unwrap();
                let request = ListRequest { filter, limit: 200, sight: sight.clone(), ..ListRequest::default() };
                let page = list(list_of, pool, tenant, &request).await.unwrap();
                let id = |row: &serde_json::value::RawValue| {
                    serde_json::from_str::<Value>(row.get()).unwrap()["id"].as_str().unwrap().to_owned()
                };
                let found: BTreeSet<String> = page.data.iter().map(|row| id(row)).collect();
                let expected = of_kind(&mut expected.iter());
                let gone: BTreeSet<_> = expected.difference(&found).collect();
                let more: BTreeSet<_> = found.difference(&expected).collect();
                assert!(more.is_empty() && gone.is_empty(), "{seed}: {} {more:?} {gone:?} {patterns:?}", list_of.name);
            }
        }
        assert!(shown > 100 && hidden > 100, "{shown} shown, {hidden} hidden");
        models.stop().await;
    }
}
