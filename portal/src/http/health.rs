//! For supervisors: whether the portal lives, and whether it can save. The cloud is in neither.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;
use ledger::Status;
use web::Problem;

use crate::http::App;

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new().route("/livez", get(live)).route("/readyz", get(ready))
}

async fn live() -> &'static str {
    "ok\n"
}

async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, Problem> {
    match app.ledger.status() {
        Status::Open => Ok("ok\n"),
        Status::Full { why } => {
            let detail =
                format!("{why}; nothing new can be saved until there is, and then it goes on by itself");
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "storage-full", detail))
        }
        Status::Failed { .. } => {
            let detail = "storage has failed and nothing can be saved; the log says more";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "storage-failed", detail))
        }
    }
}
