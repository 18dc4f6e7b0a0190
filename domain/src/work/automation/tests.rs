//! What rules make of events, told by the examples that people gave.

use std::sync::Arc;

use super::*;
use crate::{
    Actor, Via,
    kernel::given::{ANNA, BORIS, at},
    org::user::Presence,
    work::rule::{DEFAULT_RANK, Group},
};

const ORDER: Id = Id::from_bits(0x10);
const MARIA: Id = Id::from_bits(0xC);
const TICKET: Id = Id::from_bits(0x11);
const PRINTER: Id = Id::from_bits(0x12);
const SALES: Id = Id::from_bits(0x20);
const CAROL: Id = Id::from_bits(0xCA);

fn placed() -> Trigger {
    Trigger {
        event_id: "e1".into(),
        position: 7,
        event_type: "order.placed".into(),
        subject: Subject::new("order", ORDER),
        occurred_at: at(0),
        actor: Actor::SYSTEM,
        via: Via::Api,
        data: json!({ "number": 77, "customer": MARIA, "source": "storefront" }),
    }
}

fn order(amount: &str, city: &str) -> Value {
    json!({
        "number": 77, "customer": MARIA, "source": "storefront", "status": "new", "paid": "0", "city": city,
        "total": { "amount": amount, "currency": "RUB" }, "phone": "+7 812 555 0101",
        "items": [{ "name": "Chair" }, { "name": "Table" }],
    })
}

fn maria() -> Value {
    json!({ "name": "Maria {{ order.number }} #PHONE#", "city": "Moscow", "archived": false, "owner": BORIS })
}

fn scene_of(trigger: &Trigger, order: Value) -> Scene {
    let records = [(Subject::new("order", ORDER), order), (Subject::new("contact", MARIA), maria())];
    Scene::new(trigger, records.map(|(subject, record)| (subject, Arc::new(record).into())))
}

fn large_order() -> Scene {
    scene_of(&placed(), order("100500", "Saint Petersburg"))
}

fn rule(id: u128, rank: i64, definition: &Value) -> Compiled {
    let definition = serde_json::from_value(definition.clone()).unwrap();
    Compiled::new(Id::from_bits(id), 1, rank, "order.placed", definition, CustomTypes::new()).unwrap()
}

fn person(id: Id, city: &str, load: u32) -> Person {
    let (roles, city) = ([SALES].into(), Some(city.to_owned()));
    Person { id, name: format!("Person {id}"), roles, city, presence: Presence::Online, load, ..Person::default() }
}

fn staff() -> Vec<Person> {
    vec![person(ANNA, "Saint Petersburg", 3), person(BORIS, "saint petersburg ", 1), person(CAROL, "Moscow", 0)]
}

fn call(definition: &Value) -> Value {
    let task = json!({ "title": "Confirm order #ORDER_ID#", "text": "Call #NAME#, #PHONE#.", "due_in_s": 3600, "priority": 3 });
    let mut whole = json!({ "actions": [{ "create_task": task }] });
    crate::kernel::record::merge(&mut whole, definition.clone());
    whole
}

fn prepare(definition: &Value) -> Preparation {
    rule(1, DEFAULT_RANK, definition).prepare(&placed(), &large_order(), &staff(), None, at(10))
}

fn verdicts(rules: &[Compiled], scene: &Scene) -> Vec<(u128, Verdict)> {
    let answers = ask(rules, &placed(), scene);
    answers.into_iter().map(|answer| (answer.rule.rule.bits(), answer.verdict)).collect()
}

const MATCHED: Verdict = Verdict::Matched { due_at: None };
const NOT_MATCHED: Verdict = Verdict::Skipped { reason: SkipReason::NotMatched, stopped_by: None };

