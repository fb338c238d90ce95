//! Makes the lists of revoked certificates whenever one is due.
//!
//! They are dated by the highest time that was believed: a list from a future that never comes would be taken for the
//! latest for ever. While the clock is not believed that time stands still, and lists are paced by how long we run.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use keys::SigningKey;
use ledger::{Decision, ReadError, Stamp, View};
use time::OffsetDateTime;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::{
    CrlIssued, Lists, Shown, last,
    list::{LONGEST, entries, next},
    revocations,
};
use crate::{
    EdgeEvent,
    ca::{self, Chain},
    config::CrlConfig,
    fence,
    fingerprint::sha256,
    http::Shared,
    pki::{List, sign_list},
};

/// How long to wait before looking at changes again; a burst of them is one list.
const PACE: Duration = Duration::from_millis(100);
/// The longest sleep: the clock on the wall may be set meanwhile.
const NAP: Duration = Duration::from_secs(600);
/// How long to wait when a list could not be made.
const RETRY: Duration = Duration::from_secs(10);

/// Makes the lists, one for each issuing CA.
pub(crate) struct Crls {
    floor: Shared,
    policy: CrlConfig,
    shown: watch::Sender<Lists>,
    /// By the SHA-256 of the CA.
    made: BTreeMap<String, Made>,
    /// The keys of CAs that gave way, once they were opened.
    former: BTreeMap<String, Arc<dyn SigningKey>>,
}

/// When a list was made, or tried.
#[derive(Debug, Clone, Copy)]
struct Made {
    at: OffsetDateTime,
    /// The same on a clock that nobody can set.
    instant: Instant,
    /// The last revocation that it includes.
    revocations: u64,
    /// Whether it is there.
    done: bool,
}

impl Made {
    /// How old it is at `now`. A clock that was set back, or stands still, holds nothing up.
    fn age(&self, now: OffsetDateTime) -> Duration {
        let wall = (now - self.at).max(time::Duration::ZERO).unsigned_abs();
        self.instant.elapsed().max(wall)
    }
}

/// Why a list could not be made.
enum Trouble {
    /// The key of the CA does not open, and never has.
    Key(String),
    Other(String),
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        Self::Other(error.to_string())
    }
}

impl Crls {
    /// Shows its lists through `shown`.
    pub(crate) fn new(floor: Shared, policy: CrlConfig, shown: watch::Sender<Lists>) -> Self {
        Self { floor, policy, shown, made: BTreeMap::new(), former: BTreeMap::new() }
    }

