//! What stands in whose feed, and whose feed gathers whose: events in, rows out.

use domain::{
    Aggregate,
    crm::{activity::Activity, comment::Comment, contact::Contact, deal::Deal, offer::Offer, relation::Relation},
    desk::ticket::Ticket,
    sales::{call::Call, order::Order},
};
use serde_json::json;

use super::*;
use crate::kernel::fold::tests::{at, id};

/// Folds what is told, and keeps the further tables as the database would.
#[derive(Default)]
struct World {
    rows: std::collections::HashMap<Id, Row>,
    further: Further,
    position: i64,
}

impl World {
    /// Something happens to a record, so many seconds after the beginning.
    #[allow(clippy::needless_pass_by_value)]
    fn tell_at<A: Aggregate>(&mut self, second: i64, record: Id, name: &str, data: Value) -> &mut Self {
        let actor = json!({ "kind": "user", "id": id(10) });
        self.record::<A>(at(second), record, name, &data, &actor, "api")
    }

    /// Something happens to a record, a second after what happened before.
    #[allow(clippy::needless_pass_by_value)] // Written in place at every call.
    fn tell<A: Aggregate>(&mut self, record: Id, name: &str, data: Value) -> &mut Self {
        self.tell_by::<A>(record, name, data, json!({ "kind": "user", "id": id(10) }), "api")
    }

    #[allow(clippy::needless_pass_by_value)]
    fn tell_by<A: Aggregate>(&mut self, record: Id, name: &str, data: Value, actor: Value, via: &str) -> &mut Self {
        self.record::<A>(at(self.position + 1), record, name, &data, &actor, via)
    }

    fn record<A: Aggregate>(
        &mut self,
        occurred_at: Time,
        record: Id,
        name: &str,
        data: &Value,
        actor: &Value,
        via: &str,
    ) -> &mut Self {
        self.position += 1;
        let kind = format!("{}.{name}", A::KIND);
        A::decode(&kind, data.to_string().as_bytes()).unwrap();
        let metadata = json!({ "actor": actor, "via": via, "command_id": "", "correlation_id": "" });
        let event = Recorded {
            position: self.position,
            tenant: "tenant".into(),
            stream: A::stream(record).into(),
            version: 0,
            id: Default::default(),
            kind: kind.into(),
            occurred_at,
            recorded_at: at(self.position),
            is_json: true,
            data: data.to_string().into(),
            metadata: metadata.to_string().into(),
        };
        for key in Feed::keys(&event).as_slice() {
            let row = Feed::fold(*key, self.rows.remove(key), &event, &mut self.further).unwrap().unwrap();
            self.rows.insert(*key, serde_json::from_value(serde_json::to_value(row).unwrap()).unwrap());
        }
        self
    }

    fn rows(&self, table: &str) -> Vec<Value> {
        self.further.rows(table).map(|row| serde_json::from_str(&row).unwrap()).collect()
    }

    /// The positions of the entries in one feed after some event; the latest position for now.
    fn feed(&self, kind: &str, record: Id, then: i64) -> Vec<i64> {
        let holds = |row: &Value| match row["positions"].as_str() {
            None => row["event_position"].as_i64().unwrap() <= then,
            Some(spans) => covers(spans, |bound| bound.parse::<i64>().unwrap() <= then),
        };
        let rows = self.rows(ENTRIES).into_iter();
        let own = rows.filter(|row| row["subject_kind"] == kind && row["subject_id"] == json!(record) && holds(row));
        let mut positions: Vec<_> = own.map(|row| row["event_position"].as_i64().unwrap()).collect();
        positions.sort_unstable();
        positions
    }

    /// The positions of the entries in one feed at an instant, so many seconds after the beginning.
    fn feed_at(&self, kind: &str, record: Id, second: i64) -> Vec<i64> {
        let by = |text: &str| text.parse::<Time>().unwrap() <= at(second);
        let holds = |row: &Value| match row["instants"].as_str() {
            None => by(row["occurred_at"].as_str().unwrap()),
            Some(spans) => covers(spans, by),
        };
        let rows = self.rows(ENTRIES).into_iter();
        let own = rows.filter(|row| row["subject_kind"] == kind && row["subject_id"] == json!(record) && holds(row));
        let mut positions: Vec<_> = own.map(|row| row["event_position"].as_i64().unwrap()).collect();
        positions.sort_unstable();
        positions
    }

