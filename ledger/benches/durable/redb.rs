//! redb: a copy-on-write B-tree in one file.

use std::path::Path;

use ::redb::{Database, Durability, ReadableDatabase, TableDefinition};
use anyhow::Result;

use crate::group::Peer;

const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

pub(crate) struct Redb(Database);

impl Redb {
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let cache = usize::try_from(cache_bytes)?;
        Ok(Self(Database::builder().set_cache_size(cache).create(dir.join("redb"))?))
    }
}

impl Peer for Redb {
    fn commit(&mut self, records: &[(u64, String)]) -> Result<()> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut table = transaction.open_table(RECORDS)?;
            for (n, record) in records {
                table.insert(n, record.as_bytes())?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, n: u64) -> Result<Option<Vec<u8>>> {
        let table = self.0.begin_read()?.open_table(RECORDS)?;
        Ok(table.get(n)?.map(|value| value.value().to_vec()))
    }
}
