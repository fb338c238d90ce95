//! DER as strict as X.690 clause 10 wants it: for what strangers send, and for what we are about to sign.
//!
//! The certificate library reads more than that (BER lengths, odd booleans, anything behind a field). Two readers that
//! disagree about one document are how a wish slips into a certificate, so [`check`] comes first. It keeps its place in
//! a list, not on the stack: depth costs memory that is bounded, never a crash.

use thiserror::Error;

/// How deep structures may lie in each other; a request with every extension we know needs nine.
const DEEPEST: usize = 32;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
const CONSTRUCTED: u8 = 0x20;
const CLASS: u8 = 0xC0;
const UNIVERSAL: u8 = 0x00;
const CONTEXT: u8 = 0x80;

/// What is not as DER wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum NotDer {
    #[error("it ends in the middle of a value")]
    Cut,
    #[error("a length is indefinite, or longer than it need be")]
    Length,
    #[error("a tag is not one of those that requests and certificates use")]
    Tag,
    #[error("a value is not in its one canonical form")]
    Value,
    #[error("it is nested more than 32 deep")]
    Depth,
    #[error("bytes follow it")]
    Trailing,
    #[error("another kind of value was expected")]
    Unexpected,
}

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tlv<'a> {
    pub(crate) tag: u8,
    /// What is inside.
    pub(crate) value: &'a [u8],
    /// All of it, tag and length included.
    pub(crate) raw: &'a [u8],
}

/// Reads the value that `input` begins with; returns it and what follows.
pub(crate) fn read(input: &[u8]) -> Result<(Tlv<'_>, &[u8]), NotDer> {
    let (&tag, rest) = input.split_first().ok_or(NotDer::Cut)?;
    if tag & 0x1F == 0x1F {
        return Err(NotDer::Tag);
    }
    let (&first, rest) = rest.split_first().ok_or(NotDer::Cut)?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7F)).ok_or(NotDer::Cut)?;
            let value = length.iter().fold(0_usize, |value, &byte| value << 8 | usize::from(byte));
            if length[0] == 0 || value < 0x80 {
                return Err(NotDer::Length);
            }
            (value, rest)
        }
        _ => return Err(NotDer::Length),
    };
    let (value, rest) = rest.split_at_checked(length).ok_or(NotDer::Cut)?;
    Ok((Tlv { tag, value, raw: &input[..input.len() - rest.len()] }, rest))
}

/// Reads the value that `input` begins with, which has to have this tag; returns what is inside, and what follows.
pub(crate) fn expect(input: &[u8], tag: u8) -> Result<(&[u8], &[u8]), NotDer> {
    let (tlv, rest) = read(input)?;
    if tlv.tag == tag { Ok((tlv.value, rest)) } else { Err(NotDer::Unexpected) }
}

/// Reads the one value that `input` consists of, which has to have this tag; returns what is inside.
pub(crate) fn only(input: &[u8], tag: u8) -> Result<&[u8], NotDer> {
    match expect(input, tag)? {
        (value, []) => Ok(value),
        _ => Err(NotDer::Trailing),
    }
}

/// Checks that `input` is one value in DER, with all that is in it. Octet strings are not looked into.
pub(crate) fn check(input: &[u8]) -> Result<(), NotDer> {
    let (tlv, rest) = read(input)?;
    if !rest.is_empty() {
        return Err(NotDer::Trailing);
    }
    let mut open = vec![];
    shape(&tlv)?;
    if tlv.tag & CONSTRUCTED != 0 {
        open.push(tlv.value);
    } else {
        return value(&tlv);
    }
    while let Some(inside) = open.last_mut() {
        if inside.is_empty() {
            open.pop();
            continue;
        }
        let (tlv, rest) = read(inside)?;
        *inside = rest;
        shape(&tlv)?;
        if tlv.tag & CONSTRUCTED == 0 {
            value(&tlv)?;
        } else if open.len() == DEEPEST {
            return Err(NotDer::Depth);
        } else {
            open.push(tlv.value);
        }
    }
    Ok(())
}

/// Of the universal types, sequences and sets are constructed, and nothing else; other tags are a context's own.
fn shape(tlv: &Tlv<'_>) -> Result<(), NotDer> {
    let nested = matches!(tlv.tag, SEQUENCE | SET);
    let fits = match tlv.tag & CLASS {
        UNIVERSAL => {
            tlv.tag != 0 && nested == (tlv.tag & CONSTRUCTED != 0) && !matches!(tlv.tag, 0x10 | 0x11)
        }
        class => class == CONTEXT,
    };
    if fits { Ok(()) } else { Err(NotDer::Tag) }
}

/// Whether a primitive value is in its one form.
fn value(tlv: &Tlv<'_>) -> Result<(), NotDer> {
    let canonical = match (tlv.tag, tlv.value) {
        (BOOLEAN, value) => matches!(value, [0 | 0xFF]),
        (INTEGER, value) => match value {
            [] | [0, 0..0x80, ..] | [0xFF, 0x80..=0xFF, ..] => false,
            [_, ..] => true,
        },
        (BIT_STRING, value) => match value {
            [0, ..] => true,
            [unused @ 1..=7, .., last] => last & ((1 << unused) - 1) == 0,
            _ => false,
        },
        (NULL, value) => value.is_empty(),
        (OID, value) => {
            let begins = value.iter().enumerate().filter(|(i, _)| *i == 0 || value[i - 1] < 0x80);
            value.last().is_some_and(|last| *last < 0x80) && begins.into_iter().all(|(_, &byte)| byte != 0x80)
        }
        _ => true,
    };
    if canonical { Ok(()) } else { Err(NotDer::Value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_der_and_what_is_not() {
        let of = |hex: &str| check(&hex::decode(hex.replace(' ', "")).unwrap());
        for good in [
            "0500",
            "0101ff",
            "020100",
            "02020080",
            "0201ff",
            "03020780",
            "030100",
            "06032a0304",
            "3000",
            "30 05 31 03 020101",
            "a000",
            "8000",
        ] {
            assert_eq!(of(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", NotDer::Cut),
            ("30", NotDer::Cut),
            ("3001", NotDer::Cut),
            ("30 03 020201", NotDer::Cut),
            ("3080 0000", NotDer::Length),
            ("308100", NotDer::Length),
            ("02810101", NotDer::Length),
            ("3085 0000000000", NotDer::Length),
            ("1f01 00", NotDer::Tag),
            ("1000", NotDer::Tag),
            ("2400", NotDer::Tag),
            ("0000", NotDer::Tag),
            ("7000", NotDer::Tag),
            ("c100", NotDer::Tag),
            ("010101", NotDer::Value),
            ("0200", NotDer::Value),
            ("02020001", NotDer::Value),
            ("0202ff80", NotDer::Value),
            ("0300", NotDer::Value),
            ("030107", NotDer::Value),
            ("03020101", NotDer::Value),
            ("050100", NotDer::Value),
            ("0600", NotDer::Value),
            ("06022a80", NotDer::Value),
            ("06032a8001", NotDer::Value),
            ("050000", NotDer::Trailing),
        ] {
            assert_eq!(of(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| {
            (0..depth).fold(vec![], |inner: Vec<u8>, _| {
                yasna::construct_der(|writer| {
                    writer.write_sequence(|writer| {
                        if !inner.is_empty() {
                            writer.next().write_der(&inner);
                        }
                    });
                })
            })
        };
        assert_eq!(check(&nested(DEEPEST)), Ok(()));
        assert_eq!(check(&nested(DEEPEST + 1)), Err(NotDer::Depth));
        assert_eq!(check(&nested(2_000)), Err(NotDer::Depth));
    }
}
