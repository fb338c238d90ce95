//! The activation form. Whatever is wrong with what was typed, all of it stands in the form again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use azure_iot::RegistrationId;
use azure_iot::enrollment::InitialTwin;
use cloud_sync::claim::ClaimCode;
use http::{HeaderMap, StatusCode};
use ledger::{CommitError, Stamp};
use serde::Deserialize;
use tracing::{error, info};
use uuid::Uuid;

use crate::account::AccountName;
use crate::attempts::Allowance;
use crate::claim::{self, Answer, Refusal};
use crate::event::Request;
use crate::http::App;
use crate::http::activations;
use crate::http::login;
use crate::http::pages::{Activate, Draft, Message, Mistake, page};
use crate::http::session::{Session, SignedIn};
use crate::{metadata, now};

const HOUR: Duration = Duration::from_secs(3600);

/// What a link to the form may fill in: from a label (`device`), or to try again (`again`). Never a claim code.
#[derive(Deserialize)]
pub(crate) struct Prefill {
    #[serde(default)]
    device: String,
    again: Option<Uuid>,
}

/// What the form sends.
#[derive(Deserialize)]
pub(crate) struct Typed {
    #[serde(default)]
    token: String,
    #[serde(default)]
    device: String,
    #[serde(default)]
    claim: String,
    #[serde(default)]
    metadata: String,
    #[serde(default)]
    hub: String,
}

pub(crate) async fn home(_: SignedIn) -> Redirect {
    Redirect::to("/activate")
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    somebody: SignedIn,
    Query(prefill): Query<Prefill>,
) -> Response {
    let fresh = Draft {
        device: prefill.device,
        metadata: metadata::EXAMPLE.to_owned(),
        hub: app.hubs.first().cloned().unwrap_or_default(),
        claim: String::new(),
    };
    let again = prefill.again.and_then(|activation| activations::draft(&app, &somebody.account, activation));
    form(&app, &somebody, StatusCode::OK, again.unwrap_or(fresh), vec![], None, None)
}

/// The form with what was typed, what to correct, and what else there is to say.
pub(crate) fn form(
    app: &App,
    somebody: &SignedIn,
    status: StatusCode,
    draft: Draft,
    mistakes: Vec<Mistake>,
    notice: Option<&str>,
    see: Option<String>,
) -> Response {
    let account = somebody.account.to_string();
    let token = app.tokens.token(&somebody.browser);
    let hubs = &app.hubs;
    page(status, &Activate { account: Some(&account), token: &token, draft, hubs, mistakes, notice, see })
}

pub(crate) async fn request(
    State(app): State<Arc<App>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    session: Session,
    headers: HeaderMap,
    typed: Result<Form<Typed>, FormRejection>,
) -> Response {
    let Typed { token, device, claim, metadata, hub } = match typed {
        Ok(Form(typed)) => typed,
        Err(rejection) => return unreadable(&rejection),
    };
    let draft = Draft { device, claim, metadata, hub };
    let Some(somebody) = SignedIn::of(&session).await else {
        let error = "Your session has ended. Sign in; what you typed is kept.";
        return login::form(&app, &headers, StatusCode::UNAUTHORIZED, Some(error), "", "", draft);
    };
    let again = |status, draft, mistakes, see| form(&app, &somebody, status, draft, mistakes, None, see);
    if !app.tokens.fits(&somebody.browser, &token) {
        let text = "This page was too old, so nothing was sent. Check what you typed, then activate again.";
        return again(StatusCode::FORBIDDEN, draft, whole(text), None);
    }
    let checked = match check(&draft, &app.hubs) {
        Ok(checked) => checked,
        Err(mistakes) => return again(StatusCode::UNPROCESSABLE_ENTITY, draft, mistakes, None),
    };
    let from = address.ip().to_string();
    if let Err(wait) = app.count(&tries(&app, "request", &somebody.account, &from), now()) {
        let text =
            format!("These were many requests. Wait {}, then activate again.", minutes(wait.as_secs()));
        return again(StatusCode::TOO_MANY_REQUESTS, draft, whole(&text), None);
    }
    match save(&app, somebody.account.clone(), from, checked).await {
        Ok(activation) => Redirect::to(&activations::path(activation)).into_response(),
        Err(CommitError::Refused(refusal)) => {
            let (status, mistake, see) = words(refusal);
            again(status, draft, vec![mistake], see)
        }
        Err(CommitError::Unavailable(why)) => {
            error!(%why, "a request cannot be saved");
            let text = "Your request could not be saved. Nothing was sent; try again in a few minutes.";
            again(StatusCode::SERVICE_UNAVAILABLE, draft, whole(text), None)
        }
    }
}

