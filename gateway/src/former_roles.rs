//! Roles of tenants from before: who permits what such a role permitted when it was shipped is told once, by an event, what it
//! permits in new tenants. What a tenant has changed itself stays as it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use commands::{Commands, Envelope, Refused};
use domain::{
    ActorKind, Aggregate, Id, Metadata, Time, Via,
    org::role::{Command, Event, Role},
};
use eventstore::{Direction, Query, Recorded};
use uuid::Uuid;

use crate::{auth, bootstrap};

/// Events read at once.
const PAGE: i64 = 1000;
/// Beginning of the ids of the commands by which roles become those of now.
const NAMESPACE: Uuid = Uuid::from_u128(0x5e1b_2c7a_90d4_4f0f_8a56_c2a1_77e0_3b19);

/// What each of the roles has permitted that tenants started with, by name: first to last.
static SHIPPED: LazyLock<BTreeMap<String, Vec<BTreeSet<String>>>> = LazyLock::new(|| {
    // The file is part of the program, and a test reads it.
    serde_json::from_str(include_str!("../assets/shipped-roles.json")).unwrap_or_default()
});

/// Has the roles that tenants started with, and have left as they were, permit what they permit in new tenants. Doing so again
/// changes nothing, in whatever process.
///
/// # Errors
/// When the log refuses or cannot be reached.
pub(crate) async fn bring_up_to_date(commands: &Commands, now: Time) -> Result<(), Refused> {
    let present: BTreeMap<&str, BTreeSet<String>> = bootstrap::roles().collect();
    let mut query = Query {
        limit: PAGE,
        categories: vec![Role::KIND.to_owned()],
        types: vec!["role.created".to_owned()],
        ..Query::default()
    };
    loop {
        let page = commands.log().read_all(&query).await?;
        for event in &page {
            if let Some((name, tenant, id)) = shipped(event)
                && let Some(permissions) = present.get(name.as_str())
            {
                bring_one(commands, tenant, id, permissions, now).await?;
            }
        }
        query.after = page.last().map(|event| event.position);
        if (page.len() as i64) < PAGE {
            return Ok(());
        }
    }
}

/// The name, tenant and id of a role that its tenant started with, if that permitted something else than now.
fn shipped(event: &Recorded) -> Option<(String, Id, Id)> {
    let Ok(Event::Created(new)) = Role::decode(&event.kind, &event.data) else { return None };
    let (tenant, id): (Id, Id) = (event.tenant.parse().ok()?, event.key().parse().ok()?);
    let (last, former) = SHIPPED.get(&new.name)?.split_last()?;
    let was_shipped = new.permissions != *last && former.contains(&new.permissions);
    // Whatever a tenant starts with is of the moment of the tenant.
    (was_shipped && (is_own(event) || id.millisecond() == tenant.millisecond())).then_some((new.name, tenant, id))
}

/// Whether Deskfold itself did it.
fn is_own(event: &Recorded) -> bool {
    serde_json::from_slice::<Metadata>(&event.metadata).is_ok_and(|metadata| metadata.actor.kind == ActorKind::System)
}

async fn bring_one(
    commands: &Commands,
    tenant: Id,
    id: Id,
    permissions: &BTreeSet<String>,
    now: Time,
) -> Result<(), Refused> {
    let history =
        commands.log().read_stream(&tenant.to_string(), &Role::stream(id), 0, Direction::Forward, PAGE).await?;
    let changed = |event: &Recorded| &*event.kind == "role.permissions_changed" && !is_own(event);
    let (role, version) = commands.load_current::<Role>(tenant, id).await?;
    if history.iter().any(changed) || !role.exists() || role.permissions == *permissions {
        return Ok(());
    }
    let add: BTreeSet<String> = permissions.difference(&role.permissions).cloned().collect();
    let remove: BTreeSet<String> = role.permissions.difference(permissions).cloned().collect();
    let wanted: Vec<&str> = permissions.iter().map(String::as_str).collect();
    let envelope = Envelope {
        command_id: Uuid::new_v5(&NAMESPACE, format!("{tenant} {id} {}", wanted.join(" ")).as_bytes()),
        remember: true,
        expected: Some(version),
        ..Envelope::new(tenant, id, auth::SYSTEM, Via::Api, now)
    };
    match commands.dispatch::<Role>(&envelope, Command::ChangePermissions { add, remove }).await {
        Ok(_) => {
            tracing::info!(%tenant, role = role.name.as_deref(), "a role permits what it permits in new tenants");
            Ok(())
        }
        // Another process was faster, or the tenant.
        Err(Refused::Stale { .. }) => Ok(()),
        // A tenant may have come to depend on it: nobody is shut out by a new program.
        Err(Refused::Rejected(refusal)) => {
            tracing::warn!(%tenant, role = role.name.as_deref(), %refusal, "a role stays as it was shipped before");
            Ok(())
        }
        Err(refused) => Err(refused),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Whoever changes what a shipped role permits has tenants from before follow: `DESKFOLD_GOLDEN=write` notes it here.
    #[test]
    fn what_was_shipped_is_known() {
        let mut shipped = SHIPPED.clone();
        for (name, permissions) in bootstrap::roles() {
            let sets = shipped.entry(name.to_owned()).or_default();
            if sets.last() != Some(&permissions) {
                sets.push(permissions);
            }
        }
        if shipped != *SHIPPED && std::env::var("DESKFOLD_GOLDEN").is_ok_and(|word| word == "write") {
            let text = serde_json::to_string_pretty(&shipped).unwrap() + "\n";
            fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/shipped-roles.json"), text).unwrap();
        }
        assert_eq!(shipped, *SHIPPED, "DESKFOLD_GOLDEN=write cargo test -p gateway --lib former_roles");
        // None is what another one was: by name alone they are told apart.
        assert!(SHIPPED.values().all(|sets| !sets.is_empty()));
    }
}
