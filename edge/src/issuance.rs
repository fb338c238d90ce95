//! Issuing a unit, whatever face asks: the rules, the key, the signature, the decision.

use azure_iot::RegistrationId;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use ledger::{Decision, Stamp, View};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::debug;
use uuid::Uuid;
use web::Problem;
use zeroize::Zeroizing;

use crate::{
    EdgeEvent,
    access::Principal,
    certificate::{Certified, Profile},
    config::Orders,
    csr::Csr,
    enroll::{Asked, Judgement, Known, Refusal, judge},
    event::{Idempotency, UnitIssued},
    fingerprint::{sha256, thumbprint},
    http::{
        Shared, refused, unavailable,
        units::{certificate, certificate_der, certificate_of},
        unreadable,
    },
    index::Unit,
    order::{self, OrderOpened, OrderRecord},
    profile::DEFAULT,
};

/// The first label of a unit; another one is an explicit act.
const FIRST_LABEL: u32 = 1;

/// What somebody asks for, as far as it could be read.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    pub(crate) id: Option<RegistrationId>,
    /// Without one the appliance makes the key.
    pub(crate) csr: Option<Csr>,
    /// The token's own line, if it has one, may be left out.
    pub(crate) line: Option<String>,
    pub(crate) station: Option<String>,
    pub(crate) attributes: Map<String, Value>,
    /// Required where neither `id` nor `csr` names the unit.
    pub(crate) idempotency_key: Option<String>,
    /// The profile, by name; without one the order's, else the line's, else the one that is called `default`.
    pub(crate) profile: Option<String>,
    /// The production order that it counts for; it names the line, and what its units have in common.
    pub(crate) order: Option<String>,
}

/// What comes of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A new identity, on disk.
    Issued {
        unit: Box<UnitIssued>,
        at: OffsetDateTime,
        /// PKCS#8 DER, where the appliance made the key. It exists here and nowhere else.
        private_key: Option<Zeroizing<Vec<u8>>>,
    },
    /// The one that the unit has.
    Again(Box<Unit>),
}

impl Outcome {
    /// The unit's certificate, DER.
    pub(crate) fn certificate(&self, floor: &Shared) -> Result<Vec<u8>, Problem> {
        match self {
            Self::Issued { unit, .. } => certificate_der(unit),
            Self::Again(unit) => certificate_of(floor, unit),
        }
    }
}

/// A request that cannot be what was meant.
pub(crate) fn unprocessable(code: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}

/// Reads a unit's id.
pub(crate) fn id(text: &str) -> Result<RegistrationId, Problem> {
    RegistrationId::parse_any_case(text).map_err(|error| unprocessable("id-invalid", error.to_string()))
}

/// Issues what is wished, or finds it issued, or says why not.
pub(crate) async fn issue(floor: &Shared, principal: &Principal, wish: Wish) -> Result<Outcome, Problem> {
    let begun = Instant::now();
    let Checked { asked, csr, profile } = check(floor, principal, wish)?;
    let known = Known::committed(&floor.ledger, &asked).map_err(|error| unreadable(&error))?;
    // A repeat or a refusal costs no key and no signature.
    match judge(&known, &asked) {
        Judgement::New => {}
        Judgement::Repeat(unit) => return Ok(Outcome::Again(unit)),
        Judgement::Refused(why) => return Err(problem(floor, why)),
    }
    // One and the same signs and is named: another may take over meanwhile.
    let issuing = floor.issuing.current();
    let profile = Profile::find(&issuing.issuer, &profile)?;
    floor.ledger.room().map_err(|full| unavailable(&full))?;
    let this_box = floor.this_box().map_err(|error| unreadable(&error))?.issued_by;
    let moment = floor.clock.moment()?;
    let at = moment.at;
    // Held until the certificate is on disk or refused.
    let _slot = floor.signing.take()?;
    let Certified { key_sha256, key_origin, private_key, leaf, issuer_sha256 } =
        profile.certify(&this_box, &asked.id, csr, moment)?;
    let event = UnitIssued {
        id: asked.id.clone(),
        epoch: 1,
        line: asked.line.clone(),
        station: asked.station.clone(),
        attributes: asked.attributes.clone(),
        key_sha256,
        key_origin,
        serial: leaf.serial,
        sha256: thumbprint(&leaf.der),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        certificate: STANDARD.encode(&leaf.der),
        issuer_sha256,
        claim: floor.claim.record(&asked.id, FIRST_LABEL),
        idempotency: asked.idempotency.clone(),
        scope: principal.scope(),
        issued_by: this_box,
        clock_unsafe: !moment.believed,
        profile: profile.recorded(),
        order: asked.order.clone(),
        again: None,
    };
    let issued = event.clone();
    let decide = move |view: &View<'_>| match judge(&Known::in_view(view, &asked), &asked) {
        Judgement::New => Ok(Decision { events: vec![EdgeEvent::UnitIssued(Box::new(event))], answer: None }),
        Judgement::Repeat(unit) => Ok(Decision { events: vec![], answer: Some(unit) }),
        Judgement::Refused(why) => Err(why),
    };
    let stamp = Stamp { at, actor: principal.actor() };
    let committed = floor.ledger.commit(stamp, decide).await;
    let committed = committed.map_err(|error| refused(error, |why| problem(floor, why)))?;
    match committed.answer {
        // Somebody else asked the same at the same time, and was first.
        Some(unit) => Ok(Outcome::Again(unit)),
        // On disk. What is told comes from what was written, not from the index: that may fail now.
        None => {
            floor.tally.issued(issued.profile.as_deref().unwrap_or(DEFAULT), begun.elapsed());
            debug!(id = %issued.id, line = issued.line, actor = principal.actor(), "issued");
            Ok(Outcome::Issued { unit: Box::new(issued), at, private_key })
        }
    }
}

