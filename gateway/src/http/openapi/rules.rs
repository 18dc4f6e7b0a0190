//! What rules have besides lists: their runs, rehearsals, and the chains of cause and effect between events.

use commands::{Backtest, DryRun};
use domain::work::rule::Rule;
use projections::{List, work::rule_runs::RuleRuns};
use serde_json::{Map, Value, json};

use super::{
    super::work::{
        explained::{EffectOptions, Origin, RuleVersion},
        rules::{ManyEvents, OneEvent},
    },
    Document,
    commands::id_of,
    lists,
    operation::{Operation, in_path},
    problems::{self, Code},
    schemas::refer,
};

/// Adds them.
pub(super) fn describe(document: &mut Document) {
    runs(document);
    rehearsals(document);
    explained(document);
}

fn runs(document: &mut Document) {
    let description = format!(
        "Lists the runs of a rule: for every event that triggered it, whether it matched, each condition with the value \
         it found, who was chosen among whom, and what came of it.\n\n{}",
        lists::fields(List::of::<RuleRuns>())
    );
    let mut operation = Operation::new("rule_runs_of_rule", "rules", description)
        .permission("rule_run.read")
        .parameter(id_of::<Rule>(document));
    for parameter in lists::in_address(List::of::<RuleRuns>(), "RuleRuns") {
        operation = operation.parameter(parameter);
    }
    operation
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "A page.", refer("RuleRunsPage"), &["Deskfold-Position"])
        .problems("List", lists::codes())
        .problems("RuleRuns", Code::unknown("rule"))
        .at(document, "get", "/v1/rules/{id}/runs");
}

fn draft() -> Value {
    json!({
        "trigger": "order.placed",
        "definition": {
            "when": { "field": "order.total.amount", "op": "between", "value": ["50000", "1000000"] },
            "selector": [{ "city": { "equals": "order.city" } }],
            "actions": [{ "create_task": { "title": "Confirm order #ORDER_ID#", "due_in_s": 3600, "priority": 3 } }],
        },
    })
}

fn example(value: Value) -> Map<String, Value> {
    Map::from_iter([("example1".to_owned(), json!({ "value": value }))])
}

fn rehearsals(document: &mut Document) {
    let codes = || [Code::of(&[problems::PARAMETERS, problems::BODY]), Code::refusals::<Rule>()].concat();
    let body = document.schemas.of::<OneEvent>("Rule");
    let answer = document.schemas.of::<DryRun>("Rule");
    let description = "Asks a rule that is not published about one past event: whether it matches and why, who would be \
        chosen among whom, and what would be done. Records, colleagues and other rules are seen as they were then. \
        Whoever may publish versions of rules may rehearse them too; either takes permissions to read all records of \
        every kind that rules see, since a rehearsal tells of them. Writes nothing.";
    Operation::new("rule_dry_run", "rules", description)
        .permission("rule.create")
        .shared(&["Deskfold-On-Behalf-Of"])
        .body(body, true, example(json!({ "draft": draft(), "position": 42 })))
        .answer(200, "What it would make of the event.", answer, &[])
        .problems("RuleRehearsal", codes())
        .problems("RuleDryRun", Code::of(&[problems::EVENT, problems::REHEARSAL]))
        .at(document, "post", "/v1/rules/dry_run");

    let body = document.schemas.of::<ManyEvents>("Rule");
    let answer = document.schemas.of::<Backtest>("Rule");
    let description = "Asks a rule that is not published about a part of the log: how many events it would have matched, \
        the tasks that would have been created, for whom and when. Records and colleagues are seen as they were at each \
        event; delays, conditions held again when due, and events that call a run off are taken into account. Imported \
        events are asked about like any others, although they trigger nothing when they are brought in. It takes the same \
        permissions as asking about one event. Writes nothing.";
    Operation::new("rule_backtest", "rules", description)
        .permission("rule.create")
        .shared(&["Deskfold-On-Behalf-Of"])
        .body(body, true, example(json!({ "draft": draft(), "from": "2026-01-01T00:00:00Z", "limit": 20 })))
        .answer(200, "What it would have done.", answer, &["Deskfold-Position"])
        .problems("RuleRehearsal", codes())
        .problems("RuleBacktest", Code::of(&[problems::PAGE]))
        .at(document, "post", "/v1/rules/backtest");
}

fn explained(document: &mut Document) {
    let event = refer("AnyEvent");
    let position = || in_path("position", "The position of the event.", json!({ "type": "integer", "minimum": 1 }));
    let rule = document.schemas.of::<RuleVersion>("Rule");
    let origin = document.schemas.of::<Origin>("Why");
    let cause = json!({
        "type": "object",
        "description": "An event in a chain of causes.",
        "required": ["event"],
        "properties": { "event": event, "rule": rule },
    });
    let cause = document.schemas.add("Cause", cause);
    let why = json!({
        "type": "object",
        "description": "Why an event happened.",
        "required": ["chain", "origin", "position"],
        "properties": {
            "chain": {
                "type": "array",
                "description": "The event, the event that caused it, and so on to the first.",
                "items": cause,
            },
            "origin": origin,
            "position": { "type": "integer", "description": "The last position of the log when this was read." },
        },
    });
    let why = document.schemas.add("Why", why);
    let description = "Explains an event: which event caused it, which caused that, and so on to what a person or another \
        program did; with the version of the rule where a rule lies between.";
    Operation::new("event_why", "events", description)
        .permission("event.read")
        .parameter(position())
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "The chain of causes.", why, &["Deskfold-Position"])
        .problems("Log", Code::of(&[problems::PARAMETERS, problems::QUERY]))
        .problems("EventRead", Code::of(&[problems::EVENT]))
        .at(document, "get", "/v1/events/{position}/why");

    let effect = json!({
        "type": "object",
        "description": "An event that followed from another.",
        "required": ["steps", "cause", "event"],
        "properties": {
            "steps": { "type": "integer", "minimum": 1, "description": "How far it lies from the event that was asked about." },
            "cause": { "type": "integer", "description": "The position of the event that caused it directly." },
            "event": event,
        },
    });
    let effect = document.schemas.add("Effect", effect);
    let effects = json!({
        "type": "object",
        "description": "What followed from an event.",
        "required": ["data", "next", "position"],
        "properties": {
            "data": { "type": "array", "items": effect },
            "next": { "type": ["string", "null"], "description": "The address of the next page; null on the last." },
            "position": { "type": "integer", "description": "The position up to which effects are known." },
        },
    });
    let effects = document.schemas.add("Effects", effects);
    let options = document.schemas.properties::<EffectOptions>("");
    let description =
        "Lists what followed from an event through rules and timers, directly or not, in the order of the log.";
    Operation::new("event_effects", "events", description)
        .permission("event.read")
        .parameter(position())
        .query(options)
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "A page of effects.", effects, &["Deskfold-Position"])
        .problems("EventEffects", Code::of(&[problems::PARAMETERS, problems::QUERY, problems::PAGE]))
        .problems("EventEffectsOf", Code::of(&[problems::EVENT]))
        .at(document, "get", "/v1/events/{position}/effects");
}
