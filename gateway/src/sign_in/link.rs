//! Links that are handed to people: to set a password, to confirm an address.

use commands::{Commands, Envelope};
use domain::{
    Id, Time,
    org::{
        session::Method,
        user::{Command, LINK_INVALID, LinkPurpose, Status, User},
    },
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::{
    Browser, Outcome,
    tokens::{self, Purpose},
};
use crate::{app::App, problem::Problem};

/// A link that was handed out.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Handed {
    pub(crate) tenant: Id,
    pub(crate) user: Id,
    /// Under which id the log knows it.
    pub(crate) link: Id,
    pub(crate) purpose: LinkPurpose,
}

/// What somebody sees who holds a link.
pub(crate) struct Seen {
    pub(crate) handed: Handed,
    pub(crate) user: std::sync::Arc<User>,
}

/// What stands before the secret in an address.
const PATH: &str = "/link/";

/// A link at `home` that sets the password of a user, for whoever is at the machine.
pub(crate) async fn to_set_a_password(
    commands: &Commands,
    pool: &PgPool,
    envelope: &Envelope,
    expires_at: Time,
    home: &str,
) -> Result<String, Problem> {
    let purpose = LinkPurpose::Password;
    let link = Id::derived(envelope.now.as_millisecond().unsigned_abs(), &[&envelope.command_id.to_string()]);
    commands.dispatch::<User>(envelope, Command::IssueLink { purpose, link, expires_at }).await?;
    let handed = Handed { tenant: envelope.tenant, user: envelope.id, link, purpose };
    let token = tokens::make(pool, Purpose::Link, &handed, expires_at).await?;
    Ok(format!("{}{PATH}{token}", home.trim_end_matches('/')))
}

/// What is written in a link, or the whole of it, as people paste it.
fn secret(link: &str) -> &str {
    link.rsplit_once(PATH).map_or(link, |(_, secret)| secret).trim()
}

impl App {
    /// Until when a link for this user is good that is made now.
    pub(crate) async fn link_expiry(&self, tenant: Id, user: Id, purpose: LinkPurpose) -> Result<Time, Problem> {
        let (state, _) = self.commands.load::<User>(tenant, user).await?;
        let invitation = purpose == LinkPurpose::Password && state.status == Status::Invited;
        let config = &self.config.sign_in;
        Ok(self.now() + if invitation { config.invitation_lifetime } else { config.link_lifetime })
    }

    /// Makes the secret of a link, which is in force once the log says so; the whole link.
    pub(crate) async fn make_link(
        &self,
        handed: &Handed,
        expires_at: Time,
        browser: &Browser,
    ) -> Result<String, Problem> {
        let token = self.make_token(Purpose::Link, handed, expires_at).await?;
        Ok(format!("{}{PATH}{token}", self.home(browser).await?))
    }

    /// What a link is for and whose it is, as long as it is good.
    pub(crate) async fn look_at_link(&self, link: &str) -> Result<Seen, Problem> {
        let handed: Option<Handed> = self.token(Purpose::Link, secret(link)).await?;
        let handed = handed.ok_or(LINK_INVALID)?;
        let (user, _) = self.commands.load_current::<User>(handed.tenant, handed.user).await?;
        user.check_link(handed.purpose, handed.link, self.now())?;
        Ok(Seen { handed, user })
    }

    /// Follows a link: sets the password and signs in, or confirms the address.
    pub(crate) async fn follow_link(
        &self,
        link: &str,
        password: Option<&str>,
        browser: &Browser,
    ) -> Result<Option<Outcome>, Problem> {
        let Handed { tenant, user, link: id, purpose } = self.look_at_link(link).await?.handed;
        let outcome = match purpose {
            LinkPurpose::Email => {
                self.as_oneself(tenant, user, Command::ConfirmEmail { link: id }).await?;
                None
            }
            LinkPurpose::Password => {
                let missing = || Problem::invalid("password_unfit", "Choose a password.").at("/password");
                let password = password.ok_or_else(missing)?;
                let person = self.set_password(tenant, user, password, Some(id)).await?;
                Some(self.proceed_as(browser, person, Method::Link).await?)
            }
        };
        self.drop_token(Purpose::Link, secret(link)).await?;
        Ok(outcome)
    }
}
