//! How a tenant begins: its roles, its first admin and the admin's key.

use std::collections::BTreeSet;

use commands::{Accepted, Commands, Envelope, Refused};
use domain::{
    Id, Personal, Time, Via,
    org::{
        api_key::{self, ApiKey},
        role::{self, Role},
        tenant::{self, Tenant},
        user::{self, User},
    },
};
use uuid::Uuid;

use crate::{StartError, auth, config::Serve};

/// What everybody who works with records reads: all of them, and what they are made of. Neither the log, nor keys, roles and
/// what only administrators set.
const READS: &[&str] = &[
    "activity.read",
    "article.read",
    "article_category.read",
    "call.read",
    "channel.read",
    "chatbot.read",
    "comment.read",
    "company.read",
    "contact.read",
    "dashboard.read",
    "deal.read",
    "delivery.read",
    "email.read",
    "enquiry.read",
    "entitlement.read",
    "field.read",
    "form.read",
    "form_submission.read",
    "label.read",
    "lead.read",
    "offer.read",
    "order.read",
    "product.read",
    "product_category.read",
    "project.read",
    "property.read",
    "quick_reply.read",
    "relation.read",
    "report.read",
    "rule.read",
    "rule_run.read",
    "search.read",
    "system_notice.read",
    "task.read",
    "team.read",
    "ticket.read",
    "user.read",
];

/// All chats, whatever channel they are held in. Who answers sees those of the channels in which he does: see `docs/decisions/0059`.
const CHATS: &[&str] = &["conversation.read"];

/// Who changes records may change many of them at once: each is decided about by itself.
const BULK: &[&str] = &["bulk.run", "bulk.read:own", "bulk.pause:own", "bulk.cancel:own"];

/// Files are seen with what refers to them, and one's own.
const FILES: &[&str] = &["upload.read:own"];
/// Who changes records sends files, and deletes his own again.
const SENDS: &[&str] = &["upload.create", "upload.read:own", "upload.delete:own"];

/// Views are everybody's to make: one's own, and what others share.
const VIEWS: &[&str] = &["view.*:own"];

/// The roles that a tenant starts with, and what each permits.
const ROLES: &[(&str, &[&[&str]])] = &[
    ("admin", &[&["*"]]),
    (
        "agent",
        &[
            READS,
            VIEWS,
            BULK,
            SENDS,
            &[
                "ticket.*",
                "article.*",
                "article_category.*",
                "form_submission.*",
                "contact.*",
                "company.*",
                "entitlement.*",
                "user.set_presence",
                "delivery.*",
                "email.*",
                "system_notice.*",
                "lead.*",
                "property.*",
                "enquiry.*",
                "offer.*",
                "deal.*",
                "order.*",
                "call.*",
                "conversation.*:own",
                "channel.join",
                "channel.leave",
                "label.*",
                "quick_reply.*",
                "comment.*",
                "activity.*",
                "relation.*",
                "project.*",
                "task.*",
                "report.*",
                "dashboard.*",
            ],
        ],
    ),
    ("viewer", &[READS, CHATS, VIEWS, FILES]),
    ("auditor", &[&["*.read", "*.read_any"]]),
    ("analyst", &[READS, CHATS, VIEWS, FILES, &["export.run", "report.*", "dashboard.*"]]),
    (
        "broker",
        &[
            BULK,
            SENDS,
            &[
                "activity.*:own",
                "call.*:own",
                "comment.*:own",
                "company.*:own",
                "contact.*:own",
                "dashboard.*:own",
                "deal.*:own",
                "enquiry.*:own",
                "field.read",
                "label.read",
                "lead.*:own",
                "offer.*:own",
                "product.read",
                "product_category.read",
                "project.*:own",
                "property.*:own",
                "quick_reply.read",
                "relation.*:own",
                "report.*:own",
                "search.read:own",
                "task.*:own",
                "team.read",
                "user.read",
                "user.set_presence",
                "view.*:own",
            ],
        ],
    ),
];

/// The roles that a tenant starts with, by name, and what each permits.
pub(crate) fn roles() -> impl Iterator<Item = (&'static str, BTreeSet<String>)> {
    ROLES.iter().map(|(name, permissions)| {
        (*name, permissions.iter().copied().flatten().map(|permission| (*permission).to_owned()).collect())
    })
}

