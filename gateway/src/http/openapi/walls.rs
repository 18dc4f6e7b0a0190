//! Who may see and change a record and by what.

use domain::Aggregate;
use serde_json::Value;

use super::{
    super::kernel::{
        moment::Moment,
        walls::{Mine, Which, WhoMay},
    },
    Document,
    commands::id_of,
    operation::Operation,
    problems::{self, Code},
    schemas::pascal,
};

/// Who may see the records of one kind.
pub(super) fn of_kind<A: Aggregate>(document: &mut Document) {
    let kind = A::KIND.replace('_', " ");
    let answer = document.schemas.of::<WhoMay>("");
    let options = document.schemas.properties::<Moment>("");
    let description = format!(
        "Who sees a {kind}, and who may do what to it, each with what permits it: roles and how far they reach, the relation \
         to the record, a team, a share. `as_of` says who could then, by the roles, teams and relations of then.\n\nPermission \
         to see colleagues: `user.read`."
    );
    Operation::new(format!("{}_access", A::KIND), A::PLURAL, description)
        .permission(format!("{}.read", A::KIND))
        .parameter(id_of::<A>(document))
        .query(options)
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "Whoever sees it.", answer, &["Deskfold-Position"])
        .problems("Log", Code::of(&[problems::PARAMETERS, problems::QUERY]))
        .problems("Access", Code::of(&[problems::MOMENT]))
        .problems(format!("{}Read", pascal(A::KIND)), Code::unknown(A::KIND))
        .at(document, "get", &format!("/v1/{}/{{id}}/access", A::PLURAL));
}

/// What the caller may.
pub(super) fn mine(document: &mut Document) {
    let answer: Value = document.schemas.of::<Mine>("");
    let options: Vec<_> = document.schemas.properties::<Which>("");
    let description = "Whether and why I see a record, and which commands I may issue for it. Of what I do not see it says \
        the same as of what does not exist. `as_of` says what I might then, by the roles, teams and relations of then; only of \
        what I see now.";
    Operation::new("my_access", "me", description)
        .query(options)
        .shared(&["Deskfold-Min-Position", "Deskfold-On-Behalf-Of"])
        .answer(200, "What I may.", answer, &["Deskfold-Position"])
        .problems("Log", Code::of(&[problems::PARAMETERS, problems::QUERY]))
        .problems("Access", Code::of(&[problems::MOMENT]))
        .at(document, "get", "/v1/me/access");
}
