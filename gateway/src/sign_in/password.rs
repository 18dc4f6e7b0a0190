//! Passwords: which are taken, and how they are kept.

use std::{
    collections::HashSet,
    io::Read,
    sync::{Arc, LazyLock},
    time::Duration,
};

use argon2::{Algorithm, Argon2, Params, Version};
use domain::{Id, Time, org::user::Profile};
use jiff_sqlx::ToSqlx;
use rand::TryRng;
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization;

use crate::{app::App, problem::Problem};

/// Fewest characters of a password.
const SHORTEST: usize = 12;
/// Most characters of a password: enough for any sentence, and no burden to hash.
const LONGEST: usize = 256;
/// What hashing costs: 19 MiB, two passes, one lane, as OWASP recommends for Argon2id.
const MEMORY_KIB: u32 = 19 * 1024;
const ITERATIONS: u32 = 2;
const PARALLELISM: u32 = 1;
const SALT: usize = 16;
const HASH: usize = 32;
/// How long somebody waits for a turn at hashing.
const PATIENCE: Duration = Duration::from_secs(10);

/// The passwords that attackers try first: the 19,640 of Django's `common-passwords.txt.gz` (collected from leaks by Royce
/// Williams), and those of 12 characters and more in the dictionary of zxcvbn-ts; 19,867 in all, in small letters.
static LEAKED: LazyLock<HashSet<Box<str>>> = LazyLock::new(|| {
    let mut text = String::new();
    let packed = include_bytes!("../../assets/leaked-passwords.txt.gz");
    // The file is part of the program, and a test reads it.
    let read = flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text);
    debug_assert!(read.is_ok(), "the list of leaked passwords can be read");
    text.lines().map(Into::into).collect()
});

/// A password as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Hash {
    memory_kib: i32,
    iterations: i32,
    parallelism: i32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

/// Hashes passwords on threads of their own, a few at once: each takes 19 MiB and a while.
pub(super) struct Passwords {
    turns: Arc<Semaphore>,
    /// What is compared with when there is nothing to compare with, so that it takes as long.
    nobody: Hash,
}

/// A password in the one form in which all ways to type it are equal.
pub(super) fn normal(password: &str) -> String {
    password.nfkc().collect()
}

/// Refuses a password that is too short, too long, known to attackers, or made of the name or address of the person or the name
/// of the organisation, be it with figures for letters; says nothing about which characters there must be.
pub(super) fn check(password: &str, profile: &Profile, organisation: &str) -> Result<(), Problem> {
    let refuse = |detail: String| Err(Problem::invalid("password_unfit", detail).at("/password"));
    let count = password.chars().count();
    if count < SHORTEST {
        return refuse(format!("A password has at least {SHORTEST} characters; a few words will do."));
    }
    if count > LONGEST || password.contains('\0') {
        return refuse(format!("A password has at most {LONGEST} characters."));
    }
    let small = password.to_lowercase();
    let spellings = spellings(&small);
    if is_leaked(&small) {
        return refuse("Many people have had this password, or nearly this one: attackers try it first.".into());
    }
    let contains = |word: &String| spellings.iter().any(|spelling| spelling.contains(word.as_str()));
    if own_words(profile).iter().any(contains) {
        return refuse("The password contains your name or address: others would guess it.".into());
    }
    if words(organisation).filter(|word| !FORMS.contains(&word.as_str())).any(|word| contains(&word)) {
        return refuse("The password contains the name of your organisation: others would guess it.".into());
    }
    Ok(())
}

/// Whether it is among the leaked ones: as it stands, in another spelling, with what people put before and after a word to
/// lengthen it, or repeated.
fn is_leaked(small: &str) -> bool {
    let known = |text: &str| spellings(text).iter().any(|spelling| LEAKED.contains(spelling.as_str()));
    if known(small) {
        return true;
    }
    let core = small.trim_matches(|c: char| c.is_ascii_digit() || c.is_ascii_punctuation() || c == ' ');
    if core.chars().count() < 4 || known(core) {
        return true;
    }
    let letters: Vec<char> = small.chars().collect();
    (1..=letters.len() / 2).any(|length| {
        let (piece, whole) = (&letters[..length], letters.chunks(length));
        let repeated = whole.clone().all(|chunk| piece.starts_with(chunk));
        repeated && (length < 4 || known(&piece.iter().collect::<String>()))
    })
}

/// Words of an organisation's name that are in many such names, and say nothing of this one.
const FORMS: [&str; 9] = ["company", "corp", "gmbh", "group", "holding", "help", "desk", "limited", "support"];

