//! What a person reads, and what a program does.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    rounds::{Contestant, Turns},
    scale::Scale,
};

/// The turns of one contestant, as numbers.
struct Rates {
    who: Contestant,
    /// Commits per second of each turn, in ascending order.
    rates: Vec<f64>,
    /// Latencies of all turns, in ascending order.
    latencies: Vec<Duration>,
}

impl Rates {
    fn of(turns: &Turns) -> Self {
        let mut rates: Vec<f64> =
            turns.slices.iter().map(|slice| slice.latencies.len() as f64 / slice.seconds).collect();
        rates.sort_by(f64::total_cmp);
        let mut latencies: Vec<_> =
            turns.slices.iter().flat_map(|slice| slice.latencies.iter().copied()).collect();
        latencies.sort_unstable();
        Self { who: turns.who, rates, latencies }
    }

    fn median(&self) -> f64 {
        let middle = self.rates.len() / 2;
        if self.rates.len() % 2 == 1 {
            self.rates[middle]
        } else {
            (self.rates[middle - 1] + self.rates[middle]) / 2.0
        }
    }

    fn millis(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get((last as f64 * share) as usize).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    }
}

/// The best median of the peers, and the bare loop's.
fn bars(all: &[Rates]) -> (f64, Option<f64>) {
    let peers = all.iter().filter(|rates| rates.who.is_peer()).map(Rates::median);
    let bare = all.iter().find(|rates| rates.who == Contestant::Bare).map(Rates::median);
    (peers.fold(0.0, f64::max), bare)
}

/// Prints a table of rates and latencies.
pub(crate) fn rates(title: &str, turns: &[Turns]) {
    let all: Vec<_> = turns.iter().map(Rates::of).collect();
    let (peer, bare) = bars(&all);
    eprintln!("\n{title}");
    eprintln!(
        "{:24} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8} {:>9} {:>6}",
        "", "median/s", "min/s", "max/s", "p50 ms", "p99 ms", "max ms", "best peer", "bare"
    );
    for rates in &all {
        let median = rates.median();
        let bare = bare.map_or_else(|| "-".to_owned(), |bare| format!("{:.2}", median / bare));
        eprintln!(
            "{:24} {:9.0} {:9.0} {:9.0} {:8.2} {:8.2} {:8.1} {:9.2} {bare:>6}",
            rates.who.name(),
            median,
            rates.rates[0],
            rates.rates[rates.rates.len() - 1],
            rates.millis(0.5),
            rates.millis(0.99),
            rates.millis(1.0),
            median / peer,
        );
    }
    eprintln!();
}

/// The same for a program.
pub(crate) fn rates_json(turns: &[Turns]) -> Value {
    let all: Vec<_> = turns.iter().map(Rates::of).collect();
    let (peer, bare) = bars(&all);
    let one = |rates: &Rates| {
        json!({
            "name": rates.who.name(),
            "rates": rates.rates,
            "median": rates.median(),
            "p50_ms": rates.millis(0.5),
            "p99_ms": rates.millis(0.99),
            "max_ms": rates.millis(1.0),
            "to_best_peer": rates.median() / peer,
            "to_bare": bare.map(|bare| rates.median() / bare),
        })
    };
    all.iter().map(one).collect()
}

/// Prints what large ledgers cost.
pub(crate) fn scale(all: &[Scale]) {
    for found in all {
        let mib = |bytes: u64| bytes >> 20;
        eprintln!(
            "\n{} units: filled in {:.1} s ({:.0}/s, peak {:.0} MiB); journal {} MiB, index {} MiB on disk",
            found.units,
            found.fill.seconds,
            found.units as f64 / found.fill.seconds,
            found.fill.peak_rss_mib,
            mib(found.journal_bytes),
            mib(found.index_bytes),
        );
        eprintln!(
            "{:24} {:>5} {:>9} {:>9} {:>10} {:>10} {:>8} {:>8} {:>10}",
            "open after", "", "frames", "s", "peak MiB", "+reads", "get µs", "page µs", "log lines"
        );
        for phase in &found.opens {
            let opened = &phase.opened;
            eprintln!(
                "{:24} {:>5} {:>9} {:9.2} {:10.0} {:10.0} {:8.0} {:8.0} {:10}",
                phase.after,
                if phase.cold { "cold" } else { "warm" },
                opened.frames,
                opened.seconds,
                opened.rss_open_mib,
                opened.rss_reads_mib,
                opened.get_micros,
                opened.page_micros,
                opened.log.len(),
            );
        }
    }
    eprintln!();
}
