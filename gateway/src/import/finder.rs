//! Finds the records that rows of a file mean: by what other systems call them, by their addresses, numbers and names.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use commands::{Envelope, Refused};
use domain::{
    Aggregate, Authority, Id, Time, Via,
    catalogue::{self, Kind},
    crm::{
        company::Company,
        contact::{Contact, Identity, IdentityKind},
    },
    desk::product::Product,
    kernel::{country::Country, email, external::ExternalId, phone},
};
use parking_lot::Mutex;
use serde_json::json;

use super::{
    Failed, Run, id_of,
    lookup::{self, as_id, called, split_external},
    rows::Fault,
    sheet::{MADE_BY_NAME, Mention, Missing},
    target::Target,
};

/// Kinds whose records rows may name by what they are called.
const NAMED: &[&str] =
    &["company", "contact", "deal", "lead", "product", "product_category", "project", "property", "team", "user"];

/// Finds records of one tenant for one import.
pub(crate) struct Finder {
    run: Run,
    target: Target,
    /// The country of telephone numbers without a country code.
    country: Option<Country>,
    /// Ids by name, by kind, once they were asked for.
    names: tokio::sync::Mutex<HashMap<&'static str, BTreeMap<String, BTreeSet<Id>>>>,
    /// What was found before.
    found: Mutex<HashMap<(&'static str, String), Option<Id>>>,
    /// Set-wide names that nobody has, as far as was seen when a window began.
    free: Mutex<HashSet<(&'static str, String)>>,
}

/// Under which names records of a kind are known to other systems, where those are claimed.
fn external_scope(kind: &Kind) -> Option<&'static str> {
    match kind.name {
        "company" => Some("company.external"),
        "contact" => Some("contact.external"),
        "entitlement" => Some("entitlement.external"),
        "product" => Some("product.external"),
        "order" => Some("order.external_number"),
        _ => None,
    }
}

impl Finder {
    pub(crate) fn new(run: Run, target: Target, country: Option<Country>) -> Finder {
        let (names, found, free) = (tokio::sync::Mutex::default(), Mutex::default(), Mutex::default());
        Finder { run, target, country, names, found, free }
    }

    /// The record that goes on for this one.
    pub(crate) async fn survivor(&self, kind: &'static Kind, first: Id) -> Result<Id, Refused> {
        let mut chain = vec![first];
        while let Some(last) = chain.last() {
            let state = self.target.state_of(kind, self.run.tenant, *last).await?;
            match kind.merged_into(&state).filter(|next| !chain.contains(next)) {
                Some(next) => chain.push(next),
                None => break,
            }
        }
        Ok(chain.last().copied().unwrap_or(first))
    }

    /// Whether there ever was such a record.
    pub(crate) async fn exists(&self, kind: &'static Kind, id: Id) -> Result<bool, Refused> {
        let state = self.target.state_of(kind, self.run.tenant, id).await?;
        Ok(kind.see(&state).is_some())
    }

    /// The record that a source calls so.
    pub(crate) async fn external(&self, kind: &'static Kind, id: &ExternalId) -> Result<Option<Id>, Refused> {
        match external_scope(kind) {
            Some(scope) => self.holder(scope, &id.key()).await,
            None => {
                let id = id_of(self.run.tenant, &id.source, kind.name, &id.external_id);
                Ok(if self.exists(kind, id).await? { Some(id) } else { None })
            }
        }
    }

    /// Looks once which of a window's names nobody has, instead of asking for each: rows that share one are dealt with one after
    /// another.
    pub(crate) async fn look_ahead(
        &self,
        kind: &'static Kind,
        addresses: Vec<String>,
        external: Vec<String>,
    ) -> Result<(), eventstore::Error> {
        self.free.lock().clear();
        // What is rehearsed is in no log.
        if self.target.is_rehearsal() {
            return Ok(());
        }
        let tenant = self.run.tenant.to_string();
        let scopes = [("contact.identity", addresses)].into_iter();
        for (scope, keys) in scopes.chain(external_scope(kind).map(|scope| (scope, external))) {
            let taken = self.target.log().claims_taken(&tenant, scope, &keys).await?;
            let free = keys.into_iter().filter(|key| !taken.contains(key)).map(|key| (scope, key));
            self.free.lock().extend(free);
        }
        Ok(())
    }

