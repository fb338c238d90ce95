//! Asking DPS for everything that it has, and looking closer at one record: the shell around [`Census`].

use std::{fmt, time::Duration};

use azure_iot::{RegistrationId, enrollment::IndividualEnrollment};
use time::OffsetDateTime;

use crate::{
    announce::path,
    answer::{Answer, Call, Trouble},
    cause::Cause,
    census::{Announced, Census},
    cloud::Cloud,
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

    /// Looks at the enrollment of `id`; `None` if there is none.
    pub async fn look(
        &self,
        id: &RegistrationId,
        now: OffsetDateTime,
    ) -> Result<Option<IndividualEnrollment>, Trouble> {
        let call = Call { path: path(id), cost: 1, ..Call::default() };
        let answer = self.ask(&call, now).await?;
        match answer.status {
            200 => answer.parse().map(Some),
            404 => Ok(None),
            _ => {
                let detail = format!("DPS does not show the enrollment of {id}: {}", answer.summary());
                Err(Trouble { cause: Cause::Service, detail, retry_after: None })
            }
        }
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
}