#[test]
fn the_confirmation_call_within_the_hour_goes_to_any_sales_manager() {
    let prepared = prepare(&call(&json!({ "selector": [{ "role": SALES }] })));
    assert_eq!(prepared.chosen, [CAROL], "who has the least to do");
    assert_eq!(prepared.candidates.len(), 3);
    let [task] = &prepared.actions[..] else { panic!("{:?}", prepared.actions) };
    assert_eq!((task.kind.as_str(), task.command.as_str()), ("task", "create"));
    let run = RuleRun::id_for(Id::from_bits(1), 1, "e1");
    // What the customer typed is shown as it stands, and never read as a template.
    let expected = json!({
        "title": "Confirm order 77", "text": "Call Maria {{ order.number }} #PHONE#, +7 812 555 0101.",
        "priority": 3, "due_at": at(3610), "assignee": CAROL, "method": "least_busy", "rule_run": run,
        "subjects": [{ "kind": "order", "id": ORDER }, { "kind": "contact", "id": MARIA }],
    });
    assert_eq!(*task.body, expected);
    assert_eq!(prepared.unknown, []);
    // The body is a command as it stands.
    let command = <crate::work::task::Task as Aggregate>::Command::deserialize(json!({ "create": expected }));
    assert!(command.is_ok(), "{command:?}");
    assert_eq!(prepare(&call(&json!({ "selector": [{ "role": SALES }] }))), prepared, "the same again");
}

#[test]
fn orders_of_a_certain_size_go_to_one_employee() {
    let between = json!({ "field": "order.total.amount", "op": "between", "value": ["50000", "1000000"] });
    let definition = call(&json!({ "when": between, "selector": [{ "user": ANNA }] }));
    let large = rule(1, DEFAULT_RANK, &definition);
    assert_eq!(verdicts(std::slice::from_ref(&large), &large_order()), [(1, MATCHED)]);
    let small = scene_of(&placed(), order("49999.99", "Moscow"));
    let answers = ask([&large], &placed(), &small);
    assert_eq!(answers[0].verdict, NOT_MATCHED);
    let [check] = &answers[0].asked.trace[..] else { panic!() };
    assert_eq!((check.field.as_str(), &*check.actual, check.holds), ("order.total.amount", &json!("49999.99"), false));
    assert_eq!(prepare(&definition).chosen, [ANNA]);
    assert!(large.matches(&large_order()) && !large.matches(&small));
}

#[test]
fn orders_of_a_city_go_to_managers_of_that_city() {
    let same = json!({ "selector": [{ "role": SALES, "city": { "equals": "order.city" } }], "strategy": "all" });
    let prepared = prepare(&call(&same));
    assert_eq!(prepared.chosen, [ANNA, BORIS]);
    let ids: BTreeSet<_> = prepared.actions.iter().map(|task| task.id).collect();
    assert_eq!(ids.len(), 2, "a task for each");
    let named = json!({ "selector": [{ "city": "MOSCOW" }] });
    assert_eq!(prepare(&call(&named)).chosen, [CAROL]);
    let owned = json!({ "selector": [{ "user": { "equals": "contact.owner" } }] });
    assert_eq!(prepare(&call(&owned)).chosen, [BORIS], "whoever looks after the customer");
    let nowhere = json!({ "selector": [{ "city": { "equals": "contact.country" } }] });
    assert_eq!(prepare(&call(&nowhere)).chosen, []);
}

#[test]
fn the_customer_who_always_goes_to_one_manager_comes_first() {
    let of_maria = json!({ "field": "order.customer", "op": "eq", "value": MARIA });
    let always = |on_match| {
        let definition = call(&json!({ "when": of_maria, "selector": [{ "user": BORIS }], "on_match": on_match }));
        rule(1, 1, &definition)
    };
    let any = || rule(2, 2, &call(&json!({ "selector": [{ "role": SALES }] })));
    let stopped = Verdict::Skipped { reason: SkipReason::Stopped, stopped_by: Some(Id::from_bits(1)) };
    assert_eq!(verdicts(&[any(), always("stop")], &large_order()), [(1, MATCHED), (2, stopped)]);
    assert_eq!(verdicts(&[any(), always("continue")], &large_order()), [(1, MATCHED), (2, MATCHED)]);
    let other = scene_of(&placed(), json!({ "customer": BORIS }));
    assert_eq!(verdicts(&[any(), always("stop")], &other), [(1, NOT_MATCHED), (2, MATCHED)]);
    // Of equal rank the older rule comes first; rules of other triggers are not asked.
    let mut paid = rule(3, 0, &call(&json!({})));
    paid.trigger = "order.paid".into();
    let twins = [rule(9, 5, &call(&json!({}))), paid, rule(8, 5, &call(&json!({})))];
    assert_eq!(verdicts(&twins, &large_order())[0], (8, MATCHED));
    assert_eq!(verdicts(&twins, &large_order()).len(), 2);
}

