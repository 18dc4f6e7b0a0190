//! What tickets have besides lists: threads, the picker of products, and reports.

use domain::{
    Aggregate,
    desk::{entitlement::Entitlement, ticket::Ticket},
};
use serde_json::{Value, json};

use super::{
    super::desk::tickets::{PickerOptions, Report, ReportOptions, ThreadOptions},
    Document,
    commands::id_of,
    operation::Operation,
    problems::{self, Code},
    schemas::refer,
};

/// Adds them.
pub(super) fn describe(document: &mut Document) {
    let entry = refer("TicketMessage");
    let page = document.schemas.add("TicketThreadPage", page_of(&entry));
    let options = document.schemas.properties::<ThreadOptions>("");
    let description = "Reads the thread of a ticket: messages and notes, oldest first unless `newest` says otherwise, those of tickets merged into it \
        included; now or as it was.";
    Operation::new("ticket_thread", "tickets", description)
        .permission("ticket.read")
        .parameter(id_of::<Ticket>(document))
        .query(options)
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "A page.", page, &["Deskfold-Position"])
        .problems("Read", Code::of(&[problems::PARAMETERS, problems::QUERY, problems::MOMENT]))
        .problems("Thread", Code::of(&[problems::PAGE, problems::THREAD]))
        .problems("TicketRead", Code::unknown("ticket"))
        .at(document, "get", "/v1/tickets/{id}/thread");

    let entry = refer("Entitlement");
    let page = document.schemas.add("EntitlementPicker", page_of(&entry));
    let options = document.schemas.properties::<PickerOptions>("");
    let description = "Lists the products that a ticket of this requester may be about: what is owned now by the requester, \
        or by a contact's companies.";
    Operation::new("entitlements_pick", Entitlement::PLURAL, description)
        .permission("entitlement.read")
        .query(options)
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "Entitlements; `next` is always null.", page, &["Deskfold-Position"])
        .problems("Picker", Code::of(&[problems::PARAMETERS, problems::QUERY, problems::PAGE]))
        .at(document, "get", "/v1/entitlements/picker");

    let report = document.schemas.of::<Report>("");
    let options = document.schemas.properties::<ReportOptions>("");
    Operation::new("tickets_by_product", "reports", "Counts tickets by product, over time if asked.")
        .permission("report.read")
        .query(options)
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "One row for each product, or for each product and period.", report, &["Deskfold-Position"])
        .problems("TicketsByProduct", Code::of(&[problems::PARAMETERS, problems::QUERY]))
        .at(document, "get", "/v1/reports/tickets_by_product");
}

pub(super) fn page_of(entry: &Value) -> Value {
    json!({
        "type": "object",
        "description": "A page of entries.",
        "required": ["data", "next", "position"],
        "properties": {
            "data": { "type": "array", "items": entry },
            "next": { "type": ["string", "null"], "description": "The address of the next page; null on the last." },
            "position": { "type": "integer", "description": "The position up to which this knows the log." },
        },
    })
}