/// The production order `number`, as it was opened.
fn ordered(floor: &Shared, number: &str) -> Result<OrderOpened, Problem> {
    let found = floor.ledger.get::<OrderRecord>(&order::key(number)).map_err(|error| unreadable(&error))?;
    found.map(|record| record.order).ok_or_else(|| order::Refusal::Unknown(number.to_owned()).problem())
}

/// A wish that can be what was meant.
struct Checked {
    asked: Asked,
    csr: Option<Csr>,
    /// The profile that a new identity gets, by name.
    profile: String,
}

/// Checks everything about a wish that does not depend on what changes.
fn check(floor: &Shared, principal: &Principal, wish: Wish) -> Result<Checked, Problem> {
    let Wish { id: wished, csr, line, station, mut attributes, idempotency_key, profile: named, order } =
        wish;
    if let (Some(id), Some(csr)) = (&wished, &csr)
        && !csr.fits(id)
    {
        let name = csr.common_name.as_deref().unwrap_or_default();
        let detail = format!(
            "the csr is for '{name}', the request for '{id}'; make the csr with CN={id}, or leave the id out"
        );
        return Err(unprocessable("csr-cn-differs", detail));
    }
    // An order never changes, so what it adds to a repeat is what it added the first time.
    let ordered = order.as_deref().map(|number| ordered(floor, number)).transpose()?;
    let (ordered_line, ordered_profile) = match ordered {
        Some(OrderOpened { line, profile, attributes: common, .. }) => {
            for (name, value) in common {
                attributes.entry(name).or_insert(value);
            }
            (Some(line), profile)
        }
        None => (None, None),
    };
    let line = line.or_else(|| principal.line.clone()).or(ordered_line).ok_or_else(|| {
        let detail =
            "say on which line the unit is made: \"line\": \"…\"; only a token for one line, or an order, makes up for it";
        unprocessable("line-required", detail.to_owned())
    })?;
    let found = floor.line(&line)?;
    if !principal.may_use(&line) {
        let own = principal.line.as_deref().unwrap_or_default();
        let detail = format!("this token is for line {own}; use one for line {}", line);
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    let unit = match (wished, csr.as_ref().and_then(|csr| csr.common_name.as_deref())) {
        (Some(id), _) => Some(id),
        (None, Some(name)) => Some(id(name)?),
        (None, None) => None,
    };
    let key_sha256 = csr.as_ref().map(|csr| sha256(&csr.spki));
    let (id, idempotency) = match unit {
        Some(id) => (id, None),
        None => {
            let key = idempotency_key.ok_or_else(|| {
                let detail = "without an id, send an Idempotency-Key header, the same one when asking again: \
                              it is how a repeat finds its unit";
                Problem::new(StatusCode::BAD_REQUEST, "idempotency-key-required", detail)
            })?;
            let mut asked = vec![json!(line), json!(station), json!(attributes), json!(key_sha256)];
            asked.extend(order.as_ref().map(|order| json!({ "order": order })));
            asked.extend(named.as_ref().map(|profile| json!({ "profile": profile })));
            let asked = Value::Array(asked);
            let idempotency = Idempotency {
                key: sha256(format!("{}\n{key}", principal.scope()).as_bytes()),
                request: sha256(asked.to_string().as_bytes()),
            };
            let fresh = Uuid::new_v4().to_string();
            (fresh.parse().map_err(|_| Problem::internal())?, Some(idempotency))
        }
    };
    let station = station.or_else(|| principal.station.clone());
    let profile = named.clone().or(ordered_profile).or_else(|| found.profile.clone());
    let asked = Asked {
        id,
        line,
        station,
        attributes,
        key_sha256,
        idempotency,
        profile: named,
        order,
        order_required: floor.orders == Orders::Required,
        at: floor.clock.latest(),
    };
    Ok(Checked { asked, csr, profile: profile.unwrap_or_else(|| DEFAULT.to_owned()) })
}

fn problem(floor: &Shared, why: Refusal) -> Problem {
    let detail = why.to_string();
    match why {
        Refusal::UnitExists => Problem::new(StatusCode::CONFLICT, "unit-exists", detail),
        Refusal::Lost(_) => Problem::new(StatusCode::CONFLICT, "unit-lost", detail),
        Refusal::Fenced(fence) => fence.problem(),
        Refusal::Scrapped => Problem::new(StatusCode::CONFLICT, "unit-scrapped", detail),
        Refusal::Order(why) => why.problem(),
        Refusal::KeyInUse(_) => Problem::new(StatusCode::CONFLICT, "key-in-use", detail),
        Refusal::Differs { field } => {
            Problem::new(StatusCode::CONFLICT, "differs", detail).with("field", field)
        }
        Refusal::IdempotencyKeyReused => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", detail)
        }
        Refusal::KeyAlreadyGiven(unit) => {
            let problem =
                Problem::new(StatusCode::CONFLICT, "key-already-given", detail).with("id", unit.id.as_ref());
            match certificate(floor, &unit) {
                Ok((pem, chain)) => problem.with("certificate", pem).with("chain", chain),
                Err(problem) => problem,
            }
        }
    }
}