    /// Whose feeds the feed of a record gathers now.
    fn gathers(&self, record: Id) -> Vec<String> {
        let rows = self.rows(LINKS).into_iter();
        let own = rows.filter(|row| row["record_id"] == json!(record) && row["holds"] == true);
        let own = own.filter(|row| row["gathers"] != "remarks");
        own.map(|row| format!("{} {}", row["other_kind"].as_str().unwrap(), row["other_id"].as_str().unwrap()))
            .collect()
    }

    fn row(&self, kind: &str, record: Id) -> &Row {
        &self.rows[&row_id(&Subject::new(kind, record))]
    }
}

/// Whether one of the spans of a multirange holds something, by what tells whether a bound does not lie behind it.
fn covers(spans: &str, reached: impl Fn(&str) -> bool) -> bool {
    let spans = spans.trim_matches(['{', '}']).split("),");
    let mut spans = spans.filter_map(|span| span.trim_matches(['[', ')']).split_once(','));
    spans.any(|(since, until)| reached(since) && (until.is_empty() || !reached(until)))
}

const MARIA: Id = id(0xC);
const OLEG: Id = id(0xD);
const FLAT: Id = id(0xE);
const HOUSE: Id = id(0xF);

fn subject(kind: &str, id: Id) -> Value {
    json!({ "kind": kind, "id": id })
}

#[test]
fn a_comment_stands_with_all_its_subjects_until_it_is_deleted() {
    let mut world = World::default();
    let subjects = json!([subject("contact", MARIA), subject("property", FLAT)]);
    world.tell::<Comment>(id(1), "added", json!({ "subjects": subjects, "text": "Nice", "internal": false }));
    for (kind, record) in [("contact", MARIA), ("property", FLAT), ("comment", id(1)), ("user", id(10))] {
        assert_eq!(world.feed(kind, record, 1), [1], "{kind}");
    }
    world.tell::<Comment>(id(1), "edited", json!({ "from": "Nice", "to": "Very nice" }));
    assert_eq!(world.feed("contact", MARIA, 2), [1]);
    let rewrites: Vec<i64> = world.row("comment", id(1)).rewrites.iter().map(|rewrite| rewrite.position).collect();
    assert_eq!(rewrites, [2], "it reads differently and stands where it stood");
    world.tell::<Comment>(id(1), "deleted", json!({}));
    for (kind, record) in [("contact", MARIA), ("property", FLAT), ("comment", id(1)), ("user", id(10))] {
        assert_eq!(world.feed(kind, record, 3), Vec::<i64>::new(), "{kind}");
        assert_eq!((world.feed(kind, record, 2), world.feed(kind, record, 1)), (vec![1], vec![1]), "{kind}");
    }
}

#[test]
fn an_activity_stands_where_it_occurred_also_once_that_is_corrected() {
    let mut world = World::default();
    let logged =
        json!({ "kind": "visit", "subjects": [subject("contact", MARIA)], "text": "x", "occurred_at": at(-500) });
    world.tell::<Activity>(id(1), "logged", logged);
    let times = |world: &World| -> Vec<Value> {
        let rows = world.rows(ENTRIES).into_iter();
        let own = rows.filter(|row| row["subject_kind"] == "contact" && row["holds"] == true);
        own.map(|row| row["occurred_at"].clone()).collect()
    };
    assert_eq!(times(&world), [json!(at(-500))]);
    world.tell::<Activity>(
        id(1),
        "corrected",
        json!({ "changes": { "occurred_at": { "from": at(-500), "to": at(-400) } } }),
    );
    assert_eq!(times(&world), [json!(at(-400))]);
    world.tell::<Activity>(id(1), "withdrawn", json!({}));
    assert_eq!(times(&world), Vec::<Value>::new());
}

