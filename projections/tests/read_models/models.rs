//! What the read models show of a story that touches them all.

use domain::{
    Aggregate, Id, Party,
    crm::{
        company::{self, Company},
        contact::{self, Contact},
    },
    data::import::{self, Import},
    desk::{
        entitlement::{self, Entitlement},
        product::{self, Product},
        product_category::{self, ProductCategory},
        ticket::{self, Ticket},
    },
    kernel::{custom::Definitions, named::Either, record},
    org::{
        api_key::{self, ApiKey},
        field::{self, Field},
        role::{self, Role},
        team::{self, Team},
        tenant::{self, Tenant},
        user::{self, User},
    },
};
use projections::{
    AsOf, Interval, List, ListRequest, Listed, ReadModels, Sight, TimeOrder,
    crm::contacts::Contacts,
    data::imports::Imports,
    desk::{
        product_categories::ProductCategories, product_holders::ProductHolders, ticket_detail::TicketDetail,
        ticket_list::TicketList,
    },
    entitlement_picker, get, get_as_of, list,
    org::{api_keys::ApiKeys, fields::Fields, roles::Roles, teams::Teams, tenants::Tenants, users::Users},
    thread, thread_as_of, tickets_by_product,
};
use serde_json::{Value, json, value::RawValue};

use crate::{
    workers::all_as_a_fresh_fold,
    world::{World, at, id},
};

const MARIA: u64 = 10;
const ROSSI: u64 = 11;
const ANNA: u64 = 12;
const AGENT: u64 = 13;
const HELP: u64 = 14;
const HOSTING: u64 = 20;
const PRINTER: u64 = 21;
const SERVICES: u64 = 22;
const OWN: u64 = 30;
const OFFICE: u64 = 31;
const REVOKED: u64 = 32;
const FIRST: u64 = 40;
const SECOND: u64 = 41;
const THIRD: u64 = 42;

/// An event from its name and data, as the log holds it.
fn event<A: Aggregate>(name: &str, data: &Value) -> A::Event {
    A::decode(&format!("{}.{name}", A::KIND), data.to_string().as_bytes()).unwrap()
}

fn created<S: record::Spec>(data: &Value) -> record::Event<S> {
    event::<record::Record<S>>("created", data)
}

