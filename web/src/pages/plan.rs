//! What the organisation has agreed: its plan, its seats, and who pays.

use maud::{Markup, html};

use crate::{
    frame::{View, inside},
    parts::moment,
};

/// A plan as it is shown.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What it is called.
    pub name: String,
    /// How many seats it has; no limit when absent.
    pub seats: Option<u32>,
    /// What it costs: amount and currency.
    pub price: Option<(String, String)>,
    /// How often: `month` or `year`.
    pub period: &'static str,
    /// The day of the next payment (RFC 3339).
    pub renews_on: Option<String>,
    /// Who pays: name, address, e-mail address, tax number.
    pub payer: Vec<String>,
    /// How it is paid.
    pub method: Option<String>,
}

/// The page of the plan. None is agreed on one's own server, as a rule.
pub fn plan(view: &View, plan: Option<&Plan>, seats_taken: usize) -> String {
    let content = html! {
        section.part aria-labelledby="seats-title" {
            h2 #seats-title { (view.say("seats")) }
            (seats(view, plan.and_then(|plan| plan.seats), seats_taken))
            @if view.may("user.read") { p { a href="/people" { (view.say("people-title")) } } }
        }
        section.part aria-labelledby="plan-title" {
            h2 #plan-title { (view.say("plan")) }
            @match plan {
                Some(plan) => (agreed(view, plan)),
                None => p { (view.say("no-plan")) },
            }
        }
    };
    inside(view, &view.say("plan-page-title"), &[], &content)
}

fn seats(view: &View, limit: Option<u32>, taken: usize) -> Markup {
    let shown = taken.to_string();
    html! {
        @match limit {
            Some(limit) => {
                p { (view.say_with("seats-of", &[("taken", &shown), ("limit", &limit.to_string())])) }
                progress max=(limit) value=(taken) aria-label=(view.say("seats")) {}
                @if taken >= limit as usize { p.notice { (view.say("seats-full")) } }
            },
            None => p { (view.say_with("seats-unlimited", &[("taken", &shown)])) },
        }
        p.hint { (view.say("seats-lead")) }
    }
}

fn agreed(view: &View, plan: &Plan) -> Markup {
    html! {
        dl.facts {
            dt { (view.say("plan")) } dd { (plan.name) }
            @if let Some((amount, currency)) = &plan.price {
                dt { (view.say("price")) }
                dd { data.money value=(amount) data-currency=(currency) { (amount) " " (currency) } " "
                    (view.say_of("period", plan.period)) }
            }
            @if let Some(day) = &plan.renews_on { dt { (view.say("renews-on")) } dd { (moment(day)) } }
            @if !plan.payer.is_empty() {
                dt { (view.say("payer")) }
                dd { @for line in &plan.payer { (line) br; } }
            }
            @if let Some(method) = &plan.method { dt { (view.say("payment-method")) } dd { (method) } }
        }
        p.hint { (view.say("plan-change")) }
    }
}
