//! The portal's pages.
//!
//! Every page but the login needs an account ([`session::SignedIn`]); every form needs the right origin and a token
//! ([`forms`]).

mod activate;
mod activations;
mod assets;
mod deactivate;
mod forms;
mod health;
mod login;
mod pages;
mod session;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use cloud_sync::{Link, LinkState};
use http::{HeaderValue, header};
use ledger::Ledger;
use time::OffsetDateTime;
use tokio::sync::watch;
use tower_http::set_header::SetResponseHeaderLayer;
use web::Limits;

use crate::attempts::{Allowance, Attempts};
use crate::config::{self, Config};
use crate::event::PortalEvent;
use crate::http::forms::Tokens;
use crate::password::Doorkeeper;
use crate::portal::StartError;
use crate::seal::Seal;

/// 64 KiB of metadata, every character of which the browser may write as three.
const LARGEST_FORM: usize = 256 << 10;

/// What the pages work with.
struct App {
    ledger: Ledger<PortalEvent>,
    link: Option<watch::Receiver<Link>>,
    seal: Arc<Seal>,
    doorkeeper: Doorkeeper,
    tokens: Tokens,
    attempts: Mutex<Attempts>,
    limits: config::Limits,
    hubs: Vec<String>,
    origin: Option<String>,
}

impl App {
    fn link(&self) -> Option<LinkState> {
        self.link.as_ref().map(|link| link.borrow().state.clone())
    }

    /// Counts a try under every key, or says how long to wait.
    fn count(&self, tries: &[(String, Allowance)], now: OffsetDateTime) -> Result<(), std::time::Duration> {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        tries.iter().try_for_each(|(key, allowance)| attempts.count(key, *allowance, now))
    }

    fn forgive(&self, key: &str) {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clear(key);
    }
}

/// The portal's routes, and what one client may take of it.
pub(crate) fn router(
    ledger: Ledger<PortalEvent>,
    link: Option<watch::Receiver<Link>>,
    seal: Arc<Seal>,
    config: &Config,
) -> Result<(Router, Limits), StartError> {
    let app = Arc::new(App {
        ledger,
        link,
        seal,
        doorkeeper: Doorkeeper::new(&random()?)?,
        tokens: Tokens::new(&random()?),
        attempts: Mutex::default(),
        limits: config.limits.clone(),
        hubs: config.hubs.clone(),
        origin: config.listen.origin.clone(),
    });
    let router = Router::new()
        .route("/", get(activate::home))
        .route("/login", get(login::show).post(login::sign_in))
        .route("/logout", post(login::sign_out))
        .route("/activate", get(activate::show).post(activate::request))
        .route("/activations", get(activations::list))
        .route("/activations/{activation}", get(activations::show))
        .route("/activations/{activation}/deactivate", get(deactivate::show).post(deactivate::request))
        .layer(middleware::from_fn_with_state(app.clone(), forms::same_origin))
        .layer(session::layer(app.limits.session))
        // What a person typed or may see stays out of every cache.
        .layer(SetResponseHeaderLayer::overriding(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .merge(assets::router())
        .merge(health::router())
        .with_state(app);
    Ok((router, Limits { body: LARGEST_FORM, ..Limits::default() }))
}

fn random() -> Result<[u8; 16], StartError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| StartError::Random)?;
    Ok(bytes)
}
