//! Contacts by their addresses: who has one, who goes on for whom, and who comes into being.

use domain::{
    Aggregate, Id, Rejection,
    crm::contact::{self, Contact, IDENTITY_SCOPE, Identity},
    kernel::{
        named::Either,
        record::{self, Common},
    },
};

use crate::{Commands, Envelope, Refused};

impl Commands {
    /// The contact who has one of these addresses, as the log has it; the first of them counts that anybody has.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn contact_at(&self, tenant: Id, addresses: &[Identity]) -> Result<Option<Id>, Refused> {
        for address in addresses {
            for key in address.keys() {
                let owner = self.log().claim_owner(&tenant.to_string(), IDENTITY_SCOPE, &key).await?;
                let owner = owner.and_then(|owner| owner.key().parse::<Id>().ok());
                if let Some(contact) = owner {
                    return self.living(tenant, contact).await;
                }
            }
        }
        Ok(None)
    }

    /// The contact that goes on for one, if it is there.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn living(&self, tenant: Id, mut contact: Id) -> Result<Option<Id>, Refused> {
        // Chains are short, and never go round in circles.
        for _ in 0..64 {
            let (known, _) = self.load_current::<Contact>(tenant, contact).await?;
            match known.merged_into() {
                Some(into) => contact = into,
                None => return Ok(known.is_live().then_some(contact)),
            }
        }
        Ok(None)
    }

    /// The contact who has one of these addresses, or one who comes into being by this command. The refusal is told where neither can
    /// be: whoever has an address is put away, say.
    ///
    /// # Errors
    /// When the log cannot be read or written.
    pub async fn contact_or_new(
        &self,
        addresses: &[Identity],
        envelope: &Envelope,
        new: record::New<contact::Fields>,
    ) -> Result<Result<Id, Rejection>, Refused> {
        if let Some(known) = self.contact_at(envelope.tenant, addresses).await? {
            return Ok(Ok(known));
        }
        match self.dispatch::<Contact>(envelope, Either::Common(Common::Create(new))).await {
            Ok(made) => Ok(Ok(made.id)),
            // Somebody else got an address a moment ago: now it is found.
            Err(Refused::Rejected(refusal)) => Ok(self.contact_at(envelope.tenant, addresses).await?.ok_or(refusal)),
            Err(refused) => Err(refused),
        }
    }
}
