//! Every aggregate, once: routes, JSON dispatch, golden tests and OpenAPI walk this list.

use std::{collections::BTreeSet, sync::LazyLock};

use schemars::SchemaGenerator;

use crate::Aggregate;

/// Something that does the same for every aggregate.
pub trait Visitor {
    /// Does it for `A`.
    fn visit<A: Aggregate>(&mut self);
}

/// Shows every aggregate to a visitor.
pub fn visit_all(visitor: &mut impl Visitor) {
    visitor.visit::<crate::tenant::Tenant>();
    visitor.visit::<crate::user::User>();
    visitor.visit::<crate::role::Role>();
    visitor.visit::<crate::team::Team>();
    visitor.visit::<crate::contact::Contact>();
    visitor.visit::<crate::company::Company>();
    visitor.visit::<crate::product::Product>();
    visitor.visit::<crate::product_category::ProductCategory>();
    visitor.visit::<crate::entitlement::Entitlement>();
    visitor.visit::<crate::field::Field>();
    visitor.visit::<crate::api_key::ApiKey>();
    visitor.visit::<crate::import::Import>();
    visitor.visit::<crate::ticket::Ticket>();
}

/// Whether there is such a kind of record.
pub fn has(kind: &str) -> bool {
    struct Find<'a>(&'a str, bool);
    impl Visitor for Find<'_> {
        fn visit<A: Aggregate>(&mut self) {
            self.1 |= A::KIND == self.0;
        }
    }
    let mut find = Find(kind, false);
    visit_all(&mut find);
    find.1
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

/// Permissions that belong to no single kind of record.
const SYSTEM_PERMISSIONS: &[&str] = &[
    "event.read",
    "event.backdate",
    "user.act_for",
    "import.run",
    "export.run",
    "tenant.operate",
    "report.read",
    "search.read",
];

/// Everything that can be permitted: `{kind}.{command}` for every command, `{kind}.read` for every kind, and what belongs
/// to no single kind.
pub fn permissions() -> &'static BTreeSet<String> {
    struct Permissions(BTreeSet<String>);
    impl Visitor for Permissions {
        fn visit<A: Aggregate>(&mut self) {
            let commands = A::commands(&mut SchemaGenerator::default());
            self.0.extend(commands.iter().map(|command| format!("{}.{}", A::KIND, command.name)));
            self.0.insert(format!("{}.read", A::KIND));
        }
    }
    static ALL: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let mut all = Permissions(SYSTEM_PERMISSIONS.iter().map(|name| (*name).to_owned()).collect());
        visit_all(&mut all);
        all.0
    });
    &ALL
}

#[cfg(test)]
mod tests;
