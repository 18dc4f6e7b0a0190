//! Feeds.

use domain::{Aggregate, catalogue, org::user::User};

use super::{
    super::crm::feeds::{FeedOptions, FeedPage, has_feed},
    Document,
    commands::id_of,
    operation::Operation,
    problems::{self, Code},
    schemas::pascal,
};

/// Adds them.
pub(super) fn describe(document: &mut Document) {
    struct Describe<'a>(&'a mut Document);
    impl catalogue::Visitor for Describe<'_> {
        fn visit<A: Aggregate>(&mut self) {
            if has_feed(A::KIND) {
                of_kind::<A>(self.0);
            }
        }
    }
    catalogue::visit_all(&mut Describe(document));
    let description = "Reads my feed: what I did, what happened to records that are assigned to me, owned or followed by me, \
        and what was remarked about those. Entries of kinds that the key may not read are left out.";
    let operation = Operation::new("my_feed", "me", description);
    read(operation, document).at(document, "get", "/v1/me/feed");
}

fn of_kind<A: Aggregate>(document: &mut Document) {
    let kind = A::KIND.replace('_', " ");
    let article = if kind.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    let description = format!(
        "Reads the feed of {article} {kind}: what happened to it and to the records that belong to it, and what was \
         remarked about any of it, by when it occurred, newest first; now, or as it was.\n\nEntries of kinds that \
         the key may not read are left out."
    );
    let description = match A::KIND {
        User::KIND => format!("{description}\n\nThe feed of another than oneself needs `event.read` too."),
        _ => description,
    };
    let operation = Operation::new(format!("{}_feed", A::KIND), A::PLURAL, description)
        .permission(format!("{}.read", A::KIND))
        .parameter(id_of::<A>(document));
    read(operation, document).problems(format!("{}Feed", pascal(A::KIND)), Code::unknown(A::KIND)).at(
        document,
        "get",
        &format!("/v1/{}/{{id}}/feed", A::PLURAL),
    );
}

fn read(operation: Operation, document: &mut Document) -> Operation {
    let page = document.schemas.of::<FeedPage>("Feed");
    let options = document.schemas.properties::<FeedOptions>("Feed");
    operation
        .query(options)
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "A page.", page, &["Deskfold-Position"])
        .problems("Read", Code::of(&[problems::PARAMETERS, problems::QUERY, problems::MOMENT]))
        .problems("Feed", Code::of(&[problems::PAGE, problems::FEED]))
}
