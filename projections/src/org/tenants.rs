//! Tenants and their settings. Table: `read_tenants`.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Aggregate, Id, Time,
    org::{
        portal::Portal,
        settings,
        tenant::{Direction, Event, MailServer, Tenant},
    },
};
use eventstore::Recorded;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Column, Listed, ReadModel, Sort, Unreadable, decode, kernel::fold::raise};

/// The tenants: each sees only itself.
#[derive(Clone, Copy, Debug)]
pub struct Tenants;

/// The organisation whose help desk this is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its settings that are not at their default.
    pub settings: BTreeMap<String, Value>,
    /// The features that are on.
    pub features: BTreeSet<String>,
    /// Under which domain the teams' e-mail aliases are; none for the usual one.
    pub alias_domain: Option<String>,
    /// Under which further domains mail to the teams' aliases comes in.
    pub alias_domains: BTreeSet<String>,
    /// Its own mail servers.
    pub mail_servers: BTreeMap<Direction, MailServer>,
    /// What its portal is like; none while that is closed.
    pub portal: Option<Portal>,
    /// For how many days data of each class is kept; what is absent is kept for ever.
    pub retention: BTreeMap<String, u32>,
    /// When it was created.
    pub created_at: Time,
    /// When anything last happened to it.
    pub updated_at: Time,
}

/// A tenant.
#[derive(Clone, Debug, JsonSchema)]
pub struct View {
    /// Its id.
    pub id: Id,
    /// How many events it has had, less one.
    pub version: i64,
    /// The position of the last of them.
    pub position: i64,
    /// The tenant itself.
    #[serde(flatten)]
    pub row: Row,
}

impl ReadModel for Tenants {
    const NAME: &'static str = "tenants";
    const VERSION: i32 = 4;
    const KINDS: &'static [&'static str] = &[Tenant::KIND];
    type Row = Row;

    fn apply(_: Id, row: Option<Row>, event: &Recorded) -> Result<Option<Row>, Unreadable> {
        let at = event.occurred_at;
        let happened = decode::<Tenant>(event)?;
        if let Event::Created { name } = happened {
            return Ok(Some(Row {
                name,
                settings: BTreeMap::new(),
                features: settings::FEATURES.iter().map(|feature| feature.name.to_owned()).collect(),
                alias_domain: None,
                alias_domains: BTreeSet::new(),
                mail_servers: BTreeMap::new(),
                portal: None,
                retention: BTreeMap::new(),
                created_at: at,
                updated_at: at,
            }));
        }
        let Some(mut row) = row else { return Ok(None) };
        raise(&mut row.updated_at, at);
        match happened {
            Event::Created { .. } => {}
            Event::Renamed { to, .. } => row.name = to,
            Event::SettingChanged { key, to: Value::Null, .. } => {
                row.settings.remove(settings::canonical(&key));
            }
            Event::SettingChanged { key, to, .. } => {
                row.settings.insert(settings::canonical(&key).to_owned(), to);
            }
            // Before features were known any word could be switched on.
            Event::FeatureEnabled { feature } if settings::feature(&feature).is_none() => {}
            Event::FeatureEnabled { feature } => drop(row.features.insert(feature)),
            Event::FeatureDisabled { feature } => drop(row.features.remove(&feature)),
            Event::AliasDomainSet { to, .. } => row.alias_domain = to,
            Event::AliasDomainAdded { domain } => drop(row.alias_domains.insert(domain)),
            Event::AliasDomainRemoved { domain } => drop(row.alias_domains.remove(&domain)),
            Event::MailServerSet { direction, to: Some(server), .. } => {
                row.mail_servers.insert(direction, server);
            }
            Event::MailServerSet { direction, to: None, .. } => drop(row.mail_servers.remove(&direction)),
            Event::PortalSet { to, .. } => row.portal = to,
            Event::RetentionSet { class, to: Some(days), .. } => drop(row.retention.insert(class, days)),
            Event::RetentionSet { class, to: None, .. } => drop(row.retention.remove(&class)),
            // Shown where they are set.
            Event::HostNameAdded { .. }
            | Event::HostNameRemoved { .. }
            | Event::IdentityProviderSet { .. }
            | Event::PlanSet { .. }
            | Event::SeatTaken { .. }
            | Event::SeatFreed { .. } => {}
        }
        Ok(Some(row))
    }
}

impl Listed for Tenants {
    const PATH: &'static str = Tenant::PLURAL;
    const READ: &'static str = Tenant::KIND;
    type View = View;
    /// `/v1/tenants/current` is the caller's own.
    fn id_of(tenant: Id, segment: &str) -> Option<Id> {
        Tenant::id_of(tenant, segment)
    }
    const COLUMNS: &'static [Column] = &[
        Column::text("name"),
        Column::set("features"),
        Column::word("alias_domain").nullable(),
        Column::time("created_at"),
        Column::time("updated_at"),
        Column::id("id"),
    ];
    const DEFAULT_SORT: &'static [Sort] = &[Sort::ascending("name")];
    const SELECT: &'static str = "t.id, t.version, t.position, t.name, t.settings, t.features, t.alias_domain, \
        t.alias_domains, t.mail_servers, t.portal, t.retention, t.created_at, t.updated_at";
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kernel::fold::tests::{event, folded, refuses_strangers};

    #[test]
    fn settings_come_and_go() {
        let created = Event::Created { name: "Deskfold".into() };
        refuses_strangers::<Tenants, Tenant>(&created);
        let setting = |from: Value, to: Value| Event::SettingChanged { key: "a".into(), from, to };
        let server = json!({ "direction": "incoming", "from": null,
            "to": { "host": "mail.example", "port": 993, "security": "tls" } });
        let retention = |days| Event::RetentionSet { class: "files".into(), from: None, to: days };
        let events = vec![
            created,
            setting(Value::Null, json!(1)),
            Event::FeatureEnabled { feature: "mini".into() },
            event::<Tenant>("mail_server_set", server),
            retention(Some(30)),
        ];
        let row = folded::<Tenants, Tenant>(events.clone()).unwrap();
        assert_eq!(row.features.len(), settings::FEATURES.len());
        assert_eq!((row.settings["a"].clone(), row.retention["files"]), (json!(1), 30));
        assert_eq!(row.mail_servers[&Direction::Incoming].port, 993);
        let cleared =
            [setting(json!(1), Value::Null), retention(None), Event::FeatureDisabled { feature: "products".into() }];
        let row = folded::<Tenants, Tenant>(events.into_iter().chain(cleared)).unwrap();
        assert!(row.settings.is_empty() && row.retention.is_empty() && !row.features.contains("products"));
        let changed = |key: &str| Event::SettingChanged { key: key.into(), from: Value::Null, to: json!(false) };
        let renamed = [Event::Created { name: "Deskfold".into() }, changed("orders.distribute")];
        assert!(folded::<Tenants, Tenant>(renamed).unwrap().settings.contains_key("automatic_order_distribution"));
    }
}
