//! Stations that ask for units until nobody answers any more, and write down what they hear.

use anyhow::Result;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::fault::{
    bench::{Heard, Line, fingerprint},
    report::Violation,
    told::Told,
};

/// How many ask at a time.
const STATIONS: usize = 4;

/// Starts the stations of a round. They end by themselves when the daemon does, or says that it is done for.
pub(crate) fn begin(line: &Line, round: u64, told: &Told) -> JoinSet<()> {
    let mut stations = JoinSet::new();
    for number in 0..STATIONS {
        let station =
            Station { line: line.clone(), name: format!("r{round:05}-{number}"), told: told.clone() };
        stations.spawn(station.work());
    }
    stations
}

/// Somebody who asks for one unit after the other.
#[derive(Debug)]
pub(crate) struct Station {
    /// To whom it talks.
    pub(crate) line: Line,
    /// How the ids of its units begin.
    pub(crate) name: String,
    /// Where it writes down what it hears.
    pub(crate) told: Told,
}

impl Station {
    async fn work(self) {
        for n in 0.. {
            let id = format!("{}-{n:05}", self.name);
            let request = match ask(&id, n % 2 == 0) {
                Ok(request) => request,
                Err(error) => return self.told.wrong(Violation::Unexpected, format!("no request: {error}")),
            };
            let again = n % 5 == 0;
            if self.issue(&id, &request).await.is_none()
                || (again && self.issue(&id, &request).await.is_none())
            {
                return;
            }
        }
    }

    /// Asks for a unit and writes down the answer; `None` when there is no use in going on, otherwise its status.
    pub(crate) async fn issue(&self, id: &str, request: &Value) -> Option<u16> {
        let dead = self.told.is_power_gone();
        match self.line.issue(request).await {
            Heard::Answer(status @ (200 | 201), unit) => {
                match fingerprint(&unit) {
                    Some(sha256) => self.told.yes(id, &sha256),
                    None => {
                        self.told.wrong(Violation::Unexpected, format!("{id}: not a whole answer: {unit}"));
                    }
                }
                if dead && status == 201 {
                    self.told.wrong(
                        Violation::FalseAck,
                        format!("{id} was issued on a disk that was gone or full"),
                    );
                }
                Some(status)
            }
            // The edge made the key, and gives it once.
            Heard::Answer(409, problem)
                if request["csr"].is_null() && problem["code"] == "key-already-given" =>
            {
                Some(409)
            }
            Heard::Answer(503 | 507, _) => {
                self.told.no();
                None
            }
            Heard::Nothing => None,
            Heard::Answer(500, _) => {
                self.told.oops();
                None
            }
            Heard::Answer(status, body) => {
                self.told.wrong(Violation::Unexpected, format!("{id}: {status} {body}"));
                None
            }
            Heard::Late => {
                self.told.wrong(Violation::Hang, format!("{id}: no answer"));
                None
            }
        }
    }
}

/// A request for a unit: with a CSR, as a device makes it, or without.
pub(crate) fn ask(id: &str, csr: bool) -> Result<Value> {
    if !csr {
        return Ok(json!({ "id": id, "line": "L1" }));
    }
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, id);
    let csr = params.serialize_request(&rcgen::KeyPair::generate()?)?.pem()?;
    Ok(json!({ "id": id, "csr": csr, "line": "L1" }))
}