async fn tell_story(world: &World) -> i64 {
    let ticket = |name: &str, data: Value| event::<Ticket>(name, &data);
    world.tell::<Tenant>(world.tenant, [tenant::Event::Created { name: "Deskfold".into() }]).await;
    let new = role::New { name: "Agent".into(), permissions: ["ticket.*".to_owned()].into() };
    world.tell::<Role>(id(AGENT), [role::Event::Created(new)]).await;
    let profile = json!({ "email": "anna@example.com", "name": "Anna" });
    let granted = user::Event::RoleGranted { role: id(AGENT) };
    world.tell::<User>(id(ANNA), [event::<User>("invited", &profile), user::Event::Activated, granted]).await;
    let team = event::<Team>("created", &json!({ "name": "Help" }));
    world.tell::<Team>(id(HELP), [team, team::Event::MemberAdded { user: id(ANNA) }]).await;
    world.tell::<Company>(id(ROSSI), [created::<company::Spec>(&json!({ "name": "Rossi", "tags": ["vip"] }))]).await;
    let linked = contact::Event::CompanyLinked { company: id(ROSSI), role: Some("buyer".into()) };
    let maria = json!({ "name": "Maria", "kind": "person", "email": "maria@example.com", "custom": { "size": "m" } });
    world.tell::<Contact>(id(MARIA), [created::<contact::Spec>(&maria), Either::Own(linked)]).await;
    let services = product_category::New { name: "Services".into(), parent: None };
    world.tell::<ProductCategory>(id(SERVICES), [product_category::Event::Created(services)]).await;
    let hosting = json!({ "name": "Hosting", "kind": "service", "color": "#00a09d", "icon": "server",
        "price": { "amount": "12.50", "currency": "EUR" } });
    let categorised = product::Event::Categorised { from: None, to: Some(id(SERVICES)) };
    world.tell::<Product>(id(HOSTING), [created::<product::Spec>(&hosting), Either::Own(categorised)]).await;
    let printer = json!({ "name": "Printer", "kind": "goods" });
    world.tell::<Product>(id(PRINTER), [created::<product::Spec>(&printer)]).await;
    let grant = |product: u64, holder: Party| {
        event::<Entitlement>("granted", &json!({ "product": id(product), "holder": holder, "serial_number": "SN-1" }))
    };
    world.tell::<Entitlement>(id(OWN), [grant(PRINTER, Party::contact(id(MARIA)))]).await;
    world.tell::<Entitlement>(id(OFFICE), [grant(HOSTING, Party::company(id(ROSSI)))]).await;
    let revoked = entitlement::Event::Revoked { reason: Some("returned".into()) };
    world.tell::<Entitlement>(id(REVOKED), [grant(PRINTER, Party::contact(id(MARIA))), revoked]).await;
    let size = json!({ "entity": "contact", "key": "size", "type": "select", "options": ["s", "m"] });
    let retired = field::Event::Retired { key: "size".into() };
    world.tell::<Field>(Field::id_for(world.tenant, "contact"), [event::<Field>("defined", &size), retired]).await;
    let digest = "ab".repeat(32);
    let key = json!({ "name": "Shop", "user": id(ANNA), "digest": digest, "prefix": "dk_abcd" });
    world.tell::<ApiKey>(id(50), [event::<ApiKey>("issued", &key), api_key::Event::Revoked { reason: None }]).await;
    let file = json!({ "source": "old", "kind": "history", "file_name": "a.csv", "digest": digest, "rows": 2 });
    let counts = import::Counts { rows: 2, applied: 1, unchanged: 1, rejected: 0, events: 3 };
    let done = import::Event::Completed { counts };
    world.tell::<Import>(id(51), [event::<Import>("started", &file), done]).await;

    let opened = |number: u64, title: &str| {
        ticket(
            "opened",
            json!({
                "number": number, "title": title, "description": "It is on fire", "channel": "phone", "priority": 1,
                "stage": "new", "requester": Party::contact(id(MARIA)), "company": id(ROSSI), "team": id(HELP)
            }),
        )
    };
    let selected = ticket::Event::ProductSelected { entitlement: id(OWN), product: id(PRINTER) };
    let assigned = ticket("assigned", json!({ "from": null, "to": id(ANNA), "method": "manual" }));
    world.tell::<Ticket>(id(FIRST), [opened(1, "Printer on fire"), selected, assigned]).await;
    let message = |number: u64, body: &str| {
        let from = Party::contact(id(MARIA));
        ticket("message_received", json!({ "message_id": id(number), "from": from, "body": body }))
    };
    let reply = ticket("reply_queued", json!({ "message_id": id(102), "body": "Water helps" }));
    let sent = ticket::Event::ReplySent { message_id: id(102), external_id: None };
    world.tell::<Ticket>(id(FIRST), [message(100, "Help"), message(101, "And the mouse?"), reply, sent]).await;
    let redacted = ticket::Event::MessageRedacted { message_id: id(100), reason: "a password".into() };
    world.tell::<Ticket>(id(FIRST), [redacted, ticket::Event::FollowerAdded { user: id(ANNA) }]).await;
    world.tell::<Ticket>(id(SECOND), [opened(2, "Fire again"), message(103, "Still burning")]).await;
    // The second becomes a part of the first; the mouse gets a ticket of its own.
    world.tell::<Ticket>(id(SECOND), [ticket::Event::Merged { into: id(FIRST) }]).await;
    let link = ticket::Event::Linked { ticket: id(SECOND), kind: ticket::LinkKind::MergedFrom };
    let title = "The mouse".into();
    let split = ticket::Event::Split { new_ticket: id(THIRD), title, messages: [id(101)].into() };
    world.tell::<Ticket>(id(FIRST), [link, split]).await;
    let third = json!({ "number": 3, "title": "The mouse", "channel": "phone", "priority": 1, "stage": "new",
        "requester": Party::contact(id(MARIA)), "split_from": id(FIRST) });
    world.tell::<Ticket>(id(THIRD), [ticket("opened", third)]).await;
    let rated = ticket("rated", json!({ "score": 5, "text": "Quick!" }));
    world
        .tell::<Ticket>(id(FIRST), [ticket::Event::Resolved { outcome: Some("Put out".into()), stage: None }, rated])
        .await
}

fn parsed(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap()
}

