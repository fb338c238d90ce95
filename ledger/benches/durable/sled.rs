//! sled 0.34 alone. Its `flush` does not survive a power cut on Linux (spacejam/sled#1452), so its file is synced as well.

use std::{fs::File, path::Path};

use ::sled::{Batch, Config, Db};
use anyhow::Result;

use crate::group::Peer;

pub(crate) struct Sled {
    db: Db,
    file: File,
}

impl Sled {
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self> {
        let db = Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(None).open()?;
        Ok(Self { db, file: File::open(dir.join("db"))? })
    }
}

impl Peer for Sled {
    fn commit(&mut self, records: &[(u64, String)]) -> Result<()> {
        let mut batch = Batch::default();
        for (n, record) in records {
            batch.insert(&n.to_be_bytes(), record.as_bytes());
        }
        self.db.apply_batch(batch)?;
        self.db.flush()?;
        Ok(self.file.sync_data()?)
    }

    fn get(&self, n: u64) -> Result<Option<Vec<u8>>> {
        Ok(self.db.get(n.to_be_bytes())?.map(|value| value.to_vec()))
    }
}