/// What was typed, once it is known to be right.
struct Checked {
    id: RegistrationId,
    code: ClaimCode,
    twin: InitialTwin,
    hub: String,
}

/// Checks every field, so that all mistakes are shown at once.
fn check(draft: &Draft, hubs: &[String]) -> Result<Checked, Vec<Mistake>> {
    let mut mistakes = Vec::new();
    let mut note = |field, text: String| mistakes.push(Mistake { field, text });
    let id = RegistrationId::parse_any_case(draft.device.trim())
        .map_err(|_| {
            let rule =
                "Enter the device id as it stands on the label: at most 64 letters, digits and . _ : -";
            note("device", rule.to_owned());
        })
        .ok();
    let code =
        draft.claim.parse().map_err(|why| note("claim", format!("Correct the claim code: {why}"))).ok();
    let twin = metadata::parse(&draft.metadata)
        .map_err(|why| note("metadata", format!("Correct the metadata: {why}")))
        .ok();
    let hub = hubs.iter().find(|hub| **hub == draft.hub).cloned();
    if hub.is_none() {
        note("hub", "Choose one of the hubs.".to_owned());
    }
    match (id, code, twin, hub) {
        (Some(id), Some(code), Some(twin), Some(hub)) => Ok(Checked { id, code, twin, hub }),
        _ => Err(mistakes),
    }
}

async fn save(
    app: &App,
    account: AccountName,
    address: String,
    checked: Checked,
) -> Result<Uuid, CommitError<Refusal>> {
    let Checked { id, code, twin, hub } = checked;
    let metadata = serde_json::to_vec(&twin).unwrap_or_default();
    let parts: [&[u8]; 4] = [id.as_ref().as_bytes(), code.bits(), hub.as_bytes(), &metadata];
    let activation = Uuid::new_v4();
    let request = Request {
        activation,
        epoch: 0,
        account: account.clone(),
        address,
        claim: app.seal.close(&code, id.as_ref()),
        mark: app.seal.mark(&parts),
        hub,
        twin,
        id: id.clone(),
    };
    let (at, most) = (now(), app.limits.claim_misses_per_hour);
    let stamp = Stamp { at, actor: format!("account:{account}") };
    app.ledger.room()?;
    let committed = app.ledger.commit(stamp, move |view| claim::decide(view, request, most, at)).await?;
    match committed.answer {
        Answer::Saved => {
            info!(%id, %account, "an activation was saved");
            Ok(activation)
        }
        Answer::Before(activation) => Ok(activation),
    }
}

/// How often an account, and an address, may ask for the same thing.
pub(crate) fn tries(app: &App, what: &str, account: &AccountName, from: &str) -> [(String, Allowance); 2] {
    let most = app.limits.requests_per_hour.max(1);
    [
        (format!("{what}/{account}"), Allowance { tries: most, within: HOUR }),
        (format!("{what}-from/{from}"), Allowance { tries: most * 2, within: HOUR }),
    ]
}

/// What a refusal is called on the page, and which page says more.
fn words(refusal: Refusal) -> (StatusCode, Mistake, Option<String>) {
    let mistake = |field, text: String| Mistake { field, text };
    match refusal {
        Refusal::NotYours => {
            let text = "This device cannot be activated from this account. If you hold its label, ask your supplier.";
            (StatusCode::CONFLICT, mistake("device", text.to_owned()), None)
        }
        Refusal::Active { activation, since } => {
            let since = activations::moment(since);
            let text = format!(
                "This device has been active since {since}. What you typed now was not sent; \
                 change an active device in your IoT Hub, or deactivate it first."
            );
            (StatusCode::CONFLICT, mistake("device", text), Some(activations::path(activation)))
        }
        Refusal::TooManyMisses { wait } => {
            let wait = minutes(wait.whole_seconds().unsigned_abs());
            let text =
                format!("Too many claim codes were wrong. Wait {wait}, and compare the code with the label.");
            (StatusCode::TOO_MANY_REQUESTS, mistake("claim", text), None)
        }
    }
}

pub(crate) fn minutes(seconds: u64) -> String {
    match seconds.div_ceil(60).max(1) {
        1 => "a minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    }
}

/// A mistake of the whole form.
fn whole(text: &str) -> Vec<Mistake> {
    vec![Mistake { field: "", text: text.to_owned() }]
}

fn unreadable(rejection: &FormRejection) -> Response {
    let status = rejection.status();
    let text = if status == StatusCode::PAYLOAD_TOO_LARGE {
        "This was more than the portal takes; metadata has at most 64 KB. Go back: your browser has kept the form."
    } else {
        "The portal could not read this form. Go back: your browser has kept what you typed."
    };
    page(status, &Message { account: None, title: "Not sent", text })
}
