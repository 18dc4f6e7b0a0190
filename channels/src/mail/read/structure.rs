//! The tree of parts that a message is made of, however broken the lines between them are.

use super::{Limits, head, head::Head, transfer, word::Parameters};

/// A message, or a part of one.
pub(super) struct Entity {
    pub(super) head: Head,
    /// `Content-Type`, made good: the value is always of the form `a/b`.
    pub(super) kind: Parameters,
    /// Whether `Content-Type` was said at all.
    pub(super) said: bool,
    /// `Content-Disposition`.
    pub(super) disposition: Parameters,
    pub(super) content: Content,
    /// Whether it comes from an mbox, whose "From " lines are quoted.
    pub(super) of_mbox: bool,
}

/// What is in a part.
pub(super) enum Content {
    /// Bytes, unwrapped.
    Leaf(Vec<u8>),
    /// Parts.
    Parts(Vec<Entity>),
    /// A message: its raw bytes, and what they say unless that lies too deep.
    Message(Vec<u8>, Option<Box<Entity>>),
    /// What is beyond the bounds, as it is.
    Rest(Vec<u8>),
}

/// How much more is read.
struct Budget {
    parts: usize,
    messages: usize,
}

/// Reads a raw message.
pub(super) fn message(raw: &[u8]) -> Entity {
    let mut budget = Budget { parts: Limits::PARTS, messages: Limits::MESSAGES };
    whole(raw, &mut budget, 0)
}

fn whole(raw: &[u8], budget: &mut Budget, depth: usize) -> Entity {
    // The ends of lines of old Macintoshes.
    let unified: Vec<u8>;
    let raw = if raw.contains(&b'\n') {
        raw
    } else {
        unified = raw.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect();
        &unified
    };
    // What strayed before the head.
    let raw = raw.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(raw).trim_ascii_start();
    let of_mbox = raw.starts_with(b"From ");
    let mut entity = part(raw, "text/plain", None, budget, depth);
    entity.of_mbox = of_mbox;
    entity
}

fn part(raw: &[u8], default: &str, domain: Option<&str>, budget: &mut Budget, depth: usize) -> Entity {
    budget.parts = budget.parts.saturating_sub(1);
    let (head, body) = head::read(raw, domain);
    let body = &raw[body..];
    let mut kind = head.parameters("content-type");
    let said = !kind.value.is_empty();
    kind.value = made_good(&kind.value, default);
    let disposition = head.parameters("content-disposition");
    let mut entity = Entity { head, kind, said, disposition, content: Content::Leaf(Vec::new()), of_mbox: false };
    entity.content = content(&mut entity, body, budget, depth);
    entity
}

fn content(entity: &mut Entity, body: &[u8], budget: &mut Budget, depth: usize) -> Content {
    let encoding = entity.head.get("content-transfer-encoding").unwrap_or_default().to_ascii_lowercase();
    let wrapped = ["base64", "quoted-printable"].iter().any(|known| encoding.contains(known));
    let multipart = entity.kind.value.starts_with("multipart/");
    if multipart || !entity.said {
        let boundary = entity.kind.get("boundary").filter(|_| multipart).map(|found| found.trim().as_bytes().to_vec());
        let mut boundary = boundary.filter(|boundary| !boundary.is_empty());
        let unwrapped;
        let mut inner = body;
        let stands = |body: &[u8], boundary: &[u8]| !split(body, boundary, 1).0.is_empty();
        if !boundary.as_ref().is_some_and(|boundary| stands(body, boundary)) {
            if multipart && wrapped {
                // Nobody may encode a multipart; some do.
                unwrapped = transfer::decode(body, &encoding);
                inner = &unwrapped;
            }
            if !boundary.as_ref().is_some_and(|boundary| stands(inner, boundary)) {
                boundary = guessed(inner);
            }
        }
        if let Some(boundary) = boundary {
            if depth >= Limits::DEPTH {
                return Content::Rest(body.to_vec());
            }
            if !multipart {
                entity.kind.value = "multipart/mixed".to_owned();
            }
            return parts(entity, inner, &boundary, budget, depth);
        }
        if multipart {
            // Its parts are all empty, or it has none.
            let only_boundaries = entity.kind.get("boundary").is_some_and(|boundary| {
                let mut lines =
                    body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
                lines.all(|line| line.starts_with(b"--") && line[2..].starts_with(boundary.trim().as_bytes()))
            });
            if only_boundaries {
                return Content::Parts(Vec::new());
            }
            entity.kind.value = "text/plain".to_owned();
        }
    }
    let bytes = transfer::decode(body, &encoding);
    if matches!(entity.kind.value.as_str(), "message/rfc822" | "message/global" | "message/news") {
        // Some say so of what is none.
        let (inner, _) = head::read(&bytes, None);
        if inner.fields.is_empty() {
            return Content::Leaf(bytes);
        }
        if depth >= Limits::DEPTH || budget.messages == 0 || budget.parts == 0 {
            return Content::Message(bytes, None);
        }
        budget.messages -= 1;
        let inner = whole(&bytes, budget, depth + 1);
        budget.messages += 1;
        return Content::Message(bytes, Some(Box::new(inner)));
    }
    Content::Leaf(bytes)
}

