//! What became of the requests of an account: as a page, and as JSON at the same address.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use azure_iot::RegistrationId;
use cloud_sync::{State as Standing, books};
use http::{HeaderMap, StatusCode, header};
use ledger::ReadError;
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;
use tracing::error;
use uuid::Uuid;
use web::{Json, Problem};

use crate::account::AccountName;
use crate::event::{Activation, End, PortalEvent, Request, activation_key, mine_prefix};
use crate::http::App;
use crate::http::forms::text;
use crate::http::pages::{self, Activations, Draft, Line, Message, page};
use crate::http::session::SignedIn;
use crate::reason::Reason;
use crate::status::{Status, status};
use crate::{metadata, now};

/// How many requests the list shows.
const LINES: usize = 50;

/// The JSON that the page follows, and that a program may read.
#[derive(Serialize)]
struct Told<'a> {
    activation: Uuid,
    device: &'a RegistrationId,
    hub: &'a str,
    #[serde(flatten)]
    status: Status,
    turn_words: &'static str,
    ended: String,
    looked: String,
    /// That the device is to be taken out of service, or is.
    #[serde(skip_serializing_if = "Option::is_none")]
    deactivation: Option<Ending<'a>>,
}

/// Who wants a device taken out of service, and why.
#[derive(Serialize)]
struct Ending<'a> {
    deactivation: Uuid,
    account: &'a AccountName,
    reason: &'a Reason,
    #[serde(with = "time::serde::rfc3339")]
    saved_at: OffsetDateTime,
}

impl<'a> From<&'a End> for Ending<'a> {
    fn from(end: &'a End) -> Self {
        Self { deactivation: end.deactivation, account: &end.account, reason: &end.reason, saved_at: end.at }
    }
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    somebody: SignedIn,
    headers: HeaderMap,
    activation: Result<Path<Uuid>, axum::extract::rejection::PathRejection>,
) -> Response {
    let json = wants_json(&headers);
    let found = match activation {
        Ok(Path(activation)) => match look(&app, &somebody.account, activation) {
            Ok(found) => found.map(|(record, status)| (activation, record, status)),
            Err(why) => {
                error!(%why, "a request cannot be read");
                return Problem::internal().into_response();
            }
        },
        Err(_) => None,
    };
    // Somebody else's request looks exactly like one that never was.
    let Some((activation, record, status)) = found else { return nothing(&somebody, json) };
    let ended = status.ended_at.map(moment).unwrap_or_default();
    let looked = moment(now());
    if json {
        let (device, hub, turn_words) = (&record.id, record.hub.as_str(), status.turn.words());
        let deactivation = record.end.as_ref().map(Ending::from);
        let told = Told { activation, device, hub, status, turn_words, ended, looked, deactivation };
        return Json(told).into_response();
    }
    let account = somebody.account.to_string();
    let shown = pages::Activation {
        account: Some(&account),
        token: &app.tokens.token(&somebody.browser),
        path: path(activation),
        code: activation.to_string(),
        device: record.id.to_string(),
        hub: &record.hub,
        status: &status,
        end: record.end.as_ref().map(|end| pages::End {
            saved: moment(end.at),
            account: end.account.to_string(),
            reason: end.reason.to_string(),
        }),
        saved: moment(record.at),
        ended,
        looked,
    };
    page(StatusCode::OK, &shown)
}

pub(crate) async fn list(State(app): State<Arc<App>>, somebody: SignedIn) -> Response {
    match lines(&app, &somebody.account) {
        Ok(lines) => {
            let account = somebody.account.to_string();
            let token = app.tokens.token(&somebody.browser);
            page(StatusCode::OK, &Activations { account: Some(&account), token: &token, lines })
        }
        Err(why) => {
            error!(%why, "the requests of an account cannot be read");
            Problem::internal().into_response()
        }
    }
}

fn lines(app: &App, account: &AccountName) -> Result<Vec<Line>, ReadError> {
    let mut lines = Vec::new();
    for (_, activation) in app.ledger.scan::<Uuid>(&mine_prefix(account), None, LINES)? {
        if let Some((record, status)) = look(app, account, activation)? {
            lines.push(Line {
                path: path(activation),
                device: record.id.to_string(),
                saved: moment(record.at),
                headline: status.headline,
                phase: pages::phase(status.phase),
            });
        }
    }
    Ok(lines)
}

/// A request of this account, and where it stands.
fn look(
    app: &App,
    account: &AccountName,
    activation: Uuid,
) -> Result<Option<(Activation, Status)>, ReadError> {
    let record: Option<Activation> = app.ledger.get(&activation_key(activation))?;
    let Some(record) = record.filter(|record| record.account == *account) else { return Ok(None) };
    let standing = standing(app, &record.id)?;
    let status = status(&record, standing.as_ref(), app.link().as_ref(), now());
    Ok(Some((record, status)))
}

/// Where a device stands with the cloud.
pub(crate) fn standing(app: &App, id: &RegistrationId) -> Result<Option<Standing>, ReadError> {
    Ok(books::committed(&app.ledger, id)?.map(|standing| standing.state))
}

/// Everything that was typed for the request `record`, which is `activation`.
pub(crate) fn asked_for(
    app: &App,
    record: &Activation,
    activation: Uuid,
) -> Result<Option<Request>, ReadError> {
    let entry = app.ledger.entry(&record.frame)?;
    Ok(entry.events.into_iter().find_map(|event| match event {
        PortalEvent::ActivationRequested(request) if request.activation == activation => Some(request),
        _ => None,
    }))
}

/// What was typed for a request of this account, without the claim code, to try again.
pub(crate) fn draft(app: &App, account: &AccountName, activation: Uuid) -> Option<Draft> {
    let record: Activation = app.ledger.get(&activation_key(activation)).ok()??;
    if record.account != *account {
        return None;
    }
    let request = asked_for(app, &record, activation).ok()??;
    Some(Draft {
        device: request.id.to_string(),
        claim: String::new(),
        metadata: metadata::text(&request.twin),
        hub: request.hub,
    })
}

/// The page of a request.
pub(crate) fn path(activation: Uuid) -> String {
    format!("/activations/{activation}")
}

/// A moment as people read it.
pub(crate) fn moment(at: OffsetDateTime) -> String {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
    at.to_offset(time::UtcOffset::UTC).format(form).unwrap_or_default()
}

/// Whether a program asks, rather than a person.
pub(crate) fn wants_json(headers: &HeaderMap) -> bool {
    text(headers, &header::ACCEPT).is_some_and(|accept| accept.contains("application/json"))
}

/// What is answered about a request that is not one of this account.
pub(crate) fn nothing(somebody: &SignedIn, json: bool) -> Response {
    if json {
        return Problem::not_found().into_response();
    }
    let account = somebody.account.to_string();
    let text = "There is no such request under your account. Your requests are under “My requests”.";
    page(StatusCode::NOT_FOUND, &Message { account: Some(&account), title: "Not found", text })
}
