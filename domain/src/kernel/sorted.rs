//! Maps and sets read from where their entries stand in order, as in a snapshot: built at once, several times as fast as
//! entry by entry.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    marker::PhantomData,
};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

/// Entries for which room is made before any is read: what announces more may be damaged.
const FORESEEN: usize = 1 << 16;

/// Reads a map, for `#[serde(deserialize_with = "sorted::map")]`.
///
/// # Errors
/// When it is none.
pub(crate) fn map<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
where
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct Entries<K, V>(PhantomData<(K, V)>);
    impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Entries<K, V> {
        type Value = Vec<(K, V)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Vec<(K, V)>, A::Error> {
            let mut entries = Vec::with_capacity(access.size_hint().unwrap_or(0).min(FORESEEN));
            while let Some(entry) = access.next_entry()? {
                entries.push(entry);
            }
            Ok(entries)
        }
    }
    Ok(deserializer.deserialize_map(Entries(PhantomData))?.into_iter().collect())
}

/// Reads a set, for `#[serde(deserialize_with = "sorted::set")]`.
///
/// # Errors
/// When it is none.
pub(crate) fn set<'de, T, D>(deserializer: D) -> Result<BTreeSet<T>, D::Error>
where
    T: Deserialize<'de> + Ord,
    D: Deserializer<'de>,
{
    Ok(Vec::deserialize(deserializer)?.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct State {
        #[serde(deserialize_with = "map")]
        map: BTreeMap<u8, String>,
        #[serde(deserialize_with = "set")]
        set: BTreeSet<u8>,
    }

    #[test]
    fn what_is_read_is_what_was_written_whatever_its_order() {
        let state = State { map: (0..200).map(|key| (key, key.to_string())).collect(), set: (0..200).collect() };
        let bytes = rmp_serde::to_vec_named(&state).unwrap();
        assert_eq!(rmp_serde::from_slice::<State>(&bytes).unwrap(), state);
        let told = r#"{"map":{"2":"b","1":"a","2":"c"},"set":[2,1,2]}"#;
        let state: State = serde_json::from_str(told).unwrap();
        assert_eq!(serde_json::to_string(&state).unwrap(), r#"{"map":{"1":"a","2":"c"},"set":[1,2]}"#);
        assert!(rmp_serde::from_slice::<State>(&bytes[..bytes.len() - 1]).is_err());
    }
}
