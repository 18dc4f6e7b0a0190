//! Search over everything.

use super::{
    super::insight::search::{SearchAnswer, SearchOptions},
    Document,
    operation::Operation,
    problems::{self, Code},
};

/// Adds it.
pub(super) fn describe(document: &mut Document) {
    let description = "Searches records of all kinds that the key may read, with what was written in them: tickets and conversations with \
        their messages, contacts, companies, properties, orders, enquiries, deals, leads, tasks, projects, products, comments and users.\n\n\
        `q` takes words in any of their forms, in Czech, Ukrainian, Russian, Lithuanian and English, with or without accents; `\"phrases\"`; \
        `-exclusions`; the last word as far as it is typed; phone numbers in any spelling; addresses and parts of them; numbers of \
        tickets and orders; `@name` for people; `field:value` for every field of a list (`status:open`, `assignee:me`, `product:\"Big Box\"`, \
        `created:>2026-01-01`), `kind:ticket`, `from:anna` for who wrote it, `is:archived`.\n\nWhat is found is grouped by kind, the best \
        first: an exact number, then by how well and how recently. Of what very many records have, the newest alone are looked at; `more` says so. \
        What the key may not see is in no answer, count or fragment. Records that were merged lead to the one that goes on.";
    let page = document.schemas.of::<SearchAnswer>("Search");
    let options = document.schemas.properties::<SearchOptions>("Search").into_iter();
    // A search for nothing is refused as one that is empty.
    let options =
        options.map(|(name, schema, is_required)| (name.clone(), schema, is_required || name == "q")).collect();
    Operation::new("search", "search", description)
        .query(options)
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "What was found.", page, &["Deskfold-Position"])
        .problems("Everywhere", Code::of(&[problems::PARAMETERS, problems::QUERY, problems::PAGE, problems::SEARCH]))
        .at(document, "get", "/v1/search");
}