#[test]
fn the_call_five_days_later_is_called_off_by_the_payment() {
    let unpaid = json!({ "field": "order.paid", "op": "eq", "value": "0" });
    let definition = call(&json!({
        "when": unpaid, "delay_s": 432_000, "recheck": true, "cancel_on": ["order.paid", "order.cancelled"],
    }));
    let later = rule(1, DEFAULT_RANK, &definition);
    let answers = ask([&later], &placed(), &large_order());
    assert_eq!(answers[0].verdict, Verdict::Matched { due_at: Some(at(432_000)) });
    let rule_run::Command::Match { asked, due_at } = answers[0].command() else { panic!() };
    assert_eq!((asked.id(), due_at), (answers[0].run(), Some(at(432_000))));

    assert!(later.is_cancelled_by(&asked.trigger.event_type, "order.paid"));
    assert!(!later.is_cancelled_by(&asked.trigger.event_type, "order.status_changed"));
    assert!(!later.is_cancelled_by("order.paid", "order.paid"));
    let mut then = order("100500", "Moscow");
    then["paid"] = json!("100500");
    let (holds, trace) = later.explain(&scene_of(&placed(), then));
    assert_eq!((holds, &*trace[0].actual), (false, &json!("100500")));
}

#[test]
fn priority_and_assignee_of_a_ticket_follow_its_product() {
    let trigger = Trigger {
        event_type: "ticket.opened".into(),
        subject: Subject::new("ticket", TICKET),
        data: json!({ "number": 5, "requester": { "kind": "contact", "id": MARIA } }),
        ..placed()
    };
    let ticket = json!({ "number": 5, "product": PRINTER, "requester": { "kind": "contact", "id": MARIA } });
    let scene = Scene::new(&trigger, [(Subject::new("ticket", TICKET), Arc::new(ticket).into())]);
    let definition = json!({
        "when": { "field": "ticket.product", "op": "eq", "value": PRINTER },
        "selector": [{ "role": SALES }],
        "actions": [
            { "command": { "kind": "ticket", "command": "change_priority", "body": { "priority": 3 } } },
            { "command": { "kind": "ticket", "command": "assign", "body":
                { "assignee": "{{ assignee.id }}", "method": "rule", "rule_run": "{{ run }}" } } },
            { "command": { "kind": "comment", "command": "add", "body":
                { "subjects": ["{{ trigger }}"], "text": "No. {{ ticket.number }}, {{ assignee.name }}", "internal": "{{ true }}" } } },
        ],
    });
    let definition = serde_json::from_value(definition).unwrap();
    let rule = Compiled::new(Id::from_bits(1), 1, 1, "ticket.opened", definition, CustomTypes::new()).unwrap();
    assert_eq!(ask([&rule], &trigger, &scene)[0].verdict, MATCHED);
    let prepared = rule.prepare(&trigger, &scene, &staff(), None, at(0));
    let [priority, assign, comment] = &prepared.actions[..] else { panic!("{prepared:?}") };
    assert_eq!((priority.id, &*priority.body), (TICKET, &json!({ "priority": 3 })));
    let run = RuleRun::id_for(Id::from_bits(1), 1, "e1");
    assert_eq!((assign.id, &*assign.body), (TICKET, &json!({ "assignee": CAROL, "method": "rule", "rule_run": run })));
    let text = format!("No. 5, Person {CAROL}");
    let about = json!({ "subjects": [{ "kind": "ticket", "id": TICKET }], "text": text, "internal": true });
    assert_eq!(*comment.body, about);
    assert_eq!(prepared.unknown, []);
    // Without anybody to choose, nobody is assigned, and it says so.
    let alone = rule.prepare(&trigger, &scene, &[], None, at(0));
    assert_eq!(alone.actions.len(), 1);
    let names: Vec<_> = alone.unknown.iter().map(|unknown| (unknown.place.as_str(), unknown.name.as_str())).collect();
    assert_eq!(names, [("/actions/1/command/body", "assignee"), ("/actions/2/command/body", "assignee")]);
}

