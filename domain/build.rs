//! Tells the crate a digest of its own sources: snapshots of folded states are worth nothing to another fold.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::Path,
};

/// The sources, and the versions of all crates.
const READ: [&str; 3] = ["src", "Cargo.toml", "../Cargo.lock"];

fn main() -> io::Result<()> {
    let mut digest = DefaultHasher::new();
    for path in READ.map(Path::new).into_iter().filter(|path| path.exists()) {
        println!("cargo:rerun-if-changed={}", path.display());
        take_in(path, &mut digest)?;
    }
    println!("cargo:rustc-env=DESKFOLD_DOMAIN_CODE={:016x}", digest.finish());
    Ok(())
}

fn take_in(path: &Path, digest: &mut DefaultHasher) -> io::Result<()> {
    if !path.is_dir() {
        path.to_string_lossy().hash(digest);
        fs::read(path)?.hash(digest);
        return Ok(());
    }
    let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    entries.iter().try_for_each(|entry| take_in(entry, digest))
}
