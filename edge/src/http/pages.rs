//! The pages: served whole, with our own style and script, and nothing from anywhere else.

use axum::{
    extract::Path,
    response::{Html, IntoResponse, Redirect, Response},
};
use http::header;
use web::Problem;

const BOARD: &str = include_str!("../../assets/board.html");
const ASSETS: [(&str, &str, &str); 4] = [
    ("board.css", "text/css; charset=utf-8", include_str!("../../assets/board.css")),
    ("board.js", "text/javascript; charset=utf-8", include_str!("../../assets/board.js")),
    ("feed.js", "text/javascript; charset=utf-8", include_str!("../../assets/feed.js")),
    ("pair.js", "text/javascript; charset=utf-8", include_str!("../../assets/pair.js")),
];

pub(super) async fn start() -> Redirect {
    Redirect::to("/board")
}

pub(super) async fn board() -> Html<&'static str> {
    Html(BOARD)
}

pub(super) async fn asset(Path(name): Path<String>) -> Result<Response, Problem> {
    let found = ASSETS.iter().find(|(known, ..)| *known == name);
    let (_, kind, text) = found.ok_or_else(Problem::not_found)?;
    // A screen that reconnects after an update must not mix old and new.
    Ok(([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "no-cache")], *text).into_response())
}
