//! What was read from the tree lately, also that there was nothing: most of what a commit looks at, whoever asked for it
//! has looked at just before.
//!
//! It follows every commit, so what it has is the newest there is, and it is asked first. What the tree is asked for while
//! somebody commits may be from before that; nobody knows, so it is not kept.

use std::num::NonZeroUsize;

use hashlink::LruCache;

use crate::tree::{Batch, Stored};

/// How many records are kept, with a few hundred bytes each.
const MOST: NonZeroUsize = NonZeroUsize::new(8192).expect("it is not zero");
/// A record that is larger than so many bytes is not kept.
const LARGEST: usize = 2048;

/// The records.
#[derive(Debug)]
pub(crate) struct Cache {
    records: LruCache<Vec<u8>, Option<Stored>>,
    /// How often something was committed.
    commits: u64,
}

/// A look into the tree that has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look(u64);

impl Default for Cache {
    fn default() -> Self {
        Self { records: LruCache::new(MOST.get()), commits: 0 }
    }
}

impl Cache {
    /// What there is under `key`, if that was asked for lately.
    pub(crate) fn get(&mut self, key: &[u8]) -> Option<&Option<Stored>> {
        self.records.get(key)
    }

    /// Begins a look into the tree.
    pub(crate) fn look(&self) -> Look {
        Look(self.commits)
    }

    /// Keeps what was found, unless somebody has committed since the look began.
    pub(crate) fn keep(&mut self, look: Look, key: &[u8], found: &Option<Stored>) {
        if look.0 == self.commits && size(found) <= LARGEST {
            self.records.insert(key.to_vec(), found.clone());
        }
    }

    /// `changes` are committed.
    pub(crate) fn committed(&mut self, changes: &Batch) {
        self.commits += 1;
        for (key, value) in changes {
            if size(value) > LARGEST {
                self.records.remove(key);
            } else if let Some(kept) = self.records.peek_mut(key) {
                kept.clone_from(value);
            }
        }
    }
}

fn size(found: &Option<Stored>) -> usize {
    found.as_ref().map_or(0, |(_, json)| json.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u64) -> Option<Stored> {
        Some((seq, b"{}".to_vec()))
    }

    #[test]
    fn what_was_found_is_kept_also_that_there_was_nothing() {
        let mut cache = Cache::default();
        cache.keep(cache.look(), b"a", &record(1));
        cache.keep(cache.look(), b"b", &None);
        assert_eq!(cache.get(b"a"), Some(&record(1)));
        assert_eq!(cache.get(b"b"), Some(&None));
        assert_eq!(cache.get(b"c"), None);
    }

    #[test]
    fn what_is_kept_follows_what_is_committed() {
        let mut cache = Cache::default();
        let (large, look) = (Some((2, vec![b' '; LARGEST + 1])), cache.look());
        for key in [b"a", b"b", b"c"] {
            cache.keep(look, key, &record(1));
        }
        cache.committed(&Batch::from([
            (b"a".to_vec(), record(2)),
            (b"b".to_vec(), None),
            (b"c".to_vec(), large),
        ]));
        assert_eq!(cache.get(b"a"), Some(&record(2)));
        assert_eq!(cache.get(b"b"), Some(&None));
        assert_eq!(cache.get(b"c"), None);
    }

    #[test]
    fn what_was_looked_for_while_somebody_committed_is_not_kept() {
        let mut cache = Cache::default();
        let look = cache.look();
        cache.committed(&Batch::from([(b"a".to_vec(), record(2))]));
        cache.keep(look, b"a", &record(1));
        assert_eq!(cache.get(b"a"), None);
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let mut cache = Cache::default();
        for n in 0..MOST.get() + 10 {
            cache.keep(cache.look(), &n.to_be_bytes(), &None);
        }
        assert_eq!(cache.records.len(), MOST.get());
    }
}
