//! What programs fetch: metrics and the calendar of coming runs.

use super::app::Shared;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// The metrics as OpenMetrics text.
pub async fn metrics(State(_app): State<Shared>) -> Response {
    (StatusCode::NOT_IMPLEMENTED, "metrics are not a part of this build\n").into_response()
}

/// The coming runs as iCalendar.
pub async fn calendar(State(_app): State<Shared>) -> Response {
    (StatusCode::NOT_IMPLEMENTED, "the calendar is not a part of this build\n").into_response()
}
