//! E-mail addresses: what is one, and when two spellings are the same.

use email_address::EmailAddress;

use crate::kernel::text::{trimmed, typed};

/// Whether a text is an e-mail address. Whether it receives mail only sending shows.
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    text.len() <= 254 && EmailAddress::is_valid_local_part(local) && ascii(domain).is_some()
}

/// A domain as the name system has it: `bücher.example` is `xn--bcher-kva.example`. `None` when it is none.
pub fn ascii(domain: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii_strict(domain).ok().filter(|ascii| !ascii.is_empty())?;
    // Numbers at the end are an address of a machine.
    let last = ascii.rsplit('.').next().unwrap_or_default();
    (!last.bytes().all(|b| b.is_ascii_digit())).then_some(ascii)
}

/// The one form of an address in which all its spellings are equal: in small letters, the domain as the name system has
/// it. What is no address is compared as text.
pub fn key(text: &str) -> String {
    let text = typed(text);
    match text.rsplit_once('@').map(|(local, domain)| (local, ascii(domain))) {
        Some((local, Some(domain))) => format!("{local}@{domain}"),
        _ => text,
    }
}

/// Every form, compared as text, in which a record may have this address: with the domain in its own script, and as the
/// name system has it.
pub fn forms(text: &str) -> Vec<String> {
    let mut forms = vec![key(text)];
    if let Some((local, domain)) = forms[0].rsplit_once('@') {
        let (own, sound) = idna::domain_to_unicode(domain);
        if sound.is_ok() {
            forms.push(typed(&format!("{local}@{own}")));
        }
    }
    forms.push(typed(trimmed(text)));
    forms.sort();
    forms.dedup();
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_name_and_a_domain() {
        for text in
            ["anna@example.com", "o'hara+desk@mail.example", "user@bücher.example", "пётр@почта.рф", "a@localhost"]
        {
            assert!(is_email(text), "{text}");
        }
        let long = format!("{}@example.com", "a".repeat(250));
        for text in
            ["", "anna", "a@@example.com", "a b@example.com", "@example.com", "anna@", "a@-x.example", "a@b c", &long]
        {
            assert!(!is_email(text), "{text}");
        }
    }

    #[test]
    fn spellings_of_one_address_are_one() {
        assert_eq!(key("User@BÜCHER.example"), "user@xn--bcher-kva.example");
        assert_eq!(key(" user@xn--bcher-kva.example"), key("user@bücher.example"));
        assert_eq!(forms("user@xn--bcher-kva.example"), forms("USER@Bücher.example"));
        assert!(forms("user@xn--bcher-kva.example").contains(&"user@bücher.example".to_owned()));
        assert_eq!(forms("Anna@Example.com"), ["anna@example.com"]);
        assert_ne!(key("jose@example.com"), key("josé@example.com"));
    }
}
