//! The one door to `reqwest`: the command line's way to the daemon, over its socket.

use std::path::Path;

use reqwest::{Client, Method, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::Failure;

/// A daemon.
pub(super) struct Daemon {
    client: Client,
    socket: String,
}

impl Daemon {
    /// The daemon whose state folder this is.
    pub(super) fn of(state: &Path) -> Result<Self, Failure> {
        let socket = state.join("edge.sock");
        let client =
            Client::builder().unix_socket(socket.as_path()).no_proxy().build().map_err(Failure::failed)?;
        Ok(Self { client, socket: socket.display().to_string() })
    }

    /// Asks for something.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let answer = self.ask(Method::GET, path, None::<&()>).await?;
        serde_json::from_value(answer).map_err(Failure::failed)
    }

    /// Asks for something to be made.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let answer = self.ask(Method::POST, path, Some(body)).await?;
        serde_json::from_value(answer).map_err(Failure::failed)
    }

    /// Asks for something to be removed.
    pub(super) async fn delete(&self, path: &str) -> Result<(), Failure> {
        self.ask(Method::DELETE, path, None::<&()>).await.map(drop)
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&impl Serialize>) -> Result<Value, Failure> {
        let mut request = self.client.request(method, format!("http://edge{path}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|_| {
            Failure::unreachable(format!(
                "no daemon answers at {}; start it with: edge run --config FILE, or name its folder with --state",
                self.socket
            ))
        })?;
        let status = response.status();
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let answer: Value = response.json().await.map_err(Failure::failed)?;
        if status.is_success() {
            return Ok(answer);
        }
        let detail = answer.get("detail").and_then(Value::as_str).unwrap_or("the daemon refuses");
        Err(Failure::refused(status.as_u16(), detail))
    }
}
