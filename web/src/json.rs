//! JSON in and out; what is not JSON is a problem that says so.

use std::{fmt, marker::PhantomData};

use axum::{
    extract::{FromRequest, Request, rejection::JsonRejection},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};

use tracing::error;

use crate::problem::Problem;

/// How many bytes an answer is expected to take.
const ROOM: usize = 4096;

/// A JSON body. As an extractor it answers 400, 413, 415 or 422 by itself.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(problem(&rejection)),
        }
    }
}

/// A JSON object, as the fields of `T`. As an extractor it answers as [`Json`] does, and refuses an array, which that would
/// take for the fields in their order.
#[derive(Debug, Clone, Copy)]
pub struct Object<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Object<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(Fields(value)) = Json::from_request(request, state).await?;
        Ok(Self(value))
    }
}

/// Fields by their names, and nothing else.
struct Fields<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Fields<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields))
            }
        }

        deserializer.deserialize_map(Object(PhantomData)).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        // Room for what is told about a unit: a buffer that grows is copied each time.
        let mut json = Vec::with_capacity(ROOM);
        match serde_json::to_writer(&mut json, &self.0) {
            Ok(()) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
            Err(error) => {
                error!(%error, "an answer cannot be written as JSON");
                Problem::internal().into_response()
            }
        }
    }
}

fn problem(rejection: &JsonRejection) -> Problem {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = "the body is larger than this address takes; send less";
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            let detail = "send the body with Content-Type: application/json";
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", detail)
        }
        _ if matches!(rejection, JsonRejection::JsonDataError(_)) => unexpected(&cause(rejection)),
        status => {
            Problem::new(status, "json-malformed", format!("the body is not JSON: {}", cause(rejection)))
        }
    }
}

fn unexpected(cause: &str) -> Problem {
    let detail = format!("the JSON is not what is expected here: {cause}");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "json-unexpected", detail)
}

/// What the parser said, without what the framework wraps around it.
fn cause(rejection: &JsonRejection) -> String {
    let mut cause: &dyn std::error::Error = rejection;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
