//! The dashboards that Deskfold brings along: they are there in every tenant without anybody making them, and may be copied.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::insight::{
    dashboard::Fields,
    widget::{Page, Widget},
    window::Window,
};

/// A dashboard that Deskfold brings along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shipped {
    /// Tickets: how many come and go, how long they take, what is open.
    Desk,
    /// Which products make work, and who has them.
    Products,
    /// Chats: how many, when, and how fast they are answered.
    Chats,
    /// Orders and what they come to, deals and leads.
    Sales,
    /// What rules do, and what fails.
    Rules,
    /// Who does what, and what waits for whom.
    Team,
}

impl Shipped {
    /// All of them.
    pub const ALL: &'static [Shipped] =
        &[Shipped::Desk, Shipped::Products, Shipped::Chats, Shipped::Sales, Shipped::Rules, Shipped::Team];

    /// What it is called in paths: `desk`.
    pub fn id(self) -> &'static str {
        match self {
            Shipped::Desk => "desk",
            Shipped::Products => "products",
            Shipped::Chats => "chats",
            Shipped::Sales => "sales",
            Shipped::Rules => "rules",
            Shipped::Team => "team",
        }
    }

    /// The one of this id.
    pub fn named(id: &str) -> Option<Shipped> {
        Shipped::ALL.iter().copied().find(|shipped| shipped.id() == id)
    }

    /// What it is called in English.
    pub fn name(self) -> &'static str {
        match self {
            Shipped::Desk => "Desk",
            Shipped::Products => "Products",
            Shipped::Chats => "Chats",
            Shipped::Sales => "Sales",
            Shipped::Rules => "Rules",
            Shipped::Team => "Team",
        }
    }

    /// All that it says.
    pub fn fields(self) -> Fields {
        Fields {
            name: self.name().to_owned(),
            description: None,
            range: Window::default(),
            time_zone: None,
            from_shipped: Some(self),
            pages: self.pages(),
        }
    }

    /// Its pages.
    pub fn pages(self) -> Vec<Page> {
        let widgets = match self {
            Shipped::Desk => desk(),
            Shipped::Products => products(),
            Shipped::Chats => chats(),
            Shipped::Sales => sales(),
            Shipped::Rules => rules(),
            Shipped::Team => team(),
        };
        // They are written here, and a test reads each: none is left out.
        let widgets = widgets.into_iter().filter_map(|widget| serde_json::from_value::<Widget>(widget).ok());
        vec![Page { id: "overview".into(), name: self.name().to_owned(), widgets: widgets.collect() }]
    }
}

/// A widget: its id, its place, how it shows what it does, and the rest of that.
fn widget(id: &str, (x, y, w, h): (u32, u32, u32, u32), kind: &str, mut shows: Value) -> Value {
    shows["kind"] = kind.into();
    json!({ "id": id, "place": { "x": x, "y": y, "w": w, "h": h }, "shows": shows })
}

/// A report of a kind of record.
fn report(of: &str, measures: &[&str], dimensions: &[&str]) -> Value {
    json!({ "definition": { "of": of, "measures": measures, "dimensions": dimensions } })
}

/// The same, of which only so many values are drawn.
fn top(most: u32, mut shows: Value) -> Value {
    shows["top"] = most.into();
    shows
}

fn counted(of: &str, group: &str, filter: Value) -> Value {
    json!({ "collection": { "of": of, "group": group, "filter": filter } })
}

fn listed(of: &str, columns: &[&str], sort: &str, filter: Value) -> Value {
    json!({ "collection": { "of": of, "columns": columns, "sort": sort, "filter": filter } })
}

fn is(field: &str, value: impl Into<Value>) -> Value {
    json!({ "field": field, "op": "eq", "value": value.into() })
}

