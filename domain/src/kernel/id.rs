//! Identifiers and instants as every record and event uses them.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use ulid::Ulid;

/// An instant in UTC; text form is RFC 3339.
pub type Time = jiff::Timestamp;

/// A ULID: 128 bits, sortable by time of birth, 26 characters of Crockford base 32 (<https://github.com/ulid/spec>).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(Ulid);

impl Id {
    /// The id of all zeros, which no record has.
    pub const NIL: Id = Id(Ulid::nil());

    /// The id with exactly these 128 bits.
    pub const fn from_bits(bits: u128) -> Id {
        Id(Ulid(bits))
    }

    /// The 128 bits of this id.
    pub const fn bits(self) -> u128 {
        self.0.0
    }

    /// An id that follows from its parts alone: the same parts always name the same record. Records that come from
    /// elsewhere (an import's row, a synchronised holder) get such ids, so that saying them twice adds nothing.
    pub fn named(parts: &[&str]) -> Id {
        Id::derived(0, parts)
    }

    /// An id born at `milliseconds` since the Unix epoch whose random part follows from `parts`.
    pub fn derived(milliseconds: u64, parts: &[&str]) -> Id {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut bytes = [0u8; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        let random = u128::from_be_bytes(bytes);
        if milliseconds == 0 { Id(Ulid(random >> 1)) } else { Id(Ulid::from_parts(milliseconds, random)) }
    }
}

impl Id {
    /// When it was born, in milliseconds since the Unix epoch.
    pub const fn millisecond(self) -> u64 {
        self.0.timestamp_ms()
    }
}

impl Default for Id {
    fn default() -> Self {
        Id::NIL
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Id {
    type Err = ulid::DecodeError;

    fn from_str(text: &str) -> Result<Id, ulid::DecodeError> {
        // 128 bits are 25 letters of five bits and one of three: what begins beyond 7 would be taken for another id.
        match text.as_bytes().first() {
            Some(first) if *first > b'7' => Err(ulid::DecodeError::InvalidChar),
            _ => Ulid::from_string(text).map(Id),
        }
    }
}

/// As text where people may read it, as 16 bytes where nobody does.
impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return self.0.serialize(serializer);
        }
        serializer.serialize_bytes(&self.0.to_bytes())
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        // What serde has put aside says that it is for people, whatever it came from: both forms are taken.
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Either)
        } else {
            deserializer.deserialize_bytes(Either)
        }
    }
}

struct Either;

impl de::Visitor<'_> for Either {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Id, E> {
        Ulid::from_string(text).map(Id).map_err(E::custom)
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Id, E> {
        let bytes = bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &"16 bytes"))?;
        Ok(Id(Ulid::from_bytes(bytes)))
    }
}

impl JsonSchema for Id {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A ULID.",
            "pattern": "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$",
            "examples": ["01K9Z3T8W0QX6V5N4M3K2J1H0G"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_name_the_same_record_and_other_parts_another() {
        assert_eq!(Id::named(&["a", "b"]), Id::named(&["a", "b"]));
        assert_ne!(Id::named(&["a", "b"]), Id::named(&["ab", ""]));
        let id = Id::named(&["case", "7"]);
        assert_eq!(id.to_string().parse::<Id>(), Ok(id));
    }

    #[test]
    fn a_derived_id_keeps_its_time_of_birth() {
        assert_eq!(Id::derived(1_700_000_000_000, &["x"]).millisecond(), 1_700_000_000_000);
    }
}