fn parts(entity: &Entity, body: &[u8], boundary: &[u8], budget: &mut Budget, depth: usize) -> Content {
    let default = if entity.kind.value == "multipart/digest" { "message/rfc822" } else { "text/plain" };
    let (pieces, rest) = split(body, boundary, budget.parts.max(1));
    let mut found = Vec::with_capacity(pieces.len());
    for piece in pieces {
        if budget.parts == 0 {
            found.push(beyond(piece));
            continue;
        }
        found.push(part(piece, default, entity.head.domain.as_deref(), budget, depth + 1));
    }
    if !rest.trim_ascii().is_empty() {
        found.push(beyond(rest));
    }
    Content::Parts(found)
}

fn beyond(raw: &[u8]) -> Entity {
    Entity {
        head: Head::default(),
        kind: Parameters::default(),
        said: false,
        disposition: Parameters::default(),
        content: Content::Rest(raw.to_vec()),
        of_mbox: false,
    }
}

/// What stands between the boundaries, of so many parts; and what comes after them, if there are more.
fn split<'a>(body: &'a [u8], boundary: &[u8], most: usize) -> (Vec<&'a [u8]>, &'a [u8]) {
    let mut pieces = Vec::new();
    let (mut open, mut place) = (None, 0);
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let start = place;
        place += line.len();
        let Some(rest) = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary)) else { continue };
        let rest = rest.trim_ascii();
        let closes = rest == b"--";
        if !rest.is_empty() && !closes {
            continue;
        }
        if let Some(begin) = open.take() {
            let piece = without_end(&body[begin..start]);
            // What stands between two boundaries in a row is no part.
            if !piece.trim_ascii().is_empty() {
                pieces.push(piece);
            }
        }
        if closes {
            return (pieces, &[]);
        }
        if pieces.len() >= most {
            return (pieces, &body[start..]);
        }
        open = Some(place);
    }
    // Never closed: cut off on the way, or written by what does not know that it should be.
    if let Some(begin) = open {
        pieces.push(&body[begin..]);
    }
    (pieces, &[])
}

/// The end of the line before a boundary is the boundary's.
fn without_end(piece: &[u8]) -> &[u8] {
    let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
    piece.strip_suffix(b"\r").unwrap_or(piece)
}

/// A boundary that the head does not name, or not as it stands: a line of dashes with fields of a part below it.
fn guessed(body: &[u8]) -> Option<Vec<u8>> {
    let mut lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).take(2_000).peekable();
    while let Some(line) = lines.next() {
        let Some(boundary) = line.strip_prefix(b"--") else { continue };
        let fits = (3..=200).contains(&boundary.len()) && !boundary.ends_with(b"--");
        let below = lines.peek().is_some_and(|next| next.len() > 8 && next[..8].eq_ignore_ascii_case(b"content-"));
        if fits && below {
            return Some(boundary.to_vec());
        }
    }
    None
}

/// A media type as one: some write `text`, some nothing, some what is none.
fn made_good(said: &str, default: &str) -> String {
    let said = said.split([',', ' ']).next().unwrap_or_default().trim_matches(['"', '\'']);
    match said {
        "" => default.to_owned(),
        "html" => "text/html".to_owned(),
        "text" | "plain" | "plain/text" | "text/plain/text" | "text/" => "text/plain".to_owned(),
        "multipart" => "multipart/mixed".to_owned(),
        _ => match said.split_once('/') {
            Some((one, other)) if !one.is_empty() && !other.is_empty() => said.to_owned(),
            _ => "application/octet-stream".to_owned(),
        },
    }
}
