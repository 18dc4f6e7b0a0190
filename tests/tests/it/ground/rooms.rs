//! Who may import whom, and the tidiness that keeps the house readable.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use deskfold_tests::root;
use serde_json::Value;

/// A crate, and the crates of ours that it may import. Whatever is not here is a wall.
const MAY_IMPORT: [(&str, &[&str]); 8] = [
    ("domain", &[]),
    ("eventstore", &[]),
    ("commands", &["domain", "eventstore"]),
    ("projections", &["domain", "eventstore"]),
    ("channels", &["domain", "eventstore", "commands"]),
    ("web", &[]),
    ("gateway", &["domain", "eventstore", "commands", "projections", "channels", "web"]),
    ("deskfold-tests", &["domain", "eventstore", "commands", "projections", "gateway"]),
];

/// A context, and the contexts that it may import, the same in the domain, on the read side and among the routes. `kernel`
/// and `org` stand on each other: every decision asks which tenant, who, and which fields.
const CONTEXTS: [(&str, &[&str]); 9] = [
    ("kernel", &["org"]),
    ("org", &["kernel"]),
    ("crm", &["kernel", "org"]),
    ("desk", &["kernel", "org", "crm"]),
    ("chat", &["kernel", "org", "crm", "desk"]),
    ("sales", &["kernel", "org", "crm"]),
    ("work", &["kernel", "org", "crm", "desk", "sales"]),
    ("data", &["kernel", "org"]),
    ("insight", &["kernel", "org", "crm", "desk", "chat", "sales", "work"]),
];

/// Where the contexts are, and how code there names them.
const HOUSES: [(&str, &str); 3] =
    [("domain/src", "crate::"), ("projections/src", "crate::"), ("gateway/src/http", "crate::http::")];

/// What speaks of all kinds, and so may ask the catalogue, which lists them.
const OF_ALL_KINDS: [&str; 10] = [
    "domain/src/kernel/access.rs",
    "domain/src/kernel/merging.rs",
    "domain/src/insight/",
    "domain/src/kernel/reference.rs",
    "domain/src/org/authority.rs",
    "domain/src/org/field.rs",
    "domain/src/org/role.rs",
    "domain/src/work/automation",
    "domain/src/work/rule.rs",
    "domain/src/work/webhook.rs",
];

/// Other imports against the rule, each for a reason.
const EXCEPTIONS: [(&str, &str); 5] = [
    // What the widgets of a dashboard follow, only dashboards know.
    ("gateway/src/http/kernel/stream.rs", "insight"),
    // A feed takes what belongs to a contact from wherever it is.
    ("projections/src/crm/feed/page.rs", "desk"),
    // Whoever reads a record is shown the way to its feed.
    ("gateway/src/http/kernel/lists.rs", "crm"),
    // What a view may name, only the lists know.
    ("gateway/src/http/kernel/commands.rs", "insight"),
    // What a mapping may say, only those know who read with it.
    ("gateway/src/http/kernel/commands.rs", "data"),
];

/// What would give the domain a runtime, a disk, a network, a clock or dice.
const IMPURE_CRATES: [&str; 24] = [
    "async-std",
    "async-trait",
    "axum",
    "chrono",
    "fastrand",
    "futures",
    "futures-util",
    "getrandom",
    "hyper",
    "jiff-sqlx",
    "log",
    "mio",
    "parking_lot",
    "prometheus",
    "rand",
    "rand_core",
    "reqwest",
    "smol",
    "sqlx",
    "tempfile",
    "time",
    "tokio",
    "tracing",
    "uuid",
];

/// How the same looks in code. (`jiff` and `ulid` hold values of time and identity; asking for new ones is impure.)
const IMPURE_CODE: [&str; 17] = [
    "async",
    "await",
    "fs::",
    "net::",
    "env::",
    "process::",
    "thread::",
    "io::",
    "SystemTime",
    "Instant",
    "Timestamp::now",
    "Zoned::now",
    "Ulid::new",
    "Ulid::generate",
    "Uuid::now_v7",
    "RandomState",
    "thread_local!",
];

#[test]
fn rooms_import_only_who_they_may() {
    let may: BTreeMap<&str, &[&str]> = MAY_IMPORT.into();
    let imports = imports();
    let ours: BTreeSet<&str> = imports.keys().map(String::as_str).collect();
    assert_eq!(ours, may.keys().copied().collect(), "the workspace's crates");
    for (room, imported) in &imports {
        for other in imported.iter().filter(|other| ours.contains(other.as_str())) {
            assert!(may[room.as_str()].contains(&other.as_str()), "{room} must not import {other}");
        }
    }
}

