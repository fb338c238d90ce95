//! What happens when a line asks for an identity, and asks again.
//!
//! [`judge`] is the whole table: what is known plus what is asked gives one of three answers. It runs twice: once on
//! committed state, so that a repeat costs no signature, and once in the ledger's writer, where looking and writing are
//! one step and the loser of a race meets what the winner wrote.

use azure_iot::RegistrationId;
use ledger::{Event, Ledger, ReadError, View};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    event::{Idempotency, KeyOrigin, LostUnit},
    fence::{self, Fence},
    index::{self, BoxRecord, Remembered, Unit},
    order::{self, OrderRecord},
};

/// What a line asks for; every part of it was checked at the door.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The unit; a fresh one where the request left it open.
    pub(crate) id: RegistrationId,
    pub(crate) line: String,
    pub(crate) station: Option<String>,
    pub(crate) attributes: Map<String, Value>,
    /// SHA-256 of the public key in the request; `None` where the appliance shall make the key.
    pub(crate) key_sha256: Option<String>,
    /// Where the request left the id open.
    pub(crate) idempotency: Option<Idempotency>,
    /// The profile that the request itself names.
    pub(crate) profile: Option<String>,
    /// The production order that it shall count for.
    pub(crate) order: Option<String>,
    /// Whether nothing is issued without one.
    pub(crate) order_required: bool,
    /// When it is asked.
    pub(crate) at: OffsetDateTime,
}

/// What is known that bears on a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    unit: Option<Unit>,
    /// Who has the key already.
    key_owner: Option<RegistrationId>,
    remembered: Option<Remembered>,
    /// Why this box may issue nothing new.
    fence: Option<Fence>,
    /// A unit of this id that the backup lacks which this box was restored from.
    lost: Option<LostUnit>,
    /// The unit that an earlier request with the same idempotency key led to.
    remembered_unit: Option<Unit>,
    /// The order that is asked for.
    order: Option<OrderRecord>,
}

/// Where state is read from: a decision's view, or what is committed.
trait Reads {
    type Error;
    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, Self::Error>;
}

impl Reads for View<'_> {
    type Error = std::convert::Infallible;

    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, Self::Error> {
        // A record that cannot be read fails the whole commit, see `View`: it is never taken for an absent one.
        Ok(View::get(self, key))
    }
}

impl<E: Event> Reads for Ledger<E> {
    type Error = ReadError;

    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, ReadError> {
        Self::get(self, key)
    }
}

impl Known {
    /// As the decision sees it.
    pub(crate) fn in_view(view: &View<'_>, asked: &Asked) -> Self {
        let Ok(known) = Self::read(view, asked);
        known
    }

    /// As it is committed.
    pub(crate) fn committed<E: Event>(ledger: &Ledger<E>, asked: &Asked) -> Result<Self, ReadError> {
        Self::read(ledger, asked)
    }

    fn read<R: Reads>(state: &R, asked: &Asked) -> Result<Self, R::Error> {
        let key_owner = match &asked.key_sha256 {
            Some(sha256) => state.get(&index::key(sha256))?,
            None => None,
        };
        let remembered: Option<Remembered> = match &asked.idempotency {
            Some(idempotency) => state.get(&index::idem(&idempotency.key))?,
            None => None,
        };
        let remembered_unit = match &remembered {
            Some(remembered) => state.get(&index::unit(&remembered.id))?,
            None => None,
        };
        let unit = state.get(&index::unit(&asked.id))?;
        let fence = state.get(fence::FENCE)?;
        // A box of the first generation was never restored, so its ledger lacks nothing.
        let restored =
            state.get::<BoxRecord>(index::BOX)?.is_some_and(|found| found.issued_by.generation > 1);
        let lost = if restored { state.get(&index::lost(&asked.id))? } else { None };
        let order = match &asked.order {
            Some(number) => state.get(&order::key(number))?,
            None => None,
        };
        Ok(Self { unit, key_owner, remembered, fence, lost, remembered_unit, order })
    }
}

/// What a request comes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Judgement {
    /// A new identity.
    New,
    /// The one that it has.
    Repeat(Box<Unit>),
    /// No, and why.
    Refused(Refusal),
}

/// Why a request is refused. Each says what to do.
#[derive(Debug, Clone, PartialEq, Error)]
pub(crate) enum Refusal {
    #[error("this id already has an identity with another key; to give it a new one is rework, and explicit")]
    UnitExists,
    #[error(
        "this id was issued before this box was restored from a backup that lacks it (certificate SHA-256 {0}); use another id"
    )]
    Lost(String),
    #[error("{}", .0.words())]
    Fenced(Fence),
    #[error("this key already belongs to {0}; every unit needs a key of its own")]
    KeyInUse(RegistrationId),
    #[error("this unit was issued with another {field}; ask with the same {field}, or use another id")]
    Differs { field: &'static str },
    #[error(
        "this appliance made the key of this unit and gave it away once; if the answer was lost, ask for a rekey"
    )]
    KeyAlreadyGiven(Box<Unit>),
    #[error("this unit was scrapped; its id is never issued again, use another one")]
    Scrapped,
    #[error(transparent)]
    Order(order::Refusal),
    #[error("this Idempotency-Key was used for another request; use a fresh one for every unit")]
    IdempotencyKeyReused,
}

