//! Reads an archive: first all of it, to see that it is whole and what its manifest says, then part by part.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read, Seek, SeekFrom},
};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use tar::Entry;

use super::{FORMAT, Fault, MANIFEST, Manifest, Part};
use crate::auth::hex;

/// No part is larger: lines are added to one until it has 4 MiB, and no line has this much.
const LARGEST: u64 = 256 << 20;
/// No manifest is larger.
const LARGEST_MANIFEST: u64 = 64 << 20;

type Gz<'a> = MultiGzDecoder<BufReader<&'a File>>;

fn damaged(why: impl std::fmt::Display) -> Fault {
    Fault::Damaged(why.to_string())
}

/// Each entry in turn, with its name.
fn each(file: &File, mut look: impl FnMut(&str, &mut Entry<'_, Gz<'_>>) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut source = file;
    source.seek(SeekFrom::Start(0)).map_err(damaged)?;
    let mut tar = tar::Archive::new(MultiGzDecoder::new(BufReader::new(file)));
    for entry in tar.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let name = String::from_utf8(entry.path_bytes().into_owned()).map_err(damaged)?;
        look(&name, &mut entry)?;
    }
    Ok(())
}

/// Reads all of it and compares it with its manifest. What somebody changed in both is not found: keep the digest of the
/// manifest where nobody else can write.
///
/// # Errors
/// When anything is missing, is there besides, or is not what it was; or when a later Deskfold made it.
pub(crate) fn verify(file: &File) -> Result<(Manifest, String), Fault> {
    let mut found: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut manifest = None;
    each(file, |name, entry| {
        if manifest.is_some() {
            return Err(damaged(format!("{name} comes after the manifest")));
        }
        if name == MANIFEST {
            let mut text = Vec::new();
            entry.take(LARGEST_MANIFEST).read_to_end(&mut text).map_err(damaged)?;
            manifest = Some(text);
            return Ok(());
        }
        let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 16]);
        loop {
            match entry.read(&mut buffer).map_err(damaged)? {
                0 => break,
                read => {
                    hash.update(&buffer[..read]);
                    bytes += read as u64;
                }
            }
        }
        match found.insert(name.to_owned(), (bytes, hex(&hash.finalize()))) {
            Some(_) => Err(damaged(format!("{name} is in it twice"))),
            None => Ok(()),
        }
    })?;
    let text = manifest.ok_or_else(|| damaged("it has no manifest, which comes last: it was cut off"))?;
    #[derive(serde::Deserialize)]
    struct Format {
        format: u32,
    }
    let unreadable = |error: serde_json::Error| damaged(format!("its manifest cannot be read: {error}"));
    let Format { format } = serde_json::from_slice(&text).map_err(unreadable)?;
    if format > FORMAT {
        return Err(Fault::Unfit(format!(
            "a later Deskfold made this archive: it has format {format}, and this one knows formats up to {FORMAT}"
        )));
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(unreadable)?;
    for part in &manifest.parts {
        let Part { name, bytes, sha256, .. } = part;
        match found.remove(name) {
            None => return Err(damaged(format!("{name} is missing"))),
            Some(found) if found != (*bytes, sha256.clone()) || *bytes > LARGEST => {
                return Err(damaged(format!("{name} is not what the manifest says")));
            }
            Some(_) => {}
        }
    }
    match found.into_keys().next() {
        Some(name) => Err(damaged(format!("{name} is in it, and its manifest does not know it"))),
        None => Ok((manifest, hex(&Sha256::digest(&text)))),
    }
}

/// Hands over each part in turn, compared once more: the file may have changed since it was looked at.
///
/// # Errors
/// As [`verify`]; or whatever `take` says.
pub(super) fn parts(
    file: &File,
    manifest: &Manifest,
    mut take: impl FnMut(Part, String) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let known: BTreeMap<&str, &Part> = manifest.parts.iter().map(|part| (part.name.as_str(), part)).collect();
    each(file, |name, entry| {
        if name == MANIFEST {
            return Ok(());
        }
        let changed = || damaged(format!("{name} is not what the manifest says"));
        let part = *known.get(name).ok_or_else(changed)?;
        let mut text = Vec::new();
        entry.take(part.bytes + 1).read_to_end(&mut text).map_err(damaged)?;
        if text.len() as u64 != part.bytes || hex(&Sha256::digest(&text)) != part.sha256 {
            return Err(changed());
        }
        take(part.clone(), String::from_utf8(text).map_err(damaged)?)
    })
}
