//! Brings an entitlement to what another system says of it, whatever it is now. Pure.

use domain::{
    Id, Party, Rejection,
    desk::entitlement::{Command, Entitlement, Status},
    kernel::{
        external::ExternalId,
        named::{Named, Undecodable},
    },
};
use serde_json::{Map, Value, json};

/// How another system says an entitlement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Active,
    Revoked,
    Expired,
}

/// What another system says of an entitlement; what it leaves out stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) product: Option<Id>,
    pub(crate) holder: Option<Party>,
    /// Details and `custom`, as a JSON merge patch.
    pub(crate) details: Map<String, Value>,
    pub(crate) standing: Option<Standing>,
    pub(crate) external: Option<ExternalId>,
}

/// Why there are no commands.
#[derive(Clone, Debug)]
pub(crate) enum Unfit {
    Rejected(Rejection),
    Undecodable(Undecodable),
}

const PRODUCT_DIFFERS: Rejection = Rejection::conflict(
    "entitlement_product_differs",
    "An entitlement keeps its product: revoke it, and grant the other product under another external id.",
);
const PRODUCT_MISSING: Rejection =
    Rejection::invalid("entitlement_product_missing", "A new entitlement names its product.");
const HOLDER_MISSING: Rejection =
    Rejection::invalid("entitlement_holder_missing", "A new entitlement names its holder.");

/// The commands that bring `state` to what is wanted; the domain leaves out what is so already.
pub(crate) fn commands(state: &Entitlement, wanted: Wanted) -> Result<Vec<Command>, Unfit> {
    let Wanted { product, holder, mut details, standing, external } = wanted;
    let mut commands = Vec::new();
    if state.status == Status::Missing {
        let product = product.ok_or(Unfit::Rejected(PRODUCT_MISSING.at("/product")))?;
        let holder = holder.ok_or(Unfit::Rejected(HOLDER_MISSING.at("/holder")))?;
        details.retain(|_, value| !value.is_null());
        if let Some(Value::Object(custom)) = details.get_mut("custom") {
            custom.retain(|_, value| !value.is_null());
        }
        details.insert("product".into(), json!(product));
        details.insert("holder".into(), json!(holder));
        if let Some(ExternalId { source, external_id }) = external {
            details.insert("source".into(), source.into());
            details.insert("external_id".into(), external_id.into());
        }
        commands.push(Command::from_value("grant", Value::Object(details)).map_err(Unfit::Undecodable)?);
    } else {
        if product.is_some() && product != state.product {
            return Err(Unfit::Rejected(PRODUCT_DIFFERS.at("/product")));
        }
        if standing == Some(Standing::Active) && state.status != Status::Active {
            commands.push(Command::Reinstate);
        }
        if let Some(to) = holder.filter(|holder| state.holder != Some(*holder)) {
            commands.push(Command::Transfer { to });
        }
        // A value that a retired field still has is no request to set it.
        if let Some(Value::Object(custom)) = details.get_mut("custom") {
            custom.retain(|key, value| state.custom.get(key) != Some(value));
        }
        details.retain(|key, value| key != "custom" || value.as_object().is_none_or(|custom| !custom.is_empty()));
        if !details.is_empty() {
            commands.push(Command::ChangeDetails(details));
        }
    }
    match standing {
        Some(Standing::Revoked) if state.status != Status::Revoked => commands.push(Command::Revoke { reason: None }),
        Some(Standing::Expired) if state.status != Status::Expired => commands.push(Command::Expire),
        _ => {}
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use domain::Aggregate;

    use super::*;

    fn names(state: &Entitlement, wanted: Wanted) -> Vec<String> {
        commands(state, wanted).unwrap().iter().map(|command| command.encode().0).collect()
    }

    fn full() -> Wanted {
        Wanted {
            product: Some(Id::from_bits(1)),
            holder: Some(Party::company(Id::from_bits(2))),
            details: Map::from_iter([("serial_number".to_owned(), "S-1".into()), ("quantity".to_owned(), Value::Null)]),
            standing: Some(Standing::Active),
            external: Some(ExternalId { source: "shop".into(), external_id: "7".into() }),
        }
    }

    fn granted(more: &[domain::desk::entitlement::Event]) -> Entitlement {
        let mut state = Entitlement::default();
        let Some(Command::Grant(grant)) = commands(&state, full()).unwrap().into_iter().next() else { unreachable!() };
        assert_eq!(
            (grant.serial_number.as_deref(), grant.quantity, grant.source.as_deref()),
            (Some("S-1"), None, Some("shop"))
        );
        state.evolve(&domain::desk::entitlement::Event::Granted(grant));
        more.iter().for_each(|event| state.evolve(event));
        state
    }

    #[test]
    fn a_new_one_is_granted_and_perhaps_revoked_at_once() {
        let new = Entitlement::default();
        assert_eq!(names(&new, full()), ["grant"]);
        assert_eq!(names(&new, Wanted { standing: Some(Standing::Revoked), ..full() }), ["grant", "revoke"]);
        let refused = |wanted| match commands(&new, wanted) {
            Err(Unfit::Rejected(rejection)) => rejection.code,
            other => unreachable!("{other:?}"),
        };
        assert_eq!(refused(Wanted { product: None, ..full() }), "entitlement_product_missing");
        assert_eq!(refused(Wanted { holder: None, ..full() }), "entitlement_holder_missing");
    }

    #[test]
    fn a_known_one_is_brought_up_to_date() {
        use domain::desk::entitlement::Event;
        assert_eq!(names(&granted(&[]), full()), ["change_details"]);
        assert_eq!(names(&granted(&[]), Wanted::default()), Vec::<String>::new());
        let moved = Wanted { holder: Some(Party::contact(Id::from_bits(3))), ..full() };
        let revoked = granted(&[Event::Revoked { reason: None }]);
        assert_eq!(names(&revoked, moved), ["reinstate", "transfer", "change_details"]);
        assert_eq!(
            names(&revoked, Wanted { standing: Some(Standing::Revoked), ..Wanted::default() }),
            Vec::<String>::new()
        );
        assert_eq!(names(&granted(&[]), Wanted { standing: Some(Standing::Expired), ..Wanted::default() }), ["expire"]);
        let other = commands(&granted(&[]), Wanted { product: Some(Id::from_bits(9)), ..full() });
        assert!(matches!(other, Err(Unfit::Rejected(rejection)) if rejection == PRODUCT_DIFFERS));
    }
}