/// A text in the ways in which people mean it: as it stands, without accents, and with letters for the figures and signs that
/// look like them.
fn spellings(small: &str) -> Vec<String> {
    let bare = bare(small);
    let letters = |one: char| {
        let letter = |sign: char| match sign {
            '0' => 'o',
            '1' | '!' | '|' => one,
            '2' => 'z',
            '3' | '€' => 'e',
            '4' | '@' => 'a',
            '5' | '$' => 's',
            '6' | '9' => 'g',
            '7' | '+' => 't',
            '8' => 'b',
            other => other,
        };
        bare.chars().map(letter).collect::<String>()
    };
    let mut all = vec![letters('i'), letters('l'), bare.clone(), small.to_owned()];
    all.dedup();
    all
}

/// A text without accents.
fn bare(text: &str) -> String {
    text.nfkd().filter(|c| !unicode_normalization::char::is_combining_mark(*c)).collect()
}

/// The words of a name that are long enough to be recognised.
fn words(name: &str) -> impl Iterator<Item = String> {
    let name = bare(&name.to_lowercase());
    let words: Vec<String> = name.split(|c: char| !c.is_alphanumeric()).map(ToOwned::to_owned).collect();
    words.into_iter().filter(|word| word.chars().count() >= 4)
}

/// The words of a person's name and address.
fn own_words(profile: &Profile) -> Vec<String> {
    let email = bare(&profile.email.to_lowercase());
    let local = email.split('@').next().unwrap_or_default().to_owned();
    words(&profile.name).chain([email, local].into_iter().filter(|word| word.chars().count() >= 4)).collect()
}

fn argon(memory_kib: u32, iterations: u32, parallelism: u32) -> Result<Argon2<'static>, argon2::Error> {
    let params = Params::new(memory_kib, iterations, parallelism, Some(HASH))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn digest(password: &str, cost: &Hash) -> Result<Vec<u8>, argon2::Error> {
    let number = |number: i32| u32::try_from(number).unwrap_or_default();
    let argon = argon(number(cost.memory_kib), number(cost.iterations), number(cost.parallelism))?;
    let mut out = vec![0u8; HASH];
    argon.hash_password_into(password.as_bytes(), &cost.salt, &mut out)?;
    Ok(out)
}

/// The present cost, with this salt and nothing hashed.
fn present(salt: Vec<u8>) -> Hash {
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let (memory_kib, iterations) = (number(MEMORY_KIB), number(ITERATIONS));
    Hash { memory_kib, iterations, parallelism: number(PARALLELISM), salt, hash: Vec::new() }
}

impl Passwords {
    pub(super) fn new() -> Passwords {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Passwords { turns: Arc::new(Semaphore::new(cores)), nobody: present(vec![0; SALT]) }
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, argon2::Error> + Send + 'static,
    ) -> Result<T, Problem> {
        let busy =
            |_| Problem::unavailable("sign_in_busy", "Too many people are signing in at this moment. Try again.");
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await.map_err(busy)?;
        let turn = turn.map_err(|error| Problem::broken(&error))?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.map_err(|error| Problem::broken(&error))?.map_err(|error| Problem::broken(&error))
    }

    pub(super) async fn hash(&self, password: String) -> Result<Hash, Problem> {
        let mut salt = vec![0u8; SALT];
        rand::rngs::SysRng.try_fill_bytes(&mut salt).map_err(|error| Problem::broken(&error))?;
        self.work(move || {
            let mut kept = present(salt);
            kept.hash = digest(&password, &kept)?;
            Ok(kept)
        })
        .await
    }

    /// Whether a password is the one that was kept; `None` takes as long and is never right.
    pub(super) async fn verify(&self, password: String, kept: Option<Hash>) -> Result<bool, Problem> {
        let kept = kept.unwrap_or_else(|| self.nobody.clone());
        self.work(move || {
            let found = digest(&password, &kept)?;
            Ok(found.len() == kept.hash.len() && same(&found, &kept.hash))
        })
        .await
    }
}

/// Compares in a time that does not tell where they differ.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

impl Hash {
    /// Whether it was made at a cost that is no longer ours.
    pub(super) fn is_outdated(&self) -> bool {
        let now = present(Vec::new());
        (self.memory_kib, self.iterations, self.parallelism) != (now.memory_kib, now.iterations, now.parallelism)
    }
}

