//! The modules of this crate do not import one another in a circle.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[test]
fn modules_do_not_import_one_another_in_a_circle() {
    let mut sources = BTreeMap::new();
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        sources.insert(name, std::fs::read_to_string(path).unwrap());
    }
    // What it exports is told by the modules themselves.
    sources.remove("lib").expect("the root of the crate");
    let imports: BTreeMap<&str, BTreeSet<&str>> = sources
        .iter()
        .map(|(name, source)| {
            let paths = source.split("crate::").skip(1);
            let modules = paths.filter_map(|path| path.split(|c: char| !c.is_alphanumeric() && c != '_').next());
            let others = modules.filter(|module| sources.contains_key(*module) && module != name);
            (name.as_str(), others.collect())
        })
        .collect();
    assert!(imports["log"].contains("writer") && imports["surroundings"].contains("tail"), "this test reads nothing");
    for module in imports.keys() {
        let (mut reached, mut next) = (BTreeSet::new(), vec![*module]);
        while let Some(importing) = next.pop() {
            next.extend(imports[importing].iter().filter(|imported| reached.insert(**imported)));
        }
        assert!(!reached.contains(module), "{module} imports itself by way of others: {reached:?}");
    }
}
