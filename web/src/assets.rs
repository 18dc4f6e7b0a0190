//! Files that pages load, under names that change with what is in them: a browser keeps each for ever.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// A file that pages load.
#[derive(Debug)]
pub struct Asset {
    /// What it is called here.
    file: &'static str,
    /// Where it is served.
    pub path: String,
    /// Its media type.
    pub media_type: &'static str,
    /// What is in it.
    pub text: String,
}

/// The files. A script stands behind those that it imports, since their names are written in it.
const FILES: &[(&str, &str)] = &[
    ("style.css", include_str!("../assets/style.css")),
    ("dashboards.css", include_str!("../assets/dashboards.css")),
    ("portal.css", include_str!("../assets/portal.css")),
    ("inbox.css", include_str!("../assets/inbox.css")),
    ("icon.svg", include_str!("../assets/icon.svg")),
    ("api.js", include_str!("../assets/api.js")),
    ("fill.js", include_str!("../assets/fill.js")),
    ("times.js", include_str!("../assets/times.js")),
    ("forms.js", include_str!("../assets/forms.js")),
    ("page.js", include_str!("../assets/page.js")),
    ("search.js", include_str!("../assets/search.js")),
    ("me.js", include_str!("../assets/me.js")),
    ("live.js", include_str!("../assets/live.js")),
    ("values.js", include_str!("../assets/values.js")),
    ("badges.js", include_str!("../assets/badges.js")),
    ("choose.js", include_str!("../assets/choose.js")),
    ("records.js", include_str!("../assets/records.js")),
    ("jobs.js", include_str!("../assets/jobs.js")),
    ("bulk.js", include_str!("../assets/bulk.js")),
    ("importing.js", include_str!("../assets/importing.js")),
    ("import.js", include_str!("../assets/import.js")),
    ("imports.js", include_str!("../assets/imports.js")),
    ("record.js", include_str!("../assets/record.js")),
    ("configure.js", include_str!("../assets/configure.js")),
    ("dashboards.js", include_str!("../assets/dashboards.js")),
    ("form.js", include_str!("../assets/form.js")),
    ("people.js", include_str!("../assets/people.js")),
    ("roles.js", include_str!("../assets/roles.js")),
    ("settings.js", include_str!("../assets/settings.js")),
    ("suggest.js", include_str!("../assets/suggest.js")),
    ("inbox-parts.js", include_str!("../assets/inbox-parts.js")),
    ("inbox-chats.js", include_str!("../assets/inbox-chats.js")),
    ("inbox-thread.js", include_str!("../assets/inbox-thread.js")),
    ("inbox-writing.js", include_str!("../assets/inbox-writing.js")),
    ("inbox-client.js", include_str!("../assets/inbox-client.js")),
    ("inbox.js", include_str!("../assets/inbox.js")),
    ("told.js", include_str!("../assets/told.js")),
    ("notifications.js", include_str!("../assets/notifications.js")),
    ("unread.js", include_str!("../assets/unread.js")),
    ("attention.js", include_str!("../assets/attention.js")),
    ("notices.js", include_str!("../assets/notices.js")),
    ("webhooks.js", include_str!("../assets/webhooks.js")),
    ("chat.js", include_str!("../assets/chat.js")),
];

/// Where they are served.
const FOLDER: &str = "/assets/";

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let mut made: Vec<Asset> = Vec::with_capacity(FILES.len());
    for (file, text) in FILES {
        let (stem, extension) = file.rsplit_once('.').unwrap_or((file, ""));
        let imported = |text: String, other: &Asset| {
            text.replace(&format!("\"./{}\"", other.file), &format!("\"{}\"", other.path))
        };
        let text = made.iter().fold((*text).to_owned(), imported);
        let digest: String = Sha256::digest(&text)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let media_type = match extension {
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => "text/javascript; charset=utf-8",
        };
        made.push(Asset { file, path: format!("{FOLDER}{stem}-{digest}.{extension}"), media_type, text });
    }
    made
});

/// What is served under this path.
pub fn asset(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

/// A file by what it is called here, for what is served under that name.
pub fn asset_named(file: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.file == file)
}

/// Where a file is served.
pub(crate) fn path_of(file: &str) -> &'static str {
    ASSETS.iter().find(|asset| asset.file == file).map_or("", |asset| &asset.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_found_under_a_name_that_its_content_gives_it() {
        for (file, text) in FILES {
            let asset = asset(path_of(file)).unwrap();
            let (stem, rest) = asset.path.strip_prefix(FOLDER).unwrap().rsplit_once('-').unwrap();
            assert!(file.starts_with(stem) && rest.split('.').next().unwrap().len() == 16, "{}", asset.path);
            assert!(asset.text.len() >= text.len());
        }
        assert!(asset("/assets/style.css").is_none());
    }

    #[test]
    fn scripts_import_by_those_names_and_nothing_comes_from_elsewhere() {
        let mut imports = 0;
        for made in ASSETS.iter() {
            assert!(!made.text.contains("\"./"), "{} imports a file that stands behind it", made.file);
            for line in made.text.lines().filter(|line| line.starts_with("import ")) {
                let named = line.rsplit('"').nth(1).unwrap();
                assert!(asset(named).is_some(), "{} imports {named}", made.file);
                imports += 1;
            }
            for address in ["http://", "https://", "@import", "innerHTML", "eval("] {
                let text = made.text.replace("http://www.w3.org/2000/svg", "");
                assert!(!text.contains(address), "{} has {address}", made.file);
            }
        }
        assert!(imports > 5, "imports are looked at: {imports}");
    }

    #[test]
    fn the_chat_is_small_speaks_every_language_and_keeps_out_of_the_way_of_policies() {
        let text = &asset_named("chat.js").unwrap().text;
        let mut small = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut small, text.as_bytes()).unwrap();
        let size = small.finish().unwrap().len();
        assert!(size < 30_000, "the chat takes {size} bytes of every page that has it");
        for forbidden in ["cookie", "style=", "setAttribute(\"style\"", "insertAdjacentHTML", "new Function", "<style"]
        {
            assert!(!text.contains(forbidden), "the chat has {forbidden}");
        }
        let texts = text.split("const TEXTS = {").nth(1).unwrap().split("\n  };").next().unwrap();
        let names = |tag: &str| -> Vec<&str> {
            let own = texts.split(&format!("\n    {tag}: {{")).nth(1).expect(tag).split("\n    },").next().unwrap();
            let names = own.split(": \"").filter_map(|part| part.rsplit([' ', '\n']).next());
            let count = own.matches(": \"").count();
            names.take(count).collect()
        };
        let english = names("en");
        assert!(english.len() > 40, "{english:?}");
        for language in crate::Language::ALL {
            assert_eq!(names(language.tag()), english, "{language:?}");
        }
        let rest = text.replace(texts, "");
        for name in &english {
            assert!(rest.contains(&format!("\"{name}\"")), "nothing says {name}");
        }
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(FILES.iter().any(|(file, _)| *file == name), "{name} is not served");
        }
    }
}