    /// Somebody has them now.
    pub(crate) fn are_taken(&self, kind: &'static Kind, addresses: Vec<String>, external: Option<String>) {
        let mut free = self.free.lock();
        for key in addresses {
            free.remove(&("contact.identity", key));
        }
        if let (Some(scope), Some(key)) = (external_scope(kind), external) {
            free.remove(&(scope, key));
        }
    }

    async fn holder(&self, scope: &'static str, key: &str) -> Result<Option<Id>, Refused> {
        if self.free.lock().contains(&(scope, key.to_owned())) {
            return Ok(None);
        }
        self.target.claimed(self.run.tenant, scope, key).await
    }

    /// What other systems call a record.
    pub(crate) async fn external_ids(&self, kind: &'static Kind, id: Id) -> Result<BTreeSet<ExternalId>, Refused> {
        let tenant = self.run.tenant;
        Ok(match kind.name {
            Contact::KIND => self.target.state::<Contact>(tenant, id).await?.state.external_ids.clone(),
            Company::KIND => self.target.state::<Company>(tenant, id).await?.state.external_ids.clone(),
            Product::KIND => self.target.state::<Product>(tenant, id).await?.state.external_ids.clone(),
            _ => BTreeSet::new(),
        })
    }

    /// An address with what its number means here.
    pub(crate) fn identity(&self, kind: IdentityKind, text: &str) -> Identity {
        let identity = Identity::new(kind, text);
        let e164 = match kind {
            IdentityKind::Phone => phone::number(text, self.country).map(|number| number.e164.into()),
            _ => None,
        };
        Identity { e164, ..identity }
    }

