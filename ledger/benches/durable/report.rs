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

/// What the others are held against.
struct Bars {
    /// The best median of the peers.
    peer: f64,
    /// The median of the bare loop, if it took part.
    bare: Option<f64>,
    /// The typical time of the bare loop; a neighbour's busy second moves it less than a rate.
    bare_millis: Option<f64>,
}

impl Bars {
    fn of(all: &[Rates]) -> Self {
        let bare = all.iter().find(|rates| rates.who == Contestant::Bare);
        Self {
            peer: all.iter().filter(|rates| rates.who.is_peer()).map(Rates::median).fold(0.0, f64::max),
            bare: bare.map(Rates::median),
            bare_millis: bare.map(|bare| bare.millis(0.5)),
        }
    }
}

/// Prints a table of rates and latencies.
pub(crate) fn rates(title: &str, turns: &[Turns]) {
    let all: Vec<_> = turns.iter().map(Rates::of).collect();
    let bars = Bars::of(&all);
    eprintln!("\n{title}");
    eprintln!(
        "{:24} {:>9} {:>9} {:>9} {:>8} {:>8} {:>8} {:>9} {:>6} {:>8}",
        "", "median/s", "min/s", "max/s", "p50 ms", "p99 ms", "max ms", "best peer", "bare", "p50 bare"
    );
    for rates in &all {
        let median = rates.median();
        let ratio = |found: Option<f64>| found.map_or_else(|| "-".to_owned(), |found| format!("{found:.2}"));
        let bare = ratio(bars.bare.map(|bare| median / bare));
        let typical = ratio(bars.bare_millis.map(|bare| bare / rates.millis(0.5)));
        eprintln!(
            "{:24} {:9.0} {:9.0} {:9.0} {:8.2} {:8.2} {:8.1} {:9.2} {bare:>6} {typical:>8}",
            rates.who.name(),
            median,
            rates.rates[0],
            rates.rates[rates.rates.len() - 1],
            rates.millis(0.5),
            rates.millis(0.99),
            rates.millis(1.0),
            median / bars.peer,
        );
    }
    eprintln!();
}

/// The same for a program.
pub(crate) fn rates_json(turns: &[Turns]) -> Value {
    let all: Vec<_> = turns.iter().map(Rates::of).collect();
    let bars = Bars::of(&all);
    let one = |rates: &Rates| {
        json!({
            "name": rates.who.name(),
            "rates": rates.rates,
            "median": rates.median(),
            "p50_ms": rates.millis(0.5),
            "p99_ms": rates.millis(0.99),
            "max_ms": rates.millis(1.0),
            "to_best_peer": rates.median() / bars.peer,
            "to_bare": bars.bare.map(|bare| rates.median() / bare),
            "p50_to_bare": bars.bare_millis.map(|bare| bare / rates.millis(0.5)),
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
