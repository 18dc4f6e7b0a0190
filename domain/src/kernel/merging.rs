//! Records merged into others: which one goes on for them, and through which.

use crate::{
    Aggregate, Ctx, Facts, Id, Need,
    catalogue::{self, Kind},
};

/// The kinds of records that merge.
pub const KINDS: &[&str] = &["contact", "company", "ticket"];

/// The kinds of merging records that a field of this name, such as `deal.contact_id`, may refer to: all where the name does
/// not tell.
pub fn kinds_meant(field: &str) -> &'static [&'static str] {
    // A custom field may be called like one kind and name another.
    if field.split('.').any(|name| name == "custom") {
        return KINDS;
    }
    let mut names = field.rsplit('.');
    let last = names.next().unwrap_or_default();
    let name = if last == "id" { names.next().unwrap_or_default() } else { last };
    let name = name.strip_suffix("_ids").or(name.strip_suffix("_id")).unwrap_or(name);
    let kind = match name {
        "customer" | "contacts" => "contact",
        "companies" => "company",
        // Whoever does the work.
        "actor" | "assignee" | "owner" | "author" => return &[],
        name => name,
    };
    match KINDS.iter().position(|known| *known == kind) {
        Some(place) => KINDS.get(place..=place).unwrap_or(KINDS),
        None if catalogue::has(kind) => &[],
        None => KINDS,
    }
}

/// The record and those that it was merged into, one after the other, as far as the facts go; the last one goes on for all.
pub fn chain<A: Aggregate>(id: Id, ctx: &Ctx<'_>) -> Vec<Id> {
    follow(id, |last| ctx.facts.has(A::KIND, last).then(|| ctx.fact::<A>(last).merged_into()).flatten())
}

/// The same for a kind that is known by its name alone.
pub fn chain_of(kind: &Kind, id: Id, facts: &Facts) -> Vec<Id> {
    follow(id, |last| facts.any(kind.name, last).and_then(|state| kind.merged_into(state)))
}

fn follow(id: Id, merged_into: impl Fn(Id) -> Option<Id>) -> Vec<Id> {
    let mut chain = vec![id];
    while let Some(next) = chain.last().and_then(|last| merged_into(*last)).filter(|next| !chain.contains(next)) {
        chain.push(next);
    }
    chain
}

/// The record that goes on for `id`, as far as the facts go: itself, unless it was merged.
pub fn survivor<A: Aggregate>(id: Id, ctx: &Ctx<'_>) -> Id {
    chain::<A>(id, ctx).last().copied().unwrap_or(id)
}

/// What must be loaded to know it; a merge meanwhile would lead elsewhere.
pub fn needs<A: Aggregate>(id: Id, ctx: &Ctx<'_>) -> Vec<Need> {
    chain::<A>(id, ctx).into_iter().map(Need::guarded::<A>).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_that_merge_are_those_that_take_the_command() {
        let merge = catalogue::kinds().filter(|kind| kind.commands.contains("merge")).map(|kind| kind.name);
        let known: std::collections::BTreeSet<_> = KINDS.iter().copied().collect();
        assert_eq!(merge.collect::<std::collections::BTreeSet<_>>(), known);
    }

    #[test]
    fn the_name_of_a_field_says_which_merged_records_it_may_name() {
        let cases: [(&str, &[&str]); 12] = [
            ("deal.contact_id", &["contact"]),
            ("order.customer_id", &["contact"]),
            ("order.customer", &["contact"]),
            ("sale.contacts", &["contact"]),
            ("contact.company_ids", &["company"]),
            ("ticket.id", &["ticket"]),
            ("ticket.product_id", &[]),
            ("ticket.assignee_id", &[]),
            ("event.actor.id", &[]),
            ("ticket.requester.id", KINDS),
            ("task.subject_ids", KINDS),
            ("ticket.custom.owner", KINDS),
        ];
        for (field, kinds) in cases {
            assert_eq!(kinds_meant(field), kinds, "{field}");
        }
    }
}