/// Held while the first tenant is created, so that two processes never create two.
pub(crate) const FIRST_TENANT: i64 = 7_813_887_467;

/// An admin who has just been let in: the first one of a tenant, or one who was restored.
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
    let envelope = Envelope::new(Id::NIL, Id::NIL, auth::SYSTEM, Via::Api, now);
    let founded = found_tenant(commands, &envelope, name, admin_email).await?;
    let gone = || Refused::Broken("a new tenant has no key".into());
    Ok(FirstAdmin { tenant: founded.accepted.id, user: founded.admin, key: founded.key.ok_or_else(gone)? })
}

/// A tenant with what it starts with.
pub(crate) struct Founded {
    /// The tenant, with all that was written.
    pub(crate) accepted: Accepted,
    /// Its first admin.
    pub(crate) admin: Id,
    /// The admin's API key; absent when it was issued before, or is not issued at all.
    pub(crate) key: Option<String>,
}

/// Creates a tenant under an order that names none yet. All ids follow from the order's own, so that a retry finds what the
/// first try made, and adds what it was kept from making.
pub(crate) async fn found_tenant(
    commands: &Commands,
    envelope: &Envelope,
    name: &str,
    admin_email: &str,
) -> Result<Founded, Refused> {
    let seed = envelope.command_id.to_string();
    let derived = |begun: u64, what: &str| Id::derived(begun, &[&seed, what]);
    let begun = u64::try_from(envelope.now.as_millisecond()).unwrap_or_default();
    let under = |tenant: Id, id: Id, what: &str| Envelope {
        tenant,
        id,
        command_id: Uuid::new_v5(&envelope.command_id, what.as_bytes()),
        expected: None,
        must_be_new: false,
        must_exist: false,
        ..envelope.clone()
    };

    // The first command is the order's own: whoever comes later with the same id finds the tenant it made.
    let create = tenant::Command::Create { name: name.to_owned() };
    let tenant = derived(begun, "tenant");
    let own = Envelope { tenant, id: tenant, ..envelope.clone() };
    let mut accepted = match made_before(commands, envelope).await? {
        Some(tenant) => {
            commands.dispatch::<Tenant>(&Envelope { tenant, id: tenant, ..envelope.clone() }, create).await?
        }
        None => match commands.dispatch::<Tenant>(&own, create.clone()).await {
            // Another process was faster with the same id, and made another tenant under it.
            Err(Refused::Reused) => match made_before(commands, envelope).await? {
                Some(tenant) => {
                    commands.dispatch::<Tenant>(&Envelope { tenant, id: tenant, ..envelope.clone() }, create).await?
                }
                None => return Err(Refused::Reused),
            },
            outcome => outcome?,
        },
    };
    let tenant = accepted.id;
    let begun = tenant.millisecond();
    let mut also = |mut more: Accepted| {
        accepted.position = accepted.position.max(more.position);
        for event in &mut more.events {
            let (category, _) = event.kind.split_once('.').unwrap_or_default();
            event.stream.get_or_insert_with(|| format!("{category}-{}", more.id));
        }
        accepted.events.append(&mut more.events);
    };
    let mut admin_role = None;
    for (name, permissions) in roles() {
        let id = derived(begun, name);
        admin_role.get_or_insert(id);
        let new = role::New { name: name.to_owned(), permissions };
        also(commands.dispatch::<Role>(&under(tenant, id, name), role::Command::Create(new)).await?);
    }
    let admin = derived(begun, "first admin");
    let name = admin_email.split('@').next().unwrap_or(admin_email);
    let profile = user::Profile {
        email: Personal(admin_email.to_owned()),
        name: Personal(name.to_owned()),
        ..Default::default()
    };
    let mut invitation = vec![user::Command::Invite(profile), user::Command::Activate];
    // A rehearsal has made no role that could be granted.
    invitation.extend(admin_role.filter(|_| !envelope.dry_run).map(|role| user::Command::GrantRole { role }));
    also(commands.dispatch_all::<User>(&under(tenant, admin, "first admin"), invitation).await?);
    if envelope.dry_run {
        return Ok(Founded { accepted, admin, key: None });
    }
    let key = under(tenant, derived(begun, "key"), "key");
    let (secret, issued) = issue_key(commands, &key, "first admin", admin, None, None).await?;
    // The secret is new each time; of a key that was issued before it is not known any more.
    let key = (!issued.repeated).then_some(secret);
    also(issued);
    Ok(Founded { accepted, admin, key })
}

