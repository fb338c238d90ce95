//! Bodies that are put together field by field, as those who read them see them. That they are true is tested by
//! schemathesis, which compares every answer with them (`journeys/tests/schemathesis.rs`).
#![expect(dead_code, reason = "described, never built")]

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use time::OffsetDateTime;
use utoipa::ToSchema;

/// A unit.
#[derive(ToSchema)]
pub(in crate::http) struct UnitBody {
    /// Its registration id.
    id: String,
    /// Which pass this is, from 1.
    epoch: u32,
    line: String,
    #[schema(required = false)]
    station: Option<String>,
    /// The profile of its certificate, where that is not `default`.
    #[schema(required = false)]
    profile: Option<String>,
    /// The production order that it counts for.
    #[schema(required = false)]
    order: Option<String>,
    /// There, and true, once it came to its end.
    #[schema(required = false)]
    scrapped: Option<bool>,
    /// What the line wants to remember about it.
    #[schema(required = false, value_type = Option<Object>)]
    attributes: Option<Map<String, Value>>,
    /// The certificate's serial number, hex.
    serial: String,
    /// SHA-256 of the certificate, upper-case hex as DPS shows it.
    sha256: String,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    issued_at: OffsetDateTime,
    /// PEM.
    certificate: String,
    /// The issuing CA, PEM.
    chain: String,
    cloud: Standing,
    /// The code on its label; only for the scope that asked first, and only in the issuing answer and its repeat.
    #[schema(required = false)]
    claim_code: Option<String>,
    /// PKCS#8 PEM, where the appliance made the key: in this one answer, and nowhere else.
    #[schema(required = false)]
    private_key: Option<String>,
}

/// Where a unit stands in the cloud.
#[derive(ToSchema)]
struct Standing {
    /// `waiting`, `settled`, `held` or `unknown`.
    state: String,
    #[schema(required = false)]
    since: Option<OffsetDateTime>,
    /// Why it is held.
    #[schema(required = false, value_type = Option<Object>)]
    why: Option<Value>,
}

/// A unit in a list.
#[derive(ToSchema)]
pub(in crate::http) struct UnitRow {
    id: String,
    epoch: u32,
    line: String,
    serial: String,
    sha256: String,
    issued_at: OffsetDateTime,
}

/// A part of the list.
#[derive(ToSchema)]
pub(in crate::http) struct UnitList {
    units: Vec<UnitRow>,
    /// The `after` of the next part; absent at the end.
    #[schema(required = false)]
    next: Option<String>,
}

/// Something that happened to a unit.
#[derive(ToSchema)]
struct UnitEvent {
    seq: u64,
    at: OffsetDateTime,
    /// Who did it.
    actor: String,
    /// `issued`, `reworked`, `rekeyed`, `renewed`, `in-cloud`, `held` or `scrapped`.
    kind: String,
    #[schema(value_type = Object)]
    details: Value,
}

/// A part of a history.
#[derive(ToSchema)]
pub(in crate::http) struct UnitHistory {
    events: Vec<UnitEvent>,
    /// The `after` of the next part; absent at the end.
    #[schema(required = false)]
    next: Option<u64>,
}

/// An error (RFC 9457).
#[derive(ToSchema)]
pub(in crate::http) struct ProblemBody {
    r#type: String,
    title: String,
    status: u16,
    /// Stable; `edge explain CODE` says what it means and what to do.
    code: String,
    /// What to do.
    detail: String,
    /// Whether asking the same again later may help.
    retryable: bool,
}

/// The books of the sync: how many jobs there are, and what became of them.
#[derive(ToSchema)]
pub(crate) struct BooksView {
    enqueued: i64,
    settled: i64,
    waiting: i64,
    held: i64,
    superseded: i64,
}

/// How far it is with looking whether the cloud still has what it was told.
#[derive(ToSchema)]
pub(in crate::http) struct ReadBackView {
    /// The number of the pass that is under way, or of the last one; 0 before the first.
    pass: u64,
    /// The last unit that was looked at; absent between two passes.
    #[schema(required = false)]
    position: Option<String>,
    /// Units that this pass has compared.
    compared: u64,
    /// Units whose enrollment DPS would not show.
    #[schema(required = false)]
    unread: Option<u64>,
    /// How many of those that were compared differed, by kind: `missing`, `other-certificate`, `former-certificate`,
    /// `tombstone`, `revived`.
    #[schema(required = false)]
    drift: Option<BTreeMap<String, u64>>,
    /// The last pass that ended.
    #[schema(required = false)]
    last: Option<EndedView>,
}

/// What a pass has shown that ended.
#[derive(ToSchema)]
struct EndedView {
    /// Units that it has compared.
    compared: u64,
    /// Units whose enrollment DPS would not show.
    #[schema(required = false)]
    unread: Option<u64>,
    /// How many of those that were compared differed, by kind.
    #[schema(required = false)]
    drift: Option<BTreeMap<String, u64>>,
    /// When it ended.
    at: OffsetDateTime,
}
