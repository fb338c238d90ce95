//! Issuing a unit: the door, the key, the signature, the decision, the answer.

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Response},
};
use azure_iot::RegistrationId;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode, header};
use ledger::{Decision, Stamp, View};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tracing::info;
use uuid::Uuid;
use web::{Json, Problem};
use zeroize::Zeroizing;

use super::{
    Shared, now, refused, unavailable,
    units::{certificate, certificate_pem, describe, describe_new},
    unreadable,
};
use crate::{
    EdgeEvent,
    access::Principal,
    csr::Csr,
    enroll::{Asked, Judgement, Known, Refusal, judge},
    event::{Idempotency, KeyOrigin, UnitIssued},
    index::Unit,
    pem,
};

/// The first label of a unit; another one is an explicit act.
const FIRST_LABEL: u32 = 1;
/// What a line sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IssueRequest {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    csr: Option<String>,
    /// The token's own line, if it has one, may be left out.
    #[serde(default)]
    line: Option<String>,
    #[serde(default)]
    station: Option<String>,
    #[serde(default)]
    attributes: Map<String, Value>,
}

/// The SHA-256 of a DER, in the two spellings that the world uses.
fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

pub(super) async fn issue(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    Json(request): Json<Map<String, Value>>,
) -> Result<Response, Problem> {
    // By way of a map: an array would be taken for the fields in their order.
    let request: IssueRequest = serde_json::from_value(Value::Object(request)).map_err(|error| {
        let detail = format!("the JSON is not what is expected here: {error}");
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "json-unexpected", detail)
    })?;
    let (asked, csr) = check(&floor, &principal, &headers, request)?;
    let known = Known::committed(&floor.ledger, &asked).map_err(|error| unreadable(&error))?;
    // A repeat or a refusal costs no key and no signature.
    match judge(&known, &asked) {
        Judgement::New => {}
        Judgement::Repeat(unit) => return again(&floor, &principal, &unit),
        Judgement::Refused(why) => return Err(problem(&floor, why)),
    }
    floor.ledger.room().map_err(|full| unavailable(&full))?;
    let this_box = floor.this_box().map_err(|error| unreadable(&error))?.issued_by;
    let at = now();
    let (spki, private_key) = match csr {
        Some(csr) => (csr.spki, None),
        None => {
            let (spki, key) = make_key()?;
            (spki, Some(key))
        }
    };
    let mut serial = [0; 17];
    aws_lc_rs::rand::fill(&mut serial[1..]).map_err(|_| Problem::internal())?;
    serial[0] = this_box.generation;
    let signed = floor.issuer.issue(&asked.id, &spki, at, serial).map_err(|error| {
        tracing::error!(%error, "a certificate could not be signed");
        Problem::internal()
    })?;
    let event = UnitIssued {
        id: asked.id.clone(),
        epoch: 1,
        line: asked.line.clone(),
        station: asked.station.clone(),
        attributes: asked.attributes.clone(),
        key_sha256: sha256(&spki),
        key_origin: if private_key.is_some() { KeyOrigin::Edge } else { KeyOrigin::Csr },
        serial: signed.serial,
        sha256: sha256(&signed.der).to_uppercase(),
        not_before: signed.not_before,
        not_after: signed.not_after,
        certificate: STANDARD.encode(&signed.der),
        issuer_sha256: sha256(floor.issuer.certificate()),
        claim: floor.claim.record(&asked.id, FIRST_LABEL),
        idempotency: asked.idempotency.clone(),
        scope: principal.scope(),
        issued_by: this_box,
    };
    let issued = event.clone();
    let decide = move |view: &View<'_>| match judge(&Known::in_view(view, &asked), &asked) {
        Judgement::New => Ok(Decision { events: vec![EdgeEvent::UnitIssued(Box::new(event))], answer: None }),
        Judgement::Repeat(unit) => Ok(Decision { events: vec![], answer: Some(unit) }),
        Judgement::Refused(why) => Err(why),
    };
    let stamp = Stamp { at, actor: principal.actor() };
    let committed = floor.ledger.commit(stamp, decide).await;
    let committed = committed.map_err(|error| refused(error, |why| problem(&floor, why)))?;
    match committed.answer {
        // Somebody else asked the same at the same time, and was first.
        Some(unit) => again(&floor, &principal, &unit),
        // On disk. What is answered comes from what was written, not from the index: that may fail now.
        None => {
            info!(id = %issued.id, line = issued.line, actor = principal.actor(), "issued");
            let mut body = describe_new(&floor, &issued, at)?;
            if let Some(key) = private_key {
                body["private_key"] = json!(key.as_str());
            }
            let label = (&issued.id, issued.claim.generation, issued.scope.as_str());
            Ok(answer(&floor, &principal, label, body, StatusCode::CREATED))
        }
    }
}

