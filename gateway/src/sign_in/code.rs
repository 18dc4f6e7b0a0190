//! The second factor: codes that an app makes from a shared secret and the time (RFC 6238), and codes for when it is lost.

use domain::{
    Id, Time,
    org::user::{RECOVERY_CODES, User},
};
use jiff_sqlx::ToSqlx;
use rand::TryRng;
use ring::hmac;

use super::{attempts::Subject, password::same};
use crate::{app::App, auth::digest, problem::Problem};

/// Seconds for which a code is good.
const STEP: i64 = 30;
/// Steps before and after the present one whose codes are taken too: clocks differ.
const DRIFT: i64 = 1;
/// Bytes of a secret, as RFC 4226 recommends.
const SECRET: usize = 20;
/// Bytes of a recovery code: 16 letters.
const RECOVERY: usize = 10;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Bytes as people type them into an app (RFC 4648, without padding).
fn base32(bytes: &[u8]) -> String {
    let mut text = String::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(BASE32[(bits >> count) as usize & 31]));
        }
    }
    if count > 0 {
        text.push(char::from(BASE32[(bits << (5 - count)) as usize & 31]));
    }
    text
}

/// The code of a time step, so many digits long (RFC 4226 and 6238, with SHA-1, which every app knows).
fn code(secret: &[u8], step: i64, digits: u32) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[tag.len() - 1] & 15);
    let mut number = [0u8; 4];
    number.copy_from_slice(&tag[offset..offset + 4]);
    let number = u32::from_be_bytes(number) & 0x7fff_ffff;
    format!("{:0width$}", number % 10u32.pow(digits), width = digits as usize)
}

/// The time step whose code was given, if it is one of those that are good now.
fn step_of(secret: &[u8], given: &str, now: Time) -> Option<i64> {
    let present = now.as_second() / STEP;
    (present - DRIFT..=present + DRIFT).find(|step| same(code(secret, *step, 6).as_bytes(), given.as_bytes()))
}

/// Text in an address.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// What an app is told once.
pub(crate) struct SecondFactor {
    /// The secret, to type.
    pub(crate) secret: String,
    /// The same for a picture that the app reads.
    pub(crate) uri: String,
}

/// Codes that are shown once.
pub(crate) struct RecoveryCodes(pub(crate) Vec<String>);

fn owner(tenant: Id, user: Id) -> String {
    format!("second factor {tenant} {user}")
}

