//! From an address and a password to a session: which tenant, which code, and nothing told to whoever guesses.

use axum::http::StatusCode;
use commands::{Accepted, Envelope};
use domain::{
    Actor, Authority, Id, Time, Via,
    kernel::email,
    org::{
        session::Method,
        tenant::{HOST_NAME, Tenant, host_forms},
        user::{Command, User},
    },
};
use serde::{Deserialize, Serialize};

use super::{Browser, Cookie, attempts::Subject, password::normal, tokens::Purpose};
use crate::{app::App, auth::SYSTEM, problem::Problem};

/// Somebody who has proved who he is, as of then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) tenant: Id,
    pub(crate) user: Id,
    /// A session begins only if nothing has ended all sessions since.
    pub(crate) era: u32,
}

/// What is remembered between a right password and a session.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Step {
    persons: Vec<Person>,
    method: Method,
}

/// How far an attempt to sign in has come.
pub(crate) enum Outcome {
    /// All the way.
    SignedIn {
        tenant: Id,
        user: Id,
        session: Id,
        /// The cookie's secret.
        secret: String,
    },
    /// The same address and password are known in several tenants.
    TenantNeeded {
        tenants: Vec<Id>,
        /// The cookie that goes on.
        step: String,
    },
    /// A code is needed too.
    CodeNeeded {
        /// The cookie that goes on.
        step: String,
    },
}

/// How long one may take from the password to the code, in seconds.
pub(crate) const STEP_SECONDS: u64 = 600;
/// In how many tenants one address is looked for.
const TENANTS: i64 = 20;

fn failed() -> Problem {
    let detail =
        "That is not right. Look at the address, the password and the code; nobody says which of them is wrong.";
    Problem::unauthorized("sign_in_failed", detail)
}

impl App {
    /// An order that somebody gives about what is his own, which nobody need be permitted.
    pub(super) fn own_envelope(&self, tenant: Id, user: Id, id: Id) -> Envelope {
        let envelope = Envelope::new(tenant, id, Actor::user(user), Via::Api, self.now());
        Envelope { authority: Authority::full(), ..envelope }
    }

    /// An order of Deskfold's own.
    pub(super) fn system_envelope(&self, tenant: Id, id: Id) -> Envelope {
        Envelope::new(tenant, id, SYSTEM, Via::Api, self.now())
    }

    /// Carries out what a user asks about how he signs in.
    pub(crate) async fn as_oneself(&self, tenant: Id, user: Id, command: Command) -> Result<Accepted, Problem> {
        Ok(self.commands.dispatch::<User>(&self.own_envelope(tenant, user, user), command).await?)
    }

    /// The tenant to which a host name belongs.
    pub(crate) async fn tenant_of_host(&self, browser: &Browser) -> Result<Option<Id>, Problem> {
        for name in host_forms(&browser.host) {
            if let Some(owner) = self.log.claim_owner("", HOST_NAME, &name).await? {
                return Ok(owner.tenant.parse().ok());
            }
        }
        Ok(None)
    }

    /// Where this server is for whoever asks: by a tenant's own host name there, else where the configuration says.
    pub(super) async fn home(&self, browser: &Browser) -> Result<String, Problem> {
        Ok(match &self.config.sign_in.public_url {
            Some(url) if self.tenant_of_host(browser).await?.is_none() => url.clone(),
            _ => browser.origin.clone(),
        })
    }

    /// The users with this address, in one tenant or all.
    pub(super) async fn users_with(&self, address: &str, tenant: Option<Id>) -> Result<Vec<(Id, Id)>, Problem> {
        let owners: Vec<(String, String)> = sqlx::query_as(
            "select tenant_id, stream from log_claim
             where scope = 'user.email' and key = $1 and ($2 is null or tenant_id = $2) order by tenant_id limit $3",
        )
        .bind(email::key(address))
        .bind(tenant.map(|tenant| tenant.to_string()))
        .bind(TENANTS)
        .fetch_all(&self.pool)
        .await?;
        let parsed = |(tenant, stream): (String, String)| {
            let (_, user) = stream.split_once('-')?;
            Some((tenant.parse().ok()?, user.parse().ok()?))
        };
        Ok(owners.into_iter().filter_map(parsed).collect())
    }

