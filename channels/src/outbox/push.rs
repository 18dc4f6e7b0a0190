//! Messages pushed to browsers: encrypted so that only the browser reads them (RFC 8291), and signed so that its push service knows
//! whose they are (RFC 8292).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::{
    PublicKey, SecretKey,
    ecdh::diffie_hellman,
    ecdsa::{Signature, SigningKey, signature::Signer},
};
use rand::TryRng;
use ring::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hmac,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use domain::Time;

/// Most bytes that a message may have before it is encrypted: what every push service takes.
const MOST: usize = 3000;
/// The size of a record, of which there is one.
const RECORD: u32 = 4096;
/// How long a signature is good: at most a day is taken.
const GOOD_FOR: jiff::SignedDuration = jiff::SignedDuration::from_hours(12);

/// The keys of a browser, as it tells them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// Its public key, in base64url.
    pub p256dh: String,
    /// The secret that it shares, in base64url.
    pub auth: String,
}

/// Where a browser is reached, and how what is said to it is encrypted. It is kept sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Browser {
    /// The address at its push service.
    pub endpoint: String,
    /// Its keys.
    pub keys: Keys,
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

impl Browser {
    /// Whether messages can be encrypted for it.
    pub fn is_fit(&self) -> bool {
        self.parts().is_some()
    }

    fn parts(&self) -> Option<(PublicKey, Vec<u8>)> {
        let key = PublicKey::from_sec1_bytes(&decoded(&self.keys.p256dh)?).ok()?;
        let auth = decoded(&self.keys.auth)?;
        (auth.len() == 16).then_some((key, auth))
    }

    /// A message for it, as it goes over the wire.
    ///
    /// # Errors
    /// Why it cannot be encrypted.
    pub fn encrypt(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let (mut salt, mut own) = ([0; 16], [0; 32]);
        let random = |bytes: &mut [u8]| rand::rngs::SysRng.try_fill_bytes(bytes).map_err(|error| error.to_string());
        random(&mut salt)?;
        random(&mut own)?;
        let own = SecretKey::from_slice(&own).map_err(|error| error.to_string())?;
        self.encrypt_with(message, &own, salt)
    }

    fn encrypt_with(&self, message: &[u8], own: &SecretKey, salt: [u8; 16]) -> Result<Vec<u8>, String> {
        let (key, auth) = self.parts().ok_or("the browser's keys are none")?;
        if message.len() > MOST {
            return Err("it is too long to be pushed".into());
        }
        let (theirs, ours) = (uncompressed(&key), uncompressed(&own.public_key()));
        let shared = diffie_hellman(own.to_nonzero_scalar(), key.as_affine());
        let first = hash(&auth, &[shared.raw_secret_bytes()]);
        let secret = hash(&first, &[b"WebPush: info\0", &theirs, &ours, &[1]]);
        let both = hash(&salt, &[&secret]);
        let cipher = hash(&both, &[b"Content-Encoding: aes128gcm\0\x01"]);
        let nonce = hash(&both, &[b"Content-Encoding: nonce\0\x01"]);
        let broken = |_| "it cannot be encrypted".to_owned();
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &cipher[..16]).map_err(broken)?);
        let nonce = Nonce::try_assume_unique_for_key(&nonce[..12]).map_err(broken)?;
        // The last record ends with a two.
        let mut sealed = [message, &[2]].concat();
        cipher.seal_in_place_append_tag(nonce, Aad::empty(), &mut sealed).map_err(broken)?;
        let length = u8::try_from(ours.len()).map_err(|error| error.to_string())?;
        Ok([&salt[..], &RECORD.to_be_bytes(), &[length], &ours, &sealed].concat())
    }
}

fn uncompressed(key: &PublicKey) -> Vec<u8> {
    use p256::elliptic_curve::sec1::ToSec1Point;
    key.to_sec1_point(false).as_bytes().to_vec()
}

fn hash(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    context.sign().as_ref().to_vec()
}

/// By what push services know whose messages are (VAPID).
#[derive(Clone)]
pub struct Sender {
    key: SigningKey,
    /// Whom they write to when something is wrong: a `mailto:` or `https:` address.
    contact: String,
}

impl Sender {
    /// That of a key that nobody else has; `None` where it is no key, as one of 2³² is not.
    pub fn new(key: &[u8; 32], contact: String) -> Option<Sender> {
        Some(Sender { key: SigningKey::from_slice(key).ok()?, contact })
    }

    /// Its public key, which a browser asks for, in base64url.
    pub fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(uncompressed(&PublicKey::from(self.key.verifying_key())))
    }

    /// What stands in `Authorization` of what is sent to a push service.
    pub fn authorization(&self, audience: &str, now: Time) -> String {
        let until = now.checked_add(GOOD_FOR).unwrap_or(now).as_second();
        let claims = json!({ "aud": audience, "exp": until, "sub": self.contact });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "typ": "JWT", "alg": "ES256" })), part(&claims));
        let signature: Signature = self.key.sign(signed.as_bytes());
        format!("vapid t={signed}.{}, k={}", URL_SAFE_NO_PAD.encode(signature.to_bytes()), self.public())
    }
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::{VerifyingKey, signature::Verifier};

    use super::*;

    #[test]
    fn a_message_is_encrypted_as_in_the_example_of_the_standard() {
        let browser = Browser {
            endpoint: String::new(),
            keys: Keys {
                p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
                    .into(),
                auth: "BTBZMqHH6r4Tts7J_aSIgg".into(),
            },
        };
        let own = SecretKey::from_slice(&decoded("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw").unwrap()).unwrap();
        let salt = decoded("DGv6ra1nlYgDCS1FRnbzlw").unwrap().try_into().unwrap();
        let sealed = browser.encrypt_with(b"When I grow up, I want to be a watermelon", &own, salt).unwrap();
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PB\
            ru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(URL_SAFE_NO_PAD.encode(sealed), expected);
        assert!(browser.encrypt(&[b'x'; MOST + 1]).is_err());
        let short = Keys { auth: "BTBZ".into(), ..browser.keys.clone() };
        assert!(browser.is_fit() && !Browser { keys: short, ..browser }.is_fit());
    }

    #[test]
    fn a_push_service_knows_whose_it_is() {
        let sender = Sender::new(&[7; 32], "mailto:desk@example.com".into()).unwrap();
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let header = sender.authorization("https://push.example.com", now);
        let (token, key) = header.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
        assert_eq!(key, sender.public());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = Signature::from_slice(&decoded(signature).unwrap()).unwrap();
        let key = VerifyingKey::from_sec1_bytes(&decoded(key).unwrap()).unwrap();
        assert!(key.verify(signed.as_bytes(), &signature).is_ok());
        let claims = decoded(signed.split_once('.').unwrap().1).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["aud"], "https://push.example.com");
        assert_eq!(claims["exp"], 1_767_268_800);
    }
}
