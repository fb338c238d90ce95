//! The event that an appliance writes most: a unit got its identity, with everything that the real one carries.

use anyhow::{Context, Result, anyhow};
use edge::{EdgeEvent, event::UnitIssued};
use ledger::{CommitError, Decision, FrameRef, Ledger, Stamp, View};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// The bytes of a certificate of ours, DER.
const CERTIFICATE: usize = 480;
/// When it all happens; a decision is given its time.
const TODAY: OffsetDateTime = time::macros::datetime!(2026-11-23 14:32:07 UTC);

/// Units that differ in what differs in life.
#[derive(Debug, Clone)]
pub(crate) struct Units(UnitIssued);

impl Units {
    pub(crate) fn new() -> Result<Self> {
        let mut random = fastrand::Rng::with_seed(1);
        let text = (0..CERTIFICATE.div_ceil(3) * 4).map(|_| random.alphanumeric()).collect::<String>();
        let unit = json!({
            "id": "unit", "epoch": 1, "line": "L1", "station": "L1-S04",
            "attributes": { "order": "4500017311", "model": "MX-200" },
            "key_sha256": "", "key_origin": "csr", "serial": "", "sha256": "",
            "not_before": "2026-11-23T14:00:00Z", "not_after": "2036-11-20T14:00:00Z",
            "certificate": text, "issuer_sha256": hex(&mut random, 32),
            "claim": { "generation": 1, "salt": hex(&mut random, 16), "sha256": hex(&mut random, 32) },
            "scope": "line:L1", "issued_by": { "box": "edge-7f3a9c21", "generation": 1 },
        });
        Ok(Self(serde_json::from_value(unit)?))
    }

    /// Unit `n`: its id in the order of numbers, as they come off a line; its key anywhere, as hashes are.
    pub(crate) fn unit(&self, n: u64) -> Result<UnitIssued> {
        let mut random = fastrand::Rng::with_seed(n);
        Ok(UnitIssued {
            id: id(n).parse().map_err(|error| anyhow!("{error}"))?,
            line: format!("L{}", n % 4),
            key_sha256: hex(&mut random, 32),
            serial: hex(&mut random, 17),
            sha256: hex(&mut random, 32).to_uppercase(),
            ..self.0.clone()
        })
    }

    /// Commits unit `n` the way the appliance does: is the id free, and the key?
    pub(crate) async fn issue(&self, ledger: &Ledger<EdgeEvent>, n: u64) -> Result<()> {
        let unit = self.unit(n)?;
        let decide = move |view: &View<'_>| {
            let id: Option<Value> = view.get(&key(n));
            let public_key: Option<Value> = view.get(format!("key/{}", unit.key_sha256).as_bytes());
            if id.is_some() || public_key.is_some() {
                return Err("taken");
            }
            Ok(Decision { events: vec![EdgeEvent::UnitIssued(Box::new(unit))], answer: () })
        };
        ledger.commit(stamp(), decide).await.map(drop).map_err(|error| match error {
            CommitError::Refused(why) => anyhow!("unit {n}: {why}"),
            CommitError::Unavailable(why) => why.into(),
        })
    }
}

/// Who commits.
pub(crate) fn stamp() -> Stamp {
    Stamp { at: TODAY, actor: "token:L1-rig".to_owned() }
}

/// What the index knows about unit `n`.
pub(crate) fn record(ledger: &Ledger<EdgeEvent>, n: u64) -> Result<Value> {
    ledger.get(&key(n))?.with_context(|| format!("unit {n} is not in the index"))
}

/// Where the event of unit `n` lies.
pub(crate) fn frame(ledger: &Ledger<EdgeEvent>, n: u64) -> Result<FrameRef> {
    Ok(serde_json::from_value(record(ledger, n)?["frame"].clone())?)
}

fn key(n: u64) -> Vec<u8> {
    format!("unit/{}", id(n)).into_bytes()
}

fn id(n: u64) -> String {
    format!("mx200-{n:012}")
}

fn hex(random: &mut fastrand::Rng, bytes: usize) -> String {
    (0..2 * bytes).map(|_| random.digit(16)).collect()
}
