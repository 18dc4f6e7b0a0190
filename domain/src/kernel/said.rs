//! What was said under which id: a message that comes again with other words is no repetition.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Id, Rejection, kernel::sorted};

/// Digests of messages by their ids.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Said(#[serde(deserialize_with = "sorted::map")] BTreeMap<Id, u64>);

impl Said {
    /// A message was said, or said again in other words.
    pub(crate) fn take(&mut self, message_id: Id, body: &str) {
        self.0.insert(message_id, digest(body));
    }

    /// Whether a message says this.
    pub(crate) fn is(&self, message_id: Id, body: &str) -> bool {
        self.0.get(&message_id) == Some(&digest(body))
    }

    /// Refuses other words under an id that is known: taken for a repetition, they would be lost.
    pub(crate) fn must_repeat(&self, message_id: Id, body: &str, refusal: Rejection) -> Result<(), Rejection> {
        match self.0.get(&message_id) {
            Some(said) if *said != digest(body) => Err(refusal.at("/message_id")),
            _ => Ok(()),
        }
    }
}

/// A short digest of a text (FNV-1a, 64 bits), the same on every machine: two texts that differ hardly ever share one.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_words_repeat_a_message() {
        let refusal = Rejection::conflict("known", "Known.");
        let mut said = Said::default();
        assert!(said.must_repeat(Id::NIL, "One", refusal.clone()).is_ok(), "nothing was said yet");
        said.take(Id::NIL, "One");
        assert!(said.must_repeat(Id::NIL, "One", refusal.clone()).is_ok());
        assert!(said.must_repeat(Id::NIL, "Two", refusal).is_err());
    }
}