impl App {
    /// The password that is kept under this id.
    pub(super) async fn kept_password(&self, tenant: Id, credential: Id) -> Result<Option<Hash>, Problem> {
        let kept = sqlx::query_as(
            "select memory_kib, iterations, parallelism, salt, hash from auth_password
             where tenant_id = $1 and credential_id = $2",
        )
        .bind(tenant.to_string())
        .bind(credential.to_string())
        .fetch_optional(&self.pool)
        .await?;
        Ok(kept)
    }

    /// Keeps a password under an id, which is in force once the log says so.
    pub(super) async fn keep_password(
        &self,
        tenant: Id,
        user: Id,
        credential: Id,
        hash: &Hash,
        now: Time,
    ) -> Result<(), Problem> {
        sqlx::query(
            "insert into auth_password (tenant_id, credential_id, user_id, memory_kib, iterations, parallelism, salt, hash, set_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(tenant.to_string())
        .bind(credential.to_string())
        .bind(user.to_string())
        .bind(hash.memory_kib)
        .bind(hash.iterations)
        .bind(hash.parallelism)
        .bind(&hash.salt)
        .bind(&hash.hash)
        .bind(now.to_sqlx())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Keeps the same password at another cost.
    pub(super) async fn renew_password(&self, tenant: Id, credential: Id, hash: &Hash) -> Result<(), Problem> {
        sqlx::query(
            "update auth_password set memory_kib = $3, iterations = $4, parallelism = $5, salt = $6, hash = $7
             where tenant_id = $1 and credential_id = $2",
        )
        .bind(tenant.to_string())
        .bind(credential.to_string())
        .bind(hash.memory_kib)
        .bind(hash.iterations)
        .bind(hash.parallelism)
        .bind(&hash.salt)
        .bind(&hash.hash)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Deletes the passwords that a user had before this one.
    pub(super) async fn forget_other_passwords(&self, tenant: Id, user: Id, credential: Id) -> Result<(), Problem> {
        sqlx::query("delete from auth_password where tenant_id = $1 and user_id = $2 and credential_id <> $3")
            .bind(tenant.to_string())
            .bind(user.to_string())
            .bind(credential.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anna() -> Profile {
        Profile { email: "anna.bianchi@example.com".into(), name: "Anna Bianchi".into(), ..Profile::default() }
    }

    #[test]
    fn length_counts_and_no_kind_of_character_is_asked_for() {
        let fits = |password: &str| check(&normal(password), &anna(), "Zebra Software GmbH").is_ok();
        assert!(fits("correct horse battery staple") && fits("вчера шёл тихий снег") && fits("zxmnvbqpwoei"));
        assert!(!fits("short one") && !fits(&"é ".repeat(129)) && fits(&"tgb rfv ".repeat(16)));
        // Composed or not, twelve characters are twelve.
        assert!(!fits(&"e\u{301}fg hij klm".chars().take(12).collect::<String>()));
        assert_eq!(normal("ﬁne\u{a0}e\u{301}"), "fine é");
    }

    #[test]
    fn what_attackers_try_first_is_refused() {
        assert_eq!(LEAKED.len(), 19_867);
        let refused = |password: &str| check(&normal(password), &anna(), "Zebra Software GmbH").is_err();
        for known in
            ["1q2w3e4r5t6y", "Password1234", "LIVERPOOL!2024", "1234567890123", "abcabcabcabc", "passwordpassword"]
        {
            assert!(refused(known), "{known}");
        }
        for known in ["P4$$w0rd!2031", "l1verp00l-2031", "Ïlôvéyôù-2031"] {
            assert!(refused(known), "{known}");
        }
        for own in ["bianchi-in-roma", "ANNA.BIANCHI is me", "my anna is best", "b1@nch1 di roma", "4nn4 e basta qui"] {
            assert!(refused(own), "{own}");
        }
        for own in ["we all love zebra", "Z3BR4 forever and", "our $0ftware runs"] {
            assert!(refused(own), "{own}");
        }
        assert!(!refused("seven tired otters") && !refused("gmbh says nothing") && !refused("1701 and 4711, thrice"));
    }

    #[tokio::test]
    async fn only_the_password_itself_is_right() {
        let passwords = Passwords::new();
        let kept = passwords.hash("seven tired otters".into()).await.unwrap();
        assert_ne!(passwords.hash("seven tired otters".into()).await.unwrap(), kept, "salted");
        assert!(passwords.verify("seven tired otters".into(), Some(kept.clone())).await.unwrap());
        assert!(!passwords.verify("seven tired otter".into(), Some(kept.clone())).await.unwrap());
        assert!(!passwords.verify("seven tired otters".into(), None).await.unwrap());
        assert!(!kept.is_outdated() && Hash { iterations: 1, ..kept }.is_outdated());
    }
}
