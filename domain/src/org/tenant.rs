//! The organisation whose help desk this is: its settings, features, mail servers and retention.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Aggregate, Authority, Claim, Country, Ctx, Decision, Id, Need, Rejection,
    kernel::{email, money, valid},
    org::administration,
    org::authority::DENIED,
    org::plan::{PLAN_INVALID, Plan},
    org::portal::{self, Portal},
    org::role::Role,
    org::settings::{self, FEATURE_UNKNOWN, Feature, SETTING_INVALID, SETTING_UNKNOWN},
};

/// What may be asked of a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Creates the tenant.
    Create {
        /// Its name.
        name: String,
    },
    /// Gives it another name.
    Rename {
        /// The new name.
        name: String,
    },
    /// Changes one setting.
    ChangeSetting {
        /// Which one, such as `time_zone`; `GET /v1/settings` lists them.
        key: String,
        /// Its value; null for the default.
        value: Value,
    },
    /// Switches a feature on: what was there when it was switched off is there again.
    EnableFeature {
        /// Which one, such as `products`; `GET /v1/features` lists them.
        feature: String,
    },
    /// Switches a feature off: nobody is offered its records, and nothing is taken for them.
    DisableFeature {
        /// Which one.
        feature: String,
    },
    /// Says under which domain the teams' e-mail aliases are: it stands in what leaves.
    SetAliasDomain {
        /// The domain, in small letters; null for the usual one.
        domain: Option<String>,
    },
    /// Says that mail to the teams' aliases comes in under a further domain.
    AddAliasDomain {
        /// The domain, in small letters.
        domain: String,
    },
    /// Gives a further domain back.
    RemoveAliasDomain {
        /// The domain.
        domain: String,
    },
    /// Says through which mail server mail comes in or goes out. Passwords are no part of the log: they stand in the
    /// configuration.
    SetMailServer {
        /// In or out.
        direction: Direction,
        /// The server; null for the usual one.
        server: Option<MailServer>,
    },
    /// Opens the portal, where customers find help and follow their tickets, changes what it is like, or closes it.
    SetPortal {
        /// What it is like; null to close it.
        portal: Option<Portal>,
    },
    /// Says how long data of one class is kept.
    SetRetention {
        /// Class of data, such as `attachments`.
        class: String,
        /// How many days; null for ever.
        #[schemars(range(min = 1, max = 36500))]
        days: Option<u32>,
    },
    /// Says that whoever comes by this host name comes to this tenant.
    AddHostName {
        /// The name, in any script.
        host: String,
    },
    /// Gives a host name back.
    RemoveHostName {
        /// The name.
        host: String,
    },
    /// Says by which OpenID provider people sign in. Its secret is nowhere in the log.
    SetIdentityProvider {
        /// The provider; null for none.
        provider: Option<IdentityProvider>,
    },
    /// Says what is agreed with the tenant: whoever operates the deployment does.
    SetPlan {
        /// The plan; null for none, and so for no limit.
        plan: Option<Plan>,
    },
}

/// What happens when somebody comes from the provider for the first time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FirstSignIn {
    /// A colleague with the e-mail address that the provider has verified is that person; nobody else gets in.
    #[default]
    Match,
    /// The same, and whoever is no colleague yet becomes one.
    Create,
}

/// An OpenID provider, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityProvider {
    /// What people call it.
    pub name: String,
    /// Its issuer: an https URL, below which `/.well-known/openid-configuration` is found.
    pub issuer: String,
    /// As whom Deskfold is known there.
    pub client_id: String,
    /// Under which id the client's secret is kept.
    pub credential: Id,
    /// What happens when somebody comes from there for the first time.
    #[serde(default)]
    pub first_sign_in: FirstSignIn,
    /// The role of those who are created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-reference" = "role", "x-refusal" = "tenant_provider_role_unfit"))]
    pub role: Option<Id>,
}

/// Which way mail goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To us.
    Incoming,
    /// From us.
    Outgoing,
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// Encrypted from the first byte.
    Tls,
    /// Encrypted after a greeting in the clear.
    StartTls,
    /// Not at all.
    None,
}

/// A mail server, without its password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MailServer {
    /// Host name.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Who logs in there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

