//! Secrets that must be read again, sealed with a key that is not in the database.

use std::{io::Write, os::unix::fs::OpenOptionsExt, path::PathBuf};

use parking_lot::Mutex;
use rand::TryRng;
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use sha2::{Digest, Sha256};

use crate::{
    auth::{hex, unhex},
    config::{SecretKey, Serve},
    problem::Problem,
};

/// Seals and opens. Without a key in the configuration one is made in the data directory when it is first needed.
pub(crate) struct Seal {
    key: Mutex<Option<SecretKey>>,
    /// By which things were sealed before: they still open what was.
    former: Vec<SecretKey>,
    file: PathBuf,
}

/// The first bytes of what is sealed: by which key.
const NAME: usize = 4;

/// By what a key is recognised, which tells nothing of it.
fn name(key: &SecretKey) -> [u8; NAME] {
    let digest = Sha256::new().chain_update("deskfold secret key").chain_update(key.0).finalize();
    let mut name = [0; NAME];
    name.copy_from_slice(&digest[..NAME]);
    name
}

impl Seal {
    pub(crate) fn new(config: &Serve) -> Seal {
        let file = config.database.data_dir.join("secret.key");
        Seal {
            key: Mutex::new(config.sign_in.secret_key.clone()),
            former: config.sign_in.former_secret_keys.clone(),
            file,
        }
    }

    fn key(&self) -> Result<SecretKey, Problem> {
        let mut known = self.key.lock();
        if let Some(key) = &*known {
            return Ok(key.clone());
        }
        let key = self.read_or_make().map_err(|error| Problem::broken(&format!("{}: {error}", self.file.display())))?;
        *known = Some(key.clone());
        Ok(key)
    }

    fn read_or_make(&self) -> Result<SecretKey, Box<dyn std::error::Error>> {
        if let Some(folder) = self.file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // Whole or not there: it is written under another name and linked, which fails when another process was faster.
        if !self.file.exists() {
            let mut key = [0u8; 32];
            rand::rngs::SysRng.try_fill_bytes(&mut key)?;
            let draft = self.file.with_extension(format!("key.{}", std::process::id()));
            let mut file =
                std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            writeln!(file, "{}", hex(&key))?;
            file.sync_all()?;
            let linked = std::fs::hard_link(&draft, &self.file);
            std::fs::remove_file(&draft)?;
            match linked {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error.into()),
                _ => {}
            }
        }
        Ok(std::fs::read_to_string(&self.file)?.parse()?)
    }

    /// Another key for another purpose, from which this one cannot be told.
    pub(crate) fn derived(&self, purpose: &str) -> Result<[u8; 32], Problem> {
        let key = self.key()?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key.0);
        let mut derived = [0; 32];
        derived.copy_from_slice(hmac::sign(&key, purpose.as_bytes()).as_ref());
        Ok(derived)
    }

    /// Seals a secret that belongs to `owner`: what is sealed for one is of no use to another.
    pub(crate) fn close(&self, owner: &str, secret: &[u8]) -> Result<Vec<u8>, Problem> {
        let key = self.key()?;
        let mut nonce = [0u8; NONCE_LEN];
        rand::rngs::SysRng.try_fill_bytes(&mut nonce).map_err(|error| Problem::broken(&error))?;
        let mut sealed = secret.to_vec();
        cipher(&key)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(owner), &mut sealed)
            .map_err(|error| Problem::broken(&error))?;
        Ok([&name(&key)[..], &nonce, &sealed].concat())
    }

    /// Signs a text for a purpose: what is signed for one is of no use for another.
    pub(super) fn sign(&self, purpose: &str, text: &str) -> Result<String, Problem> {
        Ok(hex(hmac::sign(&self.signing(purpose)?, text.as_bytes()).as_ref()))
    }

    /// Whether a text was signed so, for this purpose, with this key. It takes as long whatever is wrong with it.
    pub(super) fn is_signed(&self, purpose: &str, text: &str, signature: &str) -> Result<bool, Problem> {
        let Some(tag) = unhex(signature) else { return Ok(false) };
        Ok(hmac::verify(&self.signing(purpose)?, text.as_bytes(), &tag).is_ok())
    }

    fn signing(&self, purpose: &str) -> Result<hmac::Key, Problem> {
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &self.derived(purpose)?))
    }

    /// Opens what was sealed for `owner`.
    pub(crate) fn open(&self, owner: &str, sealed: &[u8]) -> Result<Vec<u8>, Problem> {
        let key = self.key()?;
        let damaged = || Problem::broken(&"what is sealed is damaged, or belongs to somebody else");
        let (by, rest) = sealed.split_at_checked(NAME).ok_or_else(damaged)?;
        let all = [&key].into_iter().chain(&self.former);
        let Some(key) = all.into_iter().find(|key| *by == name(key)[..]).cloned() else {
            return Err(Problem::broken(
                &"it was sealed with another secret key: give all processes the same --secret-key, the one it was sealed with, or name that one in --former-secret-keys",
            ));
        };
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(damaged)?;
        let mut opened = rest.to_vec();
        let length = cipher(&key)?
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(owner), &mut opened)
            .map_err(|_| damaged())?
            .len();
        opened.truncate(length);
        Ok(opened)
    }
}

fn cipher(key: &SecretKey) -> Result<LessSafeKey, Problem> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, &key.0).map_err(|error| Problem::broken(&error))?;
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn seal(folder: &std::path::Path, key: Option<&str>) -> Seal {
        let key = key.map(|digit| digit.repeat(64).parse().unwrap());
        Seal { key: Mutex::new(key), former: Vec::new(), file: folder.join("secret.key") }
    }

    #[test]
    fn what_is_sealed_opens_for_its_owner_and_with_its_key_alone() {
        let folder = std::env::temp_dir().join(format!("deskfold-seal-{}", uuid::Uuid::now_v7()));
        let ours = seal(&folder, None);
        let sealed = ours.close("anna", b"secret").unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_eq!(ours.open("anna", &sealed).unwrap(), b"secret");
        assert_ne!(ours.close("anna", b"secret").unwrap(), sealed, "no two are alike");
        // Another process finds the key that this one made.
        assert_eq!(seal(&folder, None).open("anna", &sealed).unwrap(), b"secret");
        assert_eq!(std::fs::metadata(folder.join("secret.key")).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(ours.open("boris", &sealed).is_err() && ours.open("anna", &sealed[..9]).is_err());
        assert!(seal(&folder, Some("a")).open("anna", &sealed).is_err());
        // Another key is put in its place: what was sealed before still opens, and anew it is sealed by the new one.
        let former = vec![std::fs::read_to_string(folder.join("secret.key")).unwrap().parse().unwrap()];
        let moved = Seal { former, ..seal(&folder, Some("a")) };
        assert_eq!(moved.open("anna", &sealed).unwrap(), b"secret");
        let anew = moved.close("anna", b"secret").unwrap();
        assert_eq!(seal(&folder, Some("a")).open("anna", &anew).unwrap(), b"secret");
        let signed = ours.sign("pictures", "desk.opened").unwrap();
        let is_signed = |by: &Seal, purpose: &str, text: &str| by.is_signed(purpose, text, &signed).unwrap();
        assert!(is_signed(&ours, "pictures", "desk.opened"));
        assert!(!is_signed(&ours, "pictures", "desk.closed") && !is_signed(&ours, "files", "desk.opened"));
        assert!(!is_signed(&seal(&folder, Some("a")), "pictures", "desk.opened"));
        assert!(!ours.is_signed("pictures", "desk.opened", "no hex").unwrap());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
