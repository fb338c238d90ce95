//! The claim code on a unit's label, and what of it travels through the cloud.
//!
//! A code is 80 bits as 16 symbols of `23456789A–Z` without I and O, one Luhn-mod-32 check symbol (ISO/IEC 7812-1 Annex
//! B, in base 32), in groups of four. DPS only ever carries a [`ClaimRecord`]: a salt and a hash.

use std::{fmt, str::FromStr};

use aws_lc_rs::{constant_time, digest};
use serde::{Deserialize, Serialize};
use thiserror::Error;

const ALPHABET: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
const SYMBOLS: usize = 16;

/// The secret on the label that proves possession. Does not print itself in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimCode([u8; 10]);

/// Why something typed is not a claim code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidClaimCode {
    /// Too short or too long.
    #[error("a claim code has 17 letters and digits, this one has {found}")]
    Length {
        /// How many were found.
        found: usize,
    },
    /// A symbol that no code contains.
    #[error("'{0}' does not occur in a claim code; check the label")]
    Symbol(char),
    /// The check symbol does not fit.
    #[error("there is a typing error in the claim code; compare it with the label")]
    Check,
}

impl ClaimCode {
    /// The code for 80 bits.
    #[must_use]
    pub fn from_bits(bits: [u8; 10]) -> Self {
        Self(bits)
    }

    /// The 80 bits.
    #[must_use]
    pub fn bits(&self) -> &[u8; 10] {
        &self.0
    }

    /// The code as it stands on a label: `XXXX-XXXX-XXXX-XXXX-X`.
    #[must_use]
    pub fn reveal(&self) -> String {
        let values = self.values();
        let symbols: Vec<u8> =
            values.iter().chain([&check(&values)]).map(|&v| ALPHABET[usize::from(v)]).collect();
        let groups: Vec<_> = symbols.chunks(4).map(String::from_utf8_lossy).collect();
        groups.join("-")
    }

    /// What the 16 symbols stand for, five bits each, the first bits first.
    fn values(&self) -> [u8; SYMBOLS] {
        let all = self.0.iter().fold(0u128, |all, &byte| all << 8 | u128::from(byte));
        std::array::from_fn(|i| (all >> (5 * (SYMBOLS - 1 - i)) & 31) as u8)
    }
}

impl FromStr for ClaimCode {
    type Err = InvalidClaimCode;

    /// Reads a code as people type it: any case, with or without dashes and blanks.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let typed = text.chars().filter(|c| !c.is_whitespace() && *c != '-');
        let value = |c: char| {
            let symbol = u8::try_from(c.to_ascii_uppercase()).ok();
            let value = symbol.and_then(|symbol| ALPHABET.iter().position(|&known| known == symbol));
            value.map(|value| value as u8).ok_or(InvalidClaimCode::Symbol(c))
        };
        let values = typed.map(value).collect::<Result<Vec<u8>, _>>()?;
        let Some((given, values)) = values.split_last().filter(|(_, values)| values.len() == SYMBOLS) else {
            return Err(InvalidClaimCode::Length { found: values.len() });
        };
        if *given != check(values) {
            return Err(InvalidClaimCode::Check);
        }
        let all = values.iter().fold(0u128, |all, &value| all << 5 | u128::from(value));
        let bytes = all.to_be_bytes();
        Ok(Self(std::array::from_fn(|i| bytes[i + 6])))
    }
}

impl fmt::Debug for ClaimCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClaimCode(..)")
    }
}

/// Luhn mod 32: finds every single wrong symbol and nearly every swapped pair.
fn check(values: &[u8]) -> u8 {
    let sum: u32 = values
        .iter()
        .rev()
        .enumerate()
        .map(|(i, &value)| {
            let addend = u32::from(value) * if i % 2 == 0 { 2 } else { 1 };
            addend / 32 + addend % 32
        })
        .sum();
    ((32 - sum % 32) % 32) as u8
}

/// What DPS carries, in `optionalDeviceInformation.claim`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRecord {
    /// Which label this is about; changes only with an explicit new label.
    pub generation: u32,
    /// 16 bytes, hex.
    pub salt: String,
    /// SHA-256 over salt and the code's ten bytes, hex.
    pub sha256: String,
}

impl ClaimRecord {
    /// The record for `code`.
    #[must_use]
    pub fn new(generation: u32, salt: &[u8; 16], code: &ClaimCode) -> Self {
        Self { generation, salt: hex::encode(salt), sha256: hex::encode(hash(salt, code)) }
    }

    /// Whether `code` is the one on the label. Takes the same time for any wrong one.
    #[must_use]
    pub fn matches(&self, code: &ClaimCode) -> bool {
        let (Ok(salt), Ok(expected)) = (hex::decode(&self.salt), hex::decode(&self.sha256)) else {
            return false;
        };
        constant_time::verify_slices_are_equal(&hash(&salt, code), &expected).is_ok()
    }
}

fn hash(salt: &[u8], code: &ClaimCode) -> Vec<u8> {
    digest::digest(&digest::SHA256, &[salt, code.bits()].concat()).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_printed_is_read_back_however_it_is_typed(bits: [u8; 10]) {
            let code = ClaimCode::from_bits(bits);
            let text = code.reveal();
            prop_assert_eq!(text.len(), 21);
            let lower = text.to_lowercase().replace('-', " ");
            for typed in [&text, &text.replace('-', ""), &lower] {
                prop_assert_eq!(typed.parse::<ClaimCode>(), Ok(code.clone()));
            }
        }

        #[test]
        fn every_single_wrong_symbol_is_noticed(bits: [u8; 10], at in 0usize..17, with in 0usize..32) {
            let code = ClaimCode::from_bits(bits);
            let mut text = code.reveal().replace('-', "").into_bytes();
            prop_assume!(text[at] != ALPHABET[with]);
            text[at] = ALPHABET[with];
            let typed = String::from_utf8(text).unwrap();
            prop_assert_eq!(typed.parse::<ClaimCode>(), Err(InvalidClaimCode::Check));
        }

        #[test]
        fn only_the_right_code_matches(bits: [u8; 10], other: [u8; 10], salt: [u8; 16]) {
            let record = ClaimRecord::new(1, &salt, &ClaimCode::from_bits(bits));
            prop_assert!(record.matches(&ClaimCode::from_bits(bits)));
            prop_assert_eq!(record.matches(&ClaimCode::from_bits(other)), bits == other);
        }
    }

    #[test]
    fn a_code_with_foreign_symbols_or_the_wrong_length_says_so() {
        assert_eq!("2222-O".parse::<ClaimCode>(), Err(InvalidClaimCode::Symbol('O')));
        assert_eq!("2222".parse::<ClaimCode>(), Err(InvalidClaimCode::Length { found: 4 }));
        assert_eq!(ClaimCode::from_bits([0; 10]).reveal(), "2222-2222-2222-2222-2");
    }
}