/// Checks everything about a request that does not depend on what is known.
fn check(
    floor: &Shared,
    principal: &Principal,
    headers: &HeaderMap,
    request: IssueRequest,
) -> Result<(Asked, Option<Csr>), Problem> {
    let bad = |code, detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
    let parse = |text: &str| {
        RegistrationId::parse_any_case(text).map_err(|error| bad("id-invalid", error.to_string()))
    };
    let id = request.id.as_deref().map(parse).transpose()?;
    let csr =
        request.csr.as_deref().map(Csr::parse).transpose().map_err(|why| bad(why.code(), why.to_string()))?;
    if let (Some(id), Some(csr)) = (&id, &csr)
        && !csr.fits(id)
    {
        let name = csr.common_name.as_deref().unwrap_or_default();
        let detail = format!(
            "the csr is for '{name}', the request for '{id}'; make the csr with CN={id}, or leave the id out"
        );
        return Err(bad("csr-cn-differs", detail));
    }
    let line = request.line.or_else(|| principal.line.clone()).ok_or_else(|| {
        let detail =
            "say on which line the unit is made: \"line\": \"…\"; only a token for one line may leave it out";
        bad("line-required", detail.to_owned())
    })?;
    if !floor.lines.iter().any(|known| known.id == line) {
        let known: Vec<_> = floor.lines.iter().map(|known| known.id.as_str()).collect();
        let detail = format!(
            "there is no line '{}' here, only {}; see [[line]] in the configuration",
            line,
            known.join(", ")
        );
        return Err(bad("line-unknown", detail));
    }
    if !principal.may_use(&line) {
        let own = principal.line.as_deref().unwrap_or_default();
        let detail = format!("this token is for line {own}; use one for line {}", line);
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    let named = match (id, csr.as_ref().and_then(|csr| csr.common_name.as_deref())) {
        (Some(id), _) => Some(id),
        (None, Some(name)) => Some(parse(name)?),
        (None, None) => None,
    };
    let key_sha256 = csr.as_ref().map(|csr| sha256(&csr.spki));
    let (id, idempotency) = match named {
        Some(id) => (id, None),
        None => {
            let key = headers
                .get("idempotency-key")
                .and_then(|key| key.to_str().ok())
                .filter(|key| !key.is_empty());
            let key = key.ok_or_else(|| {
                let detail = "without an id, send an Idempotency-Key header, the same one when asking again: \
                              it is how a repeat finds its unit";
                Problem::new(StatusCode::BAD_REQUEST, "idempotency-key-required", detail)
            })?;
            let asked = json!([line, request.station, request.attributes, key_sha256]);
            let idempotency = Idempotency {
                key: sha256(format!("{}\n{key}", principal.scope()).as_bytes()),
                request: sha256(asked.to_string().as_bytes()),
            };
            let fresh = Uuid::new_v4().to_string();
            (fresh.parse().map_err(|_| Problem::internal())?, Some(idempotency))
        }
    };
    let station = request.station.or_else(|| principal.station.clone());
    let asked = Asked { id, line, station, attributes: request.attributes, key_sha256, idempotency };
    Ok((asked, csr))
}

/// Makes a key for a device that cannot. It exists in this answer and nowhere else.
fn make_key() -> Result<(Vec<u8>, Zeroizing<String>), Problem> {
    let internal = |_| Problem::internal();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
        .map_err(internal)?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref())
        .map_err(|_| Problem::internal())?;
    // SubjectPublicKeyInfo of a P-256 key (RFC 5480): a fixed head and the uncompressed point.
    const HEAD: [u8; 26] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let spki = [&HEAD[..], pair.public_key().as_ref()].concat();
    Ok((spki, pem::encode("PRIVATE KEY", document.as_ref())))
}

/// What a station is told that asks again.
fn again(floor: &Shared, principal: &Principal, unit: &Unit) -> Result<Response, Problem> {
    let label = (&unit.id, unit.claim_generation, unit.scope.as_str());
    Ok(answer(floor, principal, label, describe(floor, unit)?, StatusCode::OK))
}

/// What a unit's station is told; `label` is its id, the generation of its label, and whose token has asked for it.
fn answer(
    floor: &Shared,
    principal: &Principal,
    (id, generation, scope): (&RegistrationId, u32, &str),
    mut body: Value,
    status: StatusCode,
) -> Response {
    if scope == principal.scope() {
        body["claim_code"] = json!(floor.claim.code(id, generation).reveal());
    }
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn problem(floor: &Shared, why: Refusal) -> Problem {
    let detail = why.to_string();
    match why {
        Refusal::UnitExists => Problem::new(StatusCode::CONFLICT, "unit-exists", detail),
        Refusal::Lost(_) => Problem::new(StatusCode::CONFLICT, "unit-lost", detail),
        Refusal::Fenced(fence) => fence.problem(),
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
                Ok(pem) => problem
                    .with("certificate", pem)
                    .with("chain", certificate_pem(floor.issuer.certificate())),
                Err(problem) => problem,
            }
        }
    }
}
