//! The cards of callers.

use domain::{Aggregate, crm::contact::Contact};

use super::{
    super::crm::callers::{CallerOptions, Callers},
    Document,
    operation::Operation,
    problems::{self, Code},
};

/// Adds it.
pub(super) fn describe(document: &mut Document) {
    let description = "Tells who calls: the card of everybody who is reached at a number, in whatever spelling the exchange \
        or a person gives it. A number may be several people's, by telephone, WhatsApp or Viber; then all of them are told. \
        What the key may not see is on no card and in no count.";
    let page = document.schemas.of::<Callers>("Caller");
    let options = document.schemas.properties::<CallerOptions>("Caller").into_iter();
    let options =
        options.map(|(name, schema, is_required)| (name.clone(), schema, is_required || name == "number")).collect();
    Operation::new("callers", Contact::PLURAL, description)
        .permission("contact.read")
        .query(options)
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "Everybody whom it may be; nobody where the number is not known.", page, &["Deskfold-Position"])
        .problems("Callers", Code::of(&[problems::PARAMETERS, problems::QUERY, problems::CALLERS]))
        .at(document, "get", "/v1/callers");
}
