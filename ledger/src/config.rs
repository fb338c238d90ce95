//! The `[storage]` section of a daemon's configuration file.

use bytesize::ByteSize;
use serde::Deserialize;

use crate::{ledger::Options, space::SpaceOptions};

/// How a daemon keeps its ledger on disk.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorageConfig {
    /// Free space below which nothing new is begun; what has been begun goes on.
    pub floor: ByteSize,
    /// A file that only takes up space, and is let go when even that runs out of room. `"0 B"` for none.
    pub ballast: ByteSize,
    /// The size of a journal segment. Segments that exist keep theirs.
    pub segment: ByteSize,
    /// The memory that the index may use as a cache.
    pub cache: ByteSize,
}

impl Default for StorageConfig {
    fn default() -> Self {
        let Options { journal, cache_bytes, space, checkpoint_key: _ } = Options::default();
        Self {
            floor: ByteSize::b(space.floor),
            ballast: ByteSize::b(space.ballast),
            segment: ByteSize::b(journal.segment_bytes),
            cache: ByteSize::b(cache_bytes),
        }
    }
}

/// The smallest segment: two of the largest frames.
const SMALLEST_SEGMENT: ByteSize = ByteSize::b(2 << 20);

impl StorageConfig {
    /// How a ledger is to be opened; an `Err` says what makes no sense.
    pub fn options(&self) -> Result<Options, String> {
        if self.segment < SMALLEST_SEGMENT || !self.segment.as_u64().is_multiple_of(8) {
            return Err("storage.segment is at least 2 MiB, and a multiple of 8 bytes".to_owned());
        }
        Ok(Options {
            journal: journal::Options { segment_bytes: self.segment.as_u64() },
            cache_bytes: self.cache.as_u64(),
            space: SpaceOptions { floor: self.floor.as_u64(), ballast: self.ballast.as_u64() },
            checkpoint_key: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_in_words() {
        let config: StorageConfig = toml::from_str("floor = \"1 GiB\"\nsegment = \"16 MiB\"").unwrap();
        let options = config.options().unwrap();
        assert_eq!((options.space.floor, options.journal.segment_bytes), (1 << 30, 16 << 20));
        assert_eq!(options.space.ballast, SpaceOptions::default().ballast);
        for (text, expected) in
            [("segment = \"1 MiB\"", "storage.segment"), ("segment = \"2097153 B\"", "multiple of 8")]
        {
            let config: StorageConfig = toml::from_str(text).unwrap();
            assert!(config.options().unwrap_err().contains(expected));
        }
        assert!(toml::from_str::<StorageConfig>("floor = \"much\"").is_err());
    }
}
