//! How a tenant begins: its roles, its first admin and the admin's key.

use commands::{Commands, Order, Refused};
use domain::{
    Id, Personal, Time, Via, api_key, api_key::ApiKey, role, role::Role, tenant, tenant::Tenant, user, user::User,
};
use uuid::Uuid;

use crate::{StartError, auth, config::Serve};

/// The roles that a tenant starts with, and what each permits.
const ROLES: &[(&str, &[&str])] = &[
    ("admin", &["*"]),
    (
        "agent",
        &[
            "*.read",
            "ticket.*",
            "contact.*",
            "company.*",
            "entitlement.*",
            "user.set_presence",
            "lead.*",
            "property.*",
            "enquiry.*",
            "offer.*",
            "deal.*",
            "order.*",
            "call.*",
            "conversation.*",
            "label.*",
            "quick_reply.*",
            "comment.*",
            "activity.*",
            "relation.*",
            "project.*",
            "task.*",
        ],
    ),
    ("viewer", &["*.read"]),
];
/// Held while the first tenant is created, so that two processes never create two.
const FIRST_TENANT: i64 = 7_813_887_467;

/// The first admin of a tenant.
#[derive(Clone, Debug)]
pub struct FirstAdmin {
    /// The tenant.
    pub tenant: Id,
    /// The admin.
    pub user: Id,
    /// The admin's API key; it is known only now.
    pub key: String,
}

/// Creates the first tenant if the log is empty.
pub(crate) async fn first_tenant(
    commands: &Commands,
    config: &Serve,
    now: Time,
) -> Result<Option<FirstAdmin>, StartError> {
    let mut connection = commands.log().pool().acquire().await?.detach();
    sqlx::query("select pg_advisory_lock($1)").bind(FIRST_TENANT).execute(&mut connection).await?;
    let created = match commands.log().head().await? {
        0 => create_tenant(commands, &config.tenant_name, &config.admin_email, now).await.map(Some),
        _ => Ok(None),
    };
    // Closing the connection releases the lock.
    sqlx::Connection::close(connection).await?;
    created.map_err(|error| StartError::Bootstrap(error.to_string()))
}

/// Creates a tenant with its roles, an admin and the admin's key.
pub(crate) async fn create_tenant(
    commands: &Commands,
    name: &str,
    admin_email: &str,
    now: Time,
) -> Result<FirstAdmin, Refused> {
    let fresh = || Id::derived(u64::try_from(now.as_millisecond()).unwrap_or_default(), &[&Uuid::now_v7().to_string()]);
    let tenant = fresh();
    let order = |id| Order::new(tenant, id, auth::SYSTEM, Via::Api, now);
    commands.dispatch::<Tenant>(&order(tenant), tenant::Command::Create { name: name.to_owned() }).await?;
    let mut admin_role = None;
    for (name, permissions) in ROLES {
        let id = fresh();
        admin_role.get_or_insert(id);
        let permissions = permissions.iter().map(|permission| (*permission).to_owned()).collect();
        let new = role::New { name: (*name).to_owned(), permissions };
        commands.dispatch::<Role>(&order(id), role::Command::Create(new)).await?;
    }
    let user = fresh();
    let name = admin_email.split('@').next().unwrap_or(admin_email);
    let profile = user::Profile {
        email: Personal(admin_email.to_owned()),
        name: Personal(name.to_owned()),
        ..Default::default()
    };
    let mut invitation = vec![user::Command::Invite(profile), user::Command::Activate];
    invitation.extend(admin_role.map(|role| user::Command::GrantRole { role }));
    commands.dispatch_all::<User>(&order(user), invitation).await?;
    let (key, _) = issue_key(commands, &order(fresh()), "first admin", user, None, None).await?;
    Ok(FirstAdmin { tenant, user, key })
}

/// Issues an API key under `order`'s id and returns its secret, which is known only now, with what was written.
///
/// # Errors
/// When there is no such active user or role.
pub async fn issue_key(
    commands: &Commands,
    order: &Order,
    name: &str,
    user: Id,
    role: Option<Id>,
    expires_at: Option<Time>,
) -> Result<(String, commands::Accepted), Refused> {
    let (secret, digest) = auth::new_secret().map_err(|error| Refused::Broken(error.to_string()))?;
    let prefix = secret.chars().take(12).collect();
    let issue = api_key::Issue { name: name.to_owned(), user, role, expires_at, digest, prefix };
    let accepted = commands.dispatch::<ApiKey>(order, api_key::Command::Issue(issue)).await?;
    Ok((secret, accepted))
}
