//! Taking a device out of service: says what that does and what not, and asks why. What was typed is never lost.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Form;
use axum::extract::rejection::{FormRejection, PathRejection};
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode};
use ledger::{CommitError, ReadError, Stamp};
use serde::Deserialize;
use tracing::{error, info};
use uuid::Uuid;
use web::Problem;

use crate::deactivation::{Refusal, decide, may_end};
use crate::event::{Activation, Deactivation, activation_key};
use crate::http::App;
use crate::http::activate::{minutes, tries};
use crate::http::activations::{self, asked_for, nothing, standing, wants_json};
use crate::http::login;
use crate::http::pages::{Deactivate, Draft, Message, Mistake, page};
use crate::http::session::{Session, SignedIn};
use crate::now;
use crate::reason::Reason;

/// How much of what was typed goes through a login: more than is ever kept.
const CARRIED: usize = 1000;

/// What came through a login: the reason that was typed before it, as hex.
#[derive(Deserialize)]
pub(crate) struct Prefill {
    #[serde(default)]
    reason: String,
}

/// What the form sends.
#[derive(Deserialize)]
pub(crate) struct Typed {
    #[serde(default)]
    token: String,
    #[serde(default)]
    reason: String,
}

/// The activation that is to be ended: one of the account that asks.
struct Device {
    activation: Uuid,
    record: Activation,
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    somebody: SignedIn,
    headers: HeaderMap,
    activation: Result<Path<Uuid>, PathRejection>,
    Query(prefill): Query<Prefill>,
) -> Response {
    let (device, state) = match found(&app, &somebody, activation) {
        Ok(Some(device)) => match standing(&app, &device.record.id) {
            Ok(state) => (device, state),
            Err(why) => return unread(&why),
        },
        Ok(None) => return nothing(&somebody, wants_json(&headers)),
        Err(why) => return unread(&why),
    };
    if let Err(refusal) = may_end(&device.record, state.as_ref()) {
        return barred(&app, &somebody, &device, StatusCode::OK, refusal);
    }
    let reason = hex::decode(&prefill.reason).ok().and_then(|typed| String::from_utf8(typed).ok());
    form(&app, &somebody, &device, StatusCode::OK, &reason.unwrap_or_default(), None)
}

pub(crate) async fn request(
    State(app): State<Arc<App>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    session: Session,
    headers: HeaderMap,
    activation: Result<Path<Uuid>, PathRejection>,
    typed: Result<Form<Typed>, FormRejection>,
) -> Response {
    let Typed { token, reason } = match typed {
        Ok(Form(typed)) => typed,
        Err(rejection) => return unreadable(&rejection),
    };
    let Some(somebody) = SignedIn::of(&session).await else {
        let error = "Your session has ended. Sign in; what you typed is kept.";
        let next = activation.map(|Path(activation)| hex::encode(carrying(activation, &reason)));
        let (next, none) = (next.unwrap_or_default(), Draft::default());
        return login::form(&app, &headers, StatusCode::UNAUTHORIZED, Some(error), "", &next, none);
    };
    let device = match found(&app, &somebody, activation) {
        Ok(Some(device)) => device,
        Ok(None) => return nothing(&somebody, wants_json(&headers)),
        Err(why) => return unread(&why),
    };
    let again = |status, field, text: String| {
        form(&app, &somebody, &device, status, &reason, Some(Mistake { field, text }))
    };
    if !app.tokens.fits(&somebody.browser, &token) {
        let text = "This page was too old, so nothing was sent. Check what you typed, then deactivate again.";
        return again(StatusCode::FORBIDDEN, "", text.to_owned());
    }
    let checked: Reason = match reason.parse::<Reason>() {
        Ok(checked) => checked,
        Err(why) => return again(StatusCode::UNPROCESSABLE_ENTITY, "reason", why.to_string()),
    };
    let from = address.ip().to_string();
    if let Err(wait) = app.count(&tries(&app, "deactivation", &somebody.account, &from), now()) {
        let wait = minutes(wait.as_secs());
        let text = format!("These were many requests. Wait {wait}, then deactivate again.");
        return again(StatusCode::TOO_MANY_REQUESTS, "", text);
    }
    match save(&app, &device, from, checked).await {
        Ok(()) => Redirect::to(&activations::path(device.activation)).into_response(),
        Err(NotSaved::Refused(Refusal::Unknown)) => nothing(&somebody, wants_json(&headers)),
        Err(NotSaved::Refused(refusal)) => barred(&app, &somebody, &device, StatusCode::CONFLICT, refusal),
        Err(NotSaved::Unavailable(why)) => {
            error!(%why, "a deactivation cannot be saved");
            let text = "Your request could not be saved. Nothing was sent; try again in a few minutes.";
            again(StatusCode::SERVICE_UNAVAILABLE, "", text.to_owned())
        }
    }
}

