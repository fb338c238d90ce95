//! The cloud above: an emulator in this process, with any weather.

use std::{collections::BTreeMap, net::Ipv4Addr, path::Path};

use anyhow::Result;
use azure_iot::enrollment::IndividualEnrollment;
use emulator::{Control, Emulator, Options, Weather};
use fastrand::Rng;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Every weather that a worker has to live through.
pub const WEATHERS: [Weather; 5] = [
    Weather::Clear,
    Weather::Offline,
    Weather::Flaky,
    Weather::ReplyLost,
    Weather::Throttled { retry_after: 0 },
];

/// As fast as anybody can.
const PACE: &str = "operations_per_minute = 60000";

/// A running emulator.
#[derive(Debug)]
pub struct Sky {
    control: Control,
    section: String,
    cancel: CancellationToken,
    tasks: JoinSet<std::io::Result<()>>,
}

impl Sky {
    /// Starts one that keeps who it is in `dir`; whoever uses it has to have an answer within two seconds.
    pub async fn rise(dir: &Path) -> Result<Self> {
        Self::rise_at(dir, Ipv4Addr::LOCALHOST, "2s").await
    }

    /// The same, at an address of its own, and with a patience that suits the way there.
    pub async fn rise_at(dir: &Path, address: Ipv4Addr, patience: &str) -> Result<Self> {
        let free = ([127, 0, 0, 1], 0).into();
        let hubs = vec!["hub-1".to_owned(), "hub-2".to_owned()];
        let https = (address, 0).into();
        let options = Options { https, mqtt: free, admin: free, state: dir.to_owned(), hubs, retry_after: 1 };
        let emulator = Emulator::bind(options).await?;
        let control = emulator.control();
        let section = format!(
            "[cloud]\nconnection_string_file = {:?}\nconnect_to = \"{}\"\nextra_root = {:?}\n\
             {PACE}\nrequest_timeout = \"{patience}\"\nfirst_delay = \"20ms\"\nlongest_delay = \"100ms\"\n",
            emulator.connection_string(),
            emulator.https_addr(),
            emulator.root()
        );
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(emulator.run(cancel.clone()));
        Ok(Self { control, section, cancel, tasks })
    }

    /// The cloud, to look at and to act on.
    #[must_use]
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The section of a configuration that points to it.
    #[must_use]
    pub fn section(&self) -> &str {
        &self.section
    }

    /// The same section for somebody who may do less a minute.
    #[must_use]
    pub fn section_at(&self, per_minute: u32) -> String {
        self.section.replace(PACE, &format!("operations_per_minute = {per_minute}"))
    }

    /// Makes some weather.
    pub fn change(&self, dice: &mut Rng) {
        self.control.set_weather(WEATHERS[dice.usize(..WEATHERS.len())]);
    }

    /// The cloud cannot be reached.
    pub fn away(&self) {
        self.control.set_weather(Weather::Offline);
    }

    /// Makes good weather.
    pub fn clear(&self) {
        self.control.set_weather(Weather::Clear);
    }

    /// Every enrollment by its id.
    #[must_use]
    pub fn enrollments(&self) -> BTreeMap<String, IndividualEnrollment> {
        let records = self.control.with(|cloud, _| cloud.enrollments());
        records.into_iter().map(|record| (record.registration_id.clone(), record)).collect()
    }

    /// Ends it.
    pub async fn set(mut self) -> Result<()> {
        self.cancel.cancel();
        while let Some(task) = self.tasks.join_next().await {
            task??;
        }
        Ok(())
    }
}
