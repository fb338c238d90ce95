//! What stands in front of every route.

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode, header};
use ledger::{Event, Ledger};
use time::OffsetDateTime;
use tracing::{error, info};
use web::Problem;

use super::{
    role::{Access, Role},
    token,
};
use crate::http::Shared;

/// The cookie of a browser that was paired. Its value is the token: revoking the token ends the browser's way in.
pub(crate) const COOKIE: &str = "__Host-edge";

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    /// The name of the token.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The one line that it may work on.
    pub(crate) line: Option<String>,
    pub(crate) station: Option<String>,
}

impl Principal {
    /// Who is written into the journal.
    pub(crate) fn actor(&self) -> String {
        format!("token:{}", self.name)
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

/// Lets a request pass whose token may, and tells the handler who it is.
pub(crate) async fn guard(
    State((floor, access)): State<(Shared, Access)>,
    mut request: Request<Body>,
    next: Next,
) -> Response {
    if access != Access::Public {
        let safe = matches!(*request.method(), Method::GET | Method::HEAD);
        let now = floor.clock.latest();
        match authenticate(&floor.ledger, request.headers(), safe, now) {
            Ok(principal) if access.allows(principal.role) => {
                floor.usage.note(&principal.name, now);
                request.extensions_mut().insert(principal);
            }
            Ok(principal) => {
                info!(actor = principal.actor(), role = %principal.role, path = request.uri().path(), "refused: wrong role");
                let detail =
                    format!("the role {} may not do this; use a token of another role", principal.role);
                return Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).into_response();
            }
            Err(problem) => return problem.into_response(),
        }
    }
    next.run(request).await
}

/// Who asks, by the bearer token or, for reading, the cookie of a paired browser.
///
/// A cookie is never good for writing: a browser sends it along with whatever another site makes it send.
pub(crate) fn authenticate<E: Event>(
    ledger: &Ledger<E>,
    headers: &HeaderMap,
    cookie_counts: bool,
    now: OffsetDateTime,
) -> Result<Principal, Problem> {
    let refused = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail);
    let cookie = if cookie_counts { cookie(headers) } else { None };
    let token = bearer(headers).or(cookie).ok_or_else(|| {
        refused("send a token: Authorization: Bearer edge_…; an administrator makes one with: edge token new")
    })?;
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
    Ok(Principal { name, role, line, station })
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
