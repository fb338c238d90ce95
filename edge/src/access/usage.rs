//! When tokens were used last: kept in memory, written down rarely, and never one frame per request. When stations showed
//! their certificates last: kept in memory.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use ledger::{Changes, Decision, Ledger, ReadError, Stamp, View};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{
    role::Role,
    station::stations,
    token::{TokenRecord, key, records},
};
use crate::{EdgeEvent, clock::Clock};

/// How often it is looked whether something is to be written down.
const LOOK: std::time::Duration = std::time::Duration::from_secs(600);
/// How much later a use has to be than the one on record to be written down.
const STEP: Duration = Duration::DAY;

/// A token was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenUse {
    /// Its name.
    pub name: String,
    /// When, the last time.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// Applies that tokens were used.
pub(crate) fn used(changes: &mut Changes<'_>, tokens: &[TokenUse]) {
    for TokenUse { name, at } in tokens {
        if let Some(record) = changes.get::<TokenRecord>(&key(name)) {
            changes.put(&key(name), &TokenRecord { last_used: Some(*at), ..record });
        }
    }
}

/// When each token was used last, and each certificate of a station, since the start.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    tokens: Times,
    stations: Times,
}

/// The last time of each name.
#[derive(Debug, Default)]
struct Times(Mutex<BTreeMap<String, OffsetDateTime>>);

impl Times {
    fn note(&self, name: &str, at: OffsetDateTime) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match times.get_mut(name) {
            Some(known) => *known = at.max(*known),
            None => drop(times.insert(name.to_owned(), at)),
        }
    }

    fn of(&self, name: &str) -> Option<OffsetDateTime> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied()
    }
}

impl Usage {
    /// Notes that a token was used.
    pub(crate) fn note(&self, name: &str, at: OffsetDateTime) {
        self.tokens.note(name, at);
    }

    /// Notes that a station has shown its certificate.
    pub(crate) fn note_station(&self, name: &str, at: OffsetDateTime) {
        self.stations.note(name, at);
    }

    /// When each station that is not shut out was heard last: by its certificate, or by a token of that role.
    pub(crate) fn stations(
        &self,
        ledger: &Ledger<EdgeEvent>,
    ) -> Result<BTreeMap<String, OffsetDateTime>, ReadError> {
        let tokens = self.records(ledger)?.into_iter();
        let tokens = tokens.filter(|record| !record.revoked && record.token.role == Role::Station);
        let by_token = tokens
            .map(|TokenRecord { token, last_used, .. }| (token.station.unwrap_or(token.name), last_used));
        let enrolled = stations(ledger)?.into_iter().filter(|station| !station.revoked);
        let by_certificate = enrolled.map(|station| {
            let seen = self.stations.of(&station.name);
            (station.name, seen)
        });
        let mut heard = BTreeMap::new();
        for (name, at) in by_token.chain(by_certificate) {
            if let Some(at) = at {
                let last = heard.entry(name).or_insert(at);
                *last = at.max(*last);
            }
        }
        Ok(heard)
    }

    /// Every token with its last use, whether that is written down or not.
    pub(crate) fn records(&self, ledger: &Ledger<EdgeEvent>) -> Result<Vec<TokenRecord>, ReadError> {
        let mut records = records(ledger)?;
        for record in &mut records {
            record.last_used = record.last_used.max(self.tokens.of(&record.token.name));
        }
        Ok(records)
    }

    /// What is to be written down.
    fn due(&self, written: &[TokenRecord]) -> Vec<TokenUse> {
        let due = written.iter().filter_map(|record| {
            let at = self.tokens.of(&record.token.name)?;
            let news = record.last_used.is_none_or(|written| at - written >= STEP);
            news.then(|| TokenUse { name: record.token.name.clone(), at })
        });
        due.collect()
    }

    /// Writes down what is due, in one frame or none.
    pub(crate) async fn keep(&self, ledger: &Ledger<EdgeEvent>, now: OffsetDateTime) -> Result<(), String> {
        let tokens = self.due(&records(ledger).map_err(|error| error.to_string())?);
        if tokens.is_empty() {
            return Ok(());
        }
        let event = EdgeEvent::TokensUsed { tokens };
        let decide = move |_: &View<'_>| Ok::<_, ()>(Decision { events: vec![event], answer: () });
        let stamp = Stamp { at: now, actor: "access".to_owned() };
        ledger.commit(stamp, decide).await.map(drop).map_err(|error| format!("{error:?}"))
    }

    /// Works until cancelled.
    pub(crate) async fn run(&self, ledger: &Ledger<EdgeEvent>, clock: &Clock, cancel: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        // The first tick comes at once, when there is nothing to tell.
        look.tick().await;
        while cancel.run_until_cancelled(look.tick()).await.is_some() {
            if let Err(why) = self.keep(ledger, clock.latest()).await {
                error!(why, "the last use of tokens could not be written down");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ledger::Options;
    use tempfile::TempDir;
    use time::macros::datetime;

    use super::*;
    use crate::access::{NewToken, Role};

    const NOON: OffsetDateTime = datetime!(2027-03-01 12:00 UTC);

    #[tokio::test]
    async fn a_use_is_known_at_once_and_written_down_once_a_day() {
        let dir = TempDir::new().unwrap();
        let options: Options = toml::from_str::<ledger::StorageConfig>(
            "segment = '2 MiB'\ncache = '1 MiB'\nfloor = '1 MiB'\nballast = '0 B'",
        )
        .unwrap()
        .options()
        .unwrap();
        let ledger = Ledger::<EdgeEvent>::open(dir.path(), &options).unwrap();
        let new =
            NewToken { name: "rig".into(), role: Role::Station, line: None, station: None, expires: None };
        let event = EdgeEvent::TokenCreated(new.created("00".into()));
        let decide = |_: &View<'_>| Ok::<_, ()>(Decision { events: vec![event], answer: () });
        ledger.commit(Stamp { at: NOON, actor: "test".into() }, decide).await.unwrap();
        let usage = Usage::default();
        let shown = |usage: &Usage| usage.records(&ledger).unwrap()[0].last_used;
        assert_eq!(shown(&usage), None);
        let begin = ledger.seq();
        for second in 0..100 {
            usage.note("rig", NOON + Duration::seconds(second));
            usage.keep(&ledger, NOON).await.unwrap();
        }
        assert_eq!(shown(&usage), Some(NOON + Duration::seconds(99)));
        assert_eq!(ledger.seq(), begin + 1, "one frame for a hundred uses");
        assert_eq!(shown(&Usage::default()), Some(NOON), "what a restart knows");
        usage.note("rig", NOON + Duration::days(2));
        usage.keep(&ledger, NOON).await.unwrap();
        assert_eq!(shown(&Usage::default()), Some(NOON + Duration::days(2)));
        ledger.close().await;
    }
}
