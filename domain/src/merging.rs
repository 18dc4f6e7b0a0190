//! Records merged into others: which one goes on for them, and through which.

use crate::{Aggregate, Ctx, Id, Need};

/// The record and those that it was merged into, one after the other, as far as the facts go; the last one goes on for all.
pub fn chain<A: Aggregate>(id: Id, ctx: &Ctx<'_>) -> Vec<Id> {
    let mut chain = vec![id];
    while let Some(last) = chain.last().copied().filter(|last| ctx.facts.has(A::KIND, *last)) {
        match ctx.fact::<A>(last).merged_into().filter(|next| !chain.contains(next)) {
            Some(next) => chain.push(next),
            None => break,
        }
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
