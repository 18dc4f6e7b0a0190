//! Which channel an address is, and which address a channel has.

use std::sync::Arc;

use commands::Refused;
use domain::{
    Id,
    chat::channel::{ADDRESS_SCOPE, Channel, Kind},
    kernel::email,
    org::{
        team::Team,
        tenant::{ALIAS_DOMAIN, Tenant},
    },
};

use super::Post;

/// Where a mail belongs.
#[derive(Clone)]
pub struct Found {
    /// Whose channel it is.
    pub tenant: Id,
    /// The channel.
    pub id: Id,
    /// The same, as it stands.
    pub channel: Arc<Channel>,
}

/// The name before the `@` without what stands behind a plus, and the domain.
fn parts(address: &str) -> Option<(String, String)> {
    let key = email::key(address);
    let (local, domain) = key.rsplit_once('@')?;
    let local = local.split_once('+').map_or(local, |(name, _)| name);
    Some((local.to_owned(), domain.to_owned()))
}

impl Post {
    /// The channel that mail to this address comes in by.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn channel_at(&self, address: &str) -> Result<Option<Found>, Refused> {
        let Some((local, domain)) = parts(address) else { return Ok(None) };
        let whole = email::key(address);
        let bare = format!("{local}@{domain}");
        for key in [&whole, &bare] {
            let owner = self.commands.log().claim_owner("", ADDRESS_SCOPE, key).await?;
            let Some(owner) = owner else { continue };
            let (Ok(tenant), Ok(id)) = (owner.tenant.parse(), owner.key().parse()) else { continue };
            let Some(found) = self.mail_channel(tenant, id).await? else { continue };
            if *key == whole || found.channel.mail.plus_addresses {
                return Ok(Some(found));
            }
        }
        let Some(tenant) = self.tenant_of(&domain).await? else { return Ok(None) };
        let owner = self.commands.log().claim_owner(&tenant.to_string(), "team.alias", &local).await?;
        let Some(team) = owner.and_then(|owner| owner.key().parse().ok()) else { return Ok(None) };
        self.mail_channel(tenant, Channel::of_team(team, Kind::Email)).await
    }

    /// A channel of mail, if it is one.
    async fn mail_channel(&self, tenant: Id, id: Id) -> Result<Option<Found>, Refused> {
        let channel = self.commands.find::<Channel>(tenant, id).await?;
        let channel = channel.filter(|channel| channel.kind == Some(Kind::Email));
        Ok(channel.map(|channel| Found { tenant, id, channel }))
    }

    /// Whose aliases are under this domain.
    async fn tenant_of(&self, domain: &str) -> Result<Option<Id>, Refused> {
        let usual = self.domain.as_deref().and_then(|usual| domain.strip_suffix(usual)?.strip_suffix('.'));
        if let Some(tenant) = usual.and_then(|name| name.to_ascii_uppercase().parse::<Id>().ok()) {
            return Ok(self.commands.find::<Tenant>(tenant, tenant).await?.map(|_| tenant));
        }
        let owner = self.commands.log().claim_owner("", ALIAS_DOMAIN, domain).await?;
        Ok(owner.and_then(|owner| owner.tenant.parse().ok()))
    }

    /// The address of a channel, and whether mail to it with a plus comes in too. `None` where it has none.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn address_of(&self, tenant: Id, channel: &Channel) -> Result<Option<(String, bool)>, Refused> {
        if let Some(address) = &channel.mail.address {
            return Ok(Some((address.clone(), channel.mail.plus_addresses)));
        }
        let Some(team) = channel.team else { return Ok(None) };
        let Some(team) = self.commands.find::<Team>(tenant, team).await? else { return Ok(None) };
        let Some(alias) = &team.alias else { return Ok(None) };
        let (company, _) = self.commands.load::<Tenant>(tenant, tenant).await?;
        let usual =
            || self.domain.as_ref().map(|domain| format!("{}.{domain}", tenant.to_string().to_ascii_lowercase()));
        let domain = company.alias_domain.clone().or_else(usual);
        Ok(domain.map(|domain| (format!("{alias}@{domain}"), true)))
    }
}
