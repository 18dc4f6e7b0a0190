//! `deskfold key`, `deskfold admin` and `deskfold tenant`: straight on the database, so that an operator who lost every key
//! gets in.

use std::{collections::BTreeSet, time::Duration};

use commands::{Commands, Envelope, Refused};
use domain::{
    Authority, Id, Time, Via,
    org::{
        api_key::{self, ApiKey},
        role::Role,
    },
};
use eventstore::Log;
use prometheus::Registry;

use super::{Failure, print, serve};
use crate::{
    auth::SYSTEM,
    bootstrap::{FirstAdmin, create_tenant, issue_key, restore_admin},
    config::{Admin, Database, Key, Tenant},
    database::Connected,
    sign_in::to_set_a_password,
};

/// How long a link is good.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) async fn run(key: Key) -> Result<(), Failure> {
    match key {
        Key::Issue { database, user, name, role, days, tenant } => {
            let bench = Bench::open(&database).await?;
            let issued = bench.issue(&user, &name, role.as_deref(), days, tenant.as_deref()).await;
            bench.close().await;
            print(&issued?.secret)
        }
        Key::Revoke { database, id, tenant } => {
            let bench = Bench::open(&database).await?;
            let revoked = bench.revoke(&id, tenant.as_deref()).await;
            bench.close().await;
            revoked?;
            print(&format!("{id} is revoked."))
        }
    }
}

pub(super) async fn admin(admin: Admin) -> Result<(), Failure> {
    match admin {
        Admin::Restore { database, user, tenant } => {
            let bench = Bench::open(&database).await?;
            let restored = bench.restore(&user, tenant.as_deref()).await;
            bench.close().await;
            let restored = restored?;
            print(&format!("tenant {}\nadmin  {}\nkey    {}", restored.tenant, restored.user, restored.key))
        }
        Admin::Link { database, user, url, tenant } => {
            let bench = Bench::open(&database).await?;
            let url = url.unwrap_or_else(|| serve::address_in(&database.data_dir));
            let link = bench.link(&user, &url, tenant.as_deref()).await;
            bench.close().await;
            print(&link?)
        }
    }
}

pub(super) async fn tenant(tenant: Tenant) -> Result<(), Failure> {
    let Tenant::Create { database, name, admin_email } = tenant;
    let bench = Bench::open(&database).await?;
    let created = create_tenant(&bench.commands, &name, &admin_email, Time::now()).await;
    bench.close().await;
    let created = created?;
    print(&format!("tenant {}\nadmin  {}\nkey    {}", created.tenant, created.user, created.key))
}

/// A key that was just issued.
pub(super) struct Issued {
    pub(super) tenant: Id,
    pub(super) id: Id,
    pub(super) secret: String,
    pub(super) expires_at: Option<Time>,
}

/// The write side without a server.
pub(super) struct Bench {
    connected: Connected,
    pub(super) log: Log,
    commands: Commands,
}

impl Bench {
    pub(super) async fn open(database: &Database) -> Result<Bench, Failure> {
        let connected = Connected::to(database).await?;
        let pool = connected.pool(4).await?;
        eventstore::MIGRATOR.run(&pool).await?;
        let log = Log::open(pool, eventstore::Options::default()).await?;
        let commands = Commands::new(log.clone(), 1000, commands::Metrics::new(&Registry::new())?);
        Ok(Bench { connected, log, commands })
    }

    pub(super) async fn close(self) {
        self.commands.close().await;
        self.log.close().await;
        self.log.pool().close().await;
        self.connected.stop().await;
    }

    /// The tenant named, or the only one there is.
    pub(super) async fn tenant(&self, named: Option<&str>) -> Result<Id, Failure> {
        if let Some(named) = named {
            return Ok(named.parse().map_err(|_| format!("{named} is no tenant's id"))?);
        }
        let types = vec!["tenant.created".to_owned()];
        let categories = vec!["tenant".to_owned()];
        let query = eventstore::Query { types, categories, limit: 1000, ..eventstore::Query::default() };
        let tenants: BTreeSet<_> = self.log.read_all(&query).await?.into_iter().map(|event| event.tenant).collect();
        match tenants.iter().collect::<Vec<_>>().as_slice() {
            [] => Err("there is no tenant yet: run `deskfold serve` once".into()),
            [tenant] => Ok(tenant.parse().map_err(|_| "the tenant's id is not readable")?),
            several => {
                let list: Vec<_> = several.iter().map(ToString::to_string).collect();
                Err(format!("there are several tenants; name one with --tenant: {}", list.join(", ")).into())
            }
        }
    }

