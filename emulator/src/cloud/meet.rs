//! A request that meets its fate: what its sender gets to see.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    Cloud,
    http::{Request, Response},
};
use crate::weather::Fate;

/// What the sender of a request sees.
#[derive(Debug, Clone, PartialEq)]
pub enum Met {
    /// An answer.
    Answer(Response),
    /// An answer that comes a byte a second.
    Dripping(Response),
    /// An answer whose body ends in the middle.
    Truncated(Response),
    /// A login page of somebody else.
    LoginPage,
    /// A broken connection.
    Broken,
    /// Nothing, for ever.
    Silence,
}

impl Cloud {
    /// Lets `request` meet its fate. A delay is the shell's business.
    pub fn meet(&mut self, now: OffsetDateTime, request: &Request, fate: Fate) -> Met {
        match fate {
            Fate::Served | Fate::Delayed(_) => Met::Answer(self.handle(now, request)),
            Fate::Refused { status, retry_after } => {
                Met::Answer(self.weather(now, request, status, retry_after))
            }
            Fate::Lost => Met::Broken,
            Fate::ReplyLost => {
                self.handle(now, request);
                self.seen.back_mut().expect("it was just asked").lost = true;
                Met::Broken
            }
            Fate::Hangs => Met::Silence,
            Fate::Dripping => Met::Dripping(self.handle(now, request)),
            Fate::Truncated => Met::Truncated(self.handle(now, request)),
            Fate::WrongThumbprint => {
                let mut response = self.handle(now, request);
                let shown = "/attestation/x509/clientCertificates/primary/info/sha256Thumbprint";
                if request.method == "PUT"
                    && let Some(thumbprint) = response.body.as_mut().and_then(|body| body.pointer_mut(shown))
                {
                    *thumbprint = json!("0".repeat(64));
                }
                Met::Answer(response)
            }
            Fate::Contended => {
                let response = self.handle(now, request);
                let read = response.body.as_ref().and_then(|body| body.get("registrationId"));
                if let ("GET", Some(id)) = (request.method.as_str(), read.and_then(Value::as_str)) {
                    self.act_as_portal(now, id, |_| {});
                }
                Met::Answer(response)
            }
            Fate::Captive => Met::LoginPage,
        }
    }
}
