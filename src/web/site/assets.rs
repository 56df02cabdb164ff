//! The files of the pages, which are a part of the program.

use crate::timeline;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use siphasher::sip::SipHasher13;
use std::hash::Hasher;
use std::sync::LazyLock;

/// The style sheet of the pages, and that of drawings.
static STYLE: LazyLock<String> = LazyLock::new(|| format!("{}\n{}\n", include_str!("style.css"), timeline::STYLE));
const SCRIPT: &str = include_str!("app.js");
const ICON: &str = include_str!("icon.svg");

/// Serves the style sheet.
pub async fn style(headers: HeaderMap) -> Response {
    file(&headers, "text/css; charset=utf-8", &STYLE)
}

/// Serves the script.
pub async fn script(headers: HeaderMap) -> Response {
    file(&headers, "text/javascript; charset=utf-8", SCRIPT)
}

/// Serves the icon that browsers show in the tab.
pub async fn icon(headers: HeaderMap) -> Response {
    file(&headers, "image/svg+xml", ICON)
}

/// A file that browsers may keep as long as it stays the same.
fn file(headers: &HeaderMap, kind: &'static str, text: &'static str) -> Response {
    let mut hasher = SipHasher13::new();
    hasher.write(text.as_bytes());
    let tag = format!("\"{:016x}\"", hasher.finish());
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let about = [(header::ETAG, tag), (header::CACHE_CONTROL, "no-cache".to_owned())];
    if is_known {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    (about, [(header::CONTENT_TYPE, kind)], text).into_response()
}
