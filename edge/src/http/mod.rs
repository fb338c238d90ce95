//! The HTTPS face: every route with who may use it, in one table.

mod ca;
mod crl;
mod description;
pub(crate) mod est;
mod health;
mod issue;
mod legacy;
mod life;
mod metrics;
mod openapi;
mod orders;
mod pages;
mod pair;
mod part;
mod queue;
mod status;
pub(crate) mod units;
mod verify;

use std::sync::Arc;

use axum::{
    Router,
    handler::Handler,
    middleware::from_fn_with_state,
    routing::{MethodFilter, on},
};
use cloud_sync::{Attempts, Progress, Survey};
use ledger::{CommitError, Ledger, ReadError, Unavailable};
use time::OffsetDateTime;
use tokio::sync::watch;
use tracing::error;
use uuid::Uuid;
use web::Problem;

use crate::{
    EdgeEvent,
    access::{Access, Role, Usage, guard},
    board::{Board, Lookout},
    ca::Issuing,
    claim::ClaimKey,
    clock::Clock,
    config::{LineConfig, Orders},
    crl::Lists,
    feed,
    index::{self, BoxRecord},
    metrics::Tally,
    signing::Slots,
    state_dir::StateDir,
    stations::StationCa,
};

pub(crate) use openapi::BooksView;
pub(crate) use status::{Status, clock_view, status_now};

/// What the handlers share.
pub(crate) struct Floor {
    pub(crate) ledger: Ledger<EdgeEvent>,
    pub(crate) issuing: Issuing,
    pub(crate) root: Vec<u8>,
    pub(crate) claim: ClaimKey,
    pub(crate) lines: Vec<LineConfig>,
    /// Asks the cloud what it knows of this box; `None` where no cloud is configured.
    pub(crate) survey: Option<Survey>,
    /// How far it is with looking whether the cloud still has what it was told.
    pub(crate) read_back: Option<watch::Receiver<Option<Progress>>>,
    pub(crate) boot_id: Uuid,
    pub(crate) started: OffsetDateTime,
    pub(crate) board: watch::Receiver<Arc<Board>>,
    pub(crate) lookout: Lookout,
    pub(crate) clock: Clock,
    pub(crate) usage: Usage,
    pub(crate) signing: Slots,
    /// What signs stations' client certificates.
    pub(crate) stations: StationCa,
    /// Whether the legacy face is there.
    pub(crate) legacy_api: bool,
    pub(crate) state: StateDir,
    /// Whether units are issued without a production order.
    pub(crate) orders: Orders,
    /// The lists of revoked certificates.
    pub(crate) crl: watch::Receiver<Lists>,
    /// What was counted since the start.
    pub(crate) tally: Tally,
    /// How requests to the cloud ended; `None` where none is configured.
    pub(crate) attempts: Option<watch::Receiver<Attempts<OffsetDateTime>>>,
}

impl Floor {
    /// Who this box is now; a restored one may become a later generation while it runs.
    pub(crate) fn this_box(&self) -> Result<BoxRecord, ReadError> {
        let found = self.ledger.get(index::BOX)?;
        Ok(found.expect("an appliance is bound only to a ledger that names its box"))
    }

    /// The line with this id.
    pub(crate) fn line(&self, id: &str) -> Result<&LineConfig, Problem> {
        self.lines.iter().find(|line| line.id == id).ok_or_else(|| {
            let known: Vec<_> = self.lines.iter().map(|line| line.id.as_str()).collect();
            let known = known.join(", ");
            let detail =
                format!("there is no line '{id}' here, only {known}; see [[line]] in the configuration");
            Problem::new(http::StatusCode::UNPROCESSABLE_ENTITY, "line-unknown", detail)
        })
    }
}

/// A handle to it.
pub(crate) type Shared = Arc<Floor>;

/// A route and who may use it.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path, with `{parameters}`.
    pub path: &'static str,
    /// Who may.
    pub access: Access,
    /// What kind of clients it is for.
    pub face: Face,
}

/// What kind of clients a route is for, and with it how they may say who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// Ours: a token, the cookie of a paired browser, or a station's certificate.
    Main,
    /// EST (RFC 7030): HTTP Basic besides.
    Est,
    /// Scripts written for the public sample: HTTP Basic besides, and no certificate; there where `legacy_api = true`.
    Legacy,
}

impl Face {
    pub(crate) fn takes_basic(self) -> bool {
        matches!(self, Self::Est | Self::Legacy)
    }

    pub(crate) fn takes_certificates(self) -> bool {
        matches!(self, Self::Main | Self::Est)
    }
}

