//! What handlers read of the address of a request.

use super::app::Shared;
use super::backend::PageError;
use super::page;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::response::Response;
use serde::de::DeserializeOwned;

/// The part of an address behind `?`. What cannot be read is answered with a page.
pub struct PageQuery<T>(pub T);

/// The variable part of a path, likewise.
pub struct Named<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Shared> for PageQuery<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Response> {
        let read = Query::from_request_parts(parts, app).await;
        read.map(|Query(asked)| PageQuery(asked)).map_err(|_| {
            page::respond(
                app,
                Err(PageError::Wrong("the part of the address behind ? has a value that is not known".to_owned())),
            )
        })
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for Named<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Response> {
        let read = Path::from_request_parts(parts, app).await;
        read.map(|Path(named)| Named(named)).map_err(|_| {
            page::respond(
                app,
                Err(PageError::Wrong(
                    "the path of the address is not the name of a job or the number of a run".to_owned(),
                )),
            )
        })
    }
}
