//! Which record a text means: an id, what another system calls it, an e-mail address or a name.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Aggregate, Id, Party, PartyKind,
    crm::contact::{Identity, IdentityKind},
    desk::product::Product,
    kernel::{email, external::ExternalId},
};
use eventstore::{Log, Query};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::rows::Fault;

/// Events read at once.
const PAGE: i64 = 1000;

/// Why a look-up did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    /// There is nothing of that name, or too much.
    #[error("{}", .0.reason)]
    None(Fault),
    /// The log cannot be reached.
    #[error(transparent)]
    Log(#[from] eventstore::Error),
}

impl LookupError {
    /// There is no such contact, company or user.
    pub(crate) fn no_holder(kind: PartyKind, text: &str) -> LookupError {
        LookupError::None(Fault::new("holder_unknown", format!("There is no {} {text}.", kind.name())))
    }
}

/// The record that holds a set-wide name.
pub(crate) async fn claimed(log: &Log, tenant: Id, scope: &str, key: &str) -> Result<Option<Id>, eventstore::Error> {
    let owner = log.claim_owner(&tenant.to_string(), scope, key).await?;
    Ok(owner.and_then(|owner| owner.key().parse().ok()))
}

/// The record that a source calls so, by its kind.
pub(crate) async fn external(
    log: &Log,
    tenant: Id,
    kind: &str,
    external: &ExternalId,
) -> Result<Option<Id>, eventstore::Error> {
    claimed(log, tenant, &format!("{kind}.external"), &external.key()).await
}

/// `source:external_id`, as one text.
pub(crate) fn split_external(text: &str) -> Option<ExternalId> {
    let (source, external_id) = text.split_once(':')?;
    Some(ExternalId { source: source.trim().to_owned(), external_id: external_id.trim().to_owned() })
}

pub(crate) fn as_id(text: &str) -> Option<Id> {
    if text.len() == 26 { text.parse().ok() } else { None }
}

/// Finds the records of one tenant that texts mean.
pub(crate) struct Lookup {
    log: Log,
    tenant: Id,
    products: OnceCell<BTreeMap<String, BTreeSet<Id>>>,
}

impl Lookup {
    /// Among the records of this tenant.
    pub(crate) fn new(log: Log, tenant: Id) -> Lookup {
        Lookup { log, tenant, products: OnceCell::new() }
    }

    /// A product by its id, its name, or `source:external_id`.
    pub(crate) async fn product(&self, text: &str) -> Result<Id, LookupError> {
        if let Some(id) = as_id(text) {
            return Ok(id);
        }
        if let Some(id) = self.external("product", text).await? {
            return Ok(id);
        }
        let names = self.products.get_or_try_init(|| names(&self.log, self.tenant, Product::KIND)).await?;
        let named: Vec<Id> = names.get(&called(text)).into_iter().flatten().copied().collect();
        match named.as_slice() {
            [id] => Ok(*id),
            [_, ..] => {
                let reason = format!("Several products are called {text}: use an id or source:external_id.");
                Err(LookupError::None(Fault::new("product_ambiguous", reason)))
            }
            [] => Err(LookupError::None(Fault::new("product_unknown", format!("There is no product {text}.")))),
        }
    }

    /// A contact, company or user by its id, its e-mail address, or `source:external_id`.
    pub(crate) async fn holder(&self, kind: PartyKind, text: &str) -> Result<Party, LookupError> {
        let name = kind.name();
        let found = match (as_id(text), kind) {
            (Some(id), _) => Some(id),
            (None, PartyKind::User) => {
                let now = claimed(&self.log, self.tenant, "user.email", &email::key(text)).await?;
                let before = claimed(&self.log, self.tenant, "user.email", &text.to_lowercase()).await?;
                now.or(before)
            }
            (None, _) => self.external(name, text).await?,
        };
        let found = match (found, kind) {
            (None, PartyKind::Contact) if text.contains('@') => {
                let mut found = None;
                for key in Identity::new(IdentityKind::Email, text).keys() {
                    found = found.or(claimed(&self.log, self.tenant, "contact.identity", &key).await?);
                }
                found
            }
            (found, _) => found,
        };
        Ok(Party { kind, id: found.ok_or_else(|| LookupError::no_holder(kind, text))? })
    }

    async fn external(&self, kind: &str, text: &str) -> Result<Option<Id>, eventstore::Error> {
        match split_external(text) {
            Some(called) => external(&self.log, self.tenant, kind, &called).await,
            None => Ok(None),
        }
    }
}

/// A name as it is compared with others: in small letters, with one blank between two words.
pub(crate) fn called(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Records of a kind by what they are called, folded from the log: no read model has to catch up first. Those that are put away,
/// deleted or merged have no name any more.
pub(crate) async fn names(
    log: &Log,
    tenant: Id,
    kind: &str,
) -> Result<BTreeMap<String, BTreeSet<Id>>, eventstore::Error> {
    let mut names: BTreeMap<Id, String> = BTreeMap::new();
    let mut gone: BTreeSet<Id> = BTreeSet::new();
    let mut after = None;
    loop {
        let query = Query {
            tenant: Some(tenant.to_string()),
            categories: vec![kind.to_owned()],
            after,
            limit: PAGE,
            ..Query::default()
        };
        let events = log.read_all(&query).await?;
        for event in &events {
            let (Ok(id), Some((_, happened))) = (event.key().parse::<Id>(), event.kind.split_once('.')) else {
                continue;
            };
            match happened {
                "archived" | "deleted" | "merged" => drop(gone.insert(id)),
                "restored" | "unmerged" => drop(gone.remove(&id)),
                _ => {}
            }
            let Ok(data) = serde_json::from_slice::<Value>(&event.data) else { continue };
            let renamed = Some(&data["to"]).filter(|_| happened == "renamed");
            let said = [Some(&data["name"]), Some(&data["changes"]["name"]["to"]), renamed];
            if let Some(name) = said.into_iter().flatten().find_map(Value::as_str) {
                names.insert(id, called(name));
            }
        }
        after = events.last().map(|event| event.position);
        if (events.len() as i64) < PAGE {
            break;
        }
    }
    let mut by_name: BTreeMap<String, BTreeSet<Id>> = BTreeMap::new();
    for (id, name) in names.into_iter().filter(|(id, _)| !gone.contains(id)) {
        by_name.entry(name).or_default().insert(id);
    }
    Ok(by_name)
}
