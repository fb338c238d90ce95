//! Signing in and out.
//!
//! Wrong name and wrong password look the same and take the same time; too many tries have to wait, and never lock anybody
//! out. What was typed into another form before the session ended travels through the login and is not lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::{ConnectInfo, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use keys::Zeroizing;
use serde::Deserialize;
use tracing::{info, warn};

use crate::account::AccountName;
use crate::attempts::Allowance;
use crate::event::{Account, account_key};
use crate::http::activate;
use crate::http::forms::cookie;
use crate::http::pages::{Draft, Login, page};
use crate::http::session::{Session, SignedIn};
use crate::http::{App, random};
use crate::now;

/// Ties the login form to one browser, before there is a session.
const VISITOR: &str = "__Host-portal-visitor";
const MINUTE: Duration = Duration::from_secs(60);
const TOO_OLD: &str = "This page was too old. Sign in again.";

#[derive(Deserialize)]
pub(crate) struct Wanted {
    #[serde(default)]
    next: String,
}

/// What the login form sends.
#[derive(Deserialize)]
pub(crate) struct Typed {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    next: String,
    #[serde(default)]
    device: String,
    #[serde(default)]
    claim: String,
    #[serde(default)]
    metadata: String,
    #[serde(default)]
    hub: String,
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    session: Session,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Response {
    if SignedIn::of(&session).await.is_some() {
        return Redirect::to(&inside(&wanted.next)).into_response();
    }
    form(&app, &headers, StatusCode::OK, None, "", &wanted.next, Draft::default())
}

/// The login page; `error` says why it is shown, if not because somebody asked for it.
pub(crate) fn form(
    app: &App,
    headers: &HeaderMap,
    status: StatusCode,
    error: Option<&str>,
    name: &str,
    next: &str,
    draft: Draft,
) -> Response {
    let known = cookie(headers, VISITOR).filter(|visitor| visitor.len() == 32).map(str::to_owned);
    let fresh = known.is_none();
    let Some(visitor) = known.or_else(|| random().ok().map(hex::encode)) else {
        return web::Problem::internal().into_response();
    };
    let token = app.tokens.token(&visitor);
    let login = Login { token: &token, name, next, error, draft };
    let mut response = page(status, &login);
    if fresh {
        let cookie = format!("{VISITOR}={visitor}; Path=/; Secure; HttpOnly; SameSite=Lax");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response
}

pub(crate) async fn sign_in(
    State(app): State<Arc<App>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    session: Session,
    headers: HeaderMap,
    Form(typed): Form<Typed>,
) -> Response {
    let draft = Draft { device: typed.device, claim: typed.claim, metadata: typed.metadata, hub: typed.hub };
    let again = |status, error: &str, draft| {
        form(&app, &headers, status, Some(error), &typed.name, &typed.next, draft)
    };
    if !app.tokens.fits(cookie(&headers, VISITOR).unwrap_or_default(), &typed.token) {
        return again(StatusCode::FORBIDDEN, TOO_OLD, draft);
    }
    let name = typed.name.trim().parse::<AccountName>().ok();
    let (per_account, per_address) = (tries(&app, 1), tries(&app, 4));
    let account_tries = format!("login/{}", name.as_ref().map_or_else(String::new, ToString::to_string));
    let address_tries = format!("login-from/{}", address.ip());
    let counts = [(account_tries.clone(), per_account), (address_tries, per_address)];
    if let Err(wait) = app.count(&counts, now()) {
        warn!(address = %address.ip(), "too many logins");
        let seconds = wait.as_secs() + 1;
        let error = format!("Too many tries. Wait {seconds} seconds, then sign in again.");
        let mut response = again(StatusCode::TOO_MANY_REQUESTS, &error, draft);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        return response;
    }
    let hash = match &name {
        Some(name) => match app.ledger.get::<Account>(&account_key(name)) {
            Ok(account) => account.map(|account| account.password),
            Err(why) => {
                tracing::error!(%why, "an account cannot be read");
                return web::Problem::internal().into_response();
            }
        },
        None => None,
    };
    let admitted = app.doorkeeper.admits(Zeroizing::new(typed.password), hash).await;
    let Some(name) = name.filter(|_| admitted) else {
        info!(address = %address.ip(), "a login was refused");
        return again(StatusCode::UNAUTHORIZED, "Name or password is wrong.", draft);
    };
    app.forgive(&account_tries);
    let Some(somebody) = SignedIn::sign_in(&session, name).await else {
        return web::Problem::internal().into_response();
    };
    info!(account = %somebody.account, address = %address.ip(), "signed in");
    if draft.is_empty() {
        return Redirect::to(&inside(&typed.next)).into_response();
    }
    let notice = "You are signed in again and nothing was lost. Check what you typed, then activate.";
    activate::form(&app, &somebody, StatusCode::OK, draft, vec![], Some(notice), None)
}

#[derive(Deserialize)]
pub(crate) struct Leaving {
    #[serde(default)]
    token: String,
}

pub(crate) async fn sign_out(
    State(app): State<Arc<App>>,
    session: Session,
    Form(leaving): Form<Leaving>,
) -> Response {
    if let Some(somebody) = SignedIn::of(&session).await {
        if !app.tokens.fits(&somebody.browser, &leaving.token) {
            return Redirect::to("/").into_response();
        }
        SignedIn::sign_out(&session).await;
        info!(account = %somebody.account, "signed out");
    }
    Redirect::to("/login").into_response()
}

fn tries(app: &App, times: usize) -> Allowance {
    Allowance { tries: app.limits.logins_per_minute.max(1) * times, within: MINUTE }
}

/// Where to go after the login: a path of ours, written as hex, or the start page.
fn inside(next: &str) -> String {
    let path = hex::decode(next).ok().and_then(|path| String::from_utf8(path).ok());
    let ours = |path: &String| {
        path.starts_with('/')
            && !path.starts_with("//")
            && path.chars().all(|c| c.is_ascii_graphic() && c != '\\')
    };
    path.filter(ours).unwrap_or_else(|| "/activate".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_our_own_pages_only() {
        assert_eq!(inside(&hex::encode("/activations")), "/activations");
        for outside in ["https://evil.example", "//evil.example", "/\\evil.example", "/a\nb", ""] {
            assert_eq!(inside(&hex::encode(outside)), "/activate", "{outside:?}");
        }
        assert_eq!(inside("not hex"), "/activate");
    }
}