/// The tenant that was created by an order with this id.
async fn made_before(commands: &Commands, envelope: &Envelope) -> Result<Option<Id>, Refused> {
    if !envelope.remember {
        return Ok(None);
    }
    let unavailable = |error: eventstore::Error| Refused::Unavailable(error.to_string());
    let stored = commands.log().stored_command(envelope.command_id).await.map_err(unavailable)?;
    let Some(stored) = stored else { return Ok(None) };
    if stored.fingerprint != envelope.fingerprint {
        return Err(Refused::Reused);
    }
    Ok(stored.tenant.parse().ok())
}

/// Lets a user do everything: one there is, or a new one with this address; by a role there is, or a new one of this name.
///
/// # Errors
/// When the log refuses or cannot be reached.
pub(crate) async fn restore_admin(
    commands: &Commands,
    tenant: Id,
    user: Result<Id, &str>,
    role: Result<Id, &str>,
    now: Time,
) -> Result<FirstAdmin, Refused> {
    let envelope = |id| Envelope::new(tenant, id, auth::SYSTEM, Via::Api, now);
    let role = match role {
        Ok(role) => role,
        Err(name) => {
            let new = role::New { name: name.to_owned(), permissions: ["*".to_owned()].into() };
            commands.dispatch::<Role>(&envelope(fresh(now)), role::Command::Create(new)).await?.id
        }
    };
    let mut steps = vec![user::Command::Activate, user::Command::GrantRole { role }];
    let user = user.unwrap_or_else(|email| {
        let name = email.split('@').next().unwrap_or(email);
        let profile =
            user::Profile { email: Personal(email.to_owned()), name: Personal(name.to_owned()), ..Default::default() };
        steps.insert(0, user::Command::Invite(profile));
        fresh(now)
    });
    commands.dispatch_all::<User>(&envelope(user), steps).await?;
    let (key, _) = issue_key(commands, &envelope(fresh(now)), "admin", user, None, None).await?;
    Ok(FirstAdmin { tenant, user, key })
}

fn fresh(now: Time) -> Id {
    Id::derived(u64::try_from(now.as_millisecond()).unwrap_or_default(), &[&Uuid::now_v7().to_string()])
}

/// Issues an API key under the envelope's id and returns its secret, which is known only now, with what was written.
///
/// # Errors
/// When there is no such active user or role.
pub async fn issue_key(
    commands: &Commands,
    envelope: &Envelope,
    name: &str,
    user: Id,
    role: Option<Id>,
    expires_at: Option<Time>,
) -> Result<(String, Accepted), Refused> {
    let (secret, digest) = auth::new_secret().map_err(|error| Refused::Broken(error.to_string()))?;
    let prefix = secret.chars().take(12).collect();
    let issue = api_key::Issue { name: name.to_owned(), user, role, expires_at, digest, prefix };
    let accepted = commands.dispatch::<ApiKey>(envelope, api_key::Command::Issue(issue)).await?;
    Ok((secret, accepted))
}

#[cfg(test)]
mod tests {
    use domain::catalogue;

    use super::{CHATS, READS};

    /// What only administrators and auditors read.
    const WITHHELD: &[&str] = &[
        "api_key.read",
        "bulk.read",
        "event.read",
        "import.read",
        "intake_source.read",
        // Each reads his own, without a permission.
        "notification.read",
        "role.read",
        "session.read",
        "tenant.read",
        // With what refers to them.
        "upload.read",
        "view.read",
        // Whoever needs some is given them.
        "webhook.read",
    ];

    /// Whoever adds a kind says here or there whether everybody who works with records reads it.
    #[test]
    fn whatever_can_be_read_is_read_by_all_or_withheld() {
        let readable = catalogue::permissions().iter().filter(|permission| permission.ends_with(".read"));
        for permission in readable.map(String::as_str) {
            let read = READS.contains(&permission) || CHATS.contains(&permission);
            assert_ne!(read, WITHHELD.contains(&permission), "{permission}");
        }
        assert!(READS.iter().chain(WITHHELD).all(|known| catalogue::permissions().contains(*known)));
    }
}