/// Why a request is not saved.
enum NotSaved {
    /// It may not be.
    Refused(Refusal),
    /// It cannot be.
    Unavailable(String),
}

impl From<CommitError<Refusal>> for NotSaved {
    fn from(error: CommitError<Refusal>) -> Self {
        match error {
            CommitError::Refused(refusal) => Self::Refused(refusal),
            CommitError::Unavailable(why) => Self::Unavailable(why.to_string()),
        }
    }
}

async fn save(app: &App, device: &Device, address: String, reason: Reason) -> Result<(), NotSaved> {
    let Device { activation, record } = device;
    let unread = |why: ReadError| NotSaved::Unavailable(why.to_string());
    let asked = asked_for(app, record, *activation).map_err(unread)?;
    let asked =
        asked.ok_or_else(|| NotSaved::Unavailable("its activation is not in its frame".to_owned()))?;
    let deactivation = Deactivation {
        deactivation: Uuid::new_v4(),
        activation: *activation,
        id: record.id.clone(),
        epoch: 0,
        account: record.account.clone(),
        address,
        claim: asked.claim,
        reason,
    };
    let stamp = Stamp { at: now(), actor: format!("account:{}", record.account) };
    app.ledger.room().map_err(CommitError::from)?;
    let committed = app.ledger.commit(stamp, move |view| decide(view, deactivation)).await?;
    if committed.answer {
        info!(id = %record.id, account = %record.account, "a deactivation was saved");
    }
    Ok(())
}

/// The activation of that name, if it is one of this account.
fn found(
    app: &App,
    somebody: &SignedIn,
    activation: Result<Path<Uuid>, PathRejection>,
) -> Result<Option<Device>, ReadError> {
    let Ok(Path(activation)) = activation else { return Ok(None) };
    let record: Option<Activation> = app.ledger.get(&activation_key(activation))?;
    let record = record.filter(|record| record.account == somebody.account);
    Ok(record.map(|record| Device { activation, record }))
}

/// The form with what was typed, and what to correct.
fn form(
    app: &App,
    somebody: &SignedIn,
    device: &Device,
    status: StatusCode,
    reason: &str,
    mistake: Option<Mistake>,
) -> Response {
    shown(app, somebody, device, status, |page| Deactivate { reason, mistake, ..page })
}

/// The page that says why it is not done.
fn barred(app: &App, somebody: &SignedIn, device: &Device, status: StatusCode, refusal: Refusal) -> Response {
    let why = match refusal {
        Refusal::Unknown | Refusal::NeverActive => {
            "This activation was refused, so there is nothing to deactivate."
        }
        Refusal::Replaced => {
            "A later request for this device counts instead of this one. To take the device out of service, \
             deactivate it there."
        }
        Refusal::Already => "This device is deactivated already, or about to be. Nothing more was sent.",
    };
    shown(app, somebody, device, status, |page| Deactivate { barred: Some(why), ..page })
}

fn shown<'a>(
    app: &'a App,
    somebody: &'a SignedIn,
    device: &'a Device,
    status: StatusCode,
    what: impl FnOnce(Deactivate<'a>) -> Deactivate<'a>,
) -> Response {
    let Device { activation, record } = device;
    let empty = Deactivate {
        account: Some(somebody.account.to_string()),
        token: app.tokens.token(&somebody.browser),
        path: activations::path(*activation),
        device: record.id.to_string(),
        hub: &record.hub,
        reason: "",
        mistake: None,
        barred: None,
    };
    page(status, &what(empty))
}

/// The page of the form, with what was typed in it.
fn carrying(activation: Uuid, reason: &str) -> String {
    let typed: String = reason.chars().take(CARRIED).collect();
    format!("{}/deactivate?reason={}", activations::path(activation), hex::encode(typed))
}

fn unread(why: &ReadError) -> Response {
    error!(%why, "a request cannot be read");
    Problem::internal().into_response()
}

fn unreadable(rejection: &FormRejection) -> Response {
    let text = "The portal could not read this form. Go back: your browser has kept what you typed.";
    page(rejection.status(), &Message { account: None, title: "Not sent", text })
}
