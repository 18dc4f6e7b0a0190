//! Where a page ended: opaque to clients, bound to its list, order and filter.

use domain::{
    FieldError,
    kernel::filter::{FieldKind, Filter, Scalar},
};
use serde_json::Value;

/// Writes and reads the cursors of one list in one order under one filter.
pub(crate) struct Cursor {
    fingerprint: u64,
}

impl Cursor {
    pub(crate) fn new(list: &str, order: &str, filter: &Filter) -> Cursor {
        // The debug form of a filter has all of it; the hash must be the same in every process of a deployment.
        let text = format!("{list}\0{order}\0{filter:?}");
        let fingerprint = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Cursor { fingerprint }
    }

    /// The cursor of the page after a row with these sort keys, a JSON array.
    pub(crate) fn write(&self, keys: &str) -> String {
        encode(format!("{:016x}{keys}", self.fingerprint).as_bytes())
    }

    /// The sort keys in a cursor, `None` for no value; `kinds` says what each must be, and whether it may be without.
    pub(crate) fn read(&self, cursor: &str, kinds: &[(FieldKind, bool)]) -> Result<Vec<Option<Scalar>>, FieldError> {
        let error = |code: &'static str, detail: &str| FieldError {
            pointer: "/after".into(),
            code: code.into(),
            detail: detail.to_owned(),
        };
        let invalid = || error("cursor_invalid", "The cursor is none of ours: use `next` of a page as it stands.");
        let text = decode(cursor).and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(invalid)?;
        let (fingerprint, keys) = text.split_at_checked(16).ok_or_else(invalid)?;
        let fingerprint = u64::from_str_radix(fingerprint, 16).map_err(|_| invalid())?;
        let Ok(Value::Array(keys)) = serde_json::from_str(keys) else { return Err(invalid()) };
        if fingerprint != self.fingerprint {
            let detail = "The cursor belongs to another list, filter or order: begin again without it.";
            return Err(error("cursor_mismatch", detail));
        }
        if keys.len() != kinds.len() {
            return Err(invalid());
        }
        keys.iter()
            .zip(kinds)
            .map(|(key, (kind, nullable))| match (key, kind.read(key)) {
                (_, Some(value)) => Ok(Some(value)),
                (Value::Null, None) if *nullable => Ok(None),
                _ => Err(invalid()),
            })
            .collect()
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base 64 for addresses, without padding (RFC 4648 section 5).
fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * place)) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in text.as_bytes().chunks(4) {
        if chunk.len() == 1 {
            return None;
        }
        let mut bits = 0u32;
        for letter in chunk {
            bits = bits << 6 | u32::try_from(ALPHABET.iter().position(|known| known == letter)?).ok()?;
        }
        bits <<= 6 * (4 - chunk.len());
        bytes.extend(bits.to_be_bytes().iter().skip(1).take(chunk.len() - 1));
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bytes_go_out_and_come_back() {
        for length in 0..20u8 {
            let bytes: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(37)).collect();
            assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
        assert_eq!(encode(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw");
        assert_eq!(decode("a"), None);
        assert_eq!(decode("a+b="), None);
    }

    #[test]
    fn a_cursor_is_bound_to_its_list_order_and_filter() {
        let cursor = Cursor::new("ticket_list", "-priority+id", &Filter::EVERYTHING);
        let kinds = [(FieldKind::Integer, true), (FieldKind::Text, false)];
        let written = cursor.write(&json!([null, "a"]).to_string());
        assert_eq!(cursor.read(&written, &kinds), Ok(vec![None, Some(Scalar::Text("a".into()))]));
        let code = |cursor: Cursor, text: &str| cursor.read(text, &kinds).unwrap_err().code.into_owned();
        let other = || Cursor::new("ticket_list", "+priority+id", &Filter::EVERYTHING);
        assert_eq!(code(other(), &written), "cursor_mismatch");
        let other = || Cursor::new("ticket_list", "-priority+id", &Filter::Any(vec![]));
        assert_eq!(code(other(), &written), "cursor_mismatch");
        let same = || Cursor::new("ticket_list", "-priority+id", &Filter::EVERYTHING);
        assert_eq!(code(same(), "?"), "cursor_invalid");
        assert_eq!(code(same(), &same().write("[1]")), "cursor_invalid");
        assert_eq!(code(same(), &same().write("[1,null]")), "cursor_invalid");
        assert_eq!(code(same(), &same().write("[\"x\",\"a\"]")), "cursor_invalid");
    }
}