const READ_UNITS: Access = Access::Roles(&[Role::Station, Role::Supervisor, Role::Quality, Role::Admin]);
const ISSUE: Access = Access::Roles(&[Role::Station, Role::Supervisor]);
const ORDER: Access = Access::Roles(&[Role::Supervisor, Role::Admin]);

/// Every route of the HTTPS face.
pub const ROUTES: &[Route] = &[
    get("/livez", Access::Public),
    get("/readyz", Access::Public),
    get("/metrics", Access::ANY_ROLE),
    get("/pair", Access::Public),
    post("/pair", Access::Public),
    get("/assets/{name}", Access::Public),
    get("/", Access::Public),
    get("/board", Access::ANY_ROLE),
    get("/v1/feed", Access::ANY_ROLE),
    get("/v1/status", Access::ANY_ROLE),
    get("/v1/ca", Access::ANY_ROLE),
    get("/v1/units", READ_UNITS),
    get("/v1/units/{id}", READ_UNITS),
    post("/v1/units", ISSUE),
    get("/openapi.json", Access::Public),
    // RFC 7030 4.1.2 and 4.5.1: these two are for everybody.
    get("/.well-known/est/cacerts", Access::Public).of(Face::Est),
    get("/.well-known/est/{label}/cacerts", Access::Public).of(Face::Est),
    get("/.well-known/est/csrattrs", Access::Public).of(Face::Est),
    get("/.well-known/est/{label}/csrattrs", Access::Public).of(Face::Est),
    post("/.well-known/est/simpleenroll", ISSUE).of(Face::Est),
    post("/.well-known/est/{label}/simpleenroll", ISSUE).of(Face::Est),
    post("/.well-known/est/simplereenroll", Access::Unit).of(Face::Est),
    post("/.well-known/est/{label}/simplereenroll", Access::Unit).of(Face::Est),
    post("/.well-known/est/serverkeygen", ISSUE).of(Face::Est),
    post("/.well-known/est/{label}/serverkeygen", ISSUE).of(Face::Est),
    get("/createleaf", ISSUE).of(Face::Legacy),
    get("/verify", Access::Roles(&[Role::Admin])).of(Face::Legacy),
    get("/crl", Access::Public),
    get("/crl/{issuer}", Access::Public),
    get("/v1/units/{id}/events", READ_UNITS),
    post("/v1/units/{id}/rework", Access::Roles(&[Role::Supervisor])),
    post("/v1/units/{id}/rekey", ISSUE),
    post("/v1/units/{id}/scrap", Access::Roles(&[Role::Supervisor, Role::Quality])),
    get("/v1/orders", READ_UNITS),
    post("/v1/orders", ORDER),
    get("/v1/orders/{number}", READ_UNITS),
    post("/v1/orders/{number}/close", ORDER),
    get("/v1/queue/jobs/{id}", Access::Roles(&[Role::Supervisor, Role::Quality, Role::Admin])),
    post("/v1/queue/jobs/{id}/resolve", Access::Roles(&[Role::Supervisor])),
];

const fn get(path: &'static str, access: Access) -> Route {
    Route { method: "GET", path, access, face: Face::Main }
}

const fn post(path: &'static str, access: Access) -> Route {
    Route { method: "POST", path, access, face: Face::Main }
}

impl Route {
    /// The same for other clients.
    const fn of(self, face: Face) -> Self {
        Self { face, ..self }
    }
}

/// The router. A handler without a row in [`ROUTES`] does not start, and neither does a row without a handler.
pub(crate) fn router(floor: Shared) -> Router {
    let faces = Faces { floor: floor.clone(), router: Router::new(), served: 0 }
        .on("GET", "/livez", health::live)
        .on("GET", "/readyz", health::ready)
        .on("GET", "/metrics", metrics::metrics)
        .on("GET", "/pair", pair::page)
        .on("POST", "/pair", pair::pair)
        .on("GET", "/assets/{name}", pages::asset)
        .on("GET", "/", pages::start)
        .on("GET", "/board", pages::board)
        .on("GET", "/v1/feed", feed::feed)
        .on("GET", "/v1/status", status::status)
        .on("GET", "/v1/ca", ca::chain)
        .on("GET", "/v1/units", units::list)
        .on("GET", "/v1/units/{id}", units::show)
        .on("POST", "/v1/units", issue::issue)
        .on("GET", "/openapi.json", openapi::openapi)
        .on("GET", "/.well-known/est/cacerts", est::cacerts)
        .on("GET", "/.well-known/est/{label}/cacerts", est::cacerts)
        .on("GET", "/.well-known/est/csrattrs", est::csrattrs)
        .on("GET", "/.well-known/est/{label}/csrattrs", est::csrattrs)
        .on("POST", "/.well-known/est/simpleenroll", est::simpleenroll)
        .on("POST", "/.well-known/est/{label}/simpleenroll", est::simpleenroll)
        .on("POST", "/.well-known/est/simplereenroll", est::simplereenroll)
        .on("POST", "/.well-known/est/{label}/simplereenroll", est::simplereenroll)
        .on("POST", "/.well-known/est/serverkeygen", est::serverkeygen)
        .on("POST", "/.well-known/est/{label}/serverkeygen", est::serverkeygen)
        .on("GET", "/createleaf", legacy::createleaf)
        .on("GET", "/verify", verify::verify)
        .on("GET", "/crl", crl::list)
        .on("GET", "/crl/{issuer}", crl::list_of)
        .on("GET", "/v1/units/{id}/events", life::events)
        .on("POST", "/v1/units/{id}/rework", life::rework)
        .on("POST", "/v1/units/{id}/rekey", life::rekey)
        .on("POST", "/v1/units/{id}/scrap", life::scrap)
        .on("GET", "/v1/orders", orders::list)
        .on("POST", "/v1/orders", orders::open)
        .on("GET", "/v1/orders/{number}", orders::show)
        .on("POST", "/v1/orders/{number}/close", orders::close)
        .on("GET", "/v1/queue/jobs/{id}", queue::show)
        .on("POST", "/v1/queue/jobs/{id}/resolve", queue::resolve);
    assert_eq!(faces.served, ROUTES.len(), "every row of the route table has a handler");
    faces.router.with_state(floor)
}