#[test]
fn no_task_is_lost_when_nobody_fits() {
    let prepared = prepare(&call(&json!({ "selector": [{ "role": MARIA }] })));
    assert_eq!((prepared.chosen.len(), prepared.actions.len()), (0, 1));
    assert_eq!(prepared.actions[0].body.get("assignee"), None);
}

#[test]
fn turns_go_round_and_the_first_group_comes_first() {
    let definition = rule(1, 1, &call(&json!({ "selector": [{ "role": SALES }], "strategy": "round_robin" })));
    let mut last = None;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let chosen = definition.prepare(&placed(), &large_order(), &staff(), last, at(0)).chosen[0];
        seen.push(chosen);
        last = Some(chosen);
    }
    assert_eq!(seen, [ANNA, BORIS, CAROL, ANNA]);
    let first = json!({ "selector": [{ "user": CAROL }, { "role": SALES }], "strategy": "first" });
    assert_eq!(prepare(&call(&first)).chosen, [CAROL]);
    let away = json!({ "selector": [{ "user": CAROL, "presence": "away" }, { "role": SALES }], "strategy": "first" });
    assert_eq!(prepare(&call(&away)).chosen, [ANNA]);
}

#[test]
fn what_a_template_names_and_is_not_there_is_left_and_reported() {
    let task = json!({ "title": "#ORDER_ID# #EMAIL# #SIZE# {{ order.colour }}{{ order.items | length }}", "text": "{{ 1 / 0 }}" });
    let prepared = prepare(&json!({ "actions": [{ "create_task": task }] }));
    let body = &prepared.actions[0].body;
    assert_eq!(body["title"], "77 #EMAIL# #SIZE# 2");
    assert_eq!(body["text"], "{{ 1 / 0 }}");
    let names: Vec<_> = prepared.unknown.iter().map(|unknown| unknown.name.as_str()).collect();
    assert_eq!(names[..3], ["#EMAIL#", "#SIZE#", "order.colour"]);
    assert_eq!(prepared.unknown.len(), 4);
    // No template works for ever.
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
    let (text, unknown) = render(endless, &Context::new(Map::new()));
    assert_eq!((text.as_str(), unknown.len()), (endless, 1));
    // Texts have filters, no methods.
    let method = "{{ order.city.upper() }}";
    let (text, unknown) = render(method, &Context::new(large_order().values()));
    assert_eq!((text.as_str(), unknown.len()), (method, 1));
    let (text, unknown) = render("{{ order.city | upper }} #1 of #2", &Context::new(large_order().values()));
    assert_eq!((text.as_str(), unknown.len()), ("SAINT PETERSBURG #1 of #2", 0));
}

#[test]
fn an_event_concerns_what_it_and_its_record_refer_to() {
    let subject = Subject::new("ticket", TICKET);
    let data = json!({ "requester": { "kind": "contact", "id": MARIA }, "team": CAROL, "title": "x" });
    let document = json!({ "product": PRINTER, "contact": BORIS, "company": null });
    let all = concerned(&subject, &data, Some(&document));
    // A team is nothing that rules see, and of each kind there is one.
    assert_eq!(all, [subject, Subject::new("contact", MARIA), Subject::new("product", PRINTER)]);
    let order = concerned(&Subject::new("order", ORDER), &placed().data, None);
    assert_eq!(order[1], Subject::new("contact", MARIA));
}

#[test]
fn archived_records_are_seen_but_no_task_is_about_them() {
    let records = [
        (Subject::new("order", ORDER), order("1", "x")),
        (Subject::new("contact", MARIA), json!({ "archived": true })),
    ];
    let scene = Scene::new(&placed(), records.map(|(subject, record)| (subject, Arc::new(record).into())));
    assert_eq!(scene.subjects().len(), 1);
    assert_eq!(scene.id_of("contact"), Some(MARIA));
}

#[test]
fn limits_are_checked() {
    let problems = |definition: &Value| {
        let definition = serde_json::from_value(definition.clone()).unwrap();
        check("order.placed", &definition, CustomTypes::new())
            .into_iter()
            .map(|problem| problem.pointer)
            .collect::<Vec<_>>()
    };
    assert_eq!(problems(&call(&json!({ "delay_s": MAX_DELAY_S + 1 }))), ["/delay_s"]);
    assert_eq!(problems(&json!({ "actions": [] })), ["/actions"]);
    assert_eq!(problems(&call(&json!({ "selector": vec![json!({}); 21] }))), ["/selector"]);
    let command = json!({ "kind": "task", "id": "{{", "command": "start", "body": { "a": ["{% if %}"] } });
    let places = problems(&json!({ "actions": [{ "command": command }] }));
    assert_eq!(places, ["/actions/0/command/id", "/actions/0/command/body/a/0"]);
}