fn bodies(entries: &[Box<RawValue>]) -> Vec<Value> {
    entries.iter().map(|entry| parsed(entry)["body"].clone()).collect()
}

struct Told {
    world: World,
    models: ReadModels,
    last: i64,
}

async fn told() -> Told {
    let world = World::new().await;
    let models = world.models().await;
    let last = tell_story(&world).await;
    models.settle(last).await.unwrap();
    Told { world, models, last }
}

/// A list by the name of its read model.
fn named(name: &str) -> &'static List {
    List::named(name).unwrap()
}

impl Told {
    async fn one<M: Listed>(&self, id: Id) -> Value {
        self.one_of(List::of::<M>(), id).await
    }

    async fn one_of(&self, list: &'static List, id: Id) -> Value {
        parsed(&get(list, &self.world.database.pool, self.world.tenant, id).await.unwrap().unwrap().data)
    }

    async fn only<M: Listed>(&self) -> Value {
        self.only_of(List::of::<M>()).await
    }

    async fn only_of(&self, of: &'static List) -> Value {
        let request = ListRequest::default();
        let page = list(of, &self.world.database.pool, self.world.tenant, &request).await.unwrap();
        assert_eq!(page.data.len(), 1, "{:?}", page.data);
        parsed(&page.data[0])
    }
}

/// Whether a record has at least these fields with these values.
#[track_caller]
#[allow(clippy::needless_pass_by_value)] // Written in place at every call.
fn has(record: &Value, expected: Value) {
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&record[key], value, "{key} of {record}");
    }
}

#[tokio::test]
async fn every_model_shows_its_part_of_the_story() {
    let told = told().await;
    has(&told.only::<Tenants>().await, json!({ "name": "Deskfold", "settings": {} }));
    has(&told.only::<Roles>().await, json!({ "name": "Agent", "permissions": ["ticket.*"] }));
    let role = json!([{ "id": id(AGENT), "name": "Agent" }]);
    let team = json!([{ "id": id(HELP), "name": "Help" }]);
    has(&told.only::<Users>().await, json!({ "name": "Anna", "status": "active", "roles": role, "teams": team }));
    has(&told.only::<Teams>().await, json!({ "name": "Help", "members": [{ "id": id(ANNA), "name": "Anna" }] }));
    has(&told.only_of(named("companies")).await, json!({ "name": "Rossi", "tags": ["vip"], "archived": false }));
    let companies = json!([{ "id": id(ROSSI), "name": "Rossi", "role": "buyer" }]);
    let maria = json!({ "name": "Maria", "companies": companies, "custom": { "size": "m" }, "version": 1 });
    has(&told.only::<Contacts>().await, maria);
    has(&told.only::<ProductCategories>().await, json!({ "name": "Services", "parent_id": null }));
    let price = json!({ "amount": "12.50", "currency": "EUR" });
    let hosting = json!({ "color": "#00a09d", "category_name": "Services", "price": price, "active_entitlements": 1 });
    has(&told.one_of(named("product_catalogue"), id(HOSTING)).await, hosting);
    has(
        &told.one_of(named("product_catalogue"), id(PRINTER)).await,
        json!({ "active_entitlements": 1, "price": null }),
    );
    let own = json!({ "product_name": "Printer", "holder_name": "Maria", "holder_email": "maria@example.com",
        "status": "active", "serial_number": "SN-1" });
    has(&told.one::<ProductHolders>(id(OWN)).await, own);
    let revoked = json!({ "status": "revoked", "revoked_reason": "returned" });
    has(&told.one::<ProductHolders>(id(REVOKED)).await, revoked);
    let option = |value: &str, order: u32| json!({ "value": value, "label": value, "color": null, "order": order, "retired": false });
    let options = json!([option("s", 0), option("m", 1)]);
    let size = json!({ "entity": "contact", "key": "size", "type": "select", "options": options, "retired": true });
    has(&told.only::<Fields>().await, size);
    let key = told.only::<ApiKeys>().await;
    has(&key, json!({ "name": "Shop", "user_name": "Anna", "status": "revoked", "prefix": "dk_abcd" }));
    assert!(!key.to_string().contains("abababab"), "no digest shows");
    let counts = json!({ "rows": 2, "applied": 1, "unchanged": 1, "rejected": 0, "events": 3 });
    has(&told.only::<Imports>().await, json!({ "status": "completed", "counts": counts }));
    let first = json!({ "number": 1, "status": "resolved", "requester_name": "Maria", "company_name": "Rossi",
        "team_name": "Help", "assignee_name": "Anna", "product_name": "Printer", "message_count": 3, "rating": 5 });
    has(&told.one::<TicketList>(id(FIRST)).await, first.clone());
    let detail = told.one::<TicketDetail>(id(FIRST)).await;
    has(&detail, first);
    let linked =
        json!([{ "id": id(SECOND), "kind": "merged_from", "number": 2, "title": "Fire again", "status": "merged" }]);
    has(
        &detail,
        json!({ "description": "It is on fire", "linked_tickets": linked, "split_into": [id(THIRD)],
        "followers": [{ "id": id(ANNA), "name": "Anna" }], "outcome": "Put out", "rating_text": "Quick!" }),
    );
    all_as_a_fresh_fold(&told.world.log).await;
    told.models.stop().await;
}