/// The table of `architecture.md` 5.
pub(crate) fn judge(known: &Known, asked: &Asked) -> Judgement {
    if let (Some(remembered), Some(idempotency)) = (&known.remembered, &asked.idempotency) {
        if remembered.request != idempotency.request {
            return Judgement::Refused(Refusal::IdempotencyKeyReused);
        }
        if let Some(unit) = &known.remembered_unit {
            return repeat(unit, asked);
        }
    }
    if let Some(unit) = &known.unit {
        return repeat(unit, asked);
    }
    if let Some(fence) = &known.fence {
        return Judgement::Refused(Refusal::Fenced(fence.clone()));
    }
    if let Some(lost) = &known.lost {
        return Judgement::Refused(Refusal::Lost(lost.sha256.clone()));
    }
    if let Some(owner) = &known.key_owner {
        return Judgement::Refused(Refusal::KeyInUse(owner.clone()));
    }
    let admitted = match &asked.order {
        Some(number) => order::admit(known.order.as_ref(), number, &asked.line, asked.at),
        None if asked.order_required => Err(order::Refusal::Required),
        None => Ok(()),
    };
    admitted.map_or_else(|why| Judgement::Refused(Refusal::Order(why)), |()| Judgement::New)
}

fn repeat(unit: &Unit, asked: &Asked) -> Judgement {
    if unit.scrapped {
        return Judgement::Refused(Refusal::Scrapped);
    }
    let field = if unit.line != asked.line {
        Some("line")
    } else if unit.attributes_sha256 != index::attributes_sha256(&asked.attributes) {
        Some("attributes")
    } else if unit.order != asked.order {
        Some("order")
    } else if asked.profile.as_deref().is_some_and(|named| named != unit.profile()) {
        Some("profile")
    } else {
        None
    };
    match (&asked.key_sha256, unit.key_origin) {
        (Some(key), _) if *key != unit.key_sha256 => Judgement::Refused(Refusal::UnitExists),
        (None, KeyOrigin::Csr) => Judgement::Refused(Refusal::UnitExists),
        _ if field.is_some() => Judgement::Refused(Refusal::Differs { field: field.unwrap_or_default() }),
        (None, KeyOrigin::Edge) => Judgement::Refused(Refusal::KeyAlreadyGiven(Box::new(unit.clone()))),
        (Some(_), _) => Judgement::Repeat(Box::new(unit.clone())),
    }
}

#[cfg(test)]
mod tests {
    use ledger::FrameRef;
    use serde_json::json;

    use super::*;

    fn asked(id: &str, key: Option<&str>) -> Asked {
        Asked {
            id: id.parse().unwrap(),
            line: "L1".into(),
            station: None,
            attributes: Map::new(),
            key_sha256: key.map(str::to_owned),
            idempotency: None,
            profile: None,
            order: None,
            order_required: false,
            at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    fn unit(id: &str, key: &str, key_origin: KeyOrigin) -> Unit {
        let frame = FrameRef { segment: 1, offset: 64, seq: 1 };
        Unit {
            id: id.parse().unwrap(),
            epoch: 1,
            line: "L1".into(),
            attributes_sha256: None,
            key_sha256: key.into(),
            key_origin,
            sha256: "AB".into(),
            claim_generation: 1,
            scope: "*".into(),
            profile: None,
            order: None,
            scrapped: false,
            revoked: false,
            frame,
        }
    }

    fn known(unit: Option<Unit>, key_owner: Option<&str>) -> Known {
        Known { unit, key_owner: key_owner.map(|id| id.parse().unwrap()), ..Known::default() }
    }

    fn check(known: &Known, asked: &Asked, expected: &str) {
        let judged = match judge(known, asked) {
            Judgement::New => "new".to_owned(),
            Judgement::Repeat(unit) => format!("repeat {}", unit.id),
            Judgement::Refused(why) => {
                format!("{why:?}").split(['(', ' ']).next().unwrap_or_default().to_owned()
            }
        };
        assert_eq!(judged, expected, "{asked:?}");
    }

    #[test]
    fn every_row_of_the_table() {
        let csr = || Some(unit("a", "k1", KeyOrigin::Csr));
        let edge = || Some(unit("a", "k9", KeyOrigin::Edge));
        check(&known(None, None), &asked("a", Some("k1")), "new");
        check(&known(None, None), &asked("a", None), "new");
        check(&known(csr(), Some("a")), &asked("a", Some("k1")), "repeat a");
        check(&known(csr(), None), &asked("a", Some("k2")), "UnitExists");
        check(&known(csr(), None), &asked("a", None), "UnitExists");
        check(&known(None, Some("a")), &asked("b", Some("k1")), "KeyInUse");
        check(&known(edge(), None), &asked("a", None), "KeyAlreadyGiven");
        check(&known(edge(), None), &asked("a", Some("k2")), "UnitExists");
        for (field, value) in [("line", json!("L2")), ("attributes", json!({ "a": 1 }))] {
            let mut other = asked("a", Some("k1"));
            match value {
                Value::String(line) => other.line = line,
                Value::Object(attributes) => other.attributes = attributes,
                _ => unreachable!("the rows above"),
            }
            let expected = Judgement::Refused(Refusal::Differs {
                field: if field == "line" { "line" } else { "attributes" },
            });
            assert_eq!(judge(&known(csr(), Some("a")), &other), expected);
        }
    }

    #[test]
    fn a_request_without_an_id_finds_its_unit_again_by_its_idempotency_key() {
        let idempotency = |request: &str| Some(Idempotency { key: "i".into(), request: request.into() });
        let mut known = known(None, None);
        known.remembered = Some(Remembered { id: "fresh-1".parse().unwrap(), request: "r1".into() });
        known.remembered_unit = Some(unit("fresh-1", "k9", KeyOrigin::Edge));
        let again = Asked { idempotency: idempotency("r1"), ..asked("fresh-2", None) };
        check(&known, &again, "KeyAlreadyGiven");
        let other = Asked { idempotency: idempotency("r2"), ..asked("fresh-2", None) };
        check(&known, &other, "IdempotencyKeyReused");
    }
}
