//! `GET /metrics`: how it stands, in numbers, for Prometheus (text format 0.0.4). Every name is told in `docs/metrics.md`.
//!
//! Nothing is remembered from one time to the next: what is asked for is read from where it is true. No label says who a
//! unit is, and there are no more values of a label than somebody has configured, enrolled or made a token for.

use std::collections::BTreeMap;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use cloud_sync::{LinkState, books};
use http::header;
use ledger::ReadError;
use time::OffsetDateTime;
use tracing::error;
use web::Problem;

use super::{Shared, health, now, unreadable};
use crate::{
    ca::{self, Listed},
    metrics::{FORMAT, Page},
};

pub(super) async fn metrics(State(floor): State<Shared>) -> Result<Response, Problem> {
    let mut page = Page::default();
    page.gauges(
        "edge_build_info",
        "The version of the program; always 1.",
        ["version"],
        [([env!("CARGO_PKG_VERSION")], 1.0)],
    );
    let ready = health::ready(State(floor.clone())).await.is_ok();
    page.gauge("edge_ready", "Whether units are issued now, as /readyz says.", truth(ready));
    floor.tally.tell(&mut page);
    let now = now();
    queue(&mut page, &floor, now).map_err(|error| unreadable(&error))?;
    sync(&mut page, &floor).map_err(|error| unreadable(&error))?;
    authorities(&mut page, &floor, now)?;
    clock(&mut page, &floor);
    let free = rustix::fs::statvfs(floor.state.ledger()).ok();
    page.gauge(
        "edge_storage_free_bytes",
        "Free space around the ledger.",
        free.map(|found| found.f_bavail.saturating_mul(found.f_frsize) as f64),
    );
    stations(&mut page, &floor).map_err(|error| unreadable(&error))?;
    Ok(([(header::CONTENT_TYPE, FORMAT), (header::CACHE_CONTROL, "no-store")], page.text()).into_response())
}

/// The books. They come from the ledger, so they hold over a crash, and always balance.
fn queue(page: &mut Page, floor: &Shared, now: OffsetDateTime) -> Result<(), ReadError> {
    let books = books::balance(&floor.ledger)?;
    let age = books::oldest(&floor.ledger)?.map_or(0.0, |since| (now - since).as_seconds_f64().max(0.0));
    page.gauges(
        "edge_queue_jobs",
        "Jobs for the cloud that are not done: to be told, or held for a person.",
        ["state"],
        [(["waiting"], books.waiting as f64), (["held"], books.held as f64)],
    );
    page.gauge(
        "edge_queue_oldest_job_age_seconds",
        "How long the oldest job has waited; 0 if none does.",
        age,
    );
    for (name, help, count) in [
        (
            "edge_queue_enqueued_total",
            "Jobs that there ever were; what was told and has drifted counts once more.",
            books.enqueued,
        ),
        ("edge_queue_completed_total", "Jobs that the cloud has accepted.", books.settled),
        (
            "edge_queue_dropped_total",
            "Jobs that a later one for the same unit replaced before they were told.",
            books.superseded,
        ),
    ] {
        page.counter(name, help, count.try_into().unwrap_or_default());
    }
    Ok(())
}

/// The way to the cloud; nothing of it where none is configured.
fn sync(page: &mut Page, floor: &Shared) -> Result<(), ReadError> {
    let Some((link, attempts)) = floor.lookout.link.as_ref().zip(floor.attempts.as_ref()) else {
        return Ok(());
    };
    let (link, attempts) = (link.borrow().clone(), attempts.borrow().clone());
    let tried = link.state != LinkState::Unknown;
    page.gauge(
        "edge_link_up",
        "Whether the last answer came from DPS.",
        tried.then(|| truth(link.state == LinkState::Up)),
    );
    page.gauge(
        "edge_link_since_timestamp_seconds",
        "Since when the link is up, or is down for this cause.",
        tried.then(|| seconds(link.since)),
    );
    let failed = attempts.failed.iter().map(|(cause, count)| (["failed", cause.code()], *count));
    page.counters(
        "edge_sync_attempts_total",
        "Requests to DPS since the start, and how they ended.",
        ["outcome", "code"],
        failed.chain([(["answered", "none"], attempts.answered)]),
    );
    page.gauge(
        "edge_sync_last_success_timestamp_seconds",
        "When DPS answered last, since the start.",
        attempts.last_answer.map(seconds),
    );
    page.counter(
        "edge_dps_throttled_total",
        "Requests since the start that DPS answered with a request for patience (429).",
        attempts.throttled(),
    );
    page.gauge(
        "edge_sync_budget_units_per_second",
        "How many units a second are told while the link is up.",
        f64::from(link.per_minute) / 60.0,
    );
    let paused = books::paused(&floor.ledger)?.is_some();
    page.gauge("edge_sync_paused", "Whether a person wants nothing to be sent.", truth(paused));
    page.gauge(
        "edge_clock_offset_seconds",
        "How far the clock of DPS is ahead of ours, as its last answer said.",
        link.skew.map(|skew| skew.as_seconds_f64()),
    );
    Ok(())
}

/// When what signs comes to its end.
fn authorities(page: &mut Page, floor: &Shared, now: OffsetDateTime) -> Result<(), Problem> {
    let listed = ca::list(&floor.state, now).map_err(|error| {
        error!(%error, "the certificates of this box cannot be read");
        Problem::internal()
    })?;
    let mut ends = BTreeMap::new();
    for Listed { role, not_after, .. } in listed {
        let name = match role {
            "root" | "issuing" | "floor" => role,
            "above issuing" => "intermediate",
            // Those that gave way sign nothing, and the others are no CA and are renewed by themselves.
            _ => continue,
        };
        let end = ends.entry(name).or_insert(not_after);
        *end = not_after.min(*end);
    }
    page.gauges(
        "edge_ca_certificate_expiry_timestamp_seconds",
        "When the certificate of a CA ends.",
        ["ca"],
        ends.into_iter().map(|(name, end)| ([name], seconds(end))),
    );
    Ok(())
}

fn clock(page: &mut Page, floor: &Shared) {
    page.gauge(
        "edge_clock_synchronized",
        "Whether a time server has set the clock since the machine was booted.",
        truth(floor.clock.synchronised()),
    );
    page.gauge(
        "edge_clock_believed",
        "Whether the clock is believed; nothing is issued while it is not, unless the policy is to mark it.",
        truth(floor.clock.check().is_ok()),
    );
}

fn stations(page: &mut Page, floor: &Shared) -> Result<(), ReadError> {
    let heard = floor.usage.stations(&floor.ledger)?;
    page.gauges(
        "edge_station_last_seen_timestamp_seconds",
        "When a station was heard last.",
        ["station"],
        heard.iter().map(|(name, at)| ([name.as_str()], seconds(*at))),
    );
    Ok(())
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn seconds(at: OffsetDateTime) -> f64 {
    at.unix_timestamp() as f64
}
