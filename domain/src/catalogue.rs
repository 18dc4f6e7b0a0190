//! Every aggregate, once: routes, JSON dispatch, golden tests and OpenAPI walk this list.

use crate::Aggregate;

/// Something that does the same for every aggregate.
pub trait Visitor {
    /// Does it for `A`.
    fn visit<A: Aggregate>(&mut self);
}

/// Shows every aggregate to a visitor.
pub fn visit_all(visitor: &mut impl Visitor) {
    visitor.visit::<crate::field::Field>();
}

/// Whether records of this kind take custom fields.
pub fn takes_custom_fields(kind: &str) -> bool {
    struct Find<'a>(&'a str, bool);
    impl Visitor for Find<'_> {
        fn visit<A: Aggregate>(&mut self) {
            self.1 |= A::CUSTOM && A::KIND == self.0;
        }
    }
    let mut find = Find(kind, false);
    visit_all(&mut find);
    find.1
}