/// What has happened to a tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// It was created.
    Created {
        /// Its name.
        name: String,
    },
    /// It has another name.
    Renamed {
        /// Before.
        from: String,
        /// After.
        to: String,
    },
    /// One setting changed.
    SettingChanged {
        /// Which one.
        key: String,
        /// Before; null for the default.
        from: Value,
        /// After; null for the default.
        to: Value,
    },
    /// A feature was switched on.
    FeatureEnabled {
        /// Which one.
        feature: String,
    },
    /// A feature was switched off.
    FeatureDisabled {
        /// Which one.
        feature: String,
    },
    /// The teams' e-mail aliases are under another domain.
    AliasDomainSet {
        /// Before; null for the usual one.
        from: Option<String>,
        /// After; null for the usual one.
        to: Option<String>,
    },
    /// Mail to the teams' aliases comes in under a further domain.
    AliasDomainAdded {
        /// The domain.
        domain: String,
    },
    /// It comes in under that domain no more.
    AliasDomainRemoved {
        /// The domain.
        domain: String,
    },
    /// Mail goes through another server.
    MailServerSet {
        /// In or out.
        direction: Direction,
        /// Before; null for the usual one.
        from: Option<MailServer>,
        /// After; null for the usual one.
        to: Option<MailServer>,
    },
    /// The portal was opened, changed or closed.
    PortalSet {
        /// What it was like; null when it was closed.
        from: Option<Portal>,
        /// What it is like; null when it is closed.
        to: Option<Portal>,
    },
    /// Data of one class is kept for another time.
    RetentionSet {
        /// Class of data.
        class: String,
        /// Days before; null for ever.
        from: Option<u32>,
        /// Days after; null for ever.
        to: Option<u32>,
    },
    /// Whoever comes by this host name comes to this tenant.
    HostNameAdded {
        /// The name.
        host: String,
    },
    /// The host name is nobody's.
    HostNameRemoved {
        /// The name.
        host: String,
    },
    /// People sign in by another OpenID provider.
    IdentityProviderSet {
        /// Before; null for none.
        from: Option<IdentityProvider>,
        /// After; null for none.
        to: Option<IdentityProvider>,
    },
    /// Something else is agreed with the tenant.
    PlanSet {
        /// Before; null for none.
        from: Option<Plan>,
        /// After; null for none.
        to: Option<Plan>,
        /// Who has a seat at this moment.
        seated: BTreeSet<Id>,
    },
    /// A colleague took a seat of the plan.
    SeatTaken {
        /// Who.
        user: Id,
    },
    /// A colleague gave the seat back.
    SeatFreed {
        /// Who.
        user: Id,
    },
}

/// The organisation whose help desk this is.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its name; absent before it is created.
    pub name: Option<String>,
    /// Its settings that are not at their default.
    settings: BTreeMap<String, Value>,
    /// The features that are off.
    disabled: BTreeSet<String>,
    /// The domain of the teams' e-mail aliases.
    pub alias_domain: Option<String>,
    #[serde(default)]
    alias_domains: BTreeSet<String>,
    mail_servers: BTreeMap<Direction, MailServer>,
    /// Its portal, while that is open.
    #[serde(default)]
    pub portal: Option<Portal>,
    retention: BTreeMap<String, u32>,
    /// The host names by which people come to this tenant.
    pub host_names: BTreeSet<String>,
    /// The OpenID provider by which people sign in.
    pub identity_provider: Option<IdentityProvider>,
    /// What is agreed with it.
    pub plan: Option<Plan>,
    /// Who has a seat, as long as there is a plan.
    seated: BTreeSet<Id>,
}

/// A host name in the one way in which all spellings of it are equal: as the name system has it, in small letters. `None` when
/// it is none.
pub fn host_name(text: &str) -> Option<String> {
    let name = text.trim();
    email::ascii(name.strip_suffix('.').unwrap_or(name))
}

/// Every form in which a tenant may have a host name: as it is written, as the name system has it, and in its own script.
pub fn host_forms(host: &str) -> BTreeSet<String> {
    let (own, sound) = idna::domain_to_unicode(host);
    let own = sound.is_ok().then_some(own);
    host_name(host).into_iter().chain(own).chain([host.to_owned()]).collect()
}

/// The scope of host names, which are one tenant's alone.
pub const HOST_NAME: &str = "tenant.host_name";

/// The scope in which the domains of aliases are claimed, in all tenants: mail finds its tenant by them.
pub const ALIAS_DOMAIN: &str = "tenant.alias_domain";
const ALIAS_DOMAIN_TAKEN: Rejection =
    Rejection::conflict("tenant_alias_domain_taken", "Another tenant's mail comes in under this domain.");
const UNKNOWN: Rejection = Rejection::missing("tenant_unknown", "There is no such tenant.");
const EXISTS: Rejection = Rejection::conflict("tenant_exists", "The tenant exists already under another name.");
const FOREIGN: Rejection = Rejection::forbidden("tenant_foreign", "A tenant is changed from within alone.");
const KEY_INVALID: Rejection = Rejection::invalid(
    "tenant_key_invalid",
    "A class of data has 1 to 64 small letters, digits, dots, hyphens and underscores.",
);
const HOST_INVALID: Rejection =
    Rejection::invalid("tenant_host_invalid", "A mail server has a host name and a port above 0.");
