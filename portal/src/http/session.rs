//! Who is at the browser. The one door to `tower_sessions`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, OriginalUri};
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use http::request::Parts;
pub(crate) use tower_sessions::Session;
use tower_sessions::cookie::SameSite;
use tower_sessions::{Expiry, MemoryStore, SessionManagerLayer};
use tracing::error;
use web::Problem;

use crate::account::AccountName;
use crate::http::App;
use crate::http::activations::wants_json;

const ACCOUNT: &str = "account";

/// Sessions in memory: a restart of the portal signs everybody out, and what was typed survives in the form.
pub(crate) fn layer(idle: Duration) -> SessionManagerLayer<MemoryStore> {
    SessionManagerLayer::new(MemoryStore::default())
        .with_name("__Host-portal")
        .with_secure(true)
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_path("/")
        // So that every visit counts as activity.
        .with_always_save(true)
        .with_expiry(Expiry::OnInactivity(idle.try_into().unwrap_or(time::Duration::HOUR)))
}

/// Somebody who has signed in.
pub(crate) struct SignedIn {
    pub(crate) account: AccountName,
    /// What ties a form to this browser.
    pub(crate) browser: String,
}

impl SignedIn {
    /// Whoever this session belongs to, if to anybody.
    pub(crate) async fn of(session: &Session) -> Option<Self> {
        let account: AccountName = session.get(ACCOUNT).await.ok()??;
        Some(Self { account, browser: session.id()?.to_string() })
    }

    /// Signs somebody in, under a session id that nobody has seen before.
    pub(crate) async fn sign_in(session: &Session, account: AccountName) -> Option<Self> {
        let signed_in = async {
            session.cycle_id().await?;
            session.insert(ACCOUNT, &account).await?;
            session.save().await
        };
        if let Err(why) = signed_in.await {
            error!(%why, "a session cannot be kept");
            return None;
        }
        Some(Self { browser: session.id()?.to_string(), account })
    }

    /// Ends a session; its cookie is worth nothing from now on.
    pub(crate) async fn sign_out(session: &Session) {
        if let Err(why) = session.flush().await {
            error!(%why, "a session cannot be ended");
        }
    }
}

impl FromRequestParts<Arc<App>> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let session = Session::from_request_parts(parts, app).await.map_err(IntoResponse::into_response)?;
        if let Some(somebody) = Self::of(&session).await {
            return Ok(somebody);
        }
        if wants_json(&parts.headers) {
            let detail = "sign in at /login; the session has ended or there was none";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail).into_response());
        }
        let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0);
        let wanted = uri.path_and_query().map_or("/", |wanted| wanted.as_str());
        let next = hex::encode(wanted);
        Err(Redirect::to(&format!("/login?next={next}")).into_response())
    }
}
