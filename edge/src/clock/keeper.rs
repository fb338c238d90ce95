//! Keeps the highest time on record, rarely, and tells when the clock is doubted and when no longer.

use std::time::Duration;

use ledger::{Decision, Ledger, Stamp, View};
use time::{Duration as Span, OffsetDateTime};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Clock;
use crate::EdgeEvent;

/// How often the clock is looked at while nobody asks for anything.
const LOOK: Duration = Duration::from_secs(60);
/// By how much the highest time has to have risen for it to be written down; far less than what a clock may be behind.
const STEP: Span = Span::HOUR;

/// Looks at the clock from time to time.
pub(crate) struct Keeper {
    pub(crate) clock: Clock,
    pub(crate) ledger: Ledger<EdgeEvent>,
}

impl Keeper {
    /// Works until cancelled.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        let mut doubted = false;
        let mut kept = super::highest(&self.ledger).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        while cancel.run_until_cancelled(look.tick()).await.is_some() {
            match self.clock.check() {
                Ok(at) => {
                    if std::mem::take(&mut doubted) {
                        info!("the clock is believed again");
                    }
                    if at - kept >= STEP && self.keep(at).await {
                        kept = at;
                    }
                }
                Err(doubt) => {
                    if !std::mem::replace(&mut doubted, true) {
                        warn!(why = %doubt, "the clock is not believed");
                    }
                }
            }
        }
    }

    async fn keep(&self, at: OffsetDateTime) -> bool {
        let decide =
            |_: &View<'_>| Ok::<_, ()>(Decision { events: vec![EdgeEvent::ClockSeen {}], answer: () });
        let stamp = Stamp { at, actor: "clock".to_owned() };
        let kept = self.ledger.commit(stamp, decide).await;
        if let Err(why) = &kept {
            error!(?why, "the time could not be written down");
        }
        kept.is_ok()
    }
}
