//! SQLite with a write-ahead log that is synced at every commit, and a rowid table.

use std::path::Path;

use anyhow::{Result, ensure};
use rusqlite::{Connection, OptionalExtension, params};

use crate::group::Peer;

pub(crate) struct Sqlite(Connection);

impl Sqlite {
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let connection = Connection::open(dir.join("sqlite"))?;
        let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        ensure!(mode == "wal", "SQLite keeps {mode}, not a write-ahead log");
        // A negative size is in KiB.
        let cache = -i64::try_from(cache_bytes / 1024)?;
        connection.execute_batch(&format!(
            "PRAGMA synchronous = FULL;
             PRAGMA cache_size = {cache};
             CREATE TABLE IF NOT EXISTS records (n INTEGER PRIMARY KEY, record BLOB NOT NULL);"
        ))?;
        Ok(Self(connection))
    }
}

impl Peer for Sqlite {
    fn commit(&mut self, records: &[(u64, String)]) -> Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO records VALUES (?1, ?2)")?;
            for (n, record) in records {
                insert.execute(params![i64::try_from(*n)?, record.as_bytes()])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, n: u64) -> Result<Option<Vec<u8>>> {
        let mut select = self.0.prepare_cached("SELECT record FROM records WHERE n = ?1")?;
        Ok(select.query_row([i64::try_from(n)?], |row| row.get(0)).optional()?)
    }
}
