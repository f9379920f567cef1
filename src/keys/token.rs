//! The text of a key, `fk-<public id>-<secret>-<check>`: made, checked and hashed.

use rand::RngCore;
use subtle::ConstantTimeEq;

use super::Error;
use crate::types::Secret;

/// 32 characters, so that five random bits are one of them; without i, l, o and u, which people misread.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 60 bits: unique, and no secret.
const ID: usize = 12;

/// 200 bits.
const SECRET: usize = 40;

/// 30 bits: a typing mistake or a made-up key passes once in a thousand million.
const CHECK: usize = 6;

/// Longer texts are no keys; the bound keeps hashing cheap.
const LONGEST: usize = 512;

/// A BLAKE3 hash of a whole key; the key itself is not stored.
#[derive(Clone, Copy)]
pub(super) struct Hash([u8; 32]);

impl Hash {
    /// Hashes a whole key.
    pub(super) fn of(token: &str) -> Self {
        Self(*blake3::hash(token.as_bytes()).as_bytes())
    }

    /// Whether both are the same, in constant time.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    pub(super) fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    pub(super) fn from_hex(text: &str) -> Option<Self> {
        blake3::Hash::from_hex(text).ok().map(|hash| Self(*hash.as_bytes()))
    }
}

/// A new public id.
pub(super) fn new_id() -> String {
    random(ID)
}

/// A new key with this public id.
pub(super) fn new_token(id: &str) -> Secret {
    let body = format!("fk-{id}-{}", random(SECRET));
    Secret::new(&format!("{body}-{}", as_text(&check_of(&body))))
}

/// The public id of a well-formed key whose check part fits.
pub(super) fn id_of(token: &str) -> Option<&str> {
    let id = formed_id_of(token)?;
    let (body, check) = token.rsplit_once('-')?;
    (check.as_bytes() == check_of(body)).then_some(id)
}

/// The public id of a text that has the form of a key, whatever its check part.
pub(super) fn formed_id_of(token: &str) -> Option<&str> {
    if token.len() > LONGEST {
        return None;
    }
    let (body, _check) = token.rsplit_once('-')?;
    let (id, secret) = body.strip_prefix("fk-")?.split_once('-')?;
    (id.len() == ID && secret.len() == SECRET).then_some(id)
}

/// Whether a text may be a key at all, before it is hashed.
pub(super) fn is_possible(token: &str) -> bool {
    (1..=LONGEST).contains(&token.len())
}

/// Refuses an operator's own admin key that is guessable, or that no header can carry.
pub(super) fn check_strength(key: &Secret) -> Result<(), Error> {
    let text = key.expose();
    if text.len() > LONGEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::WeakAdminKey("use at most 512 visible ASCII characters without spaces"));
    }
    if text.len() < 24 {
        return Err(Error::WeakAdminKey("use at least 24 characters, such as `openssl rand -hex 32` prints"));
    }
    let mut different: Vec<u8> = text.bytes().collect();
    different.sort_unstable();
    different.dedup();
    if different.len() < 8 {
        return Err(Error::WeakAdminKey("it repeats too few characters; use what `openssl rand -hex 32` prints"));
    }
    Ok(())
}

fn random(length: usize) -> String {
    let mut bytes = vec![0; length];
    rand::rng().fill_bytes(&mut bytes);
    for byte in &mut bytes {
        *byte = ALPHABET[usize::from(*byte & 31)];
    }
    as_text(&bytes)
}

fn check_of(body: &str) -> [u8; CHECK] {
    let hash = blake3::hash(body.as_bytes());
    let mut check = [0; CHECK];
    for (character, byte) in check.iter_mut().zip(hash.as_bytes()) {
        *character = ALPHABET[usize::from(*byte & 31)];
    }
    check
}

fn as_text(ascii: &[u8]) -> String {
    ascii.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_new_key_carries_its_id() {
        let id = new_id();
        let token = new_token(&id);
        assert_eq!(id_of(token.expose()), Some(id.as_str()));
        assert_ne!(token.expose(), new_token(&id).expose());
        assert!(id.bytes().all(|byte| ALPHABET.contains(&byte)));
    }

    #[test]
    fn hashes_are_read_back() {
        let hash = Hash::of("a");
        assert!(Hash::from_hex(&hash.hex()).unwrap().is(&hash));
        assert!(!Hash::of("b").is(&hash));
        assert!(Hash::from_hex("00").is_none());
    }

    #[test]
    fn weak_admin_keys_are_refused() {
        for weak in [
            "",
            "short",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "with a space in it, and long enough",
            "ünüsual-ünüsual-ünüsual",
        ] {
            assert!(check_strength(&Secret::new(weak)).is_err(), "{weak}");
        }
        assert!(check_strength(&Secret::new(&"0123456789".repeat(60))).is_err());
        assert!(check_strength(&Secret::new("correct-horse-battery-staple")).is_ok());
    }

    proptest! {
        #[test]
        fn one_wrong_character_is_refused(at in 0usize..63, other in "[0-9a-z-]") {
            let token = new_token("0123456789ab");
            let mut wrong = token.expose().to_owned();
            let at = at % wrong.len();
            prop_assume!(wrong[at..=at] != other);
            wrong.replace_range(at..=at, &other);
            prop_assert_eq!(id_of(&wrong), None);
        }

        #[test]
        fn no_text_is_too_odd_to_refuse(text in "\\PC{0,80}|fk-[-a-z0-9]{0,80}") {
            prop_assert_eq!(id_of(&text), None);
        }
    }
}