    /// Works until cancelled.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let mut changed = self.floor.ledger.changed();
        loop {
            changed.borrow_and_update();
            let rest = match cancel.run_until_cancelled(self.step()).await {
                Some(Ok(rest)) => rest.min(NAP),
                Some(Err(why)) => {
                    error!(%why, "what is revoked cannot be read; the last lists stay");
                    RETRY
                }
                None => return,
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
                change = changed.changed() => {
                    if change.is_err() || cancel.run_until_cancelled(tokio::time::sleep(PACE)).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Makes every list that is due, and says how long nothing is to be done unless something changes.
    async fn step(&mut self) -> Result<Duration, ReadError> {
        // A restored box does not know yet what it has revoked.
        if fence::committed(&self.floor.ledger)?.is_some() {
            self.shown.send_replace(Lists::new());
            self.made.clear();
            return Ok(NAP);
        }
        let current = self.floor.issuing.current().chain.clone();
        let recorded = ca::recorded(&self.floor.ledger)?.map(|ca| ca.sha256);
        let taking_over = recorded.filter(|recorded| *recorded != current.sha256());
        let mut rest = if taking_over.is_some() { PACE } else { NAP };
        let since = self.floor.clock.latest() - self.policy.valid;
        for chain in ca::all(&self.floor.ledger)? {
            // Those that gave way and are good, or were good within the last term.
            let good = chain.ends().is_none_or(|end| end >= since);
            if good && chain != current && taking_over.as_ref() != Some(&chain.sha256()) {
                rest = rest.min(self.list(&chain).await?);
            }
        }
        Ok(rest.min(self.list(&current).await?))
    }

    /// Makes the list of one CA if it is due, and says how long that rests.
    async fn list(&mut self, chain: &Chain) -> Result<Duration, ReadError> {
        let issuer = chain.sha256();
        let ledger = &self.floor.ledger;
        let revocations = ledger.get::<u64>(&revocations(&issuer))?.unwrap_or_default();
        let at = self.floor.clock.latest();
        if let Some(made) = self.made.get(&issuer) {
            let rest = if made.done {
                self.policy.due(made.age(at), made.revocations != revocations)
            } else {
                RETRY.saturating_sub(made.age(at))
            };
            if !rest.is_zero() {
                return Ok(rest);
            }
        }
        let done = match self.make(chain, at).await {
            Ok(shown) => {
                self.shown.send_modify(|lists| {
                    lists.insert(issuer.clone(), shown);
                });
                true
            }
            Err(Trouble::Key(why)) => {
                if self.shown.send_if_modified(|lists| lists.insert(issuer.clone(), Shown::NoKey).is_none()) {
                    error!(%why, issuer, "the key of an issuing CA cannot be opened; what it has signed cannot be revoked");
                }
                false
            }
            Err(Trouble::Other(why)) => {
                error!(%why, issuer, "a list of revoked certificates cannot be made; the last one stays");
                false
            }
        };
        self.made.insert(issuer, Made { at, instant: Instant::now(), revocations, done });
        Ok(if done { self.policy.due(Duration::ZERO, false) } else { RETRY })
    }

    async fn make(&mut self, chain: &Chain, at: OffsetDateTime) -> Result<Shown, Trouble> {
        let issuer_sha256 = chain.sha256();
        // Certificates and lists know whole seconds.
        let this_update = at.replace_nanosecond(0).unwrap_or(at);
        let ledger = &self.floor.ledger;
        let since = this_update - self.policy.valid;
        let Some(entries) = entries(ledger, &issuer_sha256, since, LONGEST)? else {
            return Ok(Shown::TooLong);
        };
        let generation = self.floor.this_box()?.issued_by.generation;
        let last = last(&issuer_sha256);
        let number = next(generation, ledger.get::<CrlIssued>(&last)?.map(|last| last.number));
        let next_update = this_update + self.policy.valid;
        let list = List { number, this_update, next_update, entries };
        let entries = list.entries.len();
        let der = self.sign(chain, &list).await?;
        let event =
            CrlIssued { number, this_update, next_update, entries, sha256: sha256(&der), issuer_sha256 };
        let issuer = event.issuer_sha256.clone();
        let decide = move |view: &View<'_>| match view.get::<CrlIssued>(&last) {
            Some(last) if last.number >= number => Err("somebody else has signed a list"),
            _ => Ok(Decision { events: vec![EdgeEvent::CrlIssued(event)], answer: () }),
        };
        let stamp = Stamp { at, actor: "edge".to_owned() };
        let committed = self.floor.ledger.commit(stamp, decide).await;
        committed.map_err(|error| Trouble::Other(format!("{error:?}")))?;
        info!(number, entries, issuer, "a list of revoked certificates was made");
        Ok(Shown::List { der: der.into(), until: next_update })
    }

    /// Signs with the key of that very CA.
    async fn sign(&mut self, chain: &Chain, list: &List) -> Result<Vec<u8>, Trouble> {
        let active = self.floor.issuing.current();
        let signed = if active.chain == *chain {
            let (certificate, key) = active.issuer.authority();
            sign_list(certificate, key, list)
        } else {
            let key = self.former_key(chain).await.map_err(Trouble::Key)?;
            sign_list(chain.issuing(), key.as_ref(), list)
        };
        signed.map_err(|error| Trouble::Other(error.to_string()))
    }

    /// The key of a CA that gave way. Opening it takes a while, so it is done once.
    async fn former_key(&mut self, chain: &Chain) -> Result<Arc<dyn SigningKey>, String> {
        let issuer = chain.sha256();
        if let Some(key) = self.former.get(&issuer) {
            return Ok(key.clone());
        }
        let (floor, chain) = (self.floor.clone(), chain.clone());
        let opened = tokio::task::spawn_blocking(move || floor.issuing.former_key(&chain)).await;
        let key: Arc<dyn SigningKey> = opened.map_err(|error| error.to_string())??.into();
        self.former.insert(issuer, key.clone());
        Ok(key)
    }
}