struct Faces {
    floor: Shared,
    router: Router<Shared>,
    served: usize,
}

impl Faces {
    fn on<H, T>(self, method: &str, path: &str, handler: H) -> Self
    where
        H: Handler<T, Shared>,
        T: 'static,
    {
        let route = row(method, path);
        if route.face == Face::Legacy && !self.floor.legacy_api {
            return Self { served: self.served + 1, ..self };
        }
        let filter = if method == "POST" { MethodFilter::POST } else { MethodFilter::GET };
        let guard = from_fn_with_state((self.floor.clone(), route), guard);
        let router = self.router.route(path, on(filter, handler).layer(guard));
        Self { router, served: self.served + 1, ..self }
    }
}

/// The row of a route. Without one the program does not start: default deny (law 11).
fn row(method: &str, path: &str) -> &'static Route {
    let row = ROUTES.iter().find(|route| route.method == method && route.path == path);
    row.unwrap_or_else(|| panic!("{method} {path} has no row in the route table, so nobody may use it"))
}

/// What a station is told when the ledger cannot keep something.
pub(crate) fn unavailable(why: &Unavailable) -> Problem {
    error!(%why, "a request could not be kept");
    match why {
        Unavailable::Full { .. } => {
            let detail =
                format!("nothing is issued: {why}; free some space, then ask again: it goes on by itself");
            Problem::new(http::StatusCode::INSUFFICIENT_STORAGE, "storage-full", detail).retryable(true)
        }
        Unavailable::Failed { .. } => {
            let detail = "the appliance's disk has failed; nothing was issued, call the plant's IT";
            Problem::new(http::StatusCode::SERVICE_UNAVAILABLE, "storage-failed", detail)
        }
        Unavailable::Closed => {
            let detail = "the appliance is stopping; ask again in a moment";
            Problem::new(http::StatusCode::SERVICE_UNAVAILABLE, "stopping", detail)
        }
        Unavailable::TooLarge => {
            let detail = "the request is larger than can be kept; send fewer attributes";
            Problem::new(http::StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
        }
    }
}

/// What could not be read is the log's business; the caller hears that it was not its fault.
pub(crate) fn unreadable(error: &ReadError) -> Problem {
    error!(%error, "the ledger cannot be read");
    Problem::internal()
}

/// Splits a failed commit into the decision's own refusal and the ledger's trouble.
pub(crate) fn refused<R>(error: CommitError<R>, refusal: impl FnOnce(R) -> Problem) -> Problem {
    match error {
        CommitError::Refused(why) => refusal(why),
        CommitError::Unavailable(why) => unavailable(&why),
    }
}

#[expect(clippy::disallowed_methods, reason = "the HTTP face is a shell: here the time comes in")]
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn a_route_without_a_row_does_not_start() {
        assert_eq!(row("GET", "/v1/units").access, READ_UNITS);
        assert!(catch_unwind(|| row("GET", "/v1/backdoor")).is_err());
        assert!(catch_unwind(|| row("DELETE", "/v1/units")).is_err());
    }

    #[test]
    fn a_row_is_there_once() {
        for (i, route) in ROUTES.iter().enumerate() {
            let twin =
                ROUTES[..i].iter().any(|other| (other.method, other.path) == (route.method, route.path));
            assert!(!twin, "{route:?}");
        }
    }
}