    /// The contact who is reached at an address, as it was claimed.
    pub(crate) async fn reached(&self, identity: &Identity) -> Result<Option<Id>, Refused> {
        for key in identity.keys() {
            if let Some(id) = self.holder("contact.identity", &key).await? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// The records of a kind that are called so.
    pub(crate) async fn named(&self, kind: &'static Kind, name: &str) -> Result<BTreeSet<Id>, Refused> {
        let mut names = self.names.lock().await;
        if !names.contains_key(kind.name) {
            let all = lookup::names(self.target.log(), self.run.tenant, kind.name).await;
            names.insert(kind.name, all.map_err(|error| Refused::Unavailable(error.to_string()))?);
        }
        Ok(names.get(kind.name).and_then(|names| names.get(&called(name))).cloned().unwrap_or_default())
    }

    /// A record has come to be called so.
    pub(crate) async fn is_named(&self, kind: &'static Kind, name: &str, id: Id) {
        if let Some(names) = self.names.lock().await.get_mut(kind.name) {
            names.entry(called(name)).or_default().insert(id);
        }
    }

    /// The record that a row names; `None` where it is to be left out.
    pub(crate) async fn mentioned(&self, mention: &Mention, at: Option<Time>) -> Result<Option<Id>, Failed> {
        let Mention { kind: name, text, missing, .. } = mention;
        let unknown = || Fault::new("kind_unknown", format!("There is no kind {name}."));
        let kind = catalogue::kind(name).ok_or_else(unknown)?;
        let place = (kind.name, text.clone());
        let known = self.found.lock().get(&place).copied();
        let found = match known {
            Some(known) => known,
            None => {
                let found = self.find(kind, text, *missing).await?;
                // What is not there yet may be there for the next row.
                if found.is_some() {
                    self.found.lock().insert(place, found);
                }
                found
            }
        };
        match (found, missing) {
            (Some(id), _) => Ok(Some(id)),
            (None, Missing::Leave) => Ok(None),
            (None, Missing::Create) => Ok(Some(self.create(kind, text, at).await?)),
            (None, Missing::Reject) => {
                let what = name.replace('_', " ");
                let reason = format!("There is no {what} {text}.");
                Err(Fault { code: format!("{name}_unknown").into(), reason, pointer: None }.into())
            }
        }
    }

    async fn find(&self, kind: &'static Kind, text: &str, missing: Missing) -> Result<Option<Id>, Failed> {
        let (tenant, source) = (self.run.tenant, &self.run.source);
        if let Some(id) = as_id(text) {
            return Ok(Some(id));
        }
        let own = ExternalId { source: source.clone(), external_id: text.to_owned() };
        for called in std::iter::once(own).chain(split_external(text)) {
            if let Some(id) = self.external(kind, &called).await? {
                return Ok(Some(self.survivor(kind, id).await?));
            }
        }
        let held = match kind.name {
            "contact" if text.contains('@') => self.reached(&self.identity(IdentityKind::Email, text)).await?,
            "contact" if text.bytes().filter(u8::is_ascii_digit).count() > 4 => {
                self.reached(&self.identity(IdentityKind::Phone, text)).await?
            }
            "user" if text.contains('@') => {
                let now = self.target.claimed(tenant, "user.email", &email::key(text)).await?;
                now.or(self.target.claimed(tenant, "user.email", &text.to_lowercase()).await?)
            }
            "team" => self.target.claimed(tenant, "team.name", &text.trim().to_lowercase()).await?,
            _ => None,
        };
        if let Some(id) = held {
            return Ok(Some(self.survivor(kind, id).await?));
        }
        if !NAMED.contains(&kind.name) {
            return Ok(None);
        }
        let named: Vec<Id> = self.named(kind, text).await?.into_iter().collect();
        match named.as_slice() {
            [] => Ok(None),
            [id] => Ok(Some(*id)),
            _ if missing == Missing::Leave => Ok(None),
            _ => {
                let what = kind.plural.replace('_', " ");
                let reason = format!("Several {what} are called {text}: use an id or source:external_id.");
                Err(Fault { code: format!("{}_ambiguous", kind.name).into(), reason, pointer: None }.into())
            }
        }
    }

    /// Creates a record of which nothing but its name is known.
    async fn create(&self, kind: &'static Kind, name: &str, at: Option<Time>) -> Result<Id, Failed> {
        let key = format!("name {}", called(name));
        let id = id_of(self.run.tenant, &self.run.source, kind.name, &key);
        if self.exists(kind, id).await? {
            return Ok(self.survivor(kind, id).await?);
        }
        if !MADE_BY_NAME.contains(&kind.name) {
            return Err(Fault::new("kind_unknown", format!("No {} is made of a name alone.", kind.name)).into());
        }
        let mut body = json!({ "name": name });
        if kind.name == Contact::KIND && name.contains('@') {
            body["email"] = name.into();
        }
        let command = kind.command(kind.create, body);
        let command =
            command.map_err(|error| Fault::new("value_invalid", format!("{}: {}", kind.name, error.detail)))?;
        let mut envelope = Envelope::new(self.run.tenant, id, self.run.actor.clone(), Via::Import, Time::now());
        // It tells what happened elsewhere: `import.run` is the right to do so.
        envelope.authority = Authority::full();
        envelope.correlation_id = Some(self.run.correlation());
        envelope.occurred_at = at;
        let exists = format!("{}_exists", kind.name);
        match self.target.carry_out_any(&envelope, kind, vec![command]).await {
            Ok(_) => {}
            // Another row was faster.
            Err(Refused::Rejected(refused)) if refused.code == exists => {}
            Err(refused) => return Err(refused.into()),
        }
        self.is_named(kind, name, id).await;
        Ok(id)
    }
}
