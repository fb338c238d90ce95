//! The shell around [`Errands`]: brings the time and DPS's answers to them, and gives up when nothing moves any more.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use time::OffsetDateTime;
use tokio::task::{JoinError, JoinSet};

use super::errands::{ErrandError, Errands, Step};
use crate::{
    answer::{Answer, Trouble},
    cloud::Cloud,
};

/// What came of a request, with its number.
type Answered = (u64, Result<Answer, Trouble>);

/// How a walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// Every job was told, or the box lives on elsewhere and none may be.
    Done,
    /// Nothing has moved for so long, or somebody stopped it: some jobs were not told.
    GivenUp,
}

/// Does the errands until they are done, until nothing was settled for as long as `patience`, or until `stop`.
pub async fn walk(
    errands: &mut Errands,
    cloud: &Cloud,
    patience: Duration,
    stop: impl Future<Output = ()>,
) -> Result<Walk, ErrandError> {
    let (started, _) = now();
    let mut asking: JoinSet<Answered> = JoinSet::new();
    let mut stop = pin!(stop);
    let (mut waiting, mut moved) = (errands.books()?.waiting, Duration::ZERO);
    loop {
        let (instant, at) = now();
        let elapsed = instant - started;
        let rest = match errands.next(elapsed, at)? {
            Step::Done => return Ok(Walk::Done),
            Step::Ask(number, call) => {
                let cloud = cloud.clone();
                asking.spawn(async move { (number, cloud.call(&call, at).await) });
                continue;
            }
            Step::Rest(rest) => rest,
        };
        let still = errands.books()?.waiting;
        if still < waiting {
            (waiting, moved) = (still, elapsed);
        }
        let Some(left) = (moved + patience).checked_sub(elapsed).filter(|left| !left.is_zero()) else {
            return Ok(Walk::GivenUp);
        };
        tokio::select! {
            () = &mut stop => return Ok(Walk::GivenUp),
            Some(answered) = asking.join_next() => hear(errands, now().0 - started, answered),
            () = tokio::time::sleep(rest.map_or(left, |rest| rest.min(left))) => {}
        }
    }
}

fn hear(errands: &mut Errands, now: Duration, answered: Result<Answered, JoinError>) {
    match answered {
        Ok((number, result)) => errands.heard(now, number, result),
        // A panic in a request is one of the courier.
        Err(ended) => {
            if let Ok(panic) = ended.try_into_panic() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the courier's walk is a shell: here the time comes in")]
fn now() -> (Instant, OffsetDateTime) {
    (Instant::now(), OffsetDateTime::now_utc())
}
