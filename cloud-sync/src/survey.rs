//! Asking DPS what it has: everything that a box has announced, or the record of one unit. The shell around [`Census`] and
//! [`look`].
//!
//! A person's look is one request, beside the worker's budget.

use std::{fmt, time::Duration};

use azure_iot::{RegistrationId, enrollment::IndividualEnrollment};
use time::OffsetDateTime;

use crate::{
    answer::{Answer, Call, Trouble},
    cause::Cause,
    census::{Announced, Census},
    cloud::Cloud,
    look::{self, Found},
};

/// How often a busy service is asked again for one answer.
const PATIENCE: u32 = 8;

/// A way to ask.
#[derive(Clone)]
pub struct Survey {
    cloud: Cloud,
    per_minute: u32,
}

impl fmt::Debug for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Survey").finish_non_exhaustive()
    }
}

impl Survey {
    /// Asks `cloud`, which takes `per_minute` operations a minute.
    #[must_use]
    pub fn new(cloud: Cloud, per_minute: u32) -> Self {
        Self { cloud, per_minute }
    }

    /// How far apart single looks should be: half of the budget stays with the worker.
    #[must_use]
    pub fn apart(&self) -> Duration {
        Duration::from_secs(120) / self.per_minute.max(1)
    }

    /// Everything that `box_id` has announced.
    pub async fn of(&self, box_id: &str, now: OffsetDateTime) -> Result<Vec<Announced>, Trouble> {
        let mut announced = Vec::new();
        self.each(now, |record| announced.extend(Announced::by(box_id, &record))).await?;
        Ok(announced)
    }

    /// Brings every record that DPS has, of whomever, to `take`. They lack the registration.
    pub async fn each(
        &self,
        now: OffsetDateTime,
        mut take: impl FnMut(IndividualEnrollment),
    ) -> Result<(), Trouble> {
        let mut census = Census::default();
        while let Some(call) = census.next() {
            census.hear(&self.ask(&call, now).await?)?.into_iter().for_each(&mut take);
        }
        Ok(())
    }

    /// The record of `id`; `None` where DPS has none.
    pub async fn record(
        &self,
        id: &RegistrationId,
        now: OffsetDateTime,
    ) -> Result<Option<IndividualEnrollment>, Trouble> {
        look::hear(&self.ask(&look::call(id), now).await?)
    }

    /// Asks until the service is not busy, as often as patience allows.
    async fn ask(&self, call: &Call, now: OffsetDateTime) -> Result<Answer, Trouble> {
        let mut tries = 0;
        loop {
            match self.cloud.call(call, now).await?.check() {
                Err(trouble) if trouble.cause == Cause::Busy && tries < PATIENCE => {
                    tries += 1;
                    tokio::time::sleep(trouble.retry_after.unwrap_or(Duration::from_secs(1))).await;
                }
                answered => return answered,
            }
        }
    }

    /// What DPS has for `id`; `None` where that is nothing. Asked once: a person who wants to know asks again.
    pub async fn look(&self, id: &RegistrationId, now: OffsetDateTime) -> Result<Option<Found>, Trouble> {
        let found = look::hear(&self.cloud.call(&look::call(id), now).await?.check()?)?;
        Ok(found.as_ref().map(Found::of))
    }
}