fn desk() -> Vec<Value> {
    let of = |measures: &[&str], dimensions: &[&str]| report("ticket", measures, dimensions);
    let oldest =
        listed("ticket", &["number", "title", "assignee_name", "opened_at"], "opened_at", is("status", "open"));
    vec![
        widget("opened", (0, 0, 3, 2), "number", of(&["opened"], &[])),
        widget("closed", (3, 0, 3, 2), "number", of(&["closed"], &[])),
        widget("backlog", (6, 0, 3, 2), "number", of(&["backlog"], &[])),
        widget("first_reply", (9, 0, 3, 2), "number", of(&["first_reply"], &[])),
        widget("opened_and_closed", (0, 2, 8, 4), "line", of(&["opened", "closed"], &["day"])),
        widget("backlog_by_assignee", (8, 2, 4, 4), "bar", top(8, of(&["backlog"], &["assignee_id"]))),
        widget("backlog_over_time", (0, 6, 6, 4), "line", of(&["backlog"], &["day"])),
        widget("resolution", (6, 6, 6, 4), "line", of(&["resolution"], &["week"])),
        widget("busy_hours", (0, 10, 6, 4), "heat_map", of(&["opened"], &["weekday", "hour_of_day"])),
        widget("opened_by_priority", (6, 10, 6, 4), "stacked_bar", of(&["opened"], &["week", "priority"])),
        widget("pending", (0, 14, 6, 5), "pending_work", json!({})),
        widget("oldest", (6, 14, 6, 5), "list", oldest),
    ]
}

fn products() -> Vec<Value> {
    let of = |measures: &[&str], dimensions: &[&str]| report("ticket", measures, dimensions);
    let active = || is("status", "active");
    vec![
        widget("opened_by_product", (0, 0, 6, 4), "bar", top(10, of(&["opened"], &["product_id"]))),
        widget("products_over_time", (6, 0, 6, 4), "stacked_bar", top(7, of(&["opened"], &["week", "product_id"]))),
        widget("trouble", (0, 4, 12, 5), "table", {
            top(15, of(&["opened", "reopened", "backlog", "first_reply", "resolution"], &["product_id"]))
        }),
        widget("holders", (0, 9, 6, 4), "bar", top(10, counted("entitlement", "product_id", active()))),
        widget("holders_by_kind", (6, 9, 3, 4), "bar", counted("entitlement", "holder_kind", active())),
        widget("opened_by_category", (9, 9, 3, 4), "bar", top(6, of(&["opened"], &["product_category_id"]))),
        widget("categories_over_time", (0, 13, 12, 4), "stacked_bar", {
            top(7, of(&["opened"], &["week", "product_category_id"]))
        }),
    ]
}

fn chats() -> Vec<Value> {
    let of = |measures: &[&str], dimensions: &[&str]| report("conversation", measures, dimensions);
    let waiting = listed(
        "conversation",
        &["contact_name", "medium", "last_message", "last_received_at"],
        "last_received_at",
        json!({ "all": [is("unanswered", true), is("status", "open")] }),
    );
    vec![
        widget("started", (0, 0, 3, 2), "number", of(&["started"], &[])),
        widget("backlog", (3, 0, 3, 2), "number", of(&["backlog"], &[])),
        widget("first_reply", (6, 0, 3, 2), "number", of(&["first_reply"], &[])),
        widget("rating", (9, 0, 3, 2), "number", of(&["rating"], &[])),
        widget("started_and_closed", (0, 2, 8, 4), "line", of(&["started", "closed"], &["day"])),
        widget("by_medium", (8, 2, 4, 4), "bar", of(&["started"], &["medium"])),
        widget("busy_hours", (0, 6, 6, 4), "heat_map", of(&["received"], &["weekday", "hour_of_day"])),
        widget("next_reply", (6, 6, 6, 4), "line", of(&["next_reply"], &["week"])),
        widget("colleagues", (0, 10, 12, 5), "table", {
            top(15, of(&["assigned", "closed", "first_reply", "next_reply", "rating"], &["assignee_id"]))
        }),
        widget("waiting", (0, 15, 12, 5), "list", waiting),
    ]
}