#[test]
fn a_deal_takes_its_past_with_it() {
    let mut world = World::default();
    let created = json!({ "name": "Flat", "pipeline": "sales", "contact": MARIA, "property": FLAT, "owner": id(10) });
    world.tell::<Deal>(id(1), "created", created);
    world.tell::<Deal>(id(1), "stage_changed", json!({ "from": "new", "to": "proposal" }));
    let changes =
        json!({ "changes": { "contact": { "from": MARIA, "to": OLEG }, "property": { "from": FLAT, "to": HOUSE } } });
    world.tell::<Deal>(id(1), "details_changed", changes);
    world.tell::<Deal>(id(1), "won", json!({}));
    assert_eq!(world.feed("deal", id(1), 4), [1, 2, 3, 4]);
    assert_eq!((world.feed("property", FLAT, 2), world.feed("property", FLAT, 4)), (vec![1, 2], vec![]));
    assert_eq!((world.feed("property", HOUSE, 2), world.feed("property", HOUSE, 4)), (vec![], vec![1, 2, 3, 4]));
    assert_eq!(world.gathers(MARIA), Vec::<String>::new());
    assert_eq!(world.gathers(OLEG), [format!("deal {}", id(1))]);
    assert_eq!(world.gathers(id(10)), [format!("deal {}", id(1))], "its owner's feed too");
    // Sold: the parties of the sale have it too, and who has it for two reasons keeps it when one is gone.
    let sale = json!({ "property": HOUSE, "contacts": [OLEG, MARIA], "price": { "amount": "1", "currency": "EUR" } });
    world.tell::<Deal>(id(1), "recorded", sale);
    world.tell::<Deal>(id(1), "details_changed", json!({ "changes": { "contact": { "from": OLEG, "to": null } } }));
    assert_eq!(world.feed("contact", OLEG, 6), [1, 2, 3, 4, 5, 6]);
    assert_eq!(world.feed("contact", MARIA, 6), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_relation_links_both_ways_while_it_lasts() {
    let mut world = World::default();
    let ends = json!({ "from": subject("contact", MARIA), "to": subject("property", FLAT), "role": "owner" });
    world.tell::<Relation>(id(1), "added", ends.clone());
    assert_eq!(world.gathers(MARIA), [format!("property {FLAT}")]);
    assert_eq!(world.gathers(FLAT), [format!("contact {MARIA}")]);
    world.tell::<Relation>(id(1), "removed", ends.clone());
    assert_eq!((world.gathers(MARIA), world.gathers(FLAT)), (vec![], vec![]));
    world.tell::<Relation>(id(1), "added", ends);
    assert_eq!(world.gathers(MARIA), [format!("property {FLAT}")]);
    // Adding, removing and adding again are news to both.
    assert_eq!(world.feed("contact", MARIA, 3), [1, 2, 3]);
    assert_eq!(world.feed("property", FLAT, 3), [1, 2, 3]);
    let spans: Vec<_> = world.rows(LINKS).iter().map(|row| row["positions"].clone()).collect();
    assert_eq!(spans, ["{[1,2),[3,)}", "{[1,2),[3,)}"]);
}

#[test]
fn a_colleagues_own_feed_is_gathered_by_no_record() {
    let mut world = World::default();
    let ends = json!({ "from": subject("user", id(11)), "to": subject("contact", MARIA), "role": "friend" });
    world.tell::<Relation>(id(1), "added", ends.clone());
    assert!(world.rows(LINKS).is_empty());
    assert_eq!((world.feed("contact", MARIA, 1), world.feed("user", id(11), 1)), (vec![1], vec![]));
    world.tell::<Relation>(id(1), "removed", ends);
    assert_eq!(world.feed("contact", MARIA, 2), [1, 2]);
    // Whatever refers to a colleague: the links lead from him, not to him.
    let opened = json!({
        "number": 1, "title": "Dark", "requester": subject("user", id(11)), "channel": "api", "priority": 0, "stage": "new",
    });
    world.tell::<Ticket>(id(2), "opened", opened);
    world.tell::<Comment>(
        id(3),
        "added",
        json!({ "subjects": [subject("user", id(11))], "text": "x", "internal": false }),
    );
    assert!(world.rows(LINKS).iter().all(|row| row["other_kind"] != "user"));
    assert_eq!(world.gathers(id(11)).len(), 2);
}

#[test]
fn what_is_told_late_holds_when_it_had_happened() {
    let mut world = World::default();
    let to = |from: Id, to: Id| json!({ "changes": { "property": { "from": from, "to": to } } });
    world.tell_at::<Deal>(8, id(1), "created", json!({ "name": "Flat", "pipeline": "sales", "property": FLAT }));
    world.tell_at::<Deal>(20, id(1), "details_changed", to(FLAT, HOUSE));
    world.tell_at::<Deal>(12, id(1), "details_changed", to(HOUSE, FLAT));
    assert_eq!(world.feed_at("property", FLAT, 7), Vec::<i64>::new());
    assert_eq!(world.feed_at("property", FLAT, 9), [1]);
    assert_eq!(world.feed_at("property", FLAT, 15), [1, 3]);
    assert_eq!(world.feed_at("property", FLAT, 25), [1, 2, 3], "the log has its return last");
    assert_eq!(world.feed_at("property", HOUSE, 25), Vec::<i64>::new());
    assert_eq!((world.feed("property", HOUSE, 2), world.feed("property", HOUSE, 3)), (vec![1, 2], vec![]));

    // Recorded again with another party, and that before the first time.
    let sale = |parties: &[Id]| json!({ "property": FLAT, "contacts": parties, "price": { "amount": "1", "currency": "EUR" } });
    world.tell_at::<Deal>(30, id(1), "recorded", sale(&[MARIA]));
    world.tell_at::<Deal>(25, id(1), "recorded", sale(&[MARIA, OLEG]));
    for whose in [MARIA, OLEG] {
        assert_eq!(world.feed_at("contact", whose, 35), [1, 2, 3, 4, 5]);
        assert_eq!(world.feed_at("contact", whose, 27), [1, 2, 3, 5]);
    }
}

#[test]
fn what_is_remarked_about_a_satellite_is_gathered_where_that_stands() {
    let mut world = World::default();
    let gathered = |world: &World, whose: Id| {
        let rows = world.rows(LINKS).into_iter();
        let own =
            rows.filter(|row| row["record_id"] == json!(whose) && row["gathers"] == "remarks" && row["holds"] == true);
        own.map(|row| row["other_id"].clone()).collect::<Vec<_>>()
    };
    world.tell::<Offer>(id(1), "drafted", json!({ "enquiry": id(30), "contact": MARIA, "properties": [FLAT] }));
    assert_eq!(gathered(&world, MARIA), Vec::<Value>::new(), "nothing is remarked yet");
    let about = json!([subject("offer", id(1)), subject("ticket", id(5))]);
    world.tell::<Comment>(id(2), "added", json!({ "subjects": about, "text": "Dear", "internal": true }));
    for whose in [MARIA, FLAT, id(30)] {
        assert_eq!(gathered(&world, whose), [json!(id(1))]);
    }
    world.tell::<Offer>(id(1), "revised", json!({ "properties": [HOUSE] }));
    assert_eq!((gathered(&world, FLAT), gathered(&world, HOUSE)), (vec![], vec![json!(id(1))]));
    let internal = |row: &Value| (row["event_position"] == 2, row["internal"] == true);
    assert!(world.rows(ENTRIES).iter().map(internal).all(|(is_comment, is_internal)| is_comment == is_internal));
}

#[test]
fn whom_a_ticket_concerns_gathers_its_feed() {
    let mut world = World::default();
    let opened = json!({
        "number": 1, "title": "It is dark", "requester": subject("contact", MARIA), "company": id(20),
        "channel": "api", "priority": 0, "stage": "new",
    });
    world.tell::<Ticket>(id(1), "opened", opened);
    world.tell::<Ticket>(id(1), "assigned", json!({ "from": null, "to": id(11), "method": "manual" }));
    world.tell::<Ticket>(id(1), "follower_added", json!({ "user": id(11) }));
    let ticket = [format!("ticket {}", id(1))];
    for whose in [MARIA, id(20), id(11)] {
        assert_eq!(world.gathers(whose), ticket);
    }
    assert_eq!(world.feed("contact", MARIA, 3), Vec::<i64>::new(), "gathered, not copied");
    world.tell::<Ticket>(
        id(1),
        "requester_changed",
        json!({ "from": null, "to": subject("contact", OLEG), "company": null }),
    );
    assert_eq!((world.gathers(MARIA), world.gathers(id(20)), world.gathers(OLEG)), (vec![], vec![], ticket.to_vec()));
    world.tell::<Ticket>(id(1), "unassigned", json!({ "from": id(11) }));
    assert_eq!(world.gathers(id(11)), ticket, "followed still");
    world.tell::<Ticket>(id(1), "follower_removed", json!({ "user": id(11) }));
    assert_eq!(world.gathers(id(11)), Vec::<String>::new());
    world.tell::<Ticket>(id(1), "merged", json!({ "into": id(2) }));
    assert_eq!(world.gathers(id(2)), ticket);
    let part = |world: &World| world.rows(LINKS).iter().any(|row| row["gathers"] == "part" && row["holds"] == true);
    assert!(part(&world));
    world.tell::<Ticket>(id(1), "unmerged", json!({ "from": id(2) }));
    assert!(!part(&world));
    assert_eq!(world.row("ticket", id(1)).name.as_deref(), Some("It is dark"));
    world.tell::<Ticket>(id(1), "title_changed", json!({ "from": "It is dark", "to": "Lamp" }));
    assert_eq!(world.row("ticket", id(1)).name.as_deref(), Some("Lamp"));
    assert!(world.row("ticket", id(1)).entries.is_empty(), "however much happens to a ticket, its row stays small");
}

#[test]
fn noise_echoes_and_imports_stand_in_nobodys_way() {
    let mut world = World::default();
    world.tell::<Contact>(MARIA, "created", json!({ "name": "Maria Rossi" }));
    world.tell::<Contact>(MARIA, "company_linked", json!({ "company": id(20) }));
    assert_eq!(world.gathers(MARIA), [format!("company {}", id(20))]);
    assert_eq!(world.gathers(id(20)), [format!("contact {MARIA}")]);
    world.tell::<Offer>(id(1), "drafted", json!({ "enquiry": id(30), "contact": MARIA, "properties": [FLAT] }));
    world.tell::<Offer>(id(1), "sent", json!({ "to": MARIA, "properties": [FLAT, HOUSE], "medium": "email" }));
    world.tell::<Contact>(MARIA, "offer_received", json!({ "offer": id(1), "properties": [FLAT, HOUSE] }));
    assert_eq!(world.feed("contact", MARIA, 5), [1, 2, 3, 4], "the echo says nothing new");
    assert_eq!(world.feed("property", HOUSE, 5), [3, 4]);
    let import = json!({ "kind": "user", "id": id(10) });
    world.tell_by::<Call>(id(2), "received", json!({ "from": "+7 900", "to": "+7 800" }), import, "import");
    let actor = json!({ "kind": "user", "id": id(10), "on_behalf_of": id(12) });
    world.tell_by::<Order>(id(3), "rejected", json!({ "source": "shop", "errors": [] }), actor, "api");
    assert_eq!(world.feed("user", id(10), 7), [1, 2, 3, 4, 7]);
    assert_eq!(world.feed("user", id(12), 7), [7], "done in another's name, it is the other's doing too");
    // What cannot be read is refused.
    let broken = Recorded {
        data: "{".into(),
        ..crate::kernel::fold::tests::recorded::<Ticket>(0, &domain::desk::ticket::Event::Closed { stage: None })
    };
    assert!(Feed::apply(MARIA, None, &broken).is_err());
}
