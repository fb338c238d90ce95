//! What stands in front of every route.

use std::borrow::Cow;

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use ledger::{Event, Ledger};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use tracing::{error, info};
use web::{Peer, Problem};

use super::{
    role::{Access, Role},
    station, token,
    unit::unit_of,
};
use crate::http::{Face, Floor, Route, Shared};

/// The cookie of a browser that was paired. Its value is the token: revoking the token ends the browser's way in.
pub(crate) const COOKIE: &str = "__Host-edge";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    /// By what it is known here.
    pub(crate) known_by: KnownBy,
    /// The name of the token, or of the station.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The one line that it may work on.
    pub(crate) line: Option<String>,
    pub(crate) station: Option<String>,
}

/// By what somebody is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnownBy {
    /// A token.
    Token,
    /// The TLS client certificate of a station.
    Certificate,
}

impl Principal {
    /// Who is written into the journal.
    pub(crate) fn actor(&self) -> String {
        match self.known_by {
            KnownBy::Token => format!("token:{}", self.name),
            KnownBy::Certificate => format!("station:{}", self.name),
        }
    }

    /// Within which a repeat is a repeat of one's own.
    pub(crate) fn scope(&self) -> String {
        self.line.as_ref().map_or_else(|| "*".to_owned(), |line| format!("line:{line}"))
    }

    /// Whether it may work on `line`.
    pub(crate) fn may_use(&self, line: &str) -> bool {
        self.line.as_deref().is_none_or(|own| own == line)
    }
}

