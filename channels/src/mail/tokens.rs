//! Signed tokens, by which an answer is known to belong to a ticket or to a mail: they stand in the address that is answered
//! to and in Message-IDs, and nobody makes one up.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use domain::Id;
use ring::hmac;

/// Bytes of the signature: 80 bits are not guessed over a network.
const SIGNATURE: usize = 10;
/// Characters of an id, and of a signature.
const ID: usize = 26;
const SIGNED: usize = 16;

/// What a token is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// A ticket.
    Ticket(Id),
    /// A mail that is no answer in a ticket.
    Email(Id),
    /// What was said in a conversation.
    Transcript(Id),
}

impl Of {
    /// The record.
    pub fn id(self) -> Id {
        self.parts().1
    }

    fn parts(self) -> (char, Id) {
        match self {
            Of::Ticket(id) => ('t', id),
            Of::Email(id) => ('e', id),
            Of::Transcript(id) => ('c', id),
        }
    }
}

/// What makes tokens and knows them again.
#[derive(Clone)]
pub struct Tokens {
    key: hmac::Key,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(tokens)")
    }
}

impl Tokens {
    /// Those of a key that nobody else has.
    pub fn new(key: &[u8; 32]) -> Tokens {
        Tokens { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    fn signature(&self, tenant: Id, of: Of) -> String {
        let (letter, id) = of.parts();
        let tag = hmac::sign(&self.key, format!("{tenant}/{letter}/{id}").as_bytes());
        BASE32_NOPAD.encode(&tag.as_ref()[..SIGNATURE]).to_ascii_lowercase()
    }

    /// The token of something: small letters and digits.
    pub fn token(&self, tenant: Id, of: Of) -> String {
        let (letter, id) = of.parts();
        format!("{letter}{}{}", id.to_string().to_ascii_lowercase(), self.signature(tenant, of))
    }

    /// The Message-ID of a message of a ticket, or of a mail, without angle brackets: always the same.
    pub fn message_id(&self, tenant: Id, of: Of, message: Id, domain: &str) -> String {
        format!("{}.{}@{domain}", self.token(tenant, of), message.to_string().to_ascii_lowercase())
    }

    /// The code by which whoever gets this mail signs in: six digits.
    pub fn code(&self, tenant: Id, email: Id) -> String {
        let tag = hmac::sign(&self.key, format!("{tenant}/code/{email}").as_bytes());
        let number = tag.as_ref().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        format!("{:06}", number % 1_000_000)
    }

    /// What the first good token in a text is of, and the message whose id follows it.
    pub fn find(&self, tenant: Id, text: &str) -> Option<(Of, Option<Id>)> {
        let text = text.to_ascii_lowercase();
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'));
        words.filter_map(|word| self.read(tenant, word)).next()
    }

    fn read(&self, tenant: Id, word: &str) -> Option<(Of, Option<Id>)> {
        let (token, message) = word.split_once('.').unwrap_or((word, ""));
        let (letter, rest) = token.split_at_checked(1)?;
        if rest.len() != ID + SIGNED {
            return None;
        }
        let (id, signature) = rest.split_at_checked(ID)?;
        let id: Id = id.to_ascii_uppercase().parse().ok()?;
        let of = match letter {
            "t" => Of::Ticket(id),
            "e" => Of::Email(id),
            "c" => Of::Transcript(id),
            _ => return None,
        };
        let known = self.signature(tenant, of);
        // It takes as long whichever letter is wrong.
        let differs = known.bytes().zip(signature.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
        (differs == 0).then(|| (of, message.to_ascii_uppercase().parse().ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_again_and_only_where_it_was_made() {
        let tokens = Tokens::new(&[7; 32]);
        let (tenant, ticket, message) = (Id::from_bits(1), Id::from_bits(2), Id::from_bits(3));
        let of = Of::Ticket(ticket);
        let token = tokens.token(tenant, of);
        assert_eq!(token.len(), 43);
        assert_eq!(tokens.find(tenant, &format!("Help <help+{}@example.com>", token.to_uppercase())), Some((of, None)));
        let id = tokens.message_id(tenant, of, message, "example.com");
        assert_eq!(tokens.find(tenant, &format!("<a@b> <{id}>")), Some((of, Some(message))));
        assert_eq!(tokens.find(Id::from_bits(9), &id), None);
        assert_eq!(Tokens::new(&[8; 32]).find(tenant, &id), None);
        let mut guessed = token.clone();
        guessed.replace_range(42..43, if token.ends_with('a') { "b" } else { "a" });
        assert_eq!(tokens.find(tenant, &guessed), None);
        assert_eq!(tokens.find(tenant, &token.replacen('t', "e", 1)), None);
        assert_eq!(tokens.find(tenant, "tööö"), None);
    }
}