const HOST_NAME_INVALID: Rejection = Rejection::invalid(
    "tenant_host_name_invalid",
    "A host name is like desk.example.com, in any script, without scheme and port.",
);
const HOST_NAME_TAKEN: Rejection = Rejection::conflict("tenant_host_name_taken", "Another tenant has this host name.");
const PROVIDER_INVALID: Rejection = Rejection::invalid(
    "tenant_provider_invalid",
    "An OpenID provider has a name, a client id, and an https URL without query as its issuer.",
);
const PROVIDER_ROLE_UNFIT: Rejection = Rejection::invalid(
    "tenant_provider_role_unfit",
    "Those who are created at their first sign-in are given a role, which must exist.",
);
/// The refusal of whoever would be one more than the plan has seats.
pub const SEATS_TAKEN: Rejection = Rejection::conflict("seats_taken", "All seats of the plan are taken.");
const DAYS_INVALID: Rejection = Rejection::invalid("tenant_days_invalid", "Data is kept for at least one day.");

fn check_key(key: &str, pointer: &str) -> Result<(), Rejection> {
    let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b);
    if (1..=64).contains(&key.len()) && key.bytes().all(sound) { Ok(()) } else { Err(KEY_INVALID.at(pointer)) }
}

fn check_server(server: &MailServer) -> Result<(), Rejection> {
    if server.host.trim().is_empty() || server.host.contains(char::is_whitespace) {
        return Err(HOST_INVALID.at("/server/host"));
    }
    if server.port == 0 { Err(HOST_INVALID.at("/server/port")) } else { Ok(()) }
}

/// Whether a text is an issuer: https, or http on this very machine, where nobody listens in.
fn is_issuer(text: &str) -> bool {
    let local = |rest: &str| {
        ["localhost", "127.0.0.1", "[::1]"]
            .iter()
            .any(|host| rest.strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/'])))
    };
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://").filter(|rest| local(rest)));
    let sound = |c: char| !c.is_whitespace() && !c.is_control() && !"?#@\\".contains(c);
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && rest.chars().all(sound)) && text.len() <= 512
}

fn check_provider(provider: &IdentityProvider, ctx: &Ctx<'_>) -> Result<(), Rejection> {
    valid::name(&provider.name, "/name")?;
    if !is_issuer(&provider.issuer) {
        return Err(PROVIDER_INVALID.at("/issuer"));
    }
    if provider.client_id.trim().is_empty() || provider.client_id.len() > 256 {
        return Err(PROVIDER_INVALID.at("/client_id"));
    }
    let role = provider.role.map(|role| ctx.fact::<Role>(role).exists());
    let fits = role.unwrap_or(provider.first_sign_in == FirstSignIn::Match);
    if fits { Ok(()) } else { Err(PROVIDER_ROLE_UNFIT.at("/role")) }
}

impl Tenant {
    /// Whether a feature is on.
    pub fn has_feature(&self, feature: &str) -> bool {
        !self.disabled.contains(feature)
    }

    /// The feature that keeps this kind of record from being used, being switched off.
    pub fn missing_feature(&self, kind: &str) -> Option<&'static Feature> {
        settings::feature_of(kind).filter(|feature| !self.has_feature(feature.name))
    }

    /// Who has a seat; nobody where there is no plan.
    pub fn seated(&self) -> &BTreeSet<Id> {
        &self.seated
    }

    /// Refuses one colleague more than the plan has seats.
    ///
    /// # Errors
    /// When all are taken.
    pub(crate) fn check_seat(&self) -> Result<(), Rejection> {
        let Some(seats) = self.plan.as_ref().and_then(|plan| plan.seats) else { return Ok(()) };
        if self.seated.len() < seats as usize {
            return Ok(());
        }
        Err(SEATS_TAKEN.because(format!("The plan has {seats} seats, and all are taken.")))
    }

    /// The value of a setting: as it is set, or its default.
    pub fn setting(&self, key: &str) -> Value {
        let Some(setting) = settings::setting(key) else { return Value::Null };
        // What was recorded before settings had types may not fit.
        let set = self.settings.get(setting.key).filter(|value| setting.takes(value));
        set.cloned().unwrap_or_else(|| setting.default())
    }

    fn text(&self, key: &str) -> Option<String> {
        self.setting(key).as_str().map(ToOwned::to_owned)
    }

    fn names(&self, key: &str) -> Vec<String> {
        serde_json::from_value(self.setting(key)).unwrap_or_default()
    }

    /// The country of telephone numbers without a country code.
    pub fn default_country(&self) -> Option<Country> {
        self.text(settings::DEFAULT_COUNTRY)?.parse().ok()
    }

    /// The language in whose order texts are sorted; none for the root order.
    pub fn language(&self) -> Option<String> {
        self.text(settings::LANGUAGE)
    }

    /// The time zone in which a day begins and ends.
    pub fn time_zone(&self) -> String {
        self.text(settings::TIME_ZONE).unwrap_or_else(|| "UTC".into())
    }

    /// Whether rules choose who handles an order.
    pub fn distributes_orders(&self) -> bool {
        self.setting(settings::AUTOMATIC_ORDER_DISTRIBUTION) == true
    }

    /// The portals on which properties can be advertised.
    pub fn portals(&self) -> Vec<String> {
        self.names(settings::PORTALS)
    }

    /// The ways in which customers and colleagues reach each other.
    pub fn media(&self) -> Vec<String> {
        self.names(settings::MEDIA)
    }

    /// How large a file may be, in bytes.
    pub fn largest_upload(&self) -> u64 {
        self.setting(settings::UPLOAD_LARGEST).as_u64().unwrap_or_default() << 20
    }

    /// The server through which mail comes in or goes out, where a channel has none of its own.
    pub fn mail_server(&self, direction: Direction) -> Option<&MailServer> {
        self.mail_servers.get(&direction)
    }

    /// Under which domains mail to the teams' aliases comes in.
    fn domains_of_mail(&self) -> BTreeSet<String> {
        self.alias_domains.iter().chain(&self.alias_domain).cloned().collect()
    }

    /// What files may be, as media types that may end with an asterisk; whatever they are where there is none.
    pub fn upload_types(&self) -> Vec<String> {
        self.names(settings::UPLOAD_TYPES)
    }

    /// For how many days a file is kept that nothing refers to.
    pub fn upload_retention_days(&self) -> i64 {
        self.setting(settings::UPLOAD_RETENTION).as_i64().unwrap_or(30)
    }
}

