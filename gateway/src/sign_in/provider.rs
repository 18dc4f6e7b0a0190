//! OpenID Connect: authorization code with PKCE, a provider for each tenant.

use std::time::Duration;

use axum::http::StatusCode;
use domain::{
    Id, Personal,
    kernel::email,
    org::{
        session::Method,
        tenant::{FirstSignIn, IdentityProvider, Tenant},
        user::{self, Command, IDENTITY, Status, User, identity_key},
    },
};
use futures::future::BoxFuture;
use openidconnect::{
    AccessToken, AsyncHttpClient, AuthenticationFlow, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IssuerUrl, Nonce, OAuth2TokenResponse,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, SubjectIdentifier, TokenResponse,
    core::{CoreClient, CoreProviderMetadata, CoreResponseType, CoreUserInfoClaims},
};
use serde::{Deserialize, Serialize};

use super::{Browser, Cookie, Outcome, STEP_SECONDS, flow::Person, password::same, tokens::Purpose};
use crate::{app::App, problem::Problem};

/// How long a provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer of a provider that is read, in bytes.
const LARGEST: usize = 1 << 20;
/// Where people come back to.
const CALLBACK: &str = "/v1/sign_in/provider/callback";

/// What is remembered while somebody is at the provider.
#[derive(Serialize, Deserialize)]
struct Sent {
    tenant: Id,
    credential: Id,
    state: String,
    nonce: String,
    verifier: String,
    next: Option<String>,
}

/// What a provider says of somebody.
struct Claims {
    subject: String,
    /// An address that the provider has verified.
    email: Option<String>,
    name: Option<String>,
}

/// Why a provider could not be asked.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    #[error("the answer is larger than {LARGEST} bytes")]
    Large,
}

type Client =
    CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointMaybeSet, EndpointMaybeSet>;

/// What providers are asked with. It follows no redirections: a provider would lead us where it likes.
pub(super) fn client() -> reqwest::Client {
    crate::install_crypto_provider();
    let client = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none()).build();
    // Only a TLS backend that cannot start fails here; then every request tells.
    client.unwrap_or_default()
}

/// What asks providers on behalf of the library that speaks OpenID Connect.
#[derive(Clone)]
struct Asking(reqwest::Client);

impl<'c> AsyncHttpClient<'c> for Asking {
    type Error = Unanswered;
    type Future = BoxFuture<'c, Result<HttpResponse, Unanswered>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(ask(self.0.clone(), request))
    }
}