#[test]
fn contexts_import_only_those_they_may() {
    let may: BTreeMap<&str, &[&str]> = CONTEXTS.into();
    let (mut seen, mut strange) = (BTreeSet::new(), Vec::new());
    for (house, prefix) in HOUSES {
        for path in files().iter().filter(|path| path.starts_with(house) && has_extension(path, "rs")) {
            let shown = path.to_str().unwrap();
            let place = shown[house.len() + 1..].split(['/', '.']).next().unwrap();
            let Some((context, allowed)) = may.get_key_value(place) else { continue };
            if shown.contains("tests") || shown.ends_with("given.rs") {
                continue;
            }
            let text = read(path);
            for named in imported(text.split("#[cfg(test)]\nmod tests {").next().unwrap(), prefix) {
                let fine = named == *context
                    || allowed.contains(&named.as_str())
                    || (named == "catalogue" && OF_ALL_KINDS.iter().any(|known| shown.starts_with(known)))
                    // It shows its kinds to the catalogue.
                    || (named == "catalogue" && shown == format!("{house}/{context}.rs"))
                    || EXCEPTIONS.contains(&(shown, named.as_str()));
                if !fine && (may.contains_key(named.as_str()) || named == "catalogue" && house == "domain/src") {
                    strange.push(format!("{shown} imports {named}"));
                }
                seen.insert(named);
            }
        }
    }
    assert!(strange.is_empty(), "{strange:#?}");
    assert!(may.keys().filter(|context| seen.contains(**context)).count() > 5, "{seen:?}");
}

/// In the crates that carry, no file imports one that imports it, on whatever way round.
#[test]
fn modules_do_not_import_one_another_in_a_circle() {
    for room in ["eventstore", "commands"] {
        let folder = format!("{room}/src");
        let of_room = |path: &&PathBuf| path.starts_with(&folder) && has_extension(path, "rs");
        let mut sources: BTreeMap<String, String> = files()
            .iter()
            .filter(of_room)
            .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), read(path)))
            .collect();
        // What the root exports stands for the module that it comes from.
        let root = sources.remove("lib").expect("the root of the crate");
        let mut homes: BTreeMap<String, String> = BTreeMap::new();
        for exported in root.split("pub use ").skip(1).filter_map(|rest| rest.split(';').next()) {
            let Some((module, names)) = exported.split_once("::") else { continue };
            let words = names.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
            homes.extend(words.map(|word| (word.to_owned(), module.to_owned())));
        }
        let imports: BTreeMap<&str, BTreeSet<String>> = sources
            .iter()
            .map(|(name, text)| {
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                let named = imported(code, "crate::").into_iter();
                let modules = named.map(|word| homes.get(&word).cloned().unwrap_or(word));
                (name.as_str(), modules.filter(|module| sources.contains_key(module) && module != name).collect())
            })
            .collect();
        assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 10, "this test reads nothing of {room}");
        for module in imports.keys() {
            let (mut reached, mut next) = (BTreeSet::new(), vec![*module]);
            while let Some(importing) = next.pop() {
                for other in &imports[importing] {
                    assert!(other != module, "{room}: {module} imports {importing}, which imports {module}");
                    if reached.insert(other) {
                        next.push(other);
                    }
                }
            }
        }
    }
}

