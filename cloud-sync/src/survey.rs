//! Asking DPS what it has: everything that a box has announced, or the record of one unit. The shell around [`Census`] and
//! [`look`].
//!
//! A person's look is one request, beside the worker's budget.

use std::{fmt, time::Duration};

use azure_iot::RegistrationId;
use time::OffsetDateTime;

use crate::{
    answer::Trouble,
    cause::Cause,
    census::{Announced, Census},
    cloud::Cloud,
    look::{self, Found},
};

/// How often a busy service is asked again for one page.
const PATIENCE: u32 = 8;

/// A way to ask.
#[derive(Clone)]
pub struct Survey {
    cloud: Cloud,
}

impl fmt::Debug for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Survey").finish_non_exhaustive()
    }
}

impl Survey {
    /// Asks `cloud`.
    #[must_use]
    pub fn new(cloud: Cloud) -> Self {
        Self { cloud }
    }

    /// Everything that `box_id` has announced.
    pub async fn of(&self, box_id: &str, now: OffsetDateTime) -> Result<Vec<Announced>, Trouble> {
        let mut census = Census::new(box_id);
        let mut tries = 0;
        while let Some(call) = census.next() {
            match self.cloud.call(&call, now).await?.check() {
                Ok(answer) => {
                    census.hear(&answer)?;
                    tries = 0;
                }
                Err(trouble) if trouble.cause == Cause::Busy && tries < PATIENCE => {
                    tries += 1;
                    tokio::time::sleep(trouble.retry_after.unwrap_or(Duration::from_secs(1))).await;
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(census.announced)
    }

    /// What DPS has for `id`; `None` where that is nothing. Asked once: a person who wants to know asks again.
    pub async fn look(&self, id: &RegistrationId, now: OffsetDateTime) -> Result<Option<Found>, Trouble> {
        look::hear(&self.cloud.call(&look::call(id), now).await?.check()?)
    }
}
