//! One record naming another: by a field of a known kind, or as a subject of any kind.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Aggregate, Ctx, Id, Need, Rejection, all,
    catalogue::{Visitor, visit_all},
};

/// Most subjects of one comment, activity or task.
pub const MAX_SUBJECTS: usize = 50;

/// A record that does not exist, or is archived or merged.
pub const REFERENCE_UNFIT: Rejection =
    Rejection::invalid("reference_unfit", "There is no such record, or it is archived or merged.");
/// Subjects that are none, or too many.
pub const SUBJECTS_INVALID: Rejection = Rejection::invalid("subjects_invalid", "It is about 1 to 50 records.");

/// A record of any kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its kind, such as `contact`.
    pub kind: String,
    /// Its id.
    pub id: Id,
}

impl Subject {
    /// The record `id` of this kind.
    pub fn new(kind: &str, id: Id) -> Subject {
        Subject { kind: kind.to_owned(), id }
    }
}

/// The first contact among the subjects: whose personal data a text about them holds.
pub fn person(subjects: &[Subject]) -> Option<Id> {
    subjects.iter().find(|subject| subject.kind == "contact").map(|subject| subject.id)
}

/// Whether a record is live, as far as the facts go.
type Live = fn(&Ctx<'_>, Id) -> bool;

/// A record that a command names, which must be live.
pub struct Reference {
    pointer: String,
    kind: String,
    id: Id,
    target: Option<(Need, Live)>,
}

impl Reference {
    /// The record `id` of kind `A`, named at this place in the body.
    pub fn to<A: Aggregate>(pointer: impl Into<String>, id: Id) -> Reference {
        let target: (Need, Live) = (Need::of::<A>(id), |ctx, id| ctx.fact::<A>(id).is_live());
        Reference { pointer: pointer.into(), kind: A::KIND.to_owned(), id, target: Some(target) }
    }

    /// A record of any kind.
    pub fn subject(pointer: impl Into<String>, subject: &Subject) -> Reference {
        struct Find<'a>(&'a Subject, Reference);
        impl Visitor for Find<'_> {
            fn visit<A: Aggregate>(&mut self) {
                if A::KIND == self.0.kind {
                    self.1.target = Reference::to::<A>("", self.0.id).target;
                }
            }
        }
        let nothing = Reference { pointer: pointer.into(), kind: subject.kind.clone(), id: subject.id, target: None };
        let mut find = Find(subject, nothing);
        visit_all(&mut find);
        find.1
    }

    /// Whether both name the same record in the same place.
    pub fn is_same(&self, other: &Reference) -> bool {
        (&self.pointer, &self.kind, self.id) == (&other.pointer, &other.kind, other.id)
    }
}

/// References to subjects listed under `/subjects`.
pub fn subjects(subjects: &[Subject]) -> Vec<Reference> {
    let at = |(index, subject)| Reference::subject(format!("/subjects/{index}"), subject);
    subjects.iter().enumerate().map(at).collect()
}

/// What must be loaded to check them. A record that is archived just now breaks no rule.
pub fn needs(references: &[Reference]) -> Vec<Need> {
    references.iter().filter_map(|reference| reference.target.as_ref().map(|(need, _)| need.clone())).collect()
}

/// Refuses what is not live, naming every place at fault.
pub fn check(references: &[Reference], ctx: &Ctx<'_>) -> Result<(), Rejection> {
    let live = |reference: &&Reference| reference.target.as_ref().is_some_and(|(_, live)| live(ctx, reference.id));
    all(references.iter().filter(|reference| !live(reference)).map(|reference| {
        let kind = reference.kind.replace('_', " ");
        let refusal = REFERENCE_UNFIT.because(format!("There is no such {kind}, or it is archived or merged."));
        Err(refusal.at(&reference.pointer))
    }))
}

/// Refuses no subjects, too many, and subjects that are not live.
pub fn check_subjects(list: &[Subject], ctx: &Ctx<'_>) -> Result<(), Rejection> {
    if list.is_empty() || list.len() > MAX_SUBJECTS {
        return Err(SUBJECTS_INVALID.at("/subjects"));
    }
    check(&subjects(list), ctx)
}
