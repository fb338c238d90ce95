//! Several neighbouring records in one.
//!
//! sled keeps up to 16 records to a page, copies them all for each one that is put, and remembers every page in memory.
//! Most of our keys come in order, so what is put together lies together: a record of sled is a block of ours,
//! `{key length u16, value length u32, key, value}` again and again in the order of the keys, little-endian.
//!
//! A block lies under a key that is not greater than any in it, and it reaches to the next block. That key is as short as
//! it can be, like a separator in a B-tree: sled keeps 22 bytes in a node, and what is longer elsewhere.
//! What comes behind the last key of a block fills it up to [`FULL`]; what comes between its keys parts it where it is
//! larger than [`SMALL`], so that keys in no order, such as hashes, do not cost the rewriting of a large block each.

use crate::tree::Stored;

/// The size in bytes that a block has at most, unless it is one record.
pub(crate) const FULL: usize = 2048;
/// The size from which on a block is parted where something comes between its keys.
const SMALL: usize = 256;
const LENGTHS: usize = 6;

/// A block as it lies on disk, and as such untrusted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block<'a>(pub(crate) &'a [u8]);

/// A key and its value in a block.
pub(crate) type Record<'a> = (&'a [u8], &'a [u8]);

/// What a block becomes: blocks, and the key that each is to lie under. The first keeps the key that it had.
pub(crate) type Parts = Vec<(Option<Vec<u8>>, Vec<u8>)>;

impl<'a> Block<'a> {
    /// Its records in the order of their keys; ends at a `None` where it is cut short.
    pub(crate) fn records(self) -> impl Iterator<Item = Option<Record<'a>>> {
        let mut rest = Some(self.0);
        std::iter::from_fn(move || {
            let bytes = rest.take().filter(|bytes| !bytes.is_empty())?;
            let read = split(bytes);
            rest = read.map(|(_, rest)| rest);
            Some(read.map(|(record, _)| record))
        })
    }

    /// The value under `key`, if it is in this block; `Err` where the block is cut short.
    pub(crate) fn get(self, key: &[u8]) -> Result<Option<&'a [u8]>, CutShort> {
        for record in self.records() {
            let (found, value) = record.ok_or(CutShort)?;
            if found >= key {
                return Ok((found == key).then_some(value));
            }
        }
        Ok(None)
    }

    /// Its last key.
    pub(crate) fn last(self) -> Result<Option<&'a [u8]>, CutShort> {
        let mut last = None;
        for record in self.records() {
            last = Some(record.ok_or(CutShort)?.0);
        }
        Ok(last)
    }
}

/// A block that ends in the middle of a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CutShort;

fn split(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (key, bytes) = bytes.split_first_chunk::<2>()?;
    let (value, bytes) = bytes.split_first_chunk::<4>()?;
    let (key, bytes) = bytes.split_at_checked(u16::from_le_bytes(*key).into())?;
    let (value, bytes) = bytes.split_at_checked(u32::from_le_bytes(*value).try_into().ok()?)?;
    Some(((key, value), bytes))
}

/// Applies changes, in the order of their keys, to a block; nothing is left where every record was removed.
pub(crate) fn change<'a>(
    block: Block<'_>,
    changes: impl Iterator<Item = (&'a Vec<u8>, &'a Option<Stored>)>,
) -> Result<Parts, CutShort> {
    let mut out = Parting::default();
    let mut records = block.records().map(|record| record.ok_or(CutShort)).peekable();
    for (key, value) in changes {
        while let Some(record) =
            records.next_if(|record| !matches!(record, Ok((old, _)) if *old >= key.as_slice()))
        {
            let (old, value) = record?;
            out.old(old, value);
        }
        let replaces =
            records.next_if(|record| matches!(record, Ok((old, _)) if *old == key.as_slice())).is_some();
        if let Some((seq, json)) = value {
            out.push(key, &[&seq.to_be_bytes(), json]);
            out.inserted |= !replaces;
        }
    }
    if out.inserted && out.size() > SMALL && records.peek().is_some() {
        out.part();
    }
    for record in records {
        let (old, value) = record?;
        out.old(old, value);
    }
    Ok(out.parts)
}

/// Blocks in the making.
#[derive(Debug, Default)]
struct Parting {
    parts: Parts,
    /// A key is here that was not there before.
    inserted: bool,
    /// The next record begins a block.
    parts_here: bool,
    /// Where the last record begins in its block.
    last: usize,
}

impl Parting {
    fn size(&self) -> usize {
        self.parts.last().map_or(0, |(_, block)| block.len())
    }

    /// The shortest key that is greater than the last one, and not greater than `key`.
    fn separator(&self, key: &[u8]) -> Vec<u8> {
        let last = self.parts.last().and_then(|(_, block)| block.get(self.last..)).and_then(split);
        let last = last.map_or(&[][..], |((last, _), _)| last);
        let shared = key.iter().zip(last).take_while(|(key, last)| key == last).count();
        key[..key.len().min(shared + 1)].to_vec()
    }

    fn part(&mut self) {
        self.parts_here = true;
    }

    fn old(&mut self, key: &[u8], value: &[u8]) {
        self.push(key, &[value]);
    }

    fn push(&mut self, key: &[u8], value: &[&[u8]]) {
        let len: usize = value.iter().map(|part| part.len()).sum();
        let size = LENGTHS + key.len() + len;
        if self.parts.is_empty() {
            self.parts.push((None, Vec::with_capacity(SMALL)));
        } else if self.parts_here || self.size() + size > FULL {
            let at = self.separator(key);
            self.parts.push((Some(at), Vec::with_capacity(SMALL)));
        }
        self.parts_here = false;
        let Some((_, block)) = self.parts.last_mut() else { return };
        let lengths = (u16::try_from(key.len()), u32::try_from(len));
        let (Ok(key_len), Ok(value_len)) = lengths else {
            unreachable!("a frame is far smaller than 4 GiB, and a key has a few hundred bytes")
        };
        self.last = block.len();
        block.extend_from_slice(&key_len.to_le_bytes());
        block.extend_from_slice(&value_len.to_le_bytes());
        block.extend_from_slice(key);
        value.iter().for_each(|part| block.extend_from_slice(part));
    }
}
