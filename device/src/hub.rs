//! Living at a hub: telemetry, twin, methods.

use std::time::Duration;

use azure_iot::{
    hub_topics::{self, FromDevice, FromHub},
    twin::{Twin, merge},
};
use serde_json::{Map, Value, json};
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval, timeout},
};
use tracing::{info, warn};

use crate::{
    agent::Status,
    config::Config,
    files::Assignment,
    mqtt::{Arrived, Connection, Endpoint, Gone},
    provisioning::agent,
    readings::reading,
    tls::Identity,
};

/// How long the hub may take to let us in.
const PATIENCE: Duration = Duration::from_secs(30);
/// The fastest and the slowest that a twin may make us talk.
const PACE: std::ops::RangeInclusive<f64> = 0.1..=86_400.0;

/// A device at its hub.
struct Life<'a> {
    connection: Connection,
    assignment: &'a Assignment,
    status: &'a watch::Sender<Status>,
    desired: Map<String, Value>,
    telemetry: Interval,
    sent: u64,
    asked: u64,
}

/// Lives at the hub until the connection ends. `alive` is called once we are in.
pub(crate) async fn live(
    config: &Config,
    assignment: &Assignment,
    identity: &Identity,
    status: &watch::Sender<Status>,
    alive: impl FnOnce(),
) -> Gone {
    let endpoint = Endpoint {
        host: assignment.hub.clone(),
        connect_to: config.connect_to,
        client_id: assignment.device_id.to_string(),
        user_name: hub_topics::user_name(&assignment.hub, &assignment.device_id, &agent()),
    };
    let filters = [hub_topics::TWIN_RESPONSES, hub_topics::DESIRED_CHANGES, hub_topics::METHOD_CALLS]
        .map(str::to_owned);
    let connection = match timeout(PATIENCE, Connection::open(&endpoint, identity, &filters)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(gone)) => return gone,
        Err(_) => return Gone::Lost("the hub did not answer in time".to_owned()),
    };
    alive();
    info!(hub = assignment.hub, "connected");
    let telemetry = every(config.telemetry_interval);
    let mut life = Life { connection, assignment, status, desired: Map::new(), telemetry, sent: 0, asked: 0 };
    life.tell();
    match life.run().await {
        Ok(never) => match never {},
        Err(gone) => gone,
    }
}

impl Life<'_> {
    async fn run(&mut self) -> Result<std::convert::Infallible, Gone> {
        self.ask_for_twin()?;
        loop {
            tokio::select! {
                arrived = self.connection.next() => self.take(&arrived?)?,
                _ = self.telemetry.tick() => self.send_reading()?,
            }
        }
    }

    fn ask_for_twin(&mut self) -> Result<(), Gone> {
        self.asked += 1;
        self.connection.publish(FromDevice::TwinGet { rid: self.asked.to_string() }.topic(), b" ".to_vec())
    }

    fn send_reading(&mut self) -> Result<(), Gone> {
        self.sent += 1;
        let properties = [("$.ct", "application/json"), ("$.ce", "utf-8")];
        let properties = properties.map(|(key, value)| (key.to_owned(), Some(value.to_owned()))).to_vec();
        let device = self.assignment.device_id.to_string();
        let topic = FromDevice::Telemetry { device, properties }.topic();
        self.connection.publish(topic, reading(self.sent).to_string().into_bytes())?;
        self.tell();
        Ok(())
    }

    fn take(&mut self, arrived: &Arrived) -> Result<(), Gone> {
        match FromHub::parse(&arrived.topic) {
            Some(FromHub::TwinResponse { status: 200, .. }) => {
                match serde_json::from_slice::<Twin>(&arrived.payload) {
                    Ok(twin) => {
                        self.desired = twin.desired.properties;
                        self.apply(twin.desired.version)
                    }
                    Err(error) => {
                        warn!(%error, "the twin does not parse");
                        Ok(())
                    }
                }
            }
            Some(FromHub::TwinResponse { status: 204, .. }) => Ok(()),
            Some(FromHub::TwinResponse { status, .. }) => {
                warn!(status, "the hub refuses a twin request");
                Ok(())
            }
            Some(FromHub::Desired { version }) => {
                let mut patch: Map<String, Value> =
                    serde_json::from_slice(&arrived.payload).unwrap_or_default();
                patch.remove("$version");
                merge(&mut self.desired, patch);
                self.apply(version)
            }
            Some(FromHub::MethodCall { name, rid }) => self.answer(&name, rid),
            Some(FromHub::Message { .. }) | None => Ok(()),
        }
    }

    /// Applies what the twin wants, and reports what became of it.
    fn apply(&mut self, version: u64) -> Result<(), Gone> {
        info!(version, "desired properties");
        let wanted = self
            .desired
            .get("telemetryInterval")
            .and_then(Value::as_f64)
            .filter(|wanted| PACE.contains(wanted));
        if let Some(seconds) = wanted {
            let pace = Duration::from_secs_f64(seconds);
            if pace != self.telemetry.period() {
                self.telemetry = every(pace);
            }
        }
        let report = json!({
            "agent": { "version": env!("CARGO_PKG_VERSION") },
            "telemetryInterval": self.telemetry.period().as_secs_f64(),
            "label": self.desired.get("label"),
            "desiredVersion": version,
        });
        self.asked += 1;
        let topic = FromDevice::TwinReported { rid: self.asked.to_string() }.topic();
        self.connection.publish(topic, report.to_string().into_bytes())?;
        self.tell();
        Ok(())
    }

    fn answer(&mut self, name: &str, rid: String) -> Result<(), Gone> {
        let (status, body) = match name {
            "ping" => (200, json!({ "pong": self.sent })),
            _ => (404, json!({ "error": "this device has no such method; it has ping" })),
        };
        info!(name, status, "method");
        self.connection
            .publish(FromDevice::MethodResult { status, rid }.topic(), body.to_string().into_bytes())
    }

    fn tell(&self) {
        let (hub, desired) = (self.assignment.hub.clone(), self.desired.clone());
        self.status.send_replace(Status::Connected { hub, desired, sent: self.sent });
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period.max(Duration::from_millis(100)));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