    /// The user with this address.
    async fn user(&self, tenant: Id, email: &str) -> Result<Id, Failure> {
        let email = email.to_lowercase();
        let missing = || {
            format!(
                "no user has the address {email}; `deskfold admin restore --user {email}` makes one an administrator"
            )
        };
        Ok(self.claimed(tenant, "user.email", &email).await?.ok_or_else(missing)?)
    }

    async fn link(&self, user: &str, url: &str, tenant: Option<&str>) -> Result<String, Failure> {
        let tenant = self.tenant(tenant).await?;
        let (user, now) = (self.user(tenant, user).await?, Time::now());
        let envelope = Envelope::new(tenant, user, SYSTEM, Via::Api, now);
        let made = to_set_a_password(&self.commands, self.log.pool(), &envelope, now + A_DAY, url).await;
        Ok(made.map_err(|problem| problem.told().1)?)
    }

    async fn claimed(&self, tenant: Id, scope: &str, key: &str) -> Result<Option<Id>, Failure> {
        let owner = self.log.claim_owner(&tenant.to_string(), scope, key).await?;
        Ok(owner.and_then(|owner| owner.key().parse().ok()))
    }

    /// A new key: its secret, the tenant and its id.
    pub(super) async fn issue(
        &self,
        user: &str,
        name: &str,
        role: Option<&str>,
        days: Option<u32>,
        tenant: Option<&str>,
    ) -> Result<Issued, Failure> {
        let tenant = self.tenant(tenant).await?;
        let email = user.to_lowercase();
        let user = self.user(tenant, user).await?;
        let role = match role {
            Some(role) => Some(
                self.claimed(tenant, "role.name", &role.trim().to_lowercase())
                    .await?
                    .ok_or(format!("there is no role {role}"))?,
            ),
            None => None,
        };
        let now = Time::now();
        let expires_at = days.map(|days| now + Duration::from_secs(u64::from(days) * 24 * 60 * 60));
        let id = Id::derived(u64::try_from(now.as_millisecond())?, &[&uuid::Uuid::now_v7().to_string()]);
        let envelope = Envelope::new(tenant, id, SYSTEM, Via::Api, now);
        match issue_key(&self.commands, &envelope, name, user, role, expires_at).await {
            Ok((secret, _)) => Ok(Issued { tenant, id, secret, expires_at }),
            Err(Refused::Rejected(refusal)) if refusal.code == "api_key_user_unfit" => {
                let restore = format!("`deskfold admin restore --user {email}` makes one an administrator again");
                Err(format!("{email} is deactivated; {restore}").into())
            }
            Err(refused) => Err(refused.into()),
        }
    }

    /// Lets a user do everything, and makes the user, a role and a key for it as far as they are missing.
    async fn restore(&self, email: &str, tenant: Option<&str>) -> Result<FirstAdmin, Failure> {
        let (tenant, now) = (self.tenant(tenant).await?, Time::now());
        let user = self.claimed(tenant, "user.email", &email.to_lowercase()).await?;
        let mut role = None;
        for name in ["admin".to_owned()].into_iter().chain((1..).map(|nth| format!("restored admin {nth}"))) {
            let found = match self.claimed(tenant, "role.name", &name).await? {
                None => (name, None),
                Some(id) => {
                    let (state, _) = self.commands.load_current::<Role>(tenant, id).await?;
                    let full = Authority::new([state]).is_full();
                    if !full {
                        // What others have is not made more by this.
                        continue;
                    }
                    (name, Some(id))
                }
            };
            role = Some(found);
            break;
        }
        let (name, role) = role.ok_or("there is no name left for a role")?;
        Ok(restore_admin(&self.commands, tenant, user.ok_or(email), role.ok_or(&name), now).await?)
    }

    pub(super) async fn revoke(&self, id: &str, tenant: Option<&str>) -> Result<(), Failure> {
        let tenant = self.tenant(tenant).await?;
        let id = id.parse().map_err(|_| format!("{id} is no key's id"))?;
        let envelope = Envelope::new(tenant, id, SYSTEM, Via::Api, Time::now());
        let revoke = api_key::Command::Revoke { reason: Some("revoked on the command line".into()) };
        self.commands.dispatch::<ApiKey>(&envelope, revoke).await?;
        Ok(())
    }
}
