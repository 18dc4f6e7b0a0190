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
use eventstore::{Query, Recorded};
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

/// A role that its tenant started with, as it is by what was read of it.
struct Former {
    /// What it was called when it was shipped.
    name: String,
    role: Role,
    /// Version of the last event that was read of it.
    version: i64,
    /// Whether somebody but Deskfold has changed what it permits.
    changed: bool,
}

impl Former {
    /// The one that an event begins, if it permitted then what such a role was shipped with before now.
    fn begun(event: &Recorded, told: &Event, (tenant, id): (Id, Id)) -> Option<Former> {
        let Event::Created(new) = told else { return None };
        let (last, former) = SHIPPED.get(&new.name)?.split_last()?;
        let was_shipped = new.permissions != *last && former.contains(&new.permissions);
        // Whatever a tenant starts with is of the moment of the tenant.
        let began = was_shipped && (is_own(event) || id.millisecond() == tenant.millisecond());
        let name = new.name.clone();
        began.then(|| Former { name, role: Role::default(), version: -1, changed: false })
    }

    fn take_in(&mut self, event: &Recorded, told: &Event) {
        self.changed |= matches!(told, Event::PermissionsChanged { .. }) && !is_own(event);
        self.role.evolve(told);
        self.version = event.version;
    }
}

/// Has the roles that tenants started with, and have left as they were, permit what they permit in new tenants. Doing so again
/// changes nothing, in whatever process. All roles are read in one pass; only one that is to change costs more.
///
/// # Errors
/// When the log refuses or cannot be reached.
pub(crate) async fn bring_up_to_date(commands: &Commands, now: Time) -> Result<(), Refused> {
    let present: BTreeMap<&str, BTreeSet<String>> = bootstrap::roles().collect();
    let mut former: BTreeMap<(Id, Id), Former> = BTreeMap::new();
    let mut query = Query { limit: PAGE, categories: vec![Role::KIND.to_owned()], ..Query::default() };
    loop {
        let page = commands.log().read_all(&query).await?;
        for event in &page {
            let (Ok(tenant), Ok(id)) = (event.tenant.parse(), event.key().parse()) else { continue };
            let Ok(told) = Role::decode(&event.kind, &event.data) else { continue };
            if let Some(begun) = Former::begun(event, &told, (tenant, id)) {
                former.insert((tenant, id), begun);
            }
            if let Some(known) = former.get_mut(&(tenant, id)) {
                known.take_in(event, &told);
            }
        }
        query.after = page.last().map(|event| event.position);
        if (page.len() as i64) < PAGE {
            break;
        }
    }
    for ((tenant, id), known) in former {
        let Some(permissions) = present.get(known.name.as_str()) else { continue };
        if !known.changed && known.role.exists() && known.role.permissions != *permissions {
            bring_one(commands, (tenant, id), &known, permissions, now).await?;
        }
    }
    Ok(())
}

/// Whether Deskfold itself did it.
fn is_own(event: &Recorded) -> bool {
    serde_json::from_slice::<Metadata>(&event.metadata).is_ok_and(|metadata| metadata.actor.kind == ActorKind::System)
}

async fn bring_one(
    commands: &Commands,
    (tenant, id): (Id, Id),
    Former { role, version, .. }: &Former,
    permissions: &BTreeSet<String>,
    now: Time,
) -> Result<(), Refused> {
    let add: BTreeSet<String> = permissions.difference(&role.permissions).cloned().collect();
    let remove: BTreeSet<String> = role.permissions.difference(permissions).cloned().collect();
    let wanted: Vec<&str> = permissions.iter().map(String::as_str).collect();
    let envelope = Envelope {
        command_id: Uuid::new_v5(&NAMESPACE, format!("{tenant} {id} {}", wanted.join(" ")).as_bytes()),
        remember: true,
        expected: Some(*version),
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
