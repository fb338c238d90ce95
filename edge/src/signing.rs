//! How many units may be in the making at a time: who comes beyond that is told at once, before anything is signed.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use web::Problem;

/// When to ask again; a unit takes far less.
const AGAIN: Duration = Duration::from_secs(1);

/// The places in which units are made.
#[derive(Debug, Clone)]
pub(crate) struct Slots(Arc<Semaphore>);

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }

    /// A place, kept until it is dropped.
    pub(crate) fn take(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.0.clone().try_acquire_owned().map_err(|_| {
            let detail = "more units are asked for than can be made at a time; ask again in a second";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).retry_after(AGAIN)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_beyond_the_last_place_is_refused_until_one_is_free() {
        let slots = Slots::new(2);
        let (first, _second) = (slots.take().unwrap(), slots.take().unwrap());
        let refused = slots.take().unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code(), refused.is_retryable()), (503, "busy", true));
        drop(first);
        let _third = slots.take().unwrap();
    }
}