    /// Whether this is a user's password. It takes as long when there is no such user, or none with a password.
    async fn password_holds(&self, person: Option<(Id, &User)>, password: &str) -> Result<bool, Problem> {
        let passwords = &self.sign_in.passwords;
        let Some((tenant, user, credential)) = person.and_then(|(tenant, user)| Some((tenant, user, user.password?)))
        else {
            return passwords.verify(password.to_owned(), None).await;
        };
        let kept = self.kept_password(tenant, credential).await?;
        let outdated = kept.as_ref().is_some_and(super::password::Hash::is_outdated);
        let right = passwords.verify(password.to_owned(), kept).await?;
        if right && outdated && user.is_active() {
            let hash = passwords.hash(password.to_owned()).await?;
            self.renew_password(tenant, credential, &hash).await?;
        }
        Ok(right && user.is_active())
    }

    /// Signs somebody in by a password.
    pub(crate) async fn sign_in_by_password(
        &self,
        browser: &Browser,
        address: &str,
        password: &str,
        tenant: Option<Id>,
    ) -> Result<Outcome, Problem> {
        let of_host = self.tenant_of_host(browser).await?;
        // A host of its own is a tenant of its own.
        let tenant = of_host.or(tenant);
        let account = Subject::account(&email::key(address));
        let from = browser.address.map(Subject::address);
        let subjects: Vec<_> = from.iter().chain([&account]).collect();
        self.attempt(&subjects).await?;
        let password = normal(password);
        let mut persons = Vec::new();
        let mut tried = false;
        for (tenant, id) in self.users_with(address, tenant).await? {
            let (user, _) = self.commands.load_current::<User>(tenant, id).await?;
            if user.password.is_none() {
                continue;
            }
            tried = true;
            if self.password_holds(Some((tenant, &user)), &password).await? {
                persons.push(Person { tenant, user: id, era: user.era });
            }
        }
        if !tried {
            self.password_holds(None, &password).await?;
        }
        if persons.is_empty() {
            self.sign_in.count("failed");
            return Err(failed());
        }
        self.succeeded(&account, from.as_ref()).await?;
        self.proceed(browser, Step { persons, method: Method::Password }, false).await
    }

    /// Goes on with somebody who has proved who he is otherwise.
    pub(super) async fn proceed_as(
        &self,
        browser: &Browser,
        person: Person,
        method: Method,
    ) -> Result<Outcome, Problem> {
        self.proceed(browser, Step { persons: vec![person], method }, false).await
    }

    /// Goes on with somebody who was signed in all the way, code and all, and has just shown that he knows the password.
    pub(crate) async fn go_on_as(&self, browser: &Browser, person: Person) -> Result<Outcome, Problem> {
        self.proceed(browser, Step { persons: vec![person], method: Method::Password }, true).await
    }

    async fn proceed(&self, browser: &Browser, step: Step, with_code: bool) -> Result<Outcome, Problem> {
        let until = self.now() + std::time::Duration::from_secs(STEP_SECONDS);
        let [person] = step.persons[..] else {
            self.sign_in.count("tenant_needed");
            let tenants = step.persons.iter().map(|person| person.tenant).collect();
            return Ok(Outcome::TenantNeeded { tenants, step: self.make_token(Purpose::SignIn, &step, until).await? });
        };
        let Person { tenant, user, era } = person;
        let (state, _) = self.commands.load_current::<User>(tenant, user).await?;
        // A provider has its own ways to be sure.
        let needed = state.second_factor.is_some() && step.method != Method::OpenidConnect;
        if needed && !with_code {
            self.sign_in.count("code_needed");
            return Ok(Outcome::CodeNeeded { step: self.make_token(Purpose::SignIn, &step, until).await? });
        }
        let how = (step.method, needed);
        let (session, secret) = self.begin_session((tenant, user), era, how, browser).await?;
        self.sign_in.count("signed_in");
        Ok(Outcome::SignedIn { tenant, user, session, secret })
    }

    /// The tenants of somebody who has given the right password: one when a code is needed, several when one is to be chosen;
    /// `None` when that was too long ago.
    pub(crate) async fn step_tenants(&self, browser: &Browser) -> Result<Option<Vec<Id>>, Problem> {
        let token = browser.cookie(Cookie::Step).unwrap_or_default();
        let begun: Option<Step> = self.token(Purpose::SignIn, token).await?;
        Ok(begun.map(|step| step.persons.into_iter().map(|person| person.tenant).collect()))
    }

