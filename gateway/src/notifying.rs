//! How colleagues are reached besides the list: in what words, from where, and by what key of this server's.

use std::sync::Arc;

use channels::{
    keyed::Keyed,
    outbox::{Reaching, Wording, Words, push::Sender},
};
use domain::org::notifying::Medium;
use sqlx::PgPool;
use web::{Language, told};

use crate::{config::Serve, sealed, sign_in::Seal};

/// For what the key is derived by which push services know this server.
const PURPOSE: &str = "push messages";
/// Whom push services write to where nothing better is known.
const NOBODY: &str = "mailto:postmaster@localhost";

/// By what push services know this server: it is the same on all of its processes, as long as its secret key is.
pub(crate) fn sender(config: &Serve, seal: &Arc<Seal>) -> Keyed<Option<Sender>> {
    let contact = config.sign_in.public_url.clone().filter(|url| url.starts_with("https://"));
    let contact = contact.unwrap_or_else(|| NOBODY.to_owned());
    let seal = Arc::clone(seal);
    Keyed::new(move || {
        let key = seal.derived(PURPOSE).map_err(|problem| problem.to_string())?;
        Ok(Sender::new(&key, contact.clone()))
    })
}

/// What is needed to reach colleagues.
pub(crate) fn reaching(config: &Serve, pool: &PgPool, seal: &Arc<Seal>) -> Reaching {
    Reaching {
        secrets: sealed::opened(sealed::USERS, pool, seal),
        wording: wording(),
        home: config.sign_in.public_url.clone(),
        push: sender(config, seal),
    }
}

fn wording() -> Wording {
    Arc::new(|locale, medium, all| {
        let language = locale.and_then(Language::of_tag).unwrap_or_default();
        let all: Vec<told::Told<'_>> = all
            .iter()
            .map(|one| told::Told {
                kind: one.kind.name(),
                record_kind: &one.record_kind,
                called: one.called.as_deref(),
                by: one.by.as_deref(),
                url: one.url.as_deref(),
            })
            .collect();
        let Some(first) = all.first() else { return Words { title: String::new(), text: String::new() } };
        match medium {
            Medium::Chat => Words { title: String::new(), text: told::chat(language, first) },
            Medium::Push => Words { title: told::title(language, first), text: told::by(first) },
            _ => Words { title: told::subject(language, &all), text: told::mail(language, &all) },
        }
    })
}