impl Aggregate for Tenant {
    const KIND: &'static str = "tenant";
    const PLURAL: &'static str = "tenants";
    const CREATE: &'static str = "create";
    const OPEN: Option<&'static str> = Some("everybody works by its settings");
    const INTERNAL: &'static [&'static str] =
        &["create", "add_host_name", "remove_host_name", "set_identity_provider", "set_plan"];
    const AHEAD: &'static [&'static str] = &["set_retention"];
    type Command = Command;
    type Event = Event;

    fn decide(&self, command: Command, ctx: &Ctx<'_>) -> Decision<Event> {
        use Command::*;
        if ctx.id != ctx.tenant {
            return Err(FOREIGN);
        }
        let Some(name) = &self.name else {
            let Create { name } = command else { return Err(UNKNOWN) };
            valid::name(&name, "/name")?;
            return Ok(vec![Event::Created { name }]);
        };
        Ok(match command {
            Create { name: again } if again == *name => vec![],
            Create { .. } => return Err(EXISTS),
            Rename { name: to } => {
                valid::name(&to, "/name")?;
                if *name == to { vec![] } else { vec![Event::Renamed { from: name.clone(), to }] }
            }
            ChangeSetting { key, value: to } => {
                let key = settings::check_setting(&key, &to)?.key.to_owned();
                let from = self.settings.get(&key).cloned().unwrap_or(Value::Null);
                if from == to { vec![] } else { vec![Event::SettingChanged { key, from, to }] }
            }
            EnableFeature { feature } => {
                settings::check_feature(&feature)?;
                if self.has_feature(&feature) { vec![] } else { vec![Event::FeatureEnabled { feature }] }
            }
            DisableFeature { feature } => {
                settings::check_feature(&feature)?;
                if self.has_feature(&feature) { vec![Event::FeatureDisabled { feature }] } else { vec![] }
            }
            SetAliasDomain { domain: to } => {
                valid::domain(to.as_deref())?;
                let from = self.alias_domain.clone();
                if from == to { vec![] } else { vec![Event::AliasDomainSet { from, to }] }
            }
            AddAliasDomain { domain } => {
                valid::domain(Some(&domain))?;
                if self.alias_domains.contains(&domain) { vec![] } else { vec![Event::AliasDomainAdded { domain }] }
            }
            RemoveAliasDomain { domain } => {
                let known = self.alias_domains.contains(&domain);
                if known { vec![Event::AliasDomainRemoved { domain }] } else { vec![] }
            }
            SetMailServer { direction, server: to } => {
                to.as_ref().map_or(Ok(()), check_server)?;
                let from = self.mail_servers.get(&direction).cloned();
                if from == to { vec![] } else { vec![Event::MailServerSet { direction, from, to }] }
            }
            SetPortal { portal: to } if to == self.portal => vec![],
            SetPortal { portal: to } => {
                to.as_ref().map_or(Ok(()), |portal| portal.check(ctx))?;
                vec![Event::PortalSet { from: self.portal.clone(), to }]
            }
            SetRetention { days: Some(0), .. } => return Err(DAYS_INVALID.at("/days")),
            SetRetention { class, days: to } => {
                check_key(&class, "/class")?;
                let from = self.retention.get(&class).copied();
                if from == to { vec![] } else { vec![Event::RetentionSet { class, from, to }] }
            }
            AddHostName { host } => {
                let host = host_name(&host).filter(|host| valid::is_domain(host));
                let host = host.ok_or_else(|| HOST_NAME_INVALID.at("/host"))?;
                let known = self.host_names.iter().any(|known| host_name(known).as_ref() == Some(&host));
                if known { vec![] } else { vec![Event::HostNameAdded { host }] }
            }
            RemoveHostName { host } => {
                // One that was added before names were written in one way is given back as it was written.
                let meant = |known: &&String| **known == host || host_name(known) == host_name(&host);
                let known = self.host_names.iter().find(meant).cloned();
                known.map(|host| Event::HostNameRemoved { host }).into_iter().collect()
            }
            SetIdentityProvider { provider: to } if to == self.identity_provider => vec![],
            SetIdentityProvider { provider: to } => {
                // Whoever names the provider says who gets in as whom.
                ctx.must_have(&Authority::full())?;
                to.as_ref().map_or(Ok(()), |provider| check_provider(provider, ctx))?;
                vec![Event::IdentityProviderSet { from: self.identity_provider.clone(), to }]
            }
            SetPlan { plan: to } if to == self.plan => vec![],
            SetPlan { plan: to } => {
                to.as_ref().map_or(Ok(()), Plan::check)?;
                let seated = if to.is_some() { administration::seated(ctx) } else { BTreeSet::new() };
                vec![Event::PlanSet { from: self.plan.clone(), to, seated }]
            }
        })
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Created { name } | Event::Renamed { to: name, .. } => self.name = Some(name.clone()),
            Event::SettingChanged { key, to: Value::Null, .. } => {
                self.settings.remove(settings::canonical(key));
            }
            Event::SettingChanged { key, to, .. } => {
                self.settings.insert(settings::canonical(key).to_owned(), to.clone());
            }
            Event::FeatureEnabled { feature } => drop(self.disabled.remove(feature)),
            Event::FeatureDisabled { feature } => drop(self.disabled.insert(feature.clone())),
            Event::AliasDomainSet { to, .. } => self.alias_domain.clone_from(to),
            Event::AliasDomainAdded { domain } => drop(self.alias_domains.insert(domain.clone())),
            Event::AliasDomainRemoved { domain } => drop(self.alias_domains.remove(domain)),
            Event::MailServerSet { direction, to: Some(to), .. } => {
                self.mail_servers.insert(*direction, to.clone());
            }
            Event::MailServerSet { direction, to: None, .. } => drop(self.mail_servers.remove(direction)),
            Event::PortalSet { to, .. } => self.portal.clone_from(to),
            Event::RetentionSet { class, to: Some(to), .. } => drop(self.retention.insert(class.clone(), *to)),
            Event::RetentionSet { class, to: None, .. } => drop(self.retention.remove(class)),
            Event::HostNameAdded { host } => drop(self.host_names.insert(host.clone())),
            Event::HostNameRemoved { host } => drop(self.host_names.remove(host)),
            Event::IdentityProviderSet { to, .. } => self.identity_provider.clone_from(to),
            Event::PlanSet { to, seated, .. } => {
                self.plan.clone_from(to);
                self.seated.clone_from(seated);
            }
            Event::SeatTaken { user } => drop(self.seated.insert(*user)),
            Event::SeatFreed { user } => drop(self.seated.remove(user)),
        }
    }

    fn needs(&self, command: &Command, ctx: &Ctx<'_>) -> Vec<Need> {
        match command {
            Command::SetPlan { plan: Some(_) } => vec![administration::need(ctx)],
            Command::SetIdentityProvider { provider: Some(IdentityProvider { role: Some(role), .. }) } => {
                vec![Need::guarded::<Role>(*role)]
            }
            Command::SetPortal { portal: Some(portal) } => portal.needs(),
            _ => Vec::new(),
        }
    }

    fn claims(&self, event: &Event, _: &Ctx<'_>) -> Vec<Claim> {
        match event {
            Event::HostNameAdded { host } => {
                let take = |name| Claim::take(HOST_NAME, name, HOST_NAME_TAKEN.at("/host")).globally();
                host_forms(host).into_iter().map(take).collect()
            }
            Event::HostNameRemoved { host } => {
                host_forms(host).into_iter().map(|name| Claim::release(HOST_NAME, name).globally()).collect()
            }
            Event::AliasDomainSet { .. } | Event::AliasDomainAdded { .. } | Event::AliasDomainRemoved { .. } => {
                let mut after = self.clone();
                after.evolve(event);
                let taken = ALIAS_DOMAIN_TAKEN.at("/domain");
                let moved = Claim::moved(ALIAS_DOMAIN, &self.domains_of_mail(), &after.domains_of_mail(), &taken);
                moved.into_iter().map(Claim::globally).collect()
            }
            _ => Vec::new(),
        }
    }

    /// `/v1/tenants/current/...` is the caller's own.
    fn id_of(tenant: Id, segment: &str) -> Option<Id> {
        if segment == "current" { Some(tenant) } else { segment.parse().ok() }
    }

    fn id_for_new(tenant: Id, _: &Command) -> Option<Id> {
        Some(tenant)
    }

    fn refusals() -> Vec<Rejection> {
        let mut refusals = vec![UNKNOWN, EXISTS, FOREIGN, KEY_INVALID, HOST_INVALID, DAYS_INVALID];
        refusals.extend([valid::NAME_INVALID, valid::DOMAIN_INVALID]);
        refusals.extend([FEATURE_UNKNOWN, SETTING_UNKNOWN, SETTING_INVALID, DENIED]);
        refusals.extend([
            ALIAS_DOMAIN_TAKEN,
            HOST_NAME_INVALID,
            HOST_NAME_TAKEN,
            PROVIDER_INVALID,
            PROVIDER_ROLE_UNFIT,
        ]);
        refusals.extend([PLAN_INVALID, valid::EMAIL_INVALID, valid::AMOUNT_INVALID]);
        refusals.extend(money::REFUSALS);
        refusals.extend(portal::REFUSALS);
        refusals
    }

    fn examples() -> Vec<Command> {
        let server = MailServer {
            host: "mail.example.com".into(),
            port: 465,
            security: Security::Tls,
            username: Some("desk".into()),
        };
        let provider = IdentityProvider {
            name: "Example".into(),
            issuer: "https://id.example.com".into(),
            client_id: "deskfold".into(),
            credential: Id::from_bits(0x019A_9C4D_0000_0000_0000_0000_0000_000C),
            first_sign_in: FirstSignIn::Match,
            role: None,
        };
        vec![
            Command::Create { name: "Example Ltd".into() },
            Command::Rename { name: "Example plc".into() },
            Command::ChangeSetting { key: "time_zone".into(), value: "Europe/Rome".into() },
            Command::DisableFeature { feature: "products".into() },
            Command::EnableFeature { feature: "products".into() },
            Command::SetAliasDomain { domain: Some("desk.example.com".into()) },
            Command::AddAliasDomain { domain: "help.example.com".into() },
            Command::RemoveAliasDomain { domain: "help.example.com".into() },
            Command::SetMailServer { direction: Direction::Outgoing, server: Some(server) },
            Command::SetPortal { portal: Some(Portal::example()) },
            Command::SetPortal { portal: None },
            Command::SetRetention { class: "attachments".into(), days: Some(730) },
            Command::AddHostName { host: "desk.example.com".into() },
            Command::RemoveHostName { host: "desk.example.com".into() },
            Command::SetIdentityProvider { provider: Some(provider) },
            Command::SetPlan { plan: Some(Plan::example()) },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::given::{Given, SUBJECT, TENANT, given},
        org::plan::Payment,
    };

    fn example(events: impl IntoIterator<Item = Event>) -> Given<Tenant> {
        given([Event::Created { name: "Example Ltd".into() }].into_iter().chain(events)).at(TENANT)
    }

    /// What `command` leads to after `before`, and that asking again changes nothing.
    #[track_caller]
    fn leads_to<const N: usize>(before: [Event; N], command: &Command, event: Event) {
        example(before.clone()).when(command.clone()).then([event.clone()]);
        example(before.into_iter().chain([event])).when(command.clone()).nothing();
    }

    fn server() -> MailServer {
        let username = Some("desk".to_owned());
        MailServer { host: "mail.example.com".into(), port: 465, security: Security::Tls, username }
    }

    #[test]
    fn it_is_created_once_from_within_and_renamed() {
        let create = |name: &str| Command::Create { name: name.into() };
        let created = Event::Created { name: "Example Ltd".into() };
        given::<Tenant>([]).at(TENANT).when(create("Example Ltd")).then([created.clone()]);
        example([]).when(create("Example Ltd")).nothing();
        example([]).when(create("Other Ltd")).rejected(EXISTS);
        given::<Tenant>([]).at(SUBJECT).when(create("Example Ltd")).rejected(FOREIGN);
        given::<Tenant>([]).at(TENANT).when(create("")).rejected(valid::NAME_INVALID);
        let rename = |name: &str| Command::Rename { name: name.into() };
        let renamed = Event::Renamed { from: "Example Ltd".into(), to: "Example plc".into() };
        leads_to([], &rename("Example plc"), renamed);
        example([]).when(rename(" ")).rejected(valid::NAME_INVALID);
        given::<Tenant>([]).at(TENANT).when(rename("Example plc")).rejected(UNKNOWN);
        assert_eq!(Tenant::id_of(TENANT, "current"), Some(TENANT));
        assert_eq!(Tenant::id_of(TENANT, &SUBJECT.to_string()), Some(SUBJECT));
    }

    #[test]
    fn settings_change_and_go_back_to_their_default() {
        let change = |key: &str, value| Command::ChangeSetting { key: key.into(), value };
        let changed = |from, to| Event::SettingChanged { key: "automatic_order_distribution".into(), from, to };
        let off = || changed(Value::Null, false.into());
        leads_to([], &change("automatic_order_distribution", false.into()), off());
        leads_to([off()], &change("automatic_order_distribution", Value::Null), changed(false.into(), Value::Null));
        assert!(example([]).state.distributes_orders() && !example([off()]).state.distributes_orders());
        example([]).when(change("Orders!", Value::Null)).rejected(SETTING_UNKNOWN);
        let unfit: [(&str, Value); 7] = [
            ("automatic_order_distribution", "yes".into()),
            ("default_country", "XX".into()),
            ("language", "german".into()),
            ("time_zone", "Europe/Atlantis".into()),
            ("portals", "immo".into()),
            ("portals", vec![""].into()),
            ("media", vec![1].into()),
        ];
        for (key, value) in unfit {
            example([]).when(change(key, value)).rejected(SETTING_INVALID);
        }
    }

    #[test]
    fn what_was_recorded_before_settings_were_known_stays_readable() {
        let changed = |key: &str, to: Value| Event::SettingChanged { key: key.into(), from: Value::Null, to };
        let old = [changed("nonsense.8", vec![5].into()), changed("order_distribution", false.into())];
        let tenant = example(old).state;
        assert!(!tenant.distributes_orders(), "under its former name");
        assert!(example([changed("order_distribution", "maybe".into())]).state.distributes_orders());
        assert_eq!((tenant.time_zone().as_str(), tenant.language(), tenant.default_country()), ("UTC", None, None));
        let set = [changed("time_zone", "Europe/Rome".into()), changed("default_country", "IT".into())];
        let tenant = example(set).state;
        assert_eq!((tenant.time_zone().as_str(), tenant.default_country()), ("Europe/Rome", "IT".parse().ok()));
        let strange = Event::FeatureDisabled { feature: "mini".into() };
        assert!(example([strange]).state.missing_feature("order").is_none());
    }

    #[test]
    fn features_are_on_until_they_are_switched_off() {
        let feature = || "products".to_owned();
        let disabled = || Event::FeatureDisabled { feature: feature() };
        leads_to([], &Command::DisableFeature { feature: feature() }, disabled());
        let missing = |events| example(events).state.missing_feature("entitlement").map(|feature| feature.name);
        assert_eq!(missing(vec![disabled()]), Some("products"));
        assert_eq!(example([disabled()]).state.missing_feature("ticket").map(|feature| feature.name), None);
        let enabled = Event::FeatureEnabled { feature: feature() };
        leads_to([disabled()], &Command::EnableFeature { feature: feature() }, enabled.clone());
        assert_eq!(missing(vec![disabled(), enabled]), None);
        example([]).when(Command::EnableFeature { feature: feature() }).nothing();
        for unknown in [String::new(), "mini".into()] {
            example([]).when(Command::EnableFeature { feature: unknown.clone() }).rejected(FEATURE_UNKNOWN);
            example([]).when(Command::DisableFeature { feature: unknown }).rejected(FEATURE_UNKNOWN);
        }
    }

    #[test]
    fn mail_goes_through_the_servers_that_are_set() {
        let alias = |domain: &str| Command::SetAliasDomain { domain: Some(domain.into()) };
        let set = Event::AliasDomainSet { from: None, to: Some("desk.example.com".into()) };
        leads_to([], &alias("desk.example.com"), set);
        let further = || "help.example.com".to_owned();
        leads_to([], &Command::AddAliasDomain { domain: further() }, Event::AliasDomainAdded { domain: further() });
        let added = || Event::AliasDomainAdded { domain: further() };
        leads_to(
            [added()],
            &Command::RemoveAliasDomain { domain: further() },
            Event::AliasDomainRemoved { domain: further() },
        );
        let taken = ["+tenant.alias_domain help.example.com"];
        assert_eq!(example([]).claims(&added()), taken);
        let given = ["-tenant.alias_domain help.example.com"];
        assert_eq!(example([added()]).claims(&Event::AliasDomainRemoved { domain: further() }), given);
        example([]).when(alias("desk")).rejected(valid::DOMAIN_INVALID);
        let direction = Direction::Outgoing;
        let set = |from, to| Event::MailServerSet { direction, from, to };
        let command = |server| Command::SetMailServer { direction, server };
        leads_to([], &command(Some(server())), set(None, Some(server())));
        leads_to([set(None, Some(server()))], &command(None), set(Some(server()), None));
        for odd in [MailServer { host: "a b".into(), ..server() }, MailServer { port: 0, ..server() }] {
            example([]).when(command(Some(odd))).rejected(HOST_INVALID);
        }
    }

    #[test]
    fn retention_is_days_or_for_ever() {
        let command = |days| Command::SetRetention { class: "attachments".into(), days };
        let set = |from, to| Event::RetentionSet { class: "attachments".into(), from, to };
        leads_to([], &command(Some(730)), set(None, Some(730)));
        leads_to([set(None, Some(730))], &command(None), set(Some(730), None));
        example([]).when(command(Some(0))).rejected(DAYS_INVALID);
        example([]).when(Command::SetRetention { class: " ".into(), days: None }).rejected(KEY_INVALID);
    }

    #[test]
    fn a_host_name_is_one_tenant_s_alone() {
        let host = || "desk.example.com".to_owned();
        let added = || Event::HostNameAdded { host: host() };
        leads_to([], &Command::AddHostName { host: host() }, added());
        leads_to([added()], &Command::RemoveHostName { host: host() }, Event::HostNameRemoved { host: host() });
        for odd in ["https://desk.example.com", "desk.example.com:80", "desk", "10.0.0.1", "a..b", ""] {
            example([]).when(Command::AddHostName { host: odd.into() }).rejected(HOST_NAME_INVALID);
        }
        assert_eq!(example([]).claims(&added()), ["+tenant.host_name desk.example.com"]);
    }

    #[test]
    fn a_host_name_is_one_however_it_is_written() {
        let named = |host: &str| Event::HostNameAdded { host: host.into() };
        let add = |host: &str| Command::AddHostName { host: host.into() };
        let gone = |host: &str| Event::HostNameRemoved { host: host.into() };
        example([]).when(add("Desk.Example.com.")).then([named("desk.example.com")]);
        let (own, ascii) = ("bücher.example", "xn--bcher-kva.example");
        for written in [own, "Bücher.Example", ascii, "XN--BCHER-KVA.example"] {
            example([]).when(add(written)).then([named(ascii)]);
            example([named(ascii)]).when(add(written)).then([]);
            example([named(ascii)]).when(Command::RemoveHostName { host: written.into() }).then([gone(ascii)]);
            // As it was written before.
            example([named(own)]).when(add(written)).then([]);
            example([named(own)]).when(Command::RemoveHostName { host: written.into() }).then([gone(own)]);
        }
        let both = [format!("+tenant.host_name {own}"), format!("+tenant.host_name {ascii}")];
        assert_eq!(example([]).claims(&named(ascii)), both);
    }

    #[test]
    fn whoever_names_the_provider_can_do_everything() {
        let known = Tenant::examples().into_iter().find_map(|command| match command {
            Command::SetIdentityProvider { provider } => provider,
            _ => None,
        });
        let provider = known.unwrap();
        let set = |provider| Command::SetIdentityProvider { provider };
        let event = |from, to| Event::IdentityProviderSet { from, to };
        leads_to([], &set(Some(provider.clone())), event(None, Some(provider.clone())));
        leads_to([event(None, Some(provider.clone()))], &set(None), event(Some(provider.clone()), None));
        example([]).may(&["tenant.*"]).when(set(Some(provider.clone()))).rejected(DENIED);
        for issuer in
            ["http://id.example.com", "https://", "id.example.com", "https://a@b", "http://localhost.evil.com"]
        {
            let odd = IdentityProvider { issuer: issuer.into(), ..provider.clone() };
            example([]).when(set(Some(odd))).rejected(PROVIDER_INVALID);
        }
        let create = IdentityProvider { first_sign_in: FirstSignIn::Create, ..provider };
        example([]).when(set(Some(create))).rejected(PROVIDER_ROLE_UNFIT);
    }

    #[test]
    fn a_plan_says_who_has_a_seat_and_refuses_one_more() {
        let (anna, boris) = (Id::from_bits(0xA), Id::from_bits(0xB));
        let plan = |seats| Plan { seats, ..Plan::example() };
        let set = |plan: Option<Plan>| Command::SetPlan { plan };
        let event = |from, to, seated| Event::PlanSet { from, to, seated };
        let first = event(None, Some(plan(Some(2))), BTreeSet::new());
        leads_to([], &set(Some(plan(Some(2)))), first.clone());
        let moved = [first.clone(), Event::SeatTaken { user: anna }, Event::SeatFreed { user: anna }];
        leads_to(moved, &set(None), event(Some(plan(Some(2))), None, BTreeSet::new()));
        let mut tenant = Tenant::default();
        let mut after = |event: Event| {
            tenant.evolve(&event);
            tenant.check_seat()
        };
        assert_eq!(after(Event::Created { name: "Example".into() }), Ok(()));
        assert_eq!(after(event(None, Some(plan(Some(2))), [anna].into())), Ok(()));
        assert_eq!(after(Event::SeatTaken { user: anna }), Ok(()));
        assert_eq!(after(Event::SeatTaken { user: boris }), Err(SEATS_TAKEN));
        assert_eq!(after(Event::SeatFreed { user: anna }), Ok(()));
        assert_eq!(after(event(None, Some(plan(Some(1))), [anna, boris].into())), Err(SEATS_TAKEN));
        assert_eq!(after(event(None, Some(plan(None)), [anna, boris].into())), Ok(()));
        assert_eq!(after(event(None, None, BTreeSet::new())), Ok(()));
        let refused = |plan: Plan, why| example([]).when(set(Some(plan))).rejected(why);
        refused(plan(Some(0)), PLAN_INVALID);
        refused(Plan { name: " ".into(), ..plan(None) }, valid::NAME_INVALID);
        let payment = Plan::example().payment.unwrap();
        let paid = |payment| Plan { payment: Some(payment), ..plan(None) };
        refused(paid(Payment { email: Some("nobody".into()), ..payment.clone() }), valid::EMAIL_INVALID);
        refused(paid(Payment { method: Some(" ".into()), ..payment }), PLAN_INVALID);
        let owed = money::Money { amount: "-1".parse().unwrap(), currency: "EUR".parse().unwrap() };
        refused(Plan { price: Some(owed), ..plan(None) }, valid::AMOUNT_INVALID);
    }
}
