//! S/MIME: what is signed, and stands inside of its signature, is taken out (RFC 8551); whether it is true is not asked.

/// What a `smime.p7m` is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Smime {
    /// Signed: the part that is inside.
    Signed(Vec<u8>),
    /// Encrypted, or nothing that can be opened.
    Closed,
}

/// 1.2.840.113549.1.7.2
const SIGNED_DATA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02];

const SEQUENCE: u8 = 0x30;
const OBJECT: u8 = 0x06;
const OCTETS: u8 = 0x04;
const OCTETS_IN_PIECES: u8 = 0x24;
const CONTEXT: u8 = 0xA0;

/// Opens it as far as it goes without a key.
pub(super) fn open(bytes: &[u8]) -> Smime {
    content(bytes).map_or(Smime::Closed, Smime::Signed)
}

fn content(bytes: &[u8]) -> Option<Vec<u8>> {
    let (info, _) = enter(bytes, SEQUENCE)?;
    let (kind, rest) = enter(info, OBJECT)?;
    if kind != SIGNED_DATA {
        return None;
    }
    let (signed, _) = enter(rest, CONTEXT)?;
    let (signed, _) = enter(signed, SEQUENCE)?;
    // Its version and its algorithms stand before its content.
    let rest = skip(skip(signed)?)?;
    let (content, _) = enter(rest, SEQUENCE)?;
    let (_, rest) = enter(content, OBJECT)?;
    let (content, _) = enter(rest, CONTEXT)?;
    let mut out = Vec::new();
    octets(content, &mut out, 0)?;
    Some(out)
}

/// Octets, in one piece or in many.
fn octets(bytes: &[u8], out: &mut Vec<u8>, depth: usize) -> Option<()> {
    if let Some((piece, _)) = enter(bytes, OCTETS) {
        out.extend_from_slice(piece);
        return Some(());
    }
    let (mut pieces, _) = enter(bytes, OCTETS_IN_PIECES).filter(|_| depth < 4)?;
    while !pieces.is_empty() && !pieces.starts_with(&[0, 0]) {
        octets(pieces, out, depth + 1)?;
        pieces = skip(pieces)?;
    }
    Some(())
}

/// What is in the element of this tag at the front, and what follows it.
fn enter(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    if *bytes.first()? != tag {
        return None;
    }
    let (header, length) = length(bytes)?;
    let inside = &bytes[header..];
    match length {
        Some(length) => Some(inside.split_at_checked(length).unwrap_or((inside, &[]))),
        // It ends where its zeros are; what is inside knows its own end.
        None => Some((inside, &[])),
    }
}

/// What follows the element at the front.
fn skip(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    let mut open = 0usize;
    // Elements without a length are skipped element by element.
    loop {
        if open > 0 && rest.starts_with(&[0, 0]) {
            rest = &rest[2..];
            open -= 1;
        } else {
            let (header, length) = length(rest)?;
            match length {
                Some(length) => rest = rest.get(header.checked_add(length)?..)?,
                None => {
                    rest = &rest[header..];
                    open += 1;
                }
            }
        }
        if open == 0 {
            return Some(rest);
        }
    }
}

/// How long the head of an element is, and its content where that is said.
fn length(bytes: &[u8]) -> Option<(usize, Option<usize>)> {
    let first = *bytes.get(1)?;
    match first {
        0x80 => Some((2, None)),
        0..0x80 => Some((2, Some(usize::from(first)))),
        _ => {
            let count = usize::from(first & 0x7F);
            let digits = bytes.get(2..2 + count).filter(|_| count <= 4)?;
            let length = digits.iter().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
            Some((2 + count, Some(length)))
        }
    }
}
