//! Style sheet and script: inside the binary, so that a page needs nothing from anywhere else.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::header;

use crate::http::App;

const STYLE: &str = include_str!("../../assets/portal.css");
const FOLLOW: &str = include_str!("../../assets/follow.js");
const ICON: &str = include_str!("../../assets/icon.svg");

pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/assets/portal.css", get(|| async { asset("text/css; charset=utf-8", STYLE) }))
        .route("/assets/follow.js", get(|| async { asset("text/javascript; charset=utf-8", FOLLOW) }))
        .route("/assets/icon.svg", get(|| async { asset("image/svg+xml", ICON) }))
}

fn asset(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=300")], text)
}