async fn ask(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, Unanswered> {
    let mut answer = http.execute(request.try_into()?).await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > LARGEST {
            return Err(Unanswered::Large);
        }
    }
    let mut response = HttpResponse::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The provider did not do its part: told to the person without its inside, and in the log.
fn unavailable(error: &dyn std::error::Error) -> Problem {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        why.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    tracing::warn!(why, "an OpenID provider does not answer as it should");
    let detail = "The provider by which you sign in does not answer as it should. Try again, or tell an administrator.";
    Problem::new(StatusCode::BAD_GATEWAY, "provider_unavailable", detail)
}

fn invalid() -> Problem {
    let detail = "This is not the answer to a question that this browser asked of the provider. Begin again.";
    Problem::bad_request("provider_answer_invalid", detail)
}

fn owner(tenant: Id) -> String {
    format!("provider {tenant}")
}

impl App {
    /// Keeps a client's secret under an id, which is in force once the log says so.
    pub(crate) async fn keep_provider_secret(&self, tenant: Id, credential: Id, secret: &str) -> Result<(), Problem> {
        let sealed = self.sign_in.seal.close(&owner(tenant), secret.as_bytes())?;
        sqlx::query("insert into auth_provider_secret (tenant_id, credential_id, secret) values ($1, $2, $3)")
            .bind(tenant.to_string())
            .bind(credential.to_string())
            .bind(sealed)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Deletes the secrets of a tenant's clients that are not in force.
    pub(crate) async fn forget_other_provider_secrets(&self, tenant: Id) -> Result<(), Problem> {
        let (state, _) = self.commands.load_current::<Tenant>(tenant, tenant).await?;
        let credential = state.identity_provider.as_ref().map(|provider| provider.credential.to_string());
        sqlx::query("delete from auth_provider_secret where tenant_id = $1 and credential_id is distinct from $2")
            .bind(tenant.to_string())
            .bind(credential)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn provider_client(
        &self,
        tenant: Id,
        provider: &IdentityProvider,
        browser: &Browser,
    ) -> Result<Client, Problem> {
        let sealed: Option<Vec<u8>> =
            sqlx::query_scalar("select secret from auth_provider_secret where tenant_id = $1 and credential_id = $2")
                .bind(tenant.to_string())
                .bind(provider.credential.to_string())
                .fetch_optional(&self.pool)
                .await?;
        let sealed = sealed.ok_or_else(|| Problem::broken(&"the secret of an OpenID client is missing"))?;
        let secret = self.sign_in.seal.open(&owner(tenant), &sealed)?;
        let secret = String::from_utf8(secret).map_err(|error| Problem::broken(&error))?;
        let issuer = IssuerUrl::new(provider.issuer.clone()).map_err(|error| unavailable(&error))?;
        let http = Asking(self.sign_in.http.clone());
        let metadata =
            CoreProviderMetadata::discover_async(issuer, &http).await.map_err(|error| unavailable(&error))?;
        let back = RedirectUrl::new(format!("{}{CALLBACK}", self.home(browser).await?))
            .map_err(|error| Problem::broken(&error))?;
        let id = ClientId::new(provider.client_id.clone());
        Ok(CoreClient::from_provider_metadata(metadata, id, Some(ClientSecret::new(secret))).set_redirect_uri(back))
    }

    /// The provider of a tenant.
    pub(crate) async fn provider(&self, tenant: Id) -> Result<Option<IdentityProvider>, Problem> {
        let (state, _) = self.commands.load_current::<Tenant>(tenant, tenant).await?;
        Ok(state.identity_provider.clone())
    }

    /// Where somebody is sent to sign in at a provider, and the cookie that knows him when he comes back.
    pub(crate) async fn send_to_provider(
        &self,
        tenant: Option<Id>,
        next: Option<String>,
        browser: &Browser,
    ) -> Result<(String, String), Problem> {
        let missing = || Problem::missing("provider_missing", "There is no OpenID provider to sign in by.");
        let tenant = self.tenant_of_host(browser).await?.or(tenant).ok_or_else(missing)?;
        let provider = self.provider(tenant).await?.ok_or_else(missing)?;
        let client = self.provider_client(tenant, &provider, browser).await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let request = client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
        let scopes = ["email", "profile"].map(|scope| Scope::new(scope.to_owned()));
        let (url, state, nonce) = request.add_scopes(scopes).set_pkce_challenge(challenge).url();
        let sent = Sent {
            tenant,
            credential: provider.credential,
            state: state.secret().clone(),
            nonce: nonce.secret().clone(),
            verifier: verifier.secret().clone(),
            next,
        };
        let until = self.now() + Duration::from_secs(STEP_SECONDS);
        Ok((url.to_string(), self.make_token(Purpose::Provider, &sent, until).await?))
    }

    /// Signs somebody in who comes back from a provider; where he wanted to go.
    pub(crate) async fn back_from_provider(
        &self,
        code: String,
        state: &str,
        browser: &Browser,
    ) -> Result<(Outcome, Option<String>), Problem> {
        let token = browser.cookie(Cookie::Provider).unwrap_or_default();
        let sent: Option<Sent> = self.token(Purpose::Provider, token).await?;
        let sent = sent.ok_or_else(invalid)?;
        if !same(sent.state.as_bytes(), state.as_bytes()) || !self.drop_token(Purpose::Provider, token).await? {
            return Err(invalid());
        }
        let tenant = sent.tenant;
        let provider = self.provider(tenant).await?.filter(|provider| provider.credential == sent.credential);
        let provider = provider.ok_or_else(invalid)?;
        let client = self.provider_client(tenant, &provider, browser).await?;
        let claims = self.claims(&client, code, &sent).await?;
        let person = self.person_of(tenant, &provider, claims).await?;
        Ok((self.proceed_as(browser, person, Method::OpenidConnect).await?, sent.next))
    }

    async fn claims(&self, client: &Client, code: String, sent: &Sent) -> Result<Claims, Problem> {
        let http = Asking(self.sign_in.http.clone());
        let request = client.exchange_code(AuthorizationCode::new(code)).map_err(|error| unavailable(&error))?;
        let verifier = PkceCodeVerifier::new(sent.verifier.clone());
        let answer = request.set_pkce_verifier(verifier).request_async(&http).await;
        let answer = answer.map_err(|error| unavailable(&error))?;
        let token = answer.id_token().ok_or_else(invalid)?;
        let nonce = Nonce::new(sent.nonce.clone());
        let verified = token.claims(&client.id_token_verifier(), &nonce).map_err(|error| unavailable(&error))?;
        let subject = verified.subject().as_str().to_owned();
        let verified_email = |email: Option<&openidconnect::EndUserEmail>, verified: Option<bool>| {
            email.filter(|_| verified == Some(true)).map(|email| email.as_str().to_owned())
        };
        let name = |name: Option<&openidconnect::EndUserName>| name.map(|name| name.as_str().to_owned());
        let mut claims = Claims {
            subject,
            email: verified_email(verified.email(), verified.email_verified()),
            name: verified.name().and_then(|names| name(names.get(None))),
        };
        // Many providers tell the address only when they are asked for it.
        if verified.email().is_none() {
            let more = self.user_info(client, answer.access_token().clone(), &claims.subject).await?;
            claims.email = verified_email(more.email(), more.email_verified());
            claims.name = claims.name.or_else(|| more.name().and_then(|names| name(names.get(None))));
        }
        Ok(claims)
    }

    async fn user_info(
        &self,
        client: &Client,
        token: AccessToken,
        subject: &str,
    ) -> Result<CoreUserInfoClaims, Problem> {
        let http = Asking(self.sign_in.http.clone());
        let subject = SubjectIdentifier::new(subject.to_owned());
        let request = client.user_info(token, Some(subject)).map_err(|error| unavailable(&error))?;
        request.request_async(&http).await.map_err(|error| unavailable(&error))
    }

    /// Who somebody is here: whom the provider has been known to be before; else who has the address that it has verified; else,
    /// where that is configured, a new colleague.
    async fn person_of(&self, tenant: Id, provider: &IdentityProvider, claims: Claims) -> Result<Person, Problem> {
        let unknown = || {
            let detail = "You are signed in at the provider, and nobody here is known by what it says of you. Ask an \
                          administrator for an invitation.";
            self.sign_in.count("failed");
            Problem::new(StatusCode::FORBIDDEN, "identity_unknown", detail)
        };
        let claimed = async |scope: &str, key: &str| -> Result<Option<Id>, Problem> {
            let owner = self.log.claim_owner(&tenant.to_string(), scope, key).await?;
            Ok(owner.and_then(|owner| owner.key().parse().ok()))
        };
        let person = async |user: Id| -> Result<Person, Problem> {
            let (state, _) = self.commands.load_current::<User>(tenant, user).await?;
            if state.is_active() { Ok(Person { tenant, user, era: state.era }) } else { Err(unknown()) }
        };
        if let Some(user) = claimed(IDENTITY, &identity_key(&provider.issuer, &claims.subject)).await? {
            return person(user).await;
        }
        let address = claims.email.ok_or_else(unknown)?;
        let link = || Command::LinkIdentity { issuer: provider.issuer.clone(), subject: claims.subject.clone().into() };
        if let Some(user) = claimed("user.email", &email::key(&address)).await? {
            let found = person(user).await?;
            let (state, _) = self.commands.load_current::<User>(tenant, user).await?;
            // Whoever was invited has come.
            let came = (state.status == Status::Invited).then_some(Command::Activate);
            let steps = came.into_iter().chain([link()]).collect();
            self.commands.dispatch_all::<User>(&self.own_envelope(tenant, user, user), steps).await?;
            return Ok(found);
        }
        let Some(role) = provider.role.filter(|_| provider.first_sign_in == FirstSignIn::Create) else {
            return Err(unknown());
        };
        let local = address.split('@').next().unwrap_or_default().to_owned();
        let name = claims.name.clone().filter(|name| !name.trim().is_empty()).unwrap_or(local);
        let profile = user::Profile { email: Personal(address), name: Personal(name), ..user::Profile::default() };
        let steps = vec![Command::Invite(profile), Command::Activate, Command::GrantRole { role }, link()];
        let user = self.new_id();
        self.commands.dispatch_all::<User>(&self.system_envelope(tenant, user), steps).await?;
        person(user).await
    }
}
