//! How people sign in: passwords, second factors, OpenID providers, sessions, and what keeps others out.

mod attempts;
mod browser;
mod code;
mod flow;
mod link;
mod password;
mod portal;
mod provider;
mod seal;
mod session;
mod tokens;

use std::sync::{Arc, LazyLock};

use prometheus::{IntCounterVec, Opts, Registry};

use self::password::Passwords;
pub(crate) use self::{
    browser::{Browser, Cookie},
    flow::{Outcome, STEP_SECONDS},
    link::{Handed, to_set_a_password},
    portal::{Asked, Entered},
    seal::Seal,
};
use crate::{config::Serve, problem::Problem};

/// What signing in shares in this process.
pub(crate) struct SignIn {
    passwords: Arc<Passwords>,
    pub(crate) seal: Arc<Seal>,
    counted: IntCounterVec,
    /// Made for the first tenant that has a provider: it reads all of the system's certificates.
    http: LazyLock<reqwest::Client>,
}

/// What may come of an attempt to sign in.
const RESULTS: [&str; 5] = ["signed_in", "tenant_needed", "code_needed", "failed", "throttled"];

impl SignIn {
    pub(crate) fn new(config: &Serve, registry: &Registry) -> Result<SignIn, prometheus::Error> {
        let counted = Opts::new("deskfold_sign_ins_total", "Attempts to sign in by what came of them.");
        let counted = IntCounterVec::new(counted, &["result"])?;
        registry.register(Box::new(counted.clone()))?;
        for result in RESULTS {
            counted.with_label_values(&[result]);
        }
        Ok(SignIn {
            passwords: Arc::new(Passwords::new()),
            seal: Arc::new(Seal::new(config)),
            counted,
            http: LazyLock::new(provider::client),
        })
    }

    /// Signs a text that comes back without anybody being signed in.
    pub(crate) fn sign(&self, purpose: &str, text: &str) -> Result<String, Problem> {
        self.seal.sign(purpose, text)
    }

    /// Whether a text was signed so.
    pub(crate) fn is_signed(&self, purpose: &str, text: &str, signature: &str) -> Result<bool, Problem> {
        self.seal.is_signed(purpose, text, signature)
    }

    /// A key of its own for something else that needs one.
    pub(crate) fn key_for(&self, purpose: &str) -> Result<[u8; 32], Problem> {
        self.seal.derived(purpose)
    }

    fn count(&self, result: &str) {
        self.counted.with_label_values(&[result]).inc();
    }
}