    /// Goes on where more was needed: by the tenant chosen, by a code.
    pub(crate) async fn continue_sign_in(
        &self,
        browser: &Browser,
        tenant: Option<Id>,
        code: Option<&str>,
    ) -> Result<Outcome, Problem> {
        let token = browser.cookie(Cookie::Step).unwrap_or_default();
        let begun: Option<Step> = self.token(Purpose::SignIn, token).await?;
        let Some(mut step) = begun else {
            self.sign_in.count("failed");
            return Err(failed());
        };
        if let Some(tenant) = tenant {
            step.persons.retain(|person| person.tenant == tenant);
        }
        let mut with_code = false;
        if let ([person], Some(code)) = (&step.persons[..], code) {
            if !self.second_factor_holds(person.tenant, person.user, code).await? {
                self.sign_in.count("failed");
                return Err(failed());
            }
            with_code = true;
        }
        if step.persons.is_empty() || !self.drop_token(Purpose::SignIn, token).await? {
            self.sign_in.count("failed");
            return Err(failed());
        }
        self.proceed(browser, step, with_code).await
    }

    /// Somebody has forgotten a password: whoever has the right to hand out links learns of it from the log. The answer is the
    /// same, and as quick, whether or not there is such a user.
    pub(crate) async fn forgot_password(&self, browser: &Browser, address: String) -> Result<(), Problem> {
        if let Some(from) = browser.address.map(Subject::address) {
            self.attempt(&[&from]).await?;
        }
        let tenant = self.tenant_of_host(browser).await?;
        let app = self.clone();
        tokio::spawn(async move {
            if let Err(problem) = app.note_forgotten_password(&address, tenant).await {
                tracing::warn!(%problem, "cannot write down that a password was forgotten");
            }
        });
        Ok(())
    }

    async fn note_forgotten_password(&self, address: &str, tenant: Option<Id>) -> Result<(), Problem> {
        for (tenant, user) in self.users_with(address, tenant).await? {
            let (state, _) = self.commands.load::<User>(tenant, user).await?;
            if state.is_active() {
                self.commands.dispatch::<User>(&self.system_envelope(tenant, user), Command::ForgetPassword).await?;
            }
        }
        Ok(())
    }

    /// Refuses whoever is signed in but does not know the password: a session left open is not enough to change how one signs
    /// in.
    pub(crate) async fn confirm_password(&self, tenant: Id, user: Id, password: &str) -> Result<(), Problem> {
        let (state, _) = self.commands.load_current::<User>(tenant, user).await?;
        if state.password.is_none() {
            let detail = "You have no password yet. Ask an administrator for a link by which to set one.";
            return Err(Problem::new(StatusCode::CONFLICT, "password_missing", detail));
        }
        let subject = Subject::account(&format!("{tenant} {user}"));
        self.attempt(&[&subject]).await?;
        if !self.password_holds(Some((tenant, &state)), &normal(password)).await? {
            return Err(Problem::invalid("password_wrong", "That is not your password.").at("/password"));
        }
        self.succeeded(&subject, None).await
    }

    /// Gives a user another password: by a link, or by whoever knew the former one. All sessions are over with it.
    pub(crate) async fn set_password(
        &self,
        tenant: Id,
        user: Id,
        password: &str,
        link: Option<Id>,
    ) -> Result<Person, Problem> {
        let (state, _) = self.commands.load_current::<User>(tenant, user).await?;
        let password = normal(password);
        let (organisation, _) = self.commands.load::<Tenant>(tenant, tenant).await?;
        super::password::check(&password, &state.profile, organisation.name.as_deref().unwrap_or_default())?;
        let hash = self.sign_in.passwords.hash(password).await?;
        let (credential, now): (Id, Time) = (self.new_id(), self.now());
        self.keep_password(tenant, user, credential, &hash, now).await?;
        self.as_oneself(tenant, user, Command::SetPassword { credential, link }).await?;
        self.forget_other_passwords(tenant, user, credential).await?;
        self.conclude_sessions_of(tenant, user).await?;
        let (state, _) = self.commands.load_current::<User>(tenant, user).await?;
        Ok(Person { tenant, user, era: state.era })
    }
}
