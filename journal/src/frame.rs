//! One frame, as bytes.
//!
//! All numbers are little-endian. A frame starts at a multiple of eight bytes.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..4 | length of the payload in bytes |
//! | 4..8 | CRC-32C (RFC 3720, B.4) of bytes 0..4 and of everything from byte 8 to the end of the payload |
//! | 8..10 | format version, 1 |
//! | 10..16 | zero |
//! | 16..24 | sequence number, the first frame of a journal is 1 |
//! | 24..32 | the highest sequence number that was known to be on disk when this frame was made |
//! | 32..64 | SHA-256 of the frame before it (its header and payload); zero for the first |
//! | 64.. | payload, then zeros up to the next multiple of eight |
//!
//! An empty payload is a *mark*: it only says how far the journal was on disk.

use aws_lc_rs::digest::{SHA256, digest};

/// Numbers the frames of a journal, from 1.
pub type Seq = u64;
/// A SHA-256.
pub type Hash = [u8; 32];

/// The bytes before the payload.
pub const HEADER: usize = 64;
/// The largest payload, in bytes.
pub const MAX_PAYLOAD: usize = 1 << 20;
/// The format written by this version.
pub const VERSION: u16 = 1;

/// A frame that was read and whose checksum holds; whether it belongs where it stands is for the reader to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its number.
    pub seq: Seq,
    /// The highest number known to be on disk when it was written.
    pub durable: Seq,
    /// The hash of the frame before it.
    pub prev: Hash,
    /// What it carries; empty for a mark.
    pub payload: &'a [u8],
    /// The hash of this frame.
    pub hash: Hash,
}

impl Frame<'_> {
    /// The room that it takes in a segment, padding included, in bytes.
    #[must_use]
    pub fn room(&self) -> u64 {
        room(self.payload.len()) as u64
    }
}

/// What stands at a place in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// A frame with a good checksum.
    Frame(Frame<'a>),
    /// A whole frame of a format that a later version of this program writes.
    Newer(u16),
    /// A header of nothing but zeros, or too little room for one: nothing was ever written here.
    Nothing,
    /// Something else; the text says what.
    Garbage(&'static str),
}

/// The room a payload takes as a frame, padding included, in bytes.
#[must_use]
pub fn room(payload: usize) -> usize {
    (HEADER + payload).next_multiple_of(8)
}

/// Appends a frame to `out` and returns its hash.
pub fn encode(seq: Seq, durable: Seq, prev: &Hash, payload: &[u8], out: &mut Vec<u8>) -> Hash {
    let start = out.len();
    let length = u32::try_from(payload.len()).expect("payloads are at most MAX_PAYLOAD long");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 6]);
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&durable.to_le_bytes());
    out.extend_from_slice(prev);
    out.extend_from_slice(payload);
    let crc = checksum(&out[start..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    let hash = sha256(&out[start..]);
    out.resize(start + room(payload.len()), 0);
    hash
}

/// How many bytes [`decode`] needs to see, given the first [`HEADER`] ones; as many again where they are no header.
#[must_use]
pub(crate) fn wanted(header: &[u8]) -> usize {
    match header.first_chunk::<HEADER>().map(|header| number(header, 0, 4) as usize) {
        Some(length) if length <= MAX_PAYLOAD => room(length),
        _ => HEADER,
    }
}

/// Reads what stands at the start of `bytes`. The padding of a frame has to be zero, as far as it is shown.
#[must_use]
pub fn decode(bytes: &[u8]) -> Found<'_> {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return if bytes.iter().all(|&b| b == 0) {
            Found::Nothing
        } else {
            Found::Garbage("a header cut short")
        };
    };
    if header.iter().all(|&b| b == 0) {
        return Found::Nothing;
    }
    let length = number(header, 0, 4) as usize;
    if length > MAX_PAYLOAD {
        return Found::Garbage("a length larger than a frame may be");
    }
    let Some(whole) = bytes.get(..HEADER + length) else {
        return Found::Garbage("a length that reaches past the end of the segment");
    };
    if u64::from(checksum(whole)) != number(header, 4, 4) {
        return Found::Garbage("a checksum that does not match");
    }
    let version = number(header, 8, 2) as u16;
    if version > VERSION {
        return Found::Newer(version);
    }
    if version != VERSION || header[10..16] != [0; 6] {
        return Found::Garbage("an unknown frame version");
    }
    if bytes[HEADER + length..].iter().take(room(length) - HEADER - length).any(|&b| b != 0) {
        return Found::Garbage("padding that is not zero");
    }
    let mut prev = [0; 32];
    prev.copy_from_slice(&header[32..64]);
    Found::Frame(Frame {
        seq: number(header, 16, 8),
        durable: number(header, 24, 8),
        prev,
        payload: &whole[HEADER..],
        hash: sha256(whole),
    })
}

/// The SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[8..])
}

/// A little-endian number of `len` bytes (at most 8) at `at`.
pub(crate) fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    bytes[at..at + len].iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_read_back(seq in 1u64.., durable: u64, prev: [u8; 32], payload: Vec<u8>) {
            let mut bytes = Vec::new();
            let hash = encode(seq, durable, &prev, &payload, &mut bytes);
            prop_assert_eq!(bytes.len(), room(payload.len()));
            let expected = Frame { seq, durable, prev, payload: &payload, hash };
            prop_assert_eq!(decode(&bytes), Found::Frame(expected));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut bytes = Vec::new();
        encode(7, 6, &[9; 32], b"payload and padding", &mut bytes);
        assert!(bytes.len() > HEADER + 8);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode(&bytes), Found::Garbage(_)), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_frame_of_a_later_format_is_told_from_garbage() {
        let mut bytes = Vec::new();
        encode(7, 6, &[9; 32], b"payload!", &mut bytes);
        bytes[8] = 2;
        assert!(matches!(decode(&bytes), Found::Garbage(_)), "the checksum comes first");
        let crc = checksum(&bytes);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(decode(&bytes), Found::Newer(2));
    }

    #[test]
    fn the_format_is_the_one_that_was_promised() {
        let mut bytes = Vec::new();
        encode(2, 1, &[0xAA; 32], b"{}", &mut bytes);
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let expected = [
            "02000000",
            "74567f46",
            "0100",
            "000000000000",
            "0200000000000000",
            "0100000000000000",
            &"aa".repeat(32),
            "7b7d",
            "000000000000",
        ];
        assert_eq!(hex, expected.concat());
    }
}