/// A recovery code as it is compared: however it was typed.
fn typed(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

impl App {
    /// Makes a secret for a second factor, which is in force once a code of it was given.
    pub(crate) async fn prepare_second_factor(
        &self,
        tenant: Id,
        user: Id,
        (issuer, account): (&str, &str),
    ) -> Result<SecondFactor, Problem> {
        let mut secret = [0u8; SECRET];
        rand::rngs::SysRng.try_fill_bytes(&mut secret).map_err(|error| Problem::broken(&error))?;
        let sealed = self.sign_in.seal.close(&owner(tenant, user), &secret)?;
        // Only the last one that was made can be confirmed; the one in force stays until then.
        let (state, _) = self.commands.load_current::<User>(tenant, user).await?;
        let in_force = state.second_factor.map(|id| id.to_string()).unwrap_or_default();
        sqlx::query("delete from auth_second_factor where tenant_id = $1 and user_id = $2 and credential_id <> $3")
            .bind(tenant.to_string())
            .bind(user.to_string())
            .bind(in_force)
            .execute(&self.pool)
            .await?;
        sqlx::query(
            "insert into auth_second_factor (tenant_id, credential_id, user_id, secret, made_at)
             values ($1, $2, $3, $4, $5)",
        )
        .bind(tenant.to_string())
        .bind(self.new_id().to_string())
        .bind(user.to_string())
        .bind(sealed)
        .bind(self.now().to_sqlx())
        .execute(&self.pool)
        .await?;
        let secret = base32(&secret);
        let (issuer, account) = (escaped(issuer), escaped(account));
        let uri = format!("otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}");
        Ok(SecondFactor { secret, uri })
    }

    /// The secret that was made and is not in force yet.
    pub(crate) async fn prepared_second_factor(&self, tenant: Id, user: Id) -> Result<Option<Id>, Problem> {
        let (state, _) = self.commands.load_current::<User>(tenant, user).await?;
        let in_force = state.second_factor.map(|id| id.to_string()).unwrap_or_default();
        let prepared: Option<String> = sqlx::query_scalar(
            "select credential_id from auth_second_factor where tenant_id = $1 and user_id = $2 and credential_id <> $3
             order by credential_id desc limit 1",
        )
        .bind(tenant.to_string())
        .bind(user.to_string())
        .bind(in_force)
        .fetch_optional(&self.pool)
        .await?;
        Ok(prepared.and_then(|id| id.parse().ok()))
    }

    /// Whether a code of this secret is good; none is twice.
    pub(crate) async fn takes_code(&self, tenant: Id, user: Id, credential: Id, given: &str) -> Result<bool, Problem> {
        let sealed: Option<Vec<u8>> =
            sqlx::query_scalar("select secret from auth_second_factor where tenant_id = $1 and credential_id = $2")
                .bind(tenant.to_string())
                .bind(credential.to_string())
                .fetch_optional(&self.pool)
                .await?;
        let Some(sealed) = sealed else { return Ok(false) };
        let secret = self.sign_in.seal.open(&owner(tenant, user), &sealed)?;
        let given: String = given.chars().filter(|c| !c.is_whitespace()).collect();
        let Some(step) = step_of(&secret, &given, self.now()) else { return Ok(false) };
        let taken = sqlx::query(
            "update auth_second_factor set last_step = $3
             where tenant_id = $1 and credential_id = $2 and last_step < $3",
        )
        .bind(tenant.to_string())
        .bind(credential.to_string())
        .bind(step)
        .execute(&self.pool)
        .await?;
        Ok(taken.rows_affected() == 1)
    }

    /// Makes recovery codes under this id, which are in force once the log says so.
    pub(crate) async fn make_recovery_codes(&self, tenant: Id, user: Id, codes: Id) -> Result<RecoveryCodes, Problem> {
        let mut made = Vec::new();
        for _ in 0..RECOVERY_CODES {
            let mut bytes = [0u8; RECOVERY];
            rand::rngs::SysRng.try_fill_bytes(&mut bytes).map_err(|error| Problem::broken(&error))?;
            let text = base32(&bytes);
            made.push([&text[..4], &text[4..8], &text[8..12], &text[12..]].join("-"));
        }
        let digests: Vec<_> = made.iter().map(|code| digest(&typed(code))).collect();
        sqlx::query(
            "insert into auth_recovery_code (tenant_id, codes_id, digest, user_id) select $1, $2, digest, $4
             from unnest($3::text[]) digest",
        )
        .bind(tenant.to_string())
        .bind(codes.to_string())
        .bind(digests)
        .bind(user.to_string())
        .execute(&self.pool)
        .await?;
        Ok(RecoveryCodes(made))
    }

    /// Whether a recovery code is good, which it is not again; how many are left then.
    async fn uses_recovery_code(&self, tenant: Id, codes: Id, given: &str) -> Result<Option<u32>, Problem> {
        let used = sqlx::query("delete from auth_recovery_code where tenant_id = $1 and codes_id = $2 and digest = $3")
            .bind(tenant.to_string())
            .bind(codes.to_string())
            .bind(digest(&typed(given)))
            .execute(&self.pool)
            .await?;
        if used.rows_affected() == 0 {
            return Ok(None);
        }
        let left: i64 =
            sqlx::query_scalar("select count(*) from auth_recovery_code where tenant_id = $1 and codes_id = $2")
                .bind(tenant.to_string())
                .bind(codes.to_string())
                .fetch_one(&self.pool)
                .await?;
        Ok(u32::try_from(left).ok())
    }

    /// Deletes a user's secrets and recovery codes that are not in force.
    pub(crate) async fn forget_other_factors(&self, tenant: Id, user: Id) -> Result<(), Problem> {
        let (state, _) = self.commands.load_current::<User>(tenant, user).await?;
        let factor = state.second_factor.map(|id| id.to_string()).unwrap_or_default();
        let codes = state.recovery.map(|(id, _)| id.to_string()).unwrap_or_default();
        let (tenant, user) = (tenant.to_string(), user.to_string());
        sqlx::query("delete from auth_second_factor where tenant_id = $1 and user_id = $2 and credential_id <> $3")
            .bind(&tenant)
            .bind(&user)
            .bind(factor)
            .execute(&self.pool)
            .await?;
        sqlx::query("delete from auth_recovery_code where tenant_id = $1 and user_id = $2 and codes_id <> $3")
            .bind(tenant)
            .bind(user)
            .bind(codes)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Whether a user's code is right: one of the app's, or a recovery code, which is used up by that. Too many wrong ones
    /// cost a wait.
    pub(crate) async fn second_factor_holds(&self, tenant: Id, user: Id, given: &str) -> Result<bool, Problem> {
        let (state, _) = self.commands.load_current::<User>(tenant, user).await?;
        let Some(credential) = state.second_factor else { return Ok(true) };
        let subject = Subject::code(tenant, user);
        self.attempt(&[&subject]).await?;
        let mut right = self.takes_code(tenant, user, credential, given).await?;
        if let Some((codes, _)) = state.recovery.filter(|_| !right)
            && let Some(left) = self.uses_recovery_code(tenant, codes, given).await?
        {
            let command = domain::org::user::Command::UseRecoveryCode { left };
            self.as_oneself(tenant, user, command).await?;
            right = true;
        }
        if right {
            self.succeeded(&subject, None).await?;
        }
        Ok(right)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, SHA-1.
    #[test]
    fn codes_are_those_of_the_rfc() {
        let secret = b"12345678901234567890";
        for (second, expected) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000i64, "65353130"),
        ] {
            assert_eq!(code(secret, second / STEP, 8), expected);
            let at = Time::from_second(second).unwrap();
            assert_eq!(step_of(secret, &expected[2..], at), Some(second / STEP));
            let far = Time::from_second(second + 2 * STEP).unwrap();
            assert_eq!(step_of(secret, &expected[2..], far), None);
        }
    }

    /// RFC 4648, section 10.
    #[test]
    fn secrets_are_written_as_apps_read_them() {
        for (bytes, text) in
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("foobar", "MZXW6YTBOI")]
        {
            assert_eq!(base32(bytes.as_bytes()), text);
        }
        assert_eq!(escaped("Rossi & Co"), "Rossi%20%26%20Co");
        assert_eq!(typed("mzxw-6ytb oi"), "MZXW6YTBOI");
    }
}