fn sales() -> Vec<Value> {
    let of = |measures: &[&str], dimensions: &[&str]| report("order", measures, dimensions);
    vec![
        widget("revenue", (0, 0, 3, 2), "number", of(&["revenue"], &[])),
        widget("placed", (3, 0, 3, 2), "number", of(&["placed"], &[])),
        widget("paid", (6, 0, 3, 2), "number", of(&["paid"], &[])),
        widget("cancelled", (9, 0, 3, 2), "number", of(&["cancelled"], &[])),
        widget("revenue_over_time", (0, 2, 8, 4), "bar", of(&["revenue"], &["week"])),
        widget("by_source", (8, 2, 4, 4), "bar", top(8, of(&["placed"], &["source"]))),
        widget("sources_over_time", (0, 6, 6, 4), "stacked_bar", top(7, of(&["placed"], &["week", "source"]))),
        widget("busy_hours", (6, 6, 6, 4), "heat_map", of(&["placed"], &["weekday", "hour_of_day"])),
        widget("cities", (0, 10, 6, 5), "table", top(12, of(&["placed", "revenue", "time_to_payment"], &["city"]))),
        widget("deals_by_stage", (6, 10, 3, 5), "bar", counted("deal", "stage", json!({}))),
        widget("leads_by_stage", (9, 10, 3, 5), "bar", counted("lead", "stage", json!({}))),
    ]
}

fn rules() -> Vec<Value> {
    let failed =
        listed("rule_run", &["rule_name", "subject_kind", "error", "asked_at"], "-asked_at", is("status", "parked"));
    let number = |filter: Value| json!({ "collection": { "of": "rule_run", "filter": filter } });
    let rules = listed("rule", &["name", "trigger", "published_at"], "name", is("enabled", true));
    vec![
        widget("executed", (0, 0, 4, 2), "number", number(is("status", "executed"))),
        widget("pending", (4, 0, 4, 2), "number", number(is("status", "pending"))),
        widget("failures", (8, 0, 4, 2), "number", number(is("status", "parked"))),
        widget("runs_by_rule", (0, 2, 6, 4), "bar", top(10, counted("rule_run", "rule_id", is("status", "executed")))),
        widget("runs_by_status", (6, 2, 3, 4), "bar", counted("rule_run", "status", json!({}))),
        widget("runs_by_reason", (9, 2, 3, 4), "bar", counted("rule_run", "reason", is("status", "skipped"))),
        widget("failed", (0, 6, 6, 5), "list", failed),
        widget("enabled", (6, 6, 6, 5), "list", rules),
    ]
}

fn team() -> Vec<Value> {
    let of = |measures: &[&str], dimensions: &[&str]| report("ticket", measures, dimensions);
    let overdue = listed(
        "task",
        &["title", "assignee_name", "due_at"],
        "due_at",
        json!({ "all": [is("open", true), is("overdue", true)] }),
    );
    vec![
        widget("colleagues", (0, 0, 12, 6), "table", {
            top(
                20,
                of(
                    &["assigned", "resolved", "closed", "backlog", "first_reply", "time_with_assignee"],
                    &["assignee_id"],
                ),
            )
        }),
        widget("closed_over_time", (0, 6, 6, 4), "stacked_bar", top(7, of(&["closed"], &["week", "assignee_id"]))),
        widget("backlog_by_team", (6, 6, 3, 4), "bar", top(8, of(&["backlog"], &["team_id"]))),
        widget("tasks", (9, 6, 3, 4), "bar", top(8, counted("task", "assignee_id", is("open", true)))),
        widget("pending", (0, 10, 6, 5), "pending_work", json!({})),
        widget("overdue", (6, 10, 6, 5), "list", overdue),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_widget_that_is_written_here_is_one() {
        let written = [desk(), products(), chats(), sales(), rules(), team()];
        for (shipped, written) in Shipped::ALL.iter().zip(written) {
            let widgets: Vec<Widget> =
                written.into_iter().map(|widget| serde_json::from_value(widget).unwrap()).collect();
            assert_eq!(shipped.pages()[0].widgets, widgets);
            assert_eq!(Shipped::named(shipped.id()), Some(*shipped));
            assert_eq!(serde_json::to_value(shipped).unwrap(), shipped.id());
        }
        assert_eq!(Shipped::named("unicorns"), None);
    }
}
