//! The live feed: `hello`, a `snapshot`, `delta`s, and a heartbeat, so that silence means trouble.
//!
//! Only the newest board is kept for a client, however slow it is; one that takes nothing for a while is let go.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::Response,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::{interval, timeout};
use web::Problem;

use crate::{
    board::{Board, CloudView, Line},
    http::{Shared, now},
};

/// The version of these messages.
const PROTOCOL: u32 = 1;
/// A screen that hears nothing for three of these knows that something is wrong.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long a message may take to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum FeedMessage<'a> {
    Hello { proto: u32, boot_id: String, build: &'a str, server_time: String },
    Snapshot { seq: u64, server_time: String, lines: &'a [Line], cloud: &'a CloudView },
    Delta { seq: u64, server_time: String, lines: Vec<&'a Line>, cloud: Option<&'a CloudView> },
    Heartbeat { seq: u64, server_time: String },
}

pub(crate) async fn feed(
    State(floor): State<Shared>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    own_origin(&headers)?;
    let upgrade = upgrade.map_err(|_| {
        Problem::new(StatusCode::UPGRADE_REQUIRED, "websocket-required", "this address speaks WebSocket only")
    })?;
    // What a screen sends is of no interest, and so must not be long.
    Ok(upgrade.max_message_size(1024).on_upgrade(move |socket| serve(socket, floor)))
}

/// A page of another site must not read the feed with the cookie of a paired screen.
pub(crate) fn own_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    if host.is_some() && origin.as_bytes().strip_prefix(b"https://") == host {
        return Ok(());
    }
    let detail = "a page of another site asks for the feed; open the board from this appliance";
    Err(Problem::new(StatusCode::FORBIDDEN, "foreign-origin", detail))
}

async fn serve(mut socket: WebSocket, floor: Shared) {
    let _screen = floor.tally.screen();
    let mut boards = floor.board.clone();
    let mut shown = boards.borrow_and_update().clone();
    let build = env!("CARGO_PKG_VERSION");
    let hello = FeedMessage::Hello {
        proto: PROTOCOL,
        boot_id: floor.boot_id.to_string(),
        build,
        server_time: text(now()),
    };
    let snapshot = FeedMessage::Snapshot {
        seq: shown.seq,
        server_time: text(now()),
        lines: &shown.lines,
        cloud: &shown.cloud,
    };
    if !send(&mut socket, &hello).await || !send(&mut socket, &snapshot).await {
        return;
    }
    let mut heartbeat = interval(HEARTBEAT);
    loop {
        let alive = tokio::select! {
            change = boards.changed() => {
                if change.is_err() {
                    return;
                }
                let board = boards.borrow_and_update().clone();
                let sent = send(&mut socket, &delta(&shown, &board)).await;
                shown = board;
                sent
            }
            _ = heartbeat.tick() => {
                send(&mut socket, &FeedMessage::Heartbeat { seq: shown.seq, server_time: text(now()) }).await
            }
            heard = socket.recv() => matches!(heard, Some(Ok(message)) if !matches!(message, Message::Close(_))),
        };
        if !alive {
            return;
        }
    }
}

/// What changed, with absolute values: a client that missed one is right again with the next.
fn delta<'a>(before: &Arc<Board>, after: &'a Arc<Board>) -> FeedMessage<'a> {
    let lines = after.lines.iter().filter(|line| !before.lines.contains(line)).collect();
    let cloud = (before.cloud != after.cloud).then_some(&after.cloud);
    FeedMessage::Delta { seq: after.seq, server_time: text(after.at), lines, cloud }
}

async fn send(socket: &mut WebSocket, message: &FeedMessage<'_>) -> bool {
    let text = serde_json::to_string(message).expect("a message is plain data");
    matches!(timeout(PATIENCE, socket.send(Message::text(text))).await, Ok(Ok(())))
}

fn text(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_the_address_that_was_called_gets_the_feed() {
        let own = |host: Option<&str>, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            host.map(|host| headers.insert(header::HOST, host.parse().unwrap()));
            origin.map(|origin| headers.insert(header::ORIGIN, origin.parse().unwrap()));
            own_origin(&headers).is_ok()
        };
        assert!(own(Some("box:8443"), Some("https://box:8443")));
        // A program, not a page.
        assert!(own(Some("box:8443"), None));
        assert!(!own(Some("box:8443"), Some("https://box")));
        assert!(!own(Some("box:8443"), Some("http://box:8443")));
        assert!(!own(Some("box"), Some("https://box:8443")));
        assert!(!own(None, Some("https://")));
        assert!(!own(Some("b\u{f6}x"), Some("https://")));
    }
}
