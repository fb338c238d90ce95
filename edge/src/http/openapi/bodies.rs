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
    /// There, and true, once its certificate was revoked because the cloud keeps another one.
    #[schema(required = false)]
    revoked: Option<bool>,
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
    /// `issued`, `reworked`, `rekeyed`, `renewed`, `in-cloud`, `held`, `decided`, `revoked` or `scrapped`.
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

/// A job for the cloud.
#[derive(ToSchema)]
pub(in crate::http) struct JobBody {
    id: String,
    /// `waiting`, `held` or `settled`.
    state: String,
    /// `announce`, `replace` or `withdraw`.
    want: String,
    /// Which pass of the unit it is about.
    epoch: u32,
    /// When it was wanted.
    since: OffsetDateTime,
    /// Why it is held.
    #[schema(required = false)]
    why: Option<WhyBody>,
    /// When it was settled, or held.
    #[schema(required = false)]
    at: Option<OffsetDateTime>,
    /// The version of the cloud's record that gives way, where a person has decided so.
    #[schema(required = false)]
    etag: Option<String>,
    /// Both sides, where it is held.
    #[schema(required = false)]
    comparison: Option<ComparisonBody>,
}

/// Why a job is held.
#[derive(ToSchema)]
struct WhyBody {
    code: String,
    detail: String,
}

/// Both sides of a job.
#[derive(ToSchema)]
struct ComparisonBody {
    cloud: InCloudBody,
    ours: OursBody,
    /// What is likely, in a sentence.
    likely: String,
    choices: Vec<ChoiceBody>,
}

/// What the cloud has.
#[derive(ToSchema)]
struct InCloudBody {
    /// `found`, `absent` or `unknown`.
    answer: String,
    /// Why nothing is known: `no-cloud`, or the code of what is wrong with the link.
    #[schema(required = false)]
    code: Option<String>,
    #[schema(required = false)]
    detail: Option<String>,
    /// SHA-256 of its certificate, upper-case hex.
    #[schema(required = false)]
    sha256: Option<String>,
    #[schema(required = false)]
    secondary_sha256: Option<String>,
    /// How the device proves who it is.
    #[schema(required = false)]
    attestation: Option<String>,
    /// `enabled` or `disabled`.
    #[schema(required = false)]
    provisioning_status: Option<String>,
    /// Whether the device has registered.
    #[schema(required = false)]
    registration_status: Option<String>,
    #[schema(required = false)]
    assigned_hub: Option<String>,
    /// The version of the record: what a decision to replace it names.
    #[schema(required = false)]
    etag: Option<String>,
    /// As the cloud writes it.
    #[schema(required = false)]
    last_updated: Option<String>,
    #[schema(required = false)]
    announced_by: Option<AnnouncerBody>,
    /// Whether it is a tombstone.
    #[schema(required = false)]
    scrapped: Option<bool>,
}

/// The box that has written a record last.
#[derive(ToSchema)]
struct AnnouncerBody {
    r#box: String,
    #[schema(required = false)]
    generation: Option<u8>,
    #[schema(required = false)]
    epoch: Option<u32>,
}

/// What this box has given the unit last.
#[derive(ToSchema)]
struct OursBody {
    sha256: String,
    epoch: u32,
    issued_at: OffsetDateTime,
}

/// Something that a person can do.
#[derive(ToSchema)]
struct ChoiceBody {
    command: String,
    means: String,
}

/// What came of a decision.
#[derive(ToSchema)]
pub(in crate::http) struct ResolvedBody {
    id: String,
    /// `waiting` or `settled`.
    state: String,
    want: String,
    epoch: u32,
    since: OffsetDateTime,
    #[schema(required = false)]
    at: Option<OffsetDateTime>,
    #[schema(required = false)]
    etag: Option<String>,
    /// The serial number of the certificate that was revoked with it.
    #[schema(required = false)]
    revoked: Option<String>,
    /// What happens now, in a sentence.
    next: String,
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
