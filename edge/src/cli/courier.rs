//! `edge courier`

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Failure, client::Daemon, say};
use crate::{
    courier::{CourierTrusted, Out, Taken},
    local::Brought,
};

/// Carries jobs out and receipts back, for a plant that is never online.
#[derive(Debug, Subcommand)]
pub(super) enum Courier {
    /// Has receipts taken from a courier, and from no other. Journalled.
    Trust(Trust),
    /// Writes a bundle of everything that waits for the cloud; it waits on until its receipt is in.
    Out(Bundle),
    /// Takes in a receipt. Doing it again changes nothing.
    In(Receipt),
}

#[derive(Debug, Args)]
pub(super) struct Trust {
    /// The fingerprint of its key, as courier key has shown it.
    fingerprint: String,
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Bundle {
    /// The file to write.
    file: PathBuf,
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Receipt {
    /// The receipt, as courier run has written it.
    receipt: PathBuf,
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
}

impl Courier {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Trust(trust) => {
                let wanted = CourierTrusted { key: trust.fingerprint };
                let _: Value = Daemon::of(&trust.state)?.post("/courier/trust", &wanted).await?;
                say::line(&format!("trusted     {}", wanted.key));
            }
            Self::Out(out) => {
                let Out { bundle } = Daemon::of(&out.state)?.post("/courier/out", &json!({})).await?;
                let Some(made) = bundle else {
                    say::line("nothing waits for the cloud; no bundle was made");
                    return Ok(());
                };
                keys::write_private(&out.file, made.text.as_bytes()).map_err(Failure::failed)?;
                say::line(&format!("bundle      {}, in {}", made.number, out.file.display()));
                say::line(&format!("holds       {} jobs; they wait until its receipt is in", made.jobs));
                if made.behind > 0 {
                    say::line(&format!("behind      {} more wait for the next bundle", made.behind));
                }
                if let Some(missing) = made.missing {
                    let (bundles, verb) = bundles(missing);
                    say::line(&format!(
                        "missing     {bundles} {verb} not come back; what waits of it is in this one too"
                    ));
                }
                say::line(&format!("box         {}", made.key));
                say::error(
                    "Where there is internet: courier run FILE --box FINGERPRINT --key FILE --connection-string-file FILE",
                );
            }
            Self::In(receipt) => {
                let text = fs::read(&receipt.receipt)
                    .map_err(|error| Failure::usage(format!("{}: {error}", receipt.receipt.display())))?;
                // Whatever is no text was not written by a courier, and is refused by its digest.
                let brought = Brought { receipt: String::from_utf8_lossy(&text).into_owned() };
                let taken: Taken = Daemon::of(&receipt.state)?.post("/courier/in", &brought).await?;
                tell(&taken);
            }
        }
        Ok(())
    }
}

fn tell(taken: &Taken) {
    let Taken { number, dps, jobs, accepted, held, changed, repeated, missing } = taken;
    if *repeated {
        say::line(&format!("receipt     of bundle {number} is in already; nothing was changed"));
        return;
    }
    say::line(&format!("receipt     of bundle {number}, done at {dps}"));
    let untold = jobs.saturating_sub(accepted + held);
    say::line(&format!(
        "outcomes    {accepted} settled, {held} held, {untold} not told; {changed} of them are news here"
    ));
    if let Some(missing) = missing {
        let (bundles, verb) = bundles(*missing);
        say::line(&format!(
            "missing     {bundles} {verb} not come back; nothing is lost, what waits goes with the next one"
        ));
    }
}

/// Some bundles in words, and their verb.
fn bundles([first, last]: [u64; 2]) -> (String, &'static str) {
    if first == last {
        (format!("bundle {first}"), "has")
    } else {
        (format!("bundles {first} to {last}"), "have")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(bundles([2, 2]), ("bundle 2".to_owned(), "has"));
        assert_eq!(bundles([2, 4]), ("bundles 2 to 4".to_owned(), "have"));
    }
}