/// Lets a request pass whose sender may, and tells the handler who it is.
pub(crate) async fn guard(
    State((floor, route)): State<(Shared, &'static Route)>,
    peer: Peer,
    mut request: Request<Body>,
    next: Next,
) -> Response {
    let leaf = peer.0.first();
    let says_nothing = leaf.is_none() && !request.headers().contains_key(header::AUTHORIZATION);
    let passed = match route.access {
        Access::Public => Ok(()),
        Access::Roles(_) => {
            let now = floor.clock.latest();
            identify(&floor, &request, route.face, leaf, now).and_then(|principal| {
                may(route.access, &principal, &request)?;
                match principal.known_by {
                    KnownBy::Token => floor.usage.note(&principal.name, now),
                    KnownBy::Certificate => floor.usage.note_station(&principal.name, now),
                }
                request.extensions_mut().insert(principal);
                Ok(())
            })
        }
        Access::Unit => match leaf {
            Some(leaf) => unit_of(&floor, leaf, floor.clock.latest()).map(|unit| {
                request.extensions_mut().insert(unit);
            }),
            // Whoever is known and is no unit hears that, and not that it is unknown.
            None => identify(&floor, &request, route.face, None, floor.clock.latest())
                .and_then(|principal| may(route.access, &principal, &request)),
        },
    };
    match passed {
        Ok(()) => next.run(request).await,
        Err(problem) => refuse(problem, route.face, says_nothing),
    }
}

fn may(access: Access, principal: &Principal, request: &Request<Body>) -> Result<(), Problem> {
    if access.allows(principal.role) {
        return Ok(());
    }
    info!(actor = principal.actor(), role = %principal.role, path = request.uri().path(), "refused: wrong role");
    let detail = match access {
        Access::Unit => {
            "this is for a unit with its own current certificate (TLS client certificate)".to_owned()
        }
        _ => format!("the role {} may not do this; use a token of another role", principal.role),
    };
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
}

/// The answer to who may not, with the scheme that this face takes.
///
/// Who says nothing of itself to EST is only asked to, without a body: BouncyCastle's client, which waits to be asked,
/// gives up on a challenge that has one.
fn refuse(problem: Problem, face: Face, says_nothing: bool) -> Response {
    let mut response = match (face, problem.status()) {
        (Face::Est, status @ StatusCode::UNAUTHORIZED) if says_nothing => status.into_response(),
        _ => problem.into_response(),
    };
    if face.takes_basic() && response.status() == StatusCode::UNAUTHORIZED {
        let basic = HeaderValue::from_static("Basic realm=\"edge\", charset=\"UTF-8\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, basic);
    }
    response
}

/// Who asks: by what the request carries, else by the TLS client certificate of a station.
fn identify(
    floor: &Floor,
    request: &Request<Body>,
    face: Face,
    leaf: Option<&CertificateDer<'static>>,
    now: OffsetDateTime,
) -> Result<Principal, Problem> {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    match (presented(request.headers(), safe, face.takes_basic()), leaf) {
        (Some(token), _) => by_token(&floor.ledger, &token, now),
        (None, Some(leaf)) if face.takes_certificates() => by_certificate(&floor.ledger, leaf, now),
        (None, _) if face.takes_basic() => Err(refused(
            "send a station's token as the password of HTTP Basic, or as Authorization: Bearer edge_…; \
             an administrator makes one with: edge token new",
        )),
        (None, _) => Err(without_token()),
    }
}

fn without_token() -> Problem {
    refused("send a token: Authorization: Bearer edge_…; an administrator makes one with: edge token new")
}

fn refused(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
}

/// Who asks, by the bearer token or, for reading, the cookie of a paired browser.
pub(crate) fn authenticate<E: Event>(
    ledger: &Ledger<E>,
    headers: &HeaderMap,
    cookie_counts: bool,
    now: OffsetDateTime,
) -> Result<Principal, Problem> {
    let token = presented(headers, cookie_counts, false).ok_or_else(without_token)?;
    by_token(ledger, &token, now)
}

/// The token that a request carries.
///
/// A cookie is never good for writing: a browser sends it along with whatever another site makes it send.
fn presented(headers: &HeaderMap, cookie_counts: bool, basic_counts: bool) -> Option<Cow<'_, str>> {
    let basic = || basic_counts.then(|| basic(headers)).flatten();
    let cookie = || cookie_counts.then(|| cookie(headers)).flatten();
    bearer(headers)
        .map(Cow::Borrowed)
        .or_else(|| basic().map(Cow::Owned))
        .or_else(|| cookie().map(Cow::Borrowed))
}

fn by_token<E: Event>(ledger: &Ledger<E>, token: &str, now: OffsetDateTime) -> Result<Principal, Problem> {
    let found = token::find(ledger, &token::hash(token)).map_err(|error| {
        error!(%error, "tokens cannot be read");
        Problem::internal()
    })?;
    let record = found.filter(|record| !record.revoked).ok_or_else(|| {
        refused("this token is not known here, or was revoked; ask an administrator for another")
    })?;
    if record.token.expires.is_some_and(|expires| expires <= now) {
        return Err(refused("this token has expired; ask an administrator for another"));
    }
    let token::TokenCreated { name, role, line, station, .. } = record.token;
    Ok(Principal { known_by: KnownBy::Token, name, role, line, station })
}

fn by_certificate<E: Event>(
    ledger: &Ledger<E>,
    leaf: &CertificateDer<'_>,
    now: OffsetDateTime,
) -> Result<Principal, Problem> {
    let found = station::find_station(ledger, leaf).map_err(|error| {
        error!(%error, "stations cannot be read");
        Problem::internal()
    })?;
    let station = found.filter(|station| !station.revoked).ok_or_else(|| {
        refused(
            "this client certificate is no station's, or was revoked; an administrator enrolls a station with: \
             edge station enroll",
        )
    })?;
    if station.expires <= now {
        return Err(refused("this station's certificate has expired; enroll it again: edge station enroll"));
    }
    let station::StationRecord { name, role, line, .. } = station;
    let station = Some(name.clone());
    Ok(Principal { known_by: KnownBy::Certificate, name, role, line, station })
}

/// The password of HTTP Basic (RFC 7617); whose name it is does not count.
fn basic(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    let decoded =
        STANDARD.decode(credentials.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(password.to_owned())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}
