//! The server's certificate is made anew while it is served: at two thirds of its life, without a restart.

use std::time::Duration;

use keys::Passphrase;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tracing::error;
use web::Tls;

use crate::{StartError, credentials::FloorCa, state_dir::StateDir};

/// How long at most until the clock is looked at again: somebody may set it, or the machine may sleep.
const LOOK: Duration = Duration::from_secs(3600);
/// How soon at the earliest: a certificate that cannot be renewed is tried again so often.
const AGAIN: Duration = Duration::from_secs(60);

/// What renews the server's certificate.
pub(crate) struct Renewal {
    pub(crate) state: StateDir,
    pub(crate) passphrase: Passphrase,
    pub(crate) names: Vec<String>,
    pub(crate) tls: Tls,
    pub(crate) clock: fn() -> OffsetDateTime,
}

impl Renewal {
    /// Renews until cancelled.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        let mut pause = Duration::ZERO;
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = match self.look() {
                Ok(left) => left.min(LOOK),
                Err(error) => {
                    error!(%error, "the server certificate could not be renewed; the old one is served on");
                    AGAIN
                }
            };
        }
    }

    /// Renews if it is time; says how long it is until then.
    fn look(&self) -> Result<Duration, StartError> {
        let floor = FloorCa { state: &self.state, passphrase: &self.passphrase, now: (self.clock)() };
        if let Some(left) = floor.until_renewal()? {
            return Ok(left);
        }
        floor.renew(&self.names, &self.tls)?;
        Ok(floor.until_renewal()?.unwrap_or(AGAIN))
    }
}
