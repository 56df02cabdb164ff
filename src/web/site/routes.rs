//! The addresses of the pages, and what answers them.

use super::address::{Named, PageQuery};
use super::app::{Shared, Transport};
use super::backend::{Backend, PageError};
use super::guard::{guard, may_sign_in};
use super::page;
use super::redirect_file::RedirectFile;
use super::{actions, assets, check, exports, fleet, job, jobs, live, overview, run, timeline};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// The redirect file, until it has been used.
type Redirect = Arc<Mutex<Option<RedirectFile>>>;

/// All routes, behind the guard.
pub fn router(app: Shared, redirect: Option<RedirectFile>) -> Router {
    let redirect: Redirect = Arc::new(Mutex::new(redirect));
    let open =
        move |State(app): State<Shared>, method: Method, headers: HeaderMap, PageQuery(token): PageQuery<Token>| {
            let redirect = Arc::clone(&redirect);
            async move { sign_in(&app, &method, &headers, &token, &redirect) }
        };
    Router::new()
        .route("/", get(overview_page))
        .route("/jobs", get(jobs_page))
        .route("/job/{job}", get(job_page))
        .route("/run/{run}", get(run_page))
        .route("/run/{run}/output", get(live::output))
        .route("/events", get(live::events))
        .route("/timeline", get(timeline_page))
        .route("/check", get(check_page))
        .route("/fleet", get(fleet_page))
        .route("/metrics", get(exports::metrics))
        .route("/calendar.ics", get(exports::calendar))
        .route("/api/run", post(actions::run))
        .route("/api/pause", post(actions::pause))
        .route("/api/resume", post(actions::resume))
        .route("/api/kill", post(actions::kill))
        .route("/api/check", post(actions::check_line))
        .route("/open", get(open))
        .route("/healthz", get(health))
        .route("/style.css", get(assets::style))
        .route("/app.js", get(assets::script))
        .route("/icon.svg", get(assets::icon))
        .route("/favicon.ico", get(assets::icon))
        .fallback(not_found)
        .layer(from_fn_with_state(Arc::clone(&app), guard))
        .with_state(app)
}

#[derive(Debug, Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
}

/// Gives a cookie for the one-time token. The address that follows has no secret.
fn sign_in(app: &Shared, method: &Method, headers: &HeaderMap, given: &Token, redirect: &Redirect) -> Response {
    let cookie = match &app.transport {
        Transport::Loopback { port, session } if may_sign_in(*port, session, method, headers) => {
            session.redeem(&given.token)
        }
        Transport::Loopback { .. } | Transport::Unix { .. } => None,
    };
    match cookie {
        Some(cookie) => {
            drop(redirect.lock().unwrap_or_else(PoisonError::into_inner).take());
            (StatusCode::SEE_OTHER, [(header::SET_COOKIE, cookie), (header::LOCATION, "/".to_owned())]).into_response()
        }
        None => {
            let text = "This address has been used, or is not the one that cronctl web has printed. Start cronctl web again to get a new one.";
            (
                StatusCode::UNAUTHORIZED,
                axum::response::Html(page::plain_error(app, "Not signed in", text).into_string()),
            )
                .into_response()
        }
    }
}

async fn overview_page(State(app): State<Shared>) -> Response {
    let page = app.ask(overview::page).await;
    page::respond(&app, page)
}

async fn jobs_page(State(app): State<Shared>, PageQuery(search): PageQuery<jobs::Search>) -> Response {
    let page = app.ask(move |app, daemon| jobs::page(app, daemon, &search)).await;
    page::respond(&app, page)
}

#[derive(Debug, Deserialize)]
struct RunsPosition {
    before: Option<u64>,
}

async fn job_page(
    State(app): State<Shared>,
    Named(name): Named<String>,
    PageQuery(page): PageQuery<RunsPosition>,
) -> Response {
    let page = app.ask(move |app, daemon| job::page(app, daemon, &name, page.before)).await;
    page::respond(&app, page)
}

async fn run_page(State(app): State<Shared>, Named(number): Named<String>) -> Response {
    let page = match number.parse() {
        Ok(number) => app.ask(move |app, daemon| run::page(app, daemon, number)).await,
        Err(_) => Err(PageError::NotFound("expected the number of a run".to_owned())),
    };
    page::respond(&app, page)
}

async fn timeline_page(State(app): State<Shared>, PageQuery(choice): PageQuery<timeline::Choice>) -> Response {
    let page = app.ask(move |app, daemon| timeline::page(app, daemon, &choice)).await;
    page::respond(&app, page)
}

async fn check_page(State(app): State<Shared>) -> Response {
    let page = app.ask(|_, daemon| ping(daemon)).await.map(|()| check::page());
    page::respond(&app, page)
}

/// Whether the daemon answers, for monitoring.
async fn health(State(app): State<Shared>) -> Response {
    let answer = app.ask_shortly(|_, daemon| ping(daemon)).await;
    match answer {
        Ok(()) => (StatusCode::OK, "ok\n").into_response(),
        Err(fault) => (StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")).into_response(),
    }
}

fn ping(daemon: &mut Backend) -> Result<(), PageError> {
    daemon.get_info().map(|_: Value| ())
}

async fn fleet_page(State(app): State<Shared>) -> Response {
    let page = app.ask(fleet::page).await;
    page::respond(&app, page)
}

async fn not_found(State(app): State<Shared>) -> Response {
    page::respond(&app, Err(PageError::NotFound("there is no such page".to_owned())))
}