/// Numbers that look like chance and are the same in every run (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn the_choice_is_fair_and_depends_on_nothing_but_its_inputs() {
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    let scene = large_order();
    let mut ties = std::collections::BTreeMap::<Id, u32>::new();
    for round in 0..500u32 {
        let count = 1 + chance.below(8);
        let mut people: Vec<_> = (0..count)
            .map(|id| person(Id::from_bits(u128::from(id) + 1), "Moscow", u32::try_from(chance.below(3)).unwrap()))
            .collect();
        let seed = format!("run {round}");
        let everybody = [Group::default()];
        let candidates = people::candidates(&everybody, &scene, &people);
        for strategy in [Strategy::LeastBusy, Strategy::RoundRobin, Strategy::First, Strategy::All] {
            let last = Some(Id::from_bits(u128::from(chance.below(10))));
            let chosen = people::choose(strategy, &candidates, last, &seed);
            let at = usize::try_from(chance.below(count)).unwrap();
            people.rotate_left(at);
            let again = people::choose(strategy, &people::candidates(&everybody, &scene, &people), last, &seed);
            assert_eq!(chosen, again, "the order in which people are told does not matter");
            let expected = if strategy == Strategy::All { candidates.len() } else { 1 };
            assert_eq!(chosen.len(), expected);
            let least = people.iter().map(|person| person.load).min().unwrap();
            let load = |id| people.iter().find(|person| person.id == id).unwrap().load;
            assert!(strategy != Strategy::LeastBusy || load(chosen[0]) == least);
        }
        let pair = [person(ANNA, "x", 1), person(BORIS, "x", 1)];
        let tie = people::choose(Strategy::LeastBusy, &people::candidates(&everybody, &scene, &pair), None, &seed);
        *ties.entry(tie[0]).or_default() += 1;
    }
    assert!(ties.values().all(|count| (180..=320).contains(count)), "{ties:?}");
}

#[test]
fn an_explanation_agrees_with_the_verdict_whatever_is_asked() {
    let mut chance = Chance(42);
    fn filter(chance: &mut Chance, depth: u32) -> Value {
        let leaf = [
            json!({ "field": "order.total.amount", "op": "gte", "value": "50000" }),
            json!({ "field": "order.city", "op": "eq", "value": "Moscow" }),
            json!({ "field": "contact.city", "op": "starts_with", "value": "mos" }),
            json!({ "field": "event.source", "op": "ne", "value": "chat" }),
            json!({ "field": "company.name", "op": "is_null", "value": true }),
        ];
        let inner = |chance: &mut Chance| (0..chance.below(4)).map(|_| filter(chance, depth + 1)).collect::<Vec<_>>();
        match chance.below(if depth < 4 { 6 } else { 1 }) {
            1 | 2 => json!({ "all": inner(chance) }),
            3 | 4 => json!({ "any": inner(chance) }),
            5 => json!({ "not": filter(chance, depth + 1) }),
            _ => leaf[usize::try_from(chance.below(5)).unwrap()].clone(),
        }
    }
    let scenes = [large_order(), scene_of(&placed(), order("1", "Moscow"))];
    let mut verdicts = [0, 0];
    for _ in 0..400 {
        let rule =
            rule(1, 1, &json!({ "when": filter(&mut chance, 0), "actions": [{ "create_task": { "title": "x" } }] }));
        for scene in &scenes {
            let (matched, trace) = rule.explain(scene);
            assert_eq!(matched, rule.matches(scene));
            for check in trace {
                let place = format!("{}/field", check.place);
                assert_eq!(Value::Object(rule.definition.when.clone()).pointer(&place), Some(&json!(check.field)));
            }
            verdicts[usize::from(matched)] += 1;
        }
    }
    assert!(verdicts.iter().all(|count| *count > 50), "{verdicts:?}");
}