/// The first parts of the paths behind a prefix, in `use` trees and elsewhere.
fn imported(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let code: String =
        code.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(|line| [line, "\n"]).collect();
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
        let first =
            |text: &str| text.trim_start().split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned();
        let Some(tree) = rest.strip_prefix('{') else {
            found.insert(first(rest));
            continue;
        };
        let (mut depth, mut begins) = (0, true);
        for (place, letter) in tree.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                letter if begins && depth == 0 && !letter.is_whitespace() => {
                    found.insert(first(&tree[place..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn the_domain_knows_no_runtime_no_disk_no_clock_and_no_chance() {
    for imported in &imports()["domain"] {
        assert!(!IMPURE_CRATES.contains(&imported.as_str()), "domain must not import {imported}");
    }
    let sources: Vec<(PathBuf, String)> = files()
        .into_iter()
        .filter(|path| path.starts_with("domain/src") && has_extension(path, "rs"))
        .map(|path| (path.clone(), read(&path)))
        .collect();
    // Tests may read golden files.
    let of_tests: BTreeSet<String> = sources
        .iter()
        .flat_map(|(_, text)| text.split("#[cfg(test)]\n").skip(1))
        .filter_map(|rest| rest.strip_prefix("pub(crate) ").unwrap_or(rest).strip_prefix("mod "))
        .filter_map(|rest| Some(format!("{}.rs", rest.lines().next()?.strip_suffix(';')?)))
        .collect();
    let pure: Vec<_> = sources.iter().filter(|(path, _)| !of_tests.iter().any(|tests| path.ends_with(tests))).collect();
    assert!(!pure.is_empty(), "the domain has files");
    for (path, text) in pure {
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap();
            for word in IMPURE_CODE {
                assert!(!has_word(line, word), "{}:{}: `{word}` in the domain", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn every_source_file_opens_with_a_sentence() {
    for path in files().iter().filter(|path| has_extension(path, "rs")) {
        let text = read(path);
        let opening: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//! ")).collect();
        let sentence = opening.join(" ");
        let shown = path.display();
        assert!(sentence.starts_with(|c: char| c.is_uppercase() || c == '`'), "{shown} opens without a `//!` sentence");
        assert!(sentence.ends_with(['.', '!', '?', ':']), "{shown}: its first paragraph is no sentence: {sentence}");
    }
}

#[test]
fn migrations_say_when_whose_and_what() {
    let names: Vec<String> = files()
        .iter()
        .filter_map(|path| Some(path.strip_prefix("migrations").ok()?.to_str().unwrap().to_owned()))
        .collect();
    for name in &names {
        let parts: Vec<&str> = name.strip_suffix(".sql").unwrap_or_default().splitn(3, '_').collect();
        let [timestamp, whose, what] = parts[..] else {
            panic!("{name} is not <timestamp>_<log|read|react|auth>_<what>.sql")
        };
        assert!(timestamp.len() == 14 && timestamp.bytes().all(|b| b.is_ascii_digit()), "{name}: YYYYMMDDhhmmss first");
        assert!(["log", "read", "react", "auth"].contains(&whose), "{name}: {whose} is none of log, read, react, auth");
        let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        assert!(!what.is_empty() && what.bytes().all(is_word), "{name}: say what it makes, in lower case");
    }
    let timestamps: BTreeSet<&str> = names.iter().map(|name| &name[..14]).collect();
    assert_eq!(timestamps.len(), names.len(), "two migrations share a timestamp: {names:?}");
}

#[test]
fn tests_wait_for_what_happens_and_never_sleep() {
    let sleep = concat!("sleep", "("); // Or this line would be found.
    for path in files().iter().filter(|path| path.starts_with("tests/tests") && has_extension(path, "rs")) {
        for (number, line) in read(path).lines().enumerate() {
            assert!(!has_word(line, sleep), "{}:{} sleeps", path.display(), number + 1);
        }
    }
}

#[test]
fn no_file_names_this_machine() {
    let home = env::var("HOME").unwrap_or_default();
    let here = [root().display().to_string(), format!("{}/", home.trim_end_matches('/'))];
    for path in files() {
        // Fixtures and pictures may hold any bytes.
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for place in here.iter().filter(|place| place.len() > 4) {
            assert!(!text.contains(place.as_str()), "{} names {place}, a place on this machine only", path.display());
        }
    }
}

/// Each crate of the workspace, and every crate that it names in whatever kind of dependency.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| (name(package), package["dependencies"].as_array().unwrap().iter().map(name).collect()))
        .collect()
}

/// Every file of the repository, relative to its root, without what building and running leave there.
fn files() -> Vec<PathBuf> {
    let root = root();
    let (mut found, mut open) = (Vec::new(), vec![root.clone()]);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let relative = path.strip_prefix(&root).unwrap().to_owned();
            let kind = entry.file_type().unwrap();
            if kind.is_file() {
                found.push(relative);
            } else if kind.is_dir()
                && ![".git", "target", "data"].iter().any(|left_out| relative == Path::new(left_out))
            {
                open.push(path);
            }
        }
    }
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// Whether `word` occurs in `line`, and not as the end or the beginning of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        let open = word.ends_with(is_name) && after.is_some_and(is_name);
        !before.is_some_and(is_name) && !open
    })
}