#[tokio::test]
async fn whatever_may_happen_is_shown_and_comes_out_the_same_after_a_rebuild() {
    struct Streams(Vec<(String, &'static str, Vec<String>)>);
    impl domain::catalogue::Visitor for Streams {
        fn visit<A: Aggregate>(&mut self) {
            let examples = A::examples();
            let first = A::events(&mut schemars::SchemaGenerator::default())[0].name.clone();
            let directory = crate::harness::root().join("domain/golden").join(A::KIND);
            let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
            files.sort();
            files.sort_by_key(|file| file.file_stem().unwrap() != &*first);
            assert!(!examples.is_empty() && !files.is_empty());
            let read = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
            self.0.push((A::stream(id(900)), A::KIND, read));
        }
    }
    let world = World::new().await;
    let models = world.models().await;
    let mut streams = Streams(vec![]);
    domain::catalogue::visit_all(&mut streams);
    let mut last = 0;
    // Twice, so that whatever ended begins again.
    for (stream, kind, golden) in streams.0 {
        for event in golden.iter().chain(golden.iter().skip(1)) {
            let event: Value = serde_json::from_str(event).unwrap();
            assert!(event["type"].as_str().unwrap().starts_with(kind));
            last = world.tell_raw(&stream, event["type"].as_str().unwrap(), &event["data"].to_string()).await;
        }
    }
    models.settle(last).await.unwrap();
    for status in projections::status(&world.log).await.unwrap() {
        assert_eq!(status.parked, 0, "{}", status.name);
        let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from read_{}", status.name)))
            .fetch_one(&world.database.pool)
            .await
            .unwrap();
        // Of these, what is deleted is gone; and of events told here none caused another.
        let deleted = ["product_categories", "roles", "causation"].contains(&&*status.name);
        assert_eq!(rows == 0, deleted, "{} shows {rows}", status.name);
    }
    all_as_a_fresh_fold(&world.log).await;
    let counted = "select count(*) from read_conversations_by_label where count > 0";
    let labels: i64 = sqlx::query_scalar(counted).fetch_one(&world.database.pool).await.unwrap();
    for name in projections::names() {
        let (progress, seen) = tokio::sync::watch::channel(projections::Progress::default());
        models.rebuild(&[name], progress).await.unwrap();
        assert!(seen.borrow().done, "{name}");
    }
    models.settle(last).await.unwrap();
    all_as_a_fresh_fold(&world.log).await;
    let again: i64 = sqlx::query_scalar(counted).fetch_one(&world.database.pool).await.unwrap();
    assert_eq!(labels, again);
    models.stop().await;
}

#[tokio::test]
async fn a_thread_follows_merges_and_splits() {
    let told = told().await;
    let (pool, tenant) = (&told.world.database.pool, told.world.tenant);
    let first = thread(pool, tenant, id(FIRST), (TimeOrder::Oldest, None), 100).await.unwrap();
    assert_eq!(bodies(&first), [json!(null), json!("Water helps"), json!("Still burning")]);
    has(&parsed(&first[0]), json!({ "redacted": true, "author_name": "Maria", "kind": "message" }));
    has(&parsed(&first[1]), json!({ "delivery": "sent", "kind": "reply", "author_kind": "user" }));
    assert_eq!(
        bodies(&thread(pool, tenant, id(SECOND), (TimeOrder::Oldest, None), 100).await.unwrap()),
        [json!("Still burning")]
    );
    let third = thread(pool, tenant, id(THIRD), (TimeOrder::Oldest, None), 100).await.unwrap();
    assert_eq!(bodies(&third), [json!("And the mouse?")]);
    has(&parsed(&third[0]), json!({ "moved_from": id(FIRST) }));
    // In pages.
    let page = thread(pool, tenant, id(FIRST), (TimeOrder::Oldest, None), 1).await.unwrap();
    let last = parsed(&page[0]);
    let after = (last["written_at"].as_str().unwrap().parse().unwrap(), last["written_position"].as_i64().unwrap());
    assert_eq!(bodies(&thread(pool, tenant, id(FIRST), (TimeOrder::Oldest, Some(after)), 2).await.unwrap()).len(), 2);
    // As of now it is what it is; before the redaction it had a text, before the merge nothing of the other ticket.
    let log = &told.world.log;
    for ticket in [FIRST, SECOND, THIRD] {
        let now = thread_as_of(log, tenant, id(ticket), AsOf::Position(told.last)).await.unwrap();
        let table = thread(pool, tenant, id(ticket), (TimeOrder::Oldest, None), 100).await.unwrap();
        assert_eq!(
            now.iter().map(|entry| entry.get()).collect::<Vec<_>>(),
            table.iter().map(|entry| entry.get()).collect::<Vec<_>>()
        );
    }
    let events = log
        .read_stream(&tenant.to_string(), &Ticket::stream(id(FIRST)), 0, eventstore::Direction::Forward, 100)
        .await
        .unwrap();
    let redaction = events.iter().find(|event| &*event.kind == "ticket.message_redacted").unwrap();
    let before = thread_as_of(log, tenant, id(FIRST), AsOf::Position(redaction.position - 1)).await.unwrap();
    assert_eq!(bodies(&before), [json!("Help"), json!("And the mouse?"), json!("Water helps")]);
    told.models.stop().await;
}

#[tokio::test]
async fn a_record_is_shown_as_it_was() {
    let told = told().await;
    let (log, tenant) = (&told.world.log, told.world.tenant);
    let none = Definitions::new();
    let now = get_as_of(List::of::<TicketDetail>(), log, tenant, id(FIRST), AsOf::Position(told.last), &none)
        .await
        .unwrap()
        .unwrap();
    let table = get(List::of::<TicketDetail>(), log.pool(), tenant, id(FIRST)).await.unwrap().unwrap();
    assert_eq!(now.data.get(), table.data.get());
    assert_eq!((now.version, now.position), (table.version, table.position));
    let stream = log
        .read_stream(&tenant.to_string(), &Ticket::stream(id(FIRST)), 0, eventstore::Direction::Forward, 1)
        .await
        .unwrap();
    let opened = &stream[0];
    let then = get_as_of(List::of::<TicketDetail>(), log, tenant, id(FIRST), AsOf::Instant(opened.occurred_at), &none)
        .await
        .unwrap()
        .unwrap();
    has(&parsed(&then.data), json!({ "status": "open", "message_count": 0, "assignee_name": "Anna", "version": 2 }));
    let then = get_as_of(List::of::<TicketDetail>(), log, tenant, id(FIRST), AsOf::Position(opened.position), &none)
        .await
        .unwrap()
        .unwrap();
    has(&parsed(&then.data), json!({ "status": "open", "assignee_id": null, "product_id": null, "version": 0 }));
    assert_eq!(then.position, opened.position);
    // It happened in January 2026, but nobody here knew before today.
    let known = AsOf::KnownAt(at(100_000));
    assert!(get_as_of(List::of::<TicketDetail>(), log, tenant, id(FIRST), known, &none).await.unwrap().is_none());
    let before = AsOf::Position(opened.position - 1);
    assert!(get_as_of(List::of::<TicketDetail>(), log, tenant, id(FIRST), before, &none).await.unwrap().is_none());
    assert!(
        get_as_of(List::of::<TicketDetail>(), log, id(2), id(FIRST), AsOf::Position(told.last), &none)
            .await
            .unwrap()
            .is_none()
    );
    told.models.stop().await;
}

#[tokio::test]
async fn the_picker_offers_what_the_requester_or_its_company_owns() {
    let told = told().await;
    let (pool, tenant) = (&told.world.database.pool, told.world.tenant);
    let offered = async |requester: Party, search: Option<&str>| {
        let offered =
            entitlement_picker(pool, tenant, requester, at(1_000_000), search, &Sight::Everything, 50).await.unwrap();
        offered.iter().map(|raw| parsed(raw)["id"].clone()).collect::<Vec<_>>()
    };
    let maria = Party::contact(id(MARIA));
    assert_eq!(offered(maria, None).await, [json!(id(OFFICE)), json!(id(OWN))]);
    assert_eq!(offered(maria, Some("PRINT")).await, [json!(id(OWN))]);
    assert_eq!(offered(maria, Some("sn-1")).await.len(), 2);
    assert_eq!(offered(Party::company(id(ROSSI)), None).await, [json!(id(OFFICE))]);
    assert!(offered(Party::user(id(ANNA)), None).await.is_empty());
    // Out of the range, out of the picker; what it was chosen for keeps it.
    let retired = Either::Own(product::Event::Retired { reason: None });
    world_tell_and_settle::<Product>(&told, id(PRINTER), retired).await;
    assert_eq!(offered(maria, None).await, [json!(id(OFFICE))]);
    has(&told.one::<TicketList>(id(FIRST)).await, json!({ "product_name": "Printer" }));
    // No longer with the company.
    let unlinked = Either::Own(contact::Event::CompanyUnlinked { company: id(ROSSI) });
    world_tell_and_settle::<Contact>(&told, id(MARIA), unlinked).await;
    assert!(offered(maria, None).await.is_empty());
    told.models.stop().await;
}

async fn world_tell_and_settle<A: Aggregate>(told: &Told, id: Id, event: A::Event) {
    let last = told.world.tell::<A>(id, [event]).await;
    told.models.settle(last).await.unwrap();
}

#[tokio::test]
async fn tickets_are_counted_by_product_and_over_time() {
    let told = told().await;
    let (pool, tenant) = (&told.world.database.pool, told.world.tenant);
    let all = tickets_by_product(pool, tenant, &Sight::Everything, (None, None), None).await.unwrap();
    let counts: Vec<_> =
        all.iter().map(|row| (row.product_name.as_deref(), row.total, row.open, row.resolved, row.period)).collect();
    // The second was merged: it counts no more.
    assert_eq!(counts, [(Some("Printer"), 1, 0, 1, None), (None, 1, 1, 0, None)]);
    let day = "2026-01-01".parse().unwrap();
    let monthly = tickets_by_product(pool, tenant, &Sight::Everything, (Some(day), Some(day)), Some(Interval::Month))
        .await
        .unwrap();
    assert_eq!(monthly.len(), 2);
    assert_eq!(monthly[0].period, Some(day));
    let week = tickets_by_product(pool, tenant, &Sight::Everything, (None, None), Some(Interval::Week)).await.unwrap();
    assert_eq!(week[0].period, Some("2025-12-29".parse().unwrap()), "the Monday before");
    let later = tickets_by_product(pool, tenant, &Sight::Everything, (Some(day.tomorrow().unwrap()), None), None)
        .await
        .unwrap();
    assert!(later.is_empty());
    assert!(tickets_by_product(pool, id(2), &Sight::Everything, (None, None), None).await.unwrap().is_empty());
    told.models.stop().await;
}

#[tokio::test]
async fn what_is_put_away_leaves_its_list_unless_asked_for() {
    let told = told().await;
    let (pool, tenant) = (&told.world.database.pool, told.world.tenant);
    let archived = Either::Common(record::Happened::Archived { reason: None });
    world_tell_and_settle::<Company>(&told, id(ROSSI), archived).await;
    let count = async |filter: Value| {
        let request = ListRequest::parse(named("companies"), Some(&filter), None, &Default::default(), None).unwrap();
        list(named("companies"), pool, tenant, &request).await.unwrap().data.len()
    };
    assert_eq!(count(json!({})).await, 0);
    assert_eq!(count(json!({ "field": "archived", "op": "eq", "value": true })).await, 1);
    assert!(told.one_of(named("companies"), id(ROSSI)).await["archived"].as_bool().unwrap());
    told.models.stop().await;
}
