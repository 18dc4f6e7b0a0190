//! What a colleague is responsible for.

use domain::org::user::User;
use projections::{List, org::holdings::Holdings};

use super::{Document, commands::id_of, lists, operation::Operation, problems::Code, schemas::refer};

/// Adds it.
pub(super) fn describe(document: &mut Document) {
    let description = format!(
        "Lists what a user is responsible for: tickets, conversations and tasks assigned to the user, records owned. What \
         is `open` goes to whoever the user's work is handed over to; `group=kind` counts it by kind.\n\n{}",
        lists::fields(List::of::<Holdings>())
    );
    let mut operation = Operation::new("holdings_of_user", "users", description)
        .permission("user.read")
        .parameter(id_of::<User>(document));
    for parameter in lists::in_address(List::of::<Holdings>(), "Holdings") {
        operation = operation.parameter(parameter);
    }
    operation
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "A page.", refer("HoldingsPage"), &["Deskfold-Position"])
        .problems("List", lists::codes())
        .problems("Holdings", Code::unknown("user"))
        .at(document, "get", "/v1/users/{id}/holdings");
}
